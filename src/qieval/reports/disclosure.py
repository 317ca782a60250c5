"""Disclosure control: small counts of people are hidden in sentences, in tables, and from subtraction."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from qieval.errors import DataError
from qieval.reports.crosstab import suppress_crosstab
from qieval.reports.flow import Flow, flow_as_text, flow_columns, suppress_flow
from qieval.reports.rule import SuppressionRule
from qieval.reports.wording import Who, counts_in_text, sentence, words_of
from qieval.text import Count

__all__ = [
    "SuppressionRule",
    "Who",
    "sentence",
    "suppress_crosstab",
    "suppress_flow",
    "suppress_frame",
    "suppressed",
]

RATES = frozenset(("share", "per", "rate", "mean"))
PLAIN = (
    str,
    int,
    float,
    np.generic,
    pd.Timestamp,
    pd.Period,
    datetime.date,
    type(None),
    type(pd.NaT),
    type(pd.NA),
)


def suppressed(count: int, rule: SuppressionRule | None = None) -> str:
    """A count of people as it may be printed.

    >>> suppressed(3), suppressed(0), suppressed(12)
    ('fewer than 10', '0', '12')
    """
    return (rule or SuppressionRule()).show(int(count))


def suppress_frame(frame: pd.DataFrame, rule: SuppressionRule, who: Who | None = None) -> pd.DataFrame:
    """A table with its counts of people as text, as they may be printed.

    Columns taken for counts: those that hold `Count` values, those whose name holds a word such as rows,
    people or n (and units or clusters, where `who` says that these are people), and any other column of whole
    numbers whose name does not say that it is something else (a time, a period, a rank): an unknown whole
    number is hidden rather than shown. When one count is hidden, the others become bands as wide as the
    threshold. Tables of steps and reasons go through `suppress_flow`, sentences in cells through `sentence`;
    cells that are neither text, number nor date raise DataError. Tables in which counts add up to totals need
    `suppress_crosstab`.

    >>> table = pd.DataFrame({"group": ["a", "b"], "people": [4, 31], "mean": [0.5, 0.7]})
    >>> suppress_frame(table, SuppressionRule())
      group         people  mean
    0     a  fewer than 10   0.5
    1     b       30 to 39   0.7
    """
    whose = who or Who()
    if flow_columns(frame):
        return suppress_flow(frame, rule, whose)
    if whose.hides(rule, counts_in_frame(frame, whose)):
        rule = replace(rule, band=max(rule.band, 1))
    return frame_as_text(frame, rule, whose)


def frame_as_text(frame: pd.DataFrame, rule: SuppressionRule, who: Who) -> pd.DataFrame:
    """`suppress_frame` with a rule that is final."""
    if flow_columns(frame):
        return flow_as_text(frame, rule, who)
    made = {str(name): _column_as_text(frame[name], str(name), rule, who) for name in frame.columns}
    return pd.DataFrame(made, columns=[str(name) for name in frame.columns])


def counts_in_frame(frame: pd.DataFrame, who: Who) -> Iterator[tuple[int, str]]:
    """All counts of people in a table, named, with the losses between the steps of an attrition table."""
    for name in flow_columns(frame):
        if who.units or name != "units":
            flow = Flow.of(frame[name].tolist())
            yield from ((count, name) for count in (*flow.left, *flow.losses))
    for name in frame.columns:
        if not flow_columns(frame) and _counts(frame[name], str(name), who):
            yield from ((int(item), str(name)) for item in frame[name].dropna())
        for item in frame[name]:
            if isinstance(item, str):
                yield from counts_in_text(item, who)


def _column_as_text(column: pd.Series[Any], name: str, rule: SuppressionRule, who: Who) -> pd.Series[Any]:
    held = column.reset_index(drop=True)
    if _counts(held, name, who):
        own = who.rule(rule, name)
        return pd.Series(["" if pd.isna(item) else own.show(int(item)) for item in held], dtype=object)
    if pd.api.types.is_numeric_dtype(held) or pd.api.types.is_datetime64_any_dtype(held):
        return held
    return pd.Series([_plain_cell(item, name, rule, who) for item in held], dtype=object)


def _counts(column: pd.Series[Any], name: str, who: Who) -> bool:
    """Whether a column is taken to count people; see `suppress_frame`."""
    if any(isinstance(item, Count) for item in column):
        return True
    held = column.dropna().infer_objects()
    if held.empty or pd.api.types.is_bool_dtype(held) or not pd.api.types.is_numeric_dtype(held):
        return False
    named = words_of(name)
    if named & who.words and not named & RATES:
        return bool((held.astype(float) % 1 == 0).all())
    return pd.api.types.is_integer_dtype(held) and not named & who.harmless


def _plain_cell(item: Any, name: str, rule: SuppressionRule, who: Who) -> Any:
    if not isinstance(item, PLAIN):
        raise DataError(
            f"{name}: a cell holds a {type(item).__name__}, of which it cannot be told whether it gives"
            " people away. Put only text, numbers and dates into tables of checks and results."
        )
    return sentence(item, rule, who) if isinstance(item, str) else item
