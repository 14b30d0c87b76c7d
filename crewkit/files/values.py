"""What stands in a crew's YAML file, turned into what the fields of the definitions take."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, cast

from crewkit.agents.agent import Agent
from crewkit.agents.window import Window
from crewkit.checks.scope import Grant, Scope
from crewkit.coordinator.conversation import Transitions
from crewkit.core.guardrails import Guardrails
from crewkit.core.limits import Limits
from crewkit.core.verdict import Ask
from crewkit.crew.conversation import Conversation
from crewkit.crew.crew import Crew
from crewkit.crew.planner import Planner
from crewkit.crew.resolve import Priority, Resolve
from crewkit.crew.task import any_of
from crewkit.errors import CrewkitError, did_you_mean
from crewkit.files.lines import Data, File, Place
from crewkit.files.named import CODE, imported
from crewkit.models.route import Capable, Route
from crewkit.resilience.breaker import Breaker
from crewkit.resilience.retry import Retry
from crewkit.tools.tool import Tool

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d|w)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True)
class There:
    """What a file has defined so far."""

    load: Callable[[Path], Crew]
    """Reads another file."""
    tools: dict[str, Tool] = field(default_factory=dict[str, Tool])
    agents: dict[str, Agent] = field(default_factory=dict[str, Agent])


Reader = Callable[[File, Place, Any, There], Any]


# Of all files


def section(file: File, name: str) -> Data:
    """Return a section of the file: definitions by their names."""
    section: Any = file.data.get(name) or {}
    if not isinstance(section, dict):
        raise file.wrong((name,), f"{name} is no mapping. Write each by its name: {name}: {{first: {{…}}}}.")
    for key, value in cast("Data", section).items():
        if not isinstance(value, dict | str):
            raise file.wrong((name, key), f"{name}.{key} is {value!r:.40}, not a mapping.")
    return cast("Data", section)


def known(file: File, at: Place, given: Any, fields_: set[str]) -> None:
    """Refuse what is no mapping, and a key that is none of the names."""
    if not isinstance(given, dict):
        raise file.wrong(at, f"{'.'.join(map(str, at))} is {given!r:.40}, not a mapping.")
    for key in cast("Data", given):
        if key not in fields_:
            where = f"{'.'.join(map(str, at))} has no field" if at else "there is no section"
            known = ", ".join(sorted(fields_))
            raise file.wrong((*at, key), f"{where} '{key}'.{did_you_mean(key, fields_)} There are: {known}.")


def names(definition: Any) -> set[str]:
    """Return what a definition can be given by name."""
    if not is_dataclass(definition):
        return set(inspect.signature(definition).parameters)
    return {each.name for each in fields(definition) if each.init and not each.name.startswith("_")}


def made(file: File, at: Place, kind: Callable[..., Any], values: Data, **named: Any) -> Any:
    """Make a definition; say its errors with the line."""
    try:
        return kind(**{**values, **named})
    except CrewkitError as error:
        raise file.wrong(_blamed(file, str(error)) or at, str(error)) from error
    except TypeError as error:
        what = re.sub(r"^\w+\.__init__\(\) ", "", str(error))
        raise file.wrong(at, f"{'.'.join(map(str, at)) or 'the crew'}: {what}.") from error


def _blamed(file: File, message: str) -> Place:
    """Return the place of the task or agent that a message begins with."""
    match = re.match(r"(Task|Agent) '([^']+)'", message)
    if match is None:
        return ()
    where = "tasks" if match[1] == "Task" else "agents"
    for name, given in section(file, where).items():
        role = None if isinstance(given, str) else cast("Data", given).get("role")
        if match[2] in (name, role):
            return (where, name)
    return ()


# Values


def convert(file: File, at: Place, given: Data, there: There) -> Data:
    """Turn what stands in a mapping into what the definition's fields take."""
    values: Data = {}
    for key, value in given.items():
        read = _READ.get(key)
        values[key] = read(file, (*at, key), value, there) if read else value
    return values


