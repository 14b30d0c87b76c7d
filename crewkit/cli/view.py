"""`crewkit view`: the page, served on loopback."""

from __future__ import annotations

import gc
import signal
import webbrowser

import click

from crewkit.cli.common import complete_run, examples, opened_journal, say


@click.command(
    epilog=examples(
        "crewkit view",
        "crewkit view @last --open",
        "crewkit view --port 7070",
    )
)
@click.argument("run", required=False, shell_complete=complete_run)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default="a free one",
    help="Listen here, on this machine alone.",
)
@click.option("--open", "opens", is_flag=True, help="Open the browser.")
def view(*, run: str | None, port: int, opens: bool) -> None:
    """Serve a page with all runs, or with one RUN, until Ctrl-C; it follows what goes on.

    The address holds a token: whoever has it can read the runs, and approve and deny.
    """
    from crewkit.web.server import PageServer

    # A long run is many objects that stay: looking for garbage among them again and again takes a third of the time.
    gc.set_threshold(200_000, 20, 20)
    with opened_journal() as journal:
        found = journal.find(run) if run else ""
        with PageServer(journal, port=port) as server:
            address = server.address(found)
            click.echo(address)
            say("Open this in a browser on this machine. Ctrl-C ends it.", style="dim", err=True)
            if found:
                server.reader.prepare(found)
            if opens:
                webbrowser.open(address)
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.default_int_handler)
            try:
                server.serve_forever()
            except KeyboardInterrupt:
                server.closing.set()
                say("ended", style="dim", err=True)
