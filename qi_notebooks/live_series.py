"""One series as light pictures: before the start how trend and season fit, afterwards what was expected.

What a trial shows comes from values before the start; only the pictures of a result draw later ones.
"""

import math
from typing import Any

import numpy as np
import pandas as pd

import qieval as qe
from qi_notebooks import look
from qi_notebooks.drawing import Frame, filled, key, keys, point_key, title

HIGH, MIDDLE, LOW = 210.0, 130.0, 90.0
"""Heights of the course, of the effect, and of residuals, in units of the pictures."""
SMALLEST_P = 0.001
OBSERVED, FITTED, EXPECTED = "qi-dot", "qi-line-fitted", "qi-line-expected"
HOLLOW = "qi-dot-out"


def numbers(trial: qe.SeriesTrial) -> str:
    """How many periods there are, what the outcome is taken for, and whether anything is left in the
    residuals."""
    parts = [
        f"<b>{trial.before:,}</b> {trial.rhythm}s before the start, <b>{trial.after:,}</b> after it",
        f"outcome taken as <b>{qe.markup.escape(trial.family)}</b>",
    ]
    if len(trial.autocorrelation):
        first = float(trial.autocorrelation["value"].iloc[0])
        parts.append(f"neighbouring residuals correlate by <b>{first:.2f}</b>")
    if math.isfinite(trial.p_value):
        said = "✓ nothing more is left" if trial.met else "✗ something is left"
        parts.append(
            f"<span class='qi-rule-{'met' if trial.met else 'broken'}'>{said}</span>"
            f" (Ljung-Box p {_probability(trial.p_value)})"
        )
    return f"<p class='qi-numbers'>{' · '.join(parts)}</p>" + look.note(f"{_capital(trial.errors)}.")


def course(trial: qe.SeriesTrial) -> str:
    """The series before the start with its trend and season, and where these lead without any change."""
    table = trial.paths
    start = int((table["at"] < 0).sum())
    observed, fitted = (table[name].to_numpy(dtype=float) for name in ("observed", "fitted"))
    early = np.arange(len(table)) < start
    frame = Frame(table["period"].tolist(), np.concatenate([observed, fitted]), HIGH)
    drawn = (
        frame.line(np.where(early, fitted, np.nan), FITTED)
        + frame.line(np.where(np.arange(len(table)) >= start - 1, fitted, np.nan), EXPECTED)
        + _dots(frame, observed, table["used"].to_numpy(dtype=bool))
        + frame.upright(start - 0.5, f"start {trial.design.start}")
    )
    shown = keys(
        point_key(OBSERVED, "observed before the start"),
        key(FITTED, "trend and season"),
        key(EXPECTED, "where they lead without a change"),
    )
    alt = "The series before the start with its trend and season; values from the start on are closed"
    behind = _unused(frame, table["transition"].to_numpy(dtype=bool), "phasing in")
    note = look.note("Values from the start on stay closed until you estimate.")
    return f"{title('Before the start')}{shown}{frame.picture(drawn, alt, behind)}{note}"


def residuals(trial: qe.SeriesTrial) -> str:
    """What trend and season leave over, period by period."""
    table = trial.paths[trial.paths["at"] < 0]
    left = table["residual"].to_numpy(dtype=float)
    frame = Frame(table["period"].tolist(), np.append(left, 0.0), LOW)
    drawn = frame.level(0, "qi-axis") + frame.line(left, "qi-line-mean") + frame.points(left, OBSERVED)
    alt = "Residuals before the start"
    note = look.note("They should scatter around zero without a bend, a wave or a widening.")
    return f"{title('What is left over')}{frame.picture(drawn, alt)}{note}"


def autocorrelation(trial: qe.SeriesTrial) -> str:
    """Correlations of the residuals with those of earlier periods."""
    table = trial.autocorrelation
    if not len(table):
        return look.note("There are too few values before the start to look at autocorrelation.")
    values = np.concatenate([[np.nan], table["value"].to_numpy(dtype=float), [np.nan]])
    bound = float(table["bound"].iloc[0])
    labels = [str(lag) for lag in range(len(values))]
    frame = Frame(labels, np.append(values, [bound, -bound, 0.0]), LOW)
    lines = frame.level(bound, "qi-limit") + frame.level(-bound, "qi-limit") + frame.level(0, "qi-axis")
    alt = "Autocorrelations of the residuals by distance"
    note = look.note(
        f"By distance in {trial.rhythm}s, once the model of the errors is taken out. Bars beyond the dashed"
        " lines are more than chance would make; one in twenty is. A bar at the length of a season means"
        " that the season is not described well."
    )
    drawn = frame.bars(values, "qi-bar-treated") + lines
    return f"{title('Autocorrelation of what is left')}{frame.picture(drawn, alt)}{note}"


