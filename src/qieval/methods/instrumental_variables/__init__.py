"""Instrumental variables: what moved who received something, and has no other way to the outcome."""

from typing import Any

import pandas as pd

from qieval.instrumented import fitted_first_stage
from qieval.instrumented import read as parse
from qieval.instrumented.fit import FirstStage
from qieval.methods.instrumental_variables.assumptions import ASSUMPTIONS
from qieval.methods.instrumental_variables.design import InstrumentalVariables
from qieval.methods.instrumental_variables.effect import estimate


def blind(design: Any, frame: pd.DataFrame) -> FirstStage:
    """The first stage, with every outcome closed."""
    return fitted_first_stage(design, parse(design, frame, blind=True))


__all__ = ["ASSUMPTIONS", "InstrumentalVariables", "blind", "estimate", "parse"]
