"""The benchmarks: `python tests/bench/run.py [name…] [--write]` prints one table of ratios.

Both sides of a ratio are measured in the same minutes, taking turns; what is shown is the median.
"""

import argparse
import sys
from importlib import import_module
from pathlib import Path

from table import Row, render, write

BENCHES = ("steps",)
DOCUMENT = Path(__file__).parents[2] / "docs" / "benchmarks.md"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(BENCHES)}; default all")
    parser.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md")
    said = parser.parse_args()
    if unknown := set(said.names) - set(BENCHES):
        parser.error(f"There is no benchmark {', '.join(sorted(unknown))}. Benchmarks: {', '.join(BENCHES)}.")
    rows: list[Row] = []
    for name in said.names or BENCHES:
        print(f"{name} …", file=sys.stderr)
        rows += import_module(name).rows()
    print(render(rows))
    if said.write:
        write(DOCUMENT, render(rows))


if __name__ == "__main__":
    main()
