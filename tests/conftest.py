"""What tests of whole crews share: journals of their own, and what a person does to them from elsewhere."""

from __future__ import annotations

import asyncio
import importlib.util
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from crewkit.core.events import Draft, Event
from crewkit.crew.options import Options
from crewkit.journal.base import Journal, Write
from crewkit.journal.decide import decide as answer
from crewkit.journal.decide import questions
from crewkit.journal.sqlite import SqliteJournal
from crewkit.journal.tell import tell_agents, tell_event
from crewkit.memory.semantic import SemanticMemory
from crewkit.testing.postgres import PostgresServer

MakeOptions = Callable[..., Options]
Decide = Callable[..., list[str]]

settings.register_profile("crewkit", deadline=None)  # a busy machine must fail no test
settings.load_profile("crewkit")


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A server for all tests; a test that stops it starts it again."""
    try:
        server = PostgresServer()
    except FileNotFoundError as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing))
        pytest.skip(str(missing))
    with server:
        yield server


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """An empty database."""
    with postgres.database() as url:
        yield url


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[SqliteJournal]:
    with SqliteJournal(tmp_path / "runs" / "journal.db") as journal:
        yield journal


@pytest.fixture
def make_options(runs: SqliteJournal) -> MakeOptions:
    """Options on the test's journal, with nothing of this machine's environment."""

    def make(**given: Any) -> Options:
        return Options(**{"journal": runs, "environ": {}, **given})

    return make


@pytest.fixture
def decide(runs: SqliteJournal) -> Decide:
    """Decide what waits, as another process does: by another handle on the same file."""

    def decide(run: str, decision: str = "approve", note: str = "", only: str = "") -> list[str]:
        with SqliteJournal(runs.path) as elsewhere:
            return decide_all(elsewhere, run, decision, note, only)

    return decide


def decide_all(journal: Journal, run: str, decision: str, note: str, only: str) -> list[str]:
    events = list(journal.events(run))
    decided = {event.data["id"] for event in events if event.type == "approval.decided"}
    asked = [event for event in events if event.type == "approval.requested" and only in event.path]
    waiting = [event for event in asked if event.data["id"] not in decided]
    for event in waiting:
        id = event.data["id"]
        data = {"id": id, "decision": decision, "note": note, "by": "a test"}
        draft = Draft("approval.decided", event.path, data, event.task, event.agent, key=f"decided {id}")
        journal.append([Write(run, [draft], None)])
    return [event.data["id"] for event in waiting]


def _beside(name: str) -> Any:
    """Load a module beside this file."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SqliteJournal, str]]:
    """A run of the launch crew that paused for a person and was resumed."""
    home = tmp_path_factory.mktemp("launch")
    with SqliteJournal(home / "journal.db") as journal:
        memory = SemanticMemory(home / "memory", embedder=None)
        options = Options(journal=journal, environ={}, memory=memory, target="launch.py")
        crew = _beside("launch").crew()
        paused = asyncio.run(crew.run({"product": "the seal pump"}, options))
        assert paused.status == "paused"
        [question] = questions(journal, paused.run_id)
        answer(journal, question, "approve", "Only on the news channel.")
        assert asyncio.run(crew.resume(paused.run_id, options)).status == "completed"
        yield journal, paused.run_id


@pytest.fixture(scope="session")
def rescued(tmp_path_factory: pytest.TempPathFactory) -> list[Event]:
    """The events of a run of the rescue crew that waited for an event and was told something."""
    home = tmp_path_factory.mktemp("rescue")
    with SqliteJournal(home / "journal.db") as journal:
        options = Options(journal=journal, environ={}, target="rescue.py")
        crew = _beside("rescue").crew()
        paused = asyncio.run(crew.run({}, options))
        assert paused.status == "paused", paused.why
        tell_event(journal, paused.run_id, "contract_signed", {"by": "Ann"}, by="Ann")
        tell_agents(journal, paused.run_id, "Keep it short.", by="Ann")
        assert asyncio.run(crew.resume(paused.run_id, options)).status == "completed"
        return list(journal.events(paused.run_id))


@pytest.fixture(scope="session")
def ventured(tmp_path_factory: pytest.TempPathFactory) -> list[Event]:
    """The events of a run of the venture crew."""
    with SqliteJournal(tmp_path_factory.mktemp("venture") / "journal.db") as journal:
        crew = _beside("venture").crew()
        result = asyncio.run(crew.run({}, Options(journal=journal, environ={}, target="venture.py")))
        assert result.status == "completed", result.why
        return list(journal.events(result.run_id))


@pytest.fixture
def events(launched: tuple[SqliteJournal, str]) -> list[Event]:
    journal, run = launched
    return list(journal.events(run))
