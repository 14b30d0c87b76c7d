"""Lines of a transcript, and the words that all its parts share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from crewkit.cli.progress import MARKS
from crewkit.cli.sayings import Span
from crewkit.cli.text import count, duration, money, number, one_line
from crewkit.core.events import Event
from crewkit.journal.read import Totals

Data = Mapping[str, Any]

_LABEL = 11
"""Columns of a label."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line, or what a narrow screen makes of it."""

    spans: Sequence[Span]
    indent: int = 0
    bar: bool = False
    """A line of content: set off by a bar, also where it wraps."""


@dataclass(frozen=True, slots=True)
class Text:
    """What was said, at any length: shown as far as was asked for."""

    text: str
    indent: int = 0


def labelled(label: str, text: str, indent: int = 1, style: str = "") -> Iterator[Line]:
    """Yield a line of a label and a text; nothing where there is no text."""
    if text:
        yield Line([(f"{label:{_LABEL}}", "dim"), (one_line(text), style)], indent)


def marked(status: str) -> Span:
    """Return the mark of a status."""
    mark, style = MARKS.get(status, ("!", "yellow"))
    return f"{mark} ", style


def coloured(status: str) -> Span:
    """Return a status in its colour."""
    styles = {"completed": "green", "failed": "red", "denied": "red", "running": "cyan"}
    return status, styles.get(status, "yellow")


def used_of(used: Totals) -> str:
    """Say what was used: tokens, money, steps, calls; nothing where nothing was."""
    parts: list[str] = []
    if used.steps:
        cached = f", {number(used.cached_tokens)} of them cached" if used.cached_tokens else ""
        parts.append(f"{number(used.input_tokens)} tokens in{cached}, {number(used.output_tokens)} out")
        parts.append(_money(used))
        parts.append(count(used.steps, "model step"))
    if used.tools:
        bad = ", ".join(f"{many} {ended}" for ended, many in used.tools.items() if ended != "ok")
        parts.append(count(sum(used.tools.values()), "tool call") + (f" ({bad})" if bad else ""))
    return " · ".join(parts)


def _money(used: Totals) -> str:
    if used.unpriced and used.usd_known:
        return f"{money(used.usd_known)} and {count(used.unpriced, 'call')} of unknown cost"
    return money(used.usd)


def cost_of(answered: Data) -> str:
    """Say what a model's answer cost, from its `model.finished`."""
    usage = as_data(answered.get("usage"))
    if not usage:
        return ""
    tokens = (
        f"{number(usage.get('input_tokens') or 0)} tokens in, {number(usage.get('output_tokens') or 0)} out"
    )
    took = duration(float(answered.get("seconds") or 0))
    return f"{answered.get('model')} · {tokens} · {money(answered.get('usd'))} · {took}"


def quantities(caps: Data) -> str:
    """Say caps, or what is left below them; what has no cap is left out."""
    return " · ".join(f"{_quantity(cap)} {name}" for name, cap in caps.items() if cap is not None)


def _quantity(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.6g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def clock(event: Event, *, day: bool = False) -> str:
    """Return an event's time on this machine's clock."""
    try:
        moment = datetime.fromisoformat(event.ts).astimezone()
    except ValueError:
        return event.ts
    return moment.strftime("%Y-%m-%d %H:%M:%S" if day else "%H:%M:%S")


def as_data(value: Any) -> Data:
    """Return a JSON object as one; nothing where it is none."""
    return cast("Data", value) if isinstance(value, dict) else {}
