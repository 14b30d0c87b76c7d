"""The protocol of memory: `add` and `recall`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from crewkit.core.messages import fingerprint


@dataclass(frozen=True, slots=True)
class Record:
    """One thing to remember: a passage of a document, a fact that an agent saved."""

    text: str
    source: str = ""
    """Where it is from: a file's path, a URL, a run's step."""
    start: int | None = None
    """Offset of the text in its source, in characters (Unicode code points), counted from 0."""
    end: int | None = None
    title: str = ""
    """The document's title and the headings above the passage; indexed with the text."""
    author: str = ""
    """Who said or wrote it: an agent's role, a person."""
    time: str = ""
    """When it was said, RFC 3339; indexed with the text."""
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])

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


class Memory(Protocol):
    """Things worth finding again, kept apart by namespace."""

    async def add(self, records: Sequence[Record], *, namespace: str = "default") -> list[str]:
        """Remember these; return their ids. All or nothing; a record that is there already is kept once."""
        ...

    async def recall(self, query: str, *, k: int = 5, namespace: str = "default") -> list[Hit]:
        """Return the `k` records that fit the query best, the best first."""
        ...

    async def forget(
        self, *, ids: Sequence[str] = (), source: str | None = None, namespace: str = "default"
    ) -> int:
        """Remove records by id or by source, from the store and from the index; return how many."""
        ...

    async def close(self) -> None:
        """Release files and locks."""
        ...
