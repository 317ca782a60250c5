"""The checks of a regression discontinuity: each against the estimate it repeats, or against brute force."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import qieval as qe
from qieval.data.simulate_natural import simulate_birth_weight, simulate_cutoff
from qieval.diagnostics import (
    cutoff_alike,
    cutoff_choices,
    cutoff_density,
    cutoff_heaping,
    cutoff_intervals,
    cutoff_local,
    cutoff_placebo,
    cutoff_reach,
    cutoff_uptake,
)
from qieval.diagnostics.cutoff_rows import agreement, conclusion, holm, row_of
from qieval.discontinuous.local import fit
from qieval.discontinuous.ways import lot_window
from qieval.errors import EstimationError
from qieval.methods.regression_discontinuity import estimate, parse
from qieval.reports.disclosure import SuppressionRule, suppress_frame
from qieval.result import Study
from qieval.text import Counted

MONTHS = qe.RegressionDiscontinuity(
    outcome="cost",
    score="age_months",
    cutoff=780,
    treated_side="at or above",
    received="health_check",
    covariates=("female", "conditions"),
    negative_controls=("eye_test",),
    cluster="practice",
    inference="robust",
    draws=199,
)
SHARP = replace(MONTHS, received=None, cluster=None)
WEIGHTS = qe.RegressionDiscontinuity(
    outcome="died", score="birth_weight", cutoff=1500, treated_side="below", covariates=("twin", "gestation")
)


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    return simulate_cutoff(3000, seed=3).frame


@pytest.fixture(scope="module")
def checks(people) -> qe.Checks:
    return qe.diagnose(qe.estimate(MONTHS, people), people)


@pytest.fixture(scope="module")
def newborns() -> pd.DataFrame:
    return simulate_birth_weight(8000, seed=4).frame


def study(design: qe.RegressionDiscontinuity, data: pd.DataFrame) -> Study:
    return Study(estimate(design, data), data, parse(design, data), estimate)


def robust(design: qe.RegressionDiscontinuity, data: pd.DataFrame) -> pd.Series:
    """The robust row of another design."""
    return qe.estimate(design, data).estimates.set_index("term").loc["difference, robust"]


def same(row: pd.Series, other: pd.Series) -> None:
    names = ["estimate", "conf_low", "conf_high"]
    np.testing.assert_allclose(row[names].astype(float), other[names].astype(float), rtol=1e-9)


def test_holm_is_the_step_down_rule():
    rng = np.random.default_rng(1)
    p = rng.random(7)
    ordered = sorted(range(7), key=lambda at: p[at])
    brute = np.empty(7)
    for rank, at in enumerate(ordered):
        brute[at] = min(1, max((7 - r) * p[ordered[r]] for r in range(rank + 1)))
    np.testing.assert_allclose(holm(p), brute)
    np.testing.assert_array_equal(np.isnan(holm([0.2, np.nan])), [False, True])


@pytest.mark.parametrize(
    ("rows", "verdict"),
    [
        ([(1, 0.5, 1.5), (1.1, 0.4, 1.9)], "supports"),
        ([(1, 0.5, 1.5), (0.9, -0.2, 2.0)], "information"),
        ([(1, 0.5, 1.5), (0.2, -0.4, 0.8)], "concern"),
        ([(-1, -1.5, 0.5), (0.1, -2, 2.2), (3, 0.5, 4)], "concern"),
        ([(1, 0.5, 1.5), (np.nan, np.nan, np.nan)], "information"),
        ([(0.1, -1, 1.2), (0.2, -1, 1.4)], "supports"),
        ([(0.1, -1, 1.2), (0.9, -1, 2.8)], "information"),
    ],
)
def test_agreement_of_estimates(rows, verdict):
    table = pd.DataFrame(rows, columns=["estimate", "conf_low", "conf_high"])
    assert agreement(table, 0.95) == verdict


def test_uptake_on_both_sides_is_that_of_the_fit(people, checks):
    check = checks["who received it"]
    table = check.table.set_index("label")
    with_covariates = qe.estimate(MONTHS, people).estimates.set_index("term").loc["jump of what was received"]
    same(table.loc["jump in uptake"], with_covariates)
    sides = table.loc["treated side", "estimate"] - table.loc["other side", "estimate"]
    assert sides == pytest.approx(table.loc["jump in uptake", "estimate"])
    assert check.verdict == "supports"


def test_a_small_jump_in_uptake_is_a_concern():
    data = simulate_cutoff(4000, uptake=(0.3, 0.45), seed=5).frame
    found = study(replace(MONTHS, covariates=(), negative_controls=()), data)
    assert 4 < found.facts["effective F of the jump in who received it"] < 10
    check = cutoff_uptake.who_received(found)
    assert check.verdict == "concern" and "Anderson-Rubin" in check.text


def test_without_the_column_nobody_knows_who_received_it(people):
    check = cutoff_uptake.who_received(study(SHARP, people))
    assert check.verdict == "information" and "received" in check.text


def test_uptake_against_the_rule_in_some_people_is_seen(people):
    data = people.assign(
        health_check=np.where(
            (people["female"] == 1) & (np.arange(len(people)) % 5 > 0),
            (people["age_months"] < 780).astype(int),
            (people["age_months"] >= 780).astype(int),
        )
    )
    data = pd.concat([data, data[data["female"] == 0]] * 2, ignore_index=True)
    held = study(replace(MONTHS, cluster=None), pd.concat([data, data[data["female"] == 0]]))
    check = cutoff_uptake.moved_the_other_way(held)
    assert check.verdict == "concern" and "female: yes" in check.text


def test_density_and_counts_see_people_who_chose_their_side(people):
    clean = qe.design_checks(MONTHS, people)
    sorted_ = qe.design_checks(MONTHS, simulate_cutoff(12_000, sorting=0.9, seed=2).frame)
    assert clean["counts beside the cutoff"].verdict == "supports"
    assert clean["density at the cutoff"].verdict != "concern"
    assert sorted_["counts beside the cutoff"].verdict == "concern"


def test_counts_hold_as_many_different_scores_on_either_side(people):
    table = qe.design_checks(MONTHS, people)["counts beside the cutoff"].table
    age = people["age_months"].to_numpy()
    for row in table.itertuples():
        below = int(((age < 780) & (age >= 780 - row.reach_below)).sum())
        above = int(((age >= 780) & (age <= 780 + row.reach_above)).sum())
        assert (below, above) == (row.people_below, row.people_above)
        assert row.reach_above == row.reach_below - 1
        assert row.p_value == pytest.approx(stats.binomtest(below, below + above).pvalue)


def test_below_and_above_are_those_of_the_score_whichever_side_is_treated(people):
    one = qe.design_checks(MONTHS, people)["density at the cutoff"].table
    turned = replace(MONTHS, score="minus", cutoff=-780, treated_side="at or below")
    other = qe.design_checks(turned, people.assign(minus=-people["age_months"]))[
        "density at the cutoff"
    ].table
    np.testing.assert_allclose(one["density_below"], other["density_above"], rtol=1e-9)
    np.testing.assert_allclose(one["difference"], -other["difference"], rtol=1e-6)
    assert one["people_below"].tolist() == other["people_above"].tolist()


def test_heaps_are_found_and_left_out(newborns):
    found = study(WEIGHTS, newborns)
    assert cutoff_heaping.heaps_within(found).verdict == "concern"
    rows = cutoff_heaping.without_heaps(found).table.set_index("label")
    donut = qe.estimate(replace(WEIGHTS, leave_out=(1500,)), newborns)
    same(rows.loc["without those at 1,500"], donut.estimates.set_index("term").loc["risk difference, robust"])
    who = cutoff_heaping.heapers(WEIGHTS, found.panel).table.set_index("label")
    assert who.loc["died", "p_value_holm"] < 0.05
    assert "died" not in qe.design_checks(WEIGHTS, newborns)["who is at round scores"].text
    assert qe.design_checks(WEIGHTS, newborns)["heaping of the score"].verdict == "concern"


def test_without_rounding_there_is_no_heap():
    data = simulate_birth_weight(8000, heaping=0.0, seed=4).frame
    found = qe.design_checks(WEIGHTS, data)
    assert found["heaping of the score"].verdict == "supports"
    assert found["who is at round scores"].verdict == "information"


def test_the_heap_table_counts_people(newborns):
    table = qe.design_checks(WEIGHTS, newborns)["heaping of the score"].table.set_index("scores")
    assert table.loc["at 1,500", "people"] == (newborns["birth_weight"] == 1500).sum()


def test_covariates_are_outcomes_of_the_same_design(people, checks):
    table = checks["covariates at the cutoff"].table.set_index("label")
    for name in ("female", "conditions"):
        plain = replace(MONTHS, outcome=name, received=None, covariates=(), negative_controls=())
        other = qe.estimate(plain, people).estimates
        same(table.loc[name], other[other["term"].str.endswith("difference, robust")].iloc[0])
        spread = people[name].std(ddof=0)
        assert table.loc[name, "sd_low"] == pytest.approx(table.loc[name, "conf_low"] / spread)
    before = qe.design_checks(MONTHS, people)["covariates at the cutoff"].table
    pd.testing.assert_frame_equal(before, checks["covariates at the cutoff"].table)


def test_a_covariate_that_jumps_is_a_concern(people):
    data = people.assign(conditions=people["conditions"] + (people["age_months"] >= 780))
    check = qe.design_checks(MONTHS, data)["covariates at the cutoff"]
    assert check.verdict == "concern" and "conditions" in check.text


def test_covariates_of_a_score_in_whole_years_use_the_nearest_scores(people):
    design = replace(MONTHS, score="age_years", cutoff=65)
    table = qe.design_checks(design, people)["covariates at the cutoff"].table
    assert table["estimate"].notna().all() and (table["bandwidth"] == 4).all()


def test_placebo_outcomes(people, checks):
    row = checks["placebo outcomes"].table.iloc[0]
    design = replace(MONTHS, outcome="eye_test", received=None, negative_controls=())
    same(row, qe.estimate(design, people).estimates.set_index("term").loc["risk difference, robust"])
    moved = people.assign(eye_test=people["eye_test"] + 2 * (people["age_months"] >= 780))
    assert cutoff_alike.placebo_outcomes(study(MONTHS, moved)).verdict == "concern"


def test_adjustment_beside_none(people, checks):
    rows = checks["with and without covariates"].table.set_index("label")
    same(rows.loc["without covariates"], robust(replace(MONTHS, covariates=()), people))


def test_placebo_cutoffs_see_one_side_only(people):
    made = parse(MONTHS, people)
    moved = people.assign(cost=people["cost"] + 5000.0 * (people["age_months"] >= 780))
    tables = [cutoff_placebo.placebo_cutoffs(study(MONTHS, data)).table for data in (people, moved)]
    for (label, side, at), one, other in zip(
        cutoff_placebo.placebo_places(made), *(table.iloc[1:].itertuples() for table in tables), strict=True
    ):
        assert label == one.label and (at < 0) == bool((made.s[side] < 0).all())
        assert one.estimate == pytest.approx(other.estimate, rel=1e-6)
        found = fit(SHARP, made, rows=side, cutoff=at, parts=("covariates",), variance="cr1")
        assert one.estimate == pytest.approx(row_of("", found, 1)["estimate"], rel=1e-9)


def test_a_bend_at_a_placebo_cutoff_is_a_concern(people):
    place = cutoff_placebo.placebo_places(parse(SHARP, people))[-1][2] + 780
    jumpy = people.assign(cost=people["cost"] + 3000.0 * (people["age_months"] >= place))
    assert cutoff_placebo.placebo_cutoffs(study(SHARP, jumpy)).verdict == "concern"


def test_holes_are_donuts(people, checks):
    table = checks["holes around the cutoff"].table
    for row in table.iloc[[1, 2]].itertuples():
        other = robust(replace(MONTHS, donut=row.at), people)
        assert row.estimate == pytest.approx(other["estimate"], rel=1e-9)


def test_bandwidths_orders_kernels_and_rules_are_those_of_the_design(people, checks):
    width, wide = (
        held[0]
        for held in (study(MONTHS, people).result.kernel.fit.h, study(MONTHS, people).result.kernel.fit.b)
    )
    half = replace(MONTHS, bandwidth=(0.5 * width,), bias_bandwidth=(0.5 * wide,))
    same(checks["bandwidth"].table.set_index("times").loc[0.5], robust(half, people))
    rows = checks["order and kernel"].table.set_index("label")
    same(rows.loc["curves (order 2)"], robust(replace(MONTHS, order=2), people))
    same(rows.loc["uniform kernel"], robust(replace(MONTHS, kernel="uniform"), people))
    rules = checks["rule for the bandwidth"].table.set_index("label")
    same(rules.loc["certwo"], robust(replace(MONTHS, bandwidth_rule="certwo"), people))


def test_rules_for_the_bandwidth_say_when_none_can_be_chosen(people):
    design = replace(MONTHS, score="age_years", cutoff=65, covariates=())
    table = cutoff_choices.selectors(study(design, people)).table
    assert table["estimate"].notna().sum() == 1 and table["note"].iloc[1]


def test_ways_to_say_how_sure_are_the_headlines_of_other_designs(people, checks):
    free = replace(MONTHS, cluster=None)
    check = cutoff_intervals.ways_to_say_how_sure(study(free, people))
    rows = check.table.set_index("label")
    for label in ("honest", "local randomisation"):
        other = qe.estimate(replace(free, inference=label), people).estimates.iloc[0]
        assert other["term"] == f"difference, {label}"
        same(rows.loc[label], other)
    concluded = {conclusion(row) for _, row in rows.iterrows()}
    if concluded == {0}:
        assert check.verdict != "concern" and "precise" in check.text
    else:
        assert check.verdict == ("supports" if len(concluded) == 1 else "concern")
    clustered = checks["ways to say how sure"].table.set_index("label")
    assert "both sides" in clustered.loc["local randomisation", "note"]


def test_anderson_rubin_ends_are_where_the_reduced_jump_vanishes(people, checks):
    row = checks["ways to say how sure"].table.set_index("label").loc["Anderson-Rubin"]
    held = study(MONTHS, people).result.kernel.fit.sides
    for end in (row["conf_low"], row["conf_high"]):
        contrast = np.array([1.0, -end])
        z = contrast @ held.corrected_jump / np.sqrt(contrast @ held.robust_covariance @ contrast)
        assert abs(z) == pytest.approx(stats.norm.ppf(0.975), rel=1e-8)


def test_the_breakdown_is_where_the_interval_meets_no_effect(newborns):
    data = newborns[newborns["birth_weight"] % 100 != 0].assign(
        died=lambda t: t["died"] - 0.2 * (t["birth_weight"] < 1500)
    )
    design = replace(WEIGHTS, covariates=(), inference="honest")
    check = cutoff_intervals.smoothness(study(design, data))
    limit = float(check.text.split("Up to ")[1].split(" ")[0])
    width = qe.estimate(design, data).kernel.way.held.h
    design = replace(design, bandwidth=(width,))
    for factor, clear in ((0.97, True), (1.03, False)):
        row = qe.estimate(replace(design, smoothness=limit * factor), data).estimates.iloc[0]
        assert bool(row["conf_high"] < 0) is clear
    assert check.verdict == "supports"


def test_hidden_bias_at_gamma_one_is_the_test_itself(people):
    design = replace(SHARP, covariates=(), window=6.0)
    data = people.assign(cost=people["cost"] + 300.0 * (people["age_months"] >= 780))
    table = cutoff_intervals.hidden_bias(study(design, data)).table
    near = data[(data["age_months"] - 780).abs() <= 6]
    right = near["age_months"] >= 780
    p = stats.ranksums(near.loc[right, "cost"], near.loc[~right, "cost"]).pvalue
    assert table["p_value_at_most"][0] == pytest.approx(p, abs=0.03)
    assert table["p_value_at_most"].is_monotonic_increasing
    assert (table["p_value_at_least"] <= table["p_value_at_most"]).all()


def test_clusters_that_are_few_are_a_concern(people):
    data = people.assign(practice=people["practice"] % 8)
    assert cutoff_intervals.shared_clusters(study(MONTHS, data)).verdict == "concern"


def test_power_is_that_of_the_standard_error(people, checks):
    table = checks["power"].table
    error = robust(MONTHS, people)["std_error"]
    shift = stats.norm.ppf(0.975)
    for row in table.itertuples():
        ratio = row.effect / error
        assert row.power == pytest.approx(
            stats.norm.cdf(ratio - shift) + stats.norm.cdf(-ratio - shift), rel=1e-6
        )
    at = table.set_index("power")
    assert at.iloc[3]["sample_size"] == pytest.approx(len(people), abs=2)


def test_different_scores_are_always_counted(people):
    years = cutoff_reach.scores_on_each_side(
        replace(MONTHS, score="age_years", cutoff=65),
        parse(replace(MONTHS, score="age_years", cutoff=65), people),
    )
    assert years.verdict == "concern" and "10 different scores" in years.text
    assert "different scores" in cutoff_reach.enough_near_the_cutoff(study(MONTHS, people)).text


def test_people_near_the_cutoff_beside_all(people, checks):
    check = checks["people near the cutoff and all"]
    found = study(MONTHS, people).result.kernel.fit
    near = (people["age_months"] - 780).abs() <= found.h[0]
    assert f"{near.mean():.0%} of people" in check.text and check.verdict == "information"
    row = check.table.set_index("characteristic").loc["conditions"]
    assert row["mean_near"] == pytest.approx(people.loc[near, "conditions"].mean())


def test_typed_events_are_listed(people):
    named = replace(MONTHS, events={"65": "free prescriptions"})
    made = parse(named, people)
    assert "free prescriptions" in cutoff_local.competing_changes(named, made).text
    assert "Nobody has written down" in cutoff_local.competing_changes(MONTHS, made).text


def test_single_clusters_left_out(people):
    data = people.assign(practice=people["practice"] % 25)
    design = replace(MONTHS, covariates=())
    table = cutoff_local.single_clusters(study(design, data)).table.set_index("label")
    brute = [
        robust(design, data[data["practice"] != place])["estimate"]
        for place in sorted(data["practice"].unique())
    ]
    assert table.loc["lowest", "estimate"] == pytest.approx(min(brute), rel=1e-6)
    assert table.loc["highest", "estimate"] == pytest.approx(max(brute), rel=1e-6)


def test_effects_that_differ_between_cutoffs_are_a_concern(people):
    later = people.assign(own=800, age_months=people["age_months"] + 20)
    later["cost"] += 2000.0 * (later["age_months"] >= 800)
    data = pd.concat([people.assign(own=780), later], ignore_index=True)
    design = replace(SHARP, cutoff=None, cutoff_column="own", covariates=())
    check = cutoff_local.several_places(study(design, data))
    assert check.verdict == "concern" and len(check.table) == 3
    at = check.table.set_index("label")
    alone = robust(replace(SHARP, covariates=()), people)
    same(at.loc["cutoff 780"], alone)


def test_local_randomisation_does_not_depend_on_the_order_of_rows(people):
    design = replace(MONTHS, inference="local randomisation", window=3.0, cluster=None)
    one, other = (
        qe.estimate(design, data).estimates.iloc[0]
        for data in (people, people.sample(frac=1, random_state=3))
    )
    np.testing.assert_allclose(one.drop("term").astype(float), other.drop("term").astype(float), rtol=1e-9)


def test_the_window_is_that_asked_for_balanced_or_the_smallest(people):
    made = parse(MONTHS, people)
    assert lot_window(replace(MONTHS, window=4.0), made).ends == (-4.0, 4.0)
    bare = replace(MONTHS, covariates=())
    smallest = lot_window(bare, parse(bare, people))
    inside = people["age_months"].sub(780).between(*smallest.ends)
    sides = people.loc[inside, "age_months"].ge(780).value_counts()
    assert sides.min() >= 10
    chosen = lot_window(MONTHS, made)
    assert chosen.choice is not None and chosen.choice.p_least[chosen.choice.chosen] >= 0.15


def test_no_window_where_covariates_differ_at_once(people):
    data = people.assign(conditions=people["conditions"] + 3 * (people["age_months"] >= 780))
    with pytest.raises(EstimationError, match="smallest window"):
        qe.estimate(replace(MONTHS, inference="local randomisation"), data)


def test_local_randomisation_has_no_weights(people):
    design = replace(MONTHS, inference="local randomisation", weights="imd", window=3.0)
    with pytest.raises(EstimationError, match="weights"):
        qe.estimate(design, people)


def test_a_mirrored_score_gives_the_same_evidence(people):
    design = replace(SHARP, covariates=("conditions",), negative_controls=())
    turned = replace(design, score="minus", cutoff=-780, treated_side="at or below")
    data = people.assign(minus=-people["age_months"])
    made_of = (
        cutoff_placebo.donut_curve,
        cutoff_alike.without_covariates,
        cutoff_choices.bandwidths,
        cutoff_intervals.ways_to_say_how_sure,
        cutoff_reach.power,
    )
    for make in made_of:
        one, other = (make(study(held, data)) for held in (design, turned))
        column = "effect" if "effect" in one.table else "estimate"
        np.testing.assert_allclose(one.table[column], other.table[column], rtol=1e-6)
        assert one.verdict == other.verdict


def test_checks_that_count_rows_are_not_made_with_weights(newborns):
    data = newborns.assign(n=3)
    found = qe.design_checks(replace(WEIGHTS, weights="n"), data)
    names = (
        "density at the cutoff",
        "counts beside the cutoff",
        "heaping of the score",
        "who is at round scores",
    )
    for name in names:
        assert found[name].verdict == "information" and "carry weights" in found[name].text
    weighted = cutoff_heaping.without_heaps(study(replace(WEIGHTS, weights="n"), data))
    assert weighted.verdict == "information" and "carry weights" in weighted.text


def test_local_randomisation_refuses_clusters_on_both_sides(people):
    design = replace(MONTHS, inference="local randomisation", window=3.0)
    with pytest.raises(EstimationError, match="both sides"):
        qe.estimate(design, people)
    apart = people.assign(practice=people["practice"] + 1000 * (people["age_months"] >= 780))
    assert np.isfinite(qe.estimate(design, apart).estimates["estimate"].iloc[0])


def test_the_window_is_chosen_once(people):
    made = parse(MONTHS, people)
    assert lot_window(MONTHS, made) is lot_window(MONTHS, made)
    assert lot_window(replace(MONTHS, seed=99), made) is not lot_window(MONTHS, made)
    torn = people.assign(conditions=people["conditions"] + 3 * (people["age_months"] >= 780))
    other = parse(MONTHS, torn)
    for _ in range(2):
        with pytest.raises(EstimationError, match="smallest window"):
            lot_window(MONTHS, other)


def test_negative_controls_are_taken_per_person_time(people):
    rng = np.random.default_rng(8)
    years = np.where(people["age_months"] >= 780, 2.0, 1.0)
    data = people.assign(years=years, falls=rng.poisson(5 * years), visits=rng.poisson(3 * years))
    design = replace(
        SHARP, outcome="visits", person_time="years", negative_controls=("falls",), covariates=()
    )
    check = cutoff_alike.placebo_outcomes(study(design, data))
    assert check.verdict != "concern" and "per person-time" in check.text
    plain = replace(design, outcome="falls", negative_controls=())
    terms = qe.estimate(plain, data).estimates.set_index("term")
    same(check.table.iloc[0], terms.loc["rate difference, robust"])


def test_wide_placebo_intervals_are_no_support(people):
    few = people.sample(400, random_state=2)
    for make in (cutoff_placebo.placebo_cutoffs, cutoff_alike.placebo_outcomes):
        check = make(study(SHARP, few))
        assert check.verdict == "information" and "rule out" in check.text
    strong = people.assign(cost=people["cost"] + 50_000.0 * (people["age_months"] >= 780))
    assert cutoff_placebo.placebo_cutoffs(study(SHARP, strong)).verdict == "supports"


def test_a_density_of_few_people_is_no_support():
    rng = np.random.default_rng(2)
    data = pd.DataFrame({"score": rng.normal(size=60), "cost": rng.normal(size=60)})
    design = qe.RegressionDiscontinuity(
        outcome="cost", score="score", cutoff=0, treated_side="at or above", inference="robust"
    )
    found = qe.design_checks(design, data)
    assert found["density at the cutoff"].verdict in ("information", "concern")
    values = cutoff_reach.scores_on_each_side(design, parse(design, data))
    shown = suppress_frame(values.table.assign(different_scores=[3, 57]), SuppressionRule())
    assert shown["different_scores"][0] == "fewer than 10"
    assert values.table["different_scores"].dtype.kind in "iO"
    assert isinstance(values.text, Counted) and "apart" not in values.text
    for label, _, at in cutoff_placebo.placebo_places(parse(design, data)):
        assert at == pytest.approx(round(at, 1)) and label.startswith("at ")


def test_counts_look_at_all_windows_and_hide_small_ones():
    step = np.arange(1, 41)
    left = np.repeat(-step, np.where(step <= 2, 12, 8)).astype(float)
    right = np.repeat(step - 1, np.where(step <= 2, 12, 30)).astype(float)
    data = pd.DataFrame({"score": np.r_[left, right]}).assign(cost=0.0)
    design = qe.RegressionDiscontinuity(outcome="cost", score="score", cutoff=0, treated_side="at or above")
    check = cutoff_density.counts(design, parse(design, data))
    assert check.table["p_value"].iloc[0] == 1 and check.verdict == "concern"
    thin = data[(data["score"] >= 0) | (data["score"] == -1) & (np.arange(len(data)) % 6 == 0)]
    thin = pd.concat([thin, pd.DataFrame({"score": [-30.0, -31.0], "cost": 0.0})])
    check = cutoff_density.counts(design, parse(design, thin))
    assert check.verdict == "concern" and "p =" not in check.text
    assert check.table.loc[check.table["people_below"].astype(int) < 10, "p_value"].isna().all()


def test_heaps_left_out_already_are_not_named(newborns):
    heaped = cutoff_heaping.heaps(WEIGHTS, parse(WEIGHTS, newborns))
    design = replace(WEIGHTS, leave_out=(1500,))
    left = cutoff_heaping.heaps(design, parse(design, newborns))
    assert "1,500" in heaped.text and "1,500" not in left.text
    assert "everybody" not in cutoff_heaping.without_heaps(study(design, newborns)).text


def test_small_heaps_cannot_be_worked_out():
    hidden = cutoff_heaping._heap_row(WEIGHTS, "at 5", (6.0, 2.0), 100)
    assert np.isnan([hidden["expected"], hidden["times_expected"], hidden["share_of_side"]]).all()
    shown = cutoff_heaping._heap_row(WEIGHTS, "at 5", (60.0, 20.0), 100)
    assert (shown["expected"], shown["times_expected"], shown["share_of_side"]) == (20.0, 3.0, 0.6)


def test_checks_go_by_the_level_of_the_design(people):
    data = people.assign(conditions=people["conditions"] + 0.45 * (people["age_months"] >= 780))
    made = parse(SHARP, data)
    p = cutoff_alike.covariates(SHARP, made).table["p_value_holm"].min()
    for level, verdict in ((1 - p * 1.05, "concern"), (1 - p * 0.95, "other")):
        check = cutoff_alike.covariates(replace(SHARP, level=level), made)
        assert (check.verdict == "concern") == (verdict == "concern")


def test_slopes_of_a_mirrored_score_have_the_other_sign(people):
    rng = np.random.default_rng(5)
    past = (people["age_months"] - 780).clip(lower=0)
    data = people.assign(
        cost=people["cost"] + 40.0 * past,
        dose=0.1 * past + 0.05 * rng.normal(size=len(people)),
        minus=-people["age_months"],
    )
    design = replace(SHARP, estimand="kink", order=2, covariates=("conditions",), received="dose")
    turned = replace(design, score="minus", cutoff=-780, treated_side="at or below")
    for make in (cutoff_alike.placebo_outcomes, cutoff_uptake.who_received, cutoff_placebo.placebo_cutoffs):
        one, other = (make(study(held, data)).table["estimate"] for held in (design, turned))
        if make is cutoff_placebo.placebo_cutoffs:
            one, other = one[:1], other[:1]
        np.testing.assert_allclose(one, -other, rtol=1e-5, atol=1e-8)
    free = [replace(held, received=None) for held in (design, turned)]
    for make in (cutoff_placebo.donut_curve, cutoff_choices.bandwidths, cutoff_alike.covariates):
        asked = [
            make(held, parse(held, data)) if make is cutoff_alike.covariates else make(study(held, data))
            for held in free
        ]
        one, other = (check.table["estimate"] for check in asked)
        np.testing.assert_allclose(one, -other, rtol=1e-5)
        assert asked[0].verdict == asked[1].verdict
