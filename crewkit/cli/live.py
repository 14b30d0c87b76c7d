"""The view of a run while it goes on, on a terminal."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from crewkit.cli.progress import MARKS, Progress, TaskView
from crewkit.cli.text import cells, count, cut, duration, money, number, one_line
from crewkit.core.events import Event, defined

_REFRESH = 0.125
"""Seconds between two looks at whether something changed."""
_TICK = 1.0
"""Seconds after which the clock is redrawn although nothing changed."""
_SHARE = 0.05
"""Part of the time that drawing may take, at most."""
_ACTIVE_FIRST = ("running", "asking", "failed", "waiting", "skipped", "completed")


class View:
    """Draws a run's progress on stderr, a few times a second however many events there are."""

    def __init__(self, console: Console, progress: Progress) -> None:
        self._stopping = False
        self._console = console
        self._progress = progress
        self._changed = True
        self._live = Live(console=console, auto_refresh=False, get_renderable=self.render)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> View:
        self._live.start()
        self._task = asyncio.create_task(self._refresh())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self._live.refresh()
        self._live.stop()

    def add(self, event: Event) -> None:
        """Take an event in; it is drawn with the next refresh."""
        self._progress.add(event)
        self._changed = True

    def stop(self) -> None:
        """Show that the run is being brought to an orderly end: Ctrl-C was pressed."""
        self._stopping = self._changed = True

    def render(self) -> RenderableType:
        """Return the view: a heading, the tasks that fit, what was used."""
        progress, width = self._progress, self._console.width
        room = max(self._console.height - 5, 3)
        shown, hidden = _fitting(progress, room)
        now = time.monotonic()
        rows = [_row(task, progress, now, width) for task in shown]
        heading = Text.assemble(
            (progress.crew or "crew", "bold"),
            (f"  {progress.run}  {progress.done()} of {progress.all()} tasks", "dim"),
            no_wrap=True,
            overflow="ellipsis",
        )
        parts: list[RenderableType] = [heading, *_columns(rows)]
        if hidden:
            parts.append(Text(_summary(hidden), style="dim", no_wrap=True, overflow="ellipsis"))
        # Room for the `^C` that a terminal echoes: a line that wraps would shift the view.
        parts.append(Text(cut(self._footer(now), width - 3), style="dim"))
        if progress.slow:
            parts.append(
                Text(
                    cut("the journal does not answer: nothing goes on until it does", width - 3),
                    style="yellow",
                )
            )
        if self._stopping:
            parts.append(Text(cut("stopping; Ctrl-C again leaves at once", width - 3), style="yellow"))
        return Group(*parts)

    def _footer(self, now: float) -> str:
        progress, caps = self._progress, self._progress.limits

        def of(name: str, used: str) -> str:
            cap = caps.get(name)
            return f"{used} of {cap:,g} {name}" if cap is not None else f"{used} {name}"

        spent = (
            money(None) if progress.unpriced else of("usd", f"{progress.usd:.4f}" if progress.usd else "0")
        )
        steps = (
            count(progress.steps, "step")
            if caps.get("steps") is None
            else of("steps", number(progress.steps))
        )
        parts = [of("tokens", number(progress.tokens)), spent, steps]
        return " · ".join([*parts, of("seconds", number(progress.seconds(now)))])

    async def _refresh(self) -> None:
        drawn = 0.0
        while True:
            began, cost = time.monotonic(), 0.0
            if self._changed or began - drawn >= _TICK:
                self._changed, drawn = False, began
                self._live.refresh()
                cost = time.monotonic() - began
            await asyncio.sleep(max(_REFRESH, cost / _SHARE))


def _fitting(progress: Progress, room: int) -> tuple[list[TaskView], list[TaskView]]:
    """Return the tasks to show and those that do not fit: what happens now goes before what is over."""
    order = {path: i for i, path in enumerate(progress.tasks)}

    def place(task: TaskView) -> tuple[int, str]:
        # A sub-crew's tasks stand below the task that is the sub-crew.
        top = defined(task.path.partition("/")[0])
        return order.get(top, len(order)), task.path if task.path != top else ""

    tasks = sorted(progress.tasks.values(), key=place)
    if len(tasks) <= room:
        return tasks, []
    by_interest = sorted(range(len(tasks)), key=lambda i: _interest(tasks[i]))
    kept = set(by_interest[:room])
    return [t for i, t in enumerate(tasks) if i in kept], [t for i, t in enumerate(tasks) if i not in kept]


def _interest(task: TaskView) -> int:
    return _ACTIVE_FIRST.index(task.status) if task.status in _ACTIVE_FIRST else len(_ACTIVE_FIRST)


def _row(task: TaskView, progress: Progress, now: float, width: int) -> tuple[Text, Text, Text]:
    mark, style = MARKS.get(task.status, ("·", "dim"))
    indent = "  " * (task.path.count("/") + task.path.count("["))
    name = Text.assemble(
        f"{indent}", (f"{mark} ", style), (task.name, "" if task.status == "waiting" else "bold")
    )
    seconds = max(now - task.began, 0.0) if task.began is not None else task.seconds
    used = duration(seconds) if task.began is not None or seconds else ""
    if task.tokens and width >= 72:
        used = f"{number(task.tokens)} tok  {used}"
    return name, Text(_doing(task, progress), style="" if task.activity else "dim"), Text(used, style="dim")


def _doing(task: TaskView, progress: Progress) -> str:
    match task.status:
        case "running" | "asking":
            who = f"{task.agent}: " if task.agent else ""
            # The end of a text that streams in is what is new.
            said = one_line(task.activity)
            return f"{who}{said if not task.tail or task.calls else said[-60:]}" if said else task.agent
        case "waiting":
            open_needs = [
                n for n in task.needs if (t := progress.tasks.get(n)) is None or t.status != "completed"
            ]
            return f"after {', '.join(open_needs)}" if open_needs else ""
        case "failed" | "skipped":
            return one_line(task.why)
        case _:
            return task.agent


def _columns(rows: list[tuple[Text, Text, Text]]) -> list[RenderableType]:
    if not rows:
        return []
    grid = Table.grid(padding=(0, 2), expand=True)
    names = max(cells(name.plain) for name, _, _ in rows)
    grid.add_column(no_wrap=True, overflow="ellipsis", width=min(names, 28))
    grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    grid.add_column(no_wrap=True, justify="right")
    for row in rows:
        grid.add_row(*row)
    return [grid]


def _summary(hidden: list[TaskView]) -> str:
    counts: dict[str, int] = {}
    for task in hidden:
        counts[task.status] = counts.get(task.status, 0) + 1
    return f"… {len(hidden):,} more: " + ", ".join(f"{many:,} {status}" for status, many in counts.items())
