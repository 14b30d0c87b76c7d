import os
import subprocess
import sys
from importlib import resources

import pytest

from crewkit.cli.group import COMMANDS, serve
from crewkit.journal.sqlite import SqliteJournal


def test_the_help_on_file_is_the_help_that_click_prints():
    code = "from crewkit.cli.group import serve; serve(['--help'])"
    environ = {**os.environ, "COLUMNS": "80"}
    printed = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, env=environ
    )
    on_file = (resources.files("crewkit.cli") / "help.txt").read_text(encoding="utf-8")
    assert on_file == printed.stdout, "write crewkit/cli/help.txt anew with the code above"


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"]])
def test_the_help_needs_no_other_module(arguments):
    code = (
        "import sys; from crewkit.cli.main import main; code = main();"
        "assert not {'click', 'rich', 'pydantic', 'asyncio'} & set(sys.modules); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: crewkit ")


@pytest.mark.parametrize("command", ["runs", "show @last", "approvals", "run -h"])
def test_commands_that_read_load_nothing_heavy(command, folder):
    code = (
        "import sys; from crewkit.cli.main import main; main();"
        "print({'pydantic', 'litellm', 'chromadb', 'httpx', 'rich', 'jsonschema'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *command.split()], check=False, capture_output=True, text=True
    )
    assert done.stdout.endswith("set()\n")


@pytest.mark.parametrize("name", [name for section in COMMANDS.values() for name in section])
def test_every_command_has_help_with_an_example(name, invoke):
    shown = invoke(name, "--help")
    assert shown.exit_code == 0
    assert "Example" in shown.output
    assert f"crewkit {name}" in shown.output


def test_a_misspelt_command_names_the_near_one(capsys):
    assert serve(["shwo"]) == 2
    assert "Did you mean 'show'?" in capsys.readouterr().err


def test_wrong_use_is_told_from_failure(folder, capsys):
    assert serve(["run"]) == 2
    assert serve(["run", "nothing.py"]) == 2
    assert serve(["show", "r-none"]) == 2
    assert capsys.readouterr().out == ""


def test_an_error_is_one_message_and_no_traceback(folder, capsys):
    assert serve(["check", "findign.py"]) == 2
    assert capsys.readouterr().err == "Error: There is no file findign.py. Did you mean finding.py?\n"


def test_a_closed_pipe_ends_quietly(folder):
    reading, writing = os.pipe()
    os.close(reading)
    code = "import sys; from crewkit.cli.main import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "graph", "finding.py"],
        check=False,
        stdout=writing,
        stderr=subprocess.PIPE,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_a_run_with_closed_streams_ends_as_ever_and_its_journal_is_no_streams_file(folder, closed):
    code = (
        f"import os\nfor number in {closed}: os.close(number)\n"
        "os.execv(sys.executable, [sys.executable, '-m', 'crewkit', 'run', 'finding.py', '-i', 'topic=tides'])"
    )
    done = subprocess.run([sys.executable, "-c", f"import sys\n{code}"], check=False, capture_output=True)
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False)
    with SqliteJournal(folder / ".crewkit" / "journal.db") as journal:
        assert [run.status for run in journal.runs()] == ["completed"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["run", "finding.py", "-i", "topic=tides"]])
def test_a_full_disk_behind_stdout_is_one_message_and_the_run_is_told(folder, arguments):
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "crewkit", *arguments],
            check=False,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "Error: What was to be printed could not be written: no space left on device." in done.stderr
    assert ("read it: crewkit show r-" in done.stderr) == (arguments[0] == "run")


def test_completion_knows_commands_and_runs(folder, start):
    environ = {
        **os.environ,
        "_CREWKIT_COMPLETE": "bash_complete",
        "COMP_WORDS": "crewkit re",
        "COMP_CWORD": "1",
    }
    command = [sys.executable, "-c", "import sys; from crewkit.cli.main import main; main()"]
    done = subprocess.run(command, env=environ, check=False, capture_output=True, text=True)
    assert "plain,resume" in done.stdout


def test_completion_scripts_are_printed(invoke):
    for shell in ("bash", "zsh", "fish"):
        assert "_CREWKIT_COMPLETE" in invoke("completion", shell).output
