"""`crewkit listen`: events from outside over signed HTTP, and decisions from Slack."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from crewkit.cli.common import examples, opened_journal, say
from crewkit.errors import InputError

if TYPE_CHECKING:
    from crewkit.journal.base import Journal
    from crewkit.web.door import Take


@click.command(
    epilog=examples(
        "export CREWKIT_WEBHOOK_SECRET=$(openssl rand -hex 32)",
        "crewkit listen",
        "crewkit listen --host 0.0.0.0 --port 8760",
        "crewkit listen --slack socket",
    )
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8760, show_default=True, help="0: any free one."
)
@click.option(
    "--slack",
    type=click.Choice(["socket", "http"]),
    help="Take decisions from Slack too: by Socket Mode (SLACK_APP_TOKEN), or by POST /slack "
    "(SLACK_SIGNING_SECRET). SLACK_BOT_TOKEN lets the message show them.",
)
def listen(*, host: str, port: int, slack: str | None) -> None:
    """Take events for waiting runs over HTTP: POST /events/RUN/NAME, signed with CREWKIT_WEBHOOK_SECRET.

    Nothing is taken that is not signed, is older than 5 minutes, was taken before, or is not what the run waits for.
    What is taken is in the run's journal before the answer is sent; a worker, or a run with --wait, goes on with it.
    With --slack socket and no CREWKIT_WEBHOOK_SECRET nothing listens: the connection to Slack is opened from here.
    """
    from crewkit.core.environ import environment
    from crewkit.web.door import Server

    environ = environment()
    with opened_journal() as journal:
        doors = _doors(journal, environ, slack)
        try:
            server = Server(doors, host, port, lambda line: say(line, err=True)) if doors else None
        except OSError as error:
            raise InputError(f"{host}:{port} cannot be listened on: {error.strerror}.") from error
        connection = None
        try:
            if slack == "socket":
                from crewkit.notify.answers import Answers
                from crewkit.notify.socket import connect

                connection = connect(
                    Answers.from_environ(journal, environ), environ, lambda line: say(line, err=True)
                )
                click.echo("slack: connected")
            for path in doors:
                name = "/events/RUN/NAME" if path == "/events/" else path
                click.echo(f"http://{host}:{server.server_address[1] if server else port}{name}")
            sys.stdout.flush()
            if server:
                server.serve_forever()
            else:
                threading.Event().wait()
        finally:
            if connection:
                connection.close()
            if server:
                server.server_close()


def _doors(journal: Journal, environ: Mapping[str, str], slack: str | None) -> dict[str, Take]:
    """Return what takes requests, by the beginning of their paths."""
    from crewkit.core.signing import SECRET
    from crewkit.journal.redact import Redactor
    from crewkit.web.webhook import Hook

    doors: dict[str, Take] = {}
    if environ.get(SECRET) or not slack:
        doors["/events/"] = Hook(journal, environ.get(SECRET, ""), Redactor.from_environ(environ)).take
    if slack == "http":
        from crewkit.notify.answers import Answers
        from crewkit.notify.socket import Reply
        from crewkit.web.slack import PATH, SIGNING_SECRET, SlackDoor

        answers = Answers.from_environ(journal, environ)
        doors[PATH] = SlackDoor(answers, environ.get(SIGNING_SECRET, ""), Reply(environ).show).take
    return doors
