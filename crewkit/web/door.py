"""What listens: a small HTTP server that hands what is posted to whoever takes it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import BoundedSemaphore
from typing import Any

from crewkit.errors import CrewkitError

LARGEST = 1_000_000
"""Bytes of a body."""
TIMEOUT = 10.0
"""Seconds that a client may take for anything."""
AT_ONCE = 32
"""Requests that are answered at the same time; more wait at the door."""


Take = Callable[[str, Mapping[str, str], bytes, str], tuple[int, dict[str, Any]]]
"""Takes a path, headers, a body and who sent it; returns a status and an answer. It verifies the signature."""


class Refused(Exception):
    """A request is not taken."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


def data_of(body: bytes) -> Any:
    """Return the JSON data of a body; an empty one is `None`."""
    if not body.strip():
        return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"The body is not JSON: {error}") from error


class Server(ThreadingHTTPServer):
    """Takes what is posted: a thread for each request, so many at once at most."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self, doors: Mapping[str, Take], host: str, port: int, said: Callable[[str], None] = lambda line: None
    ) -> None:
        """Listen.

        Args:
            doors: Beginning of a path to what takes the requests there.
            host: Address to listen on.
            port: 0: any that is free.
            said: Called with a line about each request.
        """
        self.doors = doors
        self.said = said
        self._places = BoundedSemaphore(AT_ONCE)
        super().__init__((host, port), _Handler)

    def take(
        self, path: str, headers: Mapping[str, str], body: bytes, sender: str
    ) -> tuple[int, dict[str, Any]]:
        """Have a request taken where its path leads."""
        door = next((take for beginning, take in self.doors.items() if path.startswith(beginning)), None)
        take = door or next(iter(self.doors.values()))  # it refuses as it refuses all that it does not know
        return take(path, headers, body, sender)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own, once there is a place."""
        self._places.acquire()
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, and leave the place."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no trouble of ours."""


class _Handler(BaseHTTPRequestHandler):
    timeout = TIMEOUT
    server_version = "crewkit"
    sys_version = ""

    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        sender = str(self.client_address[0])
        try:
            status, answer = server.take(self.path, self.headers, self._body(), sender)  # pyright: ignore[reportArgumentType]
        except Refused as no:
            status, answer = no.status, {"error": str(no)}
        except CrewkitError:
            status, answer = 500, {"error": "Something went wrong here."}
        server.said(f"{status}  {self.path[:120]}  {sender}")
        self._answer(status, answer)

    def do_GET(self) -> None:
        self._answer(405, {"error": "Everything here is told by POST."})

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length") or ""
        if not (length.isascii() and length.isdigit()):
            raise Refused(411, "Say how long the body is: Content-Length.")
        if int(length[:12]) > LARGEST:
            raise Refused(413, f"A body has {LARGEST:,} bytes at most.")
        return self.rfile.read(int(length))

    def _answer(self, status: int, answer: dict[str, Any]) -> None:
        text = json.dumps(answer).encode()
        self.close_connection = True
        self.send_response(status)
        for name, value in (
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(text))),
            ("Connection", "close"),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing by itself."""
