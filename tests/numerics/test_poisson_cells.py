"""Rate ratios by cohort and period against generalised linear models, by hand, and simulated truth."""

from dataclasses import replace

import numpy as np
import pytest

from qieval.numerics.poisson_cells import CellRules, poisson_cells
from qieval.numerics.poisson_effects import cell_covariance, cell_sets, count_effects
from qieval.numerics.poisson_two_way import CountRows

TIMES = np.arange(2011.0, 2018)
STARTS = np.array([np.inf, 2014.0, 2016.0])


def make(seed=0, units=90, missing=0.1, effect=-0.25):
    """Unbalanced panel, shuffled; exposure changes with time; over-dispersed counts with unit effects."""
    rng = np.random.default_rng(seed)
    unit, time = np.repeat(np.arange(units), TIMES.size), np.tile(np.arange(TIMES.size), units)
    keep = rng.permutation(np.flatnonzero(rng.random(unit.size) > missing))
    unit, time = unit[keep], time[keep]
    first = STARTS[unit % 3]
    x = np.column_stack([rng.standard_normal(units)[unit], rng.integers(0, 2, unit.size).astype(float)])
    exposure = rng.uniform(200, 900, unit.size)
    line = -3 + 0.1 * time + 0.2 * (unit % 3) + 0.2 * x[:, 0] + effect * (TIMES[time] >= first)
    frailty = rng.gamma(8, 1 / 8, units)[unit]
    y = rng.poisson(exposure * np.exp(line) * frailty).astype(float)
    return CountRows(unit, time, y, exposure, x, rng.uniform(0.5, 1.5, unit.size)), first


def glm(rows, first, x, crossed=False):
    """Cohort, period and cell dummies, in the order of the cells; each parameter's influence by row."""
    import statsmodels.api as sm

    cells = [(g, t) for g in STARTS[1:] for t in range(TIMES.size) if TIMES[t] >= g]
    inside = np.column_stack([(first == g) & (rows.time == t) for g, t in cells]).astype(float)
    crosses = [inside * column[:, None] for column in x.T] if crossed else []
    effects = [np.column_stack([first == g for g in STARTS]), np.eye(TIMES.size)[rows.time][:, 1:]]
    design = np.hstack([inside, *crosses, x, *effects])
    fit = sm.GLM(
        rows.y, design, sm.families.Poisson(), offset=np.log(rows.exposure), freq_weights=rows.mass
    ).fit(tol=1e-12, tol_criterion="params", maxiter=200)
    information = (design * (rows.mass * fit.mu)[:, None]).T @ design
    by_row = design * (rows.mass * (rows.y - fit.mu))[:, None] @ np.linalg.inv(information)
    return design, inside, fit, by_row


def by_unit(rows, by_row):
    total = np.zeros((rows.unit.max() + 1, by_row.shape[1]))
    np.add.at(total, rows.unit, by_row)
    return total


