import itertools

import numpy as np
import pytest

from qieval.numerics.absorb import fit_event, fit_static, two_way, within
from qieval.numerics.resampling import Resampling
from qieval.numerics.wild_bootstrap import wild_cluster_bootstrap
from qieval.numerics.wild_combination import (
    NO_VARIANCE,
    NO_WEIGHT,
    NOT_IDENTIFIED,
    wild_combination,
)


def rollout(seed=0, units=16, clusters=8, weighted=False):
    """Units by 5 periods; clusters start in period 2, 3 or never; cells are cohort by period since then."""
    rng = np.random.default_rng(seed)
    unit, time = np.repeat(np.arange(units), 5), np.tile(np.arange(5), units)
    cluster = unit % clusters
    start = np.array([2, 2, 2, 3, 3, 9, 9, 9])[cluster]
    y = (
        0.4 * rng.standard_normal(units)[unit]
        + 0.2 * time
        + 0.8 * (time >= start)
        + rng.standard_normal(unit.size)
    )
    y += 0.5 * rng.standard_normal((clusters, 5))[cluster, time]
    code = np.full(unit.size, -1)
    for k, (g, t) in enumerate([(2, 2), (2, 3), (2, 4), (3, 3), (3, 4)]):
        code[(start == g) & (time == t)] = k
    x = rng.standard_normal((unit.size, 1))
    w = rng.uniform(0.5, 2, unit.size) if weighted else None
    base = within(two_way(unit, time, w), y, x)
    return base, fit_event(base, code, 5), (unit, time, cluster, code, x[:, 0], y, w)


class Slow:
    """Restricted bootstrap on dense dummies, every draw re-estimated under and without the restriction."""

    def __init__(self, data, a):
        unit, time, self.cluster, code, x, self.y, w = data
        dummies = [(unit == i) for i in range(unit.max() + 1)] + [(time == t) for t in range(1, 5)]
        cells = [(code == k) for k in range(5)]
        self.x = np.column_stack([*cells, *dummies, x]).astype(float)
        self.w = np.ones(self.y.size) if w is None else w
        self.a = np.concatenate([a, np.zeros(self.x.shape[1] - 5)])
        self.inverse = np.linalg.inv(self.x.T @ (self.w[:, None] * self.x))

    def t(self, y, null):
        beta = self.inverse @ self.x.T @ (self.w * y)
        scores = self.x * (self.w * (y - self.x @ beta))[:, None]
        away = [self.a @ self.inverse @ scores[self.cluster == g].sum(axis=0) for g in range(8)]
        return (self.a @ beta - null) / np.sqrt(np.sum(np.square(away)))

    def restricted(self, null):
        beta = self.inverse @ self.x.T @ (self.w * self.y)
        towards = self.inverse @ self.a / (self.a @ self.inverse @ self.a)
        return self.x @ (beta - towards * (self.a @ beta - null))

    def p_value(self, null, draws):
        observed, fitted = abs(self.t(self.y, null)), self.restricted(null)
        drawn = [self.t(fitted + (self.y - fitted) * draw[self.cluster], null) for draw in draws]
        return np.mean(np.abs(drawn) >= observed * (1 - 1e-9))


EVERYTHING = np.array(list(itertools.product([-1.0, 1.0], repeat=8)))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("a", [[0.3, 0.3, 0.3, 0.05, 0.05], [0.0, -0.4, 0.0, 0.0, 1.0]])
def test_against_re_estimating_every_draw_on_dummies(a, weighted):
    _, fit, data = rollout(1, weighted=weighted)
    found = wild_combination(fit, np.array(a), data[2], Resampling(draws=256), "rademacher")
    slow = Slow(data, np.array(a))
    assert found.estimate == pytest.approx(a @ fit.beta, rel=1e-12)
    assert found.bootstrap.enumerated and found.reason == ""
    assert found.bootstrap.statistic == pytest.approx(slow.t(slow.y, 0.0), rel=1e-8)
    assert found.bootstrap.p_value == pytest.approx(slow.p_value(0.0, EVERYTHING), abs=1e-12)


def test_interval_ends_are_where_the_slow_p_value_crosses():
    _, fit, data = rollout(2)
    a = np.full(5, 0.2)
    found = wild_combination(fit, a, data[2], Resampling(draws=256, level=0.9), "rademacher").bootstrap
    slow, width = Slow(data, a), found.high - found.low
    assert np.isfinite(width)
    for end, outwards in ((found.low, -1), (found.high, 1)):
        assert slow.p_value(end + outwards * 1e-4 * width, EVERYTHING) <= 0.1
        assert slow.p_value(end - outwards * 1e-4 * width, EVERYTHING) > 0.1


def test_a_single_cell_is_the_bootstrap_of_one_column():
    base, _, data = rollout(3)
    code = np.where(data[3] >= 0, 0, -1)
    found = wild_combination(fit_event(base, code, 1), np.ones(1), data[2], Resampling(draws=99, seed=4))
    direct = wild_cluster_bootstrap(
        fit_static(base, (code == 0).astype(float)), data[2], Resampling(draws=99, seed=4)
    )
    assert found.bootstrap.p_value == direct.p_value
    assert (found.bootstrap.low, found.bootstrap.high) == pytest.approx((direct.low, direct.high), rel=1e-9)


def test_units_of_measurement_do_not_matter():
    _, fit, data = rollout(4)
    scaled = fit_event(within(fit.base.rows, data[5] * 1e-7, data[4][:, None] * 1e5), data[3], 5)
    a = np.full(5, 0.2)
    one, other = [wild_combination(f, a, data[2], Resampling(draws=199)).bootstrap for f in (fit, scaled)]
    assert other.p_value == one.p_value and other.low == pytest.approx(one.low * 1e-7, rel=1e-6)


def test_reasons():
    base, fit, data = rollout(5)
    assert wild_combination(fit, np.zeros(5), data[2]).reason == NO_WEIGHT
    twice = np.where(data[1] == 4, 0, -1)
    absorbed = fit_event(base, twice, 1)
    assert absorbed.collinear[0]
    assert wild_combination(absorbed, np.ones(1), data[2]).reason == NOT_IDENTIFIED
    assert wild_combination(fit, np.ones(5), np.zeros(data[0].size, dtype=int)).reason == NO_VARIANCE
    with pytest.raises(ValueError, match="fit_event"):
        wild_combination(fit_static(base, (data[3] >= 0).astype(float)), np.ones(1), data[2])


def test_empty_cells_take_no_part():
    _, fit, data = rollout(6)
    more = fit_event(fit.base, np.where(data[3] >= 0, data[3] + 1, -1), 6)
    assert more.collinear[0]
    a = np.array([0.1, 0.2, 0.3, 0.2, 0.2])
    one = wild_combination(fit, a, data[2], Resampling(draws=99))
    other = wild_combination(more, np.append(0.0, a), data[2], Resampling(draws=99))
    assert other.bootstrap.p_value == one.bootstrap.p_value
    assert other.estimate == pytest.approx(one.estimate)
