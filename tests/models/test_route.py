from datetime import UTC, datetime, timedelta

import pytest

from crewkit import Agent, Crew, Limits, Task, tool
from crewkit.core.messages import ChatMessage
from crewkit.crew.options import Options
from crewkit.errors import DefinitionError, ModelError
from crewkit.journal.sqlite import SqliteJournal
from crewkit.models.base import Answer, Request, Usage, Watch
from crewkit.models.resolve import resolve
from crewkit.models.route import Capable, Health, Route, Routed
from crewkit.models.scripted import ScriptedModel

ASKED = Request((ChatMessage("user", "How high is the tide?"),), max_tokens=1000)


class Clock:
    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


def says(name: str) -> ScriptedModel:
    return ScriptedModel(lambda _: Answer(f"{name} says", usage=Usage(1000, 1000)), name=name)


def broken(name: str) -> ScriptedModel:
    return ScriptedModel(lambda _: ModelError(f"{name} is down", retryable=True), name=name)


def routed(routes: dict[str, Route], spec: object = Capable(), health: Health | None = None) -> Routed:
    model = resolve(spec, environ={}, offline=lambda: says("offline"), routes=routes, health=health)  # type: ignore[arg-type]
    assert isinstance(model, Routed)
    return model


TABLE = {
    "big": Route(says("big"), capabilities=["strong", "tools"], usd=(10, 40), latency=9, context=200_000),
    "small": Route(says("small"), capabilities=["tools"], usd=(1, 4), latency=2, context=8_000),
    "quick": Route(says("quick"), capabilities=["json"], usd=(2, 8), latency=0.5),
}


@pytest.mark.parametrize(
    ("need", "order"),
    [
        (Capable(), ["big", "small", "quick"]),
        (Capable(prefer="cheap"), ["small", "quick", "big"]),
        (Capable(prefer="fast"), ["quick", "small", "big"]),
        (Capable("strong"), ["big"]),
        (Capable("tools", prefer="cheap"), ["small", "big"]),
        (Capable("small"), ["small"]),
        (Capable(context=100_000, prefer="cheap"), ["quick", "big"]),
    ],
)
def test_a_need_is_met_by_the_routes_that_can_in_the_order_it_prefers(need: Capable, order: list[str]):
    choice = routed(TABLE, need).choose(ASKED, 100, None)
    assert [each.name for each in choice.order] == order


def test_what_cannot_take_the_request_is_left_out_and_what_is_too_dear_comes_last():
    choice = routed(TABLE, Capable()).choose(ASKED, 50_000, 0.2)
    assert [each.name for each in choice.order] == ["quick", "big"]
    why = {each["route"]: each["why"] for each in choice.to_data()["considered"]}
    assert why["small"] == "left out: 51,000 tokens do not fit into its 8,000"
    assert why["big"] == "last: it may cost 0.5400 of 0.2000 usd left"
    assert why["quick"].startswith("first:")


async def test_a_route_is_asked_by_its_name_and_its_fallbacks_after_it():
    routes = {"a": Route(broken("x"), fallback=["b"]), "b": Route(broken("y"), fallback=["c", "a"])}
    routes["c"] = Route(says("z"), usd=(1_000, 2_000))
    told: list[dict[str, object]] = []
    model = routed(routes, "a")
    answer = await model.answer(ASKED, Watch(event=lambda _, data: told.append(data)))
    assert (answer.content, answer.route, answer.usd) == ("z says", "c", 3.0)
    assert [data["route"] for data in told] == ["a", "b"]


async def test_a_route_that_keeps_failing_is_put_last_for_a_while():
    clock = Clock()
    model = routed({"a": Route(broken("x")), "b": Route(says("y"))}, Capable(), Health(clock))
    for order in (["a", "b"], ["a", "b"], ["b", "a"]):
        assert [each.name for each in model.choose(ASKED, 10, None).order] == order
        await model.answer(ASKED, Watch())
    assert model.choose(ASKED, 10, None).why[0] == {"route": "a", "why": "last: 2 failures"}
    await clock.sleep(61)
    assert [each.name for each in model.choose(ASKED, 10, None).order] == ["a", "b"]


