"""Tasks that a model plans: the proposal is checked, approved, recorded and done, and made anew where a task fails."""

# ruff: noqa: E501  messages stand here as people read them

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from inline_snapshot import snapshot
from pydantic import BaseModel

from crewkit import Agent, Crew, DefinitionError, Limits, Planner, Scope, Task, ToolError, tool
from crewkit.coordinator.bus import Bus
from crewkit.core.messages import Message
from crewkit.journal.decide import questions
from crewkit.models.base import Request
from crewkit.models.scripted import Line, ScriptedModel, call


def step(name: str, agent: str, *needs: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "description": f"Do {name}.", "agent": agent, "needs": list(needs), **more}


def plan_of(*steps: dict[str, Any]) -> str:
    return json.dumps({"tasks": list(steps)})


def planning(*lines: Line) -> Agent:
    """A planner who says one line after the other, over all its plans."""
    left = list(lines)
    return Agent("Chief", "Plan.", model=ScriptedModel(lambda _: left.pop(0)))


def worker(role: str, script: Callable[[Request], Line] | None = None, **given: Any) -> Agent:
    def answer(request: Request) -> Line:
        name = request.messages[1].content.split("\n")[0].removeprefix("# Task: ")
        return f"{role} did {name}"

    return Agent(role, f"Be the {role}.", model=ScriptedModel(script or answer), **given)


def crew_of(planner: Planner, **given: Any) -> Crew:
    launch = Task("launch", "Launch {product}.", "A page.", do=planner, **given)
    return Crew([launch], inputs=["product"], name="launching")


PUMP = {"product": "the pump"}
GOOD = plan_of(
    step("facts", "Researcher"), step("risks", "Researcher"), step("page", "Writer", "facts", "risks")
)


def events(runs: Any, run: str, *types: str) -> list[Any]:
    return list(runs.events(run, types=types))


def told(agent: Agent, turn: int = 0) -> str:
    return agent.model.requests[turn].messages[-1].content  # type: ignore[union-attr]


async def test_a_plan_is_made_shown_and_done_each_task_by_its_agent(make_options, runs):
    researcher, writer, chief = worker("Researcher"), worker("Writer"), planning(GOOD)
    result = await crew_of(Planner([researcher, writer], agent=chief)).run(PUMP, make_options())
    assert result.output == "Writer did page"
    [proposed] = events(runs, result.run_id, "plan.proposed")
    assert (proposed.path, proposed.task, proposed.data["by"]) == (
        "launch/plan:1/proposal",
        "launch",
        "Chief",
    )
    assert [task["name"] for task in proposed.data["tasks"]] == ["facts", "risks", "page"]
    done = {e.path: e.agent for e in events(runs, result.run_id, "task.finished")}
    assert done == {
        "launch/plan:1/facts": "Researcher",
        "launch/plan:1/risks": "Researcher",
        "launch/plan:1/page": "Writer",
        "launch": "launch",
    }
    assert "- Writer: Be the Writer. No tools." in told(chief)
    assert "Launch the pump." in told(chief)
    page = told(writer)
    assert "Researcher did facts" in page
    assert "A page." in page


async def test_every_result_comes_from_the_report_of_the_agent_that_the_plan_names(make_options, runs):
    chief = planning(GOOD)
    result = await crew_of(Planner([worker("Researcher"), worker("Writer")], agent=chief)).run(
        PUMP, make_options()
    )
    bus = [e.data for e in events(runs, result.run_id, "message.recorded") if "kind" in e.data]
    reports = {m["thread"]: (m["sender"], m["content"]) for m in bus if m["kind"] == "report"}
    assert reports["launch/plan:1/facts"] == ("Researcher", "Researcher did facts")
    assert reports["launch/plan:1/page"] == ("Writer", "Writer did page")
    assigned = {m["thread"]: m["to"] for m in bus if m["kind"] == "assignment"}
    assert assigned["launch/plan:1/proposal"] == "Chief"


