"""From the parsed pool to one problem per treated series."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pandas as pd

from qieval.donors import DonorPool, by_unit
from qieval.errors import DataError, nearest
from qieval.methods.synthetic_control.design import SyntheticControl
from qieval.rows import sentence
from qieval.synthetic import Predictors, Problem
from qieval.text import listed, plural
from qieval.windows import windows

Cells = dict[str, np.ndarray]


def require_predictors(design: SyntheticControl, frame: pd.DataFrame) -> None:
    """Raise DataError unless every predictor is a column of the data."""
    lacking = [name for name in design.predictors if name not in frame.columns]
    if lacking:
        raise DataError(
            [
                f"predictors: there is no column '{name}' in the data.{nearest(name, frame.columns)} The"
                f" columns are: {listed(frame.columns, 12)}."
                for name in lacking
            ]
        )


def problems(
    design: SyntheticControl, pool: DonorPool, predictors: Predictors | None
) -> tuple[tuple[Problem, ...], np.ndarray]:
    """One problem per treated series, and the share of each in the average effect.

    Units that are averaged count the same each; else every period of every unit with the intervention counts
    once.
    """
    treated = np.flatnonzero(pool.treated)
    if design.several == "average" and pool.staggered:
        raise DataError(
            "several: the treated units start at different times (first_treated), so they cannot be"
            " averaged into one series. Set several='unit by unit' or 'partially pooled'."
        )
    together = design.several == "average" or (design.several == "automatic" and not pool.staggered)
    if together or len(treated) == 1:
        return (_problem(design, pool, predictors, treated),), np.ones(1)
    after = (pool.n_periods - pool.first[treated]).astype(float)
    found = tuple(_problem(design, pool, predictors, treated[[place]]) for place in range(len(treated)))
    return found, after / after.sum()


def with_predictors(
    design: SyntheticControl, pool: DonorPool, frame: pd.DataFrame
) -> tuple[DonorPool, Predictors | None]:
    """The pool without donors that lack a predictor, and the predictors of all its units (n columns)."""
    if not design.predictors:
        return pool, None
    issues: list[str] = []
    names, column, codes = _windows(design, pool, issues)
    cells = _cells(design, pool, frame)
    if issues:
        raise DataError(issues)
    everyone = Predictors(names=names, column=column, codes=codes, cells=cells)
    if unknown := [name for name in design.given_weights() if name not in {*names, *column}]:
        raise DataError(
            f"predictor_weights: {_quoted(unknown)} is not among the predictors ({_quoted(names)}). Use"
            " their names."
        )
    lacking = everyone.lacking()
    pool, kept = _without_lacking(design, pool, lacking, names, issues)
    if issues:
        raise DataError(issues)
    everyone = everyone.taking(kept)
    return replace(pool, notes=(*pool.notes, *_partial(everyone, pool))), everyone


def _quoted(names: Iterable[str]) -> str:
    return listed((f"'{name}'" for name in names), 12)


def _windows(
    design: SyntheticControl, pool: DonorPool, issues: list[str]
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[np.ndarray, ...]]:
    names, column, codes = [], [], []
    for name, said in design.predictors.items():
        try:
            found = windows(said, pool.panel.periods, pool.stop)
        except ValueError as cause:
            issues.append(f"predictors: '{name}': {sentence(cause)}")
            continue
        for window in found:
            names.append(f"{name}, {window.words}" if said.strip() else name)
            column.append(name)
            codes.append(window.codes)
    return tuple(names), tuple(column), tuple(codes)


def _cells(design: SyntheticControl, pool: DonorPool, frame: pd.DataFrame) -> Cells:
    """By column its values (T, n) in the order of the pool; outcomes as far as they may be seen."""
    found: Cells = {}
    for name in design.predictors:
        table = (
            pool.y
            if name == design.outcome
            else by_unit(pool.panel, frame, name, "predictors").loc[pool.names].to_numpy()
        )
        found[name] = np.ascontiguousarray(table.T)
    return found


def _without_lacking(
    design: SyntheticControl, pool: DonorPool, lacking: np.ndarray, names: tuple[str, ...], issues: list[str]
) -> tuple[DonorPool, np.ndarray]:
    """The pool without units that have no value of a predictor, and the positions of those that stay."""
    bad = np.asarray(lacking.any(axis=0))
    everyone = np.arange(len(pool.names))
    if not bad.any():
        return pool, everyone
    which = listed(f"'{name}'" for place, name in enumerate(names) if lacking[place].any())
    if (bad & pool.treated).any():
        issues.append(
            f"predictors: the treated unit has no value of {which} in the stated periods, so it cannot be"
            " matched on it. Choose other periods or leave the predictor out."
        )
    elif design.missing == "refuse":
        whose = f" ({listed(pool.names[bad])})"
        issues.append(
            f"predictors: there is no value of {which} in the stated periods for"
            f" {plural(int(bad.sum()), 'donor')}{whose}. Fill them in, leave the predictor out, or set"
            " missing='complete cases' to leave these donors out and have them counted."
        )
    elif (bad | pool.treated).all():
        issues.append(f"predictors: no donor has values of all of {listed(names)}. Leave some out.")
    if issues:
        return pool, everyone
    kept = np.flatnonzero(~bad)
    rule = "predictors known"
    rules = pd.concat(
        [pool.rules, pd.DataFrame([{"rule": rule, "donors": int((~bad & ~pool.treated).sum())}])],
        ignore_index=True,
    )
    note = f"donors: {plural(int(bad.sum()), 'unit')} left out of the pool: no value of {which}."
    return replace(
        pool,
        names=pool.names[kept],
        y=pool.y[kept],
        treated=pool.treated[kept],
        first=pool.first[kept],
        population=None if pool.population is None else pool.population[kept],
        rules=rules,
        notes=(*pool.notes, note),
    ), kept


def _partial(predictors: Predictors, pool: DonorPool) -> list[str]:
    """A note for each predictor whose mean leaves out periods without values."""
    found = []
    for name, column, codes in zip(predictors.names, predictors.column, predictors.codes, strict=True):
        seen = ~np.isnan(predictors.cells[column][codes])
        if seen.all():
            continue
        if (seen == seen[:, :1]).all():
            found.append(
                f"predictors: '{name}' is known in {int(seen[:, 0].sum())} of {plural(len(codes), 'period')}"
                " (the same for all units); its mean is over those."
            )
        else:
            uneven = int((~seen).any(axis=0).sum())
            found.append(
                f"predictors: '{name}' lacks values in some periods of {plural(uneven, 'unit')}, so means"
                " are over other periods than those of the rest; a trend in it would make units look"
                " different."
            )
    return found


def _problem(
    design: SyntheticControl, pool: DonorPool, predictors: Predictors | None, treated: np.ndarray
) -> Problem:
    """The problem of the mean of some treated units (positions in the pool)."""
    start = int(pool.first[treated].min())
    label = (
        str(pool.names[treated[0]])
        if len(treated) == 1
        else f"mean of {plural(len(treated), 'treated unit')}"
    )
    if predictors is not None:
        cells = {
            name: np.column_stack([_mean_known(held[:, treated]), held[:, pool.donors]])
            for name, held in predictors.cells.items()
        }
        predictors = replace(predictors, cells=cells)
    return Problem(
        target=pool.y[treated].mean(axis=0),
        donors=np.ascontiguousarray(pool.y[pool.donors].T),
        names=tuple(pool.names[pool.donors]),
        begin=pool.begin,
        stop=min(start - design.anticipation, pool.n_periods if pool.seen else pool.stop),
        start=start,
        label=label,
        predictors=predictors,
        members=tuple(int(unit) for unit in treated),
    )


def _mean_known(values: np.ndarray) -> np.ndarray:
    """The mean over units (T, m) of the values that are known in each period, NaN where none is."""
    known = ~np.isnan(values)
    total = np.where(known, values, 0.0).sum(axis=1)
    mean: np.ndarray = np.full(len(values), np.nan)
    np.divide(total, known.sum(axis=1), out=mean, where=known.any(axis=1))
    return mean