async def test_where_no_route_answers_all_reasons_are_given():
    with pytest.raises(ModelError, match=r"(?s)None of the 2 models.*x is down.*y is down") as caught:
        await routed({"a": Route(broken("x")), "b": Route(broken("y"))}).answer(ASKED, Watch())
    assert caught.value.retryable


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ({"a/b": Route("offline")}, "cannot be a route's name"),
        ({"offline": Route("offline")}, "cannot be a route's name"),
        ({"a": "offline"}, "not a Route"),
        ({"cheap": Route("offline", fallback=["chep"]), "chap": Route("offline")}, "falls back on 'chep'"),
    ],
)
def test_a_table_that_cannot_work_is_refused(models: dict[str, Route], said: str):
    with pytest.raises(DefinitionError, match=said):
        Crew([Task("t", "Do it.", agent=Agent("A", "Work."))], models=models)


def test_a_need_that_nothing_meets_says_what_each_route_lacks():
    with pytest.raises(
        DefinitionError, match=r"a model for vision and strong.*small: it is not known for vision"
    ):
        routed(TABLE, Capable("vision", "strong"))
    with pytest.raises(DefinitionError, match="The table is empty"):
        routed({}, Capable("vision"))


@tool(effects="read")
def look(what: str) -> str:
    """Look at something."""
    return f"{what} is fine"


def journal_of(tmp_path) -> SqliteJournal:
    return SqliteJournal(tmp_path / "journal.db")


def begun(journal: SqliteJournal, run: str) -> list[dict]:
    return [event.data for event in journal.events(run, types=("model.started",))]


async def test_every_choice_stands_in_the_transcript_with_its_reasons(tmp_path):
    agent = Agent("A", "Work.", model=Capable("strong", prefer="cheap"))
    cheap = Task("cheap", "Do it.", agent=agent, model="small")
    strong = Task("strong", "Do it.", agent=agent)
    crew = Crew([cheap, strong], models=TABLE, limits=Limits(usd=1))
    with journal_of(tmp_path) as journal:
        result = await crew.run(options=Options(journal=journal))
        assert (result[cheap], result[strong]) == ("small says", "big says")
        routes = {data["route"]["asked"]: data["route"]["order"] for data in begun(journal, result.run_id)}
        assert routes == {"small": ["small"], "a model for strong, cheap first": ["big"]}
        finished = list(journal.events(result.run_id, types=("model.finished",)))
        assert {event.data["route"] for event in finished} == {"small", "big"}
        assert sum(event.data["usd"] for event in finished) == pytest.approx(0.055)


async def test_what_is_left_of_the_budget_decides(tmp_path):
    models = {"dear": Route(says("dear"), usd=(100, 400)), "cheap": Route(says("cheap"), usd=(1, 1))}
    tasks = [
        Task(name, "Do it.", agent=Agent("A", "Work.", model=Capable(), max_tokens=1000)) for name in "ab"
    ]
    crew = Crew(
        [tasks[0], Task("b", "Do it.", agent=tasks[1].agent, needs=["a"])],
        models=models,
        limits=Limits(usd=0.8),
    )
    with journal_of(tmp_path) as journal:
        result = await crew.run(options=Options(journal=journal))
        assert (result.outputs["a"], result.outputs["b"]) == ("dear says", "cheap says")


async def test_failures_of_earlier_runs_are_known(tmp_path):
    models = {"a": Route(broken("x"), retries=0), "b": Route(says("y"))}
    crew = Crew([Task("t", "Do it.", agent=Agent("A", "Work.", model=Capable()))], models=models)
    with journal_of(tmp_path) as journal:
        for order in (["a", "b"], ["a", "b"], ["b", "a"]):
            result = await crew.run(options=Options(journal=journal))
            assert begun(journal, result.run_id)[0]["route"]["order"] == order


async def test_a_resumed_run_keeps_the_route_that_a_step_began_with(tmp_path):

    class Dying(ScriptedModel):
        async def answer(self, request: Request, watch: Watch) -> Answer:
            raise SystemError("the process dies here")

    crew = Crew(
        [Task("t", "Do it.", agent=Agent("A", "Work.", model=Capable(prefer="cheap")))],
        models={"a": Route(Dying([]), usd=(1, 1)), "b": Route(says("y"), usd=(2, 2))},
    )
    again = Crew(
        [Task("t", "Do it.", agent=Agent("A", "Work.", model=Capable(prefer="cheap")))],
        models={"a": Route(says("x"), usd=(3, 3)), "b": Route(says("y"), usd=(2, 2))},
    )
    with journal_of(tmp_path) as journal:
        result = await crew.run(options=Options(journal=journal))
        assert result.status == "failed"
        result = await again.resume(result.run_id, Options(journal=journal))
        assert result.outputs["t"] == "x says"
        assert [data["route"]["order"] for data in begun(journal, result.run_id)] == [["a", "b"]] * 2
