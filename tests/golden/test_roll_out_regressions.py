"""Regressions of staggered roll-outs against fixest (static, event study, sunab) and bacondecomp.

Card and Krueger's and the injury regressions are two-way fits of two groups and two periods: they are
checked in tests/numerics/test_golden_two_way.py and test_difference_in_differences.py.
"""

import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from qieval.numerics.covariance import t_interval
from qieval.numerics.goodman_bacon import goodman_bacon
from qieval.numerics.interaction_weighted import interaction_weighted
from qieval.numerics.roll_out_rows import RollOutRows, event_study, static_effect
from qieval.numerics.two_way_weights import two_way_weights

SHARED = Path(__file__).resolve().parents[3] / "shared"
EXACT = 1e-8
ZERO = 1e-14
"""Absolute, for p-values: a tail of 1e-11 multiplies the last digits of its t statistic by thirty.

fixest's standard errors of the unbalanced panel are 6e-10 off (its demeaning is iterative); ours equal
explicit dummies to 1e-15.
"""

pytestmark = pytest.mark.skipif(
    not (SHARED / "reference" / "did.json").is_file(),
    reason="the shared reference numbers are not beside the repository",
)


@pytest.fixture(scope="module")
def reference():
    held = json.loads((SHARED / "reference" / "did.json").read_text(encoding="utf-8"))
    return {case["id"]: case["expected"] for case in held["cases"]}


def codes(column):
    return np.unique(np.asarray(column), return_inverse=True)[1]


def started(column, never=0):
    first = np.asarray(column, dtype=float)
    return np.where(first == never, np.inf, first)


def mpdta():
    data = pd.read_csv(SHARED / "data" / "did_mpdta.csv")
    return data, ("countyreal", "year", "lemp"), started(data["first.treat"])


def base_stagg():
    data = pd.read_csv(SHARED / "data" / "did_base_stagg.csv")
    return data, ("id", "year", "y"), started(data["year_treated"], 10000)


def base_did():
    data = pd.read_csv(SHARED / "data" / "did_base_did.csv")
    return data, ("id", "period", "y"), np.where(data["treat"] == 1, 6.0, np.inf)


def simulated():
    data = pd.read_csv(SHARED / "data" / "did_sim_staggered.csv")
    return data, ("id", "year", "y"), started(data["g"])


def unbalanced():
    data, names, first = simulated()
    return data[data["obs"] == 1], names, first[data["obs"] == 1]


def castle():
    """The file holds single precision; R read it through a text file, that is, as the shortest decimals."""
    data = pd.read_stata(str(files("causaldata") / "castle" / "castle.dta"))
    data = data[["sid", "year", "l_homicide", "post", "popwt"]].astype(str).astype(float)
    starts = data[data["post"] == 1].groupby("sid")["year"].min()
    return data, ("sid", "year", "l_homicide"), data["sid"].map(starts).fillna(np.inf).to_numpy()


def organ():
    data = pd.read_csv(str(files("causaldata") / "organ_donations" / "organ_donation.csv"))
    quarters = ["Q42010", "Q12011", "Q22011", "Q32011", "Q42011", "Q12012"]
    data["number"] = data["Quarter"].map({name: i + 1 for i, name in enumerate(quarters)})
    first = np.where(data["State"] == "California", 4.0, np.inf)
    return data, ("State", "number", "Rate"), first


def math_reform():
    data = pd.read_csv(SHARED / "data" / "did_math_reform.csv")
    starts = data[data["reform_math"] == 1].groupby("state")["class"].min()
    return data, ("state", "class", "incearn_ln"), data["state"].map(starts).fillna(np.inf).to_numpy()


def rows_of(made, weights=None, clusters=None, x=()):
    data, (unit, time, y), first = made()
    times, code = np.unique(data[time].to_numpy().astype(np.int64), return_inverse=True)
    return RollOutRows(
        times=times,
        unit=codes(data[unit]),
        time=code,
        first=first,
        y=data[y].to_numpy(float),
        x=data[list(x)].to_numpy(float) if x else None,
        weights=data[weights].to_numpy(float) if weights else None,
        clusters=codes(data[clusters]) if clusters else None,
    )


def compare(effects, expected, at):
    """Estimate, error, t, p and interval at the positions `at` of the expected terms."""
    assert len(effects.estimate) == len(at) and set(effects.reason) == {""}
    found = t_interval(effects.estimate, effects.std_error, effects.df)
    for name, value in {
        "estimate": effects.estimate,
        "se": effects.std_error,
        "statistic": found.statistic,
        "p_value": found.p_value,
        "ci_low": found.low,
        "ci_high": found.high,
    }.items():
        held = np.array(expected[name])[at]
        np.testing.assert_allclose(value, held, rtol=EXACT, atol=ZERO, err_msg=name)
    assert effects.df == expected["df_t"]


