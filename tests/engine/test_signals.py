"""What people and events do to a run whose tasks other workers have: messages, pauses, events, times, decisions."""

from __future__ import annotations

import json
import textwrap
import time
from collections.abc import Iterator

import pytest

from crewkit.testing.postgres import PostgresServer
from crewkit.testing.server import server_process
from tests.engine.conftest import Workers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

CREW = """
    import os, time
    from datetime import timedelta
    from crewkit import Agent, Crew, Task, tool

    def write(word):
        with open("log", "a") as log:
            log.write(f"{word} {os.getpid()}\\n")

    @tool(effects="read", timeout=600)
    def hold() -> str:
        "Wait until told to go on."
        write("held")
        while not os.path.exists("go"):
            time.sleep(0.05)
        return "gone on"

    clerk = Agent("Clerk", "Hold on.", tools=[hold], model="openai/any")
    crew = Crew([Task("holding", "Hold on, then say so.", agent=clerk)], name="holding")

    def sign(signed: str, later: str) -> str:
        write("signing")
        return signed

    signed = Task("signed", wait_for="contract_signed", output_type=str)
    later = Task("later", wait_for=timedelta(seconds=1))
    waiting = Crew([signed, later, Task("filed", do=sign, needs=[signed, later], human_input="Good?")], name="waiting")
"""


@pytest.fixture
def workers(many: Workers) -> Iterator[Workers]:
    """Two workers, and a model that calls the tool once."""
    (many.folder / "crew.py").write_text(textwrap.dedent(CREW))
    with server_process("--calls", "1", "--tool", "hold") as url:
        many.environ["OPENAI_BASE_URL"] = url
        for _ in range(2):
            many.start()
        many.until(lambda: all(many.said(f"w{i}", "working") for i in range(2)))
        yield many


def until_status(workers: Workers, run: str, status: str) -> None:
    workers.until(lambda: workers.runs()[run]["status"] == status)


def noticed() -> None:
    """Give the worker that has the task the time to look, which it does twice a second."""
    time.sleep(4)


def test_a_message_is_read_by_the_agent_on_whichever_worker_it_is(workers: Workers):
    run = workers.detach("crew.py")
    workers.until(workers.log)
    workers.crewkit("tell", run, "Leave out May.")
    noticed()
    (workers.folder / "go").touch()
    until_status(workers, run, "completed")
    (read,) = [event for event in workers.events(run) if event["type"] == "inbox.read"]
    assert [message["text"] for message in read["data"]["messages"]] == ["Leave out May."]
    assert read["path"] == "holding/2/inbox"


def test_a_run_is_paused_wherever_its_tasks_are_and_resumed(workers: Workers):
    run = workers.detach("crew.py")
    workers.until(workers.log)
    workers.crewkit("pause", run)
    workers.until(lambda: any(event["type"] == "run.signal" for event in workers.events(run)))
    noticed()
    (workers.folder / "go").touch()
    until_status(workers, run, "paused")
    workers.crewkit("resume", run)
    until_status(workers, run, "completed")
    assert [word for word, _ in workers.log()] == ["held"]


def test_a_worker_goes_on_after_an_event_a_time_and_a_decision(workers: Workers):
    run = workers.detach("crew.py:waiting")
    until_status(workers, run, "paused")
    workers.crewkit("tell", run, "--event", "contract_signed", "--data", '"by Ann"')

    def asked() -> list[str]:
        lines = workers.crewkit("approvals", "--json").splitlines()
        return [json.loads(line)["id"] for line in lines]

    (question,) = workers.until(asked)
    workers.crewkit("approve", question)
    until_status(workers, run, "completed")
    events = workers.events(run)
    assert events[-1]["data"]["output"] == "by Ann"
    assert [word for word, _ in workers.log()] == ["signing"]
    waits = {e["path"]: e["data"]["outcome"] for e in events if e["type"] == "wait.finished"}
    assert sorted(waits.values()) == ["arrived", "due"]


def test_workers_are_listed_with_what_they_do(workers: Workers):
    run = workers.detach("crew.py")
    workers.until(workers.log)

    def listed() -> dict[str, dict]:
        return {
            w["name"]: w for w in map(json.loads, workers.crewkit("worker", "--list", "--json").splitlines())
        }

    workers.until(lambda: sum(worker["in_hand"] for worker in listed().values()) == 2)
    found = listed()
    assert {name: worker["pid"] for name, worker in found.items()} == {
        f"w{i}": worker.pid for i, worker in enumerate(workers.started)
    }
    assert all(worker["alive"] and worker["queue"] == str(workers.folder) for worker in found.values())
    assert "of 4 in hand" in workers.crewkit("worker", "--list")
    (workers.folder / "go").touch()
    until_status(workers, run, "completed")
    workers.started[0].kill()
    workers.started[1].terminate()
    workers.until(lambda: workers.started[1].poll() is not None)
    # Who stopped is gone, and who died is silent.
    workers.until(lambda: [worker["alive"] for worker in listed().values()] == [False])
    assert "silent for" in workers.crewkit("worker", "--list")


def test_an_outage_of_the_database_is_waited_for(workers: Workers, postgres: PostgresServer):
    run = workers.detach("crew.py")
    workers.until(workers.log)
    postgres.stop()
    (workers.folder / "go").touch()
    time.sleep(6)
    postgres.start()
    until_status(workers, run, "completed")
    assert [word for word, _ in workers.log()] == ["held"]
    assert all(worker.poll() is None for worker in workers.started)
