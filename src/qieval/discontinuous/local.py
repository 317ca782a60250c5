"""People around a cutoff and the fit at it: what estimates, checks and pictures of a discontinuity share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from qieval.errors import EstimationError
from qieval.numerics.discontinuity import Discontinuity, Local, Scored, discontinuity
from qieval.row_data import RowData
from qieval.text import number

DAY = 86_400
FEW_SUPPORT = 20
"""With fewer different scores than this on a side near the cutoff a score counts as having few values."""
HOLE, NOTHING_LEFT = 0.5, 0.8
"""From these shares of the bandwidth on a hole is worth a word, or leaves nothing to estimate from."""
MASS = 0.2
"""A score has mass points where at least this share of rows repeats another one's score."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Discontinuous:
    """Rows around a cutoff, ready to be compared.

    s (n,): the score less its cutoff, counted so that those at the cutoff are on the side s >= 0. toward: 1
    where larger s are larger scores, else -1. sign: 1 where s >= 0 is the treated side, else -1. kink:
    whether slopes are compared. kept (n,): rows that take part (outside the donut). received (n,) or None.
    at (n,): which cutoff each row has, among `cutoffs`. dates: whether the score is a date, in days.
    """

    data: RowData
    score: np.ndarray
    s: np.ndarray
    toward: int
    sign: int
    kink: bool
    kept: np.ndarray
    received: np.ndarray | None
    cutoffs: np.ndarray
    at: np.ndarray
    dates: bool
    notes: tuple[str, ...]

    @property
    def treated(self) -> np.ndarray:
        """Who receives the intervention by the rule (n,)."""
        right: np.ndarray = self.s >= 0
        return right if self.sign > 0 else ~right

    @property
    def turn(self) -> int:
        """What turns right less left into the effect of the intervention: counting scores backwards turns
        slopes round, not levels."""
        return self.sign * (self.toward if self.kink else 1)

    @property
    def y(self) -> np.ndarray:
        """The outcome (n,), per person-time where that is known."""
        return self.data.rate

    @property
    def weights(self) -> np.ndarray | None:
        """The weight of each row (n,), times its person-time for rates; None where all count the same."""
        return self.data.row_weights

    @property
    def kind(self) -> str:
        """Whether the outcome is a mean, a risk (0 and 1) or a rate."""
        return self.data.kind

    def shown(self, s: Any) -> Any:
        """Distances from a single cutoff as scores; with several cutoffs the distance itself."""
        base = self.cutoffs[0] if len(self.cutoffs) == 1 else 0.0
        return base + self.toward * np.asarray(s)

    def said(self, s: float) -> str:
        """A score in words."""
        value = float(self.shown(s))
        if self.dates:
            return str(pd.Timestamp(value * DAY, unit="s").date())
        return number(value, 6)

    @property
    def cutoff(self) -> str:
        """The cutoff in words."""
        return self.said(0.0) if len(self.cutoffs) == 1 else f"one of {len(self.cutoffs)} cutoffs"


def local_of(design: Any, **changes: Any) -> Local:
    """The settings of the local polynomial that a design asks for."""
    settings: dict[str, Any] = {
        "p": int(design.order),
        "q": int(design.q),
        "deriv": design.derivative,
        "kernel": design.kernel,
        "rule": design.bandwidth_rule,
        "h": _pair(design.bandwidth),
        "b": _pair(design.bias_bandwidth),
        "rho": float(design.bandwidth_ratio) or None,
        "sharp_bandwidth": design.bandwidth_for == "outcome",
        "variance": design.variance_kind,
        "neighbours": int(design.neighbours),
        "mass_points": design.mass_points,
        "regularise": float(design.regularise),
        "level": design.level,
    }
    return Local(**{**settings, **changes})


def _pair(held: tuple[Any, ...]) -> tuple[float, float] | None:
    return (float(held[0]), float(held[-1])) if held else None


def fit(
    design: Any,
    made: Discontinuous,
    y: np.ndarray | None = None,
    rows: np.ndarray | None = None,
    *,
    cutoff: float = 0.0,
    parts: tuple[str, ...] = ("received", "covariates"),
    **changes: Any,
) -> Discontinuity:
    """The local polynomial fit at the cutoff of some outcome (that of the design by default).

    rows (n,): which rows to use (by default those kept). cutoff: another place on s. parts: what else of the
    design takes part. EstimationError where nothing can be estimated.
    """
    used = made.kept if rows is None else rows
    if cutoff == 0.0:
        _require_sides(made, used)
    scored = Scored(
        score=made.s[used],
        y=(made.y if y is None else y)[used],
        cutoff=cutoff,
        uptake=made.received[used] if "received" in parts and made.received is not None else None,
        covariates=made.data.x[used] if "covariates" in parts and made.data.x.shape[1] else None,
        weights=None if made.weights is None else made.weights[used],
        clusters=None if made.data.cluster is None else made.data.cluster[used],
    )
    changes.setdefault("variance", variance_of(design, made))
    local = local_of(design, **changes)
    if made.toward < 0 and "h" not in changes:
        turned = {"h": _pair(design.bandwidth[::-1]), "b": _pair(design.bias_bandwidth[::-1])}
        local = local_of(design, **{**changes, **turned})
    return discontinuity(scored, local)


