import numpy as np
import pytest

from qieval.errors import EstimationError
from qieval.numerics.bias_ratio import bias_ratios, imbalance
from qieval.numerics.instruments_compliers import Sampling


def sample(n=120, seed=0):
    rng = np.random.default_rng(seed)
    z = (rng.random(n) < 0.4).astype(float)
    x = (rng.random(n) < 0.3 + 0.4 * z).astype(float)
    profile = np.column_stack([rng.normal(size=n) + 0.5 * x + 0.3 * z, rng.random(n) < 0.3 + 0.2 * x])
    return x, z, profile, rng.uniform(0.5, 2.0, n)


def test_standardised_differences_by_hand():
    _, z, profile, _ = sample()
    found = imbalance(z, profile)
    one, zero = profile[z == 1], profile[z == 0]
    spread = np.sqrt((one.var(axis=0, ddof=1) + zero.var(axis=0, ddof=1)) / 2)
    assert found.contrast == "arms"
    assert found.smd == pytest.approx((one.mean(axis=0) - zero.mean(axis=0)) / spread, rel=1e-12)
    assert found.high == pytest.approx(one.mean(axis=0), rel=1e-12)


def test_a_continuous_instrument():
    rng = np.random.default_rng(1)
    z, _, profile, _ = (rng.normal(size=121), *sample(121)[1:])
    assert imbalance(z, profile).smd == pytest.approx(np.corrcoef(z, profile.T)[0, 1:], rel=1e-10)
    halves = imbalance(z, profile, contrast="median")
    again = imbalance((z > np.median(z)).astype(float), profile)
    assert halves.smd == pytest.approx(again.smd, rel=1e-12)
    moved = imbalance(1e6 + 1e-3 * z, profile * [1e5, 1.0])
    assert moved.smd == pytest.approx(imbalance(z, profile).smd, rel=1e-6)


def test_equal_weights_and_rows_without_weight():
    _, z, profile, _ = sample()
    doubled = imbalance(z, profile, np.full(120, 2.0))
    assert doubled.smd == pytest.approx(imbalance(z, profile).smd, rel=1e-12)
    kept = np.arange(120) >= 20
    assert imbalance(z, profile, kept.astype(float)).smd == pytest.approx(
        imbalance(z[kept], profile[kept]).smd, rel=1e-12
    )


def test_constant_characteristics_and_instruments():
    _, z, profile, _ = sample()
    assert imbalance(z, np.full((120, 1), 3.0)).smd == [0.0]
    assert imbalance(np.arange(120.0), np.full((120, 1), 3.0)).smd == [0.0]
    with pytest.raises(EstimationError, match="does not vary"):
        imbalance(np.ones(120), profile)
    with pytest.raises(EstimationError, match="median"):
        imbalance(np.minimum(np.arange(120.0), 3), profile, contrast="median")


def test_bias_ratio_of_one_binary_instrument_by_hand():
    x, z, profile, _ = sample()
    found = bias_ratios(x, z[:, None], profile)
    first = x[z == 1].mean() - x[z == 0].mean()
    iv = (profile[z == 1].mean(axis=0) - profile[z == 0].mean(axis=0)) / first
    ols = profile[x == 1].mean(axis=0) - profile[x == 0].mean(axis=0)
    assert found.by_instrument.value == pytest.approx(iv, rel=1e-10)
    assert found.by_treatment.value == pytest.approx(ols, rel=1e-10)
    assert found.ratio.value == pytest.approx(iv / ols, rel=1e-10)


def test_standard_errors_against_the_derivative_by_each_row_s_weight():
    x, z, profile, weights = sample()
    rng = np.random.default_rng(4)
    several = np.column_stack([z, rng.normal(size=120) + x])
    w = np.column_stack([np.ones(120), rng.normal(size=120)])

    def values(by):
        found = bias_ratios(x, several, profile, w, Sampling(weights=by))
        parts = (found.by_instrument, found.by_treatment, found.ratio)
        return np.array([[part.value, part.std_error] for part in parts])

    slow = np.empty((120, 3, 2))
    for i in range(120):
        step = np.where(np.arange(120) == i, 1e-4, 0.0)
        slow[i] = weights[i] * (values(weights + step) - values(weights - step))[:, 0] / 2e-4
    # The two-stage estimate also moves with its first-stage weights, which the usual sandwich leaves out.
    errors = np.sqrt((slow**2).sum(axis=0) * 120 / 119)
    assert values(weights)[1, 1] == pytest.approx(errors[1], rel=1e-5)
    one = bias_ratios(x, several[:, :1], profile, w, Sampling(weights=weights))
    exact = np.empty((120, 2, 2))
    for i in range(120):
        step = np.where(np.arange(120) == i, 1e-4, 0.0)
        up, down = (
            bias_ratios(x, several[:, :1], profile, w, Sampling(weights=weights + s * step)) for s in (1, -1)
        )
        exact[i, 0] = weights[i] * (up.by_instrument.value - down.by_instrument.value) / 2e-4
        exact[i, 1] = weights[i] * (up.ratio.value - down.ratio.value) / 2e-4
    errors = np.sqrt((exact**2).sum(axis=0) * 120 / 119)
    assert one.by_instrument.std_error == pytest.approx(errors[0], rel=1e-5)
    assert one.ratio.std_error == pytest.approx(errors[1], rel=1e-5)


def test_a_characteristic_among_the_controls_has_no_bias():
    x, z, profile, _ = sample()
    found = bias_ratios(x, z[:, None], profile, np.column_stack([np.ones(120), profile[:, 0]]))
    assert found.by_instrument.value[0] == 0 and np.isnan(found.ratio.value[0])
    assert np.isfinite(found.ratio.value[1])
    with pytest.raises(EstimationError, match="the treatment does not vary"):
        bias_ratios(np.ones(120), z[:, None], profile)
