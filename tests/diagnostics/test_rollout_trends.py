"""Checks of trends of a roll-out against numbers by hand, planted violations and the R reference."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import qieval as qe
from qieval.catalogue import method_of
from qieval.diagnostics.rollout_bounds import beside_headline, bounds_by_bend, bounds_by_size
from qieval.diagnostics.rollout_leads import leads_of
from qieval.diagnostics.rollout_placebo import pretended_starts
from qieval.diagnostics.rollout_scale import amounts_or_percentages
from qieval.diagnostics.rollout_time import effects_over_time, events_beside_starts, reaction_before_start
from qieval.diagnostics.rollout_trends import power_of_test, trends_before_start
from qieval.diagnostics.trend_test import slope_of_changes, slope_of_levels
from qieval.result import Study

SHARED = Path(__file__).resolve().parents[3] / "shared"
CHECKS = (
    trends_before_start,
    power_of_test,
    bounds_by_size,
    bounds_by_bend,
    pretended_starts,
    reaction_before_start,
    effects_over_time,
    amounts_or_percentages,
    events_beside_starts,
)
NEAR = (-3, 1)
"""A short window keeps bounds quick."""
APPROACHES = (
    "group-time",
    "interaction-weighted",
    "imputation",
    "two-stage",
    "stacked",
    "two-way",
    "poisson",
    "poisson two-way",
)


def panel(starts=(5, 6, np.inf), per_cohort=30, periods=8, noise=0.2, seed=3) -> pd.DataFrame:
    """Units by periods 1 to `periods`, cohorts of equal size, parallel trends, no effect."""
    rng = np.random.default_rng(seed)
    n = per_cohort * len(starts)
    unit, time = np.divmod(np.arange(n * periods), periods)
    first = np.repeat(np.array(starts, dtype=float), per_cohort)[unit]
    y = 10 + rng.normal(0, 1, n)[unit] + 0.3 * time + rng.normal(0, noise, len(unit))
    return pd.DataFrame({"unit": unit, "time": time + 1, "first": first, "y": y})


def design_for(**fields) -> qe.StaggeredAdoption:
    stated = {"outcome": "y", "unit": "unit", "time": "time", "first_treated": "first"}
    return qe.StaggeredAdoption(**{**stated, "units_are": "organisations", **fields})


def study_of(frame: pd.DataFrame, **fields) -> Study:
    design = design_for(**fields)
    method = method_of(design)
    return Study(qe.estimate(design, frame), frame, method.parse(design, frame), method.refit)


def since(frame: pd.DataFrame) -> pd.Series:
    return (frame["time"] - frame["first"]).replace(-np.inf, -99.0)


def gap(frame: pd.DataFrame, late: int, early: int) -> float:
    """The change from one period to another of those that begin less that of the others."""
    wide = frame.pivot(index="unit", columns="time", values="y")
    change = wide[late] - wide[early]
    ever = np.isfinite(frame.groupby("unit")["first"].first())
    return float(change[ever].mean() - change[~ever].mean())


def test_slopes_of_levels_and_of_changes_agree_with_least_squares():
    rng = np.random.default_rng(1)
    gaps = np.array([1.0, 2.0, 1.0, 1.0])
    moments = np.concatenate([[0.0], np.cumsum(gaps)])
    changes = rng.normal(size=4)
    levels = np.concatenate([[0.0], np.cumsum(changes)])
    fitted = np.polyfit(moments, levels, 1)[0]
    assert slope_of_changes(gaps) @ changes == pytest.approx(fitted, rel=1e-10)
    from_last = levels[:-1] - levels[-1]
    assert slope_of_levels(moments[:-1], moments[-1]) @ from_last == pytest.approx(fitted, rel=1e-10)


@pytest.mark.parametrize("base", ["varying", "universal"])
def test_a_planted_drift_is_seen_and_measured(base):
    frame = panel(noise=0.05)
    drifting = frame.assign(y=frame["y"] + 0.2 * frame["time"] * np.isfinite(frame["first"]))
    quiet, loud = (trends_before_start(study_of(held, base_period=base)) for held in (frame, drifting))
    assert (quiet.verdict, loud.verdict) == ("supports", "concern")
    leads = leads_of(study_of(drifting, base_period=base))
    assert leads.test.slope[0] == pytest.approx(0.2, abs=0.02)
    assert ("varying" in loud.text) == (base == "varying")


def test_a_small_cohort_does_not_decide_about_trends():
    """Trends are parallel but for one cohort of three, whose units hardly vary from each other."""
    frame = panel(starts=(6, 7, np.inf), per_cohort=40)
    small = panel(starts=(5,), per_cohort=3, noise=1e-4, seed=4).assign(unit=lambda held: held["unit"] + 1000)
    small["y"] += 0.05 * (small["time"] == 2)
    check = trends_before_start(study_of(pd.concat([frame, small])))
    assert check.verdict == "supports" and "this test alone decides" in check.text
    assert "some cohort has fewer than four" in check.text
    whole = trends_before_start(study_of(frame))
    assert "not part of the verdict" in whole.text


@pytest.mark.parametrize("approach", ["group-time", "two-way", "imputation", "poisson"])
def test_a_straight_drift_adds_what_the_distances_say(approach):
    """Noise-free: effects are a drift alone, so that each equals drift times distance."""
    frame = panel(starts=(5, np.inf), per_cohort=30, noise=0.0)
    step = 0.01 * (frame["time"] - 5) * np.isfinite(frame["first"])
    if approach == "poisson":
        frame = frame.assign(y=np.exp(2 + step + 0.02 * frame["time"]))
    else:
        frame = frame.assign(y=frame["y"] + step)
    jitter = np.random.default_rng(2).normal(0, 1e-4, len(frame))
    leads = leads_of(study_of(frame.assign(y=frame["y"] + jitter), approach=approach))
    # Ratios of means are not exactly linear in a drift on the logarithm; 2% covers the difference.
    np.testing.assert_allclose(leads.estimate, 0.01 * leads.distance, atol=1e-4, rtol=0.02)


def test_power_rows_hold_what_they_say():
    frame = panel(noise=0.3)
    frame = frame.assign(y=frame["y"] + 0.5 * (since(frame) >= 0))
    study = study_of(frame, expected_lag=1)
    table = power_of_test(study).table.set_index("drift_that")
    assert table.loc["is noticed by period with a chance of 50%", "noticed_by_period"] == pytest.approx(
        0.5, abs=2e-3
    )
    assert table.loc["is noticed jointly with a chance of 80%", "noticed_jointly"] == pytest.approx(
        0.8, abs=1e-6
    )
    event = study.result.kernel.event
    mean = event.estimate[event.at >= 1].mean()
    assert table.loc["would explain the mean effect", "bias"] == pytest.approx(mean, rel=1e-12)
    assert table.loc["is none", ["drift", "bias"]].tolist() == [0.0, 0.0]
    assert table.loc["is none", "bias_after_passing"] == pytest.approx(0, abs=1e-3)


def test_power_by_simulation():
    study = study_of(panel(noise=0.3))
    leads = leads_of(study)
    table = power_of_test(study).table
    row = table[table["drift_that"] == "is noticed by period with a chance of 80%"].iloc[0]
    rng = np.random.default_rng(4)
    draws = rng.multivariate_normal(row["drift"] * leads.distance, leads.covariance, 200_000)
    early = np.abs(draws[:, leads.before]) > 1.959964 * np.sqrt(np.diag(leads.covariance)[leads.before])
    noticed = early.any(axis=1)
    assert noticed.mean() == pytest.approx(0.8, abs=5e-3)
    left = draws[~noticed][:, leads.at >= 0].mean()
    assert row["bias_after_passing"] == pytest.approx(left, abs=5e-3)


def test_pretended_starts_are_differences_by_hand_on_rows_before_the_start():
    frame = panel(starts=(5, np.inf))
    spoiled = frame.assign(y=frame["y"].where(since(frame) < 0, 1e6))
    spoiled["y"] = spoiled["y"].where(np.isfinite(spoiled["first"]), frame["y"])
    check = pretended_starts(study_of(spoiled))
    table = check.table.set_index("label")
    assert list(table.index) == ["1 period earlier", "2 periods earlier", "3 periods earlier"]
    assert table.loc["1 period earlier", "estimate"] == pytest.approx(gap(frame, 4, 3), rel=1e-9)
    two = (gap(frame, 3, 2) + gap(frame, 4, 2)) / 2
    assert table.loc["2 periods earlier", "estimate"] == pytest.approx(two, rel=1e-9)
    assert check.verdict == "supports"


def test_pretended_starts_see_a_drift():
    frame = panel()
    frame = frame.assign(y=frame["y"] + 0.3 * frame["time"] * np.isfinite(frame["first"]))
    assert pretended_starts(study_of(frame)).verdict == "concern"


def test_a_reaction_before_the_start_is_seen():
    frame = panel(starts=(5, np.inf))
    early = frame.assign(y=frame["y"] + 1.0 * (since(frame) >= -1))
    quiet, loud = reaction_before_start(study_of(frame)), reaction_before_start(study_of(early))
    assert (quiet.verdict, loud.verdict) == ("supports", "concern")
    table = loud.table.set_index("label")
    assert table.loc["jump 1 period before", "estimate"] == pytest.approx(gap(early, 4, 3), rel=1e-9)
    whole = np.mean([gap(early, late, 3) for late in (5, 6, 7, 8)])
    assert table.loc["effect, anticipation of 1 period", "estimate"] == pytest.approx(whole, rel=1e-9)


def test_effects_against_the_expected_lag():
    frame = panel(starts=(5, 7, np.inf))
    late = frame.assign(y=frame["y"] + 1.0 * (since(frame) >= 2))
    soon = frame.assign(y=frame["y"] + 1.0 * (since(frame) >= 0))
    stopped = effects_over_time(study_of(late, expected_lag=5))
    assert stopped.verdict == "concern" and stopped.text.startswith("Too early to say")
    assert effects_over_time(study_of(soon, expected_lag=1)).verdict == "concern"
    held = effects_over_time(study_of(late, expected_lag=2))
    assert "1 of 2 cohorts were followed to 2 periods after" in held.text and held.verdict == "information"
    assert held.table["cohorts"].tolist() == [2, 2, 1, 1]
    both = effects_over_time(study_of(frame, expected_lag=1))
    assert both.verdict == "supports"


def test_scale_by_hand():
    frame = panel(starts=(5, np.inf), noise=0.0)
    level = np.where(np.isfinite(frame["first"]), 3.0, 1.0)
    log = 1.0 + 0.3 * frame["time"] - 0.05 * (since(frame) >= 0)
    jitter = np.random.default_rng(5).normal(0, 1e-6, len(frame))
    frame = frame.assign(y=level * np.exp(log + jitter))
    study = study_of(frame)
    check = amounts_or_percentages(study)
    assert check.table["estimate"].iloc[1] == pytest.approx(np.expm1(-0.05), abs=1e-5)
    assert check.table["estimate"].iloc[0] == pytest.approx(
        study.overall["estimate"] / study.facts["expected level without the intervention"], rel=1e-12
    )
    assert check.verdict == "concern" and "different directions" in check.text
    ratio = amounts_or_percentages(study_of(frame, approach="poisson"))
    assert ratio.table["estimate"].iloc[0] == pytest.approx(np.expm1(-0.05), abs=1e-4)
    zeros = frame.assign(y=frame["y"].where(frame.index != 0, 0.0))
    assert "ratio of means" in amounts_or_percentages(study_of(zeros)).text


def test_events_beside_starts():
    study = study_of(panel(), events={"4": "a new tariff", "99": "later", "1": "long before"})
    table = events_beside_starts(study).table.set_index("what_happened")
    assert table.loc["a new tariff", ["nearest_start", "periods_from_it", "cohorts_near"]].tolist() == [
        "5",
        -1,
        2,
    ]
    assert table.loc["later", "nearest_start"] == "outside the data"
    assert table.loc["long before", "cohorts_near"] == 0


def test_bounds_judge_a_clear_and_an_unclear_effect():
    frame = panel(noise=0.1)
    clear = frame.assign(y=frame["y"] + 5.0 * (since(frame) >= 0))
    found = bounds_by_size(study_of(clear, base_period="universal", event_window=NEAR))
    assert found.verdict == "supports" and "universal" not in found.text
    again = bounds_by_size(study_of(clear, event_window=NEAR))
    pd.testing.assert_frame_equal(found.table, again.table)
    assert "base_period='universal'" in again.text
    none = bounds_by_size(study_of(frame, event_window=NEAR))
    usual = none.table[none.table["which"] == "trends parallel"].iloc[0]
    assert usual["conf_low"] < 0 < usual["conf_high"]
    assert none.verdict == "information"
    assert "breakdown" in str(qe.plot(found).labels.caption)


def test_bounds_that_disagree_with_the_headline_are_a_concern():
    """An effect that comes late shows in the mean of all periods, not in the effect at the start."""
    frame = panel(starts=(5, np.inf), noise=0.3)
    late = frame.assign(y=frame["y"] + 3.0 * (since(frame) >= 2))
    study = study_of(late, event_window=(-3, 1))
    assert study.overall["conf_low"] > 0
    for check in (bounds_by_size(study), bounds_by_bend(study)):
        assert check.verdict == "concern" and "another average than the headline" in check.text
        assert "no conclusion to shake" not in check.text
    none = bounds_by_size(study_of(frame, event_window=(-3, 1)))
    assert none.verdict == "information" and "another average" not in none.text


@pytest.mark.parametrize(
    ("headline", "found", "verdict"),
    [(1, 1, "supports"), (0, 0, "supports"), (0, 1, "information"), (1, 0, "concern"), (-1, 1, "concern")],
)
def test_the_verdict_of_bounds_beside_the_headline(headline, found, verdict):
    made, text = beside_headline(headline, found, "mean effect", ("supports", "it holds."))
    assert made == verdict and ("another average" in text) == (headline != found)


@pytest.mark.parametrize("approach", APPROACHES)
def test_every_check_works_for_every_approach(approach):
    frame = panel(starts=(4, 5, np.inf), periods=6)
    study = study_of(
        frame.assign(y=frame["y"] + (since(frame) >= 0)), approach=approach, expected_lag=1, event_window=NEAR
    )
    made = {check.__name__: check(study) for check in CHECKS}
    for found in made.values():
        assert found.text and "nan" not in found.text.lower(), found
        assert found.assumption in [held.name for held in method_of(study.design).assumptions]
        if found.picture:
            qe.plot(found)
    if approach in ("stacked", "poisson"):
        qe.plot(made["bounds_by_size"]).draw()
    assert made["pretended_starts"].table["estimate"].notna().all()
    assert made["bounds_by_size"].table["conf_low"].notna().all()


@pytest.mark.parametrize(
    ("frame", "fields"),
    [
        (panel(starts=(2, np.inf), periods=4), {}),
        (panel(starts=(4, np.inf), per_cohort=2, periods=6), {}),
        (panel(starts=(4, 5, np.inf), periods=7), {"data": "repeated cross-sections"}),
        (panel(starts=(4, 5, 6), periods=7), {"control_group": "not yet"}),
        (panel(starts=(5, 6, np.inf)).sample(frac=0.9, random_state=1), {"unbalanced": "drop"}),
        (panel(starts=(5, 6, np.inf)), {"anticipation": 1}),
    ],
    ids=["one period before", "few clusters", "cross-sections", "nobody never", "drop", "anticipation"],
)
def test_every_check_works_for_odd_data(frame, fields):
    study = study_of(frame, event_window=NEAR, **fields)
    verdicts = {check.__name__: check(study) for check in CHECKS}
    assert all("nan" not in found.text.lower() for found in verdicts.values())
    if frame["time"].max() == 4:
        named = ("trends_before_start", "power_of_test", "bounds_by_size", "pretended_starts")
        assert all(verdicts[name].verdict == "information" for name in named)
    if frame["unit"].nunique() == 4:
        assert "few clusters" in verdicts["trends_before_start"].text


@pytest.mark.skipif(
    not (SHARED / "reference" / "did.json").is_file(),
    reason="the shared reference numbers are not beside the repository",
)
def test_minimum_wage_against_r():
    held = json.loads((SHARED / "reference" / "did.json").read_text(encoding="utf-8"))
    case = next(case for case in held["cases"] if case["id"] == "mpdta_honest_cs_average")["expected"]
    frame = pd.read_csv(SHARED / "data" / "did_mpdta.csv")
    names = {"outcome": "lemp", "unit": "countyreal", "time": "year", "first_treated": "first.treat"}
    study = study_of(frame, **names)
    table = bounds_by_size(study).table
    table = table[table["target"] == table["target"].iloc[0]]
    usual = table[table["which"] == "trends parallel"].iloc[0]
    assert usual["conf_low"] == pytest.approx(case["original"]["lb"], abs=1e-8)
    assert usual["conf_high"] == pytest.approx(case["original"]["ub"], abs=1e-8)
    bounds = case["relative_magnitudes"]
    allowed = table[table["which"] != "trends parallel"]
    for row, low, high in zip(allowed.itertuples(), bounds["lb"], bounds["ub"], strict=True):
        assert (row.conf_low, row.conf_high) == pytest.approx((low, high), abs=0.03 * (high - low))
    assert "W = 7.79" in trends_before_start(study).text
