"""Tokens, estimated where no provider counts them."""

from __future__ import annotations

from crewkit.models.base import Answer, Request, Usage

CHARS = 4
"""Characters a token, roughly, in English text."""


def estimate_tokens(text: str) -> int:
    """Return about how many tokens a text has."""
    return -(-len(text) // CHARS)


def estimate_usage(request: Request, answer: Answer) -> Usage:
    """Return about what a request and its answer use, for a model that nobody counts for."""
    sent = sum(len(m.content) + sum(len(c.arguments) for c in m.tool_calls) for m in request.messages)
    written = len(answer.content) + sum(len(c.name) + len(c.arguments) for c in answer.tool_calls)
    return Usage(input_tokens=-(-sent // CHARS), output_tokens=max(1, -(-written // CHARS)))
