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
from qieval.series_design import SeriesDesign
from qieval.text import listed, plural
from qieval.windows import RANGE, windows

MOST_STRETCH = 3.0
"""A calendar with more than that many times as many periods as there are rows is irregular, not gappy."""
SEASONS = {"M": 12.0, "Q": 4.0, "W": 365.25 / 7, "D": 7.0, "h": 24.0}
WORDS = {"M": "month", "Q": "quarter", "Y": "year", "W": "week", "D": "day", "h": "hour"}


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
    rows = complete_rows(design, frame, True, issues, losses)
    periods = periods_in(design, rows, issues)
    if periods is None or issues:
        raise DataError(issues or ["data: no row is complete. Check the columns that the design names."])
    whole = periods
    rows, periods = in_window(design, rows, periods, issues, losses)
    if issues:
        raise DataError(issues)
    if len(periods.code) > len(periods.labels):
        raise DataError(_repeated(design, periods))
    calendar, code, rhythm = _calendar(design, periods)
    kind = "period" if isinstance(calendar, pd.PeriodIndex) else periods.kind
    found = Periods(calendar, np.arange(len(calendar)), kind)
    names: dict[str, int] = {}
    if periods.kind == "date":
        names = dict(zip(np.array(periods.shown())[periods.code].tolist(), code.tolist(), strict=True))
    seen = np.ones(len(rows), dtype=bool)
    if until is not None:
        named = names.get(str(until))
        seen = code < (_code(found, until, "start", issues) if named is None else named)
    x, x_names = covariates(rows, getattr(design, "covariates", ()), "covariates", issues)
    columns = {
        name: _scattered(_seen(design, rows, name, seen, issues), code, len(calendar))
        for name in (design.outcome, *further)
    }
    denominator = None
    if design.denominator is not None:
        held = numbers(rows[design.denominator], "denominator", design.denominator, issues)
        denominator = _scattered(held, code, len(calendar))
    left_out, why = _left_out(design, whole, found, issues)
    y = columns.pop(design.outcome)
    if not issues:
        issues += _denominator_problems(design, denominator, left_out, found)
    if issues:
        raise DataError(issues)
    if denominator is not None:
        denominator = np.where(denominator > 0, denominator, np.nan)
    row = np.full(len(calendar), -1)
    row[code] = rows[POSITION].to_numpy()
    ends = len(calendar) if until is None else int(seen.sum() and code[seen].max() + 1)
    return Series(
        periods=found,
        y=y,
        denominator=denominator,
        x=_scattered(x, code, len(calendar)),
        x_names=x_names,
        others=columns,
        left_out=left_out,
        rhythm=rhythm,
        season=SEASONS.get({word: key for key, word in WORDS.items()}.get(rhythm, "")),
        losses=pd.DataFrame(losses),
        notes=(*_gap_notes(found, y[:ends]), *why, *loss_notes(losses)),
        row=row,
        names=names,
    )


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


def _scattered(held: np.ndarray, code: np.ndarray, periods: int) -> np.ndarray:
    """Values by row as values by period, NaN where there is no row."""
    found = np.full((periods, *held.shape[1:]), np.nan)
    found[code] = held
    return found


def _repeated(design: SeriesDesign, periods: Periods) -> str:
    counts = np.bincount(periods.code)
    twice = [periods.shown()[code] for code in np.flatnonzero(counts > 1)]
    return (
        f"time: {plural(len(twice), 'period')} of '{design.time}' occur in several rows ({listed(twice, 3)}),"
        " and a series has one value a period. Aggregate first (qe.data.time_series), or keep the rows of"
        " one place."
    )


def _calendar(design: SeriesDesign, periods: Periods) -> tuple[pd.Index[Any], np.ndarray, str]:
    """The regular calendar of the labels, the code of each row in it, and its rhythm."""
    labels: Any = periods.labels
    if len(labels) < 2:
        rhythm = WORDS.get(labels.freqstr[0], "period") if isinstance(labels, pd.PeriodIndex) else "period"
        return labels, periods.code, rhythm
    daily = isinstance(labels, pd.PeriodIndex) and labels.freqstr == "D"
    if daily or isinstance(labels, pd.DatetimeIndex):
        labels = _as_periods(design, pd.DatetimeIndex(periods.axis()))
    if isinstance(labels, pd.PeriodIndex):
        ordinal = np.array([period.ordinal for period in labels])
        step = int(np.gcd.reduce(np.diff(ordinal)))
        labels, step = _coarser(pd.PeriodIndex(labels), step)
        ordinal = np.array([period.ordinal for period in labels])
        whole: Any = pd.period_range(labels[0], labels[-1], freq=labels.freq)[::step]
        rhythm = WORDS.get(labels.freqstr[0], "period") if step == 1 else "period"
    else:
        ordinal = labels.to_numpy()
        step = int(np.gcd.reduce(np.diff(ordinal)))
        whole = pd.Index(np.arange(ordinal[0], ordinal[-1] + 1, step))
        rhythm = "period"
    if len(whole) > MOST_STRETCH * len(labels):
        raise DataError(
            f"time: the periods of '{design.time}' follow no rhythm: {len(labels)} values from"
            f" {periods.shown()[0]} to {periods.shown()[-1]} at distances from"
            f" {int(np.diff(ordinal).min())} to {int(np.diff(ordinal).max())}. A series needs one value a"
            " week, month or the like: aggregate first (qe.data.time_series)."
        )
    return whole, ((ordinal - ordinal[0]) // step)[periods.code], rhythm


def _as_periods(design: SeriesDesign, dates: pd.DatetimeIndex) -> pd.PeriodIndex:
    """Dates that follow a rhythm as the periods in which they lie; the same time of day in all is ignored."""
    if len(set(dates - dates.normalize())) == 1:
        dates = dates.normalize()
        days = np.diff(dates) // pd.Timedelta(days=1)
        months: Any = dates.to_period("M")
        same_day = len(set(dates.day)) == 1 or bool(dates.is_month_end.all())
        if same_day and months.is_unique:
            return pd.PeriodIndex(months)
        if (days % 7 == 0).all():
            return dates.to_period("W-" + dates[0].strftime("%a").upper()).asfreq(
                "W-" + (dates[0] + pd.Timedelta(days=6)).strftime("%a").upper()
            )
        return dates.to_period("D")
    hours = dates.floor("h")
    if hours.is_unique and (dates - hours == dates[0] - hours[0]).all():
        return hours.to_period("h")
    raise DataError(
        f"time: '{design.time}' holds moments that follow no rhythm (such as {dates[0]} and {dates[1]}). A"
        " series needs one value an hour, day, week or month: aggregate first (qe.data.time_series)."
    )


def _coarser(labels: pd.PeriodIndex, step: int) -> tuple[pd.PeriodIndex, int]:
    """Months at distances of three as quarters, of twelve as years, when they begin such periods."""
    if labels.freqstr[0] == "M" and step % 12 == 0:
        return labels.asfreq("Y") if labels[0].month == 1 else labels, 1 if labels[0].month == 1 else step
    if labels.freqstr[0] == "M" and step % 3 == 0 and labels[0].month % 3 == 1:
        return labels.asfreq("Q"), step // 3
    return labels, step


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
    denominator: np.ndarray | None,
    left_out: np.ndarray,
    periods: Periods,
) -> list[str]:
    if denominator is None:
        return []
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
