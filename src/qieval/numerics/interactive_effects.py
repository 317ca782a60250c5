"""Counterfactual outcomes from interactive fixed effects: common factors with a loading of each unit.

Model of untreated outcomes:
    y_it = constant + unit effect_i + time effect_t + x_it beta + loadings_i' factors_t + error.
Either the factors come from never-treated units alone and treated units get their loadings from
their own pre-periods (generalised synthetic control: Xu 2017, equations 2-6; R gsynth), or everything is
fitted to all untreated cells at once (Gobillon and Magnac 2016; Liu, Wang and Xu 2024; R fect "ife"). With
no factors both are two-way fixed effects and imputation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from qieval.errors import EstimationError
from qieval.numerics.factor_least_squares import Factors, Stop, factor_least_squares, regress_rows
from qieval.numerics.factor_panel import FactorPanel, Floats, Force, Ints, Mask
from qieval.progress import progress

Source = Literal["controls", "untreated"]


@dataclass(frozen=True, eq=False)
class FactorModel:
    """What is fitted: number of factors, additive effects, and the cells that the factors come from.

    "controls": never-treated units (Xu 2017), "untreated": all untreated cells. "unit" effects in `force`
    are an intercept of each unit, "time" effects of each period; with "none" there is not even a constant.
    """

    factors: int
    force: Force = "two-way"
    source: Source = "controls"
    stop: Stop = field(default_factory=Stop)

    @property
    def per_unit(self) -> int:
        """Coefficients of each unit: untreated cells that it needs at least."""
        return self.factors + (self.force in ("unit", "two-way"))

    @property
    def per_period(self) -> int:
        """Coefficients of each period."""
        return self.factors + (self.force in ("time", "two-way"))


@dataclass(frozen=True, eq=False)
class FactorFit:
    """Untreated outcomes by the model in every cell, and what they are made of.

    counterfactual (n, t); factors (t, r); loadings (n, r); beta (c,), 0 for a covariate that the effects
    explain; unit_effects (n,) and time_effects (t,) are deviations from the constant. NaN for units and
    periods whose untreated cells are too few for their coefficients (they took no part). Factors have
    mean square one and falling importance, their signs are a convention. sigma2 and ic are those of gsynth
    1.3: SSR / (N - k) and log(sigma2) + k log(N) / N with N cells and k = r (units + periods) - r^2 + c of
    the fit behind the factors (ic is NaN if sigma2 is not positive). converged False, usually with huge
    loadings: there are more factors than the cells can tell; do not use the fit.
    """

    counterfactual: Floats
    factors: Floats
    loadings: Floats
    beta: Floats
    constant: float
    unit_effects: Floats
    time_effects: Floats
    sigma2: float
    ic: float
    iterations: int
    converged: bool


def interactive_effects(panel: FactorPanel, model: FactorModel) -> FactorFit:
    """Fit the model to the untreated cells and predict every cell.

    Raises EstimationError when no never-treated unit is left for source "controls", or when no unit and
    period has enough untreated cells. With force "none" the answer depends on where zero is (gsynth
    subtracts the mean there). Checked against two-way imputation (no factors), noiseless panels of low
    rank, and plain alternating least squares.

    >>> trend = np.outer([1.0, 2.0, 3.0, 4.0, 2.5], [0.0, 1.0, -1.0, 2.0, 5.0, 3.0])
    >>> start = np.array([6, 6, 6, 6, 4])
    >>> panel = FactorPanel(trend, np.arange(6) < start[:, None], start)
    >>> fit = interactive_effects(panel, FactorModel(1))
    >>> np.round(fit.counterfactual[4], 6).tolist() == trend[4].tolist()
    True
    """
    units, periods = _enough(panel, model)
    used = panel.untreated[np.ix_(units, periods)]
    y = np.where(used, panel.y[np.ix_(units, periods)], 0.0)
    x = panel.covariates[:, units][:, :, periods]
    source = panel.controls[units] if model.source == "controls" else np.ones(units.size, dtype=bool)
    centre, scale, x_scale = _scales(y[source], used[source], x[:, source], model.force)
    y, x = (y - centre) / scale, x / x_scale[:, None, None]
    fit = factor_least_squares(y[source], used[source], model.factors, model.force, x[:, source], model.stop)
    loadings, effects = _all_units(fit, (y, used, x), source, model.force)
    values = fit.constant + effects[:, None] + fit.time_effects + loadings @ fit.factors.T
    values += np.tensordot(fit.beta, x, axes=1)
    cells, parameters = _counts(used[source], model.factors, len(x))
    sigma2 = fit.ssr * scale**2 / (cells - parameters) if cells > parameters else np.nan
    n, t = panel.shape
    return FactorFit(
        counterfactual=_spread(values * scale + centre, (n, t), np.ix_(units, periods)),
        factors=_spread(fit.factors, (t, model.factors), periods),
        loadings=_spread(loadings * scale, (n, model.factors), units),
        beta=fit.beta * scale / x_scale,
        constant=fit.constant * scale + centre,
        unit_effects=_spread(effects * scale, (n,), units),
        time_effects=_spread(fit.time_effects * scale, (t,), periods),
        sigma2=sigma2,
        ic=float(np.log(sigma2) + parameters * np.log(cells) / cells) if sigma2 > 0 else np.nan,
        iterations=fit.iterations,
        converged=fit.converged,
    )


def _all_units(
    fit: Factors, data: tuple[Floats, Mask, Floats], source: Mask, force: Force
) -> tuple[Floats, Floats]:
    """Loadings (n, r) and unit effects (n,); units that were not fitted get theirs from their own cells."""
    y, used, x = data
    loadings, effects = np.zeros((source.size, fit.factors.shape[1])), np.zeros(source.size)
    loadings[source], effects[source] = fit.loadings, fit.unit_effects
    if source.all():
        return loadings, effects
    own, ones = ~source, force in ("unit", "two-way")
    left = y[own] - fit.constant - fit.time_effects - np.tensordot(fit.beta, x[:, own], axes=1)
    design = np.column_stack([np.ones(len(fit.factors)), fit.factors])[:, int(not ones) :]
    rows = regress_rows((left * used[own])[None], used[own].astype(float), design).rows
    loadings[own] = rows[:, int(ones) :]
    effects[own] = rows[:, 0] if ones else 0.0
    return loadings, effects


def _enough(panel: FactorPanel, model: FactorModel) -> tuple[Ints, Ints]:
    """Units and periods with enough untreated cells for their coefficients, thinned out until all have."""
    source = panel.controls if model.source == "controls" else np.ones(len(panel.y), dtype=bool)
    if not source.any():
        raise EstimationError(
            "No unit stays untreated, so factors cannot come from such units: use all untreated cells."
        )
    units, periods = np.ones(panel.shape[0], dtype=bool), np.ones(panel.shape[1], dtype=bool)
    while True:
        used = panel.untreated & units[:, None] & periods
        enough_units = units & (used.sum(axis=1) >= max(model.per_unit, 1))
        enough_periods = periods & (used[source].sum(axis=0) >= max(model.per_period, 1))
        if (enough_units == units).all() and (enough_periods == periods).all():
            break
        units, periods = enough_units, enough_periods
    if not (units & source).any() or not periods.any():
        raise EstimationError(
            f"Too few untreated cells for {model.factors} factors: every unit needs {model.per_unit} periods "
            f"and every period {model.per_period} untreated units. Take fewer factors."
        )
    return np.flatnonzero(units), np.flatnonzero(periods)


def _scales(y: Floats, used: Mask, x: Floats, force: Force) -> tuple[float, float, Floats]:
    """Centre and scale of the outcome, scales of the covariates."""
    centre = 0.0 if force == "none" else float(y[used].mean())
    scale = float(np.sqrt(np.mean((y[used] - centre) ** 2))) or 1.0
    x_scale = np.array([float(one[used].std()) or float(np.abs(one[used]).max()) or 1.0 for one in x])
    return centre, scale, x_scale


def _counts(used: Mask, factors: int, covariates: int) -> tuple[int, int]:
    """Cells and parameters as gsynth counts them."""
    return int(used.sum()), factors * sum(used.shape) - factors**2 + covariates


def _spread(values: Floats, shape: tuple[int, ...], place: Ints | tuple[Ints, ...]) -> Floats:
    full = np.full(shape, np.nan)
    full[place] = values
    return full


@dataclass(frozen=True, eq=False)
class FactorChoice:
    """Numbers of factors tried (k,), mean squared prediction error and information criterion of each.

    mspe is over the same n_cells left-out cells for each (inf where the number of factors is too large for
    them); chosen is the smallest number whose mspe is within 0.1 % of the lowest.
    """

    factors: Ints
    mspe: Floats
    ic: Floats
    sigma2: Floats
    n_cells: int
    chosen: int


def choose_factors(
    panel: FactorPanel, model: FactorModel, candidates: Sequence[int] = range(6), folds: int = 5
) -> FactorChoice:
    """Number of factors by cross-validation over the pre-periods of treated units; model.factors is ignored.

    Source "controls": leave out one pre-period of the treated units at a time (Xu 2017, algorithm 1),
    exact without refitting because the factors do not change: the left-out error of a least-squares fit is
    residual / (1 - leverage). Source "untreated": pre-period cells of treated units are left out in `folds`
    interleaved sets of periods and everything is refitted. Deterministic. Units with too few pre-periods
    for the largest possible candidate are not scored. Raises EstimationError if nothing can be scored.
    """
    tried = np.array(sorted(set(candidates)), dtype=np.intp)
    errors = np.full((tried.size, *panel.shape), np.nan)
    ic, sigma2 = np.full(tried.size, np.nan), np.full(tried.size, np.nan)
    for row, count in enumerate(progress(tried.tolist(), "numbers of factors")):
        candidate = FactorModel(count, model.force, model.source, Stop(tolerance=1e-6, most=100))
        try:
            fit = interactive_effects(panel, candidate)
        except EstimationError:
            continue
        ic[row], sigma2[row] = fit.ic, fit.sigma2
        exact = model.source == "controls"
        errors[row] = _left_out(panel, fit, candidate) if exact else _refitted(panel, candidate, folds)
    scored = np.isfinite(errors)
    possible = scored.any(axis=(1, 2))
    if not possible.any():
        raise EstimationError("No treated unit has enough pre-periods for one of them to be left out.")
    cells = scored[possible].all(axis=0)
    mspe = np.full(tried.size, np.inf)
    mspe[possible] = np.mean(errors[possible][:, cells] ** 2, axis=1) if cells.any() else np.inf
    limit = mspe.min() * 1.001 + 1e-20 * float(np.var(panel.y[panel.untreated]))
    chosen = int(tried[np.flatnonzero(mspe <= limit)[0]])
    return FactorChoice(tried, mspe, ic, sigma2, int(cells.sum()), chosen)


def _left_out(panel: FactorPanel, fit: FactorFit, model: FactorModel) -> Floats:
    """Errors of pre-period cells predicted without them, factors fixed (n, t); NaN where not possible."""
    errors = np.full(panel.shape, np.nan)
    ones = np.ones((panel.shape[1], int(model.per_unit - model.factors)))
    design = np.hstack([ones, fit.factors])
    known = np.isfinite(fit.counterfactual)
    for unit in np.flatnonzero(panel.pre_cells.any(axis=1)):
        cells = np.flatnonzero(panel.pre_cells[unit] & known[unit])
        if cells.size <= model.per_unit:
            continue
        basis = np.linalg.qr(design[cells])[0]
        left = 1 - np.sum(basis**2, axis=1)
        residual = panel.y[unit, cells] - fit.counterfactual[unit, cells]
        errors[unit, cells] = np.where(left > 1e-8, residual / np.where(left > 1e-8, left, 1.0), np.nan)
    return errors


def _refitted(panel: FactorPanel, model: FactorModel, folds: int) -> Floats:
    """Errors of pre-period cells predicted by fits without their fold (n, t); NaN where not possible."""
    errors = np.full(panel.shape, np.nan)
    for held in _folds(panel, folds):
        kept = FactorPanel(panel.y, panel.untreated & ~held, panel.treated_from, panel.x)
        try:
            fit = interactive_effects(kept, model)
        except EstimationError:
            continue
        errors[held] = (panel.y - fit.counterfactual)[held]
    return errors


def _folds(panel: FactorPanel, folds: int) -> Iterator[Mask]:
    """Masks (n, t) of pre-period cells by period, interleaved."""
    for fold in range(folds):
        held = panel.pre_cells & (np.arange(panel.shape[1]) % folds == fold)
        if held.any():
            yield held
