"""Reference numbers and data (skipped where the shared folder is absent), and slow dense versions."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

SHARED = Path(__file__).resolve().parents[3] / "shared"


@pytest.fixture(scope="session")
def reference() -> Callable[[str], dict[str, Any]]:
    """A case of did.json by its id."""
    file = SHARED / "reference" / "did.json"
    if not file.exists():
        pytest.skip("reference numbers: the folder 'shared' beside the repository is absent")
    cases = {case["id"]: case for case in json.loads(file.read_text())["cases"]}
    return cases.__getitem__


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], pd.DataFrame]:
    """A data file of the shared folder by name."""

    def read(name: str) -> pd.DataFrame:
        if not (SHARED / "data" / name).exists():
            pytest.skip("reference data: the folder 'shared' beside the repository is absent")
        return pd.read_csv(SHARED / "data" / name)

    return read


@pytest.fixture(scope="session")
def codes() -> Callable[..., np.ndarray]:
    """Integer codes of a column."""
    return lambda column: np.unique(np.asarray(column), return_inverse=True)[1]


class Dense:
    """The textbook version: explicit dummies, weighted QR, sandwich from rows."""

    def __init__(self, unit, time, y, columns, weights=None):
        w = np.ones(len(y)) if weights is None else weights
        self.root = np.sqrt(w)
        dummies = [np.eye(unit.max() + 1)[unit], np.eye(time.max() + 1)[time][:, 1:]]
        self.p = columns.shape[1]
        self.design = np.hstack([columns, *dummies]) * self.root[:, None]
        self.beta_all = np.linalg.lstsq(self.design, y * self.root, rcond=None)[0]
        self.beta = self.beta_all[: self.p]
        self.error = (y * self.root - self.design @ self.beta_all) / self.root
        self.bread = np.linalg.pinv(self.design.T @ self.design, hermitian=True)

    def meat(self, groups) -> np.ndarray:
        scores = self.design * (self.root * self.error)[:, None]
        sums = np.zeros((groups.max() + 1, scores.shape[1]))
        np.add.at(sums, groups, scores)
        return (self.bread @ sums.T @ sums @ self.bread)[: self.p, : self.p]

    def iid(self) -> np.ndarray:
        return (self.bread * np.sum((self.root * self.error) ** 2))[: self.p, : self.p]


@pytest.fixture(scope="session")
def dense() -> type[Dense]:
    return Dense


@pytest.fixture(scope="session")
def random_panel() -> Callable[..., dict[str, np.ndarray]]:
    """Unbalanced panel with covariates, an effect, weights and clusters of several units; rows shuffled."""

    def make(seed: int, units: int = 30, periods: int = 7, k: int = 2, missing: float = 0.2):
        rng = np.random.default_rng(seed)
        unit, time = np.repeat(np.arange(units), periods), np.tile(np.arange(periods), units)
        keep = rng.permutation(np.flatnonzero(rng.random(unit.size) > missing))
        unit, time = unit[keep], time[keep]
        treated = unit % 3 == 0
        after = time >= periods // 2
        x = rng.standard_normal((unit.size, k)) + 0.1 * unit[:, None]
        cluster = unit // 3
        noise = rng.standard_normal(unit.size) + rng.standard_normal(units)[cluster] * time * 0.2
        y = unit * 0.5 + np.sin(time) + (treated & after) * 1.5 + x.sum(axis=1) + noise
        code = np.where(treated & (time != periods // 2 - 1), time - (time >= periods // 2), -1)
        return {
            "unit": unit,
            "time": time,
            "y": y,
            "x": x,
            "d": (treated & after).astype(float),
            "code": code,
            "cluster": cluster,
            "weights": rng.uniform(0.2, 3.0, unit.size),
            "crossing": rng.integers(0, 8, unit.size),
            "after": after.astype(float),
        }

    return make
