"""How often do 95% intervals at a cutoff and by instruments hold the truth? Simulated people, kernels.

Kernels are called as `qe.estimate` calls them; "as chosen" is the interval that it puts in the headline.
Every sample has a seed of its own, which the settings share, so that chance moves them together. Prints the
tables of docs/validation.md: coverage, in brackets median width (and median bias). A line for each setting
goes to the error stream as it is finished.
Usage: python benchmarks/coverage_rules.py [--samples N --only WORDS --read FILE]
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

os.environ |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "TQDM_DISABLE"), "1")

import numpy as np
from scipy import special

from qieval.errors import EstimationError
from qieval.numerics.contrasts import difference
from qieval.numerics.discontinuity import Discontinuity, Local, Scored, discontinuity
from qieval.numerics.discontinuity_fuzzy import anderson_rubin
from qieval.numerics.honest import honest_over
from qieval.numerics.honest_pilot import curvature_rule_of_thumb
from qieval.numerics.honest_rows import HonestRows, split
from qieval.numerics.instruments import partial_out
from qieval.numerics.instruments_anderson_rubin import anderson_rubin_set
from qieval.numerics.instruments_conditional import conditional_likelihood_ratio_set
from qieval.numerics.instruments_effective_f import effective_f
from qieval.numerics.instruments_estimators import tsls
from qieval.numerics.instruments_reduced_form import ReducedForm, reduced_form
from qieval.numerics.instruments_tf import tf_interval
from qieval.numerics.local_randomisation_draws import Drawing
from qieval.numerics.local_randomisation_interval import randomisation_set
from qieval.numerics.local_randomisation_rows import LocalTest, Sample
from qieval.numerics.local_randomisation_windows import (
    BalanceTest,
    choose_window,
    windows_by_count,
)
from qieval.numerics.means import covariance
from qieval.numerics.residual_inclusion import Stages, residual_inclusion

SAMPLES = {
    "Sharp": 1000,
    "Fuzzy": 1000,
    "Instruments": 1000,
    "Few scores": 300,
    "Clusters": 200,
    "By lot": 300,
    "By balance": 500,
    "Residual inclusion": 1000,
}
"""Tables, and the samples of each of their settings: fewer where a sample takes long."""
Z = float(special.ndtri(0.975))
WEAK = 10.0
"""Effective F of the jump in uptake below which `qe.RegressionDiscontinuity` takes Anderson and Rubin's."""
Pieces = tuple[tuple[float, float], ...]
WHOLE_LINE: Pieces = ((-np.inf, np.inf),)


@dataclass(frozen=True)
class Found:
    """The effects that are not excluded, the estimate where there is one, and the truth if it is its own."""

    pieces: Pieces
    estimate: float = np.nan
    truth: float | None = None

    @property
    def width(self) -> float:
        return self.pieces[-1][1] - self.pieces[0][0] if self.pieces else 0.0


Measured = dict[str, Found | float | None]
"""Intervals by name, None where none is given; plain numbers are facts, of which the median is shown."""


@dataclass(frozen=True)
class Setting:
    table: str
    row: str
    column: str
    truth: float
    measure: Callable[[np.random.Generator], Measured]

    @property
    def said(self) -> str:
        return f"{self.table}: {self.row}, {self.column}"


# Regression discontinuity, sharp

LEE = ((0.48, 1.27, 7.18, 20.21, 21.54, 7.33), (0.52, 0.84, -3.00, 7.99, -9.01, 3.56))
LUDWIG_MILLER = ((3.71, 2.30, 3.28, 1.45, 0.23, 0.03), (0.26, 18.49, -54.81, 74.30, -45.02, 9.83))
LINE = ((0.0, 1.0), (0.5, 1.0))
CURVES = {"Lee": LEE, "Ludwig and Miller": LUDWIG_MILLER, "straight line": LINE}
"""Polynomials left and right, of Calonico, Cattaneo and Titiunik (2014, section 5), and a line."""
SPREAD = 0.1295


def three_ways(fit: Discontinuity) -> Measured:
    conventional, robust = (Found(((fit.low[i], fit.high[i]),), fit.estimate[i]) for i in (0, 2))
    return {"conventional": conventional, "robust": robust}


