"""When what happened, on one clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from crewkit.core.clock import timestamp
from crewkit.core.events import Event
from crewkit.journal.timeline import Bar, Timeline, timeline
from crewkit.journal.tree import tree

START = datetime(2026, 1, 1, tzinfo=UTC)


class Lines:
    """Writes events at seconds of our choice."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def at(
        self, second: float, type: str, path: str = "", seg: str = "s1", attempt: int = 1, **data
    ) -> Lines:
        ts = timestamp(START + timedelta(seconds=second))
        seq, task = len(self.events) + 1, path.partition("/")[0]
        self.events.append(Event("r", seq, type, ts, second, seg, path, task, "", attempt, data))
        return self

    def timeline(self, *, alive: bool = False) -> Timeline:
        return timeline(tree(self.events, alive=alive))


def waited() -> Lines:
    """A task that asked, stood still for a day while its process ended, and went on in another."""
    lines = Lines().at(0, "run.started", crew="x").at(0, "task.started", "a")
    lines.at(0, "tool.started", "a/1/tool:0").at(4, "tool.finished", "a/1/tool:0", outcome="ok")
    lines.at(4, "approval.requested", "a/2/ask", id="q").at(4, "run.paused", reason="approval")
    lines.at(86_400, "approval.decided", "a/2/ask", "cli-1", id="q", decision="approve")
    lines.at(86_404, "run.resumed", seg="s2")
    lines.at(86_404, "tool.started", "a/3/tool:0", "s2").at(86_408, "tool.finished", "a/3/tool:0", "s2")
    return lines.at(86_408, "task.finished", "a", "s2", status="completed").at(
        86_408, "run.finished", "", "s2"
    )


def test_a_task_that_waited_for_a_person_shows_it():
    found = waited().timeline()
    assert found.bars["a"] == [Bar(0, 4, "work"), Bar(4, 86_404, "wait"), Bar(86_404, 86_408, "work")]
    assert found.bars["a/2/ask"] == [Bar(4, 86_400, "wait")]


def test_the_long_stretch_in_which_nothing_was_under_way_is_folded():
    found = waited().timeline()
    assert found.folds == [(4, 86_404)]
    assert [(segment.start, segment.end) for segment in found.segments] == [(0, 4), (86_404, 86_408)]
    scale = found.scale(100, 10)
    assert [round(scale(second)) for second in (0, 4, 86_404, 86_408)] == [0, 45, 55, 100]


def test_without_a_question_standing_still_is_a_pause():
    lines = Lines().at(0, "run.started").at(0, "task.started", "a").at(1, "run.paused")
    lines.at(50, "run.resumed", seg="s2").at(51, "task.finished", "a", "s2", status="completed")
    assert [bar.kind for bar in lines.timeline().bars["a"]] == ["work", "pause", "work"]


def test_every_attempt_and_the_time_before_another_has_its_bar():
    lines = Lines().at(0, "run.started").at(0, "model.started", "a/1/model")
    lines.at(1, "model.finished", "a/1/model", failed={"type": "E"}).at(
        1, "retry.scheduled", "a/1/model", seconds=2
    )
    lines.at(3, "model.started", "a/1/model", attempt=2).at(5, "model.finished", "a/1/model", attempt=2)
    assert lines.timeline().bars["a/1/model"] == [Bar(0, 1, "failed"), Bar(1, 3, "retry"), Bar(3, 5, "work")]


def test_what_a_dead_process_left_ends_where_it_was_last_heard_of():
    lines = Lines().at(0, "run.started").at(1, "tool.started", "a/1/tool:0").at(3, "note", "b", text="x")
    assert lines.timeline().bars["a/1/tool:0"] == [Bar(1, 3, "interrupted")]
    assert lines.timeline(alive=True).bars["a/1/tool:0"] == [Bar(1, 3, "running")]


def test_a_clock_that_was_set_back_and_a_time_that_is_none_break_nothing():
    lines = Lines().at(10, "run.started").at(5, "task.started", "a")
    lines.events.append(Event("r", 3, "task.finished", "soon", 0, "s1", "a", "a"))
    found = lines.timeline()
    assert found.end == 0
    assert all(bar.end >= bar.start >= 0 for bars in found.bars.values() for bar in bars)


@given(
    st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e6)), max_size=5),
    st.lists(st.floats(0, 2e6), min_size=2),
)
def test_time_only_ever_goes_to_the_right(pairs, moments):
    ends = sorted({round(each, 3) for pair in pairs for each in pair})
    folds = list(zip(ends[::2], ends[1::2], strict=False))
    scale = Timeline("", 1e6, folds=folds).scale(120, 2)
    places = [scale(second) for second in sorted(moments)]
    assert places == sorted(places)
    assert 0 <= scale(0.0) <= scale(1e6) <= 120 + 1e-3
