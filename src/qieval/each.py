"""One design in every place: thousands of practices, hospitals or wards, each estimated on its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from qieval import markup
from qieval.catalogue import method_of
from qieval.design import Design
from qieval.errors import DataError, QievalError, nearest
from qieval.progress import progress
from qieval.result import main_estimates
from qieval.text import plural
from qieval.verbs import Data, _frame


@dataclass(frozen=True, eq=False, repr=False)
class Each:
    """Estimates of one design in every place, one row per place and term.

    table: the place, term, estimate, std_error, conf_low, conf_high, p_value, q_value and note (why there is
    no estimate, where there is none). q_value (Benjamini and Hochberg 1995, within a term) allows for many
    places having been looked at: of the places below 0.05, 5% are expected to be there by chance.
    """

    design: Design
    by: str
    table: pd.DataFrame

    @property
    def summary(self) -> pd.DataFrame:
        """One row per term: places, the median, and for estimates the share of intervals on either side of no
        effect and how many q-values are below 0.05; for charts how many places have a signal."""
        known = self.table.dropna(subset=["estimate"])
        return pd.DataFrame(
            {"term": term, "places": len(part), "median": float(part["estimate"].median())}
            | (_signals(part) if "signal" in part else _intervals(str(term), part))
            for term, part in known.groupby("term", sort=False)
        )

    def __repr__(self) -> str:
        lost = int((self.table["note"] != "").sum())
        said = f"{plural(self.table[self.by].nunique(), 'place')} by '{self.by}'"
        return f"{said}; {plural(lost, 'row')} without an estimate.\n{self.summary.to_string(index=False)}"

    def _repr_html_(self) -> str:
        return markup.card(f"Each {self.by}", markup.frame_table(self.summary))


def each(design: Design, data: Data, by: str) -> Each:
    """Estimate a design in every place on its own; `by` is the column that names the place.

    Interrupted time series with independent errors and the same regressors everywhere are fitted together
    (thousands a second), and charts of a stated kind are drawn up together; anything else one place after the
    other, with progress. A place that cannot be estimated keeps its row with the reason. Rows without a place
    are left out. Raises DataError when the column is not there.

    >>> import qieval as qe
    >>> one = pd.DataFrame({"month": pd.period_range("2020-01", periods=48, freq="M").astype(str)})
    >>> two = pd.concat([one.assign(practice=name, visits=range(60, 108)) for name in ("A", "B")])
    >>> design = qe.InterruptedTimeSeries(
    ...     outcome="visits", time="month", start="2022-01", inference="independent errors", change="level"
    ... )
    >>> len(qe.each(design, two, by="practice").table)
    2
    """
    frame = _frame(data)
    if by not in frame.columns:
        raise DataError(f"by: there is no column '{by}' in the data.{nearest(by, frame.columns)}")
    method = method_of(design)
    if method.together is not None and method.together[0](design):
        table = method.together[1](design, frame, by)
    else:
        rows = [
            row
            for place, part in progress(list(frame.groupby(by, sort=True)), "places")
            for row in _alone(design, part.drop(columns=[by] * (by not in design.used_columns())), place, by)
        ]
        table = pd.DataFrame(rows)
    return Each(design, by, _with_q_values(table))


def _alone(design: Design, part: pd.DataFrame, place: Any, by: str) -> list[dict[str, Any]]:
    try:
        found = main_estimates(method_of(design).refit(design, part))
    except QievalError as cause:
        return [{by: place, "term": "", "estimate": np.nan, "p_value": np.nan, "note": str(cause)}]
    if found is None:
        return [{by: place, "term": "", "estimate": np.nan, "p_value": np.nan, "note": "no overall estimate"}]
    rows = [
        {by: place, **{str(name): row[name] for name in found.columns}, "note": ""}
        for _, row in found.iterrows()
    ]
    return [_as_chart(row) if "signals" in row else row for row in rows]


def _as_chart(row: dict[str, Any]) -> dict[str, Any]:
    """The row of a chart with the columns that charts drawn up together have."""
    shown = {name: held for name, held in row.items() if name not in ("conf_low", "conf_high", "p_value")}
    return shown | {"signal": int(str(row["signals"]).replace(",", "") or 0) > 0}


def _signals(part: pd.DataFrame) -> dict[str, Any]:
    found = {"any_signal": int(part["signal"].astype(bool).sum())}
    if "points_outside" in part:
        found["points_outside"] = int((part["points_outside"] > 0).sum())
        found["runs_signal"] = int(part["runs_signal"].sum())
    return found


def _intervals(term: str, part: pd.DataFrame) -> dict[str, Any]:
    none = 1.0 if term.endswith("ratio") else 0.0
    return {
        "interval_below": float((part["conf_high"] < none).mean()),
        "interval_above": float((part["conf_low"] > none).mean()),
        "q_below_0.05": int((part["q_value"] < 0.05).sum()),
    }


def _with_q_values(table: pd.DataFrame) -> pd.DataFrame:
    """The table with a column of q-values beside that of p-values, where there is one."""
    if "p_value" not in table:
        return table
    at = list(table.columns).index("p_value") + 1
    values = pd.Series(np.nan, index=table.index)
    for _, part in table.groupby("term"):
        values[part.index] = _benjamini_hochberg(part["p_value"].to_numpy(dtype=float))
    made = table.copy()
    made.insert(at, "q_value", values)
    return made


def _benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """False discovery rates (n,) of p-values (n,); NaN stays NaN."""
    found = np.full(len(p), np.nan)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * len(order) / np.arange(1, len(order) + 1)
    found[order] = np.minimum(np.minimum.accumulate(steps[::-1])[::-1], 1.0)
    return found
