"""Questions on the terminal, for programs that show nothing of a run themselves."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TextIO

from crewkit.core.text import safe
from crewkit.journal.read import Pending
from crewkit.notify.words import commands, parts, until, where


@dataclass(frozen=True)
class Terminal:
    """Writes each question to stderr, and rings the bell where that is a terminal."""

    stream: TextIO | None = None
    """`None`: stderr as it is when a question comes."""

    @property
    def name(self) -> str:
        """`terminal`."""
        return "terminal"

    async def tell(self, question: Pending) -> None:
        """Write a question with all that is needed to decide it."""
        stream = self.stream or sys.stderr
        lines = [f"{question.id}  {where(question)}", f"  {question.question}"]
        for part in parts(question):
            first, *rest = part.text.splitlines() or [""]
            lines += [f"  {part.label:7}{first}", *(f"         {line}" for line in rest)]
        lines.append(f"  {commands(question)}    {until(question)}".rstrip())
        bell = "\a" if stream.isatty() else ""
        stream.write(bell + "\n".join(safe(line) for line in lines) + "\n")
        stream.flush()
