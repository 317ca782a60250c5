"""GMM, over-identification and endogeneity."""

import numpy as np
import pytest
from linearmodels.iv import IV2SLS, IVGMM
from scipy import stats
from scipy.optimize import minimize

from qieval.errors import EstimationError
from qieval.numerics.instruments import partial_out
from qieval.numerics.instruments_cue import cue
from qieval.numerics.instruments_estimators import tsls
from qieval.numerics.instruments_gmm import GMMOptions, gmm, hansen_j
from qieval.numerics.instruments_validity import endogeneity, over_identification


def sample(e=1, k=4, n=500, seed=0, wrong=0.0):
    """wrong: a direct effect of the last instrument on the outcome."""
    rng = np.random.default_rng(seed)
    clusters = rng.integers(0, 40, n)
    w = np.column_stack([np.ones(n), rng.standard_normal(n) + 2])
    z = rng.standard_normal((n, k)) + 0.5 * w[:, [1]]
    u = (rng.standard_normal(n) + 0.5 * rng.standard_normal(40)[clusters]) * np.exp(0.4 * z[:, 0])
    x = z @ rng.standard_normal((k, e)) + 0.5 * u[:, None] + rng.standard_normal((n, e))
    return x.sum(1) + w[:, 1] + u + wrong * z[:, -1], x, z, w, clusters


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("e", [1, 2])
@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("kind", ["hc0", "cr0"])
@pytest.mark.parametrize("steps", [2, 4])
def test_gmm_against_linearmodels(kind, centred, e, weighted, steps):
    y, x, z, w, clusters = sample(e)
    weights = np.random.default_rng(1).uniform(0.5, 2, len(y)) if weighted else None
    more = {"clusters": clusters} if kind == "cr0" else {}
    name = {"hc0": "robust", "cr0": "clustered"}[kind]
    model = IVGMM(y, w, x, z, weights=weights, weight_type=name, center=centred, **more)
    wanted = model.fit(cov_type=name, iter_limit=steps, tol=0, **more)
    found = gmm(
        partial_out(y, x, z, w, clusters, weights), GMMOptions(kind=kind, centred=centred, steps=steps)
    )
    order = np.r_[2 : 2 + e, 0:2]
    assert found.whole.coefficients == pytest.approx(wanted.params.to_numpy()[order], rel=1e-8)
    assert found.whole.errors == pytest.approx(wanted.std_errors.to_numpy()[order], rel=1e-7)
    assert found.j == pytest.approx(wanted.j_stat.stat, rel=1e-7)
    assert found.p_value == pytest.approx(wanted.j_stat.pval, rel=1e-6) and found.df == 4 - e


def test_iterated_gmm_settles():
    y, x, z, w, _ = sample()
    found = gmm(partial_out(y, x, z, w), GMMOptions(steps=100))
    assert found.converged and found.steps < 30
    wanted = IVGMM(y, w, x, z).fit(iter_limit=500, tol=1e-14)
    assert found.whole.coefficients[0] == pytest.approx(wanted.params.iloc[-1], rel=1e-8)


@pytest.mark.parametrize("kind", ["hc0", "cr0"])
def test_continuous_updating_is_the_minimum(kind):
    y, x, z, w, clusters = sample(wrong=0.1)
    found = cue(partial_out(y, x, z, w, clusters), kind)
    full, moments = np.column_stack([x, w]), np.column_stack([w, z])

    def objective(theta):
        scores = moments * (y - full @ theta)[:, None]
        total = scores.sum(0)
        if kind == "cr0":
            scores = np.array([scores[clusters == g].sum(0) for g in np.unique(clusters)])
        return total @ np.linalg.solve(scores.T @ scores, total)

    theta, step = found.whole.coefficients, found.whole.errors
    assert found.converged and objective(theta) == pytest.approx(found.j, rel=1e-9)
    best = minimize(lambda move: objective(theta + step * move), np.full(3, 0.1), tol=1e-10)
    assert best.fun == pytest.approx(found.j, rel=1e-7)
    assert np.abs(best.x).max() < 1e-3


