"""The journal on PostgreSQL: a real server of the test's own."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import select
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from crewkit import Agent, Crew, Task
from crewkit.core.events import Draft, Event
from crewkit.crew.options import Options
from crewkit.errors import InputError, JournalError, RunBusy
from crewkit.journal.base import Lease, Write
from crewkit.journal.open import open_journal
from crewkit.journal.postgres import PostgresJournal
from crewkit.models.base import Request
from crewkit.models.scripted import ScriptedModel
from crewkit.testing.journal import JournalConformance, note, started
from crewkit.testing.postgres import PostgresServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PASSWORD = PostgresServer.password


@pytest.fixture
def server(postgres: PostgresServer) -> PostgresServer:
    return postgres


@pytest.fixture
def url(postgres_url: str) -> str:
    return postgres_url


@pytest.fixture
def database(url: str) -> str:
    return url.rpartition("/")[2]


@pytest.fixture
def journal(url: str) -> Iterator[PostgresJournal]:
    with PostgresJournal(url) as journal:
        yield journal


class TestPostgresJournal(JournalConformance):
    @pytest.fixture
    def reopen(self, url: str) -> Callable[[], PostgresJournal]:
        return lambda: PostgresJournal(url)

    @pytest.fixture
    def journal(self, reopen) -> Iterator[PostgresJournal]:
        with reopen() as journal:
            yield journal


def texts(journal: PostgresJournal, run: str = "r-1") -> list[object]:
    """What the notes of a run say; the run has no gaps."""
    events = list(journal.events(run))
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    return [event.data["text"] for event in events if event.type == "note"]


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


# Which journal is meant


def test_the_environment_chooses_it(url, tmp_path):
    journal = open_journal(tmp_path, {"CREWKIT_JOURNAL": url}, create=False)
    assert isinstance(journal, PostgresJournal)
    journal.close()
    assert list(tmp_path.iterdir()) == []


def test_a_journal_of_another_kind_is_refused_without_showing_it(tmp_path):
    with pytest.raises(InputError, match="postgresql://") as caught:
        open_journal(tmp_path, {"CREWKIT_JOURNAL": f"mysql://ada:{PASSWORD}@host/db"})
    assert PASSWORD not in str(caught.value)


def test_nothing_of_postgresql_is_imported_where_it_is_not_chosen(tmp_path):
    code = """
        import sys
        from pathlib import Path
        from crewkit.journal.open import open_journal
        open_journal(Path(sys.argv[1]), {}).close()
        print([name for name in sys.modules if "psycopg" in name or name.endswith("postgres")])
    """
    assert python(code, tmp_path).communicate(timeout=60) == ("[]\n", "")


def test_a_missing_driver_is_named():
    code = """
        import sys
        sys.modules["psycopg"] = None
        from crewkit.errors import InputError
        from crewkit.journal.open import open_journal
        try:
            open_journal(None, {"CREWKIT_JOURNAL": "postgresql://host/db"})
        except InputError as error:
            print(error)
    """
    out, errors = python(code).communicate(timeout=60)
    assert "pip install 'crewkit[postgres]'" in out, errors


# What goes wrong


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ada:hunter2@127.0.0.1:1/db",
        "postgresql://ada:hunter2@127.0.0.1:{port}/nowhere",
        "postgresql://nobody:hunter2@127.0.0.1:{port}/postgres",
        "postgresql://127.0.0.1:1/db?user=ada&password=hunter2",
        "postgresql://ada:hun/hunter2@127.0.0.1:1/db",
        "postgresql://ada:x@hunter2@127.0.0.1:1/db",
        "postgresql://ada:x#hunter2@127.0.0.1:1/db",
        "postgresql://ada:%zzhunter2@127.0.0.1:1/db",
        "postgresql://ada:hunter2@127.0.0.1:port/db",
        "postgresql://ada:hunter2@127.0.0.1:1/db?hunter2",
        "postgresql://ada:hunter2@[::1/db",
    ],
)
def test_a_password_is_in_no_error(server, url):
    with pytest.raises((InputError, JournalError)) as caught:
        PostgresJournal(url.replace("{port}", str(server.port)), patience=0.1)
    error: BaseException | None = caught.value
    while error is not None:
        assert "hunter2" not in f"{error!r} {error}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def test_a_server_that_refuses_is_believed_at_once(server):
    began = time.monotonic()
    with pytest.raises(
        JournalError, match=r"/nowhere: it cannot be reached\. Check CREWKIT_JOURNAL.*nowhere"
    ):
        PostgresJournal(server.url("nowhere"))
    assert time.monotonic() - began < 20


def test_a_newer_schema_is_refused_by_name(server, database, url):
    PostgresJournal(url).close()
    server.execute("UPDATE crewkit.meta SET value = '99'", database=database)
    with pytest.raises(JournalError, match=r"schema 99; this crewkit knows \d+\..*upgrade") as caught:
        PostgresJournal(url)
    assert "s3cret" not in str(caught.value)


def test_many_processes_make_the_tables_once(url):
    with ThreadPoolExecutor(8) as pool:
        for journal in pool.map(lambda _: PostgresJournal(url), range(8)):
            assert journal.runs() == []
            journal.close()


def test_a_database_that_does_not_hold_every_text_is_refused(server):
    server.execute("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
    with pytest.raises(JournalError, match=r"is in LATIN1.*ENCODING 'UTF8'"):
        PostgresJournal(server.url("latin"))


def test_a_user_without_rights_uses_tables_that_are_there(server, database, url):
    server.execute("DROP ROLE IF EXISTS guest", "CREATE ROLE guest LOGIN")
    guest = f"postgresql://guest@127.0.0.1:{server.port}/{database}"
    with pytest.raises(JournalError, match=r"may not do that.*CREATE SCHEMA crewkit"):
        PostgresJournal(guest)
    PostgresJournal(url).close()
    server.execute(
        "GRANT USAGE ON SCHEMA crewkit TO guest",
        "GRANT ALL ON ALL TABLES IN SCHEMA crewkit TO guest",
        database=database,
    )
    with PostgresJournal(guest) as journal:
        lease = journal.begin("r-1", "crew", "s1")
        journal.append([Write("r-1", [note(1)], lease.epoch)])
        assert texts(journal) == [1]


def test_nul_in_a_name_is_written_out(journal):
    lease = journal.begin("r-1", "cr\0w", "s\0")
    draft = Draft("note", "a\0/1", {"text": "\0"}, "a\0", "A\0", key="k\0", seg="s\0")
    (appended,) = journal.append([Write("r-1", [draft, draft], lease.epoch)])
    assert [event.path for event in journal.events("r-1")] == ["a\\x00/1"]
    assert len(appended) == 1
    assert texts(journal) == ["\0"]


def test_removed_tables_are_named(server, database, journal):
    lease = journal.begin("r-1", "crew", "s1")
    server.execute("DROP SCHEMA crewkit CASCADE", database=database)
    with pytest.raises(JournalError, match="tables were removed"):
        journal.append([Write("r-1", [note(1)], lease.epoch)])


def test_a_gap_ends_the_reading_with_a_word(server, database, journal):
    lease = journal.begin("r-1", "crew", "s1")
    journal.append([Write("r-1", [note(i) for i in range(300)], lease.epoch)])
    server.execute("DELETE FROM crewkit.events WHERE seq = 280", database=database)
    *events, last = journal.events("r-1")
    assert (len(events), last.type, last.data["why"]) == (279, "journal.damaged", "event 280 is missing")
    assert "s3cret" not in str(last.data)


# Many processes

OWNER = """
    import sys
    from crewkit.core.events import Draft
    from crewkit.journal.base import Write
    from crewkit.journal.postgres import PostgresJournal
    journal = PostgresJournal(sys.argv[1])
    lease = journal.begin("r-1", "crew", "s1")
    while True:
        for durable in (False, True, False):
            drafts = [Draft("note", data={"text": "y"})] * 3
            (events,) = journal.append([Write("r-1", drafts, lease.epoch, durable)])
            print(events[-1].seq, flush=True)
