"""Slack's interactions over HTTP: `POST /slack`, signed by Slack.

The signature covers the body and a timestamp that is 5 minutes off at most
(https://docs.slack.dev/authentication/verifying-requests-from-slack). The same press told again decides nothing: the
first decision counts.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from crewkit.errors import InputError
from crewkit.notify.answers import Answered, Answers, read_form
from crewkit.notify.slack import verifier

SIGNING_SECRET = "SLACK_SIGNING_SECRET"  # noqa: S105  the variable's name
PATH = "/slack"


class SlackDoor:
    """Takes interactions, and lets Slack show what became of them.

    Args:
        answers: Takes what was pressed.
        secret: The app's signing secret.
        show: Called with what is to be shown, in a thread of its own: Slack waits 3 seconds for the answer here.
    """

    def __init__(self, answers: Answers, secret: str, show: Callable[[Answered], None]) -> None:
        if not secret.strip():
            raise InputError(
                f"{SIGNING_SECRET} is not set: Slack signs with it. See the app's 'Basic Information'."
            )
        self._signed = verifier(secret)
        self._answers = answers
        self._show = show

    def take(
        self, path: str, headers: Mapping[str, str], body: bytes, sender: str
    ) -> tuple[int, dict[str, Any]]:
        """Take a request; return the status and the answer."""
        if not self._signed(headers, body):
            return 401, {"error": "Not signed as it has to be, or not within the last 5 minutes."}
        if path != PATH:
            return 404, {"error": f"There is nothing here but POST {PATH}."}
        if answered := self._answers.take(read_form(body)):
            threading.Thread(
                target=self._show, args=(answered,), name="crewkit-slack-reply", daemon=True
            ).start()
        return 200, {}
