"""How sure the totals are: linearised, by permuted groups, by the jackknife, or as microsynth has it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import comb
from typing import Any

import numpy as np
import scipy

from qieval.errors import EstimationError
from qieval.methods.micro_synthetic_control.design import MicroSyntheticControl
from qieval.methods.micro_synthetic_control.study import Calibrated
from qieval.numerics.joint import wald
from qieval.numerics.small_units_effect import around_effect, inverted
from qieval.numerics.small_units_errors import Errors, Kind, SmallUnits, limits, linearised
from qieval.numerics.small_units_replicates import TIES, jackknife, permute
from qieval.text import number, plural

MANY_TREATED = 20
"""With fewer treated units the linearised interval is too narrow (its tails are those of many units)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Judged:
    """What can be said of m totals: each (m,), in the units of the outcome and in per cent.

    joint: p-value of no effect on any outcome.
    """

    std_error: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p_value: np.ndarray
    percent_low: np.ndarray
    percent_high: np.ndarray
    joint: float
    joint_by: str
    label: str
    notes: tuple[str, ...] = ()


def lines(data: SmallUnits, *, brief: bool = False) -> SmallUnits:
    """The same units with one 'outcome' for each line of the results: the total of each outcome over all
    periods from the start on and, unless brief, the first outcome in each of these periods."""
    total = data.outcomes[:, data.after].sum(axis=1)
    rows = total if brief else np.concatenate([total, data.outcomes[0, data.after]])
    return replace(data, outcomes=rows[:, None, :], pre=0)


def judge(design: MicroSyntheticControl, made: Calibrated, *, brief: bool = False) -> Judged:
    """Intervals and p-values of all lines, by the way that the design names."""
    data = lines(made.data, brief=brief)
    kind = way(design, made, data)
    if kind == "permutation":
        return _permuted(design, made, data)
    if kind == "jackknife":
        return _jackknifed(design, made, data)
    if kind == "as microsynth":
        return _by_records(design, made, brief)
    found = around_effect(data, made.weights, design.level)
    judged = _normal(found, design.level, len(made.outcomes), "linearised")
    if _known(found):
        return judged
    note = (
        f"interval: {plural(int((made.control_weights > 0).sum()), 'control unit')} with weight are too few"
        f" for a linearised interval when {plural(len(made.constraints), 'total')} are matched. Match fewer,"
        " or use inference='permutation'."
    )
    return replace(judged, notes=(note,))


def way(design: MicroSyntheticControl, made: Calibrated, data: SmallUnits) -> str:
    """The stated way, or what 'automatic' comes to."""
    if design.inference != "automatic":
        return str(design.inference)
    if int(data.treated.sum()) >= MANY_TREATED and _known(linearised(data, made.weights)):
        return "linearised"
    return "permutation"


def _known(found: Errors) -> bool:
    return bool(np.isfinite(found.std_error).all())


def _normal(found: Errors, level: float, outcomes: int, label: str, df: float = np.inf) -> Judged:
    """Limits from standard errors: normal, or t with few jackknife groups."""
    critical = float(scipy.special.stdtrit(df, (1 + level) / 2)) if np.isfinite(df) else _z(level)
    low, high = limits(found.log_ratio, critical * found.log_std_error)
    p_value = found.p_value
    if np.isfinite(df):
        p_value = 2 * scipy.special.stdtr(df, -np.abs(found.statistic))
    return Judged(
        std_error=found.std_error,
        low=found.difference - critical * found.std_error,
        high=found.difference + critical * found.std_error,
        p_value=p_value,
        percent_low=100 * low,
        percent_high=100 * high,
        joint=_wald(found, outcomes),
        joint_by="Wald test",
        label=label,
    )


def _z(level: float) -> float:
    return float(scipy.special.ndtri((1 + level) / 2))


def _wald(found: Errors, outcomes: int) -> float:
    covariance = found.covariance[:outcomes, :outcomes]
    if not np.isfinite(covariance).all():
        return float("nan")
    return float(wald(found.difference[:outcomes], covariance).p_chi2)


def _by_records(design: MicroSyntheticControl, made: Calibrated, brief: bool) -> Judged:
    """Every unit in every period by itself: totals over all periods, then each period alone."""
    label = "linearised as in microsynth"
    data, level, outcomes = made.data, design.level, len(made.outcomes)
    whole = _normal(linearised(data, made.weights, "records", level), level, outcomes, label)
    if brief:
        return whole
    each = [
        _normal(linearised(data, made.weights, "records", level, np.array([k])), level, outcomes, label)
        for k in data.after
    ]
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(whole, name), [getattr(one, name)[0] for one in each]])
        for name in ("std_error", "low", "high", "p_value", "percent_low", "percent_high")
    }
    return replace(whole, **joined)


