"""Micro synthetic control: totals by hand and by quadratic programming, intervals, checks, bad input."""

import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import optimize
from statsmodels.stats.multitest import multipletests

import qieval as qe
from qieval.diagnostics.calibrated_choices import holm
from qieval.methods.micro_synthetic_control.inference import _critical, _p_value
from qieval.numerics.small_units_effect import around_effect


def blocks(seed=1, units=160, treated=24, periods=10, start=8, effect=-3.0):
    """Small units whose events follow their residents; the first ones are treated from `start` on."""
    rng = np.random.default_rng(seed)
    residents = rng.gamma(4.0, 20.0, units)
    unit, time = np.divmod(np.arange(units * periods), periods)
    change = np.where((unit < treated) & (time >= start), effect, 0.0)
    return pd.DataFrame(
        {
            "unit": unit,
            "time": time,
            "treated": (unit < treated).astype(int),
            "residents": residents[unit],
            "kind": np.array(["city", "town", "village"])[unit % 3],
            "y": 4 + 0.1 * residents[unit] + rng.poisson(6, units * periods) + change,
            "z": rng.poisson(0.05 * residents[unit] + 1).astype(float),
        }
    )


def stated(**fields):
    return qe.MicroSyntheticControl(
        **{"outcome": "y", "unit": "unit", "time": "time", "treated": "treated", "start": 8, **fields}
    )


def by_quadratic_programming(data, columns, outcome="y", start=8):
    """Total effect with the weights of least sum of squares, found by SLSQP from the data as a table."""
    wide = data.pivot(index="unit", columns="time", values=outcome)
    treated = data.groupby("unit")["treated"].first() == 1
    rows = [np.ones(len(wide)), *(wide[period] for period in range(start)), *columns]
    a = np.array([np.asarray(row, dtype=float) for row in rows])
    scale = np.abs(a).max(axis=1, keepdims=True)
    inside, wanted = (a / scale)[:, ~treated], (a / scale)[:, treated].sum(axis=1)
    even = np.full(inside.shape[1], treated.sum() / inside.shape[1])
    meet = {"type": "eq", "fun": lambda w: inside @ w - wanted, "jac": lambda _: inside}
    found = optimize.minimize(
        lambda w: w @ w / 2, even, jac=lambda w: w, bounds=[(0, None)] * len(even), constraints=meet,
        method="SLSQP", options={"ftol": 1e-14, "maxiter": 500},
    )  # fmt: skip
    assert np.abs(inside @ found.x - wanted).max() < 1e-9
    after = wide.loc[:, start:].sum(axis=1)
    return float(after[treated].sum() - after[~treated] @ found.x)


def total(result):
    return result.estimates.iloc[0]


def test_by_hand():
    # Weights 23/21, 37/42, 1/42 give the number 2 and the total 1 from outcomes 0, 1, 5 before the start.
    y = {"a": (0.5, 9.0), "b": (0.5, 12.0), "p": (0.0, 4.2), "q": (1.0, 8.4), "r": (5.0, 42.0)}
    data = pd.DataFrame(
        [
            {"unit": unit, "time": time, "y": value, "treated": int(unit in "ab")}
            for unit, values in y.items()
            for time, value in enumerate(values)
        ]
    )
    result = qe.estimate(stated(start=1), data)
    expected = 4.6 + 7.4 + 1.0
    assert result.weights.set_index("row")["weight"].to_dict() == pytest.approx(
        {"p": 23 / 21, "q": 37 / 42, "r": 1 / 42}
    )
    assert total(result)["observed"] == 21 and total(result)["expected"] == pytest.approx(expected)
    assert total(result)["estimate"] == pytest.approx(21 - expected)
    assert total(result)["percent_change"] == pytest.approx(100 * (21 / expected - 1))
    assert result.facts["rate ratio"] == pytest.approx(21 / expected)
    assert result.facts["effective number of control units"] == pytest.approx(
        4 / ((23 / 21) ** 2 + (37 / 42) ** 2 + (1 / 42) ** 2)
    )
    assert "8 more in all" in result.headline and "61.5% more" in result.headline
    # Two treated among five: ten groups, so no p-value can be below 0.1, and there is no 95 % interval.
    assert total(result)["p_value"] >= 0.1 and np.isinf(total(result)["conf_high"])
    assert any("no p-value can be below 0.1" in note for note in result.notes)


