"""Which chart fits a table, asked for on its own."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from qieval import markup
from qieval.chart_design import ChartDesign
from qieval.charts.kinds import ABOUT, CHOSEN
from qieval.charts.points import read_points


@dataclass(frozen=True)
class ChosenChart:
    """The chart that fits: its kind (as a ControlChart takes it), the reason, and what to know about it."""

    kind: str
    why: str
    notes: tuple[str, ...]

    @property
    def title(self) -> str:
        """The name of the chart."""
        return ABOUT[self.kind].title

    def _repr_html_(self) -> str:
        return markup.card(self.title, markup.paragraph(self.why) + markup.bullets(self.notes))


@dataclass(frozen=True, kw_only=True, repr=False)
class _AnyChart(ChartDesign):
    """A design that leaves the chart to the data."""

    @property
    def chart(self) -> str:
        """Chosen from the data."""
        return CHOSEN

    @property
    def signal_rules(self) -> str:
        """The usual rules."""
        return "Anhoej"


def choose_chart(
    data: pd.DataFrame, outcome: str, time: str, denominator: str | None = None, *, per: float = 1
) -> ChosenChart:
    """Which control chart fits the type of the data, and why.

    Counts out of a number are proportions (p), counts per exposure rates (u), both with Laney's limits (p',
    u') where denominators are in the thousands and points vary more or less than chance; counts alone are c;
    rare events on daily data g; several rows a period xbar; everything else single measurements (i).
    DataError when the data fit no chart, as `ControlChart` would say.

    >>> falls = pd.DataFrame({"month": range(5), "falls": [3, 5, 2, 6, 4], "days": [910, 930, 905, 960, 921]})
    >>> choose_chart(falls, "falls", "month", "days", per=1000).kind
    'u'
    """
    design = _AnyChart(outcome=outcome, time=time, denominator=denominator, per=per)
    points = read_points(design, data)
    return ChosenChart(points.chart, points.why, points.notes)