"""


def test_one_of_two_processes_gets_a_run(url, journal):
    lease = journal.begin("r-1", "crew", "s1")
    journal.append([Write("r-1", [started()], lease.epoch)])
    journal.release(lease)
    code = """
        import sys
        from crewkit.errors import RunBusy
        from crewkit.journal.postgres import PostgresJournal
        with PostgresJournal(sys.argv[1]) as journal:
            print("ready", flush=True)
            sys.stdin.readline()
            try:
                print(journal.take("r-1", "s2").epoch, flush=True)
            except RunBusy as error:
                print(error, flush=True)
            sys.stdin.readline()
    """
    rivals = [python(code, url) for _ in range(4)]
    for rival in rivals:
        assert rival.stdout.readline() == "ready\n"
    for rival in rivals:
        rival.stdin.write("\n")
        rival.stdin.flush()
    answers = [rival.stdout.readline().strip() for rival in rivals]
    for rival in rivals:
        rival.communicate("\n", timeout=30)
    assert answers.count("2") == 1, answers
    assert sum("Run r-1 is in the hands of pid" in answer for answer in answers) == 3, answers


def test_a_killed_process_frees_its_run_and_loses_nothing(url, journal):
    owner = python(OWNER, url)
    for _ in range(100):
        owner.stdout.readline()
    with pytest.raises(RunBusy, match=rf"r-1 is in the hands of pid {owner.pid} on"):
        journal.take("r-1", "s2")
    assert [info.alive for info in journal.runs()] == [True]
    owner.kill()
    acknowledged = [int(line) for line in owner.communicate(timeout=10)[0].splitlines() if line.strip()]
    lease = taken_when_free(journal)
    assert lease.epoch == 2
    assert len(texts(journal)) >= max(acknowledged, default=300)
    assert len(texts(journal)) % 3 == 0


def taken_when_free(journal: PostgresJournal) -> Lease:
    for _ in range(200):
        with suppress(RunBusy):
            return journal.take("r-1", "s2")
        time.sleep(0.05)
    raise AssertionError("the lease was not freed")


def test_others_decide_while_one_process_owns_the_run(url, journal):
    owner = python(OWNER, url)
    owner.stdout.readline()

    def decide(name: str) -> int:
        with PostgresJournal(url) as mine:
            drafts = [Draft("approval.decided", data={"id": n, "by": name}, key=f"a:{n}") for n in range(50)]
            return sum(len(mine.append([Write("r-1", [draft], None, durable=True)])[0]) for draft in drafts)

    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(decide, ("ada", "bob"))) == 50
    owner.kill()
    owner.communicate(timeout=10)
    texts(journal)
    decided = [event.data["id"] for event in journal.events("r-1", types=("approval.decided",))]
    assert sorted(decided) == list(range(50))


def test_who_is_stopped_in_a_transaction_keeps_nobody_from_the_run(url, journal):
    lease = journal.begin("r-1", "crew", "s1")
    tries: list[int] = []

    def stopped(db) -> None:
        db.execute("BEGIN")
        db.execute("SELECT 1 FROM runs FOR UPDATE")
        tries.append(1)
        if len(tries) == 1:
            time.sleep(5)
        db.execute("COMMIT")

    with PostgresJournal(url) as zombie, ThreadPoolExecutor(1) as pool:
        asleep = pool.submit(zombie._writer.run, stopped)
        while not tries:
            time.sleep(0.01)
        began = time.monotonic()
        journal.append([Write("r-1", [note(1)], lease.epoch)])
        assert time.monotonic() - began < 4.5
        asleep.result(timeout=30)
    assert len(tries) == 2


# Lost connections


def test_a_connection_that_was_ended_is_opened_again_with_its_lease(server, url, journal):
    lease = journal.begin("r-1", "crew", "s1")
    journal.append([Write("r-1", [note(1)], lease.epoch)])
    server.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'crewkit%'"
    )
    journal.append([Write("r-1", [note(2)], lease.epoch)])
    assert texts(journal) == [1, 2]
    with PostgresJournal(url) as other, pytest.raises(RunBusy):
        other.take("r-1", "s2")
    journal.release(lease)
    with PostgresJournal(url) as other:
        assert other.take("r-1", "s2").epoch == 2


def test_who_lost_the_run_with_the_connection_is_refused(server, url, journal):
    lease = journal.begin("r-1", "crew", "s1")
    journal.append([Write("r-1", [note(1)], lease.epoch)])
    server.crash()
    with PostgresJournal(url) as other:
        new = other.take("r-1", "s2")
        with pytest.raises(JournalError, match="r-1 was taken over by"):
            journal.append([Write("r-1", [note("stale")], lease.epoch)])
        other.append([Write("r-1", [note("fresh")], new.epoch)])
        assert texts(other)[-1] == "fresh"
        assert "stale" not in texts(other)
        other.release(new)
    assert journal.take("r-1", "s3").epoch == 3


def test_what_a_crash_of_the_server_took_is_written_again(server, journal):
    lease = journal.begin("r-1", "crew", "s1")
    elsewhere = journal.begin("r-2", "crew", "s1")
    for n in range(20):
        journal.append([Write("r-1", [note(n)], lease.epoch), Write("r-2", [note(n)], elsewhere.epoch)])
    server.crash()  # at once: the server syncs by itself only every 200 ms
    journal.append([Write("r-1", [note(20)], lease.epoch)])
    assert texts(journal) == list(range(21))
    assert texts(journal, "r-2") == list(range(20))


def test_a_connection_lost_while_writing_again_doubles_nothing(server, url, wire):
    with PostgresJournal(url.replace(str(server.port), str(wire.port))) as journal:
        lease = journal.begin("r-1", "crew", "s1")
        for n in range(4):
            journal.append([Write("r-1", [note(n)], lease.epoch)])
        server.crash()
        with PostgresJournal(url) as other:
            other.append([Write("r-1", [note("yes", key="a")], None, durable=True)])
            left = [text for text in texts(other) if text != "yes"]
        wire.cut_at = b"COMMIT"
        journal.append([Write("r-1", [note(4)], lease.epoch)])
        assert wire.cuts == 1
        assert left != [0, 1, 2, 3], "the crash took nothing: there was nothing to write again"
        assert texts(journal) == [*left, "yes", *range(len(left), 5)]


def test_crashes_of_the_server_lose_and_double_nothing(server, journal):
    lease = journal.begin("r-1", "crew", "s1")
    running = True
    appended: list[object] = []

    def work() -> None:
        for n in itertools.count():
            if not running:
                return
            drafts = [note(n, key=f"k{n}" if n % 5 == 0 else None), note(f"{n}b")]
            (events,) = journal.append([Write("r-1", drafts, lease.epoch, n % 7 == 0)])
            assert [event.data["text"] for event in events] == [n, f"{n}b"]
            appended.extend(event.data["text"] for event in events)

    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(work)
        for _ in range(5):
            before = len(appended)
            while len(appended) < before + 50 and not working.done():
                time.sleep(0.01)
            server.crash()
        running = False
        working.result(timeout=60)
    assert len(appended) >= 250
    assert texts(journal) == appended


class Wire:
    """A wire to the server that can be cut when an answer to certain bytes is on its way."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.cut_at = b""
        """Deliver what contains this, and never the answer to it."""
        self.cuts = 0
        self.dead_after_cut = False
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self.dead_after_cut and self.cuts:
                    client.close()
                    continue
                server = socket.create_connection(("127.0.0.1", self._target))
                threading.Thread(target=self._serve, args=(client, server), daemon=True).start()

    def _serve(self, client: socket.socket, server: socket.socket) -> None:
        with client, server, suppress(OSError):
            while True:
                ready, _, _ = select.select([client, server], [], [])
                for end in ready:
                    data = end.recv(65536)
                    if not data:
                        return
                    (server if end is client else client).sendall(data)
                    if end is client and self.cut_at and self.cut_at in data:
                        self.cut_at = b""
                        self.cuts += 1
                        select.select([server], [], [], 0.5)  # time to do it
                        return

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def wire(server: PostgresServer) -> Iterator[Wire]:
    wire = Wire(server.port)
    yield wire
    wire.close()


