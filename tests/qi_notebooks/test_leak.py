"""Nothing about single people gets into a saved notebook, neither into outputs nor into widget state."""

import json
import re
import shutil

import nbformat
import numpy as np
import pandas as pd
import pytest
from nbclient import NotebookClient

import qieval as qe
from qi_notebooks import lab, parameters, safety

CLICK = """
def _buttons(widget):
    if type(widget).__name__ == "Button":
        yield widget
    for child in getattr(widget, "children", ()):
        yield from _buttons(child)

for _name, _words in (
    ("design checks", "Run the design checks"),
    ("lock", "Lock this design"),
    ("estimate", "Estimate the effect"),
    ("assumptions", "Examine the assumptions"),
    ("sensitivity", "Estimate under altered designs"),
    ("report", "Write report"),
    ("code", "Save my choices"),
):
    (_found,) = [held for held in _buttons(app.step(_name).panel) if held.description == _words]
    _found.click()
print([step.state for step in app.steps])
"""
AFTERWARDS = {
    "difference_in_differences": """
app.form.controls["comparison"].inner.value = "surgery"
app.form.controls["cluster"].inner.value = "surgery"
print(app.result is not None)
""",
    "regression_discontinuity": """
app.step("estimate").sliders["bandwidth"].value = 0.75
app.form.controls["cluster"].inner.value = "surgery"
print(app.result is not None)
""",
    "matching": """
(_others,) = [held for held in _buttons(app.step("sensitivity").panel) if "other" in held.description]
_others.click()
app.form.controls["caliper"].inner.value = 0.05
app.form.controls["different"]._pick.value = "person"
app.form.controls["cluster"].inner.value = "surgery"
print(app.result is not None)
""",
}
"""What is clicked after the study: columns of labels are chosen where organisations or groups are meant."""
VALUES = {
    "difference_in_differences": {
        "treated": "treated",
        "unit": "person",
        "time": "month",
        "start": "2022-05",
    },
    "matching": {"treated": "treated", "covariates": ["age", "earlier", "sex"], "caliper": 0.1},
    "regression_discontinuity": {
        "score": "months",
        "cutoff": 780,
        "treated_side": "at or above",
        "covariates": ["earlier"],
    },
}


BANDS = ((61_000, 62_000), (78_000, 79_000))
"""Every person's cost lies in one of these; no mean, effect or limit of an interval comes near them."""
NOISE = re.compile(r"base64,[A-Za-z0-9+/=]+|\b(?:IPY_MODEL_)?[0-9a-f]{32}\b")
"""Bytes of pictures and random names of widgets, which hold every short run of digits sooner or later."""
NUMBER = re.compile(r"(?<![\w.,])-?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?(?!\w)")


def person_level():
    """People followed over months, with codes and costs that nothing else looks like, even rounded."""
    frame = qe.simulate_panel(60, 8, 30, seed=5)
    rng = np.random.default_rng(11)
    low, high = (rng.uniform(*band, len(frame)) for band in BANDS)
    return frame.assign(
        person=[f"CANARY-{8800 + unit}" for unit in frame["unit"]],
        surgery=[f"SURGERYCANARY{unit % 24}" for unit in frame["unit"]],
        month=[f"2022-{time + 1:02d}" for time in frame["time"]],
        cost=np.where(rng.random(len(frame)) < 0.5, low, high).round(6),
    ).drop(columns=["unit", "time", "y"])


def matched_level():
    """People seen once, with codes and costs as above, before and after; ages do not tell anyone apart."""
    frame = qe.data.simulate_cohort(400, seed=5).frame[["age", "sex", "service"]]
    rng = np.random.default_rng(12)
    n = len(frame)
    low, high = (rng.uniform(*band, (n, 2)) for band in BANDS)
    costs = np.where(rng.random((n, 2)) < 0.5, low, high).round(6)
    return frame.rename(columns={"service": "treated"}).assign(
        person=[f"CANARY-{8800 + at}" for at in range(n)],
        surgery=[f"SURGERYCANARY{at % 24}" for at in range(n)],
        earlier=costs[:, 0],
        cost=costs[:, 1],
    )


