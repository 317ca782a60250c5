"""Settling a design before any outcome that could tell the effect is read: change a setting, see at once what
it does to balance and overlap of similar people, or to weights and fit of donors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, overload

import numpy as np
import pandas as pd

from qieval.catalogue import method_of
from qieval.cohort import Cohort, cohort
from qieval.cohort_design import CohortDesign
from qieval.compared import Assignment, Compared, estimand_reached
from qieval.covariate_balance import BalanceTable, balance_of, scores_of
from qieval.diagnostics.donor_fit import fit_before, predictor_balance
from qieval.donor_design import DonorDesign
from qieval.errors import DesignError
from qieval.fields import declared
from qieval.methods.interrupted_time_series import InterruptedTimeSeries
from qieval.numerics.pairs import effective_size
from qieval.series_tuning import SeriesTuning
from qieval.synthetic import Synthetic
from qieval.text import number, plural
from qieval.verbs import Data, _frame

WORDS = ("arguments", "events")
"""Mappings of a design that name no columns."""

SHAPING = ("column", "columns", "values", "texts")
"""Roles of fields that say which columns are read."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Trial:
    """Who would be compared by a design, and how alike they would be. No outcome was read.

    treated, comparison: people who take part and people there are, by group. left_out: people whose effect is
    asked for and who take no part. effective_treated, effective_comparison: sizes of equally weighted groups
    of the same precision. balance: the table 'before' and 'after', None where no covariate is named. scores:
    the propensity score counted in bins, None without one. search: what a search found, None without one.
    """

    design: CohortDesign
    balance: BalanceTable | None
    scores: pd.DataFrame | None
    treated: tuple[int, int]
    comparison: tuple[int, int]
    left_out: int
    effective_treated: float
    effective_comparison: float
    estimand: str
    kind: str
    notes: tuple[str, ...]
    search: Any = None

    @property
    def largest(self) -> tuple[float, str]:
        """The largest standardised difference that is left, and whose it is."""
        if self.balance is None:
            return 0.0, ""
        worst = self.balance.worst(1).iloc[0]
        return abs(float(worst["standardised_difference"])), str(worst["characteristic"])

    @property
    def met(self) -> bool:
        """Whether the balance rule of the design is met."""
        return self.largest[0] <= self.design.balance_rule

    def __repr__(self) -> str:
        size, where = self.largest
        return (
            f"{self.kind}: {self.treated[0]} of {self.treated[1]} treated with {self.comparison[0]} of"
            f" {self.comparison[1]} others; largest difference {size:.3g} ({where})"
        )


class Tuning:
    """A cohort and its balance statistics, kept so that every further setting costs little.

    `try_` gives the Trial of a design with some fields changed; `trial` that of a whole design. Data are
    parsed, scores estimated and columns sorted again only when a change asks for it. Errors are those of
    `design_checks`: DesignError, DataError, EstimationError.
    """

    def __init__(self, design: CohortDesign, frame: pd.DataFrame) -> None:
        self.design = design
        self._frame = frame
        self._shape: dict[str, Any] = {}
        self._cohort: Cohort | None = None
        self._balances: dict[str, BalanceTable] = {}

    def try_(self, **changes: Any) -> Trial:
        """The trial of the design with some fields changed; the design itself stays."""
        return self.trial(replace(self.design, **changes))

    def trial(self, design: CohortDesign) -> Trial:
        """The trial of a design of the same kind."""
        assign = method_of(design).assign
        if assign is None:
            raise DesignError(f"design: {design.title} makes no groups alike, so nothing can be tried.")
        held = self._parsed(design)
        found: Assignment = assign(design, held)
        used, treated = found.used, held.treated
        compared = Compared(design, held, found)
        return Trial(
            design=design,
            balance=self._balance(compared) if design.covariates else None,
            scores=scores_of(compared),
            treated=_part(used, treated),
            comparison=_part(used, ~treated),
            left_out=found.left_out(),
            effective_treated=effective_size(found.weights[treated]),
            effective_comparison=effective_size(found.weights[~treated]),
            estimand=estimand_reached(design, found),
            kind=found.kind,
            notes=(*held.notes, *found.notes),
            search=found.search,
        )

    def _parsed(self, design: CohortDesign) -> Cohort:
        """The cohort without outcomes, parsed again only when other rows or columns are used."""
        shape = _shape(design)
        if self._cohort is None or shape != self._shape:
            self._cohort = cohort(design, self._frame, blind=True)
            self._shape, self._balances = shape, {}
        return self._cohort

    def _balance(self, compared: Compared) -> BalanceTable:
        """The balance table; sorted columns and the balance before are kept by estimand."""
        estimand = compared.design.estimand
        if estimand not in self._balances:
            self._balances[estimand] = balance_of(compared)
        return self._balances[estimand].reweighted(compared.found.weights)


