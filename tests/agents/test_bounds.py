"""What one turn and one conversation may hold at most."""

from __future__ import annotations

from crewkit import Agent, Crew, Limits, Task, tool
from crewkit.agents.acting import MOST_CALLS
from crewkit.core.label import unfenced
from crewkit.testing import ScriptedModel, call


async def test_a_turn_calls_so_many_tools_and_the_rest_is_told_to_ask_again(make_options):
    called: list[int] = []

    @tool(effects="read")
    def look(i: int) -> str:
        """Look."""
        called.append(i)
        return f"seen {i}"

    model = ScriptedModel([[call("look", i=i) for i in range(MOST_CALLS + 6)], "done"])
    crew = Crew([Task("t", "Look.", agent=Agent("A", "Help.", tools=[look], model=model))])
    result = await crew.run({}, make_options())
    answers = [unfenced(m.content) for m in model.requests[-1].messages if m.role == "tool"]
    assert result.ok
    assert sorted(called) == list(range(MOST_CALLS))
    assert len(answers) == MOST_CALLS + 6
    assert all(answer.startswith("Not called") for answer in answers[MOST_CALLS:])


async def test_a_conversation_of_long_results_stays_within_its_size(make_options):
    @tool(effects="read", max_tokens=15_000)
    def page(i: int) -> str:
        """Read a page."""
        return f"{i} " * 15_000

    def script(request):
        done = sum(m.role == "assistant" for m in request.messages)
        last = [m for m in request.messages if m.role == "tool"]
        asked = int(unfenced(last[-1].content).split()[0]) + 1 if last else 0
        return call("page", i=asked) if asked < 30 else f"read {asked}, seen {done}"

    model = ScriptedModel(script)
    limits = Limits(tokens=None, steps=None)
    crew = Crew(
        [Task("t", "Read.", agent=Agent("A", "Help.", tools=[page], model=model), limits=limits)],
        limits=limits,
    )
    result = await crew.run({}, make_options())
    assert result.ok
    assert result.output.startswith("read 30")
    for request in model.requests:
        assert sum(len(m.content) for m in request.messages) < 400_000 + 70_000
        calls = {c.id for m in request.messages for c in m.tool_calls}
        assert {m.tool_call_id for m in request.messages if m.role == "tool"} <= calls
        assert request.messages[1].content.startswith("# Task: t")