@pytest.mark.parametrize("cut", [b"FOR UPDATE", b"INSERT INTO events", b"COMMIT"])
def test_an_append_whose_answer_was_lost_happens_once(url, wire, server, cut):
    through = url.replace(str(server.port), str(wire.port))
    for n in range(3):
        # A new one each time: psycopg sends a statement's text once per connection.
        with PostgresJournal(through) as journal:
            lease = journal.take("r-1", "s1") if n else journal.begin("r-1", "crew", "s1")
            wire.cut_at = cut
            (events,) = journal.append([Write("r-1", [note(n), note(n, key=f"k{n}")], lease.epoch)])
            assert [event.data["text"] for event in events] == [n, n]
            with PostgresJournal(url) as other, pytest.raises(RunBusy):
                other.take("r-1", "s2")
    assert wire.cuts == 3
    with PostgresJournal(url) as journal:
        assert texts(journal) == [0, 0, 1, 1, 2, 2]


def test_a_beginning_whose_answer_was_lost_happens_once(url, wire, server):
    with PostgresJournal(url.replace(str(server.port), str(wire.port))) as journal:
        for cut in (b"INSERT INTO runs", b"pg_try_advisory_lock", b"COMMIT"):
            wire.cut_at = cut
            run = f"r-{wire.cuts}"
            lease = journal.begin(run, "crew", "s1")
            journal.append([Write(run, [note(1)], lease.epoch)])
            with pytest.raises(JournalError, match="already"):
                journal.begin(run, "crew", "s1")
        assert wire.cuts == 3


