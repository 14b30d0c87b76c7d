"""`crewkit undo`: a run is given up by a person, and what it did is taken back."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

CREW = '''
    from pathlib import Path
    from crewkit import Crew, Input, Task, tool

    def give_back(name: str) -> None:
        """Give it back."""
        if Path("closed").exists():
            raise ValueError("closed")
        Path(name).unlink(missing_ok=True)

    @tool(effects="write", undo=give_back)
    def take(name: str) -> str:
        """Take it."""
        Path(name).write_text("taken")
        return name

    crew = Crew([Task("taken", do=take)], inputs={"name": Input(default="seat")}, name="seats")
'''


def crewkit(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "crewkit", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


def test_a_person_undoes_a_run_and_what_is_left_is_tried_again(tmp_path: Path):
    (tmp_path / "crew.py").write_text(textwrap.dedent(CREW))
    (tmp_path / "closed").touch()
    assert crewkit(tmp_path, "run", "crew.py", "-q").returncode == 0
    done = crewkit(tmp_path, "undo", "@last")
    assert done.returncode == 1
    assert "not undone: give_back() raised ValueError: closed" in done.stderr
    assert (tmp_path / "seat").exists()
    (tmp_path / "closed").unlink()
    done = crewkit(tmp_path, "undo", "@last", "--json")
    assert (done.returncode, json.loads(done.stdout)["report"]["undone"]) == (
        0,
        {"taken/1/tool:0": "give_back"},
    )
    assert not (tmp_path / "seat").exists()
    done = crewkit(tmp_path, "undo", "@last")
    assert (done.returncode, "what it did was undone (taken/1/tool:0)" in done.stderr) == (2, True)
    shown = crewkit(tmp_path, "show", "@last").stdout
    assert "given up: 1 effect to undo" in shown
