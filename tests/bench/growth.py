"""5. Growth: CPU per step late in a long task against early in it, and the memory of a long run.

`python growth.py memory TURNS` prints the events of a run and the most memory that its process held, in bytes.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from time import process_time

from table import Row, ms, times
from work import counter, counting, options

FEW, MANY = 50, 5000
SPAN = 40
"""A step's cost is the median of this many around it."""
ROUNDS = 3


def cpu() -> dict[int, float]:
    """Return seconds of CPU per step around the early and the late turns of one task."""
    marks = [0.0] * (MANY + SPAN + 2)

    def mark(turn: int) -> None:
        marks[turn] = process_time()

    with options(counting(MANY + SPAN, mark)) as given:
        assert counter().run_sync(options=given).ok
    return {at: _around(marks, at) for at in (FEW, 4 * FEW, MANY)}


def _around(marks: list[float], at: int) -> float:
    return (marks[at + SPAN // 2] - marks[at - SPAN // 2]) / SPAN


def memory(turns: int) -> dict[str, int]:
    """Run one task of so many turns; return its events and the process's largest size, in bytes."""
    events = 0
    with options(counting(turns)) as given:
        result = counter().run_sync(options=given)
        journal = given.journal
        assert result.ok
        assert journal is not None
        events = journal.last(result.run_id)
    return {"events": events, "bytes": largest()}


def largest() -> int:
    """Return the most memory that this process held, in bytes. `ru_maxrss` would count its parent's too."""
    status = Path("/proc/self/status").read_text()
    (kilobytes,) = re.findall(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    return int(kilobytes) * 1024


def _memory_of(turns: int) -> dict[str, int]:
    command = [sys.executable, __file__, "memory", str(turns)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def rows() -> Iterator[Row]:
    measured = cpu()
    for early in (FEW, 4 * FEW):
        yield Row(
            f"CPU of step {MANY:,} against step {early}, one task",
            ms(measured[MANY]),
            ms(measured[early]),
            times(measured[MANY], measured[early]),
            "flat: 1.2 times at most" if early > FEW else "",
            measured[MANY] <= 1.2 * measured[early] if early > FEW else None,
        )
    pairs = [(_memory_of(1250), _memory_of(125)) for _ in range(ROUNDS)]
    large, small = (median(each["bytes"] for each in one) for one in zip(*pairs, strict=True))
    many, few = pairs[0][0]["events"], pairs[0][1]["events"]
    yield Row(
        f"memory of a run of {many:,} events against {few:,}",
        f"{large / 1e6:.0f} MB",
        f"{small / 1e6:.0f} MB",
        f"{times(large, small)}, {(large - small) / (many - few):.0f} bytes an event",
        "flat: 1.2 times at most",
        large <= 1.2 * small,
    )


if __name__ == "__main__":
    print(json.dumps(memory(int(sys.argv[2]))))
