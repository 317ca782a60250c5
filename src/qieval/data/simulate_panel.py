"""A light Gaussian panel for recovery tests and teaching."""

import numpy as np
import pandas as pd

from qieval.data.simulate_events import ar1
from qieval.errors import DesignError


def simulate_panel(
    n_units: int = 50,
    n_periods: int = 20,
    n_treated: int = 25,
    effect: float = 0.0,
    rho: float = 0.0,
    seed: int = 1,
) -> pd.DataFrame:
    """A balanced panel y = unit effect + period effect + effect x treated x (time >= start) + AR(1) error.

    Unit effects, period effects and errors have variance 1; errors have autocorrelation `rho` and begin in
    their stationary distribution. `time` runs from 0 and the start is n_periods // 2; units 0 to n_treated -
    1 are treated. Returns columns unit (int), time (int), treated (0/1), y. Raises DesignError for numbers
    that make no panel.

    >>> frame = simulate_panel(10, 6, 4, effect=1.0, seed=3)
    >>> list(frame), len(frame), int(frame["treated"].sum())
    (['unit', 'time', 'treated', 'y'], 60, 24)
    """
    found = []
    if not 0 <= n_treated <= n_units:
        found.append(f"n_treated: {n_treated} lies outside 0 to n_units ({n_units}).")
    if n_units < 1 or n_periods < 1:
        found.append(f"n_units, n_periods: {n_units} x {n_periods} makes no panel. Both must be at least 1.")
    if not -1 < rho < 1:
        found.append(
            f"rho: {rho} does not lie between -1 and 1, so the errors would have no finite variance."
        )
    if found:
        raise DesignError(found)
    rng = np.random.default_rng(seed)
    unit, time = np.repeat(np.arange(n_units), n_periods), np.tile(np.arange(n_periods), n_units)
    treated = (unit < n_treated).astype(int)
    own, shared = rng.standard_normal(n_units), rng.standard_normal(n_periods)
    errors = ar1((n_units, n_periods), rho, rng).ravel()
    y = own[unit] + shared[time] + effect * treated * (time >= n_periods // 2) + errors
    return pd.DataFrame({"unit": unit, "time": time, "treated": treated, "y": y})
