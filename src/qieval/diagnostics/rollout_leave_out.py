"""Does one cohort or one cluster decide the result of a roll-out?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from qieval.check import Check, Verdict
from qieval.diagnostics.rollout_rows import NO_ONE_DECIDES, altered, cohort_names, reach, scaled
from qieval.progress import progress
from qieval.result import Study
from qieval.rollout.effects import Effects
from qieval.rollout.panel import Rollout
from qieval.text import listed, number

MOST_COHORTS = 40
MOST_CLUSTERS = 60
LARGE_DATA = 200_000
MOST_SLOW = 25
MOST_LARGE = 15
"""So many cohorts or clusters are left out at most (fewer where each estimate takes long)."""
SHOWN = 12


def leave_one_cohort_out(study: Study) -> Check:
    """The estimate without each cohort in turn."""
    name = "leave one cohort out"
    rollout: Rollout = study.panel
    if len(rollout.starts) == 1:
        text = "All units that begin do so in the same period, so there is no cohort to leave out."
        return Check(name=name, assumption=NO_ONE_DECIDES, verdict="information", text=text)
    chosen = _chosen(np.arange(len(rollout.starts)), _most(rollout, MOST_COHORTS), study.design.seed)
    names = cohort_names(rollout)
    rows = [
        altered(study, f"without those that {names[place]}", rollout.first != rollout.starts[place])
        for place in progress(chosen, name)
    ]
    which = (
        "each cohort" if len(chosen) == len(rollout.starts) else f"each of {len(chosen)} cohorts drawn by lot"
    )
    return _without(study, name, rows, which, "cohort")


def leave_one_cluster_out(study: Study) -> Check:
    """The estimate without each cluster in turn; of many, the most influential or a part by lot."""
    name = "leave one cluster out"
    rollout: Rollout = study.panel
    codes = np.unique(rollout.cluster)
    ever = np.unique(rollout.cluster[np.isfinite(rollout.first)])
    if len(ever) == 1:
        text = "Only one cluster begins, so the estimate rests on it entirely and nothing can be left out."
        return Check(name=name, assumption=NO_ONE_DECIDES, verdict="concern", text=text)
    slow = (
        study.design.approach == "poisson"
        or rollout.began is None
        or study.design.unbalanced == "cross-sections"
    )
    most = _most(rollout, MOST_SLOW if slow else MOST_CLUSTERS)
    influence = _influence(rollout, study.result.kernel)
    if len(codes) <= most:
        chosen, which = codes, "each cluster"
    elif influence is not None:
        found, size = influence
        chosen = found[np.argsort(-size, kind="stable")[:most]]
        which = f"each of the {len(chosen)} clusters with the largest influence"
    else:
        chosen = _chosen(codes, most, study.design.seed)
        which = f"each of {len(chosen)} clusters of {len(codes):,} drawn by lot"
    rows = [
        altered(study, _label(study, int(code)), rollout.cluster != code) for code in progress(chosen, name)
    ]
    return _without(study, name, rows, which, "cluster")


def _most(rollout: Rollout, most: int) -> int:
    return most if len(rollout) <= LARGE_DATA else min(most, MOST_LARGE)


def _chosen(codes: np.ndarray, most: int, seed: int) -> np.ndarray:
    if len(codes) <= most:
        return codes
    return np.sort(np.random.default_rng(seed).choice(codes, most, replace=False))


def _influence(rollout: Rollout, effects: Effects) -> tuple[np.ndarray, np.ndarray] | None:
    """Clusters and the size of their influence on the mean effect from the start on, where it is known."""
    if effects.cells is None:
        return None
    units = rollout.units if effects.units is None else effects.units
    if effects.cells.n != len(units):
        return None
    clusters = rollout.of_units(rollout.cluster)[rollout.units.get_indexer(units)]
    post = effects.post & np.isfinite(effects.estimate)
    weight = effects.n_treated * post
    codes, place = np.unique(clusters, return_inverse=True)
    return codes, np.abs(np.bincount(place, effects.cells.influence @ (weight / weight.sum())))


def _label(study: Study, code: int) -> str:
    """The name of an organisation, or a number in place of a person."""
    design = study.design
    if design.units_are == "people":
        return f"without cluster {code + 1}"
    first = study.panel.row[np.argmax(study.panel.cluster == code)]
    return f"without {study.frame[design.cluster or design.unit].iloc[first]}"


def _without(study: Study, name: str, rows: list[dict[str, Any]], which: str, what: str) -> Check:
    """The verdict on estimates without one part each."""
    every = pd.DataFrame(rows)
    values = np.array([scaled(row) for row in rows], dtype=float)
    if not np.isfinite(values).any():
        text = f"Without {which} in turn there is no estimate at all: {every['note'].iloc[0]}"
        return Check(name=name, assumption=NO_ONE_DECIDES, verdict="concern", text=text)
    estimate, error = scaled(study.overall), float(study.overall["std_error"])
    shift = np.where(np.isfinite(values), np.abs(values - estimate), -1.0)
    turned = bool((values * estimate <= 0).any()) and estimate != 0
    moved = bool((shift > error).any())
    worst = str(every["label"].iloc[int(shift.argmax())])
    text = (
        f"Without {which} in turn the estimate runs from {reach(every['estimate'].to_numpy(dtype=float))}"
        f" (all: {number(float(study.overall['estimate']))})"
    ).replace(" runs from ", " is " if every["estimate"].nunique() == 1 else " runs from ")
    text += _judged(turned, moved, what, worst)
    lost = every.loc[every["estimate"].isna(), "label"]
    if len(lost):
        text += f" No estimate {listed(lost, 3)}: the result needs {'it' if len(lost) == 1 else 'them'}."
    order = np.argsort(-shift, kind="stable")[:SHOWN]
    return Check(
        name=name,
        assumption=NO_ONE_DECIDES,
        verdict=_verdict(turned, moved, len(lost) > 0, what),
        text=text,
        table=every.iloc[order].drop(columns="std_error").reset_index(drop=True),
        picture="intervals",
    )


def _verdict(turned: bool, moved: bool, lost: bool, what: str) -> Verdict:
    if turned or (moved and what == "cluster"):
        return "concern"
    return "information" if moved or lost else "supports"


def _judged(turned: bool, moved: bool, what: str, worst: str) -> str:
    if turned:
        return f": leaving out one {what} is enough to change its direction ({worst})."
    if moved and what == "cohort":
        return (
            f", and moves by more than a standard error {worst}: effects differ between cohorts, so say for"
            " whom the average speaks."
        )
    if moved:
        return f": one cluster moves it by more than a standard error ({worst})."
    return f"; no {what} moves it by more than a standard error."
