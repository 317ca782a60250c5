"""Tests of residuals against statsmodels, sums written out and simulated levels."""

import numpy as np
import pytest
from scipy import stats

from qieval.numerics.residual_tests import (
    acf,
    breusch_godfrey,
    cumby_huizinga,
    durbin_watson,
    ljung_box,
    over_dispersion,
    pacf,
    probability_negative,
)

N = 50
T = np.arange(N)
X = np.column_stack([np.ones(N), T, T >= 25]).astype(float)
HAT = X @ np.linalg.inv(X.T @ X) @ X.T
GAPS = np.delete(T, [3, 4, 20, 21, 22, 40])


def residuals(rho: float = 0.4, seed: int = 0) -> np.ndarray:
    e = np.random.default_rng(seed).standard_normal(N)
    for t in range(1, N):
        e[t] += rho * e[t - 1]
    return e - HAT @ e


def test_correlations_against_statsmodels():
    from statsmodels.tsa.stattools import acf as their_acf
    from statsmodels.tsa.stattools import pacf as their_pacf

    e = residuals()
    np.testing.assert_allclose(acf(e, T, 12), their_acf(e, nlags=12)[1:], rtol=1e-10)
    np.testing.assert_allclose(pacf(e, T, 12), their_pacf(e, nlags=12, method="ldb")[1:], rtol=1e-8)


def test_correlations_with_gaps_use_pairs_at_the_true_distance():
    e = residuals()[GAPS]
    centred = e - e.mean()
    for lag, found in enumerate(acf(e, GAPS, 6), start=1):
        pairs = [(i, j) for i in range(e.size) for j in range(e.size) if GAPS[j] - GAPS[i] == lag]
        total = sum(centred[i] * centred[j] for i, j in pairs)
        assert found == pytest.approx(total / (len(pairs) + lag) / np.mean(centred**2))
    assert np.isnan(acf(np.arange(4.0), np.array([0, 2, 4, 6]), 3)[[0, 2]]).all()


def test_ljung_box_and_breusch_godfrey_against_statsmodels():
    from statsmodels.api import OLS
    from statsmodels.stats.diagnostic import acorr_breusch_godfrey, acorr_ljungbox

    e = residuals()
    for fitted in (0, 2):
        theirs = acorr_ljungbox(e, lags=[10], model_df=fitted).iloc[0]
        ours = ljung_box(e, T, 10, fitted)
        np.testing.assert_allclose([ours.statistic, ours.p_value], theirs, rtol=1e-9)
        assert ours.df == 10 - fitted
    found = breusch_godfrey(e, X, T, 3)
    theirs = acorr_breusch_godfrey(OLS(e, X).fit(), nlags=3, result_object=False)[:2]
    np.testing.assert_allclose([found.statistic, found.p_value], theirs, rtol=1e-8)


def test_breusch_godfrey_with_gaps_written_out():
    x, at = X[GAPS], GAPS
    e = residuals()[GAPS]
    e -= x @ np.linalg.lstsq(x, e, rcond=None)[0]
    place = {t: i for i, t in enumerate(at)}
    before = np.array([[e[place[t - h]] if t - h in place else 0.0 for h in (1, 2)] for t in at])
    z = np.column_stack([x, before])
    explained = z @ np.linalg.solve(z.T @ z, z.T @ e)
    expected = at.size * (explained @ explained) / (e @ e)
    assert breusch_godfrey(e, x, at, 2).statistic == pytest.approx(expected)


def test_durbin_watson_statistic_and_exact_p_value():
    e = residuals(0.3, seed=2)
    found = durbin_watson(e, X, T)
    assert found.statistic == pytest.approx(np.sum(np.diff(e) ** 2) / np.sum(e**2))
    draws = np.random.default_rng(3).standard_normal((40_000, N))
    draws -= draws @ HAT
    simulated = np.sum(np.diff(draws, axis=1) ** 2, axis=1) / np.sum(draws**2, axis=1)
    assert found.p_value == pytest.approx(np.mean(simulated < found.statistic), abs=0.006)
    assert durbin_watson(residuals(0.9), X, T).p_value < 1e-6
    assert durbin_watson(residuals(-0.9), X, T).p_value > 0.999


