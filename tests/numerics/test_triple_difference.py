"""Triple differences against means, the two-period formula written out, the jackknife and simulated truth."""

from dataclasses import replace

import numpy as np
import pytest

from qieval.numerics.group_time_cells import Rules, WidePanel
from qieval.numerics.triple_difference import smallest_variance_weights, triple_difference
from qieval.numerics.triple_regression import absorbed_regression, triple_table

TIMES = np.arange(1, 7)


def make(seed=0, n=900, effect=0.5):
    """Eligibility, start and trends depend on a covariate; effect in eligible units of treated places."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 1))
    first = rng.choice([np.inf, 3.0, 4.0, 6.0], size=n, p=[0.3, 0.25, 0.25, 0.2])
    eligible = rng.random(n) < 1 / (1 + np.exp(-0.5 * x[:, 0] - 0.3 * np.isfinite(first)))
    trend = 0.1 + 0.3 * x + 0.1 * eligible[:, None] + 0.2 * (first == 3)[:, None]
    y = x + trend * TIMES + rng.standard_normal((n, 6))
    y += effect * ((first[:, None] <= TIMES) & eligible[:, None])
    return WidePanel(TIMES, first, y, x), eligible


def regression_did(change, subject, other, x):
    """Outcome regression: mean change of the subjects less what the others' regression predicts for them."""
    design = np.column_stack([np.ones(len(change)), x])
    beta = np.linalg.lstsq(design[other], change[other], rcond=None)[0]
    return np.mean(change[subject] - design[subject] @ beta)


def by_hand(panel, eligible, cohort, rival, periods):
    """The three outcome regressions of one cell."""
    late, early = periods
    change = panel.y[:, late] - panel.y[:, early]
    treated, control = panel.first == cohort, panel.first == rival
    subject = treated & eligible
    others = [treated & ~eligible, control & eligible, control & ~eligible]
    parts = [regression_did(change, subject, other, panel.x) for other in others]
    return parts[0] + parts[1] - parts[2]


@pytest.mark.parametrize("k", [0, 1])
def test_never_treated_controls_by_hand(k):
    panel, eligible = make()
    panel = replace(panel, x=panel.x[:, :k])
    found = triple_difference(panel, eligible, Rules("regression"))
    assert len(found.estimate) == 15 and found.reason == ("",) * 15
    np.testing.assert_array_equal(np.unique(found.cohort), [3, 4, 6])
    for cohort, time, base, estimate in zip(
        found.cohort, found.time, found.base, found.estimate, strict=True
    ):
        assert estimate == pytest.approx(
            by_hand(panel, eligible, cohort, np.inf, (time - 1, base - 1)), abs=1e-9
        )
    assert found.n_treated[0] == np.count_nonzero((panel.first == 3) & eligible)
    in_comparison = np.count_nonzero(np.isin(panel.first, (3, np.inf)))
    assert found.n_control[0] == in_comparison - found.n_treated[0]


def test_without_covariates_it_is_the_difference_of_two_and_all_estimators_agree():
    panel, eligible = make(1)
    panel = replace(panel, x=np.zeros((900, 0)))
    found = triple_difference(panel, eligible, Rules())
    for estimator in ("ipw", "regression"):
        other = triple_difference(panel, eligible, Rules(estimator))
        np.testing.assert_allclose(other.estimate, found.estimate, rtol=1e-10)
        np.testing.assert_allclose(other.influence, found.influence, atol=1e-9)
    change = panel.y[:, 3] - panel.y[:, 1]
    cell = np.flatnonzero((found.cohort == 3) & (found.time == 4))[0]
    never, own = np.isinf(panel.first), panel.first == 3
    groups = [own & eligible, own & ~eligible, never & eligible, never & ~eligible]
    signs = [1, -1, -1, 1]
    means = [change[group].mean() for group in groups]
    assert found.estimate[cell] == pytest.approx(np.dot(signs, means), abs=1e-12)
    psi = sum(
        sign * group * (change - mean) / group.mean()
        for sign, group, mean in zip(signs, groups, means, strict=True)
    )
    np.testing.assert_allclose(found.influence[:, cell], psi, atol=1e-9)


