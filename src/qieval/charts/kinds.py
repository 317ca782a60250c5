"""The kinds of charts: what each draws, and what its data must be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

CHOSEN = "chosen from the data"
PROPORTIONS = ("p", "p'")
RATES = ("u", "u'")
COUNTS = (*PROPORTIONS, *RATES, "c")
SUBGROUPS = ("xbar", "s")
INTERVALS = ("g", "t")
MOVING_RANGES = ("i", "mr")
KINDS = ("i", "mr", "xbar", "s", "p", "p'", "u", "u'", "c", "g", "t")


@dataclass(frozen=True)
class Kind:
    """A kind of chart in words: its title, what a point is, and the data that it is for."""

    title: str
    point: str
    suits: str


ABOUT: Mapping[str, Kind] = {
    "run": Kind("Run chart", "value", "any measure; the median is the centre line"),
    "i": Kind("I chart", "single measurement", "one measurement a period (X in XmR)"),
    "mr": Kind("MR chart", "moving range", "the change from one measurement to the next"),
    "xbar": Kind("X-bar chart", "mean of a subgroup", "several measurements a period: their means"),
    "s": Kind("S chart", "standard deviation of a subgroup", "several measurements a period: their spread"),
    "p": Kind("P chart", "proportion", "how many of a number of people or things"),
    "p'": Kind("P' chart", "proportion", "proportions of thousands that vary more than chance (Laney)"),
    "u": Kind("U chart", "rate", "events per exposure, such as falls per 1,000 bed days"),
    "u'": Kind("U' chart", "rate", "rates over large exposures that vary more than chance (Laney)"),
    "c": Kind("C chart", "count", "counts of events over equal exposures"),
    "g": Kind("G chart", "cases or days between events", "rare events: whole numbers between them"),
    "t": Kind("T chart", "time between events", "rare events: time between them, measured finely"),
}
