"""Exclusive choices: a chooser and its routes; conditions on what is known of tasks besides their outputs."""

# ruff: noqa: E501  messages stand here as people read them

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from inline_snapshot import snapshot
from pydantic import BaseModel

from crewkit import Agent, Ask, Crew, DefinitionError, Input, Route, Task, any_of, tool
from crewkit.models.offline import OfflineModel
from crewkit.models.scripted import ScriptedModel
from crewkit.preview.drawing import mermaid, of_plan
from crewkit.preview.forecast import forecast
from crewkit.preview.graph import text


class Ticket(BaseModel):
    topic: str
    confidence: float = 1.0


class Way(BaseModel):
    route: str
    confidence: float


@tool(effects="read")
def read(mail: str) -> Ticket:
    """Say what a mail is about."""
    return Ticket(topic=mail)


def said(name: str) -> Callable[[], str]:
    def say() -> str:
        return name

    return say


def desk(chooser: Task[Any], *names: str, first: Task[Any] | None = None, **crew: Any) -> Crew:
    routes = [Task(name, do=said(name)) for name in names]
    end = Task("end", do=joined, needs=[any_of(*names)]) if names == ("tax", "law") else None
    tasks = [chooser, *([first] if first else []), *routes, *([end] if end else [])]
    return Crew(tasks, inputs=["mail"], name="desk", **crew)


def joined(tax: str | None, law: str | None) -> str:
    return f"{tax} / {law}"


def router(*answers: str, **task: Any) -> Task[Any]:
    agent = Agent("Router", "Choose who answers.", model=ScriptedModel(list(answers)))
    return Task("way", "Who answers {mail}?", agent=agent, **{"routes": ["tax", "law"], **task})


@pytest.mark.parametrize("answer", ["law", '"law"', " law\n", '```json\n"law"\n```'])
async def test_a_router_agent_chooses_one_route_and_the_others_are_skipped(make_options, answer: str):
    result = await desk(router(answer), "tax", "law").run({"mail": "x"}, make_options())
    assert (result.status, result.outputs["way"], result.output) == ("completed", "law", "None / law")
    assert result.report.skipped == snapshot(
        {"tax": "Its condition `way == 'tax'` does not hold: way is \"law\"."}
    )


async def test_an_answer_that_is_no_route_goes_back_to_the_router(make_options, runs):
    result = await desk(router("billing", "Law", "LAW.", "law"), "tax", "law").run(
        {"mail": "x"}, make_options()
    )
    assert result.output == "None / law"
    told = [e.data["content"] for e in runs.events(result.run_id) if e.data.get("role") == "user"]
    assert told[-1] == "Your answer is none of tax, law. Answer with one of these words alone."
    failed = await desk(router(*["billing"] * 9, revisions=1), "tax", "law").run(
        {"mail": "x"}, make_options()
    )
    assert failed.status == "failed"
    assert "end" in failed.report.skipped


async def test_a_router_may_say_more_than_the_route(make_options):
    chooser = router('{"route": "tax", "confidence": 0.4}', output_type=Way)
    unsure = Task("unsure", do=said("unsure"), needs=[chooser], when="meta.way.confidence < 0.5")
    crew = Crew([*desk(chooser, "tax", "law").tasks, unsure], inputs=["mail"])
    result = await crew.run({"mail": "x"}, make_options())
    assert (result.outputs["way"].route, result.outputs["tax"], result.outputs["unsure"]) == (
        "tax",
        "tax",
        "unsure",
    )
    assert isinstance(result.outputs["way"], Way)
    bad = router('{"route": "bill", "confidence": 1}', '{"route": "law", "confidence": 1}', output_type=Way)
    assert (await desk(bad, "tax", "law").run({"mail": "x"}, make_options())).outputs["law"] == "law"


async def test_the_offline_model_takes_one_of_the_routes(make_options):
    chooser = router(routes=["tax", "law"])
    agent = Agent("Router", "Choose who answers.", model=OfflineModel())
    chooser = Task("way", "Who answers a question about law?", agent=agent, routes=["tax", "law"])
    result = await desk(chooser, "tax", "law").run({"mail": "a question about law"}, make_options())
    assert result.status == "completed", result.why
    assert result.outputs["way"] in ("tax", "law")


