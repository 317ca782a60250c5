"""Starting JupyterLab: folder, command, environment, and how it ends. tests/browser really starts it."""

import json
import os
import signal
import subprocess
import sys
import textwrap

from qi_notebooks import lab

SHIPPED = {path.name: path for path in lab.TEMPLATES.glob("*.ipynb")}
STUDIES = {f"{lab.WORKED}/{path.name}": path for path in lab.worked_studies().glob("*.ipynb")}


def test_a_new_folder_gets_the_start_page_and_the_templates(tmp_path):
    new = lab.prepare(tmp_path / "deep" / "work")
    folder = tmp_path / "deep" / "work" / lab.STUDIES
    assert {path.relative_to(folder).as_posix() for path in new} == {*SHIPPED, *STUDIES}
    assert lab.START_PAGE in SHIPPED and STUDIES
    for name, source in (SHIPPED | STUDIES).items():
        assert (folder / name).read_bytes() == source.read_bytes()


def test_a_notebook_of_the_user_is_never_overwritten(tmp_path):
    lab.prepare(tmp_path)
    mine = tmp_path / lab.STUDIES / lab.START_PAGE
    mine.write_text("mine")
    gone = tmp_path / lab.STUDIES / "difference_in_differences.ipynb"
    gone.unlink()
    assert lab.prepare(tmp_path) == [gone]
    assert mine.read_text() == "mine"


def test_the_command_opens_the_start_page_in_the_folder(tmp_path):
    words = lab.command(tmp_path, port=8890, browser=False)
    assert words[:3] == [sys.executable, "-m", "jupyterlab"]
    assert f"--ServerApp.root_dir={tmp_path.resolve()}" in words
    assert "--LabApp.default_url=/lab/tree/qieval-studies/start.ipynb" in words
    assert {"--port=8890", "--no-browser"} <= set(words)


def test_by_default_jupyter_chooses_the_port_opens_the_browser_and_keeps_its_token(tmp_path):
    words = lab.command(tmp_path)
    assert not [word for word in words if word.startswith(("--port", "--no-browser"))]
    assert "token" not in " ".join(words)


def test_only_an_administrator_is_let_in_by_a_switch(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000, raising=False)
    assert "--allow-root" not in lab.command(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 0, raising=False)
    assert "--allow-root" in lab.command(tmp_path)
    monkeypatch.delattr(os, "geteuid")
    assert "--allow-root" not in lab.command(tmp_path)


def test_the_environment_adds_our_settings_and_keeps_the_rest():
    inherited = {"JUPYTER_CONFIG_PATH": "/somewhere", "LANG": "C"}
    made = lab.environment(inherited)
    assert made == {"LANG": "C", "JUPYTER_CONFIG_PATH": f"{lab.JUPYTER_CONFIG}{os.pathsep}/somewhere"}
    assert lab.environment({}) == {"JUPYTER_CONFIG_PATH": str(lab.JUPYTER_CONFIG)}
    assert inherited == {"JUPYTER_CONFIG_PATH": "/somewhere", "LANG": "C"}


def test_our_settings_are_valid_json_that_jupyter_reads():
    stored = sorted(lab.JUPYTER_CONFIG.rglob("*.json"))
    assert [path.name for path in stored] == ["jupyter_server_config.json", "default_setting_overrides.json"]
    assert all(json.loads(path.read_text(encoding="utf-8")) for path in stored)


def test_the_exit_code_of_the_server_is_passed_on():
    assert (
        lab.serve([sys.executable, "-c", "import os; os._exit(int(os.environ['CODE']))"], {"CODE": "7"}) == 7
    )


def test_ending_qieval_ends_the_server():
    program = textwrap.dedent(
        """
        import os, sys
        from qi_notebooks import lab
        server = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
        sys.exit(lab.serve([sys.executable, "-c", server], os.environ))
        """
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as qieval:
        assert qieval.stdout is not None
        assert int(qieval.stdout.readline()) != qieval.pid
        qieval.send_signal(signal.SIGTERM)
        assert qieval.wait(timeout=20) != 0
        # The server held the other end of this pipe: it is at its end only when the server is gone.
        assert qieval.stdout.read() == ""
