"""What a model is asked, what it answers, and the protocol between."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from crewkit.core.messages import ChatMessage, ToolCall, canonical, fingerprint


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as a model sees it."""

    name: str
    description: str
    parameters: dict[str, Any]
    """A closed JSON Schema of type `object`."""
    effects: tuple[str, ...] = ()
    """For the embedded offline model, which calls only tools that read. Providers are not sent it."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request to a model."""

    messages: tuple[ChatMessage, ...]
    tools: tuple[ToolSpec, ...] = ()
    output_schema: dict[str, Any] | None = None
    """JSON Schema of the final answer where the task wants data; `None` where it wants text."""
    max_tokens: int = 4096
    temperature: float | None = None
    timeout: float = 120.0
    """Seconds for one attempt, from sending to the last byte."""
    turn: int | None = None
    """How many answers the conversation has already, those left out of the window too. For test doubles; providers are
    not sent it, and it is no part of the fingerprint."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call, as the provider counted them (estimated where it did not)."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    """Part of `input_tokens` that the provider had cached."""

    @property
    def tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class Answer:
    """A model's whole answer. A stream that broke off is an error, never a shorter answer."""

    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Usage = field(default_factory=Usage)
    usd: float | None = None
    """Cost; `None` where the price is unknown."""
    model: str = ""
    """The model that answered."""
    finish_reason: str = "stop"
    """`stop`, `tool_calls`, `length` or `content_filter`."""
    route: str = ""
    """The route of a model table that it came by."""

    def message(self) -> ChatMessage:
        """Return the answer as a message of the conversation."""
        return ChatMessage("assistant", self.content, self.tool_calls)


@dataclass(frozen=True, slots=True)
class Watch:
    """Where a model tells what happens while it works. Both may be left alone."""

    chunk: Callable[[str], None] = lambda text: None
    """Text as it streams in; goes to the live view, never to the journal."""
    event: Callable[[str, dict[str, Any]], None] = lambda type, data: None
    """An event of the journal, for example `retry.scheduled` with {attempt, seconds, why}."""


class Model(Protocol):
    """Anything that answers requests."""

    @property
    def name(self) -> str:
        """The model's name, as people write it."""
        ...

    async def answer(self, request: Request, watch: Watch) -> Answer:
        """Answer one request.

        Raises:
            ModelError: No usable answer; `retryable` says whether asking again may help.
        """
        ...

    def price(self, input_tokens: int, output_tokens: int) -> float | None:
        """Return what a call of this size costs in usd, `None` where the price is unknown."""
        ...


def request_fingerprint(request: Request) -> str:
    """Hash what a request says: messages, tools, output schema, temperature, maximum tokens.

    The model's name is no part of it: the same request to another model is still the same request.
    """
    tools = "".join(f"{t.name}\x1f{t.description}\x1f{canonical(t.parameters)}\x1f" for t in request.tools)
    return fingerprint(
        *(message.id() for message in request.messages),
        tools,
        canonical(request.output_schema),
        f"{request.temperature} {request.max_tokens}",
    )
