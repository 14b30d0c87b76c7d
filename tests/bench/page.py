"""How long the page of a long run takes to open in a real browser: as a file, and served.

python tests/bench/page.py [events ...]

A run is open when its outline and its transcript stand. `cold`: the browser asks in the moment in which `crewkit view`
prints the address. `later`: a second after that. Seconds, the median of three.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from crewkit.core.events import Draft
from crewkit.journal.base import Write
from crewkit.journal.sqlite import SqliteJournal
from crewkit.web.export import as_html

RUN = "r-long"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def drafts(count: int) -> Iterator[Draft]:
    """Yield a run of about so many events: tasks of a hundred turns, each with a model and a tool call."""
    at = 0

    def draft(type: str, path: str, **data: Any) -> Draft:
        nonlocal at
        at += 1
        moment = at / 50
        ts = f"2026-01-01T{int(moment // 3600):02}:{int(moment % 3600 // 60):02}:{moment % 60:09.6f}Z"
        task = path.partition("/")[0]
        return Draft(type, path, data, task, "Ann" if task else "", ts=ts, t=moment, seg="s-1")

    yield draft("run.started", "", crew="long", tasks=[])
    task = 0
    while at < count:
        task += 1
        yield draft("task.started", f"t{task}", agent="Ann", needs=[])
        for turn in range(1, 101):
            here, said, seen = f"t{task}/{turn}", f"m{task}-{turn}", f"r{task}-{turn}"
            call = {"id": "c", "tool": "look", "arguments": f'{{"at": {turn}}}'}
            usage = {"input_tokens": 900, "output_tokens": 40}
            yield draft("model.started", f"{here}/model", model="m", messages={"new": [], "count": 2 * turn})
            yield draft(
                "message.recorded",
                f"{here}/model",
                id=said,
                role="assistant",
                content=f"I look at {turn}. " * 8,
            )
            yield draft("model.finished", f"{here}/model", model="m", message=said, usage=usage, usd=0.001)
            yield draft("decision.made", here, offered=["look"], chosen=[call], budget={})
            yield draft(
                "tool.started", f"{here}/tool:0", tool="look", arguments={"at": turn}, effects=["read"]
            )
            yield draft(
                "message.recorded", f"{here}/tool:0", id=seen, role="tool", content=f"Seen: {turn}. " * 20
            )
            yield draft(
                "tool.finished", f"{here}/tool:0", tool="look", outcome="ok", message=seen, seconds=0.01
            )
        yield draft("task.finished", f"t{task}", status="completed", output="done", seconds=1.0)
    yield draft("run.finished", "", status="completed", output="done", report={}, usage={})


def kept(folder: Path, count: int) -> SqliteJournal:
    journal = SqliteJournal(folder / "journal.db")
    lease = journal.begin(RUN, "long", "s-1")
    journal.append([Write(RUN, list(drafts(count)), lease.epoch)])
    journal.release(lease)
    return journal


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The command in a process of its own; yields the address that it prints."""
    command = [sys.executable, "-m", "crewkit.cli.main", "view", RUN]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as view:
        assert view.stdout
        yield view.stdout.readline().strip()
        view.send_signal(signal.SIGINT)


def opened(browser: Browser, address: str) -> float:
    """Return the seconds until the run stands."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    begun = time.monotonic()
    page.goto(address, wait_until="commit")
    page.wait_for_selector(".outline .row")
    page.wait_for_selector(".transcript .block")
    seconds = time.monotonic() - begun
    context.close()
    return seconds


def ways(browser: Browser, folder: Path, file: Path) -> dict[str, Callable[[], float]]:
    def cold(wait: float = 0.0) -> float:
        with served(folder) as address:
            time.sleep(wait)
            return opened(browser, address)

    return {"file": lambda: opened(browser, file.as_uri()), "cold": cold, "later": lambda: cold(1.0)}


def main() -> None:
    counts = [int(each) for each in sys.argv[1:]] or [1_000, 20_000, 100_000]
    program = shutil.which("chromium")
    assert program, "there is no chromium on this machine"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        for count in counts:
            with tempfile.TemporaryDirectory() as name, kept(Path(name) / ".crewkit", count) as journal:
                events = list(journal.events(RUN))
                file = Path(name) / "run.html"
                file.write_text(as_html(events, alive=False), encoding="utf-8")
                measured = ways(browser, Path(name), file)
                found = {what: median(way() for _ in range(3)) for what, way in measured.items()}
                said = "  ".join(f"{what} {seconds:.2f} s" for what, seconds in found.items())
                print(f"{len(events):,} events, {file.stat().st_size / 1e6:.0f} MB: {said}", flush=True)
        browser.close()


if __name__ == "__main__":
    main()
