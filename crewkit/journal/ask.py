"""Asking a person: a step that may take days."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from crewkit.core.messages import fingerprint
from crewkit.journal.run import Run, Waiting


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person said."""

    approved: bool
    note: str
    by: str


def approval_id(run: str, path: str, attempt: int = 1) -> str:
    """Return the id of the question asked at a path: short, and the same in every process."""
    return "a-" + fingerprint(run, path, str(attempt))[:8]


def ask(
    run: Run, path: str, kind: str, question: str, *, task: str, agent: str, attempt: int = 1, **data: Any
) -> Decision:
    """Return a person's decision on this question; record the question first where it is new.

    Args:
        run: The run that asks.
        path: The step that waits; the question is recorded at `{path}/ask`.
        kind: `tool` (may this call be made), `output` (is this result good), `unknown` (an effect that may have
            happened).
        question: One sentence, for the person.
        task: The task's path.
        agent: The agent's role.
        attempt: Counts questions at one path.
        **data: What the person needs to decide: `tool`, `arguments`, `output`, `reason`.

    Raises:
        Waiting: Nobody has decided yet.
    """
    id = approval_id(run.id, path, attempt)
    decided = run.decision(id)
    if decided is None:
        run.record(
            "approval.requested",
            f"{path}/ask",
            {"id": id, "kind": kind, "question": question, **data},
            task=task,
            agent=agent,
            attempt=attempt,
        )
        raise Waiting([id])
    note = run.redactor.text(str(decided.get("note") or ""))
    return Decision(decided["decision"] == "approve", note, str(decided.get("by") or ""))