def test_continuous_updating_does_not_depend_on_units():
    y, x, z, w, _ = sample(2)
    one = cue(partial_out(y, x, z, w))
    two = cue(partial_out(1e7 * y, x * [1e-5, 1e3], z * 1e4, w * [1.0, 1e-6]))
    assert two.j == pytest.approx(one.j, rel=1e-8)
    wanted = one.whole.coefficients[:2] * 1e7 / [1e-5, 1e3]
    assert two.whole.coefficients[:2] == pytest.approx(wanted, rel=1e-7)


@pytest.mark.parametrize("e", [1, 2])
def test_against_linearmodels(e):
    y, x, z, w, _ = sample(e)
    data = partial_out(y, x, z, w)
    fit = IV2SLS(y, w, x, z).fit(cov_type="robust")
    found, other = over_identification(data, tsls(data)), endogeneity(data, "hc0")
    pairs = [
        (found.sargan, fit.sargan),
        (found.basmann, fit.basmann),
        (found.score, fit.wooldridge_overid),
        (other.wu_hausman, fit.wu_hausman()),
        (other.durbin, fit.durbin()),
        (other.score, fit.wooldridge_score),
        (other.regression, fit.wooldridge_regression),
    ]
    for one, wanted in pairs:
        assert one.statistic == pytest.approx(wanted.stat, rel=1e-8)
        assert one.p_value == pytest.approx(wanted.pval, rel=1e-6, abs=1e-300)
        assert one.df == wanted.df


@pytest.mark.parametrize("kind", ["debiased", "hc1", "cr0", "cr1"])
def test_endogeneity_is_a_regression_with_first_stage_residuals(kind):
    y, x, z, w, clusters = sample(2)
    left = np.column_stack([w, z])
    residuals = x - left @ np.linalg.lstsq(left, x)[0]
    name = "clustered" if kind.startswith("cr") else "robust" if kind.startswith("hc") else "unadjusted"
    more = {"clusters": clusters} if name == "clustered" else {}
    plain = IV2SLS(y, np.column_stack([w, x, residuals]), None, None)
    fit = plain.fit(cov_type=name, debiased=kind != "cr0", **more)
    slopes, spread = fit.params.to_numpy()[4:], fit.cov.to_numpy()[4:, 4:]
    wald = slopes @ np.linalg.solve(spread, slopes)
    found = endogeneity(partial_out(y, x, z, w, clusters), kind)
    assert found.regression.statistic == pytest.approx(wald, rel=1e-8)
    assert found.regression.p_value == pytest.approx(stats.chi2.sf(wald, 2), rel=1e-6, abs=1e-300)


def test_score_test_with_clusters_is_hansens_j():
    y, x, z, w, clusters = sample()
    data = partial_out(y, x, z, w, clusters)
    found = over_identification(data, tsls(data), "cr0")
    assert found.score.statistic == pytest.approx(gmm(data, GMMOptions(kind="cr0")).j, rel=1e-9)
    assert found.score.statistic == pytest.approx(hansen_j(data, "cr0")[0], rel=1e-12)


def test_tests_find_what_is_there():
    y, x, z, w, _ = sample(wrong=1.0, n=3000)
    data = partial_out(y, x, z, w)
    found, other = over_identification(data, tsls(data)), endogeneity(data)
    assert max(found.sargan.p_value, found.score.p_value, found.hansen_centred.p_value) < 1e-4
    assert max(other.wu_hausman.p_value, other.score.p_value) < 1e-4


def test_what_does_not_apply_is_not_a_number():
    y, x, z, w, _ = sample()
    just = partial_out(y, x, z[:, :1], w)
    assert np.isnan(over_identification(just, tsls(just)).sargan.p_value)
    assert np.isnan(gmm(just).p_value) and gmm(just).j == pytest.approx(0, abs=1e-12)
    full = partial_out(y, z[:, 0], z[:, :1], w)
    assert np.isnan(endogeneity(full).wu_hausman.statistic)


def test_refusals():
    y, x, z, w, clusters = sample()
    data = partial_out(y, x, z, w, clusters % 3)
    with pytest.raises(EstimationError, match="more clusters than instruments"):
        gmm(data, GMMOptions(kind="cr0"))
    with pytest.raises(ValueError, match="hc0 or cr0"):
        gmm(data, GMMOptions(kind="hc1"))
