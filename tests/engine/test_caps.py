"""Caps that hold whichever workers the calls are made in: real processes, and a service that counts what it bears."""

from __future__ import annotations

import json
import signal
import textwrap
from pathlib import Path

import pytest

from crewkit.testing.server import server_process
from tests.engine.conftest import Workers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

CREW = """
    import os, time, urllib.request
    from crewkit import Agent, Crew, Route, Task, tool

    @tool(effects="read", concurrency=3)
    def fetch() -> str:
        "Fetch."
        body = b'{"model": "tool", "messages": []}'
        with urllib.request.urlopen(os.environ["SERVICE"] + "/chat/completions", body) as answer:
            return str(answer.status)

    def written(word):
        with open("log", "a") as log:
            log.write(f"{word} {os.getpid()} {time.time()}\\n")

    @tool(effects="read", concurrency=1, timeout=600)
    def hold() -> str:
        "Hold the only place."
        written("hold")
        while not os.path.exists("go"):
            time.sleep(0.05)
        return "held"

    @tool(effects=["write"], rate="2/s")
    def send() -> str:
        "Send."
        written("send")
        return "sent"

    asking = Agent("Clerk", "Answer.", model="any")
    models = {"any": Route("openai/any", concurrency=2)}
    wide = [Task(f"t{i}", do=fetch) for i in range(9)] + [Task(f"a{i}", f"Say {i}.", agent=asking) for i in range(6)]
    crew = Crew(wide, name="wide", models=models)
    holding = Crew([Task("hold", do=hold)], name="holding")
    sending = Crew([Task(f"s{i}", do=send) for i in range(6)], name="sending")
"""


@pytest.fixture(autouse=True)
def crew(many: Workers) -> None:
    (many.folder / "crew.py").write_text(textwrap.dedent(CREW))


def in_flight(log: Path) -> list[int]:
    """Return how many calls a service had under way whenever one came or went."""
    now, seen = 0, [0]
    for said in map(json.loads, log.read_text().splitlines()):
        now += 1 if said["event"] == "arrived" else -1
        seen.append(now)
    return seen


def up(many: Workers, count: int, *arguments: str) -> None:
    for _ in range(count):
        many.start(*arguments)
    many.until(lambda: all(many.said(f"w{i}", "working") for i in range(count)))


def completed(many: Workers, *runs: str) -> bool:
    known = many.runs()
    return all(known[run]["status"] == "completed" for run in runs)


def test_no_tool_and_no_model_is_called_more_at_once_than_its_cap_says(many: Workers):
    tool, model = many.folder / "tool", many.folder / "model"
    with (
        server_process("--delay", "0.2", "--log", str(tool)) as service,
        server_process("--delay", "0.2", "--log", str(model)) as models,
    ):
        many.environ |= {"SERVICE": service, "OPENAI_BASE_URL": models}
        up(many, 3)
        runs = [many.detach("crew.py"), many.detach("crew.py")]
        many.until(lambda: completed(many, *runs))
    # Without the caps the three workers have up to twelve under way.
    assert max(in_flight(tool)) == 3
    assert max(in_flight(model)) == 2
    assert sum(len(many.said(f"w{i}", "done")) > 0 for i in range(3)) == 3


def test_calls_of_several_workers_keep_a_rate(many: Workers):
    up(many, 3)
    run = many.detach("crew.py:sending")
    many.until(lambda: completed(many, run))
    begun = sorted(float(at) for word, _, at in many.log() if word == "send")
    assert len(begun) == 6
    assert begun[-1] - begun[0] > 1.8  # 2 in each second; what was counted first may be begun a little later


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_the_place_of_a_dead_or_stopped_worker_is_free(many: Workers, how: signal.Signals):
    up(many, 2, "--concurrency", "2")
    runs = [many.detach("crew.py:holding"), many.detach("crew.py:holding")]
    many.until(lambda: many.log() and sum(len(many.said(f"w{i}", "taken")) for i in (0, 1)) >= 4)
    ((_, pid, _),) = many.log()
    victim = next(worker for worker in many.started if worker.pid == int(pid))
    victim.send_signal(how)
    many.until(lambda: len(many.log()) >= 2)
    assert {pid for _, pid, _ in many.log()[1:]} == {str(w.pid) for w in many.started if w is not victim}
    (many.folder / "go").touch()
    many.until(lambda: completed(many, *runs))
