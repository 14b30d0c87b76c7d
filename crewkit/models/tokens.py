"""Tokens: counted by the model's own tokenizer where it matters, estimated elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from crewkit.core.messages import ChatMessage
from crewkit.models.base import Answer, Model, Request, Usage

CHARS = 4
"""Characters a token, roughly, in English text."""
AROUND = 4
"""Tokens around each message."""


def estimate_tokens(text: str) -> int:
    """Return about how many tokens a text has."""
    return -(-len(text) // CHARS)


def estimate_message(message: ChatMessage) -> int:
    """Return about how many tokens a message has; what is not ASCII takes more of them."""
    text = _text(message)
    return -(-(len(text) if text.isascii() else len(text.encode("utf-8", "replace"))) // CHARS)


def estimate_usage(request: Request, answer: Answer) -> Usage:
    """Return about what a request and its answer use, for a model that nobody counts for."""
    sent = sum(message.chars() for message in request.messages)
    written = len(answer.content) + sum(len(c.name) + len(c.arguments) for c in answer.tool_calls)
    return Usage(input_tokens=-(-sent // CHARS), output_tokens=max(1, -(-written // CHARS)))


class TokenCounter:
    """Counts for one model, or for the one of several that takes least."""

    smallest = 4_000
    """Tokens that every model takes; a conversation below half of it is not worth looking a model up."""

    def __init__(self, model: Model | None = None) -> None:
        self._model = model
        self._context: int | None = None
        self._looked = False

    def context_window(self) -> int | None:
        """Return how many tokens the model can be sent; `None` where that is unknown."""
        if not self._looked:
            self._looked = True
            windows = [
                window for each in _named(self._model) if (window := each.context_window()) is not None
            ]
            self._context = min(windows, default=None)
        return self._context

    async def count(self, messages: Sequence[ChatMessage]) -> list[int]:
        """Return the tokens of each message, by the model's own tokenizer where there is one."""
        texts = [_text(message) for message in messages]
        models = _named(self._model)
        if not models:
            return [estimate_tokens(text) for text in texts]
        counted = await asyncio.to_thread(models[0].count_tokens, texts)
        return [tokens + AROUND for tokens in counted]


def _text(message: ChatMessage) -> str:
    return message.content + "".join(call.name + call.arguments for call in message.tool_calls)


def _named(model: Any) -> list[Any]:
    """Return the models of providers in a model that wraps others."""
    if model is None:
        return []
    if hasattr(model, "count_tokens"):
        return [model]
    inner = (
        getattr(model, "models", None)
        or getattr(model, "candidates", None)
        or [getattr(model, "model", None)]
    )
    return [each for one in inner for each in _named(one)]
