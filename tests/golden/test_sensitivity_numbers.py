"""Sensitivity analyses against numbers of sensemakr, EValue, tipr, robomit, rbounds and EmpiricalCalibration.

Not covered: senmv on `erpcp`, since the data are not among the shared files (the same statistic is checked
against a slow version in tests/numerics/test_rosenbaum.py).
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from qieval.numerics import calibration, e_values, omitted_variables, oster, rosenbaum, tipping

SHARED = Path(__file__).resolve().parents[3] / "shared"
EXACT = 1e-8

pytestmark = pytest.mark.skipif(
    not (SHARED / "reference" / "matching.json").is_file(),
    reason="the shared reference numbers are not beside the repository",
)


@pytest.fixture(scope="module")
def everything():
    return json.loads((SHARED / "reference" / "matching.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def reference(everything):
    return everything["sensitivity"]


def dummies(frame, names):
    """Design columns and, for each name, the numbers of its columns."""
    parts, groups, at = [], {}, 0
    for name in names:
        column = frame[name]
        if not pd.api.types.is_numeric_dtype(column):
            levels = sorted(column.dropna().unique())
            block = np.column_stack([(column == level).to_numpy(float) for level in levels[1:]])
        else:
            block = column.to_numpy(float)[:, None]
        groups[name] = list(range(at, at + block.shape[1]))
        at += block.shape[1]
        parts.append(block)
    return np.hstack(parts), groups


def triangle(frame, names, treated, outcome):
    x, groups = dummies(frame, names)
    return omitted_variables.reduce(x, frame[treated].to_numpy(float), frame[outcome].to_numpy(float)), groups


@pytest.fixture(scope="module")
def darfur():
    frame = pd.read_csv(SHARED / "data" / "matching_darfur.csv")
    names = ["age", "farmer_dar", "herder_dar", "pastvoted", "hhsize_darfur", "female", "village"]
    return triangle(frame, names, "directlyharmed", "peacefactor")


@pytest.fixture(scope="module")
def rhc_frame():
    return pd.read_csv(SHARED / "data" / "matching_rhc.csv.gz", keep_default_na=False, na_values=[""])


@pytest.fixture(scope="module")
def rhc(rhc_frame, reference):
    names = reference["rhc_leave_one_covariate_out"]["table"]["rows"]
    return triangle(rhc_frame, names, "rhc", "death30")


def check_statistics(found, given):
    assert found.estimate == pytest.approx(given["estimate"], rel=EXACT)
    assert found.se == pytest.approx(given["se"], rel=EXACT)
    assert found.t == pytest.approx(given["t_statistic"], rel=EXACT)
    assert found.partial_r2 == pytest.approx(given["r2yd.x"], rel=EXACT)
    assert found.df == given["dof"]
    value = omitted_variables.robustness_value
    assert value(found.t, found.df) == pytest.approx(given["rv_q"], rel=EXACT)
    assert value(found.t, found.df, alpha=0.05) == pytest.approx(given["rv_qa"], rel=EXACT)


def check_bounds(held, groups, given):
    fitted = omitted_variables.fit(held)
    for row, label in enumerate(given["bound_label"]):
        times, name = label.split("x ", 1)
        found = omitted_variables.benchmark(held, groups[name], float(times))
        assert found.r2_treated[0] == pytest.approx(given["r2dz.x"][row], rel=EXACT)
        assert found.r2_outcome[0] == pytest.approx(given["r2yz.dx"][row], rel=EXACT)
        left = omitted_variables.adjusted(fitted, found.r2_treated, found.r2_outcome)
        for part, key in (
            (left.estimate, "adjusted_estimate"),
            (left.se, "adjusted_se"),
            (left.t, "adjusted_t"),
            (left.low, "adjusted_lower_CI"),
            (left.high, "adjusted_upper_CI"),
        ):
            assert part[0] == pytest.approx(given[key][row], rel=EXACT, abs=1e-12)


def test_darfur_statistics_and_bounds(darfur, reference):
    held, groups = darfur
    check_statistics(omitted_variables.fit(held), reference["darfur"]["stats"])
    check_bounds(held, groups, reference["darfur"]["bounds"])


def test_darfur_robustness_values(darfur, reference):
    fitted = omitted_variables.fit(darfur[0])
    given = reference["darfur"]["rv"]
    for key, q, alpha in (
        ("q1_alpha1", 1, 1),
        ("q05_alpha1", 0.5, 1),
        ("q1_alpha05", 1, 0.05),
        ("q05_alpha05", 0.5, 0.05),
    ):
        found = omitted_variables.robustness_value(fitted.t, fitted.df, q, alpha)
        assert found == pytest.approx(given[key], rel=EXACT)
    found = omitted_variables.extreme_robustness_value(fitted.t, fitted.df)
    assert found == pytest.approx(given["xrv_q1"], rel=EXACT)


def test_darfur_grid(darfur, reference):
    given = reference["darfur"]["adjusted_grid"]
    found = omitted_variables.adjusted(
        omitted_variables.fit(darfur[0]), np.array(given["r2dz"]), np.array(given["r2yz"])
    )
    np.testing.assert_allclose(found.estimate, given["est"], rtol=EXACT)
    np.testing.assert_allclose(found.se, given["se"], rtol=EXACT)
    np.testing.assert_allclose(found.t, given["t"], rtol=EXACT)


def test_darfur_partial_r2(darfur, reference):
    held, groups = darfur
    k = held.n_covariates
    for name, given in reference["darfur"]["partial_r2"].items():
        if name == "directlyharmed":
            found = omitted_variables.fit(held).partial_r2
        else:
            rest = [*omitted_variables.without(held, groups[name]), k]
            found = omitted_variables.partial_r2(held, groups[name], k + 1, rest)
        assert found == pytest.approx(given, rel=EXACT)
    job = [*groups["farmer_dar"], *groups["herder_dar"]]
    rest = [*omitted_variables.without(held, job), k]
    found = omitted_variables.partial_r2(held, job, k + 1, rest)
    assert found == pytest.approx(reference["darfur"]["group_partial_r2_occupation"], rel=EXACT)


def test_right_heart_catheter_statistics_and_bounds(rhc, reference):
    held, groups = rhc
    check_statistics(omitted_variables.fit(held), reference["rhc_lpm"]["stats"])
    check_bounds(held, groups, reference["rhc_lpm"]["bounds"])


def test_leave_one_covariate_out(rhc, reference):
    held, groups = rhc
    table = reference["rhc_leave_one_covariate_out"]["table"]
    found = [
        omitted_variables.fit(held, omitted_variables.without(held, groups[name])) for name in table["rows"]
    ]
    np.testing.assert_allclose([one.estimate for one in found], table["est"], rtol=EXACT)
    np.testing.assert_allclose([one.se for one in found], table["se"], rtol=EXACT)


def oster_case(key):
    name, file = key.split(" ")
    if file == "nhefs.csv":
        from causaldata import nhefs_complete

        return nhefs_complete.load_pandas().data, name
    path = SHARED / "data" / f"matching_{file}"
    return pd.read_csv(path, keep_default_na=False, na_values=["", "NA"]), name


@pytest.mark.parametrize("key", ["re78 lalonde_matchit.csv", "wt82_71 nhefs.csv", "death30 rhc.csv.gz"])
def test_oster(key, reference):
    """robomit rounds delta and beta to 6 digits after the point; everything else is compared exactly."""
    case = reference["oster"][key]
    frame, outcome = oster_case(key)
    call = case["call"]
    treated = call.split("x='")[1].split("'")[0]
    names = call.split("con='")[1].split("'")[0].split(" + ")
    if case["numeric_covariates_as_read"]:
        frame = frame.assign(**{n: pd.to_numeric(frame[n]) for n in names if is_coded(frame[n])})
    held, _ = triangle(frame, names, treated, outcome)
    moved = oster.movement(held)
    assert moved.short == pytest.approx(case["beta_uncontrolled"], rel=EXACT)
    assert moved.r2_short == pytest.approx(case["R2_uncontrolled"], rel=EXACT)
    assert moved.full == pytest.approx(case["beta_controlled"], rel=EXACT)
    assert moved.r2_full == pytest.approx(case["R2_controlled"], rel=EXACT)
    highest = 1.3 * moved.r2_full
    half = 5.1e-7
    assert oster.delta(moved, highest) == pytest.approx(case["o_delta"]["Value"][0], abs=half)
    found = oster.adjusted_beta(moved, highest)
    assert found.beta == pytest.approx(case["o_beta"]["Value"][0], abs=half)
    assert found.others[0] == pytest.approx(case["o_beta"]["Value"][2], abs=half)


def is_coded(column):
    return pd.to_numeric(column.astype(str), errors="coerce").notna().all()


RATIOS = {
    "rr_3.9": ([3.9, 1.8, 8.7], 1.0),
    "rr_0.80": ([0.80, 0.71, 0.91], 1.0),
    "rr_true1.5": ([2, 1.6, 2.5], 1.5),
    "or_common": (e_values.from_common_odds_ratio([1.24, 1.03, 1.49]), 1.0),
    "or_rare": ([0.86, 0.75, 0.99], 1.0),
    "hr_common": (e_values.from_common_hazard_ratio([0.56, 0.46, 0.69]), 1.0),
    "hr_rare": ([1.5, 1.2, 1.9], 1.0),
    "md": (e_values.from_difference(0.5, 0.25), 1.0),
    "ols": (e_values.from_difference(3.44 / 7.88, 0.525 / 7.88), 1.0),
}


@pytest.mark.parametrize("key", RATIOS)
def test_e_values(key, reference):
    given = reference["evalues"][key]
    ratios, true = RATIOS[key]
    np.testing.assert_allclose(ratios, given["RR"], rtol=EXACT)
    found = e_values.e_values(*map(float, ratios), true=true)
    assert found.point == pytest.approx(given["E"][0], rel=EXACT)
    assert found.limit == pytest.approx(next(e for e in given["E"][1:] if e is not None), rel=EXACT)


def test_e_values_of_a_risk_difference(reference):
    """The limit of EValue lies on a grid of bias factors; ours rounded up to that grid is the same."""
    given = reference["evalues"]["rd_rhc_crude"]
    risks = e_values.Risks(830 / (830 + 1354), 1088 / (1088 + 2463), 830 + 1354, 1088 + 2463)
    found = e_values.risk_difference_e_values(risks)
    assert found.point == pytest.approx(given["est_evalue"], rel=EXACT)
    stepped = 1 + np.ceil((found.limit_bias - 1) / 1e-4) * 1e-4
    assert float(e_values.e_value(stepped)) == pytest.approx(given["lower_evalue"], rel=EXACT)


def test_bias_factor(reference):
    given = reference["bias_factor"]
    np.testing.assert_allclose(e_values.bias_factor(given["RRUD"], given["RRUY"]), given["bf"], rtol=1e-12)


def test_tipping_points(reference):
    given = reference["tipr"]
    one = given["adjust_rr_with_binary"]
    spread = one["exposed_confounder_prev"], one["unexposed_confounder_prev"]
    left = tipping.adjust_binary(one["rr_observed"], one["confounder_outcome_effect"], *spread)
    assert left == pytest.approx(one["rr_adjusted"], rel=1e-12)
    one = given["tip_rr_binary"]
    spread = one["exposed_confounder_prev"], one["unexposed_confounder_prev"]
    effect = tipping.tip_binary_outcome(one["effect_observed"], *spread)
    assert effect == pytest.approx(one["confounder_outcome_effect"], rel=1e-12)
    assert tipping.count_binary(one["effect_observed"], effect, *spread) == pytest.approx(1)
    one = given["tip_continuous"]
    effect = tipping.tip_continuous_outcome(one["effect_observed"], one["exposure_confounder_effect"])
    assert effect == pytest.approx(one["confounder_outcome_effect"], rel=1e-12)
    one = given["tip_coef"]
    effect = tipping.tip_coefficient(one["effect_observed"], one["exposure_confounder_effect"])
    assert effect == pytest.approx(one["confounder_outcome_effect"], rel=1e-12)


@pytest.mark.parametrize("name", ["sccs", "cohortMethod"])
def test_empirical_calibration(name, reference):
    """What follows from a null agrees exactly; R's null comes from a simplex search, good to about 1e-4."""
    given = reference["empirical_calibration"][name]
    frame = pd.read_csv(SHARED / "data" / f"matching_empcal_{name}.csv")
    controls = frame[frame["groundTruth"] == 0]
    estimates, errors = controls["logRr"].to_numpy(), controls["seLogRr"].to_numpy()
    null = calibration.fit_null(estimates, errors)
    assert null.n == given["n_controls"] and null.converged
    assert null.mean == pytest.approx(given["null_mean"], abs=3e-4)
    assert null.sd == pytest.approx(given["null_sd"], abs=3e-4)
    variance = given["null_sd"] ** 2 + errors**2
    theirs = -(np.log(2 * np.pi * variance) + (estimates - given["null_mean"]) ** 2 / variance).sum() / 2
    assert theirs <= null.log_likelihood <= theirs + 1e-5
    same = calibration.Null(given["null_mean"], given["null_sd"], null.n, theirs, True)
    tested, se = np.array(given["test_logRr"]), np.array(given["test_se"])
    np.testing.assert_allclose(calibration.calibrated_p(same, tested, se), given["calibrated_p"], rtol=EXACT)
    np.testing.assert_allclose(calibration.plain_p(tested, se), given["traditional_p"], rtol=EXACT)
    found = calibration.calibrate(same, tested, se)
    held = given["calibrated_ci_null_to_error_model"]
    np.testing.assert_allclose(found.estimate, held["logRr"], rtol=EXACT, atol=1e-12)
    np.testing.assert_allclose(found.low, held["logLb95Rr"], rtol=EXACT)
    np.testing.assert_allclose(found.high, held["logUb95Rr"], rtol=EXACT)
    np.testing.assert_allclose(found.std_error, held["seLogRr"], rtol=EXACT)
    assert same.expected_error == pytest.approx(given["expected_systematic_error"], rel=EXACT)


