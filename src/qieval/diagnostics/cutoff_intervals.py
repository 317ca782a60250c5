"""How sure: several kinds of interval side by side, how much they lean on smoothness, and hidden bias."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from qieval.check import Check, Verdict
from qieval.diagnostics.cutoff_rows import (
    ALIKE,
    INTERVAL,
    Row,
    attempted,
    close,
    conclusion,
    fitted,
    imprecise,
    not_made,
    said,
    sign_of,
    small_p,
    stated,
    tabled,
    way_row,
)
from qieval.discontinuous.ways import (
    Way,
    anderson_rubin_way,
    honest_options,
    honest_rows,
    honest_way,
    lot_sample,
    lot_way,
    lot_window,
)
from qieval.errors import EstimationError
from qieval.numerics.honest import Honest, HonestOptions, honest, honest_breakdown, honest_over
from qieval.numerics.honest_rows import HonestRows
from qieval.numerics.honest_smoothness import smoothness_bound
from qieval.numerics.local_randomisation_bounds import BiasTest, hidden_bias_bounds
from qieval.numerics.local_randomisation_draws import Drawing
from qieval.result import Study
from qieval.text import number, plural

FACTORS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
GAMMAS = (1.0, 1.1, 1.25, 1.5, 2.0, 3.0)
HIDDEN = 1.5
"""A hidden factor that multiplies the odds of a side by this much would be a strong one near a cutoff."""
MOST_BY_LOT = 3000
FEW_GROUPS = 20
"""Fewer clusters on a side leave cluster-robust standard errors too small."""


def ways_to_say_how_sure(study: Study) -> Check:
    """Robust, honest and local randomisation intervals (and Anderson-Rubin where the rule is not always
    followed) of the same effect."""
    name, design, held = "ways to say how sure", study.design, fitted(study)
    made, found = held.made, held.fit
    rows = [{**stated(study), "label": "robust bias-corrected", "how": "lines, with their bias taken off"}]
    if found.uptake is not None:
        rows.append(_way("Anderson-Rubin", lambda: anderson_rubin_way(made, found, design.level)))
    if not design.derivative:
        rows.append(_way("honest", lambda: honest_way(design, made)))
        rows.append(_way("local randomisation", lambda: lot_way(design, made)))
    table = tabled(rows)
    known = table.dropna(subset=["estimate", "conf_low", "conf_high"])
    if len(known) < 2:
        text = f"Only one kind of interval could be made: {said(table.iloc[0])}." + not_made(table)
        return Check(name=name, assumption=INTERVAL, verdict="information", text=text, table=table)
    concluded = {conclusion(row) for _, row in known.iterrows()}
    agreed = len(concluded) == 1 and len(set(np.sign(known["estimate"]))) == 1
    text = "; ".join(f"{row['label']} {said(row)}" for _, row in known.iterrows()) + "."
    sure = agreed and (0 not in concluded or close(known, design.level))
    if agreed and 0 in concluded:
        text += imprecise(known, design.level)
    elif agreed:
        text += " They agree on the direction and on whether no effect is left out."
    else:
        text += " They do not agree on the direction or on whether no effect is left out."
    return Check(
        name=name,
        assumption=INTERVAL,
        verdict="supports" if sure else "information" if agreed else "concern",
        text=text + not_made(table),
        table=table,
        picture="intervals" if np.isfinite(known[["conf_low", "conf_high"]]).all(axis=None) else None,
    )


def _way(label: str, make: Any) -> Row:
    def row() -> Row:
        way: Way = make()
        return {**way_row(way, label), "how": way.words}

    return {"how": "", **attempted(label, row)}


def smoothness(study: Study) -> Check:
    """The honest interval by how strongly the outcome may bend, and what the data say about that.

    The bandwidth stays that of the interval, so that the estimate stays and only the allowance grows.
    Source: Armstrong and Kolesar 2020; the lower bound is that of Kolesar and Rothe 2018, supplement.
    """
    name, design, made = "how much the outcome may bend", study.design, fitted(study).made
    if design.derivative:
        text = "Honest intervals are made for jumps; for a change of slope there is none."
        return Check(name=name, assumption=INTERVAL, verdict="information", text=text)
    rows, options = honest_rows(made), honest_options(design, made)
    try:
        found = honest(rows, options)
        fixed = _at_its_own(options, found)
        curve = honest_over(rows, np.outer(FACTORS, found.smoothness_of), fixed)
        breakdown = float(honest_breakdown(rows, fixed)[0])
        bound = _lower_bound(rows, options)
    except EstimationError as cause:
        text = f"No honest interval can be made. {cause}"
        return Check(name=name, assumption=INTERVAL, verdict="information", text=text)
    table = _curve(curve, sign_of(made, fitted(study).fit))
    used = float(found.smoothness_of[0])
    refuted = bound is not None and bound > used
    return Check(
        name=name,
        assumption=INTERVAL,
        verdict=_bend_verdict(refuted, breakdown, used),
        text=_bend_words(found, bound, breakdown, refuted),
        table=table,
        picture="smoothness",
    )


def _at_its_own(options: HonestOptions, found: Honest) -> HonestOptions:
    """The bandwidth of the interval, and bounds that grow together in proportion to those in use."""
    held = found.smoothness_of
    if held.size == 1:
        return replace(options, h=found.h, smoothness=float(held[0]))
    return replace(options, h=found.h, smoothness=(float(held[0]), float(held[1])))


def _lower_bound(rows: HonestRows, options: HonestOptions) -> float | None:
    """What the second derivative is at least, at the level of the intervals; None with too few scores."""
    try:
        return float(smoothness_bound(rows, curvature=options.curvature, level=options.level).low)
    except EstimationError:
        return None


def _curve(curve: list[Honest], sign: int) -> pd.DataFrame:
    rows = []
    for factor, item in zip(FACTORS, curve, strict=True):
        low, high = sorted((sign * item.low, sign * item.high))
        rows.append(
            {
                "label": f"{number(factor)} times",
                "at": float(item.smoothness_of[0]),
                "estimate": sign * item.estimate,
                "conf_low": low,
                "conf_high": high,
                "p_value": item.p_value,
                "largest_bias": item.max_bias,
                "bandwidth": item.h,
            }
        )
    return pd.DataFrame(rows)


def _bend_verdict(refuted: bool, breakdown: float, used: float) -> Verdict:
    if refuted:
        return "concern"
    return "supports" if breakdown >= 2 * used else "information"


def _bend_words(found: Honest, bound: float | None, breakdown: float, refuted: bool) -> str:
    used = number(float(found.smoothness_of[0]))
    source = "by a rule of thumb" if found.from_data else "as stated"
    text = f"The honest interval lets the second derivative of the outcome be at most {used} ({source})."
    if bound == 0:
        text += " The data refute no bound; they can never prove one."
    elif bound is not None:
        text += f" The data need at least {number(bound)}"
        text += ", so it is too small." if refuted else "; they can refute a bound and never prove one."
    if breakdown == 0:
        return text + " The interval holds no effect even if the outcome ran along straight lines."
    if np.isinf(breakdown):
        return text + " No bend tried would bring no effect into the interval."
    return text + f" Up to {number(breakdown)} the interval leaves out no effect."


def hidden_bias(study: Study) -> Check:
    """How strong a hidden difference between the sides would have to be to explain the result.

    Rosenbaum bounds (2002) of the rank test in the local randomisation window, as Cattaneo, Titiunik and
    Vazquez-Bare 2016. Where the rule is not always followed this is about the outcome by side.
    """
    name, design, made = "hidden differences between the sides", study.design, fitted(study).made
    try:
        window = lot_window(design, made)
        sample = lot_sample(made, window)
    except EstimationError as cause:
        text = f"Bounds for hidden differences need a window in which sides are as if by lot. {cause}"
        return Check(name=name, assumption=ALIKE, verdict="information", text=text)
    inside = (sample.score >= -window.left) & (sample.score <= window.right)
    if inside.sum() > MOST_BY_LOT:
        text = "Not made: the window holds more than three thousand rows. State a smaller one (window)."
        return Check(name=name, assumption=ALIKE, verdict="information", text=text)
    test = BiasTest(drawing=Drawing(draws=999, seed=int(design.seed)))
    ends = np.array([window.ends])
    found = hidden_bias_bounds(sample.score, sample.outcome, 0.0, ends, np.array(GAMMAS), test)
    columns = {"gamma": GAMMAS, "p_value_at_least": found.low[:, 0], "p_value_at_most": found.high[:, 0]}
    table = pd.DataFrame(columns)
    withstood = [
        gamma for gamma, high in zip(GAMMAS, found.high[:, 0], strict=True) if high < small_p(design)
    ]
    if not withstood or withstood[0] > 1:
        text = (
            "In the window sides do not differ beyond chance, so there is nothing that hidden bias could"
            " explain away."
        )
        verdict: Verdict = "information"
    else:
        text = (
            "The difference in the window could be explained by something hidden that makes one side"
            f" {_enough(withstood)} times as likely for some people as for others."
        )
        verdict = "supports" if max(withstood) >= HIDDEN else "information"
    return Check(
        name=name, assumption=ALIKE, verdict=verdict, text=text, table=table, picture="hidden differences"
    )


def _enough(withstood: list[float]) -> str:
    """The hidden difference that is enough, in words."""
    more = [gamma for gamma in GAMMAS if gamma > max(withstood)]
    return number(more[0]) if more else f"more than {number(GAMMAS[-1])}"


def shared_clusters(study: Study) -> Check:
    """How the standard error was made, and whether there are enough clusters on each side for it."""
    name, design, found = "standard error", study.design, fitted(study).fit
    words = {"nn": f"from the {design.neighbours:g} nearest neighbours", "hc": "from residuals"}
    text = f"Standard error {words.get(found.variance[:2], 'from clusters')} ({found.variance})."
    if design.cluster is None:
        text += " If people share a hospital or a practice, name that column as cluster."
        return Check(name=name, assumption=INTERVAL, verdict="information", text=text)
    fewest = int(found.groups.min())
    few = fewest < FEW_GROUPS
    text += f" It allows for '{design.cluster}', with {plural(fewest, 'cluster')} on the side with fewer."
    text += " That is few, so it is still too small." if few else ""
    verdict: Verdict = "concern" if few else "supports"
    return Check(name=name, assumption=INTERVAL, verdict=verdict, text=text)
