"""Staggered adoption: what must not change the answer, and what weights and clusters mean."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import qieval as qe
from qieval.numerics import joint

UNITS, PERIODS = 48, 8
APPROACHES = (
    "group-time",
    "interaction-weighted",
    "imputation",
    "two-stage",
    "stacked",
    "two-way",
    "poisson",
    "poisson two-way",
)


@pytest.fixture(autouse=True)
def fewer_draws(monkeypatch):
    """Bands are compared with bands of as many points."""
    monkeypatch.setattr(joint, "SUP_T_DRAWS", 2**12)


@pytest.fixture(scope="module")
def data():
    draw = np.random.default_rng(7)
    start = np.repeat([0, 3, 5, 7], UNITS // 4)
    draw.shuffle(start)
    frame = pd.DataFrame(
        {"id": np.repeat(np.arange(UNITS), PERIODS), "t": np.tile(np.arange(1, PERIODS + 1), UNITS)}
    )
    g = start[frame["id"]]
    x = draw.normal(size=UNITS)[frame["id"]]
    on = (g > 0) & (frame["t"] >= g)
    noise = draw.normal(size=UNITS)[frame["id"]] + draw.normal(size=len(frame))
    return frame.assign(
        g=g,
        x=x,
        y=0.2 * frame["t"] + 0.1 * x * frame["t"] + on * (1 + 0.2 * (frame["t"] - g)) + noise,
        events=draw.poisson(30, len(frame)),
        people=draw.integers(500, 900, UNITS)[frame["id"]],
        weight=draw.integers(1, 4, UNITS)[frame["id"]],
        region=frame["id"] // 4,
    )


def design(**fields):
    counts = {"outcome": "events", "exposure": "people"} if "poisson" in fields.get("approach", "") else {}
    held = {"outcome": "y", "unit": "id", "time": "t", "first_treated": "g", "inference": "analytic"}
    return qe.StaggeredAdoption(**(held | counts | fields))


def figures(result):
    columns = ["at", "estimate", "std_error", "conf_low", "conf_high", "band_low", "band_high"]
    return result.estimates[[name for name in columns if name in result.estimates]].to_numpy(float)


def same(found, base, tolerance=1e-8):
    np.testing.assert_allclose(figures(found), figures(base), rtol=tolerance, atol=1e-9)


FULL = {"covariates": ("x",), "weights": "weight", "cluster": "region"}


@pytest.mark.parametrize("approach", APPROACHES)
def test_order_of_rows_and_names_of_units(data, approach):
    stated = design(approach=approach, **FULL)
    base = qe.estimate(stated, data)
    same(qe.estimate(stated, data.sample(frac=1, random_state=3)), base)
    names = {unit: f"practice {unit * 29 % 53:02d}" for unit in range(UNITS)}
    same(qe.estimate(stated, data.assign(id=data["id"].map(names))), base)


@pytest.mark.parametrize("approach", APPROACHES)
def test_unbalanced_panels_do_not_depend_on_order(data, approach):
    frame = data.sample(frac=0.92, random_state=5)
    base = qe.estimate(design(approach=approach), frame.sort_values(["id", "t"]))
    same(qe.estimate(design(approach=approach), frame), base)


@pytest.mark.parametrize("approach", APPROACHES)
def test_shift_of_all_dates(data, approach):
    stated = design(approach=approach, anticipation=1, control_group="not yet")
    moved = data.assign(t=data["t"] + 2000, g=(data["g"] + 2000).where(data["g"] > 0, 0))
    same(qe.estimate(stated, moved), qe.estimate(stated, data))


@pytest.mark.parametrize("approach", [name for name in APPROACHES if "poisson" not in name])
@pytest.mark.parametrize("factor", [1e-9, 1e9])
def test_units_of_the_outcome(data, approach, factor):
    stated = design(approach=approach, **FULL)
    base = qe.estimate(stated, data)
    found = qe.estimate(stated, data.assign(y=data["y"] * factor + 5 * factor))
    scaled = figures(found)
    scaled[:, 1:] /= factor
    np.testing.assert_allclose(scaled, figures(base), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("approach", ["poisson", "poisson two-way"])
def test_units_of_the_exposure(data, approach):
    stated = design(approach=approach)
    base = qe.estimate(stated, data).estimates
    found = qe.estimate(stated, data.assign(people=data["people"] / 1000)).estimates
    kept = base["term"] != "rate difference"
    np.testing.assert_allclose(found.loc[kept, "estimate"], base.loc[kept, "estimate"], rtol=1e-7)
    np.testing.assert_allclose(found.loc[~kept, "estimate"], 1000 * base.loc[~kept, "estimate"], rtol=1e-7)


@pytest.mark.parametrize("approach", APPROACHES)
def test_units_of_covariates(data, approach):
    base = qe.estimate(design(approach=approach, covariates=("x",)), data)
    found = qe.estimate(design(approach=approach, covariates=("x",)), data.assign(x=1e4 * data["x"]))
    same(found, base, 1e-6)


@pytest.mark.parametrize("approach", APPROACHES)
def test_scale_of_weights(data, approach):
    stated = design(approach=approach, weights="weight")
    found = qe.estimate(stated, data.assign(weight=data["weight"] * 1000))
    kept = found.estimates["term"] != "events prevented"
    base = qe.estimate(stated, data)
    np.testing.assert_allclose(figures(found)[kept], figures(base)[kept], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("estimator", ["doubly robust", "ipw", "regression"])
def test_weights_of_cross_sections_are_repeated_rows(data, estimator):
    """Estimates only: a row that counts three times is not three independent rows."""
    rows = data.assign(id=np.arange(len(data)))
    repeated = rows.loc[rows.index.repeat(rows["weight"])].reset_index(drop=True)
    stated = design(data="repeated cross-sections", covariates=("x",), estimator=estimator)
    weighted = qe.estimate(replace(stated, weights="weight"), rows)
    copies = repeated.assign(id=repeated.index)
    by_hand = qe.estimate(replace(stated, unit="copy", cluster="id"), repeated.assign(copy=copies.index))
    np.testing.assert_allclose(figures(weighted)[:, :2], figures(by_hand)[:, :2], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(figures(weighted)[:, 2], figures(by_hand)[:, 2], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("approach", [name for name in APPROACHES if name not in ("stacked", "poisson")])
def test_weights_of_units_are_repeated_units(data, approach):
    check_weights(data, approach)


def check_weights(data, approach):
    """Estimates: as many units as the weight says."""
    weighted = qe.estimate(design(approach=approach, weights="weight"), data).estimates
    copies = data.loc[data.index.repeat(data["weight"])]
    number = copies.groupby(["id", "t"]).cumcount()
    copies = copies.assign(id=copies["id"] * 10 + number).reset_index(drop=True)
    repeated = qe.estimate(design(approach=approach), copies).estimates
    np.testing.assert_allclose(weighted["estimate"], repeated["estimate"], rtol=1e-6)


def test_effect_by_hand(data):
    """One cohort and period: the change of the cohort less that of those who never begin."""
    y = data.pivot(index="id", columns="t", values="y")
    start = data.groupby("id")["g"].first()
    found = qe.estimate(design(), data).estimates
    cells = found[found["term"] == "effect of cohort in period"].set_index(["cohort", "period"])
    sizes, effects = [], []
    for cohort in (3, 5, 7):
        change = y.sub(y[cohort - 1], axis=0)
        effect = change[start == cohort].mean() - change[start == 0].mean()
        for period in range(cohort, PERIODS + 1):
            row = cells.loc[(str(cohort), str(period))]
            assert row["estimate"] == pytest.approx(effect[period])
            spread = sum(
                change.loc[start == who, period].var(ddof=0) / (start == who).sum() for who in (cohort, 0)
            )
            assert row["std_error"] == pytest.approx(np.sqrt(spread))
        sizes.append((start == cohort).sum())
        effects.append(effect.loc[cohort:].mean())
    assert found.loc[0, "estimate"] == pytest.approx(np.average(effects, weights=sizes))


def test_two_groups_and_one_start_are_a_difference_in_differences(data):
    """All approaches to differences agree where there is one start and no covariate."""
    frame = data[data["g"].isin([0, 5])].assign(treated=lambda held: (held["g"] > 0).astype(int))
    plain = qe.DifferenceInDifferences(
        outcome="y", unit="id", time="t", treated="treated", start=5, inference="analytic"
    )
    expected = qe.estimate(plain, frame).estimates.iloc[0]
    for approach in ("two-way", "imputation", "two-stage"):
        found = qe.estimate(design(approach=approach), frame).estimates.iloc[0]
        assert found["estimate"] == pytest.approx(expected["estimate"])
    two_way = qe.estimate(design(approach="two-way"), frame).estimates.iloc[0]
    assert two_way["std_error"] == pytest.approx(expected["std_error"])


def test_clusters_of_one_unit_change_nothing(data):
    base = qe.estimate(design(), data)
    same(qe.estimate(design(cluster="own"), data.assign(own=1000 - data["id"])), base)


# Matched people, from `qe.matched`


@pytest.fixture(scope="module")
def pairs():
    draw = np.random.default_rng(11)
    n, periods = 400, 6
    people = pd.DataFrame({"person": np.arange(n), "age": draw.normal(65, 9, n)})
    people["service"] = (draw.random(n) < 1 / (1 + np.exp(-(people["age"] - 70) / 8))).astype(int)
    began = np.where(people["service"] == 1, draw.choice([3, 5], n), 0)
    panel = pd.DataFrame(
        {"person": np.repeat(np.arange(n), periods), "t": np.tile(np.arange(1, periods + 1), n)}
    )
    at = panel["person"].to_numpy()
    on = (began[at] > 0) & (panel["t"] >= began[at])
    level = 0.05 * people["age"].to_numpy()[at] * (1 + 0.1 * panel["t"])
    panel = panel.assign(g=began[at], y=level - on + draw.normal(size=len(panel)))
    match = qe.Matching(treated="service", covariates=("age",), caliper=0.2, person="person")
    return qe.matched(qe.estimate(match, people), people, panel=panel).frame


MATCHED = {"unit": "person", "weights": "matching_weight", "cluster": "matched_set"}


def test_matched_sets_are_clusters(pairs):
    """The error of an effect is that of sums of influence over pairs: here written out for pairs of equal
    weight."""
    assert (pairs["matching_weight"] == 1).all()
    found = qe.estimate(design(**MATCHED), pairs)
    cells = found.estimates[found.estimates["term"] == "effect of cohort in period"]
    row = cells.set_index(["cohort", "period"]).loc[("3", "4")]
    y = pairs.pivot(index="person", columns="t", values="y")
    once = pairs.groupby("person")[["g", "matched_set"]].first()
    change, treated, control = y[4] - y[2], once["g"] == 3, once["g"] == 0
    effect = change[treated].mean() - change[control].mean()
    parts = treated * (change - change[treated].mean()) / treated.sum()
    parts -= control * (change - change[control].mean()) / control.sum()
    error = np.sqrt((parts.groupby(once["matched_set"]).sum() ** 2).sum())
    assert row["estimate"] == pytest.approx(effect) and row["std_error"] == pytest.approx(error)
    assert found.facts["clusters"] == once["matched_set"].nunique() == len(once) / 2


def test_pairs_change_errors_and_not_estimates(pairs):
    by_set = qe.estimate(design(**MATCHED), pairs)
    alone = qe.estimate(design(**(MATCHED | {"cluster": None})), pairs)
    np.testing.assert_allclose(by_set.estimates["estimate"], alone.estimates["estimate"])
    assert by_set.estimates.loc[0, "std_error"] != alone.estimates.loc[0, "std_error"]


@pytest.mark.parametrize("approach", ["interaction-weighted", "imputation", "two-way"])
def test_matched_people_in_other_approaches(pairs, approach):
    by_set = qe.estimate(design(approach=approach, **MATCHED), pairs)
    alone = qe.estimate(design(approach=approach, **(MATCHED | {"cluster": None})), pairs)
    assert by_set.facts["clusters"] == pairs["matched_set"].nunique()
    assert alone.facts["clusters"] == pairs["person"].nunique()
    (first, error), (estimate, other) = (
        held.estimates.loc[0, ["estimate", "std_error"]] for held in (by_set, alone)
    )
    assert first == pytest.approx(estimate) and error != pytest.approx(other)


def test_weights_of_units_are_repeated_units_for_ratios(data):
    check_weights(data, "poisson")


def change_in_means(frame, cohort, others, period, base):
    """The change of a cohort less that of some others, from means of rows."""

    def change(rows):
        return rows.loc[rows["t"] == period, "y"].mean() - rows.loc[rows["t"] == base, "y"].mean()

    return change(frame[frame["g"] == cohort]) - change(frame[frame["g"].isin(others)])


def cells_of(result):
    found = result.estimates[result.estimates["term"] == "effect of cohort in period"]
    return found.set_index(["cohort", "period"])["estimate"]


def test_a_start_just_after_the_data_with_anticipation_is_left_out_and_said(data):
    frame = data.assign(g=data["g"].replace(7, 9))
    result = qe.estimate(design(anticipation=1, control_group="not yet"), frame)
    found = cells_of(result)
    assert any("begin just after the data end" in str(note) for note in result.notes)
    assert found["3", "3"] == pytest.approx(change_in_means(frame, 3, [0, 5], 3, 1))


def test_cross_sections_without_never_keep_cohorts_that_begin_late(data):
    frame = data[data["g"] > 0].assign(g=data["g"].replace(5, 6))
    stated = design(anticipation=1, control_group="not yet", data="repeated cross-sections")
    found = cells_of(qe.estimate(stated, frame))
    assert found["6", "4"] == pytest.approx(change_in_means(frame, 6, [7], 4, 3))
