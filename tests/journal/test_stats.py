"""Figures over runs, against what one counts by hand."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crewkit.core.events import Event
from crewkit.journal.stats import Stats, spread


class Lines:
    """Writes the event lines of one run, a second apart."""

    def __init__(self, run: str) -> None:
        self.run = run
        self.events: list[Event] = []

    def add(self, type: str, path: str = "", agent: str = "Ann", at: float | None = None, **data) -> Lines:
        seq = len(self.events) + 1
        at = float(seq) if at is None else at
        ts = f"2026-01-01T{int(at // 3600):02}:{int(at % 3600 // 60):02}:{at % 60:09.6f}Z"
        task = path.partition("/")[0]
        self.events.append(Event(self.run, seq, type, ts, at, "s", path, task, agent, 1, data))
        return self

    def turn(self, path: str, tokens: int, usd: float | None = 0.5, agent: str = "Ann", model: str = "m-1"):
        usage = {"input_tokens": tokens - 10, "output_tokens": 10, "cached_tokens": 4}
        self.add("model.started", path, agent, model=model)
        return self.add(
            "model.finished", path, agent, model=model, usage=usage, usd=usd, seconds=tokens / 100
        )

    def call(self, path: str, tool: str, outcome: str, seconds: float = 1.0):
        self.add("tool.started", path, tool=tool)
        return self.add("tool.finished", path, tool=tool, outcome=outcome, seconds=seconds)


@pytest.fixture
def runs() -> list[Lines]:
    one = Lines("r-1").add("run.started", crew="digest")
    one.turn("draft/1/model", 100).call("draft/1/tool:0", "search", "ok", 2.0)
    one.call("draft/1/tool:1", "search", "timeout", 4.0).call("draft/1/tool:2", "mail", "denied", 0.0)
    one.add("retry.scheduled", "draft/2/model", attempt=1).turn("draft/2/model", 300)
    one.add("guardrail.checked", "draft/2/guardrail:0", verdict="revise")
    one.turn("draft/3/model", 200).add("guardrail.checked", "draft/3/guardrail:0", verdict="allow")
    one.add("approval.requested", "draft/3/ask", at=100, id="a-1", tool="mail")
    one.add("approval.decided", "draft/3/ask", at=160, id="a-1", decision="approve")
    one.add("approval.requested", "draft/3/ask", at=200, id="a-2")
    one.add("approval.decided", "draft/3/ask", at=4200, id="a-2", decision="deny", expired=True)
    two = Lines("r-2").add("run.started", crew="digest")
    two.turn("draft/1/model", 1000, agent="Bob", model="m-2")
    two.add("model.started", "draft/2/model", "Bob", model="m-2")
    two.add("model.finished", "draft/2/model", "Bob", failed={"type": "ModelError", "message": "gone"})
    return [one, two]


def count(runs: list[Lines], by) -> dict[str, dict]:
    stats = Stats(by)
    for run in runs:
        stats.add(run.run, "digest", "completed" if run.run == "r-1" else "failed", run.events)
    return {figures.name: figures.to_data() for figures in stats.figures()}


def test_a_crew_s_figures_are_those_of_its_event_lines(runs):
    said = count(runs, "crew")["digest"]
    assert said["runs"] == 2
    assert said["statuses"] == {"completed": 1, "failed": 1}
    assert said["tokens"] == {"total": 1600, "input": 1560, "output": 40, "cached": 16, "per_run": 800}
    assert said["usd"] == {"total": 2.0, "known": 2.0, "unpriced_calls": 0, "per_run": 1.0}
    assert said["steps"] == {"total": 4, "p50": 1, "p90": 3, "max": 3}
    assert said["models"]["calls"] == 5
    assert said["models"]["failed"] == 1
    assert said["retries"] == 1
    assert said["tools"]["outcomes"] == {"ok": 1, "timeout": 1, "denied": 1}
    assert said["tools"]["success_rate"] == pytest.approx(1 / 3, abs=1e-6)
    assert said["guardrails"] == {"checked": 2, "rejected": 1, "rejection_rate": 0.5}
    assert said["approvals"] == {
        "asked": 2,
        "decisions": {"approve": 1, "expired": 1},
        "waited_seconds": {"total": 4060, "mean": 2030, "p50": 60, "p90": 4000, "max": 4000},
    }


def test_agents_tools_and_models_have_figures_of_their_own(runs):
    agents = count(runs, "agent")
    assert {name: (each["tokens"]["total"], each["runs"]) for name, each in agents.items()} == {
        "Ann": (600, 1),
        "Bob": (1000, 1),
    }
    tools = count(runs, "tool")
    assert {name: each["tools"]["outcomes"] for name, each in tools.items()} == {
        "mail": {"denied": 1},
        "search": {"ok": 1, "timeout": 1},
    }
    assert tools["search"]["tools"]["seconds"] == {"p50": 2.0, "p90": 4.0, "max": 4.0}
    assert (tools["mail"]["approvals"]["asked"], tools["search"]["approvals"]["asked"]) == (1, 0)
    models = count(runs, "model")
    assert {n: (m["tokens"]["total"], m["models"]["calls"], m["retries"]) for n, m in models.items()} == {
        "m-1": (600, 3, 0),
        "m-2": (1000, 2, 0),
    }


def test_a_price_that_nobody_knows_makes_the_sum_unknown():
    said = count([Lines("r-1").turn("a/1/model", 100).turn("a/2/model", 100, usd=None)], "crew")["digest"]
    assert said["usd"] == {"total": None, "known": 0.5, "unpriced_calls": 1, "per_run": None}


def test_what_a_fork_shares_is_not_counted_again(runs):
    fork = Lines("r-3").turn("draft/9/model", 50)
    fork.events = [*runs[0].events, *fork.events]
    assert count([fork], "crew")["digest"]["tokens"]["total"] == 50


def test_hits_that_the_agent_names_afterwards_count_as_used():
    hits = [
        {"id": "h1", "source": "docs/sea.md", "start": 0, "end": 100, "score": 2.0},
        {"id": "h2", "source": "docs/sea.md", "start": 100, "end": 200, "score": 1.5},
        {"id": "h3", "source": "docs/moon.md", "start": 0, "end": 50, "score": 1.0},
        {"id": "h4", "source": "docs/sun.md", "start": 0, "end": 50, "score": 0.5},
    ]
    run = Lines("r-1").add("message.recorded", "draft/0", id="m0", role="assistant", content="moon.md")
    run.add("memory.searched", "draft/1/tool:0", query="tides", hits=hits)
    run.add("message.recorded", "draft/2", id="m1", role="assistant", content="See sea.md:120-130, and h4.")
    assert count([run], "crew")["digest"]["memory"] == {
        "searches": 1,
        "hits": 4,
        "used": 2,
        "use_rate": 0.5,
    }


def test_a_rate_of_nothing_is_nothing():
    said = count([Lines("r-1").add("run.started")], "crew")["digest"]
    assert said["tools"]["success_rate"] is None
    assert said["steps"] == {"total": 0, "p50": None, "p90": None, "max": None}


@given(st.lists(st.integers(0, 1000), min_size=1))
def test_percentiles_are_values_that_occurred(values):
    said = spread(values)
    assert said["p50"] == statistics.median_low(values)
    assert said["max"] == max(values)
    below = sum(value <= said["p90"] for value in values)
    assert said["p90"] in values
    assert below >= 0.9 * len(values)
