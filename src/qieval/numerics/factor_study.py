"""A counterfactual panel as it was asked for: the choice of factors or penalty, the fit, how to repeat it.

Joins interactive fixed effects and matrix completion behind one recipe, so that the same estimate can be made
on altered panels (pretended starts, units left out, placebo units) with the choice kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from qieval.errors import EstimationError
from qieval.numerics.factor_inference import Estimator, by_completion, by_factors
from qieval.numerics.factor_panel import FactorPanel, Floats, Force, Ints, pseudo_inverse
from qieval.numerics.interactive_effects import (
    FactorChoice,
    FactorModel,
    Source,
    choose_factors,
    interactive_effects,
)
from qieval.numerics.matrix_completion import PenaltyPath, matrix_completion
from qieval.progress import progress


@dataclass(frozen=True)
class Recipe:
    """What to estimate: matrix completion (`completion`) or a factor model.

    factors None: chosen by cross-validation among 0 to `most`. penalty None: chosen by cross-validation with
    `folds` and `seed`; folds also serve the factors when source is "untreated". source and force as in
    FactorModel; matrix completion always uses all untreated cells and two-way effects.
    """

    completion: bool = False
    source: Source = "controls"
    force: Force = "two-way"
    factors: int | None = None
    most: int = 5
    penalty: float | None = None
    folds: int = 5
    seed: int = 0

    @property
    def model(self) -> FactorModel:
        """The factor model, with no factors where their number is still open."""
        return FactorModel(self.factors or 0, self.force, self.source)

    @property
    def estimator(self) -> Estimator:
        """The estimator with the choices made; ValueError where they are still open."""
        if self.completion:
            if self.penalty is None:
                raise ValueError("the penalty has not been chosen")
            return by_completion(self.penalty)
        if self.factors is None:
            raise ValueError("the number of factors has not been chosen")
        return by_factors(self.model)


@dataclass(frozen=True, eq=False)
class PanelFit:
    """A recipe carried out on a panel.

    recipe: with the choice made; counterfactual (n, t), NaN where there is none; loadings (n, r) and factors
    (t, r): their product is the part that additive effects do not explain (of matrix completion by
    a singular value decomposition, r its rank); beta (c,). choice: errors by number of factors, path:
    errors by penalty; None where they were given.
    """

    panel: FactorPanel
    recipe: Recipe
    counterfactual: Floats
    loadings: Floats
    factors: Floats
    beta: Floats
    choice: FactorChoice | None = None
    path: PenaltyPath | None = None

    @property
    def rank(self) -> int:
        """The number of factors, or the rank that matrix completion ends with."""
        return int(self.loadings.shape[1])

    @property
    def estimable(self) -> np.ndarray:
        """Units with a counterfactual (n,)."""
        return np.asarray(np.isfinite(self.counterfactual).any(axis=1))

    @cached_property
    def gaps(self) -> Floats:
        """Observed minus counterfactual (n, t)."""
        return np.asarray(self.panel.y - self.counterfactual)

    def donor_weights(self, treated: Ints) -> Floats:
        """The implied weights of the controls (j,) for the mean of some treated units.

        Of all weights under which the controls share the treated units' loadings (and sum to one, if there
        are time effects), those with the smallest sum of squares. For a factor model whose factors
        come from complete controls the counterfactual is exactly these weights times the controls' outcomes
        less their unit effects (covariates out); otherwise they describe it. May be negative.
        """
        ones = self.recipe.completion or self.recipe.force in ("time", "two-way")
        rows = np.hstack([np.ones((len(self.loadings), int(ones))), self.loadings])
        known = self.panel.controls & self.estimable
        weights = np.zeros(len(rows))
        scale = np.sqrt(np.mean(rows[known] ** 2, axis=0))
        rows = rows / np.where(scale > 0, scale, 1.0)
        donors, goal = rows[known], rows[treated].mean(axis=0)
        weights[known] = donors @ (pseudo_inverse(donors.T @ donors / len(donors)) @ goal) / len(donors)
        return weights[self.panel.controls]


def fit_panel(panel: FactorPanel, recipe: Recipe) -> PanelFit:
    """Choose what is open, then fit. EstimationError when that is impossible or the fit does not settle.

    Folds of the penalty depend on the order of units: order them by `data_order` first.

    >>> trend = np.outer([1.0, 2.0, 3.0, 4.0, 5.0], [0.0, 1.0, -1.0, 2.0, 5.0, 3.0])
    >>> start = np.array([6, 6, 6, 6, 4])
    >>> fit = fit_panel(FactorPanel(trend, np.arange(6) < start[:, None], start), Recipe(most=2))
    >>> fit.recipe.factors, np.round(fit.gaps[4], 6).tolist() == [0.0] * 6
    (1, True)
    """
    return _completed(panel, recipe) if recipe.completion else _factored(panel, recipe)


def _factored(panel: FactorPanel, recipe: Recipe) -> PanelFit:
    choice = None
    if recipe.factors is None:
        choice = choose_factors(panel, recipe.model, range(recipe.most + 1), recipe.folds)
        recipe = replace(recipe, factors=choice.chosen)
    found = interactive_effects(panel, recipe.model)
    if not found.converged:
        raise EstimationError(
            f"The fit with {recipe.factors} factors does not settle: the untreated cells do not tell so many"
            " apart. Take fewer factors."
        )
    return PanelFit(
        panel=panel,
        recipe=recipe,
        counterfactual=found.counterfactual,
        loadings=found.loadings,
        factors=found.factors,
        beta=found.beta,
        choice=choice,
    )


def _completed(panel: FactorPanel, recipe: Recipe) -> PanelFit:
    found = matrix_completion(
        panel.y,
        panel.untreated,
        x=panel.x,
        folds=recipe.folds,
        seed=recipe.seed,
        penalty=recipe.penalty,
    )
    if not found.converged:
        raise EstimationError("Matrix completion does not settle: the data hardly vary once effects are out.")
    left, size, right = np.linalg.svd(np.nan_to_num(found.low_rank), full_matrices=False)
    rank, length = found.rank, np.sqrt(panel.shape[1])
    return PanelFit(
        panel=panel,
        recipe=replace(recipe, penalty=found.penalty),
        counterfactual=found.counterfactual,
        loadings=left[:, :rank] * size[:rank] / length,
        factors=right[:rank].T * length,
        beta=found.beta,
        path=found.path,
    )


def data_order(y: Floats, treated_from: Ints) -> Ints:
    """An order of units that depends on their data alone, not on their labels: (n, t) and (n,) to (n,)."""
    return np.lexsort(np.column_stack([y, treated_from])[:, ::-1].T)


def placebo_gaps(fit: PanelFit, start: int) -> Floats:
    """Gaps (j, t) of each control predicted as if treated from `start` on, the others being the controls.

    The choice of factors or penalty is kept. NaN for a control that cannot be predicted from the others.
    """
    controls = fit.panel.take(np.flatnonzero(fit.panel.controls))
    estimate, out = fit.recipe.estimator, np.full(controls.shape, np.nan)
    for unit in progress(range(len(out)), "placebo donors"):
        from_ = np.full(len(out), controls.shape[1])
        from_[unit] = start
        try:
            predicted = estimate(controls.starting(from_))[unit]
        except EstimationError:
            continue
        out[unit] = controls.y[unit] - predicted
    return out
