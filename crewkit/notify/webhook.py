"""Questions to a URL: a signed POST."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from crewkit.core.signing import signed, too_short
from crewkit.errors import DefinitionError
from crewkit.journal.read import Pending
from crewkit.notify.base import Unreached

_AGAIN = frozenset({408, 425, 429})
"""Refusals after which another try may do better, besides 5xx."""
_LONGEST_PAUSE = 60.0
"""Seconds of a `Retry-After` that are heeded."""


@dataclass(frozen=True)
class Webhook:
    """Sends each question as JSON, signed as `crewkit listen` verifies (`crewkit/core/signing.py`).

    The body is `{"type": "approval.requested", …}` with the fields of `crewkit approvals --json`. `Idempotency-Key` is
    the question's id: a crash may send it twice. Anything but a 2xx is a failure; redirects are not followed.
    """

    url: str = field(repr=False)
    secret: str = field(repr=False)
    now: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        import httpx

        try:
            url = httpx.URL(self.url)
        except httpx.InvalidURL:
            url = httpx.URL("")
        if url.scheme not in ("https", "http") or not url.host:
            raise DefinitionError("Webhook: the URL to be told is no http(s) URL.")
        if wrong := too_short(self.secret):
            raise DefinitionError(f"Webhook {url.host}: {wrong}")

    @property
    def name(self) -> str:
        """`webhook` and the host: the rest of a URL may be a secret."""
        import httpx

        url = httpx.URL(self.url)
        return f"webhook {url.host}{f':{url.port}' if url.port else ''}"

    async def tell(self, question: Pending) -> None:
        """Send a question.

        Raises:
            Unreached: It was not taken.
        """
        import httpx

        url = httpx.URL(self.url)
        body = json.dumps({"type": "approval.requested", **asdict(question)}, default=str).encode()
        headers = {"Content-Type": "application/json", "Idempotency-Key": question.id}
        headers |= signed(self.secret, url.raw_path.decode(), body, self.now())
        try:
            async with httpx.AsyncClient(timeout=None) as client:  # noqa: S113  whoever calls sets the time
                answer = await client.post(url, content=body, headers=headers)
        except httpx.HTTPError as error:
            raise Unreached(f"{type(error).__name__}: it cannot be reached") from error
        if not answer.is_success:
            again = answer.status_code >= 500 or answer.status_code in _AGAIN
            raise Unreached(
                f"it answered {answer.status_code}",
                again=again,
                after=pause_of(answer.headers.get("Retry-After")),
            )


def pause_of(retry_after: str | None) -> float:
    """Return the seconds of a `Retry-After` header, as far as they are heeded; dates are not."""
    text = (retry_after or "").strip()
    return min(float(text[:9]), _LONGEST_PAUSE) if text.isascii() and text.isdigit() else 0.0
