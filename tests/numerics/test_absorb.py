import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qieval.numerics.absorb import fit_event, fit_static, partial_out, two_way, within


def indicators(code):
    return (code[:, None] == np.arange(code.max() + 1)).astype(float)


def weights_of(data, weighted):
    return data["weights"] if weighted else None


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("weighted", [False, True])
def test_static_fit_equals_explicit_dummies(random_panel, dense, seed, weighted):
    data = random_panel(seed)
    w = weights_of(data, weighted)
    fit = fit_static(within(two_way(data["unit"], data["time"], w), data["y"], data["x"]), data["d"])
    slow = dense(data["unit"], data["time"], data["y"], np.column_stack([data["d"], data["x"]]), w)
    np.testing.assert_allclose(np.append(fit.beta, fit.gamma), slow.beta, rtol=1e-10)
    np.testing.assert_allclose(fit.residuals, slow.error, atol=1e-11)
    np.testing.assert_allclose(fit.bread, slow.bread[:3, :3], rtol=1e-9)
    assert not fit.collinear.any() and not fit.base.dropped.any()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("weighted", [False, True])
def test_event_fit_equals_explicit_dummies(random_panel, dense, seed, weighted):
    data = random_panel(seed)
    w = weights_of(data, weighted)
    fit = fit_event(within(two_way(data["unit"], data["time"], w), data["y"], data["x"]), data["code"], 6)
    columns = np.column_stack([indicators(data["code"]), data["x"]])
    slow = dense(data["unit"], data["time"], data["y"], columns, w)
    np.testing.assert_allclose(np.append(fit.beta, fit.gamma), slow.beta, rtol=1e-9)
    np.testing.assert_allclose(fit.residuals, slow.error, atol=1e-11)


PANELS = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 10**6),
        "units": st.integers(6, 25),
        "periods": st.integers(2, 9),
        "missing": st.floats(0, 0.5),
    }
)


@settings(max_examples=60, deadline=None)
@given(panel=PANELS, weighted=st.booleans())
def test_any_panel_equals_explicit_dummies(random_panel, dense, panel, weighted):
    data = random_panel(**panel, k=1)
    w = weights_of(data, weighted)
    fit = fit_static(within(two_way(data["unit"], data["time"], w), data["y"], data["x"]), data["d"])
    columns = np.column_stack([data["x"], data["d"]])
    effects = np.column_stack([indicators(data["unit"]), indicators(data["time"])])
    rank = np.linalg.matrix_rank(np.column_stack([effects, columns])) - np.linalg.matrix_rank(effects)
    assert fit.n_slopes == rank
    if rank == 2:
        slow = dense(data["unit"], data["time"], data["y"], columns, w)
        np.testing.assert_allclose([*fit.gamma, *fit.beta], slow.beta, rtol=1e-7, atol=1e-9)


def test_two_levels_of_the_unit_factor_serve_repeated_cross_sections(random_panel, dense):
    data = random_panel(5)
    group = (data["unit"] % 3 == 0).astype(int)
    for w in (None, data["weights"]):
        base = within(two_way(group, data["time"], w), data["y"], data["x"])
        slow = dense(group, data["time"], data["y"], np.column_stack([data["d"], data["x"]]), w)
        np.testing.assert_allclose(fit_static(base, data["d"]).beta, slow.beta[:1], rtol=1e-10)
        columns = np.column_stack([indicators(data["code"]), data["x"]])
        slow = dense(group, data["time"], data["y"], columns, w)
        np.testing.assert_allclose(fit_event(base, data["code"], 6).beta, slow.beta[:6], rtol=1e-9)


def test_event_with_one_code_is_the_static_fit(random_panel):
    data = random_panel(6)
    base = within(two_way(data["unit"], data["time"], data["weights"]), data["y"], data["x"])
    static, event = fit_static(base, data["d"]), fit_event(base, np.where(data["d"] == 1, 0, -1), 1)
    np.testing.assert_allclose(event.beta, static.beta, rtol=1e-12)
    np.testing.assert_allclose(event.bread, static.bread, rtol=1e-11)


def test_singletons_change_nothing_and_have_no_residual(random_panel):
    data = random_panel(7)
    extra = {name: np.concatenate([data[name], data[name][:1]]) for name in ("time", "y", "x", "d")}
    unit = np.append(data["unit"], 99)
    alone = fit_static(within(two_way(unit, extra["time"]), extra["y"], extra["x"]), extra["d"])
    plain = fit_static(within(two_way(data["unit"], data["time"]), data["y"], data["x"]), data["d"])
    np.testing.assert_allclose(alone.beta, plain.beta, rtol=1e-12)
    assert np.isnan(alone.residuals[-1]) and np.isfinite(alone.residuals[:-1]).all()
    assert alone.base.rows.n_singletons == 1


