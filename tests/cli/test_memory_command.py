import json
from pathlib import Path

import pytest

from crewkit.errors import InputError


@pytest.fixture(autouse=True)
def _words_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREWKIT_EMBEDDER", "none")
    docs = folder / "docs"
    docs.mkdir()
    (docs / "gate.md").write_text("# The gate\n\nThe gate opens at seven.\n")
    (docs / "page.html").write_text("<h1>Parking</h1><p>Parking is behind the gate.")
    (docs / "broken.pdf").write_bytes(b"%PDF")


def rows(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_documents_are_added_once_found_shown_and_forgotten(invoke, folder):
    added = invoke("memory", "add", "docs", "-n", "handbook")
    assert added.exit_code == 0
    assert added.stdout == (
        "2 documents added (2 passages), 0 unchanged, 0 forgotten, 1 left out. Namespace handbook.\n"
    )
    assert "docs/broken.pdf" in added.stderr
    again = json.loads(invoke("memory", "add", "docs", "-n", "handbook", "--json").stdout)
    assert (again["added"], len(again["unchanged"])) == ([], 2)
    assert rows(invoke("memory", "list", "--json").stdout) == [
        {"namespace": "handbook", "records": 2, "words": 12}
    ]
    (hit,) = rows(
        invoke("memory", "search", "when opens the gate", "-n", "handbook", "-k", "1", "--json").stdout
    )
    assert (hit["source"], hit["start"], hit["title"]) == ("docs/gate.md", 0, "gate \u203a The gate")
    assert hit["parts"]["lexical"] > 0
    shown = invoke("memory", "show", hit["id"][:8])
    assert "The gate opens at seven." in shown.stdout
    assert "docs/gate.md" in shown.stdout
    assert "not trusted" in shown.stdout
    forgotten = invoke("memory", "forget", "--source", "docs/gate.md", "-n", "handbook", "--yes", "--json")
    assert json.loads(forgotten.stdout) == {"namespace": "handbook", "forgotten": 1}
    assert invoke("memory", "search", "seven", "-n", "handbook").stdout == ""
    assert isinstance(invoke("memory", "show", hit["id"]).exception, InputError)
    assert "1 record forgotten" in invoke("memory", "forget", "--all", "-n", "handbook", "--yes").stdout


def test_search_takes_filters(invoke):
    invoke("memory", "add", "docs")
    found = rows(invoke("memory", "search", "gate", "-w", "source=docs/page.html", "--json").stdout)
    assert [row["source"] for row in found] == ["docs/page.html"]
    assert invoke("memory", "search", "gate", "-w", "source").exit_code == 2


@pytest.mark.parametrize("command", [["list"], ["search", "x"], ["forget", "x"], ["rebuild"], ["stats"]])
def test_where_nothing_is_remembered_nothing_fails_and_nothing_is_made(invoke, folder, command):
    assert invoke("memory", *command).exit_code == 0
    assert not (folder / ".crewkit" / "memory").exists()


def test_a_namespace_that_is_not_there_is_missed_by_name(invoke):
    invoke("memory", "add", "docs", "-n", "handbook")
    for command in (["search", "x"], ["list"], ["rebuild"], ["forget", "x"]):
        done = invoke("memory", *command, "-n", "handbok")
        assert isinstance(done.exception, InputError)
        assert "Did you mean 'handbook'" in str(done.exception)


def test_stats_tell_by_what_is_recalled(invoke):
    invoke("memory", "add", "docs")
    assert "words alone" in invoke("memory", "stats").stdout
    data = json.loads(invoke("memory", "stats", "--json").stdout)
    assert data["embedder"] is None
    assert data["bytes"] > 0
    assert data["namespaces"][0]["records"] == 2


def test_setup_has_nothing_to_do_where_a_model_is_here(invoke, monkeypatch):
    monkeypatch.delenv("CREWKIT_EMBEDDER")
    done = invoke("memory", "setup")
    assert done.exit_code == 0
    assert "works. Nothing to do." in done.stdout


def test_what_is_forgotten_has_to_be_named_and_is_asked_about(invoke):
    invoke("memory", "add", "docs")
    assert invoke("memory", "forget").exit_code == 2
    assert "is no moment" in str(invoke("memory", "forget", "--before", "soon", "--yes").exception)
    assert "say --yes" in str(invoke("memory", "forget", "--all").exception)
    assert "There is no record 'zzz'" in str(invoke("memory", "forget", "zzz", "--yes").exception)
    assert invoke("memory", "forget", "", "--yes").exit_code == 2
    assert invoke("memory", "show", " ").exit_code == 2
    assert len(rows(invoke("memory", "list", "-n", "default", "--json").stdout)) == 2


def test_the_beginning_of_an_id_names_a_record(invoke):
    invoke("memory", "add", "docs")
    first, second = (r["id"] for r in rows(invoke("memory", "list", "-n", "default", "--json").stdout))
    assert invoke("memory", "forget", first[:8], "--yes").stdout == "1 record forgotten.\n"
    (left,) = rows(invoke("memory", "list", "-n", "default", "--json").stdout)
    assert left["id"] == second
