"""What the journals on SQL share: events as rows and back, and what is said where a run is not found."""

from __future__ import annotations

import json
import os
import re
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NoReturn, Self, cast

from crewkit.core.clock import timestamp
from crewkit.core.events import VERSION, Draft, Event
from crewkit.core.shapes import no_constant, readable
from crewkit.errors import InputError, JournalError, RunBusy, did_you_mean
from crewkit.journal.base import RunInfo, Write

Row = tuple[Any, ...]

COLUMNS: Final = "run, seq, type, ts, t, seg, path, task, agent, attempt, data, v"

_PAGE = 256
"""Events read at a time."""

_ENDLESS = 2**62
"""Above any `seq`."""

_LISTED: Final = """
    SELECT run, crew, status, started, updated, seq, pid, host, origin, origin_seq,
        CASE wake WHEN '~' THEN '' ELSE wake END, bytes, queue FROM runs
"""

_EVENT = (str, int, str, str, float, str, str, str, str, int, str, int)
_LINE = (str, str, str, str, str, int, int, str, str, int, str, int, str)
_TAIL = (str, int, int, str, str, str, str, int, int, str, int, str)
"""Types of what is read. SQLite keeps what it is given, and a flipped bit gives it something else."""

_JSON = json.JSONDecoder(parse_constant=no_constant)

_NEVER = "1970-01-01T00:00:00.000000Z"

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_HELD = "~"
"""The `wake` of a run that a person paused: after all times, and nothing from outside changes it."""
_STATUS = {
    "run.started": "running",
    "run.forked": "running",
    "run.resumed": "running",
    "run.paused": "paused",
}


NO_TASKS: Final[Mapping[tuple[str, str], int]] = {}


class StaleOwner(JournalError):
    """Who wants to append had the run, or the task, and lost it."""


@dataclass(frozen=True, slots=True)
class _Part:
    """Events of one run that belong to another: to a fork of it, or to itself."""

    run: str
    after: int
    upto: int
    """The last `seq` that belongs to it."""
    end: int
    """The `seq` up to which there have to be events."""


