import http.client
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from crewkit.cli.group import serve
from crewkit.core.signing import signed

SLOW = '''
import time
from crewkit import Crew, Input, Task, tool

@tool(effects="read")
def wait(topic: str, seconds: float) -> str:
    """Wait."""
    time.sleep(seconds)
    return topic

crew = Crew([Task("wait", do=wait)], inputs={"topic": Input(), "seconds": Input(type=float)})
'''


def rows(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def states(invoke) -> list[str]:
    return [row["status"] for row in rows(invoke("runs", "--json").stdout)]


def test_each_line_has_a_run_and_none_has_two(invoke):
    done = invoke(
        "watch", "finding.py", "--lines", "--json", input="tides\n\nmoons\ntides\n", standalone_mode=False
    )
    assert done.return_value == 0, done.output
    told = rows(done.stdout)
    assert sorted(row["item"] for row in told if not row["repeated"]) == ["moons", "tides"]
    again = invoke(
        "watch", "finding.py", "--lines", "--json", input="moons\ntides\nsuns\n", standalone_mode=False
    )
    assert {row["item"]: row["repeated"] for row in rows(again.stdout)} == {
        "moons": True,
        "tides": True,
        "suns": False,
    }
    runs = rows(invoke("runs", "--json").stdout)
    assert len(runs) == 3
    assert {row["run"] for row in rows(again.stdout)} == {row["run"] for row in runs}


def test_json_lines_are_inputs_and_a_bad_one_is_passed_over(invoke):
    lines = '{"topic": "tides", "seconds": 0}\n[1]\n{broken\n{"seconds": 0}\n'
    done = invoke("watch", "finding.py:waiting", "--json-lines", "--json", input=lines, standalone_mode=False)
    assert done.return_value == 1
    assert "line 2 is passed over: it holds no object" in done.stderr
    assert "line 3 is passed over: it is not JSON" in done.stderr
    told = {row["item"]: row for row in rows(done.stdout)}
    assert told['{"topic": "tides", "seconds": 0}']["output"] == "tides"
    assert "needs the input 'topic'" in told['{"seconds": 0}']["why"]


def test_a_key_says_what_is_the_same_again(invoke):
    lines = '{"topic": "tides", "seconds": 0}\n'
    first = invoke(
        "watch",
        "finding.py:waiting",
        "--json-lines",
        "--key",
        "topic",
        "--json",
        input=lines,
        standalone_mode=False,
    )
    assert first.return_value == 0
    other = lines.replace("0}", "0.1}")
    again = invoke(
        "watch",
        "finding.py:waiting",
        "--json-lines",
        "--key",
        "topic",
        "--json",
        input=other,
        standalone_mode=False,
    )
    assert rows(again.stdout)[0]["repeated"]


def test_each_file_of_a_folder_has_a_run_and_a_changed_one_another(invoke, folder):
    inbox = folder / "inbox"
    inbox.mkdir()
    for name in ("a.txt", "b.txt", ".hidden.txt", "c.txt.part", "d.pdf"):
        (inbox / name).write_text(name)
    arguments = ("watch", "finding.py", "--folder", "inbox", "--pattern", "*.txt", "--once", "--json")
    assert sorted(row["item"] for row in rows(invoke(*arguments).stdout)) == ["a.txt", "b.txt"]
    (inbox / "a.txt").write_text("changed")
    assert {row["item"]: row["repeated"] for row in rows(invoke(*arguments).stdout)} == {
        "a.txt": False,
        "b.txt": True,
    }


def test_what_waits_for_a_person_is_carried_on_when_it_comes_in_again(invoke):
    arguments = ("watch", "finding.py:asking", "--lines", "--json")
    first = invoke(*arguments, input="tides\n", standalone_mode=False)
    assert first.return_value == 3
    assert rows(invoke(*arguments, input="tides\n", standalone_mode=False).stdout)[0]["repeated"]
    assert invoke("approve", rows(invoke("approvals", "--json").stdout)[0]["id"]).exit_code == 0
    assert rows(invoke(*arguments, input="tides\n", standalone_mode=False).stdout)[0]["status"] == "completed"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Say what to watch"),
        (("--lines", "--folder", "."), "Say what to watch"),
        (("--lines", "--input", "topik"), "no such input"),
        (("--lines", "-i", "topic=x"), "Say which input gets the item"),
    ],
)
def test_a_wrong_use_is_said(folder, capsys, arguments, said):
    assert serve(["watch", "finding.py", *arguments]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.slow
def test_an_interrupted_watch_goes_on_where_it_stopped(invoke, folder):
    lines = '{"topic": "tides", "seconds": 0}\n{"topic": "moons", "seconds": 8}\n'
    (folder / "lines").write_text(lines)
    (folder / "slow.py").write_text(SLOW)
    command = [sys.executable, "-m", "crewkit.cli.main", "watch", "slow.py", "--json-lines"]
    with (folder / "lines").open() as stdin:
        process = subprocess.Popen(command, cwd=folder, stdin=stdin, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while sorted(states(invoke)) != ["completed", "running"] and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "goes on where this one stopped" in said
    assert sorted(states(invoke)) == ["completed", "paused"]
    again = invoke("watch", "slow.py", "--json-lines", input=lines, standalone_mode=False)
    assert again.return_value == 0, again.stderr
    assert states(invoke) == ["completed", "completed"]


SECRET = "a secret for the tests"


def listening(folder, target: str) -> tuple[subprocess.Popen[str], int]:
    command = [sys.executable, "-m", "crewkit.cli.main", "watch", target, "--webhook", "--port", "0"]
    environ = {**os.environ, "CREWKIT_WEBHOOK_SECRET": SECRET}
    process = subprocess.Popen(command, cwd=folder, env=environ, stderr=subprocess.PIPE, text=True)
    line = process.stderr.readline()
    return process, int(line.rpartition(":")[2].partition("/")[0])


def post(
    port: int, body: bytes, *, key: str = "", signs: str = SECRET, path: str = "/runs"
) -> tuple[int, dict]:
    headers = signed(signs, path, body, time.time()) | ({"Idempotency-Key": key} if key else {})
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", path, body, headers)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


@pytest.mark.slow
def test_each_signed_call_has_a_run_and_the_same_call_has_none(invoke, folder):
    (folder / "slow.py").write_text(SLOW)

    def begun() -> tuple[subprocess.Popen[str], int]:
        return listening(folder, "slow.py")

    def wait_for(*expected: str) -> None:
        deadline = time.monotonic() + 60
        while sorted(states(invoke)) != sorted(expected) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert sorted(states(invoke)) == sorted(expected)

    process, port = begun()
    try:
        status, first = post(port, b'{"topic": "tides", "seconds": 0}')
        assert (status, first["repeated"]) == (202, False)
        assert post(port, b'{"seconds": 0, "topic": "tides"}') == (200, {**first, "repeated": True})
        assert post(port, b'{"topic": "tides", "seconds": 0}', key="another")[0] == 202
        assert post(port, b'{"topic": "moons", "seconds": 0}', key="another")[0] == 200
        assert post(port, b'{"topic": "tides"}')[0] == 422
        assert post(port, b"[1]")[0] == 400
        assert post(port, b"{")[0] == 400
        assert post(port, b"{}", signs="another secret here")[0] == 401
        assert post(port, b"{}", path="/other")[0] == 404
        wait_for("completed", "completed")
        assert post(port, b'{"topic": "suns", "seconds": 5}')[0] == 202
        process.kill()
        process.communicate(timeout=60)
        process, port = begun()
        wait_for("completed", "completed", "completed")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == 130
    finally:
        process.kill()
        process.communicate()


DUE = '''
from datetime import timedelta
from crewkit import Crew, Task, tool

@tool(effects="read")
def greet(name: str) -> str:
    """Greet."""
    return f"hello {name}"

cool = Task("cool", wait_for=timedelta(seconds=0.2))
greeted = Task("greeted", do=greet, needs=[cool], human_input="Is it kind?")
crew = Crew([cool, greeted, Task("sent", wait_for="sent", needs=[greeted])], inputs=["name"])
'''


@pytest.mark.slow
def test_what_waits_goes_on_by_itself_when_a_time_a_decision_or_an_event_comes(invoke, folder):
    (folder / "due.py").write_text(DUE)
    process, port = listening(folder, "due.py")

    def wait_for(*command: str, until) -> str:
        deadline = time.monotonic() + 60
        while not until(said := invoke(*command).stdout) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert until(said), said
        return said

    try:
        _, begun = post(port, b'{"name": "Ann"}')
        [asked] = rows(wait_for("approvals", "--json", until=lambda said: "Is it kind?" in said))
        assert invoke("approve", asked["id"]).exit_code == 0
        assert invoke("tell", begun["run"], "--event", "sent", "--data", "{}").exit_code == 0
        wait_for("runs", "--json", until=lambda said: rows(said)[0]["status"] == "completed")
    finally:
        process.kill()
        process.communicate()


def test_a_watch_over_http_needs_a_secret(folder, capsys):
    assert serve(["watch", "finding.py", "--webhook", "--port", "0"]) == 2
    assert "CREWKIT_WEBHOOK_SECRET has to have 16 characters" in capsys.readouterr().err
