"""Workers as real processes in a folder with a crew."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest


class Workers:
    """Starts commands in one folder, on one journal, and ends what is left of them."""

    def __init__(self, folder: Path, journal: str = "") -> None:
        self.folder = folder
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("CREWKIT")},
            "CREWKIT_JOURNAL": journal,
            "CREWKIT_HOME": str(folder / ".crewkit"),
            "CREWKIT_NO_NETWORK": "1",
            "PYTHONUNBUFFERED": "1",
        }
        self.started: list[subprocess.Popen[bytes]] = []

    def crewkit(self, *arguments: str, code: int | None = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "crewkit", *arguments],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert code is None or done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def detach(self, target: str, *arguments: str) -> str:
        return self.crewkit("run", "--detach", target, *arguments).strip()

    def start(self, *arguments: str, name: str = "") -> subprocess.Popen[bytes]:
        name = name or f"w{len(self.started)}"
        with self.said_file(name).open("ab") as out, (self.folder / f"{name}.err").open("ab") as errors:
            worker = subprocess.Popen(
                [sys.executable, "-m", "crewkit", "worker", "--json", "--name", name, *arguments],
                cwd=self.folder,
                env=self.environ,
                stdout=out,
                stderr=errors,
            )
        self.started.append(worker)
        return worker

    def said_file(self, name: str) -> Path:
        return self.folder / f"{name}.said"

    def said(self, name: str, what: str = "") -> list[dict[str, Any]]:
        """What a worker said so far, of one kind or all."""
        file = self.said_file(name)
        lines = file.read_text().splitlines(keepends=True) if file.exists() else []
        said = [json.loads(line) for line in lines if line.endswith("\n")]
        return [each for each in said if not what or each["what"] == what]

    def runs(self) -> dict[str, dict[str, Any]]:
        lines = self.crewkit("runs", "--json", "--limit", "1000").splitlines()
        return {run["run"]: run for run in map(json.loads, lines)}

    def events(self, run: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.crewkit("show", run, "--json").splitlines()]

    def log(self, name: str = "log") -> list[list[str]]:
        """What tools wrote down, a line of words each."""
        file = self.folder / name
        return [line.split() for line in file.read_text().splitlines()] if file.exists() else []

    def until(self, holds: Callable[[], Any], seconds: float = 60) -> Any:
        """Wait for a condition and return what it gave."""
        deadline = time.monotonic() + seconds
        while not (found := holds()):
            assert time.monotonic() < deadline, self.story()
            time.sleep(0.05)
        return found

    def story(self) -> str:
        """All that workers said, for a test that failed."""
        files = sorted([*self.folder.glob("*.said"), *self.folder.glob("*.err")])
        return "\n".join(f"--- {file.name}\n{file.read_text()[-4000:]}" for file in files)

    def end(self) -> None:
        for worker in self.started:
            if worker.poll() is None:
                with suppress(ProcessLookupError):
                    worker.send_signal(signal.SIGCONT)
                worker.kill()
                worker.wait(30)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Workers]:
    """Workers on a SQLite journal."""
    workers = Workers(tmp_path)
    yield workers
    workers.end()


@pytest.fixture
def many(tmp_path: Path, postgres_url: str) -> Iterator[Workers]:
    """Workers on a PostgreSQL."""
    workers = Workers(tmp_path, postgres_url)
    yield workers
    workers.end()
