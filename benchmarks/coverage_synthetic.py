"""Synthetic control on simulated panels: how often tests reject in vain, intervals hold the truth, bias.

Factor panels with 39 donors, one treated unit and 5 periods after the start. "stationary": a level and two
factors with autocorrelation 0.5; "trending": also a trend of 0.1 a period with random steps (SD 0.2), from
which units profit unequally; "persistent": as stationary, with noise of autocorrelation 0.6. Loadings are
standard normal, noise has SD 0.5. The treated unit is one "at random"; or its loadings are the "mean of
three" donors', so that true weights exist; or it is "selected": units are the likelier to be treated the
higher their level (trending: the steeper their trend).

The effect is 0, which is no loss: a constant effect would move every estimate and interval here by as much.
Intervals are 90% ones, which 40 units (4/40) and ten periods can reach. Kernels are called as `qe.estimate`
calls them. Prints the tables of docs/validation.md; a line for each setting goes to the error stream as it
is finished.
Usage: python benchmarks/coverage_synthetic.py [--samples N --slow N --only WORDS --read FILE]
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qieval.errors import EstimationError
from qieval.numerics.augmented import ridge_augmented
from qieval.numerics.conformal import conformal_average, conformal_intervals, conformal_p_value
from qieval.numerics.placebo_inversion import confidence_set
from qieval.numerics.placebo_units import PlaceboUnits, placebo_units, ratio_ranks
from qieval.numerics.prediction_intervals import prediction_intervals
from qieval.numerics.synthetic_did import Study, fit_study
from qieval.numerics.synthetic_did_errors import bootstrap_errors, jackknife_errors, placebo_errors
from qieval.numerics.synthetic_did_weights import EXACT

LENGTHS = 100
"""Samples in which lengths of conformal intervals are worked out."""

UNITS, POST, NOISE, LEVEL = 40, 5, 0.5, 0.9
BEFORE = (5, 10, 20, 40)
PANELS = ("stationary", "trending", "persistent")
CHOSEN = ("at random", "mean of three", "selected")
MANY, TREATED = 48, 8
"""Units and treated units of the panels with several treated units."""

Measured = dict[str, float]


@dataclass(frozen=True)
class Setting:
    """A kind of panel, how the treated unit comes to be treated, and the periods before the start."""

    panel: str
    chosen: str
    pre: int
    treated: int = 1

    @property
    def said(self) -> str:
        return f"{self.panel}, {self.chosen}, {self.pre} before, {self.treated} treated"

    def rng(self, sample: int) -> np.random.Generator:
        place = PANELS.index(self.panel), CHOSEN.index(self.chosen)
        return np.random.default_rng([20_101, *place, self.pre, self.treated, sample])


def settings() -> Iterator[Setting]:
    for panel in PANELS:
        for chosen in CHOSEN if panel != "persistent" else CHOSEN[:1]:
            yield from (Setting(panel, chosen, pre) for pre in BEFORE)
    yield from (Setting(panel, CHOSEN[0], 20, TREATED) for panel in PANELS[:2])


def autoregression(rho: float, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Series in columns, with variance one."""
    out = rng.standard_normal(shape)
    for t in range(1, shape[0]):
        out[t] = rho * out[t - 1] + np.sqrt(1 - rho**2) * out[t]
    return out


def draw(setting: Setting, rng: np.random.Generator) -> np.ndarray:
    """Outcomes (t, n) without an effect, the treated first."""
    n, t = (UNITS if setting.treated == 1 else MANY), setting.pre + POST
    factors = np.column_stack([np.ones(t), autoregression(0.5, (t, 2), rng)])
    if setting.panel == "trending":
        path = np.cumsum(0.1 + 0.2 * rng.standard_normal(t))
        factors = np.column_stack([path - path[setting.pre - 1], factors])
    loadings = rng.standard_normal((factors.shape[1], n))
    if setting.chosen == "selected":
        chance = np.exp(loadings[0])
        treated = rng.choice(n, setting.treated, replace=False, p=chance / chance.sum())
        loadings = np.column_stack([loadings[:, treated], np.delete(loadings, treated, axis=1)])
    elif setting.chosen == "mean of three":
        loadings[:, 0] = loadings[:, 1:4].mean(axis=1)
    rho = 0.6 if setting.panel == "persistent" else 0.0
    shared = rng.standard_normal((t, 1))
    return np.ascontiguousarray(shared + factors @ loadings + NOISE * autoregression(rho, (t, n), rng))


