"""What is known of a company: its figures, the news and its competitors, looked up side by side and held together.

    crewkit run crews/company.py
    crewkit run crews/company.py -i down:='["news"]'              # the news service does not answer
    crewkit run crews/company.py -i company="Nordlys Havn"

Three sources say what the company turned over, and not all say the same: which figure counts is settled by rule, and
the report says so. A source that is down is tried again, then left out, and the report says that, too.
"""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel

from crewkit import Agent, Crew, Input, Limits, Priority, Resolution, Resolve, Retry, Task, ToolContext, tool


class Figure(BaseModel):
    """What a source says a company turned over in a year."""

    revenue: float
    """Million euro."""
    year: int
    source: str


class News(BaseModel):
    revenue: float
    year: int
    source: str
    headlines: list[str]


class Rival(BaseModel):
    name: str
    revenue: float


# What the services know. A real crew would ask them over HTTP.

_FILINGS = {
    "Adler Papier": "Annual report 2025, page 7: The turnover of the year 2025 was 120.4 million euro (2024: 111.0).",
    "Nordlys Havn": "Annual report 2025, page 12: The turnover of the year 2025 was 48.0 million euro (2024: 51.5).",
}
_REGISTER = {
    "Adler Papier": "Register of companies: turnover 120.4 million euro in 2025, 310 people.",
    "Nordlys Havn": "Register of companies: turnover 48.0 million euro in 2025, 95 people.",
}
_PRESS = {
    "Adler Papier": [
        "The Daily, 3 May: Adler Papier turned over 130 million euro in 2025, a record.",
        "The Daily, 9 September: Adler Papier builds a second mill in Kiel.",
    ],
    "Nordlys Havn": ["Harbour Post, 1 June: Nordlys Havn turned over 48 million euro in 2025."],
}
_RIVALS = {"Adler Papier": ["Brandt Glas", "Falk Stahl", "Dorn Farben"], "Nordlys Havn": ["Costa Seile"]}
_TURNOVERS = {"Brandt Glas": 88.0, "Falk Stahl": 410.5, "Dorn Farben": 37.2, "Costa Seile": 12.9}

PATIENT = Retry(attempts=3, first=0.05, longest=0.2)


def _reach(service: str, context: ToolContext) -> None:
    """Fail as a service does that is not there."""
    if service in context.inputs["down"]:
        raise ConnectionError(f"{service}.example does not answer")


def _turnover(text: str) -> float:
    match = re.search(r"([\d.]+) million euro", text)
    assert match is not None
    return float(match[1])


@tool(effects="read", retries=PATIENT, trusted=True)
def read_filing(company: str, context: ToolContext) -> Figure:
    """Read what the company filed."""
    _reach("filings", context)
    return Figure(revenue=_turnover(_FILINGS[company]), year=2025, source=_FILINGS[company].partition(":")[0])


@tool(effects="read", retries=PATIENT, trusted=True)
def read_register(company: str, context: ToolContext) -> Figure:
    """Look the company up in the register."""
    _reach("register", context)
    return Figure(revenue=_turnover(_REGISTER[company]), year=2025, source="Register of companies")


@tool(effects="read", retries=PATIENT)
def read_news(company: str, context: ToolContext) -> News:
    """Read what the papers write about the company."""
    _reach("news", context)
    first = _PRESS[company][0]
    return News(
        revenue=_turnover(first), year=2025, source=first.partition(":")[0], headlines=_PRESS[company]
    )


@tool(effects="read", trusted=True)
def list_rivals(company: str) -> list[str]:
    """List the company's competitors."""
    return _RIVALS[company]


@tool(effects="read", retries=PATIENT)
def look_at_rival(item: str, context: ToolContext) -> Rival:
    """Look one competitor up."""
    _reach(item, context)
    return Rival(name=item, revenue=_TURNOVERS[item])


@tool(effects="read", trusted=True)
def write_report(
    company: str, revenue: Resolution, news: News | None, rivals: list[Rival] | None, outlook: str | None
) -> str:
    """Put it together, and say what is missing and what was in dispute."""
    counts: Any = revenue.output
    lines = [
        f"# {company}",
        "",
        f"Turnover {counts['year']}: {counts['revenue']:.1f} million euro ({counts['source']}).",
    ]
    if not revenue.agreed:
        told = "; ".join(f"{each.task}: {each.value:g}" for each in revenue.parties)
        lines.append(f"The sources do not agree ({told}): {revenue.why}")
    ranked = sorted(rivals or [], key=lambda rival: -rival.revenue)
    lines += [
        "",
        "## Competitors",
        *(f"- {rival.name}: {rival.revenue:.1f} million euro" for rival in ranked),
    ]
    lines += ["", "## News"]
    lines += [f"- {line}" for line in news.headlines] if news else ["- The news service did not answer."]
    if outlook:
        lines += ["", "## Outlook", outlook]
    return "\n".join(lines)


analyst = Agent("Analyst", "Say what the figures and the news mean for the company, and claim nothing else.")

filing = Task("filing", do=read_filing, on_failure="continue")
register = Task("register", do=read_register, on_failure="continue")
news = Task("news", do=read_news, on_failure="continue")
names = Task("names", do=list_rivals)
rivals = Task("rivals", do=look_at_rival, for_each=names, min_success=0.5, on_failure="continue")
revenue = Task(
    "revenue",
    do=Resolve("vote", Priority(filing, register, news), about="revenue"),
    needs=[filing, register, news],
    output_type=Resolution,
)
outlook = Task(
    "outlook",
    "What do the turnover and the news mean for {company}?",
    "Two lines.",
    analyst,
    needs=[revenue, news, rivals],
    on_failure="continue",
)
report = Task("report", do=write_report, needs=[revenue, news, rivals, outlook])

crew = Crew(
    [filing, register, news, names, rivals, revenue, outlook, report],
    name="company",
    inputs={
        "company": Input("Adler Papier or Nordlys Havn.", default="Adler Papier"),
        "down": Input(
            "Services that do not answer: filings, register, news, or a competitor.",
            type=list[str],
            default=[],
        ),
    },
    limits=Limits(tokens=50_000),
)
