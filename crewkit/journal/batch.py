"""What one transaction of the journal on PostgreSQL appends."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from crewkit.core.events import Event
from crewkit.journal.base import Write
from crewkit.journal.sql import Row, Tail, plain, to_json

_ENVELOPE = 1000
"""What an event counts for beside its data."""


@dataclass(slots=True)
class Batch:
    """The writes of one transaction, which may take several attempts."""

    writes: Sequence[Write]
    durable: bool
    id: int = field(default_factory=lambda: secrets.randbits(63))
    texts: list[list[str]] = field(default_factory=list[list[str]])
    """The data of each write's drafts as JSON, made before any lock is held."""
    seqs: dict[str, int] = field(default_factory=dict[str, int])
    """Where the last attempt put its first event, by run."""
    answer: list[list[Event]] = field(default_factory=list[list[Event]])

    def __post_init__(self) -> None:
        if not self.texts:
            self.texts = [[to_json(write.run, draft) for draft in write.drafts] for write in self.writes]

    @property
    def size(self) -> int:
        """How much of memory it takes, about."""
        return sum(len(text) + _ENVELOPE for texts in self.texts for text in texts)

    def assign(self, tails: Mapping[str, Tail], keys: set[tuple[str, str]]) -> list[Row]:
        """Make events of the drafts whose keys are new, and return them as rows."""
        self.answer, self.seqs = [], {}
        rows: list[Row] = []
        for write, texts in zip(self.writes, self.texts, strict=True):
            events: list[Event] = []
            for draft, text in zip(write.drafts, texts, strict=True):
                key = None if draft.key is None else plain(draft.key)
                if key is not None and (write.run, key) in keys:
                    continue
                if key is not None:
                    keys.add((write.run, key))
                event = tails[write.run].add(draft, len(text.encode()), outside=write.epoch is None)
                self.seqs.setdefault(event.run, event.seq)
                events.append(event)
                rows.append((*_values(event, text), key, self.id))
            self.answer.append(events)
        return rows

    def by_run(self) -> Iterator[Batch]:
        """Yield it in parts that can be looked for, and written again, each by itself."""
        runs = {write.run for write in self.writes}
        if len(runs) == 1:
            self.durable = True
            yield self
            return
        for run in runs & self.seqs.keys():
            mine = [i for i, write in enumerate(self.writes) if write.run == run]
            writes, texts = [self.writes[i] for i in mine], [self.texts[i] for i in mine]
            yield Batch(writes, True, self.id, texts, {run: self.seqs[run]})  # noqa: FBT003


def _values(event: Event, text: str) -> Row:
    return (
        *(event.run, event.seq, plain(event.type), plain(event.ts), event.t, plain(event.seg), event.path),
        *(event.task, event.agent, event.attempt, text, event.v),
    )
