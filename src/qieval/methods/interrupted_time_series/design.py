"""What an interrupted time series is told: the series, its interruption, and how it moves by itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar

from qieval.fields import choice, columns, number, text, value, values
from qieval.series_design import SeriesDesign

COUNTS = ("poisson", "quasi-poisson", "negative binomial")
PROPORTIONS = ("binomial", "quasi-binomial")
ORDER = re.compile(r"^\s*\d\s*,\s*\d\s*,\s*\d\s*(x\s*\d\s*,\s*\d\s*,\s*\d\s*)?$")


@dataclass(frozen=True, kw_only=True, repr=False)
class InterruptedTimeSeries(SeriesDesign):
    """One series, many points before and after: did its level or its slope change when the intervention
    came?

    The model is that of segmented regression (Wagner et al. 2002; Bernal, Cummins and Gasparrini 2017): a
    trend and a season, a step at the start and a change of slope counted from the start. What is said about
    uncertainty depends on how neighbouring values hang together; `inference='recommended'` chooses from the
    residuals and says why, and the checks show all choices side by side. Interruptions by counts go through
    (quasi-)Poisson or negative binomial models with the denominator as exposure, proportions through
    (quasi-)binomial ones.

    >>> import qieval as qe
    >>> data = qe.example("smoking_ban").frame  # doctest: +SKIP
    >>> design = InterruptedTimeSeries(
    ...     outcome="events", time="month", start="2005-01", denominator="population", per=100_000,
    ...     change="level", seasonality="harmonics",
    ... )
    >>> design.change
    'level'
    """

    title: ClassVar[str] = "interrupted time series"

    start: Any = value("the first period with the intervention")
    further_starts: tuple[Any, ...] = values(
        "later interruptions of the same series, each with a change of its own"
    )
    family: str = choice(
        ("chosen from the outcome", "gaussian", *COUNTS, *PROPORTIONS),
        "the kind of outcome: amounts (gaussian), counts (poisson and its kin), or cases out of a denominator"
        " (binomial). Chosen from the outcome: whole numbers that are not negative are counts",
        default="chosen from the outcome",
    )
    scale: str = choice(
        ("as measured", "logarithm"),
        "whether amounts are modelled as they are or by their logarithm (changes are then ratios)",
        default="as measured",
    )
    change: str = choice(
        ("level and slope", "level", "slope", "pulse", "decay", "any"),
        "the form of the change: at once and lasting (level), growing (slope), for some periods only (pulse),"
        " fading (decay), or any form, by which the time after is compared with a forecast from before",
        default="level and slope",
    )
    slope_from: str = choice(
        ("the first period with the intervention", "the last period before it"),
        "where the change of slope is zero, which is where the change of level is read",
        default="the first period with the intervention",
    )
    lasts: int = number("for how many periods a pulse lasts", low=1, high=10_000, default=1, whole=True)
    half_life: float = number("in how many periods a fading change halves", low=0.01, high=10_000, default=6)
    lag: int = number(
        "how many periods after the start the effect is expected to begin; until then nothing changes",
        low=0,
        high=1000,
        default=0,
        whole=True,
    )
    phase_in: int = number(
        "during how many periods from there the intervention was being phased in",
        low=0,
        high=1000,
        default=0,
        whole=True,
    )
    phase_in_as: str = choice(
        ("left out", "a ramp"),
        "what becomes of the periods of phasing in: left out of the model, or a change that grows evenly",
        default="left out",
    )
    trend: str = choice(
        ("linear", "quadratic", "spline", "none"),
        "how the series moves in the long run without the intervention",
        default="linear",
    )
    trend_df: int = number(
        "how freely a trend by spline may bend: the number of its columns",
        low=2,
        high=12,
        default=3,
        whole=True,
    )
    seasonality: str = choice(
        ("none", "harmonics", "one per season", "spline"),
        "how the time of the year (or week) shows: pairs of sine and cosine, a value for each month"
        " (quarter, weekday), or a smooth curve",
        default="none",
    )
    harmonics: int = number("how many pairs of sine and cosine", low=1, high=12, default=2, whole=True)
    season_df: int = number(
        "how freely a season by spline may bend: the number of its columns",
        low=2,
        high=12,
        default=4,
        whole=True,
    )
    season_length: float = number(
        "how many periods make a season; 0: as the time column says (12 for months, 4 for quarters, 52.18 for"
        " weeks, 7 for days)",
        low=0,
        high=100_000,
        default=0,
    )
    days_in_period: str = choice(
        ("ignored", "as exposure", "as a regressor"),
        "months differ in length: whether the number of days enters the model",
        default="ignored",
    )
    easter: str = choice(
        ("ignored", "as a regressor"),
        "whether the share of the Easter holidays that falls in the period enters the model",
        default="ignored",
    )
    covariates: tuple[str, ...] = columns(
        "any", "other things that move the outcome and that the intervention does not change"
    )
    controls: tuple[str, ...] = columns(
        "numeric", "the same outcome where there was no intervention: one or several control series"
    )
    control_denominators: tuple[str, ...] = columns(
        "numeric", "the denominators of the control series, in the same order, or one for all"
    )
    controlled_by: str = choice(
        ("comparative model", "difference of the series", "regressors"),
        "how control series are used: modelled together, so that the effect is what happened here and not"
        " there; subtracted; or as predictors of this one",
        default="comparative model",
    )
    weigh_controls: str = choice(
        ("by evidence", "all alike"),
        "for a forecast by a structural time series from control series: whether each counts by the evidence"
        " that it helps to predict the time before (as CausalImpact does), or all are used",
        default="by evidence",
    )
    model: str = choice(
        ("segmented regression", "ARIMA", "structural time series"),
        "a fixed trend with errors around it, or a level that wanders by itself (ARIMA, structural)",
        default="segmented regression",
    )
    inference: str = choice(
        (
            "recommended",
            "independent errors",
            "Newey-West",
            "Prais-Winsten",
            "AR errors by REML",
            "AR errors by ML",
        ),
        "how standard errors allow for neighbouring values being alike",
        default="recommended",
    )
    lag_rule: str = choice(
        (
            "automatic (Andrews)",
            "automatic (Newey and West)",
            "0.75 n^(1/3)",
            "4 (n/100)^(2/9)",
            "one season",
            "as given",
        ),
        "how far apart values may still hang together for Newey-West",
        default="automatic (Andrews)",
    )
    lags: int = number("that many periods, if as given", low=0, high=1000, default=3, whole=True)
    small_sample: str = choice(
        ("corrected", "uncorrected"),
        "whether standard errors and degrees of freedom allow for a short series",
        default="corrected",
    )
    ar_order: int = number(
        "how many earlier values each value hangs on, for AR errors",
        low=1,
        high=4,
        default=1,
        whole=True,
    )
    arima: str = text(
        "the order of an ARIMA model as 'p,d,q' or 'p,d,q x P,D,Q'; empty: chosen by AICc", step="analysis"
    )
    level_moves: str = choice(
        ("local level", "local linear trend", "smooth trend"),
        "how the level of a structural time series wanders",
        default="local level",
    )
    season_moves: str = choice(
        ("stays the same", "moves"),
        "whether the season of a structural time series changes slowly over the years",
        default="stays the same",
    )
    expected_within: int = number(
        "within how many periods of the start the effect is expected to show; 0: not stated",
        low=0,
        high=10_000,
        default=0,
        whole=True,
    )
    horizons: tuple[Any, ...] = values(
        "after how many periods the effect is stated on its own", empty="6, 12 and 24 where the data reach"
    )
    control_outcomes: tuple[str, ...] = columns(
        "numeric", "outcomes that the intervention cannot have changed, in the same periods"
    )
    composition: tuple[str, ...] = columns(
        "numeric", "who is behind the outcome in each period, such as the mean age or the share of women"
    )

    def outcome_columns(self) -> tuple[str, ...]:
        """The columns that must stay closed while the design is being settled."""
        return (self.outcome, *self.controls, *self.control_outcomes)

    def required_columns(self) -> tuple[str, ...]:
        """The columns in which every row needs a value; who is behind the outcome is not known where nobody
        is."""
        return tuple(name for name in super().required_columns() if name not in self.composition)

    @property
    def counts(self) -> bool:
        """Whether the stated family is one of counts or proportions, so that changes are ratios."""
        return self.family in COUNTS + PROPORTIONS

    def _contradictions(self) -> list[str]:
        found = super()._contradictions()
        found += self._roles() + self._family_problems() + self._control_problems() + self._model_problems()
        found += [
            f"horizons: {horizon!r} is not a whole number of periods after the start, such as 12."
            for horizon in self.horizons
            if isinstance(horizon, bool) or not str(horizon).isdecimal() or int(horizon) < 1
        ]
        return found

    def _roles(self) -> list[str]:
        taken = {self.outcome: "outcome", self.time: "time", self.denominator: "denominator"}
        lists = ("covariates", "controls", "control_outcomes")
        return [
            f"{role}: '{name}' is already the {taken[name]}. Remove it."
            for role in lists
            for name in getattr(self, role)
            if name in taken
        ]

    def _family_problems(self) -> list[str]:
        found = []
        if self.family in PROPORTIONS and self.denominator is None:
            found.append(
                "denominator: a binomial outcome counts cases out of a denominator; name its column."
            )
        if self.scale == "logarithm" and self.counts:
            found.append(
                f"scale: a {self.family} model already works with ratios; leave the scale as measured."
            )
        if self.counts and self.model != "segmented regression":
            found.append(
                f"model: {self.model} needs amounts (family='gaussian', perhaps with scale='logarithm'), not"
                f" {self.family} counts."
            )
        if self.days_in_period == "as exposure" and self.family in ("gaussian", *PROPORTIONS):
            found.append("days_in_period: only counts have an exposure. Use 'as a regressor'.")
        return found

    def _control_problems(self) -> list[str]:
        found = []
        many = len(self.control_denominators)
        if many and not self.controls:
            found.append(
                "control_denominators: they belong to control series, and none is named. Name the series"
                " (controls), or remove the denominators."
            )
        elif many > 1 and many != len(self.controls):
            found.append(
                f"control_denominators: {many} are named for {len(self.controls)} control series. Name one"
                " for each, in the same order, or a single one for all."
            )
        if self.controls and self.change == "any" and self.controlled_by == "comparative model":
            found.append(
                "controlled_by: a comparative model needs a form of the change (level, slope); with"
                " change='any' use the controls as regressors or subtract them."
            )
        model_too = self.model != "segmented regression" and self.controlled_by == "comparative model"
        if self.controls and model_too:
            found.append(
                f"controlled_by: {self.model} models one series. Use the controls as regressors or subtract"
                " them."
            )
        return found

    def _model_problems(self) -> list[str]:
        found = []
        if self.arima.strip() and not ORDER.match(self.arima):
            found.append(
                f"arima: '{self.arima}' is not an order. Write 'p,d,q' such as '1,0,0', or with a season"
                " '1,0,1 x 0,1,1'."
            )
        if self.further_starts and self.change == "any":
            found.append(
                "further_starts: a change of any form is compared with a forecast from before the first"
                " start, which leaves nothing to later ones. Choose a form of the change."
            )
        if self.change in ("pulse", "decay", "any") and self.phase_in and self.phase_in_as == "a ramp":
            found.append("phase_in_as: a ramp needs a change that lasts (level, slope, or both).")
        return found
