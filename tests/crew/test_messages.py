"""The coordinator and the agents work over the bus, and there is no other path."""

from __future__ import annotations

from crewkit import Agent, Crew, Limits, ModelError, Scope, Task, ask_colleague, tool
from crewkit.coordinator.bus import Bus
from crewkit.core.label import unfenced
from crewkit.core.messages import Message
from crewkit.models.base import Request
from crewkit.models.scripted import ScriptedModel, call


def losing(*kinds: str):
    class Losing(Bus):
        def deliver(self, message: Message) -> None:
            if message.kind not in kinds:
                super().deliver(message)

    return Losing


def mixed(model: ScriptedModel, calls: list[str]) -> Crew:
    def function() -> str:
        calls.append("function")
        return "done"

    def inner() -> str:
        calls.append("inner")
        return "done"

    return Crew(
        [
            Task("agent", "Do it.", agent=Agent("Worker", "Work.", model=model)),
            Task("function", do=function),
            Task("crew", do=Crew([Task("inner", do=inner)], name="sub")),
        ]
    )


async def test_without_the_assignment_nothing_is_done(make_options):
    model, calls = ScriptedModel(["done"]), []
    result = await mixed(model, calls).run({}, make_options(bus=losing("assignment")))
    assert (result.status, model.requests, calls) == ("failed", [], [])
    assert dict(result.report.failed) == {
        "agent": "The assignment never reached 'Worker', so it did nothing.",
        "function": "The assignment never reached 'function', so it did nothing.",
        "crew": "The assignment never reached 'crew', so it did nothing.",
    }


async def test_without_the_report_nothing_is_completed(make_options):
    model, calls = ScriptedModel(["done"]), []
    result = await mixed(model, calls).run({}, make_options(bus=losing("report")))
    assert (result.status, result.report.completed, result.outputs) == ("failed", (), {})
    assert (len(model.requests), sorted(calls)) == (1, ["function", "inner"])
    assert result.report.failed["agent"] == "'Worker' ended without a word to 'coordinator'."


async def test_messages_are_in_the_transcript(make_options, runs):
    def broken() -> str:
        raise ValueError("no")

    model = ScriptedModel([ModelError("down")])
    crew = Crew(
        [
            Task("good", do=good),
            Task("function", do=broken),
            Task("agent", "Do it.", agent=Agent("Worker", "Work.", model=model)),
            Task("crew", do=Crew([Task("inner", do=broken)], name="sub")),
        ]
    )
    result = await crew.run({}, make_options())
    said = [e for e in runs.events(result.run_id) if e.type == "message.recorded" and "kind" in e.data]
    assert {(e.path, e.data["kind"], e.data["sender"], e.data["to"]) for e in said} == {
        ("good", "assignment", "coordinator", "good"),
        ("good", "report", "good", "coordinator"),
        ("function", "assignment", "coordinator", "function"),
        ("function", "failure", "function", "coordinator"),
        ("agent", "assignment", "coordinator", "Worker"),
        ("agent", "failure", "Worker", "coordinator"),
        ("crew", "assignment", "coordinator", "crew"),
        ("crew/inner", "assignment", "coordinator", "inner"),
        ("crew/inner", "failure", "inner", "coordinator"),
        ("crew", "failure", "crew", "coordinator"),
    }
    failed = [e.data["content"] for e in said if e.data["kind"] == "failure" and e.path == "function"]
    assert failed == ["broken() raised ValueError: no"]


def good() -> str:
    return "good"


# Questions


def asking(to: str, *questions: str) -> ScriptedModel:
    return ScriptedModel([*(call("ask_colleague", to=to, question=q) for q in questions), "Done."])


def told(model: ScriptedModel) -> list[str]:
    return [unfenced(m.content) for m in model.requests[-1].messages if m.role == "tool"]


async def test_a_colleague_is_asked_over_the_bus_and_answers_with_its_own_model_and_tools(make_options, runs):
    @tool(effects="read")
    def look(place: str) -> str:
        """Look."""
        return f"{place} is blue"

    expert = Agent(
        "Expert", "Know.", tools=[look], model=ScriptedModel([call("look", place="sea"), "It is blue."])
    )
    model = asking("Expert", "What colour?")
    asker = Agent("Asker", "Ask.", tools=[ask_colleague, look], model=model)
    # The expert has a task of its own too: it answers with its own model all the same.
    crew = Crew([Task("t", "Ask.", agent=asker), Task("own", "Look.", agent=expert)])
    result = await crew.run({}, make_options())
    assert (result.outputs["t"], told(model)) == ("Done.", ["It is blue."])
    said = [e for e in runs.events(result.run_id) if e.data.get("kind") in ("question", "answer")]
    assert [(e.data["kind"], e.data["sender"], e.data["to"], e.data["round"]) for e in said] == [
        ("question", "Asker", "Expert", 1),
        ("answer", "Expert", "Asker", 1),
    ]
    assert said[0].task == "t"
    calls = [e for e in runs.events(result.run_id) if e.type == "tool.finished" and e.task == "t"]
    assert [e.path for e in calls] == ["t/1/tool:0/Expert/1/tool:0", "t/1/tool:0"]
    offered = next(spec for spec in model.requests[0].tools if spec.name == "ask_colleague")
    assert offered.parameters["properties"]["to"]["enum"] == ["Expert", "coordinator"]


