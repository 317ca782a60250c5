"""Methods with donors and data as they come: each case is right, or one clear error, or a concern.

Every error says what is wrong, why it matters and what to do. Warnings of numpy are errors here.
"""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import qieval as qe
from qieval.errors import DataError, DesignError, EstimationError, QievalError

START, PLACES, PERIODS = 2014, 22, 22
BOTH = pytest.mark.parametrize("kind", [qe.SyntheticControl, qe.SyntheticDifferenceInDifferences])


def places(seed: int = 5, places: int = PLACES, periods: int = PERIODS) -> pd.DataFrame:
    """Places moved by three factors; p00 has a service from 2014 on, which takes 4 off."""
    rng = np.random.default_rng(seed)
    factors = np.cumsum(rng.normal(0.2, 1, (periods, 3)), axis=0)
    loadings = rng.dirichlet(np.ones(3), places)
    loadings[0] = [0.4, 0.35, 0.25]
    y = 50 + 3 * factors @ loadings.T + rng.normal(0, 0.5, (periods, places))
    place, time = np.divmod(np.arange(places * periods), periods)
    y[2000 + np.arange(periods) >= START, 0] -= 4
    return pd.DataFrame(
        {
            "place": [f"p{each:02d}" for each in place],
            "year": 2000 + time,
            "y": y.T.ravel(),
            "treated": (place == 0).astype(int),
            "deprived": (rng.normal(0, 1, places) + 3 * loadings[:, 0])[place] + 0.01 * time,
            "age": (40 + rng.normal(0, 1, places) + 2 * loadings[:, 1])[place],
            "people": 1000.0 + 10 * place,
            "programme": (place == 3).astype(int),
            "near": (place == 4).astype(int),
            "words": "text",
            "same": 1.0,
        }
    )


@pytest.fixture(scope="module")
def data():
    return places()


@pytest.fixture(autouse=True)
def no_raw_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def stated(kind=qe.SyntheticControl, **fields):
    return kind(
        **{
            "outcome": "y",
            "unit": "place",
            "time": "year",
            "treated": "treated",
            "start": START,
            **fields,
        }
    )


def attempt(kind, frame, **fields):
    """The result of estimating and of every check, after checks of the design; no number may be missing."""
    design = stated(kind, **fields)
    before = qe.design_checks(design, frame)
    result = qe.estimate(design, frame)
    ledger = qe.diagnose(result, frame)
    said = " ".join([result.headline, *result.notes, *(check.text for check in (*before, *ledger))])
    assert "nan" not in said.lower().split() and "not available" not in said
    assert np.isfinite(result.estimates.loc[0, "estimate"])
    return result, {check.name: check for check in ledger}


def refused(kind, frame, error, *words, **fields):
    """Design, its checks and the estimate say the same thing, with all of the words."""
    with pytest.raises(error) as raised:
        qe.estimate(stated(kind, **fields), frame)
    said = str(raised.value)
    assert len(raised.value.problems) == 1, said
    for word in words:
        assert word in said, said
    assert said.endswith(".") and said.count(".") >= 2, f"say what to do: {said}"
    with pytest.raises(QievalError) as earlier:
        qe.design_checks(stated(kind, **fields), frame)
    assert str(earlier.value) == said


def without(frame, place, year):
    return frame[~((frame["place"] == place) & (frame["year"] == year))]


def emptied(frame, place, column="y", years=(2003,)):
    found = (frame["place"] == place) & frame["year"].isin(years)
    return frame.assign(**{column: frame[column].mask(found)})


@BOTH
@pytest.mark.parametrize("gap", [without, lambda f, p, y: emptied(f, p, years=(y,))], ids=["row", "value"])
@pytest.mark.parametrize("year", [2003, 2016])
def test_a_gap_in_the_series_of_a_donor(kind, gap, year, data):
    frame = gap(data, "p05", year)
    with pytest.raises(DataError, match=r"outcome: there are gaps in the series of 1 donor \(p05\)"):
        qe.estimate(stated(kind), frame)
    result = qe.estimate(stated(kind, missing="complete cases"), frame)
    assert "donors: 1 unit left out of the pool: no gap in the outcome (p05)." in result.notes
    left = qe.estimate(stated(kind), data[data["place"] != "p05"])
    assert result.estimates.loc[0, "estimate"] == pytest.approx(left.estimates.loc[0, "estimate"], rel=1e-9)


