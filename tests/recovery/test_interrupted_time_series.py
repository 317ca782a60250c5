"""Interrupted time series on simulated series whose truth is known: bias and coverage.

80 months, 40 of them after the start. Bounds are three Monte Carlo standard errors; seeds are fixed. Coverage
under autocorrelation of other sizes and lengths is measured in benchmarks/type_one_series.py.
"""

import numpy as np
import pandas as pd
import pytest

import qieval as qe
from qieval.catalogue import method_of

pytestmark = pytest.mark.slow

HALF = 40
PERIODS = 2 * HALF
TIME = np.arange(PERIODS)
AFTER = (TIME >= HALF).astype(float)
SINCE = np.where(TIME >= HALF, TIME - HALF, 0)
MONTHS = pd.period_range("2015-01", periods=PERIODS, freq="M").astype(str)
START = MONTHS[HALF]
SAMPLES, FEWER = 400, 60
"""Series fitted together, and one after the other."""
LEVEL, SLOPE = -3.0, 0.15
RATIO, GROWTH = np.log(0.8), 0.004


def errors(draw, rho, sd=1.0):
    """A stationary first-order autoregression of that standard deviation."""
    steps = draw.normal(0, sd * np.sqrt(1 - rho**2), PERIODS)
    found = np.empty(PERIODS)
    found[0] = draw.normal(0, sd)
    for at in range(1, PERIODS):
        found[at] = rho * found[at - 1] + steps[at]
    return found


def stated(**fields):
    return qe.InterruptedTimeSeries(outcome="y", time="month", start=START, **fields)


def found(frame, **fields):
    """Estimates of one series, a row per term."""
    design = stated(**fields)
    return method_of(design).refit(design, frame.assign(month=MONTHS)).estimates.drop_duplicates("term")


def checked(tables, term, truth, turn=np.asarray):
    """The mean estimate is the truth, and the intervals hold it in 95% of samples."""
    rows = tables[tables["term"] == term]
    assert len(rows) >= FEWER
    estimate = turn(rows["estimate"].to_numpy())
    error = estimate.std(ddof=1) / np.sqrt(len(rows))
    assert abs(estimate.mean() - truth) < 3 * error + 0.002 * abs(truth)
    low, high = turn(rows["conf_low"].to_numpy()), turn(rows["conf_high"].to_numpy())
    covered = float(((low <= truth) & (truth <= high)).mean())
    assert abs(covered - 0.95) < 3 * np.sqrt(0.95 * 0.05 / len(rows)), covered
    assert rows["std_error"].mean() == pytest.approx(estimate.std(ddof=1), rel=3 / np.sqrt(2 * len(rows)))


def test_amounts_with_neighbours_alike():
    draw = np.random.default_rng(41)
    mean = 20 + 0.05 * TIME + LEVEL * AFTER + SLOPE * SINCE
    tables = pd.concat(
        found(pd.DataFrame({"y": mean + errors(draw, 0.4)}), inference="recommended") for _ in range(FEWER)
    )
    checked(tables, "level change", LEVEL)
    checked(tables, "slope change", SLOPE)
    checked(tables, "mean effect", LEVEL + SLOPE * (HALF - 1) / 2)


def test_counts_that_vary_more_than_chance():
    """Gamma-mixed Poisson counts with a variance of twice the mean, in a changing population."""
    draw = np.random.default_rng(42)
    people = 10_000 + 20 * TIME
    mean = people * 0.01 * np.exp(0.002 * TIME + RATIO * AFTER + GROWTH * SINCE)
    counts = draw.poisson(draw.gamma(np.tile(mean, (SAMPLES, 1)), 1.0))
    frame = pd.DataFrame(
        {
            "place": np.repeat(np.arange(SAMPLES), PERIODS),
            "month": np.tile(MONTHS, SAMPLES),
            "y": counts.ravel(),
            "people": np.tile(people, SAMPLES),
        }
    )
    design = stated(denominator="people", inference="independent errors")
    tables = qe.each(design, frame, by="place").table
    checked(tables, "level change ratio", RATIO, np.log)
    checked(tables, "slope change ratio", GROWTH, np.log)


def test_a_shock_beside_the_effect():
    """A control that felt the same shock takes it out; one series takes both for the effect."""
    draw = np.random.default_rng(43)
    mean = 20 + 0.05 * TIME
    alone, controlled = [], []
    for _ in range(FEWER):
        shock = -2.0 * AFTER + draw.normal(0, 0.5, PERIODS)
        frame = pd.DataFrame(
            {
                "y": mean + shock + LEVEL * AFTER + draw.normal(0, 1, PERIODS),
                "other": mean - 3 + shock + draw.normal(0, 1, PERIODS),
            }
        )
        plain = {"change": "level", "inference": "independent errors"}
        alone.append(found(frame, **plain))
        by = "difference of the series"
        controlled.append(found(frame, **plain, controls=("other",), controlled_by=by))
    checked(pd.concat(alone), "level change", LEVEL - 2)
    checked(pd.concat(controlled), "level change", LEVEL)
