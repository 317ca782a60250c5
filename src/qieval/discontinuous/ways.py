"""Ways to say how sure an effect at a cutoff is: robust, honest, as if by lot, Anderson-Rubin."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import scipy

from qieval.discontinuous.local import Discontinuous, has_few_values
from qieval.errors import EstimationError
from qieval.numerics.contrasts import Contrast
from qieval.numerics.discontinuity import Discontinuity
from qieval.numerics.honest import Honest, HonestOptions, honest
from qieval.numerics.honest_rows import HonestRows
from qieval.numerics.local_randomisation import randomisation_test
from qieval.numerics.local_randomisation_draws import Drawing
from qieval.numerics.local_randomisation_interval import randomisation_set
from qieval.numerics.local_randomisation_rows import LocalTest, Sample
from qieval.numerics.local_randomisation_windows import (
    BalanceTest,
    WindowChoice,
    choose_window,
    windows_by_count,
    windows_by_support,
)
from qieval.numerics.means import Means
from qieval.text import number

FEWEST_BY_LOT = 10
"""People on each side in the smallest window that local randomisation looks at."""
MOST_WINDOWS = 20
_CHOSEN: WeakKeyDictionary[Discontinuous, dict[tuple[Any, ...], LotWindow | EstimationError]] = (
    WeakKeyDictionary()
)
"""Windows of parsed data by the settings that decide them; choosing takes long and is asked for often."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Way:
    """An estimate with its interval, signed as the effect of the intervention. words: how it was made."""

    kind: str
    words: str
    estimate: float
    std_error: float
    low: float
    high: float
    p_value: float
    held: Any = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Fitted:
    """A fitted discontinuity: what checks and pictures work on.

    way: the interval of the headline. means: the outcome at the cutoff with and without the intervention.
    """

    made: Discontinuous
    fit: Discontinuity
    way: Way
    means: Means


def robust_way(shown: Contrast) -> Way:
    """The robust bias-corrected interval (Calonico, Cattaneo and Titiunik 2014)."""
    return Way(
        kind="robust",
        words="robust bias-corrected",
        estimate=shown.estimate,
        std_error=shown.std_error,
        low=shown.low,
        high=shown.high,
        p_value=shown.p_value,
    )


def honest_rows(made: Discontinuous) -> HonestRows:
    """The rows that take part, as the honest interval wants them."""
    used = made.kept
    return HonestRows(
        score=made.s[used],
        y=made.y[used],
        uptake=None if made.received is None else made.received[used],
        covariates=made.data.x[used] if made.data.x.shape[1] else None,
        weights=None if made.weights is None else made.weights[used],
        clusters=None if made.data.cluster is None else made.data.cluster[used],
    )


def honest_options(design: Any, made: Discontinuous) -> HonestOptions:
    """The settings of the honest interval; smoothness by the rule of thumb where none is given."""
    kind = design.variance_kind
    options = HonestOptions(
        curvature=design.curvature.lower(),
        kernel=design.kernel,
        h=float(design.bandwidth[0]) if len(set(design.bandwidth)) == 1 else None,
        variance="nn" if kind in ("nn", "cr1", "cr2", "cr3") else "eicker-huber-white",
        neighbours=int(design.neighbours),
        level=design.level,
    )
    if not design.smoothness:
        return options
    if made.received is None:
        return replace(options, smoothness=float(design.smoothness))
    taken = design.smoothness_received or float(honest(honest_rows(made), options).smoothness_of[1])
    return replace(options, smoothness=(float(design.smoothness), float(taken)))


def honest_way(design: Any, made: Discontinuous) -> Way:
    """The honest interval (Armstrong and Kolesar 2020): EstimationError where none can be made."""
    found: Honest = honest(honest_rows(made), honest_options(design, made))
    sign = made.sign if made.received is None else 1
    low, high = sorted((sign * found.low, sign * found.high))
    return Way(
        kind="honest",
        words=(
            f"honest, for curves with a second derivative of at most {number(float(found.smoothness_of[0]))}"
        ),
        estimate=sign * found.estimate,
        std_error=found.std_error,
        low=low,
        high=high,
        p_value=found.p_value,
        held=found,
    )