@BOTH
@pytest.mark.parametrize("missing", ["refuse", "complete cases"])
@pytest.mark.parametrize("gap", [without, lambda f, p, y: emptied(f, p, years=(y,))], ids=["row", "value"])
def test_a_gap_in_the_treated_series_is_never_passed_over(kind, missing, gap, data):
    refused(
        kind,
        gap(data, "p00", 2003),
        DataError,
        "1 value of treated units (p00) cannot be found",
        "fit_from",
        missing=missing,
    )
    with pytest.raises(DataError, match="treated series cannot have gaps"):
        qe.estimate(stated(kind, missing=missing), gap(data, "p00", 2016))


@BOTH
def test_gaps_outside_the_periods_used_do_not_matter(kind, data):
    frame = emptied(data, "p00", years=(2000, 2001))
    late = qe.estimate(stated(kind, fit_from=2002), frame)
    cut = qe.estimate(stated(kind), data[data["year"] >= 2002])
    assert late.estimates.loc[0, "estimate"] == pytest.approx(cut.estimates.loc[0, "estimate"], rel=1e-9)


PREDICTORS = {"deprived": "2000 to 2013", "y": "2005; 2010; 2013"}


def predicted(frame, **fields):
    return qe.estimate(stated(**{"predictors": PREDICTORS, "v": "inverse variance", **fields}), frame)


def test_a_donor_without_a_predictor(data):
    frame = emptied(data, "p03", "deprived", range(2000, 2030))
    said = {"predictors": PREDICTORS, "v": "inverse variance"}
    refused(
        qe.SyntheticControl,
        frame,
        DataError,
        "'deprived, 2000 to 2013'",
        "1 donor (p03)",
        "Fill them",
        **said,
    )
    result = predicted(frame, missing="complete cases")
    assert any("no value of 'deprived, 2000 to 2013'" in note for note in result.notes)
    left = predicted(data[data["place"] != "p03"])
    assert result.estimates.loc[0, "estimate"] == pytest.approx(left.estimates.loc[0, "estimate"], rel=1e-9)


@pytest.mark.parametrize("missing", ["refuse", "complete cases"])
def test_the_treated_unit_without_a_predictor(missing, data):
    refused(
        qe.SyntheticControl,
        emptied(data, "p00", "deprived", range(2000, 2030)),
        DataError,
        "treated unit has no value of 'deprived, 2000 to 2013'",
        predictors=PREDICTORS,
        missing=missing,
    )


def test_a_predictor_known_in_some_periods_only(data):
    uneven = predicted(emptied(data, "p03", "deprived", range(2000, 2005)))
    assert any("lacks values in some periods of 1 unit" in note for note in uneven.notes)
    late = data.assign(deprived=data["deprived"].where(data["year"] >= 2010))
    assert any("known in 4 of 14 periods (the same for all units)" in note for note in predicted(late).notes)


def test_one_donor(data):
    two = data[data["place"].isin(["p00", "p01"])]
    result, checks = attempt(qe.SyntheticControl, two)
    for name in ("donor pool", "weights of the donors", "placebos in space", "leave one donor out"):
        assert checks[name].verdict == "concern", name
    assert "with 1 donor and" in " ".join(result.notes)
    with pytest.raises(EstimationError, match="1 donor cannot take the place of 1 treated unit"):
        qe.estimate(stated(qe.SyntheticDifferenceInDifferences), two)


@BOTH
def test_two_donors(kind, data):
    result, checks = attempt(kind, data[data["place"].isin(["p00", "p01", "p02"])])
    assert not np.isfinite(result.estimates.loc[0, "conf_low"])
    assert "no bounded 95% interval" in result.headline or "No effect is stated" in result.headline
    assert any("interval:" in note for note in result.notes)
    assert checks["donor pool"].verdict == "information"


def test_a_treated_unit_beyond_all_donors_gets_no_headline(data):
    frame = data.assign(y=data["y"] + 500 * data["treated"])
    result, checks = attempt(qe.SyntheticControl, frame)
    assert (
        result.headline.startswith("The donors do not reproduce") and "No effect is stated" in result.headline
    )
    assert checks["fit before the start"].verdict == checks["within reach of the donors"].verdict == "concern"


