"""Risk sets hold exactly who could have been treated that day, and look back only."""

import numpy as np
import pandas as pd
import pytest

from qieval.data import Extract, Lookup, risk_sets
from qieval.errors import DataError, DesignError

ORIGIN = pd.Timestamp("2022-01-01")
END = "2022-12-31"


def date(days):
    return ORIGIN + pd.to_timedelta(days, unit="D")


def population(n: int, seed: int) -> pd.DataFrame:
    """People who enter and leave at random; a third are treated at some time, not always while at risk."""
    rng = np.random.default_rng(seed)
    entry = rng.integers(0, 60, n)
    leave = entry + rng.integers(1, 120, n)
    treated = entry + rng.integers(-20, 120, n)
    frame = pd.DataFrame(
        {
            "person_id": rng.permutation(n) + 100,
            "practice": rng.choice(["Elm", "Oak"], n),
            "birth_year": rng.integers(1940, 1946, n),
            "joined": date(entry),
            "left": pd.Series(date(leave)).where(rng.random(n) < 0.8),
            "started": pd.Series(date(treated)).where(rng.random(n) < 0.35),
        }
    )
    frame.loc[rng.random(n) < 0.05, "practice"] = None
    return frame


def draw(people: pd.DataFrame, **options) -> Extract:
    return risk_sets(people, "started", "joined", "left", **{"study_end": END, "per_case": None} | options)


def eligible(people: pd.DataFrame, case, history: int = 0, future: bool = True) -> set[int]:
    """By the definition, one person at a time."""
    day, found = case.started, set()
    for other in people.itertuples():
        known = isinstance(other.practice, str) and other.practice == case.practice
        near = abs(other.birth_year - case.birth_year) <= 1
        present = other.joined + pd.Timedelta(days=history) <= day and not other.left <= day
        untreated = pd.isna(other.started) or (future and other.started > day)
        if known and near and present and untreated and other.person_id != case.person_id:
            found.add(other.person_id)
    return found


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("history", "future"), [(0, True), (15, True), (0, False)])
def test_all_controls_are_those_of_the_definition(seed, history, future):
    people = population(90, seed)
    sets = draw(
        people, exact="practice", within={"birth_year": 1}, history=history, future_treated=future
    ).frame
    wanted = {}
    for case in people.dropna(subset=["started", "practice"]).itertuples():
        at_risk = case.joined + pd.Timedelta(days=history) <= case.started and not case.left <= case.started
        if at_risk and (controls := eligible(people, case, history, future)):
            wanted[case.person_id] = controls
    cases = sets[sets["treated"] == 1].set_index("risk_set")["person_id"]
    controls = sets[sets["treated"] == 0].groupby("risk_set")["person_id"].agg(list)
    assert cases.is_unique and set(cases) == set(wanted)
    assert all(sorted(wanted[cases[at]]) == sorted(held) for at, held in controls.items())
    assert cases.index.tolist() == list(range(1, len(cases) + 1))
    index = sets.groupby("risk_set")["index_date"].agg(["first", "nunique"])
    assert index["first"].is_monotonic_increasing and (index["nunique"] == 1).all()


@pytest.mark.parametrize("censor", [True, False])
def test_follow_up_ends_with_the_first_of_everything(censor):
    people = population(120, 3)
    end = pd.Timestamp("2022-04-10")
    sets = draw(people, study_end=end, censor_at_treatment=censor).frame
    for row in sets.itertuples():
        own = row.started if censor and not row.treated else pd.NaT
        dates = pd.Series({"leaving": row.left, "treatment": own, "study end": end})
        assert row.follow_up_end == dates.min() > row.index_date == row.follow_up_start
        assert dates[row.follow_up_ended_by] == row.follow_up_end
    assert sets["follow_up_ended_by"].nunique() == (3 if censor else 2)


def test_samples_are_drawn_without_replacement_from_the_eligible():
    people = population(150, 4)
    everybody = draw(people, exact=("practice",)).frame
    some = draw(people, exact=("practice",), per_case=3, seed=9).frame
    pool = everybody[everybody["treated"] == 0].groupby("risk_set")["person_id"].agg(set)
    drawn = some[some["treated"] == 0].groupby("risk_set")["person_id"].agg(list)
    assert (drawn.map(len) == np.minimum(pool.map(len), 3)).all()
    assert all(len(set(held)) == len(held) and set(held) <= pool[at] for at, held in drawn.items())


def test_every_eligible_person_is_equally_likely():
    n = 40
    people = pd.DataFrame({"person_id": range(n), "joined": ORIGIN, "left": date(200)})
    people["started"] = pd.Series(pd.NaT, index=range(n), dtype="datetime64[s]")
    people.loc[:9, "started"] = date(np.arange(10) + 10)
    people.loc[people.index >= 30, "left"] = date(5)
    drawn = np.concatenate([controls(draw(people, per_case=4, seed=seed)) for seed in range(80)])
    share = np.bincount(drawn, minlength=n)[10:30] / len(drawn)
    future = np.bincount(drawn, minlength=n)[:10].sum()
    assert share.sum() + future / len(drawn) == pytest.approx(1)
    # Eligible in the ten sets: twenty people never treated, and 9, 8, ... 0 treated later.
    expected = np.mean([1 / (20 + later) for later in range(10)])
    assert np.abs(share - expected).max() < 4 * np.sqrt(expected / len(drawn))


