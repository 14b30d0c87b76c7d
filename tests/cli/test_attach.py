"""`crewkit resume` of a run that another process carries on."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from crewkit.errors import InputError
from crewkit.journal.sqlite import SqliteJournal

pytestmark = pytest.mark.slow

CREW = '''
import time
from pathlib import Path
from crewkit import Crew, Task, tool

@tool(effects="read")
def wait() -> str:
    """Wait until it is told to go on."""
    deadline = time.monotonic() + 60
    while not Path("go").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return "high water"

@tool(effects="read")
def last(wait: str) -> str:
    """End."""
    if Path("fail").exists():
        raise RuntimeError("nothing works")
    return f"{wait} at noon"

waits = Task("wait", do=wait)
crew = Crew([waits, Task("last", do=last, needs=[waits])])
asking = Crew([waits, Task("last", do=last, needs=[waits], human_input="Is it good?")])
'''


@pytest.fixture
def begun(folder: Path, start) -> Callable[[str], tuple]:
    """A run that goes on in a process, and one that resumes it and follows."""

    def begin(name: str):
        (folder / "waiting.py").write_text(CREW)
        owner = start("run", f"waiting.py:{name}")
        until(lambda: (folder / ".crewkit" / "journal.db").exists() and is_waiting(folder))
        follower = start("resume", "@last")
        assert "is in the hands of pid" in follower.stderr.readline()
        return owner, follower

    return begin


def is_waiting(folder: Path) -> bool:
    with SqliteJournal(folder / ".crewkit" / "journal.db") as journal:
        try:
            run = journal.find("@last")
        except InputError:
            return False
        return any(event.type == "tool.started" for event in journal.events(run))


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def catches(process: int, number: int) -> bool:
    status = Path(f"/proc/{process}/status").read_text()
    (mask,) = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")]
    return bool(int(mask, 16) >> (number - 1) & 1)


def test_it_is_followed_to_its_end_and_ends_as_it_does(folder, begun):
    owner, follower = begun("crew")
    (folder / "go").touch()
    out, err = follower.communicate(timeout=60)
    assert (out, follower.returncode) == ("high water at noon\n", 0)
    assert "completed: 2 of 2 tasks" in err
    assert owner.communicate(timeout=60)[0] == out
    with SqliteJournal(folder / ".crewkit" / "journal.db") as journal:
        types = [event.type for event in journal.events(journal.find("@last"))]
    assert "run.resumed" not in types


def test_a_failure_of_the_one_is_a_failure_of_the_other(folder, begun):
    owner, follower = begun("crew")
    (folder / "fail").touch()
    (folder / "go").touch()
    out, err = follower.communicate(timeout=60)
    assert (out, follower.returncode) == ("", 1)
    assert "nothing works" in err
    owner.communicate(timeout=60)
    assert owner.returncode == 1


def test_a_pause_of_the_one_is_a_pause_of_the_other(folder, begun):
    owner, follower = begun("asking")
    (folder / "go").touch()
    out, err = follower.communicate(timeout=60)
    assert (out, follower.returncode) == ("", 3)
    assert "Is it good?" in err
    owner.communicate(timeout=60)
    assert owner.returncode == 3


def test_whose_process_dies_meanwhile_is_carried_on(folder, begun):
    owner, follower = begun("crew")
    owner.kill()
    owner.communicate()
    (folder / "go").touch()
    out, _ = follower.communicate(timeout=60)
    assert (out, follower.returncode) == ("high water at noon\n", 0)


def test_who_stops_following_stops_nothing(folder, begun):
    owner, follower = begun("crew")
    until(lambda: catches(follower.pid, signal.SIGTERM))
    follower.send_signal(signal.SIGTERM)
    err = follower.communicate(timeout=60)[1]
    assert follower.returncode == 130
    assert "the run goes on: crewkit show r-" in err
    (folder / "go").touch()
    assert owner.communicate(timeout=60)[0] == "high water at noon\n"
    assert owner.returncode == 0


def test_its_limits_are_those_of_the_process_that_has_it(folder, begun, start):
    owner, follower = begun("crew")
    other = start("resume", "@last", "--usd", "1")
    err = other.communicate(timeout=60)[1]
    assert other.returncode == 1
    assert "keeps the crew, limits and models that it has" in err
    (folder / "go").touch()
    assert follower.communicate(timeout=60)[0] == owner.communicate(timeout=60)[0]


def test_it_is_told_as_json_too(folder, begun, start):
    owner, follower = begun("crew")
    other = start("resume", "@last", "--json", "--quiet")
    until(lambda: is_waiting(folder))
    (folder / "go").touch()
    (run,) = [json.loads(line) for line in other.communicate(timeout=60)[0].splitlines()]
    assert (run["status"], run["output"]) == ("completed", "high water at noon")
    assert run["report"]["completed"] == ["wait", "last"]
    follower.communicate(timeout=60)
    owner.communicate(timeout=60)