@pytest.mark.parametrize(
    "design",
    [stated(method="demeaned"), stated(qe.SyntheticDifferenceInDifferences)],
    ids=["demeaned", "weighted changes"],
)
def test_a_level_beyond_all_donors_does_not_matter_where_a_distance_may_remain(design, data):
    frame = data.assign(y=data["y"] + 500 * data["treated"])
    moved, plain = (qe.estimate(design, each).estimates.loc[0, "estimate"] for each in (frame, data))
    assert moved == pytest.approx(plain, rel=1e-7)
    checks = [qe.design_checks(design, each) for each in (frame, data)]
    assert [check.verdict for check in checks[0]] == [check.verdict for check in checks[1]]


@BOTH
def test_copies_of_donors(kind, data):
    copies = [data[data["place"] == place].assign(place=f"{place} again") for place in ("p01", "p02")]
    result, _ = attempt(kind, pd.concat([data, *copies]))
    alone = qe.estimate(stated(kind), data)
    if kind is qe.SyntheticControl:
        estimates = (held.estimates.loc[0, "estimate"] for held in (result, alone))
        assert next(estimates) == pytest.approx(next(estimates), rel=1e-9)
        assert any("4 donors can be reproduced exactly" in note for note in result.notes)
    assert np.isfinite(result.estimates.loc[0, ["conf_low", "conf_high", "p_value"]].astype(float)).all()


def test_a_copy_never_counts_against_the_treated_unit(data):
    """Its gaps are zero before and after, so its rank is the last and the interval uses the others."""
    copy = data[data["place"] == "p20"].assign(place="p20 again")
    both = qe.estimate(stated(level=0.9), pd.concat([data, copy]))
    ranked = both.facts["rank among all units"]
    one = qe.estimate(stated(level=0.9, not_donors={"p20": "has a copy"}), data)
    assert both.facts["units ranked"] == 23 and ranked <= one.facts["rank among all units"] + 1


@pytest.mark.parametrize("way", ["nested", "inverse variance", "cross-validated"])
def test_a_predictor_that_does_not_vary(way, data):
    same = {"predictors": {"same": ""}, "v": way}
    refused(qe.SyntheticControl, data, EstimationError, "all donors are the same in 'same", **same)


def test_one_predictor_among_others_that_does_not_vary(data):
    two = predicted(data, predictors={**PREDICTORS, "same": ""})
    assert any("all donors are the same in 'same'" in note for note in two.notes)
    assert two.estimates.loc[0, "estimate"] == pytest.approx(predicted(data).estimates.loc[0, "estimate"])
    only_treated = data.assign(same=data["treated"].astype(float))
    mixed = predicted(only_treated, predictors={**PREDICTORS, "same": ""})
    assert mixed.estimates.loc[0, "estimate"] == pytest.approx(two.estimates.loc[0, "estimate"])


STARTS = [
    (2050, "no period lies at or after 2050 (the data end at 2021)"),
    (1990, "no period lies before 1990 (the data begin at 2000)"),
    (2000, "no period lies before 2000"),
]


@BOTH
@pytest.mark.parametrize(("start", "words"), STARTS)
def test_a_start_outside_the_data(kind, start, words, data):
    refused(kind, data, DataError, words, start=start)


@BOTH
@pytest.mark.parametrize("start", ["soon", "2014-01"])
def test_a_start_that_is_no_time_of_the_data(kind, start, data):
    with pytest.raises(DataError, match=f"start: '{start}' is not a whole number"):
        qe.estimate(stated(kind, start=start), data)
    with pytest.raises(DesignError, match="start: nothing is given"):
        stated(kind, start=None)


@BOTH
def test_all_treated_or_none(kind, data):
    refused(kind, data.assign(treated=1), DataError, "All units are treated", "Add comparison units")
    refused(kind, data.assign(treated=0), DataError, "No unit is treated", "Check the coding")
    mixed = data.assign(treated=data["treated"] * (data["year"] >= START))
    refused(kind, mixed, DataError, "changes over time within 1 unit", "EVER")


@pytest.fixture(scope="module")
def waves(data):
    first = {"p00": 2014, "p01": 2016, "p02": 2018}
    many = data["place"].isin(first)
    taken = 4 * ((data["year"] >= data["place"].map(first)) & (data["place"] != "p00"))
    return data.assign(treated=many.astype(int), first=data["place"].map(first), y=data["y"] - taken)


