"""A journal whose process dies after so many events of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from crewkit.core.events import Draft, Event
from crewkit.errors import JournalError
from crewkit.journal.base import Journal, Write
from crewkit.journal.sqlite import SqliteJournal


class Dying(SqliteJournal):
    """Dies after so many events; what others append to the run counts for nothing."""

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


def answer(journal: Journal, question: Event, decision: str, note: str = "") -> None:
    """Decide a question as another process does."""
    data = {"id": question.data["id"], "decision": decision, "note": note, "by": "a test"}
    draft = Draft("approval.decided", question.path, data, question.task, key=f"decided:{data['id']}")
    journal.append([Write(question.run, [draft], None)])


def open_questions(journal: Journal, run: str) -> list[Event]:
    """Return the questions that nobody decided."""
    events = list(journal.events(run))
    decided = {event.data["id"] for event in events if event.type == "approval.decided"}
    asked = (event for event in events if event.type == "approval.requested")
    return [event for event in asked if event.data["id"] not in decided]
