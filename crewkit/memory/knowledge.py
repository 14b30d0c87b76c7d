"""Folders of documents in memory: each document indexed once, by the hash of its content."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

from crewkit.errors import InputError
from crewkit.memory.base import Memory, Origin
from crewkit.memory.documents import list_documents, read_bytes, text_of
from crewkit.memory.semantic import SemanticMemory
from crewkit.memory.split import split

_EDITION = b"2"
"""Of the way documents are read and cut; another one indexes them again."""


@dataclass
class Indexed:
    """What became of the documents."""

    added: list[str] = field(default_factory=list[str])
    """New ones, and those whose content is another now."""
    unchanged: list[str] = field(default_factory=list[str])
    removed: list[str] = field(default_factory=list[str])
    """Those that are no longer in the folder."""
    refused: dict[str, str] = field(default_factory=dict[str, str])
    """Those that could not be read, with the reason."""
    passages: int = 0
    """Of the added ones."""


async def index(
    memory: Memory,
    paths: Sequence[Path | str],
    *,
    namespace: str,
    origin: Origin | None = None,
    progress: Callable[[str, int, int], None] = lambda source, done, of: None,
) -> Indexed:
    """Bring documents and folders of them into memory, and what is no longer in the folders out of it.

    Killed in the middle it goes on where it stood: a document is in memory whole or not at all.

    Args:
        memory: Where to; a memory that cannot tell its sources is given all of them each time.
        paths: Files and folders. A document's source is its path, as found from here.
        namespace: Where they are kept.
        origin: Who adds them.
        progress: Told of each document before it is read, with how many are done and how many there are.

    Raises:
        InputError: There is no such file or folder.
    """
    done = Indexed()
    roots = [Path(path) for path in paths]
    files = list(dict.fromkeys(file for root in roots for file in _documents(root)))
    held: dict[str, str | None] = {}
    if isinstance(memory, SemanticMemory):
        held = {source.name: source.sha256 for source in await memory.sources(namespace=namespace)}
    for i, file in enumerate(files):
        source = file.as_posix()
        progress(source, i, len(files))
        try:
            data = read_bytes(file)
            mark = sha256(_EDITION + data).hexdigest()
            if held.get(source) == mark:
                done.unchanged.append(source)
                continue
            passages = split(text_of(file, data), source=source, title=file.stem)
        except InputError as error:
            done.refused[source] = str(error)
            continue
        if source in held:
            await memory.forget(source=source, namespace=namespace)
        origin = origin or Origin()
        records = [replace(each, metadata={"sha256": mark}, origin=origin) for each in passages]
        await memory.add(records, namespace=namespace)
        done.added.append(source)
        done.passages += len(records)
    here = {file.as_posix() for file in files}
    folders = [f"{root.as_posix().rstrip('/')}/" for root in roots if root.is_dir()]
    for source, mark in held.items():
        if mark and source not in here and any(source.startswith(folder) for folder in folders):
            await memory.forget(source=source, namespace=namespace)
            done.removed.append(source)
    progress("", len(files), len(files))
    return done


def _documents(root: Path) -> list[Path]:
    return [root] if root.is_file() else list_documents(root)
