"""What honest bounds allow: sets of differences from parallel trends as unions of polyhedra.

Source: Rambachan and Roth (2023), "A More Credible Approach to Parallel Trends", Review of Economic
Studies 90(5), section 2.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from qieval.numerics.trend_bounds_study import SortedStudy
from qieval.numerics.two_way import Floats

Kind = Literal["relative magnitudes", "smoothness", "relative smoothness"]


@dataclass(frozen=True)
class Restriction:
    """How far trends may differ after the start, given a magnitude M.

    relative magnitudes: from one period to the next the difference changes by at most M times its largest
    change before the reference period. smoothness: its slope changes by at most M (units of the outcome
    per period, per period), so M = 0 is a linear difference in trends. relative smoothness: its slope
    changes by at most M times the largest change of slope before the reference period. With gaps between
    periods changes are per unit of time.

    bias: sign of the differences after the start ("positive": they make the estimate too large); trend:
    the differences only rise or only fall from the reference period on.
    """

    kind: Kind = "relative magnitudes"
    bias: Literal["any", "positive", "negative"] = "any"
    trend: Literal["any", "increasing", "decreasing"] = "any"

    @property
    def plain(self) -> bool:
        """Without a restriction of sign or shape."""
        return self.bias == "any" and self.trend == "any"


@dataclass(frozen=True, eq=False)
class Polyhedra:
    """Differences d (k,) with (base - M loads[s]) d <= M limit for some s.

    base (rows, k), loads (S, rows, k), limit (rows,). loads touch pre-periods only. Only inequalities
    about periods after the start are listed: those about pre-periods alone are left out of the tests, as
    the authors' software does by default.
    """

    base: Floats
    loads: Floats
    limit: Floats


def restriction_problem(restriction: Restriction, study: SortedStudy) -> str:
    """Why the restriction cannot be used with this study, as a sentence; empty if it can."""
    if restriction.kind == "relative smoothness" and study.n_pre < 2:
        return (
            "Changes of slope before the start need at least two periods before the reference period; use "
            "relative magnitudes instead, or keep more periods before the start."
        )
    return ""


def polyhedra(restriction: Restriction, study: SortedStudy) -> Polyhedra:
    """The restriction as inequalities, one polyhedron per candidate for the largest change and its sign."""
    k, n_pre = study.estimate.size, study.n_pre
    if restriction.kind == "relative magnitudes":
        before, after = study.slopes[:n_pre], study.slopes[n_pre:]
    else:
        before, after = study.bends[: n_pre - 1], study.bends[n_pre - 1 :]
    bounded = np.vstack([after, -after])
    base = np.vstack([bounded, *_shape(restriction, study)])
    limit, loads = np.zeros(len(base)), np.zeros((1, len(base), k))
    if restriction.kind == "smoothness":
        limit[: len(bounded)] = 1.0
        return Polyhedra(base, loads, limit)
    signed = np.vstack([before, -before])
    loads = np.zeros((len(signed), len(base), k))
    loads[:, : len(bounded)] = signed[:, None, :]
    return Polyhedra(base, loads, limit)


def _shape(restriction: Restriction, study: SortedStudy) -> list[Floats]:
    """Rows r of the restrictions r d <= 0 of sign and monotonicity."""
    rows = []
    after = np.eye(study.estimate.size)[study.n_pre :]
    changes = study.slopes[study.n_pre :]
    if restriction.bias != "any":
        rows.append(after if restriction.bias == "negative" else -after)
    if restriction.trend != "any":
        rows.append(changes if restriction.trend == "decreasing" else -changes)
    return rows
