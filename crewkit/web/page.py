"""The page itself: one HTML document that needs nothing else, with a policy under which nothing else could run."""

from __future__ import annotations

import base64
import hashlib
import html
from functools import cache
from importlib import resources
from typing import Any

from crewkit.web.data import embedded

_SCRIPTS = (
    "dom.js",
    "text.js",
    "run.js",
    "timeline.js",
    "outline.js",
    "blocks.js",
    "calls.js",
    "happened.js",
    "graph.js",
    "overview.js",
    "panels.js",
    "transcript.js",
    "filter.js",
    "api.js",
    "runs.js",
    "app.js",
)
"""The page's scripts in their order; together they are one, with one scope."""

_ICON = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cpath fill='%233a51c4' d='M2 2h5v5H2zM9 2h5v5H9zM2 9h5v5H2zM9 9h5v5H9z'/%3E%3C/svg%3E"  # noqa: E501


def page(data: dict[str, Any], *, title: str, served: bool) -> str:
    """Return the document.

    Args:
        data: What the page is given: `mode` (served or file), `run` (an id, or null for the list), and for a file
            `data` (head, nodes, events).
        title: Of the window, until the page knows better.
        served: The page may ask the server that it came from.
    """
    style, script = _style(), _script()
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy(served=served)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f'<title>{html.escape(title)}</title>\n<link rel="icon" href="{_ICON}">\n'
        f"<style>{style}</style>\n</head>\n<body>\n"
        "<noscript><p>A script of the page's own draws the run. In a terminal: crewkit show</p></noscript>\n"
        '<div id="app"></div>\n'
        f'<script type="application/json" id="data">{embedded(data)}</script>\n'
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


@cache
def policy(*, served: bool) -> str:
    """Return the content security policy: the page's own style and script by their hashes, and nothing else."""
    rules = [
        "default-src 'none'",
        f"script-src '{_hash(_script())}'",
        f"style-src '{_hash(_style())}'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
    if served:
        rules.append("connect-src 'self'")
    return "; ".join(rules)


@cache
def _script() -> str:
    parts = "\n".join(_read(name) for name in _SCRIPTS)
    return f'"use strict";\n(() => {{\n{parts}\n}})();\n'


@cache
def _style() -> str:
    return _read("page.css")


def _read(name: str) -> str:
    return (resources.files("crewkit.web") / "page" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
