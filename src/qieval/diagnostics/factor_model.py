"""What can be said of a factor model before any outcome from the start on is seen: choice, fit, loadings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from qieval.check import Check, Verdict
from qieval.errors import EstimationError
from qieval.numerics.factor_study import PanelFit, fit_panel
from qieval.numerics.interactive_effects import FactorChoice, choose_factors
from qieval.numerics.simplex import is_inside_hull
from qieval.synthetic import Synthetic
from qieval.text import listed, number, plural

ENOUGH = "enough periods and units for the factors"
RIGHT, FITS = "the number of factors is right", "the model fits before the start"
INSIDE = "the treated respond to the factors as some donors do"
FEW_PERIODS = 10
"""Fewer periods before the start than this give biased estimates (Xu 2017, section 4, in simulations)."""
PER_COEFFICIENT = 3.0
"""Fewer periods (or donors) than this for each coefficient of a unit (of a period) are few."""
WORSE = 1.05
"""An error this many times that of the best number of factors is clearly worse."""
OVERFITTED = 2.0
"""Left-out errors this many times the gaps of the fit mean that the fit is partly noise."""
TRIED = 5
"""Numbers of factors tried at least where the number was given."""
SHOWN, LEVEL = 40, "level before the start"


def panel_fit(made: Synthetic) -> PanelFit:
    """The fit of the whole panel."""
    fit: PanelFit = made.fits[0].more["panel fit"]
    return fit


def _unit_names(made: Synthetic) -> list[str]:
    return [str(name) for name in made.fits[0].more["units of the panel"]]


def number_of_factors(design: Any, made: Synthetic) -> Check:
    """The error in left-out cells by number of factors, or by penalty."""
    fit = panel_fit(made)
    if fit.recipe.completion:
        return _penalty(fit)
    choice = _choice(fit)
    name = "number of factors"
    if choice is None:
        text = (
            f"The number of factors, {fit.rank}, is as given; there are too few periods before the start to"
            " leave some out and see whether it predicts."
        )
        return Check(name=name, assumption=RIGHT, verdict="concern", text=text)
    errors = np.sqrt(np.where(np.isfinite(choice.mspe), choice.mspe, np.nan))
    table = pd.DataFrame(
        {
            "factors": choice.factors,
            "left_out_error": errors,
            "information_criterion": choice.ic,
            "used": choice.factors == fit.rank,
        }
    )
    verdict, text = _judged(fit, choice, table)
    return Check(name=name, assumption=RIGHT, verdict=verdict, text=text, table=table)


def _choice(fit: PanelFit) -> FactorChoice | None:
    """The errors by number of factors, found now where the number was given."""
    if fit.choice is not None:
        return fit.choice
    most = max(fit.recipe.most, fit.rank + 1, TRIED)
    try:
        return choose_factors(fit.panel, fit.recipe.model, range(most + 1), fit.recipe.folds)
    except EstimationError:
        return None


def _judged(fit: PanelFit, choice: FactorChoice, table: pd.DataFrame) -> tuple[Verdict, str]:
    possible = choice.factors[np.isfinite(choice.mspe)]
    best = int(choice.factors[int(np.nanargmin(table["left_out_error"]))])
    lowest = float(table["left_out_error"].min())
    used = table.loc[table["used"], "left_out_error"]
    own = float(used.iloc[0]) if len(used) else float("nan")
    text = (
        f"With {plural(fit.rank, 'factor')} left-out periods before the start are missed by {number(own)}"
        f" (root mean square over {plural(choice.n_cells, 'cell')}); the lowest error, {number(lowest)}, is"
        f" with {best}."
    )
    if not np.isfinite(own):
        return "concern", text + " That number is too large for the periods before the start to be checked."
    if own > WORSE * lowest:
        return "concern", text + " The number used predicts clearly worse."
    if len(possible) < 2:
        return (
            "concern",
            text + " No other number could be tried: there are too few periods or donors.",
        )
    if fit.choice is not None and fit.rank == int(possible.max()) and fit.rank > 0:
        return "concern", text + " It is the largest number that could be tried, so more may be needed."
    if np.isfinite(choice.ic).any() and choice.factors[int(np.nanargmin(choice.ic))] != fit.rank:
        preferred = int(choice.factors[int(np.nanargmin(choice.ic))])
        text += f" The information criterion of the cells that factors come from is lowest with {preferred}."
        return "information", text
    return "supports", text


def _penalty(fit: PanelFit) -> Check:
    name = "penalty of the completed matrix"
    if fit.path is None:
        text = "The penalty is as given."
        return Check(name=name, assumption=RIGHT, verdict="information", text=text)
    errors = np.sqrt(fit.path.mspe)
    best = int(np.argmin(errors))
    table = pd.DataFrame({"penalty": fit.path.penalty, "left_out_error": errors})
    text = (
        f"The penalty chosen leaves a common part of rank {fit.rank} and misses left-out untreated cells by"
        f" {number(float(errors[best]))} (root mean square; unit and period effects alone"
        f" {number(float(errors[0]))})."
    )
    edge = best == len(errors) - 1
    if edge:
        text += (
            " It is the smallest that was tried: the data ask for no penalty, so the fit may follow noise."
        )
    if best == 0:
        text += " No common part helps, so the estimate is that of unit and period effects."
    many = fit.rank > min(fit.panel.shape) / 2
    if many:
        text += " So many dimensions are more than a few common influences; compare with a factor model."
    return Check(
        name=name,
        assumption=RIGHT,
        verdict="concern" if edge or many else "supports",
        text=text,
        table=table,
    )


def fit_before(design: Any, made: Synthetic) -> Check:
    """Gaps of the treated before the start: of this fit, in left-out periods, and without factors."""
    fit = panel_fit(made)
    cells = fit.panel.pre_cells & np.isfinite(fit.gaps)
    own = float(np.sqrt(np.mean(fit.gaps[cells] ** 2)))
    plain = replace(fit.recipe, completion=False, factors=0, force="two-way", source="controls")
    additive = fit_panel(fit.panel, plain).gaps
    without = float(np.sqrt(np.mean(additive[cells] ** 2)))
    left_out = _left_out_error(fit)
    table = pd.DataFrame(
        {
            "prediction": ["this model", "this model, in left-out cells", "unit and period effects alone"],
            "root_mean_squared_gap": [own, left_out, without],
        }
    )
    text = (
        f"Before the start the treated differ from their prediction by {number(own)} (root mean square); unit"
        f" and period effects alone miss by {number(without)}."
    )
    noise = bool(left_out > OVERFITTED * own) and fit.rank > 0
    if noise:
        text += (
            f" In cells that were left out the model misses by {number(left_out)}, much more than in those it"
            " was fitted to: part of the fit is noise."
        )
    poor = own > without * (1 + 1e-9)
    if poor:
        text += " The model fits worse than plain effects, so the gap after the start is not an effect."
    return Check(
        name="fit before the start",
        assumption=FITS,
        verdict="concern" if noise or poor else "supports",
        text=text,
        table=table,
    )


def _left_out_error(fit: PanelFit) -> float:
    """Of the number of factors used, in left-out periods before the start; NaN for a completed matrix, whose
    errors are those of all units."""
    choice = None if fit.recipe.completion else _choice(fit)
    if choice is None or fit.rank not in choice.factors:
        return float("nan")
    error = float(np.sqrt(choice.mspe[choice.factors == fit.rank][0]))
    return error if np.isfinite(error) else float("nan")


def enough_for_factors(design: Any, made: Synthetic) -> Check:
    """Periods before the start, and donors, for each coefficient."""
    fit = panel_fit(made)
    treated = np.flatnonzero(~fit.panel.controls & fit.estimable)
    before = fit.panel.pre_cells[treated].sum(axis=1)
    fewest, donors = int(before.min()), int(fit.panel.controls.sum())
    per_unit = fit.rank + (fit.recipe.completion or fit.recipe.force in ("unit", "two-way"))
    per_period = fit.rank + (fit.recipe.completion or fit.recipe.force in ("time", "two-way"))
    each = (fewest / max(per_unit, 1), donors / max(per_period, 1))
    names = _unit_names(made)
    table = pd.DataFrame(
        {
            "unit": [names[unit] for unit in treated[:SHOWN]],
            "periods_before": before[:SHOWN],
            "periods_for_each_coefficient": before[:SHOWN] / max(per_unit, 1),
        }
    )
    text = (
        f"There are {plural(fewest, 'period')} before the start for {plural(int(per_unit), 'coefficient')} of"
        f" each treated unit, and {plural(donors, 'donor')} for {plural(int(per_period), 'coefficient')} of"
        " each period."
    )
    short = fewest < FEW_PERIODS
    if short:
        text += f" Fewer than {FEW_PERIODS} periods are a short time: estimates from it are biased."
    few = min(each) < PER_COEFFICIENT and not fit.recipe.completion
    if few:
        text += (
            f" Fewer than {PER_COEFFICIENT:g} for each coefficient leave much to chance; take fewer factors."
        )
    lost = int((~fit.estimable & ~fit.panel.controls).sum())
    if lost:
        text += f" {plural(lost, 'treated unit')} had too few to be estimated at all."
    return Check(
        name="periods and donors for each coefficient",
        assumption=ENOUGH,
        verdict="concern" if short or few or lost else "supports",
        text=text,
        table=table,
    )


def loadings_overlap(design: Any, made: Synthetic) -> Check:
    """Whether the treated respond to each factor, and to all of them jointly, as donors do."""
    fit, name = panel_fit(made), "overlap of loadings"
    names = _unit_names(made)
    treated = np.flatnonzero(~fit.panel.controls & fit.estimable)
    table = pd.DataFrame(
        [row for unit in treated for row in [_level(fit, int(unit)), *_loadings(fit, int(unit))]],
        index=[names[unit] for unit in treated for _ in range(1 + fit.rank)],
    )
    table = table.rename_axis("unit").reset_index()
    beyond = (table["treated"] < table["lowest_donor"]) | (table["treated"] > table["highest_donor"])
    level = table["what"] == LEVEL
    far, apart = list(dict.fromkeys(table["unit"][beyond & ~level])), int((beyond & level).sum())
    outside = sum(_outside(fit, int(unit)) for unit in treated)
    verdict: Verdict = "information"
    if not fit.rank:
        text = "There is no factor, so there are no loadings to compare; only levels differ between units."
    elif far:
        verdict = "concern"
        text = (
            f"{listed(far)} respond to a factor more or less than every donor does: the prediction"
            " extrapolates there."
        )
    else:
        verdict = "information" if outside or apart else "supports"
        dimensions = plural(fit.rank, "dimension")
        text = f"Each treated unit lies within the range of the donors on each of {dimensions}."
    if outside and not far:
        text += (
            f" Taken together, the loadings of {plural(outside, 'treated unit')} are not a mixture of donors'"
            " loadings, so some implied weights are negative."
        )
    if apart:
        text += (
            f" The level of {plural(apart, 'treated unit')} before the start is higher or lower than that of"
            " every donor; the model allows for it, as long as units change by amounts and not by shares."
        )
    return Check(name=name, assumption=INSIDE, verdict=verdict, text=text, table=table.head(SHOWN))


def _level(fit: PanelFit, unit: int) -> dict[str, Any]:
    """The mean outcome of a treated unit before its start, and the range of the donors' in those periods."""
    rows = np.flatnonzero(fit.panel.pre_cells[unit])
    donors = fit.panel.y[fit.panel.controls][:, rows].mean(axis=1)
    own = float(fit.panel.y[unit, rows].mean())
    return {
        "what": LEVEL,
        "treated": own,
        "lowest_donor": float(donors.min()),
        "highest_donor": float(donors.max()),
    }


def _loadings(fit: PanelFit, unit: int) -> list[dict[str, Any]]:
    """The loadings of a treated unit, and the range of the donors'."""
    donors = fit.loadings[fit.panel.controls & fit.estimable]
    return [
        {
            "what": f"loading on factor {place + 1}",
            "treated": float(own),
            "lowest_donor": float(held.min()),
            "highest_donor": float(held.max()),
        }
        for place, (own, held) in enumerate(zip(fit.loadings[unit], donors.T, strict=True))
    ]


def _outside(fit: PanelFit, unit: int) -> bool:
    """Whether no mixture of donors has the loadings of a unit."""
    if not fit.rank:
        return False
    donors = fit.loadings[fit.panel.controls & fit.estimable]
    return is_inside_hull(fit.loadings[unit], np.ascontiguousarray(donors.T))[0] > 1e-8
