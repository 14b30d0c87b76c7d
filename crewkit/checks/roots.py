"""Paths: an argument may only name what lies in certain folders, whichever way it is written."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from crewkit.checks.constraint import texts_of

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")


@dataclass(frozen=True, slots=True)
class Roots:
    """An argument is a path, or a list of paths, within folders.

    Path and folders are resolved as the system would: symlinks followed, `..` gone up, a part that is not there taken
    as it is. What a tool may make of a path before it opens it (decoded, expanded, normalised) has to lie within
    too. Checked before the call: who can write into the folder meanwhile can swap what the path means.
    """

    argument: str
    folders: tuple[str, ...]
    """Relative ones start from the run's working directory."""

    @property
    def arguments(self) -> Iterable[str]:
        """The arguments that it names."""
        return (self.argument,)

    def __str__(self) -> str:
        return f"{self.argument} within {', '.join(self.folders)}"

    def problem(self, arguments: Mapping[str, Any], cwd: Path) -> str:
        """Say what is wrong with a call; empty where nothing is."""
        paths = texts_of(arguments, self.argument)
        if isinstance(paths, str):
            return paths
        roots = [_resolved(folder, cwd) for folder in self.folders]
        for path in paths:
            if why := _unfit(path):
                return f"'{self.argument}': {why}"
            for reading in set(_readings(path)):
                where = _resolved(reading, cwd)
                if reading.startswith("~") or not any(where.is_relative_to(root) for root in roots):
                    granted = ", ".join(self.folders)
                    return f"'{self.argument}': {path!r:.200} lies outside of what is granted: {granted}"
        return ""


def _resolved(path: str, cwd: Path) -> Path:
    return Path(os.path.realpath(cwd / path))


def _unfit(path: str) -> str:
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in path):
        return "a path holds no control characters"
    if _SCHEME.match(path):
        return f"{path!r:.200} is a URL or names a drive; give a plain path"
    return ""


def _readings(path: str) -> Iterator[str]:
    """Yield what a tool may make of a path before it opens it."""
    for text in (path, unicodedata.normalize("NFKC", path)):
        once = unquote(text)
        for decoded in (text, once, unquote(once), os.path.expandvars(text)):
            for slashed in (decoded, decoded.replace("\\", "/")):
                yield slashed.replace("\0", "/")
                yield slashed.strip().replace("\0", "/")
