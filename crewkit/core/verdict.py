"""What a check answers: scope, guardrail, approval, acceptance, loop exit."""

from __future__ import annotations

from dataclasses import dataclass

from crewkit.errors import expect, expect_number


@dataclass(frozen=True, slots=True)
class Allow:
    """Go on."""

    note: str = ""
    """Something to know about it all the same. A tool's result is shown with it in front."""


@dataclass(frozen=True, slots=True)
class Revise:
    """Do it again, better, for this reason. The reason goes to the model."""

    reason: str


@dataclass(frozen=True, slots=True)
class Deny:
    """Do not do it, for this reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class Ask:
    """Put this question to a person before going on."""

    question: str
    expires: float | None = None
    """Seconds that they have to decide; `None`: seven days."""

    def __post_init__(self) -> None:
        expect("Ask", "question", self.question, str, "a question")
        if self.expires is not None:
            expect_number("Ask", "expires", self.expires, 0, above=True)


Verdict = Allow | Revise | Deny | Ask
