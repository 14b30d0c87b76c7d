"""Every code block of the README and the docs is run, in order, in a folder of its document's own.

- ```` ```python ```` whose first line is `# name.py` is saved under that name; every python block is executed.
- ```` ```yaml ```` begins with `# name.yaml` and is saved under that name.
- ```` ```console ```` holds commands after `$ `, and what they print; `…` stands for anything, `r-…` and `a-…` for
  any id; `# exit 3` after a command is the exit code it must have.
- ```` ```text ```` and ```` ```json ```` are shown, not run; so are `mermaid` drawings.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "crews" / "README.md"]
SHOWN = {"text", "json", "mermaid"}
SET_UP = "python3 -m pip install -q uv && python3 -m uv run "

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(document: Path) -> Iterator[tuple[str, str, int]]:
    text = document.read_text(encoding="utf-8")
    for match in BLOCK.finditer(text):
        yield match[1], match[2], text.count("\n", 0, match.start()) + 2


def environment(folder: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("CREWKIT_", "OPENAI_", "ANTHROPIC_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    return {
        **kept,
        "PATH": path,
        "COLUMNS": "100",
        "NO_COLOR": "1",
        "PYTHONPATH": str(folder),
        "CREWKIT_NO_NETWORK": "1",
    }


def run_python(code: str, folder: Path, where: str) -> None:
    name = re.match(r"# ([\w/]+\.py)\n", code)
    file = folder / (name[1] if name else "block.py")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(code, encoding="utf-8")
    if name and name[1].startswith("test_"):
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(file)]
    else:
        command = [sys.executable, str(file)]
    done = subprocess.run(
        command, cwd=folder, env=environment(folder), capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, f"{where}\n{done.stdout}{done.stderr}"


def commands(block: str) -> Iterator[tuple[str, int, list[str]]]:
    lines = block.splitlines()
    starts = [i for i, line in enumerate(lines) if line.startswith("$ ")]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        command, _, code = lines[start][2:].partition("  # exit ")
        yield command.strip(), int(code or 0), [line.rstrip() for line in lines[start + 1 : end]]


def matches(expected: list[str], printed: list[str]) -> bool:
    """Say whether the printed lines are the expected ones; a line of only `…` stands for any lines."""
    parts = ["(?:.*\n)*?" if line.strip() == "…" else line_pattern(line) + "\n" for line in expected]
    return re.fullmatch("".join(parts), "".join(line.rstrip() + "\n" for line in printed)) is not None


def line_pattern(line: str) -> str:
    return re.escape(line).replace("…", ".*").replace(r"r\-.*", r"r\-\w+").replace(r"a\-.*", r"a\-\w+")


def run_console(block: str, folder: Path, where: str, ids: dict[str, str]) -> None:
    for written, code, expected in commands(block):
        command = written
        for name, value in ids.items():
            command = command.replace(name, value)
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=folder,
            env=environment(folder),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=100,
        )
        said = f"{where}\n$ {command}\n{done.stdout}"
        assert done.returncode == code, said
        for kind in ("r", "a"):
            found = re.findall(rf"\b{kind}-[0-9a-z]{{8}}\b", done.stdout)
            if found:
                ids[f"{kind}-…"] = found[-1]
        if expected:
            assert matches(expected, done.stdout.splitlines()), said


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_code_in_the_document_runs(document: Path, tmp_path: Path):
    ids: dict[str, str] = {}
    (tmp_path / "crews").symlink_to(ROOT / "crews")
    for kind, block, line in blocks(document):
        where = f"{document.name}:{line}"
        if kind in SHOWN:
            continue
        if kind == "python":
            run_python(block, tmp_path, where)
        elif kind == "yaml":
            name = re.match(r"# ([\w/]+\.yaml)\n", block)
            assert name, f"{where}: say in the first line under which name it is saved: # crew.yaml"
            (tmp_path / name[1]).write_text(block, encoding="utf-8")
        elif kind == "console":
            run_console(block, tmp_path, where, ids)
        elif kind == "sh":
            run_set_up(block, tmp_path, where)
        else:
            pytest.fail(f"{where}: a block of kind '{kind}' is neither run nor known to be shown")


def run_set_up(block: str, folder: Path, where: str) -> None:
    """Run the README's commands for a fresh machine, without the set-up that this very test runs in."""
    for line in block.strip().splitlines():
        assert line.startswith(SET_UP), where
        command = line.removeprefix(SET_UP)
        if command == "pytest":
            continue
        env = {**environment(folder), "CREWKIT_HOME": str(folder / "home")}
        done = subprocess.run(
            ["bash", "-c", command], cwd=ROOT, env=env, capture_output=True, text=True, timeout=200
        )
        assert done.returncode == 0, f"{where}\n{done.stdout}{done.stderr}"
        assert "transcript r-" in done.stderr
