"""Conversations and plans on several workers: what a model planned is delivered like any other task."""

from __future__ import annotations

import textwrap

import pytest

from tests.engine.conftest import Workers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

CREW = """
    from crewkit import Agent, Conversation, Crew, Planner, Task

    a, b = Agent("Ann", "Find it."), Agent("Bob", "Write it.")
    plan = Task("plan", "Say what tides are.", do=Planner([a, b]))
    talk = Task("talk", "Talk about it.", do=Conversation([a, b], rounds=3), needs=[plan])
    crew = Crew([plan, talk], name="several")
"""


def test_a_plan_and_a_conversation_come_to_their_end_on_two_workers(many: Workers):
    (many.folder / "crew.py").write_text(textwrap.dedent(CREW))
    for _ in range(2):
        many.start()
    run = many.detach("crew.py")
    many.until(lambda: many.runs()[run]["status"] not in ("running", "queued", "interrupted"), 120)
    assert many.runs()[run]["status"] == "completed", many.crewkit("show", run)
    events = many.events(run)
    ended = {e["path"] for e in events if e["type"] == "task.finished"}
    assert ended == {"plan", "plan/plan:1/ann", "plan/plan:1/bob", "talk"}
    steps = [e["path"] for e in events if e["type"] == "model.finished"]
    assert len(steps) == len(set(steps))
    taken = {said.get("task") for i in range(2) for said in many.said(f"w{i}", "taken")}
    assert {"plan/plan:1/ann", "plan/plan:1/bob"} <= taken
