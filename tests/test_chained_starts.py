"""Matched people who began at different times: from risk sets to a staggered difference-in-differences."""

import numpy as np
import pandas as pd
import pytest

import qieval as qe

MONTHS = pd.period_range("2021-01", periods=18, freq="M")


def simulated(n=1500, effect=2.0, seed=1):
    """Frail people begin earlier, and their outcome rises faster; nobody is alike but through frailty."""
    rng = np.random.default_rng(seed)
    frailty = rng.normal(size=n)
    hazard = 1 / (1 + np.exp(4.2 - 0.8 * frailty))
    began = np.full(n, 99)
    for month in range(5, 15):
        began[(began == 99) & (rng.random(n) < hazard)] = month
    started = [
        pd.NaT if at == 99 else MONTHS[at].to_timestamp() + pd.Timedelta(days=int(day))
        for at, day in zip(began, rng.integers(0, 28, n), strict=True)
    ]
    people = pd.DataFrame({"person_id": np.arange(n), "frailty": frailty, "started": pd.to_datetime(started)})
    people = people.assign(joined=pd.Timestamp("2020-01-01"))
    time = np.arange(len(MONTHS))
    y = rng.normal(size=n)[:, None] + 0.1 * frailty[:, None] * time + rng.normal(size=(n, len(time)))
    y = y + effect * (time >= began[:, None])
    ids, month = np.repeat(np.arange(n), len(time)), np.tile(MONTHS.astype(str), n)
    return people, pd.DataFrame({"person_id": ids, "month": month, "visits": y.ravel()})


@pytest.fixture(scope="module")
def study():
    people, panel = simulated()
    sets = qe.data.risk_sets(people, "started", "joined", study_end="2022-06-30", per_case=15, seed=2)
    design = qe.Matching(
        treated="treated", covariates=("frailty",), exact=("risk_set",), person="person_id", caliper=0.2
    )
    pairs = qe.estimate(design, sets)
    return people, panel, sets, pairs, qe.matched(pairs, sets, panel=panel, start="started", time="month")


def test_each_matched_row_has_its_person_and_start(study):
    _, _, sets, pairs, held = study
    held.check()
    units = held.frame.groupby("matched_row").first()
    assert len(units) == len(pairs.weights)
    matched = sets.frame.loc[pairs.weights["row"]]
    assert sorted(units["person_id"]) == sorted(matched["person_id"])
    treated = units[units["treated"] == 1].set_index("person_id")["first_treated"]
    own = matched[matched["treated"] == 1].set_index("person_id")["started"]
    assert treated.to_dict() == own.to_dict()
    in_sets = held.frame.drop_duplicates("matched_row").groupby("matched_set")["treated"].agg(["size", "sum"])
    assert (in_sets["size"] == 2).all() and (in_sets["sum"] == 1).all()


def test_a_comparison_person_stays_never_until_the_own_start(study):
    people, panel, _, _, held = study
    compared = held.frame[held.frame["treated"] == 0].merge(people[["person_id", "started"]], on="person_id")
    assert compared["first_treated"].isna().all()
    later = compared.dropna(subset="started")
    assert len(later)  # some begin later themselves
    assert (later["month"] < later["started"].dt.strftime("%Y-%m")).all()
    expected = panel.merge(people, on="person_id")
    expected["month_of"] = expected["started"].dt.strftime("%Y-%m").fillna("9")
    rows = expected[expected["month"] < expected["month_of"]].groupby("person_id").size()
    found = compared.groupby("matched_row")["person_id"].agg(["first", "size"])
    assert (found["size"].to_numpy() == rows.loc[found["first"]].to_numpy()).all()


