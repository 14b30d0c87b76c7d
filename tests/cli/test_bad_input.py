"""What a person sees where something outside crewkit is wrong: one clear message, the right exit code, nothing lost."""

import asyncio
import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from crewkit.cli.group import serve
from crewkit.testing.server import ChatServer

SECRET = "sk-only-for-this-test-1234567890"

CHATTY = """
from crewkit import Agent, Crew, Task

def note() -> str:
    return "kept"

agent = Agent("Writer", "Write.")
crew = Crew([Task("note", do=note), Task("say", "Say something.", agent=agent), Task("end", do=note, needs=["say"])])
"""

NOISY = '''
from crewkit import Agent, Crew, Limits, Task, tool
from crewkit.models.scripted import ScriptedModel, call

@tool(effects="read")
def look(n: int) -> str:
    """Look."""
    with open("looks.txt", "a") as file:
        print(n, file=file)
    return f"{n}" * 30_000

model = ScriptedModel([*(call("look", n=n) for n in range(20)), "Seen."])
agent = Agent("Looker", "Look.", tools=[look], model=model)
crew = Crew([Task("look", "Look.", agent=agent)], limits=Limits(tokens=None))
'''


@pytest.fixture
def run(folder, capfd):
    """Runs a command line in this process; returns exit code, stdout and stderr."""

    def call(*arguments: str) -> tuple[int, str, str]:
        code = serve(arguments)
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return call


@contextlib.contextmanager
def running(server: ChatServer) -> Iterator[ChatServer]:
    """Serve from a thread, so that commands can be run to their end meanwhile."""
    loop, stop, up = asyncio.new_event_loop(), asyncio.Event(), threading.Event()

    async def until_stopped() -> None:
        async with server:
            up.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(until_stopped(),))
    thread.start()
    assert up.wait(10)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def write_env(folder: Path, server: ChatServer) -> None:
    (folder / ".env").write_text(
        f"OPENAI_API_KEY={SECRET}\nOPENAI_BASE_URL={server.url}\nCREWKIT_MODEL=openai/m\n"
    )


def bytes_of_runs(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.joinpath(".crewkit").rglob("*") if file.is_file())


# Crews and runs


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            "from crewkit import Crew\ncrew = Crew([\n",
            "bad.py, line 2: '[' was never closed\n    crew = Crew([",
        ),
        ("x = 1\n", "There is no crew in bad.py."),
        ("from finding import crew as a, failing as b\n", "There are 2 crews in bad.py: say which."),
        ("import nosuchmodule\n", "No module named 'nosuchmodule'"),
        ("from crewkit import Crew\ncrew = Crew([])\n", "bad.py, line 2\n    crew = Crew([])"),
    ],
)
@pytest.mark.parametrize("command", ["run", "check", "graph"])
def test_a_crew_file_that_cannot_be_used_is_told_from_a_failure(run, folder, content, said, command):
    (folder / "bad.py").write_text(content)
    code, out, err = run(command, "bad.py")
    assert (code, out) == (2, "")
    assert err.startswith("Error: ")
    assert said in err
    assert not (folder / ".crewkit").exists()


@pytest.mark.parametrize("command", ["show", "resume", "cancel", "approvals"])
def test_an_unknown_run_names_the_newest(run, kept, command):
    code, out, err = run(command, "r-nothing")
    assert (code, out) == (2, "")
    assert "There is no run 'r-nothing'" in err
    assert "The newest: r-kept." in err


@pytest.mark.parametrize("command", ["show", "resume", "cancel"])
def test_where_nothing_was_ever_run_that_is_said(run, command):
    code, out, err = run(command, "@last")
    assert (code, out) == (2, "")
    assert "No runs here yet" in err


def test_a_value_of_the_wrong_type_is_told_to_a_person(run):
    code, _, err = run("run", "finding.py:waiting", "-i", "topic=x", "-i", "seconds=soon")
    assert code == 2
    assert err == (
        "Error: Input 'seconds' is 'soon', which is not float: "
        "Input should be a valid number, unable to parse string as a number\n"
    )


