"""`crewkit approvals`, `approve` and `deny`: what a person decides about a run."""

from __future__ import annotations

import getpass
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

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
from crewkit.cli.text import call_text, compact, count, cut
from crewkit.core.events import Draft, Event
from crewkit.errors import InputError, did_you_mean
from crewkit.journal.base import Write
from crewkit.journal.read import Pending, pending
from crewkit.journal.tell import stamped

if TYPE_CHECKING:
    from crewkit.journal.base import Journal

_ENDED = ("completed", "failed", "denied", "cancelled")

_TELLING = (
    "approval.requested",
    "approval.decided",
    "run.started",
    "run.forked",
    "run.resumed",
    "run.paused",
    "run.finished",
)
"""Types of events that tell what waits for a person."""


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
        names = [journal.find(run)] if run and journal else _unfinished(journal)
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
    )
)
@click.argument("approval_id", metavar="ID")
@click.option("--note", default="", help="Something to go with it; the agent reads it.")
@click.option(
    "--run", "run", default="", metavar="RUN", shell_complete=complete_run, help="Where to look for ID."
)
def approve(*, approval_id: str, note: str, run: str) -> None:
    """Say yes to the question ID; the beginning of an id is enough."""
    _decide(approval_id, "approve", note, run)


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


def questions(journal: Journal, run: str) -> list[Pending]:
    """Return the questions of a run that wait for a person, the oldest first."""
    return pending(journal.events(run, types=_TELLING))


def decide(journal: Journal, question: Pending, decision: str, note: str) -> Event | None:
    """Append a person's decision; return the one of someone who was faster, where there is one."""
    data = {"id": question.id, "decision": decision, "note": note, "by": who()}
    draft = Draft(
        "approval.decided", question.path, data, question.task, question.agent, key=f"decided:{question.id}"
    )
    return None if _append(journal, question.run, draft) else _decided(journal, question.run, question.id)


def who() -> str:
    """Return the user's name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def print_question(question: Pending, *, err: bool = False, lines: int | None = None) -> None:
    """Print a question with what is needed to decide it, and how to; what it is about is cut to some lines."""
    where = f"  {question.run} · {question.task}"
    by = f" · {question.agent}" if question.agent not in ("", question.task) else ""
    say_spans([(question.id, "yellow"), (where + by, ""), (f" · {question.ts[:19]}Z", "dim")], err=err)
    say(f"  {question.question}", style="bold", err=err)
    if question.tool:
        _block("call", call_text(question.tool, question.arguments), lines, err=err)
    if question.reason:
        _block("reason", question.reason, lines, err=err)
    if question.output is not None:
        _block("output", _pretty(question.output), lines, err=err)
    say(f'  crewkit approve {question.id}    crewkit deny {question.id} --note "…"', style="dim", err=err)


def _block(label: str, text: str, limit: int | None, *, err: bool) -> None:
    lines = text.splitlines() or [""]
    for i, line in enumerate(lines[:limit]):
        shown = line if limit is None else cut(line, 200)
        say_spans([(f"  {label if not i else '':7}", "dim"), (shown, "")], err=err)
    if limit is not None and len(lines) > limit:
        say(f"         … {len(lines) - limit} more lines: crewkit approvals", style="dim", err=err)


def _pretty(output: Any) -> str:
    return compact(output) if isinstance(output, str) else json.dumps(output, ensure_ascii=False, indent=2)


def _decide(id: str, decision: str, note: str, run: str) -> None:
    with opened_journal() as journal:
        names = [journal.find(run)] if run else _unfinished(journal)
        question = _find(journal, names, id)
        if first := decide(journal, question, decision, note):
            raise InputError(_already(first))
        left = len(questions(journal, question.run))
        alive = journal.info(question.run).alive
    say("Approved." if decision == "approve" else "Denied.", err=True)
    if left:
        say(f"{count(left, 'question')} of this run still open: crewkit approvals {question.run}", err=True)
    elif alive:
        say(f"The run goes on. Watch it: crewkit show {question.run} --follow", err=True)
    else:
        say(f"Go on with it: crewkit resume {question.run}", err=True)


def _find(journal: Journal, names: Sequence[str], id: str) -> Pending:
    waiting = [question for name in names for question in questions(journal, name)]
    found = [q for q in waiting if q.id == id] or [q for q in waiting if id and q.id.startswith(id)]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"'{id}' may mean {', '.join(q.id for q in found[:8])}: say which.")
    for info in journal.runs():
        if first := _decided(journal, info.run, id):
            raise InputError(_already(first))
    near = did_you_mean(id, [question.id for question in waiting])
    raise InputError(f"No open question has the id '{id}'.{near} All that are open: crewkit approvals")


def _decided(journal: Journal, run: str, id: str) -> Event | None:
    events = journal.events(run, types=("approval.decided",))
    return next((event for event in events if id and str(event.data.get("id")).startswith(id)), None)


def _already(first: Event) -> str:
    data = first.data
    verb = "approved" if data.get("decision") == "approve" else "denied"
    note = f" ({data['note']})" if data.get("note") else ""
    return (
        f"{data.get('id')} was {verb} by {data.get('by') or 'someone'} at {first.ts[:19]}Z{note}; "
        f"the first answer counts. Go on with the run: crewkit resume {first.run}"
    )


def _unfinished(journal: Journal | None) -> list[str]:
    return [info.run for info in journal.runs() if info.status not in _ENDED] if journal else []


def _append(journal: Journal, run: str, draft: Draft) -> list[Event]:
    """Append from outside the run: the draft has a key."""
    return journal.append([Write(run, [stamped(draft)], None, durable=True)])[0]
