"""Which journal is meant: the SQLite file of a folder, or the PostgreSQL that `CREWKIT_JOURNAL` names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from crewkit.errors import InputError
from crewkit.journal.base import Journal
from crewkit.journal.sqlite import SqliteJournal, journal_home

_VARIABLE = "CREWKIT_JOURNAL"


def open_journal(
    start: Path | None = None, environ: Mapping[str, str] = os.environ, *, create: bool = True
) -> Journal:
    """Open the journal that `CREWKIT_JOURNAL` names, or else the one that belongs to a folder.

    Args:
        start: The folder; the working directory if left out.
        environ: Where `CREWKIT_JOURNAL` and `CREWKIT_HOME` are looked up.
        create: Make the file if it is not there. Tables in a PostgreSQL are always made.

    Raises:
        InputError: There is none and `create` is false, or `CREWKIT_JOURNAL` names nothing that we know.
        JournalError: It cannot be opened or made.
    """
    if not (url := postgres_url(environ)):
        return SqliteJournal(journal_home(start, environ) / "journal.db", create=create)
    from crewkit.journal.postgres import PostgresJournal

    return PostgresJournal(url)


def postgres_url(environ: Mapping[str, str] = os.environ) -> str:
    """Return the URL of the PostgreSQL that `CREWKIT_JOURNAL` names; empty where it names none.

    Raises:
        InputError: It names something else.
    """
    url = environ.get(_VARIABLE, "")
    if url and not url.startswith(("postgresql://", "postgres://")):
        # The value is not shown: it may hold a password.
        raise InputError(f"{_VARIABLE} has to begin with postgresql:// and this one does not.")
    return url


def has_journal(environ: Mapping[str, str] = os.environ) -> bool:
    """Tell whether there is anything to open without making it."""
    return bool(environ.get(_VARIABLE)) or (journal_home(None, environ) / "journal.db").exists()
