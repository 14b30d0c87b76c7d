"""The crews that talk and that wait, killed for real and resumed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from crewkit.core.events import Event
from crewkit.journal.sqlite import SqliteJournal

CREWS = Path(__file__).parents[2] / "crews"


def command(home: Path, *arguments: str) -> subprocess.Popen[bytes]:
    environ = {**os.environ, "CREWKIT_HOME": str(home), "CREWKIT_EMBEDDER": "none", "NO_COLOR": "1"}
    program = str(Path(sys.executable).parent / "crewkit")
    quiet = subprocess.DEVNULL
    return subprocess.Popen([program, *arguments], env=environ, stdout=quiet, stderr=quiet)


def killed_at(home: Path, crew: str, after: int) -> str:
    """Begin a run, kill it when its journal holds so many events, and return its id."""
    process = command(home, "run", str(CREWS / f"{crew}.py"))
    run = ""
    while process.poll() is None:
        if (home / "journal.db").exists():
            with SqliteJournal(home / "journal.db") as journal:
                for info in journal.runs():
                    run = info.run
                    if journal.last(run) >= after:
                        process.send_signal(signal.SIGKILL)
        time.sleep(0.001)
    process.wait(60)
    if not run:
        with SqliteJournal(home / "journal.db") as journal:
            [info] = journal.runs()
            run = info.run
    return run


def events_of(home: Path, run: str) -> list[Event]:
    with SqliteJournal(home / "journal.db", create=False) as journal:
        return list(journal.events(run))


def gist(events: list[Event]) -> dict[str, object]:
    return {e.path: e.data.get("output") for e in events if e.type == "task.finished"}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("crew", "ends"), [("code_review", "run.finished"), ("email", "run.paused")])
def test_killed_in_the_middle_it_comes_to_the_same_and_repeats_nothing(tmp_path: Path, crew: str, ends: str):
    whole = tmp_path / "whole"
    expected = events_of(whole, killed_at(whole, crew, 10**9))
    assert expected[-1].type == ends
    for part in (0.35, 0.75):
        home = tmp_path / f"killed-{part}"
        run = killed_at(home, crew, round(len(expected) * part))
        before = events_of(home, run)
        if before[-1].type != ends:
            command(home, "resume", run).wait(120)
        events = events_of(home, run)
        assert gist(events) == gist(expected)
        finished = Counter(
            e.path for e in events if e.type in ("model.finished", "tool.finished") and "failed" not in e.data
        )
        assert max(finished.values()) == 1
