"""`crewkit worker` on one machine: whole runs, with the journal alone."""

from __future__ import annotations

import json
import signal
import textwrap

import pytest

from tests.engine.conftest import Workers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

CREW = """
    import os, time
    from crewkit import Crew, Input, Task

    def write(word):
        with open("log", "a") as log:
            log.write(f"{word} {os.getpid()}\\n")

    def first(topic: str) -> str:
        write("first")
        return topic

    def second(first: str, seconds: float) -> str:
        write("second")
        end = time.monotonic() + seconds
        while time.monotonic() < end and not os.path.exists("go"):
            time.sleep(0.05)
        return first + "!"

    inputs = {"topic": Input(default="tides"), "seconds": Input(type=float, default=0.0)}
    one = Task("first", do=first)
    crew = Crew([one, Task("second", do=second, needs=[one])], inputs=inputs, name="two")
    asking = Crew([Task("first", do=first, human_input="Good?")], inputs=inputs, name="asking")
"""


@pytest.fixture(autouse=True)
def crew(here: Workers) -> None:
    (here.folder / "crew.py").write_text(textwrap.dedent(CREW))


def completed(here: Workers, *runs: str) -> bool:
    known = here.runs()
    return all(known[run]["status"] == "completed" for run in runs)


def test_a_run_that_was_handed_over_waits_for_a_worker_and_is_carried_on_by_it(here: Workers):
    run = here.detach("crew.py", "-i", "topic=moons")
    assert here.runs()[run]["status"] == "queued"
    assert here.log() == []
    here.start()
    here.until(lambda: completed(here, run))
    finished = here.events(run)[-1]
    assert (finished["type"], finished["data"]["output"]) == ("run.finished", "moons!")
    assert [said["run"] for said in here.said("w0", "done")] == [run]


def test_a_worker_goes_on_with_a_paused_run_when_a_person_has_decided(here: Workers):
    here.crewkit("run", "crew.py:asking", "--no-input", code=3)
    here.start()
    here.until(lambda: here.said("w0", "working"))
    (asked,) = [json.loads(line) for line in here.crewkit("approvals", "--json").splitlines()]
    here.crewkit("approve", asked["id"])
    here.until(lambda: here.said("w0", "done"))
    assert completed(here, asked["run"])
    assert len(here.log()) == 1


def test_a_run_whose_worker_is_killed_is_taken_by_another(here: Workers):
    run = here.detach("crew.py", "-i", "seconds:=600")
    worker = here.start()
    here.until(lambda: here.log()[1:])
    other = here.start()
    here.until(lambda: here.said("w1", "working"))
    assert not here.said("w1", "taken")
    worker.kill()
    here.until(lambda: here.said("w1", "done"))
    # It was begun and nobody knows whether it happened: a person is asked, and nothing is done twice.
    assert here.runs()[run]["status"] == "paused"
    assert [word for word, _ in here.log()] == ["first", "second"]
    other.send_signal(signal.SIGTERM)
    assert other.wait(60) == 0
    assert here.said("w1", "stopped")


def test_a_worker_that_is_told_to_stop_finishes_what_it_has_and_takes_no_more(here: Workers):
    run = here.detach("crew.py", "-i", "seconds:=600")
    worker = here.start("--concurrency", "1", "--grace", "120")
    here.until(lambda: here.log()[1:])
    waiting = here.detach("crew.py")
    worker.send_signal(signal.SIGTERM)
    here.until(lambda: here.said("w0", "stopping"))
    (here.folder / "go").touch()
    assert worker.wait(60) == 0
    states = {name: info["status"] for name, info in here.runs().items()}
    assert states == {run: "completed", waiting: "queued"}


def test_a_run_that_is_handed_back_goes_on_with_another_worker(here: Workers):
    run = here.detach("crew.py", "-i", "seconds:=3")
    worker = here.start("--grace", "0")
    here.until(here.log)
    worker.send_signal(signal.SIGINT)
    assert worker.wait(60) == 130
    assert here.runs()[run]["status"] in ("queued", "completed")
    here.start()
    here.until(lambda: here.runs()[run]["status"] in ("completed", "paused"))
    assert [word for word, _ in here.log()].count("first") == 1


def test_several_workers_share_what_there_is(here: Workers):
    runs = [here.detach("crew.py", "-i", "seconds:=1") for _ in range(4)]
    for _ in range(2):
        here.start("--concurrency", "2")
    here.until(lambda: completed(here, *runs))
    assert len(here.log()) == 8
    assert len({pid for _, pid in here.log()}) == 2


def test_a_crew_that_is_not_what_the_run_was_begun_with_is_left_to_others(here: Workers):
    run = here.detach("crew.py")
    text = (here.folder / "crew.py").read_text()
    (here.folder / "crew.py").write_text(text.replace('+ "!"', '+ "?"'))
    here.start()
    (said,) = here.until(lambda: here.said("w0", "put off"))
    assert run in said["why"]
    assert "second" in said["why"]
    (here.folder / "crew.py").write_text(text)
    here.start()
    here.until(lambda: completed(here, run))
    assert here.said("w1", "done")
