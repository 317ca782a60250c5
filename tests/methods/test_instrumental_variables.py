"""Instrumental variables by hand, by brute force, in words, and what the checks say about good and bad
instruments."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import qieval as qe
from qieval.instrumented import set_in_words
from qieval.instrumented.direct import direct_effects
from qieval.methods.instrumental_variables.design import EXCLUSION
from qieval.numerics.instruments_sets import ConfidenceSet


def people(n: int = 1500, push: float = 1.2, other_way: float = 0.0, seed: int = 8) -> pd.DataFrame:
    """A lottery moves who gets care; `unseen` decides care and outcome. The effect of care is -2."""
    rng = np.random.default_rng(seed)
    unseen, age = rng.normal(0, 1, n), rng.normal(70, 8, n)
    lottery = rng.integers(0, 2, n)
    care = (push * (lottery - 0.5) + unseen + 0.02 * (age - 70) + rng.normal(0, 1, n) > 0).astype(int)
    y = 10 + 0.1 * age + 2 * unseen - 2 * care + other_way * lottery + rng.normal(0, 1, n)
    return pd.DataFrame(
        {
            "lottery": lottery,
            "care": care,
            "age": age,
            "sex": np.where(rng.random(n) < 0.5, "female", "male"),
            "ward": rng.integers(0, 90, n),
            "y": y,
            "died": (y > np.quantile(y, 0.8)).astype(int),
            "events": rng.poisson(np.exp(0.3 + 0.2 * unseen - 0.4 * care)),
            "years": rng.uniform(0.5, 2.0, n),
            "eyes": 1.0 + 0.02 * age + rng.normal(0, 1, n),
            "broken": 2.0 * lottery + rng.normal(0, 1, n),
        }
    )


def stated(**fields) -> qe.InstrumentalVariables:
    base = {
        "outcome": "y",
        "received": "care",
        "instruments": ("lottery",),
        "covariates": ("age", "sex"),
        "exclusion": "the lottery only opens the door to care",
    }
    return qe.InstrumentalVariables(**{**base, **fields})


DATA = people()
WEAK = people(push=0.03)


def terms(result: qe.Result) -> pd.DataFrame:
    return result.estimates.set_index("term")


def least_squares(y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients and their HC1 covariance, the textbook way."""
    inverse = np.linalg.inv(x.T @ x)
    beta = inverse @ x.T @ y
    scores = x * (y - x @ beta)[:, None]
    n, k = x.shape
    return beta, n / (n - k) * inverse @ scores.T @ scores @ inverse


def controls(data: pd.DataFrame) -> np.ndarray:
    return np.column_stack([np.ones(len(data)), data["age"], data["sex"] == "male"]).astype(float)


def test_without_covariates_it_is_the_ratio_of_two_differences():
    result = qe.estimate(stated(covariates=()), DATA)
    means = DATA.groupby("lottery")[["y", "care"]].mean().diff().iloc[1]
    table = terms(result)
    assert table.loc["difference", "estimate"] == pytest.approx(means["y"] / means["care"], rel=1e-10)
    assert table.loc["reduced form: lottery", "estimate"] == pytest.approx(means["y"], rel=1e-10)
    assert table.loc["first stage: lottery", "estimate"] == pytest.approx(means["care"], rel=1e-10)


def test_the_first_row_is_the_headline_and_the_reduced_form_follows():
    names = list(qe.estimate(stated(), DATA).estimates["term"])
    assert names[:3] == ["difference", "reduced form: lottery", "first stage: lottery"]
    kinds = ["Wald", "Anderson-Rubin", "conditional likelihood ratio test", "tF", "least squares"]
    assert names[3:] == [f"difference, {kind}" for kind in kinds]
    assert not any(name.endswith("ratio") for name in names)


def test_the_anderson_rubin_interval_is_where_the_textbook_test_does_not_reject():
    row = qe.estimate(stated(), DATA).estimates.iloc[0]
    x = np.column_stack([DATA["lottery"], controls(DATA)]).astype(float)

    def chi2(value: float) -> float:
        beta, spread = least_squares((DATA["y"] - value * DATA["care"]).to_numpy(dtype=float), x)
        return float(beta[0] ** 2 / spread[0, 0])

    for end in ("conf_low", "conf_high"):
        assert chi2(row[end]) == pytest.approx(3.841458820694124, rel=1e-6)
    assert chi2((row["conf_low"] + row["conf_high"]) / 2) < 3.84


