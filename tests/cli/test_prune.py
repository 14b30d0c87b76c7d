"""`crewkit runs prune`: old runs removed, or only what was said in them."""

import json

import pytest

from crewkit.core.events import Draft
from crewkit.journal.base import Write
from crewkit.journal.sqlite import SqliteJournal

OLD, NEW = "2020-01-01T00:00:00.000000Z", "2999-01-01T00:00:00.000000Z"


@pytest.fixture
def prune(invoke, folder):
    """Five old runs, one for each way to end and one that waits, and a new one."""
    with SqliteJournal(folder / ".crewkit" / "journal.db") as journal:
        for run, status, ts in (
            ("r-done", "completed", OLD),
            ("r-failed", "failed", OLD),
            ("r-limit", "limit", OLD),
            ("r-over", "cancelled", OLD),
            ("r-waits", "", OLD),
            ("r-new", "completed", NEW),
        ):
            lease = journal.begin(run, "c", "s")
            end = (
                Draft("run.finished", data={"status": status}, ts=ts)
                if status
                else Draft("run.paused", ts=ts)
            )
            long = Draft("note", data={"text": "x" * 100_000}, ts=ts)
            journal.append([Write(run, [Draft("run.started", ts=ts), long, end], lease.epoch)])
            journal.release(lease)
    return lambda *arguments, **more: invoke("runs", "prune", *arguments, **more)


def left(folder) -> set[str]:
    with SqliteJournal(folder / ".crewkit" / "journal.db") as journal:
        return {info.run for info in journal.runs()}


def test_ended_runs_of_an_age_go_and_their_space_with_them(prune, folder):
    before = (folder / ".crewkit" / "journal.db").stat().st_size
    said = prune("--older-than", "30d", "--yes")
    assert (said.exit_code, left(folder)) == (0, {"r-waits", "r-new"})
    assert "4 runs removed and its space given back" in said.stderr
    assert (folder / ".crewkit" / "journal.db").stat().st_size < before - 350_000


def test_failures_can_be_kept_and_states_be_named(prune, folder):
    prune("--older-than", "30d", "--keep-failed", "--yes")
    assert left(folder) == {"r-failed", "r-limit", "r-waits", "r-new"}
    prune("--status", "paused", "--status", "limit", "--yes")
    assert left(folder) == {"r-failed", "r-new"}
    prune("r-new", "--yes")
    assert left(folder) == {"r-failed"}


def test_nothing_goes_unasked(prune, folder):
    said = prune("--older-than", "30d", "--dry-run", "--json")
    assert {json.loads(line)["run"] for line in said.stdout.splitlines()} == {
        "r-done",
        "r-failed",
        "r-limit",
        "r-over",
    }
    refused = prune("--older-than", "30d", standalone_mode=False)
    assert "say --yes" in str(refused.exception)
    nothing = prune("--yes", standalone_mode=False)
    assert "--older-than AGE" in str(nothing.exception)
    odd = prune("--older-than", "soon", standalone_mode=False)
    assert "for example 30d" in str(odd.exception)
    assert len(left(folder)) == 6


def test_what_goes_is_exported_first(prune, invoke, folder):
    shown = invoke("show", "r-done", "--json").stdout
    prune("r-done", "--export", "archive", "--yes")
    assert (folder / "archive" / "r-done.jsonl").read_text() == shown
    (folder / "file").write_text("")
    refused = prune("r-over", "--export", "file", "--yes", standalone_mode=False)
    assert "r-over stays" in refused.stderr
    assert "r-over" in left(folder)


def test_what_others_were_forked_from_stays_as_long_as_they_do(prune, folder):
    with SqliteJournal(folder / ".crewkit" / "journal.db") as journal:
        lease = journal.fork("r-done", 2, "r-fork", "c", "s")
        journal.append(
            [Write("r-fork", [Draft("run.finished", data={"status": "completed"}, ts=NEW)], lease.epoch)]
        )
    said = prune("--older-than", "30d", "--yes")
    assert "r-done stays" in said.stderr
    assert left(folder) == {"r-done", "r-fork", "r-waits", "r-new"}
    prune("r-done", "r-fork", "--yes")
    assert left(folder) == {"r-waits", "r-new"}


def test_without_content_figures_and_decisions_are_left_and_no_word_of_what_was_said(invoke, folder):
    assert invoke("run", "finding.py", "-i", "topic=SECRETTOPIC").exit_code == 0
    before = json.loads(invoke("runs", "--json").stdout)
    stats = invoke("stats").stdout
    assert invoke("runs", "prune", "@last", "--content", "none", "--yes").exit_code == 0
    after = json.loads(invoke("runs", "--json").stdout)
    assert (after["events"], after["status"]) == (before["events"], "completed")
    assert after["bytes"] < before["bytes"]
    assert invoke("stats").stdout == stats
    shown = invoke("show", "@last")
    assert shown.exit_code == 0
    assert "look_up" in shown.stdout
    events = invoke("show", "@last", "--json").stdout
    assert "SECRETTOPIC" not in events + shown.stdout
    for file in (folder / ".crewkit").glob("journal.db*"):
        assert b"SECRETTOPIC" not in file.read_bytes()
    resumed = invoke("resume", "@last", standalone_mode=False)
    assert "content of run" in str(resumed.exception)
