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


# Edits


@pytest.fixture
def asked(write_run):
    """A paused run that asks about a call, with all that whoever decides is told."""
    asked = {
        "id": "a-33cc",
        "kind": "tool",
        "question": "May 'pay' (financial) be called?",
        "tool": "pay",
        "arguments": {"to": "eve", "amount": 90},
        "parameters": {
            "type": "object",
            "properties": {"to": {"type": "string"}, "amount": {"type": "number"}},
            "required": ["to", "amount"],
            "additionalProperties": False,
        },
        "origins": {
            "to": {"from": "tool fetch", "trusted": False},
            "amount": {"from": "user", "trusted": True},
        },
        "preview": "10 euro are left after it.",
        "reason": "The page says so.",
        "expires": "2999-01-01T00:00:00.000000Z",
    }
    write_run(
        "r-asked",
        [
            Draft("run.started", data={"crew": "x", "tasks": [{"name": "b"}]}),
            Draft("approval.requested", "b/1/tool:0/ask", asked, "b", "Clerk"),
            Draft("run.paused", data={"reason": "approval", "approvals": ["a-33cc"]}),
        ],
    )
    return "r-asked"


def arguments(invoke, run: str) -> object:
    (line,) = invoke("show", run, "--type", "approval.decided", "--json").output.splitlines()
    return json.loads(line)["data"].get("arguments")


def test_whoever_decides_sees_where_the_arguments_are_from_and_what_would_happen(asked, invoke):
    shown = invoke("approvals").output
    assert "to is from tool fetch (not trusted)" in shown
    assert "amount is from user\n" in shown
    assert "10 euro are left after it." in shown
    assert "The page says so." in shown
    assert "until 2999-01-01T00:00Z" in shown


def test_a_call_is_approved_with_some_arguments_changed(asked, invoke):
    assert invoke("approve", "a-33cc", "--edit", "amount=5", "--edit", "to=5").exit_code == 0
    assert arguments(invoke, asked) == {"to": "5", "amount": 5}


@pytest.mark.parametrize("source", ["text", "file", "stdin"])
def test_a_call_is_approved_with_all_arguments_anew(asked, invoke, folder, source):
    text = '{"to": "ann", "amount": 1}'
    (folder / "call.json").write_text(text)
    given = {"text": text, "file": "@call.json", "stdin": "-"}[source]
    assert invoke("approve", "a-33cc", "--arguments", given, input=text).exit_code == 0
    assert arguments(invoke, asked) == {"to": "ann", "amount": 1}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--edit", "amount"], "is no change"),
        (["--edit", "amuont=1"], "Did you mean 'amount'"),
        (["--edit", "amount=much"], "does not take these arguments: amount"),
        (["--arguments", "{"], "is not JSON"),
        (["--arguments", "[]"], "is not a JSON object"),
        (["--arguments", "@nothing.json"], "cannot be read"),
        (["--arguments", '{"to": "ann"}'], "'amount' is a required property"),
    ],
)
def test_a_bad_edit_decides_nothing(asked, invoke, given, said):
    refused = invoke("approve", "a-33cc", *given)
    assert isinstance(refused.exception, InputError)
    assert said in str(refused.exception)
    assert "a-33cc" in invoke("approvals").output


def test_a_question_about_a_result_has_nothing_to_edit(paused, invoke):
    assert "no arguments to edit" in str(invoke("approve", "a-22bb", "--arguments", "{}").exception)