def test_cohorts_not_yet_treated_are_averaged_by_smallest_variance():
    panel, eligible = make(2)
    found = triple_difference(panel, eligible, Rules("regression", "not yet"))
    cell = np.flatnonzero((found.cohort == 3) & (found.time == 3))[0]
    rivals = [4.0, 6.0, np.inf]
    estimates, influence = [], []
    for rival in rivals:
        keep = np.isin(panel.first, (3, rival))
        first = np.where(panel.first == 3, 3.0, np.inf)[keep]
        alone = WidePanel(TIMES, first, panel.y[keep], panel.x[keep])
        single = triple_difference(alone, eligible[keep], Rules("regression"))
        at = np.flatnonzero(single.time == 3)[0]
        assert single.estimate[at] == pytest.approx(by_hand(panel, eligible, 3, rival, (2, 1)), abs=1e-9)
        estimates.append(single.estimate[at])
        column = np.zeros(900)
        column[keep] = single.influence[:, at] * 900 / keep.sum()
        influence.append(column)
    inverse = np.linalg.inv(np.cov(np.array(influence)))
    weights = inverse.sum(axis=1) / inverse.sum()
    assert found.estimate[cell] == pytest.approx(weights @ estimates, rel=1e-3)
    np.testing.assert_allclose(found.influence[:, cell], weights @ influence, atol=0.05)
    exact = smallest_variance_weights(np.array(influence).T)
    assert found.estimate[cell] == pytest.approx(exact @ estimates, abs=1e-12)
    assert found.n_control[cell] == np.count_nonzero(panel.first >= 3) - found.n_treated[cell]
    variance = (found.influence[:, cell] ** 2).sum()
    assert all(variance <= (column**2).sum() for column in influence)


def test_weights_of_smallest_variance():
    one = np.random.default_rng(0).standard_normal((50, 1))
    np.testing.assert_allclose(smallest_variance_weights(np.hstack([one, one])), [0.5, 0.5])
    np.testing.assert_allclose(smallest_variance_weights(np.zeros((5, 2))), [0.5, 0.5])
    np.testing.assert_allclose(smallest_variance_weights(one), [1.0])
    three = np.random.default_rng(1).standard_normal((50, 3))
    inverse = np.linalg.inv(three.T @ three)
    np.testing.assert_allclose(smallest_variance_weights(three), inverse.sum(axis=1) / inverse.sum())


@pytest.mark.parametrize("controls", ["never", "not yet"])
def test_errors_agree_with_the_jackknife(controls):
    panel, eligible = make(3, n=600)
    rules = Rules("doubly robust" if controls == "never" else "regression", controls)
    found = triple_difference(panel, eligible, rules)
    block = np.random.default_rng(0).permutation(600) % 40
    left = []
    for out in range(40):
        keep = block != out
        part = WidePanel(TIMES, panel.first[keep], panel.y[keep], panel.x[keep])
        left.append(triple_difference(part, eligible[keep], rules).estimate)
    jackknife = np.sqrt(39 / 40 * ((left - np.mean(left, axis=0)) ** 2).sum(axis=0))
    ratio = np.sqrt((found.influence**2).sum(axis=0)) / 600 / jackknife
    assert np.median(ratio) == pytest.approx(1, abs=0.1) and (np.abs(np.log(ratio)) < 0.4).all()


def test_base_period_and_units_do_not_matter_where_they_should_not():
    panel, eligible = make(4)
    one = triple_difference(panel, eligible, Rules("doubly robust", "not yet"))
    order = np.random.default_rng(1).permutation(900)
    x = 1e4 * panel.x[order] + 7
    moved = WidePanel(TIMES, panel.first[order], 1e-3 * panel.y[order], x, np.full(900, 5.0))
    other = triple_difference(moved, eligible[order], Rules("doubly robust", "not yet"))
    np.testing.assert_allclose(other.estimate, 1e-3 * one.estimate, rtol=1e-7)
    np.testing.assert_allclose(other.influence, 1e-3 * one.influence[order], atol=1e-8)
    universal = triple_difference(panel, eligible, Rules("doubly robust", "not yet", "universal"))
    post = universal.post
    np.testing.assert_allclose(universal.estimate[post], one.estimate[one.post], rtol=1e-9)
    at_base = universal.time == universal.base
    assert at_base.sum() == 3 and not universal.estimate[at_base].any()
    assert not universal.influence[:, at_base].any()


def test_reasons_in_words():
    panel, eligible = make(5)
    lacking = eligible | (panel.first == 3)
    found = triple_difference(panel, lacking, Rules())
    bad = found.cohort == 3
    assert all("no ineligible units of the same places" in found.reason[i] for i in np.flatnonzero(bad))
    assert np.isnan(found.estimate[bad]).all() and np.isfinite(found.estimate[~bad]).all()
    assert not found.influence[:, bad].any() and not found.n_treated[bad].any()
    part = panel.first < 7
    alone = WidePanel(TIMES, panel.first[part], panel.y[part], panel.x[part])
    none = triple_difference(alone, eligible[part], Rules())
    assert all("No place is untreated" in words for words in none.reason)
    half = eligible | (panel.first == 4)
    still = triple_difference(panel, half, Rules("doubly robust", "not yet"))
    assert np.isfinite(still.estimate[still.cohort == 3]).all()
    nobody = triple_difference(replace(panel, first=np.full(900, np.inf)), eligible, Rules())
    assert nobody.estimate.size == 0 and nobody.influence.shape == (900, 0)


