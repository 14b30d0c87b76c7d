"""The journal in one SQLite file."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from crewkit.core.events import Draft
from crewkit.errors import InputError, JournalError, RunBusy
from crewkit.journal.base import Write
from crewkit.journal.database import _SCHEMAS
from crewkit.journal.open import open_journal
from crewkit.journal.sqlite import SqliteJournal, journal_home
from crewkit.testing.journal import JournalConformance, note, started


class TestSqliteJournal(JournalConformance):
    @pytest.fixture
    def reopen(self, tmp_path):
        return lambda: SqliteJournal(tmp_path / ".crewkit" / "journal.db")


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / ".crewkit" / "journal.db"


def fill(path: Path, events: int, run: str = "r-1", **data) -> None:
    with SqliteJournal(path) as journal:
        lease = journal.begin(run, "crew", "s1")
        drafts = [started(), *(Draft("note", data={"n": n, **data}) for n in range(2, events + 1))]
        journal.append([Write(run, drafts, lease.epoch)])


def append_until_it_fails(journal: SqliteJournal, write: Write) -> tuple[int, str]:
    for acknowledged in range(1000):
        try:
            journal.append([write])
        except JournalError as error:
            return acknowledged, str(error)
    raise AssertionError("the disk did not run full")


def sql(path: Path, *statements: str) -> None:
    db = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        db.execute(statement)
    db.close()


def python(code: str, *arguments: object, **options) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


# Where it lies


def test_the_journal_is_found_upwards(tmp_path):
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    assert journal_home(inner, {}) == inner / ".crewkit"
    (tmp_path / "a" / ".crewkit").mkdir()
    assert journal_home(inner, {}) == tmp_path / "a" / ".crewkit"
    assert journal_home(inner, {"CREWKIT_HOME": str(tmp_path / "else")}) == tmp_path / "else"


def test_the_journal_is_made_for_its_owner_alone_and_kept_out_of_git(tmp_path):
    with open_journal(tmp_path, {}):
        home = tmp_path / ".crewkit"
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
        assert {stat.S_IMODE(file.stat().st_mode) for file in home.glob("journal.db*")} == {0o600}
        assert (home / ".gitignore").read_text() == "*\n"


def test_a_folder_of_the_user_gets_no_gitignore(tmp_path):
    with open_journal(None, {"CREWKIT_HOME": str(tmp_path)}):
        assert not (tmp_path / ".gitignore").exists()


def test_reading_where_no_run_was_says_where_it_looked(tmp_path):
    with pytest.raises(InputError, match=r"No runs here yet.*\.crewkit/journal\.db.*crewkit run"):
        open_journal(tmp_path, {}, create=False)
    assert list(tmp_path.iterdir()) == []


def test_a_run_id_cannot_leave_the_folder(path):
    with SqliteJournal(path) as journal:
        for run in ("../../evil", "/etc/x", "", "a/b", ".hidden", "a\0"):
            with pytest.raises(InputError, match="run id"):
                journal.begin(run, "crew", "s1")


# What goes wrong


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match=r"file/\.crewkit/journal\.db cannot be made.*CREWKIT_HOME"):
        open_journal(tmp_path / "file", {})


@pytest.mark.skipif(os.getuid() != 0, reason="drops the rights of root")
def test_a_folder_without_the_right_to_write_is_named(tmp_path):
    for folder in (tmp_path, *list(tmp_path.parents)[:3]):
        folder.chmod(0o755)
    code = """
        import os, sys
        from pathlib import Path
        from crewkit.errors import JournalError
        from crewkit.journal.open import open_journal
        os.setuid(65534)
        try:
            open_journal(Path(sys.argv[1]), {})
        except JournalError as error:
            print(error)
    """
    out, errors = python(code, tmp_path).communicate(timeout=30)
    assert "cannot be made: Permission denied" in out, errors


@pytest.mark.skipif(os.getuid() != 0, reason="drops the rights of root")
def test_a_journal_of_someone_else_can_be_read_but_not_written(tmp_path, path):
    fill(path, 3)
    for folder in (path.parent, tmp_path, *list(tmp_path.parents)[:3]):
        folder.chmod(0o755)
    path.chmod(0o644)
    code = """
        import os, sys
        from pathlib import Path
        from crewkit.core.events import Draft
        from crewkit.errors import JournalError
        from crewkit.journal.base import Write
        from crewkit.journal.sqlite import SqliteJournal
        os.setuid(65534)
        with SqliteJournal(Path(sys.argv[1]), create=False) as journal:
            print(len(list(journal.events("r-1"))), journal.find("@last"))
            try:
                journal.append([Write("r-1", [Draft("note", key="k")], None)])
            except JournalError as error:
                print(error)
    """
    out, errors = python(code, path).communicate(timeout=30)
    assert out.startswith("3 r-1\n"), errors
    assert "cannot be written" in out


def test_a_full_disk_loses_nothing_and_says_what_to_do(path):
    fill(path, 3)
    with SqliteJournal(path) as journal:
        lease = journal.take("r-1", "s2")
        with journal._db.transaction() as db:
            (pages,) = db.execute("PRAGMA page_count").fetchone()
        journal._db._writer.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(JournalError, match=r"journal\.db: the disk is full.*resume"):
            journal.append([Write("r-1", [note("x" * 50_000)], lease.epoch)])
        assert journal.last("r-1") == 3
        journal._db._writer.execute("PRAGMA max_page_count = 100000")
        journal.append([Write("r-1", [note("x" * 50_000)], lease.epoch)])
        assert [event.seq for event in journal.events("r-1")] == [1, 2, 3, 4]


def test_a_journal_locked_by_another_program_is_named(path):
    fill(path, 3)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with SqliteJournal(path, timeout=0.1) as journal:
        assert len(list(journal.events("r-1"))) == 3
        with pytest.raises(JournalError, match=r"kept it locked for 0\.1 s.*fuser"):
            journal.append([Write("r-1", [note("x", key="k")], None)])
        other.execute("ROLLBACK")
        journal.append([Write("r-1", [note("x", key="k")], None)])
    other.close()


@pytest.mark.parametrize("content", [b"not a database at all" * 100, b"\0" * 5000, os.urandom(5000)])
def test_a_file_that_is_no_journal_is_named(path, content):
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(JournalError, match=r"journal\.db: it is no journal, or damaged.*Move it away"):
        SqliteJournal(path)
    assert path.read_bytes() == content


def test_another_programs_database_is_left_alone(path):
    path.parent.mkdir()
    sql(path, "CREATE TABLE cookies (x)")
    with pytest.raises(JournalError, match=r"another program's database"):
        SqliteJournal(path)


def test_a_journal_of_the_first_schema_is_brought_to_this_one(path):
    path.parent.mkdir()
    sql(
        path,
        "PRAGMA journal_mode = WAL",
        *filter(str.strip, _SCHEMAS[0].split(";")),
        "INSERT INTO meta VALUES ('schema', '1')",
        "INSERT INTO runs VALUES ('r-old', 'digest', 'paused', '2026-01-01T00:00:00.000000Z',"
        " '2026-01-01T00:00:01.000000Z', 2, 1, 0, 7, 'ada', 's-1')",
        *(
            f"INSERT INTO events VALUES ('r-old', {seq}, 1, '{type}', '2026-01-01T00:00:0{seq}.000000Z', 1.0, 's-1',"
            f" '', '', '', 1, NULL, '{{\"n\":{seq}}}')"
            for seq, type in ((1, "run.started"), (2, "run.paused"))
        ),
    )
    with SqliteJournal(path) as journal:
        assert [(event.seq, event.data) for event in journal.events("r-old")] == [
            (1, {"n": 1}),
            (2, {"n": 2}),
        ]
        info = journal.info("r-old")
        assert (info.status, info.events, info.bytes, info.origin) == ("paused", 2, 14, "")
        lease = journal.take("r-old", "s2")
        journal.append([Write("r-old", [Draft("run.resumed")], lease.epoch)])
        assert journal.info("r-old").status == "running"


def test_a_newer_schema_is_refused_by_name(path):
    fill(path, 3)
    sql(path, "UPDATE meta SET value = '99'")
    with pytest.raises(JournalError, match=r"schema 99; this crewkit knows \d+\..*upgrade"):
        SqliteJournal(path)


def test_a_newer_event_is_refused_by_name(path):
    fill(path, 3)
    sql(path, "UPDATE events SET v = 99 WHERE seq = 2")
    with (
        SqliteJournal(path) as journal,
        pytest.raises(JournalError, match="Event 2 of run r-1 has version 99"),
    ):
        list(journal.events("r-1"))


@pytest.mark.parametrize(
    ("damage", "good", "why"),
    [
        ("DELETE FROM events WHERE seq = 400", 399, "event 400 is missing"),
        ("DELETE FROM events WHERE seq > 400", 400, "events after 400 are missing"),
        ("UPDATE events SET data = '{\"n' WHERE seq = 400", 399, "event 400 is not JSON"),
        ("UPDATE events SET data = CAST(x'ff00ff' AS TEXT) WHERE seq = 400", 399, "Could not decode"),
        ("DROP TABLE runs", 500, ""),
    ],
)
def test_a_damaged_tail_ends_the_reading_with_a_word(path, damage, good, why):
    fill(path, 500)
    with SqliteJournal(path) as journal:
        sql(path, damage)
        *events, last = journal.events("r-1")
        if why:
            assert (last.type, last.seq, last.data["after"]) == ("journal.damaged", 0, good)
            assert why in last.data["why"]
        else:
            events.append(last)
        assert [event.seq for event in events] == list(range(1, good + 1))


def test_overwritten_pages_are_read_around(path):
    fill(path, 2000, text="x" * 500)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2 // 4096 * 4096)
        file.write(b"\xff" * 4096 * 5)
    with SqliteJournal(path) as journal:
        *events, last = journal.events("r-1")
    assert last.type == "journal.damaged"
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert 0 < len(events) < 2000


@pytest.mark.parametrize("replaced", [False, True])
def test_a_journal_that_was_removed_is_not_written_any_more(path, replaced):
    with SqliteJournal(path) as journal:
        lease = journal.begin("r-1", "crew", "s1")
        shutil.rmtree(path.parent)
        if replaced:
            fill(path, 3)
        with pytest.raises(JournalError, match="removed or replaced while it was in use"):
            journal.append([Write("r-1", [note("x")], lease.epoch)])


@pytest.mark.slow
@pytest.mark.skipif(os.getuid() != 0, reason="mounts a small disk")
def test_a_small_disk_runs_full_and_the_run_goes_on_when_there_is_space(tmp_path):
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no right to mount")
    try:
        ballast = tmp_path / "ballast"
        ballast.write_bytes(b"x" * 200_000)
        with SqliteJournal(tmp_path / ".crewkit" / "journal.db") as journal:
            lease = journal.begin("r-1", "crew", "s1")
            write = Write("r-1", [note("x" * 2000)], lease.epoch, durable=True)
            acknowledged, error = append_until_it_fails(journal, write)
            assert "the disk is full" in error
            assert [event.seq for event in journal.events("r-1")] == list(range(1, acknowledged + 1))
            ballast.unlink()
            journal.append([Write("r-1", [note("again")], lease.epoch, durable=True)])
            assert journal.last("r-1") == acknowledged + 1
    finally:
        subprocess.run(["umount", tmp_path], check=True)


# Many processes


def test_two_processes_make_one_journal(path):
    code = """
        import sys
        from pathlib import Path
        from crewkit.journal.sqlite import SqliteJournal
        sys.stdin.read()
        with SqliteJournal(Path(sys.argv[1])) as journal:
            print(journal.begin(sys.argv[2], "crew", "s").epoch)
    """
    processes = [python(code, path, f"r-{n}", stdin=subprocess.PIPE) for n in range(4)]
    for process in processes:
        process.stdin.close()
        process.stdin = None
    assert [process.communicate(timeout=30) for process in processes] == [("1\n", "")] * 4


OWNER = """
    import sys
    from pathlib import Path
    from crewkit.core.events import Draft
    from crewkit.journal.base import Write
    from crewkit.journal.sqlite import SqliteJournal
    journal = SqliteJournal(Path(sys.argv[1]))
    lease = journal.begin("r-1", "crew", "s1")
    while True:
        for durable in (False, True, False):
            (events,) = journal.append([Write("r-1", [Draft("note", data={"x": "y" * 300})] * 3, 1, durable)])
            print(events[-1].seq, flush=True)