def test_people_in_several_sets_have_rows_for_each(study):
    _, panel, _, _, held = study
    rows = held.frame.drop_duplicates("matched_row")["person_id"]
    assert rows.duplicated().any()
    whole = held.frame[held.frame["treated"] == 1].groupby("matched_row").size()
    assert (whole == panel["month"].nunique()).all()
    reasons = held.attrition["reason"].tolist()
    assert reasons[-2:] == [
        "rows of people in several matched sets, once for each",
        "comparison people from their own start on",
    ]
    assert not held.frame.duplicated(["matched_row", "month"]).any()


def test_matched_staggered_adoption_is_nearer_to_the_truth(study):
    people, panel, _, _, held = study
    design = qe.StaggeredAdoption(
        outcome="visits",
        unit="matched_row",
        time="month",
        first_treated="first_treated",
        weights="matching_weight",
        cluster="matched_set",
        second_cluster="person_id",
    )
    row = qe.estimate(design, held).estimates.iloc[0]
    everybody = panel.merge(people[["person_id", "started"]], on="person_id")
    plain = qe.StaggeredAdoption(outcome="visits", unit="person_id", time="month", first_treated="started")
    biased = qe.estimate(plain, everybody).estimates.iloc[0]
    assert biased["conf_low"] > 2.2  # the trend of the frail counts as effect
    assert abs(row["estimate"] - 2) < 3 * row["std_error"] < 0.6
    assert abs(row["estimate"] - 2) < abs(biased["estimate"] - 2) / 2


def test_never_and_ever_treated_people_need_no_risk_sets():
    people, panel = simulated(n=400, seed=4)
    people = people.assign(ever=people["started"].notna().astype(int))
    design = qe.Matching(treated="ever", covariates=("frailty",), person="person_id", caliper=0.2)
    pairs = qe.estimate(design, people)
    held = qe.matched(pairs, people, panel=panel, start="started", time="month")
    assert len(held.frame) == len(pairs.weights) * panel["month"].nunique()
    assert (held.frame["first_treated"].notna() == (held.frame["ever"] == 1)).all()
    numbered = panel.assign(month=panel["month"].map({str(at): code for code, at in enumerate(MONTHS, 1)}))
    codes = people["started"].dt.to_period("M").map({at: code for code, at in enumerate(MONTHS, 1)})
    whole = people.assign(began=codes.astype(float).fillna(0))
    again = qe.matched(pairs, whole, panel=numbered, start="began", time="month")
    assert set(again.frame.loc[again.frame["ever"] == 1, "first_treated"]) <= set(range(1, 19))
    assert again.frame.loc[again.frame["ever"] == 0, "first_treated"].isna().all()


def test_problems_are_said(study):
    _, panel, sets, pairs, _ = study
    with pytest.raises(qe.DesignError, match="start, time: they belong together"):
        qe.matched(pairs, sets, panel=panel, start="started")
    with pytest.raises(qe.DesignError, match="belong together and to a panel"):
        qe.matched(pairs, sets, start="started", time="month")
    with pytest.raises(qe.DataError, match="start: there is no column 'begun'"):
        qe.matched(pairs, sets, panel=panel, start="begun", time="month")
    with pytest.raises(qe.DataError, match="time: there is no column 'months'"):
        qe.matched(pairs, sets, panel=panel, start="started", time="months")
    with pytest.raises(qe.DataError, match="panel: 'first_treated' is there already"):
        qe.matched(pairs, sets, panel=panel.assign(first_treated=1), start="started", time="month")
    with pytest.raises(qe.DataError, match="time: 'month' is empty in some panel rows"):
        qe.matched(pairs, sets, panel=panel.assign(month=None), start="started", time="month")
    with pytest.raises(qe.DataError, match="or name `start` and `time`"):
        qe.matched(pairs, sets, panel=panel)
    gone = without_starts(sets)
    with pytest.raises(qe.DataError, match="empty for some treated people"):
        qe.matched(pairs, gone, panel=panel, start="started", time="month")


def without_starts(sets):
    """The same sets without any start."""
    return sets.frame.assign(started=pd.NaT)
