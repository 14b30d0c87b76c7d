"""The circuit breaker: opens after failures in a window, and lets one probe through to see."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from crewkit.errors import DefinitionError
from crewkit.resilience.breaker import Breaker, Circuit, CircuitOpen
from crewkit.testing.clock import FakeClock

BREAKER = Breaker(failures=3, window=10, pause=30)


class Service:
    """Something behind a circuit."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.told: list[str] = []
        self.calls = 0
        self.circuit = Circuit(BREAKER, self.clock, lambda state, why: self.told.append(state))

    async def call(self, trouble: str = "") -> str:
        async def do() -> str:
            self.calls += 1
            return trouble

        return await self.circuit.through(do, str)


async def test_it_opens_after_the_failures_in_the_window_and_then_calls_nothing():
    service = Service()
    for _ in range(3):
        await service.call("timeout")
    assert service.circuit.state == "open"
    with pytest.raises(
        CircuitOpen,
        match=r"failed 3 times within 10 seconds \(last: timeout\); to be tried again in 30 seconds",
    ):
        await service.call()
    assert (service.calls, service.told) == (3, ["open"])


async def test_failures_further_apart_than_the_window_do_not_open_it():
    service = Service()
    for _ in range(20):
        await service.call("timeout")
        service.clock.advance(6)
    assert service.circuit.state == "closed"


async def test_after_the_pause_one_probe_closes_it_or_opens_it_again():
    service = Service()
    for _ in range(3):
        await service.call("timeout")
    service.clock.advance(30)
    assert service.circuit.state == "half-open"
    await service.call("timeout")
    assert service.circuit.state == "open"
    assert "it failed again (timeout)" in service.circuit.refusal()
    service.clock.advance(30)
    await service.call()
    assert service.circuit.state == "closed"
    assert service.told == ["open", "half-open", "open", "half-open", "closed"]


async def test_while_a_probe_is_under_way_nothing_else_is_called():
    service = Service()
    for _ in range(3):
        await service.call("timeout")
    service.clock.advance(30)
    done = asyncio.Event()

    async def slow() -> str:
        await done.wait()
        return ""

    probe = asyncio.create_task(service.circuit.through(slow))
    await asyncio.sleep(0)
    with pytest.raises(CircuitOpen, match="one call is being tried just now"):
        await service.call()
    done.set()
    await probe
    assert service.circuit.state == "closed"


async def test_a_probe_that_is_cancelled_leaves_the_next_call_to_be_it():
    service = Service()
    for _ in range(3):
        await service.call("timeout")
    service.clock.advance(30)
    probe = asyncio.create_task(service.circuit.through(asyncio.Event().wait))
    await asyncio.sleep(0)
    probe.cancel()
    await asyncio.gather(probe, return_exceptions=True)
    await service.call()
    assert service.circuit.state == "closed"


async def test_what_was_begun_before_it_opened_neither_closes_it_nor_opens_it_for_longer():
    service = Service()
    late = asyncio.Event()

    async def slow() -> str:
        await late.wait()
        return "timeout"

    slow_ones = [asyncio.create_task(service.circuit.through(slow)) for _ in range(5)]
    await asyncio.sleep(0)
    for _ in range(3):
        await service.call("timeout")
    service.clock.advance(29)
    late.set()
    await asyncio.gather(*slow_ones)
    service.clock.advance(1)
    assert service.circuit.state == "half-open"


async def test_what_is_raised_is_judged_and_raised():
    service = Service()

    async def broken() -> str:
        raise ConnectionError("gone")

    for _ in range(3):
        with pytest.raises(ConnectionError):
            await service.circuit.through(broken, lambda result: type(result).__name__)
    assert "last: ConnectionError" in service.circuit.refusal()


async def test_one_circuit_within_another_that_refuses_is_no_failure_of_the_outer():
    inner, outer = Service(), Service()
    for _ in range(3):
        await inner.call("timeout")
    for _ in range(10):
        with pytest.raises(CircuitOpen):
            await outer.circuit.through(inner.call)
    assert outer.circuit.state == "closed"


@pytest.mark.parametrize("field", ["failures", "window", "pause"])
def test_a_breaker_without_sense_is_refused(field: str):
    with pytest.raises(DefinitionError, match=f"Breaker: {field}=0 is not a number above 0"):
        Breaker(**{field: 0})


class Machine(RuleBasedStateMachine):
    """Any order of calls and of time passing, against the rules written down once more, plainly."""

    def __init__(self) -> None:
        super().__init__()
        self.service = Service()
        self.failed: list[float] = []
        self.until: float | None = None

    @property
    def now(self) -> float:
        return self.service.clock.monotonic()

    @rule(seconds=st.floats(0.1, 40))
    def time_passes(self, seconds: float) -> None:
        self.service.clock.advance(seconds)

    @rule(fails=st.booleans())
    @precondition(lambda self: self.until is None)
    def call_while_closed(self, fails: bool) -> None:
        asyncio.run(self.service.call("bad" if fails else ""))
        if fails:
            self.failed.append(self.now)
            if len([t for t in self.failed[-3:] if self.now - t <= 10]) == 3:
                self.until, self.failed = self.now + 30, []

    @rule(fails=st.booleans())
    @precondition(lambda self: self.until is not None and self.now >= self.until)
    def probe(self, fails: bool) -> None:
        asyncio.run(self.service.call("bad" if fails else ""))
        self.until = self.now + 30 if fails else None

    @rule()
    @precondition(lambda self: self.until is not None and self.now < self.until)
    def call_while_open(self) -> None:
        before = self.service.calls
        with pytest.raises(CircuitOpen):
            asyncio.run(self.service.call())
        assert self.service.calls == before

    @invariant()
    def it_says_what_it_is(self) -> None:
        expected = "closed" if self.until is None else "open" if self.now < self.until else "half-open"
        assert self.service.circuit.state == expected
        assert bool(self.service.circuit.refusal()) == (expected == "open")


Machine.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestAnyOrder = Machine.TestCase
