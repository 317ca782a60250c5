"""Regression models of single series against R 4.2 (stats, MASS, sandwich): Sicily, seat belts, a simulation.

Coefficients, errors, deviances and effects to 1e-9, where R iterated to the end. Profile intervals of R come
from a spline through a coarse grid; ours are exact roots, and the distance (4e-6 standard errors) is pinned.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from qieval.numerics.series_regression import bread, fit_series, score_contributions
from qieval.numerics.series_regression_effects import Contrast, contrast_effects
from qieval.numerics.series_regression_many import fit_many
from qieval.numerics.series_regression_profile import f_test, profile_interval

SHARED = Path(__file__).resolve().parents[3] / "shared"

pytestmark = pytest.mark.skipif(
    not (SHARED / "reference" / "scits.json").is_file(),
    reason="the shared reference numbers are not beside the repository",
)

GLM = 1e-9
OLS = 1e-9
STOPPED = 1e-7
"""For counts of the simulation, where R kept its default epsilon of 1e-8 and stopped a step earlier."""


@pytest.fixture(scope="module")
def cases():
    held = json.loads((SHARED / "reference" / "scits.json").read_text(encoding="utf-8"))["cases"]
    return {case["id"]: case["values"] for case in held}


def frame(name):
    return pd.read_csv(SHARED / "data" / f"scits_{name}.csv").astype(float)


def waves(month, names=("Hsin1", "Hsin2", "Hcos1", "Hcos2")):
    """Columns by R's names of them: the last letters say which wave."""
    made = {}
    for name in names:
        wave = np.sin if "sin" in name else np.cos
        made[name] = wave(2 * np.pi * int(name[-1]) * month / 12)
    return made


class Series:
    """A series with columns by name; a fit takes the columns of the reference in their order."""

    def __init__(self, y, columns, offset=None):
        self.y, self.offset = np.asarray(y, float), offset
        self.columns = {"(Intercept)": np.ones(len(self.y)), **columns}

    def x(self, names):
        return np.column_stack([self.columns[name] for name in names])

    def fit(self, names, family):
        return fit_series(self.y, self.x(names), family, offset=self.offset)


def sicily(keep=slice(None), change=36):
    data = frame("sicily").iloc[keep]
    time, month = data["time"].to_numpy(), data["month"].to_numpy()
    ban = (time > change).astype(float)
    columns = {
        "smokban": ban,
        "time": time,
        "smokban:time": ban * time,
        "ta": ban * (time - 36),
        **waves(month),
    }
    columns |= {name.replace("H", "Ht"): column for name, column in waves(month).items()}
    columns |= {f"factor(month){at}": (month == at).astype(float) for at in range(2, 13)}
    return Series(data["aces"], columns, np.log(data["stdpop"].to_numpy()))


def seatbelts(outcome, offset=None):
    data = frame("seatbelts")
    columns = {
        "law": data["law"],
        "t": data["t"],
        "lp": np.log(data["PetrolPrice"]),
        "lk": np.log(data["kms"]),
    }
    columns["law_t"] = data["law"] * (data["t"] - 169)
    columns |= {f"fm{at}": data["month"] == at for at in range(2, 13)}
    held = {name: np.asarray(column, float) for name, column in columns.items()}
    return Series(outcome(data), held, None if offset is None else offset(data).to_numpy())


def simulated(outcome, offset=False):
    data = frame("its_sim_ar1")
    columns = {name: data[name].to_numpy() for name in ("t", "post", "t_after")}
    columns |= waves(columns["t"], ("Hsin1", "Hcos1"))
    return Series(outcome(data), columns, np.log(data["pop"].to_numpy()) if offset else None)


def controlled(outcomes, offset=False):
    """The series and its control below each other."""
    data = pd.concat([frame("its_sim_ar1").assign(grp=1.0), frame("its_sim_ar1").assign(grp=0.0)])
    columns = {"t": data["t"], "post": data["post"], "ta": data["t_after"], "grp": data["grp"]}
    columns |= {f"{name}:grp": columns[name] * data["grp"] for name in ("t", "post", "ta")}
    columns |= waves(data["t"], ("HHsin1", "HHcos1", "HZsin1", "HZcos1"))
    y = np.where(data["grp"] == 1, data[outcomes[0]], data[outcomes[1]])
    held = {name: column.to_numpy() for name, column in columns.items()}
    return Series(y, held, np.log(data["pop"].to_numpy()) if offset else None)


