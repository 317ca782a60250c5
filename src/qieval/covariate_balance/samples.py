"""Balance of each sample and subgroup, and the weights that make a sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, get_args

import numpy as np
import pandas as pd

from qieval.covariate_balance.columns import Characteristics, groups
from qieval.errors import DataError, DesignError
from qieval.numerics import balance_statistics as numerics
from qieval.numerics.overlap import densities_apart

BEFORE = "before"
EVERYBODY = "everybody"
Convention = Literal["matchit", "cobalt"]
Weights = Any
"""None; one weight per row (array, or series with the index of the data); or names mapped to these."""

SPREAD = {
    "treated": "standard deviation of the treated before weighting",
    "control": "standard deviation of the comparison group before weighting",
    "pooled": "pooled standard deviation of both arms before weighting",
    "all": "standard deviation of all people before weighting",
    "weighted": "standard deviation of all people with their weights",
}


class Options(TypedDict, total=False):
    """What `balance` can be told by name; meanings under `Settings`."""

    convention: Convention
    denominator: numerics.Denominator
    squares: bool
    interactions: bool
    subgroups: str | Sequence[str] | None
    overlap: bool


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How balance is measured.

    convention: 'matchit' divides every difference by a standard deviation, 0/1 columns included; 'cobalt'
    leaves 0/1 columns as raw differences in proportions. denominator: whose standard deviation: 'treated',
    'control', 'pooled', 'all' (all before weighting) or 'weighted' (all with the weights of that sample; for
    'before' the same as 'all', where cobalt takes the later weights).
    squares, interactions: also of squares and of products of pairs. subgroups: columns within whose levels
    balance is judged as well. overlap: also the area that the kernel densities do not share (takes longer).
    """

    convention: Convention = "matchit"
    denominator: numerics.Denominator = "treated"
    squares: bool = False
    interactions: bool = False
    subgroups: str | Sequence[str] | None = None
    overlap: bool = False

    def __post_init__(self) -> None:
        for name, allowed in (("convention", Convention), ("denominator", numerics.Denominator)):
            if getattr(self, name) not in get_args(allowed):
                raise DesignError(
                    f"{name}: {getattr(self, name)!r} is not known, so differences would have no meaning."
                    f" Use {' or '.join(map(repr, get_args(allowed)))}."
                )

    @property
    def said(self) -> str:
        """The convention in words."""
        raw = "; 0/1 characteristics as raw differences in proportions" if self.convention == "cobalt" else ""
        name = {"matchit": "MatchIt", "cobalt": "cobalt"}[self.convention]
        return f"convention of {name}: differences divided by the {SPREAD[self.denominator]}{raw}"


@dataclass(frozen=True, eq=False)
class Part:
    """One subgroup: its label, its rows (None: all), sorted columns, arms, and the denominators."""

    label: str
    rows: np.ndarray | None
    ranked: numerics.Ranked
    treated: np.ndarray
    denominator: Any

    def take(self, weights: np.ndarray | None) -> np.ndarray | None:
        """The weights of this subgroup."""
        return weights if weights is None or self.rows is None else weights[self.rows]


@dataclass(frozen=True, eq=False)
class Kept:
    """What a further weighting needs: never printed or exported."""

    names: tuple[str, ...]
    index: pd.Index[Any]
    treated: np.ndarray
    parts: tuple[Part, ...]


def parts_of(
    data: pd.DataFrame, held: Characteristics, treated: np.ndarray, settings: Settings
) -> tuple[tuple[Part, ...], tuple[str, ...]]:
    """Everybody, then each subgroup that has both arms; and notes on those that have not."""
    parts = [_part(EVERYBODY, None, held.x, treated, settings)]
    notes: list[str] = []
    named = settings.subgroups or ()
    for column in (named,) if isinstance(named, str) else named:
        levels, said = groups(data, column)
        notes += said
        for label, rows in levels:
            if treated[rows].all() or not treated[rows].any():
                arm = "treated" if treated[rows].all() else "comparison"
                notes.append(f"Subgroup '{label}' holds {arm} people only and has no balance.")
            else:
                parts.append(_part(label, rows, held.x[rows], treated[rows], settings))
    return tuple(parts), tuple(notes)


