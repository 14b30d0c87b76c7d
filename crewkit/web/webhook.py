"""Events from outside over HTTP: `POST /events/RUN/NAME`, signed as `crewkit/core/signing.py` says.

The body is the event's data as JSON, or empty. A request is taken once: its signature is its id.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from crewkit.core.signing import too_short, verified
from crewkit.errors import InputError, JournalError
from crewkit.journal.base import Journal
from crewkit.journal.redact import Redactor
from crewkit.journal.tell import tell_event
from crewkit.web.door import Refused, data_of

_PATH = re.compile(r"/events/([A-Za-z0-9][A-Za-z0-9._-]{0,99})/([A-Za-z0-9_][A-Za-z0-9_.-]{0,99})")


@dataclass(frozen=True)
class Hook:
    """Takes requests for the runs of one journal."""

    journal: Journal
    secret: str
    redactor: Redactor
    now: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        if wrong := too_short(self.secret):
            raise InputError(wrong)

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
                data_of(body),
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
        found = verified(self.secret, path, headers, body, self.now())
        if not found:
            raise Refused(401, "Not signed as it has to be, or not within the last 5 minutes.")
        return found

    def _meant(self, path: str) -> tuple[str, str]:
        """Return the run and the event that a path names."""
        found = _PATH.fullmatch(path)
        if found is None:
            raise Refused(404, "There is nothing here but POST /events/RUN/NAME.")
        run, event = found.groups()
        if not self.journal.last(run):
            raise Refused(404, f"There is no run '{run}'.")
        return run, event
