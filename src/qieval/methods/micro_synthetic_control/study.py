"""Small units as arrays: what the weights must match, the weights that do, and the outcomes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from qieval.columns import covariates, numbers
from qieval.donors import DonorPool, blind_pool, donor_pool
from qieval.errors import DataError
from qieval.methods.micro_synthetic_control.design import MicroSyntheticControl
from qieval.numerics.small_units import CalibrationFit
from qieval.numerics.small_units_errors import SmallUnits
from qieval.text import listed, plural

ROUNDING = 1e-9
"""A total that is missed by less than this share of it is met; the rest is rounding."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Constraint:
    """A total that the weights should match.

    what: in words; column: where it comes from, None for the number of units; period: code of the period of
    an outcome, None for characteristics.
    """

    what: str
    column: str | None = None
    period: int | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Calibrated:
    """All that later steps need of n units: the pool, their arrays, what is matched, and the weights.

    outcomes: names of the kinds of outcome in `data`, whose periods begin with the first fitted one; where
    outcomes after the start may not be seen the periods end before it, so that `data` gives weights only.
    constraints (p,): in the order of the rows of data.constraints. weights (n,): 1 for treated units.
    """

    pool: DonorPool
    outcomes: tuple[str, ...]
    constraints: tuple[Constraint, ...]
    data: SmallUnits
    weights: np.ndarray
    found: CalibrationFit

    @property
    def fitted(self) -> int:
        """The number of fitted periods."""
        return self.pool.stop - self.pool.begin

    @property
    def control_weights(self) -> np.ndarray:
        """The weights of the control units (j,)."""
        return self.weights[~self.data.treated]

    @cached_property
    def targets(self) -> pd.DataFrame:
        """What is matched: what, column, treated, weighted, unweighted (all control units scaled to the
        number treated), spread (the standard deviation among units), met (is the total reached?)."""
        inside = self.data.constraints[:, ~self.data.treated]
        treated = self.data.constraints[:, self.data.treated].sum(axis=1)
        share = self.data.treated.sum() / inside.shape[1]
        return pd.DataFrame(
            {
                "what": [each.what for each in self.constraints],
                "column": [each.column for each in self.constraints],
                "treated": treated,
                "weighted": treated - self.found.residual,
                "unweighted": inside.sum(axis=1) * share,
                "spread": self.data.constraints.std(axis=1),
                "met": ~self.found.missed,
            }
        )

    def before(self, code: int) -> SmallUnits:
        """As if the intervention had begun at period `code`, seen up to the last fitted period."""
        kept = np.array([each.period is None or each.period < code for each in self.constraints])
        return replace(
            self.data,
            outcomes=self.data.outcomes[:, : self.fitted],
            constraints=self.data.constraints[kept],
            pre=code - self.pool.begin,
            exact=None if self.data.exact is None else self.data.exact[kept],
        )


def parse(design: MicroSyntheticControl, frame: pd.DataFrame) -> Calibrated:
    """The data as arrays with their weights; DataError lists everything that does not fit."""
    return _calibrated(design, donor_pool(design, frame), frame)


def blind(design: MicroSyntheticControl, frame: pd.DataFrame) -> Calibrated:
    """The same without reading any outcome at or after the start (less anticipation): the weights need
    none."""
    return _calibrated(design, blind_pool(design, frame), frame)


def _calibrated(design: MicroSyntheticControl, pool: DonorPool, frame: pd.DataFrame) -> Calibrated:
    last = pool.n_periods if pool.seen else pool.stop
    issues: list[str] = []
    named, held = _characteristics(design, pool, frame, issues)
    outcomes = np.array(
        [pool.y[:, pool.begin : last]]
        + [_outcome(pool, frame, name, last, issues) for name in design.other_outcomes]
    )
    if pool.population is not None:
        outcomes = outcomes * pool.population[:, pool.begin : last] / design.per
    pool, kept = _without_gaps(design, pool, outcomes, held, issues)
    if issues:
        raise DataError(issues)
    outcomes, held = outcomes[:, kept].transpose(0, 2, 1), held[:, kept]
    stated = (Constraint(what="number of units"), *named, *_past(design, pool))
    past = outcomes[:, : pool.stop - pool.begin].reshape(-1, outcomes.shape[2])
    data = SmallUnits(
        np.ascontiguousarray(outcomes),
        np.vstack([np.ones(outcomes.shape[2]), held, past]),
        pool.treated,
        pool.start - pool.begin,
        exact=_exact(design, stated),
        method="raking" if design.weighting == "raking" else "minimum norm",
    )
    weights, found = data.weights()
    return Calibrated(
        pool=pool,
        outcomes=design.every_outcome,
        constraints=stated,
        data=data,
        weights=weights,
        found=found,
    )


