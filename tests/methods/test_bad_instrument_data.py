"""Instruments and data as they come: each case is right, or one clear error that says what to do."""

import warnings

import numpy as np
import pandas as pd
import pytest

import qieval as qe

RNG = np.random.default_rng(3)
N = 240
Z = RNG.integers(0, 2, N).astype(float)
U = RNG.normal(0, 1, N)
X = (0.9 * Z + U + RNG.normal(0, 1, N) > 0.4).astype(float)
BASE = pd.DataFrame(
    {
        "y": 1.0 + X + U + RNG.normal(0, 1, N),
        "x": X,
        "z": Z,
        "z2": RNG.normal(0, 1, N) + X,
        "age": RNG.normal(70, 5, N),
        "sex": np.where(RNG.random(N) < 0.5, "f", "m"),
        "ward": [f"ward {i % 30:02d}" for i in range(N)],
        "hospital": np.array(["north", "south", "west"])[(Z + RNG.integers(0, 2, N)).astype(int)],
    }
)
DEFAULTS = {"outcome": "y", "received": "x", "instruments": ("z",), "exclusion": "it was a lottery"}


@pytest.fixture(autouse=True)
def no_raw_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def stated(**fields):
    return qe.InstrumentalVariables(**{**DEFAULTS, **fields})


def estimated(frame=BASE, **fields):
    return qe.estimate(stated(**fields), frame)


def but(row: int, **values) -> pd.DataFrame:
    """The table with other values in one row."""
    frame = BASE.copy()
    for name, held in values.items():
        frame[name] = frame[name].astype(object)
        frame.loc[row, name] = held
        frame[name] = frame[name].infer_objects()
    return frame