def anderson_rubin_way(made: Discontinuous, found: Discontinuity, level: float) -> Way:
    """The Anderson-Rubin interval of a fuzzy design: effects that the two jumps, robust, do not contradict.

    The set of b with (jump of outcome - b jump of uptake)^2 <= z^2 var; an interval, because the jump of
    uptake differs from zero at the same level. Source: Feir, Lemieux and Marmer 2016.
    """
    jumps, spread = found.sides.corrected_jump, found.sides.robust_covariance
    z2 = float(scipy.special.ndtri((1 + level) / 2)) ** 2
    a = jumps[1] ** 2 - z2 * spread[1, 1]
    b = jumps[0] * jumps[1] - z2 * spread[0, 1]
    c = jumps[0] ** 2 - z2 * spread[0, 0]
    if not a > 0:
        raise EstimationError("The jump in who received it is too small for a bounded interval.")
    root = np.sqrt(max(b * b - a * c, 0.0))
    null = float(jumps[0] ** 2 / spread[0, 0])
    return Way(
        kind="Anderson-Rubin",
        words="Anderson-Rubin, right however small the jump in who received it",
        estimate=float(found.estimate[2]),
        std_error=float(found.std_error[2]),
        low=float((b - root) / a),
        high=float((b + root) / a),
        p_value=float(2 * scipy.special.ndtr(-np.sqrt(null))),
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class LotWindow:
    """People taken as if by lot: those with -left <= s <= right, and how that was settled.

    choice: the balance of covariates in the windows tried, where these decided.
    """

    left: float
    right: float
    words: str
    choice: WindowChoice | None = None

    @property
    def ends(self) -> tuple[float, float]:
        """The window on s."""
        return -self.left, self.right


def lot_window(design: Any, made: Discontinuous) -> LotWindow:
    """The window of a local randomisation: as stated, by the balance of covariates, or the smallest.

    Windows grow by at least five people a side (by one different score where the score has few), and the one
    taken is the last before some covariate differs with p < 0.15 (Cattaneo, Frandsen and Titiunik 2015); the
    smallest has ten people a side. Nothing here looks at the outcome. EstimationError where there is none.
    """
    if design.window:
        return LotWindow(left=float(design.window), right=float(design.window), words="as stated")
    held = _CHOSEN.setdefault(made, {})
    key = (int(design.seed),)
    if key not in held:
        try:
            held[key] = _chosen_window(design, made)
        except EstimationError as cause:
            held[key] = cause
    found = held[key]
    if isinstance(found, EstimationError):
        raise EstimationError(str(found))
    return found


def _chosen_window(design: Any, made: Discontinuous) -> LotWindow:
    """The window of `lot_window` where none is stated."""
    order = _canonical(made)
    s = made.s[made.kept][order]
    few = has_few_values(made, np.full(2, np.inf))
    windows = windows_by_support(s, 0.0, MOST_WINDOWS) if few else _reaching(s)
    enough = [min(_sides(s, low, high)) >= FEWEST_BY_LOT for low, high in windows]
    windows = windows[np.array(enough, dtype=bool)] if len(windows) else windows
    if not len(windows):
        raise EstimationError("No window around the cutoff holds ten people on each side. Give a window.")
    if not made.data.x.shape[1]:
        low, high = windows[0]
        words = "the smallest with ten people on each side, as no covariates are named"
        return LotWindow(left=-float(low), right=float(high), words=words)
    test = BalanceTest(drawing=Drawing(draws=999, seed=int(design.seed)))
    found = choose_window(s, made.data.x[made.kept][order], 0.0, windows, test)
    if found.window is None:
        raise EstimationError(
            "Covariates differ (p < 0.15) even in the smallest window around the cutoff, so people there"
            " cannot be taken as if by lot. State a window if you have a reason for one."
        )
    low, high = found.window
    words = "the largest in which no covariate differs (p < 0.15)"
    return LotWindow(left=-low, right=high, words=words, choice=found)


def _reaching(s: np.ndarray) -> np.ndarray:
    return windows_by_count(s, 0.0, first=FEWEST_BY_LOT, count=MOST_WINDOWS)


def _sides(s: np.ndarray, low: float, high: float) -> tuple[int, int]:
    return int(((s >= low) & (s < 0)).sum()), int(((s >= 0) & (s <= high)).sum())


def _canonical(made: Discontinuous, *outcomes: np.ndarray) -> np.ndarray:
    """An order of the kept rows that does not depend on that of the frame, so that neither do draws."""
    keys = [*made.data.x.T, *([] if made.received is None else [made.received]), *outcomes, made.s]
    return np.lexsort([key[made.kept] for key in keys])


def lot_sample(made: Discontinuous, window: LotWindow, y: np.ndarray | None = None) -> Sample:
    """The kept rows for local randomisation, in an order of their own; y (n,): the outcome by default.

    A cluster counts as a whole. EstimationError where one lies on both sides within the window, as sides then
    are not given to whole clusters while people in one are alike; and with weights or person-time, which the
    test cannot use.
    """
    if made.weights is not None:
        raise EstimationError(
            "Local randomisation counts every row the same. Leave weights and person_time empty for it."
        )
    held = made.y if y is None else y
    order = _canonical(made, held)
    s = made.s[made.kept][order]
    clusters = None if made.data.cluster is None else made.data.cluster[made.kept][order]
    if clusters is not None:
        near = (s >= -window.left) & (s <= window.right)
        if np.isin(clusters[near & (s < 0)], clusters[near & (s >= 0)]).any():
            raise EstimationError(
                "Within the window some clusters lie on both sides of the cutoff, and local randomisation"
                " cannot allow for that. Use another interval, or leave cluster empty if people in a cluster"
                " are no more alike than others."
            )
    return Sample(
        score=s,
        outcome=held[made.kept][order],
        cutoff=0.0,
        uptake=None if made.received is None else made.received[made.kept][order],
        clusters=clusters,
    )


def lot_test(design: Any) -> LocalTest:
    """How sides are compared: difference of means, as many draws as the design says."""
    drawing = Drawing(draws=int(design.draws), seed=int(design.seed))
    return LocalTest(level=design.level, drawing=drawing)


def lot_way(design: Any, made: Discontinuous) -> Way:
    """Local randomisation (Cattaneo, Frandsen and Titiunik 2015): people in a window as if by lot.

    The difference of plain means (in a fuzzy design divided by that of uptake), the p-value of a permutation
    test, and as interval all constant effects that the test does not reject; from its lowest to its highest
    where the set has gaps, infinite where it is unbounded. Covariates choose the window and do not adjust.
    EstimationError where there is no window.
    """
    window = lot_window(design, made)
    sample, test = lot_sample(made, window), lot_test(design)
    try:
        found = randomisation_test(sample, window.ends, test)
        pieces = randomisation_set(sample, window.ends, test).pieces
    except ValueError as cause:
        raise EstimationError(f"Local randomisation: {cause}.") from cause
    if not np.isfinite(found.estimate):
        raise EstimationError("Nobody in the window received it because of the rule, so there is no effect.")
    sign = made.sign if made.received is None else 1
    ends = (float(pieces.min()), float(pieces.max())) if len(pieces) else (np.nan, np.nan)
    low, high = sorted((sign * ends[0], sign * ends[1]))
    reach = f"{number(window.left)} below to {number(window.right)} above"
    if made.toward < 0:
        reach = f"{number(window.right)} below to {number(window.left)} above"
    gaps = "; the effects that are not rejected have gaps" if len(pieces) > 1 else ""
    return Way(
        kind="local randomisation",
        words=f"as if by lot within {reach} the cutoff, {window.words}{gaps}",
        estimate=sign * found.estimate,
        std_error=found.std_error,
        low=low,
        high=high,
        p_value=found.p_value,
        held=found,
    )
