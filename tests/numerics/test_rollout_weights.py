import json
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from qieval.numerics.group_time import group_time
from qieval.numerics.group_time_aggregate import Members, aggregate
from qieval.numerics.group_time_cells import Rules, WidePanel
from qieval.numerics.rollout_weights import NO_EFFECT, RolloutRules, rollout_weights

TIMES = np.arange(1.0, 8.0)
SHARED = Path(__file__).resolve().parents[3] / "shared"


def panel(seed=0, never=True, n=40):
    rng = np.random.default_rng(seed)
    first = rng.choice([3.0, 4.0, 6.0, np.inf if never else 7.0], n)
    y = rng.standard_normal((n, 1)) + TIMES**1.5 + rng.standard_normal((n, 7))
    return first, y + (first[:, None] <= TIMES) * 2.0, rng.uniform(0.5, 3.0, n)


def loop(first, y, w, rules):
    """Cell by cell, from the definition."""
    cells = []
    for g, t in product(np.unique(first[np.isfinite(first)]), TIMES):
        base = max((s for s in TIMES if s < g - rules.anticipation), default=None)
        control = np.isinf(first) if rules.control_group == "never" else first > t + rules.anticipation
        if base is None or t < g or not control.any():
            continue
        change = y[:, t == TIMES][:, 0] - y[:, base == TIMES][:, 0]
        mine = first == g
        effect = np.average(change[mine], weights=w[mine]) - np.average(change[control], weights=w[control])
        cells.append((g, t, w[mine].sum(), effect))
    key = {
        "simple": lambda g, t: 0,
        "group": lambda g, t: g,
        "dynamic": lambda g, t: t - g,
        "calendar": lambda g, t: t,
    }
    parts = {}
    for g, t, size, effect in cells:
        parts.setdefault(key[rules.aggregation](g, t), []).append((size, effect))
    means = [np.average([e for _, e in one], weights=[s for s, _ in one]) for one in parts.values()]
    sizes = [one[0][0] for one in parts.values()] if rules.aggregation == "group" else None
    return np.average(means, weights=sizes)


@pytest.mark.parametrize("aggregation", ["simple", "group", "dynamic", "calendar"])
@pytest.mark.parametrize(
    "control, anticipation, never", [("never", 0, True), ("not yet", 0, False), ("not yet", 1, True)]
)
def test_group_time_against_a_loop_over_cells(aggregation, control, anticipation, never):
    first, y, w = panel(1, never)
    rules = RolloutRules(control_group=control, aggregation=aggregation, anticipation=anticipation)
    found = rollout_weights(first, TIMES, rules, w)
    assert np.sum(found.weights * y) == pytest.approx(loop(first, y, w, rules), rel=1e-10)
    assert found.weights.sum(axis=1) == pytest.approx(0, abs=1e-12) and found.reason == ""
    assert found.weights.sum(axis=0) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("aggregation", ["simple", "group", "dynamic", "calendar"])
@pytest.mark.parametrize("control", ["never", "not yet"])
def test_group_time_equals_the_estimator_itself(aggregation, control):
    first, y, w = panel(2)
    rules = Rules("regression", control)
    cells = group_time(WidePanel(TIMES.astype(int), first, y, np.empty((len(y), 0)), w), rules)
    other = aggregate(cells, Members(first, w), aggregation).overall
    mine = rollout_weights(first, TIMES, RolloutRules(control_group=control, aggregation=aggregation), w)
    assert np.sum(mine.weights * y) == pytest.approx(other, rel=1e-10)


@pytest.mark.parametrize("never", [True, False])
def test_imputation_against_dummies_fitted_to_untreated_rows(never):
    first, y, w = panel(3, never)
    unit, time = [index.ravel() for index in np.indices(y.shape)]
    treated = (first[:, None] <= TIMES).ravel()
    design = np.column_stack([unit[:, None] == np.arange(len(y)), time[:, None] == np.arange(7)]).astype(
        float
    )
    root = np.sqrt(w[unit])
    free = ~treated
    fitted = np.linalg.lstsq((design * root[:, None])[free], (y.ravel() * root)[free], rcond=None)[0]
    comparable = treated & (first.max() > TIMES)[time]
    slow = np.average((y.ravel() - design @ fitted)[comparable], weights=w[unit][comparable])
    found = rollout_weights(first, TIMES, RolloutRules(estimator="imputation"), w)
    assert np.sum(found.weights * y) == pytest.approx(slow, rel=1e-9)


