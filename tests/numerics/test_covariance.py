import numpy as np
import pytest
from scipy import stats

from qieval.numerics.absorb import fit_event, fit_static, two_way, within
from qieval.numerics.covariance import covariance, t_interval


def fits(data, dense, weighted, event, group=None):
    """Our fit and the slow one, static or event study."""
    w = data["weights"] if weighted else None
    unit = data["unit"] if group is None else group
    base = within(two_way(unit, data["time"], w), data["y"], data["x"])
    fit = fit_event(base, data["code"], 6) if event else fit_static(base, data["d"])
    first = (data["code"][:, None] == np.arange(6)).astype(float) if event else data["d"][:, None]
    return fit, dense(unit, data["time"], data["y"], np.column_stack([first, data["x"]]), w)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("event", [False, True])
@pytest.mark.parametrize("by", ["unit", "cluster", "crossing", "time"])
def test_clustered_meat_equals_the_dense_sandwich(random_panel, dense, weighted, event, by):
    data = random_panel(3)
    fit, slow = fits(data, dense, weighted, event)
    found = covariance(fit, "cluster", data[by], "none")
    np.testing.assert_allclose(found.matrix, slow.meat(data[by]), rtol=1e-9, atol=1e-12)
    assert found.factor == 1.0 and found.df == data[by].max()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("event", [False, True])
