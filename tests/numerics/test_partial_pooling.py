import numpy as np
import pytest
from scipy.optimize import minimize

from qieval.numerics.partial_pooling import partially_pooled
from qieval.numerics.simplex import simplex_least_squares

ROWS = 16


def panel(n_units=9, n_treated=3, seed=0, noise=0.5):
    """Outcomes of a factor model; the first units are treated, from different rows on."""
    rng = np.random.default_rng(seed)
    factors = rng.standard_normal((ROWS, 3)).cumsum(axis=0)
    loadings = rng.standard_normal((3, n_units))
    outcomes = factors @ loadings + noise * rng.standard_normal((ROWS, n_units)) + 4
    starts = np.full(n_units, ROWS)
    starts[:n_treated] = [9, 12, 10, 13, 8][:n_treated]
    return outcomes, starts


def earlier(outcomes, starts, unit, lags, fixed_effects=False, horizon=3):
    """Rows before the start, latest first, of a unit and its donors (columns returned too)."""
    start = starts[unit]
    donors = np.flatnonzero(starts >= start + horizon)
    if fixed_effects:
        outcomes = outcomes - outcomes[:start].mean(axis=0)
    rows = np.arange(start - 1, max(start - lags, 0) - 1, -1)
    return outcomes[rows, unit], outcomes[np.ix_(rows, donors)], donors


def imbalance(outcomes, starts, weights, lags, **kind):
    """Mean squared gap of the average and of units, straight from the definitions of the paper."""
    treated = np.flatnonzero(starts < ROWS)
    average, own = np.zeros(lags), []
    for place, unit in enumerate(treated):
        x1, x0, donors = earlier(outcomes, starts, unit, lags, **kind)
        gap = x1 - x0 @ weights[donors, place]
        average[: gap.size] += gap / treated.size
        own.append(np.mean(gap**2))
    return np.mean(average**2), np.mean(own)


def slow(outcomes, starts, nu, lags, **kind):
    """Smallest objective by a general optimiser from several starts."""
    treated = np.flatnonzero(starts < ROWS)
    separate = np.zeros((starts.size, treated.size))
    parts = [earlier(outcomes, starts, unit, lags, **kind) for unit in treated]
    for place, (x1, x0, donors) in enumerate(parts):
        separate[donors, place] = simplex_least_squares(x0, x1).weights
    unit_pooled, unit_own = imbalance(outcomes, starts, separate, lags, **kind)
    sizes = [len(donors) for _, _, donors in parts]

    def spread(packed):
        weights = np.zeros_like(separate)
        for place, piece in enumerate(np.split(packed, np.cumsum(sizes)[:-1])):
            weights[parts[place][2], place] = piece
        return weights

    def objective(packed):
        pooled, own = imbalance(outcomes, starts, spread(packed), lags, **kind)
        return nu * pooled / unit_pooled + (1 - nu) * own / unit_own

    ends = np.cumsum(sizes)
    sums = [
        {"type": "eq", "fun": lambda w, a=end - size, b=end: w[a:b].sum() - 1}
        for end, size in zip(ends, sizes, strict=True)
    ]
    begin = np.concatenate([np.full(size, 1 / size) for size in sizes])
    found = minimize(
        objective,
        begin,
        bounds=[(0, 1)] * len(begin),
        constraints=sums,
        options={"ftol": 1e-13, "maxiter": 400},
    )
    return found.fun, objective


def packed(fit, starts, horizon=3):
    return np.concatenate(
        [fit.weights[starts >= starts[unit] + horizon, place] for place, unit in enumerate(fit.treated)]
    )


@pytest.mark.parametrize("nu", [0.2, 0.7, 1.0])
@pytest.mark.parametrize("fixed_effects", [False, True])
@pytest.mark.parametrize("lags", [5, 12])
def test_objective_against_a_general_optimiser(nu, fixed_effects, lags):
    outcomes, starts = panel()
    fit = partially_pooled(outcomes, starts, nu=nu, fixed_effects=fixed_effects, lags=lags, horizon=3)
    smallest, objective = slow(outcomes, starts, nu, lags, fixed_effects=fixed_effects)
    ours = objective(packed(fit, starts))
    assert ours <= smallest * (1 + 1e-9) + 1e-12
    assert ours == pytest.approx(smallest, rel=1e-3, abs=1e-4)
    assert fit.converged and 0 <= fit.gap <= 1e-10


