"""Documents on disk, read so that places in them stay true.

A document's text is its file decoded as UTF-8 (UTF-16 where it begins with that mark), the mark itself left
out and line ends kept as they are. What cannot be decoded becomes `\ufffd`, one character for each broken piece.
Of HTML and PDF it is the text in them, with their structure written as in Markdown: see `web` and `pdf`. Offsets
count the characters of this text.
"""

from __future__ import annotations

import codecs
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from crewkit.errors import InputError

HTML = frozenset({".html", ".htm", ".xhtml"})
PDF = frozenset({".pdf"})
SUFFIXES = frozenset({".md", ".markdown", ".txt", ".rst"}) | HTML | PDF
"""What `list_documents` finds."""

MOST_BYTES = 5_000_000
"""Of a document; larger files are refused."""
MOST_PDF_BYTES = 50_000_000
"""Of a PDF, where most bytes are pictures and fonts."""


def read_document(path: Path) -> str:
    """Return a document's text.

    Raises:
        InputError: The file cannot be read, is no regular file, is too large or has no text that can be read.
    """
    return text_of(path, read_bytes(path))


def text_of(path: Path, data: bytes) -> str:
    """Return the text of a document whose bytes these are; its name says what it is.

    Raises:
        InputError: There is no text that can be read.
    """
    if path.suffix.lower() in PDF:
        from crewkit.memory.pdf import pdf_text

        return pdf_text(path, data)
    text = _decoded(path, data)
    if path.suffix.lower() in HTML:
        from crewkit.memory.web import html_text

        return html_text(text)
    return text


def read_bytes(path: Path) -> bytes:
    """Return a document's bytes.

    Raises:
        InputError: The file cannot be read, is no regular file or is too large.
    """
    most = MOST_PDF_BYTES if path.suffix.lower() in PDF else MOST_BYTES
    try:
        # Not to wait for ever where someone named a pipe.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(handle, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise InputError(f"Cannot read '{path}': it is not a file.")
            data = file.read(most + 1)
    except OSError as error:
        raise InputError(f"Cannot read '{path}': {error.strerror or error}.") from error
    if len(data) > most:
        raise InputError(
            f"Cannot read '{path}': it has {status.st_size:,} bytes and a document may have {most:,}. "
            "Split it into several files."
        )
    return data


def _decoded(path: Path, data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    if b"\0" in data[:8192]:
        raise InputError(f"Cannot read '{path}': it is not text, it holds NUL bytes.")
    return data.decode("utf-8-sig", "replace")


def list_documents(folder: Path) -> list[Path]:
    """Return the documents in a folder and the folders in it, sorted.

    Hidden files and folders are left out, and links that lead out of the folder.

    Raises:
        InputError: There is no such folder, or it cannot be read.
    """
    if not folder.is_dir():
        raise InputError(f"There is no folder '{folder}'.")
    return sorted(_documents(folder))


def _documents(folder: Path) -> Iterator[Path]:
    root = folder.resolve()
    for place, folders, files in os.walk(folder, onerror=_refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            path = Path(place, name)
            wanted = not name.startswith(".") and path.suffix.lower() in SUFFIXES
            if wanted and path.is_file() and (not path.is_symlink() or path.resolve().is_relative_to(root)):
                yield path


def _refuse(error: OSError) -> None:
    raise InputError(f"Cannot read folder '{error.filename}': {error.strerror}.") from error
