"""Customer support: a specialist answers what it can, and a person what it cannot.

    crewkit run crews/support.py -i query="Why was I charged twice for my subscription?"
    crewkit run crews/support.py -i query="Your driver drove into my garden wall."
    crewkit approve ID        or deny it, from any terminal, within 3 days
    crewkit resume @last

The query is sorted by its words, and goes to a billing, a technical or a general specialist. Each may read the help
articles of its own topic and no others. What no article covers is escalated: the run pauses, costs nothing, and goes
on once somebody has approved the answer that is prepared for them.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Literal

from pydantic import BaseModel

from crewkit import Agent, Crew, Grant, Input, Limits, Scope, Task, any_of, tool

Topic = Literal["billing", "technical", "general"]

WORDS: dict[Topic, str] = {
    "billing": "bill billed charge charged double invoice money paid pay payment price refund subscription twice",
    "technical": "app broken connect crash crashes error install log login password reset slow sync update",
    "general": "address close contact delivery hours open opening order parcel shipping",
}

ARTICLES: dict[Topic, dict[str, str]] = {
    "billing": {
        "Charged twice": "A subscription that is charged twice is refunded within 5 days: send us both receipts.",
        "Invoices": "Every invoice can be downloaded under Account, Invoices, up to ten years back.",
        "Refunds": "A refund goes to the card that paid, and takes 5 working days.",
    },
    "technical": {
        "Passwords": "To reset a password, choose Forgot password at the login and follow the link in the mail.",
        "Crashes": "An app that crashes on start is cured by the update to version 4.2 in nearly all cases.",
        "Sync": "Sync is slow on the first day, because all files are read once; later it takes seconds.",
    },
    "general": {
        "Opening hours": "We are open from Monday to Friday, 9 to 17 o'clock.",
        "Delivery": "A parcel takes 2 to 4 days; its number is in the mail that says it was sent.",
    },
}

_STOP = (
    "a an and are at do for from how in is it me my of on or the to was we what when where why with you your"
)
STOP = frozenset(re.findall(r"\w+", _STOP))
COVERED = 2
"""Words that a query and an article have to share, where the query has so many."""


class Sorted(BaseModel):
    topic: Topic
    words: list[str]
    """What speaks for it."""


class Checked(BaseModel):
    answer: str
    resolved: bool
    articles: list[str]
    """That cover the query."""


def words_of(text: str) -> set[str]:
    return set(re.findall(r"[a-z]{2,}", text.lower())) - STOP


@tool(effects="read", trusted=True)
def sort_query(query: str) -> Sorted:
    """Say what a query is about, by its words."""
    asked = words_of(query)
    found: dict[Topic, list[str]] = {
        topic: sorted(asked & set(words.split())) for topic, words in WORDS.items()
    }
    topic = max(found, key=lambda each: len(found[each]))
    return Sorted(topic=topic if found[topic] else "general", words=found[topic])


def covering(topic: Topic, query: str) -> dict[str, str]:
    """Return the articles that share enough words with a query, the best first."""
    shared = {
        title: len(words_of(query) & words_of(f"{title} {text}")) for title, text in ARTICLES[topic].items()
    }
    enough = max(1, min(COVERED, len(words_of(query))))
    best = sorted(shared, key=lambda title: -shared[title])
    return {title: ARTICLES[topic][title] for title in best if shared[title] >= enough}


# Nobody outside writes the articles, so what it returns may be taken at its word.
@tool(effects="read", trusted=True, timeout=10)
def find_articles(topic: Topic, query: str) -> dict[str, str]:
    """Find the help articles of a topic that cover a customer's query.

    Args:
        topic: The specialist's own topic.
        query: The customer's words.
    """
    return covering(topic, query)


@tool(effects="read", trusted=True)
def check_answer(
    query: str, sorted: Sorted, billing: str | None, technical: str | None, general: str | None
) -> Checked:
    """Say whether the specialist's answer stands on an article."""
    articles = list(covering(sorted.topic, query))
    answer = billing or technical or general or ""
    return Checked(answer=answer, resolved=bool(articles and answer), articles=articles)


@tool(effects="read", trusted=True)
def hand_over(query: str, sorted: Sorted) -> str:
    """Prepare the answer that a person decides about."""
    about = f" about {', '.join(sorted.words)}" if sorted.words else ""
    said = f'You wrote: "{query.strip()}" A colleague takes care of it and calls you today.'
    return f"Thank you for your message{about}. {said}"


@tool(effects="read", trusted=True)
def reply(checked: Checked, escalation: str | None) -> str:
    """Return what the customer is told."""
    if checked.resolved:
        return checked.answer
    return escalation or "Thank you for your message. We look into it and write to you within a day."


def specialist(topic: Topic, about: str) -> Task[str]:
    own = {"properties": {"topic": {"const": topic}}, "required": ["topic"]}
    agent = Agent(
        f"{topic.capitalize()} specialist",
        f"Answer questions about {about} from the help articles, and say so where they do not cover one.",
        tools=[find_articles],
        scope=Scope(Grant("find_articles", where=own, max_calls=5)),
        max_tokens=2_000,
    )
    return Task(
        topic,
        f"Find the help articles on the topic {topic} and answer this customer from them: {{query}}",
        "Two or three friendly sentences; nothing that no article says.",
        agent,
        needs=[sorted_],
        when=f"sorted.topic == '{topic}'",
        timeout=300,
    )


sorted_ = Task("sorted", do=sort_query)
billing = specialist("billing", "bills, payments and refunds")
technical = specialist("technical", "the app, logins and errors")
general = specialist("general", "orders, delivery and opening hours")
checked = Task("checked", do=check_answer, needs=[sorted_, any_of(billing, technical, general)])
escalation = Task(
    "escalation",
    do=hand_over,
    needs=[sorted_, checked],
    when="not checked.resolved",
    human_input="No article covers this query. May the customer be answered so?",
    deadline=timedelta(days=3),
    on_failure="continue",
)
answer = Task("answer", do=reply, needs=[checked, escalation])

crew = Crew(
    [sorted_, billing, technical, general, checked, escalation, answer],
    name="support",
    inputs={"query": Input("What the customer writes.")},
    limits=Limits(tokens=100_000, seconds=900),
)