def test_two_stages_by_hand():
    data = DATA.assign(second=np.random.default_rng(1).normal(0, 1, len(DATA)) + DATA["care"] * 0.3)
    row = qe.estimate(stated(instruments=("lottery", "second"), interval="Wald"), data).estimates.iloc[0]
    w, z = controls(data), data[["lottery", "second"]].to_numpy(dtype=float)
    first = np.column_stack([z, w])
    fitted = first @ least_squares(data["care"].to_numpy(dtype=float), first)[0]
    stage = np.column_stack([fitted, w])
    beta = np.linalg.lstsq(stage, data["y"], rcond=None)[0]
    inverse = np.linalg.inv(stage.T @ stage)
    residual = data["y"] - np.column_stack([data["care"], w]) @ beta
    scores = stage * residual.to_numpy()[:, None]
    n, k = stage.shape
    error = np.sqrt((n / (n - k) * inverse @ scores.T @ scores @ inverse)[0, 0])
    assert row["estimate"] == pytest.approx(beta[0], rel=1e-9)
    assert row["std_error"] == pytest.approx(error, rel=1e-9)


def test_weights_count_like_repeated_rows():
    """Without small-sample factors and with clusters of copies a weight of 2 is two rows."""
    data = DATA.head(300).assign(w=np.where(DATA["age"].head(300) > 70, 2.0, 1.0), row=np.arange(300))
    twice = pd.concat([data, data[data["w"] == 2]])
    fields = {"small_sample": "no", "cluster": "row"}
    one = qe.estimate(stated(weights="w", **fields), data).estimates
    two = qe.estimate(stated(**fields), twice).estimates
    columns = ["estimate", "std_error", "conf_low", "conf_high"]
    np.testing.assert_allclose(one[columns], two[columns], rtol=1e-8)


def test_no_argument_no_estimate_but_design_checks():
    design = stated(exclusion="")
    with pytest.raises(qe.DesignError, match="exclusion: the argument is missing"):
        qe.estimate(design, DATA)
    checks = qe.design_checks(design, DATA)
    assert checks["exclusion argument"].verdict == "concern"
    assert checks["strength of the first stage"].verdict == "supports"
    argued = replace(design, arguments={EXCLUSION: "it was a lottery"})
    assert qe.estimate(argued, DATA).headline == qe.estimate(stated(), DATA).headline


def test_the_argument_stands_in_the_ledger():
    result = qe.estimate(stated(), DATA)
    ledger = qe.diagnose(result, DATA).ledger.set_index("assumption")
    assert ledger.loc[EXCLUSION, "argument"] == "the lottery only opens the door to care"
    assert ledger.loc[EXCLUSION, "verdict"] == "untestable"


@pytest.mark.parametrize(
    ("held", "said"),
    [
        (((-np.inf, np.inf),), "any value"),
        (((-np.inf, -1.0), (2.0, np.inf)), "-1 or below, or 2 or above"),
        (((0.5, np.inf),), "0.5 or above"),
        ((), "no value"),
    ],
)
def test_sets_in_words(held, said):
    assert set_in_words(ConfidenceSet(held)) == said


def test_a_headline_says_reduced_form_first_stage_and_effect():
    headline = qe.estimate(stated(), DATA).headline
    assert headline.startswith("In people with lottery = 1 rather than 0, given the covariates, y was ")
    assert "care" in headline and "percentage points higher" in headline
    assert "in people whom it moved y was" in headline and "95% interval" in headline
    assert headline.index("lottery = 1") < headline.index("in people whom it moved")


def test_a_weak_instrument_is_said_everywhere():
    result = qe.estimate(stated(), WEAK)
    first = result.estimates.iloc[0]
    assert np.isinf(first["conf_low"]) or np.isinf(first["conf_high"])
    assert any("weak" in note for note in result.notes)
    checks = qe.diagnose(result, WEAK)
    for name in ("strength of the first stage", "intervals side by side", "precision"):
        assert checks[name].verdict == "concern", name
    assert "compatible with the data" in result.headline


