"""5. Growth: CPU per step late in a long task against early in it, and the memory of a long run.

`python growth.py TURNS` prints how many events such a run has, and the most memory that its process held, in MB.
"""

from __future__ import annotations

import sys
import time
from itertools import pairwise
from statistics import median

from measure import Row, client, home, peak_memory, say

from crewkit.core.messages import ToolCall
from crews import Says, asks, options, searcher

EARLY, FULL, LATE = 50, 200, 5000
SPANS = {EARLY: range(30, 70), FULL: range(200, 300), LATE: range(LATE - 100, LATE)}
"""The turns whose median stands for one; where the window of the conversation is full, two rounds of it."""
ROUNDS = 3


def rows() -> list[Row]:
    """Measure the CPU of steps within one task, and the memory of two processes."""
    rounds = [steps() for _ in range(ROUNDS)]
    cost = {at: median(each[at] for each in rounds) for at in SPANS}
    table = [_steps(cost, EARLY), _steps(cost, FULL)]
    few, many = client("growth", 125).said, client("growth", 1250).said
    large, small = many["mb"], few["mb"]
    each = (large - small) * 2**20 / (many["events"] - few["events"])
    table.append(
        Row(
            f"memory of a run of {many['events']:,} events, one task",
            f"{large:.0f} MB",
            f"of {few['events']:,} events {small:.0f} MB",
            f"{large / small:.2f} times, {each:.0f} bytes an event",
            "flat: 1.2 times at most",
            large <= 1.2 * small,
        )
    )
    return table


def _steps(cost: dict[int, float], early: int) -> Row:
    ratio = cost[LATE] / cost[early]
    return Row(
        f"CPU of step {LATE:,}, one task",
        f"{cost[LATE] * 1000:.2f} ms",
        f"of step {early} {cost[early] * 1000:.2f} ms",
        f"{ratio:.2f} times",
        "flat: 1.2 times at most",
        ratio <= 1.2,
    )


def steps() -> dict[int, float]:
    """Return seconds of CPU per step around three turns of one task."""
    marks: list[float] = []

    def answer(turn: int) -> str | ToolCall:
        marks.append(time.process_time())
        return asks(turn) if turn < LATE else "Done."

    with home() as folder:
        assert searcher(Says(answer)).run_sync(options=options(folder)).ok
    spent = [later - earlier for earlier, later in pairwise(marks)]
    return {at: median(spent[turn] for turn in span) for at, span in SPANS.items()}


def long_run(turns: int) -> dict[str, float]:
    """Run one task of so many turns; return its events, and the process's largest size in MB."""
    with home() as folder:
        settings = options(folder)
        model = Says(lambda turn: asks(turn) if turn < turns else "Done.")
        result = searcher(model).run_sync(options=settings)
        assert result.ok, result
        return {"events": settings.journal.last(result.run_id), "mb": peak_memory()}


if __name__ == "__main__":
    say(long_run(int(sys.argv[1])))
