"""A run as a file that people read: what its models, tools and people said, one block per call.

Holds what a replay needs and nothing that changes by itself from one recording to the next (times, durations, costs,
the order in which parallel branches came), so that two recordings of a crew differ where the crew went another way.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import yaml

from crewkit.core.events import Event, defined
from crewkit.core.messages import ChatMessage
from crewkit.errors import InputError
from crewkit.journal.forget import rank, standing
from crewkit.journal.read import beginning

VERSION = 1
"""Of the file. A reader refuses a newer one by name."""

Data = dict[str, Any]

_HEAD = "# What was said in a run. Compare the crew with it: crewkit replay FILE\n"

_ANEW = frozenset(
    [
        *("run.started", "run.forked", "run.resumed", "run.paused", "journal.damaged", "note"),
        *("task.started", "task.left", "agent.started", "agent.finished", "round.closed", "decision.made"),
        *("iteration.started", "iteration.finished", "guardrail.checked", "condition.checked"),
        *("retry.scheduled", "breaker.changed", "limit.exceeded", "memory.searched", "memory.written"),
    ]
)
"""Types of events that a replay says anew, or that change by themselves."""

_CALLS = frozenset(["model.started", "model.finished", "tool.started", "tool.finished"])
_BEGUN = ("target", "models", "tasks", "events", "definitions")
"""What is kept of a run's beginning, besides its crew and its inputs."""
_NOISE = frozenset(["seconds", "usd", "reserved", "key", "received", "selected"])
"""What changes by itself, or what nobody compares."""
_USUAL: dict[str, Data] = {
    "model.started": {"temperature": None, "last": False},
    "model.finished": {"usd": 0.0, "seconds": 0.0},
    "tool.started": {"idempotent": False},
}
"""What a call says unless the file says otherwise. A recorded answer costs nothing."""
_ODD_BREAK = re.compile("[\r\x85\u2028\u2029]")
_TIMED = frozenset(["run.signal", "approval.decided"])
"""Types of events whose time counts: a deadline is compared with it."""
_ROLES = ("system", "user", "assistant", "tool")
_OF_THE_EVENT = ("id", "role", "content", "compressed_from")
"""What `message.recorded` says besides the message, or under another name."""
_WIDTH = 100
"""Characters up to which something is written on one line."""


def write_cassette(events: Iterable[Event]) -> str:
    """Write a run down.

    Args:
        events: All of the run's events, redacted as the journal holds them.
    """
    history = list(events)
    begun = beginning(history)
    run = history[-1].run if history else ""
    order = {str(task.get("name")): i for i, task in enumerate(begun.get("tasks") or ())}
    counted = sorted(
        (event for event in standing(history).events if event.type not in _ANEW),
        key=lambda event: _place(order, event),
    )
    whole = {
        "cassette": VERSION,
        "crew": begun.get("crew", ""),
        "run": run,
        "inputs": begun.get("inputs", {}),
        "steps": list(_Writing(run, counted).blocks()),
        "begun": {name: begun[name] for name in _BEGUN if begun.get(name)},
    }
    return _HEAD + yaml.dump(
        whole, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH, default_flow_style=False
    )


def read_cassette(text: str, name: str) -> list[Event]:
    """Return the events that `write_cassette` wrote down, as far as a replay needs them.

    Args:
        text: What the file holds.
        name: How people call it.

    Raises:
        InputError: It is no cassette, or a newer crewkit wrote it.
    """
    try:
        data: Any = yaml.load(text, Loader=_Loader)  # noqa: S506  a safe loader
        return list(_events(data))
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(f"{name} is no cassette that can be read: {_why(error)}") from error
    except InputError as error:
        raise InputError(f"{name}: {error}") from error


# Writing

_Rank = tuple[int, int, list[tuple[int, str]], int]
_LAST: _Rank = (99, 0, [], 0)