async def test_a_function_chooses_by_name(make_options):
    def choose(mail: str) -> str:
        return mail

    crew = desk(Task("way", do=choose, routes=["tax", "law"]), "tax", "law")
    assert (await crew.run({"mail": "law"}, make_options())).output == "None / law"
    result = await crew.run({"mail": "billing"}, make_options())
    assert result.status == "failed"
    assert dict(result.report.failed) == snapshot(
        {
            "way": "Task 'way' returned str 'billing', which is not Literal['tax', 'law']: Input should be 'tax' or 'law'"
        }
    )


async def test_conditions_choose_the_first_that_holds(make_options, runs):
    first = Task("ticket", do=read)
    way = Task(
        "way",
        needs=[first],
        routes={
            "tax": "ticket.topic in ('tax', 'both')",
            "law": "ticket.topic == 'both' or mail == 'law'",
            "rest": "else",
        },
    )
    crew = desk(way, "tax", "law", "rest", first=first)
    for mail, chosen in {"tax": "tax", "both": "tax", "law": "law", "": "rest"}.items():
        result = await crew.run({"mail": mail}, make_options())
        assert result.outputs["way"] == chosen
        assert {"tax", "law", "rest"} & set(result.outputs) == {chosen}
    [called] = [e for e in runs.events(result.run_id, types=("tool.started",)) if e.task == "way"]
    assert called.data["tool"] == "choose"


async def test_where_no_condition_holds_the_choice_fails_by_name(make_options):
    way = Task("way", routes={"tax": "mail == 'tax'", "law": "mail == 'law'"})
    result = await desk(way, "tax", "law").run({"mail": "x"}, make_options())
    assert result.status == "failed"
    assert "None of its routes can be taken: {'mail': 'x'}" in result.report.failed["way"]


async def test_a_route_keeps_its_own_condition_and_needs(make_options):
    other = Task("other", do=said("other"))
    tax = Task("tax", do=said("tax"), needs=[other], when="mail != 'late'")
    way = Task("way", routes={"tax": "True", "law": "else"})
    crew = Crew([way, other, tax, Task("law", do=said("law"))], inputs=["mail"])
    assert set(crew.plan.jobs["tax"].needs) == {"other", "way"}
    assert (await crew.run({"mail": "x"}, make_options())).outputs["tax"] == "tax"
    late = await crew.run({"mail": "late"}, make_options())
    assert "tax" in late.report.skipped


async def test_two_choosers_may_lead_to_one_task_and_what_is_skipped_chooses_nothing(make_options):
    first = Task("first", routes={"second": "mail == 'b'", "law": "else"})
    second = Task("second", routes={"tax": "mail == 'b'", "law": "else"})
    crew = Crew([first, second, Task("tax", do=said("tax")), Task("law", do=said("law"))], inputs=["mail"])
    assert set((await crew.run({"mail": "x"}, make_options())).outputs) == {"first", "law"}
    assert set((await crew.run({"mail": "b"}, make_options())).outputs) == {"first", "second", "tax"}


@pytest.mark.parametrize(
    ("on_failure", "other", "states"),
    [
        ("skip", True, ("completed", {"tax"}, {"law"})),
        ("continue", True, ("completed", {"tax"}, {"law"})),
        ("continue", False, ("completed", set[str](), {"tax", "law"})),
    ],
)
async def test_a_chooser_that_failed_chooses_nothing_whatever_it_would_have_said(
    make_options, on_failure: Any, other: bool, states: Any
):
    def fail() -> Way:
        raise ValueError("no idea")

    def choose() -> Way:
        return Way(route="tax", confidence=1)

    broken = Task("broken", do=fail, routes=["tax", "law"], on_failure=on_failure)
    sound = [Task("sound", do=choose, routes=["tax", "law"])] if other else []
    routes = [Task(name, do=said(name)) for name in ("tax", "law")]
    result = await Crew([broken, *sound, *routes]).run({}, make_options())
    done = set(result.report.completed) - {"sound"}
    assert (result.status, done, set(result.report.skipped)) == states, result.report


async def test_a_choice_is_made_once_over_restarts(make_options, runs):
    picked = itertools.cycle(["tax", "law"])

    @tool(effects="read")
    def pick() -> str:
        """Pick."""
        return next(picked)

    def crew() -> Crew:
        tax = Task("tax", do=said("tax"), human_input=True)
        law = Task("law", do=said("law"), human_input=True)
        return Crew([Task("way", do=pick, routes=["tax", "law"]), tax, law])

    result = await crew().run({}, make_options())
    assert result.status == "paused"
    again = await crew().resume(result.run_id, make_options())
    assert (again.status, again.outputs["way"]) == ("paused", "tax")
    assert [e.task for e in runs.events(result.run_id, types=("approval.requested",))] == ["tax"]


