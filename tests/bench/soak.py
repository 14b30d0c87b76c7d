"""Workers are killed and stopped at random; all runs finish, each with one outcome, and no effect is doubled.

python tests/bench/soak.py [--seconds 600] [--workers 3] [--seed 1]

What the tools wrote down themselves is compared with the journal by plain SQL. The script is the person who is asked
where nobody knows whether an effect happened: it looks into the tools' log and answers.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import time
from collections import Counter
from statistics import median
from typing import Any

from fleet import Fleet, fleet, wait

from crewkit.journal.decide import decide, questions
from crewkit.journal.postgres import PostgresJournal

CREW = """
    import os, random, time
    from crewkit import Crew, Task, ToolContext, tool

    def write(log, *words):
        line = " ".join(map(str, words)) + "\\n"
        file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, line.encode())
        os.close(file)

    @tool(effects="read")
    def read(context: ToolContext) -> str:
        "Read."
        time.sleep(random.uniform(0, 0.3))
        write("reads", context.run_id, context.task)
        return context.task

    @tool(effects=["write"])
    def pay(context: ToolContext) -> str:
        "Pay."
        time.sleep(random.uniform(0, 0.2))
        write("effects", context.run_id, context.task)
        time.sleep(random.uniform(0, 0.2))
        return context.task

    first = [Task(f"read{i}", do=read) for i in range(4)]
    paid = [Task(f"pay{i}", do=pay, needs=[first[i]], on_failure="continue") for i in range(4)]
    sub = Crew([Task("inside", do=read), Task("spend", do=pay, on_failure="continue")], name="sub")
    crew = Crew([*first, *paid, Task("sub", do=sub), Task("last", do=read, needs=[*paid])], name="soak")
"""
TASKS = 12
AT_ONCE = 12
"""Runs under way at a time."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Kill workers at random, and see what becomes of the runs.")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with fleet(CREW) as workers:
        found = soak(workers, asked.seconds, asked.workers, random.Random(asked.seed))
    print(json.dumps(found, indent=1))
    sys.exit(1 if found["wrong"] else 0)


def soak(workers: Fleet, seconds: float, count: int, chance: random.Random) -> dict[str, Any]:
    """Let workers work and die for so many seconds, and return what came of it."""
    workers.start(count)
    runs: list[str] = []
    killed: list[tuple[str, float]] = []
    stopped: dict[str, float] = {}
    stops, woken = 0, 0.0
    end, strike = time.monotonic() + seconds, time.monotonic() + 2
    first = ["kill walker", "stop", "kill"]
    while first or time.monotonic() < end:
        if (room := AT_ONCE - (workers.unfinished() if runs else 0)) > 0:
            runs += workers.hand_over("crew.py", room)
        now = time.monotonic()
        for name in [name for name, until in stopped.items() if now > until]:
            del stopped[name]
            workers.signal(name, signal.SIGCONT)
            woken = now
        if not stopped and now > woken + 2:  # who is stopped may be about to do what is asked about
            _answer(workers)
        running = [name for name in workers.alive if name not in stopped]
        if now > strike and len(running) > 1:
            how = first.pop(0) if first else "kill" if chance.random() < 0.7 else "stop"
            victim = chance.choice(running)
            if how == "kill walker":
                victim = next((name for name in running if workers.walks(name)), victim)
            if how == "stop":
                stops += 1
                workers.signal(victim, signal.SIGSTOP)
                stopped[victim] = now + chance.uniform(1, 8)
            else:
                killed.append((victim, time.time()))
                workers.signal(victim, signal.SIGKILL)
                workers.start()
            strike = now + chance.uniform(1, 5)
        time.sleep(0.2)
    for name in stopped:
        workers.signal(name, signal.SIGCONT)
    time.sleep(2)
    wait(lambda: _answer(workers) or not workers.unfinished(), 180 + seconds)
    takeovers = sorted(workers.takeovers(killed))
    return {
        "runs": len(runs),
        "killed": len(killed),
        "stopped": stops,
        "asked": workers.sql("SELECT count(*) FROM events WHERE type = 'approval.requested'")[0][0],
        "takeovers": len(takeovers),
        "takeover_median": round(median(takeovers), 2) if takeovers else None,
        "takeover_most": round(takeovers[-1], 2) if takeovers else None,
        "statuses": dict(workers.sql("SELECT status, count(*) FROM runs GROUP BY status")),
        "wrong": wrong(workers, runs),
    }


def _answer(workers: Fleet) -> bool:
    """Say of each effect that nobody knows about whether it happened: the tools' log tells."""
    paused = [run for (run,) in workers.sql("SELECT run FROM runs WHERE status = 'paused'")]
    if not paused:
        return False
    happened = log(workers, "effects")
    with PostgresJournal(workers.url) as journal:
        for run in paused:
            for pending in questions(journal, run):
                done = happened[run, pending.task] > 0
                decide(journal, pending, "deny" if done else "approve", "", by="the soak")
    return False


def log(workers: Fleet, name: str) -> Counter[tuple[str, str]]:
    """Return how often the tools say that they did something, by run and task."""
    file = workers.folder / name
    lines = file.read_text().splitlines() if file.exists() else []
    return Counter((run, task) for run, task in map(str.split, lines))


def wrong(workers: Fleet, runs: list[str]) -> list[str]:
    """Compare what the tools wrote down with the journal, and say what does not agree."""
    found: list[str] = []
    known = {run for (run,) in workers.sql("SELECT run FROM runs WHERE status = 'completed'")}
    found += [f"{run} is lost or did not complete" for run in runs if run not in known]
    ends = workers.sql(
        "SELECT run, count(*) FROM events WHERE type = 'run.finished' GROUP BY run HAVING count(*) <> 1"
    )
    found += [f"{run} ended {count} times" for run, count in ends]
    twice = workers.sql(
        "SELECT run, path, count(*) FROM events WHERE type = 'task.finished' GROUP BY run, path HAVING count(*) <> 1"
    )
    found += [f"{run} {path} has {count} outcomes" for run, path, count in twice]
    tasks = workers.sql("SELECT run, count(*) FROM events WHERE type = 'task.finished' GROUP BY run")
    found += [f"{run} has {count} outcomes of {TASKS}" for run, count in tasks if count != TASKS]
    effects = log(workers, "effects")
    found += [f"{run} {task} was paid {times} times" for (run, task), times in effects.items() if times > 1]
    paid = workers.sql(
        "SELECT run, task FROM events WHERE type = 'task.finished' AND data::json ->> 'status' = 'completed'"
        " AND (path LIKE 'pay%' OR path LIKE '%spend')"
    )
    found += [f"{run} {task} is said to be paid and is not" for run, task in paid if not effects[run, task]]
    asked = set(workers.sql("SELECT run, task FROM events WHERE type = 'approval.requested'"))
    silent = sorted(set(effects) - set(paid) - asked)
    found += [f"{run} {task} was paid and nobody was told" for run, task in silent]
    return found


if __name__ == "__main__":
    main()
