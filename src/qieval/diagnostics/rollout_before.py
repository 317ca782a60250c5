"""How alike cohorts were, and how their outcome moved, before anybody began."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import scipy

from qieval.check import Check
from qieval.diagnostics.rollout_rows import (
    FEWEST_SHOWN,
    PARALLEL,
    before_roll_out,
    by_period,
    cohort_codes,
    cohort_names,
    groups_of,
    hidden,
    measured,
)
from qieval.numerics.rollout_order import baseline_outcome
from qieval.rollout.panel import Rollout
from qieval.text import listed, number, plural

NOTABLE = 0.1
"""A standardised difference that is usually called notable (Austin 2009)."""
MOST_NAMED = 6


def balance_before(design: Any, rollout: Rollout) -> Check:
    """Standardised differences of each cohort against its comparison, from values before the earliest start.

    Means of units over the periods before the roll-out; the difference of means is divided by the pooled
    standard deviation sqrt((s1^2 + s0^2) / 2). In repeated cross-sections each row is a unit. The comparison:
    units that never begin, or with control_group 'not yet' also those that begin later.
    """
    name = "balance before the roll-out"
    early = before_roll_out(design, rollout)
    if not early.any():
        text = (
            "No period lies before anybody could be affected, so nothing can be compared before the roll-out."
        )
        return Check(name=name, assumption=PARALLEL, verdict="information", text=text)
    names, values, first = _means(design, rollout, early)
    rows = [
        {
            "cohort": label,
            **_difference(design, what, values[:, j], first == start, _compared(design, first, start)),
        }
        for start, label in zip(rollout.starts, cohort_names(rollout), strict=False)
        for j, what in enumerate(names)
    ]
    table = pd.DataFrame(rows)
    apart = table.loc[table["standardised_difference"].abs() > NOTABLE, "characteristic"]
    text = (
        f"Before the roll-out some cohort differs from its comparison by more than {NOTABLE:g} standard"
        f" deviations in: {listed(dict.fromkeys(apart), 8)}."
        if len(apart)
        else f"Before the roll-out no cohort differs from its comparison by more than {NOTABLE:g} standard"
        " deviations."
    )
    text += " Different levels do not bias the estimate, different trends do."
    known = bool(table["standardised_difference"].notna().any())
    return Check(
        name=name,
        assumption=PARALLEL,
        verdict="information",
        text=text,
        table=table,
        picture=name if known else None,
    )


def _means(design: Any, rollout: Rollout, early: np.ndarray) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Names, values before the roll-out by unit (n, k), and starts (n,)."""
    what = "rate" if design.exposure is not None else design.outcome
    names = [*rollout.x_names, f"{what} (level)"]
    columns = [*rollout.x.T, measured(rollout)]
    inside = early[rollout.time]
    if rollout.began is None:
        return names, np.column_stack(columns)[inside], rollout.first[inside]
    with np.errstate(invalid="ignore", divide="ignore"):
        found = []
        for column in columns:
            table = by_period(rollout, rollout.unit, np.where(inside, column, np.nan))[:, early]
            found.append(np.nansum(table, axis=1) / np.isfinite(table).sum(axis=1))
    return names, np.column_stack(found), rollout.began


def _compared(design: Any, first: np.ndarray, start: float) -> np.ndarray:
    never = np.asarray(np.isinf(first))
    if getattr(design, "control_group", "never") == "never" and never.any():
        return never
    return np.asarray(first > start)


def _difference(
    design: Any, what: str, values: np.ndarray, mine: np.ndarray, others: np.ndarray
) -> dict[str, Any]:
    known = np.isfinite(values)
    one, none = values[mine & known], values[others & known]
    empty = {"cohort_mean": np.nan, "comparison_mean": np.nan, "standardised_difference": np.nan}
    if not one.size or not none.size or hidden(design, one.size) or hidden(design, none.size):
        return {"characteristic": what, **empty}
    gap = float(one.mean() - none.mean())
    spread = float(np.sqrt((_variance(one) + _variance(none)) / 2))
    standardised = gap / spread if spread > 0 else 0.0 if gap == 0 else np.nan
    return {
        "characteristic": what,
        "cohort_mean": float(one.mean()),
        "comparison_mean": float(none.mean()),
        "standardised_difference": standardised,
    }


