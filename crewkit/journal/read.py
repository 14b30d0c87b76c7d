"""What a run's events tell: who did what and why, what it cost, what waits for a person, how it ended.

Pure functions over events, for the command line and the page. Whatever an event lacks is left out, and what
is not known is ignored: a newer or another writer may have made it. What a fork or a rerun forgot is left out,
except of what it cost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from crewkit.core.events import Event, enclosing
from crewkit.core.messages import ChatMessage
from crewkit.journal.forget import standing

Data = dict[str, Any]

_OVER = ("completed", "cancelled", "denied")
_CHANGEABLE = ("inputs", "models", "definitions", "tasks", "agents", "target", "cwd")
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
        usage = _object(data.get("usage"))
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


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at a step."""

    number: int
    seg: str
    """The process that tried."""
    status: str
    """running, interrupted, completed, failed, or a tool's outcome."""
    started: Event
    finished: Event | None


@dataclass(slots=True)
class Node:
    """A run, a task, a turn or a step, with all that happened in it."""

    path: str
    kind: str
    """run, task, iteration (from the second), turn, model, tool, recall, ask, inbox, offer or step."""
    title: str = ""
    status: str = ""
    """running, paused, waiting (for a person), interrupted, completed, failed, skipped, a tool's outcome, or
    a decision: approve, deny."""
    task: str = ""
    agent: str = ""
    events: list[Event] = field(default_factory=list[Event])
    """Its own, without its children's."""
    children: list[Node] = field(default_factory=list["Node"])
    attempts: list[Attempt] = field(default_factory=list[Attempt])
    """Of a model or tool step: the tries, the newest last."""

    def walk(self) -> Iterator[Node]:
        """Yield this node and all below it, in order."""
        yield self
        for child in self.children:
            yield from child.walk()

    def all_events(self) -> list[Event]:
        """Return the events of this node and all below it, in order."""
        events = (event for node in self.walk() for event in node.events)
        return sorted(events, key=lambda event: event.seq)

    def newest(self, *types: str) -> Event | None:
        """Return its newest own event of these types."""
        return next((event for event in reversed(self.events) if event.type in types), None)

    def data(self, *types: str) -> Data:
        """Return what its newest own event of these types says; nothing where there is none."""
        event = self.newest(*types)
        return event.data if event else {}

    @property
    def decision(self) -> Data:
        """What the agent decided in this turn: `offered`, `withheld`, `chosen`, `text`, `budget`."""
        return self.data("decision.made")

    @property
    def first(self) -> Event | None:
        """The first event of this node or below."""
        return min(
            (e for node in self.walk() for e in node.events), key=lambda event: event.seq, default=None
        )

    @property
    def last(self) -> Event | None:
        """The last event of this node or below."""
        return max(
            (e for node in self.walk() for e in node.events), key=lambda event: event.seq, default=None
        )

    @property
    def totals(self) -> Totals:
        """What it used, with all below it."""
        return totals(self.all_events())


def pending(events: Iterable[Event]) -> list[Pending]:
    """Return the questions that still wait for a person, in the order in which they were asked."""
    asked: dict[str, Pending] = {}
    decided: set[str] = set()
    over = False
    for event in standing(events).events:
        data = event.data
        match event.type:
            case "approval.requested":
                asked[_text(data, "id")] = _pending(event)
            case "approval.decided":
                decided.add(_text(data, "id"))
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
                data |= {**changed, "limits": _object(data.get("limits")) | _object(event.data.get("limits"))}
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
                status, why, data = "paused", _text(event.data, "reason"), {}
            case "run.finished":
                status, why, data = _text(event.data, "status"), _text(event.data, "why"), event.data
            case _:
                pass
    report = _object(data.get("report"))
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
    return {_text(data, "id"): ChatMessage.from_data(data) for data in found}


def exchanges(events: Iterable[Event]) -> list[Event]:
    """Return the messages that agents and the coordinator sent each other."""
    return [event for event in events if event.type == "message.recorded" and "kind" in event.data]


def received(step: Node, known: dict[str, ChatMessage]) -> str:
    """Return what a tool gave back, whole; `known` are the run's messages."""
    data = step.data("tool.finished")
    message = known.get(_text(data, "message"))
    return _text(data, "full") or (
        message.content if message else _text(_object(data.get("error")), "message")
    )


def tree(events: Iterable[Event], *, alive: bool = True) -> Node:
    """Arrange a run's events by path: run, task, turn, step; sub-crews and delegations under their step.

    Args:
        events: All the events of the run.
        alive: A process carries the run on right now. Otherwise whatever has not ended is `interrupted`.
    """
    nodes = {"": Node("", "run")}
    questions: dict[str, str] = {}
    seg = ""
    for event in standing(events).events:
        if event.type in ("run.started", "run.forked", "run.resumed"):
            seg = event.seg
        path = event.path
        if event.type == "approval.requested":
            questions[_text(event.data, "id")] = path
        elif event.type == "approval.decided":
            path = path or questions.get(_text(event.data, "id"), "")
        node = _node(nodes, path.removesuffix("/0"))
        node.events.append(event)
        node.task = node.task or event.task
        node.agent = node.agent or event.agent
    root = nodes[""]
    _settle(root, "" if not alive else seg)
    return root


