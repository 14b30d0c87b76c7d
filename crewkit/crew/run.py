"""From a crew to a run: open the journal, settle models and memory, walk the graph, say how it ended."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import crewkit
from crewkit.agents.agent import ModelSpec
from crewkit.agents.output import Output, WrongAnswer, as_json
from crewkit.coordinator.schedule import Outcome
from crewkit.core.events import Event
from crewkit.core.limits import CREW_LIMITS, Limits
from crewkit.core.messages import COORDINATOR, fingerprint
from crewkit.crew.crew import REQUIRED, Crew
from crewkit.crew.options import Options
from crewkit.crew.result import Report, Result, Status
from crewkit.crew.session import LazyMemory, Session, spent_before
from crewkit.crew.walk import Walk
from crewkit.errors import (
    CrewkitError,
    DefinitionError,
    Denied,
    InputError,
    LimitExceeded,
    ReplayError,
    RunError,
    did_you_mean,
)
from crewkit.journal.base import Journal, Lease
from crewkit.journal.redact import Redactor
from crewkit.journal.run import Run, new_run_id
from crewkit.journal.writer import Writer
from crewkit.models.base import Model

Data = dict[str, Any]


async def start(crew: Crew, inputs: Mapping[str, Any], options: Options | None = None) -> Result:
    """Begin a run of a crew and carry it on; see `Crew.run`."""
    options = options or Options()
    given = check_inputs(crew, inputs)
    specs = model_specs(crew, options)
    models = resolve_models(crew, specs, options)
    async with _Opened(options) as opened:
        id = options.run_id or new_run_id()
        lease = await opened.call(opened.journal.begin, id, crew.name, _segment())
        run = opened.run(lease, ())
        kept = run.redactor.data({name: as_json(value, f"Input '{name}'") for name, value in given.items()})
        given = check_inputs(crew, kept)  # as a resumed run reads them
        run.record("run.started", data=_beginning(crew, kept, specs, models, options), key="started")
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
            return _recalled(crew, run, ended)
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
        specs = specs if options.model else _pinned(specs, begun["models"])
        models = resolve_models(crew, specs, options)
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


# Before anything runs


def check_inputs(crew: Crew, given: Mapping[str, Any]) -> Data:
    """Check the inputs against what the crew declares, and fill in the defaults.

    Raises:
        InputError: One is missing, unknown or of the wrong type.
    """
    declared = crew.plan.inputs
    for name in given:
        if name not in declared:
            known = ", ".join(declared) or "none"
            raise InputError(
                f"Crew '{crew.name}' has no input '{name}'.{did_you_mean(name, declared)} Inputs: {known}."
            )
    values: Data = {}
    for name, wanted in declared.items():
        if name not in given and wanted.default is REQUIRED:
            about = f" ({wanted.description})" if wanted.description else ""
            raise InputError(f"Crew '{crew.name}' needs the input '{name}'{about}. Give it: -i {name}=…")
        output = Output(wanted.type, f"Input '{name}'")
        try:
            values[name] = _typed(output, given[name]) if name in given else wanted.default
            output.dump(values[name])
        except (WrongAnswer, RunError, TypeError) as error:
            problem = error.problem if isinstance(error, WrongAnswer) else error.__cause__ or error
            raise InputError(
                f"Input '{name}' is {given.get(name)!r:.200}, which is not {output.kind}: {problem}"
            ) from error
    return values


def _typed(output: Output, given: Any) -> Any:
    """Read a value that is JSON data or of the type already."""
    try:
        return output.load(given)
    except TypeError:
        return output.load(output.dump(given))


def model_specs(
    crew: Crew, options: Options, prefix: str = "", inherited: ModelSpec = None
) -> dict[str, ModelSpec]:
    """Say which model each agent's task uses, by path: task, agent, crew, options, `CREWKIT_MODEL`, offline."""
    named = crew.model or inherited or options.model or options.environ.get("CREWKIT_MODEL")
    base = named or "offline"
    specs: dict[str, ModelSpec] = {prefix: base}
    for job in crew.plan.jobs.values():
        if job.kind == "agent" and job.agent is not None:
            specs[prefix + job.name] = job.task.model or job.agent.model or base
        elif isinstance(job.task.do, Crew):
            specs |= model_specs(job.task.do, options, f"{prefix}{job.name}/", named)
    own = {role: agent.model or named for role, agent in crew.plan.agents.items()} | {COORDINATOR: named}
    specs |= {f"{prefix}@{role}": spec for role, spec in own.items() if spec}
    return specs


