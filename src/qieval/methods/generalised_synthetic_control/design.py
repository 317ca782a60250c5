"""The design of a generalised synthetic control."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from qieval.donor_design import DonorDesign
from qieval.fields import choice, columns, number

FACTORS, COMPLETION = "interactive fixed effects", "matrix completion"


@dataclass(frozen=True, kw_only=True, repr=False)
class GeneralisedSyntheticControl(DonorDesign):
    """Predict what would have happened from unmeasured influences that units share, each in its own measure.

    Interactive fixed effects: outcomes follow unit effects, period effects, covariates, and a few common
    factors to which each unit responds by loadings of its own. The factors come from the units never treated
    (as in R gsynth) or from all untreated cells at once (as in R fect); treated units get their loadings
    from their own periods before the start. Matrix completion: all untreated cells, and a penalty that keeps
    the common part simple instead of a number of factors; it always has unit and period effects.

    The effect is the mean over all treated unit-periods. With `first_treated` units may start at different
    times. Treated units with fewer periods before their start than coefficients are left out and named.

    The number of factors is chosen among 0 and `factors` by leaving out periods before the start of the
    treated; with choose_factors='as given' it is `factors`. With few donors or a short time before the start
    choose few.

    Intervals: 'parametric bootstrap' simulates panels with the errors that donors make when each is predicted
    as if treated (for few treated units, at least five donors); 'bootstrap' draws units again and
    'jackknife' leaves one out, both for many treated units. 'automatic' takes the bootstrap from 40 treated
    units on. Bootstrap intervals are the estimate less quantiles of the drawn errors, not quantiles of the
    drawn estimates. The choice of factors or penalty is kept in all draws, so that its uncertainty is not
    part of the interval.

    Missing values: outcomes must be complete in the periods used; with missing='complete cases' donors with
    gaps leave the pool and are counted. Covariates must be known in every row used, also after the start.

    Raises DesignError when fields contradict each other.
    Source: Xu 2017; Gobillon and Magnac 2016; Athey, Bayati, Doudchenko, Imbens and Khosravi 2021; Liu, Wang
    and Xu 2024.

    >>> GeneralisedSyntheticControl(outcome="y", unit="site", time="month", treated="pilot", start="2022-04")
    GeneralisedSyntheticControl(outcome='y', unit='site', time='month', treated='pilot', start='2022-04')
    """

    title: ClassVar[str] = "Generalised synthetic control"

    estimator: str = choice(
        (FACTORS, COMPLETION),
        "how common influences are found: as a few factors, or by completing the table of untreated cells",
        default=FACTORS,
    )
    factors_from: str = choice(
        ("never treated", "all untreated cells"),
        "the cells that factors come from: units never treated, or also the treated before their start",
        default="never treated",
    )
    choose_factors: str = choice(
        ("cross-validation", "as given"),
        "whether the number of factors is chosen by leaving out periods before the start",
        default="cross-validation",
    )
    factors: int = number(
        "the number of factors, or the largest number that cross-validation tries",
        low=0,
        high=20,
        default=5,
        whole=True,
    )
    force: str = choice(
        ("two-way", "unit", "time", "none"),
        "which effects are in the model beside the factors: of units and periods, of one of them, or none",
        default="two-way",
    )
    covariates: tuple[str, ...] = columns(
        "numeric", "measured characteristics that change over time, to adjust the outcome for"
    )
    inference: str = choice(
        ("automatic", "parametric bootstrap", "bootstrap", "jackknife"),
        "how the interval is made",
        default="automatic",
    )
    draws: int = number("random draws of the bootstrap", low=99, high=99999, default=500, whole=True)
    folds: int = number(
        "parts into which cells are divided for cross-validation", low=2, high=20, default=5, whole=True
    )

    def _contradictions(self) -> list[str]:
        found = super()._contradictions()
        if self.estimator == COMPLETION and self.choose_factors == "as given":
            found.append(
                "estimator, choose_factors: matrix completion has a penalty instead of a number of factors,"
                " so none can be given. Leave choose_factors='cross-validation'."
            )
        if self.estimator == COMPLETION and self.force != "two-way":
            found.append(
                "estimator, force: matrix completion always has unit and period effects, not"
                f" force='{self.force}'. Leave force='two-way'."
            )
        if self.outcome in self.covariates:
            found.append(
                f"covariates: '{self.outcome}' is already the outcome; it cannot adjust for itself. Remove"
                " it."
            )
        return found
