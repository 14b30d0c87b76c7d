"""A model server on loopback that speaks chat completions, behaves or misbehaves as told, and keeps a log.

In a test:

```python
async with ChatServer(["Noon."]) as server:
    answer = await ChatModel("any", server.url).answer(request, Watch())
```

As a process of its own, which prints its URL as its first line:

```
python -m crewkit.testing.server --delay 0.2 --calls 50 --tool search --log requests.jsonl
```
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import repeat
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, get_args

from crewkit.core.messages import ToolCall
from crewkit.models.base import Answer
from crewkit.models.scripted import call

Body = dict[str, Any]

Reply = str | ToolCall | Sequence[ToolCall] | Answer | Body | bytes
"""What the server says: a text, tool calls, an answer, a whole response as data, or the bytes of one."""

Fault = Literal[
    "hang_up",  # close the connection without a word
    "hang",  # never answer
    "half_body",  # promise more bytes than are sent
    "reset",  # half an answer (half a stream, where one was asked for), then RST
    "no_end",  # a stream that ends politely, without finish_reason and [DONE]
    "html",
    "not_json",
    "empty_choices",
    "error_200",
    "huge",  # 10 MB
    "malformed_tool_calls",
    "400",
    "401",
    "404",
    "429",  # with Retry-After: 7
    "500",
    "503",
]

HUGE = 10_000_000
PIECES = 4
"""A streamed text comes in about this many pieces."""

CUT_AFTER = 0.02
"""Seconds between half an answer and the end of its connection."""


@dataclass(slots=True)
class Seen:
    """One request as the server saw it."""

    body: Body
    fingerprint: str
    """Hash of the body's bytes: the same request twice has it twice."""
    headers: dict[str, str]
    """Names in lower case."""
    path: str
    arrived: float
    answered: float | None = None


@dataclass(frozen=True, slots=True)
class _Response:
    body: bytes
    status: int = 200
    content_type: str = "application/json"
    headers: tuple[str, ...] = ()
    cut: Literal["", "short", "reset"] = ""


def calls_then(n: int, tool: str, text: str = "Done.", **arguments: Any) -> Callable[[Body], Reply]:
    """Return a script of `n` turns with one tool call each, and then a text."""

    def script(body: Body) -> Reply:
        turn = sum(message["role"] == "assistant" for message in body["messages"])
        return call(tool, **arguments) if turn < n else text

    return script


Serve = Callable[[asyncio.Transport, str, dict[str, str], bytes], Coroutine[Any, Any, None]]


