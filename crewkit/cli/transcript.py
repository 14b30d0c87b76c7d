"""A run's transcript as lines: who did what, why, with which tool, at what cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from crewkit.cli.progress import MARKS, Span, changes_of, forked_at, models_of, told, waits_for
from crewkit.cli.text import (
    arguments_of,
    call_text,
    compact,
    count,
    cut,
    duration,
    money,
    number,
    one_line,
    safe,
)
from crewkit.core.clock import to_second
from crewkit.core.events import Event, enclosing
from crewkit.core.messages import ChatMessage
from crewkit.journal.read import Totals, beginning, ending, inherited, messages, origin, outcome, totals
from crewkit.journal.tree import Node, tree

Data = Mapping[str, Any]

_LABEL = 11
"""Columns of a label."""
_WORTH_POINTING_BACK = 120
"""Characters from which a text that was shown before is pointed to instead of repeated."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line, or what a narrow screen makes of it."""

    spans: Sequence[Span]
    indent: int = 0
    bar: bool = False
    """A line of content: set off by a bar, also where it wraps."""


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
            yield from self._heading()
        for node in self._tasks(self._root):
            yield Line([])
            yield from self._task_lines(node, 0)
        if not (self._task or self._agent):
            yield Line([])
            yield from self._history()

    def _step_lines(self) -> Iterator[Line]:
        """Yield what is at one path; what has no lines of its own is shown with what is around it."""
        nodes = {node.path: node for node in self._root.walk()}
        node = nodes[self._step]
        while node.path and node.kind not in ("task", "iteration", "turn", "tool", "ask"):
            node = nodes[enclosing(node.path)]
        yield Line([(node.path, "dim")])
        yield from self._children(Node("", "step", children=[node]), 0)

    # The run

    def _heading(self) -> Iterator[Line]:
        started = beginning(self._root.events)
        forked = origin(self._root.events)
        end = ending(self._root.events)
        used = totals(self._events)
        status = self._root.status
        yield Line(
            [(f"run {self._events[-1].run}", "bold"), (f"  crew {self._root.title}  ", ""), _status(status)]
        )
        yield from _labelled("why", _why(status, end.why))
        if forked:
            by = f", by {forked.data['by']}" if forked.data.get("by") else ""
            yield from _labelled("fork of", f"{forked_at(forked.data)}{by}, {_clock(forked, day=True)}")
            for what in forked.data.get("edits") or ():
                yield from _labelled("edited", str(what))
        for name, value in _object(started.get("inputs")).items():
            said = "" if self._limit == 0 else f" = {cut(one_line(compact(value)), 200)}"
            yield from _labelled("input", f"{name}{said}")
        yield from _labelled("models", ", ".join(models_of(started)))
        yield from _labelled(
            "took", f"{duration(used.seconds)} of work, begun {_clock(forked or self._events[0], day=True)}"
        )
        yield from _labelled("used", _used(used) or "nothing")
        if forked:
            yield from _labelled("inherited", _used(inherited(self._events)) or "nothing")
        yield from _labelled("limits", _caps(_object(started.get("limits"))))
        yield from _labelled(
            "crew file", f"{started.get('target') or 'none: begun from code'}, in {started.get('cwd')}"
        )
        for task in started.get("tasks") or ():
            yield self._overview(_object(task))

    def _overview(self, task: Data) -> Line:
        name = str(task.get("name"))
        node = next((child for child in self._root.children if child.path == name), None)
        finished = node.data("task.finished") if node else {}
        status = node.status if node else "waiting"
        needs = f"  after {_after(task)}" if task.get("needs") else ""
        why = str(_object(finished.get("error")).get("message") or finished.get("why") or "")
        who = _worker(node) if node and task.get("kind", "agent") != "agent" else task.get("agent")
        said = f"  {status}{': ' + one_line(why, 200) if why else ''}"
        return Line([_mark(status), (name, "bold"), (f"  {who}", ""), (needs, "dim"), (said, "")], 1)

    def _history(self) -> Iterator[Line]:
        yield Line([("history", "bold")])
        for event in self._root.events:
            if text := _of_the_run(event):
                yield Line([(f"{_clock(event)}  ", "dim"), (text, "")], 1)

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
        who = f"  {_worker(node)}"
        parts = [duration(float(finished["seconds"]))] if "seconds" in finished else []
        parts += [_used(node.totals)] if node.totals.steps or node.totals.tools else []
        yield Line(
            [_mark(node.status), (node.path, "bold"), (who, ""), ("  ", ""), _status(node.status)], indent
        )
        yield from _labelled("used", " · ".join(parts), indent + 1)
        yield from _labelled("after", ", ".join(started.get("needs") or ()), indent + 1)
        yield from _labelled("assigned", str(started.get("assigned") or ""), indent + 1)
        yield from self._done(node, indent + 1)
        why = str(_object(finished.get("error")).get("message") or finished.get("why") or "")
        yield from _labelled("why", why, indent + 1, "red" if node.status == "failed" else "")

    def _done(self, node: Node, indent: int) -> Iterator[Line]:
        """Show a task or an iteration from its assignment to its report."""
        bus = [event for event in node.events if event.type == "message.recorded" and "kind" in event.data]
        for event in bus:
            if event.data.get("kind") == "assignment":
                yield from self._bus(event, indent)
        yield from self._told(node, indent)
        yield from self._children(node, indent)
        for thread in self._threads.get(node.path, ()):
            yield Line([(f"thread {thread.path}", "bold")], indent)
            yield from self._others(thread, indent + 1)
        for event in bus:
            if event.data.get("kind") != "assignment":
                yield from self._bus(event, indent)

    def _children(self, node: Node, indent: int) -> Iterator[Line]:
        for child in node.children:
            if self._agent and not any(below.agent == self._agent for below in child.walk()):
                continue
            if child.kind == "task":
                yield from self._task_lines(child, indent)
            elif child.kind == "iteration":
                reason = str(child.data("iteration.started").get("reason") or "")
                yield Line([(child.title, "bold"), (f"  {one_line(reason)}", "yellow")], indent)
                yield from self._done(child, indent + 1)
            elif child.kind == "turn":
                yield from self._turn(child, indent)
            elif child.kind == "tool":
                yield from self._tool(child, indent)
            elif child.kind == "ask":
                yield from self._ask(child, indent)
            elif not _is_thread(child):
                yield from self._others(child, indent)
                yield from self._children(child, indent)

    def _bus(self, event: Event, indent: int) -> Iterator[Line]:
        data = event.data
        way = f"{data.get('sender')} → {data.get('to')}"
        rounds = f", round {data['round']}" if data.get("kind") in ("question", "answer") else ""
        yield Line([(f"{data.get('kind')}", "cyan"), (f"  {way}{rounds}", "dim")], indent)
        yield from self._content(str(data.get("content", "")), indent)

    def _told(self, node: Node, indent: int) -> Iterator[Line]:
        """Show what an agent was told besides the assignment: who it is, and what was sent back."""
        for event in node.events:
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
        answered = model.data("model.finished") if model else {}
        # Within a call, a colleague is at work who is not the task's agent.
        who = f"{node.agent}, " if "/tool:" in node.path else ""
        yield Line([(f"{who}{node.title}", "bold"), ("  ", ""), (_cost_of(answered), "dim")], indent)
        yield from self._told(node, indent + 1)
        summary = next((child for child in node.children if child.title == "summary"), None)
        if summary:
            yield from self._summary(summary, indent + 1)
        if model:
            yield from self._model(model, indent + 1)
        if decision := node.decision:
            yield from self._decision(decision, indent + 1)
        yield from self._others(node, indent + 1)
        rest = [child for child in node.children if child is not summary and child.kind != "model"]
        yield from self._children(Node(node.path, "turn", children=rest), indent + 1)

    def _summary(self, node: Node, indent: int) -> Iterator[Line]:
        """Show what stands from now on for the oldest messages of the conversation, and what it cost."""
        yield from self._others(node, indent)
        answered, written = node.data("model.finished"), node.data("message.recorded")
        failed = str(_object(answered.get("failed")).get("message") or "")
        by = _cost_of(answered) or "sentences taken from them, no model"
        yield from _labelled(
            "summarised", f"{count(len(written.get('compressed_from') or ()), 'message')} · {by}", indent
        )
        yield from _labelled("failed", failed, indent, "yellow")
        yield from self._content(str(written.get("content") or ""), indent)

    def _model(self, node: Node, indent: int) -> Iterator[Line]:
        for attempt in node.attempts:
            if attempt.status == "completed":
                continue
            why = _object(attempt.finished.data.get("failed")).get("message", "") if attempt.finished else ""
            text = f"attempt {attempt.number} {attempt.status}{': ' + one_line(str(why), 400) if why else ''}"
            yield from _labelled("model", text, indent, "red")
        yield from self._others(node, indent)
        started, answered = node.data("model.started"), node.data("model.finished")
        sent = _object(started.get("messages"))
        dropped = f", {sent['dropped']} older ones in a summary" if sent.get("dropped") else ""
        temperature = started.get("temperature")
        warm = f", temperature {temperature}" if temperature is not None else ""
        new = f"{count(int(sent.get('count') or 0), 'message')}, {len(sent.get('new') or ())} of them new"
        yield from _labelled("sent", f"{new}{dropped}{warm}", indent)
        for considered in _object(started.get("route")).get("considered") or ():
            yield from _labelled("route", f"{considered.get('route')}, {considered.get('why')}", indent)
        message = self._messages.get(str(answered.get("message")))
        if message and message.content.strip() and self._limit != 0:
            yield Line([("said", "cyan")], indent)
            yield from self._content(message.content, indent)
        if answered.get("finish_reason") in ("length", "content_filter"):
            yield from _labelled("cut off", str(answered["finish_reason"]), indent, "yellow")

    def _decision(self, decision: Data, indent: int) -> Iterator[Line]:
        yield from _labelled(
            "could call", ", ".join(map(str, decision.get("offered") or ())) or "nothing", indent
        )
        for withheld in decision.get("withheld") or ():
            held = _object(withheld)
            yield from _labelled(
                "withheld", f"{held.get('tool')}: {held.get('by')}, {held.get('why')}", indent, "yellow"
            )
        chosen = [
            call_text(str(call.get("tool")), arguments_of(call)) for call in decision.get("chosen") or ()
        ]
        for call in chosen or ["to answer"]:
            yield from _labelled("decided", call, indent, "bold")
        yield from _labelled("left", _left(_object(decision.get("budget"))), indent)

    def _tool(self, node: Node, indent: int) -> Iterator[Line]:
        started, finished, checked = (
            node.data(f"tool.{type}") for type in ("started", "finished", "checked")
        )
        name = str(
            next((data["tool"] for data in (started, checked, finished) if data.get("tool")), node.title)
        )
        call = call_text(name, started.get("arguments", arguments_of(checked)))
        if node.agent == node.task.rpartition("/")[2]:  # a function that is a task: its parameters' sources
            call = call.replace('"', "")
        ended = outcome(finished) if finished else node.status
        style = "green" if ended == "ok" else "red" if finished else "yellow"
        yield Line([(call, "bold"), (" → ", ""), (ended, style), (_sizes(finished), "dim")], indent)
        if checked.get("verdict") not in (None, "allow"):
            why = f"{checked.get('verdict')} by {checked.get('by')}: {checked.get('why', '')}"
            yield from _labelled("checked", why, indent + 1, "yellow")
        for attempt in node.attempts[:-1]:
            yield from _labelled("attempt", f"{attempt.number} {attempt.status}", indent + 1, "yellow")
        yield from self._others(node, indent + 1)
        yield from self._children(node, indent + 1)
        yield from self._result(finished, indent)

    def _result(self, finished: Data, indent: int) -> Iterator[Line]:
        message: ChatMessage | None = self._messages.get(str(finished.get("message")))
        if finished.get("full"):
            yield Line([("all that it returned; the agent saw a part", "dim")], indent + 1)
            yield from self._content(str(finished["full"]), indent)
        elif message:
            yield from self._content(message.content, indent)
        elif "output" in finished:
            yield from self._content(compact(finished["output"]), indent)
        elif error := _object(finished.get("error")) or _object(finished.get("failed")):
            yield from self._content(f"{error.get('type')}: {error.get('message')}", indent)
        failed = _object(finished.get("error")) or _object(finished.get("failed"))
        yield from _labelled("raised in", str(failed.get("where") or ""), indent + 1)

    def _ask(self, node: Node, indent: int) -> Iterator[Line]:
        for event in node.events:
            data = event.data
            if event.type == "approval.requested":
                yield Line(
                    [("asked a person", "yellow"), (f"  {data.get('id')} at {_clock(event)}", "dim")], indent
                )
                yield from self._content(str(data.get("question", "")), indent)
            elif event.type == "approval.decided":
                approved = data.get("decision") == "approve"
                verb, style = ("approved", "green") if approved else ("denied", "red")
                note = f": {data['note']}" if data.get("note") else ""
                yield Line([(verb, style), (f" by {data.get('by')} at {_clock(event)}{note}", "")], indent)
        if node.status == "waiting":
            yield from _labelled("", "nobody has answered yet: crewkit approvals", indent, "yellow")

    def _others(self, node: Node, indent: int) -> Iterator[Line]:
        """Show what may stand anywhere: guardrails, retries, memory, notes, limits, questions to colleagues."""
        for event in node.events:
            data = event.data
            match event.type:
                case "guardrail.checked":
                    said = ": ".join(str(data[k]) for k in ("guardrail", "verdict", "why") if data.get(k))
                    yield from _labelled(
                        "guardrail", said, indent, "" if data.get("verdict") == "allow" else "yellow"
                    )
                case "condition.checked":
                    said = str(data.get("why") or "holds")
                    said = "does not hold" if data.get("why") and data.get("values") else said
                    seen = ", ".join(f"{n} = {compact(v)}" for n, v in _object(data.get("values")).items())
                    said += f" ({seen})" if seen else ""
                    word = event.path.rpartition("/")[2]
                    yield from _labelled(word, f"{data.get('condition')}: {said}", indent)
                case "conflict.resolved":
                    yield from _conflict(data, indent)
                case "wait.started" | "wait.finished" | "wait.refused" | "inbox.read":
                    yield from self._from_outside(event, indent)
                case "retry.scheduled":
                    wait = duration(float(data.get("seconds") or 0))
                    yield from _labelled("retry", f"after {wait}: {data.get('why')}", indent, "yellow")
                case "memory.searched" | "memory.recalled" | "memory.written":
                    yield from self._memory(event, indent)
                case "message.recorded" if "kind" in data:
                    yield from self._bus(event, indent)
                case "note":
                    yield from _labelled("note", str(data.get("text", "")), indent)
                case "limit.exceeded" | "round.closed":
                    yield from _labelled("limit", _limit(data), indent, "yellow")
                case _:
                    pass

    def _from_outside(self, event: Event, indent: int) -> Iterator[Line]:
        """Show what a task waits for, what came, and what an agent is told from outside."""
        data = event.data
        match event.type:
            case "wait.started":
                yield from _labelled("waits", f"{waits_for(data)}, since {_clock(event, day=True)}", indent)
            case "wait.finished":
                said = {"arrived": f"told by {data.get('by')}", "due": "the time came"}
                text = said.get(
                    str(data.get("outcome")), f"nothing came by {to_second(str(data.get('deadline')))}"
                )
                yield from _labelled("came", f"{text}, at {_clock(event, day=True)}", indent)
                if "output" in data:
                    yield from self._content(compact(data["output"]), indent)
            case "wait.refused":
                text = f"an event told by {data.get('by')}: {data.get('why')}"
                yield from _labelled("refused", text, indent, "yellow")
            case "inbox.read":
                for message in data.get("messages") or ():
                    yield from _labelled("inbox", f"{message.get('by')}: {message.get('text')}", indent)
            case _:
                pass

    def _memory(self, event: Event, indent: int) -> Iterator[Line]:
        """Show what was looked up, told and kept."""
        data = event.data
        match event.type:
            case "memory.searched":
                yield from self._recalled(data, indent)
            case "memory.recalled":
                yield from _earlier(data, indent)
            case _:
                sources = ", ".join(map(str, data.get("sources") or ()))
                many = count(data.get("count") or 0, "record")
                yield from _labelled("remembered", f"{many} of {sources}", indent)

    def _recalled(self, data: Data, indent: int) -> Iterator[Line]:
        hits = data.get("hits") or ()
        yield from _labelled("recalled", f"{count(len(hits), 'passage')} for {data.get('query')!r}", indent)
        for hit in hits:
            place = f"{hit.get('source') or hit.get('id')}:{hit.get('start')}-{hit.get('end')}"
            yield Line([(f"{hit.get('score')}  ", "dim"), (place, "")], indent + 1)

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


