"""Matching on covariates with ties kept and shared out, as in Abadie and Imbens (2006) and R's Matching.

Distances are squared, in standard deviations (divisor N, all rows handed in). Everybody whose squared
distance exceeds that of the M-th nearest by no more than the tolerance is a match; all matches of a person
share that person's weight of one equally.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from qieval.numerics.two_way import Codes, Floats

if TYPE_CHECKING:
    from qieval.numerics.kernels.tied_search import How, Leaves, Side

Ties = Literal["all", "first", "random"]
Estimand = Literal["ATT", "ATC", "ATE"]
Sides = tuple["Side", "Side", "Leaves"]
People = tuple[Floats, Floats, Codes, Codes]
"""Covariates in the metric and in their units, strata, and the order in which equals are preferred."""

TOLERANCE = 1e-5
"""Squared distances in standard deviations that differ by no more than this are tied (as in Matching)."""


@dataclass(frozen=True, eq=False)
class Matches:
    """Pairs of row positions: focal (m,), pool (m,) and weight (m,). The weights of a focal row sum to
    one."""

    focal: Codes
    pool: Codes
    weight: Floats

    def unmatched(self, focal: np.ndarray) -> Codes:
        """Rows marked in focal (n,) that found no match."""
        return np.setdiff1d(np.flatnonzero(focal), self.focal)


@dataclass(frozen=True, eq=False, kw_only=True)
class Rule:
    """How matches are found.

    weight: the metric, "inverse variance", "mahalanobis", or weights (k,) or a matrix (k, k) that apply to
    covariates in standard deviations. caliper (k,): largest difference in standard deviations, inf for none.
    strata (n,): only people of the same code are matched. ties "all" keeps every tied match; "random" draws
    `ratio` of them for each focal row (as ties=FALSE in Matching); "first" takes the nearest `ratio`, the
    earlier row where distances are equal. Without replacement focal rows choose in the order of the data, the
    nearest who is left, and ties are "first" or "random": the earlier in an order of rows drawn once. A focal
    row for which calipers, strata or earlier choices leave fewer than `ratio` people is not matched, as in
    Matching.
    """

    weight: Literal["inverse variance", "mahalanobis"] | Floats = "inverse variance"
    ratio: int = 1
    replace: bool = True
    ties: Ties = "all"
    caliper: Floats | None = None
    strata: Codes | None = None
    tolerance: float = TOLERANCE
    seed: int = 0


def tied_matches(
    x: Floats, treated: np.ndarray, rule: Rule | None = None, estimand: Estimand = "ATT"
) -> Matches:
    """Match treated rows (ATT), untreated rows (ATC) or both (ATE) of x (n, k) to the other group.

    x without missing values, treated (n,) bool. For ATE the two directions are matched one after the other,
    each with the whole pool. Checked against Matching 4.10: counts, weights and estimates of 15 calls.

    >>> x = np.array([[0.0], [3.0], [0.1], [0.1], [2.0]])
    >>> found = tied_matches(x, np.array([True, True, False, False, False]))
    >>> found.focal.tolist(), found.pool.tolist(), found.weight.tolist()
    ([0, 0, 1], [2, 3, 4], [0.5, 0.5, 1.0])
    """
    rule = rule or Rule()
    if not rule.replace and rule.ties == "all":
        raise ValueError("without replacement ties are broken: ties must be 'first' or 'random'")
    if estimand == "ATE":
        one, two = tied_matches(x, treated, rule, "ATT"), tied_matches(x, treated, rule, "ATC")
        return Matches(
            np.concatenate([one.focal, two.focal]),
            np.concatenate([one.pool, two.pool]),
            np.concatenate([one.weight, two.weight]),
        )
    focal = treated if estimand == "ATT" else ~treated
    if not 1 <= rule.ratio <= np.count_nonzero(~focal) or not focal.any():
        raise ValueError(
            f"{rule.ratio} matches each need as many people in the other group, and somebody to match"
        )
    sides = arrange(metric(x, rule.weight), x, focal, rule)
    found = pair_table(sides, how(x, rule), np.ones(x.shape[1]))
    return _drawn(found, rule) if rule.ties == "random" and rule.replace else found


def _drawn(found: Matches, rule: Rule) -> Matches:
    """As many matches of each focal row as wanted, drawn among those that are tied."""
    keys = np.random.default_rng(rule.seed).random(found.pool.size)
    order = np.lexsort((keys, found.focal))
    place = np.arange(order.size) - np.searchsorted(found.focal[order], found.focal[order])
    kept = np.sort(order[place < rule.ratio])
    return Matches(found.focal[kept], found.pool[kept], np.full(kept.size, 1 / rule.ratio))


def common_support(score: Floats, treated: np.ndarray, tolerance: float = TOLERANCE) -> np.ndarray:
    """Rows (n,) bool whose score lies inside the range of both groups (widened by the tolerance)."""
    low = max(score[treated].min(), score[~treated].min())
    high = min(score[treated].max(), score[~treated].max())
    inside: np.ndarray = (score >= low - tolerance) & (score <= high + tolerance)
    return inside


def standardised(x: Floats) -> Floats:
    """Columns with mean 0 and standard deviation 1 (divisor N); constant columns become 0."""
    centred = x - x.mean(axis=0)
    deviation = centred.std(axis=0)
    scale = np.abs(x).max(axis=0)
    varies = deviation > 1e-13 * scale
    out: Floats = np.where(varies, centred / np.where(varies, deviation, 1.0), 0.0)
    return out


def metric(x: Floats, weight: str | Floats) -> Floats:
    """x (n, k) such that the squared Euclidean distance is the one that `Rule.weight` names."""
    z = standardised(x)
    if isinstance(weight, str):
        if weight == "inverse variance":
            return z
        root = _root(inverse_correlation(z))
    else:
        given = np.asarray(weight, float)
        if given.ndim == 1:
            along: Floats = z * np.sqrt(given)
            return along
        root = _root(given)
    out: Floats = z @ root
    return out


def inverse_correlation(z: Floats) -> Floats:
    """Pseudo-inverse of the correlations of standardised columns."""
    return np.asarray(np.linalg.pinv(z.T @ z / len(z), rcond=1e-10, hermitian=True), float)


def _root(matrix: Floats) -> Floats:
    """R with R R' = matrix, for a matrix without negative eigenvalues."""
    values, vectors = np.linalg.eigh(matrix)
    out: Floats = vectors * np.sqrt(np.maximum(values, 0.0))
    return out


