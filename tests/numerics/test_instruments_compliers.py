import numpy as np
import pytest

from qieval.errors import EstimationError
from qieval.numerics.instruments_compliers import Sampling, compliers


def sample(seed=0, n=400):
    """Types known: 2 complier, 1 always, 0 never; the probability of the instrument depends on w."""
    rng = np.random.default_rng(seed)
    w = np.column_stack([np.ones(n), rng.normal(size=n)])
    z = (rng.random(n) < 1 / (1 + np.exp(-0.7 * w[:, 1]))).astype(float)
    kind = rng.choice([2, 1, 0], n, p=[0.5, 0.2, 0.3])
    x = np.where(kind == 2, z, kind == 1).astype(float)
    profile = np.column_stack([w[:, 1] + kind, rng.random(n) < 0.2 + 0.2 * kind]).astype(float)
    y = kind + w[:, 1] + x * (1 + kind) + rng.normal(size=n)
    return {"x": x, "z": z, "profile": profile, "w": w, "y": y}, kind


NAMES = ("overall", "complier", "always", "never", "difference", "ratio")


def numbers(found):
    """All values and all standard errors in one row each."""
    single = [found.share, found.share_always, found.share_never, found.y1, found.y0, found.effect]
    many = [getattr(found, name) for name in NAMES]
    values = [one.value for one in single] + [v for one in many for v in one.value]
    errors = [one.std_error for one in single] + [v for one in many for v in one.std_error]
    return np.array(values), np.array(errors)


def test_without_controls_it_is_kappa_and_wald():
    rows, _ = sample()
    x, z, y, g = rows["x"], rows["z"], rows["y"], rows["profile"][:, 0]
    found = compliers(x, z, rows["profile"], None, y)
    p = z.mean()
    kappa = 1 - x * (1 - z) / (1 - p) - (1 - x) * z / p
    one, zero = x * (z - p) / (p * (1 - p)), (1 - x) * (p - z) / (p * (1 - p))
    assert found.share.value == pytest.approx(kappa.mean(), rel=1e-10)
    assert found.complier.value[0] == pytest.approx(kappa @ g / kappa.sum(), rel=1e-10)
    assert found.y1.value == pytest.approx(one @ y / one.sum(), rel=1e-10)
    assert found.y0.value == pytest.approx(zero @ y / zero.sum(), rel=1e-10)
    wald = (y[z == 1].mean() - y[z == 0].mean()) / (x[z == 1].mean() - x[z == 0].mean())
    assert found.effect.value == pytest.approx(wald, rel=1e-10)
    assert found.always.value[0] == pytest.approx(g[(x == 1) & (z == 0)].mean(), rel=1e-10)
    assert found.never.value[0] == pytest.approx(g[(x == 0) & (z == 1)].mean(), rel=1e-10)


def test_the_standard_error_of_the_share_is_that_of_two_proportions():
    rows, _ = sample()
    x, z = rows["x"], rows["z"]
    found = compliers(x, z, rows["profile"])
    variance = x[z == 1].var() / np.sum(z == 1) + x[z == 0].var() / np.sum(z == 0)
    assert found.share.std_error == pytest.approx(np.sqrt(variance * len(x) / (len(x) - 1)), rel=1e-10)
    assert np.isnan(found.y1.value) and np.isnan(found.effect.std_error)


@pytest.mark.parametrize("clustered", [False, True])
def test_standard_errors_against_the_derivative_by_each_row_s_weight(clustered):
    rows, _ = sample(n=60)
    weights = np.random.default_rng(5).uniform(0.5, 2.0, 60)
    clusters = np.arange(60) % 15 if clustered else None
    found = compliers(**rows, sampling=Sampling(weights=weights, clusters=clusters))
    influence = np.empty((60, numbers(found)[0].size))
    for i in range(60):
        step = np.where(np.arange(60) == i, 1e-4, 0.0)
        up, down = (
            numbers(compliers(**rows, sampling=Sampling(weights=weights + s * step)))[0] for s in (1, -1)
        )
        influence[i] = weights[i] * (up - down) / 2e-4
    groups = 15 if clustered else 60
    total = np.array([influence[clusters == g].sum(axis=0) for g in range(15)]) if clustered else influence
    slow = np.sqrt((total**2).sum(axis=0) * groups / (groups - 1))
    assert numbers(found)[1] == pytest.approx(slow, rel=1e-5)


