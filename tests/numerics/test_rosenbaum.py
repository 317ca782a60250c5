import itertools

import numpy as np
import pytest
from scipy import stats

from qieval.errors import EstimationError
from qieval.numerics import rosenbaum
from qieval.numerics.rosenbaum import (
    Huber,
    binary_bounds,
    critical_gamma,
    hodges_lehmann_bounds,
    m_bounds,
    m_scores,
    signed_rank_bounds,
)

GAMMAS = [1.0, 1.3, 2.0, 4.5]


def gaps(n=60, seed=0):
    return np.random.default_rng(seed).normal(0.4, 1, n)


def test_binary_bounds_are_binomial_tails():
    found = binary_bounds(30, 12, GAMMAS)
    for gamma, low, high in zip(GAMMAS, found.low, found.high, strict=True):
        assert high == pytest.approx(stats.binom.sf(29, 42, gamma / (1 + gamma)), rel=1e-10)
        assert low == pytest.approx(stats.binom.sf(29, 42, 1 / (1 + gamma)), rel=1e-10)
    assert binary_bounds(0, 5, 2.0).high[0] == 1


def test_no_hidden_bias_is_the_usual_test():
    found = signed_rank_bounds(gaps(), 1.0)
    usual = stats.wilcoxon(gaps(), alternative="greater", method="asymptotic", correction=False)
    assert found.high[0] == found.low[0] == pytest.approx(usual.pvalue, rel=1e-10)


@pytest.mark.parametrize("zeros", ["drop", "rank"])
def test_signed_rank_bounds_with_ties_and_zeros(zeros):
    differences = np.round(gaps() * 2)
    held = differences[differences != 0] if zeros == "drop" else differences
    ranks = stats.rankdata(np.abs(held)) * (held != 0)
    found = signed_rank_bounds(differences, GAMMAS, zeros)
    for place, gamma in enumerate(GAMMAS):
        for p, bound in ((gamma / (1 + gamma), found.high), (1 / (1 + gamma), found.low)):
            z = (ranks[held > 0].sum() - p * ranks.sum()) / np.sqrt(p * (1 - p) * (ranks**2).sum())
            assert bound[place] == pytest.approx(stats.norm.sf(z), rel=1e-9)


def test_pairs_that_do_not_differ_say_nothing():
    assert signed_rank_bounds(np.zeros(5), [1.0, 2.0]).high.tolist() == [1, 1]


def walsh(differences):
    n = len(differences)
    return sorted(
        ((differences[i] + differences[j]) / 2 for i in range(n) for j in range(i, n)), reverse=True
    )


@pytest.mark.parametrize("rounded", [False, True])
@pytest.mark.parametrize("n", [1, 2, 7, 40])
def test_hodges_lehmann_bounds_are_walsh_averages(n, rounded):
    differences = gaps(n, seed=n)
    differences = np.round(differences * 2) if rounded else differences
    averages = walsh(differences)
    found = hodges_lehmann_bounds(differences, GAMMAS)
    for place, gamma in enumerate(GAMMAS):
        for expected, bound in (
            (len(averages) * gamma / (1 + gamma), found.low),
            (len(averages) / (1 + gamma), found.high),
        ):
            whole = abs(expected - round(expected)) < 1e-9
            wanted = (
                (averages[round(expected) - 1] + averages[round(expected)]) / 2
                if whole
                else averages[int(np.ceil(expected)) - 1]
            )
            assert bound[place] == pytest.approx(wanted, rel=1e-12, abs=1e-12)
    assert found.low[0] == found.high[0] == pytest.approx(np.median(averages), abs=1e-12)


def test_hodges_lehmann_bounds_move_with_the_data():
    one, other = (
        hodges_lehmann_bounds(gaps() * scale + shift, GAMMAS) for scale, shift in ((1, 0), (1e6, 3e6))
    )
    np.testing.assert_allclose(other.high, one.high * 1e6 + 3e6, rtol=1e-9)


def sets(seed=0, n=25, m=4):
    values = np.random.default_rng(seed).normal(size=(n, m))
    values[:, 0] += 0.8
    values[::3, -1] = np.nan
    values[::4, -2] = np.nan
    return values