def _is_thread(node: Node) -> bool:
    return any("kind" in event.data for event in node.events if event.type == "message.recorded")


def _labelled(label: str, text: str, indent: int = 1, style: str = "") -> Iterator[Line]:
    if text:
        yield Line([(f"{label:{_LABEL}}", "dim"), (one_line(text), style)], indent)


def _after(task: Data) -> str:
    """Say what a task of `run.started` had to wait for."""
    groups = [[str(name) for name in group] for group in task.get("any_of") or ()]
    single = [str(name) for name in task["needs"] if not any(name in group for group in groups)]
    return ", ".join([*single, *(f"one of {' or '.join(group)}" for group in groups)])


def _worker(node: Node) -> str:
    """Say who does a task. One that no agent does is recorded under its own name."""
    agent = str(node.data("task.started").get("agent") or node.agent)
    steps = [step for turn in node.children if turn.kind == "turn" for step in turn.children]
    if agent != node.path.rpartition("/")[2] or any(step.kind == "model" for step in steps):
        return agent
    if any(child.kind == "task" for child in node.children):
        return "a crew"
    if wait := next((child for child in node.children if child.kind == "wait"), None):
        return f"waits {wait.title}"
    if any(child.newest("conflict.resolved") for child in node.children):
        return "by rule"
    called = next((tool for step in steps if (tool := step.data("tool.started").get("tool"))), None)
    return f"{called}()" if called else "a function or a crew"


