"""Results: estimates, series, weights and facts of one analysis. Aggregates, never rows of people (weights
excepted)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, overload

import numpy as np
import pandas as pd

from qieval import markup
from qieval.compared import Compared
from qieval.design import Design
from qieval.provenance import Protocol, Record


class Table:
    """A table with agreed columns: checked when stored, handed out as a copy (free under pandas copy-on-
    write)."""

    def __init__(self, *columns: str) -> None:
        self.columns = columns

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = "_" + name

    @overload
    def __get__(self, result: None, owner: type) -> None: ...
    @overload
    def __get__(self, result: object, owner: type | None = None) -> pd.DataFrame | None: ...
    def __get__(self, result: object | None, owner: type | None = None) -> pd.DataFrame | None:
        frame = None if result is None else getattr(result, self.name)
        return None if frame is None else frame.copy(deep=False)

    def __set__(self, result: object, frame: pd.DataFrame | None) -> None:
        if frame is not None:
            lacking = [name for name in self.columns if name not in frame.columns]
            if lacking:
                raise TypeError(f"{self.name[1:]} lacks the agreed columns {', '.join(lacking)}")
            frame = frame.copy(deep=False)
        object.__setattr__(result, self.name, frame)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Result:
    """What an estimate gives, for every method the same.

    headline: one sentence in natural units with its interval. estimates: one row per term (`at` is the
    event time or other position, NaN where there is none). series: observed and counterfactual by time and
    group. weights: by row label. facts: named single values. notes: whatever deserved a warning. protocol:
    what was locked beforehand, and `changes` each field that differs from it. record: fingerprint,
    versions, seed. `kernel` holds what later steps of the same method need (covariances, scores); it is
    never printed, reported or exported.
    """

    design: Design
    headline: str
    estimates: pd.DataFrame | None = Table(  # type: ignore[assignment]
        "term", "at", "estimate", "std_error", "conf_low", "conf_high", "p_value"
    )
    series: pd.DataFrame | None = Table(  # type: ignore[assignment]
        "time", "group", "observed", "counterfactual", "conf_low", "conf_high"
    )
    weights: pd.DataFrame | None = Table("row", "group", "weight")  # type: ignore[assignment]
    facts: pd.Series[Any] | None = None
    notes: tuple[str, ...] = ()
    record: Record | None = None
    protocol: Protocol | None = None
    kernel: Any = None

    @property
    def changes(self) -> tuple[tuple[str, Any, Any], ...]:
        """Each field changed since the protocol was locked: (field, as locked, as now); empty when as
        locked."""
        return () if self.protocol is None else self.protocol.changes(self.design)

    @property
    def standing(self) -> str:
        """How the analysis relates to a protocol: 'no protocol', 'as locked' or 'exploratory: ...'."""
        if self.protocol is None:
            return "no protocol was locked before this estimate"
        if not self.changes:
            return f"as locked {self.protocol.locked} (sha256 {self.protocol.sha256[:12]})"
        changed = "; ".join(f"{key} was {old!r}, now {new!r}" for key, old, new in self.changes)
        return f"exploratory: changed since the protocol was locked {self.protocol.locked}: {changed}"

    def __repr__(self) -> str:
        parts = [f"{type(self.design).__name__}: {self.headline}", f"Protocol: {self.standing}."]
        parts += [f"Note: {note}" for note in self.notes]
        return "\n".join(
            [*parts, "Next: diagnose(result, data), vary(design, data, ...), plot(result), report(...)"]
        )

    def _repr_html_(self) -> str:
        body = markup.paragraph(self.headline, "qieval-headline")
        table = main_estimates(self)
        body += markup.frame_table(table) if table is not None else ""
        body += markup.bullets(self.notes)
        body += markup.paragraph(f"Protocol: {self.standing}.", "qieval-note")
        body += markup.paragraph(
            "Next: diagnose(result, data), vary(design, data, ...), plot(result), report(...)", "qieval-note"
        )
        return markup.card(f"Result: {self.design.title}", body)


def main_estimates(result: Result) -> pd.DataFrame | None:
    """The estimates that have no position of their own: the overall effects."""
    table = result.estimates
    return None if table is None else table.loc[table["at"].isna()].drop(columns=["at", *_empty(table)])


def _empty(table: pd.DataFrame) -> list[str]:
    """Further columns without any value; those that every table has are kept."""
    agreed = ("term", "at", "estimate", "std_error", "conf_low", "conf_high", "p_value")
    return [str(name) for name in table.columns if name not in agreed and table[name].isna().all()]


def headlines(table: pd.DataFrame) -> pd.DataFrame:
    """The first row of each altered design, where it is the quantity of the first one.

    Columns label and term. "difference" and "difference, honest" are one quantity, a ratio is another.
    Designs without an estimate keep their row.
    """
    if "term" not in table or table["term"].notna().sum() == 0:
        return table
    quantity = table["term"].astype("string").str.split(",").str[0]
    same = (table["term"].isna() | (quantity == quantity.dropna().iloc[0])).to_numpy(dtype=bool)
    return table[same & ~table["label"].duplicated().to_numpy()]


def on_scale(row: pd.Series[Any]) -> float:
    """An estimate on the scale of its standard error, where no effect is 0: the logarithm of a ratio."""
    value = float(row["estimate"])
    if not str(row["term"]).endswith("ratio"):
        return value
    return float(np.log(value)) if value > 0 else float("nan")


@dataclass(frozen=True, eq=False)
class EventStudy:
    """Effects by period relative to the start, with their covariance: what tests of trends work on.

    at (m,): periods relative to the start, without the reference; estimate (m,); covariance (m, m); df:
    degrees of freedom of t; reference: the relative period to which all are compared; degenerate (m,):
    where no variance can be computed, because the effect lies in a single cluster.
    """

    at: np.ndarray
    estimate: np.ndarray
    covariance: np.ndarray
    df: float
    reference: int
    degenerate: np.ndarray


Refit = Callable[[Any, pd.DataFrame], Result]
"""Estimates an altered design; checks get one, so that diagnostics never import methods."""


@dataclass(frozen=True, eq=False)
class Study:
    """What a check may look at: the result, its data (as given, and as parsed into a Panel or Cohort), and
    how
    to estimate an altered design."""

    result: Result
    frame: pd.DataFrame
    panel: Any
    refit: Refit

    @property
    def compared(self) -> Compared:
        """The parsed cohort with its weights and matched sets, for methods that compare similar people."""
        return Compared(self.design, self.panel, self.result.kernel)

    @property
    def design(self) -> Any:
        """The design of the result."""
        return self.result.design

    @property
    def facts(self) -> pd.Series[Any]:
        """The facts of the result."""
        return pd.Series(dtype=object) if self.result.facts is None else self.result.facts

    @property
    def overall(self) -> pd.Series[Any]:
        """The row of the first overall estimate."""
        return overall(self.result)

    def again(self, **changes: Any) -> pd.Series[Any]:
        """The overall estimate of the design with some fields changed, on the same data."""
        return overall(self.refit(replace(self.design, **changes), self.frame))


def figures(row: pd.Series[Any]) -> dict[str, Any]:
    """Estimate, interval and p-value of a row of estimates, as plain values for the table of a check."""
    return {name: row[name] for name in ("estimate", "conf_low", "conf_high", "p_value")}


NO_FIGURES: Mapping[str, float] = dict.fromkeys(
    ("estimate", "conf_low", "conf_high", "p_value"), float("nan")
)
"""What stands in such a table where there is no estimate."""


def overall(result: Result) -> pd.Series[Any]:
    """The row of the first overall estimate of a result."""
    table = main_estimates(result)
    if table is None or table.empty:
        raise ValueError("this result has no overall estimate")
    return table.iloc[0]