@dataclass(frozen=True, eq=False, kw_only=True)
class DonorTrial:
    """How a design weights its donors, and how well they fit before the start. No outcome from the start on
    (less anticipation) was read.

    paths: one row for each period before the start, with period (text), at (periods from the start), fitted
    (whether the weights were fitted to it), treated, synthetic, mean_of_donors and gap (treated less
    synthetic); several treated units are averaged by their share of the effect. weights: donor and weight,
    the heaviest first; None where a method has none. shared: what the weights should share, for the treated,
    the synthetic control and the plain mean of the donors; None without predictors. fit: root mean squared
    gaps in the fitted periods, of the synthetic control and of simpler predictions. identified: whether the
    weights are the only ones that fit as well. untreated: units that never receive the intervention, of which
    the pool takes some.
    """

    design: DonorDesign
    paths: pd.DataFrame
    weights: pd.DataFrame | None
    shared: pd.DataFrame | None
    fit: pd.DataFrame
    met: bool
    identified: bool
    donors: int
    untreated: int
    notes: tuple[str, ...]

    @property
    def missed_by(self) -> float:
        """The root mean squared gap in the fitted periods."""
        return float(self.fit["root_mean_squared_gap"].iloc[0])

    @property
    def effective_donors(self) -> float:
        """One over the sum of squared weights: as many donors of equal weight; NaN without weights."""
        if self.weights is None:
            return float("nan")
        return 1 / float((self.weights["weight"] ** 2).sum())

    def __repr__(self) -> str:
        heaviest = ""
        if self.weights is not None and len(self.weights):
            name, weight = self.weights[["donor", "weight"]].iloc[0]
            heaviest = f"; heaviest {name} ({number(float(weight), 2)})"
        return (
            f"{self.donors} of {plural(self.untreated, 'untreated unit')}; missed by"
            f" {number(self.missed_by)} before the start{heaviest}"
        )


class DonorTuning:
    """Donors of a study in which settings are tried one after the other.

    `try_` gives the DonorTrial of a design with some fields changed; `trial` that of a whole design. Errors
    are those of `design_checks`: DesignError, DataError, EstimationError.
    """

    def __init__(self, design: DonorDesign, frame: pd.DataFrame) -> None:
        self.design = design
        self._frame = frame

    def try_(self, **changes: Any) -> DonorTrial:
        """The trial of the design with some fields changed; the design itself stays."""
        return self.trial(replace(self.design, **changes))

    def trial(self, design: DonorDesign) -> DonorTrial:
        """The trial of a design of the same kind."""
        made = method_of(design).blind(design, self._frame)
        if not isinstance(made, Synthetic):
            raise DesignError(
                f"design: {design.title} matches totals of many units, which cannot be drawn donor by donor."
                " Its design checks say how well they are met."
            )
        fit = fit_before(design, made)
        rules = made.pool.rules["donors"]
        with_predictors = made.problems[0].predictors is not None
        return DonorTrial(
            design=design,
            paths=_paths(made),
            weights=_weights(made),
            shared=predictor_balance(design, made).table if with_predictors else None,
            fit=pd.DataFrame(fit.table),
            met=fit.verdict == "supports",
            identified=all(each.identified for each in made.fits),
            donors=int(rules.iloc[-1]),
            untreated=int(rules.iloc[0]),
            notes=(*made.pool.notes, *(note for each in made.fits for note in each.notes)),
        )


