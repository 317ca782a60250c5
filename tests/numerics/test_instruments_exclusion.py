import numpy as np
import pytest
from scipy.stats import norm

from qieval.errors import EstimationError
from qieval.numerics.instruments_exclusion import exclusion


def sample(seed=0, n=300, k=2):
    rng = np.random.default_rng(seed)
    w = np.column_stack([np.ones(n), rng.normal(size=(n, 2))])
    clusters = rng.integers(0, 25, n)
    z = rng.normal(size=(n, k)) + rng.normal(size=25)[clusters][:, None]
    hidden = rng.normal(size=n)
    x = z @ np.linspace(0.8, 0.4, k) + w @ [0, 1, 0.5] + hidden + rng.normal(size=n)
    y = 1.5 * x + w @ [2, 1, -1] + hidden + rng.normal(size=n) * (1 + z[:, 0] ** 2)
    return y, x, z, w, rng.uniform(0.3, 2.0, n), clusters


def two_stage(y, x, z, w, weights=None, clusters=None):
    """The textbook version: estimate, HC1 or CR1 standard error."""
    weights = np.ones(len(y)) if weights is None else weights
    design, instruments = np.column_stack([x, w]), np.column_stack([z, w])
    cross = instruments.T @ (weights[:, None] * instruments)
    hat = instruments @ np.linalg.solve(cross, instruments.T @ (weights[:, None] * design))
    bread = np.linalg.inv(hat.T @ (weights[:, None] * hat))
    beta = bread @ hat.T @ (weights * y)
    scores = hat * (weights * (y - design @ beta))[:, None]
    n, k = design.shape
    if clusters is None:
        factor = n / (n - k)
    else:
        groups = np.unique(clusters)
        scores = np.array([scores[clusters == g].sum(axis=0) for g in groups])
        factor = groups.size / (groups.size - 1) * (n - 1) / (n - k)
    return beta[0], np.sqrt(factor * (bread @ scores.T @ scores @ bread)[0, 0])


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("clustered", [False, True])
def test_every_direct_effect_is_a_refit(k, weighted, clustered):
    y, x, z, w, weights, clusters = sample(k=k)
    weights, clusters = weights if weighted else None, clusters if clustered else None
    found = exclusion(y, x, z, w, weights, clusters)
    gammas = np.random.default_rng(1).normal(size=(5, k))
    refits = np.array([two_stage(y - z @ gamma, x, z, w, weights, clusters) for gamma in gammas])
    assert found.estimate(gammas) == pytest.approx(refits[:, 0], rel=1e-10)
    assert found.std_error(gammas) == pytest.approx(refits[:, 1], rel=1e-9)


def test_the_union_holds_every_interval_of_a_grid_and_is_attained():
    found = exclusion(*sample()[:4])
    low, high = np.array([-0.5, -0.1]), np.array([0.2, 0.6])
    union = found.union(low, high, level=0.9)
    axes = [np.linspace(a, b, 41) for a, b in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)
    half = norm.ppf(0.95) * found.std_error(grid)
    assert union.low == pytest.approx((found.estimate(grid) - half).min(), rel=1e-12)
    assert union.high == pytest.approx((found.estimate(grid) + half).max(), rel=1e-12)
    at = np.array([union.gamma_low])
    assert union.low == pytest.approx(
        (found.estimate(at) - norm.ppf(0.95) * found.std_error(at))[0], rel=1e-12
    )


def test_a_box_of_one_point_is_the_plain_interval():
    y, x, z, w, *_ = sample(k=1)
    beta, error = two_stage(y, x, z, w)
    union = exclusion(y, x, z, w).union(np.zeros(1), np.zeros(1))
    assert (union.low, union.high) == pytest.approx((beta - 1.959964 * error, beta + 1.959964 * error))


