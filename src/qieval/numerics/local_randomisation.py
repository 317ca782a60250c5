"""Regression discontinuity by local randomisation: the test of an effect within a window around the cutoff.

Sources: Cattaneo, Frandsen and Titiunik (2015); Cattaneo, Titiunik and Vazquez-Bare (2016, 2017); Rosenbaum
(2002) for tests of a constant effect. Statistics and large-sample p-values without a polynomial agree with
rdlocrand. With a polynomial the large-sample p-value is that of its Python version (3.0) with vce "hc3",
which is the default here, and that of its R version (2.0) with vce "hc2". The other differences are told
where they arise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from qieval.numerics.local_randomisation_draws import Distribution, distribution
from qieval.numerics.local_randomisation_exact import exact_difference
from qieval.numerics.local_randomisation_fit import Jump, jump
from qieval.numerics.local_randomisation_rows import (
    LocalRows,
    LocalTest,
    Ordered,
    Sample,
    local_rows,
    normal_tail,
)
from qieval.numerics.two_way import Floats


@dataclass(frozen=True)
class Side:
    """One side of the cutoff: rows in all, rows in the window, and the outcome there.

    sd is the standard deviation with divisor n - 1, NaN with one row.
    """

    n: int
    n_window: int
    mean: float
    sd: float


@dataclass(frozen=True)
class LocalRandomisation:
    """What a window says about "the effect is `null`".

    statistic is that of the outcome less null times the uptake (the side itself in a sharp design): right
    minus left; a rank sum is standardised, with ties accounted for, and positive if the right is higher
    (rdlocrand: opposite sign, no correction for ties). p_value is its randomisation p-value. how says
    whether the distribution was calculated ("exact"), listed ("enumerated") or drawn; p_error is the Monte
    Carlo error.

    estimate, std_error: jump of the outcome at the cutoff, or in a fuzzy design the effect of uptake with the
    side as instrument (NaN if uptake does not differ). outcome_jump and uptake_jump are the two jumps by
    themselves. p_asymptotic is the large-sample p-value of the statistic (in a fuzzy design that of
    Anderson and Rubin, which holds with weak uptake); p_estimate that of the estimate. power is the chance
    to find `effect` at this level in a large sample; NaN for Kolmogorov-Smirnov.

    With a polynomial, p_value holds the fitted slopes fixed from draw to draw (Cattaneo, Titiunik and
    Vazquez-Bare 2017), as R does; that leaves out their sampling error: at a nominal 5% a third of true
    hypotheses were rejected in simulation (100 rows, straight line). The Python version gives none. Rely on
    p_asymptotic then: `trustworthy` is False.
    """

    window: tuple[float, float]
    left: Side
    right: Side
    statistic: float
    p_value: float
    p_error: float
    how: str
    n_assignments: int
    estimate: float
    std_error: float
    p_estimate: float
    p_asymptotic: float
    outcome_jump: Jump
    uptake_jump: Jump | None
    effect: float
    power: float
    trustworthy: bool


def randomisation_test(
    sample: Sample, window: tuple[float, float], test: LocalTest | None = None, null: float = 0.0
) -> LocalRandomisation:
    """Test of a constant effect `null` in the window (low, high), both ends included, on the score's scale.

    The distribution is exact for differences of unweighted means of outcomes on a lattice (counts, yes or no)
    and for rank sums, and wherever there are few assignments; otherwise it is drawn. Raises ValueError if the
    window has an empty side.
    """
    test = test or LocalTest()
    rows = local_rows(sample, window, test)
    tested = rows.outcome - null * rows.uptake
    observed, spread = _tested(rows, tested, test)
    p_value = float(spread.p_value(observed))
    of_outcome = jump(rows.design(test.order), rows.outcome, test.errors)
    of_uptake = jump(rows.design(test.order), rows.uptake, test.errors) if rows.fuzzy else None
    effect_of = (
        jump(rows.design(test.order), rows.outcome, test.errors, rows.uptake) if rows.fuzzy else of_outcome
    )
    if test.statistic == "difference":
        of_tested = jump(rows.design(test.order), tested, test.errors)
    else:
        of_tested = Jump(observed, np.nan)
    sides = _sides(sample, rows)
    effect = test.effect if test.effect is not None else 0.5 * sides[0].sd
    return LocalRandomisation(
        window=window,
        left=sides[0],
        right=sides[1],
        statistic=observed,
        p_value=p_value,
        p_error=spread.p_error(p_value),
        how=spread.how,
        n_assignments=rows.assignments.count if spread.how != "drawn" else spread.weight.size,
        estimate=effect_of.estimate,
        std_error=effect_of.std_error,
        p_estimate=normal_tail(effect_of.z),
        p_asymptotic=_p_asymptotic(rows, tested, test, of_tested),
        outcome_jump=of_outcome,
        uptake_jump=of_uptake,
        effect=effect,
        power=_power(rows, test, of_tested, effect),
        trustworthy=test.order == 0,
    )


def _tested(rows: LocalRows, tested: Floats, test: LocalTest) -> tuple[float, Distribution]:
    """The observed statistic and its distribution over assignments."""
    observed = statistics(rows, tested, test, rows.assignments.on_right[None, :].astype(np.float64))[0]
    exact = _exact(rows, tested, test)
    if exact is not None:
        return float(observed), exact
    found = distribution(rows.assignments, test.drawing, lambda block: statistics(rows, tested, test, block))
    return float(observed), found


def statistics(rows: LocalRows, tested: Floats, test: LocalTest, block: Floats) -> Floats:
    """The test's statistic of values (m,) for every assignment of a block (b, g): (b,)."""
    if test.statistic == "difference":
        return np.asarray(rows.linear(tested[:, None], block)[:, 0])
    ordered = Ordered(tested)
    return ordered.ks(rows.spread(block)) if test.statistic == "ks" else ordered.rank_sum(rows.spread(block))


