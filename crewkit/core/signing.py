"""How requests between crewkit and other programs are signed, in both directions.

The signature is the HMAC-SHA256 (RFC 2104, FIPS 180-4), in hex, of the timestamp, the path and the body, under a secret
that both sides know:

```
X-Crewkit-Timestamp: 1763719200                     seconds since 1970; at most 5 minutes from now
X-Crewkit-Signature: sha256=HMAC(secret, "1763719200./events/r-7f3k2m9q/contract_signed." + body)
```

The path is the request's target as it is sent, with its query where it has one.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

SECRET = "CREWKIT_WEBHOOK_SECRET"  # noqa: S105  the variable's name
SHORTEST = 16
"""Characters of a secret."""
WINDOW = 300
"""Seconds by which a request's timestamp may be off."""

_MOMENT, _SIGNATURE = "X-Crewkit-Timestamp", "X-Crewkit-Signature"


def signature(secret: str, moment: str, path: str, body: bytes) -> str:
    """Return what the header `X-Crewkit-Signature` has to say."""
    text = f"{moment}.{path}.".encode() + body
    return "sha256=" + hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()


def signed(secret: str, path: str, body: bytes, now: float) -> dict[str, str]:
    """Return the headers that sign a request; `now` is in seconds since 1970."""
    moment = str(int(now))
    return {_MOMENT: moment, _SIGNATURE: signature(secret, moment, path, body)}


def verified(secret: str, path: str, headers: Mapping[str, str], body: bytes, now: float) -> str:
    """Return a request's signature in hex if it was made with the secret, just now; otherwise nothing."""
    moment, given = headers.get(_MOMENT) or "", headers.get(_SIGNATURE) or ""
    expected = signature(secret, moment, path, body)
    fits = hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())
    fresh = moment.isascii() and moment.isdigit() and abs(now - int(moment[:15])) <= WINDOW
    return expected.removeprefix("sha256=") if fits and fresh else ""


def too_short(secret: str) -> str:
    """Say what is wrong with a secret; empty where nothing is."""
    if len(secret) >= SHORTEST:
        return ""
    return (
        f"{SECRET} has to have {SHORTEST} characters at least: it is what requests are signed with. Make one, for "
        f"example: export {SECRET}=$(openssl rand -hex 32)"
    )
