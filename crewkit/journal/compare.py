"""Where two runs differ: in what their tasks came to, in what their agents decided, in what it cost."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from crewkit.core.events import Event
from crewkit.journal.forget import standing
from crewkit.journal.read import totals

Data = Mapping[str, Any]
By = Literal["task", "decision", "cost"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where two runs are not the same."""

    at: str
    """The task's path, or the turn's; empty: the whole run."""
    differs: Sequence[str]
    """What about it; `missing` where one run has no such place."""
    a: Data | None
    """What the first run has there; `None`: no such place."""
    b: Data | None

    def to_data(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return {"at": self.at, "differs": list(self.differs), "a": self.a, "b": self.b}


def differences(a: Sequence[Event], b: Sequence[Event], by: By) -> list[Difference]:
    """Return where two runs differ, the first divergence first.

    In the order of the first run's journal; what only the second has stands where its own journal has it. Times
    and ids never count.

    Args:
        a: All the events of the first run.
        b: All the events of the second.
        by: `task`: status, output, error and worker of each task. `decision`: what was offered, withheld and chosen
            in each turn, and the answer where nothing was called. `cost`: tokens, money, steps and tool calls of
            each task, then of the whole.
    """
    places = _PLACES[by]
    return _differing(places(a), places(b))


def _differing(a: Mapping[str, Data], b: Mapping[str, Data]) -> list[Difference]:
    found: list[Difference] = []
    for at in _merged(list(a), list(b)):
        one, other = a.get(at), b.get(at)
        if one is None or other is None:
            found.append(Difference(at, ("missing",), one, other))
        elif names := [name for name in {**one, **other} if _key(one.get(name)) != _key(other.get(name))]:
            found.append(Difference(at, tuple(names), one, other))
    return found


def _merged(a: Sequence[str], b: Sequence[str]) -> list[str]:
    """Put what only the second has after what precedes it there."""
    mine = set(a)
    after: dict[str | None, list[str]] = {}
    last = None
    for at in b:
        if at in mine:
            last = at
        else:
            after.setdefault(last, []).append(at)
    return [*after.get(None, ()), *(each for at in a for each in (at, *after.get(at, ())))]


def _key(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _tasks(events: Sequence[Event]) -> dict[str, Data]:
    found: dict[str, dict[str, Any]] = {}
    for event in standing(events).events:
        if event.type == "task.started":
            found[event.path] = {"status": "unfinished", "agent": event.data.get("agent")}
        elif event.type == "task.finished":
            data, task = event.data, found.setdefault(event.path, {"agent": event.agent})
            task["status"] = data.get("status")
            task["output"] = data.get("output")
            task["why"] = _object(data.get("error")).get("message") or data.get("why")
    return dict(found)


def _decisions(events: Sequence[Event]) -> dict[str, Data]:
    made = (event for event in standing(events).events if event.type == "decision.made")
    return {event.path: _decision(event.data) for event in made}


def _decision(data: Data) -> Data:
    chosen = [
        {"tool": call.get("tool"), "arguments": _parsed(call.get("arguments"))}
        for call in data.get("chosen") or ()
    ]
    return {
        "offered": data.get("offered") or [],
        "withheld": data.get("withheld") or [],
        "chosen": chosen,
        **({} if chosen else {"answer": data.get("text")}),
    }


def _costs(events: Sequence[Event]) -> dict[str, Data]:
    whole = totals(events)
    return {
        at: {
            "tokens": used.tokens,
            "input_tokens": used.input_tokens,
            "output_tokens": used.output_tokens,
            "usd": used.usd,
            "steps": used.steps,
            "tools": dict(sorted(used.tools.items())),
        }
        for at, used in {**whole.tasks, "": whole}.items()
    }


_PLACES: Mapping[By, Callable[[Sequence[Event]], Mapping[str, Data]]] = {
    "task": _tasks,
    "decision": _decisions,
    "cost": _costs,
}


def _parsed(arguments: Any) -> Any:
    """Read arguments that are JSON text, so that blanks and the order of keys do not count."""
    try:
        return json.loads(arguments) if isinstance(arguments, str) else arguments
    except (ValueError, RecursionError):
        return arguments


def _object(value: Any) -> Data:
    return cast("Data", value) if isinstance(value, dict) else {}
