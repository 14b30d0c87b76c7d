"""Events over real HTTP: signed, fresh, once, and nothing else."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from crewkit import Crew, InputError, Task
from crewkit.core.signing import signature
from crewkit.journal.redact import Redactor
from crewkit.journal.sqlite import SqliteJournal
from crewkit.web.door import AT_ONCE, Server
from crewkit.web.webhook import Hook

SECRET = "a secret for the tests"

Post = Callable[..., tuple[int, dict[str, Any]]]


def crew() -> Crew:
    return Crew([Task("signed", wait_for="contract_signed", output_type=dict[str, str])])


@pytest.fixture
def post(runs: SqliteJournal) -> Iterator[Post]:
    server = Server({"/events/": Hook(runs, SECRET, Redactor()).take}, "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()

    def post(
        path: str,
        body: bytes = b"",
        *,
        secret: str = SECRET,
        ago: float = 0,
        moment: str = "",
        signed: str = "",
        method: str = "POST",
    ) -> tuple[int, dict[str, Any]]:
        moment = moment or str(int(time.time() - ago))
        headers = {
            "X-Crewkit-Timestamp": moment,
            "X-Crewkit-Signature": signed or signature(secret, moment, path, body),
        }
        connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=10)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    yield post
    server.shutdown()
    thread.join()
    server.server_close()


async def waiting(make_options: Any) -> str:
    return (await crew().run({}, make_options())).run_id


async def test_a_signed_event_completes_a_wait(make_options, runs, post):
    run = await waiting(make_options)
    path = f"/events/{run}/contract_signed"
    assert post(path, b'{"by": "Ann"}') == (202, {"run": run, "event": "contract_signed"})
    result = await crew().resume(run, make_options())
    assert result.output == {"by": "Ann"}
    [told] = runs.events(run, types=("run.signal",))
    assert told.data["by"] == "webhook from 127.0.0.1"


async def test_the_same_request_is_taken_once(make_options, runs, post):
    path = f"/events/{await waiting(make_options)}/contract_signed"
    moment = str(int(time.time()))
    assert post(path, b'{"by": "Ann"}', moment=moment)[0] == 202
    assert post(path, b'{"by": "Ann"}', moment=moment)[0] == 409
    assert post(path, b'{"by": "Ann"}', ago=2)[0] == 202


async def test_what_is_not_signed_for_this_is_refused_and_told_nothing(make_options, runs, post):
    run = await waiting(make_options)
    path, body = f"/events/{run}/contract_signed", b'{"by": "Ann"}'
    moment = str(int(time.time()))
    other = signature(SECRET, moment, f"/events/{run}/other", body)
    refused = [
        post(path, body, secret="another secret here"),
        post(path, body, moment=moment, signed=other),
        post(path, body, moment=moment, signed=signature(SECRET, moment, path, b"{}")),
        post(path, body, signed="sha256=é"),
        post(path, body, signed="x"),
        post(path, body, ago=301),
        post(path, body, ago=-301),
        post(path, body, moment="now"),
        post(path, body, moment="9" * 400),
        post("/events/r-none/contract_signed", body, secret="another secret here"),
        post("/", b"", signed="x"),
    ]
    assert {status for status, _ in refused} == {401}
    assert len({answer["error"] for _, answer in refused}) == 1
    assert not list(runs.events(run, types=("run.signal",)))


async def test_a_signed_event_has_to_be_one_that_the_run_waits_for(make_options, runs, post):
    run = await waiting(make_options)
    path = f"/events/{run}/contract_signed"
    assert post(path, b"{")[0] == 400
    assert post(path, b"[" * 100_000)[0] == 400
    assert post(path, b'{"by": 3}')[0] == 422
    assert post(f"/events/{run}/contract_sined", b"{}")[0] == 422
    assert post("/events/r-none/contract_signed", b"{}")[0] == 404
    assert post(f"/events/{run[:5]}/contract_signed", b"{}")[0] == 404
    assert post("/events/@last/contract_signed", b"{}")[0] == 404
    assert post("/elsewhere", b"{}")[0] == 404
    assert post(path, method="GET")[0] == 405
    assert not list(runs.events(run, types=("run.signal",)))


async def test_a_large_body_is_refused_unread(make_options, runs, post):
    path = f"/events/{await waiting(make_options)}/contract_signed"
    try:
        status = post(path, b" " * 5_000_000)[0]
    except OSError:  # it hung up while we were still sending
        return
    assert status == 413


async def test_many_at_once_are_all_taken(make_options, runs, post):
    path = f"/events/{await waiting(make_options)}/contract_signed"
    statuses: list[int] = []

    def one(number: int) -> None:
        statuses.append(post(path, json.dumps({"by": str(number)}).encode())[0])

    threads = [threading.Thread(target=one, args=(i,)) for i in range(AT_ONCE * 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [202] * (AT_ONCE * 2)


def test_a_short_secret_is_refused(runs):
    with pytest.raises(InputError, match="has to have 16 characters at least"):
        Hook(runs, "short", Redactor())


def test_a_moment_in_other_digits_is_refused(runs):
    hook, path = Hook(runs, SECRET, Redactor(), now=lambda: 3.0), "/events/r-1/x"
    headers = {"X-Crewkit-Timestamp": "٣", "X-Crewkit-Signature": signature(SECRET, "٣", path, b"")}
    assert hook.take(path, headers, b"", "a test")[0] == 401
