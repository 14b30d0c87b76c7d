"""The validator of a JSON Schema, with patterns as the standard means them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, cast

from crewkit.tools.pattern import ecma


def validator_kind(schema: Any) -> Any:
    """Return the class of validators for the draft that a schema names; 2020-12 where it names none."""
    from jsonschema import Draft202012Validator
    from jsonschema.validators import validator_for

    kind: Any = validator_for(schema, default=Draft202012Validator)
    return with_patterns(kind)


@lru_cache(maxsize=16)
def with_patterns(kind: Any) -> Any:
    """Return a class of validators whose patterns are read as ECMA-262 has them."""
    from jsonschema import validators

    return cast("Any", validators).extend(kind, {"pattern": _pattern})


def _pattern(validator: Any, pattern: str, value: Any, schema: Any) -> Iterator[Any]:
    from jsonschema.exceptions import ValidationError

    if isinstance(value, str) and not ecma(pattern).search(value):
        yield ValidationError(f"{value!r:.100} does not match {pattern!r:.100}")