class SqlJournal(ABC):
    """The reading half of a journal in the tables `runs` and `events`; `?` stands for a value."""

    where: str
    """How people name the place, for messages."""

    _born = "rowid"
    """The column that tells which of two runs is the younger."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Release files and connections. Leases of this object are given back."""

    @abstractmethod
    def _all(self, query: str, *values: str | int) -> list[Row]:
        """Read all rows."""

    @abstractmethod
    def _held_of(self, runs: Sequence[str]) -> set[str]:
        """Return those of these runs whose lease is held."""

    @abstractmethod
    def _readable(self, query: str, values: Sequence[str | int]) -> tuple[list[Row], str]:
        """Read the rows that can be read; say what damage hides the others, or nothing."""

    def events(self, run: str, *, after: int = 0, types: Sequence[str] = ()) -> Iterator[Event]:
        """Read a run's events in order, from `seq` greater than `after`, of these types or of all."""
        for part in self._parts(plain(run)):
            if after < part.upto and (damage := (yield from self._part(part, max(after, part.after), types))):
                last, why = damage
                why += f", in run {part.run}, from which it was forked" if part.run != plain(run) else ""
                data = {"why": why, "after": last, "file": self.where}
                yield Event(run, 0, "journal.damaged", ts=now(), t=0.0, seg="", data=data)
                return

    def _parts(self, run: str) -> list[_Part]:
        """Return what a run is made of: what it shares with the runs it was forked from, and its own events."""
        parts = [_Part(run, 0, _ENDLESS, 0)]
        with suppress(JournalError):  # the index is damaged: the events may not be
            while row := self._all("SELECT origin, origin_seq, seq FROM runs WHERE run = ?", parts[0].run):
                ((origin, shared, last),) = row
                if (type(origin), type(shared), type(last)) != (str, int, int):
                    break
                own = parts[0]
                parts[0] = _Part(own.run, shared, own.upto, min(last, own.upto))
                if not origin or origin in [part.run for part in parts]:
                    break
                parts.insert(0, _Part(origin, 0, min(shared, own.upto), min(shared, own.upto)))
        return parts

    def _part(
        self, part: _Part, after: int, types: Sequence[str]
    ) -> Generator[Event, None, tuple[int, str] | None]:
        """Read one part; return where it is damaged, and how."""
        only = f"AND type IN ({', '.join('?' * len(types))})" if types else ""
        query = (
            f"SELECT {COLUMNS} FROM events WHERE run = ? AND seq > ? AND seq <= ? {only}"  # noqa: S608
            f" ORDER BY seq LIMIT {_PAGE}"
        )
        while True:
            rows, why = self._readable(query, (part.run, after, part.upto, *types))
            for row in rows:
                if not types and row[1] != after + 1:
                    why = f"event {after + 1} is missing"
                    break
                try:
                    event = _event(row)
                except ValueError as error:
                    why = str(error)
                    break
                yield event
                after = event.seq
            if not types and not why and len(rows) < _PAGE and after < part.end:
                why = f"the events after {after} are missing, up to {part.end}"
            if why:
                return after, why
            if len(rows) < _PAGE:
                return None

    def last(self, run: str) -> int:
        """Return the highest `seq` of the run (0: no such run)."""
        rows = self._all("SELECT seq FROM runs WHERE run = ?", plain(run))
        return int(rows[0][0]) if rows and isinstance(rows[0][0], int) else 0

    def runs(self, *, limit: int | None = None) -> list[RunInfo]:
        """List the runs, or the newest so many of them, the newest first."""
        return self._listed(
            f"WHERE seq > origin_seq ORDER BY started DESC, {self._born} DESC LIMIT ?",
            _ENDLESS if limit is None else limit,
        )

    def info(self, run: str) -> RunInfo:
        """Return a run's line of that list."""
        found = self._listed("WHERE run = ? AND seq > origin_seq", plain(run))
        return found[0] if found else self._unknown(run)

    def due(self, moment: str) -> list[str]:
        """List the paused runs that can go on at a moment, the one that could first first."""
        rows = self._all(
            "SELECT run FROM runs WHERE wake <> '' AND wake <= ? AND status = 'paused' ORDER BY wake", moment
        )
        return [run for (run,) in rows]

    def handed(self, queue: str) -> list[str]:
        """List the runs that were handed over to workers and that no process carries on, the oldest first."""
        rows = self._all(
            f"SELECT run FROM runs WHERE queue <> '' AND queue = ? AND status = 'running' ORDER BY {self._born}",  # noqa: S608
            plain(queue),
        )
        held = self._held_of([run for (run,) in rows])
        return [run for (run,) in rows if run not in held]

    def find(self, name: str) -> str:
        """Return the run that `name` means: an id, a unique prefix of one, or `@last`."""
        if name == "@last":
            newest = self._newest(1)
            if not newest:
                raise InputError(f"No runs here yet: {self.where} is empty. Begin one: crewkit run FILE")
            return newest[0]
        if not name:
            raise InputError(
                "Which run? Name it by its id, the beginning of its id, or @last. All: crewkit runs"
            )
        rows = self._all(
            "SELECT run FROM runs WHERE run >= ? AND run < ? AND seq > origin_seq ORDER BY run LIMIT 9",
            plain(name),
            plain(name) + "\U0010ffff",
        )
        found = [run for (run,) in rows]
        if len(found) == 1 or name in found:
            return found[0]  # the shortest comes first
        if found:
            more = " and more" if len(found) > 8 else ""
            raise InputError(f"'{name}' may mean {', '.join(found[:8])}{more}: write more of the id.")
        return self._unknown(name)

    def _listed(self, which: str, *values: str | int) -> list[RunInfo]:
        """List the runs that the end of a query names."""
        rows = self._all(_LISTED + which, *values)
        held = self._held_of([row[0] for row in rows])
        return [_line(row, alive=row[0] in held) for row in rows]

    def _unshared(self, run: str) -> None:
        """Refuse to change a run that others share events of.

        Called in the transaction that changes it: a fork locks its origin.
        """
        forks = [
            fork
            for (fork,) in self._all("SELECT run FROM runs WHERE origin <> '' AND origin = ?", plain(run))
        ]
        # Of a fork whose process died before its first event nobody knows. Who has its lease is asked first: a fork
        # that was let go of by then, and has no event after that, will have none.
        held = self._held_of(forks)
        begun = self._all(
            "SELECT run FROM runs WHERE origin <> '' AND origin = ? AND seq > origin_seq", plain(run)
        )
        forks = sorted(held | {fork for (fork,) in begun})
        if forks:
            more = " and more" if forks[3:] else ""
            raise InputError(
                f"Run {run} shares its events with what was forked from it: {', '.join(forks[:3])}{more}. "
                "Remove that first."
            )

    def _changed(
        self, run: str, change: Callable[[str, dict[str, Any]], dict[str, Any]]
    ) -> list[tuple[str, int]]:
        """Return the new data of a run's own events, with their `seq`."""
        changed: list[tuple[str, int]] = []
        for event in self.events(run):
            if event.type == "journal.damaged":
                raise JournalError(
                    f"Run {run} cannot be read to its end: {event.data['why']}. It is left as it is."
                )
            if event.run == run:
                data = change(event.type, event.data)
                changed.append((to_json(run, Draft(event.type, event.path, data)), event.seq))
        return changed

    def _newest(self, count: int) -> list[str]:
        rows = self._all(
            f"SELECT run FROM runs WHERE seq > origin_seq ORDER BY started DESC, {self._born} DESC LIMIT {count}"  # noqa: S608
        )
        return [run for (run,) in rows]

    def _check_origin(self, origin: str, seq: int) -> None:
        """Refuse to fork a run where it has no events; called in the transaction that makes the fork."""
        last = self.last(origin) or self._unknown(origin)
        if not 0 < seq <= last:
            raise InputError(f"Run {origin} has the events 1 to {last}: it cannot be forked after {seq}.")

    def _owner(self, run: str) -> str:
        rows = self._all("SELECT pid, host FROM runs WHERE run = ?", plain(run))
        return owner(*rows[0]) if rows else self._unknown(run)

    def _busy(self, run: str) -> RunBusy:
        return RunBusy(
            f"Run {run} is in the hands of {self._owner(run)}. Watch it: crewkit show {run} --follow"
        )

    def _unknown(self, name: str) -> NoReturn:
        newest = self._newest(100)
        known = (
            f" The newest: {', '.join(newest[:3])}. All: crewkit runs" if newest else " There are none yet."
        )
        raise InputError(f"There is no run '{name}' in {self.where}.{did_you_mean(name, newest)}{known}")


