"""A journal whose process dies after so many events, for crews that are killed and resumed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from crewkit import JournalError
from crewkit.core.events import Event
from crewkit.journal.base import Write
from crewkit.journal.sqlite import SqliteJournal


class Dying(SqliteJournal):
    def __init__(self, path: Path, left: int) -> None:
        super().__init__(path)
        self.left = left

    def append(self, writes: Sequence[Write]) -> list[list[Event]]:
        done: list[list[Event]] = []
        for write in writes:
            self.left -= len(write.drafts) if write.epoch is not None else 0
            if self.left < 0:
                raise JournalError("The power is out.")
            done += super().append([write])
        return done


def shape(events: Sequence[Event], *types: str) -> list[str]:
    """Return what happened where, sorted: what runs side by side has no order."""
    return sorted(f"{e.type} {e.path}" for e in events if e.type in types)
