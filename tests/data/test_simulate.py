"""The simulator: its tables agree, its truth is what an unbiased method finds, its faults are faults."""

import numpy as np
import pandas as pd
import pytest

from qieval.data import Scenario, simulate, simulate_panel
from qieval.errors import DesignError

SMALL = {"practices": 20, "people": 300, "pilots": 8}


@pytest.fixture(scope="module")
def study():
    return simulate(seed=4, attendances=True, **SMALL)


def means(panel: pd.DataFrame, outcome: str, start: str) -> pd.Series:
    return panel.groupby(["pilot", panel["month"] >= start])[outcome].mean()


def did(panel: pd.DataFrame, outcome: str = "admissions_per_1000", start: str = "2022-04") -> float:
    mean = means(panel, outcome, start)
    return mean[1, True] - mean[1, False] - mean[0, True] + mean[0, False]


def test_the_same_seed_gives_the_same_data_and_another_seed_does_not():
    first, again, other = (simulate(seed=seed, **SMALL) for seed in (3, 3, 5))
    for name in ("people", "practices", "admissions", "deaths", "panel"):
        pd.testing.assert_frame_equal(getattr(first, name), getattr(again, name))
    assert first.truth == again.truth
    assert not first.panel.equals(other.panel)


def test_the_panel_is_the_sum_of_the_admissions(study):
    emergency = study.admissions[study.admissions["method"] == "emergency"]
    month = emergency["admitted"].dt.strftime("%Y-%m").rename("month")
    by = emergency.groupby(["practice", month])
    wanted = pd.DataFrame({"emergency_admissions": by.size(), "bed_days": by["nights"].sum()})
    panel = study.panel.set_index(["practice", "month"])
    got = panel[["emergency_admissions", "bed_days"]]
    pd.testing.assert_frame_equal(got, wanted.reindex(got.index, fill_value=0), check_names=False)
    rate = 1000 * panel["emergency_admissions"] / panel["list_size"]
    np.testing.assert_allclose(panel["admissions_per_1000"], rate)


def test_everybody_is_on_one_list_at_a_time_and_the_make_up_is_that_of_the_list(study):
    for month in ("2020-10", "2021-12", "2023-09"):
        first = pd.Period(month).start_time
        on_list = study.people[(study.people["joined"] <= first) & ~(study.people["left"] < first)]
        panel = study.panel[study.panel["month"] == month].set_index("practice")
        assert (on_list.groupby("practice").size() == panel["list_size"]).all()
        age = first.year - on_list["birth_year"]
        np.testing.assert_allclose(age.groupby(on_list["practice"]).mean(), panel["mean_age"])
        np.testing.assert_allclose((age >= 75).groupby(on_list["practice"]).mean(), panel["share_over_75"])
        np.testing.assert_allclose(on_list.groupby("practice")["imd"].mean(), panel["imd"])


def test_nobody_is_admitted_before_joining_or_after_leaving(study):
    for table, date in ((study.admissions, "admitted"), (study.attendances, "attended")):
        joined = table.merge(study.people, on="person_id", suffixes=("", "_people"), validate="many_to_one")
        assert len(joined) == len(table)
        assert (joined["practice"] == joined["practice_people"]).all()
        assert (joined[date] >= joined["joined"]).all()
        assert not (joined[date] > joined["left"]).any()


def test_deaths_are_the_last_day_of_a_person(study):
    joined = study.deaths.merge(study.people, on="person_id", validate="one_to_one")
    assert (joined["died"] == joined["left"]).all()
    assert study.panel["deaths"].sum() == len(study.deaths) > 0


def test_pseudonyms_are_unique_and_carry_no_order(study):
    ids = study.people["person_id"]
    assert ids.is_unique
    assert abs(np.corrcoef(ids, np.arange(len(ids)))[0, 1]) < 0.05
    assert "frailty" not in study.people
    assert simulate(frailty=True, **SMALL).people["frailty"].mean() == pytest.approx(1, abs=0.05)


def test_frailty_has_the_stated_variance_and_drives_admissions():
    study = simulate(frailty=True, practices=40, people=500, pilots=10)
    assert study.people["frailty"].var() == pytest.approx(0.7, abs=0.06)
    counts = study.admissions.groupby("person_id").size().reindex(study.people["person_id"], fill_value=0)
    frail = study.people["frailty"].to_numpy() > 1
    assert counts[frail].mean() > 2 * counts[~frail].mean()


