"""What other analysts might have chosen around a cutoff, with an instrument, or for one group before and
after; as values of fields."""

import math
from typing import Any

import qieval as qe

Values = tuple[Any, ...]
Found = dict[str, tuple[Values, bool]]
"""The values of a field, and whether they are worth estimating without being asked."""

TIMES = (0.5, 0.75, 1.5, 2.0)
"""Bandwidths that are tried, in bandwidths of the design."""
LEFT_OUT = (0.05, 0.1, 0.2)
"""Donuts that are tried, in bandwidths of the design."""
KERNELS = ("triangular", "epanechnikov", "uniform")
RULES = ("mserd", "msetwo", "cerrd")
ESTIMATORS = ("2SLS", "LIML", "Fuller", "GMM")
INTERVALS = ("Anderson-Rubin", "Wald", "tF")
SHARES = (0.25, 0.5)
"""Shares of the change that may have come about anyway."""
REGRESSIONS = ("g-computation", "weighting", "doubly robust", "TMLE")
MOST_COVARIATES = 12
ESTIMANDS = ("ATE", "ATT", "ATC")


def by_a_regression(design: qe.RegressionAdjustment) -> Found:
    """Other estimators, slopes that are the same in both groups, and other people asked about."""
    free = design.inference == "automatic" and not design.effect_at
    estimators = tuple(item for item in REGRESSIONS if item != "TMLE" or not design.person_time)
    slopes = () if design.interacted_with else _others(design, "treatment_interactions", ("yes", "no"))
    return {
        "estimator": (_others(design, "estimator", estimators) if free else (), True),
        "treatment_interactions": (slopes, True),
        "estimand": (_others(design, "estimand", ESTIMANDS), False),
        "covariates": (fewer(design.covariates), False),
    }


def fewer(covariates: Values) -> Values:
    """Without each covariate in turn, where there are a few."""
    if not 1 < len(covariates) <= MOST_COVARIATES:
        return ()
    return tuple(tuple(item for item in covariates if item != gone) for gone in covariates)


def at_a_cutoff(design: qe.RegressionDiscontinuity, result: qe.Result | None) -> Found:
    """Other bandwidths, donuts, orders, kernels, rules and intervals, and no covariates."""
    h = _bandwidth(design, result)[: 1 if design.inference == "honest" else 2]
    found: Found = {
        "bandwidth": (tuple(tuple(_short(by * side) for side in h) for by in TIMES) if h else (), True),
        "donut": (tuple(_short(by * min(h)) for by in LEFT_OUT) if h else (), True),
        "order": (_orders(design), True),
        "kernel": (_others(design, "kernel", KERNELS), True),
        "bandwidth_rule": (() if design.bandwidth else _others(design, "bandwidth_rule", RULES), False),
        "inference": (_intervals(design), False),
    }
    if design.covariates:
        found["covariates"] = (((),), False)
    return found


def with_an_instrument(design: qe.InstrumentalVariables, result: qe.Result | None) -> Found:
    """Other estimators and intervals, fewer instruments, and no covariates."""
    linear = design.estimator in ESTIMATORS
    several = len(design.instruments) > 1
    estimators = tuple(item for item in ESTIMATORS if item != "GMM" or design.variance == "robust")
    shown: Any = {} if result is None else result.facts
    intervals = tuple(
        item
        for item in INTERVALS
        if (item != "tF" or (not several and design.level == 0.95))
        and not str(shown.get("interval", "")).startswith(item)
    )
    found: Found = {
        "estimator": (_others(design, "estimator", estimators) if linear else (), several),
        "interval": (_others(design, "interval", intervals) if linear else (), True),
    }
    if several:
        found["instruments"] = (tuple((name,) for name in design.instruments), True)
    if design.covariates:
        found["covariates"] = (((),), True)
    return found


def of_a_change(design: qe.BeforeAfter, result: qe.Result | None) -> Found:
    """Other changes that would have come about anyway: shares of the one that was seen."""
    if result is None or result.estimates is None:
        return {}
    table = result.estimates.set_index("term")["estimate"]
    seen = float(table.get("change", math.nan))
    if not math.isfinite(seen) or not seen:
        return {}
    return {"expected_change": (tuple(_short(share * seen) for share in SHARES), True)}


def _bandwidth(design: Any, result: qe.Result | None) -> tuple[float, ...]:
    """The bandwidth of the design, one number or left and right; empty where it is not known."""
    if design.bandwidth:
        return tuple(float(item) for item in design.bandwidth)
    if result is None:
        return ()
    facts: Any = result.facts
    near, far = (float(facts[f"bandwidth on the {side} side"]) for side in ("treated", "other"))
    if near == far:
        return (near,)
    return (far, near) if design.treated_side in ("at or above", "above") else (near, far)


def _orders(design: Any) -> Values:
    """Other orders that the rest of the design allows."""
    if design.inference == "honest":
        return ()
    fewest = design.derivative or 0
    most = design.bias_order - 1 if design.bias_order else 2
    return tuple(order for order in (0, 1, 2) if fewest <= order <= most and order != design.order)


def _intervals(design: Any) -> Values:
    if design.derivative or design.order != 1 or len(design.bandwidth) > 1:
        return ()
    return _others(design, "inference", ("robust", "honest"))


def _others(design: qe.Design, name: str, values: Values) -> Values:
    return tuple(item for item in values if item != getattr(design, name))


def _short(value: float) -> float:
    return float(f"{value:.3g}")
