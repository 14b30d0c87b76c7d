"""A run carried on by a crew that is not what it was: what changed, what is kept, and what is done again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from crewkit.coordinator.graph import dependents_of
from crewkit.core.events import Event, defined, enclosing
from crewkit.crew.compile import Job, Plan
from crewkit.crew.definition import Parts, asks_for, in_words
from crewkit.crew.options import Changed
from crewkit.crew.several import agents_in, functions_in
from crewkit.errors import InputError, ReplayError
from crewkit.journal.forget import covers, standing
from crewkit.tools.tool import Tool

Data = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """What is not what it was about one task."""

    what: str
    """In words: `prompt (goal), code of search()`, `added`, `removed`."""
    asks: bool
    """Its requests are others now: those that were recorded no longer fit."""
    model: bool = False
    """Another model is named for it."""


@dataclass(frozen=True, slots=True)
class Effect:
    """A call with effects that may be made once more."""

    path: str
    tool: str
    effects: tuple[str, ...]
    silent: bool
    """It would be made without anybody being asked, and making it twice is not as good as once."""

    def __str__(self) -> str:
        return f"{self.tool}() at {self.path} ({', '.join(self.effects)})"


class RepeatsEffects(InputError):
    """Effects that happened would happen again, and nobody said that they may. `effects` says which."""

    def __init__(self, run: str, effects: Sequence[Effect]) -> None:
        listed = "".join(f"\n  {effect}" for effect in effects)
        super().__init__(
            f"Of run {run}, these calls were made already and would be made again, without anybody being asked:"
            f"{listed}\nSay that they may: --yes, or Options(repeat_effects=True)."
        )
        self.effects = effects


@dataclass(frozen=True)
class Settled:
    """What was decided about a run whose crew may have changed."""

    changes: Mapping[str, Change] = field(default_factory=dict[str, Change])
    """By task path."""
    forgets: Sequence[str] = ()
    """Paths whose record counts no longer: they are done again."""
    open: frozenset[str] = frozenset()
    """Tasks that are to be done."""
    definitions: Mapping[str, Parts] = field(default_factory=dict[str, Parts])
    """Under which definition each task is now: a finished one, under that which made its result."""
    repeats: Sequence[Effect] = ()
    """Effects that may happen again."""

    def told(self) -> dict[str, str]:
        """Return the changes as the journal keeps them."""
        return {path: change.what for path, change in self.changes.items()}


def compare(recorded: Mapping[str, Any], today: Mapping[str, Parts]) -> dict[str, Change]:
    """Say what changed about each task since its definition was recorded."""
    changes: dict[str, Change] = {}
    for path in [*today, *(path for path in recorded if path not in today)]:
        before, now = recorded.get(path), today.get(path)
        if before is None:
            changes[path] = Change("added", asks=True, model=True)
        elif now is None:
            changes[path] = Change("removed", asks=True)
        elif isinstance(before, dict):  # a hash of all of it, as older versions wrote, tells nothing
            before = cast("Parts", before)
            parts = [part for part in {**before, **now} if before.get(part) != now.get(part)]
            if parts:
                what = ", ".join(dict.fromkeys(map(in_words, parts)))
                changes[path] = Change(what, any(map(asks_for, parts)), model="model" in parts)
    return changes


def settle(
    run: str,
    plan: Plan,
    recorded: Mapping[str, Any],
    history: Sequence[Event],
    how: Changed,
    *,
    forgets: Sequence[str] = (),
    may_repeat: bool = False,
) -> Settled:
    """Decide what is kept of a run and what is done again.

    Args:
        run: Its id, for messages.
        plan: The crew as it is now.
        recorded: The definitions under which it stands.
        history: All its events.
        how: What becomes of what changed.
        forgets: What is forgotten in any case, because the run is forked there.
        may_repeat: Effects may happen again.

    Raises:
        ReplayError: A task that is not finished changed, and nobody said what is to become of it.
        RepeatsEffects: Effects would happen again.
    """
    changes = compare(recorded, plan.definitions)
    forked = bool(forgets)
    counted = standing(history).events
    entered = _Entered(standing(counted, forgets).events)
    if how == "stop":
        open = {p: c for p, c in changes.items() if not entered.done(p) and (entered.begun(p) or not forked)}
        _refuse(run, open, changes)
    elif how == "keep":
        again = (each for path, change in changes.items() if change.asks for each in entered.unfinished(path))
        forgets = _outermost([*forgets, *again])
    else:
        again = [path for path in changes if path in plan.definitions]
        downstream = [path for each in again for path in dependents(plan, each)]
        forgets = _outermost([*forgets, *(path for path in (*again, *downstream) if entered.begun(path))])
    repeats = list(_repeated(plan, counted, forgets))
    if any(effect.silent for effect in repeats) and not may_repeat:
        raise RepeatsEffects(run, [effect for effect in repeats if effect.silent])
    left = _Entered(standing(counted, forgets).events)
    today = plan.definitions
    under = {p: recorded[p] if left.done(p) and p in recorded else parts for p, parts in today.items()}
    return Settled(changes, forgets, frozenset(p for p in today if not left.done(p)), under, repeats)


def dependents(plan: Plan, path: str) -> Iterator[str]:
    """Yield the paths of the tasks that build on what lies at a path, at its level and at those around it."""
    from crewkit.crew.crew import Crew

    prefix = ""
    for segment in path.split("/"):
        name = defined(segment)
        job = plan.jobs.get(name)
        if job is None:
            return
        graph = dependents_of(plan.graph())
        found: dict[str, None] = {}
        queue = [name]
        while queue:
            for dependent in graph[queue.pop()]:
                if dependent not in found:
                    found[dependent] = None
                    queue.append(dependent)
        yield from (f"{prefix}{each}" for each in found)
        if not isinstance(job.task.do, Crew):
            return
        plan, prefix = job.task.do.plan, f"{prefix}{segment}/"


class _Entered:
    """The tasks that were entered, by their place in the definition: in a loop, one for each iteration."""

    def __init__(self, stands: Iterable[Event]) -> None:
        self._final: set[str] = set()
        self._tasks: dict[str, set[str]] = {}
        for event in stands:
            if event.task:
                self._tasks.setdefault(defined(event.task), set()).add(event.task)
            if event.type == "task.finished" and event.data.get("final"):
                self._final.add(event.path)

    def begun(self, path: str) -> bool:
        """Say whether anything is recorded of a task."""
        return path in self._tasks

    def unfinished(self, path: str) -> list[str]:
        """Return where a task was entered and can be entered again."""
        if self._within_done(path):
            return []
        # An item that failed is over where its map is.
        left = self._tasks.get(path, set()) - self._final
        return sorted(task for task in left if enclosing(task) not in self._final)

    def done(self, path: str) -> bool:
        """Say whether a task, or one in which it lies, is never entered again."""
        return self._within_done(path) or (self.begun(path) and not self.unfinished(path))

    def _within_done(self, path: str) -> bool:
        outer = path.rpartition("/")[0]
        return bool(outer) and self.done(outer)


def _refuse(run: str, open: Mapping[str, Change], changes: Mapping[str, Change]) -> None:
    """Stop where unfinished tasks changed."""
    if not open:
        return
    told = "".join(f"\n  {path}: {change.what}" for path, change in open.items())
    kept = ", ".join(path for path in changes if path not in open)
    also = f"\nAlso changed, and finished: {kept}." if kept else ""
    raise ReplayError(
        f"Run {run} cannot be carried on as it is: the crew changed, and these tasks are not finished:{told}{also}\n"
        "Put the old definition back, or say what is to be done: --changed keep (what is finished keeps its results, "
        "these go on under the new definition), --changed rerun (all that changed is done again, with what depends on "
        "it), or start a new run."
    )


def _outermost(paths: Iterable[str]) -> list[str]:
    """Leave out what lies in another of the paths."""
    unique = list(dict.fromkeys(paths))
    return [p for p in unique if not any(q != p and p.startswith(f"{q}/") for q in unique)]


def _repeated(plan: Plan, stands: Iterable[Event], forgets: Sequence[str]) -> Iterator[Effect]:
    """Yield the calls with effects that were made and are forgotten now."""
    for event in stands:
        if event.type != "tool.started" or set(event.data.get("effects") or ()) <= {"read"}:
            continue
        if any(covers(m, event.task, event.path) for m in forgets) and (job := find(plan, event.task)):
            tool = str(event.data.get("tool"))
            silent = not event.data.get("idempotent") and _silent(job, tool)
            yield Effect(event.path, tool, tuple(event.data["effects"]), silent)


def _silent(job: Job, tool: str) -> bool:
    """Say whether a task makes a call with declared effects without a person being asked."""
    if agents := agents_in(job.task):
        scopes = [agent.scope for agent in agents if agent.scope is not None]
        grants = [grant for scope in scopes if (grant := scope.grant(tool)) is not None]
        return any(grant.approval == "never" for grant in grants) or tool in functions_in(job.task)
    if job.kind != "agent":
        return isinstance(job.task.do, Tool)
    grant = job.scope.grant(tool)
    return grant is None or grant.approval == "never"


def find(plan: Plan, path: str) -> Job | None:
    """Return the task at a path; `None` where there is none today."""
    from crewkit.crew.crew import Crew

    job: Job | None = None
    for name in defined(path).split("/"):
        inside = plan.jobs.get(name)
        if inside is None:
            return job if job is not None and job.kind == "plan" else None
        job = inside
        plan = job.task.do.plan if isinstance(job.task.do, Crew) else plan
    return job
