"""Secrets are taken out of what is recorded, before anyone else sees it."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, cast
from urllib.parse import quote, quote_plus, unquote

_SHORTEST = 8
"""Characters of a value from the environment worth hiding: shorter ones are also ordinary words."""

_SECRET_NAME = re.compile(
    r"(?:(?:^|_)(?:KEY|TOKEN|SECRET|CREDENTIAL)S?|API_?KEYS?|PASSWORDS?|PASSWD|PASSPHRASE)(?:_|\d|$)"
)
_URL_PASSWORD = re.compile(r"://[^\s/:@]{0,128}:([^\s@/\"'<>\[\]]{1,256})@")


class _Pattern(NamedTuple):
    """What a kind of secret looks like, with literals that say cheaply where it cannot be."""

    gate: str
    """One character, looked for first; empty for none."""
    needles: tuple[str, ...]
    """One of these is in every match."""
    regex: re.Pattern[str]
    replacement: str

    def may_match(self, text: str) -> bool:
        return self.gate in text and any(needle in text for needle in self.needles)


def _pattern(kind: str, regex: str, *needles: str, gate: str = "", keep: str = "") -> _Pattern:
    return _Pattern(gate, needles, re.compile(regex), f"{keep}[redacted:{kind}]")


# Each begins with a literal, and the look-behind comes after it: the search then runs at the speed of memchr.
# No part can match the same text in two ways, so that a hostile text costs no more than a long one.
_PATTERNS = (
    _pattern(
        "private_key",
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----"
        r"(?:(?:[^-]|-(?!----))*+-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----"
        r"|(?:(?:\s|\\[rn])*+[A-Za-z0-9+/=]{40,}+)+)",
        "-----BEGIN ",
    ),
    _pattern(
        "url_password", r"(://[^\s/:@]{0,128}:)[^\s@/\"'<>\[\]]{1,256}(?=@)", "://", gate="@", keep=r"\1"
    ),
    _pattern("jwt", r"eyJ(?<![\w-]eyJ)[\w-]{8,}+\.[\w-]{8,}+\.[\w-]{4,}+", "eyJ"),
    _pattern("api_key", r"sk-(?<![A-Za-z0-9]sk-)[\w-]{20,}+", "sk-"),
    _pattern("aws_key", r"A[KS]IA(?<![A-Za-z0-9]....)[A-Z0-9]{16}(?![A-Za-z0-9])", "AKIA", "ASIA"),
    _pattern(
        "github_token",
        r"gh[psour]_(?<![A-Za-z0-9]....)[A-Za-z0-9]{20,}+",
        *("ghp_", "gho_", "ghs_", "ghu_", "ghr_"),
        gate="_",
    ),
    _pattern("github_token", r"github_pat_\w{20,}+", "github_pat_", gate="_"),
    _pattern("slack_token", r"xox[abeprs]-(?<![A-Za-z0-9].....)[A-Za-z0-9-]{10,}+", "xox"),
    _pattern("google_key", r"AIza(?<![A-Za-z0-9]AIza)[\w-]{30,}+", "AIza"),
    _pattern(
        "bearer_token",
        r"(earer {1,8})(?=[\w.~+/=-]{0,256}\d)[\w.~+/=-]{16,}+",
        "earer ",
        keep=r"\1",
    ),
)

_NEEDLES = tuple(dict.fromkeys(needle for pattern in _PATTERNS for needle in pattern.needles))
_json = json.JSONEncoder(ensure_ascii=False).encode


class Redactor:
    """Puts `[redacted:NAME]` in the place of known secrets, and of what looks like one.

    A known secret is also found as it stands in JSON, in a URL and in base64. Takes time linear in the length
    of the text, and redacting twice changes nothing.
    """

    def __init__(self, secrets: Mapping[str, str] | None = None) -> None:
        """Hide these values (name to value). Values of fewer than four characters are left alone."""
        self._markers: dict[str, str] = {}
        for name, value in (secrets or {}).items():
            marker = f"[redacted:{re.sub(r'[^0-9A-Za-z_]', '_', name)}]"
            for form in _forms(value) if len(value) >= 4 else ():
                self._markers.setdefault(form, marker)
        self._needles = tuple(self._markers)
        self._needles_in_json = tuple(_json(needle)[1:-1] for needle in self._markers)
        longest_first = sorted(self._markers, key=len, reverse=True)
        markers = dict.fromkeys(self._markers.values())
        self._known = re.compile("|".join(map(re.escape, (*markers, *longest_first))))

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Redactor:
        """Hide what the environment calls a key, token, secret or password, and passwords in its URLs."""
        secrets: dict[str, str] = {}
        for name, value in environ.items():
            if _SECRET_NAME.search(name.upper()):
                secrets[name] = value.strip()
            elif name.upper() == "CREWKIT_NOTIFY":  # the rest of a URL often is a secret
                secrets |= {f"{name}_{i}": url for i, url in enumerate(value.split()) if "://" in url}
            elif match := _URL_PASSWORD.search(value):
                secrets[name] = unquote(match[1])
        return cls({name: value for name, value in secrets.items() if len(value) >= _SHORTEST})

    def text(self, text: str) -> str:
        """Return the text without secrets."""
        if not self._suspicious(text):
            return text
        # What one replacement leaves behind may show the next one: until nothing changes any more.
        for _ in range(8):
            before, text = text, self._once(text)
            if text == before:
                break
        return text

    def data(self, value: Any) -> Any:
        """Return JSON data without secrets, keys included; the same object where there was none."""
        try:
            text = _json(value)  # at the speed of C: nearly all data is looked at once and let through
        except (TypeError, ValueError):
            return self._deep(value)
        return self._deep(value) if _any_in(self._needles_in_json, text) or _looks_secret(text) else value

    def _suspicious(self, text: str) -> bool:
        return _any_in(self._needles, text) or _looks_secret(text)

    def _knows_of(self, text: str) -> bool:
        return _any_in(self._needles, text)

    def _once(self, text: str) -> str:
        if self._knows_of(text):
            text = self._known.sub(lambda found: self._markers.get(found[0], found[0]), text)
        for pattern in _PATTERNS:
            if pattern.may_match(text):
                text = pattern.regex.sub(pattern.replacement, text)
        return text

    def _deep(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            pairs = cast("dict[Any, Any]", value).items()
            clean = {self._deep(key): self._deep(item) for key, item in pairs}
            return clean if clean != value else cast("Any", value)
        if isinstance(value, list | tuple):
            items = cast("list[Any]", value)
            clean = [self._deep(item) for item in items]
            return clean if any(a is not b for a, b in zip(clean, items, strict=True)) else items
        return value


def _any_in(needles: Iterable[str], text: str) -> bool:
    for needle in needles:  # noqa: SIM110  half the time of `any`, and called for every event
        if needle in text:
            return True
    return False


def _looks_secret(text: str) -> bool:
    """Say whether a pattern may match: in a text, or in the texts of a JSON text, which escapes no needle."""
    return any(pattern.may_match(text) for pattern in _PATTERNS) if _any_in(_NEEDLES, text) else False


def _forms(secret: str) -> Iterator[str]:
    """Yield how a secret may stand in a text: itself, in JSON, in a URL, and inside base64 at any offset."""
    raw = secret.encode("utf-8", "surrogatepass")
    yield secret
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield quote(raw, safe="")
    yield quote(raw)
    yield quote_plus(raw)
    if len(raw) >= _SHORTEST:
        for offset in range(3):
            # Only the characters that depend on the secret alone, whatever stands before and after it.
            end = (offset + len(raw)) * 8 // 6
            encoded = base64.b64encode(b"\0" * offset + raw)[-(-offset * 8 // 6) : end].decode()
            yield encoded
            yield encoded.translate(str.maketrans("+/", "-_"))
