"""6. Start: CPU of the commands, each against a bare interpreter, and what they import."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from measure import HERE, Child, Row, home, interleaved, medians, run

ROOT = HERE.parents[1]
CREWKIT = str(Path(sys.executable).with_name("crewkit"))
DIGEST = (
    CREWKIT,
    "run",
    str(ROOT / "crews/digest.py"),
    "-i",
    f"folder={ROOT / 'docs'}",
    "--model",
    "offline",
)
HEAVY = ("litellm", "chromadb")
ROUNDS = 5
BARE = "bare"

COMMANDS: Mapping[str, tuple[Sequence[str], Mapping[str, str]]] = {
    BARE: ((sys.executable, "-c", "pass"), {}),
    "`crewkit --help`": ((CREWKIT, "--help"), {}),
    "`crewkit runs`": ((CREWKIT, "runs"), {}),
    "`import crewkit`": ((sys.executable, "-c", "import crewkit"), {}),
    "`crewkit run crews/digest.py`, words alone": (DIGEST, {"CREWKIT_EMBEDDER": "none"}),
    "`crewkit run crews/digest.py`, embeddings": (DIGEST, {}),
}


def rows() -> list[Row]:
    """Measure each command a few times in turn; once more, look at what it imports."""
    with home() as folder:
        place = {"CREWKIT_HOME": str(folder)}
        _start(DIGEST, place)  # what is compiled and embedded once is there
        sides = {
            name: partial(_cpu, command, place | dict(more)) for name, (command, more) in COMMANDS.items()
        }
        taken = medians(interleaved(sides, ROUNDS))
        base = taken.pop(BARE)
        imported = {name: _imported(COMMANDS[name][0], place | dict(COMMANDS[name][1])) for name in taken}
        return [_row(name, ours, base, imported[name]) for name, ours in taken.items()]


def _start(command: Sequence[str], env: Mapping[str, str]) -> Child:
    done = run(command, env=env, text=True)
    assert done.code == 0, done.said
    return done


def _cpu(command: Sequence[str], env: Mapping[str, str]) -> float:
    return _start(command, env).cpu


def _imported(command: Sequence[str], env: Mapping[str, str]) -> list[str]:
    """Return which of the heavy packages a command imports."""
    said = str(_start(command, {**env, "PYTHONPROFILEIMPORTTIME": "1"}).said)
    modules = {
        line.rpartition("|")[2].strip() for line in said.splitlines() if line.startswith("import time:")
    }
    return [name for name in HEAVY if name in modules]


def _row(name: str, ours: float, bare: float, heavy: Sequence[str]) -> Row:
    compared = f"{ours / bare:.1f} times; imports {' and '.join(heavy) or 'neither'}"
    if "help" in name:
        goal, met = "under 4 times; neither", ours < 4 * bare and not heavy
    elif "digest" in name:
        goal, met = "no litellm", "litellm" not in heavy
    else:
        goal, met = "neither litellm nor chromadb", not heavy
    return Row(f"CPU of {name}", f"{ours:.3f} s", f"bare interpreter {bare:.3f} s", compared, goal, met)
