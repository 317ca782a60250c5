"""The outcome stage that matching and weighting share: unknown outcomes, subgroups, ratios, constant
outcomes."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import qieval as qe


def people(seed: int, n: int = 700) -> pd.DataFrame:
    """One confounder, an effect of zero, and outcomes of the treated that go missing where x is high."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(n)
    service = (rng.random(n) < 1 / (1 + np.exp(1.0 - 0.8 * x))).astype(int)
    y = 2 * x + rng.standard_normal(n)
    lost = (service == 1) & (rng.random(n) < 1 / (1 + np.exp(-2 * x)))
    return pd.DataFrame({"service": service, "x": x, "y": y, "y_known": np.where(lost, np.nan, y)})


STATED = qe.Matching(
    treated="service", covariates=("x",), outcome="y_known", missing="complete cases", caliper=0.2
)


@pytest.mark.parametrize("method", ["nearest", "full"])
def test_unknown_outcomes_leave_their_matched_sets(method):
    design = replace(STATED, method=method)
    found = [qe.estimate(design, people(seed)).estimates.loc[0, "estimate"] for seed in range(12)]
    assert abs(np.mean(found)) < 4 * np.std(found) / np.sqrt(len(found))


def test_people_without_a_known_outcome_are_not_counted_as_used():
    data = people(1)
    result = qe.estimate(STATED, data)
    settled = qe.estimate(replace(STATED, outcome=None), data)
    assert result.facts["rows used"] < settled.facts["rows used"]
    assert any("unknown outcome" in note for note in result.notes)


def test_pairs_of_matching_with_replacement_stay_pairs():
    data = people(2)
    design = replace(STATED, replacement="with")
    result = qe.estimate(design, data)
    kernel = result.kernel
    focal, pool, _ = kernel.pairs
    known = data["y_known"].notna().to_numpy()
    kept = known[focal] & known[pool]
    gaps = data["y_known"].to_numpy()[focal[kept]] - data["y_known"].to_numpy()[pool[kept]]
    assert result.estimates.loc[0, "estimate"] == pytest.approx(gaps.mean(), rel=1e-10)


def test_a_constant_outcome_is_no_finding():
    result = qe.estimate(replace(STATED, outcome="same"), people(3).assign(same=5.1))
    row = result.estimates.iloc[0]
    assert row["estimate"] == 0 and not np.isfinite(row["p_value"])
    qe.diagnose(result, people(3).assign(same=5.1))


def test_doubly_robust_subgroups_speak_for_the_subgroup():
    rng = np.random.default_rng(5)
    n = 6000
    x, group = rng.standard_normal(n), rng.integers(0, 2, n)
    service = (rng.random(n) < 1 / (1 + np.exp(0.5 - x))).astype(int)
    y = x + service * np.where(group == 1, 2.0, -1.0) + 0.3 * rng.standard_normal(n)
    data = pd.DataFrame({"service": service, "x": x, "group": group, "y": y})
    design = qe.Weighting(
        treated="service",
        covariates=("x", "group"),
        outcome="y",
        outcome_model="covariates",
        subgroups=("group",),
    )
    table = qe.estimate(design, data).kernel.subgroups.set_index("label")
    assert table.loc["group: 0", "estimate"] == pytest.approx(-1.0, abs=0.1)
    assert table.loc["group: 1", "estimate"] == pytest.approx(2.0, abs=0.1)
    assert (table["p_equal"] < 1e-6).all()


def test_subgroup_test_allows_for_clusters():
    rejected = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        hospital = np.repeat(np.arange(30), 20)
        n = len(hospital)
        teaching = (hospital % 2).astype(int)
        service = rng.integers(0, 2, n)
        own = rng.standard_normal(30)[hospital]
        y = own * service + rng.standard_normal(n)
        data = pd.DataFrame(
            {
                "service": service,
                "x": rng.standard_normal(n),
                "hospital": hospital,
                "teaching": teaching,
                "y": y,
            }
        )
        design = qe.Weighting(
            treated="service", covariates=("x",), outcome="y", cluster="hospital", subgroups=("teaching",)
        )
        rejected += int((qe.estimate(design, data).kernel.subgroups["p_equal"] < 0.05).any())
    assert rejected <= 6


