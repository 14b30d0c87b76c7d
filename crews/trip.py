"""A trip: a free time in the calendar, the cheapest flight, a hotel for the flight's dates, all within a budget.

    crewkit run crews/trip.py
    crewkit run crews/trip.py -i city=Bergen        # no room there: the flight and the calendar are taken back
    crewkit run crews/trip.py -i budget:=300        # too dear: everything is taken back
    crewkit undo @last                              # a person changes their mind

Bookings are made at a desk that behaves as a service does: it keeps them in a file of its own, knows a booking by its
key, so that asking twice is booking once, and takes it back by its number. Each booking names its undo: where a later
one fails, the run is given up and those before it are cancelled, the last first.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from datetime import date, timedelta

from pydantic import BaseModel

from crewkit import Agent, Crew, Input, Limits, Task, ToolContext, ToolError, tool


class Window(BaseModel):
    """Days on which the traveller is free."""

    start: date
    end: date


class Flight(BaseModel):
    number: str
    city: str
    out: date
    back: date
    euro: float


class Booking(BaseModel):
    """What the desk confirms."""

    booking: str
    what: str
    start: date
    end: date
    euro: float


class Trip(BaseModel):
    city: str
    start: date
    end: date
    euro: float
    bookings: list[str]


# The desk: what there is to book, and what was booked

_FARES = {"Kiel": 90.0, "Lisbon": 180.0, "Bergen": 150.0}
_ROOMS = {"Kiel": 80.0, "Lisbon": 95.0, "Bergen": 0.0}
"""Euro a night; 0: no room is left."""
_MEETINGS = (date(2026, 12, 8), date(2026, 12, 9), date(2026, 12, 17))
"""On these days the traveller has to be at home."""


@contextmanager
def _desk(path: str) -> Generator[sqlite3.Connection]:
    with sqlite3.connect(path, timeout=30) as desk:
        desk.execute(
            "CREATE TABLE IF NOT EXISTS bookings (booking TEXT PRIMARY KEY, what TEXT, start TEXT, end TEXT, euro REAL)"
        )
        yield desk
    desk.close()


def _book(context: ToolContext, what: str, start: date, end: date, euro: float) -> Booking:
    booking = context.idempotency_key[:8]
    row = (booking, what, start.isoformat(), end.isoformat(), euro)
    with _desk(context.inputs["desk"]) as desk:
        desk.execute("INSERT OR IGNORE INTO bookings VALUES (?, ?, ?, ?, ?)", row)
    return Booking(booking=booking, what=what, start=start, end=end, euro=euro)


def cancel(result: Booking, context: ToolContext) -> None:
    """Take a booking back. One that is not there was taken back before."""
    with _desk(context.inputs["desk"]) as desk:
        desk.execute("DELETE FROM bookings WHERE booking = ?", (result.booking,))


# What the tasks do


@tool(effects="read", trusted=True)
def find_windows(earliest: date, nights: int) -> list[Window]:
    """Find the times within two weeks in which the calendar is free for so many nights."""
    starts = [earliest + timedelta(days=i) for i in range(14)]
    windows = [Window(start=start, end=start + timedelta(days=nights)) for start in starts]
    return [window for window in windows if not any(window.start <= day <= window.end for day in _MEETINGS)]


@tool(effects="read", retries=2, timeout=20)
def find_flight(item: Window, city: str) -> Flight:
    """Find the flight for a time; weekends are dearer."""
    if city not in _FARES:
        raise ToolError(f"Nobody flies to {city}. There are flights to {', '.join(_FARES)}.")
    dear = sum(day.weekday() >= 4 for day in (item.start, item.end))
    number = f"CK{item.start:%j}"
    return Flight(number=number, city=city, out=item.start, back=item.end, euro=_FARES[city] + 40.0 * dear)


@tool(effects="read", trusted=True)
def choose(fares: list[Flight]) -> Flight:
    """Take the cheapest flight; of several, the first."""
    if not fares:
        raise ToolError("There is no time in which the calendar is free and somebody flies.")
    return min(fares, key=lambda flight: (flight.euro, flight.out))


@tool(effects=["external", "financial"], idempotent=True, undo=cancel, retries=2)
def book_flight(chosen: Flight, context: ToolContext) -> Booking:
    """Book the flight."""
    what = f"flight {chosen.number} to {chosen.city}"
    return _book(context, what, chosen.out, chosen.back, chosen.euro)


@tool(effects="write", idempotent=True, undo=cancel)
def block_calendar(flight: Booking, context: ToolContext) -> Booking:
    """Block the days of the flight in the calendar."""
    return _book(context, "calendar", flight.start, flight.end, 0.0)


@tool(effects=["external", "financial"], idempotent=True, undo=cancel, retries=2)
def book_hotel(flight: Booking, city: str, context: ToolContext) -> Booking:
    """Book a room from the day on which the flight lands to the day on which it leaves."""
    nights, euro = (flight.end - flight.start).days, _ROOMS[city]
    if not euro:
        raise ToolError(f"No room is left in {city} from {flight.start} to {flight.end}.")
    return _book(context, f"hotel in {city}", flight.start, flight.end, euro * nights)


@tool(effects="read", trusted=True)
def add_up(flight: Booking, hotel: Booking, calendar: Booking, city: str, budget: float) -> Trip:
    """Add up what is booked, and refuse what is over the budget."""
    euro = flight.euro + hotel.euro
    if euro > budget:
        raise ToolError(f"The trip costs {euro:.2f} euro, which is {euro - budget:.2f} over the budget.")
    bookings = [each.booking for each in (flight, hotel, calendar)]
    return Trip(city=city, start=flight.start, end=flight.end, euro=euro, bookings=bookings)


agent = Agent("Travel agent", "Tell the traveller when and how they travel, with every booking number.")

windows = Task("windows", do=find_windows)
fares = Task("fares", do=find_flight, for_each=windows, concurrency=4, min_success=0.5)
chosen = Task("chosen", do=choose, needs=[fares])
flight = Task("flight", do=book_flight, needs=[chosen])
calendar = Task("calendar", do=block_calendar, needs=[flight])
hotel = Task("hotel", do=book_hotel, needs=[flight])
trip = Task("trip", do=add_up, needs=[flight, hotel, calendar])
letter = Task(
    "letter",
    "Tell the traveller about the trip to {city}.",
    "Three lines at most.",
    agent,
    needs=[trip, flight, hotel],
    on_failure="continue",
)

crew = Crew(
    [windows, fares, chosen, flight, calendar, hotel, trip, letter],
    name="trip",
    inputs={
        "city": Input("Where to: Kiel, Lisbon or Bergen.", default="Lisbon"),
        "earliest": Input("The first day that would do.", type=date, default=date(2026, 12, 7)),
        "nights": Input("How many nights.", type=int, default=2),
        "budget": Input("Euro, for flight and hotel.", type=float, default=500.0),
        "desk": Input("The file of the desk's bookings.", default="trip.db"),
    },
    limits=Limits(tokens=50_000),
)
