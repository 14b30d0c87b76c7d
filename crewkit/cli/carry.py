"""A run carried on under a person's eyes: its progress, their interrupts and answers, its exit code."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from crewkit.cli.common import opened_journal, say, say_spans
from crewkit.cli.ending import answer, conclude, where
from crewkit.cli.group import DENIED, FAILED, INTERRUPTED, LIMIT, OK, PAUSED
from crewkit.cli.inputs import caps
from crewkit.cli.progress import Progress
from crewkit.cli.stop import Stop
from crewkit.cli.text import count
from crewkit.errors import CrewkitError, InputError, JournalError, RunBusy

if TYPE_CHECKING:
    from crewkit.core.events import Event
    from crewkit.crew.crew import Crew
    from crewkit.crew.options import Changed, Options
    from crewkit.crew.result import Result
    from crewkit.runs.changes import RepeatsEffects


Work = Callable[["Options"], Coroutine[Any, Any, "Result"]]

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
            work = resuming(crew, result.run_id, progress)
    except CrewkitError as error:
        if progress.run and isinstance(error, JournalError) and not isinstance(error, RunBusy):
            say(f"  go on: crewkit resume {progress.run}", style="dim", err=True)
        where(progress)
        raise
    except Exception as error:
        if progress.run:
            error.add_note(f"The run is kept as far as it came. Go on: crewkit resume {progress.run}")
        raise
    try:
        answer(result, as_json=manner.as_json)
    finally:  # also where nobody reads the answer: which run it was has to be told
        conclude(result, progress, quiet=manner.quiet)
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


def resuming(crew: Crew, run: str, progress: Progress) -> Work:
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
        with Stop(task, lambda: say("stopping in order …; Ctrl-C again leaves at once", err=True)) as stop:
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
    where(progress)
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
