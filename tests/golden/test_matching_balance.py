"""Balance statistics against MatchIt and cobalt: Lalonde's and the right heart catheterisation data.

Matched samples are rebuilt from the pairs in the reference file, weights from the score that R's glm gives at
its default tolerance, so that figures agree to rounding. Not covered, as the file lists neither groups nor
weights: coarsened exact, full and quick matching, CBPS, and the other matchings of the catheter data.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from qieval.covariate_balance.table import balance
from qieval.numerics import overlap
from qieval.numerics.balance_scalars import energy_distance, mahalanobis, pseudo_r_squared
from qieval.numerics.balance_statistics import Ranked, denominators, products, statistics

SHARED = Path(__file__).resolve().parents[3] / "shared"
EXACT = {"rtol": 1e-10, "atol": 1e-12}

pytestmark = pytest.mark.skipif(
    not (SHARED / "reference" / "matching.json").is_file(),
    reason="the shared reference numbers are not beside the repository",
)

NAMES = ["age", "educ", "raceblack", "racehispan", "racewhite", "married", "nodegree", "re74", "re75"]
MATCHIT = {
    "Means Treated": "mean_treated",
    "Means Control": "mean_control",
    "Std. Mean Diff.": "smd",
    "Var. Ratio": "variance_ratio",
    "eCDF Mean": "ecdf_mean",
    "eCDF Max": "ecdf_max",
}
COBALT = {
    "M.0": "mean_control",
    "M.1": "mean_treated",
    "SD.0": "sd_control",
    "SD.1": "sd_treated",
    "Diff": "smd",
    "V.Ratio": "variance_ratio",
    "KS": "ecdf_max",
}
PAIRED = [
    "nn_default",
    "nn_order_data",
    "nn_order_smallest",
    "nn_order_closest",
    "nn_order_farthest",
    "nn_linear_logit",
    "nn_caliper02",
    "nn_caliper02_linear",
    "nn_exact_race",
    "nn_ratio2",
    "nn_replace",
    "nn_replace_ratio3",
    "nn_mahalanobis",
    "nn_robust_mahalanobis",
    "nn_mahvars_caliper",
    "nn_cov_caliper",
    "nn_discard_both",
    "nn_ATC_replace",
    "optimal_pair",
    "optimal_pair_linear",
    "optimal_2to1",
    "optimal_mahalanobis",
]


@pytest.fixture(scope="module")
def reference():
    return json.loads((SHARED / "reference" / "matching.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def lalonde():
    frame = pd.read_csv(SHARED / "data" / "matching_lalonde_matchit.csv")
    levels = pd.get_dummies(frame["race"], prefix="race", prefix_sep="")
    return pd.concat([frame, levels], axis=1)


@pytest.fixture(scope="module")
def arm(lalonde):
    return lalonde["treat"].to_numpy()


@pytest.fixture(scope="module")
def score(lalonde, arm):
    columns = [name for name in NAMES if name != "raceblack"]
    return r_glm(lalonde[columns].to_numpy(dtype=float), arm)


def r_glm(x, y):
    """Fitted logistic probabilities after exactly the steps of R's glm with its default epsilon, 1e-8."""
    z = np.column_stack([np.ones(len(y)), x])
    mean = (y + 0.5) / 2
    eta = np.log(mean / (1 - mean))

    def deviance(p):
        return -2 * np.sum(np.where(y == 1, np.log(p), np.log1p(-p)))

    old = deviance(mean)
    for _ in range(25):
        w = mean * (1 - mean)
        root = np.sqrt(w)
        scale = np.sqrt((z**2).sum(axis=0))
        b = np.linalg.lstsq(z / scale * root[:, None], (eta + (y - mean) / w) * root, rcond=None)[0]
        eta = z / scale @ b
        mean = 1 / (1 + np.exp(-eta))
        if abs(deviance(mean) - old) / (abs(deviance(mean)) + 0.1) < 1e-8:
            return mean
        old = deviance(mean)
    raise AssertionError("no convergence")


def weights_of(kind, p, treated):
    odds = p / (1 - p)
    return {
        "ATE": np.where(treated == 1, 1 / p, 1 / (1 - p)),
        "ATT": np.where(treated == 1, 1, odds),
        "ATC": np.where(treated == 1, 1 / odds, 1),
        "ATO": np.where(treated == 1, 1 - p, p),
        "ATM": np.minimum(p, 1 - p) / np.where(treated == 1, p, 1 - p),
    }[kind]