def test_a_run_whose_last_append_nobody_knows_about_is_appended_to_only_after_a_look(url, wire, server):
    with PostgresJournal(url.replace(str(server.port), str(wire.port)), patience=0.3) as journal:
        lease = journal.begin("r-1", "crew", "s1")
        wire.cut_at, wire.dead_after_cut = b"COMMIT", True
        with pytest.raises(JournalError, match="did not bring it back"):
            journal.append([Write("r-1", [note(1)], lease.epoch)])
        wire.dead_after_cut = False
        with pytest.raises(JournalError, match="did not bring it back"):  # or it would be there twice
            journal.append([Write("r-1", [note(1)], lease.epoch)])
        assert texts(journal) == [1]
        journal.release(lease)
        lease = journal.take("r-1", "s2")
        journal.append([Write("r-1", [note(2)], lease.epoch)])
        assert texts(journal) == [1, 2]


def test_a_server_that_is_gone_for_good_is_named_and_the_run_goes_on_when_it_is_back(server, url):
    with PostgresJournal(url, patience=1) as journal:
        lease = journal.begin("r-1", "crew", "s1")
        journal.append([Write("r-1", [started(), note(1)], lease.epoch, durable=True)])
        server.stop()
        began = time.monotonic()
        with pytest.raises(JournalError, match=r"trying did not bring it back.*resume the run") as caught:
            journal.append([Write("r-1", [note(2)], lease.epoch)])
        assert 0.5 < time.monotonic() - began < 5
        assert "s3cret" not in str(caught.value)
        with pytest.raises(JournalError, match="did not bring it back"):
            journal.last("r-1")
        journal.release(lease)
    server.start()
    with PostgresJournal(url) as journal:
        assert texts(journal) == [1]
        lease = journal.take("r-1", "s2")
        journal.append([Write("r-1", [note(2)], lease.epoch)])
        assert texts(journal) == [1, 2]


