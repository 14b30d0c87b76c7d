"""A mistake in a definition is found before anything runs, and says what, where and what was probably meant."""

# ruff: noqa: E501  messages stand here as people read them

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, cast

import pytest
from inline_snapshot import snapshot

from crewkit import (
    Agent,
    Ask,
    Breaker,
    Capable,
    Conversation,
    Crew,
    DefinitionError,
    Grant,
    Input,
    InputError,
    Limits,
    Planner,
    Retry,
    Route,
    Scope,
    Task,
    ToolContext,
    Window,
    tool,
)
from crewkit.models.scripted import ScriptedModel, call


@tool(effects="read")
def search(query: str) -> str:
    """Search the web."""
    return query


@tool(effects="external")
def publish(text: str) -> str:
    """Publish a text."""
    return text


editor = Agent("Editor", "Edit texts.", tools=[search])


def task(name: str, description: str = "Write.", agent: Agent | None = editor, **rest: Any) -> Task[Any]:
    return Task(name, description, agent=agent, **rest)


def mistake(define: Callable[[], object]) -> str:
    with pytest.raises(DefinitionError) as error:
        define()
    return str(error.value)


# The graph


def test_a_circle_is_shown():
    tasks = [task("a", needs=["c"]), task("b", needs=["a"]), task("c", needs=["b"]), task("d")]
    assert mistake(lambda: Crew(tasks)) == snapshot(
        "Tasks wait for each other in a circle: a → c → b → a. Take one of these needs away."
    )


def test_a_circle_through_context_is_shown():
    tasks = [task("a", context=["b"]), task("b", needs=["a"])]
    assert mistake(lambda: Crew(tasks)) == snapshot(
        "Tasks wait for each other in a circle: a → b → a. Take one of these needs away."
    )


def test_a_misspelt_need_is_told_the_near_name():
    tasks = [task("research"), task("draft", needs=["reserch"])]
    assert mistake(lambda: Crew(tasks)) == snapshot(
        "Task 'draft' needs 'reserch', which is not in this crew. Did you mean 'research'? Tasks: research, draft."
    )


def test_a_need_that_is_near_nothing_is_told_what_there_is():
    assert mistake(lambda: Crew([task("draft", needs=["zzz"])])) == snapshot(
        "Task 'draft' needs 'zzz', which is not in this crew. Tasks: draft."
    )


def test_a_task_that_was_left_out_of_the_crew_is_named():
    news = task("news")
    assert mistake(lambda: Crew([task("draft", needs=[news])])) == snapshot(
        "Task 'draft' needs 'news', which is not in this crew. Tasks: draft."
    )


def test_a_task_of_another_crew_is_not_taken_for_the_one_of_its_name():
    other = task("news")
    assert mistake(lambda: Crew([task("news"), task("draft", needs=[other])])) == snapshot(
        "Task 'draft' needs another task 'news' than the one in this crew."
    )


def test_needs_written_as_a_text_is_no_list_of_letters():
    assert mistake(lambda: task("draft", needs="news")) == snapshot(
        "Task 'draft': needs='news' is not a list. Write needs=[…]."
    )


def test_a_need_that_is_neither_a_task_nor_a_name_is_refused():
    assert mistake(lambda: task("draft", needs=[editor])) == snapshot(
        "Task 'draft' needs Agent(role='Editor', goal='Edit texts.', backstory='', tools, which is neither a task nor the name of one."
    )


def test_two_tasks_of_one_name_are_refused():
    assert mistake(lambda: Crew([task("draft"), task("draft")])) == snapshot(
        "Crew 'crew' has two tasks named 'draft'. Rename one."
    )


def test_a_crew_without_tasks_is_refused():
    assert mistake(lambda: Crew([])) == snapshot(
        "Crew 'crew' has no tasks. Give it at least one: Crew([Task(…)])."
    )


def test_what_is_no_task_is_told_how_to_become_one():
    tasks: Any = [editor]
    assert mistake(lambda: Crew(tasks)) == snapshot(
        "Crew 'crew': one of its tasks is none, but of type Agent. Write Task(name, …), with do=… for a function or a crew."
    )


# Placeholders