@pytest.mark.parametrize("several", ["average", "unit by unit", "partially pooled"])
def test_several_treated_units_with_one_start(several, waves):
    frame = waves[waves["place"] != "p02"]
    result, _ = attempt(qe.SyntheticControl, frame, several=several, draws=99)
    assert result.facts["treated units"] == 2
    assert "2 treated units" in result.headline


@pytest.mark.parametrize("several", ["unit by unit", "partially pooled"])
def test_several_starts(several, waves):
    result, _ = attempt(qe.SyntheticControl, waves, several=several, first_treated="first", draws=99)
    assert result.estimates.loc[0, "estimate"] == pytest.approx(-4, abs=1)
    for fit in result.kernel.fits:
        assert fit.weights.sum() == pytest.approx(1, abs=1e-9), "all donors are places never treated"


def test_several_starts_with_weighted_changes(waves):
    result, _ = attempt(qe.SyntheticDifferenceInDifferences, waves, first_treated="first")
    assert result.facts["waves"] == 3
    assert result.estimates.loc[0, "estimate"] == pytest.approx(-4, abs=1)


def test_several_starts_cannot_be_one_series(waves):
    late = {"first_treated": "first", "several": "average"}
    refused(qe.SyntheticControl, waves, DataError, "start at different times", "unit by unit", **late)


STAGGERED = pytest.mark.parametrize(
    ("kind", "more"),
    [(qe.SyntheticDifferenceInDifferences, {}), (qe.SyntheticControl, {"several": "unit by unit"})],
)


@STAGGERED
def test_a_unit_that_begins_after_the_data_end(kind, more, waves):
    late = waves.assign(first=waves["first"].replace(2018, 2050))
    refused(kind, late, DataError, "the data end before 1 treated unit", first_treated="first", **more)


@STAGGERED
def test_starts_that_contradict_the_start_or_each_other(kind, more, waves):
    refused(kind, waves, DataError, "earliest 'first' is 2014", start=2013, first_treated="first", **more)
    empty = waves.assign(first=waves["first"].where(waves["place"] != "p02"))
    refused(kind, empty, DataError, "p02: a treated unit has no first period", first_treated="first", **more)
    torn = waves.assign(first=waves["first"].where((waves["place"] != "p01") | (waves["year"] > 2010), 2015))
    refused(kind, torn, DataError, "differs between rows of 1 unit", first_treated="first", **more)


NAMES = [
    ({"donors": ("p01", "p99")}, "donors: there is no unit 'p99' in 'place'"),
    ({"not_donors": {"p99": "gone"}}, "not_donors: there is no unit 'p99' in 'place'"),
    ({"donors": ("p00", "p01")}, "donors: p00 received the intervention"),
    ({"not_donors": {f"p{each:02d}": "" for each in range(1, PLACES)}}, "no donor is left"),
    ({"size": "small", "size_ratio": 2}, "no donor is left"),
]


@BOTH
@pytest.mark.parametrize(("fields", "words"), NAMES)
def test_names_and_rules_of_the_pool(kind, fields, words, data):
    refused(kind, data.assign(small=np.where(data["treated"] == 1, 1.0, 900.0)), DataError, words, **fields)


@BOTH
def test_rules_of_the_pool_are_counted(kind, data):
    frame = data.assign(people=data["people"].mask(data["place"] == "p07", 9000))
    fields = {
        "similar_intervention": "programme",
        "spillover": "near",
        "size": "people",
        "size_ratio": 2,
        "not_donors": {"p09": "merged"},
    }
    result = qe.estimate(stated(kind, **fields), frame)
    assert result.facts["donors"] == PLACES - 1 - 4
    for place in ("p03", "p04", "p07", "p09"):
        assert any(f"({place})" in note for note in result.notes), place
    newcomer = frame[(frame["place"] != "p07") | (frame["year"] >= START)]
    with pytest.raises(DataError, match="gaps in the series of 1 donor"):
        qe.estimate(stated(kind), newcomer)
    assert (
        qe.estimate(stated(kind, **fields, missing="complete cases"), newcomer).facts["donors"] == PLACES - 5
    )


def test_size_rules_that_contradict_themselves():
    with pytest.raises(DesignError, match="size: size_ratio is given but not the column"):
        stated(size_ratio=2)
    with pytest.raises(DesignError, match=r"size_ratio: 0\.5 is less than 1"):
        stated(size="people", size_ratio=0.5)


