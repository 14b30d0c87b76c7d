"""A review of a folder of documents: what each is, how sure that is, and a person's word where it is not sure enough.

    crewkit run crews/document_review.py -i folder=docs
    crewkit approve ID        within 7 days, where it asked
    crewkit resume @last

Plain functions read the files and say what they are, an analyst says what in them needs somebody to act, and a person
is asked only where a kind is less than 90 % sure. Nothing is held open meanwhile: minutes or days.
"""

from __future__ import annotations

import csv
import email
import email.policy
import io
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from crewkit import Agent, Crew, Input, InputError, Limits, Task, tool
from crewkit.memory.documents import read_document

FORMATS = (".txt", ".md", ".rst", ".html", ".htm", ".csv", ".json", ".eml", ".pdf")
SURE = 0.9
LONGEST = 20_000
"""Characters of a document that are looked at."""

KINDS = {
    "invoice": ("invoice", "amount due", "vat", "payment", "total", "iban", "due date"),
    "contract": ("contract", "agreement", "party", "parties", "hereby", "clause", "signature", "terminate"),
    "letter": ("dear", "sincerely", "kind regards", "yours", "subject"),
    "minutes": ("minutes", "attendees", "agenda", "action item", "decided"),
    "manual": ("install", "command", "example", "usage", "configure", "run", "options"),
}
"""Kind of document to the words that speak for it."""


class Document(BaseModel):
    file: str
    format: str
    text: str


class Kind(BaseModel):
    file: str
    kind: str
    confidence: float
    words: list[str]
    """What speaks for it."""


class Classified(BaseModel):
    kinds: list[Kind]
    confidence: float
    """Of the least sure one."""


@tool(effects="read", timeout=120, retries=2)
def extract(folder: str) -> list[Document]:
    """Read the text of every document in a folder."""
    if not Path(folder).is_dir():
        raise InputError(f"There is no folder '{folder}'.")
    found = sorted(
        path for path in Path(folder).rglob("*") if path.suffix.lower() in FORMATS and path.is_file()
    )
    if not found:
        raise InputError(f"The folder '{folder}' holds no documents of these formats: {' '.join(FORMATS)}.")
    return [
        Document(file=path.as_posix(), format=path.suffix.lower()[1:], text=text_of(path)[:LONGEST])
        for path in found
    ]


def text_of(path: Path) -> str:
    """Return a document's text; what is broken in its format counts as plain text."""
    text = read_document(path)
    try:
        match path.suffix.lower():
            case ".csv":
                rows = list(csv.DictReader(io.StringIO(text)))
                return "\n".join("; ".join(f"{name}: {cell}" for name, cell in row.items()) for row in rows)
            case ".json":
                return "\n".join(flat(json.loads(text)))
            case ".eml":
                mail = email.message_from_string(text, policy=email.policy.default)
                body = mail.get_body(("plain", "html"))
                return f"Subject: {mail['subject']}\n\n{body.get_content() if body else ''}"
            case _:
                return text
    except (ValueError, csv.Error, KeyError, LookupError):
        return text


def flat(value: Any, at: str = "") -> Iterator[str]:
    """Yield the leaves of JSON data as `place: value`."""
    if isinstance(value, dict):
        for name, each in value.items():  # pyright: ignore[reportUnknownVariableType]
            yield from flat(each, f"{at}.{name}" if at else str(name))  # pyright: ignore[reportUnknownArgumentType]
    elif isinstance(value, list):
        for i, each in enumerate(value):  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType]
            yield from flat(each, f"{at}[{i}]")
    else:
        yield f"{at}: {value}"


@tool(effects="read", timeout=60, retries=1)
def classify(extracted: list[Document]) -> Classified:
    """Say what each document is, by the words in it."""
    kinds = [kind_of(document) for document in extracted]
    return Classified(kinds=kinds, confidence=min(kind.confidence for kind in kinds))


def kind_of(document: Document) -> Kind:
    text = f"{Path(document.file).stem} {document.text}".lower()
    found = {kind: [w for w in words if re.search(rf"\b{w}s?\b", text)] for kind, words in KINDS.items()}
    kind, words = max(found.items(), key=lambda item: len(item[1]))
    others = sum(map(len, found.values())) - len(words)
    if not words:
        return Kind(file=document.file, kind="other", confidence=0.0, words=[])
    # One word alone is no proof, and words for other kinds speak against it.
    confidence = round(len(words) / (len(words) + 0.5 * others) * min(1.0, 0.4 + 0.2 * len(words)), 2)
    return Kind(file=document.file, kind=kind, confidence=confidence, words=words)


@tool(effects="read", timeout=30, retries=1)
def doubtful(classified: Classified) -> list[Kind]:
    """Return what a person should look at, the least sure first."""
    unsure = [kind for kind in classified.kinds if kind.confidence < SURE]
    return sorted(unsure, key=lambda kind: (kind.confidence, kind.file))


@tool(effects="read", timeout=30, retries=1)
def write_report(classified: Classified, review: list[Kind] | None, findings: str | None) -> str:
    """Write down what each document is, who says so, and what needs somebody to act."""
    confirmed = {kind.file for kind in review or ()}
    lines = ["| document | kind | sure | by |", "|---|---|---|---|"]
    for kind in classified.kinds:
        by = (
            "words"
            if kind.confidence >= SURE
            else "a person"
            if kind.file in confirmed
            else "nobody confirmed it"
        )
        lines.append(f"| {kind.file} | {kind.kind} | {kind.confidence:.0%} | {by} |")
    return "\n".join(["# Review", "", *lines, "", "## To act on", "", findings or "Nobody looked."])


analyst = Agent("Analyst", "Find what in documents needs somebody to act.", max_tokens=2_000)

extracted = Task("extracted", do=extract)
classified = Task("classified", do=classify, needs=[extracted])
review = Task(
    "review",
    do=doubtful,
    needs=[classified],
    when=f"classified.confidence < {SURE}",
    human_input="Are these kinds right? Approve them, or deny and say what is wrong.",
    deadline=timedelta(days=7),
    # Denied, or not answered in time: the report says that nobody confirmed them.
    on_failure="continue",
)
findings = Task(
    "findings",
    "What in these documents needs somebody to act: payments, deadlines, signatures, open questions?",
    "At most five lines, each with the file it comes from.",
    analyst,
    needs=[extracted],
    timeout=600,
    revisions=2,
    on_failure="continue",
)
report = Task("report", do=write_report, needs=[classified, review, findings])

crew = Crew(
    [extracted, classified, review, findings, report],
    name="document review",
    inputs={"folder": Input("Where the documents are.")},
    limits=Limits(tokens=200_000, seconds=1_800),
)