class _Writing:
    """The steps of a run, on their way into blocks."""

    def __init__(self, run: str, events: Sequence[Event]) -> None:
        self._run = run
        self._events = events
        self._messages = {
            str(event.data["id"]): event.data
            for event in events
            if event.type == "message.recorded" and "role" in event.data
        }
        self._said: dict[tuple[str, str], str] = {}
        """Task and message to the step whose answer it was."""

    def blocks(self) -> Iterator[Data]:
        calls: dict[str, Data] = {}
        for event in self._events:
            if event.type in _CALLS:
                self._call(calls.setdefault(event.path, self._block(event)), event)
        done: set[str] = set()
        for event in self._events:
            if event.type in _CALLS and event.path not in done:
                done.add(event.path)
                yield calls[event.path]
            elif event.type not in _CALLS and _counts(event):
                yield {**self._block(event), "event": event.type, "data": _stable(event.data)}

    def _block(self, event: Event) -> Data:
        block: Data = {"at": event.path} if event.path else {}
        if event.task != _task_of(event.path):
            block["task"] = event.task
        if event.agent:
            block["agent"] = event.agent
        if event.run != self._run:
            block["of"] = event.run
        if event.type in _TIMED:
            block["when"] = event.ts
        return block

    def _call(self, block: Data, event: Event) -> None:
        """Add to a block what was asked or answered; of several attempts the last counts."""
        kind, _, what = event.type.partition(".")
        if kind != _kind(event.path):
            block["kind"] = kind
        data = _without(_stable(event.data), _USUAL.get(event.type, {}))
        if what == "started":
            sent: Data = dict(data.pop("messages", None) or {})
            if sent:
                block["asked"] = [self._message(event, str(id)) for id in sent.pop("new", ())]
                sent = {name: value for name, value in sent.items() if name != "count" and value}
            block["request"] = data | ({"messages": sent} if sent else {})
        elif "failed" in data:
            block["failed"] = data["failed"]
        else:
            block.pop("failed", None)
            if (id := data.pop("message", None)) is not None:
                block["answered"] = self._message(event, str(id), answer=True)
            block["result"] = _without(data, _implied(block))

    def _message(self, event: Event, id: str, *, answer: bool = False) -> Data:
        """Return a message as people read it; where it is an answer of this task, where that is."""
        mark = (event.task, id)
        if answer:
            self._said.setdefault(mark, event.path)
        elif mark in self._said:
            return {"answer of": self._said[mark]}
        data = self._messages.get(id)
        if data is None:
            return {"id": id}
        said = {str(data["role"]): data["content"]}
        return said | {name: value for name, value in data.items() if name not in _OF_THE_EVENT}


def _counts(event: Event) -> bool:
    match event.type:
        case "message.recorded":
            return bool(event.data.get("compressed_from"))
        case "tool.checked":
            return bool(event.data.get("counted"))
        case _:
            return True


def _stable(data: Data) -> Data:
    """Return an event's data without what changes from one recording to the next."""
    left = {name: value for name, value in data.items() if name not in _NOISE}
    if "status" in left:  # of a task or of the run: it holds seconds, and the order in which tasks ended
        return {name: value for name, value in left.items() if name not in ("usage", "report")}
    return left


def _implied(block: Data) -> Data:
    """Return what is in a result unless it says something else."""
    request: Data = block.get("request") or {}
    implied = {name: request[name] for name in ("tool", "model", "fingerprint") if name in request}
    said: Data = block.get("answered") or {}
    if "assistant" in said:
        implied["finish_reason"] = "tool_calls" if said.get("tool_calls") else "stop"
    if "tool" in said and said.get("label"):
        implied["label"] = said["label"]
    return implied


def _without(data: Data, implied: Data) -> Data:
    return {name: value for name, value in data.items() if name not in implied or implied[name] != value}


def _place(order: Mapping[str, int], event: Event) -> tuple[int, list[_Rank]]:
    """Order events as the crew's tasks stand, in each as an agent goes, and its end last."""
    if not event.path:
        return (len(order) + 1 if event.type == "run.finished" else -1), []
    segments = event.path.split("/")
    ranks = [_rank(segment) for segment in segments]
    if event.type == "task.finished":
        ranks.append(_LAST)
    return order.get(defined(segments[0]), len(order)), ranks


def _rank(segment: str) -> _Rank:
    name, _, number = segment.partition("#")
    parts = [part for part in re.split(r"(\d+)", name) if part]
    natural = [(int(part), "") if part.isdecimal() else (0, part) for part in parts]
    return *rank(name), natural, int(number) if number.isdecimal() else 1


def _kind(path: str) -> str:
    """Return what kind of call a path names: `draft/2/tool:0` is one of a tool."""
    return path.rpartition("/")[2].partition(":")[0]


def _task_of(path: str) -> str:
    """Return the task in which a call most likely is: `draft/2/model` is in `draft`."""
    return path.rsplit("/", 2)[0] if path.count("/") > 1 else path


# Reading


