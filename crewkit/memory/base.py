"""The protocol of memory: `add` and `recall`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from crewkit.core.label import UNKNOWN, Label
from crewkit.core.messages import fingerprint

Where = Mapping[str, Any]
"""A filter: each name must have the value, or one of a list of values.

`source`, `author`, `crew`, `agent` and `run` are the record's own, every other name is a key of its metadata whose
value is a text, a number or a boolean.
"""


@dataclass(frozen=True, slots=True)
class Origin:
    """Who put a record into memory, in which run, and from what. Empty where it was no crew."""

    crew: str = ""
    agent: str = ""
    """Role of the agent whose call it was."""
    run: str = ""
    path: str = ""
    """The step, and which of its records: `draft/2/tool:0#1`. Such a one is kept once, however often it is tried."""
    label: Label = UNKNOWN
    """What it was made of, and whether that may be taken at its word. It stays with the record for good."""
    added: str = ""
    """When it was added, RFC 3339 in UTC; filled in by the memory."""


@dataclass(frozen=True, slots=True)
class Record:
    """One thing to remember: a turn of a conversation, a passage of a document, a fact that an agent saved."""

    text: str
    source: str = ""
    """Where it is from: a conversation's name, a file's path, a URL, a run's step."""
    start: int | None = None
    """Offset of the text in its source, in characters (Unicode code points), counted from 0. Left out for what was
    said: such records stand in the order in which they were added, those of one source beside one another."""
    end: int | None = None
    title: str = ""
    """The document's title and the headings above the passage; indexed with the text."""
    author: str = ""
    """Who said or wrote it: an agent's role, a person; indexed with the text."""
    time: str = ""
    """When it was said, RFC 3339 (other forms stay as they are); indexed with the text."""
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    origin: Origin = field(default_factory=Origin, compare=False)

    def id(self) -> str:
        """Return the record's id: a hash of text, source and place. Adding the same twice changes nothing."""
        return fingerprint(self.text, self.source, str(self.start), self.author, self.time)


@dataclass(frozen=True, slots=True)
class Hit:
    """A record that was recalled."""

    record: Record
    score: float
    """Comparable within one recall only; the best hit comes first."""
    parts: dict[str, float] = field(default_factory=dict[str, float])
    """What the score is made of: dense, lexical, neighbour, author."""


Merge = Callable[[Record, Record], Record]
"""From the record that is held and the one that comes to the one that is kept. Only title, metadata and origin may
differ from theirs."""


class Memory(Protocol):
    """Things worth finding again, kept apart by namespace."""

    async def add(
        self, records: Sequence[Record], *, namespace: str = "default", merge: Merge | None = None
    ) -> list[str]:
        """Remember these; return their ids. All or nothing.

        Args:
            records: In their order: what was said before and after a record helps to find it.
            namespace: Where they are kept, and nowhere else.
            merge: What becomes of a record that is there already. Left out: it stays one record, with the new
                title and metadata. Nobody else changes it meanwhile.
        """
        ...

    async def recall(
        self,
        query: str,
        *,
        k: int = 5,
        namespace: str | Sequence[str] = "default",
        where: Where | None = None,
    ) -> list[Hit]:
        """Return the `k` records that fit the query best, the best first.

        Args:
            query: A question, or words.
            k: How many at most.
            namespace: Where to look: one, or several ranked as one. No other is touched.
            where: Only records like this: `{"source": "rules.md"}`, `{"author": ["Ann", "Bob"], "year": 2026}`.
        """
        ...

    async def forget(
        self,
        *,
        ids: Sequence[str] = (),
        source: str | None = None,
        before: str = "",
        namespace: str = "default",
    ) -> int:
        """Remove records from the store and from the index; return how many.

        Args:
            ids: These.
            source: And those of this source.
            before: And those added before this moment, RFC 3339.
            namespace: Where.
        """
        ...

    async def close(self) -> None:
        """Release files and locks."""
        ...