@dataclass(slots=True)
class Tail:
    """The end of a run, while a transaction appends to it."""

    run: str
    seq: int
    epoch: int
    status: str
    started: str
    updated: str
    wake: str
    told: int
    """`seq` of the newest event from outside."""
    bytes: int
    queue: str
    pid: int
    host: str

    def values(self) -> tuple[int, str, str, str, str, int, int, str]:
        """Return what appending changes, in the order of the columns."""
        return self.seq, self.status, self.started, self.updated, self.wake, self.told, self.bytes, self.queue

    def check_right(self, write: Write, tasks: Mapping[tuple[str, str], int] = NO_TASKS) -> None:
        """Refuse a write by one who does not, or no longer, own the run or the task.

        Args:
            write: The write.
            tasks: The newest epochs of tasks, by run and task.
        """
        if write.epoch is None:
            if any(draft.key is None for draft in write.drafts):
                raise JournalError(f"Run {write.run}: only its owner may append events without a key.")
        elif write.task:
            self._check_task(write, tasks.get((write.run, write.task)))
        elif write.epoch != self.epoch:
            raise StaleOwner(
                f"Run {write.run} was taken over by {owner(self.pid, self.host)}: this process may record "
                f"nothing more of it. Watch it: crewkit show {write.run} --follow"
            )

    def _check_task(self, write: Write, epoch: int | None) -> None:
        if epoch != write.epoch:
            raise StaleOwner(
                f"Task {write.run}/{write.task} was taken over by another process: this one may record nothing "
                f"more of it. Watch it: crewkit show {write.run} --follow"
            )
        if self.status != "running":
            raise StaleOwner(f"Run {write.run} is {self.status}: nothing more of its tasks may be recorded.")

    def add(self, draft: Draft, size: int, *, outside: bool) -> Event:
        """Make the draft the run's next event.

        Args:
            draft: What happened.
            size: Bytes of its data as JSON.
            outside: Not the run's owner appends it: a paused run can go on now.
        """
        self.seq += 1
        self.bytes += size
        self.updated = draft.ts or now()
        if draft.type in ("run.started", "run.forked"):
            self.started = self.updated
        if draft.type in ("run.started", "run.forked", "run.resumed"):
            self.queue = plain(str(draft.data.get("queue") or ""))
        if draft.type == "run.finished":
            self.status = plain(str(draft.data.get("status", "completed")))
        else:
            self.status = _STATUS.get(draft.type, self.status)
        if outside:
            self.told = self.seq
            self.wake = self.updated if self.status == "paused" and self.wake != _HELD else self.wake
        elif draft.type == "run.paused" and draft.data.get("reason") == "pause":
            self.wake = _HELD
        elif draft.type == "run.paused":
            # Decided while it paused, or before it looked for the last time?
            unseen = self.told > int(draft.data.get("seen", self.seq))
            self.wake = self.updated if unseen else plain(str(draft.data.get("until") or ""))
        elif draft.type in ("run.started", "run.forked", "run.resumed", "run.finished"):
            self.wake = ""
        return Event(
            self.run,
            self.seq,
            draft.type,
            self.updated,
            draft.t,
            draft.seg,
            plain(draft.path),
            plain(draft.task),
            plain(draft.agent),
            draft.attempt,
            draft.data,
        )