def test_an_empty_set_says_that_instruments_contradict_one_another():
    rng = np.random.default_rng(2)
    z = rng.normal(0, 1, (2000, 2))
    x = z.sum(axis=1) + rng.normal(0, 1, 2000)
    frame = pd.DataFrame({"y": z[:, 0] + rng.normal(0, 1, 2000), "x": x, "z1": z[:, 0], "z2": z[:, 1]})
    design = qe.InstrumentalVariables(
        outcome="y", received="x", instruments=("z1", "z2"), exclusion="none", interval="Anderson-Rubin"
    )
    result = qe.estimate(design, frame)
    assert result.estimates.iloc[0][["conf_low", "conf_high"]].isna().all()
    assert result.facts["effects not excluded by Anderson-Rubin"] == "no value"
    assert "contradict one another" in result.headline
    checks = qe.diagnose(result, frame)
    assert checks["agreement of the instruments"].verdict == "concern"
    assert checks["intervals side by side"].verdict == "concern"
    assert qe.plot(checks["intervals side by side"]).labels.title


def test_automatic_interval():
    assert qe.estimate(stated(), DATA).kernel.way.kind == "Anderson-Rubin"
    strong = DATA.assign(second=np.random.default_rng(1).normal(0, 1, len(DATA)) + DATA["care"])
    assert qe.estimate(stated(instruments=("lottery", "second")), strong).kernel.way.kind == "Wald"
    rng = np.random.default_rng(1)
    noise = WEAK.assign(a=rng.normal(0, 1, len(WEAK)), b=rng.normal(0, 1, len(WEAK)))
    assert qe.estimate(stated(instruments=("a", "b")), noise).kernel.way.kind == "Anderson-Rubin"


def test_wald_on_request_with_a_weak_instrument_is_a_concern():
    result = qe.estimate(stated(interval="Wald"), WEAK)
    assert any("prefer Anderson-Rubin" in note for note in result.notes)
    assert qe.diagnose(result, WEAK)["intervals side by side"].verdict == "concern"


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"outcome": "died"}, ["risk difference", "risk ratio", "odds ratio", "number needed to treat"]),
        ({"outcome": "events"}, ["difference", "mean ratio"]),
        ({"outcome": "events", "person_time": "years"}, ["rate difference", "rate ratio"]),
        ({"outcome": "died", "model": "probit"}, ["risk difference", "risk ratio"]),
    ],
)
def test_residual_inclusion_speaks_on_the_scale_of_the_outcome(fields, names):
    result = qe.estimate(stated(estimator="residual inclusion", **fields), DATA)
    assert list(result.estimates["term"])[: len(names)] == names
    assert result.facts["estimand"] == "average effect in everybody, by the model"
    checks = qe.diagnose(result, DATA)
    assert checks["intervals side by side"].verdict == "information"


def test_linear_rows_of_rates_weigh_by_person_time():
    result = qe.estimate(stated(outcome="events", person_time="years", estimator="residual inclusion"), DATA)
    root = np.sqrt(DATA["years"].to_numpy())
    rate = (DATA["events"] / DATA["years"]).to_numpy()
    x = np.column_stack([DATA["care"], controls(DATA)]) * root[:, None]
    wanted = np.linalg.lstsq(x, rate * root, rcond=None)[0][0]
    row = terms(result).loc["rate difference, least squares"]
    assert row["estimate"] == pytest.approx(wanted, rel=1e-9)


def test_two_rays_are_said_and_drawn():
    """No zero effect and no first stage clear of zero: far effects of either sign fit, small ones do not."""
    rng = np.random.default_rng(5)
    z = rng.integers(0, 2, 800)
    x = 0.05 * z + rng.normal(0, 1, 800)
    frame = pd.DataFrame({"lottery": z, "care": x, "y": 0.6 * z + rng.normal(0, 1, 800)})
    result = qe.estimate(stated(covariates=()), frame)
    held = result.kernel.way.held
    assert held.shape == "two rays" and 0.0 not in held
    assert " or below, or " in result.facts["effects not excluded by Anderson-Rubin"]
    assert "compatible with the data: a difference of" in result.headline
    first = result.estimates.iloc[0]
    assert (first["conf_low"], first["conf_high"]) == (-np.inf, np.inf)
    assert qe.diagnose(result, frame)["intervals side by side"].verdict == "concern"
    qe.plot(result, "intervals compared").draw()


