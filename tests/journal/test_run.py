"""One run in the hands of a process: what is recorded, and that a step is done once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from crewkit.core.events import Draft, Event
from crewkit.core.messages import ChatMessage
from crewkit.errors import Denied, JournalError, ReplayError
from crewkit.journal.base import Write
from crewkit.journal.redact import Redactor
from crewkit.journal.run import Run, new_run_id
from crewkit.journal.sqlite import SqliteJournal
from crewkit.journal.waiting import LostOutcome, UnknownOutcome, Waiting
from crewkit.journal.writer import Writer

Open = Callable[..., Run]
INTENT = {"tool": "send", "fingerprint": "f1"}


@pytest.fixture
async def reopen(tmp_path) -> AsyncIterator[Open]:
    """Open run r-1: new at first, then as the next process would."""
    opened: list[tuple[SqliteJournal, Writer]] = []

    def close() -> None:
        for journal, writer in opened:
            writer.close()
            journal.close()
        opened.clear()

    def reopen(**given: Any) -> Run:
        close()
        journal = SqliteJournal(tmp_path / "journal.db")
        writer = Writer(journal)
        opened.append((journal, writer))
        seg = "s"
        begun = journal.last("r-1") > 0
        lease = journal.take("r-1", seg) if begun else journal.begin("r-1", "crew", seg)
        history = list(journal.events("r-1"))
        run = Run(writer, lease, history=history, **given)
        if not begun:
            run.record("run.started", data={"crew": "crew"})
        return run

    yield reopen
    close()


def held(run: Run) -> list[Event]:
    return list(run._writer.journal.events(run.id))


def types(run: Run) -> list[str]:
    return [event.type for event in held(run)]


async def tool_step(run: Run, do: Callable[[int], Awaitable[Any]], **given: Any) -> Any:
    given = {"repeatable": False, **given}
    return await run.step("t/1/tool:0", "tool", given.pop("intent", INTENT), do, task="t", **given)


def never(attempt: int) -> Awaitable[Any]:
    raise AssertionError("done again")


async def test_a_finished_step_is_answered_from_the_journal(reopen: Open):
    async def do(attempt: int) -> Any:
        return {"n": attempt}

    run = reopen()
    assert await tool_step(run, do) == {"n": 1}
    assert await tool_step(run, never) == {"n": 1}
    await run.commit()
    assert await tool_step(reopen(), never) == {"n": 1}


async def test_the_intent_of_an_effect_is_on_disk_before_it_and_the_result_after(reopen: Open):
    run = reopen()
    before: list[str] = []

    async def do(attempt: int) -> Any:
        before.extend(types(run))
        return {}

    await tool_step(run, do)
    assert before == ["run.started", "tool.started"]
    assert types(run) == [*before, "tool.finished"]


async def test_an_effect_without_a_result_is_unknown_to_the_next_process(reopen: Open):
    async def do(attempt: int) -> Any:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await tool_step(reopen(), do)
    for _ in range(2):
        with pytest.raises(UnknownOutcome) as caught:
            await tool_step(reopen(), never)
        assert (caught.value.path, caught.value.attempt) == ("t/1/tool:0", 1)


async def test_leave_to_try_an_unknown_effect_again_is_leave_for_one_attempt(reopen: Open):
    async def cut(attempt: int) -> Any:
        raise asyncio.CancelledError

    async def do(attempt: int) -> Any:
        return {"n": attempt}

    with pytest.raises(asyncio.CancelledError):
        await tool_step(reopen(), cut)
    run = reopen()
    run.begun("t/1/tool:0", task="t")
    run.settle("t/1/tool:0", task="t")
    with pytest.raises(asyncio.CancelledError):
        await tool_step(run, cut)
    with pytest.raises(UnknownOutcome) as caught:
        await tool_step(run, never)
    assert caught.value.attempt == 2
    run = reopen()
    with pytest.raises(UnknownOutcome) as caught:
        await tool_step(run, never)
    assert caught.value.attempt == 2
    run.settle("t/1/tool:0", task="t")
    assert await tool_step(run, do) == {"n": 3}


async def test_a_lost_outcome_is_unknown_here_and_in_the_next_process(reopen: Open):
    async def lose(attempt: int) -> Any:
        raise LostOutcome("no answer within 5 seconds")

    run = reopen()
    with pytest.raises(UnknownOutcome):
        await tool_step(run, lose)
    await run.commit()
    assert held(run)[-1].data["failed"] == {"type": "LostOutcome", "message": "no answer within 5 seconds"}
    with pytest.raises(UnknownOutcome):
        await tool_step(reopen(), never)


@pytest.mark.parametrize("approval", ["", "a-1"])
async def test_of_two_executors_of_an_effect_one_acts(reopen: Open, approval: str):
    acted: list[int] = []

    async def do(attempt: int) -> Any:
        acted.append(attempt)
        return {}

    one = reopen()
    await one.commit()
    other = Run(one._writer, one._lease, history=held(one))
    given = {"approval": approval, "repeatable": False}
    outcomes = await asyncio.gather(
        *(run.step("t/1/tool:0", "tool", INTENT, do, task="t", **given) for run in (one, other)),
        return_exceptions=True,
    )
    assert acted == [1]
    assert {type(outcome) for outcome in outcomes} == {dict, Denied if approval else UnknownOutcome}
    assert types(one).count("tool.started") == types(one).count("tool.finished") == 1


async def test_a_known_failure_is_recorded_and_may_be_tried_again(reopen: Open):
    async def fail(attempt: int) -> Any:
        raise ValueError("no")

    async def do(attempt: int) -> Any:
        return {"n": attempt}

    run = reopen()
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            await tool_step(run, fail)
    await run.commit()
    run = reopen()
    with pytest.raises(ValueError, match="no"):
        await tool_step(run, fail)
    assert await tool_step(run, do) == {"n": 4}
    assert [e.attempt for e in held(run) if e.type == "tool.started"] == [1, 2, 3, 4]


async def test_a_repeatable_step_is_done_again_without_a_word(reopen: Open):
    async def cut(attempt: int) -> Any:
        raise asyncio.CancelledError

    async def do(attempt: int) -> Any:
        return {"n": attempt}

    run = reopen()
    with pytest.raises(asyncio.CancelledError):
        await tool_step(run, cut, repeatable=True)
    await run.commit()
    assert await tool_step(reopen(), do, repeatable=True) == {"n": 2}


async def test_a_step_that_waits_for_a_person_is_neither_finished_nor_failed(reopen: Open):
    async def wait(attempt: int) -> Any:
        raise Waiting(["a-1"])

    async def do(attempt: int) -> Any:
        return {}

    run = reopen()
    with pytest.raises(Waiting):
        await tool_step(run, wait, repeatable=True)
    await run.commit()
    assert types(run) == ["run.started", "tool.started"]
    assert await tool_step(reopen(), do, repeatable=True) == {}


@pytest.mark.parametrize("finished", [True, False])
async def test_another_request_at_the_same_path_is_a_named_divergence(reopen: Open, finished: bool):
    async def do(attempt: int) -> Any:
        if not finished:
            raise asyncio.CancelledError
        return {}

    run = reopen()
    try:
        await tool_step(run, do)
    except asyncio.CancelledError:
        await run.commit()
    with pytest.raises(
        ReplayError, match=r"Run r-1 at t/1/tool:0: .*send, fingerprint f1.*pay, fingerprint f2"
    ):
        await tool_step(reopen(), never, intent={"tool": "pay", "fingerprint": "f2"})


async def test_secrets_are_out_of_a_result_before_anyone_sees_it(reopen: Open):
    async def do(attempt: int) -> Any:
        return {"text": "the key is hunter2-hunter2"}

    run = reopen(redactor=Redactor({"KEY": "hunter2-hunter2"}))
    assert await tool_step(run, do) == {"text": "the key is [redacted:KEY]"}
    assert not [event for event in held(run) if "hunter2" in event.to_json()]


async def test_what_is_recorded_once_is_recorded_once_over_all_processes(reopen: Open):
    run = reopen()
    for _ in range(2):
        run.record("agent.started", "t/0", {"role": "A"}, task="t")
        run.say(ChatMessage("user", "Do it."), "t/1", task="t", agent="A")
    await run.commit()
    run = reopen()
    run.record("agent.started", "t/0", {"role": "A"}, task="t")
    run.say(ChatMessage("user", "Do it."), "t/1", task="t", agent="A")
    await run.commit()
    assert types(run) == ["run.started", "agent.started", "message.recorded"]


async def test_a_verdict_is_asked_for_once_over_all_processes(reopen: Open):
    asked: list[int] = []

    async def check() -> Any:
        asked.append(1)
        return {"guardrail": "g", "verdict": "allow", "why": ""}

    run = reopen()
    first = await run.verdict("t/1/guardrail:0", check, task="t", agent="A")
    await run.commit()
    again = await reopen().verdict("t/1/guardrail:0", check, task="t", agent="A")
    assert (first, asked) == (again, [1])


async def test_a_task_that_is_final_is_forgotten_and_one_that_is_not_is_kept(reopen: Open):
    async def do(attempt: int) -> Any:
        return {}

    run = reopen()
    await tool_step(run, do)
    run.finish("t", {"status": "failed"}, agent="A", final=False)
    await run.commit()
    run = reopen()
    assert run.finished == {}
    assert run.holds("t/1/tool:0", task="t")
    run.finish("t", {"status": "completed", "output": 1}, agent="A", final=True)
    await run.commit()
    run = reopen()
    assert run.finished["t"]["output"] == 1
    assert not run.holds("t/1/tool:0", task="t")


async def test_decisions_and_signals_from_elsewhere_arrive(reopen: Open, tmp_path):
    run = reopen()
    await run.commit()
    with SqliteJournal(tmp_path / "journal.db") as elsewhere:
        decided = Draft("approval.decided", "t/ask", {"id": "a-1", "decision": "approve"}, "t", key="a-1")
        cancel = Draft("run.signal", data={"signal": "cancel"}, key="c-1")
        elsewhere.append([Write("r-1", [decided, cancel], None)])
    watching = asyncio.create_task(run.watch(0.01))
    await asyncio.wait_for(run.arrived.wait(), 5)
    watching.cancel()
    assert run.decision("a-1")["decision"] == "approve"
    assert [signal.kind for signal in run.outside.fresh("cancel")] == ["cancel"]


async def test_a_look_that_fails_is_looked_again(reopen: Open):
    class Flaky(Run):
        looks = 0

        async def look(self) -> None:
            self.looks += 1
            if self.looks < 3:
                raise JournalError("locked")
            self.arrived.set()

    run = reopen()
    flaky = Flaky(run._writer, run._lease)
    watching = asyncio.create_task(flaky.watch(0.001))
    await asyncio.wait_for(flaky.arrived.wait(), 5)
    watching.cancel()


async def test_a_listener_that_raises_stops_neither_the_others_nor_a_commit(reopen: Open):
    run = reopen()
    heard: list[str] = []

    def broken(event: Event) -> None:
        raise ZeroDivisionError

    run.listeners += [broken, lambda event: heard.append(event.type)]
    await asyncio.wait_for(run.commit(), 5)
    assert heard == ["run.started"]


async def test_after_an_append_that_failed_nothing_more_is_recorded(reopen: Open, tmp_path):
    run = reopen()
    await run.commit()
    with SqliteJournal(tmp_path / "journal.db") as elsewhere:
        run._writer.journal.release(run._lease)
        elsewhere.take("r-1", "s-2")
        run.record("note", data={"text": "too late"})
        with pytest.raises(JournalError, match="taken over"):
            await run.commit()
        with pytest.raises(JournalError, match="taken over"):
            run.record("note", data={"text": "later still"})
    assert types(run) == ["run.started"]


def test_run_ids_are_apart():
    ids = {new_run_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(len(id) == 10 and id.startswith("r-") for id in ids)


async def test_who_listens_is_told_once_of_a_journal_that_does_not_answer(reopen):
    run, heard, answers = reopen(slow=0.01), [], threading.Event()
    run.listeners.append(heard.append)
    run._writer.call(answers.wait)
    run.record("note", data={"text": "a"})
    several = asyncio.gather(run.commit(), run.commit(durable=True))
    while not heard:
        await asyncio.sleep(0.01)
    answers.set()
    await several
    assert [(event.type, event.seq > 0) for event in heard] == [
        *(("journal.slow", False), ("run.started", True), ("note", True))
    ]
    assert types(run) == ["run.started", "note"]
