"""Values that a text mentions: quoted words, names, paths, addresses, dates, ids, sums to work out."""

# ruff: noqa: RUF001 - typographic quotes and signs are what it looks for

from __future__ import annotations

import re
from collections.abc import Callable

from crewkit.models.offline.lexicon import INSTRUCTIONS, MONTHS, STOP_WORDS
from crewkit.models.offline.names import (
    FILE_WORDS,
    FOLDER_WORDS,
    ID_WORDS,
    QUERY_WORDS,
    TEXT_WORDS,
)
from crewkit.models.offline.words import name_stems, stem, stems, words

_URL = re.compile(r"\bhttps?://[^\s<>\"')\]]{1,2000}")
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5}")
_QUOTED = re.compile(r"[\"“]([^\"”\n]{1,300})[\"”]|(?<!\w)['‘`]([^'’`\n]{1,300})['’`](?!\w)")
_EXPRESSION = re.compile(r"(?<![\w.])[(\d][\d\s.()+\-*/^%×÷]{0,200}[\d)](?!\w)")
_OPERATOR = re.compile(r"[\d)]\s*[-+*/^%×÷]\s*[(\d]")
_ISO_DATE = re.compile(r"(?<!\d)(\d{4})-(\d{2})-(\d{2})(?!\d)")
_MONTH = "(" + "|".join(f"{month[:3]}(?:{month[3:]})?" for month in MONTHS) + ")"
_DAY_FIRST = re.compile(
    rf"(?<!\d)(\d{{1,2}})(?:st|nd|rd|th)?\.? {_MONTH}\.?,? (\d{{4}})(?!\d)", re.IGNORECASE
)
_MONTH_FIRST = re.compile(rf"\b{_MONTH}\.? (\d{{1,2}})(?:st|nd|rd|th)?,? (\d{{4}})(?!\d)", re.IGNORECASE)
_NAME = re.compile(r"(?<![\w])[^\W\d_a-zà-ÿ][\w'’&-]*(?: (?:of |de |van |von )?[^\W\d_a-zà-ÿ][\w'’&-]*)*")
_EXTENSION = re.compile(r"\.[A-Za-z]\w{0,5}$")
_EDGE = "\"'“”‘’`()[]{}<>,;:!?"


def kind_of(name: str, description: str, form: str) -> str:
    """Name the kind of text that a parameter wants, from its name, its description and its format."""
    last = (name_stems(name) or ("",))[-1]
    about = set(name_stems(name))
    if form in ("email", "uri", "date"):
        return {"uri": "url"}.get(form, form)
    kinds = {
        "email": {"email", "mail"},
        "url": {stem(w) for w in ("url", "uri", "link", "href")},
        "date": {"dat", "dai", "date", "day"},
        "expression": {stem(w) for w in ("expression", "formula", "equation", "calculation", "expr")},
        "sql": {"sql"},
        "path": FILE_WORDS | FOLDER_WORDS,
        "query": QUERY_WORDS,
        "text": TEXT_WORDS,
        "id": ID_WORDS,
    }
    told = set(stems(description)[:6])
    if "sql" in about | told:
        return "sql"
    if last == stem("document") and "text" in told:
        return "text"
    for kind, known in kinds.items():
        if last in known:
            return kind
    return next(
        (kind for kind, known in kinds.items() if kind not in ("text", "id", "query") and told & known),
        "name",
    )


def mentions(kind: str, text: str) -> list[str]:
    """Return the values of a kind that a text mentions, in their order, each once."""
    finders: dict[str, Callable[[str], list[str]]] = {
        "email": _EMAIL.findall,
        "url": lambda t: [found.rstrip(".,;:!?") for found in _URL.findall(t)],
        "date": dates,
        "path": _paths,
        "id": _ids,
        "expression": _expressions,
        "sql": lambda t: [found for found in quoted(t) if found.lower().lstrip().startswith("select")],
        "name": lambda t: [*quoted(t), *names(t)],
    }
    return list(dict.fromkeys(finders[kind](text))) if kind in finders else []


