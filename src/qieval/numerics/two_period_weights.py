"""Treated and controls of one comparison, and the odds that weigh controls as if they were treated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qieval.numerics.group_time_cells import Floats
from qieval.numerics.group_time_comparison import TRIMMED
from qieval.numerics.group_time_propensity import NO_OVERLAP, Arm, propensity
from qieval.numerics.tilting import tilt

NOT_BALANCED = (
    "No weights of the controls give them the covariate means of the treated. Use fewer or coarser "
    "covariates, or the regression estimator."
)


@dataclass(frozen=True, eq=False)
class Group:
    """Treated or controls: covariates z (K, n), the constant first, weights w (n,), outcomes y (n,).

    The first `split` rows are of the earlier period, the others of the later one; 0 for changes.
    """

    z: Floats
    w: Floats
    y: Floats
    split: int = 0

    @property
    def arm(self) -> Arm:
        """Without the outcomes."""
        return Arm(self.z, self.w)

    @property
    def parts(self) -> tuple[tuple[float, slice], ...]:
        """Sign and rows of the periods."""
        before, after = slice(0, self.split), slice(self.split, self.w.size)
        return ((-1.0, before), (1.0, after)) if self.split else ((1.0, after),)

    def part(self, rows: slice) -> Group:
        """Some of the rows."""
        return Group(self.z[:, rows], self.w[rows], self.y[rows])


@dataclass(frozen=True, eq=False)
class Scores:
    """The logistic model: a row's score is treated (n_t,) or control (n_c,) times its z; curvature (K, K) is
    minus the second derivative of the likelihood."""

    treated: Floats
    control: Floats
    curvature: Floats
    beta: Floats

    def pushed(self, treated: Group, control: Group, derivative: Floats) -> tuple[Floats, Floats]:
        """Influence on what changes by derivative (K,) per unit of the coefficients.

        Directions without curvature belong to controls without weight.
        """
        push = np.linalg.lstsq(self.curvature, derivative, rcond=1e-13)[0]
        return (push @ treated.z) * self.treated, (push @ control.z) * self.control


@dataclass(frozen=True, eq=False)
class Odds:
    """Weights v of the controls (n_c,), or in words why there are none.

    scores: None where estimating the weights has no influence of its own; trimmed: controls that have weight
    0 because of their propensity.
    """

    v: Floats
    scores: Scores | None = None
    reason: str = ""
    trimmed: int = 0


def likely(treated: Group, control: Group, start: Floats | None = None) -> Odds:
    """Odds of the logistic model by maximum likelihood, weighted; without overlap in words, why not.

    Controls whose propensity is 0.995 or more get weight 0 here, but stay in the models (DRDID 1.2).
    """
    fit = propensity(treated.arm, control.arm, start)
    if fit.reason:
        return Odds(np.zeros(control.w.size), reason=fit.reason)
    out = fit.control >= TRIMMED
    v = np.where(out, 0.0, control.w * fit.control / np.where(out, 1.0, 1.0 - fit.control))
    scores = Scores(treated.w * (1 - fit.treated), -control.w * fit.control, fit.curvature, fit.beta)
    return Odds(v, scores, "" if v.any() else NO_OVERLAP, int(np.count_nonzero(out)))


def tilted(treated: Group, control: Group) -> Odds:
    """Odds that give the controls the covariate means and the total weight of the treated."""
    total = treated.w.sum()
    away = np.ascontiguousarray((control.z[1:] - (treated.z[1:] @ (treated.w / total))[:, None]).T)
    found = tilt(away, control.w)
    if found.status != "converged":
        return Odds(np.zeros(control.w.size), reason=NOT_BALANCED)
    v = found.share * total
    out = v >= TRIMMED / (1 - TRIMMED) * control.w
    return Odds(np.where(out, 0.0, v), trimmed=int(np.count_nonzero(out)))
