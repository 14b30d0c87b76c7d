"""A run's events as spans, with ids that follow from the run and the path: the same in every export.

A span for the run, each task, each agent, each attempt at a model call or a tool call, each search of memory, each
verdict and each question to a person. Usage stands on the chat spans alone, or it would be counted twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import Any, cast

from crewkit.core.events import Event, span_id
from crewkit.journal.read import beginning, ending
from crewkit.journal.tree import Attempt, Node, tree
from crewkit.traces import names

Data = Mapping[str, Any]
Value = str | bool | int | float | Sequence[str]

LONGEST = 60_000
"""Characters of one attribute; what is longer is cut, so that no span outgrows a batch."""


@dataclass(frozen=True, slots=True)
class Span:
    """One span, as any exporter needs it."""

    id: str
    """16 hex digits."""
    parent: str
    """Empty for the run itself."""
    name: str
    start: int
    """Nanoseconds since 1970, in UTC."""
    end: int
    attributes: dict[str, Value]
    error: str = ""
    """Why it failed; empty where it did not."""
    events: Sequence[tuple[str, int, dict[str, Value]]] = field(default=())


def trace_id(run: str) -> str:
    """Return the trace id of a run: 32 hex digits."""
    return blake2b(run.encode(), digest_size=16).hexdigest()


def spans(events: Sequence[Event], *, content: bool = True) -> list[Span]:
    """Return a run's spans, parents first.

    Args:
        events: All the events of the run.
        content: With what was said, called and returned; otherwise figures, names and verdicts alone.
    """
    run = events[-1].run
    maker = _Maker(run, {}, content)
    root = tree(events, alive=False)
    for event in root.all_events():
        if event.type == "message.recorded" and "role" in event.data:
            maker.messages[event.task, str(event.data.get("id"))] = event.data
    return list(maker.of(root, ""))


@dataclass(frozen=True)
class _Maker:
    run: str
    messages: dict[tuple[str, str], Data]
    content: bool

    def of(self, node: Node, parent: str) -> Iterator[Span]:
        """Yield a node's spans and those below it."""
        made = list(self._own(node, parent))
        yield from made
        # What has several spans, its attempts, holds its steps under the newest.
        below = made[-1].id if made else parent
        for event in node.events:
            if event.type in ("memory.searched", "memory.recalled"):
                yield self._search(event, below)
            elif event.type in ("guardrail.checked", "condition.checked"):
                yield self._check(event, below)
        for child in node.children:
            yield from self.of(child, below)

    def _own(self, node: Node, parent: str) -> Iterator[Span]:
        makers: Mapping[str, Callable[[Node, str], Iterator[Span]]] = {
            "run": self._run,
            "task": self._task,
            "iteration": self._part,
            "fallback": self._fallback,
            "model": self._model,
            "summary": self._model,
            "tool": self._tool,
            "ask": self._ask,
        }
        if make := makers.get(node.kind):
            yield from make(node, parent)
        elif node.kind == "step" and any(child.kind == "turn" for child in node.children):
            attributes: dict[str, Value] = {names.OPERATION: names.INVOKE_AGENT, names.AGENT: node.title}
            yield self._span(node, parent, f"{names.INVOKE_AGENT} {node.title}", names.AGENT_KIND, attributes)

    def _run(self, node: Node, parent: str) -> Iterator[Span]:
        end = ending(node.events)
        attributes: dict[str, Value] = {
            names.OPERATION: names.INVOKE_WORKFLOW,
            names.WORKFLOW: node.title,
            names.STATUS: node.status,
            **self._said(names.INPUT, beginning(node.events).get("inputs")),
            **self._said(names.OUTPUT, end.output),
        }
        error = end.why if end.status in ("failed", "denied", "limit", "cancelled") else ""
        name = f"{names.INVOKE_WORKFLOW} {node.title}"
        yield self._span(node, parent, name, names.CHAIN_KIND, attributes, error)

    def _task(self, node: Node, parent: str) -> Iterator[Span]:
        finished, name = node.data("task.finished"), node.path.rpartition("/")[2]
        agent = str(node.data("task.started").get("agent") or node.agent)
        by_agent = any(event.type == "agent.started" for event in node.events)
        assigned = next(
            (e.data.get("content") for e in node.events if e.data.get("kind") == "assignment"), None
        )
        attributes: dict[str, Value] = {
            names.TASK: node.path,
            names.STATUS: node.status,
            **self._said(names.INPUT, assigned),
            **self._said(names.OUTPUT, finished.get("output")),
        }
        if by_agent:
            attributes |= {names.OPERATION: names.INVOKE_AGENT, names.AGENT: agent}
        else:
            attributes |= {names.OPERATION: names.INVOKE_WORKFLOW, names.WORKFLOW: name}
        title = f"{names.INVOKE_AGENT} {agent}" if by_agent else f"{names.INVOKE_WORKFLOW} {name}"
        kind = names.AGENT_KIND if by_agent else names.CHAIN_KIND
        failed = str(_object(finished.get("error")).get("message") or "") if node.status == "failed" else ""
        yield self._span(node, parent, title, kind, attributes, failed)

    def _part(self, node: Node, parent: str) -> Iterator[Span]:
        yield self._span(node, parent, node.title, names.CHAIN_KIND, {names.STATUS: node.status})

    def _fallback(self, node: Node, parent: str) -> Iterator[Span]:
        attributes: dict[str, Value] = {names.OPERATION: names.INVOKE_AGENT, names.AGENT: node.agent}
        yield self._span(node, parent, f"{names.INVOKE_AGENT} {node.title}", names.AGENT_KIND, attributes)

    def _model(self, node: Node, parent: str) -> Iterator[Span]:
        for attempt in node.attempts:
            started, finished = attempt.started.data, attempt.finished.data if attempt.finished else {}
            model = str(finished.get("model") or started.get("model") or "")
            attributes: dict[str, Value] = {
                names.OPERATION: names.CHAT,
                names.PROVIDER: model.partition("/")[0] if "/" in model else "crewkit",
                names.AGENT: node.agent,
                names.REQUEST_MODEL: str(started.get("model") or model),
                names.RESPONSE_MODEL: model,
                names.MODEL_NAME: model,
                **_usage(finished),
                **self._chat(node, started, finished),
            }
            for name, key in ((names.TEMPERATURE, "temperature"), (names.MAX_TOKENS, "max_tokens")):
                if started.get(key) is not None:
                    attributes[name] = started[key]
            if reason := finished.get("finish_reason"):
                attributes[names.FINISH_REASONS] = [str(reason)]
            yield self._attempt(node, attempt, parent, f"{names.CHAT} {model}", names.LLM_KIND, attributes)

    def _chat(self, node: Node, started: Data, finished: Data) -> dict[str, Value]:
        """Return what is new in a turn and what was answered. What was sent before stands on the chats before."""
        if not self.content:
            return {}
        ids = _object(started.get("messages")).get("new") or ()
        sent = [self.messages[key] for id in ids if (key := (node.task, str(id))) in self.messages]
        answer = self.messages.get((node.task, str(finished.get("message"))))
        found: dict[str, Value] = {names.INPUT_MESSAGES: _json([_message(each) for each in sent])}
        if answer:
            reason = str(finished.get("finish_reason") or "stop")
            found[names.OUTPUT_MESSAGES] = _json([_message(answer) | {"finish_reason": reason}])
        return found

    def _tool(self, node: Node, parent: str) -> Iterator[Span]:
        asked = node.data("tool.started", "tool.checked")
        tool = str(asked.get("tool") or node.title)
        for attempt in node.attempts:
            finished = attempt.finished.data if attempt.finished else {}
            message = self.messages.get((node.task, str(finished.get("message"))), {})
            arguments, result = asked.get("arguments"), message.get("content", finished.get("output"))
            attributes: dict[str, Value] = {
                names.OPERATION: names.EXECUTE_TOOL,
                names.TOOL: tool,
                names.TOOL_NAME: tool,
                names.TOOL_TYPE: "function",
                names.AGENT: node.agent,
                names.STATUS: attempt.status,
                names.EFFECTS: [str(effect) for effect in asked.get("effects") or ()],
                **self._said(names.INPUT, arguments),
                **self._said(names.OUTPUT, result),
                **self._said(names.TOOL_ARGUMENTS, arguments),
                **self._said(names.TOOL_RESULT, result),
            }
            title = f"{names.EXECUTE_TOOL} {tool}"
            yield self._attempt(node, attempt, parent, title, names.TOOL_KIND, attributes)

    def _ask(self, node: Node, parent: str) -> Iterator[Span]:
        decided = node.data("approval.decided")
        attributes: dict[str, Value] = {
            names.DECISION: str(decided.get("decision") or "open"),
            names.DECIDED_BY: str(decided.get("by") or ""),
            **self._said(names.INPUT, node.data("approval.requested").get("question")),
            **self._said(names.OUTPUT, decided.get("note")),
        }
        yield self._span(node, parent, "approval", names.CHAIN_KIND, attributes)

    def _search(self, event: Event, parent: str) -> Span:
        attributes: dict[str, Value] = {
            names.OPERATION: names.SEARCH_MEMORY,
            **self._said(names.INPUT, event.data.get("query")),
        }
        for i, hit in enumerate(event.data.get("hits") or ()):
            attributes[names.DOCUMENT.format(i=i, what="id")] = str(hit.get("id") or "")
            attributes[names.DOCUMENT.format(i=i, what="score")] = float(hit.get("score") or 0)
            if self.content:
                place = {key: hit[key] for key in ("source", "start", "end") if hit.get(key) is not None}
                attributes[names.DOCUMENT.format(i=i, what="metadata")] = _json(place)
        return self._moment(event, parent, names.SEARCH_MEMORY, names.RETRIEVER_KIND, attributes)

    def _check(self, event: Event, parent: str) -> Span:
        data = event.data
        name = str(data.get("guardrail") or data.get("condition") or "check")
        attributes: dict[str, Value] = {names.VERDICT: str(data.get("verdict") or "")}
        if self.content and data.get("why"):
            attributes[names.WHY] = str(data["why"])[:LONGEST]
        return self._moment(event, parent, f"guardrail {name}", names.GUARDRAIL_KIND, attributes)

    # How

    def _said(self, name: str, value: Any) -> dict[str, Value]:
        if not self.content or value is None:
            return {}
        text = value if isinstance(value, str) else _json(value)
        kinds = {names.INPUT: names.INPUT_TYPE, names.OUTPUT: names.OUTPUT_TYPE}
        kind = "text/plain" if isinstance(value, str) else "application/json"
        return {name: _cut(text), **({kinds[name]: kind} if name in kinds else {})}

    def _common(self, path: str, kind: str) -> dict[str, Value]:
        run = self.run
        return {
            names.KIND: kind,
            names.RUN: run,
            names.PATH: path,
            names.SESSION: run,
            names.CONVERSATION: run,
        }

    def _span(
        self, node: Node, parent: str, name: str, kind: str, attributes: dict[str, Value], error: str = ""
    ) -> Span:
        first, last = node.first, node.last
        start, end = (_nanoseconds(each.ts) if each else 0 for each in (first, last))
        id = span_id(self.run, node.path)
        attributes = self._common(node.path, kind) | attributes
        return Span(id, parent, name, start, max(end, start), attributes, error)

    def _attempt(
        self, node: Node, attempt: Attempt, parent: str, name: str, kind: str, attributes: dict[str, Value]
    ) -> Span:
        """Return the span of one try; the first has the id of the step."""
        path = node.path if attempt is node.attempts[0] else f"{node.path}@{attempt.number}"
        start = _nanoseconds(attempt.started.ts)
        end = _nanoseconds(attempt.finished.ts) if attempt.finished else start
        finished = attempt.finished.data if attempt.finished else {}
        failed = _object(finished.get("failed")) or _object(finished.get("error"))
        error = "" if attempt.status in ("completed", "ok") else str(failed.get("message") or attempt.status)
        if error:
            attributes[names.ERROR_TYPE] = str(failed.get("type") or attempt.status)
        tries: list[tuple[str, int, dict[str, Value]]] = [
            (event.type, _nanoseconds(event.ts), {"why": str(event.data.get("why") or "")})
            for event in node.events
            if event.type == "retry.scheduled" and event.attempt == attempt.number
        ]
        attributes = self._common(node.path, kind) | attributes
        return Span(
            span_id(self.run, path), parent, name, start, max(end, start), attributes, error, tuple(tries)
        )

    def _moment(self, event: Event, parent: str, name: str, kind: str, attributes: dict[str, Value]) -> Span:
        at = _nanoseconds(event.ts)
        id = span_id(self.run, f"{event.path}@{event.type}:{event.seq}")
        return Span(id, parent, name, at, at, self._common(event.path, kind) | attributes)


