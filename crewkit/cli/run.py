"""`crewkit run` and `crewkit resume`: a crew at work, and what it came to."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crewkit.cli.again import crew_again, history_of, loaded
from crewkit.cli.common import complete_run, echo_json, examples, opened_journal, say, say_spans
from crewkit.cli.group import DENIED, FAILED, INTERRUPTED, LIMIT, OK, PAUSED
from crewkit.cli.inputs import caps, limit_options, read_inputs
from crewkit.cli.progress import Progress
from crewkit.cli.stop import Stop
from crewkit.cli.text import count, duration, money, number, one_line, safe
from crewkit.core.clock import to_second
from crewkit.errors import CrewkitError, InputError, JournalError, RunBusy

if TYPE_CHECKING:
    from crewkit.core.events import Event
    from crewkit.crew.crew import Crew
    from crewkit.crew.options import Changed, Options
    from crewkit.crew.result import Result
    from crewkit.runs.changes import RepeatsEffects

Work = Callable[["Options"], Coroutine[Any, Any, "Result"]]

_CAPS = ("usd", "tokens", "seconds", "steps")
"""Limits that can be raised on the command line."""

_ROWS = 20
"""Tasks and effects of a kind that are told at the end."""

_CODES = {"completed": OK, "failed": FAILED, "paused": PAUSED, "limit": LIMIT, "denied": DENIED}


@dataclass(frozen=True)
class Manner:
    """How a person wants to see a run."""

    as_json: bool
    quiet: bool
    asks: bool
    """Open questions may be put to whoever sits at the terminal."""
    wait: bool = False
    """Stay with a run that waits."""
    model: Sequence[str] = ()
    caps: Mapping[str, Any] = field(default_factory=dict[str, Any])
    changed: Changed = "stop"
    yes: bool = False
    """Effects may happen again."""
    otel: bool = False
    """Send traces when the run ends; the environment may ask for it too."""


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

    TARGET is path.py[:attr], package.module:attr, or a folder with a crew.py.
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
    return carry(crew, _resuming(crew, found, progress), progress, manner, target)


def manner_of(
    *,
    as_json: bool,
    quiet: bool,
    no_input: bool,
    wait: bool,
    model: tuple[str, ...],
    otel: bool = False,
    changed: Changed = "stop",
    yes: bool = False,
    **limits: int | float | str | None,
) -> Manner:
    """Return how a person wants to see a run."""
    asks = not no_input and not quiet and not wait and sys.stdin.isatty() and sys.stderr.isatty()
    return Manner(as_json, quiet, asks, wait, model, caps(**limits), changed, yes, otel)


def _nothing_to_do(run: str, begun: Mapping[str, Any], crew: Crew) -> None:
    from crewkit.runs.changes import compare

    say(f"Run {run} is complete: nothing is run again.", style="dim", err=True)
    changes = compare(begun.get("definitions") or {}, crew.plan.definitions)
    for task, change in changes.items():
        say_spans([("  changed since  ", "yellow"), (task, "bold"), (f": {change.what}", "")], err=True)
    if changes:
        say(f"  do it again: crewkit resume {run} --changed rerun", style="dim", err=True)


# Running


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


def carry(crew: Crew, work: Work, progress: Progress, manner: Manner, target: str) -> int:
    """Do the work under a person's eyes, tell its end, and return the exit code."""
    from crewkit.crew.options import Options
    from crewkit.runs.changes import RepeatsEffects

    options = Options(target=target, **options_of(manner))
    try:
        while True:
            try:
                with redirect_stdout(sys.stderr):
                    result = asyncio.run(_watched(work, options, progress, manner))
            except RepeatsEffects as error:
                if not (manner.asks and _may_repeat(error)):
                    raise
                options = replace(options, repeat_effects=True)
                continue
            if result is None:
                return _interrupted(progress)
            if not (manner.asks and result.status == "paused" and _ask_here(result.run_id)):
                break
            work = _resuming(crew, result.run_id, progress)
    except CrewkitError as error:
        if progress.run and isinstance(error, JournalError) and not isinstance(error, RunBusy):
            say(f"  go on: crewkit resume {progress.run}", style="dim", err=True)
        _where(progress)
        raise
    except Exception as error:
        if progress.run:
            error.add_note(f"The run is kept as far as it came. Go on: crewkit resume {progress.run}")
        raise
    _answer(result, manner)
    _conclude(result, progress, manner)
    if result.status != "paused":
        _trace(result.run_id, asked=manner.otel)
    return _CODES.get(result.status, FAILED)


