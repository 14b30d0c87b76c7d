"""Caps of a run that hold although its tasks are done by several workers at the same time."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

import pytest

from crewkit.testing.server import server_process
from tests.engine.conftest import Workers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

CREW = """
    from crewkit import Agent, Crew, Limits, Route, Task

    models = {"any": Route("openai/any", usd=(1, 1))}
    def crew_of(name, **caps):
        clerk = Agent("Clerk", "Answer.", model="any", max_tokens=200)
        tasks = [Task(f"t{i}", f"Say {i}.", agent=clerk) for i in range(10)]
        return Crew(tasks, name=name, models=models, limits=Limits(**caps))

    tokens, steps, usd = crew_of("tokens", tokens=700), crew_of("steps", steps=6), crew_of("usd", usd=0.0007)
"""


@pytest.fixture
def workers(many: Workers) -> Iterator[Workers]:
    """Three workers and a slow model."""
    (many.folder / "crew.py").write_text(textwrap.dedent(CREW))
    with server_process("--delay", "0.3") as url:
        many.environ["OPENAI_BASE_URL"] = url
        for _ in range(3):
            many.start()
        many.until(lambda: all(many.said(f"w{i}", "working") for i in range(3)))
        yield many


def test_ten_tasks_on_three_workers_do_not_overrun_a_cap_together(workers: Workers):
    caps = {"tokens": 700, "steps": 6, "usd": 0.0007}
    runs = {name: workers.detach(f"crew.py:{name}") for name in caps}
    workers.until(lambda: all(workers.runs()[run]["status"] == "limit" for run in runs.values()))
    for name, run in runs.items():
        events = workers.events(run)
        most = spent(events, name)
        assert 0 < most <= caps[name], (name, most)
        assert sum(any(s.get("run") == run for s in workers.said(f"w{i}", "done")) for i in range(3)) > 1
        assert events[-1]["data"]["usage"][name] <= caps[name]
        # What was done is kept, and the report says what was not.
        report = events[-1]["data"]["report"]
        assert len(report["completed"]) == sum(event["type"] == "model.finished" for event in events)
    assert sum(event["type"] == "model.started" for event in workers.events(runs["steps"])) == 6


def spent(events: list[dict], name: str) -> float:
    """Return the most that was used and reserved at any time, in the order in which it was recorded."""
    reserved: dict[str, float] = {}
    used, most = 0.0, 0.0
    for event in events:
        data, at = event["data"], event["path"]
        if event["type"] == "model.started":
            reserved[at] = 1 if name == "steps" else data["reserved"][name]
        elif event["type"] == "model.finished":
            tokens = data["usage"]["input_tokens"] + data["usage"]["output_tokens"]
            used += {"tokens": tokens, "steps": 1, "usd": data["usd"]}[name]
            del reserved[at]
        most = max(most, used + sum(reserved.values()))
    return round(most, 9)
