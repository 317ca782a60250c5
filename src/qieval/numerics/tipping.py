"""Tipping points: which unmeasured confounder would move an estimate exactly to no effect.

A confounder is described by what it does to the outcome and by how unevenly it is spread between the groups.
All functions take numbers or arrays that broadcast; NaN where no such confounder exists (a prevalence
outside 0 to 1, a ratio that is not positive). To tip an interval use its limit nearer to no effect.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]


def adjust_binary(ratio: Any, outcome_ratio: Any, exposed: Any, unexposed: Any) -> Floats:
    """The ratio that is left after adjusting for a binary confounder.

    outcome_ratio: its ratio with the outcome; exposed, unexposed: its prevalence in the two groups. Lin,
    Psaty and Kronmal (1998), equation 2.9: ratio / {(g p1 + 1 - p1) / (g p0 + 1 - p0)}.

    >>> adjust_binary(1.1, 1.3, 0.5, 0.3).round(6)
    np.float64(1.042609)
    """
    return np.asarray(ratio, dtype=float) / _binary_factor(outcome_ratio, exposed, unexposed)


def tip_binary_outcome(ratio: Any, exposed: Any, unexposed: Any) -> Floats:
    """The confounder's ratio with the outcome that tips a ratio, given its prevalences.

    >>> tip_binary_outcome(1.2, 0.5, 0.2).round(6)
    np.float64(1.769231)
    """
    ratio, p1, p0 = (np.asarray(part, dtype=float) for part in (ratio, exposed, unexposed))
    with np.errstate(divide="ignore", invalid="ignore"):
        found = (ratio * (1 - p0) - (1 - p1)) / (p1 - ratio * p0)
    return np.where((found > 0) & np.isfinite(found), found, np.nan)[()]


def tip_binary_exposed(ratio: Any, outcome_ratio: Any, unexposed: Any) -> Floats:
    """The confounder's prevalence among the exposed that tips a ratio."""
    ratio, g, p0 = (np.asarray(part, dtype=float) for part in (ratio, outcome_ratio, unexposed))
    with np.errstate(divide="ignore", invalid="ignore"):
        return _share((ratio * (g * p0 + 1 - p0) - 1) / (g - 1))


def tip_binary_unexposed(ratio: Any, outcome_ratio: Any, exposed: Any) -> Floats:
    """The confounder's prevalence among the unexposed that tips a ratio."""
    ratio, g, p1 = (np.asarray(part, dtype=float) for part in (ratio, outcome_ratio, exposed))
    with np.errstate(divide="ignore", invalid="ignore"):
        return _share(((g * p1 + 1 - p1) / ratio - 1) / (g - 1))


def count_binary(ratio: Any, outcome_ratio: Any, exposed: Any, unexposed: Any) -> Floats:
    """How many such independent binary confounders tip a ratio; NaN when they move it the other way."""
    return _count(np.log(ratio), np.log(_binary_factor(outcome_ratio, exposed, unexposed)))


def adjust_continuous(ratio: Any, outcome_ratio: Any, difference: Any) -> Floats:
    """The ratio left after adjusting for a normal confounder with variance 1.

    outcome_ratio: its ratio with the outcome per unit; difference: of its means between the groups. Lin,
    Psaty and Kronmal (1998), equation 2.12: ratio / outcome_ratio^difference.
    """
    each = np.asarray(outcome_ratio, dtype=float) ** np.asarray(difference, dtype=float)
    return np.asarray(np.asarray(ratio, dtype=float) / each)[()]


def tip_continuous_outcome(ratio: Any, difference: Any) -> Floats:
    """The normal confounder's ratio with the outcome, per unit, that tips a ratio.

    >>> tip_continuous_outcome(1.2, 0.5).round(6)
    np.float64(1.44)
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.exp(np.log(ratio) / np.asarray(difference, dtype=float))
    return np.where(np.isfinite(found), found, np.nan)[()]


def tip_continuous_difference(ratio: Any, outcome_ratio: Any) -> Floats:
    """The difference of the normal confounder's means that tips a ratio."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.log(ratio) / np.log(outcome_ratio)
    return np.where(np.isfinite(found), found, np.nan)[()]


def count_continuous(ratio: Any, outcome_ratio: Any, difference: Any) -> Floats:
    """How many such independent normal confounders tip a ratio; NaN when they move it the other way."""
    return _count(np.log(ratio), np.asarray(difference, dtype=float) * np.log(outcome_ratio))


def adjust_coefficient(estimate: Any, outcome_effect: Any, difference: Any) -> Floats:
    """A linear coefficient less the product of the confounder's two associations."""
    moved = np.asarray(outcome_effect, dtype=float) * np.asarray(difference, dtype=float)
    return np.asarray(np.asarray(estimate, dtype=float) - moved)[()]


def tip_coefficient(estimate: Any, association: Any) -> Floats:
    """The second association of a confounder that tips a linear coefficient, given the first: est / first.

    >>> tip_coefficient(0.5, -0.2)
    np.float64(-2.5)
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.asarray(estimate, dtype=float) / np.asarray(association, dtype=float)
    return np.where(np.isfinite(found), found, np.nan)[()]


def count_coefficient(estimate: Any, outcome_effect: Any, difference: Any) -> Floats:
    """How many such independent confounders tip a coefficient; NaN when they move it the other way."""
    moved = np.asarray(outcome_effect, dtype=float) * np.asarray(difference, dtype=float)
    return _count(np.asarray(estimate, dtype=float), moved)


def _binary_factor(outcome_ratio: Any, exposed: Any, unexposed: Any) -> Floats:
    g, p1, p0 = (np.asarray(part, dtype=float) for part in (outcome_ratio, exposed, unexposed))
    return np.asarray((1 + (g - 1) * p1) / (1 + (g - 1) * p0))


def _share(found: Floats) -> Floats:
    return np.where((found >= 0) & (found <= 1), found, np.nan)[()]


def _count(whole: Floats, each: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        found = whole / each
    return np.where((found >= 0) & np.isfinite(found), found, np.nan)[()]
