"""A crew written as YAML: the same definitions as in Python, read from `crew.yaml`."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from crewkit.agents.agent import Agent
from crewkit.crew.crew import Crew, Input
from crewkit.crew.task import Task
from crewkit.errors import CrewkitError
from crewkit.files.lines import Data, File, Place, read_yaml
from crewkit.files.named import imported, type_of
from crewkit.files.values import There, a_name, convert, known, made, names, pick, rungs, section
from crewkit.tools.tool import Tool, tool


def load_yaml(path: Path, before: tuple[Path, ...] = ()) -> Crew:
    """Return the crew that a YAML file describes.

    Nothing is imported but the modules that the file names (`module:attr`), which are looked for beside it first; that
    needs the file's folder on `sys.path`.

    Args:
        path: The file.
        before: The files whose tasks it does, the outermost first.

    Raises:
        DefinitionError: It cannot be read, or has a mistake; the message says the line.
    """
    file = read_yaml(path)
    known(file, (), file.data, {*names(Crew), "tools"})
    there = There(partial(load_yaml, before=(*before, path.resolve())), (*before, path.resolve()))
    given = section(file, "tools")
    for name in given:
        _tool(file, name, given, there)
    for name, told in section(file, "agents").items():
        there.agents[name] = _agent(file, name, told, there)
    tasks = [_task(file, name, told, there) for name, told in section(file, "tasks").items()]
    apart = ("tools", "agents", "tasks", "inputs")
    own = {key: value for key, value in file.data.items() if key not in apart}
    values = {"name": path.stem, **convert(file, (), own, there)}
    inputs = _inputs(file)
    if not tasks:
        raise file.wrong(("tasks",), "there are no tasks. Write at least one: tasks: {first: {…}}.")
    return made(file, (), Crew, values, tasks=tasks, agents=list(there.agents.values()), inputs=inputs)


def _tool(file: File, name: str, all: Data, there: There, before: tuple[str, ...] = ()) -> Tool:
    """Return a tool: a function or a tool that `use` names, with what else is said of it over its own.

    A fallback is made before the tool that falls back on it.
    """
    if name in there.tools:
        return there.tools[name]
    at: Place = ("tools", name)
    given = all[name]
    told: Data = {"use": given} if isinstance(given, str) else dict(given)
    known(file, at, told, {*names(Tool) - {"function", "parameters", "context", "convert", "name"}, "use"})
    if "use" not in told:
        raise file.wrong(at, f"tool '{name}' does not say what it is: use: module:function")
    found = imported(file, (*at, "use"), str(told.pop("use")))
    if (other := told.pop("fallback", None)) is not None:
        if other in (name, *before):
            raise file.wrong((*at, "fallback"), f"tool '{name}' falls back on itself.")
        pick(file, (*at, "fallback"), other, all, "tool")
        told["fallback"] = _tool(file, other, all, there, (*before, name))
    if (back := told.pop("undo", None)) is not None:
        if back == name:
            raise file.wrong((*at, "undo"), f"tool '{name}' undoes itself.")
        pick(file, (*at, "undo"), back, all, "tool")
        told["undo"] = _tool(file, back, all, there, (*before, name))
    values = convert(file, at, told, there)
    try:
        plain = found if isinstance(found, Tool) else tool(found, name=name)
        there.tools[name] = replace(plain, name=name, **values)
    except (CrewkitError, TypeError, AttributeError) as error:
        raise file.wrong(at, str(error)) from error
    return there.tools[name]


def _agent(file: File, name: str, given: Data | str, there: There) -> Agent:
    at: Place = ("agents", name)
    if isinstance(given, str):
        raise file.wrong(at, f"agent '{name}' is a text. Give it a goal: {name}: {{goal: …}}.")
    known(file, at, given, names(Agent))
    return made(file, at, Agent, convert(file, at, given, there), role=given.get("role", name))


def _task(file: File, name: str, given: Data | str, there: There) -> Task[Any]:
    at: Place = ("tasks", name)
    told: Data = {"description": given} if isinstance(given, str) else given
    known(file, at, told, {*names(Task), "output"} - {"name", "output_type"})
    values = convert(file, at, told, there)
    if "fallback" in told:
        values["fallback"] = rungs(file, (*at, "fallback"), told["fallback"], there)
    if "output" in told:
        values["output_type"] = type_of(file, (*at, "output"), told["output"], name)
        del values["output"]
    return made(file, at, Task, values, name=name)


def _inputs(file: File) -> list[str] | dict[str, Input]:
    given: Any = file.data.get("inputs") or []
    if isinstance(given, list):
        return [a_name(file, ("inputs", i), each) for i, each in enumerate(cast("list[Any]", given))]
    if not isinstance(given, dict):
        raise file.wrong(("inputs",), "inputs is a list of names, or a mapping of names.")
    inputs: dict[str, Input] = {}
    for name, told in cast("Data", given).items():
        at: Place = ("inputs", name)
        said: Data = {"description": told} if isinstance(told, str) else {} if told is None else told
        known(file, at, said, {"description", "type", "default"})
        said = dict(said)
        if "type" in said:
            said["type"] = type_of(file, (*at, "type"), said["type"], name)
        inputs[name] = made(file, at, Input, said)
    return inputs
