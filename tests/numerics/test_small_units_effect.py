from dataclasses import replace

import numpy as np
import pytest

from qieval.numerics.small_units_effect import around_effect, inverted, less
from qieval.numerics.small_units_errors import SmallUnits, linearised, summed


def small(seed=0, units=120, treated=25, effect=-3.0, outcomes=2, method="minimum norm"):
    rng = np.random.default_rng(seed)
    level = rng.gamma(4.0, 2.0, units)
    y = level + rng.poisson(5, (outcomes, 9, units)).astype(float)
    chosen = np.arange(units) < treated
    y[:, 6:, chosen] += effect
    constraints = np.vstack([np.ones(units), y[0, :6]])
    return SmallUnits(y, constraints, chosen, 6, method=method)


def residuals(data, weights):
    """Treated units less the regression of control units with weight on the constraints; and controls."""
    x, y = data.constraints.T, data.outcomes[:, data.after].sum(axis=1)
    root = np.sqrt(np.where(data.treated, 0.0, weights if data.method == "raking" else weights > 0))
    slopes = np.linalg.lstsq(root[:, None] * x, root[:, None] * y.T, rcond=None)[0]
    q, _ = np.linalg.qr(root[:, None] * x)
    left = (y.T - x @ slopes).T
    return left[:, data.treated], (weights * left / (1 - np.sum(q**2, axis=1)))[:, ~data.treated]


@pytest.mark.parametrize("method", ["minimum norm", "raking"])
def test_against_a_regression_written_out(method):
    data = small(method=method)
    weights, _ = data.weights()
    treated, control = residuals(data, weights)
    count = treated.shape[1]
    spread = treated - treated.mean(axis=1, keepdims=True)
    variance = np.sum(spread**2, axis=1) + np.sum(control**2, axis=1)
    found = around_effect(data, weights)
    assert found.std_error == pytest.approx(np.sqrt(variance * count / (count - 1)), rel=1e-8)
    assert found.difference == pytest.approx(linearised(data, weights).difference)
    assert found.statistic == pytest.approx(found.difference / found.std_error)
    covariance = (spread @ spread.T + control @ control.T) * count / (count - 1)
    assert found.covariance == pytest.approx(covariance, rel=1e-8)
    chi2 = found.difference @ np.linalg.solve(covariance, found.difference)
    assert found.omnibus_statistic == pytest.approx(chi2)


def test_no_effect_is_left():
    data = small()
    weights, _ = data.weights()
    bare = less(data, linearised(data, weights).difference)
    assert summed(bare, weights, data.after).difference == pytest.approx([0, 0], abs=1e-9)
    assert np.array_equal(bare.outcomes[:, :6], data.outcomes[:, :6])
    assert np.array_equal(bare.outcomes[..., ~data.treated], data.outcomes[..., ~data.treated])


def test_the_size_of_the_effect_does_not_matter():
    small_one, large = (
        around_effect(held, held.weights()[0]) for held in (small(effect=0), small(effect=-50))
    )
    assert small_one.std_error == pytest.approx(large.std_error)
    plain = [linearised(held, held.weights()[0]).std_error for held in (small(effect=0), small(effect=-50))]
    assert (plain[1] > 3 * plain[0]).all()


def test_one_treated_unit_has_no_spread():
    data = small(treated=1)
    found = around_effect(data, data.weights()[0])
    assert np.isnan(found.std_error).all() and np.isnan(found.omnibus) and np.isfinite(found.difference).all()


@pytest.mark.parametrize("kind", ["calibrated", "units"])
@pytest.mark.parametrize("treated", [1, 3, 25])
@pytest.mark.parametrize("off", [1.0, 1.1])
def test_interval_is_the_inverted_test(kind, treated, off):
    """Also where the weights miss their totals (off), so that the error is not least at the estimate."""
    data = small(treated=treated, outcomes=1)
    weights = np.where(data.treated, 1.0, off * data.weights()[0])
    critical = np.array([0.7])
    found = inverted(data, weights, critical, kind)
    low, high = found.low[0], found.high[0]

    def size(effect):
        moved = data.outcomes.copy()
        moved[:, 6:] -= effect / (3 * treated) * data.treated
        return abs(linearised(replace(data, outcomes=moved), weights, kind).statistic[0])

    for edge in (low, high):
        assert size(edge) == pytest.approx(0.7, rel=1e-6)
    assert size(0.9 * low + 0.1 * high) < 0.7 < size(1.1 * low - 0.1 * high)
    estimate = linearised(data, weights, kind)
    assert found.multiple[0] > 0.69 and low < estimate.difference[0] < high


def test_no_limits_where_no_effect_can_be_refused():
    # With two treated units the statistic cannot pass the root of two.
    data = small(seed=1, treated=2, outcomes=1)
    weights, _ = data.weights()
    for critical in (1.5, np.inf):
        found = inverted(data, weights, np.array([critical]))
        assert [found.low[0], found.high[0]] == [-np.inf, np.inf]
    assert np.isfinite(inverted(data, weights, np.array([1.0])).high[0])
