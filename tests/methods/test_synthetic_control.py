"""Synthetic controls through the public verbs: numbers that can be worked out by hand or by brute force."""

import numpy as np
import pandas as pd
import pytest
import scipy

import qieval as qe
from qieval.errors import EstimationError

BEGIN, START, PLACES, PERIODS = 2000, 2016, 21, 22


def panel(seed: int = 1, treated: int = 1, effect: float = -5.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    moves = np.cumsum(rng.normal(0.1, 1, (PERIODS, 3)), axis=0)
    share = rng.dirichlet([0.7, 0.7, 0.7], PLACES)
    share[:treated] = [0.4, 0.35, 0.25]
    y = 60 + 3 * moves @ share.T + rng.normal(0, 0.4, (PERIODS, PLACES))
    y[START - BEGIN :, :treated] += effect
    place, time = np.divmod(np.arange(PLACES * PERIODS), PERIODS)
    return pd.DataFrame(
        {
            "place": [f"p{each:02d}" for each in place],
            "year": BEGIN + time,
            "y": y.T.ravel(),
            "treated": (place < treated).astype(int),
            "old": share[place, 0] + 0.001 * time,
            "people": 1000.0 * (1 + place % 3) + time,
        }
    )


@pytest.fixture(scope="module")
def data():
    return panel()


def design(**fields):
    return qe.SyntheticControl(
        **{"outcome": "y", "unit": "place", "time": "year", "treated": "treated", "start": START, **fields}
    )


@pytest.fixture(scope="module")
def result(data):
    return qe.estimate(design(), data)


def wide(frame):
    """Outcomes (T, n), the treated place first."""
    return frame.pivot(index="year", columns="place", values="y").to_numpy()


PRE = START - BEGIN


def brute_weights(target, donors):
    """The simplex problem by a general solver, from several starts."""

    def loss(w):
        return np.sum((target - donors @ w) ** 2)

    n = donors.shape[1]
    found = scipy.optimize.minimize(
        loss,
        np.full(n, 1 / n),
        jac=lambda w: -2 * donors.T @ (target - donors @ w),
        bounds=[(0, 1)] * n,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones(n)},
        method="SLSQP",
        options={"maxiter": 1000, "ftol": 1e-14},
    )
    return found.x


def brute_gaps(y):
    """Gaps (T, n) of every place against the others; the treated place is nobody's donor."""
    gaps = np.empty_like(y)
    for unit in range(y.shape[1]):
        pool = [other for other in range(1, y.shape[1]) if other != unit]
        level = y[:PRE, unit].mean()
        w = brute_weights(y[:PRE, unit] - level, y[:PRE, pool] - level)
        gaps[:, unit] = y[:, unit] - y[:, pool] @ w
    return gaps


@pytest.fixture(scope="module")
def slow(data):
    return brute_gaps(wide(data))


def att(found):
    return float(found.estimates.loc[0, "estimate"])


def test_estimate_effects_and_gaps(result, slow):
    assert att(result) == pytest.approx(slow[PRE:, 0].mean(), rel=1e-4)
    table = result.estimates.dropna(subset=["at"]).sort_values("at")
    np.testing.assert_allclose(table["estimate"], slow[:, 0], atol=1e-3)
    assert table["at"].tolist() == list(range(-PRE, PERIODS - PRE))
    rmspe = np.sqrt(np.mean(slow[:PRE, 0] ** 2))
    assert result.facts["root mean squared gap before the start"] == pytest.approx(rmspe, rel=1e-4)


def test_the_weights_are_a_mean_and_optimal(result, data):
    weights = result.weights["weight"]
    assert weights.sum() == pytest.approx(1, abs=1e-12) and weights.min() >= 0
    assert result.kernel.fits[0].certificate <= 1e-12
    assert result.facts["effective number of donors"] == pytest.approx(1 / (weights**2).sum())
    y = wide(data)
    own = np.sum((result.kernel.fits[0].gaps[:PRE]) ** 2)
    other = y[:PRE, 0] - y[:PRE, 1:] @ np.full(PLACES - 1, 1 / (PLACES - 1))
    assert own < np.sum(other**2)


