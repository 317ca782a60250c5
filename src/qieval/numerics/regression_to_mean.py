"""Regression to the mean: the change to expect in people chosen for an extreme first measurement.

Gardner and Heady (1973), James (1973), Barnett, van der Pols and Dobson (2005): of people chosen because a
measurement lay beyond a threshold, part of the excess is chance and will be gone next time, whatever is done.
Nothing here knows of trends in the whole population or of a reliability that differs between people.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy

from qieval.numerics.two_way import Floats, Mask

Side = Literal["above", "below"]


@dataclass(frozen=True)
class Regression:
    """The change expected without any effect, second minus first: below zero if people were chosen as high.

    first and second are the means expected at the two times; share is the part of the population
    chosen. std_error is that of the change, NaN if nothing was said about how well the inputs are known.
    """

    change: float
    std_error: float
    first: float
    second: float
    share: float


@dataclass(frozen=True, eq=False, kw_only=True)
class Population:
    """Measurements in everybody: mean, standard deviation, and reliability.

    sd is that of one measurement; reliability the correlation of two measurements of the same person without
    treatment, 0 to 1. covariance (3, 3) of (mean, sd, reliability) says how well they are known, None if
    taken as known exactly.
    """

    mean: float
    sd: float
    reliability: float
    covariance: Floats | None = None

    def __post_init__(self) -> None:
        if not self.sd > 0 or not -1 <= self.reliability <= 1:
            raise ValueError("the standard deviation must be positive and the reliability a correlation")


def expected_regression(
    population: Population, threshold: float, side: Side = "above", measurements: int = 1
) -> Regression:
    """Normal population: change to expect of those whose (mean) first measurement lies beyond the threshold.

    change = -(1 - r) s phi(a) / (1 - Phi(a)), a = (threshold - mean) / s, with s and r those of the mean of
    `measurements` first ones: s^2 = sd^2 (reliability + (1 - reliability) / measurements) and r = reliability
    sd^2 / s^2 (Gardner and Heady 1973). The second value may be one measurement or more: its
    expectation is the same. The error is by the delta method.

    >>> people = Population(mean=140.0, sd=20.0, reliability=0.7)
    >>> found = expected_regression(people, threshold=160.0)
    >>> round(found.first, 2), round(found.second, 2), round(found.change, 2), round(found.share, 4)
    (170.5, 161.35, -9.15, 0.1587)
    """
    if measurements < 1:
        raise ValueError("at least one measurement is needed to choose people by")
    inputs = np.array([population.mean, population.sd, population.reliability])
    first, second, share = _normal(inputs, threshold, side, measurements)
    error = np.nan
    if population.covariance is not None:
        gradient = _normal_gradient(inputs, threshold, side, measurements)
        error = float(np.sqrt(gradient @ population.covariance @ gradient))
    return Regression(second - first, error, first, second, share)


def _normal(inputs: Floats, threshold: float, side: Side, measurements: int) -> tuple[float, float, float]:
    """Means at the first and second time of those chosen, and their share."""
    mean, sd, reliability = inputs
    between = reliability + (1 - reliability) / measurements
    spread = sd * np.sqrt(between)
    sign = 1.0 if side == "above" else -1.0
    a = sign * (threshold - mean) / spread
    excess = sign * spread * _mills(a)
    return (
        float(mean + excess),
        float(mean + reliability / between * excess),
        float(scipy.special.ndtr(-a)),
    )


def _mills(a: float) -> float:
    """phi(a) / (1 - Phi(a)), also far out."""
    return float(np.sqrt(2 / np.pi) / scipy.special.erfcx(a / np.sqrt(2)))


def _normal_gradient(inputs: Floats, threshold: float, side: Side, measurements: int) -> Floats:
    """Derivatives (3,) of the change by central differences, in steps of the inputs' own size."""
    out = np.empty(3)
    for j, unit in enumerate((inputs[1], inputs[1], 1.0)):
        step = 1e-5 * unit
        up, down = inputs.copy(), inputs.copy()
        up[j], down[j] = up[j] + step, down[j] - step
        high, low = (_normal(x, threshold, side, measurements) for x in (up, down))
        out[j] = ((high[1] - high[0]) - (low[1] - low[0])) / (2 * step)
    return out