@overload
def tuning(design: CohortDesign, data: Data) -> Tuning: ...
@overload
def tuning(design: DonorDesign, data: Data) -> DonorTuning: ...
@overload
def tuning(design: InterruptedTimeSeries, data: Data) -> SeriesTuning: ...
def tuning(
    design: CohortDesign | DonorDesign | InterruptedTimeSeries, data: Data
) -> Tuning | DonorTuning | SeriesTuning:
    """Try settings of a design before any outcome that could tell the effect is looked at.

    data: a DataFrame or an Extract. For a comparison of similar people outcome columns are never read; for a
    design with donors or a series outcomes from the start on are not. DesignError for other designs.

    >>> import qieval as qe
    >>> people = qe.example("community_service")
    >>> design = qe.Matching(treated="service", covariates=("age", "frailty"))
    >>> bench = tuning(design, people)
    >>> bench.try_(caliper=0.1).left_out <= bench.try_(caliper=0.01).left_out
    True
    >>> hospitals = qe.example("one_hospital")
    >>> design = qe.SyntheticControl(outcome="readmissions_per_1000", unit="hospital", time="month",
    ...     treated="programme", start="2017-01")
    >>> bench = tuning(design, hospitals)
    >>> bench.try_().missed_by < bench.try_(not_donors={"H09": "merged in 2014"}).missed_by
    True
    """
    if isinstance(design, DonorDesign):
        return DonorTuning(design, _frame(data))
    if isinstance(design, InterruptedTimeSeries):
        return SeriesTuning(design, _frame(data))
    if not isinstance(design, CohortDesign):
        raise DesignError(
            f"design: {type(design).__name__} makes no groups alike, has no donors and no series, so there is"
            " nothing to try. Use Matching, GeneticMatching, Weighting, SyntheticControl,"
            " SyntheticDifferenceInDifferences or InterruptedTimeSeries."
        )
    return Tuning(design, _frame(data))


def _paths(made: Synthetic) -> pd.DataFrame:
    """The treated and what they are compared with in the periods before the start."""
    stop, begin = made.pool.stop, made.pool.begin
    treated = made.weight @ np.array([each.target[:stop] for each in made.problems])
    gap = made.weight @ np.array([each.gaps[:stop] for each in made.fits])
    at = np.arange(stop)
    return pd.DataFrame(
        {
            "period": made.pool.labels[:stop],
            "at": at - made.pool.start,
            "fitted": at >= begin,
            "treated": treated,
            "synthetic": treated - gap,
            "mean_of_donors": made.problems[0].donors[:stop].mean(axis=1),
            "gap": gap,
        }
    )


def _weights(made: Synthetic) -> pd.DataFrame | None:
    """The weights of the donors, the heaviest first."""
    names = made.problems[0].names
    if any(len(each.weights) != len(names) for each in made.fits):
        return None
    table = pd.DataFrame({"donor": list(names), "weight": made.donor_weights})
    return table.sort_values("weight", key=abs, ascending=False, kind="stable", ignore_index=True)


def _part(used: np.ndarray, group: np.ndarray) -> tuple[int, int]:
    return int((used & group).sum()), int(group.sum())


def _shape(design: CohortDesign) -> dict[str, Any]:
    """The fields that say which rows and columns are read."""
    return {
        name: getattr(design, name)
        for name, spec in declared(type(design)).items()
        if (spec.role in SHAPING and name not in WORDS) or name == "missing"
    }
