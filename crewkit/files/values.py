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
from crewkit.errors import CrewkitError, InputError, did_you_mean
from crewkit.files.lines import Data, File, Place
from crewkit.files.named import CODE, imported
from crewkit.models.route import Capable, Route
from crewkit.resilience.breaker import Breaker
from crewkit.resilience.retry import Retry
from crewkit.tools.tool import Tool

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d|w)")
_UNQUOTED = re.compile(r"is (True|False|None|-?[\d.]+|datetime\.\S+\(.*\)), not a (text|name|question)\.$")
"""What YAML reads as something else, in the place of a text."""
_ABOUT = (
    (
        re.compile(
            r"Task '([^']+)'|The scope of task '([^']+)'|Tasks wait for each other in a circle: (\S+) →"
        ),
        "tasks",
    ),
    (re.compile(r"(?:The scope of a|A)gent '([^']+)'|.* two agents with the role '([^']+)'"), "agents"),
    (re.compile(r"Crew '[^']*': the route '([^']+)'"), "models"),
    (re.compile(r"Crew '[^']*': input '([^']+)'"), "inputs"),
)
"""By how a message begins, the section that it is about; the group is the name."""
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True)
class There:
    """What a file has defined so far."""

    load: Callable[[Path], Crew]
    """Reads another file."""
    before: tuple[Path, ...] = ()
    """The files that are being read, the outermost first."""
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
    whole = {**values, **named}
    where = ".".join(map(str, at)) or "the crew"
    for name in _required(kind):
        if name not in whole:
            raise file.wrong(at, f"{where} has no '{name}'. Write {name}: …")
    try:
        return kind(**whole)
    except CrewkitError as error:
        hint = " Put it in quotation marks." if _UNQUOTED.search(str(error)) else ""
        raise file.wrong(_blamed(file, str(error)) or at, f"{error}{hint}") from error
    except TypeError as error:
        raise file.wrong(at, f"{where}: {error}.") from error


def _required(kind: Callable[..., Any]) -> list[str]:
    """Return what a definition has to be given by name."""
    parameters = inspect.signature(kind).parameters.values()
    return [
        each.name
        for each in parameters
        if each.default is each.empty and each.kind is not each.VAR_POSITIONAL
    ]


def _blamed(file: File, message: str) -> Place:
    """Return the place of the definition that a message is about."""
    for pattern, where in _ABOUT:
        if found := pattern.match(message):
            wanted = next(filter(None, found.groups()))
            given: Any = file.data.get(where)
            roles = {
                name: cast("Data", told).get("role", name) if isinstance(told, dict) else name
                for name, told in (cast("Data", given) if isinstance(given, dict) else {}).items()
            }
            return next(((where, name) for name, role in roles.items() if wanted in (name, role)), (where,))
    return ()


# Values


def convert(file: File, at: Place, given: Data, there: There) -> Data:
    """Turn what stands in a mapping into what the definition's fields take."""
    values: Data = {}
    for key, value in given.items():
        read = _READ.get(key)
        values[key] = read(file, (*at, key), value, there) if read else value
    return values


def _limits(file: File, at: Place, value: Any, there: There) -> Limits:
    if not isinstance(value, dict):
        raise file.wrong(at, "limits is a mapping: {tokens: 50000, usd: 0.5}; null is no cap.")
    known(file, at, cast("Data", value), names(Limits))
    told = cast("Data", value)
    times = {"seconds": _seconds(file, (*at, "seconds"), told["seconds"], there)} if "seconds" in told else {}
    return made(file, at, Limits, {**told, **times})


def _scope(file: File, at: Place, value: Any, there: There) -> Scope:
    grants: list[Grant | str] = []
    for i, each in enumerate(_list(file, at, value)):
        if isinstance(each, dict):
            known(file, (*at, i), cast("Data", each), names(Grant))
            told = cast("Data", each)
            times = (
                {"expires": _seconds(file, (*at, i, "expires"), told["expires"], there)}
                if "expires" in told
                else {}
            )
            grants.append(made(file, (*at, i), Grant, {**told, **times}))
        else:
            grants.append(a_name(file, (*at, i), each))
    return Scope(*grants)


