"""Loops: a task is done again, for a reason, until its check is content or its cap is reached."""

# ruff: noqa: E501  messages stand here as people read them

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from inline_snapshot import snapshot
from pydantic import BaseModel

from crewkit import (
    Agent,
    Allow,
    Ask,
    Crew,
    DefinitionError,
    Deny,
    Input,
    Limits,
    Result,
    Revise,
    Task,
    tool,
)
from crewkit.core.events import Event
from crewkit.core.label import unfenced
from crewkit.journal.base import Journal
from crewkit.journal.tree import tree
from crewkit.models.base import Request
from crewkit.models.scripted import ScriptedModel


class Poem(BaseModel):
    lines: list[str]
    good: bool = False


@tool(effects="read")
def grow(topic: str, previous: Poem | None, reason: str) -> Poem:
    """Write one line more."""
    lines = [] if previous is None else previous.lines
    return Poem(lines=[*lines, reason or topic])


TIDES = {"topic": "tides"}


def events(journal: Journal, result: Result, *types: str) -> list[Event]:
    return list(journal.events(result.run_id, types=types))


async def test_a_function_is_told_the_version_before_and_the_reason(make_options, runs):
    def until(poem: Poem) -> str | None:
        return None if len(poem.lines) == 3 else f"only {len(poem.lines)}"

    poem = Task("poem", do=grow, until=until)
    result = await Crew([poem], inputs=["topic"]).run(TIDES, make_options())
    assert result[poem].lines == ["tides", "only 1", "only 2"]
    assert (result.status, dict(result.report.capped)) == ("completed", {})
    assert [(e.path, e.data) for e in events(runs, result, "iteration.started")] == [
        ("poem#2", {"number": 2, "reason": "only 1"}),
        ("poem#3", {"number": 3, "reason": "only 2"}),
    ]
    assert [e.path for e in events(runs, result, "tool.started")] == [
        "poem/1/tool:0",
        "poem#2/1/tool:0",
        "poem#3/1/tool:0",
    ]
    verdicts = events(runs, result, "condition.checked")
    assert [(e.path, e.data["verdict"]) for e in verdicts] == [
        ("poem/until", "revise"),
        ("poem#2/until", "revise"),
        ("poem#3/until", "allow"),
    ]


async def test_an_agent_is_told_the_version_before_and_the_reason(make_options, runs):
    heard: list[str] = []

    def say(request: Request) -> str:
        heard.append(request.messages[-1].content)
        return f"version {len(heard)}"

    writer = Agent("Writer", "Write.", model=ScriptedModel(say))
    draft = Task("draft", "Write about {topic}.", agent=writer, until="draft == 'version 2'")
    result = await Crew([draft], inputs=["topic"]).run(TIDES, make_options())
    assert result[draft] == "version 2"
    assert "again" not in heard[0]
    assert heard[1].removeprefix(heard[0]) == snapshot("""\


## Your version before this one
<result task="draft">
version 1
</result>

## Why it is to be done again
`draft == 'version 2'` does not hold: draft is "version 1".\
""")


async def test_at_the_cap_the_last_version_counts_and_everyone_is_told(make_options, runs):
    heard: list[str] = []

    def say(request: Request) -> str:
        heard.append(request.messages[-1].content)
        return "sum"

    poem = Task("poem", do=grow, until="poem.good", iterations=2)
    summed = Task("sum", "Sum up.", agent=Agent("Editor", "Edit.", model=ScriptedModel(say)), needs=[poem])
    crew = Crew([poem, summed], inputs=["topic"])
    result = await crew.run(TIDES, make_options())
    why = "It was not accepted in 2 iterations; this is the last version. `poem.good` does not hold: poem.good is false."
    assert result.status == "completed"
    assert result.why == "2 of 2 tasks completed. Not accepted, but at its cap: poem."
    assert dict(result.report.capped) == {"poem": why}
    assert f"(Mind: {why})" in heard[0]
    finished = events(runs, result, "task.finished")[0].data
    assert (finished["capped"], finished["why"]) == (True, why)
    assert events(runs, result, "run.finished")[0].data["report"]["capped"] == [{"task": "poem", "why": why}]
    again = await crew.resume(result.run_id, make_options())
    assert dict(again.report.capped) == {"poem": why}