def around_a_cutoff():
    """People around an age in months, with codes and costs as above; many share an age."""
    people = pd.concat([matched_level(), matched_level()], ignore_index=True)
    months = np.random.default_rng(13).integers(720, 840, len(people))
    return people.drop(columns=["age", "sex", "treated"]).assign(months=months)


PEOPLE = {
    "difference_in_differences": person_level,
    "matching": matched_level,
    "regression_discontinuity": around_a_cutoff,
}


def leaked(text):
    """The codes and costs of people in a text."""
    quiet = NOISE.sub(" ", text)
    numbers = [abs(float(found.replace(",", ""))) for found in NUMBER.findall(quiet)]
    costs = [number for number in numbers for low, high in BANDS if low <= number <= high]
    return [*re.findall(r"\w*CANARY\S{0,6}", quiet), *costs]


def test_the_search_would_find_a_row_however_it_is_written():
    frame = person_level()
    row = frame[["cost"]].head(1)
    for written in (
        qe.markup.frame_table(row),
        row.to_html(),
        row.to_json(),
        repr(row),
        f"{row.iloc[0, 0]:.3g}",
    ):
        assert leaked(written), written
    assert leaked(frame["person"].iloc[0])
    assert leaked(f"{frame['cost'].mean():.1f} and an IPY_MODEL_{'61500' * 6}ab") == []


@pytest.fixture(scope="module", params=list(VALUES))
def saved(tmp_path_factory, request):
    """A template, run and clicked through on people's data, and saved with the state of all widgets."""
    folder = tmp_path_factory.mktemp("leak")
    PEOPLE[request.param]().to_csv(folder / "people.csv", index=False)
    path = folder / f"{request.param}.ipynb"
    shutil.copy(lab.TEMPLATES / path.name, path)
    notebook = nbformat.read(path, as_version=4)
    values = {"data": "people.csv", "outcome": "cost"}
    parameters.rewrite(notebook, {**values, **VALUES[request.param]})
    notebook.cells.append(nbformat.v4.new_code_cell(CLICK + AFTERWARDS[request.param]))
    NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        store_widget_state=True,
        resources={"metadata": {"path": str(folder)}},
    ).execute()
    nbformat.write(notebook, path)
    return path


@pytest.mark.slow
def test_the_study_was_really_clicked_through(saved):
    notebook = nbformat.read(saved, as_version=4)
    steps = 9 if saved.stem == "matching" else 8
    printed = [held.text for held in notebook.cells[-1].outputs if held.get("name") == "stdout"]
    assert "".join(printed).splitlines() == [str(["open", *["done"] * steps]), "True"]
    assert len(notebook.metadata["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]) > 100
    assert "interval" in saved.read_text(encoding="utf-8")


@pytest.mark.slow
def test_no_value_of_a_person_is_in_the_saved_notebook(saved):
    assert leaked(saved.read_text(encoding="utf-8")) == []


@pytest.mark.slow
def test_nor_in_what_the_study_wrote_beside_it(saved):
    written = [other for other in saved.parent.iterdir() if other.suffix in (".json", ".html")]
    assert len(written) == 3
    for other in written:
        assert leaked(other.read_text(encoding="utf-8")) == [], other.name


@pytest.mark.slow
def test_the_checker_sees_the_outputs_that_have_to_go(saved):
    kinds = {problem.kind for problem in safety.check(saved)}
    assert any("widget" in kind for kind in kinds)
    assert any("output" in kind for kind in kinds)
    assert not any("NHS" in kind for kind in kinds)
    assert json.loads(saved.read_text(encoding="utf-8"))["metadata"]["widgets"]
