"""A model server that misbehaves in the middle of a run: what is told, what is kept, what a resume repeats."""

from __future__ import annotations

import asyncio
import re
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, repeat

import pytest

from crewkit import Agent, Crew, Task, tool
from crewkit.core.clock import SystemClock
from crewkit.crew.options import Options
from crewkit.models.base import Answer, Request, Watch
from crewkit.models.chat import ChatModel
from crewkit.models.scripted import call
from crewkit.models.wire import LARGEST
from crewkit.testing.server import Body, ChatServer, Fault, Reply


@dataclass
class Weather:
    """What the server suffers from, from the fourth request on, until it is well."""

    fault: Fault | None
    faults: Iterator[Fault | None] = field(init=False)

    def __post_init__(self) -> None:
        self.faults = chain(repeat(None, 3), self._later())

    def _later(self) -> Iterator[Fault | None]:
        while True:
            yield self.fault


def reply(body: Body) -> Reply:
    """Look first, then answer; who has no tools answers at once."""
    turn = sum(message["role"] == "assistant" for message in body["messages"])
    return call("look", place="quay") if body.get("tools") and turn == 0 else "High water is at noon."


@dataclass
class Scene:
    """A chain of three agent tasks, of which the second meets the bad weather, beside a plain function."""

    model: object = None
    looks: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        @tool(effects="read")
        def look(place: str) -> str:
            """Look at a place."""
            self.looks.append(place)
            return "wet"

        def alone() -> str:
            return "kept"

        looker = Agent("Looker", "Look.", tools=[look], model=self.model)  # pyright: ignore[reportArgumentType]
        first = Task("first", "Look at the quay.", agent=looker)
        second = Task("second", "Look again.", agent=looker, needs=[first])
        last = Task("last", "Sum up.", agent=Agent("Writer", "Write.", model=self.model), needs=[second])  # pyright: ignore[reportArgumentType]
        self.crew = Crew([first, second, last, Task("alone", do=alone)], name="tides")


