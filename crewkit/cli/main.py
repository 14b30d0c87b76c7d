"""The console script. What it can answer without any other module it answers at once."""

from __future__ import annotations

import os
import sys


def main() -> int:
    """Do what the command line says and return the exit code."""
    arguments = sys.argv[1:]
    if arguments in ([], ["-h"], ["--help"]) and _plain_help():
        return 0
    if arguments == ["--version"]:
        from crewkit import __version__

        sys.stdout.write(f"crewkit {__version__}\n")
        return 0
    from crewkit.cli.group import serve

    return serve(arguments)


def _plain_help() -> bool:
    """Print the help as it was written down for 80 columns; say whether that was right to do."""
    if "_CREWKIT_COMPLETE" in os.environ:
        return False
    # No pathlib: it costs more than all the rest.
    try:
        if os.isatty(1) and os.get_terminal_size(1).columns < 80:
            return False
        with open(os.path.join(os.path.dirname(__file__), "help.txt"), encoding="utf-8") as file:
            text = file.read()
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