def clusters_apart(made: Discontinuous) -> bool:
    """Whether every cluster lies on one side of the cutoff, as where the score is the hospital's own."""
    cluster = made.data.cluster
    if cluster is None:
        return False
    right = made.s >= 0
    return not bool(np.isin(cluster[right], cluster[~right]).any())


def variance_of(design: Any, made: Discontinuous) -> str:
    """How variances are found. Automatic: cr3 where every cluster lies on one side, since what clusters share
    does not cancel there and those near the cutoff are few; cr1 otherwise."""
    if design.variance == "automatic" and clusters_apart(made):
        return "cr3"
    return str(design.variance_kind)


def fit_anyway(design: Any, made: Discontinuous, **of: Any) -> tuple[Discontinuity, list[str]]:
    """The fit; where too few different scores leave no bandwidth to the data, that of the nearest ones.

    of: what `fit` takes. Returns also what is to be said about it. EstimationError where the nearest scores
    are too few as well.
    """
    try:
        found = fit(design, made, **of)
        return found, _bridged(design, found)
    except EstimationError:
        if design.bandwidth or of.get("h") is not None or of.get("cutoff"):
            raise
        by_lot = design.inference == "local randomisation"
        orders = {"p": 0, "q": 1} if by_lot else {"p": int(design.order), "q": int(design.q)}
        orders |= {name: of[name] for name in ("p", "q") if name in of}
        h = narrowest(made, orders["q"] + 1, of.get("rows"))
        if h is None:
            raise EstimationError(_too_few(design, made, orders["q"] + 1)) from None
        note = (
            f"No bandwidth can be chosen from so few different scores ({_support(made)} on the two sides), so"
            f" {'levels' if by_lot else 'lines'} are fitted to the nearest ones, up to {number(h)} from the"
            " cutoff."
        )
        asked: dict[str, Any] = {**of, **orders, "h": (h, h), "b": (h, h)}
        return fit(design, made, **asked), [note]


def _bridged(design: Any, found: Discontinuity) -> list[str]:
    """That the lines reach over a hole. EstimationError where there is next to nothing beside it."""
    reach = float(found.h.min())
    if not design.donut or design.donut < HOLE * reach:
        return []
    said = (
        f"donut: people nearer than {number(design.donut)} are left out and the lines use people up to"
        f" {number(reach)} away"
    )
    if design.donut > NOTHING_LEFT * reach:
        raise EstimationError(
            f"{said}, so nearly all of the way to the cutoff would be guessed. Leave out fewer people."
        )
    return [f"{said}: much of the way to the cutoff is guessed by the lines."]


def _too_few(design: Any, made: Discontinuous, wanted: int) -> str:
    """That there are too few different scores, and what can be done with these."""
    said = (
        f"score: '{design.score}' has {_support(made)} different values on the two sides of the cutoff, and"
        f" {wanted} a side are needed."
    )
    if min(len(side) for side in _supports(made)) == 1:
        return (
            f"{said} With one value on a side nobody can see how the outcome moves with the score: this is a"
            " comparison of two groups, not a discontinuity. Use the score before it was rounded, or a"
            " design that"
            " compares similar people (RegressionAdjustment, Matching)."
        )
    return (
        f"{said} Use the score before it was rounded, a lower order, or inference='local randomisation',"
        " which compares people on the nearest scores as if by lot."
    )


def _supports(made: Discontinuous, rows: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The distances of the different scores (of some rows) from the cutoff, left and right."""
    s = made.s[made.kept if rows is None else rows]
    return np.unique(-s[s < 0]), np.unique(s[s >= 0])


def _support(made: Discontinuous) -> str:
    left, right = _supports(made)
    return f"{len(left)} and {len(right)}"


def narrowest(made: Discontinuous, wanted: int, rows: np.ndarray | None = None) -> float | None:
    """A bandwidth that gives one score more than wanted a positive weight on both sides, if there is one."""
    reach = []
    for support in _supports(made, rows):
        if len(support) < wanted:
            return None
        step = support[-1] - support[-2] if len(support) > 1 else 1.0
        reach.append(support[wanted] if len(support) > wanted else support[-1] + step)
    return float(max(reach))


def _require_sides(made: Discontinuous, used: np.ndarray) -> None:
    right = made.s[used] >= 0
    if right.all() or not right.any():
        raise EstimationError(
            "No rows are left on one side of the cutoff, so there is nobody to compare. Look at what was left"
            " out (donut, leave_out)."
        )


def has_few_values(made: Discontinuous, h: np.ndarray) -> bool:
    """Whether the score has few different values within the bandwidths h (2,) on some side, each of them
    shared by people."""
    s = made.s[made.kept]
    near = s[(s >= -h[0]) & (s <= h[1])]
    support = np.unique(near)
    repeated = 1 - len(support) / max(len(near), 1)
    fewest = min(int((support < 0).sum()), int((support >= 0).sum()))
    return bool(repeated >= MASS and fewest < FEW_SUPPORT)
