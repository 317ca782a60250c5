"""How often do 95% intervals of regression adjustment, weighting and AIPW hold the truth? Simulated people.

Each sample: 500 people, two normal covariates and a binary one that bear on treatment and outcome; in "wrong"
models the first covariate is left out. Truths are by quadrature. Prints a Markdown table: truth, bias, spread
of the estimates over samples, mean standard error, coverage; bias and spread of ratios are those of their
logarithm. Usage: python benchmarks/coverage_adjustment.py [--samples N --only WORDS]
"""

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

os.environ |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "TQDM_DISABLE"), "1")

import numpy as np

from qieval.errors import EstimationError
from qieval.numerics.adjustment import adjusted_means
from qieval.numerics.adjustment_cross_fitting import Learners, combined, cross_fitted
from qieval.numerics.adjustment_design import Sample
from qieval.numerics.adjustment_outcome import OutcomeSpec, fit_outcome
from qieval.numerics.adjustment_targeted import targeted_means
from qieval.numerics.adjustment_weighting import (
    doubly_robust,
    treatment_weights,
    weighted_outcomes,
)
from qieval.numerics.contrasts import Contrast, difference, ratio
from qieval.numerics.means import Means, covariance

PEOPLE = 500
CLUSTER = 10
ESTIMATES = Callable[[Sample, Any], Means]