class HastyClock(SystemClock):
    """Real time, but nobody sleeps long."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.01))


def spoken_to(server: ChatServer, make_options) -> Options:
    environ = {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "a-key-for-a-test"}
    return make_options(environ=environ, model="openai/m", clock=HastyClock())


async def fails_and_goes_on(scene: Scene, server: ChatServer, weather: Weather, options: Options) -> str:
    """Run into the weather, wait for better and resume; return what the failed run said of the task."""
    failed = await scene.crew.run({}, options)
    assert (failed.status, set(failed.report.completed)) == ("failed", {"first", "alone"})
    assert dict(failed.outputs) == {"first": "High water is at noon.", "alone": "kept"}
    assert dict(failed.report.skipped) == {"last": "It needs 'second', which failed."}
    assert len(scene.looks) == 2
    asked = [seen.fingerprint for seen in server.requests]
    weather.fault = None
    resumed = await scene.crew.resume(failed.run_id, options)
    assert (resumed.status, len(resumed.outputs), len(scene.looks)) == ("completed", 4, 2)
    again = Counter(seen.fingerprint for seen in server.requests[len(asked) :])
    assert set(again) & set(asked[:3]) == set(), "an answered request was sent again"
    assert sorted(again.values()) == [1, 1], "the cut-off request and the last task's, once each"
    return failed.report.failed["second"]


PASSING: list[tuple[Fault, str]] = [
    ("hang_up", "could not be talked to"),
    ("half_body", "could not be talked to"),
    ("reset", "could not be talked to"),
    ("html", "not JSON: '<html>"),
    ("not_json", "not JSON"),
    ("empty_choices", "without choices"),
    ("malformed_tool_calls", "tool call without a name"),
    ("error_200", "The model is overloaded."),
    ("429", "Rate limit reached."),
    ("500", "Internal server error."),
    ("503", "overloaded"),
]
LASTING: list[tuple[Fault, str]] = [
    ("huge", f"more than {LARGEST:,} bytes"),
    ("400", "maximum context length"),
    ("401", "Check the key in OPENAI_API_KEY."),
    ("404", "Check the model's name"),
]


@pytest.mark.parametrize("live", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("fault", "said", "attempts"), [*((*f, 4) for f in PASSING), *((*f, 1) for f in LASTING)]
)
async def test_a_misbehaving_server_fails_one_task_and_a_resume_repeats_nothing(
    fault: Fault, said: str, attempts: int, live: bool, make_options
):
    weather, scene = Weather(fault), Scene()
    async with ChatServer(reply, faults=weather.faults) as server:
        options = spoken_to(server, make_options)
        if live:
            options = replace(options, listener=lambda _: None)
        why = await fails_and_goes_on(scene, server, weather, options)
        assert why.startswith(f"Model 'openai/m' at 127.0.0.1:{server.port} ")
        assert said in why
        assert len(server.requests) == 3 + attempts + 2
        assert len(why) < 1000


async def test_a_server_that_refuses_connections_is_named_and_the_run_goes_on_when_it_is_back(make_options):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    scene = Scene()
    options = spoken_to(ChatServer(port=port), make_options)
    failed = await scene.crew.run({}, options)
    assert (failed.status, failed.report.completed) == ("failed", ("alone",))
    why = failed.report.failed["first"]
    assert re.match(
        rf"Model 'openai/m' at 127\.0\.0\.1:{port} could not be talked to: .*\(attempt 4 of 4\)", why
    )
    async with ChatServer(reply, port=port) as server:
        resumed = await scene.crew.resume(failed.run_id, options)
        assert (resumed.status, len(server.requests), server.repeated()) == ("completed", 5, {})


@dataclass
class Impatient:
    """A model that waits for a tenth of a second only."""

    model: ChatModel

    @property
    def name(self) -> str:
        return self.model.name

    async def answer(self, request: Request, watch: Watch) -> Answer:
        return await self.model.answer(replace(request, timeout=0.1), watch)

    def price(self, input_tokens: int, output_tokens: int) -> float | None:
        return 0.0


async def test_a_server_that_hangs_is_left_at_the_requests_timeout(make_options):
    weather = Weather("hang")
    async with ChatServer(reply, faults=weather.faults) as server:
        scene = Scene(Impatient(ChatModel("m", server.url)))
        why = await fails_and_goes_on(scene, server, weather, make_options())
        assert why == f"Model 'm' at 127.0.0.1:{server.port} gave no whole answer in 0.1 s."


async def test_a_task_whose_time_is_up_says_which_model_it_waited_for(make_options):
    async with ChatServer(faults=["hang"]) as server:
        agent = Agent("Writer", "Write.")
        crew = Crew([Task("slow", "Write.", agent=agent, timeout=1.5)])
        options = spoken_to(server, make_options)
        result = await asyncio.wait_for(crew.run({}, options), 5)
        said = "It was not done within its 1.5 seconds. It was waiting for the model 'openai/m'."
        assert dict(result.report.failed) == {"slow": said}
        resumed = await crew.resume(result.run_id, options)
        assert resumed.output == "Hello."


async def test_a_rate_limit_is_waited_for_and_the_wait_is_in_the_transcript(make_options, runs):
    scene = Scene()
    async with ChatServer(reply, faults=[None, None, None, "429", "503"]) as server:
        result = await scene.crew.run({}, spoken_to(server, make_options))
    waits = [event.data for event in runs.events(result.run_id) if event.type == "retry.scheduled"]
    assert (result.status, len(server.requests)) == ("completed", 7)
    assert [wait["attempt"] for wait in waits] == [2, 3]
    assert waits[0]["seconds"] >= 7
    assert "Rate limit reached." in waits[0]["why"]


async def test_a_bad_server_for_one_task_costs_the_others_nothing(make_options):
    def picky(body: Body) -> Reply:
        return b"<html>" if "broken" in str(body["messages"]) else "Fine."

    agent = Agent("Writer", "Write.")
    tasks = [Task(name, f"Write the {name} one.", agent=agent) for name in ("a", "broken", "c")]
    async with ChatServer(picky) as server:
        result = await Crew(tasks).run({}, spoken_to(server, make_options))
    assert (result.status, set(result.outputs)) == ("failed", {"a", "c"})
