"""Whatever a journal's files hold: every command reads around it or names it, and none ends with a traceback."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from random import Random
from threading import Thread
from urllib.error import HTTPError
from urllib.request import HTTPCookieProcessor, OpenerDirector, build_opener

import pytest

from crewkit.cli.group import COMMANDS, serve
from crewkit.core.events import Draft
from crewkit.errors import CrewkitError
from crewkit.journal.base import Write
from crewkit.journal.sqlite import SqliteJournal
from crewkit.web.server import PageServer

pytestmark = pytest.mark.slow

PAGE = 4096

ELSEWHERE = {"new", "check", "plan", "completion", "watch", "worker", "memory", "listen"}
"""Commands that read no run, or need a journal only to run a crew, as `run` does."""


@dataclass
class Kept:
    """A journal's files with some runs in them, and commands about these."""

    journal: bytes
    log: bytes
    """SQLite's log beside it, of a process that was killed."""
    index: bytes
    """And of its index."""
    commands: dict[str, list[str]]


@pytest.fixture
def kept(folder: Path, capfd) -> Kept:
    home = folder / ".crewkit"
    for command in ("finding.py", "finding.py:asking", "finding.py"):
        serve(["run", command, "-i", "topic=tides"])
    with SqliteJournal(home / "journal.db") as journal:
        infos = {info.status: info.run for info in journal.runs()}
        over, asking = infos["completed"], infos["paused"]
        (asked,) = [event.data["id"] for event in journal.events(asking, types=["approval.requested"])]
    whole = (home / "journal.db").read_bytes()
    with SqliteJournal(home / "journal.db") as journal:
        lease = journal.begin("r-late", "late", "s")
        notes = [Draft("note", data={"text": "x" * 300})] * 40
        journal.append([Write("r-late", [Draft("run.started", data={"crew": "c"}), *notes], lease.epoch)])
        log, index = ((home / f"journal.db-{name}").read_bytes() for name in ("wal", "shm"))
    commands = {
        "runs": ["runs"],
        "runs as JSON": ["runs", "--json"],
        "show": ["show", asking],
        "show as JSON": ["show", over, "--json"],
        "stats": ["stats"],
        "diff": ["diff", over, asking],
        "approvals": ["approvals"],
        "approve": ["approve", asked],
        "deny": ["deny", asked, "--note", "no"],
        "cancel": ["cancel", asking],
        "resume": ["resume", asking, "--no-input"],
        "run": ["run", "finding.py", "-i", "topic=x"],
        "graph": ["graph", "--run", over],
        "fork": ["fork", over, "--from", "find/2"],
        "fork without a run": ["fork", over, "--from", "find", "--no-run"],
        "replay": ["replay", over],
        "tell": ["tell", asking, "Be quick."],
        "pause": ["pause", asking],
        "undo": ["undo", asking, "--no-input"],
        "export": ["export", over, "--format", "jsonl"],
        "export as a page": ["export", asking, "--format", "html"],
        "export as a cassette": ["export", over, "--format", "cassette"],
        "prune": ["runs", "prune", over, "--yes"],
        "prune content": ["runs", "prune", over, "--content", "none", "--yes"],
        "prune by age": ["runs", "prune", "--older-than", "1m", "--export", "kept", "--yes"],
    }
    capfd.readouterr()
    return Kept(whole, log, index, commands)