async def test_what_is_never_reported_is_never_a_result(make_options):
    class Lossy(Bus):
        def deliver(self, message: Message, name: str = "") -> None:
            if (message.kind, message.sender) != ("report", "Writer"):
                super().deliver(message, name)

    planner = Planner([worker("Researcher"), worker("Writer")], agent=planning(GOOD), replans=0)
    result = await crew_of(planner).run(PUMP, make_options(bus=Lossy))
    assert "'Writer' ended without a word" in result.report.failed["launch"]


@tool(effects="read")
def look(what: str) -> str:
    """Look."""
    return f"seen {what}"


@pytest.mark.parametrize(
    ("proposal", "problem"),
    [
        (plan_of(step("a", "Nobody")), "tasks.0.agent: Input should be 'Researcher' or 'Writer'"),
        (
            plan_of(step("a", "Writer", "b"), step("b", "Writer", "a"), step("c", "Writer", "a")),
            "Tasks wait for each other in a circle: a → b → a.",
        ),
        (
            plan_of(*(step(f"t{i}", "Writer", *(f"t{j}" for j in range(i))) for i in range(5))),
            "These are 5 tasks; 4 is the most. Put some together.",
        ),
        (
            plan_of(step("a", "Writer", "fatcs"), step("facts", "Writer")),
            "'a' needs 'fatcs', which is neither a task of the plan nor a result that there is. Did you mean 'facts'? There are: facts.",
        ),
        (plan_of(step("a", "Writer"), step("a", "Writer")), "The name 'a' is taken."),
        (plan_of(step("product", "Writer")), "The name 'product' is taken."),
        (plan_of(step("1st", "Writer")), "'1st' is no name"),
        (
            plan_of(step("a", "Writer"), step("b", "Writer")),
            "a and b all stand at the end. Let one last task make the whole result: it needs them.",
        ),
        (
            plan_of(step("a", "Writer", tools=["look"])),
            "'a': Writer does not have the tool 'look'. It has: none.",
        ),
        ("no plan", "Your answer is not JSON"),
        (plan_of(), "tasks: List should have at least 1 item"),
    ],
)
async def test_a_wrong_plan_goes_back_with_what_is_wrong(make_options, runs, proposal, problem):
    chief = planning(proposal, plan_of(step("page", "Writer")))
    planner = Planner([worker("Researcher", tools=[look]), worker("Writer")], agent=chief, tasks=4)
    result = await crew_of(planner).run(PUMP, make_options())
    assert result.output == "Writer did page"
    assert problem in told(chief, 1)
    assert len(events(runs, result.run_id, "plan.proposed")) == 1


async def test_a_planner_who_never_makes_a_right_plan_fails_the_task_and_nothing_is_done(make_options, runs):
    chief = planning(*[plan_of(step("a", "Nobody"))] * 9)
    result = await crew_of(Planner([worker("Writer")], agent=chief), revisions=2).run(PUMP, make_options())
    assert "sent back 2 times" in result.report.failed["launch"]
    assert [e.path for e in events(runs, result.run_id, "task.started")] == ["launch"]


async def test_a_plan_that_cannot_fit_into_what_is_left_goes_back(make_options):
    chief = planning(GOOD, plan_of(step("page", "Writer")))
    planner = Planner(
        [worker("Researcher", max_tokens=4_000), worker("Writer", max_tokens=4_000)], agent=chief
    )
    result = await Crew(
        [Task("launch", "Launch {product}.", do=planner)], inputs=["product"], limits=Limits(tokens=9_000)
    ).run(PUMP, make_options())
    assert result.output == "Writer did page"
    assert "The answers alone may take 12,000 tokens, and 9,000 are left. Plan fewer tasks." in told(chief, 1)


async def test_scopes_of_the_crew_the_task_the_agent_and_the_plan_intersect(make_options, runs):
    @tool(effects="read")
    def listen(what: str) -> str:
        """Listen."""
        return f"heard {what}"

    @tool(effects="read")
    def smell(what: str) -> str:
        """Smell."""
        return f"smelt {what}"

    def script(request: Request) -> Line:
        if request.turn == 0:
            return [call(name, what="it") for name in ("look", "listen", "smell")]
        return "Done."

    chief = planning(plan_of(step("page", "Writer", tools=["look", "listen"])))
    writer = worker("Writer", script, tools=[look, listen, smell])
    launch = Task("launch", "Launch.", do=Planner([writer], agent=chief), scope=Scope("look", "smell"))
    result = await Crew([launch]).run({}, make_options())
    assert result.ok, result.why
    checked = {e.data["tool"]: e.data["verdict"] for e in events(runs, result.run_id, "tool.checked")}
    assert checked == {"look": "allow", "listen": "deny", "smell": "deny"}


