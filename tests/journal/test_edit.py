"""A person's arguments are measured as the gateway measures a model's: by one validator."""

from __future__ import annotations

from typing import Any

import pytest

from crewkit import Allow, Scope, check_call, tool_from_schema
from crewkit.errors import InputError
from crewkit.journal.edit import check_edit
from crewkit.journal.read import Pending


@pytest.mark.parametrize(
    ("schema", "value", "good"),
    [
        ({"type": "number", "multipleOf": 0.01}, 19.99, True),
        ({"type": "number", "multipleOf": 0.01}, 19.999, False),
        ({"type": "string", "pattern": r"^\d{3}$"}, "123", True),
        ({"type": "string", "pattern": r"^\d{3}$"}, "123\n", False),
        ({"type": "string", "pattern": r"^\d{3}$"}, "١٢٣", False),
        ({"type": "integer"}, True, False),
        ({"type": "string", "nullable": True}, None, True),
    ],
)
def test_an_edit_is_taken_where_the_gateway_takes_it(schema: dict[str, Any], value: Any, good: bool):
    made = tool_from_schema(
        "pay", "Pay.", {"type": "object", "properties": {"x": schema}}, print, effects="read"
    )
    question = Pending(
        "r-1", "a-1", "tool", "May it?", "t/1/tool:0", "t", "A", "", parameters=made.parameters
    )
    assert (check_call(Scope("pay"), made, {"x": value}) == Allow()) is good
    if good:
        check_edit(question, {"x": value})
    else:
        with pytest.raises(InputError, match="does not take these arguments"):
            check_edit(question, {"x": value})
