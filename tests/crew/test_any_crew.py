"""Any crew with routes, joins, loops, maps, crews within and failures ends as a simple interpreter says, also when it
is killed on the way; and nothing that was finished is done again."""

from __future__ import annotations

import asyncio
import inspect
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crewkit import Crew, Input, JournalError, Options, Task, Tool, ToolContext, any_of
from crewkit.core.events import Event
from crewkit.journal.base import Write
from crewkit.journal.cassette import read_cassette, write_cassette
from crewkit.journal.sqlite import SqliteJournal
from crewkit.runs.replay import replay

RUN = "r-any"
ROWS = (4, 1, 2)


@dataclass(frozen=True)
class Spec:
    """One generated task."""

    needs: tuple[str, ...] = ()
    groups: tuple[tuple[str, ...], ...] = ()
    when: tuple[str, int] | None = None
    """Done where this is at least so much, or `None`."""
    fails: bool = False
    on_failure: str = "fail"
    until: int | None = None
    """Done again until the output is at least this."""
    iterations: int = 1
    yields: int = 0
    inner: Mapping[str, Spec] | None = None
    each: str = ""
    """Done for each of this: the input `rows`, or an earlier map. Then only odd items fail."""
    min_success: float | None = None
    concurrency: int = 1

    def named(self) -> list[str]:
        return list(dict.fromkeys([*self.needs, *(name for group in self.groups for name in group)]))


Specs = Mapping[str, Spec]


@st.composite
def specs(draw: st.DrawFn, depth: int = 1) -> Specs:
    made: dict[str, Spec] = {}
    for i in range(draw(st.integers(1, 6 if depth else 3))):
        earlier = list(made)
        needs: list[str] = []
        groups: list[tuple[str, ...]] = []
        if earlier:
            needs = draw(st.lists(st.sampled_from(earlier), unique=True, max_size=2))
            group = st.lists(st.sampled_from(earlier), unique=True, min_size=1, max_size=3).map(tuple)
            groups = draw(st.lists(group, max_size=1))
        named = [*needs, *(n for g in groups for n in g)]
        plain = [n for n in named if made[n].inner is None and not made[n].each]
        # What is done for each of another map needs it.
        maps = [n for n in needs if made[n].each and made[n].inner is None]
        looked = draw(st.sampled_from([*plain, "seed"]))
        inner = draw(specs(depth - 1)) if depth and draw(st.integers(0, 3)) == 0 else None
        until = draw(st.one_of(st.none(), st.integers(0, 12)))
        made[f"t{i}"] = Spec(
            tuple(needs),
            tuple(groups),
            draw(st.one_of(st.none(), st.tuples(st.just(looked), st.integers(0, 6)))),
            draw(st.integers(0, 5)) == 0,
            draw(st.sampled_from(["fail", "skip", "continue"])),
            until if inner is None else None if until is None else until % 5,
            draw(st.integers(1, 3)) if until is not None else 1,
            draw(st.integers(0, 2)),
            inner,
            draw(st.sampled_from(["rows", *maps])) if draw(st.integers(0, 2)) == 0 else "",
            draw(st.sampled_from([None, 0, 0.5, 2])),
            draw(st.integers(1, 3)),
        )
    return made


def number(value: Any) -> int:
    if isinstance(value, dict):
        return sum(number(each) for each in value.values())
    if isinstance(value, list):
        return sum(number(each) for each in value)
    return value or 0


# What should come of it


@dataclass
class Calls:
    """The paths of the calls that are made, and those of maps that are given up, where it depends."""

    must: set[str] = field(default_factory=set)
    may: set[str] = field(default_factory=set)


def interpreted(
    crew: Specs,
    seed: int,
    before: int = 0,
    rows: Sequence[int] = ROWS,
    at: str = "",
    calls: Calls | None = None,
) -> dict[str, tuple[str, Any]]:
    """Say what becomes of each task, one at a time."""
    ended: dict[str, tuple[str, Any]] = {}
    calls = calls or Calls()
    for name, spec in crew.items():
        lost = any(
            ended[need][0] != "completed" and crew[need].on_failure != "continue" for need in spec.needs
        )
        lost |= any(all(ended[name][0] != "completed" for name in group) for group in spec.groups)
        value = {need: ended[need][1] for need in spec.named()} | {"seed": seed}
        if lost or (spec.when and value[spec.when[0]] is not None and value[spec.when[0]] < spec.when[1]):
            ended[name] = ("skipped", None)
            continue
        given = sum(number(value[need]) for need in spec.named()) + before
        if spec.each:
            items = rows if spec.each == "rows" else value[spec.each]
            ended[name] = mapped(spec, given, seed, items, at + name, calls)
        else:
            ended[name] = looped(spec, given, seed, None, at + name, calls)
    return ended