# Approval


async def test_a_person_approves_a_plan_before_anything_of_it_is_done(make_options, runs, decide):
    chief = planning(GOOD, plan_of(step("page", "Writer")))
    crew = crew_of(
        Planner([worker("Researcher"), worker("Writer")], agent=chief, approval="Is this a good plan?")
    )
    paused = await crew.run(PUMP, make_options())
    [question] = questions(runs, paused.run_id)
    assert question.question == "Is this a good plan?"
    assert [task["name"] for task in question.output["tasks"]] == ["facts", "risks", "page"]
    assert [e.path for e in events(runs, paused.run_id, "task.started")] == ["launch"]
    decide(paused.run_id, "deny", "One task is enough.")
    paused = await crew.resume(paused.run_id, make_options())
    assert "One task is enough." in told(chief, 1)
    decide(paused.run_id)
    result = await crew.resume(paused.run_id, make_options())
    assert result.output == "Writer did page"
    assert len(events(runs, result.run_id, "plan.proposed")) == 1


# Again


def failing(*names: str) -> Callable[[Request], Line]:
    def script(request: Request) -> Line:
        name = request.messages[1].content.split("\n")[0].removeprefix("# Task: ")
        return ToolError("It is down.") if name in names else f"Researcher did {name}"

    return script


async def test_a_new_plan_is_made_after_a_failure_and_what_is_done_is_kept(make_options, runs):
    again = plan_of(step("other", "Researcher"), step("page", "Writer", "facts", "other"))
    chief = planning(GOOD, again)
    researcher, writer = worker("Researcher", failing("risks")), worker("Writer")
    result = await crew_of(Planner([researcher, writer], agent=chief)).run(PUMP, make_options())
    assert result.output == "Writer did page"
    [failed] = events(runs, result.run_id, "plan.failed")
    assert (failed.data["kept"], list(failed.data["failed"])) == (["facts"], ["risks"])
    _, second = events(runs, result.run_id, "plan.proposed")
    assert (second.path, second.data["kept"]) == ("launch/plan:2/proposal", ["facts"])
    assert "'facts' is done" in told(chief, 1)
    assert "'risks' failed: " in told(chief, 1)
    assert "Researcher did facts" in told(writer)
    done = [e.path for e in events(runs, result.run_id, "task.finished") if e.data["status"] == "completed"]
    assert done.count("launch/plan:1/facts") == 1
    assert "launch/plan:2/facts" not in done


async def test_plans_are_made_anew_so_often_and_no_more(make_options, runs):
    bad = plan_of(step("risks", "Researcher"))
    chief = planning(*[bad] * 9)
    planner = Planner([worker("Researcher", failing("risks"))], agent=chief, replans=2)
    result = await crew_of(planner).run(PUMP, make_options())
    assert len(events(runs, result.run_id, "plan.proposed")) == 3
    assert "Task 'risks' of crew 'plan of launch' failed" in result.report.failed["launch"]


async def test_a_limit_is_no_reason_for_another_plan(make_options, runs):
    chief = planning(plan_of(step("page", "Writer")))
    writer = worker("Writer", limits=Limits(tokens=10))
    result = await crew_of(Planner([writer], agent=chief, replans=3)).run(PUMP, make_options())
    assert result.status == "limit"
    assert len(events(runs, result.run_id, "plan.proposed")) == 1


