"""Whole processes, killed with SIGKILL in the middle of a run, and the run carried on by the next."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from crewkit import Agent, Crew, Grant, Options, Scope, Task, ToolContext, ask_colleague, tool
from crewkit.core.events import Draft, Event
from crewkit.journal.base import Write
from crewkit.journal.read import pending
from crewkit.journal.sqlite import SqliteJournal
from crewkit.models.base import Request, request_fingerprint
from crewkit.models.scripted import Line, ScriptedModel, call

KILLS = 12
RUN = "r-kill"


def make_crew(log: Callable[[str, str], None]) -> Crew:
    def script(*lines: Line) -> ScriptedModel:
        async def say(request: Request) -> Line:
            log("model", request_fingerprint(request))
            await asyncio.sleep(0.005)
            return lines[sum(message.role == "assistant" for message in request.messages)]

        return ScriptedModel(say)

    @tool(effects="read")
    def search(query: str, context: ToolContext) -> str:
        """Find pages."""
        log("search", context.path)
        return f"{query}: three pages"

    @tool(effects=["write", "external"])
    def send(text: str, context: ToolContext) -> str:
        """Send a letter."""
        log("send", context.path)
        return f"sent {text}"

    @tool(effects="write", idempotent=True)
    def store(text: str, context: ToolContext) -> str:
        """Keep a text."""
        log("store", context.path)
        return f"kept {text}"

    @tool(effects="read")
    def merge(left: str, right: str) -> str:
        """Put two texts together."""
        return f"{left} and {right}"

    expert = Agent("Expert", "Know.", tools=[search], model=script(call("search", query="deep"), "It is so."))
    left = Agent(
        "Left",
        "Find.",
        tools=[search, store],
        scope=Scope("search", Grant("store", "never")),
        model=script([call("search", query="a"), call("search", query="b"), call("store", text="c")], "left"),
    )
    right = Agent(
        "Right",
        "Ask.",
        tools=[ask_colleague, search],
        model=script(call("ask_colleague", to="Expert", question="Is it so?"), "right"),
    )
    clerk = Agent("Clerk", "Send.", tools=[send], model=script(call("send", text="it"), "done"))
    tasks = [
        Task("left", "Find.", agent=left),
        Task("right", "Ask.", agent=right),
        Task("merged", do=merge, needs=["left", "right"]),
        Task("letter", "Send it.", agent=clerk, needs=["merged"]),
    ]
    return Crew(tasks, agents=[expert], name="kill")


async def carry_on(home: Path, dies_after: int) -> None:
    """Run, or resume, until nothing waits any more; die by one's own hand after so many events."""
    seen = 0

    def listen(event: Event) -> None:
        nonlocal seen
        seen += 1
        if seen == dies_after:
            os.kill(os.getpid(), signal.SIGKILL)

    def log(what: str, where: str) -> None:
        with (home / "log").open("a", encoding="utf-8") as file:
            file.write(f"{what} {where}\n")

    with SqliteJournal(home / "journal.db") as journal:
        options = Options(journal=journal, environ={}, run_id=RUN, listener=listen)
        begun = journal.last(RUN) > 0
        result = await (make_crew(log).resume(RUN, options) if begun else make_crew(log).run({}, options))
        while result.status == "paused":
            for question in pending(list(journal.events(RUN))):
                data = {"id": question.id, "decision": "approve", "by": "a test"}
                draft = Draft("approval.decided", question.path, data, key=f"decided {question.id}")
                journal.append([Write(RUN, [draft], None)])
            result = await make_crew(log).resume(RUN, options)
    sys.stdout.write(json.dumps({"status": result.status, "outputs": dict(result.outputs)}))


def process(home: Path, dies_after: int = 0) -> subprocess.CompletedProcess[str]:
    home.mkdir(exist_ok=True)
    command = [sys.executable, __file__, str(home), str(dies_after)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


def logged(home: Path) -> list[str]:
    file = home / "log"
    return file.read_text(encoding="utf-8").splitlines() if file.exists() else []


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_killed_run_ends_as_if_nothing_had_happened_and_repeats_nothing_finished(tmp_path: Path):
    whole = process(tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    expected = json.loads(whole.stdout)
    assert expected["outputs"]["letter"] == "done"
    with SqliteJournal(tmp_path / "whole" / "journal.db") as journal:
        total = journal.last(RUN)
    calls = len(logged(tmp_path / "whole"))
    for kill in range(KILLS):
        home = tmp_path / str(kill)
        died = process(home, 1 + (total - 2) * kill // KILLS)
        assert died.returncode == -signal.SIGKILL
        before = logged(home)
        with SqliteJournal(home / "journal.db") as journal:
            held = list(journal.events(RUN))
        finished = [e for e in held if e.type in ("model.finished", "tool.finished")]
        ended = {e.data["fingerprint"] if e.type.startswith("model") else e.path for e in finished}
        resumed = process(home)
        assert resumed.returncode == 0, resumed.stderr
        assert json.loads(resumed.stdout) == expected
        after = logged(home)[len(before) :]
        assert not ended & {line.partition(" ")[2] for line in after}
        in_flight = [line for line in before if line.partition(" ")[2] not in ended]
        assert calls <= len(before) + len(after) <= calls + len(in_flight)


if __name__ == "__main__":
    asyncio.run(carry_on(Path(sys.argv[1]), int(sys.argv[2])))
