"""Synthetic control: time, memory and what is reached, beside other packages, in one run.

Each row runs in a process of its own: CPU seconds (user + system) of the task alone after
a warm-up on a few units, so that loading libraries and compiled code (numba) is not counted; peak memory is
that of the whole process, imports included (Linux). One thread. Data: cigarette sales in 39 states 1970 to
2000 (Proposition 99, California from 1989; scits_prop99_smoking.csv) with the predictors of Abadie, Diamond
and Hainmueller (2010); simulated panels with four factors. Other packages run in an environment of their own,
given as --peers (python with mlsynth, diff-diff, pysyncon, synthdid-py). "result" tells what was reached.
Usage: python benchmarks/synthetic_control.py [--peers PYTHON --repeats R --limit SECONDS --only WORDS]
"""

import argparse
import contextlib
import io
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS")
SHARED = Path(__file__).resolve().parents[2] / "shared"
SMOKING = SHARED / "data" / "scits_prop99_smoking.csv"
REFERENCE = SHARED / "reference" / "scits.json"
DRAWS = 200
FEW = 8
"""Units of a warm-up."""

WINDOWS = {
    "lnincome": (1980, 1988),
    "age15to24": (1980, 1988),
    "retprice": (1980, 1988),
    "beer": (1984, 1988),
    "cig75": (1975, 1975),
    "cig80": (1980, 1980),
    "cig88": (1988, 1988),
}


@dataclass(frozen=True, eq=False)
class Panel:
    """Outcomes (t, n) of units, the treated first; predictors (k, n); the long table of both."""

    outcomes: np.ndarray
    predictors: np.ndarray
    frame: pd.DataFrame
    pre: int
    names: list[str]

    @property
    def target(self) -> np.ndarray:
        return np.ascontiguousarray(self.outcomes[:, 0])

    @property
    def donors(self) -> np.ndarray:
        return np.ascontiguousarray(self.outcomes[:, 1:])

    @property
    def years(self) -> list[int]:
        return sorted(self.frame["time"].unique())


def smoking(units: int | None = None) -> Panel:
    frame = pd.read_csv(SMOKING).rename(columns={"state": "unit", "year": "time", "cigsale": "y"})
    names = ["California", *sorted(set(frame["unit"]) - {"California"})][:units]
    frame = frame[frame["unit"].isin(names)].reset_index(drop=True)
    for name in ("cig75", "cig80", "cig88"):
        frame[name] = frame["y"]
    means = [
        frame[frame["time"].between(*window)].groupby("unit")[name].mean()[names]
        for name, window in WINDOWS.items()
    ]
    return _panel(frame, names, 1989, np.array(means))


def simulated(donors: int, periods: int, pre: int, units: int | None = None) -> Panel:
    rng = np.random.default_rng(0)
    n = donors + 1 if units is None else units
    factors = np.cumsum(rng.standard_normal((periods, 4)), axis=0)
    y = 50 + factors @ rng.standard_normal((4, n)) + rng.standard_normal((periods, n))
    names = [f"u{at:05}" for at in range(n)]
    frame = pd.DataFrame(
        {"unit": np.repeat(names, periods), "time": np.tile(np.arange(periods), n), "y": y.T.ravel()}
    )
    return _panel(frame, names, pre, np.empty((0, n)))


def _panel(frame: pd.DataFrame, names: list[str], start: int, predictors: np.ndarray) -> Panel:
    frame["treated"] = ((frame["unit"] == names[0]) & (frame["time"] >= start)).astype(int)
    wide = frame.pivot(index="time", columns="unit", values="y")[names]
    pre = int((wide.index < start).sum())
    return Panel(np.ascontiguousarray(wide.to_numpy()), predictors, frame, pre, names)


Run = Callable[[], str]


def loss(mean_square: float) -> str:
    return f"squared gap before {mean_square:.7f}"


