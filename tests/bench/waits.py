"""7. What waiting costs: runs that are paused, and noticing in time that one can go on."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from measure import Row

from crewkit import Crew, Options, Task
from crewkit.core.clock import timestamp
from crewkit.journal.sqlite import SqliteJournal
from crewkit.journal.tell import tell_event

RUNS = 200
SECONDS = 20.0
CODE = """
import asyncio, resource, sys, time
from pathlib import Path
from crewkit import Crew, Options, Task
from crewkit.journal.sqlite import SqliteJournal

async def main(folder, count):
    crews = [Crew([Task("signed", wait_for="ready")]) for _ in range(count)]
    with SqliteJournal(Path(folder) / "j.db") as journal:
        staying = [
            asyncio.create_task(crew.run({}, Options(journal=journal, environ={}, wait=True, run_id=f"r-stay{i}")))
            for i, crew in enumerate(crews)
        ]
        while len([info for info in journal.runs() if info.status == "paused" and not info.alive]) < count:
            await asyncio.sleep(0.1)
        print("waiting", flush=True)
        await asyncio.sleep(1)
        before, began = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
        await asyncio.sleep(float(sys.argv[3]))
        after = resource.getrusage(resource.RUSAGE_SELF)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(used / (time.monotonic() - began), flush=True)
        for result in await asyncio.gather(*staying):
            assert result.ok
        print(time.time(), flush=True)

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


def rows() -> list[Row]:
    """Measure on one journal with many paused runs."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_paused(Path(folder)))
        share, due = _noticing(Path(folder))
        one, latency = _staying(Path(folder), 1)
    asks = f"one query each 0.5 s, {due * 1e6:.0f} µs"
    return [
        Row(
            f"{RUNS} paused runs, noticed by one process",
            f"{share:.3%} of a core",
            asks,
            "",
            "< 1 %",
            share < 0.01,
        ),
        Row("`crewkit run --wait`, idle", f"{one:.3%} of a core", "", "", "< 1 %", one < 0.01),
        Row("the same, until it goes on after an event", f"{latency:.2f} s", "", "", "< 1 s", latency < 1),
    ]


async def _paused(folder: Path) -> None:
    with SqliteJournal(folder / "j.db") as journal:
        for i in range(RUNS):
            crew = Crew([Task("signed", wait_for="ready", deadline=timedelta(days=7))])
            result = await crew.run({}, Options(journal=journal, environ={}, run_id=f"r-paused{i}"))
            assert result.status == "paused"


def _noticing(folder: Path) -> tuple[float, float]:
    """Return the part of a core that asking takes, and the seconds of one query."""
    with SqliteJournal(folder / "j.db") as journal:
        before, began = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
        took, asked = 0.0, 0
        while time.monotonic() - began < SECONDS:
            start = time.perf_counter()
            assert journal.due(timestamp(datetime.now(UTC))) == []
            took, asked = took + time.perf_counter() - start, asked + 1
            time.sleep(0.5)
        after = resource.getrusage(resource.RUSAGE_SELF)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return used / (time.monotonic() - began), took / asked


def _staying(folder: Path, count: int) -> tuple[float, float]:
    """Return the part of a core that a process with staying runs takes, and the seconds until they went on."""
    command = [sys.executable, "-c", CODE, str(folder), str(count), str(SECONDS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ}) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "waiting"
        share = float(process.stdout.readline())
        with SqliteJournal(folder / "j.db") as journal:
            told = time.time()
            for i in range(count):
                tell_event(journal, f"r-stay{i}", "ready", None, "the benchmark")
        return share, float(process.stdout.readline()) - told
