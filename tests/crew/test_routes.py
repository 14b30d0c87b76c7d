"""Routes: a task that is done only where its condition holds, and joins over alternatives."""

# ruff: noqa: E501  messages stand here as people read them

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from inline_snapshot import snapshot
from pydantic import BaseModel

from crewkit import (
    Agent,
    Allow,
    Crew,
    DefinitionError,
    Deny,
    Options,
    RunError,
    Task,
    ToolContext,
    any_of,
    tool,
)
from crewkit.journal.sqlite import SqliteJournal
from crewkit.models.scripted import ScriptedModel
from crewkit.preview.drawing import mermaid, of_plan
from crewkit.preview.graph import text


class Kind(BaseModel):
    name: str
    confidence: float
    pages: list[int] = []
    source: dict[str, str] = {}


@tool(effects="read")
def classify(mail: str) -> Kind:
    """Say what a mail is about."""
    return Kind(name=mail, confidence=0.8)


def answer(kind: Kind) -> str:
    return f"answer to {kind.name}"


def joined(tax: str | None, law: str | None) -> str:
    return f"{tax} / {law}"


kind = Task("kind", do=classify)


def routed(when_tax: Any, when_law: Any, **rest: Any) -> Crew:
    tax = Task("tax", do=answer, needs=[kind], when=when_tax, **rest)
    law = Task("law", do=answer, needs=[kind], when=when_law)
    end = Task("end", do=joined, needs=[any_of(tax, law)])
    return Crew([kind, tax, law, end], inputs=["mail"], name="mail")


def options(path: Path, **rest: Any) -> Options:
    return Options(journal=SqliteJournal(path / "j.db"), environ={}, **rest)


async def test_a_task_whose_condition_does_not_hold_is_skipped_and_the_join_goes_on(tmp_path: Path):
    crew = routed("kind.name == 'tax' and mail != ''", "kind.name == 'law'")
    with SqliteJournal(tmp_path / "j.db") as journal:
        result = await crew.run({"mail": "law"}, Options(journal=journal, environ={}))
        assert (result.status, result.output) == ("completed", "None / answer to law")
        assert result.report.skipped == snapshot(
            {
                "tax": "Its condition `kind.name == 'tax' and mail != ''` does not hold: kind.name is \"law\", mail is \"law\"."
            }
        )
        checked = [e for e in journal.events(result.run_id) if e.type == "condition.checked"]
        assert [(e.path, e.data["verdict"], e.data["values"]) for e in checked] == [
            ("tax/when", "deny", {"kind.name": "law", "mail": "law"}),
            ("law/when", "allow", {"kind.name": "law"}),
        ]


async def test_a_join_none_of_whose_alternatives_completed_is_skipped(tmp_path: Path):
    result = await routed("kind.confidence > 2", "kind.confidence > 3").run({"mail": "x"}, options(tmp_path))
    assert result.status == "completed"
    assert list(result.report.skipped) == ["tax", "law", "end"]
    assert result.report.skipped["end"] == snapshot("It needs one of 'tax', 'law', and none completed.")


async def test_a_skip_reaches_whoever_needs_the_task_unless_it_says_continue(tmp_path: Path):
    def after(kind: Kind, extra: str | None) -> str:
        return f"{kind.name} {extra}"

    def crew(on_failure: Any) -> Crew:
        extra = Task("extra", do=answer, needs=[kind], when="mail == 'y'", on_failure=on_failure)
        end = Task("end", do=after, needs=[kind, extra])
        return Crew([kind, extra, end], inputs=["mail"])

    result = await crew("fail").run({"mail": "x"}, options(tmp_path))
    assert result.report.skipped["end"] == "It needs 'extra', which was skipped."
    assert result.ok
    result = await crew("continue").run({"mail": "x"}, options(tmp_path))
    assert result.output == "x None"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (True, None),
        (Allow(), None),
        (False, "Its condition wanted() said no."),
        ("Too early.", "Its condition wanted() said: Too early."),
        (Deny("Not this one."), "Its condition wanted() said: Not this one."),
    ],
)
async def test_a_condition_may_be_a_function_of_what_is_needed(tmp_path: Path, said: Any, why: str | None):
    seen: list[Any] = []

    async def wanted(kind: Kind, mail: str, context: ToolContext) -> Any:
        seen.append((kind.name, mail, context.path))
        return said

    result = await routed(wanted, "kind.name == 'law'").run({"mail": "tax"}, options(tmp_path))
    assert result.report.skipped.get("tax") == why
    assert seen == [("tax", "tax", "tax/when")]


