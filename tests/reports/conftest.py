"""Two small studies for the tests of reports: one of organisations, one of people with a very small group."""

from dataclasses import dataclass

import pandas as pd
import pytest

import qieval as qe
from qieval.check import Checks
from qieval.reports.gate import Findings
from qieval.result import Result
from qieval.verbs import Variation


@dataclass(frozen=True)
class Study:
    result: Result
    checks: Checks
    design_checks: Checks
    variation: Variation

    @property
    def findings(self) -> Findings:
        return Findings(self.result, self.checks, self.variation, self.design_checks)


def _study(design: qe.Design, data: qe.Extract, start: list[int]) -> Study:
    result = qe.estimate(design, data, protocol=qe.lock(design))
    return Study(
        result, qe.diagnose(result, data), qe.design_checks(design, data), qe.vary(design, data, start=start)
    )


@pytest.fixture(scope="session")
def organisations() -> Study:
    """60 organisations, nothing missing."""
    frame = qe.simulate_panel(n_units=60, n_periods=8, n_treated=30, effect=2.0, seed=1)
    design = qe.DifferenceInDifferences(
        outcome="y",
        unit="unit",
        time="time",
        treated="treated",
        start=5,
        units_are="organisations",
        question="Did <it> work & how?",
        measured_in="visits per 1,000 people a month",
        arguments={"no spillover": "The sites are far apart."},
        events={"6": "A new contract"},
    )
    return _study(design, qe.Extract(frame=frame, source="simulated sites"), [4, 6])


SMALL_GROUP = 7
LOST_ROWS = 4


@pytest.fixture(scope="session")
def people() -> Study:
    """120 people, 7 of them treated; 2 people moved away, 4 rows have an empty covariate."""
    frame = qe.simulate_panel(n_units=120, n_periods=8, n_treated=SMALL_GROUP, effect=1.0, seed=3)
    frame["age"] = 40.0 + frame["unit"].rank(method="dense") / 10 + frame["time"] * 0.01
    last = sorted(frame["unit"].unique())[-2:]
    frame.loc[frame[frame["treated"] == 0].index[:LOST_ROWS], "age"] = float("nan")
    extract = qe.Extract(frame=frame, source="simulated people", person="unit")
    extract = extract.keep(~extract.frame["unit"].isin(last), "moved away")
    design = qe.DifferenceInDifferences(
        outcome="y",
        unit="unit",
        time="time",
        treated="treated",
        start=5,
        baseline_covariates=(),
        covariates=("age",),
        missing="complete cases",
    )
    return _study(design, extract, [4])


@pytest.fixture
def steps() -> pd.DataFrame:
    """An attrition table with one small loss."""
    return pd.DataFrame(
        {"step": [0, 1, 2], "reason": ["read", "no age (4 rows)", "under 18"], "rows": [1204, 1200, 1100]}
    )