def pair_weights(case, n):
    """1 for each time that a focal person is matched; its partners share 1."""
    partners = case["pairs_control_row1based"]
    partners = partners if isinstance(partners[0], list) else [partners]
    w = np.zeros(n)
    for place, focal in enumerate(case["pairs_treated_row1based"]):
        found = [row[place] for row in partners if row[place] is not None]
        for row in found:
            w[row - 1] += 1 / len(found)
        w[focal - 1] += bool(found)
    return w


def check(found, table, names, suffix="", skip=(), **tolerance):
    for theirs, ours in names.items():
        if theirs + suffix in table and theirs not in skip:
            expected = np.array([np.nan if v is None else v for v in table[theirs + suffix]], dtype=float)
            got = np.array(getattr(found, ours))
            if theirs.startswith("SD") and np.isnan(expected).any():
                got = np.where(np.isnan(expected), np.nan, got)  # cobalt prints none of 0/1 columns
            np.testing.assert_allclose(
                got, expected, **(tolerance or EXACT), err_msg=theirs + suffix, equal_nan=True
            )


def columns_of(rows, lalonde, score, logit=False):
    distance = np.log(score / (1 - score)) if logit else score
    held = [distance if name == "distance" else lalonde[name].to_numpy(dtype=float) for name in rows]
    return Ranked(np.column_stack(held))


@pytest.mark.parametrize("name", PAIRED)
def test_matchit_before_and_after_matching(name, reference, lalonde, arm, score):
    case = reference["lalonde_matchit"][name]
    ranked = columns_of(case["balance_all"]["rows"], lalonde, score, "linear" in name)
    spread = "control" if "ATC" in name else "treated"
    check(statistics(ranked, arm, None, spread), case["balance_all"], MATCHIT)
    weights = pair_weights(case, len(arm))
    check(statistics(ranked, arm, weights, spread), case["balance_matched"], MATCHIT)


@pytest.mark.parametrize("name", ["subclass6", "subclass6_ATE"])
def test_matchit_across_subclasses(name, reference, lalonde, arm, score):
    case = reference["lalonde_matchit"][name]
    focal = score if name.endswith("ATE") else score[arm == 1]
    inner = np.quantile(focal, np.arange(1, 6) / 6)
    group = np.searchsorted(inner, score, side="right")
    sizes = np.array([[np.sum((group == g) & (arm == a)) for a in (0, 1)] for g in range(6)])
    target = sizes.sum(axis=1) if name.endswith("ATE") else sizes[:, 1]
    weights = (target[:, None] / sizes)[group, arm]
    ranked = columns_of(case["balance_all"]["rows"], lalonde, score)
    spread = "pooled" if name.endswith("ATE") else "treated"
    check(statistics(ranked, arm, None, spread), case["balance_all"], MATCHIT)
    check(statistics(ranked, arm, weights, spread), case["balance_across"], MATCHIT)


def test_exact_matching_on_categories(reference, lalonde, arm):
    case = reference["lalonde_matchit"]["exact_cats"]
    rows = case["balance_all"]["rows"]
    x = lalonde[rows].to_numpy(dtype=float)
    cell = np.unique(x, axis=0, return_inverse=True)[1].ravel()
    treated, control = (np.bincount(cell, arm == a, cell.max() + 1) for a in (1, 0))
    kept = (treated > 0) & (control > 0)
    share = np.divide(treated, control, out=np.zeros(len(kept)), where=kept)
    weights = np.where(arm == 1, kept[cell], share[cell])
    check(statistics(Ranked(x), arm, weights), case["balance_matched"], MATCHIT)


@pytest.mark.parametrize("kind", ["ATE", "ATT", "ATC", "ATO", "ATM"])
def test_cobalt_before_and_after_weighting(kind, reference, lalonde, arm, score):
    """cobalt takes the weighted standard deviation for overlap and matching weights.

    It does not divide differences below about 1e-8, such as those that overlap weights leave.
    """
    table = reference["lalonde_weights"][f"ipw_glm_{kind}"]["balance"]["table"]
    ranked = columns_of(["distance", *NAMES], lalonde, score)
    weights = weights_of(kind, score, arm)
    spread = {"ATE": "pooled", "ATT": "treated", "ATC": "control"}.get(kind, "weighted")
    fixed = denominators(ranked, arm, spread, weights)
    check(statistics(ranked, arm, None, fixed, "raw"), table, COBALT, ".Un")
    found = statistics(ranked, arm, weights, fixed, "raw")
    nothing = np.abs(found.mean_treated - found.mean_control) < 1.5e-8
    check(
        replace(found, smd=np.where(nothing, found.smd * found.denominator, found.smd)), table, COBALT, ".Adj"
    )


