"""Regression discontinuity, the rows: what is asked, and each side in the order of distance to the cutoff.

With that order every window around the cutoff is the first m rows of a side, so that one sort serves all the
pilot fits, the neighbours and the final fit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from qieval.errors import EstimationError
from qieval.numerics.discontinuity_neighbours import Neighbours
from qieval.numerics.two_way import Codes, Floats, Mask

KERNELS = ("triangular", "epanechnikov", "uniform")
RULES = tuple(f"{aim}{how}" for aim in ("mse", "cer") for how in ("rd", "two", "sum", "comb1", "comb2"))
WITHOUT_CLUSTERS = ("nn", "hc0", "hc1", "hc2", "hc3")
WITH_CLUSTERS = ("cr1", "cr2", "cr3")
MASS_POINTS = ("adjust", "check", "off")
NAMES = ("left", "right")
DENSE_CODES = 4
"""Cluster codes below this multiple of the rows are used as they are; sparser ones are numbered afresh."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Scored:
    """One row per person or place; all arrays (n,) and finite, covariates (n, k), weights above zero.

    A row is on the right when score >= cutoff. uptake (who was treated, or a dose) makes the design fuzzy.
    clusters are integer codes.
    """

    score: Floats
    y: Floats
    cutoff: float = 0.0
    uptake: Floats | None = None
    covariates: Floats | None = None
    weights: Floats | None = None
    clusters: Codes | None = None


@dataclass(frozen=True, kw_only=True)
class Local:
    """How the local polynomials are fitted.

    p, q: orders of the estimate and of its bias correction (None: p + 1). deriv: 0 for a jump, 1 for a kink.
    h, b: bandwidths for estimate and bias, one number or (left, right); None lets `rule` choose. rho sets
    b = h / rho; with h alone b = h. variance: "nn" (with `neighbours` neighbours), hc0 to hc3, or with
    clusters cr1 to cr3; nn, hc0 and hc1 stand for cr1 where there are clusters, hc2 for cr2, hc3 for cr3, and
    the other way round without clusters. mass_points: "adjust" counts distinct scores, not rows, in the first
    pilot bandwidth and, where a fifth of a side's rows repeats a score, keeps 10 distinct scores a side in
    the pilots; "check" and "off" do neither. restrict keeps bandwidths within the data; regularise is the
    weight of the variance of the estimated bias (0: none); sharp_bandwidth chooses the bandwidth of a fuzzy
    design by its outcome alone. level: of the intervals, as 0.95.
    """

    p: int = 1
    q: int | None = None
    deriv: int = 0
    kernel: str = "triangular"
    rule: str = "mserd"
    h: float | tuple[float, float] | None = None
    b: float | tuple[float, float] | None = None
    rho: float | None = None
    variance: str = "nn"
    neighbours: int = 3
    mass_points: str = "adjust"
    restrict: bool = True
    regularise: float = 1.0
    sharp_bandwidth: bool = False
    level: float = 0.95

    def __post_init__(self) -> None:
        _known("kernel", self.kernel, KERNELS)
        _known("rule", self.rule, RULES)
        _known("variance", self.variance, WITHOUT_CLUSTERS + WITH_CLUSTERS)
        _known("mass_points", self.mass_points, MASS_POINTS)
        if not 0 <= self.deriv <= self.p < self.bias_order:
            raise ValueError("the orders must satisfy 0 <= deriv <= p < q")
        if not 0 < self.level < 1:
            raise ValueError("level must lie between 0 and 1")
        if self.neighbours < 1 or self.regularise < 0:
            raise ValueError("neighbours must be at least 1 and regularise at least 0")
        if self.b is not None and self.h is None:
            raise ValueError("b needs h: a bandwidth for the bias alone cannot be used")
        if not all(0 < width < np.inf for width in (*_pair(self.h), *_pair(self.b), self.rho or 1.0)):
            raise ValueError("h, b and rho must be positive and finite")

    @property
    def bias_order(self) -> int:
        """The order q of the bias correction."""
        return self.p + 1 if self.q is None else self.q

    def given(self) -> tuple[Floats, Floats] | None:
        """The bandwidths h (2,) and b (2,) as given, or None where they are to be chosen."""
        if self.h is None:
            return None
        h = np.array(_pair(self.h))
        if self.rho is not None:
            return h, h / self.rho
        return h, h if self.b is None else np.array(_pair(self.b))

    def spread(self, clustered: bool) -> str:
        """The variance that is used, given whether there are clusters."""
        if clustered:
            return {"nn": "cr1", "hc0": "cr1", "hc1": "cr1", "hc2": "cr2", "hc3": "cr3"}.get(
                self.variance, self.variance
            )
        return self.variance.replace("cr", "hc")


def _pair(width: float | tuple[float, float] | None) -> tuple[float, ...]:
    if width is None:
        return ()
    left, right = np.broadcast_to(np.asarray(width, dtype=np.float64), 2)
    return float(left), float(right)


