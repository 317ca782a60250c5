"""How well the weights of many small units match what they should, and what they rest on."""

from __future__ import annotations

from dataclasses import replace
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from qieval.check import Check
from qieval.numerics.small_units import CalibrationFit
from qieval.numerics.small_units_effect import around_effect
from qieval.numerics.small_units_errors import SmallUnits, summed
from qieval.progress import progress
from qieval.result import Study
from qieval.text import listed, number, plural

if TYPE_CHECKING:
    from qieval.methods.micro_synthetic_control.study import Calibrated

EQUAL, LONG_ENOUGH = (
    "the weighted units equal the treated before the start",
    "enough periods before the start",
)
SINGLE, EARLY = "no single donor decides the result", "no anticipation"
FEW_PERIODS = 10
"""Fewer fitted periods are a red flag (Clarke et al. 2019: biased over a short time before the start)."""
NEAR = 0.1
"""A difference below this many standard deviations of the units counts as balanced."""
HEAVY = 0.1
"""One control unit that stands for more than this share of the treated deserves a concern."""
FEW_UNITS = 20
DRAWN = 40
"""Of more totals the worst are listed, and drawn, first."""
FEWEST_FITTED = 4
MOST_DATES = 6
LEFT_OUT = (1, 5, 10, 25)
APART = "not all totals could be matched"


def balance(design: Any, made: Calibrated) -> Check:
    """Treated, weighted and unweighted totals of everything that should match."""
    targets = made.targets
    spread = targets["spread"] * made.data.treated.sum()
    table = targets[["what", "treated", "weighted", "unweighted"]].assign(
        difference_before=_shares(targets["treated"] - targets["unweighted"], spread),
        difference_after=_shares(
            (targets["treated"] - targets["weighted"]).where(~targets["met"], 0.0), spread
        ),
    )
    before, left = table["difference_before"].abs(), table["difference_after"].abs()
    text = (
        f"Unweighted, the control units (scaled to {plural(int(made.data.treated.sum()), 'unit')}) differ"
        f" from the treated by up to {number(float(before.max()), 2)} standard deviations of the units"
        f" ({table['what'][before.argmax()]})."
    )
    verdict = "supports"
    if made.found.feasible:
        text += f" Weighted, all {len(table)} totals are equal."
    else:
        missed = targets.loc[~targets["met"], "what"]
        verdict = "concern" if left.max() > NEAR else "information"
        text += (
            f" Weighted, {plural(len(missed), 'total')} of {len(table)} stay apart ({listed(missed)}), by up"
            f" to {number(float(left.max()), 2)} standard deviations."
        )
    return Check(
        name="totals before the start",
        assumption=EQUAL,
        verdict=verdict,  # type: ignore[arg-type]
        text=text,
        table=table.iloc[np.lexsort((-before, -left))] if len(table) > DRAWN else table,
        picture="shared",
    )


def _shares(difference: pd.Series[float], spread: pd.Series[float]) -> pd.Series[float]:
    """Differences in standard deviations; 0 for what does not vary."""
    return (difference / spread.where(spread > 0)).fillna(0.0)


def within_reach(design: Any, made: Calibrated) -> Check:
    """Whether positive weights can reach the treated at all, or they lie beyond the control units."""
    treated = made.data.treated
    mean = made.data.constraints[:, treated].mean(axis=1)
    control = made.data.constraints[:, ~treated]
    low, high = control.min(axis=1), control.max(axis=1)
    names = made.targets["what"]
    slack = 1e-9 * np.maximum(np.abs(low), np.abs(high))
    outside = (mean < low - slack) | (mean > high + slack)
    table = pd.DataFrame(
        {"what": names, "treated_mean": mean, "lowest_control": low, "highest_control": high}
    )
    if outside.any():
        text = (
            f"In {int(outside.sum())} of {len(names)} totals the mean of the treated units lies beyond every"
            f" control unit ({listed(names[outside])}): no weights reach it without extrapolation."
        )
    elif not made.found.feasible:
        text = (
            "In each total by itself the treated lie between the lowest and the highest control unit, but no"
            " weights reach all of them together. Match fewer, or name some in `approximately`."
        )
    else:
        text = "Positive weights reach all totals together: nothing is extrapolated beyond the control units."
    return Check(
        name="within reach of the control units",
        assumption=EQUAL,
        verdict="supports" if made.found.feasible else "concern",
        text=text,
        table=table,
    )


