"""Signs that an instrument does not push everybody the same way, or acts other than through the treatment.

First stages in subgroups (one sign is necessary for "nobody does the opposite"), and the test of the
inequalities that validity together with monotonicity imply for what is observed (Kitagawa 2015).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy

from qieval.errors import EstimationError
from qieval.numerics.instruments_compliers import Sampling
from qieval.numerics.joint import WaldTest, wald
from qieval.numerics.means import crossproduct, n_clusters
from qieval.numerics.resampling import Resampling
from qieval.numerics.two_way import Codes, Floats, sums
from qieval.numerics.weighted_regression import weighted_regression

CELLS = 40

TRIM = 0.07
"""Least standard deviation that a difference in shares is divided by, so that rare outcomes do not decide."""


@dataclass(frozen=True, eq=False)
class FirstStages:
    """First stages (g,) in subgroups 0..g-1: coefficient of the instrument, its error and F statistic.

    NaN where the instrument or the treatment does not vary in the group, or no row is left over. overall and
    overall_error are those of everybody. equal is the Wald test that all coefficients are the same (None
    with fewer than two). opposite (g,) marks coefficients of another sign than the overall one, and
    p_opposite is the Bonferroni p-value of "no subgroup has the opposite sign" (one-sided).
    """

    coefficient: Floats
    std_error: Floats
    f: Floats
    n: Floats
    overall: float
    overall_error: float
    equal: WaldTest | None
    opposite: np.ndarray
    p_opposite: float


@dataclass(frozen=True, eq=False)
class ValidityTest:
    """Kitagawa's test: largest studentised violation of the inequalities, and its bootstrap p-value.

    arm (1 or 0) is the treatment and low..high the outcomes for which the violation is largest; share_high
    and share_low are the shares of people with that treatment and such an outcome where the instrument is 1
    and 0. In arm 1 share_high should not be below share_low, in arm 0 not above. statistic <= 0: no
    inequality is violated.
    """

    statistic: float
    p_value: float
    arm: int
    low: float
    high: float
    share_high: float
    share_low: float
    n_cells: int
    n_draws: int


def first_stages(
    x: Floats,
    z: Floats,
    groups: Codes,
    w: Floats | None = None,
    sampling: Sampling | None = None,
) -> FirstStages:
    """Regress x on the instrument z, both (n,), and on w (n, c), constant included, in each of the groups.

    groups (n,) are codes 0..g-1, negative for none. Covariance HC1 or, with clusters, CR1 with the factor
    of each group; clusters may run through several groups, whose coefficients are then correlated. With
    clusters the F form of the test of equality has G-1 degrees of freedom.
    """
    sampling = sampling or Sampling()
    weight = np.ones(len(x)) if sampling.weights is None else np.asarray(sampling.weights, dtype=float)
    controls = np.ones((len(x), 1)) if w is None else w
    count = int(groups.max()) + 1
    whole, whole_error, _ = _first_stage(x, z, controls, np.where(groups >= 0, weight, 0.0), sampling)
    found = [_first_stage(x, z, controls, np.where(groups == g, weight, 0.0), sampling) for g in range(count)]
    coefficient = np.array([one[0] for one in found])
    error = np.array([one[1] for one in found])
    influence = np.column_stack([one[2] for one in found])
    used = (weight > 0) & (groups >= 0)
    sign = np.copysign(1.0, whole)
    tails = scipy.special.ndtr(sign * (coefficient / error)[np.isfinite(error)])
    n = np.array([np.count_nonzero(used & (groups == g)) for g in range(count)], dtype=float)
    return FirstStages(
        coefficient=coefficient,
        std_error=error,
        f=(coefficient / error) ** 2,
        n=n,
        overall=whole,
        overall_error=whole_error,
        equal=_all_equal(coefficient, influence, used, sampling),
        opposite=sign * coefficient < 0,
        p_opposite=float(min(1.0, tails.size * tails.min())) if tails.size else np.nan,
    )


def _first_stage(
    x: Floats, z: Floats, w: Floats, weight: Floats, sampling: Sampling
) -> tuple[float, float, Floats]:
    """Coefficient, standard error, what rows contribute (n,), scaled so that squares add to the variance."""
    nothing = np.full(len(x), np.nan)
    if not (weight > 0).any() or np.ptp(x[weight > 0]) == 0:
        return np.nan, np.nan, nothing
    fit = weighted_regression(np.column_stack([w, z]), x, weight)
    groups = n_clusters(sampling.clusters, fit.used)
    if fit.aliased[-1] or groups < 2 or not np.isfinite(fit.small_sample):
        return np.nan, np.nan, nothing
    last = np.eye(fit.beta.size)[-1:]
    influence = fit.influence(last) * np.sqrt(fit.small_sample * groups / (groups - 1))
    variance = float(crossproduct(influence, sampling.clusters, fit.used)[0, 0])
    return float(fit.beta[-1]), float(np.sqrt(variance)), influence[:, 0]


def _all_equal(beta: Floats, influence: Floats, used: np.ndarray, sampling: Sampling) -> WaldTest | None:
    known = np.isfinite(beta)
    if np.count_nonzero(known) < 2:
        return None
    covariance = crossproduct(influence[:, known], sampling.clusters, used)
    differences = np.diff(np.eye(len(covariance)), axis=0)
    df = np.inf if sampling.clusters is None else float(n_clusters(sampling.clusters, used) - 1)
    return wald(differences @ beta[known], differences @ covariance @ differences.T, df)


def validity(
    y: Floats, x: Floats, z: Floats, clusters: Codes | None = None, resampling: Resampling | None = None
) -> ValidityTest:
    """Kitagawa's (2015) test that a 0/1 instrument z can be valid for a 0/1 treatment x; y (n,) any outcome.

    Validity (independence, exclusion, nobody does the opposite) implies for every set V of outcomes
    P(y in V, x = 1 | z = 1) >= P(y in V, x = 1 | z = 0), and the reverse for x = 0. V runs through all
    intervals of up to 40 cells: the distinct outcomes, or if there are more of them cells of about equal
    size. The statistic is the largest violation over its standard deviation (at least 0.07). Bootstrap under
    the least favourable null: rows drawn from both arms together; with clusters (n,) normal multipliers for
    the influence of each cluster. A small p-value speaks against the instrument; a large one does not speak
    for it. It holds without covariates: use it within strata where the instrument needs controls.
    """
    resampling = resampling or Resampling(draws=1000)
    if not all(np.isin(values, (0.0, 1.0)).all() for values in (x, z)):
        raise EstimationError("this test is for a 0/1 treatment and a 0/1 instrument")
    sizes = np.array([np.count_nonzero(z == 1), np.count_nonzero(z == 0)])
    if sizes.min() < 2:
        raise EstimationError("the instrument does not vary")
    cell, lower, upper = _cells(y)
    j = lower.size
    code = cell + j * (x == 1)
    counts = np.array([np.bincount(code[z == arm], minlength=2 * j) for arm in (1, 0)])
    shares = counts / sizes[:, None]
    violations, spread = _violations(shares[0], shares[1], sizes)
    statistic = violations / spread
    best = int(np.argmax(statistic))
    observed = float(statistic[best])
    if clusters is None:
        draws = _from_both(counts.sum(axis=0), sizes, resampling)
    else:
        draws = _multiplied(code, z, clusters, shares, resampling)
    extreme = sum(int(np.count_nonzero(block >= observed - 1e-12)) for block in draws)
    starts, ends = np.triu_indices(j)
    at = best % starts.size
    arm = 1 if best < starts.size else 0
    inside = slice(arm * j + starts[at], arm * j + ends[at] + 1)
    return ValidityTest(
        statistic=observed,
        p_value=(1 + extreme) / (1 + resampling.draws),
        arm=arm,
        low=float(lower[starts[at]]),
        high=float(upper[ends[at]]),
        share_high=float(shares[0, inside].sum()),
        share_low=float(shares[1, inside].sum()),
        n_cells=j,
        n_draws=resampling.draws,
    )


def _cells(y: Floats) -> tuple[Codes, Floats, Floats]:
    """Cell of each row (n,), lowest and highest outcome of each cell (J,)."""
    values, code, counts = np.unique(y, return_inverse=True, return_counts=True)
    if values.size > CELLS:
        middle = (np.cumsum(counts) - counts / 2) / counts.sum()
        group = np.unique((middle * CELLS).astype(np.intp), return_inverse=True)[1]
        code, starts = group[code], np.flatnonzero(np.diff(group, prepend=-1))
        return code, values[starts], values[np.append(starts[1:], values.size) - 1]
    return code.astype(np.intp), values, values


def _violations(high: Floats, low: Floats, sizes: Codes) -> tuple[Floats, Floats]:
    """Scaled violations (..., 2 J(J+1)/2), treatment 1 first, and their standard deviations.

    high, low (..., 2J): shares of treatment 0, then 1, in each cell where the instrument is 1 and 0.
    """
    of_high, of_low = _intervals(high), _intervals(low)
    part = sizes[0] / sizes.sum()
    sign = np.repeat([1.0, -1.0], of_high.shape[-1] // 2)
    variance = (1 - part) * of_high * (1 - of_high) + part * of_low * (1 - of_low)
    scale = np.sqrt(sizes[0] * sizes[1] / sizes.sum())
    return scale * sign * (of_low - of_high), np.maximum(np.sqrt(np.maximum(variance, 0.0)), TRIM)


def _intervals(shares: Floats) -> Floats:
    """Shares in all intervals of cells, treatment 1 first."""
    j = shares.shape[-1] // 2
    starts, ends = np.triu_indices(j)
    out = []
    for half in (shares[..., j:], shares[..., :j]):
        total = np.concatenate([np.zeros((*half.shape[:-1], 1)), np.cumsum(half, axis=-1)], axis=-1)
        out.append(total[..., ends + 1] - total[..., starts])
    return np.concatenate(out, axis=-1)


def _from_both(counts: Codes, sizes: Codes, resampling: Resampling) -> Iterator[Floats]:
    """Statistics of samples of the same sizes, both drawn from all rows together."""
    generator = np.random.default_rng(resampling.seed)
    probability = counts / counts.sum()
    for piece in resampling.pieces(resampling.draws, counts.size**2, "instrument validity"):
        shares = [generator.multinomial(n, probability, piece.stop - piece.start) / n for n in sizes]
        violations, spread = _violations(shares[0], shares[1], sizes)
        yield np.asarray((violations / spread).max(axis=-1))


def _multiplied(
    code: Codes, z: Floats, clusters: Codes, shares: Floats, resampling: Resampling
) -> Iterator[Floats]:
    """Statistics of the process of shares about their values, with a normal factor for each cluster."""
    labels = np.unique(clusters, return_inverse=True)[1]
    groups, width = int(labels.max()) + 1, shares.shape[1]
    sizes = np.array([np.count_nonzero(z == 1), np.count_nonzero(z == 0)])
    influence = []
    for own, arm, n in zip(shares, (1, 0), sizes, strict=True):
        here = z == arm
        held = sums(labels[here] * width + code[here], None, groups * width).reshape(groups, width)
        influence.append((held - held.sum(axis=1, keepdims=True) * own) / n)
    _, spread = _violations(shares[0], shares[1], sizes)
    generator = np.random.default_rng(resampling.seed)
    for piece in resampling.pieces(resampling.draws, width**2, "instrument validity"):
        factors = generator.standard_normal((piece.stop - piece.start, groups))
        violations, _ = _violations(factors @ influence[0], factors @ influence[1], sizes)
        yield np.asarray((violations / spread).max(axis=-1))