def test_residual_inclusion_by_hand():
    """Logit, residual, logit, and two mean predictions."""
    statsmodels = pytest.importorskip("statsmodels.api")
    w = controls(DATA)
    first = statsmodels.Logit(DATA["care"], np.column_stack([DATA["lottery"], w])).fit(disp=0, tol=1e-12)
    x = np.column_stack([DATA["care"], w, DATA["care"] - first.predict()])
    second = statsmodels.Logit(DATA["died"], x).fit(disp=0, tol=1e-12)
    means = [
        second.predict(np.column_stack([np.full(len(x), value), x[:, 1:]])).mean() for value in (1.0, 0.0)
    ]
    result = qe.estimate(stated(outcome="died", estimator="residual inclusion"), DATA)
    assert result.estimates["estimate"].iloc[0] == pytest.approx(means[0] - means[1], rel=1e-6)


def test_a_bad_negative_control_is_a_concern_and_a_good_one_is_not():
    for name, verdict in (("broken", "concern"), ("eyes", "information")):
        design = stated(negative_controls=(name,))
        assert qe.diagnose(qe.estimate(design, DATA), DATA)["negative controls"].verdict == verdict


def test_imbalance_by_instrument_is_a_concern_before_any_outcome():
    tilted = DATA.assign(age=DATA["age"] + 4 * DATA["lottery"])
    assert qe.design_checks(stated(), tilted)["balance by instrument"].verdict == "concern"
    assert qe.design_checks(stated(), DATA)["balance by instrument"].verdict != "concern"


def test_the_bias_ratio_is_what_leaving_a_covariate_out_brings():
    """With the covariate itself as the outcome: imbalance over the first stage, over the plain imbalance."""
    table = qe.design_checks(stated(), DATA)["balance by instrument"].table.set_index("characteristic")
    by, got = (DATA.groupby(name)["age"].mean().diff().iloc[1] for name in ("lottery", "care"))
    first = DATA.groupby("lottery")["care"].mean().diff().iloc[1]
    assert table.loc["age", "bias_ratio"] == pytest.approx(by / first / got, rel=1e-9)


def test_people_moved_the_other_way_are_found():
    rng = np.random.default_rng(4)
    n = 4000
    z, male = rng.integers(0, 2, n), rng.integers(0, 2, n)
    x = (rng.random(n) < 0.5 + np.where(male == 1, -0.15, 0.3) * (z - 0.5)).astype(int)
    frame = pd.DataFrame({"lottery": z, "care": x, "male": male, "y": x + rng.normal(0, 1, n)})
    design = stated(covariates=(), subgroups=("male",))
    check = qe.design_checks(design, frame)["first stage in subgroups"]
    assert check.verdict == "concern"
    for level in (0, 1):
        part = frame[frame["male"] == level]
        slope = part.groupby("lottery")["care"].mean().diff().iloc[1]
        assert check.table["estimate"].iloc[level] == pytest.approx(slope, rel=1e-9)


def test_the_direct_effect_that_would_matter():
    """Taking it off the outcome makes the Wald interval end at zero."""
    result = qe.estimate(stated(interval="Wald"), DATA)
    check = qe.diagnose(result, DATA)["direct effect that would matter"]
    row = result.estimates.iloc[0]
    assert row["conf_high"] < 0, "the example has a clear effect"
    size = direct_effects(result.design, result.kernel.first).breakdowns[0].low
    moved = DATA.assign(y=DATA["y"] - size * DATA["lottery"])
    assert qe.estimate(stated(interval="Wald"), moved).estimates.iloc[0]["conf_high"] == pytest.approx(
        0, abs=1e-8
    )
    assert "would include zero if one unit of the instrument" in check.text
    stated_size = qe.estimate(stated(direct_effect=2 * abs(size)), DATA)
    assert qe.diagnose(stated_size, DATA)["direct effect that would matter"].verdict == "concern"


def test_compliers_are_counted():
    checks = qe.design_checks(stated(covariates=()), DATA)
    share = DATA.groupby("lottery")["care"].mean().diff().iloc[1]
    assert f"About {share:.0%} were moved" in checks["compliers"].text
    assert checks["compliers"].verdict == "information"
    table = checks["who received it by instrument"].table
    assert table["received"].sum() == DATA["care"].sum()


