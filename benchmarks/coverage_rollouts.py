"""How often do intervals, bands and tests of roll-outs keep what they promise? Simulated, with known effects.

Estimates are made by the path of `qe.estimate`; parts and bands are judged where the interval is analytic.
Eight periods, starts in 4, 5 and 6; outcomes have unit and period effects and errors with autocorrelation
0.5; effects grow by 0.25 a period and differ between units. Where a covariate is used it bears on starts and
trends. Each sample has a seed of its own, which settings of a table share, so that chance moves them
together. Prints the tables of docs/validation.md; a line for each setting goes to the error stream as it is
finished.
Usage: python benchmarks/coverage_rollouts.py [--samples N --only WORDS --read FILE]
"""

import argparse
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

os.environ |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "TQDM_DISABLE"), "1")

import numpy as np
import pandas as pd

import qieval as qe
from qieval.errors import EstimationError
from qieval.methods.staggered_adoption.effect import estimate
from qieval.numerics.covariance import t_interval
from qieval.numerics.group_time_pretest import pretest
from qieval.numerics.group_time_variance import influence_covariance
from qieval.numerics.joint import sup_t
from qieval.numerics.trend_bounds import EventStudy, Restriction, trend_bounds

PERIODS, STARTS, STEP = 8, (4, 5, 6), 0.25
SHARED = Path(__file__).resolve().parents[2] / "shared" / "reference" / "did.json"
TABLES = {
    "Group-time": ("headline", "each period, on average", "band over them all"),
    "Clusters": ("headline", "each period, on average", "band over them all"),
    "Cross-sections": ("headline", "each period, on average", "band over them all"),
    "Other approaches": ("headline", "each period, on average", "band over them all"),
    "Counts": ("headline", "each period, on average", "band over them all"),
    "Tests of trends": ("Wald", "Hotelling's F"),
    "Honest bounds": ("covers", "median length"),
}
"""Tables and their columns."""
Kept = dict[str, float]
"""Of one sample: the share of promises kept (or of tests that reject), by column."""


@dataclass(frozen=True)
class Setting:
    """One row: `measure` simulates and judges one sample; samples: how many by default."""

    table: str
    row: str
    measure: Callable[[np.random.Generator], Kept]
    samples: int

    @property
    def said(self) -> str:
        return f"{self.table}: {self.row}"


# Simulated roll-outs


def errors(n: int, rng: np.random.Generator) -> np.ndarray:
    """Autocorrelated errors of variance 1 (n, 8)."""
    noise = rng.standard_normal((n, PERIODS))
    for t in range(1, PERIODS):
        noise[:, t] = 0.5 * noise[:, t - 1] + np.sqrt(0.75) * noise[:, t]
    return noise


def starts(n: int, tilt: np.ndarray, rng: np.random.Generator, never: bool = True) -> np.ndarray:
    """0 for the two in five that never begin (where `never`); the others more often where `tilt` is large."""
    begins = rng.random(n) < 1 / (1 + np.exp(-(0.4 + tilt))) if never else np.ones(n, dtype=bool)
    return np.where(begins, rng.choice(STARTS if never else (*STARTS, 9), n), 0)


def effects(first: np.ndarray) -> np.ndarray:
    """True effects (n, 8) before they differ between units."""
    since = np.arange(1, PERIODS + 1) - first[:, None]
    return np.where((first[:, None] > 0) & (since >= 0), STEP * (since + 1), 0.0)


def long(held: dict[str, np.ndarray]) -> pd.DataFrame:
    """One row for each unit and period."""
    n = len(held["first"])
    frame = {"unit": np.repeat(np.arange(n), PERIODS), "time": np.tile(np.arange(1, PERIODS + 1), n)}
    frame |= {name: one.ravel() if one.ndim == 2 else np.repeat(one, PERIODS) for name, one in held.items()}
    return pd.DataFrame(frame)


def panel(n: int, rng: np.random.Generator, never: bool = True, x_matters: bool = True) -> pd.DataFrame:
    """Independent units; x moves starts and trends, unless it does not matter."""
    x = rng.standard_normal(n)
    first = starts(n, 0.5 * x if x_matters else 0 * x, rng, never)
    own = 1 + 0.5 * rng.standard_normal(n)
    t = np.arange(1, PERIODS + 1)
    y = rng.standard_normal(n)[:, None] + 0.1 * t + effects(first) * own[:, None] + errors(n, rng)
    if x_matters:
        y += 0.1 * t * x[:, None]
    return long({"first": first, "x": x, "y": y})


def clustered(groups: int, rng: np.random.Generator) -> pd.DataFrame:
    """Ten units in each cluster, which begin together and share a third of the variance of errors."""
    code = np.repeat(np.arange(groups), 10)
    order = rng.permutation(groups)
    first = np.array([0, 0, *STARTS])[np.arange(groups) % 5][order]
    shared = np.sqrt(0.5) * errors(groups, rng)
    y = effects(first)[code] + shared[code] + errors(code.size, rng) + 0.1 * np.arange(PERIODS)
    return long({"first": first[code], "cluster": code, "y": y})