@pytest.fixture
def try_all(kept: Kept, folder: Path, capfd) -> Callable[..., dict[str, tuple[int, str, str]]]:
    """Damages a fresh copy for every command, or for one in so many, in turns; returns what each answered."""
    turns = count()

    def damaged(damage: Callable[[Path], object], one_in: int = 1) -> dict[str, tuple[int, str, str]]:
        said: dict[str, tuple[int, str, str]] = {}
        turn = next(turns)
        for name, command in list(kept.commands.items())[turn % one_in :: one_in]:
            home = folder / ".crewkit"
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir()
            (home / "journal.db").write_bytes(kept.journal)
            damage(home)
            code = serve(command)
            out, err = capfd.readouterr()
            assert "Traceback" not in err, (command, err)
            assert code in (0, 1, 2, 3), (command, code, err)
            told = "Error: " in err or name == "diff" or "different at" in out or "cannot be" in err
            assert code in (0, 3) or told, (command, code, err)
            said[name] = (code, out, err)
        if turn % one_in == 0:
            view(folder / ".crewkit" / "journal.db", [kept.commands["show"][1], kept.commands["replay"][1]])
        return said

    return damaged


def view(path: Path, runs: Sequence[str]) -> None:
    """Look at the list and at runs as `crewkit view` serves them: each request has an answer."""
    try:
        journal = SqliteJournal(path, create=False)
    except CrewkitError:
        return
    with journal, PageServer(journal) as server:
        serving = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        serving.start()
        browser = build_opener(HTTPCookieProcessor())
        try:
            for address in (server.address(), *(server.address(run) for run in runs)):
                look(browser, address)
            for part in ("api/runs", *(f"api/runs/{run}" for run in runs)):
                look(browser, f"http://127.0.0.1:{server.server_port}/{part}")
        finally:
            server.shutdown()
            serving.join()


def look(browser: OpenerDirector, address: str) -> None:
    try:
        browser.open(address, timeout=30).read()
    except HTTPError as refused:
        if refused.code != 404 or not refused.read().strip():
            raise


def changed(kept: bytes, seed: int) -> bytes:
    """Change some bytes, more of them at the head, where everything is decided."""
    chance, damaged = Random(seed), bytearray(kept)
    for _ in range(chance.choice([1, 5, 40, 300])):
        end = len(damaged) if chance.random() < 0.7 else 4 * PAGE
        damaged[chance.randrange(min(end, len(damaged)))] = chance.randrange(256)
    return bytes(damaged)


def write(content: bytes, name: str = "journal.db") -> Callable[[Path], object]:
    return lambda home: (home / name).write_bytes(content)


def statement(text: str) -> Callable[[Path], object]:
    def damage(home: Path) -> None:
        with closing(sqlite3.connect(home / "journal.db", isolation_level=None)) as db:
            db.execute(text)

    return damage


def test_every_command_that_reads_a_run_is_tried(kept):
    tried = {command[0] for command in kept.commands.values()}
    known = {name for section in COMMANDS.values() for name in section}
    assert known - ELSEWHERE - {"view"} <= tried


def test_files_cut_off_anywhere(kept, try_all):
    for size in (
        0,
        1,
        50,
        100,
        PAGE,
        len(kept.journal) // 2,
        len(kept.journal) - PAGE,
        len(kept.journal) - 2000,
    ):
        said = try_all(write(kept.journal[:size]))
        if size == 0:  # as a process leaves it that was killed while it made the file
            assert said["runs"][0] == said["run"][0] == 0


