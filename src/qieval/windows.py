"""Windows of periods in words, such as '1980 to 1988' or '1975; 1980; 1988', as codes of periods."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from qieval.periods import Periods

RANGE = " to "
COARSE = re.compile(r"^\d{4}(-?Q[1-4]|-\d{2})?$")
"""A year, a quarter or a month."""
EXAMPLES = "Write a period such as 1988, or a range such as 1980 to 1988"


@dataclass(frozen=True, eq=False)
class Window:
    """Periods of which one mean is taken: its words and the codes of its periods (m,)."""

    words: str
    codes: np.ndarray


def windows(said: str, periods: Periods, before: int) -> list[Window]:
    """The windows that the words name; each is one predictor, the mean over its periods.

    ';' separates windows, ',' joins periods of one window and 'to' makes a range, both ends included; of
    data by month '2019' stands for all months of that year. Nothing stands for all periods before `before`,
    'each' for each of them on its own. ValueError when a period cannot be read, does not occur, or lies at
    or after `before`.

    >>> import pandas as pd
    >>> from qieval.periods import read_periods
    >>> years = read_periods(pd.Series([1970, 1971, 1972, 1973]))
    >>> [(window.words, window.codes.tolist()) for window in windows("1970 to 1971; 1972", years, 3)]
    [('1970 to 1971', [0, 1]), ('1972', [2])]
    """
    if not said.strip():
        return [Window("all periods before the start", np.arange(before))]
    if said.strip().lower() == "each":
        return [Window(label, np.array([code])) for code, label in enumerate(periods.shown()[:before])]
    parts = [part.strip() for part in said.split(";") if part.strip()]
    if not parts:
        raise ValueError(f"'{said}' names no period. {EXAMPLES}")
    return [_window(part, periods, before) for part in parts]


def _window(part: str, periods: Periods, before: int) -> Window:
    codes = np.unique(np.concatenate([_stretch(item.strip(), periods) for item in part.split(",")]))
    if (codes >= before).any():
        raise ValueError(
            f"'{part}' reaches to {periods.shown()[int(codes.max())]}, which is not before the start (or"
            " within its anticipation); the intervention may already have changed it. Use earlier periods"
        )
    return Window(part, codes)


def _stretch(item: str, periods: Periods) -> np.ndarray:
    ends = [end.strip() for end in item.split(RANGE)]
    if len(ends) > 2 or not all(ends):
        raise ValueError(f"'{item}' cannot be read. {EXAMPLES}")
    first = periods.first_at_or_after(_moment(ends[0], periods))
    last = periods.last_at_or_before(_end(ends[-1], periods))
    shown = periods.shown()
    if first > last:
        raise ValueError(
            f"no period of the data lies in '{item}' (they run from {shown[0]} to {shown[-1]}). Correct the"
            " periods, and write the earlier one first"
        )
    if periods.kind != "date" and periods.last_at_or_before(_moment(ends[0], periods)) < 0:
        raise ValueError(f"'{item}' begins before the data do ({shown[0]}). Use periods of the data")
    return np.arange(first, last + 1)


def _end(said: str, periods: Periods) -> int | str:
    """The last moment of what is said: a year ends with its last day, a quarter and a month likewise."""
    moment = _moment(said, periods)
    periods.last_at_or_before(moment)  # complains about what is no date
    if isinstance(moment, int) or not COARSE.match(moment):
        return moment
    return str(pd.Period(moment).end_time.date())


def _moment(said: str, periods: Periods) -> int | str:
    if periods.kind != "number":
        return said
    try:
        return int(said)
    except ValueError:
        raise ValueError(
            f"'{said}' is not a whole number, as the times of the data are. {EXAMPLES}"
        ) from None
