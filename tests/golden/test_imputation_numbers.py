"""The kernels of imputation and two-stage estimates against R didimputation 0.5.0 and did2s 1.2.1.

Estimates there come from an iterative first stage, so they agree to about 1e-7, standard errors to 1e-8.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from qieval.numerics.imputation import ImputationRows, averages, by_horizon, impute, overall
from qieval.numerics.imputation_pretrends import pretrends
from qieval.numerics.two_stage import by_event_time, two_stage

SHARED = Path(__file__).resolve().parents[3] / "shared"
CLOSE = 2e-7
"""Relative; the file asks for 1e-6 (imputation) and 1e-5 (two-stage)."""

pytestmark = pytest.mark.skipif(
    not (SHARED / "reference" / "did.json").is_file(),
    reason="the shared reference numbers are not beside the repository",
)


@pytest.fixture(scope="module")
def reference():
    held = json.loads((SHARED / "reference" / "did.json").read_text(encoding="utf-8"))
    return {case["id"]: case["expected"] for case in held["cases"]}


def rows_of(frame, columns, x=None):
    outcome, unit, time, start = columns
    times = np.unique(frame[time])
    first = frame[start].to_numpy(dtype=float)
    return ImputationRows(
        unit=pd.factorize(frame[unit])[0],
        time=np.searchsorted(times, frame[time]),
        times=times,
        first=np.where(first == 0, np.inf, first),
        y=frame[outcome].to_numpy(dtype=float),
        x=x,
    )


@pytest.fixture(scope="module")
def minimum_wage():
    frame = pd.read_csv(SHARED / "data" / "did_mpdta.csv")
    return rows_of(frame, ("lemp", "countyreal", "year", "first.treat"))


def check(found, expected, at=slice(None)):
    np.testing.assert_allclose(found.estimate, expected["estimate"][at], rtol=CLOSE)
    np.testing.assert_allclose(found.std_error, expected["se"][at], rtol=CLOSE)


def test_minimum_wage_overall(minimum_wage, reference):
    check(averages(impute(minimum_wage), overall(minimum_wage)), reference["mpdta_bjs_static"])


def test_minimum_wage_by_horizon_with_leads(minimum_wage, reference):
    expected = reference["mpdta_bjs_event"]
    effects = averages(impute(minimum_wage), by_horizon(minimum_wage))
    leads = pretrends(minimum_wage)
    assert [f"{one:g}" for one in np.append(leads.lead, effects.label)] == expected["term"]
    check(leads, expected, slice(0, 3))
    check(effects, expected, slice(3, None))


def test_clusters(reference):
    frame = pd.read_csv(SHARED / "data" / "did_sim_staggered.csv")
    rows = rows_of(frame, ("y", "id", "year", "g"))
    check(averages(impute(rows), overall(rows), frame["region"].to_numpy()), reference["sim_bjs_cluster"])


def test_unbalanced_with_a_characteristic_by_year(reference):
    frame = pd.read_csv(SHARED / "data" / "did_sim_staggered.csv").query("obs == 1")
    by_year = [(frame["year"] == year) * frame["x1"] for year in sorted(frame["year"].unique())]
    rows = rows_of(frame, ("y", "id", "year", "g"), np.column_stack(by_year).astype(float))
    check(averages(impute(rows), overall(rows), frame["region"].to_numpy()), reference["sim_bjs_unbal_cov"])


def test_two_stages_overall(minimum_wage, reference):
    check(two_stage(impute(minimum_wage), overall(minimum_wage)), reference["mpdta_did2s"])


def test_two_stages_by_event_time(minimum_wage, reference):
    found = two_stage(impute(minimum_wage), by_event_time(minimum_wage))
    expected = reference["mpdta_did2s_event"]
    assert [f"rel::{one:g}" for one in found.label] == expected["term"]
    check(found, expected)