@pytest.mark.parametrize("seed", range(2))
def test_against_quadratic_programming(seed):
    data = blocks(seed, units=70, treated=12)
    of_units = data.drop_duplicates("unit")
    levels = [of_units["kind"] == "town", of_units["kind"] == "village"]
    result = qe.estimate(stated(match_on=("residents", "kind")), data)
    assert total(result)["estimate"] == pytest.approx(
        by_quadratic_programming(data, [of_units["residents"], *levels]), abs=1e-4
    )
    assert abs(total(result)["estimate"] - 12 * 2 * -3.0) < 4 * total(result)["std_error"]
    alone = qe.estimate(stated(), data)
    assert total(alone)["estimate"] == pytest.approx(by_quadratic_programming(data, []), abs=1e-4)


def test_rows_add_up():
    result = qe.estimate(stated(match_on=("residents",), other_outcomes=("z",)), blocks())
    table = result.estimates
    periods = table[table["term"] == "effect in period"]
    assert list(periods["at"]) == [0, 1]
    for name in ("estimate", "observed", "expected"):
        assert periods[name].sum() == pytest.approx(total(result)[name])
    assert list(table["term"][:2]) == ["total effect", "total effect on z"]
    assert list(table.loc[table["term"] == "gap before the start", "estimate"]) == [0] * 8
    treated = result.series[result.series["group"] == "treated"]
    assert list(treated["observed"] - treated["counterfactual"])[8:] == pytest.approx(
        list(periods["estimate"])
    )
    low = treated["observed"] - treated["conf_high"]
    assert list(low[8:]) == pytest.approx(list(periods["conf_low"]))
    assert result.weights["weight"].sum() == pytest.approx(24)


def test_each_outcome_alone_has_the_weights_of_all():
    data = blocks()
    both = qe.estimate(stated(other_outcomes=("z",)), data).estimates
    turned = qe.estimate(stated(outcome="z", other_outcomes=("y",)), data).estimates
    columns = ["estimate", "std_error", "conf_low", "conf_high", "p_value", "percent_low"]
    assert both.loc[1, columns].to_numpy(float) == pytest.approx(turned.loc[0, columns].to_numpy(float))


def test_linearised_is_that_of_the_kernel():
    result = qe.estimate(stated(match_on=("residents",), inference="linearised"), blocks())
    made = result.kernel
    found = around_effect(made.data, made.weights)
    row = total(result)
    assert row["std_error"] == pytest.approx(found.std_error[0])
    assert [row["percent_low"], row["percent_high"]] == pytest.approx(
        [100 * found.low[0], 100 * found.high[0]]
    )
    assert row["conf_high"] - row["estimate"] == pytest.approx(1.9599639845 * found.std_error[0])


def test_rates_become_counts():
    data = blocks()
    rates = data.assign(y=data["y"] / data["residents"] * 1000)
    counted = qe.estimate(stated(match_on=("kind",)), data).estimates
    rated = qe.estimate(stated(match_on=("kind",), population="residents", per=1000), rates).estimates
    assert rated["estimate"].to_numpy() == pytest.approx(counted["estimate"].to_numpy(), abs=1e-7)


def test_periods_of_anticipation_are_neither_fitted_nor_counted():
    data = blocks()
    result = qe.estimate(stated(anticipation=2, fit_from=1), data)
    assert result.facts["periods fitted"] == 5 and result.facts["periods from the start on"] == 2
    cut = data[data["time"].isin([1, 2, 3, 4, 5, 8, 9])]
    assert total(result)["estimate"] == pytest.approx(total(qe.estimate(stated(), cut))["estimate"])
    early = result.estimates[result.estimates["term"] == "gap before the start"].set_index("at")["estimate"]
    assert list(early.index) == [-7, -6, -5, -4, -3, -2, -1]
    assert (early[:-2] == 0).all() and (early[-2:] != 0).all()