@pytest.mark.parametrize(
    ("when", "why"),
    [
        (
            "kind.pages[3] == 1",
            "Its condition `kind.pages[3] == 1` cannot be decided: `kind.pages` is [], so there is no `kind.pages[3]`.",
        ),
        (
            "kind.name > 3",
            "Its condition `kind.name > 3` cannot be decided: `kind.name` is 'x' and `3` is 3, which cannot be compared so.",
        ),
        (
            lambda kind: kind.nothing,
            "Its condition <lambda>() failed with AttributeError: 'Kind' object has no attribute 'nothing'",
        ),
        (
            lambda kind: None,
            "Its condition <lambda>() returned None: return True, False, or a sentence why not.",
        ),
        (
            lambda kind: "  ",
            "Its condition <lambda>() returned '  ': return True, False, or a sentence why not.",
        ),
    ],
)
async def test_a_condition_that_cannot_be_decided_fails_the_task_by_name(tmp_path: Path, when: Any, why: str):
    result = await routed(when, "True").run({"mail": "x"}, options(tmp_path))
    assert result.status == "failed"
    assert dict(result.report.failed) == {"tax": why}
    assert result.output == "None / answer to x"


async def test_what_was_decided_is_never_decided_again(tmp_path: Path):
    asked: list[str] = []
    answers = {"tax": True, "law": False}
    broken = [True]

    def check(name: str) -> Callable[..., bool]:
        def wanted(kind: Kind) -> bool:
            asked.append(name)
            return answers[name]

        return wanted

    @tool(effects="read")
    def failing(tax: str | None, law: str | None) -> str:
        """Fail the first time."""
        if broken.pop():
            raise RunError("not yet")
        return f"{tax} / {law}"

    def crew() -> Crew:
        tax = Task("tax", do=answer, needs=[kind], when=check("tax"))
        law = Task("law", do=answer, needs=[kind], when=check("law"))
        return Crew([kind, tax, law, Task("end", do=failing, needs=[any_of(tax, law)])], inputs=["mail"])

    with SqliteJournal(tmp_path / "j.db") as journal:
        result = await crew().run({"mail": "x"}, Options(journal=journal, environ={}))
        assert result.status == "failed"
        answers.update(tax=False, law=True)
        broken.append(False)
        result = await crew().resume(result.run_id, Options(journal=journal, environ={}))
        assert result.output == "answer to x / None"
        assert sorted(asked) == ["law", "tax"]
        finished = [e.path for e in journal.events(result.run_id) if e.type == "task.finished"]
        assert finished.count("law") == 1


async def test_an_agent_is_shown_only_the_alternative_that_was_taken(tmp_path: Path):
    heard: list[str] = []

    def say(request: Any) -> str:
        heard.append(request.messages[1].content)
        return "done"

    tax = Task("tax", do=answer, needs=[kind], when="mail == 'x'")
    law = Task("law", do=answer, needs=[kind], when="mail != 'x'")
    writer = Agent("Writer", "Write.", model=ScriptedModel(say))
    end = Task("end", "Write.", agent=writer, needs=[any_of(tax, law)])
    await Crew([kind, tax, law, end], inputs=["mail"]).run({"mail": "x"}, options(tmp_path))
    assert 'Result of "tax"' in heard[0]
    assert "law" not in heard[0]


