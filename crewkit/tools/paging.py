"""Paging through results that were too long to be shown at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from crewkit.core.label import CREW, Label
from crewkit.tools.cut import pages
from crewkit.tools.tool import Tool


def _unbound(call: str, page: int) -> str:
    raise RuntimeError("read_result is answered by the crew; it cannot be called as a function")


READ_RESULT = Tool(
    name="read_result",
    description=(
        "Read a page of a result that was too long to be shown whole. The line before such a result says which call "
        "it was and how many pages there are."
    ),
    parameters={
        "type": "object",
        "properties": {
            "call": {"type": "string", "description": "The id of the call, as that line gives it."},
            "page": {"type": "integer", "minimum": 1, "description": "Which page."},
        },
        "required": ["call", "page"],
        "additionalProperties": False,
    },
    function=_unbound,
    effects=("read",),
    breaker=None,
    max_tokens=1_000_000,
)
"""Offered once something was cut. It shows only what the agent was given already, so no scope has to grant it."""


@dataclass(frozen=True, slots=True)
class _Long:
    text: str
    tokens: int
    label: Label


class Pages:
    """The long results of one conversation, by the id of the call."""

    def __init__(self) -> None:
        self._long: dict[str, _Long] = {}

    def add(self, call: str, text: str, tokens: int, label: Label) -> None:
        """Hold a result of which not all was shown."""
        self._long[call] = _Long(text, tokens, label)

    def read(self, arguments: dict[str, Any]) -> tuple[str, Label, str]:
        """Return a page of a result, its label, and which page it is."""
        call, number = str(arguments["call"]), int(arguments["page"])
        long = self._long.get(call)
        if long is None:
            return (
                f"There is no long result of a call '{call}'. There are: {', '.join(self._long)}.",
                CREW,
                "",
            )
        parts = pages(long.text, long.tokens)
        if number > len(parts):
            return f"The result of '{call}' has {len(parts)} pages; there is no page {number}.", CREW, ""
        return parts[number - 1], long.label, f"[page {number} of {len(parts)}]"
