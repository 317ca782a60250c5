"""The first stage within groups of people."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from qieval.errors import EstimationError
from qieval.instrumented.fit import FirstStage
from qieval.numerics.instruments import partial_out
from qieval.numerics.instruments_reduced_form import reduced_form


@dataclass(frozen=True, eq=False)
class GroupStages:
    """Slopes (g,) of what was received on the push, in groups 0..g-1, with standard errors and sizes.

    NaN where a group has too few rows, or push or uptake do not vary. A push moves people towards the
    intervention on the whole, so slopes below zero go the other way; p_opposite is the Bonferroni p-value of
    "none does" (one-sided).
    """

    slope: np.ndarray
    std_error: np.ndarray
    n: np.ndarray

    @property
    def p_opposite(self) -> float:
        """NaN if no group has a slope."""
        known = self.std_error > 0
        if not known.any():
            return np.nan
        tails = scipy.special.ndtr(self.slope[known] / self.std_error[known])
        return float(min(1.0, known.sum() * tails.min()))

    @property
    def opposite(self) -> bool:
        """Whether some slope is below zero."""
        return bool((self.slope < 0).any())


def stages_in_groups(first: FirstStage, codes: np.ndarray) -> GroupStages:
    """The first stage in each group, given the covariates; codes (n,) from 0, negative for no group."""
    groups = int(codes.max(initial=-1)) + 1
    push, controls = first.push, first.made.controls
    found = [_slope(first, push, controls, np.flatnonzero(codes == group)) for group in range(groups)]
    return GroupStages(
        slope=np.array([one[0] for one in found]),
        std_error=np.array([one[1] for one in found]),
        n=np.bincount(codes[codes >= 0], minlength=groups),
    )


def _slope(
    first: FirstStage, push: np.ndarray, controls: np.ndarray, rows: np.ndarray
) -> tuple[float, float]:
    """Slope and standard error with the kind of covariance of the whole."""
    data, weights = first.made.data, first.made.weights
    x, by = first.made.x[rows], push[rows]
    if not rows.size:
        return np.nan, np.nan
    try:
        parts = partial_out(
            x - x.mean(),
            x - x.mean(),
            by - by.mean(),
            controls[rows],
            None if data.cluster is None else data.cluster[rows],
            None if weights is None else weights[rows],
        )
    except EstimationError:
        return np.nan, np.nan
    equation = reduced_form(parts, first.kind).equation(1)
    return float(equation.coefficients[0]), float(equation.errors[0])
