from dataclasses import replace

import numpy as np
import pytest

from qieval.numerics.imputation import (
    REASONS,
    Centring,
    Groups,
    ImputationRows,
    averages,
    by_cell,
    by_cohort,
    by_horizon,
    group_time,
    impute,
    overall,
)
from qieval.numerics.imputation_pretrends import PretrendErrors, lead_scores, pretrends

TIMES = np.array([2010, 2011, 2012, 2014, 2015, 2016])
STARTS = [2011.0, 2012.0, 2014.0, 2016.0, np.inf, np.inf]


def random_rows(seed, k=0, weighted=False, anticipation=0, starts=STARTS, n_units=24):
    """An unbalanced panel in random order, some units with one untreated row, effects that differ."""
    rng = np.random.default_rng(seed)
    unit, time = (one.ravel() for one in np.indices((n_units, TIMES.size)))
    held = rng.permutation(np.flatnonzero(rng.random(unit.size) > 0.2))
    unit, time = unit[held], time[held]
    first = rng.choice(starts, n_units)[unit]
    treated = TIMES[time] >= first
    y = rng.standard_normal(n_units)[unit] + 0.3 * time + rng.standard_normal(unit.size)
    y = y + treated * (1 + rng.standard_normal(unit.size))
    x = rng.standard_normal((unit.size, k)) if k else None
    weights = rng.uniform(0.5, 2.0, unit.size) if weighted else None
    return ImputationRows(unit, time, TIMES, first, y, x, weights, anticipation)


def design(rows):
    """Dense indicators of units and periods beside the covariates."""
    parts = [np.eye(rows.n_units)[rows.unit], np.eye(len(rows.times))[rows.time]]
    return np.column_stack(parts if rows.x is None else [*parts, rows.x])


class Slow:
    """The paper's equations with dense matrices, for one group of treated rows."""

    def __init__(self, rows):
        z, self.rows = design(rows), rows
        self.untreated = rows.when < rows.first - rows.anticipation
        w = np.ones(len(z)) if rows.weights is None else rows.weights
        z0, w0 = z[self.untreated], w[self.untreated]
        self.bread = np.linalg.pinv(z0.T @ (z0 * w0[:, None]), rcond=1e-11, hermitian=True)
        self.z, self.w = z, w
        self.difference = rows.y - z @ (self.bread @ (z0.T @ (w0 * rows.y[self.untreated])))
        spanned = np.linalg.pinv(z0, rcond=1e-10) @ z0
        self.possible = np.abs(z - z @ spanned).max(axis=1) < 1e-8

    def group(self, chosen, clusters, leave_one_out=False):
        """Estimate and cluster scores."""
        chosen = chosen & self.possible
        v = np.where(chosen, self.w, 0.0)
        v /= v.sum()
        residual = np.where(self.untreated, self.difference, 0.0)
        cell = list(zip(self.rows.first, self.rows.time, strict=True))
        for i in np.flatnonzero(chosen):
            same = [j for j in np.flatnonzero(chosen) if cell[j] == cell[i]]
            others = [j for j in same if clusters[j] != clusters[i]]
            if others:
                used = others if leave_one_out else same
                residual[i] = self.difference[i] - np.average(self.difference[used], weights=v[used] ** 2)
            elif not leave_one_out:
                residual[i] = self.difference[i] - np.average(self.difference[same], weights=v[same] ** 2)
        estimate = v @ np.where(chosen, self.difference, 0.0)
        through = self.w * (self.z @ (self.bread @ (self.z.T @ v)))
        v = np.where(self.untreated, -through, v)
        return estimate, np.bincount(clusters, v * residual, clusters.max() + 1)


CASES = [
    {"seed": 1},
    {"seed": 2, "weighted": True},
    {"seed": 3, "k": 2},
    {"seed": 4, "k": 2, "weighted": True, "anticipation": 1},
    {"seed": 5, "starts": [2011.0, 2014.0, 2016.0]},
    {"seed": 6, "weighted": True, "starts": [2010.0, 2012.0, 2015.0, 2016.0], "k": 1},
]


