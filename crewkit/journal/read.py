"""What a run's events tell: who did what and why, what it cost, what waits for a person, how it ended.

Pure functions over events, for the command line and the page. Whatever an event lacks is left out, and what
is not known is ignored: a newer or another writer may have made it. What a fork or a rerun forgot is left out,
except of what it cost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from crewkit.core.events import Event
from crewkit.core.messages import ChatMessage
from crewkit.journal.forget import standing

Data = dict[str, Any]

_OVER = ("completed", "cancelled", "denied")
_CHANGEABLE = ("inputs", "models", "definitions", "tasks", "events", "agents", "target", "cwd")
"""What a fork or a resume may say anew of what `run.started` says."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A question that waits for a person."""

    run: str
    id: str
    kind: str
    """tool: may this call be made; output: is this result good; unknown: an effect that may have happened."""
    question: str
    path: str
    task: str
    agent: str
    ts: str
    """When it was asked."""
    tool: str = ""
    arguments: Any = None
    output: Any = None
    reason: str = ""
    objection: str = ""
    """Why the arguments that a person put in before were not accepted."""
    origins: dict[str, Data] = field(default_factory=dict[str, Data])
    """By control argument, where its value stands: {from, trusted}."""
    preview: str = ""
    """What the call would do, as the tool tells it."""
    expires: str = ""
    """RFC 3339: from then on it counts as denied."""
    parameters: Any = None
    """JSON Schema of the tool's arguments."""
    binding: str = ""
    """Hash of all that a decision is bound to."""


@dataclass(slots=True)
class Totals:
    """What was used: by a run, a task, an agent or a step."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    """Of the input tokens, those that the model had in its cache."""
    usd_known: float = 0.0
    """Money of the calls whose price is known."""
    unpriced: int = 0
    """Calls whose price is not known."""
    steps: int = 0
    """Model turns that were answered."""
    tools: Counter[str] = field(default_factory=Counter[str])
    """Tool calls by outcome."""
    seconds: float = 0.0
    """Active time, without the pauses between processes."""
    tasks: dict[str, Totals] = field(default_factory=dict[str, "Totals"])
    agents: dict[str, Totals] = field(default_factory=dict[str, "Totals"])

    @property
    def usd(self) -> float | None:
        """All the money; `None` where a part of it is not known."""
        return None if self.unpriced else self.usd_known

    @property
    def tokens(self) -> int:
        """Input and output tokens."""
        return self.input_tokens + self.output_tokens

    def add(self, event: Event) -> None:
        """Count a model call or a tool call that ended."""
        data = event.data
        if event.type == "tool.finished":
            self.tools[outcome(data)] += 1
        if event.type != "model.finished":
            return
        self.steps += "failed" not in data and "edited_by" not in data
        usage = as_object(data.get("usage"))
        self.input_tokens += int(usage.get("input_tokens") or 0)
        self.output_tokens += int(usage.get("output_tokens") or 0)
        self.cached_tokens += int(usage.get("cached_tokens") or 0)
        if (usd := data.get("usd")) is not None:
            self.usd_known += float(usd)
        elif usage:
            self.unpriced += 1


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run stands, and why."""

    status: str
    """running, paused, completed, failed, limit, denied, cancelled."""
    why: str
    output: Any = None
    completed: Sequence[str] = ()
    failed: Sequence[Data] = ()
    """[{task, error}]"""
    skipped: Sequence[Data] = ()
    """[{task, why}]"""
    capped: Sequence[Data] = ()
    """[{task, why}]: completed, but not accepted by their loop."""


def pending(events: Iterable[Event]) -> list[Pending]:
    """Return the questions that still wait for a person, in the order in which they were asked."""
    asked: dict[str, Pending] = {}
    decided: set[str] = set()
    over = False
    for event in standing(events).events:
        data = event.data
        match event.type:
            case "approval.requested":
                held = [id for id, q in asked.items() if q.path == event.path and id not in decided]
                for id in held:  # the same place asks about something else now: a tool was redefined
                    del asked[id]
                asked[as_text(data, "id")] = _pending(event)
            case "approval.decided":
                decided.add(as_text(data, "id"))
            case "run.started" | "run.forked" | "run.resumed" | "run.paused":
                over = False
            case "run.finished":
                over = data.get("status") in _OVER
            case _:
                pass
    return [] if over else [question for id, question in asked.items() if id not in decided]


def totals(events: Iterable[Event]) -> Totals:
    """Add up what was used, in all, by task and by agent. Of a fork, what it shares is not its own."""
    events = list(events)
    return _totals([event for event in events if event.run == events[-1].run])


def inherited(events: Iterable[Event]) -> Totals:
    """Add up what the runs used from which a run was forked, before it was."""
    events = list(events)
    return _totals([event for event in events if event.run != events[-1].run])