def test_closing_does_not_wait_for_a_server_that_is_gone(server, url):
    journal = PostgresJournal(url)
    lease = journal.begin("r-1", "crew", "s1")
    server.stop()
    with ThreadPoolExecutor(1) as pool:
        appending = pool.submit(journal.append, [Write("r-1", [note(1)], lease.epoch)])
        time.sleep(0.5)
        journal.close()
        with pytest.raises(JournalError, match="closed"):
            appending.result(timeout=2)


def test_events_are_not_kept_for_a_crash_without_end(journal):
    lease = journal.begin("r-1", "crew", "s1")
    sizes: list[int] = []
    for n in range(30):
        journal.append([Write("r-1", [note("x" * 100_000), note(n)], lease.epoch)])
        sizes.append(journal._unsynced_size)
    assert 0 < max(sizes) < 1_200_000
    assert sizes.count(0) == 2
    journal.append([Write("r-1", [], lease.epoch, durable=True)])
    assert journal._unsynced == []


def test_a_lost_connection_says_nothing_on_the_screen(server, url):
    code = """
        import sys
        from crewkit.core.events import Draft
        from crewkit.journal.base import Write
        from crewkit.journal.postgres import PostgresJournal
        journal = PostgresJournal(sys.argv[1])
        lease = journal.begin("r-1", "crew", "s1")
        for _ in range(2):
            print(journal.append([Write("r-1", [Draft("note", data={"text": 1})], lease.epoch)])[0][0].seq, flush=True)
            sys.stdin.readline()
        journal.close()
    """
    process = python(code, url)
    assert process.stdout.readline() == "1\n"
    server.crash()
    assert process.communicate("\n\n", timeout=30) == ("2\n", "")


