"""Checks of comparisons and data of roll-outs: each raises its voice in a made situation and keeps quiet in
another."""

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest

import qieval as qe
from qieval.diagnostics import (
    rollout_before,
    rollout_clusters,
    rollout_comparisons,
    rollout_design,
    rollout_detectable,
    rollout_leave_out,
    rollout_overlap,
    rollout_spillover,
    rollout_timing,
    rollout_units,
)
from qieval.methods.staggered_adoption import ASSUMPTIONS, StaggeredAdoption, blind, estimate, parse
from qieval.result import Study

CHECKS = (
    rollout_comparisons.two_by_two_comparisons,
    rollout_comparisons.other_approaches,
    rollout_units.composition,
    rollout_units.same_cohorts_throughout,
    rollout_spillover.covariates_as_outcomes,
    rollout_spillover.spillover_zones,
    rollout_overlap.overlap,
    rollout_leave_out.leave_one_cohort_out,
    rollout_leave_out.leave_one_cluster_out,
    rollout_clusters.enough_clusters,
    rollout_timing.order_of_the_roll_out,
)
DESIGN_CHECKS = (
    rollout_design.cohorts_and_periods,
    rollout_design.missing_values,
    rollout_design.rows_left_out,
    rollout_before.balance_before,
    rollout_before.trends_before,
    rollout_timing.order_before,
    rollout_clusters.clusters_by_cohort,
    rollout_detectable.minimum_detectable_effect,
)
PERIODS = 10


def panel(
    began=(5, 7, 0), each: int = 12, seed: int = 1, growth: float = 0.0, noise: float = 0.3
) -> pd.DataFrame:
    """Units of each cohort over ten periods, with an effect of 1 that may grow."""
    rng = np.random.default_rng(seed)
    n = each * len(began)
    unit, time = np.divmod(np.arange(n * PERIODS), PERIODS)
    start = np.repeat(began, each)[unit]
    since = time + 1 - start
    effect = np.where((start > 0) & (since >= 0), 1.0 + growth * since, 0.0)
    y = 10 + rng.normal(0, 1, n)[unit] + 0.1 * time + effect + rng.normal(0, noise, len(unit))
    return pd.DataFrame({"unit": unit, "time": time + 1, "began": start, "y": y})


def design(**fields) -> StaggeredAdoption:
    given = {
        "outcome": "y",
        "unit": "unit",
        "time": "time",
        "first_treated": "began",
        "inference": "analytic",
    }
    return StaggeredAdoption(**{**given, "units_are": "organisations", **fields})


def study(frame: pd.DataFrame, **fields) -> Study:
    stated = design(**fields)
    return Study(estimate(stated, frame), frame, parse(stated, frame), partial(estimate, brief=True))


def before(check, frame: pd.DataFrame, **fields):
    stated = design(**fields)
    return check(stated, blind(stated, frame))


# Comparisons


def two_way_by_hand(data: pd.DataFrame) -> float:
    """The coefficient of treatment with a dummy for each unit and period, by least squares."""
    treated = ((data["began"] > 0) & (data["time"] >= data["began"])).to_numpy(dtype=float)
    dummies = pd.get_dummies(data[["unit", "time"]].astype(str)).to_numpy(dtype=float)
    return float(np.linalg.lstsq(np.column_stack([treated, dummies]), data["y"], rcond=None)[0][0])


def test_comparisons_add_up_to_the_two_way_regression():
    data = panel(growth=0.5)
    check = rollout_comparisons.two_by_two_comparisons(study(data))
    table = check.table
    assert check.verdict == "supports"
    assert table["weight"].sum() == pytest.approx(1)
    assert (table["weight"] * table["estimate"]).sum() == pytest.approx(two_way_by_hand(data))
    later = table[table["kind"].str.startswith("later")]
    assert f"{later['weight'].sum():.0%} of its weight" in check.text


def test_only_the_two_way_regression_of_several_starts_is_a_concern():
    assert rollout_comparisons.two_by_two_comparisons(study(panel(), approach="two-way")).verdict == "concern"
    one = rollout_comparisons.two_by_two_comparisons(study(panel((5, 0)), approach="two-way"))
    assert one.verdict == "supports" and "none of its weight" in one.text


