"""Matching on distances that you bring: a table of treated by comparison people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from qieval.errors import DataError, DesignError
from qieval.numerics.candidates import Candidates
from qieval.numerics.full_matching import full
from qieval.numerics.nearest import Search, nearest
from qieval.numerics.optimal import optimal_pairs
from qieval.numerics.pairs import labels_of_pairs, weights_of_pairs
from qieval.numerics.strata import weights_of_strata

Way = Literal["nearest", "optimal", "full"]


@dataclass(frozen=True, kw_only=True)
class MatrixRule:
    """How partners are found: way, partners each, widest distance (None: any), with replacement or
    without."""

    method: Way = "nearest"
    ratio: int = 1
    caliper: float | None = None
    replacement: bool = False


def match_matrix(distances: pd.DataFrame, rule: MatrixRule | None = None) -> pd.DataFrame:
    """Weights and matched sets from a table of distances.

    distances: one row per treated person, one column per comparison person, both with their row labels;
    missing or infinite distances forbid a pair. Result: index of all labels, columns matching_weight (0: no
    partner) and matched_set (-1: none; always -1 with replacement). Add them to the data and estimate with
    `Matching(method="as given", given_weights="matching_weight", given_sets="matched_set", ...)`. Raises
    DataError for repeated labels or text, DesignError for an unknown method or more partners than people.

    >>> table = pd.DataFrame([[1.0, 5.0, 2.0]], index=["a"], columns=["x", "y", "z"])
    >>> match_matrix(table, MatrixRule(ratio=2))["matching_weight"].to_dict()
    {'a': 1.0, 'x': 1.0, 'y': 0.0, 'z': 1.0}
    """
    wanted = rule or MatrixRule()
    labels = distances.index.append(distances.columns)
    if not labels.is_unique:
        raise DataError(
            "distances: a label occurs twice, so it is unclear who is meant. Use the row labels of the"
            " data, treated people as rows and comparison people as columns."
        )
    try:
        matrix = distances.to_numpy(dtype=float)
    except ValueError as cause:
        raise DataError("distances: the table holds text, but a distance is a number. Convert it.") from cause
    if wanted.ratio > matrix.shape[1]:
        raise DesignError(
            f"ratio: {wanted.ratio} partners are asked for, but there are only {matrix.shape[1]} comparison"
            " people."
        )
    weights, sets = _found(matrix, wanted)
    return pd.DataFrame({"matching_weight": weights, "matched_set": sets}, index=labels)


def _found(matrix: np.ndarray, rule: MatrixRule) -> tuple[np.ndarray, np.ndarray]:
    treated = np.arange(sum(matrix.shape)) < matrix.shape[0]
    if rule.method == "full":
        sets = full(Candidates(focal=treated, matrix=matrix, caliper=rule.caliper))
        return weights_of_strata(sets, treated), sets
    if rule.method == "optimal":
        pairs = optimal_pairs(Candidates(focal=treated, matrix=matrix, caliper=rule.caliper), rule.ratio)
    elif rule.method == "nearest":
        pairs = nearest(
            Search(
                focal=treated,
                usable=np.ones(treated.size, dtype=bool),
                matrix=matrix,
                caliper=rule.caliper,
                ratio=rule.ratio,
                replace=rule.replacement,
                order="data",
            )
        )
    else:
        raise DesignError(f"method: '{rule.method}' is not one of nearest, optimal, full.")
    none = np.full(treated.size, -1)
    sets = none if rule.replacement and rule.method == "nearest" else labels_of_pairs(pairs, treated.size)
    return weights_of_pairs(pairs, treated.size, treated), sets
