"""From a crew to a run: open the journal, walk the graph, carry on where an earlier process stopped."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from crewkit.agents.output import as_json
from crewkit.core.clock import Clock, timestamp
from crewkit.core.events import Event
from crewkit.core.limits import Limits
from crewkit.core.messages import fingerprint
from crewkit.crew.conclude import conclude, recalled
from crewkit.crew.crew import Crew
from crewkit.crew.memory import LazyMemory, check_knowledge, run_memory
from crewkit.crew.options import Options
from crewkit.crew.prepare import beginning, check_inputs, model_specs, pinned, resolve_models
from crewkit.crew.result import Result
from crewkit.crew.session import Session, spent_before
from crewkit.crew.walk import Walk
from crewkit.errors import (
    CrewkitError,
    InputError,
    LimitExceeded,
    ReplayError,
    RunError,
)
from crewkit.journal.base import Journal, Lease
from crewkit.journal.redact import Redactor
from crewkit.journal.run import Run, new_run_id
from crewkit.journal.writer import Writer
from crewkit.models.base import Model
from crewkit.models.route import RECOVERY, Health

Data = dict[str, Any]

_LATELY = 20
"""Runs, the newest, in which failing models are looked for."""


async def start(crew: Crew, inputs: Mapping[str, Any], options: Options | None = None) -> Result:
    """Begin a run of a crew and carry it on; see `Crew.run`."""
    options = options or Options()
    given = check_inputs(crew, inputs)
    check_knowledge(crew)
    specs = model_specs(crew, options)
    health = Health(options.clock)
    models = resolve_models(crew, specs, options, health)
    async with _Opened(options) as opened:
        id = options.run_id or new_run_id()
        lease = await opened.call(opened.journal.begin, id, crew.name, _segment())
        run = opened.run(lease, ())
        kept = run.redactor.data({name: as_json(value, f"Input '{name}'") for name, value in given.items()})
        given = check_inputs(crew, kept)  # as a resumed run reads them
        await opened.call(_learn, crew, opened.journal, health, options.clock)
        run.record("run.started", data=beginning(crew, kept, specs, models, options), key="started")
        return await _carry_on(crew, run, given, models, opened, options, ())


async def resume(crew: Crew, name: str, options: Options | None = None) -> Result:
    """Carry a run on from where its journal stands; see `Crew.resume`."""
    options = options or Options()
    async with _Opened(options) as opened:
        id = await opened.call(opened.journal.find, name)
        lease = await opened.call(opened.journal.take, id, _segment())
        history = await opened.call(lambda: list(opened.journal.events(id)))
        _refuse_damaged(id, history)
        begun = next((event.data for event in history if event.type == "run.started"), None)
        if begun is None:
            raise InputError(f"Run {id} has no beginning in the journal, so it cannot be carried on.")
        if begun["crew"] != crew.name:
            raise InputError(f"Run {id} is a run of '{begun['crew']}', not of '{crew.name}'.")
        given = check_inputs(crew, begun["inputs"])
        run = opened.run(lease, history)
        ended = _ending(history)
        if ended is not None and ended["status"] == "completed":
            return recalled(crew, run, ended)
        if ended is not None and ended["status"] == "cancelled":
            raise InputError(f"Run {id} was cancelled for good: {ended['why']} Start a new run.")
        cancel = next(
            (e.data for e in history if e.type == "run.signal" and e.data["signal"] == "cancel"), None
        )
        if cancel is not None:
            by = cancel.get("by") or "somebody"
            raise InputError(
                f"Run {id} was cancelled by {by}, and died before it heard of it. Start a new run."
            )
        options = replace(options, limits=options.limits.over(_capped(history)))
        changed = _changed(crew, run, begun)
        specs = model_specs(crew, options)
        specs = specs if options.model else pinned(specs, begun["models"])
        health = Health(options.clock)
        models = resolve_models(crew, specs, options, health)
        await opened.call(_learn, crew, opened.journal, health, options.clock)
        data = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "changed": changed,
            "limits": options.limits.caps(),
        }
        run.record("run.resumed", data=data)
        return await _carry_on(crew, run, given, models, opened, options, history)


async def stream(
    crew: Crew, inputs: Mapping[str, Any], options: Options | None = None
) -> AsyncIterator[Event]:
    """Run a crew and yield its events; see `Crew.stream`."""
    options = options or Options()
    queue: asyncio.Queue[Event | None] = asyncio.Queue()

    def listen(event: Event) -> None:
        if options.listener:
            options.listener(event)
        queue.put_nowait(event)

    running = asyncio.create_task(start(crew, inputs, replace(options, listener=listen)))
    running.add_done_callback(lambda _: queue.put_nowait(None))
    try:
        while (event := await queue.get()) is not None:
            yield event
        await running
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


def _learn(crew: Crew, journal: Journal, health: Health, clock: Clock) -> None:
    """Take in which routes failed lately, in any run. Nothing is read where no model table chooses."""
    if crew.routed:
        since = timestamp(clock.now() - timedelta(seconds=RECOVERY))
        for info in reversed([info for info in journal.runs()[:_LATELY] if info.updated >= since]):
            health.learn(journal.events(info.run, types=("retry.scheduled", "model.finished")))


def _segment() -> str:
    return "s-" + fingerprint(new_run_id(), str(os.getpid()))[:8]


# Carrying on


@dataclass
class _Opened:
    """The journal and the memory of one turn at a run, closed at its end."""

    options: Options

    async def __aenter__(self) -> _Opened:
        from crewkit.journal.open import open_journal
        from crewkit.journal.sqlite import journal_home

        environ = self.options.environ
        self.mine = self.options.journal is None
        self.journal: Journal = self.options.journal or await asyncio.to_thread(open_journal, None, environ)
        home = getattr(self.journal, "path", None)
        folder = (Path(home).parent if home else journal_home(None, environ)) / "memory"
        self.memory = LazyMemory(self.options.memory, folder, environ)
        self.writer = Writer(self.journal)
        self.lease: Lease | None = None
        return self

    async def __aexit__(self, *_: object) -> None:
        closing = asyncio.ensure_future(self._close())
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError:
            await closing  # a lease that is not given back would hold the run up
            raise

    async def _close(self) -> None:
        try:
            await self.memory.close()
        finally:
            await asyncio.to_thread(self._release)

    def _release(self) -> None:
        self.writer.close()
        if self.lease is not None:
            self.journal.release(self.lease)
        if self.mine:
            self.journal.close()

    async def call(self, fn: Callable[..., Any], *args: Any) -> Any:
        """Call the journal in the writer's thread."""
        return await asyncio.wrap_future(self.writer.call(self._kept, fn, *args))

    def _kept(self, fn: Callable[..., Any], *args: Any) -> Any:
        """Keep a lease where it is taken: who asked for it may be cancelled by now."""
        result = fn(*args)
        if isinstance(result, Lease):
            self.lease = result
        return result

    def run(self, lease: Lease, history: Sequence[Event]) -> Run:
        """Open the run for appending."""
        redactor = Redactor.from_environ(self.options.environ)
        run = Run(self.writer, lease, redactor=redactor, clock=self.options.clock, history=history)
        if self.options.listener:
            run.listeners.append(self.options.listener)
        return run


