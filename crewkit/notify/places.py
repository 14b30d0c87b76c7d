"""Where people are told, as a crew or the environment names it: `slack:#ops`, `https://…`, `terminal`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from crewkit.core.signing import SECRET
from crewkit.errors import DefinitionError
from crewkit.notify.base import Notifier

PLACES = "CREWKIT_NOTIFY"
"""The variable that names further places, with blanks between them."""
TOKEN = "SLACK_BOT_TOKEN"  # noqa: S105  the variable's name
API = "SLACK_API_URL"
"""The variable that names another address of Slack's Web API than the usual one."""

_SLACK = re.compile(r"slack:(#?[^\s:]{1,80})")


def check_places(given: Sequence[str | Notifier], where: str) -> None:
    """Refuse what cannot be a place.

    Raises:
        DefinitionError: It is no known kind of place, and no notifier.
    """
    for place in given:
        if isinstance(place, str):
            _kind(place, where)
        elif not isinstance(place, Notifier):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise DefinitionError(
                f"{where}: notify holds a {type(place).__name__}, which has no `name` and no `tell`. Write "
                "'slack:#channel', 'https://…', 'terminal', or an object of your own."
            )


def shown(given: Sequence[str | Notifier], environ: Mapping[str, str]) -> list[str]:
    """Return where people are told, without a secret."""
    names: list[str] = []
    for place in (*given, *environ.get(PLACES, "").split()):
        if not isinstance(place, str):
            names.append(place.name)
        elif "://" in place:
            names.append(f"webhook {_host(place)}")
        else:
            names.append(place.replace("slack:", "slack "))
    return list(dict.fromkeys(names))


def notifiers(given: Sequence[str | Notifier], environ: Mapping[str, str]) -> list[Notifier]:
    """Make what tells people: for each place of the crew, then for each of the environment, each once.

    Args:
        given: Of the crew.
        environ: Further places, and the tokens and secrets that places need.

    Raises:
        DefinitionError: A token or a secret is missing, or slack-sdk is not installed.
    """
    places = dict.fromkeys((*given, *environ.get(PLACES, "").split()))
    return [_made(place, environ) if isinstance(place, str) else place for place in places]


def _made(place: str, environ: Mapping[str, str]) -> Notifier:
    kind = _kind(place, PLACES)
    if kind == "terminal":
        from crewkit.notify.terminal import Terminal

        return Terminal()
    if kind == "webhook":
        from crewkit.notify.webhook import Webhook

        return Webhook(place, environ.get(SECRET, ""))
    from crewkit.notify.slack import Slack

    if not (token := environ.get(TOKEN, "")):
        raise DefinitionError(
            f"{place} cannot be told without a token: set {TOKEN} (xoxb-…), in the environment or in .env. The app "
            "needs the scope chat:write, and has to be in the channel."
        )
    return Slack(place.removeprefix("slack:"), token, environ.get(API, ""))


def _kind(place: str, where: str) -> str:
    if place == "terminal":
        return "terminal"
    if _SLACK.fullmatch(place):
        return "slack"
    if place.startswith(("https://", "http://")):
        return "webhook"
    # What was meant may be a URL with a secret in it, so it is not repeated.
    raise DefinitionError(
        f"{where}: one of the places to be told (notify) is none: it starts with '{place[:6]}'. Write "
        "'slack:#channel', 'https://…' or 'terminal'."
    )


def _host(url: str) -> str:
    from urllib.parse import urlsplit

    try:
        return urlsplit(url).netloc.rpartition("@")[2]
    except ValueError:
        return "?"
