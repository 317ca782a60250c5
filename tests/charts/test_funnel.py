"""Funnels: who lies outside, and which limits are used."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from qieval.charts import funnel
from qieval.errors import DataError, DesignError

RNG = np.random.default_rng(3)
N = RNG.integers(300, 3000, 30)
CHANCE = pd.DataFrame({"trust": [f"T{each:02d}" for each in range(30)], "n": N, "y": RNG.binomial(N, 0.1)})
SPREAD = CHANCE.assign(y=RNG.binomial(N, np.clip(RNG.normal(0.1, 0.03, 30), 0.02, 0.3)))


def made(frame=CHANCE, **fields):
    return funnel(frame, "y", "n", "trust", **fields)


def test_values_and_common_value_are_those_of_the_table():
    found = made(per=100).units.set_index("unit")
    by_hand = CHANCE.set_index("trust")
    np.testing.assert_allclose(found["value"], 100 * (by_hand["y"] / by_hand["n"]).loc[found.index])
    assert made().target == pytest.approx(CHANCE["y"].sum() / CHANCE["n"].sum())


def test_exact_limits_hold_the_right_share_of_the_binomial():
    found = made(limits="exact")
    row = found.units.iloc[-1]
    low, high = (stats.binom.ppf(tail, row["denominator"], found.target) for tail in (0.025, 0.975))
    assert abs(row["lower_95"] * row["denominator"] - low) <= 1
    assert abs(row["upper_95"] * row["denominator"] - high) <= 1
    assert row["lower_998"] < row["lower_95"] < row["upper_95"] < row["upper_998"]


def test_limits_follow_what_organisations_do():
    assert made().limits == "exact"
    wide = made(SPREAD)
    assert wide.limits == "additive" and wide.tau > 0 and "over-dispersion" in wide.why
    exact = made(SPREAD, limits="exact")
    assert (exact.units["where"] == "outside 99.8%").sum() > (wide.units["where"] == "outside 99.8%").sum()


@pytest.mark.parametrize("limits", ["exact", "normal", "multiplicative", "additive"])
def test_an_organisation_far_off_is_outside_and_named(limits):
    frame = CHANCE.copy()
    frame.loc[4, "y"] = int(0.4 * frame.loc[4, "n"])
    found = made(frame, limits=limits)
    assert found.units.set_index("unit").loc["T04", "where"] == "outside 99.8%"
    assert "T04" in found.headline and "not why" in found.headline
    assert found.units.set_index("unit").loc["T04", "z"] > 3


def test_z_is_on_the_scale_of_the_limits():
    for limits in ("multiplicative", "additive"):
        units = made(SPREAD, limits=limits).units
        outside = units["z"].abs() > stats.norm.ppf(0.999)
        np.testing.assert_array_equal(outside, units["where"] == "outside 99.8%")


def test_rows_of_an_organisation_are_added_up():
    halves = pd.concat([CHANCE.assign(y=CHANCE["y"] // 2), CHANCE.assign(y=CHANCE["y"] - CHANCE["y"] // 2)])
    halves["n"] = np.concatenate([N // 2, N - N // 2])
    pd.testing.assert_frame_equal(made(halves).units, made().units)


def test_kinds():
    assert made().kind == "proportion"
    assert made(per=1000).kind == "rate"
    ratio = made(CHANCE.assign(n=CHANCE["n"] * 0.1), kind="ratio")
    assert ratio.target == 1
    assert made(target=0.2).target == 0.2
    assert made(target=20, per=100).target == pytest.approx(20)


@pytest.mark.parametrize(
    ("change", "fields", "said"),
    [
        ({"y": -1}, {}, "counts of events"),
        ({"y": 0.5}, {}, "counts of events"),
        ({"y": 0}, {}, "zero everywhere"),
        ({"n": 0}, {}, "zero or less"),
        ({"y": 10**6}, {"kind": "proportion"}, "exceeds"),
        ({"n": 3000.5}, {"kind": "proportion"}, "fractions"),
        ({"y": np.nan}, {}, "is empty"),
        ({"y": "many"}, {}, "must hold numbers"),
        ({"y": np.inf}, {}, "infinite"),
        ({"trust": "one"}, {}, "fewer than two"),
    ],
)
def test_bad_data_is_told(change, fields, said):
    with pytest.raises(DataError, match=said):
        made(CHANCE.assign(**change), **fields)


def test_bad_choices_are_told():
    with pytest.raises(DesignError, match=r"limits: 'exakt'.*Did you mean 'exact'"):
        made(limits="exakt")
    with pytest.raises(DesignError, match="target"):
        made(target=3, kind="proportion")
    with pytest.raises(DataError, match="Did you mean 'trust'"):
        funnel(CHANCE, "y", "n", "trusts")


def test_few_organisations():
    found = made(CHANCE.head(3))
    assert found.limits == "exact" and "Fewer than 5" in found.why
    assert "qieval-card" in found._repr_html_() and "Note" in repr(found)