@pytest.mark.parametrize("nu", [0.0, 0.3, 0.95, 1.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_conditions_for_the_optimum_with_many_units(nu, seed):
    outcomes, starts = panel(30, 5, seed)
    fit = partially_pooled(outcomes, starts, nu=nu, fixed_effects=False, horizon=3)
    separate = partially_pooled(outcomes, starts, nu=0.0, fixed_effects=False, horizon=3)
    lags, treated = max(starts[:5]), fit.treated.size
    unit_pooled, unit_own = imbalance(outcomes, starts, separate.weights, lags)
    gaps = np.zeros((lags, treated))
    parts = [earlier(outcomes, starts, unit, lags) for unit in fit.treated]
    for place, (x1, x0, donors) in enumerate(parts):
        gaps[: x1.size, place] = x1 - x0 @ fit.weights[donors, place]
    above = 0.0
    for place, (x1, x0, donors) in enumerate(parts):
        own = (1 - nu) / unit_own / treated / x1.size * gaps[: x1.size, place]
        shared = nu / unit_pooled / lags / treated**2 * gaps.sum(axis=1)[: x1.size]
        slope = -2 * x0.T @ (own + shared)
        above += slope @ fit.weights[donors, place] - slope.min()
    assert above <= 1e-9
    assert fit.weights.min() >= 0
    np.testing.assert_allclose(fit.weights.sum(axis=0), 1, atol=1e-12)


def test_separate_fits_are_ordinary_synthetic_controls():
    outcomes, starts = panel()
    fit = partially_pooled(outcomes, starts, nu=0.0, fixed_effects=False, horizon=3)
    for place, unit in enumerate(fit.treated):
        x1, x0, donors = earlier(outcomes, starts, unit, ROWS)
        np.testing.assert_allclose(
            fit.weights[donors, place], simplex_least_squares(x0, x1).weights, atol=1e-9
        )
    assert fit.imbalance == fit.imbalance_separate


def test_one_treated_unit_is_the_ordinary_synthetic_control():
    outcomes, starts = panel(n_treated=1)
    for nu in (None, 0.0, 0.5, 1.0):
        fit = partially_pooled(outcomes, starts, nu=nu, fixed_effects=False)
        x1, x0, donors = earlier(outcomes, starts, 0, ROWS, horizon=ROWS - 9)
        np.testing.assert_allclose(fit.weights[donors, 0], simplex_least_squares(x0, x1).weights, atol=1e-9)
    assert partially_pooled(outcomes, starts).nu == pytest.approx(1)


def test_imbalance_and_the_choice_of_nu_by_their_definitions():
    outcomes, starts = panel()
    fit = partially_pooled(outcomes, starts, fixed_effects=False, horizon=3)
    separate = partially_pooled(outcomes, starts, nu=0.0, fixed_effects=False, horizon=3)
    np.testing.assert_allclose(
        np.square(fit.imbalance), imbalance(outcomes, starts, fit.weights, 12), rtol=1e-9
    )
    np.testing.assert_allclose(fit.imbalance_separate, separate.imbalance, rtol=1e-9)
    equal = np.zeros_like(fit.weights)
    for place, unit in enumerate(fit.treated):
        donors = starts >= starts[unit] + 3
        equal[donors, place] = 1 / donors.sum()
    np.testing.assert_allclose(
        np.square(fit.imbalance_equal), imbalance(outcomes, starts, equal, 12), rtol=1e-9
    )
    lined = np.where(np.isnan(separate.by_event), 0.0, separate.by_event)[separate.event_time < 0]
    expected = np.linalg.norm(lined.mean(axis=1)) / np.linalg.norm(lined, axis=0).mean()
    assert fit.nu == pytest.approx(expected, rel=1e-9) and 0 < fit.nu < 1


def test_more_pooling_trades_the_units_for_their_average():
    outcomes, starts = panel(30, 5)
    fits = [partially_pooled(outcomes, starts, nu=nu) for nu in (0.0, 0.3, 0.6, 0.9)]
    pooled = [fit.imbalance.pooled for fit in fits]
    separate = [fit.imbalance.separate for fit in fits]
    assert np.all(np.diff(pooled) < 0) and np.all(np.diff(separate) > 0)


def test_donors_start_after_the_horizon():
    outcomes, starts = panel(n_treated=5)
    fit = partially_pooled(outcomes, starts, horizon=4)
    for place, unit in enumerate(fit.treated):
        assert not fit.weights[starts < min(starts[unit] + 4, ROWS), place].any()
    assert starts[3] == starts[0] + 4  # a later treated unit may serve
    copies = np.column_stack([outcomes[:, 3] + 1, outcomes[:, 3], outcomes[:, 6]])
    lent = partially_pooled(copies, np.array([8, 12, ROWS]), horizon=4)
    np.testing.assert_allclose(lent.weights[:, 0], [0, 1, 0], atol=1e-9)


def test_gaps_are_lined_up_by_start():
    outcomes, starts = panel()
    fit = partially_pooled(outcomes, starts, fixed_effects=False, lags=6, horizon=3)
    np.testing.assert_array_equal(fit.event_time, np.arange(-6, 3))
    for place, unit in enumerate(fit.treated):
        start = starts[unit]
        gap = outcomes[:, unit] - outcomes @ fit.weights[:, place]
        np.testing.assert_allclose(fit.gaps[: start + 3, place], gap[: start + 3], atol=1e-10)
        assert np.isnan(fit.gaps[start + 3 :, place]).all()
        np.testing.assert_allclose(fit.by_event[:, place], gap[start - 6 : start + 3], atol=1e-10)
    np.testing.assert_allclose(fit.average, fit.by_event.mean(axis=1), atol=1e-10)
    assert fit.effect == pytest.approx(fit.by_event[6:].mean())


def test_a_horizon_beyond_the_data_averages_over_those_seen():
    outcomes, starts = panel()
    fit = partially_pooled(outcomes, starts, horizon=6)  # the unit that starts at row 12 has four rows
    assert np.isnan(fit.by_event[-2:, 1]).all() and not np.isnan(fit.by_event[-2:, 0]).any()
    np.testing.assert_allclose(fit.average[-1], fit.by_event[-1, [0, 2]].mean())
    later = [fit.by_event[fit.event_time >= 0, unit] for unit in range(3)]
    assert fit.effect == pytest.approx(np.mean([np.nanmean(rows) for rows in later]))


def test_an_effect_on_exact_copies_is_found():
    outcomes, starts = panel(n_units=12, n_treated=3, noise=0.0)
    for unit in range(3):
        outcomes[:, unit] = 0.3 * outcomes[:, 5 + unit] + 0.7 * outcomes[:, 8] + 10 * unit
        outcomes[starts[unit] :, unit] += 5 + unit
    fit = partially_pooled(outcomes, starts)
    np.testing.assert_allclose(fit.by_event[fit.event_time >= 0], np.tile([5, 6, 7], (4, 1)), atol=1e-6)
    assert fit.effect == pytest.approx(6, abs=1e-6) and fit.converged


@pytest.mark.parametrize("fixed_effects", [False, True])
def test_units_common_shocks_and_the_order_of_units(fixed_effects):
    outcomes, starts = panel(20, 4)
    fit = partially_pooled(outcomes, starts, fixed_effects=fixed_effects)
    rng = np.random.default_rng(1)
    order = rng.permutation(starts.size)
    other = 1e4 * outcomes + 1e3 * rng.standard_normal((ROWS, 1))
    if fixed_effects:
        other = other + 1e5 * rng.standard_normal(starts.size)
    again = partially_pooled(other[:, order], starts[order], fixed_effects=fixed_effects)
    place = [list(again.treated).index(list(order).index(unit)) for unit in fit.treated]
    np.testing.assert_allclose(again.weights[np.argsort(order)][:, place], fit.weights, atol=1e-7)
    assert again.nu == pytest.approx(fit.nu) and again.effect == pytest.approx(1e4 * fit.effect, rel=1e-6)


def test_what_cannot_be_fitted_is_refused():
    outcomes, starts = panel()
    with pytest.raises(ValueError, match="at least one row"):
        partially_pooled(outcomes, np.full(starts.size, ROWS))
    with pytest.raises(ValueError, match="at least one row"):
        partially_pooled(outcomes, np.where(starts == 9, 0, starts))
    with pytest.raises(ValueError, match="no donor"):
        partially_pooled(outcomes, np.full(starts.size, 9))
    for wrong in ({"nu": 1.2}, {"nu": -0.1}, {"lags": -1}, {"horizon": -2}):
        with pytest.raises(ValueError, match="between 0 and 1"):
            partially_pooled(outcomes, starts, **wrong)
