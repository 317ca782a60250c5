"""The worked studies of synthetic control: stored clean, and they find what was published.

Each notebook runs once, in a kernel of its own. The data are in no package: where the shared files do not lie
beside the repository these tests are skipped. Published numbers stand here; those of other programs come from
the shared reference file.
"""

import ast
import json
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from qi_notebooks import headless, lab, parameters

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"
REFERENCE = SHARED / "reference" / "scits.json"
CALIFORNIA, BASQUE = "tobacco_control_california", "basque_country"
FILES = {
    CALIFORNIA: SHARED / "data" / "scits_prop99_smoking.csv",
    BASQUE: SHARED / "data" / "scits_basque.csv",
}
WANTED = {CALIFORNIA: "smoking.csv", BASQUE: "basque.csv"}
SOURCE = {CALIFORNIA: "tidysynth::smoking", BASQUE: "basque, package"}
NAMES = tuple(FILES)

BLANK_PICTURES = """
import plotnine
from matplotlib import pyplot

plotnine.ggplot.draw = lambda self, **_: pyplot.figure(figsize=(1, 1))
"""
"""Drawing takes longer than all else; only the Basque study draws for real."""

PANEL = "json.loads({}.set_index('label').drop(columns='note').to_json(orient='index', double_precision=15))"
REACHED = "json.loads(reached.to_json(orient='index', double_precision=15))"
DONORS = "before['weights of the donors'].table.set_index('donor')['weight'].to_dict()"
OPTIMUM = "before['optimum and uniqueness of the weights'].table.set_index('quantity')['value'].to_dict()"
EFFECT = "float(result.estimates.loc[0, 'estimate'])"
RANK = "[int({0}.facts['rank among all units']), int({0}.facts['units ranked'])]"


def notebook(name):
    return nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)


def execute(name, values, expressions, folder, *, before=""):
    """Run a notebook with its data; what some expressions are worth at its end, and its pictures."""
    if not FILES[name].is_file():
        pytest.skip(f"the data of {name} are in no package, and not beside the repository")
    held = notebook(name)
    parameters.inject(held, {"data": str(FILES[name]), **values})
    held.cells.insert(0, nbformat.v4.new_code_cell(before))
    asked = ", ".join(f"{label!r}: {expression}" for label, expression in expressions.items())
    held.cells.append(nbformat.v4.new_code_cell(f"import json\nprint(json.dumps({{{asked}}}))"))
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(held, timeout=600, kernel_name="python3", resources=resources).execute()
    outputs = [output for cell in held.cells for output in cell.get("outputs", [])]
    pictures = sum("image/png" in output.get("data", {}) for output in outputs)
    warned = [output.text for output in outputs if "Warning" in output.get("text", "")]
    return json.loads(held.cells[-1].outputs[-1].text) | {"pictures": pictures, "warned": warned}


@pytest.fixture(scope="module")
def reference():
    if not REFERENCE.is_file():
        pytest.skip("the shared reference numbers are not beside the repository")
    cases = json.loads(REFERENCE.read_text(encoding="utf-8"))["cases"]
    return {case["id"]: case["values"] for case in cases}


@pytest.fixture(scope="module")
def california(tmp_path_factory):
    expressions = {
        "sales": "known.pivot_table(index='year', columns='california', values='cigsale').loc[1988].tolist()",
        "donors": DONORS,
        "optimum": OPTIMUM,
        "reached": REACHED,
        "effect": EFFECT,
        "last": "float(result.estimates['estimate'].iloc[-1])",
        "interval": "result.estimates.loc[0, ['conf_low', 'conf_high', 'p_value']].tolist()",
        "rank": RANK.format("result"),
        "rank_outcomes_alone": RANK.format("outcomes_alone"),
        "panel": PANEL.format("panel.table"),
        "choices": PANEL.format("choices.table"),
        "conformal": "float(checks['conformal test over time'].table['p_value'].iloc[0])",
        "earlier": "checks['backdating'].table['gap_after'].tolist()",
        "without": "checks['leave one donor out'].table['estimate'].iloc[1:6].tolist()",
        "weighted_changes": "float(weighted.estimates.loc[0, 'estimate'])",
        "three": "three.table['estimate'].tolist()",
        "standing": "result.standing[:9]",
        "report": "type(report).__name__",
    }
    folder = tmp_path_factory.mktemp("california")
    return execute(CALIFORNIA, {"draws": 99}, expressions, folder, before=BLANK_PICTURES)


@pytest.fixture(scope="module")
def basque(tmp_path_factory):
    expressions = {
        "donors": DONORS,
        "optimum": OPTIMUM,
        "reached": REACHED,
        "effect": EFFECT,
        "bounded": "bool(result.estimates['conf_low'].replace(float('-inf'), None).notna().any())",
        "rank": RANK.format("result"),
        "broke": "[checks['donors that broke away'].verdict, checks['donors that broke away'].text]",
        "mainland": "mainland.weights.set_index('row')['weight'].to_dict()",
        "mainland_effect": "float(mainland.estimates.loc[0, 'estimate'])",
        "panel": PANEL.format("panel.table"),
        "standing": "result.standing[:9]",
        "report": "type(report).__name__",
    }
    return execute(BASQUE, {}, expressions, tmp_path_factory.mktemp("basque"))


