"""Randomisation inference for difference-in-differences: who is treated is permuted, how many is kept.

Source: Fisher (1935); Conley and Taber (2011) and MacKinnon and Webb (2020) for difference-in-differences
with few treated clusters. The statistic is the absolute coefficient; a null value tau0 is tested on y -
tau0 * treatment. Valid if, without an effect, clusters are exchangeable (similar size and variance, or
treatment was randomised).
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from qieval.numerics.absorb import Within
from qieval.numerics.cluster_form import cluster_form
from qieval.numerics.resampling import Resampling
from qieval.numerics.two_way import Codes, Floats, Mask, sums

TIES = 1e-10
UNIT_SLOPE = 1e-9
"""Slopes this near to 1 are 1: the permuted coefficient moves one for one with the null value."""


@dataclass(frozen=True, eq=False)
class Permutation:
    """Coefficient, p-value of "no effect for anyone" and interval from permuted assignments.

    n_assignments ways to choose the treated clusters exist; if enumerated all were used, else
    `coefficients` (draws,) holds the permuted ones that were drawn, and the data itself counts as one: p
    = (1 + extreme) / (1 + draws). smallest_p is the smallest p-value this number of assignments can give;
    where it exceeds 1 - level no effect, however large, can be told from none and the interval is
    infinite at both ends. The interval is the hull of the null values that are not rejected.
    n_unidentified assignments had no coefficient and count as extreme.
    """

    estimate: float
    p_value: float
    low: float
    high: float
    coefficients: Floats = field(repr=False)
    n_assignments: int
    enumerated: bool
    smallest_p: float
    n_unidentified: int


def permute_clusters(
    base: Within, after: Floats, clusters: Codes, treated: Mask, resampling: Resampling | None = None
) -> Permutation:
    """Permutation test of one common start: the treatment is (cluster treated) * after.

    after (n_input,) is 1 in rows after the start, clusters (n_input,) codes 0..G-1, treated (G,) which
    clusters are treated; every row of a treated cluster is. Rows `base` does not use play no part. Exact
    enumeration if there are no more assignments than draws. The estimate equals that of `fit_static` for
    the same treatment column.
    """
    resampling = resampling or Resampling()
    used = base.rows.used
    codes, post = clusters[used], np.asarray(after[used], dtype=float)
    n_clusters, n_treated = treated.size, int(np.count_nonzero(treated))
    n_assignments = math.comb(n_clusters, n_treated)
    enumerated = n_assignments <= resampling.draws
    outcome = base.y.copy()
    base.partial_out_covariates(outcome)
    moments = sums(codes, base.rows.weighted(post) * outcome, n_clusters)
    form = cluster_form(base, codes, n_clusters, post, post)
    observed = treated.astype(float)
    towards = form.times(observed[None, :])[0]
    size = float(observed @ towards)
    estimate = float(observed @ moments) / size if size > 0 else np.nan
    found = []
    for chosen in _assignments(treated, enumerated, resampling):
        squares = np.sum(form.times(chosen) * chosen, axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            found.append(np.array([chosen @ moments, chosen @ towards]) / squares)
            found[-1][:, squares <= 1e-12 * size] = np.nan
    coefficients, slopes = np.hstack(found) if found else np.empty((2, 0))
    return _summary(estimate, coefficients, slopes, n_assignments, enumerated, resampling.level)


def _summary(
    estimate: float,
    coefficients: Floats,
    slopes: Floats,
    n_assignments: int,
    enumerated: bool,
    level: float,
) -> Permutation:
    """Count extremes at zero, and invert: p at a null value is a count of intervals that hold it."""
    known = np.isfinite(coefficients)
    always = int(coefficients.size - np.count_nonzero(known)) + (0 if enumerated else 1)
    total = coefficients.size + (0 if enumerated else 1)
    extreme = np.count_nonzero(np.abs(coefficients[known]) >= abs(estimate) * (1 - TIES))
    lower, upper = _sets(estimate, coefficients[known], slopes[known])
    everywhere = int(np.count_nonzero(np.isneginf(lower) & np.isposinf(upper)))
    low, high = _hull(estimate, lower, upper, (1 - level) * total - always)
    return Permutation(
        estimate=estimate,
        p_value=float((always + extreme) / total),
        low=low,
        high=high,
        coefficients=coefficients,
        n_assignments=n_assignments,
        enumerated=enumerated,
        smallest_p=(always + everywhere) / total,
        n_unidentified=int(np.count_nonzero(~known)),
    )


def _hull(estimate: float, lower: Floats, upper: Floats, most: float) -> tuple[float, float]:
    """Smallest and largest null value that lie in more than `most` of the closed intervals [lower, upper]."""
    ends = np.unique(np.concatenate([[-np.inf, estimate, np.inf], lower, upper]))
    begun = np.searchsorted(np.sort(lower), ends, side="right")
    over = np.searchsorted(np.sort(upper), ends, side="left")
    kept = ends[begun - over > most]
    return (float(kept[0]), float(kept[-1])) if kept.size else (estimate, estimate)


def _sets(estimate: float, a: Floats, c: Floats) -> tuple[Floats, Floats]:
    """Where |a - c t0| >= |estimate - t0|, as closed intervals [lower, upper] of null values t0.

    a - c t0 is the permuted coefficient on y - t0 * treatment. For |c| < 1 the set is the interval between
    (estimate - a)/(1 - c) and (estimate + a)/(1 + c), for |c| > 1 everything outside it (two half-lines), for
    |c| = 1, where one of the two is infinite, a half-line, or everything if its numerator is zero as well.
    """
    tie = TIES * max(abs(estimate), float(np.abs(a).max(initial=0.0)))
    first = _root(estimate - a, 1 - c, tie)
    second = _root(estimate + a, 1 + c, tie)
    low, high = np.minimum(first, second), np.maximum(first, second)
    everything = np.isnan(low)
    low[everything], high[everything] = -np.inf, np.inf
    rays = (np.abs(c) > 1 + UNIT_SLOPE) & ~everything
    lower = np.concatenate([low[~rays], np.full(rays.sum(), -np.inf), high[rays]])
    upper = np.concatenate([high[~rays], low[rays], np.full(rays.sum(), np.inf)])
    return lower, upper


def _root(top: Floats, bottom: Floats, tie: float) -> Floats:
    """top / bottom; where bottom is zero, infinity with the sign of top, NaN if top is zero too."""
    zero = np.abs(bottom) < UNIT_SLOPE
    limit = np.where(np.abs(top) <= tie, np.nan, np.copysign(np.inf, top))
    return np.where(zero, limit, top / np.where(zero, 1.0, bottom))


def _assignments(treated: Mask, enumerated: bool, resampling: Resampling) -> Iterator[Floats]:
    """Blocks (m, G) of 0/1 assignments with as many treated: all, or random ones but the actual."""
    n_clusters, n_treated = treated.size, int(np.count_nonzero(treated))
    if enumerated:
        everything = itertools.combinations(range(n_clusters), n_treated)
        total = math.comb(n_clusters, n_treated)
        for piece in resampling.pieces(total, n_clusters, "permutation"):
            count = piece.stop - piece.start
            places = np.array(list(itertools.islice(everything, count)), dtype=np.intp)
            yield _as_rows(places.reshape(count, n_treated), n_clusters)
        return
    generator = np.random.default_rng(resampling.seed)
    for piece in resampling.pieces(resampling.draws, n_clusters, "permutation"):
        left = piece.stop - piece.start
        while left:
            keys = generator.random((left, n_clusters))
            chosen = _as_rows(np.argpartition(keys, n_treated - 1, axis=1)[:, :n_treated], n_clusters)
            chosen = chosen[(chosen != treated).any(axis=1)]
            left -= len(chosen)
            yield chosen


def _as_rows(places: Codes, n_clusters: int) -> Floats:
    rows = np.zeros((len(places), n_clusters))
    np.put_along_axis(rows, places, 1.0, axis=1)
    return rows