async def test_a_failed_plan_is_carried_on_by_a_resume_without_another_plan(make_options, runs):
    down = ["risks"]

    def flaky(request: Request) -> Line:
        return failing(*down)(request)

    chief = planning(GOOD)
    planner = Planner([worker("Researcher", flaky), worker("Writer")], agent=chief, replans=0)
    crew = crew_of(planner)
    failed = await crew.run(PUMP, make_options())
    assert failed.status == "failed"
    down.clear()
    result = await crew.resume(failed.run_id, make_options())
    assert result.output == "Writer did page"
    assert len(events(runs, result.run_id, "plan.proposed")) == 1


async def test_a_fork_in_a_plan_does_again_what_builds_on_it_and_one_at_the_planner_all(make_options, runs):
    researcher, writer, chief = worker("Researcher"), worker("Writer"), planning(GOOD, GOOD)
    crew = crew_of(Planner([researcher, writer], agent=chief))
    first = await crew.run(PUMP, make_options())

    def asked() -> list[int]:
        return [len(each.model.requests) for each in (chief, researcher, writer)]  # type: ignore[union-attr]

    assert asked() == [1, 2, 1]
    fork = await crew.fork(first.run_id, "launch/plan:1/facts", options=make_options())
    assert (fork.output, asked()) == (first.output, [1, 3, 2])
    fork = await crew.fork(first.run_id, "launch/plan:1/proposal/1", options=make_options())
    assert (fork.output, asked()) == (first.output, [2, 5, 3])


class Page(BaseModel):
    title: str


async def test_the_last_task_makes_what_the_whole_one_promises(make_options):
    def titled(page: Page) -> str | None:
        return None if page.title == "Pump" else "Call it Pump."

    titles = iter(['{"title": "Hose"}', '{"title": "Pump"}'])
    writer = worker("Writer", lambda _: next(titles))
    chief = planning(plan_of(step("facts", "Researcher"), step("page", "Writer", "facts")))
    planner = Planner([worker("Researcher"), writer], agent=chief)
    task = Task("launch", "Launch.", do=planner, output_type=Page, guardrails=[titled])
    result = await Crew([task]).run({}, make_options())
    assert result[task] == Page(title="Pump")
    assert "Call it Pump." in told(writer, 1)


async def test_braces_in_a_plan_stand_for_themselves(make_options):
    writer = worker("Writer")
    chief = planning(plan_of({**step("page", "Writer"), "description": "Write {{a}}, {b} and {product}."}))
    result = await crew_of(Planner([writer], agent=chief)).run(PUMP, make_options())
    assert result.ok, result.why
    assert "Write {a}, {b} and {product}." in told(writer)


async def test_the_offline_model_plans_something_that_can_be_done(make_options, runs):
    notes = "The pump costs 90 euro. Its risk is the seal."
    researcher = Agent("Researcher", "Find what the notes say.")
    writer = Agent("Writer", "Write it down.")
    task = Task("launch", "Say what the pump costs.", "Two lines.", do=Planner([researcher, writer]))
    result = await Crew([task], inputs=["notes"]).run({"notes": notes}, make_options())
    assert result.ok, result.why
    [proposed] = events(runs, result.run_id, "plan.proposed")
    assert [(t["name"], t["agent"], t["needs"]) for t in proposed.data["tasks"]] == [
        ("researcher", "Researcher", []),
        ("writer", "Writer", ["researcher"]),
    ]
    assert "90 euro" in str(result.output)


# Definitions

W = Agent("W", "Be W.")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Planner([]),
            snapshot(
                "Planner() has nobody to give tasks to. Name its agents: Planner([researcher, writer])."
            ),
        ),
        (lambda: Planner([W, W]), snapshot("Planner of W, W: 'W' is in it twice.")),
        (lambda: Planner([W], tasks=0), snapshot("Planner of W: tasks=0 is not a number, 1 at least.")),
        (
            lambda: Planner([W], replans=-1),
            snapshot("Planner of W: replans=-1 is not a number. Write 0 for none."),
        ),
        (
            lambda: Crew([Task("launch", do=Planner([W]))]),
            snapshot("Task 'launch' has no description. Say what its plan is to reach."),
        ),
    ],
)
def test_mistakes_are_found_before_anything_runs(make: Callable[[], Any], message: str):
    with pytest.raises(DefinitionError) as error:
        make()
    assert str(error.value) == message
