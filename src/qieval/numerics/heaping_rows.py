"""Do the rows at heaped values differ from their neighbours?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from qieval.numerics.two_way import Codes, Floats, Mask

COLUMNS = 5
"""Of the regression: two lines and the shift."""
ALIKE = 1e-10
"""Share of the heapers' indicator that the score must leave over, so that the two can be told apart."""


@dataclass(frozen=True)
class HeaperDifference:
    """Mean of heapers minus that of neighbours with the same score, its standard error, t and p-value."""

    difference: float
    se: float
    t: float
    p_value: float
    n_heapers: int
    n_neighbours: int


def heapers_differ(
    values: Floats, heapers: Mask, score: Floats, cutoff: float, window: float, clusters: Codes | None = None
) -> HeaperDifference:
    """Do rows at round values differ from their neighbours in a covariate or outcome, values (n,)?

    Rows within the window; a line in the score on each side of the cutoff, and a shift for the heapers.
    Standard errors are robust (HC1, t with n - 5 degrees of freedom) or clustered (factor G / (G - 1), t with
    G - 1). NaN where there are fewer than two heapers or neighbours, or heapers cannot be told from the
    score. A difference says that dropping the heaps changes who is compared (Barreca, Lindo and Waddell
    2016, Economic Inquiry 54).

    >>> x = np.arange(-40.0, 40.0)
    >>> heaped = x % 10 == 0
    >>> round(heapers_differ(3 * heaped + x, heaped, x, 0.0, 40.0).difference, 6)
    3.0
    """
    near = np.abs(score - cutoff) <= window
    x, d = (score[near] - cutoff) / window, heapers[near].astype(np.float64)
    n_heapers, n_neighbours = int(d.sum()), int((d == 0).sum())
    right = (x >= 0).astype(np.float64)
    lines = np.column_stack([np.ones_like(x), x, right, right * x])
    both = np.column_stack([d, values[near]])
    shift, outcome = (both - lines @ np.linalg.lstsq(lines, both, rcond=None)[0]).T
    power = float(shift @ shift)
    if min(n_heapers, n_neighbours) < 2 or d.size <= COLUMNS or power < ALIKE * d.size:
        return HeaperDifference(np.nan, np.nan, np.nan, np.nan, n_heapers, n_neighbours)
    difference = float(shift @ outcome) / power
    terms = shift * (outcome - difference * shift)
    variance, df = _variance(terms, None if clusters is None else clusters[near])
    se = float(np.sqrt(variance)) / power
    t = difference / se if se > 0 else np.nan
    p_value = float(2 * scipy.special.stdtr(df, -abs(t)))
    return HeaperDifference(difference, se, t, p_value, n_heapers, n_neighbours)


def _variance(terms: Floats, clusters: Codes | None) -> tuple[float, int]:
    """Corrected sum of squares of the terms or of their sums by cluster, and its degrees of freedom."""
    if clusters is None:
        df = terms.size - COLUMNS
        return float(terms @ terms) * terms.size / df, df
    _, code = np.unique(clusters, return_inverse=True)
    sums = np.bincount(code, terms)
    if sums.size < 2:
        return np.nan, 1
    return float(sums @ sums) * sums.size / (sums.size - 1), sums.size - 1
