"""Whether people pile up on one side of the cutoff: the density of the score and plain counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from qieval.check import Check, Verdict
from qieval.diagnostics.cutoff_rows import FEWEST_DESCRIBED, SORTING, counted, holm, small_p, uncounted
from qieval.discontinuous.local import MASS, Discontinuous
from qieval.numerics.density_jump import DensityChoices, DensityJump, binomial_windows, density_jump
from qieval.numerics.local_randomisation_windows import binomial_p_value
from qieval.text import number

FEW_VALUES = 20
"""With fewer different scores on a side within the bandwidth the density is hardly known."""
FEW_PEOPLE = 100
"""With fewer people on a side within the bandwidth no jump seen says little."""
FEWEST = 20
"""People on each side in the smallest window that is counted."""
WINDOWS = 10
UNEQUAL_P, UNEQUAL = 0.01, 1.5
"""Counts are unequal if chance would rarely make them so and one side has half as many again."""
ALLOWED, PLAIN = "allowing for repeated scores", "as if no score were repeated"


def density(design: Any, made: Discontinuous) -> Check:
    """Whether the density of the score jumps at the cutoff (Cattaneo, Jansson and Ma 2020)."""
    name = "density at the cutoff"
    if made.data.weights is not None:
        return uncounted(name, SORTING)
    try:
        first = density_jump(made.s)
        found = {ALLOWED if first.mass_points else "density": first}
        if first.mass_points:
            found[PLAIN] = density_jump(made.s, choices=DensityChoices(mass_points=False))
    except ValueError as cause:
        text = f"The density could not be compared: {cause}."
        return Check(name=name, assumption=SORTING, verdict="information", text=text)
    table = pd.DataFrame([_density_row(design, made, label, item) for label, item in found.items()])
    few = _fewest_values(made.s, first)
    if not np.isfinite(first.p_value):
        text = "With so few different scores on a side the density at the cutoff cannot be estimated."
        return Check(name=name, assumption=SORTING, verdict="information", text=text)
    if min(first.n_window) < FEWEST_DESCRIBED:
        text = "Too few people lie near the cutoff to compare densities."
        return Check(name=name, assumption=SORTING, verdict="information", text=text)
    text = (
        f"The density of the score is {number(table['density_below'][0])} just below the cutoff and"
        f" {number(table['density_above'][0])} just above (p = {number(first.p_value, 2)})."
    )
    text += _caveat(made.s, table, few, small_p(design))
    thin = min(first.n_window) < FEW_PEOPLE or min(first.left, first.right) < 0
    if thin:
        text += " With so few people near the cutoff that says little."
    verdict = _density_verdict(table, few < FEW_VALUES or thin, small_p(design))
    return Check(
        name=name,
        assumption=SORTING,
        verdict=verdict,
        text=text,
        table=table,
    )


def _density_row(design: Any, made: Discontinuous, label: str, found: DensityJump) -> dict[str, Any]:
    """A test as a row, below and above the cutoff as scores go."""
    turn = made.toward
    heights, widths, counts = (found.left, found.right)[::turn], found.h[::turn], found.n_window[::turn]
    return {
        "label": label,
        "density_below": heights[0],
        "density_above": heights[1],
        "difference": turn * found.difference,
        "std_error": float(found.standard_errors[2]),
        "p_value": found.p_value,
        "bandwidth_below": widths[0],
        "bandwidth_above": widths[1],
        "people_below": counted(design, counts[0]),
        "people_above": counted(design, counts[1]),
    }


def _density_verdict(table: pd.DataFrame, thin: bool, small: float) -> Verdict:
    if float(table["p_value"].iloc[0]) < small:
        return "concern"
    doubtful = thin or bool((table["p_value"] < small).any())
    return "information" if doubtful else "supports"


def _fewest_values(s: np.ndarray, found: DensityJump) -> int:
    left = np.unique(s[(s < 0) & (s >= -found.h[0])])
    right = np.unique(s[(s >= 0) & (s <= found.h[1])])
    return min(len(left), len(right))


def _caveat(s: np.ndarray, table: pd.DataFrame, few: int, small: float) -> str:
    """What repeated scores mean for the test, in words."""
    text = ""
    if len(table) > 1:
        repeated = 1 - len(np.unique(s)) / len(s)
        text += (
            f" The score repeats ({repeated:.0%} of people share somebody else's), and the test allows for"
            f" that; without allowing for it p = {number(float(table['p_value'].iloc[1]), 2)}."
        )
        if table["p_value"].iloc[1] < small <= table["p_value"].iloc[0]:
            text += " The two disagree, as they do where single scores hold many people: see heaping."
    if few < FEW_VALUES:
        text += " With so few different scores on a side within the bandwidth the test has little to go on."
    return text


def counts(design: Any, made: Discontinuous) -> Check:
    """How many people lie just on either side, with exact binomial tests in growing windows.

    With a score of few values windows hold equally many different scores on either side, so that a window is
    not wider on the side of the cutoff itself.
    """
    name = "counts beside the cutoff"
    if made.data.weights is not None:
        return uncounted(name, SORTING)
    table = _windows(design, made)
    if table.empty:
        text = "No window around the cutoff holds twenty people on each side."
        return Check(name=name, assumption=SORTING, verdict="information", text=text)
    p = holm(table["p_value"].to_numpy())
    pairs = table[["people_below", "people_above"]].to_numpy(dtype=float)
    fewer, more = pairs.min(axis=1), pairs.max(axis=1)
    uneven = (more > UNEQUAL * np.maximum(fewer, 1)) & (p < UNEQUAL_P)
    verdict: Verdict = "supports" if fewer.max() >= FEWEST else "information"
    shown = int(np.argmax(uneven if uneven.any() else fewer >= FEWEST))
    text = _count_words(made, table.iloc[shown])
    if uneven.any():
        verdict = "concern"
        text += " People, or those who record them, seem to place scores on one side."
    elif verdict == "information":
        text += " Too few people lie there to say much."
    if design.units_are == "people":
        table["p_value"] = table["p_value"].where(fewer >= FEWEST_DESCRIBED)
    return Check(name=name, assumption=SORTING, verdict=verdict, text=text, table=table)


def _count_words(made: Discontinuous, row: pd.Series[Any]) -> str:
    """A window in words, without what a small number of people could be worked out from."""
    below, above = int(row["people_below"]), int(row["people_above"])
    place = "at or above" if made.toward > 0 else "above"
    reach = f"{number(float(row['reach_below']))} below and {number(float(row['reach_above']))} above"
    if min(below, above) < FEWEST_DESCRIBED:
        side = place if above > below else "on the lower side of"
        return f"Within {reach} the cutoff most people lie {side} it."
    return (
        f"Within {reach} the cutoff {above / (below + above):.0%} of people lie {place} it (an even split"
        f" would be this uneven with p = {number(float(row['p_value']), 2)})."
    )


def _windows(design: Any, made: Discontinuous) -> pd.DataFrame:
    """Growing windows: reach, people below and above the cutoff, and the p-value of an even split."""
    s = made.s
    repeated = 1 - len(np.unique(s)) / len(s)
    if repeated >= MASS:
        reach, n = _by_support(s)
    else:
        try:
            found = binomial_windows(s, 0.0, density_jump(s).h, rows=FEWEST, windows=WINDOWS)
        except ValueError:
            return pd.DataFrame()
        reach, n = found.window, found.n
    turn = made.toward
    rows = [
        {
            "reach_below": float(window[::turn][0]),
            "reach_above": float(window[::turn][1]),
            "people_below": counted(design, pair[::turn][0]),
            "people_above": counted(design, pair[::turn][1]),
            "p_value": binomial_p_value(int(pair[0]), int(pair[1])),
        }
        for window, pair in zip(reach, n, strict=True)
    ]
    return pd.DataFrame(rows)


def _by_support(s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Windows (k, 2) of as many different scores on the left as on the right, and people in them."""
    left, many_left = np.unique(-s[s < 0], return_counts=True)
    right, many_right = np.unique(s[s >= 0], return_counts=True)
    most = min(len(left), len(right))
    total = np.cumsum(np.column_stack([many_left[:most], many_right[:most]]), axis=0)
    enough = np.flatnonzero(total.max(axis=1) >= FEWEST)
    if not len(enough):
        return np.zeros((0, 2)), np.zeros((0, 2), dtype=int)
    step = int(enough[0]) + 1
    places = (step * np.arange(1, WINDOWS + 1) - 1)[: most // step]
    return np.column_stack([left[places], right[places]]), total[places]