def origin(events: Iterable[Event]) -> Event | None:
    """Return how a run was forked from another: its `run.forked`; `None` where it was begun anew."""
    events = list(events)
    forks = (event for event in events if event.type == "run.forked" and event.run == events[-1].run)
    return next(forks, None)


def beginning(events: Iterable[Event]) -> Data:
    """Return what a run began with, as forks and resumes have it: `run.started` with what they changed."""
    data: Data = {}
    for event in events:
        match event.type:
            case "run.started":
                data = {**event.data}
            case "run.forked" | "run.resumed":
                changed = {name: event.data[name] for name in _CHANGEABLE if name in event.data}
                data |= {
                    **changed,
                    "limits": as_object(data.get("limits")) | as_object(event.data.get("limits")),
                }
            case _:
                pass
    return data


def ending(events: Iterable[Event]) -> Ending:
    """Say how the run stands and why: finished, paused, or still going as far as the journal tells."""
    status, why, data = "running", "", dict[str, Any]()
    for event in events:
        match event.type:
            case "run.started" | "run.forked" | "run.resumed":
                status, why, data = "running", "", {}
            case "run.paused":
                status, data = "paused", {}
                why = as_text(event.data, "why") or as_text(event.data, "reason")
            case "run.finished":
                status, why, data = as_text(event.data, "status"), as_text(event.data, "why"), event.data
            case _:
                pass
    report = as_object(data.get("report"))
    return Ending(
        status,
        why,
        data.get("output"),
        tuple(report.get("completed") or ()),
        tuple(report.get("failed") or ()),
        tuple(report.get("skipped") or ()),
        tuple(report.get("capped") or ()),
    )


def messages(events: Iterable[Event]) -> dict[str, ChatMessage]:
    """Return what models read and wrote, by message id."""
    found = (event.data for event in events if event.type == "message.recorded" and "role" in event.data)
    return {as_text(data, "id"): ChatMessage.from_data(data) for data in found}


def exchanges(events: Iterable[Event]) -> list[Event]:
    """Return the messages that agents and the coordinator sent each other."""
    return [event for event in events if event.type == "message.recorded" and "kind" in event.data]


def _totals(events: Sequence[Event]) -> Totals:
    whole = Totals()
    spans: dict[tuple[str, str, str], tuple[float, float]] = {}
    for event in events:
        task, agent, type, t = event.task, event.agent, event.type, event.t
        parts = [whole]
        if task:
            parts.append(_part(whole.tasks, task))
        if agent:
            parts.append(_part(whole.agents, agent))
        if type not in ("approval.decided", "run.signal"):
            span = (event.seg, task, agent)
            first, last = spans.get(span, (t, t))
            spans[span] = (min(first, t), max(last, t))
        if type in ("model.finished", "tool.finished"):
            for part in parts:
                part.add(event)
    _add_seconds(whole, spans)
    return whole


def _pending(event: Event) -> Pending:
    data = event.data
    return Pending(
        event.run,
        as_text(data, "id"),
        as_text(data, "kind"),
        as_text(data, "question"),
        event.path,
        as_text(data, "task") or event.task,
        as_text(data, "agent") or event.agent,
        event.ts,
        as_text(data, "tool"),
        data.get("arguments"),
        data.get("output"),
        as_text(data, "reason"),
        as_text(data, "objection"),
        {name: as_object(origin) for name, origin in as_object(data.get("origins")).items()},
        as_text(data, "preview"),
        as_text(data, "expires"),
        data.get("parameters"),
        as_text(data, "binding"),
    )


def _part(parts: dict[str, Totals], name: str) -> Totals:
    if name not in parts:
        parts[name] = Totals()
    return parts[name]


def _add_seconds(whole: Totals, spans: dict[tuple[str, str, str], tuple[float, float]]) -> None:
    """Runs and tasks are active from their first to their last event in a process; agents, in a task."""
    runs: dict[str, tuple[float, float]] = {}
    tasks: dict[tuple[str, str], tuple[float, float]] = {}
    for (seg, task, agent), (first, last) in spans.items():
        a, b = runs.get(seg, (first, last))
        runs[seg] = (min(a, first), max(b, last))
        a, b = tasks.get((seg, task), (first, last))
        tasks[seg, task] = (min(a, first), max(b, last))
        if agent:
            whole.agents[agent].seconds += last - first
    whole.seconds = sum(last - first for first, last in runs.values())
    for (_, task), (first, last) in tasks.items():
        if task:
            whole.tasks[task].seconds += last - first


def outcome(data: Data) -> str:
    """Return how a tool call ended, from its `tool.finished`."""
    return as_text(data, "outcome") or ("error" if "failed" in data else "ok")


def as_text(data: Data, name: str) -> str:
    """Return a value as text; empty where there is none."""
    value = data.get(name)
    return "" if value is None else str(value)


def as_object(value: Any) -> Data:
    """Return what should be an object; an empty one where it is none."""
    return cast("Data", value) if isinstance(value, dict) else {}