async def test_a_lost_question_or_answer_is_told_to_the_run(make_options):
    for kind in ("question", "answer"):
        expert = Agent("Expert", "Know.", model=ScriptedModel(["Blue."]))
        asker = Agent("Asker", "Ask.", tools=[ask_colleague], model=asking("Expert", "What?"))
        crew = Crew([Task("t", "Ask.", agent=asker)], agents=[expert])
        result = await crew.run({}, make_options(bus=losing(kind)))
        assert result.status == "failed"


async def test_an_unknown_colleague_is_answered_with_the_list(make_options):
    model = asking("Exprt", "What?")
    asker = Agent("Asker", "Ask.", tools=[ask_colleague], model=model)
    expert = Agent("Expert", "Know.", model=ScriptedModel(["x"]))
    assert (await Crew([Task("t", "Ask.", agent=asker)], agents=[expert]).run({}, make_options())).ok
    assert "Expert" in told(model)[0]
    assert told(model)[0].startswith("Nothing was called")


async def test_a_thread_has_rounds_and_remembers_them(make_options, runs):
    expert = ScriptedModel(lambda request: f"answer to {request.messages[1].content.splitlines()[2]}")
    model = asking("Expert", "one", "two", "three", "four")
    asker = Agent("Asker", "Ask.", tools=[ask_colleague], model=model)
    crew = Crew(
        [Task("t", "Ask.", agent=asker)],
        agents=[Agent("Expert", "Know.", model=expert)],
        limits=Limits(rounds=3),
    )
    result = await crew.run({}, make_options())
    assert (result.output, len(expert.requests)) == ("Done.", 3)
    assert told(model) == [
        "answer to one",
        "answer to two",
        "answer to three",
        "The 3 rounds between Asker and Expert are used up. Your question was not passed on. Give your best answer "
        "with what you have.",
    ]
    questions = [request.messages[1].content for request in expert.requests]
    closing = "This is the last round of this exchange: give your best closing answer."
    assert [closing in text for text in questions] == [False, False, True]
    assert "Asker: one\nYou: answer to one" in questions[1]
    assert questions[2].index("answer to one") < questions[2].index("answer to two")
    (closed,) = [e for e in runs.events(result.run_id) if e.type == "round.closed"]
    assert (closed.data["rounds"], closed.data["cap"]) == (3, 3)


async def test_questions_of_one_turn_count_as_rounds_of_their_own(make_options):
    expert = ScriptedModel(lambda _: "yes")
    questions = [call("ask_colleague", to="Expert", question=q) for q in "abc"]
    model = ScriptedModel([questions, "Done."])
    asker = Agent("Asker", "Ask.", tools=[ask_colleague], model=model)
    crew = Crew(
        [Task("t", "Ask.", agent=asker)],
        agents=[Agent("Expert", "Know.", model=expert)],
        limits=Limits(rounds=2),
    )
    assert (await crew.run({}, make_options())).ok
    assert [text[:4] for text in told(model)] == ["yes", "yes", "The "]


async def test_threads_of_different_tasks_have_rounds_of_their_own(make_options):
    expert = ScriptedModel(lambda _: "yes")
    model = asking("Expert", "one", "two")
    asker = Agent("Asker", "Ask.", tools=[ask_colleague], model=model)
    tasks = [Task(f"t{i}", "Ask.", agent=asker) for i in range(4)]
    crew = Crew(tasks, agents=[Agent("Expert", "Know.", model=expert)], limits=Limits(rounds=2))
    assert (await crew.run({}, make_options())).ok
    assert len(expert.requests) == 8


async def test_the_coordinator_can_be_asked_and_knows_all_that_the_task_builds_on(make_options):
    def first() -> str:
        return "the first result"

    crew_model = ScriptedModel(lambda request: request.messages[1].content)
    model = asking("coordinator", "What came of it?")
    asker = Agent("Asker", "Ask.", tools=[ask_colleague], model=model)
    crew = Crew(
        [
            Task("first", do=first),
            Task("second", do=first, needs=["first"]),
            Task("t", "Ask.", agent=asker, needs=["second"]),
        ],
        model=crew_model,
    )
    assert (await crew.run({}, make_options())).ok
    assert told(model)[0].count("the first result") == 2


