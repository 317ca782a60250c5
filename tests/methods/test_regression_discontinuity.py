"""Regression discontinuity: signs, scales, intervals and several cutoffs through the verbs."""

import numpy as np
import pandas as pd
import pytest

import qieval as qe
from qieval.data import simulate_birth_weight, simulate_cutoff


def people(n=3000, seed=2, jump=1.5):
    rng = np.random.default_rng(seed)
    x = rng.uniform(-10, 10, n)
    y = 2 + 0.3 * x + 0.02 * x**2 + jump * (x >= 0) + rng.normal(0, 1, n)
    return pd.DataFrame({"x": x, "y": y, "age": rng.normal(50, 5, n)})


def design(side="at or above", **fields):
    return qe.RegressionDiscontinuity(outcome="y", score="x", cutoff=0, treated_side=side, **fields)


def first(result):
    return result.estimates.iloc[0]


def test_the_effect_reads_as_that_of_the_intervention():
    data = people()
    above, below = first(qe.estimate(design(), data)), first(qe.estimate(design("below"), data))
    assert above["conf_low"] < 1.5 < above["conf_high"]
    assert below["estimate"] == pytest.approx(-above["estimate"], rel=1e-12)
    assert below["conf_low"] == pytest.approx(-above["conf_high"], rel=1e-12)


def test_people_at_the_cutoff_belong_to_the_stated_side():
    data = people().round({"x": 0})
    for side, treated in (("at or above", data["x"] >= 0), ("above", data["x"] > 0)):
        held = qe.estimate(design(side, bandwidth=(6,), inference="robust"), data)
        mirrored = data.assign(x=-data["x"])
        other = {"at or above": "at or below", "above": "below"}[side]
        turned = qe.estimate(design(other, bandwidth=(6,), inference="robust"), mirrored)
        assert first(held)["estimate"] == pytest.approx(first(turned)["estimate"], rel=1e-10)
        near = data["x"].abs() < 6
        assert held.facts["treated units"] == int((treated & near).sum())


def test_two_bandwidths_are_left_and_right_of_the_score():
    data = people()
    one = qe.estimate(design("below", bandwidth=(3, 5)), data)
    turned = qe.estimate(design("above", bandwidth=(5, 3)), data.assign(x=-data["x"]))
    assert one.facts["bandwidth on the treated side"] == 3
    assert turned.facts["bandwidth on the treated side"] == 3
    assert first(one)["estimate"] == pytest.approx(first(turned)["estimate"], rel=1e-10)


def test_risks_have_differences_ratios_and_numbers_needed():
    data = simulate_birth_weight(seed=5, heaping=0.0).frame
    stated = qe.RegressionDiscontinuity(
        outcome="died", score="birth_weight", cutoff=1500, treated_side="below", inference="robust"
    )
    found = qe.estimate(stated, data).estimates.set_index("term")
    difference = found.loc["risk difference", "estimate"]
    assert found.loc["risk difference, robust", "estimate"] == pytest.approx(difference, rel=1e-12)
    limits = qe.estimate(stated, data).facts
    one, zero = (limits[f"outcome at the cutoff {side}"] for side in ("with the intervention", "without it"))
    assert one - zero == pytest.approx(difference, rel=1e-10)
    assert found.loc["risk ratio", "estimate"] == pytest.approx(one / zero, rel=1e-10)
    assert found.loc["number needed to treat", "estimate"] == pytest.approx(1 / difference, rel=1e-10)


def test_rates_weigh_people_by_their_time():
    rng = np.random.default_rng(4)
    data = people().assign(time=rng.uniform(0.2, 2.0, 3000))
    data["events"] = rng.poisson(data["time"] * np.exp(0.05 * data["x"] - 0.4 * (data["x"] >= 0)))
    rate = qe.RegressionDiscontinuity(
        outcome="events", score="x", cutoff=0, treated_side="at or above", person_time="time", bandwidth=(6,)
    )
    by_hand = qe.RegressionDiscontinuity(
        outcome="rate", score="x", cutoff=0, treated_side="at or above", weights="time", bandwidth=(6,)
    )
    one = qe.estimate(rate, data).estimates.set_index("term")
    other = first(qe.estimate(by_hand, data.assign(rate=data["events"] / data["time"])))
    assert one.loc["rate difference", "estimate"] == pytest.approx(other["estimate"], rel=1e-10)
    assert one.loc["rate ratio", "conf_low"] < np.exp(-0.4) < one.loc["rate ratio", "conf_high"]