@pytest.mark.parametrize(
    "crew",
    [
        lambda: Crew([task("draft", "Write about {topc}.")], inputs=["topic"]),
        lambda: Crew([Task("draft", "Write.", "A page about {topc}.", editor)], inputs=["topic"]),
        lambda: Crew([task("draft", agent=Agent("Writer", "Know {topc}."))], inputs=["topic"]),
        lambda: Crew([task("draft", agent=Agent("Writer", "Write.", "{topc}!"))], inputs=["topic"]),
        lambda: Crew([task("draft")], agents=[Agent("Idle", "Know {topc}.")], inputs=["topic"]),
    ],
)
def test_an_undeclared_placeholder_is_found_in_every_text(crew: Callable[[], Crew]):
    said = mistake(crew)
    assert "{topc}" in said
    assert "Did you mean 'topic'?" in said


def test_an_undeclared_placeholder_is_told_how_to_be_declared():
    assert mistake(lambda: Crew([task("draft", "Write about {topic}.")])) == snapshot(
        "Task 'draft' uses {topic}, which is not an input of the crew. Declare it: Crew(…, inputs=['topic']), or write {{topic}} to have it stand there as it is."
    )
    assert mistake(lambda: Crew([task("draft", "On {topc}.")], inputs=["topic"])) == snapshot(
        "Task 'draft' uses {topc}, which is not an input of the crew. Did you mean 'topic'? Inputs: topic. Declare it: Crew(…, inputs=['topc']), or write {{topc}} to have it stand there as it is."
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Write {{topic}} as it is.", "Write {topic} as it is."),
        ("On {topic}, in {{braces}}.", "On tides, in {braces}."),
        ('Answer {"topic": 1, "of": {"a": []}}.', 'Answer {"topic": 1, "of": {"a": []}}.'),
        ("An empty {} and a lone { or }.", "An empty {} and a lone { or }."),
        ("f(x) = {x | x > 0}", "f(x) = {x | x > 0}"),
    ],
)
async def test_literal_braces_reach_the_agent(make_options, text: str, told: str):
    model = ScriptedModel(["Done."])
    crew = Crew([task("draft", text)], inputs=["topic"], model=model)
    assert (await crew.run({"topic": "tides"}, make_options())).ok
    assert told in model.requests[0].messages[1].content


async def test_an_input_that_looks_like_a_placeholder_is_not_filled_again(make_options):
    model = ScriptedModel(["Done."])
    crew = Crew([task("draft", "On {a}.")], inputs=["a", "b"], model=model)
    await crew.run({"a": "{b} and {{b}}", "b": "secret"}, make_options())
    assert "On {b} and {{b}}." in model.requests[0].messages[1].content


# Who does it


def test_a_task_that_no_one_can_do_is_refused():
    assert mistake(lambda: Crew([task("draft", agent=None)])) == snapshot(
        "Task 'draft' has no one to do it: give it an agent or a function (`do`), or list the crew's agents."
    )


def test_an_agent_and_a_function_are_one_too_many():
    assert mistake(lambda: task("draft", do=search)) == snapshot(
        "Task 'draft' has an agent and a function (`do`). Keep one: who does it?"
    )


def test_two_agents_of_one_role_are_refused():
    tasks = [task("a"), task("b", agent=Agent("Editor", "Something else."))]
    assert mistake(lambda: Crew(tasks)) == snapshot(
        "Crew 'crew' has two agents with the role 'Editor'. Rename one."
    )


def test_one_agent_may_serve_many_tasks_and_be_listed_too():
    crew = Crew([task("a"), task("b")], agents=[editor])
    assert list(crew.plan.agents) == ["Editor"]


def test_nobody_takes_the_place_of_the_coordinator():
    assert mistake(lambda: Crew([task("a", agent=Agent("coordinator", "Rule."))])) == snapshot(
        "Crew 'crew': the role 'coordinator' is taken by the coordinator."
    )


def test_an_agent_that_is_none_is_refused():
    who: Any = "Editor"
    assert mistake(lambda: Crew([task("a", agent=who)])) == snapshot(
        "Task 'a': agent is 'Editor', not an Agent: agent=Agent('Writer', 'Write plainly.')."
    )


