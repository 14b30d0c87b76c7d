"""Undo: what was done is taken back where a run or a branch of it is given up, the last effect first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from crewkit import (
    Agent,
    Crew,
    DefinitionError,
    Grant,
    Input,
    InputError,
    JournalError,
    Limits,
    Options,
    Result,
    Scope,
    Task,
    ToolContext,
    tool,
)
from crewkit.core.events import Event
from crewkit.journal.base import Journal, Write
from crewkit.journal.sqlite import SqliteJournal
from crewkit.models.base import Request
from crewkit.models.scripted import ScriptedModel, call
from tests.crew.dying import Dying, answer, open_questions

RUN = "r-undo"


class Booking(BaseModel):
    id: str
    what: str


@dataclass
class World:
    """The services outside: what is booked, and what was asked of them."""

    booked: dict[str, str] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)


def services(world: World) -> dict[str, Any]:
    def cancel(result: Booking, key: str, context: ToolContext) -> None:
        """Cancel a booking; cancelling twice is cancelling once."""
        assert context.idempotency_key != key
        if f"cancel {result.what}" in world.broken:
            raise ValueError("the desk is closed")
        world.log.append(f"cancel {result.what}")
        world.booked.pop(result.id, None)

    @tool(effects="financial", undo=cancel)
    def book(what: str, context: ToolContext) -> Booking:
        """Book something."""
        if what in world.broken:
            raise ValueError(f"no {what} left")
        world.log.append(f"book {what}")
        world.booked[context.idempotency_key] = what
        return Booking(id=context.idempotency_key, what=what)

    @tool(effects="external")
    def mail(what: str) -> str:
        """Send a mail, which nothing takes back."""
        world.log.append(f"mail {what}")
        return "sent"

    return {"book": book, "mail": mail}


def booking(world: World, name: str, needs: Sequence[str] = (), **task: Any) -> Task[Any]:
    """Let an agent book, without anybody being asked."""
    own = services(world)
    steps = [call("book", what=name), f"{name} is booked"]

    def say(request: Request) -> Any:
        told = [m.content for m in request.messages if m.role == "tool"]
        if told and "no " in told[-1]:
            return "I cannot."  # it calls no tool successfully, which the task requires
        return steps[len(told)]

    agent = Agent(
        name.capitalize(),
        "Book.",
        tools=[own["book"]],
        model=ScriptedModel(say),
        scope=task.pop("scope", Scope(Grant("book", "never"))),
    )
    return Task(name, f"Book the {name}.", agent=agent, needs=needs, requires_tools=["book"], **task)


def trip(world: World, **hotel: Any) -> Crew:
    own = services(world)
    mailed = Task("mailed", do=own["mail"], needs=["flight"])
    return Crew(
        [
            booking(world, "flight"),
            booking(world, "car", ["flight"]),
            mailed,
            booking(world, "hotel", ["car", "mailed"], **hotel),
        ],
        inputs={"what": Input(default="a trip")},
        name="trip",
    )


def undos(journal: Journal) -> list[str]:
    return [e.path for e in journal.events(RUN, types=("undo.finished",)) if e.data.get("outcome") == "ok"]


async def test_a_run_that_fails_undoes_what_it_did_the_last_first(make_options, runs):
    world = World(broken={"hotel"})
    result = await trip(world).run({}, make_options(run_id=RUN))
    assert result.status == "failed"
    assert world.log == ["book flight", *world.log[1:3], "cancel car", "cancel flight"]
    assert world.booked == {}
    assert undos(runs) == ["car/1/tool:0/undo", "flight/1/tool:0/undo"]
    assert result.report.undone == {"car/1/tool:0": "cancel", "flight/1/tool:0": "cancel"}
    assert result.report.left == {"mailed/1/tool:0": "Nothing undoes mail()."}
    assert (
        "Undone: car/1/tool:0, flight/1/tool:0. Not undone: mailed/1/tool:0: Nothing undoes mail()."
        in result.why
    )
    begun = next(runs.events(RUN, types=("undo.started",)))
    assert (begun.path, begun.data["scope"], begun.data["status"]) == ("undo", "run", "failed")
    with pytest.raises(InputError, match="was given up, and what it did was undone"):
        await trip(world).resume(RUN, make_options())
    with pytest.raises(InputError, match="was given up and undone"):
        await trip(world).fork(RUN, "car", options=make_options())


async def test_a_run_that_completes_or_waits_or_reaches_a_limit_undoes_nothing(make_options, decide, runs):
    world = World()
    asked = trip(world, human_input="Good?")
    assert (await asked.run({}, make_options(run_id=RUN))).status == "paused"
    decide(RUN)
    assert (await asked.resume(RUN, make_options())).ok
    assert len(world.booked) == 3
    assert (await trip(World()).run({}, make_options(limits=Limits(steps=3)))).status == "limit"
    assert undos(runs) == []


async def test_a_branch_that_is_given_up_is_undone_and_the_run_goes_on(make_options, runs):
    world = World()
    refused = trip(world, on_failure="continue", guardrails=[lambda text: "Never."], revisions=0)
    result = await refused.run({}, make_options(run_id=RUN))
    assert result.status == "completed"
    assert sorted(world.booked.values()) == ["car", "flight"]
    assert undos(runs) == ["hotel/1/tool:0/undo"]
    assert "Undone: hotel/1/tool:0." in result.report.failed["hotel"]
    again = await refused.resume(RUN, make_options())
    assert again.status == "completed"
    assert world.log.count("book hotel") == 1


async def test_a_failed_item_of_a_map_is_undone_alone(make_options, runs):
    world = World(broken=set())
    own = services(world)

    @tool(effects="read")
    def check(item: str, booked: Booking) -> str:
        """Check."""
        if item == "b":
            raise ValueError("no")
        return item

    one = Crew(
        [Task("booked", do=own["book"]), Task("checked", do=check, needs=["booked"])],
        inputs=["item", "what"],
        name="one",
    )
    many = Task("many", do=one, for_each="items", min_success=1)
    crew = Crew([many], inputs={"items": Input(type=list[str]), "what": Input()})
    result = await crew.run({"items": ["a", "b", "c"], "what": "x"}, make_options(run_id=RUN))
    assert (result.status, result.output) == ("completed", ["a", "c"])
    assert undos(runs) == ["many[1]/booked/1/tool:0/undo"]
    assert len(world.booked) == 2


async def test_a_person_is_asked_before_an_undo_where_the_scope_says_so(make_options, decide, runs):
    world = World(broken={"hotel"})
    asks = Scope(Grant("book", "always"))
    crew = Crew(
        [
            booking(world, "flight", scope=asks),
            booking(world, "car"),
            booking(world, "hotel", ["flight", "car"]),
        ]
    )
    result = await crew.run({}, make_options(run_id=RUN))
    decide(RUN)
    result = await crew.resume(RUN, make_options())
    assert (result.status, len(result.approvals)) == ("paused", 1)
    assert "A person must decide about undoing what it did." in result.why
    assert "cancel car" not in world.log  # all is undone in its order, or waits
    (asked,) = [e for e in runs.events(RUN, types=("approval.requested",)) if "/undo" in e.path]
    assert asked.data["question"] == "Undo 'book' by 'cancel'?"
    decide(RUN, "deny", "Keep it.")
    result = await crew.resume(RUN, make_options())
    assert result.status == "failed"
    assert result.report.undone == {"car/1/tool:0": "cancel"}
    assert result.report.left == {"flight/1/tool:0": "It stands: a person said not to undo it. Keep it."}


async def test_what_cannot_be_undone_is_reported_and_tried_again_when_a_person_says_so(make_options, runs):
    world = World(broken={"hotel", "cancel car"})
    result = await trip(world).run({}, make_options(run_id=RUN))
    assert result.report.left["car/1/tool:0"] == "cancel() raised ValueError: the desk is closed"
    assert list(world.booked.values()) == ["car"]
    world.broken.clear()
    result = await trip(world).undo(RUN, "Ann", make_options())
    assert (result.status, world.booked) == ("failed", {})
    assert world.log.count("cancel flight") == 1


async def test_a_person_undoes_a_run_that_completed(make_options, runs):
    world = World()
    assert (await trip(world).run({}, make_options(run_id=RUN))).ok
    result = await trip(world).undo(RUN, "Ann", make_options())
    assert (result.status, world.booked) == ("cancelled", {})
    assert result.why.startswith("Ann gave it up. Undone: hotel/1/tool:0, car/1/tool:0, flight/1/tool:0.")


async def test_a_fork_undoes_what_it_did_and_not_what_it_shares(make_options, runs):
    world = World()
    assert (await trip(world).run({}, make_options(run_id=RUN))).ok
    world.broken.add("hotel")
    forked = await trip(world).fork(RUN, "hotel", options=make_options(repeat_effects=True))
    assert (forked.status, forked.report.undone, forked.report.left) == ("failed", {}, {})
    assert sorted(world.booked.values()) == ["car", "flight", "hotel"]


async def test_an_effect_that_may_have_happened_is_asked_about_and_never_undone_in_silence(
    make_options, decide, runs
):
    async def never(what: str, context: ToolContext) -> str:
        """Never return."""
        raise JournalError("the process dies here")

    undone: list[str] = []

    def release(what: str, key: str) -> None:
        """Release what the key holds."""
        undone.append(key)

    hold = tool(never, effects="financial", name="hold", undo=release)
    agent = Agent(
        "Holder",
        "Hold.",
        tools=[hold],
        model=ScriptedModel([call("hold", what="x"), "held"]),
        scope=Scope(Grant("hold", "never")),
    )
    crew = Crew([Task("held", "Hold.", agent=agent)], name="held")
    with DyingAt(runs.path, "tool.started") as journal, pytest.raises(JournalError):
        await crew.run({}, make_options(run_id=RUN, journal=journal))
    result = await crew.undo(RUN, "Ann", make_options())
    assert (result.status, undone) == ("paused", [])
    (asked,) = runs.events(RUN, types=("approval.requested",))
    assert (
        asked.data["question"]
        == "'hold' was begun and nobody knows whether it happened. Undo it by 'release'?"
    )
    decide(RUN)
    result = await crew.resume(RUN, make_options())
    begun = next(runs.events(RUN, types=("tool.started",)))
    assert (result.status, undone) == ("cancelled", [begun.data["key"]])


def test_mistakes_are_found_before_anything_runs():
    def wrong(flight: str) -> None:
        """Wrong."""

    with pytest.raises(
        DefinitionError, match="its undo 'wrong' takes 'flight', which is no argument of 'book'"
    ):

        @tool(effects="financial", undo=wrong)
        def book(what: str) -> str:
            """Book."""
            return what

    with pytest.raises(DefinitionError, match="only reads: there is nothing to undo"):

        @tool(effects="read", undo=wrong)
        def read(what: str) -> str:
            """Read."""
            return what


# Killed at every write


class DyingAt(Dying):
    """Dies after the first event of a type."""

    def __init__(self, path: Path, type: str) -> None:
        super().__init__(path, 10_000)
        self.type = type

    def append(self, writes: Sequence[Write]) -> list[list[Event]]:
        done = super().append(writes)
        if any(draft.type == self.type for write in writes for draft in write.drafts):
            self.left = 0
        return done


def decide_all(journal: Journal) -> None:
    for question in open_questions(journal, RUN):
        answer(journal, question, "approve")


def saga(world: World) -> Crew:
    own = services(world)
    asks = Scope(Grant("book", "always"))
    lost = booking(
        world, "boat", ["flight"], on_failure="continue", guardrails=[lambda text: "Never."], revisions=0
    )
    mailed = Task("mailed", do=own["mail"], needs=["flight"])
    return Crew(
        [
            booking(world, "flight"),
            booking(world, "car", ["flight"], scope=asks),
            lost,
            mailed,
            booking(world, "hotel", ["car", "boat", "mailed"]),
        ],
        inputs={"what": Input(default="a trip")},
        name="saga",
    )


async def to_the_end(journal: Journal, world: World) -> Result:
    options = Options(journal=journal, environ={}, run_id=RUN)
    begun = journal.last(RUN) > 0
    result = await (saga(world).resume(RUN, options) if begun else saga(world).run({}, options))
    while result.status == "paused":
        decide_all(journal)
        result = await saga(world).resume(RUN, options)
    return result


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_crash_at_any_write_of_an_undo_undoes_everything_and_nothing_twice(tmp_path: Path):
    world = World(broken={"hotel"})
    with SqliteJournal(tmp_path / "whole.db") as journal:
        expected = await to_the_end(journal, world)
        first = next(journal.events(RUN, types=("undo.started",))).seq
        total = journal.last(RUN)
    assert (expected.status, world.booked) == ("failed", {})
    assert expected.report.undone == {"car/1/tool:0": "cancel", "flight/1/tool:0": "cancel"}
    tried: set[int] = set()
    in_undo = 0
    for after in [*range(1, first, 17), *range(first, total)]:
        path = tmp_path / f"{after}.db"
        world = World(broken={"hotel"})
        with Dying(path, after) as dying:
            try:
                await to_the_end(dying, world)
                break
            except JournalError:
                pass
        with SqliteJournal(path) as journal:
            held = [event.type for event in journal.events(RUN)]
            if len(held) in tried:
                continue
            tried.add(len(held))
            in_undo += "undo.started" in held
            if "run.finished" in held:
                continue
            result = await to_the_end(journal, world)
            assert result.status == "failed", (after, result.why)
            assert world.booked == {}, (after, world.log)
            finished = [
                e.path for e in journal.events(RUN, types=("undo.finished",)) if e.data.get("outcome") == "ok"
            ]
            assert len(finished) == len(set(finished)), after
            # An undo in flight is made again, with the same key; one that is finished is not.
            assert len([line for line in world.log if line.startswith("cancel")]) <= 4, (after, world.log)
    assert in_undo > 2, "how many events go into one write, and so how many states there are, is chance"