COLUMNS = [
    ({"population": "people"}, lambda f: f.assign(people=0), "population: 'people' holds zero"),
    ({"population": "words"}, None, "population: 'words' must hold numbers"),
    ({"similar_intervention": "people"}, None, "similar_intervention: 'people' must be 1 or 0"),
    ({"spillover": "words"}, None, "spillover: 'words' must hold numbers"),
    ({"size": "words", "size_ratio": 2}, None, "size: 'words' must hold numbers"),
    ({}, lambda f: f.assign(y=5.0), "outcome: 'y' is 5 in all units and periods that are fitted"),
    ({}, lambda f: f.assign(y=f["y"].where(f.index != 30, np.inf)), "'y' holds 1 infinite value"),
    ({}, lambda f: f.assign(y=f["y"].astype(str)), "numbers stored as text"),
    ({"population": "people"}, lambda f: emptied(f, "p03", "people"), "'people' is empty in 1 row"),
    ({}, lambda f: pd.concat([f, f.head(1)]), "1 row repeat an earlier pair"),
    ({}, lambda f: f.head(0), "the table has no rows"),
]


@BOTH
@pytest.mark.parametrize(("fields", "change", "words"), COLUMNS)
def test_columns_that_do_not_fit(kind, fields, change, words, data):
    refused(kind, data if change is None else change(data), DataError, words, **fields)


WINDOWS = [
    ("2010 to 2016", "reaches to 2016, which is not before the start"),
    ("2014", "is not before the start"),
    ("early", "'early' is not a whole number"),
    ("2010 to 2005", "no period of the data lies in '2010 to 2005'"),
    ("1980 to 1985", "no period of the data lies in '1980 to 1985' (they run from 2000 to 2021)"),
    ("1980 to 2005", "begins before the data do (2000)"),
    ("2001 to 2003 to 2005", "cannot be read"),
    ("2001,", "cannot be read"),
    (";", "names no period"),
]


@pytest.mark.parametrize(("window", "words"), WINDOWS)
def test_windows_of_predictors(window, words, data):
    refused(
        qe.SyntheticControl, data, DataError, "predictors: 'deprived'", words, predictors={"deprived": window}
    )


def test_windows_stay_clear_of_anticipation(data):
    fields = {"predictors": {"deprived": "2013"}, "anticipation": 1}
    refused(qe.SyntheticControl, data, DataError, "2013, which is not before the start (or within", **fields)


PREDICTORS_THAT_DO_NOT_FIT = [
    ({"predictors": {"words": ""}}, DataError, "predictors: 'words' must hold numbers"),
    ({"predictors": {"deprive": ""}}, DataError, "no column 'deprive' in the data. Did you mean 'deprived'?"),
    ({"predictors": PREDICTORS, "v": {"deprived": 1, "wealth": 1}}, DataError, "'wealth' is not among"),
    (
        {"predictors": PREDICTORS, "v": "cross-validated"},
        EstimationError,
        "both halves of the fitted periods",
    ),
]


@pytest.mark.parametrize(("fields", "error", "words"), PREDICTORS_THAT_DO_NOT_FIT)
def test_predictors_that_do_not_fit_the_data(fields, error, words, data):
    refused(qe.SyntheticControl, data, error, words, **fields)


CONTRADICTIONS = [
    ({"predictors": {"deprived": 2013}}, "not a mapping of text to text"),
    ({"predictors": ["deprived"]}, "not a mapping of text to text"),
    ({"predictors": {"treated": ""}}, "'treated' is already the treated"),
    ({"predictors": {"year": ""}}, "'year' is already the time"),
    ({"predictors": PREDICTORS, "v": {"deprived": -1}}, "is not a number of zero or more"),
    ({"predictors": PREDICTORS, "v": {"deprived": "inf"}}, "is not a number of zero or more"),
    ({"predictors": PREDICTORS, "v": {"deprived": "much"}}, "is not a number of zero or more"),
    ({"predictors": PREDICTORS, "v": {"deprived": 0}}, "all are zero"),
    ({"v": {"deprived": 1}}, "there are no predictors that the weights could belong to"),
    ({"predictors": PREDICTORS, "v": "as given"}, "go together with v='as given'"),
    ({"predictors": PREDICTORS, "method": "demeaned"}, "uses no predictors"),
    ({"unit": "y"}, "both name the column 'y'"),
]


