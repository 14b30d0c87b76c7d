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
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from crewkit.errors import InputError
from crewkit.memory.base import Memory, Origin, Record

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

    async def test_forgetting_by_age(self, tmp_path: Path) -> None:
        """What was added before a moment goes, what came later stays."""
        async with self.memory(tmp_path) as memory:
            await memory.add(FACTS[:2])
            await asyncio.sleep(0.01)
            moment = datetime.now(UTC)
            await memory.add(FACTS[2:])
            assert await memory.forget(before=moment.isoformat()) == 2
            assert [hit.record for hit in await memory.recall("parrot office invoice", k=50)] == FACTS[2:]
            with pytest.raises(InputError, match="no moment"):
                await memory.forget(before="yesterday")

    async def test_filters_let_through_only_what_matches(self, tmp_path: Path) -> None:
        """Each name must have the value, or one of several; neighbours are no exception."""
        records = [
            Record(
                f"Report {i} on otters.",
                f"report{i % 2}.md",
                author="Ann" if i < 3 else "Bob",
                metadata={"year": 2020 + i, "final": i == 5, "kind": "1" if i else 1},
                origin=Origin(crew="zoo", agent="Keeper" if i == 1 else "Vet"),
            )
            for i in range(6)
        ]
        async with self.memory(tmp_path) as memory:
            await memory.add(records)

            async def found(**where: object) -> list[int]:
                hits = await memory.recall("otters report", k=50, where=where)
                return sorted(records.index(hit.record) for hit in hits)

            assert await found() == [0, 1, 2, 3, 4, 5]
            assert await found(source="report1.md") == [1, 3, 5]
            assert await found(source=["report1.md", "report0.md"], author="Bob") == [3, 4, 5]
            assert await found(year=2022) == [2]
            assert await found(year=[2022.0, 2024]) == [2, 4]
            assert await found(final=True) == [5]
            assert await found(kind=1) == [0]
            assert await found(agent="Keeper", crew="zoo") == [1]
            assert await found(crew="another") == await found(colour="red") == await found(year=[]) == []

    async def test_several_namespaces_are_ranked_as_one(self, tmp_path: Path) -> None:
        """Those that are named are searched, and no other."""
        async with self.memory(tmp_path) as memory:
            for namespace, fact in zip(("ann", "bob", "eve"), FACTS, strict=True):
                await memory.add([fact], namespace=namespace)
            hits = await memory.recall("invoice office parrot", k=50, namespace=["ann", "bob", "ann"])
            assert sorted(hit.record.text for hit in hits) == sorted(fact.text for fact in FACTS[:2])
            hits = await memory.recall("Where is the office?", k=1, namespace=["ann", "bob", "nobody"])
            assert [hit.record for hit in hits] == [FACTS[1]]

    async def test_a_merge_decides_what_becomes_of_a_record_that_is_there(self, tmp_path: Path) -> None:
        """It sees both, and no two of them work on the same."""

        def count(held: Record, new: Record) -> Record:
            return replace(held, metadata={"n": held.metadata["n"] + new.metadata["n"]})

        async with self.memory(tmp_path) as memory:
            door = Record("A red door.", metadata={"n": 1})
            await asyncio.gather(*(memory.add([door], merge=count) for _ in range(10)))
            hits = await memory.recall("red door", k=50)
            assert [hit.record.metadata for hit in hits] == [{"n": 10}]
            assert [hit.record for hit in await memory.recall("door", where={"n": 10})] == [hits[0].record]
            assert await memory.recall("door", where={"n": 1}) == []

    async def test_what_a_step_adds_is_there_once_however_often_it_is_tried(self, tmp_path: Path) -> None:
        """Also where each try says another time; another step may say the same."""

        def said(time: str, path: str) -> Record:
            return Record("It rained.", "log", author="Ann", time=time, origin=Origin(run="r-1", path=path))

        async with self.memory(tmp_path) as memory:
            first = await memory.add([said("2026-01-01T10:00:00Z", "a/1/tool:0#0")])
            assert await memory.add([said("2026-01-01T10:00:07Z", "a/1/tool:0#0")]) == first
            assert len(await memory.recall("rained", k=50)) == 1
            await memory.add([said("2026-01-01T10:00:09Z", "a/2/tool:0#0")])
            assert len(await memory.recall("rained", k=50)) == 2

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
