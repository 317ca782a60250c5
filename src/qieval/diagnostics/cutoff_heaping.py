"""Whether scores are rounded near the cutoff, what the estimate is without the heaps, and who is there."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import scipy

from qieval.check import Check, Verdict
from qieval.diagnostics.cutoff_rows import (
    AS_DESIGNED,
    FEWEST_DESCRIBED,
    HEAPING,
    ROBUST,
    Row,
    agreement,
    attempted,
    conclusion,
    counted,
    fitted,
    holm,
    imprecise,
    row_of,
    said,
    sign_of,
    small_p,
    tabled,
    uncounted,
)
from qieval.discontinuous.local import Discontinuous, fit_anyway
from qieval.numerics.heaping import Heaping, heapers_differ, heaping
from qieval.numerics.heaping_cells import multiples
from qieval.result import Study
from qieval.text import listed, number

FEW_VALUES = 10
"""With fewer different scores in the window nobody can tell heaps from the rest."""
TOO_FEW = "With fewer than ten different scores near the cutoff, heaps cannot be told from the rest."
NONE_FOUND = "No score near the cutoff holds more people than its neighbours lead to expect."


def heaps(design: Any, made: Discontinuous) -> Check:
    """Whether round scores near the cutoff hold more people than their neighbours (design stage)."""
    return _heaps(design, made, None)


def heaps_within(study: Study) -> Check:
    """The same for the bandwidth of the estimate."""
    return _heaps(study.design, study.panel, float(fitted(study).fit.h.max()))


def _heaps(design: Any, made: Discontinuous, within: float | None) -> Check:
    name = "heaping of the score"
    if made.data.weights is not None:
        return uncounted(name, HEAPING)
    found = _look(made, within)
    if found is None:
        return Check(name=name, assumption=HEAPING, verdict="information", text=TOO_FEW)
    if not found.found:
        return Check(name=name, assumption=HEAPING, verdict="supports", text=NONE_FOUND + _grid(made, found))
    near = found.values if within is None else found.values[np.abs(found.values - _cutoff(made)) <= within]
    text = _heaped_words(made, found)
    if len(near):
        text += (
            f" People recorded at {listed([_said(made, value) for value in near], 5)} decide part of the"
            " estimate. Look at it without them (donut, leave_out), and ask who rounds."
        )
    verdict: Verdict = "concern" if len(near) or found.steps else "information"
    table = _heap_table(design, made, found)
    return Check(name=name, assumption=HEAPING, verdict=verdict, text=text, table=table)


def _look(made: Discontinuous, within: float | None) -> Heaping | None:
    """Heaps near the cutoff among the rows that take part, as far as half of the people or the
    bandwidth, whichever is wider; None with too few different scores there."""
    score = _score(made)[made.kept]
    try:
        found = heaping(score, _cutoff(made))
        if within is not None and within > found.window:
            found = heaping(score, _cutoff(made), within)
    except ValueError:
        return None
    return found if found.n_values >= FEW_VALUES else None


def _score(made: Discontinuous) -> np.ndarray:
    """Scores as they were written down; with several cutoffs the distance from one's own."""
    return made.score if len(made.cutoffs) == 1 else made.toward * made.s


def _cutoff(made: Discontinuous) -> float:
    return float(made.cutoffs[0]) if len(made.cutoffs) == 1 else 0.0


def _said(made: Discontinuous, value: float) -> str:
    return made.said(made.toward * (value - _cutoff(made)))


def _grid(made: Discontinuous, found: Heaping) -> str:
    if not np.isfinite(found.grid) or made.dates:
        return ""
    return f" All scores there are multiples of {number(found.grid)}."


def _heaped_words(made: Discontinuous, found: Heaping) -> str:
    parts = [
        f"multiples of {number(step.step, 6)} hold {number(step.ratio)} times as many people as their"
        " neighbours lead to expect"
        for step in found.steps
    ]
    at = found.at_cutoff
    if _cutoff(made) in found.values and at.expected > 0:
        many = number(at.observed / at.expected)
        parts.append(f"the cutoff itself ({made.cutoff}) holds {many} times as many")
    if not parts:
        parts = [f"{listed([_said(made, value) for value in found.values], 5)} hold too many people"]
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}."


def _heap_table(design: Any, made: Discontinuous, found: Heaping) -> pd.DataFrame:
    """Round values by side of the cutoff, and each heaped score, with the people expected there."""
    score, cutoff = _score(made)[made.kept], _cutoff(made)
    inside = np.abs(score - cutoff) <= found.window
    sizes = (int((inside & (score < cutoff)).sum()), int((inside & (score >= cutoff)).sum()))
    rows = []
    for step in found.steps:
        for side, where in enumerate(("below the cutoff", "at or above the cutoff")):
            label = f"multiples of {number(step.step, 6)}, {where}"
            pair = (float(step.observed[side]), float(step.expected[side]))
            rows.append(_heap_row(design, label, pair, sizes[side]))
    for value, many, usual in zip(found.values, found.observed, found.expected, strict=True):
        size = sizes[int(value >= cutoff)]
        rows.append(_heap_row(design, f"at {_said(made, value)}", (float(many), float(usual)), size))
    return pd.DataFrame(rows)


