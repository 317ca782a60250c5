"""The worked studies of one series: stored clean, and they find what was published.

Each notebook runs once, in a kernel of its own, with the public files from a folder (nothing is fetched). The
files are in no package: where their copies do not lie beside the repository these tests are skipped.
Published numbers stand here; those of other programs come from the shared reference file.
"""

import ast
import json
import math
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from qi_notebooks import lab, parameters

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT.parent / "shared" / "reference" / "scits.json"
SICILY, BELTS, EMERGENCY = "smoking_ban_sicily", "seat_belts", "accident_and_emergency"
NAMES = (SICILY, BELTS, EMERGENCY)
PICTURES = {SICILY: 7, BELTS: 7, EMERGENCY: 6}

BLANK_PICTURES = """
import plotnine
from matplotlib import pyplot

plotnine.ggplot.draw = lambda self, **_: pyplot.figure(figsize=(1, 1))
"""
"""Drawing takes longer than all else."""

NUMBERS = "json.loads({}.to_json(orient='index', double_precision=15))"
VERDICTS = "{check.name: [check.verdict, check.text] for check in checks}"


def notebook(name):
    return nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)


def execute(name, values, expressions, folder):
    """Run a notebook; what some expressions are worth at its end, and what it shows."""
    held = notebook(name)
    parameters.inject(held, values)
    held.cells.insert(0, nbformat.v4.new_code_cell(BLANK_PICTURES))
    asked = ", ".join(f"{label!r}: {expression}" for label, expression in expressions.items())
    held.cells.append(nbformat.v4.new_code_cell(f"import json\nprint(json.dumps({{{asked}}}))"))
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(held, timeout=600, kernel_name="python3", resources=resources).execute()
    outputs = [output for cell in held.cells for output in cell.get("outputs", [])]
    texts = [output.get("data", {}).get("text/markdown", "") for output in outputs]
    return json.loads(held.cells[-1].outputs[-1].text) | {
        "pictures": sum("image/png" in output.get("data", {}) for output in outputs),
        "warned": [output.text for output in outputs if "Warning" in output.get("text", "")],
        "said": "\n".join(texts),
    }


@pytest.fixture(scope="module")
def reference():
    if not REFERENCE.is_file():
        pytest.skip("the shared reference numbers are not beside the repository")
    cases = json.loads(REFERENCE.read_text(encoding="utf-8"))["cases"]
    return {case["id"]: case["values"] for case in cases}


COMMON = {
    "standing": "result.standing[:9]",
    "report": "type(report).__name__",
    "checks": VERDICTS,
}


@pytest.fixture(scope="module")
def sicily(public_folder, tmp_path_factory):
    expressions = COMMON | {
        "models": NUMBERS.format("models"),
        "errors": NUMBERS.format("errors.astype(float)"),
        "slope": "slope[['estimate', 'p_value']].tolist()",
        "total": "total[['estimate', 'std_error']].tolist()",
        "dispersion": "[plain_spread, spread]",
        "scan": NUMBERS.format("scan.table.set_index('at')[['criterion', 'dispersion', 'estimate']]"),
        "best": "[best['label'], int(best['at'])]",
    }
    values = {"folder": str(public_folder)}
    return execute(SICILY, values, expressions, tmp_path_factory.mktemp("sicily"))


@pytest.fixture(scope="module")
def belts(public_folder, tmp_path_factory):
    expressions = COMMON | {
        "trends": NUMBERS.format("trends"),
        "errors": NUMBERS.format("errors[['estimate', 'std_error']]"),
        "passengers": "[front_ratio, rear_ratio, against_ratio]",
        "vans": "van[['estimate', 'conf_low', 'conf_high']].tolist()",
        "before": "{check.name: check.verdict for check in before}",
        "placebo": "share",
    }
    values = {"folder": str(public_folder)}
    return execute(BELTS, values, expressions, tmp_path_factory.mktemp("belts"))