def ratios(gaps):
    return (gaps[PRE:] ** 2).mean(axis=0) / (gaps[:PRE] ** 2).mean(axis=0)


def test_rank_and_p_value(result, slow):
    found = ratios(slow)
    rank = int((found >= found[0]).sum())
    assert result.facts["rank among all units"] == rank and result.facts["units ranked"] == PLACES
    assert result.estimates.loc[0, "p_value"] == pytest.approx(rank / PLACES)


def test_the_interval_inverts_the_permutation_test(data, slow):
    """At each end of the interval the test just rejects, inside it does not: with every effect tried."""
    found = qe.estimate(design(level=0.9), data).estimates.loc[0]
    others = ratios(slow)[1:]

    def p_value(effect):
        moved = slow[:, 0] - effect * (np.arange(PERIODS) >= PRE)
        own = np.mean(moved[PRE:] ** 2) / np.mean(moved[:PRE] ** 2)
        return (1 + (others >= own).sum()) / PLACES

    tried = np.linspace(found["conf_low"] - 5, found["conf_high"] + 5, 4001)
    kept = [effect for effect in tried if p_value(effect) > 0.1]
    assert min(kept) == pytest.approx(found["conf_low"], abs=0.02)
    assert max(kept) == pytest.approx(found["conf_high"], abs=0.02)


def test_intervals_by_period_are_permutation_tests_of_that_period(data, slow):
    table = qe.estimate(design(level=0.9), data).estimates
    late = table[table["term"] == "effect in period"].reset_index(drop=True)
    rmspe = np.sqrt((slow[:PRE] ** 2).mean(axis=0))
    for at, row in late.iterrows():
        spread = np.sort(np.abs(slow[PRE + at, 1:]) / rmspe[1:])
        half = rmspe[0] * spread[-2]
        assert row["conf_high"] - row["estimate"] == pytest.approx(half, rel=2e-3)
        own = np.abs(slow[PRE + at, 0]) / rmspe[0]
        assert row["p_value"] == pytest.approx((1 + (spread >= own).sum()) / PLACES)


def test_a_level_that_cannot_be_reached_gives_no_interval(data):
    few = data[data["place"] <= "p08"]
    found = qe.estimate(design(level=0.99), few)
    assert np.isinf(found.estimates.loc[0, ["conf_low", "conf_high"]].astype(float)).all()
    assert any("no test can reach a level of 99%" in note for note in found.notes)
    assert "no bounded 99% interval" in found.headline


def test_automatic_takes_time_where_donors_are_few(data):
    few = data[data["place"] <= "p08"]
    found = qe.estimate(design(level=0.9), few)
    assert found.facts["interval by"] == "conformal test over time"
    asked = qe.estimate(design(level=0.9, inference="conformal"), few)
    pd.testing.assert_frame_equal(found.estimates, asked.estimates)
    assert found.estimates.loc[0, "conf_low"] < -5 + 2 and found.estimates.loc[0, "conf_high"] > -5 - 2


@pytest.mark.parametrize("asked", ["conformal", "prediction"])
def test_inference_that_does_not_go_with_predictors(asked, data):
    stated = design(predictors={"old": ""}, v="inverse variance", inference=asked)
    with pytest.raises(EstimationError, match="inference"):
        qe.estimate(stated, data)


def test_prediction_intervals_hold_the_effect(data):
    found = qe.estimate(design(inference="prediction", draws=199), data)
    row = found.estimates.loc[0]
    assert row["conf_low"] < row["estimate"] < row["conf_high"] < 0
    again = qe.estimate(design(inference="prediction", draws=199), data)
    pd.testing.assert_frame_equal(found.estimates, again.estimates)


def test_demeaned_is_classic_on_demeaned_outcomes(data):
    moved = data.assign(y=data["y"] + 30 * data["treated"])
    found = qe.estimate(design(method="demeaned"), moved)
    before = data[data["year"] < START].groupby("place")["y"].mean()
    flat = data.assign(y=data["y"] - data["place"].map(before))
    assert att(found) == pytest.approx(att(qe.estimate(design(), flat)), rel=1e-8)


