"""Jumps where there is no cutoff, and the effect without the people nearest to it."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd

from qieval.check import Check, Verdict
from qieval.diagnostics.cutoff_rows import (
    FEWEST_DESCRIBED,
    FORM,
    SORTING,
    Row,
    agreement,
    attempted,
    conclusion,
    fitted,
    holm,
    imprecise,
    not_made,
    row_of,
    said,
    sign_of,
    small_p,
    span,
    stated,
    tabled,
)
from qieval.discontinuous.local import Discontinuous, fit, fit_anyway
from qieval.progress import progress
from qieval.result import Study
from qieval.text import listed, number

SHARES = (0.25, 0.5, 0.75)
"""Where on each side placebo cutoffs lie, as shares of the people there."""
ROUND = 20
"""Round places lie on a grid of powers of ten with at least this many steps on a side."""
RADII = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3)
"""Holes around the cutoff, as shares of the bandwidth."""
FEW_HOLES = 5
"""Holes of a score with few values: without the nearest different score on each side, the nearest two, ..."""


def placebo_cutoffs(study: Study) -> Check:
    """The jump of the outcome at places where nothing changes, on either side by itself.

    Only people of one side are used, so that the effect at the true cutoff cannot spoil them (Cattaneo,
    Idrobo and Titiunik 2020, section 5.4). Where the rule is not always followed this is the jump of the
    outcome, not of the effect.
    """
    name, made = "placebo cutoffs", study.panel
    places = list(placebo_places(made))
    rows = [
        attempted(label, partial(_placebo, study, label, side, at))
        for label, side, at in progress(places, name)
    ]
    if not any(np.isfinite(row["estimate"]) for row in rows):
        text = "At no other place was there enough on both sides to estimate a jump."
        return Check(name=name, assumption=FORM, verdict="information", text=text)
    table = tabled(rows)
    table = table.assign(p_value_holm=holm(table["p_value"].to_numpy()))
    moved = table[table["p_value_holm"] < small_p(study.design)]
    known = table["estimate"].notna().sum()
    if len(moved):
        each = [f"{row['label']} (by {said(row)})" for _, row in moved.iterrows()]
        text = (
            f"The outcome also jumps where nothing changes: {listed(each, 3)}. The lines do not describe it"
            " well, or other things change along the score."
        )
    else:
        text = f"At none of {known} other places does the outcome jump beyond chance."
    shown = _with_truth(study, table)
    reach = table[["conf_low", "conf_high"]].abs().max(axis=1)
    wide = int((reach >= abs(shown["estimate"].iloc[0])).sum())
    verdict: Verdict = "concern" if len(moved) else "information" if wide else "supports"
    if verdict == "information":
        text += f" But {wide} of {known} intervals do not rule out a jump as large as that at the cutoff."
    return Check(
        name=name,
        assumption=FORM,
        verdict=verdict,
        text=text + not_made(table),
        table=shown,
        picture="intervals",
    )


def placebo_places(made: Discontinuous) -> list[tuple[str, np.ndarray, float]]:
    """Placebo cutoffs: label, the rows of that side, and the place on s.

    A place is a score that ten people or more share, or else a round one, so that it is no single person's;
    on either side of it lie ten people or more.
    """
    found: list[tuple[str, np.ndarray, float]] = []
    for right in (False, True):
        side = made.kept & ((made.s >= 0) == right)
        held = np.sort(made.s[side])
        for at in sorted({_place(made, held, share) for share in SHARES} if len(held) else ()):
            below = int(np.searchsorted(held, at))
            if min(below, len(held) - below) >= FEWEST_DESCRIBED:
                where = "treated side" if right == (made.sign > 0) else "other side"
                label = f"at {made.said(at)} ({where})"
                found.append((label, side, at))
    return found


def _place(made: Discontinuous, held: np.ndarray, share: float) -> float:
    """The quantile of a side as it is where many share that score, else as a round score."""
    at = float(np.quantile(held, share, method="higher"))
    if (held == at).sum() >= FEWEST_DESCRIBED:
        return at
    unit = 10.0 ** np.floor(np.log10((held[-1] - held[0]) / ROUND)) if held[-1] > held[0] else 1.0
    unit = max(unit, 1.0) if made.dates else unit
    base = float(made.shown(0.0))
    return float(made.toward * (np.round(float(made.shown(at)) / unit) * unit - base))


def _placebo(study: Study, label: str, side: np.ndarray, at: float) -> Row:
    found = fit(study.design, study.panel, rows=side, cutoff=at, parts=("covariates",))
    return row_of(label, found, study.panel.turn)


def _with_truth(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """The table with the jump at the true cutoff on top."""
    held = fitted(study)
    jump = row_of("at the cutoff", held.fit.outcome, held.made.turn)
    return pd.concat([pd.DataFrame([jump]), table], ignore_index=True)[list(table.columns)]


def donut_curve(study: Study) -> Check:
    """The effect when people nearest to the cutoff are left out, further and further."""
    name = "holes around the cutoff"
    rows: list[Row] = [{**stated(study), "at": 0.0}]
    for radius in progress(_radii(study), name):
        label = f"without |distance| < {number(radius)}"
        row = attempted(label, partial(_hole, study, label, radius))
        rows.append({**row, "at": radius})
    table = tabled(rows)
    level = study.design.level
    verdict = agreement(table, level)
    if verdict == "information" and conclusion(rows[0]) and len(table.dropna(subset=["estimate"])) > 1:
        estimates = table["estimate"].dropna()
        verdict = "supports" if (np.sign(estimates) == np.sign(estimates.iloc[0])).all() else "information"
    farthest = number(float(table["at"].max()))
    text = (
        f"Without people nearer than {farthest} and less the effect runs {span(table)}. Holes make lines"
        " bridge a gap, so intervals widen."
    ) + imprecise(table, level)
    if verdict == "concern":
        text += " The people nearest to the cutoff decide the answer: see who they are."
    return Check(
        name=name,
        assumption=SORTING,
        verdict=verdict,
        text=text + not_made(table),
        table=table,
        picture="donut",
    )


def _radii(study: Study) -> list[float]:
    """Radii of holes: shares of the bandwidth, or each time one more different score on each side."""
    held = fitted(study)
    width = float(held.fit.h.min())
    distances = np.unique(np.abs(held.made.s[held.made.kept]))
    near = distances[distances < width]
    people = int((np.abs(held.made.s[held.made.kept]) < width).sum())
    shared = study.design.units_are != "people" or people >= FEWEST_DESCRIBED * len(near)
    if shared and len(near) < 10 * FEW_HOLES:
        return [float(each) for each in near[near > 0][:FEW_HOLES]]
    return [share * width for share in RADII]


def _hole(study: Study, label: str, radius: float) -> Row:
    made = study.panel
    found, _ = fit_anyway(study.design, made, rows=made.kept & (np.abs(made.s) >= radius))
    return row_of(label, found, sign_of(made, found))
