"""How a run ended, as a person or a program is told."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from crewkit.cli.common import echo_json, opened_journal, say, say_spans
from crewkit.cli.progress import Progress
from crewkit.cli.text import count, duration, money, number, one_line, safe
from crewkit.core.clock import to_second

if TYPE_CHECKING:
    from crewkit.crew.result import Result

_CAPS = ("usd", "tokens", "seconds", "steps")
"""Limits that can be raised on the command line."""

_ROWS = 20
"""Tasks and effects of a kind that are told at the end."""


def answer(result: Result, *, as_json: bool) -> None:
    """Print the answer on stdout."""
    from pydantic_core import to_json, to_jsonable_python

    def plain(value: Any) -> Any:
        return to_jsonable_python(value, fallback=str)

    if as_json:
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


def conclude(result: Result, progress: Progress, *, quiet: bool) -> None:
    """Say on stderr how the run ended, and where to read of it."""
    if quiet and result.ok:
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
    where(progress, result.run_id)


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


def where(progress: Progress, run: str = "") -> None:
    """Say where to read of the run."""
    if id := run or progress.run:
        say_spans([(f"transcript {id}", "bold"), (f"  (read it: crewkit show {id})", "dim")], err=True)
