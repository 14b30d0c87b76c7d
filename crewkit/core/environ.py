"""The environment, and what a `.env` adds to it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from crewkit.errors import InputError


def environment() -> Mapping[str, str]:
    """Return the environment, with what the nearest `.env` upwards from the working directory adds to it.

    Raises:
        InputError: The file cannot be read.
    """
    try:
        here = Path.cwd()
    except FileNotFoundError:  # somebody removed it; whoever needs it says so
        return dict(os.environ)
    file = next((path for folder in (here, *here.parents) if (path := folder / ".env").is_file()), None)
    if file is None:
        return dict(os.environ)
    from dotenv import dotenv_values

    try:
        added = dotenv_values(file)
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InputError(f"{file} cannot be read: {why}. Mend it or move it away.") from error
    return {**{name: value for name, value in added.items() if value is not None}, **os.environ}
