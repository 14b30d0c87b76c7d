"""A run of a crew in another process's hands: followed to its end, and told as if it had been ours."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

from crewkit.core.events import Event
from crewkit.crew.crew import Crew
from crewkit.crew.options import Options
from crewkit.crew.result import Report, Result
from crewkit.journal.base import Journal
from crewkit.journal.follow import follow
from crewkit.journal.forget import standing
from crewkit.journal.read import ending, pending, totals
from crewkit.runs.conclude import recalled

Data = dict[str, Any]


async def attach(crew: Crew, run: str, options: Options, *, after: int = 0) -> Result | None:
    """Follow a run that another process carries on; return its result, or `None` where that process died.

    Args:
        crew: Whose run it is.
        run: Its id.
        options: `journal` is where it is kept, `listener` is called with its events.
        after: The `seq` after which the listener has not heard of it yet.

    Raises:
        JournalError: The journal cannot be read any more.
    """
    from crewkit.journal.open import open_journal

    journal = options.journal or await asyncio.to_thread(open_journal, None, options.environ)
    try:
        events = follow(journal, run, after=after)
        while news := await asyncio.to_thread(_next, events):
            if news[0] is not None and options.listener:
                options.listener(news[0])
        return await asyncio.to_thread(_told, crew, journal, run)
    finally:
        if options.journal is None:
            await asyncio.to_thread(journal.close)


def _next(events: Iterator[Event | None]) -> tuple[Event | None] | None:
    return next(((event,) for event in events), None)


def _told(crew: Crew, journal: Journal, run: str) -> Result | None:
    events = list(journal.events(run))
    last = events[-1].data
    match ending(events).status:
        case "running":
            return None
        case "paused":
            return _paused(crew, run, events, last)
        case _:
            return recalled(crew, run, _finished(events), last)


def _finished(events: Sequence[Event]) -> dict[str, Data]:
    counted = standing(events).events
    return {e.path: e.data for e in counted if e.type == "task.finished" and e.data.get("final")}


def _paused(crew: Crew, run: str, events: Sequence[Event], last: Data) -> Result:
    waiting = {question.task.partition("/")[0]: "A person must decide." for question in pending(events)}
    why = str(last.get("why") or "") or ("A person must decide." if waiting else "It was interrupted.")
    report = Report(tuple(name for name in crew.plan.jobs if name in _finished(events)), waiting=waiting)
    used = totals(events)
    usage = {"tokens": used.tokens, "usd": used.usd, "steps": used.steps, "seconds": round(used.seconds, 3)}
    approvals, waits = tuple(last.get("approvals") or ()), tuple(last.get("waits") or ())
    until = str(last.get("until") or "")
    return Result(run, "paused", why, report, {}, crew.plan.final, usage, approvals, waits, until)
