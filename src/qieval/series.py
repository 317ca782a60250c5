"""One series parsed once: a regular calendar of periods with a value in each, or a stated gap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from qieval.columns import covariates, numbers
from qieval.errors import DataError
from qieval.periods import Periods
from qieval.rows import (
    POSITION,
    complete_rows,
    in_window,
    loss,
    loss_notes,
    periods_in,
    require_columns,
    sentence,
)
from qieval.series_calendar import WORDS, calendar_of
from qieval.series_design import SeriesDesign
from qieval.text import listed, plural
from qieval.windows import RANGE, windows

SEASONS = {"M": 12.0, "Q": 4.0, "W": 365.25 / 7, "D": 7.0, "h": 24.0}


@dataclass(frozen=True, eq=False, kw_only=True)
class Series:
    """A regular calendar of T periods and what was measured in each.

    y (T,): NaN in gaps, and where outcomes may not be seen. denominator (T,) or None. x (T, k) with
    `x_names`. others: further columns by name (T,), such as control series. left_out (T,): bool, by the
    words of the design. rhythm: 'month', 'week', ... or 'period' for whole numbers; season: the natural
    number of periods in a season, None where there is none. row (T,): the position of each period's row in
    the frame, -1 in gaps. names: the codes of dates as the data spell them, where dates became periods.
    """

    periods: Periods
    y: np.ndarray
    denominator: np.ndarray | None
    x: np.ndarray
    x_names: tuple[str, ...]
    others: dict[str, np.ndarray]
    left_out: np.ndarray
    rhythm: str
    season: float | None
    losses: pd.DataFrame
    notes: tuple[str, ...]
    row: np.ndarray
    names: Mapping[str, int]

    @property
    def n_periods(self) -> int:
        """The number of periods T of the calendar."""
        return len(self.periods.labels)

    @property
    def at(self) -> np.ndarray:
        """The positions of the periods in time (T,)."""
        return np.arange(self.n_periods)

    @property
    def observed(self) -> np.ndarray:
        """Which periods have a value that takes part (T,)."""
        found: np.ndarray = np.isfinite(self.y) & ~self.left_out
        return found

    def label(self, code: int) -> Any:
        """A period as a design states it: a whole number or text in ISO form."""
        return int(self.periods.labels[code]) if self.periods.kind == "number" else self.shown()[code]

    def shown(self) -> list[str]:
        """The labels as text; weeks by their first day."""
        if self.rhythm == "week":
            return [label.start_time.date().isoformat() for label in self.periods.labels]
        return self.periods.shown()

    def code_of(self, moment: Any) -> int:
        """The code of the first period that begins at `moment` or later, or that the data call so; T when
        none does. ValueError says what would fit."""
        if (found := self.names.get(str(moment))) is not None:
            return found
        return self.periods.first_at_or_after(moment)

    def position(self, length: float) -> np.ndarray:
        """Where in a season of `length` periods each period lies (T,).

        Months count from January as 1, quarters and weekdays (from Monday) likewise, hours from midnight as
        0; whole numbers and other lengths count along the calendar.
        """
        labels: Any = self.periods.labels
        if self.rhythm == "month" and length == SEASONS["M"]:
            return np.asarray(labels.month)
        if self.rhythm == "quarter" and length == SEASONS["Q"]:
            return np.asarray(labels.quarter)
        if self.rhythm == "day" and length == SEASONS["D"]:
            return np.asarray(labels.day_of_week) + 1
        if self.rhythm == "hour" and length == SEASONS["h"]:
            return np.asarray(labels.hour)
        first = labels[0] if self.periods.kind == "number" else labels[0].ordinal
        found: np.ndarray = np.mod(int(first) + self.at, length)
        return found


def read_series(
    design: SeriesDesign, frame: pd.DataFrame, *, further: tuple[str, ...] = (), until: Any = None
) -> Series:
    """Parse a frame for a series design; `further` are numeric columns beside the outcome.

    until: where outcomes may not be seen from some moment on, that moment; those cells are never touched.
    DataError lists everything that does not fit. Rows need not be sorted; periods without a row, and empty
    outcomes, become gaps and a note.
    """
    require_columns(design, frame)
    issues: list[str] = []
    losses: list[dict[str, Any]] = [loss("read", "rows in the data", frame, design)]
    rows, whole, periods = _rows(design, frame, issues, losses)
    placed = _placed(design, periods)
    seen = np.ones(len(rows), dtype=bool)
    if until is not None:
        seen = placed.code < placed.code_of(until, issues)
    x, x_names = covariates(rows, getattr(design, "covariates", ()), "covariates", issues)
    columns = {
        name: placed.scattered(_seen(design, rows, name, seen, issues)) for name in (design.outcome, *further)
    }
    left_out, why = _left_out(design, whole, placed.calendar, issues)
    denominator = _denominator(design, rows, placed, left_out, issues)
    if issues:
        raise DataError(issues)
    y = columns.pop(design.outcome)
    row = np.full(placed.periods, -1)
    row[placed.code] = rows[POSITION].to_numpy()
    ends = placed.periods if until is None else int(seen.sum() and placed.code[seen].max() + 1)
    return Series(
        periods=placed.calendar,
        y=y,
        denominator=denominator,
        x=placed.scattered(x),
        x_names=x_names,
        others=columns,
        left_out=left_out,
        rhythm=placed.rhythm,
        season=SEASONS.get({word: key for key, word in WORDS.items()}.get(placed.rhythm, "")),
        losses=pd.DataFrame(losses),
        notes=(*_gap_notes(placed.calendar, y[:ends]), *why, *loss_notes(losses)),
        row=row,
        names=placed.names,
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class _Placed:
    """Rows on their regular calendar: the code (n,) of each row's period, the rhythm, and the codes of dates
    as the data spell them."""

    calendar: Periods
    code: np.ndarray
    rhythm: str
    names: Mapping[str, int]

    @property
    def periods(self) -> int:
        """The number of periods T of the calendar."""
        return len(self.calendar.labels)

    def scattered(self, held: np.ndarray) -> np.ndarray:
        """Values by row as values by period, NaN where there is no row."""
        found = np.full((self.periods, *held.shape[1:]), np.nan)
        found[self.code] = held
        return found

    def code_of(self, moment: Any, issues: list[str]) -> int:
        """The code of the start; what is wrong with it is added to `issues`."""
        if (named := self.names.get(str(moment))) is not None:
            return named
        return _code(self.calendar, moment, "start", issues)


def _rows(
    design: SeriesDesign, frame: pd.DataFrame, issues: list[str], losses: list[dict[str, Any]]
) -> tuple[pd.DataFrame, Periods, Periods]:
    """The rows that are used, one a period; the periods of all complete rows, and those of the window."""
    rows = complete_rows(design, frame, True, issues, losses)
    whole = periods_in(design, rows, issues)
    if whole is None or issues:
        raise DataError(issues or ["data: no row is complete. Check the columns that the design names."])
    rows, periods = in_window(design, rows, whole, issues, losses)
    if issues:
        raise DataError(issues)
    if len(periods.code) > len(periods.labels):
        raise DataError(_repeated(design, periods))
    return rows, whole, periods


def _placed(design: SeriesDesign, periods: Periods) -> _Placed:
    calendar, code, rhythm = calendar_of(design, periods)
    kind = "period" if isinstance(calendar, pd.PeriodIndex) else periods.kind
    names: dict[str, int] = {}
    if periods.kind == "date":
        names = dict(zip(np.array(periods.shown())[periods.code].tolist(), code.tolist(), strict=True))
    found = Periods(calendar, np.arange(len(calendar)), kind)
    return _Placed(calendar=found, code=code, rhythm=rhythm, names=names)


def _denominator(
    design: SeriesDesign, rows: pd.DataFrame, placed: _Placed, left_out: np.ndarray, issues: list[str]
) -> np.ndarray | None:
    """The denominator by period (T,), NaN where it is none; problems are added to `issues`."""
    if design.denominator is None:
        return None
    before = len(issues)
    held = placed.scattered(numbers(rows[design.denominator], "denominator", design.denominator, issues))
    if len(issues) == before:
        issues += _denominator_problems(design, held, left_out, placed.calendar)
    return np.where(held > 0, held, np.nan)


def _seen(
    design: SeriesDesign, rows: pd.DataFrame, name: str, seen: np.ndarray, issues: list[str]
) -> np.ndarray:
    """A numeric column of the rows that may be seen; NaN elsewhere, whatever it holds."""
    role = "outcome" if name == design.outcome else "data"
    values = np.full(len(rows), np.nan)
    if name not in design.outcome_columns():
        seen = np.ones(len(rows), dtype=bool)
    values[seen] = numbers(rows[name].iloc[np.flatnonzero(seen)].infer_objects(), role, name, issues)
    return values


def _repeated(design: SeriesDesign, periods: Periods) -> str:
    counts = np.bincount(periods.code)
    twice = [periods.shown()[code] for code in np.flatnonzero(counts > 1)]
    return (
        f"time: {plural(len(twice), 'period')} of '{design.time}' occur in several rows ({listed(twice, 3)}),"
        " and a series has one value a period. Aggregate first (qe.data.time_series), or keep the rows of"
        " one place."
    )


def _code(periods: Periods, moment: Any, role: str, issues: list[str]) -> int:
    try:
        return periods.first_at_or_after(moment)
    except ValueError as cause:
        issues.append(f"{role}: {sentence(cause)}")
        return 0


def _left_out(
    design: SeriesDesign, whole: Periods, periods: Periods, issues: list[str]
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Which periods are left out (T,), and the notes that say so. Periods that the window of the design cuts
    off anyway need no leaving out; words must fit the whole data all the same."""
    cut = design.first_period is not None or design.last_period is not None
    found = np.zeros(len(periods.labels), dtype=bool)
    notes = []
    for said, why in design.left_out.items():
        try:
            codes = _stretch(said, whole, periods)
        except ValueError as cause:
            issues.append(f"left_out: {sentence(cause)}")
            continue
        if cut and not len(codes):
            continue
        found[codes] = True
        notes.append(f"Left out of the computation: {said} ({why.strip().rstrip('.')}).")
    return found, tuple(notes)


