import json
import os
import signal
import time

import pytest

from crewkit.cli.group import serve
from crewkit.cli.inputs import read_inputs
from crewkit.errors import DefinitionError, InputError


@pytest.fixture
def run(folder, capfd):
    """Runs a command line in this process; returns exit code, stdout and stderr."""

    def call(*arguments: str) -> tuple[int, str, str]:
        code = serve(arguments)
        out, err = capfd.readouterr()
        return code, out, err

    return call


def test_stdout_gets_the_answer_alone(run):
    code, out, err = run("run", "finding.py", "-i", "topic=tides")
    assert code == 0
    assert "What is known of tides." in out
    assert "said by a tool" not in out
    assert "said by a tool" in err
    assert "completed: 1 of 1 task" in err
    assert err.splitlines()[-1].startswith("transcript r-")


def test_quiet_says_nothing_but_the_answer(run):
    _, out, err = run("run", "finding.py", "-i", "topic=tides", "--quiet")
    assert "What is known of tides." in out
    assert err == "said by a tool\n"


def test_json_is_the_whole_result(run):
    _, out, _ = run("run", "finding.py", "-i", "topic=tides", "--json")
    result = json.loads(out)
    assert (result["status"], result["report"]["completed"]) == ("completed", ["find"])
    assert "What is known of tides." in result["output"]
    assert set(result["usage"]) >= {"tokens", "usd", "steps", "seconds"}


def test_a_failed_run_says_what_failed_and_why(run):
    code, out, err = run("run", "finding.py:failing")
    assert (code, out) == (1, "")
    assert "nothing works" in err
    assert "- after" in err
    assert "crewkit resume r-" in err


def test_a_limit_ends_the_run_and_resume_raises_it(run):
    code, _, err = run("run", "finding.py", "-i", "topic=tides", "--tokens", "100")
    assert code == 4
    assert "--tokens N" in err
    code, out, _ = run("resume", "@last", "--tokens", "none")
    assert code == 0
    assert "What is known of tides." in out


def test_a_pause_names_the_commands_and_an_approval_lets_it_go_on(run):
    code, out, err = run("run", "finding.py:asking", "-i", "topic=tides")
    assert (code, out) == (3, "")
    assert "Is it good?" in err
    id = next(line.split()[2] for line in err.splitlines() if line.startswith("  crewkit approve"))
    assert run("approve", id)[0] == 0
    code, out, err = run("resume", "@last")
    assert code == 0
    assert "What is known of tides." in out


def test_resuming_a_complete_run_runs_nothing_and_answers_again(run):
    _, first, _ = run("run", "finding.py", "-i", "topic=tides")
    code, again, err = run("resume", "@last")
    assert (code, again) == (0, first)
    assert "nothing is run again" in err
    assert "said by a tool" not in err


def test_a_run_is_resumed_from_another_folder(run, folder, monkeypatch):
    run("run", "finding.py:asking", "-i", "topic=tides")
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    monkeypatch.setenv("CREWKIT_HOME", str(folder / ".crewkit"))
    code, _, err = run("resume", "@last")
    assert code == 3
    assert f"in {folder}, where the run began" in err


def test_a_run_whose_crew_is_gone_asks_for_its_new_place(run, folder):
    run("run", "finding.py:asking", "-i", "topic=tides")
    (folder / "finding.py").rename(folder / "moved.py")
    code, _, err = run("resume", "@last")
    assert code == 2
    assert "path.py" in err
    assert run("resume", "@last", "moved.py:asking")[0] == 3


def test_a_changed_crew_is_noticed_and_named(run, folder):
    run("run", "finding.py:asking", "-i", "topic=tides")
    crew = folder / "finding.py"
    crew.write_text(crew.read_text().replace("Look up {topic}.", "Look {topic} up."))
    code, _, err = run("resume", "@last")
    assert code == 2
    assert "not finished:\n  find: " in err


def test_a_missing_input_is_found_before_anything_runs(run, folder):
    code, _, err = run("run", "finding.py")
    assert code == 2
    assert "-i topic=" in err
    assert not (folder / ".crewkit").exists() or run("runs", "--json")[1] == ""


def test_a_folder_that_cannot_be_written_is_named(run, folder, monkeypatch):
    (folder / "file").write_text("")
    monkeypatch.setenv("CREWKIT_HOME", str(folder / "file" / "home"))
    code, _, err = run("run", "finding.py", "-i", "topic=tides")
    assert code == 1
    assert err.startswith("Error: The journal")
    assert "CREWKIT_HOME" in err


# Inputs


