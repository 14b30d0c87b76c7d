"""The text of a PDF, page by page."""

from __future__ import annotations

import io
import logging
from pathlib import Path

from crewkit.errors import InputError

MOST_PAGES = 2_000
MOST_CHARACTERS = 10_000_000


def pdf_text(path: Path, data: bytes) -> str:
    """Return the pages of a PDF, each below the heading `## Page 3`.

    Raises:
        InputError: It is damaged, locked, or holds pictures of text only.
    """
    from pypdf import PdfReader

    logging.getLogger("pypdf").setLevel(logging.ERROR)  # it tells of every oddity in a file that it can read
    pages: list[str] = []
    left = MOST_CHARACTERS
    try:
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise InputError(f"Cannot read '{path}': it is locked with a password. Save a copy without one.")
        for number, page in enumerate(reader.pages[:MOST_PAGES], 1):
            text = page.extract_text().strip()[:left]
            left -= len(text)
            if text:
                pages.append(f"## Page {number}\n\n{text}\n")
    except InputError:
        raise
    except Exception as error:  # whatever pypdf says of a damaged file
        raise InputError(f"Cannot read '{path}': it is no PDF that can be read ({error}).") from error
    if not pages:
        raise InputError(
            f"Cannot read '{path}': there is no text in it, only pictures. Run it through an OCR."
        )
    return "\n".join(pages)
