"""The treated units and their donors, parsed once: a full table of units by periods, and how the pool came
about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from qieval import shapes
from qieval.columns import numbers
from qieval.donor_design import DonorDesign
from qieval.errors import DataError, nearest
from qieval.rows import sentence
from qieval.shapes import Panel
from qieval.text import listed, plural

ALL_UNTREATED, NO_GAPS = "units that never receive the intervention", "no gap in the outcome"


@dataclass(frozen=True, eq=False, kw_only=True)
class DonorPool:
    """Treated units and donors over the fitted and later periods, without gaps, in the order of their labels.

    names (n,): labels of the units. y (n, T): outcome, NaN where it may not be seen. treated (n,): bool.
    first (n,): code of each unit's first period with the intervention, T for donors. begin: code of the first
    period that is fitted; stop: codes from here on are not fitted (start less anticipation). population
    (n, T) or None. rules: how the pool came about (rule, donors). panel: the rows as parsed. seen: whether
    outcomes from the start on may be seen.
    """

    names: pd.Index[Any]
    y: np.ndarray
    treated: np.ndarray
    first: np.ndarray
    begin: int
    stop: int
    population: np.ndarray | None
    rules: pd.DataFrame
    panel: Panel
    notes: tuple[str, ...]
    seen: bool

    @property
    def start(self) -> int:
        """The code of the first period with the intervention anywhere."""
        return self.panel.start

    @property
    def n_periods(self) -> int:
        """The number of periods T."""
        return int(self.y.shape[1])

    @property
    def labels(self) -> list[str]:
        """The periods as text."""
        return self.panel.periods.shown()

    @property
    def donors(self) -> np.ndarray:
        """Positions of the donors (j,)."""
        return np.flatnonzero(~self.treated)

    @property
    def staggered(self) -> bool:
        """Whether treated units begin at different times."""
        return len(set(self.first[self.treated].tolist())) > 1


def donor_pool(design: DonorDesign, frame: pd.DataFrame) -> DonorPool:
    """Parse a frame; DataError lists everything that does not fit."""
    return _pooled(design, frame, shapes.panel(design, frame), seen=True)


def blind_pool(design: DonorDesign, frame: pd.DataFrame) -> DonorPool:
    """Parse a frame without reading any outcome at or after the start (less anticipation)."""
    panel = shapes.blind(design, frame, anticipation=design.anticipation)
    return _pooled(design, frame, panel, seen=False)


def by_unit(panel: Panel, frame: pd.DataFrame, column: str, role: str = "data") -> pd.DataFrame:
    """A column of the frame as a table of units by periods, with missing values where there is no row.

    role: the field of the design that names the column, for the words of a DataError.
    """
    table = np.full((len(panel.units), panel.n_periods), np.nan)
    issues: list[str] = []
    table[panel.unit, panel.time] = numbers(
        frame[column].iloc[panel.row].infer_objects(), role, column, issues
    )
    if issues:
        raise DataError(issues)
    return pd.DataFrame(table, index=panel.units)


def _pooled(design: DonorDesign, frame: pd.DataFrame, panel: Panel, *, seen: bool) -> DonorPool:
    issues: list[str] = []
    stop = panel.start - design.anticipation
    begin = _begin(design, panel, stop, issues)
    first = _firsts(design, panel, frame, issues)
    if issues:
        raise DataError(issues)
    y = np.full((len(panel.units), panel.n_periods), np.nan)
    y[panel.unit, panel.time] = panel.outcome
    keep, rules, notes = _kept(design, panel, frame, _gaps(panel, y, begin, stop, seen), issues)
    if not issues and not (keep & ~panel.unit_treated()).any():
        emptied = rules["rule"].iloc[int((rules["donors"] == 0).to_numpy().argmax())]
        issues.append(
            f"donors: no donor is left after the rules of the pool (the last one fell to: {emptied}), so"
            " there is nothing to compare with. Relax a rule."
        )
    if not issues and np.ptp(y[keep, begin:stop]) == 0:
        issues.append(
            f"outcome: '{design.outcome}' is {y[keep][0, begin]:g} in all units and periods that are fitted,"
            " so no donor can be told from another. Check the column, or choose another outcome."
        )
    population = _population(design, panel, frame, keep, issues)
    if issues:
        raise DataError(issues)
    return DonorPool(
        names=_plainly(panel.units)[keep],
        y=y[keep],
        treated=panel.unit_treated()[keep],
        first=first[keep],
        begin=begin,
        stop=stop,
        population=None if population is None else population[keep],
        rules=rules,
        panel=panel,
        notes=(*panel.notes, *notes),
        seen=seen,
    )


def _begin(design: DonorDesign, panel: Panel, stop: int, issues: list[str]) -> int:
    """The code of the first fitted period."""
    begin = 0
    if design.fit_from is not None:
        try:
            begin = panel.periods.first_at_or_after(design.fit_from)
        except ValueError as cause:
            issues.append(f"fit_from: {sentence(cause)}")
    if begin >= stop:
        said = f"from {design.fit_from} " if design.fit_from is not None else ""
        issues.append(
            f"start, anticipation, fit_from: no period {said}lies before {design.start} (less"
            f" {plural(design.anticipation, 'period')} of anticipation), so nothing can be fitted. Add"
            " earlier periods."
        )
    return begin


def _firsts(design: DonorDesign, panel: Panel, frame: pd.DataFrame, issues: list[str]) -> np.ndarray:
    """The code of each unit's first period with the intervention (n,); T for those never treated."""
    treated = panel.unit_treated()
    first = np.where(treated, panel.start, panel.n_periods)
    if design.first_treated is None:
        return first
    stated = frame[design.first_treated].iloc[panel.row].groupby(panel.unit)
    if (stated.nunique() > 1).any():
        issues.append(
            f"first_treated: '{design.first_treated}' differs between rows of"
            f" {plural(int((stated.nunique() > 1).sum()), 'unit')}. It must say in every row of a unit when"
            " that unit first received the intervention."
        )
    values = stated.first()
    for unit in np.flatnonzero(treated):
        try:
            first[unit] = panel.periods.first_at_or_after(_plain(values.get(unit)))
        except (ValueError, TypeError) as cause:
            issues.append(f"first_treated: {panel.units[int(unit)]}: {sentence(ValueError(str(cause)))}")
    if not issues and first[treated].min() != panel.start:
        issues.append(
            f"start: the earliest '{design.first_treated}' is"
            f" {listed(panel.periods.shown()[first[treated].min() : first[treated].min() + 1])}, not"
            f" {design.start}. `start` must be the first period with the intervention anywhere, so that no"
            " outcome after it is read while the design is settled."
        )
    if not issues and (late := int((first[treated] >= panel.n_periods).sum())):
        issues.append(
            f"first_treated: the data end before {plural(late, 'treated unit')} had the intervention, so"
            " there is no effect to see. Set treated to 0 there, or add later periods."
        )
    return first