def _stretch(said: str, whole: Periods, periods: Periods) -> np.ndarray:
    """The codes of the calendar that words about the data as they are spelled mean; ValueError when they mean
    no period of the data."""
    named = np.concatenate([window.codes for window in windows(said, whole, len(whole.labels))])
    starts = whole.axis()[named]
    places = [periods.last_at_or_before(start) for start in starts]
    inside = [
        place
        for place, start in zip(places, starts, strict=True)
        if place >= 0 and not (place == len(periods.labels) - 1 and _beyond(periods, start))
    ]
    if not inside:
        return np.empty(0, dtype=int)
    return np.arange(min(inside), max(inside) + 1) if RANGE in said else np.array(inside)


def _beyond(periods: Periods, moment: Any) -> bool:
    """Whether a moment lies after the last period."""
    last = periods.labels[-1]
    return bool(moment > (last.end_time if isinstance(last, pd.Period) else last))


def _denominator_problems(
    design: SeriesDesign,
    denominator: np.ndarray,
    left_out: np.ndarray,
    periods: Periods,
) -> list[str]:
    bad = (denominator <= 0) & ~left_out
    if not bad.any():
        return []
    shown = listed([periods.shown()[code] for code in np.flatnonzero(bad)], 4)
    return [
        f"denominator: '{design.denominator}' is zero or less in {plural(int(bad.sum()), 'period')}"
        f" ({shown}), so there is no rate. Correct it, or leave those periods out with the reason (left_out)."
    ]


def _gap_notes(periods: Periods, y: np.ndarray) -> list[str]:
    gaps = np.flatnonzero(np.isnan(y))
    if not len(gaps):
        return []
    shown = listed([periods.shown()[code] for code in gaps], 4)
    return [
        f"time: there is no value in {plural(len(gaps), 'period')} ({shown}); the distance in time between"
        " their neighbours is kept."
    ]
