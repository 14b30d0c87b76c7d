"""What a fork or a rerun forgets of a history, and what still counts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crewkit.core.events import Event
from crewkit.core.messages import ChatMessage
from crewkit.journal.base import Lease
from crewkit.journal.forget import covers, standing, touches
from crewkit.journal.read import beginning, ending, inherited, origin, pending, totals
from crewkit.journal.run import Run
from crewkit.journal.sqlite import SqliteJournal
from crewkit.journal.tree import tree
from crewkit.journal.writer import Writer

# Which places a mark covers


@pytest.mark.parametrize(
    ("mark", "task", "path", "forgotten"),
    [
        ("draft", "draft", "draft", True),
        ("draft", "draft", "draft/1/model", True),
        ("draft", "drafts", "drafts/1/model", False),
        ("draft", "draft", "draft Writer and Editor", True),
        ("draft", "review", "review/1/model", False),
        ("draft/2", "draft", "draft", True),
        ("draft/2", "draft", "draft/1/tool:0", False),
        ("draft/2", "draft", "draft/2", True),
        ("draft/2", "draft", "draft/2/model", True),
        ("draft/2", "draft", "draft/10/model", True),
        ("draft/2", "draft", "draft/0", False),
        ("draft/2", "draft", "draft/when", False),
        ("draft/2/model", "draft", "draft/2/recall:0", False),
        ("draft/2/model", "draft", "draft/2/tool:0", True),
        ("draft/2/tool:1", "draft", "draft/2/model", False),
        ("draft/2/tool:1", "draft", "draft/2/tool:0", False),
        ("draft/2/tool:1", "draft", "draft/2/tool:2/ask", False),
        ("draft/2/tool:1", "draft", "draft/2/tool:1/ask", True),
        ("draft/2/tool:1", "draft", "draft/3/model", True),
        ("draft/2/guardrail:1", "draft", "draft/2/guardrail:0", False),
        ("draft/2/guardrail:1", "draft", "draft/2/guardrail:2", True),
        ("draft/2/guardrail:1", "draft", "draft/2/ask", True),
        ("draft/1/tool:0/Editor/2/model", "draft", "draft/1/tool:0/Editor/1/model", False),
        ("draft/1/tool:0/Editor/2/model", "draft", "draft/1/tool:0/Editor/3/model", True),
        ("draft/1/tool:0/Editor/2/model", "draft", "draft/1/tool:0", True),
        ("draft/1/tool:0/Editor/2/model", "draft", "draft/1/tool:1", False),
        ("draft/1/tool:0/Editor/2/model", "draft", "draft/2/model", True),
        ("sub/inner/2", "sub", "sub", True),
        ("sub/inner/2", "sub/inner", "sub/inner/1/model", False),
        ("sub/inner/2", "sub/other", "sub/other/3/model", False),
        ("sub/inner/2", "sub", "sub/1/guardrail:0", True),
        ("sub/inner/2", "sub", "sub/when", False),
        ("sub/1/ask", "sub/inner", "sub/inner/9/model", False),
        ("sub/1/ask", "sub", "sub/1/guardrail:0", False),
        ("draft/2", "", "", False),
        ("draft", "draft", "draft#2/1/model", True),
        ("sub", "sub#2/inner", "sub#2/inner/1/model", True),
        ("draft/2/model", "draft", "draft/until", True),
        ("draft/2/model", "draft", "draft#2", True),
        ("draft/2/model", "draft", "draft#2/1/model", True),
        ("draft/until", "draft", "draft/9/model", False),
        ("draft/until", "draft", "draft/until/ask", True),
        ("draft#2", "draft", "draft/3/model", False),
        ("draft#2", "draft", "draft/until", False),
        ("draft#2", "draft", "draft", False),
        ("draft#2", "draft", "draft#2/until", True),
        ("draft#2/2/model", "draft", "draft#2", True),
        ("draft#2/2/model", "draft", "draft#2/1/model", False),
        ("draft#2/2/model", "draft", "draft#3/1/model", True),
        ("sub#2/inner/2", "sub/inner", "sub/inner/2/model", False),
        ("sub#2/inner/2", "sub#2/other", "sub#2/other/2/model", False),
        ("sub#2/inner/2", "sub", "sub#2/until", True),
        ("sub#2/inner/2", "sub#3/inner", "sub#3/inner/1/model", True),
        ("sub/inner/2", "sub#2/other", "sub#2/other/1/model", True),
    ],
)
def test_a_mark_covers_what_lies_there_below_it_after_it_and_around_it(mark, task, path, forgotten):
    assert covers(mark, task, path) is forgotten


@pytest.mark.parametrize(
    ("type", "path", "mark", "forgotten"),
    [
        ("agent.finished", "draft/0", "draft/2", True),
        ("agent.started", "draft/0", "draft/2", False),
        ("agent.finished", "draft/0", "draft#2/1", False),
        ("agent.finished", "draft#2/0", "draft#2/1", True),
        ("agent.finished", "draft/1/tool:0/Editor/0", "draft/1/tool:0/Editor/1", True),
        ("agent.finished", "draft/1/tool:0/Editor/0", "draft/2", False),
        ("task.finished", "draft", "draft#2/1/model", True),
        ("iteration.finished", "draft", "draft#2/1/model", False),
        ("iteration.finished", "draft", "draft/1/model", True),
    ],
)
def test_an_end_that_stands_at_the_beginning_is_forgotten_with_what_it_ends(type, path, mark, forgotten):
    assert covers(mark, "draft", path, type) is forgotten


def test_the_end_of_a_crew_in_a_loop_is_forgotten_with_what_is_in_it():
    assert covers("sub#2/inner/2", "sub", "sub", "task.finished")
    assert not covers("sub#2/inner/2", "sub", "sub", "iteration.finished")
    assert not covers("sub#2/inner/2", "sub/inner", "sub/inner", "task.finished")


def test_a_task_is_entered_again_where_a_mark_lies_in_it_or_above_it():
    assert touches("draft/2", "draft")
    assert touches("sub", "sub/inner")
    assert touches("draft#2/1", "draft")
    assert not touches("draft/2", "drafts")


# Histories


class History:
    """Writes a run down as it happens, and remembers apart from the paths what came before what."""

    def __init__(self, run: str = "r-1") -> None:
        self.run = run
        self.events: list[Event] = []

    def add(self, type: str, path: str = "", task: str = "", attempt: int = 1, **data: Any) -> Event:
        seq = len(self.events) + 1
        self.events.append(Event(self.run, seq, type, f"t{seq:04}", seq, "s", path, task, "A", attempt, data))
        return self.events[-1]


Step = tuple[str, int, str]
"""Task, turn, and what of the turn: `model`, `tool:0`, `tool:1`."""

TASKS = ("a", "b", "sub/c")


@st.composite
def histories(draw: st.DrawFn) -> tuple[History, list[Step], Step]:
    """A run of three tasks whose steps are interleaved at random, and a step in it."""
    queues: list[list[Step]] = []
    for task in TASKS:
        steps: list[Step] = []
        for turn in range(1, draw(st.integers(1, 4)) + 1):
            steps.append((task, turn, "model"))
            steps += [(task, turn, f"tool:{i}") for i in range(draw(st.integers(0, 2)))]
        queues.append(steps)
    history, order = History(), list[Step]()
    while any(queues):
        queue = draw(st.sampled_from([queue for queue in queues if queue]))
        order.append(step := queue.pop(0))
        task, turn, what = step
        path, kind = f"{task}/{turn}/{what}", what.partition(":")[0]
        for attempt in range(1, draw(st.integers(1, 2)) + 1):
            history.add(f"{kind}.started", path, task, attempt, fingerprint=path)
        history.add("message.recorded", path, task, id=f"m {path}", role="user", content=path)
        history.add(f"{kind}.finished", path, task, attempt, message=f"m {path}")
    for task in TASKS:
        if draw(st.booleans()):
            history.add("task.finished", task, task, status="completed", output=task, final=True)
    if draw(st.booleans()):
        history.add("task.finished", "sub", "sub", status="completed", output=1, final=True)
    return history, order, draw(st.sampled_from(order))


def downstream(step: Step, of: Step) -> bool:
    """Say from their order in the task, not from paths, whether a step came after another or is it."""
    (task, turn, what), (of_task, of_turn, of_what) = step, of
    if task != of_task:
        return False
    return turn > of_turn or (turn == of_turn and (of_what == "model" or what == of_what))


@settings(deadline=None)
@given(histories())
def test_what_is_downstream_of_a_step_is_forgotten_and_nothing_else(made):
    history, steps, mark = made
    path = "{}/{}/{}".format(*mark)
    left = standing(history.events, [path])
    forgotten = {"{}/{}/{}".format(*step) for step in steps if downstream(step, mark)}
    ended = {mark[0]} | ({"sub"} if mark[0] == "sub/c" else set())
    assert list(left.events) == [
        event
        for event in history.events
        if event.path not in forgotten and not (event.type == "task.finished" and event.path in ended)
    ]
    for step in forgotten:
        tried = [e.attempt for e in history.events if e.path == step]
        assert left.attempts[step] == max(tried)


@pytest.fixture(scope="module")
def writer(tmp_path_factory) -> Iterator[Writer]:
    with SqliteJournal(tmp_path_factory.mktemp("fold") / "journal.db") as journal:
        writer = Writer(journal)
        yield writer
        writer.close()


@settings(deadline=None)
@given(histories())
def test_a_run_that_forgets_is_one_that_never_knew_except_for_attempts(writer: Writer, made):
    history, steps, mark = made
    path = "{}/{}/{}".format(*mark)
    before = list(history.events)
    never = list(standing(before, [path]).events)
    history.add("run.resumed", forgets=[path])

    async def fold(*histories: tuple[Sequence[Event], Sequence[str]]) -> list[Run]:
        lease = Lease("r-1", 1, "s")
        return [Run(writer, lease, history=events, forgets=forgets) for events, forgets in histories]

    now, later, reference = asyncio.run(fold((before, [path]), (history.events, ()), (never, ())))
    assert now._held._tasks == later._held._tasks == reference._held._tasks
    assert now.finished == later.finished == reference.finished
    for task, turn, what in steps:
        step = f"{task}/{turn}/{what}"
        assert later.holds(step, task=task) == reference.holds(step, task=task)
        assert bool(later.forgotten(step)) == downstream((task, turn, what), mark)


@settings(deadline=None)
@given(histories(), st.data())
def test_forgetting_twice_counts_attempts_on(made, data):
    history, steps, first = made
    marks = ["{}/{}/{}".format(*first), "{}/{}/{}".format(*data.draw(st.sampled_from(steps)))]
    for mark in marks:
        history.add("run.resumed", forgets=[mark])
        left = standing(history.events)
        held = {event.path for event in left.events}
        for task, turn, what in steps:
            path = f"{task}/{turn}/{what}"
            if path not in held:
                attempt = left.attempts.get(path, 0) + 1
                kind = what.partition(":")[0]
                history.add(f"{kind}.started", path, task, attempt, fingerprint=path)
                history.add(f"{kind}.finished", path, task, attempt)
    tried = [(e.path, e.attempt) for e in history.events if e.type.endswith(".finished") and "/" in e.path]
    assert len(set(tried)) == len(tried)


# Steps that are done again


async def test_a_forgotten_step_is_done_again_under_the_next_attempt_and_an_unforgotten_one_is_not(tmp_path):
    async def do(attempt: int) -> Any:
        return {"n": attempt}

    async def step(run: Run, path: str) -> Any:
        return await run.step(
            path, "tool", {"fingerprint": "f", "key": run.key(path, task="t")}, do, task="t"
        )

    with SqliteJournal(tmp_path / "journal.db") as journal:
        writer = Writer(journal)
        run = Run(writer, lease := journal.begin("r-1", "crew", "s"))
        run.record("run.started", data={"crew": "crew"})
        for path in ("t/1/tool:0", "t/2/tool:0"):
            assert await step(run, path) == {"n": 1}
        run.finish("t", {"status": "completed", "output": 1}, agent="", final=True)
        await run.commit()
        journal.release(lease)
        lease = journal.take("r-1", "s2")
        run = Run(writer, lease, history=journal.events("r-1"), forgets=["t/2"])
        run.record("run.resumed", data={"forgets": ["t/2"]})
        assert not run.finished
        assert (await step(run, "t/1/tool:0"), await step(run, "t/2/tool:0")) == ({"n": 1}, {"n": 2})
        await run.commit()
        writer.close()
        begun = [e for e in journal.events("r-1") if e.type == "tool.started"]
        assert [(e.path, e.attempt) for e in begun] == [
            ("t/1/tool:0", 1),
            ("t/2/tool:0", 1),
            ("t/2/tool:0", 2),
        ]
        keys = [e.data["key"] for e in begun]
        assert keys[1] != keys[2]  # another effect, not the same once more
        root = tree(journal.events("r-1"))
        step_node = next(node for node in root.walk() if node.path == "t/2/tool:0")
        assert [attempt.number for attempt in step_node.attempts] == [2]


# Readers


def forked() -> list[Event]:
    """A run with a question in it, and a fork of it that asks it again."""
    first = History()
    first.add("run.started", crew="c", inputs={"a": 1}, limits={"tokens": 5, "usd": None})
    first.add("task.started", "t", "t")
    usage = {"input_tokens": 10, "output_tokens": 2}
    first.add("model.finished", "t/1/model", "t", usage=usage, usd=0.5, message="m")
    first.add("approval.requested", "t/1/tool:0/ask", "t", id="a-1", kind="tool", question="May it?")
    first.add("run.paused", reason="approval")
    events = list(first.events)
    second = History("r-2")
    second.events = events
    second.add(
        "run.forked",
        origin="r-1",
        at=["t/1/tool:0"],
        forgets=["t/1/tool:0"],
        inputs={"a": 2},
        limits={"usd": 1},
    )
    return events


def test_a_question_of_the_origin_does_not_wait_in_a_fork():
    events = forked()
    assert [question.id for question in pending(events[:-1])] == ["a-1"]
    assert pending(events) == []
    asked = Event("r-2", 7, "approval.requested", "", 0.0, "s", "t/1/tool:0/ask", "t", "A", 2, {"id": "a-2"})
    assert [(question.run, question.id) for question in pending([*events, asked])] == [("r-2", "a-2")]


def test_what_a_fork_shares_is_told_apart_from_what_it_used():
    events = forked()
    assert (totals(events).tokens, totals(events).usd) == (0, 0.0)
    assert (inherited(events).tokens, inherited(events).usd) == (12, 0.5)
    assert totals(events[:-1]).tokens == 12
    assert ending(events).status == "running"
    assert beginning(events)["inputs"] == {"a": 2}
    assert beginning(events)["limits"] == {"tokens": 5, "usd": 1}
    fork = origin(events)
    assert fork is not None
    assert fork.data["origin"] == "r-1"
    assert origin(events[:-1]) is None


def test_leave_that_was_used_is_told_in_a_fork_and_unused_leave_is_not_its_own():
    history = History()
    history.add("run.started")
    for path, used in (("t/1/tool:0", True), ("t/1/tool:1", False)):
        history.add("approval.requested", f"{path}/ask", "t", id=f"a {path}", kind="tool")
        history.add("approval.decided", f"{path}/ask", "t", id=f"a {path}", decision="approve")
        if used:
            history.add("tool.started", path, "t", approval=f"a {path}")
    history.add("approval.requested", "t/2/ask", "t", id="good", kind="output")
    history.add("approval.decided", "t/2/ask", "t", id="good", decision="deny")
    history.add("run.forked", origin="r-0")
    kept = {event.data["id"] for event in standing(history.events).events if "approval" in event.type}
    assert kept == {"a t/1/tool:0", "good"}


def test_a_message_said_at_a_forgotten_place_is_said_again():
    history = History()
    message = ChatMessage("user", "Do it.")
    history.add("message.recorded", "t/2", "t", id=message.id(), **message.to_data())
    question = {"kind": "question", "id": "bus 1", "data": {"task": "t", "at": "t/2/tool:0"}}
    history.add("message.recorded", "t A and B", "t", **question)
    assert not standing(history.events, ["t/2"]).events
    assert len(standing(history.events, ["t/3"]).events) == 2