def test_local_to_zero_adds_the_prior():
    y, x, z, w, *_ = sample()
    found = exclusion(y, x, z, w)
    mean, covariance = np.array([0.1, -0.2]), np.array([[0.04, 0.01], [0.01, 0.09]])
    prior = found.local_to_zero(mean, covariance)
    shifts = np.array([two_stage(y, x, z, w)[0] - two_stage(y - column, x, z, w)[0] for column in z.T])
    assert prior.estimate == pytest.approx(found.beta - shifts @ mean, rel=1e-9)
    assert prior.std_error**2 == pytest.approx(
        two_stage(y, x, z, w)[1] ** 2 + shifts @ covariance @ shifts, rel=1e-9
    )
    assert prior.high - prior.low == pytest.approx(2 * norm.ppf(0.975) * prior.std_error)
    with pytest.raises(ValueError, match="negative"):
        found.local_to_zero(mean, -covariance)


@pytest.mark.parametrize("seed", range(6))
def test_breakdown_is_where_the_interval_first_takes_in_the_null(seed):
    found = exclusion(*sample(seed)[:4])
    direction, null = np.array([1.0, 0.5]), 0.2
    broken = found.breakdown(direction, null)
    assert not broken.included and broken.low < 0 < broken.high
    for end in (broken.low, broken.high):
        reach = end if np.isfinite(end) else np.copysign(1e4, end)
        curve = found.curve(direction, np.linspace(0, reach * (1 - 1e-9), 2000))
        assert ((curve.low > null) | (curve.high < null)).all()
        if np.isfinite(end):
            at = found.curve(direction, np.array([end]))
            assert min(abs(at.low[0] - null), abs(at.high[0] - null)) < 1e-8 * at.std_error[0]
    assert np.isfinite([broken.low, broken.high]).any()


def test_breakdown_where_the_null_is_in_from_the_start():
    found = exclusion(*sample()[:4])
    broken = found.breakdown(np.array([1.0, 1.0]), null=found.beta + found.std_error(np.zeros((1, 2)))[0])
    assert broken.included and (broken.low, broken.high) == (0, 0)


def test_units_and_order_do_not_matter():
    y, x, z, w, weights, clusters = sample()
    found = exclusion(y, x, z, w, weights, clusters)
    order = np.random.default_rng(3).permutation(len(y))
    scale = np.array([1e6, 1e-6])
    moved = exclusion(
        (1e3 * y)[order],
        (1e-4 * x)[order],
        (z * scale)[order],
        (w * [1, 1e8, 1e-5] + [0, 3e8, 0])[order],
        weights[order],
        clusters[order],
    )
    assert moved.beta == pytest.approx(found.beta * 1e7, rel=1e-9)
    gamma = np.array([[0.3, -0.2]])
    assert moved.std_error(gamma * 1e3 / scale) == pytest.approx(found.std_error(gamma) * 1e7, rel=1e-8)


def test_controls_that_are_combinations_and_rows_without_weight_change_nothing():
    y, x, z, w, weights, _ = sample()
    weights = np.where(np.arange(len(y)) < 30, 0.0, weights)
    found = exclusion(y, x, z, np.column_stack([w, w[:, 1] - 2 * w[:, 2]]), weights)
    y[:30] = np.nan
    plain = exclusion(y[30:], x[30:], z[30:], w[30:], weights[30:])
    assert found.beta == pytest.approx(plain.beta, rel=1e-11)
    assert found.form == pytest.approx(plain.form, rel=1e-9)


def test_what_cannot_be_estimated_is_an_error():
    y, x, z, w, *_ = sample()
    with pytest.raises(EstimationError, match="does not vary once the controls"):
        exclusion(y, x, w[:, 1:2] + 1.0, w)
    with pytest.raises(EstimationError, match="combination"):
        exclusion(y, x, np.column_stack([z, z @ [1, 1]]), w)
    with pytest.raises(EstimationError, match="does not vary with the instrument"):
        exclusion(y, w[:, 1], z, w)
    with pytest.raises(EstimationError, match="two clusters"):
        exclusion(y, x, z, w, None, np.zeros(len(y), dtype=int))
    with pytest.raises(ValueError, match="exceed"):
        exclusion(y, x, z, w).union(np.ones(2), np.zeros(2))