def check_run_id(run: str) -> None:
    """Refuse a run id that could not be a file's name."""
    if not _RUN_ID.fullmatch(run):
        raise InputError(f"'{run}' cannot be a run id: use letters, digits, '.', '_' and '-'.")


def taken(run: str) -> JournalError:
    """Return the error of beginning a run that is there."""
    return JournalError(f"There is a run {run} already. See it: crewkit show {run}")


def me(seg: str) -> tuple[int, str, str]:
    """Return who takes a run here: process, host and segment."""
    return os.getpid(), socket.gethostname(), plain(seg)


def owner(pid: int, host: str) -> str:
    """Return how people name a process."""
    return f"pid {pid} on {host}"


def now() -> str:
    """Return the time as events write it."""
    return timestamp(datetime.now(UTC))


def to_json(run: str, draft: Draft) -> str:
    """Write a draft's data as JSON that any store of text can hold."""
    try:
        text = json.dumps(draft.data, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise JournalError(f"Run {run}, {draft.type} at '{draft.path}': not JSON data: {error}") from error
    return text if storable(text) else json.dumps(draft.data, separators=(",", ":"))


def plain(text: str) -> str:
    """Return the text as any store can hold it: half characters and NUL are written out."""
    if storable(text):
        return text
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def storable(text: str) -> bool:
    """Tell whether any store of text can hold it as it is."""
    if "\0" in text:
        return False
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _event(row: Row) -> Event:
    """Return the event in a row; a `ValueError` says what is wrong with it."""
    if tuple(map(type, row)) != _EVENT:
        raise ValueError(f"event {row[1]} holds something else than an event does")
    run, seq, kind, ts, t, seg, path, task, agent, attempt, text, v = row
    if v > VERSION:
        raise JournalError(
            f"Event {seq} of run {run} has version {v}; this crewkit knows {VERSION}. "
            "A newer crewkit wrote it: upgrade this one."
        )
    try:
        data = _JSON.decode(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"event {seq} is not JSON: {error}") from error
    if type(data) is not dict:
        raise ValueError(f"event {seq} holds no JSON object")
    data = readable(kind, cast("dict[str, Any]", data))
    return Event(run, seq, kind, ts, t, seg, path, task, agent, attempt, data, v)


def _line(row: Row, *, alive: bool) -> RunInfo:
    """Return a line of the list of runs; one that cannot be read is listed as `damaged`."""
    run, crew, status, started, updated, events, pid, host, *rest = row
    if tuple(map(type, row)) != _LINE or not (_is_time(started) and _is_time(updated)):
        return RunInfo(str(run), "", "damaged", _NEVER, _NEVER, 0, alive, "")
    return RunInfo(run, crew, status, started, updated, events, alive, owner(pid, host), *rest)


def tail_of(row: Row) -> Tail:
    """Return the end of a run to append to.

    Raises:
        JournalError: Its row is damaged.
    """
    if tuple(map(type, row)) != _TAIL:
        raise JournalError(
            f"Run {row[0]} cannot be appended to: its line in the list of runs is damaged. "
            f"Read what there is: crewkit show {row[0]}"
        )
    return Tail(*row)


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
