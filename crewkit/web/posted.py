"""Runs begun over HTTP: `POST /runs` with the inputs as a JSON object, signed as `crewkit/core/signing.py` says."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from crewkit.core.signing import too_short, verified
from crewkit.errors import CrewkitError, InputError, JournalError
from crewkit.web.door import Refused, data_of

PATH = "/runs"

Begin = Callable[[dict[str, Any], str], tuple[str, bool]]
"""Begins a run for inputs and what makes the call the same again; returns its id, and whether it was there before."""


@dataclass(frozen=True)
class RunDoor:
    """Takes calls that each want a run."""

    secret: str
    begin: Begin
    now: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        if wrong := too_short(self.secret):
            raise InputError(wrong)

    def take(
        self, path: str, headers: Mapping[str, str], body: bytes, sender: str
    ) -> tuple[int, dict[str, Any]]:
        """Take a call; the run is in the journal before the answer is sent."""
        if not verified(self.secret, path, headers, body, self.now()):
            return 401, {"error": "Not signed as it has to be, or not within the last 5 minutes."}
        if path != PATH:
            return 404, {"error": f"There is nothing here but POST {PATH}."}
        try:
            data: object = data_of(body)
            if not isinstance(data, dict):
                return 400, {"error": "The body is no JSON object. It holds the crew's inputs by name."}
            run, repeated = self.begin(cast("dict[str, Any]", data), headers.get("Idempotency-Key") or "")
        except Refused as no:
            return no.status, {"error": str(no)}
        except InputError as error:
            return 422, {"error": str(error)}
        except (JournalError, TimeoutError):
            return 503, {"error": "The run cannot be begun now. Try again."}
        except CrewkitError as error:
            return 500, {"error": str(error)}
        return (200 if repeated else 202), {"run": run, "repeated": repeated}