def test_rates_of_eligible_units_are_taken_apart():
    data = panel(each=14).assign(able=lambda held: held["unit"] % 2)
    check = rollout_comparisons.two_by_two_comparisons(study(data, eligible="able"))
    chosen = data[data["able"] == 1]
    assert (check.table["weight"] * check.table["estimate"]).sum() == pytest.approx(two_way_by_hand(chosen))


def test_other_approaches_are_those_estimated_alone():
    data = panel(growth=0.5)
    check = rollout_comparisons.other_approaches(study(data))
    table = check.table.set_index("label")["estimate"]
    alone = estimate(design(approach="imputation"), data).estimates["estimate"].iloc[0]
    assert table["imputation"] == pytest.approx(alone)
    assert table["two-way regression"] == pytest.approx(two_way_by_hand(data))
    assert "group-time, never-treated units compared" not in table  # as designed already


# Composition


def test_a_whole_panel_is_supported_and_gaps_show_each_rule():
    assert rollout_units.composition(study(panel())).verdict == "supports"
    data = panel().iloc[np.r_[0:60, 63:360]]
    check = rollout_units.composition(study(data))
    table = check.table.set_index(check.table["label"].str.split(":").str[0])
    assert table["rows_used"].to_dict() == {"pairs": 357, "drop": 350, "cross-sections": 357}
    assert table["share_lost"]["drop"] == pytest.approx(7 / 357)
    alone = estimate(design(unbalanced="drop"), data).estimates["estimate"].iloc[0]
    assert table["estimate"]["drop"] == pytest.approx(alone)


def test_who_is_observed_matters_when_those_who_leave_gain_most():
    data = panel(each=20)
    leavers = (data["unit"] % 4 == 0) & (data["began"] > 0)
    data.loc[leavers & (data["time"] >= data["began"]), "y"] += 4
    data = data[~(leavers & (data["time"] == 1))]
    check = rollout_units.composition(study(data))
    assert check.verdict == "concern" and "who is counted matters" in check.text


def test_a_change_of_cohorts_over_time_is_noticed():
    data = panel((4, 9, 0), each=20)
    late = (data["began"] == 9) & (data["time"] >= 9)
    assert rollout_units.same_cohorts_throughout(study(data)).verdict == "supports"
    data.loc[late, "y"] += 5
    check = rollout_units.same_cohorts_throughout(study(data))
    row = check.table.iloc[0]
    assert check.verdict == "concern"
    assert row["all_cohorts"] - row["same_cohorts"] == pytest.approx(2.5, abs=0.3)
    assert rollout_units.same_cohorts_throughout(study(panel((5, 0)))).verdict == "supports"


def test_a_covariate_that_moves_with_the_start_is_noticed():
    data = panel(each=20)
    rng = np.random.default_rng(2)
    data["age"] = rng.normal(60, 1, len(data))
    quiet = rollout_spillover.covariates_as_outcomes(study(data, covariates=("age",)))
    assert quiet.verdict == "supports"
    data["age"] += 2.0 * ((data["began"] > 0) & (data["time"] >= data["began"]))
    assert rollout_spillover.covariates_as_outcomes(study(data, covariates=("age",))).verdict == "concern"
    fixed = data.assign(size=data["unit"] % 5)
    assert rollout_spillover.covariates_as_outcomes(study(fixed, covariates=("size",))).table is None


# Overlap and spillover


def test_overlap_counts_comparison_units():
    check = rollout_overlap.overlap(study(panel()))
    assert check.verdict == "information" and "Without covariates" in check.text
    assert list(check.table["comparison_units_at_least"]) == [12, 12]
    few = panel()
    few = few[(few["began"] > 0) | (few["unit"] >= 32)]
    assert rollout_overlap.overlap(study(few)).verdict == "concern"
    by_rows = rollout_overlap.overlap(study(panel(), approach="two-way"))
    assert list(by_rows.table["comparison_units_at_least"]) == [12, 12]


def test_overlap_sees_that_a_covariate_tells_them_apart():
    data = panel(each=30)
    rng = np.random.default_rng(3)
    data["x"] = (rng.normal(0, 1, 90) + 2.5 * (np.arange(90) < 60))[data["unit"]]
    check = rollout_overlap.overlap(study(data, covariates=("x",)))
    assert check.verdict == "concern"
    assert (check.table["effective_units_at_least"] < 30).all()


