"""`crewkit watch`: a run for every line of stdin, every file in a folder, or every call of a webhook."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from crewkit.cli.common import STYLES, examples, say, say_spans
from crewkit.cli.group import FAILED, INTERRUPTED, OK, PAUSED
from crewkit.cli.incoming import Item, of_files, of_lines, run_of
from crewkit.cli.inputs import caps, limit_options, read_inputs
from crewkit.cli.posted import Calls, Place, webhook_options
from crewkit.cli.stop import Stop
from crewkit.cli.text import count, one_line
from crewkit.core.clock import timestamp
from crewkit.errors import CrewkitError, InputError, RunBusy

if TYPE_CHECKING:
    from crewkit.crew.crew import Crew
    from crewkit.crew.options import Options
    from crewkit.crew.result import Result
    from crewkit.journal.base import Journal


@dataclass
class Watching:
    """One watch: the crew, what is known of earlier items, and how the runs ended."""

    crew: Crew
    options: Options
    journal: Journal
    concurrency: int
    answers: TextIO | None
    """Where each run is told as JSON; `None`: people read of it on stderr."""
    ended: Counter[str] = field(default_factory=Counter[str])
    running: set[str] = field(default_factory=set[str])

    async def serve(self, items: AsyncIterator[Item]) -> None:
        """Give every item its run, so many at a time."""
        room = asyncio.Semaphore(self.concurrency)
        async with asyncio.TaskGroup() as group:
            async for item in items:
                await room.acquire()
                running = group.create_task(self._one(item))
                running.add_done_callback(lambda _: room.release())

    async def _one(self, item: Item) -> None:
        run = item.run or run_of(self.options.target, item.key)
        if run in self.running:
            self._tell(item, run, "running", "it came in a moment ago", repeated=True)
            return
        self.running.add(run)
        try:
            result = await self._run(run, item)
        except CrewkitError as error:
            self._tell(item, run, "busy" if isinstance(error, RunBusy) else "failed", str(error))
            return
        finally:
            self.running.discard(run)
        if isinstance(result, str):
            self._tell(item, run, result, "done before", repeated=True)
        else:
            self._tell(item, run, result.status, "" if result.ok else result.why, output=result.output)

    async def _run(self, run: str, item: Item) -> Result | str:
        """Run the crew for an item, or carry its run on; return the status of one that has ended or waits."""
        known = await asyncio.to_thread(self.journal.last, run)
        if not known:
            return await self.crew.run(item.inputs, replace(self.options, run_id=run))
        status = await asyncio.to_thread(self._status, run)
        return status or await self.crew.resume(run, self.options)

    def _status(self, run: str) -> str:
        """Return the status of a run that has ended or waits; empty where it can be carried on."""
        info = self.journal.info(run)
        if info.status == "running" or run in self.journal.due(timestamp(self.options.clock.now())):
            return ""
        if info.status == "paused":
            *_, paused = self.journal.events(run, types=("run.paused",))
            return "" if paused.data.get("reason") == "interrupted" else "paused"
        return info.status

    def _tell(
        self, item: Item, run: str, status: str, why: str, *, output: Any = None, repeated: bool = False
    ) -> None:
        if not repeated:
            self.ended[status] += 1
        if self.answers:
            from pydantic_core import to_jsonable_python

            data = {"item": item.name, "run": run, "status": status, "why": why, "repeated": repeated}
            data["output"] = to_jsonable_python(output, fallback=str)
            self.answers.write(json.dumps(data, ensure_ascii=True) + "\n")
            self.answers.flush()
            return
        detail = f"  {one_line(why, 200)}" if why else ""
        spans = [(f"{run}  ", "bold"), (f"{status:9}", STYLES.get(status, "red"))]
        say_spans([*spans, (f"  {one_line(item.name, 80)}", ""), (detail, "dim")], err=True)


@click.command(
    epilog=examples(
        "ls -d books/* | crewkit watch crews/digest.py --lines --input folder",
        "crewkit watch crews/document_review.py --folder inbox --pattern '*.pdf'",
        "crewkit watch crew.py --webhook --key id",
        "crewkit watch crew.py --json-lines --key id --concurrency 8 < orders.jsonl",
    )
)
@click.argument("target")
@click.option("--lines", is_flag=True, help="A run for each line of stdin.")
@click.option("--json-lines", is_flag=True, help="A run for each JSON object on a line of stdin: its inputs.")
@click.option(
    "--folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A run for each file in it.",
)
@webhook_options
@click.option("--pattern", default="*", show_default=True, help="Which files of the folder.")
@click.option("--once", is_flag=True, help="End when the files that are there are done.")
@click.option("--input", "into", default="", metavar="NAME", help="The input that gets the line or the path.")
@click.option("--key", default="", metavar="NAME", help="The input by which an item is known again.")
@click.option("-i", "pairs", multiple=True, metavar="NAME=TEXT", help="An input that is the same for all.")
@click.option(
    "--concurrency", type=click.IntRange(min=1), default=4, show_default=True, help="Runs at a time."
)
@click.option("--model", default="", metavar="NAME", help="Model for whoever has none.")
@limit_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object per run.")
def watch(
    *,
    target: str,
    lines: bool,
    json_lines: bool,
    folder: Path | None,
    webhook: bool,
    host: str,
    port: int,
    pattern: str,
    once: bool,
    into: str,
    key: str,
    pairs: tuple[str, ...],
    concurrency: int,
    model: str,
    as_json: bool,
    **limits: int | float | str | None,
) -> int:
    """Run the crew that TARGET names for everything that comes in, each once.

    Each item has a normal run whose id is made from what the item is: a line that was there before, or a
    file that has not changed, is not run again, and a run that was cut off is carried on.
    A call (--webhook) is the same again by --key, by its Idempotency-Key, or by its inputs. It is answered
    with the run's id once that is in the journal; what waits is carried on when somebody decided.
    """
    from crewkit.core.limits import Limits
    from crewkit.crew.options import Options
    from crewkit.files.load import load

    if lines + json_lines + webhook + (folder is not None) != 1:
        raise InputError(
            "Say what to watch: --lines, --json-lines, --folder FOLDER or --webhook, one of them."
        )
    answers = sys.stdout
    with redirect_stdout(sys.stderr):
        crew = load(target, Path.cwd())
    fixed = read_inputs(pairs, "")
    name = "" if json_lines or webhook else _into(crew, into, fixed)
    lines_in = of_lines(name, fixed, key)
    items = lines_in if folder is None else of_files(folder.absolute(), pattern, name, fixed, once=once)
    place = Place(host, port, key, fixed) if webhook else None
    options = Options(target=target, limits=Limits(**caps(**limits)), model=model or None)
    with redirect_stdout(sys.stderr):
        return asyncio.run(_watched(crew, options, place or items, concurrency, answers if as_json else None))


async def _watched(
    crew: Crew,
    options: Options,
    items: AsyncIterator[Item] | Place,
    concurrency: int,
    answers: TextIO | None,
) -> int:
    from crewkit.journal.open import open_journal

    journal = open_journal(None, options.environ)
    watching = Watching(crew, replace(options, journal=journal), journal, concurrency, answers)
    if isinstance(items, Place):
        calls = Calls(crew, watching.options, journal, items)
        items = calls.items()
    task = asyncio.current_task()
    assert task is not None
    try:
        with Stop(task, lambda: say("stopping in order …; Ctrl-C again leaves at once", err=True)) as stop:
            try:
                await watching.serve(items)
            except asyncio.CancelledError:
                if not stop.pressed:
                    raise
                say("interrupted; the same command goes on where this one stopped", err=True)
                return INTERRUPTED
    finally:
        journal.close()
    ended = watching.ended
    said = ", ".join(f"{many:,} {status}" for status, many in ended.items())
    say(f"{count(ended.total(), 'run')}{f': {said}' if said else ''}", err=True)
    good = ended["completed"] + ended["paused"] == ended.total()
    return OK if ended["completed"] == ended.total() else PAUSED if good else FAILED


def _into(crew: Crew, named: str, fixed: Mapping[str, Any]) -> str:
    """Return the input that gets an item: the one that was named, or the only one that is left."""
    from crewkit.crew.crew import REQUIRED

    declared = crew.plan.inputs
    if named and named not in declared:
        raise InputError(f"--input {named}: the crew has no such input. Inputs: {', '.join(declared)}.")
    wanted = [n for n, given in declared.items() if given.default is REQUIRED and n not in fixed]
    if not named and len(wanted) != 1:
        raise InputError(
            f"Say which input gets the item: --input NAME. The crew's inputs: {', '.join(declared) or 'none'}."
        )
    return named or wanted[0]
