"""Results that contradict each other: which one counts, by which rule, and what is recorded of it."""

# ruff: noqa: E501  messages stand here as people read them

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from inline_snapshot import snapshot
from pydantic import BaseModel

from crewkit import Agent, Ask, Crew, DefinitionError, Priority, Resolution, Resolve, Task, any_of, tool
from crewkit.crew.definition import definitions
from crewkit.journal.decide import decide as answer
from crewkit.journal.decide import questions
from crewkit.models.base import Request
from crewkit.models.scripted import ScriptedModel


class Figure(BaseModel):
    amount: int
    source: str = ""


def says(name: str, amount: int | None, calls: list[str] | None = None) -> Task[Any]:
    @tool(effects="read")
    def report() -> Figure:
        """Report."""
        if calls is not None:
            calls.append(name)
        if amount is None:
            raise OSError("down")
        return Figure(amount=amount, source=name)

    return Task(name, do=report, on_failure="continue")


def crew_of(resolve: Resolve, *amounts: int | None, **given: Any) -> Crew:
    parties = [says(name, amount) for name, amount in zip("abcd", amounts, strict=False)]
    return Crew([*parties, Task("revenue", do=resolve, needs=parties, **given)], name="figures")


def record(runs: Any, run: str) -> dict[str, Any]:
    [event] = runs.events(run, types=("conflict.resolved",))
    assert (event.path, event.task) == ("revenue/resolved", "revenue")
    return event.data


async def test_where_all_agree_no_rule_is_asked(make_options, runs):
    crew = crew_of(Resolve("vote", about="amount"), 5, 5, 5)
    result = await crew.run({}, make_options())
    assert result.outputs["revenue"] == Figure(amount=5, source="a")
    assert not list(runs.events(result.run_id, types=("conflict.resolved",)))


async def test_what_most_say_counts_and_the_record_tells_who_said_what(make_options, runs):
    result = await crew_of(Resolve("vote", about="amount"), 4, 5, 5).run({}, make_options())
    assert result.outputs["revenue"] == Figure(amount=5, source="b")
    told = record(runs, result.run_id)
    assert [(p["task"], p["value"], p["evidence"]["source"]) for p in told.pop("parties")] == [
        ("a", 4, "a"),
        ("b", 5, "b"),
        ("c", 5, "c"),
    ]
    assert told == snapshot(
        {
            "rule": "vote",
            "chosen": "b",
            "why": "1 for 4, 2 for 5.",
            "tried": [],
            "about": "amount",
        }
    )


@pytest.mark.parametrize(
    ("rules", "chosen"),
    [
        (["first"], "a"),
        ([Priority("c", "b")], "c"),
        (["vote", Priority("d", "b")], "b"),
        ([Priority("d"), "first"], "a"),
    ],
)
async def test_rules_are_asked_in_order_until_one_decides(make_options, runs, rules, chosen):
    result = await crew_of(Resolve(*rules), 4, 5, 6, None).run({}, make_options())
    assert result.outputs["revenue"].source == chosen
    assert record(runs, result.run_id)["chosen"] == chosen


async def test_a_tie_that_no_rule_decides_fails_the_task_and_says_who_said_what(make_options):
    result = await crew_of(Resolve("vote", about="amount"), 4, 5).run({}, make_options())
    assert result.report.failed == snapshot(
        {
            "revenue": "They contradict each other: 'a' (a) says 4; 'b' (b) says 5. No rule decided. Vote: 1 for 4, 1 for 5."
        }
    )


async def test_who_has_no_result_is_no_party(make_options):
    alone = await crew_of(Resolve("vote", about="amount"), None, 5).run({}, make_options())
    assert alone.outputs["revenue"].source == "b"
    nobody = await crew_of(Resolve("vote"), None, None).run({}, make_options())
    assert nobody.report.failed["revenue"] == "None of a, b has a result."


async def test_who_says_nothing_of_what_is_compared_abstains(make_options, runs):
    def known(about: Figure) -> int | None:
        return about.amount or None

    result = await crew_of(Resolve("vote", about=known), 0, 0, 5).run({}, make_options())
    assert result.outputs["revenue"] == Figure(amount=5, source="c")
    result = await crew_of(Resolve("vote", about=known), 0, 0).run({}, make_options())
    assert result.outputs["revenue"] == Figure(amount=0, source="a")


async def test_results_are_compared_by_a_function(make_options):
    def rounded(figure: Figure) -> int:
        return round(figure.amount, -1)

    result = await crew_of(Resolve("vote", about=rounded), 101, 98).run({}, make_options())
    assert result.outputs["revenue"].source == "a"

    def broken(figure: Figure) -> int:
        return figure.amount // 0

    failed = await crew_of(Resolve("vote", about=broken), 1, 2).run({}, make_options())
    assert "about() failed with ZeroDivisionError" in failed.report.failed["revenue"]