def test_printing_shows_no_row(study):
    shown = repr(study)
    assert "20 practices (8 pilots) x 36 months" in shown
    assert "\n" not in shown
    assert str(study.people["person_id"].iloc[0]) not in shown


def test_no_effect_means_no_effect():
    study = simulate(rate_ratio=1, **SMALL)
    assert set(study.truth["att"].values()) == {0.0}


def test_the_truth_is_the_difference_of_the_same_draws_without_the_pilot():
    """The same seed without an effect differs only in pilot practices."""
    treated, untreated = (simulate(rate_ratio=ratio, seed=8, **SMALL).panel for ratio in (0.85, 1.0))
    before = treated["month"] < "2022-04"
    pd.testing.assert_series_equal(treated.loc[before, "mean_age"], untreated.loc[before, "mean_age"])
    other = treated["pilot"] == 0
    pd.testing.assert_frame_equal(treated[other], untreated[other])


def test_rate_ratio_is_recovered_from_the_counts_of_a_large_study():
    study = simulate(practices=100, people=3000, pilots=50, selection=0, shock=0, seed=2)
    world = simulate(practices=100, people=3000, pilots=50, selection=0, shock=0, seed=2, rate_ratio=1)
    running = (study.panel["pilot"] == 1) & (study.panel["month"] >= "2022-04")
    with_it = study.panel.loc[running, "emergency_admissions"].sum()
    without = world.panel.loc[running, "emergency_admissions"].sum()
    error = 0.85 * np.sqrt(1 / with_it + 1 / without)
    assert with_it / without == pytest.approx(0.85, abs=4 * error)
    att = study.truth["att"]
    events = att["emergency_admissions"] * running.sum()
    assert with_it - without == pytest.approx(events, abs=4 * np.sqrt(with_it + without))
    nights = study.panel.loc[running, "bed_days"].mean() - world.panel.loc[running, "bed_days"].mean()
    assert nights == pytest.approx(att["bed_days"], rel=0.25)


def test_staggered_starts_are_dealt_evenly():
    study = simulate(start=["2022-01", "2022-07"], **SMALL)
    assert study.practices["pilot_start"].value_counts().to_dict() == {"2022-01": 4, "2022-07": 4}
    assert study.truth["start"] == "2022-01"
    assert set(study.truth["pilots"]) == set(study.practices.loc[study.practices["pilot"] == 1, "practice"])


def test_selection_prefers_practices_with_high_rates():
    def gap(selection: float) -> float:
        panel = simulate(selection=selection, practices=60, people=500, pilots=24, seed=6).panel
        mean = means(panel, "admissions_per_1000", "2022-04")
        return mean[1, False] - mean[0, False]

    assert gap(4) > gap(0) + 1 > 0


def test_the_coding_change_moves_admissions_to_another_method():
    everyone, pilot = (simulate(coding_change=kind, seed=9, **SMALL) for kind in ("everyone", "pilot"))
    plain = simulate(seed=9, **SMALL)
    assert plain.admissions["method"].eq("same day").sum() == 0
    recoded = everyone.admissions[everyone.admissions["method"] == "same day"]
    assert recoded["admitted"].min() >= pd.Timestamp("2022-04-01")
    assert (recoded["nights"] == 0).all()
    assert len(everyone.admissions) == len(plain.admissions)
    only = pilot.admissions.loc[pilot.admissions["method"] == "same day", "practice"].unique()
    assert len(only) > 0 and set(only) <= set(pilot.truth["pilots"])
    assert did(pilot.panel) < did(plain.panel) - 0.2


def test_late_records_thin_the_last_months_by_halves():
    full, late = (simulate(late_records=share, practices=60, people=1000, seed=3) for share in (0, 0.8))
    by_month = [study.panel.groupby("month")["elective_admissions"].sum() for study in (full, late)]
    arrived = by_month[1] / by_month[0]
    assert arrived.iloc[-1] == pytest.approx(0.2, abs=0.07)
    assert arrived.iloc[-2] == pytest.approx(0.6, abs=0.09)
    assert arrived.iloc[:24].min() > 0.99


