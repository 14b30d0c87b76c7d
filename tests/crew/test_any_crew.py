"""Any crew with routes, joins, loops, crews within and failures ends as a simple interpreter says, also when it is
killed on the way; and nothing that was finished is done again."""

from __future__ import annotations

import asyncio
import inspect
import tempfile
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
from crewkit.journal.sqlite import SqliteJournal

RUN = "r-any"


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
        plain = [n for n in [*needs, *(n for g in groups for n in g)] if made[n].inner is None]
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
        )
    return made


def number(value: Any) -> int:
    if isinstance(value, dict):
        return sum(number(each) for each in value.values())
    return value or 0


# What should come of it


def interpreted(crew: Specs, seed: int, before: int = 0) -> dict[str, tuple[str, Any]]:
    """Say what becomes of each task, one at a time."""
    ended: dict[str, tuple[str, Any]] = {}
    for name, spec in crew.items():
        lost = any(
            ended[need][0] != "completed" and crew[need].on_failure != "continue" for need in spec.needs
        )
        lost |= any(all(ended[name][0] != "completed" for name in group) for group in spec.groups)
        value = {need: ended[need][1] for need in spec.named()} | {"seed": seed}
        if lost or (spec.when and value[spec.when[0]] is not None and value[spec.when[0]] < spec.when[1]):
            ended[name] = ("skipped", None)
            continue
        ended[name] = looped(spec, sum(number(value[need]) for need in spec.named()) + before, seed)
    return ended


def looped(spec: Spec, given: int, seed: int) -> tuple[str, Any]:
    value: Any = None
    for _ in range(spec.iterations):
        if spec.inner is None:
            if spec.fails:
                return "failed", None
            value = given + seed + number(value) + 1
        else:
            inside = interpreted(spec.inner, seed, number(value))
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
        do = function(name, spec, world) if spec.inner is None else made(spec.inner, world, inside=True)
        kind = int if spec.inner is None else Any
        tasks[name] = Task(
            name, do=do, needs=needs, when=when, on_failure=spec.on_failure, output_type=kind, **loop
        )
    inputs: dict[str, Input] = {"seed": Input(type=int)}
    if inside:
        inputs["previous"] = Input(type=Any, default=None)
    return Crew(list(tasks.values()), inputs=inputs)


def function(name: str, spec: Spec, world: World) -> Tool:
    async def do(context: ToolContext, seed: int, previous: Any = None, **given: Any) -> int:
        world.called.append(context.path)
        for _ in range(spec.yields):
            await asyncio.sleep(0)
        if spec.fails:
            raise ValueError("on purpose")
        # A crew in a loop starts from what it came to before.
        before = context.inputs.get("previous")
        return sum(number(each) for each in given.values()) + seed + number(before) + number(previous) + 1

    annotations = {"context": ToolContext, "seed": int, **dict.fromkeys(spec.named(), Any)}
    if spec.until is not None:
        annotations["previous"] = Any
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
    expected = interpreted(crew, 1)
    assert status == {name: status for name, (status, _) in expected.items()}
    assert dict(outputs) == {
        name: value for name, (status, value) in expected.items() if status == "completed"
    }
