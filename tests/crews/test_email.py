"""A mail answered in five steps, the last of them a person's."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

FILE = Path(__file__).parents[2] / "crews" / "email.py"


@pytest.fixture(scope="module")
def mails() -> Any:
    spec = importlib.util.spec_from_file_location("crew_email", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["crew_email"] = module
    spec.loader.exec_module(module)
    return module


def ended(runs: Any, run: str) -> dict[str, str]:
    return {e.path: e.data["status"] for e in runs.events(run, types=("task.finished",))}


async def test_a_mail_about_an_order_is_looked_up_drafted_and_approved(make_options, runs, decide, mails):
    paused = await mails.crew.run({}, make_options())
    assert (paused.status, len(paused.approvals)) == ("paused", 1)
    assert paused.outputs["urgency"].level == "high"
    decide(paused.run_id)
    result = await mails.crew.resume(paused.run_id, make_options())
    assert (result.output.to, result.output.subject) == ("ann@example.org", "Re: Order A-1042 is late")
    assert "it arrives on Thursday" in result.output.text
    assert list(ended(runs, result.run_id)) == ["extracted", "urgency", "looked_up", "draft", "approval"]
    models = [e.path for e in runs.events(result.run_id, types=("model.started",))]
    assert models == ["looked_up/1/model", "looked_up/2/model", "draft/1/model"]
    [call] = runs.events(result.run_id, types=("tool.checked",))
    assert (call.data["tool"], call.data["verdict"], call.path) == (
        "find_order",
        "allow",
        "looked_up/1/tool:0",
    )


async def test_a_mail_that_names_no_order_is_answered_without_a_tool(make_options, runs, mails):
    paused = await mails.crew.run({"mail": "Are you open on Sunday?"}, make_options())
    assert ended(runs, paused.run_id)["looked_up"] == "skipped"
    assert not list(runs.events(paused.run_id, types=("tool.checked",)))


async def test_what_a_person_refuses_is_no_answer(make_options, decide, mails):
    paused = await mails.crew.run({}, make_options())
    decide(paused.run_id, "deny", "Too cold.")
    result = await mails.crew.resume(paused.run_id, make_options())
    assert (result.status, "approval" in result.outputs) == ("denied", False)
    assert "Too cold." in result.why


@pytest.mark.parametrize(
    ("mail", "level", "lookup"),
    [
        ("From: a@b.example\nSubject: Urgent\n\nIt is broken.", "high", False),
        ("Subject: Our webinar\n\nUnsubscribe any time.", "low", False),
        ("Where is B-2000?", "normal", True),
    ],
)
def test_a_mail_is_rated_by_its_words(mails, mail, level, lookup):
    rated = mails.rate.function(mails.extract.function(mail))
    assert (rated.level, rated.lookup) == (level, lookup)


def test_a_mail_is_read_with_and_without_headers(mails):
    read = mails.extract.function(mails.SAMPLE)
    assert (read.sender, read.name, read.order) == ("ann@example.org", "Ann Miller", "A-1042")
    assert read.questions == ["Where is it?", "Can I still change the address?"]
    bare = mails.extract.function("Are you open?")
    assert (bare.sender, bare.subject, bare.body) == ("", "Are you open?", "Are you open?")
