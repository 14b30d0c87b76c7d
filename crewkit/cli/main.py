"""The console script. What it can answer without any other module it answers at once."""

from __future__ import annotations

import os
import sys


def main() -> int:
    """Do what the command line says and return the exit code."""
    arguments = sys.argv[1:]
    _open_closed()
    try:
        return _answer(arguments)
    except KeyboardInterrupt:  # while what answers was still being loaded
        sys.stderr.write("\ninterrupted\n")
        return 130


def _answer(arguments: list[str]) -> int:
    if arguments in ([], ["-h"], ["--help"]) and _plain_help():
        return 0
    if arguments == ["--version"]:
        from crewkit import __version__

        if _written(f"crewkit {__version__}\n"):
            return 0
    from crewkit.cli.group import serve

    return serve(arguments)


def _open_closed() -> None:
    """Have something behind each standard stream: a journal must not be the file that a closed one's number goes to."""
    if None not in (sys.stdin, sys.stdout, sys.stderr):
        return
    while (number := os.open(os.devnull, os.O_RDWR)) < 3:
        os.set_inheritable(number, True)  # noqa: FBT003
    os.close(number)
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def _plain_help() -> bool:
    """Print the help as it was written down for 80 columns; say whether that was right to do."""
    if "_CREWKIT_COMPLETE" in os.environ:
        return False
    # No pathlib: it costs more than all the rest.
    try:
        if os.isatty(1) and os.get_terminal_size(1).columns < 80:
            return False
        with open(os.path.join(os.path.dirname(__file__), "help.txt"), encoding="utf-8") as file:
            return _written(file.read())
    except OSError:
        return False


def _written(text: str) -> bool:
    """Print a text; say whether that went well. Where it did not, what knows all errors says it again."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
