"""Synthetic difference-in-differences through the public verbs: by hand, by brute force and against truth."""

import numpy as np
import pandas as pd
import pytest

import qieval as qe
from qieval.errors import DesignError, EstimationError

BEGIN, START, PLACES, PERIODS = 2000, 2014, 24, 20
PRE = START - BEGIN


def panel(seed: int = 1, treated: int = 1, effect: float = -5.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    moves = np.cumsum(rng.normal(0, 1, (PERIODS, 2)), axis=0)
    share = rng.dirichlet([1, 1], PLACES)
    level = rng.normal(0, 15, PLACES)
    warm = rng.normal(0, 1, (PERIODS, PLACES))
    y = 60 + level + 2 * moves @ share.T + rng.normal(0, 0.5, (PERIODS, PLACES))
    y[PRE:, :treated] += effect
    place, time = np.divmod(np.arange(PLACES * PERIODS), PERIODS)
    return pd.DataFrame(
        {
            "place": [f"p{each:02d}" for each in place],
            "year": BEGIN + time,
            "y": y.T.ravel(),
            "treated": (place < treated).astype(int),
            "warm": warm.T.ravel(),
        }
    )


@pytest.fixture(scope="module")
def data():
    return panel()


def design(**fields):
    return qe.SyntheticDifferenceInDifferences(
        **{"outcome": "y", "unit": "place", "time": "year", "treated": "treated", "start": START, **fields}
    )


@pytest.fixture(scope="module")
def result(data):
    return qe.estimate(design(), data)


def wide(frame):
    return frame.pivot(index="year", columns="place", values="y").to_numpy()


def att(found):
    return float(found.estimates.loc[0, "estimate"])


def weights(found, group):
    table = found.weights[found.weights["group"] == group]
    return table.set_index("row")["weight"].sort_index().to_numpy()


def test_the_estimate_is_a_double_difference_under_the_weights(result, data):
    y, unit, time = wide(data), weights(result, "donor"), weights(result, "period")
    assert unit.sum() == pytest.approx(1) and time.sum() == pytest.approx(1)
    change = y[PRE:].mean(axis=0) - time @ y[:PRE]
    assert att(result) == pytest.approx(change[0] - unit @ change[1:], rel=1e-10)


def test_the_estimate_is_the_weighted_two_way_regression(result, data):
    """Arkhangelsky et al. 2021, equation 1: least squares with unit and time effects under both weights."""
    y = wide(data)
    unit = np.concatenate([[1.0], weights(result, "donor")])
    time = np.concatenate([weights(result, "period"), np.full(PERIODS - PRE, 1 / (PERIODS - PRE))])
    rows = [(t, i) for t in range(PERIODS) for i in range(PLACES) if unit[i] * time[t] > 1e-12]
    x = np.zeros((len(rows), PLACES + PERIODS + 1))
    for at, (t, i) in enumerate(rows):
        x[at, i] = x[at, PLACES + t] = 1
        x[at, -1] = i == 0 and t >= PRE
    root = np.sqrt([unit[i] * time[t] for t, i in rows])
    outcome = np.array([y[t, i] for t, i in rows])
    found = np.linalg.lstsq(x * root[:, None], outcome * root, rcond=None)[0][-1]
    assert att(result) == pytest.approx(found, rel=1e-7)


def test_effects_by_period_average_to_the_estimate(result):
    late = result.estimates[result.estimates["term"] == "effect in period"]
    assert len(late) == PERIODS - PRE
    assert late["estimate"].mean() == pytest.approx(att(result), rel=1e-10)


def test_every_donor_is_a_placebo_of_one_treated_unit(result, data):
    """The p-value is the share of units, the treated among them, with an effect as large."""
    effects = []
    for place in sorted(data["place"].unique())[1:]:
        alone = data[data["treated"] == 0].assign(treated=lambda f, p=place: (f["place"] == p).astype(int))
        effects.append(att(qe.estimate(design(level=0.5), alone)))
    expected = (1 + (np.abs(effects) >= abs(att(result))).sum()) / PLACES
    assert result.estimates.loc[0, "p_value"] == pytest.approx(expected)
    assert result.estimates.loc[0, "std_error"] == pytest.approx(np.std(effects), rel=0.06)
    assert result.facts["units ranked"] == PLACES


def test_levels_and_a_common_trend_do_not_matter(result, data):
    """A common shock that is no trend changes the penalty, which follows the noise of the donors."""
    places = sorted(data["place"].unique())
    level = dict(zip(places, np.random.default_rng(2).normal(0, 100, PLACES), strict=True))
    moved = data.assign(y=data["y"] + data["place"].map(level) + 7 * data["year"])
    assert att(qe.estimate(design(), moved)) == pytest.approx(att(result), rel=1e-7)


def test_the_effect_is_recovered():
    found = [att(qe.estimate(design(level=0.5), panel(seed))) for seed in range(10, 22)]
    assert np.mean(found) == pytest.approx(-5, abs=3 * np.std(found) / np.sqrt(len(found)) + 0.05)
    assert np.abs(np.array(found) + 5).max() < 2.5


FIRST = {"p00": 2014, "p01": 2016, "p02": 2018}


@pytest.fixture(scope="module")
def waves():
    frame = panel(seed=4, treated=3, effect=0.0)
    first = frame["place"].map(FIRST)
    return frame.assign(first=first, y=frame["y"] - 5 * (frame["year"] >= first))


def test_waves_are_averaged_by_their_unit_periods(waves):
    found = qe.estimate(design(first_treated="first"), waves)
    singles, shares = [], []
    for place, start in FIRST.items():
        alone = waves[(waves["treated"] == 0) | (waves["place"] == place)]
        singles.append(att(qe.estimate(design(start=start), alone)))
        shares.append(BEGIN + PERIODS - start)
    assert att(found) == pytest.approx(np.average(singles, weights=shares), rel=1e-6)
    assert att(found) == pytest.approx(-5, abs=0.8)


@pytest.mark.parametrize("inference", ["placebo", "bootstrap", "jackknife"])
def test_every_kind_of_inference_with_several_treated_units(inference):
    frame = panel(seed=6, treated=7)
    found = qe.estimate(design(inference=inference, draws=99), frame)
    row = found.estimates.loc[0]
    assert row["std_error"] > 0 and row["conf_low"] < -5 < row["conf_high"]
    assert inference in found.facts["interval by"]
    again = qe.estimate(design(inference=inference, draws=99), frame)
    pd.testing.assert_frame_equal(found.estimates, again.estimates)


def test_automatic_takes_the_bootstrap_with_many_treated_units():
    many = qe.estimate(design(draws=99), panel(seed=6, treated=7))
    few = qe.estimate(design(draws=99), panel(seed=6, treated=3))
    assert "bootstrap" in many.facts["interval by"] and "placebo" in few.facts["interval by"]
    assert any("random draw" in note for note in few.notes)


@pytest.mark.parametrize("inference", ["bootstrap", "jackknife"])
def test_resampling_needs_several_treated_units(inference, data):
    with pytest.raises(EstimationError, match="treated"):
        qe.estimate(design(inference=inference), data)


def test_covariates_are_adjusted_for(data):
    """An outcome that follows a measured characteristic, which rises in the treated place at the start."""
    shifted = data.assign(warm=data["warm"] + 4 * ((data["treated"] == 1) & (data["year"] >= START)))
    frame = shifted.assign(y=data["y"] + 3 * shifted["warm"])
    plain, adjusted = (att(qe.estimate(design(covariates=names), frame)) for names in ((), ("warm",)))
    assert plain > 3
    assert adjusted == pytest.approx(att(qe.estimate(design(), data)), abs=0.7)
    optimised = att(qe.estimate(design(covariates=("warm",), adjust="optimised"), frame))
    assert optimised == pytest.approx(adjusted, abs=1.0)


def test_the_two_optimisers_are_close(data, result):
    r = qe.estimate(design(optimiser="as R synthdid"), data)
    assert att(r) == pytest.approx(att(result), abs=0.05)
    assert result.kernel.fits[0].certificate <= r.kernel.fits[0].certificate + 1e-12
    assert result.kernel.fits[0].certificate < 1e-8


def test_anticipation_leaves_periods_out(data):
    found = qe.estimate(design(anticipation=2), data)
    spoilt = data.assign(y=data["y"] + 50 * (data["treated"] * data["year"].isin([2012, 2013])))
    assert att(qe.estimate(design(anticipation=2), spoilt)) == pytest.approx(att(found), rel=1e-8)
    assert len(weights(found, "period")) == PRE - 2
    with pytest.raises(DesignError, match="anticipation, first_treated"):
        design(anticipation=2, first_treated="first")


def test_the_order_of_places_does_not_matter(data, result):
    names = {f"p{each:02d}": f"q{(each * 7) % 25:02d}" for each in range(PLACES)}
    again = qe.estimate(design(), data.assign(place=data["place"].map(names)))
    np.testing.assert_allclose(again.estimates["estimate"], result.estimates["estimate"], atol=1e-6)


def test_headline_and_series(result, data):
    assert result.headline.startswith("From 2014 on, y of p00: on average ")
    for words in ("95% interval", "by placebo", "weighted donors whose level may differ"):
        assert words in result.headline, words
    series = result.series.query("group == 'treated'")
    np.testing.assert_allclose(series["observed"], wide(data)[:, 0], rtol=1e-12)
    late = (series["observed"] - series["counterfactual"]).to_numpy()[PRE:]
    assert late.mean() == pytest.approx(att(result), rel=1e-8)
