"""What other analysts might have chosen for a roll-out, as values of fields."""

from typing import Any

import qieval as qe

Values = tuple[Any, ...]
Found = dict[str, tuple[Values, bool]]
"""The values of a field, and whether they are worth estimating without being asked."""

APPROACHES = ("group-time", "interaction-weighted", "imputation", "stacked", "two-way")
COUNTED = ("poisson", "poisson two-way")
FOLLOWED = ("interaction-weighted", "imputation", "stacked", "two-way")
"""Approaches that need units that are followed over time."""
WEIGHTED = ("group-time",)
"""Approaches that have a choice of how covariates are used."""
AGGREGATIONS = ("group", "simple", "dynamic", "calendar")
ESTIMATORS = ("doubly robust", "ipw", "regression")
EARLIER = 2
"""Periods before the start that may have been affected."""
OWN_INTERVALS = ("multiplier bootstrap", "wild cluster bootstrap", "randomisation")
"""Intervals that not every approach can have."""


def of_a_roll_out(design: qe.StaggeredAdoption, periods: list[Any]) -> Found:
    """Other approaches, comparisons and averages, earlier starts of the effect, shorter windows.

    Choices that contradict the rest of the design, or change nothing in it, are left out. periods: those of
    the data in order.
    """
    by_cell = design.approach not in ("stacked", "two-way", "poisson two-way")
    ways = _others(design, "approach", _approaches(design))
    used = design.covariates and design.approach in WEIGHTED
    early = tuple(design.anticipation + more for more in range(1, EARLIER + 1))
    sixth = len(periods) // 6
    return {
        "approach": (ways, True),
        "control_group": (_others(design, "control_group", ("never", "not yet")), True),
        "estimator": (_others(design, "estimator", ESTIMATORS) if used else (), True),
        "covariates": (((),) if design.covariates else (), True),
        "anticipation": (early, True),
        "aggregation": (_others(design, "aggregation", AGGREGATIONS) if by_cell else (), True),
        "base_period": (_others(design, "base_period", ("varying", "universal")), False),
        "unbalanced": (_others(design, "unbalanced", _rules(design)), False),
        "last_period": ((periods[-1 - sixth], periods[-1 - 2 * sixth]) if sixth else (), False),
    }


def _approaches(design: qe.StaggeredAdoption) -> Values:
    """The approaches that the rest of the design allows."""
    if design.inference in OWN_INTERVALS or design.eligible is not None:
        return ()
    if design.exposure is not None:
        return COUNTED
    crossed = design.data != "panel" or design.unbalanced == "cross-sections"
    return () if crossed else APPROACHES


def _rules(design: qe.StaggeredAdoption) -> Values:
    """What can be done with units that lack periods."""
    if design.data != "panel":
        return ()
    free = design.approach in ("group-time", "poisson") and design.eligible is None
    return ("pairs", "drop", "cross-sections") if free else ("pairs", "drop")


def _others(design: qe.Design, name: str, values: Values) -> Values:
    return tuple(item for item in values if item != getattr(design, name))
