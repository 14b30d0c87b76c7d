"""What every memory promises, as tests that anyone can run on their own.

```
class TestMine(MemoryConformance):
    def open(self, folder: Path) -> Memory:
        return MyMemory(folder)
```

The tests are coroutines: run them with pytest-asyncio or anyio.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from crewkit.memory.base import Memory, Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray


class HashEmbedder:
    """A deterministic embedder for tests: texts that share words are near. It knows no meanings."""

    def __init__(self, id: str = "hash", dimension: int = 64) -> None:
        self.id = id
        self.dimension = dimension
        self.embedded: list[str] = []
        """All texts that were embedded, in their order."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one row of length 1 for each text, made of the hashes of its words."""
        import numpy as np

        self.embedded += texts
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        for row, text in zip(vectors, texts, strict=True):
            for word in ["", *text.lower().split()]:
                digest = blake2b(f"{self.id} {word}".encode("utf-8", "replace"), digest_size=8).digest()
                row[int.from_bytes(digest) % self.dimension] += 1
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


FACTS = [
    Record(
        "The invoice of March was paid twice by mistake.", author="Accountant", time="2026-03-04T10:00:00Z"
    ),
    Record("The office has moved to Lisbon.", author="Manager", time="2026-05-08T09:00:00Z"),
    Record("The parrot in the lobby speaks Portuguese.", author="Manager", time="2026-05-09T09:00:00Z"),
]


