"""The methods, one entry each: read by the verbs, the chooser, the command line, the contract tests and the
README.

`CATALOGUE` holds the methods of evaluation, `CHARTS` those that follow a measure for improvement.
"""

from __future__ import annotations

import pandas as pd

from qieval.catalogue.donors import DONORS
from qieval.catalogue.entry import Method
from qieval.catalogue.improvement import IMPROVEMENT
from qieval.catalogue.natural_experiments import NATURAL_EXPERIMENTS
from qieval.catalogue.panels import PANELS
from qieval.catalogue.series import SERIES
from qieval.catalogue.similar_people import SIMILAR_PEOPLE
from qieval.design import Design
from qieval.errors import DesignError, nearest

CATALOGUE: tuple[Method, ...] = (*PANELS, *DONORS, *SERIES, *SIMILAR_PEOPLE, *NATURAL_EXPERIMENTS)
CHARTS: tuple[Method, ...] = IMPROVEMENT

__all__ = ["CATALOGUE", "CHARTS", "Method", "method_named", "method_of", "methods"]


def method_of(design: Design | type[Design]) -> Method:
    """The catalogue entry of a design."""
    wanted = design if isinstance(design, type) else type(design)
    for method in (*CATALOGUE, *CHARTS):
        if method.design is wanted:
            return method
    raise DesignError(f"design: {wanted.__name__} is not a method of the catalogue. Use one of {_names()}.")


def method_named(name: str) -> Method:
    """The entry by the name of its design, its title or its stem ('difference_in_differences'); case does
    not matter."""
    wanted = name.lower().replace("-", "_").replace(" ", "_")
    for method in (*CATALOGUE, *CHARTS):
        if wanted in (
            method.stem,
            method.design.__name__.lower(),
            method.title.lower().replace("-", "_").replace(" ", "_"),
        ):
            return method
    known = [method.stem for method in (*CATALOGUE, *CHARTS)]
    raise DesignError(
        f"method: '{name}' is not known.{nearest(wanted, known)} The methods are: {', '.join(known)}."
    )


def methods() -> pd.DataFrame:
    """The methods as a table: method, design, question, strengths, limits, source.

    >>> methods().loc[0, "design"]
    'DifferenceInDifferences'
    """
    return pd.DataFrame(
        {
            "method": method.title,
            "design": method.design.__name__,
            "question": method.question,
            "strengths": method.strengths,
            "limits": method.limits,
            "source": method.source,
        }
        for method in CATALOGUE
    )


def _names() -> str:
    return ", ".join(method.design.__name__ for method in (*CATALOGUE, *CHARTS))