async def test_a_coordinator_without_a_model_answers_with_the_askers(make_options):
    def say(request: Request):
        if "Question from" in request.messages[1].content:
            return "I coordinate."
        return (
            "Done."
            if request.messages[-1].role == "tool"
            else call("ask_colleague", to="coordinator", question="?")
        )

    model = ScriptedModel(say)
    asker = Agent("Asker", "Ask.", tools=[ask_colleague], model=model)
    assert (await Crew([Task("t", "Ask.", agent=asker)]).run({}, make_options())).ok
    assert told(model) == ["I coordinate."]


async def test_questions_within_questions_go_as_deep_as_allowed(make_options, runs):
    def say(request: Request):
        if not request.tools or request.messages[-1].role == "tool":
            return f"knows {len(request.tools)}"
        role = request.messages[0].content.split(".")[0].removeprefix("You are ")
        return call("ask_colleague", to={"A": "B", "B": "C", "C": "A"}[role], question="?")

    model = ScriptedModel(say)
    agents = [Agent(role, "Help.", tools=[ask_colleague], model=model) for role in "ABC"]
    result = await Crew([Task("t", "Ask.", agent=agents[0])], agents=agents).run({}, make_options())
    assert result.ok
    questions = [e for e in runs.events(result.run_id) if e.data.get("kind") == "question"]
    assert [(e.data["sender"], e.data["to"]) for e in questions] == [("A", "B"), ("B", "C")]
    (deepest,) = [e for e in runs.events(result.run_id) if e.type == "decision.made" and e.agent == "C"]
    assert deepest.data["withheld"] == [{"tool": "ask_colleague", "by": "limit", "why": "depth 3 reached"}]


async def test_nested_threads_are_apart_in_the_transcript(make_options, runs):
    def say(request: Request):
        role = request.messages[0].content.split(".")[0].removeprefix("You are ")
        turn = sum(m.role == "assistant" for m in request.messages)
        if role == "A" and turn < 2:
            return call("ask_colleague", to="B", question=f"a{turn}")
        if role == "B" and turn < 1:
            return call("ask_colleague", to="C", question="b")
        return "answer"

    agents = [Agent(role, "Help.", tools=[ask_colleague], model=ScriptedModel(say)) for role in "ABC"]
    result = await Crew([Task("t", "Ask.", agent=agents[0])], agents=agents).run({}, make_options())
    questions = [e.data for e in runs.events(result.run_id) if e.data.get("kind") == "question"]
    assert [(q["sender"], q["to"], q["round"]) for q in questions] == [
        ("A", "B", 1),
        ("B", "C", 1),
        ("A", "B", 2),
        ("B", "C", 1),
    ]
    assert len({q["thread"] for q in questions}) == 3


async def test_a_colleague_that_cannot_answer_is_no_failure_of_the_asker(make_options):
    expert = Agent("Expert", "Know.", model=ScriptedModel([ModelError("The server is down.")]))
    model = asking("Expert", "What?")
    asker = Agent("Asker", "Ask.", tools=[ask_colleague], model=model)
    assert (await Crew([Task("t", "Ask.", agent=asker)], agents=[expert]).run({}, make_options())).ok
    assert told(model) == ["Expert could not answer: The server is down."]


async def test_a_colleague_may_do_no_more_than_the_asker(make_options):
    @tool(effects="write")
    def send() -> str:
        """Send."""
        raise AssertionError("never called")

    expert_model = ScriptedModel([call("send"), "I could not."])
    expert = Agent("Expert", "Know.", tools=[send], scope=Scope("send"), model=expert_model)
    model = asking("Expert", "Send it!")
    asker = Agent("Asker", "Ask.", tools=[ask_colleague], model=model)
    assert (await Crew([Task("t", "Ask.", agent=asker)], agents=[expert]).run({}, make_options())).ok
    assert expert_model.requests[0].tools == ()


async def test_a_colleague_waits_for_a_person_and_goes_on(make_options, decide):
    sent: list[str] = []

    @tool(effects="write")
    def send() -> str:
        """Send."""
        sent.append("x")
        return "sent"

    expert = ScriptedModel([call("send"), "I sent it."])
    model = asking("Expert", "Send it!")
    asker = Agent("Asker", "Ask.", tools=[ask_colleague, send], model=model)
    crew = Crew([Task("t", "Ask.", agent=asker)], agents=[Agent("Expert", "K.", tools=[send], model=expert)])
    result = await crew.run({}, make_options())
    assert result.status == "paused"
    decide(result.run_id)
    assert (await crew.resume(result.run_id, make_options())).ok
    assert (told(model), sent, len(expert.requests)) == (["I sent it."], ["x"], 2)
