"""A run's transcript as lines: who did what, why, with which tool, at what cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence

from crewkit.cli.happened import happened
from crewkit.cli.heading import heading, history, worker
from crewkit.cli.lines import (
    Data,
    Line,
    Text,
    as_data,
    clock,
    coloured,
    cost_of,
    labelled,
    marked,
    quantities,
    used_of,
)
from crewkit.cli.rounds import rounds, sent
from crewkit.cli.sayings import untold
from crewkit.cli.text import arguments_of, count, duration, number, one_line, safe
from crewkit.core.events import Event, defined, enclosing, is_item
from crewkit.core.messages import ChatMessage
from crewkit.core.text import call_text, compact
from crewkit.journal.read import messages, outcome
from crewkit.journal.tree import Node, tree

_WORTH_POINTING_BACK = 120
"""Characters from which a text that was shown before is pointed to instead of repeated."""


_ITEMS = 5
"""Items of a map that are shown where nobody asked for the map."""


class Transcript:
    """All of a run, or the part of it that was asked for."""

    def __init__(
        self,
        events: Sequence[Event],
        *,
        alive: bool,
        task: str = "",
        agent: str = "",
        step: str = "",
        lines: int | None = None,
    ) -> None:
        """Take a run's events in.

        Args:
            events: All of them.
            alive: A process carries the run on right now.
            task: Show only this task and what is below it.
            agent: Show only what this agent did.
            step: Show only what is at this path and below it.
            lines: Show at most this many lines of each text; `None`: all, 0: no text at all.
        """
        self._events = events
        self._root = tree(events, alive=alive)
        self._messages = messages(events)
        self._threads: dict[str, list[Node]] = {}
        """Task to what was said in it between agents, a node for each thread."""
        for node in self._root.walk():
            if node.kind == "step" and _is_thread(node):
                self._threads.setdefault(node.task, []).append(node)
        self._rounds = rounds(self._root)
        """Path of a round of a conversation to what was said in it."""
        self._in_rounds = {event.seq for events in self._rounds.values() for event in events}
        self._task = task
        self._agent = agent
        self._step = step
        self._limit = lines
        self._shown: set[str] = set()
        self.shortened = False
        """Some text was cut."""

    def __iter__(self) -> Iterator[Line]:
        """Yield the lines, the heading first."""
        if self._step:
            yield from self._step_lines()
            return
        if not (self._task or self._agent):
            yield from heading(self._events, self._root, texts=self._limit != 0)
        for node in self._tasks(self._root):
            yield Line([])
            yield from self._task_lines(node, 0)
        if not (self._task or self._agent):
            yield Line([])
            yield from history(self._root)

    def _step_lines(self) -> Iterator[Line]:
        """Yield what is at one path; what has no lines of its own is shown with what is around it."""
        nodes = {node.path: node for node in self._root.walk()}
        node = nodes[self._step]
        while node.path and node.kind not in (
            "task",
            "iteration",
            "turn",
            "tool",
            "ask",
            "summary",
            "fallback",
        ):
            node = nodes[enclosing(node.path)]
        yield Line([(node.path, "dim")])
        yield from self._children(Node("", "step", children=[node]), 0)

    # Tasks

    def _tasks(self, node: Node) -> Iterator[Node]:
        """Yield the outermost tasks that were asked for, in the order in which they began."""
        for child in node.children:
            if child.kind != "task" or (self._task and child.path != self._task):
                yield from self._tasks(child)
            elif not self._agent or any(below.agent == self._agent for below in child.walk()):
                yield child

    def _task_lines(self, node: Node, indent: int) -> Iterator[Line]:
        self._shown.clear()
        finished, started = node.data("task.finished"), node.data("task.started")
        who = f"  {worker(node)}"
        parts = [duration(float(finished["seconds"]))] if "seconds" in finished else []
        parts += [used_of(node.totals)] if node.totals.steps or node.totals.tools else []
        yield Line(
            [marked(node.status), (node.path, "bold"), (who, ""), ("  ", ""), coloured(node.status)], indent
        )
        yield from labelled("used", " · ".join(parts), indent + 1)
        yield from labelled("after", ", ".join(started.get("needs") or ()), indent + 1)
        yield from labelled("assigned", str(started.get("assigned") or ""), indent + 1)
        yield from self._done(node, indent + 1)
        why = str(as_data(finished.get("error")).get("message") or finished.get("why") or "")
        yield from labelled("why", why, indent + 1, "red" if node.status == "failed" else "")

    def _done(self, node: Node, indent: int) -> Iterator[Line]:
        """Show a task or an iteration from its assignment to its report."""
        bus = [event for event in sent(node) if event.seq not in self._in_rounds]
        for event in bus:
            if event.data.get("kind") == "assignment":
                yield from self._bus(event, indent)
        yield from self._told(node.events, indent)
        said = [event for event in bus if event.data.get("kind") != "assignment"]
        items = [child for child in node.children if is_item(child.path)]
        hidden = self._unshown(items) if node.path != self._task else set[str]()
        if items:
            yield self._items(node, items, len(hidden), indent)
        for child in node.children:
            if child.path in hidden:
                continue
            if child.kind == "fallback" and child.first:
                while said and said[0].seq < child.first.seq:  # what it did not accept
                    yield from self._bus(said.pop(0), indent)
            yield from self._child(child, indent)
        if node.kind == "proposal":
            yield from self._planned(node, indent)
        for thread in self._threads.get(node.path, ()):
            yield Line([(f"thread {thread.path}", "bold")], indent)
            yield from self._others(thread, indent + 1)
        for event in said:
            yield from self._bus(event, indent)

    def _planned(self, node: Node, indent: int) -> Iterator[Line]:
        """Show a plan as it stands."""
        for event in node.events:
            if event.type == "plan.proposed":
                yield from (line for line in happened(event, indent) if isinstance(line, Line))

    def _children(self, node: Node, indent: int) -> Iterator[Line]:
        for child in node.children:
            yield from self._child(child, indent)

    def _child(self, child: Node, indent: int) -> Iterator[Line]:
        if self._agent and not any(below.agent == self._agent for below in child.walk()):
            return
        match child.kind:
            case "task":
                yield from self._task_lines(child, indent)
            case "iteration":
                reason = str(child.data("iteration.started").get("reason") or "")
                yield Line([(child.title, "bold"), (f"  {one_line(reason)}", "yellow")], indent)
                yield from self._done(child, indent + 1)
            case "fallback":
                yield from self._fallback(child, indent)
            case "proposal":
                yield Line([(f"plan {child.path.rpartition(':')[2].partition('/')[0]}", "bold")], indent)
                yield from self._done(child, indent + 1)
            case "turn":
                yield from self._turn(child, indent)
            case "summary":
                yield from self._summary(child, indent)
            case "tool":
                yield from self._tool(child, indent)
            case "ask":
                yield from self._ask(child, indent)
            case _ if not _is_thread(child):
                yield from self._others(child, indent)
                yield from self._children(child, indent)
            case _:
                pass

    def _unshown(self, items: Sequence[Node]) -> set[str]:
        """Return the items of a map that are left out: those that failed or go on are shown before others."""
        first = sorted(items, key=lambda item: item.status == "completed")
        return {item.path for item in first[_ITEMS:]}

    def _items(self, node: Node, items: Sequence[Node], hidden: int, indent: int) -> Line:
        all = int(node.data("map.started").get("items") or len(items))
        stands = Counter(item.status for item in items)
        said = ", ".join(f"{many:,} {status}" for status, many in stands.items())
        more = (
            f"; {hidden:,} not shown: crewkit show RUN --task '{node.path}' or '{node.path}[n]'"
            if hidden
            else ""
        )
        return Line([(f"{all:,} items", "bold"), (f"  {said}{more}", "dim")], indent)

    def _bus(self, event: Event, indent: int) -> Iterator[Line]:
        data = event.data
        way = f"{data.get('sender')} → {data.get('to')}"
        rounds = f", round {data['round']}" if data.get("kind") in ("question", "answer") else ""
        yield Line([(f"{data.get('kind')}", "cyan"), (f"  {way}{rounds}", "dim")], indent)
        yield from self._content(str(data.get("content", "")), indent)

    def _told(self, events: Iterable[Event], indent: int) -> Iterator[Line]:
        """Show what an agent was told besides the assignment: who it is, and what was sent back."""
        for event in events:
            role = event.data.get("role")
            if event.type == "message.recorded" and role in ("system", "user") and self._limit != 0:
                label = "who it is" if role == "system" else "told"
                text = str(event.data.get("content", ""))
                if self._known(text) and role == "user":
                    continue
                yield Line([(label, "cyan")], indent)
                yield from self._content(text, indent)

    # Turns

    def _turn(self, node: Node, indent: int) -> Iterator[Line]:
        model = next((child for child in node.children if child.kind == "model"), None)
        answered = model.newest("model.finished") if model else None
        if node.path in self._rounds:
            yield from self._round(node, indent)
            return
        # Within a call, a colleague is at work who is not the task's agent; in a conversation, a member.
        who = f"{node.agent}, " if node.path.endswith(f"/{node.agent}/{node.path.rpartition('/')[2]}") else ""
        cost = cost_of(answered.data if answered else {})
        yield Line([(f"{who}{node.title}", "bold"), ("  ", ""), (cost, "dim")], indent)
        asked = answered.seq if answered else node.events[-1].seq if node.events else 0
        yield from self._children(_part(node, before := ("inbox", "offer", "summary")), indent + 1)
        yield from self._told((event for event in node.events if event.seq <= asked), indent + 1)
        if model:
            yield from self._model(model, indent + 1)
        if decision := node.decision:
            yield from self._decision(decision, indent + 1)
        yield from self._others(node, indent + 1)
        rest = {child.kind for child in node.children} - {"model", *before}
        yield from self._children(_part(node, rest), indent + 1)
        yield from self._told((event for event in node.events if event.seq > asked), indent + 1)

    def _round(self, node: Node, indent: int) -> Iterator[Line]:
        """Show a round of a conversation: who chose the speaker, how it came to be said, what was said to whom."""
        yield Line([(f"round {node.path.rpartition('/')[2]}", "bold")], indent)
        yield from self._others(node, indent + 1)
        yield from self._children(node, indent + 1)
        for event in self._rounds[node.path]:
            yield from self._bus(event, indent + 1)

    def _summary(self, node: Node, indent: int) -> Iterator[Line]:
        """Show what stands from now on for the oldest messages of the conversation, and what it cost."""
        yield from self._others(node, indent)
        answered = node.data("model.finished")
        written = next((e.data for e in node.events if e.data.get("compressed_from")), as_data(None))
        by = cost_of(answered) or "sentences taken from them, no model"
        many = count(len(written.get("compressed_from") or ()), "message")
        yield from labelled("summarised", f"{many} · {by}", indent)
        failed = str(as_data(answered.get("failed")).get("message") or "")
        yield from labelled("failed", failed, indent, "yellow")
        yield from self._content(str(written.get("content") or ""), indent)

    def _fallback(self, node: Node, indent: int) -> Iterator[Line]:
        """Show who tried where an answer was not accepted."""
        said = node.data("task.escalated")
        yield Line([("escalated", "bold yellow"), (f"  to {said.get('to')}", ""), ("  ", "")], indent)
        yield from labelled("why", str(said.get("why") or ""), indent + 1, "yellow")
        yield from self._done(node, indent + 1)

    def _model(self, node: Node, indent: int) -> Iterator[Line]:
        for attempt in node.attempts:
            if attempt.status == "completed":
                continue
            why = as_data(attempt.finished.data.get("failed")).get("message", "") if attempt.finished else ""
            text = f"attempt {attempt.number} {attempt.status}{': ' + one_line(str(why), 400) if why else ''}"
            yield from labelled("model", text, indent, "red")
        yield from self._others(node, indent)
        started, answered = node.data("model.started"), node.data("model.finished")
        sent = as_data(started.get("messages"))
        dropped = f", {sent['dropped']} older ones in a summary" if sent.get("dropped") else ""
        temperature = started.get("temperature")
        warm = f", temperature {temperature}" if temperature is not None else ""
        new = f"{count(int(sent.get('count') or 0), 'message')}, {len(sent.get('new') or ())} of them new"
        yield from labelled("sent", f"{new}{dropped}{warm}", indent)
        for considered in as_data(started.get("route")).get("considered") or ():
            yield from labelled("route", f"{considered.get('route')}, {considered.get('why')}", indent)
        message = self._messages.get(str(answered.get("message")))
        if message and message.content.strip() and self._limit != 0:
            yield Line([("said", "cyan")], indent)
            yield from self._content(message.content, indent)
        if answered.get("finish_reason") in ("length", "content_filter"):
            yield from labelled("cut off", str(answered["finish_reason"]), indent, "yellow")

    def _decision(self, decision: Data, indent: int) -> Iterator[Line]:
        yield from labelled(
            "could call", ", ".join(map(str, decision.get("offered") or ())) or "nothing", indent
        )
        for withheld in decision.get("withheld") or ():
            held = as_data(withheld)
            yield from labelled(
                "withheld", f"{held.get('tool')}: {held.get('by')}, {held.get('why')}", indent, "yellow"
            )
        chosen = [
            call_text(str(call.get("tool")), arguments_of(call)) for call in decision.get("chosen") or ()
        ]
        for call in chosen or ["to answer"]:
            yield from labelled("decided", call, indent, "bold")
        yield from labelled("left", quantities(as_data(decision.get("budget"))), indent)

    def _tool(self, node: Node, indent: int) -> Iterator[Line]:
        started, finished, checked = (
            node.data(f"tool.{type}") for type in ("started", "finished", "checked")
        )
        name = str(
            next((data["tool"] for data in (started, checked, finished) if data.get("tool")), node.title)
        )
        call = call_text(name, started.get("arguments", arguments_of(checked)))
        if (
            node.agent == defined(node.task).rpartition("/")[2]
        ):  # a function that is a task: its parameters' sources
            call = call.replace('"', "")
        ended = outcome(finished) if finished else node.status
        style = "green" if ended == "ok" else "red" if finished else "yellow"
        yield Line([(call, "bold"), (" → ", ""), (ended, style), (_sizes(finished), "dim")], indent)
        if checked.get("verdict") not in (None, "allow"):
            why = f"{checked.get('verdict')} by {checked.get('by')}: {checked.get('why', '')}"
            yield from labelled("checked", why, indent + 1, "yellow")
        for attempt in node.attempts[:-1]:
            yield from labelled("attempt", f"{attempt.number} {attempt.status}", indent + 1, "yellow")
        yield from self._others(node, indent + 1)
        instead = [child for child in node.children if child.kind == "tool"]
        inside = [child for child in node.children if child.kind != "tool"]
        yield from self._children(Node(node.path, "tool", children=inside), indent + 1)
        yield from self._result(finished, indent)
        for child in instead:
            yield Line([("called instead", "yellow")], indent + 1)
            yield from self._tool(child, indent + 1)

    def _result(self, finished: Data, indent: int) -> Iterator[Line]:
        message: ChatMessage | None = self._messages.get(str(finished.get("message")))
        if finished.get("full"):
            yield Line([("all that it returned; the agent saw a part", "dim")], indent + 1)
            yield from self._content(str(finished["full"]), indent)
        elif message:
            yield from self._content(message.content, indent)
        elif "output" in finished:
            yield from self._content(compact(finished["output"]), indent)
        elif error := as_data(finished.get("error")) or as_data(finished.get("failed")):
            yield from self._content(f"{error.get('type')}: {error.get('message')}", indent)
        failed = as_data(finished.get("error")) or as_data(finished.get("failed"))
        yield from labelled("raised in", str(failed.get("where") or ""), indent + 1)

    def _ask(self, node: Node, indent: int) -> Iterator[Line]:
        for event in node.events:
            data = event.data
            if event.type == "approval.requested":
                yield Line(
                    [("asked a person", "yellow"), (f"  {data.get('id')} at {clock(event)}", "dim")], indent
                )
                yield from self._content(str(data.get("question", "")), indent)
            elif event.type == "approval.told":
                yield Line([untold(data) or (f"told by {data.get('by')}", "dim")], indent)
            elif event.type == "approval.decided":
                approved = data.get("decision") == "approve"
                verb, style = ("approved", "green") if approved else ("denied", "red")
                note = f": {data['note']}" if data.get("note") else ""
                yield Line([(verb, style), (f" by {data.get('by')} at {clock(event)}{note}", "")], indent)
        if node.status == "waiting":
            yield from labelled("", "nobody has answered yet: crewkit approvals", indent, "yellow")

    def _others(self, node: Node, indent: int) -> Iterator[Line]:
        """Show what may stand anywhere: guardrails, retries, memory, notes, limits, questions to colleagues."""
        for event in node.events:
            if event.type == "message.recorded" and "kind" in event.data:
                yield from self._bus(event, indent)
            for said in happened(event, indent):
                if isinstance(said, Text):
                    yield from self._content(said.text, said.indent)
                else:
                    yield said

    # Texts

    def _known(self, text: str) -> bool:
        return text in self._shown

    def _content(self, text: str, indent: int) -> Iterator[Line]:
        """Show a text behind a bar: once per task, and shortened where that was asked for."""
        if self._limit == 0:
            return
        if len(text) >= _WORTH_POINTING_BACK and text in self._shown:
            yield Line([("the same as above", "dim")], indent + 1, bar=True)
            return
        self._shown.add(text)
        lines = safe(text).rstrip("\n").split("\n")
        for line in lines[: self._limit]:
            yield Line([(line, "")], indent + 1, bar=True)
        if self._limit is not None and len(lines) > self._limit:
            self.shortened = True
            yield Line([(f"… {count(len(lines) - self._limit, 'more line')}", "dim")], indent + 1, bar=True)


def _part(node: Node, kinds: Container[str]) -> Node:
    """Return a turn with only its children of these kinds."""
    return Node(node.path, node.kind, children=[child for child in node.children if child.kind in kinds])


def _is_thread(node: Node) -> bool:
    return any("kind" in event.data for event in node.events if event.type == "message.recorded")


def _sizes(finished: Data) -> str:
    parts: list[str] = []
    received, selected = finished.get("received"), finished.get("selected")
    if received is not None and received != selected:
        parts.append(f"{number(received)} characters, of which the agent saw {number(selected or 0)}")
    elif received is not None:
        parts.append(f"{number(received)} characters")
    if kept := as_data(finished.get("cached")):
        stale = "stale, " if kept.get("stale") else ""
        parts.append(f"{stale}kept from {kept.get('path')}, {duration(float(kept.get('age') or 0))} old")
    elif "seconds" in finished:
        parts.append(duration(float(finished["seconds"])))
    if finished.get("late"):
        parts.append("told late, by who had lost the task")
    return "".join(f" · {part}" for part in parts)


def only(events: Iterable[Event], *, task: str, agent: str, types: Sequence[str]) -> Iterator[Event]:
    """Yield the events of a task and what is below it, of an agent, of some types; empty: of all."""
    for event in events:
        of_task = not task or event.task == task or event.task.startswith(f"{task}/")
        if of_task and (not agent or event.agent == agent) and (not types or event.type in types):
            yield event
