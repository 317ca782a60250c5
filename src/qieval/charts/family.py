"""A family of measures: outcome, process and balancing measures on small charts beside each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from qieval import markup
from qieval.chart_design import ChartDesign
from qieval.charts.compute import Chart, make_chart
from qieval.charts.kinds import ABOUT
from qieval.errors import DataError, DesignError, QievalError
from qieval.progress import progress
from qieval.text import listed, plural

USUAL_MOST, MOST = 7, 10
"""Four to seven measures are usual; beyond ten nobody can follow them (Provost and Murray 2011)."""
TYPES = ("outcome", "process", "balancing")


@dataclass(frozen=True, eq=False, repr=False)
class Family:
    """Charts of several measures: names, designs and charts in order, and what should be known about them.

    `table` has one row per measure: measure, type, chart, points, last, centre, signals, variation,
    assurance. Draw it with `qe.plot`.
    """

    names: tuple[str, ...]
    designs: tuple[ChartDesign, ...]
    charts: tuple[Chart, ...]
    notes: tuple[str, ...] = ()

    @property
    def table(self) -> pd.DataFrame:
        """One row per measure."""
        return pd.DataFrame([self._row(at) for at in range(len(self.names))])

    def _row(self, at: int) -> dict[str, object]:
        chart = self.charts[at]
        line = chart.lines().iloc[-1]
        seen = chart.limits.value[~pd.isna(chart.limits.value)]
        return {
            "measure": self.names[at],
            "type": self.designs[at].measure,
            "chart": ABOUT[chart.points.chart].title,
            "points": str(int(chart.points.counted.sum())),
            "last": float(seen[-1]),
            "centre": line["centre"],
            "signals": str(len(chart.signals)) if chart.enough else "too few points",
            "variation": chart.variation,
            "assurance": "" if chart.target is None else chart.assurance,
        }

    def __repr__(self) -> str:
        return "\n".join([self.table.to_string(index=False), *(f"Note: {note}" for note in self.notes)])

    def _repr_html_(self) -> str:
        return markup.card("Family of measures", markup.frame_table(self.table) + markup.bullets(self.notes))


def family(
    designs: Mapping[str, ChartDesign] | Sequence[ChartDesign],
    data: pd.DataFrame | Mapping[str, pd.DataFrame],
) -> Family:
    """The charts of several measures of one piece of work.

    designs: RunChart and ControlChart designs by name of the measure, or in a row (the outcome is then the
    name); their field `measure` says whether they are outcome, process or balancing measures. data: one
    table for all, or one by name. Notes tell when a type is missing, or when there are more than about seven
    to ten measures. DesignError without designs or with repeated names; DataError names the measure that
    cannot be drawn.

    >>> import qieval as qe
    >>> data = pd.DataFrame({"month": range(12), "waits": [9.0, 8, 9, 7, 8, 9, 8, 7, 9, 8, 7, 8]})
    >>> family([qe.RunChart(outcome="waits", time="month", measure="outcome")], data).table.loc[0, "chart"]
    'Run chart'
    """
    named = dict(designs) if isinstance(designs, Mapping) else _named(designs)
    if not named:
        raise DesignError(["designs: there is no design, so there is no chart to draw. Give one or more."])
    for name, design in named.items():
        if not isinstance(design, ChartDesign):
            raise DesignError(
                [f"designs: '{name}' is a {type(design).__name__}; a family holds RunChart and ControlChart."]
            )
    charts = tuple(_chart(name, design, data) for name, design in progress(list(named.items()), "charts"))
    return Family(tuple(named), tuple(named.values()), charts, _notes(tuple(named.values()), charts))


def _named(designs: Sequence[ChartDesign]) -> dict[str, ChartDesign]:
    names = [str(getattr(design, "outcome", design)).replace("_", " ") for design in designs]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise DesignError(
            [f"designs: '{twice[0]}' occurs more than once. Give the designs by name: {{'name': design}}."]
        )
    return dict(zip(names, designs, strict=True))


def _chart(name: str, design: ChartDesign, data: pd.DataFrame | Mapping[str, pd.DataFrame]) -> Chart:
    if isinstance(data, Mapping) and name not in data:
        raise DataError(f"data: there is no table for '{name}'. There are: {listed(data)}.")
    frame = data[name] if isinstance(data, Mapping) else data
    try:
        return make_chart(design, frame)
    except QievalError as cause:
        raise type(cause)([f"{name}: {problem}" for problem in cause.problems]) from cause


def _notes(designs: tuple[ChartDesign, ...], charts: tuple[Chart, ...]) -> tuple[str, ...]:
    found = []
    many = len(designs)
    if many > USUAL_MOST:
        found.append(
            f"{plural(many, 'measure')} are more than {'anyone can follow' if many > MOST else 'usual'}:"
            f" about four to {USUAL_MOST} serve best, and each further chart adds false alarms."
        )
    kinds = {design.measure for design in designs}
    if lacking := [kind for kind in TYPES if kind not in kinds]:
        unsaid = sum(design.measure == "not stated" for design in designs)
        also = f" ({plural(unsaid, 'measure')} without a stated type)" if unsaid else ""
        found.append(
            f"No {' and no '.join(lacking)} measure{also}. A family needs all three: what patients get,"
            " whether the change is carried out, and what it may harm elsewhere."
        )
    signals = sum(bool(chart.signals) for chart in charts)
    shows = "shows" if signals == 1 else "show"
    found.append(
        f"{plural(signals, 'chart')} of {many} {shows} a signal. With many charts some do so by chance alone."
    )
    return tuple(found)
