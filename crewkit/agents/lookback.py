"""What an agent does with its own long conversation: pin a fact, and look up what left the window."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence

from crewkit.core.messages import ChatMessage
from crewkit.memory.lexical import SCHEMA, Lexical, Stemmer
from crewkit.tools.tool import Tool

SHOWN = 1_500
"""Characters of each message that was found."""
MOST = 5


def _unbound(**_: object) -> str:
    raise RuntimeError("this is answered by the conversation; it cannot be called as a function")


def _tool(name: str, description: str, parameter: str, about: str) -> Tool:
    parameters = {
        "type": "object",
        "properties": {
            parameter: {"type": "string", "minLength": 1, "maxLength": 2_000, "description": about}
        },
        "required": [parameter],
        "additionalProperties": False,
    }
    return Tool(name, description, parameters, _unbound, effects=("read",), breaker=None)


look_back = _tool(
    "look_back",
    "Find older messages of this conversation that are now only in the summary, as they were.",
    "query",
    "Words that stand in what is looked for.",
)
"""Offered by itself once a conversation is longer than its window."""

pin_fact = _tool(
    "pin_fact",
    "Keep one fact before your eyes to the end of this work, however long it gets.",
    "fact",
    "The fact, in one sentence.",
)
"""Give it to agents with long work: `Agent(…, tools=[pin_fact])`."""


class Archive:
    """The messages that left the window, found by their words."""

    def __init__(self) -> None:
        self.messages: list[ChatMessage] = []
        self._words: Lexical | None = None
        self._indexed = self._length = 0
        self._alone = asyncio.Lock()

    def add(self, messages: Sequence[ChatMessage]) -> None:
        """Take messages in; they are indexed when somebody looks."""
        self.messages += messages

    async def find(self, query: str) -> str:
        """Return the messages that fit a query best, in their order."""
        async with self._alone:
            return await asyncio.to_thread(self._find, query)

    def _find(self, query: str) -> str:
        words = self._words = self._words or _opened()
        for i in range(self._indexed, len(self.messages)):
            self._length += words.add(0, i, _text(self.messages[i]))
        self._indexed = len(self.messages)
        found = words.search(0, query, records=self._indexed, length=self._length, most=MOST)
        parts = [
            f"[{i + 1}] {self.messages[i].role}: {_text(self.messages[i])[:SHOWN]}" for i in sorted(found)
        ]
        return "\n\n".join(parts) or "None of the older messages has these words."


def _opened() -> Lexical:
    db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    db.execute(SCHEMA)
    return Lexical(db, Stemmer())


def _text(message: ChatMessage) -> str:
    calls = "".join(f"\n{call.name} {call.arguments}" for call in message.tool_calls)
    return message.content + calls
