"""What an event says by itself, in one line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from crewkit.cli.text import count, duration, one_line
from crewkit.core.clock import to_second
from crewkit.core.events import Event
from crewkit.core.text import call_text
from crewkit.journal.read import as_object

Span = tuple[str, str]
Data = Mapping[str, Any]


def tool_error(data: Data) -> str:
    """Say what a tool failed with; nothing where it did not."""
    error: Data = data.get("error") or data.get("failed") or {}
    if not error:
        return ""
    kind = "" if error.get("type") == "ToolError" else f"{error.get('type')}: "
    return f": {kind}{one_line(str(error.get('message')), 200)}"


def decision(event: Event) -> list[Span]:
    """Say what an agent called, or answered, in a turn."""
    turn = event.path.rpartition("/")[2]
    calls = [
        call_text(str(call.get("tool")), call.get("arguments")) for call in event.data.get("chosen") or ()
    ]
    text = one_line(", ".join(calls) or str(event.data.get("text", "")), 200)
    return [(f"turn {turn} {'calls' if calls else 'answers'}: ", "cyan"), (text, "")]


def _model_failed(data: Data) -> list[Span] | None:
    if "failed" not in data:
        return None
    return [("model failed: ", "red"), (one_line(str(as_object(data["failed"]).get("message")), 300), "")]


def _guardrail(data: Data) -> list[Span] | None:
    if data.get("verdict") == "allow":
        return None
    why = one_line(str(data.get("why", "")), 300)
    return [(f"guardrail {data.get('guardrail')}: {data.get('verdict')}: {why}", "yellow")]


def _retry(data: Data) -> list[Span]:
    why = one_line(str(data.get("why", "")), 300)
    return [(f"tries again in {duration(float(data.get('seconds') or 0))}: {why}", "yellow")]


def slow(data: Data) -> list[Span]:
    """Say that the journal does not answer."""
    waited = duration(float(data.get("seconds") or 0))
    return [(f"the journal has not answered for {waited}: nothing goes on until it does", "yellow")]


def _limit(data: Data) -> list[Span]:
    counted = f"{data.get('level')}: {data.get('used')} of {data.get('cap')} {data.get('limit')}"
    return [(f"limit reached: {data.get('why') or counted}", "yellow")]


def _decided(data: Data) -> list[Span]:
    return [(f"{'approved' if data.get('decision') == 'approve' else 'denied'} by {data.get('by')}", "")]


def _note(data: Data) -> list[Span]:
    return [(one_line(str(data.get("text", "")), 300), "")]


def waits_for(data: Data) -> str:
    """Say what a `wait.started` waits for."""
    if data.get("for") == "event":
        by = f", until {to_second(str(data['deadline']))} at most" if data.get("deadline") else ""
        return f"for the event '{data.get('event')}'{by}"
    return f"until {to_second(str(data.get('until')))}"


def _waited(data: Data) -> list[Span]:
    match data.get("outcome"):
        case "arrived":
            return [(f"the event came, told by {data.get('by')}", "green")]
        case "deadline":
            return [(f"nothing came by {to_second(str(data.get('deadline')))}", "red")]
        case _:
            return [("the time has come", "")]


def _refused(data: Data) -> list[Span]:
    return [(f"an event told by {data.get('by')} is refused: {data.get('why')}", "yellow")]


def _inbox(data: Data) -> list[Span]:
    texts = [f"{m.get('by')}: {m.get('text')}" for m in data.get("messages") or ()]
    return [(one_line(f"reads {'; '.join(texts)}", 300), "cyan")]


def _signal(data: Data) -> list[Span]:
    return [(one_line(f"{told(data)} by {data.get('by')}", 300), "yellow")]


def told(signal: Data) -> str:
    """Say what a signal says."""
    match signal.get("signal"):
        case "event":
            return f"event '{signal.get('event')}' told"
        case "message":
            to = f" to {signal['to']}" if signal.get("to") else ""
            return f"message{to}: {signal.get('text')}; told"
        case kind:
            return f"{kind} asked for"


def _again(data: Data) -> list[Span]:
    return [(f"iteration {data.get('number')}: {one_line(str(data.get('reason', '')), 300)}", "yellow")]


def _conflict(data: Data) -> list[Span]:
    why = one_line(str(data.get("why", "")), 200)
    return [(f"conflict: {data.get('chosen')} counts, by {data.get('rule')}: {why}", "yellow")]


def untold(data: Data) -> Span | None:
    """Say that nobody could be told of a question by some channel; `None` where somebody was."""
    if data.get("outcome") == "told":
        return None
    tries = count(int(data.get("attempts") or 0), "try").replace("trys", "tries")
    why = one_line(str(data.get("why", "")), 200)
    return f"nobody could be told by {data.get('by')} ({tries}): {why}", "yellow"


def _told(data: Data) -> list[Span] | None:
    said = untold(data)
    return [said] if said else None


def _planned(data: Data) -> list[Span]:
    tasks = [as_object(each) for each in data.get("tasks") or ()]
    said = ", ".join(f"{task.get('name')} ({task.get('agent')})" for task in tasks)
    return [(f"planned by {data.get('by')}: ", "cyan"), (one_line(said, 300), "")]


def _plan_failed(data: Data) -> list[Span]:
    return [(f"is planned anew: {one_line(str(data.get('why', '')), 300)}", "yellow")]


def _message(data: Data) -> list[Span] | None:
    if data.get("kind") not in ("message", "handoff", "failure") or "at" not in as_object(data.get("data")):
        return None  # a task's, or between colleagues
    way = f"{data.get('sender')} → {data.get('to')}: "
    style = "yellow" if data.get("kind") == "failure" else "cyan"
    return [(way, style), (one_line(str(data.get("content", "")), 200), "")]


def _undone(data: Data) -> list[Span] | None:
    if "of" not in data:
        return None if "undone" in data else [("undo failed", "red")]
    return [(f"undo of {data['of']}() by {data.get('tool')}()", ""), (" → ok", "green")]


def _giving_up(data: Data) -> list[Span] | None:
    return (
        [(f"given up: {count(len(data.get('calls') or ()), 'effect')} to undo", "yellow")]
        if "scope" in data
        else None
    )


SAYINGS: Mapping[str, Callable[[Data], list[Span] | None]] = {
    "model.finished": _model_failed,
    "guardrail.checked": _guardrail,
    "iteration.started": _again,
    "message.recorded": _message,
    "plan.proposed": _planned,
    "plan.failed": _plan_failed,
    "conflict.resolved": _conflict,
    "wait.finished": _waited,
    "wait.refused": _refused,
    "inbox.read": _inbox,
    "run.signal": _signal,
    "retry.scheduled": _retry,
    "journal.slow": slow,
    "limit.exceeded": _limit,
    "approval.told": _told,
    "approval.decided": _decided,
    "note": _note,
    "undo.started": _giving_up,
    "undo.finished": _undone,
}
"""Type of an event to what its data says, without marks and names; `None` for what nobody needs to hear."""


def changes_of(data: Data) -> str:
    """Say what a fork or a resume found changed, what it does again, and which effects may happen again by that."""
    changed = [f"{name} ({what})" for name, what in as_object(data.get("changed")).items()]
    parts = (
        ("changed since", changed),
        ("done again", data.get("forgets") or ()),
        ("which may repeat", data.get("repeats") or ()),
    )
    return "".join(f"; {label}: {', '.join(map(str, names))}" for label, names in parts if names)


def forked_at(data: Data) -> str:
    """Say which run a fork shares, and up to where."""
    where = ", ".join(map(str, data.get("at") or ())) or "its end"
    return f"{data.get('origin')} at {where}"


def models_of(started: Data) -> list[str]:
    """Return the names of the models that a run uses, from its `run.started`."""
    names: dict[str, None] = {}
    specs = as_object(started.get("models"))
    # Other places stand for colleagues and the coordinator, who may never be asked.
    for spec in [spec for path, spec in specs.items() if path and "@" not in path] or specs.values():
        given = as_object(spec).get("name", spec)
        if "capable" in as_object(spec):
            given = _capable(as_object(spec))
        names |= dict.fromkeys(
            map(str, cast("list[Any]", given)) if isinstance(given, list) else [str(given)]
        )
    return list(names)


def _capable(spec: Data) -> str:
    """Say what a model has to be able to do, in a list of models."""
    prefer = str(spec.get("prefer") or "listed")
    what = " and ".join(map(str, cast("list[Any]", spec.get("capable") or ()))) or "anything"
    return f"one for {what}{'' if prefer == 'listed' else f' ({prefer} first)'}"


def why_of(data: Data) -> str:
    """Return why a task ended as it did, from its `task.finished`."""
    error = as_object(data.get("error"))
    return str(error.get("message") or data.get("why") or "")
