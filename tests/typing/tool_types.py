"""What type checkers see of tools. Checked by pyright, never run."""

from collections.abc import Awaitable, Sequence
from typing import Any, assert_type

from crewkit.tools.tool import FunctionTool, Tool, tool, tool_from_schema


@tool
def bare(query: str) -> int:
    """Find."""
    return len(query)


@tool(name="send-mail", effects=["write", "external"], idempotent=True, timeout=20)
async def configured(query: str, limit: int = 5) -> list[str]:
    """Find."""
    return [query] * limit


tools: list[Tool] = [bare, configured]
more: Sequence[Tool] = (bare, tool_from_schema("x", "X.", {"type": "object"}, print, effects="read"))


async def use() -> None:
    assert_type(bare("x"), int)
    assert_type(await configured("x", limit=3), list[str])
    pending: Awaitable[list[str]] = configured("x")
    assert_type(await pending, list[str])
    assert_type(tools[0]("anything"), Any)
    bare(5)  # pyright: ignore[reportArgumentType]


def narrow(thing: FunctionTool[[str], int]) -> Tool:
    return thing
