"""The promise: killed at any moment and resumed, a run comes to what it would have come to, and pays nothing twice."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from crewkit.core.events import Event
from crewkit.journal.sqlite import SqliteJournal

ROOT = Path(__file__).parents[2]
KILLS = 12


def crewkit(*command: str) -> list[str]:
    return [str(Path(sys.executable).parent / "crewkit"), *command]


def environment(home: Path) -> dict[str, str]:
    return {**os.environ, "CREWKIT_HOME": str(home), "CREWKIT_EMBEDDER": "none", "NO_COLOR": "1"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    notes = tmp_path / "notes"
    notes.mkdir()
    for i in range(8):
        body = "\n\n".join(
            f"Room {i}{j} holds {j + 2} pumps, and the key is with person {i}." for j in range(4)
        )
        (notes / f"room_{i}.md").write_text(f"# Floor {i}\n\n{body}\n", encoding="utf-8")
    return notes


def events_of(home: Path, run: str) -> list[Event]:
    with SqliteJournal(home / "journal.db", create=False) as journal:
        return list(journal.events(run))


def run_killed_at(home: Path, folder: Path, run: str | None, after: int) -> str:
    """Start or resume the digest and kill it when its journal holds `after` events. Return the run's id."""
    target = (
        ["run", str(ROOT / "crews" / "digest.py"), "-i", f"folder={folder}"]
        if run is None
        else ["resume", run]
    )
    process = subprocess.Popen(
        crewkit(*target), env=environment(home), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for name, seq in watch(home, process):
            run = run or name
            if seq >= after:
                process.send_signal(signal.SIGKILL)
                break
    finally:
        process.wait(30)
    assert run is not None
    return run


def watch(home: Path, process: subprocess.Popen[bytes]) -> Iterator[tuple[str, int]]:
    while process.poll() is None and not (home / "journal.db").exists():
        time.sleep(0.002)
    with SqliteJournal(home / "journal.db") as journal:
        while process.poll() is None:
            for info in journal.runs():
                yield info.run, journal.last(info.run)
            time.sleep(0.0005)


def finished_steps(events: list[Event]) -> Counter[tuple[str, str]]:
    ends = ("model.finished", "tool.finished")
    return Counter((e.type, e.path) for e in events if e.type in ends and "failed" not in e.data)


def gist(events: list[Event]) -> dict[str, object]:
    """What a run came to: the outputs of its tasks, by path."""
    return {e.path: e.data.get("output") for e in events if e.type == "task.finished"}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_digest_killed_anywhere_comes_to_the_same_and_repeats_no_finished_step(
    tmp_path: Path, folder: Path
):
    home = tmp_path / "whole"
    whole = run_killed_at(home, folder, None, 10**9)
    expected = events_of(home, whole)
    assert expected[-1].type == "run.finished"
    assert expected[-1].data["status"] == "completed"

    points = [round(len(expected) * (i + 0.5) / KILLS) for i in range(KILLS)]
    killed = 0
    for i, after in enumerate(points):
        home = tmp_path / f"killed-{i}"
        run = run_killed_at(home, folder, None, after)
        before = events_of(home, run)
        killed += before[-1].type != "run.finished"

        resumed = subprocess.run(
            crewkit("resume", run),
            env=environment(home),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

        assert resumed.returncode == 0, resumed.stderr
        events = events_of(home, run)
        assert gist(events) == gist(expected), f"killed after {after} events"
        assert max(finished_steps(events).values()) == 1, f"killed after {after} events"
        assert [e.seq for e in events] == list(range(1, len(events) + 1))
        for event in before:
            if event.type == "model.finished":
                again = [e for e in events if e.type == "model.started" and e.path == event.path]
                assert len(again) == 1, f"{event.path} was asked again though it was answered"
    assert killed >= KILLS // 2, f"only {killed} of {KILLS} kills hit a living run"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_digest_killed_again_and_again_on_the_same_run_still_ends(tmp_path: Path, folder: Path):
    home = tmp_path / "home"
    run = run_killed_at(home, folder, None, 12)
    for after in range(24, 120, 12):
        run_killed_at(home, folder, run, after)
    done = subprocess.run(
        crewkit("resume", run), env=environment(home), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"`room_\d.md:\d+-\d+`", done.stdout)
    assert max(finished_steps(events_of(home, run)).values()) == 1
