"""The thread that writes: the event loop hands events over and goes on."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import ParamSpec, TypeVar

from crewkit.core.events import Event
from crewkit.errors import JournalError
from crewkit.journal.base import Journal, Write

P = ParamSpec("P")
T = TypeVar("T")
Done = Callable[[list[Event] | JournalError], None]

_Owned = tuple[str, str, int | None]
"""A run, or one task of it, and the epoch under which it is in this process's hands."""

_LARGEST_GROUP = 512
"""Writes in one transaction at most, so that other processes get their turn."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Put:
    write: Write
    done: Done | None


class Writer:
    """One thread that makes all calls to a journal, in the order in which they are asked for.

    What is waiting when the thread comes round is appended as one transaction: many small writes in flight
    cost one commit, and durable ones one sync of the disk. A run whose append failed is closed for good: a
    journal with a hole must not go on.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._queue: SimpleQueue[_Put | Callable[[], None] | None] = SimpleQueue()
        self._failed: dict[_Owned, JournalError] = {}
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="crewkit-journal", daemon=True)
        self._thread.start()

    @property
    def journal(self) -> Journal:
        """The journal it writes to."""
        return self._journal

    def put(self, write: Write, done: Done | None = None) -> None:
        """Append soon; return at once.

        `done` is called in the writer's thread with the events appended, or with the error that closed the
        run: its own or that of an earlier write.

        Raises:
            JournalError: The writer is closed.
        """
        self._enqueue(_Put(write, done))

    def call(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call a function in the writer's thread, after everything that was put before it.

        Raises:
            JournalError: The writer is closed.
        """
        future: Future[T] = Future()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 - whatever it is belongs to the caller
                future.set_exception(error)

        self._enqueue(work)
        return future

    def close(self) -> None:
        """Write what is waiting and end the thread. The journal stays open."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _enqueue(self, item: _Put | Callable[[], None]) -> None:
        with self._lock:
            if self._closed:
                raise JournalError("The journal's writer is closed: this process records nothing more.")
            self._queue.put(item)

    def _work(self) -> None:
        group: list[_Put] = []
        while True:
            item = self._queue.get()
            while isinstance(item, _Put):
                group.append(item)
                if len(group) == _LARGEST_GROUP:
                    break
                try:
                    item = self._queue.get_nowait()
                except Empty:
                    break
            if group:
                self._append(group)
                group = []
            if item is None:
                return
            if not isinstance(item, _Put):
                item()

    def _append(self, group: Sequence[_Put]) -> None:
        """Append the group at once, or owner by owner where it fails: one run's trouble is not another's."""
        closed = [put for put in group if _owned(put) in self._failed]
        if closed:
            group = [put for put in group if _owned(put) not in self._failed]
        outcome = self._try([put.write for put in group]) if group else []
        if isinstance(outcome, JournalError):
            self._append_by_owner(group, outcome)
        else:
            for put, events in zip(group, outcome, strict=True):
                _tell(put.done, events)
        for put in closed:
            _tell(put.done, self._failed[_owned(put)])

    def _append_by_owner(self, group: Sequence[_Put], error: JournalError) -> None:
        owners = dict.fromkeys(_owned(put) for put in group)
        for owned in owners:
            mine = [put for put in group if _owned(put) == owned]
            outcome = self._try([put.write for put in mine]) if len(owners) > 1 else error
            if isinstance(outcome, JournalError):
                self._failed[owned] = outcome
                outcome = [outcome] * len(mine)
            for put, result in zip(mine, outcome, strict=True):
                _tell(put.done, result)

    def _try(self, writes: Sequence[Write]) -> list[list[Event]] | JournalError:
        try:
            return self._journal.append(writes)
        except JournalError as error:
            return error
        except Exception as cause:  # noqa: BLE001 - a journal may be the user's; nobody may wait for ever
            error = JournalError(f"The journal refused an event: {cause!r}.")
            error.__cause__ = cause
            return error


def _owned(put: _Put) -> _Owned:
    return put.write.run, put.write.task, put.write.epoch


def _tell(done: Done | None, result: list[Event] | JournalError) -> None:
    if done is None:
        return
    try:
        done(result)
    except RuntimeError:
        """The caller's event loop is closed: nobody waits for this any more."""
    except Exception:  # noqa: BLE001 - the caller's code; the others still wait
        _log.exception("A callback of the journal's writer failed")