def weights_spread(design: Any, made: Calibrated) -> Check:
    """How many control units the comparison amounts to, and how much the heaviest stand for."""
    weights = np.sort(made.control_weights)[::-1]
    treated, effective = weights.sum(), made.found.effective_units
    used = int((weights > 1e-9 * weights[0]).sum())
    table = pd.DataFrame(
        {
            "control_units": [plural(many, "heaviest unit") for many in (1, 10, 100) if many <= used]
            + ["all"],
            "share_of_the_weight": [
                float(weights[:many].sum() / treated) for many in (1, 10, 100) if many <= used
            ]
            + [1.0],
        }
    )
    share = float(weights[0] / treated)
    text = (
        f"{plural(used, 'control unit')} of {len(weights):,} have weight; they amount to"
        f" {number(effective)} equally weighted units. The heaviest stands for {share:.1%} of the treated."
    )
    heavy = share > HEAVY or effective < FEW_UNITS
    if heavy:
        text += " So few decide the comparison: match fewer characteristics or find more control units."
    return Check(
        name="weights of the control units",
        assumption=SINGLE,
        verdict="concern" if heavy else "supports",
        text=text,
        table=table,
    )


def enough_periods(design: Any, made: Calibrated) -> Check:
    """The number of fitted periods, and how well weights from the earlier ones predict the last quarter."""
    name, fitted = "length of the time before the start", made.fitted
    text = f"There {'is' if fitted == 1 else 'are'} {plural(fitted, 'fitted period')}."
    if fitted < FEW_PERIODS:
        text += (
            f" Fewer than {FEW_PERIODS} are a short time: weights follow chance events, which do not last,"
            " and the estimate is biased."
        )
    if fitted < FEWEST_FITTED + 1:
        return Check(name=name, assumption=LONG_ENOUGH, verdict="concern", text=text)
    held = max(1, min(fitted // 4, fitted - FEWEST_FITTED))
    row = _earlier(made, made.pool.stop - held, design.level)
    text += (
        f" Weights from the first {fitted - held} predict {number(row['expected'])} for the"
        f" {plural(held, 'last fitted period')}, in which {number(row['observed'])} were observed"
        f" ({_off(row)})."
    )
    off = bool(row["p_value"] < 1 - design.level)
    if off:
        text += " That is more than chance would explain, although nothing had begun."
    return Check(
        name=name,
        assumption=LONG_ENOUGH,
        verdict="concern" if fitted < FEW_PERIODS or off else "supports",
        text=text,
        table=pd.DataFrame([row]),
    )


def _off(row: dict[str, Any]) -> str:
    if not row["expected"] > 0:
        return f"p = {number(row['p_value'])}"
    return f"{row['observed'] / row['expected'] - 1:+.1%}, p = {number(row['p_value'])}"


def _earlier(made: Calibrated, code: int, level: float) -> dict[str, Any]:
    """The effect that is found when the intervention is thought to begin at `code`."""
    data = made.before(code)
    weights, fit = data.weights()
    total = summed(data, weights, data.after)
    return {
        "label": f"start at {made.pool.labels[code]}",
        "periods": len(data.after),
        "observed": float(total.treated[0]),
        "expected": float(total.control[0]),
        **_linearised(data, weights, level),
        "note": "" if fit.feasible else APART,
    }


def _linearised(data: SmallUnits, weights: np.ndarray, level: float) -> dict[str, float]:
    """Effect on the first outcome with its linearised limits; NaN where too few units have weight."""
    found = around_effect(replace(data, outcomes=data.outcomes[:1]), weights, level)
    estimate = float(found.difference[0])
    half = NormalDist().inv_cdf((1 + level) / 2) * float(found.std_error[0])
    return {
        "estimate": estimate,
        "conf_low": estimate - half,
        "conf_high": estimate + half,
        "p_value": float(found.p_value[0]),
    }


def backdating(study: Study) -> Check:
    """Pretend that the intervention began earlier: the totals should stay equal up to the real start."""
    made: Calibrated = study.panel
    name = "backdating"
    first = made.pool.begin + FEWEST_FITTED
    if first >= made.pool.stop:
        text = f"With {plural(made.fitted, 'fitted period')} no earlier date can be tried."
        return Check(name=name, assumption=EARLY, verdict="information", text=text)
    middle = max(first, (made.pool.begin + made.pool.stop) // 2)
    codes = np.unique(np.linspace(middle, made.pool.stop - 1, MOST_DATES).round().astype(int))
    table = pd.DataFrame(
        [_earlier(made, int(code), study.design.level) for code in progress(codes, "earlier dates")]
    )
    # Over shorter times chance differences a period are larger than those of the effect.
    table = table.assign(per_period=table["estimate"] / table["periods"])
    long = table["periods"] >= min(len(made.data.after), int(table["periods"].max())) / 2
    per_period = table["per_period"].where(long, 0.0)
    worst = int(per_period.abs().argmax())
    effect = float(study.overall["estimate"]) / len(made.data.after)
    least = float(table["p_value"].min()) * len(table)
    text = (
        f"At {plural(len(table), 'earlier date')} the difference up to the real start is at most"
        f" {number(abs(float(per_period[worst])))} a period in size ({table['label'][worst]}); the estimate"
        f" is {number(effect)} a period."
    )
    alarm = least < 1 - study.design.level
    large = abs(float(per_period[worst])) > 0.5 * abs(effect)
    if alarm:
        text += " Already then the treated left the weighted units by more than chance would explain."
    elif large:
        text += " A difference of that size appeared where there was no intervention."
    else:
        text += " Nothing of that size appeared where there was no intervention."
    return Check(
        name=name,
        assumption=EARLY,
        verdict="concern" if alarm or large else "supports",
        text=text,
        table=table,
        picture="intervals",
    )


def without_heaviest(study: Study) -> Check:
    """The estimate without the control units that have the most weight, together."""
    made: Calibrated = study.panel
    level = study.design.level
    order = np.flatnonzero(~made.data.treated)[np.argsort(-made.control_weights, kind="stable")]
    tried = [many for many in LEFT_OUT if many < len(order)]
    rows = [_row("all control units", made.data, (made.weights, made.found), level)]
    for many in progress(tried, "without the heaviest"):
        part = made.data.subset(~np.isin(np.arange(len(made.weights)), order[:many]))
        rows.append(_row(f"without the {plural(many, 'heaviest unit')}", part, part.weights(), level))
    table = pd.DataFrame(rows)
    low, high = float(table["estimate"].min()), float(table["estimate"].max())
    effect = rows[0]["estimate"]
    turned = low * high < 0
    halved = bool(effect and (np.abs(table["estimate"] / effect - 1) > 0.5).any())
    text = (
        f"Without up to {tried[-1] if tried else 0} of the heaviest control units the estimate runs from"
        f" {number(low)} to {number(high)} (all: {number(effect)})"
    )
    text += ": its direction hangs on them." if turned else ": its size hangs on them." if halved else "."
    return Check(
        name="without the heaviest control units",
        assumption=SINGLE,
        verdict="concern" if turned or halved else "supports",
        text=text,
        table=table,
        picture="intervals",
    )


def _row(
    label: str, data: SmallUnits, found: tuple[np.ndarray, CalibrationFit], level: float
) -> dict[str, Any]:
    weights, fit = found
    return {
        "label": label,
        **_linearised(data, weights, level),
        "effective_units": fit.effective_units,
        "note": "" if fit.feasible else APART,
    }
