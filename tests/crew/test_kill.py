"""A run whose process is killed with SIGKILL, wherever, comes to what it would have come to."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

from crewkit.core.events import Event
from crewkit.journal.base import Journal
from crewkit.journal.forget import standing
from crewkit.journal.postgres import PostgresJournal
from crewkit.journal.sqlite import SqliteJournal

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

KILLING = Path(__file__).parent / "killing"
KILLED = -signal.SIGKILL
EVERY = bool(os.environ.get("EVERY_CALL"))
"""Kill at every point, not at every so many."""

Job = dict[str, Any]


class Workers:
    """Processes that have everything imported, and fork a child for every job; see `killing/work.py`."""

    def __init__(self, count: int, environ: Mapping[str, str]) -> None:
        command = [sys.executable, str(KILLING / "work.py")]
        self._all = [
            subprocess.Popen(
                command,
                env={**os.environ, **environ},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(count)
        ]
        self._free: queue.SimpleQueue[subprocess.Popen[str]] = queue.SimpleQueue()
        for worker in self._all:
            self._free.put(worker)

    def do(self, *jobs: Job) -> list[int]:
        """Do jobs at the same time; return the exit codes of their processes."""
        worker = self._free.get()
        try:
            worker.stdin.write(json.dumps(jobs) + "\n")
            worker.stdin.flush()
            return json.loads(worker.stdout.readline())
        finally:
            self._free.put(worker)

    def each(self, points: Sequence[Any], kill: Callable[[Any], bool]) -> list[bool]:
        """Do this with every point, several at a time; a failure names the point."""

        def named(point: Any) -> bool:
            try:
                return kill(point)
            except BaseException as error:
                error.add_note(f"killed at {point}")
                raise

        with ThreadPoolExecutor(len(self._all)) as pool:
            try:
                return list(pool.map(named, points))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def close(self) -> None:
        for worker in self._all:
            worker.communicate()


@pytest.fixture(scope="session")
def workers() -> Iterator[Workers]:
    workers = Workers(2, {})
    yield workers
    workers.close()


@dataclass
class Case:
    """One run that is killed, somewhere."""

    workers: Workers
    folder: Path
    run: str = "r-killed"
    url: str = ""
    """Of the PostgreSQL that it is kept in; empty: an SQLite file."""
    pace: float = 0
    """Seconds that models and tools take: a part of what they are, so the same in every process of the run."""

    origin: str = ""
    """The run that it is forked from, at `at`."""
    at: str = ""

    def __post_init__(self) -> None:
        self.home = self.folder / "home"
        self.home.mkdir(parents=True)

    def go(self, **job: Any) -> int:
        """Begin the run or go on with it in a process of its own; return its exit code."""
        (code,) = self.workers.do(self.job(**job))
        return code

    def job(self, name: str = "answer", **job: Any) -> Job:
        common = {"home": str(self.home), "run": self.run, "url": self.url, "shadow": "", "pace": self.pace}
        common |= {"origin": self.origin, "at": self.at}
        return {**common, "answer": str(self.folder / name), **job}

    def finish(self) -> dict[str, Any]:
        """Go on with the run to its end; return what it came to."""
        code = self.go()
        answer = self.answer()
        assert code == 0, answer
        return answer

    def answer(self, name: str = "answer") -> dict[str, Any]:
        return json.loads((self.folder / name).read_text(encoding="utf-8"))

    def log(self) -> list[tuple[str, str]]:
        """What models and tools themselves say was done, in order."""
        file = self.home / "log"
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        whole = [line.removesuffix(";").partition(" ") for line in lines if line.endswith(";")]
        return [(what, where) for what, _, where in whole]

    def events(self) -> list[Event]:
        with self.journal() as journal:
            events = list(journal.events(self.run))
        assert [event.seq for event in events] == list(range(1, len(events) + 1)), "the journal has a gap"
        return events

    def journal(self) -> Journal:
        return PostgresJournal(self.url) if self.url else SqliteJournal(self.home / "journal.db")

    def clear(self) -> None:
        shutil.rmtree(self.folder)


def finished(events: Sequence[Event], kind: str) -> list[Event]:
    return [e for e in standing(events).events if e.type == f"{kind}.finished" and "failed" not in e.data]


def in_flight(events: Sequence[Event]) -> set[str]:
    """Where an effect was begun that must not be repeated, and nobody knows how it ended."""
    begun = {e.path: e for e in standing(events).events if e.type == "tool.started"}
    for event in finished(events, "tool"):
        begun.pop(event.path, None)
    return {path for path, e in begun.items() if "write" in e.data["effects"] and not e.data["idempotent"]}


def asked(events: Sequence[Event]) -> set[str]:
    """Effects that a person was asked about, whether they happened."""
    unknown = (e for e in events if e.type == "approval.requested" and e.data["kind"] == "unknown")
    return {event.path.removesuffix("/ask") for event in unknown}


def check_resumed(
    case: Case, expected: Mapping[str, Any], held: Sequence[Event], done: Sequence[tuple[str, str]]
) -> None:
    """Finish a run that was killed, and hold it against one that was not.

    Args:
        case: The run.
        expected: What the other came to.
        held: What the journal held after the kill.
        done: What models and tools said was done until then.
    """
    answer = case.finish()
    assert (answer["status"], answer["outputs"]) == (expected["status"], expected["outputs"])
    again = case.log()[len(done) :]
    answered = {event.data["fingerprint"] for event in finished(held, "model")}
    assert not answered & {where for what, where in again if what == "model"}, (
        "an answered model was asked again"
    )
    called = {event.path for event in finished(held, "tool")}
    assert not called & {where for what, where in again if what != "model"}, "a finished call was made again"
    check_whole(case, expected)
    assert asked(case.events()) - asked(held) == in_flight(held) - asked(held), (
        "asked about the wrong effects"
    )


def check_whole(case: Case, expected: Mapping[str, Any]) -> None:
    """Check what holds of every run that ended, however often it was killed."""
    effects = Counter(where for what, where in case.log() if what == "effect")
    assert effects == Counter(expected["effects"]), "an effect is missing or doubled"
    events = case.events()
    for kind in ("model", "tool"):
        assert max(Counter(e.path for e in finished(events, kind)).values()) == 1
    ends = Counter(
        e.path for e in standing(events).events if e.type == "task.finished" and e.data.get("final")
    )
    assert max(ends.values()) == 1
    taken = Counter((e.path, e.data["signal"]) for e in events if e.type == "wait.finished")
    assert taken == {("signed/wait", "signed-1"): 1, ("signed#2/wait", "signed-2"): 1}
    with case.journal() as journal:
        (info,) = [info for info in journal.runs() if info.run == case.run]
        assert (info.status, info.events, info.alive) == ("completed", len(events), False)
    if not case.url:
        db = sqlite3.connect(case.home / "journal.db")
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        db.close()


@pytest.fixture(scope="session")
def expected(workers: Workers, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the run comes to where nobody kills it."""
    case = Case(workers, tmp_path_factory.mktemp("whole"))
    answer = case.finish()
    assert answer["status"] == "completed"
    log = case.log()
    answer["effects"] = [where for what, where in log if what == "effect"]
    assert len(answer["effects"]) == len(set(answer["effects"])) == 7
    models = [where for what, where in log if what == "model"]
    assert len(models) == len(set(models)), "two requests are alike: the log cannot tell them apart"
    return answer


