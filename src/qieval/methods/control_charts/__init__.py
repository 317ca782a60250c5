"""Run charts and control charts: whether a measure changed more than chance would make it, never why."""

from qieval.methods.control_charts.assumptions import ASSUMPTIONS, RUN_CHART_ASSUMPTIONS
from qieval.methods.control_charts.chart import estimate, parse
from qieval.methods.control_charts.design import ControlChart, RunChart
from qieval.methods.control_charts.many import can_share, many

__all__ = [
    "ASSUMPTIONS",
    "RUN_CHART_ASSUMPTIONS",
    "ControlChart",
    "RunChart",
    "can_share",
    "estimate",
    "many",
    "parse",
]
