import numpy as np
import pandas as pd
import pytest

from qieval.covariate_balance.table import UNMEASURED, balance, score_table
from qieval.errors import DataError, DesignError


@pytest.fixture
def people():
    rng = np.random.default_rng(3)
    n = 120
    ill = (rng.random(n) < 0.4).astype(int)
    frame = pd.DataFrame(
        {
            "ill": ill,
            "age": rng.normal(60, 10, n) + 5 * ill,
            "smoker": rng.random(n) < 0.3,
            "ward": rng.choice(["a", "b", "c"], n),
            "bmi": np.where(rng.random(n) < 0.1, np.nan, rng.normal(27, 4, n)),
            "sex": rng.choice(["f", "m"], n),
        }
    )
    return frame.set_index(pd.Index(rng.permutation(n) + 1000, name="person"))


COVARIATES = ["age", "smoker", "ward", "bmi"]


def row(found, name, sample="before", subgroup="everybody"):
    held = found.table.set_index(["characteristic", "sample", "subgroup"])
    return held.loc[(name, sample, subgroup)]


def test_every_level_and_missing_values_get_a_row(people):
    found = balance(people, "ill", COVARIATES)
    names = ["age", "smoker", "ward: a", "ward: b", "ward: c", "bmi", "bmi: missing"]
    assert found.table["characteristic"].tolist() == names
    treated, rest = people[people["ill"] == 1], people[people["ill"] == 0]
    assert row(found, "ward: b")["mean_treated"] == pytest.approx((treated["ward"] == "b").mean())
    assert row(found, "bmi: missing")["mean_comparison"] == pytest.approx(rest["bmi"].isna().mean())
    assert row(found, "bmi")["rows_treated"] == treated["bmi"].notna().sum()
    gap = treated["age"].mean() - rest["age"].mean()
    assert row(found, "age")["standardised_difference"] == pytest.approx(gap / treated["age"].std())
    assert row(found, "bmi")["variance_ratio"] == pytest.approx(treated["bmi"].var() / rest["bmi"].var())
    (note,) = found.notes
    assert note.counts["lost"] == people["bmi"].isna().sum() and "'bmi'" in note


def test_columns_that_are_not_used_drop_nobody(people):
    people["unused"] = np.nan
    assert row(balance(people, "ill", "age"), "age")[["rows_treated", "rows_comparison"]].sum() == 120


def test_conventions(people):
    matchit = balance(people, "ill", COVARIATES, denominator="pooled")
    cobalt = balance(people, "ill", COVARIATES, convention="cobalt", denominator="pooled")
    raw = row(cobalt, "smoker")
    assert raw["standardised_difference"] == raw["mean_treated"] - raw["mean_comparison"]
    assert row(matchit, "smoker")["standardised_difference"] != raw["standardised_difference"]
    assert row(matchit, "age")["standardised_difference"] == row(cobalt, "age")["standardised_difference"]
    assert "raw differences in proportions" in repr(cobalt) and "pooled standard deviation" in repr(matchit)


def test_weights_as_array_series_and_mapping_agree(people):
    w = np.random.default_rng(0).random(len(people))
    shuffled = pd.Series(w, index=people.index).sample(frac=1, random_state=1)
    one = balance(people, "ill", COVARIATES, w)
    other = balance(people, "ill", COVARIATES, {"after": shuffled})
    pd.testing.assert_frame_equal(one.table, other.table)
    assert one.samples == ("before", "after")
    treated = people["ill"] == 1
    expected = np.average(people["age"][treated], weights=w[treated])
    assert row(one, "age", "after")["mean_treated"] == pytest.approx(expected)


def test_reweighted_equals_a_new_table_and_replaces(people):
    rng = np.random.default_rng(0)
    w, v = rng.random(len(people)), rng.random(len(people))
    for options in ({}, {"denominator": "weighted", "subgroups": "sex", "overlap": True}):
        fresh = balance(people, "ill", COVARIATES, {"w": w, "v": v}, **options)
        step = balance(people, "ill", COVARIATES, {"w": v}, **options).reweighted(w, "w").reweighted(v, "v")
        pd.testing.assert_frame_equal(fresh.table, step.table)


