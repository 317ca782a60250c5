"""Generalised synthetic control against hand-made panels, brute force, and planted failures."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import qieval as qe
from qieval.diagnostics.factor_model import enough_for_factors
from qieval.diagnostics.factor_placebos import just_before_the_start, placebo_periods, uncertainty
from qieval.methods.generalised_synthetic_control import estimate
from qieval.methods.generalised_synthetic_control.inference import limits_error
from qieval.numerics.factor_inference import effects
from qieval.numerics.factor_panel import FactorPanel
from qieval.numerics.factor_study import Recipe, data_order, fit_panel, placebo_gaps
from qieval.numerics.interactive_effects import FactorModel, interactive_effects
from qieval.result import Study

SHARED = Path(__file__).resolve().parents[3] / "shared"
PERIODS, START = 24, 16
ROLES = {"outcome": "y", "unit": "place", "time": "month", "treated": "service", "start": START}


def wide(seed=0, units=16, noise=0.3, rank=2):
    """Untreated outcomes (units, PERIODS): levels, common shocks and factors."""
    rng = np.random.default_rng(seed)
    factors = rng.normal(0, 1, (PERIODS, rank)).cumsum(axis=0)
    y = 40 + rng.normal(0, 2, (units, 1)) + rng.normal(0, 1, PERIODS)
    return y + rng.normal(0, 1, (units, rank)) @ factors.T + noise * rng.normal(0, 1, (units, PERIODS))


def frame(y, treated=(0,), **more):
    """The rows of a table of units by periods; more: further tables of the same shape."""
    unit, month = np.divmod(np.arange(y.size), y.shape[1])
    columns = {name: np.asarray(table).ravel() for name, table in more.items()}
    service = np.isin(unit, treated).astype(int)
    return pd.DataFrame({"place": unit, "month": month, "y": y.ravel(), "service": service, **columns})


def design(**fields):
    return qe.GeneralisedSyntheticControl(**(ROLES | {"draws": 99} | fields))


def given(factors, **fields):
    return design(choose_factors="as given", factors=factors, **fields)


def study(stated, y):
    """What a check sees of an estimate (without placebos in space)."""
    data = frame(y)
    result = estimate(stated, data, brief=True)
    return Study(result, data, result.kernel, qe.estimate)


def rows(result, term):
    return result.estimates[result.estimates["term"] == term].set_index("at")


def average(result):
    return float(rows(result, "ATT")["estimate"].iloc[0])


def test_without_factors_it_is_difference_in_differences():
    y = wide()
    result = qe.estimate(given(0), frame(y))
    gap = y[0] - y[1:].mean(axis=0)
    gap -= gap[:START].mean()
    assert average(result) == pytest.approx(gap[START:].mean())
    assert rows(result, "effect in period")["estimate"].to_numpy() == pytest.approx(gap[START:])
    before = rows(result, "gap before the start")
    assert before["estimate"].to_numpy() == pytest.approx(gap[:START]) and before["conf_low"].isna().all()
    treated = result.series[result.series["group"] == "treated"]
    assert (treated["observed"] - treated["counterfactual"]).to_numpy() == pytest.approx(gap)
    assert result.weights["weight"].to_numpy() == pytest.approx(np.full(15, 1 / 15))


@pytest.mark.parametrize("source", ["never treated", "all untreated cells"])
def test_a_panel_without_noise_gives_the_number_of_factors_and_the_effect(source):
    y = wide(noise=0)
    effect = np.linspace(1, 3, PERIODS - START)
    y[0, START:] += effect
    result = qe.estimate(design(factors_from=source, factors=3), frame(y))
    assert result.facts["factors"] == 2
    assert rows(result, "effect in period")["estimate"].to_numpy() == pytest.approx(effect, abs=1e-5)
    assert not np.isfinite(rows(result, "ATT")["conf_low"].iloc[0])
    assert "without any error" in " ".join(result.notes)


def test_the_estimate_is_that_of_the_kernel_and_implied_weights_reproduce_it():
    y = wide(seed=3)
    result = qe.estimate(given(2), frame(y))
    start = np.where(np.arange(16) == 0, START, PERIODS)
    fit = interactive_effects(FactorPanel(y, np.arange(PERIODS) < start[:, None], start), FactorModel(2))
    gap = (y - fit.counterfactual)[0]
    assert average(result) == pytest.approx(gap[START:].mean(), rel=1e-9)
    weights = result.weights.set_index("row")["weight"].sort_index().to_numpy()
    assert weights.sum() == pytest.approx(1)
    by_weights = y[0] - weights @ y[1:]
    assert by_weights - by_weights[:START].mean() == pytest.approx(gap, abs=1e-8)
    design_of_donors = np.column_stack([np.ones(15), fit.loadings[1:]])
    smallest = np.linalg.lstsq(design_of_donors.T, np.append(1, fit.loadings[0]), rcond=None)[0]
    assert weights == pytest.approx(smallest, abs=1e-8)


def test_several_starts_are_averaged_over_treated_cells():
    y = wide(noise=0)
    starts = {0: 12, 1: 16, 2: 16}
    first = np.full(y.shape, np.nan)
    for unit, start in starts.items():
        y[unit, start:] += unit + 1.0
        first[unit] = start
    data = frame(y, (0, 1, 2), first=first)
    result = qe.estimate(given(2, start=12, first_treated="first"), data)
    assert average(result) == pytest.approx((12 * 1 + 8 * 2 + 8 * 3) / 28, abs=1e-6)
    by_period = rows(result, "effect in period")["estimate"]
    assert by_period[0.0] == pytest.approx(2, abs=1e-6) and by_period[11.0] == pytest.approx(1, abs=1e-6)
    assert result.facts["waves"] == 2
    series = result.series[result.series["group"] == "treated"].set_index("time")
    assert (series["observed"] - series["counterfactual"])[3] == pytest.approx(2, abs=1e-6)


def test_treated_units_with_too_few_periods_are_left_out_and_named():
    y, first = wide(noise=0), np.full((16, PERIODS), np.nan)
    first[0], first[1] = 2, 16
    y[1, 16:] += 5
    y[0, 2:] += 99
    data = frame(y, (0, 1), first=first)
    stated = given(2, start=2, first_treated="first")
    result = qe.estimate(stated, data)
    assert average(result) == pytest.approx(5, abs=1e-6)
    assert any("1 treated unit with too few periods" in note and "(0)" in note for note in result.notes)
    assert "1 treated unit had too few" in enough_for_factors(stated, result.kernel).text


def test_covariates_are_adjusted_for_and_idle_ones_named():
    y = wide(noise=0)
    rng = np.random.default_rng(1)
    age, fixed = rng.normal(0, 1, y.shape), np.repeat(rng.normal(0, 1, (16, 1)), PERIODS, axis=1)
    y = y + 1.5 * age
    y[0, START:] += 4
    data = frame(y, age=age, fixed=fixed)
    result = qe.estimate(given(2, covariates=("age", "fixed")), data)
    assert average(result) == pytest.approx(4, abs=1e-5)
    assert result.facts["coefficient of age"] == pytest.approx(1.5, abs=1e-6)
    assert any(note.startswith("covariates: fixed took no part") for note in result.notes)


def test_periods_of_anticipation_are_neither_fitted_nor_counted():
    y = wide()
    shaken = y.copy()
    shaken[0, START - 2 : START] += 50
    stated = given(2, anticipation=2)
    one, other = qe.estimate(stated, frame(y)), qe.estimate(stated, frame(shaken))
    assert average(one) == pytest.approx(average(other), rel=1e-9)
    assert -1.0 not in rows(one, "gap before the start").index
    assert average(qe.estimate(given(2), frame(shaken))) != pytest.approx(average(one), abs=1)


def test_bootstrap_limits_are_the_estimate_less_quantiles_of_errors():
    y = wide(seed=4)
    y[0, START:] += 3
    result = qe.estimate(given(2, draws=199, level=0.9), frame(y))
    errors = result.kernel.fits[0].more["inference"].errors
    low, high = average(result) - np.quantile(errors[:, 0], [0.95, 0.05])
    row = rows(result, "ATT").iloc[0]
    assert (row["conf_low"], row["conf_high"]) == pytest.approx((low, high))
    late, drawn = rows(result, "effect in period"), result.kernel.fits[0].more["inference"]
    place = int(np.flatnonzero(drawn.effects.periods == 0)[0])
    extreme = (np.abs(errors[:, 1 + place]) >= abs(late["estimate"][0.0])).sum()
    assert late["p_value"][0.0] == pytest.approx((1 + extreme) / 200)
    treated = result.series[result.series["group"] == "treated"].set_index("time")
    assert treated["observed"][START] - treated["conf_high"][START] == pytest.approx(late["conf_low"][0.0])
    assert treated["conf_low"][: START - 1].isna().all()


def test_random_error_of_limits_is_that_of_repeated_draws():
    rng = np.random.default_rng(0)
    ends = [np.quantile(rng.normal(0, 1, 500), [0.025, 0.975]) for _ in range(400)]
    told = np.mean([limits_error(rng.normal(0, 1, (500, 1)), 0.95) for _ in range(100)])
    assert told == pytest.approx(np.std(ends, axis=0).mean(), rel=0.15)
    assert limits_error(np.zeros((0, 3)), 0.95) == 0


def test_few_donors_have_no_interval_and_a_concern():
    data = frame(wide(units=5))
    result = qe.estimate(given(0), data)
    assert np.isfinite(average(result)) and not np.isfinite(rows(result, "ATT")["conf_low"].iloc[0])
    assert "no 95% interval" in result.headline and any("fewer than 5 donors" in n for n in result.notes)
    assert uncertainty(Study(result, data, result.kernel, qe.estimate)).verdict == "concern"
    with pytest.raises(qe.EstimationError, match="parametric bootstrap needs 5"):
        qe.estimate(given(0, inference="parametric bootstrap"), data)


@pytest.mark.parametrize("kind", ["bootstrap", "jackknife"])
def test_resampled_units_bound_the_effect_of_several_treated(kind):
    y = wide(units=24)
    y[:6, START:] += 5
    data = frame(y, range(6))
    result = qe.estimate(given(2, inference=kind), data)
    row = rows(result, "ATT").iloc[0]
    assert row["conf_low"] < 5 < row["conf_high"] and row["p_value"] < 0.05
    assert rows(result, "effect in period")["p_value"].max() < 0.05
    assert uncertainty(Study(result, data, result.kernel, qe.estimate)).verdict == "concern"
    with pytest.raises(qe.EstimationError, match="one treated unit"):
        qe.estimate(given(2, inference=kind), frame(y))


def test_effects_are_also_given_in_events():
    y = wide()
    people = 1000.0 * (1 + np.arange(16)[:, None]) + np.arange(PERIODS)
    result = qe.estimate(given(2, population="people", per=1000), frame(y, (0, 3), people=people))
    fit = result.kernel.fits[0].more["panel fit"]
    place = {name: at for at, name in enumerate(result.kernel.fits[0].more["units of the panel"])}
    expected = sum(fit.gaps[place[unit], START:] @ people[unit, START:] for unit in (0, 3)) / 1000
    row, rate = rows(result, "events in all").iloc[0], rows(result, "ATT").iloc[0]
    assert row["estimate"] == pytest.approx(expected)
    width = people[[0, 3], START:].sum() / 1000 * (rate["conf_high"] - rate["conf_low"])
    assert row["conf_high"] - row["conf_low"] == pytest.approx(width)


def test_matrix_completion_is_near_and_does_not_depend_on_labels():
    y = wide(seed=1, units=8, noise=1.5)
    y[0, START:] += 9
    stated = design(estimator="matrix completion")
    data = frame(y)
    result = qe.estimate(stated, data)
    assert average(result) == pytest.approx(9, abs=3)
    assert result.facts["penalty"] > 0 and result.facts["rank"] >= 1
    renamed = data.assign(place=data["place"].map(lambda old: f"p{(old * 5) % 8}"))
    other = qe.estimate(stated, renamed)
    columns = ["estimate", "conf_low", "conf_high", "p_value"]
    np.testing.assert_allclose(other.estimates[columns], result.estimates[columns], rtol=1e-7, atol=1e-9)


def test_contradictions_are_refused_together():
    with pytest.raises(qe.DesignError) as caught:
        given(2, estimator="matrix completion", force="unit", covariates=("y",))
    for part in ("estimator, choose_factors", "estimator, force", "covariates: 'y'"):
        assert part in str(caught.value)


def test_a_fit_worse_than_moving_the_mean_states_no_effect():
    stated, data = given(0, force="none"), frame(wide())
    assert "No effect is stated" in qe.estimate(stated, data).headline
    assert qe.design_checks(stated, data)["fit before the start"].verdict == "concern"


def test_one_period_before_the_start_is_refused_with_a_way_out():
    with pytest.raises(qe.EstimationError, match="choose_factors='as given'"):
        qe.estimate(design(start=1), frame(wide()))
    assert np.isfinite(average(qe.estimate(given(0, start=1), frame(wide()))))


@pytest.fixture(scope="module")
def sound():
    """A panel that follows the model, with an effect, and its checks."""
    y = wide(seed=11, units=30)
    y[0, START:] += 4
    data = frame(y)
    result = qe.estimate(design(factors=4), data)
    return result, qe.diagnose(result, data)


def test_a_sound_study_finds_the_effect_and_few_concerns(sound):
    result, checks = sound
    assert result.facts["factors"] == 2 and rows(result, "ATT")["p_value"].iloc[0] == pytest.approx(0.01)
    assert result.facts["rank among all units"] == 1 and result.facts["units ranked"] == 30
    supported = ("number of factors", "fit before the start", "placebo periods", "other models")
    assert [checks[name].verdict for name in supported] == ["supports"] * 4
    assert checks["leave one donor out"].verdict == "supports"
    table = checks["other models"].table.set_index("label")["estimate"]
    data = frame(wide(seed=11, units=30) + 4 * _cells(30))
    assert table["3 factors"] == pytest.approx(average(qe.estimate(given(3), data)))
    assert table["no factors"] == pytest.approx(average(qe.estimate(given(0), data)))
    order = result.kernel.fits[0].more["panel fit"].panel
    completed = effects(order, fit_panel(order, Recipe(completion=True, seed=20190620)).counterfactual)
    assert table["matrix completion"] == pytest.approx(completed.average)


def _cells(units):
    cells = np.zeros((units, PERIODS))
    cells[0, START:] = 1
    return cells


def test_leaving_out_a_donor_is_estimating_without_it(sound):
    _, checks = sound
    table = checks["leave one donor out"].table.set_index("label")["estimate"]
    y = wide(seed=11, units=30) + 4 * _cells(30)
    without = given(2, not_donors={"7": "to see"})
    assert table["without 7"] == pytest.approx(average(qe.estimate(without, frame(y))))


def test_a_jump_before_the_start_is_found():
    y = wide(seed=11, units=30)
    y[0, START - 3 :] += 4
    assert placebo_periods(study(given(2), y)).verdict == "concern"
    y = wide(seed=11, units=30)
    y[0, START - 1 :] += 4
    assert just_before_the_start(study(given(2), y)).verdict == "concern"
    assert just_before_the_start(study(given(2, anticipation=1), y)).verdict == "supports"


def test_too_few_factors_are_found():
    y = wide(seed=6, units=30)
    y[0] += 4 * (y[1] - y[1].mean())
    check = qe.design_checks(given(0), frame(y))["number of factors"]
    table = check.table
    assert check.verdict == "concern"
    assert table["left_out_error"].idxmin() == 2 and bool(table["used"][0])


def test_treated_unlike_every_donor_are_found():
    y = wide(seed=6, units=30)
    y[0] += 4 * (y[1] - y[1].mean())
    checks = qe.design_checks(given(2), frame(y))
    assert checks["overlap of loadings"].verdict == "concern"
    table = checks["overlap of loadings"].table
    assert list(table["what"]) == ["level before the start", "loading on factor 1", "loading on factor 2"]
    donors = y[1:, :START].mean(axis=1)
    level = table.iloc[0]
    assert level[["treated", "lowest_donor", "highest_donor"]].to_list() == pytest.approx(
        [y[0, :START].mean(), donors.min(), donors.max()]
    )


def test_a_short_time_before_the_start_is_a_concern():
    checks = qe.design_checks(given(2, start=7), frame(wide()))
    check = checks["periods and donors for each coefficient"]
    assert check.verdict == "concern" and "biased" in check.text
    assert qe.design_checks(given(1), frame(wide()))["periods and donors for each coefficient"].verdict == (
        "supports"
    )


@pytest.mark.skipif(not SHARED.exists(), reason="the shared reference data are not here")
def test_smoking_in_california_without_factors_is_the_published_difference_in_differences():
    data = pd.read_csv(SHARED / "data" / "scits_prop99_smoking.csv")
    data["law"] = (data["state"] == "California").astype(int)
    roles = {"outcome": "cigsale", "unit": "state", "time": "year", "treated": "law", "start": 1989}
    result = qe.estimate(given(0, **roles), data)
    cases = json.loads((SHARED / "reference" / "scits.json").read_text())["cases"]
    values = next(case for case in cases if case["id"] == "prop99_synthdid")["values"]
    assert average(result) == pytest.approx(values["did"]["estimate"], rel=1e-10)


def test_placebo_gaps_are_fits_with_the_donor_as_treated():
    y = wide(seed=2, units=8)
    start = np.where(np.arange(8) == 0, START, PERIODS)
    fit = fit_panel(FactorPanel(y, np.arange(PERIODS) < start[:, None], start), Recipe(factors=1))
    found = placebo_gaps(fit, START)
    own = np.where(np.arange(7) == 2, START, PERIODS)
    panel = FactorPanel(y[1:], np.arange(PERIODS) < own[:, None], own)
    assert found[2] == pytest.approx((y[1:] - interactive_effects(panel, FactorModel(1)).counterfactual)[2])


def test_order_of_units_is_that_of_their_data():
    y, first = np.array([[2.0, 1.0], [1.0, 9.0], [2.0, 0.0]]), np.array([1, 2, 2])
    assert data_order(y, first).tolist() == [1, 2, 0]
    shuffled = np.array([2, 0, 1])
    np.testing.assert_array_equal(
        y[data_order(y, first)], y[shuffled][data_order(y[shuffled], first[shuffled])]
    )


def test_an_open_recipe_has_no_estimator():
    for recipe in (Recipe(), Recipe(completion=True)):
        with pytest.raises(ValueError, match="has not been chosen"):
            _ = recipe.estimator
    assert replace(Recipe(), factors=1).estimator.per_unit == 2
