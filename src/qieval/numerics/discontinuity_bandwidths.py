"""Regression discontinuity, the choice of bandwidths: the mean-square-error and coverage-error rules.

Three steps (Calonico, Cattaneo and Titiunik 2014, section S.4; Calonico, Cattaneo and Farrell 2020): a
preliminary bandwidth c of Silverman's kind; with it the variances, and from wider fits the next derivative,
that is the bias, of the bandwidths d, then b, then h. Each is (V / (B^2 + regularise^2 R))^(1 / (2 o + 3))
with R three times the variance of the estimated bias, V, B and R of each side put together as the rule says:
"rd" for the difference of the sides, "sum" for their sum, "two" for each alone; comb1 takes the smaller of rd
and sum, comb2 the middle one of all three. The coverage-error rules shrink h by N^(-p / ((3 + p) (3 + 2 p))),
N the rows, or the clusters counted on each side.

Conventions, checked against rdrobust (R 4.0.0 to 1e-8 in h, Python 2.1.1). The widest pilot ends at the
farthest score and the least one at the tenth distinct score, which have then no weight under the triangular
and Epanechnikov kernels (as in R; Python widens both by sqrt(eps), which moves h by 1e-9 to 1e-4). The
regularisation enters twice, hence its square. Where uptake is constant on one side of a fuzzy design, the
bandwidth is that of its outcome alone; otherwise the outcome of a fuzzy pilot is linearised at the levels of
outcome and uptake on each side (not at the jumps), so that a fuzzy h moves when a constant is added to
either. The bias of h is that of the coefficient p + 1 whatever q is (as in R; Python takes coefficient q).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from qieval.errors import EstimationError
from qieval.numerics.discontinuity_adjust import adjust, ratio_gradient
from qieval.numerics.discontinuity_fit import Fit, covariance, fit
from qieval.numerics.discontinuity_rows import Local, Scored, Side, Sides, split
from qieval.numerics.two_way import Codes, Floats

SILVERMAN = {"triangular": 2.576, "epanechnikov": 2.34, "uniform": 1.843}
REPEATED = 0.2
"""Share of rows that repeat another row's score from which a side has mass points."""

KEEP = 10
"""Distinct scores a side kept in the pilots where there are mass points."""

