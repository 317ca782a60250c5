"""From the rows of a frame to the panel of untreated cells, its fit, and the series that others share."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd

from qieval.donors import DonorPool, blind_pool, by_unit, donor_pool
from qieval.errors import EstimationError
from qieval.methods.generalised_synthetic_control.design import COMPLETION, GeneralisedSyntheticControl
from qieval.numerics.factor_panel import FactorPanel
from qieval.numerics.factor_study import PanelFit, Recipe, data_order, fit_panel
from qieval.synthetic import Fitted, Problem, Synthetic
from qieval.text import plural

PANEL_FIT, UNITS, INFERENCE = "panel fit", "units of the panel", "inference"
"""Under these names the first fit of a study keeps that of the whole panel, the labels of its units, and the
draws."""


def parse(design: GeneralisedSyntheticControl, frame: pd.DataFrame) -> Synthetic:
    """The data as waves of treated units and donors, with their counterfactual."""
    return _made(design, donor_pool(design, frame), frame)


def blind(design: GeneralisedSyntheticControl, frame: pd.DataFrame) -> Synthetic:
    """The same without any outcome from the start on: factors and loadings of the periods before it."""
    return _made(design, blind_pool(design, frame), frame)


def recipe(design: GeneralisedSyntheticControl) -> Recipe:
    """What the design asks to be estimated."""
    return Recipe(
        completion=design.estimator == COMPLETION,
        source="controls" if design.factors_from == "never treated" else "untreated",
        force=design.force,  # type: ignore[arg-type]
        factors=design.factors if design.choose_factors == "as given" else None,
        most=design.factors,
        folds=design.folds,
        seed=design.seed,
    )


def factor_panel(
    design: GeneralisedSyntheticControl, pool: DonorPool, frame: pd.DataFrame
) -> tuple[FactorPanel, np.ndarray]:
    """The panel from the first fitted period on, and the position in the pool of each of its units.

    Units are in an order that depends on their data, so that random draws do not depend on labels.
    Periods of anticipation of treated units are neither treated nor untreated.
    """
    y, first = pool.y[:, pool.begin :], pool.first - pool.begin
    order = data_order(y, first)
    y, first, treated = y[order], first[order], pool.treated[order]
    untreated = np.isfinite(y) & _before(first - design.anticipation * treated, y.shape[1])
    x = None
    if design.covariates:
        tables = [by_unit(pool.panel, frame, name).loc[pool.names] for name in design.covariates]
        x = np.array([table.to_numpy()[order, pool.begin :] for table in tables])
    return FactorPanel(y=y, untreated=untreated, treated_from=first, x=x), order


def _before(first: np.ndarray, periods: int) -> np.ndarray:
    """Which cells lie before each unit's period (n, t)."""
    return np.asarray(np.arange(periods) < first[:, None])


def _made(design: GeneralisedSyntheticControl, pool: DonorPool, frame: pd.DataFrame) -> Synthetic:
    panel, order = factor_panel(design, pool, frame)
    fit = _carried_out(panel, recipe(design))
    starts = np.unique(panel.treated_from[~panel.controls & fit.estimable])
    if not starts.size:
        raise EstimationError(
            "The treated units have too few periods before their start for the coefficients of each. Take"
            " fewer factors, or add earlier periods."
        )
    waves = [np.flatnonzero(fit.estimable & (panel.treated_from == start)) for start in starts]
    problems = tuple(_problem(design, pool, order[wave]) for wave in waves)
    notes = _left_out(pool, order[~panel.controls & ~fit.estimable])
    names = tuple(pool.names[order])
    fits = tuple(_fitted(pool, fit, (wave, order), names, notes) for wave in waves)
    cells = np.array([held.units * (pool.n_periods - held.start) for held in problems], dtype=float)
    return Synthetic(
        pool=pool,
        problems=problems,
        fits=fits,
        placebos=None,
        weight=cells / cells.sum(),
        fit=partial(fit_series, fit.recipe),
        per=design.per,
    )


def _carried_out(panel: FactorPanel, stated: Recipe) -> PanelFit:
    try:
        return fit_panel(panel, stated)
    except EstimationError as cause:
        if stated.factors is not None or stated.completion:
            raise
        raise EstimationError(
            f"{cause} State the number of factors instead (choose_factors='as given', with factors=0 for unit"
            " and period effects alone), or add earlier periods."
        ) from cause


def _problem(design: GeneralisedSyntheticControl, pool: DonorPool, units: np.ndarray) -> Problem:
    """The mean series of the treated units of one wave (positions in the pool), and the donors."""
    start = int(pool.first[units[0]])
    return Problem(
        target=pool.y[units].mean(axis=0),
        donors=np.ascontiguousarray(pool.y[pool.donors].T),
        names=tuple(pool.names[pool.donors]),
        begin=pool.begin,
        stop=min(start - design.anticipation, pool.n_periods if pool.seen else pool.stop),
        start=start,
        label=str(pool.names[units[0]])
        if len(units) == 1
        else f"mean of {plural(len(units), 'treated unit')}",
        members=tuple(int(unit) for unit in units),
    )


def _fitted(
    pool: DonorPool,
    fit: PanelFit,
    places: tuple[np.ndarray, np.ndarray],
    names: tuple[object, ...],
    notes: tuple[str, ...],
) -> Fitted:
    """The fit of one wave; places: its units in the panel, and the position in the pool of each unit."""
    wave, order = places
    gaps = np.full(pool.n_periods, np.nan)
    gaps[pool.begin :] = fit.gaps[wave].mean(axis=0)
    weights = np.zeros(len(pool.names))
    weights[order[fit.panel.controls]] = fit.donor_weights(wave)
    return Fitted(
        weights=weights[pool.donors],
        gaps=gaps,
        more={PANEL_FIT: fit, UNITS: names},
        notes=notes,
    )


def _left_out(pool: DonorPool, units: np.ndarray) -> tuple[str, ...]:
    if not units.size:
        return ()
    named = ", ".join(sorted(str(pool.names[unit]) for unit in units)[:5])
    return (
        f"treated: {plural(units.size, 'treated unit')} with too few periods before the start for the"
        f" coefficients of each are not in the estimate ({named}{', ...' if units.size > 5 else ''}).",
    )


def fit_series(recipe: Recipe, problem: Problem) -> Fitted:
    """One series and its donors by a recipe with its choices made, by outcomes alone (no covariates)."""
    y = np.column_stack([problem.donors, problem.target])[problem.begin :].T
    first = np.full(len(y), y.shape[1])
    first[-1] = problem.start - problem.begin
    known = np.where(np.arange(len(y)) < len(y) - 1, y.shape[1], problem.stop - problem.begin)
    panel = FactorPanel(y, np.isfinite(y) & _before(known, y.shape[1]), first)
    fit = fit_panel(panel, recipe)
    gaps = np.concatenate([np.full(problem.begin, np.nan), fit.gaps[-1]])
    return Fitted(weights=fit.donor_weights(np.array([len(y) - 1])), gaps=gaps, more={PANEL_FIT: fit})
