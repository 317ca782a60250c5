"""The words of a report on each track: an evaluation asks what an intervention did, a chart whether something
changed."""

from __future__ import annotations

from dataclasses import dataclass

from qieval.catalogue import method_of
from qieval.reports.gate import Findings

INTERVAL = (
    "A {level} interval is made so that, if the assumptions are true and the study were repeated many times,"
    " {level} of such intervals would hold the true effect. It allows for chance only. Bias from an"
    " assumption that fails is not in it."
)
P_VALUE = (
    "A p-value says how often chance alone would give a result at least this far from no effect. It does not"
    " say how likely the effect is, nor how large or how important."
)
NOTHING = (
    "An interval that includes zero does not show that there was no effect. Look at what it includes and"
    " leaves out."
)
SIGNAL = (
    "A point outside the limits, or a run that chance hardly makes, says that something changed. It does not"
    " say why, nor that the work of the team did it."
)
LIMITS = (
    "Limits are drawn from the measure itself so that about 99.7% of the points of a stable process lie"
    " between them. The more points and charts are looked at, the more signals chance makes."
)
WHY = (
    "To ask whether a change in care brought it about, use a method of evaluation with a comparison, such as"
    " a controlled interrupted time series."
)


@dataclass(frozen=True, kw_only=True)
class Words:
    """How a report speaks of what was found: the thing, the number it gives, its section, how to read it."""

    thing: str
    figure: str
    section: str
    blind: str
    reading: tuple[str, ...]


EVALUATION = Words(
    thing="estimate",
    figure="estimate",
    section="Estimate",
    blind="Made without looking at any outcome from the start on.",
    reading=(INTERVAL, P_VALUE, NOTHING),
)
IMPROVEMENT = Words(
    thing="chart",
    figure="centre line",
    section="The chart",
    blind="Made before the chart was drawn.",
    reading=(SIGNAL, LIMITS, WHY),
)


def words(findings: Findings) -> Words:
    """The words of the track of the result's method."""
    return IMPROVEMENT if method_of(findings.result.design).track == "improvement" else EVALUATION
