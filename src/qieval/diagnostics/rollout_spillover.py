"""What the estimate would be without comparison units that the intervention may have reached; and whether the
covariates themselves moved."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from qieval.check import Check
from qieval.diagnostics.rollout_rows import (
    AS_DESIGNED,
    COMPOSITION,
    RATIOS,
    SPILLOVER,
    altered,
    reach,
    said,
    stated,
)
from qieval.progress import progress
from qieval.result import Study
from qieval.rollout.panel import Rollout
from qieval.text import listed, number

SHARES = (0.25, 0.5)
"""Exclusion zones that take away about these shares of the never-treated units that have a distance."""


def spillover_zones(study: Study) -> Check:
    """The estimate with several exclusion zones, and with and without neighbours."""
    name, design = "spillover zones", study.design
    if design.distance is None and design.neighbour is None:
        text = (
            "No column says how near comparison units are to those with the intervention (distance,"
            " neighbour), so the data are silent about spillover."
        )
        return Check(name=name, assumption=SPILLOVER, verdict="information", text=text)
    rows = [stated(study, _as_designed(design))]
    rows += [altered(study, label, **way) for label, way in progress(_zones(study), name)]
    table = pd.DataFrame(rows)
    values = table["estimate"].iloc[1:].to_numpy(dtype=float)
    if not np.isfinite(values).any():
        text = "No other exclusion zone gives an estimate; the table says why."
        return Check(name=name, assumption=SPILLOVER, verdict="information", text=text, table=table)
    text = (
        f"With other exclusion zones the estimate is {reach(values)} (as designed: {said(rows[0])}). If the"
        " intervention reached nearby comparison units, leaving more of them out would move the estimate away"
        " from zero; but near and distant units may also differ in other ways."
    )
    return Check(
        name=name,
        assumption=SPILLOVER,
        verdict="information",
        text=text,
        table=table.drop(columns="std_error"),
        picture="intervals",
    )


def _as_designed(design: Any) -> str:
    parts = []
    if design.distance is not None:
        parts.append(
            f"never-treated nearer than {design.exclusion:g} left out" if design.exclusion else "no zone"
        )
    if design.neighbour is not None:
        parts.append("neighbours left out")
    return f"{AS_DESIGNED} ({', '.join(parts)})"


def _zones(study: Study) -> list[tuple[str, dict[str, Any]]]:
    design = study.design
    ways: list[tuple[str, dict[str, Any]]] = []
    if design.neighbour is not None:
        ways.append(("neighbours kept as comparison", {"neighbour": None}))
    if design.distance is not None:
        radii = [radius for radius in _radii(study) if radius != design.exclusion]
        ways += [
            (f"nearer than {radius:g} left out" if radius else "no zone", {"exclusion": radius})
            for radius in radii
        ]
    return ways


def _radii(study: Study) -> list[float]:
    """No zone, half and twice the one stated, and zones that take away shares of those who never begin."""
    rollout: Rollout = study.panel
    exclusion = float(study.design.exclusion)
    found = {0.0, exclusion, exclusion / 2, 2 * exclusion}
    never = rollout.row[np.isinf(rollout.first)]
    held = pd.to_numeric(study.frame[study.design.distance].iloc[never], errors="coerce").to_numpy(
        dtype=float
    )
    held = held[np.isfinite(held)]
    if held.size:
        found |= {float(number(value).replace(",", "")) for value in np.quantile(held, SHARES)}
    return sorted(found)


def covariates_as_outcomes(study: Study) -> Check:
    """The effect on each numeric covariate that changes over time; there should be none."""
    name, design = "covariates as outcomes", study.design
    names = _changing(study)
    if not names:
        text = "No numeric covariate changes over time, so none can show that those observed changed."
        return Check(name=name, assumption=COMPOSITION, verdict="information", text=text)
    plain: dict[str, Any] = {"covariates": (), "exposure": None}
    if design.approach in RATIOS:
        plain["approach"] = "group-time"
    rows = [altered(study, each, outcome=each, **plain) for each in progress(names, name)]
    table = pd.DataFrame(rows).drop(columns="std_error")
    tried = table.dropna(subset=["p_value"])
    moved = tried.loc[tried["p_value"] * len(tried) < 1 - design.level, "label"].tolist()
    return Check(
        name=name,
        assumption=COMPOSITION,
        verdict="concern" if moved else "supports" if len(tried) else "information",
        text=_moved_said(design, moved, names, len(tried)),
        table=table,
        picture="intervals" if len(tried) else None,
    )


def _moved_said(design: Any, moved: list[str], names: list[str], tried: int) -> str:
    if not tried:
        return "No covariate could be looked at as an outcome; the table says why."
    if not moved:
        return f"None of the covariates that change over time ({listed(names)}) changed with the start."
    used = (
        "The estimate uses their value before the start, so what the intervention changed does no harm; a"
        " change in who is observed does."
        if design.approach == "group-time"
        else "This approach adjusts for their values after the start, which takes away part of the effect if"
        " the intervention changed them."
    )
    return (
        f"After the start these covariates changed differently in units that began: {listed(moved)}. {used}"
    )


def _changing(study: Study) -> list[str]:
    """Numeric covariates that change over time within units (all numeric ones in repeated cross-sections)."""
    rollout: Rollout = study.panel
    found = []
    for name in study.design.covariates:
        column = study.frame[name].iloc[rollout.row]
        if not pd.api.types.is_numeric_dtype(column):
            continue
        held = column.to_numpy(dtype=float)
        if rollout.began is None or not (held == rollout.of_units(held)[rollout.unit]).all():
            found.append(name)
    return found