@pytest.mark.parametrize("leave_one_out", [False, True])
@pytest.mark.parametrize("clustering", ["units", "nested", "crossing"])
@pytest.mark.parametrize("case", CASES)
def test_against_dense_matrices(case, clustering, leave_one_out):
    rows = random_rows(**case)
    clusters = {
        "units": rows.unit,
        "nested": rows.unit // 3,
        "crossing": np.random.default_rng(0).integers(0, 9, rows.unit.size),
    }[clustering]
    made, slow = impute(rows), Slow(rows)
    np.testing.assert_array_equal(made.missing == 0, slow.possible)
    np.testing.assert_allclose(made.difference[slow.possible], slow.difference[slow.possible], atol=1e-11)
    for groups in (overall(rows), by_horizon(rows), by_cell(rows)):
        found = averages(made, groups, clusters, centring=Centring(leave_one_out=leave_one_out))
        assert len(found.reason) == groups.n_groups
        for j in range(groups.n_groups):
            chosen = groups.code == j
            assert found.n_rows[j] == np.count_nonzero(chosen & slow.possible)
            assert found.left_out[j].sum() == np.count_nonzero(chosen & ~slow.possible)
            if not found.n_rows[j]:
                assert np.isnan(found.estimate[j]) and found.reason[j] and not found.scores[:, j].any()
                continue
            estimate, scores = slow.group(chosen, clusters, leave_one_out)
            assert found.reason[j] == ""
            assert found.estimate[j] == pytest.approx(estimate, abs=1e-11)
            np.testing.assert_allclose(found.scores[:, j], scores, atol=1e-11)


def test_the_groups_are_what_they_say():
    rows = random_rows(1, anticipation=1)
    when, first = rows.when, rows.first
    horizon, cohort, cell = by_horizon(rows), by_cohort(rows), by_cell(rows)
    for j, since in enumerate(horizon.label):
        np.testing.assert_array_equal(horizon.code == j, when - first == since)
    assert horizon.label[0] == -1
    for j, start in enumerate(cohort.label):
        np.testing.assert_array_equal(cohort.code == j, (first == start) & (when >= first))
    for j, (start, period) in enumerate(cell.label):
        np.testing.assert_array_equal(cell.code == j, (first == start) & (when == period))
    np.testing.assert_array_equal(cell.code >= 0, when >= first - 1)
    np.testing.assert_array_equal(overall(rows).code == 0, when >= first)


def test_halves_between_whole_numbers_are_starts_too():
    rows = random_rows(1)
    moved = replace(rows, first=rows.first - 0.5)
    np.testing.assert_array_equal(by_horizon(moved).label, by_horizon(rows).label + 0.5)


def test_cells_add_up_to_horizons_with_their_scores():
    rows = random_rows(7, k=1)
    made = impute(rows)
    cells, horizons = averages(made, by_cell(rows)), averages(made, by_horizon(rows))
    since = cells.label[:, 1] - cells.label[:, 0]
    for j, horizon in enumerate(horizons.label):
        share = np.where(since == horizon, cells.n_rows, 0) / horizons.n_rows[j]
        filled = cells.n_rows > 0
        assert share[filled] @ cells.estimate[filled] == pytest.approx(horizons.estimate[j], abs=1e-12)
        np.testing.assert_allclose(cells.scores @ share, horizons.scores[:, j], atol=1e-12)
    np.testing.assert_allclose(np.sqrt(np.diag(cells.covariance))[filled], cells.std_error[filled])


def test_the_shared_shape_of_effects_by_cohort_and_period():
    rows = random_rows(5, starts=[2011.0, 2014.0, 2016.0])
    made = impute(rows)
    cells = averages(made, by_cell(rows))
    shared = group_time(made, cells)
    np.testing.assert_allclose(
        np.sqrt((shared.influence**2).sum(axis=0)) / shared.n, np.sqrt(np.diag(cells.covariance))
    )
    assert shared.post.all() and set(shared.base) <= {2010, 2012, 2015}
    assert any(shared.reason) and np.isnan(shared.estimate).sum() == sum(map(bool, shared.reason))
    at = list(zip(shared.cohort, shared.time, strict=True)).index((2011.0, 2012))
    assert shared.n_control[at] == np.count_nonzero(made.untreated & (rows.when == 2012))
    assert shared.base[at] == 2010


def test_a_hand_calculated_average():
    """Three units: never treated 0, 0; two treated ones rise by 3 and 5; the controls by 1 and 1 - 2 = -1."""
    unit, time = np.repeat(np.arange(4), 2), np.tile([0, 1], 4)
    first = np.repeat([np.inf, np.inf, 2.0, 2.0], 2)
    y = np.array([0.0, 1.0, 5.0, 4.0, 1.0, 4.0, 2.0, 7.0])
    rows = ImputationRows(unit, time, np.array([1, 2]), first, y)
    found = averages(impute(rows), overall(rows))
    assert found.estimate[0] == pytest.approx(4.0)
    np.testing.assert_allclose(found.scores[:, 0], [-0.5, 0.5, -0.5, 0.5], atol=1e-14)
    assert found.std_error[0] == pytest.approx(1.0)
    spread = averages(impute(rows), overall(rows), centring=Centring(leave_one_out=True))
    np.testing.assert_allclose(spread.scores[:, 0], [-0.5, 0.5, -1.0, 1.0], atol=1e-14)
    alone = averages(impute(rows), overall(rows), np.repeat([0, 1, 2, 2], 2))
    assert alone.alone[0] == 1.0 and found.alone[0] == 0.0
    together = averages(impute(rows), overall(rows), centring=Centring(groups=np.arange(8)))
    np.testing.assert_allclose(together.scores[:, 0], [-0.5, 0.5, 0.0, 0.0], atol=1e-14)


