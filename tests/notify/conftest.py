"""Real servers on loopback: one that takes notices, one that answers as Slack does, and bad ones."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from aiohttp import WSMsgType, web

from crewkit import Agent, Crew, Task, tool
from crewkit.journal.read import Pending
from crewkit.models.scripted import ScriptedModel, call

SECRET = "a secret for the tests"


@dataclass
class Taken:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def data(self) -> dict[str, Any]:
        return json.loads(self.body)


@dataclass
class Receiver:
    """Takes what is posted; the first answers are those of `statuses`, then 200."""

    statuses: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    taken: list[Taken] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    here = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            here.taken.append(Taken(self.path, dict(self.headers), body))
            self.send_response(here.statuses.pop(0) if here.statuses else 200)
            for name, value in {"Content-Length": "0", **here.headers}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    here.url = f"http://127.0.0.1:{server.server_address[1]}/hooks/a-secret-path?to=ops"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield here
    server.shutdown()
    thread.join()
    server.server_close()


@asynccontextmanager
async def hanging() -> AsyncIterator[str]:
    """A server that takes a request and never answers."""
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await gone.wait()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hang"
    finally:
        gone.set()
        server.close()


async def refusing() -> str:
    """The address of a port at which nobody listens."""
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return f"http://127.0.0.1:{port}/refused"


@dataclass
class SlackServer:
    """Answers as Slack's Web API does, and is the other end of Socket Mode."""

    url: str = ""
    calls: list[tuple[str, dict[str, Any], str]] = field(default_factory=list)
    """Method, arguments and Authorization of each call."""
    failures: list[web.Response] = field(default_factory=list)
    acknowledged: list[dict[str, Any]] = field(default_factory=list)
    changed: threading.Event = field(default_factory=threading.Event)
    """Set with each call and acknowledgement."""
    _loop: asyncio.AbstractEventLoop | None = None
    _sockets: list[web.WebSocketResponse] = field(default_factory=list)

    def made(self, method: str) -> list[dict[str, Any]]:
        return [arguments for name, arguments, _ in self.calls if name == method]

    def wait_for(self, ready: Any) -> None:
        for _ in range(600):
            if ready():
                return
            self.changed.wait(0.1)
            self.changed.clear()
        raise AssertionError(f"It did not come: {self.calls} {self.acknowledged}")

    def send(self, message: dict[str, Any]) -> None:
        """Send an envelope to whoever is connected."""
        self.wait_for(lambda: self._sockets)
        assert self._loop
        asyncio.run_coroutine_threadsafe(self._sockets[-1].send_str(json.dumps(message)), self._loop).result(
            30
        )

    def drop(self) -> None:
        """Cut the connection, as Slack does now and then."""
        assert self._loop
        asyncio.run_coroutine_threadsafe(self._sockets.pop().close(), self._loop).result(30)

    async def _method(self, request: web.Request) -> web.StreamResponse:
        if request.content_type == "application/json":
            arguments = await request.json()
        else:
            arguments = {name: _read(str(value)) for name, value in (await request.post()).items()}
        method = request.match_info["method"]
        self.calls.append((method, arguments, request.headers.get("Authorization", "")))
        self.changed.set()
        if self.failures:
            return self.failures.pop(0)
        if method == "apps.connections.open":
            return web.json_response({"ok": True, "url": self.url.replace("http", "ws") + "link?ticket=t"})
        return web.json_response({"ok": True, "ts": "1.0", "channel": "C1"})

    async def _link(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str(json.dumps({"type": "hello", "num_connections": 1}))
        self._sockets.append(socket)
        self.changed.set()
        async for message in socket:
            if message.type is WSMsgType.TEXT and "envelope_id" in message.data:
                self.acknowledged.append(json.loads(message.data))
                self.changed.set()
        return socket


def _read(value: str) -> Any:
    return json.loads(value) if value.startswith(("[", "{")) else value


@pytest.fixture
def slack() -> Iterator[SlackServer]:
    here = SlackServer()
    ready, over = threading.Event(), asyncio.Event()

    async def serve() -> None:
        here._loop = asyncio.get_running_loop()
        app = web.Application()
        app.router.add_route("*", "/link", here._link)
        app.router.add_post("/{method}", here._method)
        runner = web.AppRunner(app, shutdown_timeout=0.5)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        here.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        ready.set()
        await over.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    ready.wait(30)
    yield here
    assert here._loop
    here._loop.call_soon_threadsafe(over.set)
    thread.join()


def paying(*letters: str, **crew: Any) -> Crew:
    """A crew that asks before it sends each letter."""

    @tool(effects=["write", "external"])
    def send(text: str) -> str:
        """Send a letter."""
        return f"sent {text}"

    model = ScriptedModel([[call("send", text=letter) for letter in letters or ("hello",)], "Done."])
    clerk = Agent("Clerk", "Send.", tools=[send], model=model)
    return Crew([Task("letter", "Send it.", agent=clerk)], name="post", **crew)


def question(**given: Any) -> Pending:
    known = {
        "run": "r-1",
        "id": "a-11aa22bb",
        "kind": "tool",
        "question": "May 'pay' (financial) be called?",
        "path": "bill/1/tool:0/ask",
        "task": "bill",
        "agent": "Clerk",
        "ts": "2026-11-25T10:00:00.000000Z",
        "tool": "pay",
        "arguments": {"to": "eve", "amount": 90},
        "origins": {"to": {"from": "tool read_mail", "trusted": False}},
        "preview": "90 euro go to eve.",
        "expires": "2026-12-02T10:00:00.000000Z",
        "binding": "b" * 32,
    }
    return Pending(**{**known, **given})