def _trace(run: str, *, asked: bool) -> None:
    """Send the run's traces where somebody wants them. A collector that is away takes nothing from the run."""
    from crewkit.core.environ import environment
    from crewkit.traces.send import CollectorError, send_run, wanted

    environ = environment()
    if not asked and not wanted(environ):
        return
    with opened_journal() as journal:
        try:
            send_run(list(journal.events(run)), environ)
        except (CollectorError, InputError) as error:
            say(f"{error}  later: crewkit export {run} --format otlp", style="yellow", err=True)


def _resuming(crew: Crew, run: str, progress: Progress) -> Work:
    """Return the work of carrying a run on, or of following it while another process does."""

    async def work(options: Options) -> Result:
        from crewkit.runs.attach import attach

        while True:
            try:
                return await crew.resume(run, options)
            except RunBusy:
                # Its process may die while we watch: then it is ours to carry on.
                if result := await attach(crew, run, options, after=progress.seq):
                    return result

    return work


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


def _may_repeat(error: RepeatsEffects) -> bool:
    """Ask whoever sits at the terminal whether effects may happen again."""
    for effect in error.effects:
        say(f"  again: {effect}", style="yellow", err=True)
    return click.confirm("These were made already. Make them again?", default=False, err=True)


def options_of(manner: Manner) -> dict[str, Any]:
    """Return what a person wants as `Options` takes it."""
    from crewkit.core.limits import Limits

    options: dict[str, Any] = {"limits": Limits(**manner.caps), "wait": manner.wait}
    options |= {"changed": manner.changed, "repeat_effects": manner.yes}
    if manner.model:
        options["model"] = manner.model[0] if len(manner.model) == 1 else list(manner.model)
    return options


async def _watched(work: Work, options: Options, progress: Progress, manner: Manner) -> Result | None:
    """Do the work under a person's eyes; `None` where they interrupted it."""
    task = asyncio.current_task()
    assert task is not None
    stop: Stop | None = None
    try:
        if manner.quiet:
            with Stop(task, lambda: None) as stop:
                return await work(replace(options, listener=progress.add))
        if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
            from rich.console import Console

            from crewkit.cli.live import View

            console = Console(stderr=True, markup=False, highlight=False, emoji=False)
            async with View(console, progress) as view:
                with Stop(task, view.stop) as stop:
                    return await work(replace(options, listener=view.add))
        with Stop(task, lambda: say("stopping in order …", err=True)) as stop:
            return await work(replace(options, listener=partial(_tell, progress, waits=manner.wait)))
    except asyncio.CancelledError:
        if stop is None or not stop.pressed:
            raise
        return None


def _tell(progress: Progress, event: Event, *, waits: bool) -> None:
    progress.add(event)
    # Told at length when all is done.
    ended = event.type == "run.finished" or (event.type == "run.paused" and not waits)
    if not ended and (line := progress.line(event)):
        say_spans(line, err=True)


# Ending


def _answer(result: Result, manner: Manner) -> None:
    """Print the answer on stdout."""
    from pydantic_core import to_json, to_jsonable_python

    def plain(value: Any) -> Any:
        return to_jsonable_python(value, fallback=str)

    if manner.as_json:
        report = result.report
        echo_json(
            {
                "run": result.run_id,
                "status": result.status,
                "why": result.why,
                "output": plain(result.output),
                "report": {
                    "completed": list(report.completed),
                    "failed": dict(report.failed),
                    "skipped": dict(report.skipped),
                    "waiting": dict(report.waiting),
                    "capped": dict(report.capped),
                    "undone": dict(report.undone),
                    "left": dict(report.left),
                },
                "usage": dict(result.usage),
                "approvals": list(result.approvals),
                "waits": list(result.waits),
                "until": result.until or None,
            }
        )
    elif result.ok and result.output is not None:
        text = (
            result.output
            if isinstance(result.output, str)
            else to_json(result.output, indent=2, fallback=str).decode()
        )
        # A terminal is steered by what it is sent; a file or a program gets the answer as it is.
        click.echo(safe(text) if sys.stdout.isatty() else text)


