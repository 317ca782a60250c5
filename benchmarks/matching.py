"""Matching, weighting and balance at scale: kernels, the public path, and other packages.

Each task runs in a process of its own on the same simulated people (10 normal and 5 binary covariates, 15% to
16% treated): CPU seconds (user + system) of the task alone, and its peak memory over what the process held
before (Linux). A warm-up on 3,000 people comes first: loading libraries and compiled code (numba) is not
counted. "design" stops before the outcome is opened; it includes checks of the data, their fingerprint, the
score, the weights and the balance table. Packages that are not part of this environment run in another one,
given as --peers (python with pymatchit-causal, causallib, psmpy and ebal). Figures of R were measured
elsewhere on the same data; they say in which order of magnitude R works, nothing finer.
Usage: python benchmarks/matching.py [--peers PYTHON --repeats R --only WORDS]
"""

import argparse
import contextlib
import io
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS")
NORMAL, BINARY = [f"x{i}" for i in range(1, 11)], [f"b{i}" for i in range(1, 6)]
COVARIATES = (*NORMAL, *BINARY)
WARM_UP = 3000
MILLION = 1_000_000


def expit(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


def make(n: int) -> pd.DataFrame:
    rng = np.random.default_rng(20190401)
    x, b = rng.standard_normal((n, 10)), rng.random((n, 5)) < [0.5, 0.3, 0.2, 0.1, 0.05]
    index = -2.05 + x[:, :5] @ [0.4, -0.3, 0.25, 0.2, 0.1] + b @ [0.4, -0.3, 0.5, 0.3, -0.2]
    treated = rng.random(n) < expit(index)
    y = 1 + 0.5 * treated + x[:, :5] @ [0.5, 0.4, 0.3, 0.2, 0.1] + 0.3 * b[:, 0] + rng.standard_normal(n)
    columns = dict(zip(COVARIATES, np.column_stack([x, b]).T, strict=True))
    return pd.DataFrame({**columns, "treated": treated.astype(int), "y": y, "index": index})


def arrays(frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Score, treatment and covariates."""
    return (
        expit(frame["index"].to_numpy()),
        frame["treated"].to_numpy() == 1,
        frame[list(COVARIATES)].to_numpy(),
    )


def with_squares(x: np.ndarray) -> np.ndarray:
    return np.column_stack([x, x[:, :5] ** 2])


def pairs(frame: pd.DataFrame, **given: Any) -> Callable[[], int]:
    from qieval.numerics.nearest import Search, nearest

    score, treated, _ = arrays(frame)
    everybody = np.ones(score.size, dtype=bool)
    return lambda: len(nearest(Search(focal=treated, usable=everybody, score=score, **given)))


def exact_pairs(frame: pd.DataFrame) -> Callable[[], int]:
    return pairs(frame, strata=(2 * frame["b1"] + frame["b2"]).to_numpy(int))


def mahalanobis(frame: pd.DataFrame, columns: int, caliper: bool) -> Callable[[], int]:
    from qieval.numerics.distances import whiten

    score, treated, x = arrays(frame)
    width = 0.2 * float(score.std()) if caliper else None

    def run() -> int:
        return pairs(frame, vectors=whiten(x[:, :columns], treated), caliper=width)()

    return run


def optimal(frame: pd.DataFrame) -> Callable[[], int]:
    from qieval.numerics.candidates import Candidates
    from qieval.numerics.optimal import optimal_pairs

    score, treated, _ = arrays(frame)
    return lambda: len(optimal_pairs(Candidates(focal=treated, score=score)))


def full_sets(frame: pd.DataFrame) -> Callable[[], int]:
    from qieval.numerics.candidates import Candidates
    from qieval.numerics.full_matching import full

    score, treated, _ = arrays(frame)
    return lambda: int(full(Candidates(focal=treated, score=score)).max()) + 1


def logistic_score(frame: pd.DataFrame) -> Callable[[], float]:
    from qieval.numerics.logistic import logistic

    _, treated, x = arrays(frame)
    return lambda: float(logistic(x, treated).probability.sum())


def entropy(frame: pd.DataFrame) -> Callable[[], float]:
    from qieval.numerics.entropy_balancing import entropy_balance

    _, treated, x = arrays(frame)
    x = with_squares(x)
    return lambda: float(entropy_balance(x, treated).weights.sum())


def balance_table(frame: pd.DataFrame) -> Callable[[], int]:
    import qieval as qe

    weights = np.where(frame["treated"] == 1, 1.0, np.exp(frame["index"]))
    return lambda: len(qe.balance(frame, "treated", COVARIATES, weights).table)


def another_weighting(frame: pd.DataFrame) -> Callable[[], int]:
    import qieval as qe

    weights = np.where(frame["treated"] == 1, 1.0, np.exp(frame["index"]))
    table = qe.balance(frame, "treated", COVARIATES, weights)
    return lambda: len(table.reweighted(np.sqrt(weights), "another").table)


def public(frame: pd.DataFrame, kind: str = "Matching", **given: Any) -> Callable[[], float]:
    import qieval as qe

    design = getattr(qe, kind)(treated="treated", covariates=COVARIATES, **given)
    return lambda: float(qe.estimate(design, frame).weights["weight"].sum())


def checked(frame: pd.DataFrame) -> Callable[[], int]:
    import qieval as qe

    design = qe.Matching(treated="treated", covariates=COVARIATES, caliper=0.2)
    return lambda: len(qe.design_checks(design, frame))


def statsmodels_score(frame: pd.DataFrame) -> Callable[[], float]:
    import statsmodels.api as sm

    _, treated, x = arrays(frame)
    held = sm.add_constant(x)
    return lambda: float(sm.GLM(treated.astype(float), held, sm.families.Binomial()).fit().params[0])


def sklearn_score(frame: pd.DataFrame) -> Callable[[], float]:
    from sklearn.linear_model import LogisticRegression

    _, treated, x = arrays(frame)
    model = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000)
    return lambda: float(model.fit(x, treated).intercept_[0])


def pymatchit(frame: pd.DataFrame, method: str) -> Callable[[], int]:
    from pymatchit import MatchIt

    score, *_ = arrays(frame)

    def run() -> int:
        found = MatchIt(frame, method=method, distance=score)
        found.fit("treated ~ " + " + ".join(COVARIATES))
        return len(frame)

    return run


def causallib_pairs(frame: pd.DataFrame) -> Callable[[], int]:
    from causallib.estimation import Matching

    score = frame[["index"]]

    def run() -> int:
        found = Matching(with_replacement=False, metric="euclidean", matching_mode="treatment_to_control")
        found.fit(score, frame["treated"], frame["y"])
        return len(found.match(score, frame["treated"], use_cached_result=False))

    return run


def psmpy_pairs(frame: pd.DataFrame) -> Callable[[], int]:
    from psmpy import PsmPy

    held = frame[[*COVARIATES, "treated"]].assign(id=np.arange(len(frame)))

    def run() -> int:
        found = PsmPy(held, treatment="treated", indx="id", exclude=[])
        found.logistic_ps(balance=False)
        found.kdtree_matched(matcher="propensity_logit", replacement=False, caliper=None)
        return len(found.df_matched)

    return run


def ebal_weights(frame: pd.DataFrame) -> Callable[[], float]:
    from ebal import ebal_bin

    _, treated, x = arrays(frame)
    columns = pd.DataFrame(with_squares(x))
    model = ebal_bin(effect="ATT", PCA=False)
    return lambda: float(np.sum(model.ebalance(pd.Series(treated.astype(int)), columns, frame["y"])["w"]))


Task = tuple[str, int, Callable[[pd.DataFrame], Callable[[], Any]]]

SCORE = "pairs, score given"
TASKS: dict[str, Task] = {
    "nearest": (f"kernel: nearest {SCORE}", MILLION, pairs),
    "caliper": (
        f"kernel: caliper 0.2 SD, {SCORE}",
        MILLION,
        lambda f: pairs(f, caliper=0.2 * float(expit(f["index"]).std())),
    ),
    "exact": (f"kernel: exact on 2 binaries, {SCORE}", MILLION, exact_pairs),
    "ratio": (f"kernel: ratio 3, {SCORE}", MILLION, lambda f: pairs(f, ratio=3)),
    "replace": (f"kernel: with replacement, {SCORE}", MILLION, lambda f: pairs(f, replace=True)),
    "mahalanobis caliper": ("kernel: Mahalanobis (5) in caliper", 100_000, lambda f: mahalanobis(f, 5, True)),
    "mahalanobis": ("kernel: Mahalanobis (15)", 10_000, lambda f: mahalanobis(f, 15, False)),
    "optimal": ("kernel: optimal pairs on the score", 10_000, optimal),
    "optimal 1e6": ("kernel: optimal pairs on the score", MILLION, optimal),
    "full": ("kernel: full matching on the score", 100_000, full_sets),
    "full 1e6": ("kernel: full matching on the score", MILLION, full_sets),
    "logistic": ("kernel: logistic score, 15 covariates", MILLION, logistic_score),
    "entropy": ("kernel: entropy balancing, 20 columns", MILLION, entropy),
    "balance": ("qe.balance, 15 covariates, before and after", MILLION, balance_table),
    "reweighted": ("one more weighting of that table", MILLION, another_weighting),
    "design": ("qe.estimate: Matching, design", MILLION, public),
    "outcome": ("qe.estimate: Matching with outcome", MILLION, lambda f: public(f, outcome="y")),
    "outcome caliper": (
        "qe.estimate: Matching in a caliper with outcome",
        MILLION,
        lambda f: public(f, outcome="y", caliper=0.2),
    ),
    "outcome full": (
        "qe.estimate: full Matching with outcome",
        MILLION,
        lambda f: public(f, outcome="y", method="full"),
    ),
    "outcome regression": (
        "qe.estimate: Matching, outcome regression",
        MILLION,
        lambda f: public(f, outcome="y", outcome_model="covariates"),
    ),
    "weighting": (
        "qe.estimate: Weighting (score) with outcome",
        MILLION,
        lambda f: public(f, "Weighting", outcome="y"),
    ),
    "weighting entropy": (
        "qe.estimate: Weighting (entropy) with outcome",
        MILLION,
        lambda f: public(f, "Weighting", outcome="y", method="entropy balancing"),
    ),
    "checks": ("qe.design_checks: Matching in a caliper", MILLION, checked),
}
HERE = {
    "statsmodels": ("statsmodels GLM: logistic score, 15 covariates", MILLION, statsmodels_score),
    "sklearn": ("scikit-learn without penalty: logistic score", MILLION, sklearn_score),
}
SMALL = {
    "small nearest": (f"kernel: nearest {SCORE}", 10_000, pairs),
    "small full": ("kernel: full matching on the score", 10_000, full_sets),
}
PEERS = {
    "pymatchit": (f"pymatchit-causal: nearest {SCORE}", 10_000, lambda f: pymatchit(f, "nearest")),
    "pymatchit optimal": (
        "pymatchit-causal: optimal pairs, score given",
        10_000,
        lambda f: pymatchit(f, "optimal"),
    ),
    "pymatchit full": (
        "pymatchit-causal: full matching, score given",
        10_000,
        lambda f: pymatchit(f, "full"),
    ),
    "causallib": (f"causallib: nearest {SCORE}", 10_000, causallib_pairs),
    "psmpy": ("psmpy: score and nearest pairs", 2_000, psmpy_pairs),
    "ebal": ("ebal (PyPI): entropy balancing, 20 columns", MILLION, ebal_weights),
}
EVERY = TASKS | HERE | SMALL | PEERS

RECORDED = """
Recorded elsewhere (R 4.2.2, one thread, user CPU seconds; not run by this script):

| task | software | n | CPU seconds | peak MB |
|---|---|---|---|---|
| nearest pairs, score given | MatchIt 4.7.2 | 1,000,000 | 1.04 | 1509 |
| caliper 0.2 | MatchIt 4.7.2 | 1,000,000 | 1.14 | |
| exact on 2 binaries | MatchIt 4.7.2 | 1,000,000 | 2.27 | |
| with replacement | MatchIt 4.7.2 | 1,000,000 | 0.93 | |
| logistic score | glm | 1,000,000 | 3.3 | |
| balance table | summary(matchit) | 1,000,000 | 37.9 | |
| balance table | cobalt 4.6.2 bal.tab | 1,000,000 | 29.3 | |
| Mahalanobis (5) in caliper | MatchIt 4.7.2 | 100,000 | 27.8 | |
| Mahalanobis (15) | MatchIt 4.7.2 | 10,000 | 4.05 | |
| optimal pairs | optmatch 0.10.8 | 10,000 | 2.36 | 706 |
| full matching on the score | optmatch 0.10.8 | 10,000 | killed after 400 s (wall) | 3665 |
| entropy balancing, 20 columns | WeightIt 1.5.1 | 1,000,000 | 6.9 + 2.3 system | 1863 |
"""


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def memory_mb(which: str) -> float:
    """Memory held now ("VmRSS") or at its peak ("VmHWM"), from Linux."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(which)) / 1024


def forget_the_peak() -> None:
    """Let the peak start again from what is held now."""
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def measure(name: str) -> dict[str, float]:
    _, n, prepare = EVERY[name]
    with contextlib.redirect_stdout(io.StringIO()):
        prepare(make(min(n, WARM_UP)))()
        frame = make(n)
        run = prepare(frame)
        forget_the_peak()
        held, before = memory_mb("VmRSS"), cpu()
        wall = time.perf_counter()
        run()
    used, peak = cpu() - before, memory_mb("VmHWM")
    return {"cpu": used, "wall": time.perf_counter() - wall, "extra_mb": peak - held, "peak_mb": peak}


def measured(name: str, python: str, repeats: int) -> dict[str, float] | str:
    environment = os.environ | dict.fromkeys(THREADS, "1") | {"TQDM_DISABLE": "1"}
    runs = []
    for _ in range(repeats):
        command = [python, __file__, "--one", name]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        if done.returncode:
            return done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "no message"
        runs.append(json.loads(done.stdout.strip().splitlines()[-1]))
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]}


def line(name: str, found: dict[str, float] | str) -> str:
    said, n, _ = EVERY[name]
    if isinstance(found, str):
        return f"| {said} | {n:,} | failed: {found} | | |"
    return f"| {said} | {n:,} | {found['cpu']:.3g} | {found['extra_mb']:.0f} | {found['peak_mb']:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", help="python of an environment that holds the other packages")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default="", help="tasks whose name or description holds these words")
    parser.add_argument("--one", choices=EVERY, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one)))
        return
    print(f"One thread, median of {options.repeats} runs, each in a process of its own\n")
    print("| task | n | CPU seconds | MB over the data | peak MB |\n|---|---|---|---|---|")
    groups = [(TASKS | HERE | SMALL, sys.executable)]
    groups += [(PEERS, options.peers)] if options.peers else []
    for tasks, python in groups:
        for name in tasks:
            if options.only in f"{name} {tasks[name][0]}":
                print(line(name, measured(name, python, options.repeats)), flush=True)
    print(RECORDED)


if __name__ == "__main__":
    main()