def kill_at(case: Case, expected: dict[str, Any], **job: Any) -> bool:
    """Kill a run somewhere and resume it; say whether it was still there to be killed."""
    code = case.go(**job)
    if code == 0:
        return False
    assert code == KILLED, case.answer()
    held, done = case.events(), case.log()
    if held and held[-1].run != case.run:
        held = []  # a fork without an event of its own is made anew: what it shares says nothing of it
    check_resumed(case, expected, held, done)
    case.clear()
    return True


def test_killed_at_every_write_of_the_journal(workers, expected, tmp_path: Path):
    # Before each write or after it, in turns; before and after each: EVERY_CALL=1.
    writes = range(expected["writes"])
    points = range(2 * expected["writes"]) if EVERY else [2 * write + write % 2 for write in writes]
    killed = workers.each(
        points, lambda point: kill_at(Case(workers, tmp_path / str(point)), expected, point=point)
    )
    assert sum(killed) > expected["writes"] / 2, "how many events go into one write is chance"


def test_killed_at_writes_of_a_journal_on_postgresql(workers, expected, postgres_url, tmp_path: Path):
    def kill(point: int) -> bool:
        case = Case(workers, tmp_path / str(point), f"r-{point}", postgres_url)
        return kill_at(case, expected, point=point)

    assert sum(workers.each(range(1, 2 * expected["writes"], 1 if EVERY else 5), kill)) > 20


