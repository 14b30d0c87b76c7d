"""A drawing as SVG: laid out in layers, without a browser, a network or Graphviz."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape

from crewkit.preview.drawing import COLOURS, Box

_CHAR, _LINE, _PAD, _GAP, _RISE, _MARGIN = 7.2, 18, 12, 28, 44, 16
"""Pixels: width of a character, height of a line, within a box, between boxes, between layers, around all."""
_LONGEST = 44
"""Characters of a line; longer ones are cut and stand whole in the tooltip."""


@dataclass
class _Placed:
    """A box with its place."""

    box: Box
    width: float
    height: float
    inside: list[_Placed] = field(default_factory=list["_Placed"])
    x: float = 0.0
    y: float = 0.0


def svg(boxes: list[Box]) -> str:
    """Draw boxes and arrows from top to bottom, arrows below the boxes that they pass."""
    placed, width, height = _layout(boxes)
    body = "\n".join(_drawn(placed, _MARGIN, _MARGIN))
    size = f'width="{width + 2 * _MARGIN:.0f}" height="{height + 2 * _MARGIN:.0f}"'
    view = f'viewBox="0 0 {width + 2 * _MARGIN:.0f} {height + 2 * _MARGIN:.0f}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {view} role="img" font-family="sans-serif" font-size="13">\n'
        "<title>Tasks and what they need</title>\n"
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
        'orient="auto"><path d="M0 0 8 4 0 8z" fill="#777"/></marker></defs>\n'
        f"{body}\n</svg>"
    )


def _layout(boxes: list[Box]) -> tuple[list[_Placed], float, float]:
    """Place boxes in layers: each below all that it needs, near to the middle of them."""
    placed = [_measured(box) for box in boxes]
    by_path = {each.box.path: each for each in placed}
    depth: dict[str, int] = {}

    def layer(path: str) -> int:
        if path not in depth:
            depth[path] = 0  # a circle, which no checked crew has, ends here
            needs = [need for need, _ in by_path[path].box.needs if need in by_path]
            depth[path] = 1 + max((layer(need) for need in needs), default=-1)
        return depth[path]

    layers: list[list[_Placed]] = []
    for each in placed:
        at = layer(each.box.path)
        while len(layers) <= at:
            layers.append([])
        layers[at].append(each)
    layers = [row for row in layers if row]
    widths = [sum(each.width for each in row) + _GAP * (len(row) - 1) for row in layers]
    width, y = max(widths, default=0.0), 0.0
    for row, wide in zip(layers, widths, strict=True):
        row.sort(key=lambda each: _middle(each, by_path))
        x = (width - wide) / 2
        for each in row:
            each.x, each.y = x, y
            x += each.width + _GAP
        y += max(each.height for each in row) + _RISE
    return placed, width, max(y - _RISE, 0.0)


def _middle(each: _Placed, by_path: dict[str, _Placed]) -> float:
    needs = [by_path[need] for need, _ in each.box.needs if need in by_path]
    return sum(need.x + need.width / 2 for need in needs) / len(needs) if needs else 0.0


def _measured(box: Box) -> _Placed:
    lines = _lines(box)
    width = max(len(line) for line in lines) * _CHAR + 2 * _PAD
    height = len(lines) * _LINE + 2 * _PAD - 4.0
    if not box.inside:
        return _Placed(box, width, height)
    inside, wide, high = _layout(box.inside)
    return _Placed(box, max(width, wide + 2 * _PAD), height + high + _PAD, inside)


def _lines(box: Box) -> list[str]:
    lines = [box.title, *(line for line in box.lines if line)]
    return [line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…" for line in lines]


def _drawn(placed: list[_Placed], dx: float, dy: float) -> Iterator[str]:
    by_path = {each.box.path: each for each in placed}
    for each in placed:
        for need, one_of in each.box.needs:
            if source := by_path.get(need):
                yield _arrow(source, each, dx, dy, dashed=one_of)
    for each in placed:
        yield from _box(each, dx + each.x, dy + each.y)


def _arrow(source: _Placed, target: _Placed, dx: float, dy: float, *, dashed: bool) -> str:
    x1, y1 = dx + source.x + source.width / 2, dy + source.y + source.height
    x2, y2 = dx + target.x + target.width / 2, dy + target.y
    bend = (y2 - y1) / 2
    line = f"M{x1:.1f} {y1:.1f}C{x1:.1f} {y1 + bend:.1f} {x2:.1f} {y2 - bend:.1f} {x2:.1f} {y2 - 1:.1f}"
    style = ' stroke-dasharray="5 4"' if dashed else ""
    return f'<path d="{line}" fill="none" stroke="#777"{style} marker-end="url(#arrow)"/>'


def _box(each: _Placed, x: float, y: float) -> Iterator[str]:
    box = each.box
    fill, stroke = COLOURS.get(box.status, COLOURS[""])
    said = escape("\n".join([box.path, *box.lines, *([box.status] if box.status else [])]))
    corner = 8 if box.kind == "agent" else 2
    yield f"<g><title>{said}</title>"
    yield (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{each.width:.1f}" height="{each.height:.1f}" rx="{corner}" '
        f'fill="{fill}" stroke="{stroke}"/>'
    )
    left = x + _PAD if box.inside else x + each.width / 2
    anchor = "" if box.inside else ' text-anchor="middle"'
    for i, line in enumerate(_lines(box)):
        style = ' font-weight="600" fill="#222"' if not i else ' fill="#555" font-size="12"'
        at = y + _PAD + 10 + i * _LINE
        yield f'<text x="{left:.1f}" y="{at:.1f}"{anchor}{style}>{escape(line)}</text>'
    yield "</g>"
    if each.inside:
        own = len(_lines(box)) * _LINE + 2 * _PAD - 4
        wide = max(one.x + one.width for one in each.inside)
        yield from _drawn(each.inside, x + (each.width - wide) / 2, y + own - 4)
