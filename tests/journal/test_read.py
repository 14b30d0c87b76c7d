"""What a run's events tell."""

from __future__ import annotations

import pytest

from crewkit.core.events import Event
from crewkit.core.messages import ChatMessage
from crewkit.journal.read import ending, exchanges, messages, pending, totals
from crewkit.journal.tree import Node, received, tree


class Script:
    """Writes events as a run would, a second apart."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.seg = "s1"

    def add(
        self,
        type: str,
        path: str = "",
        attempt: int = 1,
        /,
        *,
        agent: str = "",
        seg: str | None = None,
        **data,
    ):
        seq = len(self.events) + 1
        task = path.partition("/")[0]
        ts = f"2026-01-01T00:00:{seq:02}.000000Z"
        seg = self.seg if seg is None else seg
        self.events.append(Event("r-1", seq, type, ts, float(seq), seg, path, task, agent, attempt, data))
        return self

    def model(self, path: str, *, usd: float | None = 0.25, attempt: int = 1, agent: str = "Editor"):
        usage = {"input_tokens": 100, "output_tokens": 10, "cached_tokens": 40}
        self.add("model.started", path, attempt, agent=agent, model="m-1")
        return self.add("model.finished", path, attempt, agent=agent, model="m-1", usage=usage, usd=usd)

    def tool(self, path: str, *, outcome: str = "ok", attempt: int = 1, **data):
        self.add("tool.started", path, attempt, agent="Editor", tool="search", arguments={"q": 1})
        return self.add(
            "tool.finished", path, attempt, agent="Editor", tool="search", outcome=outcome, **data
        )


def outline(node: Node) -> list[str]:
    return [f"{n.path}|{n.kind}|{n.title}|{n.status}" for n in node.walk()]


@pytest.fixture
def script():
    script = Script().add("run.started", crew="digest")
    script.add("task.started", "draft").add("agent.started", "draft/0", agent="Editor", role="Editor")
    return script


def ask(script: Script, id: str, path: str = "draft/1/tool:0", attempt: int = 1) -> Script:
    return script.add(
        "approval.requested",
        f"{path}/ask",
        attempt,
        agent="Editor",
        id=id,
        kind="tool",
        question="May it?",
        tool="publish",
        arguments={"x": 1},
        reason="external",
    )


def test_a_question_waits_until_someone_decides(script):
    ask(ask(script, "a-1"), "a-2", "draft/1/tool:1")
    first, second = pending(script.events)
    assert (first.id, first.run, first.kind, first.question) == ("a-1", "r-1", "tool", "May it?")
    assert (first.tool, first.arguments, first.reason) == ("publish", {"x": 1}, "external")
    assert (first.task, first.agent, first.path, first.ts) == (
        "draft",
        "Editor",
        "draft/1/tool:0/ask",
        script.events[3].ts,
    )
    script.add("approval.decided", first.path, seg="", id="a-1", decision="approve")
    assert pending(script.events) == [second]


@pytest.mark.parametrize(
    ("status", "waits"), [("completed", 0), ("cancelled", 0), ("denied", 0), ("limit", 1), ("failed", 1)]
)
def test_nothing_waits_in_a_run_that_is_over(script, status, waits):
    ask(script, "a-1").add("run.finished", status=status)
    assert len(pending(script.events)) == waits
    script.add("run.resumed")
    assert len(pending(script.events)) == 1


def test_totals_add_up_by_task_and_by_agent(script):
    script.model("draft/1/model").tool("draft/1/tool:0").tool("draft/1/tool:1", outcome="denied")
    script.model("check/1/model", agent="Reviewer")
    whole = totals(script.events)
    assert (whole.input_tokens, whole.output_tokens, whole.cached_tokens, whole.tokens) == (200, 20, 80, 220)
    assert (whole.usd, whole.usd_known, whole.steps) == (0.5, 0.5, 2)
    assert whole.tools == {"ok": 1, "denied": 1}
    assert whole.tasks["draft"].usd == whole.agents["Reviewer"].usd == 0.25
    assert whole.tasks["draft"].tools == whole.agents["Editor"].tools == whole.tools


def test_an_unknown_price_makes_the_sum_unknown_and_keeps_what_is_known(script):
    script.model("draft/1/model").model("check/1/model", usd=None)
    whole = totals(script.events)
    assert (whole.usd, whole.usd_known, whole.unpriced) == (None, 0.25, 1)
    assert whole.tasks["draft"].usd == 0.25
    assert whole.tasks["check"].usd is None


def test_a_failed_call_is_no_step_and_costs_nothing_unknown(script):
    script.add("model.started", "draft/1/model").add(
        "model.finished", "draft/1/model", failed={"type": "ModelError"}
    )
    whole = totals(script.events)
    assert (whole.steps, whole.usd, whole.tokens) == (0, 0.0, 0)


def test_seconds_leave_out_the_time_between_processes_and_other_processes(script):
    script.add("run.paused", reason="approval")  # s1: from 1 to 4
    for _ in range(10):
        script.add("approval.decided", "draft/1/ask", seg="", id="a-1")
    script.seg = "s2"
    script.add("run.resumed").model("draft/1/model").add(
        "run.finished", status="completed"
    )  # s2: from 15 to 18
    whole = totals(script.events)
    assert whole.seconds == 3 + 3
    assert whole.tasks["draft"].seconds == 1 + 1
    assert whole.agents["Editor"].seconds == 0 + 1


def test_the_tree_is_run_task_turn_step(script):
    script.model("draft/1/model")
    script.add(
        "decision.made",
        "draft/1",
        agent="Editor",
        offered=["search"],
        withheld=[{"tool": "publish", "by": "scope"}],
    )
    script.tool("draft/1/tool:0").tool("draft/1/tool:1", outcome="error")
    script.add("memory.searched", "draft/1/tool:0/memory", query="x")
    script.model("draft/2/model").add("task.finished", "draft", status="completed")
    script.add("run.finished", status="completed", why="All is done.")
    root = tree(script.events, alive=False)
    assert outline(root) == [
        "|run|digest|completed",
        "draft|task|draft|completed",
        "draft/1|turn|turn 1|completed",
        "draft/1/model|model|m-1|completed",
        "draft/1/tool:0|tool|search|ok",
        "draft/1/tool:0/memory|step|memory|completed",
        "draft/1/tool:1|tool|search|error",
        "draft/2|turn|turn 2|completed",
        "draft/2/model|model|m-1|completed",
    ]
    turn = root.children[0].children[0]
    assert turn.decision["withheld"] == [{"tool": "publish", "by": "scope"}]
    assert turn.agent == "Editor"
    assert turn.totals.usd == 0.25
    assert (turn.first.seq, turn.last.seq) == (4, 11)
    assert root.all_events() == script.events
    assert [event.type for event in root.children[0].events] == [
        "task.started",
        "agent.started",
        "task.finished",
    ]


def test_crews_and_delegations_nest_under_their_step(script):
    script.add("tool.started", "draft/1/tool:0", tool="delegate")
    script.add("task.started", "draft/1/tool:0/help").model("draft/1/tool:0/help/1/model")
    script.add("task.started", "sub").add("task.started", "sub/inner").model("sub/inner/1/model")
    root = tree(script.events)
    assert outline(root) == [
        "|run|digest|running",
        "draft|task|draft|running",
        "draft/1|turn|turn 1|running",
        "draft/1/tool:0|tool|delegate|running",
        "draft/1/tool:0/help|task|help|running",
        "draft/1/tool:0/help/1|turn|turn 1|completed",
        "draft/1/tool:0/help/1/model|model|m-1|completed",
        "sub|task|sub|running",
        "sub/inner|task|inner|running",
        "sub/inner/1|turn|turn 1|completed",
        "sub/inner/1/model|model|m-1|completed",
    ]


def test_a_killed_process_leaves_interrupted_steps(script):
    script.add("model.started", "draft/1/model", model="m-1")
    assert [node.status for node in tree(script.events).walk()] == ["running"] * 4
    assert [node.status for node in tree(script.events, alive=False).walk()] == ["interrupted"] * 4


def test_a_resumed_run_groups_the_attempts_of_a_step(script):
    script.add("model.started", "draft/1/model", model="m-1").add("tool.started", "draft/2/tool:0", tool="t")
    script.seg = "s2"
    script.add("run.resumed").model("draft/1/model", attempt=2)
    root = tree(script.events)
    steps = {node.path: node for node in root.walk()}
    model = steps["draft/1/model"]
    assert [(a.number, a.seg, a.status) for a in model.attempts] == [
        (1, "s1", "interrupted"),
        (2, "s2", "completed"),
    ]
    assert model.status == "completed"
    assert steps["draft/2/tool:0"].status == "interrupted"
    assert (steps["draft"].status, root.status) == ("running", "running")


def test_a_step_that_waits_for_a_person_shows_it_all_the_way_up(script):
    ask(script, "a-1").add("run.paused", reason="approval", approvals=["a-1"])
    root = tree(script.events, alive=False)
    assert outline(root) == [
        "|run|digest|paused",
        "draft|task|draft|waiting",
        "draft/1|turn|turn 1|waiting",
        "draft/1/tool:0|tool|tool:0|waiting",
        "draft/1/tool:0/ask|ask|May it?|waiting",
    ]
    script.add("approval.decided", seg="", id="a-1", decision="deny")
    assert [node.status for node in tree(script.events, alive=False).walk()][-1] == "deny"
    ask(script, "a-2", attempt=2)
    assert [node.status for node in tree(script.events, alive=False).walk()][-1] == "waiting"


def test_a_refused_call_has_an_end_and_no_beginning(script):
    script.add("tool.checked", "draft/1/tool:0", tool="publish", verdict="deny", by="scope")
    script.add("tool.finished", "draft/1/tool:0", tool="publish", outcome="denied")
    (*_, step) = tree(script.events).walk()
    assert (step.title, step.status) == ("publish", "denied")
    assert step.data("tool.checked")["by"] == "scope"


def test_a_failed_task_that_is_entered_again_is_not_failed(script):
    script.add("task.finished", "draft", status="failed").add("run.finished", status="failed")
    assert tree(script.events, alive=False).children[0].status == "failed"
    script.seg = "s2"
    script.add("run.resumed").add("model.started", "draft/2/model", 2)
    assert tree(script.events).children[0].status == "running"


def test_what_a_tool_gave_back_is_read_whole(script):
    seen = ChatMessage("tool", "cut…", tool_call_id="c1")
    script.add("message.recorded", "draft/1/tool:0", id=seen.id(), **seen.to_data())
    script.tool("draft/1/tool:0", message=seen.id())
    script.tool("draft/1/tool:1", message=seen.id(), full="the whole text")
    script.tool("draft/1/tool:2", outcome="error", error={"type": "ToolError", "message": "No such page."})
    known = messages(script.events)
    assert known == {seen.id(): seen}
    steps = [node for node in tree(script.events).walk() if node.kind == "tool"]
    assert [received(step, known) for step in steps] == ["cut…", "the whole text", "No such page."]


def test_what_agents_say_to_each_other_is_not_what_models_read(script):
    script.add(
        "message.recorded",
        "draft",
        id="x",
        kind="assignment",
        sender="coordinator",
        to="Editor",
        content="Go",
    )
    assert [event.data["content"] for event in exchanges(script.events)] == ["Go"]
    assert messages(script.events) == {}


def test_the_ending_says_why(script):
    assert ending(script.events).status == "running"
    script.add("run.paused", reason="approval")
    assert (ending(script.events).status, ending(script.events).why) == ("paused", "approval")
    report = {
        "completed": ["draft"],
        "failed": [{"task": "x", "error": {}}],
        "skipped": [{"task": "y", "why": "x failed"}],
    }
    script.add("run.finished", status="limit", why="0.52 of 0.50 usd used.", output={"a": 1}, report=report)
    end = ending(script.events)
    assert (end.status, end.why, end.output) == ("limit", "0.52 of 0.50 usd used.", {"a": 1})
    assert (end.completed, end.failed[0]["task"], end.skipped[0]["why"]) == (("draft",), "x", "x failed")


def test_events_of_another_make_are_read_around(script):
    odd = {"usage": "none", "usd": None, "report": [], "failed": 3, "error": "text", "id": 5}
    for type in (
        "model.finished",
        "tool.finished",
        "approval.decided",
        "run.finished",
        "task.finished",
        "new.type",
    ):
        script.add(type, "draft//x:1/", **odd).add(type, **odd).add(type)
    assert tree(script.events).kind == "run"
    assert totals(script.events).tokens == 0
    assert ending(script.events).completed == ()
    assert pending(script.events) == []


def test_no_events_are_an_empty_run():
    assert (tree([]).children, totals([]).usd, pending([]), ending([]).status) == ([], 0.0, [], "running")