def test_diverging_trend_anticipation_and_spillover_are_what_they_say():
    base, apart = simulate(seed=5, **SMALL), simulate(seed=5, diverging_trend=0.2, **SMALL)
    expected = 0.2 * 18  # the mean month after the start lies 18 months after the mean month before it
    assert did(apart.panel) - did(base.panel) == pytest.approx(expected * 0.9, abs=0.8)
    early = simulate(seed=5, anticipation_months=3, rate_ratio=0.3, **SMALL)
    none = simulate(seed=5, rate_ratio=0.3, **SMALL)
    waiting = (early.panel["pilot"] == 1) & early.panel["month"].between("2022-01", "2022-03")
    fewer = (
        early.panel.loc[waiting, "emergency_admissions"].sum()
        / none.panel.loc[waiting, "emergency_admissions"].sum()
    )
    assert fewer == pytest.approx(0.3**0.5, abs=0.12)
    assert early.truth["att"] == none.truth["att"]
    spilt = simulate(seed=5, spillover=1.0, rate_ratio=0.3, selection=0, **SMALL)
    near = spilt.practices.loc[spilt.practices["pilot"] == 1, "region"].unique()
    there = (spilt.panel["pilot"] == 0) & spilt.panel["region"].isin(near)
    rate = spilt.panel[there].groupby(spilt.panel["month"] >= "2022-04")["emergency_admissions"].sum()
    assert rate[True] / rate[False] < 0.5


def test_autocorrelated_shocks():
    from qieval.data.simulate_events import ar1

    drawn = ar1((4000, 8), 0.7, np.random.default_rng(1))
    assert np.var(drawn, axis=0) == pytest.approx(np.ones(8), abs=0.12)
    assert np.corrcoef(drawn[:, 3], drawn[:, 4])[0, 1] == pytest.approx(0.7, abs=0.03)
    assert np.corrcoef(drawn[:, 3], drawn[:, 5])[0, 1] == pytest.approx(0.49, abs=0.04)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"practises": 3}, "Did you mean 'practices'"),
        ({"pilots": 60}, "pilots: 60 lies outside 1 to 59"),
        ({"start": "April 22nd"}, "start: 'April 22nd' is not a month"),
        ({"start": "2019-01"}, "start: 2019-01 leaves no month before or after it"),
        ({"start": ()}, "start: no month is given"),
        ({"coding_change": "pilots"}, "Did you mean 'pilot'"),
        ({"months": 2.5}, "months: 2.5 is not a whole number"),
        ({"rate_ratio": "less"}, "rate_ratio: 'less' is not a number"),
    ],
)
def test_arguments_that_make_no_sense(arguments, words):
    with pytest.raises(DesignError, match=words):
        simulate(**arguments)


def test_a_scenario_and_arguments_by_name_mix():
    scenario = Scenario(practices=10, pilots=3, people=100, seed=2)
    assert simulate(scenario, months=24).scenario == Scenario(
        practices=10, pilots=3, people=100, seed=2, months=24
    )


def test_the_gaussian_panel_has_its_effect_and_its_autocorrelation():
    frame = simulate_panel(400, 20, 200, effect=2.0, rho=0.6, seed=11)
    wide = frame.pivot(index="unit", columns="time", values="y").to_numpy()
    treated = frame.groupby("unit")["treated"].first().to_numpy(dtype=bool)
    change = wide[:, 10:].mean(axis=1) - wide[:, :10].mean(axis=1)
    error = np.sqrt(change[treated].var() / 200 + change[~treated].var() / 200)
    assert change[treated].mean() - change[~treated].mean() == pytest.approx(2.0, abs=4 * error)
    before = wide[:, :10] - wide[:, :10].mean(axis=0)
    between = np.cov(before[:, 4], before[:, 5])[0, 1], np.cov(before[:, 4], before[:, 8])[0, 1]
    assert between[0] == pytest.approx(1 + 0.6, abs=0.4)
    assert between[1] == pytest.approx(1 + 0.6**4, abs=0.4)


@pytest.mark.parametrize("arguments", [{"n_treated": 60}, {"rho": 1.0}, {"n_periods": 0}])
def test_a_panel_that_cannot_be(arguments):
    with pytest.raises(DesignError):
        simulate_panel(**arguments)


@pytest.mark.slow
def test_difference_in_differences_is_unbiased_and_naive_comparisons_are_not():
    """40 studies: the mean error of each comparison against its Monte Carlo error."""
    errors = []
    for seed in range(40):
        study = simulate(practices=60, people=600, seed=seed)
        mean = means(study.panel, "admissions_per_1000", "2022-04")
        truth = study.truth["att"]["admissions_per_1000"]
        before_after = mean[1, True] - mean[1, False]
        naive = mean[1, True] - mean[0, True]
        errors.append([did(study.panel) - truth, before_after - truth, naive - truth])
    z = np.mean(errors, axis=0) / (np.std(errors, axis=0, ddof=1) / np.sqrt(40))
    assert abs(z[0]) < 3
    assert z[1] > 8
    assert z[2] > 8
