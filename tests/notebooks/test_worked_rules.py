"""The worked studies of rules, instruments and regression: stored clean, and they find what was published.

Each notebook runs once, in a kernel of its own; nothing is fetched. Published numbers stand here; those of
other programs come from the shared reference file. Where the copies of the public data do not lie beside the
repository, the studies that need them are skipped.
"""

import json
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from qi_notebooks import headless, lab, parameters
from qieval.data import public_files

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"
REFERENCE = SHARED / "reference" / "rdiv.json"
COUNTIES = SHARED / "data" / "rdiv_headstart.csv"
DEATHS = SHARED / "data" / "rdiv_mlda.csv"
HEAD_START, DRINKING = "head_start_child_mortality", "minimum_drinking_age"
COLLEGE, STANDARDISED = "college_proximity", "smoking_cessation_standardisation"
ATTENDERS = "frequent_attenders"
NAMES = (HEAD_START, DRINKING, COLLEGE, STANDARDISED, ATTENDERS)
PICTURES = {HEAD_START: 6, DRINKING: 3, COLLEGE: 7, STANDARDISED: 5, ATTENDERS: 2}

BLANK_PICTURES = """
import plotnine
from matplotlib import pyplot

plotnine.ggplot.draw = lambda self, **_: pyplot.figure(figsize=(1, 1))
"""
"""Drawing takes longer than all else."""

