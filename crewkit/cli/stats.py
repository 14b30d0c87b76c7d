"""`crewkit stats`: figures over runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

import click

from crewkit.cli.common import (
    STYLES,
    Span,
    complete_run,
    echo_json,
    examples,
    journal_or_none,
    opened_journal,
    say,
    say_spans,
    table,
)
from crewkit.cli.listing import state
from crewkit.cli.text import count, cut, duration, money, number, sparkline

if TYPE_CHECKING:
    from crewkit.journal.stats import By, Figures

_TREND = 24
"""Runs in a trend."""


@click.command(
    epilog=examples(
        "crewkit stats",
        "crewkit stats --by tool",
        "crewkit stats r-7f3k r-9x2m --by agent",
        "crewkit stats --crew digest --last 50 --json | jq .tokens.per_run",
    )
)
@click.argument("runs", nargs=-1, metavar="[RUN]...", shell_complete=complete_run)
@click.option(
    "--by",
    type=click.Choice(["crew", "agent", "tool", "model"]),
    default="crew",
    show_default=True,
    help="What the figures are of.",
)
@click.option("--crew", default="", help="Only runs of this crew.")
@click.option("--last", type=click.IntRange(min=1), metavar="N", help="Only the newest N runs.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line, with all figures.")
def stats(*, runs: tuple[str, ...], by: str, crew: str, last: int | None, as_json: bool) -> None:
    """Count over all runs, or these RUNs: tokens, cost, steps, tools, guardrails, approvals, memory.

    Percentiles are by nearest rank: each is a value that occurred.
    """
    from crewkit.journal.stats import Stats

    counted = Stats(cast("By", by))
    with opened_journal() if runs else journal_or_none() as journal:
        known = {info.run: info for info in journal.runs()} if journal else {}
        wanted = [journal.find(name) for name in runs] if runs and journal else list(known)
        chosen = [known[run] for run in dict.fromkeys(wanted) if crew in ("", known[run].crew)][:last]
        if journal:
            for info in reversed(chosen):
                counted.add(info.run, info.crew, state(info), journal.events(info.run))
    figures = counted.figures()
    if as_json:
        for each in figures:
            echo_json(each.to_data())
        return
    if not figures:
        say("There is nothing to count here yet.", err=True)
    elif by in ("tool", "model"):
        _TABLES[by](figures)
    else:
        for each in figures:
            _block(each)


# Crews and agents: a block each


def _block(figures: Figures) -> None:
    data = figures.to_data()
    statuses = ", ".join(f"{many} {status}" for status, many in figures.statuses.most_common())
    say_spans([(figures.name, "bold"), (f"  {count(figures.runs, 'run')}: {statuses}", "")])
    for label, text in _lines(figures, data):
        say_spans([(f"  {label:11}", "dim"), (text, "")])


def _lines(figures: Figures, data: dict[str, Any]) -> Iterator[tuple[str, str]]:
    used, tokens, tools = figures.used, data["tokens"], data["tools"]
    if used.steps:
        trend = sparkline(list(figures.tokens_by_run.values())[-_TREND:])
        per_run = f"{number(tokens['per_run'])} a run, {number(used.tokens)} in all"
        yield "tokens", f"{per_run}{f'  {trend}' if figures.runs > 1 else ''}"
        yield "cost", _cost(figures, data)
        yield "steps", f"{_spread(data['steps'])} a run, {number(used.steps)} in all"
    if tools["calls"]:
        bad = "".join(f", {n} {name}" for name, n in used.tools.most_common() if name != "ok")
        yield "tools", f"{_percent(tools['success_rate'])} of {count(tools['calls'], 'call')} ok{bad}"
    if figures.retries or figures.failed_calls:
        yield "retries", f"{figures.retries:,}, {count(figures.failed_calls, 'model call')} failed"
    if figures.checked:
        rate = _percent(data["guardrails"]["rejection_rate"])
        yield "guardrails", f"{rate} of {count(figures.checked, 'check')} rejected ({figures.rejected:,})"
    if figures.asked:
        yield "approvals", _approvals(figures, data)
    if figures.searches:
        rate = (
            f", {_percent(data['memory']['use_rate'])} used ({figures.hits_used:,})" if figures.hits else ""
        )
        hits = count(figures.hits, "hit")
        searches = f"{figures.searches:,} search{'' if figures.searches == 1 else 'es'}"
        yield "memory", f"{searches}, {hits}{rate}"


def _cost(figures: Figures, data: dict[str, Any]) -> str:
    used = figures.used
    if used.unpriced:
        calls = count(used.unpriced, "call")
        return f"unknown: {calls} without a known price, {money(used.usd_known)} for the others"
    return f"{money(data['usd']['per_run'])} a run, {money(used.usd)} in all"


def _approvals(figures: Figures, data: dict[str, Any]) -> str:
    names = {"approve": "approved", "deny": "denied"}
    decided = [f"{many:,} {names.get(what, what)}" for what, many in figures.decisions.most_common()]
    unanswered = figures.asked - figures.decisions.total()
    decided += [f"{unanswered:,} open"] if unanswered > 0 else []
    waited = data["approvals"]["waited_seconds"]
    times = (
        f"; waited {duration(waited['mean'])} on average, {duration(waited['max'])} at most"
        if figures.waited
        else ""
    )
    return f"{figures.asked:,} asked: {', '.join(decided)}{times}"


# Tools and models: a table


def _tools(figures: Sequence[Figures]) -> None:
    rows: list[list[Span]] = []
    for each in figures:
        data = each.to_data()
        rate = data["tools"]["success_rate"]
        bad = ", ".join(f"{n} {name}" for name, n in each.used.tools.most_common() if name != "ok")
        rows.append(
            [
                (each.name, "bold"),
                (number(each.runs), "dim"),
                (number(data["tools"]["calls"]), ""),
                (_percent(rate), "" if rate in (1, None) else STYLES["failed"] if rate < 0.5 else "yellow"),
                (bad, ""),
                (_times(data["tools"]["seconds"]), "dim"),
                (f"{each.asked:,} asked" if each.asked else "", ""),
            ]
        )
    table(("tool", "runs", "calls", "ok", "otherwise", "seconds p50 · p90 · max", "approvals"), rows)


def _models(figures: Sequence[Figures]) -> None:
    rows: list[list[Span]] = []
    for each in figures:
        data, used = each.to_data(), each.used
        rows.append(
            [
                (cut(each.name, 40), "bold"),
                (number(each.runs), "dim"),
                (number(data["models"]["calls"]), ""),
                (number(each.failed_calls), "red" if each.failed_calls else "dim"),
                (number(each.retries), "yellow" if each.retries else "dim"),
                (number(used.input_tokens), ""),
                (number(used.output_tokens), ""),
                (money(used.usd), ""),
                (_times(data["models"]["seconds"]), "dim"),
            ]
        )
    head = (
        "model",
        "runs",
        "calls",
        "failed",
        "retries",
        "tokens in",
        "out",
        "cost",
        "seconds p50 · p90 · max",
    )
    table(head, rows)


_TABLES = {"tool": _tools, "model": _models}


def _percent(rate: float | None) -> str:
    return "-" if rate is None else f"{100 * rate:.4g} %"


def _spread(data: dict[str, Any]) -> str:
    return f"p50 {data['p50']:,} · p90 {data['p90']:,} · max {data['max']:,}"


def _times(data: dict[str, Any]) -> str:
    return "-" if data["p50"] is None else " · ".join(f"{data[name]:.3g}" for name in ("p50", "p90", "max"))
