"""Honest intervals for a regression discontinuity: right whatever the curve, if it bends no more than stated.

Local linear regression on both sides; the interval is wide enough for the largest bias that a second
derivative of at most M allows, so it holds with few support points too and needs no bandwidth that
shrinks. Armstrong and Kolesar (2018, 2020); for discrete scores Kolesar and Rothe (2018). Only the
likely size of M has to be argued: the data can refute a small M (`smoothness_bound`) but never prove one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy
from numpy.typing import ArrayLike

from qieval.errors import EstimationError
from qieval.numerics.honest_bandwidth import Aim, BandwidthSearch, Criterion
from qieval.numerics.honest_critical import honest_critical_value, honest_largest_ratio, honest_p_value
from qieval.numerics.honest_fit import (
    Curvature,
    Kernel,
    LocalFit,
    Variance,
    covariate_effects,
    local_fit,
)
from qieval.numerics.honest_pilot import curvature_rule_of_thumb, pilot_noise
from qieval.numerics.honest_rows import HonestRows, Sides, split
from qieval.numerics.two_way import Floats

FEWEST = 5
"""Support points a side that the rule of thumb for the curvature needs."""

NONE = 1e-13
"""Standard errors and jumps below this share of the size of their parts are rounding."""

STEP = 0.125
"""Powers of ten between the bounds tried for the breakdown."""


@dataclass(frozen=True, kw_only=True)
class HonestOptions:
    """How to estimate.

    smoothness bounds the second derivative of the mean outcome in units of outcome / score^2 (in a fuzzy
    design a pair: outcome, uptake); None takes a rule of thumb from the data, which is not a bound. h is
    the bandwidth; None minimises `criterion`. initial_effect is a first guess of a fuzzy design's effect,
    for that bandwidth only. variance is not used with clusters. near_ties: treat scores that are equally far
    but for rounding as equally far among nearest neighbours (`Ties`). See `LocalFit` for curvature and
    variance, `Aim` for criterion and beta.
    """

    smoothness: float | tuple[float, float] | None = None
    curvature: Curvature = "hoelder"
    kernel: Kernel = "triangular"
    h: float | None = None
    criterion: Criterion = "mse"
    variance: Variance = "nn"
    neighbours: int = 3
    near_ties: bool = False
    level: float = 0.95
    beta: float = 0.8
    initial_effect: float = 0.0


@dataclass(frozen=True, eq=False, kw_only=True)
class Honest:
    """Estimate with honest interval. Sharp: jump of the mean outcome. Fuzzy: this over the jump of uptake.

    low, high: two-sided; low_one_sided, high_one_sided: each alone holds with the level. max_bias is the
    largest bias that the smoothness allows, critical_value what the standard error is multiplied by.
    smoothness is that of the estimate (fuzzy: (M outcome + |estimate| M uptake) / |jump of uptake|),
    smoothness_of (p,) that of outcome (and uptake); from_data if it came from the rule of thumb.
    jumps (p,) with covariance (p, p) are those of outcome (and uptake); unit_bias the largest bias of a
    jump per unit of second derivative. effective_rows: rows of a uniform window as precise. leverage:
    share of the most influential row in the sum of squared weights; above 0.1 normality is doubtful.
    points, n, each (left, right): support points and rows in the window.
    """

    estimate: float
    std_error: float
    max_bias: float
    critical_value: float
    low: float
    high: float
    low_one_sided: float
    high_one_sided: float
    p_value: float
    h: float
    smoothness: float
    smoothness_of: Floats
    from_data: bool
    jumps: Floats
    covariance: Floats
    unit_bias: float
    effective_rows: float
    leverage: float
    points: tuple[int, int]
    n: tuple[int, int]
    level: float

    @property
    def first_stage(self) -> float:
        """Jump of uptake; nan in a sharp design."""
        return float(self.jumps[1]) if self.jumps.size == 2 else float("nan")


def honest(rows: HonestRows, options: HonestOptions | None = None) -> Honest:
    """Jump at the cutoff (right minus left) with an interval that allows for curvature.

    EstimationError when a side holds fewer than two different scores in the window, when outcomes do not
    vary, when uptake does not jump, or when no smoothness is stated and the scores are too few for the
    rule of thumb. Equal to R RDHonest 1.0.1 on Head Start, drinking age, unemployment and fuzzy data, except
    that the bandwidth is the global minimum of the criterion.

    >>> age = np.repeat(np.arange(60.0, 70.0), 3)
    >>> cost = 5 + 0.1 * (age - 65) + 2 * (age >= 65) + np.tile([-0.5, 0.0, 0.5], 10)
    >>> found = honest(HonestRows(score=age, y=cost, cutoff=65), HonestOptions(smoothness=0.01))
    >>> round(found.estimate, 6), round(found.low, 2), round(found.high, 2)
    (2.0, 1.23, 2.77)
    """
    return _Study(rows, options or HonestOptions()).estimate()


def honest_over(
    rows: HonestRows, smoothness: ArrayLike, options: HonestOptions | None = None
) -> list[Honest]:
    """The estimate for each bound in `smoothness`, (m,) or, fuzzy, (m, 2): how conclusions depend on it.

    The bandwidth is chosen anew for each, unless the options fix it. The rows are sorted once.
    """
    study = _Study(rows, options or HonestOptions())
    grid = np.asarray(smoothness, dtype=np.float64)
    return [study.estimate(np.atleast_1d(bound)) for bound in grid]


def honest_breakdown(rows: HonestRows, options: HonestOptions | None = None) -> Floats:
    """The smoothness (p,) at which the interval first includes 0; zeros if it does so for a straight line.

    A bandwidth that the options fix gives it in closed form. Otherwise the bandwidth is that of each
    smoothness, and the smallest of a grid (8 for each power of ten) is made precise by bisection. In a
    fuzzy design both bounds grow together in the proportion of `smoothness` (or of the rule of thumb).
    """
    return _Study(rows, options or HonestOptions()).breakdown()


class _Study:
    """Sorted rows with options; the pilots and the sums for the bandwidth are made when first needed."""

    def __init__(self, rows: HonestRows, options: HonestOptions) -> None:
        self.options, self.sides = options, split(rows)
        if options.h is not None and not options.h > 0:
            raise ValueError("a bandwidth is above 0")

    @cached_property
    def pilot(self) -> Sides:
        """The rows without covariates; what these explain in a first fit is taken out of the outcomes."""
        plain = self.sides.with_covariates(kept=False)
        if not self.sides.both[0].covariates.shape[1]:
            return plain
        options = self.options
        first = None if options.h is None else options.h / self.sides.scale
        if first is None:
            few = min(side.first.size for side in plain.both) < FEWEST
            bound = self._stated() if few else curvature_rule_of_thumb(plain)
            first = self._bandwidth(self._searched(plain), bound)
        effects = covariate_effects(self.sides, first, options.kernel)
        left, right = (side.outcomes - side.covariates @ effects for side in self.sides.both)
        return plain.with_outcomes(left, right)

    @cached_property
    def search(self) -> BandwidthSearch:
        """The sums from which a bandwidth is chosen."""
        return self._searched(self.pilot)

    @cached_property
    def smoothness(self) -> Floats:
        """The bounds (p,) stated, or the rule of thumb."""
        return curvature_rule_of_thumb(self.pilot) if self.options.smoothness is None else self._stated()

    def estimate(self, smoothness: Floats | None = None) -> Honest:
        """The estimate at the bounds (p,) on the second derivatives, by default those of the options."""
        bound = self.smoothness if smoothness is None else self._checked(smoothness)
        options, sides = self.options, self.sides
        h = self._bandwidth(self.search, bound) if options.h is None else options.h / sides.scale
        fit = local_fit(sides, h, options.kernel)
        if fit is None:
            raise EstimationError(
                f"Within {h * sides.scale:g} of the cutoff one side has fewer than two different scores that "
                "count; a line needs two. Take a larger bandwidth."
            )
        return self._result(fit, h, bound, from_data=smoothness is None and options.smoothness is None)

    def _result(self, fit: LocalFit, h: float, bound: Floats, *, from_data: bool) -> Honest:
        options = self.options
        covariance = fit.covariance(options.variance, options.neighbours, near_ties=options.near_ties)
        estimate, std_error, curvature = _ratio(fit.jumps, covariance, bound)
        _check_noise(fit, std_error)
        unit_bias = fit.unit_bias(options.curvature)
        max_bias = curvature * unit_bias
        ratio = max_bias / std_error
        critical = float(honest_critical_value(ratio, options.level))
        one_sided = max_bias + float(scipy.special.ndtri(options.level)) * std_error
        flat = local_fit(self.sides, h, "uniform")
        assert flat is not None
        left, right = fit.both
        return Honest(
            estimate=estimate,
            std_error=std_error,
            max_bias=max_bias,
            critical_value=critical,
            low=estimate - critical * std_error,
            high=estimate + critical * std_error,
            low_one_sided=estimate - one_sided,
            high_one_sided=estimate + one_sided,
            p_value=float(honest_p_value(estimate / std_error, ratio)),
            h=h * self.sides.scale,
            smoothness=curvature,
            smoothness_of=bound,
            from_data=from_data,
            jumps=fit.jumps,
            covariance=covariance,
            unit_bias=unit_bias,
            effective_rows=fit.effective_rows(flat),
            leverage=fit.leverage(),
            points=(left.n_points, right.n_points),
            n=(left.n, right.n),
            level=options.level,
        )

    def breakdown(self) -> Floats:
        """See `honest_breakdown`."""
        direction = np.ones(1) if self.sides.n_outcomes == 1 else self.smoothness
        straight = self.estimate(0 * direction)
        alpha = 1 - self.options.level
        if straight.p_value >= alpha:
            return 0 * direction
        unit = self.estimate(direction) if self.options.h is not None else straight
        largest = honest_largest_ratio(unit.estimate / unit.std_error, self.options.level) * unit.std_error
        if self.options.h is not None:
            return np.asarray(direction * (largest / unit.max_bias if unit.max_bias > 0 else np.inf))
        per_factor = float(direction @ np.abs([1.0, unit.estimate][: direction.size]))
        per_factor /= abs(unit.first_stage) if direction.size > 1 else 1.0
        start = largest / (per_factor * unit.unit_bias)
        return np.asarray(direction * self._first_crossing(direction, start))

    def _first_crossing(self, direction: Floats, start: float) -> float:
        """The smallest factor of `direction` with a p-value above 1 - level, looked for around `start`."""

        def excess(log_factor: float) -> float:
            return self.estimate(np.exp(log_factor) * direction).p_value - (1 - self.options.level)

        steps = np.log(start) + np.log(10) * np.arange(-3, 12 + STEP, STEP)
        before = steps[0]
        if excess(before) >= 0:
            return 0.0
        for after in steps[1:]:
            if excess(after) >= 0:
                return float(np.exp(scipy.optimize.brentq(excess, before, after, xtol=1e-9)))
            before = after
        return np.inf

    def _searched(self, sides: Sides) -> BandwidthSearch:
        return BandwidthSearch(sides, pilot_noise(sides), self.options.kernel, self.options.curvature)

    def _bandwidth(self, search: BandwidthSearch, bound: Floats) -> float:
        options = self.options
        aim = Aim(criterion=options.criterion, level=options.level, beta=options.beta)
        effect = np.array([1.0, abs(options.initial_effect)])
        return search.best(float(bound @ effect[: bound.size]), aim)

    def _stated(self) -> Floats:
        if self.options.smoothness is None:
            return curvature_rule_of_thumb(self.sides)
        return self._checked(np.atleast_1d(np.asarray(self.options.smoothness, dtype=np.float64)))

    def _checked(self, bound: Floats) -> Floats:
        if bound.shape != (self.sides.n_outcomes,) or not np.all(np.isfinite(bound) & (bound >= 0)):
            raise ValueError(
                "smoothness is a number of at least 0 for the outcome and, if fuzzy, one for uptake"
            )
        return bound


def _ratio(jumps: Floats, covariance: Floats, bound: Floats) -> tuple[float, float, float]:
    """Estimate, standard error and bound on its second derivative: of the jump, or of the ratio of two."""
    if jumps.size == 1:
        return float(jumps[0]), float(np.sqrt(covariance[0, 0])), float(bound[0])
    size = abs(float(jumps[1]))
    if size <= NONE * np.sqrt(covariance[1, 1]) or size <= np.finfo(np.float64).eps:
        raise EstimationError(
            "Uptake does not jump at the cutoff: the effect of taking it up has no estimate."
        )
    estimate = float(jumps[0] / jumps[1])
    contrast = np.array([1.0, -estimate])
    variance = max(float(contrast @ covariance @ contrast), 0.0)
    curvature = (float(bound[0]) + abs(estimate) * float(bound[1])) / size
    return estimate, float(np.sqrt(variance)) / size, curvature


def _check_noise(fit: LocalFit, std_error: float) -> None:
    spread = max(float(np.max(np.abs(one.outcomes[:, 0]))) for one in fit.both)
    if not std_error > NONE * spread:
        raise EstimationError(
            "Outcomes near the cutoff do not vary around a straight line on either side, so nothing can be "
            "said about chance. Is the outcome the same for everybody?"
        )