def mapped(
    spec: Spec, given: int, seed: int, items: Sequence[int] | None, at: str, calls: Calls
) -> tuple[str, Any]:
    if items is None:  # the map before it failed, and it goes on without: there is no list
        return "failed", None
    own = Calls()
    ended = [looped(spec, given, seed, item, f"{at}[{i}]", own) for i, item in enumerate(items)]
    done = [value for status, value in ended if status == "completed"]
    least = spec.min_success
    needed = len(items) if least is None else least * len(items) if isinstance(least, float) else least
    if len(done) < min(needed, len(items)):
        calls.may |= own.must | own.may
        return "failed", None
    calls.must |= own.must
    calls.may |= own.may
    return "completed", done


def looped(spec: Spec, given: int, seed: int, item: int | None, at: str, calls: Calls) -> tuple[str, Any]:
    value: Any = None
    for i in range(spec.iterations):
        here = at if not i else f"{at}#{i + 1}"
        if spec.inner is None:
            if spec.fails and (item is None or item % 2):
                return "failed", None
            value = given + seed + (item or 0) + number(value) + 1
            calls.must.add(f"{here}/1/tool:0")
        else:
            inside = interpreted(spec.inner, seed, number(value) + (item or 0), at=f"{here}/", calls=calls)
            if any(s == "failed" and spec.inner[n].on_failure == "fail" for n, (s, _) in inside.items()):
                return "failed", None
            value = came_to(spec.inner, inside)
        if spec.until is not None and number(value) >= spec.until:
            break
    return "completed", value


def came_to(crew: Specs, ended: Mapping[str, tuple[str, Any]]) -> Any:
    needed = {need for spec in crew.values() for need in spec.named()}
    last = [name for name in crew if name not in needed]
    done = {name: ended[name][1] for name in last if ended[name][0] == "completed"}
    return next(iter(done.values()), None) if len(last) == 1 else done


# The same as a crew


@dataclass
class World:
    called: list[str] = field(default_factory=list)


def made(crew: Specs, world: World, *, inside: bool = False) -> Crew:
    tasks: dict[str, Task[Any]] = {}
    for name, spec in crew.items():
        needs = [*spec.needs, *(any_of(*(tasks[each] for each in group)) for group in spec.groups)]
        when = f"{spec.when[0]} is None or {spec.when[0]} >= {spec.when[1]}" if spec.when else None
        loop: dict[str, Any] = {}
        if spec.until is not None:
            until = None if spec.inner is None else lambda value, least=spec.until: number(value) >= least
            loop = {"until": until or f"{name} >= {spec.until}", "iterations": spec.iterations}
        if spec.each:
            loop |= {"for_each": spec.each, "min_success": spec.min_success, "concurrency": spec.concurrency}
        do = function(name, spec, world) if spec.inner is None else made(spec.inner, world, inside=True)
        kind = int if spec.inner is None else Any
        tasks[name] = Task(
            name, do=do, needs=needs, when=when, on_failure=spec.on_failure, output_type=kind, **loop
        )
    inputs: dict[str, Input] = {"seed": Input(type=int), "rows": Input(type=list[int], default=list(ROWS))}
    if inside:
        inputs["previous"] = Input(type=Any, default=None)
        inputs["item"] = Input(type=int, default=0)
    return Crew(list(tasks.values()), inputs=inputs)


def function(name: str, spec: Spec, world: World) -> Tool:
    async def do(context: ToolContext, seed: int, previous: Any = None, item: int = 0, **given: Any) -> int:
        world.called.append(context.path)
        for _ in range(spec.yields):
            await asyncio.sleep(0)
        if spec.fails and (not spec.each or item % 2):
            raise ValueError("on purpose")
        # A crew in a loop starts from what it came to before, one in a map from its item.
        before = number(context.inputs.get("previous")) + context.inputs.get("item", 0)
        return sum(number(each) for each in given.values()) + seed + item + before + number(previous) + 1

    annotations = {"context": ToolContext, "seed": int, **dict.fromkeys(spec.named(), Any)}
    if spec.until is not None:
        annotations["previous"] = Any
    if spec.each:
        annotations["item"] = int
    kind = inspect.Parameter.KEYWORD_ONLY
    do.__signature__ = inspect.Signature([inspect.Parameter(each, kind) for each in annotations])
    do.__annotations__ = {**annotations, "return": int}
    return Tool(name, "A generated task.", {"type": "object"}, do, effects=("read",))


class Dying(SqliteJournal):
    """A journal whose process dies after so many events."""

    def __init__(self, path: Path, left: int) -> None:
        super().__init__(path)
        self.left = left

    def append(self, writes: Sequence[Write]) -> list[list[Event]]:
        self.left -= sum(len(write.drafts) for write in writes)
        if self.left < 0:
            raise JournalError("The power is out.")
        return super().append(writes)


