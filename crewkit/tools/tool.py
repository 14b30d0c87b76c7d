"""The tool: a function that a model may ask for, with a schema, effects and a timeout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from crewkit.errors import DefinitionError
from crewkit.memory.base import Hit, Record

Effect = Literal["read", "write", "external", "financial"]

UNDECLARED: tuple[Effect, ...] = ("write", "external")
"""What a tool counts as that does not say what it does."""


class Recall(Protocol):
    """The memory as a tool sees it: its namespace is settled, and every use is in the transcript."""

    async def add(self, records: Sequence[Record]) -> list[str]:
        """Remember these; return their ids."""
        ...

    async def recall(self, query: str, *, k: int = 5) -> list[Hit]:
        """Return the `k` records that fit the query best, the best first."""
        ...


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What a tool may know of the run. A parameter annotated with it is filled in and not shown to the model."""

    run_id: str
    task: str
    agent: str
    path: str
    """Path of this call's step, for example `draft/2/tool:0`."""
    idempotency_key: str
    """The same for every attempt at this call, in this process or the next. Pass it on where a service takes one."""
    memory: Recall
    """The crew's memory."""
    inputs: dict[str, Any] = field(default_factory=dict[str, Any])
    """The run's inputs."""
    note: Callable[[str], None] = lambda text: None
    """Write a line into the transcript."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that a model may ask for. Made by `@tool`."""

    name: str
    description: str
    parameters: dict[str, Any]
    """A closed JSON Schema (2020-12) of type `object`."""
    function: Callable[..., Any]
    """Called with the arguments after validation, converted to the annotated types."""
    effects: tuple[Effect, ...] = UNDECLARED
    idempotent: bool = False
    """Running it twice with one idempotency key is as good as once."""
    timeout: float = 60.0
    """Seconds for one call."""
    max_chars: int = 20_000
    """Longest result that a model is shown; the whole stays in the journal."""

    @property
    def reads_only(self) -> bool:
        """Nothing changes by calling it."""
        return set(self.effects) <= {"read"}


def as_tools(tools: Sequence[Tool], where: str) -> tuple[Tool, ...]:
    """Check a toolset: tools, and no name twice.

    Raises:
        DefinitionError: Something in it is no tool, or two share a name.
    """
    names: set[str] = set()
    for tool in tools:
        if not isinstance(tool, Tool):  # pyright: ignore[reportUnnecessaryIsInstance]
            what = getattr(tool, "__name__", repr(tool))
            raise DefinitionError(f"{where}: {what} is not a tool. Decorate the function with @tool.")
        if tool.name in names:
            raise DefinitionError(f"{where} has two tools named '{tool.name}'. Rename one: @tool(name=…).")
        names.add(tool.name)
    return tuple(tools)