def test_subgroups_are_judged_by_themselves(people):
    people.loc[people.index[:5], "sex"] = None
    people["region"] = np.where(people["ill"] == 1, "north", "south")
    w = pd.Series(np.random.default_rng(0).random(len(people)), index=people.index)
    found = balance(people, "ill", COVARIATES, w, subgroups=("sex", "region"))
    men = people[people["sex"] == "m"]
    alone = balance(men, "ill", COVARIATES, w[men.index])
    for sample in ("before", "after"):
        for name in ("age", "bmi", "ward: a"):
            mine, theirs = row(found, name, sample, "sex: m"), row(alone, name, sample)
            pd.testing.assert_series_equal(mine.iloc[1:], theirs.iloc[1:], check_names=False)
    assert set(found.table["subgroup"]) == {"everybody", "sex: f", "sex: m"}
    said = " ".join(found.notes)
    assert "'region: north' holds treated people only" in said and "for want of 'sex': 5" in said


def test_squares_and_interactions(people):
    found = balance(people, "ill", ["age", "smoker", "ward"], squares=True, interactions=True)
    names = set(found.table["characteristic"])
    assert {"age²", "age * smoker", "age * ward: a", "smoker * ward: c"} <= names
    assert "smoker²" not in names and "ward: a * ward: b" not in names
    cobalt = balance(people, "ill", ["age", "smoker"], convention="cobalt", interactions=True)
    assert cobalt.table["characteristic"].tolist() == ["age", "smoker", "age * smoker: 0", "age * smoker: 1"]
    treated = people[people["ill"] == 1]
    assert row(cobalt, "age * smoker: 0")["mean_treated"] == pytest.approx(
        (treated["age"] * ~treated["smoker"]).mean()
    )


def test_worst_and_rule(people):
    found = balance(people, "ill", COVARIATES, np.ones(len(people)), subgroups="sex")
    sizes = found.table[(found.table["sample"] == "after") & (found.table["subgroup"] == "everybody")]
    worst = found.worst(3)
    assert (
        worst["standardised_difference"].abs().tolist()
        == sorted(sizes["standardised_difference"].abs(), reverse=True)[:3]
    )
    broken = found.rule(max_smd=0.2, max_variance_ratio=1.1, max_ks=0.3)
    assert set(broken["sample"]) == {"after"} and set(broken["subgroup"]) > {"everybody"}
    for _, item in broken.iterrows():
        assert ("standardised difference" in item["broken"]) == (abs(item["standardised_difference"]) > 0.2)
        assert ("eCDF gap" in item["broken"]) == (item["ecdf_max"] > 0.3)
        ratio = item["variance_ratio"]
        assert ("variance ratio" in item["broken"]) == (max(ratio, 1 / ratio) > 1.1)
    assert found.rule(max_smd=100).empty
    with pytest.raises(DataError, match="none called 'later'"):
        found.worst(sample="later")


def test_a_difference_that_cannot_be_computed_breaks_the_rule(people):
    people["once"] = np.where(people["ill"] == 1, np.nan, 1.0)
    people.loc[people.index[0], "once"] = 2.0 if people["ill"].iloc[0] == 0 else np.nan
    found = balance(people, "ill", ["age", "once"])
    assert np.isnan(row(found, "once")["standardised_difference"])
    assert "once" in found.rule(max_smd=100)["characteristic"].tolist()
    assert found.rule(max_smd=np.inf).empty


def test_display_says_the_convention_and_the_fixed_sentence(people):
    found = balance(people.assign(ward="<b>x</b>"), "ill", ["age", "ward"], np.ones(len(people)))
    shown = found._repr_html_()
    assert UNMEASURED in shown and UNMEASURED in repr(found)
    assert "convention of MatchIt" in shown and "standard deviation of the treated" in shown
    assert "above 0.1" in shown and "e-1" not in shown
    assert "<b>x</b>" not in shown and "&lt;b&gt;" in shown
    assert "everybody, after: largest difference" in repr(found)


