"""Tables behind the pictures: intervals piece by piece, and means by groups of the instrument."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy

from qieval.instrumented.fit import FirstStage, Fitted
from qieval.instrumented.words import set_in_words

MOST_BINS = 20
FEWEST_IN_BIN = 10
"""Means of fewer people than this are not shown, since they would describe persons."""


def interval_table(fitted: Fitted) -> pd.DataFrame:
    """A row for each piece of each interval: label, estimate, conf_low, conf_high, p_value, in words."""
    rows = []
    for way in fitted.ways:
        for low, high in way.held.intervals or ((np.nan, np.nan),):
            rows.append(
                {
                    "label": way.kind,
                    "estimate": fitted.estimate,
                    "conf_low": low,
                    "conf_high": high,
                    "p_value": way.p_value,
                    "in words": set_in_words(way.held),
                }
            )
    return pd.DataFrame(rows)


def means_by_instrument(first: FirstStage, level: float) -> pd.DataFrame:
    """Mean outcome and what was received by groups of the instrument, adjusted for covariates.

    Columns at, what ('outcome', 'received'), mean, low, high. Several instruments are combined by their first
    stage. Groups are the values of the instrument, or up to 20 of about equal size; those of fewer than ten
    rows are left out. Adjusted means add the overall mean to the residual on covariates, with slopes from the
    regression on covariates and instrument.
    """
    made = first.made
    by = first.kept[:, 0] if first.parts.k == 1 else first.push
    code = _groups(by)
    weight = np.ones(len(by)) if made.weights is None else made.weights
    columns = {"outcome": made.y, "received": made.x}
    total = np.bincount(code, weight)
    shown = np.bincount(code) >= FEWEST_IN_BIN
    at = np.bincount(code, weight * by) / total
    half = float(scipy.special.ndtri((1 + level) / 2))
    pieces = []
    for what, held in columns.items():
        adjusted = _adjusted(held, by, made.controls, weight)
        mean = np.bincount(code, weight * adjusted) / total
        spread = (weight * (adjusted - mean[code])) ** 2
        error = np.sqrt(np.bincount(code, spread)) / total
        piece = {
            "at": at,
            "what": what,
            "mean": mean,
            "low": mean - half * error,
            "high": mean + half * error,
        }
        pieces.append(pd.DataFrame(piece)[shown])
    return pd.concat(pieces, ignore_index=True)


def _groups(by: np.ndarray) -> np.ndarray:
    """Codes 0.. of groups of neighbouring values."""
    values, code = np.unique(by, return_inverse=True)
    if len(values) <= MOST_BINS:
        return np.asarray(code)
    bins = int(np.clip(len(by) // (2 * FEWEST_IN_BIN), 2, MOST_BINS))
    edges = np.unique(np.quantile(by, np.linspace(0, 1, bins + 1)[1:-1]))
    return np.unique(np.searchsorted(edges, by, side="left"), return_inverse=True)[1]


def _adjusted(y: np.ndarray, by: np.ndarray, controls: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """y (n,) without what the covariates say beyond the instrument, about its mean."""
    if controls.shape[1] == 1:
        return y
    root = np.sqrt(weight)[:, None]
    design = np.column_stack([controls, by - by.mean()]) * root
    scale = np.linalg.norm(design, axis=0)
    slopes = np.linalg.lstsq(design / scale, y * root[:, 0], rcond=None)[0] / scale
    return np.asarray(y - controls[:, 1:] @ slopes[1:-1])