@pytest.mark.parametrize(
    "fields",
    [
        {"estimator": "regression"},
        {"approach": "imputation"},
        {"approach": "two-way"},
        {"approach": "stacked"},
    ],
    ids=["regression", "imputation", "two-way", "stacked"],
)
def test_overlap_is_examined_where_an_approach_extrapolates(fields):
    data = panel(each=40)
    drawn = np.random.default_rng(5).uniform(0, 1, 120)
    ever = np.arange(120) < 80
    alike = rollout_overlap.overlap(study(data.assign(x=drawn[data["unit"]]), covariates=("x",), **fields))
    assert alike.verdict in ("supports", "information")
    apart = data.assign(x=(drawn + 5 * ever)[data["unit"]])
    check = rollout_overlap.overlap(study(apart, covariates=("x",), **fields))
    assert check.verdict == "concern" and "extrapolation" in check.text and "nan" not in check.text


def test_shares_outside_ranges_by_hand():
    data = panel((5, 7, 0), each=10)
    values = np.r_[np.arange(10) - 3.0, np.linspace(0, 9, 10), np.arange(10)]
    held = study(data.assign(x=values[data["unit"]]), covariates=("x",), approach="imputation")
    check = rollout_overlap.overlap(held)
    assert check.table["share_outside_range"].tolist() == pytest.approx([0.3, 0.0])
    assert check.verdict == "concern" and "30% of those that began" in check.text
    people = study(
        data.assign(x=values[data["unit"]]).query("unit != 0"),
        covariates=("x",),
        approach="imputation",
        units_are="people",
    )
    hidden = rollout_overlap.overlap(people)
    assert (
        hidden.table["share_outside_range"].isna().tolist() == [True, False]
        and "some of those" in hidden.text
    )


def test_counts_of_people_are_marked_as_such():
    held = rollout_overlap.overlap(study(panel(), units_are="people")).table["treated_units"].iloc[0]
    assert type(held).__name__ == "Count"
    shown = before(rollout_before.balance_before, panel(each=6), units_are="people").table
    assert shown[["cohort_mean", "standardised_difference"]].isna().all().all()


def test_exclusion_zones_are_estimated_again():
    data = panel().assign(miles=lambda held: np.where(held["began"] > 0, np.nan, held["unit"] % 6))
    check = rollout_spillover.spillover_zones(study(data, distance="miles", exclusion=1.0))
    table = check.table.set_index("label")["estimate"]
    alone = estimate(design(), data).estimates["estimate"].iloc[0]
    assert check.verdict == "information" and table["no zone"] == pytest.approx(alone)
    assert "nearer than 2 left out" in table
    assert rollout_spillover.spillover_zones(study(panel())).table is None


# One cohort or cluster


def test_leaving_out_a_cohort_is_estimating_without_it():
    data = panel((5, 6, 7, 0))
    check = rollout_leave_out.leave_one_cohort_out(study(data))
    table = check.table.set_index("label")["estimate"]
    alone = estimate(design(), data[data["began"] != 6]).estimates["estimate"].iloc[0]
    assert table["without those that began 6"] == pytest.approx(alone)
    assert len(table) == 3


def test_one_unit_that_decides_is_found_by_its_influence(monkeypatch):
    data = panel(each=20)
    data.loc[(data["unit"] == 7) & (data["time"] >= data["began"]), "y"] -= 60
    monkeypatch.setattr(rollout_leave_out, "MOST_CLUSTERS", 3)
    check = rollout_leave_out.leave_one_cluster_out(study(data))
    assert check.verdict == "concern" and check.table["label"].iloc[0] == "without 7"
    assert "largest influence" in check.text
    quiet = rollout_leave_out.leave_one_cluster_out(study(panel(each=20)))
    assert quiet.verdict == "supports"


def test_people_are_not_named():
    data = panel(each=8).assign(unit=lambda held: "person " + held["unit"].astype(str))
    check = rollout_leave_out.leave_one_cluster_out(study(data, units_are="people"))
    assert not check.table["label"].str.contains("person").any()


# Clusters


def test_few_clusters_are_a_concern_for_an_analytic_interval_only():
    data = panel()
    analytic = rollout_clusters.enough_clusters(study(data))
    assert analytic.verdict == "concern" and "jackknife over clusters" in set(analytic.table["label"])
    jackknife = rollout_clusters.enough_clusters(study(data, inference="cluster jackknife"))
    assert jackknife.verdict == "information"
    assert rollout_clusters.enough_clusters(study(panel(each=30))).verdict == "supports"


