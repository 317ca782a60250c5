"""What the columns of the shipped examples are, so that a guided study runs on them without a choice."""

from collections.abc import Iterable
from typing import Any

EXAMPLE = "example:"
"""How a shipped example is named where a file's path could stand: 'example:pilot'."""

PRESETS: dict[str, dict[str, Any]] = {
    "pilot": {
        "question": "Did the pilot in general practices reduce emergency admissions?",
        "outcome": "admissions_per_1000",
        "unit": "practice",
        "time": "month",
        "treated": "pilot",
        "start": "2022-04",
        "measured_in": "emergency admissions per 1,000 people a month",
        "units_are": "organisations",
    },
    "organ_donations": {
        "question": "Did asking for an active choice change how many people register as organ donors?",
        "outcome": "Rate",
        "unit": "State",
        "time": "Quarter_Num",
        "treated": "california",
        "start": 4,
        "measured_in": "share of people registered",
        "units_are": "organisations",
    },
}


def known(source: object, fields: Iterable[str]) -> dict[str, Any]:
    """The values known for a source, of those that a design has; none unless the source is a shipped example.

    >>> known("example:pilot", ["unit", "time"])
    {'unit': 'practice', 'time': 'month'}
    >>> known("my_file.csv", ["unit"])
    {}
    """
    if not isinstance(source, str) or not source.startswith(EXAMPLE):
        return {}
    held = PRESETS.get(source.removeprefix(EXAMPLE), {})
    return {name: item for name, item in held.items() if name in set(fields)}
