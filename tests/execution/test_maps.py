"""Maps: a task is done for each item of a list that is known only at run time."""

# ruff: noqa: E501  messages stand here as people read them

from __future__ import annotations

import gc
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from inline_snapshot import snapshot
from pydantic import BaseModel

from crewkit import (
    Agent,
    Crew,
    DefinitionError,
    Grant,
    Input,
    JournalError,
    Limits,
    Options,
    ReplayError,
    Result,
    Scope,
    Task,
    ToolContext,
    tool,
)
from crewkit.coordinator.schedule import Schedule
from crewkit.core.limits import Meter
from crewkit.execution.walk import Walk
from crewkit.journal.base import Journal
from crewkit.journal.held import TaskIndex
from crewkit.journal.sqlite import SqliteJournal
from crewkit.models.base import Request
from crewkit.models.scripted import ScriptedModel, call
from tests.crew.dying import Dying, answer, open_questions

RUN = "r-maps"


class Paper(BaseModel):
    title: str
    pages: int = 1


class Shelf(BaseModel):
    papers: list[Paper]


@tool(effects="read")
def shelf(titles: list[str]) -> Shelf:
    """Put papers on a shelf."""
    return Shelf(papers=[Paper(title=title, pages=len(title)) for title in titles])


@tool(effects="read")
def grade(item: Paper) -> int:
    """Grade a paper."""
    if not item.title:
        raise ValueError("no title")
    return item.pages


@tool(effects="read")
def total(grades: list[int]) -> int:
    """Add up."""
    return sum(grades)


def graded(**task: Any) -> Crew:
    papers = Task("shelf", do=shelf)
    grades = Task("grades", do=grade, for_each="shelf.papers", **task)
    return Crew(
        [papers, grades, Task("total", do=total, needs=[grades])], inputs={"titles": Input(type=list[str])}
    )


def paths(journal: Journal, kind: str) -> list[str]:
    return [event.path for event in journal.events(RUN, types=(kind,))]


async def test_a_function_is_called_for_each_item_and_the_next_task_reduces(make_options, runs):
    result = await graded().run({"titles": ["a", "bbb", "cc"]}, make_options(run_id=RUN))
    assert (result.outputs["grades"], result.output) == ([1, 3, 2], 6)
    assert result.each(Task("grades", do=grade)) == [1, 3, 2]
    assert sorted(paths(runs, "tool.started")) == [
        *(f"grades[{i}]/1/tool:0" for i in range(3)),
        "shelf/1/tool:0",
        "total/1/tool:0",
    ]
    started = next(runs.events(RUN, types=("map.started",)))
    assert (started.path, started.data) == ("grades", {"items": 3})


async def test_an_empty_list_comes_to_an_empty_list(make_options):
    result = await graded(min_success=2).run({"titles": []}, make_options())
    assert (result.status, result.outputs["grades"], result.output) == ("completed", [], 0)


async def test_all_items_have_to_succeed_where_nothing_is_said_and_what_did_is_kept(make_options, runs):
    options = make_options(run_id=RUN)
    result = await graded(concurrency=1).run({"titles": ["a", "", "cc"]}, options)
    assert result.status == "failed"
    assert result.report.failed["grades"] == snapshot(
        "1 of 3 items failed: [1] grade() raised ValueError: no title, and 3 have to succeed. 1 were not begun. What succeeded is kept."
    )
    assert result.report.skipped["total"] == "It needs 'grades', which failed."
    before = paths(runs, "tool.started")
    assert (await graded(concurrency=1).resume(RUN, options)).status == "failed"
    assert paths(runs, "tool.started")[len(before) :] == ["grades[1]/1/tool:0"]  # and [0] not once more


@pytest.mark.parametrize("least", [2, 0.6, 0])
async def test_failed_items_are_left_out_where_enough_succeed(make_options, least: float):
    result = await graded(min_success=least).run({"titles": ["a", "", "cc"]}, make_options())
    assert (result.status, result.outputs["grades"], result.output) == ("completed", [1, 2], 3)
    said = "1 of 3 items failed: [1] grade() raised ValueError: no title. They are left out."
    assert result.report.capped == {"grades": said}
    assert result.why == "3 of 3 tasks completed. Without some of its items: grades."