def test_the_truth_is_found_within_four_standard_errors():
    rows, kind = sample(seed=2, n=40_000)
    found = compliers(**rows)
    profile = rows["profile"]
    truth = {
        "share": (kind == 2).mean(),
        "share_always": (kind == 1).mean(),
        "share_never": (kind == 0).mean(),
    }
    truth |= {"y1": 5.0, "y0": 2.0, "effect": 3.0}
    for name, value in truth.items():
        estimate = getattr(found, name)
        assert abs(estimate.value - value) < 4 * estimate.std_error < 0.2, name
    for name, code in (("complier", 2), ("always", 1), ("never", 0)):
        estimate = getattr(found, name)
        assert (np.abs(estimate.value - profile[kind == code].mean(axis=0)) < 4 * estimate.std_error).all()
    naive = compliers(rows["x"], rows["z"], profile, None, rows["y"])
    assert abs(naive.effect.value - 3) > 4 * naive.effect.std_error


def test_shares_add_up_and_the_profile_averages_to_the_overall_mean():
    rows, _ = sample()
    found = compliers(**rows)
    shares = [found.share.value, found.share_always.value, found.share_never.value]
    assert sum(shares) == pytest.approx(1, rel=1e-12)
    groups = [found.complier.value, found.always.value, found.never.value]
    mixed = np.array(shares) @ np.array(groups)
    assert mixed == pytest.approx(found.overall.value, rel=1e-10)


def test_adding_a_constant_to_the_outcome_moves_both_means():
    rows, _ = sample()
    found, moved = compliers(**rows), compliers(**(rows | {"y": rows["y"] + 100}))
    assert moved.y1.value - found.y1.value == pytest.approx(100, rel=1e-10)
    assert moved.y0.value - found.y0.value == pytest.approx(100, rel=1e-10)
    assert moved.effect.std_error == pytest.approx(found.effect.std_error, rel=1e-8)


def test_order_and_whole_weights():
    rows, _ = sample()
    order = np.random.default_rng(1).permutation(400)
    counts = np.random.default_rng(2).integers(0, 3, 400)
    again = numbers(compliers(**{k: v[order] for k, v in rows.items()}))
    for one, other in zip(numbers(compliers(**rows)), again, strict=True):
        assert one == pytest.approx(other, rel=1e-9)
    repeated = {k: np.repeat(v, counts, axis=0) for k, v in rows.items()}
    weighted = compliers(**rows, sampling=Sampling(weights=counts.astype(float)))
    assert numbers(weighted)[0] == pytest.approx(numbers(compliers(**repeated))[0], rel=1e-9)


def test_nobody_crosses_over_in_one_direction():
    rows, kind = sample()
    rows["x"] = np.where(kind == 1, 0.0, rows["x"])
    found = compliers(**rows)
    assert found.share_always.value == 0 and np.isnan(found.always.value).all()
    assert np.isfinite(found.complier.std_error).all() and np.isfinite(found.effect.std_error)


def test_what_cannot_be_estimated_is_an_error():
    rows, _ = sample()
    with pytest.raises(EstimationError, match="swap"):
        compliers(**(rows | {"z": 1 - rows["z"]}))
    with pytest.raises(EstimationError, match="treatment must be 0 or 1"):
        compliers(**(rows | {"x": rows["x"] + 0.5}))
    with pytest.raises(EstimationError, match="does not vary"):
        compliers(**(rows | {"z": np.ones(400)}))
    with pytest.raises(EstimationError, match="without error"):
        compliers(**(rows | {"w": np.column_stack([np.ones(400), rows["z"]])}))