def _exact(rows: LocalRows, tested: Floats, test: LocalTest) -> Distribution | None:
    """The calculated distribution, None where it cannot be had."""
    if rows.clustered or test.kernel != "uniform" or test.statistic == "ks":
        return None
    if test.statistic == "difference":
        return exact_difference(tested, rows.n[1], rows.assignments.probability)
    ordered = Ordered(tested)
    if rows.assignments.probability is not None or ordered.rank_variance == 0:
        return None
    found = exact_difference(ordered.ranks, rows.n[1])
    if found is None:
        return None
    left, right = rows.n
    # The mean difference of ranks is a multiple of the standardised rank sum when both counts are fixed.
    scale = np.sqrt(left * right / (left + right) / ordered.rank_variance)
    return Distribution(found.values * scale, found.weight, found.how)


def _sides(sample: Sample, rows: LocalRows) -> tuple[Side, Side]:
    below = int(np.sum(sample.score < sample.cutoff))
    found = []
    raw = sample.outcome
    inside = rows.kept
    for total, on_right in ((below, False), (sample.score.size - below, True)):
        values = raw[inside][rows.on_right == on_right]
        sd = float(np.std(values, ddof=1)) if values.size > 1 else np.nan
        found.append(Side(total, values.size, float(values.mean()), sd))
    return found[0], found[1]


def _p_asymptotic(rows: LocalRows, tested: Floats, test: LocalTest, of_tested: Jump) -> float:
    """Normal p-value; for "ks" that of scipy (exact without ties). NaN for ranks of clusters."""
    if test.statistic == "difference":
        return normal_tail(of_tested.z)
    if rows.clustered:
        return np.nan
    if test.statistic == "rank sum":
        return normal_tail(of_tested.estimate)
    from scipy import stats

    return float(stats.ks_2samp(tested[~rows.on_right], tested[rows.on_right]).pvalue)


def _power(rows: LocalRows, test: LocalTest, of_tested: Jump, effect: float) -> float:
    """Large-sample power; that of a rank sum is for nearly normal outcomes (Lehmann 1975)."""
    z = float(scipy.special.ndtri((1 + test.level) / 2))
    if test.statistic == "difference":
        shift = effect / of_tested.std_error if of_tested.std_error > 0 else np.nan
    elif test.statistic == "rank sum":
        left, right = rows.n
        sd = float(np.std(rows.outcome, ddof=1))
        shift = np.sqrt(3 * left * right / ((left + right + 1) * np.pi)) * effect / sd if sd > 0 else np.nan
    else:
        return np.nan
    return float(scipy.special.ndtr(shift - z) + scipy.special.ndtr(-shift - z))
