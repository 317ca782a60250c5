"""The harness itself, and what every user of `qieval lab` meets first."""

import json
import urllib.request

import nbformat
import pytest

from qi_notebooks import lab as jupyterlab

WIDGETS = """
import ipywidgets as widgets
outcome = widgets.Dropdown(options=["admissions", "bed days"], description="Outcome")
seen = widgets.Output()
def show(change):
    with seen:
        seen.clear_output()
        print("chosen:", outcome.value)
        if outcome.value == "bed days":
            raise ValueError("bed days are broken")
outcome.observe(show, "value")
widgets.VBox([outcome, seen])
"""


@pytest.fixture
def notebook(folder):
    cells = [nbformat.v4.new_code_cell(WIDGETS), nbformat.v4.new_code_cell("1 / 0")]
    made = nbformat.v4.new_notebook(cells=cells)
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(made, folder / "harness.ipynb")
    return "harness.ipynb"


def test_the_harness_sees_what_widgets_show_and_every_error(lab, notebook):
    lab.open(notebook)
    lab.run_all()
    assert lab.errors() == ["ZeroDivisionError: division by zero"]
    lab.choose("Outcome", "bed days")
    lab.see("chosen: bed days")
    assert len(lab.errors()) == 2
    assert "bed days are broken" in lab.errors()[1]

    lab.page.evaluate("() => fetch('http://localhost.invalid/x').catch(() => null)")
    assert lab.refused == ["http://localhost.invalid/x"]

    lab.save()
    stored = json.loads((lab.folder / notebook).read_text(encoding="utf-8"))
    assert stored["cells"][0]["execution_count"] == 1
    assert "widgets" not in stored["metadata"]


def test_the_question_about_news_is_silenced(address):
    plugin = "@jupyterlab/apputils-extension:notification"
    with urllib.request.urlopen(f"{address}/lab/api/settings/{plugin}") as answer:
        properties = json.load(answer)["schema"]["properties"]
    assert properties["fetchNews"]["default"] == "false"
    assert properties["checkForUpdates"]["default"] is False


def test_templates_are_on_the_card_of_the_launcher(address):
    with urllib.request.urlopen(f"{address}/templates/names") as answer:
        templates = json.load(answer)["templates"]
    assert list(templates) == ["qieval"]
    names = {item["name"].rsplit("/")[-1] for item in templates["qieval"]}
    assert names == {path.name for path in jupyterlab.TEMPLATES.glob("*.ipynb")}