@pytest.mark.parametrize(
    ("define", "said"),
    [
        (lambda: Task("a", "b", human_input=cast("Any", 3)), "Task 'a': human_input is 3, not True, False or a question."),
        (lambda: Task("a", "b", model=cast("Any", 3)), "Task 'a': model=3 is not a model's name, a list of names"),
        (lambda: Task("a", "b", concurrency=cast("Any", "2")), "Task 'a': concurrency='2' is not a whole number, 1 at least."),
        (lambda: Task("a", "b", tools=cast("Any", 3)), "Task 'a': tools is 3, not a list: tools=[search]."),
        (lambda: Agent("a", "b", temperature=cast("Any", "hot")), "Agent 'a': temperature='hot' is not a number, 0 at least."),
        (lambda: Agent("a", "b", model=[]), "Agent 'a': model=[] is not a model's name"),
        (lambda: Crew([task("a")], breaker=cast("Any", 3)), "Crew 'crew': breaker is 3, not a Breaker"),
        (lambda: Route(cast("Any", 3)), "Route(3): model=3 is not a model's name"),
        (lambda: Route("x", timeout=cast("Any", "20")), "Route('x'): timeout='20' is not a number above 0."),
        (lambda: Route("x", retries=cast("Any", 1.5)), "Route('x'): retries=1.5 is not a whole number, 0 at least."),
        (lambda: Route("x", usd=cast("Any", 3)), "Route('x'): usd=3 is not two prices"),
        (lambda: Route("x", fallback=cast("Any", 3)), "Route('x'): fallback=3 is not a list: fallback=['strong']."),
        (lambda: Breaker(window=math.nan), "Breaker: window=nan is not a number above 0."),
        (lambda: Retry(attempts=0), "Retry: attempts=0 is not a whole number, 1 at least."),
        (lambda: Conversation(cast("Any", 3)), "Conversation: members is 3, not a list"),
        (lambda: Planner([Agent("a", "b")], approval=cast("Any", 3)), "Planner: approval is 3, not True, False or a question."),
    ],
)  # fmt: skip
def test_a_field_of_a_wrong_type_is_refused_where_it_is_written(define: Callable[[], Any], said: str):
    assert said in mistake(define)


async def test_the_coordinator_chooses_an_agent_and_says_why(make_options, runs):
    cook = Agent("Cook", "Cook soups and cakes.")
    sailor = Agent("Sailor", "Sail boats over the ocean.")
    alone = task("trip", "Plan how the boats cross the ocean.", agent=None)
    crew = Crew([alone], agents=[cook, sailor], model=ScriptedModel(["Done."]))
    result = await crew.run({}, make_options())
    (started,) = [e for e in runs.events(result.run_id) if e.type == "task.started"]
    assert (started.agent, started.data["assigned"]) == snapshot(
        ("Sailor", "Sailor shares the most words with the task (boats, ocean).")
    )


@pytest.mark.parametrize(
    ("agents", "why"),
    [
        ([Agent("Cook", "Cook.")], "Cook is the crew's only agent."),
        (
            [Agent("Cook", "Cook."), Agent("Sailor", "Sail.")],
            "Cook is listed first and no other fits better.",
        ),
    ],
)
def test_the_coordinator_always_has_a_reason(agents: list[Agent], why: str):
    crew = Crew([task("sum", "Add 1 and 2.", agent=None)], agents=agents)
    assert crew.plan.jobs["sum"].assigned == why


# Functions


def count(news: str, topc: str) -> int:
    return len(news) + len(topc)


def silent(news: str):
    return news


class Opaque:
    """No form in JSON."""


def opaque(news: str) -> Opaque:
    return Opaque()


def gathers(*news: str) -> str:
    return "".join(news)


def test_a_function_parameter_that_nothing_fills_is_told_the_near_name():
    tasks = [task("news"), Task("count", do=count, needs=["news"])]
    assert mistake(lambda: Crew(tasks, inputs=["topic"])) == snapshot(
        "Task 'count': count() takes 'topc', which is neither an input nor one of its needs. Did you mean 'topic'? There are: topic, news."
    )


def test_a_function_must_say_what_it_returns():
    assert mistake(lambda: Crew([task("news"), Task("x", do=silent, needs=["news"])])) == snapshot(
        "Task 'x': silent() does not say what it returns. Annotate it (`-> str`): the result is kept as JSON."
    )


@pytest.mark.parametrize(
    ("where", "define"),
    [
        ("Task 'x'", lambda: Crew([task("news"), Task("x", do=opaque, needs=["news"])])),
        ("Task 'x'", lambda: Crew([task("x", output_type=Opaque)])),
        ("Task 'x'", lambda: Crew([task("x", output_type=list[Opaque])])),
        ("Crew 'crew': input 'n'", lambda: Crew([task("a")], inputs={"n": Input(type=Opaque)})),
    ],
)
def test_a_type_without_a_form_in_json_is_refused(where: str, define: Callable[[], object]):
    said = mistake(define)
    assert said.startswith(f"{where}: the type cannot be described.")
    assert said.endswith("Use plain types, dataclasses or pydantic models.")


