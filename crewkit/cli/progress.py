"""Where a run stands, kept up to date event by event, and what is said of each event while it goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from crewkit.cli.sayings import (
    SAYINGS,
    Span,
    changes_of,
    decision,
    forked_at,
    models_of,
    tool_error,
    waits_for,
    why_of,
)
from crewkit.cli.text import count, duration, money, number, one_line
from crewkit.core.events import Event, defined, enclosing, is_item
from crewkit.core.text import call_text
from crewkit.journal.forget import touches
from crewkit.journal.read import as_object, outcome

Data = Mapping[str, Any]

MARKS = {
    "completed": ("✓", "green"),
    "running": ("▸", "cyan"),
    "asking": ("?", "yellow"),
    "failed": ("✗", "red"),
    "skipped": ("-", "dim"),
    "waiting": ("·", "dim"),
}
"""Status of a task to its mark and style."""

_TAIL = 200
"""Streamed characters that are kept for the view."""


@dataclass(slots=True)
class TaskView:
    """One task as the view shows it."""

    path: str
    needs: tuple[str, ...] = ()
    agent: str = ""
    """Who does it; empty for a function or a crew."""
    status: str = "waiting"
    """waiting, running, asking (a person), completed, failed, skipped."""
    doing: str = ""
    """What is being done at the moment, apart from tool calls."""
    calls: dict[str, str] = field(default_factory=dict[str, str])
    """Tool calls in flight: path to the call as text."""
    tail: str = ""
    """The end of the text that streams in."""
    turn: int = 0
    tokens: int = 0
    usd: float = 0.0
    unpriced: bool = False
    began: float | None = None
    """On the process's steady clock, while it runs."""
    seconds: float = 0.0
    why: str = ""
    items: int = 0
    """Of a map: how many it is done for."""
    done: int = 0
    """Of a map: items that completed."""
    failed: set[str] = field(default_factory=set[str])
    """Of a map: items that failed."""

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def activity(self) -> str:
        """What is being done right now, in one line."""
        if self.calls:
            more = f" and {len(self.calls) - 1} more" if len(self.calls) > 1 else ""
            return next(iter(self.calls.values())) + more
        return f"{self.doing}: {self.tail}" if self.tail else self.doing


