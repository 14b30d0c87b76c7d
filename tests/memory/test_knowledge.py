import os
from pathlib import Path

import pytest

from crewkit.errors import InputError
from crewkit.memory.knowledge import index
from crewkit.memory.semantic import SemanticMemory
from crewkit.testing.memory import HashEmbedder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "herons.md").write_text("# Herons\n\nHerons nest in March.\n")
    (folder / "otters.html").write_text("<h1>Otters</h1><p>Otters sleep by day.")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.4")
    return folder


async def test_a_document_is_indexed_once_by_its_content(tmp_path: Path, folder: Path) -> None:
    embedder = HashEmbedder()
    memory = SemanticMemory(tmp_path / "memory", embedder=embedder)
    told: list[tuple[str, int, int]] = []
    first = await index(memory, [folder], namespace="n", progress=lambda *each: told.append(each))
    assert [Path(s).name for s in first.added] == ["herons.md", "otters.html"]
    assert first.passages == 2
    assert [Path(s).name for s in first.refused] == ["broken.pdf"]
    assert [(done, of) for _, done, of in told] == [(0, 3), (1, 3), (2, 3), (3, 3)]

    (folder / "herons.md").touch()
    embedder.embedded.clear()
    second = await index(memory, [folder], namespace="n")
    assert (second.added, second.passages, len(second.unchanged)) == ([], 0, 2)
    assert embedder.embedded == []

    (folder / "herons.md").write_text("# Herons\n\nHerons nest in April.\n")
    (folder / "otters.html").unlink()
    third = await index(memory, [folder], namespace="n")
    assert [Path(s).name for s in third.added] == ["herons.md"]
    assert [Path(s).name for s in third.removed] == ["otters.html"]
    hits = await memory.recall("when do herons nest and otters sleep", k=50, namespace="n")
    assert [hit.record.text for hit in hits] == ["# Herons\n\nHerons nest in April."]
    await memory.close()


async def test_what_else_is_in_the_namespace_stays(tmp_path: Path, folder: Path) -> None:
    memory = SemanticMemory(tmp_path / "memory", embedder=None)
    os.mkdir(tmp_path / "other")
    (tmp_path / "other" / "seals.txt").write_text("Seals bark.")
    await index(memory, [folder], namespace="n")
    await index(memory, [str(tmp_path / "other" / "seals.txt")], namespace="n")
    await index(memory, [folder], namespace="n")
    assert [Path(s.name).name for s in await memory.sources(namespace="n")] == [
        "herons.md", "otters.html", "seals.txt",
    ]  # fmt: skip
    with pytest.raises(InputError, match="no folder"):
        await index(memory, [tmp_path / "nowhere"], namespace="n")
    await memory.close()