@pytest.mark.parametrize(
    ("said", "lines"),
    [(None, 1), (True, 1), (Allow(), 1), (False, 2), ("more", 2), (Revise("more"), 2)],
)
async def test_a_check_says_done_or_once_more(make_options, runs, said: Any, lines: int):
    answers = [said, None]
    poem = Task("poem", do=grow, until=lambda poem: answers.pop(0))
    result = await Crew([poem], inputs=["topic"]).run(TIDES, make_options())
    assert len(result[poem].lines) == lines
    assert result[poem].lines[1:] in ([], ["more"], ["<lambda>() said no."])


@pytest.mark.parametrize(
    ("until", "status", "why"),
    [
        (lambda poem: Deny("hopeless"), "denied", "Its check <lambda>() gave it up: hopeless"),
        (
            lambda poem: 3,
            "failed",
            "Its check <lambda>() returned 3: return None, a sentence about what is wrong, or a verdict.",
        ),
        (
            lambda poem: poem.nothing,
            "failed",
            "Its condition <lambda>() failed with AttributeError: 'Poem' object has no attribute 'nothing'",
        ),
        (
            "poem.lines[7] == 'x'",
            "failed",
            "Its condition `poem.lines[7] == 'x'` cannot be decided: `poem.lines` is ['tides'], so there is no `poem.lines[7]`.",
        ),
    ],
)
async def test_a_check_that_gives_up_or_breaks_fails_the_task(
    make_options, runs, until: Any, status: str, why: str
):
    result = await Crew([Task("poem", do=grow, until=until)], inputs=["topic"]).run(TIDES, make_options())
    assert (result.status, dict(result.report.failed)) == (status, {"poem": why})


async def test_a_person_may_be_asked_whether_it_is_good(make_options, runs, decide):
    poem = Task("poem", do=grow, until=lambda poem: Ask(f"Are {len(poem.lines)} enough?"))

    def crew() -> Crew:
        return Crew([poem], inputs=["topic"])

    result = await crew().run(TIDES, make_options())
    assert result.status == "paused"
    asked = events(runs, result, "approval.requested")[-1]
    decide(result.run_id, "deny", "rhyme it")
    assert (asked.path, asked.data["question"]) == ("poem/until/ask", "Are 1 enough?")
    result = await crew().resume(result.run_id, make_options())
    assert result.status == "paused"
    asked = events(runs, result, "approval.requested")[-1]
    decide(result.run_id)
    assert (asked.path, asked.data["output"]["lines"]) == (
        "poem#2/until/ask",
        ["tides", "A person wants it changed: rhyme it"],
    )
    result = await crew().resume(result.run_id, make_options())
    assert result[poem].lines == ["tides", "A person wants it changed: rhyme it"]


def nested(world: list[str]) -> Crew:
    """A crew in a loop, in which a task is in a loop."""

    def say(request: Request) -> str:
        text = unfenced(request.messages[1].content)
        version = 2 if "again" in text else 1
        return f"v{version} {'given' if 'reason: more' in text else 'new'}"

    def polish(draft: str, previous: Poem | None, reason: str) -> Poem:
        world.append(f"polish {reason}")
        return Poem(lines=[*(previous.lines if previous else []), draft])

    writer = Agent("Writer", "Write.", model=ScriptedModel(say))
    draft = Task(
        "draft", "Draft.", agent=writer, until="draft != 'v1 new' and draft != 'v1 given'", iterations=3
    )
    polished = Task("polished", do=polish, needs=[draft])
    desk = Crew(
        [draft, polished],
        inputs={"previous": Input(type=Poem | None, default=None), "reason": Input(default="")},
        name="desk",
    )
    poem = Task(
        "poem", do=desk, output_type=Poem, until=lambda poem: None if len(poem.lines) == 2 else "more"
    )
    return Crew([poem], inputs=["topic"])