def test_a_weak_jump_in_uptake_has_the_anderson_rubin_interval():
    made = simulate_cutoff(6000, uptake=(0.3, 0.42), seed=8)
    stated = qe.RegressionDiscontinuity(
        outcome="cost",
        score="age_months",
        cutoff=780,
        treated_side="at or above",
        received="health_check",
        bandwidth=(50,),
        level=0.6,
    )
    result = qe.estimate(stated, made.frame)
    assert result.facts["effective F of the jump in who received it"] < 10
    assert first(result)["term"] == "difference, Anderson-Rubin"
    usual = result.estimates.set_index("term").loc["difference, robust"]
    width = first(result)["conf_high"] - first(result)["conf_low"]
    assert width > usual["conf_high"] - usual["conf_low"]
    jumps = result.estimates.set_index("term")["estimate"]
    assert jumps["jump of the outcome"] / jumps["jump of what was received"] == pytest.approx(
        usual["estimate"], rel=0.2
    )


def test_several_cutoffs_are_pooled_and_shown_apart():
    rng = np.random.default_rng(6)
    data = people(6000).assign(c=rng.choice([0.0, 20.0], 6000))
    data["x"] = data["x"] + data["c"]
    stated = qe.RegressionDiscontinuity(
        outcome="y", score="x", cutoff_column="c", treated_side="at or above", bandwidth=(4,)
    )
    table = qe.estimate(stated, data).estimates
    assert first(qe.estimate(stated, data))["conf_low"] < 1.5
    apart = table[table["at"].notna()].set_index("at")
    for cutoff in (0.0, 20.0):
        own = data[data["c"] == cutoff].assign(x=lambda f: f["x"] - f["c"])
        alone = first(qe.estimate(design(bandwidth=(4,)), own))
        assert apart.loc[cutoff, "estimate"] == pytest.approx(alone["estimate"], rel=1e-10)


def test_an_honest_interval_widens_with_the_curvature_that_is_allowed():
    data = people()
    widths = []
    for smoothness in (0.02, 0.1, 0.5):
        row = first(qe.estimate(design(inference="honest", smoothness=smoothness), data))
        assert row["term"] == "difference, honest"
        widths.append(row["conf_high"] - row["conf_low"])
    assert widths == sorted(widths)


def test_the_kink_of_a_known_curve_is_found():
    rng = np.random.default_rng(9)
    x = rng.uniform(-10, 10, 6000)
    data = pd.DataFrame({"x": x, "y": 0.5 * x - 0.8 * np.maximum(x, 0) + rng.normal(0, 0.5, 6000)})
    row = first(qe.estimate(design(estimand="kink", order=1, bandwidth=(8,)), data))
    assert row["term"] == "change of slope"
    assert row["conf_low"] < -0.8 < row["conf_high"] < 0


@pytest.mark.parametrize("side", ["at or above", "above", "below", "at or below"])
def test_a_kink_reads_as_the_effect_on_whichever_side(side):
    rng = np.random.default_rng(9)
    x = rng.uniform(-10, 10, 6000)
    treated = x > 0 if "above" in side else x < 0
    received = np.abs(x) * treated + rng.normal(0, 0.3, 6000)
    data = pd.DataFrame({"x": x, "y": 0.5 * x + 0.8 * x * treated + rng.normal(0, 0.5, 6000), "t": received})
    table = qe.estimate(design(side, estimand="kink", order=1, bandwidth=(8,)), data).estimates
    assert table.loc[0, "conf_low"] < 0.8 < table.loc[0, "conf_high"]
    fuzzy = qe.estimate(design(side, estimand="kink", order=1, bandwidth=(8,), received="t"), data).estimates
    toward = 1 if "above" in side else -1
    assert fuzzy.loc[0, "conf_low"] < 0.8 * toward < fuzzy.loc[0, "conf_high"]
    changes = fuzzy.set_index("term")["estimate"]
    assert changes["change of slope of the outcome"] == pytest.approx(0.8, abs=0.15)
    assert changes["change of slope of what was received"] == pytest.approx(toward, abs=0.15)


def test_clusters_on_one_side_each_have_the_cautious_variance():
    rng = np.random.default_rng(12)
    place = rng.integers(0, 60, 3000)
    score, shared = rng.uniform(-1, 1, 60), rng.normal(0, 0.5, 60)
    data = pd.DataFrame({"x": score[place], "place": place, "y": shared[place] + rng.normal(0, 1, 3000)})
    found = qe.estimate(design(cluster="place", bandwidth=(0.8,)), data)
    stated = qe.estimate(design(cluster="place", bandwidth=(0.8,), variance="cr3"), data)
    robust = "difference, robust"
    errors = [held.estimates.set_index("term").loc[robust, "std_error"] for held in (found, stated)]
    assert errors[0] == errors[1]
    assert found.facts["variance"] == "cr3"
    assert any("lies on one side of the cutoff" in note for note in found.notes)
    mixed = qe.estimate(design(cluster="place", bandwidth=(5,)), people().assign(place=place))
    assert mixed.facts["variance"] == "cr1"
    by_score = qe.estimate(design(cluster="x", bandwidth=(0.8,)), data)
    assert any("much too narrow" in note for note in by_score.notes)
