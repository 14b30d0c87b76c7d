"""`crewkit listen`: events from outside, over signed HTTP."""

from __future__ import annotations

import sys

import click

from crewkit.cli.common import examples, opened_journal, say
from crewkit.errors import InputError


@click.command(
    epilog=examples(
        "export CREWKIT_WEBHOOK_SECRET=$(openssl rand -hex 32)",
        "crewkit listen",
        "crewkit listen --host 0.0.0.0 --port 8760",
    )
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8760, show_default=True, help="0: any free one."
)
def listen(*, host: str, port: int) -> None:
    """Take events for waiting runs over HTTP: POST /events/RUN/NAME, signed with CREWKIT_WEBHOOK_SECRET.

    Nothing is taken that is not signed, is older than 5 minutes, was taken before, or is not what the run waits for.
    What is taken is in the run's journal before the answer is sent; a worker, or a run with --wait, goes on with it.
    """
    from crewkit.core.environ import environment
    from crewkit.journal.redact import Redactor
    from crewkit.web.webhook import SECRET, Hook, Server

    environ = environment()
    with opened_journal() as journal:
        hook = Hook(journal, environ.get(SECRET, ""), Redactor.from_environ(environ))
        try:
            server = Server(hook, host, port, lambda line: say(line, err=True))
        except OSError as error:
            raise InputError(f"{host}:{port} cannot be listened on: {error.strerror}.") from error
        with server:
            click.echo(f"http://{host}:{server.server_address[1]}/events/RUN/NAME")
            sys.stdout.flush()
            server.serve_forever()
