import numpy as np
import pytest
from scipy import stats

from qieval.numerics.cluster_jackknife import FEW, NO_ESTIMATE, cluster_jackknife

PYFIXEST = [0.3667359549975455, 0.25349098655005864, 0.16394442098680678]


def regression(seed=0, n=90, clusters=9):
    rng = np.random.default_rng(seed)
    x = np.column_stack([np.ones(n), rng.standard_normal((n, 2))])
    codes = rng.integers(0, clusters, n)
    y = x @ [1.0, 0.5, -2.0] + rng.standard_normal(clusters)[codes] + rng.standard_normal(n)
    return x, y, codes


def least_squares(x, y, rows):
    return np.linalg.lstsq(x[rows], y[rows], rcond=None)[0]


def test_the_mean_of_equal_clusters_gets_the_textbook_standard_error():
    y = np.random.default_rng(1).standard_normal(7)
    found = cluster_jackknife(lambda kept: y[kept].mean(keepdims=True), y.mean(keepdims=True), 7)
    error = y.std(ddof=1) / np.sqrt(7)
    assert found.std_error[0] == pytest.approx(error, rel=1e-12)
    assert found.p_value[0] == pytest.approx(stats.ttest_1samp(y, 0).pvalue, rel=1e-10)
    assert (found.low[0], found.high[0]) == pytest.approx(
        stats.t.interval(0.95, 6, y.mean(), error), rel=1e-10
    )
    assert found.df == 6 and found.reason == ("",)


@pytest.mark.parametrize("centre", ["estimate", "mean"])
def test_least_squares_against_the_formula_in_cross_products(centre):
    """MacKinnon, Nielsen and Webb (2023), equation 5: b_g = (X'X - Xg'Xg)^-1 (X'y - Xg'yg)."""
    x, y, codes = regression()
    without = []
    for g in range(9):
        own = x[codes == g]
        without.append(np.linalg.solve(x.T @ x - own.T @ own, x.T @ y - own.T @ y[codes == g]))
    b = np.linalg.solve(x.T @ x, x.T @ y)
    away = np.array(without) - (b if centre == "estimate" else np.mean(without, axis=0))
    found = cluster_jackknife(lambda kept: least_squares(x, y, kept[codes]), b, 9, centre=centre)
    assert found.covariance == pytest.approx(8 / 9 * away.T @ away, rel=1e-8)
    assert found.left_out == pytest.approx(np.array(without), rel=1e-8)


def test_reference_number_of_pyfixest():
    """feols("y ~ x1 + x2", vcov={"CRV3": "codes"}, ssc=ssc(k_adj=False, G_adj=False)) of pyfixest 0.60.0.

    It sums the squares without the factor (G - 1)/G of the paper.
    """
    x, y, codes = regression()
    found = cluster_jackknife(
        lambda kept: least_squares(x, y, kept[codes]), least_squares(x, y, codes >= 0), 9
    )
    assert found.std_error == pytest.approx(np.sqrt(8 / 9) * np.array(PYFIXEST), rel=1e-9)


def test_units_and_order_do_not_matter():
    x, y, codes = regression(2)

    def fit(y, codes):
        def refit(kept):
            return least_squares(x, y, kept[codes])

        return cluster_jackknife(refit, refit(np.ones(9, dtype=bool)), 9)

    one, other = fit(y, codes), fit(y * 1e6, 8 - codes)
    assert other.p_value == pytest.approx(one.p_value, rel=1e-8)
    assert other.std_error == pytest.approx(one.std_error * 1e6, rel=1e-8)


def test_a_coefficient_that_hangs_on_one_cluster_says_so():
    y = np.arange(4.0)

    def refit(kept):
        return np.array([y[kept].mean(), y[0] if kept[0] else np.nan])

    found = cluster_jackknife(refit, np.array([y.mean(), y[0]]), 4)
    assert found.reason[0] == "" and np.isfinite(found.std_error[0])
    assert "Without 1 of the 4 clusters" in found.reason[1] and np.isnan(found.std_error[1])
    assert found.influence[0, 0] == pytest.approx(y.mean() - y[1:].mean())


def test_nothing_to_leave_out():
    one = cluster_jackknife(lambda kept: np.ones(1), np.ones(1), 1)
    assert one.reason == (FEW,) and np.isnan([one.std_error[0], one.p_value[0], one.low[0]]).all()
    missing = cluster_jackknife(lambda kept: np.ones(1), np.array([np.nan]), 5)
    assert missing.reason == (NO_ESTIMATE,) and np.isnan(missing.std_error[0])