def sampled(n: int, rng: np.random.Generator) -> pd.DataFrame:
    """Other people in each period, whose x moves starts of their place and trends."""
    frame = pd.concat([panel(n, rng)[lambda held, t=t: held["time"] == t] for t in range(1, PERIODS + 1)])
    return frame.assign(unit=np.arange(len(frame)))


RATIO = 0.8


def counted(n: int, rng: np.random.Generator) -> pd.DataFrame:
    """Events in practices whose rate ratio is 0.8; rates vary between practices and, beyond chance, over
    time."""
    first = starts(n, np.zeros(n), rng)
    people = np.round(np.exp(8 + 0.5 * rng.standard_normal(n)))
    level = rng.gamma(20, 1 / 20, (n, 1)) * rng.gamma(30, 1 / 30, (n, PERIODS))
    on = effects(first) > 0
    rate = 0.01 * level * 1.01 ** np.arange(PERIODS) * np.where(on, RATIO, 1.0)
    y = rng.poisson(rate * people[:, None]).astype(float)
    return long({"first": first, "people": people, "y": y})


# What is promised


def promised(
    make: Callable[[np.random.Generator], pd.DataFrame], rng: np.random.Generator, **fields: Any
) -> Kept:
    """Whether intervals and the band of a design hold the truth."""
    frame = make(rng)
    design = qe.StaggeredAdoption(
        outcome="y", unit="unit", time="time", first_treated="first", aggregation="dynamic", **fields
    )
    try:
        found = estimate(design, frame, brief=True)
    except EstimationError:
        return {}
    ratio = design.exposure is not None
    head, parts = found.estimates.iloc[0], found.kernel.averages["dynamic"]
    kept = np.isfinite(parts.std_error)
    at, held, error = parts.at[kept], parts.estimate[kept], parts.std_error[kept]
    after = at >= 0
    truth = np.where(after, np.log(RATIO) if ratio else STEP * (at + 1), 0.0)
    aim = RATIO if ratio else float(truth[after].mean())
    kept_promises = {"headline": float(head["conf_low"] <= aim <= head["conf_high"])}
    if design.inference != "analytic":
        return kept_promises
    each = t_interval(held, error, found.kernel.df, 0.95)
    critical = sup_t(parts.covariance[np.ix_(kept, kept)], found.kernel.df, 0.95)
    return kept_promises | {
        "each period, on average": float(((each.low <= truth) & (truth <= each.high)).mean()),
        "band over them all": float((np.abs(held - truth) <= critical * error).all()),
    }


def tested(groups: int, rng: np.random.Generator) -> Kept:
    """Whether tests of all effects by cohort and period before the start reject at 5%; there are nine."""
    frame = clustered(groups, rng)
    design = qe.StaggeredAdoption(
        outcome="y", unit="unit", time="time", first_treated="first", cluster="cluster", inference="analytic"
    )
    found = estimate(design, frame, brief=True).kernel
    covariance = influence_covariance(found.cells.influence, found.clusters_of_units)
    test = pretest(found.cells, covariance).test
    if test is None:
        return {}
    return {"Wald": float(test.p_chi2 < 0.05), "Hotelling's F": float(test.p_hotelling < 0.05)}


def bounded(
    restriction: Restriction,
    limit: float,
    departure: tuple[float, ...],
    rng: np.random.Generator,
    **given: Any,
) -> Kept:
    """Whether the bounds hold the true mean effect of zero where trends part by `departure`."""
    cases = json.loads(SHARED.read_text(encoding="utf-8"))["cases"]
    sigma = next(one for one in cases if one["id"] == "mpdta_honest_cs_average")["inputs"]["sigma"]
    before = np.arange(7) < 3
    estimate = rng.multivariate_normal(departure, sigma)
    study = EventStudy(estimate, np.array(sigma), before, np.full(4, 0.25))
    found = trend_bounds(study, restriction, [limit], **given)[0]
    return {"covers": float(found.contains(0.0)), "median length": found.high - found.low}


# Settings


