"""Whether the rule moved who received the intervention: uptake on either side of the cutoff."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy

from qieval.check import Check, Verdict
from qieval.diagnostics.cutoff_rows import RULE, Row, fitted, jump_words, row_of, said, tabled
from qieval.discontinuous.local import Discontinuous, fit_anyway
from qieval.errors import EstimationError
from qieval.numerics.discontinuity import Discontinuity
from qieval.progress import progress
from qieval.result import Study
from qieval.text import listed, number

WEAK = 10.0
"""Below this effective F the usual interval misleads (Staiger and Stock 1997; Feir, Lemieux, Marmer 2016)."""
NAME = "who received it"
MOST_GROUPS = 12


def who_received(study: Study) -> Check:
    """Uptake on each side of the cutoff, its jump with interval, and how strong the jump is."""
    design, held = study.design, fitted(study)
    if held.fit.uptake is None:
        return Check(name=NAME, assumption=RULE, verdict="information", text=_unknown())
    rows = _panel(design, held.made, held.fit)
    strength = held.fit.first_stage_f
    weak = strength < WEAK
    on, off, jump = rows
    text = (
        f"At the cutoff '{design.received}' is {said(on)} on the treated side and {said(off)} on the other:"
        f" a difference of {said(jump)}, effective F {number(strength)}."
    )
    if design.derivative:
        text = f"The slope of '{design.received}' changes by {said(jump)}, effective F {number(strength)}."
    if weak:
        text += (
            " That is little: the usual interval misleads below 10. Read the Anderson-Rubin interval, which"
            " is right however small the difference."
        )
    verdict: Verdict = "concern" if weak else "supports"
    return Check(
        name=NAME, assumption=RULE, verdict=verdict, text=text, table=tabled(rows), picture="intervals"
    )


def _unknown() -> str:
    return (
        "The data do not say who really received it, so everybody is taken to have followed the rule. Where"
        " the rule is not always followed, name the column under `received`; the effect of the rule is"
        " otherwise read as that of the intervention."
    )


def _panel(design: Any, made: Discontinuous, found: Discontinuity) -> list[Row]:
    """Uptake at the cutoff on the treated side, on the other, and the difference."""
    assert found.uptake is not None
    z = float(scipy.special.ndtri((1 + design.level) / 2))
    sides = (1, 0) if made.sign > 0 else (0, 1)
    turned = made.toward if made.kink else 1
    rows = []
    for label, side in zip(("treated side", "other side"), sides, strict=True):
        limit = turned * float(found.sides.corrected[1, side])
        error = float(np.sqrt(found.sides.robust[side, 1, 1]))
        ends = {"conf_low": limit - z * error, "conf_high": limit + z * error}
        rows.append({"label": label, "estimate": limit, **ends, "p_value": np.nan, "note": ""})
    return [*rows, row_of(f"{jump_words(design)} in uptake", found.uptake, made.turn)]


def moved_the_other_way(study: Study) -> Check:
    """Whether uptake jumps against the rule in people with high or low values of a covariate.

    Source: the logic of subgroup first stages (Angrist, Imbens and Rubin 1996; Imbens and Lemieux 2008).
    """
    name, design, made = "uptake in parts of the people", study.design, study.panel
    if made.received is None or not made.data.x.shape[1] or design.derivative:
        missing = "who received it" if made.received is None else "a covariate"
        text = f"Not looked at: it needs {missing} in the data, and a jump in uptake."
        return Check(name=name, assumption=RULE, verdict="information", text=text)
    rows = []
    for label, part in progress(_parts(made), name):
        try:
            found, _ = fit_anyway(design, made, y=made.received, rows=made.kept & part, parts=())
        except EstimationError:
            continue
        rows.append(row_of(label, found, made.sign))
    against = [row["label"] for row in rows if row["conf_high"] < 0]
    if not rows:
        text = "In no part of the people could the jump in uptake be estimated by itself."
        return Check(name=name, assumption=RULE, verdict="information", text=text)
    low = min(rows, key=lambda row: float(row["estimate"]))
    text = f"Uptake rises with the rule in each of {len(rows)} parts of the people"
    text += f" (least in {low['label']}: {said(low)})."
    if low["estimate"] <= 0:
        text = f"Uptake rises least in {low['label']}: {said(low)}."
    if against:
        text += f" In {listed(against, 3)} the rule kept people from it, so effects are mixed with signs."
    verdict: Verdict = "concern" if against else "supports" if low["conf_low"] > 0 else "information"
    return Check(
        name=name, assumption=RULE, verdict=verdict, text=text, table=tabled(rows), picture="intervals"
    )


def _parts(made: Discontinuous) -> list[tuple[str, np.ndarray]]:
    """People above and not above the median of each covariate (1 and 0 of a yes-or-no one)."""
    found = []
    for name, values in zip(made.data.x_names, made.data.x.T, strict=True):
        binary = bool(np.isin(values, (0.0, 1.0)).all())
        middle = 0.5 if binary else float(np.median(values[made.kept]))
        words = (f"{name}: yes", f"{name}: no") if binary else (f"higher {name}", f"lower {name}")
        found += [(words[0], values > middle), (words[1], values <= middle)]
    return found[:MOST_GROUPS]