@pytest.mark.parametrize(("fields", "words"), CONTRADICTIONS)
def test_contradictions_in_the_design(fields, words):
    with pytest.raises(DesignError) as raised:
        stated(**fields)
    assert words in str(raised.value) and len(raised.value.problems) == 1


def test_constant_series(data):
    data = data[data["place"] < "p12"]
    treated = data.assign(y=data["y"].where(data["treated"] == 0, 60.0))
    result, checks = attempt(qe.SyntheticControl, treated)
    assert "No effect is stated" in result.headline and checks["fit before the start"].verdict == "concern"
    flat = data.assign(y=data["y"].where(data["treated"] == 1, 60.0))
    result, checks = attempt(qe.SyntheticControl, flat)
    assert "No effect is stated" in result.headline
    _, checks = attempt(qe.SyntheticDifferenceInDifferences, flat)
    assert checks["noise of treated and donors"].verdict == "concern"


@pytest.mark.parametrize("effect", [0.0, -3.0])
def test_a_perfect_fit(effect, data):
    wide = data.pivot(index="year", columns="place", values="y")
    made = (wide["p01"] + wide["p02"]) / 2 + effect * (wide.index >= START)
    frame = data.assign(y=data["y"].where(data["treated"] == 0, data["year"].map(made)))
    result, checks = attempt(qe.SyntheticControl, frame)
    assert result.estimates.loc[0, "estimate"] == pytest.approx(effect, abs=1e-9)
    assert checks["fit before the start"].verdict == "concern"
    rank = result.facts["rank among all units"]
    assert rank == (1 if effect else result.facts["units ranked"])
    assert "e-" not in result.headline, "rounding error is not an effect"


@BOTH
@pytest.mark.parametrize("before", [1, 2, 3])
def test_few_periods_before_the_start(kind, before, data):
    short = data[data["year"] >= START - before]
    if before == 1 and kind is qe.SyntheticDifferenceInDifferences:
        refused(kind, short, EstimationError, "fewer than two such changes", "difference-in-differences")
        return
    _, checks = attempt(kind, short)
    assert checks["length of the time before the start"].verdict == "concern"


@BOTH
def test_two_periods_in_all(kind, data):
    short = data[data["year"].isin([START - 1, START])]
    if kind is qe.SyntheticDifferenceInDifferences:
        refused(kind, short, EstimationError, "fewer than two such changes")
        return
    result, checks = attempt(kind, short)
    assert checks["length of the time before the start"].verdict == "concern"
    assert "no bounded 95% interval" in result.headline


@BOTH
def test_more_donors_than_periods(kind):
    _, checks = attempt(kind, places(places=45, periods=18).query("year >= 2004"))
    assert "more donors than periods" in checks["length of the time before the start"].text
    assert checks["length of the time before the start"].verdict in ("concern", "information")


@BOTH
@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"anticipation": 14}, "nothing can be fitted"),
        ({"fit_from": 2014}, "no period from 2014 lies before 2014"),
        ({"fit_from": "x"}, "fit_from: 'x' is not a whole number"),
    ],
)
def test_nothing_left_to_fit(kind, fields, words, data):
    with pytest.raises(DataError) as raised:
        qe.estimate(stated(kind, **fields), data)
    assert words in str(raised.value)


MONTHS = pd.period_range("2020-01", periods=PERIODS, freq="M")
TIMES = {
    "text": (MONTHS.astype(str), "2021-03"),
    "periods": (MONTHS, pd.Period("2021-03", "M")),
    "timestamps": (MONTHS.to_timestamp(), pd.Timestamp("2021-03-01")),
}


@BOTH
@pytest.mark.parametrize("how", TIMES)
def test_months_in_every_form(kind, how, data):
    labels, start = TIMES[how]
    data = data[data["place"] < "p08"]
    frame = data.assign(month=labels[data["year"] - 2000])
    predictors = {"deprived": "2020-01 to 2021-02", "y": "2020-06; 2021-02"}
    fields = {} if kind is qe.SyntheticDifferenceInDifferences else {"predictors": predictors}
    fields |= {"v": "inverse variance"} if fields else {}
    result = qe.estimate(stated(kind, time="month", start=start, **fields), frame)
    years = {"predictors": {"deprived": "2000 to 2013", "y": "2005; 2013"}} if fields else {}
    plain = qe.estimate(stated(kind, **fields | years), data)
    assert result.estimates.loc[0, "estimate"] == pytest.approx(plain.estimates.loc[0, "estimate"], rel=1e-12)
    assert result.facts["start"].startswith("2021-03")


