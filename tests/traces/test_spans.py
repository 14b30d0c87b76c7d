"""A run as spans."""

from __future__ import annotations

import pytest

from crewkit.core.events import Event
from crewkit.traces import names
from crewkit.traces.send import LARGEST_BATCH, MOST_SPANS, batches, endpoint, wanted
from crewkit.traces.spans import LONGEST, Span, spans, trace_id


def run() -> list[Event]:
    """A task with a retried model call, a tool, a recall, a guardrail, a question, and one that failed."""
    events: list[Event] = []

    def add(type: str, path: str = "", attempt: int = 1, **data: object) -> None:
        seq = len(events) + 1
        ts = f"2026-01-01T00:00:{seq:02}.000001Z"
        events.append(
            Event("r-1", seq, type, ts, seq, "s", path, path.partition("/")[0], "Ann", attempt, data)
        )

    add("run.started", crew="digest", inputs={"topic": "tides"})
    add("task.started", "draft", agent="Ann")
    add(
        "message.recorded",
        "draft",
        id="b",
        kind="assignment",
        sender="coordinator",
        to="Ann",
        content="Write.",
    )
    add("agent.started", "draft/0", role="Ann")
    add("message.recorded", "draft/0", id="m1", role="user", content="Write.")
    sent = {"new": ["m1"], "count": 1}
    add("model.started", "draft/1/model", model="openai/gpt-5", messages=sent, temperature=0.2)
    add("model.finished", "draft/1/model", failed={"type": "ModelError", "message": "gone"})
    add("model.started", "draft/1/model", 2, model="openai/gpt-5", messages=sent)
    calls = [{"id": "c", "name": "look", "arguments": "{}"}]
    add("message.recorded", "draft/1/model", id="m2", role="assistant", content="", tool_calls=calls)
    usage = {"input_tokens": 100, "output_tokens": 10, "cached_tokens": 40}
    add("model.finished", "draft/1/model", 2, model="openai/gpt-5", message="m2", usage=usage, usd=0.5)
    add("decision.made", "draft/1", offered=["look"], chosen=[])
    add("tool.started", "draft/1/tool:0", tool="look", arguments={"at": "secret place"}, effects=["read"])
    add(
        "memory.searched", "draft/1/tool:0", query="sea", hits=[{"id": "h", "source": "sea.md", "score": 1.5}]
    )
    add("message.recorded", "draft/1/tool:0", id="m3", role="tool", content="x" * 100_000)
    add("tool.finished", "draft/1/tool:0", tool="look", outcome="ok", message="m3")
    add("guardrail.checked", "draft/1/guardrail:0", guardrail="short", verdict="revise", why="too long")
    add("approval.requested", "draft/1/ask", id="a", question="Good?")
    add("task.finished", "draft", status="failed", error={"type": "RunError", "message": "too long"})
    add("run.finished", status="failed", why="Task 'draft' failed.")
    return events


@pytest.fixture
def found() -> dict[str, Span]:
    return {f"{span.name} {span.attributes[names.PATH]}": span for span in spans(run())}


def test_there_is_one_root_no_orphan_and_every_span_has_a_kind():
    found = spans(run())
    ids = {span.id for span in found}
    assert len(ids) == len(found)
    assert [span.name for span in found if span.parent not in ids] == ["invoke_workflow digest"]
    assert all(span.attributes[names.KIND] for span in found)
    assert all(span.end >= span.start > 0 for span in found)


def test_ids_are_the_same_in_every_export_and_other_for_another_run():
    assert [span.id for span in spans(run())] == [span.id for span in spans(run())]
    assert trace_id("r-1") != trace_id("r-2")
    assert len(trace_id("r-1")) == 32


def test_names_and_kinds_are_those_of_the_conventions():
    assert [(span.name, span.attributes[names.KIND]) for span in spans(run())] == [
        ("invoke_workflow digest", "CHAIN"),
        ("invoke_agent Ann", "AGENT"),
        ("chat openai/gpt-5", "LLM"),
        ("chat openai/gpt-5", "LLM"),
        ("execute_tool look", "TOOL"),
        ("search_memory", "RETRIEVER"),
        ("guardrail short", "GUARDRAIL"),
        ("approval", "CHAIN"),
    ]