def _usage(finished: Data) -> dict[str, Value]:
    usage = _object(finished.get("usage"))
    if not usage:
        return {}
    given, made, cached = (int(usage.get(f"{what}_tokens") or 0) for what in ("input", "output", "cached"))
    found: dict[str, Value] = {
        names.INPUT_TOKENS: given,
        names.OUTPUT_TOKENS: made,
        names.CACHED_TOKENS: cached,
        names.PROMPT_TOKENS: given,
        names.COMPLETION_TOKENS: made,
        names.TOTAL_TOKENS: given + made,
        names.PROMPT_CACHED: cached,
    }
    return found | ({names.COST: float(finished["usd"])} if finished.get("usd") is not None else {})


def _message(data: Data) -> dict[str, Any]:
    """Return a message in the form of the conventions: a role and parts."""
    parts: list[Data] = []
    if data.get("role") == "tool":
        parts.append(
            {"type": "tool_call_response", "id": data.get("tool_call_id"), "response": data.get("content")}
        )
    elif data.get("content"):
        parts.append({"type": "text", "content": data["content"]})
    for call in data.get("tool_calls") or ():
        parts.append(
            {
                "type": "tool_call",
                "id": call.get("id"),
                "name": call.get("name"),
                "arguments": call.get("arguments"),
            }
        )
    return {"role": data.get("role"), "parts": [_shorter(part) for part in parts]}


def _shorter(part: Data) -> Data:
    return {key: _cut(value) if isinstance(value, str) else value for key, value in part.items()}


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… [{len(text) - LONGEST} more characters]"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _nanoseconds(ts: str) -> int:
    try:
        moment = datetime.fromisoformat(ts)
    except ValueError:
        return 0
    return int(moment.timestamp()) * 1_000_000_000 + moment.microsecond * 1000


def _object(value: Any) -> Data:
    return cast("Data", value) if isinstance(value, dict) else {}
