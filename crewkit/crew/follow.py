"""A run of a crew in another process's hands: followed to its end, and told as if it had been ours."""

from __future__ import annotations

import asyncio
from typing import cast, get_args

from crewkit.core.events import Event
from crewkit.crew.crew import Crew
from crewkit.crew.options import Options
from crewkit.crew.result import Report, Result, Status
from crewkit.journal.base import Journal
from crewkit.journal.follow import follow
from crewkit.journal.read import ending


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
        while True:
            more, event = await asyncio.to_thread(_next, events)
            if not more:
                return await asyncio.to_thread(_told, crew, journal, run)
            if event is not None and options.listener:
                options.listener(event)
    finally:
        if options.journal is None:
            await asyncio.to_thread(journal.close)


def _next(events: object) -> tuple[bool, Event | None]:
    for event in events:  # pyright: ignore
        return True, event
    return False, None


def _told(crew: Crew, journal: Journal, run: str) -> Result | None:
    """Return what a run came to; `None` where it has not ended."""
    events = list(journal.events(run))
    end = ending(events)
    if end.status not in get_args(Status):
        return None
    last = events[-1].data
    usage = last.get("usage") or {"seconds": last.get("seconds", 0), **_used(events)}
    report = Report(
        tuple(end.completed),
        {each["task"]: each["error"] for each in end.failed},
        {each["task"]: each["why"] for each in end.skipped},
    )
    return Result(
        run,
        cast("Status", end.status),
        end.why,
        report,
        _outputs(crew, events),
        crew.plan.final,
        usage,
        tuple(last.get("approvals") or ()),
    )
