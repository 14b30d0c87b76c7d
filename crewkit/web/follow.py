"""Runs read for browsers: folded once when they are opened, and on with what is new while they are followed."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from crewkit.core.events import Event
from crewkit.errors import CrewkitError
from crewkit.journal.base import Journal, RunInfo
from crewkit.web.data import RunData, event_data, shortened
from crewkit.web.fold import Fold

Data = dict[str, Any]

_POLL = 0.4
"""Seconds between two looks."""
_SHARE = 4
"""Following a run takes at most one in so many seconds of a core, however long the run is."""
_STILL = 25
"""Looks without news after which the browser hears that somebody is still there."""


@dataclass(frozen=True)
class Loaded:
    """A run, read and folded."""

    info: RunInfo
    fold: Fold
    """Goes on with what is new, so what it holds may be further on."""
    events: Sequence[Event]
    data: RunData

    @cached_property
    def body(self) -> bytes:
        """What a browser is given of it, as JSON."""
        return to_json(self.data.to_data([shortened(event_data(event)) for event in self.events]))


class Reader:
    """Reads runs, and keeps the last: who opens it again, or follows it, waits only for what is new."""

    def __init__(self, journal: Journal) -> None:
        """Read from a journal, in any thread."""
        self._journal = journal
        self._one_at_a_time = threading.Lock()
        self.kept: Loaded | None = None

    def load(self, run: str) -> Loaded:
        """Return a run as it is now.

        Raises:
            InputError: There is no such run, or it has no events.
        """
        with self._one_at_a_time:
            info = self._journal.info(run)
            kept = self.kept if self.kept and self.kept.info.run == info.run else None
            if kept and kept.info == info:
                return kept
            # What was written is not written again, but for its content being dropped: then it is smaller.
            fold = kept.fold if kept and kept.info.bytes <= info.bytes else Fold()
            seen = fold.events[-1].seq if fold.events else 0
            if not seen:  # a damaged end has no number: then it is read anew
                fold = Fold()
            data = fold.add(list(self._journal.events(run, after=seen)), alive=info.alive)
            self.kept = Loaded(info, fold, tuple(fold.events), data)
            return self.kept

    def prepare(self, run: str) -> None:
        """Begin to read a run that will be asked for."""

        def read() -> None:
            with suppress(CrewkitError):  # whoever asks for it is told
                _ = self.load(run).body

        threading.Thread(target=read, name="crewkit-read", daemon=True).start()


def changes(reader: Reader, run: str, after: int, closing: threading.Event) -> Iterator[Data]:
    """Yield what is new in a run, and an empty dictionary from time to time while nothing is.

    Args:
        reader: Reads it.
        run: Its id.
        after: The last `seq` that the browser has.
        closing: Set when nobody is to be followed any more.
    """
    kept = reader.kept
    fits = kept and kept.info.run == run and kept.data.head["last"] == after
    known = kept.data if kept and fits else None
    looks = 0
    while not closing.is_set():
        began = time.monotonic()
        loaded = reader.load(run)
        data = loaded.data
        if data is not known:
            new = [shortened(event_data(event)) for event in loaded.events if event.seq > after]
            nodes = data.changed(known) if known else data.nodes
            yield {"head": data.head, "nodes": nodes, "forgotten": data.forgotten, "events": new}
            known, after, looks = data, max(after, data.head["last"]), 0
        elif looks % _STILL == _STILL - 1:
            yield {}
        looks += 1
        closing.wait(max(_POLL, _SHARE * (time.monotonic() - began)))


def to_json(value: Any) -> bytes:
    """Write JSON data as a browser reads it; what is no character stays as its escape."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    return text.encode("utf-8", "backslashreplace")
