"""When what happened in a run: every node's bars on one clock, and the long idle stretches between them.

Times are seconds since the run's first event, taken from the events' `ts`, which all processes share.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from crewkit.core.events import Event
from crewkit.journal.tree import Node

Kind = Literal["work", "running", "failed", "interrupted", "retry", "wait", "pause"]
"""`retry`: before a call is tried again; `wait`: for a person, an event or a time; `pause`: no process has the run in
hand."""

_OUTSIDE = ("approval.decided", "run.signal")
"""What other processes append: no sign that the run is being worked on."""
_LEAVES = ("model", "tool", "recall", "summary", "ask")
_SHARE = 0.15
"""An idle stretch longer than this part of the busy time is folded."""
_SHORTEST = 2.0
"""Seconds; a shorter idle stretch is never folded."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A stretch of time in a node's life."""

    start: float
    end: float
    kind: Kind


@dataclass(frozen=True, slots=True)
class Segment:
    """The run in the hands of one process."""

    seg: str
    start: float
    end: float


@dataclass(slots=True)
class Timeline:
    """A run on its clock."""

    origin: str
    """RFC 3339 time of second 0."""
    end: float
    segments: list[Segment] = field(default_factory=list[Segment])
    folds: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    """Long stretches in which nothing was under way, to be drawn short."""
    bars: dict[str, list[Bar]] = field(default_factory=dict[str, list[Bar]])
    """Path of a node to its bars, in order."""

    def scale(self, width: float, fold: float) -> Scale:
        """Return the way from seconds to columns, each fold being this wide."""
        return Scale(self, width, fold)


class Scale:
    """From seconds to places between 0 and a width; folds are short, everything else keeps its proportion."""

    def __init__(self, timeline: Timeline, width: float, fold: float) -> None:
        folds = timeline.folds
        self._folds = folds
        self._fold = min(fold, width / (3 * len(folds)) if folds else fold)
        folded = sum(end - start for start, end in folds)
        busy = max(timeline.end - folded, 1e-9)
        self._per_second = max(width - self._fold * len(folds), 0) / busy

    def __call__(self, seconds: float) -> float:
        """Return the place of a moment."""
        place, at = 0.0, 0.0
        for start, end in self._folds:
            if seconds <= start:
                break
            place += (start - at) * self._per_second
            part = min((seconds - start) / (end - start), 1.0) if end > start else 1.0
            place += part * self._fold
            at = end
            if seconds < end:
                return place
        return place + max(seconds - at, 0) * self._per_second


def timeline(root: Node) -> Timeline:
    """Return when what happened, from a run's tree."""
    return Times().add(root, root.all_events(), {node.path for node in root.walk()})


class Times:
    """A run's timeline, kept up while events come."""

    def __init__(self) -> None:
        self._clock = _Clock()
        self._bars: dict[str, list[Bar]] = {}
        self._below: dict[str, tuple[Extents, list[Bar]]] = {}

    def add(self, root: Node, events: Iterable[Event], paths: Set[str]) -> Timeline:
        """Take in what is new.

        Args:
            root: The run's tree, settled.
            events: The new events, in order.
            paths: Nodes that have changed, that have not ended, or that are around such.
        """
        self._clock.add(events)
        self._place(root, paths)
        clock = self._clock
        found = Timeline(clock.origin, clock.end, clock.segments, bars=self._bars)
        found.folds = _folds(found, root)
        return found

    def _place(self, node: Node, paths: Set[str]) -> tuple[Extents, list[Bar]]:
        """Give a node and those below it their bars; return by process when it was at work, and its waits."""
        if node.path not in paths:
            return self._below[node.path]
        clock = self._clock
        extents = _extents((e.seg, clock.at(e)) for e in node.events if e.type not in _OUTSIDE)
        waits: list[Bar] = []
        for child in node.children:
            below, waited = self._place(child, paths)
            for seg, (start, end) in below.items():
                mine = extents.get(seg, (start, end))
                extents[seg] = (min(mine[0], start), max(mine[1], end))
            waits += waited
        if node.kind in ("ask", "wait"):
            waits = bars = _waited(node, clock)
        elif node.attempts:
            bars = _tried(node, clock)
        else:
            bars = _spanned(extents, waits, node.status, clock)
        self._bars[node.path] = bars
        self._below[node.path] = extents, waits
        return extents, waits


