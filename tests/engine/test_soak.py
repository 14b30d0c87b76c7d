"""The soak as a test: who walks a run is killed, another is stopped and wakes up, another that has tasks is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from crewkit.testing.postgres import postgres_binaries

SOAK = Path(__file__).parents[1] / "bench" / "soak.py"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_runs_survive_workers_that_die_and_sleep_and_no_effect_is_doubled():
    if postgres_binaries() is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("PostgreSQL is missing.")
    done = subprocess.run(
        [sys.executable, str(SOAK), "--seconds", "5"], capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["wrong"] == []
    assert (found["killed"], found["stopped"]) >= (2, 1)
    assert found["statuses"] == {"completed": found["runs"]}