@pytest.mark.parametrize("kind", ["ATE", "ATT", "ATC"])
def test_cobalt_after_entropy_balancing(kind, reference, lalonde, arm):
    """Weights by Newton's method on the dual; WeightIt meets the moments to about 6e-5 only."""
    table = reference["lalonde_weights"][f"ebal_{kind}"]["balance"]["table"]
    x = lalonde[NAMES].to_numpy(dtype=float)
    z = np.delete((x - x.mean(axis=0)) / x.std(axis=0), 2, axis=1)
    goal = {"ATE": z, "ATT": z[arm == 1], "ATC": z[arm == 0]}[kind].mean(axis=0)
    weights = np.ones(len(arm))
    for a in (0, 1):
        apart = z[arm == a] - goal
        b = np.zeros(z.shape[1])
        for _ in range(200):
            w = np.exp(apart @ b)
            w /= w.sum()
            mean = w @ apart
            step = np.linalg.lstsq((apart * w[:, None]).T @ apart - np.outer(mean, mean), mean, rcond=None)[0]
            b -= step / max(1, np.abs(step).max())
        assert np.abs(w @ apart).max() < 1e-10
        weights[arm == a] = w * np.sum(arm == a)
    ranked = Ranked(x)
    spread = {"ATE": "pooled", "ATT": "treated", "ATC": "control"}[kind]
    held = {
        name: [v for v, row in zip(values, table["rows"], strict=True) if row != "prop.score"]
        for name, values in table.items()
    }
    check(statistics(ranked, arm, None, spread, "raw"), held, COBALT, ".Un")
    check(statistics(ranked, arm, weights, spread, "raw"), held, COBALT, ".Adj", rtol=2e-4, atol=1e-4)


@pytest.mark.parametrize(
    "case", ["matchit_default_ATT", "binary_std", "pooled", "ipw_ATE", "ipw_ATT", "ipw_ATC"]
)
def test_cobalt_conventions(case, reference, lalonde, arm, score):
    table = reference["cobalt_lalonde"][case]["table"]
    ranked = columns_of(["distance", *NAMES], lalonde, score)
    matched = pair_weights(reference["lalonde_matchit"]["nn_default"], len(arm))
    weights = weights_of(case[-3:], score, arm) if case.startswith("ipw") else matched
    spread = {"pooled": "pooled", "ipw_ATE": "pooled", "ipw_ATC": "control"}.get(case, "treated")
    binary = "raw" if case == "matchit_default_ATT" else "standardised"
    check(statistics(ranked, arm, None, spread, binary), table, COBALT, ".Un")
    check(statistics(ranked, arm, weights, spread, binary), table, COBALT, ".Adj")


def test_cobalt_squares_and_interactions(reference, lalonde, arm, score):
    case = reference["cobalt_lalonde"]["int_poly"]
    weights = pair_weights(reference["lalonde_matchit"]["nn_default"], len(arm))
    table = balance(
        lalonde,
        "treat",
        ["age", "educ", "race", "married", "nodegree", "re74", "re75"],
        weights,
        convention="cobalt",
        squares=True,
        interactions=True,
    )
    found = table.table.assign(characteristic=table.table["characteristic"].str.replace(": ", "_"))
    before, after = (found[found["sample"] == name].set_index("characteristic") for name in table.samples)
    spread = before["standardised_difference"].where(before["kind"] == "continuous")
    for place, name in enumerate(case["rows"]):
        if name == "distance":
            continue
        for held, suffix in ((before, "un"), (after, "adj")):
            row = held.loc[name]
            np.testing.assert_allclose(row["ecdf_max"], case[f"ks_{suffix}"][place], **EXACT, err_msg=name)
            if not np.isnan(spread[name]):
                got, expected = row["standardised_difference"], case[f"diff_{suffix}"][place]
                np.testing.assert_allclose(got, expected, **EXACT, err_msg=name)


