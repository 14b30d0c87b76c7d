"""A run's events arranged by path: run, task, turn, step, each with how it stands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass, field
from typing import Any

from crewkit.core.events import Event, enclosing, is_item
from crewkit.core.messages import ChatMessage
from crewkit.journal.forget import standing
from crewkit.journal.read import Totals, as_object, as_text, ending, outcome, totals

Data = dict[str, Any]

_ANEW = (
    "run.started",
    "run.forked",
    "run.resumed",
    "run.paused",
    "run.finished",
    "journal.damaged",
)
_OF_TASKS = ("task.started", "task.finished", "task.left")


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
    """run, task, iteration (from the second), fallback (who tries where an answer was not accepted), turn, model, tool,
    recall, summary (of a conversation's oldest messages), ask, inbox, offer, wait or step."""
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
    """Of a call of a model or a tool: the tries, the newest last."""

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


def received(step: Node, known: dict[str, ChatMessage]) -> str:
    """Return what a tool gave back, whole; `known` are the run's messages."""
    data = step.data("tool.finished")
    message = known.get(as_text(data, "message"))
    return as_text(data, "full") or (
        message.content if message else as_text(as_object(data.get("error")), "message")
    )


def tree(events: Iterable[Event], *, alive: bool = True) -> Node:
    """Arrange a run's events by path: run, task, turn, step; sub-crews and delegations under their step.

    Args:
        events: All the events of the run.
        alive: A process carries the run on right now. Otherwise whatever has not ended is `interrupted`.
    """
    grown = Tree()
    grown.settle(grown.add(standing(events).events), alive=alive)
    return grown.root


class Tree:
    """A run's tree, kept up while events come.

    What forgets, or says who carries the run on, changes nodes anywhere: then it is to be made anew (`regrows`).
    """

    def __init__(self) -> None:
        self.root = Node("", "run")
        self._nodes = {"": self.root}
        self._questions: dict[str, str] = {}
        self._seg = ""

    @staticmethod
    def regrows(event: Event) -> bool:
        """Say whether an event changes how nodes stand that are not on its way."""
        return event.type in _ANEW or "forgets" in event.data

    def add(self, events: Iterable[Event]) -> set[str]:
        """Take in events that stand; return the paths of the nodes that they are at, and of all around these."""
        at: set[str] = set()
        for event in events:
            if event.type in ("run.started", "run.forked", "run.resumed"):
                self._seg = event.seg
            node = self._node(self._place(event).removesuffix("/0"))
            node.events.append(event)
            node.task = node.task or event.task
            node.agent = node.agent or event.agent
            at.add(node.path)
        return around(at)

    def settle(self, paths: Set[str], *, alive: bool) -> None:
        """Say of these nodes what they are and how they stand; what is around each has to be among them."""
        _settle(self.root, self._seg if alive else "", paths)

    def _place(self, event: Event) -> str:
        if event.type == "approval.requested":
            self._questions[as_text(event.data, "id")] = event.path
        elif event.type == "approval.decided":
            return event.path or self._questions.get(as_text(event.data, "id"), "")
        elif event.type.startswith("undo.") and not event.task:
            return ""  # of the whole run
        return event.path

    def _node(self, path: str) -> Node:
        node = self._nodes.get(path)
        if node is None:
            node = self._nodes[path] = Node(path, _kind(path), title=path.rpartition("/")[2])
            self._node(_up(path)).children.append(node)
        return node


def around(paths: Iterable[str]) -> set[str]:
    """Return the paths of nodes and of all the nodes around them, up to the run."""
    found = {""}
    for path in paths:
        at = path
        while at not in found:
            found.add(at)
            at = _up(at)
    return found


def _up(path: str) -> str:
    return enclosing(path).removesuffix("/0")


def _kind(path: str) -> str:
    segment = path.rpartition("/")[2]
    head, numbered, _ = segment.partition(":")
    if head in ("model", "tool", "recall", "summary", "ask", "inbox", "offer", "wait", "undo", "proposal"):
        return head
    if head == "fallback":
        return "fallback" if numbered else "tool"
    if "#" in segment:
        return "iteration"
    if is_item(segment):
        return "task"
    return "turn" if segment.isdigit() else "step"


def _settle(node: Node, seg: str, paths: Set[str]) -> None:
    """Say of a node and of those below it what they are and how they stand.

    Args:
        node: The node.
        seg: The process that carries the run on; empty: none does.
        paths: Only of these, where they are below it.
    """
    if node.path and any(event.type in _OF_TASKS for event in node.events):
        node.kind = "task"
    if node.kind == "run":
        stands = ending(node.events).status
        node.title = as_text(node.data("run.started"), "crew") or "run"
        node.status = "interrupted" if stands == "running" and not seg else stands
        seg = seg if stands == "running" else ""
    for child in node.children:
        if child.path in paths:
            _settle(child, seg, paths)
    match node.kind:
        case "run":
            _mark_paused(node)
        case "model" | "tool" | "summary" | "undo":
            _settle_step(node, seg)
        case "fallback":
            node.agent = as_text(node.data("agent.started"), "role") or node.agent
            node.title = as_text(node.data("task.escalated"), "to") or node.title
            node.status = _status_of_children(node) or "completed"
        case "task":
            node.status = _task_status(node, seg)
        case "wait":
            begun, ended = node.data("wait.started"), node.data("wait.finished")
            event = as_text(begun, "event")
            node.title = f"for event {event}" if event else f"until {as_text(begun, 'until')[:19]}Z"
            node.status = as_text(ended, "outcome") or "waiting"
        case "ask":
            asked, decided = node.data("approval.requested"), node.data("approval.decided")
            node.title = as_text(asked, "question") or node.title
            answered = decided.get("id") == asked.get("id")
            node.status = as_text(decided, "decision") if answered else "waiting"
        case _:
            if node.kind in ("turn", "iteration"):
                segment = node.path.rpartition("/")[2]
                node.title = f"{node.kind} {segment.rpartition('#')[2]}"
            node.status = _status_of_children(node) or "completed"


def _settle_step(node: Node, seg: str) -> None:
    node.attempts = []
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
    if node.kind == "summary" and not node.attempts:
        node.status = "completed"  # of sentences, without a model
    types = (
        "tool.started",
        "tool.checked",
        "tool.finished",
        "model.finished",
        "model.started",
        "undo.started",
    )
    data = node.data(*types)
    node.title = as_text(data, "tool") or as_text(data, "model") or node.title


def _step_status(started: Event, finished: Event | None, seg: str) -> str:
    if finished is None:
        return "running" if seg and started.seg == seg else "interrupted"
    if finished.type == "tool.finished":
        return outcome(finished.data)
    return "failed" if "failed" in finished.data else "completed"


def _task_status(node: Node, seg: str) -> str:
    end = node.newest("task.finished")
    if end and not _went_on(node, end.seq):
        return as_text(end.data, "status") or "completed"
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
            if node.status == "interrupted" and node.kind in ("task", "turn", "iteration", "fallback"):
                node.status = "paused"
