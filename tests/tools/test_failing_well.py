"""Tools that fail, fail well: retries, kept answers, circuits, fallbacks, pages, as an agent sees them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from crewkit import Agent, Breaker, Crew, Grant, Retry, Scope, Task, Tool, ToolContext, ToolError, tool
from crewkit.core.label import unfenced
from crewkit.models.base import Request
from crewkit.models.scripted import ScriptedModel, call
from crewkit.testing.clock import FakeClock

QUICK = Retry(attempts=3, first=0.001)


def crew_of(model: ScriptedModel, *tools: Tool, scope: Scope | None = None, **crew: Any) -> Crew:
    agent = Agent("Worker", "Work.", tools=tools, model=model, scope=scope)
    return Crew([Task("t", "Do it.", agent=agent)], **crew)


def told(model: ScriptedModel) -> list[str]:
    """What the tools said to the model, in order, without fences."""
    return [unfenced(m.content) for m in model.requests[-1].messages if m.role == "tool"]


def of_type(runs: Any, run: str, type: str) -> list[Any]:
    return [event for event in runs.events(run) if event.type == type]


class Flaky:
    """Fails as often as it is told, and knows how often it was called."""

    def __init__(self, failures: int, error: Exception | None = None) -> None:
        self.failures = failures
        self.error = error or ConnectionError("gone")
        self.keys: list[str] = []

    def __call__(self, context: ToolContext) -> str:
        self.keys.append(context.idempotency_key)
        if len(self.keys) <= self.failures:
            raise self.error
        return f"answer {len(self.keys)}"


# Retries


async def test_a_call_is_tried_again_and_each_pause_is_recorded(make_options, runs):
    flaky = Flaky(2)

    @tool(effects="read", retries=QUICK)
    def fetch(context: ToolContext) -> str:
        """Fetch."""
        return flaky(context)

    model = ScriptedModel([call("fetch"), "Done."])
    result = await crew_of(model, fetch).run({}, make_options(clock=FakeClock()))
    assert told(model) == ["answer 3"]
    assert len(set(flaky.keys)) == 1
    pauses = of_type(runs, result.run_id, "retry.scheduled")
    assert [(e.path, e.data["attempt"], e.data["why"]) for e in pauses] == [
        ("t/1/tool:0", 2, "ConnectionError"),
        ("t/1/tool:0", 3, "ConnectionError"),
    ]
    assert len(of_type(runs, result.run_id, "tool.started")) == 1


async def test_the_model_is_told_how_often_a_call_was_tried(make_options):
    @tool(effects="read", retries=QUICK)
    def fetch() -> str:
        """Fetch."""
        raise ToolError("The index is being built.", retryable=True, retry_after=2)

    model = ScriptedModel([call("fetch"), "Done."])
    clock = FakeClock()
    await crew_of(model, fetch).run({}, make_options(clock=clock))
    assert told(model) == ["The index is being built. (tried 3 times)"]
    assert clock.slept.count(2) == 2


async def test_an_error_that_will_not_pass_is_not_tried_again(make_options):
    flaky = Flaky(5, ValueError("no such page"))

    @tool(effects="read", retries=QUICK)
    def fetch(context: ToolContext) -> str:
        """Fetch."""
        return flaky(context)

    model = ScriptedModel([call("fetch"), "Done."])
    await crew_of(model, fetch).run({}, make_options())
    assert len(flaky.keys) == 1


async def test_an_idempotent_effect_is_tried_again_under_one_key_and_another_never(make_options, decide):
    safe, unsafe = Flaky(1), Flaky(1)

    @tool(effects="write", idempotent=True, retries=QUICK)
    def store(context: ToolContext) -> str:
        """Store."""
        return safe(context)

    @tool(effects="write")
    def send(context: ToolContext) -> str:
        """Send."""
        return unsafe(context)

    model = ScriptedModel([[call("store"), call("send")], "Done."])
    scope = Scope(Grant("store", approval="never"), Grant("send", approval="never"))
    await crew_of(model, store, send, scope=scope).run({}, make_options(clock=FakeClock()))
    assert (len(safe.keys), len(set(safe.keys)), len(unsafe.keys)) == (2, 1, 1)
    assert told(model) == ["answer 2", "'send' failed. ConnectionError: gone"]


# Kept answers


async def test_an_equal_call_is_answered_from_what_is_kept_and_the_transcript_says_so(make_options, runs):
    calls: list[str] = []

    @tool(effects="read", cache_ttl=60)
    def fetch(url: str) -> str:
        """Fetch."""
        calls.append(url)
        return f"page {len(calls)}"

    model = ScriptedModel([call("fetch", url="a"), call("fetch", url="a"), call("fetch", url="b"), "Done."])
    result = await crew_of(model, fetch).run({}, make_options())
    assert told(model) == ["page 1", "page 1", "page 2"]
    assert calls == ["a", "b"]
    cached = [e.data.get("cached") for e in of_type(runs, result.run_id, "tool.finished")]
    assert cached[0] is None
    assert (cached[1]["path"], cached[1]["stale"]) == ("t/1/tool:0", False)


async def test_a_kept_answer_is_no_longer_used_past_its_time(make_options):
    clock, calls = FakeClock(), []

    @tool(effects="read", cache_ttl=60)
    def fetch() -> str:
        """Fetch."""
        calls.append(1)
        return f"page {len(calls)}"

    def say(request: Request):
        turn = sum(m.role == "assistant" for m in request.messages)
        clock.advance(50)
        return call("fetch") if turn < 3 else "Done."

    model = ScriptedModel(say)
    await crew_of(model, fetch).run({}, make_options(clock=clock))
    assert told(model) == ["page 1", "page 1", "page 2"]


async def test_a_failure_is_not_kept_and_a_stale_answer_serves_where_the_tool_says_so(make_options, runs):
    clock, calls = FakeClock(), []

    @tool(effects="read", cache_ttl=60, stale_on_failure=True)
    def fetch() -> str:
        """Fetch."""
        calls.append(1)
        if len(calls) in (1, 3):
            raise ConnectionError("gone")
        return f"page {len(calls)}"

    def say(request: Request):
        turn = sum(m.role == "assistant" for m in request.messages)
        clock.advance(200)
        return call("fetch") if turn < 3 else "Done."

    model = ScriptedModel(say)
    result = await crew_of(model, fetch).run({}, make_options(clock=clock))
    failed, fresh, stale = told(model)
    assert failed == "'fetch' failed. ConnectionError: gone"
    assert fresh == "page 2"
    assert stale == "[stale: calling it failed just now; this is its answer of 3 minutes ago]\npage 2"
    assert of_type(runs, result.run_id, "tool.finished")[2].data["cached"]["stale"] is True


# Places


async def test_no_more_calls_are_under_way_than_the_tool_bears(make_options):
    under_way = most = 0

    @tool(effects="read", concurrency=2)
    async def fetch(n: int) -> int:
        """Fetch."""
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        return n

    model = ScriptedModel([[call("fetch", n=n) for n in range(9)], "Done."])
    await crew_of(model, fetch).run({}, make_options())
    assert most == 2
    assert told(model) == [str(n) for n in range(9)]


async def test_calls_past_the_rate_wait_for_their_turn(make_options):
    clock = FakeClock()

    @tool(effects="write", rate="2/min")
    def send(n: int) -> float:
        """Send."""
        return clock.monotonic()

    model = ScriptedModel([[call("send", n=n) for n in range(5)], "Done."])
    scope = Scope(Grant("send", approval="never"))
    await crew_of(model, send, scope=scope).run({}, make_options(clock=clock))
    begun = [float(at) for at in told(model)]
    assert begun == sorted(begun)
    assert begun[-1] >= 120


# Circuits


def failing_turns(turns: int):
    def say(request: Request):
        turn = sum(m.role == "assistant" for m in request.messages)
        return call("fetch", n=turn) if turn < turns and request.tools else "Done."

    return ScriptedModel(say)


async def test_a_tool_that_keeps_failing_is_withheld_and_let_through_again_to_see(make_options, runs):
    clock, down = FakeClock(), [True]

    @tool(effects="read", breaker=Breaker(failures=2, pause=30))
    def fetch(n: int) -> str:
        """Fetch."""
        if down[0]:
            raise ConnectionError("gone")
        return f"page {n}"

    offered: list[list[str]] = []

    def say(request: Request):
        turn = sum(m.role == "assistant" for m in request.messages)
        offered.append([spec.name for spec in request.tools])
        if turn == 2:
            clock.advance(31)
            down[0] = False
            return call("look")
        return call("fetch", n=turn) if turn < 5 else "Done."

    @tool(effects="read")
    def look() -> str:
        """Look."""
        return "seen"

    model = ScriptedModel(say)
    result = await crew_of(model, fetch, look).run({}, make_options(clock=clock))
    assert offered[:4] == [["fetch", "look"], ["fetch", "look"], ["look"], ["fetch", "look"]]
    assert told(model)[-1] == "page 4"
    changes = of_type(runs, result.run_id, "breaker.changed")
    assert [(e.data["tool"], e.data["state"]) for e in changes] == [
        ("fetch", "open"),
        ("fetch", "half-open"),
        ("fetch", "closed"),
    ]
    (withheld,) = of_type(runs, result.run_id, "decision.made")[2].data["withheld"]
    assert (withheld["tool"], withheld["by"]) == ("fetch", "breaker")
    assert withheld["why"] == (
        "it failed 2 times within 60 seconds (last: ConnectionError); to be tried again in 30 seconds"
    )


async def test_a_call_of_a_tool_that_is_left_alone_is_answered_without_calling_it(make_options, runs):
    calls: list[int] = []

    @tool(effects="read", breaker=Breaker(failures=2))
    def fetch(n: int) -> str:
        """Fetch."""
        calls.append(n)
        raise TimeoutError

    model = ScriptedModel([[call("fetch", n=0)], [call("fetch", n=1)], [call("fetch", n=2)], "Done."])
    result = await crew_of(model, fetch).run({}, make_options())
    assert calls == [0, 1]
    assert told(model)[2].startswith("'fetch' was not called: it failed 2 times within 60 seconds")
    assert of_type(runs, result.run_id, "tool.finished")[2].data["outcome"] == "unavailable"


async def test_wrong_questions_open_no_circuit(make_options):
    calls: list[int] = []

    @tool(effects="read", breaker=Breaker(failures=1))
    def fetch(n: int) -> str:
        """Fetch."""
        calls.append(n)
        raise ToolError("There is no such page.") if n % 2 else KeyError(n)

    model = ScriptedModel([*([call("fetch", n=n)] for n in range(8)), "Done."])
    await crew_of(model, fetch).run({}, make_options())
    assert calls == list(range(8))


async def test_failures_of_many_tools_leave_all_of_them_alone(make_options, runs):
    names = "abcd"

    def broken(name: str) -> Tool:
        @tool(name=name, effects="read")
        def fetch() -> str:
            """Fetch."""
            raise ConnectionError

        return fetch

    model = ScriptedModel([[call(name) for name in names], "Done."])
    crew = crew_of(model, *map(broken, names), breaker=Breaker(failures=4))
    result = await crew.run({}, make_options())
    assert model.requests[-1].tools == ()
    withheld = of_type(runs, result.run_id, "decision.made")[-1].data["withheld"]
    assert [each["tool"] for each in withheld] == list(names)
    assert all(each["why"].startswith("the tools of this run failed 4 times") for each in withheld)


# Fallbacks


def pair(error: Exception | None = None, **options: Any) -> tuple[Tool, Tool]:
    @tool(effects=options.pop("second", "read"))
    def mirror(query: str) -> str:
        """Search the mirror."""
        return f"mirrored {query}"

    @tool(effects="read", fallback=mirror, **options)
    def search(query: str) -> str:
        """Search."""
        raise error or ConnectionError("secret words of the server")

    return search, mirror


async def test_a_fallback_is_called_in_the_place_of_what_failed(make_options, runs):
    search, mirror = pair(retries=QUICK)
    model = ScriptedModel([call("search", query="tides"), "Done."])
    result = await crew_of(model, search, mirror).run({}, make_options(clock=FakeClock()))
    assert told(model) == [
        "['search' failed (ConnectionError); this is of its fallback 'mirror']\nmirrored tides"
    ]
    finished = of_type(runs, result.run_id, "tool.finished")
    assert [(e.path, e.data["tool"], e.data["outcome"]) for e in finished] == [
        ("t/1/tool:0", "search", "error"),
        ("t/1/tool:0/fallback", "mirror", "ok"),
    ]


async def test_a_fallback_needs_leave_of_its_own(make_options, decide, runs):
    search, mirror = pair(second="write")
    model = ScriptedModel([call("search", query="tides"), "Done."])
    crew = crew_of(model, search, mirror)
    result = await crew.run({}, make_options())
    assert result.status == "paused"
    (asked,) = of_type(runs, result.run_id, "approval.requested")
    assert (asked.path, asked.data["tool"]) == ("t/1/tool:0/fallback/ask", "mirror")
    decide(result.run_id, "deny", note="Not today.")
    await crew.resume(result.run_id, make_options())
    assert told(model)[0].endswith("A person denied this call: Not today.")


async def test_a_fallback_that_a_scope_does_not_allow_is_not_called(make_options):
    search, mirror = pair()
    model = ScriptedModel([call("search", query="tides"), "Done."])
    crew = crew_of(model, search, mirror, scope=Scope("search"))
    await crew.run({}, make_options())
    assert "There is no tool 'mirror'" in told(model)[0]


def test_a_fallback_that_nobody_granted_is_a_mistake():
    search, _ = pair()
    with pytest.raises(
        Exception, match="'search' falls back to 'mirror', which Agent 'Worker' does not have"
    ):
        crew_of(ScriptedModel([]), search)


# Pages


async def test_the_rest_of_a_long_result_is_paged_through(make_options, runs):
    rows = [{"id": n, "text": "row " * 5} for n in range(40)]

    @tool(effects="read", max_tokens=150)
    def listed() -> list[dict[str, Any]]:
        """List."""
        return rows

    def say(request: Request):
        turn = sum(m.role == "assistant" for m in request.messages)
        if turn == 0:
            return call("listed")
        return call("read_result", call="call-0-0", page=turn + 1) if turn < 4 else "Done."

    model = ScriptedModel(say)
    result = await crew_of(model, listed).run({}, make_options())
    assert [spec.name for spec in model.requests[0].tools] == ["listed"]
    assert [spec.name for spec in model.requests[1].tools] == ["listed", "read_result"]
    first, *rest = told(model)
    note, _, shown = first.partition("\n")
    assert note == '[25 of 40 items left out; read_result(call="call-0-0", page=2) shows page 2 of 3]'
    paged = [json.loads(shown)] + [json.loads(text.partition("\n")[2]) for text in rest[:2]]
    assert [row for page in paged for row in page] == rows
    assert rest[0].startswith("[page 2 of 3]\n[{")
    assert rest[2] == "The result of 'call-0-0' has 3 pages; there is no page 4."
    assert json.loads(of_type(runs, result.run_id, "tool.finished")[0].data["full"]) == rows


async def test_what_a_page_shows_is_as_little_trusted_as_the_result(make_options):
    @tool(effects="read", max_tokens=20)
    def page() -> str:
        """Fetch."""
        return "line\n" * 100

    model = ScriptedModel(
        [
            call("page"),
            call("read_result", call="call-0-0", page=2),
            call("read_result", call="x", page=1),
            "Done.",
        ]
    )
    await crew_of(model, page).run({}, make_options())
    contents = [m.content for m in model.requests[-1].messages if m.role == "tool"]
    assert 'from="tool page"' in contents[0]
    assert 'from="tool page"' in contents[1]
    assert contents[2] == "There is no long result of a call 'x'. There are: call-0-0."


async def test_a_tool_of_ones_own_named_like_the_pager_is_left_alone(make_options):
    @tool(effects="read", max_tokens=20)
    def read_result(call: str, page: int) -> str:
        """My own."""
        return "mine " * 100

    model = ScriptedModel([call("read_result", call="a", page=1)] * 2 + ["Done."])
    await crew_of(model, read_result).run({}, make_options())
    assert told(model)[1].startswith("[420 of 500 characters left out]\nmine")
