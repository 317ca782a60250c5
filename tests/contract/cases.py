"""One case per method of the catalogue: a design, data that fit it, and how to relabel and shift them."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

import qieval as qe
from qieval.design import Design


@dataclass(frozen=True, kw_only=True)
class Case:
    """A design with its data. `relabel` renames units; `shift` moves the dates of data and design alike."""

    design: Design
    data: pd.DataFrame
    outcome: str
    relabel: Callable[[pd.DataFrame], pd.DataFrame]
    shift: Callable[[Design, pd.DataFrame], tuple[Design, pd.DataFrame]]


def _did() -> Case:
    data = qe.simulate_panel(n_units=30, n_periods=8, n_treated=12, effect=1.5, rho=0.4, seed=3)
    data["age"] = 60 + data["unit"] % 7 + 0.3 * data["time"] * (data["unit"] % 3)
    design = qe.DifferenceInDifferences(
        outcome="y",
        unit="unit",
        time="time",
        treated="treated",
        start=4,
        covariates=("age",),
        draws=199,
        arguments={"no spillover": "the practices share no staff"},
        events={"5": "a new tariff in all practices"},
    )
    names = {unit: f"practice {(unit * 17) % 31:02d}" for unit in range(30)}
    return Case(
        design=design,
        data=data,
        outcome="y",
        relabel=lambda frame: frame.assign(unit=frame["unit"].map(names)),
        shift=lambda stated, frame: (
            replace(stated, start=stated.start + 11, events={"16": "a new tariff in all practices"}),
            frame.assign(time=frame["time"] + 11),
        ),
    )


CASES: dict[str, Callable[[], Case]] = {"DifferenceInDifferences": _did}


def poisoned(frame: pd.DataFrame, rows: np.ndarray, column: str, value: object) -> pd.DataFrame:
    """The frame with `value` in place of a column's values at some rows."""
    spoiled = frame.astype({column: object})
    spoiled.loc[rows, column] = value
    return spoiled