@pytest.mark.parametrize("kept", ["sqlite", "postgresql"])
def test_a_fork_that_is_killed_while_it_is_made_and_run(workers, tmp_path: Path, kept, request):
    url = request.getfixturevalue("postgres_url") if kept == "postgresql" else ""
    whole = Case(workers, tmp_path / "origin", url=url)
    whole.finish()
    before = whole.events()

    def fork(name: str) -> Case:
        case = Case(workers, tmp_path / name, f"r-{name}", url, origin=whole.run, at="letter")
        shutil.copytree(whole.home, case.home, dirs_exist_ok=True)
        (case.home / "log").unlink()
        return case

    uninterrupted = fork("whole")
    expected = uninterrupted.finish()
    assert expected["outputs"] == whole.answer()["outputs"]
    log = uninterrupted.log()
    expected["effects"] = [where for what, where in log if what == "effect"]
    assert len(expected["effects"]) == 2, "the letter is sent again, and nothing else"
    assert len(log) == 2 + 3, "the clerk and the editor are asked again, and nobody else"

    def kill(point: int) -> bool:
        return kill_at(fork(str(point)), expected, point=point)

    step = 1 if EVERY else 7 if url else 3
    points = range(0, 2 * expected["writes"], step)
    assert sum(workers.each(points, kill)) > len(points) - 3
    assert whole.events() == before, "the origin is as it was"


@pytest.mark.parametrize("kept", ["sqlite", "postgresql"])
def test_killed_again_while_it_is_resumed(workers, expected, tmp_path: Path, kept, request):
    url = request.getfixturevalue("postgres_url") if kept == "postgresql" else ""

    def kill(first: int) -> bool:
        case = Case(workers, tmp_path / str(first), f"r-{first}", url)
        if case.go(point=first) != KILLED:
            return False
        # The first writes of a resume, and some in its middle.
        again = [case.go(point=second) == KILLED for second in (first % 7, 5, 3 * first % 31)]
        held, done = case.events(), case.log()
        case.finish()
        check_whole(case, expected)
        called = {event.path for event in finished(held, "tool")}
        assert not called & {where for what, where in case.log()[len(done) :] if what != "model"}
        case.clear()
        return all(again)

    step = 1 if EVERY else 13 if url else 7
    points = range(2, 2 * expected["writes"], step)
    assert sum(workers.each(points, kill)) > len(points) // 2


@pytest.mark.parametrize("kept", ["sqlite", "postgresql"])
def test_killed_from_outside_at_moments_of_chance(workers, expected, tmp_path: Path, kept, request):
    url = request.getfixturevalue("postgres_url") if kept == "postgresql" else ""
    chance = Random(5)

    def kill(number: int, seconds: float) -> bool:
        case = Case(workers, tmp_path / str(number), f"r-{number}", url, 0.002)
        return kill_at(case, expected, seconds=seconds)

    moments = [(number, chance.uniform(0.005, 0.15)) for number in range(10 if url else 20)]
    workers.each(moments, lambda moment: kill(*moment))


