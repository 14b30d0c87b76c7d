"""Asking a colleague: a tool whose doing is another agent's work, over the bus."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from crewkit.tools.tool import Tool

COLLEAGUE_STEPS = 5
"""Model turns in which a colleague answers a question."""


def _unbound(to: str, question: str) -> str:
    raise RuntimeError("ask_colleague is answered by the crew; it cannot be called as a function")


ask_colleague = Tool(
    name="ask_colleague",
    description=(
        "Ask a colleague, or the coordinator, one question, and get an answer. Ask only what your tools and your "
        "assignment do not tell."
    ),
    parameters={
        "type": "object",
        "properties": {
            "to": {"type": "string", "description": "Who is asked."},
            "question": {
                "type": "string",
                "minLength": 1,
                "description": "The question, with all that it needs.",
            },
        },
        "required": ["to", "question"],
        "additionalProperties": False,
    },
    function=_unbound,
    effects=("read",),
    breaker=None,
)
"""Give it to agents who may ask others: `Agent(…, tools=[ask_colleague])`."""


def for_colleagues(roles: Sequence[str]) -> Tool:
    """Return `ask_colleague` with who can be asked written into its schema."""
    parameters: dict[str, Any] = json.loads(json.dumps(ask_colleague.parameters))
    parameters["properties"]["to"]["enum"] = list(roles)
    return replace(ask_colleague, parameters=parameters)
