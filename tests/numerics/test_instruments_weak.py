"""Anderson-Rubin, conditional likelihood ratio and score tests."""

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad
from scipy.special import gamma

from qieval.errors import EstimationError
from qieval.numerics.instruments import partial_out
from qieval.numerics.instruments_anderson_rubin import anderson_rubin, anderson_rubin_set
from qieval.numerics.instruments_conditional import (
    conditional_likelihood_ratio,
    conditional_likelihood_ratio_set,
    conditional_p_value,
    score_set,
    score_test,
)
from qieval.numerics.instruments_conditional_robust import robust_conditional_set, robust_conditional_test
from qieval.numerics.instruments_effective_f import effective_f
from qieval.numerics.instruments_estimators import liml_kappa, tsls
from qieval.numerics.instruments_reduced_form import reduced_form


def sample(strength=0.3, k=3, n=300, seed=0, effect=0.5):
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((n, k))
    w = np.column_stack([np.ones(n), rng.standard_normal(n)])
    u = rng.standard_normal(n) * (1 + 0.7 * np.abs(z[:, 0]))
    x = strength * z[:, 0] + 0.6 * u + rng.standard_normal(n) + w[:, 1]
    return effect * x + w[:, 1] + u, x, z, w, rng.integers(0, 30, n)


def statistic_by_regression(y, x, z, w, null, clusters=None):
    """Wald test of z in a regression of y - null x on everything, robust (HC1) or clustered (CR1)."""
    full = np.column_stack([z, w])
    n, p = full.shape
    inverse = np.linalg.inv(full.T @ full)
    slopes = inverse @ full.T @ (y - null * x)
    scores = full * (y - null * x - full @ slopes)[:, None]
    factor = n / (n - p)
    if clusters is not None:
        scores = np.array([scores[clusters == g].sum(0) for g in np.unique(clusters)])
        factor = len(scores) / (len(scores) - 1) * (n - 1) / (n - p)
    k = z.shape[1]
    spread = factor * (inverse @ scores.T @ scores @ inverse)[:k, :k]
    return slopes[:k] @ np.linalg.solve(spread, slopes[:k])


@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize("null", [-3.0, 0.0, 0.5, 10.0])
def test_anderson_rubin_is_a_regression(clustered, null):
    y, x, z, w, clusters = sample()
    found = anderson_rubin(
        reduced_form(partial_out(y, x, z, w, clusters), "cr1" if clustered else "hc1"), null
    )
    wanted = statistic_by_regression(y, x, z, w, null, clusters if clustered else None)
    assert found.statistic == pytest.approx(wanted, rel=1e-9)
    assert found.p_value == pytest.approx(stats.chi2.sf(wanted, 3), rel=1e-8)


@pytest.mark.parametrize("kind", ["debiased", "hc1", "cr1"])
@pytest.mark.parametrize(("power", "k"), [(0.5, 1), (0.5, 3), (0.08, 1), (0.08, 4), (0.0, 2)])
def test_sets_hold_exactly_what_the_test_accepts(kind, power, k):
    """Against a fine grid on the angle of the effect, out to 170 standard deviations."""
    grid = np.tan(np.linspace(-1.565, 1.565, 120))
    shapes = set()
    for seed in range(5):
        y, x, z, w, clusters = sample(power, k, seed=seed)
        held = reduced_form(partial_out(y, x, z, w, clusters), kind)
        for level in (0.5, 0.95):
            found = anderson_rubin_set(held, level)
            shapes.add(found.shape)
            for b in grid:
                gap = min(
                    (abs(b - end) / (1 + abs(b)) for piece in found.intervals for end in piece), default=1
                )
                if gap > 1e-9:
                    assert (b in found) == (anderson_rubin(held, b).p_value >= 1 - level)
            for end in np.ravel(found.intervals):
                if np.isfinite(end):
                    assert anderson_rubin(held, end).p_value == pytest.approx(1 - level, rel=1e-7)
    assert power == 0.5 or shapes - {"interval"}