def quoted(text: str) -> list[str]:
    """Return what stands in quotation marks."""
    return [a or b for a, b in _QUOTED.findall(text)]


def dates(text: str) -> list[str]:
    """Return the dates in a text as `YYYY-MM-DD`."""
    found = [(m.start(), m.group()) for m in _ISO_DATE.finditer(text) if _is_date(int(m[2]), int(m[3]))]
    for pattern, day, month in ((_DAY_FIRST, 1, 2), (_MONTH_FIRST, 2, 1)):
        for m in pattern.finditer(text):
            number = next(i for i, name in enumerate(MONTHS, 1) if name.startswith(m[month].lower()[:3]))
            if _is_date(number, int(m[day])):
                found.append((m.start(), f"{m[3]}-{number:02}-{int(m[day]):02}"))
    return [date for _, date in sorted(found)]


def _is_date(month: int, day: int) -> bool:
    return 1 <= month <= 12 and 1 <= day <= 28 + (month != 2) * 2 + (month in (1, 3, 5, 7, 8, 10, 12))


def names(text: str) -> list[str]:
    """Return runs of capitalised words, those that merely begin a sentence only where there are no others."""
    inside: list[str] = []
    opening: list[str] = []
    for found in _NAME.finditer(text):
        name, begins = found.group(), not text[: found.start()].rstrip(" \"'“(*-")[-1:].strip(".!?:\n#")
        first, _, rest = name.partition(" ")
        if begins and words(first)[0] in STOP_WORDS | INSTRUCTIONS:
            name, begins = rest, False
        if name and words(name)[0] not in STOP_WORDS and name not in inside:
            (opening if begins and " " not in name else inside).append(name)
    return inside or opening


def _tokens(text: str) -> list[str]:
    return [token.strip(_EDGE).rstrip(".") for token in text.split()]


def is_path(token: str) -> bool:
    """Say whether a text looks like the path of a file or a folder."""
    if not token or "://" in token or "@" in token or (" " in token.strip() and "/" not in token):
        return False
    return _EXTENSION.search(token) is not None or ("/" in token and len(token) > 1)


def _paths(text: str) -> list[str]:
    return [token for token in _tokens(text) if is_path(token)]


def _ids(text: str) -> list[str]:
    found: list[str] = []
    for token in _tokens(text):
        bare = token.lstrip("#")
        digits = sum(c.isdigit() for c in bare)
        plain = bare.replace("-", "").replace("_", "").isalnum() and not _ISO_DATE.fullmatch(bare)
        if digits and plain and (not bare.isdigit() or digits >= 3 or token.startswith("#")):
            found.append(bare)
    return found


def _expressions(text: str) -> list[str]:
    found = [m.group().strip() for m in _EXPRESSION.finditer(text) if _OPERATOR.search(m.group())]
    return [e.replace("×", "*").replace("÷", "/") for e in found if not _ISO_DATE.search(e)]


def after(word: str, text: str) -> list[str]:
    """Return what follows a word as its value: quoted, capitalised, a path, or with a digit in it."""
    label = re.compile(
        rf"\b{re.escape(word)}(?:s|es)?\b[ \t]{{0,3}}(?:(?:is|are|of|number|no\.|id|named|called)[ \t]{{1,3}}){{0,2}}"
        r"[:=#]?[ \t]{0,3}(\"[^\"\n]{1,200}\"|'[^'\n]{1,200}'|[^\s,;?!]{1,200})",
        re.IGNORECASE,
    )
    found = [m.group(1).strip(_EDGE + "#").rstrip(".") for m in label.finditer(text)]
    return [
        v for v in dict.fromkeys(found) if v and (v[0].isupper() or any(c.isdigit() for c in v) or is_path(v))
    ]
