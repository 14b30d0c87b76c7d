"""Where two runs differ."""

from __future__ import annotations

from crewkit.core.events import Event
from crewkit.journal.compare import differences


def run(*lines: tuple) -> list[Event]:
    events = []
    for seq, (type, path, data) in enumerate(lines, 1):
        events.append(Event("r", seq, type, "", seq, "s", path, path.partition("/")[0], "Ann", 1, data))
    return events


def task(name: str, output: str, status: str = "completed") -> tuple:
    return "task.finished", name, {"status": status, "output": output, "seconds": 1.0}


def decision(path: str, *calls: tuple[str, str], text: str = "", id: str = "c1") -> tuple:
    chosen = [{"id": id, "tool": tool, "arguments": arguments} for tool, arguments in calls]
    return "decision.made", path, {"offered": ["look"], "withheld": [], "chosen": chosen, "text": text}


def usage(path: str, tokens: int) -> tuple:
    return "model.finished", path, {"usage": {"input_tokens": tokens, "output_tokens": 1}, "usd": 0.1}


def said(a: list[Event], b: list[Event], by) -> list[tuple[str, tuple[str, ...]]]:
    return [(each.at, tuple(each.differs)) for each in differences(a, b, by)]


def test_runs_that_came_to_the_same_are_the_same_whatever_the_order_and_the_time():
    one = run(task("a", "1"), task("b", "2"))
    other = run(task("b", "2"), ("note", "a", {"text": "new"}), task("a", "1"))
    assert differences(one, other, "task") == []


def test_tasks_differ_by_output_status_and_presence():
    one = run(task("a", "1"), task("b", "2"), task("c", "3"))
    other = run(task("a", "1"), task("x", "9"), task("b", "two"), task("c", "3", "failed"))
    assert said(one, other, "task") == [("x", ("missing",)), ("b", ("output",)), ("c", ("status",))]


def test_a_task_that_never_ended_differs_from_one_that_did():
    begun = ("task.started", "a", {"agent": "Ann"})
    assert said(run(begun), run(begun, task("a", "1")), "task") == [("a", ("status", "output"))]


def test_ids_and_blanks_in_arguments_do_not_make_another_decision():
    one = run(decision("a/1", ("look", '{"x": 1, "y": 2}'), text="I look."))
    other = run(decision("a/1", ("look", '{"y":2,"x":1}'), text="Let me look.", id="c9"))
    assert differences(one, other, "decision") == []


def test_the_first_divergence_comes_first():
    one = run(decision("a/1", ("look", '{"x": 1}')), decision("a/2", text="It is 1."))
    other = run(
        decision("a/1", ("look", '{"x": 2}')), decision("a/2", ("look", "{}")), decision("a/3", text="2")
    )
    assert said(one, other, "decision") == [
        ("a/1", ("chosen",)),
        ("a/2", ("chosen", "answer")),
        ("a/3", ("missing",)),
    ]


def test_an_offer_that_changed_is_another_decision():
    one, other = run(decision("a/1", text="1")), run(decision("a/1", text="1"))
    other[0].data["withheld"].append({"tool": "look", "by": "scope", "why": "not granted"})
    assert said(one, other, "decision") == [("a/1", ("withheld",))]


def test_costs_differ_by_task_and_in_all():
    one = run(usage("a/1/model", 10), usage("b/1/model", 5))
    other = run(usage("a/1/model", 10), usage("b/1/model", 7))
    assert said(one, other, "cost") == [("b", ("tokens", "input_tokens")), ("", ("tokens", "input_tokens"))]
    assert differences(one, one, "cost") == []


def test_a_place_that_only_the_second_has_stands_after_what_precedes_it_there():
    one = run(task("a", "1"), task("b", "1"))
    other = run(task("z", "1"), task("a", "2"), task("y", "1"), task("b", "2"), task("x", "1"))
    assert [at for at, _ in said(one, other, "task")] == ["z", "a", "y", "b", "x"]
