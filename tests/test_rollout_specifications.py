"""The specification panel of roll-outs: rows, reasons, what estimates rest on, notes, picture and report."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import qieval as qe
from qieval.rollout_specifications import COLUMNS

NEGATIVE_WEIGHTS = "two-way regression (a warning: not clean)"


@pytest.fixture(scope="module")
def frame():
    return qe.data.simulate_rollout(practices=90, months=14, waves=(5, 8, 11), seed=3).frame


@pytest.fixture(scope="module")
def design():
    return qe.StaggeredAdoption(
        outcome="admissions_per_1000",
        unit="practice",
        time="month",
        first_treated="started",
        covariates=("deprivation",),
        units_are="organisations",
        inference="analytic",
    )


@pytest.fixture(scope="module")
def panel(design, frame):
    return qe.specifications(design, frame)


def test_every_way_answers_once(panel, design):
    table = panel.table
    assert tuple(table.columns) == COLUMNS and table["label"].is_unique
    assert table["label"].iloc[0] == "as designed" and (table["note"] == "").all()
    assert (table["conf_low"] < table["estimate"]).all() and (table["estimate"] < table["conf_high"]).all()
    gone = set(qe.ways_of(design)) - set(table["label"])
    # the design itself, what is the same on complete panels, and ratios of what is no count
    assert gone == {
        "group-time, never-treated compared",
        "group-time, universal base period",
        "group-time, units seen in every period",
        "group-time, rows as if sampled anew",
        "ratio by cohort and period (Poisson)",
        "ratio by cohort and period (Poisson), no covariates",
        "ratio, two-way (a warning: not clean)",
    }


def test_each_row_is_what_estimate_gives(panel, design, frame):
    rows = panel.table.set_index("label")
    own = {
        "as designed": design,
        "group-time, not-yet-treated compared": replace(design, control_group="not yet"),
        "group-time, by regression": replace(design, estimator="regression"),
        "group-time without covariates": replace(design, covariates=()),
        "imputation without covariates": replace(design, approach="imputation", covariates=()),
        "interaction-weighted (Sun and Abraham)": replace(design, approach="interaction-weighted"),
        "stacked (Wing and others)": replace(design, approach="stacked"),
        NEGATIVE_WEIGHTS: replace(design, approach="two-way"),
    }
    for label, stated in own.items():
        main = qe.estimate(stated, frame).estimates.iloc[0]
        for name in ("term", "estimate", "std_error", "conf_low", "conf_high", "p_value"):
            assert rows.loc[label, name] == main[name], (label, name)


def test_what_the_ways_rest_on(panel, frame):
    rows = panel.table.set_index("label")
    started = frame.groupby("practice")["started"].first()
    never, first = int(started.isna().sum()), started.dropna().min()
    later = int((started.dropna() > first).sum())
    compared = rows["units_compared"].astype(int)
    assert compared["as designed"] == never
    assert compared["group-time, not-yet-treated compared"] == never + later
    assert compared["imputation (Borusyak, Jaravel and Spiess)"] == never + later
    assert compared["interaction-weighted (Sun and Abraham)"] == never
    assert compared[NEGATIVE_WEIGHTS] == len(started)
    assert (rows["rows_used"].drop("stacked (Wing and others)") == len(frame)).all()
    # waves 5, 8, 11 of 14 months: windows of 4 months before and 3 after, and controls that never begin
    months = np.sort(frame["month"].unique())
    at = {month: code for code, month in enumerate(months)}
    since = frame["month"].map(at) - frame["started"].map(at)
    inside = frame["started"].isna() | since.between(-4, 3)
    assert rows.loc["stacked (Wing and others)", "rows_used"] == int(inside.sum())
    assert compared["stacked (Wing and others)"] == never
    assert (rows["share_negative"].drop(NEGATIVE_WEIGHTS) == 0).all()


def test_the_two_way_regression_is_a_warning(panel):
    clean = panel.table[panel.table["label"] != NEGATIVE_WEIGHTS]
    assert panel.notes[0].startswith(f"Over {len(clean)} ways the estimate runs from ")
    (said,) = [note for note in panel.notes if NEGATIVE_WEIGHTS in note]
    assert "not to report" in said
    share = panel.table.set_index("label").loc[NEGATIVE_WEIGHTS, "share_negative"]
    assert ("negative weight" in said) == (share > 0)


def test_one_start_makes_no_warning(frame, design):
    one = frame[frame["started"].isna() | (frame["started"] == frame["started"].min())]
    found = qe.specifications(replace(design, covariates=()), one, ways=[NEGATIVE_WEIGHTS])
    assert not any("not to report" in note for note in found.notes)
    assert (
        found.table["units_compared"].tolist() == [one.loc[one["started"].isna(), "practice"].nunique()] * 2
    )


def test_gaps_bring_the_rules_for_them(frame, design):
    holes = frame.sample(frac=0.97, random_state=1)
    plain = replace(design, covariates=())
    asked = ["group-time, units seen in every period", "group-time, rows as if sampled anew"]
    labels = set(qe.specifications(plain, holes).table["label"])
    assert set(asked) <= labels and "group-time, pairs of periods" not in labels
    rows = qe.specifications(plain, holes, ways=asked).table.set_index("label")
    seen = holes.groupby("practice")["month"].size()
    assert rows.loc[asked[0], "rows_used"] == int(seen[seen == 14].sum())
    assert rows.loc[asked[1], "rows_used"] == len(holes) == rows.loc["as designed", "rows_used"]


def test_everybody_begins(frame, design):
    began = frame[frame["started"].notna()]
    stated = replace(design, covariates=(), control_group="not yet")
    found = qe.specifications(stated, began)
    rows = found.table.set_index("label")
    assert "group-time, never-treated compared" not in rows.index
    early = began["month"] < began["started"].max()
    assert rows.loc["as designed", "rows_used"] == int(early.sum())
    last = began.loc[began["started"] == began["started"].max(), "practice"].nunique()
    assert rows.loc["interaction-weighted (Sun and Abraham)", "units_compared"] == last


def test_ratios_are_a_quantity_of_their_own(frame):
    counts = qe.StaggeredAdoption(
        outcome="admissions",
        unit="practice",
        time="month",
        first_treated="started",
        units_are="organisations",
        inference="analytic",
    )
    found = qe.specifications(counts, frame)
    terms = found.table.set_index("label")["term"]
    assert terms["as designed"] == "ATT" and terms["ratio by cohort and period (Poisson)"] == "rate ratio"
    assert any("different quantities" in note for note in found.notes)
    drawn = qe.plot(found).data["label"].astype(str)
    assert not drawn.str.startswith("ratio").any()
    rated = replace(counts, exposure="list_size", approach="poisson")
    only = qe.specifications(rated, frame)
    assert list(qe.ways_of(rated)) == list(found.table["label"][-2:])
    assert (only.table["term"] == "rate ratio").all() and only.table["share_negative"].isna().any()


def test_triple_differences_and_cross_sections_have_fewer_ways(design):
    plain = replace(design, covariates=())
    triple = qe.ways_of(replace(plain, eligible="eligible"))
    assert triple and all(fields["approach"] == "group-time" for _, fields in triple.values())
    sampled = qe.ways_of(replace(plain, data="repeated cross-sections"))
    assert {fields["approach"] for _, fields in sampled.values()} == {"group-time", "poisson"}
    for kind, fields in (*triple.values(), *sampled.values()):
        kind(**fields)  # no way contradicts itself


@pytest.mark.parametrize("inference", ["multiplier bootstrap", "wild cluster bootstrap"])
def test_intervals_that_a_way_lacks_are_made_automatically(design, inference):
    approaches = {
        "multiplier bootstrap": ("group-time",),
        "wild cluster bootstrap": ("interaction-weighted", "two-way"),
    }
    approach = approaches[inference][0]
    for kind, fields in qe.ways_of(replace(design, approach=approach, inference=inference)).values():
        made = kind(**fields)
        own = approaches[inference]
        assert made.inference == (inference if made.approach in own else "automatic")


def test_labels_and_ways_of_your_own(frame, design):
    plain = replace(design, covariates=())
    universal = "group-time, universal base period"
    found = qe.specifications(plain, frame, ways=universal).table
    assert found["label"].tolist() == ["as designed", universal]
    assert found["estimate"].iloc[1] == pytest.approx(found["estimate"].iloc[0], abs=1e-12)
    own = qe.specifications(plain, frame, ways={"from the fourth": replace(plain, first_period="2020-07")})
    assert own.table["label"].tolist() == ["as designed", "from the fourth"]
    assert own.table["rows_used"].iloc[1] < own.table["rows_used"].iloc[0]
    with pytest.raises(qe.DesignError, match="ways: 'imputaton' is not one of them"):
        qe.specifications(plain, frame, ways="imputaton")


def test_a_way_without_an_answer_says_why(frame, design):
    short = replace(design, covariates=(), event_window=(-40, 3))
    found = qe.specifications(short, frame, ways=["stacked (Wing and others)"])
    row = found.table.iloc[1]
    assert pd.isna(row["estimate"]) and "window" in row["note"]
    assert any("No answer from: stacked" in note for note in found.notes)


def test_rows_may_be_in_any_order(panel, design, frame):
    again = qe.specifications(design, frame.sample(frac=1, random_state=5))
    pd.testing.assert_frame_equal(again.table, panel.table, check_exact=False, rtol=1e-8)


def test_the_report_shows_the_panel(panel, design, frame, tmp_path):
    result = qe.estimate(design, frame)
    checks = qe.diagnose(result, frame)
    page = qe.report(result, checks, panel).save(tmp_path / "report.html").read_text(encoding="utf-8")
    assert NEGATIVE_WEIGHTS in page and "units compared" in page.replace("_", " ")


def test_counts_of_people_are_hidden_in_reports(design, frame):
    from qieval.reports.disclosure import SuppressionRule, suppress_frame

    people = qe.specifications(replace(design, covariates=(), units_are="people"), frame, ways=[])
    few = people.table.assign(units_compared=[type(people.table["units_compared"][0])(4)])
    assert suppress_frame(few, SuppressionRule())["units_compared"].tolist() == ["fewer than 10"]
