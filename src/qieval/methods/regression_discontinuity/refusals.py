"""When no number is given, because it would mean nothing."""

from __future__ import annotations

import numpy as np
import scipy

from qieval.discontinuous.local import Discontinuous
from qieval.errors import EstimationError
from qieval.methods.regression_discontinuity.design import RegressionDiscontinuity
from qieval.numerics.discontinuity import Discontinuity
from qieval.text import number


def refuse(design: RegressionDiscontinuity, made: Discontinuous, found: Discontinuity) -> None:
    """EstimationError where uptake does not jump at the cutoff, or jumps against the stated side."""
    uptake = found.uptake
    if uptake is None:
        return
    jump, error = float(uptake.estimate[2]), float(uptake.std_error[2])
    critical = float(scipy.special.ndtri((1 + design.level) / 2))
    what = "slope of what was received" if design.derivative else "share who received it"
    if abs(jump) <= critical * error:
        raise EstimationError(
            f"received: the {what} ('{design.received}') does not change at the cutoff beyond chance (by"
            f" {number(made.turn * jump)}, {design.level:.0%} interval"
            f" {_ends(made.turn * uptake.low[2], made.turn * uptake.high[2])})."
            " The effect of receiving it would be the change of the outcome divided by a number that may"
            " be zero,"
            " so none is given. Check the cutoff and who counts as having received it; leave `received`"
            " empty to"
            " ask only what the rule itself did."
        )
    if made.turn * jump < 0 and not design.derivative:
        raise EstimationError(
            "received, treated_side: fewer people received it on the side that should"
            f" ('{design.treated_side}';"
            f" the share changes by {number(made.turn * jump)}), so the effect would have the wrong sign."
            " Correct"
            " treated_side, or the coding of the column."
        )


def _ends(one: float, other: float) -> str:
    low, high = np.sort([one, other])
    return f"{number(float(low))} to {number(float(high))}"