def resolve_models(crew: Crew, specs: Mapping[str, ModelSpec], options: Options) -> dict[str, Model]:
    """Make a model of every spec, each once.

    Raises:
        DefinitionError: A key is missing, or a cap on money stands over a model without a price.
    """
    from crewkit.models.offline import OfflineModel
    from crewkit.models.resolve import resolve

    made: dict[str, Model] = {}
    models: dict[str, Model] = {}
    for path, spec in specs.items():
        if spec is None:
            continue
        mark = repr(spec) if isinstance(spec, str) else f"{id(spec)}"
        if mark not in made:
            made[mark] = resolve(
                spec,
                environ=options.environ,
                offline=OfflineModel,
                stream=options.listener is not None,
                clock=options.clock,
            )
        models[path] = made[mark]
    if any(cap is not None for cap in _money(crew, options)):
        for path, model in models.items():
            if model.price(1000, 1000) is None:
                raise DefinitionError(
                    f"The price of model '{model.name}' ({path or 'crew'}) is unknown, so a cap in usd cannot hold. "
                    "Cap tokens instead, or use a model with a listed price."
                )
    return models


def _money(crew: Crew, options: Options) -> Iterable[float | None]:
    yield options.limits.over(crew.limits).cap("usd")
    for job in crew.plan.jobs.values():
        yield job.task.limits.cap("usd")
        if job.agent:
            yield job.agent.limits.cap("usd")
        if isinstance(job.task.do, Crew):
            yield from _money(job.task.do, Options())


def _pinned(specs: dict[str, ModelSpec], recorded: Mapping[str, Any]) -> dict[str, ModelSpec]:
    """Put the models that the run began with in the place of what the environment says today."""
    named: dict[str, ModelSpec] = {p: spec for p, spec in recorded.items() if isinstance(spec, str | list)}
    return {path: spec for path, spec in specs.items() if path in recorded} | named


def _beginning(
    crew: Crew, inputs: Data, specs: Mapping[str, ModelSpec], models: Mapping[str, Model], options: Options
) -> Data:
    def named(path: str, spec: ModelSpec) -> Any:
        if isinstance(spec, str):
            return spec
        if isinstance(spec, Sequence) and all(isinstance(each, str) for each in spec):
            return list(spec)
        return {"name": models[path].name}

    return {
        "crew": crew.name,
        "target": options.target or None,
        "inputs": inputs,
        "models": {path: named(path, spec) for path, spec in specs.items()},
        "definitions": {job.name: job.definition for job in crew.plan.jobs.values()},
        "tasks": [
            {
                "name": job.name,
                "needs": list(job.needs),
                "agent": job.worker,
                "kind": job.kind,
                "on_failure": job.task.on_failure,
            }
            for job in crew.plan.jobs.values()
        ],
        "agents": [
            {"role": a.role, "goal": a.goal, "tools": [tool.name for tool in a.tools]}
            for a in crew.plan.agents.values()
        ],
        "limits": options.limits.over(crew.limits).over(CREW_LIMITS).caps(),
        "given": options.limits.caps(),
        "crewkit": crewkit.__version__,
        "cwd": str(Path.cwd()),
        "pid": os.getpid(),
        "host": socket.gethostname(),
    }


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
    namespace = f"crew:{crew.memory}" if crew.memory else f"run:{run.id}"
    session = Session(run, options, models, opened.memory, namespace, inputs, spent_before(history))
    walk = Walk(session, crew, inputs, limits=options.limits.over(crew.limits))
    before = active_seconds(history)
    timer = _deadline(session, walk, before)
    watching = asyncio.create_task(_watch(session))
    try:
        await run.commit(durable=True)  # the run has begun, whatever follows
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
    return await _conclude(crew, run, walk, session, outcomes, used)


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


