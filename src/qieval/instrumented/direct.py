"""How large a direct effect of the instrument on the outcome would have to be to change the conclusion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from qieval.instrumented.fit import FirstStage
from qieval.numerics.instruments_exclusion import MOST, Breakdown, Exclusion, Union, exclusion

POINTS = 31
SHOWN = 6
"""Instruments that get a curve of their own."""


@dataclass(frozen=True, eq=False, kw_only=True)
class DirectEffects:
    """The estimate as a function of direct effects (Conley, Hansen and Rossi 2012).

    breakdowns (k): for each instrument, the direct effects at which the interval takes in no effect, with
    those of the others at zero. union: all intervals while no direct effect exceeds `largest`; None where
    none is stated. curve: columns instrument, direct_effect, estimate, conf_low, conf_high.
    """

    exclusion: Exclusion
    names: tuple[str, ...]
    breakdowns: tuple[Breakdown, ...]
    union: Union | None
    curve: pd.DataFrame


def direct_effects(design: Any, first: FirstStage) -> DirectEffects:
    """Direct effects of instruments in the data of a first stage; EstimationError where there is no fit."""
    made, k = first.made, first.parts.k
    fit = exclusion(made.y, made.x, first.kept, made.controls, made.weights, made.data.cluster)
    units = np.eye(k)
    breakdowns = tuple(fit.breakdown(unit, 0.0, design.level) for unit in units)
    largest = float(design.direct_effect)
    union = None
    if largest and k <= MOST:
        union = fit.union(np.full(k, -largest), np.full(k, largest), design.level)
    curves = [
        _curve(fit, first.names[j], units[j], _reach(design, first, breakdowns[j], j), design.level)
        for j in range(min(k, SHOWN))
    ]
    return DirectEffects(
        exclusion=fit,
        names=first.names,
        breakdowns=breakdowns,
        union=union,
        curve=pd.concat(curves, ignore_index=True),
    )


def _reach(design: Any, first: FirstStage, found: Breakdown, j: int) -> float:
    """How far a curve is drawn either side of zero."""
    reduced = first.reduced.equation(0)
    near = min(-found.low, found.high)
    wide = [
        float(design.direct_effect),
        2 * abs(float(reduced.coefficients[j])),
        2 * float(reduced.errors[j]),
    ]
    return max([*wide, 1.5 * near if np.isfinite(near) else 0.0])


def _curve(fit: Exclusion, name: str, unit: np.ndarray, reach: float, level: float) -> pd.DataFrame:
    found = fit.curve(unit, np.linspace(-reach, reach, POINTS), level)
    return pd.DataFrame(
        {
            "instrument": name,
            "direct_effect": found.at,
            "estimate": found.estimate,
            "conf_low": found.low,
            "conf_high": found.high,
        }
    )
