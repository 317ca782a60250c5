import numpy as np
import pytest

from qieval.numerics.group_time_aggregate import NO_EFFECTS, Members, Window, aggregate
from qieval.numerics.group_time_cells import GroupTime

KINDS = ("simple", "group", "dynamic", "calendar")
TIMES = np.arange(1, 8)


def some_cells(cohort, time, estimate, influence=None, base=None):
    m = len(estimate)
    counts = np.ones(m, dtype=np.intp)
    return GroupTime(
        cohort=np.array(cohort, dtype=float),
        time=np.array(time),
        base=np.array(time) - 1 if base is None else np.array(base),
        estimate=np.array(estimate, dtype=float),
        n_treated=counts,
        n_control=counts,
        reason=tuple("" if np.isfinite(value) else "no" for value in estimate),
        influence=np.zeros((10, m)) if influence is None else influence,
    )


def by_means(y, first, weights):
    """Effects by cohort and period against never-treated units, as differences of weighted mean changes."""
    never = np.isinf(first)
    cohort, time, base, estimate, influence = [], [], [], [], []
    for start in np.unique(first[~never]):
        for at, moment in enumerate(TIMES[1:], start=1):
            held = at - 1 if moment < start else int(np.flatnonzero(start > TIMES)[-1])
            change = y[:, at] - y[:, held]
            effect, psi = 0.0, np.zeros(len(y))
            for arm, sign in ((first == start, 1), (never, -1)):
                mean = np.average(change[arm], weights=weights[arm])
                effect += sign * mean
                psi[arm] = sign * len(y) * weights[arm] * (change[arm] - mean) / weights[arm].sum()
            cohort.append(start), time.append(moment), base.append(TIMES[held])
            estimate.append(effect), influence.append(psi)
    return some_cells(cohort, time, estimate, np.array(influence).T, base)


@pytest.fixture
def panel():
    rng = np.random.default_rng(4)
    first = rng.choice([3.0, 4.0, 6.0, np.inf], 60)
    y = (
        rng.standard_normal((60, 1))
        + np.cumsum(rng.standard_normal((60, 7)), axis=1)
        + (first[:, None] <= TIMES)
    )
    return y, first, rng.uniform(0.5, 2.0, 60)


def plain(cells, share, kind, window):
    """Averages cell by cell: where, estimates, overall."""
    rows = [
        (g, int(t), float(t - g), a)
        for g, t, a in zip(cells.cohort, cells.time, cells.estimate, strict=True)
        if np.isfinite(a)
    ]
    last, earliest = cells.time.max(), min(cells.time.min(), cells.base.min())

    def mean(chosen):
        return sum(share[g] * a for g, _, _, a in chosen) / sum(share[g] for g, _, _, _ in chosen)

    if kind == "simple":
        return [], [], mean([row for row in rows if 0 <= row[2] <= window.max_event])
    key = {"group": 0, "calendar": 1, "dynamic": 2}[kind]
    chosen = []
    for row in rows:
        event = row[2]
        fits = event >= 0 if kind == "calendar" else event <= window.max_event
        fits &= event >= (window.min_event if kind == "dynamic" else 0)
        if kind == "dynamic" and window.balanced is not None:
            fits &= last - row[0] >= window.balanced
            fits &= window.balanced - (last - earliest) <= event <= window.balanced
        chosen += [row] if fits else []
    at = sorted({row[key] for row in chosen})
    found = [mean([row for row in chosen if row[key] == one]) for one in at]
    if kind == "group":
        return at, found, np.average(found, weights=[share[g] for g in at])
    after = [value for one, value in zip(at, found, strict=True) if kind == "calendar" or one >= 0]
    return at, found, np.mean(after)


