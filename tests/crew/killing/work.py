"""A crew with everything in it that a crash could spoil, and the process that runs it and is killed.

`python work.py` answers jobs: it reads one as a line of JSON, forks a child that has everything imported and nothing
open, and writes how the child ended. A child takes tens of milliseconds where a new process takes a second.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from crewkit import Agent, Crew, Grant, Input, Options, Result, Scope, Task, ToolContext, ask_colleague, tool
from crewkit.core.events import Draft, Event
from crewkit.errors import RunBusy
from crewkit.journal.base import Journal, Lease, Write
from crewkit.journal.postgres import PostgresJournal
from crewkit.journal.read import pending
from crewkit.journal.sqlite import SqliteJournal
from crewkit.journal.tell import tell_event
from crewkit.models.base import Request, request_fingerprint
from crewkit.models.scripted import Line, ScriptedModel, call


class Log:
    """What models and tools know themselves to have done: a file that no journal is made of."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, what: str, where: str) -> None:
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(file, f"\n{what} {where};\n".encode())  # half a line is none, and spoils no other
        os.fsync(file)
        os.close(file)

    def holds(self, where: str) -> bool:
        return self._path.exists() and f" {where};\n" in self._path.read_text(encoding="utf-8")


class Summary(BaseModel):
    title: str
    points: list[str]


def make_crew(log: Log, pace: float) -> Crew:
    def script(*lines: Line) -> ScriptedModel:
        async def say(request: Request) -> Line:
            log.add("model", request_fingerprint(request))
            await asyncio.sleep(pace)
            return lines[sum(message.role == "assistant" for message in request.messages)]

        return ScriptedModel(say)

    @tool(effects="read")
    async def search(query: str, context: ToolContext) -> list[str]:
        """Find pages."""
        log.add("read", context.path)
        await asyncio.sleep(pace)
        return [f"{query} 1", f"{query} 2"]

    @tool(effects=["write", "external"])
    def send(text: str, context: ToolContext) -> str:
        """Send a letter."""
        log.add("effect", context.path)
        return "sent"

    @tool(effects="write", idempotent=True)
    def store(text: str, context: ToolContext) -> str:
        """Keep a text."""
        log.add("again", context.path)
        return "kept"

    @tool(effects="write")
    async def book(day: str, context: ToolContext) -> str:
        """Book a day."""
        await asyncio.sleep(pace)
        log.add("effect", context.path)
        await asyncio.sleep(pace)
        return f"{day} is booked"

    @tool(effects="read")
    def merge(notes: str, facts: Summary, price: str, context: ToolContext) -> Summary:
        """Put it together."""
        log.add("read", context.path)
        return Summary(title=notes, points=[*facts.points, price])

    def has_a_figure(text: str) -> str | None:
        return None if any(char.isdigit() for char in text) else "Name a figure."

    finder = Agent(
        "Finder",
        "Find.",
        tools=[search],
        model=script([call("search", query="tides"), call("search", query="moon")], "notes"),
    )
    expert = Agent(
        "Expert", "Know.", tools=[search], model=script(call("search", query="deep"), "Twice a day.")
    )
    asker = Agent(
        "Asker",
        "Ask.",
        tools=[ask_colleague, store],
        scope=Scope("ask_colleague", Grant("store", "never")),
        model=script(
            [call("ask_colleague", to="Expert", question="How often?"), call("store", text="x")],
            '{"title": "wrong"}',
            '{"title": "Facts", "points": ["twice"]}',
        ),
    )
    pricer = Agent(
        "Pricer",
        "Price.",
        tools=[book],
        scope=Scope(Grant("book", "never")),
        model=script([call("book", day="Monday"), call("book", day="Tuesday")], "dear", "It costs 7."),
    )
    inside = Agent(
        "Insider",
        "Look.",
        tools=[search, book],
        scope=Scope("search", Grant("book", "never")),
        model=script([call("search", query="in"), call("book", day="Friday")], "seen"),
    )
    clerk = Agent(
        "Clerk",
        "Send.",
        tools=[send],
        model=script([call("send", text="a"), call("send", text="b")], "Done."),
    )

    async def redo(request: Request) -> Line:
        log.add("model", request_fingerprint(request))
        await asyncio.sleep(pace)
        again = "again" in request.messages[1].content
        if len(request.messages) == 2:
            return call("book", day="Sunday" if again else "Saturday")
        return "better" if again else "bad"

    looper = Agent(
        "Looper", "Improve.", tools=[book], scope=Scope(Grant("book", "never")), model=ScriptedModel(redo)
    )

    notes = Task("notes", "Find notes on {topic}.", agent=finder)
    facts = Task("facts", "Get facts.", agent=asker, output_type=Summary)
    price = Task("price", "Find the price.", agent=pricer, guardrails=[has_a_figure])
    merged = Task("merged", do=merge, needs=[notes, facts, price])
    inner = Crew(
        [Task("look", "Look at {merged}.", agent=inside), Task("keep", do=store, needs=["look"])],
        inputs={"merged": Input("what came of it", type=Summary), "text": Input(default="kept")},
        name="inner",
    )
    nested = Task("nested", do=inner, needs=[merged])
    letter = Task("letter", "Send it.", agent=clerk, needs=[merged])
    looped = Task("looped", "Improve it.", agent=looper, until="looped == 'better'")
    signed = Task("signed", wait_for="signed", output_type=int, until="signed > 1")
    editor = Agent("Editor", "Edit.", model=script("all"))
    final = Task("final", "Sum up.", agent=editor, needs=[nested, letter, looped, signed], human_input=True)
    return Crew(
        [notes, facts, price, merged, nested, letter, looped, signed, final],
        agents=[expert],
        inputs=["topic"],
        name="killed",
    )


