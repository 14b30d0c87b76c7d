"""Asking a person: a step that may take days.

A decision is bound to exactly what was asked: the run, the place in it, the task, the agent and the thing itself. It
comes from outside the run (the command line, the page, an endpoint), never from an agent, a message or a tool.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Literal

from crewkit.core.clock import timestamp
from crewkit.core.messages import canonical, fingerprint
from crewkit.core.verdict import Ask
from crewkit.journal.run import Run
from crewkit.journal.waiting import Waiting

Data = dict[str, Any]
Kind = Literal["tool", "output", "unknown"]

EXPIRES = 7 * 86_400.0
"""Seconds that a person has to decide; after them it counts as a no."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a person is asked, and all that it is bound to."""

    path: str
    """The step that waits; the question is recorded at `{path}/ask`."""
    kind: Kind
    """`tool` (may this call be made), `output` (is this result good), `unknown` (an effect that may have happened)."""
    text: str
    """One sentence, for the person."""
    task: str
    """The task's path."""
    agent: str
    """The agent's role."""
    about: Data = field(default_factory=dict[str, Any])
    """What the decision is about and bound to: `tool`, `definition` (of the tool), `arguments`; or `output`."""
    told: Data = field(default_factory=dict[str, Any])
    """What else the person needs to decide: `reason`, `origins`, …"""
    attempt: int = 1
    """Counts questions at one path; of an unknown outcome, the step's attempts."""
    expires: float = EXPIRES
    """Seconds that there are to decide."""

    def binding(self, run: str) -> str:
        """Return the hash of all that the decision is bound to. 10 is not 10.0."""
        bound = (self.path, self.kind, self.task, self.agent, str(self.attempt), canonical(self.about))
        return fingerprint(run, *bound)

    def id(self, run: str) -> str:
        """Return the id by which people name it: short, and the same in every process."""
        return f"a-{self.binding(run)[:8]}"


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person said."""

    id: str
    """Of the approval; an effect that it allows carries it."""
    note: str
    by: str
    approved: bool = False
    arguments: Data | None = None
    """What the person put in the place of the arguments that were asked about."""


def seconds(asked: Ask) -> float:
    """Return the seconds that a person has to decide on what a check or a guardrail asks."""
    return EXPIRES if asked.expires is None else asked.expires


async def ask(run: Run, question: Question, tell: Callable[[], Awaitable[Data]] | None = None) -> Decision:
    """Return a person's decision on a question; record the question first where it is new.

    Args:
        run: The run that asks.
        question: What is asked.
        tell: Makes more of what the person needs to decide; called where the question is new.

    Raises:
        Waiting: Nobody has decided yet.
    """
    question = replace(question, attempt=_number(run, question))
    id, binding = question.id(run.id), question.binding(run.id)
    asked = run.asked(id)
    shared = run.shared(f"{question.path}/ask", question.attempt, question.kind)
    if asked is None and shared is not None:
        id, asked, binding = shared["id"], shared, shared.get("binding", binding)
    if asked is None:
        if tell is not None:
            question = replace(question, told=question.told | await tell())
        seconds = min(question.expires, run.deadline(question.task) or EXPIRES)
        until = timestamp(run.clock.now() + timedelta(seconds=seconds))
        data = {"id": id, "kind": question.kind, "question": question.text, **question.about, **question.told}
        data |= {"binding": binding, "expires": until}
        run.ask(
            data, f"{question.path}/ask", task=question.task, agent=question.agent, attempt=question.attempt
        )
        raise Waiting([id], until=until)
    if asked.get("binding", binding) != binding:
        return Decision(id, "another question has its id", "crewkit")
    decided = run.decision(id)
    if decided is None and timestamp(run.clock.now()) >= asked.get("expires", "~"):
        await run.expire(id, f"{question.path}/ask", task=question.task, agent=question.agent)
        decided = run.decision(id)
    if decided is None:
        raise Waiting([id], until=asked.get("expires", ""))
    return _decision(run, id, asked, decided)


def _number(run: Run, question: Question) -> int:
    """Return the number of a question at its place: those that were forgotten count."""
    forgotten = run.forgotten(question.path) if question.kind == "unknown" else 0
    return run.forgotten(f"{question.path}/ask") + question.attempt - forgotten


def _decision(run: Run, id: str, asked: Data, decided: Data) -> Decision:
    note, by = run.redactor.text(str(decided.get("note") or "")), str(decided.get("by") or "")
    if decided.get("decision") != "approve":
        return Decision(id, note, by)
    if decided["ts"] > asked.get("expires", "~"):
        return Decision(id, f"{by or 'somebody'} approved it too late", by)
    edited = decided.get("arguments")
    arguments = run.redactor.data(edited) if isinstance(edited, dict) else None
    return Decision(id, note, by, approved=True, arguments=arguments)