def test_a_log_cut_off_or_changed_anywhere(kept, try_all):
    size = len(kept.log)
    for cut in range(0, size, size // 7):
        said = try_all(write(kept.log[:cut], "journal.db-wal"))
        assert said["runs"][0] == 0, "what is in the file is whole"
    for seed in range(8):
        try_all(write(changed(kept.log, seed), "journal.db-wal"), 3)
    for name in ("journal.db-wal", "journal.db-shm", "journal.db-journal"):
        assert try_all(write(os.urandom(9000), name))["show"][0] == 0


def test_any_page_overwritten(kept, try_all):
    for at in range(0, len(kept.journal), PAGE):
        for filling in (b"\xff", b"\0"):
            try_all(write(kept.journal[:at] + filling * PAGE + kept.journal[at + PAGE :]), 3)


def test_any_bytes_changed(kept, try_all):
    for seed in range(40):
        try_all(write(changed(kept.journal, seed)), 3)


@pytest.mark.parametrize(
    ("damage", "runs", "said"),
    [
        ("UPDATE meta SET value = 'abc'", 1, "does not say what it is made of"),
        ("DELETE FROM meta", 1, "does not say what it is made of"),
        ("UPDATE meta SET value = '99'", 1, "A newer crewkit wrote it: upgrade this one"),
        ("DROP TABLE events", 1, "another program's database"),
        ("DROP TABLE runs", 1, "another program's database"),
        ("UPDATE events SET data = '[1]'", 0, "holds no JSON object"),
        ("UPDATE events SET data = '{'", 0, "is not JSON"),
        ("UPDATE events SET t = 'x'", 0, "holds something else than an event does"),
        ("UPDATE events SET v = 'x'", 0, "holds something else than an event does"),
        ("UPDATE events SET v = 99", 0, "A newer crewkit wrote it: upgrade this one"),
        ("UPDATE events SET type = x'ff'", 0, "holds something else than an event does"),
        ("UPDATE events SET data = '{}'", 0, ""),
        ("UPDATE events SET ts = 'x'", 0, ""),
        ("DELETE FROM events WHERE seq = 6", 0, "event 6 is missing"),
        ("UPDATE runs SET started = 'x'", 0, ""),
        ("UPDATE runs SET updated = ''", 0, ""),
        ("UPDATE runs SET seq = 'x'", 0, ""),
        ("UPDATE runs SET bytes = 'x'", 0, ""),
        ("UPDATE runs SET status = 'odd'", 0, ""),
        ("UPDATE runs SET origin = run, origin_seq = 3", 0, ""),
        ("UPDATE runs SET origin = 'r-none', origin_seq = 3", 0, ""),
    ],
)
def test_tables_that_hold_something_else(try_all, damage, runs, said):
    answers = try_all(statement(damage))
    code, out, err = answers["show"]
    assert said in out + err
    assert answers["runs"][0] == runs
    if damage.startswith(("UPDATE runs SET started", "UPDATE runs SET seq", "UPDATE runs SET bytes")):
        assert "damaged" in answers["runs"][1]
        assert code == 0, "the events can be read"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(place)]
    if os.getuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a disk")
    yield place
    subprocess.run(["umount", place], check=True)


def remount(disk: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", disk], check=True)


def answers(capfd, commands: Sequence[Sequence[str]]) -> list[tuple[int, str]]:
    """Answer commands; return their exit codes and all that they said."""
    found: list[tuple[int, str]] = []
    for command in commands:
        code = serve(command)
        out, err = capfd.readouterr()
        assert "Traceback" not in err, (command, err)
        found.append((code, out + err))
    return found


@pytest.mark.parametrize("killed", [False, True], ids=["at rest", "of a process that was killed"])
def test_a_disk_that_can_only_be_read(folder, kept, disk, monkeypatch, capfd, killed):
    (disk / "journal.db").write_bytes(kept.journal)
    if killed:
        (disk / "journal.db-wal").write_bytes(kept.log)
        (disk / "journal.db-shm").write_bytes(kept.index)
    monkeypatch.setenv("CREWKIT_HOME", str(disk))
    remount(disk, "ro")
    writing = {"approve", "deny", "cancel", "resume", "run"}
    reading = [command for name, command in kept.commands.items() if name not in writing]
    assert {code for code, _ in answers(capfd, reading)} <= {0, 1}, answers(capfd, reading)
    (listed, shown) = answers(capfd, [kept.commands["runs"], kept.commands["show"]])
    assert (listed[0], shown[0]) == (0, 0)
    assert ("late" in listed[1]) == killed
    for code, said in answers(capfd, [kept.commands[name] for name in sorted(writing)]):
        assert code == 1
        assert "cannot be written" in said or "Read-only file system" in said, said
    remount(disk, "rw")
    (cancelled,) = answers(capfd, [kept.commands["cancel"]])
    assert cancelled[0] == 0