def nested_one(panel: Panel) -> Run:
    from qieval.numerics.predictor_weights import nested

    x, pre = panel.predictors, panel.pre

    def run() -> str:
        found = nested(x[:, 0], x[:, 1:], panel.target[:pre], panel.donors[:pre], seed=1)
        proven = "proven global minimum" if found.complete else "search not finished"
        return f"{loss(found.loss_v)}, {proven}, duality gap {found.gap:.0e}"

    return run


def nested_all(panel: Panel) -> Run:
    from qieval.numerics.predictor_weights import all_units

    units = np.arange(1, len(panel.names))
    first = nested_one(panel)

    def run() -> str:
        said = first()
        found = all_units(
            panel.predictors, panel.outcomes, slice(0, panel.pre), seed=1, units=units, treated=0
        )
        return f"{said}; {against_mscmt(panel, found.loss_v)}, {int(found.complete.sum())} proven"

    return run


def against_mscmt(panel: Panel, losses: np.ndarray) -> str:
    """How many placebos have a loss no higher than the one recorded of R MSCMT."""
    if not REFERENCE.is_file():
        return f"{losses.size} placebos, no reference beside the repository"
    cases = json.loads(REFERENCE.read_text(encoding="utf-8"))["cases"]
    theirs = next(case["values"] for case in cases if case["id"] == "prop99_nested_MSCMT")["placebo_loss_v"]
    recorded = np.array([theirs[name] for name in panel.names[1:]])
    as_low = int((losses <= recorded * (1 + 1e-6)).sum())
    return f"{as_low} of {losses.size} placebos at MSCMT's loss or lower"


def outcomes_one(panel: Panel) -> Run:
    from qieval.numerics.simplex import simplex_least_squares

    def run() -> str:
        found = simplex_least_squares(panel.donors[: panel.pre], panel.target[: panel.pre])
        return f"{loss(found.objective / panel.pre)}, duality gap {found.gap:.0e}"

    return run


def outcomes_all(panel: Panel) -> Run:
    from qieval.numerics.placebo_units import placebo_units, ratio_ranks

    def run() -> str:
        found = placebo_units(panel.outcomes, panel.pre, exclude=[0])
        rank = ratio_ranks(found, 0)
        return (
            f"{loss(found.mspe_pre[0])}, rank {rank.rank} of {rank.n_units}, largest duality gap"
            f" {found.gap_certificate.max():.0e}"
        )

    return run


def sdid_draws(panel: Panel, exact: bool) -> Run:
    """The estimate and 200 random placebos, as R draws them."""
    from qieval.numerics.synthetic_did import Known, Study, fit_study
    from qieval.numerics.synthetic_did_weights import AS_R, EXACT

    t, n = panel.outcomes.shape
    study = Study(
        np.ascontiguousarray(panel.outcomes.T),
        np.where(np.arange(n) == 0, panel.pre, t),
        optimiser=EXACT if exact else AS_R,
    )
    starts = np.append(np.full(n - 2, t), panel.pre)

    def run() -> str:
        fitted = fit_study(study)
        cohort, rng, effects = fitted.cohorts[0], np.random.default_rng(1), []
        for _ in range(DRAWS):
            units = rng.permutation(np.arange(1, n))
            known = Known(cohort.penalties, cohort.unit_weights[units], cohort.time_weights)
            effects.append(fit_study(study.sample(units, starts), {panel.pre: known}).estimate)
        return f"{fitted.estimate:.6f} (SE {np.std(effects):.2f})"

    return run


def public(panel: Panel, kind: str = "SyntheticControl", **given: Any) -> Run:
    """The public path: checks, weights, placebos, intervals, balance."""
    import qieval as qe

    frame = panel.frame.assign(treated=panel.frame["unit"] == panel.names[0])
    design = getattr(qe, kind)(
        outcome="y", unit="unit", time="time", treated="treated", start=panel.years[panel.pre], **given
    )

    def run() -> str:
        found = qe.estimate(design, frame).estimates.iloc[0]
        return f"{found['estimate']:.6f} ({found['conf_low']:.2f} to {found['conf_high']:.2f})"

    return run


