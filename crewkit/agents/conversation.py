"""The conversation of one agent over one piece of work: recorded as it grows, and kept within a window."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from crewkit.core.messages import ChatMessage, ToolCall
from crewkit.journal.run import Run

LONGEST = 200
"""Messages; past it, the oldest turns are left out of what the model is sent."""
KEPT = 100
"""Messages that are kept then, besides the head."""
HEAD = 2
"""The system prompt and the assignment, which are never left out."""


class Conversation:
    """Messages in their order. What is left out of the window is in the journal all the same."""

    def __init__(self, run: Run, task: str, agent: str, path: str) -> None:
        self.path = path
        """Where messages arise: the turn."""
        self._run = run
        self._task = task
        self._agent = agent
        self._messages: list[ChatMessage] = []
        self._new: list[str] = []
        self._dropped = 0
        self._calls: list[tuple[str, ToolCall]] = []
        self._results: dict[str, str] = {}

    def add(self, message: ChatMessage) -> None:
        """Append a message, without the secrets in it; record it where it is new."""
        content = self._run.redactor.text(message.content)
        message = message if content == message.content else replace(message, content=content)
        self._new.append(self._run.say(message, self.path, task=self._task, agent=self._agent))
        self._messages.append(message)
        self._calls += [(f"{self.path}/tool:{i}", call) for i, call in enumerate(message.tool_calls)]
        if message.role == "tool":
            self._results[message.tool_call_id] = message.content

    def before(self, path: str, tool: str) -> Iterator[tuple[ToolCall, str]]:
        """Yield the earlier calls of a tool with their results, in the order in which they were made."""
        for at, call in self._calls:
            if at == path:
                return
            if call.name == tool:
                yield call, self._results.get(call.id, "")

    def window(self) -> tuple[ChatMessage, ...]:
        """Return what the model is sent: all, or the head and the newest turns, calls and results together."""
        if len(self._messages) > LONGEST:
            start = len(self._messages) - KEPT
            nearest = (*range(start, len(self._messages)), *reversed(range(HEAD, start)))
            cut = next((i for i in nearest if self._opens(i)), HEAD)
            self._dropped += cut - HEAD
            del self._messages[HEAD:cut]
        if not self._dropped:
            return tuple(self._messages)
        gap = ChatMessage("user", f"[{self._dropped} older messages of this conversation are left out here]")
        return (*self._messages[:HEAD], gap, *self._messages[HEAD:])

    def sent(self) -> dict[str, Any]:
        """Return which messages are sent, for the journal: those new since the last time, and how many in all."""
        new, self._new = self._new, []
        return {"new": new, "count": len(self._messages), "dropped": self._dropped}

    def _opens(self, index: int) -> bool:
        """Say whether a turn opens at this message: nothing before it is answered after it."""
        return self._messages[index].role in ("assistant", "user")
