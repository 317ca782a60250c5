"""Pretended starts: each cohort begins some periods earlier, seen only before its real start."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from qieval.check import Check
from qieval.diagnostics.rollout_leads import tried
from qieval.diagnostics.rollout_rows import PARALLEL
from qieval.progress import progress
from qieval.result import NO_FIGURES, Study, figures, overall
from qieval.rollout.panel import Rollout
from qieval.text import number, plural

NAME = "pretended starts"
START = "__qieval_start__"
MOST_TRIED = 4


def pretended_starts(study: Study) -> Check:
    """The same analysis with every start moved to some periods earlier, on rows before the real start only.

    The pretended starts reach back as far as half of the treated units (rows, in cross-sections) have
    periods; cohorts without earlier periods drop out. The smallest p-value is multiplied by the number of
    tries; where only that makes it unremarkable the verdict is information.
    """
    rollout = _before(study)
    reach = _reach(study, rollout)
    if reach < 1:
        return Check(
            name=NAME,
            assumption=PARALLEL,
            verdict="information",
            text="Most units have only one period before their start, so no earlier start can be tried.",
        )
    steps = np.unique(np.linspace(1, reach, min(reach, MOST_TRIED)).round().astype(int))
    table = pd.DataFrame([_row(study, rollout, int(step)) for step in progress(steps, NAME)])
    known = table.dropna(subset=["p_value"])
    if known.empty:
        text = f"No earlier start could be tried: {table['note'].iloc[0]}"
        return Check(name=NAME, assumption=PARALLEL, verdict="information", text=text, table=table)
    smallest = float(known["p_value"].min())
    size = 1 - study.design.level
    alarm, single = smallest * len(known) < size, smallest < size
    text = f"With {plural(len(known), 'pretended start')} before the real ones the same analysis finds "
    text += (
        f"an effect where there was none (smallest p-value {number(smallest)}, even allowing for"
        f" {plural(len(known), 'try', 'tries')}): cohorts were moving apart from their comparison already."
        if alarm
        else "an effect in at least one, though no more than chance may give with so many (smallest p-value"
        f" {number(smallest)})."
        if single
        else f"no effect beyond chance, as it should (smallest p-value {number(smallest)})."
    )
    return Check(
        name=NAME,
        assumption=PARALLEL,
        verdict="concern" if alarm else "information" if single else "supports",
        text=text,
        table=table,
        picture="intervals",
    )


def _before(study: Study) -> Rollout:
    """Rows before each unit's real start, less the anticipation."""
    rollout: Rollout = study.panel
    rollout = rollout.whole() if study.design.unbalanced == "drop" and rollout.began is not None else rollout
    return rollout.where(rollout.since < -int(study.design.anticipation))


def _reach(study: Study, rollout: Rollout) -> int:
    """How many periods earlier half of the treated units could have begun."""
    ever = np.isfinite(rollout.first)
    first = rollout.first[ever] if rollout.began is None else rollout.began[np.isfinite(rollout.began)]
    if not len(first):
        return 0
    room = first - int(study.design.anticipation) - 1 - rollout.times[0]
    return int(np.median(room))


def _row(study: Study, rollout: Rollout, step: int) -> dict[str, Any]:
    label = f"{plural(step, 'period')} earlier"
    frame = study.frame.iloc[rollout.row].assign(**{START: _moved(study, rollout, step)})
    changes: dict[str, Any] = {
        "first_treated": START,
        "treatment": None,
        "anticipation": 0,
        "events": {},
        "expected_lag": 0,
    }
    changes["event_window"] = _window(study, rollout, step)
    if study.design.unbalanced == "drop":
        changes["unbalanced"] = "pairs"
    found = tried(study, frame, **changes)
    if isinstance(found, str):
        return {"label": label, "term": None, **NO_FIGURES, "note": found}
    row = overall(found)
    return {"label": label, "term": row["term"], **figures(row), "note": ""}


def _window(study: Study, rollout: Rollout, step: int) -> tuple[int, ...]:
    """The longest window that every cohort with earlier periods has; only stacks need one."""
    if study.design.approach != "stacked":
        return ()
    room = rollout.starts - int(study.design.anticipation) - step - rollout.times[0]
    room = room[room > 0]
    return (-int(room.min()), step - 1) if len(room) else ()


def _moved(study: Study, rollout: Rollout, step: int) -> np.ndarray:
    """The pretended start of each row as the time column writes it, None for never."""
    moved = rollout.first - int(study.design.anticipation) - step
    periods = rollout.periods
    labels = list(periods.labels) if periods.kind == "number" else periods.shown()
    held = np.empty(len(rollout), dtype=object)
    for moment in np.unique(moved[np.isfinite(moved)]):
        code = int(np.searchsorted(rollout.times, moment))
        held[moved == moment] = labels[code]
    return held
