"""Simulated rules, instruments and selections: reproducible, and true to their truth."""

import numpy as np
import pandas as pd
import pytest

import qieval as qe
from qieval.data import (
    simulate_birth_weight,
    simulate_cutoff,
    simulate_frequent_attenders,
    simulate_instrument,
)

MAKERS = [simulate_birth_weight, simulate_cutoff, simulate_frequent_attenders, simulate_instrument]


@pytest.mark.parametrize("make", MAKERS)
def test_the_seed_fixes_everything(make):
    one, again, other = make(2000, seed=5), make(2000, seed=5), make(2000, seed=6)
    pd.testing.assert_frame_equal(one.frame, again.frame)
    assert not one.frame.equals(other.frame)
    assert "true effects" in repr(one)


def test_uptake_jumps_at_the_cutoff():
    frame = simulate_cutoff(60_000, uptake=(0.1, 0.55), seed=2).frame
    near = frame[frame["age_months"].between(774, 785)]
    taken = near.groupby(near["age_months"] >= 780)["health_check"].mean()
    assert taken[False] == pytest.approx(0.1, abs=0.02)
    assert taken[True] == pytest.approx(0.55, abs=0.02)


def test_sorting_leaves_a_hole_below_the_cutoff():
    counts = simulate_cutoff(40_000, sorting=0.8, seed=2).frame["age_months"].value_counts()
    assert counts[780] > 1.5 * counts[781]
    assert counts[779] < 0.9 * counts[781]


def test_heaps_lie_at_full_hundreds():
    counts = simulate_birth_weight(seed=3).frame["birth_weight"].value_counts()
    assert counts[1500] > 5 * counts[1510]
    none = simulate_birth_weight(heaping=0.0, seed=3).frame["birth_weight"].value_counts()
    assert none[1500] < 3 * none[1510]


def test_the_effects_are_those_of_the_truth():
    with_care, without = (
        simulate_birth_weight(200_000, seed=1),
        simulate_birth_weight(200_000, effect=0.0, seed=1),
    )
    below = with_care.frame["birth_weight"] < 1500
    moved = with_care.frame["died"][below].mean() - without.frame["died"][below].mean()
    assert moved == pytest.approx(with_care.truth["died"], abs=0.003)
    some, none = simulate_instrument(100_000, seed=1), simulate_instrument(100_000, effect=0.0, seed=1)
    taken = some.frame["specialist"] == 1
    moved = some.frame["died"][taken].mean() - none.frame["died"][taken].mean()
    assert moved == pytest.approx(some.truth["died"], abs=0.006)


def test_frequent_attenders_regress_without_any_effect():
    made = simulate_frequent_attenders(200_000, trend=1.0, seed=4)
    change = (made.frame["visits_after"] - made.frame["visits_before"]).mean()
    assert made.truth["visits"] == 0
    assert change == pytest.approx(made.truth["regression to the mean"], abs=0.03)
    everybody = simulate_frequent_attenders(200_000, threshold=0, seed=4).frame["visits_before"]
    assert everybody.mean() == pytest.approx(made.truth["population mean"], abs=0.02)
    assert everybody.std() == pytest.approx(made.truth["population sd"], abs=0.03)


def test_senseless_arguments_are_refused():
    with pytest.raises(qe.DesignError, match="uptake"):
        simulate_cutoff(100, uptake=(0.1, 1.5))
    with pytest.raises(qe.DesignError, match="heaping"):
        simulate_birth_weight(100, heaping=-0.1)
    with pytest.raises(qe.DesignError, match="rate_ratio"):
        simulate_frequent_attenders(100, rate_ratio=0.0)
    with pytest.raises(qe.DesignError, match="nobody had 99"):
        simulate_frequent_attenders(100, threshold=99)


def test_the_severity_stays_hidden():
    frame = simulate_instrument(4000, seed=2).frame
    assert "severity" not in frame.columns
    assert np.corrcoef(frame["extra_distance"], frame["specialist"])[0, 1] < -0.3
