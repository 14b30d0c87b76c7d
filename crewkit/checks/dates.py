"""Days and times as people write them, where what is written can mean one thing only."""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Iterable, Iterator
from datetime import date, time

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = (
    r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|"
    r"oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_BEFORE, _AFTER = r"(?<![\w.,:/@#%&+\-])", r"(?![\w/\-@]|[.,:]\w)"
_DAY, _YEAR = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?", r"(?P<year>[12]\d{3})"
_DAYS = tuple(
    re.compile(f"{_BEFORE}{form}{_AFTER}", re.IGNORECASE)
    for form in (
        rf"{_YEAR}-(?P<month>\d\d)-(?P<day>\d\d)",
        rf"{_MONTH} {_DAY},? {_YEAR}",
        rf"{_DAY} (?:of )?{_MONTH},? {_YEAR}",
        rf"(?P<day>\d{{1,2}})\.(?P<month>\d{{1,2}})\.{_YEAR}",
        rf"(?P<one>\d{{1,2}})/(?P<other>\d{{1,2}})/{_YEAR}",
    )
)
_TIME = re.compile(
    r"(?<![\w.,:/@#%&+\-])(?P<hour>\d{1,2})(?::(?P<minute>\d\d)(?::(?P<second>\d\d))?)? ?(?P<half>[ap]\.?m\b\.?)?"
    r"(?![\w/\-@%]|[.,:]\w)",
    re.IGNORECASE,
)
_JOINT = re.compile(r"(?<=\d)T(?=\d\d:\d\d)")
_BETWEEN = re.compile(r"[\s,]*(?:\b(?:at|on|from|starting|starts|begins)\b[\s,]*){0,2}", re.IGNORECASE)
_VALUE = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.0+)?)?)?", re.ASCII)
_CLOCK = re.compile(r"(\d\d):(\d\d)(?::(\d\d))?", re.ASCII)

_APART = 40
"""Characters within which a day and a time belong together."""

Span = tuple[int, int]


class Moments:
    """The days and times that stand in texts."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._days: set[date] = set()
        self._times: set[time] = set()
        self._both: set[tuple[date, time]] = set()
        for text in texts:
            self._read(text)

    def hold(self, value: str) -> bool:
        """Say whether a day, a time of day, or both, written as in ISO 8601, stand there in some notation.

        A day and a time belong together only where they stand side by side.
        """
        if clock := _CLOCK.fullmatch(value):
            return _time(*clock.groups()) in self._times
        if not (found := _VALUE.fullmatch(value)):
            return False
        day = _date(*found.groups()[:3])
        if day is None or found[4] is None:
            return day in self._days
        moment = _time(*found.groups()[3:])
        return moment is not None and (day, moment) in self._both

    def _read(self, text: str) -> None:
        text = _JOINT.sub(" ", text)
        days, times = list(_days(text)), list(_times(text))
        self._days |= {day for _, day in days}
        self._times |= {moment for _, moment in times}
        places = [begins for (begins, _), _ in times]
        for (day_begins, day_ends), day in days:
            near = slice(bisect(places, day_begins - _APART), bisect(places, day_ends + _APART))
            for (begins, ends), moment in times[near]:
                gap = text[day_ends:begins] if day_ends <= begins else text[ends:day_begins]
                if _BETWEEN.fullmatch(gap) and (day_ends <= begins or ends <= day_begins):
                    self._both.add((day, moment))


def _days(text: str) -> Iterator[tuple[Span, date]]:
    for form in _DAYS:
        for match in form.finditer(text):
            if (day := _day(match)) is not None:
                yield match.span(), day


def _day(match: re.Match[str]) -> date | None:
    found = match.groupdict()
    if "one" not in found:
        month = found["month"]
        number = month if month.isdigit() else str(_MONTHS.index(month[:3].lower()) + 1)
        return _date(found["year"], number, found["day"])
    readings = {
        _date(found["year"], found["one"], found["other"]),
        _date(found["year"], found["other"], found["one"]),
    } - {None}
    return readings.pop() if len(readings) == 1 else None  # 5/6 is a day in May or in June


def _times(text: str) -> Iterator[tuple[Span, time]]:
    for match in _TIME.finditer(text):
        moment = _moment(match)
        if moment is not None:
            yield match.span(), moment


def _moment(match: re.Match[str]) -> time | None:
    hour, half = int(match["hour"]), (match["half"] or "").lower()[:1]
    if not half:
        return _time(match["hour"], match["minute"], match["second"]) if match["minute"] else None
    if not 1 <= hour <= 12:
        return None
    return _time(str(hour % 12 + (12 if half == "p" else 0)), match["minute"], match["second"])


def _date(year: str, month: str, day: str) -> date | None:
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None


def _time(hour: str | None, minute: str | None, second: str | None) -> time | None:
    try:
        return time(int(hour or 0), int(minute or 0), int(second or 0))
    except ValueError:
        return None
