"""What tests in every folder may ask for, and how they are shared out among workers."""

from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).resolve().parents[1]
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
