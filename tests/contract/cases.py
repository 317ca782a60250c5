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

    `closed` marks rows whose outcome must not be looked at while the design is being settled; `drawn` those
    that a result shows because they are the series of the one place that is evaluated. `unscaled` begins
    the terms that are not in units of the outcome.
    """

    design: Design
    data: pd.DataFrame
    outcome: str
    relabel: Callable[[pd.DataFrame], pd.DataFrame]
    shift: Callable[[Design, pd.DataFrame], tuple[Design, pd.DataFrame]]
    closed: np.ndarray
    drawn: np.ndarray | None = None
    unscaled: str | None = None


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


def _rollout() -> Case:
    rng = np.random.default_rng(7)
    unit, time = np.divmod(np.arange(48 * 9), 9)
    began = np.repeat([3, 4, 6, 0], 12)[unit]
    age = rng.normal(60, 5, 48)[unit]
    since = time - began
    y = 5 + rng.normal(0, 1, 48)[unit] + 0.1 * time + 0.02 * age * time / 9
    y += np.where((began > 0) & (since >= 0), 1.0 + 0.3 * since, 0.0) + rng.normal(0, 0.5, len(unit))
    data = pd.DataFrame({"unit": unit, "time": time + 1, "began": began + (began > 0), "y": y, "age": age})
    data["region"] = unit % 12
    data["miles"] = np.where(began > 0, np.nan, 3.0 + unit % 7)
    design = qe.StaggeredAdoption(
        outcome="y",
        unit="unit",
        time="time",
        first_treated="began",
        covariates=("age",),
        units_are="organisations",
        inference="analytic",
        distance="miles",
        expected_lag=1,
        arguments={"no spillover": "the practices share no staff"},
        events={"6": "a new tariff in all practices"},
    )
    names = {code: f"practice {(code * 17) % 53:02d}" for code in range(48)}
    return Case(
        design=design,
        data=data,
        outcome="y",
        relabel=lambda frame: frame.assign(unit=frame["unit"].map(names)),
        shift=lambda stated, frame: (
            replace(stated, events={"17": "a new tariff in all practices"}),
            frame.assign(
                time=frame["time"] + 11, began=frame["began"].where(frame["began"] == 0, frame["began"] + 11)
            ),
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


def _places(seed: int = 11, places: int = 24, periods: int = 26, start: int = 18) -> pd.DataFrame:
    """Places moved by three common factors; place 0 gets the service at `start`."""
    rng = np.random.default_rng(seed)
    factors = np.cumsum(rng.normal(0.2, 1.0, (periods, 3)), axis=0)
    loadings = rng.dirichlet(np.ones(3), places)
    loadings[0] = [0.4, 0.35, 0.25]
    y = 50 + factors @ loadings.T * 3 + rng.normal(0, 0.6, (periods, places))
    y[start:, 0] -= 4.0
    place, time = np.divmod(np.arange(places * periods), periods)
    deprived = rng.normal(0, 1, places) + 3 * loadings[:, 0]
    return pd.DataFrame(
        {
            "place": place,
            "year": 1990 + time,
            "y": y.T.ravel(),
            "treated": (place == 0).astype(int),
            "deprivation": deprived[place] + 0.01 * time,
            "people": 1000.0 + 10 * place,
        }
    )


def _donors(
    design: type[Design], shifted: Callable[[Design, int], Design] | None = None, **fields: object
) -> Case:
    data = _places()
    stated = design(
        outcome="y",
        unit="place",
        time="year",
        treated="treated",
        start=2008,
        arguments={"no other change at the same time": "the other services went on as before"},
        events={"2010": "a new tariff in all places"},
        **fields,
    )
    names = {place: f"place {(place * 17) % 25:02d}" for place in range(24)}

    def shift(held: Design, frame: pd.DataFrame) -> tuple[Design, pd.DataFrame]:
        moved = replace(held, start=held.start + 11, events={"2021": "a new tariff in all places"})
        return (
            moved if shifted is None else shifted(moved, 11),
            frame.assign(year=frame["year"] + 11),
        )

    return Case(
        design=stated,
        data=data,
        outcome="y",
        relabel=lambda frame: frame.assign(place=frame["place"].map(names)),
        shift=shift,
        closed=(data["year"] >= 2008).to_numpy(),
        drawn=(data["treated"] == 1).to_numpy(),
    )


def _synthetic_control() -> Case:
    predictors = {"deprivation": "1990 to 2007", "y": "1991; 1999; 2007"}
    moved = {"deprivation": "2001 to 2018", "y": "2002; 2010; 2018"}
    return _donors(
        qe.SyntheticControl,
        lambda held, _: replace(held, predictors=moved),
        predictors=predictors,
        v="inverse variance",
    )


def _blocks(seed: int = 4, blocks: int = 240, periods: int = 11, start: int = 8) -> pd.DataFrame:
    """Blocks with events that follow their residents; the first 24 get the service at `start`."""
    rng = np.random.default_rng(seed)
    residents = rng.gamma(4.0, 20.0, blocks)
    homes = residents * rng.uniform(0.3, 0.6, blocks)
    block, time = np.divmod(np.arange(blocks * periods), periods)
    treated = block < 24
    rate = 0.1 * residents[block] * (1 + 0.02 * time) * np.where(treated & (time >= start), 0.8, 1.0)
    return pd.DataFrame(
        {
            "block": block,
            "quarter": 100 + time,
            "y": rng.poisson(rate).astype(float),
            "treated": treated.astype(int),
            "residents": residents[block],
            "homes": homes[block],
            "beside": ((block >= 24) & (block < 40)).astype(int),
        }
    )


def _micro() -> Case:
    data = _blocks()
    stated = qe.MicroSyntheticControl(
        outcome="y",
        unit="block",
        time="quarter",
        treated="treated",
        start=108,
        match_on=("residents", "homes"),
        spillover="beside",
        arguments={"no spillover to the donors": "the service visits homes"},
        events={"110": "a new tariff in all blocks"},
    )
    return Case(
        design=stated,
        data=data,
        outcome="y",
        relabel=lambda frame: frame.assign(block=frame["block"].map(lambda old: f"b{(old * 17) % 241:03d}")),
        shift=lambda held, frame: (
            replace(held, start=119, events={"121": "a new tariff in all blocks"}),
            frame.assign(quarter=frame["quarter"] + 11),
        ),
        closed=(data["quarter"] >= 108).to_numpy(),
    )


def _series() -> Case:
    rng = np.random.default_rng(11)
    months = pd.period_range("2016-01", periods=72, freq="M").astype(str)
    time = np.arange(72)
    y = 50 + 0.1 * time + 2 * np.sin(2 * np.pi * time / 12) + rng.normal(0, 1, 72) - 3 * (time >= 44)
    data = pd.DataFrame({"month": months, "y": y, "cold": rng.normal(0, 1, 72), "age": rng.normal(50, 1, 72)})
    stated = qe.InterruptedTimeSeries(
        outcome="y",
        time="month",
        start="2019-09",
        family="gaussian",
        seasonality="harmonics",
        covariates=("cold",),
        composition=("age",),
        arguments={"no other change at the same time": "no other programme ran"},
        events={"2018-01": "a new tariff"},
    )

    def shift(held: qe.InterruptedTimeSeries, frame: pd.DataFrame) -> tuple[qe.Design, pd.DataFrame]:
        later = (pd.PeriodIndex(frame["month"], freq="M") + 24).astype(str)
        moved = replace(held, start="2021-09", events={"2020-01": "a new tariff"})
        return moved, frame.assign(month=later)

    return Case(
        design=stated,
        data=data,
        outcome="y",
        relabel=lambda frame: frame,
        shift=shift,
        closed=(data["month"] >= "2019-09").to_numpy(),
        drawn=np.ones(72, dtype=bool),
    )


def _before_after() -> Case:
    rng = np.random.default_rng(21)
    people, periods = 150, 4
    level = rng.normal(20, 3, people)
    unit, time = np.divmod(np.arange(people * periods), periods)
    y = level[unit] + rng.normal(0, 2, people * periods) - 1.5 * (time == 3)
    data = pd.DataFrame({"person": unit, "year": 2018 + time, "y": y, "ward": unit % 45})
    stated = qe.BeforeAfter(
        outcome="y",
        unit="person",
        time="year",
        start=2021,
        cluster="ward",
        arguments={"no other change at the same time": "the ward kept its staff"},
        events={"2020": "a new tariff"},
    )
    return Case(
        design=stated,
        data=data,
        outcome="y",
        relabel=lambda frame: frame.assign(
            person=frame["person"].map(lambda old: f"p{(old * 17) % 151:03d}")
        ),
        shift=lambda held, frame: (
            replace(held, start=2032, events={"2031": "a new tariff"}),
            frame.assign(year=frame["year"] + 11),
        ),
        closed=(data["year"] >= 2021).to_numpy(),
    )


def _instrument() -> Case:
    rng = np.random.default_rng(31)
    n = 400
    area = np.arange(n) % 80
    unseen, age = rng.normal(0, 1, n), rng.normal(70, 8, n)
    far = rng.normal(0, 1, 80)[area] + rng.normal(0, 1, n)
    sex = np.where(rng.random(n) < 0.5, "female", "male")
    specialist = (0.9 * far + unseen + 0.02 * (age - 70) + rng.normal(0, 1, n) < 0).astype(int)
    y = 5 + 0.1 * age + 2 * unseen - 1.5 * specialist + rng.normal(0, 1, n)
    data = pd.DataFrame({"area": area, "far": far, "age": age, "sex": sex, "specialist": specialist, "y": y})
    data["eyes"] = 1.0 + 0.02 * age + rng.normal(0, 1, n)
    stated = qe.InstrumentalVariables(
        outcome="y",
        received="specialist",
        instruments=("far",),
        covariates=("age", "sex"),
        cluster="area",
        subgroups=("sex",),
        negative_controls=("eyes",),
        exclusion="where people live bears on the outcome only through the hospital they reach",
        arguments={"no spillover": "the hospitals share no staff"},
    )
    return Case(
        design=stated,
        data=data,
        outcome="y",
        relabel=lambda frame: frame.assign(area=frame["area"].map(lambda old: f"a{(old * 17) % 81:02d}")),
        shift=lambda held, frame: (held, frame),
        closed=np.ones(n, dtype=bool),
        unscaled="first stage",
    )


def _cutoff() -> Case:
    rng = np.random.default_rng(31)
    n = 400
    age = np.round(rng.uniform(55, 75, n), 1)
    frailty, sex = rng.gamma(2.0, 1.0, n), np.where(rng.random(n) < 0.5, "female", "male")
    data = pd.DataFrame(
        {
            "age": age,
            "frailty": frailty,
            "sex": sex,
            "practice": rng.integers(0, 60, n),
            "y": 10 + 0.2 * (age - 65) + frailty - 2.0 * (age >= 65) + rng.normal(0, 1, n),
            "eyes": 5 + 0.1 * (age - 65) + rng.normal(0, 1, n),
        }
    )
    stated = qe.RegressionDiscontinuity(
        outcome="y",
        score="age",
        cutoff=65,
        treated_side="at or above",
        covariates=("frailty", "sex"),
        negative_controls=("eyes",),
        arguments={"nothing else changes at the cutoff": "pensions begin at another age"},
        events={"65": "free eye tests"},
        draws=199,
    )
    names = {practice: f"practice {(practice * 17) % 61:02d}" for practice in range(60)}
    return Case(
        design=stated,
        data=data,
        outcome="y",
        relabel=lambda frame: frame.assign(practice=frame["practice"].map(names)),
        shift=lambda held, frame: (replace(held, cutoff=85), frame.assign(age=frame["age"] + 20)),
        closed=np.ones(n, dtype=bool),
    )


CASES: dict[str, Callable[[], Case]] = {
    "DifferenceInDifferences": _did,
    "StaggeredAdoption": _rollout,
    "SyntheticControl": _synthetic_control,
    "SyntheticDifferenceInDifferences": lambda: _donors(qe.SyntheticDifferenceInDifferences),
    "GeneralisedSyntheticControl": lambda: _donors(
        qe.GeneralisedSyntheticControl, choose_factors="as given", factors=2, draws=99
    ),
    "MicroSyntheticControl": _micro,
    "InterruptedTimeSeries": _series,
    "InstrumentalVariables": _instrument,
    "BeforeAfter": _before_after,
    "RegressionDiscontinuity": _cutoff,
    "Matching": lambda: _comparison(qe.Matching, caliper=0.3),
    "GeneticMatching": lambda: _comparison(qe.GeneticMatching, evaluations=200, restarts=2),
    "RegressionAdjustment": lambda: _comparison(qe.RegressionAdjustment),
    "Weighting": lambda: _comparison(qe.Weighting, method="entropy balancing"),
}


def poisoned(frame: pd.DataFrame, rows: np.ndarray, column: str, value: object) -> pd.DataFrame:
    """The frame with `value` in place of a column's values at some rows."""
    spoiled = frame.astype({column: object})
    spoiled.loc[rows, column] = value
    return spoiled
