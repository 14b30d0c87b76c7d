"""Places that all processes on one PostgreSQL share: what is held, what becomes free, and how often calls begin."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from crewkit.journal.places import SETTLING
from crewkit.journal.postgres import PostgresJournal
from crewkit.testing.postgres import PostgresServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

Open = Callable[[], PostgresJournal]


@pytest.fixture
def opened(postgres: PostgresServer, postgres_url: str) -> Iterator[Open]:
    while not postgres.execute(f"SELECT pg_postmaster_start_time() < now() - interval '{SETTLING} s'")[0][0]:
        time.sleep(0.1)
    journals: list[PostgresJournal] = []

    def open_one() -> PostgresJournal:
        journals.append(PostgresJournal(postgres_url, worker=True))
        return journals[-1]

    yield open_one
    for journal in journals:
        journal.close()


def test_no_more_places_are_taken_than_there_are_whoever_takes_them(opened: Open):
    one, other = opened(), opened()
    assert {one.take_place("tool a", 3), other.take_place("tool a", 3), one.take_place("tool a", 3)} == {
        1,
        2,
        3,
    }
    assert [one.take_place("tool a", 3), other.take_place("tool a", 3)] == [0, 0]
    assert other.take_place("tool b", 3) == 1
    one.leave_place("tool a", 1)
    one.leave_place("tool a", 3)
    assert sorted([other.take_place("tool a", 3), other.take_place("tool a", 3)]) == [1, 3]
    # Whoever asks names the cap that counts for it.
    assert other.take_place("tool a", 4) == 4


def test_a_place_that_is_left_or_whose_holder_is_gone_is_free(opened: Open):
    one, other = opened(), opened()
    place = one.take_place("tool a", 1)
    other.leave_place("tool a", place)  # not its own
    assert other.take_place("tool a", 1) == 0
    one.leave_place("tool a", place)
    assert other.take_place("tool a", 1) == 1
    other.close()
    assert one.take_place("tool a", 1) == 1


def test_whoever_had_a_place_before_an_outage_has_it_after(opened: Open, postgres: PostgresServer):
    one, other = opened(), opened()
    assert one.take_place("tool a", 1) == 1
    postgres.crash()
    assert other.take_place("tool a", 1) == 0  # for a while nobody takes any
    one.keep_places()
    deadline = time.monotonic() + SETTLING + 0.2
    while time.monotonic() < deadline:
        assert other.take_place("tool a", 1) == 0
        time.sleep(0.1)
    one.leave_place("tool a", 1)
    assert other.take_place("tool a", 1) == 1


def test_calls_begin_no_more_often_than_a_rate_allows_whoever_begins_them(opened: Open):
    one, other = opened(), opened()
    assert [one.begin_call("tool a", 2, 60), other.begin_call("tool a", 2, 60)] == [0, 0]
    assert 0 < one.begin_call("tool a", 2, 60) <= 60
    assert other.begin_call("tool b", 2, 60) == 0
    # A wider cap sees what was begun under the narrower one.
    assert one.begin_call("tool a", 3, 60) == 0
    assert other.begin_call("tool a", 3, 60) > 0
    assert other.begin_call("tool a", 3, 0.001) == 0
