"""Which names mean the same: keys of results, names of inputs, parameters and fields."""

from __future__ import annotations

from functools import lru_cache

from crewkit.models.offline.words import name_stems, stem

_SYNONYMS = """
path file filename filepath document doc source
folder directory dir root path
url link href uri page
query question topic search term terms keywords keyword subject prompt
text content contents body passage message excerpt snippet quote statement sentence
summary abstract overview
id identifier key ref reference number no code
city location place town
name title label
title headline heading
symbol ticker
email mail
date day when
amount total price sum value cost
person user customer client author employee
sender from author
start begin from since
end to until stop
limit count k n top max size
company organisation organization firm vendor supplier seller
country nation
language lang
phone telephone tel
result value answer output
reason why rationale explanation
source citation reference
"""

_GROUPS = [frozenset(stem(word) for word in line.split()) for line in _SYNONYMS.strip().splitlines()]

FILE_WORDS = frozenset(stem(word) for word in ("path", "file", "filename", "filepath", "document", "doc"))
FOLDER_WORDS = frozenset(stem(word) for word in ("folder", "directory", "dir", "root"))
QUERY_WORDS = frozenset(
    stem(w)
    for w in ("query", "question", "topic", "search", "term", "keyword", "subject", "prompt", "q", "about")
)
TEXT_WORDS = frozenset(
    stem(w) for w in ("text", "content", "body", "passage", "message", "document", "input")
)
LIMIT_WORDS = frozenset(
    stem(w) for w in ("limit", "k", "n", "top", "max", "count", "size", "number", "results")
)
ID_WORDS = frozenset(stem(w) for w in ("id", "identifier", "number", "no", "ref", "reference", "key", "code"))
PLAIN_WORDS = ID_WORDS | frozenset(stem(w) for w in ("name", "value", "type", "string", "text"))
"""Words of a name that say little about what is named."""

TEXT_NAMES = (
    "text",
    "passage",
    "quote",
    "content",
    "body",
    "snippet",
    "excerpt",
    "statement",
    "fact",
    "summary",
)
SOURCE_NAMES = (
    "file", "path", "source", "url", "uri", "href", "link", "filename", "document", "doc", "title",
)  # fmt: skip


@lru_cache(maxsize=65_536)
def match(wanted: str, known: str) -> float:
    """Return how well a known name fits a wanted one: 1 the same, 0.7 a synonym, 0 unrelated."""
    if wanted == known:
        return 1.0
    ours, theirs = list(name_stems(wanted)), list(name_stems(known))
    if not ours or not theirs:
        return 0.0
    if sorted(ours) == sorted(theirs) or "".join(ours) == "".join(theirs):
        return 0.95
    if ours[-1] == theirs[-1] and (set(ours) <= set(theirs) or set(theirs) <= set(ours)):
        return 0.8
    if len(ours) > 1 and ours[-1] in PLAIN_WORDS and ours[:-1] == theirs:
        return 0.75
    if len(theirs) > 1 and theirs[-1] in ID_WORDS and theirs[:-1] == ours:
        return 0.72
    if (len(ours) == 1 or len(theirs) == 1) and any(ours[-1] in g and theirs[-1] in g for g in _GROUPS):
        return 0.7
    if set(ours[:-1]) == set(theirs[:-1]) and any(ours[-1] in g and theirs[-1] in g for g in _GROUPS):
        return 0.7
    return 0.0
