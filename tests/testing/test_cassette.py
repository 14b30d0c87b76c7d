"""A run recorded in a user's project, kept as a file, and replayed by the project's own pytest without a network."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

CREW = '''
import os
import urllib.request
from crewkit import Agent, Crew, Task, tool

@tool(effects=["write", "external"])
def post(text: str) -> str:
    """Post a text."""
    with urllib.request.urlopen(os.environ["SITE"], text.encode()) as answer:
        return answer.read().decode()

writer = Agent("Writer", "Write in few words.", tools=[post], model=os.environ.get("NAMED", "openai/gpt-5"))
task = Task("note", "Post a note on {topic}.", "What came of it.", writer)
crew = Crew([task], inputs=["topic"], name="notes")
'''

TEST = """
import socket
import pytest
from crew import crew

@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a socket was opened")
    monkeypatch.setattr(socket.socket, "connect", refuse)

def test_it_posts_what_it_posted(cassette):
    result = cassette("note.yaml").replay_sync(crew)
    assert result.output == "It is posted."

async def work(cassette):
    return await cassette("note.yaml").replay(crew)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "crew.py").write_text(CREW)
    (tmp_path / "test_note.py").write_text(TEST)
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["crewkit.testing.fixtures"]\n')
    (tmp_path / "record.py").write_text(RECORD)
    return tmp_path


RECORD = """
import asyncio, os
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Event, Thread
from crewkit.cli.group import serve
from crewkit.journal.open import open_journal
from crewkit.testing import call
from crewkit.testing.server import ChatServer

class Site(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"posted with {os.environ['SITE_TOKEN']}".encode())
    def log_message(self, *_):
        pass

async def speak(ready):
    async with ChatServer([call("post", text="Tides are high."), "It is posted."]) as server:
        os.environ |= {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "sk-local"}
        ready.set()
        await asyncio.sleep(3600)

site = HTTPServer(("127.0.0.1", 0), Site)
os.environ["SITE"] = f"http://127.0.0.1:{site.server_port}/"
ready = Event()
Thread(target=site.serve_forever, daemon=True).start()
Thread(target=lambda: asyncio.run(speak(ready)), daemon=True).start()
ready.wait(60)
assert serve(["run", "crew.py", "-i", "topic=tides", "--no-input"]) == 3
with open_journal() as journal:
    [asked] = journal.events(journal.find("@last"), types=["approval.requested"])
assert serve(["approve", asked.data["id"], "--note", "Fine."]) == 0
assert serve(["resume", "@last"]) == 0
assert serve(["export", "@last", "--format", "cassette", "-o", "note.yaml"]) == 0
"""


def python(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "CREWKIT"))
    }
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=project,
        env={**environ, "SITE_TOKEN": "hush-4711-hush-4711", "OPENAI_API_KEY": "sk-local"},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def test_a_run_is_recorded_and_replayed_in_the_projects_own_tests(project: Path):
    done = python(project, "record.py")
    assert done.returncode == 0, done.stderr
    text = (project / "note.yaml").read_text()
    assert "hush-4711" not in text
    assert "Tides are high." in text
    pytest_run = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_note.py")
    passed = python(project, *pytest_run)
    assert passed.returncode == 0, passed.stdout
    assert "1 passed" in passed.stdout
    crew = project / "crew.py"
    crew.write_text(crew.read_text().replace("in few words", "in many words"))
    failed = python(project, *pytest_run)
    assert failed.returncode == 1
    for said in (
        "At note/1/model: Another request is made here.",
        "new message 1 (system)",
        "Your goal: Write in few words.",
        "Your goal: Write in many words.",
        "record it anew",
    ):
        assert said in failed.stdout