def test_hc1_and_iid_equal_the_dense_ones(random_panel, dense, weighted, event):
    data = random_panel(4)
    fit, slow = fits(data, dense, weighted, event)
    n, k = data["y"].size, fit.n_slopes + 30 + 7 - 1
    robust, plain = covariance(fit, "hc1"), covariance(fit, "iid")
    np.testing.assert_allclose(robust.matrix, slow.meat(np.arange(n)) * n / (n - k), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(plain.matrix, slow.iid() / (n - k), rtol=1e-9, atol=1e-12)
    assert robust.df == plain.df == n - k
    bare = covariance(fit, "iid", small_sample="none")
    np.testing.assert_allclose(bare.matrix, slow.iid() / n, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("by", ["unit", "cluster", "crossing"])
def test_balanced_sorted_panel_equals_the_dense_sandwich(random_panel, dense, by):
    data = random_panel(11, missing=0.0)
    order = np.lexsort((data["time"], data["unit"]))
    data = {name: column[order] for name, column in data.items()}
    fit, slow = fits(data, dense, False, True)
    assert fit.base.rows.balanced
    expected = slow.meat(data[by])
    np.testing.assert_allclose(
        covariance(fit, "cluster", data[by], "none").matrix, expected, rtol=1e-9, atol=1e-12
    )
    every_row = slow.meat(np.arange(order.size))
    np.testing.assert_allclose(covariance(fit, "hc1", None, "none").matrix, every_row, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("event", [False, True])
@pytest.mark.parametrize("by", ["unit", "crossing"])
def test_two_groups_instead_of_units(random_panel, dense, event, by):
    data = random_panel(5)
    group = (data["unit"] % 3 == 0).astype(int)
    fit, slow = fits(data, dense, True, event, group)
    np.testing.assert_allclose(
        covariance(fit, "cluster", data[by], "none").matrix, slow.meat(data[by]), rtol=1e-8, atol=1e-12
    )
    np.testing.assert_allclose(
        covariance(fit, "hc1", small_sample="none").matrix,
        slow.meat(np.arange(group.size)),
        rtol=1e-8,
        atol=1e-12,
    )


def test_small_sample_factors_by_hand(random_panel):
    data = random_panel(6)
    unit, time = np.append(data["unit"], 77), np.append(data["time"], 0)
    y, d = np.append(data["y"], 5.0), np.append(data["d"], 0)
    cluster = np.append(data["cluster"], 10)
    fit = fit_static(within(two_way(unit, time), y), d)
    n, k, units, periods = data["y"].size, 1, 30, 7

    def factor(convention, clusters):
        return covariance(fit, "cluster", clusters, convention).factor

    assert factor("fixest", cluster) == pytest.approx(10 / 9 * (n - 1) / (n - k - periods))
    assert factor("fixest", np.append(data["crossing"], 0)) == pytest.approx(
        8 / 7 * (n - 1) / (n - (k + units + periods - 1))
    )
    assert factor("fixest", time) == pytest.approx(7 / 6 * (n - 1) / (n - (k + units)))
    # Stata keeps the singleton: one row, one unit and one cluster more.
    assert factor("stata", cluster) == pytest.approx(11 / 10 * n / (n + 1 - k - periods))
    assert factor("areg", cluster) == pytest.approx(11 / 10 * n / (n + 1 - (k + units + 1 + periods - 1)))
    assert factor("none", cluster) == 1.0
    same_everywhere = covariance(fit, "cluster", unit // 100)
    assert np.isnan(same_everywhere.matrix).all() and same_everywhere.degenerate.all()


def test_nothing_left_but_the_slope_when_both_factors_are_nested(random_panel):
    data = random_panel(7, units=6, periods=4, missing=0.0)
    unit, time = data["unit"], data["time"] + 4 * (data["unit"] >= 3)
    base = within(two_way(unit, time), data["y"])
    found = covariance(fit_static(base, data["d"]), "cluster", (unit >= 3).astype(int))
    assert found.unit_nested and found.time_nested and found.n_parameters == 2


def test_effect_fitted_exactly_in_one_cluster_is_degenerate(random_panel):
    data = random_panel(8, missing=0.0)
    treated = data["unit"] == 0
    one_unit = (treated & (data["after"] == 1)).astype(float)
    last = (treated & (data["time"] == 6)).astype(float)
    base = within(two_way(data["unit"], data["time"]), data["y"])
    by_group = covariance(fit_static(base, data["d"]), "cluster", (data["unit"] % 3 == 0).astype(int))
    assert by_group.degenerate[0] and np.isnan(by_group.std_error[0])
    for d in (one_unit, last):
        found = covariance(fit_static(base, d), "cluster", data["unit"])
        assert not found.degenerate[0] and found.std_error[0] > 0
    exact = covariance(fit_static(within(base.rows, data["d"] * 2.0), data["d"]), "cluster", data["unit"])
    assert exact.degenerate[0]


def test_collinear_columns_are_nan_and_take_no_degree_of_freedom(random_panel):
    data = random_panel(9)
    base = within(
        two_way(data["unit"], data["time"]), data["y"], np.column_stack([data["x"], data["x"][:, 0]])
    )
    fit = fit_static(base, data["d"])
    found = covariance(fit, "cluster", data["unit"])
    plain = fit_static(within(base.rows, data["y"], data["x"]), data["d"])
    np.testing.assert_allclose(
        found.matrix[:3, :3], covariance(plain, "cluster", data["unit"]).matrix, rtol=1e-10
    )
    assert np.isnan(found.matrix[3]).all() and np.isnan(found.std_error[3])


def test_clusters_are_required_where_they_are_used(random_panel):
    data = random_panel(10)
    fit = fit_static(within(two_way(data["unit"], data["time"]), data["y"]), data["d"])
    with pytest.raises(ValueError, match="cluster codes"):
        covariance(fit, "cluster")


@pytest.mark.parametrize("df", [1.0, 4.0, 57.5, np.inf])
@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_t_interval_against_scipy_stats(df, level):
    beta, error = np.array([-1.5, 0.0, 40.0]), np.array([0.7, 1.0, 0.3])
    found = t_interval(beta, error, df, level)
    np.testing.assert_allclose(found.p_value, 2 * stats.t.sf(np.abs(beta / error), df), rtol=1e-9)
    low, high = stats.t.interval(level, df, beta, error)
    np.testing.assert_allclose(found.low, low, rtol=1e-9)
    np.testing.assert_allclose(found.high, high, rtol=1e-9)


def test_t_interval_without_degrees_of_freedom_is_nan():
    found = t_interval(np.array([1.0]), np.array([1.0]), 0)
    assert np.isnan([found.p_value[0], found.low[0], found.high[0]]).all()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of pyfixest about pandas
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_pyfixest_agrees(random_panel, seed, weighted):
    pyfixest = pytest.importorskip("pyfixest", reason="pyfixest (extra 'bench') is the second oracle")
    import pandas as pd

    data = random_panel(seed + 50, units=60, periods=9, missing=0.3)
    unit = np.append(data["unit"], 999)  # a singleton
    frame = pd.DataFrame(
        {
            name: np.append(data[name], data[name][0])
            for name in ("time", "y", "d", "cluster", "code", "weights")
        }
    )
    frame = frame.assign(unit=unit, x0=np.append(data["x"][:, 0], 0.3), x1=np.append(data["x"][:, 1], 0.1))
    names = [f"e{e}" for e in range(8)]
    for e, name in enumerate(names):
        frame[name] = (frame["code"] == e).astype(float)
    w = frame["weights"].to_numpy() if weighted else None
    base = within(
        two_way(unit, frame["time"].to_numpy(), w), frame["y"].to_numpy(), frame[["x0", "x1"]].to_numpy()
    )
    by = frame["cluster"].to_numpy()
    for terms, fit in (
        (["d"], fit_static(base, frame["d"].to_numpy())),
        (names, fit_event(base, frame["code"].to_numpy(), 8)),
    ):
        for kind, vcov in (("cluster", {"CRV1": "cluster"}), ("hc1", "HC1"), ("iid", "iid")):
            oracle = pyfixest.feols(
                f"y ~ {' + '.join([*terms, 'x0', 'x1'])} | unit + time",
                frame,
                vcov=vcov,
                weights="weights" if weighted else None,
                fixef_rm="singleton",
                fixef_tol=1e-12,
            )
            found = covariance(fit, kind, by)
            np.testing.assert_allclose(np.append(fit.beta, fit.gamma), oracle.coef(), rtol=1e-8)
            np.testing.assert_allclose(found.std_error, oracle.se(), rtol=1e-8)
            interval = t_interval(np.append(fit.beta, fit.gamma), found.std_error, found.df)
            np.testing.assert_allclose(interval.p_value, oracle.pvalue(), rtol=1e-6, atol=1e-14)
