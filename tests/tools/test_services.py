"""Places, circuits and kept answers of the tools of a run."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from crewkit import Tool, ToolContext, tool
from crewkit.core.events import Event
from crewkit.resilience.breaker import Breaker, CircuitOpen
from crewkit.resilience.places import OwnPlaces
from crewkit.resilience.retry import Retry
from crewkit.testing.clock import FakeClock
from crewkit.tools.services import Failing, Services


def made(name: str = "fetch", **options: Any) -> Tool:
    @tool(name=name, **{"effects": "read", **options})
    def fetch(url: str) -> str:
        """Fetch."""
        return url

    return fetch


class Recorder:
    def __init__(self, **options: Any) -> None:
        self.clock = FakeClock()
        self.events: list[Event] = []
        self.services = Services(self.clock, self.record, **options)

    def record(self, type: str, data: dict[str, Any]) -> None:
        ts = self.clock.now().isoformat()
        self.events.append(Event("r", len(self.events) + 1, type, ts, 0.0, "s", data=data))

    async def fail(self, tool: Tool, why: str = "timeout") -> None:
        async def attempt() -> str:
            raise Failing(why)

        with pytest.raises(Failing):
            await self.services.call(tool, attempt)


async def answer() -> str:
    return "ok"


async def test_a_call_is_tried_again_as_often_as_the_tool_says():
    known, waits, attempts = Recorder(), list[float](), 0

    async def attempt() -> str:
        nonlocal attempts
        attempts += 1
        if attempts < 3:
            raise Failing("gone", retry_after=7)
        return "there"

    said = await known.services.call(
        made(retries=2), attempt, lambda n, seconds, error: waits.append(seconds)
    )
    assert (said, attempts, waits) == ("there", 3, [7, 7])


async def test_what_will_not_pass_is_not_tried_again():
    attempts = 0

    async def attempt() -> str:
        nonlocal attempts
        attempts += 1
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        await Recorder().services.call(made(retries=5), attempt)
    assert attempts == 1


async def test_retries_stop_when_the_circuit_opens():
    known, attempts = Recorder(), 0

    async def attempt() -> str:
        nonlocal attempts
        attempts += 1
        raise Failing("gone")

    with pytest.raises(CircuitOpen, match="it failed 2 times"):
        await known.services.call(made(retries=Retry(attempts=9), breaker=Breaker(failures=2)), attempt)
    assert attempts == 2


async def test_a_tool_that_keeps_failing_is_left_alone_and_others_are_not():
    known, one, other = Recorder(), made("one"), made("other")
    for _ in range(5):
        await known.fail(one)
    assert known.services.refusal(one).startswith("it failed 5 times within 60 seconds (last: timeout)")
    assert known.services.refusal(other) == ""
    assert [(e.data["tool"], e.data["state"]) for e in known.events] == [("one", "open")]


async def test_many_failures_of_different_tools_open_the_circuit_of_the_run():
    known = Recorder(workflow=Breaker(failures=4))
    for name in "abcd":
        await known.fail(made(name))
    fresh = made("fresh")
    assert known.services.refusal(fresh).startswith("the tools of this run failed 4 times")
    with pytest.raises(CircuitOpen):
        await known.services.call(fresh, answer)
    assert known.services.refusal(made("own", breaker=None)) == ""
    known.clock.advance(30)
    assert await known.services.call(fresh, answer) == "ok"
    assert known.services.refusal(made("b")) == ""


async def test_an_open_circuit_is_known_to_the_next_process():
    known, one = Recorder(), made("one")
    for _ in range(5):
        await known.fail(one)
    later = Recorder()
    later.clock.advance(10)
    later.services.restore(known.events)
    assert "to be tried again in 20 seconds" in later.services.refusal(one)
    later.clock.advance(20)
    assert await later.services.call(one, answer) == "ok"
    assert [e.data["state"] for e in later.events] == ["half-open", "closed"]
    again = Recorder()
    again.services.restore([*known.events, *later.events])
    assert again.services.refusal(one) == ""


def test_answers_are_kept_by_definition_and_arguments():
    known, context = Recorder(), ToolContext("r", "t", "a", "t/1/tool:0", "k", None)  # type: ignore[arg-type]
    services, one = known.services, made(cache_ttl=60)
    key = services.key(one, {"url": "a", "n": 1}, context)
    assert key == services.key(made(cache_ttl=5), {"n": 1, "url": "a"}, context)
    assert key != services.key(one, {"url": "a", "n": 1.0}, context)
    assert key != services.key(made("other", cache_ttl=60), {"url": "a", "n": 1}, context)
    assert services.key(made(), {}, context) == ""


def test_a_tool_that_sees_its_context_answers_only_whom_it_answered():
    @tool(effects="read", cache_ttl=60)
    def mine(context: ToolContext) -> str:
        """Say whose."""
        return context.agent

    services = Recorder().services
    ann = ToolContext("r", "t", "Ann", "p", "k", None)  # type: ignore[arg-type]
    bob = ToolContext("r", "t", "Bob", "p", "k", None)  # type: ignore[arg-type]
    assert services.key(mine, {}, ann) != services.key(mine, {}, bob)


async def test_places_are_shared_by_the_runs_that_are_given_them():
    clock = FakeClock()
    places, one = OwnPlaces(clock), made(concurrency=1, rate="1/min")
    first, second = Services(clock, places=places), Services(clock, places=places)
    async with first.place(one):
        waiting = asyncio.create_task(second.place(one).__aenter__())
        await asyncio.sleep(0)
        assert not waiting.done()
    await waiting
    assert clock.monotonic() == 60
