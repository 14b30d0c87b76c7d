"""A run with everything in it that can be recorded, replayed from its journal and from its cassette."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from crewkit import (
    Agent,
    Crew,
    Grant,
    InputError,
    Limits,
    ModelError,
    ReplayError,
    Scope,
    SemanticMemory,
    Task,
    ToolContext,
    any_of,
    ask_colleague,
    recall,
    remember,
    tool,
)
from crewkit.core.events import Event
from crewkit.crew.options import Options
from crewkit.crew.result import Result
from crewkit.journal.cassette import read_cassette, write_cassette
from crewkit.journal.sqlite import SqliteJournal
from crewkit.journal.tell import tell_agents, tell_event
from crewkit.models.base import Request
from crewkit.models.scripted import ScriptedModel, call
from crewkit.runs.replay import replay
from crewkit.testing import Cassette
from tests.runs.test_fork import World, rich, world

__all__ = ["world"]

RUN = "r-whole"


def whole(world: World, **given: Any) -> Crew:
    """Approvals, effects, waits, events, a fallback, kept results, loops, memory, a colleague, an inner crew."""

    @tool(effects="read", cache_ttl=600)
    def price(item: str) -> float:
        """Look a price up."""
        world.done.append(f"price {item}")
        if item == "none":
            raise ValueError("no such item")
        return 7.5

    @tool(effects=["write", "external"])
    def order(item: str, context: ToolContext) -> str:
        """Order it."""
        world.done.append(f"order {item}")
        return f"ordered {item}"

    @tool(effects="read")
    def total(bought: str, again: str, signed: int, learnt: str, previous: str | None, reason: str) -> str:
        """Add up."""
        world.done.append("total")
        return f"{previous or 'sum'}{reason}: {signed}"

    def is_polite(text: str) -> str | None:
        return None if "please" in text else "Say please."

    buy = [call("price", item="a"), call("price", item="none")], call("order", item="a"), "bought"
    buyer = world.agent("Buyer", *given.get("buy", buy), tools=[price, order])
    # The same price is asked again, by another agent and later: it is kept.
    checker = world.agent("Checker", call("price", item="a"), "checked", tools=[price])
    weak = world.agent("Weak", "no", "never", model_error=True)
    strong = world.agent("Strong", given.get("polite", "yes please"))
    learner = world.agent(
        "Learner",
        call("remember", fact="Tides come twice a day."),
        [call("recall", query="tides"), call("ask_colleague", to="Knower", question="Why?")],
        "learnt",
        tools=[remember, recall, ask_colleague],
        scope=Scope(Grant("remember", "never"), "recall", "ask_colleague"),
    )
    bought = Task("bought", given.get("description", "Buy a."), agent=buyer)
    again = Task("again", "Check.", agent=checker, needs=[bought])
    asked = Task("asked", "Ask nicely.", agent=weak, guardrails=[is_polite], revisions=0, fallback=[strong])
    signed = Task("signed", wait_for="signed", output_type=int, until="signed > 1")
    cooled = Task("cooled", wait_for=timedelta(seconds=0))
    inner = Crew(
        [
            Task("first", "Do.", agent=world.agent("First", "one")),
            Task(
                "checked", "Check.", agent=world.agent("Second", "two"), needs=["first"], human_input="Good?"
            ),
        ],
        name="inner",
    )
    learnt = Task("learnt", "Learn.", agent=learner, needs=[cooled, any_of(asked, signed)])
    added = Task("added", do=total, needs=[bought, again, signed, learnt], until="'!' in added", iterations=2)
    return Crew(
        [bought, again, asked, signed, cooled, Task("sub", do=inner), learnt, added],
        agents=[world.agent("Knower", "the moon")],
        memory="house",
        limits=Limits(tokens=None),
        name="whole",
    )


class Everything(World):
    def agent(self, role: str, *lines: Any, model_error: bool = False, **more: Any) -> Agent:
        if not model_error:
            return super().agent(role, *lines, **more)

        def fail(request: Request) -> Any:
            self.asked.append(role)
            raise ModelError("The server is gone.")

        return Agent(role, f"Be {role}.", model=ScriptedModel(fail), **more)


@pytest.fixture
async def recorded(tmp_path: Path, runs: SqliteJournal, decide: Callable[..., Any]) -> Result:
    """A run of all that, to its end."""
    memory = SemanticMemory(tmp_path / "memory", embedder=None)
    options = Options(journal=runs, environ={}, run_id=RUN, memory=memory)
    result = await whole(Everything()).run({}, options)
    tell_agents(runs, RUN, "Be quick.", "a test")
    for value in (1, 2):
        tell_event(runs, RUN, "signed", value, "a test", id=f"s-{value}")
    for _ in range(5):
        if result.status != "paused":
            break
        decide(RUN)
        result = await whole(Everything()).resume(RUN, options)
    await memory.close()
    assert result.status == "completed", result.why
    return result


@pytest.fixture
def events(recorded: Result, runs: SqliteJournal) -> list[Event]:
    return list(runs.events(RUN))


async def test_a_run_of_everything_is_replayed_without_a_call(recorded: Result, events: list[Event]):
    for history in (events, read_cassette(write_cassette(events), "it")):
        now = Everything()
        told, result = await replay(whole(now), history)
        assert told.same, told.divergences
        assert (told.ends, told.unseen) == ([], {})
        assert (now.asked, now.done) == ([], [])
        assert (result.status, dict(result.outputs)) == ("completed", dict(recorded.outputs))


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"description": "Buy b."}, "bought/1/model"),
        ({"polite": "yes please"}, ""),
        ({"polite": "unheard, please"}, ""),  # what a model would say now is not asked
    ],
)
async def test_the_first_divergence_is_the_same_from_a_cassette(events: list[Event], given: Any, path: str):
    crew = whole(Everything(), **given)
    told = [(await replay(crew, h))[0] for h in (events, read_cassette(write_cassette(events), "it"))]
    assert told[0] == told[1]
    assert [each.path for each in told[0].divergences][:1] == ([path] if path else [])


async def test_two_recordings_of_the_same_differ_in_nothing(tmp_path: Path):
    """Branches come in another order, at another time."""

    async def recording(name: str) -> str:
        with SqliteJournal(tmp_path / name) as journal:
            await rich(World()).run({}, Options(journal=journal, environ={}, run_id=RUN))
            return write_cassette(journal.events(RUN))

    first, second = await recording("a.db"), await recording("b.db")
    assert first == second


def test_what_is_written_down_is_read_back(events: list[Event]):
    text = write_cassette(events)
    assert write_cassette(read_cassette(text, "it")) == text
    steps = yaml.safe_load(text)["steps"]
    calls = [step for step in steps if "event" not in step]
    assert len(calls) == len({step["at"] for step in calls}), "one block for each call"
    (said,) = [step["answered"]["assistant"] for step in calls if step["at"] == "learnt/3/model"]
    assert said == "learnt"


async def test_a_crew_that_asks_for_something_else_is_told_which_call_and_what(events, tmp_path: Path):
    Cassette.of(events).write(tmp_path / "whole.yaml")
    cassette = Cassette.read(tmp_path / "whole.yaml")
    assert (await cassette.replay(whole(Everything()))).status == "completed"
    with pytest.raises(ReplayError) as caught:
        await cassette.replay(whole(Everything(), description="Buy b."))
    said = str(caught.value)
    assert "Crew 'whole' goes another way than" in said
    assert "At bought/1/model: Another request is made here." in said
    assert "-Buy a." in said
    assert "+Buy b." in said


async def test_an_answer_that_was_edited_by_hand_is_given_and_what_follows_is_told(events, tmp_path: Path):
    file = tmp_path / "whole.yaml"
    file.write_text(write_cassette(events).replace("assistant: the moon", "assistant: the sun"))
    with pytest.raises(ReplayError, match="the sun"):
        await Cassette.read(file).replay(whole(Everything()))


async def test_its_model_answers_where_the_tools_are_to_run(make_options, runs):
    def crew(model: Any, done: list[str]) -> Crew:
        @tool(effects="read")
        def look(place: str) -> str:
            """Look."""
            done.append(place)
            return "seen"

        return Crew([Task("t", "Look.", agent=Agent("A", "Look.", tools=[look], model=model))])

    first = await crew(ScriptedModel([call("look", place="a"), "done"]), []).run({}, make_options())
    text = write_cassette(runs.events(first.run_id))
    done: list[str] = []
    model = Cassette(read_cassette(text, "it"), "it").model()
    again = await crew(model, done).run({}, make_options())
    assert (again.output, done) == ("done", ["a"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is no cassette"),
        ("[1]", "it is no cassette"),
        ("a: b: c", "mapping values"),
        ("cassette: 99", "Upgrade crewkit"),
        ("cassette: x", "invalid literal"),
        ("cassette: 1", "'run' is missing|'crew' is missing"),
        ("cassette: 1\nrun: r\ncrew: c\nsteps: [1]", "no cassette that can be read"),
        ("cassette: 1\nrun: r\ncrew: c\nsteps: [{at: a/1/model, asked: [{}], request: {}}]", "is missing"),
        ("cassette: 1\nrun: r\ncrew: c\nsteps: 3", "no cassette that can be read"),
        ("!!python/object/apply:os.system ['true']", "no cassette that can be read"),
    ],
)
def test_a_file_that_is_no_cassette_is_refused_by_name(tmp_path: Path, text: str, said: str):
    file = tmp_path / "odd.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=said) as caught:
        Cassette.read(file)
    assert "odd.yaml" in str(caught.value)


def test_a_file_that_is_not_there_says_how_to_record_it(tmp_path: Path):
    with pytest.raises(InputError, match=r"crewkit export @last --format cassette -o .*none\.yaml"):
        Cassette.read(tmp_path / "none.yaml")


def test_texts_of_any_kind_survive():
    texts = ["", " ", "a\n", "a\n\n", "\na", "a \nb", "tab\tx", "nul\0x", "\ud800", "yes", "1e3", "2026-01-01",
             "# no comment", "- x", "a: b", "'", '"', "\x85", "\u2028", "ä𝄞", "{x}", "|", "~", "=", "<<"]  # fmt: skip
    begun = Event(RUN, 1, "run.started", "", 0.0, "s", data={"crew": "c", "inputs": {t: t for t in texts}})
    said = Event(
        RUN, 2, "task.finished", "", 0.0, "s", "t", "t", data={"status": "completed", "output": texts}
    )
    read = read_cassette(write_cassette([begun, said]), "it")
    assert read[0].data["inputs"] == begun.data["inputs"]
    assert read[1].data["output"] == texts
    assert json.dumps(read[1].data) == json.dumps(said.data)