def test_clusters_are_counted_by_cohort():
    data = panel(each=4).assign(place=lambda held: held["unit"] // 2)
    check = before(rollout_clusters.clusters_by_cohort, data, cluster="place")
    assert list(check.table["clusters"]) == [2, 2, 2] and check.verdict == "concern"


# Order


def test_the_order_follows_what_was_so_before():
    data = panel((5, 7, 9), each=15)
    assert before(rollout_timing.order_before, data, control_group="not yet").verdict == "supports"
    worse = data.assign(y=data["y"] + 2.0 * (data["began"] == 5))
    check = before(rollout_timing.order_before, worse, control_group="not yet")
    table = check.table.set_index("characteristic")
    assert check.verdict == "concern"
    assert table.loc["level of the outcome before the roll-out", "rank_correlation"] < -0.3


def test_the_order_by_covariates_that_are_adjusted_for_is_information():
    data = panel((5, 7, 9), each=15).assign(size=lambda held: held["began"] + held["unit"] % 3)
    check = before(rollout_timing.order_before, data, control_group="not yet", covariates=("size",))
    assert check.verdict == "information" and "size (later where it is high)" in check.text


def test_both_times_of_asking_about_the_order_agree():
    data = panel()
    one, other = (
        rollout_timing.order_of_the_roll_out(study(data)),
        before(rollout_timing.order_before, data),
    )
    assert one.text == other.text
    pd.testing.assert_frame_equal(one.table, other.table)


# Before the roll-out


def test_cohorts_missing_values_and_rows():
    data = panel()
    table = before(rollout_design.cohorts_and_periods, data).table
    assert list(table["periods_before"]) == [4, 6, 10] and list(table["periods_from_start"]) == [6, 4, 0]
    assert before(rollout_design.missing_values, data).verdict == "supports"
    gaps = data[~((data["unit"] < 6) & (data["time"] > 8))]
    found = before(rollout_design.missing_values, gaps).table
    assert found["share_of_cells_without_rows"].tolist() == pytest.approx([0.1, 0, 0])
    rows = before(rollout_design.rows_left_out, gaps)
    assert (
        rows.verdict == "information"
        and f"'drop' (only units seen in every period) {300 / 348:.1%}" in rows.text
    )


def test_standardised_differences_by_hand():
    data = panel()
    early = data[data["time"] < 5].groupby(["began", "unit"])["y"].mean()
    one, none = early.loc[7], early.loc[0]
    wanted = (one.mean() - none.mean()) / np.sqrt((one.var() + none.var()) / 2)
    table = before(rollout_before.balance_before, data).table.set_index("cohort")
    assert table.loc["began 7", "standardised_difference"] == pytest.approx(wanted)


def test_trends_that_part_before_the_roll_out_are_a_concern():
    data = panel((6, 8, 0))
    assert before(rollout_before.trends_before, data).verdict == "information"
    data["y"] += 0.5 * data["time"] * (data["began"] == 8)
    check = before(rollout_before.trends_before, data)
    assert check.verdict == "concern" and "began 8" in check.text
    means = data[data["time"] < 6].groupby(["began", "time"])["y"].mean()
    shown = check.table.set_index(["group", "time"])["observed"]
    assert shown["began 8", 3] == pytest.approx(means.loc[8, 3])


def test_courses_of_few_people_are_blank_period_by_period():
    data = panel((6, 8, 0))
    thin = data[~((data["began"] == 8) & (data["time"] == 3) & (data["unit"] % 12 > 2))]
    shown = before(rollout_before.trends_before, thin, units_are="people").table.set_index(["group", "time"])
    assert shown["observed"].isna().sum() == 1 and np.isnan(shown["observed"]["began 8", 3])
    open_ = before(rollout_before.trends_before, thin).table.set_index(["group", "time"])["observed"]
    assert open_.notna().all()


def test_the_detectable_effect_shrinks_with_the_number_of_units():
    def half(check) -> float:
        table = check.table
        return float(np.interp(0.5, table["power"], table["effect"]))

    small = before(rollout_detectable.minimum_detectable_effect, panel((6, 8, 0), each=10))
    large = before(rollout_detectable.minimum_detectable_effect, panel((6, 8, 0), each=40))
    assert half(small) / half(large) == pytest.approx(2, rel=0.35)
    short = before(rollout_detectable.minimum_detectable_effect, panel((2, 8, 0)))
    assert short.verdict == "information" and short.table is None


def test_a_large_roll_out_is_sampled_and_scaled(monkeypatch):
    data = panel((6, 8, 0), each=40)
    whole = before(rollout_detectable.minimum_detectable_effect, data).table
    monkeypatch.setattr(rollout_detectable, "MOST_GROUPS", 60)
    part = before(rollout_detectable.minimum_detectable_effect, data)
    halves = [np.interp(0.5, table["power"], table["effect"]) for table in (whole, part.table)]
    assert halves[1] == pytest.approx(halves[0], rel=0.3) and "120 clusters" in part.text


# Everywhere


def crossed() -> tuple[pd.DataFrame, dict]:
    data = panel(each=8).assign(place=lambda held: held["unit"], unit=lambda held: np.arange(len(held)))
    return data, {"data": "repeated cross-sections", "cluster": "place"}


def situations() -> dict[str, tuple[pd.DataFrame, dict]]:
    data = panel(each=8)
    counts = data.assign(y=np.random.default_rng(1).poisson(20, len(data)), people=100.0 + data["unit"])
    return {
        **{each: (data, {"approach": each}) for each in ("interaction-weighted", "imputation", "stacked")},
        "poisson": (counts, {"approach": "poisson", "exposure": "people"}),
        "poisson two-way": (counts, {"approach": "poisson two-way", "exposure": "people"}),
        "cross-sections": crossed(),
        "one period before": (panel((2, 6, 0), each=8), {}),
        "one start": (panel((5, 0)), {}),
        "nobody never": (panel((5, 7, 9), each=8), {"control_group": "not yet", "anticipation": 1}),
        "few clusters": (data.assign(place=data["unit"] // 4), {"cluster": "place"}),
        "lone cohort": (data[(data["began"] != 7) | (data["unit"] == 8)], {}),
        "weights": (data.assign(size=1.0 + data["unit"] % 3), {"weights": "size"}),
        "gaps": (data.sample(frac=0.9, random_state=1), {}),
        "gaps as cross-sections": (data.sample(frac=0.9, random_state=1), {"unbalanced": "cross-sections"}),
    }


@pytest.mark.parametrize("name", list(situations()))
def test_every_check_works_or_says_why_not(name, monkeypatch):
    monkeypatch.setattr(rollout_leave_out, "MOST_CLUSTERS", 2)
    monkeypatch.setattr(rollout_leave_out, "MOST_SLOW", 2)
    monkeypatch.setattr(rollout_clusters, "MOST_JACKKNIFED", 7)
    frame, fields = situations()[name]
    held = study(frame, **fields)
    made = [check(held) for check in CHECKS]
    made += [before(check, frame, **fields) for check in DESIGN_CHECKS]
    for check in made:
        assert check.text.endswith(".") and "nan" not in check.text.lower().split()
        assert check.table is not None or check.picture is None


@pytest.mark.parametrize("began", [(5, 7, 0), (3, 4, 5, 6, 7, 8, 9, 0)], ids=["few cohorts", "many cohorts"])
def test_every_picture_has_title_axes_and_caption(began):
    frame = panel(began, each=8)
    held = study(frame)
    made = [rollout_comparisons.two_by_two_comparisons(held), rollout_units.same_cohorts_throughout(held)]
    made += [before(check, frame) for check in DESIGN_CHECKS]
    drawn = [qe.plot(check) for check in made if check.picture and check.name != "minimum detectable effect"]
    assert len(drawn) == 6
    for picture in drawn:
        assert picture.labels.title and picture.labels.x is not None and picture.labels.caption
    drawn[0].draw(show=False)


def test_assumptions_are_those_of_the_method():
    held = study(panel((5, 7, 0), each=4))
    assert {check(held).assumption for check in CHECKS} <= {each.name for each in ASSUMPTIONS}


def test_a_changed_design_is_only_looked_at():
    held = study(panel())
    stated = held.design
    rollout_comparisons.other_approaches(held)
    assert held.design == replace(stated)
