"""The memory as tools that agents may be granted: `recall` and `remember`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from crewkit.errors import DefinitionError, ToolError
from crewkit.memory.base import Hit, Record
from crewkit.tools.tool import Tool, ToolContext, tool

LONGEST_FACT = 2_000
"""Characters of a fact that an agent saves."""
MOST_HITS = 20


# Trusted, so that what it returns is as trusted as what is recalled.
@tool(effects="read", trusted=True)
async def recall(query: str, context: ToolContext, limit: int = 5) -> list[dict[str, Any]]:  # noqa: D417
    """Recall what is remembered: facts saved earlier and passages of documents, the best first.

    Args:
        query: A question, or words that may stand in what is looked for.
        limit: How many at most, up to 20.
    """
    return await _recall(context, query, limit, "")


# It writes, but only into memory, where the same twice is there once: so it counts as reading.
@tool(effects="read", idempotent=True, trusted=True)
async def remember(fact: str, context: ToolContext) -> str:  # noqa: D417
    """Save one fact for later work, in a sentence that can be understood by itself.

    Args:
        fact: The sentence, up to 2,000 characters.
    """
    return await _remember(context, fact, "")


def memory_tools(*, read: Sequence[str] = (), write: Sequence[str] = ()) -> list[Tool]:
    """Return `recall` and `remember` for namespaces of your choice. An agent can name these and no others.

    Grants narrow them further: `Grant("remember", where={"properties": {"namespace": {"const": "team"}}})`.

    Args:
        read: What `recall` may look into. `""` is the crew's own namespace; `{name}` in a name is an input of the
            crew: `"customer:{customer}"`.
        write: What `remember` may write into.

    Raises:
        DefinitionError: None is named.
    """
    if not read and not write:
        raise DefinitionError(
            "memory_tools() names no namespace. Name some: memory_tools(read=['handbook'])."
        )
    tools: list[Tool] = []
    if read:

        async def recall_from(query: str, namespace: str, context: ToolContext, limit: int = 5) -> Any:
            return await _recall(context, query, limit, namespace)

        tools.append(_of(recall, recall_from, read, "Where to look."))
    if write:

        async def remember_in(fact: str, namespace: str, context: ToolContext) -> str:
            return await _remember(context, fact, namespace)

        tools.append(_of(remember, remember_in, write, "Where to keep it."))
    return tools


def _of(made: Tool, function: Any, namespaces: Sequence[str], description: str) -> Tool:
    """Return a tool with the namespaces written into its schema."""
    schema = made.parameters
    named = {"type": "string", "enum": list(dict.fromkeys(namespaces)), "description": description}
    parameters = {
        **schema,
        "properties": {**schema["properties"], "namespace": named},
        "required": [*schema["required"], "namespace"],
    }
    return replace(made, function=function, parameters=parameters, convert=dict)


async def _recall(context: ToolContext, query: str, limit: int, namespace: str) -> list[dict[str, Any]]:
    if not 1 <= limit <= MOST_HITS:
        raise ToolError(f"limit is {limit}; ask for 1 to {MOST_HITS}.")
    return [told(hit) for hit in await context.memory.recall(query, k=limit, namespace=namespace)]


async def _remember(context: ToolContext, fact: str, namespace: str) -> str:
    fact = fact.strip()
    if not fact or len(fact) > LONGEST_FACT:
        raise ToolError(f"A fact has 1 to {LONGEST_FACT:,} characters; this one has {len(fact):,}.")
    source = f"run {context.run_id}, {context.path}"
    record = Record(fact, source, 0, len(fact), author=context.agent)
    (id,) = await context.memory.add([record], namespace=namespace)
    return f"Remembered as {id}."


def told(hit: Hit) -> dict[str, Any]:
    """Return a hit as a model reads it: the text, where it is from, who said so, and whether that can be trusted."""
    record, origin = hit.record, hit.record.origin
    about = {
        "text": record.text,
        "title": record.title,
        "source": record.source,
        "start": record.start,
        "end": record.end,
        "author": record.author,
        "time": record.time or origin.added,
        "trusted": origin.label.trusted,
    }
    return {name: value for name, value in about.items() if value not in ("", None)}
