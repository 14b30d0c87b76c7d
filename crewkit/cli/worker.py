"""`crewkit worker`: a process that carries on what others hand over."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from crewkit.cli.common import STYLES, Span, examples, say_spans
from crewkit.cli.group import INTERRUPTED, OK
from crewkit.cli.text import count, duration, one_line
from crewkit.core.clock import timestamp

if TYPE_CHECKING:
    from crewkit.engine.worker import Said, Worker

_HEALTH = 60.0
"""Seconds between two reports of its health."""


@click.command(
    epilog=examples(
        "crewkit worker",
        "CREWKIT_JOURNAL=postgresql://crew@db/crew crewkit worker --concurrency 8",
        "crewkit worker --queue nightly --json",
        "crewkit worker --list",
    )
)
@click.option(
    "--concurrency", "-c", type=click.IntRange(min=1), default=4, show_default=True, help="At a time."
)
@click.option("--name", default="", help="How it is called in what it says; its host and pid if left out.")
@click.option(
    "--queue", default="", metavar="NAME", help="Whose runs; those begun in this folder if left out."
)
@click.option(
    "--grace",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    help="Seconds to finish what is in hand when told to stop.",
)
@click.option("--list", "listing", is_flag=True, help="List the workers on this PostgreSQL, and end.")
@click.option("--json", "as_json", is_flag=True, help="Say it as JSON, one object per line.")
def worker(*, concurrency: int, name: str, queue: str, grace: float, listing: bool, as_json: bool) -> int:
    """Carry on the runs that were handed over with `crewkit run --detach`, and paused ones that can go on.

    Any number of workers may be started, on PostgreSQL on any number of hosts. Each takes the runs of its folder
    (or of a queue), and loads their crews from there. Ctrl-C or SIGTERM once: take no more, finish what is
    in hand, leave the rest to others. Twice: leave at once.
    """
    if listing:
        return _list(as_json=as_json)
    sys.path[:0] = [] if os.getcwd() in sys.path else [os.getcwd()]
    name = name or f"{socket.gethostname()}:{os.getpid()}"
    tell = _as_json if as_json else _as_text
    with redirect_stdout(sys.stderr):
        return asyncio.run(_work(queue or str(Path.cwd()), concurrency, name, grace, partial(tell, name)))


async def _work(queue: str, concurrency: int, name: str, grace: float, tell: Callable[[Said], None]) -> int:
    from crewkit.engine.start import open_worker
    from crewkit.engine.worker import Said

    worker, engine, journal = await open_worker(queue, concurrency, tell, name)
    stops = _Stops(worker, lambda: tell(Said("stopping", why=f"{count(len(worker.in_hand), 'job')} in hand")))
    tell(
        Said("working", why=f"{concurrency} at a time, for {queue}, runs in {getattr(journal, 'where', '?')}")
    )
    reporting = asyncio.create_task(_report(worker, tell))
    try:
        with stops:
            await worker.work(grace)
    finally:
        reporting.cancel()
        await engine.close()
        await asyncio.to_thread(journal.close)
    tell(Said("stopped", why=f"{worker.health.done} done"))
    return INTERRUPTED if stops.by is signal.SIGINT else OK


def _list(*, as_json: bool) -> int:
    from crewkit.engine.start import list_workers

    workers = list_workers()
    if as_json:
        for each in workers:
            click.echo(json.dumps({**asdict(each), "alive": each.silent < _SILENT}, ensure_ascii=False))
        return OK
    for each in workers:
        alive = each.silent < _SILENT
        spans: list[Span] = [(each.name, "bold"), (f"  {each.in_hand} of {each.concurrency} in hand", "")]
        spans.append((f"  {each.done} done", ""))
        spans += [(f"  {each.gave_up} given up", "red")] if each.gave_up else []
        spans.append((f"  up {duration(each.up)}", "dim"))
        spans += [] if alive else [(f"  silent for {duration(each.silent)}", "red")]
        spans.append((f"  {each.queue}", "dim"))
        say_spans(spans)
    if not workers:
        click.echo("No workers. Start one: crewkit worker", err=True)
    return OK


async def _report(worker: Worker, tell: Callable[[Said], None]) -> None:
    from crewkit.engine.worker import Said

    while True:
        await asyncio.sleep(_HEALTH)
        health = worker.health.to_data(len(worker.in_hand))
        tell(
            Said(
                "health", why=", ".join(f"{value:g} {key.replace('_', ' ')}" for key, value in health.items())
            )
        )


_SILENT = 6.0
"""Seconds without a word after which a worker is not taken to be alive. They speak every two."""


class _Stops:
    """While it is entered, SIGINT and SIGTERM stop the worker in order; the second one ends the process."""

    def __init__(self, worker: Worker, told: Callable[[], None]) -> None:
        self.by: signal.Signals | None = None
        self._worker = worker
        self._told = told

    def __enter__(self) -> None:
        self._loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda got, _frame: self._handle(signal.Signals(got)))

    def __exit__(self, *_: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)

    def _handle(self, number: signal.Signals) -> None:
        if self.by is not None:
            os._exit(INTERRUPTED)
        self.by = number
        self._loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        self._told()
        self._worker.stop()


def _as_json(name: str, said: Said) -> None:
    now = timestamp(datetime.now(UTC))
    data = {"ts": now, "worker": name, "what": said.what, "run": said.job.run, "task": said.job.task}
    data |= {"crew": said.crew, "status": said.status, "why": said.why, "seconds": round(said.seconds, 3)}
    text = json.dumps(
        {key: value for key, value in data.items() if value not in ("", 0.0)}, ensure_ascii=False
    )
    click.echo(text.encode("utf-8", "backslashreplace"), file=sys.__stdout__)


def _as_text(name: str, said: Said) -> None:
    spans: list[Span] = [(f"{name}  ", "dim"), (f"{said.what:11} ", STYLES.get(said.status, "bold"))]
    if said.job.run:
        spans.append((said.job.name, "bold"))
        spans.append((f"  {said.crew}", ""))
    if said.status:
        spans.append((f"  {said.status}", STYLES.get(said.status, "")))
        spans.append((f" in {duration(said.seconds)}", "dim"))
    if said.why:
        spans.append((f"  {one_line(said.why, 300)}", ""))
    say_spans(spans, err=True)
