"""A crew or a run as boxes and arrows, written as Mermaid, Graphviz or SVG."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from crewkit.core.events import is_item, map_of
from crewkit.crew.crew import Crew
from crewkit.preview.graph import conditions, ways, worker

if TYPE_CHECKING:
    from crewkit.core.events import Event
    from crewkit.crew.compile import Plan

COLOURS: Mapping[str, tuple[str, str]] = {
    "completed": ("#e6f4ea", "#1e7d3c"),
    "failed": ("#fdeaea", "#b3261e"),
    "skipped": ("#f3f3f3", "#8a8a8a"),
    "running": ("#e8f0fe", "#1a5fb4"),
    "waiting": ("#fff4dc", "#9a6700"),
    "": ("#ffffff", "#444444"),
}
"""Status to fill and line."""


@dataclass
class Box:
    """A task."""

    path: str
    title: str
    lines: list[str] = field(default_factory=list[str])
    """What stands below the title: who does it, under which conditions."""
    kind: str = "agent"
    """agent, function, crew or wait."""
    status: str = ""
    """completed, failed, skipped, running or waiting, where a run is drawn; empty: not reached."""
    inside: list[Box] = field(default_factory=list["Box"])
    """The tasks of a crew that does it."""
    needs: list[tuple[str, bool]] = field(default_factory=list[tuple[str, bool]])
    """Paths of what comes first, and whether it is only one of several that would do."""


def of_plan(plan: Plan, prefix: str = "") -> list[Box]:
    """Return the boxes of a crew."""
    boxes: list[Box] = []
    for name, job in plan.jobs.items():
        inner = job.task.do.plan if isinstance(job.task.do, Crew) else None
        needs = [(prefix + need, need in job.alternatives) for need in job.needs]
        inside = of_plan(inner, f"{prefix}{name}/") if inner else []
        lines = [worker(job), *conditions(job), *ways(job)]
        boxes.append(Box(prefix + name, name, lines, job.kind, inside=inside, needs=needs))
    return boxes


def of_run(events: Iterable[Event]) -> list[Box]:
    """Return the boxes of a run, with how each task stands. Crews inside show the tasks that were begun."""
    found: dict[str, Box] = {}
    top: list[Box] = []
    items: dict[str, _Items] = {}
    for event in events:
        data = event.data
        match event.type:
            case "run.started":
                top = [_declared(cast("dict[str, Any]", task)) for task in data.get("tasks") or ()]
                found = {box.path: box for box in top}
            case "map.started":
                items[event.path] = _Items(int(data.get("items") or 0))
            case _ if around := map_of(event.task):
                if around in items and event.type == "task.finished" and is_item(event.path):
                    items[around].add(event)
            case "task.started" | "task.finished" if event.path:
                box = found.get(event.path) or _add(found, top, event.path)
                status = "running" if event.type == "task.started" else str(data.get("status") or "")
                box.status = status or box.status
                agent = str(data.get("agent") or event.agent)
                box.lines = box.lines or ([agent] if agent != box.title else [])
                prefix = event.path.rpartition("/")[0]
                names = [str(need) for need in data.get("needs") or ()]
                box.needs = box.needs or [(f"{prefix}/{name}" if prefix else name, False) for name in names]
            case "approval.requested" | "wait.started":
                if box := found.get(event.task):
                    box.status = "waiting"
            case _:
                pass
    for path, counted in items.items():
        if box := found.get(path):
            box.lines.append(counted.said())
    return top


@dataclass
class _Items:
    """How many items of a map are done."""

    all: int
    done: set[str] = field(default_factory=set[str])
    failed: set[str] = field(default_factory=set[str])

    def add(self, event: Event) -> None:
        """Take the end of one in."""
        completed = event.data.get("status") == "completed"
        self.failed.discard(event.path)
        (self.done if completed else self.failed).add(event.path)

    def said(self) -> str:
        """Say it."""
        failed = f", {len(self.failed):,} failed" if self.failed else ""
        return f"{len(self.done):,} of {self.all:,} items{failed}"


def _declared(task: Mapping[str, Any]) -> Box:
    alternatives = {name for group in task.get("any_of") or () for name in group}
    words = {"for_each": "for each of", "when": "when", "until": "until"}
    when = [f"{said} {task[word]}" for word, said in words.items() if task.get(word)]
    agent = str(task.get("agent") or "")
    lines = [*([agent] if agent != task.get("name") else []), *when]
    needs = [(str(name), name in alternatives) for name in task.get("needs") or ()]
    name = str(task.get("name"))
    return Box(name, name, lines, str(task.get("kind") or "agent"), needs=needs)


def _add(found: dict[str, Box], top: list[Box], path: str) -> Box:
    """Make the box of a task that the run's beginning did not name: it is in a crew inside a task."""
    outer, _, name = re.sub(r"/plan:\d+/", "/", path).rpartition("/")
    box = found[path] = Box(path, name)
    around = found.get(outer) or found.get(re.sub(r"#\d+$", "", outer))
    (around.inside if around else top).append(box)
    if around:
        around.kind = "crew"
    return box