def how(x: Floats, rule: Rule) -> How:
    """The rule as compiled code reads it; calipers in the units of x."""
    from qieval.numerics.kernels.tied_search import How

    widths = np.full(x.shape[1], np.inf) if rule.caliper is None else np.asarray(rule.caliper) * x.std(axis=0)
    limited = bool(np.isfinite(widths).any())
    ties = rule.replace and rule.ties != "first"
    return How(rule.ratio, float(rule.tolerance), ties, rule.replace, limited, widths)


def arrange(z: Floats, x: Floats, focal: np.ndarray, rule: Rule, guide: Floats | None = None) -> Sides:
    """Both groups as patterns and the pool cut into leaves.

    z and x (n, k): covariates in the metric and in their units. guide (k,) are weights near those that will
    be tried: they only decide how well the pool is cut.
    """
    strata = np.zeros(len(x), np.int64) if rule.strata is None else np.asarray(rule.strata, np.int64)
    single = rule.ties == "first" or not rule.replace
    rank = np.arange(len(x))
    if rule.ties == "random" and not rule.replace:
        rank = np.random.default_rng(rule.seed).permutation(len(x))
    key = np.column_stack([z, x, strata])
    own = _patterns(key, np.flatnonzero(focal), single)
    other = _patterns(key, np.flatnonzero(~focal), single)
    people = z, x, strata, rank
    pool, leaves = _leaves(people, other, guide)
    return _side(people, own, across=False), pool, leaves


def _patterns(key: Floats, rows: Codes, single: bool) -> list[Codes]:
    """Rows with the same key, ascending; patterns in the order of their first row."""
    if single:
        return [*rows[:, None]]
    _, code = np.unique(key[rows], axis=0, return_inverse=True)
    order = np.argsort(code.ravel(), kind="stable")
    pieces = np.split(rows[order], np.flatnonzero(np.diff(code.ravel()[order])) + 1)
    return sorted(pieces, key=lambda piece: int(piece[0]))


def _side(people: People, patterns: list[Codes], across: bool) -> Side:
    """Patterns as one side of the search; covariates lie across (k, m) for the pool."""
    from qieval.numerics.kernels.tied_search import Side

    z, x, strata, rank = people
    first = np.array([rows[0] for rows in patterns])
    start = np.concatenate([[0], np.cumsum([rows.size for rows in patterns])])
    raw, scaled = (np.ascontiguousarray(m[first].T if across else m[first]) for m in (x, z))
    return Side(raw, scaled, start, np.concatenate(patterns), strata[first], rank[first])


def _leaves(people: People, patterns: list[Codes], guide: Floats | None) -> tuple[Side, Leaves]:
    """The pool in the order of its leaves; every leaf lies in one stratum."""
    from qieval.numerics.kernels.tied_search import Leaves, boxes, cut

    side = _side(people, patterns, across=True)
    scale = np.ones(len(side.z)) if guide is None else np.sqrt(guide)
    points = np.ascontiguousarray(side.z * scale[:, None])
    order = np.argsort(side.stratum, kind="stable")
    changes = np.flatnonzero(np.diff(side.stratum[order])) + 1
    edges: list[int] = [0, *changes.tolist(), order.size]
    ends = [cut(points, order, low, high) for low, high in pairwise(edges)]
    start = np.concatenate([[0], *ends])
    pool = _side(people, [patterns[i] for i in order], across=True)
    low, high = boxes(pool.z, start)
    return pool, Leaves(start, low, high, pool.stratum[start[:-1]])


def pair_table(sides: Sides, how: How, weights: Floats) -> Matches:
    """The pairs, by focal row and pool row, under weights (k,) of the columns of the metric."""
    from qieval.numerics.kernels.tied_search import matches

    start, found = matches(sides, how, np.asarray(weights, float))
    focal, pool, _ = sides
    n_found, n_own = np.diff(start), np.diff(focal.start)
    size = np.diff(pool.start)[found]
    theirs = _runs(pool.start[found], size)
    people = _sums(size, start)
    span = np.concatenate([[0], np.cumsum(size)])[start[:-1]]
    repeats = np.repeat(np.arange(n_found.size), n_own)
    take = _runs(span[repeats], people[repeats])
    first = np.repeat(focal.rows, people[repeats])
    second = pool.rows[theirs][take]
    weight = np.repeat(1.0 / np.maximum(people[repeats], 1), people[repeats])
    order = np.lexsort((second, first))
    return Matches(first[order], second[order], weight[order])


def _runs(start: Any, length: Any) -> Codes:
    """start[0], start[0] + 1, ... (length[0] of them), then the same for the next."""
    offset = np.concatenate([[0], np.cumsum(length)])
    out: Codes = np.arange(offset[-1]) + np.repeat(start - offset[:-1], length)
    return out


def _sums(values: Any, start: Any) -> Codes:
    """Sums of values[start[i]:start[i + 1]]."""
    total = np.concatenate([[0], np.cumsum(values)])
    out: Codes = total[start[1:]] - total[start[:-1]]
    return out
