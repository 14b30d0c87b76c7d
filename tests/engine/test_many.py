"""One run on several workers: tasks delivered, workers killed and stopped, the coordinator's own among them."""

from __future__ import annotations

import json
import signal
import subprocess
import textwrap
import time

import pytest

from tests.engine.conftest import Workers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

CREW = """
    import os, time
    from crewkit import Crew, Input, Task, tool

    def write(word):
        with open("log", "a") as log:
            log.write(f"{word} {os.getpid()}\\n")

    def work(name, seconds):
        write(f"begin:{name}")
        if seconds:
            time.sleep(seconds)
        write(f"end:{name}")
        return name

    def reading(name):
        @tool(name=name, effects="read", timeout=600)
        def read(seconds: float) -> str:
            "Read."
            return work(name, seconds)
        return Task(name, do=read)

    def joined(a: str, b: str, c: str) -> str:
        return work("joined", 0) and a + b + c

    def inside(joined: str) -> str:
        return work("inside", 0) and joined + "!"

    def lasting(seconds: float) -> str:
        return work("lasting", seconds)

    wide = [reading(name) for name in "abc"]
    join = Task("joined", do=joined, needs=wide)
    sub = Crew([Task("inside", do=inside)], inputs=["joined"], name="sub")
    inputs = {"seconds": Input(type=float, default=0.0)}
    crew = Crew([*wide, join, Task("sub", do=sub, needs=[join])], inputs=inputs, name="wide")
    effect = Crew([Task("lasting", do=lasting)], inputs=inputs, name="effect")
    def twice(item: int) -> int:
        return work(f"twice{item}", 0) and 2 * item

    once = Crew([Task("twice", do=twice)], inputs={"item": Input(type=int)}, name="once")
    rows = {"rows": Input(type=list[int], default=[1, 2, 3])}
    mapped = Crew(
        [Task("plain", do=twice, for_each="rows"), Task("crews", do=once, for_each="rows", concurrency=2)],
        inputs=rows, name="mapped",
    )
    asking = Crew([Task("lasting", do=lasting, human_input="Good?")], inputs=inputs, name="asking")
"""


@pytest.fixture(autouse=True)
def crew(many: Workers) -> None:
    (many.folder / "crew.py").write_text(textwrap.dedent(CREW))


def up(many: Workers, count: int, *arguments: str) -> list[subprocess.Popen[bytes]]:
    first = len(many.started)
    workers = [many.start(*arguments) for _ in range(count)]
    many.until(lambda: all(many.said(f"w{first + i}", "working") for i in range(count)))
    return workers


def holder(many: Workers, run: str, task: str = "") -> int:
    """Return the number of the worker that has a task now."""

    def found() -> list[int]:
        def last(i: int) -> str:
            mine = [s for s in many.said(f"w{i}") if s.get("run") == run and s.get("task", "") == task]
            return mine[-1]["what"] if mine else ""

        return [i for i, worker in enumerate(many.started) if worker.poll() is None and last(i) == "taken"]

    return many.until(found)[0]


def status(many: Workers, run: str) -> str:
    return many.runs()[run]["status"]


def words(many: Workers) -> list[str]:
    return [word for word, _ in many.log()]


def test_tasks_of_one_run_are_done_by_several_workers(many: Workers):
    up(many, 2, "--concurrency", "2")
    run = many.detach("crew.py", "-i", "seconds:=2")
    many.until(lambda: status(many, run) == "completed")
    finished = many.events(run)[-1]["data"]
    assert finished["output"] == "abc!"
    assert sorted(words(many)) == sorted(
        f"{when}:{name}" for when in ("begin", "end") for name in ("a", "b", "c", "joined", "inside")
    )
    assert len({pid for word, pid in many.log() if word in ("begin:a", "begin:b", "begin:c")}) == 2


def test_a_map_is_done_by_workers_each_item_once_and_in_its_order(many: Workers):
    up(many, 2, "--concurrency", "2")
    run = many.detach("crew.py:mapped")
    many.until(lambda: status(many, run) == "completed")
    assert many.events(run)[-1]["data"]["output"] == {"plain": [2, 4, 6], "crews": [2, 4, 6]}
    assert sorted(word for word in words(many) if word.startswith("end:")) == sorted(
        2 * [f"end:twice{i}" for i in (1, 2, 3)]
    )
    # A map of functions is one job, a crew in a map is walked and its tasks are jobs of their own.
    taken = [s.get("task") for i in range(2) for s in many.said(f"w{i}", "taken")]
    assert {"plain", "crews[0]/twice", "crews[1]/twice", "crews[2]/twice"} <= set(taken)