def test_a_function_names_its_parameters():
    assert mistake(lambda: Crew([task("news"), Task("x", do=gathers, needs=["news"])])) == snapshot(
        "Task 'x': gathers() takes '*news: 'str''; parameters are filled by name. Name each."
    )


def test_what_is_no_function_is_refused():
    what: Any = 5
    assert mistake(lambda: Crew([Task("x", do=what)])) == snapshot(
        "Task 'x': do=5 is not a function, a tool or a crew."
    )


def test_a_function_uses_no_tools_and_no_model():
    assert mistake(lambda: Crew([Task("x", do=publish, tools=[search])], inputs=["text"])) == snapshot(
        "Task 'x' is done by a function or a crew (`do`), which uses no tools, no model and no fallback."
    )


def test_a_crew_in_a_task_is_given_its_inputs():
    inner = Crew([task("look", "Look for {place}.")], inputs=["place"], name="inner")
    assert mistake(lambda: Crew([Task("sub", do=inner)], inputs=["palce"])) == snapshot(
        "Task 'sub': crew 'inner' wants the input 'place', which is neither an input of this crew nor one of its needs. Did you mean 'palce'? There are: palce."
    )


# Scopes


def test_a_grant_for_a_tool_that_the_agent_lacks_is_refused():
    agent = Agent("Editor", "Edit.", tools=[search], scope=Scope("serch"))
    assert mistake(lambda: Crew([task("a", agent=agent)])) == snapshot(
        "The scope of agent 'Editor' has a grant for 'serch', which is none of its tools. Did you mean 'search'? Tools: search."
    )


def test_an_idle_agents_scope_is_checked_too():
    idle = Agent("Idle", "Wait.", scope=Scope("search"))
    assert mistake(lambda: Crew([task("a")], agents=[idle])) == snapshot(
        "The scope of agent 'Idle' has a grant for 'search', which is none of its tools. Tools: none."
    )


def test_a_grant_of_a_task_or_crew_for_no_tool_of_its_is_refused():
    assert mistake(lambda: Crew([task("a", scope=Scope("publish"))])) == snapshot(
        "The scope of task 'a' has a grant for 'publish', which is none of its tools. Tools: search."
    )
    assert mistake(lambda: Crew([task("a")], scope=Scope("publish"))) == snapshot(
        "The scope of crew 'crew' has a grant for 'publish', which is none of its tools. Tools: search."
    )


def test_a_grant_over_an_inner_crew_for_no_tool_of_its_is_refused():
    inner = Crew([task("look")], name="inner")
    assert Crew([Task("sub", do=inner, scope=Scope("search"))], scope=Scope("search"))
    assert mistake(lambda: Crew([Task("sub", do=inner, scope=Scope("serch"))])) == snapshot(
        "The scope of task 'sub' has a grant for 'serch', which is none of its tools. Did you mean 'search'? Tools: search."
    )


@pytest.mark.parametrize("where", ["agent", "task", "crew"])
def test_a_tool_granted_where_a_scope_forbids_it_is_refused(where: str):
    narrow = {where: Scope("search")}
    agent = Agent("Editor", "Edit.", tools=[search], scope=narrow.get("agent"))
    release = task("release", agent=agent, tools=[publish], scope=narrow.get("task"))
    assert mistake(lambda: Crew([release], scope=narrow.get("crew"))) == snapshot(
        "Task 'release' grants 'publish', but the scope of agent 'Editor' (or of the task or crew) does not allow it. Add a Grant there, or take the tool away."
    )


def test_a_task_may_grant_what_the_agents_scope_allows():
    agent = Agent("Editor", "Edit.", scope=Scope(Grant("publish", approval="always")))
    crew = Crew([task("release", agent=agent, tools=[publish])])
    assert crew.plan.jobs["release"].scope == Scope(Grant("publish", approval="always"))


def test_a_word_for_approval_that_is_none_is_refused():
    word: Any = "sometimes"
    assert mistake(lambda: Grant("search", approval=word)) == snapshot(
        "Grant('search'): approval='sometimes' is not one of 'always', 'effects', 'tainted', 'never'."
    )


