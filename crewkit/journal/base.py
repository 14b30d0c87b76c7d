"""The protocol that every journal keeps, and the words it uses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from crewkit.core.events import Draft, Event
from crewkit.journal.workers import WorkerInfo, WorkerState


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to carry a run on: one process at a time has it."""

    run: str
    epoch: int
    """Grows with every owner; an append under an older epoch is refused."""
    seg: str
    task: str = ""
    """The task that it is of, where several processes carry one run on; empty: the run itself."""


@dataclass(frozen=True, slots=True)
class Write:
    """Some events for one run, appended together or not at all."""

    run: str
    drafts: Sequence[Draft]
    epoch: int | None
    """The owner's lease, or `None` for a decision or signal from outside (its drafts have a `key`)."""
    durable: bool = False
    """On return the events survive a loss of power, not only of the process."""
    task: str = ""
    """The task whose lease `epoch` is of; empty: it is the run's."""


@dataclass(frozen=True, slots=True)
class RunInfo:
    """One line of the list of runs. Derived from the events."""

    run: str
    crew: str
    status: str
    """running, paused, completed, failed, limit, denied, cancelled; damaged: this line cannot be read. A run whose
    process died is still `running` here; `alive` tells."""
    started: str
    updated: str
    events: int
    alive: bool
    """A process holds the run's lease right now."""
    owner: str
    """Who held it last: `pid 123 on host`."""
    origin: str = ""
    """The run it was forked from."""
    origin_seq: int = 0
    """The last `seq` that it shares with its origin."""
    wake: str = ""
    """Of a paused run: since or from when it can go on (RFC 3339). Empty: it waits for someone."""
    bytes: int = 0
    """Size of its events' data as JSON."""
    queue: str = ""
    """The workers that carry it on, where it was handed over to some."""


class Journal(Protocol):
    """Where runs are kept.

    Every method blocks and may be called from any thread; `Run` keeps them off the event loop. All raise
    `JournalError` with the place, the cause and what to do.
    """

    def begin(self, run: str, crew: str, seg: str) -> Lease:
        """Make a new run and take its lease. One whose process died before its first event is made anew.

        Raises:
            JournalError: There is such a run already.
        """
        ...

    def fork(self, origin: str, seq: int, run: str, crew: str, seg: str) -> Lease:
        """Make a new run that shares the events of another up to `seq`, and take its lease.

        Nothing is copied: `events` reads what is shared from the other run, which goes on by itself, and then the
        new run's own, whose `seq` goes on from there.

        Raises:
            InputError: There is no such run to share with, or it has no event `seq`.
            JournalError: There is a run of the new one's name already.
        """
        ...

    def take(self, run: str, seg: str) -> Lease:
        """Take the lease of a run that no living process holds.

        Raises:
            RunBusy: Another process holds it; the message says which.
            InputError: There is no such run.
        """
        ...

    def release(self, lease: Lease) -> None:
        """Give the lease back. A dead process's lease is free without it."""
        ...

    def append(self, writes: Sequence[Write]) -> list[list[Event]]:
        """Append all the writes in one transaction; return what became of each, in order.

        `seq` is assigned here. A draft whose `key` the run already holds is dropped and missing in the answer.

        Raises:
            JournalError: Nothing was written; or a write's epoch is not the newest of its run.
        """
        ...

    def events(self, run: str, *, after: int = 0, types: Sequence[str] = ()) -> Iterator[Event]:
        """Read a run's events in order, from `seq` greater than `after`, of these types or of all.

        Of a fork, those that it shares come first, and keep the `run` that made them. A corrupt tail ends the
        reading with one event of the type `journal.damaged`, never a traceback.
        """
        ...

    def last(self, run: str) -> int:
        """Return the highest `seq` of the run (0: no such run). Cheap enough to poll."""
        ...

    def runs(self, *, limit: int | None = None) -> list[RunInfo]:
        """List the runs, or the newest so many of them, the newest first."""
        ...

    def info(self, run: str) -> RunInfo:
        """Return a run's line of that list. Cheap enough to poll.

        Raises:
            InputError: There is no such run.
        """
        ...

    def due(self, moment: str) -> list[str]:
        """List the paused runs that can go on at a moment (RFC 3339), the one that could first first.

        Something was decided or signalled since they paused, or the time came until which they wait. Cheap
        enough to poll.
        """
        ...

    def handed(self, queue: str) -> list[str]:
        """List the runs that were handed over to this queue's workers and that no process carries on.

        The oldest first. Cheap enough to poll.
        """
        ...

    def find(self, name: str) -> str:
        """Return the run that `name` means: an id, a unique prefix of one, or `@last`.

        Raises:
            InputError: None or more than one; the message lists what is near.
        """
        ...

    def remove(self, run: str) -> None:
        """Remove a run and its events. `compact` gives the space back.

        Raises:
            RunBusy: A process holds it.
            InputError: There is no such run, or others were forked from it and live.
        """
        ...

    def rewrite(self, run: str, change: Callable[[str, dict[str, Any]], dict[str, Any]]) -> None:
        """Put other data into a run's own events: what `change` makes of their type and data.

        Raises:
            RunBusy: A process holds it.
            InputError: There is no such run, or others were forked from it and live.
            JournalError: It is damaged; nothing is changed.
        """
        ...

    def compact(self) -> bool:
        """Give the space of what was removed back to the disk; say whether that is done."""
        ...

    def close(self) -> None:
        """Release files and connections. Leases of this object are given back."""
        ...


