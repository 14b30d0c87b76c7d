"""The tests that every journal passes.

Subclass `JournalConformance` in a test module and say how a journal is opened:

```python
class TestMyJournal(JournalConformance):
    @pytest.fixture
    def reopen(self, tmp_path):
        return lambda: MyJournal(tmp_path / "runs")
```
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from crewkit.core.events import Draft, Event
from crewkit.errors import InputError, JournalError, RunBusy
from crewkit.journal.base import Journal, Write

Reopen = Callable[[], Journal]


def started(crew: str = "crew", ts: str = "") -> Draft:
    """Return the first event of a run."""
    return Draft("run.started", data={"crew": crew}, ts=ts)


def note(text: Any, *, key: str | None = None) -> Draft:
    """Return an event that means nothing."""
    return Draft("note", data={"text": text}, key=key)


class JournalConformance:
    """What `Journal` promises, as tests."""

    @pytest.fixture
    def reopen(self) -> Reopen:
        """Return a function that opens the same journal, each time as another process would."""
        raise NotImplementedError

    @pytest.fixture
    def journal(self, reopen: Reopen) -> Iterator[Journal]:
        """Open the journal."""
        journal = reopen()
        yield journal
        journal.close()

    def test_what_is_appended_is_read_back_in_order(self, journal: Journal) -> None:
        """Every field of an event survives."""
        lease = journal.begin("r-1", "crew", "s1")
        draft = Draft(
            type="tool.finished",
            path="draft/2/tool:0",
            data={"tool": "search", "n": [1, 2.5, None, True], "deep": {"a": {"b": []}}},
            task="draft",
            agent="Editor",
            attempt=3,
            ts="2026-11-21T09:41:53.000001Z",
            t=12.5,
            seg="s1",
        )
        (appended,) = journal.append([Write("r-1", [started(), draft], lease.epoch)])
        assert list(journal.events("r-1")) == appended
        assert appended[1] == Event(
            run="r-1",
            seq=2,
            type="tool.finished",
            ts="2026-11-21T09:41:53.000001Z",
            t=12.5,
            seg="s1",
            path="draft/2/tool:0",
            task="draft",
            agent="Editor",
            attempt=3,
            data=draft.data,
        )

    def test_an_event_without_a_time_gets_one(self, journal: Journal) -> None:
        """The journal adds when."""
        lease = journal.begin("r-1", "crew", "s1")
        ((event,),) = journal.append([Write("r-1", [note("x")], lease.epoch)])
        assert event.ts.endswith("Z")
        assert len(event.ts) == len("2026-11-21T09:41:53.000001Z")

    def test_seq_is_gapless_across_writes_and_runs(self, journal: Journal) -> None:
        """Each run counts for itself, in the order of the writes."""
        a, b = journal.begin("r-a", "crew", "s1"), journal.begin("r-b", "crew", "s1")
        writes = [
            Write(run, [note(i)], epoch)
            for i in range(5)
            for run, epoch in (("r-a", a.epoch), ("r-b", b.epoch))
        ]
        journal.append(writes)
        journal.append(writes)
        for run in ("r-a", "r-b"):
            events = list(journal.events(run))
            assert [event.seq for event in events] == list(range(1, 11))
            assert [event.data["text"] for event in events] == [0, 1, 2, 3, 4] * 2
            assert journal.last(run) == 10

    def test_reading_begins_after_a_seq_and_keeps_to_types(self, journal: Journal) -> None:
        """`after` and `types` narrow the reading together."""
        lease = journal.begin("r-1", "crew", "s1")
        journal.append([Write("r-1", [started(), note(1), Draft("task.started"), note(2)], lease.epoch)])
        assert [event.seq for event in journal.events("r-1", after=2)] == [3, 4]
        assert [event.seq for event in journal.events("r-1", types=["note"])] == [2, 4]
        assert [event.seq for event in journal.events("r-1", after=2, types=["note", "run.started"])] == [4]
        assert list(journal.events("r-1", after=4)) == []

    def test_a_long_run_is_read_whole(self, journal: Journal) -> None:
        """Nothing is lost where reading goes on from one page to the next."""
        lease = journal.begin("r-1", "crew", "s1")
        journal.append([Write("r-1", [note(i) for i in range(1000)], lease.epoch)])
        assert [event.data["text"] for event in journal.events("r-1")] == list(range(1000))

    def test_a_run_that_is_not_there_has_no_events(self, journal: Journal) -> None:
        """Reading is no error; carrying it on is."""
        assert journal.last("r-nope") == 0
        assert list(journal.events("r-nope")) == []
        with pytest.raises(InputError, match="r-nope"):
            journal.take("r-nope", "s1")

    def test_two_runs_cannot_have_one_id(self, journal: Journal, reopen: Reopen) -> None:
        """Neither while it runs nor afterwards, here or in another process."""
        lease = journal.begin("r-1", "crew", "s1")
        journal.append([Write("r-1", [started()], lease.epoch)])
        with pytest.raises(JournalError):
            journal.begin("r-1", "crew", "s2")
        journal.release(lease)
        other = reopen()
        with pytest.raises(JournalError, match="r-1"):
            other.begin("r-1", "crew", "s2")
        other.close()
        assert journal.take("r-1", "s3").epoch > lease.epoch

    def test_a_run_that_died_before_its_first_event_is_begun_anew(
        self, journal: Journal, reopen: Reopen
    ) -> None:
        """Its name is not lost; while it is in a hand it is."""
        old = journal.begin("r-1", "old", "s1")
        other = reopen()
        with pytest.raises(JournalError):
            other.begin("r-1", "crew", "s2")
        journal.release(old)
        lease = other.begin("r-1", "crew", "s2")
        assert lease.epoch > old.epoch
        with pytest.raises(JournalError):
            journal.append([Write("r-1", [note("stale")], old.epoch)])
        other.append([Write("r-1", [started()], lease.epoch)])
        assert [(info.run, info.crew, info.events) for info in journal.runs()] == [("r-1", "crew", 1)]
        other.close()

    def test_a_key_happens_once_and_the_first_wins(self, journal: Journal) -> None:
        """Within one write, one transaction and one run."""
        a, b = journal.begin("r-a", "crew", "s1"), journal.begin("r-b", "crew", "s1")
        answer = journal.append(
            [
                Write("r-a", [note(1, key="k"), note(2, key="k"), note(3)], a.epoch),
                Write("r-a", [note(4, key="k")], None),
                Write("r-b", [note(5, key="k")], b.epoch),
            ]
        )
        assert [[event.data["text"] for event in events] for events in answer] == [[1, 3], [], [5]]
        assert journal.append([Write("r-a", [note(6, key="k")], None)]) == [[]]
        assert [event.data["text"] for event in journal.events("r-a")] == [1, 3]

    def test_only_the_owner_appends_without_a_key(self, journal: Journal) -> None:
        """Others leave decisions and signals, each once."""
        lease = journal.begin("r-1", "crew", "s1")
        with pytest.raises(JournalError, match="r-1"):
            journal.append([Write("r-1", [note("x")], None)])
        journal.append([Write("r-1", [note("x")], lease.epoch)])
        assert journal.last("r-1") == 1

    def test_a_run_that_is_not_there_takes_no_decision(self, journal: Journal) -> None:
        """A decision on a run that is not there is an error of whoever typed its name."""
        with pytest.raises(InputError, match="r-nope"):
            journal.append([Write("r-nope", [note("x", key="k")], None)])

    def test_a_run_is_in_one_hand(self, journal: Journal, reopen: Reopen) -> None:
        """The second is told who has it."""
        lease = journal.begin("r-1", "crew", "s1")
        journal.append([Write("r-1", [started()], lease.epoch)])
        other = reopen()
        with pytest.raises(RunBusy, match=r"crewkit show r-1 --follow"):
            other.take("r-1", "s2")
        assert [info.alive for info in other.runs()] == [True]
        journal.release(lease)
        assert [info.alive for info in other.runs()] == [False]
        assert other.take("r-1", "s2").epoch == lease.epoch + 1
        other.close()

    def test_closing_gives_the_lease_back(self, journal: Journal, reopen: Reopen) -> None:
        """As the death of the process does."""
        other = reopen()
        lease = other.begin("r-1", "crew", "s1")
        other.append([Write("r-1", [started()], lease.epoch)])
        other.close()
        other.close()
        deadline = time.monotonic() + 30  # a server may take a moment to notice
        while [info.alive for info in journal.runs()] != [False]:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert journal.take("r-1", "s2").seg == "s2"

    def test_an_owner_who_lost_the_run_is_refused(self, journal: Journal, reopen: Reopen) -> None:
        """All or nothing: the good write beside the stale one is not made either."""
        old = journal.begin("r-1", "crew", "s1")
        good = journal.begin("r-2", "crew", "s1")
        journal.release(old)
        other = reopen()
        new = other.take("r-1", "s2")
        with pytest.raises(JournalError, match="r-1"):
            journal.append(
                [Write("r-2", [note("good")], good.epoch), Write("r-1", [note("stale")], old.epoch)]
            )
        assert journal.last("r-2") == 0
        other.append([Write("r-1", [note("fresh")], new.epoch)])
        assert [event.data["text"] for event in journal.events("r-1")] == ["fresh"]
        other.close()

    def test_the_list_of_runs_follows_the_events(self, journal: Journal) -> None:
        """Status, size and times come from the events; the newest is first."""
        for run, ts in (("r-old", "2026-01-01T00:00:00.000000Z"), ("r-new", "2026-01-02T00:00:00.000000Z")):
            lease = journal.begin(run, "digest", "s1")
            journal.append([Write(run, [started(ts=ts)], lease.epoch)])
        new, old = journal.runs()
        assert (new.run, old.run) == ("r-new", "r-old")
        assert (old.crew, old.status, old.events, old.started) == (
            "digest",
            "running",
            1,
            "2026-01-01T00:00:00.000000Z",
        )
        later = "2026-01-03T00:00:00.000000Z"
        for draft, status in (
            (Draft("run.paused", ts=later), "paused"),
            (Draft("run.resumed", ts=later), "running"),
            (Draft("run.finished", data={"status": "limit"}, ts=later), "limit"),
        ):
            journal.append([Write("r-old", [draft], 1)])
            assert journal.runs()[1].status == status
        assert journal.runs()[1].updated == later
        assert journal.runs()[1].started == old.started
        assert journal.runs(limit=1) == [new]
        assert journal.info("r-new") == new
        with pytest.raises(InputError, match="r-nope"):
            journal.info("r-nope")

    def test_a_paused_run_is_due_when_its_time_comes_or_somebody_decides(self, journal: Journal) -> None:
        """Whoever carries runs on asks for all that are due at once."""
        early, late = "2026-01-01T00:00:00.000000Z", "2026-01-09T00:00:00.000000Z"
        decided = Draft("approval.decided", data={"id": "a"}, key="decided:a", ts=early)
        leases = {run: journal.begin(run, "c", "s") for run in ("r-time", "r-person", "r-told", "r-over")}

        def paused(run: str, **data: Any) -> None:
            draft = Draft("run.paused", data=data, ts=early)
            journal.append([Write(run, [started(), draft], leases[run].epoch)])

        paused("r-time", until=late)
        paused("r-person")
        journal.append([Write("r-told", [decided], None)])  # before it paused, and it did not see it
        paused("r-told", seen=0)
        paused("r-over", until=early)
        journal.append([Write("r-over", [Draft("run.resumed")], leases["r-over"].epoch)])
        assert journal.due(early) == ["r-told"]
        assert set(journal.due(late)) == {"r-told", "r-time"}
        journal.append([Write("r-person", [decided], None)])
        assert set(journal.due(early)) == {"r-told", "r-person"}
        wakes = {info.run: info.wake for info in journal.runs()}
        assert wakes == {"r-time": late, "r-person": early, "r-told": early, "r-over": ""}

    def test_a_run_that_was_handed_over_waits_until_somebody_carries_it_on(
        self, journal: Journal, reopen: Reopen
    ) -> None:
        """Workers ask for what lies there; who resumes a run says whose it is."""

        def begin(run: str, queue: str) -> None:
            lease = journal.begin(run, "c", "s")
            begun = Draft("run.started", data={"crew": "c", "queue": queue})
            journal.append([Write(run, [begun], lease.epoch)])
            assert run not in journal.handed(queue)  # as long as it is held
            journal.release(lease)

        for run, queue in (("r-b", "/app"), ("r-a", "/app"), ("r-other", "/else"), ("r-mine", "")):
            begin(run, queue)
        assert journal.handed("/app") == ["r-b", "r-a"]
        assert {info.run: info.queue for info in journal.runs()}["r-other"] == "/else"
        other = reopen()
        lease = other.take("r-a", "s2")
        assert journal.handed("/app") == ["r-b"]
        other.append([Write("r-a", [Draft("run.resumed")], lease.epoch)])
        other.release(lease)
        assert journal.handed("/app") == ["r-b"]  # a person has it now
        lease = other.take("r-b", "s2")
        other.append([Write("r-b", [Draft("run.finished", data={"status": "completed"})], lease.epoch)])
        other.close()
        assert journal.handed("/app") == []

    def test_the_size_of_a_run_is_that_of_its_data(self, journal: Journal) -> None:
        """In bytes, as JSON."""
        lease = journal.begin("r-1", "c", "s")
        journal.append([Write("r-1", [note("é" * 10), note("")], lease.epoch)])
        size = sum(len(json.dumps({"text": text}, separators=(",", ":"))) for text in ("xx" * 10, ""))
        assert journal.runs()[0].bytes == size

    def test_a_fork_shares_events_and_goes_on_by_itself(self, journal: Journal, reopen: Reopen) -> None:
        """Nothing is copied; `seq` goes on; neither sees what the other does from then on."""
        origin = journal.begin("r-1", "crew", "s1")
        journal.append([Write("r-1", [started(), note(2), note(3)], origin.epoch)])
        fork = journal.fork("r-1", 2, "r-2", "crew", "s2")
        assert (fork.run, fork.epoch, fork.seg) == ("r-2", 1, "s2")
        journal.append([Write("r-1", [note("of the first")], origin.epoch)])
        ((own, _),) = journal.append([Write("r-2", [Draft("run.forked"), note("own")], fork.epoch)])
        assert (own.run, own.seq, journal.last("r-2")) == ("r-2", 3, 4)
        other = reopen()
        for each in (journal, other):
            assert [(event.run, event.seq) for event in each.events("r-2")] == [
                ("r-1", 1),
                ("r-1", 2),
                ("r-2", 3),
                ("r-2", 4),
            ]
            assert [event.data.get("text") for event in each.events("r-1")] == [None, 2, 3, "of the first"]
            assert [event.seq for event in each.events("r-2", after=1)] == [2, 3, 4]
            assert [event.seq for event in each.events("r-2", after=3)] == [4]
            assert [event.seq for event in each.events("r-2", types=("note",))] == [2, 4]
        info = next(info for info in other.runs() if info.run == "r-2")
        assert (info.origin, info.origin_seq, info.events, info.status) == ("r-1", 2, 4, "running")
        other.close()

    def test_a_fork_of_a_fork_shares_what_that_one_shares(self, journal: Journal) -> None:
        """Also where it branches off before the first did."""
        lease = journal.begin("r-1", "c", "s")
        journal.append([Write("r-1", [started(), note(2), note(3), note(4)], lease.epoch)])
        lease = journal.fork("r-1", 3, "r-2", "c", "s")
        journal.append([Write("r-2", [note(4), note(5)], lease.epoch)])
        for seq, shared in ((5, ["r-1"] * 3 + ["r-2"] * 2), (2, ["r-1"] * 2), (3, ["r-1"] * 3)):
            run = f"r-3-{seq}"
            lease = journal.fork("r-2", seq, run, "c", "s")
            journal.append([Write(run, [note("own")], lease.epoch)])
            events = list(journal.events(run))
            assert [event.run for event in events] == [*shared, run]
            assert [event.seq for event in events] == list(range(1, seq + 2))

    def test_a_fork_keeps_keys_for_itself(self, journal: Journal) -> None:
        """What happened once in its origin may happen once in it."""
        lease = journal.begin("r-1", "c", "s")
        journal.append([Write("r-1", [started(), note(2, key="k")], lease.epoch)])
        lease = journal.fork("r-1", 2, "r-2", "c", "s")
        answer = journal.append([Write("r-2", [note(3, key="k"), note(4, key="k")], lease.epoch)])
        assert [event.seq for event in answer[0]] == [3]

    def test_a_fork_is_refused_where_there_is_nothing_to_share(self, journal: Journal) -> None:
        """And leaves nothing behind."""
        lease = journal.begin("r-1", "c", "s")
        journal.append([Write("r-1", [started(), note(2)], lease.epoch)])
        with pytest.raises(InputError, match="r-nope"):
            journal.fork("r-nope", 1, "r-2", "c", "s")
        for seq in (0, -1, 3):
            with pytest.raises(InputError, match="has the events 1 to 2"):
                journal.fork("r-1", seq, "r-2", "c", "s")
        journal.release(lease)
        with pytest.raises(JournalError, match="There is a run r-1 already"):
            journal.fork("r-1", 1, "r-1", "c", "s")
        journal.fork("r-1", 1, "r-3", "c", "s")  # and its process dies before it says so
        assert [info.run for info in journal.runs()] == ["r-1"]
        assert journal.find("@last") == "r-1"
        with pytest.raises(InputError, match="There is no run 'r-3'"):
            journal.find("r-3")

    def test_a_removed_run_is_gone_and_its_name_is_free(self, journal: Journal, reopen: Reopen) -> None:
        """Unless somebody has it, or shares its events."""
        lease = journal.begin("r-1", "c", "s")
        journal.append([Write("r-1", [started(), note(1, key="k")], lease.epoch)])
        other = reopen()
        with pytest.raises(RunBusy):
            other.remove("r-1")
        journal.release(lease)
        fork = journal.fork("r-1", 1, "r-2", "c", "s")
        journal.append([Write("r-2", [note(2)], fork.epoch)])
        journal.release(fork)
        with pytest.raises(InputError, match="r-2"):
            other.remove("r-1")
        other.remove("r-2")
        other.remove("r-1")
        assert (journal.runs(), journal.last("r-1"), list(journal.events("r-1"))) == ([], 0, [])
        with pytest.raises(InputError, match="r-1"):
            other.remove("r-1")
        journal.compact()
        again = journal.begin("r-1", "c", "s")
        journal.append([Write("r-1", [started(), note(3, key="k")], again.epoch)])
        assert [event.data.get("text") for event in journal.events("r-1")] == [None, 3]
        other.close()

    def test_a_fork_that_came_to_nothing_does_not_hold_its_origin(
        self, journal: Journal, reopen: Reopen
    ) -> None:
        """Its process died before the first event: nobody could name it to remove it."""
        lease = journal.begin("r-1", "c", "s")
        journal.append([Write("r-1", [started()], lease.epoch)])
        journal.release(lease)
        other = reopen()
        fork = other.fork("r-1", 1, "r-2", "c", "s")
        with pytest.raises(InputError, match="r-2"):
            journal.remove("r-1")
        other.release(fork)
        journal.remove("r-1")
        assert journal.runs() == []
        with pytest.raises(InputError, match="r-1"):
            other.fork("r-1", 1, "r-2", "c", "s")
        other.close()

    def test_a_run_is_forked_or_removed_and_never_both(self, journal: Journal, reopen: Reopen) -> None:
        """Whoever comes second is refused."""
        other = reopen()

        def fork(run: str) -> bool:
            try:
                lease = journal.fork(run, 2, f"{run}-fork", "c", "s")
            except InputError:
                return False
            journal.append([Write(lease.run, [note("own")], lease.epoch)])
            journal.release(lease)
            return True

        def remove(run: str) -> bool:
            try:
                other.remove(run)
            except InputError:
                return False
            return True

        with ThreadPoolExecutor(2) as pool:
            for run in (f"r-{n}" for n in range(20)):
                lease = journal.begin(run, "c", "s")
                journal.append([Write(run, [started(), note(2)], lease.epoch)])
                journal.release(lease)
                forked, removed = pool.submit(fork, run), pool.submit(remove, run)
                assert forked.result() != removed.result()
                assert len(list(journal.events(f"{run}-fork"))) == (3 if forked.result() else 0)
        other.close()

    def test_the_data_of_a_run_can_be_rewritten(self, journal: Journal) -> None:
        """Its own events' alone, and its size with it."""
        lease = journal.begin("r-1", "c", "s")
        journal.append([Write("r-1", [started(), note("x" * 500)], lease.epoch)])
        journal.release(lease)
        fork = journal.fork("r-1", 2, "r-2", "c", "s")
        journal.append([Write("r-2", [note("y" * 500)], fork.epoch)])
        journal.release(fork)
        with pytest.raises(InputError, match="r-2"):
            journal.rewrite("r-1", lambda type, data: {})
        before = list(journal.events("r-1"))
        journal.rewrite("r-2", lambda type, data: {"was": type})
        *shared, own = journal.events("r-2")
        assert (shared, own.data, own.seq) == (before, {"was": "note"}, 3)
        assert journal.info("r-2").bytes == len('{"was":"note"}')

    def test_a_run_is_found_by_its_id_a_prefix_or_as_the_last(self, journal: Journal) -> None:
        """What is near is named where nothing, or too much, is meant."""
        with pytest.raises(InputError, match="No runs here yet"):
            journal.find("@last")
        for run, day in (("r-abc", 1), ("r-abcd", 3), ("r-xyz", 2)):
            lease = journal.begin(run, "crew", "s1")
            journal.append([Write(run, [started(ts=f"2026-01-0{day}T00:00:00.000000Z")], lease.epoch)])
        assert journal.find("r-xyz") == "r-xyz"
        assert journal.find("r-x") == "r-xyz"
        assert journal.find("r-abc") == "r-abc"
        assert journal.find("@last") == "r-abcd"
        with pytest.raises(InputError, match=r"r-abc, r-abcd"):
            journal.find("r-a")
        with pytest.raises(InputError, match=r"Did you mean 'r-xyz'"):
            journal.find("r-xyy")
        for name in ("", "%", "r-_", "'; drop table runs", "\ud800", "\0"):
            with pytest.raises(InputError):
                journal.find(name)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "ä€𝄞",
            "a\0b",
            "\ud800 half",
            "line\nline\r\n\u2028",
            '"\\',
            "x" * 1_000_000,
            10**400,
            -0.0,
            "\x1b[31m",
        ],
        ids=["empty", "unicode", "nul", "surrogate", "lines", "quotes", "long", "huge", "zero", "escape"],
    )
    def test_any_json_is_kept_as_it_is(self, journal: Journal, reopen: Reopen, text: Any) -> None:
        """Values and keys, whatever they hold."""
        lease = journal.begin("r-1", "crew", "s1")
        data = {"value": text, str(text)[:20]: [text]}
        journal.append([Write("r-1", [Draft("note", data=data)], lease.epoch)])
        other = reopen()
        (event,) = other.events("r-1")
        assert event.data == data
        other.close()

    def test_odd_names_do_not_stop_the_journal(self, journal: Journal) -> None:
        """A half character in a path or a role is written out."""
        lease = journal.begin("r-1", "cr\ud800w", "s1")
        draft = Draft("note", path="a\ud800/1", task="a\ud800", agent="\udfff", key="k\ud800")
        (appended,) = journal.append([Write("r-1", [draft, draft], lease.epoch)])
        assert list(journal.events("r-1")) == appended
        assert len(appended) == 1

    def test_data_that_is_not_json_is_named(self, journal: Journal) -> None:
        """The event and its place; nothing of the write is kept."""
        lease = journal.begin("r-1", "crew", "s1")
        with pytest.raises(JournalError, match=r"note at 'draft/1'.*(object|bytes)"):
            journal.append(
                [Write("r-1", [note("ok"), Draft("note", "draft/1", {"x": b"bytes"})], lease.epoch)]
            )
        assert journal.last("r-1") == 0

    def test_an_empty_durable_write_is_a_sync(self, journal: Journal) -> None:
        """It adds nothing and is no error."""
        lease = journal.begin("r-1", "crew", "s1")
        assert journal.append([Write("r-1", [], lease.epoch, durable=True)]) == [[]]
        assert journal.append([]) == []
        assert journal.last("r-1") == 0

    def test_what_one_process_appends_another_reads(self, journal: Journal, reopen: Reopen) -> None:
        """At once, while the first goes on."""
        lease = journal.begin("r-1", "crew", "s1")
        other = reopen()
        for i in range(1, 4):
            journal.append([Write("r-1", [note(i)], lease.epoch)])
            assert other.last("r-1") == i
            assert [event.data["text"] for event in other.events("r-1", after=i - 1)] == [i]
        other.append([Write("r-1", [note("yes", key="approval:a-1")], None)])
        assert [event.data["text"] for event in journal.events("r-1", after=3)] == ["yes"]
        other.close()

    def test_threads_share_one_journal(self, journal: Journal) -> None:
        """Appending and reading at the same time, from any thread."""
        lease = journal.begin("r-1", "crew", "s1")

        def work(n: int) -> int:
            journal.append([Write("r-1", [note(n)], lease.epoch)])
            return len(list(journal.events("r-1")))

        with ThreadPoolExecutor(8) as pool:
            assert max(pool.map(work, range(64))) == 64
        assert [event.seq for event in journal.events("r-1")] == list(range(1, 65))

    def test_a_closed_journal_says_so(self, reopen: Reopen) -> None:
        """No traceback of the storage under it."""
        journal = reopen()
        lease = journal.begin("r-1", "crew", "s1")
        journal.close()
        for call in (
            lambda: journal.append([Write("r-1", [note("x")], lease.epoch)]),
            lambda: list(journal.events("r-1")),
            lambda: journal.last("r-1"),
            journal.runs,
        ):
            with pytest.raises(JournalError, match="closed"):
                call()