def test_two_tools_of_one_name_in_one_task_are_refused():
    @tool(name="search", effects="read")
    def other(query: str) -> str:
        """Search elsewhere."""
        return query

    assert mistake(lambda: Crew([task("a", tools=[other])])) == snapshot(
        "Task 'a' has two tools named 'search'. Rename one: @tool(name=…)."
    )


def test_a_function_that_is_no_tool_is_told_how_to_become_one():
    plain: Any = [count]
    assert mistake(lambda: Agent("A", "Help.", tools=plain)) == snapshot(
        "Agent 'A': count is not a tool. Decorate the function with @tool."
    )


# Single values


@pytest.mark.parametrize("name", ["", " ", "1st", "a/b", "a.b", "a b", "über", "a\n", "draft#2", "@role"])
def test_a_name_is_letters_digits_and_dashes(name: str):
    assert "a name is letters, digits, '_' and '-'" in mistake(lambda: task(name))


@pytest.mark.parametrize(
    ("define", "said"),
    [
        (
            lambda: task("a", on_failure="ignore"),
            snapshot("Task 'a': on_failure='ignore' is not 'fail', 'skip' or 'continue'."),
        ),
        (lambda: task("a", timeout=0), snapshot("Task 'a': timeout=0 is not a number of seconds above 0.")),
        (
            lambda: task("a", timeout=float("nan")),
            snapshot("Task 'a': timeout=nan is not a number of seconds above 0."),
        ),
        (
            lambda: task("a", timeout="5"),
            snapshot("Task 'a': timeout='5' is not a number of seconds above 0."),
        ),
        (
            lambda: task("a", revisions=-1),
            snapshot("Task 'a': revisions=-1 is below 0. Say how many times an output may be sent back."),
        ),
        (
            lambda: task("a", ""),
            snapshot("Task 'a' has no description. Say what is to be done, or give it a function: do=…"),
        ),
        (
            lambda: task("a", guardrails=["be nice"]),
            snapshot(
                "Task 'a': the guardrail 'be nice' is not a function. Write one that takes what it looks at and returns None, or a sentence about what is wrong."
            ),
        ),
        (
            lambda: task("a", guardrails=len),
            snapshot("Task 'a': guardrails=<built-in function len> is not a list. Write guardrails=[…]."),
        ),
        (
            lambda: Agent(" ", "Help."),
            snapshot("An agent has no role. Give it one: Agent('Researcher', 'Find facts.')."),
        ),
        (lambda: Agent("A", ""), snapshot("Agent 'A' has no goal. Say in a sentence what it is after.")),
        (
            lambda: Agent("A", "Help.", max_tokens=0),
            snapshot("Agent 'A': max_tokens=0 leaves no room for an answer. Give a number above 0."),
        ),
        (
            lambda: Limits(tokens=0),
            snapshot("Limits(tokens=0): a cap is a number above 0, or None for no cap."),
        ),
        (lambda: Limits(usd=-1), snapshot("Limits(usd=-1): a cap is a number above 0, or None for no cap.")),
        (
            lambda: Limits(seconds=float("nan")),
            snapshot("Limits(seconds=nan): a cap is a number above 0, or None for no cap."),
        ),
        (
            lambda: Limits(steps=True),
            snapshot("Limits(steps=True): a cap is a number above 0, or None for no cap."),
        ),
        (
            lambda: Crew([task("a")], inputs="topic"),
            snapshot("Crew 'crew': inputs='topic' is a text. Write inputs=['topic']."),
        ),
        (
            lambda: Crew([task("a")], inputs={"topic": "tides"}),
            snapshot("Crew 'crew': input 'topic' is 'tides'. Write Input('what it is', default=…)."),
        ),
        (
            lambda: Crew([task("a")], inputs=["my topic"]),
            snapshot(
                "Crew 'crew': input 'my topic': a name is letters, digits and '_', and starts with a letter."
            ),
        ),
        (
            lambda: Crew([task("a")], inputs={"n": Input(type=int, default="many")}),
            snapshot(
                "Crew 'crew': input 'n' has the default 'many', which is not int. Give another, or another type."
            ),
        ),
    ],
)
def test_a_value_that_cannot_work_is_refused(define: Callable[[], object], said: str):
    assert mistake(define) == said


odd: Any = ["search"]


