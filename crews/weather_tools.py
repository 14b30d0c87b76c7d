"""What `weather.yaml` names: where forecasts come from, and how long a report may be."""

import csv
from pathlib import Path

from crewkit import ToolError

FORECASTS = Path(__file__).with_name("weather_data.csv")
LONGEST = 1_200
"""Characters of a report."""


def forecast(city: str) -> str:
    """Get the forecast for a city: sky, temperatures in degrees Celsius, rain in mm, wind in km/h."""
    with FORECASTS.open(encoding="utf-8", newline="") as file:
        rows = {row["city"].casefold(): row for row in csv.DictReader(file)}
    found = rows.get(city.strip().casefold())
    if found is None:
        raise ToolError(
            f"There is no forecast for {city}. There are: {', '.join(r['city'] for r in rows.values())}."
        )
    return (
        f"The forecast for {found['city']} is {found['sky']}, {found['low']} to {found['high']} degrees, "
        f"{found['rain']} mm of rain, wind of {found['wind']} km/h."
    )


def short(report: str) -> str | None:
    """Refuse a report that is too long."""
    return None if len(report) <= LONGEST else f"It has {len(report)} characters; write {LONGEST} at most."
