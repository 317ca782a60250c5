"""The analysis frame together with where it came from and whom it lost on the way."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from qieval import markup
from qieval.errors import DataError, nearest
from qieval.text import plural

ATTRITION_COLUMNS = ("step", "reason", "rows", "people")

Condition = pd.Series | np.ndarray | Callable[[pd.DataFrame], Any]


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Extract:
    """Data ready for analysis. Printing shows size, column types and missing values, never rows.

    - `frame`: the rows. It is handed out as it is held: alter a copy, or use `keep`, so that the attrition
      stays true.
    - `source`: where the data came from, in words.
    - `person`: the column that tells people apart, if there is one; then attrition counts people as well as
      rows.
    - `attrition`: step (from 0), reason, rows left, people left (missing without `person`).
    - `notes`: what was found or altered while reading.
    - `sha256`: of the file that was read, if it was one file.

    Raises DataError when `person` is not a column.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"practice": ["A", "A", "B"], "y": [1.0, 2.0, None]})
    >>> held = Extract(frame=frame, source="by hand")
    >>> held.keep(held.frame["y"].notna(), "outcome is missing").attrition["rows"].tolist()
    [3, 2]
    """

    frame: pd.DataFrame
    source: str
    person: str | None = None
    attrition: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(ATTRITION_COLUMNS)))
    notes: tuple[str, ...] = ()
    sha256: str | None = None

    def __post_init__(self) -> None:
        given = type(self.frame)
        if not issubclass(given, pd.DataFrame):
            raise DataError(f"frame: a pandas DataFrame is needed, not {given.__name__}. Convert it first.")
        if self.person is not None and self.person not in self.frame.columns:
            hint = nearest(self.person, self.frame.columns)
            raise DataError(f"person: the data have no column '{self.person}'.{hint}")
        object.__setattr__(self, "frame", self.frame.copy(deep=False))
        steps = self.attrition
        if not len(steps):
            steps = attrition_row(0, f"read from {self.source}", self.frame, self.person)
        object.__setattr__(self, "attrition", steps.copy(deep=False))

    def keep(self, condition: Condition, reason: str) -> "Extract":
        """A new extract with the rows where `condition` is true; `reason` says why the others are lost.

        condition: a boolean Series (matched by row label), a boolean array of the frame's length, or a
        function of the frame that gives one. A missing value in it is an error: say `.fillna(...)` what
        unknown means. Raises DataError.
        """
        kept = self.frame[_mask(condition, self.frame)]
        step = attrition_row(len(self.attrition), reason, kept, self.person)
        return dataclasses.replace(
            self, frame=kept, attrition=pd.concat([self.attrition, step], ignore_index=True)
        )

    def check(self) -> "Extract":
        """This extract again if it can be analysed; otherwise DataError with every reason why not.

        Looked at: no rows, repeated column names, columns without any value, an attrition table that does
        not end with the rows held (the frame was altered outside `keep`).
        """
        found = []
        if not len(self.frame):
            found.append("frame: there are no rows left. Look at `attrition` to see which step lost them.")
        repeated = sorted({str(name) for name in self.frame.columns[self.frame.columns.duplicated()]})
        found += [
            f"{name}: several columns have this name, so it is unclear which is meant. Rename them."
            for name in repeated
        ]
        rows = int(self.attrition["rows"].iloc[-1])
        if rows != len(self.frame):
            found.append(
                f"frame: it has {plural(len(self.frame), 'row')}, the attrition table ends with {rows:,}. "
                "Rows were lost or added outside `keep`; use `keep` so that the report can account for them."
            )
        if len(self.frame) and not repeated:
            empty = self.frame.columns[self.frame.isna().all()]
            found += [
                f"{name}: the column holds no value at all. Drop it, or look at how it was read."
                for name in empty
            ]
        if found:
            raise DataError(found)
        return self

    def __repr__(self) -> str:
        rows, columns = self.frame.shape
        lines = [f"Extract: {plural(rows, 'row')} x {plural(columns, 'column')}, from {self.source}"]
        lines += [f"  {name}: {kind}, {missing}" for name, kind, missing in self._columns()]
        if len(self.attrition) > 1:
            lines += [f"  {reason}: {plural(left, 'row')} left" for reason, left in self._steps()]
        return "\n".join(lines + [f"  note: {note}" for note in self.notes])

    def _repr_html_(self) -> str:
        rows, columns = self.frame.shape
        size = f"{plural(rows, 'row')} × {plural(columns, 'column')}, from {self.source}"
        body = markup.paragraph(size) + markup.rows_table(("column", "type", "missing"), self._columns())
        if len(self.attrition) > 1:
            body += markup.rows_table(("step", "rows left"), self._steps())
        return markup.card("Extract", body + markup.bullets(self.notes))

    def _columns(self) -> list[tuple[str, str, str]]:
        share = self.frame.isna().mean()
        types = self.frame.dtypes
        return [
            (
                str(name),
                str(types.iloc[at]),
                f"{share.iloc[at]:.1%} missing" if share.iloc[at] else "none missing",
            )
            for at, name in enumerate(self.frame.columns)
        ]

    def _steps(self) -> list[tuple[str, int]]:
        """Reason and rows left, in order."""
        return list(zip(self.attrition["reason"], self.attrition["rows"].astype(int), strict=True))


def attrition_row(step: int, reason: str, frame: pd.DataFrame, person: str | None) -> pd.DataFrame:
    """One row of an attrition table: how much is left after a step."""
    people = pd.NA if person is None else frame[person].nunique()
    row = pd.DataFrame({"step": [step], "reason": [reason], "rows": [len(frame)], "people": [people]})
    return row.astype({"people": "Int64"})


def _mask(condition: Condition, frame: pd.DataFrame) -> np.ndarray:
    given = condition(frame) if callable(condition) else condition
    if isinstance(given, pd.Series) and not given.index.equals(frame.index):
        if not given.index.is_unique or not frame.index.isin(given.index).all():
            raise DataError("condition: its row labels are not the frame's. Make it from `extract.frame`.")
        given = given.reindex(frame.index)
    mask = pd.Series(given)
    if len(mask) != len(frame):
        lengths = f"it has {len(mask):,} values, the frame has {len(frame):,} rows"
        raise DataError(f"condition: {lengths}. Make it from `extract.frame`.")
    if missing := int(mask.isna().sum()):
        raise DataError(
            f"condition: {plural(missing, 'value')} of it missing, so it does not say whether to keep the "
            "row. "
            "Use .fillna(True) or .fillna(False) to say what unknown means."
        )
    if not pd.api.types.is_bool_dtype(mask.astype(object).infer_objects()):
        raise DataError(
            "condition: it must be true or false for each row, such as `extract.frame['age'] >= 65`."
        )
    return mask.to_numpy(dtype=bool)
