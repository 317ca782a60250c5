"""The outcome stage: mean outcomes with and without the intervention, with standard errors that suit the
design."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from qieval.cohort import Cohort
from qieval.cohort_design import CohortDesign
from qieval.errors import EstimationError
from qieval.numerics.contrasts import Contrast, Precision
from qieval.numerics.means import Means

Kind = Literal["mean", "risk", "rate"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Outcome:
    """What was measured afterwards (n,): NaN where it is unknown.

    kind: a mean, a risk (0 and 1, or survival to a horizon), or a rate with person-time. survival: whether y
    says that `time` ended with the event.
    """

    y: np.ndarray
    kind: Kind
    name: str
    time: np.ndarray | None = None
    horizon: float = 0.0

    @property
    def known(self) -> np.ndarray:
        """Where the outcome is known (n,)."""
        return np.asarray(np.isfinite(self.y) & (True if self.time is None else np.isfinite(self.time)))


@dataclass(frozen=True, eq=False, kw_only=True)
class Effect:
    """The two means and how sure they are. label: how the standard error was made, in words."""

    means: Means
    covariance: np.ndarray
    precision: Precision
    outcome: Outcome
    label: str
    notes: tuple[str, ...] = ()
    contrasts: tuple[Contrast, ...] = field(default=())


def outcome_of(design: CohortDesign, cohort: Cohort) -> Outcome:
    """The outcome of the design with its kind: binary values are risks, events with person-time rates."""
    y = cohort.outcome
    name = str(design.outcome)
    if design.horizon:
        _only_zero_and_one(y, name)
        return Outcome(y=y, kind="risk", name=name, time=cohort.person_time, horizon=design.horizon)
    if cohort.person_time is not None:
        if (y < 0).any():
            raise EstimationError(
                f"outcome: with person_time '{name}' counts events, but it is negative in some rows. Correct"
                " it, or leave person_time empty for a difference in means."
            )
        return Outcome(y=y, kind="rate", name=name, time=cohort.person_time)
    return Outcome(y=y, kind=kind_of(y), name=name)


def kind_of(y: np.ndarray) -> Kind:
    """Whether known values are a risk (only 0 and 1) or a mean."""
    known = y[np.isfinite(y)]
    return "risk" if known.size and np.isin(known, (0.0, 1.0)).all() else "mean"


def _only_zero_and_one(y: np.ndarray, name: str) -> None:
    if kind_of(y) != "risk":
        raise EstimationError(
            f"outcome: with a horizon '{name}' must be 1 where the time ended with the event and 0 where it"
            " ended without, but it holds other values. Recode it, or set horizon=0."
        )
