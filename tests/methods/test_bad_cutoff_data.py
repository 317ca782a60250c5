"""What goes wrong with scores, cutoffs and uptake: the right answer, or one clear error; no warnings."""

import warnings

import numpy as np
import pandas as pd
import pytest

import qieval as qe

N = 1200
DAY = pd.Timestamp("2020-01-01")


def frame(points=None, seed=1):
    """People with a jump of 1 at 0; with `points` the score has so many different values."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-10, 10, N)
    if points:
        x = np.linspace(-10, 10, points)[rng.integers(0, points, N)]
    return pd.DataFrame(
        {
            "x": x,
            "y": 2 + 0.3 * x + 1.0 * (x >= 0) + rng.normal(0, 1, N),
            "t": (rng.random(N) < np.where(x >= 0, 0.7, 0.2)).astype(int),
            "lot": rng.integers(0, 2, N),
            "w": rng.uniform(1, 3, N),
            "g": rng.integers(0, 40, N).astype(str),
            "age": rng.normal(50, 5, N),
        }
    )


def design(**fields):
    held = {"outcome": "y", "score": "x", "cutoff": 0, "treated_side": "at or above"}
    return qe.RegressionDiscontinuity(**{**held, **fields})


def estimate(data, **fields):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return qe.estimate(design(**fields), data)


def first(result):
    return result.estimates.iloc[0]


DAYS = pd.to_timedelta(np.round(frame()["x"] * 30), unit="D")
REFUSED = {
    "missing outcome": (lambda f: f.assign(y=f["y"].where(f.index > 5)), {}, "empty in 6 rows"),
    "infinite outcome": (lambda f: f.assign(y=f["y"].where(f.index > 5, np.inf)), {}, "6 infinite values"),
    "constant outcome": (lambda f: f.assign(y=1.0), {}, "outcome is the same for everybody"),
    "no events at all": (lambda f: f.assign(y=0), {}, "outcome is the same for everybody"),
    "2 scores": (lambda f: frame(2), {}, "comparison of two groups, not a discontinuity"),
    "3 scores": (lambda f: frame(3), {}, "comparison of two groups, not a discontinuity"),
    "5 scores": (lambda f: frame(5), {}, "2 and 3 different values"),
    "2 scores by lot": (lambda f: frame(2), {"inference": "local randomisation"}, "two groups"),
    "random uptake": (lambda f: f, {"received": "lot"}, "does not change at the cutoff beyond chance"),
    "constant uptake": (lambda f: f.assign(t=1), {"received": "t"}, "same for everybody"),
    "uptake on the other side": (
        lambda f: f.assign(t=(f["x"] < 0).astype(int)),
        {"received": "t"},
        "fewer people received it on the side that should",
    ),
    "clusters missing": (lambda f: f.assign(g=f["g"].where(f.index > 5)), {"cluster": "g"}, "'g' is empty"),
    "one cluster": (lambda f: f.assign(g="a"), {"cluster": "g"}, "one cluster"),
    "text score": (lambda f: f.assign(x="a"), {}, "pd.to_datetime"),
    "ambiguous dates": (lambda f: f.assign(x=(DAY + DAYS).dt.strftime("%d/%m/%Y")), {}, "dayfirst"),
    "dates and a number": (lambda f: f.assign(x=DAY + DAYS), {"cutoff": 0}, "is no date"),
    "a number and a date": (lambda f: f, {"cutoff": "2020-01-01"}, "is not a number"),
    "cutoff outside": (lambda f: f, {"cutoff": 50}, "all people are on one side of 50"),
    "constant score": (lambda f: f.assign(x=3.0), {}, "all people are on one side"),
    "missing score": (lambda f: f.assign(x=f["x"].where(f.index > 3)), {}, "'x' is empty in 4 rows"),
    "no rows": (lambda f: f.head(0), {}, "no rows"),
    "four rows": (lambda f: f.head(4), {}, "different values|too few"),
    "tiny bandwidth": (lambda f: f, {"bandwidth": (0.001,)}, "wider bandwidth"),
    "donut over all": (lambda f: f, {"donut": 100.0}, "nobody is left on one side"),
    "leave out words": (lambda f: f, {"leave_out": ("a",)}, "leave_out: 'a' are not numbers"),
    "leave out no dates": (lambda f: f.assign(x=DAY + DAYS), {"cutoff": DAY, "leave_out": (3,)}, "no dates"),
    "a hole up to the bandwidth": (lambda f: f, {"donut": 4.0, "bandwidth": (4.5,)}, "would be guessed"),
    "negative weights": (lambda f: f.assign(w=-1.0), {"weights": "w"}, "zero or less"),
    "no person-time": (lambda f: f.assign(y=1, w=0.0), {"person_time": "w"}, "zero or less"),
    "negative events": (lambda f: f, {"person_time": "w"}, "counts events, but it is negative"),
    "text outcome": (lambda f: f.assign(y=f["y"].astype(str)), {}, "numbers stored as text"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_one_clear_error(name):
    spoil, fields, words = REFUSED[name]
    with pytest.raises(qe.QievalError, match=words) as caught:
        estimate(spoil(frame()), **fields)
    assert len(caught.value.problems) == 1


CONTRADICTIONS = [
    ({"level": 95}, "For 95% write 0.95"),
    ({"treated_side": "left"}, "treated_side: 'left' is not one of the choices"),
    ({"cutoff": None}, "cutoff: the value at which the rule changes is needed"),
    ({"cutoff_column": "c"}, "and not both"),
    ({"score": "y"}, "both name the column 'y'"),
    ({"covariates": ("x",)}, "cannot adjust for itself"),
    ({"bandwidth": ("a",)}, "is not a bandwidth"),
    ({"bandwidth": (1, 2, 3)}, "is not a bandwidth"),
    ({"bandwidth": (-1,)}, "above 0"),
    ({"bias_bandwidth": (3,)}, "give the bandwidth too"),
    ({"variance": "cr1"}, "needs clusters"),
    ({"variance": "hc1", "cluster": "g"}, "ignores the clusters"),
    ({"estimand": "kink", "order": 0}, "change of slope needs a line"),
    ({"estimand": "kink", "inference": "honest"}, "made for jumps"),
    ({"inference": "honest", "order": 2}, "local lines"),
    ({"order": 2, "bias_order": 2}, "higher order than 2"),
    ({"negative_controls": ("y",)}, "negative_controls: 'y' is the outcome"),
    ({"weights": "y"}, "outcome, weights: both name the column 'y'"),
    ({"weights": "x"}, "both name the column 'x'"),
    ({"cluster": "y"}, "cluster: 'y' is an outcome or a weight"),
    ({"bandwidth": (np.inf,)}, "is not a bandwidth"),
    ({"bandwidth": (np.nan,)}, "is not a bandwidth"),
    ({"cutoff": np.nan}, "no place on a score"),
    ({"cutoff": 10**400}, "no place on a score"),
    ({"inference": "honest", "bandwidth": (2, 5)}, "one bandwidth for both sides"),
]


@pytest.mark.parametrize("fields, words", CONTRADICTIONS)
def test_contradictions_are_named(fields, words):
    with pytest.raises(qe.DesignError, match=words):
        design(**fields)


def test_the_side_must_be_stated():
    with pytest.raises(TypeError, match="treated_side"):
        qe.RegressionDiscontinuity(outcome="y", score="x", cutoff=0)


@pytest.mark.parametrize("points", [6, 11, 21])
def test_few_scores_give_an_answer_that_says_so(points):
    result = estimate(frame(points, seed=3))
    row = first(result)
    assert row["conf_low"] < 1.0 < row["conf_high"]
    assert any("few different" in note for note in result.notes)
    assert "and" in result.facts["different scores within the bandwidth"]


@pytest.mark.parametrize("points", [4, 5, 11])
def test_few_scores_compare_the_nearest_as_if_by_lot(points):
    result = estimate(frame(points), inference="local randomisation")
    assert first(result)["term"] == "difference, local randomisation"
    assert first(result)["conf_low"] > 0.5


def test_rows_that_are_left_out_are_counted():
    data = frame()
    holes = data.assign(y=data["y"].where(data.index > 5), g=data["g"].where(data.index > 2))
    result = estimate(holes, missing="complete cases", cluster="g")
    assert any("6 rows were left out" in note for note in result.notes)
    whole = estimate(data.iloc[6:], cluster="g")
    assert first(result)["estimate"] == pytest.approx(first(whole)["estimate"], rel=1e-12)


def test_uptake_on_one_side_only_and_full_compliance():
    data = frame()
    one_sided = data.assign(t=data["t"].where(data["x"] >= 0, 0))
    assert first(estimate(one_sided, received="t"))["conf_low"] > 0
    followed = data.assign(t=(data["x"] >= 0).astype(int))
    sharp, fuzzy = first(estimate(data)), first(estimate(followed, received="t"))
    assert fuzzy["estimate"] == pytest.approx(sharp["estimate"], rel=1e-9)
    assert fuzzy["std_error"] == pytest.approx(sharp["std_error"], rel=1e-9)


def test_dates_are_counted_in_days():
    data = frame()
    days = np.round(data["x"] * 30)
    number = first(estimate(data.assign(x=days)))
    for x in (DAY + DAYS, (DAY + DAYS).dt.strftime("%Y-%m-%d"), (DAY + DAYS).dt.tz_localize("Europe/London")):
        dated = first(estimate(data.assign(x=x), cutoff="2020-01-01"))
        assert dated["estimate"] == pytest.approx(number["estimate"], rel=1e-9)
    assert "2020-01-01" in estimate(data.assign(x=DAY + DAYS), cutoff=DAY).headline


def test_covariates_that_say_nothing_are_named():
    data = frame().assign(double=lambda f: f["age"] * 2, same=1, side=lambda f: (f["x"] >= 0).astype(int))
    result = estimate(data, covariates=("age", "double", "same", "side"))
    assert any("double, side added nothing" in note for note in result.notes)
    assert any("same has the same value" in note for note in result.notes)
    alone = estimate(data, covariates=("age",))
    assert first(result)["estimate"] == pytest.approx(first(alone)["estimate"], rel=1e-8)


@pytest.mark.parametrize("outcome, score", [(1e12, 1e6), (1e-12, 1e-9)])
def test_units_do_not_matter(outcome, score):
    data = frame()
    plain = first(estimate(data))
    scaled = first(estimate(data.assign(y=data["y"] * outcome, x=data["x"] * score)))
    assert scaled["estimate"] == pytest.approx(plain["estimate"] * outcome, rel=1e-7)
    assert scaled["p_value"] == pytest.approx(plain["p_value"], rel=1e-6)


def test_a_wide_hole_is_told():
    result = estimate(frame(), donut=3.0, bandwidth=(5.0,))
    assert any("guessed by the lines" in note for note in result.notes)


def test_scores_that_are_dates_can_be_left_out():
    dates = frame().assign(x=DAY + DAYS)
    gone = str((DAY + DAYS.iloc[0]).date())
    result = estimate(dates, cutoff="2020-01-01", leave_out=(gone,))
    count = int((dates["x"] == pd.Timestamp(gone)).sum())
    assert any(f"{count} row" in note and gone in note for note in result.notes)


def test_a_categorical_score_is_read_as_its_numbers():
    data = frame(21, seed=3)
    plain, typed = estimate(data), estimate(data.assign(x=data["x"].astype("category")))
    assert first(typed)["estimate"] == pytest.approx(first(plain)["estimate"], rel=1e-12)