def _conclude(result: Result, progress: Progress, manner: Manner) -> None:
    """Say on stderr how the run ended, and where to read of it."""
    if manner.quiet and result.ok:
        return
    report, usage = result.report, result.usage
    styles = {"completed": "green", "paused": "yellow", "limit": "yellow"}
    everything = len(report.completed) + len(report.failed) + len(report.skipped) + len(report.waiting)
    used = [duration(float(usage.get("seconds") or 0)), f"{number(usage.get('tokens') or 0)} tokens"]
    used.append(money(usage.get("usd")))
    heading = (
        f": {len(report.completed)} of {count(max(everything, progress.all()), 'task')} · {' · '.join(used)}"
    )
    say_spans([(result.status, styles.get(result.status, "red")), (heading, "")], err=True)
    if not result.ok and result.why:
        say(f"  {one_line(result.why)}", err=True)
    for mark, style, tasks in (
        ("✗", "red", report.failed),
        ("-", "dim", report.skipped),
        ("?", "yellow", report.waiting),
        ("!", "yellow", report.capped),
        ("↶", "green", {path: f"undone by {by}()" for path, by in report.undone.items()}),
        ("!", "red", {path: f"not undone: {why}" for path, why in report.left.items()}),
    ):
        for task, why in list(tasks.items())[:_ROWS]:
            say_spans([(f"  {mark} ", style), (task, "bold"), (f"  {one_line(why, 400)}", "")], err=True)
        if (hidden := len(tasks) - _ROWS) > 0:
            say(f"  {mark} … {number(hidden)} more", style="dim", err=True)
    if result.status == "paused":
        _print_what_is_missing(result)
    elif report.left:
        say(f"  try again: crewkit undo {result.run_id}", style="dim", err=True)
    elif result.status in ("limit", "failed") and not report.undone:
        raised = f" --{progress.limit} N" if result.status == "limit" and progress.limit in _CAPS else ""
        say(f"  go on: crewkit resume {result.run_id}{raised}", style="dim", err=True)
    _where(progress, result.run_id)


def _print_what_is_missing(result: Result) -> None:
    from crewkit.cli.decide import print_question
    from crewkit.journal.decide import questions

    run = result.run_id
    with opened_journal() as journal:
        for question in questions(journal, run) if result.approvals else ():
            print_question(question, err=True, lines=8)
        for wait in journal.events(run, types=("wait.started",)) if result.waits else ():
            if wait.data.get("for") == "event" and wait.data.get("id") in result.waits:
                event = wait.data.get("event")
                say(f"  crewkit tell {run} --event {event} --data '…'", style="dim", err=True)
    when = f", or by itself from {to_second(result.until)} under a worker" if result.until else ""
    say(f"  then: crewkit resume {run} [--wait]{when}", style="dim", err=True)


def _where(progress: Progress, run: str = "") -> None:
    if id := run or progress.run:
        say_spans([(f"transcript {id}", "bold"), (f"  (read it: crewkit show {id})", "dim")], err=True)


def _interrupted(progress: Progress) -> int:
    if not progress.run:
        say("interrupted before the run began", err=True)
        return INTERRUPTED
    with opened_journal() as journal:
        goes_on = journal.info(progress.run).alive
    if goes_on:
        say(f"not followed any more; the run goes on: crewkit show {progress.run} --follow", err=True)
        return INTERRUPTED
    kept = f": {progress.done()} of {count(progress.all(), 'task')} done and kept"
    say_spans([("interrupted", "yellow"), (kept, "")], err=True)
    say(f"  go on: crewkit resume {progress.run}", err=True)
    _where(progress)
    return INTERRUPTED


def _ask_here(run: str) -> bool:
    """Put a paused run's questions to whoever sits at the terminal; return whether the run can go on."""
    from crewkit.cli.decide import print_question
    from crewkit.journal.decide import decide, questions
    from crewkit.journal.edit import edited

    decided = 0
    with opened_journal() as journal:
        waiting = questions(journal, run)
        for question in waiting:
            print_question(question, err=True)
            said = click.prompt(
                "  y: yes, n: no, NAME=VALUE: yes with this changed, enter: later",
                default="",
                show_default=False,
                err=True,
                prompt_suffix=" > ",
            )
            word = said.strip().lower()
            if word not in ("y", "yes", "n", "no") and "=" not in word:
                continue
            no = word in ("n", "no")
            note = click.prompt("  why", default="", show_default=False, err=True) if no else ""
            try:
                arguments = edited(question, [said.strip()]) if "=" in word else None
                decide(journal, question, "deny" if no else "approve", note, arguments=arguments)
            except InputError as refused:
                say(f"  {refused}", style="yellow", err=True)
            decided += 1
    return decided > 0