@pytest.mark.parametrize(
    ("define", "said"),
    [
        (
            lambda: Agent("A", "Help.", tools=odd[0]),
            snapshot("Agent 'A': tools=search is not a list. Write tools=[…]."),
        ),
        (
            lambda: Agent("A", "Help.", tools=search),
            snapshot("Agent 'A': tools=search is not a list. Write tools=[…]."),
        ),
        (
            lambda: Agent("A", "Help.", scope=odd),
            snapshot("Agent 'A': scope is ['search'], not a Scope: scope=Scope('search')."),
        ),
        (
            lambda: Agent("A", "Help.", limits=odd),
            snapshot("Agent 'A': limits is ['search'], not a Limits: limits=Limits(tokens=50_000)."),
        ),
        (lambda: Agent("A", odd), snapshot("Agent 'A': goal is ['search'], not a text.")),
        (
            lambda: Agent("A", "Help.", max_tokens="many"),
            snapshot("Agent 'A': max_tokens is 'many', not a number of tokens."),
        ),
        (lambda: Agent(None, "Help."), snapshot("Agent: role is None, not a text.")),
        (lambda: Task(None, "Help."), snapshot("Task: name is None, not a text.")),
        (
            lambda: Task("a", editor),
            snapshot("Task 'a': description is something of type Agent, not a text."),
        ),
        (lambda: task("a", tools=search), snapshot("Task 'a': tools=search is not a list. Write tools=[…].")),
        (
            lambda: task("a", scope="search"),
            snapshot("Task 'a': scope is 'search', not a Scope: scope=Scope('search')."),
        ),
        (
            lambda: task("a", limits={"steps": 5}),
            snapshot("Task 'a': limits is {'steps': 5}, not a Limits: limits=Limits(steps=5)."),
        ),
        (lambda: task("a", revisions="3"), snapshot("Task 'a': revisions is '3', not a number.")),
        (lambda: task("a", iterations=True), snapshot("Task 'a': iterations is True, not a number.")),
        (
            lambda: task("a", for_each="rows", min_success="half"),
            snapshot(
                "Task 'a': min_success='half' is neither a number of items nor a share of them, 0.0 to 1.0."
            ),
        ),
        (
            lambda: Crew([task("a", output_type=print)]),
            snapshot("Task 'a': print() is a function, not a type."),
        ),
        (
            lambda: Capable(5),
            snapshot("Capable: what it has to be able to do is 5, not a word: Capable('tools')."),
        ),
        (lambda: Ask(None), snapshot("Ask: question is None, not a question.")),
        (lambda: Ask("Well?", expires="soon"), snapshot("Ask: expires='soon' is not a number above 0.")),
        (
            lambda: Grant("x", roots={"path": 5}),
            snapshot(
                "Grant('x'): roots of 'path' is 5. Write a list of texts: roots={'path': ['./reports']}."
            ),
        ),
        (
            lambda: Window(model=5),
            snapshot("Window: model=5 is not a model's name, a list of names, Capable(…) or a model object."),
        ),
        (
            lambda: Planner([editor], agent="editor"),
            snapshot("Planner: agent is 'editor', not an agent: agent=manager."),
        ),
        (
            lambda: Crew([task("a")], inputs={"i": Input(5)}),
            snapshot("Crew 'crew': input 'i': description is 5, not a text."),
        ),
        (
            lambda: Crew([task("a")], knowledge=[None]),
            snapshot("Crew 'crew': one of knowledge is None, not a file or a folder: knowledge=['docs']."),
        ),
        (
            lambda: Crew(task("a")),
            snapshot("Crew 'crew': tasks is something of type Task, not a list: Crew([task])."),
        ),
        (
            lambda: Crew([task("a")], agents=editor),
            snapshot("Crew 'crew': agents is something of type Agent, not a list: agents=[agent]."),
        ),
        (
            lambda: Crew([task("a")], inputs=None),
            snapshot("Crew 'crew': inputs is None, not a list of names: inputs=['topic']."),
        ),
        (lambda: Crew([task("a")], inputs=[1]), snapshot("Crew 'crew': input '1': name is 1, not a text.")),
        (
            lambda: Crew([task("a")], scope=odd),
            snapshot("Crew 'crew': scope is ['search'], not a Scope: scope=Scope('search')."),
        ),
        (
            lambda: Crew([task("a")], limits=0.5),
            snapshot("Crew 'crew': limits is 0.5, not a Limits: limits=Limits(usd=0.50)."),
        ),
        (
            lambda: Scope(search),
            snapshot(
                "Scope: a grant is something of type FunctionTool, not a tool's name or a Grant: Grant('send')."
            ),
        ),
    ],
)
def test_a_value_of_another_type_is_told_what_to_write(define: Callable[[], object], said: str):
    assert mistake(define) == said


