"""Regression discontinuity: power, smallest effect that can be found, and sample size.

Cattaneo, Titiunik and Vazquez-Bare (2019): the variance of each side's estimate at the cutoff is taken to
scale as 1 / (N h^(1 + 2 v)), N being the size of the whole sample (or the number of clusters), h the
bandwidth and v the derivative. The numbers come from an estimate on data at hand, or from a pilot.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
import scipy

Pair = tuple[float, float]


@dataclass(frozen=True)
class Plan:
    """Another sample: bandwidths h, rows at hand within those bandwidths, and rows planned there.

    Pairs are (left, right). planned None: as many as at hand.
    """

    h: Pair
    n_window: Pair
    planned: Pair | None = None


@dataclass(frozen=True, kw_only=True)
class JumpVariance:
    """What an estimate says about its own precision; pairs are (left, right).

    variance: each side's variance of the robust bias-corrected estimate (their sum is the squared standard
    error); conventional the same without bias correction (None: as variance). bias is each side's estimated
    bias of the conventional jump, right minus left in sum. n: rows, or clusters, on each side in all;
    n_window: those within the bandwidth h. derivative: 0 for a jump, 1 for a kink; order: of the
    polynomial.
    """

    variance: Pair
    n: Pair
    n_window: Pair
    h: Pair
    conventional: Pair | None = None
    bias: Pair = (0.0, 0.0)
    derivative: int = 0
    order: int = 1

    def __post_init__(self) -> None:
        if min(*self.variance, *self.n_window, *self.h) <= 0:
            raise ValueError("variances, bandwidths and numbers within them must be positive on both sides")

    def constants(self, robust: bool = True) -> Pair:
        """N h^(1 + 2 v) times the variance, each side: what does not change with size or bandwidth."""
        of = self.variance if robust or self.conventional is None else self.conventional
        total = sum(self.n)
        power = 1 + 2 * self.derivative
        return total * self.h[0] ** power * of[0], total * self.h[1] ** power * of[1]

    def scale(self, h: Pair, robust: bool = True) -> float:
        """Standard error times the root of the sample size, at bandwidths h."""
        power = 1 + 2 * self.derivative
        left, right = self.constants(robust)
        return float(np.sqrt(left / h[0] ** power + right / h[1] ** power))

    def bias_at(self, h: Pair) -> float:
        """Bias of the conventional jump at bandwidths h."""
        power = 1 + self.order - self.derivative
        return sum(b * (new / old) ** power for b, new, old in zip(self.bias, h, self.h, strict=True))

    def sample_for(self, plan: Plan) -> float:
        """Size of the whole sample that has the planned rows within the bandwidth; each side is scaled."""
        sides = zip(self.n, plan.planned or plan.n_window, plan.n_window, strict=True)
        return sum(n * new / old for n, new, old in sides)

    @property
    def as_it_is(self) -> Plan:
        """The sample and bandwidths at hand."""
        return Plan(self.h, self.n_window)


@dataclass(frozen=True)
class DiscontinuityPower:
    """Chance to reject "no effect" when the effect is `effect`: robust, and conventional with its bias."""

    effect: float
    power: float
    std_error: float
    power_conventional: float
    std_error_conventional: float


@dataclass(frozen=True)
class DiscontinuitySize:
    """Sample size: n in all, n_window (left, right) of them within the bandwidth; rows or clusters.

    The same again for the conventional estimate and its bias.
    """

    n: int
    n_window: tuple[int, int]
    n_conventional: int
    n_window_conventional: tuple[int, int]


@dataclass(frozen=True)
class DetectableEffect:
    """Smallest positive effect found with the power asked for: robust, and conventional without its bias."""

    effect: float
    effect_conventional: float


def two_sided_power(shift: float, level: float = 0.95) -> float:
    """Chance that a standard normal statistic moved by shift exceeds the critical value of the level.

    >>> round(two_sided_power(0.0), 3), round(two_sided_power(2.8016), 3)
    (0.05, 0.8)
    """
    z = _critical(level)
    return float(scipy.special.ndtr(shift - z) + scipy.special.ndtr(-shift - z))


def shift_for_power(power: float, level: float = 0.95) -> float:
    """How many standard errors an effect must measure for this power (both tails counted).

    Raises ValueError unless 1 - level < power < 1.

    >>> round(shift_for_power(0.8), 4)
    2.8016
    """
    if not 0 < level < 1 or not 1 - level < power < 1:
        raise ValueError("power must lie between 1 - level and 1")
    from scipy.optimize import brentq

    top = _critical(level) + float(scipy.special.ndtri(power)) + 1.0
    return float(
        brentq(lambda shift: two_sided_power(shift, level) - power, 0.0, top, xtol=1e-14, rtol=1e-15)
    )


def discontinuity_power(
    known: JumpVariance,
    effect: float,
    level: float = 0.95,
    plan: Plan | None = None,
) -> DiscontinuityPower:
    """Power with the sample at hand, or with another planned. Agrees with rdpower."""
    plan = plan or known.as_it_is
    h, size = plan.h, known.sample_for(plan)
    robust, plain = (known.scale(h, kind) / np.sqrt(size) for kind in (True, False))
    return DiscontinuityPower(
        effect=effect,
        power=two_sided_power(effect / robust, level),
        std_error=float(robust),
        power_conventional=two_sided_power((effect + known.bias_at(h)) / plain, level),
        std_error_conventional=float(plain),
    )


def discontinuity_sample_size(
    known: JumpVariance,
    effect: float,
    power: float = 0.8,
    level: float = 0.95,
    plan: Plan | None = None,
    share_right: float | None = None,
) -> DiscontinuitySize:
    """Sample size for a power. Agrees with rdsampsi, given the same variances.

    Within the bandwidth share_right of the sample lies on the right; by default shares go with the square
    root of the variance constants, which is the cheapest split. n is turned into rows there by how many of
    each side's rows at hand lie within it. Nearest-neighbour variances depend on how ties are
    treated, which can change the size by one.
    """
    if effect == 0:
        raise ValueError("no sample is large enough for an effect of zero")
    plan = plan or known.as_it_is
    h = plan.h
    needed = shift_for_power(power, level)
    sizes = []
    for robust, target in ((True, effect), (False, effect + known.bias_at(h))):
        n = ceil((needed * known.scale(h, robust) / target) ** 2 * (1 - 1e-12))
        share = _share_right(known, robust) if share_right is None else share_right
        sizes.append((n, _within(known, n, plan, share)))
    return DiscontinuitySize(sizes[0][0], sizes[0][1], sizes[1][0], sizes[1][1])


def _share_right(known: JumpVariance, robust: bool) -> float:
    left, right = np.sqrt(known.constants(robust))
    return float(right / (left + right))


def _within(known: JumpVariance, n: int, plan: Plan, share: float) -> tuple[int, int]:
    """Rows (left, right) within the bandwidth when n in all are to have this share of those on the right."""
    at_hand = plan.n_window
    rows_per = share * known.n[1] / at_hand[1] + (1 - share) * known.n[0] / at_hand[0]
    return ceil(n / rows_per * (1 - share)), ceil(n / rows_per * share)


def detectable_effect(
    known: JumpVariance,
    power: float = 0.8,
    level: float = 0.95,
    plan: Plan | None = None,
) -> DetectableEffect:
    """Smallest detectable effect with the sample at hand, or with another planned.

    Agrees with rdmde, whose "se" is the standard error times the root of the sample size.
    """
    plan = plan or known.as_it_is
    h, root = plan.h, np.sqrt(known.sample_for(plan))
    needed = shift_for_power(power, level)
    return DetectableEffect(*(float(needed * known.scale(h, robust) / root) for robust in (True, False)))


def _critical(level: float) -> float:
    return float(scipy.special.ndtri((1 + level) / 2))