def _plain(moment: Any) -> Any:
    if pd.isna(moment):
        raise ValueError("a treated unit has no first period with the intervention. Fill it in")
    if isinstance(moment, (int, float, np.integer, np.floating)):
        if moment != int(moment):
            raise ValueError(f"{moment} is not a whole number, as the times of the data are. Correct it")
        return int(moment)
    return moment


def _gaps(panel: Panel, y: np.ndarray, begin: int, stop: int, seen: bool) -> np.ndarray:
    """How many needed cells of each unit are missing (n,)."""
    there = np.zeros(y.shape, dtype=bool)
    there[panel.unit, panel.time] = True
    lacking = ~there
    lacking[:, : panel.n_periods if seen else stop] |= np.isnan(y[:, : panel.n_periods if seen else stop])
    return np.asarray(lacking[:, begin:].sum(axis=1))


def _kept(
    design: DonorDesign, panel: Panel, frame: pd.DataFrame, gaps: np.ndarray, issues: list[str]
) -> tuple[np.ndarray, pd.DataFrame, list[str]]:
    """Which units stay (n,), the table of rules with the donors that each leaves, and notes."""
    treated = panel.unit_treated()
    keep = np.ones(len(panel.units), dtype=bool)
    rules = [{"rule": ALL_UNTREATED, "donors": int((~treated).sum())}]
    notes: list[str] = []
    stated = _rules(design, panel, frame, issues)
    for rule, out in (*stated, (NO_GAPS, gaps > 0)):
        lost = keep & ~treated & out
        if rule == NO_GAPS:
            _complain_of_gaps(design, panel, np.where(keep, gaps, 0), issues)
        keep &= ~lost
        rules.append({"rule": rule, "donors": int((keep & ~treated).sum())})
        if lost.any():
            named = _which(panel, lost)
            notes.append(f"donors: {plural(int(lost.sum()), 'unit')} left out of the pool: {rule}{named}.")
    return keep, pd.DataFrame(rules), notes