def test_characteristics_are_read_before_the_start_only():
    data = blocks()
    later = data.assign(residents=data["residents"].where(data["time"] < 8, 1e9))
    one, other = (qe.estimate(stated(match_on=("residents",)), held) for held in (data, later))
    assert total(one)["estimate"] == total(other)["estimate"]


def test_out_of_reach():
    data = blocks()
    far = data.assign(y=data["y"] + 500 * data["treated"])
    result = qe.estimate(stated(), far)
    assert "No effect is stated" in result.headline and result.facts["totals not reached"] == 8
    assert any("no weights of control units match" in note for note in result.notes)
    checks = qe.diagnose(result, far)
    assert checks["totals before the start"].verdict == "concern"
    assert "beyond every control unit" in checks["within reach of the control units"].text
    before = qe.design_checks(stated(), far)
    assert before["within reach of the control units"].verdict == "concern"


def test_approximate_totals_give_way():
    data = blocks()
    data["residents"] += 150 * data["treated"]
    design = stated(match_on=("residents",))
    alike, giving = (
        qe.estimate(held, data) for held in (design, replace(design, approximately=("residents",)))
    )
    first, second = alike.kernel.targets, giving.kernel.targets
    assert not first["met"].all() and first.loc[2:, "met"].sum() < 8
    assert second["met"].sum() == 9 and not second.loc[1, "met"]
    assert giving.facts["root mean squared gap before the start"] == 0
    assert alike.facts["root mean squared gap before the start"] > 0
    assert "in all" in giving.headline


def test_which_way_automatic_takes():
    assert qe.estimate(stated(), blocks()).facts["interval by"] == "linearised"
    few = qe.estimate(stated(draws=99), blocks(treated=6))
    assert few.facts["interval by"] == "permuted groups of units"
    one = qe.estimate(stated(draws=99), blocks(treated=1))
    assert "of the treated unit: " in one.headline and np.isnan(total(one)["std_error"])
    thin = blocks(units=32)
    result = qe.estimate(stated(draws=99, other_outcomes=("z",)), thin)
    assert result.facts["interval by"] == "permuted groups of units"
    forced = qe.estimate(stated(inference="linearised", other_outcomes=("z",)), thin)
    assert np.isnan(total(forced)["std_error"]) and any("too few" in note for note in forced.notes)


def test_ways_agree_where_units_are_many():
    data = blocks(units=300, treated=40)
    errors = {
        way: total(qe.estimate(stated(inference=way, draws=199), data))
        for way in ("linearised", "jackknife", "permutation")
    }
    width = {way: row["conf_high"] - row["conf_low"] for way, row in errors.items()}
    assert width["jackknife"] == pytest.approx(width["linearised"], rel=0.3)
    assert width["permutation"] == pytest.approx(width["linearised"], rel=0.3)
    assert len({row["estimate"] for row in errors.values()}) == 1


def test_jackknife_needs_two_treated_units():
    with pytest.raises(qe.EstimationError, match="jackknife"):
        qe.estimate(stated(inference="jackknife"), blocks(treated=1))


def test_same_seed_same_permutation():
    data, design = blocks(treated=6), stated(draws=99, inference="permutation")
    one, two, other = (qe.estimate(held, data) for held in (design, design, replace(design, seed=1)))
    assert total(one)["conf_low"] == total(two)["conf_low"] != total(other)["conf_low"]


