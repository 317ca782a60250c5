"""Size of the test and recovery of the truth, from simulated panels with autocorrelated errors.

400 panels: a true size of 5% shows as 2.8% to 7.2% in 95 of 100 runs. Seeds are fixed. The larger study
(2,000 panels per row) is benchmarks/size.py; its figures stand in docs/validation.md.
"""

from dataclasses import replace

import numpy as np
import pytest

import qieval as qe
from qieval.methods.difference_in_differences import estimate

PANELS = 400
DESIGN = qe.DifferenceInDifferences(
    outcome="y", unit="unit", time="time", treated="treated", start=5, draws=399
)

pytestmark = pytest.mark.slow


def p_values(units: int, treated: int, rho: float, **fields: object) -> np.ndarray:
    """p-values of no effect in panels without an effect."""
    design = replace(DESIGN, **fields)
    panels = (
        qe.simulate_panel(n_units=units, n_periods=10, n_treated=treated, rho=rho, seed=seed)
        for seed in range(PANELS)
    )
    return np.array([estimate(design, panel, brief=True).estimates.loc[0, "p_value"] for panel in panels])


@pytest.mark.parametrize(("units", "treated"), [(10, 5), (20, 8), (50, 20)])
def test_size_with_autocorrelated_errors(units, treated):
    rejected = (p_values(units, treated, rho=0.8) < 0.05).mean()
    assert 0.028 <= rejected <= 0.072, rejected


def test_size_with_one_treated_unit():
    """With 40 units the permutation p-value moves in steps of 1/40, so 5% is reached exactly."""
    rejected = (p_values(40, 1, rho=0.8) <= 0.05).mean()
    assert 0.028 <= rejected <= 0.072, rejected


def test_independent_errors_are_the_trap_they_are_said_to_be():
    rejected = (p_values(50, 20, rho=0.8, variance="iid") < 0.05).mean()
    assert rejected > 0.15, rejected


@pytest.mark.parametrize(("units", "treated"), [(12, 6), (60, 25)])
def test_intervals_cover_the_truth(units, treated):
    truth = 1.7
    covered = []
    for seed in range(PANELS):
        panel = qe.simulate_panel(
            n_units=units, n_periods=10, n_treated=treated, effect=truth, rho=0.6, seed=10_000 + seed
        )
        row = estimate(DESIGN, panel, brief=True).estimates.iloc[0]
        covered.append(row["conf_low"] <= truth <= row["conf_high"])
    assert 0.928 <= np.mean(covered) <= 0.972, np.mean(covered)


def test_simultaneous_bands_cover_all_periods_together():
    covered = []
    for seed in range(PANELS // 2):
        panel = qe.simulate_panel(n_units=80, n_periods=8, n_treated=40, rho=0.5, seed=20_000 + seed)
        rows = qe.estimate(replace(DESIGN, start=4), panel).estimates.dropna(subset=["at"])
        covered.append(bool(((rows["band_low"] <= 0) & (rows["band_high"] >= 0)).all()))
    assert 0.92 <= np.mean(covered) <= 0.98, np.mean(covered)


def test_simulated_pilot_is_recovered_without_bias():
    """NHS-shaped data: the mean error of repeated extracts is within three Monte Carlo errors of zero."""
    errors = []
    for seed in range(40):
        study = qe.simulate(practices=30, people=300, pilots=12, seed=seed)
        design = qe.DifferenceInDifferences(
            outcome="admissions_per_1000",
            unit="practice",
            time="month",
            treated="pilot",
            start=study.truth["start"],
        )
        errors.append(
            estimate(design, study.panel, brief=True).estimates.loc[0, "estimate"]
            - study.truth["att"]["admissions_per_1000"]
        )
    assert abs(np.mean(errors)) < 3 * np.std(errors, ddof=1) / np.sqrt(len(errors))
