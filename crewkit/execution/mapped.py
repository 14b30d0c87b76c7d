"""Maps: a task that is done for each item of a list."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from crewkit.coordinator.pool import Pool
from crewkit.coordinator.schedule import Outcome
from crewkit.core.label import Label, join
from crewkit.crew.compile import Job
from crewkit.crew.each import Item, listed
from crewkit.errors import Denied, LimitExceeded, RunError
from crewkit.journal.waiting import Waiting

if TYPE_CHECKING:
    from crewkit.execution.walk import Walk

_NAMED = 5
"""Items that failed and are named."""


async def mapped(walk: Walk, job: Job) -> tuple[list[Any], str]:
    """Do a task for each item; return what they came to in their order, and what is wrong although it counts.

    Each item is a task of its own to the journal: one that is finished is never entered again, and what is kept of
    those that are over is their output.

    Raises:
        RunError: There is no list, or too many items failed.
        Waiting: Items wait for people, times or events, and nothing else is left to do.
        LimitExceeded: A cap stopped it.
    """
    each = job.each
    assert each is not None
    source = each.source
    value = walk.values.value(source) if source in walk.plan.jobs else walk.values.inputs[source]
    values, items = listed(each, value, walk.values.data(source), f"Task '{job.name}'")
    label = walk.values.label(source)
    labels: dict[Label, None] = {label: None}

    def one(i: int) -> Job:
        return replace(job, output=each.output, item=Item(i, values[i], items[i], label))

    async def do(i: int) -> Outcome:
        outcome, of = await walk.item(one(i))
        if of is not None:
            labels[of] = None
        return outcome

    walk.run.record(
        "map.started", walk.path(job), {"items": len(items)}, task=walk.path(job), agent=job.worker
    )
    needed = enough(job.task.min_success, len(items))
    pool = Pool(
        walk.only(job, len(items)),
        do,
        concurrency=job.task.concurrency,
        may_fail=len(items) - needed,
    )
    outcomes = await walk.through_items(pool)
    why = _settled(pool, len(items), needed)
    walk.values.hold(job, join(labels))
    ended = [outcomes[i] for i in sorted(outcomes) if outcomes[i].status == "completed"]
    for i in range(len(items)):
        walk.run.drop(walk.path(one(i)))
    return [outcome.output for outcome in ended], why


def enough(min_success: float | None, items: int) -> int:
    """Return how many items have to succeed: all, so many, or a share of them."""
    if min_success is None:
        return items
    if isinstance(min_success, int):
        return min(min_success, items)
    return math.ceil(round(min_success * items, 6))


def _settled(pool: Pool, items: int, needed: int) -> str:
    """Raise what keeps a map from its end; return what is wrong although it counts."""
    outcomes = pool.outcomes
    failed = {i: outcomes[i] for i in sorted(outcomes) if outcomes[i].status == "failed"}
    if len(failed) > items - needed:
        first = next(iter(failed.values()))
        kind = Denied if isinstance(first.error, Denied) else RunError
        left = items - len(outcomes)
        begun = f" {left:,} were not begun." if left else ""
        raise kind(f"{_named(failed, items)}, and {needed:,} have to succeed.{begun} What succeeded is kept.")
    for outcome in outcomes.values():
        if isinstance(outcome.error, LimitExceeded) and outcome.status == "stopped":
            raise outcome.error
    if pool.halted:
        raise LimitExceeded(pool.halted, limit="run")
    waits = [
        Waiting(each.approvals, waits=each.waits, until=each.until, why=each.why)
        for each in outcomes.values()
        if each.status == "waiting"
    ]
    if waits:
        raise Waiting.joined(waits)
    capped = {
        i: outcomes[i] for i in sorted(outcomes) if outcomes[i].status == "completed" and outcomes[i].why
    }
    said = [f"{_named(failed, items)}. They are left out."] if failed else []
    if capped:
        i, first = next(iter(capped.items()))
        said.append(f"{len(capped):,} of {items:,} items were not accepted: [{i}] {first.why}")
    return " ".join(said)


def _named(failed: dict[int, Outcome], items: int) -> str:
    """Say which items failed, and why."""
    named = [f"[{i}] {outcome.why.rstrip('.')}" for i, outcome in list(failed.items())[:_NAMED]]
    more = f"; and {len(failed) - _NAMED:,} more" if len(failed) > _NAMED else ""
    return f"{len(failed):,} of {items:,} items failed: {'; '.join(named)}{more}"
