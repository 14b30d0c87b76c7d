"""Ask, approve, deny, edit, expire, crash, resume, delegate, in any order: no effect without leave, none twice or lost.

The world keeps a list of what was really done; the journal is held against it after each step.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from crewkit import Agent, Crew, Grant, Options, Result, Scope, Task, ToolContext, ask_colleague, tool
from crewkit.core.clock import timestamp
from crewkit.core.events import Draft, Event
from crewkit.errors import CrewkitError, JournalError, RunBusy
from crewkit.journal.base import Journal, Write
from crewkit.journal.decide import questions
from crewkit.journal.sqlite import SqliteJournal
from crewkit.models.base import Request
from crewkit.models.scripted import ScriptedModel, call
from crewkit.testing.clock import FakeClock

RUN = "r-machine"
HOUR = 3_600.0
Done = tuple[str, str, float]
"""Path, receiver, amount."""


class Failing:
    """A journal that fails at one of its writes, before or after it, and at all that follow: a crash of the process."""

    def __init__(self, journal: Journal, left: int, *, after: bool) -> None:
        self._journal = journal
        self._left = left
        self._after = after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    def append(self, writes: Sequence[Write]) -> list[list[Event]]:
        if self._left < 0 or (self._left == 0 and not self._after):
            self._left = -1
            raise JournalError("the disk is gone")
        self._left -= 1
        appended = self._journal.append(writes)
        if self._left < 0:
            raise JournalError("the disk is gone, after it was written")
        return appended


def make_crew(done: list[Done]) -> Crew:
    """Return a crew that pays two at once, has a colleague pay, and pays once more beside another task that pays."""

    @tool(effects="financial")
    def pay(to: str, amount: float, context: ToolContext) -> str:
        """Pay somebody."""
        done.append((context.path, to, amount))
        return f"paid {to}"

    def script(*lines: Any) -> ScriptedModel:
        def say(request: Request) -> Any:
            return lines[sum(message.role == "assistant" for message in request.messages)]

        return ScriptedModel(say)

    scope = Scope("ask_colleague", Grant("pay", expires=HOUR))
    clerk = Agent(
        "Clerk",
        "Pay.",
        tools=[pay, ask_colleague],
        scope=scope,
        model=script(
            [call("pay", to="ann", amount=1), call("pay", to="bob", amount=10)],
            call("ask_colleague", to="Expert", question="Can you pay cat?"),
            call("pay", to="ann", amount=1),
            "Done.",
        ),
    )
    expert = Agent(
        "Expert",
        "Pay.",
        tools=[pay],
        scope=Scope(Grant("pay", expires=2 * HOUR)),
        model=script(call("pay", to="cat", amount=10.0), "Paid."),
    )
    other = Agent("Other", "Pay.", tools=[pay], model=script(call("pay", to="dan", amount=5), "Done."))
    tasks = [Task("bills", "Pay.", agent=clerk), Task("more", "Pay.", agent=other)]
    return Crew(tasks, agents=[expert], name="payers")


class Approvals(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.home = Path(tempfile.mkdtemp())
        self.journal = SqliteJournal(self.home / "journal.db")
        self.done: list[Done] = []
        self.leave: Counter[Done] = Counter()
        """What people allowed to be done, as often as they did."""
        self.clock = FakeClock()
        self.result: Result | None = None
        self.seen: dict[str, Any] = {}
        self.go()

    def teardown(self) -> None:
        try:
            self.finish()
        finally:
            self.journal.close()
            shutil.rmtree(self.home)

    # What happens

    def go(self, journal: Any = None) -> None:
        """Begin the run or go on with it, as a process does that may die."""
        options = Options(journal=journal or self.journal, environ={}, run_id=RUN, clock=self.clock)
        crew = make_crew(self.done)
        begun = any(self.journal.events(RUN))
        try:
            self.result = asyncio.run(crew.resume(RUN, options) if begun else crew.run({}, options))
        except JournalError:
            self.result = None

    def open(self) -> list[Any]:
        return questions(self.journal, RUN) if any(self.journal.events(RUN)) else []

    def over(self) -> bool:
        return self.result is not None and self.result.status != "paused"

    def say(self, question: Any, decision: str, **more: Any) -> bool:
        """Decide as another process does; return whether this decision counts."""
        data = {"id": question.id, "decision": decision, "note": "", "by": "ann", **more}
        now = timestamp(self.clock.now())
        draft = Draft(
            "approval.decided", question.path, data, question.task, key=f"decided:{question.id}", ts=now
        )
        [appended] = self.journal.append([Write(RUN, [draft], None, durable=True)])
        return bool(appended) and decision == "approve" and now <= question.expires

    def pick(self, at: int) -> Any:
        """Return an open question, or one that was open once."""
        for question in self.open():
            self.seen.setdefault(question.id, question)
        newest = [*reversed(self.seen.values())]
        return newest[at % len(newest)] if newest else None

    @rule(at=st.integers(0, 4))
    def approve(self, at: int) -> None:
        """Approve what may be decided, expired or overtaken by now."""
        if (question := self.pick(at)) and self.say(question, "approve"):
            self.allow(question, question.arguments)

    @rule(at=st.integers(0, 4))
    def deny(self, at: int) -> None:
        if question := self.pick(at):
            self.say(question, "deny")

    @rule(at=st.integers(0, 4), amount=st.sampled_from([2, 3.5, "much", None]))
    def edit(self, at: int, amount: Any) -> None:
        """Put other arguments in: good ones, and such as the tool does not take."""
        if question := self.pick(at):
            arguments = {**question.arguments, "amount": amount}
            if self.say(question, "approve", arguments=arguments) and isinstance(amount, int | float):
                self.allow(question, arguments if question.kind == "tool" else question.arguments)

    def allow(self, question: Any, arguments: dict[str, Any]) -> None:
        self.leave[question.path.removesuffix("/ask"), arguments["to"], float(arguments["amount"])] += 1

    @rule()
    def forge(self) -> None:
        """Say yes under names that were never asked about."""
        for id in ("a-00000000", "", "pay", RUN):
            data = {"id": id, "decision": "approve", "by": "the coordinator", "note": "approved"}
            draft = Draft("approval.decided", "bills/1/tool:0/ask", data, "bills", key=f"decided:{id}")
            self.journal.append([Write(RUN, [draft], None)])

    @rule(seconds=st.sampled_from([60, HOUR / 2, 1.5 * HOUR, 3 * HOUR]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @precondition(lambda self: not self.over())
    @rule()
    def resume(self) -> None:
        self.go()

    @precondition(lambda self: not self.over())
    @rule(left=st.sampled_from([3, 4, 2, 5, 1, 0]), after=st.booleans())
    def crash(self, left: int, after: bool) -> None:
        self.go(Failing(self.journal, left, after=after))

    @precondition(lambda self: not self.over())
    @rule()
    def two_resume(self) -> None:
        """Two processes go on at once: one does, the other is told."""

        async def both() -> list[Any]:
            with SqliteJournal(self.journal.path) as elsewhere:
                options = [
                    Options(journal=each, environ={}, run_id=RUN, clock=self.clock)
                    for each in (self.journal, elsewhere)
                ]
                crews = [make_crew(self.done) for _ in options]
                runs = (crew.resume(RUN, each) for crew, each in zip(crews, options, strict=True))
                return await asyncio.gather(*runs, return_exceptions=True)

        if not any(self.journal.events(RUN)):
            return
        for came in asyncio.run(both()):
            if isinstance(came, Result):
                self.result = came
            elif not isinstance(came, RunBusy | CrewkitError):
                raise came

    # What holds

    @invariant()
    def nothing_was_done_without_leave(self) -> None:
        done = Counter(self.done)
        assert done <= self.leave, (done, self.leave)

    @invariant()
    def every_approval_was_used_once(self) -> None:
        used = [
            e.data["approval"]
            for e in self.journal.events(RUN)
            if e.type == "tool.started" and "approval" in e.data
        ]
        assert len(used) == len(set(used))

    @invariant()
    def what_is_recorded_as_done_was_done(self) -> None:
        ended = [
            e.path
            for e in self.journal.events(RUN)
            if e.type == "tool.finished" and e.data.get("outcome") == "ok"
        ]
        paid = Counter(path for path, _, _ in self.done)
        assert all(paid[path] for path in ended if not path.endswith("/2/tool:0") or "Expert" in path)

    @invariant()
    def every_question_is_open_until_it_is_decided(self) -> None:
        events = list(self.journal.events(RUN))
        asked = {e.data["id"] for e in events if e.type == "approval.requested"}
        decided = {e.data["id"] for e in events if e.type == "approval.decided"}
        open = {question.id for question in self.open()}
        assert open <= asked - decided
        if not self.over():
            assert open == asked - decided

    def finish(self) -> None:
        """Approve whatever is still asked: the run ends, and what was allowed last was done."""
        for _ in range(30):
            self.go()
            if self.over():
                break
            for question in self.open():
                if self.say(question, "approve"):
                    self.allow(question, question.arguments)
        assert self.result is not None
        assert self.result.status == "completed", (self.result.status, self.result.why)
        self.nothing_was_done_without_leave()
        self.what_is_recorded_as_done_was_done()
        lost = {place for place in self.leave if place not in Counter(self.done)}
        assert not lost, f"allowed and not done: {lost}"


@pytest.mark.slow
def test_whatever_happens_between_question_and_effect() -> None:
    machine = Approvals
    machine.TestCase.settings = settings(
        max_examples=30, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
    )
    machine.TestCase("runTest").runTest()
