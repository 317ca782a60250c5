"""Checks of an interrupted series: each raises its voice in a made situation and keeps quiet in another."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from qieval.diagnostics import (
    series_before,
    series_change_point,
    series_dates,
    series_errors_compared,
    series_form,
    series_others,
    series_periods,
    series_power,
    series_residuals,
    series_spread,
)
from qieval.methods import interrupted_time_series as its
from qieval.result import Study

SHARED = Path(__file__).resolve().parents[3] / "shared"
START, PERIODS = 30, 60


def noise(seed: int = 1, n: int = PERIODS, rho: float = 0.0, spread: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    e = np.zeros(n + 100)
    for t in range(1, n + 100):
        e[t] = rho * e[t - 1] + np.sqrt(1 - rho**2) * rng.normal()
    return spread * e[100:]


def frame(y: np.ndarray, **columns: np.ndarray) -> pd.DataFrame:
    months = pd.period_range("2015-01", periods=len(y), freq="M").astype(str)
    return pd.DataFrame({"month": months, "y": y, **columns})


def series(effect: float = -4.0, seed: int = 1, rho: float = 0.0) -> np.ndarray:
    t = np.arange(PERIODS)
    return 50.03 + 0.1 * t + effect * (t >= START) + noise(seed, rho=rho)


def study(data: pd.DataFrame, **fields) -> Study:
    given = {"outcome": "y", "time": "month", "start": "2017-07", "change": "level", "family": "gaussian"}
    design = its.InterruptedTimeSeries(**{**given, "inference": "independent errors", **fields})
    result = its.estimate(design, data)
    return Study(result, data, its.parse(design, data), partial(its.estimate, brief=True))


def before(data: pd.DataFrame, check, **fields):
    given = {"outcome": "y", "time": "month", "start": "2017-07", "change": "level", "family": "gaussian"}
    design = its.InterruptedTimeSeries(**{**given, **fields})
    return check(design, its.blind(design, data))


@pytest.fixture(scope="module")
def calm() -> Study:
    return study(frame(series()))


# --- enough periods, recent periods, time since the start ---


def test_periods_are_counted_by_part_of_the_season():
    found = before(frame(series()[:34]), series_periods.enough_periods, seasonality="harmonics", harmonics=1)
    table = found.table.set_index("part")
    assert table["periods_before"].tolist() == [3] * 6 + [2] * 6
    assert table["periods_after"].tolist() == [0] * 6 + [1] * 4 + [0] * 2
    assert found.verdict == "concern"
    assert "30 months before and 4 months after" in found.text
    assert "fewer than 8" in found.text and "Not yet seen after: January, February" in found.text


def test_a_month_seen_once_before_is_a_concern_only_where_the_season_is_modelled():
    data = frame(series()).iloc[12:]
    seasonal = before(data, series_periods.enough_periods, seasonality="harmonics", harmonics=1)
    plain = before(data, series_periods.enough_periods)
    assert seasonal.verdict == "concern" and "Seen less than 2 times before: July" in seasonal.text
    assert plain.verdict == "supports"


def test_quarters_and_numbers_have_names():
    quarters = pd.period_range("2005Q1", periods=40, freq="Q").astype(str)
    data = pd.DataFrame({"month": quarters, "y": series()[:40]})
    found = before(data, series_periods.enough_periods, start="2010Q1")
    assert found.table["part"].tolist() == [f"quarter {part}" for part in (1, 2, 3, 4)]
    numbers = before(data.assign(month=range(40)), series_periods.enough_periods, start=20)
    assert numbers.table["part"].tolist() == ["all"]


def test_low_last_values_look_incomplete(calm):
    y = series()
    y[-2:] -= 6
    assert series_periods.recent_data(study(frame(y))).verdict == "concern"
    quiet = series_periods.recent_data(calm)
    assert quiet.verdict == "information"
    assert quiet.table["period"].tolist() == ["2019-10", "2019-11", "2019-12"]


@pytest.mark.parametrize(("expected", "verdict"), [(0, "information"), (30, "supports"), (31, "concern")])
def test_too_early_against_the_expected_time(expected, verdict):
    found = series_periods.too_early(study(frame(series()), expected_within=expected))
    assert found.verdict == verdict and "30 months" in found.text


# --- autocorrelation ---


def test_autocorrelation_is_a_concern_when_errors_are_taken_as_independent(calm):
    held = frame(series(rho=0.8, seed=4))
    assert series_residuals.residual_autocorrelation(calm).verdict == "supports"
    ignored = series_residuals.residual_autocorrelation(study(held))
    assert ignored.verdict == "concern" and "too narrow" in ignored.text
    modelled = series_residuals.residual_autocorrelation(study(held, inference="AR errors by ML"))
    assert modelled.verdict == "supports" and "no further correlation" in modelled.text
    assert set(modelled.table["which"]) == {"residuals", "left after the model of the errors"}
    robust = series_residuals.residual_autocorrelation(study(held, inference="Newey-West"))
    assert robust.verdict == "information"


def test_autocorrelations_by_hand(calm):
    table = series_residuals.residual_autocorrelation(calm).table
    left = calm.result.kernel.residuals
    centred = left - left.mean()
    by_hand = [float(centred[lag:] @ centred[:-lag] / (centred @ centred)) for lag in table["lag"]]
    np.testing.assert_allclose(table["autocorrelation"], by_hand, rtol=1e-10)
    assert table["partial_autocorrelation"].iloc[0] == pytest.approx(by_hand[0])
    assert len(table) == 12


def test_all_tests_of_autocorrelation_are_listed():
    found = series_residuals.autocorrelation_tests(study(frame(series(rho=0.8, seed=4))))
    assert (found.table["p_value"] < 0.05).all() and len(found.table) == 5
    left = study(frame(series(rho=0.8, seed=4))).result.kernel.residuals
    watson = found.table.set_index("test").loc["Durbin-Watson", "statistic"]
    assert watson == pytest.approx(float((np.diff(left) ** 2).sum() / (left**2).sum()))


def test_ways_of_allowing_stand_side_by_side(calm):
    found = series_errors_compared.ways_of_allowing(calm)
    assert found.verdict == "information" and "They agree" in found.text
    labels = found.table["label"].tolist()
    assert labels[0] == "as designed" and {"Prais-Winsten", "AR errors by REML"} < set(labels)
    again = study(calm.frame, inference="Prais-Winsten")
    row = found.table.set_index("label").loc["Prais-Winsten"]
    assert row["std_error"] == pytest.approx(again.result.kernel.std_error("level change"))


def test_ways_that_disagree_are_named():
    found = series_errors_compared.ways_of_allowing(
        study(frame(series(effect=-1.3, rho=0.9, seed=12)), change="level and slope")
    )
    table = found.table.set_index("label")
    assert found.verdict == "concern" and "do not agree" in found.text
    assert table.loc["independent errors", "std_error"] < table.loc["AR errors by REML", "std_error"]
    assert {"slope", "slope_std_error", "ljung_box_p", "autocorrelation_lag_1"} <= set(found.table.columns)


def counts(seed: int = 2, size: float = 3.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    mean = 120 * np.exp(0.004 * np.arange(PERIODS) - 0.2 * (np.arange(PERIODS) >= START))
    y = rng.poisson(mean * rng.gamma(size * 20, 1 / (size * 20), PERIODS))
    return frame(y.astype(float), people=np.full(PERIODS, 1000.0))


def test_ways_for_counts_include_the_families():
    found = series_errors_compared.ways_of_allowing(study(counts(), family="quasi-poisson"))
    table = found.table.set_index("label")
    assert {"poisson", "quasi-poisson", "negative binomial", "logarithm with AR errors"} < set(table.index)
    assert table.loc["poisson", "std_error"] < table.loc["quasi-poisson", "std_error"]
    assert table["estimate"].between(0.7, 0.95).all()


def test_delta_method_beside_simulation():
    found = series_errors_compared.delta_and_simulation(study(counts(), family="quasi-poisson"))
    delta, drawn = found.table.iloc[0], found.table.iloc[1]
    width = delta["conf_high"] - delta["conf_low"]
    assert abs(delta["conf_low"] - drawn["conf_low"]) < 0.1 * width
    assert abs(delta["conf_high"] - drawn["conf_high"]) < 0.1 * width


# --- spread and single values ---


def test_over_dispersion_of_counts():
    poisson = study(counts(), family="poisson")
    found = series_spread.over_dispersion(poisson)
    assert found.verdict == "concern" and "quasi-poisson" in found.text
    base = poisson.result.kernel.more["base"]
    by_hand = float(((base.outcome.y - base.fitted) ** 2 / base.fitted).sum()) / (PERIODS - 3)
    assert found.table["value"].iloc[0] == pytest.approx(by_hand)
    assert series_spread.over_dispersion(study(counts(), family="quasi-poisson")).verdict == "supports"
    assert series_spread.over_dispersion(study(counts(size=1e6), family="poisson")).verdict == "supports"


def test_unequal_spread_of_amounts(calm):
    y = series()
    y[START:] += noise(9, PERIODS - START, spread=5)
    assert series_spread.over_dispersion(study(frame(y))).verdict == "concern"
    assert series_spread.over_dispersion(calm).verdict == "supports"


def test_a_planted_outlier_is_found_and_its_effect_shown(calm):
    y = series(effect=-2.0)
    y[40] -= 30
    found = series_spread.influential_values(study(frame(y)))
    assert found.verdict == "concern" and "2018-05" in found.text
    again = study(frame(y), left_out={"2018-05": "planted"}).overall
    row = found.table.set_index("label").loc["without 2018-05"]
    assert row["estimate"] == pytest.approx(float(again["estimate"]))
    assert series_spread.influential_values(calm).verdict == "supports"


# --- form ---


def test_a_bent_trend_before_the_start():
    t = np.arange(PERIODS)
    bent = frame(50 + 0.02 * (t - 10) ** 2 + noise(3))
    found = before(bent, series_form.linear_trend)
    assert found.verdict == "concern" and found.table["p_value"].min() < 0.001
    assert before(bent, series_form.linear_trend, trend="quadratic").verdict == "supports"
    assert before(frame(series()), series_form.linear_trend).verdict == "supports"


def test_other_forms_are_those_of_altered_designs(calm):
    found = series_form.other_forms(calm)
    table = found.table.set_index("label")
    assert found.verdict == "supports"
    again = calm.again(trend="quadratic")
    assert table.loc["trend: quadratic", "estimate"] == pytest.approx(float(again["estimate"]))
    assert table.loc["season: 2 pairs of harmonics", "estimate"] == pytest.approx(
        float(calm.again(seasonality="harmonics", harmonics=2)["estimate"])
    )
    assert "model: structural time series" in table.index and "trend: linear" not in table.index


def test_a_conclusion_that_hangs_on_the_form_is_a_concern():
    t = np.arange(PERIODS)
    held = study(frame(50 + 0.01 * (t - 30) ** 2 * (t < 30) + noise(5)))
    assert series_form.other_forms(held).verdict == "concern"


def test_other_timing_tries_phase_in_and_lag(calm):
    found = series_form.other_timing(calm)
    labels = found.table["label"].tolist()
    assert "phasing in over 6 months" in labels and "effect begins 1 month later" in labels
    assert not any("over 0" in label for label in labels)
    row = found.table.set_index("label").loc["effect begins 2 months later"]
    assert row["estimate"] == pytest.approx(float(calm.again(lag=2)["estimate"]))


# --- dates ---


def test_placebo_dates_rank_the_real_effect(calm):
    found = series_dates.placebo_dates(calm)
    table = found.table
    assert found.verdict == "supports" and table["which"].iloc[-1] == "real start"
    statistics = []
    for code in range(6, 25):
        moment, last = calm.panel.series.label(code), calm.panel.series.label(START - 1)
        row = calm.again(start=moment, last_period=last)
        statistics.append(abs(row["estimate"]) / ((row["conf_high"] - row["conf_low"]) / 2))
    np.testing.assert_allclose(table["statistic"].iloc[:-1].abs(), statistics, rtol=1e-9)
    real = calm.overall
    size = abs(real["estimate"]) / ((real["conf_high"] - real["conf_low"]) / 2)
    p = (1 + sum(held >= size for held in statistics)) / (1 + len(statistics))
    assert f"randomisation p-value {p:.2g}" in found.text


def test_a_wandering_series_fails_its_placebo_dates():
    walk = np.cumsum(noise(7))
    assert series_dates.placebo_dates(study(frame(50 + walk))).verdict == "concern"


def test_the_search_finds_a_planted_date(calm):
    found = series_change_point.change_point_search(calm)
    assert found.verdict == "supports" and "which is the stated start" in found.text
    late = series_change_point.change_point_search(study(frame(series(effect=-8)), start="2016-09"))
    assert late.verdict == "concern" and "2017-07 fits best, 10 months after the start" in late.text


@pytest.mark.parametrize(
    "fields",
    [
        {"change": "level and slope"},
        {"change": "decay", "half_life": 4},
        {"change": "pulse", "lasts": 3},
        {"controls": ("other",), "change": "level and slope"},
        {"change": "level", "further_starts": ("2018-09",)},
    ],
)
def test_the_search_fits_what_a_design_with_that_date_would(fields):
    data = frame(series(), other=series(0.0, seed=8))
    held = study(data, **fields)
    table = series_change_point.change_point_search(held).table.set_index("at")
    for shift in (-7, 5):
        moment = held.panel.series.label(START + shift)
        again = held.refit(replace(held.design, start=moment), data).kernel.more["base"]
        assert table.loc[shift, "criterion"] == pytest.approx(again.deviance, rel=1e-9)


def test_the_search_uses_the_likelihood_of_modelled_errors():
    data = frame(series(rho=0.6, seed=3))
    held = study(data, inference="AR errors by ML")
    table = series_change_point.change_point_search(held).table.set_index("at")
    for shift in (0, 4):
        again = held.refit(replace(held.design, start=held.panel.series.label(START + shift)), data)
        assert table.loc[shift, "criterion"] == pytest.approx(-2 * again.kernel.log_likelihood, rel=1e-9)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared reference numbers are not here")
def test_the_search_reproduces_the_smoking_ban():
    cases = json.loads((SHARED / "reference/scits.json").read_text())["cases"]
    reference = next(case for case in cases if case["id"] == "sicily_its")["values"][
        "changepoint_sensitivity"
    ]
    data = pd.read_csv(SHARED / "data/scits_sicily.csv")
    data["month"] = data["year"].astype(str) + "-" + data["month"].astype(str).str.zfill(2)
    held = study(
        data,
        outcome="aces",
        start="2005-01",
        denominator="stdpop",
        family="quasi-poisson",
        seasonality="harmonics",
        harmonics=2,
    )
    found = series_change_point.change_point_search(held)
    table = found.table.set_index("at")
    for row in reference:
        assert table.loc[row["shift"], "criterion"] == pytest.approx(row["deviance"], rel=1e-7)
        assert table.loc[row["shift"], "dispersion"] == pytest.approx(row["dispersion"], rel=1e-7)
        assert table.loc[row["shift"], "estimate"] == pytest.approx(row["RR"], rel=1e-7)
    assert "2004-10 fits best, 3 months before the start (criterion 113.6 against 117.3" in found.text


def test_a_reaction_before_the_start(calm):
    y = series(effect=0.0)
    y[START - 2 :] -= 5
    assert series_dates.reaction_before(study(frame(y))).verdict == "concern"
    assert series_dates.reaction_before(calm).verdict == "supports"


# --- other series and events ---


def test_control_outcomes_and_composition_that_jump():
    same, jumps = noise(21), noise(22) - 5 * (np.arange(PERIODS) >= START)
    data = frame(series(), same=30 + same, jumps=30 + jumps)
    for field, check in (
        ("control_outcomes", series_others.control_outcomes),
        ("composition", series_others.composition),
    ):
        assert check(study(data, **{field: ("same", "jumps")})).verdict == "concern"
        assert check(study(data, **{field: ("same",)})).verdict == "supports"
        assert check(study(data)).verdict == "information"


def test_events_are_shown_by_their_distance():
    events = {"2017-09": "new tariff", "2016-01": "flu", "2031-01": "later"}
    found = series_others.co_occurring_events(study(frame(series()), events=events))
    assert found.table["what_happened"].tolist() == ["new tariff", "flu", "later"]
    assert found.table["periods_from_start"].tolist()[:2] == [2.0, -18.0]
    assert found.table["lies"].tolist() == [
        "2 months after the start",
        "18 months before the start",
        "after the data end",
    ]
    assert "new tariff" in found.text and "does not exclude co-occurring events" in found.text
    assert "does not exclude" in series_others.co_occurring_events(study(frame(series()))).text


def test_a_control_series_that_drifts_or_jumps(calm):
    t = np.arange(PERIODS)
    parallel, drifting = 40 + 0.1 * t + noise(31), 40 - 0.4 * t + noise(31)
    shocked = parallel - 6 * (t >= START)
    made = {
        name: series_others.control_series(study(frame(series(), other=other), controls=("other",)))
        for name, other in (("parallel", parallel), ("drifting", drifting), ("shocked", shocked))
    }
    assert made["parallel"].verdict == "supports"
    assert made["drifting"].verdict == "concern" and "drifted apart" in made["drifting"].text
    assert made["shocked"].verdict == "information" and "changed at the start" in made["shocked"].text
    alone = made["parallel"].table.set_index("label").loc["without control"]
    assert alone["estimate"] == pytest.approx(float(calm.overall["estimate"]))
    assert series_others.control_series(calm).verdict == "information"


# --- power ---


def test_the_detectable_change_agrees_with_least_squares():
    data = frame(series(seed=6))
    found = before(data, series_power.minimum_detectable_change)
    design = its.InterruptedTimeSeries(
        outcome="y", time="month", start="2017-07", change="level", family="gaussian"
    )
    held = series_before.before_start(design, its.blind(design, data))
    sigma, rho = held.errors().sigma, float(held.errors().phi[0])
    t = np.arange(PERIODS)
    x = np.column_stack([np.ones(PERIODS), t, t >= START])
    between = rho ** np.abs(np.subtract.outer(t, t))
    error = sigma * np.sqrt(np.linalg.inv(x.T @ np.linalg.solve(between, x))[2, 2])
    needed = found.table.loc[(found.table["power"] - 0.8).abs().idxmin(), "effect"]
    assert needed == pytest.approx((1.96 + 0.84) * error, rel=0.15)
    assert found.table["power"].iloc[0] == pytest.approx(0.05, abs=0.01)


def test_power_does_not_depend_on_units_or_on_what_came_after():
    data = frame(series())
    after = data.assign(y=np.where(np.arange(PERIODS) >= START, 1e6, data["y"]))
    one = before(data, series_power.minimum_detectable_change, change="level and slope")
    large = before(
        data.assign(y=data["y"] * 1e6), series_power.minimum_detectable_change, change="level and slope"
    )
    same = before(after, series_power.minimum_detectable_change, change="level and slope")
    pd.testing.assert_frame_equal(one.table, same.table)
    np.testing.assert_allclose(large.table["effect"], one.table["effect"] * 1e6, rtol=1e-5)
    assert list(dict.fromkeys(one.table["term"])) == ["level change", "slope change"]


def test_power_of_counts_is_in_ratios():
    found = before(counts(), series_power.minimum_detectable_change, family="quasi-poisson")
    assert "%" in found.text and found.table["effect"].max() < 0.5
    few = before(counts().assign(y=0.0), series_power.minimum_detectable_change, family="quasi-poisson")
    assert few.verdict == "information" and few.table is None


def test_design_checks_read_nothing_after_the_start():
    data = frame(series())
    after = data.assign(y=np.where(np.arange(PERIODS) >= START, np.nan, data["y"]))
    for check in (series_form.linear_trend, series_periods.enough_periods):
        assert before(data, check).text == before(after, check).text


CHECKS = (
    series_residuals.residual_autocorrelation,
    series_residuals.autocorrelation_tests,
    series_errors_compared.ways_of_allowing,
    series_errors_compared.delta_and_simulation,
    series_spread.over_dispersion,
    series_change_point.change_point_search,
    series_periods.recent_data,
    series_periods.too_early,
)


@pytest.mark.parametrize(
    "fields",
    [
        {"change": "any", "model": "structural time series"},
        {"model": "ARIMA", "arima": "1,0,0"},
        {"change": "slope"},
        {"phase_in": 3, "change": "level and slope"},
    ],
    ids=str,
)
def test_every_check_speaks_about_every_kind_of_model(fields):
    held = study(frame(series(rho=0.3)), inference="recommended", **{**fields})
    for check in CHECKS:
        found = check(held)
        assert found.text.endswith((".", ")")) and "nan" not in found.text
