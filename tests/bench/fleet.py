"""Workers as real processes on a PostgreSQL of their own, a folder with a crew, and what plain SQL says of the runs."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from crewkit.crew.crew import Crew
from crewkit.crew.options import Options
from crewkit.engine.port import Job
from crewkit.engine.procrastinate import Procrastinate
from crewkit.files.load import load
from crewkit.journal.postgres import PostgresJournal
from crewkit.runs.run import hand_over
from crewkit.testing.postgres import PostgresServer


class Fleet:
    """Some workers in one folder."""

    def __init__(self, folder: Path, server: PostgresServer, url: str) -> None:
        self.folder = folder
        self.server = server
        self.url = url
        self.database = url.rpartition("/")[2]
        self.alive: dict[str, subprocess.Popen[bytes]] = {}
        self._number = 0

    def start(self, count: int = 1, *arguments: str) -> list[str]:
        """Start workers and return their names once they work."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("CREWKIT")}
        environ = {**clean, "CREWKIT_JOURNAL": self.url, "CREWKIT_HOME": str(self.folder / ".crewkit")}
        names: list[str] = []
        for _ in range(count):
            name = f"w{self._number}"
            self._number += 1
            command = [sys.executable, "-m", "crewkit", "worker", "--json", "--name", name, *arguments]
            with (
                (self.folder / f"{name}.said").open("ab") as said,
                (self.folder / "errors").open("ab") as errors,
            ):
                self.alive[name] = subprocess.Popen(
                    command, cwd=self.folder, env=environ, stdout=said, stderr=errors
                )
            names.append(name)
        wait(lambda: all(self.said(name) for name in names), 60)
        return names

    def signal(self, name: str, which: signal.Signals) -> None:
        """Send a worker a signal; one that is killed is waited for."""
        self.alive[name].send_signal(which)
        if which is signal.SIGKILL:
            self.alive.pop(name).wait(30)

    def said(self, name: str) -> list[dict[str, Any]]:
        """Return what a worker said."""
        lines = (self.folder / f"{name}.said").read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def hand_over(self, target: str, count: int) -> list[str]:
        """Hand runs over as `crewkit run --detach` does, but in one process."""
        return asyncio.run(self._hand_over(target, count))

    async def _hand_over(self, target: str, count: int) -> list[str]:
        crew: Crew = load(target, self.folder)
        engine = Procrastinate(self.url, queue=str(self.folder))
        runs: list[str] = []
        with PostgresJournal(self.url) as journal:
            options = Options(journal=journal, environ={}, queue=str(self.folder), target=target)
            at_once = asyncio.Semaphore(16)

            async def one() -> None:
                async with at_once:
                    runs.append(run := await hand_over(crew, {}, options))
                    await engine.deliver(Job(run))

            await asyncio.gather(*(one() for _ in range(count)))
        await engine.close()
        return runs

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        """Ask the database, as somebody who knows nothing of crewkit."""
        return self.server.execute("SET search_path TO crewkit", query, database=self.database)

    def unfinished(self) -> int:
        """Return how many runs are not over."""
        query = "SELECT count(*) FROM runs WHERE status NOT IN ('completed', 'failed', 'denied', 'limit', 'cancelled')"
        return self.sql(query)[0][0]

    def takeovers(self, killed: Iterable[tuple[str, float]]) -> list[float]:
        """Return the seconds from each death of a worker until another had what it held.

        Args:
            killed: Name of the worker, and when it was killed (Unix time).
        """
        taken: dict[tuple[str, str], list[float]] = {}
        for file in self.folder.glob("w*.said"):
            for said in self.said(file.stem):
                if said["what"] == "taken":
                    at = datetime.fromisoformat(said["ts"]).timestamp()
                    taken.setdefault((said["run"], said.get("task", "")), []).append(at)
        seconds: list[float] = []
        asked = {run for (run,) in self.sql("SELECT run FROM events WHERE type = 'approval.requested'")}
        for name, at in killed:
            for job in self._in_hand(name):
                if job[0] in asked:
                    continue  # it may have waited for the person
                after = [other - at for other in taken[job] if other > at]
                seconds += [min(after)] if after else []
        return seconds

    def walks(self, name: str) -> bool:
        """Say whether a worker carries a run on."""
        return any(not task for _, task in self._in_hand(name))

    def _in_hand(self, name: str) -> set[tuple[str, str]]:
        held: set[tuple[str, str]] = set()
        for said in self.said(name):
            job = (said.get("run", ""), said.get("task", ""))
            if said["what"] == "taken":
                held.add(job)
            elif job[0]:
                held.discard(job)
        return held

    def end(self) -> None:
        """Kill what is left."""
        for process in self.alive.values():
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.kill()
                process.wait(30)


@contextmanager
def fleet(crew: str) -> Generator[Fleet]:
    """Give a fleet without workers yet, in a folder with a `crew.py`; everything is gone afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="crewkit-fleet-") as folder,
        PostgresServer() as server,
        server.database() as url,
    ):
        (Path(folder) / "crew.py").write_text(textwrap.dedent(crew))
        made = Fleet(Path(folder), server, url)
        try:
            yield made
        finally:
            made.end()


def wait(holds: Any, seconds: float) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit(f"Waited {seconds:g} seconds in vain.")
        time.sleep(0.05)
