from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import FrozenInstanceError, dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional
from uuid import UUID

import pytest
from inline_snapshot import snapshot
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from crewkit import Agent, Allow, Scope, check_call
from crewkit.core.guardrails import Guardrails
from crewkit.errors import DefinitionError
from crewkit.tools.arguments import convert_arguments, parse_arguments
from crewkit.tools.schema import json_schema
from crewkit.tools.tool import Tool, ToolContext, tool, tool_from_schema

if TYPE_CHECKING:
    from fractions import Fraction as OnlyForCheckers


class Colour(enum.Enum):
    """A colour."""

    RED = "red"
    BLUE = "blue"


class Part(BaseModel):
    name: str
    parts: list[Part] = []


class Loose(BaseModel, extra="allow"):
    name: str


@dataclass
class Point:
    x: int
    y: float = 0.0


class Place(TypedDict):
    city: str


def parameter(of: Tool, name: str) -> dict[str, Any]:
    return of.parameters["properties"][name]


def test_a_tool_is_described_by_its_signature_and_docstring():
    @tool(effects="read", timeout=20)
    def search(query: str, limit: int = 5, kind: Literal["news", "history"] = "news") -> list[str]:
        """Find recent pages.

        The best come first.

        Args:
            query: What to look for.
            limit: How many
                at most.
        """
        return []

    assert search.name == "search"
    assert search.description == "Find recent pages.\n\nThe best come first."
    assert search.effects == ("read",)
    assert search.reads_only
    assert search.timeout == 20
    assert search.parameters == snapshot(
        {
            "additionalProperties": False,
            "properties": {
                "query": {"type": "string", "description": "What to look for."},
                "limit": {"type": "integer", "description": "How many\nat most.", "default": 5},
                "kind": {"enum": ["news", "history"], "type": "string", "default": "news"},
            },
            "required": ["query"],
            "type": "object",
        }
    )


def test_nested_types_are_closed_and_carry_no_titles():
    @tool
    def build(part: Part, point: Point, place: Place, loose: Loose, colour: Colour = Colour.RED) -> str:
        """Build it."""
        return ""

    assert build.parameters == snapshot(
        {
            "$defs": {
                "Colour": {"description": "A colour.", "enum": ["red", "blue"], "type": "string"},
                "Loose": {
                    "additionalProperties": True,
                    "properties": {"name": {"type": "string"}},
                    "required": ["name"],
                    "type": "object",
                },
                "Part": {
                    "additionalProperties": False,
                    "properties": {
                        "name": {"type": "string"},
                        "parts": {"default": [], "items": {"$ref": "#/$defs/Part"}, "type": "array"},
                    },
                    "required": ["name"],
                    "type": "object",
                },
                "Place": {
                    "additionalProperties": False,
                    "properties": {"city": {"type": "string"}},
                    "required": ["city"],
                    "type": "object",
                },
                "Point": {
                    "additionalProperties": False,
                    "properties": {"x": {"type": "integer"}, "y": {"default": 0.0, "type": "number"}},
                    "required": ["x"],
                    "type": "object",
                },
            },
            "additionalProperties": False,
            "properties": {
                "part": {"$ref": "#/$defs/Part"},
                "point": {"$ref": "#/$defs/Point"},
                "place": {"$ref": "#/$defs/Place"},
                "loose": {"$ref": "#/$defs/Loose"},
                "colour": {"$ref": "#/$defs/Colour", "default": "red"},
            },
            "required": ["part", "point", "place", "loose"],
            "type": "object",
        }
    )


def test_arguments_reach_the_function_as_the_annotated_types():
    @tool
    def record(
        colour: Colour,
        part: Part,
        point: Point,
        day: date,
        moment: datetime,
        where: Path,
        price: Decimal,
        key: UUID,
        pair: tuple[int, str],
        tags: set[str],
        counts: dict[str, int],
        note: Optional[str] = None,  # noqa: UP045
        *,
        loud: bool = False,
    ) -> str:
        """Record it."""
        return ""

    raw = (
        '{"colour": "blue", "part": {"name": "a", "parts": [{"name": "b"}]}, "point": {"x": 1}, '
        '"day": "2026-11-21", "moment": "2026-11-21T10:00:00Z", "where": "a/b", "price": "1.50", '
        '"key": "12345678-1234-5678-1234-567812345678", "pair": [1, "x"], "tags": ["t"], "counts": {"a": 1}}'
    )
    values = convert_arguments(parse_arguments(raw, record), record)
    assert values["colour"] is Colour.BLUE
    assert values["part"] == Part(name="a", parts=[Part(name="b")])
    assert values["point"] == Point(1)
    assert values["day"] == date(2026, 11, 21)
    assert values["moment"].tzinfo is not None
    assert values["where"] == Path("a/b")
    assert values["price"] == Decimal("1.50")
    assert values["key"] == UUID("12345678-1234-5678-1234-567812345678")
    assert values["pair"] == (1, "x")
    assert values["tags"] == {"t"}
    assert "note" not in values
    assert "loud" not in values


