from dataclasses import replace

import numpy as np
import pytest

from qieval.numerics.interaction_weighted import interaction_weighted
from qieval.numerics.interaction_weighted_cells import (
    ALL_STARTED,
    NO_BASE,
    NO_CELL,
    NO_COMPARISON,
    NOBODY,
    NOT_IDENTIFIED,
)
from qieval.numerics.roll_out_rows import (
    NO_ERROR,
    NO_VARIATION,
    NOT_SEPARATE,
    RollOutRows,
    event_study,
    row_weights,
    static_effect,
)

STARTS = np.array([4.0, 6.0, 7.0, np.inf])


def roll_out(seed, missing=0.0, starts=STARTS, k=0, weighted=False):
    """Rows with effects that grow with time and differ between cohorts; shuffled."""
    rng, units, periods = np.random.default_rng(seed), 40, 8
    unit, time = np.repeat(np.arange(units), periods), np.tile(np.arange(periods), units)
    first = starts[np.arange(units) % len(starts)][unit]
    times = np.arange(1, periods + 1)
    since = times[time] - first
    x = rng.standard_normal((unit.size, k)) + 0.2 * time[:, None]
    shock = rng.standard_normal((units // 5 + 1, periods))[unit // 5, time]
    with np.errstate(invalid="ignore"):
        effect = np.where(since >= 0, np.where(np.isinf(first), 0, 0.5 * first + since), 0.0)
    y = unit * 0.3 + np.sin(time) + effect + x.sum(axis=1) + 0.5 * shock + rng.standard_normal(unit.size)
    rows = RollOutRows(
        times,
        unit,
        time,
        first,
        y,
        x if k else None,
        rng.uniform(0.3, 3.0, unit.size) if weighted else None,
        unit // 5,
    )
    keep = rng.permutation(np.flatnonzero(rng.random(unit.size) >= missing))
    return rows.take(keep)


def indicators(rows, found):
    """One dummy column per cell."""
    return np.stack(
        [
            (rows.first == cohort) & (rows.period == time)
            for cohort, time in zip(found.cohort, found.time, strict=True)
        ],
        axis=1,
    ).astype(float)


@pytest.mark.parametrize("missing, weighted", [(0.0, False), (0.2, False), (0.2, True)])
def test_cells_against_explicit_dummies(dense, missing, weighted):
    rows = roll_out(1, missing=missing, weighted=weighted)
    found = interaction_weighted(rows)
    assert found.used.all() and set(found.reason) == {""}
    slow = dense(rows.unit, rows.time, rows.y, indicators(rows, found), rows.weights)
    np.testing.assert_allclose(found.estimate, slow.beta, rtol=1e-9, atol=1e-11)
    clusters, n = 8, rows.y.size
    parameters = found.estimate.size + len(rows.times)  # units are nested in clusters
    factor = clusters / (clusters - 1) * (n - 1) / (n - parameters)
    np.testing.assert_allclose(found.covariance, slow.meat(rows.cluster) * factor, rtol=1e-7, atol=1e-11)
    assert found.df == clusters - 1


def test_covariates_against_explicit_dummies(dense):
    rows = roll_out(2, missing=0.1, k=2)
    found = interaction_weighted(rows)
    columns = np.hstack([indicators(rows, found), rows.x])
    slow = dense(rows.unit, rows.time, rows.y, columns)
    m = found.estimate.size
    np.testing.assert_allclose(found.estimate, slow.beta[:m], rtol=1e-9, atol=1e-11)
    n = rows.y.size
    factor = 8 / 7 * (n - 1) / (n - (m + 2 + len(rows.times)))
    expected = slow.meat(rows.cluster)[:m, :m] * factor
    np.testing.assert_allclose(found.covariance, expected, rtol=1e-7, atol=1e-11)


def test_a_complete_panel_gives_differences_of_differences_of_means():
    rows = roll_out(3)
    found = interaction_weighted(rows, anticipation=1)

    def mean(start, time):
        return rows.y[(rows.first == start) & (rows.period == time)].mean()

    for cohort, time, base, estimate in zip(
        found.cohort, found.time, found.base, found.estimate, strict=True
    ):
        assert base == cohort - 2
        by_hand = mean(cohort, time) - mean(cohort, base) - mean(np.inf, time) + mean(np.inf, base)
        assert estimate == pytest.approx(by_hand, rel=1e-10)


def test_averages_weight_cells_by_their_rows():
    rows = roll_out(4, missing=0.25, weighted=True)
    found = interaction_weighted(rows)
    size = [
        rows.weights[(rows.first == c) & (rows.period == t)].sum()
        for c, t in zip(found.cohort, found.time, strict=True)
    ]
    np.testing.assert_allclose(found.size, size)
    post = found.event_time >= 0
    for by, label in {
        "event time": found.event_time,
        "cohort": found.cohort,
        "period": found.time,
        "overall": np.zeros(post.size),
    }.items():
        effects = found.aggregate(by)
        counted = np.ones_like(post) if by == "event time" else post
        levels = np.unique(label[counted])
        assert np.isnan(effects.at).all() if by == "overall" else (effects.at == levels).all()
        for place, level in enumerate(levels):
            at = (label == level) & counted
            share = found.size[at] / found.size[at].sum()
            assert effects.estimate[place] == pytest.approx(share @ found.estimate[at])
            variance = share @ found.covariance[np.ix_(at, at)] @ share
            assert effects.std_error[place] == pytest.approx(np.sqrt(variance))


def test_sampled_shares_add_the_variance_of_a_weighted_mean_of_known_effects():
    """With the effects known, the average over rows is a ratio whose delta method is written out here."""
    rows = roll_out(5, missing=0.2)
    found = interaction_weighted(rows)
    for by in ("overall", "event time"):
        fixed, sampled = found.aggregate(by), found.aggregate(by, sampled_shares=True)
        added = sampled.covariance - fixed.covariance
        place = 0 if by == "overall" else int(np.flatnonzero(fixed.at == 1)[0])
        cells = fixed.combination[place] > 0
        effect = np.full(rows.y.size, np.nan)
        for c, t, estimate in zip(found.cohort[cells], found.time[cells], found.estimate[cells], strict=True):
            effect[(rows.first == c) & (rows.period == t)] = estimate
        inside = np.isfinite(effect)
        away = np.where(inside, effect - effect[inside].mean(), 0.0) / inside.sum()
        by_hand = np.sum(np.bincount(rows.cluster, away) ** 2)
        assert added[place, place] == pytest.approx(by_hand, rel=1e-9)
        np.testing.assert_array_equal(fixed.estimate, sampled.estimate)


def test_row_weights_reproduce_the_averages():
    rows = roll_out(6, missing=0.2, k=1, weighted=True)
    found = interaction_weighted(rows)
    effects = found.aggregate()
    weights = found.row_weights(effects.combination)
    np.testing.assert_allclose(weights.T @ rows.y, effects.estimate, rtol=1e-9)
    np.testing.assert_allclose(weights.T @ rows.x, 0, atol=1e-10)
    np.testing.assert_allclose([weights[rows.unit == u].sum(axis=0) for u in range(40)], 0, atol=1e-10)


def test_without_never_treated_units_the_last_cohort_is_compared_until_it_starts():
    rows = roll_out(7, starts=np.array([4.0, 6.0, 8.0]))
    found = interaction_weighted(rows)
    late = found.time >= 8
    assert found.comparison == 8
    assert {found.reason[i] for i in np.flatnonzero(late)} == {ALL_STARTED}
    assert np.isfinite(found.estimate[~late]).all() and np.isnan(found.estimate[late]).all()
    assert not found.used[rows.period >= 8].any()
    named = interaction_weighted(replace(rows, first=np.where(rows.first == 8, np.inf, rows.first)))
    common = named.time < 8
    np.testing.assert_allclose(found.estimate[~late], named.estimate[common], rtol=1e-9)
    overall = found.aggregate("overall")
    assert np.isfinite(overall.estimate).all() and overall.reason == ("",)
    event = found.aggregate()
    assert event.reason[-1] == NO_CELL and np.isnan(event.estimate[-1])


def test_starts_beyond_the_data_are_never():
    rows = roll_out(8)
    later = replace(rows, first=np.where(np.isinf(rows.first), 99.0, rows.first))
    np.testing.assert_array_equal(interaction_weighted(later).estimate, interaction_weighted(rows).estimate)


def test_neither_order_nor_units_of_measurement_matter():
    rows = roll_out(9, missing=0.2, k=1, weighted=True)
    order = np.random.default_rng(0).permutation(rows.y.size)
    moved = replace(rows.take(order), y=rows.y[order] * 1e6 + 1e7, x=rows.x[order] * 1e-4 - 3)
    moved = replace(moved, weights=moved.weights * 1e3, unit=39 - moved.unit)
    one, other = interaction_weighted(rows).aggregate(), interaction_weighted(moved).aggregate()
    np.testing.assert_allclose(other.estimate, one.estimate * 1e6, rtol=1e-7)
    np.testing.assert_allclose(other.std_error, one.std_error * 1e6, rtol=1e-7)


def test_a_gap_in_time_moves_the_reference_to_the_last_period_before_it():
    rows = roll_out(10)
    rows = rows.take(rows.period != 5)
    found = interaction_weighted(rows)
    assert set(found.base[found.cohort == 6]) == {4.0}
    assert set(found.base[found.cohort == 7]) == {6.0}
    assert set(found.reason) == {""}


def test_a_cohort_never_seen_before_its_start_is_left_out_with_the_reason():
    rows = roll_out(11)
    late = rows.take((rows.first != 4) | (rows.period >= 4))
    found = interaction_weighted(late)
    lost = found.cohort == 4
    assert {found.reason[i] for i in np.flatnonzero(lost)} == {NO_BASE}
    without = interaction_weighted(rows.take(rows.first != 4))
    np.testing.assert_allclose(found.estimate[~lost], without.estimate, rtol=1e-9)


def test_a_period_without_comparison_units_is_left_out_with_the_reason():
    rows = roll_out(12)
    found = interaction_weighted(rows.take(~np.isinf(rows.first) | (rows.period != 7)))
    lost = found.time == 7
    assert {found.reason[i] for i in np.flatnonzero(lost)} == {NO_COMPARISON}
    assert np.isfinite(found.estimate[~lost]).all()
    assert found.aggregate("period").reason[3] == NO_CELL


def test_nobody_to_compare_with_is_said():
    rows = roll_out(13, starts=np.array([4.0]))
    found = interaction_weighted(rows)
    assert found.problem == NOBODY and found.time.size == 0
    assert found.aggregate("overall").reason == (NO_CELL,)
    assert np.isnan(found.aggregate("overall", sampled_shares=True).estimate[0])
    assert found.aggregate().estimate.size == 0 and found.row_weights(np.zeros((2, 0))).shape == (320, 2)
    never = interaction_weighted(replace(rows, first=np.full(rows.y.size, np.inf)))
    assert never.problem == NOBODY
    everything_late = interaction_weighted(roll_out(13).take(roll_out(13).period > 6))
    assert everything_late.problem == NOBODY
    assert set(everything_late.reason) == {NO_BASE}
    assert set(everything_late.aggregate("overall").reason) == {NO_CELL}


def test_rows_explained_by_covariates_are_flagged():
    rows = roll_out(14)
    cell = ((rows.first == 6) & (rows.period == 7)).astype(float)
    found = interaction_weighted(replace(rows, x=cell[:, None]))
    at = np.flatnonzero((found.cohort == 6) & (found.time == 7))
    assert [found.reason[i] for i in at] == [NOT_IDENTIFIED]
    assert np.isfinite(np.delete(found.estimate, at)).all()
    effects = found.aggregate()
    weights = found.row_weights(effects.combination)
    np.testing.assert_allclose(weights.T @ rows.y, effects.estimate, rtol=1e-9)


def test_no_standard_error_from_one_cluster_is_said():
    rows = replace(roll_out(15), clusters=None)
    found = interaction_weighted(replace(rows, clusters=np.zeros(rows.y.size, dtype=int)))
    assert set(found.reason) == {NO_ERROR} and np.isfinite(found.estimate).all()
    overall = found.aggregate("overall")
    assert overall.reason == (NO_ERROR,)
    assert np.isfinite(overall.estimate).all() and np.isnan(overall.std_error).all()


def test_event_study_has_a_second_reference_without_never_treated_units(dense):
    rows = roll_out(16, starts=np.array([4.0, 6.0, 7.0]), missing=0.1)
    found = event_study(rows)
    relative = rows.period - rows.first
    np.testing.assert_array_equal(found.at, [-5, -4, -3, -2, 0, 1, 2, 3, 4])
    columns = (relative[:, None] == found.at).astype(float)
    slow = dense(rows.unit, rows.time, rows.y, columns)
    np.testing.assert_allclose(found.estimate, slow.beta, rtol=1e-9)
    assert set(event_study(roll_out(16), anticipation=2).at) == {-6, -5, -4, -2, -1, 0, 1, 2, 3, 4}


def test_static_effect_and_its_refusals(dense):
    rows = roll_out(17, missing=0.1, k=1)
    found = static_effect(rows)
    slow = dense(rows.unit, rows.time, rows.y, np.column_stack([rows.treated, rows.x]).astype(float))
    assert found.estimate[0] == pytest.approx(slow.beta[0], rel=1e-10)
    fit_weights = row_weights_of_static(rows)
    assert fit_weights @ rows.y == pytest.approx(found.estimate[0], rel=1e-10)
    together = static_effect(roll_out(17, starts=np.array([4.0])))
    assert together.reason == (NO_VARIATION,) and np.isnan(together.estimate[0])
    named = event_study(roll_out(17, starts=np.array([4.0])))
    assert set(named.reason) == {NOT_SEPARATE}


def test_no_rows_left_is_said():
    rows = roll_out(19)
    alone = rows.take(rows.time == rows.unit % 8)
    alone = alone.take(np.unique(alone.time, return_index=True)[1])
    assert static_effect(alone).reason == (NO_VARIATION,)
    assert set(event_study(alone).reason) == {NOT_SEPARATE}
    assert np.isnan(event_study(alone).estimate).all()
    assert interaction_weighted(alone).problem == NOBODY
    never = replace(rows, first=np.full(rows.y.size, np.inf))
    assert event_study(never).estimate.size == 0 and static_effect(never).reason == (NO_VARIATION,)


def row_weights_of_static(rows):
    from qieval.numerics.absorb import fit_static

    return row_weights(fit_static(rows.within(), rows.treated.astype(float)), np.ones((1, 1)))[:, 0]


def test_averages_recover_known_effects_without_noise():
    rows = roll_out(18)
    since = rows.period - np.where(np.isinf(rows.first), 0, rows.first)
    effect = np.where(rows.treated, rows.first + since, 0.0)
    effect[~rows.treated] = 0
    found = interaction_weighted(replace(rows, y=rows.unit * 2.0 + rows.time**2 + effect))
    post = found.event_time >= 0
    np.testing.assert_allclose(found.estimate, np.where(post, found.time, 0.0), atol=1e-9)
    assert found.aggregate("overall").estimate[0] == pytest.approx(effect[rows.treated].mean())