def _part(
    label: str, rows: np.ndarray | None, x: np.ndarray, treated: np.ndarray, settings: Settings
) -> Part:
    ranked = numerics.Ranked(x)
    kind = settings.denominator
    fixed = kind if kind == "weighted" else numerics.denominators(ranked, treated, kind)
    return Part(label, rows, ranked, treated, fixed)


def sample_rows(kept: Kept, settings: Settings, sample: str, weights: np.ndarray | None) -> pd.DataFrame:
    """The rows of one sample, all subgroups."""
    raw: numerics.Binary = "raw" if settings.convention == "cobalt" else "standardised"
    frames = []
    for part in kept.parts:
        held = part.take(weights)
        found = numerics.statistics(part.ranked, part.treated, held, part.denominator, raw)
        columns = {
            "characteristic": kept.names,
            "kind": np.where(part.ranked.binary, "binary", "continuous"),
            "subgroup": part.label,
            "sample": sample,
            "mean_treated": found.mean_treated,
            "mean_comparison": found.mean_control,
            "sd_treated": found.sd_treated,
            "sd_comparison": found.sd_control,
            "standardised_difference": found.smd,
            "variance_ratio": found.variance_ratio,
            "ecdf_mean": found.ecdf_mean,
            "ecdf_max": found.ecdf_max,
            "rows_treated": found.used_treated.astype(int),
            "rows_comparison": found.used_control.astype(int),
        }
        if settings.overlap:
            columns["densities_apart"] = [densities_apart(x, part.treated, held) for x in part.ranked.x.T]
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)


def parsed_weights(weights: Mapping[str, Weights], kept: Kept) -> dict[str, np.ndarray]:
    """Weights as arrays in the order of the data; those that are None are left out."""
    given = {str(name): held for name, held in weights.items() if held is not None}
    problems: list[str] = []
    if BEFORE in given:
        problems.append(f"weights: '{BEFORE}' is the name of the unweighted sample. Choose another name.")
    made = {name: _checked(name, held, kept, problems) for name, held in given.items()}
    if problems:
        raise DataError(problems)
    return made


def _checked(name: str, weights: Weights, kept: Kept, problems: list[str]) -> np.ndarray:
    rows = len(kept.index)
    if isinstance(weights, pd.Series) and not weights.index.equals(kept.index):
        same = len(weights) == rows and weights.index.is_unique and kept.index.isin(weights.index).all()
        if not same:
            problems.append(
                f"weights: the index of '{name}' is not that of the data, so weights could go to the wrong"
                " people. Give one weight for each row of the data, 0 for people left out."
            )
            return np.ones(rows)
        weights = weights.reindex(kept.index)
    held = np.asarray(pd.to_numeric(pd.Series(np.asarray(weights).ravel()), errors="coerce"), dtype=float)
    if held.size != rows:
        problems.append(
            f"weights: '{name}' has {held.size:,} values for {rows:,} rows, so they cannot be paired with"
            " people. Give one weight for each row of the data, 0 for people left out."
        )
    elif not np.isfinite(held).all() or held.min() < 0:
        problems.append(
            f"weights: '{name}' holds values that are missing, infinite or negative, for which shares of"
            " people have no meaning. Use 0 for people left out."
        )
    elif held[kept.treated].sum() == 0 or held[~kept.treated].sum() == 0:
        arm = "treated" if held[kept.treated].sum() == 0 else "comparison"
        problems.append(
            f"weights: '{name}' gives all {arm} people weight 0, so there is nobody to compare. Check that"
            " the weights belong to these rows."
        )
    return held


def distribution(
    part: Part, column: int, sample: str, weights: np.ndarray | None, grid: np.ndarray
) -> pd.DataFrame:
    """Quantiles of one column in both arms at the probabilities `grid`, and distribution functions."""
    try:
        found = numerics.distributions(part.ranked, column, part.treated, weights, grid)
    except ValueError as error:
        raise DataError(
            f"characteristic: an arm has no value of it in the sample '{sample}', so there is no distribution"
            " to show. Choose another characteristic."
        ) from error
    steps = pd.DataFrame(
        {"value": found.points, "cdf_treated": found.cdf_treated, "cdf_comparison": found.cdf_control}
    )
    quantiles = pd.DataFrame(
        {
            "sample": sample,
            "probability": found.probabilities,
            "quantile_treated": found.quantile_treated,
            "quantile_comparison": found.quantile_control,
        }
    )
    return pd.concat([quantiles, steps], axis=1).assign(sample=sample)
