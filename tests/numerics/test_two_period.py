import numpy as np
import pytest
from scipy.optimize import minimize, root

from qieval.numerics.group_time_comparison import COLLINEAR, FEW_CONTROLS
from qieval.numerics.group_time_propensity import NO_OVERLAP
from qieval.numerics.two_period import (
    EMPTY,
    NO_SLOPE,
    UNKNOWN,
    two_period_panel,
    two_period_rows,
    two_way_panel,
)
from qieval.numerics.two_period_arms import COLLINEAR_TREATED, FEW_TREATED, TOO_ALIKE
from qieval.numerics.two_period_weights import NOT_BALANCED

PANEL = ["doubly robust", "improved", "standardised ipw", "ipw", "regression", "two-way"]
ROWS = [*PANEL, "doubly robust, not locally efficient", "improved, not locally efficient"]
EXACT = [kind for kind in ROWS if not kind.startswith("improved")]


def units(n=160, seed=1, lean=1.0):
    """Change, group, two characteristics and weights; who is treated and the trend depend on both."""
    rng = np.random.default_rng(seed)
    x = np.column_stack([rng.standard_normal(n), rng.random(n) < 0.4])
    treated = x @ [0.7, -0.5] * lean + rng.logistic(size=n) > 0.3
    change = 1 + x @ [1.0, -2.0] + 0.5 * x[:, 0] ** 2 + 2 * treated + rng.standard_normal(n)
    return change, treated, x, rng.uniform(0.5, 2.0, n)


def sampled(n=260, seed=2):
    """Outcome, period, group, characteristics and weights of repeated cross-sections."""
    change, treated, x, weights = units(n, seed)
    rng = np.random.default_rng(seed)
    after = rng.random(n) < 0.45
    y = 3 + 2 * x[:, 0] - x[:, 1] + treated + np.where(after, change, 0.0) + rng.standard_normal(n)
    return y, after, treated, x, weights


def odds_by_hand(d, z, w, balance):
    """exp(z beta) where p is the logistic probability: of highest likelihood, or giving equal means."""

    def likelihood(beta):
        linear = z @ beta
        return np.sum(w * (np.logaddexp(0, linear) - d * linear)), z.T @ (w * (1 / (1 + np.exp(-linear)) - d))

    found = minimize(likelihood, np.zeros(z.shape[1]), jac=True, method="BFGS", options={"gtol": 1e-10}).x
    if balance:
        found = root(lambda beta: z.T @ (w * np.where(d, 1.0, -np.exp(z @ beta))), found, tol=1e-13).x
    odds = np.exp(z @ found)
    return np.where(odds / (1 + odds) < 0.995, odds, 0.0)


def line(y, z, w, rows):
    """Predictions for all rows from weighted least squares among some."""
    scale = np.sqrt(w[rows])
    return z @ np.linalg.lstsq(z[rows] * scale[:, None], y[rows] * scale, rcond=None)[0]


def panel_by_hand(change, d, x, w, kind):
    z = np.column_stack([np.ones(len(x)), x])
    if kind == "two-way":
        return np.average(change[d], weights=w[d]) - np.average(change[~d], weights=w[~d])
    odds = odds_by_hand(d, z, w, kind == "improved")
    if kind == "ipw":
        return np.sum(w * np.where(d, 1.0, -odds) * change) / np.sum(w[d])
    expected = line(change, z, w * odds if kind == "improved" else w, ~d)
    rest = change if kind == "standardised ipw" else change - expected
    found = np.average(rest[d], weights=w[d])
    return found if kind == "regression" else found - np.average(rest[~d], weights=(w * odds)[~d])


def rows_by_hand(y, after, d, x, w, kind):
    z = np.column_stack([np.ones(len(x)), x])
    if kind == "two-way":
        design = np.column_stack([d & after, d, after, z]).astype(float)
        return np.linalg.lstsq(design * np.sqrt(w)[:, None], y * np.sqrt(w), rcond=None)[0][0]
    odds = odds_by_hand(d, z, w, kind.startswith("improved"))
    if kind == "ipw":
        share = np.average(after, weights=w)
        change = y * (after - share) / (share * (1 - share))
        return np.sum(w * np.where(d, 1.0, -odds) * change) / np.sum(w[d])
    found = 0.0
    for sign, period in ((1, after), (-1, ~after)):
        t, c = d & period, ~d & period
        control = line(y, z, w * odds if kind.startswith("improved") else w, c)
        mean = np.average(y[t], weights=w[t])
        if kind == "regression":
            found += sign * (mean - np.average(control[d], weights=w[d]))
        elif kind == "standardised ipw":
            found += sign * (mean - np.average(y[c], weights=(w * odds)[c]))
        else:
            rest = y - control
            found += sign * (np.average(rest[t], weights=w[t]) - np.average(rest[c], weights=(w * odds)[c]))
            if "not" not in kind:
                gap = line(y, z, w, t) - control
                found += sign * (np.average(gap[d], weights=w[d]) - np.average(gap[t], weights=w[t]))
    return found


