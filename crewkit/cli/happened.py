"""What may happen at any place of a run, in words: verdicts, memory, waits, retries, breakers, signals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from crewkit.cli.lines import Data, Line, Text, as_data, clock, labelled
from crewkit.cli.sayings import changes_of, forked_at, told, waits_for
from crewkit.cli.text import count, duration, one_line
from crewkit.core.clock import to_second
from crewkit.core.events import Event
from crewkit.core.text import call_text, compact

Lines = Iterator[Line | Text]


def happened(event: Event, indent: int) -> Lines:
    """Yield what an event says; nothing for those that a transcript tells elsewhere."""
    if say := _SAYINGS.get(event.type):
        yield from say(event, indent)


def _guardrail(event: Event, indent: int) -> Lines:
    data = event.data
    said = ": ".join(str(data[k]) for k in ("guardrail", "verdict", "why") if data.get(k))
    yield from labelled("guardrail", said, indent, "" if data.get("verdict") == "allow" else "yellow")


def _condition(event: Event, indent: int) -> Lines:
    data = event.data
    said = str(data.get("why") or "holds")
    said = "does not hold" if data.get("why") and data.get("values") else said
    seen = ", ".join(f"{n} = {compact(v)}" for n, v in as_data(data.get("values")).items())
    said += f" ({seen})" if seen else ""
    yield from labelled(event.path.rpartition("/")[2], f"{data.get('condition')}: {said}", indent)


def _conflict(event: Event, indent: int) -> Lines:
    """Say who contradicted whom, and by which rule one of them counts."""
    data = event.data
    about = f" about {data['about']}" if data.get("about") else ""
    yield from labelled("conflict", f"{len(data.get('parties') or ())} results{about}", indent, "yellow")
    for each in data.get("parties") or ():
        party = as_data(each)
        mark = "→ " if party.get("task") == data.get("chosen") else "  "
        who = f" ({party.get('agent')})" if party.get("agent") not in ("", party.get("task")) else ""
        yield Line([(f"{mark}{party.get('task')}{who} says {compact(party.get('value'))}", "")], indent + 1)
    for each in data.get("tried") or ():
        yield from labelled("undecided", f"{as_data(each).get('rule')}: {as_data(each).get('why')}", indent)
    yield from labelled("counts", f"{data.get('chosen')}, by {data.get('rule')}: {data.get('why')}", indent)


def _wait_started(event: Event, indent: int) -> Lines:
    yield from labelled("waits", f"{waits_for(event.data)}, since {clock(event, day=True)}", indent)


def _wait_finished(event: Event, indent: int) -> Lines:
    data = event.data
    said = {"arrived": f"told by {data.get('by')}", "due": "the time came"}
    text = said.get(str(data.get("outcome")), f"nothing came by {to_second(str(data.get('deadline')))}")
    yield from labelled("came", f"{text}, at {clock(event, day=True)}", indent)
    if "output" in data:
        yield Text(compact(data["output"]), indent)


def _wait_refused(event: Event, indent: int) -> Lines:
    text = f"an event told by {event.data.get('by')}: {event.data.get('why')}"
    yield from labelled("refused", text, indent, "yellow")


def _inbox(event: Event, indent: int) -> Lines:
    for message in event.data.get("messages") or ():
        yield from labelled("inbox", f"{message.get('by')}: {message.get('text')}", indent)


def _retry(event: Event, indent: int) -> Lines:
    wait = duration(float(event.data.get("seconds") or 0))
    route = f" ({event.data['route']})" if event.data.get("route") else ""
    yield from labelled("retry", f"after {wait}: {event.data.get('why')}{route}", indent, "yellow")


def _searched(event: Event, indent: int) -> Lines:
    hits = event.data.get("hits") or ()
    yield from labelled("recalled", f"{count(len(hits), 'passage')} for {event.data.get('query')!r}", indent)
    for hit in hits:
        yield Line([(f"{hit.get('score')}  ", "dim"), (_place(hit), "")], indent + 1)


def _place(hit: Data) -> str:
    place = str(hit.get("source") or hit.get("id"))
    return place if hit.get("start") is None else f"{place}:{hit['start']}-{hit.get('end')}"


def _recalled(event: Event, indent: int) -> Lines:
    """Say which earlier cases an agent was told of, and why these."""
    chosen = event.data.get("chosen") or ()
    searched = count(len(event.data.get("hits") or ()), "earlier case")
    yield from labelled("recalled", f"{searched}, {len(chosen)} of them told", indent)
    for each in chosen:
        yield Line([(f"{each.get('as')}  ", "dim"), (f"{each.get('id')}  {each.get('why')}", "")], indent + 1)


def _written(event: Event, indent: int) -> Lines:
    data = event.data
    sources = ", ".join(map(str, data.get("sources") or ()))
    what = "what became of the task" if event.path.endswith("/episode") else sources
    of = f" of {what}" if what else ""
    yield from labelled("remembered", f"{count(data.get('count') or 0, 'record')}{of}", indent)
    for source, why in as_data(data.get("refused")).items():
        yield from labelled("refused", f"{source}: {why}", indent, "yellow")


def _undo_started(event: Event, indent: int) -> Lines:
    data = event.data
    if "scope" in data:
        calls = count(len(data.get("calls") or ()), "effect")
        yield from labelled("given up", f"{calls} to undo: {data.get('why')}", indent, "yellow")
    else:
        yield from labelled("undo", f"{call_text(str(data.get('tool')), data.get('arguments'))}", indent)


def _undo_finished(event: Event, indent: int) -> Lines:
    data = event.data
    if "undone" in data:
        for path, why in as_data(data.get("left")).items():
            yield from labelled("not undone", f"{path}: {why}", indent, "red")
    elif failed := as_data(data.get("failed")):
        yield from labelled("undo", f"failed: {failed.get('message')}", indent, "red")
    else:
        yield from labelled("undone", f"by {data.get('tool')}", indent, "green")


def _note(event: Event, indent: int) -> Lines:
    yield from labelled("note", str(event.data.get("text", "")), indent)


def _breaker(event: Event, indent: int) -> Lines:
    yield from labelled("breaker", breaker_of(event.data), indent, "yellow")


def _limit(event: Event, indent: int) -> Lines:
    yield from labelled("limit", limit_of(event.data), indent, "yellow")


def _planned(event: Event, indent: int) -> Lines:
    """Show a plan: its tasks, who does each, and after what."""
    data = event.data
    tasks = [as_data(each) for each in data.get("tasks") or ()]
    kept = f"; kept: {', '.join(map(str, data['kept']))}" if data.get("kept") else ""
    yield from labelled("planned", f"{count(len(tasks), 'task')} by {data.get('by')}{kept}", indent, "bold")
    for task in tasks:
        after = f"  after {', '.join(map(str, task['needs']))}" if task.get("needs") else ""
        yield Line([(f"{task.get('name')}  ", ""), (f"{task.get('agent')}{after}", "dim")], indent + 1)


def _plan_failed(event: Event, indent: int) -> Lines:
    failed = "; ".join(f"{name}: {why}" for name, why in as_data(event.data.get("failed")).items())
    kept = f" Kept: {', '.join(map(str, event.data['kept']))}." if event.data.get("kept") else ""
    yield from labelled("planned anew", f"{failed}{kept}", indent, "yellow")


_SAYINGS: Mapping[str, Callable[[Event, int], Lines]] = {
    "guardrail.checked": _guardrail,
    "condition.checked": _condition,
    "conflict.resolved": _conflict,
    "plan.proposed": _planned,
    "plan.failed": _plan_failed,
    "wait.started": _wait_started,
    "wait.finished": _wait_finished,
    "wait.refused": _wait_refused,
    "inbox.read": _inbox,
    "retry.scheduled": _retry,
    "memory.searched": _searched,
    "memory.recalled": _recalled,
    "memory.written": _written,
    "breaker.changed": _breaker,
    "limit.exceeded": _limit,
    "round.closed": _limit,
    "undo.started": _undo_started,
    "undo.finished": _undo_finished,
    "note": _note,
}


def limit_of(data: Data) -> str:
    """Say which limit was reached."""
    if "rounds" in data:
        return f"{data['rounds']} of {data.get('cap')} rounds: {data.get('why')}"
    counted = f"{data.get('level')}: {data.get('used')} of {data.get('cap')} {data.get('limit')}"
    return str(data.get("why") or counted)


def breaker_of(data: Data) -> str:
    """Say how the circuit of a tool, or of all, stands."""
    whose = str(data.get("tool") or "all tools")
    until = f" until {to_second(str(data['until']))}" if data.get("until") else ""
    why = f": {data['why']}" if data.get("why") else ""
    return f"the circuit of {whose} is {data.get('state')}{until}{why}"


# The run's own history


def of_the_run(event: Event) -> str:
    """Say what an event tells of the run as a whole; nothing for others."""
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
        case "undo.started" if "scope" in data:
            calls = count(len(data.get("calls") or ()), "effect")
            return f"given up: {calls} to undo. {one_line(str(data.get('why') or ''))}"
        case "undo.finished" if "undone" in data:
            left = "".join(f"; {path}: {why}" for path, why in as_data(data.get("left")).items())
            return f"undone: {', '.join(as_data(data['undone'])) or 'nothing'}{left}"
        case "limit.exceeded":
            return f"limit reached: {limit_of(data)}"
        case "breaker.changed":
            return breaker_of(data)
        case "journal.damaged":
            return f"DAMAGED: nothing after event {data.get('after')} can be read: {data.get('why')}"
        case _:
            return ""
