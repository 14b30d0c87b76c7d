"""Conditions as text: a small language over JSON data, read by Python's parser and never run as Python.

```
classify.confidence < 0.9 and topic == 'tax'
draft is not None and draft.sources[0] in ('a', 'b')
```

There are comparisons, `and`, `or`, `not`, `in`, `is None`, literals, and names with `.field`, `['key']` and `[0]`
behind them. There are no calls, no arithmetic and no assignments.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

LONGEST = 2_000
"""Characters of a condition."""
DEEPEST = 50
"""Conditions within conditions, and steps behind a name."""

Step = str | int
Path = tuple[Step, ...]
"""A name and what is behind it: `('classify', 'confidence')`."""


class BadCondition(ValueError):
    """A condition that cannot be read; found before anything runs."""


class Undecided(Exception):
    """What the condition looks at is not there, or cannot be compared."""


@dataclass(frozen=True)
class Condition:
    """A text that holds or does not, for values given by name."""

    text: str

    @cached_property
    def _tree(self) -> ast.expr:
        if len(self.text) > LONGEST:
            raise BadCondition(f"it has {len(self.text):,} characters; {LONGEST:,} is the most")
        try:
            tree = ast.parse(self.text.strip(), mode="eval").body
            _check(tree)
        except SyntaxError as error:
            compared = re.search(r"(?<![=!<>])=(?!=)", self.text)
            hint = "; to compare, write ==" if compared else ""
            raise BadCondition(f"it cannot be read: {error.msg}{hint}") from error
        except (RecursionError, MemoryError, ValueError) as error:
            raise (
                error if isinstance(error, BadCondition) else BadCondition(f"it cannot be read: {error}")
            ) from error
        return tree

    @cached_property
    def paths(self) -> tuple[Path, ...]:
        """What it looks at, each once.

        Raises:
            BadCondition: It is not in the language.
        """
        return tuple(dict.fromkeys(_paths(self._tree)))

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Say whether it holds.

        Args:
            values: JSON data by name; all the names that it uses.

        Raises:
            Undecided: A field is not there, or two values cannot be compared.
        """
        return bool(_value(self._tree, values))

    def seen(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return what it looks at with what stands there; what is not there is left out."""
        found: dict[str, Any] = {}
        for path in self.paths:
            try:
                found[written(path)] = _walk(path, values)
            except Undecided:
                continue
        return found


def written(path: Path) -> str:
    """Write a path as conditions do."""
    name, *steps = path
    return str(name) + "".join(
        f".{step}" if isinstance(step, str) and step.isidentifier() else f"[{step!r}]" for step in steps
    )


_COMPARE: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda left, right: left in right,
    ast.NotIn: lambda left, right: left not in right,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
}

_LITERALS = (str, int, float, bool, type(None))


def _check(node: ast.expr, depth: int = 0) -> None:
    """Refuse what is not in the language."""
    if depth > DEEPEST:
        raise BadCondition(f"it is more than {DEEPEST} levels deep")
    match node:
        case ast.BoolOp(values=values):
            parts = values
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            parts = [operand]
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float())):
            parts = []
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            for op, right in zip(ops, comparators, strict=True):
                if isinstance(op, ast.Is | ast.IsNot) and not _is_none(right):
                    raise BadCondition("`is` goes with None alone; write == for everything else")
            parts = [left, *comparators]
        case ast.Constant(value=value) if isinstance(value, _LITERALS):
            parts = []
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            pass
        case _:
            if len(_path(node)) > DEEPEST:
                raise BadCondition(f"a name has more than {DEEPEST} steps behind it")
            return
    for part in parts:
        _check(part, depth + 1)


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _path(node: ast.expr) -> Path:
    match node:
        case ast.Name(id=name):
            return (name,)
        case ast.Attribute(value=value, attr=attr):
            return (*_path(value), attr)
        case ast.Subscript(value=value, slice=ast.Constant(value=(str() | int()) as step)) if (
            step is not True
        ):
            return (*_path(value), step)
        case ast.Subscript(
            value=value, slice=ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() as step))
        ):
            return (*_path(value), -step)
        case _:
            raise BadCondition(
                f"`{ast.unparse(node)}` is not allowed: compare names and literals with ==, !=, <, <=, >, >=, in, "
                "is None, joined by and, or, not; for more, give a function"
            )


def _paths(node: ast.expr) -> Iterator[Path]:
    if isinstance(node, ast.Name | ast.Attribute | ast.Subscript):
        yield _path(node)
        return
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            yield from _paths(child)


def _value(node: ast.expr, values: Mapping[str, Any]) -> Any:
    match node:
        case ast.BoolOp(op=ast.And(), values=parts):
            return all(_value(part, values) for part in parts)
        case ast.BoolOp(values=parts):
            return any(_value(part, values) for part in parts)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return not _value(operand, values)
        case ast.UnaryOp(operand=ast.Constant(value=value)):
            return -cast("float", value)
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            return _compared(left, ops, comparators, values)
        case ast.Constant(value=value):
            return value
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            return [_value(part, values) for part in parts]
        case _:
            return _walk(_path(node), values)


def _compared(
    left: ast.expr, ops: list[ast.cmpop], comparators: list[ast.expr], values: Mapping[str, Any]
) -> bool:
    one = _value(left, values)
    for op, comparator in zip(ops, comparators, strict=True):
        other = _value(comparator, values)
        try:
            holds = _COMPARE[type(op)](one, other)
        except TypeError as error:
            raise Undecided(
                f"`{ast.unparse(left)}` is {one!r:.80} and `{ast.unparse(comparator)}` is {other!r:.80}, "
                "which cannot be compared so"
            ) from error
        if not holds:
            return False
        one, left = other, comparator
    return True


def _walk(path: Path, values: Mapping[str, Any]) -> Any:
    name, *steps = path
    value = values[str(name)]
    for i, step in enumerate(steps, 1):
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError) as error:
            before, after = written(path[:i]), written(path[: i + 1])
            raise Undecided(f"`{before}` is {value!r:.80}, so there is no `{after}`") from error
    return value
