"""Run charts and control charts: numbers of the reference programs, words that claim nothing, invariances."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from qieval.diagnostics import chart_chance, chart_checks
from qieval.methods.control_charts import (
    ASSUMPTIONS,
    RUN_CHART_ASSUMPTIONS,
    ControlChart,
    RunChart,
    estimate,
    parse,
)
from qieval.result import Study, main_estimates

SHARED = Path(__file__).resolve().parents[3] / "shared"
SPC = SHARED / "reference" / "spc.json"
NEEDS_SPC = pytest.mark.skipif(not SPC.exists(), reason="the shared reference numbers are not here")
RNG = np.random.default_rng(12)


def months(n: int) -> np.ndarray:
    return pd.period_range("2022-01", periods=n, freq="M").astype(str)


def rates(n: int = 24, shift: int = 12) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    size = rng.integers(900, 1000, n)
    return pd.DataFrame(
        {"month": months(n), "n": size, "y": rng.poisson(np.where(np.arange(n) < shift, 0.012, 0.004) * size)}
    )


def measured(n: int = 24) -> pd.DataFrame:
    y = 50 + np.tile([1.0, -2, 3, -1, 2, -3], 1 + n // 6)[:n] + np.arange(n) * 0.01
    return pd.DataFrame({"month": months(n), "y": y})


def i_chart(**fields) -> ControlChart:
    return ControlChart(**{"outcome": "y", "time": "month", "kind": "i", **fields})


SAME = [
    ("p", {"denominator": "n"}),
    ("pp", {"denominator": "n", "kind": "p'"}),
    ("p_rebase12", {"denominator": "n", "rebase": {"2023-01": "a new form"}}),
    ("p_freeze12", {"denominator": "n", "baseline_until": "2022-12"}),
    ("p_exclude10", {"denominator": "n", "left_out": {"2022-10": "a flood"}}),
    ("u", {"denominator": "n", "per": 1000}),
    ("up", {"denominator": "n", "per": 1000, "kind": "u'"}),
    ("c", {"kind": "c"}),
    ("i", {}),
    ("i_noscreen", {"screen_moving_ranges": "keep all"}),
    ("i_rebase14", {"rebase": {"2023-03": "a new team"}}),
    ("mr", {"kind": "mr"}),
    ("g", {"kind": "g"}),
    ("t", {"kind": "t"}),
    ("xbar", {}),
    ("s", {"kind": "s"}),
]


@NEEDS_SPC
@pytest.mark.parametrize(("name", "fields"), SAME, ids=[name for name, _ in SAME])
def test_charts_of_qicharts2(name, fields):
    case = json.loads(SPC.read_text())["cases"][name]
    given, wanted = case["input"], case["result"]
    y = given.get("y", given.get("num"))
    frame = pd.DataFrame({"y": y, "month": given["subgroup"] if "subgroup" in given else months(len(y))})
    if "den" in given:
        frame["n"] = given["den"]
    result = estimate(ControlChart(outcome="y", time="month", **fields), frame)
    series = result.series
    for ours, theirs in (
        ("observed", "y"),
        ("counterfactual", "cl"),
        ("conf_low", "lcl"),
        ("conf_high", "ucl"),
    ):
        np.testing.assert_allclose(
            series[ours], np.array(wanted[theirs], dtype=float), rtol=2e-10, atol=1e-10
        )
    chart = result.kernel
    outside = np.zeros(len(series), dtype=bool)
    for signal in chart.signals:
        if signal.rule == "outside the limits":
            outside[signal.first : signal.last + 1] = True
    counted = chart.points.counted
    np.testing.assert_array_equal(outside[counted], np.array(wanted["sigma.signal"])[counted])
    for phase, runs in chart.runs.items():
        at = int(np.flatnonzero(chart.points.part == phase)[0])
        assert (runs.longest, runs.longest_allowed) == (
            wanted["longest.run"][at],
            wanted["longest.run.max"][at],
        )
        assert (runs.crossings, runs.crossings_needed) == (
            wanted["n.crossings"][at],
            wanted["n.crossings.min"][at],
        )


@NEEDS_SPC
def test_points_of_making_data_count():
    case = json.loads(SPC.read_text())["cases"]["mdc_xmr_mixed"]
    frame = pd.DataFrame({"month": months(len(case["input"]["y"])), "y": case["input"]["y"]})
    design = i_chart(
        better="higher", rules="Making Data Count", limits_as="Making Data Count 2.66", target=45
    )
    result = estimate(design, frame)
    np.testing.assert_allclose(result.series["conf_high"], case["result"]["upl"], rtol=2e-10)
    flagged = np.array(case["result"]["special_cause_flag"]) == 1
    np.testing.assert_array_equal(result.series["signal"] != "", flagged)
    concern = np.array([kind.endswith("concern") for kind in case["result"]["point_type"]])
    np.testing.assert_array_equal(result.kernel.way == -1, concern)
    assert result.facts["assurance (Making Data Count)"] == "consistent pass"
    assert result.facts["variation (Making Data Count)"] == "common cause"


@pytest.mark.parametrize("rules", ["Anhoej", "Making Data Count", "Western Electric"])
def test_a_shift_is_a_signal_by_all_rules_and_nothing_claims_success(rules):
    design = ControlChart(
        outcome="y", time="month", denominator="n", per=1000, better="lower", rules=rules, baseline_until=12
    )
    frame = rates().assign(month=np.arange(1, 25))
    result = estimate(design, frame)
    assert result.headline.startswith("Something changed:")
    assert result.headline.endswith("not why.")
    words = " ".join([result.headline, *map(str, result.facts), *result.notes]).lower()
    assert not any(word in words for word in ("worked", "effect", "success", "significant", "caused"))
    assert (result.kernel.way[result.kernel.flagged & (np.arange(24) >= 12)] == 1).all()


def test_no_signal_is_no_proof():
    result = estimate(i_chart(), measured())
    assert result.headline.startswith("No signal: the variation is what chance alone would give.")
    assert "no proof" in result.headline and result.facts["signals"] == 0


@pytest.mark.parametrize("points", [1, 2, 9])
def test_too_few_points_are_drawn_without_rules(points):
    frame = measured(points).assign(y=lambda each: each["y"] + 1000 * (np.arange(points) == 0))
    for design in (i_chart(), RunChart(outcome="y", time="month")):
        result = estimate(design, frame)
        assert result.headline.startswith(f"Too few points for rules ({points};")
        assert result.facts["signals"] == 0 and result.facts["rules"].startswith("none")
        assert "variation (Making Data Count)" not in result.facts


def test_phases_have_rows_of_their_own_with_their_reasons():
    result = estimate(i_chart(rebase={"2023-01": "a new team"}), measured())
    table = main_estimates(result)
    assert table["term"].tolist() == ["centre line from the beginning", "centre line from 2023-01"]
    y = measured()["y"].to_numpy()
    np.testing.assert_allclose(table["estimate"], [y[:12].mean(), y[12:].mean()])
    assert "New lines from 2023-01: a new team" in result.notes


def test_points_left_out_are_drawn_and_enter_nothing():
    frame = measured()
    frame.loc[5, "y"] = 500
    result = estimate(i_chart(left_out={"2022-06": "a broken meter"}), frame)
    kept = frame["y"].drop(index=5)
    assert result.estimates.loc[0, "estimate"] == pytest.approx(kept.mean())
    row = result.series.iloc[5]
    assert row["observed"] == 500 and row["left_out"] == "a broken meter" and row["signal"] == ""
    assert result.facts["points"] == 23 and result.facts["points left out"] == 1


def test_a_short_phase_has_no_rules_and_says_so():
    frame = measured()
    frame.loc[22, "y"] = 500
    result = estimate(i_chart(rebase={"2023-08": "a new team"}), frame)
    assert result.facts["signals"] == 0
    assert any("Too few points in the phase from 2023-08 (5;" in note for note in result.notes)


def test_row_order_and_an_empty_row_make_no_difference():
    frame = measured()
    gap = pd.concat([frame, pd.DataFrame({"month": ["2024-02"], "y": [np.nan]})])
    wanted = estimate(i_chart(), frame).estimates
    for other in (frame.sample(frac=1, random_state=2), gap):
        pd.testing.assert_frame_equal(estimate(i_chart(), other).estimates, wanted)
    inner = frame.assign(y=frame["y"].where(frame.index != 7))
    pd.testing.assert_frame_equal(
        estimate(i_chart(), inner).estimates, estimate(i_chart(), frame.drop(index=7)).estimates
    )


@pytest.mark.parametrize("factor", [1e-7, 1e9])
def test_units_of_measurement_make_no_difference(factor):
    frame = measured()
    frame.loc[20, "y"] = 80
    one, other = estimate(i_chart(), frame), estimate(i_chart(), frame.assign(y=frame["y"] * factor))
    np.testing.assert_allclose(
        one.series[["counterfactual", "conf_low", "conf_high"]] * factor,
        other.series[["counterfactual", "conf_low", "conf_high"]],
        rtol=1e-9,
    )
    assert one.headline == other.headline


def test_input_is_not_touched():
    frame = rates()
    before = frame.copy(deep=True)
    estimate(ControlChart(outcome="y", time="month", denominator="n"), frame)
    pd.testing.assert_frame_equal(frame, before)


def test_fewer_events_are_longer_waits_and_both_are_better():
    days = pd.DataFrame({"date": pd.date_range("2024-01-01", periods=400), "falls": 0})
    days.loc[np.r_[0:120:6, 399], "falls"] = 1
    design = ControlChart(outcome="falls", time="date", better="lower")
    result = estimate(design, days)
    assert result.facts["chart"] == "G chart"
    assert result.series["observed"].iloc[-1] == 399 - 114 and result.kernel.way[-1] == 1
    assert estimate(replace(design, better="higher"), days).kernel.way[-1] == -1


def test_reasons_are_facts_and_notes_when_the_chart_is_chosen():
    result = estimate(ControlChart(outcome="y", time="month", denominator="n", per=1000), rates())
    assert result.facts["chart"] == "U chart"
    assert result.facts["why this chart"] in result.notes


def test_small_counts_are_marked_for_the_report():
    facts = estimate(ControlChart(outcome="y", time="month", denominator="n", per=1000), rates()).facts
    assert type(facts["smallest count above zero"]).__name__ == "Count"
    assert facts["smallest count above zero"] == rates()["y"].replace(0, 99).min()


def test_designs_survive_json_and_a_number_as_target():
    for design in (
        i_chart(target=95, rebase={"2023-01": "why"}),
        RunChart(outcome="y", time="month", target="3.5", rules="Perla"),
    ):
        assert type(design).from_dict(json.loads(json.dumps(design.to_dict()))) == design
        assert eval(repr(design), {"ControlChart": ControlChart, "RunChart": RunChart}) == design
    assert i_chart(target=95).goal == 95.0 and i_chart().goal is None


def study(design, frame) -> Study:
    return Study(estimate(design, frame), frame, parse(design, frame), estimate)


CHECKS = (
    chart_checks.enough_points,
    chart_checks.baseline_stable,
    chart_checks.independent_points,
    chart_checks.moved_lines,
    chart_checks.sizes,
    chart_chance.chance_variation,
    chart_chance.other_charts,
    chart_chance.false_alarms,
)


@pytest.mark.parametrize(
    "design",
    [
        ControlChart(outcome="y", time="month", denominator="n", per=1000),
        ControlChart(outcome="y", time="month", kind="mr"),
        ControlChart(outcome="y", time="month", kind="g"),
        ControlChart(outcome="n", time="month", kind="t"),
        RunChart(outcome="y", time="month", rules="Perla"),
    ],
    ids=lambda design: design.chart,
)
def test_every_check_is_a_plain_sentence_about_a_known_assumption(design):
    known = {assumption.name for assumption in ASSUMPTIONS}
    held = study(design, rates())
    for check in CHECKS:
        found = check(held)
        assert found.text.endswith(".") and "significant" not in found.text
        assert found.assumption in known


def test_assumptions_are_listed_once_and_some_no_data_can_test():
    for listed in (ASSUMPTIONS, RUN_CHART_ASSUMPTIONS):
        names = [assumption.name for assumption in listed]
        assert len(set(names)) == len(names)
    why = next(each for each in ASSUMPTIONS if each.name == "a signal does not say why")
    assert not why.testable and "InterruptedTimeSeries" in why.prompt


def test_a_shift_in_the_baseline_is_a_concern_until_the_baseline_is_frozen():
    mixed = ControlChart(outcome="y", time="month", denominator="n", per=1000)
    assert chart_checks.baseline_stable(study(mixed, rates())).verdict == "concern"
    frozen = replace(mixed, baseline_until="2022-12")
    assert chart_checks.baseline_stable(study(frozen, rates())).verdict == "supports"


def test_lines_that_were_moved_without_need_are_a_concern():
    found = chart_checks.moved_lines(study(i_chart(rebase={"2023-01": "because"}), measured()))
    assert found.verdict == "concern" and "no signal at all" in found.text
    shift = ControlChart(outcome="y", time="month", denominator="n", rebase={"2023-01": "because"}, per=1000)
    assert chart_checks.moved_lines(study(shift, rates())).verdict == "information"


def test_neighbours_that_resemble_one_another_are_a_concern():
    rng, y = np.random.default_rng(2), [0.0]
    for shock in rng.normal(0, 1, 79):
        y.append(0.8 * y[-1] + shock)
    found = chart_checks.independent_points(study(i_chart(), measured(80).assign(y=y)))
    assert found.verdict == "concern" and "too narrow" in found.text
    calm = measured(80).assign(y=rng.normal(0, 1, 80))
    assert chart_checks.independent_points(study(i_chart(), calm)).verdict == "supports"


def test_correlation_of_neighbours_by_hand():
    y = np.array([1.0, 2, 4, 3, 5, 1, 2, 2, 6, 4])
    chart = estimate(i_chart(), measured(10).assign(y=y)).kernel
    z = y - y.mean()
    r, pairs = chart_checks.neighbour_correlation(chart)
    assert pairs == 9 and r == pytest.approx((z[1:] * z[:-1]).mean() / (z**2).mean())


@pytest.mark.parametrize(("extra", "verdict"), [(0.0, "supports"), (0.9, "concern")])
def test_more_variation_than_chance_is_a_concern_of_the_distribution(extra, verdict):
    rng = np.random.default_rng(7)
    y = rng.poisson(40 * np.exp(extra * rng.normal(0, 0.6, 40)))
    held = study(ControlChart(outcome="y", time="month", kind="c"), measured(40).assign(y=y))
    assert chart_chance.chance_variation(held).verdict == verdict


def test_dispersion_by_hand_and_its_p_value_against_chi_squared():
    from scipy import stats

    y = np.array([7.0, 4, 9, 6, 3, 8, 5, 12, 4, 6, 2, 14])
    held = study(ControlChart(outcome="y", time="month", kind="c"), measured(12).assign(y=y))
    ratio, p_value = chart_chance.dispersion(held.result.kernel, seed=1)
    statistic = ((y - y.mean()) ** 2 / y.mean()).sum()
    assert ratio == pytest.approx(statistic / 11)
    assert p_value == pytest.approx(2 * stats.chi2.sf(statistic, 11), abs=0.03)


def test_false_alarms_are_those_of_the_rules():
    held = study(i_chart(), measured(24))
    found = chart_chance.false_alarms(held)
    series = chart_chance.stable_series(held.result.kernel, np.random.default_rng(1), 120)
    share = chart_chance.signalling(i_chart(), held.result.kernel.points, series)
    assert 0.03 < share < 0.25 and "simulated charts" in found.text
    more = chart_chance.signalling(i_chart(rules="Western Electric"), held.result.kernel.points, series)
    assert more > share


def test_design_checks_need_points_only():
    design = ControlChart(outcome="y", time="month", denominator="n", per=1000)
    points = parse(design, rates())
    assert chart_checks.points_before(design, points).verdict == "supports"
    assert chart_checks.sizes_before(design, points).verdict == "information"
