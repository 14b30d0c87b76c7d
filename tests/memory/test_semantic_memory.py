import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path

import pytest

from crewkit.errors import CrewkitError, InputError
from crewkit.memory.base import Memory, Record
from crewkit.memory.embed import default_embedder
from crewkit.memory.rank import Pipeline
from crewkit.memory.semantic import SemanticMemory
from crewkit.testing.memory import FACTS, HashEmbedder, MemoryConformance


class TestWithVectors(MemoryConformance):
    def open(self, folder: Path) -> Memory:
        return SemanticMemory(folder, embedder=HashEmbedder())


class TestByWordsAlone(MemoryConformance):
    def open(self, folder: Path) -> Memory:
        return SemanticMemory(folder, embedder=None)


class TestBesideAnotherProcess(MemoryConformance):
    """The index is locked by someone else all the time."""

    @asynccontextmanager
    async def memory(self, folder: Path):
        owner = SemanticMemory(folder, embedder=HashEmbedder())
        await owner.add([Record("An unrelated thing.")], namespace="owner")
        await owner.recall("thing", namespace="owner")
        try:
            async with super().memory(folder) as memory:
                yield memory
        finally:
            await owner.close()

    def open(self, folder: Path) -> Memory:
        return SemanticMemory(folder, embedder=HashEmbedder(), wait=0.0, say=lambda text: None)


@pytest.mark.slow
class TestWithMiniLM(MemoryConformance):
    def open(self, folder: Path) -> Memory:
        embedder = default_embedder(folder)
        assert embedder is not None
        return SemanticMemory(folder, embedder=embedder)


DENSE = Pipeline(lexical=0, neighbour=0, author=0)
PASSAGES = [Record(f"Passage {i} tells of topic{i}.", "book", i * 40, i * 40 + 30) for i in range(30)]


@asynccontextmanager
async def opened(folder: Path, **options):
    memory = SemanticMemory(folder, **{"embedder": HashEmbedder(), "pipeline": DENSE, **options})
    try:
        yield memory
    finally:
        await memory.close()


async def found_all(memory: SemanticMemory, records: Sequence[Record] = PASSAGES) -> None:
    hits = await memory.recall("Passage tells of", k=100)
    assert sorted(hit.record.start or 0 for hit in hits) == [record.start for record in records]
    assert all("dense" in hit.parts for hit in hits)


def chroma_ids(folder: Path) -> set[str]:
    """Read from Chroma's own table, now that it is closed, which vectors the index holds."""
    with closing(sqlite3.connect(folder / "chroma" / "chroma.sqlite3")) as db:
        return {id for (id,) in db.execute("SELECT embedding_id FROM embeddings")}


async def test_an_embedded_record_is_not_embedded_again(tmp_path: Path) -> None:
    embedder = HashEmbedder()
    async with opened(tmp_path, embedder=embedder) as memory:
        await memory.add(PASSAGES)
        await memory.add(PASSAGES)
        await found_all(memory)
    async with opened(tmp_path, embedder=embedder) as memory:
        await memory.add(PASSAGES)
        await found_all(memory)
    assert len([text for text in embedder.embedded if text.startswith("Passage ") and "topic" in text]) == 30


async def test_nothing_is_opened_before_it_is_needed(tmp_path: Path) -> None:
    memory = SemanticMemory(tmp_path / "memory", embedder=HashEmbedder())
    await memory.close()
    assert not (tmp_path / "memory").exists()