async def test_the_whole_resolution_is_there_for_who_reports_it(make_options):
    def line(revenue: Resolution) -> str:
        return f"{revenue.output['amount']} ({revenue.rule}: {revenue.why})"

    parties = [says("a", 4), says("b", 5)]
    revenue = Task("revenue", do=Resolve(Priority("b", "a")), needs=parties, output_type=Resolution)
    crew = Crew([*parties, revenue, Task("line", do=line, needs=[revenue])])
    result = await crew.run({}, make_options())
    assert result.outputs["line"] == "5 (priority b > a: 'b' comes first.)"
    assert [(p.task, p.value["amount"]) for p in result[revenue].parties] == [("a", 4), ("b", 5)]
    assert not result[revenue].agreed


# A judge


def judging(*lines: Any) -> tuple[Agent, ScriptedModel]:
    model = ScriptedModel(list(lines))
    return Agent("Judge", "Find what is right.", model=model), model


async def test_a_judge_chooses_among_the_results_and_can_make_none(make_options, runs):
    judge, model = judging(
        '{"chosen": "x", "why": "I made it up."}', '{"chosen": "b", "why": "It is audited."}'
    )
    result = await crew_of(Resolve(judge, about="amount"), 4, 5).run({}, make_options())
    assert result.outputs["revenue"] == Figure(amount=5, source="b")
    told = record(runs, result.run_id)
    assert (told["rule"], told["why"]) == ("judge Judge", "It is audited.")
    assert "chosen: Input should be 'a' or 'b'" in model.requests[1].messages[-1].content
    first = model.requests[0].messages[-1].content
    assert '"amount": 4' in first
    assert "Say which one counts" in first


async def test_a_judge_works_from_a_message_and_is_heard_by_a_report(make_options, runs):
    judge, _ = judging('{"chosen": "b", "why": "So."}')
    result = await crew_of(Resolve(judge), 4, 5).run({}, make_options())
    said = [
        e.data
        for e in runs.events(result.run_id, types=("message.recorded",))
        if "kind" in e.data and e.task == "revenue"
    ]
    assert [(m["kind"], m["sender"], m["to"], m["round"]) for m in said] == [
        ("assignment", "coordinator", "revenue", 1),
        ("assignment", "coordinator", "Judge", 2),
        ("report", "Judge", "coordinator", 2),
        ("report", "revenue", "coordinator", 1),
    ]


async def test_a_judge_who_is_not_sure_leaves_it_to_the_next_rule(make_options, runs):
    judge, _ = judging('{"chosen": "undecided", "why": "Both are signed."}')
    result = await crew_of(Resolve("vote", judge, Priority("b")), 4, 5).run({}, make_options())
    told = record(runs, result.run_id)
    assert [each["rule"] for each in told["tried"]] == ["vote", "judge Judge"]
    assert (told["rule"], told["chosen"]) == ("priority b", "b")


async def test_a_judge_who_fails_leaves_it_to_the_next_rule_and_the_last_one_fails_the_task(make_options):
    judge, _ = judging("no json")
    result = await crew_of(Resolve(judge, "first"), 4, 5, revisions=0).run({}, make_options())
    assert result.outputs["revenue"].source == "a"
    judge, _ = judging("no json")
    result = await crew_of(Resolve(judge), 4, 5, revisions=0).run({}, make_options())
    assert "sent back 0 times" in result.report.failed["revenue"]


# A person


async def test_a_person_chooses_and_may_take_another_than_the_first(make_options, runs):
    crew = crew_of(Resolve("vote", Ask("Which figure is right?"), about="amount"), 4, 5)
    paused = await crew.run({}, make_options())
    [question] = questions(runs, paused.run_id)
    assert (question.question, question.arguments) == ("Which figure is right?", {"chosen": "a"})
    assert (
        question.reason
        == "They contradict each other: 'a' (a) says 4; 'b' (b) says 5. Vote: 1 for 4, 1 for 5."
    )
    answer(runs, question, "approve", "The other is a draft.", by="Ann", arguments={"chosen": "b"})
    result = await crew.resume(paused.run_id, make_options())
    assert result.outputs["revenue"].source == "b"
    told = record(runs, result.run_id)
    assert (told["rule"], told["why"]) == ("a person", "Ann chose 'b': The other is a draft.")


@pytest.mark.parametrize(("decision", "status"), [("approve", "completed"), ("deny", "denied")])
async def test_a_person_takes_the_first_or_none(make_options, decide, decision, status):
    crew = crew_of(Resolve(Ask("Which?")), 4, 5)
    paused = await crew.run({}, make_options())
    decide(paused.run_id, decision, "So.")
    result = await crew.resume(paused.run_id, make_options())
    assert result.status == status
    if status == "completed":
        assert result.outputs["revenue"].source == "a"
    else:
        assert result.report.failed == {"revenue": "A person wants none of them: So."}


