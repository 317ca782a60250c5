"""From a design and a parsed series to regressors: trend, season, calendar, interruptions, controls."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from qieval.calendar import days_in_period, easter_days
from qieval.errors import DataError, EstimationError
from qieval.interrupted import Interrupted, Interruption
from qieval.methods.interrupted_time_series.design import InterruptedTimeSeries
from qieval.numerics import series_terms
from qieval.rows import sentence
from qieval.series import Series, read_series
from qieval.text import plural

FEWEST_AFTER = 3
"""With fewer values after the interruption a change of slope is not told from chance."""


def parse(design: InterruptedTimeSeries, frame: pd.DataFrame) -> Interrupted:
    """The data as a regular series with its interruptions."""
    return _interrupted(design, _read(design, frame, None), closed=False)


def blind(design: InterruptedTimeSeries, frame: pd.DataFrame) -> Interrupted:
    """The same without any outcome from the start on."""
    return _interrupted(design, _read(design, frame, design.start), closed=True)


def _read(design: InterruptedTimeSeries, frame: pd.DataFrame, until: object) -> Series:
    further = (*design.controls, *design.control_denominators, *design.control_outcomes, *design.composition)
    return read_series(design, frame, further=further, until=until)


def _interrupted(design: InterruptedTimeSeries, series: Series, *, closed: bool) -> Interrupted:
    issues: list[str] = []
    notes = list(series.notes)
    found = [
        _interruption(design, series, moment, role, issues, notes)
        for role, moment in (
            ("start", design.start),
            *(("further_starts", later) for later in design.further_starts),
        )
    ]
    if issues:
        raise DataError(issues)
    codes = [item.start for item in found]
    if len(set(codes)) < len(codes) or codes != sorted(codes):
        raise DataError(
            "further_starts: interruptions must differ and follow the first one in time. Correct the dates."
        )
    transition = np.zeros(series.n_periods, dtype=bool)
    if design.phase_in_as == "left out":
        for item in found:
            transition[item.begins : item.settled] = True
    season = _season(design, series)
    if design.seasonality == "harmonics" and season is not None and design.harmonics > season // 2:
        notes.append(
            f"harmonics: a season of {season:g} periods has no more than {season // 2:g} pairs of sine and"
            f" cosine; {season // 2:g} are used."
        )
    made = Interrupted(
        series=series,
        interruptions=tuple(found),
        transition=transition,
        season=season,
        notes=tuple(notes),
    )
    _enough(design, made, closed)
    return made


def _interruption(
    design: InterruptedTimeSeries,
    series: Series,
    moment: object,
    role: str,
    issues: list[str],
    notes: list[str],
) -> Interruption:
    """Where the interruption lies; problems are added to `issues` and the codes are then not meaningful."""
    shown = series.shown()
    try:
        start = series.code_of(moment)
        inside = None if str(moment) in series.names else series.periods.inside(moment)
    except ValueError as cause:
        issues.append(f"{role}: {sentence(cause)}")
        return Interruption(words=str(moment), start=0, begins=0, settled=0)
    if start == 0:
        issues.append(
            f"{role}: no period lies before {moment} (the data begin at {shown[0]}), so a change cannot be"
            " seen. Add earlier periods or correct the date."
        )
    elif start >= series.n_periods:
        issues.append(
            f"{role}: no period lies at or after {moment} (the data end at {shown[-1]}), so there is no"
            " effect to see yet. Add later periods or correct the date."
        )
    elif inside is not None:
        notes.append(
            f"{role}: {moment} lies inside the period {inside}, which counts as before the intervention."
        )
    begins = start + design.lag
    settled = begins + (design.phase_in if design.phase_in_as == "left out" else 0)
    return Interruption(words=str(moment), start=start, begins=begins, settled=settled)


def _season(design: InterruptedTimeSeries, series: Series) -> float | None:
    length = design.season_length or series.season
    if design.seasonality == "none":
        return length
    if length is None or length < 2:
        raise DataError(
            "season_length: the time column holds whole numbers or years, which do not say how many of them"
            " make a season. Give season_length (such as 12), or set seasonality='none'."
        )
    return float(length)


def _enough(design: InterruptedTimeSeries, made: Interrupted, closed: bool) -> None:
    """Raise where there are too few values on a side of the interruption to say anything."""
    before = int(made.before.sum())
    there = ~made.series.left_out & ~made.transition
    after = int(there[made.first.settled :].sum()) if closed else int(made.after.sum())
    word = made.series.rhythm
    if before < FEWEST_AFTER:
        raise DataError(
            f"start: {plural(before, word)} with a value before {design.start} (of those that are used); a"
            f" trend needs at least {FEWEST_AFTER}, and a dozen to be worth much. Add earlier periods."
        )
    fewest = 1 if design.change in ("level", "any", "pulse") else FEWEST_AFTER
    if after < fewest:
        raise DataError(
            f"start: {plural(after, word)} with a value after {design.start}"
            + (" and its lag and phasing in" if design.lag or design.phase_in else "")
            + f"; {'a change of slope' if fewest > 1 else 'a change'} needs at least {fewest}. Wait for more"
            " data"
            + (", or estimate a change of level alone (change='level')." if fewest > 1 and after else ".")
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Terms:
    """Regressors in all T periods: x (T, k), their names, and which of them are the intervention (k,)."""

    x: np.ndarray
    names: tuple[str, ...]
    change: np.ndarray

    @property
    def without(self) -> np.ndarray:
        """The regressors had there been no intervention (T, k)."""
        return np.where(self.change, 0.0, self.x)


def terms(design: InterruptedTimeSeries, made: Interrupted, *, constant: bool = True) -> Terms:
    """The regressors of a segmented regression: constant, trend, changes, season, calendar, covariates."""
    parts: list[tuple[str, np.ndarray, bool]] = []
    if constant:
        parts.append(("constant", np.ones(made.series.n_periods), False))
    parts += [(name, held, False) for name, held in trend(design, made)]
    parts += [(name, held, True) for name, held in changes(design, made)]
    parts += [(name, held, False) for name, held in season(design, made)]
    parts += [(name, held, False) for name, held in _calendar(design, made)]
    parts += [(name, made.series.x[:, column], False) for column, name in enumerate(made.series.x_names)]
    return Terms(
        x=np.column_stack([held for _, held, _ in parts]) if parts else np.empty((made.series.n_periods, 0)),
        names=tuple(name for name, _, _ in parts),
        change=np.array([is_change for _, _, is_change in parts], dtype=bool),
    )


def trend(design: InterruptedTimeSeries, made: Interrupted) -> list[tuple[str, np.ndarray]]:
    """The columns of the long-run trend by name; time counts periods from the first one as 1."""
    time = made.series.at + 1.0
    if design.trend == "none":
        return []
    if design.trend == "linear":
        return [("trend", time)]
    if design.trend == "quadratic":
        middle = time.mean()
        return [("trend", time), ("trend squared", (time - middle) ** 2)]
    knots = np.quantile(made.series.at[made.used], np.linspace(0, 1, design.trend_df + 1))
    found = series_terms.trend_spline(made.series.at.astype(float), knots)
    return [(f"trend {number}", column) for number, column in enumerate(found.T, start=1)]


def changes(design: InterruptedTimeSeries, made: Interrupted) -> list[tuple[str, np.ndarray]]:
    """The columns of the interruptions by name; further ones carry their date."""
    found = []
    for number, item in enumerate(made.interruptions):
        suffix = f" {item.words}" if number else ""
        found += [(name + suffix, held) for name, held in _change(design, made, item)]
    return found


def _change(
    design: InterruptedTimeSeries, made: Interrupted, item: Interruption
) -> list[tuple[str, np.ndarray]]:
    at = made.series.at
    if design.change == "any":
        return []
    if design.change == "pulse":
        return [("temporary change", series_terms.pulse(at, item.settled, design.lasts))]
    if design.change == "decay":
        return [("fading change", series_terms.decay(at, item.settled, design.half_life))]
    found = []
    ramped = design.phase_in and design.phase_in_as == "a ramp"
    if "level" in design.change:
        level = (
            series_terms.gradual_step(at, item.begins, design.phase_in)
            if ramped
            else series_terms.step(at, item.settled)
        )
        found.append(("level change", level))
    if "slope" in design.change:
        first = 0.0 if design.slope_from == "the first period with the intervention" else 1.0
        counted = series_terms.ramp(at, item.begins, first=first) * (at >= item.settled)
        found.append(("slope change", counted))
    return found


def season(design: InterruptedTimeSeries, made: Interrupted) -> list[tuple[str, np.ndarray]]:
    """The columns of the season by name."""
    if design.seasonality == "none":
        return []
    length = made.season or 0.0
    position = made.series.position(length)
    if design.seasonality == "one per season":
        if length != round(length):
            raise EstimationError(
                f"seasonality: a season of {length:g} periods has no whole number of values. Use harmonics or"
                " a spline."
            )
        found, word = series_terms.one_per_position(position), "season"
    elif design.seasonality == "spline":
        found, word = series_terms.cyclic_spline(position, length, design.season_df), "season"
    else:
        pairs = min(design.harmonics, int(length // 2))
        found, word = series_terms.harmonics(position, length, pairs), "season"
    return [(f"{word} {number}", column) for number, column in enumerate(found.T, start=1)]


def _calendar(design: InterruptedTimeSeries, made: Interrupted) -> list[tuple[str, np.ndarray]]:
    found = []
    if design.days_in_period == "as a regressor":
        found.append(("days in the period", days(made)))
    if design.easter == "as a regressor":
        share = easter_days(_calendar_labels(made, "easter"))
        if share.any():
            found.append(("Easter", share))
    return found


def days(made: Interrupted) -> np.ndarray:
    """The number of days of each period (T,)."""
    return days_in_period(_calendar_labels(made, "days_in_period")).astype(float)


def _calendar_labels(made: Interrupted, role: str) -> pd.PeriodIndex:
    labels = made.series.periods.labels
    if not isinstance(labels, pd.PeriodIndex):
        raise DataError(
            f"{role}: the time column holds whole numbers, which do not say which days they cover. Use months"
            " or dates such as 2022-04, or leave this out."
        )
    return labels


def while_it_lasts(design: InterruptedTimeSeries, made: Interrupted) -> np.ndarray:
    """The periods over which an effect is summed: for a pulse those of any of its stretches (T,)."""
    if design.change != "pulse":
        return np.ones(made.series.n_periods, dtype=bool)
    at = made.series.at
    found: np.ndarray = np.any(
        [(at >= item.settled) & (at < item.settled + design.lasts) for item in made.interruptions], axis=0
    )
    return found