def robust(scored: Scored, variance: str = "nn", rule: str = "mserd") -> Found | None:
    """The robust interval, None where the score has too few values for a bandwidth."""
    try:
        found = three_ways(discontinuity(scored, Local(variance=variance, rule=rule)))["robust"]
    except EstimationError:
        return None
    assert isinstance(found, Found)
    return found


def allowing(rows: HonestRows, *bounds: float) -> list[Found | None]:
    """The honest interval for each bound on the second derivative, None where it has no standard error."""
    try:
        held = honest_over(rows, bounds)
    except EstimationError:
        return [None for _ in bounds]
    return [Found(((each.low, each.high),), each.estimate) for each in held]


def by_rule(rows: HonestRows) -> float:
    """The rule of thumb for the bound."""
    return float(curvature_rule_of_thumb(split(rows))[0])


def sharp(curve: str, n: int, rng: np.random.Generator) -> Measured:
    x = 2 * rng.beta(2, 4, n) - 1
    left, right = (np.polynomial.polynomial.polyval(x, held) for held in CURVES[curve])
    y = np.where(x >= 0, right, left) + SPREAD * rng.standard_normal(n)
    scored = Scored(score=x, y=y)
    found = three_ways(discontinuity(scored, Local()))
    found["robust, bandwidth cerrd"] = robust(scored, rule="cerrd")
    if n > 500:
        return found
    rows = HonestRows(score=x, y=y)
    return found | {"honest, rule of thumb": allowing(rows, by_rule(rows))[0]}


# Honest intervals and scores with few values

BEND, NOISE, JUMP = 3.0, 0.3, 1.0


def hidden(s: np.ndarray) -> np.ndarray:
    """Bends by 20 within 0.15 of the cutoff, opposite on both sides, and is straight beyond."""
    near = np.minimum(np.abs(s), 0.15)
    return np.asarray(np.sign(s) * (10 * near**2 + 3 * (np.abs(s) - near)))


BENT: dict[str, tuple[float, Callable[[np.ndarray], np.ndarray]]] = {
    "worst curve, M = 3": (BEND, lambda s: 0.5 * BEND * s**2 * np.sign(s)),
    "wave, M = 3": (BEND, lambda s: BEND / 25 * np.sin(5 * s + 1)),
    "bends by the cutoff only, M = 20": (20.0, hidden),
}


def bounded(curve: str, points: int | None, rng: np.random.Generator) -> Measured:
    s = rng.uniform(-1, 1, 1000)
    s = s if points is None else np.floor(s * points) / points
    most, mean = BENT[curve]
    y = mean(s) + JUMP * (s >= 0) + NOISE * rng.standard_normal(s.size)
    rows = HonestRows(score=s, y=y)
    guess = by_rule(rows)
    true, guessed = allowing(rows, most, guess)
    found: Measured = {"honest, true M": true, "honest, rule of thumb": guessed}
    found["robust"] = robust(Scored(score=s, y=y))
    if points is not None:
        by_score = np.unique(s, return_inverse=True)[1]
        found["robust, clustered by score"] = robust(Scored(score=s, y=y, clusters=by_score))
    return found | {"M by the rule of thumb": guess}


# Clusters

CLUSTERED = {"40 practices": 40, "100 practices": 100}