def hit(name: str, low: float, high: float, covers: bool | None = None) -> Measured:
    """Whether an interval holds 0, and how long it is."""
    covers = low <= 0 <= high if covers is None else covers
    return {f"covers {name}": float(covers), f"length {name}": float(high - low)}


def any_holds(pieces: np.ndarray) -> bool:
    """Whether one of the intervals (k, 2) that make up a set holds 0."""
    return bool(np.any((pieces[:, 0] <= 0) & (pieces[:, 1] >= 0)))


def nothing(name: str) -> Measured:
    """No interval: at this level nothing can be rejected, or the statistic is not defined."""
    return {f"covers {name}": np.nan, f"length {name}": np.nan}


def estimates(y: np.ndarray, pre: int) -> Measured:
    """Mean gap after the start by method, and the misfit before it that a user sees."""
    target, donors = split(y)
    plain, centred = (placebo_units(y, pre, demeaned=how, which=[0]) for how in (False, True))
    differences = y[pre:].mean(axis=0) - y[:pre].mean(axis=0)
    return {
        "estimate synthetic control": float(plain.gaps[pre:].mean()),
        "estimate demeaned": float(centred.gaps[pre:].mean()),
        "estimate ridge-augmented": float(ridge_augmented(target, donors, pre).gaps[pre:].mean()),
        "estimate SDID": fit_study(study_of(y, pre, 1)).estimate,
        "estimate difference-in-differences": float(differences[0] - differences[1:].mean()),
        "misfit": float(plain.mspe_pre[0]),
    }