def test_binary_bounds(everything, reference):
    given = reference["rosenbaum_exact_rhc"]
    found = rosenbaum.binary_bounds(given["T"], given["D"] - given["T"], given["Gamma"])
    np.testing.assert_allclose(found.high, given["p_upper"], rtol=EXACT)
    np.testing.assert_allclose(found.low, given["p_lower"], rtol=EXACT)
    # binarysens rounds to 5 digits, and its tail begins one pair after the count observed.
    rounded = everything["rhc"]["rosenbaum_nn_caliper02_linear"]["binarysens"]
    next_pair = rosenbaum.binary_bounds(given["T"] + 1, given["D"] - given["T"] - 1, rounded["Gamma"])
    np.testing.assert_allclose(next_pair.high, rounded["Upper bound"], atol=5.1e-6)
    np.testing.assert_allclose(next_pair.low, rounded["Lower bound"], atol=5.1e-6)


@pytest.fixture(scope="module")
def pairs(rhc_frame, everything):
    """The reference's pairs: greedy on the logit, highest first, caliper 0.2 standard deviations."""
    import statsmodels.api as sm

    terms = everything["rhc"]["ps_model"]["formula"].split("~")[1].replace("\n", "").split("+")
    x, _ = dummies(rhc_frame, [term.strip() for term in terms])
    treated = rhc_frame["rhc"].to_numpy()
    model = sm.GLM(treated, sm.add_constant(x), family=sm.families.Binomial()).fit(tol=1e-12)
    score = model.predict(which="linear")
    spread = score.std(ddof=1)
    people, pool = np.flatnonzero(treated == 1), np.flatnonzero(treated == 0)
    free = np.ones(pool.size, dtype=bool)
    found = []
    for person in people[np.argsort(-score[people], kind="stable")]:
        gap = np.where(free, np.abs(score[pool] - score[person]), np.inf)
        best = int(np.argmin(gap))
        if gap[best] <= 0.2 * spread:
            free[best] = False
            found.append((person, pool[best]))
    return np.array(found)


