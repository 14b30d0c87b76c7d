"""One turn of tool calls: reads all at once, effects one after the other, in the order of the model's answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from crewkit.agents.desk import Desk
from crewkit.agents.history import History
from crewkit.agents.receipts import wants_receipts
from crewkit.agents.repetition import Called
from crewkit.core.messages import ChatMessage, ToolCall
from crewkit.journal.waiting import Waiting
from crewkit.models.base import Answer
from crewkit.tools.gateway import Refused

MOST_CALLS = 64
"""Tool calls in one turn; a model that wants more is told to ask again for the rest."""


async def act(desk: Desk, history: History, answer: Answer) -> list[Called]:
    """Call the tools that the model chose and put their results in the order of the calls.

    Raises:
        Waiting: A person has to decide on some of them first. All questions of the turn are put at once.
    """
    path = history.path
    calls = answer.tool_calls[:MOST_CALLS]
    queue = _Queue(desk, calls)
    results = await asyncio.gather(
        *(queue.make(i, f"{path}/tool:{i}", answer.content[:500]) for i in range(len(calls))),
        return_exceptions=True,
    )
    waits = [result for result in results if isinstance(result, Waiting)]
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, Waiting):
            raise result
    if waits:
        raise Waiting.joined(waits)
    called: list[Called] = []
    for i, (call, result) in enumerate(zip(calls, results, strict=True)):
        if isinstance(result, ChatMessage):
            called.append(_came_to(desk, call, f"{path}/tool:{i}", result))
            history.add(_with_id(desk, call, result))
    for i, call in enumerate(answer.tool_calls[MOST_CALLS:], MOST_CALLS):
        why = f"Not called: {MOST_CALLS} calls in one turn is the most. Call it again in your next turn."
        history.add(desk.gateway.refuse(call, f"{path}/tool:{i}", Refused("denied", "limit", why)))
    return called


class _Queue:
    """The calls of one turn, in line: what has an effect is made once all before it ended, and before all after it."""

    def __init__(self, desk: Desk, calls: Sequence[ToolCall]) -> None:
        self._desk = desk
        self._calls = calls
        tools = [desk.gateway.tools.get(call.name) for call in calls]
        self._effects = [tool is not None and not tool.reads_only for tool in tools]
        self._ended = [asyncio.Event() for _ in calls]
        self._waits: dict[int, Waiting] = {}

    async def make(self, i: int, path: str, reason: str) -> ChatMessage:
        """Make a call, or find out what it came to."""
        try:
            return await self._desk.gateway.call(self._calls[i], path, reason, lambda: self._turn(i))
        except Waiting as waiting:
            self._waits[i] = waiting
            raise
        finally:
            self._ended[i].set()

    async def _turn(self, i: int) -> bool:
        """Wait until it is a call's turn; return whether anything was before it.

        Raises:
            Waiting: What is before it waits for a person.
        """
        before = [j for j in range(i) if self._effects[i] or self._effects[j]]
        for j in before:
            await self._ended[j].wait()
        if waits := [self._waits[j] for j in before if j in self._waits]:
            raise Waiting.joined(waits)
        return bool(before)


def _came_to(desk: Desk, call: ToolCall, path: str, result: ChatMessage) -> Called:
    """Take note of what came of a call."""
    outcome = desk.gateway.result(path).get("outcome")
    if outcome == "ok":
        desk.made[call.id] = call.name
    tool = desk.gateway.tools.get(call.name)
    ran = outcome in ("ok", "error", "timeout")
    effect = ran and tool is not None and not tool.repeatable
    return Called(call.name, call.arguments, result.content, effect)


def _with_id(desk: Desk, call: ToolCall, result: ChatMessage) -> ChatMessage:
    """Show an agent that has to give receipts the id of a call that it may name in one."""
    if call.id not in desk.made or not wants_receipts(desk.output.schema):
        return result
    return replace(result, note=f"[call {call.id}]\n{result.note}".strip())
