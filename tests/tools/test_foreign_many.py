"""More than a thousand foreign schemas of all drafts, held against the reference validator of each: same verdicts."""

from __future__ import annotations

import copy
import json
from random import Random
from typing import Any

import pytest
from jsonschema import (
    Draft4Validator,
    Draft6Validator,
    Draft7Validator,
    Draft201909Validator,
    Draft202012Validator,
)

from crewkit import Allow, Deny, Scope, check_call, tool_from_schema

Data = dict[str, Any]
Made = tuple[Any, Any]
"""A schema, and a value that should fit it."""

DRAFTS: dict[str, Any] = {
    "http://json-schema.org/draft-04/schema#": Draft4Validator,
    "http://json-schema.org/draft-06/schema#": Draft6Validator,
    "http://json-schema.org/draft-07/schema#": Draft7Validator,
    "https://json-schema.org/draft/2019-09/schema": Draft201909Validator,
    "https://json-schema.org/draft/2020-12/schema": Draft202012Validator,
}
NAMES = ["to", "amount", "file_path", "createdAt", "tags", "user-id", "$top", "weird name", "größe"]
PATTERNS = {r"^[a-z]+$": "abc", r"^\d{4}-\d{2}$": "2024-05", r"[@]": "a@b", "^(yes|no)$": "no", r"\S": "x"}
ODD: list[Any] = [
    None,
    True,
    False,
    0,
    1,
    -1,
    1.5,
    10**12,
    "",
    "x",
    "1",
    "true",
    [],
    [1],
    ["x"],
    {},
    {"x": 1},
]


class Maker:
    """Makes schemas in the words of one draft, each with a value that should fit."""

    def __init__(self, random: Random, draft: str) -> None:
        self.random = random
        self.number = list(DRAFTS).index(draft)
        """0 is Draft 4, 4 is 2020-12."""
        self.definitions: Data = {}

    def some(self, *choices: Any) -> Any:
        return self.random.choice(choices)

    def maybe(self, share: float = 0.4) -> bool:
        return self.random.random() < share

    def any(self, depth: int) -> Made:
        kinds = [
            self.text,
            self.text,
            self.whole,
            self.real,
            self.boolean,
            self.enum,
            self.null,
            self.nullable,
        ]
        if depth > 0:
            inner = [
                self.array,
                self.object,
                self.tuple,
                self.union,
                self.all_of,
                self.reference,
                self.negated,
            ]
            kinds += [lambda kind=kind: kind(depth - 1) for kind in [*inner, self.array, self.object]]
            kinds += [lambda: self.conditional(depth - 1)] if self.number >= 2 else []
        schema, value = self.random.choice(kinds)()
        if isinstance(schema, dict) and "$ref" not in schema and self.maybe(0.2):
            schema = {
                **schema,
                **self.some({"title": "T"}, {"description": "D"}, {"default": value}, {"x-own": 1}),
            }
        return schema, value

    def text(self) -> Made:
        match self.random.randrange(4):
            case 0:
                pattern = self.some(*PATTERNS)
                return {"type": "string", "pattern": pattern}, PATTERNS[pattern]
            case 1:
                return {"type": "string", "minLength": 2, "maxLength": self.some(2, 4)}, self.some(
                    "ab", "äö", "🙂x"
                )
            case 2:
                return {"type": "string", "format": self.some("date", "email", "uri", "own")}, "2024-05-15"
            case _:
                return {"type": "string"}, self.some("", "Ann", "a\nb")

    def whole(self) -> Made:
        value = self.random.randint(-50, 50)
        return self.bounded({"type": "integer"}, value)

    def real(self) -> Made:
        value = self.some(self.random.randint(-50, 50), round(self.random.uniform(-50, 50), 2))
        return self.bounded({"type": "number"}, value)

    def bounded(self, schema: Data, value: float) -> Made:
        if self.maybe():
            schema["minimum"] = value - self.some(0, 1)
        if self.maybe():
            schema["maximum"] = value + self.some(0, 1)
        if self.maybe(0.3):
            limit = value + self.some(1, 2.5)
            schema |= (
                {"maximum": limit, "exclusiveMaximum": True}
                if not self.number
                else {"exclusiveMaximum": limit}
            )
        if isinstance(value, int) and self.maybe(0.2):
            schema["multipleOf"] = self.some(*[n for n in (1, 2, 5) if value % n == 0])
        return schema, value

    def boolean(self) -> Made:
        return {"type": "boolean"}, self.maybe()

    def null(self) -> Made:
        return {"type": "null"}, None

    def nullable(self) -> Made:
        kind, value = self.some(("string", "x"), ("integer", 3), ("array", [1]))
        return {"type": [kind, "null"]}, self.some(value, None)

    def enum(self) -> Made:
        choices = self.random.sample(["a", "B", 1, 2.5, None, True, [1], {"k": 1}], 3)
        if self.number and self.maybe(0.3):
            return {"const": choices[0]}, choices[0]
        return {"enum": choices}, self.some(*choices)

    def array(self, depth: int) -> Made:
        inner, value = self.any(depth)
        schema: Data = {"type": "array", "items": inner}
        count = self.random.randint(0, 3)
        if self.maybe(0.3):
            schema["minItems"] = max(count - 1, 0)
        if self.maybe(0.3):
            schema["maxItems"] = count + self.some(0, 1)
        if self.maybe(0.2):
            schema["uniqueItems"], count = True, min(count, 1)
        if self.number and self.maybe(0.1):
            schema["contains"], count = copy.deepcopy(inner), max(count, 1)
        return schema, [copy.deepcopy(value) for _ in range(count)]

    def tuple(self, depth: int) -> Made:
        parts = [self.any(depth) for _ in range(self.random.randint(1, 3))]
        word, rest = ("prefixItems", "items") if self.number == 4 else ("items", "additionalItems")
        schema: Data = {"type": "array", word: [part for part, _ in parts]}
        if self.maybe():
            schema[rest] = False
        return schema, [value for _, value in parts]

    def object(self, depth: int) -> Made:
        names = self.random.sample(NAMES, self.random.randint(0, 4))
        parts = {name: self.any(depth) for name in names}
        needed = [name for name in names if self.maybe(0.6)]
        schema: Data = {"type": "object", "properties": {name: part for name, (part, _) in parts.items()}}
        if needed or (self.number and self.maybe(0.3)):
            schema["required"] = needed
        value = {name: value for name, (_, value) in parts.items() if name in needed or self.maybe()}
        match self.random.randrange(8):
            case 0 | 1:
                schema["additionalProperties"] = False
            case 2:
                schema["additionalProperties"], extra = self.any(depth)
                value = {**value, "more": extra}
            case 3:
                schema["patternProperties"], schema["additionalProperties"] = (
                    {"^x_": {"type": "integer"}},
                    False,
                )
                value = {**value, "x_1": 7}
            case 4:
                schema["minProperties"], schema["maxProperties"] = len(value), len(value) + 1
            case 5 if len(names) > 1:
                word = "dependencies" if self.number < 3 else "dependentRequired"
                schema[word] = {names[0]: [names[1]]}
                if names[0] in value:
                    value[names[1]] = parts[names[1]][1]
            case 6 if self.number:
                schema["propertyNames"] = {"maxLength": 12}
            case _:
                pass
        return schema, value

    def union(self, depth: int) -> Made:
        several = [self.any(depth) for _ in range(self.random.randint(2, 3))]
        return {self.some("anyOf", "oneOf"): [part for part, _ in several]}, self.some(*several)[1]

    def all_of(self, depth: int) -> Made:
        schema, value = self.any(depth)
        return {"allOf": [schema, {"description": "and no more"}]}, value

    def negated(self, depth: int) -> Made:
        schema, value = self.any(depth)
        return {"allOf": [schema], "not": self.some({"type": "null"}, {"enum": ["q", 99]})}, value

    def conditional(self, depth: int) -> Made:
        schema, value = self.any(depth)
        return {"if": {"type": "object"}, "then": {"maxProperties": 9}, "else": {}, "allOf": [schema]}, value

    def reference(self, depth: int) -> Made:
        name, word = f"D{len(self.definitions)}", "$defs" if self.number > 2 else "definitions"
        self.definitions[name] = {}
        self.definitions[name], value = self.any(depth)
        return {"$ref": f"#/{word}/{name}"}, value

    def parameters(self) -> tuple[Data, Data]:
        """Return a schema of a tool's parameters and arguments for it."""
        schema, value = self.object(3)
        if self.definitions:
            schema["$defs" if self.number > 2 else "definitions"] = self.definitions
        return schema, value