def test_inputs_are_text_files_or_json(folder):
    (folder / "brief.md").write_text("a brief")
    (folder / "all.json").write_text('{"a": 1, "b": 2}')
    assert read_inputs(["a=x=y", "c=@brief.md", "d:=[1, null]"], "all.json") == {
        "a": "x=y",
        "b": 2,
        "c": "a brief",
        "d": [1, None],
    }


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (["nonsense"], "write NAME=TEXT"),
        (["a=1", "a=2"], "given twice"),
        (["a=@missing"], "No such file"),
        (["a:={"], "is not JSON"),
        (["a:=NaN"], "NaN is not JSON"),
        (['a:={"x": 1, "x": 2}'], "'x' stands twice"),
        (["a:=" + "[" * 100_000], "is not JSON"),
    ],
)
def test_an_input_that_cannot_be_read_is_named(folder, pairs, message):
    with pytest.raises(InputError, match=message):
        read_inputs(pairs, "")


def test_inputs_that_are_no_object_are_refused(folder):
    (folder / "list.json").write_text("[1]")
    with pytest.raises(InputError, match="holds list, not an object"):
        read_inputs([], "list.json")
    (folder / "bytes.json").write_bytes(b"\xff")
    with pytest.raises(InputError, match="not UTF-8"):
        read_inputs([], "bytes.json")


# Before a run


def test_a_starter_runs_as_it_is_and_is_never_overwritten(run):
    code, _, _ = run("new", "first")
    assert code == 0
    assert run("check", "first.py")[0] == 0
    code, out, _ = run("run", "first.py", "-i", "topic=the moon")
    assert code == 0
    assert "the moon" in out
    assert run("new", "first")[0] == 2


def test_check_tells_what_will_be_asked_about(folder, invoke):
    text = (folder / "finding.py").read_text()
    (folder / "risky.py").write_text(text.replace("tools=[look_up]", "tools=[publish]"))
    shown = invoke("check", "risky.py:crew").output
    assert "publish  write, external  asks a person first" in shown
    assert json.loads(invoke("check", "risky.py:crew", "--json").output)["warnings"]


def test_check_tells_what_a_colleague_may_not_use(folder, invoke):
    (folder / "asking.py").write_text(
        "from crewkit import Agent, Crew, Task, ask_colleague\nfrom finding import agent, look_up\n"
        "def crew_of(*tools):\n"
        "    writer = Agent('Writer', 'Write.', tools=[ask_colleague, *tools])\n"
        "    return Crew([Task('text', 'Write.', agent=writer)], agents=[agent])\n"
        "narrow, wide = crew_of(), crew_of(look_up)\n"
    )
    assert "Finder may not use look_up when Writer asks" in invoke("check", "asking.py:narrow").output
    assert "may not use" not in invoke("check", "asking.py:wide").output


def test_check_shows_a_mistake_with_the_users_line(folder, invoke):
    (folder / "wrong.py").write_text("def f(:\n")
    assert isinstance(invoke("check", "wrong.py").exception, DefinitionError)


def test_a_graph_is_drawn_as_text_and_as_mermaid(invoke):
    assert invoke("graph", "finding.py:waiting").output == "wait    wait()\n└ then  wait()  after wait\n"
    assert "t_wait --> t_then" in invoke("graph", "finding.py:waiting", "--format", "mermaid").output


# Ctrl-C


def begun(process) -> str:
    """Wait until the first task runs; return the run's id."""
    run = process.stderr.readline().split()[1]
    while "wait  begins" not in process.stderr.readline():
        pass
    return run


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_stops_in_order_and_the_run_can_be_resumed(start, run, number):
    process = start("run", "finding.py:waiting", "-i", "topic=x", "-i", "seconds:=1.5")
    id = begun(process)
    os.kill(process.pid, number)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (130, "")
    assert f"go on: crewkit resume {id}" in err
    assert run("runs", "--status", "paused", "--json")[1].startswith('{"run": "' + id)


@pytest.mark.slow
def test_the_second_signal_leaves_at_once(start, folder):
    (folder / "stubborn.py").write_text(
        "import time\nfrom crewkit import Crew, Task\n"
        "async def wait() -> str:\n    time.sleep(30)\n    return ''\n"
        "crew = Crew([Task('wait', do=wait)])\n"
    )
    process = start("run", "stubborn.py")
    begun(process)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=5) == 130
    process.communicate()


@pytest.mark.slow
def test_a_killed_run_is_shown_as_interrupted_and_its_unknown_effect_is_asked_about(start, run):
    process = start("run", "finding.py:waiting", "-i", "topic=x", "-i", "seconds:=1.5")
    id = begun(process)
    process.kill()
    process.communicate()
    assert run("runs", "--status", "interrupted", "--json")[1].startswith('{"run": "' + id)
    code, _, err = run("resume", id)
    assert code == 3
    assert "nobody knows whether it happened" in err


@pytest.mark.slow
def test_another_process_may_follow_a_run(start, run):
    process = start("run", "finding.py:waiting", "-i", "topic=x", "-i", "seconds:=1")
    id = begun(process)
    code, out, _ = run("show", id, "--follow")
    assert code == 0
    assert out.splitlines()[-1].endswith("2 of 2 tasks completed.")
    process.communicate()
