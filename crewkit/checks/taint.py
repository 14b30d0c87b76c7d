"""Taint: does a value stand in what may be taken at its word?

A value is proven by the whole of it in trusted text, never by the absence of it in text that is not trusted: whoever
encodes, splits or translates a text launders it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, cast

from crewkit.checks.constraint import complete
from crewkit.checks.dates import Moments
from crewkit.core.label import Label
from crewkit.core.messages import canonical
from crewkit.tools.tool import Tool

Data = dict[str, Any]

MOST_PLACES = 1_000
"""Places in one text at which a value is looked at. Who hides it behind more of them is not believed."""
LONGEST_WORD = 1_000
"""Characters that are looked at on each side of it."""

_QUOTES = "\"'`\u2018\u2019\u201c\u201d\u201e«»\u2039\u203a"
_EDGES = frozenset(
    f"{_QUOTES}()[]{{}}<>,;|*\uff0c\u3001\uff1b\uff1a\uff08\uff09\u300c\u300d\u300e\u300f\u3010\u3011\u300a\u300b"
)
_ENDS = frozenset(".!?:…\u3002\uff01\uff1f")
_OPENING = "".join(_EDGES) + "#@"
_CLOSING = "".join(_EDGES | _ENDS)
_APOSTROPHES = "'\u2019"
_POSSESSIVE = re.compile(r"['\u2019]s(?!\w)[.,!?:;]*")
_CURRENCY = "$€£¥₹"
_CODES = "EUR|USD|GBP|CHF|JPY|euros?|dollars?"
_GAP, _GAPS = "'\u2019\u00a0\u202f", "'\u2019\u00a0\u202f "
"""What stands between thousands; the plain blank may, so that what is beside it may be a piece and proves nothing."""
_PIECE = "|".join(rf"(?<=(?<!\d){digits}[{_GAPS}])" for digits in (r"\d", r"\d\d", r"\d\d\d"))
_NUMBER = re.compile(
    rf"(?<![\w.,:/@#%&+\-])(?<!\d[{_CURRENCY}])(?!(?:{_PIECE})\d{{3}}(?!\d))(?:[{_CURRENCY}]|{_CODES})?"
    rf"(?:(?P<number>[+-]?(?:\d{{1,3}}(?:(?:,\d{{3}})+|(?:[{_GAP}]\d{{3}})+)|\d+)(?:\.\d+)?)"
    rf"|(?P<comma>[+-]?(?:\d{{1,3}}(?:(?:\.\d{{3}})+|(?:[{_GAP}]\d{{3}})+)|\d+),\d\d))"
    rf"(?![{_GAPS}]\d{{3}}(?!\d))(?=$|[\s{re.escape(_QUOTES)}()\[\]{{}}<>;|*!?%{_CURRENCY}]|[.,:](?!\d)|(?:{_CODES})\b)"
)
_IBAN = re.compile(r"(?<!\w)[A-Z]{2}\d\d(?:[A-Z0-9]{11,30}|(?: [A-Z0-9]{4}){2,7}(?: [A-Z0-9]{1,3})?)(?!\w)")
_NUMERAL = re.compile(r"-?(?:0|[1-9][0-9]{0,39})(?:\.[0-9]{1,40})?")
_NOTHING: tuple[Any, ...] = (None, "", [], {})


def unproven(tool: Tool, arguments: Mapping[str, Any], texts: Sequence[str]) -> list[str]:
    """Return the control arguments of a call that do not stand in trusted texts.

    An argument that was left out is the tool's own default, and so is one that repeats it.

    Args:
        tool: The tool; where it names no control arguments, all are.
        arguments: Of the call, valid by the tool's schema.
        texts: What may be taken at its word.
    """
    proof = Proof(texts, _names(tool.parameters))
    return [
        name
        for name, value in controlled(tool, arguments).items()
        if not _settled(tool, name, value) and not proof.of(value)
    ]


def unfounded(tool: Tool, arguments: Mapping[str, Any], texts: Sequence[str]) -> bool:
    """Say whether no control argument of a call stands in trusted texts, so that nobody asked for it: `delete_all()`.

    Not so where the tool says that no argument decides where its effect lands.
    """
    proof = Proof(texts, _names(tool.parameters))
    return tool.control != () and not any(map(proof.of, controlled(tool, arguments).values()))


def controlled(tool: Tool, arguments: Mapping[str, Any]) -> Data:
    """Return the control arguments of a call: those that decide where its effect lands."""
    names = arguments if tool.control is None else tool.control
    return {name: arguments[name] for name in names if name in arguments}


def landing(tool: Tool, arguments: Mapping[str, Any]) -> str:
    """Return where the effect of a call lands, the same for all ways to write it."""
    return f"{tool.name} {canonical(_plain(controlled(tool, complete(arguments, tool))))}"


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return re.sub(r"^https?://|\s", "", unicodedata.normalize("NFKC", value)).casefold()
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_plain(each) for each in cast("list[Any]", value)]
    return {k: _plain(v) for k, v in cast("Data", value).items()} if isinstance(value, dict) else value


def origins(
    tool: Tool, arguments: Mapping[str, Any], texts: Iterable[tuple[str, Label]]
) -> dict[str, dict[str, Any]]:
    """Say for each control argument of a call where its value stands: {from, trusted}. For people; decides nothing."""
    known = sorted(texts, key=lambda text: not text[1].trusted)
    names = _names(tool.parameters)
    proofs = [(Proof([text], names), label) for text, label in known]
    found: dict[str, dict[str, Any]] = {}
    for name, value in controlled(tool, arguments).items():
        label = next((label for proof, label in proofs if proof.of(value)), None)
        if _settled(tool, name, value):
            found[name] = {"from": "the tool's own default", "trusted": True}
        elif label is None:
            found[name] = {"from": "no text: the model's own words", "trusted": False}
        else:
            found[name] = {"from": ", ".join(label.sources), "trusted": label.trusted}
    return found


class Proof:
    """Trusted texts, prepared for looking values up."""

    def __init__(self, texts: Iterable[str], names: frozenset[str] = frozenset()) -> None:
        """Prepare texts; `names` are keys of objects that need no proof."""
        self._whole = [unicodedata.normalize("NFC", text) for text in texts]
        self._texts = [_IBAN.sub("|", text) for text in self._whole]
        """Without account numbers: their groups are no words, and no amounts."""
        self._names = names
        self._found: set[Decimal] | None = None
        self._moments: Moments | None = None

    def of(self, value: Any) -> bool:
        """Say whether the whole of a value stands in the texts: a list or an object by all that is in it."""
        if isinstance(value, str):
            return self._holds(value)
        if isinstance(value, bool) or value is None:
            return False
        if isinstance(value, float):
            return any(float(number) == value for number in self._numbers)
        if isinstance(value, int):
            return Decimal(value) in self._numbers
        if isinstance(value, list):
            items = cast("list[Any]", value)
            return bool(items) and all(map(self.of, items))
        items = cast("Data", value)
        return bool(items) and all(
            (k in self._names or self._holds(k)) and self.of(v) for k, v in items.items()
        )

    @property
    def _numbers(self) -> set[Decimal]:
        if self._found is None:
            written = (match for text in self._texts for match in _NUMBER.finditer(text))
            self._found = {_read(match) for match in written if len(match[0]) <= 80}
        return self._found

    def _holds(self, value: str) -> bool:
        value = unicodedata.normalize("NFC", value)
        if not value.strip():
            return False
        if _NUMERAL.fullmatch(value) and _number(value) in self._numbers:
            return True
        texts = self._whole if _IBAN.search(value) else self._texts
        if " " in value:
            texts = [*texts, *(" ".join(text.split()) for text in texts)]  # lines may be broken in it
        if any(_stands(form, text) for form in _forms(value) for text in texts):
            return True
        if self._moments is None:
            self._moments = Moments(self._texts)
        return self._moments.hold(value)


def _settled(tool: Tool, name: str, value: Any) -> bool:
    """Say whether an argument is what the tool itself says: its default, its only value, or nothing at all."""
    properties = cast("Data", tool.parameters.get("properties") or {})
    shown = properties.get(name)
    if not isinstance(shown, dict):
        return False
    schema = cast("Data", shown)
    if any(word in schema and _same(schema[word], value) for word in ("default", "const")):
        return True
    if schema.get("enum") == [value]:
        return True
    left_out = name not in tool.parameters.get("required", ()) and schema.get("default") in _NOTHING
    return left_out and value in _NOTHING


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and one == other


def _names(schema: Any) -> frozenset[str]:
    """Return the names of all properties that a schema declares, at any depth."""
    found: set[str] = set()
    stack: list[Any] = [schema]
    while stack:
        inner = stack.pop()
        if isinstance(inner, dict):
            held = cast("Data", inner)
            properties = held.get("properties")
            found |= set(cast("Data", properties)) if isinstance(properties, dict) else set()
            stack += held.values()
        elif isinstance(inner, list):
            stack += cast("list[Any]", inner)
    return frozenset(found)


def _number(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


def _read(match: re.Match[str]) -> Decimal:
    """Read a number: 1,234.56 or 1.234,56 or 1'234.56."""
    if match["comma"]:
        return Decimal(_ungrouped(match["comma"].replace(".", "")).replace(",", "."))
    return Decimal(_ungrouped(match["number"].replace(",", "")))