async def test_what_depends_on_a_map_is_told_what_is_left_out(make_options):
    told: list[str] = []

    def say(request: Request) -> str:
        told.append(request.messages[-1].content)
        return "summary"

    writer = Agent("Writer", "Write.", model=ScriptedModel(say))
    crew = graded(min_success=1)
    summary = Task("summary", "Sum up.", agent=writer, needs=["grades"])
    await Crew([*crew.tasks, summary], inputs=crew.inputs).run({"titles": ["a", ""]}, make_options())
    assert (
        "(Mind: 1 of 2 items failed: [1] grade() raised ValueError: no title. They are left out.)" in told[0]
    )


async def test_an_agent_is_told_its_item_and_not_the_whole_list(make_options):
    told: list[str] = []

    def say(request: Request) -> str:
        told.append(request.messages[-1].content)
        return f"about {len(told)}"

    writer = Agent("Writer", "Write about {place}.", model=ScriptedModel(say))
    written = Task(
        "written", "Write about {item} in {place}.", "A line.", writer, for_each="topics", concurrency=1
    )
    inputs = {"topics": Input(type=list[str]), "place": Input()}
    result = await Crew([written], inputs=inputs).run(
        {"topics": ["tides", "moons"], "place": "Kiel"}, make_options()
    )
    assert result.output == ["about 1", "about 2"]
    assert "Write about tides in Kiel." in told[0]
    assert "- item: tides" in told[0]
    assert "moons" not in told[0]


async def test_each_item_loops_until_its_check_is_content(make_options, runs):
    @tool(effects="read")
    def grow(item: int, previous: int | None, reason: str) -> int:
        """Grow."""
        return (previous or 0) + item

    grown = Task("grown", do=grow, for_each="sizes", until="grown >= 4 or item == 7", iterations=3)
    crew = Crew([grown], inputs={"sizes": Input(type=list[int])})
    result = await crew.run({"sizes": [1, 2, 7]}, make_options(run_id=RUN))
    assert result.output == [3, 4, 7]
    assert [p for p in paths(runs, "tool.started") if p.startswith("grown[0]")] == [
        f"grown[0]{turn}/1/tool:0" for turn in ("", "#2", "#3")
    ]
    assert result.report.capped["grown"].startswith(
        "1 of 3 items were not accepted: [0] It was not accepted in 3"
    )


async def test_a_crew_does_each_item_and_maps_nest(make_options, runs):
    @tool(effects="read")
    def double(item: int, plus: int) -> int:
        """Double."""
        return 2 * item + plus

    inner = Crew(
        [Task("doubled", do=double, for_each="item")],
        inputs={"item": Input(type=list[int]), "plus": Input(type=int)},
        name="inner",
    )
    outer = Task("outer", do=inner, for_each="rows")
    crew = Crew([outer], inputs={"rows": Input(type=list[list[int]]), "plus": Input(type=int)})
    result = await crew.run({"rows": [[1, 2], [], [3]], "plus": 1}, make_options(run_id=RUN))
    assert result.output == [[3, 5], [], [7]]
    assert "outer[2]/doubled[0]/1/tool:0" in paths(runs, "tool.started")


async def test_a_person_decides_on_one_item_while_the_others_go_on(make_options, decide, runs):
    reviewed = graded(human_input="Is it fair?", concurrency=1)
    result = await reviewed.run({"titles": ["a", "bb"]}, make_options(run_id=RUN))
    assert (result.status, len(result.approvals)) == (
        "paused",
        2,
    )  # one that waits keeps no other from its turn
    decide(RUN, "deny", only="grades[0]")
    decide(RUN, only="grades[1]")
    result = await graded(human_input="Is it fair?", concurrency=1, min_success=1).resume(
        RUN, make_options(changed="keep")
    )
    assert (result.status, result.outputs["grades"]) == ("completed", [2])


async def test_a_map_whose_condition_does_not_hold_is_skipped_whole(make_options):
    result = await graded(when="shelf.papers[0].pages > 1", on_failure="continue").run(
        {"titles": ["a"]}, make_options()
    )
    assert "grades" in result.report.skipped


