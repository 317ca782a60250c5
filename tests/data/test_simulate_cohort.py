"""The simulated cohort: its truth is what an unbiased method finds, and the crude comparison misleads."""

import numpy as np
import pandas as pd
import pytest

from qieval.data import CohortSimulation, simulate_cohort
from qieval.data.simulate_cohort import OUTCOMES
from qieval.errors import DesignError

LARGE = 80_000


def propensity(frame: pd.DataFrame) -> np.ndarray:
    """The model that the simulation uses, fitted by Newton's method."""
    x = np.column_stack(
        [
            np.ones(len(frame)),
            frame["age"] - 70,
            frame["frailty"],
            np.log1p(frame["emergency_admissions_before"]),
            frame[["imd", "smoker"]],
            pd.get_dummies(frame["hospital"], drop_first=True, dtype=float),
        ]
    )
    beta = np.zeros(x.shape[1])
    for _ in range(25):
        p = 1 / (1 + np.exp(-x @ beta))
        beta += np.linalg.solve((x * (p * (1 - p))[:, None]).T @ x, x.T @ (frame["service"].to_numpy() - p))
    return p


def weighted(frame: pd.DataFrame, outcome: str) -> tuple[float, float]:
    """Difference among the treated by weighting, and a standard error that takes the scores as known."""
    p, d, y = propensity(frame), frame["service"].to_numpy(), frame[outcome].to_numpy(dtype=float)
    w = np.where(d == 1, 1.0, p / (1 - p))
    mean = [np.average(y[d == arm], weights=w[d == arm]) for arm in (0, 1)]
    variance = [(w[d == a] ** 2 * (y[d == a] - mean[a]) ** 2).sum() / w[d == a].sum() ** 2 for a in (0, 1)]
    return mean[1] - mean[0], float(np.sqrt(sum(variance)))


def crude(frame: pd.DataFrame, outcome: str) -> float:
    mean = frame.groupby("service")[outcome].mean()
    return float(mean[1] - mean[0])


@pytest.fixture(scope="module")
def study() -> CohortSimulation:
    return simulate_cohort(LARGE, seed=5)


def test_the_same_seed_gives_the_same_people_and_another_seed_does_not():
    first, again, other = (simulate_cohort(300, seed=seed) for seed in (3, 3, 4))
    pd.testing.assert_frame_equal(first.frame, again.frame)
    assert first.truth == again.truth
    assert not first.frame.equals(other.frame)


def test_another_effect_changes_only_the_treated():
    with_effect, without = simulate_cohort(3000, effect=0.5), simulate_cohort(3000, effect=1)
    untreated = with_effect.frame["service"] == 0
    pd.testing.assert_frame_equal(with_effect.frame[untreated], without.frame[untreated])
    pd.testing.assert_series_equal(with_effect.frame["service"], without.frame["service"])
    treated = [study.frame.loc[~untreated, "admissions_after"].sum() for study in (with_effect, without)]
    assert treated[0] < 0.75 * treated[1]


def test_without_effect_every_truth_is_nothing():
    truth = simulate_cohort(400, effect=1).truth
    assert set(truth["att"]) == set(truth["ate_ratio"]) == set(OUTCOMES)
    assert set(truth["att"].values()) == set(truth["ate"].values()) == {0.0}
    assert set(truth["att_ratio"].values()) == {1.0}


@pytest.mark.parametrize("outcome", [name for name in OUTCOMES if name != "admissions_per_person_year"])
def test_weighting_by_the_right_score_finds_the_truth(study, outcome):
    estimate, error = weighted(study.frame, outcome)
    assert abs(estimate - study.truth["att"][outcome]) < 3.5 * error


def test_the_crude_comparison_misleads(study):
    assert study.truth["att"]["admissions_after"] < -0.08 < 0.08 < crude(study.frame, "admissions_after")
    assert crude(study.frame, "elective_eye_surgery") > 0.02


def test_without_confounding_the_crude_comparison_is_right():
    study = simulate_cohort(LARGE, confounding=0, seed=8)
    for outcome in ("admissions_after", "died", "cost"):
        groups = study.frame.groupby("service")[outcome]
        error = np.sqrt((groups.var() / groups.size()).sum())
        assert abs(crude(study.frame, outcome) - study.truth["ate"][outcome]) < 3.5 * error


def test_an_unmeasured_factor_biases_everything_and_the_negative_control_shows_it():
    study = simulate_cohort(LARGE, unmeasured=0.7, seed=9)
    for outcome in ("admissions_after", "elective_eye_surgery"):
        estimate, error = weighted(study.frame, outcome)
        assert estimate - study.truth["att"][outcome] > 5 * error
    assert study.truth["att"]["elective_eye_surgery"] == 0


def test_the_expected_outcomes_are_those_that_happen(study):
    """Means of the untreated by ratio: with and without the service, from the truth of the treated."""
    treated = study.frame[study.frame["service"] == 1]
    for outcome in ("admissions_after", "died", "cost", "days_to_death_or_end"):
        difference, ratio = study.truth["att"][outcome], study.truth["att_ratio"][outcome]
        expected = difference * ratio / (ratio - 1)
        error = treated[outcome].std() / np.sqrt(len(treated))
        assert abs(treated[outcome].mean() - expected) < 3.5 * error
    rate = treated["admissions_after"].sum() / treated["person_years"].sum()
    ratio = study.truth["att_ratio"]["admissions_per_person_year"]
    assert rate == pytest.approx(
        study.truth["att"]["admissions_per_person_year"] * ratio / (ratio - 1), rel=0.02
    )


def test_columns_make_sense(study):
    frame = study.frame
    assert not frame.isna().any().any() and frame["person_id"].is_unique
    assert frame["age"].between(50, 95).all() and set(frame["imd"]) == {1, 2, 3, 4, 5}
    assert frame["frailty"].between(0, 1).all() and set(frame["sex"]) == {"female", "male"}
    assert frame["service"].mean() == pytest.approx(0.2, abs=0.005)
    np.testing.assert_allclose(frame["person_years"], frame["days_to_death_or_end"] / 365.25)
    assert frame["days_to_death_or_end"].between(1, 365).all()
    end = frame["index_date"] + pd.to_timedelta(frame["days_to_death_or_end"], unit="D")
    assert end.max() <= pd.Timestamp("2023-09-30")
    assert frame[["cost", "admissions_after"]].min().min() >= 0


def test_printing_shows_no_row(study):
    assert "80,000 people" in repr(study) and "rate ratio 0.8" in repr(study)
    assert "H01" not in repr(study)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"n": 10}, "n: 10 lies outside"),
        ({"effect": 0}, "effect: 0 lies outside"),
        ({"treated": "some"}, "treated: 'some' is not a number"),
        ({"seed": 1.5}, "seed: 1.5 is not a whole number"),
        ({"n": 50, "treated": 0.001}, "nobody or everybody"),
    ],
)
def test_arguments_that_make_no_sense(changes, words):
    with pytest.raises(DesignError, match=words):
        simulate_cohort(**changes)