def test_the_module_imports_nothing_heavy() -> None:
    code = (
        "import sys, crewkit.memory.semantic, crewkit.memory.split, crewkit.memory.documents\n"
        "from crewkit.memory.embed import default_embedder; default_embedder()\n"
        "heavy = {'chromadb', 'numpy', 'onnxruntime', 'tokenizers', 'torch'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


async def test_the_index_is_made_anew_when_its_files_are_gone(tmp_path: Path) -> None:
    embedder = HashEmbedder()
    async with opened(tmp_path, embedder=embedder) as memory:
        await memory.add(PASSAGES)
        await found_all(memory)
    # Under another name, for a process's Chroma remembers the folders that it had open.
    (tmp_path / "chroma").rename(tmp_path / "lost")
    embedder.embedded.clear()
    async with opened(tmp_path, embedder=embedder) as memory:
        await found_all(memory)
    assert len(embedder.embedded) == 1, "only the query is embedded, vectors come from SQL"
    assert len(chroma_ids(tmp_path)) == 30


async def test_the_index_catches_up_with_what_it_missed(tmp_path: Path) -> None:
    async with opened(tmp_path) as memory:
        await memory.add(PASSAGES[:10])
        await found_all(memory, PASSAGES[:10])
        async with opened(tmp_path, wait=0.0, say=lambda text: None) as other:
            await other.add(PASSAGES[10:])
            await found_all(other)
        await found_all(memory)
    assert len(chroma_ids(tmp_path)) == 30
    async with opened(tmp_path) as memory:
        await found_all(memory)
        async with opened(tmp_path, wait=0.0, say=lambda text: None) as other:
            await other.forget(ids=[PASSAGES[0].id()])
            await found_all(other, PASSAGES[1:])
        await found_all(memory, PASSAGES[1:])


async def test_an_index_that_lost_vectors_is_made_anew(tmp_path: Path) -> None:
    async with opened(tmp_path) as memory:
        await memory.add(PASSAGES)
        await found_all(memory)
    code = (
        "import sys, chromadb\n"
        "client = chromadb.PersistentClient(sys.argv[1])\n"
        "name = client.list_collections()[0].name\n"
        "client.get_collection(name, embedding_function=None).delete(ids=['3', '4'])\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "chroma")], check=True)
    async with opened(tmp_path) as memory:
        await found_all(memory)


async def test_an_index_whose_graph_is_gone_is_made_anew(tmp_path: Path) -> None:
    many = [Record(f"heron {i}", "birds", i * 10) for i in range(1200)]  # Chroma writes a graph after 1,000
    async with opened(tmp_path / "whole") as memory:
        await memory.add(many)
        await memory.recall("heron")
    # Another folder, for a process's Chroma remembers those that it had open.
    torn = shutil.copytree(tmp_path / "whole", tmp_path / "torn")
    (graph,) = (place for place in (torn / "chroma").iterdir() if place.is_dir())
    shutil.rmtree(graph)
    said: list[str] = []
    async with opened(torn, say=said.append) as memory:
        hits = await memory.recall("heron", k=100)
    assert len(hits) == len({hit.record.start for hit in hits}) == 100
    assert len(chroma_ids(torn)) == len(many)
    assert said == []


async def test_damaged_index_files_cost_nothing_but_time(tmp_path: Path) -> None:
    async with opened(tmp_path) as memory:
        await memory.add(PASSAGES)
        await found_all(memory)
    (tmp_path / "chroma" / "chroma.sqlite3").write_bytes(b"this is no database " * 1000)
    said: list[str] = []
    async with opened(tmp_path, say=said.append) as memory:
        await found_all(memory)
        await found_all(memory)
    assert len(said) == 1
    assert "cannot be used" in said[0]


@pytest.mark.parametrize("link", [False, True], ids=["a file", "a link to nowhere"])
async def test_what_is_no_folder_gives_way_to_the_index(tmp_path: Path, *, link: bool) -> None:
    if link:
        (tmp_path / "chroma").symlink_to(tmp_path / "nowhere")
    else:
        (tmp_path / "chroma").write_text("no folder")
    said: list[str] = []
    async with opened(tmp_path, say=said.append) as memory:
        await memory.add(PASSAGES)
        await found_all(memory)
    assert len(chroma_ids(tmp_path)) == len(PASSAGES)
    assert said == []


async def test_another_embedder_is_refused_until_all_vectors_are_made_anew(tmp_path: Path) -> None:
    async with opened(tmp_path) as memory:
        await memory.add(PASSAGES)
        await found_all(memory)
    other = HashEmbedder("other", 32)
    async with opened(tmp_path, embedder=other) as memory:
        with pytest.raises(InputError, match=r"embedder 'hash' \(64 numbers each\).*crewkit memory rebuild"):
            await memory.recall("Passage")
        with pytest.raises(InputError, match="cannot be compared"):
            await memory.add(FACTS)
        await memory.add(FACTS, namespace="another")
        told: list[tuple[int, int]] = []
        await memory.rebuild(progress=lambda done, of: told.append((done, of)))
        await found_all(memory)
        await found_all(memory)
    assert told == [(30, 30)]
    assert len(other.embedded) == len(FACTS) + 30 + 2
    async with opened(tmp_path, embedder=other) as memory:
        await found_all(memory)
    assert len([place for place in (tmp_path / "chroma").iterdir() if place.is_dir()]) <= 2, (
        "old files are gone"
    )


async def test_records_added_without_an_embedder_get_their_vectors_later(tmp_path: Path) -> None:
    async with opened(tmp_path, embedder=None) as memory:
        await memory.add(PASSAGES)
        assert await memory.recall("Passage") == []
    async with opened(tmp_path) as memory:
        await found_all(memory)


async def test_rebuild_embeds_and_indexes_all(tmp_path: Path) -> None:
    async with opened(tmp_path, embedder=None) as memory:
        await memory.add(PASSAGES)
    async with opened(tmp_path) as memory:
        await memory.rebuild()
    assert len(chroma_ids(tmp_path)) == 30


def held(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())


def vector_of(folder: Path, number: int) -> bytes:
    with sqlite3.connect(folder / "memory.db") as db:
        return db.execute("SELECT vector FROM vectors WHERE record = ?", (number,)).fetchone()[0]


@pytest.mark.parametrize("known", [True, False], ids=["with the embedder", "without one"])
async def test_what_was_forgotten_is_in_no_file(tmp_path: Path, known: bool) -> None:
    secret = Record("The passphrase is heliotrope.", "secret.md", 0, 29, title="Heliotropes")
    async with opened(tmp_path) as memory:
        await memory.add([secret, *PASSAGES])
        await memory.recall("passphrase")
    vector = vector_of(tmp_path, 1)
    assert held(tmp_path).count(vector) >= 2, "in SQL and in Chroma"
    async with opened(tmp_path, **({} if known else {"embedder": None})) as memory:
        if known:
            await memory.recall("passphrase")
        assert await memory.forget(source="secret.md") == 1
        if known:
            await found_all(memory)
    left = held(tmp_path)
    assert b"heliotrop" not in left.lower()
    assert vector not in left
    assert b"topic7" in left
    async with opened(tmp_path) as memory:
        await found_all(memory)
    assert chroma_ids(tmp_path) == {str(number) for number in range(2, 32)}


async def test_a_killed_process_leaves_what_it_forgot_to_the_next_one(tmp_path: Path) -> None:
    async with opened(tmp_path) as memory:
        await memory.add(PASSAGES)
        await found_all(memory)
    vector = vector_of(tmp_path, 1)
    code = f"""
        import asyncio, os, sys
        from crewkit.memory.semantic import SemanticMemory
        from crewkit.testing.memory import HashEmbedder

        async def main():
            memory = SemanticMemory(sys.argv[1], embedder=HashEmbedder())
            await memory.forget(ids=["{PASSAGES[0].id()}"])
            os._exit(9)

        asyncio.run(main())
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(tmp_path)], check=False)
    assert done.returncode == 9
    async with opened(tmp_path) as memory:
        await found_all(memory, PASSAGES[1:])
    assert vector not in held(tmp_path)


class Failing(HashEmbedder):
    def embed(self, texts: Sequence[str]):
        raise ConnectionError("no route to host")


async def test_a_failing_embedder_leaves_recall_by_words_and_is_said_once(tmp_path: Path) -> None:
    said: list[str] = []
    async with opened(tmp_path, embedder=Failing(), pipeline=Pipeline(), say=said.append) as memory:
        await memory.add(FACTS)
        hits = await memory.recall("parrot")
        await memory.recall("office")
    assert hits[0].record == FACTS[2]
    assert len(said) == 1
    assert "no route to host" in said[0]
    async with opened(tmp_path) as memory:
        assert "dense" in (await memory.recall("parrot"))[0].parts


async def test_stages_are_visible_and_can_be_switched_off(tmp_path: Path) -> None:
    talk = [
        Record("What would you like for lunch?", author="Waiter"),
        Record("Just soup, please.", author="Guest"),
        Record("The train was late again.", author="Guest"),
    ]
    async with opened(tmp_path, pipeline=Pipeline(dense=0)) as memory:
        await memory.add(talk)
        hits = await memory.recall("What did the guest want for lunch?")
    assert {hit.record.text: set(hit.parts) for hit in hits} == {
        talk[0].text: {"lexical", "neighbour"},
        talk[1].text: {"lexical", "neighbour", "author"},
        talk[2].text: {"lexical", "neighbour", "author"},
    }
    async with opened(tmp_path, pipeline=Pipeline(dense=0, neighbour=0, author=0)) as memory:
        hits = await memory.recall("lunch")
    assert [set(hit.parts) for hit in hits] == [{"lexical"}]


async def test_what_stands_beside_a_good_passage_is_recalled_with_it(tmp_path: Path) -> None:
    far = [Record(f"Filler {i} about nothing.", "a.md", 1000 + i, 1001 + i) for i in range(5)]
    answer = Record("Use the side door.", "a.md", 51, 70)
    async with opened(tmp_path, pipeline=Pipeline(dense=0)) as memory:
        await memory.add([*far, answer, Record("How do visitors get into the museum?", "a.md", 10, 50)])
        hits = await memory.recall("museum visitors")
    assert [hit.record.text for hit in hits[:2]] == [
        "How do visitors get into the museum?",
        "Use the side door.",
    ]


async def test_title_author_and_time_are_searched_with_the_text(tmp_path: Path) -> None:
    async with opened(tmp_path, pipeline=Pipeline(dense=0)) as memory:
        await memory.add([*FACTS, Record("See below.", title="Réservation: opening hours")])
        assert (await memory.recall("reservations"))[0].record.text == "See below."
        assert (await memory.recall("What happened on 9 May?"))[0].record == FACTS[2]


async def test_metadata_that_is_not_json_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path) as memory:
        with pytest.raises(InputError, match="not JSON"):
            await memory.add([*FACTS, Record("x", metadata={"a": object()})])
        assert await memory.recall("parrot") == [], "all or nothing"
        with pytest.raises(InputError, match="k must be 1 or more"):
            await memory.recall("parrot", k=0)


async def test_a_store_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    async with opened(tmp_path / "file" / "memory") as memory:
        with pytest.raises(CrewkitError, match=r"memory\.db cannot be opened"):
            await memory.add(FACTS)
    (tmp_path / "memory.db").write_bytes(b"no database, no database, no database " * 100)
    async with opened(tmp_path) as memory:
        with pytest.raises(CrewkitError, match=r"memory\.db cannot be opened"):
            await memory.recall("x")


async def test_a_newer_format_is_refused_and_old_words_are_made_anew(tmp_path: Path) -> None:
    async with opened(tmp_path, embedder=None, pipeline=Pipeline()) as memory:
        await memory.add(FACTS)
    db = sqlite3.connect(tmp_path / "memory.db")
    with db:
        db.execute("UPDATE about SET value = '0' WHERE name = 'words'")
        db.execute("DELETE FROM postings")
    async with opened(tmp_path, embedder=None, pipeline=Pipeline()) as memory:
        assert (await memory.recall("parrot"))[0].record == FACTS[2]
    with db:
        db.execute("UPDATE about SET value = '99' WHERE name = 'format'")
    db.close()
    async with opened(tmp_path) as memory:
        with pytest.raises(CrewkitError, match="format 99"):
            await memory.recall("parrot")


OTHER_PROCESS = """
    import asyncio, sys
    from pathlib import Path
    from crewkit.memory.base import Record
    from crewkit.memory.semantic import SemanticMemory
    from crewkit.testing.memory import HashEmbedder

    async def main():
        memory = SemanticMemory(Path(sys.argv[1]), embedder=HashEmbedder(), wait=0.1, say=lambda text: print(text))
        for i in range(int(sys.argv[2]), int(sys.argv[3])):
            await memory.add([Record(f"Passage {i} tells of topic{i}.", "book", i * 40, i * 40 + 30)])
            if i % 3 == 0:
                await memory.recall("Passage")
            print("added", i, flush=True)
        print("hits", len(await memory.recall("Passage tells of", k=100)), flush=True)
        await memory.close()

    asyncio.run(main())
"""


def start(folder: Path, first: int, end: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(OTHER_PROCESS), str(folder), str(first), str(end)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


async def test_two_processes_share_a_folder(tmp_path: Path) -> None:
    async with opened(tmp_path) as memory:
        await memory.add(PASSAGES[:20])
        await found_all(memory, PASSAGES[:20])
        with start(tmp_path, 20, 30) as other:
            out = other.communicate()[0]
        assert f"is used by process {os.getpid()}" in out
        assert "hits 30" in out
        await found_all(memory)


@pytest.mark.slow
async def test_a_killed_process_loses_nothing_it_had_added(tmp_path: Path) -> None:
    acknowledged = 0
    for kills in range(1, 9):
        # Each round dies a little later: at the first adds, while Chroma opens, between SQL and Chroma.
        with start(tmp_path, acknowledged, 10_000) as process:
            assert process.stdout is not None
            for _ in range(kills):
                process.stdout.readline()
            time.sleep(0.15 * kills)
            process.send_signal(signal.SIGKILL)
            # Of the rest, a last line may be torn.
            lines = [line for line in process.stdout if line.startswith("added") and line.endswith("\n")]
        acknowledged = int(lines[-1].split()[1]) + 1 if lines else acknowledged + kills
        async with opened(tmp_path, pipeline=replace(DENSE, candidates=10_000)) as memory:
            hits = await memory.recall("Passage tells of", k=10_000)
            dense = {hit.record.start for hit in hits}
            memory.pipeline = Pipeline(dense=0, candidates=10_000)
            hits = await memory.recall("Passage tells of", k=10_000)
        # Chroma's graph search returns its 256 nearest at most; its own count is checked when it is opened.
        assert len(dense) >= min(acknowledged, 200)
        assert {i * 40 for i in range(acknowledged)} <= {hit.record.start for hit in hits}
    assert acknowledged >= sum(range(1, 9))
    assert len(chroma_ids(tmp_path)) >= acknowledged


async def test_a_record_is_embedded_once_for_all_namespaces(tmp_path: Path):
    class Counting(HashEmbedder):
        asked = 0

        def embed(self, texts: Sequence[str]):
            self.asked += len(texts)
            return super().embed(texts)

    embedder = Counting()
    memory = SemanticMemory(tmp_path, embedder=embedder)
    records = [Record(f"The pump is in room {i}.", source="rooms.md", start=i * 30) for i in range(5)]
    await memory.add(records, namespace="one")
    await memory.add(records, namespace="two")
    assert embedder.asked == 5
    hits = await memory.recall("pump in room 3", namespace="two")
    assert {hit.record.id() for hit in hits} == {record.id() for record in records}
    assert any(hit.parts.get("dense") for hit in hits)
    await memory.close()


WORDS = Pipeline(dense=0, author=0)


async def neighbours_of(memory: SemanticMemory, query: str) -> list[str]:
    hits = await memory.recall(query, k=50)
    return sorted(hit.record.text for hit in hits if "lexical" not in hit.parts)


def turns(sources: Sequence[str]) -> list[Record]:
    return [Record(f"turn{i}", source) for i, source in enumerate(sources)]


@pytest.mark.parametrize(
    ("sources", "beside"),
    [
        (["", "", "", "", ""], ["turn1", "turn3"]),
        (["talk"] * 5, ["turn1", "turn3"]),
        (["talk", "other", "talk", "other", "talk"], ["turn0", "turn4"]),
        (["talk:1", "talk:2", "talk:3", "talk:4", "talk:5"], ["turn1", "turn3"]),
        (["talk", "talk", "aside", "talk", "talk"], ["turn1", "turn3"]),
    ],
    ids=["no source", "one source", "two sources in turn", "a source each", "one alone"],
)
async def test_what_was_said_stands_beside_what_was_said_before_and_after(
    tmp_path: Path, sources: list[str], beside: list[str]
) -> None:
    async with opened(tmp_path, embedder=None, pipeline=WORDS) as memory:
        await memory.add(turns(sources))
        await memory.add([Record("turn9 elsewhere")], namespace="another")
        assert await neighbours_of(memory, "turn2") == beside


async def test_turns_added_one_by_one_are_neighbours_and_documents_are_not(tmp_path: Path) -> None:
    async with opened(tmp_path, embedder=None, pipeline=WORDS) as memory:
        for turn in turns(["a", "b", "c"]):
            await memory.add([turn])
        await memory.add([Record("A whole document.", "d.md", 0, 17), Record("Another.", "e.md", 0, 8)])
        assert await neighbours_of(memory, "turn2") == ["turn1"]
        assert await neighbours_of(memory, "document") == []


async def test_a_memory_of_the_first_format_is_brought_up_to_date(tmp_path: Path) -> None:
    async with opened(tmp_path, embedder=None, pipeline=WORDS) as memory:
        await memory.add(
            [Record("turn0", "talk", author="Ann"), Record("aside", "x"), Record("turn2", "talk")]
        )
    with sqlite3.connect(tmp_path / "memory.db") as db:
        for index in ("records_added", "records_step", "records_order", "vectors_embedder"):
            db.execute(f"DROP INDEX {index}")
        for column in ("crew", "agent", "run", "path", "label", "added"):
            db.execute(f"ALTER TABLE records DROP COLUMN {column}")
        db.execute("DROP TABLE attributes")
        db.execute("UPDATE records SET thread = 'stream'")
        db.execute("UPDATE about SET value = '1' WHERE name = 'format'")
    async with opened(tmp_path, embedder=None, pipeline=WORDS) as memory:
        assert await neighbours_of(memory, "turn2") == ["turn0"]
        (hit,) = await memory.recall("turn0", where={"author": "Ann"})
        assert hit.record.author == "Ann"


async def test_a_filter_over_many_finds_what_is_near_and_what_is_far(tmp_path: Path) -> None:
    crowd = [Record(f"heron {i}", metadata={"even": i % 2 == 0, "last": i == 8999}) for i in range(9000)]
    async with opened(tmp_path) as memory:
        await memory.add(crowd)
        for wanted, count in ({"even": False}, 20), ({"last": True}, 1), ({"last": False}, 20):
            hits = await memory.recall("heron 8999", k=20, where=wanted)
            assert len(hits) == count
            assert all(hit.record.metadata | wanted == hit.record.metadata for hit in hits)