def test_anderson_rubin_set_of_many_pieces():
    """Robust sets may have more than two pieces: three instruments that each speak for another effect."""
    rng = np.random.default_rng(2)
    n = 900
    pick = np.repeat([0, 1, 2], n // 3)
    z = rng.standard_normal((n, 3)) * (pick[:, None] == np.arange(3))
    x = 0.3 * z.sum(1) + rng.standard_normal(n)
    y = np.array([-6.0, 0.0, 6.0])[pick] * x + 0.2 * rng.standard_normal(n)
    held = reduced_form(partial_out(y, x, z, np.ones((n, 1))), "hc1")
    grid = np.linspace(-15, 15, 6001)
    values = np.array([anderson_rubin(held, b).statistic for b in grid])
    minima = np.flatnonzero((values[1:-1] < values[:-2]) & (values[1:-1] < values[2:])) + 1
    assert minima.size >= 2
    critical = 1.01 * np.sort(values[minima])[1]
    found = anderson_rubin_set(held, level=stats.chi2.cdf(critical, 3))
    assert len(found.intervals) >= 2
    assert [b in found for b in grid] == list(values <= critical)


def test_anderson_rubin_with_one_instrument_by_hand():
    """Mean differences 1 and 0.5 with equal variances: (1 - 0.5 b)^2 against 4 times its variance."""
    z = np.repeat([0.0, 1.0], 4)
    x = np.array([0.0, 0, 0, 1, 0, 1, 1, 1])
    y = np.array([1.0, 2, 1, 2, 2, 3, 3, 2])
    held = reduced_form(partial_out(y, x, z, np.ones((8, 1))), "debiased")
    found = anderson_rubin(held, 0.0, "f")
    t = stats.ttest_ind(y[:4], y[4:])
    assert found.f == pytest.approx(t.statistic**2) and found.p_value == pytest.approx(t.pvalue)


def test_units_turn_sets_with_them():
    y, x, z, w, clusters = sample(0.08, 3, seed=4)
    plain = partial_out(y, x, z, w, clusters)
    other = partial_out(-1e6 * y, 1e-4 * x, z * [1e3, 1e-3, 1.0], w, clusters)
    for kind in ("debiased", "hc1", "cr1"):
        one, two = reduced_form(plain, kind), reduced_form(other, kind)
        for made in (anderson_rubin_set, conditional_likelihood_ratio_set, score_set):
            wanted = made(one, 0.8).scaled(-1e10)
            assert np.ravel(made(two, 0.8).intervals) == pytest.approx(np.ravel(wanted.intervals), rel=1e-7)
        assert effective_f(two).f == pytest.approx(effective_f(one).f, rel=1e-9)
        assert effective_f(two).generalised == pytest.approx(effective_f(one).generalised, rel=1e-5)


def slow_conditional_p(m, q, k):
    constant = gamma(k / 2) / (np.sqrt(np.pi) * gamma((k - 1) / 2))

    def inner(angle):
        s = np.sin(angle)
        return stats.chi2.sf((q + m) / (1 + q * s**2 / m), k) * np.cos(angle) ** (k - 2)

    return 2 * constant * quad(inner, 0, np.pi / 2, epsabs=1e-13, epsrel=1e-11, limit=500)[0]


@pytest.mark.parametrize("k", [2, 3, 4, 5, 12])
@pytest.mark.parametrize("m", [0.01, 1.0, 5.0, 30.0])
@pytest.mark.parametrize("q", [0.0, 0.5, 20.0, 3000.0])
def test_conditional_p_value_against_quadrature(m, q, k):
    assert conditional_p_value(m, q, k) == pytest.approx(slow_conditional_p(m, q, k), rel=1e-8, abs=1e-12)


def test_conditional_p_value_against_its_definition():
    """Q_S = A + B with A chi2(1) along T and B chi2(k - 1): draw both and compare the likelihood ratio."""
    rng = np.random.default_rng(0)
    k, q, m = 4, 6.0, 5.0
    along, across = rng.chisquare(1, 400_000), rng.chisquare(k - 1, 400_000)
    q_s = along + across
    ratio = (q_s - q + np.sqrt((q_s + q) ** 2 - 4 * (q_s * q - along * q))) / 2
    share = np.mean(ratio > m)
    assert conditional_p_value(m, q, k) == pytest.approx(
        share, abs=4 * np.sqrt(share * (1 - share) / 400_000)
    )
    assert conditional_p_value(7.0, 0.0, 4) == pytest.approx(stats.chi2.sf(7, 4), rel=1e-10)
    assert conditional_p_value(7.0, 1e12, 4) == pytest.approx(stats.chi2.sf(7, 1), rel=1e-4)
    assert conditional_p_value(0.0, 3.0, 4) == 1.0


@pytest.mark.parametrize(("power", "k"), [(0.5, 3), (0.08, 4), (0.0, 2), (0.08, 1)])
def test_conditional_and_score_sets_hold_what_the_tests_accept(power, k):
    grid = np.tan(np.linspace(-1.565, 1.565, 100))
    for seed in range(5):
        y, x, z, w, _ = sample(power, k, seed=seed)
        held = reduced_form(partial_out(y, x, z, w))
        ratio, score = conditional_likelihood_ratio_set(held, 0.9), score_set(held, 0.9)
        for b in grid:
            assert (b in ratio) == (conditional_likelihood_ratio(held, b).p_value >= 0.1)
            assert (b in score) == (score_test(held, b).p_value >= 0.1)


def test_likelihood_ratio_at_the_estimate_and_against_the_definition():
    y, x, z, w, _ = sample()
    data = partial_out(y, x, z, w)
    held = reduced_form(data)
    left = np.linalg.qr(np.column_stack([w, z]))[0]
    base = np.linalg.qr(w)[0]

    def less(v, q):
        return v - q @ (q.T @ v)

    pair = np.column_stack([y, x])
    omega = less(pair, left).T @ less(pair, left) / (300 - 5)
    q = np.linalg.qr(less(z, base))[0]
    for b in (-1.0, 0.0, 2.0):
        b0, a0 = np.array([1.0, -b]), np.array([b, 1.0])
        s = q.T @ pair @ b0 / np.sqrt(b0 @ omega @ b0)
        t = q.T @ pair @ np.linalg.solve(omega, a0) / np.sqrt(a0 @ np.linalg.solve(omega, a0))
        wanted = (s @ s - t @ t + np.sqrt((s @ s + t @ t) ** 2 - 4 * (s @ s * (t @ t) - (s @ t) ** 2))) / 2
        found = conditional_likelihood_ratio(held, b)
        assert (found.statistic, found.q_t) == (
            pytest.approx(wanted, rel=1e-8),
            pytest.approx(t @ t, rel=1e-9),
        )
        assert score_test(held, b).statistic == pytest.approx((s @ t) ** 2 / (t @ t), rel=1e-7)


@pytest.mark.parametrize("null", [-1.0, 0.3, 4.0])
def test_robust_statistics_are_moreiras_with_equal_variances(null):
    y, x, z, w, _ = sample(0.2, 4)
    held = reduced_form(partial_out(y, x, z, w), "debiased")
    found, wanted = robust_conditional_test(held, null), conditional_likelihood_ratio(held, null)
    assert (found.ratio, found.rank) == (pytest.approx(wanted.statistic), pytest.approx(wanted.q_t))
    assert found.p_value == pytest.approx(wanted.p_value, rel=1e-7)
    assert found.score == pytest.approx(score_test(held, null).statistic, rel=1e-7)


@pytest.mark.parametrize("kind", ["hc1", "cr1"])
def test_robust_statistics_by_their_definition(kind):
    y, x, z, w, clusters = sample(0.2, 3)
    data = partial_out(y, x, z, w, clusters)
    held = reduced_form(data, kind)
    for null in (-1.0, 0.5, 3.0):
        turned = reduced_form(partial_out(y - null * x, x, z, w, clusters), kind)
        g, d = turned.along.T
        covariance = turned.blocks.transpose(0, 2, 1, 3).reshape(6, 6)
        v, c = covariance[:3, :3], covariance[3:, :3]
        first = d - c @ np.linalg.solve(v, g)
        rank = first @ np.linalg.solve(covariance[3:, 3:] - c @ np.linalg.solve(v, c.T), first)
        root = np.linalg.cholesky(np.linalg.inv(v)).T
        s, t = root @ g, root @ first
        score = (s @ t) ** 2 / (t @ t)
        found = robust_conditional_test(held, null)
        assert (found.rank, found.score) == (pytest.approx(rank, rel=1e-8), pytest.approx(score, rel=1e-7))
        ratio = (s @ s - rank + np.sqrt((s @ s + rank) ** 2 - 4 * (s @ s - score) * rank)) / 2
        assert found.ratio == pytest.approx(ratio, rel=1e-8)


@pytest.mark.parametrize(("power", "k"), [(0.5, 3), (0.08, 4), (0.0, 2)])
def test_robust_sets_hold_what_the_test_accepts(power, k):
    grid = np.tan(np.linspace(-1.56, 1.56, 101))
    for seed in range(2):
        y, x, z, w, clusters = sample(power, k, seed=seed)
        held = reduced_form(partial_out(y, x, z, w, clusters), "cr1")
        found = robust_conditional_set(held)
        assert [b in found for b in grid] == [robust_conditional_test(held, b).p_value >= 0.05 for b in grid]
        plain = reduced_form(held.data, "debiased")
        one, two = robust_conditional_set(plain), conditional_likelihood_ratio_set(plain)
        assert np.ravel(one.intervals) == pytest.approx(np.ravel(two.intervals), rel=1e-6)


def test_with_one_instrument_all_tests_are_the_same():
    y, x, z, w, _ = sample(0.3, 1)
    held = reduced_form(partial_out(y, x, z, w), "debiased")
    first = anderson_rubin(held, 0.2, "f").p_value
    assert conditional_likelihood_ratio(held, 0.2).p_value == pytest.approx(first, rel=1e-9)
    assert score_test(held, 0.2).p_value == pytest.approx(anderson_rubin(held, 0.2).p_value, rel=1e-9)
    one, two = score_set(held), anderson_rubin_set(held)
    assert np.ravel(one.intervals) == pytest.approx(np.ravel(two.intervals), rel=1e-9)


def test_full_compliance():
    """Without a remainder in the first stage the set is that of least squares; CLR does not exist."""
    y, _, z, w, _ = sample(0.3, 1)
    data = partial_out(y, z[:, 0], z, w)
    held, plain = reduced_form(data, "hc1"), tsls(data, "hc1")
    found = anderson_rubin_set(held)
    wanted = plain.coefficients[0] + np.array([-1, 1]) * stats.norm.ppf(0.975) * plain.errors[0]
    assert np.ravel(found.intervals) == pytest.approx(wanted, rel=1e-9)
    with pytest.raises(EstimationError, match="without a remainder"):
        conditional_likelihood_ratio(held)


def two_treatments(seed=0, n=500):
    rng = np.random.default_rng(seed)
    z, w = rng.standard_normal((n, 4)), np.column_stack([np.ones(n), rng.standard_normal(n)])
    u = rng.standard_normal(n)
    x = z @ rng.standard_normal((4, 2)) * 0.3 + 0.5 * u[:, None] + rng.standard_normal((n, 2)) + w[:, [1]]
    return x.sum(1) + u, x, z, w


def test_tests_for_one_treatment_refuse_two():
    y, x, z, w = two_treatments()
    held = reduced_form(partial_out(y, x, z, w))
    for refused in (anderson_rubin, anderson_rubin_set, conditional_likelihood_ratio, effective_f):
        with pytest.raises(ValueError, match="one endogenous"):
            refused(held)


def test_clusters_fewer_than_instruments_say_so():
    y, x, z, w, _ = sample(0.3, 4)
    held = reduced_form(partial_out(y, x, z, w, np.arange(300) % 3), "cr1")
    assert np.isnan(held.equation(1).f) and np.isnan(anderson_rubin(held).p_value)
    with pytest.raises(EstimationError, match="too few clusters"):
        anderson_rubin_set(held)


def test_kappa_is_the_smallest_anderson_rubin_ratio():
    y, x, z, w, _ = sample()
    data = partial_out(y, x, z, w)
    held = reduced_form(data, "unadjusted")
    grid = np.linspace(-1, 2, 3001)
    smallest = min(anderson_rubin(held, b).statistic for b in grid) / data.n
    assert liml_kappa(data) == pytest.approx(1 + smallest, rel=1e-6)


@pytest.mark.slow
def test_size_with_weak_instruments():
    """The true effect is rejected in 5% of samples by Anderson-Rubin and CLR, far more often by t."""
    rejected = np.zeros(3)
    repeats = 1000
    for seed in range(repeats):
        rng = np.random.default_rng(seed)
        z, u = rng.standard_normal((200, 3)), rng.standard_normal(200)
        x = 0.05 * z[:, 0] + 0.95 * u + 0.3 * rng.standard_normal(200)
        data = partial_out(0.5 * x + u, x, z, np.ones((200, 1)))
        held, plain = reduced_form(data, "hc1"), tsls(data)
        rejected += [
            anderson_rubin(held, 0.5).p_value < 0.05,
            conditional_likelihood_ratio(held, 0.5).p_value < 0.05,
            abs(plain.coefficients[0] - 0.5) > 1.96 * plain.errors[0],
        ]
    share = rejected / repeats
    assert np.abs(share[:2] - 0.05).max() < 3.5 * np.sqrt(0.05 * 0.95 / repeats) and share[2] > 0.2
