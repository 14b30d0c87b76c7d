"""How fast memory is: adding, opening and recalling at 1,000, 10,000 and 100,000 records.

Run it with `python tests/bench/memory.py`. The vectors are made of words by hashing, at the size of MiniLM's, so
that what is measured is memory and not the model; a real query takes 4 to 8 ms more.
"""

import asyncio
import random
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np

from crewkit.memory.base import Record
from crewkit.memory.semantic import SemanticMemory

SIZES = (1_000, 10_000, 100_000)
QUERIES = 50
WORDS = 30_000


class Directions:
    """A random direction for each word; a text's vector is their sum."""

    id = "directions"
    dimension = 384

    def __init__(self) -> None:
        self._directions = np.random.default_rng(7).standard_normal((WORDS, 384), np.float32)

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        rows = [
            self._directions[[int(w[1:]) for w in text.split() if w[0] == "w"]].sum(axis=0) for text in texts
        ]
        vectors = np.array(rows, np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class Text:
    """Words as often as in natural text: the n-th most common once for n of the first."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._weights = np.cumsum(1 / (np.arange(WORDS) + 20)).tolist()

    def words(self, count: int) -> str:
        chosen = self._random.choices(range(WORDS), cum_weights=self._weights, k=count)
        return " ".join(f"w{n}" for n in chosen)


async def timed(work) -> float:
    begun = time.perf_counter()
    await work
    return 1000 * (time.perf_counter() - begun)


async def measure(folder: Path, size: int) -> dict[str, str]:
    text = Text(size)
    records = [
        Record(text.words(25), "log", author=f"p{i % 5}", metadata={"part": i % 100}) for i in range(size)
    ]
    embedder = Directions()
    memory = SemanticMemory(folder, embedder=embedder)
    await memory.add([Record("w1 w2")], namespace="another")
    begun = time.perf_counter()
    for start in range(0, size, 5_000):
        await memory.add(records[start : start + 5_000], namespace="big")
    added = (time.perf_counter() - begun) / size
    single = [await timed(memory.add([Record(text.words(25), "log")], namespace="big")) for _ in range(20)]
    await memory.close()
    memory = SemanticMemory(folder, embedder=embedder)
    opened = await timed(memory.recall(text.words(8), namespace="big"))
    queries = [text.words(8) for _ in range(QUERIES)]
    before = time.process_time()
    plain = sorted([await timed(memory.recall(q, namespace="big")) for q in queries])
    cpu = 1000 * (time.process_time() - before) / QUERIES
    where = {"part": 7}
    filtered = sorted([await timed(memory.recall(q, namespace="big", where=where)) for q in queries])
    common = await timed(memory.recall("w0 w1 w2 w3 w4 w5 w6 w7", namespace="big"))
    beside = SemanticMemory(folder, embedder=embedder, wait=0.0, say=lambda text: None)
    words = SemanticMemory(folder, embedder=None)
    lexical = sorted([await timed(words.recall(q, namespace="big")) for q in queries])
    for each in (memory, beside, words):
        await each.close()
    disk = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return {
        "add, each of many": f"{1000 * added:.2f} ms",
        "add, one": f"{median(single):.1f} ms",
        "open and recall": f"{opened:.0f} ms",
        "recall, median": f"{median(plain):.1f} ms",
        "recall, worst of 50": f"{plain[-1]:.1f} ms",
        "recall, CPU of all threads": f"{cpu:.1f} ms",
        "recall, 8 commonest words": f"{common:.1f} ms",
        "recall, 1 in 100 by metadata": f"{median(filtered):.1f} ms",
        "recall, words alone": f"{median(lexical):.1f} ms",
        "on disk": f"{disk / 1e6:.0f} MB",
        "process at most": f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB",
    }


async def main() -> None:
    sizes = [int(each.replace(",", "")) for each in sys.argv[1:]] or SIZES
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            print(f"{size:,} records")
            for what, figure in (await measure(Path(folder), size)).items():
                print(f"  {what:32}{figure:>12}", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