def _rules(
    design: DonorDesign, panel: Panel, frame: pd.DataFrame, issues: list[str]
) -> list[tuple[str, np.ndarray]]:
    """Each rule of the pool with the units that it leaves out (n,)."""
    names = _plainly(panel.units).astype(str)
    treated = panel.unit_treated()
    found: list[tuple[str, np.ndarray]] = []
    for field, stated in (("donors", design.donors), ("not_donors", design.not_donors)):
        unknown = [_name(name) for name in stated if _name(name) not in names]
        issues += [
            f"{field}: there is no unit '{name}' in '{design.unit}'.{nearest(name, names)} Correct the name."
            for name in unknown
        ]
    chosen = names.isin([_name(name) for name in design.donors])
    if (chosen & treated).any():
        issues.append(
            f"donors: {listed(names[chosen & treated])} received the intervention and cannot be a donor."
            " Leave it out of the list."
        )
    kept_out = names.isin([_name(name) for name in design.not_donors])
    if (kept_out & treated).any():
        issues.append(
            f"not_donors: {listed(names[kept_out & treated])} received the intervention and is no donor"
            " anyway. To leave a treated unit out of the evaluation, take its rows out of the data."
        )
    if design.donors:
        found.append(("only the chosen donors", ~chosen))
    for name, why in design.not_donors.items():
        found.append((f"{name} kept out ({why})" if why else f"{name} kept out", names == _name(name)))
    for field, rule in (
        ("similar_intervention", "no similar intervention of their own"),
        ("spillover", "not reached by spillover"),
    ):
        if getattr(design, field) is not None:
            found.append((rule, _flagged(design, field, panel, frame, issues)))
    if design.size is not None and design.size_ratio:
        size = by_unit(panel, frame, design.size, "size").iloc[:, : panel.start].mean(axis=1).to_numpy()
        low, high = size[treated].min() / design.size_ratio, size[treated].max() * design.size_ratio
        found.append((f"size within {design.size_ratio:g} times", ~((size >= low) & (size <= high))))
    return found


def _plainly(units: pd.Index[Any]) -> pd.Index[Any]:
    """Labels of units; whole numbers that the data hold as 12.0 are 12."""
    if pd.api.types.is_float_dtype(units.dtype) and (units == units.astype("int64")).all():
        return units.astype("int64")
    return units


def _name(unit: Any) -> str:
    """A unit as text; whole numbers that a table holds as 12.0 are '12'."""
    return str(int(unit)) if isinstance(unit, float) and unit.is_integer() else str(unit)


def _complain_of_gaps(design: DonorDesign, panel: Panel, gaps: np.ndarray, issues: list[str]) -> None:
    """Problems of the treated units with missing cells, and of donors unless the design lets them go."""
    treated, missing = panel.unit_treated(), gaps > 0
    if (missing & treated).any():
        issues.append(
            f"outcome: {plural(int(gaps[treated].sum()), 'value')} of treated units"
            f"{_which(panel, missing & treated)} cannot be found in the periods used. The treated series"
            " cannot have gaps: fill them in, or use fit_from, first_period or last_period to leave those"
            " periods out."
        )
    if (missing & ~treated).any() and design.missing == "refuse":
        issues.append(
            f"outcome: there are gaps in the series of {plural(int((missing & ~treated).sum()), 'donor')}"
            f"{_which(panel, missing & ~treated)}, and a weighted mean of donors needs all of"
            " them in every period. Fill the gaps in, or set missing='complete cases' to leave these donors"
            " out and have them counted."
        )


def _flagged(
    design: DonorDesign, field: str, panel: Panel, frame: pd.DataFrame, issues: list[str]
) -> np.ndarray:
    column = getattr(design, field)
    held = by_unit(panel, frame, column, field).to_numpy()
    if not np.isin(held[~np.isnan(held)], (0, 1)).all():
        issues.append(f"{field}: '{column}' must be 1 or 0, but holds other values. Recode it.")
    return np.asarray((held == 1).any(axis=1))


def _population(
    design: DonorDesign, panel: Panel, frame: pd.DataFrame, keep: np.ndarray, issues: list[str]
) -> np.ndarray | None:
    if design.population is None:
        return None
    held = by_unit(panel, frame, design.population, "population").to_numpy()
    if (held[keep] <= 0).any():
        issues.append(
            f"population: '{design.population}' holds zero or negative numbers; nobody lives behind such a"
            " rate. Correct them."
        )
    return held


def _which(panel: Panel, units: np.ndarray) -> str:
    return f" ({listed(_plainly(panel.units)[units])})"
