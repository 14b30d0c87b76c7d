"""A run in the hands of the process that carries it on: record, commit, step."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any

from crewkit.core.clock import Clock, SystemClock, timestamp
from crewkit.core.events import Draft, Event
from crewkit.core.messages import ChatMessage, Message
from crewkit.errors import ReplayError
from crewkit.journal.base import Journal, Lease, Write
from crewkit.journal.redact import Redactor
from crewkit.journal.writer import Writer

Data = dict[str, Any]


def new_run_id() -> str:
    """Return a fresh run id: `r-` and eight letters and digits without look-alikes."""
    alphabet = "23456789abcdefghjkmnpqrstuvwxyz"
    return "r-" + "".join(secrets.choice(alphabet) for _ in range(8))


class UnknownOutcome(Exception):  # noqa: N818
    """An effect was begun and nobody knows whether it happened. Not an error: a question for a person."""

    def __init__(self, path: str, started: Data) -> None:
        super().__init__(path)
        self.path = path
        self.started = started


class Run:
    """One run's journal, open for appending, with what it already holds indexed by path.

    Not a place for state: whatever is not in the journal is lost with the process, and that is the point.
    """

    def __init__(
        self,
        writer: Writer,
        lease: Lease,
        *,
        redactor: Redactor | None = None,
        clock: Clock | None = None,
        history: Iterable[Event] = (),
    ) -> None:
        self.id = lease.run
        self.seg = lease.seg
        self.clock = clock or SystemClock()
        self.redactor = redactor or Redactor()
        self._writer = writer
        self._lease = lease
        self._recorded: set[tuple[str, str, int]] = set()
        self._intents: dict[tuple[str, str], Event] = {}
        self._results: dict[tuple[str, str], Event] = {}
        self._messages: dict[str, ChatMessage | None] = {}
        self._decisions: dict[str, Data] = {}
        self._signals: list[Data] = []
        self._listeners: list[Callable[[Event], None]] = []
        self.changed = asyncio.Event()
        """Set whenever another process appended a decision or a signal."""
        self.replayed = 0
        for event in history:
            self._index(event)
            self.replayed += 1