def test_extra_weights_pick_and_subtract():
    rows = random_rows(2, weighted=True)
    made, cells = impute(rows), by_cell(rows)
    plain = averages(made, by_horizon(rows))
    one = (rows.when - rows.first == 0).astype(float)
    picked = averages(made, overall(rows), extra=one)
    at = list(plain.label).index(0)
    assert picked.estimate[0] == pytest.approx(plain.estimate[at], abs=1e-12)
    np.testing.assert_allclose(picked.scores[:, 0], plain.scores[:, at], atol=1e-12)
    nothing = averages(made, cells, extra=np.zeros(rows.y.size))
    assert np.isnan(nothing.estimate).all() and all("weights" in why for why in nothing.reason)
    cell = np.bincount(cells.code[cells.code >= 0]).argmax()
    at = np.flatnonzero((cells.code == cell) & (made.missing == 0))
    cancelling = np.zeros(rows.y.size)
    cancelling[at[:2]] = np.array([1.0, -1.0]) / rows.weights[at[:2]]
    assert np.isnan(averages(made, cells, extra=cancelling).estimate[cell])


@pytest.mark.parametrize("k", [0, 1])
def test_weights_twice_are_what_the_other_package_does(k):
    rows = random_rows(4, k=k, weighted=True)
    found = averages(impute(rows), overall(rows), centring=Centring(weights_twice=True))
    slow = Slow(rows)
    chosen = (rows.when >= rows.first) & slow.possible
    _, scores = slow.group(chosen, rows.unit)
    z, w, untreated = slow.z, slow.w, slow.untreated
    v = np.where(chosen, w, 0.0) / w[chosen].sum()
    zw = z * w[:, None]
    doubled = np.linalg.pinv(zw[untreated].T @ zw[untreated], rcond=1e-11, hermitian=True)
    change = zw @ (doubled @ (zw.T @ v)) - w * (z @ (slow.bread @ (z.T @ v)))
    moved = np.where(untreated, -change * slow.difference, 0.0)
    expected = scores + np.bincount(rows.unit, moved, rows.n_units)
    np.testing.assert_allclose(found.scores[:, 0], expected, atol=1e-11)
    assert abs(found.scores - averages(impute(rows), overall(rows)).scores).max() > 1e-4
    plain = random_rows(1)
    same = averages(impute(plain), overall(plain), centring=Centring(weights_twice=True))
    np.testing.assert_array_equal(same.scores, averages(impute(plain), overall(plain)).scores)


def test_order_labels_and_units_of_measurement_do_not_matter():
    rows = random_rows(4, k=2, weighted=True)
    plain = averages(impute(rows), by_horizon(rows))
    order = np.random.default_rng(1).permutation(rows.y.size)
    relabel = np.random.default_rng(2).permutation(rows.n_units) * 3
    other = ImputationRows(
        relabel[rows.unit[order]],
        rows.time[order],
        rows.times,
        rows.first[order],
        1e6 * rows.y[order] + 1e9,
        rows.x[order] * np.array([1e-7, 1e5]) + 3.0,
        1e4 * rows.weights[order],
    )
    found = averages(impute(other), by_horizon(other))
    np.testing.assert_allclose(found.estimate, 1e6 * plain.estimate, rtol=1e-8)
    np.testing.assert_allclose(found.scores[relabel], 1e6 * plain.scores, atol=1e-3)
    np.testing.assert_array_equal(found.n_rows, plain.n_rows)


def test_characteristics_that_do_not_change_are_absorbed():
    rows = random_rows(3, k=1)
    fixed = np.random.default_rng(3).standard_normal(rows.n_units)[rows.unit]
    doubled = replace(rows, x=np.column_stack([fixed, rows.x[:, 0], 2 * rows.x[:, 0]]))
    one, two = impute(rows), impute(doubled)
    np.testing.assert_array_equal(np.isnan(two.gamma), [True, False, True])
    np.testing.assert_array_equal(one.missing, two.missing)
    np.testing.assert_allclose(one.difference, two.difference, atol=1e-12)