def test_matchit_interactions(reference, lalonde, arm):
    """MatchIt was told I(age^2) as well, a further column from which it makes products."""
    case = reference["lalonde_matchit"]["nn_default_interactions"]
    x = lalonde[NAMES].to_numpy(dtype=float)
    x, names = np.column_stack([x, x[:, 0] ** 2]), [*NAMES, "I(age^2)"]
    more, called = products(x, names, [0, 1, 2, 2, 2, 3, 4, 5, 6, 7], squares=True, interactions=True)
    ranked, rows = Ranked(np.hstack([x, more])), names + called
    weights = pair_weights(reference["lalonde_matchit"]["nn_default"], len(arm))
    for suffix, w in (("all", None), ("matched", weights)):
        found = dict(zip(rows, statistics(ranked, arm, w).smd, strict=True))
        expected = dict(zip(case["rows"], case[f"std_mean_diff_{suffix}"], strict=True))
        assert set(expected) - set(rows) == {"distance"}
        np.testing.assert_allclose([found[n] for n in rows], [expected[n] for n in rows], **EXACT)


def test_cobalt_scalars(reference, lalonde, arm, score):
    """bal.compute with weights for the ATT. Its Mahalanobis distance is made of absolute differences."""
    expected = reference["cobalt_lalonde"]["bal_compute"]
    x, weights = lalonde[NAMES].to_numpy(dtype=float), weights_of("ATT", score, arm)
    found = statistics(Ranked(x), arm, weights)
    for name, values in (("smd", np.abs(found.smd)), ("ks", found.ecdf_max)):
        got = [values.mean(), values.max(), np.sqrt(np.mean(values**2))]
        np.testing.assert_allclose(
            got, [expected[f"{name}.{what}"] for what in ("mean", "max", "rms")], **EXACT
        )
    squares = products(x, NAMES, squares=True, interactions=False)[0]
    cubes = squares * x[:, [NAMES.index(name) for name in ("age", "educ", "re74", "re75")]]
    second = pseudo_r_squared(np.hstack([x, squares]), arm, weights)
    third = pseudo_r_squared(np.hstack([x, squares, cubes]), arm, weights)
    assert second.value == pytest.approx(expected["r2.2"], rel=1e-8) and second.converged
    assert third.value == pytest.approx(expected["r2.3"], rel=1e-7)  # R's glm stops at 1e-8 of the deviance
    energy = reference["cobalt_lalonde"]["bal_compute_energy"]
    assert energy_distance(x, arm, weights) == pytest.approx(energy, rel=1e-10)


def test_cobalt_mahalanobis_uses_absolute_differences(reference, lalonde, arm, score):
    expected = reference["cobalt_lalonde"]["bal_compute"]["mahalanobis"]
    x, weights = lalonde[NAMES].to_numpy(dtype=float), weights_of("ATT", score, arm)
    ranked = Ranked(x)
    found = statistics(ranked, arm, weights)
    spread = np.where(ranked.binary, 1, x.std(axis=0, ddof=1))
    gap = (found.mean_treated - found.mean_control) / spread
    inverse = np.linalg.pinv(np.cov(x[arm == 1] / spread, rowvar=False), rcond=1e-8)
    assert np.sqrt(np.abs(gap) @ inverse @ np.abs(gap)) == pytest.approx(expected, rel=1e-9)
    assert mahalanobis(x, arm, weights) == pytest.approx(np.sqrt(gap @ inverse @ gap), rel=1e-9)


def old_r_density(x, share, width, points=512):
    """R's density() before 4.4: kernel and bins have steps of slightly different length."""
    low, high = x.min() - 7 * width, x.max() + 7 * width
    place = (x - low) / (high - low) * (points - 1)
    left = np.floor(place).astype(int)
    mass = np.bincount(left, share * (left + 1 - place), 2 * points)
    mass += np.bincount(left + 1, share * (place - left), 2 * points)
    lag = np.linspace(0, 2 * (high - low), 2 * points)
    lag[points + 1 :] = -lag[points - 1 : 0 : -1]
    kernel = np.exp(-0.5 * (lag / width) ** 2) / (width * np.sqrt(2 * np.pi))
    smooth = np.fft.ifft(np.fft.fft(mass) * np.conj(np.fft.fft(kernel))).real[:points]
    at = np.linspace(x.min() - 3 * width, x.max() + 3 * width, points)
    return at, np.interp(at, np.linspace(low, high, points), np.maximum(smooth, 0))