"""


@pytest.mark.slow
def test_a_killed_process_loses_nothing_it_was_told_is_there(path):
    process = python(OWNER, path)
    for _ in range(200):
        process.stdout.readline()
    with (
        SqliteJournal(path) as journal,
        pytest.raises(RunBusy, match=rf"r-1 is in the hands of pid {process.pid} on"),
    ):
        journal.take("r-1", "s2")
    process.kill()
    acknowledged = [int(line) for line in process.communicate(timeout=10)[0].splitlines() if line.strip()]
    with SqliteJournal(path) as journal:
        events = list(journal.events("r-1"))
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert len(events) % 3 == 0
        assert len(events) >= max(acknowledged, default=600)
        assert [info.alive for info in journal.runs()] == [False]
        lease = journal.take("r-1", "s2")
        assert lease.epoch == 2
        journal.append([Write("r-1", [Draft("run.resumed")], lease.epoch)])


@pytest.mark.slow
def test_others_decide_while_one_process_owns_the_run(path):
    owner = python(OWNER, path)
    owner.stdout.readline()
    code = """
        import sys
        from pathlib import Path
        from crewkit.core.events import Draft
        from crewkit.journal.base import Write
        from crewkit.journal.sqlite import SqliteJournal
        won = 0
        with SqliteJournal(Path(sys.argv[1]), create=False) as journal:
            for n in range(100):
                draft = Draft("approval.decided", data={"id": n, "by": sys.argv[2]}, key=f"approval:{n}")
                won += len(journal.append([Write("r-1", [draft], None)])[0])
        print(won)
    """
    deciders = [python(code, path, name) for name in ("ada", "bob")]
    answers = [decider.communicate(timeout=60) for decider in deciders]
    owner.kill()
    owner.communicate(timeout=10)
    assert sum(int(out) for out, _ in answers) == 100, answers
    with SqliteJournal(path) as journal:
        events = list(journal.events("r-1"))
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert sorted(event.data["id"] for event in events if event.type == "approval.decided") == list(
        range(100)
    )


def test_what_is_asked_of_many_runs_has_an_index(path):
    fill(path, 1)
    db = sqlite3.connect(path)
    asked: list[str] = []
    with SqliteJournal(path) as journal:
        journal._db._reader.set_trace_callback(asked.append)
        journal.runs(limit=20)
        journal.find("@last")
        journal.due("2026-01-01T00:00:00.000000Z")
        journal.handed("queue")
        journal.info("r-1")
        journal.fork("r-1", 1, "r-2", "c", "s")
        with pytest.raises(InputError):
            journal.remove("r-1")
    assert len(asked) > 6
    for query in asked:
        for *_, step in db.execute(f"EXPLAIN QUERY PLAN {query}"):
            assert "INDEX" in step or "KEY" in step, (query, step)
    db.close()