def test_parameters_may_be_described_beside_their_type():
    @tool
    def search(
        plain: Annotated[str, "What to look for."],
        count: Annotated[int, Field(ge=1, le=9, description="How many.")] = 3,
    ) -> str:
        """Find.

        Args:
            plain: The docstring loses against the annotation.
            count: As here.
        """
        return ""

    assert parameter(search, "plain") == {"type": "string", "description": "What to look for."}
    assert parameter(search, "count") == {
        "type": "integer",
        "description": "How many.",
        "minimum": 1,
        "maximum": 9,
        "default": 3,
    }


@pytest.mark.parametrize(
    "docstring",
    [
        "Find.\n\nArgs:\n    query: What to look for.\n\nReturns:\n    Pages.",
        "Find.\n\nParameters\n----------\nquery : str\n    What to look for.\n",
        "Find.\n\n:param query: What to look for.\n:returns: Pages.",
    ],
    ids=["google", "numpy", "sphinx"],
)
def test_docstrings_of_every_style_describe_parameters(docstring: str):
    def search(query: str) -> str:
        return query

    search.__doc__ = docstring
    made = tool(search)
    assert made.description == "Find."
    assert parameter(made, "query")["description"] == "What to look for."


def test_a_default_of_none_lets_the_model_write_null():
    @tool
    def search(limit: int = None) -> str:  # type: ignore[assignment]  # noqa: RUF013
        """Find."""
        return ""

    assert parse_arguments('{"limit": null}', search) == {"limit": None}
    assert parse_arguments('{"limit": 3}', search) == {"limit": 3}


@pytest.mark.parametrize(
    "name", ["schema", "json", "copy", "model_config", "self_", "_hidden", "function", "call"]
)
def test_parameters_may_have_any_name(name: str):
    scope: dict[str, Any] = {}
    exec(f'def probe({name}: int) -> int:\n    """Probe."""\n    return {name}', scope)
    made = tool(scope["probe"])
    assert list(made.parameters["properties"]) == [name]
    assert convert_arguments({name: 3}, made) == {name: 3}


def test_the_context_is_filled_in_and_hidden_from_the_model():
    @tool
    def remember(text: str, context: ToolContext) -> str:
        """Remember."""
        return context.task + text

    @tool
    def perhaps(text: str, context: ToolContext | None = None) -> str:
        """Remember."""
        return text

    assert list(remember.parameters["properties"]) == ["text"]
    assert remember.context == "context"
    assert list(perhaps.parameters["properties"]) == ["text"]
    assert perhaps.context == "context"


def test_types_local_to_a_function_are_found_from_their_names():
    class Local(BaseModel):
        n: int

    @tool
    def bare(thing: Local) -> int:
        """Take it."""
        return thing.n

    @tool(effects="read")
    def configured(thing: list[Local]) -> int:
        """Take it."""
        return len(thing)

    assert convert_arguments({"thing": {"n": 1}}, bare)["thing"] == Local(n=1)
    assert convert_arguments({"thing": [{"n": 1}]}, configured)["thing"] == [Local(n=1)]


def test_a_return_annotation_need_not_be_known():
    @tool
    def search(query: str) -> OnlyForCheckers:
        """Find."""
        raise NotImplementedError

    assert search.name == "search"