MODELS = {
    ("sicily_its", "m1_poisson"): (sicily, "poisson"),
    ("sicily_its", "m2_quasipoisson"): (sicily, "quasi-poisson"),
    ("sicily_its", "m3_quasipoisson_harmonic"): (sicily, "quasi-poisson"),
    ("sicily_its", "m4_smokban_x_time"): (sicily, "quasi-poisson"),
    ("sicily_its", "m5_level_slope_centred36"): (sicily, "quasi-poisson"),
    ("sicily_its", "month_factor_quasipoisson"): (sicily, "quasi-poisson"),
    ("sicily_its", "transition_exclude_37_39"): (
        lambda: sicily([*range(36), *range(39, 59)]),
        "quasi-poisson",
    ),
    ("sicily_its", "nb_harmonic"): (sicily, "negative binomial"),
    ("seatbelts_its", "quasipoisson_VanKilled"): (
        lambda: seatbelts(lambda d: d["VanKilled"]),
        "quasi-poisson",
    ),
    ("seatbelts_its", "quasipoisson_DriversKilled_offset_kms"): (
        lambda: seatbelts(lambda d: d["DriversKilled"], lambda d: np.log(d["kms"])),
        "quasi-poisson",
    ),
    ("seatbelts_its", "ols_log_drivers"): (lambda: seatbelts(lambda d: np.log(d["drivers"])), "gaussian"),
    ("seatbelts_its", "ols_level_slope"): (lambda: seatbelts(lambda d: np.log(d["drivers"])), "gaussian"),
    ("sim_ar1_its", "ols"): (lambda: simulated(lambda d: d["y"]), "gaussian"),
    ("sim_ar1_its", "controlled_its_ols"): (lambda: controlled(("y", "y_control")), "gaussian"),
    ("sim_ar1_its", "controlled_difference_series"): (
        lambda: simulated(lambda d: d["y"] - d["y_control"]),
        "gaussian",
    ),
    ("sim_ar1_its", "count_quasipoisson"): (lambda: simulated(lambda d: d["count"], True), "quasi-poisson"),
    ("sim_ar1_its", "count_negbin"): (lambda: simulated(lambda d: d["count"], True), "negative binomial"),
    ("sim_ar1_its", "count_controlled_quasipoisson"): (
        lambda: controlled(("count", "count_control"), True),
        "quasi-poisson",
    ),
}


def near(found, expected, tolerance, what=""):
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=1e-300, err_msg=what)


@pytest.mark.parametrize(("case", "model"), MODELS, ids=[model for _, model in MODELS])
def test_model(cases, case, model):
    expected = cases[case][model]
    made, family = MODELS[case, model]
    fit = made().fit(expected["coef"], family)
    tolerance = STOPPED if model.startswith("count") else GLM
    assert fit.converged
    near(fit.coefficients, list(expected["coef"].values()), tolerance, "coefficients")
    near(fit.std_error, list(expected["se"].values()), tolerance, "errors")
    for name, value in figures(fit).items():
        if expected.get(name) is not None:
            near(value, expected[name], tolerance, name)
    for name, values in by_coefficient(fit).items():
        if name in expected:
            tiny = np.array(list(expected[name].values())) < 1e-290  # p of the intercept: R stores 0
            near(np.where(tiny, 0.0, values), list(expected[name].values()), 1e-7, name)


def figures(fit):
    return {
        "dispersion": fit.dispersion,
        "deviance": fit.deviance,
        "df_residual": fit.fitted.size - fit.coefficients.size,
        "loglik": fit.log_likelihood,
        "aic": fit.aic,
        "theta": fit.theta,
        "se_theta": fit.theta_error,
        "sigma": np.sqrt(fit.dispersion),
    }


def by_coefficient(fit):
    half = 1.959963984540054 * fit.std_error
    return {
        "p": fit.p_value,
        "RR": np.exp(fit.coefficients),
        "RR_lo95_normal": np.exp(fit.coefficients - half),
        "RR_hi95_normal": np.exp(fit.coefficients + half),
    }


def test_nested_models(cases):
    held = cases["sicily_its"]
    small, large = (
        sicily().fit(held[name]["coef"], "quasi-poisson")
        for name in ("m3_quasipoisson_harmonic", "m4_smokban_x_time")
    )
    found, expected = f_test(small, large), held["F_m3_vs_m4"]
    assert (found.kind, found.df1, found.df2) == ("F", expected["df1"], expected["df2"])
    near([found.statistic, found.p_value], [expected["F"], expected["p"]], GLM)


def sandwich_errors(fit, x, lags, adjust):
    """R's NeweyWest(prewhite = FALSE), Bartlett weights, written out."""
    scores, n = score_contributions(fit, x), len(x)
    meat = scores.T @ scores
    for lag in range(1, lags + 1):
        product = scores[lag:].T @ scores[:-lag]
        meat += (1 - lag / (lags + 1)) * (product + product.T)
    factor = n / (n - x.shape[1]) if adjust else 1.0
    return np.sqrt(factor * np.diag(bread(fit) @ meat @ bread(fit)))


def test_scores_and_bread_of_counts_give_newey_west(cases):
    held = cases["sicily_its"]
    names = held["m3_quasipoisson_harmonic"]["coef"]
    fit, x = sicily().fit(names, "poisson"), sicily().x(names)
    for lags, adjust, expected in (
        (12, True, held["newey_west_m3p_lag12"]["adjust_true"]),
        (12, False, held["newey_west_m3p_lag12"]["adjust_false"]),
        (3, True, held["newey_west_m3p_lag3"]["adjust_true"]),
    ):
        near(sandwich_errors(fit, x, lags, adjust), list(expected.values()), GLM)