@pytest.mark.parametrize("kept", ["sqlite", "postgresql"])
def test_of_two_who_resume_a_run_at_once_one_wins(workers, expected, tmp_path: Path, kept, request):
    url = request.getfixturevalue("postgres_url") if kept == "postgresql" else ""

    def race(point: int) -> bool:
        case = Case(workers, tmp_path / str(point), f"r-{point}", url, 0.002)
        assert case.go(point=point) == KILLED
        held, done = case.events(), case.log()
        jobs = [case.job(name) for name in ("a", "b", "c")]
        assert workers.do(*jobs) == [0, 0, 0], [case.answer(name) for name in ("a", "b", "c")]
        answers = [case.answer(name) for name in ("a", "b", "c")]
        busy = [answer["busy"] for answer in answers if "busy" in answer]
        assert len(busy) < 3
        assert all(f"Run {case.run} is in the hands of pid " in why and "--follow" in why for why in busy)
        assert all(answer["outputs"] == expected["outputs"] for answer in answers if "outputs" in answer)
        check_resumed(case, expected, held, done)
        return len(busy) == 2

    assert any(workers.each(range(20, 100, 20 if url else 10), race))


@pytest.mark.parametrize(
    "how", [signal.SIGINT, signal.SIGQUIT, signal.SIGKILL], ids=["fast", "immediate", "kill -9"]
)
def test_a_server_that_is_restarted_in_the_middle_loses_nothing(
    workers, expected, postgres, postgres_url, tmp_path: Path, how
):
    case = Case(workers, tmp_path / "case", url=postgres_url, pace=0.05)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(case.go)
        for calls in (3, 12, 20):
            wait_until(lambda calls=calls: len(case.log()) >= calls or running.done())
            assert not running.done(), case.answer()
            postgres.crash(how)
        assert running.result() == 0, case.answer()
    answer = case.answer()
    assert (answer["status"], answer["outputs"]) == (expected["status"], expected["outputs"])
    assert max(Counter(case.log()).values()) == 1, "something was done twice"
    assert asked(case.events()) == set()
    check_whole(case, expected)


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# At the level of the operating system


@pytest.fixture(scope="module")
def calling_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    """Workers whose processes can be ended at any system call that changes a file."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("There is no C compiler (gcc) here, or this is no Linux: system calls cannot be counted.")
    library = tmp_path_factory.mktemp("calls") / "calls.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(KILLING / "calls.c"), "-ldl"]
    subprocess.run(command, check=True, timeout=60)
    workers = Workers(2, {"LD_PRELOAD": str(library)})
    yield workers
    workers.close()


BEFORE, TORN = 0, 1


def all_calls(workers: Workers, folder: Path) -> int:
    case = Case(workers, folder)
    assert case.go(call=[10**9, BEFORE]) == 0
    return case.answer()["calls"]


@pytest.mark.parametrize("how", [BEFORE, TORN], ids=["before", "in the middle of"])
def test_killed_at_system_calls_that_change_files(calling_workers, expected, tmp_path: Path, how):
    def kill(call: int) -> bool:
        return kill_at(Case(calling_workers, tmp_path / str(call)), expected, call=[call, how])

    total = all_calls(calling_workers, tmp_path / "whole")
    # Primes, so that every kind of call is met.
    step = 1 if EVERY else (11, 17)[how]
    assert sum(calling_workers.each(range(how, total, step), kill)) > total // step // 2


def test_a_loss_of_power_takes_nothing_that_anybody_built_on(calling_workers, expected, tmp_path: Path):
    def cut(call: int) -> bool:
        case = Case(calling_workers, tmp_path / str(call))
        synced = case.folder / "synced"
        synced.mkdir()
        if case.go(call=[call, BEFORE], shadow=str(synced)) != KILLED:
            return False
        shutil.rmtree(case.home)
        synced.rename(case.home)  # what was written and not synced is lost
        held, done = case.events(), case.log()
        begun = {event.path for event in held if event.type == "tool.started"}
        assert {where for what, where in done if what == "effect"} <= begun, "an effect without its intent"
        check_resumed(case, expected, held, done)
        case.clear()
        return True

    total = all_calls(calling_workers, tmp_path / "whole")
    step = 1 if EVERY else 19
    assert sum(calling_workers.each(range(3, total, step), cut)) > total // step // 2
