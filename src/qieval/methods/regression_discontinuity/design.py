"""The design of a regression discontinuity."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from qieval.fields import choice, column, number, stated_choice, value, values
from qieval.row_design import RowDesign

SIDES = ("at or above", "above", "below", "at or below")
RULES = (
    "mserd",
    "msetwo",
    "msesum",
    "msecomb1",
    "msecomb2",
    "cerrd",
    "certwo",
    "cersum",
    "cercomb1",
    "cercomb2",
)


@dataclass(frozen=True, kw_only=True, repr=False)
class RegressionDiscontinuity(RowDesign):
    """Compare people just on either side of a cutoff that decides who receives the intervention.

    `score` is what the rule looks at (age, birth weight, a risk score, a date), `cutoff` where it changes and
    `treated_side` on which side people receive the intervention, so that the effect always reads as that of
    the intervention. Near the cutoff the outcome is described by a line (`order`) on either side, within a
    bandwidth that the data choose (`bandwidth_rule`) or that you give (`bandwidth`: one number, or left and
    right). `received` (who really received it, or how much) makes the design fuzzy: the effect is then that
    in people whom the rule moved. `estimand='kink'` looks at the change of slope instead of the jump.

    `inference`: 'robust' is the robust bias-corrected interval; 'honest' allows for the largest bias that a
    curve no more bent than `smoothness` can hide (Armstrong and Kolesar), and suits scores with few values;
    'local randomisation' treats people within `window` of the cutoff as if by lot; 'automatic' is robust,
    and honest where the score has few different values near the cutoff. The result holds the conventional,
    bias-corrected and robust rows in every case.

    Rows with a missing value are refused or left out and counted. Scores that are dates are counted in days.
    An EstimationError says when nothing can be estimated: too few different scores on a side, no jump in who
    received it. Sources: Imbens and Lemieux 2008; Calonico, Cattaneo and Titiunik 2014; Calonico, Cattaneo,
    Farrell and Titiunik 2019; Armstrong and Kolesar 2020; Kolesar and Rothe 2018; Cattaneo, Frandsen and
    Titiunik 2015. Checked against rdrobust 4.0 (R) and 2.1 (Python), RDHonest 1.0 and rdlocrand.

    >>> RegressionDiscontinuity(outcome="deaths", score="weight", cutoff=1500, treated_side="below")
    RegressionDiscontinuity(outcome='deaths', score='weight', cutoff=1500, treated_side='below')
    """

    title: ClassVar[str] = "Regression discontinuity"

    score: str = column("any", "what the rule looks at: a number such as an age or a risk score, or a date")
    cutoff: Any = value("the value of the score at which the rule changes", default=None)
    treated_side: str = stated_choice(
        SIDES, "on which side of the cutoff people receive the intervention, by the rule"
    )
    received: str | None = column(
        "numeric",
        "who really received the intervention (1 or 0), or how much; needed where the rule is not always"
        " followed",
        default=None,
    )
    cutoff_column: str | None = column(
        "numeric",
        "each row's own cutoff, where it differs between places or years (the estimates are pooled)",
        default=None,
        step="analysis",
    )
    estimand: str = choice(
        ("jump", "kink"),
        "whether the outcome is expected to jump at the cutoff, or to change its slope",
        default="jump",
    )
    effect: str = choice(
        ("automatic", "difference", "ratio"),
        "the effect in the headline; automatic gives a difference (in means, risks or rates)",
        default="automatic",
    )
    order: int = number(
        "the order of the polynomial on either side: 0 mean, 1 line, 2 curve",
        low=0,
        high=4,
        default=1,
        whole=True,
    )
    bias_order: int = number(
        "the order used to estimate the bias (0: one more than `order`)", low=0, high=5, default=0, whole=True
    )
    kernel: str = choice(
        ("triangular", "epanechnikov", "uniform"),
        "how the weight of people falls with the distance from the cutoff",
        default="triangular",
    )
    bandwidth_rule: str = choice(
        RULES,
        "how the bandwidth is chosen: least error (mse) or best coverage (cer); one for both sides (rd), one"
        " each (two), for the sum (sum), or combined (comb)",
        default="mserd",
    )
    bandwidth: tuple[Any, ...] = values(
        "how far from the cutoff people are used: one number, or left and right", empty="by the rule"
    )
    bias_bandwidth: tuple[Any, ...] = values(
        "the bandwidth for the bias: one number, or left and right", empty="by the rule"
    )
    bandwidth_ratio: float = number(
        "the bandwidth divided by that for the bias (0: both by the rule)", low=0, high=100, default=0
    )
    bandwidth_for: str = choice(
        ("effect", "outcome"),
        "whether the rule looks at the effect or, where the rule is not always followed, at the outcome"
        " alone",
        default="effect",
    )
    donut: float = number(
        "people nearer to the cutoff than this are left out (0: nobody)", low=0, high=1e9, default=0
    )
    leave_out: tuple[Any, ...] = values(
        "scores that are left out, such as round values that many are recorded at", empty="none"
    )
    variance: str = choice(
        ("automatic", "nn", "hc0", "hc1", "hc2", "hc3", "cr1", "cr2", "cr3"),
        "how variances are found: from nearest neighbours (nn), residuals (hc), or clusters (cr);"
        " automatic is nn, cr1 where there are clusters, and cr3 where each lies on one side of the cutoff",
        default="automatic",
    )
    neighbours: int = number(
        "how many neighbours the variance is taken from", low=1, high=20, default=3, whole=True
    )
    mass_points: str = choice(
        ("adjust", "check", "off"),
        "what to do where many people share a score: choose bandwidths with it in mind, only look, or"
        " nothing",
        default="adjust",
    )
    regularise: float = number(
        "how strongly bandwidths are kept from growing where curvature is badly known",
        low=0,
        high=10,
        default=1,
    )
    inference: str = choice(
        ("automatic", "robust", "honest", "local randomisation"),
        "which interval is in the headline",
        default="automatic",
    )
    smoothness: float = number(
        "how strongly the outcome may bend (its second derivative; 0: found from the data by a rule of"
        " thumb)",
        low=0,
        high=1e12,
        default=0,
    )
    smoothness_received: float = number(
        "the same for who received it, where that is named", low=0, high=1e12, default=0
    )
    curvature: str = choice(
        ("Hoelder", "Taylor"), "which curves the honest interval allows for", default="Hoelder"
    )
    window: float = number(
        "how near the cutoff people are taken as if by lot (0: chosen by the balance of covariates)",
        low=0,
        high=1e9,
        default=0,
    )
    draws: int = number(
        "random draws of the local randomisation test", low=99, high=99_999, default=1999, whole=True
    )

    def roles(self) -> dict[str, str]:
        """The columns that are no characteristics, by role."""
        held = super().roles() | {"score": self.score}
        held |= {"received": self.received} if self.received else {}
        return held | ({"cutoff_column": self.cutoff_column} if self.cutoff_column else {})

    @property
    def derivative(self) -> int:
        """Which derivative jumps: 0 the outcome itself, 1 its slope."""
        return 1 if self.estimand == "kink" else 0

    @property
    def q(self) -> int:
        """The order used to estimate the bias."""
        return self.bias_order or self.order + 1

    @property
    def variance_kind(self) -> str:
        """How variances are found, automatic resolved."""
        if self.variance != "automatic":
            return self.variance
        return "cr1" if self.cluster else "nn"

    def _contradictions(self) -> list[str]:
        found = super()._contradictions()
        if (self.cutoff is None) == (self.cutoff_column is None):
            found.append(
                "cutoff: the value at which the rule changes is needed: one number (or date), or a column"
                " with"
                " each row's own cutoff under cutoff_column, and not both."
            )
        if isinstance(self.cutoff, (int, float)) and not _finite(self.cutoff):
            found.append(f"cutoff: {self.cutoff!r} is no place on a score. Give a number or a date.")
        if self.inference == "honest" and len(set(self.bandwidth)) > 1:
            found.append(
                "inference, bandwidth: the honest interval has one bandwidth for both sides. Give one."
            )
        if self.derivative > self.order:
            found.append("estimand, order: a change of slope needs a line or a curve. Set order=1 or 2.")
        if self.bias_order and self.bias_order <= self.order:
            found.append(
                f"bias_order: the bias is estimated by a higher order than {self.order}; set it to"
                f" {self.order + 1}, or 0 for that."
            )
        for name in ("bandwidth", "bias_bandwidth"):
            held = getattr(self, name)
            if len(held) > 2 or not all(_finite(item) and item > 0 for item in held):
                found.append(
                    f"{name}: {held!r} is not a bandwidth. Give one number above 0, or two (left and"
                    " right), in"
                    " the units of the score (days for dates)."
                )
        if self.bias_bandwidth and not self.bandwidth:
            found.append("bandwidth, bias_bandwidth: give the bandwidth too, or neither.")
        if self.bias_bandwidth and self.bandwidth_ratio:
            found.append("bias_bandwidth, bandwidth_ratio: both say how the bias is looked for. Give one.")
        if self.variance.startswith("cr") and self.cluster is None:
            found.append(
                f"variance, cluster: '{self.variance}' needs clusters. Name the column, or use hc3 or nn."
            )
        if self.cluster and self.variance.startswith("hc"):
            found.append(
                f"variance, cluster: '{self.variance}' ignores the clusters that are named. Use cr1, cr2"
                " or cr3."
            )
        if self.inference in ("honest", "local randomisation") and self.derivative:
            found.append(
                f"inference, estimand: '{self.inference}' is made for jumps, not for kinks. Use robust."
            )
        if self.inference == "honest" and self.order != 1:
            found.append("inference, order: the honest interval is that of local lines. Set order=1.")
        return found


def _finite(held: Any) -> bool:
    """Whether a value is a number that can be counted with."""
    if isinstance(held, bool) or not isinstance(held, (int, float)):
        return False
    try:
        return math.isfinite(float(held))
    except OverflowError:
        return False
