"""What keeping a step costs, on SQLite and PostgreSQL, beside LangGraph's SQLite checkpointer and DBOS.

The others come from an environment of their own; `BENCH_PEERS` names its python, otherwise uv makes one.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PEERS = ("langgraph==1.2.24", "langgraph-checkpoint-sqlite==3.1.2", "dbos==3.4.0", "psycopg[binary]==3.3.9")
STEPS = 200
ROUNDS = 3
TEXT = "High water at the mole comes twice a day, about fifty minutes later each day. " * 3

# Clients: each prints the milliseconds that a step took, whose doing takes no time.


def crewkit(where: str) -> float:
    """Do paid steps in a row: intent before, result after, synced before anything follows from it."""
    from crewkit.journal.postgres import PostgresJournal
    from crewkit.journal.run import Run
    from crewkit.journal.sqlite import SqliteJournal
    from crewkit.journal.writer import Writer

    async def steps() -> float:
        journal = PostgresJournal(where) if "://" in where else SqliteJournal(Path(where) / "crewkit.db")
        writer = Writer(journal)
        run = Run(writer, journal.begin("r-bench", "bench", "s-1"))
        run.record("run.started", data={"crew": "bench"})
        await run.commit(durable=True)

        async def do(number: int) -> None:
            async def answer(_attempt: int) -> dict[str, Any]:
                return {"number": number, "text": TEXT}

            intent = {"model": "any", "fingerprint": f"{number}"}
            await run.step(f"task/{number}/model", "model", intent, answer, task="task", costly=True)

        for number in range(10):
            await do(number)
        began = time.perf_counter()
        for number in range(10, 10 + STEPS):
            await do(number)
        took = time.perf_counter() - began
        writer.close()
        journal.close()
        return took

    return asyncio.run(steps())


def langgraph(where: str) -> float:
    """Go round in a graph of one node; every checkpoint is kept before the next step (`durability="sync"`)."""
    from langgraph.checkpoint.sqlite import SqliteSaver
    from langgraph.graph import END, START, StateGraph
    from typing_extensions import TypedDict

    class State(TypedDict):
        number: int
        text: str
        upto: int

    graph = StateGraph(State)
    graph.add_node("step", lambda state: {"number": state["number"] + 1, "text": TEXT})
    graph.add_edge(START, "step")
    graph.add_conditional_edges("step", lambda state: END if state["number"] >= state["upto"] else "step")
    with SqliteSaver.from_conn_string(f"{where}/langgraph.db") as saver:
        app = graph.compile(checkpointer=saver)

        def go(thread: str, upto: int) -> float:
            config = {"configurable": {"thread_id": thread}, "recursion_limit": upto + 10}
            began = time.perf_counter()
            app.invoke({"number": 0, "text": "", "upto": upto}, config, durability="sync")
            return time.perf_counter() - began

        go("warm", 10)
        return go("bench", STEPS)


def dbos(where: str) -> float:
    """Do steps in a row in a workflow."""
    from dbos import DBOS

    url = where if "://" in where else f"sqlite:///{where}/dbos.db"
    DBOS(config={"name": "bench", "system_database_url": url, "log_level": "ERROR"})

    @DBOS.step()
    def step(number: int) -> dict[str, Any]:
        return {"number": number, "text": TEXT}

    @DBOS.workflow()
    def flow(upto: int) -> float:
        began = time.perf_counter()
        for number in range(upto):
            step(number)
        return time.perf_counter() - began

    DBOS.launch()
    try:
        flow(10)
        return flow(STEPS)
    finally:
        DBOS.destroy()


CLIENTS: dict[str, Callable[[str], float]] = {"crewkit": crewkit, "langgraph": langgraph, "dbos": dbos}


def rows() -> list[Any]:
    """Measure all of them in turn, on one disk and one server."""
    from measure import Row, home, interleaved, medians, run

    from crewkit.testing.postgres import PostgresServer

    peers = [os.environ["BENCH_PEERS"]] if "BENCH_PEERS" in os.environ else _uv()

    def side(name: str, url: Callable[[], Any] | None = None) -> Callable[[], float]:
        def measure() -> float:
            with url() if url else home() as where:
                python = [sys.executable] if name == "crewkit" else peers
                return run([*python, __file__, name, str(where)]).said * 1000 / STEPS

        return measure

    with PostgresServer(fsync=True) as server:
        sides = {
            "crewkit": side("crewkit"),
            "langgraph": side("langgraph"),
            "dbos": side("dbos"),
            "crewkit on PostgreSQL": side("crewkit", server.database),
            "dbos on PostgreSQL": side("dbos", server.database),
        }
        took = medians(interleaved(sides, ROUNDS))
    ours, pg = took["crewkit"], took["crewkit on PostgreSQL"]

    def row(what: str, mine: float, name: str, goal: str, most: float) -> Row:
        theirs = took[name]
        compared = f"{mine / theirs:.2f} times"
        return Row(what, f"{mine:.2f} ms", f"{name} {theirs:.2f} ms", compared, goal, mine / theirs <= most)

    return [
        row("journal per step, SQLite", ours, "langgraph", "a tenth at most", 0.1),
        row("", ours, "dbos", "a tenth at most", 0.1),
        row("journal per step, PostgreSQL", pg, "dbos on PostgreSQL", "no more", 1.0),
    ]


def _uv() -> list[str]:
    return [
        "uv",
        "run",
        "-q",
        "--no-project",
        "--python",
        "3.11",
        *(w for p in PEERS for w in ("--with", p)),
        "python",
    ]


if __name__ == "__main__":
    from json import dumps

    if "-v" not in sys.argv:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    print(dumps(CLIENTS[sys.argv[1]](sys.argv[2])))
    sys.stdout.flush()
    os._exit(0)
