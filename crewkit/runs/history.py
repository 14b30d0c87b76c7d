"""What a run's history tells whoever carries it on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from crewkit.core.events import Event
from crewkit.core.limits import Limits
from crewkit.errors import InputError
from crewkit.journal import read
from crewkit.journal.strip import is_stripped

Data = dict[str, Any]

_NEEDED: dict[str, type] = {"crew": str, "inputs": dict, "models": dict, "definitions": dict}
"""What a run cannot be carried on without, and its form."""


def beginning(id: str, history: Sequence[Event]) -> Data:
    """Return what a run began with, as forks and resumes have it.

    Raises:
        InputError: It cannot be read to its end, or not from its beginning.
    """
    damaged = next((event.data for event in history if event.type == "journal.damaged"), None)
    if damaged is not None:
        # Calls may have been finished there, and effects have happened.
        raise InputError(
            f"Run {id} cannot be read on after event {damaged['after']}: {damaged['why']}. Nobody can tell what was "
            f"done after it, so it is not carried on. Read what there is (crewkit show {id}) and start a new run."
        )
    begun = read.beginning(history)
    if not begun:
        raise InputError(f"Run {id} has no beginning in the journal, so it cannot be carried on.")
    if any(is_stripped(event.data) for event in history if event.type in ("run.started", "run.forked")):
        raise InputError(
            f"The content of run {id} was dropped (crewkit runs prune --content none): only figures and decisions are "
            "left, so it cannot be carried on. Start a new run."
        )
    lacking = [name for name, form in _NEEDED.items() if not isinstance(begun.get(name), form)]
    if lacking:
        raise InputError(
            f"The beginning of run {id} is damaged: it does not say {', '.join(lacking)}. So it cannot be carried on. "
            f"Read what there is (crewkit show {id}) and start a new run."
        )
    return begun


def own(id: str, history: Iterable[Event]) -> list[Event]:
    """Return a run's own events, without those that it shares with the runs it was forked from."""
    return [event for event in history if event.run == id]


def ending(id: str, history: Sequence[Event]) -> Data | None:
    """Return how a run ended; `None` where it can go on."""
    kinds = ("run.finished", "run.resumed", "run.forked")
    last = next((event for event in reversed(own(id, history)) if event.type in kinds), None)
    return last.data if last is not None and last.type == "run.finished" else None


def refuse_cancelled(id: str, history: Sequence[Event]) -> None:
    """Refuse to carry on what was given up.

    Raises:
        InputError: It was cancelled.
    """
    ended = ending(id, history)
    if ended is not None and ended["status"] == "cancelled":
        raise InputError(f"Run {id} was cancelled for good: {ended['why']} Start a new run.")
    signals = (event.data for event in own(id, history) if event.type == "run.signal")
    cancel = next((signal for signal in signals if signal["signal"] == "cancel"), None)
    if cancel is not None:
        by = cancel.get("by") or "somebody"
        raise InputError(f"Run {id} was cancelled by {by}, and died before it heard of it. Start a new run.")


def refuse_undone(id: str, history: Sequence[Event], *, again: bool = False) -> None:
    """Refuse to carry on a run whose effects were undone.

    Args:
        id: The run.
        history: Its events.
        again: It is to be undone once more, for what could not be undone before.

    Raises:
        InputError: They were.
    """
    ended = ending(id, history)
    report: Data = (ended or {}).get("report") or {}
    if "undone" not in report or (again and report.get("left")):
        return
    raise InputError(
        f"Run {id} was given up, and what it did was undone ({', '.join(report['undone']) or 'nothing'}). "
        "Start a new run."
    )


def capped(history: Iterable[Event]) -> Limits:
    """Return the caps that were given with the run, a fork or a resume of it: they hold until another is given."""
    limits = Limits()
    for event in history:
        match event.type:
            case "run.started":
                limits = Limits(**event.data.get("given", {}))
            case "run.forked" | "run.resumed":
                limits = Limits(**event.data.get("limits", {})).over(limits)
            case _:
                pass
    return limits


def active_seconds(events: Iterable[Event]) -> float:
    """Return how long a run was worked on so far, over all processes; waiting between them does not count."""
    spans: dict[str, tuple[float, float]] = {}
    for event in events:
        if event.type not in ("approval.decided", "run.signal"):
            first, last = spans.get(event.seg, (event.t, event.t))
            spans[event.seg] = (min(first, event.t), max(last, event.t))
    return sum(last - first for first, last in spans.values())
