"""4. Resume of a run of 1,000 model turns in one task that broke in the last."""

import asyncio
import time
from collections.abc import Iterator

from table import Row, times
from work import counter, counting, options

from crewkit.errors import ModelError

TURNS = 1000


class Calls:
    """Which turns the model was asked for; the last breaks, once."""

    def __init__(self) -> None:
        self.turns: list[int] = []
        self.broken = False

    def __call__(self, turn: int) -> None:
        self.turns.append(turn)
        if turn == TURNS and not self.broken:
            self.broken = True
            raise ModelError("It broke.")


def rows() -> Iterator[Row]:
    crew, calls = counter(), Calls()
    with options(counting(TURNS - 1, calls)) as given:
        begun = time.monotonic()
        broken = crew.run_sync(options=given)
        first = time.monotonic() - begun
        assert broken.status == "failed"
        begun = time.monotonic()
        assert asyncio.run(crew.resume(broken.run_id, given)).ok
        again = time.monotonic() - begun
    repeated = len(calls.turns) - 1 - TURNS
    yield Row(
        f"resume of {TURNS:,} turns with {TURNS - 1} tool calls, broken in the last",
        f"{again:.2f} s",
        f"the run itself {first:.2f} s",
        times(again, first),
    )
    yield Row("calls repeated by it", f"{repeated}", "", "", "0", repeated == 0)