@pytest.mark.parametrize("case", ["sums", "covariates", "crossed"])
def test_cells_and_effects_equal_a_dummy_regression(case):
    rows, first = make()
    rows = replace(rows, x=None) if case == "sums" else rows
    x = np.zeros((len(rows.y), 0)) if rows.x is None else rows.x
    found = poisson_cells(rows, TIMES, first, CellRules(interact=case == "crossed"))
    design, inside, fit, by_row = glm(rows, first, x, case == "crossed")
    m = inside.shape[1]
    free = design.copy()
    free[:, : (m * 3 if case == "crossed" else m)] = 0.0
    without = rows.exposure * np.exp(free @ fit.params) * rows.mass
    with_ = fit.mu * rows.mass
    np.testing.assert_allclose(found.expected, without @ inside, rtol=1e-8)
    np.testing.assert_allclose(found.observed, (rows.mass * rows.y) @ inside, rtol=1e-12)
    gradient = (design * with_[:, None]).T @ inside / found.observed
    gradient -= (free * without[:, None]).T @ inside / found.expected
    n = found.cells.n
    np.testing.assert_allclose(
        found.cells.influence, by_unit(rows, by_row @ gradient) * n, rtol=1e-5, atol=1e-6
    )
    labels, sets = cell_sets(found.cells, "event time")
    np.testing.assert_array_equal(labels, [0, 1, 2, 3])
    effects = count_effects(found, sets)
    total = (free * without[:, None]).T @ inside - (design * with_[:, None]).T @ inside
    prevented = by_unit(rows, by_row @ total @ sets) * n
    np.testing.assert_allclose(effects.prevented_influence, prevented, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(effects.prevented, (without - with_) @ inside @ sets, rtol=1e-8)
    np.testing.assert_allclose(effects.exposure, (rows.mass * rows.exposure) @ inside @ sets, rtol=1e-12)
    np.testing.assert_allclose(effects.per_row, -effects.prevented / (inside @ sets).sum(axis=0), rtol=1e-12)


@pytest.mark.parametrize("leads", [False, True])
def test_sums_and_rows_agree_and_units_do_not_matter(leads):
    rows, first = make(1)
    rules = CellRules(leads=leads)
    one = poisson_cells(replace(rows, x=None), TIMES, first, rules)
    other = poisson_cells(replace(rows, x=np.ones((len(first), 1))), TIMES, first, rules)
    order = np.random.default_rng(0).permutation(len(first))
    scaled = replace(rows.take(order), x=None, exposure=rows.exposure[order] / 1e5)
    third = poisson_cells(scaled, TIMES, first[order], rules)
    for found in (other, third):
        np.testing.assert_allclose(found.cells.estimate, one.cells.estimate, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(found.cells.influence, one.cells.influence, atol=1e-6)
        np.testing.assert_allclose(found.dispersion, one.dispersion, rtol=1e-8)
        assert (found.n_fitted, found.n_slopes, found.n_groups) == (one.n_fitted, one.n_slopes, one.n_groups)
        assert found.cells.reason == one.cells.reason == ("",) * (12 if leads else 6)
    np.testing.assert_array_equal(one.cells.base, np.where(one.cells.cohort == 2014, 2013, 2015))


def test_unit_effects_equal_dummies_of_units():
    import statsmodels.api as sm

    rows, first = make(2, units=30)
    rows = replace(rows, y=np.where(rows.unit == 4, 0.0, rows.y))
    found = poisson_cells(rows, TIMES, first, CellRules("unit"))
    inside = glm(rows, first, rows.x)[1]
    used = rows.unit != 4
    dummies = [np.eye(30)[rows.unit][:, np.arange(30) != 4], np.eye(7)[rows.time][:, 1:]]
    design = np.hstack([inside, rows.x[:, 1:], *dummies])[used]
    offset, mass = np.log(rows.exposure)[used], rows.mass[used]
    fit = sm.GLM(rows.y[used], design, sm.families.Poisson(), offset=offset, freq_weights=mass)
    fit = fit.fit(tol=1e-12, tol_criterion="params", maxiter=200)
    np.testing.assert_allclose(found.cells.estimate, fit.params[:6], rtol=1e-7)
    information = (design * (mass * fit.mu)[:, None]).T @ design
    by_row = design * (mass * (rows.y[used] - fit.mu))[:, None] @ np.linalg.pinv(information, hermitian=True)
    influence = np.zeros((30, 6))
    np.add.at(influence, rows.unit[used], by_row[:, :6])
    np.testing.assert_allclose(found.cells.influence, 30 * influence, atol=1e-5)
    assert found.n_zero_units == 1 and not found.cells.influence[4].any()


def test_unit_effects_do_not_report_differences_between_cells_as_effects():
    rows, first = make(7, missing=0.0)
    keep = (first != 2014) | (rows.time >= 3)
    tied = poisson_cells(rows.take(keep), TIMES, first[keep], CellRules("unit"))
    gone = tied.cells.cohort == 2014
    assert all("no row before its start" in words for words in np.array(tied.cells.reason)[gone])
    # rows before the start belong to other units of the cohort than rows after it
    keep = (first != 2014) | ((rows.time >= 3) == (rows.unit % 2 == 0))
    found = poisson_cells(rows.take(keep), TIMES, first[keep], CellRules("unit"))
    assert np.isnan(found.cells.estimate[gone]).all() and np.isfinite(found.cells.estimate[~gone]).all()
    assert any("cannot be told apart from others" in words for words in found.cells.reason)
    assert all(found.cells.reason[i] for i in np.flatnonzero(gone))
    assert not found.cells.influence[:, gone].any()


def test_by_hand_with_one_comparison():
    unit, time = np.repeat(np.arange(4), 2), np.tile([0, 1], 4)
    y = np.array([4.0, 3, 6, 3, 10, 20, 30, 40])
    first = np.repeat([2021.0, 2021, np.inf, np.inf], 2)
    found = poisson_cells(CountRows(unit, time, y, np.full(8, 50.0)), np.array([2020.0, 2021]), first)
    assert found.cells.estimate[0] == pytest.approx(np.log(6 / 10 / (60 / 40)), rel=1e-10)
    effects = count_effects(found, cell_sets(found.cells, "overall")[1])
    assert effects.prevented[0] == pytest.approx(15 - 6)
    assert effects.rate_difference[0] == pytest.approx(-9 / 100)
    # log of a ratio of four totals: each unit moves its own by count less its share
    psi = 4 * np.array([-1 / 10 + 0, 1 / 10 + 0, 10 / 40 - 20 / 60, 30 / 40 - 40 / 60])
    totals = np.array([[4, 3], [6, 3], [10, 20], [30, 40]]) - np.array([[5, 3], [5, 3], [20, 30], [20, 30]])
    psi = 4 * (totals / np.array([[10, 6], [10, 6], [-40, -60], [-40, -60]]) @ np.array([-1, 1]))
    np.testing.assert_allclose(found.cells.influence[:, 0], psi, atol=1e-9)
    variance = cell_covariance(found, found.cells.influence, None, "none")
    assert variance[0, 0] == pytest.approx(np.sum(psi**2) / 16)
    corrected = cell_covariance(found, found.cells.influence)
    assert corrected[0, 0] == pytest.approx(variance[0, 0] * 4 / 3)
    one_cluster = cell_covariance(found, found.cells.influence, np.zeros(4, dtype=int))
    assert np.isnan(one_cluster).all()


def test_cells_without_an_estimate_say_why_and_leave_the_others_alone():
    rows, first = make(3, missing=0.0)
    rows = replace(rows, x=None)
    always = np.where(rows.unit < 6, 2011.0, first)
    silent = np.where((rows.unit >= 6) & (rows.unit < 12), 2013.0, always)
    y = np.where((silent == 2013) & (rows.time < 2), 0.0, rows.y)
    y = np.where((silent == 2016) & (rows.time == 6), 0.0, y)
    found = poisson_cells(replace(rows, y=y), TIMES, silent)
    reason = dict(
        zip(zip(found.cells.cohort, found.cells.time, strict=True), found.cells.reason, strict=True)
    )
    assert "no row before its start" in reason[2011, 2011]
    assert "no event before its start" in reason[2013, 2014]
    assert "not one event" in reason[2016, 2017] and reason[2016, 2016] == ""
    bad = np.array([bool(words) for words in found.cells.reason])
    np.testing.assert_array_equal(bad, np.isnan(found.cells.estimate))
    assert not found.cells.influence[:, bad].any()
    keep = ~np.isin(silent, (2011, 2013))
    clean = poisson_cells(replace(rows, y=y).take(keep), TIMES, silent[keep])
    np.testing.assert_allclose(
        found.cells.estimate[~bad], clean.cells.estimate[np.isfinite(clean.cells.estimate)], rtol=1e-9
    )
    effects = count_effects(found, cell_sets(found.cells, "overall")[1])
    assert (effects.n_cells[0], effects.n_missing[0]) == (5, 13) and np.isfinite(effects.prevented[0])
    nothing = count_effects(found, bad[:, None])
    assert np.isnan(nothing.log_ratio[0]) and np.isnan(nothing.prevented[0])


def test_without_never_treated_the_last_periods_have_no_controls():
    rows, first = make(4)
    keep = np.isfinite(first)
    found = poisson_cells(replace(rows, x=None).take(keep), TIMES, first[keep])
    late = found.cells.time >= 2016
    assert all("nothing to compare with" in words for words in np.array(found.cells.reason)[late])
    assert np.isfinite(found.cells.estimate[~late]).all()
    nobody = poisson_cells(rows, TIMES, np.full(len(first), np.inf))
    assert nobody.cells.estimate.size == 0
    gap = poisson_cells(
        replace(rows, x=None).take((first != 2014) | (rows.time != 4)),
        TIMES,
        first[(first != 2014) | (rows.time != 4)],
    )
    assert "No row of this cohort" in gap.cells.reason[1]


def test_anticipation_adds_cells_and_unit_effects_refuse_interactions():
    rows, first = make(5)
    found = poisson_cells(rows, TIMES, first, CellRules(anticipation=1))
    np.testing.assert_array_equal(found.cells.time[~found.cells.post], [2013, 2015])
    np.testing.assert_array_equal(found.cells.base[~found.cells.post], [2012, 2014])
    with pytest.raises(ValueError, match="cohort effects"):
        poisson_cells(rows, TIMES, first, CellRules("unit", interact=True))


def test_recovers_the_truth_with_right_errors():
    ratios, errors = [], []
    for seed in range(80):
        rows, first = make(500 + seed)
        found = poisson_cells(replace(rows, weights=None), TIMES, first)
        effects = count_effects(found, cell_sets(found.cells, "overall")[1])
        ratios.append(effects.log_ratio[0])
        errors.append(np.sqrt(cell_covariance(found, effects.log_ratio_influence)[0, 0]))
    spread = np.std(ratios, ddof=1)
    assert np.mean(ratios) == pytest.approx(-0.25, abs=4 * spread / np.sqrt(80))
    assert np.mean(errors) == pytest.approx(spread, rel=0.3)
