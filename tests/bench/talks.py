"""Long conversations with questions whose answers' places are known: our own, and files of the LoCoMo benchmark.

Ours are `talks/*.txt`: sessions below `== time`, turns as `Name #tag: text`, then questions of a kind below
`?? kind` as `question = tags of the turns that answer it`. LoCoMo is Maharana et al., ACL 2024, arXiv:2402.17753; its
`locomo10.json` is read where it is, nothing of it is kept here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from crewkit.memory.base import Record

OURS = Path(__file__).parent / "talks"
KINDS = {1: "multi", 2: "temporal", 3: "open", 4: "single", 5: "adversarial"}
"""LoCoMo's categories, by what they ask for."""


@dataclass(frozen=True)
class Question:
    text: str
    kind: str
    evidence: frozenset[str]
    """Tags of the turns in which the answer stands."""


@dataclass
class Talk:
    name: str
    turns: list[Record] = field(default_factory=list)
    """With their tag in the metadata."""
    questions: list[Question] = field(default_factory=list)


def ours() -> Iterator[Talk]:
    for file in sorted(OURS.glob("*.txt")):
        yield _read(file.stem, file.read_text("utf-8"))


def _read(name: str, text: str) -> Talk:
    talk = Talk(name)
    time = kind = ""
    for number, line in enumerate(text.splitlines()):
        if line.startswith("== "):
            time = line[3:]
        elif line.startswith("?? "):
            kind = line[3:]
        elif kind and line:
            question, _, tags = line.rpartition(" = ")
            talk.questions.append(Question(question, kind, frozenset(tags.split())))
        elif match := re.fullmatch(r"(\w+)(?: #(\w+))?: (.+)", line):
            author, tag, said = match.groups()
            turn = Record(said, name, author=author, time=time, metadata={"turn": tag or f"line {number}"})
            talk.turns.append(turn)
    return talk


def locomo(file: Path) -> Iterator[Talk]:
    for sample in json.loads(file.read_text("utf-8")):
        talk = Talk(sample["sample_id"])
        said = sample["conversation"]
        for key in sorted((k for k in said if re.fullmatch(r"session_\d+", k)), key=lambda k: int(k[8:])):
            for turn in said[key]:
                picture = f" [shares {turn['blip_caption']}]" if turn.get("blip_caption") else ""
                text, time = turn["text"] + picture, said[f"{key}_date_time"]
                metadata = {"turn": turn["dia_id"]}
                talk.turns.append(
                    Record(text, talk.name, author=turn["speaker"], time=time, metadata=metadata)
                )
        for asked in sample["qa"]:
            evidence = frozenset(re.findall(r"D\d+:\d+", " ".join(asked.get("evidence", ()))))
            if evidence:
                talk.questions.append(Question(asked["question"], KINDS[asked["category"]], evidence))
        yield talk
