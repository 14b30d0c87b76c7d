"""The chat-completions protocol: what goes over the wire, written and read. No network here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn, cast

from crewkit.core.messages import ChatMessage, ToolCall
from crewkit.errors import ModelError
from crewkit.models.base import Answer, Request, ToolSpec, Usage
from crewkit.models.tokens import estimate_usage

Data = dict[str, Any]

KEPT = 4096
"""Encoded messages and tool lists kept, per encoder."""

LARGEST = 8_000_000
"""Bytes of the largest answer that is taken."""

_FINISHED = {"stop": "stop", "length": "length", "content_filter": "content_filter", "max_tokens": "length"}


class Encoder:
    """Writes requests as JSON. A history is sent again at every turn, so what was written once is kept."""

    def __init__(self, model: str, *, max_tokens: str = "max_tokens") -> None:
        self._head = f'{{"model":{_dumps(model)},"messages":['
        self._max_tokens = max_tokens
        self._known: dict[int, tuple[object, str]] = {}

    def encode(self, request: Request, *, stream: bool) -> bytes:
        """Return the body of a request."""
        parts = [self._head, ",".join([self._message(message) for message in request.messages]), "]"]
        if request.tools:
            parts.append(f',"tools":[{self._tools(request.tools)}]')
        parts.append(f',"{self._max_tokens}":{request.max_tokens}')
        if request.temperature is not None:
            parts.append(f',"temperature":{request.temperature}')
        if stream:
            parts.append(',"stream":true,"stream_options":{"include_usage":true}')
        parts.append("}")
        return "".join(parts).encode("utf-8", "replace")  # a lone surrogate must not stop a run

    def _message(self, message: ChatMessage) -> str:
        known = self._known.get(id(message))
        if known is not None and known[0] is message:
            return known[1]
        return self._keep(message, _dumps(message_data(message)))

    def _tools(self, tools: tuple[ToolSpec, ...]) -> str:
        known = self._known.get(id(tools))
        if known is not None and known[0] is tools:
            return known[1]
        return self._keep(tools, ",".join(_dumps(tool_data(tool)) for tool in tools))

    def _keep(self, what: object, text: str) -> str:
        if len(self._known) >= KEPT:
            self._known.clear()
        self._known[id(what)] = (what, text)
        return text


def message_data(message: ChatMessage) -> Data:
    """Return a message as the protocol has it."""
    data: Data = {"role": message.role, "content": message.content}
    if message.tool_calls:
        data["content"] = message.content or None
        data["tool_calls"] = [
            {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments}}
            for c in message.tool_calls
        ]
    if message.role == "tool":
        data["tool_call_id"] = message.tool_call_id
    return data


def tool_data(tool: ToolSpec) -> Data:
    """Return a tool as the protocol has it."""
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}


def read_completion(completion: Data, request: Request) -> Answer:
    """Read a whole completion.

    Raises:
        ModelError: It is no completion, or one of its tool calls cannot be understood.
    """
    choice = _mapping(next(iter(_list(completion.get("choices"))), None))
    if choice is None:
        broken("an answer without choices", completion)
    message = _mapping(choice.get("message"))
    if message is None:
        broken("a choice without a message", completion)
    turn = sum(one.role == "assistant" for one in request.messages)
    calls = read_calls(_list(message.get("tool_calls")), turn)
    finished = _FINISHED.get(str(choice.get("finish_reason")), "stop")
    answer = Answer(
        content=read_text(message.get("content")) or read_text(message.get("refusal")),
        tool_calls=calls,
        finish_reason="tool_calls" if calls and finished == "stop" else finished,
    )
    if len(answer.content) + sum(len(call.arguments) for call in calls) > LARGEST:
        raise ModelError(f"sent more than {LARGEST:,} bytes.")
    usage = read_usage(_mapping(completion.get("usage"))) or estimate_usage(request, answer)
    return Answer(
        answer.content,
        calls,
        usage,
        model=str(completion.get("model") or ""),
        finish_reason=answer.finish_reason,
    )


def read_text(content: object) -> str:
    """Return the text of a content: a string, nothing, or a list of parts."""
    if isinstance(content, str):
        return content
    parts = [_mapping(part) for part in _list(content)]
    return "".join(text for part in parts if part and isinstance(text := part.get("text"), str))


def read_calls(calls: list[Any], turn: int) -> tuple[ToolCall, ...]:
    """Read tool calls. One without an id gets `call-<turn>-<place>`; a second of the same id, a suffix.

    Raises:
        ModelError: A call has no name, or arguments that are not text.
    """
    read: list[ToolCall] = []
    taken: set[str] = set()
    for place, one in enumerate(calls):
        function = _mapping((_mapping(one) or {}).get("function"))
        if function is None or not isinstance(name := function.get("name"), str) or not name:
            broken("a tool call without a name", one)
        arguments = function.get("arguments")
        if arguments is not None and not isinstance(arguments, str):
            broken(f"a call of '{name}' whose arguments are not text", one)
        given = one.get("id")
        unique = str(given) if given else f"call-{turn}-{place}"
        while unique in taken:
            unique = f"{unique}-{place}"
        taken.add(unique)
        read.append(ToolCall(unique, name, "{}" if arguments is None else arguments))
    return tuple(read)


def read_usage(usage: Mapping[str, Any] | None) -> Usage | None:
    """Read the tokens counted by the provider; `None` where it counted none."""
    if not usage:
        return None
    details = _mapping(usage.get("prompt_tokens_details")) or {}
    read = Usage(
        *(
            _count(n)
            for n in (
                usage.get("prompt_tokens"),
                usage.get("completion_tokens"),
                details.get("cached_tokens"),
            )
        )
    )
    return read if read.tokens else None


class Assembly:
    """A completion put together from the chunks of its stream."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._calls: dict[int, Data] = {}
        self._frame: Data = {}
        self._usage: object = None
        self._finished: object = None
        self.done = False
        """The end was announced; what is there is the whole answer."""

    def add(self, chunk: Data) -> str:
        """Take a chunk in; return the text it adds."""
        self._usage = chunk.get("usage") or self._usage
        self._frame = self._frame or chunk
        choice = _mapping(next(iter(_list(chunk.get("choices"))), None)) or {}
        if choice.get("finish_reason"):
            self._finished = choice["finish_reason"]
            self.done = True
        delta = _mapping(choice.get("delta")) or {}
        for piece in _list(delta.get("tool_calls")):
            self._call(_mapping(piece) or {})
        text = read_text(delta.get("content"))
        self._texts.append(text)
        return text

    def completion(self) -> Data:
        """Return the completion as if it had come in one piece."""
        message: Data = {
            "content": "".join(self._texts),
            "tool_calls": [self._calls[i] for i in sorted(self._calls)],
        }
        choice: Data = {"message": message, "finish_reason": self._finished}
        return {"choices": [choice], "usage": self._usage, "model": self._frame.get("model")}

    def _call(self, piece: Mapping[str, Any]) -> None:
        index = piece.get("index")
        if not isinstance(index, int):  # some servers leave it out: then an id begins the next call
            index = max(self._calls, default=-1) + (1 if piece.get("id") or not self._calls else 0)
        call = self._calls.setdefault(index, {"function": {}})
        if piece.get("id"):
            call["id"] = piece["id"]
        for key, value in (_mapping(piece.get("function")) or {}).items():
            before = call["function"].get(key)
            joined = isinstance(before, str) and isinstance(value, str) and key == "arguments"
            call["function"][key] = before + value if joined else (before if value is None else value)


class Lines:
    """The `data:` payloads of a stream of server-sent events, out of bytes cut anywhere."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the payloads that are complete with these bytes."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                yield line[5:].strip()


def broken(what: str, shown: object) -> NoReturn:
    """Raise a retryable error about an answer that is none."""
    raise ModelError(f"sent {what}: {_dumps(shown)}", retryable=True)


def _dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _mapping(value: object) -> Data | None:
    return cast("Data", value) if isinstance(value, dict) else None


def _list(value: object) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def _count(value: object) -> int:
    return max(0, value) if isinstance(value, int) else 0
