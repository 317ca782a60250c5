"""Matched pairs as two arrays of row positions, and what follows from them: weights, pair labels, sizes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Pairs:
    """One entry per pair: the row that looked for a match, the row found, and their distance; (m,) each.

    A focal row with three matches has three entries. Pool rows occur more than once only with replacement.

    >>> pairs = Pairs(np.array([0, 0, 3]), np.array([1, 2, 4]), np.array([0.1, 0.4, 0.2]))
    >>> len(pairs), pairs.total
    (3, 0.7)
    """

    focal: Rows
    pool: Rows
    distance: Floats

    def __len__(self) -> int:
        return self.focal.size

    @property
    def total(self) -> float:
        """Sum of the distances."""
        return float(self.distance.sum())


def weights_of_pairs(pairs: Pairs, n: int, focal: Mask) -> Floats:
    """Matching weight of each of n rows; focal (n,) marks the rows that looked for matches.

    A matched focal row weighs 1. A pool row collects 1/m from each focal row it is matched to, m being the
    number of matches of that focal row; pool weights are then scaled to sum to the number of pool rows used
    (the convention of R's MatchIt). Rows without a match weigh 0. Estimates do not depend on that scale.

    >>> pairs = Pairs(np.array([0, 0, 3]), np.array([1, 2, 1]), np.zeros(3))
    >>> weights_of_pairs(pairs, 5, np.array([True, False, False, True, False]))
    array([1. , 1.5, 0.5, 1. , 0. ])
    """
    if focal.shape != (n,) or not focal[pairs.focal].all() or focal[pairs.pool].any():
        raise ValueError("focal must mark exactly the rows that looked for matches")
    weights = np.zeros(n)
    if not len(pairs):
        return weights
    matches = np.bincount(pairs.focal, minlength=n)
    np.add.at(weights, pairs.pool, 1 / matches[pairs.focal])
    weights *= np.count_nonzero(weights) / weights.sum()
    weights[matches > 0] = 1.0
    return weights


def labels_of_pairs(pairs: Pairs, n: int) -> Rows:
    """Number of the matched set of each of n rows, -1 without one; sets are numbered by their focal row.

    Only for matching without replacement, where a pool row belongs to one set.

    >>> labels_of_pairs(Pairs(np.array([3, 0, 0]), np.array([4, 1, 2]), np.zeros(3)), 6)
    array([ 0,  0,  0,  1,  1, -1])
    """
    if np.unique(pairs.pool).size != len(pairs):
        raise ValueError("a pool row belongs to several sets: labels exist only without replacement")
    labels = np.full(n, -1, dtype=np.intp)
    matched, sets = np.unique(pairs.focal, return_inverse=True)
    labels[matched] = np.arange(matched.size)
    labels[pairs.pool] = sets
    return labels


def effective_size(weights: Floats) -> float:
    """How many equally weighted people carry as much information (Kish): (sum w)^2 / sum w^2; 0 if none.

    >>> effective_size(np.array([1.0, 1.0, 0.0])), effective_size(np.array([2.0, 1.0, 1.0]))
    (2.0, 2.6666666666666665)
    """
    squares = float(np.sum(weights**2))
    return float(np.sum(weights)) ** 2 / squares if squares > 0 else 0.0


def stable_order(values: NDArray[np.generic]) -> Rows:
    """Stable order of the values: numpy's fast unstable one, with runs of equal values put in data order."""
    rows = np.argsort(values)
    held = values[rows]
    new = held[1:] != held[:-1]
    if new.all():
        return rows
    run = np.concatenate([[0], np.cumsum(new)]) * rows.size
    return np.asarray(np.sort(run + rows) - run)
