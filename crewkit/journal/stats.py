"""Figures over any number of runs, by crew, agent, tool or model.

Every figure is a count over event lines, so that anybody can count it again:

| figure | counted from |
|---|---|
| tokens, cost | `usage` and `usd` of `model.finished` |
| steps | `model.finished` without `failed` and `edited_by`, in each run in which there are any |
| tool calls | `tool.finished`, by outcome; the success rate is the part that is `ok` |
| guardrails | `guardrail.checked`; rejected is whatever is not `allow` |
| approvals | `approval.requested`; waited is the time to the `approval.decided` of the same id |
| memory | `memory.searched`; a hit is used if what the agent wrote afterwards in that task names it |

What a fork shares with its origin is not counted with the fork. Percentiles are by nearest rank: a value that
really occurred.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from crewkit.core.events import Event
from crewkit.journal.read import Totals
from crewkit.journal.recall import used_hits

Data = Mapping[str, Any]
By = Literal["crew", "agent", "tool", "model"]


_BY_AGENTS = ("agent.started", "model.started", "model.finished", "decision.made")


@dataclass(slots=True)
class Figures:
    """What there is to count of one crew, agent, tool or model."""

    name: str
    statuses: Counter[str] = field(default_factory=Counter[str])
    """Runs by how they stand."""
    used: Totals = field(default_factory=Totals)
    tokens_by_run: dict[str, int] = field(default_factory=dict[str, int])
    steps_by_run: Counter[str] = field(default_factory=Counter[str])
    failed_calls: int = 0
    """Model calls that gave no answer."""
    retries: int = 0
    tool_seconds: list[float] = field(default_factory=list[float])
    model_seconds: list[float] = field(default_factory=list[float])
    checked: int = 0
    rejected: int = 0
    asked: int = 0
    decisions: Counter[str] = field(default_factory=Counter[str])
    """approve, deny, expired."""
    waited: list[float] = field(default_factory=list[float])
    """Seconds from each question to its decision."""
    searches: int = 0
    hits: int = 0
    hits_used: int = 0

    @property
    def runs(self) -> int:
        """Runs in which it occurs."""
        return self.statuses.total()

    def to_data(self) -> dict[str, Any]:
        """Return the figures as JSON data; a rate or a mean of nothing is null."""
        used, runs, calls = self.used, self.runs, self.used.tools.total()
        return {
            "name": self.name,
            "runs": runs,
            "statuses": dict(self.statuses),
            "tokens": {
                "total": used.tokens,
                "input": used.input_tokens,
                "output": used.output_tokens,
                "cached": used.cached_tokens,
                "per_run": rate(used.tokens, runs),
            },
            "usd": {
                "total": used.usd,
                "known": used.usd_known,
                "unpriced_calls": used.unpriced,
                "per_run": None if used.usd is None else rate(used.usd, runs),
            },
            "steps": {"total": used.steps, **spread(self.steps_by_run.values())},
            "models": {
                "calls": used.steps + self.failed_calls,
                "failed": self.failed_calls,
                "seconds": spread(self.model_seconds),
            },
            "retries": self.retries,
            "tools": {
                "calls": calls,
                "outcomes": dict(used.tools),
                "success_rate": rate(used.tools["ok"], calls),
                "seconds": spread(self.tool_seconds),
            },
            "guardrails": {
                "checked": self.checked,
                "rejected": self.rejected,
                "rejection_rate": rate(self.rejected, self.checked),
            },
            "approvals": {
                "asked": self.asked,
                "decisions": dict(self.decisions),
                "waited_seconds": {
                    "total": round(sum(self.waited), 6),
                    "mean": rate(sum(self.waited), len(self.waited)),
                    **spread(self.waited),
                },
            },
            "memory": {
                "searches": self.searches,
                "hits": self.hits,
                "used": self.hits_used,
                "use_rate": rate(self.hits_used, self.hits),
            },
        }


class Stats:
    """Counts run after run."""

    def __init__(self, by: By) -> None:
        self.by: By = by
        self.groups: dict[str, Figures] = {}

    def add(self, run: str, crew: str, status: str, events: Iterable[Event]) -> None:
        """Count a run.

        Args:
            run: Its id.
            crew: Its crew's name.
            status: How it stands.
            events: All its events, in order.
        """
        own = [event for event in events if event.run == run]
        count = _Count(self, run, crew, status, own)
        if self.by == "crew":
            count.of(crew)
        for event in own:
            count.add(event)

    def figures(self) -> list[Figures]:
        """Return what was counted, by name."""
        return sorted(self.groups.values(), key=lambda figures: figures.name)


class _Count:
    """One run being counted."""

    def __init__(self, stats: Stats, run: str, crew: str, status: str, events: Sequence[Event]) -> None:
        self._stats = stats
        self._run = run
        self._crew = crew
        self._status = status
        self._seen: set[str] = set()
        self._tools: dict[str, str] = {}
        """Path of a call to its tool."""
        self._models: dict[str, str] = {}
        """Path of a model step to the model that was asked last."""
        self._asked: dict[str, Event] = {}
        self._agents = {event.agent for event in events if event.type in _BY_AGENTS}
        """Who is an agent: a function that does a task is recorded as its worker, too."""
        self._used = used_hits(events) if any(event.type == "memory.searched" for event in events) else {}

    def of(self, name: str) -> Figures:
        """Return the figures of a group, in which this run is counted from now on."""
        figures = self._stats.groups.setdefault(name, Figures(name))
        if name not in self._seen:
            self._seen.add(name)
            figures.statuses[self._status] += 1
        return figures

    def add(self, event: Event) -> None:
        """Count an event."""
        data, path = event.data, event.path
        if event.type in ("tool.started", "tool.finished", "tool.checked") and data.get("tool"):
            self._tools[path] = str(data["tool"])
        if event.type == "model.started":
            self._models[path] = str(data.get("model") or "")
        count = getattr(self, f"_{event.type.replace('.', '_')}", None)
        name = self._name(event)
        if count and name:
            count(self.of(name), event)

    def _name(self, event: Event) -> str:
        match self._stats.by:
            case "crew":
                return self._crew
            case "agent":
                return event.agent if event.agent in self._agents else ""
            case "tool":
                if event.type.startswith("approval."):
                    asked = self._asked.get(str(event.data.get("id")), event)
                    return str(asked.data.get("tool") or "")
                return "" if event.type == "model.finished" else self._tools.get(event.path, "")
            case "model":
                if event.type == "model.finished":
                    return str(event.data.get("model") or self._models.get(event.path, ""))
                return self._models.get(event.path, "") if event.type == "retry.scheduled" else ""

    def _model_finished(self, figures: Figures, event: Event) -> None:
        before = figures.used.tokens
        figures.used.add(event)
        tokens = figures.tokens_by_run
        tokens[self._run] = tokens.get(self._run, 0) + figures.used.tokens - before
        if "failed" in event.data:
            figures.failed_calls += 1
            return
        if "edited_by" in event.data:
            return
        figures.steps_by_run[self._run] += 1
        if "seconds" in event.data:
            figures.model_seconds.append(float(event.data["seconds"]))

    def _tool_finished(self, figures: Figures, event: Event) -> None:
        figures.used.add(event)
        if "seconds" in event.data:
            figures.tool_seconds.append(float(event.data["seconds"]))

    def _retry_scheduled(self, figures: Figures, _event: Event) -> None:
        figures.retries += 1

    def _guardrail_checked(self, figures: Figures, event: Event) -> None:
        figures.checked += 1
        figures.rejected += event.data.get("verdict") != "allow"

    def _approval_requested(self, figures: Figures, event: Event) -> None:
        self._asked[str(event.data.get("id"))] = event
        figures.asked += 1

    def _approval_decided(self, figures: Figures, event: Event) -> None:
        asked = self._asked.get(str(event.data.get("id")))
        decision = "expired" if event.data.get("expired") else str(event.data.get("decision") or "")
        figures.decisions[decision] += 1
        if asked:
            figures.waited.append(seconds_between(asked.ts, event.ts))

    def _memory_searched(self, figures: Figures, event: Event) -> None:
        figures.searches += 1
        figures.hits += len(event.data.get("hits") or ())
        figures.hits_used += len(self._used.get(event.seq, ()))


def rate(part: float, whole: float) -> float | None:
    """Return a part of a whole; `None` of nothing."""
    return round(part / whole, 6) if whole else None


def spread(values: Iterable[float]) -> dict[str, float | None]:
    """Return the median, the 90th percentile and the greatest, each a value that occurred (nearest rank)."""
    ordered = sorted(values)
    return {
        "p50": _rank(ordered, 0.5),
        "p90": _rank(ordered, 0.9),
        "max": ordered[-1] if ordered else None,
    }


def _rank(ordered: Sequence[float], part: float) -> float | None:
    return ordered[max(math.ceil(part * len(ordered)) - 1, 0)] if ordered else None


def seconds_between(first: str, second: str) -> float:
    """Return the seconds from one RFC 3339 time to another, 0 where one of them is none."""
    try:
        elapsed = datetime.fromisoformat(second) - datetime.fromisoformat(first)
    except ValueError:
        return 0.0
    return max(elapsed.total_seconds(), 0.0)