@pytest.mark.parametrize("given", [{"rows": 3}, {"rows": None}, {"rows": "abc"}])
async def test_what_is_no_list_at_run_time_fails_the_task_by_name(make_options, given: Any):
    def one(item: Any) -> str:
        return str(item)

    crew = Crew([Task("each", do=one, for_each="given.rows")], inputs={"given": Input(type=dict[str, Any])})
    result = await crew.run({"given": given}, make_options())
    assert result.status == "failed"
    assert "Task 'each': `given.rows` is n" in result.why


async def test_a_cap_on_the_run_stops_a_map_and_a_higher_one_finishes_it(make_options, runs):
    writer = Agent("Writer", "Write.", model=ScriptedModel(lambda request: "text"), max_tokens=100)
    written = Task(
        "written", "Write about {item}.", agent=writer, for_each="topics", concurrency=1, min_success=1
    )
    crew = Crew([written], inputs={"topics": Input(type=list[int])})
    topics = {"topics": list(range(5))}
    result = await crew.run(topics, make_options(run_id=RUN, limits=Limits(steps=2)))
    assert result.status == "limit"
    again = await crew.resume(RUN, make_options(limits=Limits(steps=9)))
    assert (again.status, again.output) == ("completed", ["text"] * 5)
    assert len(paths(runs, "model.finished")) == 5


def bad(message: str, **task: Any) -> None:
    with pytest.raises(DefinitionError) as error:
        _ = Crew([Task("shelf", do=shelf), Task("grades", **{"do": grade, **task})], inputs=["titles"]).plan
    assert message in str(error.value)


def test_mistakes_are_found_before_anything_runs():
    bad(
        "is to be done for each of 'shelv', which is neither a task of this crew nor an input. Did you mean 'shelf'?",
        for_each="shelv",
    )
    bad("for_each='shelf' is no list but object", for_each="shelf")
    bad("for_each='titles' is no list but string", for_each="titles")
    bad("there is no `shelf.paper` of Shelf. Did you mean 'papers'?", for_each="shelf.paper")
    bad("names no list", for_each="shelf.papers == []")
    bad("min_success=1.5 is neither", for_each="shelf.papers", min_success=1.5)
    bad("min_success=1 is for a task that is done for each of a list", min_success=1)
    bad("concurrency=0 is not a whole number, 1 at least", for_each="shelf.papers", concurrency=0)
    bad("is neither a task nor a name", for_each=[1, 2])
    bad("takes 'item', which is neither", needs=["shelf"])


async def test_finished_items_leave_nothing_behind_but_their_output(make_options):
    """Of all that a run holds of an item under way there is no more at the end of a long list than at its beginning."""
    held: dict[int, int] = {}

    @tool(effects="read")
    async def one(item: int) -> int:
        """Take one, and count what is held."""
        if item in (20, 280):
            gc.collect()
            kinds = (Walk, Meter, Schedule, TaskIndex)
            held[item] = sum(isinstance(each, kinds) for each in gc.get_objects())
        return item

    inner = Crew([Task("one", do=one)], inputs={"item": Input(type=int)}, name="inner")
    crew = Crew([Task("many", do=inner, for_each="rows")], inputs={"rows": Input(type=list[int])})
    assert (await crew.run({"rows": list(range(300))}, make_options())).ok
    assert held[280] <= held[20] + 20


async def test_a_finished_map_that_changed_keeps_what_it_came_to_and_an_unfinished_one_stops_the_resume(
    make_options, runs
):
    def crew(factor: int, *, broken: bool) -> Crew:
        @tool(effects="read")
        def grow(item: int) -> int:
            """Grow."""
            if item == 2:
                raise ValueError("two")
            return item * factor

        @tool(effects="read")
        def end(grown: list[int]) -> int:
            """End."""
            if broken:
                raise ValueError("later")
            return sum(grown)

        grown = Task("grown", do=grow, for_each="rows", min_success=1 if broken else 0.1)
        return Crew(
            [grown, Task("end", do=end, needs=[grown])],
            inputs={"rows": Input(type=list[int], default=[1, 2, 3])},
        )

    assert (await crew(1, broken=True).run({}, make_options(run_id=RUN))).status == "failed"
    kept = await crew(5, broken=False).resume(RUN, make_options(changed="keep"))
    assert (kept.status, kept.output) == ("completed", 4)
    again = await crew(5, broken=False).resume(RUN, make_options(changed="rerun"))
    assert (again.status, again.output) == ("completed", 20)

    @tool(name="grade", effects="read")
    def grade_otherwise(item: Paper) -> int:
        """Grade a paper."""
        return 7

    await graded().run({"titles": ["a", ""]}, make_options(run_id="r-other"))
    papers, grades, _ = graded().tasks
    grades = replace(grades, do=grade_otherwise)
    changed = Crew(
        [papers, grades, Task("total", do=total, needs=[grades])], inputs={"titles": Input(type=list[str])}
    )
    with pytest.raises(ReplayError, match="grades: arguments, code of grade"):
        await changed.resume("r-other", make_options())


