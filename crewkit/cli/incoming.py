"""What comes in for `crewkit watch`, and what makes it the same again: lines of stdin, files of a folder."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from crewkit.cli.common import say
from crewkit.errors import InputError

POLL = 0.5
"""Seconds between two looks into a folder; a file that did not change between them is whole."""

_UNFINISHED = (".part", ".tmp", ".crdownload", "~")


@dataclass(frozen=True)
class Item:
    """Something that a run is for."""

    name: str
    """As people see it."""
    key: str
    """What makes it the same item again, which is not run again."""
    inputs: Mapping[str, Any]
    run: str = ""
    """Its run, where that is begun already."""


def run_of(target: str, key: str) -> str:
    """Return the id of an item's run: the same for the same item of the same crew."""
    return "w-" + blake2b(f"{target}\x1e{key}".encode(), digest_size=6).hexdigest()


async def of_lines(into: str, fixed: Mapping[str, Any], key: str) -> AsyncIterator[Item]:
    """Yield the lines of stdin as they come; one that cannot be used is told and passed over."""
    async for number, line in _stdin():
        text = line.strip()
        if not text:
            continue
        try:
            own = {into: text} if into else _object(text, number)
        except InputError as error:
            say(f"line {number} is passed over: {error}", style="red", err=True)
            continue
        inputs = {**fixed, **own}
        mark = inputs.get(key, text) if key else text
        yield Item(text, json.dumps([mark, *([] if key else [fixed])], sort_keys=True), inputs)


async def _stdin() -> AsyncIterator[tuple[int, str]]:
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[str | None] = asyncio.Queue(maxsize=64)

    def read() -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody wants more
            for line in sys.stdin:
                asyncio.run_coroutine_threadsafe(queue.put(line), loop).result()
            asyncio.run_coroutine_threadsafe(queue.put(None), loop).result()

    threading.Thread(target=read, name="crewkit-stdin", daemon=True).start()
    number = 0
    while (line := await queue.get()) is not None:
        number += 1
        yield number, line


def _object(text: str, number: int) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise InputError(f"it is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise InputError(f"it holds no object: {text[:60]} (line {number})")
    return value  # pyright: ignore[reportUnknownVariableType]


async def of_files(
    folder: Path, pattern: str, into: str, fixed: Mapping[str, Any], *, once: bool
) -> AsyncIterator[Item]:
    """Yield the files of a folder once they are whole, and again when their content changed."""
    before: dict[Path, tuple[int, int]] = {}
    done: dict[Path, tuple[int, int]] = {}
    while True:
        seen = await asyncio.to_thread(_scan, folder, pattern)
        for path, stamp in seen.items():
            if before.get(path) == stamp and done.get(path) != stamp:
                done[path] = stamp
                content = await asyncio.to_thread(_hash, path)
                if content:
                    name = path.relative_to(folder).as_posix()
                    yield Item(
                        name, json.dumps([name, content, fixed], sort_keys=True), {**fixed, into: str(path)}
                    )
        if once and seen == before:
            return
        before = seen
        await asyncio.sleep(POLL)


def _scan(folder: Path, pattern: str) -> dict[Path, tuple[int, int]]:
    found: dict[Path, tuple[int, int]] = {}
    for path in sorted(folder.rglob(pattern) if "/" in pattern else folder.glob(pattern)):
        if path.name.startswith(".") or path.name.endswith(_UNFINISHED):
            continue
        with suppress(OSError):  # it went away meanwhile
            status = path.stat()
            if path.is_file():
                found[path.absolute()] = (status.st_mtime_ns, status.st_size)
    return found


def _hash(path: Path) -> str:
    digest = blake2b(digest_size=16)
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError:
        return ""
    return digest.hexdigest()
