"""One case per method of the catalogue: a design, data that fit it, and how to relabel and shift them."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

import qieval as qe
from qieval.design import Design


@dataclass(frozen=True, kw_only=True)
class Case:
    """A design with its data. `relabel` renames units; `shift` moves the dates of data and design alike.

    `closed` marks the rows whose outcome must not be looked at while the design is being settled.
    """

    design: Design
    data: pd.DataFrame
    outcome: str
    relabel: Callable[[pd.DataFrame], pd.DataFrame]
    shift: Callable[[Design, pd.DataFrame], tuple[Design, pd.DataFrame]]
    closed: np.ndarray


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
        closed=(data["time"] >= 4).to_numpy(),
    )


def _people(seed: int = 5, n: int = 240) -> pd.DataFrame:
    """People with three characteristics that lead to the service and bear on the outcome."""
    rng = np.random.default_rng(seed)
    age, frailty = rng.normal(70, 8, n), rng.gamma(2.0, 1.0, n)
    sex = np.where(rng.random(n) < 0.5, "female", "male")
    propensity = 1 / (1 + np.exp(-(-1.2 + 0.05 * (age - 70) + 0.4 * (frailty - 2))))
    service = (rng.random(n) < propensity).astype(int)
    start = pd.Timestamp("2022-04-01") + pd.to_timedelta(rng.integers(0, 90, n), unit="D")
    return pd.DataFrame(
        {
            "person": np.arange(n),
            "service": service,
            "age": age,
            "frailty": frailty,
            "sex": sex,
            "index_date": start,
            "assessed": start - pd.Timedelta(days=30),
            "y": 2.0 + 0.1 * age + frailty + service + rng.normal(0, 1, n),
            "eyes": 1.0 + 0.02 * age + rng.normal(0, 1, n),
        }
    )


def _comparison(design: type[Design], **fields: object) -> Case:
    data = _people()
    stated = design(
        outcome="y",
        treated="service",
        covariates=("age", "frailty", "sex"),
        person="person",
        start="index_date",
        measured={"frailty": "assessed"},
        negative_controls=("eyes",),
        subgroups=("sex",),
        arguments={"no spillover": "the teams work in different places"},
        **fields,
    )
    return Case(
        design=stated,
        data=data,
        outcome="y",
        relabel=lambda frame: frame.assign(
            person=frame["person"].map(lambda old: f"p{(old * 17) % 241:03d}")
        ),
        shift=lambda held, frame: (
            held,
            frame.assign(
                **{name: frame[name] + pd.Timedelta(days=400) for name in ("index_date", "assessed")}
            ),
        ),
        closed=np.ones(len(data), dtype=bool),
    )


CASES: dict[str, Callable[[], Case]] = {
    "DifferenceInDifferences": _did,
    "Matching": lambda: _comparison(qe.Matching, caliper=0.3),
    "GeneticMatching": lambda: _comparison(qe.GeneticMatching, evaluations=200, restarts=2),
    "Weighting": lambda: _comparison(qe.Weighting, method="entropy balancing"),
}


def poisoned(frame: pd.DataFrame, rows: np.ndarray, column: str, value: object) -> pd.DataFrame:
    """The frame with `value` in place of a column's values at some rows."""
    spoiled = frame.astype({column: object})
    spoiled.loc[rows, column] = value
    return spoiled
