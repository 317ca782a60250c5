"""Every two-way case of fixest, DRDID's regressions and Card-Krueger in the reference file."""

from importlib.resources import files

import numpy as np
import pandas as pd
import pytest

from qieval.numerics.absorb import fit_event, fit_static, two_way, within
from qieval.numerics.covariance import covariance, t_interval

TIGHT = 1e-10


def compare(case, fit, found, order):
    """Estimates, errors, t, p and intervals of one case; order puts our coefficients in its order."""
    expected = case["expected"]
    beta = np.concatenate([fit.beta, fit.gamma])[order]
    error = found.std_error[order]
    interval = t_interval(beta, error, found.df)
    np.testing.assert_allclose(beta, expected["estimate"], rtol=TIGHT)
    np.testing.assert_allclose(error, expected["se"], rtol=TIGHT)
    np.testing.assert_allclose(interval.statistic, expected["statistic"], rtol=TIGHT)
    np.testing.assert_allclose(interval.p_value, expected["p_value"], rtol=TIGHT)
    np.testing.assert_allclose(interval.low, expected["ci_low"], rtol=TIGHT)
    np.testing.assert_allclose(interval.high, expected["ci_high"], rtol=TIGHT)
    assert (fit.base.rows.n, found.df) == (expected["nobs"], expected["df_t"])


def event_codes(relative, order):
    """Position in `order`, -1 for everything else."""
    place = {value: i for i, value in enumerate(order)}
    return np.array([place.get(value, -1) for value in relative])


@pytest.fixture(scope="module")
def mpdta(shared_data, codes):
    data = shared_data("did_mpdta.csv")
    first = data["first.treat"]
    data["d"] = ((first > 0) & (data["year"] >= first)).astype(float)
    data["relative"] = np.where(first > 0, data["year"] - first, -1000)
    return data, codes(data["countyreal"]), codes(data["year"])


@pytest.fixture(scope="module")
def unbalanced(shared_data, codes):
    data = shared_data("did_sim_staggered.csv").query("obs == 1")
    return data, codes(data["id"]), codes(data["year"]), codes(data["region"])


@pytest.mark.parametrize("case, kind", [("mpdta_twfe_static", "cluster"), ("mpdta_twfe_static_iid", "iid")])
def test_mpdta_static(reference, mpdta, case, kind):
    data, unit, time = mpdta
    fit = fit_static(within(two_way(unit, time), data["lemp"].to_numpy()), data["d"].to_numpy())
    compare(reference(case), fit, covariance(fit, kind, unit), [0])


def test_mpdta_with_covariate_by_year(reference, mpdta):
    data, unit, time = mpdta
    x = np.stack([(data["year"] == year) * data["lpop"] for year in range(2004, 2008)], axis=1)
    fit = fit_static(within(two_way(unit, time), data["lemp"].to_numpy(), x), data["d"].to_numpy())
    compare(reference("mpdta_twfe_static_lpopyear"), fit, covariance(fit, "cluster", unit), [0, 1, 2, 3, 4])


def test_mpdta_event_study(reference, mpdta):
    data, unit, time = mpdta
    base = within(two_way(unit, time), data["lemp"].to_numpy())
    fit = fit_event(base, event_codes(data["relative"], [-4, -3, -2, 0, 1, 2, 3]), 7)
    compare(reference("mpdta_twfe_event"), fit, covariance(fit, "cluster", unit), list(range(7)))


def test_base_stagg(reference, shared_data, codes):
    data = shared_data("did_base_stagg.csv")
    unit, time = codes(data["id"]), codes(data["year"])
    base = within(two_way(unit, time), data["y"].to_numpy(), data[["x1"]].to_numpy())
    fit = fit_static(base, (data["year"] >= data["year_treated"]).to_numpy(float))
    compare(reference("base_stagg_twfe"), fit, covariance(fit, "cluster", unit), [1, 0])


def test_base_did_event_study(reference, shared_data, codes):
    data = shared_data("did_base_did.csv")
    unit, time = codes(data["id"]), codes(data["period"])
    base = within(two_way(unit, time), data["y"].to_numpy(), data[["x1"]].to_numpy())
    code = event_codes(np.where(data["treat"] == 1, data["period"], 0), [1, 2, 3, 4, 6, 7, 8, 9, 10])
    fit = fit_event(base, code, 9)
    compare(reference("base_did_event"), fit, covariance(fit, "cluster", unit), [9, *range(9)])


@pytest.mark.parametrize(
    "case, weighted, by_year",
    [
        ("sim_twfe_unbal_cluster_region", False, False),
        ("sim_twfe_unbal_weighted", True, False),
        ("sim_twfe_unbal_covs", False, True),
    ],
)
def test_simulated_unbalanced(reference, unbalanced, case, weighted, by_year):
    data, unit, time, region = unbalanced
    rows = two_way(unit, time, data["pop"].to_numpy(float) if weighted else None)
    x = np.stack([(data["year"] == year) * data["x1"] for year in range(2012, 2019)], axis=1)
    fit = fit_static(within(rows, data["y"].to_numpy(), x if by_year else None), data["treated"].to_numpy())
    compare(reference(case), fit, covariance(fit, "cluster", region), list(range(8 if by_year else 1)))


def test_simulated_event_study(reference, unbalanced):
    data, unit, time, region = unbalanced
    relative = np.where(data["g"] > 0, data["year"] - data["g"], -1000)
    order = [-6, -5, -4, -3, -2, 0, 1, 2, 3, 4]
    fit = fit_event(within(two_way(unit, time), data["y"].to_numpy()), event_codes(relative, order), 10)
    compare(reference("sim_twfe_event"), fit, covariance(fit, "cluster", region), list(range(10)))