def public_nested(panel: Panel) -> Run:
    words = {name: f"{low} to {high}" for name, (low, high) in WINDOWS.items() if not name.startswith("cig")}
    return public(panel, predictors=words | {"y": "1975; 1980; 1988"}, v="nested")


def mlsynth(panel: Panel, nested: bool, placebos: bool) -> Run:
    from mlsynth import VanillaSC

    given = {"outcome": "y", "treat": "treated", "unitid": "unit", "time": "time"}
    given |= {"inference": "placebo" if placebos else False, "display_graphs": False}
    if nested:
        given |= {"backend": "mscmt", "covariates": list(WINDOWS), "covariate_windows": WINDOWS}
    columns = ["unit", "time", "y", "treated", *(WINDOWS if nested else ())]

    def run() -> str:
        found = VanillaSC({"df": panel.frame[columns], **given}).fit()
        gap = found.time_series.estimated_gap.ravel()[: panel.pre]
        return loss(float(np.mean(gap**2)))

    return run


def diff_diff(panel: Panel, nested: bool, placebos: bool, starts: int = 4) -> Run:
    from diff_diff import SyntheticControl

    columns = {"outcome": "y", "treatment": "treated", "unit": "unit", "time": "time"}
    special = [
        (name, list(range(low, high + 1)), "mean")
        for name, (low, high) in WINDOWS.items()
        if not name.startswith("cig")
    ]
    if nested:
        model = SyntheticControl(n_starts=starts, seed=1)
    else:
        model = SyntheticControl(v_method="custom", custom_v=np.ones(panel.pre), standardize="none")
    more = {"special_predictors": special, "pre_period_outcomes": [1975, 1980, 1988]} if nested else {}

    def run() -> str:
        found = model.fit(panel.frame, **columns, **more)
        if placebos:
            found.in_space_placebo()
        return loss(found.pre_rmspe**2)

    return run


def diff_diff_sdid(panel: Panel) -> Run:
    from diff_diff import SyntheticDiD

    last = panel.years[panel.pre :]
    frame = panel.frame.assign(treated=(panel.frame["unit"] == panel.names[0]).astype(int))
    model = SyntheticDiD(variance_method="placebo", n_bootstrap=DRAWS, seed=1)

    def run() -> str:
        found = model.fit(frame, "y", "treated", "unit", "time", post_periods=last)
        return f"{found.att:.6f} (SE {found.se:.2f})"

    return run


def synthdid_py(panel: Panel) -> Run:
    from synthdid import synthdid_estimate
    from synthdid.vcov import placebo_se

    y = np.column_stack([panel.donors, panel.target]).T

    def run() -> str:
        found = synthdid_estimate(y, y.shape[0] - 1, panel.pre)
        return f"{float(found):.6f} (SE {placebo_se(found, DRAWS, 1):.2f})"

    return run


def pysyncon(panel: Panel, placebos: bool) -> Run:
    """Placebos one after the other: its own test starts processes for them."""
    from pysyncon import Dataprep, Synth

    def prepared(treated: str) -> Any:
        return Dataprep(
            foo=panel.frame,
            predictors=["lnincome", "age15to24", "retprice"],
            predictors_op="mean",
            dependent="y",
            unit_variable="unit",
            time_variable="time",
            treatment_identifier=treated,
            controls_identifier=[name for name in panel.names[1:] if name != treated],
            time_predictors_prior=range(1980, 1989),
            time_optimize_ssr=range(1970, 1989),
            special_predictors=[
                ("beer", range(1984, 1989), "mean"),
                *(("y", [year], "mean") for year in (1975, 1980, 1988)),
            ],
        )

    def run() -> str:
        first, *others = panel.names if placebos else panel.names[:1]
        model = Synth()
        model.fit(prepared(first))
        for name in others:
            Synth().fit(prepared(name))
        gaps = panel.target[: panel.pre] - panel.donors[: panel.pre] @ model.W
        return loss(float(np.mean(gaps**2)))

    return run