class _Clock:
    """Reads the events' times, and knows which process had the run when."""

    def __init__(self) -> None:
        self.origin = ""
        self.end = 0.0
        self._zero = 0.0
        self._times: dict[int, float] = {}
        self._extents: Extents = {}

    def add(self, events: Iterable[Event]) -> None:
        """Read on."""
        for event in events:
            moment = _moment(event.ts)
            if not self.origin and moment is not None:
                self.origin, self._zero = event.ts, moment
            at = self._times[event.seq] = max(moment - self._zero, 0.0) if moment is not None else 0.0
            self.end = max(self.end, at)
            if event.type not in _OUTSIDE:
                start, end = self._extents.get(event.seg, (at, at))
                self._extents[event.seg] = (min(start, at), max(end, at))

    @property
    def segments(self) -> list[Segment]:
        """The processes that had the run, in their order."""
        return [Segment(seg, start, end) for seg, (start, end) in self._extents.items()]

    def at(self, event: Event) -> float:
        """Return an event's second. A clock that was set back does not go before the start."""
        return self._times[event.seq]

    def end_of(self, seg: str) -> float:
        """Return the last that was heard of a process."""
        return self._extents[seg][1] if seg in self._extents else self.end


def _moment(ts: str) -> float | None:
    try:
        return datetime.fromisoformat(ts).timestamp()
    except ValueError:
        return None


def _extents(moments: Iterable[tuple[str, float]]) -> dict[str, tuple[float, float]]:
    found: dict[str, tuple[float, float]] = {}
    for seg, at in moments:
        start, end = found.get(seg, (at, at))
        found[seg] = (min(start, at), max(end, at))
    return found


Extents = dict[str, tuple[float, float]]


def _waited(node: Node, clock: _Clock) -> list[Bar]:
    bars: list[Bar] = []
    asked: Event | None = None
    for event in node.events:
        if event.type in ("approval.requested", "wait.started"):
            asked = event
        elif event.type in ("approval.decided", "wait.finished") and asked:
            bars.append(Bar(clock.at(asked), clock.at(event), "wait"))
            asked = None
    return [*bars, Bar(clock.at(asked), clock.end, "wait")] if asked else bars


def _tried(node: Node, clock: _Clock) -> list[Bar]:
    bars: list[Bar] = []
    for attempt in node.attempts:
        start = clock.at(attempt.started)
        end = clock.at(attempt.finished) if attempt.finished else clock.end_of(attempt.seg)
        kind: Kind = "failed" if attempt.finished else "interrupted"
        if attempt.status == "running":
            kind = "running"
        elif attempt.status in ("completed", "ok"):
            kind = "work"
        bars.append(Bar(start, end, kind))
    for event in node.events:
        if event.type == "retry.scheduled":
            start = clock.at(event)
            bars.append(Bar(start, start + float(event.data.get("seconds") or 0), "retry"))
    return sorted(bars, key=lambda bar: bar.start)


def _spanned(extents: Extents, waits: Sequence[Bar], status: str, clock: _Clock) -> list[Bar]:
    """Return when a node was at work, and what kept it in between."""
    bars: list[Bar] = []
    for start, end in sorted(extents.values()):
        if bars and start > (last := bars[-1].end):
            waited = any(wait.start < start and wait.end > last for wait in waits)
            bars.append(Bar(last, start, "wait" if waited else "pause"))
        bars.append(Bar(start, end, "work"))
    if waits and (last := max(wait.end for wait in waits)) > (bars[-1].end if bars else 0):
        bars.append(Bar(bars[-1].end if bars else waits[0].start, last, "wait"))
    if bars and status in ("running", "interrupted"):
        kind: Kind = "running" if status == "running" else "interrupted"
        bars[-1] = Bar(bars[-1].start, clock.end if kind == "running" else bars[-1].end, kind)
    return bars


def _folds(found: Timeline, root: Node) -> list[tuple[float, float]]:
    """Return the long stretches in which no step was under way."""
    busy: list[tuple[float, float]] = []
    for node in root.walk():
        if node.kind in _LEAVES or node.attempts:
            busy += [(bar.start, bar.end) for bar in found.bars[node.path] if bar.kind != "wait"]
    # The moments at which anything at all was recorded keep their surroundings apart.
    busy += [(segment.start, segment.start) for segment in found.segments]
    busy += [(segment.end, segment.end) for segment in found.segments]
    gaps: list[tuple[float, float]] = []
    at = 0.0
    for start, end in sorted(busy):
        if start > at:
            gaps.append((at, start))
        at = max(at, end)
    if found.end > at:
        gaps.append((at, found.end))
    worked = found.end - sum(end - start for start, end in gaps)
    least = max(worked * _SHARE, _SHORTEST)
    return [(start, end) for start, end in gaps if end - start > least]