@pytest.mark.parametrize("lags", [1, 3, 6])
def test_scores_and_bread_of_means_give_newey_west(cases, lags):
    held = cases["sim_ar1_its"]
    series = simulated(lambda data: data["y"])
    fit, x = series.fit(held["ols"]["coef"], "gaussian"), series.x(held["ols"]["coef"])
    for adjust, name in ((True, "adjust"), (False, "noadjust")):
        near(sandwich_errors(fit, x, lags, adjust), list(held[f"nw_lag{lags}_{name}"].values()), OLS)


@pytest.mark.parametrize("model", ["m2_quasipoisson", "m3_quasipoisson_harmonic"])
def test_deviance_residuals_have_the_stored_autocorrelation(cases, model):
    held = cases["sicily_its"]
    residuals = sicily().fit(held[model]["coef"], "quasi-poisson").deviance_residuals
    centred = residuals - residuals.mean()
    found = [centred[lag:] @ centred[:-lag] / (centred @ centred) for lag in range(1, 13)]
    near(found, held[f"diagnostics_{model[:2]}_deviance"]["acf_1_12"], 1e-8)


def effects_after(series, names, family, changes):
    """Effects over the periods after the start, where the columns named in `changes` are zero without it."""
    fit, x = series.fit(names, family), series.x(names)
    after = x[:, list(names).index(changes[0])] == 1
    without = x[after]
    without[:, [list(names).index(name) for name in changes]] = 0.0
    offset = None if series.offset is None else series.offset[after]
    contrast = Contrast(x[after], without, fit.outcome.link, offset)
    return contrast_effects(fit.coefficients, fit.covariance, contrast)


@pytest.mark.parametrize(
    ("name", "model", "changes"),
    [
        ("counterfactual_m3", "m3_quasipoisson_harmonic", ["smokban"]),
        ("counterfactual_m5", "m5_level_slope_centred36", ["smokban", "ta"]),
    ],
)
def test_counterfactual(cases, name, model, changes):
    expected = cases["sicily_its"][name]
    total = effects_after(sicily(), cases["sicily_its"][model]["coef"], "quasi-poisson", changes).cumulative
    assert sicily().y[36:].sum() == expected["observed_post"]
    for track, value, error in (
        (total.fitted, "fitted_post", None),
        (total.counterfactual, "counterfactual_post", None),
        (total.difference, "difference", "difference_se_delta"),
        (total.log_ratio, "log_ratio", "log_ratio_se_delta"),
    ):
        near(track.value[-1], expected[value], GLM, value)
        if error:
            near(track.error[-1], expected[error], GLM, error)


def test_effect_of_a_gaussian_series(cases):
    held = cases["sim_ar1_its"]
    names = held["ols"]["coef"]
    effects = effects_after(simulated(lambda data: data["y"]), names, "gaussian", ["post", "t_after"])
    found = {
        "mean_post_effect": effects.mean_difference.value[0],
        "cumulative": effects.cumulative.difference.value[-1],
        # twelfth period: t_after counts from 1
        "effect_at_12_after": effects.by_period.difference.value[11],
        "relative_mean_pct": 100 * (effects.cumulative.ratio.value[-1] - 1),
    }
    for name, value in found.items():
        near(value, held["ols_effect"][name], GLM, name)


def test_change_points(cases):
    names = cases["sicily_its"]["m3_quasipoisson_harmonic"]["coef"]
    for row in cases["sicily_its"]["changepoint_sensitivity"]:
        fit = sicily(change=row["change_after_time"]).fit(names, "quasi-poisson")
        found = [np.exp(fit.coefficients[1]), fit.deviance, fit.dispersion]
        near(found, [row["RR"], row["deviance"], row["dispersion"]], GLM)


def test_profile_intervals(cases):
    names = cases["sicily_its"]["m3_quasipoisson_harmonic"]["coef"]
    fit, x = sicily().fit(names, "quasi-poisson"), sicily().x(names)
    away = []
    for column, (name, expected) in enumerate(cases["sicily_its"]["profile_ci_m3"].items()):
        found = profile_interval(fit, x, column)
        ends = np.exp([found.low, found.high])
        near(ends, [expected["2.5 %"], expected["97.5 %"]], 1e-7, name)
        away += list(np.abs(np.log(ends) - np.log(list(expected.values()))) / fit.std_error[column])
    assert 1e-7 < max(away) < 5e-6


def test_many_series_at_once_give_the_same(cases):
    names = cases["sicily_its"]["m3_quasipoisson_harmonic"]["coef"]
    expected = cases["sicily_its"]["m3_quasipoisson_harmonic"]
    series = sicily()
    fits = fit_many(np.tile(series.y, (3, 1)), series.x(names), "quasi-poisson", offset=series.offset)
    for row in range(3):
        near(fits.coefficients[row], list(expected["coef"].values()), GLM)
        near(fits.std_error[row], list(expected["se"].values()), GLM)
