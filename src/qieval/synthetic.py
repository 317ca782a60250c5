"""What a synthetic control is computed from and what it gives, as arrays that methods, checks and plots
share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from qieval.donors import DonorPool

ROUNDING = 1e-12
"""A gap below this share of the largest outcome is rounding error."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Predictors:
    """Characteristics whose means over stated periods the synthetic control should share.

    names (k,): in words; column (k,): the column of each; codes: the periods of each mean; cells: by column
    the values (T, 1 + j), the treated unit first and the donors in the order of the problem; missing values
    are NaN and left out of the means.
    """

    names: tuple[str, ...]
    column: tuple[str, ...]
    codes: tuple[np.ndarray, ...]
    cells: Mapping[str, np.ndarray]

    def means(self) -> np.ndarray:
        """The means (k, 1 + j)."""
        return np.array(
            [
                np.nanmean(self.cells[name][codes], axis=0)
                for name, codes in zip(self.column, self.codes, strict=True)
            ]
        )

    def lacking(self) -> np.ndarray:
        """Which units have no value at all of which mean (k, 1 + j)."""
        return np.array(
            [
                np.isnan(self.cells[name][codes]).all(axis=0)
                for name, codes in zip(self.column, self.codes, strict=True)
            ]
        )

    def between(self, begin: int, stop: int) -> Predictors | None:
        """The same from periods from `begin` to before `stop` only; None when none of them is known there."""
        cut = replace(self, codes=tuple(codes[(codes >= begin) & (codes < stop)] for codes in self.codes))
        kept = [place for place, codes in enumerate(cut.codes) if len(codes)]
        if not kept:
            return None
        cut = cut._chosen(kept)
        known = np.flatnonzero(~cut.lacking().any(axis=1))
        return cut._chosen([int(place) for place in known]) if len(known) else None

    def without(self, place: int) -> Predictors | None:
        """Without one of them; None when none is left."""
        kept = [other for other in range(len(self.names)) if other != place]
        return self._chosen(kept) if kept else None

    def taking(self, columns: np.ndarray) -> Predictors:
        """With other units: positions among the columns of the cells, the treated one first."""
        return replace(self, cells={name: held[:, columns] for name, held in self.cells.items()})

    def _chosen(self, kept: list[int]) -> Predictors:
        return Predictors(
            names=tuple(self.names[place] for place in kept),
            column=tuple(self.column[place] for place in kept),
            codes=tuple(self.codes[place] for place in kept),
            cells=self.cells,
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Problem:
    """One treated series and its donors.

    target (T,), donors (T, j), names (j,): labels of the donors; begin, stop, start: codes of the first
    fitted period, of the first that is not fitted, and of the first with the intervention; label: whose
    series it is; members: positions in the pool of the treated units that it is the mean of.
    """

    target: np.ndarray
    donors: np.ndarray
    names: tuple[Any, ...]
    begin: int
    stop: int
    start: int
    label: str
    predictors: Predictors | None = None
    members: tuple[int, ...] = ()

    @property
    def units(self) -> int:
        """How many treated units the series is the mean of."""
        return max(1, len(self.members))

    @property
    def fitted(self) -> slice:
        """The periods that are fitted."""
        return slice(self.begin, self.stop)

    @property
    def after(self) -> slice:
        """The periods with the intervention."""
        return slice(self.start, len(self.target))

    def rounded(self, gaps: np.ndarray) -> np.ndarray:
        """Gaps (T,) or (T, m) in which those that are rounding error of a perfect fit are zero."""
        used = slice(self.begin, self.stop)
        largest = max(float(np.abs(self.target[used]).max()), float(np.abs(self.donors[used]).max()))
        return np.where(np.abs(gaps) <= ROUNDING * largest, 0.0, gaps)

    def change_in_fit(self, gaps: np.ndarray) -> np.ndarray:
        """Mean squared gap from the start on over that of the fitted periods, of gaps (T,) or (T, m).

        Without any gap before and after it is zero (nothing changed), without one before it is infinite.
        """
        before, after = (gaps[self.fitted] ** 2).mean(axis=0), (gaps[self.after] ** 2).mean(axis=0)
        return times(after, before)

    def keeping(self, donors: np.ndarray) -> Problem:
        """With some of the donors only (positions or bool)."""
        place = np.arange(len(self.names))[donors]
        return replace(
            self,
            donors=np.ascontiguousarray(self.donors[:, place]),
            names=tuple(self.names[int(each)] for each in place),
            predictors=None
            if self.predictors is None
            else self.predictors.taking(np.concatenate([[0], place + 1])),
        )

    def without(self, donors: list[int]) -> Problem:
        """Without some of the donors."""
        return self.keeping(~np.isin(np.arange(len(self.names)), donors))

    def as_if(self, donor: int) -> Problem:
        """As if a donor had been treated in place of the treated unit, with the other donors as donors."""
        rest = np.delete(np.arange(len(self.names)), donor)
        return replace(
            self,
            target=np.ascontiguousarray(self.donors[:, donor]),
            donors=np.ascontiguousarray(self.donors[:, rest]),
            names=tuple(self.names[int(each)] for each in rest),
            label=str(self.names[donor]),
            predictors=None
            if self.predictors is None
            else self.predictors.taking(np.concatenate([[donor + 1], rest + 1])),
        )

    def with_treated_as_donor(self) -> Problem:
        """With the treated series among the donors, as the last of them (for pools of placebos)."""
        everyone = np.arange(len(self.names) + 1)
        return replace(
            self,
            donors=np.column_stack([self.donors, self.target]),
            names=(*self.names, self.label),
            predictors=None if self.predictors is None else self.predictors.taking(np.append(everyone, 0)),
        )

    def backdated(self, stop: int) -> Problem:
        """As if the intervention had begun at `stop`, seen only up to the real start (less anticipation)."""
        return replace(
            self,
            target=self.target[: self.stop],
            donors=self.donors[: self.stop],
            stop=stop,
            start=stop,
            predictors=None if self.predictors is None else self.predictors.between(0, stop),
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Fitted:
    """A synthetic control of one series.

    weights (j,); gaps (T,): observed less synthetic; shift: what is added to the weighted donors (0 without
    an intercept); certificate: relative duality gap of the weights (0 is optimal; NaN where none is defined);
    identified: whether the weights are the only ones that fit as well; predictor_weights (k,) or None; more:
    further facts in words for the user.
    """

    weights: np.ndarray
    gaps: np.ndarray
    shift: float = 0.0
    certificate: float = float("nan")
    identified: bool = True
    predictor_weights: np.ndarray | None = None
    more: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def mspe(self, rows: slice) -> float:
        """The mean squared gap over some periods."""
        return float(np.mean(self.gaps[rows] ** 2))


@dataclass(frozen=True, eq=False, kw_only=True)
class Placebos:
    """Every donor in turn as if it had been treated.

    names (m,); gaps (T, m); identified (m,): whether the weights of each are the only ones that fit as well.
    """

    names: tuple[Any, ...]
    gaps: np.ndarray
    identified: np.ndarray


def reaches(units: int, level: float) -> bool:
    """Whether a permutation over that many units (or times) can reject at a level.

    >>> reaches(10, 0.9), reaches(19, 0.95)
    (True, False)
    """
    return 1 / units <= 1 - level + 1e-9


def times(value: np.ndarray, of: np.ndarray) -> np.ndarray:
    """How many times as large as another: infinite where the other is zero, zero where both are."""
    found = np.divide(value, of, out=np.full(np.shape(value), np.inf), where=of != 0)
    return np.where(value == 0, 0.0, found)


Fit = Callable[[Problem], Fitted]
Spread = Callable[[Problem], Placebos | None]
FitTogether = Callable[[tuple[Problem, ...]], tuple[Fitted, ...]]


@dataclass(frozen=True, eq=False, kw_only=True)
class Synthetic:
    """All that later steps need: the pool, each treated series with its fit, placebos, and how to fit again.

    problems, fits: one per treated series. placebos: one per series; None where there is a single donor or
    when the estimate was made without them. weight (m,): the share of each series in the average effect.
    per: the outcome is a rate per this many people. spread: gives the placebos of another problem, where
    that is quick. together: fits all problems at once, where their weights are chosen together.
    """

    pool: DonorPool
    problems: tuple[Problem, ...]
    fits: tuple[Fitted, ...]
    placebos: tuple[Placebos, ...] | None
    weight: np.ndarray
    fit: Fit
    per: float = 1.0
    spread: Spread | None = None
    together: FitTogether | None = None

    @property
    def only(self) -> tuple[Problem, Fitted]:
        """The first treated series and its fit."""
        return self.problems[0], self.fits[0]

    def again(self, problems: tuple[Problem, ...]) -> tuple[Fitted, ...]:
        """Fit altered problems in the way in which these were fitted."""
        return self.together(problems) if self.together else tuple(self.fit(held) for held in problems)

    @property
    def worst(self) -> tuple[Problem, Fitted]:
        """The treated series with the largest gaps before the start, and its fit."""
        errors = [fit.mspe(problem.fitted) for problem, fit in zip(self.problems, self.fits, strict=True)]
        place = int(np.argmax(errors))
        return self.problems[place], self.fits[place]

    @cached_property
    def donor_weights(self) -> np.ndarray:
        """The weights of the donors (j,), averaged over the treated series by their share."""
        stacked = np.array([fit.weights for fit in self.fits])
        averaged: np.ndarray = self.weight @ stacked
        return averaged