def test_inputs_that_are_not_json_show_what_was_read(run, folder):
    (folder / "inputs.json").write_text("{topic: tides}")
    code, _, err = run("run", "finding.py", "--inputs", "inputs.json")
    assert code == 2
    assert "--inputs inputs.json is not JSON" in err
    assert "'{topic: tides}'" in err


def test_a_working_directory_that_is_gone_is_named(run, folder):
    gone = folder / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    for command in (["run", "x.py"], ["runs"], ["check", "x.py"], ["show", "@last"]):
        code, _, err = run(*command)
        assert code in (1, 2)
        assert "The working directory does not exist any more" in err
    os.chdir(folder)


# Models


def test_a_model_without_a_key_is_found_before_anything_runs(run, folder, monkeypatch):
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    code, out, err = run("run", "finding.py", "-i", "topic=x", "--model", "anthropic/claude-sonnet-4-5")
    assert (code, out) == (2, "")
    assert "'anthropic/claude-sonnet-4-5' needs ANTHROPIC_API_KEY" in err
    assert ".env" in err


@pytest.mark.slow
def test_the_env_file_names_model_and_key_and_its_secrets_stay_out_of_the_journal(run, folder):
    (folder / "chatty.py").write_text(CHATTY)

    def echo(body: object) -> str:
        return f"My key is {SECRET}, and that is it."

    with running(ChatServer(echo)) as server:
        write_env(folder, server)
        code, out, err = run("run", "chatty.py")
    assert code == 0, err
    assert server.requests[0].headers["authorization"] == f"Bearer {SECRET}"
    assert server.requests[0].body["model"] == "m"
    assert run("show", "@last")[1].count("[redacted:OPENAI_API_KEY]")
    assert SECRET.encode() not in bytes_of_runs(folder)
    assert SECRET not in out + err


def test_the_environment_goes_before_the_env_file(run, folder, monkeypatch):
    (folder / ".env").write_text("CREWKIT_MODEL=openai/m\nOPENAI_API_KEY=never-used-at-all\n")
    monkeypatch.setenv("CREWKIT_MODEL", "offline")
    assert run("run", "finding.py", "-i", "topic=tides")[0] == 0


def test_every_command_finds_the_runs_that_the_env_file_places(run, folder):
    (folder / ".env").write_text(f"CREWKIT_HOME={folder / 'elsewhere'}\n")
    assert run("run", "finding.py:asking", "-i", "topic=tides")[0] == 3
    assert (folder / "elsewhere" / "journal.db").exists()
    assert json.loads(run("runs", "--json")[1])["status"] == "paused"
    assert run("show", "@last")[0] == 0
    assert run("approvals")[1].startswith("a-")
    assert run("resume", "@last")[0] == 3


def test_an_env_file_that_is_no_text_is_named(run, folder):
    (folder / ".env").write_bytes(b"KEY=\xff\xfe")
    code, _, err = run("run", "finding.py", "-i", "topic=tides")
    assert code == 2
    assert f"{folder / '.env'} cannot be read: it is not UTF-8 text." in err


def test_a_refused_key_fails_the_run_and_a_better_one_resumes_it(run, folder):
    (folder / "chatty.py").write_text(CHATTY)
    with running(ChatServer(["Hello there."], faults=["401"])) as server:
        write_env(folder, server)
        code, out, err = run("run", "chatty.py")
        assert (code, out) == (1, "")
        assert f"Model 'openai/m' at 127.0.0.1:{server.port} answered with status 401" in err
        assert "Check the key in OPENAI_API_KEY." in err
        assert "failed: 1 of 3 tasks" in err
        assert "go on: crewkit resume r-" in err
        code, _, err = run("resume", "@last")
    assert code == 0
    assert "1 of 3 tasks done" in err
    assert "completed: 3 of 3 tasks" in err
    assert len(server.requests) == 2


@pytest.mark.slow
def test_ctrl_c_while_a_request_hangs_ends_promptly_and_resumes(start, run, folder):
    (folder / "chatty.py").write_text(CHATTY)
    with running(ChatServer(["Hello there."], faults=["hang"])) as server:
        write_env(folder, server)
        process = start("run", "chatty.py")
        while "✓ note" not in process.stderr.readline():
            pass
        wait_for(lambda: server.requests)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
        assert time.monotonic() - began < 15
        assert (process.returncode, out) == (130, "")
        assert "interrupted: 1 of 3 tasks done and kept" in err
        assert "go on: crewkit resume r-" in err
        assert run("resume", "@last")[0] == 0


