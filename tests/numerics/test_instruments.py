import numpy as np
import pandas as pd
import pytest
from linearmodels.iv import IV2SLS, IVGMM, IVLIML

from qieval.errors import EstimationError
from qieval.numerics.instruments import partial_out
from qieval.numerics.instruments_columns import inverse, orthonormal
from qieval.numerics.instruments_estimators import fuller, k_class, liml, ols, tsls, with_controls
from qieval.numerics.instruments_reduced_form import reduced_form


class Sample:
    """A made sample with e treatments and k instruments, errors of unequal variance, clusters, weights."""

    def __init__(self, e=1, k=3, n=400, seed=0):
        rng = np.random.default_rng(seed)
        self.n, self.e, self.k = n, e, k
        self.clusters = rng.integers(0, 25, n)
        self.second = rng.integers(0, 18, n)
        shared = rng.standard_normal(25)[self.clusters]
        self.w = np.column_stack([np.ones(n), rng.standard_normal((n, 2)) + 3])
        self.z = rng.standard_normal((n, k)) + 0.3 * self.w[:, [1]]
        u = (rng.standard_normal(n) + shared) * (1 + np.abs(self.z[:, 0]))
        first = rng.standard_normal((k, e))
        self.x = self.z @ first + 0.5 * u[:, None] + rng.standard_normal((n, e)) + self.w[:, [2]]
        self.y = self.x @ np.arange(1.0, e + 1) + self.w @ [1.0, 0.5, -0.5] + u
        self.weights = rng.uniform(0.2, 3, n)

    def held(self, clusters=None, weights=None):
        return partial_out(self.y, self.x, self.z, self.w, clusters, weights)

    @property
    def both(self):
        return np.column_stack([self.clusters, self.second])


def in_order(result, e, c):
    """Coefficients and standard errors of linearmodels, treatments first."""
    order = np.r_[c : c + e, 0:c]
    return result.params.to_numpy()[order], result.std_errors.to_numpy()[order]


def agree(found, result, e, c):
    coefficients, errors = in_order(result, e, c)
    assert found.coefficients == pytest.approx(coefficients, rel=1e-9)
    assert found.errors == pytest.approx(errors, rel=1e-9)


CASES = [
    ("unadjusted", {"cov_type": "unadjusted"}),
    ("debiased", {"cov_type": "unadjusted", "debiased": True}),
    ("hc0", {"cov_type": "robust"}),
    ("hc1", {"cov_type": "robust", "debiased": True}),
    ("cr0", {"cov_type": "clustered"}),
    ("cr1", {"cov_type": "clustered", "debiased": True}),
]


@pytest.mark.parametrize(("e", "weighted"), [(1, True), (2, False)])
@pytest.mark.parametrize(("kind", "options"), CASES)
def test_estimators_against_linearmodels(kind, options, e, weighted):
    s = Sample(e)
    weights = s.weights if weighted else None
    data = s.held(s.clusters, weights)
    if options["cov_type"] == "clustered":
        options = {**options, "clusters": s.clusters}
    agree(
        with_controls(data, tsls(data, kind)),
        IV2SLS(s.y, s.w, s.x, s.z, weights=weights).fit(**options),
        e,
        3,
    )
    agree(
        with_controls(data, liml(data, kind)),
        IVLIML(s.y, s.w, s.x, s.z, weights=weights).fit(**options),
        e,
        3,
    )
    agree(
        with_controls(data, fuller(data, 4.0, kind)),
        IVLIML(s.y, s.w, s.x, s.z, weights=weights, fuller=4.0).fit(**options),
        e,
        3,
    )
    plain = IV2SLS(s.y, np.column_stack([s.w, s.x]), None, None, weights=weights).fit(**options)
    agree(with_controls(data, ols(data, kind)), plain, e, 3)


@pytest.mark.parametrize("kind", ["cr0", "cr1"])
def test_clusters_in_two_ways(kind):
    s = Sample(2)
    data = s.held((s.clusters, s.second))
    options = {"cov_type": "clustered", "clusters": s.both, "debiased": kind == "cr1"}
    agree(with_controls(data, tsls(data, kind)), IV2SLS(s.y, s.w, s.x, s.z).fit(**options), 2, 3)


def test_k_class_between_least_squares_and_two_stages():
    s = Sample()
    data = s.held()
    assert k_class(data, 0.0, "debiased").coefficients == pytest.approx(ols(data).coefficients)
    left = np.linalg.qr(np.column_stack([s.w, s.z]))[0]
    full = np.column_stack([s.x, s.w])
    inner = full.T @ full - 0.7 * (full.T @ full - (full.T @ left) @ (left.T @ full))
    right = full.T @ s.y - 0.7 * (full.T @ s.y - (full.T @ left) @ (left.T @ s.y))
    assert k_class(data, 0.7).coefficients[0] == pytest.approx(np.linalg.solve(inner, right)[0], rel=1e-10)