def controls(extract: Extract) -> np.ndarray:
    frame = extract.frame
    return frame.loc[frame["treated"] == 0, "person_id"].to_numpy()


def test_without_reuse_nobody_is_a_control_twice():
    people = population(200, 5)
    often, once = (controls(draw(people, per_case=4, reuse=reuse)) for reuse in (True, False))
    assert len(set(often)) < len(often) and len(set(once)) == len(once)


def test_the_seed_and_not_the_order_of_rows_decides():
    people = population(150, 6)
    first, again, other = (draw(people, per_case=2, seed=seed).frame for seed in (1, 1, 2))
    shuffled = draw(people.sample(frac=1, random_state=0), per_case=2, seed=1).frame
    pd.testing.assert_frame_equal(first, again)
    pd.testing.assert_frame_equal(first, shuffled)
    assert not first["person_id"].equals(other["person_id"])


@pytest.mark.parametrize(("days", "until"), [(30, 0), (30, 7), (None, 0), (1, 0)])
def test_windows_hold_what_lies_before_the_index_date(days, until):
    people, rng = population(80, 7), np.random.default_rng(7)
    events = pd.DataFrame(
        {
            "person_id": rng.choice(np.append(people["person_id"], 9999), 600),
            "when": date(rng.integers(-60, 150, 600)) + pd.to_timedelta(rng.integers(0, 24, 600), unit="h"),
            "nights": rng.normal(5, 2, 600),
        }
    )
    events.loc[::50, "when"] = pd.NaT
    events.loc[::37, "nights"] = np.nan
    shape = {"events": events, "date": "when", "days": days, "until": until}
    baseline = {
        "stays": Lookup(**shape),
        "any_stay": Lookup(take="any", **shape),
        "nights": Lookup(take="sum", value="nights", **shape),
        "last_nights": Lookup(take="last", value="nights", **shape),
    }
    sets = draw(people, per_case=2, baseline=baseline)
    for row in sets.frame.itertuples():
        own = events[events["person_id"] == row.person_id]
        day = own["when"].dt.normalize()
        inside = day < row.index_date - pd.Timedelta(days=until)
        if days is not None:
            inside &= day >= row.index_date - pd.Timedelta(days=days)
        found, valued = own[inside], own[inside & own["nights"].notna()]
        assert row.stays == len(found) and row.any_stay == (len(found) > 0)
        assert row.nights == pytest.approx(valued["nights"].sum(), abs=1e-12)
        on_last_day = valued[valued["when"].dt.normalize() == valued["when"].dt.normalize().max()]
        last = on_last_day["nights"].iloc[-1] if len(valued) else np.nan
        assert row.last_nights == last or (np.isnan(last) and np.isnan(row.last_nights))
    said = " ".join(sets.notes)
    assert "events without a date left out" in said and "without a value" in said
    assert ("window of 30 days begins before" in said) == (days == 30)


def test_what_is_dated_on_the_index_date_is_no_baseline():
    people = population(60, 8).assign(frailty=0.2, assessed=date(-5))
    assert "frailty" in draw(people, baseline={"frailty": "assessed"}).frame
    cases = people["started"].notna()
    for wrong in (people["started"].where(cases, date(-5)), people["joined"] + pd.Timedelta(days=40)):
        with pytest.raises(DataError, match="'frailty' was measured on or after the index date in"):
            draw(people.assign(assessed=wrong), baseline={"frailty": "assessed"})
    with pytest.raises(DataError, match="'frailty' has no date in"):
        draw(people.assign(assessed=pd.NaT), baseline={"frailty": "assessed"})
    with pytest.raises(DataError, match="a baseline window ends before the index date"):
        Lookup(events=people, date="started", until=-1)


def test_follow_up_before_the_index_date_is_refused():
    people = population(60, 8)
    with pytest.raises(DataError, match="immortal time"):
        draw(people, follow_up_from="joined")
    with pytest.raises(DesignError, match="immortal time"):
        draw(people, lag=-30)
    later = draw(people.assign(from_then=date(200)), follow_up_from="from_then").frame
    assert (later["follow_up_start"] == date(200)).all() and (later["follow_up_end"] > date(200)).all()


def test_a_lag_loses_whoever_leaves_before_in_both_groups():
    people = population(150, 9)
    now, later = draw(people), draw(people, lag=20)
    both = now.frame[now.frame["follow_up_end"] > now.frame["index_date"] + pd.Timedelta(days=20)]
    complete = both.groupby("risk_set")["treated"].transform("nunique") == 2
    assert later.frame["person_id"].tolist() == both.loc[complete, "person_id"].tolist()
    assert (later.frame["follow_up_start"] - later.frame["index_date"]).dt.days.unique().tolist() == [20]
    assert any("follow-up ended before it began" in note for note in later.notes)


