"""The trip: booked within its budget or not at all, also when it is killed on the way."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from inline_snapshot import snapshot

from crewkit import JournalError, Options, Result
from crewkit.journal.sqlite import SqliteJournal
from crews.trip import crew
from tests.crew.dying import Dying
from tests.crews.shape import shape

RUN = "r-trip"


def booked(desk: Path) -> list[str]:
    with closing(sqlite3.connect(desk)) as db:
        found = db.execute("SELECT name FROM sqlite_master").fetchall()
        return sorted(what for (what,) in db.execute("SELECT what FROM bookings")) if found else []


async def go(journal: SqliteJournal, desk: Path, **inputs: Any) -> Result:
    options = Options(journal=journal, environ={}, run_id=RUN)
    if journal.last(RUN):
        return await crew.resume(RUN, options)
    return await crew.run({"desk": str(desk), **inputs}, options)


async def test_a_trip_is_booked_for_the_dates_of_the_cheapest_flight(tmp_path: Path):
    with SqliteJournal(tmp_path / "j.db") as journal:
        result = await go(journal, tmp_path / "desk.db")
        events = list(journal.events(RUN))
    assert result.ok, result.why
    trip = result.outputs["trip"]
    assert (str(trip.start), str(trip.end), trip.euro) == ("2026-12-14", "2026-12-16", 370.0)
    assert booked(tmp_path / "desk.db") == ["calendar", "flight CK348 to Lisbon", "hotel in Lisbon"]
    assert all(number in result.outputs["letter"] for number in trip.bookings[:2])
    fares = [line for line in shape(events, "tool.finished") if "fares[" in line]
    assert len(fares) == next(e.data["items"] for e in events if e.type == "map.started") == 8
    assert [
        line for line in shape(events, "task.finished", "tool.finished") if "fares[" not in line
    ] == snapshot(
        [
            "task.finished calendar",
            "task.finished chosen",
            "task.finished fares",
            "task.finished flight",
            "task.finished hotel",
            "task.finished letter",
            "task.finished trip",
            "task.finished windows",
            "tool.finished calendar/1/tool:0",
            "tool.finished chosen/1/tool:0",
            "tool.finished flight/1/tool:0",
            "tool.finished hotel/1/tool:0",
            "tool.finished trip/1/tool:0",
            "tool.finished windows/1/tool:0",
        ]
    )


@pytest.mark.parametrize(
    ("inputs", "undone", "why"),
    [
        (
            {"city": "Bergen"},
            ["calendar", "flight"],
            "No room is left in Bergen from 2026-12-14 to 2026-12-16.",
        ),
        ({"budget": 300.0}, ["hotel", "calendar", "flight"], "which is 70.00 over the budget."),
    ],
)
async def test_what_was_booked_is_taken_back_where_a_later_booking_fails(
    tmp_path: Path, inputs: dict[str, Any], undone: list[str], why: str
):
    with SqliteJournal(tmp_path / "j.db") as journal:
        result = await go(journal, tmp_path / "desk.db", **inputs)
        events = list(journal.events(RUN))
    assert (result.status, booked(tmp_path / "desk.db")) == ("failed", [])
    assert why in result.why
    assert sorted(result.report.undone) == sorted(f"{name}/1/tool:0" for name in undone)
    assert result.report.left == {}
    taken = [e.task for e in events if e.type == "undo.finished" and e.data.get("outcome") == "ok"]
    done = [e.task for e in events if e.type == "tool.finished" and e.task in undone]
    assert taken == done[::-1]  # the last first


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("city", ["Lisbon", "Bergen"])
async def test_a_trip_that_is_killed_and_resumed_is_booked_once_or_not_at_all(tmp_path: Path, city: str):
    with SqliteJournal(tmp_path / "whole.db") as journal:
        expected = await go(journal, tmp_path / "desk.db", city=city)
        total = journal.last(RUN)
    for after in range(4, total, 9):
        desk = tmp_path / f"desk-{after}.db"
        with Dying(tmp_path / f"{after}.db", after) as dying, suppress(JournalError):
            await go(dying, desk, city=city)
        with SqliteJournal(tmp_path / f"{after}.db") as journal:
            if list(journal.events(RUN))[-1].type == "run.finished":
                continue
            result = await go(journal, desk, city=city)
            ends = [e.path for e in journal.events(RUN, types=("tool.finished",)) if "failed" not in e.data]
        assert result.status == expected.status, (after, result.why)
        assert booked(desk) == booked(tmp_path / "desk.db"), after
        assert len(ends) == len(set(ends)), after
