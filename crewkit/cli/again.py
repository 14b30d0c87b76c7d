"""The crew of a run that is there: where it was, or where a person says that it is now."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crewkit.cli.common import opened_journal, say
from crewkit.errors import InputError

if TYPE_CHECKING:
    from crewkit.cli.progress import Progress
    from crewkit.core.events import Event
    from crewkit.crew.crew import Crew


def crew_again(run: str, begun: Mapping[str, Any], target: str | None, command: str) -> tuple[Crew, str]:
    """Return a run's crew as it is now, and its target.

    Args:
        run: The run's id.
        begun: What it began with.
        target: Where a person says that the crew is; otherwise it is where the run began.
        command: Which command wants it, for messages.
    """
    kept, cwd = str(begun.get("target") or ""), str(begun.get("cwd") or "")
    if not (target or kept):
        raise InputError(
            f"Run {run} does not say where its crew is: it was not begun by this command. "
            f"Name it: crewkit {command} {run} path.py"
        )
    if not target:
        _go_back_to(cwd, run)
    return _loaded_again(target or kept, run, given=bool(target)), target or kept


def loaded(target: str, cwd: Path) -> Crew:
    """Load a crew; what its file prints does not get among the answers."""
    from crewkit.files.load import load

    with redirect_stdout(sys.stderr):
        return load(target, cwd)


def history_of(name: str, progress: Progress) -> tuple[str, dict[str, Any]]:
    """Find a run and take in what happened in it; return its id, and what it began with."""
    from crewkit.journal.read import beginning

    with opened_journal() as journal:
        found = journal.find(name)
        begins: list[Event] = []
        for event in journal.events(found):
            progress.add(event)
            if event.type in ("run.started", "run.forked", "run.resumed"):
                begins.append(event)
    return found, beginning(begins)


def _go_back_to(cwd: str, run: str) -> None:
    """Work where the run began: its crew and its tools may name files from there."""
    if not cwd or Path(cwd) == Path.cwd():
        return
    # The journal is this one, wherever the crew works.
    from crewkit.core.environ import environment
    from crewkit.journal.sqlite import journal_home

    environ = environment()
    home = journal_home(None, environ)
    try:
        os.chdir(cwd)
    except OSError as error:
        raise InputError(
            f"Run {run} began in {cwd}, which cannot be entered: {error.strerror}. "
            f"Name its crew to go on here: crewkit resume {run} path.py"
        ) from error
    os.environ["CREWKIT_HOME"] = str(home)
    os.environ["CREWKIT_JOURNAL"] = environ.get("CREWKIT_JOURNAL", "")  # empty: not that of a .env there
    say(f"in {cwd}, where the run began", style="dim", err=True)


def _loaded_again(target: str, run: str, *, given: bool) -> Crew:
    """Load the crew of a run, where it was or where a person says it is."""
    try:
        return loaded(target, Path.cwd())
    except InputError as error:
        if given:
            raise
        raise InputError(
            f"{error} Run {run} was begun with it. Name it: crewkit resume {run} path.py"
        ) from error