@dataclass
class ChatServer:
    """An OpenAI-compatible model server on loopback, for tests and benchmarks.

    Enter it (`async with`) to start it; `url` then ends in `/v1`. It understands requests with a
    Content-Length, keeps connections alive and streams where `stream` is asked for.
    """

    script: Sequence[Reply] | Callable[[Body], Reply] = ("Hello.",)
    """Replies, indexed by the assistant messages of the request, or a function of the request's body."""
    delay: float = 0.0
    """Seconds before each answer."""
    faults: Iterable[Fault | None] = ()
    """What goes wrong with the first request, the second and so on; afterwards nothing does."""
    log: Path | None = None
    """Where to append a JSON line as a request arrives, and another when it is answered."""
    port: int = 0
    keep: bool = True
    """Keep every request in `requests`."""
    requests: list[Seen] = field(default_factory=list[Seen], init=False)

    async def __aenter__(self) -> Self:
        self._faults = iter(self.faults)
        self._connections = set[_Connection]()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(self._serve, self._connections), "127.0.0.1", self.port, backlog=4096
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for connection in list(self._connections):
            connection.transport.abort()
        await self._server.wait_closed()
        await asyncio.sleep(0)

    @property
    def url(self) -> str:
        """The base URL, as a client takes it."""
        return f"http://127.0.0.1:{self.port}/v1"

    def repeated(self) -> dict[str, int]:
        """Return the fingerprints of requests that came more than once, with their counts."""
        return {key: n for key, n in Counter(seen.fingerprint for seen in self.requests).items() if n > 1}

    async def _serve(
        self, transport: asyncio.Transport, path: str, headers: dict[str, str], body: bytes
    ) -> None:
        seen = Seen(json.loads(body), blake2b(body, digest_size=8).hexdigest(), headers, path, time.time())
        if self.keep:
            self.requests.append(seen)
        self._write("arrived", seen)
        fault = next(self._faults, None)
        if self.delay:
            await asyncio.sleep(self.delay)
        if fault == "hang":
            await asyncio.Event().wait()
        if fault == "hang_up":
            transport.close()
            return
        response = self._response(seen, fault)
        _send(transport, response)
        seen.answered = time.time()
        self._write("answered", seen)
        if response.cut:
            await asyncio.sleep(CUT_AFTER)
            transport.abort() if response.cut == "reset" else transport.close()

    def _write(self, event: str, seen: Seen) -> None:
        if self.log is None:
            return
        line = {"event": event, "fingerprint": seen.fingerprint, "time": time.time()}
        with self.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def _response(self, seen: Seen, fault: Fault | None) -> _Response:
        if fault is not None and fault in _FAULTY:
            return _FAULTY[fault]
        reply = self._reply(seen.body)
        if isinstance(reply, bytes):
            return _Response(
                reply, content_type="text/event-stream" if seen.body.get("stream") else "application/json"
            )
        completion = reply if isinstance(reply, dict) else _completion(reply, seen)
        if seen.body.get("stream"):
            chunks = _chunks(completion)
            if fault in ("reset", "no_end"):
                chunks = chunks[: max(2, len(chunks) // 2)]
            events = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
            end = "" if fault in ("reset", "no_end") else "data: [DONE]\n\n"
            body, kind = ("".join(events) + end).encode(), "text/event-stream"
        else:
            body, kind = json.dumps(completion).encode(), "application/json"
        if fault == "half_body":
            return _Response(body, content_type=kind, cut="short")
        return _Response(body, content_type=kind, cut="reset" if fault == "reset" else "")

    def _reply(self, body: Body) -> Reply:
        if callable(self.script):
            return self.script(body)
        turn = sum(message["role"] == "assistant" for message in body["messages"])
        return self.script[min(turn, len(self.script) - 1)]


class _Connection(asyncio.Protocol):
    """Cuts the bytes of one connection into requests and has each served."""

    def __init__(self, serve: Serve, connections: set[_Connection]) -> None:
        self._serve = serve
        self._connections = connections
        self._buffer = bytearray()
        self._work: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        for task in self._work:
            task.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, blank, rest = self._buffer.partition(b"\r\n\r\n")
        if not blank:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", 0))
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        path = first.split(" ")[1]
        task = asyncio.ensure_future(self._serve(self.transport, path, headers, bytes(rest[:length])))
        self._work.add(task)
        task.add_done_callback(self._work.discard)


def _send(transport: asyncio.Transport, response: _Response) -> None:
    body = response.body[: len(response.body) // 2] if response.cut == "short" else response.body
    head = "\r\n".join(
        (
            f"HTTP/1.1 {response.status} -",
            f"Content-Type: {response.content_type}",
            f"Content-Length: {len(response.body) + (response.cut == 'reset')}",
            *response.headers,
        )
    )
    transport.write(head.encode() + b"\r\n\r\n" + body)


def _completion(reply: str | ToolCall | Sequence[ToolCall] | Answer, seen: Seen) -> Body:
    if isinstance(reply, str):
        answer = Answer(reply)
    elif isinstance(reply, Answer):
        answer = reply
    else:
        answer = Answer(
            tool_calls=(reply,) if isinstance(reply, ToolCall) else tuple(reply), finish_reason="tool_calls"
        )
    message: Body = {"role": "assistant", "content": answer.content or None}
    if answer.tool_calls:
        turn = sum(message["role"] == "assistant" for message in seen.body["messages"])
        message["tool_calls"] = [
            {
                "id": c.id or f"call-{turn}-{i}",
                "type": "function",
                "function": {"name": c.name, "arguments": c.arguments},
            }
            for i, c in enumerate(answer.tool_calls)
        ]
    sent = (
        answer.usage.input_tokens or sum(len(str(m.get("content"))) for m in seen.body["messages"]) // 4 + 1
    )
    written = answer.usage.output_tokens or len(json.dumps(message)) // 4
    return {
        "id": f"chatcmpl-{seen.fingerprint}",
        "object": "chat.completion",
        "created": int(seen.arrived),
        "model": seen.body.get("model", ""),
        "choices": [{"index": 0, "message": message, "finish_reason": answer.finish_reason}],
        "usage": {
            "prompt_tokens": sent,
            "completion_tokens": written,
            "total_tokens": sent + written,
            "prompt_tokens_details": {"cached_tokens": answer.usage.cached_tokens},
        },
    }


def _chunks(completion: Body) -> list[Body]:
    """Cut a completion into the chunks of a stream: role, text, tool calls by halves, the end, the usage."""
    choice = completion["choices"][0]
    message = choice["message"]
    text = message.get("content") or ""
    size = max(1, -(-len(text) // PIECES))
    deltas: list[Body] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": text[i : i + size]} for i in range(0, len(text), size)]
    for index, one in enumerate(message.get("tool_calls") or ()):
        arguments = one["function"]["arguments"]
        half = len(arguments) // 2
        head: Body = {**one, "index": index, "function": {**one["function"], "arguments": arguments[:half]}}
        deltas += [
            {"tool_calls": [head]},
            {"tool_calls": [{"index": index, "function": {"arguments": arguments[half:]}}]},
        ]
    frame = {
        "id": completion["id"],
        "object": "chat.completion.chunk",
        "created": 0,
        "model": completion["model"],
    }
    chunks = [{**frame, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append({**frame, "choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]})
    chunks.append({**frame, "choices": [], "usage": completion["usage"]})
    return chunks


def _refusal(status: int, message: str, *headers: str) -> _Response:
    return _Response(
        json.dumps({"error": {"message": message, "type": "error"}}).encode(), status, headers=headers
    )


def _message(**message: Any) -> bytes:
    return json.dumps(
        {"choices": [{"message": {"role": "assistant", **message}, "finish_reason": "stop"}]}
    ).encode()


_FAULTY: dict[Fault, _Response] = {
    "html": _Response(b"<html><body><h1>502 Bad Gateway</h1></body></html>", content_type="text/html"),
    "not_json": _Response(b'{"choices": [{"message": '),
    "empty_choices": _Response(b'{"id": "x", "choices": []}'),
    "error_200": _refusal(200, "The model is overloaded."),
    "huge": _Response(_message(content="x" * HUGE)),
    "malformed_tool_calls": _Response(
        _message(content=None, tool_calls=[{"function": {"arguments": 7}}, "search"])
    ),
    "400": _refusal(400, "This model's maximum context length is 8192 tokens."),
    "401": _refusal(401, "Incorrect API key provided."),
    "404": _refusal(404, "The model does not exist."),
    "429": _refusal(429, "Rate limit reached.", "Retry-After: 7"),
    "500": _refusal(500, "Internal server error."),
    "503": _refusal(503, "The engine is currently overloaded."),
}


@contextlib.contextmanager
def server_process(*arguments: str) -> Generator[str]:
    """Run the server as a process of its own, with these command-line arguments; give its URL."""
    command = [sys.executable, "-m", "crewkit.testing.server", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


async def _main(arguments: Sequence[str] | None = None) -> None:
    import argparse

    parser = argparse.ArgumentParser(prog="python -m crewkit.testing.server")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument(
        "--log", type=Path, help="append a JSON line as a request arrives and when it is answered"
    )
    parser.add_argument("--text", default="Done.", help="the answer")
    parser.add_argument("--calls", type=int, default=0, help="turns with one tool call before the answer")
    parser.add_argument("--tool", default="search")
    parser.add_argument("--arguments", type=json.loads, default={}, help="of the tool call, as JSON")
    parser.add_argument("--fault", choices=get_args(Fault), help="what goes wrong")
    parser.add_argument("--times", type=int, help="with how many requests; default all")
    said = parser.parse_args(arguments)
    faults: Iterable[Fault | None] = ()
    if said.fault:
        faults = repeat(said.fault) if said.times is None else repeat(said.fault, said.times)
    script = calls_then(said.calls, said.tool, said.text, **said.arguments)
    async with ChatServer(script, said.delay, faults, said.log, said.port, keep=False) as server:
        print(server.url, flush=True)  # noqa: T201
        await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main())