def population_of(
    first: Floats, pairs: tuple[Floats, Floats] | None = None, reliability: float = np.nan
) -> Population:
    """Mean, sd and reliability from everybody's first measurements (n,), not only those of people chosen.

    pairs are two measurements (m,), (m,) of the same people without treatment between them, which give the
    reliability; otherwise state it. Errors are robust to a distribution that is not normal; those of the
    pairs count as independent of those of the first measurements (the pairs are usually a small part or
    others).
    """
    mean, sd = float(first.mean()), float(first.std(ddof=1))
    n = first.size
    covariance = np.zeros((3, 3))
    influence = np.column_stack([first - mean, ((first - mean) ** 2 - sd**2) / (2 * sd)])
    covariance[:2, :2] = influence.T @ influence / n**2
    if pairs is not None:
        one, two = ((x - x.mean()) / x.std() for x in pairs)
        reliability = float(np.mean(one * two))
        score = one * two - reliability * (one**2 + two**2) / 2
        covariance[2, 2] = float(np.mean(score**2)) / score.size
    return Population(mean=mean, sd=sd, reliability=reliability, covariance=covariance)


def regression_of_chosen(chosen: Floats, population: Population, measurements: int = 1) -> Regression:
    """Change expected in the very people chosen, from their first measurements (m,), without normality.

    Each person is expected to keep the share r of the distance from the population's mean, which asks
    only that the second measurement is linear in the first. share is NaN. The error leaves out chance in
    who was chosen.
    """
    between = population.reliability + (1 - population.reliability) / measurements
    kept = population.reliability / between
    first = float(np.mean(chosen))
    change = -(1 - kept) * (first - population.mean)
    error = np.nan
    if population.covariance is not None:
        # d kept / d reliability = (1 / measurements) / between^2
        slope = (first - population.mean) / measurements / between**2
        gradient = np.array([1 - kept, 0.0, slope])
        error = float(np.sqrt(gradient @ population.covariance @ gradient))
    return Regression(change, error, first, first + change, np.nan)


@dataclass(frozen=True)
class SeparatedEffect:
    """A change taken apart: change = effect + regression, second minus first.

    effect is the departure of the second measurement, at a first one equal to the population's mean, from
    that mean; std_error, t, df and p_value belong to it. slope is the share of a distance from the mean
    that persists.
    """

    change: float
    effect: float
    std_error: float
    t: float
    df: int
    p_value: float
    low: float
    high: float
    regression: float
    slope: float


def separated_effect(
    first: Floats, second: Floats, mean: float, mean_error: float = 0.0, level: float = 0.95
) -> SeparatedEffect:
    """Test of an effect beside regression to the mean, from chosen people alone (Mee and Chua 1991).

    first, second (n,) of the same people; mean is the population's, known from elsewhere with standard error
    mean_error. The second is regressed on first minus mean: without an effect its intercept is the mean.
    Asks for a linear relation, an effect that is the same for all, and errors of equal variance. The mean
    is carried far: an error of it by one moves the effect by 1 - slope. Raises ValueError with fewer than
    three people or equal first measurements.

    >>> found = separated_effect(np.array([6.0, 7.0, 8.0, 9.0]), np.array([5.0, 5.5, 6.5, 6.8]), mean=5.0)
    >>> round(found.slope, 3), round(found.effect, 3), round(found.regression, 3), round(found.change, 3)
    (0.64, -0.65, -0.9, -1.55)
    """
    n = first.size
    centred = first - first.mean()
    if n < 3 or not np.any(np.abs(centred) > 1e-12 * np.abs(first).max(initial=0.0)):
        raise ValueError("three people or more with different first measurements are needed")
    squares = float(centred @ centred)
    slope = float(centred @ second / squares)
    away = float(first.mean() - mean)
    effect = float(second.mean() - mean - slope * away)
    residual = second - second.mean() - slope * centred
    variance = float(residual @ residual) / (n - 2) * (1 / n + away**2 / squares)
    error = float(np.sqrt(variance + ((1 - slope) * mean_error) ** 2))
    t = effect / error if error > 0 else np.nan
    reach = float(scipy.special.stdtrit(n - 2, (1 + level) / 2)) * error
    return SeparatedEffect(
        change=float(second.mean() - first.mean()),
        effect=effect,
        std_error=error,
        t=t,
        df=n - 2,
        p_value=float(2 * scipy.special.stdtr(n - 2, -abs(t))),
        low=effect - reach,
        high=effect + reach,
        regression=-(1 - slope) * away,
        slope=slope,
    )


def chosen_mask(first: Floats, threshold: float, side: Side = "above") -> Mask:
    """Who is chosen: at the threshold or beyond it."""
    return np.asarray(first >= threshold if side == "above" else first <= threshold)
