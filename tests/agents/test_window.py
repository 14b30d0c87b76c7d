"""Long conversations: what is summarised, what is never lost, and that a resume sees the same."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crewkit import Agent, Crew, DefinitionError, Limits, Task, ask_colleague, tool
from crewkit.agents.lookback import pin_fact
from crewkit.agents.window import HEAD, Window
from crewkit.core.events import Event
from crewkit.core.label import trusted_part
from crewkit.core.messages import ChatMessage, ToolCall
from crewkit.errors import ModelError
from crewkit.models.base import Answer, Request
from crewkit.models.scripted import ScriptedModel, call
from crewkit.models.tokens import TokenCounter

FREE = Limits(tokens=None, steps=None)
SMALL = Window(messages=40, every=12)


@tool(effects="read")
def look(place: int) -> str:
    """Look at a place."""
    found = {7: "The vault code is 4711-X.", 23: "Mrs Abernathy has the spare key."}
    return found.get(place, f"Place {place} is empty and dull, as most places are here.")


@tool(effects="write")
def send(to: str) -> str:
    """Send a letter."""
    return f"sent to {to}"


def looking(turns: int, **special: Any):
    """Return a script that looks at one place a turn, and does something else in some."""

    def say(request: Request) -> Any:
        turn = request.turn or 0
        if f"turn{turn}" in special:
            return special[f"turn{turn}"]
        return call("look", place=turn) if turn < turns else "Done."

    return ScriptedModel(say)


def crew_of(model: Any, window: Window = SMALL, *, tools: Sequence[Any] = (look,), agents=()) -> Crew:
    worker = Agent("Worker", "Look.", tools=tools, model=model, window=window, limits=FREE)
    return Crew([Task("t", "Look everywhere.", agent=worker, limits=FREE)], agents=agents, limits=FREE)


def summaries(events: Sequence[Event]) -> list[Event]:
    return [event for event in events if event.data.get("compressed_from")]


async def test_every_dozen_messages_the_oldest_become_a_summary_that_can_be_expanded(make_options, runs):
    model = looking(100)
    result = await crew_of(model).run({}, make_options())
    events = list(runs.events(result.run_id))
    made = summaries(events)
    assert [event.path.rpartition("/")[2] for event in made] == ["summary"] * len(made)
    assert [len(event.data["compressed_from"]) for event in made][:3] == [14, 15, 15]
    assert all(len(request.messages) <= 41 for request in model.requests)
    by_id = {e.data["id"]: e.data for e in events if e.type == "message.recorded" and "role" in e.data}

    def expanded(id: str) -> list[str]:
        inner = by_id[id].get("compressed_from")
        return [each for part in inner for each in expanded(part)] if inner else [id]

    old = expanded(made[-1].data["id"])
    assert len(old) + len(model.requests[-1].messages) - HEAD - 1 == 200
    assert [by_id[id]["role"] for id in old] == ["assistant", "tool"] * (len(old) // 2)
    assert made[-1].data["label"] == {"trusted": False, "sources": ["tool look"]}
    shown = model.requests[-1].messages[HEAD].content
    assert trusted_part(shown).startswith("[Summary of the ")
    assert "dull" not in trusted_part(shown), "what tools said is fenced in the summary too"


async def test_planted_facts_are_found_by_the_summary_or_by_looking_back(make_options, runs):
    model = looking(400, turn300=call("look_back", query="Who has the spare key of the vault?"))
    result = await crew_of(model).run({}, make_options())
    assert result.ok, result.why
    last = model.requests[-1].messages
    assert "look_back" not in [spec.name for spec in model.requests[0].tools]
    assert "look_back" in [spec.name for spec in model.requests[-1].tools]
    answer = model.requests[301].messages[-1].content
    assert "[48] tool: Mrs Abernathy has the spare key." in answer
    assert "4711-X" in last[HEAD].content, "what tells most stays longest"
    assert len(last[HEAD].content) < 9_000


async def test_what_must_not_be_lost_stands_in_the_summary_word_for_word(make_options, decide, runs):
    colleague = Agent("Colleague", "Know.", model=ScriptedModel(["I do not know."] * 9))
    model = looking(
        60,
        turn1=call("pin_fact", fact="The customer is called Okonkwo."),
        turn2=call("send", to="ann@example.org"),
        turn3=call("send", to="bob@example.org"),
        turn4=Answer("Is the east wing closed? Let me see.", (ToolCall("c", "look", '{"place": 4}'),)),
    )
    crew = crew_of(model, tools=[look, send, pin_fact, ask_colleague], agents=[colleague])
    result = await crew.run({}, make_options())
    decide(result.run_id, note="Only today.")
    result = await crew.resume(result.run_id, make_options())
    decide(result.run_id, "deny", note="Not to Bob.")
    result = await crew.resume(result.run_id, make_options())
    assert result.ok, result.why
    system, assignment, summary = model.requests[-1].messages[:3]
    assert system.content.startswith("You are Worker")
    assert "Look everywhere." in assignment.content
    for kept in (
        "## Pinned\n- The customer is called Okonkwo.",
        'approved send({"to": "ann@example.org"}): Only today.',
        "A person denied this call: Not to Bob.",
        "## Open questions\n- Is the east wing closed?",
    ):
        assert kept in summary.content


async def test_a_resumed_run_sees_the_same_summaries_and_pays_for_none_twice(make_options, runs):
    asked: list[str] = []

    def summarise(request: Request) -> str:
        asked.append(request.messages[-1].content)
        return f"Summary number {len(asked)}: nothing but dull places."

    stop = asyncio.Event()

    @tool(effects="read")
    async def hang() -> str:
        """Wait."""
        if not stop.is_set():
            stop.set()
            await asyncio.sleep(3600)
        return "waited"

    cheap = ScriptedModel(summarise)
    first = looking(60, turn45=call("hang"))
    window = Window(messages=40, every=12, model=cheap)
    running = asyncio.create_task(crew_of(first, window, tools=[look, hang]).run({}, make_options()))
    await stop.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    before = len(asked)
    assert before >= 3
    second = looking(60, turn45=call("hang"))
    result = await crew_of(second, window, tools=[look, hang]).resume("@last", make_options())
    assert result.ok, result.why
    assert len(asked) == len(set(asked)), "no summary was asked for twice"
    assert second.requests[0].turn == 46, "nothing before it was asked again"
    assert f"Summary number {len(asked)}" in second.requests[-1].messages[HEAD].content
    assert "Summary number 1:" in asked[1], "a summary builds on the one before it"
    events = list(runs.events(result.run_id))
    paid = [e for e in events if e.type == "model.finished" and e.path.endswith("/summary")]
    assert len(paid) == len(asked)
    assert result.usage["steps"] == 61 + len(asked)


async def test_where_the_cheap_model_fails_sentences_stand_for_its_summary(make_options):
    cheap = ScriptedModel(lambda request: ModelError("out of order"))
    model = looking(60)
    result = await crew_of(model, Window(messages=40, every=12, model=cheap)).run({}, make_options())
    assert result.ok, result.why
    assert "4711-X" in model.requests[-1].messages[HEAD].content


class Counting(ScriptedModel):
    """A model with a small context and a tokenizer of its own: one token for two characters."""

    counted = 0

    def context_window(self) -> int | None:
        return 4_000

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        self.counted += len(texts)
        return [len(text) // 2 for text in texts]


async def test_what_the_model_can_take_is_counted_by_its_own_tokenizer(make_options):
    model = Counting(looking(150)._script)
    agent_tokens = 2_000
    worker = Agent("Worker", "Look.", tools=[look], model=model, limits=FREE, max_tokens=agent_tokens)
    crew = Crew([Task("t", "Look everywhere.", agent=worker, limits=FREE)], limits=FREE)
    result = await crew.run({}, make_options())
    assert result.ok, result.why
    assert len(model.requests) == 151
    for request in model.requests:
        assert sum(len(m.content) for m in request.messages) // 2 + agent_tokens <= 4_000
    assert 0 < model.counted < 500, "each message is counted once"


async def test_a_conversation_that_stays_within_its_window_is_sent_as_it_is(make_options, runs):
    model = looking(15)
    result = await crew_of(model, Window()).run({}, make_options())
    assert len(model.requests[-1].messages) == 32
    assert summaries(list(runs.events(result.run_id))) == []


def test_a_window_has_room_for_what_is_not_summarised():
    with pytest.raises(DefinitionError, match="every=12"):
        Window(messages=10)
    with pytest.raises(DefinitionError, match="above 0"):
        Window(tokens=0)


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(1, 900)), min_size=1, max_size=60),
    st.integers(20, 60),
    st.integers(1, 9_000),
)
def test_a_cut_never_parts_a_call_from_its_result_and_never_takes_the_newest_turn(turns, most, allowance):
    messages = [ChatMessage("system", ""), ChatMessage("user", "")]
    sizes = [1, 1]
    for calls, size in turns:
        ids = [f"{len(messages)}-{i}" for i in range(calls)]
        messages.append(ChatMessage("assistant", "", tuple(ToolCall(id, "x", "{}") for id in ids)))
        messages += [ChatMessage("tool", "", tool_call_id=id) for id in ids]
        sizes += [size] * (1 + calls)
    count = Window(messages=most, every=12).surplus(messages, sizes, allowance)
    kept = messages[HEAD + count :]
    assert kept[0].role == "assistant"
    assert {c.id for m in kept for c in m.tool_calls} == {m.tool_call_id for m in kept if m.role == "tool"}
    alone = sum(m.role == "assistant" for m in kept) == 1
    assert alone or (
        len(messages) - count <= most and sum(sizes[:HEAD]) + sum(sizes[HEAD + count :]) <= allowance
    )
    if len(messages) <= most and sum(sizes) <= allowance:
        assert count == 0


async def test_models_that_wrap_others_are_counted_by_the_one_that_takes_least():
    class Small(Counting):
        def context_window(self) -> int | None:
            return 3_000

    class Both:
        models = (Counting(["x"]), Small(["x"]))

    assert TokenCounter(Both()).context_window() == 3_000  # type: ignore[arg-type]
    assert await TokenCounter(Both()).count([ChatMessage("user", "four")]) == [6]  # type: ignore[arg-type]
    assert await TokenCounter(ScriptedModel(["x"])).count([ChatMessage("user", "four")]) == [1]