def test_durbin_watson_with_gaps_takes_neighbours_only():
    x, e = X[GAPS], residuals()[GAPS]
    e = e - x @ np.linalg.lstsq(x, e, rcond=None)[0]
    steps = [e[i + 1] - e[i] for i in range(GAPS.size - 1) if GAPS[i + 1] - GAPS[i] == 1]
    expected = np.sum(np.square(steps)) / np.sum(e**2) * (GAPS.size - 1) / len(steps)
    assert durbin_watson(e, x, GAPS).statistic == pytest.approx(expected)


def test_probability_of_quadratic_forms():
    """Against chi-squared and F distributions, which are special cases."""
    assert probability_negative(np.array([1.0, 2.0])) == pytest.approx(0, abs=1e-8)
    for c in (0.2, 1.0, 3.0):
        weights = np.concatenate([np.ones(4), -np.full(3, c)])
        assert probability_negative(weights) == pytest.approx(stats.f.cdf(c * 3 / 4, 4, 3), abs=1e-8)


def test_cumby_huizinga_without_allowance_by_hand():
    e = residuals(seed=4)
    before = np.concatenate([[0.0], e[:-1]])
    product = e * (before - HAT @ before)
    found = cumby_huizinga(e, X, T, 1)
    assert found.statistic == pytest.approx(product.sum() ** 2 / np.sum(product**2))
    assert found.p_value == pytest.approx(stats.chi2.sf(found.statistic, 1))


def test_levels_of_the_tests_hold_and_they_find_what_is_there():
    rng = np.random.default_rng(8)
    n = 1000
    t = np.arange(n)
    x = np.column_stack([np.ones(n), t, t >= n // 2]).astype(float)
    basis = np.linalg.qr(x)[0]
    rejected = np.zeros(4)
    for _ in range(500):
        noise = rng.standard_normal(n + 1)
        uneven = noise[1:] * np.where(t < n // 2, 1.0, 4.0)
        moving = noise[1:] + 0.8 * noise[:-1]
        e, m = (z - basis @ (basis.T @ z) for z in (uneven, moving))
        tests = [cumby_huizinga(e, x, t, 2), cumby_huizinga(m, x, t, 1, after=1), cumby_huizinga(m, x, t, 1)]
        plain = noise[1:] - basis @ (basis.T @ noise[1:])
        rejected += [*(test.p_value < 0.05 for test in tests), breusch_godfrey(plain, x, t, 4).p_value < 0.05]
    share = rejected / 500
    assert np.all(np.abs(share[[0, 1, 3]] - 0.05) < 0.03) and share[2] > 0.99


def test_over_dispersion():
    rng = np.random.default_rng(9)
    mean = np.full(400, 20.0)
    poisson, wide = rng.poisson(mean), rng.negative_binomial(10, 1 / 3, 400)
    none, much = over_dispersion(poisson, mean, 1), over_dispersion(wide, mean, 1)
    assert none.pearson == pytest.approx(np.sum((poisson - 20.0) ** 2) / 20)
    assert none.score == pytest.approx(np.sum((poisson - 20.0) ** 2 - poisson) / np.sqrt(2 * 400 * 400))
    assert none.p_pearson == pytest.approx(stats.chi2.sf(none.pearson, 399))
    assert min(none.p_pearson, none.p_score) > 0.01 and max(much.p_pearson, much.p_score) < 1e-6
    assert much.ratio == pytest.approx(np.sum((wide - 20.0) ** 2) / 20 / 399)


def test_what_cannot_be_tested_is_refused():
    e = residuals()
    for call in (
        lambda: acf(np.ones(N), T, 3),
        lambda: acf(e, T, N),
        lambda: ljung_box(e, T, 2, 2),
        lambda: breusch_godfrey(np.zeros(N), X, T, 1),
        lambda: durbin_watson(e, X, 2 * T),
        lambda: cumby_huizinga(e, X, 2 * T, 1),
        lambda: over_dispersion(np.ones(3), np.zeros(3), 1),
    ):
        with pytest.raises(ValueError):
            call()
