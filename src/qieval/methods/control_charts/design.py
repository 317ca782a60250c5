"""The designs of run charts and control charts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from qieval.chart_design import ChartDesign
from qieval.charts.kinds import CHOSEN, INTERVALS, KINDS, PROPORTIONS, RATES
from qieval.fields import choice


@dataclass(frozen=True, kw_only=True, repr=False)
class RunChart(ChartDesign):
    """Follow a measure over time against its median: runs that chance would hardly make are signals.

    rules: 'Anhoej' calls a run too long beyond log2(n) + 3 points, or crossings of the median too few below
    the 5% point of a binomial distribution (n: points not on the median); 'Perla' looks for shifts of 6
    points on one side, trends of 5 and too few or too many runs. With fewer than 10 points no rule is
    applied. With a denominator the values are outcome / denominator x `per`; several rows in a period are
    averaged. Periods without a value have no point.

    A chart says that something changed, never why. Raises DesignError when fields contradict each other.
    Source: Anhoej and Olesen 2014; Perla, Provost and Murray 2011; checked against R qicharts2 0.8.1.

    >>> RunChart(outcome="waits", time="month", better="lower")
    RunChart(outcome='waits', time='month', better='lower')
    """

    title: ClassVar[str] = "Run chart"

    rules: str = choice(("Anhoej", "Perla"), "the rules that tell a signal from chance", default="Anhoej")

    @property
    def chart(self) -> str:
        """Which chart: its name in `qieval.charts.kinds`."""
        return "run"

    @property
    def signal_rules(self) -> str:
        """The name of the rules that tell signals."""
        return self.rules


@dataclass(frozen=True, kw_only=True, repr=False)
class ControlChart(ChartDesign):
    """Follow a measure over time between limits that its own chance variation sets (Shewhart chart).

    kind: by default chosen from the type of the data, with the reason among the facts. p: outcome of
    denominator (a person counts once); u: events per exposure; c: events over equal exposure; p' and u':
    the same with limits that allow for more variation than chance (Laney); xbar and s: means and standard
    deviations of several rows a period; i and mr: single measurements and their changes; g and t: cases,
    days or time between rare events. For g and t the outcome holds the intervals, one row an event, or,
    with intervals='between dates of events', the number of events on each date: intervals are then days, or
    the sum of the denominator, from one event to the next. `better` is always that of the outcome: where
    fewer events are better, longer intervals computed from them are drawn as better.

    rules: 'Anhoej' (a point outside the limits, a run longer than log2(n) + 3, or fewer crossings of the
    centre line than the 5% point of a binomial distribution), 'Making Data Count' (a point outside, 7 in a
    row on one side, a trend of 7, 2 of 3 near a limit) or 'Western Electric' (zone rules). With fewer than
    10 points no rule is applied.

    limits_as: '3 sigma' takes 3 mean moving ranges / 1.128, 'Making Data Count 2.66' takes 2.66 of them (I
    and MR charts). screen_moving_ranges: moving ranges beyond 3.267 times their mean are left out once, as
    both reference programs do.

    A chart says that something changed, never why. Raises DesignError when fields contradict each other.
    Source: Provost and Murray 2011; Mohammed, Worthington and Woodall 2008; Laney 2002; NHS England, Making
    Data Count; checked against R qicharts2 0.8.1 and NHSRplotthedots 0.1.0.

    >>> ControlChart(outcome="falls", time="month", denominator="bed_days", per=1000, better="lower")
    ControlChart(outcome='falls', time='month', denominator='bed_days', per=1000, better='lower')
    """

    title: ClassVar[str] = "Control chart"

    kind: str = choice(
        (CHOSEN, *KINDS), "which chart; by default the one that fits the type of the data", default=CHOSEN
    )
    rules: str = choice(
        ("Anhoej", "Making Data Count", "Western Electric"),
        "the rules that tell a signal from chance",
        default="Anhoej",
    )
    limits_as: str = choice(
        ("3 sigma", "Making Data Count 2.66"),
        "how the limits of single measurements are computed from the mean moving range",
        default="3 sigma",
    )
    screen_moving_ranges: str = choice(
        ("leave out extreme ones", "keep all"),
        "whether extreme changes from point to point widen the limits",
        default="leave out extreme ones",
    )
    intervals: str = choice(
        ("in the outcome", "between dates of events"),
        "for g and t charts: whether the outcome holds the intervals between events, or the number of events"
        " on each date",
        default="in the outcome",
        step="data",
    )

    @property
    def chart(self) -> str:
        """Which chart: its name in `qieval.charts.kinds`, or 'chosen from the data'."""
        return self.kind

    @property
    def signal_rules(self) -> str:
        """The name of the rules that tell signals."""
        return self.rules

    @property
    def rounded_constants(self) -> bool:
        """Whether limits of single values are 2.66 mean moving ranges."""
        return self.limits_as == "Making Data Count 2.66"

    @property
    def screened(self) -> bool:
        """Whether extreme moving ranges are left out."""
        return self.screen_moving_ranges == "leave out extreme ones"

    @property
    def from_dates(self) -> bool:
        """Whether intervals are computed from dates of events."""
        return self.intervals == "between dates of events"

    def _contradictions(self) -> list[str]:
        found = super()._contradictions()
        if self.kind in (*PROPORTIONS, *RATES) and self.denominator is None:
            found.append(
                f"denominator: a {self.kind} chart shows events out of a number or an exposure, and no column"
                " of it is named. Name it, or choose a c chart (counts) or an i chart (measurements)."
            )
        if self.kind in ("c", "xbar", "s") and self.denominator is not None:
            found.append(
                f"denominator: a {self.kind} chart does not use a denominator, which would be passed over in"
                " silence. Remove it, or choose a p or u chart."
            )
        if self.from_dates and self.kind not in (CHOSEN, *INTERVALS):
            found.append(
                f"intervals: intervals between dates of events are drawn on a g or t chart, not on a"
                f" {self.kind} chart. Choose kind='g' or 't', or leave intervals as they are."
            )
        if self.kind in INTERVALS and self.denominator is not None and not self.from_dates:
            found.append(
                "denominator: the outcome holds the intervals already, so a denominator says nothing more."
                " Remove it, or set intervals='between dates of events'."
            )
        return found
