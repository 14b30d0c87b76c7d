"""The one validator of JSON Schemas, with patterns and multiples as the standard means them."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from typing import Any, cast

from crewkit.core.pattern import matches


def validator_kind(schema: Any) -> Any:
    """Return the class of validators for the draft that a schema names; 2020-12 where it names none."""
    from jsonschema import Draft202012Validator
    from jsonschema.validators import validator_for

    kind: Any = validator_for(schema, default=Draft202012Validator)
    return with_patterns(kind)


def validator(schema: Any) -> Any:
    """Return the compiled schema. A reference out of it is an error, never a request."""
    from referencing import Registry

    offline: Registry[Any] = Registry()
    return validator_kind(schema)(schema, registry=offline)


@lru_cache(maxsize=16)
def with_patterns(kind: Any) -> Any:
    """Return a class of validators whose patterns are read as ECMA-262 has them; 0.3 is a multiple of 0.1."""
    from jsonschema import validators

    return cast("Any", validators).extend(kind, {"pattern": _pattern, "multipleOf": _multiple})


def _multiple(validator: Any, unit: Any, value: Any, schema: Any) -> Iterator[Any]:
    from jsonschema.exceptions import ValidationError

    if validator.is_type(value, "number") and Fraction(str(value)) % Fraction(str(unit)):
        yield ValidationError(f"{value!r:.100} is not a multiple of {unit!r:.100}")


def _pattern(validator: Any, pattern: str, value: Any, schema: Any) -> Iterator[Any]:
    from jsonschema.exceptions import ValidationError

    if isinstance(value, str) and not matches(pattern, value):
        yield ValidationError(f"{value!r:.100} does not match {pattern!r:.100}")