def calls_finished(path: Path) -> Counter[str]:
    with SqliteJournal(path) as journal:
        events = journal.events(RUN, types=("tool.finished",))
        return Counter(event.path for event in events if "failed" not in event.data)


def finished(path: Path) -> set[str]:
    with SqliteJournal(path) as journal:
        events = journal.events(RUN, types=("tool.finished",))
        return {event.path for event in events if "failed" not in event.data}


async def carried(path: Path, crew: Specs, kills: Sequence[int]) -> tuple[Any, dict[str, str]]:
    """Run a crew that is killed so many times; return its output and what became of its tasks."""
    begun = False
    for left in (*kills, 10**9):
        world = World()
        before = finished(path) if begun else set()
        with Dying(path, left) as journal:
            options = Options(journal=journal, environ={}, run_id=RUN)
            try:
                if begun:
                    result = await made(crew, world).resume(RUN, options)
                else:
                    result = await made(crew, world).run({"seed": 1}, options)
            except JournalError:
                begun = begun or journal.last(RUN) > 0
                continue
            finally:
                assert not before & set(world.called)
            begun = True
    status = {name: "completed" for name in result.report.completed}
    status |= {name: "failed" for name in result.report.failed}
    status |= {name: "skipped" for name in result.report.skipped}
    return result.outputs, status


@pytest.mark.slow
@pytest.mark.timeout(600)
@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(specs(), st.lists(st.integers(1, 60), max_size=3))
def test_any_crew_ends_as_the_interpreter_says_however_often_it_is_killed(crew: Specs, kills: list[int]):
    with tempfile.TemporaryDirectory() as folder:
        outputs, status = asyncio.run(carried(Path(folder) / "j.db", crew, kills))
        made = calls_finished(Path(folder) / "j.db")
    calls = Calls()
    expected = interpreted(crew, 1, calls=calls)
    assert status == {name: status for name, (status, _) in expected.items()}
    assert dict(outputs) == {
        name: value for name, (status, value) in expected.items() if status == "completed"
    }
    assert set(made.values()) <= {1}
    assert calls.must <= set(made) <= calls.must | calls.may


# Forks and replays of them


def downstream(crew: Specs, task: str) -> set[str]:
    """Return a task and all that depend on it."""
    found = {task}
    for name, spec in crew.items():
        if found & {*spec.named(), *([spec.when[0]] if spec.when else ())}:
            found.add(name)
    return found


def root(path: str) -> tuple[str, int]:
    """Return the outermost task of a path, and in which iteration it is."""
    name, _, number = path.partition("/")[0].partition("[")[0].partition("#")
    return name, int(number or 1)


async def forked_and_replayed(path: Path, crew: Specs, places: Sequence[int], cut: int) -> None:
    with SqliteJournal(path) as journal:
        options = Options(journal=journal, environ={}, run_id=RUN)
        first = await made(crew, World()).run({"seed": 1}, options)
        events = list(journal.events(RUN))
        recorded = sorted(
            {e.path for e in events if e.path and " " not in e.path and not e.path.endswith("/0")}
        )
        for number, place in enumerate(places):
            at, world = recorded[place % len(recorded)], World()
            options = Options(journal=journal, environ={}, run_id=f"r-{number}")
            fork = await made(crew, world).fork(RUN, at, options=options)
            assert (fork.status, fork.outputs) == (first.status, first.outputs), at
            name, iteration = root(at)
            # A task that failed is tried again, as in a resume.
            tried = set().union(*(downstream(crew, failed) for failed in first.report.failed))
            for called in map(root, world.called):
                assert called[0] in downstream(crew, name) | tried, (at, called)
                assert called[0] != name or called[1] >= iteration or name in tried, (at, called)
            await replayed(crew, list(journal.events(fork.run_id)), first.outputs)
        assert list(journal.events(RUN)) == events
    await replayed(crew, events, first.outputs)
    await replayed(crew, read_cassette(write_cassette(events), "it"), first.outputs)
    await replayed(crew, events[: 1 + cut % len(events)], None)  # as far as it came


async def replayed(crew: Specs, events: Sequence[Event], outputs: Mapping[str, Any] | None) -> None:
    world = World()
    told, result = await replay(made(crew, world), events)
    assert told.same, told.divergences
    assert world.called == []
    assert outputs is None or (told.ends, result.outputs) == ([], outputs)


@pytest.mark.slow
@pytest.mark.timeout(600)
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(specs(), st.lists(st.integers(0, 200), min_size=1, max_size=3), st.integers(0, 500))
def test_any_crew_is_forked_anywhere_and_replayed(crew: Specs, places: list[int], cut: int):
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(forked_and_replayed(Path(folder) / "j.db", crew, places, cut))
