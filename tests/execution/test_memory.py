"""What a crew remembers: whose it is, what it says of itself, what may be written."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from crewkit import (
    Agent,
    Crew,
    DefinitionError,
    Grant,
    InputError,
    Record,
    Scope,
    SemanticMemory,
    Task,
    ToolContext,
    memory_tools,
    recall,
    remember,
    tool,
)
from crewkit.core.events import Event
from crewkit.core.label import unfenced
from crewkit.execution import memory as room
from crewkit.journal.sqlite import SqliteJournal
from crewkit.models.scripted import ScriptedModel, call


@pytest.fixture
async def memory(tmp_path: Path):
    memory = SemanticMemory(tmp_path / "memory", embedder=None)
    yield memory
    await memory.close()


def events(runs: SqliteJournal, run_id: str, type: str) -> list[Event]:
    return list(runs.events(run_id, types=[type]))


def answers(model: ScriptedModel) -> list[str]:
    """Return the results of tools that a model was last shown."""
    return [unfenced(m.content) for m in model.requests[-1].messages if m.role == "tool"]


def keeper(*script: object, tools=(recall, remember), **crew: object) -> tuple[Crew, ScriptedModel]:
    model = ScriptedModel([*script, "done"])
    agent = Agent("Keeper", "Keep facts.", tools=tools, model=model)
    return Crew([Task("keep", "Keep.", agent=agent)], name="house", **crew), model


async def test_what_one_run_remembers_the_next_one_recalls_and_knows_who_said_it(make_options, memory, runs):
    first, _ = keeper(call("remember", fact="The boiler is behind the green door."), memory="home")
    written = await first.run({}, make_options(memory=memory))
    second, model = keeper(call("recall", query="where is the boiler"), memory="home")
    result = await second.run({}, make_options(memory=memory))
    (hit,) = json.loads(answers(model)[0])
    assert hit["text"] == "The boiler is behind the green door."
    assert hit["author"] == "Keeper"
    assert hit["trusted"] is True
    assert hit["source"] == f"run {written.run_id}, keep/1/tool:0"
    (event,) = events(runs, result.run_id, "memory.searched")
    assert event.data["hits"][0]["run"] == written.run_id
    assert event.data["hits"][0]["agent"] == "Keeper"
    assert event.data["hits"][0]["parts"]
    (record,) = await memory.listed(namespace="crew:home")
    assert (record.origin.crew, record.origin.path) == ("house", "keep/1/tool:0#0")


async def test_without_a_lasting_name_every_run_remembers_for_itself(make_options, memory):
    first, _ = keeper(call("remember", fact="The boiler is behind the green door."))
    await first.run({}, make_options(memory=memory))
    second, model = keeper(call("recall", query="boiler"))
    await second.run({}, make_options(memory=memory))
    assert answers(model) == ["[]"]


async def test_one_users_memory_never_reaches_another_whatever_their_names_are(make_options, memory):
    for user, team in (("ann", "x"), ("ann:x", "y"), ("ann/x", ""), ("Ann", "x"), ("ann%3Ax", "y")):
        crew, _ = keeper(
            call("remember", fact=f"The password of {user} and {team} is a secret."),
            memory="{user}:{team}",
            inputs=["user", "team"],
        )
        await crew.run({"user": user, "team": team}, make_options(memory=memory))
    spaces = await memory.spaces()
    assert [space.records for space in spaces] == [1] * 10, "a fact and an episode for each"
    crew, model = keeper(
        call("recall", query="password secret"), memory="{user}:{team}", inputs=["user", "team"]
    )
    await crew.run({"user": "ann", "team": "x:y"}, make_options(memory=memory))
    assert answers(model) == ["[]"]


def test_a_placeholder_of_a_memory_is_an_input():
    with pytest.raises(DefinitionError, match=r"memory of crew 'house' uses {usr}.*Did you mean 'user'"):
        keeper(memory="{usr}", inputs=["user"])


async def test_an_agent_names_only_namespaces_that_its_tools_and_its_scope_name(make_options, memory):
    await memory.add([Record("Visitors sign in at the gate.")], namespace="handbook")
    await memory.add([Record("The board meets on the gate's anniversary.")], namespace="board")
    tools = memory_tools(read=["handbook", "board"], write=["notes:{user}"])
    calls = [
        call("recall", query="gate", namespace="handbook"),
        call("recall", query="gate", namespace="board"),
        call("recall", query="gate", namespace="crew:other"),
        call("remember", fact="Ann has signed in.", namespace="notes:{user}"),
        call("remember", fact="Poison.", namespace="handbook"),
    ]
    crew, model = keeper(calls, tools=tools, inputs=["user"])
    await crew.run({"user": "ann"}, make_options(memory=memory))
    shown = answers(model)
    assert "Visitors sign in" in shown[0]
    assert "The board meets" in shown[1]
    assert "Visitors" not in shown[1]
    assert "crew:other" in shown[2]
    assert "arguments of" in shown[2]
    assert shown[3].startswith("Remembered")
    assert "arguments of" in shown[4]
    assert [space.name for space in await memory.spaces()] == ["board", "handbook", "notes:ann"]
    with pytest.raises(DefinitionError, match="names no namespace"):
        memory_tools()


async def test_a_tool_that_is_not_granted_is_not_offered(make_options, memory):
    model = ScriptedModel([call("remember", fact="Poison."), "done"])
    agent = Agent("Keeper", "Keep.", tools=[recall, remember], scope=Scope(Grant("recall")), model=model)
    await Crew([Task("keep", "Keep.", agent=agent)], memory="home").run({}, make_options(memory=memory))
    assert [spec.name for spec in model.requests[0].tools] == ["recall"]
    assert await memory.listed(namespace="crew:home") == []


async def test_secrets_do_not_get_into_memory(make_options, memory):
    crew, _ = keeper(call("remember", fact="The key is hunter2hunter2, keep it."), memory="home")
    await crew.run({}, make_options(memory=memory, environ={"HOUSE_SECRET": "hunter2hunter2"}))
    (record,) = await memory.listed(namespace="crew:home")
    assert "hunter2" not in record.text


async def test_facts_and_records_have_a_largest_size(make_options, memory):
    @tool(effects="read")
    async def save(context: ToolContext) -> str:
        """Save something large."""
        await context.memory.add([Record("x" * (room.LARGEST_RECORD + 1))])
        return "saved"

    crew, model = keeper([call("remember", fact="y" * 2001), call("save")], tools=[remember, save])
    await crew.run({}, make_options(memory=memory))
    assert "A fact has 1 to 2,000 characters" in answers(model)[0]
    assert "too large to remember" in answers(model)[1]
    assert await memory.spaces() == []


async def test_a_run_writes_no_more_than_its_share_over_all_its_processes(make_options, memory, runs):
    written = room.MOST_RECORDS - 3

    @tool(effects="read")
    async def save(count: int, context: ToolContext) -> str:
        """Save numbers."""
        await context.memory.add([Record(str(i)) for i in range(count)])
        return "saved"

    crew, model = keeper(call("save", count=3), call("save", count=1), tools=[save], inputs=["x"])

    def before(event: Event) -> Event:
        return replace(event, data={"count": written})

    result = await crew.run({"x": ""}, make_options(memory=memory))
    assert answers(model) == ["saved", "saved"]
    history = [before(e) for e in events(runs, result.run_id, "memory.written")[:1]]
    of = room.RunMemory(
        None,  # type: ignore[arg-type]
        lambda: memory,
        crew="house",
        namespace="home",
        knowledge=(),
        inputs={},
        history=history,
    )
    of.allow("keep/2/tool:0", [Record("a")] * 3)
    with pytest.raises(Exception, match=r"50,000 records.*50,001"):
        of.allow("keep/3/tool:0", [Record("a")])


async def test_what_a_tool_adds_is_there_once_when_it_is_run_again(make_options, memory, runs):
    times = iter(["2026-01-01T00:00:00Z", "2026-01-01T00:05:00Z"])
    stuck = asyncio.Event()

    @tool(effects="read", idempotent=True)
    async def log(context: ToolContext) -> str:
        """Log that it rains."""
        await context.memory.add([Record("It rains.", time=next(times)), Record("It rains.", author="Bob")])
        if not stuck.is_set():
            stuck.set()
            await asyncio.sleep(3600)
        return "logged"

    crew, _ = keeper(call("log"), tools=[log], memory="home")
    options = make_options(memory=memory)
    running = asyncio.create_task(crew.run({}, options))
    await stuck.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    again, _ = keeper(call("log"), tools=[log], memory="home")
    result = await again.resume("@last", options)
    assert result.ok, result.why
    assert len(await memory.listed(namespace="crew:home")) == 2


async def test_a_crew_knows_its_documents_and_reads_each_once(
    make_options, memory, runs, tmp_path, monkeypatch
):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "gate.md").write_text("# The gate\n\nThe gate opens at seven.\n")
    (tmp_path / "docs" / "page.html").write_text("<h1>Parking</h1><p>Parking is behind the gate.")
    monkeypatch.chdir(tmp_path)
    crew, model = keeper(call("recall", query="When does the gate open?"), knowledge=["docs"])
    result = await crew.run({}, make_options(memory=memory))
    hits = json.loads(answers(model)[0])
    assert hits[0]["text"] == "# The gate\n\nThe gate opens at seven."
    assert (hits[0]["source"], hits[0]["start"]) == ("docs/gate.md", 0)
    (event,) = events(runs, result.run_id, "memory.written")
    assert event.data["sources"] == ["docs/gate.md", "docs/page.html"]
    crew, _ = keeper(knowledge=["docs"])
    result = await crew.run({}, make_options(memory=memory))
    (event,) = events(runs, result.run_id, "memory.written")
    assert (event.data["count"], event.data["unchanged"]) == (0, 2)


async def test_documents_that_are_not_there_are_missed_before_anything_runs(make_options, memory, runs):
    crew, _ = keeper(knowledge=["no/such/folder"])
    with pytest.raises(InputError, match="no/such/folder"):
        await crew.run({}, make_options(memory=memory))
    assert runs.runs() == []
