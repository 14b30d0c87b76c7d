"""The page's server: whom it answers, and what may be decided through it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from crewkit.core.events import Draft
from crewkit.journal.base import Write
from crewkit.journal.decide import questions
from crewkit.journal.sqlite import SqliteJournal
from crewkit.web.server import PageServer


def write(journal: SqliteJournal, run: str, *drafts: Draft) -> None:
    lease = journal.begin(run, "mailing", "s-1")
    stamped = [
        replace(d, ts=f"2026-01-01T00:00:{i:02}.000000Z", t=float(i), seg="s-1") for i, d in enumerate(drafts)
    ]
    journal.append([Write(run, stamped, lease.epoch)])
    journal.release(lease)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SqliteJournal]:
    with SqliteJournal(tmp_path / "journal.db") as journal:
        asked = {
            "id": "a-1",
            "kind": "tool",
            "question": "May it be sent?",
            "tool": "send",
            "arguments": {"to": "ann"},
        }
        write(
            journal,
            "r-asks",
            Draft("run.started", data={"crew": "mailing", "tasks": [{"name": "mail", "needs": []}]}),
            Draft("task.started", "mail", {"agent": "Clerk"}, "mail", "Clerk"),
            Draft("tool.checked", "mail/1/tool:0", {"tool": "send", "verdict": "ask"}, "mail", "Clerk"),
            Draft("approval.requested", "mail/1/tool:0/ask", asked, "mail", "Clerk"),
            Draft("note", "mail/1/tool:0", {"text": "x" * 300_000}, "mail", "Clerk"),
            Draft("run.paused", data={"reason": "approval", "approvals": ["a-1"]}),
        )
        yield journal


@pytest.fixture
def server(journal: SqliteJournal) -> Iterator[PageServer]:
    with PageServer(journal) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def client(server: PageServer) -> Iterator[httpx.Client]:
    """Somebody who opened the address that was printed."""
    with httpx.Client(base_url=f"http://127.0.0.1:{server.server_port}", trust_env=False) as client:
        client.get(server.address())
        yield client


def own(server: PageServer) -> dict[str, str]:
    return {"Origin": f"http://127.0.0.1:{server.server_port}"}


def test_the_token_is_exchanged_for_a_strict_cookie(server):
    with httpx.Client(trust_env=False) as client:
        let_in = client.get(server.address("r-asks"))
        assert let_in.status_code == 303
        assert let_in.headers["location"] == "/runs/r-asks"
        assert "HttpOnly; SameSite=Strict" in let_in.headers["set-cookie"]
        assert server.token not in let_in.headers["set-cookie"]
        page = client.get(f"http://127.0.0.1:{server.server_port}/runs/r-asks")
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert server.token not in page.text


def test_without_the_cookie_nothing_is_told(server):
    base = f"http://127.0.0.1:{server.server_port}"
    for path in (
        "/",
        "/runs/r-asks",
        "/api/runs",
        "/api/runs/r-asks",
        "/api/runs/r-asks/live",
        "/?token=guessed",
    ):
        answer = httpx.get(base + path, trust_env=False)
        assert answer.status_code == 403
        assert "r-asks" not in answer.text


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:80", "192.168.0.1", ""])
def test_another_name_for_this_machine_is_refused(client, host):
    assert client.get("/api/runs", headers={"Host": host}).status_code == 421


def test_a_tunnel_to_another_port_is_still_this_machine(client):
    assert client.get("/api/runs", headers={"Host": "localhost:9999"}).status_code == 200


def test_another_site_s_page_reads_nothing(client):
    assert client.get("/api/runs", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "same", "Content-Type": "text/plain"}, 415),
    ],
)
def test_only_the_page_itself_decides(server, client, journal, headers, status):
    headers = {**headers, **(own(server) if headers.get("Origin") == "same" else {})}
    body = {"content": b'{"decision": "approve"}', "headers": {"Content-Type": "application/json", **headers}}
    assert client.post("/api/runs/r-asks/approvals/a-1", **body).status_code == status
    assert [question.id for question in questions(journal, "r-asks")] == ["a-1"]


def test_the_first_decision_counts(server, client, journal):
    url = "/api/runs/r-asks/approvals/a-1"
    assert client.post(url, json={"decision": "deny"}, headers=own(server)).status_code == 400
    assert client.post(url, json={"decision": "maybe"}, headers=own(server)).status_code == 400
    said = client.post(url, json={"decision": "approve", "note": "Go."}, headers=own(server))
    assert (said.status_code, said.json()) == (200, {"alive": False})
    late = client.post(url, json={"decision": "deny", "note": "No."}, headers=own(server))
    assert late.status_code == 409
    assert "was approved by" in late.text
    [decided] = journal.events("r-asks", types=("approval.decided",))
    assert (decided.data["decision"], decided.data["note"]) == ("approve", "Go.")


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"[" * 90_000])
def test_a_body_that_makes_no_sense_is_refused(server, client, body):
    headers = {**own(server), "Content-Type": "application/json"}
    answer = client.post("/api/runs/r-asks/approvals/a-1", content=body, headers=headers)
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "path", ["/x", "/runs/r-none", "/api/runs/r-none", "/api/runs/r-asks/events/99", "/runs/../etc"]
)
def test_what_is_not_there_is_said(client, path):
    assert client.get(path).status_code == 404


def test_a_long_text_is_sent_when_it_is_asked_for(client):
    run = client.get("/api/runs/r-asks").json()
    note = next(event for event in run["events"] if event["type"] == "note")
    assert note["cut"] == [[["text"], 300_000]]
    assert len(note["data"]["text"]) < 300_000
    whole = client.get(f"/api/runs/r-asks/events/{note['seq']}").json()
    assert len(whole["data"]["text"]) == 300_000


def test_the_list_has_what_each_run_used_and_waits_for(client):
    [run] = client.get("/api/runs").json()
    assert (run["run"], run["crew"], run["status"], run["waiting"]) == ("r-asks", "mailing", "paused", 1)


@pytest.mark.slow
def test_a_person_decides_in_the_browser_and_sees_it_at_once(server, journal, open_address):
    seen = open_address(server.address("r-asks"))
    page = seen.page
    assert "token" not in page.url
    page.get_by_role("link", name="May it be sent?").first.click()
    page.get_by_role("button", name="Deny").click()
    assert "Say why" in seen.text(".decide")
    page.get_by_label("Note, which the agent reads").fill("Only on the list.")
    page.get_by_role("button", name="Approve").click()
    page.get_by_text("decided at").wait_for()
    assert "Only on the list." in seen.text(".question")
    assert questions(journal, "r-asks") == []
    assert {urlsplit(url).hostname for url in seen.requests if url.startswith("http")} == {"127.0.0.1"}
    assert seen.complaints == []


@pytest.mark.slow
def test_a_run_is_followed_while_it_goes_on(server, journal, open_address):
    lease = journal.begin("r-live", "live", "s-9")

    def write_on(type: str, path: str = "", **data: Any) -> None:
        ts = "2026-01-01T00:00:00.000000Z"
        draft = Draft(type, path, data, path.partition("/")[0], "Ann", 1, None, ts, 0.0, "s-9")
        journal.append([Write("r-live", [draft], lease.epoch)])

    write_on("run.started", crew="live", tasks=[{"name": "a", "needs": []}, {"name": "b", "needs": ["a"]}])
    write_on("task.started", "a", agent="Ann")
    seen = open_address(server.address("r-live"))
    assert "running" in seen.text(".title")
    write_on("task.finished", "a", status="completed", output="first")
    write_on("task.started", "b", agent="Ann")
    seen.page.locator(".row.task .name", has_text="b").wait_for()
    write_on("run.finished", status="completed", why="done", output="all")
    journal.release(lease)
    seen.page.locator(".title .pill", has_text="completed").wait_for()
    assert seen.complaints == []


@pytest.mark.slow
def test_the_list_of_runs_is_sorted_filtered_and_leads_to_a_run(server, journal, open_address):
    for i in range(3):
        end = Draft("run.finished", data={"status": "failed" if i == 1 else "completed", "why": "over"})
        write(journal, f"r-{i}", Draft("run.started", data={"crew": "nightly"}), end)
    seen = open_address(server.address(), width=1280)
    page = seen.page
    page.locator("tbody tr").nth(3).wait_for()
    assert page.locator(".trend").count() == 1
    assert seen.violations() == []
    page.get_by_label("Only this status").select_option("failed")
    assert page.locator(".c-run a").all_inner_texts() == ["r-1"]
    page.get_by_label("Only this status").select_option("")
    page.get_by_role("button", name="run", exact=True).click()
    assert page.locator(".c-run a").all_inner_texts() == ["r-0", "r-1", "r-2", "r-asks"]
    page.get_by_role("link", name="r-asks").click()
    page.get_by_role("heading", name="mailing").wait_for()
    assert seen.complaints == []
