"""More than two arms: each pair of them compared by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from qieval.cohort_design import CohortDesign
from qieval.errors import DataError, DesignError, nearest
from qieval.progress import progress
from qieval.specifications import COLUMNS, SideBySide, attempt
from qieval.text import Count, Counted, listed, plural
from qieval.verbs import Data, _frame

MOST_ARMS = 12
"""More levels than this are hardly arms; they would make 78 pairs or more."""

WHOSE = "the treated"


def compare_arms(design: CohortDesign, data: Data, arm: str, arms: Sequence[Any] | None = None) -> SideBySide:
    """Compare more than two arms in pairs, each pair matched or weighted anew by the same design.

    arm: the column that says which arm a row is in; in each pair the later arm counts as the treated group
    and the earlier one as the comparison (`design.treated` is not read). arms: the arms to compare, with the
    usual care first; by default all in sorted order. Rows without an arm are refused or left out and counted,
    as `design.missing` says.

    The table has a row per pair with columns as in `specifications`, and first, second, rows in both
    (first_rows, second_rows) and p_holm: the p-value adjusted for the number of pairs (Holm 1979). **Each
    pair speaks for its own population** (with ATT: those who got the later arm and could be compared), so
    effects need not add up, and a difference between two pairs may be one of people, not of arms. Pairs of
    clinics, implants or drugs are usually compared so.

    Raises DesignError when `arm` is a covariate or the outcome, DataError for fewer than two arms or an arm
    that does not occur. A pair that cannot be compared keeps its row, with the reason.

    >>> import qieval as qe
    >>> people = qe.data.simulate_cohort(900, seed=2).frame
    >>> people["team"] = people["service"].map({0: "none", 1: "nurse"}).where(people.index % 3 > 0, "usual")
    >>> design = qe.Weighting(treated="team", covariates=("age", "frailty"), outcome="cost")
    >>> found = qe.compare_arms(design, people, "team", arms=("none", "usual", "nurse"))
    >>> found.table["label"].tolist()
    ['usual vs none', 'nurse vs none', 'nurse vs usual']
    """
    frame = _frame(data)
    stated = replace(design, treated=arm)
    levels, known = _arms(stated, frame, arm, arms)
    pairs = list(combinations(levels, 2))
    rows = [_pair(stated, frame[known], arm, pair) for pair in progress(pairs, "pairs of arms")]
    made = pd.DataFrame(rows, columns=["first", "second", "first_rows", "second_rows", *COLUMNS])
    made = made.astype({"treated_used": "Int64"})
    table = made.assign(p_holm=holm(made["p_value"].to_numpy(dtype=float)))
    order = ["label", *(name for name in table.columns if name not in ("label", "note")), "note"]
    return SideBySide(design, table[order], "Arms compared in pairs", _said(len(pairs), frame, known))


def holm(p: np.ndarray) -> np.ndarray:
    """p-values adjusted for their number by Holm's step-down rule; NaN stay NaN and do not count.

    >>> holm(np.array([0.01, 0.04, 0.03])).round(2).tolist()
    [0.03, 0.06, 0.06]
    """
    adjusted = np.full(p.shape, np.nan)
    order = np.flatnonzero(~np.isnan(p))
    order = order[np.argsort(p[order], kind="stable")]
    steps = np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1))
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


def _arms(
    design: CohortDesign, frame: pd.DataFrame, arm: str, arms: Sequence[Any] | None
) -> tuple[list[Any], np.ndarray]:
    """The arms in order, and the rows that have one of them."""
    if arm not in frame.columns:
        raise DataError(f"arm: there is no column '{arm}' in the data.{nearest(arm, frame.columns)}")
    held = frame[arm]
    if (empty := int(held.isna().sum())) and design.missing == "refuse":
        raise DataError(
            f"arm: '{arm}' is empty in {plural(empty, 'row')}, so it is unclear whom they compare with. Fill"
            " them in, or set missing='complete cases' to leave these rows out and have them counted."
        )
    found = sorted(held.dropna().unique().tolist(), key=lambda level: (str(type(level)), level))
    if isinstance(arms, str):
        raise DesignError("arms: one arm has nothing to be compared with. Name at least two, in a list.")
    levels = found if arms is None else list(dict.fromkeys(arms))
    if absent := [level for level in levels if level not in found]:
        raise DataError(
            f"arms: {listed(map(repr, absent))} {'does' if len(absent) == 1 else 'do'} not occur in '{arm}'."
            f"{nearest(str(absent[0]), found)} It holds {listed(found, MOST_ARMS)}."
        )
    if len(levels) < 2:
        raise DataError(
            f"arm: '{arm}' holds {plural(len(levels), 'arm')}, and a comparison needs two or more."
        )
    if len(levels) > MOST_ARMS:
        raise DataError(
            f"arm: '{arm}' holds {len(levels):,} different values, too many to compare in pairs (at most"
            f" {MOST_ARMS}). Group them, or name the arms that matter: arms=[...]."
        )
    return levels, held.isin(levels).to_numpy()


def _pair(design: CohortDesign, frame: pd.DataFrame, arm: str, pair: tuple[Any, Any]) -> dict[str, Any]:
    first, second = pair
    rows = frame[frame[arm].isin(pair)]
    coded = rows.assign(**{arm: (rows[arm] == second).astype(int)})
    row = attempt(f"{second} vs {first}", coded, design)
    if "estimand" in row:
        whose = f"those with {arm} = {second}"
        row["estimand"] = row["estimand"].replace("the comparison group", f"those with {arm} = {first}")
        row["estimand"] = row["estimand"].replace(WHOSE, whose).replace("everybody", "both arms")
    counts = {"first_rows": (rows[arm] == first).sum(), "second_rows": (rows[arm] == second).sum()}
    return row | {"first": first, "second": second} | {name: int(held) for name, held in counts.items()}


def _said(pairs: int, frame: pd.DataFrame, known: np.ndarray) -> tuple[str, ...]:
    notes = [
        "Each pair speaks for its own people, so effects of different pairs need not add up and are not ranks"
        " of arms.",
        f"p_holm is adjusted for {plural(pairs, 'pair')}.",
    ]
    if left := len(frame) - int(known.sum()):
        notes.append(
            Counted("{rows} rows were left out: no arm, or one that is not compared.", rows=Count(left))
        )
    return tuple(notes)
