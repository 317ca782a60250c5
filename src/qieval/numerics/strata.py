"""Strata: exact and coarsened exact matching, subclasses of a score, and the weights that strata imply.

Labels (n,) number the strata, -1 for rows in none. Conventions are those of R's MatchIt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from qieval.numerics.candidates import Candidates
from qieval.numerics.optimal import optimal_pairs
from qieval.numerics.pairs import Pairs
from qieval.numerics.two_way import Codes, Floats, Mask

Estimand = Literal["ATT", "ATC", "ATE"]
Cutpoints = int | Literal["sturges", "scott"] | Sequence[float]


def exact_strata(codes: Codes, treated: Mask) -> Codes:
    """Strata of rows with the same codes (n, k) in every column; -1 where a stratum lacks one group.

    Strata are numbered in the order of their codes.

    >>> exact_strata(np.array([[0], [1], [0], [2]]), np.array([True, True, False, False]))
    array([ 0, -1,  0, -1])
    """
    cell = np.zeros(treated.size, dtype=np.intp)
    for column in codes.T:
        values, code = np.unique(column, return_inverse=True)
        cell = np.unique(cell * values.size + code, return_inverse=True)[1]
    return with_both_groups(cell, treated)


def with_both_groups(labels: Codes, treated: Mask) -> Codes:
    """Labels numbered anew in their order, -1 for rows of strata without treated or without other rows."""
    inside = labels >= 0
    found = np.full(labels.size, -1, dtype=np.intp)
    if not inside.any():
        return found
    n_treated, n_other = _sizes(labels, treated)
    both = (n_treated > 0) & (n_other > 0)
    number = np.where(both, np.cumsum(both) - 1, -1)
    found[inside] = number[labels[inside]]
    return found


def _sizes(labels: Codes, treated: Mask) -> tuple[Codes, Codes]:
    """Treated and other rows of each stratum."""
    inside = labels >= 0
    n_strata = int(labels.max(initial=-1)) + 1
    return (
        np.bincount(labels[inside & treated], minlength=n_strata),
        np.bincount(labels[inside & ~treated], minlength=n_strata),
    )


def binned(values: Floats, cutpoints: Cutpoints = "sturges") -> Codes:
    """Codes (n,) of the bins that finite values (n,) fall into; a value at a cutpoint is in the higher bin.

    cutpoints: a number of bins of equal width over the range of values (0: every value is its own bin), the
    rule that gives this number ("sturges": ceil(log2 n + 1); "scott": width 3.5 SD n^(-1/3)), or the inner
    cutpoints themselves.

    >>> binned(np.array([0.0, 4.9, 5.0, 10.0]), 2), binned(np.array([0.0, 4.9, 5.0, 10.0]), [4.0, 5.0])
    (array([0, 0, 1, 1]), array([0, 1, 2, 2]))
    """
    if not np.isfinite(values).all():
        raise ValueError("values to be coarsened must be finite")
    if isinstance(cutpoints, str):
        cutpoints = _number_of_bins(values, cutpoints)
    if isinstance(cutpoints, (int, np.integer)):
        if cutpoints == 0:
            return np.unique(values, return_inverse=True)[1].astype(np.intp)
        if cutpoints < 0:
            raise ValueError("the number of bins must not be negative")
        inner = np.linspace(values.min(initial=np.inf), values.max(initial=-np.inf), int(cutpoints) + 1)[1:-1]
    else:
        inner = np.unique(np.asarray(cutpoints, dtype=float))
    return np.searchsorted(inner, values, side="right").astype(np.intp)


def _number_of_bins(values: Floats, rule: str) -> int:
    if rule == "sturges":
        return int(np.ceil(np.log2(values.size) + 1))
    if rule == "scott":
        width = 3.5 * float(values.std(ddof=1)) * values.size ** (-1 / 3)
        return max(1, int(np.ceil(np.ptp(values) / width))) if width > 0 else 1
    raise ValueError(f"no rule for the number of bins is called {rule!r}")


def coarsened(x: Floats, treated: Mask, cutpoints: Sequence[Cutpoints] | None = None) -> Codes:
    """Strata of coarsened exact matching on columns x (n, k); -1 where a stratum lacks one group.

    cutpoints: for each column what `binned` takes, Sturges' rule for all if None. Categories are columns of
    codes with cutpoints 0 (exact). Source: Iacus, King and Porro (2012).
    """
    rules: Sequence[Cutpoints] = ["sturges"] * x.shape[1] if cutpoints is None else cutpoints
    codes = [binned(column, rule) for column, rule in zip(x.T, rules, strict=True)]
    return exact_strata(np.column_stack(codes), treated)


def one_to_one(
    labels: Codes, treated: Mask, vectors: Floats | None = None, generator: np.random.Generator | None = None
) -> Pairs:
    """Pairs within strata, as many as the smaller group allows ("k2k"); focal are the treated.

    With vectors (n, p) the pairs of least total Euclidean distance (exact; MatchIt's are greedy), else pairs
    drawn by the generator, with distance zero.
    """
    if vectors is not None:
        return optimal_pairs(Candidates(focal=treated, usable=labels >= 0, vectors=vectors, strata=labels))
    generator = generator or np.random.default_rng(0)
    order = generator.permutation(labels.size)
    order = order[labels[order] >= 0]
    order = order[np.argsort(labels[order], kind="stable")]
    first, second = order[treated[order]], order[~treated[order]]
    focal, pool = (_within(labels[group]) for group in (first, second))
    n_treated, n_other = _sizes(labels, treated)
    pairs = np.minimum(n_treated, n_other)
    first, second = first[focal < pairs[labels[first]]], second[pool < pairs[labels[second]]]
    by_row = np.argsort(first)
    return Pairs(first[by_row], second[by_row], np.zeros(first.size))


def _within(labels: Codes) -> Codes:
    """Place (0, 1, ...) of each entry inside its run of equal labels."""
    starts = np.flatnonzero(np.diff(labels, prepend=-1))
    return np.arange(labels.size) - np.repeat(starts, np.diff(starts, append=labels.size))


def subclasses(score: Floats, treated: Mask, n: int, estimand: Estimand = "ATT", fewest: int = 1) -> Codes:
    """Subclasses (n,) of a score between quantiles of the treated (ATT), the others (ATC) or all (ATE).

    Every subclass ends with at least `fewest` rows of each group: a subclass that lacks some takes them,
    nearest score first, from the nearest subclass on the side with more of them nearby. NaN scores get -1.
    There are fewer than n subclasses if quantiles are tied. ValueError if a group is too small for them.
    """
    inside = ~np.isnan(score)
    value, group = score[inside], treated[inside]
    basis = {"ATT": value[group], "ATC": value[~group], "ATE": value}[estimand]
    if not basis.size or n < 1:
        raise ValueError("there is nobody whose score could be divided")
    cuts = _quantiles(np.sort(basis), np.linspace(0, 1, n + 1))
    place = np.clip(np.searchsorted(cuts, value, side="right") - 1, 0, n - 1)
    found, code = np.unique(place, return_inverse=True)
    if fewest * found.size > min(np.count_nonzero(group), np.count_nonzero(~group)):
        raise ValueError(f"a group is too small for {found.size} subclasses with {fewest} each")
    for members in (group, ~group):
        code[members] = _filled(code[members], value[members], found.size, fewest)
    labels = np.full(score.size, -1, dtype=np.intp)
    labels[inside] = code
    return labels


def _quantiles(ordered: Floats, shares: Floats) -> Floats:
    """Quantiles of ordered values by linear interpolation, rounded as R's default (type 7) rounds."""
    place = 1 + (ordered.size - 1) * shares
    low = np.floor(place)
    weight = place - low
    lower, upper = ordered[low.astype(int) - 1], ordered[np.ceil(place).astype(int) - 1]
    between = np.where((weight > 0) & (upper != lower), (1 - weight) * lower + weight * upper, lower)
    return np.asarray(between)


def _filled(code: Codes, value: Floats, n: int, fewest: int) -> Codes:
    """Subclasses of the rows of one group after rows were moved into subclasses with fewer than `fewest`."""
    code = code.copy()
    for missing in range(fewest):
        size = np.bincount(code, minlength=n) - missing
        while (size <= 0).any():
            empty = int(np.flatnonzero(size <= 0)[0])
            donor = _donor(size, empty)
            # Of equal scores the last row moves.
            rows = np.flatnonzero(code == donor)[::-1]
            distance = value[rows] if donor > empty else -value[rows]
            moved = rows[np.argmin(distance)]
            code[moved] = empty
            size[empty] += 1
            size[donor] -= 1
    return code


def _donor(size: Codes, empty: int) -> int:
    """The nearest subclass with somebody, on the side with more rows to spare (over their distance)."""
    n = size.size
    others = np.flatnonzero(size > 1)
    others = others[others != empty]
    pull = np.sum((size[others] - 1) / (others - empty))
    left = empty == n - 1 or (empty > 0 and pull <= 0)
    filled = np.flatnonzero(size > 0)
    return int(filled[filled < empty][-1]) if left else int(filled[filled > empty][0])


def weights_of_strata(labels: Codes, treated: Mask, estimand: Estimand = "ATT") -> Floats:
    """Weight (n,) of each row from its stratum, 0 for rows in no stratum with both groups.

    ATT: treated 1, others in proportion to treated/others of the stratum, ATC the other way round, ATE
    everybody in proportion to the stratum's rows over those of the own group. Weights that are not 1 are
    scaled to sum to the number of rows they belong to, each group by itself, as MatchIt does.

    >>> weights_of_strata(np.array([0, 0, 0, 1, 1]), np.array([True, False, False, True, False]))
    array([1.  , 0.75, 0.75, 1.  , 1.5 ])
    """
    labels = with_both_groups(labels, treated)
    weights = np.zeros(labels.size)
    inside = labels >= 0
    n_treated, n_other = _sizes(labels, treated)
    target = {"ATT": n_treated, "ATC": n_other, "ATE": n_treated + n_other}[estimand]
    for group, size in ((treated, n_treated), (~treated, n_other)):
        rows = inside & group
        raw = (target / size)[labels[rows]]
        weights[rows] = raw * (raw.size / raw.sum()) if raw.size else raw
    return weights