TABLE = "json.loads({}.to_json(orient='index', double_precision=15))"
TERMS = TABLE.format("{}.estimates[{}.estimates['at'].isna()].set_index('term')")
COMMON = {
    "standing": "result.standing[:9]",
    "report": "type(report).__name__",
    "checks": "{check.name: [check.verdict, check.text] for check in checks}",
    "before": "{check.name: check.verdict for check in before}",
    "terms": TERMS.format("result", "result"),
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
    return json.loads(REFERENCE.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def head_start(tmp_path_factory):
    if not COUNTIES.is_file():
        pytest.skip("the copies of the public data are not on this machine")
    expressions = {
        "published": TABLE.format("published"),
        "honest": TABLE.format("honest_rows"),
        "crude": "float(gap)",
        "placebos": "checks['placebo outcomes'].table['estimate'].tolist()",
    }
    return execute(HEAD_START, {"data": str(COUNTIES)}, expressions, tmp_path_factory.mktemp("head_start"))


@pytest.fixture(scope="module")
def drinking(tmp_path_factory):
    expressions = {
        "book": TABLE.format("book"),
        "careful": TABLE.format("careful"),
        "bent": TABLE.format("bent"),
    }
    if not DEATHS.exists():
        pytest.skip("the table of deaths by age is not beside the checkout")
    folder = tmp_path_factory.mktemp("drinking")
    public_files.drinking(pd.read_csv(DEATHS).dropna()).to_csv(folder / "deaths.csv", index=False)
    return execute(DRINKING, {"data": str(folder / "deaths.csv")}, expressions, folder)


@pytest.fixture(scope="module")
def college(tmp_path_factory):
    expressions = {
        "published": TABLE.format("published"),
        "first": "equal",
        "weak": TERMS.format("weak", "weak"),
        "weak_set": "said",
        "facts": "{name: str(value) for name, value in result.facts.items()}",
        "curve": TABLE.format("curve.table"),
        "placebo": TABLE.format("placebo"),
    }
    return execute(COLLEGE, {}, expressions, tmp_path_factory.mktemp("college"))


@pytest.fixture(scope="module")
def standardised(tmp_path_factory):
    expressions = {
        "crude": "float(crude)",
        "panel": TABLE.format("found[['estimate', 'std_error']]"),
        "intensity": "intensity[columns].to_numpy().tolist()",
        "prices": TABLE.format("prices"),
        "price": TERMS.format("by_price", "by_price"),
        "strength": "float(by_price.facts['partial F'])",
    }
    folder = tmp_path_factory.mktemp("standardised")
    return execute(STANDARDISED, {"splits": 1}, expressions, folder)


@pytest.fixture(scope="module")
def attenders(tmp_path_factory):
    expressions = {"hidden": "[silent['expected regression to the mean'].verdict]"}
    return execute(ATTENDERS, {}, expressions, tmp_path_factory.mktemp("attenders"))


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
    assert parameters.position(held) is not None
    text = (ROOT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8")
    assert text == json.dumps(json.loads(text), indent=1, ensure_ascii=False) + "\n"
    assert str(ROOT) not in text


def test_worked_studies_are_shipped():
    shipped = {path.stem for path in lab.worked_studies().glob("*.ipynb")}
    assert set(NAMES) <= shipped


@pytest.mark.slow
@pytest.mark.parametrize(
    "study, name",
    [
        ("head_start", HEAD_START),
        ("drinking", DRINKING),
        ("college", COLLEGE),
        ("standardised", STANDARDISED),
        ("attenders", ATTENDERS),
    ],
)
def test_worked_studies_end_in_a_report_as_locked(study, name, request):
    found = request.getfixturevalue(study)
    assert (found["standing"], found["report"]) == ("as locked", "Report")
    assert found["pictures"] == PICTURES[name]
    assert found["warned"] == []
    assert not {"nan", "inf"} & set(found["said"].replace("*", " ").replace(",", " ").split())


@pytest.mark.slow
def test_head_start_as_published(head_start):
    """Ludwig and Miller 2007: -1.895, -1.198; Calonico, Cattaneo and Titiunik 2014: -2.38, -5.4 to -0.1."""
    rows = head_start["published"]
    plain = {label: row["plain estimate"] for label, row in rows.items()}
    assert plain["lines, 9 points (Ludwig and Miller)"] == pytest.approx(-1.895, abs=5e-4)
    assert plain["lines, 18 points (Ludwig and Miller)"] == pytest.approx(-1.198, abs=5e-4)
    rule = rows["lines, distance by the rule"]
    assert rule["plain estimate"] == pytest.approx(-2.38, abs=5e-3)
    assert [rule["robust from"], rule["robust to"]] == pytest.approx([-5.4, -0.1], abs=0.05)
    assert rule["points of poverty"] == pytest.approx(6.95, abs=5e-3)
    assert head_start["crude"] > 0
    assert head_start["before"]["density at the cutoff"] == "supports"


@pytest.mark.slow
def test_head_start_as_in_r(head_start, reference):
    """rdrobust and RDHonest; nearest-neighbour rows to 1e-4, since ties are met in another way there."""
    rows, held = head_start["published"], reference["rd"]
    for label, name, precision in (
        ("lines, 9 points (Ludwig and Miller)", "headstart_h9_p1_uni", 1e-7),
        ("a mean on either side, 9 points", "headstart_p0_uniform_h9", 1e-7),
        ("lines, distance by the rule", "headstart_default", 1e-4),
        ("the same with covariates (the design)", "headstart_covs", 1e-4),
    ):
        plain, corrected, _ = held[name]["R_rdrobust_4_0_0"]["coef"]
        assert rows[label]["plain estimate"] == pytest.approx(plain, rel=precision)
        assert rows[label]["bias-corrected"] == pytest.approx(corrected, rel=precision)
    for label, name in (("rule of thumb", "headstart_rot"), ("at most 0.05", "headstart_M05")):
        other = reference["rd_honest"][name]["R"]
        found = head_start["honest"][label]
        assert found["estimate"] == pytest.approx(other["estimate"], rel=1e-4)
        assert found["conf_low"] == pytest.approx(other["conf.low"], rel=1e-3)


@pytest.mark.slow
def test_drinking_age_as_in_the_book(drinking):
    """Angrist and Pischke 2014, table 4.1: lines and curves over all two years."""
    book = drinking["book"]
    for cause, line, curve in (
        ("all_deaths", 7.66, 9.55),
        ("motor_vehicle", 4.53, 4.66),
        ("suicide", 1.79, 1.81),
        ("homicide", 0.10, 0.20),
        ("alcohol", 0.44, 0.80),
        ("internal_causes", 0.39, 1.07),
    ):
        assert [book[cause]["line"], book[cause]["curve"]] == pytest.approx([line, curve], abs=5e-3)


@pytest.mark.slow
def test_drinking_age_as_in_r(drinking, reference):
    """lm with a HC1 variance, and RDHonest with the bound of the design; the file is in single precision.

    Limits to 1e-3: the steps of age are even, and ties among nearest neighbours are met in another way there.
    """
    held = reference["rd_falsification"]["mlda_parametric"]["all"]
    found = drinking["book"]["all_deaths"]
    for order, name in (("line", "linear_interacted"), ("curve", "quadratic_interacted")):
        assert found[order] == pytest.approx(held[name]["coef"], rel=1e-5)
        assert found[f"error of the {order}"] == pytest.approx(held[name]["se_hc1"], rel=1e-5)
    other = reference["rd_honest"]["mlda_all_M"]["R"]
    row = drinking["terms"]["difference, honest"]
    assert row["estimate"] == pytest.approx(other["estimate"], rel=1e-6)
    assert row["conf_low"] == pytest.approx(other["conf.low"], rel=1e-3)
    assert row["conf_high"] == pytest.approx(other["conf.high"], rel=1e-3)
    assert drinking["bent"]["10"]["estimate"] == pytest.approx(row["estimate"], rel=1e-9)


@pytest.mark.slow
def test_drinking_age_has_few_points_and_says_so(drinking):
    assert drinking["checks"]["people and different scores near the cutoff"][0] == "concern"
    lot, robust = (drinking["careful"][name] for name in ("as if by lot, nearest 10 steps", "lines, 1 year"))
    assert lot["conf_high"] - lot["conf_low"] < robust["conf_high"] - robust["conf_low"]
    assert "**deaths from diseases jump**" in drinking["said"]


@pytest.mark.slow
def test_college_proximity_as_published(college, reference):
    """Card 1995: 0.132 and 0.157; F of 13.26 and 7.89; Anderson-Rubin as ivDiag's closed form."""
    found = college["published"]
    just, over = reference["iv"]["card_just"], reference["iv"]["card_over"]
    for label, held in (("2SLS, four-year college", just), ("2SLS, both colleges", over)):
        row = found[label]
        assert row["estimate"] == pytest.approx(held["tsls"]["coef"]["educ"], rel=1e-8)
        assert row["standard error"] == pytest.approx(held["tsls"]["se_hc1"]["educ"], rel=1e-8)
    assert [college["first"][name] for name in ("one instrument", "both")] == pytest.approx(
        [13.2558, 7.8931], abs=1e-4
    )
    assert found["least squares"]["estimate"] == pytest.approx(just["ols"]["coef"], rel=1e-8)
    [limits] = just["AR_hc1"]["set"]
    row = found["2SLS, four-year college"]
    assert [row["interval from"], row["to"]] == pytest.approx(limits, rel=1e-6)
    assert limits == pytest.approx([0.028, 0.281], abs=5e-4)
    assert found["LIML, both colleges"]["estimate"] == pytest.approx(over["ivmodel"]["LIML"], rel=1e-6)


@pytest.mark.slow
def test_college_proximity_bounds_of_a_direct_effect(college, reference):
    """Conley, Hansen and Rossi: the estimate falls by the direct effect over the first stage."""
    held = reference["iv_extra"]["conley_card"]
    rows = sorted((row["direct_effect"], row["estimate"]) for row in college["curve"].values())
    (at, estimate), (far, other) = rows[0], rows[-1]
    slope = (other - estimate) / (far - at)
    for gamma, expected in ((-0.02, held["est_at_lo"]), (0.03, held["est_at_hi"])):
        assert estimate + slope * (gamma - at) == pytest.approx(expected, rel=1e-8)
    assert college["checks"]["direct effect that would matter"][0] == "concern"


@pytest.mark.slow
def test_a_useless_college_gives_two_rays(college):
    assert college["weak_set"] == "-0.653 or below, or 0.0511 or above"
    assert college["before"]["balance by instrument"] == "concern"
    assert "Two rays" in college["said"]


@pytest.mark.slow
def test_standardisation_as_in_the_book(standardised, reference):
    """What If, chapters 12 and 13: 2.54 crude, 3.46, 3.52, 3.44 by weighting; 2.8 and 4.4 by cigarettes."""
    held = reference["regression_control"]
    whatif, noint = held["nhefs_whatif"], held["nhefs_noint"]
    panel = {label: row["estimate"] for label, row in standardised["panel"].items()}
    assert standardised["crude"] == pytest.approx(2.54, abs=5e-3)
    assert panel["as designed"] == pytest.approx(whatif["gcomp"]["ate"], rel=1e-8)
    assert panel["regression, one effect for all"] == pytest.approx(noint["gcomp"]["ate"], rel=1e-8)
    assert panel["weighting"] == pytest.approx(noint["ipw_hajek"]["ate"], rel=1e-6)
    assert panel["doubly robust (AIPW)"] == pytest.approx(noint["aipw"]["ate"], rel=1e-6)
    error = standardised["panel"]["as designed"]["std_error"]
    assert error == pytest.approx(whatif["stdReg"]["se_diff"], rel=1e-6)
    few, many = standardised["intensity"][2:]
    assert few == pytest.approx([5, 2.8, 1.5, 4.1], abs=0.05)
    assert many == pytest.approx([40, 4.4, 2.8, 6.1], abs=0.05)


@pytest.mark.slow
def test_the_price_of_cigarettes_is_no_instrument(standardised):
    """What If, chapter 16: 2.4 kg (-36.5 to 41.3), and 41.3, -40.9, -21.1, -12.8 with other prices."""
    kilograms = [row["kg"] for row in standardised["prices"].values()]
    assert kilograms == pytest.approx([2.4, 41.3, -40.9, -21.1, -12.8], abs=0.05)
    sets = {row["not excluded (Anderson-Rubin)"] for row in standardised["prices"].values()}
    assert sets == {"any value"}
    wald = standardised["price"]["difference, Wald"]
    assert [wald["conf_low"], wald["conf_high"]] == pytest.approx([-36.5, 41.3], abs=0.05)
    assert standardised["strength"] < 1


@pytest.mark.slow
def test_frequent_attenders_come_down_by_themselves(attenders):
    terms = attenders["terms"]
    change, left = terms["change"], terms["change beyond regression to the mean"]
    assert change["conf_high"] < -1
    assert left["conf_low"] < 0 < left["conf_high"]
    assert terms["expected from regression to the mean"]["estimate"] == pytest.approx(
        change["estimate"], rel=0.05
    )
    for name in ("what it is for", "expected regression to the mean", "change before the start"):
        assert attenders["checks"][name][0] == "concern"
    assert attenders["hidden"] == ["concern"]


@pytest.mark.slow
def test_without_the_data_head_start_ends_in_a_sentence(tmp_path):
    held = notebook(HEAD_START)
    resources = {"metadata": {"path": str(tmp_path)}}
    with pytest.raises(CellExecutionError):
        NotebookClient(held, timeout=60, kernel_name="python3", resources=resources).execute()
    shown = [output for cell in held.cells for output in cell.get("outputs", [])]
    assert [output.output_type for output in shown] == ["error"]
    assert len(shown[0].traceback) == 1
    assert "there is no file 'headstart.csv'" in shown[0].traceback[0]
    assert "RDHonest::headst" in shown[0].traceback[0]
    study = ROOT / "notebooks" / f"{HEAD_START}.ipynb"
    with pytest.raises(headless.NotebookError, match=r"there is no file 'nowhere[.]csv'"):
        headless.run(study, {"data": "nowhere.csv"}, tmp_path / "report.html")
