"""The thread that writes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence

import pytest

from crewkit.core.events import Draft, Event
from crewkit.errors import JournalError
from crewkit.journal.base import Write
from crewkit.journal.sqlite import SqliteJournal
from crewkit.journal.writer import Writer


class Notebook:
    """A journal that keeps every group it is given, and waits or fails as told."""

    def __init__(self) -> None:
        self.groups: list[list[Write]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.failing: dict[str, Exception] = {}

    def append(self, writes: Sequence[Write]) -> list[list[Event]]:
        self.gate.wait(10)
        for write in writes:
            if write.run in self.failing:
                raise self.failing[write.run]
        self.groups.append(list(writes))
        return [[Event(w.run, 1, d.type, "", 0.0, "") for d in w.drafts] for w in writes]


class Answers:
    """Collects what `done` was called with."""

    def __init__(self) -> None:
        self.got: list[tuple[object, list[Event] | JournalError]] = []

    def of(self, name: object):
        return lambda outcome: self.got.append((name, outcome))


def write(name: object, run: str = "r-1") -> Write:
    return Write(run, [Draft(str(name))], 1)


@pytest.fixture
def notebook():
    return Notebook()


@pytest.fixture
def writer(notebook):
    writer = Writer(notebook)
    yield writer
    notebook.gate.set()
    writer.close()


def test_what_waits_is_appended_as_one_transaction_in_order(notebook, writer):
    answers = Answers()
    notebook.gate.clear()
    for n in range(100):
        writer.put(write(n), answers.of(n))
    time.sleep(0.05)
    assert answers.got == []
    notebook.gate.set()
    writer.close()
    assert [draft.type for group in notebook.groups for w in group for draft in w.drafts] == [
        str(n) for n in range(100)
    ]
    assert len(notebook.groups) <= 2
    assert [name for name, _ in answers.got] == list(range(100))
    assert [outcome[0].type for _, outcome in answers.got] == [str(n) for n in range(100)]


def test_a_group_has_a_largest_size(notebook, writer):
    notebook.gate.clear()
    for n in range(2000):
        writer.put(write(n))
    notebook.gate.set()
    writer.close()
    assert sum(map(len, notebook.groups)) == 2000
    assert max(map(len, notebook.groups)) <= 512


def test_a_put_never_waits_for_the_disk(notebook, writer):
    notebook.gate.clear()
    for n in range(1000):
        writer.put(write(n))  # would never come back if it waited
    assert notebook.groups == []


def test_a_call_comes_after_the_puts_before_it_and_before_those_after_it(notebook, writer):
    notebook.gate.clear()
    writer.put(write("a"))
    time.sleep(0.02)
    writer.put(write("b"))
    seen = writer.call(lambda: [d.type for g in notebook.groups for w in g for d in w.drafts])
    writer.put(write("c"))
    notebook.gate.set()
    assert seen.result(5) == ["a", "b"]
    writer.close()
    assert [w.drafts[0].type for w in notebook.groups[-1]] == ["c"]


def test_a_call_that_raises_gives_its_error_to_the_caller(writer):
    with pytest.raises(ZeroDivisionError):
        writer.call(lambda: 1 / 0).result(5)
    assert writer.call(len, "abc").result(5) == 3


@pytest.mark.parametrize("error", [JournalError("the disk is full"), TypeError("a bug of a journal")])
def test_after_a_failure_every_later_write_of_the_run_fails_alike(notebook, writer, error):
    answers = Answers()
    notebook.gate.clear()
    writer.put(write("before"), answers.of("before"))
    while writer._queue.qsize():
        time.sleep(0.001)
    notebook.failing["r-1"] = error
    writer.put(write("with"), answers.of("with"))
    notebook.gate.set()
    writer.call(len, "").result(5)
    notebook.failing.clear()
    writer.put(write("after"), answers.of("after"))
    writer.put(write("unheard"))
    writer.close()
    outcomes = {name: outcome for name, outcome in answers.got}
    assert set(outcomes) == {"before", "with", "after"}
    assert isinstance(outcomes["with"], JournalError)
    assert outcomes["after"] is outcomes["with"]
    assert "after" not in [d.type for g in notebook.groups for w in g for d in w.drafts]


def test_one_runs_failure_is_not_anothers(notebook, writer):
    answers = Answers()
    notebook.failing["r-bad"] = JournalError("taken over")
    notebook.gate.clear()
    for n in range(3):
        writer.put(write(n, "r-bad"), answers.of("bad"))
        writer.put(write(n, "r-good"), answers.of("good"))
    notebook.gate.set()
    writer.put(write(3, "r-good"), answers.of("good"))
    writer.close()
    assert [d.type for g in notebook.groups for w in g for d in w.drafts] == ["0", "1", "2", "3"]
    assert all(isinstance(outcome, JournalError) == (name == "bad") for name, outcome in answers.got)
    assert len(answers.got) == 7


def test_a_callback_that_fails_does_not_stop_the_others(writer, caplog):
    answers = Answers()
    writer.put(write(1), lambda _: 1 / 0)
    loop = asyncio.new_event_loop()
    loop.close()
    writer.put(write(2), lambda outcome: loop.call_soon_threadsafe(print, outcome))
    writer.put(write(3), answers.of(3))
    writer.close()
    assert [name for name, _ in answers.got] == [3]
    assert "ZeroDivisionError" in caplog.text
    assert "RuntimeError" not in caplog.text


def test_closing_writes_what_waits_and_refuses_what_comes_after(notebook, writer):
    notebook.gate.clear()
    for n in range(10):
        writer.put(write(n))
    threading.Timer(0.05, notebook.gate.set).start()
    writer.close()
    writer.close()
    assert sum(map(len, notebook.groups)) == 10
    with pytest.raises(JournalError, match="closed"):
        writer.put(write("late"))
    with pytest.raises(JournalError, match="closed"):
        writer.call(len, "")


def test_a_callback_may_close_the_writer(notebook):
    writer = Writer(notebook)
    closed = threading.Event()
    writer.put(write(1), lambda _: (writer.close(), closed.set()))
    assert closed.wait(5)
    writer.close()


async def test_an_event_loop_hears_of_its_writes(tmp_path):
    with SqliteJournal(tmp_path / "journal.db") as journal:
        writer = Writer(journal)
        loop = asyncio.get_running_loop()
        lease = await asyncio.wrap_future(writer.call(journal.begin, "r-1", "crew", "s1"))

        async def put(n: int) -> int:
            heard: asyncio.Future[list[Event]] = loop.create_future()
            done = lambda outcome: loop.call_soon_threadsafe(heard.set_result, outcome)  # noqa: E731
            writer.put(Write("r-1", [Draft("note", data={"n": n})], lease.epoch, durable=n % 3 == 0), done)
            return (await heard)[0].seq

        assert await asyncio.gather(*map(put, range(50))) == list(range(1, 51))
        writer.close()
        assert [event.data["n"] for event in journal.events("r-1")] == list(range(50))