# Killed at every write


@dataclass
class World:
    called: list[str] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)


def make_crew(world: World) -> Crew:
    def say(request: Request) -> Any:
        if len(request.messages) > 2:
            return "done"
        return call("send", text="x")

    @tool(effects="write", idempotent=False)
    async def send(text: str, context: ToolContext) -> str:
        """Send."""
        world.sent.append(context.path)
        return "sent"

    @tool(effects="read")
    def measure(item: str, context: ToolContext) -> int:
        """Measure."""
        world.called.append(context.path)
        if item == "bad":
            raise ValueError("bad")
        return len(item)

    @tool(effects="read")
    def sum_up(lengths: list[int], letters: list[str], inner: list[Any]) -> str:
        """Sum up."""
        return f"{lengths} {letters} {inner}"

    clerk = Agent(
        "Clerk", "Send.", tools=[send], model=ScriptedModel(say), scope=Scope(Grant("send", "never"))
    )
    lengths = Task("lengths", do=measure, for_each="words", min_success=0.5, concurrency=2)
    letters = Task("letters", "Send {item}.", agent=clerk, for_each=lengths, concurrency=2)
    measured = Task("measured", do=measure)
    read = Task("read", do=measure, needs=[measured], human_input=True)
    sub = Crew([measured, read], inputs=["item"], name="sub")
    inner = Task("inner", do=sub, for_each="words", min_success=1)
    ended = Task("ended", do=sum_up, needs=[lengths, letters, inner])
    return Crew([lengths, letters, inner, ended], inputs={"words": Input(type=list[str])})


def decide_all(journal: Journal) -> None:
    for question in open_questions(journal, RUN):
        answer(journal, question, "deny" if question.data["kind"] == "unknown" else "approve")


async def to_the_end(journal: Journal, world: World) -> Result:
    options = Options(journal=journal, environ={}, run_id=RUN)
    begun = journal.last(RUN) > 0
    given = {"words": ["a", "bad", "ccc"]}
    result = await (make_crew(world).resume(RUN, options) if begun else make_crew(world).run(given, options))
    while result.status == "paused":
        decide_all(journal)
        result = await make_crew(world).resume(RUN, options)
    return result


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_crash_at_any_write_of_a_map_changes_nothing_and_repeats_nothing(tmp_path: Path):
    world = World()
    with SqliteJournal(tmp_path / "whole.db") as journal:
        expected = await to_the_end(journal, world)
        assert expected.output == "[1, 3] ['done', 'done'] [1, 3]"
        total = journal.last(RUN)
    assert len(world.sent) == len(set(world.sent)) == 2
    tried: set[int] = set()
    for after in range(1, total, 2):
        path = tmp_path / f"{after}.db"
        first, second = World(), World()
        with Dying(path, after) as dying:
            try:
                await to_the_end(dying, first)
                break
            except JournalError:
                pass
        with SqliteJournal(path) as journal:
            held = list(journal.events(RUN))
            if len(held) in tried:
                continue
            tried.add(len(held))
            result = await to_the_end(journal, second)
        assert (result.output, result.report.capped) == (expected.output, expected.report.capped), after
        done = {e.path for e in held if e.type == "tool.finished" and "failed" not in e.data}
        assert not done & set(second.called), after
        assert not set(first.sent) & set(second.sent), after
    assert len(tried) > 6, "how many events go into one write, and so how many states there are, is chance"