def test_usage_stands_on_chats_alone():
    holders = {span.name for span in spans(run()) if any("token" in name for name in span.attributes)}
    assert holders == {"chat openai/gpt-5"}
    assert sum(span.attributes.get(names.TOTAL_TOKENS, 0) for span in spans(run())) == 110


def test_a_chat_has_messages_as_json_and_no_input_value():
    chats = [span for span in spans(run()) if span.name.startswith("chat")]
    assert all(names.INPUT not in span.attributes for span in chats)
    assert '"role": "user"' in chats[1].attributes[names.INPUT_MESSAGES]
    assert '"type": "tool_call"' in chats[1].attributes[names.OUTPUT_MESSAGES]


def test_what_failed_says_why(found):
    assert found["invoke_agent Ann draft"].error == "too long"
    assert found["invoke_workflow digest "].error == "Task 'draft' failed."
    assert [span.error for span in spans(run()) if span.name.startswith("chat")] == ["gone", ""]


def test_content_can_be_left_out():
    text = str(spans(run(), content=False))
    for said in ("Write.", "secret place", "tides", "too long'", "xxx", "sea.md"):
        assert said not in text.replace("error='too long'", "")
    assert "openai/gpt-5" in text


def test_a_long_text_is_cut(found):
    text = found["execute_tool look draft/1/tool:0"].attributes[names.OUTPUT]
    assert len(text) < LONGEST + 100
    assert text.endswith("[40000 more characters]")


def test_batches_stay_below_what_collectors_take():
    many = [Span(str(i), "", "n", 1, 1, {"a": "x" * 500_000}) for i in range(20)]
    assert [span for batch in batches(many) for span in batch] == many
    assert all(sum(len(span.attributes["a"]) for span in batch) <= LARGEST_BATCH for batch in batches(many))
    assert max(len(batch) for batch in batches([Span("", "", "", 1, 1, {})] * 2000)) == MOST_SPANS


def test_the_standard_variables_are_heard():
    assert not wanted({})
    assert wanted({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"})
    assert not wanted({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true"})
    assert endpoint({}) == "http://localhost:4318/v1/traces"
    assert endpoint({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318/"}) == "http://c:4318/v1/traces"
    assert endpoint({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c/x"}) == "http://c/x"
    assert endpoint({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c/x"}, "http://d") == "http://d/v1/traces"


def test_what_summaries_cost_and_who_tried_next_are_spans_too(rescued):
    made = spans(rescued)
    usage = [
        event.data["usage"] for event in rescued if "usage" in event.data and event.type == "model.finished"
    ]
    spent = sum(each["input_tokens"] + each["output_tokens"] for each in usage)
    assert sum(span.attributes.get(names.TOTAL_TOKENS, 0) for span in made) == spent
    by_id = {span.id: span for span in made}
    path = {span.attributes[names.PATH]: span for span in made}
    assert path["rates/6/summary"].attributes[names.RESPONSE_MODEL] == "cheap/summariser"
    assert path["rates/2/tool:1/fallback"].attributes[names.TOOL] == "archive"
    assert by_id[path["rates/fallback:1/1/model"].parent].name == "invoke_agent Senior"
    assert [span.name for span in made if not span.parent] == ["invoke_workflow rescue"]
    assert all(span.parent in by_id for span in made if span.parent)


def test_a_look_for_earlier_cases_is_a_search_of_memory():
    data = {"query": "sea", "hits": [{"id": "h", "score": 0.5}], "chosen": [], "text": "", "label": None}
    events = run()
    at = "draft/0/recall"
    events.insert(4, Event("r-1", 99, "memory.recalled", events[4].ts, 4, "s", at, "draft", "Ann", 1, data))
    [search] = [span for span in spans(events) if span.attributes[names.PATH] == "draft/0/recall"]
    assert (search.name, search.attributes[names.KIND]) == ("search_memory", "RETRIEVER")
    assert search.parent == next(span.id for span in spans(events) if span.attributes[names.PATH] == "draft")
