import json
from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Len
from jsonschema import Draft202012Validator
from pydantic import BaseModel, Field

from crewkit.core.messages import ChatMessage
from crewkit.models.base import Request, ToolSpec, Watch
from crewkit.models.generated import GeneratedModel, example

ASKED = ChatMessage("user", "How high is the tide?")
NOTHING: dict[str, Any] = {"type": "object", "properties": {}}
QUERY = {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]}


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Place(BaseModel):
    name: Annotated[str, Len(12, 14)]
    height: float = Field(gt=3, le=9)


class Tide(BaseModel):
    place: Place
    others: list[Place] = Field(min_length=2)
    when: datetime
    colour: Colour
    kind: Literal["high", "low"]
    count: int = Field(ge=10, lt=20, multiple_of=4)
    note: str | None
    pair: tuple[int, str]
    scores: dict[str, float]
    inner: "Tide | None"


@pytest.mark.parametrize(
    "schema",
    [
        Tide.model_json_schema(),
        {"type": "integer", "exclusiveMaximum": 0},
        {"type": "number", "exclusiveMinimum": 1, "maximum": 1.5},
        {"type": ["integer", "null"]},
        {"oneOf": [{"type": "boolean"}, {"type": "string"}]},
        {"allOf": [QUERY, {"properties": {"k": {"type": "integer"}}, "required": ["k"]}]},
        {"enum": ["a", "b"]},
        {"const": 3},
        {},
    ],
)
def test_an_example_satisfies_its_schema(schema: dict[str, Any]):
    Draft202012Validator(schema).validate(example(schema))


async def test_every_tool_is_called_once_and_then_the_answer_has_its_form():
    model = GeneratedModel()
    tools = (ToolSpec("search", "", QUERY), ToolSpec("now", "", NOTHING))
    request = Request((ASKED,), tools, Tide.model_json_schema())
    first = await model.answer(request, Watch())
    assert [(c.id, c.name, json.loads(c.arguments)) for c in first.tool_calls] == [
        ("call-0-0", "search", {"query": "text"}),
        ("call-0-1", "now", {}),
    ]
    results = [ChatMessage("tool", "x", tool_call_id=c.id) for c in first.tool_calls]
    last = await model.answer(
        Request((ASKED, first.message(), *results), tools, request.output_schema), Watch()
    )
    assert last.tool_calls == ()
    Tide.model_validate_json(last.content)


async def test_without_tools_and_schema_it_answers_with_text():
    assert (await GeneratedModel(text="Noon.").answer(Request((ASKED,)), Watch())).content == "Noon."
