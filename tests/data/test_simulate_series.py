"""Simulated series and chart data are what their arguments say."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from qieval.data.series_scenario import SeriesScenario
from qieval.data.simulate_charts import simulate_charts
from qieval.data.simulate_series import simulate_series
from qieval.errors import DesignError

PLAIN = {"family": "gaussian", "before": 24, "after": 12, "baseline": 50.0}


def test_without_noise_the_series_is_its_formula():
    made = simulate_series(**PLAIN, trend=0.5, season=3.0, level=-4.0, slope=-0.25, controls=1)
    t = np.arange(36)
    usual = 50 + 0.5 * t + 3 * np.cos(2 * np.pi * (t % 12) / 12)
    effect = np.where(t >= 24, -4 - 0.25 * (t - 24), 0)
    np.testing.assert_allclose(made.frame["outcome"], usual + effect, atol=1e-12)
    np.testing.assert_allclose(made.frame["control_1"], usual, atol=1e-12)
    np.testing.assert_allclose(made.truth["counterfactual"], usual, atol=1e-12)
    assert made.truth["att"] == pytest.approx(-4 - 0.25 * 5.5)
    assert made.truth["total"] == pytest.approx(12 * made.truth["att"])
    assert made.truth["start"] == "2020-01" == made.frame.loc[made.frame["after"] == 1, "month"].min()


def test_lag_and_phase_in():
    effect = simulate_series(**PLAIN, level=-4.0, slope=-1.0, lag=2, phase_in=3).frame["outcome"] - 50
    expected = [0, 0, -1, -2 - 1, -3 - 2, -4 - 3, -4 - 4, -4 - 5]
    np.testing.assert_allclose(effect[24:32], expected, atol=1e-12)
    assert (effect[:24] == 0).all()


def test_a_shock_hits_all_series_and_an_event_one():
    made = simulate_series(
        **PLAIN, shock=-2.0, shock_month=1, event=5.0, event_month=-3, event_months=2, controls=2
    )
    outcome, control = made.frame["outcome"] - 50, made.frame["control_2"] - 50
    np.testing.assert_allclose(outcome[20:27], [0, 5, 5, 0, 0, -2, -2])
    np.testing.assert_allclose(control[20:27], [0, 0, 0, 0, 0, -2, -2])
    assert made.truth["att"] == 0


@pytest.mark.parametrize("coefficients", [0.0, 0.6, -0.4, (0.5, 0.3), (1.2, -0.5)])
def test_errors_have_the_autocorrelation_and_variance_that_were_asked_for(coefficients):
    made = simulate_series(
        family="gaussian",
        before=4999,
        after=5000,
        baseline=0.0,
        noise=2.0,
        autocorrelation=coefficients,
        seed=5,
    )
    errors = made.frame["outcome"].to_numpy()
    phi = np.atleast_1d(coefficients)
    first = phi[0] if len(phi) == 1 else phi[0] / (1 - phi[1])
    second = phi[0] ** 2 if len(phi) == 1 else phi[0] * first + phi[1]
    assert errors.std() == pytest.approx(2.0, rel=0.1)
    found = [np.corrcoef(errors[lag:], errors[:-lag])[0, 1] for lag in (1, 2)]
    np.testing.assert_allclose(found, [first, second], atol=0.05)


def test_series_share_part_of_their_errors():
    long = {"family": "gaussian", "before": 3000, "after": 3000, "noise": 1.0, "controls": 1}
    alone = simulate_series(**long).frame[["outcome", "control_1"]].corr().iloc[0, 1]
    half = (
        simulate_series(**long, shared=0.5, autocorrelation=0.4)
        .frame[["outcome", "control_1"]]
        .corr()
        .iloc[0, 1]
    )
    assert alone == pytest.approx(0, abs=0.05) and half == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize(("family", "size"), [("poisson", np.inf), ("negative binomial", 25.0)])
def test_counts_have_their_mean_and_dispersion(family, size):
    options = {"size": size} if np.isfinite(size) else {}
    made = simulate_series(
        family=family, before=3000, after=2000, baseline=80.0, level=-0.3, seed=2, **options
    )
    expected, seen = made.truth["expected"], made.frame["outcome"].to_numpy()
    relative = made.frame["denominator"] / 50_000
    np.testing.assert_allclose(expected[:3000], 80 * relative[:3000], rtol=1e-12)
    np.testing.assert_allclose(
        expected[3000:] / made.truth["counterfactual"][3000:], np.exp(-0.3), rtol=1e-12
    )
    assert made.truth["ratio"] == pytest.approx(np.exp(-0.3))
    pearson = (seen - expected) ** 2 / (expected + expected**2 / size)
    assert pearson.mean() == pytest.approx(1, abs=0.07)
    assert seen.mean() == pytest.approx(expected.mean(), rel=0.01) and made.frame["outcome"].dtype == "int64"


def test_proportions_change_in_log_odds():
    made = simulate_series(family="binomial", before=2000, after=2000, denominator=200, level=0.5, seed=3)
    share = made.truth["expected"] / made.frame["denominator"]
    odds = share / (1 - share)
    np.testing.assert_allclose(odds[:2000], 4, rtol=1e-9)
    np.testing.assert_allclose(np.log(odds[2000:] / 4), 0.5, rtol=1e-9)
    assert (made.frame["outcome"] <= made.frame["denominator"]).all()
    variance = 200 * 0.8 * 0.2
    assert np.var(made.frame["outcome"][:2000] - made.truth["expected"][:2000]) == pytest.approx(
        variance, rel=0.1
    )


def test_a_regression_finds_the_truth():
    study = simulate_series(
        family="gaussian",
        before=400,
        after=400,
        level=-5.0,
        slope=-0.02,
        noise=1.5,
        autocorrelation=0.5,
        seed=8,
    )
    t = np.arange(800.0)
    after = study.frame["after"].to_numpy(float)
    x = np.column_stack([np.ones(800), t, after, after * (t - 400)])
    found = np.linalg.lstsq(x, study.frame["outcome"].to_numpy(), rcond=None)[0]
    assert found[2] == pytest.approx(-5, abs=1.0) and found[3] == pytest.approx(-0.02, abs=0.005)


def test_the_same_seed_gives_the_same_data():
    one, same = simulate_series(seed=4, noise=0.1, controls=2), simulate_series(seed=4, noise=0.1, controls=2)
    pd.testing.assert_frame_equal(one.frame, same.frame)
    assert not one.frame["outcome"].equals(simulate_series(seed=5, noise=0.1).frame["outcome"])
    assert "true mean effect" in repr(one)
    without = simulate_series(SeriesScenario(denominator=0), before=10)
    assert list(without.frame) == ["month", "outcome", "after"] and without.scenario.before == 10


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"family": "normal"}, "family: 'normal' is not one of gaussian"),
        ({"first": "2018"}, "first: '2018' is not a month"),
        ({"before": 0}, "before: 0 lies outside 1 to"),
        ({"after": 2.5}, "after: 2.5 is not a whole number"),
        ({"level": "big"}, "level: 'big' is not a number"),
        ({"level": float("nan")}, "level: nan lies outside"),
        ({"baseline": -3}, "baseline: -3 is not between 0 and inf"),
        ({"family": "binomial", "baseline": 1.2}, "baseline: 1.2 is not between 0 and 1"),
        ({"family": "binomial", "denominator": 0}, "leaves a proportion without cases"),
        ({"autocorrelation": 1.0}, "autocorrelation: errors with 1.0 would grow"),
        ({"autocorrelation": (0.7, 0.4)}, "would grow without bound"),
        ({"autocorrelation": "much"}, "'much' is neither a number nor several"),
        ({"slope": 5}, "they make expected counts of"),
        ({"sloop": 1}, "simulate_series has no such argument.*Did you mean 'slope'"),
    ],
)
def test_what_makes_no_series(change, said):
    with pytest.raises(DesignError, match=said):
        simulate_series(**change)


def test_every_argument_is_explained():
    for field in dataclasses.fields(SeriesScenario):
        assert f"`{field.name}`" in (SeriesScenario.__doc__ or ""), field.name


def test_chart_data_have_their_rates():
    made = simulate_charts(600, before=300, ratio=0.5, seed=6)
    after = made.falls["month"] >= made.truth["change"]
    rate = 1000 * made.falls.groupby(after)["falls"].sum() / made.falls.groupby(after)["bed_days"].sum()
    np.testing.assert_allclose(rate, [made.truth["falls"]["before"], made.truth["falls"]["after"]], rtol=0.05)
    assert made.truth["falls"] == {"before": 6.5, "after": 3.25}
    dates = made.rare_events["date"]
    late = dates.shift() >= pd.Timestamp(made.truth["change"])
    gaps = dates.diff().dt.days
    assert dates.is_monotonic_increasing and dates.is_unique
    found = [gaps[dates < pd.Timestamp(made.truth["change"])].mean(), gaps[late].mean()]
    np.testing.assert_allclose(found, [12, 24], rtol=0.12)


def test_a_family_moves_one_after_the_other():
    made = simulate_charts(400, before=200, seed=3)
    assert list(made.family["kind"].unique()) == ["process", "outcome", "balancing"]
    for measure, (low, high, since) in made.truth["family"].items():
        rows = made.family[made.family["measure"] == measure]
        late = rows["month"] >= since
        share = rows.groupby(late)["meeting"].sum() / rows.groupby(late)["cases"].sum()
        np.testing.assert_allclose(share, [low, high], atol=0.01)
    assert made.truth["family"]["falls with harm"][2] > made.truth["change"]
    still = simulate_charts(ratio=1).truth
    assert all(low == high for low, high, _ in still["family"].values())
    assert "rare events" in repr(made)


def test_what_makes_no_project():
    with pytest.raises(DesignError, match="before: 36 lies outside 1 to 35"):
        simulate_charts(36, before=36)
    with pytest.raises(DesignError, match="2 problems"):
        simulate_charts(ratio=0, seed=-1)