class SharedJournal(Journal, Protocol):
    """A journal on which several processes can carry one run on: one has the run, others have tasks of it.

    An append under a task's lease is refused where the lease has a newer epoch, or the run does not run. What a
    refused owner had to say of the end of a tool call that it had begun itself is appended all the same, marked
    `late`: it settles an unknown outcome that nobody has decided yet, and is evidence otherwise.
    """

    def take(self, run: str, seg: str, *, task: str = "", shared: bool = False) -> Lease:
        """Take the lease of a run, or of one of its tasks, that no living process holds.

        Args:
            run: The run.
            seg: Who takes it.
            task: The task, or nothing.
            shared: Others may have tasks of the run. Otherwise it is refused while one does, and no older lease
                of a task is good any more.

        Raises:
            RunBusy: Another process holds it; the message says which.
            InputError: There is no such run.
        """
        ...

    def expel(self, run: str, task: str = "") -> bool:
        """Take a lease from a worker that stopped answering; say whether nobody holds it any more.

        What that worker appends from then on is refused. It loses all its leases, and takes back those that
        nobody else has taken when it wakes up. A process that is no worker keeps what it has.
        """
        ...

    def lasts(self, runs: Sequence[str]) -> dict[str, int]:
        """Return the highest `seq` of each of these runs. Cheap enough to poll."""
        ...

    # What workers say of themselves.

    def tell_state(self, state: WorkerState) -> None:
        """Let others know of a worker of this process."""
        ...

    def leave_workers(self, name: str) -> None:
        """Let others know that a worker stops."""
        ...

    def workers(self) -> list[WorkerInfo]:
        """List the workers that said something lately, also those that died without a word; the oldest first."""
        ...

    # Places that all processes share; see `crewkit.resilience.places`.

    def take_place(self, what: str, count: int) -> int:
        """Take one of so many places at something and return its number; 0 where there is none now.

        It is free again when it is left, when this process dies, and when `expel` takes its leases.
        """
        ...

    def leave_place(self, what: str, number: int) -> None:
        """Leave a place. Nothing happens where it was taken away."""
        ...

    def keep_places(self) -> None:
        """Notice a lost connection, and take again what was held over it."""
        ...

    def begin_call(self, what: str, calls: int, seconds: float) -> float:
        """Count a call as begun, where fewer were in so many seconds; otherwise return the seconds to wait."""
        ...