def test_two_way_against_dummies():
    first, y, w = panel(4, never=False)
    unit, time = [index.ravel() for index in np.indices(y.shape)]
    d = (first[:, None] <= TIMES).ravel()
    design = np.column_stack([d, unit[:, None] == np.arange(len(y)), time[:, None] == np.arange(7)]).astype(
        float
    )
    root = np.sqrt(w[unit])
    slow = np.linalg.lstsq(design * root[:, None], y.ravel() * root, rcond=None)[0][0]
    found = rollout_weights(first, TIMES, RolloutRules(estimator="two-way"), w)
    assert np.sum(found.weights * y) == pytest.approx(slow, rel=1e-9)


@pytest.mark.parametrize("estimator", ["group-time", "imputation", "two-way"])
def test_a_constant_effect_is_returned_whole(estimator):
    first, _, w = panel(5)
    effect = (first[:, None] <= TIMES) * 3.0 + TIMES**2 + first.size * np.arange(first.size)[:, None]
    rules = RolloutRules(estimator=estimator)
    assert np.sum(rollout_weights(first, TIMES, rules, w).weights * effect) == pytest.approx(3.0, rel=1e-8)
    later = rollout_weights(first + 100, TIMES + 100, rules, w * 1e6)
    assert later.weights == pytest.approx(rollout_weights(first, TIMES, rules, w).weights, abs=1e-12)


def test_stepped_wedge_leaves_out_periods_without_controls():
    first = np.array([2.0, 3, 4, 5])
    found = rollout_weights(first, np.arange(1.0, 9.0)).weights
    assert (found[:, 4:] == 0).all() and (found[:, 3] != 0).any()
    assert (
        rollout_weights(first, np.arange(1.0, 9.0), RolloutRules(control_group="never")).reason == NO_EFFECT
    )


@pytest.mark.parametrize("estimator", ["group-time", "imputation", "two-way"])
@pytest.mark.parametrize("first", [[np.inf, np.inf], [9.0, 10.0], [3.0, 3.0], [1.0, 1.0], [0.0, 1.0]])
def test_nothing_to_compare(estimator, first):
    found = rollout_weights(np.array(first), TIMES, RolloutRules(estimator=estimator))
    assert found.reason == NO_EFFECT and found.weights.shape == (2, 7) and not found.weights.any()


def test_units_without_a_period_before_take_no_part():
    first, _, w = panel(6)
    early = np.append(first, [1.0, 0.0])
    rules = RolloutRules()
    found = rollout_weights(early, TIMES, rules, np.append(w, [1.0, 1.0])).weights
    assert found[:-2] == pytest.approx(rollout_weights(first, TIMES, rules, w).weights)
    assert not found[-2:].any()
    ahead = replace(rules, anticipation=2)
    assert not rollout_weights(first, TIMES, ahead, w).weights[first == 3].any()


@pytest.mark.skipif(
    not (SHARED / "reference" / "did.json").is_file(),
    reason="the shared reference numbers are not beside the repository",
)
def test_reference_numbers_of_did_didimputation_and_fixest():
    held = json.loads((SHARED / "reference" / "did.json").read_text(encoding="utf-8"))["cases"]
    expected = {case["id"]: case["expected"] for case in held}
    frame = pd.read_csv(SHARED / "data" / "did_mpdta.csv")
    y = frame.pivot(index="countyreal", columns="year", values="lemp")
    first = frame.groupby("countyreal")["first.treat"].first().replace(0, np.inf).to_numpy(float)

    def overall(**rules):
        weights = rollout_weights(first, y.columns.to_numpy(float), RolloutRules(**rules)).weights
        return np.sum(weights * y.to_numpy())

    for name, control in (("nevertreated", "never"), ("notyettreated", "not yet")):
        for kind in ("simple", "group", "dynamic", "calendar"):
            stated = expected[f"mpdta_cs_{name}_dr_none"][kind]["overall_att"]
            assert overall(control_group=control, aggregation=kind) == pytest.approx(stated, rel=1e-9)
    # didimputation demeans by iteration, and the file asks for 1e-6; dummies agree to 1e-9 (see above).
    assert overall(estimator="imputation") == pytest.approx(
        expected["mpdta_bjs_static"]["estimate"][0], rel=1e-6
    )
    assert overall(estimator="two-way") == pytest.approx(
        expected["mpdta_twfe_static"]["estimate"][0], rel=1e-8
    )
