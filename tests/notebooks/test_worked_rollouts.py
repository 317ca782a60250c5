"""The worked studies of roll-outs: stored clean, and they find what was published or simulated.

Each notebook runs once, in a kernel of its own; nothing is fetched. Published numbers stand here; those of
other programs come from the shared reference file. Where the copy of the public data does not lie beside the
repository, the study that needs it is skipped.
"""

import json
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from qi_notebooks import lab, parameters
from qieval import simulate_rollout

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT.parent / "shared" / "reference" / "did.json"
WAGE, CASTLE, PRACTICES = "minimum_wage", "castle_doctrine", "practice_roll_out"
NAMES = (WAGE, CASTLE, PRACTICES)
PICTURES = {WAGE: 8, CASTLE: 9, PRACTICES: 9}

BLANK_PICTURES = """
import plotnine
from matplotlib import pyplot

plotnine.ggplot.draw = lambda self, **_: pyplot.figure(figsize=(1, 1))
"""
"""Drawing takes longer than all else."""

TABLE = "json.loads({}.to_json(orient='index', double_precision=15))"
COMMON = {
    "standing": "result.standing[:9]",
    "report": "type(report).__name__",
    "checks": "{check.name: [check.verdict, check.text] for check in checks}",
    "before": "{check.name: check.verdict for check in before}",
}


def notebook(name):
    return nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)


def execute(name, values, expressions, folder):
    """Run a notebook; what some expressions are worth at its end, and what it shows."""
    held = notebook(name)
    parameters.inject(held, values)
    held.cells.insert(0, nbformat.v4.new_code_cell(BLANK_PICTURES))
    asked = ", ".join(f"{label!r}: {expression}" for label, expression in (COMMON | expressions).items())
    held.cells.append(nbformat.v4.new_code_cell(f"import json\nprint(json.dumps({{{asked}}}))"))
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(held, timeout=600, kernel_name="python3", resources=resources).execute()
    outputs = [output for cell in held.cells for output in cell.get("outputs", [])]
    return json.loads(held.cells[-1].outputs[-1].text) | {
        "pictures": sum("image/png" in output.get("data", {}) for output in outputs),
        "warned": [output.text for output in outputs if "Warning" in output.get("text", "")],
        "said": "\n".join(output.get("data", {}).get("text/markdown", "") for output in outputs),
    }


@pytest.fixture(scope="module")
def reference():
    if not REFERENCE.is_file():
        pytest.skip("the shared reference numbers are not beside the repository")
    cases = json.loads(REFERENCE.read_text(encoding="utf-8"))["cases"]
    return {case["id"]: case["expected"] for case in cases}


@pytest.fixture(scope="module")
def wage(public_folder, tmp_path_factory):
    expressions = {
        "hand": "float(hand)",
        "cells": TABLE.format("cells[['cohort', 'period', 'estimate', 'std_error', 'published']]"),
        "averages": TABLE.format("averages.drop(columns='question').astype(float)"),
        "choices": TABLE.format("found"),
        "comparisons": TABLE.format("table"),
        "two_way": "two_way.estimates.loc[0, ['estimate', 'std_error']].tolist()",
        "bounds": TABLE.format("bounds[['target', 'magnitude', 'conf_low', 'conf_high']]"),
        "breakdown": "float(breakdown)",
    }
    return execute(WAGE, {"folder": str(public_folder)}, expressions, tmp_path_factory.mktemp("wage"))


@pytest.fixture(scope="module")
def castle(tmp_path_factory):
    expressions = {
        "side": TABLE.format("side"),
        "cohorts": TABLE.format("cohorts[['estimate', 'std_error']]"),
        "comparisons": TABLE.format("table"),
        "left": TABLE.format("left.set_index('label')[['estimate']]"),
        "alone": "alone.tolist()",
        "early": "float(shifted)",
        "naive": "qe.estimate(ways['group-time, usual standard error'], castle).estimates"
        ".query(\"term == 'effect in cohort'\")['std_error'].tolist()",
    }
    return execute(CASTLE, {}, expressions, tmp_path_factory.mktemp("castle"))


