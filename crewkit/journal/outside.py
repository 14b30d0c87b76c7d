"""What others said to a run: signals, which any process may append."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from crewkit.core.events import Event, defined

Data = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Signal:
    """One word from outside."""

    kind: str
    """cancel, pause, event, message."""
    id: str
    by: str
    seq: int
    ts: str
    data: Data
    """All that the event says."""


@dataclass
class Outside:
    """The signals of a run, in their order, and which of them were taken."""

    since: int = 0
    """`seq` from which on signals are new to the process that carries the run on."""
    signals: list[Signal] = field(default_factory=list[Signal])
    _taken: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    """Place in the definition to the events that waits there took or refused."""

    def add(self, event: Event) -> None:
        """Take in a signal, or what a wait did with one."""
        data = event.data
        if event.type == "run.signal":
            told = Signal(
                str(data.get("signal")),
                str(data.get("id")),
                str(data.get("by") or ""),
                event.seq,
                event.ts,
                data,
            )
            self.signals.append(told)
        elif data.get("signal"):
            self.take(event.path, str(data["signal"]))

    def take(self, path: str, signal: str) -> None:
        """Let a signal be taken by the wait at a path: a later iteration there waits for another."""
        self._taken.setdefault(defined(path), set()).add(signal)

    def fresh(self, kind: str) -> Iterator[Signal]:
        """Yield the signals of a kind that came since this process took the run."""
        return (signal for signal in self.signals if signal.kind == kind and signal.seq > self.since)

    def messages(self, to: str) -> Iterator[Signal]:
        """Yield the messages to an agent, and those to all, the oldest first."""
        for signal in self.signals:
            if signal.kind == "message" and signal.data.get("to") in ("", None, to):
                yield signal

    def events(self, name: str, path: str) -> Iterator[Signal]:
        """Yield the external events of a name that no wait at this place took yet, the oldest first."""
        taken = self._taken.get(defined(path), set())
        for signal in self.signals:
            if signal.kind == "event" and signal.data.get("event") == name and signal.id not in taken:
                yield signal
