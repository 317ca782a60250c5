"""The binned picture: numbers of bins by formula, means by hand, polynomials by plain least squares."""

import numpy as np
import pytest

from qieval.numerics.binned import BinChoices, binned


def data(n=500, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(0.2, 1, n)
    return x, np.sin(2 * x) + (x >= 0) + rng.normal(0, 0.5, n)


def plain_numbers(x, y, choice):
    """The formulas of the paper on unscaled scores, row by row."""
    n, out = x.size, []
    for side, end in ((x < 0, abs(x.min())), (x >= 0, x.max())):
        order = np.argsort(x[side])
        a, b = x[side][order], y[side][order]
        first, second = np.polyfit(a, b, 4), np.polyfit(a, b**2, 4)
        slope, middle, gap, step = np.polyder(first), (a[1:] + a[:-1]) / 2, np.diff(a), np.diff(b)
        around = [np.polyval(second, at) - np.polyval(first, at) ** 2 for at in (a, middle)]
        around = [np.where(v < 0, b.var(ddof=1), v) for v in around]
        if choice.startswith("es"):
            bias = end**2 / (12 * n) * np.sum(np.polyval(slope, a) ** 2)
            variance = np.sum(gap * around[1]) / end if "pr" in choice else np.sum(gap * step**2) / (2 * end)
        else:
            bias = a.size**2 / (24 * n) * np.sum((gap * np.polyval(slope, middle)) ** 2)
            variance = around[0].mean() if "pr" in choice else np.sum(step**2) / (2 * a.size)
        mimicking = b.var(ddof=1) / variance * n / np.log(n) ** 2
        out.append(int(np.ceil(mimicking if "mv" in choice else (2 * bias / variance * n) ** (1 / 3))))
    return tuple(out)


@pytest.mark.parametrize("choice", ["es", "espr", "esmv", "esmvpr", "qs", "qspr", "qsmv", "qsmvpr"])
def test_numbers_of_bins(choice):
    x, y = data()
    assert binned(x, y, 0.0, BinChoices(choice)).count == plain_numbers(x, y, choice)


def test_bins_by_hand():
    x = np.array([-4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0])
    y = np.array([1.0, 3.0, 5.0, 7.0, 2.0, 4.0, 6.0, 9.0])
    found = binned(x, y, 0.0, BinChoices(bins=(2, 2), p=1))
    assert found.edges.tolist() == [[-4, -2], [-2, 0], [0, 2], [2, 4]]
    assert found.n.tolist() == [2, 2, 2, 2] and found.y.tolist() == [2, 6, 3, 7.5]
    assert found.x.tolist() == [-3.5, -1.5, 0.5, 3] and found.right.tolist() == [False, False, True, True]
    assert found.high[0] - 2 == pytest.approx(12.7062047 * 1, rel=1e-6)
    quantiles = binned(x, y, 0.0, BinChoices("qs", bins=(2, 3), p=1))
    assert quantiles.n.tolist() == [2, 2, 1, 1, 2] and np.isnan(quantiles.low[2])


def test_polynomials_weights_and_covariates():
    x, y = data(300)
    rng = np.random.default_rng(1)
    z, w = rng.normal(size=(300, 2)), rng.uniform(0.5, 2, 300)
    y = y + z @ [1.0, -2.0]
    choices = BinChoices(kernel="triangular", h=(1.5, 2.0), p=2, bins=(3, 3))
    found = binned(x + 5, y, 5.0, choices, w, z)
    reach = np.where(x < 0, 1.5, 2.0)
    root = np.sqrt(w * np.clip(1 - np.abs(x) / reach, 0, None) / reach)
    sides = [side[:, None] * x[:, None] ** np.arange(3) for side in (x < 0, x >= 0)]
    centred = z - z.mean(axis=0)
    beta = np.linalg.lstsq(root[:, None] * np.hstack([*sides, centred]), root * y, rcond=None)[0]
    assert found.coefficients == pytest.approx(beta[:6].reshape(2, 3), rel=1e-8)
    assert found.line(np.array([5.5]), right=True)[0] == pytest.approx(beta[3:6] @ [1, 0.5, 0.25])
    edge = x.min() * 2 / 3
    first = x < edge
    assert found.y[0] == pytest.approx(np.average((y - centred @ beta[6:])[first], weights=w[first]))
    assert found.edges[0, 1] == pytest.approx(edge + 5)


def test_units_and_order_do_not_matter_with_ties():
    x, y = data(600, seed=2)
    x = np.round(x, 2)
    one = binned(x, y, 0.0, BinChoices(mass_points=False))
    order = np.random.default_rng(3).permutation(600)
    other = binned(1024 * x[order] + 4096, 10 * y[order] - 7, 4096.0, BinChoices(mass_points=False))
    assert other.count == one.count and (other.n == one.n).all()
    assert other.y == pytest.approx(10 * one.y - 7, rel=1e-9)
    assert other.coefficients[:, 1] * 1024 == pytest.approx(10 * one.coefficients[:, 1], rel=1e-6)


def test_many_ties_change_the_estimate_of_the_variance():
    x, y = data(600, seed=2)
    assert binned(np.round(x, 1), y, 0.0, BinChoices("qs")).choice == "qspr"
    assert binned(np.round(x, 1), y, 0.0, BinChoices("qs", mass_points=False)).choice == "qs"


def test_expected_steps_are_the_mean_over_orders_of_ties():
    from itertools import permutations

    from qieval.numerics.binned_count import Side, _squared_steps

    u, y = np.array([0.0, 0.5, 0.5, 0.5, 1.0, 1.0]), np.array([1.0, 4.0, 2.0, 7.0, 3.0, 8.0])
    every = [
        np.diff(np.r_[y[0], np.array(a), np.array(b)]) ** 2
        for a in permutations(y[1:4])
        for b in permutations(y[4:])
    ]
    assert _squared_steps(Side(u, y)) == pytest.approx(np.mean(every, axis=0))


def test_constant_outcomes_and_short_sides():
    x = np.linspace(-1, 1, 60)
    flat = binned(x, np.ones(60), 0.0, BinChoices(p=1))
    assert flat.count == (1, 1) and flat.y.tolist() == [1, 1]
    with pytest.raises(ValueError, match="fewer than two"):
        binned(np.r_[-1.0, -1.0, x[x >= 0]], np.zeros(32), 0.0)
    with pytest.raises(ValueError, match="order 4"):
        binned(np.r_[-1.0, -0.5, x[x >= 0]], np.zeros(32), 0.0)
