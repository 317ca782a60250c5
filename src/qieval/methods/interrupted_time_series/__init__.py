"""Interrupted time series: one series, many points before and after."""

from qieval.methods.interrupted_time_series.assumptions import ASSUMPTIONS
from qieval.methods.interrupted_time_series.design import InterruptedTimeSeries
from qieval.methods.interrupted_time_series.effect import blind, estimate, parse
from qieval.methods.interrupted_time_series.many import can_share, many

__all__ = ["ASSUMPTIONS", "InterruptedTimeSeries", "blind", "can_share", "estimate", "many", "parse"]
