"""Which picture a sensitivity analysis has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from qieval.errors import DesignError
from qieval.plots import sensitivity

if TYPE_CHECKING:
    from plotnine import ggplot

BENCHMARK_COLUMNS = ["benchmark", "multiple", "r2_treated", "r2_outcome"]


def of_sensitivity(name: str, table: pd.DataFrame, details: Mapping[str, Any]) -> ggplot:
    """The picture of a sensitivity analysis by its name. DesignError for one that has only words and a
    table."""
    if name not in _PICTURES:
        raise DesignError(f"kind: '{name}' has no picture; its sentence and table say everything.")
    return _PICTURES[name](table, details)


def _contour(table: pd.DataFrame, details: Mapping[str, Any]) -> ggplot:
    benchmarks = table if len(table) else pd.DataFrame(columns=BENCHMARK_COLUMNS)
    return sensitivity.omitted_variable_contour(details["contour"], benchmarks)


def _e_value(table: pd.DataFrame, details: Mapping[str, Any]) -> ggplot:
    name = "risk_ratio" if "risk_ratio" in table else table.columns[1]
    return sensitivity.e_value_curve(float(table[name].iloc[0]), float(table["e_value"].iloc[0]))


def _gamma(table: pd.DataFrame, details: Mapping[str, Any]) -> ggplot:
    return sensitivity.gamma_curve(table, float(details["critical"]["critical_gamma"].iloc[0]))


def _funnel(table: pd.DataFrame, details: Mapping[str, Any]) -> ggplot:
    return sensitivity.calibration_funnel(table, details["null"])


_PICTURES: dict[str, Callable[[pd.DataFrame, Mapping[str, Any]], ggplot]] = {
    "omitted-variable bias": _contour,
    "E-value": _e_value,
    "Rosenbaum bounds": _gamma,
    "negative controls": _funnel,
}
