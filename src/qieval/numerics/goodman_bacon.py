"""What the static two-way regression of a staggered roll-out averages: the Goodman-Bacon decomposition."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qieval.numerics.two_way import Codes, Floats

EARLIER = "Earlier vs Later Treated"
LATER = "Later vs Earlier Treated"
UNTREATED = "Treated vs Untreated"
ALWAYS = "Later vs Always Treated"
KINDS = (EARLIER, ALWAYS, LATER, UNTREATED)

UNBALANCED = (
    "Some units were not observed in every period, and the decomposition holds for complete panels only; "
    "leave out units or periods with gaps, or look at the weights of the two-way regression instead."
)
WEIGHTS = (
    "The weights must be positive and finite numbers, one for each unit, the same in every period; otherwise "
    "the comparisons do not add up to the two-way regression."
)
NOTHING = (
    "No two groups of units differ in when they were treated, so there is nothing to compare; check the "
    "starts."
)


@dataclass(frozen=True)
class ByKind:
    """All comparisons of a kind: the sum of their weights and the average of their estimates."""

    kind: str
    weight: float
    estimate: float


@dataclass(frozen=True, eq=False)
class Bacon:
    """The two-by-two comparisons (m,) behind a static two-way estimate.

    treated, comparison (m,): first treated period of the two groups; np.inf for units never treated, the
    first period for units treated throughout. kind (m,): as in R bacondecomp. estimate (m,): difference
    of differences; weight (m,): positive, sums to 1. twfe: sum of weight * estimate = the coefficient of
    the static regression. problem: in words, if there is no decomposition, else ''.
    """

    treated: Floats
    comparison: Floats
    kind: tuple[str, ...]
    estimate: Floats
    weight: Floats
    twfe: float
    problem: str = ""

    @property
    def by_kind(self) -> tuple[ByKind, ...]:
        """Weights and averages by kind of comparison, kinds without any left out."""
        found = []
        for kind in KINDS:
            at = np.array([name == kind for name in self.kind], dtype=bool)
            if at.any():
                weight = float(self.weight[at].sum())
                found.append(ByKind(kind, weight, float(self.weight[at] @ self.estimate[at]) / weight))
        return tuple(found)


@dataclass(frozen=True, eq=False)
class _Groups:
    """Groups of units with the same treated periods.

    position (g,): position of the first treated period, T for never; share (g,): weight; mean (g, T).
    """

    position: Codes
    share: Floats
    mean: Floats


def goodman_bacon(y: Floats, first: Floats, times: NDArray[np.int64], weights: Floats | None = None) -> Bacon:
    """Decompose the static two-way estimate of a complete panel without covariates.

    y (n, T), first (n,): start in units of times (T,), np.inf (or beyond the last period) for never;
    units that start at the first period or before are treated throughout. weights (n,) positive: the
    decomposition of the weighted regression. Source: Goodman-Bacon (2021), theorem 1. Units that start
    between the same two periods form one group. Units treated throughout are controls only ('Later vs
    Always Treated'). Covariates are not covered: with them the comparisons overlap, and what R bacondecomp
    then reports is made differently. Checked against bacondecomp 0.1.1.

    >>> y = np.array([[0.0, 0, 3], [0, 1, 1], [0, 0, 0]])
    >>> found = goodman_bacon(y, np.array([3.0, 2.0, np.inf]), np.array([1, 2, 3]))
    >>> [(float(t), float(c), round(float(e), 3)) for t, c, e in
    ...     zip(found.treated, found.comparison, found.estimate)]
    [(2.0, 3.0, 1.0), (2.0, inf, 1.0), (3.0, 2.0, 3.0), (3.0, inf, 3.0)]
    """
    if not np.isfinite(y).all():
        return _without(UNBALANCED)
    if weights is not None and (
        weights.shape != first.shape or not (np.isfinite(weights) & (weights > 0)).all()
    ):
        return _without(WEIGHTS)
    groups = _groups(y, first, times, weights)
    n_times = len(times)
    pairs = [
        (i, j)
        for i, at in enumerate(groups.position)
        for j in range(groups.position.size)
        if i != j and 0 < at < n_times
    ]
    if not pairs:
        return _without(NOTHING)
    label = np.append(np.asarray(times, dtype=float), np.inf)[groups.position]
    estimate = np.array([_difference(groups, i, j) for i, j in pairs])
    size = np.array([_size(groups, i, j, n_times) for i, j in pairs])
    weight = size / size.sum()
    return Bacon(
        treated=np.array([label[i] for i, _ in pairs]),
        comparison=np.array([label[j] for _, j in pairs]),
        kind=tuple(_kind(groups.position[i], groups.position[j], n_times) for i, j in pairs),
        estimate=estimate,
        weight=weight,
        twfe=float(weight @ estimate),
    )


def _positive(weights: Floats) -> bool:
    return bool((np.isfinite(weights) & (weights > 0)).all())


def _groups(y: Floats, first: Floats, times: NDArray[np.int64], weights: Floats | None) -> _Groups:
    """Units grouped by position of their first treated period; means are taken about the grand mean."""
    position, code = np.unique(np.searchsorted(times, first), return_inverse=True)
    weight = np.ones(len(first)) if weights is None else weights
    share = np.bincount(code, weight)
    centre = y - np.average(y, axis=0, weights=weight)
    mean = np.stack([np.bincount(code, weight * column) for column in centre.T], axis=1) / share[:, None]
    return _Groups(position, share / share.sum(), mean)


def _difference(groups: _Groups, treated: int, control: int) -> float:
    """Difference of differences over the periods in which the comparison group does not change status."""
    start, other = groups.position[treated], groups.position[control]
    window = slice(0, other) if other > start else slice(other, None)
    gap = (groups.mean[treated] - groups.mean[control])[window]
    before = start - window.start
    return float(gap[before:].mean() - gap[:before].mean())


def _size(groups: _Groups, treated: int, control: int, n_times: int) -> float:
    """The comparison's share of rows squared times its variance of treatment."""
    start, other = int(groups.position[treated]), int(groups.position[control])
    length = other if other > start else n_times - other
    on = (other - start if other > start else n_times - start) / length
    pair = groups.share[treated] + groups.share[control]
    part = groups.share[treated] / pair
    return float((pair * length / n_times) ** 2 * part * (1 - part) * on * (1 - on))


def _kind(treated: int, control: int, n_times: int) -> str:
    if control >= n_times:
        return UNTREATED
    if control == 0:
        return ALWAYS
    return EARLIER if control > treated else LATER


def _without(problem: str) -> Bacon:
    nothing = np.zeros(0)
    return Bacon(nothing, nothing, (), nothing, nothing, np.nan, problem)