def test_given_weights_of_predictors_solve_their_problem(data):
    """The treated place is older than all donors, so that no weights reproduce the predictors."""
    frame = data.assign(old=data["old"] + 2 * data["treated"])
    found = qe.estimate(design(predictors={"old": "", "y": "2003; 2015"}, v={"old": 2, "y": 1}), frame)
    fit = found.kernel.fits[0]
    assert fit.predictor_weights == pytest.approx([0.5, 0.25, 0.25]) and fit.identified
    y = wide(frame)
    old = frame[frame["year"] < START].groupby("place")["old"].mean().to_numpy()
    x = np.array([old, y[3], y[15]])
    x = x / x.std(axis=1, ddof=1)[:, None] * np.sqrt([[0.5], [0.25], [0.25]])
    weights = found.weights.set_index("row")["weight"].sort_index()
    slow_weights = brute_weights(x[:, 0], x[:, 1:])
    np.testing.assert_allclose(x[:, 1:] @ weights, x[:, 1:] @ slow_weights, atol=1e-4)


def test_nested_weights_fit_no_worse_than_any_given_ones(data):
    said = {"predictors": {"old": "", "y": "2003; 2015"}}
    nested = qe.estimate(design(**said), data).facts["root mean squared gap before the start"]
    for v in (
        {"old": 1, "y": 1},
        {"old": 0.01, "y": 1},
        {"old": 100, "y": 1},
        {"y, 2003": 1, "y, 2015": 20, "old": 1},
    ):
        other = qe.estimate(design(**said, v=v), data)
        if other.kernel.fits[0].identified:
            assert nested <= other.facts["root mean squared gap before the start"] * (1 + 1e-9)
    bound = qe.estimate(design(), data).facts["root mean squared gap before the start"]
    assert bound <= nested * (1 + 1e-9)


def test_windows_of_predictors_are_means(data):
    found = qe.estimate(
        design(predictors={"old": "2003 to 2005, 2007", "y": "2015"}, v="inverse variance"), data
    )
    means = found.kernel.problems[0].predictors.means()
    here = data[data["place"] == "p00"].set_index("year")
    assert means[:, 0] == pytest.approx([here["old"][[2003, 2004, 2005, 2007]].mean(), here["y"][2015]])
    assert found.kernel.problems[0].predictors.names == ("old, 2003 to 2005, 2007", "y, 2015")


def test_anticipation_and_fit_from_leave_periods_out(data):
    found = qe.estimate(design(anticipation=2, fit_from=2003), data)
    problem = found.kernel.problems[0]
    assert (problem.begin, problem.stop, problem.start) == (3, PRE - 2, PRE)
    spoilt = data.assign(
        y=data["y"] + 9 * ((data["year"].isin([2014, 2015]) | (data["year"] < 2003)) & (data["treated"] == 1))
    )
    again = qe.estimate(design(anticipation=2, fit_from=2003), spoilt)
    assert att(again) == pytest.approx(att(found), rel=1e-10)
    assert found.facts["periods fitted"] == PRE - 5


def test_donors_in_another_order_and_outcomes_in_other_units(data, result):
    names = {f"p{each:02d}": f"q{(each * 8) % 21:02d}" for each in range(PLACES)}
    for frame in (data.assign(place=data["place"].map(names)), data.assign(y=data["y"] / 1000)):
        again = qe.estimate(design(), frame)
        factor = 1 / 1000 if frame["place"].equals(data["place"]) else 1
        np.testing.assert_allclose(
            again.estimates["estimate"], result.estimates["estimate"] * factor, rtol=1e-7, atol=1e-9 * factor
        )
        assert again.facts["rank among all units"] == result.facts["rank among all units"]


def test_the_treated_may_be_a_donor_of_placebos(data):
    found = qe.estimate(design(treated_in_placebos="yes"), data)
    y = wide(data)
    unit = 4
    pool = [other for other in range(PLACES) if other != unit]
    w = brute_weights(y[:PRE, unit] - 60, y[:PRE, pool] - 60)
    place = found.kernel.placebos[0].names.index("p04")
    np.testing.assert_allclose(
        found.kernel.placebos[0].gaps[:, place], y[:, unit] - y[:, pool] @ w, atol=2e-3
    )


