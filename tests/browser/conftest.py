"""A real JupyterLab, started as `make lab` starts it, in a real Chromium.

A test asks for the fixture `lab` and gets a `Lab`. All tests here are marked `browser` and share one server,
so they run one after the other. Without Chromium they are skipped, or fail where QIEVAL_REQUIRE_BROWSER is
set. When a test fails, what the page showed is kept in ci-artifacts/failed-<test>.png, and the server's log
in jupyter.log beside it.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect, sync_playwright

from qi_notebooks import lab as jupyterlab

ROOT = Path(__file__).parents[2]
ARTIFACTS = ROOT / "ci-artifacts"
LOOPBACK = "127.0.0.1"
START_SECONDS = 60
SLOW = 60_000
"""Milliseconds that a step may take on a busy machine."""
QUIET_CHECKS = 4
PRIVATE = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
WORKSPACES = "JUPYTER_CONFIG_DIR/lab/workspaces"
CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

NOTEBOOK_READY = """async () => {
    const app = window.jupyterapp; await app.restored;
    const panel = app.shell.currentWidget;
    await panel.context.ready; await panel.sessionContext.ready;
    await panel.sessionContext.session.kernel.info;
}"""
RUN_ALL = "() => window.jupyterapp.commands.execute('notebook:run-all-cells')"
SAVE = "() => window.jupyterapp.commands.execute('docmanager:save')"
SHUT_DOWN = "() => window.jupyterapp && window.jupyterapp.serviceManager.sessions.shutdownAll()"
IS_IDLE = """() => {
    const panel = window.jupyterapp.shell.currentWidget;
    const prompts = Array.from(panel.node.querySelectorAll('.jp-InputPrompt'), cell => cell.textContent);
    return panel.sessionContext.session.kernel.status === 'idle' && !prompts.some(text => text.includes('*'));
}"""
STORED_ERRORS = """() => Array.from(window.jupyterapp.shell.currentWidget.context.model.cells)
    .filter(cell => cell.type === 'code')
    .flatMap(cell => cell.sharedModel.getOutputs())
    .filter(output => output.output_type === 'error')
    .map(output => output.ename + ': ' + output.evalue)"""


class Lab:
    """One page of JupyterLab, driven as a person would.

    `page` is the Playwright page and `folder` the working folder of the server, where a test may put files.
    `refused` lists the addresses outside this machine that the page asked for (they are never fetched).
    """

    def __init__(self, page: Page, address: str, folder: Path) -> None:
        self.page = page
        self.address = address
        self.folder = folder
        self.refused: list[str] = []
        page.context.route("**/*", self._only_this_machine)

    def start_page(self) -> None:
        """Go to the address that `qieval lab` opens in the user's browser."""
        self.page.goto(f"{self.address}/", wait_until="domcontentloaded")
        self._wait_for_notebook()

    def open(self, notebook: str) -> None:
        """Open a notebook, named relative to `folder`, and wait until its kernel answers."""
        self.page.goto(f"{self.address}/lab/tree/{notebook}?reset", wait_until="domcontentloaded")
        self._wait_for_notebook()

    def run_all(self, seconds: float = 120) -> None:
        """Run all cells by JupyterLab's own command and wait until the kernel has nothing left to do."""
        self._ask(RUN_ALL, seconds)
        self.wait_idle(seconds)

    def wait_idle(self, seconds: float = 60) -> None:
        """Wait until no cell is running and the kernel has been idle for a moment; call it after a click."""
        end = time.monotonic() + seconds
        quiet = 0
        while quiet < QUIET_CHECKS:
            if time.monotonic() > end:
                raise AssertionError(f"the notebook was still busy after {seconds} seconds")
            self.page.wait_for_timeout(150)
            quiet = quiet + 1 if self._ask(IS_IDLE) else 0

    def errors(self) -> list[str]:
        """The errors shown: those of cells, those inside Output widgets, and dialogs of JupyterLab."""
        tracebacks = self.widgets.locator(".jp-OutputArea-output").filter(
            has_text="Traceback (most recent call last)"
        )
        dialogs = self.page.locator(".jp-Dialog")
        return [*self._ask(STORED_ERRORS), *tracebacks.all_inner_texts(), *dialogs.all_inner_texts()]

    @property
    def widgets(self) -> Locator:
        """All widgets of the notebook; look for texts here: the source of a cell holds the same words."""
        return self.page.locator(".jupyter-widgets")

    def choose(self, label: str, option: str) -> None:
        """Choose an option of the dropdown with this label, and wait until the kernel has dealt with it."""
        self.page.get_by_label(label, exact=True).select_option(option)
        self.wait_idle()

    def fill(self, label: str, text: str) -> None:
        """Type into the text field with this label and leave it."""
        field = self.page.get_by_label(label, exact=True)
        field.fill(text)
        field.press("Tab")
        self.wait_idle()

    def click(self, button: str) -> None:
        """Click the button with this text, and wait until the kernel has dealt with it."""
        self.widgets.get_by_role("button", name=button, exact=True).first.click()
        self.wait_idle()

    def see(self, text: str | re.Pattern[str], seconds: float = 30) -> None:
        """Wait until a widget shows this text."""
        expect(self.widgets.get_by_text(text).first).to_be_visible(timeout=seconds * 1000)

    def step(self, number: int) -> Locator:
        """The panel of a step of a guided study."""
        sign = self.page.locator(".qi-number").get_by_text(str(number), exact=True)
        return self.page.locator(".qi-step").filter(has=sign)

    def press(self, number: int, button: str) -> None:
        """Click a button of a step and wait until the step is done and all its pictures are drawn."""
        panel = self.step(number)
        panel.get_by_role("button", name=button, exact=True).click()
        expect(panel.locator(".qi-state")).to_have_text("✓ done", timeout=SLOW)
        expect(panel).not_to_contain_text("Working", timeout=SLOW)

    def picture(self, number: int, name: str) -> None:
        """A screenshot of one step, all of it."""
        panel = self.step(number)
        panel.scroll_into_view_if_needed()
        self.screenshot(name, of=panel)

    def save(self) -> None:
        """Save the notebook as the user does."""
        self._ask(SAVE)

    def screenshot(self, name: str, of: Locator | None = None) -> Path:
        """Keep what the page (or one part of it) shows as ci-artifacts/<name>.png."""
        ARTIFACTS.mkdir(exist_ok=True)
        path = ARTIFACTS / f"{name}.png"
        (of if of is not None else self.page).screenshot(path=path)
        return path

    def _ask(self, script: str, seconds: float = START_SECONDS) -> Any:
        """What a script in the page answers; an error when there is no answer in time."""
        late = f"reject(new Error('the page did not answer within {seconds} seconds'))"
        limit = f"new Promise((_, reject) => setTimeout(() => {late}, {seconds * 1000}))"
        return self.page.evaluate(f"() => Promise.race([({script})(), {limit}])")

    def _wait_for_notebook(self) -> None:
        self.page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=START_SECONDS * 1000)
        self._ask(NOTEBOOK_READY)

    def _only_this_machine(self, route: Route) -> None:
        address = urlsplit(route.request.url)
        if address.scheme in ("data", "blob") or address.hostname == LOOPBACK:
            route.continue_()
        else:
            self.refused.append(route.request.url)
            route.abort()


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that JupyterLab works in, with the start page and the templates as a new user finds them."""
    made = tmp_path_factory.mktemp("lab")
    jupyterlab.prepare(made)
    return made


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where Jupyter keeps what it would otherwise keep in the user's home."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def address(folder: Path, home: Path) -> Iterator[str]:
    """The address of a running JupyterLab that knows nothing of this machine's user."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port = int(probe.getsockname()[1])
    words = jupyterlab.command(folder, port=port, browser=False)
    # No token is safe here only because nobody but this machine reaches the server, for a minute.
    words += [f"--ServerApp.ip={LOOPBACK}", "--ServerApp.port_retries=0", "--IdentityProvider.token="]
    words += ["--expose-app-in-browser"]
    private = {name: str(home / name) for name in PRIVATE}
    ARTIFACTS.mkdir(exist_ok=True)
    with (ARTIFACTS / "jupyter.log").open("w") as log:
        variables = jupyterlab.environment({**os.environ, **private})
        server = subprocess.Popen(words, env=variables, stdout=log, stderr=log, start_new_session=True)
        try:
            _wait_for_port(server, port)
            yield f"http://{LOOPBACK}:{port}"
        finally:
            _stop(server)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A running Chromium, or a skip.

    It ends with its module: while Playwright is there, so is its event loop, and widgets tested without a
    browser in the same process would leave their work to that loop.
    """
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if executable is None:
        reason = "Chromium was not found (on Debian: apt-get install chromium)"
        if os.environ.get("QIEVAL_REQUIRE_BROWSER"):
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_ARGS)
        yield browser
        browser.close()


@pytest.fixture
def lab(
    request: pytest.FixtureRequest, chromium: Browser, address: str, folder: Path, home: Path
) -> Iterator[Lab]:
    """A fresh page of JupyterLab without the tabs of an earlier test; its kernels end with the test."""
    shutil.rmtree(home / WORKSPACES, ignore_errors=True)
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    made = Lab(context.new_page(), address, folder)
    yield made
    if request.node.stash.get(FAILED, False):
        made.screenshot(f"failed-{request.node.name}")
    made._ask(SHUT_DOWN)
    context.close()


FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Any:
    """Remember a failure for the fixtures that end afterwards."""
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark the tests of this folder."""
    item.add_marker(pytest.mark.browser)


def _wait_for_port(server: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if server.poll() is not None:
            pytest.fail("JupyterLab ended at once; see ci-artifacts/jupyter.log")
        with socket.socket() as probe:
            if probe.connect_ex((LOOPBACK, port)) == 0:
                return
        time.sleep(0.2)
    pytest.fail(f"JupyterLab did not answer within {START_SECONDS} seconds; see ci-artifacts/jupyter.log")


def _stop(server: subprocess.Popen[bytes]) -> None:
    """End the server and its kernels, which are in its process group only if it did not end them itself."""
    server.terminate()
    try:
        server.wait(timeout=20)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