def test_the_table_is_a_copy(people):
    found = balance(people, "ill", "age")
    copy = found.table
    copy["standardised_difference"] = 0.0
    assert row(found, "age")["standardised_difference"] != 0


def test_overlap_of_densities_on_demand(people):
    assert "densities_apart" not in balance(people, "ill", "age").table
    assert 0 < row(balance(people, "ill", "age", overlap=True), "age")["densities_apart"] < 1


def test_distribution_is_made_of_quantiles(people):
    w = np.random.default_rng(0).random(len(people))
    found = balance(people, "ill", COVARIATES).distribution("bmi", w, "weighted")
    assert list(dict.fromkeys(found["sample"])) == ["before", "weighted"]
    smaller = min((people["ill"] == 1).sum(), (people["ill"] == 0).sum())
    assert found["probability"].nunique() < smaller // 5
    before = found[found["sample"] == "before"]
    held = people.loc[people["ill"] == 1, "bmi"].dropna()
    for value, share in before[["value", "cdf_treated"]].dropna().itertuples(index=False):
        assert share == pytest.approx((held <= value).mean())
    with pytest.raises(DataError, match=r"'bmx' is not in the table.*Did you mean 'bmi'"):
        balance(people, "ill", COVARIATES).distribution("bmx")


def test_score_table_holds_bins_only():
    found = score_table(np.array([0.1, 0.6, 0.7]), np.array([1, 0, 1]), np.array([1.0, 2, 3]), bins=2)
    assert found["weight_after"].tolist() == [1, 3, 0, 2] and found["weight_before"].sum() == 3
    assert "weight_after" not in score_table(np.array([0.5]), np.array([1]))


def refused(match, frame, *arguments, **options):
    with pytest.raises(DataError, match=match) as caught:
        balance(frame, *arguments, **options)
    return caught.value


def test_bad_treated(people):
    refused("no column 'il'.*Did you mean 'ill'", people, "il", "age")
    refused("must be 1 .treated. or 0", people, "ward", "age")
    refused("missing in 1 row", people.assign(ill=people["ill"].where(people.index != 1000)), "ill", "age")
    refused("same in every row", people.assign(ill=1), "ill", "age")
    refused("'ill' occurs 2 times", pd.concat([people, people[["ill"]]], axis=1), "ill", "age")
    refused("same in every row", people.assign(ill=0), "ill", "age")


def test_bad_covariates(people):
    error = refused("no column 'agee'", people, "ill", ["agee", "ill", "age", "age"])
    assert len(error.problems) == 3 and all(problem.startswith("covariates:") for problem in error.problems)
    refused("none are named", people, "ill", [])
    refused("too many to compare", people.assign(name=people.index.astype(str)), "ill", "name")
    refused("holds dates", people.assign(born=pd.Timestamp("1950-01-01")), "ill", "born")
    refused("infinite", people.assign(age=np.inf), "ill", "age")
    twice = pd.concat([people, people[["age"]]], axis=1)
    refused("'?age'? occurs twice", twice, "ill", "age")


def test_bad_weights(people):
    w = np.ones(len(people))
    refused("has 3 values for 120 rows", people, "ill", "age", w[:3])
    refused("missing, infinite or negative", people, "ill", "age", -w)
    refused("missing, infinite or negative", people, "ill", "age", w * np.nan)
    refused("gives all treated people weight 0", people, "ill", "age", w * (people["ill"] == 0).to_numpy())
    refused("index of 'after' is not that of the data", people, "ill", "age", pd.Series(w))
    refused("name of the unweighted sample", people, "ill", "age", {"before": w})
    with pytest.raises(DataError, match="has 1 values"):
        balance(people, "ill", "age").reweighted([1.0])


def test_bad_options(people):
    with pytest.raises(DesignError, match=r"convention: 'r' is not known.*'matchit' or 'cobalt'"):
        balance(people, "ill", "age", convention="r")
    with pytest.raises(DesignError, match="denominator: 'none'"):
        balance(people, "ill", "age", denominator="none")
    refused("subgroups: there is no column 'sexx'", people, "ill", "age", subgroups="sexx")
    refused("subgroups: 'age' has 120", people, "ill", "bmi", subgroups="age")
