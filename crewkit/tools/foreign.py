"""Foreign JSON Schemas: what older drafts, OpenAPI and providers write, in the one form that is checked here."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, cast

Data = dict[str, Any]

_TYPES = {
    "dict": "object",
    "map": "object",
    "list": "array",
    "tuple": "array",
    "set": "array",
    "str": "string",
    "text": "string",
    "char": "string",
    "int": "integer",
    "long": "integer",
    "float": "number",
    "double": "number",
    "decimal": "number",
    "bool": "boolean",
    "none": "null",
    **dict.fromkeys(("arraylist", "sequence", "vector", "iterable", "frozenset"), "array"),
    **dict.fromkeys(("queue", "deque", "stack", "linkedlist", "collection"), "array"),
    **dict.fromkeys(("hashmap", "hashtable", "dictionary", "mapping", "struct", "json"), "object"),
    **dict.fromkeys(
        ("bigint", "biginteger", "short", "byte", "int32", "int64", "uint32", "uint64"), "integer"
    ),
    **dict.fromkeys(("float32", "float64", "bigdecimal"), "number"),
    **dict.fromkeys(
        ("date", "datetime", "time", "timestamp", "uuid", "email", "uri", "url", "path", "file", "bytes"),
        "string",
    ),
    **dict.fromkeys(("nonetype", "nil", "undefined"), "null"),
}
_OF = re.compile(r"(?P<outer>[a-z]+)\s*[\[<(]\s*(?P<inner>.+?)\s*[\])>]")
_KNOWN = ("object", "array", "string", "integer", "number", "boolean", "null")
_ANY = ("any", "")
_COUNTS = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_NUMERAL = re.compile(r"-?\d{1,300}(?:\.\d{1,300})?", re.ASCII)
_MAY_BE_NULL = ("const", "default", "example")
_SAID_ELSEWHERE = ("const", "$ref", "allOf", "anyOf", "oneOf")
"""Words that no type beside them widens: what is nullable there is that, or null."""

_ONE = (
    *("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames"),
    *("additionalItems", "unevaluatedItems", "unevaluatedProperties"),
)
_SEVERAL = ("allOf", "anyOf", "oneOf", "prefixItems", "items")
_NAMED = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_OPEN = (
    *("additionalProperties", "unevaluatedProperties", "patternProperties", "propertyNames"),
    *("allOf", "anyOf", "oneOf", "$ref", "$dynamicRef", "if", "not", "dependentSchemas", "extends"),
)


def standard(parameters: Data) -> Data:
    """Return a foreign schema of a tool's parameters in the form of JSON Schema 2020-12.

    A schema that names its own draft, and is one of it, keeps that draft's words. In any other, what Draft 3 to 7 wrote
    otherwise is written anew, and what is often written wrongly is read as it is meant (numbers in quotes, a misplaced
    `required`); `nullable`, and the names of types of Python and of providers, are read in either case. A call
    gives no argument that is not declared: where arguments are declared and nothing says that there may be others, the
    schema is closed, at the top. An empty schema says nothing of the arguments.
    """
    legacy = "$schema" not in parameters or not _is_of_its_draft(parameters)
    schema = _schema(parameters, legacy=legacy)
    if legacy:
        schema.pop("$schema", None)
    kinds = schema.setdefault("type", "object")
    if isinstance(kinds, list) and "object" in kinds:
        schema["type"] = "object"  # arguments are nothing else
    if "properties" in schema and not any(word in schema for word in _OPEN):
        schema["additionalProperties"] = False
    return schema


def _is_of_its_draft(schema: Data) -> bool:
    from jsonschema import FormatChecker
    from jsonschema.exceptions import SchemaError

    from crewkit.core.validator import validator_kind

    try:
        plain = _schema(schema, legacy=False)
        validator_kind(plain).check_schema(plain, format_checker=FormatChecker(formats=()))
    except SchemaError:
        return False
    return True


def patterns(schema: Any) -> Iterator[str]:
    """Yield all regular expressions in a schema."""
    found: list[str] = []

    def look(inner: Data) -> Data:
        if isinstance(inner.get("pattern"), str):
            found.append(inner["pattern"])
        given = inner.get("patternProperties")
        found.extend(cast("Data", given) if isinstance(given, dict) else ())
        return inner

    if isinstance(schema, dict):
        _within(cast("Data", schema), look)
    yield from found


def _schema(given: Data, *, legacy: bool) -> Data:
    def one(schema: Data) -> Data:
        schema = _typed(dict(schema))
        return _modern(schema) if legacy else schema

    return _within(given, one)


def _within(schema: Data, change: Callable[[Data], Data]) -> Data:
    """Return a schema with a change made to it and to all schemas within it."""
    schema = dict(change(schema))
    for word in _NAMED:
        if isinstance(inner := schema.get(word), dict):
            schema[word] = {name: _each(each, change) for name, each in cast("Data", inner).items()}
    for word in _SEVERAL:
        if isinstance(inner := schema.get(word), list):
            schema[word] = [_each(each, change) for each in cast("list[Any]", inner)]
    for word in _ONE:
        if isinstance(inner := schema.get(word), dict):
            schema[word] = _each(inner, change)
    shared = schema.get("components")  # of OpenAPI
    if isinstance(shared, dict) and isinstance(inner := cast("Data", shared).get("schemas"), dict):
        schemas = {name: _each(each, change) for name, each in cast("Data", inner).items()}
        schema["components"] = {**shared, "schemas": schemas}
    return schema


def _each(inner: Any, change: Callable[[Data], Data]) -> Any:
    return _within(cast("Data", inner), change) if isinstance(inner, dict) else inner


def _typed(schema: Data) -> Data:
    """Read the names of types, and `nullable`."""
    for word in [word for word, value in schema.items() if value is None and word not in _MAY_BE_NULL]:
        del schema[word]
    kinds = schema.get("type")
    if isinstance(kinds, str | list):
        listed: list[Any] = [kinds] if isinstance(kinds, str) else cast("list[Any]", kinds)
        named = [name for kind in listed for name in _types(kind, schema)]
        if any(kind in _ANY for kind in named):
            del schema["type"]
        else:
            named = list(dict.fromkeys(named)) if all(isinstance(kind, str) for kind in named) else named
            schema["type"] = named[0] if len(named) == 1 else named
    if schema.pop("nullable", False) is True:
        kinds = schema.get("type")
        if isinstance(kinds, str) and kinds != "null":
            schema["type"] = [kinds, "null"]
        elif isinstance(kinds, list) and "null" not in kinds:
            schema["type"] = [*cast("list[Any]", kinds), "null"]
        values = schema.get("enum")
        if isinstance(values, list) and None not in values:
            schema["enum"] = [*cast("list[Any]", values), None]
        if any(word in schema for word in _SAID_ELSEWHERE):
            kept = {word: schema.pop(word) for word in ("title", "description", "default") if word in schema}
            schema = {"anyOf": [schema, {"type": "null"}], **kept}
    return schema


def _types(kind: Any, schema: Data) -> list[Any]:
    """Return the types that a name means, as JSON Schema has them; `list[int]` says what is in it, too."""
    if not isinstance(kind, str):
        return [kind]
    lower = kind.strip().lower()
    plain = lower.rpartition(".")[2]  # datetime.date, java.lang.String
    if plain in _KNOWN or plain in _TYPES or lower in _ANY:
        return ["" if lower in _ANY else _TYPES.get(plain, plain)]
    if lower == "enum" and "enum" in schema:
        return [""]
    if lower.endswith("[]"):
        schema.setdefault("items", {"type": lower[:-2]})
        return ["array"]
    if found := _OF.fullmatch(lower):
        outer, inner = found["outer"], found["inner"]
        if outer in ("optional", "union"):
            more = ["null"] if outer == "optional" else []
            return [*(name for each in inner.split(",") for name in _types(each, schema)), *more]
        if _TYPES.get(outer, outer) == "array" and "," not in inner:
            schema.setdefault("items", {"type": inner})
        return [_TYPES.get(outer, outer)]
    if "|" in lower or " or " in lower:
        return [name for each in re.split(r"\||\bor\b", lower) for name in _types(each, schema)]
    return [kind]


def _modern(schema: Data) -> Data:
    """Write anew what older drafts wrote otherwise, and what is written wrongly as it is meant."""
    for word in (*_COUNTS, *_BOUNDS):
        if isinstance(number := schema.get(word), str) and _NUMERAL.fullmatch(number):
            schema[word] = float(number) if "." in number else int(number)
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if isinstance(schema.get(exclusive), bool) and schema.pop(exclusive) and bound in schema:
            schema[exclusive] = schema.pop(bound)
    if isinstance(schema.get("items"), list):
        parts = schema.pop("items")
        schema |= {"prefixItems": parts} if parts else {}
        if "additionalItems" in schema:
            schema["items"] = schema.pop("additionalItems")
    if _flag(schema.get("required")) is not None:
        del schema["required"]  # said of arguments as a whole, or of items, it means nothing
    properties = schema.get("properties")
    if isinstance(properties, dict):
        _required(schema, cast("Data", properties))
    needed = _names(schema.get("required"))
    if needed and all(isinstance(name, str) for name in needed):
        schema["required"] = list(dict.fromkeys(needed))
    for name, needs in cast("Data", schema.pop("dependencies", {})).items():
        word = "dependentRequired" if isinstance(needs, list) else "dependentSchemas"
        schema[word] = {**schema.get(word, {}), name: needs}
    return schema


def _required(schema: Data, properties: Data) -> None:
    """Read `"required": true` of a property, and a list of names among the properties, as their object's."""
    misplaced = properties.get("required")
    if isinstance(misplaced, list):
        properties = {name: each for name, each in properties.items() if name != "required"}
    read = {name: _property(each) for name, each in properties.items()}
    schema["properties"] = {name: each for name, (each, _) in read.items()}
    named = [*_names(misplaced), *(name for name, (_, needed) in read.items() if needed)]
    if named:
        schema["required"] = [*_names(schema.get("required")), *named]


def _property(given: Any) -> tuple[Any, bool]:
    """Return a property's schema, and whether it says of itself that it is required."""
    if isinstance(given, str) and given.strip().lower() in (*_KNOWN, *_TYPES):
        return {"type": given}, False
    if not isinstance(given, dict):
        return given, False
    schema = cast("Data", given)
    needed = _flag(schema.get("required"))
    if needed is None:
        return schema, False
    return {word: value for word, value in schema.items() if word != "required"}, needed


def _flag(given: Any) -> bool | None:
    """Read yes or no; `None` where it is neither."""
    words = {"true": True, "yes": True, "false": False, "no": False}
    return given if isinstance(given, bool) else words.get(given.lower()) if isinstance(given, str) else None


def _names(given: Any) -> list[Any]:
    return cast("list[Any]", given) if isinstance(given, list) else []
