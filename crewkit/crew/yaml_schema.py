"""The JSON Schema of `crew.yaml`, for editors. Made from the definitions: what stands there has its words from them."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Mapping
from dataclasses import MISSING, fields
from itertools import pairwise
from typing import Any

from crewkit.agents.agent import Agent
from crewkit.core.limits import Limits
from crewkit.crew.crew import Crew, Input
from crewkit.crew.task import Task
from crewkit.models.route import Route
from crewkit.tools.tool import Tool

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_TEXTS: Schema = {"type": "array", "items": _TEXT}
_CODE: Schema = {"type": "string", "description": "module:attr", "pattern": r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"}
_KINDS: Mapping[str, Schema] = {
    "str": _TEXT,
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "Sequence[str]": _TEXTS,
}
_NUMBER_OR_NULL: Schema = {"type": ["number", "null"]}
_MODEL: Schema = {
    "anyOf": [
        _TEXT,
        _TEXTS,
        {
            "type": "object",
            "properties": {
                "capable": _TEXTS,
                "context": {"type": "integer"},
                "prefer": {"enum": ["listed", "cheap", "fast"]},
            },
            "required": ["capable"],
            "additionalProperties": False,
        },
    ]
}
_LISTS: Schema = {"type": "object", "additionalProperties": {"anyOf": [_TEXT, _TEXTS]}}
_GRANT: Schema = {
    "type": "object",
    "properties": {
        "tool": {**_TEXT, "description": "The tool's exact name."},
        "approval": {
            "enum": ["always", "effects", "tainted", "never"],
            "description": "When a person is asked.",
        },
        "where": {"type": "object", "description": "JSON Schema of the arguments."},
        "roots": {**_LISTS, "description": "By argument, the folders in which the path has to lie."},
        "hosts": {**_LISTS, "description": "By argument, the hosts on which the URL has to be."},
        "max_calls": {"type": "integer", "description": "Calls in one run."},
        "expires": {"type": "number", "description": "Seconds that a person has to decide."},
    },
    "required": ["tool"],
    "additionalProperties": False,
}
_TYPE: Schema = {
    "anyOf": [
        {
            **_TEXT,
            "description": "str, int, float, bool, list[str], dict[str, int], str | null, or module:Class",
        },
        {"type": "object", "additionalProperties": {"$ref": "#/$defs/type"}},
    ]
}


def schema() -> Schema:
    """Return the JSON Schema (2020-12) of a crew's YAML file."""
    any_of: Schema = {
        "type": "object",
        "properties": {"any_of": _TEXTS},
        "required": ["any_of"],
        "additionalProperties": False,
    }
    special: dict[str, Schema] = {
        "limits": {"$ref": "#/$defs/limits"},
        "scope": {"type": "array", "items": {"anyOf": [_TEXT, {"$ref": "#/$defs/grant"}]}},
        "model": {"$ref": "#/$defs/model"},
        "tools": _TEXTS,
        "needs": {"type": "array", "items": {"anyOf": [_TEXT, any_of]}},
        "context": _TEXTS,
        "for_each": _TEXT,
        "guardrails": {"type": "array", "items": _CODE},
        "effects": {"anyOf": [_effect(), {"type": "array", "items": _effect()}]},
        "agent": _TEXT,
    }
    task = _record(Task, special, leave={"name", "output_type"}, more={"output": {"$ref": "#/$defs/type"}})
    # A route's model and context are a name and a number, unlike those of a task.
    route = _record(
        Route, {"model": {"anyOf": [_TEXT, _TEXTS]}, "usd": {"type": "array", "items": {"type": "number"}}}
    )
    route["properties"]["context"] = {**route["properties"]["context"], "type": "integer"}
    tool = _record(
        Tool, special, leave={"name", "function", "parameters", "context", "convert"}, more={"use": _CODE}
    )
    own = {**special, "inputs": _inputs(), "memory": _TEXT}
    crew = _record(Crew, own, leave={"tasks", "agents", "models"})
    crew["properties"] |= {
        "models": _table({"anyOf": [_TEXT, route]}),
        "tools": _table({"anyOf": [_CODE, {**tool, "required": ["use"]}]}),
        "agents": _table({**_record(Agent, special), "required": ["goal"]}),
        "tasks": _table({"anyOf": [_TEXT, task]}),
    }
    limits = _record(Limits, dict.fromkeys(_names(Limits), _NUMBER_OR_NULL))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A crew",
        "$defs": {"limits": limits, "grant": _GRANT, "model": _MODEL, "type": _TYPE},
        **crew,
        "required": ["tasks"],
    }


def _inputs() -> Schema:
    described = _record(Input, {"type": {"$ref": "#/$defs/type"}, "default": {}})
    return {"anyOf": [_TEXTS, _table({"anyOf": [_TEXT, {"type": "null"}, described]})]}


def _effect() -> Schema:
    return {"enum": ["read", "write", "external", "financial"]}


def _table(each: Schema) -> Schema:
    return {"type": "object", "additionalProperties": each}


def _names(definition: Any) -> list[str]:
    return [each.name for each in fields(definition) if each.init and not each.name.startswith("_")]


def _record(
    definition: Any,
    special: Mapping[str, Schema],
    *,
    leave: set[str] | None = None,
    more: Mapping[str, Schema] = {},
) -> Schema:
    """Return the schema of a mapping with a definition's fields, its words under each."""
    said = _docs(definition)
    kinds = {each.name: str(each.type) for each in fields(definition)}
    defaults = {each.name: each.default for each in fields(definition) if each.default is not MISSING}
    properties: dict[str, Schema] = {}
    for name in _names(definition):
        if name in (leave or ()):
            continue
        shape = dict(special.get(name) or _kind(kinds[name]))
        if said.get(name):
            shape["description"] = said[name]
        if isinstance(defaults.get(name), str | int | float) and not isinstance(defaults[name], type):
            shape["default"] = defaults[name]
        properties[name] = shape
    return {"type": "object", "properties": {**properties, **more}, "additionalProperties": False}


def _kind(annotation: str) -> Schema:
    required = annotation.removesuffix(" | None")
    known = _KINDS.get(required)
    if known is None or required == annotation:
        return known or {}
    return {"anyOf": [known, {"type": "null"}]}


def _docs(definition: type) -> dict[str, str]:
    """Return what stands under each field of a definition."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(definition)))
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    found: dict[str, str] = {}
    for field, below in pairwise(body):
        said = below.value if isinstance(below, ast.Expr) else None
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(said, ast.Constant)
        ):
            found[field.target.id] = " ".join(str(said.value).split())
    return found