# Crews


async def test_a_crew_goes_on_through_restarts_of_the_server(server, url):
    seen: list[Event] = []
    asked: list[str] = []

    def answer(name: str):
        async def say(request: Request) -> str:
            asked.append(name)
            if name in ("b", "d"):
                await asyncio.to_thread(server.crash)
            return f"{name} is done"

        return ScriptedModel(say)

    tasks: list[Task] = []
    for name in "abcde":
        agent = Agent(name, "Write.", model=answer(name))
        tasks.append(Task(name, "Write.", agent=agent, needs=tasks[-1:]))
    with PostgresJournal(url) as journal:
        options = Options(journal=journal, environ={}, listener=seen.append, run_id="r-1")
        result = await Crew(tasks).run({}, options)
        assert result.status == "completed"
        assert dict(result.outputs) == {name: f"{name} is done" for name in "abcde"}
        assert asked == list("abcde")
        texts(journal)
        assert list(journal.events("r-1")) == [event for event in seen if event.seq]


async def test_a_crew_whose_server_is_gone_stops_by_name_and_is_resumed(server, url):
    asked: list[str] = []

    async def one(request: Request) -> str:
        asked.append("one")
        return "one"

    async def two(request: Request) -> str:
        asked.append("two")
        if asked.count("two") == 1:
            await asyncio.to_thread(server.stop)
        return "two"

    first = Task("first", "Write.", agent=Agent("A", "Write.", model=ScriptedModel(one)))
    second = Task("second", "Write.", agent=Agent("B", "Write.", model=ScriptedModel(two)), needs=[first])
    crew = Crew([first, second])
    with (
        PostgresJournal(url, patience=0.5) as journal,
        pytest.raises(JournalError, match="not bring it back"),
    ):
        await crew.run({}, Options(journal=journal, environ={}, run_id="r-1"))
    server.start()
    with PostgresJournal(url) as journal:
        result = await crew.resume("r-1", Options(journal=journal, environ={}))
        assert dict(result.outputs) == {"first": "one", "second": "two"}
    assert asked == ["one", "two", "two"]


CREW = '''
from crewkit import Agent, Crew, Task, tool

@tool(effects="read")
def look_up(topic: str) -> str:
    """Look a topic up."""
    return f"What is known of {topic}."

agent = Agent("Finder", "Find things.", tools=[look_up])
find = Task("find", "Look up {topic}.", "A fact.", agent, human_input="Is it good?")
crew = Crew([find], inputs=["topic"], name="finding")
'''


def test_the_command_line_runs_asks_and_resumes_on_it(url, tmp_path):
    (tmp_path / "finding.py").write_text(CREW)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CREWKIT_")}
    environ = {**kept, "CREWKIT_JOURNAL": url, "CREWKIT_EMBEDDER": "none", "NO_COLOR": "1"}

    def crewkit(*command: str, expected: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "crewkit.cli.main", *command],
            cwd=tmp_path,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == expected, done.stdout + done.stderr
        assert "s3cret" not in done.stdout + done.stderr
        return done.stdout

    assert crewkit("runs") == ""
    crewkit("run", "finding.py", "-i", "topic=tides", expected=3)
    assert "paused" in crewkit("runs")
    crewkit("approve", json.loads(crewkit("approvals", "--json"))["id"])
    assert "tides" in crewkit("resume", "@last")
    (run,) = [json.loads(line) for line in crewkit("runs", "--json").splitlines()]
    assert run["status"] == "completed"
    events = [json.loads(line) for line in crewkit("show", "@last", "--json").splitlines()]
    assert [event["seq"] for event in events] == list(range(1, run["events"] + 1))
    assert not (tmp_path / ".crewkit" / "journal.db").exists()
