"""A model that says what a test tells it to say."""

from __future__ import annotations

import inspect
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from crewkit.core.messages import ToolCall
from crewkit.errors import ModelError
from crewkit.models.base import Answer, Request, Watch
from crewkit.models.tokens import estimate_usage

Line = str | ToolCall | Sequence[ToolCall] | Answer | Exception
"""What is said at one turn: a text, one tool call or several at once, a whole answer, an error to raise."""

Script = Sequence[Line] | Callable[[Request], Line | Awaitable[Line]]


def call(tool: str, /, **arguments: Any) -> ToolCall:
    """Write a tool call into a script; the model gives it an id from its position."""
    return ToolCall("", tool, json.dumps(arguments, ensure_ascii=False))


class ScriptedModel:
    """A model for tests: it answers from a list, or from a function of the request.

    A list is indexed by the assistant messages that the request already holds, so every task starts at its
    head, in parallel too, and goes on at the right line after a resume.

    ```python
    ScriptedModel([call("search", query="tides"), "High water is at noon."])
    ScriptedModel(lambda request: request.messages[-1].content.upper())
    ```
    """

    def __init__(self, script: Script, *, name: str = "scripted") -> None:
        self.name = name
        self.requests: list[Request] = []
        """Every request so far, in the order they came."""
        self._script = script

    async def answer(self, request: Request, watch: Watch) -> Answer:
        """Say the line for this turn.

        Raises:
            ModelError: The list has no line for this turn. An error in the script is raised as it is.
        """
        self.requests.append(request)
        turn = request.turn
        if turn is None:
            turn = sum(message.role == "assistant" for message in request.messages)
        answer = self._spoken(await self._line(request, turn), request, turn)
        if answer.content:
            watch.chunk(answer.content)
        return answer

    def price(self, input_tokens: int, output_tokens: int) -> float | None:
        """Return 0.0: a script costs nothing."""
        return 0.0

    async def _line(self, request: Request, turn: int) -> Line:
        if callable(self._script):
            line = self._script(request)
            return await line if inspect.isawaitable(line) else line
        if turn < len(self._script):
            return self._script[turn]
        raise ModelError(
            f"Model '{self.name}': the script has {len(self._script)} lines, and this is turn {turn + 1} of "
            f"its task. Add a line, or end the script with an answer that calls no tool."
        )

    def _spoken(self, line: Line, request: Request, turn: int) -> Answer:
        if isinstance(line, Exception):
            raise line
        if isinstance(line, Answer):
            answer = line
        elif isinstance(line, str):
            answer = Answer(line)
        else:
            calls = (line,) if isinstance(line, ToolCall) else tuple(line)
            answer = Answer(tool_calls=calls, finish_reason="tool_calls")
        named = tuple(replace(c, id=c.id or f"call-{turn}-{i}") for i, c in enumerate(answer.tool_calls))
        answer = replace(answer, tool_calls=named, model=answer.model or self.name)
        if not answer.usage.tokens:
            answer = replace(answer, usage=estimate_usage(request, answer))
        return replace(answer, usd=0.0) if answer.usd is None else answer
