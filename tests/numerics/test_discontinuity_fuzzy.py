from dataclasses import replace

import numpy as np
import pytest

from qieval.numerics.discontinuity import Local, Scored, discontinuity
from qieval.numerics.discontinuity_fuzzy import anderson_rubin


def drawn(seed=3, n=500):
    rng = np.random.default_rng(seed)
    score = rng.uniform(-1, 1, n)
    uptake = (rng.random(n) < np.where(score >= 0, 0.8, 0.25)).astype(float)
    covariates = rng.normal(size=(n, 2)) * [1.0, 40.0] + [0.0, 2000.0]
    y = 3 + score + 0.5 * score**2 + 0.9 * uptake + 0.3 * covariates[:, 0] + rng.normal(size=n)
    clusters = rng.integers(0, 25, n)
    return Scored(
        score=score,
        y=y,
        uptake=uptake,
        covariates=covariates,
        clusters=clusters,
        weights=rng.uniform(0.5, 2, n),
    )


@pytest.mark.parametrize("variance", ["nn", "hc2", "cr1", "cr2"])
def test_fuzzy_is_the_ratio_of_its_jumps(variance):
    rows = drawn()
    rows = replace(rows, clusters=rows.clusters if variance.startswith("cr") else None)
    local = Local(h=0.7, b=0.9, variance=variance)
    found = discontinuity(rows, local)
    outcome = discontinuity(replace(rows, uptake=None), local)
    uptake = discontinuity(replace(rows, y=rows.uptake, uptake=None), local)
    assert found.estimate[0] == pytest.approx(outcome.estimate[0] / uptake.estimate[0])
    for ours, alone in ((found.outcome, outcome), (found.uptake, uptake)):
        assert ours.estimate == pytest.approx(alone.estimate)
        assert ours.std_error == pytest.approx(alone.std_error)
    total = discontinuity(replace(rows, y=rows.y + rows.uptake, uptake=None), local).std_error[2] ** 2
    covariance = found.sides.robust_covariance
    assert covariance[0, 1] == pytest.approx((total - np.trace(covariance)) / 2, rel=1e-6)
    gradient = np.array([1.0, -found.estimate[0]]) / uptake.estimate[0]
    assert found.std_error[2] == pytest.approx(np.sqrt(gradient @ covariance @ gradient))
    assert found.first_stage_f == pytest.approx(uptake.statistic[2] ** 2)


def test_full_compliance_is_sharp():
    rows = replace(drawn(), uptake=None, covariates=None, clusters=None, weights=None)
    found = discontinuity(replace(rows, uptake=(rows.score >= 0).astype(float)), Local())
    plain = discontinuity(rows, Local())
    assert found.estimate == pytest.approx(plain.estimate) and found.std_error == pytest.approx(
        plain.std_error
    )
    assert found.first_stage_f == np.inf and found.uptake.estimate == pytest.approx([1, 1, 1])


def inside(jumps, covariance, level, beta):
    variance = covariance[0, 0] - 2 * beta * covariance[0, 1] + beta**2 * covariance[1, 1]
    critical = {0.95: 3.841458820694124, 0.6: 0.7083263}[level]
    return (jumps[0] - beta * jumps[1]) ** 2 <= critical * variance


@pytest.mark.parametrize("level", [0.95, 0.6])
@pytest.mark.parametrize("seed", range(12))
def test_anderson_rubin_holds_what_the_test_does_not_reject(seed, level):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(2, 2))
    jumps, covariance = rng.normal(size=2) * [2, 1.5], root @ root.T
    found = anderson_rubin(jumps, covariance, level)
    for beta in np.concatenate([np.linspace(-40, 40, 4001), [-1e6, 1e6]]):
        assert any(low <= beta <= high for low, high in found) == inside(jumps, covariance, level, beta)
    assert any(low <= jumps[0] / jumps[1] <= high for low, high in found)
    scaled = anderson_rubin(jumps * [1e9, 1e-9], covariance * np.outer([1e9, 1e-9], [1e9, 1e-9]), level)
    assert np.array(scaled) == pytest.approx(np.array(found) * 1e18, rel=1e-6)


def test_anderson_rubin_has_every_shape():
    ends = [len(anderson_rubin(np.array([1.0, t]), np.eye(2) * 0.1)) for t in (3.0, 0.4)]
    assert ends == [1, 2]
    assert anderson_rubin(np.array([0.1, 0.1]), np.eye(2)) == [(-np.inf, np.inf)]
    assert anderson_rubin(np.array([1.0, 0.0]), np.diag([0.1, 0.0])) == []
    assert anderson_rubin(np.array([0.1, 0.0]), np.diag([0.1, 0.0])) == [(-np.inf, np.inf)]