def split(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.ascontiguousarray(y[:, 0]), np.ascontiguousarray(y[:, 1:])


def study_of(y: np.ndarray, pre: int, treated: int) -> Study:
    first = np.where(np.arange(y.shape[1]) < treated, pre, y.shape[0])
    return Study(np.ascontiguousarray(y.T), first, optimiser=EXACT)


def rejections(name: str, p_value: float) -> Measured:
    return {f"rejects {share:.0%} {name}": float(p_value <= share + 1e-12) for share in (0.05, 0.1)}


def ratios(units: PlaceboUnits) -> np.ndarray:
    return np.asarray(units.mspe_post / units.mspe_pre)


def in_space(y: np.ndarray, pre: int) -> Measured:
    """Placebo tests of no effect at 5% and 10%, and the effects that they accept."""
    out: Measured = {}
    for name, pools in (("placebo", False), ("placebo, treated in pools", True)):
        units = placebo_units(y, pre, exclude=[0], include_treated_in_pools=pools)
        out |= rejections(name, ratio_ranks(units, 0).p_value)
        if pools:
            continue
        out |= rejections("placebo, fit within twice", ratio_ranks(units, 0, limit=4.0).p_value)
        quarter = np.argsort(units.mspe_pre)[: UNITS // 4]
        out["best quarter"] = float(np.isin(quarter, np.argsort(ratios(units))[-UNITS // 10 :]).mean())
        try:
            found = confidence_set(units.gaps, 0, pre, LEVEL)
        except EstimationError:
            out |= nothing("placebo")
        else:
            out |= hit("placebo", found.low, found.high, any_holds(found.pieces))
    return out


def conformal(y: np.ndarray, pre: int, lengths: bool) -> Measured:
    """Moving blocks: all periods together, and the first one after the start by itself.

    An interval holds 0 where the test of no effect does not reject; lengths take longer.
    """
    first = y[: pre + 1]
    out: Measured = {}
    for name, outcomes in (("average", y), ("first period", first)):
        p_value = conformal_p_value(*split(outcomes), pre).p_value
        for share in (0.05, 0.1):
            possible = share * len(outcomes) >= 1
            rejects = float(p_value <= share + 1e-12) if possible else np.nan
            out[f"rejects {share:.0%} conformal, {name}"] = rejects
        out[f"covers conformal, {name}"] = 1 - rejects
        out[f"length conformal, {name}"] = np.nan
    if lengths:
        whole = conformal_average(*split(y), pre, LEVEL)
        alone = conformal_intervals(*split(first), pre, LEVEL)
        out["length conformal, average"] = whole.high - whole.low
        out["length conformal, first period"] = float(alone.high[0] - alone.low[0])
    return out


def quick(setting: Setting, y: np.ndarray, sample: int) -> Measured:
    pre = setting.pre
    return estimates(y, pre) | in_space(y, pre) | conformal(y, pre, lengths=sample < LENGTHS)


def sdid(setting: Setting, y: np.ndarray, _: int) -> Measured:
    """Placebo intervals of SDID; with several treated units also the bootstrap and the jackknife."""
    study = study_of(y, setting.pre, setting.treated)
    fitted = fit_study(study)
    found = [placebo_errors(study, fitted, level=LEVEL)]
    if setting.treated > 1:
        found.append(bootstrap_errors(study, fitted, draws=100, level=LEVEL))
        found.append(jackknife_errors(study, fitted, level=LEVEL))
    out: Measured = {"estimate SDID": fitted.estimate}
    for errors in found:
        out |= hit(f"SDID, {errors.method}", *errors.interval)
        if errors.method != "jackknife":
            out |= hit(f"SDID, normal with {errors.method} error", *errors.normal_interval)
    return out


def prediction(setting: Setting, y: np.ndarray, _: int) -> Measured:
    """Prediction intervals as in scpi: of the first period after the start."""
    target, donors = split(y[: setting.pre + 1])
    found = prediction_intervals(target, donors, setting.pre)
    out: Measured = {}
    for method in found.total:
        low, high = found.effects(target, method).T
        out |= {
            f"covers prediction, {method}": float(np.mean((low <= 0) & (high >= 0))),
            f"length prediction, {method}": float(np.mean(high - low)),
        }
    return out


Measure = Callable[[Setting, np.ndarray, int], Measured]


def tasks(setting: Setting, samples: int, slow: int) -> list[tuple[Measure, int]]:
    """What is measured in a setting, and in how many samples."""
    if setting.treated > 1:
        return [(sdid, slow)]
    found: list[tuple[Measure, int]] = [(quick, samples)]
    if setting.pre in (10, 40):
        found.append((sdid, slow))
        if setting.panel != "persistent" and setting.chosen != "at random":
            found.append((prediction, slow))
    return found


def summary(runs: list[Measured]) -> dict[str, dict[str, float]]:
    """Of each quantity: mean (median of lengths), its Monte Carlo error, root mean square, share known."""
    out = {}
    for name in runs[0]:
        values = np.array([run[name] for run in runs])
        known = values[~np.isnan(values)]
        if known.size < 2:
            out[name] = {"n": float(known.size), "share": 0.0}
            continue
        finite = known[np.isfinite(known)]
        out[name] = {
            "mean": float(np.median(known) if name.startswith("length") else known.mean()),
            "error": float(finite.std(ddof=1) / np.sqrt(finite.size)) if finite.size > 1 else np.nan,
            "rms": float(np.sqrt(np.mean(known**2))),
            "n": float(known.size),
            "share": known.size / values.size,
        }
    return out


def study(setting: Setting, samples: int, slow: int) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for measure, count in tasks(setting, samples, slow):
        runs = [measure(setting, draw(setting, setting.rng(sample)), sample) for sample in range(count)]
        found = summary(runs) | found
    return found


Results = dict[Setting, dict[str, dict[str, float]]]
Cell = Callable[[dict[str, dict[str, float]], str], str]


def grid(results: Results, names: Sequence[str], cell: Cell, chosen: Sequence[str] = CHOSEN) -> str:
    """A table: rows by panel, way to be treated and name, a column for each length of the past."""
    single = {setting: found for setting, found in results.items() if setting.treated == 1}
    rows = {}
    for setting, found in single.items():
        for name in names if setting.chosen in chosen else ():
            if text := cell(found, name):
                rows.setdefault((setting.panel, setting.chosen, name), {})[setting.pre] = text
    columns = [pre for pre in BEFORE if any(pre in row for row in rows.values())]
    heads = " | ".join(f"{pre} periods before" for pre in columns)
    lines = [f"| panel | treated | | {heads} |", f"|{'---|' * (3 + len(columns))}"]
    for place, row in rows.items():
        lines.append(f"| {' | '.join([*place, *(row.get(pre, '') for pre in columns)])} |")
    return "\n".join(lines)


def bias(found: dict[str, dict[str, float]], name: str) -> str:
    held = found[f"estimate {name}"]
    return f"{held['mean']:+.2f} ({held['error']:.2f}); {held['rms']:.2f}"


def error(found: dict[str, dict[str, float]], name: str) -> str:
    return f"{found[f'estimate {name}']['rms']:.2f}"


def misfit(found: dict[str, dict[str, float]], _: str) -> str:
    return f"{np.sqrt(found['misfit']['mean']):.2f}"


def best_quarter(found: dict[str, dict[str, float]], _: str) -> str:
    return f"{found['best quarter']['mean']:.0%}"


def sizes(found: dict[str, dict[str, float]], name: str) -> str:
    shares = (found[f"rejects {size} {name}"].get("mean", np.nan) for size in ("5%", "10%"))
    return " / ".join("none" if np.isnan(share) else f"{share:.1%}" for share in shares)


def coverage(found: dict[str, dict[str, float]], name: str) -> str:
    """Coverage, median length and the share of samples with an interval; empty if not studied."""
    held = found.get(f"covers {name}")
    if held is None:
        return ""
    if "mean" not in held:
        return "none"
    given = "" if held["share"] > 0.999 else f", given in {held['share']:.0%}"
    return f"{held['mean']:.1%} ({found[f'length {name}']['mean']:.2f}{given})"


def several(results: Results) -> str:
    lines = ["| panel | interval | covers | median length |", "|---|---|---|---|"]
    for setting, found in results.items():
        if setting.treated > 1:
            for name in (key.removeprefix("covers ") for key in found if key.startswith("covers")):
                cells = f"{found[f'covers {name}']['mean']:.1%} | {found[f'length {name}']['mean']:.2f}"
                lines.append(f"| {setting.panel} | {name} | {cells} |")
    return "\n".join(lines)


ESTIMATORS = ("synthetic control", "demeaned", "ridge-augmented", "SDID", "difference-in-differences")
QUICK = ("placebo", "conformal, average", "conformal, first period")
SLOW = (
    "SDID, placebo",
    "SDID, normal with placebo error",
    *(f"prediction, {method}" for method in ("gaussian", "location-scale", "quantile")),
)


def tables(results: Results) -> str:
    parts = {
        "Bias (its Monte Carlo error); root mean squared error": grid(
            results, ESTIMATORS, bias, ["selected"]
        ),
        "Root mean squared error": grid(
            results, [name for name in ESTIMATORS if name != "demeaned"], error, CHOSEN[:2]
        ),
        "Root mean squared gap before the start": grid(results, ["synthetic control"], misfit),
        "A true null is rejected at 5% / at 10%": grid(
            results, ["placebo", "placebo, fit within twice", "conformal, average"], sizes
        ),
        "With the treated unit among the donors of placebos": grid(
            results, ["placebo, treated in pools"], sizes, CHOSEN[:1]
        ),
        "The best fitting quarter of units have one of the four largest ratios": grid(
            results, ["placebo"], best_quarter, CHOSEN[:1]
        ),
        "A 90% interval covers (median length)": grid(results, QUICK, coverage),
        "The same for SDID and prediction intervals": grid(results, SLOW, coverage),
        f"SDID, {TREATED} of {MANY} units treated, 20 periods before": several(results),
    }
    return "\n\n".join(f"{said}\n\n{table}" for said, table in parts.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--slow", type=int, default=400, help="samples of SDID and prediction intervals")
    parser.add_argument("--only", default="", help="settings whose description holds these words")
    parser.add_argument("--read", help="the error stream of an earlier run, which is carried on")
    options = parser.parse_args()
    os.environ["TQDM_DISABLE"] = "1"
    results: Results = {}
    for line in Path(options.read).read_text(encoding="utf-8").splitlines() if options.read else ():
        results[Setting(**json.loads(line)["setting"])] = json.loads(line)["found"]
    for setting in settings():
        if options.only in setting.said and setting not in results:
            results[setting] = study(setting, options.samples, options.slow)
            line = json.dumps({"setting": vars(setting), "found": results[setting]})
            print(line, file=sys.stderr, flush=True)
    print(tables(results))


if __name__ == "__main__":
    main()
