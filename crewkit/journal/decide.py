"""What people decide about runs, from outside: from the command line, from the page.

Decisions are appended under a key of the question's, so that the first one counts, whoever makes it where.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from crewkit.core.clock import timestamp
from crewkit.core.events import Draft, Event
from crewkit.errors import InputError, did_you_mean
from crewkit.journal.base import Journal, Write
from crewkit.journal.edit import check_edit
from crewkit.journal.read import Pending, pending
from crewkit.journal.tell import stamped

_ENDED = ("completed", "failed", "denied", "cancelled")

_TELLING = (
    "approval.requested",
    "approval.decided",
    "run.started",
    "run.forked",
    "run.resumed",
    "run.paused",
    "run.finished",
)
"""Types of events that tell what waits for a person."""


def unfinished(journal: Journal) -> list[str]:
    """Return the runs in which somebody may be asked something."""
    return [info.run for info in journal.runs() if info.status not in _ENDED]


def questions(journal: Journal, run: str) -> list[Pending]:
    """Return the questions of a run that wait for a person, the oldest first."""
    return pending(journal.events(run, types=_TELLING))


def find_question(journal: Journal, runs: Sequence[str], id: str) -> Pending:
    """Return the open question that an id, or the beginning of one, means.

    Args:
        journal: Where the runs are kept.
        runs: Where to look for it.
        id: Its id, or the beginning of it.

    Raises:
        InputError: None or more than one; or somebody has decided it: the message says who, when and how.
    """
    waiting = [question for name in runs for question in questions(journal, name)]
    found = [q for q in waiting if q.id == id] or [q for q in waiting if id and q.id.startswith(id)]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"'{id}' may mean {', '.join(q.id for q in found[:8])}: say which.")
    for info in journal.runs():
        if first := _decided(journal, info.run, id):
            raise InputError(_already(first))
    near = did_you_mean(id, [question.id for question in waiting])
    raise InputError(f"No open question has the id '{id}'.{near} All that are open: crewkit approvals")


def decide(
    journal: Journal,
    question: Pending,
    decision: str,
    note: str,
    *,
    by: str = "",
    arguments: Mapping[str, Any] | None = None,
) -> None:
    """Append a person's decision.

    Args:
        journal: Where the run is kept.
        question: What was asked.
        decision: `approve` or `deny`.
        note: Something to go with it; the agent reads it.
        by: Who decides; left out, the user of this process.
        arguments: With `approve`: all arguments of the call as they should be, in the place of those asked about. The
            run checks them as it checks any call's, and asks again where they do not pass.

    Raises:
        InputError: Somebody was faster (the message says who, when and how), it is too late, or the arguments cannot
            be the tool's.
    """
    if decision not in ("approve", "deny"):
        raise InputError(f"A decision is 'approve' or 'deny', not '{decision}'.")
    if question.expires and timestamp(datetime.now(UTC)) > question.expires:
        raise InputError(f"{question.id} expired at {question.expires[:19]}Z: it counts as denied.")
    data: dict[str, Any] = {"id": question.id, "decision": decision, "note": note, "by": by or who()}
    if arguments is not None:
        check_edit(question, arguments)
        data["arguments"] = dict(arguments)
    key = f"decided:{question.id}"
    draft = stamped(Draft("approval.decided", question.path, data, question.task, question.agent, key=key))
    [appended] = journal.append([Write(question.run, [draft], None, durable=True)])
    if not appended and (first := _decided(journal, question.run, question.id)):
        raise InputError(_already(first))


def who() -> str:
    """Return the user's name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def _decided(journal: Journal, run: str, id: str) -> Event | None:
    events = journal.events(run, types=("approval.decided",))
    return next((event for event in events if id and str(event.data.get("id")).startswith(id)), None)


def _already(first: Event) -> str:
    data = first.data
    verb = "approved" if data.get("decision") == "approve" else "denied"
    note = f" ({data['note']})" if data.get("note") else ""
    return (
        f"{data.get('id')} was {verb} by {data.get('by') or 'someone'} at {first.ts[:19]}Z{note}; "
        f"the first answer counts. Go on with the run: crewkit resume {first.run}"
    )