@pytest.mark.parametrize("name", NAMES)
def test_worked_studies_are_stored_clean(name):
    held = notebook(name)
    nbformat.validate(held)
    assert held.metadata.kernelspec.name == "python3"
    names = [cell.id for cell in held.cells]
    assert len(set(names)) == len(names)
    assert all(label.replace("-", "").isalpha() for label in names)
    code = [cell for cell in held.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert ast.literal_eval(parameters.known(held)["data"]) == WANTED[name]
    text = (ROOT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8")
    assert text == json.dumps(json.loads(text), indent=1, ensure_ascii=False) + "\n"
    assert str(ROOT) not in text


def test_worked_studies_are_shipped():
    shipped = {path.stem for path in lab.worked_studies().glob("*.ipynb")}
    assert set(NAMES) <= shipped


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_without_the_data_a_study_ends_in_a_sentence(name, tmp_path):
    held = notebook(name)
    client = NotebookClient(
        held, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    with pytest.raises(CellExecutionError):
        client.execute()
    shown = [output for cell in held.cells for output in cell.get("outputs", [])]
    assert [output.output_type for output in shown] == ["error"]
    assert len(shown[0].traceback) == 1
    assert f"there is no file '{WANTED[name]}'" in shown[0].traceback[0]
    assert SOURCE[name] in shown[0].traceback[0]
    study = ROOT / "notebooks" / f"{name}.ipynb"
    with pytest.raises(headless.NotebookError, match=r"there is no file 'nowhere[.]csv'"):
        headless.run(study, {"data": "nowhere.csv"}, tmp_path / "report.html")


@pytest.mark.slow
@pytest.mark.parametrize("study, pictures", [("california", 11), ("basque", 3)])
def test_worked_studies_end_in_a_report_as_locked(study, pictures, request):
    found = request.getfixturevalue(study)
    assert (found["standing"], found["report"]) == ("as locked", "Report")
    assert found["pictures"] == pictures
    assert found["warned"] == []


@pytest.mark.slow
def test_california_as_in_the_paper(california):
    """Abadie, Diamond and Hainmueller 2010: about 26 packets in 2000, rank 1 of 39; table 2 to 0.01."""
    assert california["sales"] == pytest.approx([113.8, 90.1], abs=0.05)
    printed = {"Utah": 0.334, "Nevada": 0.234, "Montana": 0.199, "Colorado": 0.164, "Connecticut": 0.069}
    assert california["donors"] == pytest.approx(printed, abs=0.01)
    assert california["effect"] == pytest.approx(-19, abs=0.05)
    assert california["last"] == pytest.approx(-26, abs=0.5)
    assert california["rank"] == [1, 39]
    low, high, p_value = california["interval"]
    assert [low, high] == pytest.approx([-35.2, -2.8], abs=0.05)
    assert p_value == pytest.approx(1 / 39, rel=1e-12)


@pytest.mark.slow
def test_california_first_with_predictors_and_third_without(california):
    panel = california["panel"]
    ranks = {label: (row["rank"], row["units"]) for label, row in panel.items() if row["rank"]}
    assert ranks["as designed"] == (1, 39)
    assert ranks["outcomes alone"] == (3, 39)
    assert california["rank_outcomes_alone"] == [3, 39]
    effects = {label: row["estimate"] for label, row in panel.items()}
    assert len(effects) == 9
    assert abs(effects.pop("interactive fixed effects")) < 1
    assert min(effects.values()) == pytest.approx(-25.4, abs=0.05)
    assert max(effects.values()) == pytest.approx(-11.1, abs=0.05)
    choices = california["choices"]
    assert (choices["without Nevada"]["rank"], choices["without Nevada"]["units"]) == (3, 38)
    assert choices["without Nevada"]["conf_high"] > 0
    assert choices["sales in three years as predictors"]["rank"] == 3
    assert choices["until 1998"]["estimate"] == pytest.approx(-17.6, abs=0.05)
    assert choices["fitted from 1980"]["rank"] == 1


@pytest.mark.slow
def test_california_told_as_it_is(california):
    """Other numbers of the text: earlier dates, donors left out, what each set of weights reaches."""
    assert len(california["earlier"]) == 8
    assert -7 < min(california["earlier"]) < max(california["earlier"]) < -3
    assert [min(california["without"]), max(california["without"])] == pytest.approx([-19.5, -17.5], abs=0.05)
    gaps = [row["mean squared gap"] for row in california["reached"].values()]
    assert gaps == pytest.approx([3.0767, 3.1933, 34.893, 3.0892], abs=1e-4)
    optimum = california["optimum"]
    assert 0 < optimum["searches that reached it"] < optimum["independent searches"] / 2
    assert california["conformal"] == pytest.approx(3 / 31, rel=1e-12)


@pytest.mark.slow
def test_california_as_in_other_programs(california, reference):
    """R MSCMT: loss to 1e-6, weights to 1e-4; R synthdid to 1e-8, exact fits to 1e-6, R augsynth to 1e-4."""
    nested = reference["prop99_nested_MSCMT"]
    assert california["optimum"]["mean squared gap reached"] <= nested["loss_v"] * (1 + 1e-6)
    assert california["optimum"]["relative duality gap of the weights"] < 1e-8
    assert california["donors"] == pytest.approx(nested["w"], abs=1e-4)
    after = [gap for year, gap in nested["gaps"].items() if int(year) >= 1989]
    assert california["effect"] == pytest.approx(sum(after) / len(after), abs=1e-3)
    synth = california["reached"]["predictors as R Synth weights them"]["mean squared gap"]
    assert synth < reference["prop99_nested_Synth"]["loss_v"]
    panel = california["panel"]
    alone = reference["prop99_outcome_only"]["att_1989_2000"]
    assert panel["outcomes alone"]["estimate"] == pytest.approx(alone, rel=1e-6)
    assert panel["outcomes alone"]["p_value"] == pytest.approx(3 / 39, rel=1e-12)
    demeaned = reference["prop99_demeaned"]["att"]
    assert panel["demeaned"]["estimate"] == pytest.approx(demeaned, rel=1e-6)
    ridge = reference["prop99_augsynth"]["ridge"]["summary_conformal"]["average_att"]["Estimate"]
    assert panel["ridge-augmented"]["estimate"] == pytest.approx(ridge, rel=1e-4)
    published = [reference["prop99_synthdid"][kind]["estimate"] for kind in ("sdid", "sc", "did")]
    assert published == pytest.approx([-15.6, -19.6, -27.3], abs=0.05)
    assert california["three"] == pytest.approx(published, rel=1e-8)
    assert california["weighted_changes"] == pytest.approx(published[0], rel=1e-8)


@pytest.mark.slow
def test_basque_textbook_weights_and_the_best_ones(basque):
    """Abadie and Gardeazabal 2003: Catalonia 0.851, Madrid 0.149; the optimum has a third donor."""
    rows = {label: {k: v for k, v in row.items() if v} for label, row in basque["reached"].items()}
    synth, best, alone = rows.values()
    assert synth["Cataluna"] == pytest.approx(0.851, abs=5e-4)
    assert synth["Madrid (Comunidad De)"] == pytest.approx(0.149, abs=5e-4)
    assert synth["mean squared gap"] == pytest.approx(0.0088646, abs=1e-6)
    assert best["mean squared gap"] == pytest.approx(0.0042860715, rel=1e-6)
    assert set(best) == {"mean squared gap", *basque["donors"]}
    assert alone["mean squared gap"] < best["mean squared gap"] < synth["mean squared gap"] / 2
    assert basque["rank"] == [6, 17]
    assert basque["effect"] == pytest.approx(-0.885, abs=5e-4)
    assert not basque["bounded"]


@pytest.mark.slow
def test_basque_without_the_islands_is_the_textbook_again(basque):
    verdict, text = basque["broke"]
    assert verdict == "concern"
    assert "Baleares" in text
    heavy = {name: weight for name, weight in basque["mainland"].items() if weight > 1e-6}
    assert heavy == pytest.approx({"Cataluna": 0.851, "Madrid (Comunidad De)": 0.149}, abs=5e-4)
    assert basque["mainland_effect"] == pytest.approx(-0.58, abs=5e-3)
    islands = basque["panel"]["without the Balearic Islands"]
    assert islands["estimate"] == pytest.approx(basque["mainland_effect"], rel=1e-9)


@pytest.mark.slow
def test_basque_as_in_other_programs(basque, reference):
    """Weights to 1e-4: of R MSCMT at the optimum, and of R Synth with Synth's weights of the predictors."""
    nested = reference["basque_nested_MSCMT"]
    assert basque["optimum"]["mean squared gap reached"] <= nested["loss_v"] * (1 + 1e-6)
    assert basque["optimum"]["relative duality gap of the weights"] < 1e-8
    assert basque["donors"] == pytest.approx(nested["w"], abs=1e-4)
    synth = basque["reached"]["predictors as R Synth weights them"]
    held = reference["basque_nested_Synth"]["Synth_BFGS"]["solution_w"]
    assert [synth["Cataluna"], synth["Madrid (Comunidad De)"]] == pytest.approx(
        [held["10"], held["14"]], abs=1e-4
    )
    alone = reference["basque_outcome_only"]["window_1960_1969"]
    row = basque["reached"]["best fit of the product per person, no predictors"]
    assert row["mean squared gap"] == pytest.approx(alone["mspe_pre"], rel=1e-6)
    for name, weight in alone["weights"].items():
        assert row[name] == pytest.approx(weight, abs=1e-4)
