"""`crewkit diff`: where two runs differ."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import click

from crewkit.cli.common import complete_run, echo_json, examples, opened_journal, say, say_spans
from crewkit.cli.group import FAILED, OK
from crewkit.cli.text import count, cut, money, number, one_line
from crewkit.core.text import call_text, compact

if TYPE_CHECKING:
    from crewkit.journal.compare import By, Difference

Data = Mapping[str, Any]


@click.command(
    epilog=examples(
        "crewkit diff r-7f3k @last",
        "crewkit diff r-7f3k @last --by decision",
        "crewkit diff r-7f3k @last --by cost --json | jq .first",
    )
)
@click.argument("a", metavar="A", shell_complete=complete_run)
@click.argument("b", metavar="B", shell_complete=complete_run)
@click.option(
    "--by",
    type=click.Choice(["task", "decision", "cost"]),
    default="task",
    show_default=True,
    help="What is compared.",
)
@click.option("--json", "as_json", is_flag=True, help="All differences as one JSON object.")
def diff(*, a: str, b: str, by: str, as_json: bool) -> int:
    """Show where the runs A and B differ, the first divergence first. Exit code 0: nowhere, 1: somewhere.

    By task: how each ended, with which output, done by whom. By decision: what each turn offered, withheld and
    chose, and the answer where nothing was called. By cost: tokens, money, steps and tool calls. Times and ids
    never count.
    """
    from crewkit.journal.compare import differences

    with opened_journal() as journal:
        first, second = journal.find(a), journal.find(b)
        found = differences(list(journal.events(first)), list(journal.events(second)), cast("By", by))
    if as_json:
        said = [each.to_data() for each in found]
        echo_json(
            {
                "a": first,
                "b": second,
                "by": by,
                "same": not found,
                "first": said[0] if said else None,
                "differences": said,
            }
        )
    elif not found:
        say(f"{first} and {second} are the same by {by}.", style="green")
    elif by == "cost":
        _costs(found, first, second)
    else:
        _print(found, first, second)
    return FAILED if found else OK


def _print(found: Sequence[Difference], a: str, b: str) -> None:
    first, *others = found
    say_spans([("first divergence  ", "dim"), (first.at, "bold"), (f"  {_what(first, a, b)}", "")])
    _side("-", a, first, first.a, "red")
    _side("+", b, first, first.b, "green")
    if others:
        say()
        say(f"{count(len(others), 'more difference')}", style="dim")
    for each in others:
        say_spans([("  ", ""), (each.at, "bold"), (f"  {_what(each, a, b)}", "")])


def _what(each: Difference, a: str, b: str) -> str:
    if each.differs == ("missing",):
        return f"only in {a if each.a is not None else b}"
    return ", ".join(each.differs)


def _side(mark: str, run: str, difference: Difference, data: Data | None, style: str) -> None:
    say_spans([(f"{mark} {run}", style), ("" if data is not None else "  has no such place", "dim")])
    if data is None:
        return
    shown = (
        data if difference.differs == ("missing",) else {name: data.get(name) for name in difference.differs}
    )
    for name, value in shown.items():
        for i, line in enumerate(_lines(name, value)):
            say_spans([(f"{mark} ", style), (f"  {name if not i else '':9}", "dim"), (line, "")])


def _lines(name: str, value: Any) -> Iterator[str]:
    """Write a value down, a line for each part of it."""
    if value in (None, [], ""):
        yield "none"
    elif name == "chosen":
        yield from (call_text(str(call["tool"]), call["arguments"]) for call in value)
    elif name == "withheld":
        yield from (f"{held.get('tool')}: {held.get('by')}, {held.get('why')}" for held in value)
    elif name == "offered":
        yield ", ".join(map(str, value))
    elif isinstance(value, str):
        yield from value.splitlines()
    else:
        yield from json.dumps(value, ensure_ascii=False, indent=2).splitlines()


def _costs(found: Sequence[Difference], a: str, b: str) -> None:
    for each in found:
        say_spans([(each.at or "the whole run", "bold")])
        for name in each.differs:
            if name == "missing":
                say(f"  {_what(each, a, b)}")
                continue
            one, other = (each.a or {}).get(name), (each.b or {}).get(name)
            say_spans(
                [
                    (f"  {name.replace('_', ' '):14}", "dim"),
                    (f"{_amount(name, one)} → {_amount(name, other)}", ""),
                ]
            )


def _amount(name: str, value: Any) -> str:
    if name == "usd":
        return money(value)
    if isinstance(value, dict):
        calls = cast("dict[str, int]", value)
        return ", ".join(f"{many:,} {ended}" for ended, many in calls.items()) or "none"
    return number(value) if isinstance(value, int | float) else one_line(cut(compact(value), 60))
