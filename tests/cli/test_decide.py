import json

import pytest

from crewkit.core.events import Draft
from crewkit.errors import InputError
from crewkit.journal.sqlite import SqliteJournal


@pytest.fixture
def paused(write_run):
    """A paused run with two open questions."""
    write_run(
        "r-paused",
        [
            Draft("run.started", data={"crew": "x", "tasks": [{"name": "a"}, {"name": "b"}]}),
            Draft("task.finished", "a", {"status": "completed"}, "a"),
            Draft(
                "approval.requested",
                "b/1/tool:0/ask",
                {
                    "id": "a-11aa",
                    "kind": "tool",
                    "question": "May it?",
                    "tool": "send",
                    "arguments": {"to": "all"},
                },
                "b",
                "Sender",
            ),
            Draft(
                "approval.requested", "b/2/ask", {"id": "a-22bb", "kind": "output", "question": "Good?"}, "b"
            ),
            Draft("run.paused", data={"reason": "approval", "approvals": ["a-11aa", "a-22bb"]}),
        ],
    )
    return "r-paused"


def test_open_questions_are_listed_with_what_is_needed_to_decide(paused, invoke):
    shown = invoke("approvals").output
    assert 'send(to="all")' in shown
    assert "crewkit approve a-11aa" in shown
    ids = [json.loads(line)["id"] for line in invoke("approvals", paused, "--json").output.splitlines()]
    assert ids == ["a-11aa", "a-22bb"]


def test_nothing_open_is_no_error_even_before_the_first_run(invoke):
    assert invoke("approvals").exit_code == 0
    assert invoke("runs").exit_code == 0


def test_the_first_answer_counts_and_the_second_is_told_of_it(paused, invoke):
    assert "1 question of this run still open" in invoke("approve", "a-11", "--note", "go").output
    assert "crewkit resume r-paused" in invoke("deny", "a-22bb", "--note", "no").output
    second = invoke("deny", "a-11aa", "--note", "stop")
    assert isinstance(second.exception, InputError)
    assert "a-11aa was approved by" in str(second.exception)
    decided = [
        json.loads(line)
        for line in invoke("show", paused, "--type", "approval.decided", "--json").output.splitlines()
    ]
    assert [event["data"]["decision"] for event in decided] == ["approve", "deny"]
    assert [event["path"] for event in decided] == ["b/1/tool:0/ask", "b/2/ask"]


def test_an_ambiguous_or_unknown_id_is_refused(paused, invoke):
    assert "may mean a-11aa, a-22bb" in str(invoke("approve", "a-").exception)
    assert "Did you mean 'a-11aa'?" in str(invoke("approve", "a-11ab").exception)


def test_denying_wants_a_reason(paused, invoke):
    assert invoke("deny", "a-11aa").exit_code == 2


def test_a_paused_run_is_cancelled_at_once_and_keeps_its_work(paused, invoke):
    assert "is cancelled" in invoke("cancel", paused).output
    (ended,) = invoke("show", paused, "--type", "run.finished", "--json").output.splitlines()
    data = json.loads(ended)["data"]
    assert (data["status"], data["report"]["completed"]) == ("cancelled", ["a"])
    assert [each["task"] for each in data["report"]["skipped"]] == ["b"]
    assert invoke("approvals").output == "Nothing waits for a person.\n"
    assert "is over" in str(invoke("cancel", paused).exception)


def test_a_running_run_is_told_to_stop(folder, invoke):
    with SqliteJournal(folder / ".crewkit" / "journal.db") as journal:
        lease = journal.begin("r-busy", "x", "s-1")
        from crewkit.journal.base import Write

        journal.append([Write("r-busy", [Draft("run.started")], lease.epoch)])
        assert "is told to stop" in invoke("cancel", "r-busy").output
        (signal,) = journal.events("r-busy", types=("run.signal",))
        assert signal.data["signal"] == "cancel"


def test_runs_are_listed_with_their_state(paused, kept, write_run, invoke):
    write_run("r-dead", [Draft("run.started")])
    states = {
        json.loads(line)["run"]: json.loads(line)["status"]
        for line in invoke("runs", "--json").output.splitlines()
    }
    assert states == {"r-paused": "paused", "r-kept": "failed", "r-dead": "interrupted"}
    assert "r-dead" not in invoke("runs", "--status", "paused").output
    assert len(invoke("runs", "--limit", "1", "--json").output.splitlines()) == 1