def _past(design: MicroSyntheticControl, pool: DonorPool) -> Iterator[Constraint]:
    """Each outcome in each fitted period."""
    for name in design.every_outcome:
        for code in range(pool.begin, pool.stop):
            yield Constraint(what=f"{name} in {pool.labels[code]}", column=name, period=code)


def _exact(design: MicroSyntheticControl, stated: tuple[Constraint, ...]) -> np.ndarray | None:
    if not design.approximately:
        return None
    return np.array([each.column not in design.approximately for each in stated])


def _units(pool: DonorPool) -> np.ndarray:
    """Positions of the units of the pool (n,) among those of the panel."""
    return np.asarray(pool.panel.units.get_indexer(pool.names))


def _outcome(pool: DonorPool, frame: pd.DataFrame, name: str, last: int, issues: list[str]) -> np.ndarray:
    """An outcome of the units (n, last - begin) from the first fitted period on; later rows are not read."""
    panel = pool.panel
    rows = (panel.time >= pool.begin) & (panel.time < last)
    table = np.full((len(panel.units), last - pool.begin), np.nan)
    table[panel.unit[rows], panel.time[rows] - pool.begin] = numbers(
        frame[name].iloc[panel.row[rows]].infer_objects(), "other_outcomes", name, issues
    )
    chosen: np.ndarray = table[_units(pool)]
    return chosen


def _characteristics(
    design: MicroSyntheticControl, pool: DonorPool, frame: pd.DataFrame, issues: list[str]
) -> tuple[list[Constraint], np.ndarray]:
    """Characteristics and their means over the fitted periods (k, n); NaN where a unit has no value."""
    panel = pool.panel
    rows = (panel.time >= pool.begin) & (panel.time < pool.stop)
    part, unit = frame[list(design.match_on)].iloc[panel.row[rows]], panel.unit[rows]
    named: list[Constraint] = []
    means = [np.empty((0, len(panel.units)))]
    for column in design.match_on:
        held, names = covariates(part, (column,), "match_on", issues)
        known = part[column].notna().to_numpy()
        count = np.bincount(unit[known], minlength=len(panel.units))
        total = [np.bincount(unit[known], each[known], len(panel.units)) for each in held.T]
        with np.errstate(invalid="ignore"):
            means.append(np.array(total).reshape(len(names), -1) / count)
        named += [Constraint(what=name, column=column) for name in names]
    return named, np.concatenate(means)[:, _units(pool)]


def _without_gaps(
    design: MicroSyntheticControl,
    pool: DonorPool,
    outcomes: np.ndarray,
    held: np.ndarray,
    issues: list[str],
) -> tuple[DonorPool, np.ndarray]:
    """The pool without control units that lack a value, where the design lets them go; who stays (n,)."""
    lacking = np.isnan(outcomes).any(axis=(0, 2)) | np.isnan(held).any(axis=0)
    if not lacking.any():
        return pool, ~lacking
    if (lacking & pool.treated).any():
        issues.append(
            f"match_on, other_outcomes: {plural(int((lacking & pool.treated).sum()), 'treated unit')} lack"
            f" values ({listed(pool.names[lacking & pool.treated])}), so the totals to match are not known."
            " Fill them in, or leave the column out."
        )
    gone = lacking & ~pool.treated
    if gone.any() and design.missing == "refuse":
        issues.append(
            f"match_on, other_outcomes: {plural(int(gone.sum()), 'control unit')} lack values"
            f" ({listed(pool.names[gone])}). Fill them in, or set missing='complete cases' to leave these"
            " units out and have them counted."
        )
    elif (gone | pool.treated).all():
        issues.append(
            "match_on, other_outcomes: every control unit lacks a value. Fill them in, or leave the column"
            " that is empty out."
        )
    return _taking(pool, ~gone), ~gone


def _taking(pool: DonorPool, kept: np.ndarray) -> DonorPool:
    left, gone = int((kept & ~pool.treated).sum()), int((~kept).sum())
    rule: dict[str, Any] = {"rule": "no gap in what is matched", "donors": left}
    note = f"donors: {plural(gone, 'unit')} left out of the pool: no gap in what is matched."
    return replace(
        pool,
        names=pool.names[kept],
        y=pool.y[kept],
        treated=pool.treated[kept],
        first=pool.first[kept],
        population=None if pool.population is None else pool.population[kept],
        rules=pd.concat([pool.rules, pd.DataFrame([rule])], ignore_index=True),
        notes=(*pool.notes, note),
    )