def _mark(status: str) -> Span:
    mark, style = MARKS.get(status, ("!", "yellow"))
    return f"{mark} ", style


def _status(status: str) -> Span:
    styles = {"completed": "green", "failed": "red", "denied": "red", "running": "cyan"}
    return status, styles.get(status, "yellow")


def _why(status: str, why: str) -> str:
    if status == "interrupted":
        return "Its process died, or was killed, without a word. It can be resumed."
    if status == "paused":
        return why if " " in why else "It waits." if why in ("approval", "wait") else f"It was {why}."
    return why


def _used(used: Totals) -> str:
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


def _cost_of(answered: Data) -> str:
    usage = _object(answered.get("usage"))
    if not usage:
        return ""
    tokens = (
        f"{number(usage.get('input_tokens') or 0)} tokens in, {number(usage.get('output_tokens') or 0)} out"
    )
    took = duration(float(answered.get("seconds") or 0))
    return f"{answered.get('model')} · {tokens} · {money(answered.get('usd'))} · {took}"


def _caps(limits: Data) -> str:
    return " · ".join(f"{_quantity(cap)} {name}" for name, cap in limits.items() if cap is not None)


def _left(budget: Data) -> str:
    return " · ".join(f"{_quantity(left)} {name}" for name, left in budget.items() if left is not None)


