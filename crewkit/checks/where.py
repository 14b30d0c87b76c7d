"""JSON Schema on the arguments of a call, read so that nothing slips through."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, cast

from crewkit.core.messages import canonical
from crewkit.core.pattern import ecma, matches
from crewkit.core.validator import with_patterns
from crewkit.errors import DefinitionError, did_you_mean
from crewkit.tools.arguments import told_problems

Data = dict[str, Any]

LONGEST = 10_000
"""Characters of a text that a pattern is matched against; a longer one does not match."""

_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_TEXTS = ("minLength", "maxLength", "format")
_LISTS = ("minItems", "maxItems", "uniqueItems", "prefixItems", "items", "contains", "unevaluatedItems")
_OBJECTS = (
    *("properties", "required", "minProperties", "maxProperties", "additionalProperties", "propertyNames"),
    *("patternProperties", "dependentRequired", "dependentSchemas", "unevaluatedProperties"),
)
_ONE = (
    *("not", "if", "then", "else", "items", "contains", "additionalProperties", "propertyNames"),
    *("unevaluatedItems", "unevaluatedProperties"),
)
_SEVERAL = ("allOf", "anyOf", "oneOf", "prefixItems")
_NAMED = ("properties", "patternProperties", "$defs", "dependentSchemas")
_OTHER = (
    *(
        "$schema",
        "$comment",
        "$ref",
        "$anchor",
        "title",
        "description",
        "default",
        "examples",
        "type",
        "enum",
    ),
    *("const", "pattern", "minContains", "maxContains", "deprecated"),
)
_KNOWN = frozenset((*_NUMBERS, *_TEXTS, *_LISTS, *_OBJECTS, *_ONE, *_SEVERAL, *_NAMED, *_OTHER))


@dataclass(frozen=True)
class Where:
    """The arguments satisfy a JSON Schema (2020-12).

    They satisfy it in two readings: as the standard has it, and strictly. Strictly, a pattern has to match the whole
    text, and what is said of numbers, texts, lists or objects holds of nothing else: `maximum` refuses `"1000"`.
    """

    schema: str
    """In canonical JSON."""

    @property
    def arguments(self) -> Iterable[str]:
        """The arguments that it names."""
        schema = cast("Data", json.loads(self.schema))
        return [*cast("Data", schema.get("properties", {})), *cast("list[str]", schema.get("required", []))]

    def __str__(self) -> str:
        return f"where {self.schema}"

    def problem(self, arguments: Mapping[str, Any], cwd: Path) -> str:
        """Say what is wrong with a call; empty where nothing is."""
        for validator in self._validators:
            if problems := told_problems(validator, dict(arguments)):
                return "; ".join(problems)
        return ""

    @cached_property
    def _validators(self) -> tuple[Any, Any]:
        return _compiled(self.schema)


def where(schema: object, grant: str) -> Where:
    """Make a constraint of a schema.

    Args:
        schema: A JSON Schema of the arguments as an object: `{"properties": {"amount": {"maximum": 100}}}`.
        grant: How messages begin, for example `Grant('pay')`.

    Raises:
        DefinitionError: It is no schema, or says something that would not be held.
    """
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    if not isinstance(schema, Mapping):
        raise DefinitionError(
            f"{grant}: where={schema!r:.60} is no JSON Schema of the arguments. "
            'Write where={"properties": {"amount": {"maximum": 100}}}.'
        )
    try:
        text = canonical(cast("Data", schema))
        plain = json.loads(text)
        Draft202012Validator.check_schema(plain)
        _compiled(text)
    except (SchemaError, TypeError, ValueError, RecursionError, re.error) as error:
        problem = str(getattr(error, "message", error))
        raise DefinitionError(f"{grant}: where is no JSON Schema: {problem:.300}. Correct it.") from error
    for place, inner in _schemas(plain, "where"):
        _refuse_unheld(inner, f"{grant}: {place}")
    return Where(text)


def _schemas(schema: Any, place: str) -> Iterator[tuple[str, Data]]:
    """Yield a schema and all within it, with where they stand."""
    if not isinstance(schema, dict):
        return
    held = cast("Data", schema)
    yield place, held
    for word in _ONE:
        yield from _schemas(held.get(word), f"{place}.{word}")
    for word in _SEVERAL:
        for i, inner in enumerate(held.get(word, ())):
            yield from _schemas(inner, f"{place}.{word}[{i}]")
    for word in _NAMED:
        for name, inner in held.get(word, {}).items():
            yield from _schemas(inner, f"{place}.{word}.{name}")


def _refuse_unheld(schema: Data, place: str) -> None:
    """Refuse words that the standard would let pass without a check."""
    from jsonschema import Draft202012Validator

    for word in schema:
        if word not in _KNOWN:
            raise DefinitionError(
                f"{place} has '{word}', which no check holds.{did_you_mean(word, sorted(_KNOWN))}"
            )
    reference = schema.get("$ref", "#")
    if not str(reference).startswith("#"):
        raise DefinitionError(f"{place} refers to {reference!r:.60}, out of itself. Write it out here.")
    known = Draft202012Validator.FORMAT_CHECKER.checkers
    wanted = schema.get("format")
    if wanted is not None and wanted not in known:
        raise DefinitionError(
            f"{place} has the format {wanted!r}, which cannot be checked. Use a pattern, roots= or hosts=; "
            f"formats that can be: {', '.join(sorted(known))}."
        )
    if "pattern" in schema:
        ecma(schema["pattern"])


@lru_cache(maxsize=256)
def _compiled(text: str) -> tuple[Any, Any]:
    """Return the validators of both readings."""
    from jsonschema import Draft202012Validator
    from referencing import Registry

    schema, offline = json.loads(text), Registry[Any]()
    checker = Draft202012Validator.FORMAT_CHECKER
    plain: Any = with_patterns(Draft202012Validator)(schema, registry=offline, format_checker=checker)
    return plain, _strict()(schema, registry=offline, format_checker=checker)


@lru_cache(maxsize=1)
def _strict() -> Any:
    from jsonschema import Draft202012Validator, validators

    base: Any = Draft202012Validator
    rules: dict[str, Any] = dict(with_patterns(base).VALIDATORS)
    kinds = ((_NUMBERS, _is_number, "number"), (_TEXTS, _is_text, "text"))
    kinds = (*kinds, (_LISTS, _is_list, "list"), (_OBJECTS, _is_object, "object"))
    strict = {word: _only(rules[word], fits, what) for words, fits, what in kinds for word in words}
    return cast("Any", validators).extend(base, {**strict, "pattern": _whole})


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_list(value: object) -> bool:
    return isinstance(value, list)


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _only(rule: Any, fits: Callable[[object], bool], what: str) -> Any:
    """Return a rule that refuses what it says nothing about."""

    def checked(validator: Any, wanted: Any, value: Any, schema: Any) -> Iterator[Any]:
        from jsonschema.exceptions import ValidationError

        if fits(value):
            yield from rule(validator, wanted, value, schema) or ()
        else:
            yield ValidationError(f"{value!r:.100} is no {what}")

    return checked


def _whole(validator: Any, pattern: str, value: Any, schema: Any) -> Iterator[Any]:
    """Return the rule that a pattern matches the whole of a text."""
    from jsonschema.exceptions import ValidationError

    if not isinstance(value, str) or len(value) > LONGEST or not matches(pattern, value, whole=True):
        yield ValidationError(f"{value!r:.100} is not, from its beginning to its end, {pattern!r}")
