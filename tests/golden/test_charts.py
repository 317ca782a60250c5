"""Charts against numbers of qicharts2 0.8.1 and NHSRplotthedots 0.1.0: every case of the reference.

Lines are compared at the digits that the file prints, never more loosely than 1e-10; signals are exact.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from qieval.numerics.chart_limits import ChartLimits, ChartValues, chart_limits
from qieval.numerics.chart_rules import (
    MdcPoints,
    PointType,
    assurance_icon,
    making_data_count,
    variation_icon,
)
from qieval.numerics.chart_runs import runs, runs_allowed, side

SHARED = Path(__file__).resolve().parents[3] / "shared"
FILE = SHARED / "reference" / "spc.json"

pytestmark = pytest.mark.skipif(
    not FILE.is_file(), reason="the shared reference numbers are not beside the repository"
)

QICHARTS = {
    "p": "p",
    "pp": "p'",
    "p_rebase12": "p",
    "p_freeze12": "p",
    "p_exclude10": "p",
    "u": "u",
    "up": "u'",
    "c": "c",
    "i": "i",
    "i_rebase14": "i",
    "i_noscreen": "i",
    "mr": "mr",
    "run": "run",
    "g": "g",
    "t": "t",
    "xbar": "xbar",
    "s": "s",
}
MAKING_DATA_COUNT = [
    "mdc_xmr_increase",
    "mdc_xmr_decrease",
    "mdc_xmr_rebase15",
    "mdc_xmr_fix12",
    "mdc_xmr_noscreen",
    "mdc_xmr_mixed",
    "mdc_xmr_mixed_neutral",
    "mdc_xmr_mixed_target45",
    "mdc_xmr_mixed_target60",
]
DIRECTION = {"increase": 1, "decrease": -1, "neutral": 0}
POINT_TYPES = {
    "common_cause": {PointType.COMMON_CAUSE},
    "special_cause_improvement": {PointType.IMPROVEMENT},
    "special_cause_concern": {PointType.CONCERN},
    "special_cause_neutral": {PointType.NEUTRAL_HIGH, PointType.NEUTRAL_LOW},
}


@pytest.fixture(scope="module")
def cases():
    return json.loads(FILE.read_text(encoding="utf-8"))["cases"]


def same(found: np.ndarray, printed: list) -> None:
    """Equal at the printed digits; a missing number on one side is one on the other."""
    wanted = np.array([np.nan if number is None else number for number in printed], dtype=float)
    decimals = [len(f"{number:.13f}".rstrip("0").split(".")[1]) for number in np.nan_to_num(wanted)]
    half_digit = 0.5 * 10.0 ** -np.array(decimals) * (1 + 1e-6) + 1e-14
    np.testing.assert_array_equal(np.isnan(found), np.isnan(wanted))
    assert np.all(np.nan_to_num(np.abs(found - wanted)) <= np.minimum(half_digit, 1e-10))


def values(given: dict) -> ChartValues:
    if "subgroup" in given:
        y, code = np.array(given["y"], dtype=float), np.array(given["subgroup"])
        groups = [y[code == one] for one in np.unique(code)]
        means, sizes, sds = (
            [f(one) for one in groups] for f in (np.mean, len, lambda one: np.std(one, ddof=1))
        )
        return ChartValues(np.array(means), np.array(sizes, dtype=float), np.array(sds))
    if "num" in given:
        num, den = (np.array(given[name], dtype=float) for name in ("num", "den"))
        return ChartValues(num, den, multiply=given.get("multiply", 1))
    return ChartValues(np.array(given["y"], dtype=float))


def lines(kind: str, name: str, given: dict) -> tuple[ChartLimits, np.ndarray, np.ndarray]:
    """The chart, its phases and the points that count in rules: all but those excluded."""
    held = values(given)
    at = np.arange(1, len(held.y) + 1)
    part = (at > given.get("part", len(at))).astype(np.int64)
    counted = at != given.get("exclude", 0)
    used = counted & (at <= given.get("freeze", len(at)))
    found = chart_limits(kind, held, part=part, used=used, screen="noscreen" not in name)
    return found, part, counted


def test_every_case_is_accounted_for(cases):
    assert set(cases) == {*QICHARTS, *MAKING_DATA_COUNT, "anhoej_limits"}


@pytest.mark.parametrize("name", QICHARTS)
def test_lines_of_qicharts2(cases, name):
    case = cases[name]
    found, _, _ = lines(QICHARTS[name], name, case["input"])
    for ours, theirs in (
        (found.value, "y"),
        (found.centre, "cl"),
        (found.lower, "lcl"),
        (found.upper, "ucl"),
    ):
        same(ours, case["result"][theirs])
    outside = (side(found.value, found.upper) > 0) | (side(found.value, found.lower) < 0)
    assert outside.tolist() == case["result"]["sigma.signal"]


@pytest.mark.parametrize("name", QICHARTS)
def test_runs_of_qicharts2(cases, name):
    result = cases[name]["result"]
    found, part, counted = lines(QICHARTS[name], name, cases[name]["input"])
    for code in np.unique(part):
        first = np.flatnonzero(part == code)[0]
        of_phase = runs(found.value, found.centre, counted=counted & (part == code))
        assert of_phase.longest == result["longest.run"][first]
        assert of_phase.longest_allowed == result["longest.run.max"][first]
        assert of_phase.crossings == result["n.crossings"][first]
        assert of_phase.crossings_needed == result["n.crossings.min"][first]
        assert of_phase.useful == result["n.useful"][first]
        assert of_phase.signal == result["runs.signal"][first]


def test_limits_of_anhoej(cases):
    result = cases["anhoej_limits"]["result"]
    found = [runs_allowed(n) for n in result["n_useful"]]
    assert found == list(zip(result["longest_run_max"], result["crossings_min"], strict=True))


def dots(case: dict) -> tuple[ChartLimits, MdcPoints, int]:
    given = case["input"]
    y = np.array(given["y"], dtype=float)
    at = np.arange(len(y))
    part = np.array([int(date >= given.get("rebase", "9999")) for date in given["dates"]])
    used = at < given.get("fix_after_n_points", len(y))
    screen = given.get("screen_outliers", True)
    found = chart_limits("i", ChartValues(y), part=part, used=used, screen=screen, constants="rounded")
    direction = DIRECTION[given["improvement_direction"]]
    points = making_data_count(found.value, found.centre, found.lower, found.upper, direction, part)
    return found, points, direction


@pytest.mark.parametrize("name", MAKING_DATA_COUNT)
def test_making_data_count(cases, name):
    result = cases[name]["result"]
    found, points, _ = dots(cases[name])
    for ours, theirs in ((found.centre, "mean"), (found.lower, "lpl"), (found.upper, "upl")):
        same(ours, result[theirs])
    assert points.outside.tolist() == result["outside_limits"]
    assert points.relative_to_mean.tolist() == result["relative_to_mean"]
    assert points.close_to_limits.tolist() == result["close_to_limits"]
    assert points.special_cause.tolist() == result["special_cause_flag"]
    assert points.short_group.tolist() == result["short_group_warning"]
    for ours, theirs in zip(points.point_type, result["point_type"], strict=True):
        assert ours in POINT_TYPES[theirs]


@pytest.mark.parametrize("name", MAKING_DATA_COUNT)
def test_summary_of_making_data_count(cases, name):
    summary, given = cases[name]["summary"], cases[name]["input"]
    found, points, direction = dots(cases[name])
    phases = np.array(given["dates"]) >= given.get("rebase", "9999")
    held = [points.point_type[phases == phase] for phase in np.unique(phases)]
    for key, kind in (
        ("n", None),
        ("common_cause", PointType.COMMON_CAUSE),
        ("special_cause_improvement", PointType.IMPROVEMENT),
        ("special_cause_concern", PointType.CONCERN),
    ):
        counts = [int(np.sum(one == kind)) if kind is not None else one.size for one in held]
        assert counts == np.atleast_1d(summary[key]).tolist()
    icon = assurance_icon(found.lower[-1], found.upper[-1], given.get("target"), direction)
    assert icon == summary.get("assurance_type", "no target").replace("_", " ")


def test_icons_of_the_last_point(cases):
    icons = {name: variation_icon(*dots(cases[name])[1:]) for name in MAKING_DATA_COUNT}
    assert icons["mdc_xmr_increase"] == "improvement high"
    assert icons["mdc_xmr_decrease"] == "concern high"
    assert icons["mdc_xmr_mixed"] == "common cause"
