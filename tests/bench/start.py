"""6. Start: CPU of the commands, each against a bare interpreter, and what they import."""

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median

from table import Row, times

ROOT = Path(__file__).parents[2]
CREWKIT = str(Path(sys.executable).parent / "crewkit")
DIGEST = (CREWKIT, "run", "crews/digest.py", "-i", "folder=docs", "--model", "offline")
BARE = (sys.executable, "-c", "pass")
HEAVY = ("litellm", "chromadb")
ROUNDS = 5

COMMANDS: Mapping[str, tuple[Sequence[str], Mapping[str, str]]] = {
    "`crewkit --help`": ((CREWKIT, "--help"), {}),
    "`crewkit runs`": ((CREWKIT, "runs"), {}),
    "`import crewkit`": ((sys.executable, "-c", "import crewkit"), {}),
    "`crewkit run crews/digest.py`, words alone": (DIGEST, {"CREWKIT_EMBEDDER": "none"}),
    "`crewkit run crews/digest.py`, embeddings": (DIGEST, {}),
}


def start(command: Sequence[str], environ: Mapping[str, str], home: Path) -> tuple[float, str]:
    """Run a command; return its seconds of CPU and what it wrote on stderr."""
    env = {**os.environ, "CREWKIT_HOME": str(home), **environ}
    before = _children()
    done = subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True, text=True)
    return _children() - before, done.stderr


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def imported(command: Sequence[str], environ: Mapping[str, str], home: Path) -> list[str]:
    """Return which of the heavy packages a command imports."""
    _, said = start(command, {**environ, "PYTHONPROFILEIMPORTTIME": "1"}, home)
    modules = {
        line.rpartition("|")[2].strip() for line in said.splitlines() if line.startswith("import time:")
    }
    return [name for name in HEAVY if name in modules]


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        start(DIGEST, {}, home)  # what is compiled and embedded once is there
        bare: list[float] = []
        taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
        for _ in range(ROUNDS):
            for name, (command, environ) in COMMANDS.items():
                bare.append(start(BARE, {}, home)[0])
                taken[name].append(start(command, environ, home)[0])
        base = median(bare)
        for name, (command, environ) in COMMANDS.items():
            yield _row(name, median(taken[name]), base, imported(command, environ, home))


def _row(name: str, ours: float, bare: float, heavy: Sequence[str]) -> Row:
    said = f"{times(ours, bare)}, imports {' and '.join(heavy) or 'neither'}"
    what, against = f"CPU of {name}", f"bare interpreter {bare:.3f} s"
    if "help" in name:
        return Row(what, f"{ours:.3f} s", against, said, "4 times; neither", ours < 4 * bare and not heavy)
    goal = "no litellm" if "digest" in name else "imports neither"
    met = "litellm" not in heavy if "digest" in name else not heavy
    return Row(what, f"{ours:.3f} s", against, said, goal, met)
