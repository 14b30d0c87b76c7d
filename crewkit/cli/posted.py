"""What comes in for `crewkit watch --webhook`: calls, and runs of earlier calls that can go on."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from crewkit.cli.common import say
from crewkit.cli.incoming import Item, run_of
from crewkit.core.clock import timestamp
from crewkit.errors import InputError, JournalError

if TYPE_CHECKING:
    from crewkit.crew.crew import Crew
    from crewkit.crew.options import Options
    from crewkit.journal.base import Journal
    from crewkit.web.door import Server

LOOK = 1.0
"""Seconds between two looks for runs that can go on: somebody decided, a time came."""
PATIENCE = 30.0
"""Seconds that a call waits at most for its run to begin."""


@dataclass(frozen=True)
class Place:
    """Where calls are listened for, and what makes one the same again."""

    host: str
    port: int
    key: str
    fixed: Mapping[str, Any]
    """Inputs that are the same for all."""


class Calls:
    """Calls as they come in. Each has its run in the journal before it is answered."""

    def __init__(
        self,
        crew: Crew,
        options: Options,
        journal: Journal,
        place: Place,
    ) -> None:
        self._crew = crew
        self._options = options
        self._journal = journal
        self._place = place
        self._queue: asyncio.Queue[Item] = asyncio.Queue()
        self._one_by_one = asyncio.Lock()
        self._loop = asyncio.get_running_loop()
        self._server = self._listening()

    def _listening(self) -> Server:
        from crewkit.core.signing import SECRET
        from crewkit.web import door as doors
        from crewkit.web.posted import PATH, RunDoor

        door = RunDoor(self._options.environ.get(SECRET, ""), self._begin)
        host, port = self._place.host, self._place.port
        try:
            server = doors.Server({PATH: door.take}, host, port, lambda line: say(line, err=True))
        except OSError as error:
            raise InputError(f"{host}:{port} cannot be listened on: {error.strerror}.") from error
        say(f"http://{host}:{server.server_address[1]}{PATH}", err=True)
        sys.stderr.flush()
        return server

    async def items(self) -> AsyncIterator[Item]:
        """Yield what wants a run, until cancelled."""
        server = self._server
        serving = threading.Thread(target=server.serve_forever, name="crewkit-watch", daemon=True)
        serving.start()
        looking = asyncio.create_task(self._look())
        try:
            while True:
                yield await self._queue.get()
        finally:
            looking.cancel()
            await asyncio.to_thread(server.shutdown)
            server.server_close()

    def _begin(self, data: dict[str, Any], key: str) -> tuple[str, bool]:
        """Begin a run for a call, in the server's thread."""
        begun = asyncio.run_coroutine_threadsafe(self._begun(data, key), self._loop)
        return begun.result(PATIENCE)

    async def _begun(self, data: dict[str, Any], key: str) -> tuple[str, bool]:
        from crewkit.runs.run import hand_over

        inputs = {**self._place.fixed, **data}
        named = self._place.key
        if named and named not in inputs:
            raise InputError(f"The call has no '{named}', by which it would be known again.")
        mark = inputs[named] if named else key or inputs
        run = run_of(self._options.target, json.dumps(["call", mark], sort_keys=True))
        async with self._one_by_one:
            known = bool(await asyncio.to_thread(self._journal.last, run))
            if not known:
                await hand_over(self._crew, inputs, replace(self._options, run_id=run))
        self._queue.put_nowait(Item(run, "", inputs, run))
        return run, known

    async def _look(self) -> None:
        """Put runs of earlier calls in the row that can go on: cut off at the beginning, later those that are due."""
        cut_off = await asyncio.to_thread(self._cut_off)
        while True:
            due: list[str] = []
            with suppress(JournalError):
                due = await asyncio.to_thread(self._journal.due, timestamp(self._options.clock.now()))
            mine = [run for run in due if await asyncio.to_thread(self._is_mine, run)]
            for run in dict.fromkeys([*cut_off, *mine]):
                self._queue.put_nowait(Item(run, "", {}, run))
            cut_off = []
            await asyncio.sleep(LOOK)

    def _cut_off(self) -> list[str]:
        return [
            info.run
            for info in self._journal.runs()
            if info.status == "running" and not info.alive and self._is_mine(info.run)
        ]

    def _is_mine(self, run: str) -> bool:
        if not run.startswith("w-"):
            return False
        started = next(iter(self._journal.events(run, types=("run.started",))), None)
        return started is not None and started.data.get("target") == self._options.target


def webhook_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of where it listens."""
    for option in (
        click.option(
            "--port", type=click.IntRange(0, 65535), default=8761, show_default=True, help="0: any free one."
        ),
        click.option(
            "--host", default="127.0.0.1", show_default=True, help="With --webhook: where to listen."
        ),
        click.option(
            "--webhook", is_flag=True, help="A run for each POST /runs, signed with CREWKIT_WEBHOOK_SECRET."
        ),
    ):
        command = option(command)
    return command
