"""4. Resume of a run of 1,000 model turns, all in one task, that broke in the last: seconds, and calls repeated."""

from __future__ import annotations

import asyncio
import time

from measure import Row, home

from crewkit.core.messages import ToolCall
from crewkit.errors import ModelError
from crews import Says, asks, options, searcher

TURNS = 1000


def rows() -> list[Row]:
    """Run a crew until it breaks, and carry it on."""
    turns: list[int] = []

    def say(turn: int) -> str | ToolCall:
        turns.append(turn)
        if turn < TURNS - 1:
            return asks(turn)
        if turns.count(turn) == 1:
            raise ModelError("It broke.")
        return "Done."

    crew = searcher(Says(say))
    with home() as folder:
        begun = time.monotonic()
        broken = crew.run_sync(options=options(folder))
        first = time.monotonic() - begun
        assert broken.status == "failed", broken
        begun = time.monotonic()
        result = asyncio.run(crew.resume(broken.run_id, options(folder)))
        again = time.monotonic() - begun
        assert result.ok, result
    repeated = len(turns) - len(set(turns)) - 1  # the last was asked for twice: it had no answer
    return [
        Row(
            f"resume of {TURNS:,} turns with {TURNS - 1} tool calls, broken in the last",
            f"{again:.2f} s",
            f"the run itself {first:.2f} s",
            f"{again / first:.2f} times",
        ),
        Row("calls repeated by it", str(repeated), "", "", "0", repeated == 0),
    ]