def _jackknifed(design: MicroSyntheticControl, made: Calibrated, data: SmallUnits) -> Judged:
    smaller = int(min(data.treated.sum(), (~data.treated).sum()))
    if smaller < 2:
        raise EstimationError(
            "inference: the jackknife leaves out groups of treated units, so it needs two of them at least,"
            " and two control units. Use inference='permutation'."
        )
    found = jackknife(data, seed=design.seed, level=design.level)
    judged = _normal(found.errors, design.level, len(made.outcomes), "jackknife", df=found.groups - 1)
    if not found.infeasible or not made.found.feasible:
        return judged
    note = (
        f"interval: without {plural(found.infeasible, 'jackknife group')} of {found.groups} no weights match"
        " all totals; the nearest were taken."
    )
    return replace(judged, notes=(note,))


def _permuted(design: MicroSyntheticControl, made: Calibrated, data: SmallUnits) -> Judged:
    kind: Kind = "calibrated"
    observed = linearised(data, made.weights, kind, design.level)
    if not _known(observed):
        kind = "units"
        observed = linearised(data, made.weights, kind, design.level)
    found = permute(data, int(design.draws), kind=kind, seed=design.seed, level=design.level)
    sizes = np.nan_to_num(np.abs(found.statistics[:, :-1]), nan=np.inf)
    groups = comb(data.treated.size, int(data.treated.sum()))
    critical = _critical(sizes, design.level, groups)
    between = inverted(data, made.weights, critical, kind)
    with np.errstate(invalid="ignore"):
        low, high = limits(observed.log_ratio, between.multiple * observed.log_std_error)
    count = len(sizes)
    p_value = _p_value(sizes, np.abs(observed.statistic), groups)
    error = number(float(np.sqrt(p_value[0] * (1 - p_value[0]) / max(count, 1))))
    notes = [
        f"interval: the p-value comes from {plural(count, 'random group')} of units; its own random error is"
        f" {error}."
    ]
    if not np.isfinite(critical).all():
        smallest = number(max(1 / groups, 1 / (1 + count)))
        notes.append(
            f"interval: no p-value can be below {smallest}, so a {design.level:.0%} interval has no limits."
            " Use a lower level, more `draws` or more units."
        )
    if found.infeasible:
        notes.append(_unmatched(found.infeasible, made.found.feasible))
    return Judged(
        std_error=around_effect(data, made.weights, design.level).std_error,
        low=between.low,
        high=between.high,
        p_value=p_value,
        percent_low=100 * low,
        percent_high=100 * high,
        joint=_largest(sizes, np.abs(observed.statistic), len(made.outcomes), groups),
        joint_by="largest of the statistics in random groups",
        label="permuted groups of units",
        notes=tuple(notes),
    )


def _unmatched(groups: int, left_out: bool) -> str:
    said = "they are left out." if left_out else "the nearest were taken."
    return f"interval: for {plural(groups, 'random group')} no weights match all totals; {said}"


def _largest(sizes: np.ndarray, own: np.ndarray, outcomes: int, groups: int) -> float:
    """P-value of the largest |statistic| of the outcomes."""
    largest = sizes[:, :outcomes].max(axis=1, keepdims=True)
    return float(_p_value(largest, own[:outcomes].max(keepdims=True), groups)[0])


def _p_value(sizes: np.ndarray, own: np.ndarray, groups: int) -> np.ndarray:
    """P-values (m,) of |statistics| (m,) among those of k random groups (k, m), which are drawn from
    groups - 1 different ones: where these are few, more draws make no p-value smaller."""
    extreme = (~(sizes < own * (1 - TIES))).sum(axis=0)
    drawn = (1 + extreme) / (1 + len(sizes))
    share = extreme / max(len(sizes), 1)
    found: np.ndarray = np.maximum(drawn, 1 / groups + (1 - 1 / groups) * share)
    return found


def _critical(sizes: np.ndarray, level: float, groups: int) -> np.ndarray:
    """What |statistics| (m,) must pass for a p-value of 1 - level at most; infinite where none is so
    small."""
    left = (1 - level - 1 / groups) / (1 - 1 / groups)
    rank = int(np.ceil((1 - left) * (1 + len(sizes)) - TIES))
    if left < 0 or rank > len(sizes):
        return np.full(sizes.shape[1], np.inf)
    critical: np.ndarray = np.sort(sizes, axis=0)[rank - 1]
    return critical
