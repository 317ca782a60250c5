"""How often do 95% intervals after matching and weighting hold the truth? Simulated people, public path.

Each sample: two normal covariates and a binary one that bear on treatment and outcome. Truths come from the
simulated model by quadrature, in the population that each estimand speaks of. `few`: 600 people, a sixth
treated (pair matching has partners to choose from); `even`: 500 people, 45% treated. Prints Markdown tables,
those in docs/validation.md: truth, bias, spread of the estimates over samples, mean standard error, coverage;
bias and spread of ratios are those of their logarithm. Rows go to the error stream as they are finished.
Usage: python benchmarks/coverage_matching.py [--samples N --bootstraps B --processes P --only WORDS]
"""

import argparse
import json
import os
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any

import numpy as np
import pandas as pd

import qieval as qe
from qieval.catalogue import method_of
from qieval.errors import EstimationError

COVARIATES = ("x1", "x2", "b")
SIZES = {"few": (600, -1.9), "even": (500, -0.45)}
HORIZON = 2.0
HOSPITALS = 40
Means = dict[str, Callable[[Any, Any, Any, int], np.ndarray]]


def expit(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


def score(x1: np.ndarray, x2: np.ndarray, b: np.ndarray, constant: float, curve: float = 0.0) -> np.ndarray:
    return expit(constant + 0.5 * x1 - 0.4 * x2 + 0.5 * b + curve * (x1**2 - 1))


def level(x1: np.ndarray, x2: np.ndarray, b: np.ndarray) -> np.ndarray:
    return x1 + 0.5 * x2 + 0.7 * b


# Expected outcomes given the covariates, for arm 1 and 0.
MEANS: Means = {
    "same": lambda x1, x2, b, arm: level(x1, x2, b) + arm,
    "varying": lambda x1, x2, b, arm: level(x1, x2, b) + arm * (1 + 0.5 * x1),
    "curved": lambda x1, x2, b, arm: level(x1, x2, b) + 0.5 * x1**2 + arm,
    "died": lambda x1, x2, b, arm: expit(-1 + 0.7 * level(x1, x2, b) - 0.6 * arm),
    "visits": lambda x1, x2, b, arm: np.exp(0.4 * level(x1, x2, b) - 0.4 * arm),
    "survival": lambda x1, x2, b, arm: 1 - np.exp(-HORIZON * hazard(x1, x2, b, arm)),
}


def hazard(x1: np.ndarray, x2: np.ndarray, b: np.ndarray, arm: np.ndarray | int) -> np.ndarray:
    return np.asarray(0.2 * np.exp(0.4 * level(x1, x2, b) - 0.6 * arm))


def people(size: str, rng: np.random.Generator, curve: float = 0.0) -> pd.DataFrame:
    n, constant = SIZES[size]
    x1, x2, b = rng.standard_normal(n), rng.standard_normal(n), (rng.random(n) < 0.4).astype(float)
    treated = (rng.random(n) < score(x1, x2, b, constant, curve)).astype(int)
    frame = pd.DataFrame({"x1": x1, "x2": x2, "b": b, "treated": treated})
    noise = rng.standard_normal(n)
    for name in ("same", "varying", "curved"):
        frame[name] = MEANS[name](x1, x2, b, treated) + noise
    frame["died"] = (rng.random(n) < MEANS["died"](x1, x2, b, treated)).astype(int)
    frame["years"] = rng.uniform(0.3, 2, n)
    frame["visits"] = rng.poisson(MEANS["visits"](x1, x2, b, treated) * frame["years"])
    time, censored = rng.exponential(1 / hazard(x1, x2, b, treated)), rng.uniform(0.5, 6, n)
    frame["event"], frame["time"] = (time <= censored).astype(int), np.minimum(time, censored)
    frame["hospital"] = rng.integers(0, HOSPITALS, n)
    frame["shared"] = frame["same"] + rng.standard_normal(HOSPITALS)[frame["hospital"]]
    return frame


def truth(outcome: str, term: str, estimand: str, size: str, curve: float = 0.0) -> float:
    """The effect in the population that an estimand speaks of, by Gauss-Hermite quadrature."""
    node, mass = np.polynomial.hermite_e.hermegauss(60)
    mass = mass / mass.sum()
    x1, x2, b = (held.ravel() for held in np.meshgrid(node, node, [0.0, 1.0], indexing="ij"))
    weight = np.einsum("i,j,k->ijk", mass, mass, [0.6, 0.4]).ravel()
    p = score(x1, x2, b, SIZES[size][1], curve)
    weight *= {"ATT": p, "ATC": 1 - p, "ATE": 1.0, "ATO": p * (1 - p), "ATM": np.minimum(p, 1 - p)}[estimand]
    one, zero = (float(np.average(MEANS[outcome](x1, x2, b, arm), weights=weight)) for arm in (1, 0))
    if term.endswith("odds ratio"):
        return one / (1 - one) / (zero / (1 - zero))
    return one / zero if term.endswith("ratio") else one - zero


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the tables: a design, where its estimate stands, and what it should be."""

    group: str
    said: str
    design: qe.Matching | qe.Weighting
    outcome: str = "same"
    term: str = "difference"
    size: str = "few"
    curve: float = 0.0
    true: float = field(default=float("nan"))

    @property
    def drawn(self) -> bool:
        """Whether every sample takes a bootstrap."""
        return self.design.inference == "bootstrap"

    def aim(self) -> float:
        named = "same" if self.outcome == "shared" else self.outcome
        return truth(named, self.term, self.design.estimand, self.size, self.curve)


COLUMNS: dict[str, dict[str, Any]] = {
    "visits": {"outcome": "visits", "person_time": "years"},
    "survival": {"outcome": "event", "person_time": "time", "horizon": HORIZON},
}


def fields_of(outcome: str) -> dict[str, Any]:
    return COLUMNS.get(outcome, {"outcome": outcome})


def matched(group: str, said: str, **given: Any) -> Row:
    own = {name: given.pop(name) for name in ("outcome", "term", "size", "curve") if name in given}
    held = fields_of(own.get("outcome", "same"))
    return Row(
        group=group,
        said=said,
        design=qe.Matching(treated="treated", covariates=COVARIATES, **held, **given),
        **own,
    )


def weighted(group: str, said: str, **given: Any) -> Row:
    own = {"size": "even", "outcome": "varying"}
    own |= {name: given.pop(name) for name in ("outcome", "term", "size", "curve") if name in given}
    design = qe.Weighting(treated="treated", covariates=COVARIATES, **fields_of(own["outcome"]), **given)
    return Row(group=group, said=said, design=design, **own)


PAIRS, USED, WEIGHTS, OTHER, DRAWN = (
    "Matched sets (clustered by set)",
    "Matching with replacement (Abadie-Imbens)",
    "Weighting (M-estimation)",
    "Ratios, rates, survival, hospitals",
    "Bootstrap",
)
SETS, REPLACED = {"caliper": 0.2}, {"replacement": "with"}
VISITS, SURVIVAL = {"outcome": "visits"}, {"outcome": "survival"}
DIED = {"outcome": "died"}
REGRESSED = {"outcome_model": "covariates"}
CBPS, OVER = {"method": "CBPS"}, {"method": "over-identified CBPS"}
ENTROPY = {"method": "entropy balancing"}

ROWS = [
    matched(PAIRS, "1:1 nearest, caliper 0.2", **SETS),
    matched(PAIRS, "1:1 nearest, caliper 0.2, outcome regression", **SETS, **REGRESSED),
    matched(PAIRS, "1:1 nearest, no caliper", outcome="varying"),
    matched(PAIRS, "1:1 nearest, no caliper, outcome regression", outcome="varying", **REGRESSED),
    matched(PAIRS, "1:1 nearest, caliper 0.2, pairs ignored (HC3)", **SETS, inference="robust"),
    matched(PAIRS, "1:1 optimal", method="optimal"),
    matched(PAIRS, "1:1 optimal, Mahalanobis", method="optimal", distance="mahalanobis"),
    matched(PAIRS, "2:1 nearest, caliper 0.2", **SETS, ratio=2),
    matched(PAIRS, "full, ATT", method="full", outcome="varying"),
    matched(PAIRS, "full, ATT, outcome regression", method="full", outcome="varying", **REGRESSED),
    matched(PAIRS, "full, ATE", method="full", estimand="ATE", size="even"),
    matched(PAIRS, "full, ATE, outcome regression", method="full", estimand="ATE", size="even", **REGRESSED),
    matched(
        PAIRS,
        "coarsened exact, 6 bins",
        method="coarsened exact",
        cutpoints=dict.fromkeys(("x1", "x2"), "6 bins"),
    ),
    matched(PAIRS, "subclassification, 6 groups (HC3)", method="subclassification", outcome="varying"),
    matched(
        PAIRS,
        "subclassification, 6 groups, outcome regression (HC3)",
        method="subclassification",
        outcome="varying",
        **REGRESSED,
    ),
    matched(USED, "1:1 on the logit", outcome="varying", **REPLACED),
    matched(USED, "3:1 on the logit", outcome="varying", ratio=3, **REPLACED),
    matched(USED, "1:1 on the logit, bias adjustment", outcome="varying", **REPLACED, **REGRESSED),
    matched(USED, "3:1 on the logit, bias adjustment", outcome="varying", ratio=3, **REPLACED, **REGRESSED),
    matched(
        USED,
        "1:1 Mahalanobis, bias adjustment",
        outcome="varying",
        distance="mahalanobis",
        **REPLACED,
        **REGRESSED,
    ),
    matched(USED, "3:1 Mahalanobis", outcome="varying", distance="mahalanobis", ratio=3, **REPLACED),
    matched(
        USED,
        "3:1 Mahalanobis, bias adjustment",
        outcome="varying",
        distance="mahalanobis",
        ratio=3,
        **REPLACED,
        **REGRESSED,
    ),
    matched(
        USED, "1:1 on the logit, copies ignored (HC3)", outcome="varying", inference="robust", **REPLACED
    ),
    *(weighted(WEIGHTS, f"score, {whom}", estimand=whom) for whom in ("ATE", "ATT", "ATO", "ATM")),
    weighted(WEIGHTS, "score, ATE, weights taken as known (HC3)", estimand="ATE", inference="robust"),
    weighted(WEIGHTS, "score, ATE, cut at the 99% quantile", estimand="ATE", truncate=0.99),
    weighted(WEIGHTS, "score, ATT, a sixth treated", estimand="ATT", size="few"),
    *(weighted(WEIGHTS, f"entropy balancing, {whom}", estimand=whom, **ENTROPY) for whom in ("ATT", "ATE")),
    *(weighted(WEIGHTS, f"CBPS, {whom}", estimand=whom, **CBPS) for whom in ("ATT", "ATE")),
    weighted(WEIGHTS, "over-identified CBPS, ATE", estimand="ATE", **OVER),
    weighted(WEIGHTS, "tilting, ATE", estimand="ATE", method="tilting"),
    weighted(WEIGHTS, "score, ATE, outcome regression", estimand="ATE", **REGRESSED),
    weighted(
        WEIGHTS,
        "score, ATE, outcome regression, outcome curved",
        estimand="ATE",
        outcome="curved",
        **REGRESSED,
    ),
    weighted(
        WEIGHTS,
        "score, ATE, outcome regression, score curved",
        estimand="ATE",
        curve=0.3,
        outcome="same",
        **REGRESSED,
    ),
    weighted(WEIGHTS, "score, ATE, score and outcome curved", estimand="ATE", curve=0.3, outcome="curved"),
    *(
        matched(OTHER, f"full, ATT: {term}", method="full", **DIED, term=term)
        for term in ("risk difference", "risk ratio", "odds ratio")
    ),
    *(
        weighted(OTHER, f"score, ATE: {term}", estimand="ATE", **DIED, term=term)
        for term in ("risk difference", "risk ratio", "odds ratio")
    ),
    weighted(
        OTHER,
        "score, ATE, outcome regression: risk ratio",
        estimand="ATE",
        **DIED,
        term="risk ratio",
        **REGRESSED,
    ),
    matched(OTHER, "1:1 nearest, caliper 0.2: rate ratio", **SETS, **VISITS, term="rate ratio"),
    weighted(OTHER, "score, ATE: rate ratio", estimand="ATE", **VISITS, term="rate ratio"),
    weighted(OTHER, "score, ATE: rate difference", estimand="ATE", **VISITS, term="rate difference"),
    matched(
        OTHER,
        "full, ATT: risk of the event within 2 years",
        method="full",
        **SURVIVAL,
        term="risk difference",
    ),
    weighted(
        OTHER,
        "score, ATE: risk of the event within 2 years",
        estimand="ATE",
        **SURVIVAL,
        term="risk difference",
    ),
    weighted(
        OTHER,
        "score, ATE: risk ratio of the event within 2 years",
        estimand="ATE",
        **SURVIVAL,
        term="risk ratio",
    ),
    matched(OTHER, "1:1 nearest, caliper 0.2, 40 hospitals", **SETS, outcome="shared", cluster="hospital"),
    weighted(OTHER, "score, ATE, 40 hospitals", estimand="ATE", outcome="shared", cluster="hospital"),
    matched(DRAWN, "1:1 nearest, caliper 0.2, pairs drawn again", **SETS, inference="bootstrap", draws=199),
    weighted(DRAWN, "score, ATE, everything drawn again", estimand="ATE", inference="bootstrap", draws=199),
    weighted(
        DRAWN,
        "entropy balancing, ATT, everything drawn again",
        estimand="ATT",
        inference="bootstrap",
        draws=199,
        **ENTROPY,
    ),
]


def found(row: Row, seed: int) -> tuple[float, float, float, float] | None:
    """Estimate, standard error and interval in one sample; None where the design gives no estimate."""
    frame = people(row.size, np.random.default_rng([20_191, seed]), row.curve)
    try:
        table = method_of(row.design).refit(row.design, frame).estimates.set_index("term")
    except EstimationError:
        return None
    held = table.loc[row.term]
    return (
        float(held["estimate"]),
        float(held["std_error"]),
        float(held["conf_low"]),
        float(held["conf_high"]),
    )


def study(at: int, samples: int) -> dict[str, Any]:
    row = ROWS[at]
    runs = [found(row, seed) for seed in range(samples)]
    kept = np.array([run for run in runs if run is not None])
    aim, (estimate, error, low, high) = row.aim(), kept.T
    covered = float(np.mean((low <= aim) & (aim <= high)))
    if row.term.endswith("ratio"):
        estimate, centre = np.log(estimate), np.log(aim)
    else:
        centre = aim
    return {
        "group": row.group,
        "said": row.said,
        "aim": aim,
        "bias": float(estimate.mean() - centre),
        "spread": float(estimate.std(ddof=1)),
        "error": float(error.mean()),
        "covered": covered,
        "samples": len(kept),
        "lost": len(runs) - len(kept),
    }


def shown(group: str, lines: list[dict[str, Any]]) -> str:
    samples = max(line["samples"] for line in lines)
    wrong = np.sqrt(0.95 * 0.05 / samples)
    heads = ("compared by", "truth", "bias", "SD of estimates", "mean standard error", "95% interval covers")
    out = [f"{group}: {samples:,} samples a row; Monte Carlo error {wrong:.1%} at 95%", ""]
    out += [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for line in lines:
        lost = f" ({line['lost']} without an estimate)" if line["lost"] else ""
        cells = (f"{line[name]:.3f}" for name in ("aim", "bias", "spread", "error"))
        out.append(f"| {line['said']} | {' | '.join(cells)} | {line['covered']:.1%}{lost} |")
    return "\n".join(out)


def naive(samples: int = 500) -> str:
    """Bias of the plain difference in means, so that there is something to remove."""
    words = []
    for size, curve in (("few", 0.0), ("even", 0.0)):
        frames = (people(size, np.random.default_rng([20_191, seed]), curve) for seed in range(samples))
        gaps = [np.subtract(*frame.groupby("treated")["same"].mean().to_numpy()[::-1]) for frame in frames]
        words.append(f"{np.mean(gaps) - 1:.2f} ({size})")
    return f"Plain difference in means: bias {' and '.join(words)} where the effect is 1."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--bootstraps", type=int, default=200, help="samples of the rows with a bootstrap")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", default="", help="rows whose description holds these words")
    options = parser.parse_args()
    os.environ |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "TQDM_DISABLE"), "1")
    places = [at for at, row in enumerate(ROWS) if options.only in f"{row.group} {row.said}"]
    places.sort(key=lambda at: not ROWS[at].drawn)
    sizes = [options.bootstraps if ROWS[at].drawn else options.samples for at in places]
    with ProcessPoolExecutor(options.processes, get_context("spawn")) as pool:
        lines = []
        for line in pool.map(study, places, sizes):
            lines.append(line)
            print(json.dumps(line), file=sys.stderr, flush=True)
    print(naive(), "\n")
    for group in (PAIRS, USED, WEIGHTS, OTHER, DRAWN):
        if held := [line for line in lines if line["group"] == group]:
            print(shown(group, held), "\n", flush=True)


if __name__ == "__main__":
    main()
