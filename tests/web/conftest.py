"""A real browser, a run with nearly everything in it, and a page opened with the network watched."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from crewkit.core.events import Event
from crewkit.web.export import as_html

FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run"),
]


@pytest.fixture(scope="module")
def browser(launched: object, rescued: object, ventured: object) -> Iterator[Any]:
    """Debian's chromium, driven by Playwright.

    While it is open an event loop runs in this thread, so it is closed before other modules' tests, and opened after
    the runs that need a loop of their own.
    """
    program = shutil.which("chromium")
    if program is None:
        missing = "there is no chromium on this machine: apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


AXE = (resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")


@dataclass
class Watched:
    """A page, and all that it did besides showing something."""

    page: Any
    requests: list[str] = field(default_factory=list[str])
    complaints: list[str] = field(default_factory=list[str])

    def violations(self) -> list[str]:
        """Return what axe has against the page as it is shown."""
        self.page.evaluate(f"{AXE};0")
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{violation['id']}: {node['html'][:200]} {node['failureSummary']}"
            for violation in found["violations"]
            for node in violation["nodes"]
        ]

    def text(self, selector: str) -> str:
        return self.page.locator(selector).first.inner_text()


Open = Callable[..., Watched]


@pytest.fixture
def open_address(browser: Any) -> Iterator[Open]:
    """Opens an address in a fresh profile."""
    contexts = []

    def call(address: str, *, width: int = 1280, height: int = 800, scheme: str = "light") -> Watched:
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        contexts.append(context)
        watched = Watched(context.new_page())
        watched.page.on("request", lambda request: watched.requests.append(request.url))
        watched.page.on("pageerror", lambda error: watched.complaints.append(str(error)))
        watched.page.on(
            "console",
            lambda said: watched.complaints.append(said.text) if said.type in ("error", "warning") else None,
        )
        watched.page.goto(address)
        watched.page.wait_for_selector("html[data-ready]", timeout=60_000)
        return watched

    yield call
    for context in contexts:
        context.close()


@pytest.fixture
def open_run(open_address: Open, tmp_path: Path) -> Open:
    """Writes a run's page to a file and opens it."""

    def call(events: list[Event], fragment: str = "", **how: Any) -> Watched:
        file = tmp_path / "run.html"
        file.write_bytes(as_html(events, alive=False).encode())
        return open_address(f"{file.as_uri()}{fragment}", **how)

    return call