@dataclass(frozen=True)
class Row:
    """One line: a program, how it is prepared, and whether it needs the other environment."""

    tool: str
    prepare: Callable[[Panel], Run]
    peer: bool = False


def of_peer(tool: str, prepare: Callable[..., Run], *given: Any) -> Row:
    return Row(tool, lambda panel: prepare(panel, *given), peer=True)


Make = Callable[[int | None], Panel]
KERNEL = "qieval"
PUBLIC = "qieval, `qe.estimate` with placebos, intervals and balance"

GROUPS: dict[str, tuple[str, Make, list[Row]]] = {
    "nested one": (
        "Proposition 99, nested V, one fit",
        smoking,
        [
            Row(KERNEL, nested_one),
            of_peer("mlsynth, MSCMT backend", mlsynth, True, False),
            of_peer("diff-diff, 4 starts", diff_diff, True, False),
            of_peer("diff-diff, 20 starts", diff_diff, True, False, 20),
            of_peer("pysyncon, defaults", pysyncon, False),
        ],
    ),
    "nested placebos": (
        "Proposition 99, nested V, one fit and 38 placebos (aim: 10 s)",
        smoking,
        [
            Row(KERNEL, nested_all),
            Row(PUBLIC, public_nested),
            of_peer("mlsynth, MSCMT backend", mlsynth, True, True),
            of_peer("diff-diff, 4 starts", diff_diff, True, True),
            of_peer("pysyncon, defaults", pysyncon, True),
        ],
    ),
    "outcomes placebos": (
        "Proposition 99, outcomes only, one fit and 38 placebos (aim: 0.5 s)",
        smoking,
        [
            Row(KERNEL, outcomes_all),
            Row(PUBLIC, public),
            of_peer("mlsynth", mlsynth, False, True),
            of_peer("diff-diff", diff_diff, False, True),
        ],
    ),
    "sdid": (
        f"Proposition 99, SDID and {DRAWS} placebo draws (aim: 2 s)",
        smoking,
        [
            Row("qieval, as R synthdid", lambda panel: sdid_draws(panel, exact=False)),
            Row("qieval, exact weights", lambda panel: sdid_draws(panel, exact=True)),
            Row(
                "qieval, `qe.estimate` with all 38 placebos",
                lambda panel: public(panel, "SyntheticDifferenceInDifferences"),
            ),
            of_peer("diff-diff", diff_diff_sdid),
            of_peer("synthdid-py", synthdid_py),
        ],
    ),
    "200": (
        "200 donors x 100 periods (80 before), one fit and 200 placebos (aim: 1 s)",
        lambda units: simulated(200, 100, 80, units),
        [
            Row(KERNEL, outcomes_all),
            Row(PUBLIC, public),
            of_peer("mlsynth", mlsynth, False, True),
            of_peer("diff-diff", diff_diff, False, True),
        ],
    ),
    "200 sdid": (
        f"200 donors x 100 periods (80 before), SDID and {DRAWS} placebo draws",
        lambda units: simulated(200, 100, 80, units),
        [
            Row("qieval, as R synthdid", lambda panel: sdid_draws(panel, exact=False)),
            Row("qieval, exact weights", lambda panel: sdid_draws(panel, exact=True)),
            of_peer("diff-diff", diff_diff_sdid),
        ],
    ),
    "2000 one": (
        "2,000 donors x 200 periods (150 before), one fit (aim: 0.05 s)",
        lambda units: simulated(2000, 200, 150, units),
        [
            Row(KERNEL, outcomes_one),
            of_peer("mlsynth", mlsynth, False, False),
            of_peer("diff-diff", diff_diff, False, False),
        ],
    ),
    "2000": (
        "2,000 donors x 200 periods (150 before), one fit and 2,000 placebos (aim: 45 s, 500 MB)",
        lambda units: simulated(2000, 200, 150, units),
        [
            Row(KERNEL, outcomes_all),
            Row(PUBLIC, public),
            of_peer("mlsynth", mlsynth, False, True),
            of_peer("diff-diff", diff_diff, False, True),
        ],
    ),
}

