"""`crewkit tell`, `pause` and `cancel`: what a person says to a run that goes on."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crewkit.cli.common import complete_run, examples, opened_journal, say
from crewkit.core.events import Draft, Event
from crewkit.errors import InputError, RunBusy
from crewkit.journal.base import Write
from crewkit.journal.decide import who
from crewkit.journal.forget import standing
from crewkit.journal.read import beginning
from crewkit.journal.tell import signal, stamped, tell_agents, tell_event

if TYPE_CHECKING:
    from crewkit.journal.base import Journal

_ENDED = ("completed", "failed", "denied", "cancelled")


@click.command(
    epilog=examples(
        'crewkit tell @last "Leave out the figures of May." --to Editor',
        'crewkit tell r-7f3k --event contract_signed --data \'{"by": "Ann"}\'',
        "crewkit tell r-7f3k --event contract_signed --data @contract.json --id mail-4711",
    )
)
@click.argument("run", shell_complete=complete_run)
@click.argument("text", required=False)
@click.option("--to", default="", metavar="AGENT", help="Only this agent; without it, all of them.")
@click.option("--event", default="", metavar="NAME", help="Say that this event happened, instead of a text.")
@click.option("--data", default="", metavar="JSON|@FILE|-", help="What the event brings.")
@click.option("--id", "id", default="", help="The event's own id: told twice, it counts once.")
def tell(*, run: str, text: str | None, to: str, event: str, data: str, id: str) -> None:
    """Leave a message for the agents of a RUN, or say that an event happened for which it waits.

    Agents read a message before their next turn. Nothing is lost: it is kept in the run's journal, also while the run
    is paused.
    """
    if bool(text) == bool(event):
        raise InputError('Say one thing: crewkit tell RUN "text", or crewkit tell RUN --event NAME.')
    if event and to:
        raise InputError("An event is for the run, not for an agent: leave out --to.")
    if text and (data or id):
        raise InputError("--data and --id belong to an event: crewkit tell RUN --event NAME --data …")
    from crewkit.core.environ import environment
    from crewkit.journal.redact import Redactor

    redactor = Redactor.from_environ(environment())
    with opened_journal() as journal:
        found = journal.find(run)
        if event:
            new = tell_event(journal, found, event, _data(data), who(), id=id, redactor=redactor)
            say(f"Run {found} is told." if new else f"Run {found} was told that already.", err=True)
        elif not tell_agents(journal, found, text or "", who(), to=to, redactor=redactor):
            whom = f"'{to}'" if to else "the agents"
            say(
                f"Kept, but the tasks of {whom} are all done: nobody may read it any more.",
                style="yellow",
                err=True,
            )
        else:
            say(f"{to or 'The agents'} will read it before the next turn.", err=True)
        _next(journal, found)


@click.command(epilog=examples("crewkit pause r-7f3k", "crewkit resume r-7f3k"))
@click.argument("run", shell_complete=complete_run)
def pause(*, run: str) -> None:
    """Let a RUN finish the calls that are under way, and pause it until somebody resumes it.

    A paused one is left to itself no more: no time, event or decision lets it go on, only a resume.
    """
    with opened_journal() as journal:
        found = journal.find(run)
        _refuse_ended(journal, found)
        try:
            _append(journal, found, _paused)
        except RunBusy:
            signal(journal, found, "pause", who())
            say(f"Run {found} is told to pause. Watch it: crewkit show {found} --follow", err=True)
        else:
            say(f"Run {found} is paused. Go on with it: crewkit resume {found}", err=True)


@click.command(
    epilog=examples(
        "crewkit cancel r-7f3k",
    )
)
@click.argument("run", shell_complete=complete_run)
def cancel(*, run: str) -> None:
    """End a RUN for good. What is finished stays in its transcript.

    A running one is told to stop; one that is paused or whose process died is ended at once.
    """
    with opened_journal() as journal:
        found = journal.find(run)
        _refuse_ended(journal, found)
        try:
            _append(journal, found, _cancelled)
        except RunBusy:
            signal(journal, found, "cancel", who())
            say(f"Run {found} is told to stop. Watch it: crewkit show {found} --follow", err=True)
        else:
            say(f"Run {found} is cancelled. Read it: crewkit show {found}", err=True)


def _data(text: str) -> Any:
    """Read what an event brings."""
    if not text:
        return None
    try:
        if text == "-":
            text = sys.stdin.read()
        elif text.startswith("@"):
            text = Path(text[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--data {text}: {error}") from error
    try:
        return json.loads(text)
    except ValueError as error:
        raise InputError(
            f"--data is not JSON: {error}. A text needs quotes within: --data '\"yes\"'"
        ) from error


def _next(journal: Journal, run: str) -> None:
    """Say how a run that nobody has in hand goes on."""
    if not journal.info(run).alive:
        say(f"Go on with it: crewkit resume {run}", style="dim", err=True)


def _refuse_ended(journal: Journal, run: str) -> None:
    status = journal.info(run).status
    if status in _ENDED:
        raise InputError(f"Run {run} is over: it is {status}. Read it: crewkit show {run}")


def _append(journal: Journal, run: str, made: Callable[[Journal, str], Draft]) -> None:
    """Take a run that nobody has in hand, and append how it stands from now on.

    Raises:
        RunBusy: A living process has it.
    """
    lease = journal.take(run, f"cli-{secrets.token_hex(4)}")
    try:
        draft = stamped(replace(made(journal, run), seg=lease.seg))
        journal.append([Write(run, [draft], lease.epoch, durable=True)])
    finally:
        journal.release(lease)


def _paused(journal: Journal, run: str) -> Draft:
    data = {"reason": "pause", "by": who(), "why": f"{who()} paused it.", "seen": journal.last(run)}
    return Draft("run.paused", data=data)


def _cancelled(journal: Journal, run: str) -> Draft:
    report = _report(list(journal.events(run)))
    data = {"status": "cancelled", "why": f"{who()} cancelled it.", "output": None, "report": report}
    return Draft("run.finished", data=data)


def _report(events: list[Event]) -> dict[str, Any]:
    counted = standing(events).events
    last = {event.path: event.data for event in counted if event.type == "task.finished"}
    names = [str(task.get("name")) for task in beginning(events).get("tasks", [])]
    status = {name: str((last.get(name) or {}).get("status", "")) for name in names}
    return {
        "completed": [name for name in names if status[name] == "completed"],
        "failed": [{"task": n, "error": _error(last[n])} for n in names if status[n] == "failed"],
        "skipped": [
            {"task": n, "why": "The run was cancelled."} for n in names if status[n] in ("", "skipped")
        ],
    }


def _error(finished: dict[str, Any]) -> str:
    error: Any = finished.get("error") or ""
    try:
        return str(error["message"])
    except (TypeError, KeyError):
        return str(error)