def settings() -> Iterator[Setting]:
    """All rows of all tables; fewer samples where one takes long."""
    for n in (50, 200, 500):
        for estimator in ("doubly robust", "ipw", "regression"):
            held = partial(promised, partial(panel, n), covariates=("x",), estimator=estimator)
            row = f"{estimator}, {n} units, never-treated compared"
            yield Setting("Group-time", row, partial(held, inference="analytic"), 250)
        held = partial(promised, partial(panel, n, never=False, x_matters=False), control_group="not yet")
        row = f"no covariates, {n} units, not yet treated compared"
        yield Setting("Group-time", row, partial(held, inference="analytic"), 250)
    held = partial(promised, partial(panel, 50), covariates=("x",))
    yield Setting("Group-time", "doubly robust, 50 units, inference='automatic'", held, 100)
    for groups in (12, 30, 60):
        for inference in ("automatic", "analytic"):
            held = partial(promised, partial(clustered, groups), cluster="cluster", inference=inference)
            yield Setting("Clusters", f"{groups} clusters, inference='{inference}'", held, 250)
    for groups in (15, 30, 60, 200):
        yield Setting("Tests of trends", f"{groups} clusters, 9 effects", partial(tested, groups), 400)
    plain = partial(panel, x_matters=False)
    for approach in ("interaction-weighted", "stacked", "imputation", "two-stage"):
        for n in (30, 200):
            held = partial(promised, partial(plain, n), approach=approach, inference="analytic")
            yield Setting("Other approaches", f"{approach}, {n} units, analytic", held, 250)
        if approach in ("interaction-weighted", "imputation"):
            held = partial(promised, partial(plain, 30), approach=approach)
            yield Setting("Other approaches", f"{approach}, 30 units, automatic", held, 100)
    for n in (30, 100):
        for inference, samples in (("analytic", 250), ("automatic", 100)):
            held = partial(
                promised, partial(counted, n), approach="poisson", exposure="people", inference=inference
            )
            yield Setting("Counts", f"{n} practices, inference='{inference}'", held, samples)
    for n in (100, 400):
        held = partial(promised, partial(sampled, n), covariates=("x",), data="repeated cross-sections")
        held = partial(held, inference="analytic")
        yield Setting("Cross-sections", f"{n} people a period, doubly robust", held, 150)
    if SHARED.is_file():
        yield from departures()


def departures() -> Iterator[Setting]:
    """Trends that part as far as the bounds allow, or less."""
    t = np.array([-3, -2, -1, 1, 2, 3, 4.0])
    bend = np.where(t > 0, 0.01 * t * (t + 1) / 2, 0.0)
    change, curve = Restriction("relative magnitudes"), Restriction("smoothness")
    for row, restriction, limit, departure in (
        ("relative magnitudes, Mbar 1: parallel", change, 1.0, 0 * t),
        ("relative magnitudes, Mbar 1: a slope of 0.03 goes on", change, 1.0, 0.03 * t),
        (
            "relative magnitudes, Mbar 0.5: a slope of 0.03 goes on by half",
            change,
            0.5,
            np.where(t < 0, 0.03, 0.015) * t,
        ),
        (
            "relative magnitudes, Mbar 1: one jump of 0.06 before, one in each period after",
            change,
            1.0,
            np.array([-0.06, 0, 0, 0.06, 0.12, 0.18, 0.24]),
        ),
        ("smoothness, M 0: a slope of 0.05 goes on", curve, 0.0, 0.05 * t),
        ("smoothness, M 0.01: bends by 0.01 in each period after", curve, 0.01, bend),
        ("smoothness, M 0.01: bends by 0.01 all along", curve, 0.01, 0.01 * t * (t + 1) / 2),
    ):
        yield Setting("Honest bounds", row, partial(bounded, restriction, limit, tuple(departure)), 300)


def study(setting: Setting, samples: int) -> Kept:
    """Means over the samples (medians of lengths), and the share of samples with an answer."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        held = [setting.measure(np.random.default_rng([2024, sample])) for sample in range(samples)]
    given = [one for one in held if one]
    found = {"samples": float(samples), "given": len(given) / samples}
    for name in TABLES[setting.table]:
        values = [one[name] for one in given if name in one]
        found[name] = (
            float(np.median(values) if name == "median length" else np.mean(values)) if values else np.nan
        )
    return found


def shown(column: str, value: float) -> str:
    if np.isnan(value):
        return "not judged"
    return f"{value:.3f}" if column == "median length" else f"{value:.1%}"


def table(name: str, results: dict[str, Kept]) -> str:
    columns = TABLES[name]
    lines = [f"{name}\n\n| | samples | {' | '.join(columns)} |", f"|{'---|' * (2 + len(columns))}"]
    for setting in settings():
        if setting.table != name or setting.said not in results:
            continue
        held = results[setting.said]
        cells = [shown(one, held[one]) for one in columns]
        answered = "" if held["given"] == 1 else f" (an estimate in {held['given']:.0%})"
        lines.append(f"| {setting.row}{answered} | {held['samples']:.0f} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, help="by default what each setting says")
    parser.add_argument("--only", default="", help="settings whose description holds these words")
    parser.add_argument("--read", help="the error stream of an earlier run, which is carried on")
    options = parser.parse_args()
    results: dict[str, Kept] = {}
    for line in Path(options.read).read_text(encoding="utf-8").splitlines() if options.read else ():
        results |= json.loads(line)
    for setting in settings():
        if options.only in setting.said and setting.said not in results:
            results[setting.said] = study(setting, options.samples or setting.samples)
            print(json.dumps({setting.said: results[setting.said]}), file=sys.stderr, flush=True)
    for name in TABLES:
        if any(key.startswith(f"{name}:") for key in results):
            print(table(name, results), "\n", flush=True)


if __name__ == "__main__":
    main()