CASES = {"missing": "complete cases"}
WRONG_DATA = [
    pytest.param(but(3, y=np.nan), {}, "outcome: 'y' is empty in 1 row", id="NaN outcome"),
    pytest.param(but(3, y=np.inf), {}, "outcome: 'y' holds 1 infinite value", id="Inf outcome"),
    pytest.param(but(3, z=np.inf), {}, "instruments: 'z' holds 1 infinite value", id="Inf instrument"),
    pytest.param(but(3, x=-np.inf), {}, "received: 'x' holds 1 infinite value", id="Inf received"),
    pytest.param(but(3, z=np.nan), {}, "instruments: 'z' is empty in 1 row", id="NaN instrument"),
    pytest.param(but(3, x=np.nan), {}, "received: 'x' is empty in 1 row", id="NaN received"),
    pytest.param(but(3, age=np.nan), {"covariates": ("age",)}, "covariates: 'age' is empty", id="NaN age"),
    pytest.param(BASE.assign(y=2.0), {}, "outcome: 'y' has the same value", id="constant outcome"),
    pytest.param(BASE.assign(z=1), {}, "instruments: 'z' has the same value", id="constant instrument"),
    pytest.param(BASE.assign(x=1), {}, "received: 'x' has the same value", id="constant treatment"),
    pytest.param(BASE.assign(z="a"), {}, "instruments: 'z' has the same value", id="constant text"),
    pytest.param(BASE.assign(y=BASE["y"].astype(str)), {}, "numbers stored as text", id="text outcome"),
    pytest.param(BASE.assign(x="yes"), {}, "received: 'x' must hold numbers", id="text received"),
    pytest.param(but(2, y="*"), {}, "suppressed", id="suppressed outcome"),
    pytest.param(
        but(3, ward=None), {"cluster": "ward"}, "cluster: 'ward' is empty in 1 row", id="cluster gap"
    ),
    pytest.param(BASE.assign(ward="one"), {"cluster": "ward"}, "cluster", id="one cluster"),
    pytest.param(
        BASE,
        {"cluster": "hospital", "instruments": ("ward",)},
        "are too few for an interval",
        id="few clusters",
    ),
    pytest.param(BASE.assign(w=BASE["z"]), {"covariates": ("w",)}, "same as the covariate", id="z covariate"),
    pytest.param(
        BASE.assign(w=2 * BASE["z"] + 1), {"covariates": ("w",)}, "controls explain instrument", id="z of w"
    ),
    pytest.param(
        BASE.assign(z=BASE["x"]), {}, "nothing separates the instrument", id="instrument = received"
    ),
    pytest.param(
        BASE.assign(z=3 - 2 * BASE["x"]), {}, "tell exactly who received", id="instrument tells received"
    ),
    pytest.param(
        BASE.assign(w=BASE["x"] * 2), {"covariates": ("w",)}, "controls explain it", id="covariate = received"
    ),
    pytest.param(
        BASE.assign(w=BASE["y"] * 2), {"covariates": ("w",)}, "explain the outcome", id="covariate = outcome"
    ),
    pytest.param(
        BASE.assign(z=np.arange(N).astype(str)),
        {},
        "text with 240 different values",
        id="text of many values",
    ),
    pytest.param(
        BASE.assign(z=pd.date_range("2020-01-01", periods=N)),
        {},
        "dates or durations",
        id="instrument of dates",
    ),
    pytest.param(BASE.head(0), {}, "no rows", id="empty frame"),
    pytest.param(
        pd.DataFrame({"y": [1.0, 2.0], "x": [0.0, 1.0], "z": [5.0, 7.0]}), {}, "too few rows", id="two rows"
    ),
    pytest.param(BASE.head(3), {"covariates": ("age",)}, "too few rows", id="fewer rows than columns"),
    pytest.param(BASE.assign(y=np.nan), CASES, "no row is complete", id="nothing complete"),
    pytest.param(BASE, {"outcome": "yy"}, "no column 'yy'", id="outcome column"),
    pytest.param(BASE, {"instruments": ("z3",)}, "no column 'z3'", id="instrument column"),
    pytest.param(BASE.assign(w=0.0), {"weights": "w"}, "zero or less", id="zero weights"),
    pytest.param(
        BASE.assign(z=np.tile([0.0, 1.0], N // 2), x=np.tile([0.0, 0.0, 1.0, 1.0], N // 4)),
        {},
        "no first stage",
        id="exactly unrelated",
    ),
    pytest.param(
        BASE,
        {"estimator": "residual inclusion"},
        "for risks \\(0 and 1\\), counts and rates",
        id="2SRI of amounts",
    ),
    pytest.param(
        BASE,
        {"estimator": "residual inclusion", "model": "probit"},
        "needs an outcome of 0 and 1",
        id="probit",
    ),
    pytest.param(
        BASE.assign(y=-BASE["y"].round()),
        {"estimator": "residual inclusion", "model": "Poisson"},
        "never negative",
        id="negative counts",
    ),
    pytest.param(BASE, {"exclusion": "  "}, "exclusion: the argument is missing", id="no exclusion argument"),
    pytest.param([1, 2], {}, "DataFrame", id="no frame"),
]


@pytest.mark.parametrize(("frame", "fields", "said"), WRONG_DATA)
def test_wrong_data_are_one_clear_error(frame, fields, said):
    with pytest.raises(qe.QievalError, match=said) as caught:
        estimated(frame, **fields)
    assert len(caught.value.problems) == 1


WRONG_DESIGN = [
    pytest.param({"level": 95}, "level: 95 lies outside 0.5 to 0.999", id="level 95"),
    pytest.param({"instruments": ()}, "instruments: nothing is named", id="no instrument"),
    pytest.param({"instruments": ("x",)}, "instruments: 'x' is already named under received", id="x twice"),
    pytest.param({"instruments": ("y",)}, "already named under outcome", id="outcome as instrument"),
    pytest.param({"covariates": ("z",)}, "already named under covariates", id="covariate as instrument"),
    pytest.param({"received": "y"}, "both name the column 'y'", id="received is outcome"),
    pytest.param({"subgroups": ("z",)}, "subgroups: 'z' is already named", id="instrument as subgroup"),
    pytest.param({"person_time": "age"}, "rates need estimator='residual inclusion'", id="rates by 2SLS"),
    pytest.param({"model": "logit"}, "model of residual inclusion", id="model without inclusion"),
    pytest.param({"interval": "tF", "level": 0.9}, "tabulated for 95% only", id="tF at 90%"),
    pytest.param({"interval": "tF", "instruments": ("z", "z2")}, "is for one instrument", id="tF of two"),
    pytest.param(
        {"interval": "conditional likelihood ratio", "cluster": "ward"},
        "rows as independent",
        id="CLR, clusters",
    ),
    pytest.param(
        {"variance": "unadjusted", "cluster": "ward"}, "ignores the clusters", id="ignored clusters"
    ),
    pytest.param(
        {"variance": "unadjusted", "estimator": "GMM"}, "GMM has no standard error", id="GMM, equal"
    ),
    pytest.param({"estimator": "IV"}, "estimator: 'IV' is not one of the choices", id="estimator"),
]


@pytest.mark.parametrize(("fields", "said"), WRONG_DESIGN)
def test_wrong_designs_are_one_clear_error(fields, said):
    with pytest.raises(qe.DesignError, match=said) as caught:
        stated(**fields)
    assert len(caught.value.problems) == 1


RIGHT = [
    pytest.param(but(3, y=np.nan), CASES, id="NaN outcome left out"),
    pytest.param(BASE, {"instruments": ("hospital",)}, id="text instrument of three levels"),
    pytest.param(BASE.assign(z=np.where(Z > 0, "near", "far")), {}, id="text instrument of two levels"),
    pytest.param(BASE.assign(z=Z > 0, x=X > 0), {}, id="booleans"),
    pytest.param(BASE.assign(z=pd.array(Z.astype(int), dtype="Int64")), {}, id="nullable integers"),
    pytest.param(
        BASE, {"instruments": ("z", "z2"), "estimator": "GMM", "cluster": "ward"}, id="GMM clusters"
    ),
    pytest.param(BASE.assign(w=1.0), {"covariates": ("w",)}, id="constant covariate"),
    pytest.param(BASE.assign(w=BASE["age"] * 2), {"covariates": ("age", "w")}, id="collinear covariates"),
    pytest.param(BASE.assign(z2=1 - Z), {"instruments": ("z", "z2")}, id="repeated instrument"),
    pytest.param(BASE.assign(x=X * (Z > 0)), {}, id="one-sided compliance"),
    pytest.param(BASE.assign(x=np.tile([0.0, 1.0, 1.0], N // 3)), {}, id="random uptake"),
    pytest.param(BASE.assign(y=(BASE["y"] > 1) * 1), {"estimator": "residual inclusion"}, id="risks by 2SRI"),
    pytest.param(BASE.assign(y=BASE["y"] + 1e9), {"covariates": ("age",)}, id="outcome far from zero"),
    pytest.param(BASE.assign(z2=BASE["z2"] * 1e-6 + 3), {"instruments": ("z2",)}, id="tiny instrument"),
    pytest.param(but(3, sex=None), {"subgroups": ("sex",)}, id="nobody's subgroup"),
    pytest.param(BASE, {"level": 0.9, "covariates": ("sex",)}, id="level 0.9"),
]


@pytest.mark.parametrize(("frame", "fields"), RIGHT)
def test_odd_data_are_estimated_and_checked(frame, fields):
    result = estimated(frame, **fields)
    assert np.isfinite(result.estimates["estimate"]).all()
    checks = [*qe.diagnose(result, frame), *qe.design_checks(result.design, frame)]
    assert all(check.text.endswith(".") for check in checks)
    assert not any("nan" in check.text.lower().split() for check in checks)


def test_levels_of_text_are_instruments_but_the_first():
    terms = list(estimated(instruments=("hospital",)).estimates["term"])
    assert "first stage: hospital: south" in terms and "first stage: hospital: west" in terms
    assert not any(term.endswith(": north") for term in terms)


def test_notes_say_what_was_left_out():
    assert any("1 rows were left out" in note for note in estimated(but(3, y=np.nan), **CASES).notes)
    twice = estimated(BASE.assign(z2=1 - Z), instruments=("z", "z2"))
    assert any("'z2'" in note and "left out" in note for note in twice.notes)
    collinear = estimated(BASE.assign(w=BASE["age"] * 2), covariates=("age", "w"))
    assert any("'w'" in note and "left out" in note for note in collinear.notes)