def test_signed_rank_and_hodges_lehmann_bounds(pairs, rhc_frame, everything):
    """psens rounds to 4 digits. hlsens walks outwards in steps of 0.1 and stops past the solution.

    It starts at the estimate of wilcox.test, which leaves out pairs without a difference.
    """
    given = everything["rhc"]["rosenbaum_nn_caliper02_linear"]
    death = rhc_frame["death30"].to_numpy()[pairs]
    assert len(pairs) == given["pairs"]
    assert ((death == [1, 0]).all(axis=1).sum(), (death == [0, 1]).all(axis=1).sum()) == (447, 347)
    days = rhc_frame["t30"].to_numpy(float)[pairs]
    held = given["psens_t30"]
    found = rosenbaum.signed_rank_bounds(days[:, 0] - days[:, 1], held["Gamma"])
    np.testing.assert_allclose(found.low, held["Lower bound"], atol=5.1e-5)
    np.testing.assert_allclose(found.high, held["Upper bound"], atol=5.1e-5)
    held = given["hlsens_t30_control_minus_treated"]
    gain = days[:, 1] - days[:, 0]
    found = rosenbaum.hodges_lehmann_bounds(gain, held["Gamma"])
    start = rosenbaum.hodges_lehmann_bounds(gain[gain != 0], 1.0).low[0]
    assert held["Lower bound"][0] == held["Upper bound"][0] == start
    past = np.array(held["Upper bound"][1:]) - np.maximum(found.high[1:], start)
    assert (past >= 0).all() and (past <= 0.1 + 1e-4).all()
    past = np.minimum(found.low[1:], start) - np.array(held["Lower bound"][1:])
    assert (past >= 0).all() and (past <= 0.1 + 1e-4).all()