class Progress:
    """A fold over a run's events, past and present, that keeps what a person watching wants to know."""

    def __init__(self, *, verbose: bool = False) -> None:
        """Begin with nothing; `verbose`: `line` also tells what agents decide."""
        self.run = ""
        self.seq = 0
        """Of the newest event that it was told of."""
        self.crew = ""
        self.status = "running"
        self.slow = False
        """The journal does not answer."""
        self.tasks: dict[str, TaskView] = {}
        self.limits: Mapping[str, float | None] = {}
        self.limit = ""
        """Name of the cap that was reached last."""
        self.tokens = 0
        self.usd = 0.0
        self.unpriced = False
        self.steps = 0
        self.began = 0.0
        """When this process began, on its steady clock."""
        self.earlier = 0.0
        """Active seconds of earlier processes."""
        self._verbose = verbose
        self._seg = ""
        self._now = 0.0
        self._arguments: dict[str, str] = {}

    def add(self, event: Event) -> None:
        """Take an event in."""
        self.run = event.run
        self.seq = max(self.seq, event.seq)
        self.slow = event.type == "journal.slow" or (self.slow and not event.seq)
        if event.seg != self._seg and event.type in ("run.started", "run.forked", "run.resumed"):
            self.earlier += self._now - self.began
            self._seg, self.began = event.seg, event.t
        if event.seg == self._seg and event.seq:
            self._now = max(event.t, self.began)
        data = event.data
        match event.type:
            case "run.started":
                self.crew = str(data.get("crew", ""))
                self.limits = data.get("limits") or {}
                self._know(data)
            case "run.forked":
                self.earlier = 0.0
                self.tokens = self.steps = 0
                self.usd, self.unpriced = 0.0, False
                self._resume(data)
            case "run.resumed":
                self._resume(data)
            case "run.paused":
                self.status = "paused"
            case "limit.exceeded":
                self.limit = str(data.get("limit", ""))
            case "run.finished":
                self.status = str(data.get("status", ""))
            case _ if event.task:
                view = self.tasks.setdefault(event.task, TaskView(event.task))
                if view.status == "waiting" and is_item(event.task):  # its first event is its beginning
                    view.status, view.began = "running", event.t
                self._task_event(view, event)
                if event.type == "task.finished" and is_item(event.task):
                    self._item_ended(event)
            case _:
                pass

    def _item_ended(self, event: Event) -> None:
        """Count an item of a map and let go of it: there may be thousands."""
        whole = self.tasks.setdefault(enclosing(event.task), TaskView(enclosing(event.task)))
        if event.data.get("status") == "completed":
            whole.done += 1
            whole.failed.discard(event.task)
        else:
            whole.failed.add(event.task)
        whole.doing = _items(whole)
        for path in [
            p for p in self.tasks if p == event.task or p.startswith((f"{event.task}/", f"{event.task}#"))
        ]:
            del self.tasks[path]

    def seconds(self, now: float) -> float:
        """Return the active seconds until `now` on this process's steady clock."""
        return self.earlier + max(now - self.began, 0.0)

    def done(self) -> int:
        """Return how many of the crew's own tasks are completed."""
        return sum(task.status == "completed" for task in self.tasks.values() if _is_own(task.path))

    def all(self) -> int:
        """Return how many tasks the crew has."""
        return sum(_is_own(path) for path in self.tasks)

    def _know(self, data: Data) -> None:
        """Take in which tasks there are: a crew that changed may have others."""
        before, listed = self.tasks, [as_object(task) for task in data.get("tasks") or ()]
        if listed:
            self.tasks = {}
        for task in listed:
            name, needs = str(task.get("name")), tuple(map(str, task.get("needs") or ()))
            agent = str(task.get("agent") or "")
            view = self.tasks[name] = before.pop(name, None) or TaskView(name)
            view.needs, view.agent = needs, "" if agent == name else agent
            below = [path for path in before if path.startswith((f"{name}/", f"{name}["))]
            self.tasks |= {path: before.pop(path) for path in below}

    def _resume(self, data: Data) -> None:
        self.status = "running"
        self._know(data)
        self.limits = {**self.limits, **as_object(data.get("limits"))}
        for task in self.tasks.values():
            forgotten = any(touches(mark, task.path) for mark in data.get("forgets") or ())
            if forgotten or task.status in ("running", "asking"):
                task.status, task.doing, task.began, task.why = "waiting", "", None, ""
                task.calls.clear()

    def _task_event(self, task: TaskView, event: Event) -> None:
        data = event.data
        match event.type:
            case "task.started":
                task.status, task.began = "running", event.t
                agent = str(data.get("agent") or event.agent or task.agent)
                task.agent = "" if agent == task.name else agent  # a function or a crew does it itself
            case "task.finished":
                task.status, task.why = str(data.get("status", "")), why_of(data)
                task.seconds = float(data.get("seconds") or 0.0)
                task.doing = task.tail = ""
                task.calls.clear()
                task.began = None
            case "model.started":
                task.turn += 1
                task.status, task.doing, task.tail = "running", "thinking", ""
            case "model.chunk":
                task.doing, task.tail = "writing", (task.tail + str(data.get("text", "")))[-_TAIL:]
            case "model.finished":
                task.doing = task.tail = ""
                self._use(task, data)
            case "tool.started":
                task.calls[event.path] = self._arguments[event.path] = call_text(
                    str(data.get("tool")), data.get("arguments")
                )
            case "tool.finished":
                task.calls.pop(event.path, None)
            case "map.started":
                task.items, task.doing = int(data.get("items") or 0), ""
            case "iteration.started":
                task.doing = f"once more: {data.get('reason', '')}"
            case "retry.scheduled":
                task.doing = f"waits {duration(float(data.get('seconds') or 0))} to try again"
            case _:
                self._waits(task, event)

    def _waits(self, task: TaskView, event: Event) -> None:
        data = event.data
        match event.type:
            case "approval.requested":
                task.status, task.doing = "asking", f"waits for a person: {data.get('question', '')}"
            case "approval.decided":
                task.status, task.doing = "running", ""
            case "wait.started":
                task.status, task.doing = "asking", f"waits {waits_for(data)}"
            case "wait.finished":
                task.status, task.doing = "running", ""
            case _:
                pass

    def _use(self, task: TaskView, data: Data) -> None:
        if "failed" in data:
            return
        usage = as_object(data.get("usage"))
        tokens = int(usage.get("input_tokens") or 0) + int(usage.get("output_tokens") or 0)
        self.tokens += tokens
        task.tokens += tokens
        self.steps += 1
        usd = data.get("usd")
        if usd is None:
            self.unpriced = task.unpriced = True
        else:
            self.usd += usd
            task.usd += usd

    def line(self, event: Event) -> list[Span] | None:
        """Say what an event means in one line; `None` for what nobody needs to hear. Call it after `add`."""
        data, task = event.data, self.tasks.get(event.task)
        match event.type:
            case "run.started":
                model = f", model {', '.join(models_of(data))}" if data.get("models") else ""
                what = f"crew '{self.crew}', {count(self.all(), 'task')}"
                return [(f"run {event.run}", "bold"), (f"  {what}{model}", "")]
            case "run.forked" | "run.resumed":
                how = f"is a fork of {forked_at(data)}" if event.type == "run.forked" else "goes on"
                return [
                    (f"run {event.run}", "bold"),
                    (f"  {how}: {self.done()} of {self.all()} tasks done{changes_of(data)}", ""),
                ]
            case "task.started" if task:
                return _marked("running", task, f"begins ({task.agent})" if task.agent else "begins")
            case "task.finished" if is_item(event.task):
                return self._item_line(event)
            case "task.finished" if task:
                return _marked(task.status, task, _finished(task))
            case "wait.started" if task:
                return _marked("asking", task, one_line(task.doing))
            case "approval.requested" if task:
                return _marked("asking", task, one_line(task.doing))
            case _:
                said = self._said(event)
                if said and not event.task:
                    return said
                return [(f"  {event.task}  ", "dim"), *said] if said else None

    def _item_line(self, event: Event) -> list[Span] | None:
        """Say that an item failed, and at each tenth how far its map has come."""
        whole = self.tasks[enclosing(event.task)]
        if event.data.get("status") != "completed":
            return [
                ("✗ ", "red"),
                (event.task, "bold"),
                (f"  failed: {one_line(why_of(event.data), 300)}", ""),
            ]
        tenth = max(whole.items // 10, 10)
        return (
            [("  ", ""), (whole.path, "bold"), (f"  {_items(whole)}", "dim")]
            if whole.done % tenth == 0
            else None
        )

    def _said(self, event: Event) -> list[Span] | None:
        if event.type == "tool.finished":
            call = self._arguments.pop(event.path, str(event.data.get("tool")))
            if defined(event.task).rpartition("/")[2] == event.agent:
                return None  # a function that is a task by itself
            ended = outcome(event.data)
            said = f" → {ended}{tool_error(event.data)}"
            return [(one_line(call, 100), ""), (said, "green" if ended == "ok" else "red")]
        if event.type == "decision.made" and self._verbose:
            return decision(event)
        if event.type in ("run.paused", "run.finished"):
            return [
                (
                    f"{self.status}: {one_line(str(event.data.get('why') or event.data.get('reason') or ''))}",
                    "",
                )
            ]
        said = SAYINGS.get(event.type)
        return said(event.data) if said else None


def _items(whole: TaskView) -> str:
    failed = f", {len(whole.failed):,} failed" if whole.failed else ""
    return f"{whole.done:,} of {whole.items:,} items{failed}"


def _is_own(path: str) -> bool:
    """Say whether a task is one of the crew's own, neither in a crew inside nor an item of a map."""
    return "/" not in path and not is_item(path)


def _marked(status: str, task: TaskView, text: str) -> list[Span]:
    mark, style = MARKS.get(status, ("·", "dim"))
    return [(f"{mark} ", style), (task.path, "bold"), (f"  {text}", "")]


def _finished(task: TaskView) -> str:
    if task.status != "completed":
        return f"{task.status}: {one_line(task.why, 300)}" if task.why else task.status
    warning = f". {one_line(task.why, 300)}" if task.why else ""
    used = f", {number(task.tokens)} tokens" if task.tokens else ""
    cost = f", {money(None if task.unpriced else task.usd)}" if task.tokens else ""
    return f"done in {duration(task.seconds)}{used}{cost}{warning}"