def test_recovers_the_truth_with_right_errors():
    errors, spread = [], []
    for seed in range(30):
        panel, eligible = make(50 + seed, n=600)
        found = triple_difference(panel, eligible, Rules("doubly robust"))
        post = found.post
        errors.append(found.estimate[post].mean() - 0.5)
        spread.append(np.sqrt((found.influence[:, post].mean(axis=1) ** 2).sum()) / 600)
    assert np.mean(errors) == pytest.approx(0, abs=4 * np.std(errors) / np.sqrt(30))
    assert np.mean(spread) == pytest.approx(np.std(errors, ddof=1), rel=0.3)


def long_rows(seed=0, units=60, periods=5):
    rng = np.random.default_rng(seed)
    unit, time = np.repeat(np.arange(units), periods), np.tile(np.arange(periods), units)
    keep = rng.permutation(np.flatnonzero(rng.random(unit.size) > 0.1))
    unit, time = unit[keep], time[keep]
    place, eligible = unit // 6, unit % 2
    d = ((place % 3 == 0) & (time >= 2 + place % 2) & (eligible == 1)).astype(float)
    x = rng.standard_normal((unit.size, 2))
    y = d + 0.2 * time * place + x[:, 0] + rng.standard_normal(unit.size)
    effects = [unit, place * periods + time, eligible * periods + time]
    return y, np.column_stack([d, x]), effects, place, rng.uniform(0.3, 3, unit.size)


@pytest.mark.parametrize("weighted", [False, True])
def test_three_sets_of_effects_equal_dummies(weighted):
    y, x, effects, place, weights = long_rows()
    w = weights if weighted else np.ones(len(y))
    fit = absorbed_regression(y, x, effects, place, weights if weighted else None)
    assert fit.converged and fit.used.all() and not fit.collinear.any()
    root = np.sqrt(w)[:, None]
    dummies = np.hstack([np.eye(codes.max() + 1)[codes] for codes in effects])
    design = np.hstack([x, dummies]) * root
    beta = np.linalg.lstsq(design, y * root[:, 0], rcond=None)[0]
    np.testing.assert_allclose(fit.beta, beta[:3], rtol=1e-9)
    bread = np.linalg.pinv(design.T @ design, hermitian=True)
    score = design * (y * root[:, 0] - design @ beta)[:, None]
    totals = np.array([score[place == g].sum(axis=0) for g in range(10)])
    n, parameters = len(y), 3 + 10
    assert fit.n_parameters == parameters
    factor = 10 / 9 * (n - 1) / (n - parameters)
    sandwich = (bread @ totals.T @ totals @ bread)[:3, :3] * factor
    np.testing.assert_allclose(fit.covariance, sandwich, rtol=1e-7, atol=1e-12)


def test_absorbed_columns_and_rows_that_are_alone():
    y, x, effects, place, _ = long_rows(1)
    of_unit = np.sin(effects[0])
    wide = np.column_stack([x[:, 0], of_unit, x[:, 1], 1e6 * x[:, 1] + of_unit])
    fit = absorbed_regression(y, wide, effects, place)
    np.testing.assert_array_equal(fit.collinear, [False, True, False, True])
    plain = absorbed_regression(y, x[:, :2], effects, place)
    np.testing.assert_allclose(fit.beta[[0, 2]], plain.beta, rtol=1e-8)
    np.testing.assert_allclose(fit.std_error[[0, 2]], plain.std_error, rtol=1e-8)
    assert np.isnan(fit.std_error[[1, 3]]).all()
    more = [np.append(codes, codes.max() + 1) for codes in effects]
    again = absorbed_regression(np.append(y, 1e3), np.vstack([x, [1, 0, 0]]), more, np.append(place, 0))
    full = absorbed_regression(y, x, effects, place)
    np.testing.assert_allclose(again.beta, full.beta, rtol=1e-12)
    assert again.n_singletons == 1 and not again.used[-1]


def test_table_is_the_difference_of_means():
    rng = np.random.default_rng(0)
    arms = tuple(rng.random((3, 200)) < 0.5)
    y = rng.standard_normal(200) + 2 * (arms[0] & arms[1] & arms[2])
    fit, covariance = triple_table(y, arms)
    signs = np.prod([np.where(arm, 1, -1) for arm in arms], axis=0)
    cells = arms[0] * 4 + arms[1] * 2 + arms[2] * 1
    difference = sum(signs[cells == c][0] * y[cells == c].mean() for c in range(8))
    assert fit.beta[-1] == pytest.approx(difference, rel=1e-10)
    spread = sum(np.var(y[cells == c]) / np.sum(cells == c) for c in range(8))
    assert covariance[-1, -1] == pytest.approx(spread * 200 / 192, rel=1e-9)