async def _conclude(
    crew: Crew, run: Run, walk: Walk, session: Session, outcomes: Mapping[str, Outcome], used: Data
) -> Result:
    report = Report(
        tuple(name for name, o in outcomes.items() if o.status == "completed"),
        {name: o.why for name, o in outcomes.items() if o.status == "failed"},
        {name: o.why for name, o in outcomes.items() if o.status in ("skipped", "stopped")},
        {name: o.why for name, o in outcomes.items() if o.status == "waiting"},
    )
    approvals = tuple(dict.fromkeys(id for outcome in outcomes.values() for id in outcome.approvals))
    status, why = _status(crew, outcomes, session)
    result = Result(run.id, status, why, report, walk.outputs(), crew.plan.final, used, approvals)
    if status == "paused":
        data = {"reason": "approval", "approvals": list(approvals), "seconds": used["seconds"]}
    else:
        data = {
            "status": status,
            "why": why,
            "output": crew.plan.output({n: o.output for n, o in outcomes.items() if o.status == "completed"}),
            "report": {
                "completed": list(report.completed),
                "failed": [{"task": name, "error": error} for name, error in report.failed.items()],
                "skipped": [{"task": name, "why": skipped} for name, skipped in report.skipped.items()],
            },
            "usage": used,
        }
    limit = _limit(outcomes, session)
    if limit is not None:
        run.record("limit.exceeded", data={"limit": limit.limit, "level": limit.level, "why": str(limit)})
    run.record("run.paused" if status == "paused" else "run.finished", data=data)
    await run.commit(durable=True)
    return result


def _limit(outcomes: Mapping[str, Outcome], session: Session) -> LimitExceeded | None:
    """Return the cap that kept the run from its end: its own, else that of a task."""
    stopped = (o.error for o in outcomes.values() if o.status == "stopped")
    return session.limit or next((error for error in stopped if isinstance(error, LimitExceeded)), None)


def _status(crew: Crew, outcomes: Mapping[str, Outcome], session: Session) -> tuple[Status, str]:
    done = sum(outcome.status == "completed" for outcome in outcomes.values())
    kept = f"{done} of {len(outcomes)} task{'' if len(outcomes) == 1 else 's'} completed."
    fatal = [
        (name, outcome)
        for name, outcome in outcomes.items()
        if outcome.status == "failed" and crew.plan.jobs[name].task.on_failure == "fail"
    ]
    if session.cancelled:
        return "cancelled", f"{session.cancelled} {kept}"
    limit = _limit(outcomes, session)
    if limit and limit is session.limit:
        return "limit", f"A limit was reached: {_sentence(str(limit))} {kept}"
    if any(outcome.status == "waiting" for outcome in outcomes.values()):
        return "paused", f"A person must decide. {kept}"
    if limit:
        return "limit", f"A limit was reached: {_sentence(str(limit))} {kept}"
    if fatal:
        name, outcome = fatal[0]
        status: Status = "denied" if isinstance(outcome.error, Denied) else "failed"
        return status, f"Task '{name}' failed: {_sentence(outcome.why)} {kept}"
    return "completed", kept


def _sentence(text: str) -> str:
    return text if text.rstrip().endswith((".", "!", "?", "…")) else f"{text.rstrip()}."


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


def _recalled(crew: Crew, run: Run, ended: Data) -> Result:
    """Return the result of a run that is complete already, from the journal."""
    failed = {each["task"]: each["error"] for each in ended["report"]["failed"]}
    skipped = {each["task"]: each["why"] for each in ended["report"]["skipped"]}
    done = [name for name in crew.plan.jobs if run.finished.get(name, {}).get("status") == "completed"]
    outputs: Data = {}
    for name in done:
        try:
            outputs[name] = crew.plan.jobs[name].output.load(run.finished[name]["output"])
        except WrongAnswer as error:
            raise ReplayError(
                f"Run {run.id} is complete, but the recorded output of '{name}' is no longer of its type: {error}"
            ) from error
    report = Report(tuple(ended["report"]["completed"]), failed, skipped)
    return Result(run.id, "completed", ended["why"], report, outputs, crew.plan.final, ended["usage"])


def active_seconds(history: Iterable[Event]) -> float:
    """Return how long a run was worked on so far, over all processes; waiting between them does not count."""
    spans: dict[str, tuple[float, float]] = {}
    for event in history:
        if event.type not in ("approval.decided", "run.signal"):
            first, last = spans.get(event.seg, (event.t, event.t))
            spans[event.seg] = (min(first, event.t), max(last, event.t))
    return sum(last - first for first, last in spans.values())