def test_collinear_covariates_are_dropped_whatever_their_scale(random_panel):
    data = random_panel(8)
    trait, calendar = np.sin(data["unit"]) * 1e6, np.cos(data["time"]) * 1e-6
    x = np.column_stack(
        [trait, data["x"][:, 0] * 1e-8, calendar, data["x"][:, 0] * 1e9 + trait, data["x"][:, 1]]
    )
    base = within(two_way(data["unit"], data["time"]), data["y"], x)
    assert base.dropped.tolist() == [True, False, True, True, False]
    fit = fit_static(base, data["d"])
    plain = fit_static(within(two_way(data["unit"], data["time"]), data["y"], data["x"]), data["d"])
    np.testing.assert_allclose(fit.beta, plain.beta, rtol=1e-9)
    np.testing.assert_allclose(fit.gamma[[1, 4]], plain.gamma * [1e8, 1], rtol=1e-9)
    assert np.isnan(fit.gamma[[0, 2, 3]]).all()


def test_treatment_explained_by_effects_or_covariates_is_reported(random_panel):
    data = random_panel(9)
    rows = two_way(data["unit"], data["time"])
    by_effects = fit_static(within(rows, data["y"], data["x"]), (data["unit"] % 2) + 2.0 * data["after"])
    by_covariate = fit_static(
        within(rows, data["y"], np.column_stack([data["x"], data["d"]])), data["d"] * 3 + 1
    )
    for fit, gamma in ((by_effects, 2), (by_covariate, 3)):
        assert fit.collinear.tolist() == [True] and np.isnan(fit.beta[0])
        assert np.isfinite(fit.gamma).sum() == gamma and fit.bread.shape == (gamma, gamma)


def test_event_columns_that_add_up_to_an_effect_are_reported(random_panel):
    data = random_panel(10)
    fit = fit_event(within(two_way(data["unit"], data["time"]), data["y"]), data["time"], 7)
    assert fit.collinear.all()
    everyone = np.where(data["time"] == 2, -1, data["time"])
    group_every_period = np.where(data["unit"] % 3 == 0, data["time"], -1)
    fit = fit_event(within(two_way(data["unit"], data["time"]), data["y"]), group_every_period, 8)
    assert fit.collinear.tolist() == [False] * 6 + [
        True,
        True,
    ]  # the last period, and code 7, which has no rows
    assert fit_event(fit.base, everyone, 7).collinear.all()


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_answers_do_not_depend_on_units(random_panel, scale):
    data = random_panel(11)
    rows = two_way(data["unit"], data["time"], data["weights"])
    scaled = two_way(data["unit"], data["time"], data["weights"] * scale)
    one = fit_static(within(rows, data["y"], data["x"]), data["d"])
    other = fit_static(within(scaled, data["y"] * scale, data["x"] / scale), data["d"])
    np.testing.assert_allclose(other.beta / scale, one.beta, rtol=1e-10)
    np.testing.assert_allclose(other.gamma / scale**2, one.gamma, rtol=1e-10)


def test_a_large_constant_costs_few_digits(random_panel):
    data = random_panel(12)
    rows = two_way(data["unit"], data["time"], data["weights"])
    one = fit_static(within(rows, data["y"], data["x"]), data["d"])
    other = fit_static(within(rows, data["y"] + 1e7, data["x"] - 1e7), data["d"])
    np.testing.assert_allclose(other.beta, one.beta, rtol=1e-7)


@pytest.mark.parametrize("weighted", [False, True])
def test_partialled_out_columns_are_regression_residuals(random_panel, dense, weighted):
    data = random_panel(13)
    w = weights_of(data, weighted)
    base = within(two_way(data["unit"], data["time"], w), data["y"], data["x"])
    columns = np.column_stack([data["d"], data["y"]])
    found = partial_out(base, columns)
    for j in range(2):
        slow = dense(data["unit"], data["time"], columns[:, j], data["x"], w)
        np.testing.assert_allclose(found[:, j], slow.error, atol=1e-11)


def test_nearly_collinear_covariates_keep_their_digits(random_panel, dense):
    data = random_panel(14)
    x = np.column_stack([data["x"][:, 0], data["x"][:, 0] + 1e-3 * data["x"][:, 1]])
    fit = fit_static(within(two_way(data["unit"], data["time"]), data["y"], x), data["d"])
    slow = dense(data["unit"], data["time"], data["y"], np.column_stack([data["d"], x]))
    np.testing.assert_allclose(np.append(fit.beta, fit.gamma), slow.beta, rtol=1e-9)
