"""`crewkit runs prune`: old runs removed, or only their content."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from crewkit.cli.common import complete_run, echo_json, examples, opened_journal, say
from crewkit.cli.listing import STATUSES, print_runs, state
from crewkit.cli.text import count, size
from crewkit.errors import CrewkitError, InputError, JournalError
from crewkit.journal.strip import without_content

if TYPE_CHECKING:
    from crewkit.journal.base import Journal, RunInfo

_ENDED = ("completed", "failed", "limit", "denied", "cancelled")
_FAILED = ("failed", "limit", "denied")
_UNITS = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


@click.command(
    epilog=examples(
        "crewkit runs prune --older-than 30d --keep-failed --dry-run",
        "crewkit runs prune --older-than 90d --export archive --yes",
        "crewkit runs prune --older-than 7d --content none",
        "crewkit runs prune r-7f3k",
    )
)
@click.argument("names", metavar="[RUN]...", nargs=-1, shell_complete=complete_run)
@click.option("--older-than", default="", metavar="AGE", help="Whose last event is older: 12h, 30d, 8w.")
@click.option("--keep-failed", is_flag=True, help="Leave those that failed, were denied or reached a limit.")
@click.option(
    "--status", type=click.Choice(STATUSES), multiple=True, help="Only runs in this state; repeatable."
)
@click.option(
    "--content", type=click.Choice(["none"]), help="Drop what was said, keep figures and decisions."
)
@click.option("--export", "folder", default="", metavar="DIR", help="First write each to DIR/RUN.jsonl.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per run.")
def prune(
    *,
    names: tuple[str, ...],
    older_than: str,
    keep_failed: bool,
    status: tuple[str, ...],
    content: str | None,
    folder: str,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Remove ended runs, or with --content none only what was said in them.

    A run that goes on, waits or was interrupted is left, unless it is named or its --status is. One that others
    were forked from stays as long as they do.
    """
    if not (names or older_than or status):
        raise InputError("Which runs? Name them, or say --older-than AGE or --status STATUS.")
    before = datetime.now(UTC) - _age(older_than) if older_than else None
    with opened_journal() as journal:
        wanted = {journal.find(name) for name in names}
        infos = journal.runs()
        found = [
            info
            for info in infos
            if (info.run in wanted if names else _ended(info, status))
            and (not status or state(info) in status)
            and not (keep_failed and info.status in _FAILED)
            and (before is None or datetime.fromisoformat(info.updated) < before)
        ]
        going, kept = _without_forks_elsewhere(infos, found)
        _announce(going, kept, as_json=as_json, content=content is not None, dry_run=dry_run)
        if dry_run or not going or not (yes or _sure(going, content=content is not None)):
            return
        _do(journal, going, Path(folder) if folder else None, strip=content is not None)


def _ended(info: RunInfo, status: Sequence[str]) -> bool:
    return info.status in _ENDED or state(info) in status


def _without_forks_elsewhere(
    infos: Sequence[RunInfo], found: Sequence[RunInfo]
) -> tuple[list[RunInfo], list[RunInfo]]:
    """Leave out whose events are shared by a run that stays; return what goes, forks first, and what is left out."""
    going = {info.run: info for info in found}
    kept: list[RunInfo] = []
    while shared := [info for info in going.values() if _has_fork(info, infos, going)]:
        for info in shared:
            kept.append(going.pop(info.run))
    by_depth = sorted(going.values(), key=lambda info: _depth(info, going), reverse=True)
    return by_depth, kept


def _has_fork(info: RunInfo, infos: Sequence[RunInfo], going: dict[str, RunInfo]) -> bool:
    return any(fork.origin == info.run and fork.run not in going for fork in infos)


def _depth(info: RunInfo, going: dict[str, RunInfo]) -> int:
    depth = 0
    while info.origin in going and depth <= len(going):
        info, depth = going[info.origin], depth + 1
    return depth


def _age(text: str) -> timedelta:
    match = re.fullmatch(r"(\d{1,6})([mhdw])", text.strip())
    if match is None:
        raise InputError(f"--older-than {text} is no age: write a number and m, h, d or w, for example 30d.")
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


def _announce(
    going: Sequence[RunInfo], kept: Sequence[RunInfo], *, as_json: bool, content: bool, dry_run: bool
) -> None:
    for info in kept:
        say(f"{info.run} stays: runs that were forked from it live on its events.", style="dim", err=True)
    if as_json:
        for info in going:
            echo_json({"run": info.run, "status": state(info), "events": info.events, "bytes": info.bytes})
    elif going:
        print_runs(going)
    what = "loses its content" if content else "goes"
    whats = "lose their content" if content else "go"
    if going:
        total = size(sum(info.bytes for info in going))
        would = "would be: " if dry_run else ""
        say(f"{would}{count(len(going), 'run')} {what if len(going) == 1 else whats}, {total}", err=True)
    else:
        say("Nothing to prune.", err=True)


def _sure(going: Sequence[RunInfo], *, content: bool) -> bool:
    if not sys.stdin.isatty():
        raise InputError("Nobody is at a terminal to be asked: say --yes. Nothing was removed.")
    what = "Drop the content of" if content else "Remove"
    return click.confirm(f"{what} {count(len(going), 'run')} for good?", err=True)


def _do(journal: Journal, going: Sequence[RunInfo], folder: Path | None, *, strip: bool) -> None:
    done = failed = 0
    for info in going:
        try:
            if folder is not None:
                _export(journal, info.run, folder)
            if strip:
                journal.rewrite(info.run, without_content)
            else:
                journal.remove(info.run)
            done += 1
        except CrewkitError as error:  # the others can go all the same
            failed += 1
            say(f"{info.run} stays: {error}", style="yellow", err=True)
    if done:
        back = "and its space given back" if journal.compact() else "; its space is used by what comes next"
        say(f"{count(done, 'run')} {'stripped' if strip else 'removed'} {back}".replace(" ;", ";"), err=True)
    if failed:
        raise JournalError(f"{count(failed, 'run')} could not be pruned: see above.")


def _export(journal: Journal, run: str, folder: Path) -> None:
    """Write a run's events to a file, one per line, safe from a loss of power."""
    place = folder / f"{run}.jsonl"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(f"{place}.part", "w", encoding="utf-8", errors="backslashreplace") as file:
            for event in journal.events(run):
                if event.type == "journal.damaged":
                    raise JournalError(
                        f"it cannot be read to its end: {event.data['why']}. It was not exported."
                    )
                file.write(event.to_json() + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(f"{place}.part", place)
    except OSError as error:
        raise JournalError(f"{place} could not be written: {error.strerror}.") from error
