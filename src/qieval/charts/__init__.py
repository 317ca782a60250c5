"""Improvement charts: which chart fits, funnels of organisations, safety crosses, families of measures."""

from qieval.charts.chosen import ChosenChart, choose_chart
from qieval.charts.family import Family, family
from qieval.charts.funnel import Funnel, funnel
from qieval.charts.safety import SafetyCross, safety_cross

__all__ = [
    "ChosenChart",
    "Family",
    "Funnel",
    "SafetyCross",
    "choose_chart",
    "family",
    "funnel",
    "safety_cross",
]