def _limits(file: File, at: Place, value: Any, _: There) -> Limits:
    if not isinstance(value, dict):
        raise file.wrong(at, "limits is a mapping: {tokens: 50000, usd: 0.5}; null is no cap.")
    known(file, at, cast("Data", value), names(Limits))
    told = cast("Data", value)
    times = {"seconds": duration_of(told["seconds"])} if "seconds" in told else {}
    return made(file, at, Limits, {**told, **times})


def _scope(file: File, at: Place, value: Any, _: There) -> Scope:
    grants: list[Grant | str] = []
    for i, each in enumerate(_list(file, at, value)):
        if isinstance(each, dict):
            known(file, (*at, i), cast("Data", each), names(Grant))
            told = cast("Data", each)
            times = {"expires": duration_of(told["expires"])} if "expires" in told else {}
            grants.append(made(file, (*at, i), Grant, {**told, **times}))
        else:
            grants.append(str(each))
    return Scope(*grants)


def _models(file: File, at: Place, value: Any, _: There) -> dict[str, Route]:
    if not isinstance(value, dict):
        raise file.wrong(at, "models is a mapping of routes: {cheap: {model: openai/gpt-5-mini}}.")
    routes: dict[str, Route] = {}
    for name, told in cast("Data", value).items():
        route: Data = {"model": told} if isinstance(told, str) else told
        known(file, (*at, name), route, names(Route))
        usd = {"usd": tuple(_list(file, (*at, name, "usd"), route["usd"]))} if route.get("usd") else {}
        times = {key: duration_of(route[key]) for key in ("timeout", "latency") if key in route}
        routes[name] = made(file, (*at, name), Route, {**route, **usd, **times})
    return routes


def _model(file: File, at: Place, value: Any, _: There) -> Any:
    if not isinstance(value, dict):
        return value
    told = dict(cast("Data", value))
    known(file, at, told, {"capable", "context", "prefer"})
    capable = _list(file, (*at, "capable"), told.pop("capable", []))
    return made(file, at, partial(Capable, *map(str, capable)), told)


def _tools(file: File, at: Place, value: Any, there: There) -> list[Tool]:
    from crewkit.agents.delegate import ask_colleague

    all = {**there.tools, ask_colleague.name: ask_colleague}
    return [pick(file, (*at, i), name, all, "tool") for i, name in enumerate(_list(file, at, value))]


def _needs(file: File, at: Place, value: Any, _: There) -> list[Any]:
    needs: list[Any] = []
    for i, each in enumerate(_list(file, at, value)):
        if isinstance(each, dict):
            known(file, (*at, i), cast("Data", each), {"any_of"})
            all = cast("Data", each).get("any_of")
            needs.append(any_of(*map(str, _list(file, (*at, i), all))))
        else:
            needs.append(str(each))
    return needs


def _guardrails(file: File, at: Place, value: Any, there: There) -> Guardrails | list[Any]:
    if not isinstance(value, dict):
        return _functions(file, at, value, there)
    points = cast("Data", value)
    known(file, at, points, names(Guardrails))
    return Guardrails(
        **{point: _functions(file, (*at, point), each, there) for point, each in points.items()}
    )


def _functions(file: File, at: Place, value: Any, _: There) -> list[Any]:
    return [imported(file, (*at, i), str(each)) for i, each in enumerate(_list(file, at, value))]


def _errors(file: File, at: Place, value: Any, there: There) -> tuple[Any, ...]:
    return tuple(_functions(file, at, value, there))


def _function(file: File, at: Place, value: Any, _: There) -> Any:
    return imported(file, at, str(value)) if value is not None else None


def _effects(file: File, at: Place, value: Any, _: There) -> tuple[Any, ...]:
    return (value,) if isinstance(value, str) else tuple(_list(file, at, value))


