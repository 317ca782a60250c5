"""JupyterLab on the start page: a folder with the notebooks, the command, and its environment."""

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

HERE = Path(__file__).parent
TEMPLATES = HERE / "templates"
JUPYTER_CONFIG = HERE / "jupyter_config"
STUDIES = "qieval-studies"
START_PAGE = "start.ipynb"
WORKED = "worked"


def prepare(directory: Path) -> list[Path]:
    """Put the start page, the templates and the worked studies into `directory`/qieval-studies.

    Returns the new files. A file that is already there belongs to the user and stays as it is. Folders are
    made when they are missing.
    """
    studies = directory / STUDIES
    wanted = {studies / source.name: source for source in sorted(TEMPLATES.glob("*.ipynb"))}
    wanted |= {studies / WORKED / source.name: source for source in sorted(worked_studies().glob("*.ipynb"))}
    lacking = {target: source for target, source in wanted.items() if not target.exists()}
    for target, source in lacking.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    return list(lacking)


def worked_studies() -> Path:
    """The folder of the worked studies: beside this package in a checkout, else where the wheel puts them."""
    beside = HERE.parent / "notebooks"
    return beside if beside.is_dir() else Path(sysconfig.get_path("data")) / "share" / "qieval" / WORKED


def command(directory: Path, *, port: int | None = None, browser: bool = True) -> list[str]:
    """The command that starts JupyterLab in `directory` and opens the start page.

    port: None leaves the choice to Jupyter (8888, or the next free one). The login token of Jupyter stays on.
    An administrator on a Unix machine (user id 0) must be let in by a switch of its own.
    """
    words = [sys.executable, "-m", "jupyterlab"]
    words += [
        f"--ServerApp.root_dir={directory.resolve()}",
        f"--LabApp.default_url=/lab/tree/{STUDIES}/{START_PAGE}",
    ]
    if port is not None:
        words.append(f"--port={port}")
    if not browser:
        words.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        words.append("--allow-root")
    return words


def environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """The environment for JupyterLab: the inherited one, with our settings on Jupyter's search path.

    They silence the question about Jupyter news, which would cover the start page, and leave the sample of
    the extension that draws the launcher's card of templates off that card. They are defaults: what the user
    has chosen in JupyterLab's settings wins, and nothing of the user's is written.
    """
    paths = [str(JUPYTER_CONFIG), *filter(None, [inherited.get("JUPYTER_CONFIG_PATH")])]
    return {**inherited, "JUPYTER_CONFIG_PATH": os.pathsep.join(paths)}


def serve(words: list[str], variables: Mapping[str, str]) -> int:
    """Run JupyterLab until it ends and return its exit code. Ctrl-C reaches Jupyter, which asks first."""
    with subprocess.Popen(words, env=dict(variables)) as server:

        def stop_server(_number: int, _frame: FrameType | None) -> None:
            server.terminate()

        before = signal.signal(signal.SIGTERM, stop_server)
        try:
            return _wait(server)
        finally:
            signal.signal(signal.SIGTERM, before)


def _wait(server: subprocess.Popen[bytes]) -> int:
    while True:
        try:
            return server.wait()
        except KeyboardInterrupt:
            # The terminal sends Ctrl-C to Jupyter as well, which answers it with a question.
            continue