def _totals(events: Sequence[Event]) -> Totals:
    whole = Totals()
    spans: dict[tuple[str, str, str], tuple[float, float]] = {}
    for event in events:
        if event.type not in ("approval.decided", "run.signal"):
            span = (event.seg, event.task, event.agent)
            first, last = spans.get(span, (event.t, event.t))
            spans[span] = (min(first, event.t), max(last, event.t))
        for part in _parts(whole, event.task, event.agent):
            part.add(event)
    _add_seconds(whole, spans)
    return whole


def _pending(event: Event) -> Pending:
    data = event.data
    return Pending(
        event.run,
        _text(data, "id"),
        _text(data, "kind"),
        _text(data, "question"),
        event.path,
        _text(data, "task") or event.task,
        _text(data, "agent") or event.agent,
        event.ts,
        _text(data, "tool"),
        data.get("arguments"),
        data.get("output"),
        _text(data, "reason"),
    )


def _parts(whole: Totals, task: str, agent: str) -> list[Totals]:
    parts = [whole]
    if task:
        parts.append(whole.tasks.setdefault(task, Totals()))
    if agent:
        parts.append(whole.agents.setdefault(agent, Totals()))
    return parts


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


def _node(nodes: dict[str, Node], path: str) -> Node:
    node = nodes.get(path)
    if node is None:
        segment = path.rpartition("/")[2]
        node = nodes[path] = Node(path, _kind(segment), title=segment)
        _node(nodes, enclosing(path)).children.append(node)
    return node


def _kind(segment: str) -> str:
    head = segment.partition(":")[0]
    if head in ("model", "tool", "recall", "ask", "inbox", "offer"):
        return head
    if "#" in segment:
        return "iteration"
    return "turn" if segment.isdigit() else "step"


def _settle(node: Node, seg: str) -> None:
    """Say of a node and all below it what it is and how it stands.

    Args:
        node: The node.
        seg: The process that carries the run on; empty: none does.
    """
    if node.path and any(event.type.startswith("task.") for event in node.events):
        node.kind = "task"
    if node.kind == "run":
        stands = ending(node.events).status
        node.title = _text(node.data("run.started"), "crew") or "run"
        node.status = "interrupted" if stands == "running" and not seg else stands
        seg = seg if stands == "running" else ""
    for child in node.children:
        _settle(child, seg)
    match node.kind:
        case "run":
            _mark_paused(node)
        case "model" | "tool":
            _settle_step(node, seg)
        case "task":
            node.status = _task_status(node, seg)
        case "ask":
            asked, decided = node.data("approval.requested"), node.data("approval.decided")
            node.title = _text(asked, "question") or node.title
            answered = decided.get("id") == asked.get("id")
            node.status = _text(decided, "decision") if answered else "waiting"
        case _:
            if node.kind in ("turn", "iteration"):
                node.title = f"{node.kind} {node.title.rpartition('#')[2]}"
            node.status = _status_of_children(node) or "completed"


def _settle_step(node: Node, seg: str) -> None:
    ends = {event.attempt: event for event in node.events if event.type.endswith(".finished")}
    for event in node.events:
        if event.type.endswith(".started"):
            end = ends.pop(event.attempt, None)
            node.attempts.append(Attempt(event.attempt, event.seg, _step_status(event, end, seg), event, end))
    # A call that was refused has an end and no beginning.
    node.attempts += [Attempt(n, end.seg, _step_status(end, end, seg), end, end) for n, end in ends.items()]
    node.status = node.attempts[-1].status if node.attempts else _status_of_children(node) or "waiting"
    if waiting := next((child for child in node.children if child.status == "waiting"), None):
        node.status = waiting.status
    types = ("tool.started", "tool.checked", "tool.finished", "model.finished", "model.started")
    data = node.data(*types)
    node.title = _text(data, "tool") or _text(data, "model") or node.title


def _step_status(started: Event, finished: Event | None, seg: str) -> str:
    if finished is None:
        return "running" if seg and started.seg == seg else "interrupted"
    if finished.type == "tool.finished":
        return outcome(finished.data)
    return "failed" if "failed" in finished.data else "completed"


def outcome(data: Data) -> str:
    """Return how a tool call ended, from its `tool.finished`."""
    return _text(data, "outcome") or ("error" if "failed" in data else "ok")


def _task_status(node: Node, seg: str) -> str:
    end = node.newest("task.finished")
    if end and not _went_on(node, end.seq):
        return _text(end.data, "status") or "completed"
    below = _status_of_children(node)
    return below if below == "waiting" else "running" if seg else "interrupted"


def _went_on(node: Node, after: int) -> bool:
    """A task that failed is entered again by a resumed run."""
    begun = ("task.started", "agent.started", "model.started", "tool.started")
    return any(event.seq > after and event.type in begun for below in node.walk() for event in below.events)


def _status_of_children(node: Node) -> str:
    statuses = {child.status for child in node.children}
    return next((status for status in ("waiting", "running", "interrupted") if status in statuses), "")


def _mark_paused(root: Node) -> None:
    """What a pause cut short was not interrupted by an accident."""
    if root.status == "paused":
        for node in root.walk():
            if node.status == "interrupted" and node.kind in ("task", "turn", "iteration"):
                node.status = "paused"


def _text(data: Data, name: str) -> str:
    value = data.get(name)
    return "" if value is None else str(value)


def _object(value: Any) -> Data:
    return cast("Data", value) if isinstance(value, dict) else {}
