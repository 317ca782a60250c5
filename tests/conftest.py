"""What tests in every folder may ask for, and how they are shared out among workers."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
BROWSER = "tests/browser/"
SIMULATIONS = "tests/recovery/"


class ByWhatIsShared(LoadScopeScheduling):
    """Tests of a file stay together, since they share fixtures; all browser tests share one server.

    Simulations are long and share nothing, so each goes to the next free worker.
    """

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(BROWSER):
            return BROWSER
        return nodeid if nodeid.startswith(SIMULATIONS) else nodeid.split("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Use our own rule; the groups of pytest-xdist 3.8 are not seen by pytest 9.2."""
    return ByWhatIsShared(config, log)


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder of the repository."""
    return ROOT


def _sicily() -> str:
    return (SHARED / "scits_sicily.csv").read_bytes().decode()


def _seat_belts() -> str:
    names = ["DriversKilled", "drivers", "front", "rear", "kms", "PetrolPrice", "VanKilled", "law"]
    rows = pd.read_csv(SHARED / "scits_seatbelts.csv", dtype="str")[names]
    header = ",".join(f'"{name}"' for name in ["", *names])
    lines = [f'"{number}",' + ",".join(row) for number, row in enumerate(rows.to_numpy(), start=1)]
    return "\n".join([header, *lines, ""])


def _attendances() -> str:
    header, *rows = (SHARED / "nhsr_ae_attendances.csv").read_text().replace('"', "").split()
    lines = [f"{number},{row}" for number, row in enumerate(rows, start=1)]
    return "\n".join([f"index,{header}", *lines, ""]).replace(",NAX,", ',"NAX",')


def _tobacco() -> str:
    frame = pd.read_csv(SHARED / "scits_prop99_smoking.csv")
    numbers = frame.drop(columns="state").astype("float32").to_numpy()
    cells = [["" if np.isnan(value) else str(value) for value in row] for row in numbers]
    lines = [",".join([state, *row]) for state, row in zip(frame["state"], cells, strict=True)]
    return "\n".join([",".join(frame.columns), *lines, ""])


@pytest.fixture(scope="session")
def public_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the public files; the test is skipped where the copies are absent."""
    if not SHARED.is_dir():
        pytest.skip("the copies of the public data are not on this machine")
    folder = tmp_path_factory.mktemp("public")
    made = {
        "sicily.csv": _sicily(),
        "seatbelts.csv": _seat_belts(),
        "ae_attendances.csv": _attendances(),
        "smoking_data.csv": _tobacco(),
        "mpdta.csv": (SHARED / "did_mpdta.csv").read_text(encoding="utf-8"),
    }
    for name, text in made.items():
        (folder / name).write_bytes(text.encode())
    return folder
