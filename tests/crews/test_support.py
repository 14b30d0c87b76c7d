"""Customer support: by route to a specialist, to a person where no article covers the query, and back."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from crewkit.core.clock import SystemClock
from crewkit.models.scripted import ScriptedModel, call

FILE = Path(__file__).parents[2] / "crews" / "support.py"


@pytest.fixture(scope="module")
def support() -> Any:
    spec = importlib.util.spec_from_file_location("support", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["support"] = module
    spec.loader.exec_module(module)
    return module


def done(runs: Any, run: str) -> list[str]:
    finished = (e for e in runs.events(run) if e.type == "task.finished" and e.data["status"] == "completed")
    return [event.path for event in finished]


@pytest.mark.parametrize(
    ("query", "topic", "said"),
    [
        ("Why was I charged twice for my subscription?", "billing", "refunded within 5 days"),
        ("I forgot my password, how do I reset it?", "technical", "choose Forgot password"),
        ("When are you open?", "general", "Monday to Friday"),
    ],
)
async def test_a_query_goes_to_its_specialist_who_answers_from_an_article(
    make_options, runs, support, query, topic, said
):
    result = await support.crew.run({"query": query}, make_options())
    assert result.ok, result.why
    assert said in result.output
    assert done(runs, result.run_id) == ["sorted", topic, "checked", "answer"]


UNKNOWN = {"query": "Your driver drove into my garden wall."}


async def test_what_no_article_covers_waits_for_a_person_and_is_answered_after_the_resume(
    make_options, decide, runs, support
):
    result = await support.crew.run(UNKNOWN, make_options())
    assert (result.status, len(result.approvals)) == ("paused", 1)
    decide(result.run_id)
    resumed = await support.crew.resume(result.run_id, make_options())
    assert resumed.status == "completed"
    assert "garden wall" in resumed.output
    assert "calls you today" in resumed.output
    models = [e.path for e in runs.events(result.run_id) if e.type == "model.started"]
    assert len(models) == len(set(models))


async def test_a_person_who_says_no_leaves_the_customer_with_an_honest_word(make_options, decide, support):
    result = await support.crew.run(UNKNOWN, make_options())
    decide(result.run_id, "deny", "He is no customer.")
    resumed = await support.crew.resume(result.run_id, make_options())
    assert resumed.output == "Thank you for your message. We look into it and write to you within a day."


async def test_nobody_within_three_days_is_a_no(make_options, support):
    class Later(SystemClock):
        days = 0

        def now(self) -> Any:
            from datetime import timedelta

            return super().now() + timedelta(days=self.days)

    clock = Later()
    result = await support.crew.run(UNKNOWN, make_options(clock=clock))
    clock.days = 4
    resumed = await support.crew.resume(result.run_id, make_options(clock=clock))
    assert "write to you within a day" in resumed.output


async def test_a_specialist_reads_the_articles_of_its_own_topic_only(make_options, runs, support):
    lines = [call("find_articles", topic="technical", query="password"), "I do not know."]
    query = {"query": "I want my money back, refund the subscription"}
    result = await support.crew.run(query, make_options(model=ScriptedModel(lines)))
    (checked,) = [e.data for e in runs.events(result.run_id) if e.type == "tool.checked"]
    assert (checked["verdict"], checked["by"]) == ("deny", "scope")
