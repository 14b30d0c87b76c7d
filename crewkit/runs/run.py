"""From a crew to a run: open the journal, walk the graph, carry on where an earlier process stopped."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from crewkit.agents.output import as_json
from crewkit.core.clock import Clock, timestamp
from crewkit.core.events import Event
from crewkit.core.limits import Gate, Limits, Meter
from crewkit.crew.crew import Crew
from crewkit.crew.options import Options
from crewkit.crew.part import Doing
from crewkit.crew.result import Result
from crewkit.errors import (
    CrewkitError,
    InputError,
    LimitExceeded,
    RunError,
)
from crewkit.execution.episode import Episodes
from crewkit.execution.given_up import AT
from crewkit.execution.ledger import TYPES as USED
from crewkit.execution.ledger import Ledger, SharedLedger
from crewkit.execution.memory import RunMemory, check_knowledge, run_memory
from crewkit.execution.session import Session, services_of
from crewkit.execution.walk import Walk
from crewkit.journal.base import Journal, Lease
from crewkit.journal.forget import standing
from crewkit.journal.run import Run, new_run_id
from crewkit.models.base import Model
from crewkit.models.route import RECOVERY, Health, ModelSpec
from crewkit.notify.places import notifiers
from crewkit.notify.telling import Telling
from crewkit.runs.changes import Settled, settle
from crewkit.runs.conclude import conclude, recalled
from crewkit.runs.history import active_seconds, capped, ending, own, refuse_cancelled, refuse_undone
from crewkit.runs.history import beginning as beginning_of
from crewkit.runs.opened import Opened
from crewkit.runs.prepare import beginning, check_inputs, described, model_specs, pinned, resolve_models
from crewkit.runs.stay import stay

Data = dict[str, Any]

_LATELY = 20
"""Runs, the newest, in which failing models are looked for."""


@dataclass(frozen=True)
class Turn:
    """A run in the hands of this process, ready to be carried on."""

    crew: Crew
    run: Run
    inputs: Data
    models: Mapping[str, Model]
    opened: Opened
    options: Options
    history: Sequence[Event]
    """What happened before."""
    task: str = ""
    """The task that is done, where others do the rest of the run."""
    forgets: Sequence[str] = ()
    """From where on it counts no longer."""


async def start(crew: Crew, inputs: Mapping[str, Any], options: Options | None = None) -> Result:
    """Begin a run of a crew and carry it on; see `Crew.run`."""
    options = options or Options()
    given = check_inputs(crew, inputs)
    async with Opened(options) as opened:
        result = await carry_on(await _begin(crew, given, opened, options))
    return await stay(crew, result, options)


async def hand_over(crew: Crew, inputs: Mapping[str, Any], options: Options) -> str:
    """Begin a run for workers to carry on (`options.queue` says which) and return its id."""
    given = check_inputs(crew, inputs)
    async with Opened(options) as opened:
        turn = await _begin(crew, given, opened, options)
        await turn.run.commit(durable=True)
        return turn.run.id


async def resume(crew: Crew, name: str, options: Options | None = None) -> Result:
    """Carry a run on from where its journal stands; see `Crew.resume`."""
    options = options or Options()
    async with Opened(options) as opened:
        id = await opened.call(opened.journal.find, name)
        lease = await opened.take(id)
        history = await opened.call(lambda: list(opened.journal.events(id)))
        begun = beginning_of(id, history)
        if begun["crew"] != crew.name:
            raise InputError(f"Run {id} is a run of '{begun['crew']}', not of '{crew.name}'.")
        refuse_cancelled(id, history)
        refuse_undone(id, history)
        ended = ending(id, history)
        complete = ended is not None and ended["status"] == "completed"
        settled = Settled()
        if not complete or options.changed != "stop":
            recorded, again = begun["definitions"], options.repeat_effects
            settled = settle(id, crew.plan, recorded, history, options.changed, may_repeat=again)
        run = opened.run(lease, history, settled.forgets)
        if ended is not None and complete and not (settled.forgets or _added(settled)):
            return recalled(crew, id, run.finished, ended)
        turn = await _go_on(crew, run, begun, opened, options, history, settled)
        result = await carry_on(turn)
    return await stay(crew, result, options)


async def undo(crew: Crew, name: str, by: str, options: Options | None = None) -> Result:
    """Give a run up and undo what it did; see `Crew.undo`."""
    options = options or Options()
    async with Opened(options) as opened:
        id = await opened.call(opened.journal.find, name)
        lease = await opened.take(id)
        history = await opened.call(lambda: list(opened.journal.events(id)))
        begun = beginning_of(id, history)
        if begun["crew"] != crew.name:
            raise InputError(f"Run {id} is a run of '{begun['crew']}', not of '{crew.name}'.")
        refuse_undone(id, history, again=True)
        turn = await _go_on(crew, opened.run(lease, history), begun, opened, options, history, Settled())
        return await carry_on(turn, {"status": "cancelled", "why": f"{by} gave it up."})


async def give_up(name: str, why: str, options: Options) -> None:
    """Pause a run that cannot be carried on as things are: a person has to see to it, and resume it."""
    async with Opened(options) as opened:
        run = opened.run(await opened.take(name), ())
        run.record("run.paused", data={"reason": "error", "why": why})
        await run.commit(durable=True)


async def _begin(crew: Crew, given: Data, opened: Opened, options: Options) -> Turn:
    """Make a new run and record its beginning."""
    check_knowledge(crew)
    notifiers(crew.notify, options.environ)  # what is missing is missed before anything is begun
    specs = model_specs(crew, options)
    health = Health(options.clock)
    models = resolve_models(crew, specs, options, health)
    lease = await opened.begin(options.run_id or new_run_id(), crew.name)
    run = opened.run(lease, ())
    kept = run.redactor.data({name: as_json(value, f"Input '{name}'") for name, value in given.items()})
    given = check_inputs(crew, kept)  # as a resumed run reads them
    await opened.call(_learn, crew, opened.journal, health, options.clock)
    run.record("run.started", data=beginning(crew, kept, specs, models, options), key="started")
    return Turn(crew, run, given, models, opened, options, ())


async def reopened(
    crew: Crew, id: str, lease: Lease, history: Sequence[Event], opened: Opened, options: Options
) -> Turn:
    """Make ready what does one task of a run that another process carries on. Nothing is recorded."""
    begun = beginning_of(id, history)
    options = replace(options, limits=options.limits.over(capped(history)))
    specs = pinned(model_specs(crew, options), begun["models"], [])
    models = resolve_models(crew, specs, options, Health(options.clock))
    run = opened.run(lease, history)
    given = check_inputs(crew, begun["inputs"])
    return Turn(crew, run, given, models, opened, options, history, task=lease.task)


async def _go_on(
    crew: Crew,
    run: Run,
    begun: Data,
    opened: Opened,
    options: Options,
    history: Sequence[Event],
    settled: Settled,
) -> Turn:
    """Make ready what carries the run on, and record that it is."""
    given = check_inputs(crew, begun["inputs"])
    options = replace(options, limits=options.limits.over(capped(history)))
    specs, models = await models_for(crew, begun, opened, options, settled)
    run.record("run.resumed", data=told(crew, specs, models, options, settled))
    return Turn(crew, run, given, models, opened, options, history, forgets=settled.forgets)


async def models_for(
    crew: Crew, begun: Data, opened: Opened, options: Options, settled: Settled, *, everywhere: bool = False
) -> tuple[Mapping[str, ModelSpec], Mapping[str, Model]]:
    """Return which models a run that began before goes on with: those that it has, or those that are given now.

    Args:
        crew: The crew as it is.
        begun: What the run began with.
        opened: Its journal.
        options: `model` goes before what the run has, for whoever names none.
        settled: What changed.
        everywhere: `options.model` goes before all others as well.
    """
    specs = model_specs(crew, options)
    if options.model and everywhere:
        specs = dict.fromkeys(specs, options.model)
    elif not options.model:
        specs = pinned(specs, begun["models"], [p for p, change in settled.changes.items() if change.model])
    health = Health(options.clock)
    models = resolve_models(crew, specs, options, health)
    await opened.call(_learn, crew, opened.journal, health, options.clock)
    return specs, models


def told(
    crew: Crew,
    specs: Mapping[str, ModelSpec],
    models: Mapping[str, Model],
    options: Options,
    settled: Settled,
    *,
    whole: bool = False,
) -> Data:
    """Return what `run.resumed` and `run.forked` say; `whole`: of the crew too where nothing changed."""
    data: Data = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "changed": settled.told(),
        "limits": options.limits.caps(),
        **({"queue": options.queue} if options.queue else {}),
        **({"forgets": list(settled.forgets)} if settled.forgets else {}),
        **({"repeats": [str(effect) for effect in settled.repeats]} if settled.repeats else {}),
    }
    if settled.changes or options.model or whole:
        data |= {**described(crew, specs, models), "definitions": settled.definitions}
    return data


def _added(settled: Settled) -> list[str]:
    """Return the tasks that a completed run does not know."""
    return [path for path, change in settled.changes.items() if change.what == "added" and "/" not in path]


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
        for info in reversed([info for info in journal.runs(limit=_LATELY) if info.updated >= since]):
            health.learn(journal.events(info.run, types=("retry.scheduled", "model.finished")))


# Carrying on


def set_out(turn: Turn, doing: Doing | None = None, only: str = "") -> tuple[Session, Walk, RunMemory]:
    """Make what carries a run on: its session, the walk of its graph, its memory.

    Args:
        turn: The run.
        doing: How its tasks are done.
        only: The task that is in this process's hands, where not the whole run is.
    """
    crew, run, history = turn.crew, turn.run, turn.history
    options = replace(turn.options, doing=doing or turn.options.doing)
    memory = run_memory(crew, run, turn.opened.memory, turn.inputs, history)
    mine, counted = own(run.id, history), standing(history, turn.forgets).events
    services = services_of(run, crew.breaker, options, counted)
    shared = doing or options.doing
    ledger = Ledger(mine, task=turn.task if shared else None)
    gate = _gate(turn, ledger) if shared else None
    session = Session(run, crew, options, turn.models, memory, turn.inputs, services, ledger, gate, only)
    if memory.lasts:
        session.episodes = Episodes(memory, counted)
        run.listeners.append(session.episodes.see)
    if channels := notifiers(crew.notify, options.environ):
        session.telling = Telling(run, channels)
        if turn.options.doing is None:  # otherwise whoever does a task tells what it asks
            session.telling.catch_up(counted, only)
            run.listeners.append(session.telling.see)
    return session, Walk(session, crew, turn.inputs, limits=options.limits.over(crew.limits)), memory


async def carry_on(turn: Turn, given_up: Data | None = None) -> Result:
    """Do what is left of a run, and return what became of it.

    Args:
        turn: The run.
        given_up: `status` and `why`, where nothing more is to be done but to undo what was.
    """
    given_up = turn.run.said(AT, task="") or given_up
    crew, run, options = turn.crew, turn.run, turn.options
    begun = run.clock.monotonic()
    session, walk, memory = set_out(turn)
    before = active_seconds(own(run.id, turn.history))
    timer = _deadline(session, walk, before)
    watching = asyncio.create_task(watch(session, options))
    try:
        await run.commit(durable=True)  # the run has begun, whatever follows
        await memory.learn()
        if given_up is not None:
            outcomes = walk.recorded(standing(turn.history, turn.forgets).events)
        else:
            outcomes = await walk.through()
        watching.cancel()  # what comes from now on wakes the run when it has paused
        if session.telling:
            await session.telling.finish()
    except asyncio.CancelledError:
        if not options.queue:  # otherwise another worker carries it on
            run.record("run.paused", data={"reason": "interrupted", "seconds": run.clock.monotonic() - begun})
        await asyncio.shield(run.commit(durable=True))
        raise
    except CrewkitError as error:
        _name(error, run.id)
        raise
    finally:
        timer.cancel()
        watching.cancel()
        if session.telling:
            await session.telling.stop()
        with suppress(asyncio.CancelledError):
            await watching
    used = walk.meters.crew.used() if options.doing is None else await _used(turn)
    used |= {"seconds": round(before + run.clock.monotonic() - begun, 3)}
    return await conclude(crew, run, walk, session, outcomes, used, given_up)


async def _used(turn: Turn) -> Data:
    """Return what the calls of a run used whose tasks were done elsewhere."""
    types = ("model.started", "model.finished")
    events: list[Event] = await turn.opened.call(
        lambda: list(turn.opened.journal.events(turn.run.id, types=types))
    )
    meter = Meter("the run", Limits())
    for call in Ledger(own(turn.run.id, events)).calls.values():
        call.on(meter)
    return meter.used()


def _gate(turn: Turn, ledger: Ledger) -> Gate | None:
    """Return what keeps the caps of a run that several processes carry on."""
    run, opened = turn.run, turn.opened

    async def read(after: int) -> list[Event]:
        events = await opened.call(lambda: list(opened.journal.events(run.id, after=after, types=USED)))
        return list(own(run.id, events))

    places = turn.options.places
    return SharedLedger(ledger, run, places, read) if places is not None else None


def _deadline(session: Session, walk: Walk, before: float) -> asyncio.TimerHandle:
    cap = walk.limits.cap("seconds")
    left = 1e9 if cap is None else max(cap - before, 0)

    def reached() -> None:
        session.limit = LimitExceeded(
            f"{walk.meters.crew.level}: {cap:g} of {cap:g} seconds used.",
            limit="seconds",
            level=walk.meters.crew.level,
        )
        session.halt(str(session.limit))

    return asyncio.get_running_loop().call_later(left, reached)


async def watch(session: Session, options: Options) -> None:
    """Act on what other processes decide while the run goes on."""
    run = session.run
    watching = asyncio.create_task(options.watch(run) if options.watch else run.watch())
    try:
        while True:
            await run.arrived.wait()
            run.arrived.clear()
            if cancel := next(run.outside.fresh("cancel"), None):
                session.cancelled = f"{cancel.by or 'Somebody'} cancelled it."
                session.undo = bool(cancel.data.get("undo"))
                session.halt(session.cancelled)
            if pause := next(run.outside.fresh("pause"), None):
                session.paused = pause.by or "Somebody"
                run.hold(f"{session.paused} paused it.")
            session.wake()
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


def _name(error: CrewkitError, run_id: str) -> None:
    if isinstance(error, RunError) and not error.run_id:
        error.run_id = run_id