def test_why_a_row_cannot_be_imputed():
    rows = random_rows(6, starts=[2010.0, 2012.0, 2015.0])
    missing = impute(rows).missing
    known = np.unique(rows.unit[rows.when < rows.first])
    np.testing.assert_array_equal(missing == 1, ~np.isin(rows.unit, known))
    np.testing.assert_array_equal(missing == 2, np.isin(rows.unit, known) & (rows.when >= 2015))
    found = averages(impute(rows), by_cell(rows))
    empty = (found.label[:, 1] >= 2015) | (found.label[:, 0] == 2010)
    np.testing.assert_array_equal(np.isnan(found.estimate), empty)
    lost = list(map(tuple, found.label)).index((2012.0, 2016.0))
    assert REASONS[2] in found.reason[lost]


def test_blocks_without_a_link_are_not_imputed():
    unit, time = np.array([0, 0, 0, 1, 1, 2, 2]), np.array([0, 1, 3, 0, 1, 2, 3])
    first = np.array([2.0, 2, 2, np.inf, np.inf, np.inf, np.inf])
    rows = ImputationRows(unit, time, np.arange(4), first, np.arange(7.0))
    np.testing.assert_array_equal(impute(rows).missing, [0, 0, 3, 0, 0, 0, 0])


def test_a_covariate_that_only_treated_rows_show_is_not_extrapolated():
    rows = random_rows(1)
    only = ((rows.when >= rows.first) & (rows.unit % 2 == 0)).astype(float)
    made = impute(replace(rows, x=only[:, None]))
    np.testing.assert_array_equal(made.missing == 4, (only == 1) & (impute(rows).missing == 0))


def test_nothing_treated_and_everything_treated():
    rows = random_rows(1)
    never = replace(rows, first=np.full(rows.y.size, np.inf))
    made = impute(never)
    found = averages(made, overall(never))
    assert np.isnan(found.estimate[0]) and found.reason[0].endswith(".")
    assert averages(made, by_cell(never)).scores.shape == (rows.n_units, 0)
    always = replace(rows, first=np.full(rows.y.size, 2010.0))
    assert isinstance(impute(always), str) and isinstance(pretrends(always), str)
    none = pretrends(never)
    assert none.lead.size == 0 and lead_scores(none, rows.unit).shape == (rows.n_units, 0)


@pytest.mark.parametrize("case", CASES[:5])
@pytest.mark.parametrize("nested", [True, False])
def test_leads_against_dense_least_squares(case, nested):
    rows = random_rows(**case, n_units=40)
    untreated = rows.when < rows.first - rows.anticipation
    since = (rows.when - rows.first)[untreated]
    clusters = rows.unit if nested else np.random.default_rng(0).integers(0, 9, rows.unit.size)
    found = pretrends(rows, [-2, -1], clusters, PretrendErrors(small_sample="none"))
    leads = np.column_stack([since == lead for lead in found.lead]).astype(float)
    w = np.ones(since.size) if rows.weights is None else rows.weights[untreated]
    z = np.column_stack([leads, design(rows)[untreated]])
    bread = np.linalg.pinv(z.T @ (z * w[:, None]), rcond=1e-11, hermitian=True)
    beta = bread @ (z.T @ (w * rows.y[untreated]))
    error = w * (rows.y[untreated] - z @ beta)
    scores = np.zeros((clusters.max() + 1, z.shape[1]))
    np.add.at(scores, clusters[untreated], z * error[:, None])
    identified = ~np.isnan(found.estimate)
    assert identified.any()
    np.testing.assert_allclose(found.estimate[identified], beta[:2][identified], atol=1e-10)
    given = lead_scores(found, clusters)
    np.testing.assert_allclose(given[:, identified], (scores @ bread)[:, :2][:, identified], atol=1e-10)
    matrix = found.covariance.matrix[:2, :2][np.ix_(identified, identified)]
    np.testing.assert_allclose((given.T @ given)[np.ix_(identified, identified)], matrix, atol=1e-11)
    np.testing.assert_allclose(found.std_error[identified], np.sqrt(np.diag(matrix)))


def test_all_leads_but_one_and_leads_that_are_not_there():
    rows = random_rows(1)
    found = pretrends(rows)
    since = (rows.when - rows.first)[rows.when < rows.first]
    np.testing.assert_array_equal(found.lead, np.unique(since[np.isfinite(since)])[:-1])
    absent = pretrends(rows, [-50, -1])
    assert np.isnan(absent.estimate[0]) and absent.reason[0] and absent.n_rows[0] == 0
    assert absent.reason[1] == ""


def test_groups_can_be_anything_disjoint():
    rows = random_rows(1)
    made = impute(rows)
    half = Groups(np.where(rows.when >= rows.first, rows.unit % 2, -1), np.array([0.0, 1.0]))
    found = averages(made, half)
    good = (half.code == 1) & (made.missing == 0)
    assert found.estimate[1] == pytest.approx(made.difference[good].mean())