@pytest.mark.parametrize("kind", ["hc0", "hc1", "cr1", "debiased"])
def test_first_stage_is_a_regression_on_everything(kind):
    s = Sample(2)
    data = s.held(s.clusters)
    names = {"hc0": ("robust", False), "hc1": ("robust", True), "cr1": ("clustered", True)}
    cov_type, debiased = names.get(kind, ("unadjusted", True))
    more = {"clusters": s.clusters} if cov_type == "clustered" else {}
    for j, left in enumerate([s.y, s.x[:, 0], s.x[:, 1]]):
        plain = IV2SLS(left, np.column_stack([s.w, s.z]), None, None)
        fitted = plain.fit(cov_type=cov_type, debiased=debiased, **more)
        found = reduced_form(data, kind).equation(j)
        assert found.coefficients == pytest.approx(fitted.params.to_numpy()[3:], rel=1e-10)
        assert found.covariance == pytest.approx(fitted.cov.to_numpy()[3:, 3:], rel=1e-9)
        slopes, spread = fitted.params.to_numpy()[3:], fitted.cov.to_numpy()[3:, 3:]
        assert found.f == pytest.approx(slopes @ np.linalg.solve(spread, slopes) / 3, rel=1e-9)
        assert found.df == (3, 24 if kind == "cr1" else 400 - 6)


def test_wald_ratio_by_hand():
    # Uptake rises by 0.5 with the instrument and the outcome by 1: the effect is 2.
    z = np.array([0.0, 0, 0, 0, 1, 1, 1, 1])
    x = np.array([0.0, 0, 0, 1, 0, 1, 1, 1])
    y = np.array([1.0, 2, 1, 2, 2, 3, 3, 2])
    data = partial_out(y, x, z, np.ones((8, 1)))
    assert tsls(data).coefficients == pytest.approx([2.0])
    found = reduced_form(data)
    assert found.equation(1).coefficients == pytest.approx([0.5])
    assert found.equation(0).coefficients == pytest.approx([1.0])


@pytest.mark.parametrize("clustered", [False, True])
def test_units_and_order_do_not_matter(clustered):
    s = Sample(2)
    rng = np.random.default_rng(3)
    order = rng.permutation(s.n)
    data = s.held(s.clusters if clustered else None)
    scale_x, scale_z, scale_w = np.array([1e-6, 1e5]), np.array([1e7, 1e-4, 3.0]), np.array([1.0, 1e6, 1e-5])
    other = partial_out(
        1e8 * s.y[order],
        (s.x * scale_x)[order],
        (s.z * scale_z)[order],
        (s.w * scale_w)[order],
        7 * s.clusters[order] + 3 if clustered else None,
    )
    kind = "cr1" if clustered else "hc1"
    one, two = tsls(data, kind), tsls(other, kind)
    assert two.coefficients * scale_x / 1e8 == pytest.approx(one.coefficients, rel=1e-9)
    assert two.errors * scale_x / 1e8 == pytest.approx(one.errors, rel=1e-9)
    assert liml(other).kappa == pytest.approx(liml(data).kappa, rel=1e-12)
    assert reduced_form(other, kind).equation(2).f == pytest.approx(reduced_form(data, kind).equation(2).f)


def test_only_ratios_of_weights_count():
    s = Sample()
    one, two = (tsls(s.held(weights=f * s.weights), "debiased") for f in (1.0, 1e9))
    assert one.errors == pytest.approx(two.errors, rel=1e-12)


def test_columns_that_add_nothing_are_dropped_and_listed():
    s = Sample()
    w = np.column_stack([s.w[:, 0], s.w[:, 1], 2 * s.w[:, 1] - 5, s.w[:, 2]])
    z = np.column_stack([s.z[:, 0], s.w[:, 2] + 1, s.z[:, 1], s.z[:, 0] - s.z[:, 1], s.z[:, 2]])
    data = partial_out(s.y, s.x, z, w)
    assert data.controls.dropped == (2,) and data.dropped_instruments == (1, 3)
    assert (data.c, data.k) == (3, 3)
    assert tsls(data).errors == pytest.approx(tsls(s.held()).errors, rel=1e-9)
    clean = with_controls(s.held(), tsls(s.held()))
    assert with_controls(data, tsls(data)).errors == pytest.approx(clean.errors, rel=1e-8)


def test_no_controls_at_all():
    s = Sample()
    found = tsls(partial_out(s.y, s.x, s.z, np.zeros((s.n, 0))), "hc0")
    wanted = IV2SLS(s.y, None, s.x, s.z).fit(cov_type="robust")
    assert found.errors == pytest.approx(wanted.std_errors.to_numpy(), rel=1e-10)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"z": np.full((400, 1), 3.0)}, "instrument 0 has the same value"),
        ({"z": np.zeros((400, 0))}, "at least as many instruments"),
        ({"x": np.full(400, 1.0)}, "no first stage"),
        ({"y": np.full(400, 2.0)}, "explain the outcome completely"),
        ({"clusters": np.zeros(400, dtype=int)}, "one cluster"),
    ],
)
def test_errors_in_plain_words(change, words):
    s = Sample()
    given = {"y": s.y, "x": s.x, "z": s.z, "w": s.w, **change}
    with pytest.raises(EstimationError, match=words):
        partial_out(**given)


