"""The server of the page: on loopback, for whoever has the token."""

from __future__ import annotations

import hmac
import json
import secrets
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from crewkit.errors import CrewkitError, InputError
from crewkit.journal.base import Journal
from crewkit.journal.decide import decide, find_question
from crewkit.web.data import event_data
from crewkit.web.follow import Reader, changes, to_json
from crewkit.web.list import RunList
from crewkit.web.page import page, policy

Data = dict[str, Any]

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_LARGEST_BODY = 100_000


class Refused(Exception):
    """A request that is not answered as it wants to be."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


class PageServer(ThreadingHTTPServer):
    """Serves the page of a journal's runs until `shutdown`.

    Only requests that name this machine as their host are answered, and only those that carry the cookie which the
    token in the address is exchanged for. What changes something must come from the page itself.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, journal: Journal, *, port: int = 0) -> None:
        """Listen on loopback.

        Args:
            journal: Where the runs are; any thread may read it.
            port: 0 for a free one.

        Raises:
            InputError: Another program listens there.
        """
        self.journal = journal
        self.token = secrets.token_urlsafe(24)
        self.session = secrets.token_urlsafe(24)
        self.list = RunList(journal)
        self.closing = threading.Event()
        self.reader = Reader(journal)
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except OSError as error:
            raise InputError(
                f"Port {port} cannot be listened on: {error.strerror}. Name another: --port N"
            ) from error

    @property
    def cookie(self) -> str:
        """The cookie's name; hosts share cookies over all their ports."""
        return f"crewkit-{self.server_port}"

    def address(self, run: str = "") -> str:
        """Return the address to open, with the token in it."""
        path = f"/runs/{run}" if run else "/"
        return f"http://127.0.0.1:{self.server_port}{path}?token={self.token}"

    def shutdown(self) -> None:
        """Stop, and let those who follow a run go."""
        self.closing.set()
        super().shutdown()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of browsers that went away."""


class _Handler(BaseHTTPRequestHandler):
    server: PageServer  # pyright: ignore[reportIncompatibleVariableOverride]
    protocol_version = "HTTP/1.1"
    timeout = 60

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet: the address holds the token."""

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_HEAD(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def _answer(self, respond: Callable[[list[str], Mapping[str, str]], None]) -> None:
        address = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(address.query).items()}
        try:
            self._check_host()
            if "token" in query:
                self._let_in(address.path, query["token"])
                return
            self._check_cookie()
            respond([unquote(part) for part in address.path.strip("/").split("/")], query)
        except Refused as refused:
            self._send(refused.status, "text/plain; charset=utf-8", f"{refused}\n".encode())
        except CrewkitError as error:
            self._send(HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", f"{error}\n".encode())

    # Who may ask

    def _check_host(self) -> None:
        """Refuse names that somebody else's page may have pointed at this machine."""
        host = urlsplit(f"//{self.headers.get('Host', '')}").hostname
        if host not in _LOOPBACK:
            raise Refused(HTTPStatus.MISDIRECTED_REQUEST, "This page is served to this machine alone.")

    def _let_in(self, path: str, token: str) -> None:
        """Exchange the token for a cookie that no other site's page can use."""
        if not hmac.compare_digest(token.encode(), self.server.token.encode()):
            raise Refused(HTTPStatus.FORBIDDEN, "The token is not the one that crewkit view printed.")
        self.send_response(HTTPStatus.SEE_OTHER)
        cookie = f"{self.server.cookie}={self.server.session}; HttpOnly; SameSite=Strict; Path=/"
        self.send_header("Set-Cookie", cookie)
        self.send_header("Location", path if path.startswith("/") and not path.startswith("//") else "/")
        self.send_header("Content-Length", "0")
        self._secure()
        self.end_headers()

    def _check_cookie(self) -> None:
        try:
            cookies = SimpleCookie(self.headers.get("Cookie", ""))
        except CookieError:
            cookies = SimpleCookie()
        held = cookies.get(self.server.cookie)
        if held is None or not hmac.compare_digest(held.value.encode(), self.server.session.encode()):
            raise Refused(
                HTTPStatus.FORBIDDEN, "Open the address that crewkit view printed: its token lets you in."
            )
        if self.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            raise Refused(HTTPStatus.FORBIDDEN, "Another site's page asked for this.")

    def _check_origin(self) -> None:
        """Refuse to change anything for a page that is not this one."""
        origin = self.headers.get("Origin", "")
        if origin != f"http://{self.headers.get('Host', '')}":
            raise Refused(HTTPStatus.FORBIDDEN, "Only this page may decide.")
        if self.headers.get_content_type() != "application/json":
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send JSON.")

    # What is answered

    def _get(self, parts: list[str], query: Mapping[str, str]) -> None:
        match parts:
            case [""]:
                self._page("", "crewkit")
            case ["runs", run]:
                found = self.server.journal.find(run)
                self.server.reader.prepare(found)
                self._page(found, run)
            case ["api", "runs"]:
                self._json(self.server.list.summaries())
            case ["api", "runs", run]:
                self._send(HTTPStatus.OK, "application/json", self.server.reader.load(run).body)
            case ["api", "runs", run, "live"]:
                self._follow(run, _whole(self.headers.get("Last-Event-ID") or query.get("after", "0")))
            case ["api", "runs", run, "events", seq]:
                self._json(self._event(run, _whole(seq)))
            case _:
                raise Refused(HTTPStatus.NOT_FOUND, "There is no such page.")

    def _post(self, parts: list[str], _query: Mapping[str, str]) -> None:
        self._check_origin()
        match parts:
            case ["api", "runs", run, "approvals", id]:
                self._json(self._decide(run, id, self._body()))
            case _:
                raise Refused(HTTPStatus.NOT_FOUND, "There is no such page.")

    def _page(self, run: str, title: str) -> None:
        text = page({"mode": "served", "run": run or None}, title=title, served=True)
        self._send(HTTPStatus.OK, "text/html; charset=utf-8", text.encode())

    def _event(self, run: str, seq: int) -> Data:
        for event in self.server.journal.events(run, after=seq - 1):
            if event.seq == seq:
                return event_data(event)
            break
        raise Refused(HTTPStatus.NOT_FOUND, f"Run {run} has no event {seq}.")

    def _decide(self, run: str, id: str, body: Data) -> Data:
        decision, note = body.get("decision"), str(body.get("note") or "")
        if decision not in ("approve", "deny"):
            raise Refused(HTTPStatus.BAD_REQUEST, "The decision is approve or deny.")
        if decision == "deny" and not note.strip():
            raise Refused(HTTPStatus.BAD_REQUEST, "Say why: the agent reads it.")
        journal = self.server.journal
        try:
            decide(journal, find_question(journal, [run], id), decision, note)
        except InputError as error:
            raise Refused(HTTPStatus.CONFLICT, str(error)) from error
        return {"alive": self._alive(run)}

    def _alive(self, run: str) -> bool:
        return self.server.journal.info(run).alive

    def _follow(self, run: str, after: int) -> None:
        """Send what is new in a run, again and again, until the browser goes away."""
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self._secure()
        self.end_headers()
        self.close_connection = True
        try:
            for news in changes(self.server.reader, run, after, self.server.closing):
                said = (
                    b"id: %d\ndata: %s\n\n" % (news["head"]["last"], to_json(news))
                    if news
                    else b": still here\n\n"
                )
                self.wfile.write(said)
                self.wfile.flush()
        except (OSError, CrewkitError):
            pass  # the browser went away, or the run

    # How

    def _body(self) -> Data:
        size = _whole(self.headers.get("Content-Length", "0"))
        if size > _LARGEST_BODY:
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "That is too long.")
        try:
            body = json.loads(self.rfile.read(size))
        except (ValueError, RecursionError) as error:
            raise Refused(HTTPStatus.BAD_REQUEST, f"That is no JSON: {error}") from error
        if not isinstance(body, dict):
            raise Refused(HTTPStatus.BAD_REQUEST, "Send a JSON object.")
        return body  # pyright: ignore[reportUnknownVariableType]

    def _json(self, value: Any) -> None:
        self._send(HTTPStatus.OK, "application/json", to_json(value))

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if status >= HTTPStatus.BAD_REQUEST:  # what was refused may not have been read to its end
            self.send_header("Connection", "close")
        self._secure()
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _secure(self) -> None:
        for name, value in {
            "Content-Security-Policy": f"{policy(served=True)}; frame-ancestors 'none'",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cache-Control": "no-store",
        }.items():
            self.send_header(name, value)


def _whole(text: str) -> int:
    try:
        return max(int(text), 0)
    except ValueError as error:
        raise Refused(HTTPStatus.BAD_REQUEST, f"'{text:.20}' is no number.") from error
