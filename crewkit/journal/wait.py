"""Waiting for a time or for something outside: steps that may take days and hold no process."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from crewkit.core.clock import timestamp, to_second
from crewkit.core.messages import fingerprint
from crewkit.errors import CrewkitError, RunError
from crewkit.journal.outside import Signal
from crewkit.journal.run import Run
from crewkit.journal.waiting import Waiting

Data = dict[str, Any]


async def wait_until(run: Run, path: str, moment: Callable[[], datetime], *, task: str, agent: str) -> str:
    """Return once a time has come, with that time (RFC 3339).

    Args:
        run: The run that waits.
        path: The step.
        moment: Says until when; asked once per run.
        task: The task's path.
        agent: Who does the task.

    Raises:
        Waiting: It has not come yet.
    """
    if (held := run.result(path, task=task)) is not None:
        return held["until"]
    started = run.waiting(path, task=task)
    if started is None:
        started = {"id": _id(run, path), "for": "time", "until": timestamp(moment())}
        run.wait(path, started, task=task, agent=agent)
    until, id = started["until"], started["id"]
    if timestamp(run.clock.now()) < until:
        raise Waiting(waits=[id], until=until, why=f"It waits until {to_second(until)}.")
    run.answer(path, "wait", {"id": id, "outcome": "due", "until": until}, task=task, agent=agent)
    return until


async def wait_for(
    run: Run, path: str, event: str, read: Callable[[Any], Any], *, task: str, agent: str
) -> Any:
    """Return what an external event brought, once it has come.

    The oldest event of the name counts that no earlier iteration of the same task took; it may have come before this
    began to wait. One whose data is not what was promised is refused and recorded; the wait goes on.

    Args:
        run: The run that waits.
        path: The step.
        event: The event's name.
        read: Checks the event's data, and returns it as JSON data of the promised type.
        task: The task's path. Its deadline counts from when it began to wait.
        agent: Who does the task.

    Raises:
        Waiting: It has not come yet.
        RunError: It did not come in time.
    """
    held = run.result(path, task=task)
    if held is None:
        held = await _arrived(run, path, event, read, task=task, agent=agent)
    if held["outcome"] == "deadline":
        raise RunError(f"The event '{event}' did not come by {to_second(held['deadline'])}.")
    return held["output"]


async def _arrived(
    run: Run, path: str, event: str, read: Callable[[Any], Any], *, task: str, agent: str
) -> Data:
    started = run.waiting(path, task=task)
    if started is None:
        started = {"id": _id(run, path), "for": "event", "event": event}
        if (seconds := run.deadline(task)) is not None:
            started["deadline"] = timestamp(run.clock.now() + timedelta(seconds=seconds))
        run.wait(path, started, task=task, agent=agent)
    id, deadline = started["id"], started.get("deadline", "")
    late = bool(deadline) and timestamp(run.clock.now()) >= deadline
    if late:
        await run.look()  # it may have come in time, unheard until now
    for signal in list(run.outside.events(event, path)):
        if deadline and signal.ts > deadline:
            break
        if (output := _read(run, path, signal, read, task=task, agent=agent)) is not None:
            result = {
                "id": id,
                "outcome": "arrived",
                "signal": signal.id,
                "by": signal.by,
                "output": output[0],
            }
            run.outside.take(path, signal.id)
            run.answer(path, "wait", result, task=task, agent=agent)
            return result
    if late:
        result = {"id": id, "outcome": "deadline", "deadline": deadline}
        run.answer(path, "wait", result, task=task, agent=agent)
        return result
    by = f", until {to_second(deadline)} at most" if deadline else ""
    raise Waiting(waits=[id], until=deadline, why=f"It waits for the event '{event}'{by}.")


def _read(
    run: Run, path: str, signal: Signal, read: Callable[[Any], Any], *, task: str, agent: str
) -> tuple[Any] | None:
    """Return an event's data as it was promised; record that it is refused where it is not."""
    try:
        return (read(run.redactor.data(signal.data.get("data"))),)
    except CrewkitError as error:
        run.outside.take(path, signal.id)
        data = {"signal": signal.id, "by": signal.by, "why": str(error)}
        run.record(
            "wait.refused", path, data, task=task, agent=agent, once=False, key=f"refused:{path}:{signal.id}"
        )
        return None


def _id(run: Run, path: str) -> str:
    return "w-" + fingerprint(run.id, path)[:8]
