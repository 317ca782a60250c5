"""Effect and standard error of matching with replacement: Abadie and Imbens (2006, 2011)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from qieval.numerics.tied_matches import Matches, Rule, arrange, how, metric, pair_table
from qieval.numerics.two_way import Floats


@dataclass(frozen=True)
class MatchingEffect:
    """Mean difference of treated and untreated over the focal people who were matched.

    std_error is that of Abadie and Imbens for the population effect. std_error_pairs takes pairs as
    independent and ignores that people are used again. unadjusted is the estimate without regression
    adjustment (the same if there was none). n_focal people were matched in n_pairs pairs, tied ones counted.
    """

    estimate: float
    std_error: float
    unadjusted: float
    std_error_pairs: float
    n_focal: int
    n_pairs: int


def abadie_imbens(
    y: Floats,
    treated: np.ndarray,
    matches: Matches,
    adjust: Floats | None = None,
    variance: Floats | None = None,
) -> MatchingEffect:
    """Effect on y (n,) and its standard error from matches of treated, untreated or (ATE) all people.

    adjust (n, k): covariates for the bias adjustment: outcomes of the pool are regressed on them, weighted by
    how often a person was used, in each group. variance (n,): of y given covariates (`variance_within`);
    without it one variance for all, half the mean squared deviation of the pairs. With K_i the times that i
    was used and K'_i the sum of squared shares, V = sum[(tau_i - tau)^2] + sum[(K_i^2 + 2 K_i f_i - K'_i)
    s_i^2], f_i = 1 if i was itself matched (2006, theorem 7); SE = sqrt(V) / N.

    Only people who were matched count. Matching 4.10 instead enters people outside its caliper with an effect
    of zero, which makes its standard error depend on where zero is; the two agree when nobody is dropped.
    Checked against Matching for ATT, ATC, ATE, several matches, bias adjustment and both variances.

    >>> pairs = Matches(np.array([0, 1]), np.array([2, 2]), np.ones(2))
    >>> effect = abadie_imbens(np.array([3.0, 5.0, 1.0]), np.array([True, True, False]), pairs)
    >>> effect.estimate, round(effect.std_error, 6)  # [(-1)^2 + 1^2 + (4 - 2) / 2] / 4
    (3.0, 0.866025)
    """
    n, w = y.size, matches.weight
    sign = np.where(treated[matches.focal], 1.0, -1.0)
    plain: Floats = sign * (y[matches.focal] - y[matches.pool])
    used: Floats = np.bincount(matches.pool, w, n).astype(float)
    pairs: Floats = plain if adjust is None else plain - sign * _bias(y, treated, matches, adjust, used)
    people = float(np.unique(matches.focal).size)
    if not people:
        return MatchingEffect(np.nan, np.nan, np.nan, np.nan, 0, 0)
    estimate, unadjusted = float(w @ pairs) / people, float(w @ plain) / people
    if variance is None:
        variance = np.full(n, w @ (pairs - estimate) ** 2 / (2 * people))
    own = np.zeros(n)
    own[matches.focal] = 1.0
    effects = np.bincount(matches.focal, w * pairs, n)
    spread = float(np.sum((own * (effects - estimate)) ** 2))
    again = used**2 + 2 * used * own - np.bincount(matches.pool, w**2, n)
    return MatchingEffect(
        estimate=estimate,
        std_error=float(np.sqrt(spread + again @ variance)) / people,
        unadjusted=unadjusted,
        std_error_pairs=float(np.sqrt(w @ (plain - unadjusted) ** 2)) / people,
        n_focal=int(people),
        n_pairs=w.size,
    )


def _bias(y: Floats, treated: np.ndarray, matches: Matches, adjust: Floats, used: Floats) -> Floats:
    """For each pair, what regression in the pool's group says about the difference in covariates."""
    out = np.zeros(matches.weight.size)
    for group in (True, False):
        rows = (treated == group) & (used > 0)
        here = treated[matches.pool] == group
        if not here.any():
            continue
        weight = used[rows]
        centre = weight @ adjust[rows] / weight.sum()
        x = adjust - centre
        scale = np.sqrt(weight @ x[rows] ** 2 / weight.sum())
        x = x / np.where(scale > 0, scale, 1.0)
        root = np.sqrt(weight)
        design = np.column_stack([np.ones(weight.size), x[rows]]) * root[:, None]
        slope = np.linalg.lstsq(design, y[rows] * root, rcond=1e-10)[0][1:]
        out[here] = (x[matches.focal[here]] - x[matches.pool[here]]) @ slope
    return out


def variance_within(
    y: Floats, x: Floats, treated: np.ndarray, neighbours: int, rule: Rule | None = None
) -> Floats:
    """Variance (n,) of y given covariates x (n, k): of each person with the nearest of the same group.

    The metric and tolerance of the rule are used, tied neighbours are kept; calipers and strata are not used.
    A group with fewer people than neighbours + 1 uses all of them.
    """
    if neighbours < 1:
        raise ValueError("neighbours: at least one")
    rule = rule or Rule()
    z = metric(x, rule.weight)
    out = np.zeros(y.size)
    for group in (True, False):
        rows = np.flatnonzero(treated == group)
        size = min(neighbours + 1, rows.size)
        if size < 2:
            continue
        within = replace(rule, ratio=size, replace=True, ties="all", caliper=None, strata=None)
        doubled, codes = np.concatenate([z[rows], z[rows]]), np.arange(2 * rows.size)
        raw = np.concatenate([x[rows], x[rows]])
        sides = arrange(doubled, raw, codes < rows.size, within)
        found = pair_table(sides, how(raw, within), np.ones(x.shape[1]))
        values = y[rows[found.pool - rows.size]]
        number = np.bincount(found.focal)
        mean = np.bincount(found.focal, values) / number
        out[rows] = np.bincount(found.focal, (values - mean[found.focal]) ** 2) / (number - 1)
    return out
