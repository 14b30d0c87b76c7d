"""1. CPU per model step of an agent that makes 50 tool calls, journal on; and when the first request leaves."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from table import Row, ms, times
from work import CALLS

from crewkit.testing.server import server_process

HERE = Path(__file__).parent
SIDES = ("chat", "openai", "httpx", "through_litellm", "litellm", "litellm_openai")
ROUNDS = 9


class Side:
    """A process that measures one side, a round at a time."""

    def __init__(self, name: str, url: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "side.py"), name, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def read(self) -> float:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def play(self) -> float:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self.read()

    def end(self) -> None:
        self._process.communicate()


@contextmanager
def sides(names: Sequence[str], url: str) -> Iterator[dict[str, Side]]:
    started: dict[str, Side] = {}
    try:
        for name in names:
            started[name] = Side(name, url)
            started[name].read()
        yield started
    finally:
        for side in started.values():
            side.end()


def cpu_per_step() -> dict[str, float]:
    """Return seconds of CPU per step, by side: medians of rounds that take turns."""
    arguments = ("--calls", str(CALLS), "--tool", "search", "--arguments", '{"query": "tides"}')
    with server_process(*arguments) as url, sides(SIDES, url) as running:
        rounds = [{name: side.play() for name, side in running.items()} for _ in range(ROUNDS)]
    return {name: median(each[name] for each in rounds) for name in SIDES}


CREW = """
from crewkit import Agent, Crew, Task

agent = Agent("Clerk", "Answer.")
crew = Crew([Task("greet", "Say hello.", agent=agent)])
"""


def first_request() -> tuple[float, float]:
    """Return the seconds from `crewkit run` to its first request, and those of a bare interpreter."""
    first: list[float] = []
    bare: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "crew.py").write_text(CREW)
        log = home / "requests.jsonl"
        command = [str(Path(sys.executable).parent / "crewkit"), "run", "crew.py", "--model", "openai/any"]
        with server_process("--log", str(log)) as url:
            env = {**os.environ, "OPENAI_BASE_URL": url, "CREWKIT_HOME": str(home / "journal")}
            for _ in range(5):
                log.unlink(missing_ok=True)
                begun = time.time()
                subprocess.run(command, cwd=home, env=env, check=True, capture_output=True)
                first.append(json.loads(log.read_text().splitlines()[0])["time"] - begun)
                begun = time.time()
                subprocess.run([sys.executable, "-c", "pass"], check=True)
                bare.append(time.time() - begun)
    return median(first), median(bare)


def rows() -> Iterator[Row]:
    cpu = cpu_per_step()
    mine, openai = cpu["chat"], cpu["openai"]
    through, alone = cpu["through_litellm"], cpu["litellm"]
    step = "CPU per step of 51, "
    yield Row(
        f"{step}ChatModel",
        ms(mine),
        f"openai client {ms(openai)}",
        times(mine, openai),
        "under 1/3",
        mine < openai / 3,
    )
    yield Row(f"{step}ChatModel", ms(mine), f"httpx {ms(cpu['httpx'])}", times(mine, cpu["httpx"]))
    yield Row(
        f"{step}LitellmModel",
        ms(through),
        f"litellm, hosted_vllm/ {ms(alone)}",
        f"{times(through, alone)}, +{ms(through - alone)}",
        "+1 ms at most",
        through - alone <= 0.001,
    )
    slow = cpu["litellm_openai"]
    yield Row(f"{step}LitellmModel", ms(through), f"litellm, openai/ {ms(slow)}", times(through, slow))
    first, bare = first_request()
    yield Row(
        "first request after `crewkit run`",
        f"{first:.2f} s",
        f"bare interpreter {bare:.3f} s",
        times(first, bare),
        "1 s at most",
        first <= 1,
    )
