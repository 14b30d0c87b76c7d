"""Slack over real HTTP and a real websocket: told there, decided from there, and by nobody else."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from aiohttp import web
from slack_sdk.signature import SignatureVerifier

from crewkit import InputError
from crewkit.journal.redact import Redactor
from crewkit.journal.sqlite import SqliteJournal
from crewkit.notify.answers import Answers, read_form
from crewkit.notify.places import notifiers
from crewkit.notify.socket import Reply, connect
from crewkit.web.door import Server
from crewkit.web.slack import SlackDoor

from .conftest import SlackServer, paying

SIGNING = "the signing secret of the app"
TOKEN = "xoxb-the-bots-token"


def environ(slack: SlackServer, **more: str) -> dict[str, str]:
    return {"SLACK_BOT_TOKEN": TOKEN, "SLACK_API_URL": slack.url, "CREWKIT_NOTIFY": "slack:#ops", **more}


def pressed(
    posted: dict[str, Any], action: str, *, note: str | None = None, user: str = "U0ANN", **user_is: str
) -> dict[str, Any]:
    """The interaction that Slack sends when somebody presses a button of a message."""
    [actions] = [block for block in posted["blocks"] if block["type"] == "actions"]
    [button] = [each for each in actions["elements"] if each["action_id"] == f"crewkit_{action}"]
    return {
        "type": "block_actions",
        "user": {"id": user, "username": "ann", "name": "ann", "team_id": "T1", **user_is},
        "container": {"type": "message", "message_ts": "1.0", "channel_id": "C1"},
        "channel": {"id": "C1", "name": "ops"},
        "message": {"ts": "1.0", "blocks": posted["blocks"]},
        "state": {"values": {"crewkit_note": {"crewkit_note": {"type": "plain_text_input", "value": note}}}},
        "actions": [{"type": "button", "block_id": actions["block_id"], **button, "action_ts": "2.0"}],
    }


Post = Callable[..., int]


@pytest.fixture
def door(runs: SqliteJournal, slack: SlackServer) -> Iterator[Post]:
    answers = Answers(runs, Redactor(), frozenset({"U0ANN", "W0BOB"}))
    take = SlackDoor(answers, SIGNING, Reply(environ(slack)).show).take
    server = Server({"/slack": take}, "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()

    def post(
        payload: Any, *, secret: str = SIGNING, ago: float = 0, path: str = "/slack", **headers: str
    ) -> int:
        body = payload if isinstance(payload, bytes) else urlencode({"payload": json.dumps(payload)}).encode()
        moment = headers.get("moment", str(int(time.time() - ago)))
        signed = headers.get("signed") or SignatureVerifier(secret).generate_signature(
            timestamp=moment, body=body
        )
        connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=10)
        try:
            connection.request(
                "POST",
                path,
                body,
                {
                    "X-Slack-Request-Timestamp": moment.encode(),
                    "X-Slack-Signature": str(signed).encode(),
                    "Content-Type": "application/x-www-form-urlencoded",
                },
            )
            return connection.getresponse().status
        finally:
            connection.close()

    yield post
    server.shutdown()
    thread.join()
    server.server_close()


async def asked(crew: Any, make_options: Any, slack: SlackServer) -> tuple[str, list[dict[str, Any]]]:
    result = await crew.run({}, make_options(environ=environ(slack)))
    assert result.status == "paused"
    return result.run_id, slack.made("chat.postMessage")


def decisions(runs: SqliteJournal, run: str) -> list[dict[str, Any]]:
    return [event.data for event in runs.events(run, types=("approval.decided",))]


async def test_a_question_is_posted_by_the_bot_and_its_token_stays_out_of_the_journal(
    make_options, runs, slack
):
    run, [posted] = await asked(paying(), make_options, slack)
    assert posted["channel"] == "#ops"
    assert posted["blocks"][0]["text"]["text"] == "May this call be made?"
    assert slack.calls[0][2] == f"Bearer {TOKEN}"
    [told] = runs.events(run, types=("approval.told",))
    assert told.data | {"id": ""} == {"id": "", "by": "slack #ops", "outcome": "told", "attempts": 1}
    assert TOKEN not in "".join(event.to_json() for event in runs.events(run))


async def test_slack_is_asked_again_where_that_may_help(make_options, runs, slack):
    slack.failures = [web.Response(status=429, headers={"Retry-After": "1"}), web.Response(status=503)]
    run, posted = await asked(paying(), make_options, slack)
    [told] = runs.events(run, types=("approval.told",))
    assert (told.data["outcome"], told.data["attempts"], len(posted)) == ("told", 3, 3)
    slack.failures = [web.json_response({"ok": False, "error": "channel_not_found"})]
    run, _ = await asked(paying(), make_options, slack)
    [told] = runs.events(run, types=("approval.told",))
    assert (told.data["outcome"], told.data["attempts"]) == ("failed", 1)
    assert told.data["why"] == "Slack said channel_not_found"


async def test_a_press_approves_the_very_call_and_the_message_says_who(make_options, runs, slack, door):
    crew = paying()
    run, [posted] = await asked(crew, make_options, slack)
    assert door(pressed(posted, "approve", note="Go ahead.")) == 200
    [decided] = decisions(runs, run)
    assert (decided["decision"], decided["by"], decided["note"]) == (
        "approve",
        "ann (Slack U0ANN)",
        "Go ahead.",
    )
    slack.wait_for(lambda: slack.made("chat.update"))
    [update] = slack.made("chat.update")
    assert (update["channel"], str(update["ts"])) == ("C1", "1.0")
    assert [block["type"] for block in update["blocks"] if block["type"] in ("input", "actions")] == []
    assert update["blocks"][-1]["text"]["text"] == "Approved by ann (Slack U0ANN): Go ahead."
    assert (await crew.resume(run, make_options())).output == "Done."


async def test_a_denial_carries_its_note_to_the_agent(make_options, runs, slack, door):
    crew = paying()
    run, [posted] = await asked(crew, make_options, slack)
    assert door(pressed(posted, "deny", note="Not <b>today</b>.")) == 200
    await crew.resume(run, make_options())
    [said] = [e.data["content"] for e in runs.events(run) if e.data.get("role") == "tool"]
    assert said == "A person denied this call: Not <b>today</b>."


async def test_two_questions_are_decided_apart_and_the_first_decision_counts(make_options, runs, slack, door):
    crew = paying("a", "b")
    run, posted = await asked(crew, make_options, slack)
    one, two = sorted(posted, key=lambda each: 'text="b"' in json.dumps(each["blocks"]))
    assert door(pressed(two, "deny")) == 200
    assert door(pressed(one, "approve")) == 200
    assert door(pressed(one, "deny")) == 200  # told again, and too late
    assert [each["decision"] for each in decisions(runs, run)] == ["deny", "approve"]
    slack.wait_for(lambda: len(slack.made("chat.update")) == 3)
    assert any("the first answer counts" in json.dumps(each) for each in slack.made("chat.update"))
    assert (await crew.resume(run, make_options())).ok


async def test_who_may_not_decide_is_told_so_and_decides_nothing(make_options, runs, slack, door):
    run, [posted] = await asked(paying(), make_options, slack)
    for user in ("U0EVE", "", "<!channel>", "u0ann", "U0ANN U0EVE"):
        assert door(pressed(posted, "approve", user=user)) == 200
    assert not decisions(runs, run)
    slack.wait_for(lambda: slack.made("chat.postEphemeral"))
    assert not slack.made("chat.update")
    assert door(pressed(posted, "approve", user="W0BOB", username="<@U1> \x1b[31m")) == 200
    assert [each["by"] for each in decisions(runs, run)] == ["Slack W0BOB"]


async def test_a_press_for_another_call_another_run_or_nothing_decides_nothing(
    make_options, runs, slack, door
):
    run, [posted] = await asked(paying(), make_options, slack)
    other, [_, elsewhere] = await asked(paying("another letter"), make_options, slack)

    def changed(**value: Any) -> dict[str, Any]:
        payload = pressed(posted, "approve")
        held = json.loads(payload["actions"][0]["value"])
        payload["actions"][0]["value"] = json.dumps({**held, **value})
        return payload

    binding = json.loads(pressed(elsewhere, "approve")["actions"][0]["value"])["binding"]
    for payload in (
        changed(binding=binding),
        changed(binding=""),
        changed(binding=None),
        changed(run=other),
        changed(run="r-none"),
        changed(run="@last"),
        changed(id=""),
        changed(id="a-"),
        {**pressed(posted, "approve"), "type": "view_submission"},
        {**pressed(posted, "approve"), "actions": [{"action_id": "crewkit_approve", "value": "[" * 100_000}]},
        {**pressed(posted, "approve"), "actions": [{"action_id": "another_apps", "value": "{}"}]},
        {**pressed(posted, "approve"), "actions": None},
        {"type": "block_actions"},
        [],
        None,
    ):
        assert door(payload) == 200
    assert door(b"\xff", signed="v0=0") == 401
    assert door(b"payload=%7B") == 200
    assert not decisions(runs, run)
    assert not decisions(runs, other)


async def test_what_slack_did_not_sign_just_now_is_refused(make_options, runs, slack, door):
    run, [posted] = await asked(paying(), make_options, slack)
    payload = pressed(posted, "approve")
    assert [
        door(payload, secret="another secret"),
        door(payload, ago=301),
        door(payload, ago=-301),
        door(payload, moment="now"),
        door(payload, moment="9" * 400),
        door(payload, moment=""),
        door(payload, signed="v0=é"),
        door(payload, signed="v0="),
        door(payload, signed="x"),
    ] == [401] * 9
    assert door(payload, path="/slack/other") == 404
    assert not decisions(runs, run)


async def test_slack_being_away_takes_nothing_from_a_decision(make_options, runs, slack, door):
    run, [posted] = await asked(paying(), make_options, slack)
    slack.failures = [web.Response(status=500)]
    assert door(pressed(posted, "approve")) == 200
    assert len(decisions(runs, run)) == 1
    slack.wait_for(lambda: slack.made("chat.update"))


@pytest.mark.slow
async def test_socket_mode_takes_a_press_and_comes_back_after_the_connection_was_cut(
    make_options, runs, slack
):
    crew = paying("a", "b")
    run, [one, two] = await asked(crew, make_options, slack)
    lines: list[str] = []
    with SqliteJournal(runs.path) as elsewhere:
        here = environ(slack, SLACK_APP_TOKEN="xapp-1-token")
        connection = connect(Answers.from_environ(elsewhere, here), here, lines.append)
        try:
            envelope = {"type": "interactive", "accepts_response_payload": False}
            slack.send({**envelope, "envelope_id": "e1", "payload": pressed(one, "approve", note="Yes.")})
            slack.wait_for(lambda: len(slack.acknowledged) == 1)
            assert [each["by"] for each in decisions(runs, run)] == ["ann (Slack U0ANN)"]
            slack.send({"type": "slash_commands", "envelope_id": "e2", "payload": {"command": "/x"}})
            slack.wait_for(lambda: len(slack.acknowledged) == 2)
            slack.drop()
            slack.send({**envelope, "envelope_id": "e3", "payload": pressed(two, "deny")})
            slack.wait_for(lambda: len(slack.acknowledged) == 3)
            slack.wait_for(lambda: len(slack.made("chat.update")) == 2)
        finally:
            connection.close()
    assert [each["envelope_id"] for each in slack.acknowledged] == ["e1", "e2", "e3"]
    assert [each["decision"] for each in decisions(runs, run)] == ["approve", "deny"]
    assert len(lines) == 2
    assert (await crew.resume(run, make_options())).ok


def test_what_is_missing_for_slack_is_said(runs, slack):
    with pytest.raises(InputError, match="SLACK_APP_TOKEN"):
        connect(Answers(runs, Redactor()), {}, lambda line: None)
    with pytest.raises(InputError, match="SLACK_SIGNING_SECRET"):
        SlackDoor(Answers(runs, Redactor()), " ", lambda answered: None)
    with pytest.raises(InputError, match="'ann' is no id of a Slack user"):
        Answers.from_environ(runs, {"CREWKIT_SLACK_APPROVERS": "U0ANN, ann"})
    slack.failures = [web.json_response({"ok": False, "error": "invalid_auth"})]
    with pytest.raises(InputError, match="cannot be reached: invalid_auth"):
        connect(Answers(runs, Redactor()), environ(slack, SLACK_APP_TOKEN="xapp-1"), lambda line: None)
    [made] = notifiers(["slack:#ops"], environ(slack, CREWKIT_NOTIFY=""))
    assert TOKEN not in repr(made)


@pytest.mark.parametrize(
    "body", [b"", b"payload=", b"payload=[]", b"\xff\xfe", b"a&" * 100, b"payload=" + b"[" * 9_999]
)
def test_a_body_that_is_no_interaction_is_an_empty_one(body: bytes):
    assert read_form(body) == {}