async def test_a_plan_shows_conditions_and_the_person_at_the_end_of_the_ladder():
    asking = router("tax", fallback=[Ask("Who answers?")])
    ahead = {task.path: task for task in forecast(desk(asking, "tax", "law")).tasks}
    assert ahead["way"].conditions == ["chooses tax; law"]
    assert ahead["way"].people == ["where its work is not accepted: Who answers?"]
    assert ahead["tax"].conditions == ["when way == 'tax'"]


async def test_routes_are_shown_as_needs_and_conditions():
    crew = desk(router("tax"), "tax", "law")
    assert text(crew.plan) == snapshot("""\
way      Router  chooses tax; law
└ tax    say()  after way  when way == 'tax'
└ law    say()  after way  when way == 'law'
  └ end  joined()  after one of tax or law\
""")
    drawn = mermaid(of_plan(crew.plan))
    assert "t_way --> t_tax" in drawn
    assert "way == 'tax'" in drawn
    assert not forecast(crew).notes
    unreachable = Task("tax", do=said("tax"), when="way == 'law'")
    odd = Crew([router("tax"), unreachable, Task("law", do=said("law"))], inputs=["mail"])
    assert any("Task 'tax' can never run" in note for note in forecast(odd).notes)


# What is known besides the output


async def test_conditions_look_at_model_cost_and_time(make_options, runs):
    models = {
        "cheap": Route(ScriptedModel(["short"]), usd=(1, 1)),
        "strong": Route(ScriptedModel(["long"]), usd=(100, 100)),
    }
    draft = Task("draft", "Write.", agent=Agent("Writer", "Write.", model="cheap"))
    checks = {
        "by_route": "meta.draft.route == 'cheap'",
        "by_model": "meta.draft.model == 'scripted' and meta.draft.steps == 1",
        "by_cost": "meta.draft.usd < 0.01 and meta.draft.tokens > 10",
        "dear": "meta.draft.usd >= 0.01",
        "slow": "meta.draft.seconds > 600",
        "unsure": "meta.draft.confidence is not None",
    }
    tasks = [Task(name, do=said(name), needs=[draft], when=when) for name, when in checks.items()]
    result = await Crew([draft, *tasks], models=models).run({}, make_options())
    assert set(result.outputs) == {"draft", "by_route", "by_model", "by_cost"}, result.report
    [ended] = [e for e in runs.events(result.run_id, types=("task.finished",)) if e.task == "draft"]
    assert (ended.data["model"], ended.data["route"]) == ("scripted", "cheap")
    [checked] = [e for e in runs.events(result.run_id, types=("condition.checked",)) if e.task == "by_route"]
    assert checked.data["values"] == {"meta.draft.route": "cheap"}


async def test_a_function_as_a_condition_may_look_at_them_too(make_options):
    seen: list[Any] = []

    def worth(meta: dict[str, Any]) -> bool:
        seen.append(meta)
        return meta["ticket"]["confidence"] == 1.0

    first = Task("ticket", do=read)
    crew = Crew([first, Task("next", do=said("next"), needs=[first], when=worth)], inputs=["mail"])
    assert (await crew.run({"mail": "x"}, make_options())).ok
    assert seen[0]["ticket"] | {"seconds": 0} == {
        "model": None, "route": None, "seconds": 0, "tokens": 0, "usd": 0.0, "steps": 0, "confidence": 1.0,
    }  # fmt: skip


async def test_an_input_named_meta_goes_before(make_options):
    first = Task("ticket", do=read)
    crew = Crew(
        [first, Task("next", do=said("next"), needs=[first], when="meta == 'x'")], inputs=["mail", "meta"]
    )
    assert (await crew.run({"mail": "x", "meta": "x"}, make_options())).ok


async def test_what_did_not_complete_has_no_facts(make_options):
    first = Task("ticket", do=read, when="mail == 'never'", on_failure="continue")
    after = Task("next", do=said("next"), needs=[first], when="meta.ticket is None")
    assert (await Crew([first, after], inputs=["mail"]).run({"mail": "x"}, make_options())).outputs == {
        "next": "next"
    }


# Any combination, against a plain reading of it