@pytest.mark.parametrize("kind", PANEL)
def test_panel_agrees_with_the_definitions(kind):
    change, treated, x, weights = units()
    found = two_period_panel(change, treated, x, weights, kind)
    assert found.estimate == pytest.approx(panel_by_hand(change, treated, x, weights, kind), rel=1e-7)
    equal = two_period_panel(change, treated, x, None, kind)
    assert equal.estimate == pytest.approx(panel_by_hand(change, treated, x, np.ones(160), kind), rel=1e-7)


@pytest.mark.parametrize("kind", ROWS)
def test_rows_agree_with_the_definitions(kind):
    y, after, treated, x, weights = sampled()
    found = two_period_rows(y, after, treated, x, weights, kind)
    expected = rows_by_hand(y, after, treated, x, weights, kind)
    assert found.converged and found.reason == ""
    assert found.estimate == pytest.approx(expected, rel=1e-7)


def derivative(estimate, weights, row, step=1e-4):
    """n times the change of the estimate per unit of a row's share: the infinitesimal jackknife."""
    up, down = weights.copy(), weights.copy()
    up[row] *= 1 + step
    down[row] *= 1 - step
    return len(weights) * (estimate(up) - estimate(down)) / (2 * step)


@pytest.mark.parametrize("kind", PANEL)
def test_influence_in_a_panel_is_the_derivative(kind):
    change, treated, x, weights = units()
    found = two_period_panel(change, treated, x, weights, kind)
    for row in range(0, 160, 13):
        slope = derivative(lambda w: two_period_panel(change, treated, x, w, kind).estimate, weights, row)
        assert found.influence[row] == pytest.approx(slope, abs=2e-5)
    assert found.influence.mean() == pytest.approx(0, abs=1e-10)
    assert found.std_error == pytest.approx(np.sqrt(np.sum(found.influence**2)) / 160, rel=1e-12)


@pytest.mark.parametrize("kind", EXACT)
def test_influence_of_rows_is_the_derivative(kind):
    """With the sign of the controls' part before of DRDID 1.2.3 the doubly robust ones are off by up to 1."""
    y, after, treated, x, weights = sampled()
    found = two_period_rows(y, after, treated, x, weights, kind)
    for row in range(0, 260, 13):
        slope = derivative(lambda w: two_period_rows(y, after, treated, x, w, kind).estimate, weights, row)
        assert found.influence[row] == pytest.approx(slope, abs=5e-5)


@pytest.mark.parametrize("kind", ROWS)
def test_influence_of_rows_is_what_leaving_one_out_changes(kind):
    y, after, treated, x, _ = sampled(600, seed=5)
    full = two_period_rows(y, after, treated, x, kind=kind)
    left = np.array([
        two_period_rows(y[at], after[at], treated[at], x[at], kind=kind).estimate
        for at in (np.arange(600) != row for row in range(0, 600, 15))
    ])  # fmt: skip
    changes = 599 * (full.estimate - left)
    close = 0.98 if kind.startswith("improved") else 0.9995
    assert np.corrcoef(changes, full.influence[::15])[0, 1] > close


def test_means_by_hand():
    change, treated = np.array([3.0, 5.0, 1.0, 2.0]), np.array([True, True, False, False])
    for kind in PANEL:
        found = two_period_panel(change, treated, np.zeros((4, 0)), kind=kind)
        assert found.estimate == pytest.approx(2.5)
        if kind != "ipw":
            assert found.influence.tolist() == pytest.approx([-2.0, 2.0, 1.0, -1.0])
            assert found.std_error == pytest.approx(np.sqrt(10) / 4)


def test_a_panel_read_as_rows_has_the_same_two_way_effect():
    change, treated, x, weights = units()
    before = np.random.default_rng(0).standard_normal(160)
    found = two_way_panel(np.column_stack([before, before + change]), treated, x, weights)
    assert found.estimate == pytest.approx(panel_by_hand(change, treated, x, weights, "two-way"), rel=1e-10)
    assert found.influence.shape == (320,)
    by_unit = found.influence.reshape(2, 160).sum(axis=0) / 2
    assert np.allclose(by_unit, two_period_panel(change, treated, x, weights, "two-way").influence)


