"""Confounders that a linear regression left out: robustness values, benchmarks, coefficient stability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from qieval.columns import covariates as design_columns
from qieval.columns import numbers
from qieval.errors import DataError, EstimationError
from qieval.numerics import omitted_variables
from qieval.numerics import oster as stability
from qieval.sensitivity.base import Sensitivity, known
from qieval.text import number, plural

Floats: TypeAlias = npt.NDArray[np.float64]

GRID = 41
"""Points of the contour grid along each axis, closer together near zero, where bias grows fastest."""
_INSEPARABLE = (
    "treated: '{treated}' is a combination of the covariates, or there are no more rows than columns, so its"
    " effect cannot be told apart. Use fewer covariates."
)


def omitted_variable(
    data: pd.DataFrame,
    outcome: str,
    treated: str,
    covariates: Sequence[str],
    benchmarks: Sequence[str] = (),
    multiples: Sequence[float] = (1.0, 2.0, 3.0),
) -> Sensitivity:
    """How strong a confounder must be to overturn a linear regression, beside measured covariates.

    table: confounders `multiples` times as strong as each benchmark (a text column counts as one group) and
    what they leave of the estimate. details: "statistics" (robustness values at q = 1 and alpha = 0.05),
    "contour" (a grid of both partial R2), "left out" (the estimate without each covariate). Source: Cinelli
    and Hazlett (2020).
    """
    held, groups = _regression(data, outcome, treated, covariates)
    for name in benchmarks:
        known("benchmarks", name, covariates)
    fitted = omitted_variables.fit(held)
    if not np.isfinite(fitted.estimate):
        raise EstimationError(_INSEPARABLE.format(treated=treated))
    value = float(omitted_variables.robustness_value(fitted.t, fitted.df))
    limit = float(omitted_variables.robustness_value(fitted.t, fitted.df, alpha=0.05))
    statistics = {
        "estimate": fitted.estimate,
        "std_error": fitted.se,
        "t": fitted.t,
        "df": fitted.df,
        "partial_r2": fitted.partial_r2,
        "robustness_value": value,
        "robustness_value_5pc": limit,
    }
    table = _benchmark_table(held, fitted, {name: groups[name] for name in benchmarks}, multiples)
    text = (
        f"An unmeasured characteristic that explains {value:.1%} of what covariates leave of both treatment"
        f" and outcome would bring the estimate of {number(fitted.estimate)} to zero; {limit:.1%} would be"
        " enough for its 95% interval to include zero."
    )
    details = {
        "statistics": pd.DataFrame([statistics]),
        "contour": _contour(fitted, table),
        "left out": _left_out(held, groups),
    }
    return Sensitivity(name="omitted-variable bias", text=text, table=table, details=details)


def oster(
    data: pd.DataFrame,
    outcome: str,
    treated: str,
    covariates: Sequence[str],
    *,
    r2_max: float | None = None,
    delta: float = 1.0,
) -> Sensitivity:
    """Oster's delta for no effect, and the coefficient if selection on unobservables were `delta` times as
    strong.

    r2_max: the R2 that a regression with everything would have; 1.3 times that of the covariates (at most 1)
    when None, as Oster (2019) proposes.
    """
    held, _ = _regression(data, outcome, treated, covariates)
    moved = stability.movement(held)
    if not np.isfinite(moved.full):
        raise EstimationError(_INSEPARABLE.format(treated=treated))
    highest = min(1.3 * moved.r2_full, 1.0) if r2_max is None else r2_max
    if not moved.r2_full <= highest <= 1:
        raise DataError(
            f"r2_max: {highest:g} must lie between the R2 with covariates ({moved.r2_full:.3f}) and 1;"
            " nothing could be left to explain otherwise. Leave it out for 1.3 times that R2."
        )
    strength = stability.delta(moved, highest)
    adjusted = stability.adjusted_beta(moved, highest, delta)
    row = {
        "without_covariates": moved.short,
        "r2_without": moved.r2_short,
        "with_covariates": moved.full,
        "r2_with": moved.r2_full,
        "r2_max": highest,
        "delta_for_no_effect": strength,
        "delta": delta,
        "adjusted_estimate": adjusted.beta,
    }
    away = strength < 0
    text = (
        f"Selection on unmeasured characteristics would have to be {number(abs(strength))} times as strong as"
        f" on the covariates{', and in the opposite direction,' if away else ''} for the effect to be zero."
        f" If it were {'' if delta == 1 else number(delta) + ' times '}as strong, the estimate would be"
        f" {number(adjusted.beta)} instead of {number(moved.full)}."
    )
    return Sensitivity(name="coefficient stability", text=text, table=pd.DataFrame([row]))


def _regression(
    data: pd.DataFrame, outcome: str, treated: str, covariates: Sequence[str]
) -> tuple[omitted_variables.Triangle, dict[str, list[int]]]:
    """The triangle of a regression and the numbers of the columns that each covariate became."""
    used = [outcome, treated, *covariates]
    if data.empty:
        raise DataError(
            "data: the table has no rows, so there is nothing to estimate. Check the filter that made it."
        )
    for role, names in (("outcome", [outcome]), ("treated", [treated]), ("covariates", list(covariates))):
        for name in names:
            known(role, name, list(data.columns))
    if len(set(used)) < len(used):
        raise DataError(
            "covariates: a column is named twice among outcome, treated and covariates; an outcome adjusted"
            " for itself leaves nothing. Name each column once."
        )
    empty = [name for name in used if data[name].isna().any()]
    issues = [
        f"data: '{name}' is empty in {plural(int(data[name].isna().sum()), 'row')}, which a regression cannot"
        " use. Fill them in or leave those rows out."
        for name in empty
    ]
    y, d = (
        numbers(data[name], role, name, issues) for role, name in (("outcome", outcome), ("treated", treated))
    )
    blocks, groups, at = [np.empty((len(data), 0))], {}, 0
    for name in covariates:
        block, _ = design_columns(data, (name,), "covariates", issues)
        groups[name] = list(range(at, at + block.shape[1]))
        at += block.shape[1]
        blocks.append(block)
    if issues:
        raise DataError(issues)
    if np.ptp(d) == 0 or np.ptp(y) == 0:
        raise DataError(
            f"treated, outcome: '{treated if np.ptp(d) == 0 else outcome}' is the same in all rows, so"
            " nothing can be compared. Check the filter that made the data."
        )
    return omitted_variables.reduce(np.hstack(blocks), d, y), groups


def _benchmark_table(
    held: omitted_variables.Triangle,
    fitted: omitted_variables.Fit,
    groups: Mapping[str, list[int]],
    multiples: Sequence[float],
) -> pd.DataFrame:
    frames = []
    for name, group in groups.items():
        found = omitted_variables.benchmark(held, group, multiples)
        left = omitted_variables.adjusted(fitted, found.r2_treated, found.r2_outcome)
        frames.append(
            {
                "benchmark": name,
                "multiple": np.asarray(multiples, dtype=float),
                "r2_treated": found.r2_treated,
                "r2_outcome": found.r2_outcome,
                "estimate": left.estimate,
                "std_error": left.se,
                "t": left.t,
                "conf_low": left.low,
                "conf_high": left.high,
            }
        )
    names = ["benchmark", "multiple", "r2_treated", "r2_outcome", "estimate", "std_error", "t"]
    if not frames:
        return pd.DataFrame(columns=[*names, "conf_low", "conf_high"])
    return pd.concat([pd.DataFrame(frame) for frame in frames], ignore_index=True)


def _contour(fitted: omitted_variables.Fit, table: pd.DataFrame) -> pd.DataFrame:
    """What confounders of every strength leave, out to twice the robustness value and past all benchmarks."""
    value = float(omitted_variables.robustness_value(fitted.t, fitted.df))
    axes = []
    for column in ("r2_treated", "r2_outcome"):
        furthest = float(table[column].astype(float).fillna(0.0).max()) if len(table) else 0.0
        reach = float(np.clip(1.2 * max(2 * value, furthest), 0.02, 0.95))
        axes.append(reach * np.linspace(0, 1, GRID) ** 2)
    treated, outcome = (part.ravel() for part in np.meshgrid(*axes))
    left = omitted_variables.adjusted(fitted, treated, outcome)
    return pd.DataFrame(
        {"r2_treated": treated, "r2_outcome": outcome, "estimate": left.estimate, "t": left.t}
    )


def _left_out(held: omitted_variables.Triangle, groups: Mapping[str, list[int]]) -> pd.DataFrame:
    rows = []
    for name, group in groups.items():
        found = omitted_variables.fit(held, omitted_variables.without(held, group))
        rows.append({"left_out": name, "estimate": found.estimate, "std_error": found.se, "t": found.t})
    return pd.DataFrame(rows, columns=["left_out", "estimate", "std_error", "t"])