def test_p_values_of_few_different_groups():
    # All 9 other groups of 2 among 5 units, drawn often: the exact p-value is rank / 10.
    exact = np.arange(1.0, 10.0)
    many = np.random.default_rng(0).choice(exact, (4000, 1))
    assert len(list(combinations(range(5), 2))) == math.comb(5, 2) == 10
    for own, rank in ((9.5, 1), (7.5, 3), (0.5, 10)):
        assert _p_value(many, np.array([own]), 10)[0] == pytest.approx(rank / 10, abs=0.02)
    assert _critical(many, 0.75, 10)[0] == 8 and np.isinf(_critical(many, 0.95, 10)[0])
    # Of very many groups it is the usual (1 + as extreme) / (1 + draws).
    assert _p_value(many[:99], np.array([1e9]), math.comb(1000, 30))[0] == 0.01
    ordered = np.sort(many[:99, 0])
    assert _critical(many[:99], 0.95, math.comb(1000, 30))[0] == ordered[94]


def test_holm_against_statsmodels():
    p = np.random.default_rng(3).random(7) / 10
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])
    assert np.isnan(holm(np.array([np.nan, 0.2]))[0])


def test_other_outcomes_after_the_start_are_not_touched_by_design_checks():
    class Untouchable:
        def _fail(self, *_, **__):
            raise AssertionError("an outcome after the start was read")

        __float__ = __bool__ = __str__ = __repr__ = __lt__ = __eq__ = __hash__ = __add__ = _fail

    data, design = blocks(), stated(other_outcomes=("z",), match_on=("kind",))
    held = data["z"].astype(object).to_numpy(copy=True)
    late = (data["time"] >= 8).to_numpy()
    held[late] = [Untouchable() for _ in range(late.sum())]
    spoiled = data.drop(columns="z").assign(z=pd.Series(held, index=data.index, dtype=object))

    def shown(checks):
        return [(check.name, check.text, str(check.table)) for check in checks]

    assert shown(qe.design_checks(design, spoiled)) == shown(qe.design_checks(design, data))
    assert set(design.outcome_columns()) == {"y", "z"}


def test_effect_on_the_neighbours():
    data = blocks(units=300, treated=30)
    data["beside"] = data["unit"].between(30, 59).astype(int)
    data["y"] += 5.0 * data["beside"] * (data["time"] >= 8)
    design = stated(match_on=("residents",), spillover="beside")
    result = qe.estimate(design, data)
    assert result.facts["control units"] == 240
    check = qe.diagnose(result, data)["neighbouring units"]
    effects = check.table.set_index("label")["estimate"]
    assert effects["as designed"] == pytest.approx(total(result)["estimate"])
    assert effects["neighbours among the control units"] < effects["as designed"] - 5
    assert effects["effect on the neighbours themselves"] == pytest.approx(30 * 2 * 5, abs=100)
    assert "30 neighbours of the 30 treated units" in check.text


def test_checks_say_what_is_wrong():
    data = blocks(treated=6)
    drifting = data.assign(y=data["y"] - 4 * data["treated"] * (data["time"] >= 5))
    checks = qe.diagnose(qe.estimate(stated(draws=99), drifting), drifting)
    assert checks["backdating"].verdict == "concern"
    assert checks["length of the time before the start"].verdict == "concern"
    assert "fewer than 20" in checks["ways to judge the estimate"].text.lower()
    labels = list(checks["ways to judge the estimate"].table["label"])
    assert labels == ["as designed: permuted groups of units", "linearised", "jackknife"]
    assert checks["without each characteristic"].table is None
    weights = checks["weights of the control units"].table
    assert weights["share_of_the_weight"].is_monotonic_increasing
    short = qe.design_checks(stated(start=3), data)
    assert short["length of the time before the start"].table is None


