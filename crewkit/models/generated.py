"""A model that invents: it calls every tool once and answers with what the schema wants."""

from __future__ import annotations

import json
import math
from typing import Any, cast

from crewkit.core.messages import ToolCall
from crewkit.models.base import Answer, Request, Watch
from crewkit.models.tokens import estimate_usage

Schema = dict[str, Any]

_FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "P1D",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


class GeneratedModel:
    """A model for tests that need no script: it calls each tool once, all in one turn, then answers.

    Arguments and answers are the plainest values that their JSON Schemas allow, the same every time.
    """

    def __init__(self, *, text: str = "Done.", name: str = "generated") -> None:
        self.name = name
        self._text = text

    async def answer(self, request: Request, watch: Watch) -> Answer:
        """Call the tools that were not called yet; when there are none, answer."""
        called = {call.name for message in request.messages for call in message.tool_calls}
        turn = sum(message.role == "assistant" for message in request.messages)
        calls = tuple(
            ToolCall(
                f"call-{turn}-{place}", tool.name, json.dumps(example(tool.parameters), ensure_ascii=False)
            )
            for place, tool in enumerate(tool for tool in request.tools if tool.name not in called)
        )
        schema = request.output_schema
        text = self._text if schema is None else json.dumps(example(schema), ensure_ascii=False)
        if calls:
            answer = Answer(tool_calls=calls, finish_reason="tool_calls", usd=0.0, model=self.name)
        else:
            answer = Answer(text, usd=0.0, model=self.name)
            watch.chunk(text)
        return Answer(
            answer.content, calls, estimate_usage(request, answer), 0.0, self.name, answer.finish_reason
        )

    def price(self, input_tokens: int, output_tokens: int) -> float | None:
        """Return 0.0: inventing costs nothing."""
        return 0.0


def example(schema: Schema) -> Any:
    """Return the plainest value that a JSON Schema allows.

    Knows what `@tool` and pydantic write: types, enums, defaults, bounds, lengths, formats, references and
    unions. Not `pattern`, `not` and conditions.
    """
    return _example(schema, schema.get("$defs", {}), depth=0)


def _example(schema: Schema, named: dict[str, Schema], depth: int) -> Any:
    if "$ref" in schema:
        return _example(named[str(schema["$ref"]).rpartition("/")[2]], named, depth + 1)
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    for key in ("examples", "enum"):
        if schema.get(key):
            return schema[key][0]
    if schema.get("allOf"):
        merged: Schema = {}
        for part in (*schema["allOf"], {k: v for k, v in schema.items() if k != "allOf"}):
            merged = _merged(merged, _target(part, named))
        return _example(merged, named, depth)
    choices: list[Schema] = schema.get("anyOf") or schema.get("oneOf") or []
    if choices:
        # Deep inside a type that holds itself, nothing is the value that ends it.
        ending = [choice for choice in choices if choice.get("type") == "null"]
        return _example(ending[0] if ending and depth > 2 else choices[0], named, depth)
    return _of_type(schema, named, depth)


def _of_type(schema: Schema, named: dict[str, Schema], depth: int) -> Any:
    match _kind(schema):
        case "object":
            properties: dict[str, Schema] = schema.get("properties", {})
            other = _schema(schema.get("additionalProperties"))
            return {
                name: _example(properties.get(name, other), named, depth + 1)
                for name in cast("list[str]", schema.get("required", []))
            }
        case "array":
            first = cast("list[Schema]", schema.get("prefixItems", []))
            least = max(len(first), int(schema.get("minItems", 0)))
            rest = [_schema(schema.get("items"))] * (least - len(first))
            return [_example(part, named, depth + 1) for part in (*first, *rest)]
        case "integer" | "number" as number:
            return _number(schema, whole=number == "integer")
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return _text(schema)


def _kind(schema: Schema) -> str:
    kind: object = schema.get("type") or ("object" if "properties" in schema else "string")
    return str(cast("list[str]", kind)[0] if isinstance(kind, list) else kind)


def _schema(value: object) -> Schema:
    """Return a schema where there may be true, false or nothing."""
    return cast("Schema", value) if isinstance(value, dict) else {}


def _number(schema: Schema, *, whole: bool) -> float:
    step = schema.get("multipleOf", 1)
    low = schema.get("minimum", -math.inf)
    low = max(low, schema.get("exclusiveMinimum", -math.inf) + (step if whole else 1e-3))
    high = min(
        schema.get("maximum", math.inf), schema.get("exclusiveMaximum", math.inf) - (step if whole else 1e-3)
    )
    value = min(max(1, low), high)
    if whole or "multipleOf" in schema:
        value = math.ceil(value / step) * step if value != high else math.floor(value / step) * step
    return int(value) if whole else value


def _text(schema: Schema) -> str:
    text = _FORMATS.get(schema.get("format", ""), "text")
    text = text.ljust(int(schema.get("minLength", 0)), "x")
    return text[: schema["maxLength"]] if "maxLength" in schema else text


def _target(schema: Schema, named: dict[str, Schema]) -> Schema:
    return named[str(schema["$ref"]).rpartition("/")[2]] if "$ref" in schema else schema


def _merged(first: Schema, second: Schema) -> Schema:
    return {
        **first,
        **second,
        "properties": {**first.get("properties", {}), **second.get("properties", {})},
        "required": [*first.get("required", ()), *second.get("required", ())],
    }
