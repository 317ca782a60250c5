"""The names of what improvement charts take for granted, as the ledger and the checks use them."""

from __future__ import annotations

ENOUGH_POINTS = "enough points"
STABLE_BASELINE = "the baseline is stable"
INDEPENDENT = "points are independent"
DISTRIBUTION = "the chart fits the data"
REBASING = "lines are moved at declared dates only"
FALSE_ALARMS = "signals are rarer than chance makes them"
SUBGROUPS_RATIONAL = "subgroups are rational"
SAME_DEFINITION = "one kind of data, defined in one way"
NOT_WHY = "a signal does not say why"