def remarks(trial: qe.SeriesTrial) -> str:
    """Gaps and periods left out; empty when there are none."""
    return qe.markup.bullets(trial.notes) if trial.notes else ""


def changed(result: qe.Result) -> str:
    """Observed values, the fit, and what was expected from the start on without the intervention."""
    table, made = _of(result), result.kernel.made
    design: Any = result.design
    start = made.start
    late = np.arange(len(table)) >= start
    observed, fitted, expected, low, high = (
        table[name].to_numpy(dtype=float)
        for name in ("observed", "fitted", "counterfactual", "conf_low", "conf_high")
    )
    expected = np.where(late, expected, np.nan)
    frame = Frame(made.series.shown(), np.concatenate([observed, fitted, expected]), HIGH)
    low, high = np.maximum(low, frame.low), np.minimum(high, frame.top)
    drawn = (
        frame.ribbon(np.where(late, low, np.nan), np.where(late, high, np.nan), "qi-ribbon")
        + frame.line(np.where(made.transition, np.nan, fitted), FITTED)
        + frame.line(expected, EXPECTED)
        + _dots(frame, observed, table["used"].to_numpy(dtype=bool))
        + frame.upright(start - 0.5, f"start {design.start}")
        + _events(frame, made, design)
    )
    shown = keys(
        point_key(OBSERVED, "observed"),
        key(FITTED, "fitted"),
        key(EXPECTED, "expected without the intervention"),
        *([point_key(HOLLOW, "left out")] if not table["used"].all() else []),
    )
    alt = f"Observed and expected values. {result.headline}"
    behind = _unused(frame, made.transition, "phasing in")
    return f"{title('Observed and expected')}{shown}{frame.picture(drawn, alt, behind)}"


def effect(result: qe.Result) -> str:
    """The effect in each period from the start on, with its interval."""
    table = filled(result.estimates)
    rows = table[table["term"] == "effect in period"]
    if rows.empty:
        return ""
    made = result.kernel.made
    shown = made.series.shown()[made.start :]
    held = {
        name: _placed(rows["at"], rows[name], len(shown)) for name in ("estimate", "conf_low", "conf_high")
    }
    frame = Frame(shown, np.concatenate([*held.values(), [0.0]]), MIDDLE)
    drawn = (
        frame.ribbon(held["conf_low"], held["conf_high"], "qi-ribbon")
        + frame.level(0, "qi-axis")
        + frame.line(held["estimate"], FITTED)
        + frame.points(held["estimate"], OBSERVED, 2)
    )
    alt = "The effect in each period from the start on, with its interval"
    note = look.note(
        f"The fitted change in each {made.series.rhythm} with its {result.design.level:.0%} interval; at zero"
        " there is none."
    )
    return f"{title('The effect over time')}{frame.picture(drawn, alt)}{note}"


def _of(result: qe.Result) -> pd.DataFrame:
    """The course of the series in question."""
    table = filled(result.series)
    return table[table["group"] == "treated"].reset_index(drop=True)


def _dots(frame: Frame, values: np.ndarray, used: np.ndarray) -> str:
    return frame.points(np.where(used, values, np.nan), OBSERVED) + frame.points(
        np.where(used, np.nan, values), HOLLOW
    )


def _unused(frame: Frame, which: np.ndarray, words: str) -> str:
    """Unbroken stretches of periods, shaded; the first one is named."""
    codes = np.flatnonzero(which)
    if not len(codes):
        return ""
    pieces = np.split(codes, np.flatnonzero(np.diff(codes) > 1) + 1)
    return "".join(
        frame.shade(piece[0] - 0.5, piece[-1] + 0.5, words if number == 0 and len(piece) > 3 else "")
        for number, piece in enumerate(pieces)
    )


def _events(frame: Frame, made: object, design: qe.Design) -> str:
    """Other events that were registered, as thin lines with their first words."""
    shown = made.series.shown()  # type: ignore[attr-defined]
    drawn = []
    for when in getattr(design, "events", {}):
        if when in shown:
            drawn.append(frame.upright(shown.index(when), "", "qi-event"))
    return "".join(drawn)


def _placed(at: pd.Series, values: pd.Series, places: int) -> np.ndarray:
    """Values at their distances from the start (places,), NaN where there are none."""
    found = np.full(places, np.nan)
    found[at.to_numpy(dtype=int)] = values.to_numpy(dtype=float)
    return found


def _probability(p: float) -> str:
    return f"{p:.2g}" if p >= SMALLEST_P else f"below {SMALLEST_P:g}"


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