def _known(what: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{what} must be one of {', '.join(allowed)}, not {value!r}")


@dataclass(frozen=True, eq=False)
class Side:
    """The rows of one side, nearest to the cutoff first.

    columns (n, 1 + t + k): outcome, uptake (t = 1 in a fuzzy design), covariates, all less their means.
    places (n,) are the rows' places in the arrays that were handed in.
    """

    sign: float
    score: Floats
    distance: Floats
    columns: Floats
    places: Codes
    weights: Floats | None = None
    clusters: Codes | None = None

    @property
    def name(self) -> str:
        """left or right."""
        return NAMES[int(self.sign > 0)]

    @cached_property
    def neighbours(self) -> Neighbours:
        """Distinct scores, and the nearest rows of every row."""
        return Neighbours(self.score)

    def within(self, bandwidth: float, kernel: str) -> int:
        """How many rows have a positive kernel weight; the uniform kernel reaches the bandwidth itself."""
        if kernel == "uniform":
            return int(np.searchsorted(self.distance, bandwidth, "right"))
        return int(np.searchsorted(self.distance, bandwidth, "left"))

    def groups(self, m: int) -> int:
        """Clusters among the first m rows."""
        return 0 if self.clusters is None else int(np.count_nonzero(np.bincount(self.clusters[:m])))


@dataclass(frozen=True, eq=False)
class Sides:
    """Both sides, with what is common to them.

    means (1 + t + k,) were taken off the columns; spread is the smaller of the standard deviation and the
    scaled interquartile range of the score; still (t = 1) tells that uptake is constant on a side.
    """

    left: Side
    right: Side
    means: Floats
    spread: float
    fuzzy: bool
    still: bool

    @property
    def both(self) -> tuple[Side, Side]:
        """Left and right."""
        return self.left, self.right

    @property
    def clustered(self) -> bool:
        """Whether there are clusters."""
        return self.left.clusters is not None

    def with_outcome(self, y: Floats) -> Sides:
        """The same rows with another outcome (n,): the order and the neighbours are kept."""
        mean = float(y.mean())
        sides = [_with_outcome(side, y, mean) for side in self.both]
        means = np.concatenate([[mean], self.means[1:]])
        return replace(self, left=sides[0], right=sides[1], means=means)


def _with_outcome(side: Side, y: Floats, mean: float) -> Side:
    columns = side.columns.copy()
    columns[:, 0] = y[side.places] - mean
    other = replace(side, columns=columns)
    other.__dict__["neighbours"] = side.neighbours  # the scores are the same, and so are their neighbours
    return other


def split(rows: Scored) -> Sides:
    """Sort the rows once and part them at the cutoff.

    Raises EstimationError where a side is empty, or uptake neither varies nor jumps.
    """
    order = np.argsort(rows.score)
    score = rows.score[order]
    first = int(np.searchsorted(score, rows.cutoff))
    if not 0 < first < score.size or score[-1] == rows.cutoff:
        side = "below" if first == 0 else "above"
        raise EstimationError(f"Nobody has a score {side} the cutoff {rows.cutoff:g}.")
    means = _means(rows)
    codes = None if rows.clusters is None else _dense(rows.clusters)
    sides = [_side(rows, codes, means, places) for places in (order[:first][::-1].copy(), order[first:])]
    return Sides(
        left=sides[0],
        right=sides[1],
        means=means,
        spread=_spread(score),
        fuzzy=rows.uptake is not None,
        still=rows.uptake is not None and _still(sides, rows.cutoff),
    )


def _means(rows: Scored) -> Floats:
    first = [rows.y.mean()] if rows.uptake is None else [rows.y.mean(), rows.uptake.mean()]
    return np.append(first, [] if rows.covariates is None else rows.covariates.mean(axis=0))


def _dense(clusters: Codes) -> Codes:
    if clusters.min() >= 0 and clusters.max() <= DENSE_CODES * clusters.size:
        return clusters
    return np.asarray(np.unique(clusters, return_inverse=True)[1], dtype=np.intp)


def _side(rows: Scored, codes: Codes | None, means: Floats, places: Codes) -> Side:
    score = rows.score[places]
    columns = np.empty((places.size, means.size))
    columns[:, 0] = rows.y[places]
    if rows.uptake is not None:
        columns[:, 1] = rows.uptake[places]
    if rows.covariates is not None:
        columns[:, means.size - rows.covariates.shape[1] :] = rows.covariates[places]
    columns -= means
    return Side(
        sign=1.0 if score[0] >= rows.cutoff else -1.0,
        score=score,
        distance=np.abs(score - rows.cutoff),
        columns=columns,
        places=places,
        weights=None if rows.weights is None else rows.weights[places],
        clusters=None if codes is None else codes[places],
    )


def _spread(score: Floats) -> float:
    """min(standard deviation, interquartile range / 1.349) of a sorted score.

    Quartiles are averaged at a jump of the distribution function (type 2 of Hyndman and Fan 1996).
    """

    def quantile(share: float) -> float:
        place = score.size * share
        whole = int(place)
        return float((score[whole - 1] + score[whole]) / 2 if place == whole else score[whole])

    deviation = float(np.std(score, ddof=1))
    return min(deviation, (quantile(0.75) - quantile(0.25)) / 1.349)


def _still(sides: list[Side], cutoff: float) -> bool:
    constant: Mask = np.array([np.ptp(side.columns[:, 1]) == 0 for side in sides])
    if constant.all() and sides[0].columns[0, 1] == sides[1].columns[0, 1]:
        raise EstimationError(
            f"Uptake is the same for everybody on both sides of the cutoff {cutoff:g}: a fuzzy design needs "
            "a jump in uptake."
        )
    return bool(constant.any())
