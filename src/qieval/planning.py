"""Planning a roll-out: how large must an effect be so that a schedule of starts would find it?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from qieval import markup
from qieval.errors import DesignError
from qieval.methods.staggered_adoption.design import COUNTS, StaggeredAdoption
from qieval.numerics.resampling import Resampling
from qieval.numerics.rollout_power import RolloutAnalysis, RolloutPlan, RolloutPower, simulate_rollout_power
from qieval.numerics.rollout_weights import RolloutRules
from qieval.periods import Periods
from qieval.plots.planning import power_of_schedules
from qieval.progress import progress
from qieval.rollout.history import History, history_of
from qieval.rollout.schedules import Planned, Schedule, coming, is_schedule, planned
from qieval.text import number, plural
from qieval.verbs import Data, _frame

if TYPE_CHECKING:
    from plotnine import ggplot


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class PlannedPower:
    """What planned roll-outs would find; `plot()` draws the chance to find an effect by its size.

    table: one row for each schedule with the sites that begin and that never do, first and last start,
    minimum_detectable_effect (the smallest full effect found with 80% power), its Monte Carlo range mde_low
    to mde_high, share_of_level (of the mean before the roll-out), false_positives (share of studies that find
    an effect where there is none; should be near 1 - level), and why there is no figure (note).
    curves: schedule, effect, power, monte_carlo_error. level: mean outcome before the roll-out.
    """

    design: StaggeredAdoption
    table: pd.DataFrame
    curves: pd.DataFrame
    level: float
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return "\n".join([*(_sentence(row) for row in self.table.to_dict("records")), *self.notes])

    def _repr_html_(self) -> str:
        shown = self.table.drop(columns=["mde_low", "mde_high"])
        return markup.card("What planned roll-outs would find", markup.frame_table(shown))

    def plot(self) -> ggplot:
        """The chance to find an effect by its size, one line for each schedule."""
        if self.curves.empty:
            raise DesignError("schedule: no schedule has a power to draw; see the notes in `table`.")
        return power_of_schedules(self.curves, _quantity(self.design))


def rollout_power(
    data: Data,
    *,
    design: StaggeredAdoption,
    schedule: Schedule | Mapping[str, Schedule],
    periods: int,
    build_up: Sequence[float] | None = None,
    draws: int = 999,
) -> PlannedPower:
    """What a roll-out that is being planned would find, by simulation from outcomes before it.

    data: rows before the roll-out only (`last_period` of the design cuts them off). design: how it will be
    analysed: outcome, unit, time, `cluster` (the site, where units of a site begin together), exposure,
    approach, control group, aggregation, level, seed; the column of starts need not be there yet.
    schedule: {site: start} (sites not named, and empty starts, never begin), `Waves` or `SteppedWedge`; or
    several of them by name, which are then compared on the same draws. Starts are written like the time
    column. periods: how many are to come until the analysis; it sees the history as well. build_up: share of
    the full effect in the first, second, ... period from the start on; the last stays (by default the full
    effect after `expected_lag`).

    Series of sites are drawn from the history: residuals on site and period effects with their
    autocorrelation. Trends of single sites and seasons are not in them, so the truth is a little worse.
    Tests are clustered t tests, with inference='randomisation' permutation tests of the order. The order of
    waves and steps counts as drawn by lot, stated starts as they are (unless rollout_randomised='yes').
    Covariates and the model of counts are left out: with `exposure` effects are differences of rates. Raises
    DesignError and DataError; a schedule that cannot be tested says why in its `note`.

    >>> import qieval as qe
    >>> study = qe.simulate_rollout(practices=40, seed=2)
    >>> design = qe.StaggeredAdoption(
    ...     outcome="admissions_per_1000", unit="practice", time="month", first_treated="started",
    ...     last_period="2020-12",
    ... )
    >>> wedge, once = qe.SteppedWedge(steps=4, gap=3), qe.Waves({"2021-01": 20})
    >>> schedules = {"four steps": wedge, "half at once": once}
    >>> found = qe.rollout_power(study.frame, design=design, schedule=schedules, periods=18, draws=199)
    >>> bool((found.table["minimum_detectable_effect"] > 0).all())
    True
    """
    _check(design, periods, build_up)
    history = history_of(design, _frame(data))
    ahead = coming(history.periods, periods)
    named = _named(schedule)
    plans = {name: planned(one, history.sites, history.periods, ahead) for name, one in named.items()}
    lag = (0.0,) * design.expected_lag + (1.0,)
    level = float(np.nanmean(history.table))
    rows, curves = [], []
    for name, plan in progress(list(plans.items()), "schedules"):
        strength = lag if build_up is None else tuple(map(float, build_up))
        found = _simulated(design, history, plan, (periods, strength, draws))
        rows.append(_row(name, plan, ahead, found, level))
        curves.append(_curve(name, found))
    return PlannedPower(
        design=design,
        table=pd.DataFrame(rows),
        curves=pd.concat(curves, ignore_index=True),
        level=level,
        notes=_notes(design, history),
    )


def _check(design: StaggeredAdoption, periods: int, build_up: Sequence[float] | None) -> None:
    issues = []
    if not isinstance(design, StaggeredAdoption):
        raise DesignError(f"design: a StaggeredAdoption is needed, not {type(design).__name__}.")
    if periods != int(periods) or periods < 1:
        issues.append(f"periods: {periods!r} is no number of periods to come. Give a whole number from 1.")
    if design.eligible is not None:
        issues.append("eligible: the power of triple differences is not simulated. Leave `eligible` out.")
    if build_up is not None and (not len(build_up) or not np.isfinite(np.asarray(build_up, float)).all()):
        issues.append("build_up: give the share of the full effect in each period, such as (0.0, 0.5, 1.0).")
    if issues:
        raise DesignError(issues)


def _named(schedule: Schedule | Mapping[str, Schedule]) -> dict[str, Schedule]:
    """Schedules by name."""
    if isinstance(schedule, Mapping) and schedule and all(is_schedule(one) for one in schedule.values()):
        return {str(name): one for name, one in schedule.items()}
    if not is_schedule(schedule) or not len(getattr(schedule, "sizes", [1])):
        raise DesignError(
            "schedule: state {site: start}, Waves({start: sites}) or SteppedWedge(steps=...), or several of"
            " them by name."
        )
    return {"as planned": schedule}


def _simulated(
    design: StaggeredAdoption, history: History, plan: Planned, given: tuple[int, tuple[float, ...], int]
) -> RolloutPower:
    periods, build_up, draws = given
    drawn = plan.by_lot or design.rollout_randomised == "yes"
    test = "permutation" if design.inference == "randomisation" else "clustered"
    return simulate_rollout_power(
        history.table,
        RolloutPlan(first=plan.first, periods=periods, order="random" if drawn else "planned"),
        RolloutAnalysis(rules=_rules(design, plan), test=test, build_up=build_up),  # type: ignore[arg-type]
        clusters=history.code,
        resampling=Resampling(draws=draws, seed=design.seed, level=design.level),
    )


def _rules(design: StaggeredAdoption, plan: Planned) -> RolloutRules:
    """The linear estimator of the design, or the one that stands in for it."""
    if design.approach in ("imputation", "two-stage"):
        return RolloutRules(estimator="imputation", anticipation=design.anticipation)
    if design.approach in ("two-way", "poisson two-way"):
        return RolloutRules(estimator="two-way")
    never = design.control_group == "never" and bool(np.isinf(plan.first).any())
    return RolloutRules(
        control_group="never" if never else "not yet",
        aggregation=design.aggregation,  # type: ignore[arg-type]
        anticipation=design.anticipation,
    )


def _row(name: str, plan: Planned, ahead: Periods, found: RolloutPower, level: float) -> dict[str, Any]:
    begins = np.isfinite(plan.first)
    shown = ahead.shown()
    note = found.reason
    if not note and not np.isfinite(found.mde):
        note = "No effect, however large, would be found in 80% of studies."
    return {
        "schedule": name,
        "begin": int(begins.sum()),
        "never_begin": int((~begins).sum()),
        "starts": len(np.unique(plan.first[begins])),
        "first_start": shown[int(plan.first[begins].min())],
        "last_start": shown[int(plan.first[begins].max())],
        "minimum_detectable_effect": found.mde,
        "mde_low": found.mde_low,
        "mde_high": found.mde_high,
        "share_of_level": found.mde / level if level > 0 else np.nan,
        "false_positives": found.size,
        "note": note,
    }


def _curve(name: str, found: RolloutPower) -> pd.DataFrame:
    held = {"effect": found.effects, "power": found.power, "monte_carlo_error": found.power_error}
    return pd.DataFrame({"schedule": [name] * len(found.effects), **held})


def _sentence(row: Mapping[Any, Any]) -> str:
    never = f", {row['never_begin']} never" if row["never_begin"] else ""
    said = f"{row['schedule']}: {plural(row['begin'], 'site')} begin at {plural(row['starts'], 'start')}"
    span = list(dict.fromkeys([row["first_start"], row["last_start"]]))
    said += f" ({' to '.join(span)}{never}). "
    if row["note"]:
        return said + str(row["note"])
    share = f", {row['share_of_level']:.1%} of the level before" if row["share_of_level"] > 0 else ""
    return said + (
        f"A full effect of {number(row['minimum_detectable_effect'])}"
        f" ({number(row['mde_low'])} to {number(row['mde_high'])} by simulation{share}) would be found in 80%"
        f" of studies; without an effect {row['false_positives']:.1%} would find one."
    )


def _notes(design: StaggeredAdoption, history: History) -> tuple[str, ...]:
    found = []
    if design.covariates:
        found.append("Covariates are not in the simulation; they may make the study a little better.")
    if design.exposure is not None or design.approach in COUNTS:
        found.append("Effects are differences of rates, not ratios.")
    elif design.approach in ("interaction-weighted", "stacked"):
        found.append("Group-time effects stand in for this approach.")
    if np.isnan(history.table).any():
        found.append("Some units lack periods in the history; the roll-out is simulated without gaps.")
    return tuple(found)


def _quantity(design: StaggeredAdoption) -> str:
    name = design.measured_in or design.outcome.replace("_", " ")
    return name if design.exposure is None else f"{name} per {design.exposure.replace('_', ' ')}"