def test_an_instrument_that_lowers_uptake_gives_the_same_effect():
    turned = DATA.assign(lottery=1 - DATA["lottery"])
    one, other = (qe.estimate(stated(), frame).estimates.iloc[0] for frame in (DATA, turned))
    assert one["estimate"] == pytest.approx(other["estimate"], rel=1e-9)
    assert one["conf_low"] == pytest.approx(other["conf_low"], rel=1e-9)
    said = [qe.design_checks(stated(), frame)["compliers"].text for frame in (DATA, turned)]
    assert said[0] == said[1]


def test_small_and_clustered_studies_are_a_concern():
    assert qe.design_checks(stated(), DATA.head(120))["size of the study"].verdict == "concern"
    few = DATA.assign(ward=DATA["ward"] % 12)
    assert qe.design_checks(stated(cluster="ward"), few)["size of the study"].verdict == "concern"
    assert qe.design_checks(stated(cluster="ward"), DATA)["size of the study"].verdict == "supports"


def test_units_of_the_instrument_do_not_matter():
    spread = DATA.assign(lottery=1e7 + 1e-3 * DATA["lottery"])
    one, other = (qe.estimate(stated(), frame).estimates.iloc[0] for frame in (DATA, spread))
    assert one["estimate"] == pytest.approx(other["estimate"], rel=1e-5)


def test_level_of_the_intervals():
    wide, narrow = (qe.estimate(stated(level=level), DATA).estimates.iloc[0] for level in (0.99, 0.8))
    assert wide["conf_low"] < narrow["conf_low"] < narrow["conf_high"] < wide["conf_high"]


@pytest.mark.parametrize("frame", [DATA, WEAK], ids=["strong", "weak"])
def test_pictures_are_drawn(frame, tmp_path):
    result = qe.estimate(stated(negative_controls=("eyes",)), frame)
    drawn = qe.plots_of(result)
    assert list(drawn) == [
        "reduced form and first stage",
        "intervals compared",
        "direct effect curve",
    ]
    for name, picture in drawn.items():
        path = tmp_path / f"{name}.png"
        picture.save(path, verbose=False, dpi=50)
        assert path.stat().st_size > 2000


@pytest.mark.parametrize("fields", [{}, {"estimator": "residual inclusion", "person_time": "time"}])
def test_uptake_counts_people_by_their_weights_and_not_by_their_time(fields):
    data = DATA.assign(many=1.0 + (DATA["sex"] == "f"), time=1.0 + 3.0 * DATA["care"], y=DATA["y"].abs())
    checks = qe.design_checks(stated(weights="many", **fields), data)
    shown = checks["who received it by instrument"].table.set_index("group")["share who received"]
    pushed = data[data["lottery"] == 1]
    assert shown["pushed towards it"] == pytest.approx(np.average(pushed["care"], weights=pushed["many"]))


def test_clusters_that_hold_one_value_of_the_instrument_each_are_refused():
    rng = np.random.default_rng(2)
    lottery = np.repeat([0, 1], 400)
    care = np.tile(np.r_[np.zeros(60), np.ones(40)], 8).astype(int)
    care[400:] = np.tile(np.r_[np.zeros(20), np.ones(80)], 4)
    data = pd.DataFrame({"lottery": lottery, "care": care, "y": care + rng.normal(0, 1, 800)})
    data["ward"] = np.repeat(np.arange(8), 100)
    with pytest.raises(qe.EstimationError, match="do not differ in"):
        qe.estimate(stated(cluster="ward", covariates=()), data)


def test_rare_levels_and_tiny_subgroups_cannot_be_counted_from_a_report():
    site = np.where(DATA.index < 4, "tiny", np.where(DATA.index % 2, "north", "south"))
    data = DATA.assign(site=site)
    design = stated(covariates=("age", "site"), subgroups=("site",))
    result = qe.estimate(design, data)
    checks = qe.diagnose(result, data)
    assert "site: tiny" not in checks["compliers"].table["characteristic"].tolist()
    assert "tiny" not in checks["compliers"].text
    split = checks["first stage in subgroups"].table.set_index("label")
    assert int(split.loc["site: tiny", "people"]) == 4
    shown = re.sub(r"\(data:[^)]*\)", "", qe.report(result, checks).markdown)
    others = [int(split.loc[f"site: {name}", "people"]) for name in ("north", "south")]
    assert not any(f"{count:,}" in shown for count in others)
