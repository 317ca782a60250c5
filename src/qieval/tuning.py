"""Settling a comparison of similar people: change a setting, see balance and overlap at once, no outcome."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from qieval.catalogue import method_of
from qieval.cohort import Cohort, cohort
from qieval.cohort_design import CohortDesign
from qieval.compared import Assignment, Compared, estimand_reached
from qieval.covariate_balance import BalanceTable, balance_of, scores_of
from qieval.errors import DesignError
from qieval.fields import declared
from qieval.numerics.pairs import effective_size
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


def tuning(design: CohortDesign, data: Data) -> Tuning:
    """Try settings of a comparison of similar people before any outcome is looked at.

    data: a DataFrame or an Extract. Outcome columns are never read. DesignError for designs that make no
    groups alike.

    >>> import qieval as qe
    >>> people = qe.example("community_service")
    >>> design = qe.Matching(treated="service", covariates=("age", "frailty"))
    >>> bench = tuning(design, people)
    >>> bench.try_(caliper=0.1).left_out <= bench.try_(caliper=0.01).left_out
    True
    """
    if not isinstance(design, CohortDesign):
        raise DesignError(
            f"design: {type(design).__name__} makes no groups alike, so there is nothing to try. Use"
            " Matching, GeneticMatching or Weighting."
        )
    return Tuning(design, _frame(data))


def _part(used: np.ndarray, group: np.ndarray) -> tuple[int, int]:
    return int((used & group).sum()), int(group.sum())


def _shape(design: CohortDesign) -> dict[str, Any]:
    """The fields that say which rows and columns are read."""
    return {
        name: getattr(design, name)
        for name, spec in declared(type(design)).items()
        if (spec.role in SHAPING and name not in WORDS) or name == "missing"
    }