def _quantity(value: Any) -> str:
    return (
        f"{value:,.6g}"
        if isinstance(value, float)
        else f"{value:,}"
        if isinstance(value, int)
        else str(value)
    )


def _earlier(data: Data, indent: int) -> Iterator[Line]:
    """Show which earlier cases an agent was told of, and why these."""
    chosen = data.get("chosen") or ()
    searched = count(len(data.get("hits") or ()), "earlier case")
    yield from _labelled("recalled", f"{searched}, {len(chosen)} of them told", indent)
    for each in chosen:
        yield Line([(f"{each.get('as')}  ", "dim"), (f"{each.get('id')}  {each.get('why')}", "")], indent + 1)


def _conflict(data: Data, indent: int) -> Iterator[Line]:
    """Show who contradicted whom, and by which rule one of them counts."""
    about = f" about {data['about']}" if data.get("about") else ""
    yield from _labelled("conflict", f"{len(data.get('parties') or ())} results{about}", indent, "yellow")
    for each in data.get("parties") or ():
        party = _object(each)
        mark = "→ " if party.get("task") == data.get("chosen") else "  "
        who = f" ({party.get('agent')})" if party.get("agent") not in ("", party.get("task")) else ""
        yield Line([(f"{mark}{party.get('task')}{who} says {compact(party.get('value'))}", "")], indent + 1)
    for each in data.get("tried") or ():
        yield from _labelled("undecided", f"{_object(each).get('rule')}: {_object(each).get('why')}", indent)
    yield from _labelled("counts", f"{data.get('chosen')}, by {data.get('rule')}: {data.get('why')}", indent)