@pytest.mark.parametrize("seed", range(4))
async def test_any_chain_of_choices_runs_exactly_what_a_plain_reading_runs(make_options, seed: int):
    """A tree of choices four deep: one leaf is reached, and its path is what the numbers say."""
    numbers = [(seed >> depth) & 1 for depth in range(4)]
    tasks: list[Task[Any]] = []
    expected, reached = set(), "n"
    for depth in range(4):
        for name in ["".join(bits) for bits in itertools.product("01", repeat=depth)]:
            routes = {f"n{name}0": f"d{depth} == 0", f"n{name}1": "else"}
            tasks.append(Task(f"n{name}", routes=routes))
    tasks += [Task(f"n{''.join(bits)}", do=said("leaf")) for bits in itertools.product("01", repeat=4)]
    for number in numbers:
        expected.add(reached)
        reached += str(number)
    crew = Crew(tasks, inputs={f"d{depth}": Input(type=int) for depth in range(4)})
    result = await crew.run({f"d{i}": n for i, n in enumerate(numbers)}, make_options())
    assert set(result.outputs) == expected | {reached}
    assert len(result.report.skipped) == 31 - 5


# Mistakes


def mistake(define: Callable[[], object]) -> str:
    with pytest.raises(DefinitionError) as error:
        define()
    return str(error.value)


def number() -> int:
    return 1


def test_what_cannot_be_a_choice_is_found_before_it_runs():
    tax = Task("tax", do=said("tax"))
    first = Task("ticket", do=read)
    assert mistake(lambda: Crew([Task("way", do=said("tax"), routes=["tex"]), tax])) == snapshot(
        "Task 'way' has the route 'tex', which is not in this crew. Did you mean 'tax'? Tasks: way, tax."
    )
    assert mistake(lambda: Crew([Task("way", do=number, routes=["tax"]), tax])) == snapshot(
        "Task 'way' has routes, so its output names one: a text, or a pydantic model with a field 'route'. It is int."
    )
    assert mistake(lambda: Crew([Task("way", do=said("way"), routes=["way"])])) == snapshot(
        "Task 'way' is a route of itself. To do it again: until=…."
    )
    assert mistake(
        lambda: Crew([Task("way", routes={"tax": "else", "x": "True"}), tax, Task("x", do=number)])
    ) == snapshot("Task 'way': 'else' is the condition of the last route: nothing after it can be chosen.")
    assert mistake(lambda: Crew([Task("way", routes={"tax": "1 +"}), tax])) == snapshot(
        "Task 'way': routes['tax']='1 +' is no condition: it cannot be read: invalid syntax."
    )
    assert mistake(lambda: Crew([Task("way", do=number, routes={"tax": "True"}), tax])) == snapshot(
        "Task 'way' has conditions for its routes, so nobody else chooses: leave out agent and do."
    )
    assert mistake(
        lambda: Crew(
            [first, Task("way", needs=[first], routes={"tax": "ticket.topik == 1"}), tax], inputs=["mail"]
        )
    ) == snapshot(
        "Task 'way': routes['tax']='ticket.topik == 1': there is no `ticket.topik` of Ticket. Did you mean 'topic'? It has: topic, confidence."
    )
    assert mistake(
        lambda: Crew([Task("way", do=said("x"), routes=["tax"]), Task("tax", do=number, when=lambda: True)])
    ) == snapshot(
        "Task 'tax' is a route of 'way' and has a function as its condition (`when`). Write the condition as a text, or let the chooser look at it."
    )
    assert mistake(lambda: Task("way", do=number, routes="tax")) == snapshot(
        "Task 'way': routes='tax' is not a list of tasks. Write routes=[one, other]."
    )
    assert mistake(lambda: Task("way", routes={"tax": 1})) == snapshot(
        "Task 'way': 1 is no condition of a route. Write it as a text."
    )
    assert mistake(
        lambda: Crew(
            [first, Task("tax", do=number, needs=[first], when="meta.ticket.usdd > 1")], inputs=["mail"]
        )
    ) == snapshot(
        "Task 'tax': when='meta.ticket.usdd > 1': there is no `meta.ticket.usdd`. Did you mean 'usd'? It has: model, route, seconds, tokens, usd, steps, confidence."
    )
    assert mistake(
        lambda: Crew(
            [first, Task("tax", do=number, needs=[first], when="meta.mail.usd > 1")], inputs=["mail"]
        )
    ) == snapshot("Task 'tax': when='meta.mail.usd > 1': there is no `meta.mail` of meta. It has: ticket.")
    assert mistake(
        lambda: Crew([Task("a", do=said("b"), routes=["b"]), Task("b", do=said("a"), routes=["a"])])
    ) == snapshot("Tasks wait for each other in a circle: a → b → a. Take one of these needs away.")
