"""What one agent and its model said to each other over one piece of work: recorded as it grows, within a window."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from crewkit.agents.delegate import ask_colleague
from crewkit.agents.lookback import Archive, pin_fact
from crewkit.agents.summary import MOST_CHARACTERS, Summary
from crewkit.agents.window import HEAD, Window
from crewkit.core.label import CREW, NOTHING, Label, label_of, pieces, trusted_part
from crewkit.core.messages import ChatMessage, ToolCall
from crewkit.journal.run import Run
from crewkit.models.tokens import CHARS, TokenCounter, estimate_message

NEARLY = 0.5
"""Share of the allowance from which tokens are counted by the model's own tokenizer."""
SHARE = 0.15
"""Of the allowance, for the summary of what was done."""


@dataclass(frozen=True, slots=True)
class _Said:
    message: ChatMessage
    at: str


class History:
    """Messages in their order. What is left out of the window is in the journal all the same."""

    def __init__(
        self,
        run: Run,
        task: str,
        agent: str,
        path: str,
        window: Window | None = None,
        counter: TokenCounter | None = None,
    ) -> None:
        self.path = path
        """Where messages arise: the turn."""
        self.answers = 0
        """Answers of the model so far."""
        self.label = NOTHING
        """The join of the labels of all that the model was ever told here."""
        self.trusted: list[str] = []
        """What of it may be taken at its word."""
        self.summary = Summary()
        """What is known of the messages that left the window."""
        self.heard: set[str] = set()
        """Ids of the messages from outside that are in it."""
        self._run = run
        self._task = task
        self._agent = agent
        self._window = window or Window()
        self._counter = counter or TokenCounter()
        self._messages: list[ChatMessage] = []
        self._said: list[_Said] = []
        """The same as they are recorded, not fenced, and where each arose."""
        self._sizes: list[int] = []
        """Tokens of each message."""
        self._counted = 0
        """Messages, the oldest, whose tokens were counted and not estimated."""
        self._archive = Archive()
        self._most = MOST_CHARACTERS
        """Characters of the summary of what was done."""
        self._written: ChatMessage | None = None
        """The running summary as the model is sent it."""
        self._new: list[str] = []
        self._questions: list[tuple[str, ToolCall]] = []
        self._answers: dict[str, str] = {}

    def add(self, message: ChatMessage) -> None:
        """Append a message, without the secrets in it; record it where it is new."""
        content = self._run.redactor.text(message.content)
        message = message if content == message.content else replace(message, content=content)
        self._new.append(self._run.say(message, self.path, task=self._task, agent=self._agent))
        self._said.append(_Said(message, self.path))
        if message.role != "assistant" and message.label is not None:
            self.label = label_of(content, self.label | message.label)
            if message.label.trusted:
                self.trusted.append(trusted_part(content))
        message = message.shown()
        self._messages.append(message)
        self._sizes.append(estimate_message(message))
        self.answers += message.role == "assistant"
        for i, call in enumerate(message.tool_calls):
            if call.name == ask_colleague.name:
                self._questions.append((f"{self.path}/tool:{i}", call))
                self._answers[call.id] = ""
            elif call.name == pin_fact.name:
                self.summary.pinned += _pinned(call.arguments)
        if message.tool_call_id in self._answers:
            self._answers[message.tool_call_id] = message.content

    def texts(self) -> Iterator[tuple[str, Label]]:
        """Yield what the model was told and still has before it, piece by piece, with where it is from."""
        for said in self._said:
            if said.message.role != "assistant" and said.message.label is not None:
                yield from pieces(said.message.content, said.message.label)

    def questions_before(self, path: str) -> Iterator[tuple[ToolCall, str]]:
        """Yield the questions to colleagues before the one at a path, with the answers, in their order."""
        for at, call in self._questions:
            if at == path:
                return
            yield call, self._answers[call.id]

    def window(self) -> tuple[ChatMessage, ...]:
        """Return what the model is sent: all, or the head, the running summary and the newest turns."""
        if self._written is None:
            return tuple(self._messages)
        return (*self._messages[:HEAD], self._written, *self._messages[HEAD:])

    async def surplus(self, taken: int) -> int:
        """Return how many of the oldest messages no longer fit, whole turns of them.

        Args:
            taken: Tokens that the rest of the request and the answer take of what the model can be sent.
        """
        allowance = self._window.tokens
        if sum(self._sizes) + taken > NEARLY * min(allowance, self._counter.smallest):
            if (context := self._counter.context_window()) is not None:
                allowance = max(min(allowance, context - taken), 1)
            if sum(self._sizes) > NEARLY * allowance:
                await self._count()
        self._most = min(MOST_CHARACTERS, int(SHARE * allowance * CHARS))
        return self._window.surplus(self._messages, self._sizes, allowance)

    async def _count(self) -> None:
        fresh = self._messages[self._counted :]
        self._sizes[self._counted :] = await self._counter.count(fresh)
        self._counted = len(self._messages)

    def oldest(self, count: int) -> list[ChatMessage]:
        """Return the oldest messages after the head, as they are recorded."""
        return [said.message for said in self._said[HEAD : HEAD + count]]

    async def look_back(self, query: str) -> tuple[str, Label]:
        """Return the messages that left the window and fit a query best."""
        return await self._archive.find(query), self.label

    async def pin(self) -> tuple[str, Label]:
        """Say that a fact is pinned: `add` saw to it."""
        return "It is kept.", CREW

    def digest(self, messages: Sequence[ChatMessage]) -> None:
        """Put the oldest messages into the summary, by sentences taken from them."""
        self.summary.take(messages)
        self.summary.decisions += self._decisions(len(messages))
        self.summary.unanswered = [
            _question(call) for _, call in self._questions if not self._answers[call.id]
        ]
        self.summary.shorten(self._most)

    def _decisions(self, count: int) -> Iterator[str]:
        """Yield what people decided on the calls of the oldest messages."""
        answers = {s.message.tool_call_id: s.message.content for s in self._said if s.message.role == "tool"}
        for said in self._said[HEAD : HEAD + count]:
            for i, call in enumerate(said.message.tool_calls):
                begun = self._run.begun(f"{said.at}/tool:{i}", task=self._task) or {}
                answer = answers.get(call.id, "")
                if decided := self._run.decision(begun.get("approval", "")):
                    note = f": {decided['note']}" if decided.get("note") else ""
                    yield f"{decided.get('by') or 'a person'} approved {call.name}({call.arguments[:300]}){note}"
                elif answer.startswith("A person"):
                    yield f"{call.name}({call.arguments[:300]}): {answer[:500]}"

    def compress(self, written: ChatMessage, count: int) -> None:
        """Let the running summary stand for the oldest messages."""
        self._archive.add(self.oldest(count))
        del self._messages[HEAD : HEAD + count]
        del self._said[HEAD : HEAD + count]
        del self._sizes[HEAD : HEAD + count]
        self._counted = max(self._counted - count, 0)
        self._written = written

    @property
    def written(self) -> ChatMessage | None:
        """The running summary as the model is sent it; `None` where nothing left the window yet."""
        return self._written

    def sent(self) -> dict[str, Any]:
        """Return which messages are sent, for the journal: those new since the last time, and how many in all."""
        new, self._new = self._new, []
        summary = {"summary": self._written.id()} if self._written else {}
        return {"new": new, "count": len(self._messages), "dropped": self.summary.count, **summary}


def _pinned(arguments: str) -> list[str]:
    try:
        fact = json.loads(arguments)["fact"]
    except (ValueError, TypeError, KeyError):
        return []  # the gateway tells the model what is wrong
    return [" ".join(str(fact).split())] if str(fact).strip() else []


def _question(call: ToolCall) -> str:
    try:
        said = json.loads(call.arguments)
        return f"to {said['to']}: {said['question']}"
    except (ValueError, TypeError, KeyError):
        return call.arguments[:300]
