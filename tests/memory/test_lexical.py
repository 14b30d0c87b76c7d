import math
import random
import sqlite3

from hypothesis import given
from hypothesis import strategies as st

from crewkit.memory import lexical
from crewkit.memory.base import Record
from crewkit.memory.lexical import K1, B, Lexical, Stemmer, indexed_text, words


def test_words_are_folded_and_stop_words_left_out() -> None:
    assert words("The CAFÉ's menü_items, No. 42!") == ["cafe", "menu", "items", "42"]
    assert words("日本語 abc漢") == ["日", "本", "語", "abc", "漢"]


def test_forms_of_a_word_have_one_stem() -> None:
    stemmer = Stemmer()
    assert stemmer.stems("paying payments paid, policies policy") == [
        "pai",
        "payment",
        "paid",
        "polici",
        "polici",
    ]
    assert stemmer.stems("payments") == ["payment"]
    stemmer.close()


@given(st.text())
def test_any_text_has_as_many_stems_as_words(text: str) -> None:
    stemmer = Stemmer()
    assert len(stemmer.stems(text)) == len(words(text))
    stemmer.close()


def test_the_indexed_text_holds_title_author_and_time() -> None:
    record = Record("Let us go.", title="Plan", author="Ann", time="2026-05-08T23:30:00Z")
    assert indexed_text(record) == "Plan\nAnn, 8 May 2026\nLet us go."
    assert indexed_text(Record("x", time="last spring")) == "last spring\nx"


def test_scores_are_those_of_bm25() -> None:
    dice = random.Random(7)
    texts = {
        n: " ".join(dice.choices(["oak", "elm", "ash", "fir", "yew"], k=dice.randint(1, 30)))
        for n in range(50)
    }
    texts |= {50: "rowan oak", 51: ""}
    db, stemmer = sqlite3.connect(":memory:"), Stemmer()
    db.executescript(lexical.SCHEMA)
    index = Lexical(db, stemmer)
    total = sum(index.add(1, n, text) for n, text in texts.items())
    index.add(2, 99, "oak oak rowan")

    def bm25(n: int, query: list[str]) -> float:
        tokens = texts[n].split()
        score = 0.0
        for word in query:
            holding = sum(word in text.split() for text in texts.values())
            count = tokens.count(word)
            idf = math.log(1 + (len(texts) - holding + 0.5) / (holding + 0.5))
            score += (
                idf * count / (count + K1 * (1 - B + B * len(tokens) / (total / len(texts))))
                if count
                else 0.0
            )
        return score

    found = index.search(1, "an oak or a rowan?", records=len(texts), length=total, most=100)
    expected = {n: bm25(n, ["oak", "rowan"]) for n in texts}
    assert {n: round(s, 9) for n, s in found.items()} == {n: round(s, 9) for n, s in expected.items() if s}
    assert index.remove(1, 50, texts[50]) == 2
    assert index.search(1, "rowan", records=51, length=total, most=5) == {}
    assert index.search(1, "the of and", records=51, length=total, most=5) == {}
    db.close()
    stemmer.close()
