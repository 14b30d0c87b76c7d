"""People are told in the background: signed, tried again, recorded, once; and no channel holds a run up for long."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from crewkit import Crew, DefinitionError, Notifier, Task
from crewkit.core.clock import timestamp
from crewkit.core.signing import SECRET as SECRET_NAME
from crewkit.core.signing import verified
from crewkit.journal.read import Pending, pending
from crewkit.notify.base import Unreached
from crewkit.notify.places import notifiers, shown
from crewkit.notify.terminal import Terminal
from crewkit.notify.webhook import Webhook, pause_of

from .conftest import SECRET, hanging, paying, question, refusing


class Remembering:
    """Remembers what it was told; fails as it is told to."""

    def __init__(self, *failures: Exception, name: str = "memory") -> None:
        self.name = name
        self.told: list[Pending] = []
        self.failures = list(failures)
        self.tries = 0

    async def tell(self, question: Pending) -> None:
        self.tries += 1
        if self.failures:
            raise self.failures.pop(0)
        self.told.append(question)


def told(runs: Any, run: str) -> list[dict[str, Any]]:
    return [event.data for event in runs.events(run, types=("approval.told",))]


async def test_each_question_is_told_once_with_all_that_is_needed(make_options, runs, decide):
    here = Remembering()
    crew = paying("a", "b", notify=[here])
    result = await crew.run({}, make_options())
    assert result.status == "paused"
    assert sorted(here.told, key=lambda q: q.id) == sorted(
        pending(runs.events(result.run_id)), key=lambda q: q.id
    )
    assert {each["outcome"] for each in told(runs, result.run_id)} == {"told"}
    assert {each["by"] for each in told(runs, result.run_id)} == {"memory"}
    await crew.resume(result.run_id, make_options())
    assert len(here.told) == 2, "a resume tells nobody what they were told"
    decide(result.run_id)
    assert (await crew.resume(result.run_id, make_options())).ok
    assert len(here.told) == 2


async def test_a_webhook_is_signed_as_listen_verifies_and_its_address_stays_out_of_the_journal(
    make_options, runs, receiver
):
    environ = {"CREWKIT_NOTIFY": receiver.url, SECRET_NAME: SECRET}
    result = await paying().run({}, make_options(environ=environ))
    [taken] = receiver.taken
    assert taken.path == "/hooks/a-secret-path?to=ops"
    assert verified(SECRET, taken.path, taken.headers, taken.body, time.time())
    assert not verified(SECRET, taken.path, taken.headers, taken.body + b" ", time.time())
    assert not verified(SECRET, taken.path, taken.headers, taken.body, time.time() + 301)
    assert taken.headers["Idempotency-Key"] == result.approvals[0]
    data = taken.data
    assert (data["type"], data["run"], data["id"]) == (
        "approval.requested",
        result.run_id,
        result.approvals[0],
    )
    assert (data["tool"], data["arguments"], data["origins"]["text"]["trusted"]) == (
        "send",
        {"text": "hello"},
        False,
    )
    journal = "".join(event.to_json() for event in runs.events(result.run_id))
    assert "a-secret-path" not in journal
    assert SECRET not in journal
    [record] = told(runs, result.run_id)
    assert record["by"].startswith("webhook 127.0.0.1:")


async def test_what_fails_for_now_is_tried_again_and_what_fails_for_good_is_not(make_options, runs, receiver):
    receiver.statuses = [503, 200]
    result = await paying().run(
        {}, make_options(environ={"CREWKIT_NOTIFY": receiver.url, SECRET_NAME: SECRET})
    )
    assert [(each["outcome"], each["attempts"]) for each in told(runs, result.run_id)] == [("told", 2)]
    assert len(receiver.taken) == 2
    assert receiver.taken[0].body == receiver.taken[1].body
    receiver.statuses = [403]
    result = await paying().run(
        {}, make_options(environ={"CREWKIT_NOTIFY": receiver.url, SECRET_NAME: SECRET})
    )
    [record] = told(runs, result.run_id)
    assert (record["outcome"], record["attempts"], record["why"]) == ("failed", 1, "it answered 403")


async def test_a_resume_tells_who_could_not_be_reached_and_nobody_else(make_options, runs):
    bad, good = Remembering(Unreached("gone", again=False), name="bad"), Remembering(name="good")
    crew = paying(notify=[bad, good])
    result = await crew.run({}, make_options())
    assert (len(bad.told), len(good.told)) == (0, 1)
    await crew.resume(result.run_id, make_options())
    assert (len(bad.told), len(good.told)) == (1, 1)
    await crew.resume(result.run_id, make_options())
    assert (bad.tries, good.tries) == (2, 1)


async def test_two_channels_of_one_name_are_told_apart(make_options, runs):
    one, two = Remembering(), Remembering(Unreached("gone", again=False))
    crew = paying(notify=[one, two])
    result = await crew.run({}, make_options())
    await crew.resume(result.run_id, make_options())
    assert (len(one.told), len(two.told)) == (1, 1)
    assert {each["by"] for each in told(runs, result.run_id)} == {"memory", "memory (2)"}


@pytest.mark.slow
async def test_what_a_notifier_of_somebody_elses_raises_stays_out_of_the_journal(make_options, runs):
    here = Remembering(*[ValueError("https://hooks.example.org/token-4711")] * 99)
    result = await paying(notify=[here]).run({}, make_options())
    [record] = told(runs, result.run_id)
    assert (record["outcome"], record["why"]) == ("failed", "ValueError in the notifier")
    assert "4711" not in "".join(event.to_json() for event in runs.events(result.run_id))


@pytest.mark.slow
async def test_a_run_goes_on_beside_a_channel_that_hangs(make_options, runs):
    entered = asyncio.Event()

    class Hanging(Remembering):
        async def tell(self, question: Pending) -> None:
            entered.set()
            await asyncio.Event().wait()

    async def other() -> str:
        await asyncio.wait_for(entered.wait(), 30)  # it ends although nobody was told
        return "done"

    [letter] = paying().tasks
    crew = Crew([letter, Task("other", do=other)], notify=[Hanging()])
    begun = time.monotonic()
    result = await crew.run({}, make_options())
    assert result.status == "paused"
    assert "other" in result.report.completed
    assert time.monotonic() - begun < 60, "the run does not wait for a channel without end"
    [record] = told(runs, result.run_id)
    assert record["outcome"] == "failed"


@pytest.mark.slow
async def test_servers_that_refuse_hang_and_fail_neither_block_nor_lose_an_approval(
    make_options, runs, decide, receiver
):
    receiver.statuses = [500] * 100
    async with hanging() as hang:
        places = " ".join([await refusing(), hang, receiver.url])
        options = make_options(environ={"CREWKIT_NOTIFY": places, SECRET_NAME: SECRET})
        crew = paying()
        begun = time.monotonic()
        result = await crew.run({}, options)
        seconds = time.monotonic() - begun
    assert result.status == "paused"
    assert seconds < 60
    records = told(runs, result.run_id)
    assert sorted(each["outcome"] for each in records) == ["failed"] * 3
    whys = {each["why"] for each in records}
    assert {"it answered 500", "ConnectError: it cannot be reached"} < whys
    decide(result.run_id)
    assert (await crew.resume(result.run_id, make_options())).output == "Done."


@pytest.mark.slow
async def test_a_decision_that_comes_while_people_are_told_wakes_the_run(make_options, runs, decide):
    failing = Remembering(*[Unreached("gone")] * 99)
    options = make_options(run_id="r-first")
    running = asyncio.create_task(paying(notify=[failing]).run({}, options))
    while not failing.tries:
        await asyncio.sleep(0.01)
    decide("r-first")
    result = await running
    if result.status == "paused":
        assert runs.due(timestamp(datetime.now(UTC))) == ["r-first"]
        result = await paying(notify=[failing]).resume("r-first", options)
    assert result.ok


def test_the_terminal_shows_a_question_and_lets_nothing_steer_it():
    out = io.StringIO()
    asked = question(preview="\x1b[2J\u202egone", output={"a": [1]}, arguments={"to": "\x07"})
    asyncio.run(Terminal(out).tell(asked))
    said = out.getvalue()
    assert not {char for char in said if not char.isprintable() and char != "\n"}
    assert "a-11aa22bb  r-1 · bill · Clerk" in said
    assert "shows  \\x1b[2J\\u202egone" in said
    assert (
        'crewkit approve a-11aa22bb    crewkit deny a-11aa22bb --note "…"    until 2026-12-02T10:00Z' in said
    )


def mistake(make: Callable[[], object]) -> str:
    with pytest.raises(DefinitionError) as error:
        make()
    return str(error.value)


def test_a_place_that_is_none_is_found_when_the_crew_is_defined_and_not_repeated():
    said = mistake(lambda: paying(notify=["htps://hooks.example.org/token"]))
    assert "one of the places to be told (notify) is none: it starts with 'htps:/'" in said
    assert "token" not in said
    assert "has no `name` and no `tell`" in mistake(lambda: paying(notify=[object()]))
    assert "is no http(s) URL" in mistake(lambda: Webhook("http://", SECRET))


async def test_a_missing_token_or_secret_is_found_before_anything_is_begun(make_options, runs):
    assert "SLACK_BOT_TOKEN" in mistake(lambda: notifiers(["slack:#ops"], {}))
    assert "has to have 16 characters" in mistake(lambda: notifiers(["https://example.org/x"], {}))
    with pytest.raises(DefinitionError, match="SLACK_BOT_TOKEN"):
        await paying(notify=["slack:#ops"]).run({}, make_options())
    assert not runs.runs()


def test_places_are_shown_without_their_secrets():
    environ = {"CREWKIT_NOTIFY": "https://u:pw@hooks.example.org:8443/token?x=1 terminal slack:#ops"}
    assert shown(["slack:#ops", Remembering()], environ) == [
        "slack #ops",
        "memory",
        "webhook hooks.example.org:8443",
        "terminal",
    ]
    made = Webhook("https://hooks.example.org/token", SECRET)
    assert "token" not in repr(made)
    assert SECRET not in repr(made)
    assert isinstance(made, Notifier)


@pytest.mark.parametrize(
    ("given", "seconds"), [("7", 7), ("9999", 60), ("", 0), (None, 0), ("soon", 0), ("٣", 0)]
)
def test_how_long_somebody_wants_to_be_left_alone(given: str | None, seconds: float):
    assert pause_of(given) == seconds
