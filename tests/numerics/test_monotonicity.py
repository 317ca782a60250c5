import numpy as np
import pytest
from scipy import stats

from qieval.errors import EstimationError
from qieval.numerics.instruments_compliers import Sampling
from qieval.numerics.monotonicity import first_stages, validity
from qieval.numerics.resampling import Resampling


def sample(seed=0, n=900):
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 3, n)
    w = np.column_stack([np.ones(n), rng.normal(size=n)])
    z = rng.normal(size=n)
    x = np.array([0.8, 0.3, -0.4])[groups] * z + w[:, 1] + rng.normal(size=n) * (1 + (z > 0))
    return x, z, groups, w, rng.integers(0, 30, n)


def slow(x, z, w, clusters=None):
    design = np.column_stack([w, z])
    bread = np.linalg.inv(design.T @ design)
    beta = bread @ design.T @ x
    scores = design * (x - design @ beta)[:, None]
    if clusters is not None:
        scores = np.array([scores[clusters == g].sum(axis=0) for g in np.unique(clusters)])
    n, k, count = len(x), design.shape[1], len(scores)
    return beta[-1], np.sqrt(
        (bread @ scores.T @ scores @ bread)[-1, -1] * count / (count - 1) * (n - 1) / (n - k)
    )


@pytest.mark.parametrize("clustered", [False, True])
def test_first_stages_are_separate_regressions(clustered):
    x, z, groups, w, clusters = sample()
    found = first_stages(x, z, groups, w, Sampling(clusters=clusters if clustered else None))
    for g in range(3):
        at = groups == g
        beta, error = slow(x[at], z[at], w[at], clusters[at] if clustered else None)
        assert found.coefficient[g] == pytest.approx(beta, rel=1e-10)
        assert found.std_error[g] == pytest.approx(error, rel=1e-10)
        assert found.f[g] == pytest.approx((beta / error) ** 2, rel=1e-9)
    assert found.overall == pytest.approx(slow(x, z, w)[0], rel=1e-10)
    assert found.opposite.tolist() == [False, False, True]
    assert found.p_opposite == pytest.approx(
        3 * stats.norm.cdf(found.coefficient[2] / found.std_error[2]), rel=1e-9
    )
    assert found.equal.rank == 2 and found.equal.p_value < 1e-6


def test_equality_without_clusters_is_the_sum_of_squares_about_the_precision_weighted_mean():
    x, z, groups, w, _ = sample()
    found = first_stages(x, z, groups, w)
    precision = found.std_error**-2
    mean = precision @ found.coefficient / precision.sum()
    assert found.equal.statistic == pytest.approx(precision @ (found.coefficient - mean) ** 2, rel=1e-9)


def test_groups_without_a_first_stage_are_left_out():
    x, z, groups, w, _ = sample()
    z = np.where(groups == 1, 5.0, z)
    groups = np.where(np.arange(len(x)) < 10, -1, groups)
    found = first_stages(x, z, groups, w)
    assert np.isnan(found.coefficient[1]) and np.isnan(found.f[1]) and not found.opposite[1]
    assert found.equal.n_restrictions == 1 and found.n.sum() == len(x) - 10
    assert first_stages(x, z, np.zeros(len(x), dtype=int), w).equal is None


def two_arms(seed, n=600, direct=0.0, binary=False):
    rng = np.random.default_rng(seed)
    z = (rng.random(n) < 0.5).astype(float)
    kind = rng.choice([2, 1, 0], n, p=[0.1, 0.45, 0.45])
    x = np.where(kind == 2, z, kind == 1).astype(float)
    y = rng.normal(size=n) + 0.5 * x + direct * z * (kind == 1)
    return (y > 0).astype(float) if binary else y, x, z


def test_the_statistic_against_every_interval_in_turn():
    rng = np.random.default_rng(3)
    n = 200
    y, x, z = rng.integers(0, 6, n).astype(float), (rng.random(n) < 0.5) * 1.0, (rng.random(n) < 0.6) * 1.0
    m, k = np.sum(z == 1), np.sum(z == 0)
    best = -np.inf
    for low in range(6):
        for high in range(low, 6):
            for arm in (1, 0):
                inside = (y >= low) & (y <= high) & (x == arm)
                p, q = inside[z == 1].mean(), inside[z == 0].mean()
                spread = np.sqrt(k / n * p * (1 - p) + m / n * q * (1 - q))
                gap = (q - p) if arm else (p - q)
                value = np.sqrt(m * k / n) * gap / max(spread, 0.07)
                if value > best:
                    best, where = value, (arm, low, high, p, q)
    found = validity(y, x, z, resampling=Resampling(draws=50))
    assert found.statistic == pytest.approx(best, rel=1e-10)
    assert (found.arm, found.low, found.high) == where[:3]
    assert (found.share_high, found.share_low) == pytest.approx(where[3:], rel=1e-10)
    assert found.n_cells == 6 and 1 / 51 <= found.p_value <= 1


@pytest.mark.parametrize("clustered", [False, True])
def test_an_instrument_that_acts_directly_is_found(clustered):
    y, x, z = two_arms(0, n=2000, direct=2.5)
    clusters = np.arange(2000) // 4 if clustered else None
    found = validity(y, x, z, clusters, Resampling(draws=300))
    assert found.p_value < 0.02 and found.arm == 1
    y, x, z = two_arms(0, n=2000)
    assert validity(y, x, z, clusters, Resampling(draws=300)).p_value > 0.2


@pytest.mark.parametrize(
    ("binary", "clustered"), [(True, False), pytest.param(False, False, marks=pytest.mark.slow), (True, True)]
)
def test_the_size_at_the_least_favourable_null(binary, clustered):
    """No compliers and no direct effect: all inequalities hold with equality."""
    rejected, repeats = 0, 150
    for seed in range(repeats):
        rng = np.random.default_rng(seed)
        n, groups = 400, np.repeat(np.arange(100), 4)
        z, x = (rng.random(n) < 0.5) * 1.0, (rng.random(n) < 0.5) * 1.0
        y = rng.normal(size=n)
        y = (y > 0) * 1.0 if binary else y
        found = validity(y, x, z, groups if clustered else None, Resampling(draws=99, seed=seed))
        rejected += found.p_value <= 0.05
    assert rejected / repeats < 0.05 + 3 * np.sqrt(0.05 * 0.95 / repeats)


def test_validity_is_deterministic_and_free_of_order_and_units():
    y, x, z = two_arms(1)
    order = np.random.default_rng(0).permutation(len(y))
    one = validity(y, x, z, resampling=Resampling(draws=99))
    other = validity(1e6 * y[order], x[order], z[order], resampling=Resampling(draws=99))
    assert (one.statistic, one.p_value) == (other.statistic, other.p_value)
    with pytest.raises(EstimationError, match="0/1"):
        validity(y, x + 1, z)
    with pytest.raises(EstimationError, match="does not vary"):
        validity(y, x, np.ones(len(y)))
