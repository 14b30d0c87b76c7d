import functools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from crewkit.cli.group import crewkit
from crewkit.core.events import Draft
from crewkit.journal.base import Write
from crewkit.journal.sqlite import SqliteJournal

Invoke = Callable[..., Result]
Start = Callable[..., "subprocess.Popen[str]"]

CREW = '''
import time
from crewkit import Agent, Crew, Task, tool

@tool(effects="read")
def look_up(topic: str) -> str:
    """Look a topic up."""
    print("said by a tool")
    return f"What is known of {topic}."

@tool
def publish(topic: str) -> str:
    """Publish a topic."""
    return "published"

def wait(topic: str, seconds: float) -> str:
    time.sleep(seconds)
    return topic

def fail() -> str:
    raise RuntimeError("nothing works")

agent = Agent("Finder", "Find things.", tools=[look_up])
find = Task("find", "Look up {topic}.", "A fact.", agent)
crew = Crew([find], inputs=["topic"], name="finding")
asking = Crew([Task("find", "Look up {topic}.", "A fact.", agent, human_input="Is it good?")], inputs=["topic"])
failing = Crew([Task("fail", do=fail), Task("after", do=fail, needs=["fail"])])
waiting = Crew([Task("wait", do=wait), Task("then", do=wait, needs=["wait"])],
               inputs={"topic": __import__("crewkit").Input(), "seconds": __import__("crewkit").Input(type=float)})
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a crew file, `finding.py`, and no runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CREWKIT_HOME", raising=False)
    monkeypatch.delenv("CREWKIT_MODEL", raising=False)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "finding.py").write_text(CREW)
    return tmp_path


@pytest.fixture
def invoke(folder: Path) -> Invoke:
    def call(*arguments: str, **more: object) -> Result:
        return CliRunner().invoke(crewkit, list(arguments), **more)  # pyright: ignore[reportArgumentType]

    return call


@pytest.fixture
def start(folder: Path) -> Start:
    """Starts the real command in a process of its own."""

    def call(*arguments: str, **more: object) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "crewkit.cli.main", *arguments]
        return subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **more,  # pyright: ignore[reportArgumentType]
        )

    return call


@pytest.fixture
def write_run(folder: Path) -> Callable[[str, Sequence[Draft]], None]:
    """Puts a run into the folder's journal as the engine would have."""
    return functools.partial(_write_run, folder)


@pytest.fixture
def kept(folder: Path) -> str:
    """A run that is over, with all that a transcript can hold."""
    _write_run(folder, "r-kept", _sample())
    return "r-kept"


def _write_run(folder: Path, run: str, drafts: Sequence[Draft], *, crew: str = "digest") -> None:
    journal = SqliteJournal(folder / ".crewkit" / "journal.db")
    lease = journal.begin(run, crew, "s-1")
    stamped = [
        Draft(
            d.type,
            d.path,
            d.data,
            d.task,
            d.agent,
            d.attempt,
            d.key,
            f"2026-11-21T09:00:{i:02d}.000000Z",
            float(i),
            "s-1",
        )
        for i, d in enumerate(drafts)
    ]
    journal.append([Write(run, stamped, lease.epoch)])
    journal.release(lease)
    journal.close()


def _sample() -> list[Draft]:
    """A run with a refused tool, a failed call, a guardrail, memory, an approval and an unknown price."""
    a = ("draft", "Writer")

    def at(path: str, type: str, **data: object) -> Draft:
        return Draft(type, path, dict(data), *a)

    usage = {"input_tokens": 1200, "output_tokens": 80, "cached_tokens": 1000}
    return [
        Draft(
            "run.started",
            data={
                "crew": "digest",
                "target": "digest.py",
                "cwd": "/home/ada",
                "inputs": {"topic": "tides"},
                "models": {"draft": "openai/gpt-5-mini"},
                "tasks": [
                    {"name": "draft", "needs": [], "agent": "Writer"},
                    {"name": "release", "needs": ["draft"], "agent": "Writer"},
                ],
                "limits": {"tokens": 200000, "usd": 0.5, "steps": None},
                "pid": 7,
                "host": "ada",
            },
        ),
        at("draft", "task.started", agent="Writer", needs=[]),
        at("draft", "message.recorded", id="b1", kind="assignment", sender="coordinator", to="Writer", thread="draft",
           round=1, content="# Task: draft\nWrite.", data={}),
        at("draft/0", "message.recorded", id="m1", role="system", content="You are Writer."),
        at("draft/0", "message.recorded", id="m2", role="user", content="# Task: draft\nWrite."),
        at("draft/1/model", "model.started", model="openai/gpt-5-mini", fingerprint="f",
           messages={"new": ["m1", "m2"], "count": 2, "dropped": 0}, temperature=0.2),
        at("draft/1/model", "retry.scheduled", attempt=1, seconds=2.0, why="429 Too Many Requests"),
        at("draft/1/model", "message.recorded", id="m3", role="assistant", content="I search first.",
           tool_calls=[{"id": "c1", "name": "search", "arguments": '{"query": "tides"}'}]),
        at("draft/1/model", "model.finished", model="openai/gpt-5-mini", message="m3", finish_reason="tool_calls",
           usage=usage, usd=None, seconds=1.5, fingerprint="f"),
        at("draft/1", "decision.made", offered=["search"],
           withheld=[{"tool": "publish", "by": "scope", "why": "no grant"}],
           chosen=[{"id": "c1", "tool": "search", "arguments": '{"query": "tides"}'}], text="I search first.",
           budget={"tokens": 198720, "usd": 0.49, "steps": 24, "seconds": None}),
        at("draft/1/tool:0", "tool.started", tool="search", arguments={"query": "tides"}, effects=["read"]),
        at("draft/1/tool:0", "memory.searched", query="tides", k=1,
           hits=[{"id": "x", "source": "sea.md", "start": 3, "end": 40, "score": 0.9}]),
        at("draft/1/tool:0", "message.recorded", id="m4", role="tool", tool_call_id="c1",
           content="\x1b[2Jtwo \u202etides [red]a day[/red]"),
        at("draft/1/tool:0", "tool.finished", tool="search", outcome="ok", message="m4", received=900, selected=20,
           seconds=0.25),
        at("draft/2", "guardrail.checked", guardrail="enough_sources", verdict="revise", why="Cite three."),
        at("draft", "task.finished", status="failed", error={"type": "RunError", "message": "sent back too often"},
           seconds=12.0),
        Draft("task.finished", "release", {"status": "skipped", "why": "It needs 'draft', which failed."}, "release"),
        Draft("run.finished", data={"status": "failed", "why": "Task 'draft' failed.", "output": None,
                                    "report": {"completed": [], "failed": [{"task": "draft", "error": "x"}],
                                               "skipped": []}, "usage": {}}),
    ]  # fmt: skip