def test_averages_by_hand():
    # Shares 0.2 and 0.3 of two cohorts.
    cells = some_cells([3, 3, 3, 4, 4, 4], [2, 3, 4, 2, 3, 4], [0.5, 1.0, 2.0, 0.1, 0.2, 6.0])
    members = Members(np.array([3.0] * 2 + [4.0] * 3 + [np.inf] * 5))
    simple = aggregate(cells, members, "simple")
    assert simple.overall == pytest.approx((0.2 * 1 + 0.2 * 2 + 0.3 * 6) / 0.7) and not simple.at.size
    group = aggregate(cells, members, "group")
    assert group.at.tolist() == [3, 4] and group.estimate == pytest.approx([1.5, 6.0])
    assert group.overall == pytest.approx(0.4 * 1.5 + 0.6 * 6) and group.n_cells.tolist() == [2, 1]
    dynamic = aggregate(cells, members, "dynamic")
    assert dynamic.at.tolist() == [-2, -1, 0, 1]
    assert dynamic.estimate == pytest.approx([0.1, (0.2 * 0.5 + 0.3 * 0.2) / 0.5, 0.4 * 1 + 0.6 * 6, 2.0])
    assert dynamic.overall == pytest.approx((4.0 + 2.0) / 2) and dynamic.n_cells.tolist() == [1, 2, 2, 1]
    calendar = aggregate(cells, members, "calendar")
    assert calendar.at.tolist() == [3, 4] and calendar.estimate == pytest.approx([1.0, 0.4 * 2 + 0.6 * 6])
    assert calendar.overall == pytest.approx((1.0 + 4.4) / 2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "window", [Window(), Window(max_event=1), Window(min_event=-2), Window(balanced=1), Window(balanced=3)]
)
def test_against_averages_cell_by_cell(panel, kind, window):
    y, first, weights = panel
    cells = by_means(y, first, weights)
    cells.estimate[[2, 9]] = np.nan
    found = aggregate(cells, Members(first, weights), kind, window=window)
    share = {g: weights[first == g].sum() for g in np.unique(first)}
    at, estimate, overall = plain(cells, share, kind, window)
    assert found.at.tolist() == at and np.allclose(found.estimate, estimate, rtol=1e-12)
    assert found.overall == pytest.approx(overall, rel=1e-12) and not found.reason


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("window", [Window(), Window(balanced=1, max_event=2)])
def test_influence_is_the_derivative_by_the_weight_of_a_unit(panel, kind, window):
    y, first, weights = panel

    def estimated(changed):
        found = aggregate(by_means(y, first, changed), Members(first, changed), kind, window=window)
        return np.append(found.estimate, found.overall), np.column_stack(
            [found.influence, found.overall_influence]
        )

    influence = estimated(weights)[1]
    assert abs(influence.sum(axis=0)).max() < 1e-10
    for unit in range(0, 60, 7):
        up, down = (np.where(np.arange(60) == unit, weights * (1 + sign * 1e-4), weights) for sign in (1, -1))
        slope = (estimated(up)[0] - estimated(down)[0]) / 2e-4
        assert np.allclose(60 * slope, influence[unit], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("kind", ["simple", "group", "dynamic", "calendar"])
def test_standard_error_against_the_jackknife(panel, kind):
    y, first, _ = panel
    y, first = np.tile(y, (5, 1)), np.tile(first, 5)
    y = y + np.random.default_rng(0).standard_normal(y.shape)
    one = np.ones(300)
    found = aggregate(by_means(y, first, one), Members(first), kind)
    without = np.array(
        [
            aggregate(by_means(y[keep], first[keep], one[keep]), Members(first[keep]), kind).overall
            for keep in (np.arange(300) != i for i in range(300))
        ]
    )
    pseudo = 299 * (found.overall - without)
    assert np.corrcoef(pseudo, found.overall_influence)[0, 1] > 0.9995
    assert pseudo.std() == pytest.approx(found.overall_influence.std(), rel=0.03)


def test_the_size_of_cohorts_matters_for_the_error():
    # Effects known exactly, 2 and 5: all that is uncertain is the share p of the first among the treated.
    first = np.array([3.0] * 30 + [4.0] * 20 + [np.inf] * 50)
    cells = some_cells([3, 4], [4, 4], [2.0, 5.0], np.zeros((100, 2)))
    found = aggregate(cells, Members(first), "simple")
    assert np.sqrt((found.overall_influence**2).sum()) / 100 == pytest.approx(3 * np.sqrt(0.6 * 0.4 / 50))


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_a_unit_count_as_one_with_their_mean_weight(panel, kind):
    y, first, weights = panel
    cells = by_means(y, first, weights)
    unit = np.random.default_rng(1).permutation(np.repeat(np.arange(60), 3))
    part = np.array([0.5, 1.0, 1.5])[np.argsort(np.argsort(unit, kind="stable"), kind="stable") % 3]
    rows = aggregate(cells, Members(first[unit], weights[unit] * part, unit), kind)
    once = aggregate(cells, Members(first, weights), kind)
    assert rows.overall == pytest.approx(once.overall, rel=1e-12)
    assert np.allclose(rows.influence, once.influence) and np.allclose(rows.estimate, once.estimate)


@pytest.mark.parametrize("kind", KINDS)
def test_units_of_measurement_and_the_order_of_units_do_not_matter(panel, kind):
    y, first, weights = panel
    order = np.random.default_rng(2).permutation(60)
    one = aggregate(by_means(y, first, weights), Members(first, weights), kind)
    other = aggregate(
        by_means(1e6 * y[order], first[order], weights[order]),
        Members(first[order], 1e-5 * weights[order]),
        kind,
    )
    assert other.overall == pytest.approx(1e6 * one.overall, rel=1e-9)
    assert np.allclose(other.influence, 1e6 * one.influence[order], rtol=1e-9, atol=1e-3)


def test_periods_of_anticipation_are_not_effects():
    cells = some_cells([4, 4, 4], [3, 4, 5], [9.0, 1.0, 2.0], base=[2, 2, 2])
    members = Members(np.array([4.0] * 4 + [np.inf] * 6))
    assert [aggregate(cells, members, kind).overall for kind in KINDS] == pytest.approx([1.5] * 4)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_to_average_is_said(kind):
    members = Members(np.array([4.0] * 4 + [np.inf] * 6))
    found = aggregate(some_cells([4, 4], [3, 4], [0.3, np.nan]), members, kind)
    assert np.isnan(found.overall) and found.reason == NO_EFFECTS and not found.overall_influence.any()
    assert found.at.tolist() == ([-1.0] if kind == "dynamic" else [])
    assert (
        aggregate(some_cells([4], [3], [0.3]).take(np.zeros(1, dtype=bool)), members, kind).reason
        == NO_EFFECTS
    )


def test_members_must_be_the_units_of_the_influence_functions():
    cells = some_cells([3], [3], [1.0])
    with pytest.raises(ValueError, match="11 members for influence functions of 10 units"):
        aggregate(cells, Members(np.full(11, 3.0)), "simple")
    with pytest.raises(ValueError, match="between 0 and 9"):
        aggregate(cells, Members(np.full(2, 3.0), unit=np.array([0, 10])), "simple")
