import json
from typing import Literal

from pydantic import BaseModel

from crewkit import (
    Agent,
    Ask,
    Capable,
    Crew,
    Grant,
    Input,
    Limits,
    Route,
    Scope,
    Task,
    any_of,
    ask_colleague,
    tool,
)
from crewkit.preview.forecast import forecast


class Kind(BaseModel):
    topic: Literal["tax", "loan"]


def sort(topic: str) -> Kind:
    return Kind(topic="tax")


def f() -> str:
    return ""


@tool(effects=["write", "financial"])
def pay(to: str) -> str:
    """Pay somebody."""
    return to


def by_path(crew: Crew, model=None):
    return {task.path: task for task in forecast(crew, model).tasks}


def test_calls_tokens_and_money_are_those_of_the_caps():
    agent = Agent("A", "Work.", max_tokens=1_000, limits=Limits(steps=4))
    dear = {"big": Route("offline", usd=(1, 50)), "small": Route("offline", usd=(1, 2))}
    crew = Crew(
        [
            Task("own", "Do it.", agent=agent, limits=Limits(steps=10), model="small"),
            Task("again", "Do it.", agent=agent, until="again == 'x'", iterations=3, model=Capable()),
            Task(
                "free",
                "Do it.",
                agent=Agent("B", "Work.", limits=Limits(steps=None)),
                limits=Limits(steps=None),
            ),
            Task("sub", do=Crew([Task("in", "Do it.", agent=agent)]), until="sub == 'x'", iterations=5),
        ],
        models=dear,
    )
    ahead = by_path(crew, "openai/gpt-5-mini")
    assert (ahead["own"].calls, ahead["own"].answer_tokens, ahead["own"].usd) == (4, 4_000, 0.008)
    assert (ahead["again"].calls, ahead["again"].usd) == (12, 0.6)
    assert (ahead["free"].calls, ahead["free"].usd) == (None, None)
    assert (ahead["sub/in"].iterations, ahead["sub/in"].calls) == (5, 20)
    assert 0 < ahead["sub/in"].usd < 1


def test_order_width_and_the_longest_chain():
    crew = Crew(
        [Task("a", do=f), Task("b", do=f), Task("c", do=f, needs=["a"]), Task("d", do=f, needs=["c", "b"])]
    )
    ahead = forecast(crew)
    assert (ahead.widest, ahead.longest) == (2, ["a", "c", "d"])
    assert [task.step for task in ahead.tasks] == [0, 0, 1, 2]


def test_routes_that_exclude_each_other_are_neither_at_work_nor_paid_for_together():
    agent, dear = Agent("A", "Work.", limits=Limits(steps=3)), Agent("B", "Work.", limits=Limits(steps=7))
    way = Task("way", do=sort)
    tax = Task("tax", "Do it.", agent=agent, needs=[way], when="way.topic == 'tax'")
    loan = Task("loan", "Do it.", agent=dear, needs=[way], when="way.topic == 'loan'")
    rest = Task("rest", "Do it.", agent=dear, needs=[way], when="way.topic not in ('tax', 'loan')")
    after = Task("after", "Do it.", agent=agent, needs=[loan])
    ahead = forecast(Crew([way, tax, loan, rest, after], inputs=["topic"]))
    assert (ahead.widest, ahead.worst["calls"]) == (1, 10)
    named = Task("named", "Do it.", agent=agent, needs=[way], when="way.topic in ('loan', topic)")
    assert forecast(Crew([way, tax, named], inputs=["topic"])).widest == 2
    free = Task("free", "Do it.", agent=agent, needs=[way])
    ahead = forecast(Crew([way, tax, loan, rest, after, free], inputs=["topic"]))
    assert (ahead.widest, ahead.worst["calls"]) == (2, 13)


def test_tasks_of_different_steps_may_be_under_way_together():
    slow = [Task(f"s{i}", do=f, needs=["a"]) for i in range(3)]
    late = [Task(f"l{i}", do=f, needs=["c"]) for i in range(3)]
    crew = Crew([Task("a", do=f), Task("b", do=f), Task("c", do=f, needs=["b"]), *slow, *late])
    assert forecast(crew).widest == 6


def test_the_worst_case_has_the_rungs_of_a_ladder_and_the_colleagues_who_are_asked():
    few = Limits(steps=4)
    other = Agent("B", "Work.")
    asking = Agent("A", "Work.", tools=[ask_colleague])
    climbed = Task("climbed", "Do it.", agent=other, limits=few, fallback=["offline", asking, Ask("Good?")])
    asked = Task("asked", "Do it.", agent=asking, limits=few)
    ahead = by_path(Crew([climbed, asked], limits=Limits(rounds=2)))
    assert ahead["climbed"].calls == 12
    assert ahead["asked"].calls == 4 + 2 * 5 * 2, (
        "the other agent and the coordinator, five turns in each round"
    )
    items = Task("items", "Do it.", agent=other, for_each="rows")
    assert forecast(Crew([items], inputs={"rows": Input(type=list)})).worst["calls"] is None