@pytest.fixture(scope="module")
def practices(tmp_path_factory):
    expressions = {
        "truth": "study.truth",
        "two_way": "found[['estimate', 'conf_low', 'conf_high']].tolist()",
        "main": "main.tolist()",
        "forbidden": "float(forbidden)",
        "row": "[float(row['estimate']), float(row['weight'])]",
        "negative": "[held.cohort[low].tolist(), held.time[low].tolist(), float(held.weight[low].sum())]",
        "inside": "[int(inside.sum()), int(banded.sum()), len(inside)]",
        "large": TABLE.format("large"),
        "matched": TABLE.format("after_matching"),
        "lot": "by_lot_result.estimates.loc[0, ['estimate', 'conf_low', 'conf_high']].tolist()",
        "lot_order": "lot_checks['order of the roll-out'].verdict",
        "left_out": "[float(alone['deprivation'].mean()), float(starters['deprivation'].mean())]",
    }
    return execute(PRACTICES, {"draws": 99}, expressions, tmp_path_factory.mktemp("practices"))


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
    assert (parameters.position(held) is None) == (name == CASTLE)
    text = (ROOT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8")
    assert text == json.dumps(json.loads(text), indent=1, ensure_ascii=False) + "\n"
    assert str(ROOT) not in text


def test_worked_studies_are_shipped():
    shipped = {path.stem for path in lab.worked_studies().glob("*.ipynb")}
    assert set(NAMES) <= shipped


@pytest.mark.slow
@pytest.mark.parametrize("study, name", [("wage", WAGE), ("castle", CASTLE), ("practices", PRACTICES)])
def test_worked_studies_end_in_a_report_as_locked(study, name, request):
    found = request.getfixturevalue(study)
    assert (found["standing"], found["report"]) == ("as locked", "Report")
    assert found["pictures"] == PICTURES[name]
    assert found["warned"] == []
    assert not {"nan", "inf"} & set(found["said"].replace("*", " ").replace(",", " ").split())


@pytest.mark.slow
def test_minimum_wage_as_in_the_vignette(wage):
    """Effects by cohort and year as printed by the R package did, to its four digits; one by hand."""
    assert len(wage["cells"]) == 12
    for cell in wage["cells"].values():
        assert cell["estimate"] == pytest.approx(cell["published"], abs=5.1e-5)
    averages = wage["averages"]
    assert averages["dynamic"]["estimate"] == pytest.approx(-0.0772, abs=5e-5)
    assert averages["group"]["estimate"] == pytest.approx(-0.0310, abs=5e-5)
    later = [cell for cell in wage["cells"].values() if (cell["cohort"], cell["period"]) == (2006, 2007)]
    assert wage["hand"] == pytest.approx(later[0]["estimate"], abs=1e-12)


@pytest.mark.slow
def test_minimum_wage_as_in_r(wage, reference):
    """R did, fixest, bacondecomp and HonestDiD (its least favourable values are drawn: 2%)."""
    held = reference["mpdta_cs_nevertreated_dr_none"]
    for name, row in wage["averages"].items():
        assert row["estimate"] == pytest.approx(held[name]["overall_att"], abs=1e-10)
        assert row["std_error"] == pytest.approx(held[name]["overall_se"], abs=1e-8)
        assert row["R"] == pytest.approx(held[name]["overall_att"], abs=5e-5)
        assert row["std_error in R"] == pytest.approx(held[name]["overall_se"], abs=5e-5)
    for label, name in (
        ("control_group = not yet", "mpdta_cs_notyettreated_dr_none"),
        ("covariates = log_population", "mpdta_cs_nevertreated_dr_lpop"),
        ("both", "mpdta_cs_notyettreated_dr_lpop"),
    ):
        other = reference[name]["group"]["overall_att"]
        assert wage["choices"][label]["estimate"] == pytest.approx(other, abs=1e-9)
    static = reference["mpdta_twfe_static"]
    assert wage["two_way"] == pytest.approx([static["estimate"][0], static["se"][0]], rel=1e-8)
    theirs = reference["mpdta_bacon"]
    ours = sorted((row["estimate"], row["weight"]) for row in wage["comparisons"].values())
    expected = sorted(zip(theirs["estimate"], theirs["weight"], strict=True))
    assert [list(pair) for pair in ours] == [pytest.approx(list(pair), abs=1e-9) for pair in expected]
    bounds = reference["mpdta_honest_cs_average"]["relative_magnitudes"]
    mean = [row for row in wage["bounds"].values() if row["target"].startswith("mean") and row["magnitude"]]
    for row, magnitude, low, high in zip(mean, bounds["Mbar"], bounds["lb"], bounds["ub"], strict=True):
        assert row["magnitude"] == magnitude
        width = high - low
        assert [row["conf_low"], row["conf_high"]] == pytest.approx([low, high], abs=0.02 * width)


@pytest.mark.slow
def test_minimum_wage_says_how_little_is_known(wage):
    assert wage["before"]["cohorts and periods"] == "concern"
    assert wage["checks"]["honest bounds, size of the departure"][0] == "concern"
    assert 0.45 < wage["breakdown"] < 0.5
    assert "Only 5% of the weight lies on forbidden comparisons" in wage["said"]


@pytest.mark.slow
def test_castle_laws_as_published_and_as_in_r(castle, reference):
    """Cheng and Hoekstra 2013: 8%; two-way with and without weights as fixest, effects as did.

    The file holds single precision, which R read as decimals: relative 1e-6.
    """
    side = castle["side"]
    for label, name in (
        ("two-way, usual standard error", "castle_twfe_w"),
        ("two-way, states alike", "castle_twfe"),
    ):
        assert side[label]["estimate"] == pytest.approx(reference[name]["estimate"][0], rel=1e-6)
    weighted = side["two-way, usual standard error"]
    assert weighted["std_error"] == pytest.approx(reference["castle_twfe_w"]["se"][0], rel=1e-6)
    assert [weighted["estimate"], side["two-way within regions"]["estimate"]] == pytest.approx(
        [0.08, 0.09], abs=0.005
    )
    simple = reference["castle_cs_never"]["group"]["overall_att"]
    assert side["group-time, states alike"]["estimate"] == pytest.approx(simple, rel=1e-6)
    total = sum(row["estimate"] * row["weight"] for row in castle["comparisons"].values())
    assert total == pytest.approx(weighted["estimate"], abs=1e-9)


@pytest.mark.slow
def test_castle_cohorts_of_one_have_no_interval(castle):
    errors = [row["std_error"] for row in castle["cohorts"].values()]
    assert [error is None for error in errors] == [True, False, False, False, True]
    assert castle["naive"][0] < min(error for error in errors if error is not None)
    assert castle["before"]["clusters by cohort"] == "concern"


@pytest.mark.slow
def test_castle_is_half_florida(castle):
    main = castle["side"]["group-time (the design)"]["estimate"]
    moved = {label: abs(row["estimate"] - main) for label, row in castle["left"].items()}
    florida = moved.pop("without 10")
    assert castle["alone"][0] == pytest.approx(castle["left"]["without 10"]["estimate"], abs=1e-12)
    assert florida > main / 2
    assert max(moved.values()) < florida / 2
    assert castle["alone"][1] < 0 < castle["alone"][2]
    assert castle["early"] > 1.5 * main


@pytest.mark.slow
def test_practices_the_regression_is_wrong_and_group_time_right(practices):
    truth = practices["truth"]
    assert truth == simulate_rollout(seed=20).truth
    _, low, high = practices["two_way"]
    assert truth["group"] < low
    assert practices["two_way"][0] / truth["group"] < 0.4
    estimate, low, high = practices["main"]
    assert low < truth["group"] < high < 0
    assert estimate == pytest.approx(truth["group"], abs=0.15)
    within, banded, months = practices["inside"]
    assert (within >= 24, banded, months) == (True, 27, 27)


@pytest.mark.slow
def test_practices_the_forbidden_comparison_by_hand(practices):
    """Means of the simulated rows, without the package's decomposition."""
    frame = simulate_rollout(seed=20).frame
    frame["after"] = frame["month"] >= "2022-01"
    held = frame[frame["month"] >= "2021-01"]
    mean = held.groupby(["started", "after"])["admissions_per_1000"].mean()
    change = mean.xs(True, level="after") - mean.xs(False, level="after")
    by_hand = change["2022-01"] - change["2021-01"]
    assert practices["forbidden"] == pytest.approx(by_hand, abs=1e-12)
    assert practices["row"][0] == pytest.approx(by_hand, abs=1e-9)
    assert by_hand > 0.5
    cohorts, times, total = practices["negative"]
    assert set(cohorts) == {9.0}
    assert sorted(times) == list(range(21, 36))
    assert total < -0.08


@pytest.mark.slow
def test_practices_more_data_are_no_cure(practices):
    rows = practices["large"]
    holds = {label: row["holds the truth"] for label, row in rows.items()}
    assert holds.pop("2,000 practices, not adjusted") == "no"
    assert set(holds.values()) == {"yes"}
    wide, narrow = (
        rows[f"{size} practices, adjusted"]["to"] - rows[f"{size} practices, adjusted"]["from"]
        for size in ("200", "2,000")
    )
    assert narrow < wide / 2


@pytest.mark.slow
def test_practices_by_lot_and_matched(practices):
    assert practices["lot_order"] == "supports"
    assert practices["before"]["order of the roll-out"] == "concern"
    _, low, high = practices["lot"]
    assert low < practices["truth"]["group"] < high < 0
    assert len(practices["matched"]) == 4
    assert all(row["holds the truth"] == "yes" for row in practices["matched"].values())
    alone, everybody = practices["left_out"]
    assert alone > everybody + 4