def _limit(data: Data) -> str:
    if "rounds" in data:
        return f"{data['rounds']} of {data.get('cap')} rounds: {data.get('why')}"
    counted = f"{data.get('level')}: {data.get('used')} of {data.get('cap')} {data.get('limit')}"
    return str(data.get("why") or counted)


def _sizes(finished: Data) -> str:
    parts: list[str] = []
    received, selected = finished.get("received"), finished.get("selected")
    if received is not None and received != selected:
        parts.append(f"{number(received)} characters, of which the agent saw {number(selected or 0)}")
    elif received is not None:
        parts.append(f"{number(received)} characters")
    if "seconds" in finished:
        parts.append(duration(float(finished["seconds"])))
    return "".join(f" · {part}" for part in parts)


def _of_the_run(event: Event) -> str:
    data = event.data
    match event.type:
        case "run.started":
            return f"started by pid {data.get('pid')} on {data.get('host')}"
        case "run.resumed":
            return f"resumed by pid {data.get('pid')} on {data.get('host')}{changes_of(data)}"
        case "run.forked":
            return f"forked from {forked_at(data)} by pid {data.get('pid')} on {data.get('host')}{changes_of(data)}"
        case "run.paused":
            reason = data.get("reason")
            until = f"; goes on by itself at {to_second(str(data['until']))}" if data.get("until") else ""
            reasons = {
                "approval": "a person must decide",
                "wait": "it waits",
                "pause": f"by {data.get('by')}",
            }
            return f"paused: {reasons.get(str(reason), reason)}{until}"
        case "run.signal":
            return f"{told(data)} by {data.get('by')}"
        case "run.finished":
            return f"finished: {data.get('status')}. {one_line(str(data.get('why') or ''))}"
        case "limit.exceeded":
            return f"limit reached: {_limit(data)}"
        case "journal.damaged":
            return f"DAMAGED: nothing after event {data.get('after')} can be read: {data.get('why')}"
        case _:
            return ""


def _clock(event: Event, *, day: bool = False) -> str:
    try:
        moment = datetime.fromisoformat(event.ts).astimezone()
    except ValueError:
        return event.ts
    return moment.strftime("%Y-%m-%d %H:%M:%S" if day else "%H:%M:%S")


def _object(value: Any) -> Data:
    return cast("Data", value) if isinstance(value, dict) else {}


def only(events: Iterable[Event], *, task: str, agent: str, types: Sequence[str]) -> Iterator[Event]:
    """Yield the events of a task and what is below it, of an agent, of some types; empty: of all."""
    for event in events:
        of_task = not task or event.task == task or event.task.startswith(f"{task}/")
        if of_task and (not agent or event.agent == agent) and (not types or event.type in types):
            yield event