@pytest.mark.parametrize("kind", ROWS)
def test_units_order_and_repeated_covariates_do_not_matter(kind):
    y, after, treated, x, weights = sampled()
    found = two_period_rows(y, after, treated, x, weights, kind)
    order = np.random.default_rng(3).permutation(len(y))
    other = 1e6 * x[order] @ [[1.0, 0.0, 1.0], [0.0, 1e-9, 1.0]] + 5
    again = two_period_rows(1e3 * y[order], after[order], treated[order], other, 1e-4 * weights[order], kind)
    assert again.estimate == pytest.approx(1e3 * found.estimate, rel=1e-8)
    assert np.allclose(again.influence, 1e3 * found.influence[order], rtol=1e-6, atol=1e-3)


def test_controls_who_are_sure_to_be_treated_get_no_weight():
    rng = np.random.default_rng(8)
    x = np.concatenate([rng.normal(0, 1, 300), rng.normal(4, 1, 300), [7.0, 7.5]])[:, None]
    treated = np.repeat([False, True, False], [300, 300, 2])
    change = x[:, 0] + rng.standard_normal(602)
    weights = np.ones(602)
    for kind in ("doubly robust", "standardised ipw", "ipw"):
        found = two_period_panel(change, treated, x, None, kind)
        assert found.trimmed == 2
        assert found.estimate == pytest.approx(panel_by_hand(change, treated, x, weights, kind), rel=1e-6)
    assert two_period_panel(change, treated, x, None, "regression").trimmed == 0


@pytest.mark.parametrize("kind", PANEL)
def test_what_cannot_be_estimated_says_why(kind):
    change, treated, x, weights = units()
    gone = np.where(np.arange(160) == 3, np.nan, change)
    assert two_period_panel(gone, treated, x, weights, kind).reason == UNKNOWN
    assert two_period_panel(change, treated, x, -weights, kind).reason == UNKNOWN
    found = two_period_panel(change, np.ones(160, bool), x, weights, kind)
    assert found.reason == EMPTY and np.isnan(found.estimate) and np.isnan(found.std_error)
    assert not found.converged and not found.influence.any()


@pytest.mark.parametrize(
    "kind, reason",
    [
        ("doubly robust", COLLINEAR),
        ("regression", COLLINEAR),
        ("improved", COLLINEAR),
        ("standardised ipw", NO_OVERLAP),
        ("ipw", NO_OVERLAP),
        ("two-way", ""),
    ],
)
def test_a_covariate_that_is_the_group(kind, reason):
    change, treated, x, weights = units()
    assert two_period_panel(change, treated, np.column_stack([x, treated]), weights, kind).reason == reason


def test_no_control_resembles_the_treated():
    change, treated, x, weights = units()
    far = np.where(treated, 5.0, 0.0)[:, None] + x[:, :1] / 10
    assert two_period_panel(change, treated, far, weights, "doubly robust").reason == NO_OVERLAP
    assert two_period_panel(change, treated, far, weights, "ipw").reason == NO_OVERLAP
    assert two_period_panel(change, treated, far, weights, "improved").reason == NOT_BALANCED


def test_a_covariate_that_all_treated_share_leaves_only_controls_who_share_it():
    change, treated, x, weights = units()
    x = np.column_stack([x[:, 0], treated | (x[:, 1] == 1)])
    kept = x[:, 1] == 1
    assert two_period_panel(change, treated, x, weights).converged
    found = two_period_panel(change, treated, x, weights, "standardised ipw")
    some = two_period_panel(change[kept], treated[kept], x[kept, :1], weights[kept], "standardised ipw")
    assert found.estimate == pytest.approx(some.estimate, rel=1e-8)
    assert found.std_error == pytest.approx(some.std_error, rel=1e-8)
    assert not found.influence[~kept].any()
    assert two_period_panel(change, treated, x, weights, "improved").reason in (TOO_ALIKE, NOT_BALANCED)


def test_too_few_rows_in_one_period_says_which():
    y, after, treated, x, _ = sampled()
    for group, reason in ((~treated, FEW_CONTROLS), (treated, FEW_TREATED)):
        some = np.ones(len(y), bool)
        some[np.flatnonzero(group & after)[2:]] = False
        found = two_period_rows(y[some], after[some], treated[some], x[some])
        assert found.reason == reason
        assert two_period_rows(
            y[some], after[some], treated[some], x[some], kind="standardised ipw"
        ).converged
        same = x.copy()
        same[group & after, 1] = 0.0
        expected = COLLINEAR_TREATED if reason == FEW_TREATED else COLLINEAR
        assert two_period_rows(y, after, treated, same).reason == expected
    none = two_period_rows(y, after & treated, treated, x)
    assert none.reason == EMPTY


def test_a_covariate_that_is_the_interaction_leaves_no_effect():
    y, after, treated, x, _ = sampled()
    both = np.column_stack([x, treated & after])
    assert two_period_rows(y, after, treated, both, kind="two-way").reason == NO_SLOPE