FEWEST = 20
"""Rows below which no bandwidth is chosen."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Bandwidths:
    """h (2,) and b (2,), left and right, in units of the score; `rule` is "manual" where they were given.

    support (2,): distinct scores on each side; repeated (2,): the share of rows that repeat another row's
    score; mass_points: it is a fifth or more on a side.
    """

    h: Floats
    b: Floats
    rule: str
    support: Codes
    repeated: Floats
    mass_points: bool


def bandwidths(rows: Scored, local: Local) -> Bandwidths:
    """The bandwidths that `local` gives or its rule chooses.

    Raises EstimationError where the scores are too few for the pilot fits.
    """
    return choose(split(rows), local)


def choose(sides: Sides, local: Local) -> Bandwidths:
    """The same for rows already split."""
    if np.ptp([extreme(side.columns[:, 0]) for side in sides.both for extreme in (np.min, np.max)]) == 0:
        raise EstimationError("The outcome is the same for everybody, so there is nothing to estimate.")
    support = np.array([side.neighbours.values.size for side in sides.both])
    repeated = 1 - support / np.array([side.score.size for side in sides.both])
    mass = bool((repeated >= REPEATED).any())
    given = local.given()
    if given is None:
        h, b = _chosen(_Search(sides, local, mass), local.rule)
        if local.rho is not None:
            b = h / local.rho
    else:
        h, b = given
    rule = local.rule if given is None else "manual"
    return Bandwidths(h=h, b=b, rule=rule, support=support, repeated=repeated, mass_points=mass)


def _chosen(search: _Search, rule: str) -> tuple[Floats, Floats]:
    how = rule[3:]
    parts = {"comb1": ("rd", "sum"), "comb2": ("rd", "sum", "two")}.get(how, (how,))
    found = np.array([search.cascade(part) for part in parts])
    h, b = np.min(found, axis=0) if how == "comb1" else np.median(found, axis=0)
    if rule.startswith("cer"):
        p = search.local.p
        h = h * search.size() ** (-p / ((3 + p) * (3 + 2 * p)))
    return h, b


@dataclass(frozen=True)
class _Step:
    """One step: bandwidth for derivative `derivative` of a fit of `order`, its bias from a fit of `above`."""

    order: int
    derivative: int
    above: int
    regularise: float


class _Search:
    """The pilot fits of both sides and what the rules make of them."""

    def __init__(self, sides: Sides, local: Local, mass: bool) -> None:
        self.sides, self.local = sides, local
        rows = sum(side.score.size for side in sides.both)
        if rows < FEWEST:
            raise EstimationError(
                f"There are {rows} rows, too few to choose a bandwidth from the data (at least {FEWEST}): "
                "give the bandwidth h."
            )
        self.reach = np.array([side.distance[-1] for side in sides.both])
        kept = mass and local.mass_points == "adjust"
        self.floor = np.array([_tenth(side) if kept else 0.0 for side in sides.both])
        self.pilots = [_Pilot(side, self._first(rows), sides, local) for side in sides.both]

    def _first(self, rows: int) -> float:
        if self.local.mass_points == "adjust":
            rows = sum(side.neighbours.distinct(side.score.size) for side in self.sides.both)
        first = SILVERMAN[self.local.kernel] * self.sides.spread * rows ** (-1 / 5)
        if self.local.restrict:
            first = min(first, float(self.reach.max()))
        return max(float(first), float(self.floor.max()))

    def size(self) -> float:
        """Rows, or clusters on each side."""
        sides = self.sides.both
        if self.sides.clustered:
            return float(sum(side.groups(side.score.size) for side in sides))
        return float(sum(side.score.size for side in sides))

    def cascade(self, how: str) -> tuple[Floats, Floats]:
        """h (2,) and b (2,)."""
        p, q, weight = self.local.p, self.local.bias_order, self.local.regularise
        d = self._bandwidth(how, _Step(q + 1, q + 1, q + 2, 0.0), self.reach)
        d = np.maximum(d, self.floor if how == "two" else self.floor.max())
        b = self._bandwidth(how, _Step(q, p + 1, q + 1, weight), d)
        return self._bandwidth(how, _Step(p, self.local.deriv, q, weight), b), b

    def _bandwidth(self, how: str, step: _Step, wider: Floats) -> Floats:
        v, b, r = np.array([x.constants(step, w) for x, w in zip(self.pilots, wider, strict=True)]).T
        reach = self.reach
        if how != "two":
            bias = b[1] - b[0] if how == "rd" else b[0] + b[1]
            v, b, r, reach = v.sum(), bias, r.sum(), reach.max()
        with np.errstate(divide="ignore", invalid="ignore"):
            found = (v / (b**2 + step.regularise * r)) ** (1 / (2 * step.order + 3))
        if self.local.restrict:
            found = np.minimum(found, reach)
        if not np.all(np.isfinite(found) & (found > 0)):
            raise EstimationError(
                "No bandwidth can be chosen: the outcome hardly varies around a smooth curve near the "
                "cutoff. Give the bandwidth h."
            )
        return np.broadcast_to(found, 2)


def _tenth(side: Side) -> float:
    near = side.neighbours
    last = min(KEEP, near.values.size) - 1
    return float(side.distance[near.edges[last]])


class _Pilot:
    """The pilot fits of one side, all with the preliminary bandwidth for their variance."""

    def __init__(self, side: Side, bandwidth: float, sides: Sides, local: Local) -> None:
        self.side, self.width, self.local = side, bandwidth, local
        self.variance = local.spread(sides.clustered)
        self.targets, self.means = 1 + sides.fuzzy, sides.means
        self.fuzzy = sides.fuzzy and not sides.still and not local.sharp_bandwidth
        self.held: dict[tuple[int, int], tuple[float, float, Floats]] = {}

    def constants(self, step: _Step, wider: float) -> tuple[float, float, float]:
        """Variance V, bias B and regularisation R of a step, the bias from the rows within `wider`."""
        key = step.order, step.derivative
        if key not in self.held:
            self.held[key] = self._variance(step.order, step.derivative)
        variance, constant, combination = self.held[key]
        fitted = self._fit(step.above, wider)
        a = self.side.columns[: fitted.m] @ combination
        o, nu = step.order, step.derivative
        bias = math.sqrt(2 * (o + 1 - nu)) * constant * float(fitted.coefficients(a)[o + 1])
        spread = (2 * nu + 1) * self.width ** (2 * nu + 1) * variance
        if not step.regularise:
            return spread, bias, 0.0
        doubt = self._covariance(fitted, fitted.omega(o + 1), a)
        return spread, bias, step.regularise * 2 * (o + 1 - nu) * 3 * constant**2 * doubt

    def _variance(self, order: int, derivative: int) -> tuple[float, float, Floats]:
        fitted = self._fit(order, self.width)
        combination = self._combination(fitted, derivative)
        omega = fitted.omega(derivative)
        variance = self._covariance(fitted, omega, self.side.columns[: fitted.m] @ combination)
        u = self.side.sign * self.side.distance[: fitted.m] / self.width
        return variance, self.width**derivative * float(omega @ u ** (order + 1)), combination

    def _covariance(self, fitted: Fit, omega: Floats, a: Floats) -> float:
        return float(covariance(fitted, omega, a[:, None], self.variance, self.local.neighbours)[0, 0])

    def _combination(self, fitted: Fit, derivative: int) -> Floats:
        adjusted = adjust([fitted], self.targets).combination
        if not self.fuzzy:
            return np.asarray(adjusted[:, 0])
        values = fitted.coefficients(self.side.columns[: fitted.m] @ adjusted)[derivative]
        values = math.factorial(derivative) * values + (self.means @ adjusted if derivative == 0 else 0.0)
        if values[1] == 0:
            raise EstimationError(
                f"Uptake does not vary on the {self.side.name} within the first pilot bandwidth: give the "
                "bandwidth h, or choose it by the outcome alone."
            )
        return np.asarray(adjusted @ ratio_gradient(float(values[0]), float(values[1])))

    def _fit(self, order: int, bandwidth: float) -> Fit:
        found = self.side.neighbours.distinct(self.side.within(bandwidth, self.local.kernel))
        if found < order + 1:
            raise EstimationError(
                f"Different scores on the {self.side.name} of the cutoff within a pilot bandwidth of "
                f"{bandwidth:.4g}: {found}. At least {order + 1} are needed to choose a bandwidth from the "
                "data. Give the bandwidth h, or use a method for scores with few values."
            )
        return fit(self.side, order, bandwidth, self.local.kernel)
