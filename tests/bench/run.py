"""Run the benchmarks and print one table; with `--write`, put it into docs/benchmarks.md.

python tests/bench/run.py [steps] [fanout] [graphs] [resume] [growth] [start] [waits] [durable] [long] [--write]
"""

from __future__ import annotations

import argparse
import importlib
import platform
import sys
import time
from importlib.metadata import version

from measure import HEAD, HERE, Row

BENCHES = ("steps", "fanout", "graphs", "resume", "growth", "start", "waits", "durable", "long")
DOC = HERE.parent.parent / "docs" / "benchmarks.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def main() -> None:
    parser = argparse.ArgumentParser(description="Run the benchmarks and print one table.")
    parser.add_argument("names", nargs="*", help=f"which of them: {', '.join(BENCHES)}; all if left out")
    parser.add_argument("--write", action="store_true", help=f"put the table into {DOC.name}; runs them all")
    asked = parser.parse_args()
    unknown = set(asked.names) - set(BENCHES)
    if unknown:
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHES)}")
    if asked.write and asked.names:
        parser.error("--write runs all of them: the table in the docs is of one run")
    text = _text(asked.names or BENCHES)
    print(text)
    if asked.write:
        before, _, rest = DOC.read_text().partition(BEGIN)
        after = rest.partition(END)[2]
        DOC.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def _text(names: tuple[str, ...] | list[str]) -> str:
    table: list[Row] = []
    for name in names:
        begun = time.monotonic()
        table += importlib.import_module(name).rows()
        print(f"{name}: {time.monotonic() - begun:.0f} s", file=sys.stderr)
    where = f"Python {platform.python_version()}, {platform.machine()}, " + ", ".join(
        f"{package} {version(package)}" for package in ("litellm", "openai", "httpx")
    )
    return f"{where}\n\n{_markdown(table)}"


def _markdown(table: list[Row]) -> str:
    lines = [HEAD, ["---"] * len(HEAD), *(row.cells() for row in table)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