@pytest.fixture(scope="module")
def emergency(public_folder, tmp_path_factory):
    expressions = COMMON | {
        "organisations": "int(complete['organisation'].nunique())",
        "smallest": "int(complete['over_4_hours'].min())",
        "steadiest": "steadiest",
        "limits": NUMBERS.format("limits[['estimate', 'lower_limit', 'upper_limit']]"),
        "far": "far",
        "signalling": "signalling",
        "headlines": "[with_unit.headline, without_unit.headline]",
        "truth": "float(truth)",
        "controlled": "controlled.tolist()",
        "untouched": "no_unit.tolist()",
        "tests": NUMBERS.format("tests"),
        "chart_report": "chart_report.markdown",
    }
    values = {"folder": str(public_folder), "tried": 40}
    return execute(EMERGENCY, values, expressions, tmp_path_factory.mktemp("emergency"))


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
    assert ast.literal_eval(parameters.known(held)["folder"]) is None
    text = (ROOT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8")
    assert text == json.dumps(json.loads(text), indent=1, ensure_ascii=False) + "\n"
    assert str(ROOT) not in text


def test_worked_studies_are_shipped():
    shipped = {path.stem for path in lab.worked_studies().glob("*.ipynb")}
    assert set(NAMES) <= shipped


@pytest.mark.slow
@pytest.mark.parametrize("study", ["sicily", "belts", "emergency"])
def test_worked_studies_end_in_a_report_as_locked(study, request):
    found = request.getfixturevalue(study)
    name = {"sicily": SICILY, "belts": BELTS, "emergency": EMERGENCY}[study]
    assert (found["standing"], found["report"]) == ("as locked", "Report")
    assert found["pictures"] == PICTURES[name]
    assert found["warned"] == []
    assert not {"nan", "inf"} & set(found["said"].replace("*", " ").replace(",", " ").split())


@pytest.mark.slow
def test_sicily_as_published(sicily):
    """Bernal, Cummins and Gasparrini 2017: 0.894 (0.864 to 0.925) and, with harmonics, 0.885 (0.839 to
    0.933)."""
    models = sicily["models"]
    poisson = models["Poisson, no season"]
    assert poisson["rate ratio"] == pytest.approx(0.894, abs=5e-4)
    assert [poisson["conf_low"], poisson["conf_high"]] == pytest.approx([0.864, 0.925], abs=1e-3)
    assert models["quasi-Poisson, no season"]["rate ratio"] == pytest.approx(poisson["rate ratio"], rel=1e-9)
    design = models["quasi-Poisson, harmonics (the design)"]
    assert design["rate ratio"] == pytest.approx(0.885, abs=5e-4)
    assert [design["conf_low"], design["conf_high"]] == pytest.approx([0.839, 0.933], abs=2e-3)


@pytest.mark.slow
def test_sicily_as_in_r(sicily, reference):
    """R glm to 1e-7, MASS and sandwich to 1e-5 (Newey-West without the factor n/(n - k))."""
    held = reference["sicily_its"]
    for label, name in {
        "Poisson, no season": "m1_poisson",
        "quasi-Poisson, no season": "m2_quasipoisson",
        "quasi-Poisson, harmonics (the design)": "m3_quasipoisson_harmonic",
    }.items():
        found = sicily["models"][label]
        assert math.log(found["rate ratio"]) == pytest.approx(held[name]["coef"]["smokban"], rel=1e-7)
        error = found["standard error of its logarithm"]
        assert error == pytest.approx(held[name]["se"]["smokban"], rel=1e-7)
    assert sicily["dispersion"][0] == pytest.approx(held["m2_quasipoisson"]["dispersion"], rel=1e-7)
    after = held["counterfactual_m3"]
    assert sicily["total"] == pytest.approx([after["difference"], after["difference_se_delta"]], rel=1e-7)
    slope, p_value = sicily["slope"]
    centred = held["m5_level_slope_centred36"]
    assert math.log(slope) == pytest.approx(centred["coef"]["ta"], rel=1e-6)
    assert p_value == pytest.approx(centred["p"]["ta"], rel=1e-6)
    newey_west = held["newey_west_m3p_lag12"]["adjust_false"]["smokban"]
    errors = [row["std_error"] for row in sicily["errors"].values()]
    assert errors[1] == pytest.approx(newey_west, rel=1e-5)
    assert errors[1] < 0.6 * errors[0]
    assert errors[1] < errors[2] < errors[0]


@pytest.mark.slow
def test_sicily_dates_the_change_three_months_early(sicily, reference):
    """Deviance at each date as in R; the best is three months before the ban, and the text says so."""
    assert sicily["best"] == ["2004-10", -3]
    for row in reference["sicily_its"]["changepoint_sensitivity"]:
        found = sicily["scan"][str(row["shift"])]
        assert found["criterion"] == pytest.approx(row["deviance"], rel=1e-7)
        assert found["estimate"] == pytest.approx(row["RR"], rel=1e-7)
    assert "**2004-10, 3 months before the ban**" in sicily["said"]
    assert "113.6 against 117.3" in sicily["said"]
    assert sicily["checks"]["change-point search"][0] == "information"
    assert sicily["checks"]["residual autocorrelation"][0] == "concern"


@pytest.mark.slow
def test_seat_belts_from_a_line_to_a_wandering_level(belts, reference):
    """On the log scale -0.15 with a straight line, -0.24 where the level wanders."""
    held, trends = reference["seatbelts_its"], belts["trends"]
    on_logs = {label: row["on the log scale"] for label, row in trends.items()}
    ols = held["ols_log_drivers"]
    line = "straight line, independent errors"
    assert on_logs[line] == pytest.approx(ols["coef"]["law"], rel=1e-8)
    assert trends[line]["std_error"] == pytest.approx(ols["se"]["law"], rel=1e-8)
    wander = reference["seatbelts_uc"]["seatbelts_uc_local_level_seasonal12"]["params"]["beta.law"]
    assert on_logs["structural, the level wanders"] == pytest.approx(wander, rel=1e-3)
    r_arima = -0.224
    assert on_logs["ARIMA(1,0,1)(0,1,1) without a line"] == pytest.approx(r_arima, abs=5e-4)
    designed = on_logs["straight line, autoregressive errors (the design)"]
    assert [designed, on_logs["structural, the level wanders"]] == pytest.approx([-0.15, -0.24], abs=5e-3)
    assert max(on_logs.values()) == on_logs[line]
    errors = belts["errors"]
    assert errors["as designed"]["std_error"] > 1.4 * errors["independent errors"]["std_error"]
    assert "from **-0.15 to -0.24**" in belts["said"]


@pytest.mark.slow
def test_seat_belts_warned_before_and_tested_elsewhere(belts):
    assert belts["before"]["bend of the trend before the start"] == "concern"
    assert belts["checks"]["placebo dates"][0] == "concern"
    assert belts["checks"]["control outcomes"][0] == "concern"
    assert "1983-02 fits best, which is the stated start" in belts["checks"]["change-point search"][1]
    front, rear, against = belts["passengers"]
    assert against < front < 1 < rear
    van, low, high = belts["vans"]
    assert low < van < high < 1


@pytest.mark.slow
def test_emergency_chart_limits_by_hand(emergency, public_folder):
    """Centre and average p limits of the chosen organisation, worked out from the file."""
    assert (emergency["organisations"], emergency["steadiest"]) == (130, "RWP")
    assert emergency["smallest"] >= 10
    rows = (public_folder / "ae_attendances.csv").read_text().splitlines()
    header = rows[0].split(",")
    kept = [dict(zip(header, row.replace('"', "").split(","), strict=True)) for row in rows[1:]]
    kept = [row for row in kept if (row["org_code"], row["type"]) == ("RWP", "1")]
    last = max(kept, key=lambda row: row["period"])
    share = sum(int(row["breaches"]) for row in kept) / sum(int(row["attendances"]) for row in kept)
    half = 300 * math.sqrt(share * (1 - share) / int(last["attendances"]))
    limits = emergency["limits"]
    found = [limits["p"][name] for name in ("estimate", "lower_limit", "upper_limit")]
    assert found == pytest.approx([100 * share, 100 * share - half, 100 * share + half], rel=1e-9)
    wide = limits["p'"]["upper_limit"] - limits["p'"]["lower_limit"]
    assert wide > 4 * half


@pytest.mark.slow
def test_emergency_many_organisations(emergency):
    assert emergency["far"]["exact"] > 100
    assert emergency["far"]["chosen from the data"] < 3
    assert all(share > 0.8 for share in emergency["signalling"].values())
    assert all(said.startswith("Something changed") for said in emergency["headlines"])


@pytest.mark.slow
def test_emergency_recovers_what_was_inserted(emergency):
    """Thirty per cent averted: the controlled study holds the truth, and no change where none was made."""
    assert emergency["truth"] == pytest.approx(0.7, abs=0.01)
    estimate, low, high = emergency["controlled"]
    assert low < emergency["truth"] < high < 1
    assert estimate == pytest.approx(emergency["truth"], abs=0.1)
    _, low, high = emergency["untouched"]
    assert low < 1 < high
    naive, alone, naive_difference, designed = [row["finds a change"] for row in emergency["tests"].values()]
    assert min(naive, naive_difference) > 0.25
    assert max(alone, designed) < 0.2


@pytest.mark.slow
def test_emergency_tracks_cannot_be_mistaken_for_one_another(emergency):
    chart = emergency["chart_report"].lower()
    assert "something changed" in chart
    assert "not why" in chart
    assert "expected without" not in chart
    assert "effect ratio" not in chart