def _events(data: Any) -> Iterator[Event]:
    if not isinstance(data, dict) or "cassette" not in data:
        raise InputError("it is no cassette. Make one: crewkit export RUN --format cassette -o FILE")
    whole = cast("Data", data)
    version = int(whole["cassette"])
    if version > VERSION:
        raise InputError(f"it has version {version}; this crewkit knows {VERSION}. Upgrade crewkit.")
    rest: Data = whole.get("begun") or {}
    given: Data = {"models": {}, "definitions": {}, "tasks": [], "inputs": whole.get("inputs") or {}}
    steps: list[Data] = whole.get("steps") or []
    yield from _Reading(str(whole["run"])).events({"crew": whole["crew"], **given, **rest}, steps)


class _Reading:
    """Blocks, on their way back into events."""

    def __init__(self, run: str) -> None:
        self._run = run
        self._seq = 0
        self._answers: dict[str, str] = {}
        """Path to the id of the message that was said there."""

    def events(self, begun: Data, blocks: Sequence[Data]) -> Iterator[Event]:
        yield self._event({}, "run.started", begun)
        for block in blocks:
            if "event" in block:
                yield self._event(block, block["event"], block["data"])
            else:
                yield from self._call(block)

    def _call(self, block: Data) -> Iterator[Event]:
        kind = block.get("kind") or _kind(block["at"])
        if (request := block.get("request")) is not None:
            if "asked" in block:
                ids: list[str] = []
                for message in block["asked"]:
                    yield from self._said(block, message, ids)
                sent: Data = request.get("messages") or {}
                request = {**request, "messages": {"new": ids, **sent}}
            yield self._event(block, f"{kind}.started", _filled(request, f"{kind}.started"))
        if "failed" in block:
            yield self._event(block, f"{kind}.finished", {"failed": block["failed"]})
        elif "result" in block:
            result = _filled({**_implied(block), **block["result"]}, f"{kind}.finished")
            if "answered" in block:
                ids = []
                yield from self._said(block, block["answered"], ids)
                self._answers[block["at"]] = result["message"] = ids[0]
            yield self._event(block, f"{kind}.finished", result)

    def _said(self, block: Data, message: Data, ids: list[str]) -> Iterator[Event]:
        """Yield the event that records a message, where it is one of its own, and note its id."""
        role = next((role for role in _ROLES if role in message), None)
        if role is None:
            ids.append(str(message["id"]) if "id" in message else self._answers[message["answer of"]])
            return
        data: Data = {"role": role, "content": message[role]}
        data |= {name: value for name, value in message.items() if name != role}
        id = ChatMessage.from_data(data).id()
        ids.append(id)
        yield self._event(block, "message.recorded", {"id": id, **data})

    def _event(self, block: Data, type: str, data: Data) -> Event:
        self._seq += 1
        path, when = block.get("at", ""), block.get("when", "")
        task = block.get("task", _task_of(path))
        run, agent = block.get("of", self._run), block.get("agent", "")
        return Event(run, self._seq, type, when, 0.0, "s-cassette", path, task, agent, 1, data)


def _filled(data: Data, type: str) -> Data:
    """Return what a call says, with what the file left out as usual."""
    return data | {name: value for name, value in _USUAL.get(type, {}).items() if name not in data}


def _why(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"{error} is missing."
    return " ".join(str(error).split()) or type(error).__name__


# YAML


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as they are, and what is short on one line."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: FBT001, FBT002
        super().increase_indent(flow, indentless)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    # What YAML takes for an end of a line besides \n would be read as one.
    style = '"' if _ODD_BREAK.search(text) else "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)  # pyright: ignore[reportUnknownMemberType]


def _mapping(dumper: yaml.SafeDumper, data: Data) -> yaml.Node:
    node = dumper.represent_mapping("tag:yaml.org,2002:map", data.items())
    node.flow_style = _is_short(data)
    return node


def _list(dumper: yaml.SafeDumper, data: list[Any]) -> yaml.Node:
    node = dumper.represent_sequence("tag:yaml.org,2002:seq", data)
    node.flow_style = _is_short(data)
    return node


def _is_short(value: Any) -> bool:
    """Say whether something fits on one line; a call never does."""
    if isinstance(value, dict) and not {"at", "event", *_ROLES}.isdisjoint(cast("Data", value)):
        return False
    text = json.dumps(value, ensure_ascii=False)
    return len(text) < _WIDTH - 20 and "\\n" not in text


_Dumper.add_representer(str, _text)
_Dumper.add_representer(dict, _mapping)
_Dumper.add_representer(list, _list)


class _Loader(yaml.SafeLoader):
    """Reads JSON's values and no others: a date is a text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
