"""Effective F, tF, and the joint strength of several first stages."""

import numpy as np
import pytest
from scipy import stats

from qieval.numerics.instruments import partial_out
from qieval.numerics.instruments_effective_f import effective_f
from qieval.numerics.instruments_estimators import tsls
from qieval.numerics.instruments_reduced_form import reduced_form
from qieval.numerics.instruments_strength import strength
from qieval.numerics.instruments_tf import tf_critical, tf_interval


def sample(strength=0.3, k=3, n=300, seed=0, effect=0.5):
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((n, k))
    w = np.column_stack([np.ones(n), rng.standard_normal(n)])
    u = rng.standard_normal(n) * (1 + 0.7 * np.abs(z[:, 0]))
    x = strength * z[:, 0] + 0.6 * u + rng.standard_normal(n) + w[:, 1]
    return effect * x + w[:, 1] + u, x, z, w, rng.integers(0, 30, n)


def slow_effective(y, x, z, w):
    """F and K_eff by the formulas of the paper, HC0, from full regressions."""
    base = np.linalg.qr(w)[0]
    q = np.linalg.qr(z - base @ (base.T @ z))[0]
    left = np.linalg.qr(np.column_stack([w, z]))[0]
    v = np.column_stack([y, x])
    v = v - left @ (left.T @ v)
    blocks = {(i, j): (q * v[:, [i]]).T @ (q * v[:, [j]]) for i in (0, 1) for j in (0, 1)}
    return q.T @ x, blocks


def test_effective_f_and_its_worst_bias_by_brute_force():
    y, x, z, w, _ = sample(0.2, 4)
    found = effective_f(reduced_form(partial_out(y, x, z, w), "hc0"))
    along, blocks = slow_effective(y, x, z, w)
    w2 = blocks[1, 1]
    assert found.f == pytest.approx(along @ along / np.trace(w2), rel=1e-10)
    worst = 0.0
    rng = np.random.default_rng(0)
    c = rng.standard_normal((4000, 4))
    c /= np.linalg.norm(c, axis=1)[:, None]
    for b in np.tan(np.linspace(-1.5, 1.5, 400)):
        s1 = blocks[0, 0] - b * (blocks[0, 1] + blocks[1, 0]) + b * b * w2
        s12 = blocks[0, 1] - b * w2
        bias = (np.trace(s12) - 2 * np.einsum("ij,jk,ik->i", c, s12, c)) / np.trace(w2)
        worst = max(worst, np.abs(bias).max() / np.sqrt(np.trace(s1) / np.trace(w2)))

    def critical(x):
        top = np.linalg.eigvalsh(w2)[-1]
        df = np.trace(w2) ** 2 * (1 + 2 * x) / (np.trace(w2 @ w2) + 2 * x * np.trace(w2) * top)
        return stats.ncx2.ppf(0.95, df, df * x) / df

    assert found.simplified == pytest.approx([critical(1 / tau) for tau in (0.05, 0.1, 0.2, 0.3)], rel=1e-9)
    brute = critical(worst / 0.1)
    assert brute <= found.generalised[1] * (1 + 1e-6)
    assert found.generalised[1] == pytest.approx(brute, rel=0.02)
    assert all(one <= two for one, two in zip(found.generalised, found.simplified, strict=True))


def test_critical_values_known_from_the_literature():
    """One instrument: 37.4, 23.1, 15.1, 12.0 for a bias of 5, 10, 20, 30% (the paper's table 1)."""
    y, x, z, w, _ = sample(0.2, 1)
    found = effective_f(reduced_form(partial_out(y, x, z, w), "hc1"))
    wanted = [37.42, 23.11, 15.06, 12.05]
    for values in (found.simplified, found.generalised, found.liml):
        assert values == pytest.approx(wanted, abs=0.006)


def test_effective_f_does_not_depend_on_how_instruments_are_coded():
    y, x, z, w, _ = sample(0.3, 3)
    mixed = z @ np.array([[1.0, 2, 0], [0, 1, 5], [0, 0, 1]]) + w[:, [1]] * [1.0, -2.0, 3.0]
    one, two = (effective_f(reduced_form(partial_out(y, x, given, w), "hc1")) for given in (z, mixed))
    assert two.f == pytest.approx(one.f, rel=1e-9)
    assert two.generalised == pytest.approx(one.generalised, rel=1e-6)


def test_effective_f_without_a_remainder():
    y, _, z, w, _ = sample(0.3, 1)
    found = effective_f(reduced_form(partial_out(y, z[:, 0], z, w)))
    assert found.f == np.inf and np.isnan(found.simplified).all()


def test_tf_values():
    assert tf_critical(4.0) == 18.66 and tf_critical(10.3**2) == pytest.approx(1.96, abs=1e-12)
    assert tf_critical(3.84) == np.inf and tf_critical(1e6) == 1.96
    assert tf_critical(2.05**2) == pytest.approx((18.66 + 9.74) / 2)
    nothing = tf_interval(1.0, 0.1, 2.0)
    assert (nothing.low, nothing.high, nothing.p_value) == (-np.inf, np.inf, 1.0)
    strong = tf_interval(1.96, 1.0, 500.0)
    assert strong.low == pytest.approx(0) and strong.p_value == pytest.approx(0.05, abs=1e-5)
    with pytest.raises(ValueError, match="not negative"):
        tf_critical(float("nan"))


def two_treatments(seed=0, n=500):
    rng = np.random.default_rng(seed)
    z, w = rng.standard_normal((n, 4)), np.column_stack([np.ones(n), rng.standard_normal(n)])
    u = rng.standard_normal(n)
    x = z @ rng.standard_normal((4, 2)) * 0.3 + 0.5 * u[:, None] + rng.standard_normal((n, 2)) + w[:, [1]]
    return x.sum(1) + u, x, z, w


def test_joint_strength_of_two_treatments():
    from linearmodels.iv import IV2SLS

    y, x, z, w = two_treatments()
    data = partial_out(y, x, z, w)
    found = strength(reduced_form(data, "debiased"))
    first = IV2SLS(y, w, x, z).fit().first_stage.diagnostics
    assert found.shea == pytest.approx(first["shea.rsquared"].to_numpy(), rel=1e-9)
    assert found.kleibergen_paap == pytest.approx(found.cragg_donald, rel=1e-9)
    left = np.linalg.qr(np.column_stack([w, z]))[0]
    base = np.linalg.qr(w)[0]
    bare = x - base @ (base.T @ x)
    inside = left @ (left.T @ bare)
    weakest = np.linalg.eigvals(np.linalg.solve((bare - inside).T @ (bare - inside), inside.T @ inside)).min()
    assert found.cragg_donald == pytest.approx(weakest * (500 - 6) / 4, rel=1e-9)


def test_conditional_strength_is_a_partial_f():
    """Sanderson-Windmeijer: F of the residual of one treatment on the two-stage fit by the other."""
    y, x, z, w = two_treatments(1)
    found = strength(reduced_form(partial_out(y, x, z, w)))
    slope = tsls(partial_out(x[:, 0], x[:, 1], z, w)).coefficients[0]
    other = reduced_form(partial_out(y, x[:, 0] - slope * x[:, 1], z, w), "debiased").equation(1)
    assert found.sanderson_windmeijer[0] == pytest.approx(other.f * 4 / 3, rel=1e-8)
    assert found.sanderson_windmeijer_df == (3, 500 - 6)
