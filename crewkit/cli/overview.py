"""A run at a glance, in a terminal: when what happened, and what its agents decided."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from crewkit.cli.progress import MARKS
from crewkit.cli.sayings import Span
from crewkit.cli.text import arguments_of, cells, cut, duration, money, number, one_line
from crewkit.core.events import Event, is_item
from crewkit.core.text import call_text
from crewkit.journal.forget import standing
from crewkit.journal.timeline import Bar, Timeline, timeline
from crewkit.journal.tree import Node

Data = Mapping[str, Any]

_NAME = 30
"""Columns of a name at most."""
_FIGURES = 20
"""Columns of the time and the tokens."""
_LEAST = 10
"""Columns of the bars at least."""

_GLYPHS = {
    "work": ("█", "cyan"),
    "running": ("█", "cyan"),
    "failed": ("█", "red"),
    "interrupted": ("▒", "yellow"),
    "retry": ("~", "yellow"),
    "wait": ("░", "yellow"),
    "pause": ("·", "dim"),
}
_ORDER = ("pause", "work", "running", "retry", "wait", "interrupted", "failed")
"""What is drawn over what."""


def timeline_lines(root: Node, width: int, *, task: str = "") -> Iterator[list[Span]]:
    """Yield the run's tasks on one clock, or all that is in one task.

    Args:
        root: The run's tree.
        width: Columns that there are.
        task: Show this task with its turns and steps.
    """
    times = timeline(root)
    rows = list(_rows(root, task))
    names = min(max((cells(_name(node, depth)) for node, depth in rows), default=4), _NAME)
    room = max(width - names - _FIGURES - 2, _LEAST)
    scale = times.scale(room, 2)
    yield [(" " * names + "  ", ""), (_axis(times, scale, room), "dim")]
    for node, depth in rows:
        name = cut(_name(node, depth), names)
        bars = _draw(times.bars[node.path], scale, room)
        style = MARKS.get(node.status, ("", ""))[1] if node.status in ("failed", "skipped") else ""
        yield [(name + " " * (names - cells(name)) + "  ", style), *bars, (_figures(node, times), "dim")]
    kinds = {bar.kind for node, _ in rows for bar in times.bars[node.path]}
    said = {
        "wait": "waits for a person, an event or a time",
        "pause": "no process",
        "retry": "before another try",
        "failed": "failed",
    }
    legend = [f"{_GLYPHS[kind][0]} {words}" for kind, words in said.items() if kind in kinds]
    legend += ["⋯ nothing under way"] if times.folds else []
    if legend:
        yield [("   ".join(legend), "dim")]


def _rows(node: Node, task: str, depth: int = 0) -> Iterator[tuple[Node, int]]:
    for child in node.children:
        if is_item(child.path) and not task:
            continue  # there may be thousands: a map is one row
        inside = task and (child.path == task or child.path.startswith(f"{task}/"))
        if (
            child.kind == "task"
            if not task
            else inside and child.kind in ("task", "turn", "tool", "ask", "wait", "iteration", "fallback")
        ):
            yield child, depth
            yield from _rows(child, task, depth + 1)
        elif not task or task.startswith(f"{child.path}/") or inside:
            yield from _rows(child, task, depth)


def _name(node: Node, depth: int) -> str:
    name = node.path.rpartition("/")[2] if node.kind == "task" else node.title
    name = (
        f"fallback: {name}" if node.kind == "fallback" else f"waits {name}" if node.kind == "wait" else name
    )
    return "  " * depth + one_line(name)


def _draw(bars: Sequence[Bar], scale: Any, room: int) -> list[Span]:
    kinds = [""] * room
    for bar in sorted(bars, key=lambda bar: _ORDER.index(bar.kind)):
        first = min(int(scale(bar.start)), room - 1)
        last = max(min(round(scale(bar.end)), room), first + 1)
        kinds[first:last] = [bar.kind] * (last - first)
    spans: list[Span] = []
    for kind in kinds:
        glyph, style = _GLYPHS.get(kind, (" ", ""))
        if spans and spans[-1][1] == style:
            spans[-1] = (spans[-1][0] + glyph, style)
        else:
            spans.append((glyph, style))
    return spans


def _axis(times: Timeline, scale: Any, room: int) -> str:
    marks = [" "] * room
    for start, end in times.folds:
        place = min(int(scale((start + end) / 2)), room - 1)
        marks[place] = "⋯"
    end = duration(times.end)
    marks[0] = "0"
    if len(end) < room - 2:
        marks[room - len(end) :] = end
    return "".join(marks)


def _figures(node: Node, times: Timeline) -> str:
    seconds = sum(bar.end - bar.start for bar in times.bars[node.path] if bar.kind not in ("pause", "retry"))
    tokens = node.totals.tokens
    return f"  {duration(seconds):>9}" + (f"  {number(tokens):>7}" if tokens else "")


def decision_lines(events: Iterable[Event]) -> Iterator[list[Span]]:
    """Yield what was decided in each turn: what was called or answered, what was withheld, what was left."""
    for event in standing(events).events:
        if event.type != "decision.made":
            continue
        data = event.data
        yield [(event.path, "bold"), (f"  {event.agent}", "")]
        chosen = [call_text(str(call.get("tool")), arguments_of(call)) for call in data.get("chosen") or ()]
        for call in chosen or [f"answers: {one_line(str(data.get('text') or ''), 200)}"]:
            yield [("  decided   ", "dim"), (one_line(call), "")]
        offered = ", ".join(map(str, data.get("offered") or ())) or "nothing"
        yield [("  of        ", "dim"), (offered, "")]
        for held in data.get("withheld") or ():
            yield [
                ("  withheld  ", "dim"),
                (f"{held.get('tool')}: {held.get('by')}, {held.get('why')}", "yellow"),
            ]
        if left := _left(data.get("budget") or {}):
            yield [("  left      ", "dim"), (left, "")]


def _left(budget: Data) -> str:
    parts = [(name, left) for name, left in budget.items() if left is not None]
    return " · ".join(money(left) if name == "usd" else f"{number(left)} {name}" for name, left in parts)
