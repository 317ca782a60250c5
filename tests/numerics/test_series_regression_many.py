import numpy as np
import pytest

from qieval.numerics.series_regression import fit_series
from qieval.numerics.series_regression_many import fit_many

FAMILIES = ("gaussian", "poisson", "quasi-poisson", "binomial", "quasi-binomial")


def made(series=12, n=72, seed=0):
    generator = np.random.default_rng(seed)
    time = np.arange(n)
    wave = 2 * np.pi * time / 12
    x = np.column_stack([np.ones(n), time, time >= n // 2, np.sin(wave), np.cos(wave)])
    offset = generator.normal(0, 0.2, (series, n))
    linear = (
        offset
        + generator.normal([1.0, 0.005, -0.3, 0.1, 0.1], 0.1 * np.array([5, 0.05, 1, 1, 1]), (series, 5))
        @ x.T
    )
    trials = generator.integers(1, 30, (series, n)).astype(float)
    y = {
        "poisson": generator.poisson(np.exp(linear)).astype(float),
        "binomial": generator.binomial(trials.astype(int), 1 / (1 + np.exp(-linear))).astype(float),
        "gaussian": linear + generator.normal(0, 1, (series, n)),
    }
    return x, offset, trials, y


def same(fits, row, single):
    assert fits.converged[row] and single.converged
    np.testing.assert_allclose(fits.coefficients[row], single.coefficients, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(fits.std_error[row], single.std_error, rtol=1e-10)
    np.testing.assert_allclose(fits.deviance[row], single.deviance, rtol=1e-10)
    np.testing.assert_allclose(fits.dispersion[row], single.dispersion, rtol=1e-10)
    assert fits.df[row] == single.df


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("missing", [0.0, 0.15])
def test_the_same_as_one_series_after_another(family, missing):
    x, offset, trials, held = made()
    y = held[family.removeprefix("quasi-")].copy()
    y[np.random.default_rng(1).random(y.shape) < missing] = np.nan
    given = trials if "binomial" in family else None
    fits = fit_many(y, x, family, offset=offset, trials=given)
    for row in range(len(y)):
        kept = ~np.isnan(y[row])
        out_of = None if given is None else given[row, kept]
        single = fit_series(y[row, kept], x[kept], family, offset=offset[row, kept], trials=out_of)
        same(fits, row, single)
        assert fits.n_used[row] == kept.sum()


def test_offset_and_trials_of_one_series_serve_all():
    x, offset, _, held = made(series=300)
    y, out_of = np.minimum(held["poisson"], 20.0), np.full(72, 20.0)
    fits = fit_many(y, x, "binomial", offset=offset[0], trials=out_of)
    for row in (0, 299):
        same(fits, row, fit_series(y[row], x, "binomial", offset=offset[0], trials=out_of))


def test_series_that_fail_leave_the_others_unharmed():
    x, offset, _, held = made()
    y = held["poisson"].copy()
    whole = fit_many(y, x, "quasi-poisson", offset=offset)
    y[0] = 0.0
    y[1, :36] = 0.0
    y[2] = np.nan
    y[3, 4:] = np.nan
    y[4, 36:] = np.nan
    fits = fit_many(y, x, "quasi-poisson", offset=offset)
    assert not fits.converged[:5].any() and fits.converged[5:].all()
    for name in ("coefficients", "std_error", "dispersion", "deviance"):
        assert np.isnan(getattr(fits, name)[:5]).all()
        np.testing.assert_allclose(getattr(fits, name)[5:], getattr(whole, name)[5:], rtol=1e-12)


def test_successes_all_at_one_end_fail():
    x, _, trials, held = made(series=4)
    y = held["binomial"].copy()
    y[0], y[1], y[2, 36:] = 0.0, trials[1], trials[2, 36:]
    fits = fit_many(y, x, "binomial", trials=trials)
    assert fits.converged.tolist() == [False, False, False, True]


def test_sparse_series_agree_on_which_can_be_fitted():
    generator = np.random.default_rng(5)
    x, *_ = made()
    y = generator.poisson(0.05, (50, 72)).astype(float)
    fits = fit_many(y, x, "poisson")
    single = [fit_series(row, x, "poisson") for row in y]
    assert fits.converged.tolist() == [fit.converged for fit in single]
    assert 0 < fits.converged.sum() < 50
    for row in np.flatnonzero(fits.converged):
        np.testing.assert_allclose(fits.coefficients[row], single[row].coefficients, rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(fits.std_error[row], single[row].std_error, rtol=1e-8)


def test_no_series_at_all():
    fits = fit_many(np.empty((0, 72)), made()[0], "poisson")
    assert fits.coefficients.shape == (0, 5) and fits.converged.shape == (0,)


def test_what_cannot_be_fitted_is_said():
    x, *_ = made()
    with pytest.raises(ValueError, match="negative binomial"):
        fit_many(np.ones((2, 72)), x, "negative binomial")
    with pytest.raises(ValueError, match="series"):
        fit_many(np.ones((2, 71)), x, "poisson")
    with pytest.raises(ValueError, match="finite"):
        fit_many(np.full((2, 72), np.inf), x, "poisson")