def clustered(whose: str, groups: int, rng: np.random.Generator) -> Measured:
    """2,000 people; a fifth of the variance is the practice's."""
    code = np.repeat(np.arange(groups), 2000 // groups)
    x = rng.uniform(-1, 1, groups)[code] if whose == "practice's" else rng.uniform(-1, 1, code.size)
    shared = 0.5 * rng.standard_normal(groups)[code]
    y = JUMP * (x >= 0) + 0.5 * x + shared + rng.standard_normal(code.size)
    out: Measured = {}
    for name, held, variance in (
        ("robust, clusters ignored", None, "nn"),
        ("robust, cr1 (default)", code, "cr1"),
        ("robust, cr2", code, "cr2"),
        ("robust, cr3", code, "cr3"),
    ):
        out[name] = robust(Scored(score=x, y=y, clusters=held), variance)
    rows = HonestRows(score=x, y=y, clusters=code)
    return out | {"honest, rule of thumb": allowing(rows, by_rule(rows))[0]}


# Fuzzy

UPTAKE = {"about 100": 0.7, "about 10": 0.32, "about 4": 0.195}
"""Jumps in the share of uptake that give this effective F in the median."""


def fuzzy(strength: str, rng: np.random.Generator) -> Measured:
    """2,000 people; those who would take it up anyway are better off (correlation of errors 0.8)."""
    jump, n = UPTAKE[strength], 2000
    x, wish = rng.uniform(-1, 1, n), rng.random(n)
    uptake = (wish < 0.5 + jump * ((x >= 0) - 0.5) + 0.1 * x).astype(float)
    y = JUMP * uptake + np.sin(2 * x) - 2 * (wish - 0.5) + 0.2 * rng.standard_normal(n)
    fit = discontinuity(Scored(score=x, y=y, uptake=uptake), Local())
    assert fit.uptake is not None
    held = anderson_rubin(fit.sides.corrected_jump, fit.sides.robust_covariance)
    usual, by_ar = three_ways(fit)["robust"], Found(tuple(held))
    chosen = usual if fit.first_stage_f >= WEAK else by_ar
    clear = fit.uptake.estimate[2] > Z * fit.uptake.std_error[2]
    return {
        "robust": usual,
        "Anderson-Rubin": by_ar,
        "as chosen": chosen if clear else None,
        "effective F": fit.first_stage_f,
    }


# Local randomisation

OUTCOMES = ("normal", "costs", "yes or no", "effect varies", "slope", "half take it up")


def by_lot(kind: str, reach: float, rng: np.random.Generator) -> Measured:
    """400 people, the score uniform on (-1, 1): 20 a side within 0.1, 50 within 0.25."""
    s = rng.uniform(-1, 1, 400)
    right, noise = (s >= 0).astype(float), rng.standard_normal(400)
    uptake = right * (rng.random(400) < 0.5) if kind == "half take it up" else None
    y = {
        "normal": right + noise,
        "costs": right + rng.exponential(1, 400) ** 2,
        "yes or no": (rng.random(400) < 0.3 + 0.3 * right).astype(float),
        "effect varies": right * (1 + 2 * rng.standard_normal(400)) + noise,
        "slope": right + s + noise,
        "half take it up": (0 if uptake is None else uptake) + noise,
    }[kind]
    return {"set": lot_set(Sample(score=s, outcome=y, cutoff=0.0, uptake=uptake), (-reach, reach))}


def lot_set(sample: Sample, window: tuple[float, float]) -> Found:
    test = LocalTest(drawing=Drawing(draws=1999))
    held = randomisation_set(sample, window, test)
    return Found(tuple((float(low), float(high)) for low, high in held.pieces))


def by_balance(slope: float, rng: np.random.Generator) -> Measured:
    """1,000 people; the window is the largest in which two covariates, tied to the score, are alike."""
    s = rng.uniform(-1, 1, 1000)
    covariates = 2 * s[:, None] + rng.standard_normal((1000, 2))
    y = (s >= 0) + slope * s + rng.standard_normal(1000)
    windows = windows_by_count(s, 0.0, first=10, count=20)
    found = choose_window(s, covariates, 0.0, windows, BalanceTest(drawing=Drawing(draws=499)))
    if found.window is None:
        return {"set": None, "reach of the window": np.nan}
    held = lot_set(Sample(score=s, outcome=y, cutoff=0.0), found.window)
    return {"set": held, "reach of the window": found.window[1]}


# Instruments

STRENGTHS = (2, 5, 20, 100)
CONFOUNDED = 0.8
"""Correlation of the errors of outcome and treatment."""


def instruments(k: int, strength: float, unequal: bool, rng: np.random.Generator) -> Measured:
    """500 people, one treatment with effect 1; unequal: errors grow with the first instrument."""
    n = 500
    z, v, own = rng.standard_normal((n, k)), rng.standard_normal(n), rng.standard_normal(n)
    u = CONFOUNDED * v + np.sqrt(1 - CONFOUNDED**2) * own
    size = np.sqrt(0.5 + 0.5 * z[:, 0] ** 2) if unequal else np.ones(n)
    trace = k + 1.0 if unequal else float(k)
    x = np.sqrt((strength - 1) * trace / (k * n)) * z.sum(axis=1) + size * v
    y = x + size * u
    reduced = reduced_form(partial_out(y, x, z, np.ones((n, 1))), "hc1")
    made = tsls(reduced.data, "hc1")
    estimate, error = float(made.coefficients[0]), float(made.errors[0])
    wald = Found(((estimate - Z * error, estimate + Z * error),), estimate)
    found: Measured = {
        "Wald": wald,
        "Anderson-Rubin": Found(anderson_rubin_set(reduced).intervals),
        "conditional likelihood ratio": Found(conditional_likelihood_ratio_set(reduced).intervals),
    }
    if k == 1:
        limits = tf_interval(estimate, error, reduced.equation(1).f)
        found["tF"] = Found(((limits.low, limits.high),), estimate)
    else:
        found["as chosen"] = found["Wald"] if strong(reduced) else found["Anderson-Rubin"]
    return found | {"effective F": plain_f(reduced)}


def plain_f(reduced: ReducedForm) -> float:
    """The effective F without its critical values, which take long."""
    _, x = reduced.data.one_treatment()
    return float(x @ x / np.trace(reduced.blocks[1, 1]))


def strong(reduced: ReducedForm) -> bool:
    """Whether the effective F passes; with up to three instruments its bound lies between 17 and 23.2."""
    f = plain_f(reduced)
    if not 17 < f < 23.2:
        return f >= 23.2
    held = effective_f(reduced, taus=(0.10,))
    return held.f >= held.simplified[0]


# Residual inclusion

NODES, MASS = np.polynomial.hermite_e.hermegauss(80)
MASS = MASS / MASS.sum()
RATES = float(np.exp(0.2 + 0.5 * (0.15**2 + 0.7**2)) * np.expm1(0.3))
"""Effect of one unit more on the count, where exp(0.2 + 0.3 x + 0.4 v), x = 0.5 z + v."""


def risk(treated: float) -> np.ndarray:
    return special.expit(-0.5 + 0.8 * treated + NODES)


RISKS = float(MASS @ (risk(1) - risk(0)))


def complier_risks() -> float:
    """The effect in those whom the instrument moves: a confounder between -0.7 and 0.7."""
    weight = np.linspace(-0.7, 0.7, 2001)
    density = np.exp(-0.5 * weight**2)
    gain = special.expit(0.3 + weight) - special.expit(-0.5 + weight)
    return float(density @ gain / density.sum())


COMPLIERS = complier_risks()


def included(kind: str, rng: np.random.Generator) -> Measured:
    """1,000 people; the second stage is right for counts, and nearly so for yes or no."""
    n, ones = 1000, np.ones((1000, 1))
    confounder = rng.standard_normal(n)
    if kind == "count":
        z = rng.standard_normal(n)
        x = 0.5 * z + confounder
        y = rng.poisson(np.exp(0.2 + 0.3 * x + 0.4 * confounder)).astype(float)
        stages = Stages(first="linear", second="poisson", shift=1.0)
    else:
        z = (rng.random(n) < 0.5).astype(float)
        x = (1.4 * z - 0.7 + confounder > 0).astype(float)
        y = (rng.random(n) < special.expit(-0.5 + 0.8 * x + confounder)).astype(float)
        stages = Stages()
    held = residual_inclusion(y, x, z[:, None], ones, stages)
    contrast = difference(held.means, covariance(held.means, None, adjust=True))
    found: Measured = {"residual inclusion": Found(((contrast.low, contrast.high),), contrast.estimate)}
    if kind == "yes or no":
        made = tsls(partial_out(y, x, z, ones), "hc1")
        estimate, error = float(made.coefficients[0]), float(made.errors[0])
        limits = ((estimate - Z * error, estimate + Z * error),)
        found["2SLS, effect in those moved"] = Found(limits, estimate, COMPLIERS)
    return found


def settings() -> Iterator[Setting]:
    for curve, (left, right) in CURVES.items():
        truth = right[0] - left[0]
        for n in (500, 2000):
            yield Setting("Sharp", curve, f"{n:,} people", truth, partial(sharp, curve, n))
    for curve in BENT:
        for points in (None, 11, 6):
            column = "continuous" if points is None else f"{points} a side"
            yield Setting("Few scores", curve, column, JUMP, partial(bounded, curve, points))
    for whose in ("practice's", "people's own"):
        for column, groups in CLUSTERED.items():
            yield Setting("Clusters", f"score {whose}", column, JUMP, partial(clustered, whose, groups))
    for strength in UPTAKE:
        yield Setting("Fuzzy", "", f"F {strength}", JUMP, partial(fuzzy, strength))
    for kind in OUTCOMES:
        for reach, people in ((0.1, 20), (0.25, 50)):
            truth = 0.3 if kind == "yes or no" else 1.0
            yield Setting("By lot", kind, f"{people} a side", truth, partial(by_lot, kind, reach))
    for slope in (0.0, 1.0):
        yield Setting("By balance", f"slope {slope:g}", "chosen", JUMP, partial(by_balance, slope))
    for k in (1, 3):
        for unequal in (False, True):
            row = f"{k} instrument{'s' * (k > 1)}, {'unequal' if unequal else 'equal'} variances"
            for strength in STRENGTHS:
                measure = partial(instruments, k, strength, unequal)
                yield Setting("Instruments", row, f"F about {strength}", 1.0, measure)
    yield Setting("Residual inclusion", "count", "1,000 people", RATES, partial(included, "count"))
    yield Setting("Residual inclusion", "yes or no", "1,000 people", RISKS, partial(included, "yes or no"))


def study(setting: Setting, samples: int) -> dict[str, dict[str, float]]:
    runs = [setting.measure(np.random.default_rng([20_106, seed])) for seed in range(samples)]
    return {name: summary([run[name] for run in runs], setting.truth) for name in runs[0]}


def summary(values: list[Any], truth: float) -> dict[str, float]:
    """Coverage, median width and bias, and shares; or the median of a fact."""
    held = [value for value in values if value is not None]
    if not held or isinstance(held[0], float):
        return {"median": float(np.nanmedian(held))} if held else {"given": 0.0}
    covered = [any(low <= aim_of(f, truth) <= high for low, high in f.pieces) for f in held]
    widths = np.array([f.width for f in held])
    gaps = [f.estimate - aim_of(f, truth) for f in held]
    return {
        "covers": float(np.mean(covered)),
        "width": float(np.sort(widths)[(len(widths) - 1) // 2]),
        "unbounded": float(np.mean(np.isinf(widths))),
        "bias": float(np.median(gaps)),
        "given": len(held) / len(values),
    }


def aim_of(found: Found, truth: float) -> float:
    return truth if found.truth is None else found.truth


Results = dict[str, dict[str, dict[str, float]]]


def cell(held: dict[str, float] | None, biased: bool) -> str:
    if held is None:
        return ""
    if "median" in held:
        return f"{held['median']:.3g}"
    if held["given"] < 0.05:
        return "none"
    width = "unbounded" if np.isinf(held["width"]) else f"{held['width']:.2f}"
    parts = [width]
    if biased and np.isfinite(held["bias"]):
        parts.append(f"bias {held['bias']:+.2f}")
    if 0.005 <= held["unbounded"] <= 0.5:
        parts.append(f"{held['unbounded']:.0%} unbounded")
    if held["given"] < 0.995:
        parts.append(f"given in {held['given']:.0%}")
    return f"{held['covers']:.1%} ({'; '.join(parts)})"


def table(name: str, results: Results, biased: bool) -> str:
    chosen = [setting for setting in settings() if setting.table == name and setting.said in results]
    columns = list(dict.fromkeys(setting.column for setting in chosen))
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for setting in chosen:
        for kind, held in results[setting.said].items():
            rows.setdefault((setting.row, kind), {})[setting.column] = cell(held, biased)
    lines = [f"{name}\n\n| | | {' | '.join(columns)} |", f"|{'---|' * (2 + len(columns))}"]
    for place, cells in rows.items():
        lines.append(f"| {' | '.join([*place, *(cells.get(column, '') for column in columns)])} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, help="by default those of SAMPLES")
    parser.add_argument("--only", default="", help="settings whose description holds these words")
    parser.add_argument("--read", help="the error stream of an earlier run, which is carried on")
    options = parser.parse_args()
    results: Results = {}
    for line in Path(options.read).read_text(encoding="utf-8").splitlines() if options.read else ():
        results |= json.loads(line)
    for setting in settings():
        if options.only in setting.said and setting.said not in results:
            results[setting.said] = study(setting, options.samples or SAMPLES[setting.table])
            print(json.dumps({setting.said: results[setting.said]}), file=sys.stderr, flush=True)
    for name in SAMPLES:
        if any(key.startswith(f"{name}:") for key in results):
            biased = name in ("Sharp", "Few scores", "Fuzzy", "Residual inclusion")
            print(table(name, results, biased), "\n", flush=True)


if __name__ == "__main__":
    main()
