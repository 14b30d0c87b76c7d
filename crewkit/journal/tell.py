"""Telling a run something from outside: events it waits for, messages to its agents, to pause, to stop.

Everything here is appended as a signal with an id of its own: telling the same twice is telling it once.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from crewkit.core.clock import timestamp
from crewkit.core.events import Draft, Event
from crewkit.errors import InputError, did_you_mean
from crewkit.journal.base import Journal, Write
from crewkit.journal.read import beginning, ending
from crewkit.journal.redact import Redactor

Data = dict[str, Any]

LONGEST_DATA = 1_000_000
"""Characters of an event's data as JSON."""
LONGEST_TEXT = 20_000
"""Characters of a message."""

_OF_THE_RUN = ("run.started", "run.forked", "run.resumed", "run.paused", "run.finished")

OVER = ("completed", "denied", "cancelled")
"""Of runs that are never carried on."""


def signal(journal: Journal, run: str, kind: str, by: str, *, id: str = "", **data: Any) -> bool:
    """Append a signal; return whether it is new.

    Args:
        journal: Where the run is kept.
        run: Its id.
        kind: cancel, pause, event, message.
        by: Who says so.
        id: The same id is taken once. Empty: a fresh one.
        **data: What is said.
    """
    id = id or secrets.token_hex(8)
    draft = Draft("run.signal", data={"signal": kind, "id": id, "by": by, **data}, key=f"signal:{id}")
    return bool(journal.append([Write(run, [stamped(draft)], None, durable=True)])[0])


def tell_event(
    journal: Journal,
    run: str,
    name: str,
    data: Any,
    by: str,
    *,
    id: str = "",
    redactor: Redactor | None = None,
) -> bool:
    """Tell a run that something happened outside; return whether it is new.

    It is kept, also where nothing waits for it yet.

    Raises:
        InputError: The run is over, waits for no such event, or the data is not what it waits for.
    """
    begun = _open(journal, run)
    known: Data = begun.get("events") or {}
    if name not in known:
        events = f"It waits for: {', '.join(known)}." if known else "It waits for no events."
        raise InputError(f"Run {run} knows no event '{name}'.{did_you_mean(name, known)} {events}")
    _fits(name, data, known[name])
    data = redactor.data(data) if redactor else data
    return signal(journal, run, "event", by, id=id, event=name, data=data)


def tell_agents(
    journal: Journal, run: str, text: str, by: str, *, to: str = "", redactor: Redactor | None = None
) -> bool:
    """Leave a message for an agent of a run, or for all; return whether anybody is left who can read it.

    Raises:
        InputError: The run is over, or has no such agent.
    """
    begun = _open(journal, run)
    roles = [str(agent.get("role")) for agent in begun.get("agents") or ()]
    if to and to not in roles:
        raise InputError(
            f"Run {run} has no agent '{to}'.{did_you_mean(to, roles)} Agents: {', '.join(roles) or 'none'}."
        )
    if not text.strip() or len(text) > LONGEST_TEXT:
        raise InputError(f"A message has 1 to {LONGEST_TEXT:,} characters; this one has {len(text):,}.")
    signal(journal, run, "message", by, text=redactor.text(text) if redactor else text, to=to)
    return _listening(begun, journal.events(run, types=("task.finished",)), to)


def stamped(draft: Draft) -> Draft:
    """Return a draft with the time and the process that makes it."""
    from dataclasses import replace

    return replace(
        draft,
        ts=timestamp(datetime.now(UTC)),
        t=round(time.monotonic(), 6),
        seg=draft.seg or f"cli-{os.getpid()}",
    )


def _open(journal: Journal, run: str) -> Data:
    """Return what a run's beginning says; refuse one that is over."""
    events = list(journal.events(run, types=_OF_THE_RUN))
    begun = beginning(events)
    if not begun:
        raise InputError(f"Run {run} has no beginning in the journal: nobody would hear of it.")
    status = ending(events).status
    if status in OVER:
        raise InputError(f"Run {run} is over: it is {status}. Read it: crewkit show {run}")
    return begun


def _fits(name: str, data: Any, schema: Data | None) -> None:
    import json

    from crewkit.core.validator import validator

    if len(json.dumps(data)) > LONGEST_DATA:
        raise InputError(f"The data of event '{name}' is longer than {LONGEST_DATA:,} characters.")
    if schema is None:
        return
    errors: Any = sorted(validator(schema).iter_errors(data), key=lambda error: list(map(str, error.path)))
    if errors:
        first = errors[0]
        where = ".".join(map(str, first.path))
        raise InputError(
            f"The data of event '{name}' is not what the run waits for: {f'{where}: ' if where else ''}"
            f"{first.message[:500]}. Its schema: {json.dumps(schema, ensure_ascii=False)[:2000]}"
        )


def _listening(begun: Data, finished: Iterable[Event], to: str) -> bool:
    """Say whether an agent may still have something to do: its tasks, a crew in a task, a question to it."""
    done = {event.path for event in finished if event.data.get("final")}
    left = [task for task in begun.get("tasks") or () if task.get("name") not in done]
    return any(
        task.get("kind") == "crew" or (task.get("kind") == "agent" and to in ("", task.get("agent")))
        for task in left
    )
