import io
import os
import pty
import select
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from inline_snapshot import snapshot
from rich.console import Console

from crewkit.cli.live import View
from crewkit.cli.progress import Progress
from crewkit.core.events import Event

SOON = time.monotonic() + 1e6
"""So that no time passes in what is drawn."""


def event(
    type: str, path: str = "", task: str = "", agent: str = "", t: float = 0.0, **data: object
) -> Event:
    return Event("r-live", 1, type, "2026-11-21T09:00:00.000000Z", t, "s-1", path, task, agent, 1, dict(data))


def begun(*names: str, needs: dict[str, list[str]] | None = None) -> Event:
    tasks = [{"name": name, "needs": (needs or {}).get(name, []), "agent": "Ada"} for name in names]
    return event("run.started", crew="digest", tasks=tasks, limits={"tokens": 1000, "usd": None}, t=SOON)


def screen(events: list[Event], width: int = 60, height: int = 25) -> str:
    progress = Progress()
    console = Console(file=io.StringIO(), width=width, height=height, markup=False, highlight=False)
    for each in events:
        progress.add(each)
    with console.capture() as captured:
        console.print(View(console, progress).render())
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


USAGE = {"input_tokens": 300, "output_tokens": 20}


def test_the_view_shows_each_task_with_what_is_done_right_now():
    shown = screen(
        [
            begun("find", "draft", "odd", needs={"draft": ["find"]}),
            event("task.started", "find", "find", "Ada", t=SOON),
            event("model.started", "find/1/model", "find", "Ada"),
            event("model.finished", "find/1/model", "find", "Ada", usage=USAGE, usd=None),
            event(
                "tool.started", "find/1/tool:0", "find", "Ada", tool="search", arguments={"q": "\x1b[2J[red]"}
            ),
            event("task.finished", "odd", "odd", status="failed", error={"message": "it broke"}),
        ]
    )
    assert shown == snapshot("""\
digest  r-live  0 of 3 tasks
▸ find   Ada: search(q="\\u001b[2J[red]")               0.0 s
· draft  after find
✗ odd    it broke
320 of 1,000 tokens · unknown cost · 1 step · 0 seconds\
""")


def test_streamed_text_is_shown_as_it_comes():
    shown = screen(
        [
            begun("find"),
            event("task.started", "find", "find", "Ada", t=SOON),
            event("model.started", "find/1/model", "find", "Ada"),
            event("model.chunk", "find/1/model", "find", "Ada", text="The tides "),
            event("model.chunk", "find/1/model", "find", "Ada", text="are late."),
        ]
    )
    assert "Ada: writing: The tides are late." in shown


def test_a_thousand_tasks_fit_on_a_screen_with_what_happens_now_on_it():
    names = [f"t{i}" for i in range(1000)]
    running = event("task.started", "t777", "t777", "Ada", t=SOON)
    shown = screen([begun(*names), running], height=20)
    assert len(shown.splitlines()) <= 20
    assert "▸ t777" in shown
    assert "985 waiting" in shown


@pytest.mark.parametrize("width", [20, 40, 200])
def test_no_line_is_wider_than_the_terminal(width):
    shown = screen([begun("a-task-with-a-rather-long-name-that-goes-on", "b")], width=width)
    assert max(map(len, shown.splitlines())) <= width


def test_a_sub_crews_tasks_stand_below_it():
    shown = screen(
        [
            begun("outer", "last"),
            event("task.started", "outer", "outer", t=SOON),
            event("task.started", "outer/inner", "outer/inner", "Ada", t=SOON),
        ]
    )
    names = [line.split()[1] for line in shown.splitlines()[1:4]]
    assert names == ["outer", "inner", "last"]


def test_drawing_costs_little_however_many_events_there_are():
    progress = Progress()
    console = Console(file=io.StringIO(), width=80, height=25)
    view = View(console, progress)
    view.add(begun(*(f"t{i}" for i in range(1000))))
    began = time.process_time()
    for i in range(20_000):
        view.add(event("model.chunk", f"t{i % 1000}/1/model", f"t{i % 1000}", text="word "))
    assert time.process_time() - began < 1.0
    assert console.file.getvalue() == ""


@pytest.mark.slow
def test_on_a_terminal_the_view_is_drawn_and_the_answer_goes_to_stdout(folder):
    master, terminal = pty.openpty()
    command = [sys.executable, "-m", "crewkit.cli.main", "run", "finding.py", "-i", "topic=tides"]
    environ = {**os.environ, "TERM": "xterm", "LINES": "24"}
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=terminal, env=environ, text=True
    )
    os.close(terminal)
    drawn = b""
    while select.select([master], [], [], 20)[0]:
        try:
            drawn += os.read(master, 4096)
        except OSError:  # the other end is closed
            break
    out, _ = process.communicate(timeout=20)
    os.close(master)
    assert process.returncode == 0
    assert "What is known of tides." in out
    assert "said by a tool" not in out
    assert b"said by a tool" in drawn
    assert "✓".encode() in drawn
    assert b"transcript r-" in drawn


def test_a_journal_that_does_not_answer_is_named_until_it_does():
    silent = replace(event("journal.slow", seconds=10.0), seq=0)
    assert "the journal does not answer" in screen([begun("find"), silent])
    assert "the journal" not in screen([begun("find"), silent, event("task.started", "find", "find")])
