"""How models reach the network: who may be called from a test, and connections that scale."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from crewkit.errors import DefinitionError

if TYPE_CHECKING:
    import httpx

CONNECT_SECONDS = 15.0
SHOWN = 500
"""Characters shown of what a server says about an error."""

RETRYABLE = frozenset({408, 409, 429})
"""Statuses below 500 that may pass by themselves."""

IDLE_LANES = 200
"""Connections kept for later; more are closed when their answer is read."""


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine, by its name alone: nothing is looked up."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def refuse_real_model(model: str, host: str, environ: Mapping[str, str]) -> None:
    """Keep tests from calling real models by accident.

    Under pytest (its subprocesses included) or with `CREWKIT_NO_NETWORK=1`, only models on this machine are
    called, unless `CREWKIT_ALLOW_REAL_MODELS=1` is set.

    Raises:
        DefinitionError: This is such a place, and the host is not this machine.
    """
    if is_loopback(host) or environ.get("CREWKIT_ALLOW_REAL_MODELS") == "1":
        return
    if environ.get("CREWKIT_NO_NETWORK", "") not in ("", "0"):
        place = "CREWKIT_NO_NETWORK is set"
    elif "PYTEST_VERSION" in environ or "PYTEST_CURRENT_TEST" in environ:
        place = "this is a test"
    else:
        return
    raise DefinitionError(
        f"Model '{model}' would be called at {host}, but {place}. Use a ScriptedModel, the model 'offline' "
        f"or a server on this machine; to call it all the same, set CREWKIT_ALLOW_REAL_MODELS=1."
    )


def seconds_until(retry_after: str) -> float | None:
    """Read a Retry-After header, given in seconds or as a date; `None` where it cannot be read."""
    if retry_after.strip().isdigit():
        return float(retry_after)
    try:
        moment = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return max(0.0, moment.timestamp() - time.time())


# Belongs to the loop, which has no place for it. asyncio knows its generators only weakly.
_endings: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[object, AsyncGenerator[None]]] = (
    WeakKeyDictionary()
)


async def at_loop_end(what: object, close: Callable[[], Awaitable[None]]) -> None:
    """Have the running loop close something before it ends itself. Cheap to repeat: once per `what`.

    Nobody else needs to remember to close it, and `asyncio.run` may be called again.
    """
    endings = _endings.setdefault(asyncio.get_running_loop(), {})
    if what not in endings:
        endings[what] = ending = _ending(close)
        await anext(ending)


async def _ending(close: Callable[[], Awaitable[None]]) -> AsyncGenerator[None]:
    """Wait in a generator: the one thing that asyncio finishes before it closes a loop."""
    try:
        yield
    finally:
        await close()


class Lanes:
    """Connections to one origin, each a transport of its own, so that none waits for or looks at another.

    httpx's pool walks over all its connections whenever a request begins or ends: 1,000 at once cost 18 ms of
    CPU each there, and 1.5 ms here. Belongs to one event loop.
    """

    def __init__(self, url: httpx.URL) -> None:
        import ssl

        import httpx

        # An http URL never needs the list of authorities, which takes a tenth of a second to load.
        tls = httpx.create_ssl_context() if url.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._tls = tls
        self._proxy = _proxy(url)
        self._free: list[httpx.AsyncHTTPTransport] = []
        self._busy: set[httpx.AsyncHTTPTransport] = set()

    def take(self) -> httpx.AsyncHTTPTransport:
        """Return a transport that nobody else uses: the one used last, whose connection most likely lives."""
        import httpx

        lane = (
            self._free.pop() if self._free else httpx.AsyncHTTPTransport(verify=self._tls, proxy=self._proxy)
        )
        self._busy.add(lane)
        return lane

    async def give(self, lane: httpx.AsyncHTTPTransport, *, whole: bool) -> None:
        """Take a transport back; one whose response was not read to its end is closed."""
        self._busy.discard(lane)
        if whole and len(self._free) < IDLE_LANES:
            self._free.append(lane)
        else:
            await lane.aclose()

    async def close(self) -> None:
        """Close every connection."""
        lanes = [*self._free, *self._busy]
        self._free.clear()
        self._busy.clear()
        for lane in lanes:
            await lane.aclose()


def _proxy(url: httpx.URL) -> str | None:
    from urllib.request import getproxies, proxy_bypass

    if is_loopback(url.host) or proxy_bypass(url.host):
        return None
    proxies = getproxies()
    return proxies.get(url.scheme) or proxies.get("all")