def test_a_wrapped_function_is_described_by_what_it_wraps():
    def logged(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def inner(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return inner

    @tool
    @logged
    def search(query: str) -> str:
        """Find."""
        return query

    assert list(search.parameters["properties"]) == ["query"]


def test_a_bound_method_can_be_a_tool():
    class Index:
        def find(self, query: str) -> str:
            """Find."""
            return f"found {query}"

    made = tool(Index().find, effects="read")
    assert list(made.parameters["properties"]) == ["query"]
    assert made(query="x") == "found x"


async def test_a_tool_is_still_the_function_to_its_own_tests():
    @tool
    def double(n: int) -> int:
        """Double."""
        return 2 * n

    @tool
    async def later(n: int) -> int:
        """Double, later."""
        return 2 * n

    assert double(4) == double(n=4) == 8
    assert await later(4) == 8


def test_a_tool_is_frozen_and_undeclared_effects_count_as_the_worst():
    @tool
    def act(n: int) -> int:
        """Act."""
        return n

    assert act.effects == ("write", "external")
    assert not act.reads_only
    assert not act.idempotent
    with pytest.raises(FrozenInstanceError):
        act.name = "other"  # type: ignore[misc]
    assert act in {act}


def positional(n: int, /) -> int:
    """Do."""
    return n


def many(*numbers: int) -> int:
    """Do."""
    return 0


def anything(**settings: int) -> int:
    """Do."""
    return 0


def unannotated(n) -> int:
    """Do."""
    return n


def undocumented(n: int) -> int:
    return n


def only_arguments(n: int) -> int:
    """:param n: A number."""
    return n


def undescribable(n: int, callback: Callable[[], int]) -> int:
    """Do."""
    return n


class Thing:
    def method(self, n: int) -> int:
        """Do."""
        return n


def strange(n: Thing) -> int:
    """Do."""
    return 0


def for_checkers(n: OnlyForCheckers) -> int:
    """Do."""
    return 0


def not_a_type(n: 5) -> int:  # type: ignore[valid-type]
    """Do."""
    return 0


def field_default(n: int = Field(5, ge=1)) -> int:
    """Do."""
    return n


def yielding(n: int):
    """Do."""
    yield n


async def yielding_later(n: int):
    """Do."""
    yield n


def two_contexts(a: ToolContext, b: ToolContext) -> int:
    """Do."""
    return 0


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (positional, "parameter 'n' is positional-only"),
        (many, r"takes '\*numbers: .*Name each parameter"),
        (anything, r"takes '\*\*settings: .*Name each parameter"),
        (unannotated, "parameter 'n' has no annotation. Write its type, for example 'n: str'"),
        (undocumented, "no docstring"),
        (only_arguments, "no docstring"),
        (undescribable, "the type of parameter 'callback' has no JSON Schema"),
        (strange, "the type of parameter 'n' has no JSON Schema"),
        (for_checkers, "names 'OnlyForCheckers', which is unknown there"),
        (not_a_type, "annotation that is no type|has no JSON Schema"),
        (field_default, "the default of parameter 'n' is a pydantic Field"),
        (yielding, "is a generator"),
        (yielding_later, "is a generator"),
        (two_contexts, "two ToolContext parameters, 'a' and 'b'"),
        (Thing.method, "is a method without its object"),
        (lambda n: n, "lambda without a name"),
        (Thing, "is not a function but a type"),
        (len, "is not a function but a builtin"),
    ],
)
def test_a_function_that_no_model_could_call_is_a_definition_error(function: Any, says: str):
    with pytest.raises(DefinitionError, match=says):
        tool(function)


def test_a_definition_error_says_where_the_function_stands():
    with pytest.raises(DefinitionError) as caught:
        tool(unannotated)
    line = unannotated.__code__.co_firstlineno
    assert str(caught.value).startswith(f"Tool 'unannotated' (test_tool.py, line {line})")


