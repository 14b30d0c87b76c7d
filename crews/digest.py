"""A digest of a folder of documents, every point of it with citations that hold.

    crewkit run crews/digest.py -i folder=docs
    crewkit run crews/digest.py -i folder=docs -i question="Who signs off a release?"

A librarian puts the documents into the crew's memory, a researcher recalls what matters and copies quotes, an
editor writes the points. A guardrail looks every quote up in its file; plain code says where it stands there.
"""

from __future__ import annotations

import re
from collections import Counter
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, Field

from crewkit import Agent, Crew, Input, InputError, Limits, Record, Task, ToolContext, tool
from crewkit.memory.documents import list_documents, read_document
from crewkit.memory.split import split


class Passage(BaseModel):
    file: str
    start: int
    end: int
    title: str
    text: str


class Quote(BaseModel):
    file: str = Field(description="The file, exactly as the tools name it.")
    quote: str = Field(
        description="One to three sentences of it, copied character by character.", min_length=1
    )


class Point(BaseModel):
    statement: str = Field(description="One sentence that the quotes bear out.")
    quotes: list[Quote] = Field(min_length=1)


class Digest(BaseModel):
    title: str
    points: list[Point]


@tool(effects="read")
def list_folder(folder: str) -> list[str]:
    """Return the documents in a folder; stop the run where there is nothing to digest."""
    files = [path.as_posix() for path in list_documents(Path(folder))]
    if not files:
        raise InputError(f"The folder '{folder}' holds no text, Markdown, HTML or PDF files.")
    return files


def read_folder(folder: str) -> dict[str, list[Record]]:
    """Return the passages of every document in a folder, by file; none where a file is not text after all."""
    return {file: passages(Path(file)) for file in list_folder(folder)}


def passages(path: Path) -> list[Record]:
    with suppress(InputError):
        return split(read_document(path), source=path.as_posix(), title=path.stem)
    return []


def to_passage(record: Record) -> Passage:
    start, end = record.start or 0, record.end or 0
    return Passage(file=record.source, start=start, end=end, title=record.title, text=record.text)


# It writes, but only into the crew's own memory, where adding twice changes nothing: so it counts as reading.
@tool(effects="read", idempotent=True, timeout=600)
async def index_folder(folder: str, context: ToolContext) -> dict[str, int]:
    """Read every document in a folder into memory, so that passages can be recalled.

    Returns:
        How many passages each file has.
    """
    documents = read_folder(folder)
    for records in documents.values():
        await context.memory.add(records)
    return {file: len(records) for file, records in documents.items()}


@tool(effects="read")
async def recall_passages(question: str, context: ToolContext, limit: int = 12) -> list[Passage]:
    """Recall the indexed passages that fit a question best, the best first.

    Args:
        question: What is asked, in words that the documents may use.
        limit: Passages at most.
    """
    return [to_passage(hit.record) for hit in await context.memory.recall(question, k=limit)]


@tool(effects="read", max_tokens=15_000)
def survey_folder(folder: str) -> list[Passage]:
    """Show, for every document in a folder, the passages that say most of what no other document says."""
    documents = read_folder(folder)
    spread = Counter(
        word for records in documents.values() for word in set[str]().union(*map(words, records))
    )
    each = max(1, min(3, 60 // len(documents)))

    def own(record: Record) -> float:
        return sum(1 / spread[word] for word in words(record))

    prose = (
        [r for r in records if not r.text.startswith("```")] or records for records in documents.values()
    )
    chosen = [sorted(records, key=own, reverse=True)[:each] for records in prose]
    return [to_passage(record) for records in chosen for record in records]


def words(record: Record) -> set[str]:
    return set(re.findall(r"\w+", record.text.lower()))


def place(quote: Quote) -> int:
    """Return where in its file a quote begins, -1 where it does not stand there."""
    try:
        return read_document(Path(quote.file)).find(quote.quote)
    except InputError:
        return -1


def check_quotes(quotes: list[Quote]) -> str | None:
    """Object to quotes that are not in their files, word for word."""
    wrong = [f"- not in '{quote.file}': {quote.quote!r}" for quote in quotes if place(quote) < 0]
    return "\n".join(["Copy quotes exactly, or leave them out:", *wrong, ""]) if wrong else None


def check_digest(digest: Digest) -> str | None:
    """Object to points whose quotes are not in their files."""
    return check_quotes([quote for point in digest.points for quote in point.quotes])


@tool(effects="read")
def render(folder: str, digest: Digest) -> str:
    """Write the digest as Markdown: its points, then each quote with its file and offsets."""
    cited = list({(q.file, q.quote): q for point in digest.points for q in point.quotes}.values())
    lines = [f"# {digest.title}", ""]
    for point in digest.points:
        lines.append(
            f"- {point.statement} {''.join(f'[{cited.index(quote) + 1}]' for quote in point.quotes)}"
        )
    lines += ["", "## Sources", ""] if cited else ["The documents do not say."]
    for i, quote in enumerate(cited, 1):
        file, start = Path(quote.file).relative_to(folder).as_posix(), place(quote)
        lines.append(f"[{i}] `{file}:{start}-{start + len(quote.quote)}` “{' '.join(quote.quote.split())}”  ")
    return "\n".join(lines)


librarian = Agent("Librarian", "Have every document of the folder at hand.", tools=[index_folder])
researcher = Agent(
    "Researcher",
    "Find the passages that matter, and quote them without changing a character.",
    tools=[recall_passages, survey_folder],
)
editor = Agent("Editor", "Write digests that are short and true to their sources.", max_tokens=16_000)

documents = Task("documents", do=list_folder, output_type=list[str])
index = Task("index", "Index the folder {folder}.", "One line.", librarian, needs=[documents])
quotes = Task(
    "quotes",
    "Quote what the documents in {folder} say to this question: {question} Recall passages, in several wordings "
    "where the first finds little. Where the question is about the documents as a whole, survey the folder and "
    "quote every document at least once.",
    "The best quotes first, at most 60 quotes; few where few answer the question.",
    researcher,
    needs=[index],
    output_type=list[Quote],
    guardrails=[check_quotes],
)
digest = Task(
    "digest",
    "Write a digest that answers this question from the quotes alone: {question}",
    "A title and at most 60 points, each with the quotes that bear it out, unchanged.",
    editor,
    needs=[quotes],
    output_type=Digest,
    guardrails=[check_digest],
)
report = Task("report", do=render, needs=[digest])

crew = Crew(
    [documents, index, quotes, digest, report],
    name="digest",
    inputs={
        "folder": Input("A folder with text, Markdown, HTML or PDF files."),
        "question": Input(
            "What the digest should answer.",
            default="What are these documents about, and which facts in them matter most?",
        ),
    },
    limits=Limits(tokens=400_000),
)