class Dying:
    """A journal whose process ends itself before or after one of its writes."""

    def __init__(self, journal: Journal, point: int | None) -> None:
        self._journal = journal
        self._left = -1 if point is None else point
        self.writes = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    def begin(self, run: str, crew: str, seg: str) -> Lease:
        return self._write(lambda: self._journal.begin(run, crew, seg))

    def fork(self, origin: str, seq: int, run: str, crew: str, seg: str) -> Lease:
        return self._write(lambda: self._journal.fork(origin, seq, run, crew, seg))

    def take(self, run: str, seg: str) -> Lease:
        return self._write(lambda: self._journal.take(run, seg))

    def release(self, lease: Lease) -> None:
        self._write(lambda: self._journal.release(lease))

    def append(self, writes: Sequence[Write]) -> list[list[Event]]:
        # Each by itself: what is written together by chance is not what has to be.
        return [self._write(lambda write=write: self._journal.append([write])[0]) for write in writes]

    def _write(self, write: Callable[[], Any]) -> Any:
        self._point()
        self.writes += 1
        answer = write()
        self._point()
        return answer

    def _point(self) -> None:
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self._left -= 1


def decide(journal: Journal, run: str, log: Log) -> None:
    """Approve what waits, and say what is waited for; an effect that may have happened is looked up where it would."""
    for reading in (1, 2):  # the loop takes one in each of its iterations
        tell_event(journal, run, "signed", reading, "a test", id=f"signed-{reading}")
    for question in pending(journal.events(run)):
        happened = question.kind == "unknown" and log.holds(question.path.removesuffix("/ask"))
        decision, note = ("deny", "it has happened") if happened else ("approve", "")
        data = {"id": question.id, "decision": decision, "note": note, "by": "a test"}
        draft = Draft("approval.decided", question.path, data, question.task, key=f"decided:{question.id}")
        journal.append([Write(run, [draft], None, durable=True)])


async def carry_on(job: dict[str, Any], journal: Dying) -> Result:
    """Begin the run, or a fork of another, or go on with it, and decide, until it ends."""
    run, log = job["run"], Log(Path(job["home"]) / "log")
    options = Options(journal=journal, environ={}, run_id=run)
    for _ in range(9):
        crew = make_crew(log, job.get("pace", 0))
        begun = any(event.run == run for event in journal.events(run))
        if begun:
            result = await crew.resume(run, options)
        elif origin := job.get("origin"):
            result = await crew.fork(origin, job["at"], options=replace(options, repeat_effects=True))
        else:
            result = await crew.run({"topic": "seas"}, options)
        if result.status != "paused":
            return result
        decide(journal, run, log)
    raise AssertionError("the run never ends")


def work(job: dict[str, Any]) -> dict[str, Any]:
    """Do a job, and say what came of it."""
    if "call" in job:
        _arm(job)
    path, url = Path(job["home"]) / "journal.db", job.get("url")
    try:
        with PostgresJournal(url) if url else SqliteJournal(path) as opened:
            journal = Dying(opened, job.get("point"))
            result = asyncio.run(carry_on(job, journal))
    except RunBusy as error:
        return {"busy": str(error)}
    outputs = json.loads(json.dumps(dict(result.outputs), default=lambda value: value.model_dump()))
    calls = ctypes.CDLL(None).crash_calls() if "call" in job else 0
    return {
        "status": result.status,
        "why": result.why,
        "outputs": outputs,
        "writes": journal.writes,
        "calls": calls,
    }


def _arm(job: dict[str, Any]) -> None:
    """Let the preloaded library end the process at a system call; see `calls.c`."""
    ctypes.CDLL(None).crash_at(str(job["home"]).encode(), str(job["shadow"]).encode(), *job["call"])


def child(job: dict[str, Any]) -> None:
    code = 1
    try:
        answer = work(job)
        Path(job["answer"]).write_text(json.dumps(answer), encoding="utf-8")
        code = 0
    except BaseException:  # noqa: BLE001  whatever it is, the test reads it
        Path(job["answer"]).write_text(json.dumps({"error": traceback.format_exc()}), encoding="utf-8")
    finally:
        os._exit(code)


def serve() -> None:
    """Answer jobs. Several in one line are done at the same time; with `seconds`, a child is killed after them."""
    with tempfile.TemporaryDirectory() as home:
        work({"home": home, "run": "r-warm"})  # what is imported when first used is imported now
    gc.freeze()
    for line in sys.stdin:
        children: list[int] = []
        for job in json.loads(line):
            if not (pid := os.fork()):
                child(job)
            if "seconds" in job:
                signal.sigtimedwait([signal.SIGUSR1], job["seconds"])
                os.kill(pid, signal.SIGKILL)
            children.append(pid)
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
        sys.stdout.write(json.dumps(codes) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
