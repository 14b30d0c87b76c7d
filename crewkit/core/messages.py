"""What models read and write, and what agents and the coordinator send each other."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any, Literal

from crewkit.core.label import UNKNOWN, Label, fence

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model's wish to call a tool. Nothing in it has been checked."""

    id: str
    name: str
    arguments: str
    """JSON text, exactly as the model wrote it."""


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of the conversation with a model."""

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    """For the role `tool`: the call that this answers."""
    label: Label | None = None
    """Where it came from. `None`: words of ours that may repeat the model's own; they prove and taint nothing."""
    note: str = ""
    """Words of ours about what a tool returned, which stand before it and outside of its fence."""
    _id: str = field(default="", init=False, repr=False, compare=False)
    _chars: int = field(default=-1, init=False, repr=False, compare=False)

    def id(self) -> str:
        """Return the message's id: a hash of what it says (16 hex digits)."""
        if not self._id:  # every turn asks every message of the conversation
            calls = "".join(f"\x1f{c.id}\x1f{c.name}\x1f{c.arguments}" for c in self.tool_calls)
            said = f"{self.content}\x1e{calls}\x1e{self.label or ''}\x1e{self.note}"
            text = f"{self.role}\x1e{self.tool_call_id}\x1e{said}"
            digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8)
            object.__setattr__(self, "_id", digest.hexdigest())
        return self._id

    def chars(self) -> int:
        """Return how many characters it has, with the arguments of its calls."""
        if self._chars < 0:  # as often asked as the id
            size = len(self.content) + sum(len(call.arguments) for call in self.tool_calls)
            object.__setattr__(self, "_chars", size)
        return self._chars

    def to_data(self) -> dict[str, Any]:
        """Return the message as JSON data; `from_data` reads it back."""
        data: dict[str, Any] = {"role": self.role, "content": self.content}
        if self.tool_calls:
            data["tool_calls"] = [
                {"id": c.id, "name": c.name, "arguments": c.arguments} for c in self.tool_calls
            ]
        if self.tool_call_id:
            data["tool_call_id"] = self.tool_call_id
        if self.label is not None or self.role == "tool":
            data["label"] = self.label.to_data() if self.label else None
        if self.note:
            data["note"] = self.note
        return data

    def shown(self) -> ChatMessage:
        """Return the message as a model is sent it: the note first; what a tool returned is fenced unless trusted."""
        free = self.role != "tool" or self.label is None or self.label.trusted
        if free and not self.note:
            return self
        content = self.content if free or self.label is None else fence(self.content, self.label)
        return replace(self, content=f"{self.note}\n{content}" if self.note else content, label=None, note="")

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> ChatMessage:
        """Read what `to_data` wrote; unknown keys are ignored, and what is not there is empty."""
        calls = tuple(ToolCall(c["id"], c["name"], c["arguments"]) for c in data.get("tool_calls", ()))
        role: Any = data.get("role", "tool")
        given: object = data.get("label", UNKNOWN.to_data() if role == "tool" else None)
        label = None if given is None else Label.from_data(given)
        answered, note = str(data.get("tool_call_id", "")), str(data.get("note", ""))
        return cls(role, data.get("content", ""), calls, answered, label, note)


Kind = Literal["assignment", "question", "answer", "message", "report", "failure", "handoff"]

COORDINATOR = "coordinator"
"""The name by which agents address the coordinator."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message on the bus, between agents or between an agent and the coordinator."""

    kind: Kind
    sender: str
    to: str
    thread: str
    """The exchange it belongs to: a task's path, or the path of the call that opened it."""
    round: int
    """Counts from 1 within the thread; a round is one message and its reply, in a conversation one message."""
    content: str
    """What is said, as text."""
    data: dict[str, Any] = field(default_factory=dict[str, Any])
    """What is said, as data: a report's output, a failure's error."""
    label: Label = UNKNOWN
    """The join of the labels of all that went into it."""

    def to_data(self) -> dict[str, Any]:
        """Return the message as JSON data."""
        return {
            "kind": self.kind,
            "sender": self.sender,
            "to": self.to,
            "thread": self.thread,
            "round": self.round,
            "content": self.content,
            "data": self.data,
            "label": self.label.to_data(),
        }


def canonical(value: object) -> str:
    """Write JSON data in the one form that hashes and comparisons use: sorted keys, no blanks, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def fingerprint(*parts: str) -> str:
    """Hash texts in their order (16 hex digits)."""
    text = "".join(f"{part}\x1e" for part in parts)
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
