"""A crew written as YAML: the same definitions as in Python, read from `crew.yaml`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, cast

from crewkit.agents.agent import Agent
from crewkit.checks.scope import Grant, Scope
from crewkit.core.limits import Limits
from crewkit.crew.crew import Crew, Input
from crewkit.crew.lines import Data, File, Place, read_yaml
from crewkit.crew.named import CODE, imported, type_of
from crewkit.crew.task import Task, any_of
from crewkit.errors import CrewkitError, did_you_mean
from crewkit.models.route import Capable, Route
from crewkit.tools.tool import Tool, tool

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d|w)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def load_yaml(path: Path) -> Crew:
    """Return the crew that a YAML file describes.

    Nothing is imported but the modules that the file names (`module:attr`), which are looked for beside it first; that
    needs the file's folder on `sys.path`.

    Raises:
        DefinitionError: It cannot be read, or has a mistake; the message says the line.
    """
    file = read_yaml(path)
    _known(file, (), file.data, {*_names(Crew), "tools"})
    tools = {name: _tool(file, name, given) for name, given in _section(file, "tools").items()}
    agents = {name: _agent(file, name, given, tools) for name, given in _section(file, "agents").items()}
    tasks = [_task(file, name, given, agents, tools) for name, given in _section(file, "tasks").items()]
    own = {
        key: value for key, value in file.data.items() if key not in ("tools", "agents", "tasks", "inputs")
    }
    values = {"name": path.stem, **_convert(file, (), own, tools)}
    return _made(file, (), Crew, values, tasks=tasks, agents=list(agents.values()), inputs=_inputs(file))


# Sections


def _section(file: File, name: str) -> Data:
    section: Any = file.data.get(name) or {}
    if not isinstance(section, dict):
        raise file.wrong((name,), f"{name} is no mapping. Write each by its name: {name}: {{first: {{…}}}}.")
    for key, value in cast("Data", section).items():
        if not isinstance(value, dict | str):
            raise file.wrong((name, key), f"{name}.{key} is {value!r:.40}, not a mapping.")
    return cast("Data", section)


def _known(file: File, at: Place, given: Data, names: set[str]) -> None:
    for key in given:
        if key not in names:
            where = f"{'.'.join(map(str, at))} has no field" if at else "there is no section"
            known = ", ".join(sorted(names))
            raise file.wrong((*at, key), f"{where} '{key}'.{did_you_mean(key, names)} There are: {known}.")


def _names(definition: Any) -> set[str]:
    if not is_dataclass(definition):
        return set(inspect.signature(definition).parameters)
    return {each.name for each in fields(definition) if each.init and not each.name.startswith("_")}


# Definitions


def _tool(file: File, name: str, given: Data | str) -> Tool:
    """Return a tool: a function or a tool that `use` names, with what else is said of it over its own."""
    at: Place = ("tools", name)
    told: Data = {"use": given} if isinstance(given, str) else dict(given)
    options = _names(Tool) - {"function", "parameters", "context", "convert", "name"}
    _known(file, at, told, {*options, "use"})
    if "use" not in told:
        raise file.wrong(at, f"tool '{name}' does not say what it is: use: module:function")
    found = imported(file, (*at, "use"), str(told.pop("use")))
    effects = told.get("effects")
    told |= {"effects": (effects,) if isinstance(effects, str) else tuple(effects)} if effects else {}
    try:
        made = found if isinstance(found, Tool) else tool(found, name=name)
        return replace(made, name=name, **_convert(file, at, told, {}))
    except (CrewkitError, TypeError, AttributeError) as error:
        raise file.wrong(at, str(error)) from error


def _agent(file: File, name: str, given: Data | str, tools: Mapping[str, Tool]) -> Agent:
    at: Place = ("agents", name)
    if isinstance(given, str):
        raise file.wrong(at, f"agent '{name}' is a text. Give it a goal: {name}: {{goal: …}}.")
    _known(file, at, given, _names(Agent))
    return _made(file, at, Agent, _convert(file, at, given, tools), role=given.get("role", name))


def _task(
    file: File, name: str, given: Data | str, agents: Mapping[str, Agent], tools: Mapping[str, Tool]
) -> Task[Any]:
    at: Place = ("tasks", name)
    told: Data = {"description": given} if isinstance(given, str) else given
    _known(file, at, told, {*_names(Task), "output"} - {"name", "output_type"})
    values = _convert(file, at, told, tools)
    if "agent" in told:
        values["agent"] = _pick(file, (*at, "agent"), told["agent"], agents, "agent")
    if "output" in told:
        values["output_type"] = type_of(file, (*at, "output"), told["output"], name)
        del values["output"]
    return _made(file, at, Task, values, name=name)


def _made(file: File, at: Place, kind: Callable[..., Any], values: Data, **named: Any) -> Any:
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
    section = "tasks" if match[1] == "Task" else "agents"
    for name, given in _section(file, section).items():
        role = None if isinstance(given, str) else cast("Data", given).get("role")
        if match[2] in (name, role):
            return (section, name)
    return ()


def _inputs(file: File) -> list[str] | dict[str, Input]:
    given: Any = file.data.get("inputs") or []
    if isinstance(given, list):
        return [str(each) for each in cast("list[Any]", given)]
    if not isinstance(given, dict):
        raise file.wrong(("inputs",), "inputs is a list of names, or a mapping of names.")
    inputs: dict[str, Input] = {}
    for name, told in cast("Data", given).items():
        at: Place = ("inputs", name)
        said: Data = {"description": told} if isinstance(told, str) else dict(told or {})
        _known(file, at, said, {"description", "type", "default"})
        if "type" in said:
            said["type"] = type_of(file, (*at, "type"), said["type"], name)
        inputs[name] = _made(file, at, Input, said)
    return inputs


# Values


def _convert(file: File, at: Place, given: Data, tools: Mapping[str, Tool]) -> Data:
    """Turn what stands in a mapping into what the definition's fields take."""
    values: Data = {}
    for key, value in given.items():
        convert = _CONVERT.get(key)
        values[key] = convert(file, (*at, key), value, tools) if convert else value
    return values


