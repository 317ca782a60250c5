import numpy as np
import pytest
from scipy import stats

from qieval.numerics import multiplier_bootstrap as module
from qieval.numerics.group_time_variance import influence_covariance
from qieval.numerics.joint import sup_t
from qieval.numerics.kernels.multiplier_signs import add_signed
from qieval.numerics.multiplier_bootstrap import multiplier_bootstrap
from qieval.numerics.resampling import Resampling

KINDS = ("rademacher", "mammen", "webb")


@pytest.fixture
def influence():
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((600, 4)) @ np.array(
        [[1, 0.5, 0, 0], [0, 1, 2, 0], [0, 0, 1, 1], [0, 0, 0, 9.0]]
    )
    return scores - scores.mean(axis=0)


@pytest.mark.parametrize("n", [1, 7, 8, 21])
def test_signed_sums_by_table_are_signed_sums(n):
    rng = np.random.default_rng(n)
    rows, bits = rng.standard_normal((n, 3)), rng.integers(0, 256, (-(-n // 8), 50), dtype=np.uint8)
    out = np.ones((50, 3))
    add_signed(rows, bits, out)
    signs = 2.0 * np.unpackbits(bits, axis=0, bitorder="little")[:n] - 1
    assert np.allclose(out, 1 + signs.T @ rows, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_multipliers_have_mean_zero_and_variance_one(kind):
    if kind == "rademacher":
        out = np.zeros((40_000, 1))
        module._add_signs(out, np.ones((1, 1)), np.random.default_rng(0))
        assert set(out.ravel()) == {-1.0, 1.0}
    else:
        out = module._multipliers(kind, (40_000, 1), np.random.default_rng(0))
    assert abs(out.mean()) < 0.02 and out.var() == pytest.approx(1, abs=0.02)
    third = {"rademacher": 0, "mammen": 1, "webb": 0}[kind]
    assert (out**3).mean() == pytest.approx(third, abs=0.06)


@pytest.mark.parametrize("kind", KINDS)
def test_many_units_give_the_analytic_errors_and_the_exact_band(influence, kind):
    found = multiplier_bootstrap(influence, Resampling(draws=20_000), kind=kind)
    covariance = influence_covariance(influence)
    assert np.allclose(found.std_error, covariance.std_error, rtol=0.03)
    assert found.critical == pytest.approx(sup_t(covariance.matrix), abs=0.05)
    assert found.critical == np.quantile(found.largest, 0.95, method="inverted_cdf")
    assert (found.n_clusters, found.kind, found.converged) == (None, kind, True)


def test_critical_value_of_one_column_is_the_normal_one(influence):
    found = multiplier_bootstrap(influence[:, :1], Resampling(draws=40_000, level=0.9))
    assert found.critical == pytest.approx(stats.norm.ppf(0.95), abs=0.03)


def test_draws_of_few_clusters_against_all_patterns(influence):
    # Ten clusters: 1,024 equally likely patterns of signs.
    codes = np.arange(600) % 10
    sums = np.array([influence[codes == c].sum(axis=0) for c in range(10)])
    signs = 2.0 * (np.arange(1024)[:, None] >> np.arange(10) & 1) - 1
    every = signs @ sums / 600
    error = np.subtract(*np.quantile(every, [0.75, 0.25], axis=0)) / module.NORMAL_RANGE
    largest = np.abs(every / error).max(axis=1)
    found = multiplier_bootstrap(influence, Resampling(draws=40_000), codes)
    assert found.n_clusters == 10 and np.allclose(found.std_error, error, rtol=0.03)
    assert found.critical == pytest.approx(np.quantile(largest, 0.95), abs=0.04)
    assert found.largest.max() <= largest.max() * 1.04


def test_two_ways_of_clusters_have_the_variance_without_double_counting(influence):
    codes = np.arange(600) % 30, np.arange(600) // 20
    found = multiplier_bootstrap(influence, Resampling(draws=20_000), codes)
    assert np.allclose(found.std_error, influence_covariance(influence, codes).std_error, rtol=0.04)
    assert found.n_clusters == 30


def test_draws_do_not_depend_on_layout_or_draws_before(influence):
    one = multiplier_bootstrap(influence, Resampling(draws=500, seed=3))
    again = multiplier_bootstrap(np.asfortranarray(influence), Resampling(draws=500, seed=3, progress=True))
    other = multiplier_bootstrap(influence, Resampling(draws=500, seed=4))
    assert np.array_equal(one.std_error, again.std_error) and one.critical == again.critical
    assert not np.array_equal(one.std_error, other.std_error)


def test_several_blocks_of_rows_and_draws_are_put_together(influence, monkeypatch):
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 104)
    monkeypatch.setattr(module, "DRAWS_AT_ONCE", 3000)
    found = multiplier_bootstrap(influence, Resampling(draws=20_000))
    assert np.allclose(found.std_error, influence_covariance(influence).std_error, rtol=0.03)


def test_units_of_measurement_do_not_matter(influence):
    one = multiplier_bootstrap(influence, Resampling(draws=300))
    other = multiplier_bootstrap(influence * [1e-9, 1.0, 1e3, 1e9], Resampling(draws=300))
    assert other.critical == pytest.approx(one.critical, rel=1e-9)


def test_columns_that_do_not_vary_are_left_out(influence):
    codes = np.arange(600) // 60
    influence[:, 0] = np.concatenate([part - part.mean() for part in np.split(influence[:, 0], 10)])
    influence[:, 1] = 0
    found = multiplier_bootstrap(influence, Resampling(draws=400), codes)
    assert np.isnan(found.std_error[:2]).all() and np.isfinite(found.critical)
    nothing = multiplier_bootstrap(influence[:, :2], Resampling(draws=400), codes)
    assert not nothing.converged and np.isnan(nothing.critical) and np.isnan(nothing.std_error).all()
