"""The journal and the memory of one turn at a run."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

from crewkit.core.events import Event
from crewkit.core.messages import fingerprint
from crewkit.crew.options import Options
from crewkit.execution.memory import LazyMemory
from crewkit.journal.base import Journal, Lease, SharedJournal
from crewkit.journal.redact import Redactor
from crewkit.journal.run import Run, new_run_id
from crewkit.journal.writer import Writer


@dataclass
class Opened:
    """The journal and the memory of one turn at a run, closed at its end."""

    options: Options

    async def __aenter__(self) -> Opened:
        from crewkit.journal.open import open_journal
        from crewkit.journal.sqlite import journal_home

        environ = self.options.environ
        self.mine = self.options.journal is None
        self.journal: Journal = self.options.journal or await asyncio.to_thread(open_journal, None, environ)
        home = getattr(self.journal, "path", None)
        folder = (Path(home).parent if home else journal_home(None, environ)) / "memory"
        self.memory = LazyMemory(self.options.memory, folder, environ)
        self.writer = self.options.writer or Writer(self.journal)
        self.lease: Lease | None = None
        self._runs: list[Run] = []
        return self

    async def __aexit__(self, *_: object) -> None:
        closing = asyncio.ensure_future(self._close())
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError:
            await closing  # a lease that is not given back would hold the run up
            raise

    async def _close(self) -> None:
        for run in self._runs:
            run.flush()  # an error may have come between
        try:
            await self.memory.close()
        finally:
            await asyncio.to_thread(self._release)

    def _release(self) -> None:
        if self.options.writer is None:
            self.writer.close()
        if self.lease is not None:
            self.journal.release(self.lease)
        if self.mine:
            self.journal.close()

    async def begin(self, run: str, crew: str) -> Lease:
        """Make a new run and take its lease."""
        return await self.call(self.journal.begin, run, crew, _segment())

    async def fork(self, origin: str, seq: int, run: str, crew: str) -> Lease:
        """Make a new run that shares the events of another up to `seq`, and take its lease."""
        return await self.call(self.journal.fork, origin, seq, run, crew, _segment())

    async def take(self, run: str, *, task: str = "") -> Lease:
        """Take the lease of a run, or of one of its tasks, that no living process holds."""
        if not task and self.options.doing is None:
            return await self.call(self.journal.take, run, _segment())
        journal = cast("SharedJournal", self.journal)  # tasks are done elsewhere on such a one alone
        return await self.call(partial(journal.take, run, _segment(), task=task, shared=True))

    async def call(self, fn: Callable[..., Any], *args: Any) -> Any:
        """Call the journal in the writer's thread."""
        return await asyncio.wrap_future(self.writer.call(self._kept, fn, *args))

    def _kept(self, fn: Callable[..., Any], *args: Any) -> Any:
        """Keep a lease where it is taken: who asked for it may be cancelled by now."""
        result = fn(*args)
        if isinstance(result, Lease):
            self.lease = result
        return result

    def run(self, lease: Lease, history: Sequence[Event], forgets: Sequence[str] = ()) -> Run:
        """Open the run for appending."""
        redactor, clock = Redactor.from_environ(self.options.environ), self.options.clock
        run = Run(self.writer, lease, redactor=redactor, clock=clock, history=history, forgets=forgets)
        if self.options.listener:
            run.listeners.append(self.options.listener)
        self._runs.append(run)
        return run


def _segment() -> str:
    return "s-" + fingerprint(new_run_id(), str(os.getpid()))[:8]
