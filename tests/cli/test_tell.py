"""`tell`, `pause`, `listen` and waiting, as a person sees them."""

from __future__ import annotations

import http.client
import json
import os
import signal as signals
import time
from pathlib import Path

import pytest

from crewkit.cli.group import serve
from crewkit.core.signing import signature
from crewkit.journal.sqlite import SqliteJournal

CONTRACT = '''
from datetime import timedelta
from pydantic import BaseModel
from crewkit import Agent, Crew, Task, tool

class Signed(BaseModel):
    by: str

@tool(effects="read")
def file(signed: Signed) -> str:
    """File it."""
    return f"signed by {signed.by}"

agent = Agent("Clerk", "Write.")
letter = Task("letter", "Write a letter.", agent=agent)
signed = Task("signed", wait_for="contract_signed", output_type=Signed, needs=[letter], deadline=timedelta(days=3))
crew = Crew([letter, signed, Task("filed", do=file, needs=[signed])], name="contract")
'''


@pytest.fixture
def waiting(folder: Path, invoke) -> str:
    """A paused run that waits for an event."""
    (folder / "contract.py").write_text(CONTRACT)
    done = invoke("run", "contract.py")
    assert "paused: 1 of 3 tasks" in done.output
    with SqliteJournal(folder / ".crewkit" / "journal.db") as journal:
        return journal.find("@last")


def error(done) -> str:
    return str(done.exception)


def test_a_waiting_run_says_for_what_and_until_when(waiting, invoke):
    done = invoke("resume", waiting)
    assert "? signed" in done.output
    assert "It waits for the event 'contract_signed', until 20" in done.output
    assert f"crewkit tell {waiting} --event contract_signed --data '…'" in done.output
    assert f"then: crewkit resume {waiting} [--wait], or by itself from 20" in done.output
    shown = invoke("show", waiting).output
    assert "waits for event contract_signed" in shown
    data = json.loads(invoke("run", "contract.py", "--json", "-q").stdout)
    assert (data["status"], len(data["waits"]), data["until"][:2]) == ("paused", 1, "20")


def test_an_event_is_told_with_its_data(waiting, invoke, folder: Path):
    assert "Did you mean 'contract_signed'" in error(invoke("tell", waiting, "--event", "contract_sined"))
    assert "--data is not JSON" in error(invoke("tell", waiting, "--event", "contract_signed", "--data", "{"))
    assert "--data @none" in error(invoke("tell", waiting, "--event", "contract_signed", "--data", "@none"))
    assert "Say one thing" in error(invoke("tell", waiting))
    (folder / "data.json").write_text('{"by": "Ann"}')
    told = ("tell", waiting, "--event", "contract_signed", "--data", "@data.json", "--id", "mail-1")
    assert "is told" in invoke(*told).output
    assert "was told that already" in invoke(*told).output
    assert "signed by Ann" in invoke("resume", waiting).output
    assert "told by" in invoke("show", waiting).output
    assert "is over: it is completed" in error(invoke("tell", waiting, "hello"))


def test_a_message_nobody_can_read_any_more_is_said_so(waiting, invoke):
    assert "has no agent 'Clark'. Did you mean 'Clerk'" in error(
        invoke("tell", waiting, "x", "--to", "Clark")
    )
    assert "the tasks of 'Clerk' are all done" in invoke("tell", waiting, "x", "--to", "Clerk").output
    assert "message to Clerk: x; told by" in invoke("show", waiting).output


def test_a_waiting_run_can_be_held_until_it_is_resumed(waiting, invoke, folder: Path):
    assert (
        f"Run {waiting} is paused. Go on with it: crewkit resume {waiting}" in invoke("pause", waiting).output
    )
    invoke("tell", waiting, "--event", "contract_signed", "--data", '{"by": "Ann"}')
    with SqliteJournal(folder / ".crewkit" / "journal.db") as journal:
        assert journal.due("9999") == []
    assert "signed by Ann" in invoke("resume", waiting).output


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_an_event_that_is_posted_lets_a_run_that_stays_go_on(folder: Path, start):
    (folder / "contract.py").write_text(CONTRACT)
    run = start("run", "contract.py", "--wait")
    while not (folder / ".crewkit" / "journal.db").exists():
        time.sleep(0.02)
    with SqliteJournal(folder / ".crewkit" / "journal.db") as journal:
        while not [info for info in journal.runs() if info.status == "paused"]:
            time.sleep(0.02)
        id = journal.find("@last")
    secret = "s" * 32
    os.environ["CREWKIT_WEBHOOK_SECRET"] = secret
    try:
        listening = start("listen", "--port", "0")
    finally:
        del os.environ["CREWKIT_WEBHOOK_SECRET"]
    assert listening.stdout is not None
    url = listening.stdout.readline()
    port = int(url.split(":")[2].split("/")[0])
    path, moment, body = f"/events/{id}/contract_signed", str(int(time.time())), b'{"by": "Ann"}'
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    headers = {"X-Crewkit-Timestamp": moment, "X-Crewkit-Signature": signature(secret, moment, path, body)}
    connection.request("POST", path, body, headers)
    assert connection.getresponse().status == 202
    connection.close()
    out, _ = run.communicate(timeout=30)
    assert (run.returncode, out.strip()) == (0, "signed by Ann")
    listening.send_signal(signals.SIGINT)
    _, said = listening.communicate(timeout=10)
    assert f"202  {path}  127.0.0.1" in said


def test_listening_without_a_secret_is_refused(waiting, invoke, monkeypatch):
    monkeypatch.delenv("CREWKIT_WEBHOOK_SECRET", raising=False)
    assert "CREWKIT_WEBHOOK_SECRET has to have 16 characters" in error(invoke("listen", "--port", "0"))


@pytest.mark.parametrize(
    ("environ", "how", "said"),
    [
        ({}, "http", "SLACK_SIGNING_SECRET is not set"),
        ({}, "socket", "Socket Mode needs SLACK_APP_TOKEN"),
        ({"CREWKIT_SLACK_APPROVERS": "ann"}, "http", "'ann' is no id of a Slack user"),
    ],
)
def test_what_slack_needs_is_said_before_anything_listens(invoke, capsys, monkeypatch, environ, how, said):
    assert invoke("run", "finding.py", "-i", "topic=tides").exit_code == 0
    for name in ("SLACK_SIGNING_SECRET", "SLACK_APP_TOKEN", "CREWKIT_SLACK_APPROVERS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert serve(["listen", "--slack", how, "--port", "0"]) == 2
    assert said in capsys.readouterr().err
