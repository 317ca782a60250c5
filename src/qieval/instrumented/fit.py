"""The first stage of an instrumental variable analysis, and the fit that estimates and checks work on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from qieval.errors import EstimationError
from qieval.instrumented.people import Instrumented
from qieval.numerics.few_clusters import FEW_CLUSTERS
from qieval.numerics.instruments import Partialled, partial_out
from qieval.numerics.instruments_compliers import Sampling
from qieval.numerics.instruments_covariance import Kind
from qieval.numerics.instruments_effective_f import EffectiveF, effective_f
from qieval.numerics.instruments_reduced_form import ReducedForm, Regression, reduced_form
from qieval.numerics.instruments_sets import ConfidenceSet
from qieval.numerics.residual_inclusion import ResidualInclusion
from qieval.text import listed, plural

TOLERATED = 0.10
"""Share of the worst-case bias that may remain for an instrument to count as strong."""
NO_SPREAD = 1e6
"""An F of few clusters beyond this comes from a variance that is zero but for rounding."""
OLD_RULE = 10.0
"""The rule of thumb of Staiger and Stock 1997 for the first-stage F."""


@dataclass(frozen=True, eq=False, kw_only=True)
class FirstStage:
    """What was received regressed on the instruments, given the covariates.

    names (k,): the instruments that are used. parts and reduced hold the outcome too, or in its place what
    was received where the outcome is closed.
    """

    made: Instrumented
    names: tuple[str, ...]
    parts: Partialled
    reduced: ReducedForm
    strength: EffectiveF
    notes: tuple[str, ...]

    @property
    def kind(self) -> Kind:
        """The kind of covariance."""
        return self.reduced.kind

    @property
    def regression(self) -> Regression:
        """Coefficients, standard errors, partial F and partial R2 of the instruments."""
        return self.reduced.equation(1)

    @property
    def critical(self) -> float:
        """The conservative critical value of the effective F for a bias of 10%."""
        return self.strength.simplified[self.strength.taus.index(TOLERATED)]

    @property
    def weak(self) -> bool:
        """Whether the effective F is below its critical value."""
        return not self.strength.f >= self.critical

    @property
    def kept(self) -> np.ndarray:
        """The instruments that are used (n, k)."""
        found: np.ndarray = self.made.z[:, [self.made.names.index(name) for name in self.names]]
        return found

    @property
    def push(self) -> np.ndarray:
        """How hard each row was pushed towards receiving it (n,): the instruments, by their first stage.

        A single instrument by itself, turned so that more of it means more of the intervention.
        """
        slopes = self.regression.coefficients
        return np.asarray(self.kept @ (np.sign(slopes) if len(slopes) == 1 else slopes))

    @property
    def arm(self) -> np.ndarray:
        """1 for those pushed, 0 for the others (n,): a 0/1 instrument itself, otherwise above the median."""
        push = self.push
        levels = np.unique(push)
        cut = levels[0] if len(levels) == 2 else np.median(push)
        above = push > cut
        return np.where(above if above.any() else push >= cut, 1.0, 0.0)


@dataclass(frozen=True, eq=False, kw_only=True)
class Way:
    """One way to say which effects the data do not exclude, with the p-value of no effect."""

    kind: str
    words: str
    held: ConfidenceSet
    p_value: float


@dataclass(frozen=True, eq=False, kw_only=True)
class Fitted:
    """A fitted instrumental variable analysis: what checks and pictures work on.

    way: the interval of the headline, ways: all that were made. inclusion: both stages of residual inclusion,
    where that is the estimator.
    """

    first: FirstStage
    term: str
    estimate: float
    std_error: float
    way: Way
    ways: tuple[Way, ...]
    inclusion: ResidualInclusion | None = None

    @property
    def made(self) -> Instrumented:
        """The parsed rows."""
        return self.first.made


def variance_kind(design: Any) -> Kind:
    """Which covariance the design asks for."""
    small = design.small_sample == "yes"
    if design.cluster is not None:
        return "cr1" if small else "cr0"
    if design.variance == "unadjusted":
        return "debiased" if small else "unadjusted"
    return "hc1" if small else "hc0"


def sampling_of(made: Instrumented) -> Sampling:
    """Weights and clusters."""
    return Sampling(weights=made.data.weights, clusters=made.data.cluster)


def fitted_first_stage(design: Any, made: Instrumented, y: np.ndarray | None = None) -> FirstStage:
    """The first stage, with another outcome y (n,) if given; EstimationError where there is none."""
    outcome = y if y is not None else made.x if made.data.y is None else made.y
    parts = partialled(made, outcome)
    names = tuple(name for j, name in enumerate(made.names) if j not in parts.dropped_instruments)
    if design.cluster is not None and made.data.n_clusters <= parts.k + 1:
        raise EstimationError(
            f"cluster, instruments: {plural(made.data.n_clusters, 'cluster')} of '{design.cluster}'"
            f" {'is' if made.data.n_clusters == 1 else 'are'} too few for an interval with"
            f" {plural(parts.k, 'instrument')}. Use fewer instruments, or finer clusters."
        )
    kind = variance_kind(design)
    reduced = reduced_form(parts, kind)
    if not reduced.omega[1, 1] > 0:
        raise EstimationError(
            "instruments, received: instruments and covariates tell exactly who received"
            f" '{design.received}', so nothing separates them from the intervention. Use"
            " RegressionAdjustment, or name what moved only some."
        )
    strength = effective_f(reduced)
    if 0 < made.data.n_clusters < FEW_CLUSTERS and strength.f > NO_SPREAD:
        raise EstimationError(
            f"cluster: the {plural(made.data.n_clusters, 'cluster')} of '{design.cluster}' do not differ in"
            " how the instrument goes with who received it, as where each holds one value of the"
            " instrument, so"
            " nothing shows how sure the first stage is. Use finer clusters."
        )
    return FirstStage(
        made=made,
        names=names,
        parts=parts,
        reduced=reduced,
        strength=strength,
        notes=_dropped(made, parts),
    )


def partialled(made: Instrumented, y: np.ndarray) -> Partialled:
    """Outcome y (n,), what was received, and instruments without the covariates.

    Everything is counted from its mean, so that no digit is lost to a column far from zero.
    """

    def centred(held: np.ndarray) -> np.ndarray:
        return np.asarray(held - held.mean(axis=0))

    try:
        return partial_out(
            centred(y), centred(made.x), centred(made.z), made.controls, made.data.cluster, made.weights
        )
    except EstimationError as cause:
        raise EstimationError(_said(made, cause)) from cause


def _said(made: Instrumented, cause: EstimationError) -> str:
    """An error of the numbers, with the columns that it is about."""
    return (
        f"instruments: no effect can be estimated from {listed(map(repr, made.names))}, because"
        f" {str(cause).rstrip('.')}. Use fewer covariates, other instruments, or more data."
    )


def _dropped(made: Instrumented, parts: Partialled) -> tuple[str, ...]:
    """Sentences on columns that add nothing."""
    notes = []
    if parts.dropped_instruments:
        gone = listed(f"'{made.names[j]}'" for j in parts.dropped_instruments)
        notes.append(f"instruments: {gone} repeat what other instruments or covariates say; left out.")
    if parts.controls.dropped:
        gone = listed(f"'{made.data.x_names[j - 1]}'" for j in parts.controls.dropped)
        notes.append(f"covariates: {gone} repeat what other covariates say; left out.")
    return tuple(notes)