RECORDED = """
Recorded elsewhere (R 4.2.2, one thread, user CPU seconds; not run by this script):

| task | software | CPU seconds | result |
|---|---|---|---|
| Proposition 99, nested V, 38 placebos | tidysynth 0.2.1 | 42 | squared gap before 3.1662 |
| | MSCMT 1.4.3 | 54 | 3.0766636 |
| | Synth 1.1-8 | 179 | 3.2091 |
| Proposition 99, SDID and 200 placebo draws | synthdid 0.0.9 | 39 | -15.603828 |
| 2,000 donors x 200 periods, one fit | synthdid 0.0.9, SDID | 43 | |
| | augsynth 0.2.0, without ridge | 17 | 546 MB |
"""


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(group: str, place: int) -> dict[str, Any]:
    _, make, rows = GROUPS[group]
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows[place].prepare(make(FEW))()
        run = rows[place].prepare(make(None))
        before, wall = cpu(), time.perf_counter()
        result = run()
    return {
        "cpu": cpu() - before,
        "wall": time.perf_counter() - wall,
        "peak_mb": peak_mb(),
        "result": result,
    }


def measured(group: str, place: int, python: str, options: argparse.Namespace) -> dict[str, Any] | str:
    environment = os.environ | dict.fromkeys(THREADS, "1") | {"TQDM_DISABLE": "1"}
    runs: list[dict[str, Any]] = []
    for _ in range(options.repeats):
        command = [python, __file__, "--limit", str(options.limit), "--one", group, str(place)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        if done.returncode == -signal.SIGXCPU:
            return f"more than {options.limit}"
        if done.returncode:
            return "failed: " + (done.stderr.strip().splitlines() or ["no message"])[-1]
        runs.append(json.loads(done.stdout.strip().splitlines()[-1]))
        if runs[-1]["cpu"] > options.once:
            break
    middle = {key: statistics.median(run[key] for run in runs) for key in ("cpu", "wall", "peak_mb")}
    return middle | {"result": runs[0]["result"]}


def seconds(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.2g}"


def table(group: str, options: argparse.Namespace) -> None:
    said, _, rows = GROUPS[group]
    print(f"\n{said}\n\n| tool | CPU seconds | of qieval's | peak MB | result |\n|---|---|---|---|---|")
    first = None
    for place, row in enumerate(rows):
        if row.peer and not options.peers:
            print(f"| {row.tool} | not installed (--peers) | | | |", flush=True)
            continue
        found = measured(group, place, options.peers if row.peer else sys.executable, options)
        if isinstance(found, str):
            print(f"| {row.tool} | {found} | | | |", flush=True)
            continue
        first = found["cpu"] if first is None else first
        cells = (seconds(found["cpu"]), seconds(found["cpu"] / first), f"{found['peak_mb']:.0f}")
        print(f"| {row.tool} | {' | '.join(cells)} | {found['result']} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", help="python of an environment that holds the other packages")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--limit", type=int, default=300, help="CPU seconds at which a row is stopped")
    parser.add_argument("--once", type=float, default=20.0, help="CPU seconds: no row is repeated from there")
    parser.add_argument("--only", default="", help="groups whose name or description holds these words")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        resource.setrlimit(resource.RLIMIT_CPU, (options.limit, options.limit + 5))
        print(json.dumps(measure(options.one[0], int(options.one[1]))))
        return
    print(f"One thread, median of {options.repeats} runs, each in a process of its own")
    for group, (said, make, _) in GROUPS.items():
        if options.only not in f"{group}: {said}":
            continue
        if make is smoking and not SMOKING.is_file():
            print(f"\n{said}\n\nnot run: {SMOKING.name} is not beside the repository")
            continue
        table(group, options)
    print(RECORDED)


if __name__ == "__main__":
    main()
