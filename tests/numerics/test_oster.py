import numpy as np
import pytest

from qieval.numerics.omitted_variables import fit, reduce
from qieval.numerics.oster import Movement, adjusted_beta, delta, movement


def sample(seed=0, n=500):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    d = x @ [0.5, 0.3, -0.2] + rng.normal(size=n)
    y = 0.7 * d + x @ [0.6, -0.4, 0.8] + rng.normal(size=n)
    return x, d, y


def paper_delta(x, d, y, r2_max, beta):
    """Corollary 2 in the units of the data, as printed."""

    def ols(target, *columns):
        design = np.column_stack([np.ones(len(target)), *columns])
        coefficients = np.linalg.lstsq(design, target, rcond=None)[0]
        rest = target - design @ coefficients
        return coefficients, 1 - rest @ rest / ((target - target.mean()) @ (target - target.mean())), rest

    (_, b0), r0, _ = ols(y, d)
    coefficients, r1, _ = ols(y, d, x)
    b1 = coefficients[1]
    tau = ols(d, x)[2].var(ddof=1)
    vy, vx = y.var(ddof=1), d.var(ddof=1)
    v, gap = b1 - beta, b0 - b1
    above = v * (r1 - r0) * vy * tau + v * vx * tau * gap**2 + 2 * v**2 * tau * gap * vx
    above += v**3 * (tau * vx - tau**2)
    below = (r2_max - r1) * vy * gap * vx + v * (r2_max - r1) * vy * (vx - tau)
    below += v**2 * tau * gap * vx + v**3 * (tau * vx - tau**2)
    return above / below


@pytest.mark.parametrize(("r2_max", "beta"), [(0.9, 0.0), (1.0, 0.3), (0.8, -1.0)])
def test_delta_is_that_of_the_paper(r2_max, beta):
    x, d, y = sample()
    found = delta(movement(reduce(x, d, y)), r2_max, beta)
    assert found == pytest.approx(paper_delta(x, d, y, r2_max, beta), rel=1e-10)


@pytest.mark.parametrize("strength", [0.3, 0.8, 1.0, 1.00001, 1.5, -0.7])
@pytest.mark.parametrize("seed", range(4))
def test_the_adjusted_coefficient_has_the_delta_it_was_made_for(strength, seed):
    moved = movement(reduce(*sample(seed)))
    found = adjusted_beta(moved, 0.95, strength)
    for beta in (found.beta, *found.others):
        assert delta(moved, 0.95, beta) == pytest.approx(strength, rel=1e-6)


def test_the_solution_lies_where_the_covariates_moved_to():
    moved = movement(reduce(*sample()))
    found = adjusted_beta(moved, 0.95)
    assert found.agrees and np.sign(found.beta - moved.full) == np.sign(moved.full - moved.short)
    assert found.others.size == 1


def test_no_hidden_variation_means_no_adjustment():
    moved = movement(reduce(*sample()))
    assert adjusted_beta(moved, moved.r2_full, 0.0).beta == pytest.approx(moved.full)
    assert adjusted_beta(moved, 0.95, 0.0).beta == pytest.approx(moved.full)


def test_a_coefficient_that_does_not_move_is_not_adjusted():
    assert adjusted_beta(Movement(0.5, 0.1, 0.5, 0.3, 1.0, 1.0), 0.5).beta == pytest.approx(0.5)


def test_r2_max_has_limits():
    moved = movement(reduce(*sample()))
    assert np.isnan(delta(moved, moved.r2_full - 0.01)) and np.isnan(adjusted_beta(moved, 1.1).beta)


def test_units_do_not_matter():
    x, d, y = sample()
    one, other = movement(reduce(x, d, y)), movement(reduce(x, 1e5 * d, 1e-3 * y))
    assert delta(other, 0.95) == pytest.approx(delta(one, 0.95), rel=1e-9)
    assert adjusted_beta(other, 0.95).beta == pytest.approx(1e-8 * adjusted_beta(one, 0.95).beta, rel=1e-9)
    assert one.short == pytest.approx(fit(reduce(x[:, :0], d, y)).estimate)
