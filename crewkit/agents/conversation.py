"""The conversation of one agent over one piece of work: recorded as it grows, and kept within a window."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from crewkit.agents.delegate import ask_colleague
from crewkit.core.label import NOTHING, label_of
from crewkit.core.messages import ChatMessage, ToolCall
from crewkit.journal.run import Run

LONGEST = 200
"""Messages; past it, the oldest turns are left out of what the model is sent."""
KEPT = 100
"""Messages that are kept then, besides the head."""
LARGEST = 400_000
"""Characters, about 100,000 tokens; past it, the oldest turns are left out until half of it is kept."""
HEAD = 2
"""The system prompt and the assignment, which are never left out."""


class Conversation:
    """Messages in their order. What is left out of the window is in the journal all the same."""

    def __init__(self, run: Run, task: str, agent: str, path: str) -> None:
        self.path = path
        """Where messages arise: the turn."""
        self.answers = 0
        """Answers of the model so far."""
        self.label = NOTHING
        """The join of the labels of all that the model was ever told here."""
        self._run = run
        self._task = task
        self._agent = agent
        self._messages: list[ChatMessage] = []
        self._new: list[str] = []
        self._dropped = 0
        self._chars = 0
        self._questions: list[tuple[str, ToolCall]] = []
        self._answers: dict[str, str] = {}

    def add(self, message: ChatMessage) -> None:
        """Append a message, without the secrets in it; record it where it is new."""
        content = self._run.redactor.text(message.content)
        message = message if content == message.content else replace(message, content=content)
        self._new.append(self._run.say(message, self.path, task=self._task, agent=self._agent))
        if message.role != "assistant" and message.label is not None:
            self.label = label_of(content, self.label | message.label)
        message = message.shown()
        self._messages.append(message)
        self._chars += _size(message)
        self.answers += message.role == "assistant"
        for i, call in enumerate(message.tool_calls):
            if call.name == ask_colleague.name:
                self._questions.append((f"{self.path}/tool:{i}", call))
                self._answers[call.id] = ""
        if message.tool_call_id in self._answers:
            self._answers[message.tool_call_id] = message.content

    def questions_before(self, path: str) -> Iterator[tuple[ToolCall, str]]:
        """Yield the questions to colleagues before the one at a path, with the answers, in their order."""
        for at, call in self._questions:
            if at == path:
                return
            yield call, self._answers[call.id]

    def window(self) -> tuple[ChatMessage, ...]:
        """Return what the model is sent: all, or the head and the newest turns, calls and results together."""
        if len(self._messages) > LONGEST or self._chars > LARGEST:
            self._drop()
        if not self._dropped:
            return tuple(self._messages)
        gap = ChatMessage("user", f"[{self._dropped} older messages of this conversation are left out here]")
        return (*self._messages[:HEAD], gap, *self._messages[HEAD:])

    def _drop(self) -> None:
        """Leave out the oldest turns, whole, until few enough and short enough ones are left; never the newest."""
        messages = self._messages
        opens = [i for i in range(HEAD, len(messages)) if messages[i].role != "tool"]
        newest = max((i for i in opens if messages[i].role == "assistant"), default=HEAD)
        cut, chars = HEAD, self._chars
        for start in opens:
            chars -= sum(map(_size, messages[cut:start]))
            cut = start
            if start == newest or (len(messages) - start <= KEPT and chars <= LARGEST // 2):
                break
        self._dropped += cut - HEAD
        self._chars = chars
        del messages[HEAD:cut]

    def sent(self) -> dict[str, Any]:
        """Return which messages are sent, for the journal: those new since the last time, and how many in all."""
        new, self._new = self._new, []
        return {"new": new, "count": len(self._messages), "dropped": self._dropped}


def _size(message: ChatMessage) -> int:
    return len(message.content) + sum(len(call.arguments) for call in message.tool_calls)
