"""What the page is given."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crewkit.core.events import Draft, Event
from crewkit.journal.base import Write
from crewkit.journal.read import totals
from crewkit.journal.sqlite import SqliteJournal
from crewkit.journal.tree import tree
from crewkit.web.data import HEAD, LONGEST, RunData, embedded, event_data, shortened
from crewkit.web.fold import Fold, fold
from crewkit.web.follow import Reader, changes
from crewkit.web.page import page

_TEXT = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(_TEXT)
def test_data_in_a_script_opens_and_closes_no_element_and_comes_back_as_it_was(value):
    text = embedded(value)
    assert "<" not in text
    assert json.loads(text) == value


def test_a_page_has_one_style_and_one_script_and_allows_nothing_else():
    text = page({"mode": "file", "title": "</script><script>alert(1)</script>"}, title="<b>", served=False)
    assert text.count("<script") == 2  # the data and the page's own
    assert text.count("</script>") == 2
    assert "<title>&lt;b&gt;</title>" in text
    head = text[: text.index("<style>")]
    assert "unsafe" not in head
    assert "default-src 'none'" in head
    assert "connect-src" not in head


def test_the_tree_is_the_one_that_the_terminal_prints(events):
    data = fold(events, alive=False)
    assert {path: node["status"] for path, node in data.nodes.items()} == {
        node.path: node.status for node in tree(events, alive=False).walk()
    }


def test_figures_add_up_to_those_of_the_run(events):
    data, used = fold(events, alive=False), totals(events)
    assert data.nodes[""]["used"][:2] == [used.input_tokens, used.output_tokens]
    assert data.head["used"]["steps"] == used.steps


def test_the_red_path_leads_from_the_run_to_what_failed_and_nowhere_else(events):
    nodes = fold(events, alive=False).nodes
    assert [path for path, node in nodes.items() if node.get("red")] == [
        *("", "german", "german/2", "german/2/guardrail:output:0")
    ]


def test_a_long_text_is_cut_and_says_where_and_how_long_it_is():
    event = Event(
        "r", 1, "tool.finished", "", 0, "s", "a/1/tool:0", data={"full": "x" * (LONGEST + 1), "b": ["y"]}
    )
    cut = shortened(event_data(event))
    assert cut["cut"] == [(["full"], LONGEST + 1)]
    assert cut["data"] == {"full": "x" * HEAD, "b": ["y"]}


def test_what_changed_is_what_is_sent(events):
    before = fold(events[:-5], alive=True)
    after = fold(events, alive=False)
    changed = after.changed(before)
    assert {**before.nodes, **changed} == after.nodes
    assert len(changed) < len(after.nodes)


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)
def test_a_run_folded_bit_by_bit_is_the_run_folded_at_once(data, events, rescued):
    run = data.draw(st.sampled_from([events, rescued]))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(run) - 1), max_size=8)))
    growing = Fold()
    for start, end in pairwise([0, *cuts, len(run)]):
        alive = data.draw(st.booleans())
        now = growing.add(run[start:end], alive=alive)
        whole = fold(run[:end], alive=alive)
        assert now == whole
        assert siblings(now) == siblings(whole)


def siblings(run: RunData) -> dict[str, list[str]]:
    """Return, by node, its children in order."""
    found: dict[str, list[str]] = {}
    for path, node in run.nodes.items():
        found.setdefault(node["up"], []).append(path)
    return found


def test_who_has_a_run_already_is_sent_only_what_is_new(grown):
    journal, append = grown
    reader = Reader(journal)
    before = reader.load("r-1")
    assert reader.load("r-1") is before
    append(Draft("note", data={"text": "more"}), Draft("task.finished", "draft", {"status": "completed"}))
    reader.kept = before
    news = next(changes(reader, "r-1", before.data.head["last"], threading.Event()))
    assert [event["type"] for event in news["events"]] == ["note", "task.finished"]
    assert "other" not in news["nodes"]
    assert news["nodes"]["draft"]["status"] == "completed"
    assert reader.load("r-1").data == fold(list(journal.events("r-1")), alive=True)


def test_a_run_whose_content_was_dropped_is_read_anew(grown):
    journal, append = grown
    append(Draft("note", data={"text": "a secret"}))
    reader = Reader(journal)
    assert b"a secret" in reader.load("r-1").body
    append(release=True)
    journal.rewrite("r-1", lambda _type, data: {**data, "text": ""} if "text" in data else data)
    assert b"a secret" not in reader.load("r-1").body


@pytest.fixture
def grown(tmp_path):
    """A run that is going on, and what lets it."""
    with SqliteJournal(tmp_path / "journal.db") as journal:
        lease = journal.begin("r-1", "digest", "s-1")

        def append(*drafts: Draft, release: bool = False) -> None:
            stamped = [replace(draft, ts="2026-11-21T09:00:00.000000Z", seg="s-1") for draft in drafts]
            if stamped:
                journal.append([Write("r-1", stamped, lease.epoch)])
            if release:
                journal.release(lease)

        append(
            Draft("run.started", data={"crew": "digest", "tasks": []}),
            Draft("task.started", "other", {"agent": "Ann"}, "other"),
            Draft("task.finished", "other", {"status": "completed"}, "other"),
            Draft("task.started", "draft", {"agent": "Ann"}, "draft"),
        )
        yield journal, append
