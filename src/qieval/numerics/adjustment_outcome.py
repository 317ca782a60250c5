"""The outcome regression of regression adjustment: fitted, and ready to predict everybody in both arms."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import scipy

from qieval.errors import EstimationError
from qieval.numerics.adjustment_design import ArmDesign, Sample, arm_design
from qieval.numerics.adjustment_families import LOG_LINK, Family, Law, check_outcome
from qieval.numerics.adjustment_theta import Size, size_equation, weighted_theta
from qieval.numerics.two_way import Floats, Mask

ITERATIONS = 60
STEP = 1e-9
"""Newton steps whose root mean square on the linear predictor is below this are the last ones."""
FLAT = 1e-10
"""Information below this share of the largest means that a coefficient runs away (separation)."""
ROUNDS = 60
SETTLED = 1e-10


@dataclass(frozen=True, eq=False)
class OutcomeSpec:
    """Which regression. interacted: all covariates (True), none, or a mask (k,) have a slope in each arm.

    With all of them the arms are fitted apart, except that a negative binomial has one theta.
    """

    family: Family = "gaussian"
    interacted: bool | Mask = False


@dataclass(frozen=True, eq=False)
class OutcomeFit:
    """A fitted outcome regression.

    beta (q,) are coefficients in the design's own units; `coefficients` has them in the user's. rates (n, 2)
    are expected outcomes of everybody as treated and as untreated, per unit of exposure; mean (n,) is the
    expectation of the outcome as observed. psi (n,) are weighted scores and information (q, q) minus the
    derivative of their sum, as observed. size is None unless a finite theta was estimated.
    """

    sample: Sample
    design: ArmDesign
    law: Law
    beta: Floats
    rates: Floats
    mean: Floats
    psi: Floats
    information: Floats
    size: Size | None

    @property
    def coefficients(self) -> Floats:
        """Constant, treatment, k covariates, k products with treatment, in the user's units (2 + 2k,)."""
        return self.design.coefficients(self.beta)

    @cached_property
    def slopes(self) -> Floats:
        """Derivative of rates by the linear predictor (n, 2)."""
        return self.law.slope(self.rates)

    @property
    def n_used(self) -> int:
        """Rows of positive weight."""
        return int(np.count_nonzero(self.sample.weight))

    @property
    def small_sample(self) -> float:
        """(n-1)/(n-q), the part of HC1 that does not depend on clusters; NaN if no row is left over."""
        left = self.n_used - self.design.q
        return (self.n_used - 1) / left if left > 0 else np.nan

    @cached_property
    def dispersion(self) -> float:
        """Pearson's statistic over n - q; for gaussian the residual variance."""
        left = self.n_used - self.design.q
        pearson = np.square(self.sample.y - self.mean) / self.law.variance(self.mean)
        return float(self.sample.weight @ pearson) / left if left > 0 else np.nan

    def influence(self, gradient: Floats) -> Floats:
        """Contribution of each row to statistics whose derivative by beta is gradient (q, m) -> (n, m)."""
        if self.size is None:
            return np.asarray(self.psi[:, None] * self.design.linear(solved(self.information, gradient)))
        cross = -self.design.totals(self.size.cross)
        stacked = np.block([[self.information, cross[:, None]], [cross[None], self.size.information]])
        of = solved(stacked, np.vstack([gradient, np.zeros(gradient.shape[1])]))
        return np.asarray(self.psi[:, None] * self.design.linear(of[:-1]) + self.size.psi[:, None] * of[-1])

    def model_covariance(self) -> Floats:
        """Covariance of beta (q, q) if the family is true: no sandwich, rows independent, theta known."""
        expected = self.sample.weight * np.square(self.law.slope(self.mean)) / self.law.variance(self.mean)
        dispersion = self.dispersion if self.law.family in ("gaussian", "gamma") else 1.0
        return dispersion * solved(self.design.gram(expected), np.eye(self.design.q))


def fit_outcome(sample: Sample, spec: OutcomeSpec | None = None) -> OutcomeFit:
    """Fit by Newton steps with step halving; negative binomial: theta and coefficients in turn.

    EstimationError, in words for users, if an arm has no event, if covariates separate the outcomes, if
    there are no more rows than coefficients, or if the steps do not become negligible. ValueError for
    outcomes that the family cannot have. Checked against R's lm and glm, and statsmodels.

    >>> y, treated = np.array([3.0, 1.0, 1.0, 0.0]), np.array([True, True, False, False])
    >>> fit = fit_outcome(Sample(y=y, treated=treated, x=np.zeros((4, 0))))
    >>> print(fit.coefficients)
    [0.5 1.5]
    """
    spec = spec or OutcomeSpec()
    check_outcome(sample.y, spec.family, sample.exposure)
    _check_events(sample, spec.family)
    design = arm_design(sample, spec.interacted)
    _check_rows(sample, design)
    law = Law("poisson") if spec.family == "negative binomial" else Law(spec.family)
    fit = _fitted(sample, design, law, _start(sample, design, law))
    return _with_theta(fit) if spec.family == "negative binomial" else fit