def slow_scores(values, score):
    pairs = [
        abs(row[i] - row[j])
        for row in values
        for i, j in itertools.permutations(range(len(row)), 2)
        if np.isfinite(row[i]) and np.isfinite(row[j])
    ]
    unit = np.quantile(pairs, score.quantile)
    out = np.full(values.shape, np.nan)
    for r, row in enumerate(values):
        there = [k for k in range(len(row)) if np.isfinite(row[k])]
        for i in there:
            total = 0.0
            for j in there:
                size = max(abs(row[i] - row[j]) / unit - score.inner, 0) / (score.trim - score.inner)
                total += np.sign(row[i] - row[j]) * min(size, 1)
            out[r, i] = total / len(there)
    return out


@pytest.mark.parametrize("score", [Huber(), Huber(inner=0.5, trim=2.0, quantile=0.8)])
def test_m_scores_against_a_slow_version(score):
    np.testing.assert_allclose(m_scores(sets(), score), slow_scores(sets(), score), atol=1e-12)


def slow_extreme(row, gamma):
    """The largest mean of a treated score over all 0/1 confounders of a set, and its largest variance."""
    q = row[np.isfinite(row)]
    found = []
    for u in itertools.product((0, 1), repeat=q.size):
        weight = gamma ** np.array(u)
        weight = weight / weight.sum()
        mean = weight @ q
        found.append((round(mean, 12), weight @ q**2 - mean**2))
    return max(found)


@pytest.mark.parametrize("gamma", [1.0, 1.7, 6.0])
def test_m_bounds_against_every_binary_confounder(gamma):
    scores = m_scores(sets())
    parts = np.array([slow_extreme(row, gamma) for row in scores])
    z = (scores[:, 0].sum() - parts[:, 0].sum()) / np.sqrt(parts[:, 1].sum())
    assert m_bounds(scores, gamma).high[0] == pytest.approx(stats.norm.sf(z), rel=1e-8)
    parts = np.array([slow_extreme(-row, gamma) for row in scores])
    z = (scores[:, 0].sum() + parts[:, 0].sum()) / np.sqrt(parts[:, 1].sum())
    assert m_bounds(scores, gamma).low[0] == pytest.approx(stats.norm.sf(z), rel=1e-8)


def test_m_statistic_of_pairs_without_trimming_is_the_permutation_t_test():
    differences = gaps()
    scores = m_scores(np.column_stack([differences, np.zeros_like(differences)]), Huber(trim=np.inf))
    z = differences.sum() / np.sqrt((differences**2).sum())
    assert m_bounds(scores, 1.0).high[0] == pytest.approx(stats.norm.sf(z), rel=1e-9)


def test_m_scores_ignore_incomplete_sets_and_need_a_unit():
    values = sets()
    values[0, 0] = np.nan
    values[1, 1:] = np.nan
    assert np.isnan(m_scores(values)[:2]).all()
    np.testing.assert_allclose(m_scores(values)[2:], m_scores(values[2:]))
    with pytest.raises(EstimationError, match="no unit"):
        m_scores(np.zeros((5, 2)))


def test_bounds_widen_with_gamma():
    for bounds in (
        binary_bounds(30, 12, GAMMAS),
        signed_rank_bounds(gaps(), GAMMAS),
        m_bounds(m_scores(sets()), GAMMAS),
    ):
        assert (np.diff(bounds.high) >= 0).all() and (np.diff(bounds.low) <= 0).all()
        assert bounds.low[0] == pytest.approx(bounds.high[0])


def test_critical_gamma():
    found = critical_gamma(lambda gamma: float(binary_bounds(30, 12, gamma).high[0]))
    assert stats.binom.sf(29, 42, found / (1 + found)) == pytest.approx(0.05, rel=1e-9)
    assert np.isnan(critical_gamma(lambda gamma: 0.2))
    assert critical_gamma(lambda gamma: 0.0) == np.inf


def test_average_ranks():
    values = np.array([3.0, 1.0, 3.0, 2.0])
    np.testing.assert_array_equal(rosenbaum._average_ranks(values), stats.rankdata(values))