def _heap_row(design: Any, label: str, pair: tuple[float, float], size: int) -> Row:
    """A row; without what a small number of people could be worked out from."""
    many, usual = pair
    hidden = design.units_are == "people" and many < FEWEST_DESCRIBED
    return {
        "scores": label,
        "people": counted(design, many),
        "expected": np.nan if hidden else usual,
        "times_expected": many / usual if usual > 0 and not hidden else np.nan,
        "share_of_side": many / size if size and not hidden else np.nan,
    }


def without_heaps(study: Study) -> Check:
    """The effect without people at the cutoff, at heaped scores, and at all round ones.

    Source: Barreca, Guldi, Lindo and Waddell 2011.
    """
    name, made, held = "estimate without heaped scores", study.panel, fitted(study)
    if made.data.weights is not None:
        return uncounted(name, HEAPING)
    found = _look(made, float(held.fit.h.max()))
    if found is None:
        return Check(name=name, assumption=HEAPING, verdict="information", text=TOO_FEW)
    if not found.found:
        text = "No score is heaped, so none is left out."
        return Check(name=name, assumption=HEAPING, verdict="information", text=text)
    rows = [_fit_row(study, AS_DESIGNED, made.kept)]
    for label, gone in _donuts(made, found):
        rows.append(attempted(label, partial(_fit_row, study, label, made.kept & ~gone)))
    table = tabled(rows)
    known = table.iloc[1:].dropna(subset=["estimate"])
    verdict = agreement(table, study.design.level)
    text = f"The effect is {said(table.iloc[0])} {AS_DESIGNED}"
    text += "".join(f", {said(row)} {row['label']}" for _, row in known.iterrows()) + "."
    text += imprecise(table, study.design.level)
    changed = [row for _, row in known.iterrows() if conclusion(row) != conclusion(table.iloc[0])]
    if changed:
        verdict = "concern"
        text += " Without them the interval says something else, so the heaps decide the answer."
    return Check(name=name, assumption=HEAPING, verdict=verdict, text=text, table=table, picture="intervals")


def _fit_row(study: Study, label: str, rows: np.ndarray) -> Row:
    """The robust effect among some rows, with the conventional one beside it."""
    found, _ = fit_anyway(study.design, study.panel, rows=rows)
    sign = sign_of(study.panel, found)
    row = row_of(label, found, sign)
    return {**row, "conventional": sign * float(found.estimate[0]), "robust_error": found.std_error[ROBUST]}


def _donuts(made: Discontinuous, found: Heaping) -> list[tuple[str, np.ndarray]]:
    """What is left out: people at the cutoff itself, at heaped scores, at all multiples of heaping steps."""
    score, cutoff = _score(made), _cutoff(made)
    ways = []
    if cutoff in found.values:
        ways.append((f"without those at {made.cutoff}", score == cutoff))
    if len(found.values):
        ways.append(("without heaped scores", np.isin(score, found.values)))
    for step in found.steps:
        ways.append((f"without multiples of {number(step.step, 6)}", multiples(score, step.step)))
    seen: list[tuple[str, np.ndarray]] = []
    for label, gone in ways:
        if not any(np.array_equal(gone, other) for _, other in seen):
            seen.append((label, gone))
    return seen


def heapers(design: Any, made: Discontinuous) -> Check:
    """Whether people at round scores differ from their neighbours, in covariates and, once open, the outcome.

    Source: Barreca, Lindo and Waddell 2016.
    """
    name = "who is at round scores"
    if made.data.weights is not None:
        return uncounted(name, HEAPING)
    found = _look(made, None)
    if found is None:
        return Check(name=name, assumption=HEAPING, verdict="information", text=TOO_FEW)
    if not found.found:
        text = "No score is heaped, so there is nobody to compare with their neighbours."
        return Check(name=name, assumption=HEAPING, verdict="information", text=text)
    held = dict(zip(made.data.x_names, made.data.x.T, strict=True))
    if made.data.y is not None:
        held = {design.outcome: made.y, **held}
    if not held:
        text = "There are heaps, and no covariates to see whether those recorded there are different people."
        return Check(name=name, assumption=HEAPING, verdict="information", text=text)
    table = _heaper_table(design, made, found, held)
    apart = table[table["p_value_holm"] < small_p(design)]
    if apart.empty:
        text = f"People at round scores differ from their neighbours in none of {len(table)} respects."
    else:
        first = apart.iloc[0]
        text = (
            f"People at round scores differ from their neighbours in {listed(apart['label'], 3)} (first:"
            f" {said(first)}), so rounding changes who is compared with whom."
        )
    return Check(
        name=name,
        assumption=HEAPING,
        verdict="information" if apart.empty else "concern",
        text=text,
        table=table,
    )


def _heaper_table(
    design: Any, made: Discontinuous, found: Heaping, held: dict[str, np.ndarray]
) -> pd.DataFrame:
    z = float(scipy.special.ndtri((1 + design.level) / 2))
    rows = []
    score, cutoff, used = _score(made)[made.kept], _cutoff(made), made.kept
    clusters = None if made.data.cluster is None else made.data.cluster[used]
    for label, values in held.items():
        item = heapers_differ(values[used], found.round_values, score, cutoff, found.window, clusters)
        reach = z * item.se
        ends = {"conf_low": item.difference - reach, "conf_high": item.difference + reach}
        rows.append({"label": label, "estimate": item.difference, **ends, "p_value": item.p_value})
    table = pd.DataFrame(rows)
    return table.assign(p_value_holm=holm(table["p_value"].to_numpy()))
