"""The balance table: how alike treated and comparison people are, before and after matching or weighting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Unpack

import numpy as np
import pandas as pd

from qieval import markup
from qieval.covariate_balance.columns import characteristics, treated_column, with_products
from qieval.covariate_balance.samples import (
    BEFORE,
    EVERYBODY,
    Kept,
    Options,
    Part,
    Settings,
    Weights,
    distribution,
    parsed_weights,
    parts_of,
    sample_rows,
)
from qieval.errors import DataError, nearest
from qieval.numerics.overlap import histogram
from qieval.result import Table
from qieval.text import listed, number

UNMEASURED = "Balance on measured characteristics says nothing about unmeasured ones."


@dataclass(frozen=True, eq=False, repr=False)
class BalanceTable:
    """Balance of every characteristic in every sample ('before' and each weighting) and subgroup.

    table: one row each, with means and standard deviations by arm, standardised_difference (treated minus
    comparison), variance_ratio, ecdf_mean, ecdf_max (Kolmogorov-Smirnov), densities_apart if asked for, and
    the number of rows with weight and a value. Sorting is kept inside, so that `reweighted` is quick.
    """

    table: pd.DataFrame = Table(  # type: ignore[assignment]
        "characteristic", "kind", "subgroup", "sample", "standardised_difference"
    )
    settings: Settings = field(default_factory=Settings)
    notes: tuple[str, ...] = ()
    kernel: Any = None

    @property
    def samples(self) -> tuple[str, ...]:
        """'before' and the names of the weightings, in the order in which they were added."""
        return tuple(dict.fromkeys(self.table["sample"]))

    @property
    def summary(self) -> pd.DataFrame:
        """One row per sample and subgroup: largest and mean |difference|, how many exceed 0.1."""
        held = self.table.assign(size=self.table["standardised_difference"].abs())
        grouped = held.groupby(["subgroup", "sample"], sort=False)
        return grouped.agg(
            characteristics=("characteristic", "size"),
            largest_difference=("size", "max"),
            mean_difference=("size", "mean"),
            above_0_1=("size", lambda sizes: int((sizes > 0.1).sum())),
            largest_ecdf_gap=("ecdf_max", "max"),
        ).reset_index()

    def reweighted(self, weights: Weights, name: str = "after") -> BalanceTable:
        """The same table with a further sample; one of the same name is replaced. Nothing is sorted again."""
        made = parsed_weights({name: weights}, self.kernel)
        kept = self.table[self.table["sample"] != name]
        rows = [sample_rows(self.kernel, self.settings, label, held) for label, held in made.items()]
        return replace(self, table=pd.concat([kept, *rows], ignore_index=True))

    def worst(self, n: int = 10, sample: str | None = None, subgroup: str = EVERYBODY) -> pd.DataFrame:
        """The n characteristics with the largest |standardised difference|, by default in the last sample."""
        held = self._of(sample)
        held = held[held["subgroup"] == subgroup]
        order = held["standardised_difference"].abs().sort_values(ascending=False, kind="stable").index
        return held.loc[order[:n]].reset_index(drop=True)

    def rule(
        self,
        max_smd: float = 0.1,
        max_variance_ratio: float | None = None,
        max_ks: float | None = None,
        sample: str | None = None,
    ) -> pd.DataFrame:
        """Which characteristics break a rule, in all subgroups of one sample (the last by default).

        max_variance_ratio r asks for a ratio between 1/r and r; max_smd infinity asks for nothing. What
        cannot be computed breaks the rule, apart from variance ratios. Column `broken` says why.
        """
        held = self._of(sample)
        size, ratio, gap = held["standardised_difference"].abs(), held["variance_ratio"], held["ecdf_max"]
        broken = {}
        if max_smd < np.inf:
            broken["standardised difference"] = ~(size <= max_smd)
        if max_variance_ratio is not None:
            broken["variance ratio"] = (ratio > max_variance_ratio) | (ratio < 1 / max_variance_ratio)
        if max_ks is not None:
            broken["eCDF gap"] = ~(gap <= max_ks)
        flags = pd.DataFrame(broken, index=held.index)
        named = np.array(list(broken), dtype=str)
        said = [", ".join(named[row]) for row in flags.to_numpy(dtype=bool)]
        return held.assign(broken=said)[flags.any(axis=1)].reset_index(drop=True)

    def distribution(self, characteristic: str, weights: Weights = None, name: str = "after") -> pd.DataFrame:
        """Distribution of one characteristic by arm, before and under `weights`, at up to 99 quantiles.

        Columns sample, probability, quantile_treated, quantile_comparison, value, cdf_treated,
        cdf_comparison. Fewer quantiles where an arm is small, so that no row stands for a single person.
        """
        if characteristic not in self.kernel.names:
            raise DataError(
                f"characteristic: '{characteristic}' is not in the table, so it has no distribution."
                f"{nearest(characteristic, self.kernel.names)} Take a name from `table`."
            )
        part: Part = self.kernel.parts[0]
        made = {} if weights is None else parsed_weights({name: weights}, self.kernel)
        smaller = int(min(part.treated.sum(), (~part.treated).sum()))
        grid = np.arange(1, (steps := max(4, min(100, smaller // 5)))) / steps
        frames = [
            distribution(part, self.kernel.names.index(characteristic), label, held, grid)
            for label, held in {BEFORE: None, **made}.items()
        ]
        return pd.concat(frames, ignore_index=True)

    def _of(self, sample: str | None) -> pd.DataFrame:
        wanted = self.samples[-1] if sample is None else sample
        if wanted not in self.samples:
            raise DataError(
                f"sample: there is none called '{wanted}', so nothing can be judged. Take one of"
                f" {listed(map(repr, self.samples))}."
            )
        return self.table[self.table["sample"] == wanted]

    def __repr__(self) -> str:
        lines = [f"Balance ({self.settings.said})"]
        for row in self.summary.to_dict("records"):
            lines.append(
                f"  {row['subgroup']}, {row['sample']}: largest difference"
                f" {number(row['largest_difference'])}; above 0.1: {row['above_0_1']} of"
                f" {row['characteristics']} characteristics"
            )
        return "\n".join([*lines, *(f"Note: {note}" for note in self.notes), UNMEASURED])

    def _repr_html_(self) -> str:
        summary = self.summary.round(3).rename(columns={"above_0_1": "above 0.1"})
        body = markup.frame_table(summary) + markup.frame_table(_wide(self.table), most=100)
        body += markup.bullets(self.notes) + markup.paragraph(UNMEASURED, "qieval-note")
        return markup.card(f"Balance ({self.settings.said})", body)


def balance(
    data: pd.DataFrame,
    treated: str,
    covariates: str | Sequence[str],
    weights: Weights = None,
    **options: Unpack[Options],
) -> BalanceTable:
    """How alike treated and comparison people are, before weighting and under any weights.

    treated: name of a column of 1 (treated) and 0. covariates: names; text and categories get a 0/1 row per
    level, missing values a row "name: missing". weights: None; one weight per row (array, or series with the
    index of the data; 0 for people left out), called 'after'; or a mapping from names to these. options: see
    `Settings` (convention, denominator, squares, interactions, subgroups, overlap). Under 'cobalt' a number
    with two values other than 0 and 1 counts as continuous, and interactions use both levels of 0/1 columns.
    DataError, listing every problem at once.

    >>> people = pd.DataFrame({"ill": [1, 1, 0, 0], "age": [60, 70, 50, 70], "sex": ["f", "m", "f", "f"]})
    >>> found = balance(people, "ill", ["age", "sex"], weights=[1, 1, 0, 1])
    >>> found.table[["characteristic", "sample", "standardised_difference"]].round(2).values.tolist()[0]
    ['age', 'before', 0.71]
    """
    settings = Settings(**options)
    named = (covariates,) if isinstance(covariates, str) else tuple(covariates)
    arms = treated_column(data, treated)
    held = with_products(
        characteristics(data, named, treated),
        settings.squares,
        settings.interactions,
        both=settings.convention == "cobalt",
    )
    parts, notes = parts_of(data, held, arms, settings)
    kept = Kept(held.names, data.index, arms, parts)
    made = parsed_weights(weights if isinstance(weights, Mapping) else {"after": weights}, kept)
    rows = [sample_rows(kept, settings, name, values) for name, values in {BEFORE: None, **made}.items()]
    return BalanceTable(pd.concat(rows, ignore_index=True), settings, held.notes + notes, kept)


def score_table(
    score: np.ndarray, treated: np.ndarray, weights: np.ndarray | None = None, bins: int = 40
) -> pd.DataFrame:
    """A score between 0 and 1 counted in bins, for plots of overlap: bin, group, weight_before, weight_after.

    bin is the middle of the bin. Without weights there is no weight_after.
    """
    edges, *before = histogram(score, treated, None, bins)
    columns = {"weight_before": before}
    if weights is not None:
        columns["weight_after"] = list(histogram(score, treated, weights, bins)[1:])
    middle = (edges[1:] + edges[:-1]) / 2
    frames = [
        pd.DataFrame({"bin": middle, "group": group, **{name: held[at] for name, held in columns.items()}})
        for at, group in enumerate(("treated", "comparison"))
    ]
    return pd.concat(frames, ignore_index=True)


def _wide(table: pd.DataFrame) -> pd.DataFrame:
    """One row per characteristic and subgroup: differences of all samples, more of the last."""
    keys = ["subgroup", "characteristic"] if table["subgroup"].nunique() > 1 else ["characteristic"]
    shown = []
    samples = list(dict.fromkeys(table["sample"]))
    for sample in samples:
        held = table[table["sample"] == sample].set_index(keys)
        last = sample == samples[-1]
        taken = (
            ["mean_treated", "mean_comparison", "standardised_difference"]
            if last
            else ["standardised_difference"]
        )
        taken += ["variance_ratio", "ecdf_max"] if last else []
        rounded = {name: 3 for name in taken if not name.startswith("mean")}
        shown.append(held[taken].round(rounded).rename(columns=lambda name, at=sample: f"{name}, {at}"))
    together: pd.DataFrame = pd.concat(shown, axis=1)
    return together.reset_index()
