"""The review of documents: real files of several formats, a person where it is not sure, killed and resumed."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from crewkit import Options
from crewkit.core.clock import SystemClock
from crewkit.core.events import Event
from crewkit.journal.sqlite import SqliteJournal

ROOT = Path(__file__).parents[2]
FILE = ROOT / "crews" / "document_review.py"

SURE = {
    "bill.txt": "Invoice 7. Amount due: 90 euro, VAT included. Total 90. IBAN DE00. Due date: 1 June. Payment by bank.",
    "deal.md": "# Contract\n\nThis agreement binds each party. The parties hereby accept clause 3. Signature: ...",
    "greeting.html": "<p>Dear Ann,</p><p>Subject: the pump</p><p>Kind regards, yours sincerely, Bob</p>",
    "costs.csv": "invoice,amount due,vat,iban\n7,90,19,DE00\n8,12,2,DE01\n",
    "order.json": '{"invoice": {"amount due": 90, "vat": 19}, "payment": "iban", "total": [1]}',
    "mail.eml": "Subject: the pump\nFrom: a@example.org\n\nDear Ann,\nkind regards, yours sincerely, Bob\n",
}
UNSURE = {"note.txt": "We decided nothing. The invoice is open.", "empty.rst": "Pumps."}


def crew() -> Any:
    spec = importlib.util.spec_from_file_location("document_review", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["document_review"] = module
    spec.loader.exec_module(module)
    return module.crew


def folder_of(path: Path, files: dict[str, str]) -> Path:
    folder = path / "documents"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def kinds(report: str) -> dict[str, tuple[str, str]]:
    rows = [
        [cell.strip() for cell in line.split("|")] for line in report.splitlines() if line.startswith("| /")
    ]
    return {Path(row[1]).name: (row[2], row[4]) for row in rows}


async def test_nobody_is_asked_where_every_kind_is_sure(tmp_path: Path, make_options):
    result = await crew().run({"folder": str(folder_of(tmp_path, SURE))}, make_options())
    assert result.ok, result.why
    assert kinds(result.output) == {
        "bill.txt": ("invoice", "words"),
        "deal.md": ("contract", "words"),
        "greeting.html": ("letter", "words"),
        "costs.csv": ("invoice", "words"),
        "order.json": ("invoice", "words"),
        "mail.eml": ("letter", "words"),
    }
    assert "does not hold: classified.confidence is" in result.report.skipped["review"]


async def test_a_person_is_asked_about_what_is_not_sure(tmp_path: Path, make_options, runs, decide):
    result = await crew().run({"folder": str(folder_of(tmp_path, SURE | UNSURE))}, make_options())
    assert (result.status, list(result.report.waiting)) == ("paused", ["review"])
    [asked] = runs.events(result.run_id, types=("approval.requested",))
    assert [Path(kind["file"]).name for kind in asked.data["output"]] == ["empty.rst", "note.txt"]
    days = datetime.fromisoformat(asked.data["expires"]) - datetime.fromisoformat(asked.ts)
    assert abs(days - timedelta(days=7)) < timedelta(minutes=1)
    decide(result.run_id)
    result = await crew().resume(result.run_id, make_options())
    assert kinds(result.output)["note.txt"] == ("invoice", "a person")
    assert "note.txt" in result.output


class NextWeek(SystemClock):
    def now(self) -> datetime:
        return super().now() + timedelta(days=8)


async def test_after_seven_days_the_report_says_that_nobody_confirmed_it(tmp_path: Path, make_options, runs):
    result = await crew().run({"folder": str(folder_of(tmp_path, SURE | UNSURE))}, make_options())
    result = await crew().resume(result.run_id, Options(journal=runs, environ={}, clock=NextWeek()))
    assert result.ok, result.why
    assert kinds(result.output)["note.txt"] == ("invoice", "nobody confirmed it")
    assert "nobody decided in time" in result.report.failed["review"]


def events_of(home: Path) -> list[Event]:
    with SqliteJournal(home / "journal.db", create=False) as journal:
        runs = journal.runs()
        return list(journal.events(runs[0].run)) if runs else []


def killed(command: list[str], home: Path, env: dict[str, str], after: int) -> bool:
    """Run a command and kill it when the journal holds so many events; say whether it was killed."""
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while process.poll() is None:
            if (home / "journal.db").exists() and len(events_of(home)) >= after:
                process.send_signal(signal.SIGKILL)
                return True
            time.sleep(0.001)
    finally:
        process.wait(30)
    return False


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_killed_at_any_time_and_resumed_it_comes_to_the_same(tmp_path: Path):
    folder = folder_of(tmp_path, SURE | UNSURE)
    program = str(Path(sys.executable).parent / "crewkit")
    outputs: set[str] = set()
    kills = 0
    for after in (10**9, 3, 11, 19):
        home = tmp_path / f"home{after}"
        env = {**os.environ, "CREWKIT_HOME": str(home), "CREWKIT_EMBEDDER": "none", "NO_COLOR": "1"}
        kills += killed([program, "run", str(FILE), "-i", f"folder={folder}"], home, env, after)
        held = [e for e in events_of(home) if e.type in ("tool.finished", "model.finished")]
        subprocess.run([program, "resume", "@last"], env=env, capture_output=True, timeout=60)
        [asked] = [e for e in events_of(home) if e.type == "approval.requested"]
        subprocess.run(
            [program, "approve", asked.data["id"]], env=env, check=True, capture_output=True, timeout=60
        )
        done = subprocess.run(
            [program, "resume", "@last", "--json"], env=env, capture_output=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        outputs.add(json.loads(done.stdout)["output"])
        finished = [e for e in events_of(home) if e.type in ("tool.finished", "model.finished")]
        assert finished[: len(held)] == held
        assert len({(e.path, e.type) for e in finished}) == len(finished), "nothing finished is done again"
    assert len(outputs) == 1
    assert kills >= 2