def test_a_killed_worker_loses_no_run_and_doubles_no_effect(many: Workers):
    up(many, 3)
    run, effect = (
        many.detach("crew.py", "-i", "seconds:=4"),
        many.detach("crew.py:effect", "-i", "seconds:=600"),
    )
    many.until(lambda: "begin:lasting" in words(many))
    victim = holder(many, effect, "lasting")
    many.started[victim].kill()
    many.until(lambda: status(many, effect) == "paused")
    # The effect was begun and nobody knows whether it happened: a person is asked, and it is not done again.
    assert words(many).count("begin:lasting") == 1
    many.until(lambda: status(many, run) == "completed")
    outcomes = [e["path"] for e in many.events(run) if e["type"] == "task.finished"]
    assert sorted(outcomes) == ["a", "b", "c", "joined", "sub", "sub/inside"]


def test_the_worker_that_walks_a_run_is_killed(many: Workers):
    up(many, 3)
    run = many.detach("crew.py", "-i", "seconds:=5")
    many.until(lambda: words(many))
    many.started[holder(many, run)].kill()
    many.until(lambda: status(many, run) == "completed")
    outcomes = [e["path"] for e in many.events(run) if e["type"] == "task.finished"]
    assert sorted(outcomes) == ["a", "b", "c", "joined", "sub", "sub/inside"]


def test_a_stopped_worker_is_given_up_and_what_it_knows_is_heard_when_it_wakes(many: Workers):
    up(many, 2)
    run = many.detach("crew.py:effect", "-i", "seconds:=2")
    many.until(lambda: "begin:lasting" in words(many))
    zombie = many.started[holder(many, run, "lasting")]
    zombie.send_signal(signal.SIGSTOP)
    many.until(lambda: status(many, run) == "paused")
    assert words(many) == ["begin:lasting"]
    zombie.send_signal(signal.SIGCONT)
    # It ends its call and is refused, but how the call ended settles what nobody has decided.
    many.until(lambda: status(many, run) == "completed")
    assert words(many) == ["begin:lasting", "end:lasting"]
    events = many.events(run)
    assert [e["data"].get("late") for e in events if e["type"] == "tool.finished"] == [True]
    assert [e["data"]["output"] for e in events if e["type"] == "task.finished"] == ["lasting"]
    assert zombie.poll() is None


def test_takeover_is_fast_enough(many: Workers):
    """Under 5 seconds on an idle machine, as the docs say; the bound here is generous."""
    up(many, 2)
    run = many.detach("crew.py:effect", "-i", "seconds:=600")
    many.until(lambda: "begin:lasting" in words(many))
    many.started[holder(many, run, "lasting")].kill()
    began = time.monotonic()
    many.until(lambda: status(many, run) == "paused", seconds=60)
    assert time.monotonic() - began < 30


def test_a_decision_is_noticed_by_workers(many: Workers):
    up(many, 2)
    run = many.detach("crew.py:asking")
    many.until(lambda: status(many, run) == "paused")
    (asked,) = [json.loads(line) for line in many.crewkit("approvals", "--json").splitlines()]
    many.crewkit("approve", asked["id"])
    many.until(lambda: status(many, run) == "completed")
    assert words(many) == ["begin:lasting", "end:lasting"]


def test_a_run_is_cancelled_wherever_its_tasks_are(many: Workers):
    up(many, 2, "--concurrency", "2")
    run = many.detach("crew.py", "-i", "seconds:=20")
    many.until(lambda: len([w for w in words(many) if w.startswith("begin")]) == 3)
    many.crewkit("cancel", run)
    many.until(lambda: status(many, run) == "cancelled")
    last = many.events(run)[-1]
    assert (last["type"], last["data"]["status"]) == ("run.finished", "cancelled")
    after = many.detach("crew.py")
    many.until(lambda: status(many, after) == "completed")


def test_a_worker_that_stops_leaves_its_walks_to_others(many: Workers):
    up(many, 2)
    run = many.detach("crew.py", "-i", "seconds:=3")
    many.until(lambda: words(many))
    leaving = many.started[holder(many, run)]
    leaving.send_signal(signal.SIGTERM)
    assert leaving.wait(60) == 0
    many.until(lambda: status(many, run) == "completed")
    assert sorted(set(words(many))) == sorted(words(many))


def test_a_restart_of_the_database_is_outlived(many: Workers, postgres):
    up(many, 2)
    runs = [many.detach("crew.py", "-i", "seconds:=3") for _ in range(2)]
    many.until(lambda: len(words(many)) >= 4)
    postgres.crash()
    many.until(lambda: all(status(many, run) == "completed" for run in runs), seconds=120)
    assert all(worker.poll() is None for worker in many.started)