def every(boxes: Iterable[Box]) -> Iterator[Box]:
    """Yield boxes and all that are inside them."""
    for box in boxes:
        yield box
        yield from every(box.inside)


def mermaid(boxes: list[Box]) -> str:
    """Draw as a Mermaid flowchart: crews inside as subgraphs, needs that several can meet dotted."""
    lines = ["flowchart TD", *_mermaid(boxes, "    ")]
    shown = [box for box in every(boxes) if box.status]
    for status in dict.fromkeys(box.status for box in shown):
        fill, stroke = COLOURS.get(status, COLOURS[""])
        ids = ",".join(_id(box.path) for box in shown if box.status == status)
        lines += [f"    classDef {status} fill:{fill},stroke:{stroke}", f"    class {ids} {status}"]
    return "\n".join(lines)


def _mermaid(boxes: list[Box], indent: str) -> list[str]:
    lines: list[str] = []
    for box in boxes:
        if box.inside:
            lines.append(f"{indent}subgraph {_id(box.path)}[{_quoted(box.title, *box.lines[1:])}]")
            lines += [*_mermaid(box.inside, indent + "    "), f"{indent}end"]
        else:
            begin, end = ("[[", "]]") if box.kind == "function" else ("[", "]")
            lines.append(f"{indent}{_id(box.path)}{begin}{_quoted(box.title, *box.lines)}{end}")
    lines += [
        f"{indent}{_id(need)} {'-.->' if one_of else '-->'} {_id(box.path)}"
        for box in boxes
        for need, one_of in box.needs
    ]
    return lines


def _id(path: str) -> str:
    """Return an id that Mermaid takes: `end` and the like are words of its own, and two names stay two."""
    return "t_" + re.sub(r"\W", lambda match: f"_{ord(match[0]):x}_", path)


def _quoted(*lines: str) -> str:
    escaped = (line.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;") for line in lines)
    return '"' + "<br/>".join(escaped) + '"'


def dot(boxes: list[Box]) -> str:
    """Draw for Graphviz: crews inside as clusters."""
    head = ["digraph crew {", "  rankdir=TB", '  node [shape=box, fontname="sans-serif"]', "  compound=true"]
    return "\n".join([*head, *_dot(boxes, "  "), *_arrows(boxes), "}"])


def _dot(boxes: list[Box], indent: str) -> Iterator[str]:
    for box in boxes:
        label = _dotted("\n".join([box.title, *filter(None, box.lines)]))
        fill, stroke = COLOURS.get(box.status, COLOURS[""])
        if box.inside:
            yield f"{indent}subgraph {_dotted(f'cluster_{box.path}')} {{"
            yield f"{indent}  label={label}; color={_dotted(stroke)}"
            yield from _dot(box.inside, indent + "  ")
            yield f"{indent}}}"
        else:
            style = 'style="filled"' if box.kind != "agent" else 'style="filled,rounded"'
            colours = f"fillcolor={_dotted(fill)}, color={_dotted(stroke)}"
            yield f"{indent}{_dotted(box.path)} [label={label}, {style}, {colours}]"


def _arrows(boxes: list[Box]) -> Iterator[str]:
    by_path = {box.path: box for box in every(boxes)}
    for box in by_path.values():
        for need, one_of in box.needs:
            source = by_path.get(need)
            if source is None:
                continue
            # Graphviz draws to a box; an arrow from or to a cluster is cut off at its border.
            tail, head = list(every([source]))[-1], next(each for each in every([box]) if not each.inside)
            options = ["style=dashed"] if one_of else []
            options += [f"ltail={_dotted(f'cluster_{source.path}')}"] if source.inside else []
            options += [f"lhead={_dotted(f'cluster_{box.path}')}"] if box.inside else []
            style = f" [{', '.join(options)}]" if options else ""
            yield f"  {_dotted(tail.path)} -> {_dotted(head.path)}{style}"


def _dotted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def text(boxes: list[Box], indent: str = "") -> str:
    """List as text: a line for each task with how it stands, those of a crew inside indented."""
    lines: list[str] = []
    for box in boxes:
        after = f"  after {', '.join(need.rpartition('/')[2] for need, _ in box.needs)}" if box.needs else ""
        who = "".join(f"  {line}" for line in box.lines if line)
        lines.append(f"{indent}{box.title}  {box.status or 'not begun'}{who}{after}")
        lines += [text(box.inside, indent + "    ")] if box.inside else []
    return "\n".join(lines)