def test_trimming_an_average_over_everybody_is_said():
    result = qe.estimate(
        qe.Weighting(treated="service", covariates=("x",), outcome="y", estimand="ATE", trim=0.2), people(4)
    )
    assert "could be compared" in result.headline and "not the ATE" in result.facts["estimand"]


def test_ratios_and_differences_lead_to_the_same_verdicts():
    data = qe.example("community_service").frame
    stated = qe.Matching(
        treated="service", covariates=("age", "frailty", "smoker"), outcome="died", caliper=0.2
    )
    one, other = (qe.estimate(replace(stated, effect=effect), data) for effect in ("difference", "ratio"))
    for name in ("hidden bias in matched pairs", "E-value"):
        first, second = qe.diagnose(one, data)[name], qe.diagnose(other, data)[name]
        assert (first.verdict, first.text) == (second.verdict, second.text)
    assert (
        qe.diagnose(one, data)["other ways to match"].verdict
        == qe.diagnose(other, data)["other ways to match"].verdict
    )


def test_abadie_imbens_error_is_that_of_the_estimates():
    """Unequal variances in the two groups: the error of both risks and of their ratio, against repetition."""
    made = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        n = 400
        x = rng.standard_normal(n)
        service = (rng.random(n) < 1 / (1 + np.exp(1 - 0.5 * x))).astype(int)
        died = (rng.random(n) < np.where(service == 1, 0.1, 0.4)).astype(int)
        data = pd.DataFrame({"service": service, "x": x, "died": died})
        design = qe.Matching(treated="service", covariates=("x",), outcome="died", replacement="with")
        table = qe.estimate(design, data).estimates.set_index("term")
        made.append(
            [
                table.loc["risk difference", "estimate"],
                table.loc["risk difference", "std_error"],
                np.log(table.loc["risk ratio", "estimate"]),
                table.loc["risk ratio", "std_error"],
            ]
        )
    held = np.array(made)
    for value, error in ((0, 1), (2, 3)):
        assert held[:, error].mean() == pytest.approx(held[:, value].std(), rel=0.2)


def test_the_e_value_of_the_limit_follows_the_level():
    data = people(6).assign(y=lambda held: held["y"] + 3 * held["service"])
    stated = replace(STATED, outcome="y")
    limits = []
    for level in (0.8, 0.99):
        table = qe.diagnose(qe.estimate(replace(stated, level=level), data), data)["E-value"].table
        limits.append(table.loc[1, "e_value"])
    assert limits[0] > limits[1]


def test_a_number_needed_says_which_way_without_judging():
    data = qe.example("community_service").frame
    result = qe.estimate(qe.Matching(treated="service", covariates=("age", "frailty"), outcome="died"), data)
    assert "with the outcome for every" in result.facts["number needed to treat"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"inference": "matched sets", "replacement": "with"}, "no matched sets to cluster by"),
        ({"method": "subclassification", "distance": "mahalanobis"}, "a Mahalanobis distance is none"),
        ({"method": "genetic", "discard": "both"}, "cannot keep 'discard'"),
        ({"subgroups": ("service",)}, "subgroups: 'service' is the treated"),
    ],
)
def test_fields_that_do_not_go_together(fields, words):
    with pytest.raises(qe.DesignError, match=words):
        replace(STATED, **fields)


def test_an_identifier_is_no_subgroup():
    data = people(7).assign(name=[f"p{number}" for number in range(700)])
    with pytest.raises(qe.DataError, match="too many groups to compare"):
        qe.estimate(replace(STATED, outcome="y", subgroups=("name",)), data)


def test_a_separated_outcome_regression_is_loud():
    data = people(8).assign(died=lambda held: (held["x"] > 0).astype(int))
    with pytest.raises(qe.EstimationError, match="tell 'died' perfectly"):
        qe.estimate(replace(STATED, outcome="died", outcome_model="covariates"), data)


def test_reports_hide_the_means_of_few_people():
    data = people(9, 300).assign(y=lambda held: 123_456 + 1000 * held["y"])
    few = pd.concat([data[data["service"] == 1].head(5), data[data["service"] == 0]], ignore_index=True)
    result = qe.estimate(replace(STATED, outcome="y", caliper=0), few)
    mean = f"{result.facts['outcome with the intervention']:,.0f}"
    assert mean in result.headline
    assert mean not in qe.report(result, qe.diagnose(result, few)).markdown
