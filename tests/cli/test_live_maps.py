"""A map while it goes on: a row with how far it is, the items under way, and not a row for each item."""

from __future__ import annotations

from rich.console import Console

from crewkit import Crew, Input, Task, tool
from crewkit.cli.live import View
from crewkit.cli.progress import Progress
from crewkit.cli.transcript import Transcript


@tool(effects="read")
def halve(item: int) -> float:
    """Halve."""
    if item == 7:
        raise ValueError("seven")
    return item / 2


CREW = Crew(
    [Task("halves", do=halve, for_each="rows", min_success=0.5)],
    inputs={"rows": Input(type=list[int], default=list(range(100)))},
    name="halving",
)


async def test_a_long_map_is_one_row_with_the_items_under_way_below_it(make_options, runs):
    result = await CREW.run({}, make_options())
    progress, most = Progress(), 0
    console = Console(width=90, height=20, record=True, force_terminal=False)
    said: list[str] = []
    for event in runs.events(result.run_id):
        progress.add(event)
        said += ["".join(text for text, _ in line) for line in [progress.line(event)] if line]
        most = max(most, len(progress.tasks))
        if progress.tasks.get("halves") and progress.tasks["halves"].done == 50:
            console.print(View(console, progress).render())
            break
    assert most <= 1 + 10 + 1
    drawn = console.export_text()
    assert "50 of 100 items, 1 failed" in drawn
    assert "▸ halves[" in drawn
    assert next(line for line in said if "items" in line) == "  halves  10 of 100 items, 1 failed"
    assert "✗ halves[7]  failed: halve() raised ValueError: seven" in said
    assert len(said) < 12


async def test_a_transcript_shows_the_items_that_failed_and_some_and_says_how_many_there_are(
    make_options, runs
):
    result = await CREW.run({}, make_options())
    events = list(runs.events(result.run_id))
    lines = ["".join(text for text, _ in line.spans) for line in Transcript(events, alive=False)]
    (counted,) = [line for line in lines if line.startswith("100 items")]
    assert "99 completed, 1 failed; 95 not shown: crewkit show RUN --task 'halves'" in counted
    assert any(line.startswith("✗ halves[7]") for line in lines)
    one = Transcript(events, alive=False, task="halves[42]")
    assert any("halve(item=42)" in "".join(text for text, _ in line.spans) for line in one)
    assert len(list(Transcript(events, alive=False, task="halves"))) > 100