def test_choices_side_by_side():
    data = blocks()
    design = stated(match_on=("residents", "kind"), other_outcomes=("z",), approximately=("kind", "z"))
    checks = qe.diagnose(qe.estimate(design, data), data)
    table = checks["other ways of weighting the units"].table.set_index("label")
    for label, changes in {
        "raking": {"weighting": "raking"},
        "without the other outcomes": {"other_outcomes": (), "approximately": ("kind",)},
        "the outcome alone": {"other_outcomes": (), "match_on": (), "approximately": ()},
    }.items():
        other = qe.estimate(replace(design, **changes), data)
        assert table.loc[label, "estimate"] == pytest.approx(total(other)["estimate"])
    assert list(checks["without each characteristic"].table["label"])[1:] == [
        "without residents",
        "without kind",
        "without z",
    ]
    several = checks["effects on all outcomes"].table
    assert list(several["outcome"]) == ["y", "z"]
    assert (several["p_value_allowing_for_all"] >= several["p_value"]).all()


def test_missing_values():
    data = blocks()
    design = stated(other_outcomes=("z",), match_on=("residents",))
    gone = (data["unit"] == 100) & (data["time"] == 9)
    with pytest.raises(qe.DataError, match=r"1 control unit lack values \(100\)"):
        qe.estimate(design, data.assign(z=data["z"].mask(gone)))
    kept = replace(design, missing="complete cases")
    result = qe.estimate(kept, data.assign(z=data["z"].mask(gone)))
    assert result.facts["control units"] == 135
    assert any("no gap in what is matched" in note for note in result.notes)
    without = qe.estimate(design, data[data["unit"] != 100])
    assert total(result)["estimate"] == pytest.approx(total(without)["estimate"])
    # One fitted period with the characteristic is enough.
    once = data.assign(residents=data["residents"].where(data["time"] == 3))
    assert total(qe.estimate(design, once))["estimate"] == pytest.approx(
        total(qe.estimate(design, data))["estimate"]
    )
    for column in ("z", "residents", "kind"):
        lacking = data.assign(**{column: data[column].mask(data["unit"] == 3)})
        with pytest.raises(qe.DataError, match=r"1 treated unit lack values \(3\)"):
            qe.estimate(replace(kept, match_on=("residents", "kind")), lacking)
    empty = data.assign(residents=data["residents"].where(data["treated"] == 1))
    with pytest.raises(qe.DataError, match="every control unit lacks"):
        qe.estimate(kept, empty)
    with pytest.raises(qe.DataError, match="other_outcomes: 'z' must hold numbers"):
        qe.estimate(design, data.assign(z=data["z"].astype(object).mask(gone, "few")))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"other_outcomes": ("y",)}, "outcome, other_outcomes: both name the column 'y'"),
        ({"match_on": ("unit",)}, "unit, match_on: both name the column 'unit'"),
        ({"other_outcomes": ("z",), "match_on": ("z",)}, "other_outcomes, match_on: 'z' is in both"),
        ({"approximately": ("z",)}, "approximately: 'z' is neither an outcome nor in match_on"),
        ({"first_treated": "since"}, "first_treated: units that start at different times"),
        ({"weighting": "raked"}, "weighting: 'raked' is not one of the choices"),
    ],
)
def test_contradictions(fields, said):
    with pytest.raises(qe.DesignError, match=said):
        stated(**fields)


def test_characteristics_that_say_the_same():
    data = blocks().assign(constant=1.0, twice=lambda held: 2 * held["residents"])
    result = qe.estimate(stated(match_on=("constant", "residents", "twice")), data)
    plain = qe.estimate(stated(match_on=("residents",)), data)
    figures = ["estimate", "std_error", "conf_low", "p_value", "percent_high"]
    assert list(total(result)[figures]) == pytest.approx(list(total(plain)[figures]))
    assert result.facts["totals that follow from others"] == 2
    assert len(qe.diagnose(result, data)) == 13


def test_pictures_can_be_drawn(tmp_path):
    data = blocks()
    result = qe.estimate(stated(other_outcomes=("z",), match_on=("residents",)), data)
    for name, picture in qe.plots_of(result).items():
        picture.save(tmp_path / f"{name}.png", verbose=False)
        assert (tmp_path / f"{name}.png").stat().st_size > 5_000
    assert list(qe.plots_of(result)) == ["totals", "effects", "outcomes"]
