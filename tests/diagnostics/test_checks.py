"""Each check raises its voice when its assumption is broken, and stays quiet when it is not."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import qieval as qe

START = 5
DESIGN = qe.DifferenceInDifferences(
    outcome="y", unit="unit", time="time", treated="treated", start=START, units_are="organisations"
)


@pytest.fixture(scope="module")
def calm() -> pd.DataFrame:
    return qe.simulate_panel(n_units=80, n_periods=10, n_treated=40, effect=1.0, rho=0.3, seed=11).assign(
        y=lambda held: held["y"] + 20
    )


def checks(frame: pd.DataFrame, **fields: object) -> qe.Checks:
    design = replace(DESIGN, **fields)
    return qe.diagnose(qe.estimate(design, frame), frame)


def before(frame: pd.DataFrame, **fields: object) -> qe.Checks:
    return qe.design_checks(replace(DESIGN, **fields), frame)


def treated(frame: pd.DataFrame) -> pd.Series:
    return frame["treated"] == 1


def test_nothing_is_wrong_with_calm_data(calm):
    found = checks(calm)
    assert [check.name for check in found.concerns] == []
    assert found["trends before the start"].verdict == "supports"


def test_drifting_apart_is_seen_before_and_after(calm):
    drifting = calm.assign(y=calm["y"] + 0.6 * calm["time"] * treated(calm))
    found = checks(drifting)
    assert found["trends before the start"].verdict == "concern"
    assert found["placebo start dates"].verdict == "concern"
    assert before(drifting)["trends before the start, without later outcomes"].verdict == "concern"
    ledger = found.ledger.set_index("assumption")["verdict"]
    assert ledger["parallel trends before the start"] == "concern"
    assert ledger["parallel trends after the start"] == "untestable"


def test_the_slope_before_the_start_is_measured(calm):
    table = before(calm.assign(y=0.25 * calm["time"] * treated(calm) + 0.01 * calm["y"]))
    text = table["trends before the start, without later outcomes"].text
    assert "0.25" in text or "0.249" in text or "0.251" in text


def test_early_reaction_is_seen(calm):
    early = calm.assign(y=calm["y"] + 3.0 * (treated(calm) & (calm["time"] == START - 1)))
    assert checks(early)["jump just before the start"].verdict == "concern"
    assert checks(early, anticipation=1)["jump just before the start"].verdict != "concern"


def test_leaving_units_are_seen(calm):
    sick = calm.groupby("unit")["y"].transform("mean") > calm.groupby("unit")["y"].mean().median()
    leaving = calm[~(sick & treated(calm) & (calm["time"] >= START + 1) & (calm["unit"] % 2 == 0))]
    assert checks(leaving)["composition"].verdict in ("information", "concern")
    assert "not observed in every period" in checks(leaving)["composition"].text
    assert before(leaving)["attrition"].verdict == "concern"
    assert checks(calm)["composition"].verdict == "supports"


def test_covariate_moved_by_the_intervention_is_seen(calm):
    random = np.random.default_rng(1)
    moved = calm.assign(
        drug=random.standard_normal(len(calm)) + 2.0 * (treated(calm) & (calm["time"] >= START))
    )
    assert checks(moved, covariates=("drug",))["covariates as outcomes"].verdict == "concern"
    still = calm.assign(drug=random.standard_normal(len(calm)))
    assert checks(still, covariates=("drug",))["covariates as outcomes"].verdict == "supports"


def test_one_odd_unit_is_seen_and_named(calm):
    odd = calm.assign(y=calm["y"] + 90.0 * ((calm["unit"] == 7) & (calm["time"] >= START)))
    found = checks(odd)["leave one out"]
    assert found.verdict == "concern"
    assert found.table["label"].iloc[0] == "without 7"


def test_people_are_never_named(calm):
    named = calm.assign(unit="patient " + calm["unit"].astype(str))
    for check in (*checks(named, units_are="people"), *before(named, units_are="people")):
        assert "patient " not in check.text
        assert check.table is None or "patient " not in check.table.to_csv()


def test_interval_that_is_too_narrow_is_seen():
    """Errors that persist, analysed as if they were independent from period to period."""
    persistent = qe.simulate_panel(n_units=80, n_periods=20, n_treated=40, rho=0.9, seed=11)
    found = checks(persistent, variance="iid", start=10)
    assert found["placebo groups"].verdict == "concern"
    assert found["number of clusters"].verdict == "concern"


def test_scale_matters_when_levels_differ(calm):
    """The same percentage change in groups at different levels is no common amount."""
    later = calm["time"] >= START
    level = np.where(treated(calm), 10.0, 40.0)
    noise = 0.02 * (calm["y"] - 20)
    percent = calm.assign(y=level * np.where(later, 1.3, 1.0) * np.exp(noise / 10))
    found = checks(percent)["absolute or relative change"]
    assert found.verdict == "concern"
    assert "depends on the scale" in found.text


def test_events_are_listed_and_never_green(calm):
    found = checks(calm, events={"6": "a winter crisis fund in the treated practices"})
    check = found["register of concurrent events"]
    assert check.table["what_happened"].tolist() == ["a winter crisis fund in the treated practices"]
    assert (
        found.ledger.set_index("assumption").loc["no other change at the same time", "verdict"]
        == "untestable"
    )


def test_balance_is_the_standardised_difference(calm):
    aged = calm.assign(age=50 + 5 * treated(calm) + calm["unit"] % 9)
    table = before(aged, covariates=("age",))["balance before the start"].table.set_index("characteristic")
    units = aged.drop_duplicates("unit")
    one, none = (units.loc[units["treated"] == arm, "age"] for arm in (1, 0))
    expected = (one.mean() - none.mean()) / np.sqrt((one.var() + none.var()) / 2)
    assert table.loc["age", "standardised_difference"] == pytest.approx(expected, rel=1e-10)


def test_detectable_effect_shrinks_with_more_units():
    few = qe.simulate_panel(n_units=40, n_periods=16, n_treated=20, rho=0.3, seed=4)
    many = qe.simulate_panel(n_units=640, n_periods=16, n_treated=320, rho=0.3, seed=4)

    def needed(frame: pd.DataFrame) -> float:
        table = qe.design_checks(replace(DESIGN, start=8), frame)["minimum detectable effect"].table
        return float(np.interp(0.8, table["power"], table["effect"]))

    assert needed(few) / needed(many) == pytest.approx(4.0, rel=0.25)


def test_one_period_before_leaves_trends_open():
    short = qe.simulate_panel(n_units=80, n_periods=2, n_treated=40, seed=1)
    found = checks(short, start=1)
    for name in ("trends before the start", "power of the test of trends", "placebo start dates"):
        assert found[name].verdict == "information"
        assert "one period before the start" in found[name].text
    assert before(short, start=1)["units and periods"].verdict == "concern"


def test_single_treated_unit_is_a_concern():
    lone = qe.simulate_panel(n_units=30, n_periods=10, n_treated=1, seed=2)
    found = checks(lone)
    assert found["leave one out"].verdict == "concern"
    assert found["number of clusters"].verdict == "concern"


def test_checks_by_name_and_unknown_name(calm):
    found = checks(calm)
    with pytest.raises(KeyError, match="there is no check 'parallel'"):
        found["parallel"]


def test_a_share_of_few_people_does_not_count_them():
    from qieval.diagnostics.similar_people import _part

    assert _part(0.001, 833) == "Few (under ten)"
    assert _part(0.05, 833) == "5.0%"
    assert _part(0.0, 833) == "None"