@pytest.fixture(scope="module")
def organ():
    data = pd.read_csv(str(files("causaldata") / "organ_donations" / "organ_donation.csv"))
    quarters = ["Q42010", "Q12011", "Q22011", "Q32011", "Q42011", "Q12012"]
    data["Quarter_Num"] = data["Quarter"].map({name: i + 1 for i, name in enumerate(quarters)})
    return data


@pytest.mark.parametrize("case, kind", [("organ_2x2", "cluster"), ("organ_2x2_iid", "iid")])
def test_organ_donation_2x2(reference, organ, codes, case, kind):
    state = codes(organ["State"])
    treated = organ["State"].eq("California") & organ["Quarter_Num"].ge(4)
    base = within(two_way(state, codes(organ["Quarter_Num"])), organ["Rate"].to_numpy())
    fit = fit_static(base, treated.to_numpy(float))
    compare(reference(case), fit, covariance(fit, kind, state), [0])


def test_organ_donation_event_study(reference, organ, codes):
    state = codes(organ["State"])
    quarter = np.where(organ["State"] == "California", organ["Quarter_Num"], 0)
    base = within(two_way(state, codes(organ["Quarter_Num"])), organ["Rate"].to_numpy())
    fit = fit_event(base, event_codes(quarter, [1, 2, 4, 5, 6]), 5)
    compare(reference("organ_event"), fit, covariance(fit, "cluster", state), list(range(5)))


@pytest.mark.parametrize("case, weighted", [("castle_twfe", False), ("castle_twfe_w", True)])
def test_castle_doctrine(reference, codes, case, weighted):
    data = pd.read_stata(str(files("causaldata") / "castle" / "castle.dta"))
    # The file holds single precision; R read it through a text file, that is, as the shortest decimals.
    data = data[["sid", "year", "l_homicide", "post", "popwt"]].astype(str).astype(float)
    state = codes(data["sid"])
    rows = two_way(state, codes(data["year"]), data["popwt"].to_numpy(float) if weighted else None)
    fit = fit_static(within(rows, data["l_homicide"].to_numpy(float)), data["post"].to_numpy(float))
    compare(reference(case), fit, covariance(fit, "cluster", state), [0])


def card_krueger(data, x=()):
    """fte on nj, d and their product: two groups and two waves take the place of unit and time."""
    data = data.dropna(subset=["fte"])
    base = within(
        two_way(data["nj"].to_numpy(), data["d"].to_numpy()), data["fte"].to_numpy(), data[list(x)].to_numpy()
    )
    return data, fit_static(base, data["d_nj"].to_numpy())


@pytest.mark.parametrize(
    "case, kind", [("ck_ols_iid", "iid"), ("ck_ols_hc1", "hc1"), ("ck_ols_cluster", "cluster")]
)
def test_card_krueger(reference, shared_data, case, kind):
    data, fit = card_krueger(shared_data("did_card_krueger.csv"))
    found, expected = covariance(fit, kind, data["id"].to_numpy()), reference(case)["expected"]
    assert fit.beta[0] == pytest.approx(expected["estimate"][3], rel=TIGHT)
    assert found.std_error[0] == pytest.approx(expected["se"][3], rel=TIGHT)
    assert found.df == expected["df_t"]


def test_card_krueger_with_controls(reference, shared_data):
    _, fit = card_krueger(shared_data("did_card_krueger.csv"), ["bk", "kfc", "roys", "co_owned"])
    found, expected = covariance(fit, "iid"), reference("ck_ols_controls")["expected"]
    np.testing.assert_allclose(
        np.append(fit.beta, fit.gamma), np.array(expected["estimate"])[[7, 3, 4, 5, 6]], rtol=TIGHT
    )
    np.testing.assert_allclose(found.std_error, np.array(expected["se"])[[7, 3, 4, 5, 6]], rtol=TIGHT)


def test_repeated_cross_section_regression_of_drdid(reference, shared_data):
    data = shared_data("did_sim_rc.csv")
    base = within(
        two_way(data["d"].to_numpy(), data["post"].to_numpy()),
        data["y"].to_numpy(),
        data[["x1", "x2", "x3", "x4"]].to_numpy(),
    )
    fit = fit_static(base, (data["d"] * data["post"]).to_numpy())
    expected = reference("sim_rc_twfe_did_rc")["expected"]
    robust = covariance(fit, "hc1", small_sample="none").std_error[0]
    assert fit.beta[0] == pytest.approx(expected["att"], rel=1e-9)
    n = len(data)
    assert robust * np.sqrt(n / (n - 1)) == pytest.approx(expected["se"], rel=1e-9)


def test_stacked_panel_regression_of_drdid(reference, shared_data):
    data = shared_data("did_nsw_cps_long.csv.gz")
    x = data[["age", "educ", "black", "married", "nodegree", "hisp", "re74"]].to_numpy(float)
    after = (data["year"] == 1978).to_numpy(int)
    base = within(two_way(data["experimental"].to_numpy(), after), data["re"].to_numpy(), x)
    fit = fit_static(base, data["experimental"].to_numpy() * after)
    expected = reference("nsw_cps_twfe_did_panel")["expected"]
    robust = covariance(fit, "hc1", small_sample="none").std_error[0]
    n = len(data)
    assert fit.beta[0] == pytest.approx(expected["att"], rel=1e-9)
    assert robust * np.sqrt(n / (n - 1)) == pytest.approx(expected["se"], rel=1e-9)
