"""What other processes used of a run's caps, folded from what they recorded."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from crewkit.core.events import Event
from crewkit.core.limits import AGENT_LIMITS, Charge, Limits, Meter
from crewkit.errors import LimitExceeded
from crewkit.execution.ledger import Ledger

SEQ = itertools.count(1)


def event(type: str, path: str, task: str = "", attempt: int = 1, **data: Any) -> Event:
    return Event("r-1", next(SEQ), type, "", 0.0, "s-other", path, task or path, "Clerk", attempt, data)


def begun(task: str, tokens: int = 100, attempt: int = 1) -> Event:
    reserved = {"tokens": tokens, "usd": 0.5}
    return event("model.started", f"{task}/1/model", task, attempt, reserved=reserved)


def ended(task: str, tokens: int = 10, attempt: int = 1) -> Event:
    usage = {"input_tokens": tokens, "output_tokens": 0}
    return event("model.finished", f"{task}/1/model", task, attempt, usage=usage, usd=0.1, seconds=1.0)


class Counts:
    """What a walk is to the ledger."""

    def __init__(self, meter: Meter) -> None:
        self.meter = meter

    def charge(self, call: Charge) -> None:
        call.on(self.meter)


KEPT: list[Counts] = []


def run_meter(ledger: Ledger, **caps: Any) -> Meter:
    meter = Meter("the run", Limits(**caps))
    KEPT.append(Counts(meter))
    ledger.count_on(KEPT[-1])
    return meter


def used(meter: Meter) -> tuple[int, int, float]:
    return meter.tokens, meter.steps, round(meter.usd, 6)


def test_a_call_counts_as_reserved_until_it_ends_and_then_as_used():
    ledger = Ledger(task="mine")
    meter = run_meter(ledger, tokens=150)
    call = begun("a")
    ledger.add(call)
    ledger.add(call)
    assert used(meter) == (0, 1, 0)
    assert meter.left()["tokens"] == 150  # reserved is not used, but nothing else fits beside it
    ledger.add(ended("a"))
    assert used(meter) == (10, 1, 0.1)


async def test_what_others_hold_is_waited_for_and_what_they_used_is_not():
    ledger = Ledger([begun("a")], task="mine")
    meter = run_meter(ledger, tokens=150)
    waiting = asyncio.create_task(meter.reserve(60, None))
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()
    ledger.add(ended("a", tokens=100))
    with pytest.raises(LimitExceeded, match="100 of 150 tokens"):
        await meter.reserve(60, None)


def test_a_call_whose_maker_is_gone_counts_as_reserved_for_good():
    again, left = Ledger(task="mine"), Ledger(task="mine")
    meters = run_meter(again), run_meter(left)
    for ledger in (again, left):
        ledger.add(begun("a"))
    again.add(begun("a", 50, attempt=2))
    again.add(ended("a", 20, attempt=2))
    left.add(event("task.left", "a", status="stopped"))
    assert [used(meter) for meter in meters] == [(120, 2, 0.6), (100, 1, 0.5)]
    # As whoever carries the run on alone finds it, and whoever takes the task.
    assert used(run_meter(Ledger([begun("a")]))) == used(run_meter(Ledger([begun("a")], task="a")))


def test_a_call_that_failed_counts_no_more():
    ledger = Ledger(task="mine")
    meter = run_meter(ledger)
    ledger.add(begun("a"))
    ledger.add(event("model.finished", "a/1/model", "a", failed={"type": "ModelError", "message": "no"}))
    assert used(meter) == (0, 0, 0)


def test_a_call_is_counted_once_on_every_meter_above_it():
    ledger = Ledger([begun("sub/a"), ended("sub/a")])
    (call,) = ledger.calls.values()
    run = Meter("the run", Limits())
    outer = Meter("Task 'sub'", AGENT_LIMITS, (run,))
    call.on(outer)
    inner = Meter("crew 'sub'", AGENT_LIMITS, (outer,))
    call.on(inner)
    assert [used(meter) for meter in (run, outer, inner)] == [(10, 1, 0.1)] * 3
