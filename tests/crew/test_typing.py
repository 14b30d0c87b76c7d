"""`result[task]` is of the task's output type to a type checker, and tools stay the functions they were."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_type_checkers_see_what_the_definitions_promise():
    checked = subprocess.run(
        [sys.executable, "-m", "pyright", "tests/typing"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout
