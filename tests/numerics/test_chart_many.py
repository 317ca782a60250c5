import time

import numpy as np
import pytest

from qieval.numerics.chart_limits import ChartValues, chart_limits
from qieval.numerics.chart_many import many_charts
from qieval.numerics.chart_rules import making_data_count
from qieval.numerics.chart_runs import runs, side


def simulated(kind, charts, points):
    rng = np.random.default_rng(11)
    n = rng.integers(40, 90, (charts, points)).astype(float)
    y = rng.binomial(n.astype(int), rng.uniform(0.05, 0.4, (charts, 1))).astype(float)
    y += 1 if kind == "t" else 0
    y[rng.random(y.shape) < 0.05] = np.nan
    y[3] = np.nan
    return y, (n if kind in ("p", "p'", "u", "u'") else None)


@pytest.mark.parametrize("kind", ["run", "i", "mr", "p", "p'", "u", "u'", "c", "g", "t"])
def test_the_same_as_one_by_one(kind):
    y, n = simulated(kind, 25, 40)
    part = np.repeat([0, 1], [25, 15])
    used = np.ones(40, dtype=bool)
    used[[4, 30]] = False
    found = many_charts(kind, y, n, part, used)
    for row in range(25):
        values = ChartValues(y[row], None if n is None else n[row])
        one = chart_limits(kind, values, part=part, used=used)
        for name in ("value", "centre", "lower", "upper"):
            np.testing.assert_array_equal(getattr(found, name)[row], getattr(one, name))
        signals = [runs(one.value, one.centre, counted=part == code).signal for code in (0, 1)]
        outside = (side(one.value, one.upper) > 0) | (side(one.value, one.lower) < 0)
        points = making_data_count(one.value, one.centre, one.lower, one.upper, 1, part)
        assert found.runs_signal[row] == any(signals)
        np.testing.assert_array_equal(found.outside[row], outside)
        np.testing.assert_array_equal(found.special_cause[row], points.special_cause > 0)
        assert found.signal[row] == (any(signals) or outside.any())
    assert 0 < found.signal.sum() < 25 and not found.signal[3]


def test_thousands_of_charts_are_quick():
    y, n = simulated("p", 5000, 120)
    start = time.process_time()
    many_charts("p", y, n)
    assert time.process_time() - start < 10