async def _carry_on(
    crew: Crew,
    run: Run,
    inputs: Data,
    models: Mapping[str, Model],
    opened: _Opened,
    options: Options,
    history: Sequence[Event],
) -> Result:
    begun = run.clock.monotonic()
    memory = run_memory(crew, run, opened.memory, inputs, history)
    session = Session(run, options, models, memory, inputs, spent_before(history))
    walk = Walk(session, crew, inputs, limits=options.limits.over(crew.limits))
    before = active_seconds(history)
    timer = _deadline(session, walk, before)
    watching = asyncio.create_task(_watch(session))
    try:
        await run.commit(durable=True)  # the run has begun, whatever follows
        await memory.learn()
        outcomes = await walk.through()
    except asyncio.CancelledError:
        run.record("run.paused", data={"reason": "interrupted", "seconds": run.clock.monotonic() - begun})
        await asyncio.shield(run.commit(durable=True))
        raise
    except CrewkitError as error:
        _name(error, run.id)
        raise
    finally:
        timer.cancel()
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
    used = walk.meter.used() | {"seconds": round(before + run.clock.monotonic() - begun, 3)}
    return await conclude(crew, run, walk, session, outcomes, used)


def _deadline(session: Session, walk: Walk, before: float) -> asyncio.TimerHandle:
    cap = walk.limits.cap("seconds")
    left = 1e9 if cap is None else max(cap - before, 0)

    def reached() -> None:
        session.limit = LimitExceeded(
            f"{walk.meter.level}: {cap:g} of {cap:g} seconds used.", limit="seconds", level=walk.meter.level
        )
        session.halt(str(session.limit))

    return asyncio.get_running_loop().call_later(left, reached)


