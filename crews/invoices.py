"""The reconciliation of supplier invoices, by a clerk who learns from earlier cases.

    crewkit run crews/invoices.py -i number=INV-0007
    crewkit run crews/invoices.py -i number=INV-0051
    crewkit memory list -n crew:invoices/episodes

Each invoice is held against its order. Where the amounts differ, a document explains it: a receipt of fewer goods, a
credit note, a payment on account, a framework agreement. Most suppliers have a habit, so a case like this one may have
been there before: the crew's memory tells the clerk what settled it. Plain code does the sums and decides.
"""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel, Field

from crewkit import Agent, Crew, Input, InputError, Limits, Task, tool


class Invoice(BaseModel):
    number: str
    supplier: str
    order: str
    amount: float
    currency: str = "EUR"


class Document(BaseModel):
    """Something in the books that changes what is owed."""

    document: str = Field(description="Its number, exactly as in the books.")
    says: str
    adds: float = Field(description="What it adds to the amount of the order, in euro.")


class Finding(BaseModel):
    documents: list[Document] = Field(
        description="The documents that explain the difference, unchanged; none if there is no difference."
    )
    reason: str = Field(description="One sentence: what explains the difference.")


class Settlement(BaseModel):
    invoice: str
    decision: Literal["pay", "hold"]
    difference: float
    unexplained: float
    reason: str


# The books: 51 invoices of eight suppliers, each with its habit. A real crew would ask an accounting system here.

_HABITS = {
    "Adler Papier": "none",
    "Brandt Glas": "none",
    "Costa Seile": "receipt",
    "Dorn Farben": "none",
    "Eder Holz": "credit",
    "Falk Stahl": "payment",
    "Gruber Tuch": "none",
    "Nordlys Havn": "agreement",
}
"""What explains the differences of a supplier's invoices."""
INVOICES = 51
RARE = "Nordlys Havn"
"""Sends an invoice twice a year: the seventh and the fifty-first."""


def _case(number: str) -> tuple[int, str, str, float]:
    """Return an invoice's place in the books, its supplier, the supplier's habit and the order's amount."""
    match = re.fullmatch(r"INV-(\d{4})", number)
    place = int(match[1]) if match else 0
    if not 1 <= place <= INVOICES:
        raise InputError(f"There is no invoice '{number}': the books go from INV-0001 to INV-{INVOICES:04}.")
    others = [name for name in _HABITS if name != RARE]
    supplier = RARE if place in (7, INVOICES) else others[place % len(others)]
    return place, supplier, _HABITS[supplier], 400.0 + 35.0 * place


def _document(number: str) -> Document | None:
    """Return the document that explains the difference of an invoice; `None` where there is none."""
    place, supplier, habit, amount = _case(number)
    match habit:
        case "receipt":
            return Document(
                document=f"REC-{place:04}", says="One of ten crates was not delivered.", adds=-amount / 10
            )
        case "credit":
            return Document(document=f"CN-{place:04}", says="Credit for broken boards.", adds=-25.0)
        case "payment":
            return Document(document=f"PAY-{place:04}", says="Paid on account when ordering.", adds=-100.0)
        case "agreement":
            says = f"{supplier} adds a harbour due of 4 % to every order."
            return Document(document="FA-0017", says=says, adds=round(amount * 0.04, 2))
        case _:
            return None


def _kept(number: str, kind: str) -> list[Document]:
    document = _document(number)
    return [document] if document and document.document.startswith(kind) else []


@tool(effects="read", trusted=True)
def read_invoice(number: str) -> Invoice:
    """Read an invoice of the books."""
    place, supplier, _, amount = _case(number)
    document = _document(number)
    due = round(amount + (document.adds if document else 0.0), 2)
    return Invoice(number=number, supplier=supplier, order=f"PO-{place:04}", amount=due)


@tool(effects="read", trusted=True)
def find_order(order: str) -> float:
    """Look up the amount that was ordered, in euro.

    Args:
        order: The order's number, for example PO-0003.
    """
    return _case(order.replace("PO-", "INV-"))[3]


@tool(effects="read", trusted=True)
def find_receipts(invoice: str) -> list[Document]:
    """Find goods receipts that differ from what was ordered."""
    return _kept(invoice, "REC")


@tool(effects="read", trusted=True)
def find_credit_notes(invoice: str) -> list[Document]:
    """Find credit notes of the supplier for an invoice."""
    return _kept(invoice, "CN")


@tool(effects="read", trusted=True)
def find_payments(invoice: str) -> list[Document]:
    """Find payments on account for an invoice."""
    return _kept(invoice, "PAY")


@tool(effects="read", trusted=True)
def find_agreements(invoice: str) -> list[Document]:
    """Find framework agreements with the supplier that change the price of an invoice's order."""
    return _kept(invoice, "FA")


def check_documents(finding: Finding) -> str | None:
    """Object to documents that are not in the books as they are cited."""
    books = [_document(f"INV-{place:04}") for place in range(1, INVOICES + 1)]
    wrong = [cited.document for cited in finding.documents if cited not in books]
    return f"Not in the books: {', '.join(wrong)}. Cite documents unchanged, or none." if wrong else None


@tool(effects="read", trusted=True)
def settle(number: str, finding: Finding) -> Settlement:
    """Do the sums: pay what the documents explain to the cent, hold everything else."""
    _, _, _, ordered = _case(number)
    document = _document(number)
    difference = round(read_invoice(number).amount - ordered, 2)
    explained = round(document.adds, 2) if document and document in finding.documents else 0.0
    unexplained = round(difference - explained, 2)
    return Settlement(
        invoice=number,
        decision="hold" if unexplained else "pay",
        difference=difference,
        unexplained=unexplained,
        reason=finding.reason,
    )


clerk = Agent(
    "Clerk",
    "Explain every difference between an invoice and its order by a document, with as few look-ups as it takes.",
    tools=[find_order, find_receipts, find_credit_notes, find_payments, find_agreements],
)

invoice = Task("invoice", do=read_invoice)
reconcile = Task(
    "finding",
    "Hold the invoice {number} against its order. Where the amounts differ, find the document that explains it.",
    "The documents that explain the difference, and why.",
    clerk,
    needs=[invoice],
    output_type=Finding,
    guardrails=[check_documents],
)
settlement = Task("settlement", do=settle, needs=[reconcile])

crew = Crew(
    [invoice, reconcile, settlement],
    name="invoices",
    inputs={"number": Input("The invoice's number: INV-0001 to INV-0051.", default="INV-0007")},
    limits=Limits(tokens=100_000),
    memory="invoices",
)
