"""A run as a whole: how it ended, what it used, its tasks, what happened to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from crewkit.cli.happened import of_the_run
from crewkit.cli.lines import Data, Line, as_data, clock, coloured, labelled, marked, quantities, used_of
from crewkit.cli.rounds import sent
from crewkit.cli.sayings import forked_at, models_of
from crewkit.cli.text import cut, duration, one_line
from crewkit.core.events import Event, defined, is_item
from crewkit.core.text import compact
from crewkit.journal.read import beginning, ending, inherited, origin, totals
from crewkit.journal.tree import Node


def heading(events: Sequence[Event], root: Node, *, texts: bool) -> Iterator[Line]:
    """Yield what there is to say of a run as a whole.

    Args:
        events: All of its events.
        root: Its tree.
        texts: With the inputs.
    """
    started = beginning(root.events)
    forked = origin(root.events)
    end = ending(root.events)
    used = totals(events)
    status = root.status
    yield Line([(f"run {events[-1].run}", "bold"), (f"  crew {root.title}  ", ""), coloured(status)])
    yield from labelled("why", _why(status, end.why))
    if forked:
        by = f", by {forked.data['by']}" if forked.data.get("by") else ""
        yield from labelled("fork of", f"{forked_at(forked.data)}{by}, {clock(forked, day=True)}")
        for what in forked.data.get("edits") or ():
            yield from labelled("edited", str(what))
    for name, value in as_data(started.get("inputs")).items():
        said = "" if not texts else f" = {cut(one_line(compact(value)), 200)}"
        yield from labelled("input", f"{name}{said}")
    yield from labelled("models", ", ".join(models_of(started)))
    yield from labelled(
        "took", f"{duration(used.seconds)} of work, begun {clock(forked or events[0], day=True)}"
    )
    yield from labelled("used", used_of(used) or "nothing")
    if forked:
        yield from labelled("inherited", used_of(inherited(events)) or "nothing")
    yield from labelled("limits", quantities(as_data(started.get("limits"))))
    yield from labelled(
        "crew file", f"{started.get('target') or 'none: begun from code'}, in {started.get('cwd')}"
    )
    for task in started.get("tasks") or ():
        yield _overview(root, as_data(task))


def _overview(root: Node, task: Data) -> Line:
    name = str(task.get("name"))
    node = next((child for child in root.children if child.path == name), None)
    finished = node.data("task.finished") if node else {}
    status = node.status if node else "waiting"
    needs = f"  after {_after(task)}" if task.get("needs") else ""
    why = str(as_data(finished.get("error")).get("message") or finished.get("why") or "")
    who = worker(node) if node and task.get("kind", "agent") != "agent" else task.get("agent")
    said = f"  {status}{': ' + one_line(why, 200) if why else ''}"
    return Line([marked(status), (name, "bold"), (f"  {who}", ""), (needs, "dim"), (said, "")], 1)


def history(root: Node) -> Iterator[Line]:
    """Yield what happened to the run as a whole, in order."""
    yield Line([("history", "bold")])
    for event in root.events:
        if text := of_the_run(event):
            yield Line([(f"{clock(event)}  ", "dim"), (text, "")], 1)


def _after(task: Data) -> str:
    """Say what a task of `run.started` had to wait for."""
    groups = [[str(name) for name in group] for group in task.get("any_of") or ()]
    single = [str(name) for name in task["needs"] if not any(name in group for group in groups)]
    return ", ".join([*single, *(f"one of {' or '.join(group)}" for group in groups)])


def worker(node: Node) -> str:
    """Say who does a task. One that no agent does is recorded under its own name."""
    item = next((child for child in node.children if is_item(child.path)), None)
    if item is not None:
        return worker(item)
    ended = node.newest("task.finished")
    agent = str(node.data("task.started").get("agent") or (ended.agent if ended else node.agent))
    steps = [step for turn in node.children if turn.kind == "turn" for step in turn.children]
    if agent != defined(node.path).rpartition("/")[2] or any(step.kind == "model" for step in steps):
        return agent
    if any(child.kind == "task" for child in node.children):
        return "a crew"
    if wait := next((child for child in node.children if child.kind == "wait"), None):
        return f"waits {wait.title}"
    if any(child.newest("conflict.resolved") for child in node.children):
        return "by rule"
    if any(below.kind == "proposal" for child in node.children for below in child.children):
        return "a plan"
    if any(event.data.get("to") == "everyone" for event in sent(node)):
        return "a conversation"
    called = next((tool for step in steps if (tool := step.data("tool.started").get("tool"))), None)
    return f"{called}()" if called else "a function or a crew"


def _why(status: str, why: str) -> str:
    if status == "interrupted":
        return "Its process died, or was killed, without a word. It can be resumed."
    if status == "paused":
        return why if " " in why else "It waits." if why in ("approval", "wait") else f"It was {why}."
    return why
