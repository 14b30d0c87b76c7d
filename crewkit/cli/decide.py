"""`crewkit approvals`, `approve` and `deny`: what a person decides about a run."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import click

from crewkit.cli.common import (
    complete_run,
    echo_json,
    examples,
    journal_or_none,
    opened_journal,
    say,
    say_spans,
)
from crewkit.cli.text import Style, count, cut
from crewkit.errors import InputError
from crewkit.journal.decide import decide, find_question, questions, unfinished
from crewkit.journal.edit import edited
from crewkit.journal.read import Pending
from crewkit.notify.words import commands, parts, until, where


@click.command(
    epilog=examples(
        "crewkit approvals",
        "crewkit approvals @last --json",
    )
)
@click.argument("run", required=False, shell_complete=complete_run)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
def approvals(*, run: str | None, as_json: bool) -> None:
    """List the questions that wait for a person, of one RUN or of all."""
    with opened_journal() if run else journal_or_none() as journal:
        names = [journal.find(run)] if run and journal else unfinished(journal) if journal else []
        waiting = [question for name in names for question in questions(journal, name)] if journal else []
    waiting.sort(key=lambda question: question.ts)
    if as_json:
        for question in waiting:
            echo_json(asdict(question))
        return
    if not waiting:
        say("Nothing waits for a person.", err=True)
    for question in waiting:
        print_question(question)


@click.command(
    epilog=examples(
        "crewkit approvals",
        "crewkit approve a-5b1c && crewkit resume @last",
        "crewkit approve a-5b1c --edit amount=5 --edit to=ann@example.org",
        "crewkit approve a-5b1c --arguments @call.json",
    )
)
@click.argument("approval_id", metavar="ID")
@click.option("--note", default="", help="Something to go with it; the agent reads it.")
@click.option(
    "--edit", "edits", multiple=True, metavar="NAME=VALUE", help="Change an argument of the call first."
)
@click.option("--arguments", "whole", default="", metavar="JSON|@FILE|-", help="Give all its arguments anew.")
@click.option(
    "--run", "run", default="", metavar="RUN", shell_complete=complete_run, help="Where to look for ID."
)
def approve(*, approval_id: str, note: str, edits: tuple[str, ...], whole: str, run: str) -> None:
    """Say yes to the question ID; the beginning of an id is enough.

    Edited arguments are checked as any call's are; where they do not pass, the question is put again.
    """
    _decide(approval_id, "approve", note, run, edits, whole)


@click.command(
    epilog=examples(
        'crewkit deny a-5b1c --note "Not before Monday."',
    )
)
@click.argument("approval_id", metavar="ID")
@click.option("--note", required=True, help="Why; the agent reads it.")
@click.option(
    "--run", "run", default="", metavar="RUN", shell_complete=complete_run, help="Where to look for ID."
)
def deny(*, approval_id: str, note: str, run: str) -> None:
    """Say no to the question ID, and why; the beginning of an id is enough."""
    _decide(approval_id, "deny", note, run)


def print_question(question: Pending, *, err: bool = False, lines: int | None = None) -> None:
    """Print a question with what is needed to decide it, and how to; what it is about is cut to some lines."""
    told = f" · {question.ts[:19]}Z"
    say_spans([(question.id, "yellow"), (f"  {where(question)}", ""), (told, "dim")], err=err)
    say(f"  {question.question}", style="bold", err=err)
    for part in parts(question):
        _block(part.label, part.text, lines, style="yellow" if part.warns else "", err=err)
    say(f"  {commands(question)}    {until(question)}".rstrip(), style="dim", err=err)


def _block(label: str, text: str, limit: int | None, *, style: Style, err: bool) -> None:
    lines = text.splitlines() or [""]
    for i, line in enumerate(lines[:limit]):
        shown = line if limit is None else cut(line, 200)
        say_spans([(f"  {label if not i else '':7}", "dim"), (shown, style)], err=err)
    if limit is not None and len(lines) > limit:
        say(f"         … {len(lines) - limit} more lines: crewkit approvals", style="dim", err=err)


def _decide(id: str, decision: str, note: str, run: str, edits: Sequence[str] = (), whole: str = "") -> None:
    with opened_journal() as journal:
        question = find_question(journal, [journal.find(run)] if run else unfinished(journal), id)
        decide(journal, question, decision, note, arguments=_arguments(question, edits, whole))
        left = len(questions(journal, question.run))
        alive = journal.info(question.run).alive
    say("Approved." if decision == "approve" else "Denied.", err=True)
    if left:
        say(f"{count(left, 'question')} of this run still open: crewkit approvals {question.run}", err=True)
    elif alive:
        say(f"The run goes on. Watch it: crewkit show {question.run} --follow", err=True)
    else:
        say(f"Go on with it: crewkit resume {question.run}", err=True)


def _arguments(question: Pending, edits: Sequence[str], whole: str) -> dict[str, Any] | None:
    """Return the arguments that a person put in; `None` where they left them as they are."""
    if not edits and not whole:
        return None
    if whole:
        question = replace(question, arguments=_read(whole))
    return edited(question, edits)


def _read(source: str) -> dict[str, Any]:
    try:
        text = sys.stdin.read() if source == "-" else source
        text = Path(source[1:]).read_text(encoding="utf-8") if source.startswith("@") else text
        read = json.loads(text)
    except OSError as error:
        raise InputError(f"--arguments: {source[1:]} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise InputError(f"--arguments is not JSON: {error}") from error
    if not isinstance(read, dict):
        raise InputError("--arguments is not a JSON object. Write '{\"amount\": 5}', @FILE or - for stdin.")
    return cast("dict[str, Any]", read)
