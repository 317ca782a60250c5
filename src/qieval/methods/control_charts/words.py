"""What a chart says, in words: that something changed, never that it worked, and never why."""

from __future__ import annotations

from qieval.charts.compute import FEWEST, SKEWED, Chart
from qieval.charts.signals import Signal
from qieval.text import plural

NOT_WHY = "A chart says that something changed, not why."
MOST_SIGNALS = 3


def headline(chart: Chart) -> str:
    """The verdict on the whole chart in one or two sentences."""
    counted = int(chart.points.counted.sum())
    if not chart.enough:
        return (
            f"Too few points for rules ({counted}; at least {FEWEST} are needed): the chart shows the values"
            " without any verdict. It cannot say whether something changed."
        )
    if not chart.varies:
        return "No signal: all points have the same value, so there is no variation to judge."
    phases = len(chart.points.phases)
    if not chart.signals and phases > 1:
        return (
            f"No signal within any of the {phases} phases: the variation in each is what chance alone would"
            " give. The phases were declared; the chart does not test the difference between them."
        )
    if not chart.signals:
        return (
            "No signal: the variation is what chance alone would give. That is no proof that nothing changed;"
            " small or gradual changes need more points to be seen."
        )
    told = "; ".join(described(chart, signal) for signal in chart.signals[:MOST_SIGNALS])
    more = len(chart.signals) - MOST_SIGNALS
    rest = f"; and {plural(more, 'more signal')}" if more > 0 else ""
    return f"Something changed: {told}{rest}. {NOT_WHY}"


def described(chart: Chart, signal: Signal) -> str:
    """A signal with its time."""
    labels = chart.points.labels
    if signal.first == signal.last:
        return f"{signal.words}, {labels[signal.first]}"
    return f"{signal.words}, from {labels[signal.first]} to {labels[signal.last]}"


def rules_in_words(name: str, kind: str) -> str:
    """The rules of a design in words."""
    if kind == "mr":
        return "a point outside the limits (neighbouring moving ranges share a value, so runs mean nothing)"
    if kind in SKEWED and name != "Anhoej":
        return f"a point outside the limits (the other rules of {name} suppose points that are near normal)"
    if name == "Anhoej" and kind == "run":
        return "Anhoej: a run too long, or the median crossed too rarely"
    return _RULES[name]


_RULES = {
    "Anhoej": "a point outside the limits; Anhoej: a run too long, or the centre line crossed too rarely",
    "Making Data Count": (
        "Making Data Count: a point outside the limits, 7 in a row on one side of the mean, a trend of 7,"
        " 2 of 3 near a limit"
    ),
    "Western Electric": (
        "Western Electric: 1 point beyond 3 sigma, 2 of 3 beyond 2, 4 of 5 beyond 1, 8 in a row on one side"
    ),
    "Perla": "Perla: a shift of 6 points, a trend of 5, too few or too many runs",
}
