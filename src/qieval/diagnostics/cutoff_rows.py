"""What the checks of a regression discontinuity share: estimates as rows, and what they agree on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy

from qieval.check import Check, Verdict
from qieval.discontinuous.local import Discontinuous
from qieval.discontinuous.ways import Fitted, Way
from qieval.errors import EstimationError
from qieval.numerics.discontinuity import Discontinuity, Estimates
from qieval.result import NO_FIGURES, Study
from qieval.text import Count, number

RULE = "the rule moved who received the intervention"
SORTING = "nobody could choose their side"
HEAPING = "scores are not rounded in a way that matters"
ALIKE = "people on either side are alike"
NOTHING_ELSE = "nothing else changes at the cutoff"
FORM = "the outcome is smooth and described well near the cutoff"
ENOUGH = "enough people and different scores near the cutoff"
INTERVAL = "the interval allows for the error of the lines"
LOCAL = "speaks only for people near the threshold"

AS_DESIGNED = "as designed"
ROBUST = 2
"""The place of the robust row among the three rows of an estimate."""
FEWEST_DESCRIBED = 10
"""Means of fewer people than this are not shown, since they would describe persons."""

Row = dict[str, Any]


def small_p(design: Any) -> float:
    """The p-value that goes with the level of the intervals."""
    return 1 - float(design.level)


def uncounted(name: str, assumption: str) -> Check:
    """The answer of a check that counts rows where rows carry weights, so stand for other numbers."""
    text = "Rows carry weights, and this check counts rows, so it was not made."
    return Check(name=name, assumption=assumption, verdict="information", text=text)


def fitted(study: Study) -> Fitted:
    """The fit of the result."""
    kernel: Fitted = study.result.kernel
    return kernel


def sign_of(made: Discontinuous, found: Discontinuity) -> int:
    """What turns right less left into the effect of the intervention: nothing, where uptake divides it."""
    return 1 if found.uptake is not None else made.turn


def row_of(label: str, found: Estimates, sign: int) -> Row:
    """The robust estimate as a row, signed as the effect of the intervention."""
    low, high = sorted((sign * float(found.low[ROBUST]), sign * float(found.high[ROBUST])))
    return {
        "label": label,
        "estimate": sign * float(found.estimate[ROBUST]),
        "conf_low": low,
        "conf_high": high,
        "p_value": float(found.p_value[ROBUST]),
        "note": "",
    }


def way_row(way: Way, label: str = "") -> Row:
    """A way to say how sure as a row."""
    figures = {"estimate": way.estimate, "conf_low": way.low, "conf_high": way.high, "p_value": way.p_value}
    return {"label": label or way.kind, **figures, "note": ""}


def attempted(label: str, make: Callable[[], Row]) -> Row:
    """A row, or the reason as its note where there is no estimate."""
    try:
        return make()
    except EstimationError as cause:
        return {"label": label, **NO_FIGURES, "note": str(cause)}


def stated(study: Study) -> Row:
    """The robust effect of the design as it is, as a difference."""
    held = fitted(study)
    return row_of(AS_DESIGNED, held.fit, sign_of(held.made, held.fit))


def tabled(rows: Iterable[Row]) -> pd.DataFrame:
    """Rows as a table; the notes only where there are any."""
    table = pd.DataFrame(list(rows))
    return table.drop(columns="note") if "note" in table and not table["note"].any() else table


def said(row: Any) -> str:
    """An estimate with its interval."""
    if not np.isfinite(row["estimate"]):
        return "not available"
    return f"{number(row['estimate'])} ({number(row['conf_low'])} to {number(row['conf_high'])})"


def conclusion(row: Any) -> int:
    """What an interval leaves: -1 lower, 1 higher, 0 not told from no effect."""
    return int(row["conf_low"] > 0) - int(row["conf_high"] < 0)


def agreement(table: pd.DataFrame, level: float) -> Verdict:
    """Whether the first row, the design as it is, agrees with the others.

    concern: another row's interval leaves out the estimate of the first, or two intervals lie on different
    sides of no effect. supports: all leave out no effect on the same side, or none does and estimates lie
    close together. Otherwise, and without others, information.
    """
    known = table.dropna(subset=["estimate", "conf_low", "conf_high"])
    if len(known) < 2 or known.index[0] != table.index[0]:
        return "information"
    first, rest = known.iloc[0], known.iloc[1:]
    apart = (rest["conf_low"] > first["estimate"]) | (rest["conf_high"] < first["estimate"])
    concluded = {conclusion(row) for _, row in known.iterrows()}
    if apart.any() or {-1, 1} <= concluded:
        return "concern"
    alike = len(concluded) == 1 and (0 not in concluded or close(known, level))
    return "supports" if alike else "information"


def close(table: pd.DataFrame, level: float) -> bool:
    """Whether all estimates lie within one standard error of the first row of each other."""
    first = table.iloc[0]
    error = (first["conf_high"] - first["conf_low"]) / (2 * scipy.special.ndtri((1 + level) / 2))
    return bool(np.ptp(table["estimate"].dropna().to_numpy(dtype=float)) < error)


def imprecise(table: pd.DataFrame, level: float) -> str:
    """What is said where estimates agree only because no interval leaves out no effect."""
    known = table.dropna(subset=["estimate", "conf_low", "conf_high"])
    if len(known) < 2 or any(conclusion(row) for _, row in known.iterrows()):
        return ""
    return " They agree, but none is precise." if close(known, level) else " None of them is precise."


def span(table: pd.DataFrame) -> str:
    """From the lowest to the highest estimate in words, and how many intervals exclude no effect."""
    known = table.dropna(subset=["estimate"])
    if known.empty:
        return "no estimate could be made"
    clear = sum(conclusion(row) != 0 for _, row in known.iterrows())
    low, high = number(float(known["estimate"].min())), number(float(known["estimate"].max()))
    return f"from {low} to {high}; {clear} of {len(known)} intervals leave out no effect"


def not_made(table: pd.DataFrame) -> str:
    """How many rows have no estimate, in words."""
    gone = int(table["estimate"].isna().sum())
    if not gone:
        return ""
    return f" {gone} of {len(table)} could not be estimated; the table says why."


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """p-values allowing for their number (Holm 1979), NaN kept.

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=float)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    found = np.full(len(p), np.nan)
    found[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return found


def counted(design: Any, n: Any) -> int:
    """A number of rows, as one of people where rows are people."""
    return Count(int(n)) if design.units_are == "people" else int(n)


def jump_words(design: Any) -> str:
    """What is estimated at the cutoff."""
    return "change of slope" if design.derivative else "jump"
