"""Many runs of a 10-task crew over two and four workers: nothing lost, how fast, and what it costs.

python tests/bench/load.py [--runs 1000] [--workers 2 4]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from fleet import Fleet, fleet, wait

CREW = """
    from crewkit import Crew, Task, tool

    def work(name):
        @tool(name=name, effects="read")
        async def do() -> str:
            "Do it."
            return name
        return do

    first = Task("first", do=work("first"))
    wide = [Task(f"wide{i}", do=work(f"wide{i}"), needs=[first]) for i in range(8)]
    crew = Crew([first, *wide, Task("last", do=work("last"), needs=wide)], name="load")
"""
TASKS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description="Let workers carry many runs on.")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--workers", type=int, nargs="*", default=[2, 4])
    parser.add_argument("--concurrency", type=int, default=8)
    asked = parser.parse_args()
    found = [_measure(asked.runs, count, asked.concurrency) for count in asked.workers]
    print(json.dumps(found, indent=1))
    sys.exit(1 if any(each["lost"] for each in found) else 0)


def _measure(runs: int, count: int, concurrency: int) -> dict[str, Any]:
    with fleet(CREW) as workers:
        workers.start(count, "--concurrency", str(concurrency))
        alone = [_alone(workers) for _ in range(5)]
        before, began = cpu(workers), time.monotonic()
        workers.hand_over("crew.py", runs)
        handed = time.monotonic() - began
        wait(lambda: not workers.unfinished() or time.sleep(0.5), 3600)
        seconds = time.monotonic() - began
        after = cpu(workers)
        used = {name: after[name] - before[name] for name in after}
        return {
            "workers": count,
            "runs": runs,
            "seconds": round(seconds, 1),
            "handing_over": round(handed, 1),
            "tasks_a_second": round(runs * TASKS / seconds, 1),
            "load": round(os.getloadavg()[0], 1),
            **{
                f"cpu_ms_a_task_{name}": round(value * 1000 / runs / TASKS, 2) for name, value in used.items()
            },
            "run_alone": round(median(alone), 3),
            "run": _spread(workers, "SELECT started, updated FROM runs"),
            "task": _spread(
                workers,
                "SELECT a.ts, b.ts FROM events a JOIN events b USING (run, path)"
                " WHERE a.type = 'task.started' AND b.type = 'task.finished'",
            ),
            "events_a_run": workers.sql("SELECT count(*) FROM events")[0][0] / runs,
            "lost": _lost(workers, runs),
        }


def _alone(workers: Fleet) -> float:
    """Return the seconds that one run takes when there is nothing else to do."""
    (run,) = workers.hand_over("crew.py", 1)
    wait(lambda: not workers.unfinished() or time.sleep(0.1), 120)
    took = "extract(epoch FROM updated::timestamptz - started::timestamptz)::float"
    seconds = workers.sql(f"SELECT {took} FROM runs WHERE run = '{run}'")[0][0]
    for table in ("events", "leases", "runs"):
        workers.sql(f"DELETE FROM {table} WHERE run = '{run}'")
    return seconds


def _lost(workers: Fleet, runs: int) -> list[str]:
    """Say what is not as it should be: a run that did not complete, an outcome that is missing or there twice."""
    found: list[str] = []
    ((completed,),) = workers.sql("SELECT count(*) FROM runs WHERE status = 'completed'")
    if completed != runs:
        found.append(f"{completed} of {runs} runs completed")
    outcomes = workers.sql(
        "SELECT run, count(*), count(DISTINCT path) FROM events WHERE type = 'task.finished' GROUP BY run"
    )
    found += [
        f"{run}: {n} outcomes of {paths} tasks" for run, n, paths in outcomes if (n, paths) != (TASKS, TASKS)
    ]
    return found


def _spread(workers: Fleet, query: str) -> dict[str, float]:
    """Return median, 95th percentile and maximum of the seconds between two timestamps."""
    query = (
        f"SELECT extract(epoch FROM b::timestamptz - a::timestamptz)::float FROM ({query}) AS pairs (a, b)"
    )
    seconds = sorted(row[0] for row in workers.sql(query))
    cuts = quantiles(seconds, n=20) if len(seconds) > 1 else [seconds[0]] * 19
    return {"median": round(cuts[9], 3), "p95": round(cuts[18], 3), "most": round(seconds[-1], 3)}


def cpu(workers: Fleet) -> dict[str, float]:
    """Return the seconds of CPU that the workers and the database took so far."""
    alive = [process.pid for process in workers.alive.values()]
    server = workers.server.process
    assert server is not None
    children = [
        int(each.name)
        for each in Path("/proc").iterdir()
        if each.name.isdigit() and _stat(each)[1:2] == [server.pid]
    ]
    ended = _stat(Path(f"/proc/{server.pid}"))[3:4] or [0]
    return {
        "workers": sum(_seconds(pid) for pid in alive),
        "database": sum(_seconds(pid) for pid in [server.pid, *children])
        + ended[0] / os.sysconf("SC_CLK_TCK"),
    }


def _stat(process: Path) -> list[int]:
    """Return a process's id, parent, own ticks of CPU, and those of its children that ended."""
    try:
        fields = (process / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
    return [
        int(process.name),
        int(fields[1]),
        int(fields[11]) + int(fields[12]),
        int(fields[13]) + int(fields[14]),
    ]


def _seconds(pid: int) -> float:
    stat = _stat(Path(f"/proc/{pid}"))
    return stat[2] / os.sysconf("SC_CLK_TCK") if stat else 0.0


if __name__ == "__main__":
    main()