def expit(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


def score(x: np.ndarray) -> np.ndarray:
    return expit(-0.5 + 0.6 * x[:, 0] - 0.4 * x[:, 1] + 0.5 * x[:, 2])


def expected(family: str, x: np.ndarray, arm: np.ndarray | float) -> np.ndarray:
    """Expected outcome, or rate per unit of exposure; effects vary with the first covariate."""
    level = x @ np.array([1.0, 0.5, 0.7])
    if family == "gaussian":
        return level + arm * (1 + 0.5 * x[:, 0])
    if family == "binomial":
        return expit(-1 + 0.7 * level - 0.6 * arm)
    return np.exp(0.4 * level - 0.4 * arm)


def truth(family: str, estimand: str) -> tuple[float, float]:
    points, weights = np.polynomial.hermite_e.hermegauss(40)
    one, two, three = (part.ravel() for part in np.meshgrid(points, points, [0.0, 1.0], indexing="ij"))
    x = np.column_stack([one, two, three])
    mass = np.einsum("i,j,k->ijk", weights, weights, [0.6, 0.4]).ravel()
    mass = mass * {"ATE": 1.0, "ATT": score(x), "ATC": 1 - score(x)}[estimand]
    means = [float(np.average(expected(family, x, arm), weights=mass)) for arm in (1.0, 0.0)]
    return means[0], means[1]


def people(family: str, seed: int, clustered: bool) -> Sample:
    rng = np.random.default_rng([6, seed])
    x = np.column_stack([rng.standard_normal((PEOPLE, 2)), rng.random(PEOPLE) < 0.4]).astype(float)
    shared = rng.standard_normal(PEOPLE // CLUSTER)[np.arange(PEOPLE) // CLUSTER] if clustered else 0.0
    treated = rng.random(PEOPLE) < score(x)
    exposure = rng.uniform(0.5, 2, PEOPLE) if family == "negative binomial" else None
    mean = expected(family, x, treated)
    if family == "gaussian":
        y = mean + shared + rng.standard_normal(PEOPLE) * (1 + 0.5 * np.abs(x[:, 0]))
    elif family == "binomial":
        y = rng.random(PEOPLE) < mean
    elif family == "gamma":
        y = mean * rng.gamma(1.5, 1 / 1.5, PEOPLE)
    else:
        y = rng.poisson(mean * rng.gamma(1.5, 1 / 1.5, PEOPLE) * (1 if exposure is None else exposure))
    return Sample(y=y.astype(float), treated=treated, x=x, exposure=exposure)


@dataclass(frozen=True)
class Row:
    said: str
    family: str
    estimator: ESTIMATES
    estimand: str = "ATE"
    measure: Callable[..., Contrast] = difference
    clustered: bool = False
    fitted: str = ""


def fitted(sample: Sample, family: str, wrong: bool) -> Any:
    held = sample if not wrong else Sample(y=sample.y, treated=sample.treated, x=sample.x[:, 1:])
    return fit_outcome(held, OutcomeSpec(family, interacted=family == "gaussian"))


def regression(sample: Sample, row: Row) -> Means:
    return adjusted_means(fitted(sample, row.fitted or row.family, False), row.estimand)


def weighting(sample: Sample, row: Row, known: bool = False) -> Means:
    return weighted_outcomes(sample, treatment_weights(sample, row.estimand), scores_known=known)


def both(sample: Sample, row: Row, wrong: str = "", known: bool = False) -> Means:
    fit = fitted(sample, row.fitted or row.family, "outcome" in wrong)
    found = treatment_weights(fit.sample, row.estimand, sample.x[:, 1:] if "score" in wrong else sample.x)
    return doubly_robust(fit, found, models_known=known)


def targeted(sample: Sample, row: Row) -> Means:
    return targeted_means(fitted(sample, row.family, False), treatment_weights(sample, row.estimand))


def learned(sample: Sample, row: Row) -> Means:
    from sklearn.linear_model import LinearRegression, LogisticRegression

    learners = Learners(LinearRegression(), LogisticRegression(C=np.inf))
    return combined(cross_fitted(sample, learners, row.estimand).draws).means


ROWS = [
    Row("g-computation", "gaussian", regression),
    Row("g-computation, ATT", "gaussian", regression, "ATT"),
    Row("g-computation, 50 clusters", "gaussian", regression, clustered=True),
    Row("g-computation, risk difference", "binomial", regression),
    Row("g-computation, risk ratio", "binomial", regression, measure=ratio),
    Row("g-computation, rate ratio, overdispersed, Poisson", "negative binomial", regression, measure=ratio,
        fitted="poisson"),
    Row("g-computation, rate ratio, negative binomial", "negative binomial", regression, measure=ratio),
    Row("g-computation, ratio of mean costs, gamma", "gamma", regression, measure=ratio),
    Row("weighting (Hajek)", "gaussian", weighting),
    Row("weighting (Hajek), scores taken as known", "gaussian", partial(weighting, known=True)),
    Row("AIPW, both right", "gaussian", both),
    Row("AIPW, both right, ATT", "gaussian", both, "ATT"),
    Row("AIPW, both right, 50 clusters", "gaussian", both, clustered=True),
    Row("AIPW, outcome wrong", "gaussian", partial(both, wrong="outcome")),
    Row("AIPW, score wrong", "gaussian", partial(both, wrong="score")),
    Row("AIPW, both wrong", "gaussian", partial(both, wrong="outcome score")),
    Row("AIPW, both right, influence function only", "gaussian", partial(both, known=True)),
    Row("AIPW, outcome wrong, influence function only", "gaussian",
        partial(both, wrong="outcome", known=True)),
    Row("AIPW, risk difference", "binomial", both),
    Row("AIPW, risk ratio", "binomial", both, measure=ratio),
    Row("AIPW, rate ratio, negative binomial", "negative binomial", both, measure=ratio),
    Row("TMLE, risk difference", "binomial", targeted),
    Row("AIPW, cross-fitted", "gaussian", learned),
]  # fmt: skip


def one(row: Row, seed: int) -> Contrast | None:
    sample = people(row.family, seed, row.clustered)
    try:
        means = row.estimator(sample, row)
    except EstimationError:
        return None
    cluster = np.arange(PEOPLE) // CLUSTER if row.clustered else None
    return row.measure(means, covariance(means, cluster, adjust=True))


def line(row: Row, samples: int) -> str:
    means = truth(row.family, row.estimand)
    aim = means[0] / means[1] if row.measure is ratio else means[0] - means[1]
    kept = [held for held in (one(row, seed) for seed in range(samples)) if held is not None]
    covered = np.mean([held.low <= aim <= held.high for held in kept])
    estimates, centre = np.array([held.estimate for held in kept]), aim
    if row.measure is ratio:
        estimates, centre = np.log(estimates), np.log(aim)
    error = np.mean([held.std_error for held in kept])
    numbers = (aim, estimates.mean() - centre, estimates.std(ddof=1), error)
    lost = f" ({samples - len(kept)} without an estimate)" if len(kept) < samples else ""
    return f"| {row.said} | {' | '.join(f'{number:.3f}' for number in numbers)} | {covered:.1%}{lost} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--only", default="", help="rows whose description holds these words")
    options = parser.parse_args()
    wrong = np.sqrt(0.95 * 0.05 / options.samples)
    print(f"{PEOPLE} people, {options.samples:,} samples a row; Monte Carlo error {wrong:.1%} at 95%\n")
    heads = ("estimator", "truth", "bias", "SD of estimates", "mean standard error", "95% interval covers")
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for row in ROWS:
        if options.only in row.said:
            print(line(row, options.samples), flush=True)


if __name__ == "__main__":
    main()
