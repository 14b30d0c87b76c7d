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
from crewkit.agents.window import Window
from crewkit.core.guardrails import Guardrails
from crewkit.core.limits import Limits
from crewkit.core.verdict import Ask
from crewkit.crew.conversation import Conversation
from crewkit.crew.crew import Crew, Input
from crewkit.crew.planner import Planner
from crewkit.crew.task import Task
from crewkit.models.route import Route
from crewkit.resilience.breaker import Breaker
from crewkit.resilience.retry import Retry
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
_RATE: Schema = {
    "type": "string",
    "pattern": r"^\s*\d+\s*/\s*\w+\s*$",
    "description": "Calls in a time: 30/min.",
}
_CODES: Schema = {"type": "array", "items": _CODE}
_SECONDS: Schema = {
    "anyOf": [
        {"type": ["number", "null"], "minimum": 0},
        {"type": "string", "pattern": r"^\d+(\.\d+)?\s*[smhdw]$"},
    ],
    "description": "Seconds, or 30s, 10m, 2h, 7d, 1w.",
}
_CAP: Schema = {"type": ["number", "null"], "exclusiveMinimum": 0}
_COUNT: Schema = {"type": "integer", "minimum": 1}
_COUNT_OR_NONE: Schema = {"type": "integer", "minimum": 0}
_PLACES: Schema = {"anyOf": [_TEXT, _TEXTS]}
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
        "expires": _SECONDS,
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
        "properties": {"any_of": {**_TEXTS, "minItems": 1}},
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
        "guardrails": {"anyOf": [_CODES, _record(Guardrails, dict.fromkeys(_names(Guardrails), _CODES))]},
        "effects": {"anyOf": [_effect(), {"type": "array", "items": _effect()}]},
        "agent": _TEXT,
        "routes": {"anyOf": [_TEXTS, _table(_TEXT)]},
        "requires_tools": _TEXTS,
        "wait_for": {"anyOf": [_TEXT, {"type": "number", "minimum": 0}]},
        "iterations": _COUNT,
        "revisions": _COUNT_OR_NONE,
        "deadline": _SECONDS,
        "timeout": _SECONDS,
        "cache_ttl": _SECONDS,
        "when": _TEXT,
        "until": _TEXT,
        "notify": _PLACES,
        "knowledge": _PLACES,
        "on_failure": {"enum": ["fail", "skip", "continue"]},
        "human_input": {"type": ["boolean", "string"]},
        "min_success": {"type": "number", "minimum": 0},
        "breaker": {"anyOf": [{"type": "null"}, _record(Breaker, dict.fromkeys(_names(Breaker), _SECONDS))]},
        "window": _record(Window, {"model": {"$ref": "#/$defs/model"}}),
        "retries": {"anyOf": [_COUNT_OR_NONE, _record(Retry, dict.fromkeys(_names(Retry), _SECONDS))]},
        "retry_on": _CODES,
        "rate": _RATE,
        "concurrency": _COUNT,
        "max_tokens": _COUNT,
        "control": _TEXTS,
        "preview": _CODE,
        "undo": {**_TEXT, "description": "A tool of the file."},
    }
    doing: Schema = {
        "anyOf": [_TEXT, _one("conversation", _conversation()), _one("plan", _planner()), _resolve()]
    }
    rungs: Schema = {
        "type": "array",
        "items": {"anyOf": [*_MODEL["anyOf"], _one("agent", _TEXT), _one("ask", _ask())]},
    }
    task = _record(
        Task,
        {**special, "do": doing, "fallback": rungs},
        leave={"name", "output_type"},
        more={"output": {"$ref": "#/$defs/type"}},
    )
    # A route's model and context are a name and a number, unlike those of a task.
    route = _record(
        Route,
        {
            "model": {"anyOf": [_TEXT, _TEXTS]},
            "usd": {"type": "array", "items": {"type": "number", "minimum": 0}, "minItems": 2, "maxItems": 2},
            "timeout": _SECONDS,
            "latency": _SECONDS,
            "retries": _COUNT_OR_NONE,
            "concurrency": _COUNT,
            "rate": _RATE,
        },
    )
    route["required"] = ["model"]
    route["properties"]["context"] = {**route["properties"]["context"], "type": "integer"}
    tool = _record(
        Tool,
        {**special, "fallback": _TEXT},
        leave={"name", "function", "parameters", "context", "convert"},
        more={"use": _CODE},
    )
    own = {**special, "inputs": _inputs(), "memory": _TEXT}
    crew = _record(Crew, own, leave={"tasks", "agents", "models"})
    crew["properties"] |= {
        "models": _table({"anyOf": [_TEXT, route]}),
        "tools": _table({"anyOf": [_CODE, {**tool, "required": ["use"]}]}),
        "agents": _table({**_record(Agent, special), "required": ["goal"]}),
        "tasks": {
            **_table({"anyOf": [_TEXT, task]}),
            "minProperties": 1,
            "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_-]*$"},
        },
    }
    limits = _record(Limits, {**dict.fromkeys(_names(Limits), _CAP), "seconds": _SECONDS})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A crew",
        "$defs": {"limits": limits, "grant": _GRANT, "model": _MODEL, "type": _TYPE},
        **crew,
        "required": ["tasks"],
    }


def _one(word: str, value: Schema, **more: Schema) -> Schema:
    """Return the schema of a mapping whose key says what it is."""
    properties = {word: value, **more}
    return {"type": "object", "properties": properties, "required": [word], "additionalProperties": False}


def _ask() -> Schema:
    return {"anyOf": [_TEXT, {**_record(Ask, {"expires": _SECONDS}), "required": ["question"]}]}


def _resolve() -> Schema:
    named = [_one("priority", _TEXTS), _one("agent", _TEXT), _one("ask", _ask())]
    return _one(
        "resolve", {"type": "array", "items": {"anyOf": [{"enum": ["first", "vote"]}, *named]}}, about=_TEXT
    )


def _conversation() -> Schema:
    handing = _table(_TEXTS)
    graph = _one("transitions", _one("onward", handing, back=handing))
    special: Mapping[str, Schema] = {
        "members": {
            **_TEXTS,
            "minItems": 2,
            "description": "Agents by their names, tools, and functions as module:attr.",
        },
        "speaker": {"anyOf": [{"enum": ["in turn", "by hand"]}, _one("agent", _TEXT), graph]},
        "until": _CODE,
        "closing": _TEXT,
        "rounds": _COUNT,
        "pair": _COUNT,
    }
    return {**_record(Conversation, special), "required": ["members"]}


def _planner() -> Schema:
    special: Mapping[str, Schema] = {
        "agents": {**_TEXTS, "minItems": 1},
        "agent": _TEXT,
        "tasks": _COUNT,
        "replans": _COUNT_OR_NONE,
        "approval": {"type": ["boolean", "string"]},
    }
    return {**_record(Planner, special), "required": ["agents"]}


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
            shape["description"] = said[name] + (
                " (30s, 10m, 2h, 7d)" if shape.get("anyOf") == _SECONDS["anyOf"] else ""
            )
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