def _variance(values: np.ndarray) -> float:
    return float(values.var(ddof=1)) if len(values) > 1 else 0.0


def trends_before(design: Any, rollout: Rollout) -> Check:
    """The outcome by cohort before anybody began, and the trend of each cohort beside its comparison's."""
    name = "trends before the roll-out"
    early = before_roll_out(design, rollout)
    table = _courses(design, rollout, early)
    if early.sum() < 2 or table.empty:
        text = "Fewer than two periods lie before anybody could be affected, so no trend can be seen."
        return Check(name=name, assumption=PARALLEL, verdict="concern", text=text)
    groups = groups_of(design, rollout)
    if isinstance(groups, str):
        text = f"The means by cohort are shown; their trends were not compared. {groups}"
        return Check(
            name=name, assumption=PARALLEL, verdict="information", text=text, table=table, picture=name
        )
    series = by_period(rollout, groups.code, np.where(early[rollout.time], measured(rollout), np.nan))
    times = rollout.times.astype(float)
    slope = baseline_outcome(series, times, np.array([times[early][-1] + 1.0]))[:, 1]
    text, apart = _slopes_said(design, rollout, groups.first, slope)
    return Check(
        name=name,
        assumption=PARALLEL,
        verdict="concern" if apart else "information",
        text=text,
        table=table,
        picture=name,
    )


def _courses(design: Any, rollout: Rollout, early: np.ndarray) -> pd.DataFrame:
    """Weighted means by cohort and period before the roll-out; empty for few people, without cohorts that
    have few in every period."""
    code = cohort_codes(rollout, rollout.first)
    seen = early[rollout.time]
    means = by_period(rollout, code, np.where(seen, measured(rollout), np.nan))
    rows = np.bincount(code[seen] * rollout.n_periods + rollout.time[seen], minlength=means.size)
    few = rows.reshape(means.shape) < (FEWEST_SHOWN if design.units_are == "people" else 1)
    means = np.where(few, np.nan, means)
    axis = rollout.periods.axis()
    parts = [
        pd.DataFrame({"time": axis[early], "group": name, "observed": means[place][early]})
        for place, name in enumerate(cohort_names(rollout))
        if place < len(means) and not few[place][early].all()
    ]
    return (
        pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["time", "group", "observed"])
    )


def _slopes_said(design: Any, rollout: Rollout, first: np.ndarray, slope: np.ndarray) -> tuple[str, bool]:
    """The largest difference of mean trends in words, and whether it is beyond chance."""
    rows = []
    for start, name in zip(rollout.starts, cohort_names(rollout), strict=False):
        known = np.isfinite(slope)
        mine, others = slope[known & (first == start)], slope[known & _compared(design, first, start)]
        if mine.size > 1 and others.size > 1:
            rows.append((_welch(mine, others), float(mine.mean()), float(others.mean()), name))
    if not rows:
        return (
            "Each cohort is too small to tell how much its trend may vary, so trends are only shown.",
            False,
        )
    p, mine_mean, others_mean, name = min(rows)
    adjusted = min(1.0, p * len(rows))
    apart = adjusted < 1 - design.level
    text = (
        f"Before the roll-out trends differ most in those that {name}: {number(mine_mean)} per period,"
        f" against {number(others_mean)} in the comparison (p = {number(adjusted, 2)}, allowing for"
        f" {plural(len(rows), 'cohort')})."
    )
    text += (
        " Cohorts were drifting apart before they began; covariates that explain it, or a later comparison,"
        " are needed."
        if apart and not design.covariates
        else " Covariates are not taken into account here."
        if apart
        else " That is within chance, which is no proof that trends are parallel."
    )
    return text, apart


def _welch(one: np.ndarray, other: np.ndarray) -> float:
    """The two-sided p-value of a difference of means with unequal variances."""
    a, b = one.var(ddof=1) / one.size, other.var(ddof=1) / other.size
    gap = float(one.mean() - other.mean())
    if a + b <= 1e-24 * (one.mean() ** 2 + other.mean() ** 2):
        return 1.0
    df = (a + b) ** 2 / (a**2 / (one.size - 1) + b**2 / (other.size - 1))
    return float(2 * scipy.special.stdtr(df, -abs(gap) / np.sqrt(a + b)))
