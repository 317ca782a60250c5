"""What interrupted time series answer: against statsmodels, by hand, and where nothing should change."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

import qieval as qe
from qieval.calendar import days_in_period, easter_days
from qieval.catalogue import method_of

PERIODS, HALF = 60, 36
MONTHS = pd.period_range("2018-01", periods=PERIODS, freq="M")
TIME = np.arange(1.0, PERIODS + 1)
AFTER = (TIME > HALF).astype(float)
SINCE = np.where(TIME > HALF, TIME - HALF - 1, 0.0)
ONE = np.ones(PERIODS)
STATED = {"outcome": "y", "time": "month", "start": "2021-01", "inference": "independent errors"}
COUNTED = {"outcome": "events", "denominator": "people", "per": 1000}
WAVES = np.column_stack(
    [wave(2 * np.pi * pair * MONTHS.month.to_numpy() / 12) for wave in (np.sin, np.cos) for pair in (1, 2)]
)


@pytest.fixture(scope="module")
def data():
    draw = np.random.default_rng(8)
    people = np.round(10_000 * np.exp(draw.normal(0, 0.05, PERIODS)))
    return pd.DataFrame(
        {
            "month": MONTHS.astype(str),
            "y": 50 + 0.1 * TIME - 4 * AFTER - 0.2 * SINCE + draw.normal(0, 2, PERIODS),
            "events": draw.poisson(
                people * 0.02 * np.exp(0.004 * TIME - 0.2 * AFTER) * draw.gamma(40, 1 / 40)
            ),
            "people": people,
            "other": 45 + 0.08 * TIME + draw.normal(0, 2, PERIODS),
            "others": draw.poisson(9_000 * 0.02 * np.exp(0.004 * TIME)),
            "residents": 9_000 + draw.integers(-50, 50, PERIODS),
            "age": draw.normal(50, 2, PERIODS),
        }
    )


def stated(**fields):
    return qe.InterruptedTimeSeries(**STATED | fields)


def fitted(data, **fields):
    return qe.estimate(stated(**fields), data).kernel


def terms(result):
    return result.estimates.drop_duplicates("term").set_index("term")


def ordinary(y, *columns):
    """Least squares by statsmodels."""
    return sm.OLS(np.asarray(y, float), np.column_stack(columns)).fit()


def same(kernel, peer, rel=1e-7, **names):
    """Coefficients and errors of a peer, in the order of our names unless they are given."""
    np.testing.assert_allclose(kernel.coefficients, peer.params, rtol=rel)
    np.testing.assert_allclose(np.sqrt(kernel.covariance.diagonal()), peer.bse, rtol=rel)


X = np.column_stack([ONE, TIME, AFTER, SINCE])
FAMILIES = {
    "poisson": (sm.families.Poisson(), False),
    "quasi-poisson": (sm.families.Poisson(), True),
    "binomial": (sm.families.Binomial(), False),
    "quasi-binomial": (sm.families.Binomial(), True),
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("season", ["none", "harmonics"])
def test_families_as_statsmodels(family, season, data):
    kind, scaled = FAMILIES[family]
    x = X if season == "none" else np.column_stack([X, WAVES])
    proportion = "binomial" in family
    y = np.column_stack([data["events"], data["people"] - data["events"]]) if proportion else data["events"]
    offset = None if proportion else np.log(data["people"])
    peer = sm.GLM(np.asarray(y), x, family=kind, offset=offset).fit(tol=1e-14)
    if scaled:
        mean = peer.fittedvalues * (data["people"].to_numpy() if proportion else 1.0)
        spread = mean * (1 - peer.fittedvalues) if proportion else mean
        peer.bse = peer.bse * np.sqrt(((data["events"] - mean) ** 2 / spread).sum() / peer.df_resid)
    same(fitted(data, **COUNTED, family=family, seasonality=season), peer)


def test_negative_binomial_as_statsmodels(data):
    """Given theta, a negative binomial model is a generalised linear model."""
    kernel = fitted(data, **COUNTED, family="negative binomial")
    kind = sm.families.NegativeBinomial(alpha=1 / kernel.more["base"].theta)
    peer = sm.GLM(data["events"], X, family=kind, offset=np.log(data["people"])).fit(tol=1e-14)
    same(kernel, peer)


def test_amounts_as_statsmodels(data):
    same(fitted(data), ordinary(data["y"], X))
    same(fitted(data, scale="logarithm"), ordinary(np.log(data["y"]), X))
    rate = 1000 * data["y"] / data["people"]
    same(fitted(data, denominator="people", per=1000, family="gaussian"), ordinary(rate, X))
    same(fitted(data, covariates=("age",)), ordinary(data["y"], X, data["age"]))


@pytest.mark.parametrize("lags", [0, 4])
def test_newey_west_as_statsmodels(lags, data):
    fields = {"inference": "Newey-West", "lag_rule": "as given", "lags": lags, "small_sample": "uncorrected"}
    kind = {"maxlags": lags, "use_correction": False}
    peer = sm.OLS(data["y"].to_numpy(), X).fit(cov_type="HAC", cov_kwds=kind)
    same(fitted(data, **fields), peer)


def shape(data, rows=slice(None), **fields):
    """The columns of the change (T, c) in all periods."""
    kernel = fitted(data, **fields)
    return kernel.x[:, kernel.change][rows].round(12).tolist()


START = slice(HALF - 1, HALF + 6)


@pytest.mark.parametrize(
    ("fields", "columns"),
    [
        ({"change": "level"}, [[0, 1, 1, 1, 1, 1, 1]]),
        ({"change": "slope"}, [[0, 0, 1, 2, 3, 4, 5]]),
        ({}, [[0, 1, 1, 1, 1, 1, 1], [0, 0, 1, 2, 3, 4, 5]]),
        ({"change": "slope", "slope_from": "the last period before it"}, [[0, 1, 2, 3, 4, 5, 6]]),
        ({"lag": 2}, [[0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 1, 2, 3]]),
        ({"phase_in": 2}, [[0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 2, 3, 4, 5]]),
        ({"change": "level", "phase_in": 3, "phase_in_as": "a ramp"}, [[0, 0.25, 0.5, 0.75, 1, 1, 1]]),
        (
            {"change": "level", "lag": 1, "phase_in": 1, "phase_in_as": "a ramp"},
            [[0, 0, 0.5, 1, 1, 1, 1]],
        ),
        ({"change": "pulse", "lasts": 2}, [[0, 1, 1, 0, 0, 0, 0]]),
        ({"change": "pulse", "lasts": 2, "lag": 2}, [[0, 0, 0, 1, 1, 0, 0]]),
        ({"change": "decay", "half_life": 2}, [[0, 1, 0.5**0.5, 0.5, 0.5**1.5, 0.25, 0.5**2.5]]),
        (
            {"change": "level", "further_starts": ("2021-03", "2021-05")},
            [[0, 1, 1, 1, 1, 1, 1], [0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 0, 1, 1]],
        ),
    ],
    ids=str,
)
def test_form_of_the_change(fields, columns, data):
    np.testing.assert_allclose(shape(data, START, **fields), np.transpose(columns), atol=1e-12)


def test_fit_of_each_form(data):
    """The forms enter the regression as they are, beside a constant and the trend."""
    for fields in (
        {"change": "pulse", "lasts": 5},
        {"change": "decay"},
        {"lag": 3},
        {"further_starts": ("2022",)},
    ):
        kernel = fitted(data, **fields)
        same(kernel, ordinary(data["y"], ONE, TIME, np.array(shape(data, **fields))))
    names = fitted(data, further_starts=("2022",)).names
    assert names[2:] == ("level change", "slope change", "level change 2022", "slope change 2022")


def test_phasing_in_is_left_out(data):
    keep = np.ones(PERIODS, dtype=bool)
    keep[HALF : HALF + 4] = False
    result = qe.estimate(stated(phase_in=4), data)
    same(result.kernel, ordinary(data["y"][keep], X[keep]))
    assert result.facts["periods left out"] == 4 and result.facts["periods after"] == PERIODS - HALF - 4
    assert "4 months of phasing in from 2021-01 on are left out of the model." in result.notes
    assert result.series["used"].tolist() == keep.tolist()


def test_left_out_periods_take_no_part(data):
    keep = np.ones(PERIODS, dtype=bool)
    keep[[26, 27, 28, 50]] = False
    wild = data.assign(y=data["y"].where(keep, 1e6))
    left = {"2020-03 to 2020-05": "the pandemic", "2022-03": "a strike"}
    same(fitted(wild, left_out=left), ordinary(data["y"][keep], X[keep]))


def test_distance_in_time_is_kept(data):
    """Over g periods first-order errors are correlated by phi to the power of g."""
    keep = np.ones(PERIODS, dtype=bool)
    keep[[10, 11, 12, 40]] = False
    kernel = fitted(data[keep], inference="AR errors by ML")
    phi = float(kernel.more["phi"][0])
    apart = np.abs(np.subtract.outer(TIME[keep], TIME[keep]))
    root = np.linalg.cholesky(np.linalg.inv(phi**apart)).T
    peer = ordinary(root @ data["y"][keep], root @ X[keep])
    np.testing.assert_allclose(kernel.coefficients, peer.params, rtol=1e-7)
    closed = phi ** np.abs(np.subtract.outer(np.arange(keep.sum()), np.arange(keep.sum())))
    wrong = np.linalg.cholesky(np.linalg.inv(closed)).T
    other = ordinary(wrong @ data["y"][keep], wrong @ X[keep])
    assert np.abs(kernel.coefficients / other.params - 1).max() > 1e-4


def test_seasons(data):
    month = MONTHS.month.to_numpy()
    dummies = (month[:, None] == np.arange(2, 13)).astype(float)
    same(fitted(data, seasonality="one per season"), ordinary(data["y"], X, dummies))
    same(fitted(data, seasonality="harmonics"), ordinary(data["y"], X, WAVES))
    numbered = data.assign(month=np.arange(PERIODS) + 1)
    length = {"start": HALF + 1, "seasonality": "harmonics", "season_length": 12}
    same(fitted(numbered, **length), ordinary(data["y"], X, WAVES))
    spline = fitted(data, seasonality="spline", season_df=11)
    np.testing.assert_allclose(
        spline.fitted, ordinary(data["y"], X, dummies).fittedvalues, rtol=1e-7
    )  # as free as one value a month


def test_trends(data):
    same(fitted(data, trend="none", change="level"), ordinary(data["y"], ONE, AFTER))
    squared = (TIME - TIME.mean()) ** 2
    same(fitted(data, trend="quadratic", change="level"), ordinary(data["y"], ONE, TIME, squared, AFTER))
    line = data.assign(y=3 + 0.5 * TIME + data["y"] - 0.5 * TIME)
    bent = fitted(line, trend="spline", trend_df=2, change="level")
    assert len(bent.names) == 4 and bent.names[1:3] == ("trend 1", "trend 2")


def test_calendar(data):
    days = days_in_period(MONTHS).astype(float)
    same(fitted(data, days_in_period="as a regressor"), ordinary(data["y"], X, days))
    same(fitted(data, easter="as a regressor"), ordinary(data["y"], X, easter_days(MONTHS)))
    kind = sm.families.Poisson()
    plain = {"outcome": "events", "family": "poisson", "days_in_period": "as exposure"}
    peer = sm.GLM(data["events"], X, family=kind, offset=np.log(days)).fit(tol=1e-14)
    same(fitted(data, **plain), peer)
    both = sm.GLM(data["events"], X, family=kind, offset=np.log(days * data["people"])).fit(tol=1e-14)
    same(fitted(data, **COUNTED | plain), both)


def test_effects_of_amounts_by_hand(data):
    """Level L and slope S over m periods: mean L + S (m - 1) / 2, and so on; errors from the covariance."""
    result = qe.estimate(stated(), data)
    peer = ordinary(data["y"], X)
    m, late = PERIODS - HALF, AFTER == 1
    table, t = terms(result), stats.t.ppf(0.975, PERIODS - 4)
    for term, weights in (
        ("mean effect", [0, 0, 1, (m - 1) / 2]),
        ("cumulative effect", [0, 0, m, m * (m - 1) / 2]),
        ("level change", [0, 0, 1, 0]),
        ("slope change", [0, 0, 0, 1]),
    ):
        value = np.dot(weights, peer.params)
        error = np.sqrt(np.array(weights) @ peer.cov_params() @ weights)
        row = table.loc[term]
        np.testing.assert_allclose(row[["estimate", "std_error"]].to_numpy(float), [value, error], rtol=1e-8)
        ends = row[["conf_low", "conf_high"]].to_numpy(float)
        np.testing.assert_allclose(ends, [value - t * error, value + t * error], rtol=1e-7)
        assert row["p_value"] == pytest.approx(2 * stats.t.sf(abs(value / error), PERIODS - 4), rel=1e-6)
    by_period = result.estimates.query("term == 'effect in period'")
    assert by_period["at"].tolist() == list(range(m))
    np.testing.assert_allclose(by_period["estimate"], peer.params[2] + peer.params[3] * np.arange(m))
    by_horizon = result.estimates.query("term == 'cumulative effect by horizon'")
    assert by_horizon["at"].tolist() == [6, 12, 24]
    np.testing.assert_allclose(
        by_horizon["estimate"], [h * peer.params[2] + h * (h - 1) / 2 * peer.params[3] for h in (6, 12, 24)]
    )
    expected = (X[:, :2] @ peer.params[:2])[late].sum()
    assert result.facts["relative effect"] == pytest.approx(
        table.loc["cumulative effect", "estimate"] / expected
    )


def test_effects_of_counts_by_hand(data):
    """The ratio of fitted to expected events, and their difference, as events and as a rate."""
    result = qe.estimate(stated(**COUNTED), data)
    counts, exposure = data["events"].to_numpy(), np.log(data["people"].to_numpy())
    peer = sm.GLM(counts, X, family=sm.families.Poisson(), offset=exposure).fit(scale="X2", tol=1e-14)
    late = AFTER == 1
    people = data["people"].to_numpy()
    without = people * np.exp(X[:, :2] @ peer.params[:2])
    seen = people * np.exp(X @ peer.params)
    table = terms(result)
    assert table.loc["rate ratio", "estimate"] == pytest.approx(seen[late].sum() / without[late].sum())
    assert table.loc["level change ratio", "estimate"] == pytest.approx(np.exp(peer.params[2]))
    gone = seen[late].sum() - without[late].sum()
    assert table.loc["cumulative effect", "estimate"] == pytest.approx(gone)
    assert table.loc["rate difference", "estimate"] == pytest.approx(1000 * gone / people[late].sum())
    gradient = (seen[:, None] * X - without[:, None] * X * [1, 1, 0, 0])[late].sum(axis=0)
    error = np.sqrt(gradient @ peer.cov_params() @ gradient)
    assert table.loc["cumulative effect", "std_error"] == pytest.approx(error)
    np.testing.assert_allclose(result.series["observed"], 1000 * data["events"] / people)
    np.testing.assert_allclose(result.series["counterfactual"], 1000 * without / people)
    np.testing.assert_allclose(result.series["fitted"], 1000 * seen / people)


def stacked(data, own, control):
    """Outcomes of the series and its control, and the eight columns of the comparative model."""
    x = np.vstack([np.column_stack([X, X]), np.column_stack([X, 0 * X])])
    order = [0, 1, 2, 3, 4, 5, 6, 7]
    return np.concatenate([data[own], data[control]]), x[:, order]


COMPARED = ("constant", "trend", "level change in both", "slope change in both")
APART = ("constant, here less control", "trend, here less control", "level change", "slope change")


def test_comparative_model(data):
    """Eight coefficients (Lopez Bernal, Cummins and Gasparrini 2018), of amounts and of counts."""
    y, x = stacked(data, "y", "other")
    kernel = fitted(data, controls=("other",))
    assert kernel.names == (*COMPARED, *APART)
    same(kernel, ordinary(y, x))
    assert kernel.change.tolist() == [False] * 6 + [True] * 2
    counts, x = stacked(data, "events", "others")
    fields = COUNTED | {"controls": ("others",), "control_denominators": ("residents",)}
    exposure = np.log(np.concatenate([data["people"], data["residents"]]))
    peer = sm.GLM(counts, x, family=sm.families.Poisson(), offset=exposure).fit(scale="X2", tol=1e-14)
    same(fitted(data, **fields), peer)


def test_both_series_share_the_season(data):
    y, x = stacked(data, "y", "other")
    kernel = fitted(data, controls=("other",), seasonality="harmonics")
    both = np.column_stack([x[:, :4], np.vstack([WAVES, WAVES]), x[:, 4:]])
    same(kernel, ordinary(y, both))


def test_other_uses_of_controls(data):
    less = {"controls": ("other",), "controlled_by": "difference of the series"}
    same(fitted(data, **less), ordinary(data["y"] - data["other"], X))
    beside = {"controls": ("other", "age"), "controlled_by": "regressors"}
    same(fitted(data, **beside), ordinary(data["y"], X, data["other"], data["age"]))
    pool = {"controls": ("other", "age"), "controlled_by": "difference of the series"}
    same(fitted(data, **pool), ordinary(data["y"] - (data["other"] + data["age"]) / 2, X))
    counts = (
        COUNTED
        | {"family": "quasi-poisson", "controls": ("others",)}
        | {"control_denominators": ("residents",)}
    )
    ratio = np.log(data["events"] / data["people"] / (data["others"] / data["residents"]))
    kernel = fitted(data, **counts, controlled_by="difference of the series")
    same(kernel, ordinary(ratio, X))
    assert kernel.link == "log"


def test_a_shock_that_both_felt_is_removed(data):
    """A common step of 10 changes the plain estimate by 10 and the controlled one not at all."""
    hit = data.assign(y=data["y"] + 10 * AFTER, other=data["other"] + 10 * AFTER)
    for controlled in ("comparative model", "difference of the series"):
        fields = {"controls": ("other",), "controlled_by": controlled}
        before, after = (terms(qe.estimate(stated(**fields), each)) for each in (data, hit))
        assert after.loc["level change", "estimate"] == pytest.approx(before.loc["level change", "estimate"])
    alone = [terms(qe.estimate(stated(), each)).loc["level change", "estimate"] for each in (data, hit)]
    assert alone[1] - alone[0] == pytest.approx(10)


def test_recommended_errors_say_why(data):
    """Whatever is recommended is named, and one of the choices that a design can state."""
    result = qe.estimate(stated(inference="recommended"), data)
    assert result.facts["errors"]
    table = terms(result)
    assert np.isfinite(table.loc["mean effect", ["estimate", "std_error", "p_value"]].to_numpy(float)).all()


def test_any_change_is_a_forecast_from_before(data):
    """Independent errors: observed less the line of the time before, with the error of a new observation."""
    wild = data.assign(y=data["y"] + np.where(AFTER == 1, np.sin(TIME) * 5, 0))
    result = qe.estimate(stated(change="any"), wild)
    late = AFTER == 1
    line = ordinary(data["y"][~late], X[~late, :2])
    gap = wild["y"][late] - X[late, :2] @ line.params
    table = terms(result)
    assert table.loc["mean effect", "estimate"] == pytest.approx(gap.mean(), rel=1e-7)
    mean = X[late, :2].mean(axis=0)
    error = np.sqrt(line.scale / late.sum() + mean @ line.cov_params() @ mean)
    assert table.loc["mean effect", "std_error"] == pytest.approx(error, rel=1e-5)
    shown = result.series["counterfactual"].to_numpy()[late]
    np.testing.assert_allclose(shown, X[late, :2] @ line.params, rtol=1e-7)


def test_any_change_of_counts(data):
    result = qe.estimate(stated(**COUNTED, change="any", family="poisson"), data)
    late = AFTER == 1
    offset = np.log(data["people"])
    line = sm.GLM(
        data["events"][~late], X[~late, :2], family=sm.families.Poisson(), offset=offset[~late]
    ).fit(tol=1e-14)
    mean = np.exp(offset[late] + X[late, :2] @ line.params)
    table = terms(result)
    assert table.loc["cumulative effect", "estimate"] == pytest.approx(
        data["events"][late].sum() - mean.sum()
    )
    gradient = mean.to_numpy() @ X[late, :2]
    error = np.sqrt(mean.sum() + gradient @ line.cov_params() @ gradient)
    assert table.loc["cumulative effect", "std_error"] == pytest.approx(error)
    assert table.loc["rate ratio", "estimate"] == pytest.approx(data["events"][late].sum() / mean.sum())


@pytest.mark.parametrize(
    "fields",
    [{"model": "ARIMA", "arima": "1,0,0"}, {"model": "structural time series"}],
    ids=["arima", "level"],
)
def test_models_whose_level_moves(fields, data):
    """The change is found, and what is expected is what was observed less the change."""
    result = qe.estimate(stated(change="level", trend="none", **fields), data)
    level = terms(result).loc["level change", "estimate"]
    late = AFTER == 1
    np.testing.assert_allclose(result.series["counterfactual"][late], data["y"][late] - level, rtol=1e-9)
    assert terms(result).loc["mean effect", "estimate"] == pytest.approx(level)


def test_headlines(data):
    plain = qe.estimate(stated(), data).headline
    assert plain.startswith("From 2021-01 on, y was ") and "lower" in plain
    assert "One series does not rule out other events at that time." in plain
    controlled = qe.estimate(stated(controls=("other",)), data).headline
    assert "control series" in controlled and "One series does not" not in controlled
    counted = qe.estimate(stated(**COUNTED, change="level"), data).headline
    assert "% lower over 24 months than expected without the intervention (rate ratio" in counted
    assert "That is" in counted and "fewer" in counted


def test_too_early_to_say(data):
    early = qe.estimate(stated(expected_within=36), data)
    assert early.headline.startswith("It is too early to say") and "So far:" in early.headline
    assert "expected within 36 months of 2021-01, and the data cover 24 months" in early.headline
    assert any("too early to say" in note for note in early.notes)
    for months in (0, 24):
        assert "too early" not in qe.estimate(stated(expected_within=months), data).headline


def test_notes_and_facts(data):
    result = qe.estimate(stated(**COUNTED), data)
    assert any(note.startswith("Family: quasi-poisson, because whole numbers") for note in result.notes)
    assert result.facts["periods before"] == HALF and result.facts["periods after"] == PERIODS - HALF
    assert result.facts["one period is a"] == "month" and result.facts["dispersion"] > 0
    told = qe.estimate(stated(**COUNTED, family="poisson"), data)
    assert not any(note.startswith("Family") for note in told.notes) and "dispersion" not in told.facts


UNITS = [
    {},
    {"inference": "AR errors by REML"},
    {"inference": "Newey-West"},
    {"controls": ("other",)},
    {"model": "structural time series", "trend": "none"},
]


@pytest.mark.parametrize("fields", UNITS, ids=["plain", "reml", "newey-west", "controlled", "structural"])
def test_units_and_origins_do_not_matter(fields, data):
    """Amounts times 1000 less 7000, and dates a century later: estimates times 1000, p-values the same."""
    plain = terms(qe.estimate(stated(**fields), data))
    scaled = data.assign(y=1000 * data["y"] - 7000, other=1000 * data["other"] - 7000)
    moved = scaled.assign(month=(MONTHS + 1200).astype(str))
    found = terms(qe.estimate(stated(**fields, family="gaussian", start="2121-01"), moved))
    rows = ["mean effect", "level change", "slope change"]
    for name in ("estimate", "std_error", "conf_low", "conf_high"):
        np.testing.assert_allclose(found.loc[rows, name], 1000 * plain.loc[rows, name], rtol=1e-4)
    np.testing.assert_allclose(found.loc[rows, "p_value"], plain.loc[rows, "p_value"], rtol=1e-3, atol=1e-12)


def test_rates_per_any_number_of_people(data):
    """`per` and the size of the denominators change how rates are shown, and no ratio or number of events."""
    plain = terms(qe.estimate(stated(**COUNTED), data))
    for change in ({"per": 1}, {"per": 100_000}):
        found = terms(qe.estimate(stated(**COUNTED | change), data))
        scale = change["per"] / 1000
        assert found.loc["rate difference", "estimate"] == pytest.approx(
            scale * plain.loc["rate difference", "estimate"]
        )
        for term in ("rate ratio", "level change ratio", "cumulative effect"):
            np.testing.assert_allclose(
                found.loc[term].to_numpy(float), plain.loc[term].to_numpy(float), rtol=1e-9
            )


@pytest.mark.parametrize("words", [{"poison": True}, {"poison": False}], ids=["poison", "changed"])
def test_blindness(words, data):
    """Outcomes from the start on, of controls too, are never touched before the estimate."""
    design = stated(controls=("other",), control_outcomes=("others",), seasonality="harmonics")
    late = AFTER == 1
    closed = data.copy()
    for name in ("y", "other", "others"):
        instead = Untouchable() if words["poison"] else -1e9
        held = [instead if after else value for after, value in zip(late, data[name], strict=True)]
        closed[name] = pd.Series(held, dtype=object)
    expected, found = (method_of(design).blind(design, each) for each in (data, closed))
    np.testing.assert_array_equal(found.series.y, expected.series.y)
    assert np.isnan(found.series.y[late]).all() and np.isfinite(found.series.y[~late]).all()
    for name in ("other", "others"):
        assert np.isnan(found.series.others[name][late]).all()
    checks = [qe.design_checks(design, each) for each in (data, closed)]
    assert [(each.name, each.verdict, each.text) for each in checks[0]] == [
        (each.name, each.verdict, each.text) for each in checks[1]
    ]


class Untouchable:
    """A cell that may be carried along and not be looked at."""

    def __float__(self):
        raise AssertionError("an outcome after the start was looked at")

    __eq__ = __bool__ = __array__ = __float__
    __hash__ = object.__hash__


def test_missing_outcomes_after_the_start_are_not_known_beforehand(data):
    """A design is not told which outcomes after the start are missing."""
    design = stated()
    gappy = data.assign(y=data["y"].where(np.arange(PERIODS) != 50))
    blind = [method_of(design).blind(design, each) for each in (data, gappy)]
    assert blind[0].notes == blind[1].notes
    np.testing.assert_array_equal(blind[0].used, blind[1].used)


def test_a_changed_design_is_another_estimate(data):
    found = qe.vary(stated(), data, change=["level", "slope"], lag=[3])
    assert len(found.table["label"].unique()) == 4 and (found.table["note"] == "").all()
    alone = qe.estimate(replace(stated(), lag=3), data).estimates.loc[0, "estimate"]
    row = found.table[found.table["label"].str.contains("lag")].iloc[0]
    assert row["estimate"] == pytest.approx(alone)