async def test_loops_nest_and_every_step_has_its_own_path(make_options, runs):
    world: list[str] = []
    result = await nested(world).run(TIDES, make_options())
    assert result.output.lines == ["v2 new", "v2 given"]
    steps = [e.path for e in events(runs, result, "model.started", "tool.started")]
    assert steps == [
        "poem/draft/1/model",
        "poem/draft#2/1/model",
        "poem/polished/1/tool:0",
        "poem#2/draft/1/model",
        "poem#2/draft#2/1/model",
        "poem#2/polished/1/tool:0",
    ]
    assert world == ["polish ", "polish more"]
    root = tree(runs.events(result.run_id))
    [poem] = root.children
    again = next(child for child in poem.children if child.kind == "iteration")
    assert (again.path, again.title, again.status) == ("poem#2", "iteration 2", "completed")
    draft = next(child for child in again.children if child.path == "poem#2/draft")
    assert (draft.kind, [child.kind for child in draft.children]) == ("task", ["turn", "step", "iteration"])


async def test_what_a_finished_iteration_used_counts_after_a_resume(make_options, runs):
    broken = [True]

    def until(poem: Poem) -> str | None:
        if len(poem.lines) == 2 and broken.pop():
            raise ZeroDivisionError("once")
        return None if len(poem.lines) == 2 else "more"

    def crew() -> Crew:
        inner = nested([]).tasks[0].do
        assert isinstance(inner, Crew)
        return Crew([Task("poem", do=inner, output_type=Poem, until=until)], inputs=["topic"])

    first = await crew().run(TIDES, make_options())
    assert first.status == "failed"
    broken.append(False)
    second = await crew().resume(first.run_id, make_options())
    assert second.ok, second.why
    assert second.usage["tokens"] == first.usage["tokens"]
    assert second.usage["steps"] == 4


async def test_a_cap_on_steps_of_the_run_ends_a_loop_in_order(make_options, runs):
    writer = Agent("Writer", "Write.", model=ScriptedModel(lambda request: "again"))
    draft = Task("draft", "Write.", agent=writer, until="draft == ''", iterations=100)
    result = await Crew([draft], limits=Limits(steps=3), inputs=["topic"]).run(TIDES, make_options())
    assert result.status == "limit"
    result = await Crew([draft], inputs=["topic"]).resume(result.run_id, make_options(limits=Limits(steps=6)))
    assert result.status == "limit"
    assert [e.path for e in events(runs, result, "iteration.finished")][-1] == "draft#6"


# Mistakes


def mistake(define: Callable[[], object]) -> str:
    with pytest.raises(DefinitionError) as error:
        define()
    return str(error.value)


def test_what_cannot_loop_is_found_before_it_runs():
    def crew(**rest: Any) -> Crew:
        return Crew([Task("poem", do=grow, **rest)], inputs=["topic"])

    assert mistake(lambda: crew(until="poem.god", iterations=2)) == snapshot(
        "Task 'poem': until='poem.god': there is no `poem.god` of Poem. Did you mean 'good'? It has: lines, good."
    )
    assert mistake(lambda: crew(until="poems.good")) == snapshot(
        "Task 'poem': until='poems.good' looks at 'poems', which is neither an input nor one of its needs. Did you mean 'poem'? There are: topic, poem."
    )
    assert mistake(lambda: crew(until=3)) == snapshot(
        "Task 'poem': until=3 is neither a condition in a text nor a function. Write until=\"draft.score > 0.5\", or a function of what the task needs that returns True or False."
    )
    assert mistake(lambda: crew(until="poem.good", iterations=0)) == snapshot(
        "Task 'poem': iterations=0 is below 1. It is done once at least."
    )
    assert mistake(lambda: crew(until=lambda poem, mood: None)) == snapshot(
        "Task 'poem': until: <lambda>() takes 'mood', which is neither an input nor one of its needs. There are: topic."
    )
    assert mistake(crew) == snapshot(
        "Task 'poem': grow() takes 'previous', which is neither an input nor one of its needs. There are: topic."
    )
    previous = Task("previous", do=grow, until="True")
    poem = Task("poem", do=grow, until="poem.good", needs=[previous])
    assert mistake(lambda: Crew([previous, poem], inputs=["topic"])) == snapshot(
        "Task 'poem': it needs 'previous', which is what a loop calls the version before. Rename that task."
    )