def test_who_is_lost_is_counted():
    nothing = pd.NaT
    people = pd.DataFrame(
        {
            "person_id": [1, 2, 3, 4, 5, 6],
            "practice": ["A", "A", "B", "A", "A", "A"],
            "joined": date([0, 0, 0, 50, 0, 0]),
            "left": pd.Series([nothing, date(100), nothing, nothing, date(5), nothing]),
            "started": pd.Series([date(10), nothing, date(20), date(30), date(5), nothing]),
        }
    )
    people.loc[5, "joined"] = nothing
    sets = draw(people, exact=("practice",))
    assert sets.attrition["reason"].str.split(" ").str[0].tolist() == [
        "read",
        "'joined'",
        "treated",
        "treated",
        "with",
        "risk",
    ]
    assert sets.attrition["rows"].tolist() == [6, 5, 4, 2, 1, 2]
    assert sets.attrition["people"].tolist() == [6, 5, 4, 2, 1, 2]
    assert "2 treated people left out: not at risk" in sets.notes[0]
    assert "1 treated person left out: nobody eligible" in sets.notes[1]
    assert sets.check() is sets and sets.person == "person_id"
    again = risk_sets(Extract(frame=people, source="x.csv"), "started", "joined", "left", study_end=END)
    assert "x.csv" in again.attrition["reason"].iloc[0]


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        ({}, {"study_end": None}, r"study_end: .* have no date of leaving"),
        ({}, {"exact": "practise"}, r"no column 'practise'. Did you mean 'practice'"),
        ({}, {"within": {"practice": 1}}, "within: 'practice' is not numeric"),
        ({"started": pd.NaT}, {}, "empty for everybody"),
        ({"started": "2022-03-01"}, {}, "but dates are needed"),
        ({"person_id": 1}, {}, "repeated in 59 rows"),
        ({"treated": 1}, {}, "treated: risk_sets makes a column of this name"),
        ({"left": ORIGIN - pd.Timedelta(days=1)}, {}, "60 people leave before they enter"),
        ({"practice": None}, {"exact": "practice"}, "nobody is left"),
        (
            {"practice": [f"P{i}" for i in range(60)]},
            {"exact": "practice"},
            "no treated person has a control",
        ),
        ({}, {"baseline": {"birth_year": Lookup(events=population(5, 1), date="joined")}}, "already"),
    ],
)
def test_data_that_do_not_fit(change, options, words):
    with pytest.raises(DataError, match=words):
        draw(population(60, 1).assign(**change), **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"per_cases": 3}, "Did you mean 'per_case'"),
        ({"per_case": 0}, "per_case: 0"),
        ({"within": {"birth_year": -1}}, "is below 0"),
        ({"history": -1}, "history"),
        ({"lag": 3, "follow_up_from": "joined"}, "not both"),
    ],
)
def test_options_that_make_no_sense(options, words):
    with pytest.raises(DesignError, match=words):
        draw(population(60, 1), **options)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"date": "day"}, "the events have no column 'day'"),
        ({"take": "mean"}, "take: 'mean'"),
        ({"take": "sum"}, "value: name the column"),
        ({"days": 30, "until": 30}, "window of 30 days ends 30 days before"),
    ],
)
def test_lookups_that_make_no_sense(changes, words):
    with pytest.raises(DataError, match=words):
        Lookup(**{"events": population(5, 1), "date": "joined"} | changes)


def test_lookups_that_do_not_fit():
    people = population(60, 1)
    with pytest.raises(DataError, match="to tell people apart"):
        draw(people, baseline={"n": Lookup(events=people.drop(columns="person_id"), date="joined")})
    with pytest.raises(DataError, match="cannot be summed"):
        lookup = Lookup(events=people, date="joined", take="sum", value="practice")
        draw(people, baseline={"n": lookup})


def test_comparing_ever_with_never_treated_shows_an_effect_that_is_not_there():
    """Death and treatment at independent random times. Only whoever lives long enough is treated."""
    rng, n, end = np.random.default_rng(12), 20_000, 365
    death, start = np.ceil(rng.exponential(300, n)), np.ceil(rng.exponential(400, n))
    leave, treated = np.minimum(death, end), (start < death) & (start < end)
    people = pd.DataFrame(
        {
            "person_id": np.arange(n),
            "joined": ORIGIN,
            "left": date(leave),
            "started": pd.Series(date(start)).where(treated),
            "died": death <= end,
        }
    )
    deaths, time = (np.array([v[treated].sum(), v[~treated].sum()]) for v in (people["died"], leave))
    naive = np.log(deaths[0] / time[0] * time[1] / deaths[1])
    assert naive < -0.5 and naive < -10 * np.sqrt((1 / deaths).sum())

    sets = risk_sets(people, "started", "joined", "left", per_case=2, reuse=False).frame
    sets["years"] = (sets["follow_up_end"] - sets["follow_up_start"]).dt.days
    sets["event"] = sets["died"] & (sets["follow_up_ended_by"] == "leaving")
    total = sets.groupby("treated")[["event", "years"]].sum()
    ratio = np.log(total["event"] / total["years"]).diff().iloc[1]
    assert abs(ratio) < 3 * np.sqrt((1 / total["event"]).sum())
