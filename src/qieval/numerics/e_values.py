"""E-values: how strong an unmeasured confounder would have to be to explain an estimate away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import scipy

Floats: TypeAlias = npt.NDArray[np.float64]

PER_DEVIATION = 0.91
"""Log risk ratio that a difference of one standard deviation stands for (Chinn 2000; VanderWeele 2017)."""
PER_ERROR = 1.78
"""0.91 times 1.96, rounded as in VanderWeele and Ding (2017, table 2): half a 95% interval in log ratios for
each standard error of a standardised difference."""


@dataclass(frozen=True)
class EValues:
    """E-values of a ratio and of the limit of its interval that lies nearer to the true value.

    ratio, low, high: on the scale of risk ratios (NaN where a limit was not given). limit: 1 when the
    interval holds the true value, NaN when the limit that matters was not given.
    """

    ratio: float
    low: float
    high: float
    point: float
    limit: float


def bias_factor(with_exposure: Any, with_outcome: Any) -> Floats:
    """The most by which a confounder can change a risk ratio, from its risk ratios with both (one or more).

    RR_UD RR_UY / (RR_UD + RR_UY - 1), Ding and VanderWeele (2016), equation 1. Both must be at least 1.

    >>> bias_factor([2.0, 5.0], [2.0, 4.0])
    array([1.33333333, 2.5       ])
    """
    exposure, outcome = np.asarray(with_exposure, dtype=float), np.asarray(with_outcome, dtype=float)
    found = exposure * outcome / (exposure + outcome - 1)
    return np.asarray(np.where((exposure >= 1) & (outcome >= 1), found, np.nan))


def e_value(ratio: Any, true: float = 1.0) -> Floats:
    """The E-value of risk ratios against a true risk ratio: B + sqrt(B (B - 1)), B = ratio / true or inverse.

    VanderWeele and Ding (2017), table 1; for a true ratio other than 1 their web appendix. NaN for ratios
    that are not positive.

    >>> e_value([3.9, 0.8, 1.0])
    array([7.26303434, 1.80901699, 1.        ])
    """
    ratio = np.asarray(ratio, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        away = np.maximum(ratio / true, true / ratio)
        found = away + np.sqrt(away * (away - 1))
    return np.asarray(np.where(ratio > 0, found, np.nan))


def e_values(ratio: float, low: float = np.nan, high: float = np.nan, true: float = 1.0) -> EValues:
    """The E-values of a risk ratio and its interval, against a true risk ratio.

    >>> found = e_values(0.80, 0.71, 0.91)
    >>> round(found.point, 6), round(found.limit, 6)
    (1.809017, 1.428571)
    """
    nearer = low if ratio > true else high
    crossed = low <= true if ratio > true else high >= true
    if ratio == true or crossed:
        limit = 1.0 if ratio != true or np.isfinite([low, high]).any() else np.nan
    else:
        limit = float(e_value(nearer, true))
    return EValues(ratio, low, high, float(e_value(ratio, true)), limit)


def from_common_odds_ratio(odds_ratio: Any) -> Floats:
    """The risk ratio that an odds ratio stands for when the outcome is common (over 15%): its square root.

    VanderWeele (2017, Biometrics). With a rare outcome the odds ratio itself is used.
    """
    return np.asarray(np.sqrt(np.asarray(odds_ratio, dtype=float)))


def from_common_hazard_ratio(hazard_ratio: Any) -> Floats:
    """The risk ratio that a hazard ratio stands for when the outcome is common by the end of follow-up.

    (1 - 0.5^sqrt(HR)) / (1 - 0.5^sqrt(1/HR)), VanderWeele and Ding (2017), table 2.

    >>> from_common_hazard_ratio([0.56, 1.0])
    array([0.67008395, 1.        ])
    """
    root = np.sqrt(np.asarray(hazard_ratio, dtype=float))
    with np.errstate(divide="ignore"):
        return np.asarray(np.expm1(-root * np.log(2)) / np.expm1(-np.log(2) / root))


def from_difference(difference: float, std_error: float = np.nan) -> tuple[float, float, float]:
    """The risk ratio, with the limits of its 95% interval, that a standardised mean difference stands for.

    exp(0.91 d) and exp(0.91 d -/+ 1.78 se), VanderWeele and Ding (2017), table 2: an approximation that
    assumes a roughly normal outcome. For a regression coefficient divide estimate and standard error by the
    standard deviation of the outcome (and multiply by the change of the exposure that is of interest).

    >>> [round(part, 6) for part in from_difference(0.5, 0.25)]
    [1.576173, 1.01005, 2.459603]
    """
    half = PER_ERROR * std_error
    middle = PER_DEVIATION * difference
    return float(np.exp(middle)), float(np.exp(middle - half)), float(np.exp(middle + half))


@dataclass(frozen=True)
class Risks:
    """The risks of an exposed and an unexposed group with their sizes; `share` of everybody is exposed."""

    exposed: float
    unexposed: float
    n_exposed: float
    n_unexposed: float

    @property
    def share(self) -> float:
        """The share of everybody who is exposed."""
        return self.n_exposed / (self.n_exposed + self.n_unexposed)

    def swapped(self) -> Risks:
        """The same table with the names of the groups exchanged."""
        return Risks(self.unexposed, self.exposed, self.n_unexposed, self.n_exposed)


@dataclass(frozen=True)
class DifferenceEValues:
    """E-values of a risk difference (point, limit), the interval and the bias factors behind them.

    point_bias explains the difference away, limit_bias just brings the interval to the true value (1 when it
    is there already).
    """

    difference: float
    low: float
    high: float
    point: float
    limit: float
    point_bias: float
    limit_bias: float


def risk_difference_e_values(risks: Risks, true: float = 0.0, level: float = 0.95) -> DifferenceEValues:
    """The E-values of a risk difference from a two-by-two table, against a true risk difference.

    Ding and VanderWeele (2016), page 376: a bias factor B leaves at least (p1 - p0 B)(f + (1 - f) / B). The
    limit's bias factor is solved for exactly; the R package EValue takes the next point of a grid of 0.0001
    above it. A difference below the true value is turned round by exchanging the groups. Infinite where the
    unexposed have no events and the true value is 0: no bias factor explains that away.
    """
    difference = risks.exposed - risks.unexposed
    half = -scipy.special.ndtri((1 - level) / 2) * np.sqrt(_variance(risks, 1.0))
    turned, target = (risks.swapped(), -true) if difference < true else (risks, true)
    point = _point_bias(turned, target)
    limit = _limit_bias(turned, target, point, level)
    return DifferenceEValues(
        difference,
        difference - half,
        difference + half,
        float(e_value(point)) if np.isfinite(point) else np.inf,
        float(e_value(limit)) if np.isfinite(limit) else np.inf,
        point,
        limit,
    )


def _variance(risks: Risks, bias: float) -> float:
    one = risks.exposed * (1 - risks.exposed) / risks.n_exposed
    return one + bias**2 * risks.unexposed * (1 - risks.unexposed) / risks.n_unexposed


def _left(risks: Risks, bias: float) -> float:
    return (risks.exposed - risks.unexposed * bias) * (risks.share + (1 - risks.share) / bias)


def _lower(risks: Risks, bias: float, z: float) -> float:
    """The lower limit of the difference that a bias factor leaves, with the share exposed estimated too."""
    f = risks.share
    weight = f + (1 - f) / bias
    gap = risks.exposed - risks.unexposed * bias
    of_share = f * (1 - f) / (risks.n_exposed + risks.n_unexposed)
    variance = _variance(risks, bias) * weight**2 + (gap * (1 - 1 / bias)) ** 2 * of_share
    return float(_left(risks, bias) - z * np.sqrt(variance))


def _point_bias(risks: Risks, true: float) -> float:
    f, p1, p0 = risks.share, risks.exposed, risks.unexposed
    linear = true + p0 * (1 - f) - p1 * f
    if p0 * f == 0:
        return p1 * (1 - f) / linear if linear > 0 else np.inf
    return float((np.sqrt(linear**2 + 4 * p1 * p0 * f * (1 - f)) - linear) / (2 * p0 * f))


def _limit_bias(risks: Risks, true: float, point: float, level: float) -> float:
    z = float(-scipy.special.ndtri((1 - level) / 2))
    if _lower(risks, 1.0, z) <= true:
        return 1.0
    highest = point
    if not np.isfinite(point):
        highest = 2.0
        while _lower(risks, highest, z) > true:
            highest *= 2
            if highest > 1e12:
                return np.inf
    return float(scipy.optimize.brentq(lambda bias: _lower(risks, bias, z) - true, 1.0, highest, xtol=1e-14))
