"""What is settled before anything runs: inputs, models, and what a run's first event says."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import crewkit
from crewkit.agents.agent import Agent
from crewkit.agents.output import Output, WrongAnswer
from crewkit.coordinator.graph import AnyOf
from crewkit.core.limits import CREW_LIMITS
from crewkit.core.messages import COORDINATOR
from crewkit.crew.compile import Job
from crewkit.crew.crew import REQUIRED, Crew
from crewkit.crew.ladder import models
from crewkit.crew.options import Options
from crewkit.crew.several import agents_in
from crewkit.errors import DefinitionError, InputError, RunError, did_you_mean
from crewkit.models.base import Model
from crewkit.models.route import Capable, Health, ModelSpec, Route
from crewkit.resilience.places import OwnPlaces

Data = dict[str, Any]


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
            specs |= {f"{prefix}{job.name}{end}": spec or base for end, spec in models(job)}
            if job.agent.window.model:
                specs[f"{prefix}{job.name}@summary"] = job.agent.window.model
        elif agents_in(job.task):
            specs[prefix + job.name] = job.task.model or base
        elif isinstance(job.task.do, Crew):
            specs |= model_specs(job.task.do, options, f"{prefix}{job.name}/", named)
    own = {role: agent.model or named for role, agent in crew.plan.agents.items()} | {COORDINATOR: named}
    specs |= {f"{prefix}@{role}": spec for role, spec in own.items() if spec}
    return specs


def resolve_models(
    crew: Crew, specs: Mapping[str, ModelSpec], options: Options, health: Health
) -> dict[str, Model]:
    """Make a model of every spec, each once.

    Args:
        crew: Its model tables, and those of the crews inside it, hold the routes.
        specs: Who uses which, by path.
        options: Where keys are, and how to wait.
        health: What is known, or will be, of routes that keep failing.

    Raises:
        DefinitionError: A key is missing, or a cap on money stands over a model without a price.
    """
    from crewkit.models.offline import OfflineModel
    from crewkit.models.resolve import resolve

    tables = _tables(crew)
    places = options.places or OwnPlaces(options.clock)
    made: dict[str, Model] = {}
    models: dict[str, Model] = {}
    for path, spec in specs.items():
        if spec is None:
            continue
        routes = tables[max((prefix for prefix in tables if path.startswith(prefix)), key=len)]
        mark = f"{id(routes)} {spec!r}" if isinstance(spec, str | Capable) else f"{id(spec)}"
        if mark not in made:
            made[mark] = resolve(
                spec,
                environ=options.environ,
                offline=OfflineModel,
                stream=options.listener is not None,
                clock=options.clock,
                routes=routes,
                health=health,
                places=places,
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


def _tables(
    crew: Crew, prefix: str = "", outer: Mapping[str, Route] | None = None
) -> dict[str, Mapping[str, Route]]:
    """Return the model table that holds below each prefix of a path: a crew's own goes over that around it."""
    table = {**(outer or {}), **crew.models}
    tables: dict[str, Mapping[str, Route]] = {prefix: table}
    for job in crew.plan.jobs.values():
        if isinstance(job.task.do, Crew):
            tables |= _tables(job.task.do, f"{prefix}{job.name}/", table)
    return tables


def _money(crew: Crew, options: Options) -> Iterable[float | None]:
    yield options.limits.over(crew.limits).cap("usd")
    for job in crew.plan.jobs.values():
        yield job.task.limits.cap("usd")
        for agent in (job.agent,) if job.agent else agents_in(job.task):
            yield agent.limits.cap("usd")
        if isinstance(job.task.do, Crew):
            yield from _money(job.task.do, Options())


def pinned(
    specs: dict[str, ModelSpec], recorded: Mapping[str, Any], renewed: Iterable[str] = ()
) -> dict[str, ModelSpec]:
    """Put the models that the run began with in the place of what the environment says today.

    Args:
        specs: Today's.
        recorded: Those that the run began with.
        renewed: Tasks that name another model than they did, or are new.
    """
    named: dict[str, ModelSpec] = {
        path: spec
        for path, spec in recorded.items()
        if isinstance(spec, str | list) and (path in specs or "@" in path)
    }
    known = {path: spec for path, spec in specs.items() if path in recorded} | named
    return known | {path: specs[path] for path in renewed if path in specs}


def _routes(job: Job) -> Data:
    """Return what besides its needs decides whether a task is done, where anything does."""
    any_of = [list(need.names) for need in job.joins if isinstance(need, AnyOf)]
    return {
        **({"any_of": any_of} if any_of else {}),
        **({"when": job.when.says} if job.when else {}),
        **({"until": job.until.says} if job.until else {}),
        **({"for_each": job.each.says} if job.each else {}),
    }


def _agents(crew: Crew) -> dict[str, Agent]:
    """Return the agents of a crew and of those inside it, by role."""
    found = dict(crew.plan.agents)
    for job in crew.plan.jobs.values():
        if isinstance(job.task.do, Crew):
            found = {**_agents(job.task.do), **found}
    return found


def events(crew: Crew) -> Data:
    """Return the external events that a crew and those inside it wait for, with the JSON Schemas of their data."""
    found: Data = {}
    for job in crew.plan.jobs.values():
        if isinstance(job.task.wait_for, str):
            schema = {"type": "string"} if job.output.type is str else job.output.schema
            # Two tasks may take one event differently: then each says itself what it takes.
            found[job.task.wait_for] = schema if found.get(job.task.wait_for, schema) == schema else None
        elif isinstance(job.task.do, Crew):
            found = {**events(job.task.do), **found}
    return found


def beginning(
    crew: Crew, inputs: Data, specs: Mapping[str, ModelSpec], models: Mapping[str, Model], options: Options
) -> Data:
    """Return what `run.started` says."""
    return {
        "crew": crew.name,
        "target": options.target or None,
        **({"queue": options.queue} if options.queue else {}),
        "inputs": inputs,
        **described(crew, specs, models),
        "limits": options.limits.over(crew.limits).over(CREW_LIMITS).caps(),
        "given": options.limits.caps(),
        "crewkit": crewkit.__version__,
        "cwd": str(Path.cwd()),
        "pid": os.getpid(),
        "host": socket.gethostname(),
    }


def described(crew: Crew, specs: Mapping[str, ModelSpec], models: Mapping[str, Model]) -> Data:
    """Return what `run.started` says of the crew, and a fork or resume where that changed."""

    def named(path: str, spec: ModelSpec) -> Any:
        if isinstance(spec, str):
            return spec
        if isinstance(spec, Capable):
            return spec.to_data()
        if isinstance(spec, Sequence) and all(isinstance(each, str) for each in spec):
            return list(spec)
        return {"name": models[path].name}

    return {
        "models": {path: named(path, spec) for path, spec in specs.items()},
        "definitions": crew.plan.definitions,
        "tasks": [
            {
                "name": job.name,
                "needs": list(job.needs),
                "agent": job.worker,
                "kind": job.kind,
                "on_failure": job.task.on_failure,
                **_routes(job),
            }
            for job in crew.plan.jobs.values()
        ],
        "events": events(crew),
        "agents": [
            {"role": a.role, "goal": a.goal, "tools": [tool.name for tool in a.tools]}
            for a in _agents(crew).values()
        ],
    }
