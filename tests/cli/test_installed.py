"""What users get who install crewkit: the console script, `python -m crewkit`, and every file that is no Python."""

import subprocess
import sys
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path

import pytest


def test_python_m_crewkit_is_the_console_script(folder):
    def say(*command: str) -> tuple[int, str, str]:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    script = str(Path(sys.executable).with_name("crewkit"))
    for arguments in (["--version"], ["--help"], ["nonsense"]):
        assert say(sys.executable, "-m", "crewkit", *arguments) == say(script, *arguments)
    [entry] = entry_points(group="console_scripts", name="crewkit")
    assert entry.value == "crewkit.cli.main:main"


@pytest.mark.parametrize("name", ["py.typed", "cli/help.txt", "cli/starter.py.txt", "cli/starter.yaml.txt"])
def test_files_that_are_no_python_belong_to_the_package(name):
    assert (files("crewkit") / name).is_file()