def _agent(file: File, at: Place, value: Any, there: There) -> Agent:
    return cast("Agent", pick(file, at, value, there.agents, "agent"))


def _fields(kind: Callable[..., Any], hint: str) -> Reader:
    """Return what reads a mapping with the fields of a definition; a number or null is left as it is."""

    def read(file: File, at: Place, value: Any, there: There) -> Any:
        if not isinstance(value, dict):
            if value is None or isinstance(value, int):
                return value
            raise file.wrong(at, f"{at[-1]} is {value!r:.40}, not a mapping: {hint}.")
        told = cast("Data", value)
        known(file, at, told, names(kind))
        model = {"model": _model(file, (*at, "model"), told["model"], there)} if "model" in told else {}
        times = {key: _seconds(file, (*at, key), each, there) for key, each in told.items()}
        return made(file, at, kind, {**times, **model})

    return read


def rungs(file: File, at: Place, value: Any, there: There) -> list[Any]:
    """Return who tries when a task's work is not accepted: models, agents, people."""
    found: list[Any] = []
    for i, each in enumerate(_list(file, at, value)):
        place: Place = (*at, i)
        if not isinstance(each, dict) or "capable" in each:
            found.append(_model(file, place, each, there))
            continue
        found.append(_one_of(file, place, cast("Data", each), {"agent": _agent, "ask": _ask}, there))
    return found


def _ask(file: File, at: Place, value: Any, there: There) -> Ask:
    if not isinstance(value, dict):
        return Ask(str(value))
    told = cast("Data", value)
    known(file, at, told, names(Ask))
    return made(file, at, Ask, {key: _seconds(file, (*at, key), each, there) for key, each in told.items()})


def _one_of(file: File, at: Place, given: Data, readers: Mapping[str, Reader], there: There) -> Any:
    """Read a mapping with one key, which says what it is."""
    known(file, at, given, set(readers))
    if len(given) != 1:
        raise file.wrong(at, f"write one of these alone: {', '.join(readers)}.")
    [(word, value)] = given.items()
    return readers[word](file, (*at, word), value, there)


def _do(file: File, at: Place, value: Any, there: There) -> Any:
    if isinstance(value, dict):
        told = cast("Data", value)
        if "resolve" in told:
            return _resolve(file, at, told, there)
        readers = {"conversation": _conversation, "plan": _planner, "resolve": _resolve}
        return _one_of(file, at, told, readers, there)
    if isinstance(value, str) and value.endswith((".yaml", ".yml")):
        return there.load(file.path.parent / value)
    if isinstance(value, str) and value in there.tools:
        return there.tools[value]
    return imported(file, at, str(value))


def _resolve(file: File, at: Place, told: Data, there: There) -> Resolve:
    known(file, at, told, {"resolve", "about"})
    rules: list[Any] = []
    for i, each in enumerate(_list(file, (*at, "resolve"), told["resolve"])):
        place: Place = (*at, "resolve", i)
        readers: Mapping[str, Reader] = {"priority": _priority, "agent": _agent, "ask": _ask}
        rules.append(
            _one_of(file, place, cast("Data", each), readers, there) if isinstance(each, dict) else each
        )
    about = _condition(file, (*at, "about"), told.get("about"), there)
    return made(file, at, partial(Resolve, *rules), {"about": about})


def _priority(file: File, at: Place, value: Any, _: There) -> Priority:
    return Priority(*map(str, _list(file, at, value)))


def _conversation(file: File, at: Place, value: Any, there: There) -> Conversation:
    if not isinstance(value, dict):
        raise file.wrong(at, "conversation is a mapping: {members: [Writer, Critic], rounds: 6}.")
    told = cast("Data", value)
    known(file, at, told, names(Conversation))
    values: Data = {**told}
    values["members"] = [
        _member(file, (*at, "members", i), each, there)
        for i, each in enumerate(_list(file, (*at, "members"), told.get("members")))
    ]
    if isinstance(told.get("speaker"), dict):
        readers: Mapping[str, Reader] = {"agent": _agent, "transitions": _transitions}
        values["speaker"] = _one_of(file, (*at, "speaker"), told["speaker"], readers, there)
    if "closing" in told:
        values["closing"] = _agent(file, (*at, "closing"), told["closing"], there)
    if "until" in told:
        values["until"] = _function(file, (*at, "until"), told["until"], there)
    return made(file, at, Conversation, values)


