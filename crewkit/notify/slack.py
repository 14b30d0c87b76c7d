"""Questions to a Slack channel, with buttons. What is pressed there comes in by `crewkit listen --slack`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, cast

from crewkit.errors import DefinitionError, InputError
from crewkit.journal.read import Pending
from crewkit.notify.base import Unreached
from crewkit.notify.blocks import message
from crewkit.notify.telling import TIMEOUT
from crewkit.notify.webhook import pause_of

_AGAIN = frozenset({"ratelimited", "internal_error", "fatal_error", "service_unavailable", "request_timeout"})
"""Errors of Slack after which another try may do better."""


@dataclass(frozen=True)
class Slack:
    """Posts each question into a channel (`chat.postMessage`), by a bot with the scope `chat:write`."""

    channel: str
    """`#name` or an id."""
    token: str = field(repr=False)
    """The bot's, `xoxb-…`."""
    url: str = ""
    """Address of the Web API. Empty: Slack's own."""

    def __post_init__(self) -> None:
        if find_spec("slack_sdk") is None:
            raise DefinitionError(missing())

    @property
    def name(self) -> str:
        """`slack` and the channel."""
        return f"slack {self.channel}"

    async def tell(self, question: Pending) -> None:
        """Post a question.

        Raises:
            Unreached: Slack did not take it.
        """
        import aiohttp
        from slack_sdk.errors import SlackApiError, SlackClientError
        from slack_sdk.web.async_client import AsyncWebClient

        address = self.url or AsyncWebClient.BASE_URL
        client: Any = AsyncWebClient(self.token, address, timeout=int(TIMEOUT), retry_handlers=[])
        try:
            await client.chat_postMessage(channel=self.channel, **message(question))
        except SlackApiError as error:
            raise _refused(error.response) from error
        except (SlackClientError, aiohttp.ClientError, OSError) as error:
            raise Unreached(f"{type(error).__name__}: it cannot be reached") from error


def missing() -> str:
    """Say how what Slack needs is installed."""
    return "Slack needs slack-sdk, which is not installed: pip install 'crewkit[slack]'"


def word_of(response: Any) -> str:
    """Return Slack's word for an error, such as `channel_not_found`; empty where it is none."""
    data: object = getattr(response, "data", None)
    word = str(cast("Mapping[str, Any]", data).get("error") or "") if isinstance(data, dict) else ""
    return word if len(word) <= 60 and word.replace("_", "").isalnum() else ""


def _refused(response: Any) -> Unreached:
    status = int(getattr(response, "status_code", 0) or getattr(response, "status", 0) or 0)
    word = word_of(response)
    headers: Mapping[str, str] = getattr(response, "headers", None) or {}
    again = status >= 500 or status == 429 or word in _AGAIN
    why = f"Slack said {word}" if word else f"it answered {status}"
    return Unreached(why, again=again, after=pause_of(headers.get("Retry-After")))


def verifier(secret: str) -> Callable[[Mapping[str, str], bytes], bool]:
    """Return what says whether headers and a body were signed by Slack within the last 5 minutes.

    Raises:
        InputError: slack-sdk is not installed.
    """
    try:
        from slack_sdk.signature import SignatureVerifier
    except ImportError as error:
        raise InputError(missing()) from error
    slack = SignatureVerifier(secret)

    def verified(headers: Mapping[str, str], body: bytes) -> bool:
        moment, given = headers.get("X-Slack-Request-Timestamp") or "", headers.get("X-Slack-Signature") or ""
        if not (moment.isascii() and moment.isdigit() and len(moment) <= 15 and given.isascii()):
            return False  # the SDK raises on these
        try:
            return slack.is_valid(body, moment, given)
        except UnicodeDecodeError:
            return False

    return verified
