"""Power of planned roll-outs: schedules in words of the data, figures against slow ones and formulae."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import qieval as qe
from qieval.methods.staggered_adoption.effect import estimate
from qieval.numerics.resampling import Resampling
from qieval.numerics.rollout_power import RolloutAnalysis, RolloutPlan, simulate_rollout_power
from qieval.numerics.rollout_weights import RolloutRules
from qieval.periods import read_periods
from qieval.rollout.history import MOST_SITES
from qieval.rollout.schedules import coming, planned

SITES, MONTHS = 24, 12


def history(sites=SITES, months=MONTHS, seed=3, spread=1.0):
    rng = np.random.default_rng(seed)
    level = 20 + rng.standard_normal(sites)
    y = level[:, None] + spread * rng.standard_normal((sites, months))
    return pd.DataFrame(
        {
            "site": np.repeat([f"s{at:02d}" for at in range(sites)], months),
            "month": np.tile(
                [str(one) for one in pd.period_range("2023-01", periods=months, freq="M")], sites
            ),
            "y": y.ravel(),
        }
    )


def design(**fields):
    held = {"outcome": "y", "unit": "site", "time": "month", "first_treated": "begins"}
    return qe.StaggeredAdoption(**(held | fields))


def power(schedule, frame=None, periods=12, draws=199, **fields):
    frame = history() if frame is None else frame
    return qe.rollout_power(frame, design=design(**fields), schedule=schedule, periods=periods, draws=draws)


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([3, 5, 7], ["9", "11"]),
        (["2023-11", "2023-12"], ["2024-01", "2024-02"]),
        (["2023Q2", "2023Q4"], ["2024Q2", "2024Q4"]),
        (["2023", "2024"], ["2025", "2026"]),
        (pd.to_datetime(["2023-10-31", "2023-12-31"]), ["2024-02-29", "2024-04-30"]),
        (pd.to_datetime(["2023-11-01", "2023-12-01"]), ["2024-01-01", "2024-02-01"]),
        (pd.to_datetime(["2024-01-01", "2024-01-08"]), ["2024-01-15", "2024-01-22"]),
    ],
)
def test_periods_to_come_go_on_in_the_rhythm_of_the_history(times, expected):
    assert coming(read_periods(pd.Series(times)), 2).shown() == expected


def test_starts_are_placed_among_the_periods_to_come():
    held = read_periods(pd.Series(["2023-11", "2023-12"]))
    ahead = coming(held, 6)
    sites = pd.Index(["a", "b", "c", "d", "e", "f", "g"])
    stated = {"a": "2024-01", "b": "2024-02-15", "c": None, "d": "never", "e": np.nan, "f": "2030-01"}
    found = planned(stated, sites, held, ahead)
    np.testing.assert_array_equal(found.first, [0, 2, *[np.inf] * 5])
    assert not found.by_lot
    as_series = planned(pd.Series(stated), sites, held, ahead)
    np.testing.assert_array_equal(as_series.first, found.first)
    waves = planned(qe.Waves({"2024-01": 2, "2024-04": 3}), sites, held, ahead)
    np.testing.assert_array_equal(waves.first, [0, 0, 3, 3, 3, np.inf, np.inf])
    wedge = planned(qe.SteppedWedge(steps=3, gap=2, first="2024-02", never=1), sites, held, ahead)
    np.testing.assert_array_equal(wedge.first, [1, 1, 3, 3, 5, 5, np.inf])
    assert waves.by_lot
    assert wedge.by_lot


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        ({"s99": "2024-02"}, "s99 is not in the data"),
        ({"s01": "2023-05"}, "lies within the history, which goes on to 2023-12"),
        ({"s01": "soon"}, "is not a date"),
        ({"s01": "never"}, "no site begins"),
        ({"s01": "2031-01"}, "no site begins"),
        (qe.Waves({"2024-01": 25}), "do not fit 24 sites"),
        (qe.Waves({"2024-01": 2.5}), "do not fit 24 sites"),
        (qe.Waves({}), "state {site: start}"),
        (qe.SteppedWedge(steps=0), "do not fit 24 sites"),
        (qe.SteppedWedge(steps=3, never=22), "do not fit 24 sites"),
        (7, "state {site: start}"),
        ({}, "no site begins"),
    ],
)
def test_a_schedule_that_does_not_fit_says_why(schedule, said):
    with pytest.raises(qe.DesignError, match=said):
        power(schedule)


def test_figures_are_those_of_the_kernel():
    frame = history()
    starts = {f"s{at:02d}": "2024-01" if at < 8 else "2024-05" for at in range(16)}
    found = power(
        starts, frame, seed=5, level=0.9, control_group="never", aggregation="group", expected_lag=1
    )
    first = np.repeat([0.0, 4.0, np.inf], 8)
    expected = simulate_rollout_power(
        frame["y"].to_numpy().reshape(SITES, MONTHS),
        RolloutPlan(first=first, periods=12),
        RolloutAnalysis(rules=RolloutRules(control_group="never", aggregation="group"), build_up=(0.0, 1.0)),
        resampling=Resampling(draws=199, seed=5, level=0.9),
    )
    row = found.table.iloc[0]
    assert row["minimum_detectable_effect"] == expected.mde
    assert row["false_positives"] == expected.size
    assert (row["begin"], row["never_begin"], row["starts"]) == (16, 8, 2)
    assert (row["first_start"], row["last_start"]) == ("2024-01", "2024-05")
    assert row["share_of_level"] == pytest.approx(expected.mde / frame["y"].mean())
    np.testing.assert_array_equal(found.curves["power"], expected.power)


def test_the_minimum_detectable_effect_is_that_of_the_formula():
    """Half begin at once: a change is the mean of 12 periods less one before, twelve sites against twelve."""
    found = power(qe.Waves({"2025-01": 60}), history(sites=120, months=24, seed=1), draws=1999)
    error = np.sqrt((1 / 12 + 1) * (1 / 60 + 1 / 60))
    assert found.table["minimum_detectable_effect"].iloc[0] == pytest.approx((1.98 + 0.845) * error, rel=0.08)
    assert found.table["false_positives"].iloc[0] == pytest.approx(0.05, abs=0.02)


def test_power_is_the_share_of_simulated_studies_that_find_it():
    """New outcomes with an effect of the minimum detectable size, each estimated from its frame."""
    held = design(aggregation="simple", control_group="not yet", inference="analytic")
    wedge = qe.SteppedWedge(steps=4, gap=2, never=8)
    found = qe.rollout_power(history(40, 12, seed=2), design=held, schedule=wedge, periods=10, draws=999)
    effect = found.table["minimum_detectable_effect"].iloc[0]
    first = np.repeat([13, 15, 17, 19, 0], 8)
    rng, numbered, t = np.random.default_rng(0), replace(held, time="t"), np.arange(1, 23)
    on = (first[:, None] > 0) & (t >= first[:, None])
    index = {"site": np.repeat(np.arange(40), 22), "t": np.tile(t, 40), "begins": first.repeat(22)}
    hits = []
    for _ in range(200):
        y = effect * on + rng.standard_normal(on.shape)
        study = pd.DataFrame(index | {"y": y.ravel()})
        row = estimate(numbered, study, brief=True).estimates.iloc[0]
        hits.append(row["p_value"] < 0.05)
    assert np.mean(hits) == pytest.approx(0.8, abs=0.1)


def test_schedules_are_compared_by_name_and_sooner_is_better():
    several = {
        "two steps": qe.SteppedWedge(steps=2, gap=3),
        "late": qe.SteppedWedge(steps=2, gap=3, first="2024-07"),
    }
    found = power(several)
    assert list(found.table["schedule"]) == ["two steps", "late"]
    sooner, later = found.table["minimum_detectable_effect"]
    assert sooner < later
    assert set(found.curves["schedule"]) == set(several)
    assert "late: 24 sites begin at 2 starts (2024-07 to 2024-10)" in repr(found)
    assert "two steps" in found._repr_html_()


def test_a_schedule_that_cannot_be_tested_says_so_beside_the_others():
    found = power({"one by one": qe.SteppedWedge(steps=12, never=12), "halves": qe.Waves({"2024-01": 12})})
    assert "two clusters or more for each start" in found.table["note"].iloc[0]
    assert np.isnan(found.table["minimum_detectable_effect"].iloc[0])
    assert found.table["minimum_detectable_effect"].iloc[1] > 0
    assert set(found.curves["schedule"]) == {"halves"}


def test_one_site_to_a_step_is_tested_by_drawing_the_order_again():
    wedge = qe.SteppedWedge(steps=SITES)
    found = power(wedge, periods=30, inference="randomisation", rollout_randomised="yes")
    assert found.table["minimum_detectable_effect"].iloc[0] > 0
    assert found.table["false_positives"].iloc[0] <= 0.1


def test_units_of_measurement_and_order_of_rows_do_not_matter():
    frame, wedge = history(), qe.SteppedWedge(steps=3, gap=2)
    stated = power(wedge, frame).table["minimum_detectable_effect"].iloc[0]
    other = power(wedge, frame.sample(frac=1, random_state=1).assign(y=lambda held: 1000 * held["y"]))
    assert other.table["minimum_detectable_effect"].iloc[0] == pytest.approx(1000 * stated, rel=1e-6)


def test_rates_are_events_over_exposure_of_the_site():
    frame = history().assign(list_size=500.0)
    rates = power(qe.SteppedWedge(steps=3), frame)
    frame["y"] *= 500
    events = power(qe.SteppedWedge(steps=3), frame, exposure="list_size", approach="poisson")
    assert events.table["minimum_detectable_effect"].iloc[0] == pytest.approx(
        rates.table["minimum_detectable_effect"].iloc[0], rel=1e-6
    )
    assert "differences of rates" in repr(events)


def test_people_sampled_anew_are_averaged_by_site():
    frame = history()
    twice = pd.concat([frame.assign(y=frame["y"] + 1, person=1), frame.assign(y=frame["y"] - 1, person=2)])
    found = power(
        qe.SteppedWedge(steps=3), twice, unit="person", cluster="site", data="repeated cross-sections"
    )
    expected = power(qe.SteppedWedge(steps=3), frame)
    assert found.table["minimum_detectable_effect"].iloc[0] == pytest.approx(
        expected.table["minimum_detectable_effect"].iloc[0], rel=1e-9
    )


def test_wards_that_begin_together_are_one_site():
    frame = history()
    frame["region"] = frame["site"].str[1:].astype(int) % 8
    found = power({0: "2024-01", 1: "2024-01", 2: "2024-01", 3: "2024-01"}, frame, cluster="region")
    assert (found.table["begin"].iloc[0], found.table["never_begin"].iloc[0]) == (4, 4)


def test_time_after_a_start_is_refused():
    frame = history().assign(begins=lambda held: np.where(held["site"] < "s05", "2023-09", ""))
    with pytest.raises(qe.DataError, match=r"60 rows are of units that begin within the history"):
        power(qe.SteppedWedge(steps=3), frame)
    found = power({"s01": "2023-09", "s02": "2023-09"}, frame, last_period="2023-08")
    assert found.table["first_start"].iloc[0] == "2023-09"
    treated = history().assign(on=lambda held: (held["month"] > "2023-10").astype(int))
    with pytest.raises(qe.DataError, match="48 rows"):
        power(qe.SteppedWedge(steps=3), treated, first_treated=None, treatment="on")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda held: held.drop(columns="y"), "there is no column 'y'"),
        (lambda held: pd.concat([held, held.iloc[:1]]), "several rows in a period"),
        (lambda held: held[held["month"] == "2023-01"], "one period only"),
        (lambda held: held.assign(y=held["y"].where(held.index > 3)), "4 rows lack a value"),
        (lambda held: held.assign(y="high"), "must hold numbers"),
        (lambda held: held.assign(month="soon"), "cannot be used as time"),
    ],
)
def test_data_that_do_not_fit_say_why(change, said):
    with pytest.raises(qe.DataError, match=said):
        power(qe.SteppedWedge(steps=3), change(history()), missing="refuse")


def test_too_many_sites_ask_for_a_cluster():
    with pytest.raises(qe.DataError, match="as `cluster`"):
        power(qe.SteppedWedge(steps=3), history(sites=MOST_SITES + 1, months=2))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"periods": 0}, "no number of periods"),
        ({"build_up": ()}, "share of the full effect"),
        ({"build_up": (np.nan,)}, "share of the full effect"),
    ],
)
def test_arguments_that_make_no_sense_say_why(given, said):
    held = {"design": design(), "schedule": qe.SteppedWedge(steps=3), "periods": 6}
    with pytest.raises(qe.DesignError, match=said):
        qe.rollout_power(history(), **(held | given))


def test_an_effect_that_builds_up_must_be_larger():
    at_once, slowly = (
        qe.rollout_power(
            history(),
            design=design(),
            schedule=qe.SteppedWedge(steps=3),
            periods=8,
            build_up=shares,
            draws=199,
        )
        .table["minimum_detectable_effect"]
        .iloc[0]
        for shares in ((1.0,), (0.0, 0.25, 0.5, 0.75, 1.0))
    )
    assert slowly > 1.2 * at_once


def test_the_picture_has_title_axes_and_a_line_for_each_schedule():
    picture = power({"a": qe.SteppedWedge(steps=2), "b": qe.SteppedWedge(steps=4)}).plot()
    assert picture.labels.title
    assert "full effect on y" in picture.labels.x
    assert list(picture.data["schedule"].cat.categories) == ["a", "b"]
    with pytest.raises(qe.DesignError, match="no schedule has a power"):
        power(qe.SteppedWedge(steps=SITES)).plot()
