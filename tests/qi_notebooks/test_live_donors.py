"""Weights of donors and their fit before the start as light HTML."""

import re

import numpy as np
import pandas as pd
import pytest

import qieval as qe
from qi_notebooks import drawing
from qi_notebooks import live_donors as live
from qi_notebooks.presets import PRESETS

PLAIN = {
    name: held for name, held in PRESETS["one_hospital"].items() if name not in ("predictors", "question")
}


@pytest.fixture(scope="module")
def bench():
    return qe.tuning(qe.SyntheticControl(**PLAIN), qe.data.example("one_hospital"))


def words(drawn):
    return re.sub("<[^>]+>", "", drawn)


def points(drawn, style):
    found = re.findall(rf"<polyline class='{style}' points='([^']*)'", drawn)
    return [[tuple(map(float, point.split(","))) for point in line.split()] for line in found]


def test_the_line_of_numbers_names_fit_donors_and_the_heaviest(bench):
    trial = bench.try_()
    shown = words(live.numbers(trial))
    heaviest = trial.weights.iloc[0]
    assert f"misses by {qe.markup.words(trial.missed_by)} before" in shown
    assert "23 of 24 untreated units" in shown
    assert f"{heaviest['donor']} ({heaviest['weight']:.0%})" in shown
    assert f"{1 / (trial.weights['weight'] ** 2).sum():.1f} equal donors" in shown
    assert ("✓ closer" in shown) is trial.met is True
    assert "the nearest donor by" in shown


def test_a_poor_fit_is_not_called_close(bench):
    alone = bench.try_(donors=("H01",))
    assert "✗ no closer than simpler predictions" in live.numbers(alone)
    assert "as many as 1.0 equal donors" in words(live.numbers(alone))


def test_lines_lie_where_the_values_do(bench):
    trial = bench.try_()
    drawn = live.paths(trial)
    lines = {name: points(drawn, style) for name, (style, _) in live.LINES.items()}
    assert all(len(held) == 1 and len(held[0]) == 60 for held in lines.values())
    heights = np.concatenate([[y for _, y in held[0]] for held in lines.values()])
    values = np.concatenate([trial.paths[name].to_numpy() for name in lines])
    slope, level = np.polyfit(values, heights, 1)
    assert slope < 0
    assert np.allclose(slope * values + level, heights, atol=0.06)
    assert heights.min() >= drawing.ABOVE
    assert heights.max() <= live.HIGH
    assert "2012-01" in drawn
    assert "2016-12" in drawn
    assert "2017" not in drawn


def test_the_gap_has_a_line_at_zero(bench):
    trial = bench.try_()
    drawn = live.gaps(trial)
    zero = float(re.search(r"y1='([\d.]+)' y2='[\d.]+' class='qi-axis'", drawn)[1])
    above = [y < zero for _, y in points(drawn, "qi-line-treated")[0]]
    assert above == (trial.paths["gap"] > 0).tolist()


def test_periods_that_are_not_fitted_are_shaded(bench):
    assert "not fitted" not in live.paths(bench.try_())
    assert "not fitted" in live.paths(bench.try_(fit_from="2013-01"))


def test_bars_are_the_weights_in_order(bench):
    trial = bench.try_()
    rows = re.findall(
        r"<th scope='row'>(.*?)</th><td class='qi-bar'><i style='width:([\d.]+)%'></i></td><td>(.*?)</td>",
        live.weights(trial),
    )
    heavy = trial.weights[trial.weights["weight"] >= live.SMALLEST]
    assert [name for name, _, _ in rows] == heavy["donor"].tolist()
    assert [float(weight) for *_, weight in rows] == pytest.approx(heavy["weight"].tolist(), abs=6e-4)
    widths = np.array([float(width) for _, width, _ in rows])
    assert widths == pytest.approx(widths[0] * heavy["weight"] / heavy["weight"].iloc[0], abs=0.1)
    assert f"{23 - len(heavy)} more donors weigh next to nothing" in live.weights(trial)


def test_negative_weights_look_different_and_many_are_cut():
    table = pd.DataFrame({"donor": [f"U{n}" for n in range(30)], "weight": [0.5, -0.2, *[0.025] * 28]})
    trial = qe.DonorTrial(
        design=qe.SyntheticControl(**PLAIN),
        paths=pd.DataFrame(),
        weights=table,
        shared=None,
        fit=pd.DataFrame({"prediction": ["synthetic control"], "root_mean_squared_gap": [1.0]}),
        met=True,
        identified=True,
        donors=30,
        untreated=30,
        notes=(),
    )
    drawn = live.weights(trial)
    assert drawn.count("qi-negative") == 1
    assert f"{30 - live.MOST_BARS} more donors weigh less." in drawn
    assert "equal donors" not in live.numbers(trial)


def test_what_is_shared_and_remarks(bench):
    assert live.shared(bench.try_()) == ""
    trial = bench.try_(predictors={"share_over_75": "", "beds": ""})
    assert "share_over_75" in live.shared(trial)
    assert "%" in live.shared(trial)
    assert "other weights fit as well" in live.remarks(trial)
    assert "no similar intervention of their own (H24)" in live.remarks(trial)
    assert live.remarks(bench.try_(similar_intervention=None)) == ""


def test_names_of_units_are_escaped():
    data = qe.data.simulate_hospital(6, (14, 6), seed=2)
    frame = data.frame.assign(hospital="<b>" + data.frame["hospital"])
    design = qe.SyntheticControl(**{**PLAIN, "start": data.truth["start"], "events": {}})
    trial = qe.tuning(design, frame).try_()
    drawn = live.weights(trial) + live.numbers(trial) + live.remarks(trial)
    assert "<b>H" not in drawn.replace("is <b>&lt;b&gt;", "")
    assert "&lt;b&gt;H" in drawn


@pytest.mark.parametrize(("low", "top"), [(0.3, 9.8), (-15, 13), (98, 153), (1e-4, 2e-4), (-3e6, 8e6)])
def test_ticks_are_round_and_inside(low, top):
    found = drawing.ticks(low, top)
    assert 1 <= len(found) <= 5
    assert all(low <= tick <= top for tick in found)
    assert np.allclose(np.diff(found), np.diff(found)[0]) if len(found) > 1 else True
    assert drawing.ticks(5, 5) == ()
