"""The lexical leg: words, stems, and BM25 over an inverted index in SQL.

It needs no model and reads only the postings of the words in the query, never the records.
"""

from __future__ import annotations

import math
import re
import sqlite3
import unicodedata
from collections import Counter
from datetime import datetime
from typing import Any

from crewkit.memory.base import Record

VERSION = 1
"""Of the words made from a text. Another version on disk means that the postings are built anew."""

K1 = 0.9
B = 0.4
"""BM25's saturation and length weights; measured on long conversations, where 1.2 and 0.75 did worse."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS postings (
    namespace INTEGER NOT NULL, word TEXT NOT NULL, record INTEGER NOT NULL,
    count INTEGER NOT NULL, length INTEGER NOT NULL,
    PRIMARY KEY (namespace, word, record)
) WITHOUT ROWID;
"""

_QUERY_WORDS = 32
"""A longer query is searched by its rarest words."""

_POSTINGS = 60_000
"""Of a query's words together, the rarest first; the commonest words beyond tell next to nothing."""

_LONGEST_WORD = 40

_MONTHS = ("January February March April May June July August September October November December").split()  # noqa: SIM905

# Written one by one where no blank stands between words: CJK ideographs and Japanese kana.
_ONE_BY_ONE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_ONE_BY_ONE}]|[^\W_{_ONE_BY_ONE}]+")

_STOP_WORDS = frozenset(
    """
    a about above after again against ain all also am an and any are aren as at be because been before being
    below between both but by can could couldn d did didn do does doesn doing don down during each few for
    from further had hadn has hasn have haven having he her here hers herself him himself his how i if in
    into is isn it its itself just ll m me more most my myself no nor not now of off on once only or other
    our ours ourselves out over own re s same she should shouldn so some such t than that the their theirs
    them themselves then there these they this those through to too under until up ve very was wasn we were
    weren what when where which while who whom whose why will with won would wouldn you your yours yourself
    yourselves
    """.split()  # noqa: SIM905 - a list of quoted words reads worse
)


def indexed_text(record: Record) -> str:
    """Return what is indexed and embedded: the text, with its title, author and time written into it."""
    said = ", ".join(part for part in (record.author, _written_out(record.time)) if part)
    return "\n".join(part for part in (record.title, said, record.text) if part)


def _written_out(time: str) -> str:
    """Write a moment as people ask for it: `8 May 2023`. What is no RFC 3339 stays as it is."""
    try:
        moment = datetime.fromisoformat(time)
    except ValueError:
        return time
    return f"{moment.day} {_MONTHS[moment.month - 1]} {moment.year}"


def words(text: str) -> list[str]:
    """Return the words of a text in their order, folded (case, accents, width), without stop words."""
    folded = text.casefold()
    if not folded.isascii():
        folded = "".join(c for c in unicodedata.normalize("NFKD", folded) if not unicodedata.combining(c))
    return [word[:_LONGEST_WORD] for word in _WORD.findall(folded) if word not in _STOP_WORDS]


class Stemmer:
    """SQLite's own Porter stemmer: as good as a package here, and it costs no import."""

    _MOST = 100_000

    def __init__(self) -> None:
        # Autocommit, for the known stems are kept here and the table is emptied after each use.
        self._db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._db.execute(
            "CREATE VIRTUAL TABLE words USING fts5(word, content='', tokenize='porter unicode61')"
        )
        self._db.execute("CREATE VIRTUAL TABLE stems USING fts5vocab(words, instance)")
        self._known: dict[str, str] = {}

    def stems(self, text: str) -> list[str]:
        """Return the stems of the words of a text, in their order."""
        found = words(text)
        if new := list({word for word in found if word not in self._known}):
            if len(self._known) > self._MOST:
                self._known.clear()
                new = list(set(found))
            self._learn(new)
        return [self._known[word] for word in found]

    def _learn(self, new: list[str]) -> None:
        self._db.execute("BEGIN")
        self._db.executemany("INSERT INTO words(rowid, word) VALUES (?, ?)", enumerate(new))
        stems = dict(self._db.execute("SELECT doc, term FROM stems"))
        self._db.execute("INSERT INTO words(words) VALUES ('delete-all')")
        self._db.execute("COMMIT")
        self._known.update((word, stems.get(i, word)) for i, word in enumerate(new))

    def close(self) -> None:
        """Free the stemmer's tables."""
        self._db.close()


class Lexical:
    """The postings of the words of all records, by namespace."""

    def __init__(self, db: sqlite3.Connection, stemmer: Stemmer) -> None:
        self._db = db
        self._stemmer = stemmer

    def add(self, namespace: int, record: int, text: str) -> int:
        """Write a record's postings; return its length in words."""
        counts = Counter(self._stemmer.stems(text))
        length = counts.total()
        self._db.executemany(
            "INSERT INTO postings VALUES (?, ?, ?, ?, ?)",
            ((namespace, word, record, count, length) for word, count in counts.items()),
        )
        return length

    def remove(self, namespace: int, record: int, text: str) -> int:
        """Remove the postings that `add` wrote for this text; return its length in words."""
        stems = self._stemmer.stems(text)
        self._db.executemany(
            "DELETE FROM postings WHERE namespace = ? AND word = ? AND record = ?",
            ((namespace, word, record) for word in set(stems)),
        )
        return len(stems)

    def search(
        self,
        namespace: int,
        query: str,
        *,
        records: int,
        length: int,
        most: int,
        among: tuple[str, list[Any]] | None = None,
    ) -> dict[int, float]:
        """Return the BM25 scores of the `most` best records.

        Args:
            namespace: Where to look.
            query: What to look for.
            records: How many records the namespace holds.
            length: How many words they have together.
            most: How many to return.
            among: A query for the numbers of the only records to look at, and its values.
        """
        weights = self._weights(namespace, query, records)
        if not weights:
            return {}
        mean = max(length / max(records, 1), 1.0)
        rows = self._db.execute(
            f"""
            WITH query(word, weight) AS (VALUES {", ".join(["(?, ?)"] * len(weights))})
            SELECT p.record, SUM(weight * p.count / (p.count + ? + ? * p.length)) AS score
            FROM query CROSS JOIN postings AS p ON p.namespace = ? AND p.word = query.word
            {f"WHERE p.record IN ({among[0]})" if among else ""}
            GROUP BY p.record ORDER BY score DESC, p.record LIMIT ?
            """,  # noqa: S608 - only placeholders are put together
            [
                *(value for pair in weights.items() for value in pair),
                K1 * (1 - B),
                K1 * B / mean,
                namespace,
                *(among[1] if among else ()),
                most,
            ],
        )
        return dict(rows)

    def _weights(self, namespace: int, query: str, records: int) -> dict[str, float]:
        """Weigh the query's words: the rarer in the namespace, the heavier; those not in it are left out."""
        held: dict[str, int] = {}
        for word in dict.fromkeys(self._stemmer.stems(query[:10_000])):
            (holding,) = self._db.execute(
                "SELECT count(*) FROM postings WHERE namespace = ? AND word = ?", (namespace, word)
            ).fetchone()
            if holding:
                held[word] = holding
        weights: dict[str, float] = {}
        postings = 0
        for word in sorted(held, key=held.__getitem__)[:_QUERY_WORDS]:
            postings += held[word]
            if weights and postings > _POSTINGS:
                break
            weights[word] = math.log(1 + (records - held[word] + 0.5) / (held[word] + 0.5))
        return weights
