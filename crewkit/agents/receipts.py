"""Receipts: what an answer claims to have done, by the ids of the tool calls that did it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, cast

from pydantic import AfterValidator, Field, ValidationInfo

FORMAT = "tool-call-id"


def _is_true(id: str, info: ValidationInfo) -> str:
    """Refuse the id of a call that was not made or did not succeed, where the calls are known."""
    calls: Mapping[str, str] | None = cast("dict[str, Any]", info.context or {}).get("receipts")
    if calls is None or id in calls:
        return id
    made = ", ".join(f"{known} ({tool})" for known, tool in list(calls.items())[-20:]) or "none"
    raise ValueError(f"'{id}' is not the id of a tool call that succeeded. Calls that did: {made}")


Receipt = Annotated[
    str,
    Field(
        description="The id of the tool call that this rests on, as it stands in brackets before the call's result.",
        json_schema_extra={"format": FORMAT},
    ),
    AfterValidator(_is_true),
]
"""A field of an output type that names the tool call that a claim rests on: `source: Receipt`.

An answer with an id of a call that was not made in this task, or that failed, goes back to the agent. An agent whose
output type has receipts is shown the id of each call before its result.
"""


def wants_receipts(schema: object) -> bool:
    """Say whether an output's JSON Schema has receipts in it."""
    if isinstance(schema, Mapping):
        given = cast("Mapping[str, object]", schema)
        return given.get("format") == FORMAT or any(wants_receipts(part) for part in given.values())
    return isinstance(schema, list) and any(wants_receipts(part) for part in cast("list[object]", schema))
