"""Recall measured on a small labelled set: plain Chroma, words alone, the pipeline.

Run it with `python tests/bench/recall.py`.
"""

import asyncio
import math
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean

sys.path.insert(0, str(Path(__file__).parent))

from recall_corpus import DOCUMENTS, QUESTIONS, TALKS

from crewkit.memory.base import Record
from crewkit.memory.embed import Embedder, default_embedder
from crewkit.memory.rank import Pipeline
from crewkit.memory.semantic import SemanticMemory
from crewkit.memory.split import split

DEEP = 10

Find = Callable[[str], Awaitable[list[str]]]


def records() -> list[Record]:
    passages = [
        record for source, text in DOCUMENTS.items() for record in split(text, source=source, max_chars=200)
    ]
    turns = [
        Record(text, source, author=author, time=time)
        for source, talk in TALKS.items()
        for author, time, text in talk
    ]
    return passages + turns


async def measure(find: Find, gold: dict[str, str]) -> dict[str, float]:
    ranks = [((await find(question)) + [gold[question]]).index(gold[question]) + 1 for question in gold]
    return {
        **{f"recall@{k}": fmean(rank <= k for rank in ranks) for k in (1, 5, 10)},
        # One passage of the five is right, so 0.20 is the most.
        "precision@5": fmean((rank <= 5) / 5 for rank in ranks),
        "nDCG@10": fmean(1 / math.log2(rank + 1) if rank <= DEEP else 0.0 for rank in ranks),
    }


def plain_chroma(folder: Path, embedder: Embedder, passages: list[Record]) -> Find:
    import chromadb

    collection = chromadb.PersistentClient(str(folder)).create_collection(
        "plain", embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
    )
    collection.add(ids=[p.id() for p in passages], embeddings=embedder.embed([p.text for p in passages]))

    async def find(query: str) -> list[str]:
        return collection.query(query_embeddings=embedder.embed([query]), n_results=DEEP)["ids"][0]

    return find


async def main() -> None:
    passages = records()
    gold: dict[str, str] = {}
    for question, answer in QUESTIONS:
        (gold[question],) = [p.id() for p in passages if answer in p.text]
    embedder = default_embedder()
    whole = Pipeline()
    variants = {
        "words": replace(whole, dense=0, neighbour=0, author=0),
        "dense": replace(whole, lexical=0, neighbour=0, author=0),
        "both": replace(whole, neighbour=0, author=0),
        "both, neighbours": replace(whole, author=0),
        "the pipeline": whole,
        "the pipeline, no model": replace(whole, dense=0),
    }
    print(f"{len(passages)} passages, {len(gold)} questions")
    with tempfile.TemporaryDirectory() as folder:
        memory = SemanticMemory(Path(folder) / "memory", embedder=embedder)
        await memory.add(passages)

        async def find(query: str) -> list[str]:
            return [hit.record.id() for hit in await memory.recall(query, k=DEEP)]

        rows: dict[str, dict[str, float]] = {}
        if embedder is not None:
            rows["plain Chroma"] = await measure(
                plain_chroma(Path(folder) / "plain", embedder, passages), gold
            )
        for name, pipeline in variants.items():
            memory.pipeline = pipeline
            rows[name] = await measure(find, gold)
        await memory.close()
    print(f"{'':24}" + "".join(f"{column:>12}" for column in next(iter(rows.values()))))
    for name, row in rows.items():
        print(f"{name:24}" + "".join(f"{value:12.2f}" for value in row.values()))


if __name__ == "__main__":
    asyncio.run(main())