STATIC = {
    "mpdta_twfe_static": (mpdta, {}, "cluster", "D"),
    "mpdta_twfe_static_iid": (mpdta, {}, "iid", "D"),
    "base_stagg_twfe": (base_stagg, {"x": ["x1"]}, "cluster", "treat_post"),
    "sim_twfe_unbal_cluster_region": (unbalanced, {"clusters": "region"}, "cluster", "treated"),
    "sim_twfe_unbal_weighted": (
        unbalanced,
        {"clusters": "region", "weights": "pop"},
        "cluster",
        "treated",
    ),
    "castle_twfe": (castle, {}, "cluster", "post"),
    "castle_twfe_w": (castle, {"weights": "popwt"}, "cluster", "post"),
    "organ_2x2": (organ, {}, "cluster", "did"),
    "organ_2x2_iid": (organ, {}, "iid", "did"),
}


@pytest.mark.parametrize("name", STATIC)
def test_static_two_way_regression(name, reference):
    made, changes, kind, term = STATIC[name]
    rows, expected = rows_of(made, **changes), reference[name]
    compare(static_effect(rows, kind), expected, [expected["term"].index(term)])
    assert two_way_weights(rows).estimate == pytest.approx(
        expected["estimate"][expected["term"].index(term)], rel=EXACT
    )
    assert rows.y.size == expected["nobs"]


EVENTS = {
    "mpdta_twfe_event": (mpdta, {}),
    "sim_twfe_event": (unbalanced, {"clusters": "region"}),
    "base_did_event": (base_did, {"x": ["x1"]}),
    "organ_event": (organ, {}),
}


@pytest.mark.parametrize("name", EVENTS)
def test_two_way_event_study(name, reference):
    made, changes = EVENTS[name]
    expected = reference[name]
    at = [place for place, term in enumerate(expected["term"]) if "::" in term]
    compare(event_study(rows_of(made, **changes)), expected, at)


INTERACTED = {
    "mpdta_sunab_es": (mpdta, {}, "event time"),
    "mpdta_sunab_att": (mpdta, {}, "overall"),
    "mpdta_sunab_cohort": (mpdta, {}, "cohort"),
    "base_stagg_sunab_es": (base_stagg, {"x": ["x1"]}, "event time"),
    "base_stagg_sunab_att": (base_stagg, {"x": ["x1"]}, "overall"),
    "sim_sunab_es": (unbalanced, {"clusters": "region"}, "event time"),
    "sim_sunab_att": (unbalanced, {"clusters": "region"}, "overall"),
    "castle_sunab_es": (castle, {}, "event time"),
    "castle_sunab_att": (castle, {}, "overall"),
}


@pytest.mark.parametrize("name", INTERACTED)
def test_interaction_weighted(name, reference):
    made, changes, by = INTERACTED[name]
    found, expected = interaction_weighted(rows_of(made, **changes)), reference[name]
    at = [place for place, term in enumerate(expected["term"]) if term != "x1"]
    effects = found.aggregate(by)
    compare(effects, expected, at)
    assert np.count_nonzero(found.used) == expected["nobs"]
    if by != "overall":
        labels = [float(expected["term"][place].split("::")[1]) for place in at]
        np.testing.assert_array_equal(effects.at, labels)


def test_cells_of_the_interaction_weighted_regression(reference):
    found, expected = interaction_weighted(rows_of(mpdta)), reference["mpdta_sunab_noagg"]
    parts = [term.replace("year::", "").split(":cohort::") for term in expected["term"]]
    order = [
        int(np.flatnonzero((found.event_time == float(event)) & (found.cohort == float(cohort)))[0])
        for event, cohort in parts
    ]
    assert sorted(order) == list(range(found.time.size))
    np.testing.assert_allclose(found.estimate[order], expected["estimate"], rtol=EXACT)
    error = np.sqrt(np.diag(found.covariance))[order]
    np.testing.assert_allclose(error, expected["se"], rtol=EXACT)


BACON = {
    "mpdta_bacon": mpdta,
    "castle_bacon": castle,
    "sim_bacon": simulated,
    "math_reform_bacon": math_reform,
}


@pytest.mark.parametrize("name", BACON)
def test_goodman_bacon(name, reference):
    data, (unit, time, y), first = BACON[name]()
    wide = data.pivot(index=unit, columns=time, values=y)
    start = data.assign(start=first).groupby(unit)["start"].first().loc[wide.index].to_numpy()
    found = goodman_bacon(wide.to_numpy(), start, wide.columns.to_numpy().astype(np.int64))
    expected = reference[name]
    names = ("treated", "untreated", "estimate", "weight", "type")
    theirs = {(k[0], k[1]): k[2:] for k in zip(*(expected[part] for part in names), strict=True)}
    other = np.where(np.isinf(found.comparison), 99999, found.comparison)
    ours = zip(found.treated, other, found.estimate, found.weight, found.kind, strict=True)
    assert len(theirs) == len(found.kind)
    for treated, untreated, estimate, weight, kind in ours:
        held = theirs[(int(treated), int(untreated))]
        assert (estimate, weight) == pytest.approx(held[:2], rel=EXACT)
        assert kind == held[2]
    assert found.twfe == pytest.approx(expected["twfe"], rel=EXACT)
    by_type = expected["by_type"]
    assert [part.kind for part in found.by_kind] == by_type["type"]
    np.testing.assert_allclose([part.weight for part in found.by_kind], by_type["weight"], rtol=EXACT)
    averages = [part.estimate for part in found.by_kind]
    np.testing.assert_allclose(averages, by_type["avg_estimate"], rtol=EXACT)