def _ungrouped(digits: str) -> str:
    return "".join(each for each in digits if each not in _GAP)


def _forms(value: str) -> Iterable[str]:
    """Yield the ways in which people write the same: a URL without its scheme, a path with `./`, an IBAN in groups."""
    yield value
    scheme, found, rest = value.partition("://")
    if found and scheme in ("http", "https"):
        yield rest
        if rest.count("/") == 1 and rest.endswith("/"):
            yield value[:-1]
            yield rest[:-1]
    elif value.startswith("./"):
        yield value[2:]
    elif "/" in value and not value.startswith(("/", "~")):
        yield f"./{value}"
    elif _IBAN.fullmatch(value):
        plain = value.replace(" ", "")
        yield plain
        yield " ".join(plain[at : at + 4] for at in range(0, len(plain), 4))


def _stands(value: str, text: str) -> bool:
    """Say whether a value stands in a text as a word of its own, not as a part of a longer one."""
    at = text.find(value)
    for _ in range(MOST_PLACES):
        if at < 0:
            return False
        end = at + len(value)
        if _opens(text, at) and _closes(text, end) and _fills(text, at, end):
            return True
        at = text.find(value, at + 1)
    return False


def _opens(text: str, at: int) -> bool:
    if at == 0:
        return True
    before = text[at - 1]
    if before in "#@":
        return at == 1 or _edge(text, at - 2)
    return _edge(text, at - 1) and not _within(text, at - 1)


