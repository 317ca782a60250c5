"""Two-group difference-in-differences at scale: qieval beside linearmodels and pyfixest.

Each tool runs in a process of its own on the same panel (10,000 units x 100 periods, five covariates,
clustered by unit) and estimates the same coefficients: CPU seconds (user + system) of the estimate alone,
after a warm-up on a small panel, and the growth of the process's peak memory over what the data needed.
Usage: python benchmarks/did.py [--units N --periods T --repeats R --threads K]
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

import numpy as np
import pandas as pd

COVARIATES = ["x1", "x2", "x3", "x4", "x5"]
TOOLS = ("qieval", "qieval, average only", "linearmodels", "pyfixest")


def make(units: int, periods: int, seed: int = 1) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    n = units * periods
    unit, period = np.repeat(np.arange(units), periods), np.tile(np.arange(periods), units)
    treated = unit < units // 3
    frame = {"unit": unit, "time": period, "treated": treated.astype(np.int64)}
    frame |= {name: random.standard_normal(n) + 0.1 * unit / units for name in COVARIATES}
    effect = 0.5 * (treated & (period >= periods // 2))
    noise = random.standard_normal(n) + random.standard_normal(units)[unit]
    frame["y"] = effect + sum(0.1 * frame[name] for name in COVARIATES) + 0.02 * period + noise
    return pd.DataFrame(frame)


def qieval_estimate(frame: pd.DataFrame, start: int, brief: bool = False) -> tuple[float, float]:
    import qieval as qe
    from qieval.methods.difference_in_differences import estimate

    design = qe.DifferenceInDifferences(
        outcome="y", unit="unit", time="time", treated="treated", start=start, covariates=tuple(COVARIATES)
    )
    result = estimate(design, frame, brief=True) if brief else qe.estimate(design, frame)
    row = result.estimates.iloc[0]
    return float(row["estimate"]), float(row["std_error"])


def linearmodels_estimate(frame: pd.DataFrame, start: int) -> tuple[float, float]:
    from linearmodels.panel import PanelOLS

    exposed = (frame["treated"] == 1) & (frame["time"] >= start)
    held = frame.assign(exposed=exposed.astype(float)).set_index(["unit", "time"])
    model = PanelOLS(held["y"], held[["exposed", *COVARIATES]], entity_effects=True, time_effects=True)
    fit = model.fit(cov_type="clustered", cluster_entity=True)
    return float(fit.params["exposed"]), float(fit.std_errors["exposed"])


def pyfixest_estimate(frame: pd.DataFrame, start: int) -> tuple[float, float]:
    import pyfixest

    exposed = (frame["treated"] == 1) & (frame["time"] >= start)
    formula = f"y ~ exposed + {' + '.join(COVARIATES)} | unit + time"
    fit = pyfixest.feols(formula, frame.assign(exposed=exposed.astype(float)), vcov={"CRV1": "unit"})
    return float(fit.coef()["exposed"]), float(fit.se()["exposed"])


RUN = {
    "qieval": qieval_estimate,
    "qieval, average only": lambda frame, start: qieval_estimate(frame, start, brief=True),
    "linearmodels": linearmodels_estimate,
    "pyfixest": pyfixest_estimate,
}


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(tool: str, units: int, periods: int) -> dict[str, float]:
    small = make(60, 10)
    RUN[tool](small, 5)
    frame = make(units, periods)
    before_cpu, before_wall, before_mb = cpu(), time.perf_counter(), peak_mb()
    estimate, error = RUN[tool](frame, periods // 2)
    return {
        "cpu": cpu() - before_cpu,
        "wall": time.perf_counter() - before_wall,
        "extra_mb": peak_mb() - before_mb,
        "data_mb": float(frame.memory_usage(index=False).sum() / 2**20),
        "estimate": estimate,
        "std_error": error,
    }


def measured(tool: str, units: int, periods: int, threads: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--one", tool, "--units", str(units), "--periods", str(periods)]
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS")
    environment = os.environ | ({} if threads == "default" else dict.fromkeys(names, threads))
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "no message"
        sys.exit(f"{tool} failed: {last}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=10_000)
    parser.add_argument("--periods", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--threads", default="default", help="threads for BLAS and numba; 'default' leaves them alone"
    )
    parser.add_argument("--one", choices=TOOLS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options.units, options.periods)))
        return
    runs = {tool: [] for tool in TOOLS}
    for _ in range(options.repeats):
        for tool in TOOLS:
            runs[tool].append(measured(tool, options.units, options.periods, options.threads))
    rows = []
    for tool in TOOLS:
        figures = {key: statistics.median(run[key] for run in runs[tool]) for key in runs[tool][0]}
        rows.append({"tool": tool} | figures)
    table = pd.DataFrame(rows).set_index("tool")
    table["cpu / linearmodels"] = table["cpu"] / table.loc["linearmodels", "cpu"]
    table["extra memory / data"] = table["extra_mb"] / table["data_mb"]
    size = f"{options.units:,} units x {options.periods} periods"
    print(f"{size}, median of {options.repeats} runs, threads: {options.threads}")
    print("qieval: data checks, fingerprint, average effect, event study with bands, record")
    print(table.round(6).to_string())


if __name__ == "__main__":
    main()
