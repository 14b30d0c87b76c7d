"""A crash at every write of a crew that waits for a time, for events in a loop, and for a person: nothing is lost,
no event is taken twice, no deadline moves."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from crewkit import Crew, Options, Task, any_of, tool
from crewkit.core.clock import SystemClock
from crewkit.crew.result import Result
from crewkit.errors import JournalError
from crewkit.journal.base import Journal
from crewkit.journal.sqlite import SqliteJournal
from crewkit.journal.tell import tell_event
from tests.crew.dying import Dying, answer, open_questions

RUN = "r-waits"


class Calendar(SystemClock):
    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self.ahead


@tool(effects="read")
def told(reading: int, cooled: str) -> str:
    """Say what came."""
    return f"{reading}, {bool(cooled)}"


def crew() -> Crew:
    reading = Task(
        "reading", wait_for="reading", output_type=int, until=lambda value: None if value > 1 else "too low"
    )
    cooled = Task("cooled", wait_for=timedelta(days=2))
    late = Task("late", wait_for="never", deadline=timedelta(days=1), on_failure="skip")
    said = Task("said", do=told, needs=[reading, cooled], human_input="Good?", deadline=timedelta(days=9))
    return Crew([reading, cooled, late, said, Task("end", do=finish, needs=[any_of(late, said)])])


@tool(effects="read")
def finish(late: str | None, said: str | None) -> str:
    """Finish."""
    return f"{late} / {said}"


def outside(journal: Journal) -> None:
    """Say from outside what is not said yet: two readings, each once, and yes."""
    for value in (1, 2):
        tell_event(journal, RUN, "reading", value, "a test", id=f"reading-{value}")
    for question in open_questions(journal, RUN):
        answer(journal, question, "approve")


async def to_the_end(journal: Journal, clock: Calendar) -> Result:
    options = Options(journal=journal, environ={}, run_id=RUN, clock=clock)
    result = await (crew().resume(RUN, options) if journal.last(RUN) else crew().run({}, options))
    for _ in range(8):
        if result.status != "paused":
            return result
        outside(journal)
        if clock.ahead < timedelta(days=3):
            clock.ahead += timedelta(days=1, hours=1)
        result = await crew().resume(RUN, options)
    raise AssertionError("the run never ends")


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_crash_at_any_write_of_a_wait_loses_nothing_and_moves_no_deadline(tmp_path: Path):
    with SqliteJournal(tmp_path / "whole.db") as journal:
        expected = await to_the_end(journal, Calendar())
        assert expected.ok, expected.why
        assert expected.output == "None / 2, True"
        assert "did not come by" in expected.report.failed["late"]
        total = journal.last(RUN)
    tried: set[int] = set()
    for after in range(1, total):
        path, clock = tmp_path / f"{after}.db", Calendar()
        with Dying(path, after) as dying:
            try:
                await to_the_end(dying, clock)
                break
            except JournalError:
                pass
        with SqliteJournal(path) as journal:
            held = list(journal.events(RUN))
            if len(held) in tried:
                continue
            tried.add(len(held))
            result = await to_the_end(journal, clock)
            assert (result.status, result.output) == ("completed", expected.output), (after, result)
            events = list(journal.events(RUN))
            started = [e for e in events if e.type == "wait.started"]
            assert len({e.path for e in started}) == len(started), "a wait begins once: its deadline stays"
            arrived = [e for e in events if e.type == "wait.finished" and e.data["outcome"] == "arrived"]
            taken = {e.path: e.data["signal"] for e in arrived}
            assert taken == {"reading/wait": "reading-1", "reading#2/wait": "reading-2"}, after
            assert len(arrived) == len(taken), after
    assert len(tried) > 4, "how many events go into one write, and so how many states there are, is chance"