async def test_a_condition_reads_inputs_and_outputs_with_a_dash_in_their_name(tmp_path: Path):
    first = Task("first-look", do=classify)
    end = Task("end", do=lambda_like, needs=[first], when="first_look.confidence < 0.9")
    result = await Crew([first, end], inputs=["mail"]).run({"mail": "x"}, options(tmp_path))
    assert result.output == "x"


def lambda_like(first_look: Kind) -> str:
    return first_look.name


# Mistakes


def mistake(define: Callable[[], object]) -> str:
    with pytest.raises(DefinitionError) as error:
        define()
    return str(error.value)


def test_a_condition_on_something_unknown_is_told_what_there_is():
    assert mistake(lambda: routed("kinds.confidence < 1", "True")) == snapshot(
        "Task 'tax': when='kinds.confidence < 1' looks at 'kinds', which is neither an input nor one of its needs. Did you mean 'kind'? There are: mail, kind, meta."
    )
    assert mistake(lambda: routed("kind.confidense < 1", "True")) == snapshot(
        "Task 'tax': when='kind.confidense < 1': there is no `kind.confidense` of Kind. Did you mean 'confidence'? It has: name, confidence, pages, source."
    )
    assert mistake(lambda: routed("mail.sender == 'x'", "True")) == snapshot(
        "Task 'tax': when=\"mail.sender == 'x'\": there is no `mail.sender` of str. It has no fields."
    )
    assert mistake(lambda: routed("kind.pages.first == 1", "True")) == snapshot(
        "Task 'tax': when='kind.pages.first == 1': there is no `kind.pages.first`. It has no fields."
    )
    assert mistake(lambda: routed(lambda kinds: True, "True")) == snapshot(
        "Task 'tax': when: <lambda>() takes 'kinds', which is neither an input nor one of its needs. Did you mean 'kind'? There are: mail, kind, meta."
    )


def test_a_condition_may_look_into_what_the_type_leaves_open():
    assert routed("kind.source.anything == 'x' and kind.pages[0] == 1", "True").plan


def test_what_is_no_condition_is_refused():
    assert mistake(lambda: routed("print('x')", "True")) == snapshot(
        "Task 'tax': when=\"print('x')\" is no condition: `print('x')` is not allowed: compare names and literals with ==, !=, <, <=, >, >=, in, is None, joined by and, or, not; for more, give a function."
    )
    assert mistake(lambda: routed(True, "True")) == snapshot(
        "Task 'tax': when=True is neither a condition in a text nor a function. Write when=\"draft.score > 0.5\", or a function of what the task needs that returns True or False."
    )


def test_alternatives_are_checked_as_needs_are():
    assert mistake(lambda: Crew([Task("a", "x", agent=Agent("A", "B"), needs=[any_of()])])) == snapshot(
        "Task 'a' needs any_of() of nothing. Name the tasks: any_of(one, other)."
    )
    assert mistake(
        lambda: Crew([kind, Task("a", do=answer, needs=[any_of("kimd")])], inputs=["mail"])
    ) == snapshot("Task 'a' needs 'kimd', which is not in this crew. Did you mean 'kind'? Tasks: kind, a.")


# Drawings


def test_the_drawings_show_conditions_and_alternatives():
    plan = routed("kind.confidence < 0.9", "kind.name == 'law'").plan
    assert text(plan) == snapshot("""\
kind     classify()
└ tax    answer()  after kind  when kind.confidence < 0.9
└ law    answer()  after kind  when kind.name == 'law'
  └ end  joined()  after one of tax or law\
""")
    assert mermaid(of_plan(plan)) == snapshot("""\
flowchart TD
    t_kind[["kind<br/>classify()"]]
    t_tax[["tax<br/>answer()<br/>when kind.confidence &lt; 0.9"]]
    t_law[["law<br/>answer()<br/>when kind.name == 'law'"]]
    t_end[["end<br/>joined()"]]
    t_kind --> t_tax
    t_kind --> t_law
    t_tax -.-> t_end
    t_law -.-> t_end\
""")
