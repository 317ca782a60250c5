"""Matching from the data frame to the interval: simulated people whose truth is known.

250 samples: a true coverage of 95% shows as 90.9% to 99.1% (three Monte Carlo standard errors). Seeds are
fixed. The larger study (1,000 samples a row, more designs) is benchmarks/coverage_matching.py; its figures
stand in docs/validation.md.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import qieval as qe
from qieval.catalogue import method_of
from qieval.data.simulate_cohort import simulate_cohort

SAMPLES = 250
LOW, HIGH = 0.909, 0.991
DESIGN = qe.Matching(treated="treated", covariates=("x1", "x2", "b"), outcome="y")

pytestmark = pytest.mark.slow


def people(seed: int) -> pd.DataFrame:
    """450 people, a sixth treated; the outcome follows three covariates that bear on treatment. Effect 1."""
    rng = np.random.default_rng([7, seed])
    x1, x2, b = rng.standard_normal(450), rng.standard_normal(450), rng.random(450) < 0.4
    treated = rng.random(450) < 1 / (1 + np.exp(1.9 - 0.5 * x1 + 0.4 * x2 - 0.5 * b))
    y = x1 + 0.5 * x2 + 0.7 * b + treated + rng.standard_normal(450)
    return pd.DataFrame({"x1": x1, "x2": x2, "b": b.astype(int), "treated": treated.astype(int), "y": y})


@pytest.fixture(scope="module")
def samples():
    return [people(seed) for seed in range(SAMPLES)]


def estimates(design, frames) -> pd.DataFrame:
    """The first row of estimates in each sample."""
    return pd.DataFrame([method_of(design).refit(design, frame).estimates.iloc[0] for frame in frames])


def coverage(found: pd.DataFrame, truth: float = 1.0) -> float:
    return float(((found["conf_low"] <= truth) & (truth <= found["conf_high"])).mean())


def off(values, errors: float = 3.0) -> bool:
    """Whether the mean of values lies more than some Monte Carlo errors from 0."""
    values = np.asarray(values, dtype=float)
    return bool(abs(values.mean()) > errors * values.std(ddof=1) / np.sqrt(values.size))


@pytest.mark.parametrize(
    "fields",
    [
        {"caliper": 0.2, "outcome_model": "covariates"},
        {"method": "full", "outcome_model": "covariates"},
        {"distance": "mahalanobis", "method": "optimal", "outcome_model": "covariates"},
    ],
    ids=["nearest in a caliper", "full", "optimal Mahalanobis"],
)
def test_matched_sets_with_outcome_regression(samples, fields):
    """No bias left, and the interval clustered by matched set covers as it says."""
    found = estimates(replace(DESIGN, **fields), samples)
    assert not off(found["estimate"] - 1), found["estimate"].mean()
    assert LOW <= coverage(found) <= HIGH, coverage(found)


def test_matching_on_an_estimated_score_is_never_too_sure(samples):
    """Partners alike in the score may differ in covariates; the interval gives no credit for balance."""
    found = estimates(replace(DESIGN, caliper=0.2), samples)
    assert abs(found["estimate"].mean() - 1) < 0.05
    assert found["std_error"].mean() > found["estimate"].std()
    assert coverage(found) >= LOW, coverage(found)


@pytest.mark.parametrize("ratio", [1, 3])
def test_matching_with_replacement(samples, ratio):
    """Abadie-Imbens, bias adjusted, on covariates."""
    design = replace(DESIGN, replacement="with", ratio=ratio, distance="mahalanobis")
    found = estimates(replace(design, outcome_model="covariates"), samples)
    assert not off(found["estimate"] - 1), found["estimate"].mean()
    assert LOW <= coverage(found) <= HIGH, coverage(found)


def test_truth_of_a_routine_data_cohort_is_recovered():
    """Without adjustment the service looks harmful or useless; matched people show what it does."""
    measured = ("age", "sex", "imd", "frailty", "emergency_admissions_before", "smoker")
    design = qe.Matching(
        treated="service",
        covariates=measured,
        categories=("imd",),
        outcome="admissions_after",
        person_time="person_years",
        effect="ratio",
        caliper=0.2,
    )
    plain, after = [], []
    for seed in range(40):
        study = simulate_cohort(2000, effect=0.7, treated=0.12, seed=seed)
        by_arm = study.frame.groupby("service")[["admissions_after", "person_years"]].sum()
        rates = by_arm["admissions_after"] / by_arm["person_years"]
        truth = np.log(study.truth["att_ratio"]["admissions_per_person_year"])
        table = method_of(design).refit(design, study.frame).estimates.set_index("term")
        plain.append(np.log(rates[1] / rates[0]) - truth)
        after.append(np.log(table.loc["rate ratio", "estimate"]) - truth)
    assert off(plain, 5.0) and np.mean(plain) > 0.2, np.mean(plain)
    assert not off(after), (np.mean(after), np.std(after, ddof=1) / np.sqrt(40))
