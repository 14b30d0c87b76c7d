"""A drawing as SVG: laid out in layers, without a browser, a network or Graphviz."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise

from crewkit.preview.drawing import COLOURS, Box

_CHAR, _LINE, _PAD, _GAP, _RISE, _MARGIN = 7.2, 18, 12, 28, 44, 16
"""Pixels: width of a character, height of a line, within a box, between boxes, between layers, around all."""
_SWEEPS = 8
"""Times that the layers are gone through, down and up, for their order and for their places."""
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
    row: float = 0.0
    """Where the layer ends that it is in."""
    ways: dict[str, list[_Placed]] = field(default_factory=dict[str, "list[_Placed]"])
    """By what it needs, what the arrow from there leads through."""


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
    """Place boxes in layers, each below all that it needs, and in each layer room for the arrows that pass it.

    After Sugiyama, Tagawa and Toda (1981): layers, bends where an arrow passes a layer, an order with few crossings,
    then places near to what each is joined to.
    """
    placed = [_measured(box) for box in boxes]
    by_path = {each.box.path: each for each in placed}
    depth = _depths(by_path)
    layers: list[list[_Placed]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for each in placed:
        layers[depth[each.box.path]].append(each)
    for each in placed:
        _bend(each, by_path, depth, layers)
    joins = [(one, two) for each in placed for way in each.ways.values() for one, two in pairwise(way)]
    above = _sides((two, one) for one, two in joins)
    below = _sides(joins)
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        for row in layers if down else layers[::-1]:
            _ordered(row, above if down else below, layers)
    width, height = _settled(layers, above, below)
    return placed, width, height


def _depths(by_path: dict[str, _Placed]) -> dict[str, int]:
    depth: dict[str, int] = {}

    def layer(path: str) -> int:
        if path not in depth:
            depth[path] = 0  # a circle, which no checked crew has, ends here
            needs = [need for need, _ in by_path[path].box.needs if need in by_path]
            depth[path] = 1 + max((layer(need) for need in needs), default=-1)
        return depth[path]

    for path in by_path:
        layer(path)
    kept = sorted(set(depth.values()))
    return {path: kept.index(at) for path, at in depth.items()}


def _bend(
    target: _Placed, by_path: dict[str, _Placed], depth: dict[str, int], layers: list[list[_Placed]]
) -> None:
    """Lead the arrows to a box through the layers between: a narrow place in each."""
    for need, _ in target.box.needs:
        source = by_path.get(need)
        if source is None:
            continue
        between = range(depth[need] + 1, depth[target.box.path])
        bends = [_Placed(Box("", ""), 0.0, 0.0) for _ in between]
        for at, bend in zip(between, bends, strict=True):
            layers[at].append(bend)
        target.ways[need] = [source, *bends, target]


def _sides(joins: Iterable[tuple[_Placed, _Placed]]) -> dict[int, list[_Placed]]:
    found: dict[int, list[_Placed]] = {}
    for one, two in joins:
        found.setdefault(id(one), []).append(two)
    return found


def _ordered(row: list[_Placed], joined: dict[int, list[_Placed]], layers: list[list[_Placed]]) -> None:
    """Sort a layer by the middle of what each is joined to on one side."""
    at = {id(each): i / max(len(layer), 1) for layer in layers for i, each in enumerate(layer)}

    def middle(each: _Placed) -> float:
        others = joined.get(id(each))
        return sum(at[id(other)] for other in others) / len(others) if others else at[id(each)]

    row.sort(key=middle)


def _settled(
    layers: list[list[_Placed]], above: dict[int, list[_Placed]], below: dict[int, list[_Placed]]
) -> tuple[float, float]:
    """Give everything its place: in the order of its layer, as near as can be to what it is joined to."""
    y = 0.0
    for row in layers:
        x = 0.0
        for each in row:
            each.x, each.y = x, y
            x += each.width + _GAP
        high = max(each.height for each in row)
        for each in row:
            each.row = y + high
        y += high + _RISE
    for sweep in range(_SWEEPS):
        for row in layers:
            sides = (above, below) if sweep >= _SWEEPS - 2 else ((above, below)[sweep % 2],)
            joined = [[other for side in sides for other in side.get(id(each), ())] for each in row]
            wished = [
                sum(other.x + other.width / 2 for other in others) / len(others) - each.width / 2
                if others
                else each.x
                for each, others in zip(row, joined, strict=True)
            ]
            _spread(row, wished)
    left = min((each.x for row in layers for each in row), default=0.0)
    for row in layers:
        for each in row:
            each.x -= left
    return max((each.x + each.width for row in layers for each in row), default=0.0), max(y - _RISE, 0.0)


def _spread(row: list[_Placed], wished: list[float]) -> None:
    """Place a layer so that nothing lies on anything, and the places are off the wished ones by as little as can be.

    Whatever would overlap is moved as one block to the mean of its wishes (isotonic regression).
    """
    starts, x = [0.0], 0.0
    for each in row[:-1]:
        x += each.width + _GAP
        starts.append(x)
    blocks: list[tuple[float, int]] = []
    for start, wish in zip(starts, wished, strict=True):
        mean, count = wish - start, 1
        while blocks and blocks[-1][0] > mean:
            before, many = blocks.pop()
            mean, count = (before * many + mean * count) / (many + count), many + count
        blocks.append((mean, count))
    offsets = [mean for mean, count in blocks for _ in range(count)]
    for each, start, offset in zip(row, starts, offsets, strict=True):
        each.x = start + offset


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
            if need in by_path:
                yield _arrow(each.ways[need], dx, dy, dashed=one_of)
    for each in placed:
        yield from _box(each, dx + each.x, dy + each.y)


def _arrow(way: list[_Placed], dx: float, dy: float, *, dashed: bool) -> str:
    """Draw an arrow: straight down through the layers, bent between them."""
    x, y = dx + way[0].x + way[0].width / 2, dy + way[0].y + way[0].height
    line = f"M{x:.1f} {y:.1f}"
    for one, two in pairwise(way):
        x, y, end = dx + two.x + two.width / 2, dy + one.row, dy + two.y - (two is way[-1])
        before, middle = dx + one.x + one.width / 2, (y + end) / 2
        line += f"V{y:.1f}C{before:.1f} {middle:.1f} {x:.1f} {middle:.1f} {x:.1f} {end:.1f}"
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
