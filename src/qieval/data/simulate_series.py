"""Seeded simulation of an interrupted time series in which the true effect is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from qieval.data.series_scenario import BASELINE, SeriesScenario, altered
from qieval.errors import DesignError

SETTLED = 500
"""Months of errors that are drawn and thrown away, and that weights of past errors are followed for."""
MOST = 1e12
"""Expected counts from here on are a slip of the pen."""
VARYING = 0.03
"""Standard deviation of the logarithm of the monthly denominators."""


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class SeriesSimulation:
    """A simulated series with the truth beside it.

    - `frame`: one row a month. month ("2018-01"); outcome (a measurement, a count, or the number of cases
      that meet a standard); denominator (people or cases; not for "gaussian" and counts without one); after
      (1 from the start on); control_1, control_2, ... (series without the effect, same denominator).
    - `truth`: "level" and "slope" (scale as in SeriesScenario) and "start"; "expected" and "counterfactual",
      the expected outcome (months,) with and without the effect, given the errors, shocks and denominators
      that were drawn; "att", their mean difference from the start on; "total", its sum; and "ratio", the sum
      of the one over that of the other from the start on.
    - `scenario`: the arguments.

    Compare equal by identity.
    """

    frame: pd.DataFrame
    truth: dict[str, Any]
    scenario: SeriesScenario

    def __repr__(self) -> str:
        held = self.scenario
        return (
            f"SeriesSimulation: {held.family}, {held.before} months before and {held.after} from "
            f"{self.truth['start']} on; true mean effect {self.truth['att']:.3g}"
        )


def simulate_series(scenario: SeriesScenario | None = None, **changes: Any) -> SeriesSimulation:
    """Simulate one monthly series that is interrupted at a known date, and controls if wanted.

    Give a SeriesScenario, or its arguments by name, or both (names win). The mean of a series is baseline +
    trend + season + errors + shock + other event + effect, through the identity, log or logit link. The
    effect is level x (its part that is phased in) + slope x (months since it began), so that `level` is the
    change at the start. Gaussian outcomes are the mean itself, whose errors are the noise. Raises DesignError
    for arguments that make no sense.

    Checked: simulated without noise the mean is that of the formula; autocorrelations, variances and
    dispersion agree with theory; regressions find the truth.

    >>> made = simulate_series(before=24, after=12, level=-0.2, seed=3)
    >>> made.frame.shape, made.truth["start"], round(made.truth["ratio"], 4)
    ((36, 4), '2020-01', 0.8187)
    """
    held = altered(scenario, changes)
    rng = np.random.default_rng(held.seed)
    since = np.arange(held.before + held.after) - held.before
    common = _common(held, since)
    errors = _errors(held, rng)
    own = common[None] + errors
    own[0] += held.event * ((since >= held.event_month) & (since < held.event_month + held.event_months))
    denominator = _denominator(held, rng)
    effect = _effect(held, since)
    with_effect = own.copy()
    with_effect[0] += effect
    expected = _mean(with_effect, held, denominator)
    without = _mean(own, held, denominator)[0]
    if held.family != "gaussian" and not expected.max() < MOST:
        raise DesignError(
            f"baseline, trend, level, slope: they make expected counts of {expected.max():.3g}. Changes of "
            "counts and proportions are on the log scale or in log odds, where 0.1 is a lot."
        )
    outcome = _drawn(expected, held, denominator, rng)
    return SeriesSimulation(
        frame=_frame(outcome, denominator, held),
        truth=_truth(held, expected[0], without),
        scenario=held,
    )


def _common(held: SeriesScenario, since: np.ndarray) -> np.ndarray:
    """Baseline, trend, season and shared shock on the scale of the link (months,)."""
    baseline = BASELINE[held.family] if held.baseline is None else held.baseline
    if held.family == "binomial":
        baseline = np.log(baseline / (1 - baseline))
    elif held.family != "gaussian":
        baseline = np.log(baseline)
    month = np.asarray(held.calendar.month)
    season = held.season * np.cos(2 * np.pi * (month - 1) / 12)
    shock = held.shock * (since >= held.shock_month)
    return np.asarray(baseline + held.trend * np.arange(len(since)) + season + shock)


def _effect(held: SeriesScenario, since: np.ndarray) -> np.ndarray:
    """What the interruption adds on the scale of the link (months,)."""
    running = since - held.lag
    begun = running >= 0
    part = np.minimum((running + 1) / (held.phase_in + 1), 1.0)
    return np.asarray(np.where(begun, held.level * part + held.slope * running, 0.0))


def _errors(held: SeriesScenario, rng: np.random.Generator) -> np.ndarray:
    """Stationary autoregressive errors of each series (1 + controls, months)."""
    series, months = 1 + held.controls, held.before + held.after
    innovations = rng.standard_normal((series + 1, SETTLED + months))
    drawn = np.zeros_like(innovations)
    coefficients = held.coefficients
    for t in range(drawn.shape[1]):
        past = drawn[:, max(t - len(coefficients), 0) : t][:, ::-1]
        drawn[:, t] = past @ coefficients[: past.shape[1]] + innovations[:, t]
    spread = held.noise / np.sqrt(_variance(coefficients))
    shared, own = drawn[-1, SETTLED:], drawn[:-1, SETTLED:]
    return np.asarray(spread * (np.sqrt(held.shared) * shared + np.sqrt(1 - held.shared) * own))


def _variance(coefficients: np.ndarray) -> float:
    """The variance of autoregressive errors with innovations of variance 1: the sum of squared weights."""
    order = len(coefficients)
    companion = np.eye(order, k=-1)
    companion[0] = coefficients
    # The stationary covariance S = A S A' + e e' as one system of linear equations.
    unit = np.zeros(order * order)
    unit[0] = 1.0
    solved = np.linalg.solve(np.eye(order * order) - np.kron(companion, companion), unit)
    return float(solved[0])


def _denominator(held: SeriesScenario, rng: np.random.Generator) -> np.ndarray | None:
    if held.family == "gaussian" or not held.denominator:
        return None
    months = held.before + held.after
    return np.maximum(np.round(held.denominator * np.exp(VARYING * rng.standard_normal(months))), 1.0)


def _mean(link: np.ndarray, held: SeriesScenario, denominator: np.ndarray | None) -> np.ndarray:
    """Expected outcomes (series, months): `baseline` is the count at the mean denominator."""
    if held.family == "gaussian":
        return link
    if held.family == "binomial":
        with np.errstate(over="ignore"):
            return np.asarray(denominator / (1 + np.exp(-link)))
    relative = 1.0 if denominator is None else denominator / held.denominator
    with np.errstate(over="ignore"):  # what is too large is refused by the caller
        return np.asarray(np.exp(link) * relative)


def _drawn(
    expected: np.ndarray, held: SeriesScenario, denominator: np.ndarray | None, rng: np.random.Generator
) -> np.ndarray:
    if held.family == "gaussian":
        return expected
    if held.family == "poisson":
        return rng.poisson(expected)
    if held.family == "negative binomial":
        return rng.poisson(expected * rng.gamma(held.size, 1 / held.size, expected.shape))
    cases = np.asarray(denominator)
    return rng.binomial(cases.astype(np.int64), expected / cases)


def _frame(outcome: np.ndarray, denominator: np.ndarray | None, held: SeriesScenario) -> pd.DataFrame:
    columns: dict[str, Any] = {
        "month": pd.Series(held.calendar.astype("str"), dtype="str"),
        "outcome": outcome[0],
    }
    if denominator is not None:
        columns["denominator"] = denominator.astype(np.int64)
    columns["after"] = (np.arange(outcome.shape[1]) >= held.before).astype(int)
    columns |= {f"control_{number}": row for number, row in enumerate(outcome[1:], start=1)}
    return pd.DataFrame(columns)


def _truth(held: SeriesScenario, expected: np.ndarray, without: np.ndarray) -> dict[str, Any]:
    saved = (expected - without)[held.before :]
    return {
        "level": held.level,
        "slope": held.slope,
        "start": str(held.calendar[held.before]),
        "expected": expected,
        "counterfactual": without,
        "att": float(saved.mean()),
        "total": float(saved.sum()),
        "ratio": float(expected[held.before :].sum() / without[held.before :].sum()),
    }