async def test_a_choice_that_is_none_is_refused_where_it_is_made(make_options, runs):
    from crewkit import InputError

    paused = await crew_of(Resolve(Ask("Which?")), 4, 5).run({}, make_options())
    [question] = questions(runs, paused.run_id)
    with pytest.raises(InputError, match="chosen: 'z' is not one of"):
        answer(runs, question, "approve", "", arguments={"chosen": "z"})


# Again


async def test_a_resumed_run_judges_no_second_time(make_options, runs):
    asked: list[Request] = []

    def script(request: Request) -> str:
        asked.append(request)
        return '{"chosen": "b", "why": "So."}'

    judge = Agent("Judge", "Find what is right.", model=ScriptedModel(script))
    parties = [says("a", 4), says("b", 5)]
    crew = Crew(
        [
            *parties,
            Task("revenue", do=Resolve(judge), needs=parties, human_input="Is it right?"),
        ]
    )
    paused = await crew.run({}, make_options())
    assert (paused.status, len(asked)) == ("paused", 1)
    [question] = questions(runs, paused.run_id)
    answer(runs, question, "approve", "")
    result = await crew.resume(paused.run_id, make_options())
    assert (result.status, len(asked)) == ("completed", 1)
    assert record(runs, result.run_id)["chosen"] == "b"


# Definitions


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            Resolve,
            snapshot("Resolve() has no rule. Say who decides: Resolve('vote', Ask('Which one?'))."),
        ),
        (
            lambda: Resolve("most"),  # type: ignore[arg-type]
            snapshot(
                "Resolve('most'): a rule is 'first', 'vote', Priority(task, …), an agent who judges, or Ask('…') for a person."
            ),
        ),
        (
            lambda: Crew([says("a", 1), Task("b", do=Resolve("vote"), needs=["a"])]),
            snapshot(
                "Task 'b' resolves a conflict, and needs 1 task. Name those whose results may contradict each other: needs=[filing, press]."
            ),
        ),
        (
            lambda: crew_of(Resolve(Priority("a", "press")), 1, 2),
            snapshot("Task 'revenue': Priority names 'press', which it does not need. It needs: a, b."),
        ),
        (
            lambda: crew_of(Resolve("vote", about="amuont"), 1, 2),
            snapshot(
                "Task 'revenue': about='amuont': there is no `a.amuont` of Figure. Did you mean 'amount'? It has: amount, source."
            ),
        ),
        (
            lambda: crew_of(Resolve("vote", about="amuont"), 1, 2, agent=Agent("X", "Y.")),
            snapshot("Task 'revenue' has an agent and a function (`do`). Keep one: who does it?"),
        ),
    ],
)
def test_mistakes_are_found_before_anything_runs(make: Callable[[], Any], message: str):
    with pytest.raises(DefinitionError) as error:
        make()
    assert str(error.value) == message


def test_another_rule_is_another_definition():
    def parts(resolve: Resolve) -> Any:
        return definitions(crew_of(resolve, 1, 2).plan)["revenue"]

    judge = Agent("Judge", "Find what is right.")
    other = Agent("Judge", "Find what is wrong.")
    kinds = [
        Resolve("vote"),
        Resolve("first"),
        Resolve(judge),
        Resolve(other),
        Resolve(Ask("A?")),
        Resolve(Ask("B?")),
    ]
    assert len({str(parts(kind)) for kind in kinds}) == len(kinds)
    assert parts(Resolve("vote")) == parts(Resolve("vote"))


async def test_alternatives_are_parties_where_they_have_a_result(make_options):
    parties = [says("a", None), says("b", 5)]
    revenue = Task("revenue", do=Resolve("first"), needs=[any_of(*parties)])
    result = await Crew([*parties, revenue]).run({}, make_options())
    assert result.outputs["revenue"].source == "b"


async def test_a_chooser_and_what_a_condition_looks_at_are_no_parties(make_options):
    def choose() -> str:
        return "revenue"

    parties = [says("a", 4), says("b", 5)]
    way = Task("way", do=choose, routes=["revenue", "other"])
    revenue = Task("revenue", do=Resolve("first", about="amount"), needs=parties)
    routed = Crew([way, *parties, revenue, says("other", 1)])
    result = await routed.run({}, make_options())
    assert result.outputs["revenue"] == Figure(amount=4, source="a")

    wanted = says("wanted", 7)
    revenue = Task(
        "revenue",
        do=Resolve(Priority("b", "a")),
        needs=[wanted, *parties],
        context=parties,
        when="wanted.amount > 5",
        output_type=Resolution,
    )
    result = await Crew([wanted, *parties, revenue]).run({}, make_options())
    assert [party.task for party in result[revenue].parties] == ["a", "b"]