def _with_theta(fit: OutcomeFit) -> OutcomeFit:
    """From the Poisson fit to the negative binomial."""
    y, weight = fit.sample.y, fit.sample.weight
    before = np.inf
    for _ in range(ROUNDS):
        theta = weighted_theta(y, fit.mean, weight)
        law = Law("negative binomial", theta)
        if np.isinf(theta):
            return replace(fit, law=law)
        fit = _fitted(fit.sample, fit.design, law, fit.beta)
        if abs(theta - before) <= SETTLED * theta:
            return replace(fit, size=size_equation(y, fit.mean, weight, theta))
        before = theta
    raise EstimationError("The size of the negative binomial did not settle. Use a Poisson outcome instead.")


def _check_rows(sample: Sample, design: ArmDesign) -> None:
    """An arm with as few rows as coefficients of its own is fitted exactly, and has no standard error."""
    own = 1 + int(np.count_nonzero(design.names >= 2 + sample.x.shape[1]))
    for rows, arm in zip(sample.arms, ("treated", "untreated"), strict=True):
        many = int(np.count_nonzero(sample.weight[rows]))
        if many <= own:
            raise EstimationError(
                f"The {arm} group has {many} rows for {own} coefficients of its own. Use fewer covariates, "
                "or leave out their products with treatment."
            )
    many = int(np.count_nonzero(sample.weight))
    if many <= design.q:
        raise EstimationError(f"There are {many} rows for {design.q} coefficients. Use fewer covariates.")


def _check_events(sample: Sample, family: Family) -> None:
    """Arms in which the outcome is at its end have no finite coefficient."""
    if family == "gaussian":
        return
    for rows, arm in zip(sample.arms, ("treated", "untreated"), strict=True):
        held = sample.y[rows][sample.weight[rows] > 0]
        if not held.any() or (family == "binomial" and (held == 1).all()):
            what = "no outcome above zero" if not held.any() else "only outcomes of one"
            raise EstimationError(
                f"The {arm} group has {what}, so that a {family} regression has no finite solution."
            )


def _start(sample: Sample, design: ArmDesign, law: Law) -> Floats:
    if law.family == "gaussian":
        return np.zeros(design.q)
    target = law.start(sample.y, sample.weight, sample.time) - np.log(sample.time)
    return solved(design.products, design.totals(sample.weight * target))


def _fitted(sample: Sample, design: ArmDesign, law: Law, beta: Floats) -> OutcomeFit:
    beta, information = _newton(sample, design, law, beta)
    rates = law.mean(design.under(beta))
    mean = np.where(sample.treated, rates[:, 0], rates[:, 1]) * sample.time
    psi = sample.weight * law.score(sample.y, mean)
    return OutcomeFit(sample, design, law, beta, rates, mean, psi, information, None)


def _newton(sample: Sample, design: ArmDesign, law: Law, beta: Floats) -> tuple[Floats, Floats]:
    """Coefficients and the information there."""
    y, weight, shift = sample.y, sample.weight, np.log(sample.time)
    linear = design.linear(beta) + shift
    total, first = float(weight.sum()), 0.0
    for _ in range(ITERATIONS):
        mean = law.mean(linear)
        information = design.products
        if law.family != "gaussian":
            information = design.gram(weight * law.curvature(y, mean))
            first = first or _extremes(information, design.products)[1]
            _check_separation(information, design.products, first, law.family)
        step = solved(information, design.totals(weight * law.score(y, mean)))
        unit = float(beta @ design.products @ beta) / total if law.family == "gaussian" else 1.0
        if float(step @ design.products @ step) / total <= STEP**2 * unit:
            return beta + step, information
        along = design.linear(step)
        length = _length(law, (y, weight), linear, along)
        beta, linear = beta + length * step, linear + length * along
    raise EstimationError(
        f"The {law.family} outcome regression did not converge in {ITERATIONS} steps. "
        "Fewer covariates, or covariates without extreme values, may help."
    )


def _length(law: Law, data: tuple[Floats, Floats], linear: Floats, along: Floats) -> float:
    """Largest power of 1/2 for which the step does not increase the loss."""
    if law.family == "gaussian":
        return 1.0
    y, weight = data
    loss, length = law.loss(y, linear, weight), 1.0
    while length > 1e-6 and not law.loss(y, linear + length * along, weight) <= loss + 1e-12 * abs(loss):
        length /= 2
    return length


def _extremes(information: Floats, products: Floats) -> tuple[float, float]:
    """Smallest and largest information per weighted row in any direction of the columns."""
    values = scipy.linalg.eigvalsh(information, products)
    return float(values[0]), float(values[-1])


def _check_separation(information: Floats, products: Floats, first: float, family: Family) -> None:
    least, most = _extremes(information, products)
    if least >= FLAT * most and most >= FLAT * first:
        return
    what = "no event" if family in LOG_LINK else "the same outcome"
    raise EstimationError(
        f"The {family} outcome regression has no finite solution: some combination of treatment and "
        f"covariates picks out people who all have {what} (separation). Merge rare levels of covariates, "
        "use fewer covariates, or leave out products of covariates and treatment."
    )


def solved(matrix: Floats, right: Floats) -> Floats:
    """Solution of matrix (q, q) symmetric, independent of the units of its rows."""
    scale = np.sqrt(np.maximum(np.abs(np.diag(matrix)), np.finfo(float).tiny))
    scaled = scipy.linalg.solve(matrix / np.outer(scale, scale), (right.T / scale).T, assume_a="sym")
    return np.asarray((scaled.T / scale).T)
