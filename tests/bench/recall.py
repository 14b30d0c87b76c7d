"""Recall measured where the answers' places are known: plain Chroma, words alone, the stages of the pipeline.

Run it with `python tests/bench/recall.py`, and `python tests/bench/recall.py locomo10.json` for the public benchmark
whose file you have. All goes through `add` and `recall`.
"""

import asyncio
import math
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

sys.path.insert(0, str(Path(__file__).parent))

from recall_corpus import DOCUMENTS, QUESTIONS, TALKS
from talks import Question, Talk, locomo, ours

from crewkit.memory.base import Record
from crewkit.memory.embed import Embedder, default_embedder
from crewkit.memory.rank import Pipeline
from crewkit.memory.semantic import SemanticMemory
from crewkit.memory.split import split

DEEP = 10

Find = Callable[[str, str], Awaitable[list[str]]]
"""From the name of a talk and a question to the tags of what was found, the best first."""


def documents() -> Talk:
    """Return passages of documents and short talks, each question with one right passage."""
    passages = [
        record for source, text in DOCUMENTS.items() for record in split(text, source=source, max_chars=200)
    ]
    passages += [
        Record(text, source, author=author, time=time)
        for source, talk in TALKS.items()
        for author, time, text in talk
    ]
    tagged = [replace(p, metadata={"turn": p.id()}) for p in passages]
    asked = [
        Question(question, "documents", frozenset(p.id() for p in passages if answer in p.text))
        for question, answer in QUESTIONS
    ]
    return Talk("documents", tagged, asked)


def scores(found: Sequence[str], evidence: frozenset[str]) -> dict[str, float]:
    gains = [tag in evidence for tag in found[:DEEP]]
    ideal = sum(1 / math.log2(i + 2) for i in range(min(DEEP, len(evidence))))
    return {
        **{f"recall@{k}": sum(gains[:k]) / len(evidence) for k in (1, 5, 10)},
        "precision@5": sum(gains[:5]) / 5,
        "nDCG@10": sum(gain / math.log2(i + 2) for i, gain in enumerate(gains)) / ideal,
    }


async def measure(find: Find, talks: Sequence[Talk]) -> dict[str, dict[str, float]]:
    """Return the means over all questions, and over those of each kind."""
    rows: dict[str, list[dict[str, float]]] = {}
    for talk in talks:
        for question in talk.questions:
            row = scores(await find(talk.name, question.text), question.evidence)
            rows.setdefault("all", []).append(row)
            rows.setdefault(question.kind, []).append(row)
    return {kind: {name: fmean(row[name] for row in some) for name in some[0]} for kind, some in rows.items()}


def plain_chroma(folder: Path, embedder: Embedder, talks: Sequence[Talk]) -> Find:
    import chromadb

    client = chromadb.PersistentClient(str(folder))
    collections = {
        talk.name: client.create_collection(
            f"talk-{talk.name}", embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
        )
        for talk in talks
    }
    for talk in talks:
        texts = [turn.text for turn in talk.turns]
        collections[talk.name].add(
            ids=[turn.metadata["turn"] for turn in talk.turns], embeddings=embedder.embed(texts)
        )

    async def find(name: str, query: str) -> list[str]:
        found = collections[name].query(query_embeddings=embedder.embed([query]), n_results=DEEP)
        return found["ids"][0]

    return find


async def compare(talks: Sequence[Talk], embedder: Embedder | None, folder: Path) -> None:
    print(f"{sum(len(t.turns) for t in talks):,} turns or passages, ", end="")
    print(f"{sum(len(t.questions) for t in talks):,} questions")
    memory = SemanticMemory(folder / "memory", embedder=embedder)
    for talk in talks:
        await memory.add(talk.turns, namespace=talk.name)

    async def find(name: str, query: str) -> list[str]:
        hits = await memory.recall(query, k=DEEP, namespace=name)
        return [hit.record.metadata["turn"] for hit in hits]

    if embedder is not None:
        show("plain Chroma", (await measure(plain_chroma(folder / "plain", embedder, talks), talks))["all"])
    whole = Pipeline()
    for name, pipeline in {
        "words": replace(whole, dense=0, neighbour=0, author=0),
        "dense": replace(whole, lexical=0, neighbour=0, author=0),
        "both": replace(whole, neighbour=0, author=0),
        "both, neighbours": replace(whole, author=0),
        "the pipeline, no model": replace(whole, dense=0),
        "the pipeline": whole,
    }.items():
        memory.pipeline = pipeline
        rows = await measure(find, talks)
        show(name, rows.pop("all"))
    for kind, row in sorted(rows.items()):
        show(f"  of it: {kind}", row)
    await memory.close()


def show(name: str, row: dict[str, float]) -> None:
    print(f"{name:24}" + "".join(f"  {column} {value:.2f}" for column, value in row.items()), flush=True)


async def main() -> None:
    embedder = default_embedder()
    sets = {"documents and short talks": [documents()], "long talks": list(ours())}
    if sys.argv[1:]:
        sets = {"LoCoMo": list(locomo(Path(sys.argv[1])))}
    for name, talks in sets.items():
        print(f"\n{name}: ", end="")
        with tempfile.TemporaryDirectory() as folder:
            await compare(talks, embedder, Path(folder))


if __name__ == "__main__":
    asyncio.run(main())
