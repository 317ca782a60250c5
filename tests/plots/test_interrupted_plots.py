"""What the pictures of an interrupted series show: layers and their data, no images are compared."""

from functools import partial

import numpy as np
import pandas as pd
import pytest

from qieval.check import Check
from qieval.diagnostics import series_change_point, series_dates, series_power, series_residuals
from qieval.methods import interrupted_time_series as its
from qieval.plots import interrupted, interrupted_evidence, interrupted_residuals
from qieval.result import Study

PERIODS, START = 48, 24


def data() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    mean = 200 * np.exp(0.002 * np.arange(PERIODS) - 0.2 * (np.arange(PERIODS) >= START))
    months = pd.period_range("2016-01", periods=PERIODS, freq="M").astype(str)
    return pd.DataFrame({"month": months, "events": rng.poisson(mean), "people": 10_000.0})


def study(**fields) -> Study:
    given = {"outcome": "events", "time": "month", "start": "2018-01", "denominator": "people", "per": 1000}
    design = its.InterruptedTimeSeries(**{**given, "change": "level and slope", **fields})
    held = data()
    result = its.estimate(design, held)
    return Study(result, held, its.parse(design, held), partial(its.estimate, brief=True))


@pytest.fixture(scope="module")
def held() -> Study:
    return study(
        phase_in=2,
        left_out={"2016-05": "strike"},
        events={"2018-09": "a new tariff", "2017-02": "flu", "2031-01": "later"},
    )


def frames(picture) -> list[pd.DataFrame]:
    return [layer._data for layer in picture.layers if isinstance(layer._data, pd.DataFrame)]


def test_observed_and_expected_shows_lines_points_and_events(held):
    picture = interrupted.observed_and_expected(held.result)
    picture.draw()
    lines = next(frame for frame in frames(picture) if "which" in frame)
    expected = lines[lines["which"] == "expected without the intervention"]
    assert expected["time"].min() == pd.Timestamp("2017-12-01")
    np.testing.assert_array_equal(expected["shown"], held.result.kernel.expected[START - 1 :])
    points = next(frame for frame in frames(picture) if "point" in frame)
    hollow = points.loc[points["point"] == "left out of the model", "time"].dt.strftime("%Y-%m")
    assert hollow.tolist() == ["2016-05", "2018-01", "2018-02"]
    marks = next(frame for frame in frames(picture) if "number" in frame)
    assert marks["said"].tolist()[:2] == ["flu", "a new tariff"]
    assert "2  2018-09: a new tariff" in picture.labels.caption
    assert "observed and expected without the intervention" in picture.labels.title
    assert picture.labels.y == "events per 1,000"


def test_events_outside_the_series_are_not_drawn(held):
    marks = interrupted._events(held.result)
    assert marks["said"].tolist() == ["flu", "a new tariff"]


def test_effect_over_time_adds_up(held):
    picture = interrupted.effect_over_time(held.result)
    picture.draw()
    table = picture.data
    single = table[table["panel"] == "in each period"]
    added = table[table["panel"] == "added up since the start"]
    np.testing.assert_allclose(np.cumsum(single["estimate"] * 10), added["estimate"], rtol=1e-9)
    total = held.result.estimates.set_index("term").loc["cumulative effect"]
    for name in ("estimate", "conf_low", "conf_high"):
        assert added[name].iloc[-1] == pytest.approx(total[name])


def test_residuals_are_standardised_and_their_correlations_drawn(held):
    picture = interrupted_residuals.residuals_over_time(held.result)
    picture.draw()
    assert float((picture.data["left"] ** 2).mean()) == pytest.approx(1.0)
    assert len(picture.data) == PERIODS - 3
    bars = interrupted_residuals.residual_autocorrelation(held.result)
    bars.draw()
    assert set(bars.data["kind"]) == {"autocorrelation", "partial autocorrelation"}


def test_pictures_of_other_models():
    result = study(change="any", model="structural time series", family="gaussian").result
    interrupted.observed_and_expected(result).draw()
    picture = interrupted.effect_over_time(result)
    added = picture.data[picture.data["panel"] == "added up since the start"]
    horizons = result.estimates[result.estimates["term"] == "cumulative effect by horizon"]
    assert added["estimate"].tolist() == horizons["estimate"].tolist()
    bars = interrupted_residuals.residual_autocorrelation(result)
    assert bars.data["value"].abs().max() < 1


def test_a_result_without_residuals_or_series_says_so(held):
    brief = held.refit(held.design, held.frame)
    with pytest.raises(ValueError, match="no series to draw"):
        interrupted.observed_and_expected(brief)


def test_the_pictures_of_checks(held):
    search = series_change_point.change_point_search(held)
    picture = interrupted_evidence.criterion_by_date(search.table, search)
    picture.draw()
    marked = next(frame for frame in frames(picture) if "said" in frame)
    assert any("stated start" in said for said in marked["said"])
    placebos = series_dates.placebo_dates(held)
    interrupted_evidence.statistics_by_date(placebos.table, placebos).draw()
    bars = series_residuals.residual_autocorrelation(held)
    interrupted_evidence.autocorrelation_bars(bars.table, bars).draw()
    power: Check = series_power.minimum_detectable_change(held.design, its.blind(held.design, held.frame))
    interrupted_evidence.power_by_change(power.table, power).draw()
    assert [search.picture, placebos.picture, bars.picture, power.picture] == [
        "change point",
        "placebo dates",
        "autocorrelation",
        "power of changes",
    ]
