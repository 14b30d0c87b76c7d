"""Which tasks of a crew can be done in one and the same run: conditions exclude each other."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from crewkit.crew.compile import Plan

_MOST = 256
"""Ways that a run can go which are looked at one by one; conditions beyond count as if they excluded nothing."""


@dataclass(frozen=True)
class Wanted:
    """What a condition wants a value to be."""

    only: frozenset[Any] | None = None
    """One of these; `None`: anything."""
    never: frozenset[Any] = frozenset()
    """None of these."""

    def __and__(self, other: Wanted) -> Wanted:
        if self.only is None or other.only is None:
            return Wanted(other.only if self.only is None else self.only, self.never | other.never)
        return Wanted(self.only & other.only, self.never | other.never)

    def holds(self, value: Any) -> bool:
        """Say whether it is this value."""
        return (self.only is None or value in self.only) and value not in self.never

    @property
    def impossible(self) -> bool:
        """Nothing is what is wanted."""
        return self.only is not None and self.only <= self.never


def wanted(plan: Plan) -> dict[str, dict[str, Wanted]]:
    """Return what each task's condition, and those of what it cannot do without, want things to be, by path."""
    found: dict[str, dict[str, Wanted]] = {}
    for name, job in plan.jobs.items():
        text = job.when.condition.text if job.when and job.when.condition else ""
        needed = [
            need
            for need in job.needs
            if need not in job.alternatives and plan.jobs[need].task.on_failure != "continue"
        ]
        mine: dict[str, Wanted] = {}
        for each in [compared(text), *(found[need] for need in needed)]:
            for path, value in each.items():
                mine[path] = mine.get(path, Wanted()) & value
        found[name] = mine
    return found


def compared(text: str) -> dict[str, Wanted]:
    """Return what a condition wants things to be, where it compares them with constants, several by `and`."""
    if not text:
        return {}
    found: dict[str, Wanted] = {}
    for part in _parts(ast.parse(text.strip(), mode="eval").body):
        if not isinstance(part, ast.Compare) or len(part.ops) != 1:
            continue
        right, value = part.comparators[0], Wanted()
        match part.ops[0]:
            case ast.Eq() if isinstance(right, ast.Constant):
                value = Wanted(frozenset({right.value}))
            case ast.NotEq() if isinstance(right, ast.Constant):
                value = Wanted(never=frozenset({right.value}))
            case ast.In() if isinstance(right, ast.Tuple | ast.List) and _are_constants(right.elts):
                value = Wanted(_constants(right.elts))
            case ast.NotIn() if isinstance(right, ast.Tuple | ast.List):
                value = Wanted(never=_constants(right.elts))
            case _:
                continue
        path = ast.unparse(part.left)
        found[path] = found.get(path, Wanted()) & value
    return found


def _are_constants(given: list[ast.expr]) -> bool:
    return all(isinstance(each, ast.Constant) for each in given)


def _constants(given: list[ast.expr]) -> frozenset[Any]:
    return frozenset(each.value for each in given if isinstance(each, ast.Constant))


def _parts(tree: ast.expr) -> Iterator[ast.expr]:
    if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And):
        for value in tree.values:
            yield from _parts(value)
    else:
        yield tree


def ways(plan: Plan) -> set[frozenset[str]]:
    """Return sets of tasks that one run can come to do, every largest one among them."""
    wants = wanted(plan)
    values: dict[str, set[Any]] = {}
    for each in wants.values():
        for path, value in each.items():
            values.setdefault(path, {None}).update((value.only or frozenset()) | value.never)
    choices: dict[str, set[Any]] = {}
    count = 1
    for path in sorted(values, key=lambda path: -sum(path in each for each in wants.values())):
        if (count := count * len(values[path])) > _MOST:
            break
        choices[path] = values[path]
    found: set[frozenset[str]] = set()
    for chosen in product(*choices.values()):
        said = dict(zip(choices, chosen, strict=True))
        found.add(
            frozenset(
                name
                for name, each in wants.items()
                if all(value.holds(said[path]) for path, value in each.items() if path in said)
            )
        )
    return found


def widest(plan: Plan) -> int:
    """Return how many tasks can be under way at once at most.

    No two of them wait for each other, so they are an antichain; by the theorem of Dilworth (1950) the largest has as
    many as there are chains that cover all tasks, which is a matching.
    """
    before = _before(plan)
    return max((_antichain(names, before) for names in ways(plan)), default=0)


def _before(plan: Plan) -> Mapping[str, frozenset[str]]:
    """Return what has to be settled before each task, all of it."""
    found: dict[str, frozenset[str]] = {}
    for name, job in plan.jobs.items():
        found[name] = frozenset(job.needs).union(*(found[need] for need in job.needs))
    return found


def _antichain(names: Iterable[str], before: Mapping[str, frozenset[str]]) -> int:
    kept = list(names)
    after = {name: [other for other in kept if name in before[other]] for name in kept}
    follows: dict[str, str] = {}

    def extend(name: str, tried: set[str]) -> bool:
        for other in after[name]:
            if other not in tried:
                tried.add(other)
                if other not in follows or extend(follows[other], tried):
                    follows[other] = name
                    return True
        return False

    return len(kept) - sum(extend(name, set()) for name in kept)