@BOTH
@pytest.mark.parametrize("coded", [int, float])
def test_codes_of_units_as_numbers_and_as_text(kind, coded, data):
    frame = data.assign(place=data["place"].str[1:].astype(int).astype(coded))
    plain = qe.estimate(stated(kind, not_donors={"p01": "merged"}), data)
    for stated_as in ({"not_donors": {"1": "merged"}}, {"donors": tuple(range(2, PLACES))}):
        result = qe.estimate(stated(kind, **stated_as), frame)
        assert result.facts["donors"] == plain.facts["donors"]
        assert result.estimates.loc[0, "estimate"] == pytest.approx(plain.estimates.loc[0, "estimate"])
        assert not any(".0" in str(name) for name in result.weights["row"][: PLACES - 2])
        assert "y of 0:" in result.headline


STRANGE = [
    *("Łódź", "東京", "São Paulo", "Þórshöfn", "Αθήνα", "Москва", "a{b}", "%s", "<b>x</b>", "l'Aquila"),
    *('"q"', "x;y", "tab\tx", "ß", "ä, b", "  lead", "back\\slash", "$m$", "#1", "_under_", "*star*", "[x]"),
]


@BOTH
def test_names_in_any_script(kind, data):
    names = dict(zip(sorted(data["place"].unique()), STRANGE, strict=True))
    frame = data.assign(place=data["place"].map(names))
    result, _ = attempt(kind, frame, not_donors={"東京": "grün"})
    assert result.facts["donors"] == PLACES - 2 and "Łódź" in result.headline
    qe.plot(result, "weights").draw()


@BOTH
@pytest.mark.parametrize(("factor", "shift"), [(1e-9, 0), (1e12, 0), (-1, 0), (1, 1e6)])
def test_scales_and_levels(kind, factor, shift, data):
    plain = qe.estimate(stated(kind), data).estimates.loc[0]
    moved = qe.estimate(stated(kind), data.assign(y=data["y"] * factor + shift)).estimates.loc[0]
    assert moved["estimate"] / factor == pytest.approx(plain["estimate"], rel=1e-6)
    assert moved["p_value"] == plain["p_value"]
    ends = sorted((moved["conf_low"] / factor, moved["conf_high"] / factor))
    assert ends == pytest.approx([plain["conf_low"], plain["conf_high"]], rel=1e-5)


@BOTH
@pytest.mark.parametrize(
    "change",
    [
        lambda f: f.assign(treated=f["treated"].astype(bool)),
        lambda f: f.convert_dtypes(),
        lambda f: f.assign(place=f["place"].astype("category")),
        lambda f: f.sample(frac=1, random_state=3),
        lambda f: f.set_index(np.repeat("same", len(f))),
    ],
    ids=["bool", "nullable", "category", "shuffled", "index"],
)
def test_the_form_of_the_table_does_not_matter(kind, change, data):
    plain = qe.estimate(stated(kind), data).estimates
    changed = qe.estimate(stated(kind), change(data)).estimates
    pd.testing.assert_frame_equal(changed, plain, rtol=1e-9)


def test_events_in_all_use_the_people_behind_the_rate(data):
    result = qe.estimate(stated(population="people", per=1000), data)
    late = result.estimates[result.estimates["term"] == "effect in period"]["estimate"]
    assert result.estimates.loc[1, "term"] == "events in all"
    assert result.estimates.loc[1, "estimate"] == pytest.approx(late.sum() * 1000 / 1000)


def test_without_donor_columns_nothing_is_lost(data):
    """Empty cells of columns that the design does not use drop nobody."""
    frame = data.assign(words=np.nan, people=np.nan, age=np.nan)
    assert qe.estimate(stated(), frame).facts["donors"] == PLACES - 1
    design = stated(population="people")
    with pytest.raises(DataError, match="'people' is empty"):
        qe.estimate(replace(design, missing="refuse"), frame)
