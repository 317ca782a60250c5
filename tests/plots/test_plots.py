"""What the plots draw: data, labels, marks; no images are compared."""

from dataclasses import replace

import pandas as pd
import pytest

import qieval as qe

DESIGN = qe.DifferenceInDifferences(
    outcome="admissions_per_1000",
    unit="practice",
    time="month",
    treated="pilot",
    start="2022-04",
    measured_in="emergency admissions per 1,000 people a month",
    events={"2022-10": "a new tariff", "2031-01": "outside the data"},
)


@pytest.fixture(scope="module")
def data() -> qe.Extract:
    return qe.example("pilot")


@pytest.fixture(scope="module")
def result(data) -> qe.Result:
    return qe.estimate(DESIGN, data)


def drawn(picture) -> None:
    """Build the plot completely, as saving it would."""
    picture.draw()


def test_trajectory_shows_groups_counterfactual_start_and_events(result):
    picture = qe.plot(result, "trajectory")
    held = [layer._data for layer in picture.layers if isinstance(layer._data, pd.DataFrame)]
    lines = next(data for data in held if "shown" in data)
    assert set(lines["group"]) == {"treated", "comparison", "treated, had nothing changed"}
    marks = [data for data in held if "said" in data]
    assert [list(data["said"]) for data in marks] == [["a new tariff"]] * 2
    assert "emergency admissions" in picture.labels.y
    drawn(picture)


def test_counterfactual_differs_from_observed_by_the_average_effect(result):
    series = result.series
    treated = series[(series["group"] == "treated") & (series["time"] >= pd.Timestamp("2022-04-01"))]
    gap = (treated["observed"] - treated["counterfactual"]).mean()
    assert gap == pytest.approx(result.estimates.loc[0, "estimate"], rel=1e-8)


def test_event_study_holds_the_reference_at_zero(result):
    picture = qe.plot(result, "event study")
    reference = picture.data[picture.data["at"] == -1]
    assert reference["estimate"].tolist() == [0.0]
    assert len(picture.data) == 36
    drawn(picture)


def test_variation_puts_the_stated_design_first_and_names_what_failed(data):
    variation = qe.vary(DESIGN, data, start=["2022-03", "1999-01"])
    picture = qe.plot(variation)
    assert list(picture.data["label"].cat.categories)[-1] == "as designed"
    assert "1999-01" in picture.labels.caption
    drawn(picture)


def test_every_check_with_a_picture_draws(result, data):
    for check in (*qe.diagnose(result, data), *qe.design_checks(DESIGN, data)):
        if check.picture:
            drawn(qe.plot(check))


def test_unknown_kind_and_check_without_picture_are_refused(result, data):
    with pytest.raises(qe.DesignError, match="Did you mean 'trajectory'"):
        qe.plot(result, "trajectry")
    with pytest.raises(qe.DesignError, match="has no picture"):
        qe.plot(qe.design_checks(DESIGN, data)["missing values"])


def test_few_clusters_have_intervals_but_no_bands():
    design = qe.DifferenceInDifferences(
        outcome="Rate", unit="State", time="Quarter_Num", treated="california", start=4
    )
    result = qe.estimate(design, qe.example("organ_donations"))
    rows = result.estimates.dropna(subset=["at"])
    assert rows["band_low"].isna().all() and rows["conf_low"].notna().all()
    drawn(qe.plot(result, "event study"))
    drawn(qe.plot(replace(result), "trajectory"))


def test_balance_tables_and_sensitivity_analyses_have_pictures():
    people = qe.example("community_service").frame
    table = qe.balance(people, "service", ["age", "sex"])
    analyses = [
        qe.sensitivity.omitted_variable(people, "cost", "service", ["age", "frailty"], ["frailty"]),
        qe.sensitivity.e_value(1.5, 1.2, 1.9, measure="risk ratio"),
        qe.sensitivity.rosenbaum([3.0, 4.0, 6.0, 2.0], [1.0, 2.0, 2.0, 3.0]),
        qe.sensitivity.negative_controls([0.1, 0.2, 0.05, -0.1, 0.3], [0.1] * 5),
    ]
    for drawn in (qe.plot(table), qe.plot(table, "age"), *map(qe.plot, analyses)):
        assert drawn.labels.title and drawn.draw() is not None
    with pytest.raises(qe.DesignError, match="has no picture"):
        qe.plot(qe.sensitivity.tipping_point(1.5, differences=(0.1,), ratio=True))


def test_altered_designs_with_an_interval_of_another_name_stay_in_the_picture():
    from qieval.result import headlines

    table = pd.DataFrame(
        {
            "label": [
                "as designed",
                "as designed",
                "as designed",
                "order = 2",
                "order = 2",
                "effect",
                "failed",
            ],
            "term": ["risk, honest", "risk", "ratio", "risk", "ratio", "ratio", None],
            "estimate": [1.0, 1.1, 2.0, 1.2, 2.1, 2.0, None],
        }
    )
    assert headlines(table)["label"].tolist() == ["as designed", "order = 2", "failed"]
    assert headlines(table)["term"].tolist()[:2] == ["risk, honest", "risk"]