@pytest.mark.slow
def test_a_broken_server_does_not_hold_the_process_at_its_end(start, folder):
    (folder / "chatty.py").write_text(CHATTY.replace("agent=agent)", "agent=agent, timeout=1)"))
    with running(ChatServer(faults=["hang", "hang"])) as server:
        write_env(folder, server)
        process = start("run", "chatty.py")
        while "✗ say" not in process.stderr.readline():
            pass
        began = time.monotonic()
        _, err = process.communicate(timeout=20)
        assert time.monotonic() - began < 15
    assert process.returncode == 1
    assert "It was waiting for the model 'openai/m'." in err


def wait_for(happened) -> None:
    until = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < until
        time.sleep(0.02)


# The journal


@pytest.mark.slow
def test_a_locked_journal_is_named_and_the_run_goes_on_when_it_is_free(run, folder):
    assert run("run", "finding.py:asking", "-i", "topic=tides")[0] == 3
    other = sqlite3.connect(folder / ".crewkit" / "journal.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    code, _, err = run("resume", "@last")
    other.execute("ROLLBACK")
    other.close()
    assert code == 1
    assert "kept it locked for 10 s" in err
    assert run("resume", "@last")[0] == 3


@pytest.mark.parametrize("command", [["run", "finding.py", "-i", "topic=x"], ["runs"], ["show", "@last"]])
def test_a_file_that_is_no_journal_is_named_and_left_alone(run, folder, command):
    (folder / ".crewkit").mkdir()
    file = folder / ".crewkit" / "journal.db"
    file.write_bytes(b"not a database at all" * 100)
    code, _, err = run(*command)
    assert code == 1
    assert f"{file}: it is no journal, or damaged" in err
    assert file.read_bytes() == b"not a database at all" * 100


def test_a_damaged_run_can_be_read_as_far_as_it_goes_and_is_never_carried_on(run, folder):
    assert run("run", "finding.py", "-i", "topic=tides")[0] == 0
    events = json.loads(run("runs", "--json")[1])["events"]
    with contextlib.closing(sqlite3.connect(folder / ".crewkit" / "journal.db")) as db, db:
        db.execute("UPDATE events SET data = '{\"half' WHERE seq = 8")
    code, out, _ = run("show", "@last")
    assert code == 0
    assert "DAMAGED: nothing after event 7 can be read" in out
    code, out, err = run("resume", "@last")
    assert (code, out) == (2, "")
    assert "cannot be read on after event 7" in err
    assert "go on: crewkit resume" not in err
    assert json.loads(run("runs", "--json")[1])["events"] == events


@pytest.mark.slow
@pytest.mark.skipif(os.getuid() != 0, reason="mounts a small disk")
def test_a_full_disk_stops_a_run_which_goes_on_when_there_is_space(run, folder, tmp_path, monkeypatch):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no right to mount")
    try:
        monkeypatch.setenv("CREWKIT_HOME", str(disk))
        (folder / "noisy.py").write_text(NOISY)
        ballast = disk / "ballast"
        ballast.write_bytes(b"x" * 700_000)
        code, out, err = run("run", "noisy.py")
        assert (code, out) == (1, "")
        assert f"{disk / 'journal.db'}: the disk is full" in err
        assert "go on: crewkit resume r-" in err
        done = len((folder / "looks.txt").read_text().split())
        assert 0 < done < 20
        ballast.unlink()
        subprocess.run(["mount", "-o", "remount,size=20m", disk], check=True)
        code, out, err = run("resume", "@last")
        assert (code, out) == (0, "Seen.\n"), err
        looks = (folder / "looks.txt").read_text().split()
        assert sorted(set(looks), key=int) == [str(n) for n in range(20)]
        assert len(looks) <= 21, "at most the call in flight is made again"
    finally:
        subprocess.run(["umount", disk], check=True)
