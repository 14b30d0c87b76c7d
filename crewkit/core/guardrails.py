"""Guardrails: functions that look at what is about to be used, before it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, fields
from typing import Literal, cast, get_args

from crewkit.core.verdict import Verdict
from crewkit.errors import DefinitionError

Guardrail = Callable[..., Verdict | str | Awaitable[Verdict | str | None] | None]
"""Looks at one thing. `None` or `Allow()`: good. A sentence or `Revise(...)`: do it again, better. `Deny(...)`: do not
use it. `Ask(...)`: a person decides. One that raises denies. Further parameters are filled by name from the inputs; one
annotated `ToolContext` gets the context."""

Point = Literal["input", "arguments", "results", "messages", "output", "memory"]
"""Where a guardrail stands."""


@dataclass(frozen=True)
class Guardrails:
    """Guardrails by what they look at. A plain list of functions stands for `Guardrails(output=[…])`.

    Those of a crew hold for all that happens in it, those of an agent for all that it does, those of a task for what is
    done for it, those of a tool for its calls. All that apply are asked, the crew's first; the first objection counts.
    """

    input: Sequence[Guardrail] = ()
    """Before the first step. Given what there is to begin with, by name: a crew's inputs; for a task or an agent also
    the outputs of what the task needs."""
    arguments: Sequence[Guardrail] = ()
    """Before a tool is called, and before a person is asked about it. Given the arguments, a dict."""
    results: Sequence[Guardrail] = ()
    """Before a tool's result is shown to a model. Given its text, whole. `Allow("…")` puts a warning before it."""
    messages: Sequence[Guardrail] = ()
    """Before a question or an answer between agents is delivered. Given its text."""
    output: Sequence[Guardrail] = ()
    """Before an output counts: that of a task, of any task of an agent, of the last tasks of a crew. Given the output,
    as its type."""
    memory: Sequence[Guardrail] = ()
    """Before something is remembered. Given the list of records."""

    def __post_init__(self) -> None:
        for name in get_args(Point):
            given: object = getattr(self, name)
            if isinstance(given, str) or not isinstance(given, Sequence):
                raise DefinitionError(f"Guardrails: {name}={given!r:.60} is not a list. Write {name}=[…].")
            for guardrail in cast("Sequence[object]", given):
                _expect_function(guardrail, "Guardrails")
            object.__setattr__(self, name, tuple(cast("Sequence[Guardrail]", given)))

    def __add__(self, other: Guardrails) -> Guardrails:
        """Return both, these first."""
        return Guardrails(**{name: (*self.at(name), *other.at(name)) for name in get_args(Point)})

    def within(self) -> Guardrails:
        """Return those that hold for all that happens inside, however deep."""
        return Guardrails(
            arguments=self.arguments, results=self.results, messages=self.messages, memory=self.memory
        )

    def at(self, point: Point) -> tuple[Guardrail, ...]:
        """Return those that stand at a point."""
        return tuple(getattr(self, point))

    def all(self) -> tuple[Guardrail, ...]:
        """Return all of them."""
        return tuple(guardrail for field in fields(self) for guardrail in getattr(self, field.name))


NONE = Guardrails()


def as_guardrails(given: Guardrails | Sequence[Guardrail], where: str, point: Point = "output") -> Guardrails:
    """Read what a definition says of guardrails: a `Guardrails`, or a list of those at one point.

    Raises:
        DefinitionError: It is neither.
    """
    if isinstance(given, Guardrails):
        return given
    if isinstance(given, str) or not isinstance(given, Sequence):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise DefinitionError(f"{where}: guardrails={given!r:.60} is not a list. Write guardrails=[…].")
    for guardrail in given:
        _expect_function(guardrail, where)
    return Guardrails(**{point: tuple(given)})


def _expect_function(guardrail: object, where: str) -> None:
    if not callable(guardrail):
        raise DefinitionError(
            f"{where}: the guardrail {guardrail!r:.60} is not a function. Write one that takes what it looks at "
            "and returns None, or a sentence about what is wrong."
        )
