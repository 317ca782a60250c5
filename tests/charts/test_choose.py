"""Which chart fits the data, and the reason."""

import numpy as np
import pandas as pd
import pytest

from qieval.charts import choose_chart
from qieval.charts.choose import Given, choose, short_term_ratio

RNG = np.random.default_rng(4)
MONTHS = pd.period_range("2022-01", periods=24, freq="M").astype(str)


def chosen(**columns):
    per = columns.pop("per", 1)
    frame = pd.DataFrame({"month": MONTHS, **columns})
    return choose_chart(frame, "y", "month", "n" if "n" in columns else None, per=per)


def test_counts_out_of_a_number_are_proportions():
    assert chosen(y=RNG.binomial(120, 0.1, 24), n=120).kind == "p"
    assert chosen(y=RNG.binomial(120, 0.1, 24), n=120, per=100).kind == "p"


def test_counts_per_exposure_are_rates():
    made = chosen(y=RNG.poisson(5, 24), n=950, per=1000)
    assert made.kind == "u" and "per an exposure" in made.why
    assert chosen(y=[7] * 23 + [9], n=5).kind == "u"
    assert chosen(y=RNG.poisson(5, 24), n=RNG.uniform(20, 30, 24)).kind == "u"


@pytest.mark.parametrize(("spread", "kind"), [(0.0, "p"), (0.06, "p'")])
def test_large_denominators_ask_for_laney_only_when_points_vary_more_than_chance(spread, kind):
    share = np.clip(0.3 + spread * RNG.normal(0, 1, 24), 0.05, 0.95)
    made = chosen(y=RNG.binomial(5000, share), n=5000)
    assert made.kind == kind
    assert ("thousands" in made.why) == (kind == "p'")


def test_small_denominators_never_ask_for_laney():
    share = np.clip(0.3 + 0.2 * RNG.normal(0, 1, 24), 0.05, 0.95)
    assert chosen(y=RNG.binomial(200, share), n=200).kind == "p"


def test_counts_alone():
    assert chosen(y=RNG.poisson(6, 24)).kind == "c"
    scattered = chosen(y=RNG.integers(8000, 12000, 24))
    assert scattered.kind == "i" and "neighbours" in scattered.why
    few = chosen(y=[0, 1] * 12)
    assert few.kind == "c" and any("kind='g'" in note for note in few.notes)


def test_measurements_and_subgroups():
    assert chosen(y=RNG.normal(5, 1, 24)).kind == "i"
    assert chosen(y=-np.arange(24)).kind == "i"
    twice = pd.DataFrame({"month": np.repeat(MONTHS, 3), "y": RNG.normal(5, 1, 72)})
    made = choose_chart(twice, "y", "month")
    assert made.kind == "xbar" and "kind='s'" in made.notes[0]


def test_rare_events_on_daily_data_are_days_between_events():
    days = pd.DataFrame({"date": pd.date_range("2024-01-01", periods=300), "y": 0})
    days.loc[::17, "y"] = 1
    made = choose_chart(days, "y", "date")
    assert made.kind == "g" and "of the days have none" in made.why
    days["date"] = days["date"].dt.to_period("D").astype(str)
    assert choose_chart(days, "y", "date").kind == "g"
    assert choose_chart(days.assign(y=0), "y", "date").kind == "c"


def test_points_left_out_do_not_choose():
    given = Given(y=np.array([3.0, 4]), size=np.array([10.0, 12]), code=np.arange(2), per=1, daily=False)
    assert choose(given).kind == "p"


def test_short_term_ratio_by_hand():
    y, n = np.array([1.0, 3.0, 2.0]), np.array([10.0, 10.0, 10.0])
    z = (y / n - 0.2) / np.sqrt(0.2 * 0.8 / 10)
    expected = (abs(z[1] - z[0]) + abs(z[2] - z[1])) / 2 / 1.128
    assert short_term_ratio("p", y, n) == pytest.approx(expected)
    assert np.isnan(short_term_ratio("u", np.zeros(3), n))
    assert np.isnan(short_term_ratio("u", y[:1], n[:1]))


def test_short_term_ratio_is_near_one_for_chance_and_passes_over_an_outlier():
    y = np.random.default_rng(1).poisson(30, 4000).astype(float)
    ratio = short_term_ratio("c", y, np.ones(4000))
    assert ratio == pytest.approx(0.97, abs=0.03)
    y[2000] = 3000
    assert short_term_ratio("c", y, np.ones(4000)) == pytest.approx(ratio, rel=0.05)