def mutants(random: Random, value: Any) -> list[Any]:
    """Return values that differ from one in a single place."""
    found: list[Any] = [*random.sample(ODD, 3)]
    if isinstance(value, dict):
        for name, inner in value.items():
            found.append({other: each for other, each in value.items() if other != name})
            found += [{**value, name: each} for each in random.sample(mutants(random, inner), 2)]
    elif isinstance(value, list):
        found += [[*value, *value], value[1:], [*value, random.choice(ODD)]]
        found += [
            [*value[:i], each, *value[i + 1 :]]
            for i, v in enumerate(value)
            for each in mutants(random, v)[:2]
        ]
    elif isinstance(value, str):
        found += [f"{value}x", value[:-1], value.upper(), f" {value}"]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        found += [value + 1, value - 1, value + 0.5, str(value), -value]
    return found


def unlike(one: Any, other: Any) -> bool:
    """Say whether two drafts may differ on a value: 1.0 is a whole number in some."""
    texts = (json.dumps(each) for each in (one, other))
    return any(".0" in text for text in texts)


@pytest.mark.slow
@pytest.mark.parametrize("draft", DRAFTS)
@pytest.mark.parametrize("named", [True, False])
def test_a_schema_of_any_draft_means_what_the_draft_says(draft: str, named: bool):
    refused = taken = 0
    for seed in range(120):
        random = Random(f"{draft} {seed}")
        schema, good = Maker(random, draft).parameters()
        oracle = DRAFTS[draft](schema)
        DRAFTS[draft].check_schema(schema)
        given = {"$schema": draft, **schema} if named else schema
        tool = tool_from_schema("f", "Do it.", given, lambda **_: None, effects="read")
        for arguments in [good, *random.sample(more := mutants(random, good), min(12, len(more)))]:
            if not isinstance(arguments, dict) or unlike(arguments, schema):
                continue
            verdict = check_call(Scope("f"), tool, arguments)
            closed = tool.parameters.get("additionalProperties") is False
            extra = (
                closed
                and "patternProperties" not in schema
                and arguments.keys() - schema["properties"].keys()
            )
            fits = oracle.is_valid(arguments) and not extra
            assert isinstance(verdict, Allow if fits else Deny), (seed, schema, arguments, verdict)
            taken, refused = taken + fits, refused + (not fits)
    assert taken > 120
    assert refused > 120
