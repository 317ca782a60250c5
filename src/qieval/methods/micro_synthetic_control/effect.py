"""The effect: totals of the treated units less weighted totals of the control units."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from qieval.methods.micro_synthetic_control.design import MicroSyntheticControl
from qieval.methods.micro_synthetic_control.inference import Judged, judge, lines
from qieval.methods.micro_synthetic_control.study import ROUNDING, Calibrated, parse
from qieval.numerics.small_units_errors import totals
from qieval.result import Result
from qieval.text import number, plural

FAR = 0.1
"""A root mean squared gap before the start of more than this share of the treated level: no effect is
stated."""


def estimate(design: MicroSyntheticControl, frame: pd.DataFrame, *, brief: bool = False) -> Result:
    """Estimate the effect on the totals; see `MicroSyntheticControl`.

    Columns of `estimates` beyond the agreed ones: observed and expected total, and the effect in per cent of
    the expected total with its limits. `brief` leaves out the effects by period, for loops.
    """
    made = parse(design, frame)
    judged = judge(design, made, brief=brief)
    estimates = _estimates(made, judged, brief)
    facts = _facts(made, judged, estimates)
    return Result(
        design=design,
        headline=_headline(design, made, judged, estimates.iloc[0], facts),
        estimates=estimates,
        series=_series(made, estimates),
        weights=_weights(made),
        facts=pd.Series(facts, dtype=object),
        notes=(*made.pool.notes, *_notes(made), *judged.notes),
        kernel=made,
    )


def _estimates(made: Calibrated, judged: Judged, brief: bool) -> pd.DataFrame:
    found = totals(lines(made.data, brief=brief), made.weights)
    others = [f"total effect on {name}" for name in made.outcomes[1:]]
    periods = len(made.data.after) * (not brief)
    late = pd.DataFrame(
        {
            "term": ["total effect", *others, *(["effect in period"] * periods)],
            "at": [*([np.nan] * len(made.outcomes)), *map(float, range(periods))],
            "estimate": found.difference[:, 0],
            "std_error": judged.std_error,
            "conf_low": judged.low,
            "conf_high": judged.high,
            "p_value": judged.p_value,
            "observed": found.treated[:, 0],
            "expected": found.control[:, 0],
            "percent_change": 100 * np.where(found.control[:, 0] > 0, found.relative[:, 0], np.nan),
            "percent_low": judged.percent_low,
            "percent_high": judged.percent_high,
        }
    )
    return late if brief else pd.concat([late, _early(made)], ignore_index=True)


def _early(made: Calibrated) -> pd.DataFrame:
    """The first outcome before the start: what the weights leave, with rounding as nothing."""
    every = totals(made.data, made.weights)
    pre = made.data.pre
    treated, control = every.treated[0, :pre], every.control[0, :pre]
    gap = treated - control
    gap = np.where(np.abs(gap) <= ROUNDING * np.abs(every.treated[0]).max(), 0.0, gap)
    return pd.DataFrame(
        {
            "term": "gap before the start",
            "at": np.arange(-pre, 0, dtype=float),
            "estimate": gap,
            "observed": treated,
            "expected": control,
        }
    )


def _series(made: Calibrated, estimates: pd.DataFrame) -> pd.DataFrame:
    """Totals of the first outcome by period: treated, weighted control units with the interval of what would
    have been, and all control units scaled to the number treated."""
    every = totals(made.data, made.weights)
    pre, n_treated = made.data.pre, made.data.treated.sum()
    late = estimates[estimates["term"] == "effect in period"]
    observed = every.treated[0]
    low, high = np.full(len(observed), np.nan), np.full(len(observed), np.nan)
    if len(late):
        finite = np.isfinite(late["conf_low"] + late["conf_high"])
        low[pre:] = (observed[pre:] - late["conf_high"]).where(finite)
        high[pre:] = (observed[pre:] - late["conf_low"]).where(finite)
    time = made.pool.panel.periods.axis()[made.pool.begin :]
    treated = pd.DataFrame(
        {
            "time": time,
            "group": "treated",
            "observed": observed,
            "counterfactual": every.control[0],
            "conf_low": low,
            "conf_high": high,
        }
    )
    mean = made.data.outcomes[0][:, ~made.data.treated].mean(axis=1)
    comparison = pd.DataFrame({"time": time, "group": "comparison", "observed": mean * n_treated})
    return pd.concat([treated, comparison], ignore_index=True)


def _weights(made: Calibrated) -> pd.DataFrame:
    names = made.pool.names[~made.data.treated]
    table = pd.DataFrame({"row": list(names), "group": "control", "weight": made.control_weights})
    return table.sort_values("weight", ascending=False, ignore_index=True, kind="stable")


def _facts(made: Calibrated, judged: Judged, estimates: pd.DataFrame) -> dict[str, Any]:
    pool, found = made.pool, made.found
    whole = estimates.iloc[0]
    gap, level = _gap_before(made)
    control = made.control_weights
    facts: dict[str, Any] = {
        "treated units": int(made.data.treated.sum()),
        "control units": len(control),
        "control units with weight": int((control > ROUNDING * control.max()).sum()),
        "effective number of control units": found.effective_units,
        "largest weight": float(control.max()),
        "totals to match": len(made.constraints),
        "totals that follow from others": int(found.redundant.sum()),
        "totals not reached": int(found.missed.sum()),
        "relative duality gap of the weights": found.gap,
        "periods fitted": made.fitted,
        "periods from the start on": len(made.data.after),
        "first period fitted": pool.labels[pool.begin],
        "start": pool.labels[pool.start],
        "last period": pool.labels[-1],
        "root mean squared gap before the start": gap,
        "the same as share of the treated level": gap / level if level > 0 else np.nan,
        "observed total": float(whole["observed"]),
        "expected total": float(whole["expected"]),
        "rate ratio": 1 + whole["percent_change"] / 100,
        "rate ratio, low": 1 + whole["percent_low"] / 100,
        "rate ratio, high": 1 + whole["percent_high"] / 100,
        "percent change": whole["percent_change"],
        "interval by": judged.label,
    }
    if len(made.outcomes) > 1:
        facts["p-value of no effect on any outcome"] = judged.joint
        facts["that p-value by"] = judged.joint_by
    return facts


def _gap_before(made: Calibrated) -> tuple[float, float]:
    """Root mean squared gap of the outcome over the fitted periods, and the treated level there."""
    every = totals(made.data, made.weights)
    treated = every.treated[0, : made.fitted]
    level = float(np.abs(treated).mean())
    gap = float(np.sqrt(np.mean(every.difference[0, : made.fitted] ** 2)))
    return (0.0 if gap <= ROUNDING * level else gap), level


def _notes(made: Calibrated) -> tuple[str, ...]:
    found, notes = made.found, []
    if not found.converged:
        notes.append("weights: the search did not converge; other weights may be more even or nearer.")
    if not found.feasible:
        missed = made.targets.loc[~made.targets["met"], "what"].tolist()
        notes.append(
            f"weights: no weights of control units match all totals; {plural(len(missed), 'total')} of"
            f" {len(made.constraints)} stay apart ({', '.join(missed[:3])}{' ...' * (len(missed) > 3)}) and"
            " came as near as can be."
        )
    return tuple(notes)


def _headline(
    design: MicroSyntheticControl,
    made: Calibrated,
    judged: Judged,
    whole: pd.Series[Any],
    facts: dict[str, Any],
) -> str:
    quantity = design.measured_in or design.outcome.replace("_", " ")
    count = facts["treated units"]
    whose = "the treated unit" if count == 1 else f"the {count:,} treated units"
    share = facts["the same as share of the treated level"]
    if not share <= FAR:
        return (
            f"No weights of the control units reproduce {quantity} of {whose} before the start: the root"
            f" mean squared gap is {number(facts['root mean squared gap before the start'])}. No effect is"
            " stated; match fewer characteristics, let some be matched `approximately`, or find control units"
            " that are more alike."
        )
    interval = f"{design.level:.0%} interval {_range(whole['conf_low'], whole['conf_high'])}, {judged.label}"
    percent = ""
    if np.isfinite(whole["percent_change"]):
        percent = f" That is {_more(whole['percent_change'], '%')}"
        if np.isfinite([whole["percent_low"], whole["percent_high"]]).all():
            percent += f" ({_range(whole['percent_low'], whole['percent_high'], '%')})"
        percent += "."
    return (
        f"From {made.pool.labels[made.pool.start]} to {made.pool.labels[-1]}, {quantity} of"
        f" {whose}: {_more(whole['estimate'])} in all ({interval}), {number(whole['observed'])} where"
        f" {number(whole['expected'])} were expected from weighted control units.{percent}"
    )


def _range(low: float, high: float, unit: str = "") -> str:
    if not np.isfinite([low, high]).all():
        return "without limits"
    return f"{_more(low, unit)} to {_more(high, unit)}"


def _more(value: float, unit: str = "") -> str:
    if value == 0:
        return "none more or fewer"
    return f"{number(abs(value))}{unit} {'more' if value > 0 else 'fewer'}"