def test_who_goes_on_without_a_task_is_told_to_take_none():
    def either(tax: str, loan: str | None) -> str:
        return tax or loan or ""

    way = Task("way", do=sort)
    tax = Task("tax", do=f, needs=[way], when="way.topic == 'tax'")
    loan = Task("loan", do=f, needs=[way], when="way.topic == 'loan'")
    join = Task("join", do=either, needs=[any_of(tax, loan)])
    said = (
        "Task 'join' may go on without 'tax'; 'tax' is then None, and is annotated as str. Write str | None."
    )
    assert forecast(Crew([way, tax, loan, join], inputs=["topic"])).notes == [said]
    assert forecast(Crew([way, tax, loan, Task("end", do=f, needs=[tax])], inputs=["topic"])).notes == []


def test_effects_and_people_are_named():
    asked = Agent("A", "Work.", tools=[pay])
    never = Agent("B", "Work.", tools=[pay], scope=Scope(Grant("pay", approval="never")))
    crew = Crew([Task("one", "Do it.", agent=asked, human_input="Good?"), Task("two", "Do it.", agent=never)])
    ahead = by_path(crew)
    assert ahead["one"].effects == ["financial", "write"]
    assert ahead["one"].people == ["before each call of pay", "about its output: Good?"]
    assert ahead["two"].people == ["never for pay, which may write and financial"]


def notes(*tasks: Task) -> list[str]:
    return forecast(Crew([Task("kind", do=sort), *tasks], inputs=["topic"])).notes


def test_what_can_never_run_is_named():
    tax = Task("tax", do=f, needs=["kind"], when="kind.topic == 'tax'")
    loan = Task("loan", do=f, needs=["kind"], when="kind.topic in ('loan', 'credit') and topic != ''")
    assert notes(tax, loan, Task("one", do=f, needs=[any_of(tax, loan)])) == []
    assert notes(tax, loan, Task("both", do=f, needs=[tax, loan])) == [
        "Task 'both' can never run: what it needs wants kind.topic to be different things at once."
    ]
    assert notes(Task("other", do=f, needs=["kind"], when="kind.topic == 'house'")) == [
        "Task 'other' can never run: kind.topic is one of 'loan', 'tax', and its condition wants 'house'."
    ]


def test_a_task_that_speaks_of_another_without_waiting_for_it_is_named():
    agent = Agent("A", "Work.")
    draft = Task("draft", "Write a draft; the review comes after it.", agent=agent)
    good = Task("review", "Review the draft.", agent=agent, needs=[draft])
    assert forecast(Crew([draft, good])).notes == []
    bad = Task("summary", "Sum up the review and every draft-like thing.", agent=agent)
    assert forecast(Crew([draft, good, bad])).notes == [
        "The description of 'summary' speaks of 'review', which it does not wait for. "
        "If it builds on it: needs=['review']."
    ]


def test_the_command_prints_it_for_people_and_as_data(tmp_path):
    import os
    import subprocess
    import sys

    (tmp_path / "crew.py").write_text(
        "from crewkit import *\n"
        "agent = Agent('A', 'Work.')\n"
        "crew = Crew([Task('a', 'Do it.', agent=agent), Task('b', 'Build on a.', agent=agent)])\n"
    )
    command = [sys.executable, "-m", "crewkit.cli.main", "plan", "crew.py"]
    env = {**os.environ, "NO_COLOR": "1"}
    said = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True).stdout
    assert "crew 'crew': 2 tasks, 2 at a time at most" in said
    assert "offline: 25 calls at most" in said
    assert "note: The description of 'b' speaks of 'a'" in said
    data = json.loads(
        subprocess.run([*command, "--json"], cwd=tmp_path, env=env, capture_output=True, check=True).stdout
    )
    assert [task["path"] for task in data["tasks"]] == ["a", "b"]


def reading_about_customers(approval: str) -> Crew:
    @tool(effects="read")
    def inbox() -> str:
        """Read mails."""
        return ""

    @tool(effects="read", trusted=True, sensitive=True)
    def customers() -> str:
        """Look customers up."""
        return ""

    scope = Scope("inbox", "customers", Grant("pay", approval, where={"required": ["to"]}, max_calls=2))
    agent = Agent("Clerk", "Work.", tools=[inbox, customers, pay], scope=scope)
    return Crew([Task("t", "Answer.", agent=agent)])


def test_untrusted_text_sensitive_data_and_effects_in_one_agents_hands_are_warned_of():
    [note] = forecast(reading_about_customers("never")).notes
    assert "Agent 'Clerk' reads what is not trusted (inbox), sees what is sensitive (customers)" in note
    assert "has effects (pay)" in note
    assert "Nobody is asked before pay." in note
    [note] = forecast(reading_about_customers("effects")).notes
    assert "A person is asked before the last." in note
    inner = Crew([Task("nested", do=reading_about_customers("never"))])
    assert len(forecast(inner).notes) == 1


def test_two_of_the_three_are_no_trouble():
    agent = Agent("Clerk", "Work.", tools=[pay], scope=Scope(Grant("pay", "never")))
    assert forecast(Crew([Task("t", "Pay.", agent=agent)])).notes == []


def test_a_plan_says_how_far_each_grant_goes():
    [task] = forecast(reading_about_customers("tainted")).tasks
    assert task.narrowed == {"pay": ['where {"required":["to"]}', "2 calls in a run at most (agent Clerk)"]}
    assert task.people == ["before a call of pay that is not all in the words of the user or the crew"]
