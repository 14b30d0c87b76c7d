"""`crewkit fork`: a run that branches off another."""

from __future__ import annotations

import asyncio
import sys
from contextlib import redirect_stdout
from typing import Any

import click

from crewkit.cli.again import crew_again, history_of
from crewkit.cli.carry import carry, manner_of, options_of
from crewkit.cli.common import complete_run, echo_json, examples, say
from crewkit.cli.group import OK
from crewkit.cli.inputs import read_inputs, read_text
from crewkit.cli.progress import Progress
from crewkit.cli.run import changed_options, shared_options
from crewkit.errors import InputError


@click.command(
    epilog=examples(
        "crewkit fork @last --from draft",
        "crewkit fork r-7f3k --from draft/2 --model openai/gpt-5",
        "crewkit fork r-7f3k --set topic=tides",
        'crewkit fork r-7f3k --from draft/1/model --edit-message "I search for tides first."',
        "crewkit fork r-7f3k --from draft/1 --edit-message @said.json --no-run",
    )
)
@click.argument("run", metavar="RUN", shell_complete=complete_run)
@click.argument("target", required=False)
@click.option(
    "--from", "at", default="", metavar="PATH", help="Where: a task, a turn or a step, as show tells them."
)
@click.option(
    "--set", "pairs", multiple=True, metavar="NAME=TEXT", help="Another value of an input, as in run -i."
)
@click.option(
    "--edit-message",
    "edit",
    metavar="TEXT|@FILE",
    help="What the agent says at PATH instead; JSON with tool_calls for calls.",
)
@click.option("--id", "run_id", default="", metavar="ID", help="The id of the new run.")
@click.option("--no-run", is_flag=True, help="Only make it; crewkit resume goes on with it.")
@changed_options
@shared_options
def fork(
    *,
    run: str,
    target: str | None,
    at: str,
    pairs: tuple[str, ...],
    edit: str | None,
    run_id: str,
    no_run: bool,
    as_json: bool,
    quiet: bool,
    **rest: Any,
) -> int:
    """Begin a new run that shares what happened in RUN before PATH, and go on from there.

    What lies at PATH and after it, and what depends on it, is done again, by the crew as it is now; all else that is
    finished is kept and not paid for again. RUN is left as it is. --model is used for all that is done again.
    """
    if not (at or pairs):
        raise InputError(
            "Where does the fork branch off? --from PATH, or --set NAME=VALUE. Paths: crewkit show RUN"
        )
    inputs = read_inputs(pairs, "", option="--set")
    said = read_text(edit, "--edit-message") if edit is not None else ""
    if edit is not None and not said.strip():
        raise InputError("--edit-message is empty. Say what the agent is to have said.")
    progress = Progress()
    found, begun = history_of(run, progress)
    crew, target = crew_again(found, begun, target, "fork")
    manner = manner_of(as_json=as_json, quiet=quiet, **rest)
    if no_run:
        from crewkit.crew.options import Options
        from crewkit.runs.fork import fork_only

        options = Options(target=target, run_id=run_id, **options_of(manner))
        with redirect_stdout(sys.stderr):
            made = asyncio.run(fork_only(crew, found, at, inputs, said, options))
        if as_json:
            echo_json({"run": made, "origin": found})
        else:
            click.echo(made)
        if not quiet:
            say(f"forked from {found}. Go on with it: crewkit resume {made}", style="dim", err=True)
        return OK

    def work(options: Any) -> Any:
        from dataclasses import replace

        return crew.fork(found, at, inputs=inputs, edit=said, options=replace(options, run_id=run_id))

    return carry(crew, work, progress, manner, target)