def test_definitions_are_frozen():
    crew = Crew([task("a", needs=())])
    for thing, name in ((crew, "tasks"), (crew.tasks[0], "name"), (editor, "role"), (Limits(), "tokens")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(thing, name, ())
    with pytest.raises(dataclasses.FrozenInstanceError):
        search.timeout = 1


def test_what_was_a_list_in_a_definition_cannot_be_changed_afterwards():
    tasks, tools, needs = [task("a")], [search], ["a"]
    agent = Agent("A", "Help.", tools=tools)
    later = task("b", agent=agent, needs=needs)
    crew = Crew([*tasks, later])
    tasks.clear(), tools.clear(), needs.clear()
    assert (list(crew.plan.jobs), agent.tools, later.needs) == (["a", "b"], (search,), ("a",))


# Inputs


typed = {"topic": Input("What it is about."), "count": Input(type=int, default=3)}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, snapshot("Crew 'press' needs the input 'topic' (What it is about.). Give it: -i topic=…")),
        (
            {"topc": "tides"},
            snapshot("Crew 'press' has no input 'topc'. Did you mean 'topic'? Inputs: topic, count."),
        ),
        ({"topic": "tides", "more": 1}, snapshot("Crew 'press' has no input 'more'. Inputs: topic, count.")),
        (
            {"topic": 5},
            snapshot("Input 'topic' is 5, which is not str: Input should be a valid string"),
        ),
        (
            {"topic": "tides", "count": "many"},
            snapshot(
                "Input 'count' is 'many', which is not int: Input should be a valid integer, unable to parse string as an integer"
            ),
        ),
        (
            {"topic": "tides", "count": 1.5},
            snapshot(
                "Input 'count' is 1.5, which is not int: Input should be a valid integer, got a number with a fractional part"
            ),
        ),
        (
            {"topic": "tides", "count": None},
            snapshot("Input 'count' is None, which is not int: Input should be a valid integer"),
        ),
        (
            {"topic": b"\xff"},
            snapshot(
                "Input 'topic' is b'\\xff', which is not str: 'utf-8' codec can't decode byte 0xff in position 0: invalid utf-8"
            ),
        ),
    ],
)
async def test_an_input_that_does_not_fit_is_refused_before_anything_runs(
    make_options, runs, given: dict[str, Any], said: str
):
    model = ScriptedModel(["Done."])
    crew = Crew([task("draft", "On {topic}.")], inputs=typed, name="press", model=model)
    with pytest.raises(InputError) as error:
        await crew.run(given, make_options())
    assert str(error.value) == said
    assert (list(runs.runs()), model.requests) == ([], [])


async def test_a_default_stands_in_for_an_input_and_is_seen(make_options):
    model = ScriptedModel(["Done."])
    crew = Crew([task("draft", "On {topic}, {count} times.")], inputs=typed, model=model)
    assert (await crew.run({"topic": "tides"}, make_options())).ok
    assert "On tides, 3 times." in model.requests[0].messages[1].content


def spoil(items: list[str]) -> list[str]:
    items.append("spoilt")
    return items


async def test_what_one_does_to_an_input_no_other_sees(make_options):
    seen: list[list[str]] = []

    @tool(effects="read")
    def peek(context: ToolContext) -> str:
        """Peek."""
        seen.append(list(context.inputs["items"]))
        context.inputs["items"].append("spoilt")
        return "seen"

    model = ScriptedModel([call("peek"), call("peek"), "Done."])
    looks = task("look", agent=Agent("A", "Look.", tools=[peek], model=model), needs=["one"])
    tasks = [Task("one", do=spoil), Task("two", do=spoil, needs=["one"]), looks]
    crew = Crew(tasks, inputs={"items": Input(type=list[str], default=["fresh"])})
    for _ in range(2):
        result = await crew.run({}, make_options())
        assert result.outputs == {"one": ["fresh", "spoilt"], "two": ["fresh", "spoilt"], "look": "Done."}
    assert seen == [["fresh"]] * 4