def _models(file: File, at: Place, value: Any, there: There) -> dict[str, Route]:
    if not isinstance(value, dict):
        raise file.wrong(at, "models is a mapping of routes: {cheap: {model: openai/gpt-5-mini}}.")
    routes: dict[str, Route] = {}
    for name, told in cast("Data", value).items():
        route: Data = {"model": told} if isinstance(told, str) else told
        known(file, (*at, name), route, names(Route))
        usd = {"usd": tuple(_list(file, (*at, name, "usd"), route["usd"]))} if route.get("usd") else {}
        times = {
            key: _seconds(file, (*at, name, key), route[key], there)
            for key in ("timeout", "latency")
            if key in route
        }
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
            place: Place = (*at, i, "any_of")
            all = _list(file, place, cast("Data", each).get("any_of"))
            needs.append(any_of(*(a_name(file, (*place, k), one) for k, one in enumerate(all))))
        else:
            needs.append(a_name(file, (*at, i), each))
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
        times = {key: duration_of(each) for key, each in told.items()}
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
        return made(file, at, Ask, {"question": value})
    told = cast("Data", value)
    known(file, at, told, names(Ask))
    times = {"expires": _seconds(file, (*at, "expires"), told["expires"], there)} if "expires" in told else {}
    return made(file, at, Ask, {**told, **times})


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
        return _other(file, at, file.path.parent / value, there)
    if isinstance(value, str) and value in there.tools:
        return there.tools[value]
    return imported(file, at, str(value))


def _other(file: File, at: Place, path: Path, there: There) -> Crew:
    """Return the crew of another file."""
    if path.resolve() in there.before:
        told = " → ".join(each.name for each in (*there.before, path))
        raise file.wrong(at, f"a crew cannot do a task of itself: {told}.")
    try:
        return there.load(path)
    except InputError as error:
        raise file.wrong(at, str(error)) from error


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
    return Priority(*(a_name(file, (*at, i), each) for i, each in enumerate(_list(file, at, value))))


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


def _deadline(file: File, at: Place, value: Any, _: There) -> Any:
    read = duration(value)
    if isinstance(read, str):
        raise file.wrong(
            at, f"{at[-1]} is {value!r:.40}, not a duration: 30s, 10m, 2h, 7d, 1w, or a number of seconds."
        )
    return read


def _seconds(file: File, at: Place, value: Any, there: There) -> Any:
    read = _deadline(file, at, value, there)
    return read.total_seconds() if isinstance(read, timedelta) else read


def _wait_for(_file: File, _at: Place, value: Any, _: There) -> Any:
    seconds = (
        isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < timedelta.max.days
    )
    return timedelta(seconds=value) if seconds else duration(value)


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
    "deadline": _deadline,
    "wait_for": _wait_for,
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


def a_name(file: File, at: Place, value: Any) -> str:
    """Return a name that stands in a list; refuse what YAML reads as something else, such as `on` and `1`."""
    if not isinstance(value, str):
        where = ".".join(map(str, at))
        raise file.wrong(
            at,
            f"{where} is {value!r:.40}, not a name. A name that YAML reads otherwise goes in quotation marks.",
        )
    return value


def pick(file: File, at: Place, name: Any, known: Mapping[str, Any], what: str) -> Any:
    """Return what a name means."""
    if isinstance(name, bool | int | float):
        a_name(file, at, name)
    if not isinstance(name, str) or name not in known:
        near = did_you_mean(str(name), known)
        raise file.wrong(at, f"there is no {what} '{name}'.{near} There are: {', '.join(known) or 'none'}.")
    return known[name]
