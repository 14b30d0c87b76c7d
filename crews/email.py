"""A mail that is answered in five steps: what it says, how urgent it is, a look-up if it takes one, a draft, a person.

    crewkit run crews/email.py
    crewkit run crews/email.py -i mail=@message.eml
    crewkit approve ID        or deny it, within 2 days
    crewkit resume @last

Plain functions read the mail and rate it, a clerk looks an order up only where the mail names one, a correspondent
writes the draft, and nothing counts as an answer before somebody has approved it.
"""

from __future__ import annotations

import re
from datetime import timedelta
from email import message_from_string, policy
from email.utils import parseaddr
from typing import Literal

from pydantic import BaseModel

from crewkit import Agent, Crew, Grant, Input, Limits, Scope, Task, ToolError, tool

SAMPLE = """\
From: Ann Miller <ann@example.org>
Subject: Order A-1042 is late

Hello,

my order A-1042 has not arrived, and I need it today. Where is it? Can I still change the address?

Best regards
Ann
"""

ORDERS = {
    "A-1042": "Order A-1042 was sent on Monday and is with the carrier; it arrives on Thursday.",
    "A-1043": "Order A-1043 is paid and will be sent tomorrow.",
}
PRESSING = [
    "asap",
    "broken",
    "complaint",
    "deadline",
    "emergency",
    "immediately",
    "late",
    "lawyer",
    "today",
    "urgent",
    "wrong",
]
IDLE = ["advertisement", "newsletter", "offer", "unsubscribe", "webinar"]

Level = Literal["high", "normal", "low"]


class Mail(BaseModel):
    sender: str
    name: str
    subject: str
    body: str
    order: str | None
    questions: list[str]


class Urgency(BaseModel):
    level: Level
    words: list[str]
    """What speaks for it."""
    lookup: bool
    """An order has to be looked up before it can be answered."""


class Reply(BaseModel):
    to: str
    subject: str
    text: str
    urgency: Level


@tool(effects="read")
def extract(mail: str) -> Mail:
    """Read who writes, about what, and what they ask."""
    read = message_from_string(mail, policy=policy.default)
    plain = read.get_body(("plain", "html")) if read["from"] else None
    body = str(plain.get_content()) if plain else mail
    name, sender = parseaddr(str(read["from"] or ""))
    subject = str(read["subject"] or body.strip().partition("\n")[0][:80])
    order = re.search(r"\b[A-Z]-\d{3,}\b", f"{subject}\n{body}")
    questions = [text.strip() for text in re.findall(r"[^.!?\n]+\?", body)]
    return Mail(
        sender=sender,
        name=name,
        subject=subject,
        body=body.strip(),
        order=order[0] if order else None,
        questions=questions,
    )


@tool(effects="read")
def rate(extracted: Mail) -> Urgency:
    """Say how urgent a mail is, by its words, and whether an order has to be looked up."""
    said = set(re.findall(r"[a-z]+", f"{extracted.subject} {extracted.body}".lower()))
    pressing, idle = sorted(said & set(PRESSING)), sorted(said & set(IDLE))
    level: Level = "high" if pressing else "low" if idle and not extracted.questions else "normal"
    return Urgency(level=level, words=pressing or idle, lookup=extracted.order is not None)


# Our own orders: what it returns may be taken at its word.
@tool(effects="read", trusted=True, timeout=10)
def find_order(number: str) -> str:
    """Look up where an order is.

    Args:
        number: The order's number, for example A-1042.
    """
    if number not in ORDERS:
        raise ToolError(
            f"There is no order '{number}'. Say so to the customer, and ask for the right number."
        )
    return ORDERS[number]


@tool(effects="read")
def address(extracted: Mail, urgency: Urgency, draft: str) -> Reply:
    """Put a draft into the mail that would be sent."""
    subject = extracted.subject if extracted.subject.lower().startswith("re:") else f"Re: {extracted.subject}"
    hello = f"Dear {extracted.name},\n\n" if extracted.name else ""
    return Reply(to=extracted.sender, subject=subject, text=f"{hello}{draft}", urgency=urgency.level)


number = {"properties": {"number": {"pattern": r"^[A-Z]-\d{3,}$"}}, "required": ["number"]}
clerk = Agent(
    "Clerk",
    "Look orders up, and report what is known of them.",
    tools=[find_order],
    scope=Scope(Grant("find_order", where=number, max_calls=3)),
    max_tokens=1_000,
)
correspondent = Agent(
    "Correspondent",
    "Answer mails in a friendly and plain way, and promise nothing that is not known.",
    max_tokens=2_000,
)

extracted = Task("extracted", do=extract)
urgency = Task("urgency", do=rate, needs=[extracted])
looked_up = Task(
    "looked_up",
    "Look up the order that the mail names with find_order. When does it arrive with the carrier?",
    "One sentence: what find_order returns.",
    clerk,
    needs=[extracted, urgency],
    context=[extracted],
    when="urgency.lookup",
    on_failure="continue",
)
draft = Task(
    "draft",
    "Answer this mail from what was looked up: when does the order arrive? Say what nobody knows yet.",
    "Two friendly sentences, without a greeting.",
    correspondent,
    needs=[extracted, urgency, looked_up],
    context=[looked_up],  # the mail itself is an input
)
approval = Task(
    "approval",
    do=address,
    needs=[extracted, urgency, draft],
    human_input="May this answer be sent?",
    deadline=timedelta(days=2),
)

crew = Crew(
    [extracted, urgency, looked_up, draft, approval],
    name="email",
    inputs={"mail": Input("The mail, with or without its headers: -i mail=@message.eml", default=SAMPLE)},
    limits=Limits(tokens=100_000, seconds=900),
)
