"""Staying with a paused run until it can go on: somebody decided, an event came, the time is there."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from crewkit.core.clock import timestamp
from crewkit.crew.crew import Crew
from crewkit.crew.options import Options
from crewkit.crew.result import Result
from crewkit.errors import RunBusy
from crewkit.journal.base import Journal

POLL = 0.5
"""Seconds between two looks at a run that waits: one indexed query each."""


async def stay(crew: Crew, result: Result, options: Options) -> Result:
    """Carry a run on whenever it can go on, until it has an end; nothing of it is held meanwhile.

    Another process may carry it on as well: it is followed then. A run that a person paused waits for their resume.

    Args:
        crew: Whose run it is.
        result: How it stands.
        options: As it was begun with. Without `wait` the result is returned as it is.
    """
    from crewkit.runs.run import resume

    while options.wait and result.status == "paused":
        seq = await _due(result, options)
        try:
            result = await resume(crew, result.run_id, replace(options, wait=False))
        except RunBusy:
            from crewkit.runs.attach import attach

            result = await attach(crew, result.run_id, options, after=seq) or result
    return result


async def _due(result: Result, options: Options) -> int:
    """Wait until a run can go on, or another process has it; return the `seq` of its last event."""
    from crewkit.journal.open import open_journal

    journal = options.journal or await asyncio.to_thread(open_journal, None, options.environ)
    try:
        seen, until = 0, result.until
        while True:
            now = timestamp(options.clock.now())
            last = await asyncio.to_thread(journal.last, result.run_id)
            if (last != seen or (until and now >= until)) and await asyncio.to_thread(
                _can_go_on, journal, result.run_id, now
            ):
                return last
            seen = last
            await options.clock.sleep(POLL)
    finally:
        if options.journal is None:
            await asyncio.to_thread(journal.close)


def _can_go_on(journal: Journal, run: str, now: str) -> bool:
    info = journal.info(run)
    return info.status != "paused" or bool(info.wake and info.wake <= now)
