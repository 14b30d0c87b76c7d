"""Slack's interactions over Socket Mode: a connection that this side opens, so nothing listens anywhere."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from crewkit.errors import InputError
from crewkit.notify.answers import Answered, Answers
from crewkit.notify.places import API, TOKEN
from crewkit.notify.slack import missing, word_of

APP_TOKEN = "SLACK_APP_TOKEN"  # noqa: S105  the variable's name
_TIMEOUT = 10
"""Seconds of one call to Slack."""

_log = logging.getLogger(__name__)


class Closable(Protocol):
    """An open connection."""

    def close(self) -> None:
        """End it."""
        ...


class Reply:
    """Shows in Slack what became of a pressed button. Without the bot's token it shows nothing."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        try:
            from slack_sdk import WebClient
        except ImportError as error:
            raise InputError(missing()) from error
        token = environ.get(TOKEN)
        self.client: Any = WebClient(token, environ.get(API) or WebClient.BASE_URL, timeout=_TIMEOUT)
        self._silent = not token

    def show(self, answered: Answered) -> None:
        """Change the message, or tell who pressed alone. Slack being away takes nothing from the decision."""
        from slack_sdk.errors import SlackClientError

        if self._silent or not answered.channel:
            return
        try:
            if answered.blocks:
                self.client.chat_update(
                    channel=answered.channel,
                    ts=answered.ts,
                    text=answered.text,
                    blocks=answered.blocks,
                    parse="none",
                )
            else:
                self.client.chat_postEphemeral(
                    channel=answered.channel, user=answered.user, text=answered.text, parse="none"
                )
        except (SlackClientError, OSError) as error:
            _log.warning("Slack could not be told what became of a question: %s", type(error).__name__)


def connect(answers: Answers, environ: Mapping[str, str], said: Callable[[str], None]) -> Closable:
    """Open a Socket Mode connection and take what is pressed; it reconnects by itself until it is closed.

    Raises:
        InputError: A token is missing, or Slack does not accept it.
    """
    if not environ.get(APP_TOKEN):
        raise InputError(
            f"Socket Mode needs {APP_TOKEN}: an app-level token (xapp-…) with the scope connections:write."
        )
    reply = Reply(environ)
    from slack_sdk.errors import SlackClientError
    from slack_sdk.socket_mode import SocketModeClient
    from slack_sdk.socket_mode.client import BaseSocketModeClient
    from slack_sdk.socket_mode.response import SocketModeResponse

    quiet = logging.getLogger(f"{__name__}.sdk")
    quiet.setLevel(logging.CRITICAL)  # it logs addresses that hold a ticket
    client = SocketModeClient(environ[APP_TOKEN], logger=quiet, web_client=reply.client)

    def heard(socket: BaseSocketModeClient, request: Any) -> None:
        answered = answers.take(request.payload) if request.type == "interactive" else None
        # Acknowledged once the decision is on disk: what is not is shown again by Slack as failed.
        socket.send_socket_mode_response(SocketModeResponse(request.envelope_id))
        if answered:
            said(f"slack  {answered.user}  {answered.text}")
            reply.show(answered)

    listeners: list[Any] = client.socket_mode_request_listeners
    listeners.append(heard)
    try:
        client.connect()
    except (SlackClientError, OSError) as error:
        client.close()
        why = word_of(getattr(error, "response", None)) or type(error).__name__
        raise InputError(f"Slack's Socket Mode cannot be reached: {why}.") from error
    return client
