"""`crewkit run` and `crewkit resume`: a crew at work, and what it came to."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crewkit.cli.again import crew_again, history_of, loaded
from crewkit.cli.carry import Manner, carry, manner_of, options_of, resuming
from crewkit.cli.common import complete_run, echo_json, examples, opened_journal, say, say_spans
from crewkit.cli.group import OK
from crewkit.cli.inputs import limit_options, read_inputs
from crewkit.cli.progress import Progress
from crewkit.errors import InputError, RunBusy

if TYPE_CHECKING:
    from crewkit.crew.crew import Crew


def changed_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of what is carried on by a crew that changed."""
    command = click.option("--yes", "-y", is_flag=True, help="Effects may happen again.")(command)
    return click.option(
        "--changed",
        type=click.Choice(["stop", "keep", "rerun"]),
        default="stop",
        show_default=True,
        help="What becomes of tasks that changed: keep results, or do them again with all that depends on them.",
    )(command)


def shared_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of all that run crews."""
    for option in (
        click.option("--no-input", is_flag=True, help="Never ask at the terminal; pause instead."),
        click.option(
            "--wait",
            is_flag=True,
            help="Stay while it waits for a person, an event or a time, and go on then.",
        ),
        click.option("--quiet", "-q", is_flag=True, help="Only the answer, and errors."),
        click.option(
            "--otel", is_flag=True, help="Send traces over OTLP when it ends, as OTEL_EXPORTER_OTLP_* say."
        ),
        click.option("--json", "as_json", is_flag=True, help="Print the whole result as one JSON object."),
    ):
        command = option(command)
    command = limit_options(command)
    return click.option(
        "--model",
        multiple=True,
        metavar="NAME",
        help="Model for whoever has none; repeat it for several, tried in order.",
    )(command)


@click.command(
    epilog=examples(
        "crewkit run crews/digest.py -i folder=docs",
        "crewkit run crew.py:nightly -i brief=@brief.md -i days:=7 --usd 0.50",
        'echo \'{"topic": "tides"}\' | crewkit run crew.py --inputs - --json',
        "crewkit run crew.py --model anthropic/claude-sonnet-4-5 --model openai/gpt-5",
    )
)
@click.argument("target")
@click.option(
    "-i",
    "pairs",
    multiple=True,
    metavar="NAME=TEXT",
    help="An input; NAME=@FILE reads it, NAME:=JSON is data.",
)
@click.option("--inputs", "source", default="", metavar="FILE|-", help="Inputs as one JSON object.")
@click.option("--detach", is_flag=True, help="Hand the run over to workers; print its id.")
@click.option(
    "--queue", default="", metavar="NAME", help="With --detach: which workers; this folder's if left out."
)
@shared_options
def run(
    *,
    target: str,
    pairs: tuple[str, ...],
    source: str,
    detach: bool,
    queue: str,
    as_json: bool,
    quiet: bool,
    no_input: bool,
    **rest: Any,
) -> int:
    """Run the crew that TARGET names. stdout gets the answer and nothing else.

    TARGET is path.py[:attr], path.yaml, package.module:attr, or a folder with crew.py.
    """
    inputs = read_inputs(pairs, source)
    crew = loaded(target, Path.cwd())
    manner = manner_of(as_json=as_json, quiet=quiet, no_input=no_input, **rest)
    if detach:
        return _hand_over(crew, inputs, manner, target, queue or str(Path.cwd()))
    if queue:
        raise InputError("--queue says whose workers carry the run on: it goes with --detach.")
    progress = Progress()
    return carry(crew, lambda options: crew.run(inputs, options), progress, manner, target)


@click.command(
    epilog=examples(
        "crewkit resume @last",
        "crewkit resume r-7f3k --usd 1.00",
        "crewkit resume r-7f3k moved/crew.py",
        "crewkit resume r-7f3k --changed rerun",
    )
)
@click.argument("run", metavar="RUN", shell_complete=complete_run)
@click.argument("target", required=False)
@changed_options
@shared_options
def resume(*, run: str, target: str | None, as_json: bool, quiet: bool, no_input: bool, **rest: Any) -> int:
    """Carry RUN on from where its journal stands. No finished call is made again.

    After a crash, Ctrl-C, an approval, or a limit (raise it here). TARGET is where the crew is now, if
    it is not where it was. What becomes of tasks whose definition, prompt or code changed since, --changed
    says. A run in another process's hands is followed to its end instead.
    """
    progress = Progress()
    found, begun = history_of(run, progress)
    crew, target = crew_again(found, begun, target, "resume")
    manner = manner_of(as_json=as_json, quiet=quiet, no_input=no_input, **rest)
    _tell_if_busy(found, manner)
    if progress.status == "completed" and manner.changed == "stop":
        _nothing_to_do(found, begun, crew)
    return carry(crew, resuming(crew, found, progress), progress, manner, target)


def _nothing_to_do(run: str, begun: Mapping[str, Any], crew: Crew) -> None:
    from crewkit.runs.changes import compare

    say(f"Run {run} is complete: nothing is run again.", style="dim", err=True)
    changes = compare(begun.get("definitions") or {}, crew.plan.definitions)
    for task, change in changes.items():
        say_spans([("  changed since  ", "yellow"), (task, "bold"), (f": {change.what}", "")], err=True)
    if changes:
        say(f"  do it again: crewkit resume {run} --changed rerun", style="dim", err=True)


def _hand_over(crew: Crew, inputs: Mapping[str, Any], manner: Manner, target: str, queue: str) -> int:
    """Begin a run for workers; stdout gets its id."""
    from crewkit.crew.options import Options
    from crewkit.engine.start import announce
    from crewkit.runs.run import hand_over

    options = Options(target=target, queue=queue, **options_of(manner))
    with redirect_stdout(sys.stderr):
        run = asyncio.run(hand_over(crew, inputs, options))
        asyncio.run(announce(run, queue))
    if manner.as_json:
        echo_json({"run": run, "status": "queued", "queue": queue})
    else:
        click.echo(run)
    if not manner.quiet:
        say(f"handed over to the workers of {queue}. Start one there: crewkit worker", err=True)
        say(f"  watch it: crewkit show {run} --follow", style="dim", err=True)
    return OK


def _tell_if_busy(run: str, manner: Manner) -> None:
    with opened_journal() as journal:
        info = journal.info(run)
    if info.alive and (manner.caps or manner.model or manner.changed != "stop"):
        raise RunBusy(
            f"Run {run} is in the hands of {info.owner}, which keeps the crew, limits and models that it has. "
            f"Watch it: crewkit show {run} --follow"
        )
    if info.alive:
        say(f"Run {run} is in the hands of {info.owner}: following it.", style="dim", err=True)
