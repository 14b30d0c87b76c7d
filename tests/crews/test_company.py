"""The company: sources side by side, one of them down, two of them at odds, one report."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from inline_snapshot import snapshot

from crewkit import JournalError, Options, Result
from crewkit.journal.sqlite import SqliteJournal
from crews.company import crew
from tests.crew.dying import Dying
from tests.crews.shape import shape

RUN = "r-company"


async def go(journal: SqliteJournal, down: list[str]) -> Result:
    options = Options(journal=journal, environ={}, run_id=RUN)
    return await (crew.resume(RUN, options) if journal.last(RUN) else crew.run({"down": down}, options))


async def test_the_figure_that_most_sources_give_counts_and_the_report_says_so(tmp_path: Path):
    with SqliteJournal(tmp_path / "j.db") as journal:
        result = await go(journal, [])
        events = list(journal.events(RUN))
    assert result.ok, result.why
    assert result.output.startswith(
        "# Adler Papier\n\nTurnover 2025: 120.4 million euro (Annual report 2025, page 7).\n"
        "The sources do not agree (filing: 120.4; register: 120.4; news: 130): 2 for 120.4, 1 for 130.0.\n"
    )
    (conflict,) = [e for e in events if e.type == "conflict.resolved"]
    assert (conflict.path.partition("/")[0], conflict.data["chosen"]) == ("revenue", "filing")
    started = {e.path: e.seq for e in events if e.type == "task.started"}
    ended = {e.path: e.seq for e in events if e.type == "task.finished"}
    sources = ("filing", "register", "news", "names")
    assert max(started[name] for name in sources) < min(ended[name] for name in sources)  # side by side
    assert shape(events, "map.started", "tool.finished", "conflict.resolved", "model.finished") == snapshot(
        [
            "conflict.resolved revenue/resolved",
            "map.started rivals",
            "model.finished outlook/1/model",
            "tool.finished filing/1/tool:0",
            "tool.finished names/1/tool:0",
            "tool.finished news/1/tool:0",
            "tool.finished register/1/tool:0",
            "tool.finished report/1/tool:0",
            "tool.finished rivals[0]/1/tool:0",
            "tool.finished rivals[1]/1/tool:0",
            "tool.finished rivals[2]/1/tool:0",
        ]
    )


async def test_a_source_that_is_down_is_tried_again_and_left_out(tmp_path: Path):
    with SqliteJournal(tmp_path / "j.db") as journal:
        result = await go(journal, ["news", "Dorn Farben"])
        tries = [e.task for e in journal.events(RUN, types=("retry.scheduled",))]
    assert result.ok, result.why
    assert sorted(tries) == ["news", "news", "rivals[2]", "rivals[2]"]
    assert "news.example does not answer" in result.report.failed["news"]
    assert result.report.capped["rivals"].startswith("1 of 3 items failed: [2] look_at_rival() raised")
    assert "- The news service did not answer." in result.output
    assert "Dorn Farben" not in result.output
    assert "do not agree" not in result.output  # the two that are left say the same


async def test_a_tie_is_settled_by_who_is_believed_first(tmp_path: Path):
    with SqliteJournal(tmp_path / "j.db") as journal:
        result = await go(journal, ["register"])
        (conflict,) = journal.events(RUN, types=("conflict.resolved",))
    assert "Turnover 2025: 120.4 million euro" in result.output
    assert conflict.data["rule"] == "priority filing > register > news"


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_report_that_is_killed_and_resumed_comes_to_the_same(tmp_path: Path):
    with SqliteJournal(tmp_path / "whole.db") as journal:
        expected = await go(journal, ["Dorn Farben"])
        total = journal.last(RUN)
    for after in range(4, total, 9):
        with Dying(tmp_path / f"{after}.db", after) as dying, suppress(JournalError):
            await go(dying, ["Dorn Farben"])
        with SqliteJournal(tmp_path / f"{after}.db") as journal:
            result = await go(journal, ["Dorn Farben"])
            ends = [e.path for e in journal.events(RUN, types=("tool.finished",)) if "failed" not in e.data]
        assert result.output == expected.output, after
        assert len(ends) == len(set(ends)), after
