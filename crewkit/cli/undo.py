"""`crewkit undo`: a run is given up, and what it did is taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from crewkit.cli.again import crew_again, history_of
from crewkit.cli.carry import carry, manner_of
from crewkit.cli.common import complete_run, examples, opened_journal, say
from crewkit.cli.group import FAILED, OK, PAUSED
from crewkit.cli.progress import Progress
from crewkit.journal.decide import who
from crewkit.journal.tell import signal

if TYPE_CHECKING:
    from crewkit.crew.options import Options
    from crewkit.crew.result import Result


@click.command(
    epilog=examples(
        "crewkit undo @last",
        "crewkit undo r-7f3k moved/crew.py",
    )
)
@click.argument("run", metavar="RUN", shell_complete=complete_run)
@click.argument("target", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print how it ended as one JSON object.")
@click.option("--quiet", "-q", is_flag=True, help="Print nothing but how it ended.")
@click.option("--no-input", is_flag=True, help="Never ask at the terminal; pause instead.")
def undo(*, run: str, target: str | None, as_json: bool, quiet: bool, no_input: bool) -> int:
    """Give RUN up for good, and undo what it did: the last effect first, each by the undo of its tool.

    However it stands, also completed. Where a person has to decide about an undo it pauses (3), and resume goes
    on. What could not be undone is listed, and the exit code is 1; the same command tries that again. A run in
    another process's hands is told to stop, and undoes there.
    """
    progress = Progress()
    found, begun = history_of(run, progress)
    with opened_journal() as journal:
        if journal.info(found).alive:
            signal(journal, found, "cancel", who(), undo=True)
            say(f"Run {found} is told to stop and to undo. Watch it: crewkit show {found} --follow", err=True)
            return OK
    crew, where = crew_again(found, begun, target, "undo")
    manner = manner_of(as_json=as_json, quiet=quiet, no_input=no_input, wait=False, model=())
    left: dict[str, str] = {}

    async def work(options: Options) -> Result:
        result = await crew.undo(found, who(), options)
        left.update(result.report.left)
        return result

    code = carry(crew, work, progress, manner, where)
    return code if code == PAUSED else FAILED if left else OK
