"""From the text that a model wrote to the arguments of a call, strictly.

Nothing is repaired: what is not exactly a JSON object that satisfies the tool's schema goes back to the model
with what is wrong and what was expected.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from itertools import islice
from typing import Any, TypedDict, cast

from crewkit.errors import ToolError
from crewkit.tools.tool import Tool, Validator

MAX_CHARS = 1_000_000
"""Longest text of arguments."""
MAX_DEPTH = 64
"""Most lists and objects within each other."""
MAX_DIGITS = 400
"""Longest number; a float has 309 digits before its point at most."""
MAX_PROBLEMS = 10
"""Most problems that one refusal tells."""

Data = dict[str, Any]


class Problem(TypedDict):
    """One thing that is wrong with the arguments."""

    path: str
    """Where: `items[0].name`; empty for the arguments as a whole."""
    problem: str
    expected: str


class InvalidArguments(ToolError):
    """What the model gave as arguments is not what the tool takes. The message is written for the model."""

    def __init__(self, tool: Tool, problems: list[Problem]) -> None:
        lines = "\n".join(f"- {_line(problem)}" for problem in problems)
        super().__init__(
            f"Nothing was called: the arguments of '{tool.name}' are not valid.\n{lines}\n"
            f"{_signature(tool)} Call it again with corrected arguments."
        )
        self.problems = problems


def parse_arguments(raw: str, tool: Tool) -> Data:
    """Read and check the arguments of a call.

    Empty text is an empty object: some models write calls without arguments so.

    Returns:
        The arguments as JSON data, fit for the journal. `convert_arguments` makes of them what the function
        takes; it has been tried here.

    Raises:
        InvalidArguments: They are not strict JSON, do not satisfy the schema, or a validator refuses them.
    """
    data = _read(raw, tool)
    problems = _check(data, tool.validator)
    if problems:
        raise InvalidArguments(tool, problems)
    convert_arguments(data, tool)
    return data


def convert_arguments(data: Data, tool: Tool) -> Data:
    """Turn checked arguments into the annotated types: an Enum, a date, a model.

    Raises:
        InvalidArguments: A validator of a type refuses a value.
    """
    try:
        return tool.convert(data)
    except Exception as error:  # a type's validator is code that we do not own
        raise InvalidArguments(tool, _conversion_problems(error)) from error


def _read(raw: str, tool: Tool) -> Data:
    if not raw:
        return {}
    if len(raw) > MAX_CHARS:
        raise _refusal(tool, f"{len(raw):,} characters of arguments", f"at most {MAX_CHARS:,} characters")
    try:
        raw.encode()
        value = _STRICT.decode(raw)
        _refuse_hidden(value, raw)
    except UnicodeEncodeError as error:
        problem = "it holds half of a surrogate pair, which is no character"
        raise _refusal(tool, problem, "text of whole Unicode characters") from error
    except RecursionError as error:
        raise _refusal(tool, "nested too deeply", f"at most {MAX_DEPTH} levels") from error
    except ValueError as error:
        raise _refusal(tool, f"not strict JSON: {error}", "one JSON object and nothing around it") from error
    if isinstance(value, dict):
        return cast(Data, value)
    if isinstance(value, str) and _holds_json(value):
        raise _refusal(tool, "a JSON text inside a JSON string (encoded twice)", "the JSON object itself")
    raise _refusal(tool, f"got {_show(value)}", "a JSON object")


def _pairs(pairs: list[tuple[str, Any]]) -> Data:
    data = dict(pairs)
    if len(data) != len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the key {_show(twice)} is there twice")
    return data


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number of {len(digits):,} digits, at most {MAX_DIGITS} are read")
    return int(digits)


def _float(digits: str) -> float:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number of {len(digits):,} digits, at most {MAX_DIGITS} are read")
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"the number {digits[:40]} is too large")
    return number


def _constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON value")


_STRICT = json.JSONDecoder(
    object_pairs_hook=_pairs, parse_int=_integer, parse_float=_float, parse_constant=_constant
)


def _refuse_hidden(value: object, raw: str) -> None:
    """Refuse what the decoder lets pass: too much depth, and escapes that are half a character."""
    if raw.count("{") + raw.count("[") > MAX_DEPTH:
        _refuse_depth(value)
    if "\\u" in raw:
        json.dumps(value, ensure_ascii=False).encode()


def _refuse_depth(value: object) -> None:
    level = _containers([value])
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _containers(_inside(outer))]
    if level:
        raise RecursionError


def _containers(values: Iterable[object]) -> list[object]:
    return [value for value in values if isinstance(value, (dict, list))]


def _inside(container: object) -> Iterable[object]:
    if isinstance(container, dict):
        return cast(Data, container).values()
    return cast(list[object], container)


def told_problems(validator: Validator, data: Data) -> list[str]:
    """Say what is wrong with data by a compiled schema, a line for each problem; nothing where it fits."""
    return [_line(problem) for problem in _check(data, validator)]


def _check(data: Data, validator: Validator) -> list[Problem]:
    try:
        errors = islice(validator.iter_errors(data), MAX_PROBLEMS)
        return [problem for error in errors for problem in _told(error)][:MAX_PROBLEMS]
    except Exception as error:  # noqa: BLE001 — a foreign schema may send the validator anywhere; that is a refusal
        return [_problem("", f"the schema could not be applied: {type(error).__name__}", "")]


def _told(error: Any) -> list[Problem]:
    return list(_problems(error)) or [_problem(_path(error.absolute_path), error.message, "")]


def _problems(error: Any) -> Iterator[Problem]:
    """Say what one `jsonschema.ValidationError` means, in words that lead to a valid call."""
    path, rule, value, wanted = (
        _path(error.absolute_path),
        error.validator,
        error.instance,
        error.validator_value,
    )
    if rule == "required":
        missing = [name for name in wanted if name not in value and error.message.startswith(repr(name))]
        yield from (
            _problem(_join(path, name), "is missing", _expected_of(error.schema, name)) for name in missing
        )
    elif rule == "additionalProperties" and wanted is False:
        known = list(error.schema.get("properties", {}))
        patterns: list[str] = list(error.schema.get("patternProperties", {}))
        extra = [
            n for n in cast(Data, value) if n not in known and not any(re.search(p, n) for p in patterns)
        ]
        for name in islice(extra, MAX_PROBLEMS):
            near = get_close_matches(name[:100], known, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            yield _problem(_join(path, name), f"is not known{hint}", f"only: {', '.join(known) or 'nothing'}")
    elif rule in ("anyOf", "oneOf") and (deeper := [e for e in error.context or () if e.path]):
        yield from (problem for inner in deeper[:3] for problem in _problems(inner))
    elif rule in _DESCRIBED:
        yield _problem(path, _wrong(value, error.schema), _expected(error.schema))
    else:
        yield _problem(path, error.message, "")


def _wrong(value: object, schema: Any) -> str:
    if isinstance(value, str) and _holds_json(value) and "string" not in _kinds(schema):
        return f"got {_show(value)}, a JSON text inside a string (encoded twice)"
    return f"got {_show(value)}"


def _expected_of(schema: Any, name: str) -> str:
    return _expected(schema.get("properties", {}).get(name, {})) or "a value"


def _expected(schema: Any) -> str:
    """Describe a schema in a few words; empty where they do not suffice."""
    if not isinstance(schema, dict):
        return ""
    shown = cast(Data, schema)
    if "enum" in shown:
        return _cut("one of " + ", ".join(_show(choice) for choice in shown["enum"]))
    if "const" in shown:
        return _show(shown["const"])
    choices = shown.get("anyOf") or shown.get("oneOf")
    if choices:
        return " or ".join(dict.fromkeys(words for choice in choices if (words := _expected(choice))))
    if "$ref" in shown:
        return str(shown["$ref"]).rpartition("/")[2]
    bounds = ", ".join(f"{rule} {shown[rule]}" for rule in _BOUNDS if rule in shown)
    kinds = " or ".join(_ARTICLES.get(kind, str(kind)) for kind in _kinds(shown))
    return _cut(f"{kinds} ({bounds})" if kinds and bounds else kinds or bounds)


def _kinds(schema: Any) -> list[str]:
    kinds = schema.get("type", [])
    return [kinds] if isinstance(kinds, str) else list(kinds)


_BOUNDS = (
    "format", "pattern", "minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "multipleOf",
    "minLength", "maxLength", "minItems", "maxItems", "uniqueItems",
)  # fmt: skip
_DESCRIBED = frozenset(("type", "enum", "const", "anyOf", "oneOf", *_BOUNDS))
_ARTICLES = {
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


def _conversion_problems(error: Exception) -> list[Problem]:
    from pydantic import ValidationError

    if isinstance(error, ValidationError):
        details = error.errors(include_url=False, include_context=False)[:MAX_PROBLEMS]
        return [_problem(_path(d["loc"]), f"got {_show(d['input'])}: {d['msg']}", "") for d in details]
    return [_problem("", f"{type(error).__name__}: {error}", "")]


def _refusal(tool: Tool, problem: str, expected: str) -> InvalidArguments:
    return InvalidArguments(tool, [_problem("", problem, expected)])


def _problem(path: str, problem: str, expected: str) -> Problem:
    return {"path": _cut(path), "problem": _cut(problem), "expected": _cut(expected)}


def _line(problem: Problem) -> str:
    said = f"{problem['path']}: {problem['problem']}" if problem["path"] else problem["problem"]
    return f"{said}; expected: {problem['expected']}" if problem["expected"] else said


def _signature(tool: Tool) -> str:
    needed = tool.parameters.get("required", [])
    properties: Data = tool.parameters.get("properties", {})
    shown = [f"{name} ({'required' if name in needed else 'optional'})" for name in properties]
    return f"Its parameters: {', '.join(shown)}." if shown else "It takes no arguments: {}."


def _path(parts: Iterable[int | str]) -> str:
    path = ""
    for part in parts:
        path = f"{path}[{part}]" if isinstance(part, int) else _join(path, part)
    return path


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _holds_json(text: str) -> bool:
    """Tell whether a string is itself the JSON text of an object or a list."""
    if not text.lstrip().startswith(("{", "[")):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _show(value: object) -> str:
    if isinstance(value, str):
        return json.dumps(value[:80] + ("…" if len(value) > 80 else ""), ensure_ascii=False)
    if isinstance(value, (dict, list)):
        return "a list" if isinstance(value, list) else "an object"
    return _cut(json.dumps(value, ensure_ascii=False, default=lambda odd: type(odd).__name__))


def _cut(text: str) -> str:
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= 300 else f"{text[:299]}…"
