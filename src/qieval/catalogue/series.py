"""Methods for one series over time."""

from __future__ import annotations

from functools import partial

from qieval.catalogue.entry import Method
from qieval.methods import (
    interrupted_time_series,
)

SERIES: tuple[Method, ...] = (
    Method(
        design=interrupted_time_series.InterruptedTimeSeries,
        estimate=interrupted_time_series.estimate,
        refit=partial(interrupted_time_series.estimate, brief=True),
        parse=interrupted_time_series.parse,
        blind=interrupted_time_series.blind,
        assumptions=interrupted_time_series.ASSUMPTIONS,
        checks=(),
        design_checks=(),
        plots=(),
        together=(interrupted_time_series.can_share, interrupted_time_series.many),
        stem="interrupted_time_series",
        question="Did the level or the trend of a series change when the intervention came?",
        strengths=(
            "Needs no comparison group and only one value a period, allows for the trend and the season that"
            " were there before, and shows how the effect comes and goes over time."
        ),
        limits=(
            "Cannot exclude that something else happened at the same time; needs many points before and"
            " after; values near in time are alike, which misleads about chance unless it is allowed for."
        ),
        source="Clarke et al. 2019, BMJ 365:l2239, table 2; Wagner et al. 2002; Bernal et al. 2017",
    ),
)
