"""The effect at the cutoff on every scale that suits the outcome, and the result that holds it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from qieval.discontinuous.local import Discontinuous, clusters_apart, fit_anyway, has_few_values
from qieval.discontinuous.read import read
from qieval.discontinuous.ways import (
    Fitted,
    Way,
    anderson_rubin_way,
    honest_way,
    lot_way,
    robust_way,
)
from qieval.errors import EstimationError
from qieval.methods.regression_discontinuity.design import RegressionDiscontinuity
from qieval.methods.regression_discontinuity.pooled import at_each_cutoff
from qieval.methods.regression_discontinuity.refusals import refuse
from qieval.methods.rows import row_of
from qieval.methods.words import amount, between
from qieval.numerics.contrasts import Contrast, Precision, all_contrasts
from qieval.numerics.discontinuity import METHODS, Discontinuity, Estimates
from qieval.numerics.means import Means
from qieval.result import Result
from qieval.text import Count, Counted, listed, number

WEAK = 10.0
"""Below this effective F of the jump in uptake the usual interval of a fuzzy design misleads."""


def estimate(design: RegressionDiscontinuity, frame: pd.DataFrame, *, brief: bool = False) -> Result:
    """The effect at the cutoff. `brief` leaves out what only pictures need."""
    made = read(design, frame)
    found, said = fit_anyway(design, made)
    refuse(design, made, found)
    contrasts = _contrasts(design, made, found)
    way, notes = _headline_way(design, made, found, contrasts[0])
    name = contrasts[0].name
    rows = [_way_row(way, _as_difference(name))] if way.kind != "robust" else []
    rows += [row_of(item) for item in contrasts]
    rows += _three(found, made, name, bool(design.derivative))
    rows += at_each_cutoff(design, made, name) if len(made.cutoffs) > 1 and not brief else []
    return Result(
        design=design,
        headline=_headline(design, made, way, contrasts[0]),
        estimates=pd.DataFrame(rows),
        facts=pd.Series(_facts(design, made, found, way), dtype=object),
        notes=(
            *made.notes,
            *said,
            *notes,
            *_reasons(contrasts),
            *_dropped(made, found),
            *_clustered(design, made),
        ),
        kernel=Fitted(made=made, fit=found, way=way, means=_limits(made, found)),
    )


def _reasons(contrasts: list[Contrast]) -> list[str]:
    """Why a ratio or a number needed could not be made."""
    return list(dict.fromkeys(item.reason for item in contrasts if item.reason))


def _clustered(design: RegressionDiscontinuity, made: Discontinuous) -> list[str]:
    """What has to be said about clusters that lie on one side of the cutoff."""
    if design.cluster is not None and design.cluster == design.score:
        return [
            "cluster: clustering by the score itself, often advised for scores with few values, makes"
            " intervals"
            " much too narrow (Kolesar and Rothe 2018). Use inference='honest' instead."
        ]
    if not clusters_apart(made):
        return []
    return [
        f"cluster: each '{design.cluster}' lies on one side of the cutoff, so those near it are what counts."
        + (" Variances are cr3 for that reason." if design.variance == "automatic" else "")
    ]


def _dropped(made: Discontinuous, found: Discontinuity) -> list[str]:
    """Covariates that say nothing beyond the lines and the covariates before them."""
    lost = [name for name, kept in zip(made.data.x_names, found.kept, strict=False) if not kept]
    if not lost:
        return []
    return [f"covariates: {listed(lost)} added nothing to the lines and the other covariates; left out."]


def _headline_way(
    design: RegressionDiscontinuity, made: Discontinuous, found: Discontinuity, shown: Contrast
) -> tuple[Way, list[str]]:
    """Which interval is in the headline, and what is to be said about the choice."""
    ratio = shown.name.endswith("ratio")
    if design.inference == "honest":
        return honest_way(design, made), []
    if design.inference == "local randomisation":
        return lot_way(design, made), []
    if found.uptake is not None and found.first_stage_f < WEAK and not design.derivative:
        note = (
            f"The jump in who received it is small (effective F {number(found.first_stage_f)}), so the"
            " interval is"
            " Anderson and Rubin's, which is right however small the jump."
        )
        return anderson_rubin_way(made, found, design.level), [note]
    one = len(set(design.bandwidth)) < 2
    few = one and not design.derivative and not ratio and design.order == 1 and has_few_values(made, found.h)
    if design.inference == "automatic" and few:
        try:
            way = honest_way(design, made)
        except EstimationError as cause:
            return robust_way(shown), [f"No honest interval: {cause}"]
        support = " and ".join(str(int(count)) for count in found.support_h)
        note = (
            f"The score has few different values near the cutoff ({support} within the bandwidth), so the"
            " interval"
            " is an honest one, which allows for the largest bias that a curve of the stated smoothness"
            " can hide."
        )
        return way, [note]
    return robust_way(shown), []


def _limits(made: Discontinuous, found: Discontinuity) -> Means:
    """The outcome at the cutoff on the treated side and on the other, bias-corrected."""
    treated = 1 if made.sign > 0 else 0
    limits = found.sides.corrected[0]
    return Means(float(limits[treated]), float(limits[1 - treated]), np.zeros((0, 2)))


def _contrasts(design: RegressionDiscontinuity, made: Discontinuous, found: Discontinuity) -> list[Contrast]:
    """The robust bias-corrected effect: a difference, and ratios where the outcome has them."""
    if found.uptake is None and not design.derivative:
        treated = 1 if made.sign > 0 else 0
        spread = found.sides.robust[[treated, 1 - treated], 0, 0]
        kind: Any = made.kind
        made_of = all_contrasts(_limits(made, found), np.diag(spread), kind, Precision(level=design.level))
        return sorted(made_of, key=lambda item: not item.name.endswith(design.effect))
    name = "difference" if made.kind == "mean" else f"{made.kind} difference"
    if design.derivative:
        name = "change of slope" if found.uptake is None else "effect per unit received"
    return [_contrast(found, made.turn if found.uptake is None else 1, 2, name)]


def _contrast(found: Estimates, sign: int, at: int, name: str) -> Contrast:
    """One of the three rows, signed as the effect of the intervention."""
    ends = sorted((sign * float(found.low[at]), sign * float(found.high[at])))
    return Contrast(
        name=name,
        estimate=sign * float(found.estimate[at]),
        std_error=float(found.std_error[at]),
        low=ends[0],
        high=ends[1],
        p_value=float(found.p_value[at]),
        scale="difference",
    )


def _three(found: Discontinuity, made: Discontinuous, shown: str, kinked: bool) -> list[dict[str, Any]]:
    """Conventional, bias-corrected and robust rows, and in fuzzy designs the jumps they are made of."""
    name = _as_difference(shown)
    sign = 1 if found.uptake is not None else made.turn
    rows = [row_of(_contrast(found, sign, at, f"{name}, {way}")) for at, way in enumerate(METHODS)]
    if found.uptake is not None:
        changes = "change of slope of" if kinked else "jump of"
        rows.append(row_of(_contrast(found.outcome, made.turn, 2, f"{changes} the outcome")))
        rows.append(row_of(_contrast(found.uptake, made.turn, 2, f"{changes} what was received")))
    return rows


def _as_difference(name: str) -> str:
    """The name of the difference that goes with a ratio: what lines, honest intervals and lots estimate."""
    return name.replace("ratio", "difference").removeprefix("odds ")


def _way_row(way: Way, name: str) -> dict[str, Any]:
    return {
        "term": f"{name}, {way.kind}",
        "at": np.nan,
        "estimate": way.estimate,
        "std_error": way.std_error,
        "conf_low": way.low,
        "conf_high": way.high,
        "p_value": way.p_value,
    }


def _facts(
    design: RegressionDiscontinuity, made: Discontinuous, found: Discontinuity, way: Way
) -> dict[str, Any]:
    counted = Count if design.units_are == "people" else int
    treated = 1 if made.sign > 0 else 0
    sides = (treated, 1 - treated)
    near, wide = found.h[list(sides)], found.b[list(sides)]
    limits = _limits(made, found)
    facts: dict[str, Any] = {
        "treated units": counted(int(found.n_h[treated])),
        "comparison units": counted(int(found.n_h[1 - treated])),
        "rows used": Count(int(found.n_h.sum())),
        "rows in the data": Count(len(made.s)),
        "bandwidth on the treated side": float(near[0]),
        "bandwidth on the other side": float(near[1]),
        "bandwidths for the bias": f"{number(float(wide[0]), 6)} and {number(float(wide[1]), 6)}",
        "bandwidth chosen by": found.rule,
        "different scores within the bandwidth": Counted(
            "{treated} and {other}",
            treated=Count(int(found.support_h[sides[0]])),
            other=Count(int(found.support_h[sides[1]])),
        ),
        "outcome at the cutoff with the intervention": limits.mean1,
        "outcome at the cutoff without it": limits.mean0,
        "estimand": _estimand(design, found),
        "interval": way.words,
        "variance": found.variance,
    }
    if found.groups.any():
        facts["clusters"] = f"{found.groups[sides[0]]} and {found.groups[sides[1]]}"
    if way.kind == "honest":
        facts |= {
            "bandwidth of the honest interval": way.held.h,
            "rows within that": Count(sum(way.held.n)),
        }
    if way.kind == "local randomisation":
        facts["rows in the window"] = Count(way.held.left.n_window + way.held.right.n_window)
    if found.uptake is not None:
        taken = found.sides.corrected[1]
        facts |= {
            "received on the treated side": float(taken[treated]),
            "received on the other side": float(taken[1 - treated]),
            "effective F of the jump in who received it": found.first_stage_f,
        }
    return facts


def _estimand(design: RegressionDiscontinuity, found: Discontinuity) -> str:
    who = "people at the cutoff" if found.uptake is None else "people at the cutoff whom the rule moved"
    return f"change of slope in {who}" if design.derivative else f"effect in {who}"


def _headline(design: RegressionDiscontinuity, made: Discontinuous, way: Way, shown: Contrast) -> str:
    outcome = design.outcome.replace("_", " ")
    how = f"{design.level:.0%} interval"
    percent = made.kind == "risk"
    who = "people" if design.units_are == "people" else "organisations"
    where = f"at the cutoff ({made.cutoff})"
    if way.kind == "robust" and shown.name.endswith("ratio"):
        ends = f"{how} {number(way.low)} to {number(way.high)}; {way.words}"
        size = f"{number(way.estimate)} times as high ({ends})"
        return f"In {who} {where} {outcome} was {size} with the intervention as without it."
    size = f"{amount(way.estimate, percent)} ({how} {between(way.low, way.high, percent)}; {way.words})"
    moved = " who received it because of the rule" if made.received is not None else ""
    if design.derivative and moved:
        return f"In {who} {where} one unit more of {design.received} made {outcome} {size}."
    if design.derivative:
        return f"Beyond the cutoff ({made.cutoff}) each unit of {design.score} made {outcome} {size}."
    return f"In {who} {where}{moved} {outcome} was {size} with the intervention than without."