def fine(n: int) -> int:
    """Do."""
    return n


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"name": "send mail"}, "name that models cannot call"),
        ({"name": "1st"}, "name that models cannot call"),
        ({"name": "x" * 65}, "name that models cannot call"),
        ({"name": "née"}, "name that models cannot call"),
        ({"name": "x\n"}, "name that models cannot call"),
        ({"effects": "reed"}, r"effects \['reed'\]. Use one or more of: read, write"),
        ({"effects": ["read", "burn"]}, "Use one or more of"),
        ({"effects": []}, "Use one or more of"),
        ({"effects": True}, "effects is True, not a text or a list of texts"),
        ({"trusted": "no"}, "trusted is 'no', not True or False"),
        ({"idempotent": "no"}, "idempotent is 'no', not True or False"),
        ({"sensitive": 1}, "sensitive is 1, not True or False"),
        ({"timeout": None}, "timeout=None is not a number above 0"),
        ({"effects": "read", "cache_ttl": "1h"}, "cache_ttl='1h' is not a number, 0 at least"),
        ({"effects": "read", "retry_on": ValueError}, "retry_on is .*, not a list of errors"),
        ({"rate": 30}, "rate is 30, not calls in a time: rate='30/min'"),
        ({"concurrency": "2"}, "concurrency='2' is not a whole number, 1 at least"),
        ({"control": 5}, "control is 5, not a list of arguments"),
        ({"timeout": 0}, "is not a number above 0."),
        ({"timeout": -1}, "is not a number above 0."),
        ({"timeout": float("nan")}, "is not a number above 0."),
        ({"timeout": float("inf")}, "is not a number above 0."),
        ({"max_tokens": 0}, "max_tokens=0"),
        ({"timout": 5}, "has no option 'timout'. Did you mean 'timeout'?"),
        ({"retries": -1}, "retries=-1. Give a number from 0 up"),
        ({"retries": True}, "retries=True"),
        ({"effects": "write", "retries": 2}, "what it does must not be done twice"),
        ({"effects": "read", "retry_on": (int,)}, "which is no kind of error"),
        ({"effects": "read", "cache_ttl": -1}, "cache_ttl=-1 is not a number, 0 at least."),
        ({"effects": "write", "idempotent": True, "cache_ttl": 5}, "never answered from a cache"),
        ({"effects": "read", "stale_on_failure": True}, "keeps no results"),
        ({"rate": "often"}, "rate='often' is no rate"),
        ({"concurrency": 0}, "concurrency=0"),
        ({"breaker": 5}, "breaker=5 is not a Breaker"),
        ({"fallback": print}, "fallback=.* is not a tool"),
        ({"guardrails": "x"}, "guardrails='x' is not a list"),
        ({"guardrails": [5]}, "the guardrail 5 is not a function"),
        ({"guardrails": Guardrails(output=[print])}, "guardrails for 'output', but a tool has"),
    ],
)
def test_an_impossible_option_is_a_definition_error(options: dict[str, Any], says: str):
    with pytest.raises(DefinitionError, match=says):
        tool(fine, **options)


def test_a_name_may_have_a_dash():
    assert tool(fine, name="send-mail").name == "send-mail"


def test_a_foreign_name_may_have_dots_but_not_where_an_agent_has_the_tool():
    made = tool_from_schema("math.gcd", "Compute.", {}, print, effects="read")
    assert check_call(Scope("math.gcd"), made, {}) == Allow()
    with pytest.raises(DefinitionError, match=r"'math\.gcd' has a name that models cannot call"):
        Agent("Clerk", "Count.", tools=[made])
    for name in ("", "math gcd", "x\n", "x" * 129, "née"):
        with pytest.raises(DefinitionError, match="name that models cannot call"):
            tool_from_schema(name, "Compute.", {}, print)


def test_a_foreign_schema_makes_a_tool_that_gets_json_as_it_is():
    schema = {
        "type": "object",
        "properties": {"content-type": {"type": "string"}, "when": {"format": "date"}},
    }
    made = tool_from_schema("fetch", "Fetch.", schema, lambda **given: given, effects="read")
    data = parse_arguments('{"content-type": "text", "when": "2026-11-21"}', made)
    assert made(**convert_arguments(data, made)) == {"content-type": "text", "when": "2026-11-21"}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array"},
        {"type": "object", "properties": 5},
        {"type": "object", "required": "x"},
        {"type": "object", "properties": {"a": {"pattern": "("}}},
    ],
)
def test_a_foreign_schema_that_is_none_is_a_definition_error(schema: dict[str, Any]):
    with pytest.raises(DefinitionError, match="Tool 'fetch' has parameters"):
        tool_from_schema("fetch", "Fetch.", schema, print)


def test_output_types_are_described_closed_and_text_needs_no_schema():
    assert json_schema(str) is None
    assert json_schema(list[int]) == {"type": "array", "items": {"type": "integer"}}
    assert json_schema(Place) == {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    }
    with pytest.raises(DefinitionError, match="The type Thing cannot be described"):
        json_schema(Thing)