def _planner(file: File, at: Place, value: Any, there: There) -> Planner:
    if not isinstance(value, dict):
        raise file.wrong(at, "plan is a mapping: {agents: [Researcher, Writer], approval: true}.")
    told = cast("Data", value)
    known(file, at, told, names(Planner))
    values: Data = {**told}
    values["agents"] = [
        _agent(file, (*at, "agents", i), each, there)
        for i, each in enumerate(_list(file, (*at, "agents"), told.get("agents")))
    ]
    if "agent" in told:
        values["agent"] = _agent(file, (*at, "agent"), told["agent"], there)
    return made(file, at, Planner, values)


def _member(file: File, at: Place, value: Any, there: There) -> Any:
    if isinstance(value, str) and value in there.tools:
        return there.tools[value]
    coded = isinstance(value, str) and CODE.fullmatch(value)
    return imported(file, at, str(value)) if coded else _agent(file, at, value, there)


def _transitions(file: File, at: Place, value: Any, _: There) -> Transitions:
    if not isinstance(value, dict):
        raise file.wrong(
            at, "transitions is a mapping: {onward: {Writer: [Critic]}, back: {Critic: [Writer]}}."
        )
    known(file, at, cast("Data", value), names(Transitions))
    return made(file, at, Transitions, cast("Data", value))


def _condition(file: File, at: Place, value: Any, _: There) -> Any:
    return imported(file, at, value) if isinstance(value, str) and CODE.fullmatch(value) else value


def _duration(file: File, at: Place, value: Any, _: There) -> Any:
    return duration(value)


def _seconds(file: File, at: Place, value: Any, _: There) -> Any:
    return duration_of(value)


def duration_of(value: Any) -> Any:
    """Read a duration as seconds; anything else is left as it is."""
    read = duration(value)
    return read.total_seconds() if isinstance(read, timedelta) else read


def duration(value: Any) -> Any:
    """Read `30s`, `10m`, `2h`, `7d` or `1w`; anything else is left as it is."""
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    return timedelta(**{_UNITS[match[2]]: float(match[1])}) if match else value


_READ: Mapping[str, Reader] = {
    "limits": _limits,
    "scope": _scope,
    "models": _models,
    "model": _model,
    "tools": _tools,
    "agent": _agent,
    "needs": _needs,
    "context": _needs,
    "guardrails": _guardrails,
    "do": _do,
    "when": _condition,
    "until": _condition,
    "deadline": _duration,
    "wait_for": _duration,
    "timeout": _seconds,
    "cache_ttl": _seconds,
    "breaker": _fields(Breaker, "{failures: 5, window: 60s, pause: 30s}"),
    "retries": _fields(Retry, "{attempts: 4, first: 0.5}, or a number"),
    "retry_on": _errors,
    "window": _fields(Window, "{messages: 100, tokens: 50000}"),
    "effects": _effects,
    "preview": _function,
}


def _list(file: File, at: Place, value: Any) -> Sequence[Any]:
    if not isinstance(value, list):
        raise file.wrong(at, f"{at[-1]} is {value!r:.40}, not a list: [{value!s:.40}].")
    return cast("list[Any]", value)


def pick(file: File, at: Place, name: Any, known: Mapping[str, Any], what: str) -> Any:
    """Return what a name means."""
    if not isinstance(name, str) or name not in known:
        near = did_you_mean(str(name), known)
        raise file.wrong(at, f"there is no {what} '{name}'.{near} There are: {', '.join(known) or 'none'}.")
    return known[name]