def _closes(text: str, end: int) -> bool:
    if end == len(text):
        return True
    if _edge(text, end):
        return not _within(text, end) or bool(_POSSESSIVE.match(text, end))
    if text[end] not in _ENDS:
        return False
    after = end + 1
    while after < len(text) and text[after] in _ENDS:
        after += 1
    return after == len(text) or _edge(text, after)


def _fills(text: str, at: int, end: int) -> bool:
    """Say whether a value is the whole of the path or the URL that it stands in: commas and brackets may be a part."""
    begins, ends = at, end
    while begins and at - begins < LONGEST_WORD and not text[begins - 1].isspace():
        begins -= 1
    while ends < len(text) and ends - end < LONGEST_WORD and not text[ends].isspace():
        ends += 1
    if max(at - begins, ends - end) == LONGEST_WORD:
        return False
    if "/" not in text[begins:ends]:
        return True
    before, after = text[begins:at], _POSSESSIVE.sub("", text[end:ends])
    return (before.endswith("](") or not before.strip(_OPENING)) and not after.strip(_CLOSING)


def _edge(text: str, at: int) -> bool:
    return text[at].isspace() or text[at] in _EDGES


def _within(text: str, at: int) -> bool:
    """Say whether a comma stands between two digits, or an apostrophe between two letters."""
    around = text[at - 1 : at] if at else "", text[at + 1 : at + 2]
    if text[at] == ",":
        return all(each.isdigit() for each in around)
    return text[at] in _APOSTROPHES and all(each.isalnum() for each in around)
