"""Events from outside over HTTP: `POST /events/RUN/NAME`, signed.

The signature is the HMAC-SHA256 (RFC 2104, FIPS 180-4), in hex, of the timestamp, the path and the body, under a secret
that both sides know:

```
X-Crewkit-Timestamp: 1763719200                     seconds since 1970; at most 5 minutes from now
X-Crewkit-Signature: sha256=HMAC(secret, "1763719200./events/r-7f3k2m9q/contract_signed." + body)
```

The body is the event's data as JSON, or empty. A request is taken once: its signature is its id.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import BoundedSemaphore
from typing import Any

from crewkit.errors import CrewkitError, InputError, JournalError
from crewkit.journal.base import Journal
from crewkit.journal.redact import Redactor
from crewkit.journal.tell import tell_event

SECRET = "CREWKIT_WEBHOOK_SECRET"  # noqa: S105  the variable's name
SHORTEST = 16
"""Characters of a secret."""
WINDOW = 300
"""Seconds by which a request's timestamp may be off."""
LARGEST = 1_000_000
"""Bytes of a body."""
TIMEOUT = 10.0
"""Seconds that a client may take for anything."""
AT_ONCE = 32
"""Requests that are answered at the same time; more wait at the door."""

_PATH = re.compile(r"/events/([A-Za-z0-9][A-Za-z0-9._-]{0,99})/([A-Za-z0-9_][A-Za-z0-9_.-]{0,99})")


def signature(secret: str, moment: str, path: str, body: bytes) -> str:
    """Return what the header `X-Crewkit-Signature` has to say."""
    text = f"{moment}.{path}.".encode() + body
    return "sha256=" + hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()


class Refused(Exception):
    """A request is not taken."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


@dataclass(frozen=True)
class Hook:
    """Takes requests for the runs of one journal."""

    journal: Journal
    secret: str
    redactor: Redactor
    now: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        if len(self.secret) < SHORTEST:
            raise InputError(
                f"{SECRET} has to have {SHORTEST} characters at least: it is what callers sign with. Make one, for "
                f"example: export {SECRET}=$(openssl rand -hex 32)"
            )

    def take(
        self, path: str, headers: Mapping[str, str], body: bytes, sender: str
    ) -> tuple[int, dict[str, Any]]:
        """Take a request; return the status and the answer."""
        try:
            signed = self._checked(path, headers, body)
            run, event = self._meant(path)
            new = tell_event(
                self.journal,
                run,
                event,
                _data(body),
                f"webhook from {sender}",
                id=f"hook-{signed}",
                redactor=self.redactor,
            )
        except Refused as no:
            return no.status, {"error": str(no)}
        except InputError as error:
            return 422, {"error": str(error)}
        except JournalError:
            return 503, {"error": "The journal cannot be written. Try again."}
        if not new:
            return 409, {
                "error": "This request was taken already. An event that happened again is signed anew."
            }
        return 202, {"run": run, "event": event}

    def _checked(self, path: str, headers: Mapping[str, str], body: bytes) -> str:
        """Return a request's signature, if it was made with the secret, just now."""
        moment = headers.get("X-Crewkit-Timestamp") or ""
        given = headers.get("X-Crewkit-Signature") or ""
        expected = signature(self.secret, moment, path, body)
        fits = hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())
        fresh = moment.isascii() and moment.isdigit() and abs(self.now() - int(moment[:15])) <= WINDOW
        if not (fits and fresh):
            raise Refused(401, "Not signed as it has to be, or not within the last 5 minutes.")
        return expected.removeprefix("sha256=")

    def _meant(self, path: str) -> tuple[str, str]:
        """Return the run and the event that a path names."""
        found = _PATH.fullmatch(path)
        if found is None:
            raise Refused(404, "There is nothing here but POST /events/RUN/NAME.")
        run, event = found.groups()
        if not self.journal.last(run):
            raise Refused(404, f"There is no run '{run}'.")
        return run, event


def _data(body: bytes) -> Any:
    if not body.strip():
        return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"The body is not JSON: {error}") from error


class Server(ThreadingHTTPServer):
    """Serves a hook: a thread for each request, so many at once at most."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self, hook: Hook, host: str, port: int, said: Callable[[str], None] = lambda line: None
    ) -> None:
        """Listen.

        Args:
            hook: Takes the requests.
            host: Address to listen on.
            port: 0: any that is free.
            said: Called with a line about each request.
        """
        self.hook = hook
        self.said = said
        self._places = BoundedSemaphore(AT_ONCE)
        super().__init__((host, port), _Handler)

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
            status, answer = server.hook.take(self.path, self.headers, self._body(), sender)  # pyright: ignore[reportArgumentType]
        except Refused as no:
            status, answer = no.status, {"error": str(no)}
        except CrewkitError:
            status, answer = 500, {"error": "Something went wrong here."}
        server.said(f"{status}  {self.path[:120]}  {sender}")
        self._answer(status, answer)

    def do_GET(self) -> None:
        self._answer(405, {"error": "There is nothing here but POST /events/RUN/NAME."})

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