def _limits(file: File, at: Place, value: Any, _: object) -> Limits:
    if not isinstance(value, dict):
        raise file.wrong(at, "limits is a mapping: {tokens: 50000, usd: 0.5}; null is no cap.")
    _known(file, at, cast("Data", value), _names(Limits))
    return _made(file, at, Limits, cast("Data", value))


def _scope(file: File, at: Place, value: Any, _: object) -> Scope:
    grants: list[Grant | str] = []
    for i, each in enumerate(_list(file, at, value)):
        if isinstance(each, dict):
            _known(file, (*at, i), cast("Data", each), _names(Grant))
            grants.append(_made(file, (*at, i), Grant, cast("Data", each)))
        else:
            grants.append(str(each))
    return Scope(*grants)


def _models(file: File, at: Place, value: Any, _: object) -> dict[str, Route]:
    if not isinstance(value, dict):
        raise file.wrong(at, "models is a mapping of routes: {cheap: {model: openai/gpt-5-mini}}.")
    routes: dict[str, Route] = {}
    for name, told in cast("Data", value).items():
        route: Data = {"model": told} if isinstance(told, str) else told
        _known(file, (*at, name), route, _names(Route))
        usd = {"usd": tuple(route["usd"])} if route.get("usd") else {}
        routes[name] = _made(file, (*at, name), Route, {**route, **usd})
    return routes


def _model(file: File, at: Place, value: Any, _: object) -> Any:
    if not isinstance(value, dict):
        return value
    told = dict(cast("Data", value))
    _known(file, at, told, {"capable", "context", "prefer"})
    capable = _list(file, (*at, "capable"), told.pop("capable", []))
    return _made(file, at, partial(Capable, *map(str, capable)), told)


def _tools(file: File, at: Place, value: Any, tools: Mapping[str, Tool]) -> list[Tool]:
    from crewkit.agents.delegate import ask_colleague

    known = {**tools, ask_colleague.name: ask_colleague}
    return [_pick(file, (*at, i), name, known, "tool") for i, name in enumerate(_list(file, at, value))]


def _needs(file: File, at: Place, value: Any, _: object) -> list[Any]:
    needs: list[Any] = []
    for i, each in enumerate(_list(file, at, value)):
        if isinstance(each, dict):
            _known(file, (*at, i), cast("Data", each), {"any_of"})
            needs.append(any_of(*_list(file, (*at, i), each["any_of"])))
        else:
            needs.append(str(each))
    return needs


def _functions(file: File, at: Place, value: Any, _: object) -> list[Any]:
    return [imported(file, (*at, i), str(each)) for i, each in enumerate(_list(file, at, value))]


def _do(file: File, at: Place, value: Any, _: object) -> Any:
    if isinstance(value, str) and value.endswith((".yaml", ".yml")):
        return load_yaml(file.path.parent / value)
    return imported(file, at, str(value))


def _condition(file: File, at: Place, value: Any, _: object) -> Any:
    return imported(file, at, value) if isinstance(value, str) and CODE.fullmatch(value) else value


def _duration(file: File, at: Place, value: Any, _: object) -> Any:
    return duration(value)


def duration(value: Any) -> Any:
    """Read `30s`, `10m`, `2h`, `7d` or `1w`; anything else is left as it is."""
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    return timedelta(**{_UNITS[match[2]]: float(match[1])}) if match else value


_CONVERT: Mapping[str, Callable[[File, Place, Any, Mapping[str, Tool]], Any]] = {
    "limits": _limits,
    "scope": _scope,
    "models": _models,
    "model": _model,
    "tools": _tools,
    "needs": _needs,
    "context": _needs,
    "guardrails": _functions,
    "do": _do,
    "when": _condition,
    "until": _condition,
    "deadline": _duration,
    "wait_for": _duration,
}


def _list(file: File, at: Place, value: Any) -> Sequence[Any]:
    if not isinstance(value, list):
        raise file.wrong(at, f"{at[-1]} is {value!r:.40}, not a list: [{value!s:.40}].")
    return cast("list[Any]", value)


def _pick(file: File, at: Place, name: Any, known: Mapping[str, Any], what: str) -> Any:
    if name not in known:
        near = did_you_mean(str(name), known)
        raise file.wrong(at, f"there is no {what} '{name}'.{near} There are: {', '.join(known) or 'none'}.")
    return known[name]