def test_errors_about_instruments_that_cannot_be_used():
    s = Sample(2)
    with pytest.raises(EstimationError, match="controls explain instrument 0 completely"):
        partial_out(s.y, s.x[:, 0], s.w[:, 1] - 2 * s.w[:, 2], s.w)
    with pytest.raises(EstimationError, match="instrument 1 repeats"):
        partial_out(s.y, s.x, np.column_stack([s.z[:, 0], 2 * s.z[:, 0]]), s.w)
    # Balanced by construction: treatment and instrument are exactly unrelated.
    z, x = np.tile([0.0, 0.0, 1.0, 1.0], 100), np.tile([0.0, 1.0, 0.0, 1.0], 100)
    with pytest.raises(EstimationError, match="do not shift the treatment"):
        partial_out(s.y, x, z, np.ones((400, 1)))
    with pytest.raises(EstimationError, match="too few rows"):
        partial_out(s.y[:5], s.x[:5, 0], s.z[:5], s.w[:5])
    with pytest.raises(ValueError, match="finite"):
        partial_out(np.where(np.arange(400) == 7, np.nan, s.y), s.x, s.z, s.w)


def test_full_compliance():
    """With x = z the first stage has no remainder; two stages are least squares."""
    s = Sample()
    data = partial_out(s.y, s.z[:, 0], s.z[:, 0], s.w)
    assert tsls(data).errors == pytest.approx(ols(data).errors, rel=1e-10)
    found = reduced_form(data).equation(1)
    assert found.partial_r2 == pytest.approx(1) and found.f == np.inf


@pytest.mark.parametrize("near", [1e-2, 1e-5, 1e-6])
def test_orthonormal_columns_are_exact_when_nearly_collinear(near):
    rng = np.random.default_rng(5)
    a = rng.standard_normal((300, 4)) * [1e-9, 1.0, 1e6, 1.0]
    a[:, 3] = a[:, 1] + near * a[:, 3]
    found = orthonormal(a)
    assert found.kept == (0, 1, 2, 3) and found.dropped == ()
    assert np.abs(found.q.T @ found.q - np.eye(4)).max() < 1e-13
    assert found.q @ found.r == pytest.approx(a, rel=1e-9)
    r = np.linalg.qr(a)[1]
    assert found.r == pytest.approx(r * np.sign(np.diag(r))[:, None], rel=1e-6, abs=1e-12)


def test_orthonormal_columns_left_to_right():
    rng = np.random.default_rng(6)
    a = rng.standard_normal((50, 3))
    b = np.column_stack([a[:, 0], np.zeros(50), a[:, 1], a[:, 0] + a[:, 1], a[:, 2], 1e-9 * a[:, 2]])
    found = orthonormal(b)
    assert found.kept == (0, 2, 4) and found.dropped == (1, 3, 5)
    assert found.q == pytest.approx(orthonormal(a).q, abs=1e-12)


def test_calendar_years_as_controls():
    """Far from zero, and a square: the columns' own parts are tiny."""
    s = Sample()
    years = np.random.default_rng(1).integers(2010, 2020, s.n).astype(float)
    raw = np.column_stack([np.ones(s.n), years, s.w[:, 1]])
    centred = np.column_stack([np.ones(s.n), years - 2015, s.w[:, 1]])
    one, two = (tsls(partial_out(s.y, s.x, s.z, w)) for w in (raw, centred))
    assert one.errors == pytest.approx(two.errors, rel=1e-9)
    dummies = pd.get_dummies(years).to_numpy(dtype=float)
    held = partial_out(s.y, s.x, s.z, np.column_stack([np.ones(s.n), dummies]))
    assert held.c == 10 and held.controls.dropped == (10,)


def test_gmm_of_linearmodels_is_two_stages_with_equal_variances():
    s = Sample()
    wanted = IVGMM(s.y, s.w, s.x, s.z, weight_type="unadjusted").fit()
    assert tsls(s.held()).coefficients == pytest.approx([wanted.params.iloc[-1]], rel=1e-9)


def test_collinear_treatments_are_refused():
    s = Sample(2)
    x = np.column_stack([s.x[:, 0], s.x[:, 0] * 1e-6])
    with pytest.raises(EstimationError, match="not each treatment by itself"):
        partial_out(s.y, x, s.z, s.w)


@pytest.mark.parametrize("near", [1e-8, 1.0, 1e8])
def test_inverse_of_a_matrix_in_mixed_units(near):
    root = np.random.default_rng(0).standard_normal((5, 3)) * [1.0, near, near**2]
    found = inverse(root.T @ root)
    assert found @ (root.T @ root) * np.outer([1, near, near**2], 1 / np.array([1, near, near**2])) == (
        pytest.approx(np.eye(3), abs=1e-10)
    )
    with pytest.raises(np.linalg.LinAlgError):
        inverse(np.ones((2, 2)) * near)
