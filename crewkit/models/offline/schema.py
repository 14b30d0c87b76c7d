"""JSON Schema as something to fill in: references followed, values coerced, smallest values found."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

from crewkit.models.offline.material import as_array, as_object
from crewkit.models.offline.pattern import example, matches
from crewkit.models.offline.words import numbers

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

DEEPEST = 12
"""Levels of a schema that are filled; below, only what is required."""

_FORMATS = {
    "date": "1970-01-01",
    "date-time": "1970-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "duration": "P0D",
    "email": "unknown@example.com",
    "idn-email": "unknown@example.com",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "iri": "https://example.com/",
    "uri-reference": "/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
    "ipv6": "::",
    "hostname": "example.com",
    "regex": ".",
    "json-pointer": "",
    "ipvanyaddress": "192.0.2.1",
    "ipv4network": "192.0.2.0/24",
    "json-string": "null",
}


class Schema:
    """One JSON Schema with its definitions."""

    def __init__(self, root: dict[str, Any]) -> None:
        self.root = root
        self.definitions = {key: root[key] for key in ("$defs", "definitions") if key in root}

    def resolve(self, part: Any) -> dict[str, Any]:
        """Follow references and merge `allOf`; what cannot be followed accepts anything."""
        found = as_object(part) or {}
        for _ in range(DEEPEST):
            if "$ref" in found:
                beside = {k: v for k, v in found.items() if k != "$ref"}
                found = {**self._pointed(str(found["$ref"])), **beside}
            elif "allOf" in found:
                found = self._merged(found)
            else:
                break
        return found

    def _pointed(self, reference: str) -> dict[str, Any]:
        value: Any = self.root
        for step in reference.removeprefix("#").strip("/").split("/") if reference.startswith("#") else ():
            if step:
                value = (as_object(value) or {}).get(step.replace("~1", "/").replace("~0", "~"))
        return as_object(value) or {}

    def _merged(self, part: dict[str, Any]) -> dict[str, Any]:
        merged = {k: v for k, v in part.items() if k != "allOf"}
        for branch in part["allOf"]:
            for key, value in self.resolve(branch).items():
                if key == "properties":
                    merged[key] = {**value, **merged.get(key, {})}
                elif key == "required":
                    merged[key] = [*merged.get(key, []), *value]
                elif key in ("minimum", "exclusiveMinimum", "minLength", "minItems"):
                    merged[key] = max(value, merged.get(key, value))
                elif key in ("maximum", "exclusiveMaximum", "maxLength", "maxItems"):
                    merged[key] = min(value, merged.get(key, value))
                else:
                    merged.setdefault(key, value)
        return merged

    def properties(self, part: Any) -> dict[str, Any]:
        """Return an object's properties."""
        return as_object(self.resolve(part).get("properties")) or {}

    def required(self, part: Any) -> list[str]:
        """Return the names of an object's required properties."""
        return list(dict.fromkeys(as_array(self.resolve(part).get("required")) or []))

    def branches(self, part: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the alternatives of a part; itself where it has none."""
        part = self.resolve(part)
        for key in ("anyOf", "oneOf"):
            if part.get(key):
                beside = {k: v for k, v in part.items() if k != key}
                return [self._merged({**beside, "allOf": [branch]}) for branch in part[key]]
        kinds = as_array(part.get("type"))
        return [{**part, "type": kind} for kind in kinds] if kinds else [part]

    def nullable(self, part: dict[str, Any]) -> bool:
        """Say whether `null` will do."""
        return any(_is_null(self.resolve(b)) for b in self.branches(part))

    def without_null(self, part: dict[str, Any], depth: int = 0) -> dict[str, Any]:
        """Return the first alternative that is not `null`, with the type that its values have."""
        options = (self.resolve(branch) for branch in self.branches(part))
        chosen = next((option for option in options if not _is_null(option)), {"type": "null"})
        if depth < DEEPEST and any(key in chosen for key in ("anyOf", "oneOf")):
            return self.without_null(chosen, depth + 1)
        return chosen if "type" in chosen else {**chosen, **_implied(chosen)}

    def coerce(self, value: Any, part: dict[str, Any]) -> Any:
        """Return the value in the type of a part where it fits, `None` where it does not."""
        kind = self.without_null(part).get("type")
        if kind == "string" and isinstance(value, int | float) and not isinstance(value, bool):
            value = str(int(value)) if float(value).is_integer() else str(value)
        elif kind in ("integer", "number") and isinstance(value, str):
            found = numbers(value) if len(value) < 40 else []
            value = found[0] if len(found) == 1 else None
        elif kind == "boolean" and isinstance(value, str):
            value = {"true": True, "yes": True, "false": False, "no": False}.get(value.lower())
        if (kind == "integer" and isinstance(value, float) and value.is_integer()) or (
            kind == "number" and isinstance(value, float) and value.is_integer()
        ):
            value = int(value)
        return value if value is not None and self.fits(value, part) else None

    def bounded(self, value: Any, part: dict[str, Any]) -> int | float | None:
        """Return a number moved within a part's bounds, `None` where there is no such number."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return None
        least, most = _bounds(part)
        number: int | float = min(max(value, least), most)
        step = part.get("multipleOf")
        if step:
            number = math.ceil(number / step) * step
            number = number if number <= most else math.floor(most / step) * step
        if part.get("type") == "integer":
            number = math.ceil(number) if number < least or number == least else math.floor(number)
        elif isinstance(number, float) and number.is_integer():
            number = int(number)
        return number if self.fits(number, part) else None

    def fits(self, value: Any, part: dict[str, Any]) -> bool:
        """Say whether a value satisfies a part of this schema."""
        return _valid(_validator({**self.definitions, **part}), value) and _has_format(value, part)

    def accepts(self, value: Any) -> bool:
        """Say whether a value satisfies the whole schema."""
        return _valid(self._checker, value)

    @cached_property
    def _checker(self) -> Validator:
        return _validator(self.root)

    def sample(self, part: Any, depth: int = 0) -> Any:
        """Return the smallest value of a part: what stands where nothing is known."""
        found = self.resolve(part)
        if "const" in found:
            return found["const"]
        if "default" in found and self.fits(found["default"], found):
            return found["default"]
        if found.get("enum"):
            return next((v for v in found["enum"] if v is None), found["enum"][0])
        options = self.branches(found)
        if options != [found]:
            ordered = (
                sorted(options, key=lambda b: not _is_null(self.resolve(b))) if depth < DEEPEST * 2 else []
            )
            values = [v for b in ordered for v in [self.sample(b, depth + 1)] if self.fits(v, found)]
            return values[0] if values else None
        return self._smallest({**found, **_implied(found)} if "type" not in found else found, depth)

    def _smallest(self, part: dict[str, Any], depth: int) -> Any:
        kind = part.get("type")
        if kind == "object":
            names = self.required(part) if depth < DEEPEST * 2 else []
            known = self.properties(part)
            return {name: self.sample(known.get(name, {}), depth + 1) for name in names}
        if kind == "array":
            return self._smallest_array(part, depth)
        if kind == "string":
            return smallest_text(part)
        if kind in ("integer", "number"):
            least, most = _bounds(part)
            near = (0, least, most, least + 1, most - 1, (least + most) / 2, least + 1e-6)
            tried = [self.bounded(v, part) for v in near]
            return next((v for v in tried if v is not None), 0)
        return False if kind == "boolean" else None

    def _smallest_array(self, part: dict[str, Any], depth: int) -> list[Any]:
        first = as_array(part.get("prefixItems")) or []
        least = part.get("minItems", len(first) if part.get("items") is False else 0)
        rest = part.get("items", {})
        made = [self.sample(first[i] if i < len(first) else rest, depth + 1) for i in range(least)]
        return self._distinct(made, rest) if part.get("uniqueItems") else made

    def _distinct(self, made: list[Any], part: Any) -> list[Any]:
        """Vary equal items where all must differ."""
        found: list[Any] = []
        resolved = self.resolve(part)
        for i, item in enumerate(made):
            options: list[Any] = [item, *(resolved.get("enum") or ())]
            if isinstance(item, str):
                options += [f"{item}{n}" for n in range(i + 2)]
            elif isinstance(item, int | float):
                options += [item + n for n in range(i + 2)] + [item - n for n in range(i + 2)] + [True, False]
            found.append(next((o for o in options if o not in found and self.fits(o, resolved)), item))
        return found


def _validator(schema: dict[str, Any]) -> Validator:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(schema)


def _valid(checker: Validator, value: Any) -> bool:
    from jsonschema.exceptions import ValidationError
    from referencing.exceptions import Unresolvable

    try:
        checker.validate(value)
    except (ValidationError, Unresolvable, RecursionError, OverflowError):
        return False
    return True


def _has_format(value: Any, part: dict[str, Any]) -> bool:
    if not isinstance(value, str) or not part.get("format"):
        return True
    from jsonschema import FormatChecker

    if part["format"] == "uri":
        return "://" in value and " " not in value
    return FormatChecker().conforms(value, part["format"])


def _is_null(part: dict[str, Any]) -> bool:
    return part.get("type") == "null" or ("const" in part and part["const"] is None)


def _bounds(part: dict[str, Any]) -> tuple[float, float]:
    step = 1 if part.get("type") == "integer" else 1e-6
    least = [part[k] + extra for k, extra in (("minimum", 0), ("exclusiveMinimum", step)) if k in part]
    most = [part[k] - extra for k, extra in (("maximum", 0), ("exclusiveMaximum", step)) if k in part]
    low, high = max(least, default=-math.inf), min(most, default=math.inf)
    return (low if math.isfinite(low) else -1e18), (high if math.isfinite(high) else 1e18)


def _implied(part: dict[str, Any]) -> dict[str, Any]:
    """Guess the type of a part that names none."""
    if "properties" in part or "required" in part:
        return {"type": "object"}
    if "items" in part or "prefixItems" in part:
        return {"type": "array"}
    if "enum" in part or "const" in part:
        return {}
    if "minimum" in part or "maximum" in part:
        return {"type": "number"}
    return {"type": "string"}


def smallest_text(part: dict[str, Any]) -> str:
    """Return a placeholder that a string part accepts."""
    least, most = int(part.get("minLength", 0)), part.get("maxLength")
    if pattern := part.get("pattern"):
        return next(
            (
                t
                for t in (_FORMATS.get(part.get("format", ""), ""), example(pattern, least))
                if matches(pattern, t)
            ),
            "",
        )
    if known := _FORMATS.get(str(part.get("format", ""))):
        return known
    text = "unknown" if most is None or most >= len("unknown") else "-" * least
    return text if len(text) >= least else text + "-" * (least - len(text))


def fit_text(text: str, part: dict[str, Any]) -> str | None:
    """Cut or fill a text to a part's length; `None` where it cannot match the part's pattern."""
    most = part.get("maxLength")
    if most is not None and len(text) > most:
        text = text[: max(most - 1, 0)] + "…"[: min(most, 1)]
    least = int(part.get("minLength", 0))
    text = text if len(text) >= least else text + "." * (least - len(text))
    pattern = part.get("pattern")
    return text if pattern is None or matches(pattern, text) else None
