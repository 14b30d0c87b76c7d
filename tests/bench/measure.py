"""What the benchmarks share: children that are measured, small crews, and rows of the table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    ours: str
    beside: str
    """What it is compared with, measured in the same run."""
    compared: str
    goal: str = ""
    met: bool | None = None

    def cells(self) -> list[str]:
        verdict = {True: "yes", False: "**no**", None: ""}[self.met]
        return [self.what, self.ours, self.beside, self.compared, self.goal, verdict]


HEAD = ["what", "crewkit", "beside it", "compared", "goal", "met"]


@dataclass(frozen=True)
class Child:
    """A process that ended."""

    said: Any
    """What it printed, as JSON; its text where `run` was told so."""
    cpu: float
    """Seconds of user and system time, threads and start-up included."""
    seconds: float
    code: int


def run(command: Sequence[str], *, env: Mapping[str, str] | None = None, text: bool = False) -> Child:
    """Run a process to its end and measure the whole of it."""
    begun = time.monotonic()
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(command, env={**os.environ, **(env or {})}, stdout=out, stderr=out)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        said = out.read().decode()
    if not text:
        try:
            said = json.loads(said.splitlines()[-1])
        except (ValueError, IndexError) as error:
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{said}") from error
    return Child(said, usage.ru_utime + usage.ru_stime, seconds, process.returncode)


def client(module: str, *arguments: object, env: Mapping[str, str] | None = None) -> Child:
    """Run a benchmark's own module as a process; it prints one line of JSON."""
    return run([sys.executable, str(HERE / f"{module}.py"), *map(str, arguments)], env=env)


def say(value: Any) -> None:
    """Tell the parent what a client measured."""
    print(json.dumps(value), flush=True)


@contextmanager
def standing(module: str, *arguments: object) -> Generator[Callable[[], Any]]:
    """Start a benchmark's own module as a process; give a call that asks it, by a line, for one more figure."""
    command = [sys.executable, str(HERE / f"{module}.py"), *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        asks, answers = process.stdin, process.stdout
        assert asks is not None
        assert answers is not None

        def figure() -> Any:
            asks.write("\n")
            asks.flush()
            return json.loads(answers.readline())

        try:
            figure()  # it is there and warm
            yield figure
        finally:
            asks.close()


def interleaved(sides: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Take every side's figure in turn, round after round, so that a busy moment hits all of them."""
    figures: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds):
        order = list(sides.items())
        for name, measure in order if number % 2 == 0 else reversed(order):
            figures[name].append(measure())
    return figures


def medians(figures: Mapping[str, Iterable[float]]) -> dict[str, float]:
    """Return the median of each side."""
    return {name: median(values) for name, values in figures.items()}


@contextmanager
def home() -> Generator[Path]:
    """Give a folder for a journal, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="crewkit-bench-") as folder:
        yield Path(folder)


def peak_memory() -> float:
    """Return this process's largest resident size so far, in MB. `ru_maxrss` would count its parent's."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024
