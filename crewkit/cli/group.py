"""The commands by name, each imported when it is asked for, and what becomes of their errors."""

from __future__ import annotations

import errno
import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import NamedTuple, cast

import click

from crewkit.errors import (
    CrewkitError,
    DefinitionError,
    Denied,
    InputError,
    LimitExceeded,
    ReplayError,
    did_you_mean,
)

OK, FAILED, USAGE, PAUSED, LIMIT, DENIED, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130
"""Exit codes."""

_PIPE_CLOSED = 141
"""What a shell reports of a program that wrote into a closed pipe."""

_UNWRITABLE = (errno.ENOSPC, errno.EIO, errno.EFBIG, errno.EDQUOT)
"""What stdout says where it leads to a full disk or to a terminal that is gone."""


class Entry(NamedTuple):
    """Where a command is, and what the list of commands says of it."""

    module: str
    help: str


COMMANDS: dict[str, dict[str, Entry]] = {
    "Work": {
        "new": Entry("define", "Write a starter crew file."),
        "check": Entry("define", "Find mistakes in a crew without running it."),
        "plan": Entry("plan", "Say what a run can come to, before it runs."),
        "graph": Entry("define", "Draw who waits for whom."),
        "run": Entry("run", "Run a crew."),
        "watch": Entry("watch", "Run a crew for every line or file that comes in."),
        "resume": Entry("run", "Carry a run on: after a crash, a pause, a limit."),
        "fork": Entry("fork", "Branch off from a run, and see what would have followed."),
        "replay": Entry("replay", "Try changed code against a run's recorded answers."),
        "worker": Entry("worker", "Carry on what others hand over."),
    },
    "Look": {
        "runs": Entry("runs", "List the runs."),
        "show": Entry("show", "Read a run's transcript."),
        "view": Entry("view", "Look at runs in a browser, and decide there."),
        "export": Entry("export", "Write a run as a page, JSON or traces."),
        "diff": Entry("diff", "Show where two runs differ."),
        "stats": Entry("stats", "Count over runs: tokens, cost, tools, approvals."),
        "memory": Entry("memory", "Look into memory, add documents to it, forget."),
    },
    "Decide": {
        "approvals": Entry("decide", "List what waits for a person."),
        "approve": Entry("decide", "Say yes to a question of a run."),
        "deny": Entry("decide", "Say no, and why."),
        "tell": Entry("tell", "Leave a message for a run's agents, or an event it waits for."),
        "listen": Entry("listen", "Take events for waiting runs over signed HTTP."),
        "pause": Entry("tell", "Let a run finish what is under way, and pause it."),
        "cancel": Entry("tell", "End a run for good."),
        "undo": Entry("undo", "Give a run up, and undo what it did."),
    },
    "Shell": {
        "completion": Entry("completion", "Print the shell's completion script."),
    },
}

_ENTRIES = {name: entry for section in COMMANDS.values() for name, entry in section.items()}

_EPILOG = """\
\b
TARGET is path.py[:attr], path.yaml, package.module:attr, or a folder with crew.py.
RUN is a run's id, the beginning of one, or @last.
Runs are kept in .crewkit, here or in a folder above; CREWKIT_HOME places them.

\b
Exit codes: 0 done, 1 failed, 2 wrong use, 3 paused, 4 limit reached,
            5 denied, 130 interrupted.
"""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are run, not when they are listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the help."""
        return list(_ENTRIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        entry = _ENTRIES.get(cmd_name)
        if entry is None:
            return None
        return cast(click.Command, getattr(importlib.import_module(f"crewkit.cli.{entry.module}"), cmd_name))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; a miss names what is near."""
        name = args[0]
        if name not in _ENTRIES and not name.startswith("-"):
            ctx.fail(f"There is no command '{name}'.{did_you_mean(name, _ENTRIES)} All: crewkit --help")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by section, from the table alone."""
        for section, entries in COMMANDS.items():
            with formatter.section(section):
                formatter.write_dl([(f"{name:10}", entry.help) for name, entry in entries.items()])


@click.group(
    cls=LazyGroup,
    name="crewkit",
    invoke_without_command=True,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--version", is_flag=True, help="Print the version.")
@click.pass_context
def crewkit(ctx: click.Context, *, version: bool) -> None:
    """Run crews of AI agents, read what they did, and resume them after any crash."""
    if version:
        from crewkit import __version__

        click.echo(f"crewkit {__version__}")
    elif ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def serve(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code; what goes wrong is said on stderr in one message."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _dispatch(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        _silence()
        return _PIPE_CLOSED
    except OSError as error:
        if error.errno not in _UNWRITABLE or error.filename is not None:
            raise
        _silence()
        why = (error.strerror or str(error)).lower()
        fail(
            CrewkitError(
                f"What was to be printed could not be written: {why}. What ran is kept: crewkit runs"
            )
        )
        return FAILED
    return code


def exit_code(error: CrewkitError) -> int:
    """Return the exit code that tells what kind of error it was."""
    match error:
        case InputError() | DefinitionError() | ReplayError():
            return USAGE
        case LimitExceeded():
            return LIMIT
        case Denied():
            return DENIED
        case _:
            return FAILED


def _dispatch(arguments: Sequence[str]) -> int:
    try:
        if wanted := os.environ.get("_CREWKIT_COMPLETE"):
            from click.shell_completion import shell_complete

            return shell_complete(crewkit, {}, "crewkit", "_CREWKIT_COMPLETE", wanted)
        # Not `crewkit.main`: it ends the program by itself when a pipe is closed.
        with crewkit.make_context("crewkit", list(arguments)) as context:
            result = crewkit.invoke(context)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.exceptions.Exit as done:
        return done.exit_code
    except (click.Abort, KeyboardInterrupt, EOFError):
        sys.stderr.write("\ninterrupted\n")
        return INTERRUPTED
    except CrewkitError as error:
        fail(error)
        return exit_code(error)
    except FileNotFoundError:
        if _has_folder():
            raise
        fail(InputError("The working directory does not exist any more: change to another one."))
        return USAGE
    return result if isinstance(result, int) else OK


def _has_folder() -> bool:
    try:
        return bool(os.getcwd())
    except FileNotFoundError:
        return False


def fail(error: CrewkitError) -> None:
    """Say on stderr what went wrong."""
    from crewkit.cli.text import safe

    click.echo(click.style("Error: ", fg="red", bold=True) + safe(str(error)), err=True, color=colour())


def colour() -> bool | None:
    """Tell click whether to keep colours: never under NO_COLOR, else as it finds."""
    return False if os.environ.get("NO_COLOR") else None


def _silence() -> None:
    """Let what Python still flushes at its end go nowhere: the reader of the pipe is gone."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
