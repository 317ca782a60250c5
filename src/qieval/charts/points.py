"""The points of an improvement chart, read once from a table: values, phases, and what is left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from qieval.chart_design import ChartDesign
from qieval.charts.choose import Choice, Given, choose
from qieval.charts.intervals import between_events
from qieval.charts.kinds import ABOUT, CHOSEN, INTERVALS, PROPORTIONS, RATES, SUBGROUPS
from qieval.charts.problems import impossible, problems_of
from qieval.charts.spans import baseline, left_out, phases
from qieval.columns import numbers
from qieval.errors import DataError
from qieval.periods import Periods
from qieval.rows import (
    complete_rows,
    in_window,
    loss,
    loss_notes,
    periods_in,
    require_columns,
    sentence,
)
from qieval.text import Count, Counted, plural

ACROSS = "the wait runs across a time that is left out"


@dataclass(frozen=True, eq=False, kw_only=True)
class Points:
    """The n points of a chart in order.

    labels (n,): their periods in words; time (n,): their places on an axis (numbers or timestamps); code
    (n,): their periods among `periods`. y (n,):
    counts, measurements, means or intervals; size (n,): denominators or subgroup sizes, None where there
    are none; spread (n,): standard deviations of subgroups or None. multiply: what rates are shown per.
    part (n,): codes of `phases` (label and reason of each). used (n,): what sets the lines; counted (n,):
    what rules look at; reason (n,): why a point is left out, else ''. smallest: the smallest count above
    zero behind a point, None for measurements. waits: what was counted between dates of events ('days',
    'cases', ...), '' where points are the outcome itself.
    """

    chart: str
    why: str
    labels: tuple[str, ...]
    time: pd.Index[Any]
    code: np.ndarray
    periods: Periods
    y: np.ndarray
    size: np.ndarray | None
    spread: np.ndarray | None
    multiply: float
    part: np.ndarray
    phases: tuple[tuple[str, str], ...]
    used: np.ndarray
    counted: np.ndarray
    reason: tuple[str, ...]
    smallest: Count | None
    waits: str
    losses: pd.DataFrame
    notes: tuple[str, ...]

    @property
    def n(self) -> int:
        """The number of points."""
        return len(self.y)

    @property
    def by_order(self) -> bool:
        """Whether points stand side by side in order rather than at their dates (events, not periods)."""
        return self.chart in INTERVALS

    def place(self, moment: Any, x: np.ndarray) -> float | None:
        """Where a declared moment lies among the places x (n,) of the points; None outside the chart.

        ValueError for a moment that cannot be read.
        """
        code = self.periods.first_at_or_after(moment)
        after = np.flatnonzero(self.code >= code)
        if not len(after) or (self.code > self.periods.last_at_or_before(moment)).all():
            return None
        return float(x[after[0]])


def read_points(design: ChartDesign, frame: pd.DataFrame) -> Points:
    """Parse a frame for a chart. DataError lists everything that does not fit, each with its field.

    Rows may come in any order and dates may be irregular. Rows with an empty outcome are periods without a
    point, like periods without a row.
    """
    require_columns(design, frame)
    issues: list[str] = []
    losses: list[dict[str, Any]] = [loss("read", "rows in the data", frame, design)]
    rows = complete_rows(design, frame, False, issues, losses)
    periods = periods_in(design, rows, issues)
    if periods is None or issues:
        raise DataError(issues or ["data: no row is complete. Check the columns that the design names."])
    rows, periods = in_window(design, rows, periods, issues, losses)
    y = numbers(rows[design.outcome], "outcome", design.outcome, issues)
    size = None
    if design.denominator is not None:
        size = numbers(rows[design.denominator], "denominator", design.denominator, issues)
    if issues:
        raise DataError(issues)
    table = pd.DataFrame({"code": periods.code, "y": y, "size": np.nan if size is None else size})
    seen = table[table["y"].notna()].sort_values("code", kind="stable")
    if seen.empty:
        raise DataError(
            f"outcome: '{design.outcome}' is empty in every row, so there is nothing to draw. Check the"
            " column or the window."
        )
    notes = [*_empty_outcomes(len(table) - len(seen)), *loss_notes(losses)]
    return _points(design, periods, seen, losses, notes)


def _points(
    design: ChartDesign,
    periods: Periods,
    seen: pd.DataFrame,
    losses: list[dict[str, Any]],
    notes: list[str],
) -> Points:
    """Points from rows with a value, sorted by period: the chart is chosen and the spans are read."""
    out, why_out = left_out(design, periods)
    if out[seen["code"]].all():
        raise DataError(
            "left_out: every point is left out, so there is nothing to compute. Leave out fewer periods."
        )
    choice = _choice(design, periods, seen[~out[seen["code"]]])
    seen, hidden = _drawable(design, choice.kind, seen, out)
    if issues := [*problems_of(design, choice.kind, periods, seen), *_events(design, periods)]:
        raise DataError(issues)
    table, more = _table(design, choice.kind, periods, seen)
    _require_points(design, choice.kind, table)
    code = table["code"].to_numpy()
    part, named = phases(design, periods, code)
    across = _across(table, out)
    counted = ~out[code] & ~across
    sized = table["size"].notna().all()
    return Points(
        chart=choice.kind,
        why=choice.why,
        labels=tuple(np.array(periods.shown(), dtype=object)[code]),
        time=periods.axis()[code],
        code=code,
        periods=periods,
        y=table["y"].to_numpy(dtype=float),
        size=table["size"].to_numpy(dtype=float) if sized else None,
        spread=table["spread"].to_numpy(dtype=float) if choice.kind in SUBGROUPS else None,
        multiply=design.per if choice.kind in (*PROPORTIONS, *RATES) else 1.0,
        part=part,
        phases=named,
        used=counted & baseline(design, periods, code, part),
        counted=counted,
        reason=tuple(np.where(across & ~out[code], ACROSS, why_out[code])),
        smallest=_smallest(choice.kind, seen),
        waits=_waits(design, choice.kind, periods),
        losses=pd.DataFrame(losses),
        notes=(*choice.notes, *_gaps(choice.kind, periods), *more, *hidden, *notes),
    )


def _across(table: pd.DataFrame, out: np.ndarray) -> np.ndarray:
    """Which waits run across periods that are left out, so that they were not really waited (n,)."""
    if "since" not in table:
        return np.zeros(len(table), dtype=bool)
    so_far = np.cumsum(out)
    found: np.ndarray = so_far[table["code"]] > so_far[table["since"]]
    return found


def _drawable(
    design: ChartDesign, kind: str, seen: pd.DataFrame, out: np.ndarray
) -> tuple[pd.DataFrame, list[str]]:
    """The rows without those that are left out and cannot be drawn on this chart, with a note of them."""
    gone = out[seen["code"]] & impossible(design, kind, seen)
    if not gone.any():
        return seen, []
    many = plural(int(gone.sum()), "point")
    return seen[~gone], [f"{many} left out cannot be drawn either: no {kind} chart can show such values."]


def _events(design: ChartDesign, periods: Periods) -> list[str]:
    """Problems of the moments in the register of events."""
    found = []
    for moment in design.events:
        try:
            periods.last_at_or_before(moment)
        except ValueError as cause:
            found.append(f"events: {sentence(cause)}")
    return found


def _require_points(design: ChartDesign, kind: str, table: pd.DataFrame) -> None:
    """Raise DataError where points are too few, or waits too coarse, for the chart to be drawn at all."""
    if table.empty:
        raise DataError(
            f"outcome: '{design.outcome}' holds a single event, and an interval needs two. Wait for the next"
            " event, or draw the counts by period."
        )
    if kind == "mr" and len(table) < 2:
        raise DataError(
            "outcome: a moving range is the distance of two measurements, and there is one. Add points, or"
            " choose kind='i'."
        )
    if kind == "t" and (table["y"] <= 0).any():
        raise DataError(
            f"outcome: {plural(int((table['y'] <= 0).sum()), 'time')} between events are zero or less, and a"
            " t chart needs times above zero. Give the times more finely (with the time of day), or choose"
            " kind='g'."
        )


def _choice(design: ChartDesign, periods: Periods, seen: pd.DataFrame) -> Choice:
    """The chart that was asked for, or the one that the data ask for."""
    if design.chart == "run":
        return Choice("run", "A run chart was asked for: the median is its centre line.")
    if design.chart != CHOSEN:
        return Choice(design.chart, f"Asked for: {ABOUT[design.chart].title}, {ABOUT[design.chart].suits}.")
    sized = design.denominator is not None
    return choose(
        Given(
            y=seen["y"].to_numpy(),
            size=seen["size"].to_numpy() if sized else None,
            code=seen["code"].to_numpy(),
            per=design.per,
            daily=_daily(periods),
            from_dates=design.from_dates,
        )
    )


def _daily(periods: Periods) -> bool:
    """Whether the labels are single days, so that days between events can be counted."""
    if isinstance(periods.labels, pd.PeriodIndex):
        return bool(periods.labels.freqstr == "D")
    return periods.kind == "date" and periods.gaps() == 0 and len(periods.labels) > 1 and _one_day(periods)


def _one_day(periods: Periods) -> bool:
    return bool((np.diff(periods.labels) == np.timedelta64(1, "D")).all())


def _table(
    design: ChartDesign, kind: str, periods: Periods, seen: pd.DataFrame
) -> tuple[pd.DataFrame, list[str]]:
    """One line per point (code, y, size, spread), and notes about how they came about."""
    if unit := _waits(design, kind, periods):
        table, notes = between_events(seen, periods, unit)
        return table.assign(spread=np.nan), notes
    if kind in SUBGROUPS or (kind == "run" and seen["code"].duplicated().any()):
        return _subgroups(kind, seen)
    table = seen.assign(spread=np.nan)
    if kind in ("run", "i", "mr") and design.denominator is not None:
        table = table.assign(y=seen["y"] / seen["size"] * design.per, size=np.nan)
    return table, []


def _waits(design: ChartDesign, kind: str, periods: Periods) -> str:
    """What lies between events when intervals are computed from dates; '' when the outcome holds them."""
    if kind not in INTERVALS or not (design.from_dates or design.chart == CHOSEN):
        return ""
    if design.denominator is not None:
        return str(design.denominator).replace("_", " ")
    return "units of time" if periods.kind == "number" else "days"


def _subgroups(kind: str, seen: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    grouped = seen.groupby("code")["y"]
    table = pd.DataFrame(
        {"y": grouped.mean(), "size": grouped.size().astype(float), "spread": grouped.std(ddof=1)}
    ).reset_index()
    if kind == "run":
        return table, ["Several rows in a period: their mean is drawn."]
    alone = int((table["size"] < 2).sum())
    return table, (
        [f"{plural(alone, 'period')} with a single measurement: no spread can be seen there."]
        if alone
        else []
    )


def _smallest(kind: str, seen: pd.DataFrame) -> Count | None:
    """The smallest count above zero; None where the outcome is no count of events."""
    y = seen["y"].to_numpy()
    if kind in (*SUBGROUPS, *INTERVALS) or (y != np.round(y)).any() or (y < 0).any() or not (y > 0).any():
        return None
    return Count(int(y[y > 0].min()))


def _empty_outcomes(lost: int) -> list[str]:
    if not lost:
        return []
    return [Counted("{rows} rows have no outcome; they have no point on the chart.", rows=Count(lost))]


def _gaps(kind: str, periods: Periods) -> list[str]:
    """A note on periods without a point, for charts with one point a period."""
    if kind in INTERVALS or not (missing := periods.gaps()):
        return []
    return [
        f"{plural(missing, 'period')} between the first and the last have no value. They are not counted as"
        " zero; neighbours on the chart may lie further apart in time."
    ]
