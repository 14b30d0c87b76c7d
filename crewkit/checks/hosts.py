"""URLs: an argument may only name certain hosts, and only in a form that every client reads the same."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from crewkit.checks.constraint import texts_of
from crewkit.errors import DefinitionError

_URL = re.compile(
    r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^/?#\[\]:@\\%]+)"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?"
    r"(?P<rest>/.*|[?#][^@]*)?"
)
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PORTS = {"http": 80, "https": 443}
# Clients do not agree on what these are in a host's name (IDNA 2003 against 2008), or take the dots for dots.
_AMBIGUOUS = frozenset("ßς\u200c\u200d\u3002\uff0e\uff61")


class Place(NamedTuple):
    """Where a URL leads."""

    scheme: str
    """Empty where it is not said."""
    host: str
    """In lower case and ASCII; an address in its one canonical form."""
    port: int | None
    """`None` where it is not said."""
    rest: str


@dataclass(frozen=True, slots=True)
class Hosts:
    """An argument is a URL, or a list of URLs, on certain hosts.

    `https` and `http` on their own ports, unless an entry says otherwise: `https://api.example.org`,
    `api.example.org:8443`, `*.example.org` (the hosts below, not that one itself), `[::1]:8080`. User names in the
    URL, blanks, backslashes, encoded or look-alike hosts, and addresses in any but their canonical form are refused.
    Where the host's name leads, and where its answer redirects to, is the tool's to see to.
    """

    argument: str
    hosts: tuple[str, ...]

    @property
    def arguments(self) -> Iterable[str]:
        """The arguments that it names."""
        return (self.argument,)

    def __str__(self) -> str:
        return f"{self.argument} on {', '.join(self.hosts)}"

    def problem(self, arguments: Mapping[str, Any], cwd: Path) -> str:
        """Say what is wrong with a call; empty where nothing is."""
        urls = texts_of(arguments, self.argument)
        if isinstance(urls, str):
            return urls
        for url in urls:
            place = read_url(url)
            if isinstance(place, str):
                return f"'{self.argument}': {url!r:.200} {place}"
            if not any(_covers(_entry(host), place) for host in self.hosts):
                granted = ", ".join(self.hosts)
                return f"'{self.argument}': {url!r:.200} is not on a host that is granted: {granted}"
        return ""


def check_entry(text: str, where: str) -> None:
    """Refuse what is no host of a grant.

    Raises:
        DefinitionError: It cannot be read, or names more than a scheme, a host and a port.
    """
    place = _read_entry(text)
    if isinstance(place, str) or place.rest or place.scheme not in ("", *_PORTS):
        why = place if isinstance(place, str) else "names more than a scheme, a host and a port"
        raise DefinitionError(
            f"{where}: the host '{text}' {why}. Write 'api.example.org', 'https://api.example.org:8443' or "
            "'*.example.org'."
        )


def read_url(url: str) -> Place | str:
    """Return where a URL leads, or why not every client would agree on it."""
    if any(c.isspace() or unicodedata.category(c) in ("Cc", "Cs", "Cf") for c in url):
        return "holds blanks or control characters"
    if "\\" in url:
        return "holds a backslash"
    found = _URL.fullmatch(url)
    if found is None:
        return "is no plain URL: scheme, host, port, path, and no user name"
    scheme, port = (found["scheme"] or "").lower(), found["port"]
    if scheme not in ("", *_PORTS):
        return f"has the scheme '{scheme}', which is not http or https"
    host = canonical_host(found["host"])
    if not host:
        return "has a host that is no plain name or address"
    return Place(scheme, host, int(port) if port else None, found["rest"] or "")


def canonical_host(host: str) -> str:
    """Return a host's name in lower case and ASCII, an address as it is; empty where it can be read in two ways."""
    try:
        if host.startswith("["):
            return f"[{ipaddress.IPv6Address(host[1:-1]).compressed}]"
        name = host.lower() if host.isascii() else _to_ascii(host)
        labels = name.split(".")
        if _NUMBER.fullmatch(labels[-1]):
            return str(ipaddress.IPv4Address(name))
        for label in labels:
            if not _LABEL.fullmatch(label) or (label.startswith("xn--") and _to_ascii(label) != label):
                return ""
    except (ValueError, UnicodeError):
        return ""
    return name


def _to_ascii(host: str) -> str:
    import idna

    if _AMBIGUOUS & set(host) or unicodedata.normalize("NFC", host) != host:
        return ""
    return idna.encode(host).decode()


def _read_entry(text: str) -> Place | str:
    """Read a host of a grant; `*.` at its beginning stays."""
    head, star, tail = text.partition("*.")
    if not star:
        return read_url(text)
    place = read_url(head + tail) if head in ("", "http://", "https://") else "has '*.' in its middle"
    if isinstance(place, str):
        return place
    if place.host.startswith("[") or _NUMBER.fullmatch(place.host.rpartition(".")[2]):
        return "is an address, which has no hosts below"
    return place._replace(host=f"*.{place.host}")


def _entry(text: str) -> Place:
    place = _read_entry(text)
    if isinstance(place, str):
        raise DefinitionError(f"The host '{text}' {place}.")
    return place


def _covers(entry: Place, place: Place) -> bool:
    if entry.scheme and entry.scheme != place.scheme:
        return False
    if entry.port is None:
        if place.port not in (None, _PORTS[place.scheme or "https"]):
            return False
    elif entry.port != (place.port or _PORTS[place.scheme or "https"]):
        return False
    if entry.host.startswith("*."):
        return place.host.endswith(entry.host[1:]) and not place.host.startswith("[")
    return entry.host == place.host