@pytest.mark.parametrize("kind", ["ATE", "ATT"])
def test_cobalt_overlap_of_densities(kind, reference, lalonde, arm, score):
    """With R's stretched curve cobalt's figures come out (to 1e-4, as it integrates); ours are exact."""
    table = reference["lalonde_weights"][f"ipw_glm_{kind}"]["balance"]["table"]
    weights = weights_of(kind, score, arm)
    for place, name in enumerate(["distance", *NAMES]):
        x = score if name == "distance" else lalonde[name].to_numpy(dtype=float)
        ours = overlap.densities_apart(x, arm, weights)
        if table["Type"][place] == "Binary":
            assert ours == pytest.approx(table["OVL.Adj"][place], rel=1e-10)
            continue
        width = overlap._bandwidth(x[arm == 1])
        curves = [
            old_r_density(x[arm == a], weights[arm == a] / weights[arm == a].sum(), width) for a in (0, 1)
        ]
        grid = np.linspace(x.min() - 4 * width, x.max() + 4 * width, 100_001)
        lower = np.minimum(*[np.interp(grid, at, held, left=0, right=0) for at, held in curves])
        assert 1 - np.trapezoid(lower, grid) == pytest.approx(table["OVL.Adj"][place], abs=1e-4)
        assert ours == pytest.approx(table["OVL.Adj"][place], abs=0.002)


def test_discard_both_is_the_common_support(reference, arm, score):
    sizes = reference["lalonde_matchit"]["nn_discard_both"]["sizes"]
    found = overlap.common_support(score, arm)
    assert [found.outside_control, found.outside_treated] == [sizes["Control"][-1], sizes["Treated"][-1]]


@pytest.fixture(scope="module")
def rhc():
    return pd.read_csv(SHARED / "data" / "matching_rhc.csv.gz", keep_default_na=False, na_values=["", "NA"])


@pytest.fixture(scope="module")
def logit_rhc(reference, rhc):
    """Linear predictor from the coefficients in the reference file."""
    eta = np.zeros(len(rhc))
    for term, b in reference["rhc"]["ps_model"]["coef"].items():
        if term == "(Intercept)":
            eta += b
        elif term in rhc.columns:
            eta += b * rhc[term].to_numpy(dtype=float)
        else:
            name = max((c for c in rhc.columns if term.startswith(c)), key=len)
            level = rhc[name] == term[len(name) :]
            assert level.any(), term
            eta += b * level.to_numpy()
    return eta


def rhc_columns(rows, rhc, logit):
    held = []
    for row in rows:
        if row == "distance":
            held.append(logit)
        elif row in rhc.columns:
            held.append(rhc[row].to_numpy(dtype=float))
        else:
            name = max((c for c in rhc.columns if row.startswith(c)), key=len)
            held.append((rhc[name] == row[len(name) :]).to_numpy(dtype=float))
    return Ranked(np.column_stack(held))


def test_right_heart_catheterisation_before(reference, rhc, logit_rhc):
    table = reference["rhc"]["balance_unmatched"]
    ranked = rhc_columns(table["rows"], rhc, logit_rhc)
    check(statistics(ranked, rhc["rhc"].to_numpy()), table, MATCHIT, rtol=1e-8, atol=1e-11)


def test_right_heart_catheterisation_matched(reference, rhc, logit_rhc):
    """Nearest neighbour on the logit, caliper 0.2 standard deviations; no ties, so the pairs are unique."""
    case = reference["rhc"]["nn_caliper02_linear"]
    treated = rhc["rhc"].to_numpy()
    caliper = 0.2 * logit_rhc.std(ddof=1)
    free = np.flatnonzero(treated == 0)
    weights = np.zeros(len(rhc))
    for focal in sorted(np.flatnonzero(treated), key=lambda row: -logit_rhc[row]):
        apart = np.abs(logit_rhc[free] - logit_rhc[focal])
        best = int(np.argmin(apart))
        if apart[best] <= caliper:
            weights[[focal, free[best]]] = 1
            free = np.delete(free, best)
    assert weights.sum() == 2 * case["n_pairs"]
    table = case["balance_matched"]
    found = statistics(rhc_columns(table["rows"], rhc, logit_rhc), treated, weights)
    check(found, table, MATCHIT, rtol=1e-7, atol=1e-10)
    assert np.abs(found.smd).max() == pytest.approx(case["max_abs_smd_matched"], rel=1e-7)


def test_right_heart_catheterisation_overlap(reference, rhc, logit_rhc):
    treated, score = rhc["rhc"].to_numpy(), 1 / (1 + np.exp(-logit_rhc))
    model = reference["rhc"]["ps_model"]
    assert overlap.c_statistic(score, treated) == pytest.approx(model["auc"], rel=1e-12)
    preference = overlap.preference_score(score, treated.mean())
    expected = reference["rhc"]["preference_score"]["equipoise_share_03_07"]
    assert overlap.equipoise(preference, treated).share == pytest.approx(expected, rel=1e-12)
