"""The rules of the house: who imports whom, what is exported, what the checkers say."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import crewkit

ROOT = Path(__file__).parents[1]


def run(*command: str) -> str:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_imports_go_down_only_and_vendors_have_one_door():
    # In a process of its own: it reconfigures logging for the whole process.
    lint = str(Path(sys.executable).with_name("lint-imports"))
    done = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_the_linter_has_nothing_to_say():
    run("ruff", "check", "--no-cache", ".")
    run("ruff", "format", "--no-cache", "--check", ".")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_strict_type_checker_has_nothing_to_say():
    run("pyright")


def test_nothing_else_stands_at_the_top():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    top = {line.partition("/")[0] for line in listed.splitlines()}
    own = {"README.md", "crews", "crewkit", "docs", "pyproject.toml", "tests"}
    assert {name for name in top if not name.startswith(".")} == own


def test_every_public_name_is_there_and_listed_once():
    listed = crewkit.__all__
    assert listed == sorted(set(listed), key=listed.index)
    assert set(listed) == set(crewkit._ROOMS)
    for name in listed:
        assert getattr(crewkit, name) is not None
    assert set(listed) <= set(dir(crewkit))


def test_an_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Agnet'"):
        _ = crewkit.Agnet


@pytest.mark.parametrize("module", ["crewkit", "crewkit.cli.main"])
def test_importing_is_light(module: str):
    heavy = ("litellm", "chromadb", "httpx", "pydantic", "rich", "click", "asyncio", "numpy")
    code = f"import sys, {module}; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_crew_file_needs_no_vendor():
    code = (
        "import sys\nfrom crewkit import *\n"
        "Crew([Task('t', 'Do it.', agent=Agent('A', 'Help.'))])\n"
        "print([m for m in ('litellm', 'chromadb', 'httpx', 'onnxruntime', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_module_of_ours_has_a_double_patched_in():
    for file in (ROOT / "tests").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.startswith("unittest.mock") for name in names), file


def test_ci_calls_exactly_the_second_command_of_the_readme():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    command = script.strip().splitlines()[-1]
    assert command in readme.splitlines()