async def _watch(session: Session) -> None:
    """Act on what other processes decide while the run goes on."""
    run = session.run
    watching = asyncio.create_task(run.watch())
    try:
        while True:
            await run.arrived.wait()
            run.arrived.clear()
            cancels = [signal for signal in run.signals if signal.get("signal") == "cancel"]
            if cancels:
                session.cancelled = f"{cancels[0].get('by') or 'Somebody'} cancelled it."
                session.halt(session.cancelled)
            session.wake()
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


def _name(error: CrewkitError, run_id: str) -> None:
    if isinstance(error, RunError) and not error.run_id:
        error.run_id = run_id


# Resuming


def _refuse_damaged(id: str, history: Sequence[Event]) -> None:
    """Refuse what cannot be read to its end: calls may have been finished there, and effects have happened."""
    damaged = next((event.data for event in history if event.type == "journal.damaged"), None)
    if damaged is not None:
        raise InputError(
            f"Run {id} cannot be read on after event {damaged['after']}: {damaged['why']}. Nobody can tell what was "
            f"done after it, so it is not carried on. Read what there is (crewkit show {id}) and start a new run."
        )


def _ending(history: Sequence[Event]) -> Data | None:
    last = next((e for e in reversed(history) if e.type in ("run.finished", "run.resumed")), None)
    return last.data if last is not None and last.type == "run.finished" else None


def _capped(history: Sequence[Event]) -> Limits:
    """Return the caps that were given with the run or a resume of it: they hold until another is given."""
    limits = Limits()
    for event in history:
        match event.type:
            case "run.started":
                limits = Limits(**event.data.get("given", {}))
            case "run.resumed":
                limits = Limits(**event.data.get("limits", {})).over(limits)
            case _:
                pass
    return limits


def _changed(crew: Crew, run: Run, begun: Data) -> list[str]:
    """Return the finished tasks whose definition changed since; refuse where an unfinished one did."""
    recorded: Data = begun["definitions"]
    today = {job.name: job.definition for job in crew.plan.jobs.values()}
    names = [name for name in {**recorded, **today} if recorded.get(name) != today.get(name)]
    unfinished = [name for name in names if name not in run.finished]
    if unfinished:
        raise ReplayError(
            f"Run {run.id} cannot be carried on: the crew changed since it began, and these tasks are not finished: "
            f"{', '.join(unfinished)}. Put the old definition back and resume, or start a new run."
        )
    return names


def active_seconds(history: Iterable[Event]) -> float:
    """Return how long a run was worked on so far, over all processes; waiting between them does not count."""
    spans: dict[str, tuple[float, float]] = {}
    for event in history:
        if event.type not in ("approval.decided", "run.signal"):
            first, last = spans.get(event.seg, (event.t, event.t))
            spans[event.seg] = (min(first, event.t), max(last, event.t))
    return sum(last - first for first, last in spans.values())