class MemoryConformance(ABC):
    """The tests of the `Memory` protocol."""

    @abstractmethod
    def open(self, folder: Path) -> Memory:
        """Return a memory whose files are in this folder; called again to open the same one."""

    @asynccontextmanager
    async def memory(self, folder: Path) -> AsyncGenerator[Memory]:
        """Open a memory and close it in the end."""
        memory = self.open(folder)
        try:
            yield memory
        finally:
            await memory.close()

    async def test_what_was_added_is_recalled_whole(self, tmp_path: Path) -> None:
        """A hit holds the record as it was added."""
        record = Record(
            "The lighthouse keeper drinks tea.",
            "notes.md",
            7,
            40,
            "Notes",
            "Ann",
            "2026-01-02T03:04:05Z",
            {"n": [1]},
        )
        async with self.memory(tmp_path) as memory:
            assert await memory.add([record]) == [record.id()]
            hits = await memory.recall("lighthouse keeper")
        assert [hit.record for hit in hits] == [record]

    async def test_the_record_that_fits_best_comes_first(self, tmp_path: Path) -> None:
        """Hits are ordered by score and at most `k`."""
        async with self.memory(tmp_path) as memory:
            await memory.add(FACTS)
            hits = await memory.recall("Which language does the parrot speak?", k=2)
        assert hits[0].record == FACTS[2]
        assert len(hits) <= 2
        assert sorted((hit.score for hit in hits), reverse=True) == [hit.score for hit in hits]
        assert all(hit.score == pytest.approx(sum(hit.parts.values())) for hit in hits)

    async def test_adding_the_same_again_changes_nothing(self, tmp_path: Path) -> None:
        """A record is kept once, within one add and over several."""
        async with self.memory(tmp_path) as memory:
            first = await memory.add([*FACTS, *FACTS])
            assert await memory.add(FACTS) == first[:3]
            assert first[:3] == first[3:]
            hits = await memory.recall("invoice office parrot", k=50)
        assert sorted(hit.record.text for hit in hits) == sorted(fact.text for fact in FACTS)

    async def test_a_record_added_with_new_metadata_takes_the_place_of_the_old(self, tmp_path: Path) -> None:
        """The id is the same, so there is still one."""
        async with self.memory(tmp_path) as memory:
            await memory.add([Record("A red door.", metadata={"seen": 1})])
            await memory.add([Record("A red door.", metadata={"seen": 2})])
            hits = await memory.recall("red door", k=50)
        assert [hit.record.metadata for hit in hits] == [{"seen": 2}]

    async def test_memory_outlives_its_closing(self, tmp_path: Path) -> None:
        """What was added is there after opening the same folder again."""
        async with self.memory(tmp_path) as memory:
            await memory.add(FACTS)
        async with self.memory(tmp_path) as memory:
            hits = await memory.recall("Where is the office?")
        assert hits[0].record == FACTS[1]

    async def test_a_closed_memory_can_be_used_again(self, tmp_path: Path) -> None:
        """Closing releases; it does not end."""
        async with self.memory(tmp_path) as memory:
            await memory.add(FACTS)
            await memory.close()
            assert (await memory.recall("parrot"))[0].record == FACTS[2]

    async def test_namespaces_never_meet(self, tmp_path: Path) -> None:
        """What is in one namespace is neither recalled from nor forgotten in another."""
        async with self.memory(tmp_path) as memory:
            await memory.add(FACTS[:1], namespace="ann")
            await memory.add(FACTS[1:], namespace="bob")
            assert [h.record for h in await memory.recall("invoice office", k=50, namespace="ann")] == FACTS[
                :1
            ]
            assert await memory.forget(ids=[FACTS[0].id()], namespace="bob") == 0
            assert await memory.recall("invoice", namespace="nobody") == []
            assert len(await memory.recall("invoice", namespace="ann")) == 1

    async def test_the_same_record_lives_in_two_namespaces(self, tmp_path: Path) -> None:
        """Forgetting it in one leaves it in the other."""
        async with self.memory(tmp_path) as memory:
            await memory.add(FACTS, namespace="ann")
            await memory.add(FACTS, namespace="bob")
            assert await memory.forget(ids=[fact.id() for fact in FACTS], namespace="ann") == 3
            assert await memory.recall("parrot", namespace="ann") == []
            assert (await memory.recall("parrot", namespace="bob"))[0].record == FACTS[2]

    async def test_forgetting_by_id_and_by_source(self, tmp_path: Path) -> None:
        """What was forgotten is not recalled, and the count is true."""
        records = [Record(f"Passage {i} about whales.", "whales.md", i * 30, i * 30 + 26) for i in range(4)]
        async with self.memory(tmp_path) as memory:
            await memory.add([*records, *FACTS])
            assert await memory.forget(ids=[records[0].id(), "unknown"]) == 1
            assert await memory.forget(source="whales.md") == 3
            assert await memory.forget(source="whales.md") == 0
            hits = await memory.recall("passage about whales", k=50)
        assert all(hit.record.source != "whales.md" for hit in hits)

    async def test_what_was_forgotten_can_be_added_again(self, tmp_path: Path) -> None:
        """Forgetting leaves no trace that stands in the way."""
        async with self.memory(tmp_path) as memory:
            await memory.add(FACTS)
            await memory.recall("parrot")
            await memory.forget(ids=[FACTS[2].id()])
            await memory.add([FACTS[2]])
            assert (await memory.recall("Which language does the parrot speak?"))[0].record == FACTS[2]

    async def test_an_empty_memory_and_a_blank_query_recall_nothing(self, tmp_path: Path) -> None:
        """Neither is an error."""
        async with self.memory(tmp_path) as memory:
            assert await memory.recall("anything") == []
            assert await memory.add([]) == []
            await memory.add(FACTS)
            assert await memory.recall(" \n") == []

    @pytest.mark.parametrize(
        "text",
        [
            "",
            " ",
            "\0 nul \0",
            "lone \ud800 surrogate",
            "日本語の文書です",
            "🦜" * 50,
            "word " * 200_000,
            "x" * 1_000_000,
        ],
        ids=["empty", "blank", "nul", "surrogate", "japanese", "emoji", "a-million", "one-word"],
    )
    async def test_any_text_can_be_kept_and_asked_for(self, tmp_path: Path, text: str) -> None:
        """Odd texts come back as they were, and odd queries do no harm."""
        record = Record(f"penguin {text}", source=text[:100], author=text[:100], title=text[:100])
        async with self.memory(tmp_path) as memory:
            await memory.add([record, Record(text), *FACTS], namespace=text[:100])
            hits = await memory.recall("penguin", namespace=text[:100])
            await memory.recall(text, namespace=text[:100])
            assert await memory.forget(source=text[:100], namespace=text[:100]) >= 1
        assert record in [hit.record for hit in hits]

    async def test_adds_and_recalls_at_the_same_time(self, tmp_path: Path) -> None:
        """Nothing is lost, and recalls see whole adds."""
        async with self.memory(tmp_path) as memory:

            async def work(i: int) -> None:
                await memory.add([Record(f"Entry {i} of the zebra log.", "log", i, i + 1)])
                await memory.recall("zebra log")

            await asyncio.gather(*(work(i) for i in range(20)))
            hits = await memory.recall("zebra log", k=50)
        assert len(hits) == 20