@pytest.fixture(scope="module")
def three():
    return panel(seed=3, treated=3)


def test_several_treated_units_are_averaged(three):
    found = qe.estimate(design(), three)
    mean = three[three["treated"] == 1].groupby("year")["y"].mean()
    one = three[three["place"] > "p01"].assign(
        y=lambda f: f["y"].where(f["treated"] == 0, f["year"].map(mean))
    )
    assert att(found) == pytest.approx(att(qe.estimate(design(), one)), rel=1e-9)
    counted = qe.estimate(design(population="people"), three)
    assert att(counted) == pytest.approx(att(found), rel=1e-12), "each unit counts the same"


def test_unit_by_unit_is_the_mean_of_single_estimates(three):
    found = qe.estimate(design(several="unit by unit", draws=99), three)
    singles = [
        att(qe.estimate(design(), three[(three["treated"] == 0) | (three["place"] == place)]))
        for place in ("p00", "p01", "p02")
    ]
    assert att(found) == pytest.approx(np.mean(singles), rel=1e-9)
    assert found.facts["interval by"] == "placebo groups of donors"


def test_unit_by_unit_with_several_starts_weighs_unit_periods(three):
    first = {"p00": 2016, "p01": 2018, "p02": 2020}
    frame = three.assign(first=three["place"].map(first))
    found = qe.estimate(design(several="unit by unit", first_treated="first", draws=99), frame)
    shares = np.array([PERIODS - (each - BEGIN) for each in first.values()], dtype=float)
    singles = []
    for place, start in first.items():
        alone = frame[(frame["treated"] == 0) | (frame["place"] == place)]
        singles.append(att(qe.estimate(design(start=start), alone)))
    assert att(found) == pytest.approx(np.average(singles, weights=shares), rel=1e-9)


def test_partially_pooled_fits_the_mean_better_than_unit_by_unit(three):
    found = {
        several: qe.estimate(design(several=several, draws=99), three)
        for several in ("unit by unit", "partially pooled")
    }
    pooled = {
        name: np.mean(np.mean([fit.gaps[:PRE] for fit in each.kernel.fits], axis=0) ** 2)
        for name, each in found.items()
    }
    assert pooled["partially pooled"] <= pooled["unit by unit"] + 1e-12
    for fit in found["partially pooled"].kernel.fits:
        assert fit.weights.sum() == pytest.approx(1, abs=1e-9) and fit.weights.min() >= -1e-12


def test_events_are_gaps_times_people(data):
    found = qe.estimate(design(population="people", per=1000), data)
    late = found.estimates[found.estimates["term"] == "effect in period"]["estimate"].to_numpy()
    people = data[(data["place"] == "p00") & (data["year"] >= START)]["people"].to_numpy()
    row = found.estimates[found.estimates["term"] == "events in all"].iloc[0]
    assert row["estimate"] == pytest.approx(late @ people / 1000)
    assert row["conf_low"] < row["estimate"] < row["conf_high"]


def test_headline_says_what_when_how_much_and_how_sure(result):
    assert result.headline.startswith("From 2016 on, y of p00: on average ")
    for words in (
        " lower (95% interval ",
        "by placebos in space",
        "synthetic control",
        "ranks 1 of 21 units",
    ):
        assert words in result.headline, words
    measured = qe.estimate(design(measured_in="admissions per 1,000"), panel())
    assert "admissions per 1,000 of p00" in measured.headline


def test_no_bare_normal_interval(result):
    assert result.estimates["std_error"].isna().all()


def test_the_series_add_up(result, data):
    series = result.series.query("group == 'treated'").set_index("time")
    gap = result.estimates.dropna(subset=["at"]).sort_values("at")["estimate"].to_numpy()
    np.testing.assert_allclose(series["observed"] - series["counterfactual"], gap, atol=1e-12)
    mean = data[data["treated"] == 0].groupby("year")["y"].mean()
    donors = result.series.query("group == 'comparison'").set_index("time")["observed"]
    np.testing.assert_allclose(donors, mean, rtol=1e-12)
    assert series["conf_low"].notna().sum() == PERIODS - PRE
