"""Pictures of synthetic controls are drawn and say what they show; their numbers are those of the result."""

import numpy as np
import pandas as pd
import pytest

import qieval as qe
from qieval.plots.evidence import evidence

START = 2013


def panel(treated: int = 1, places: int = 22, periods: int = 20) -> pd.DataFrame:
    rng = np.random.default_rng(9)
    moves = np.cumsum(rng.normal(0, 1, (periods, 2)), axis=0)
    share = rng.dirichlet([1, 1], places)
    share[:treated] = [0.5, 0.5]
    y = 40 + 2 * moves @ share.T + rng.normal(0, 0.4, (periods, places))
    y[START - 2000 :, :treated] += 5
    place, time = np.divmod(np.arange(places * periods), periods)
    return pd.DataFrame(
        {
            "place": [f"place {each}" for each in place],
            "year": 2000 + time,
            "rate": y.T.ravel(),
            "treated": (place < treated).astype(int),
            "old": share[place, 0],
        }
    )


def design(kind=qe.SyntheticControl, **fields):
    return kind(
        **{"outcome": "rate", "unit": "place", "time": "year", "treated": "treated", "start": START, **fields}
    )


@pytest.fixture(scope="module")
def classic():
    return qe.estimate(design(), panel())


@pytest.fixture(scope="module")
def ledger(classic):
    return qe.diagnose(classic, panel())


KINDS = ("paths", "gaps", "placebo gaps", "ranks", "weights")


def test_the_plots_of_a_synthetic_control(classic):
    made = qe.plots_of(classic)
    assert tuple(made) == KINDS
    for picture in made.values():
        picture.draw()


def test_the_plots_of_weighted_changes():
    result = qe.estimate(design(qe.SyntheticDifferenceInDifferences), panel())
    assert set(qe.plots_of(result)) >= {"paths", "gaps", "weights"}
    for picture in qe.plots_of(result).values():
        picture.draw()


@pytest.mark.parametrize("several", ["average", "unit by unit"])
def test_the_plots_of_several_treated_units(several):
    result = qe.estimate(design(several=several, draws=99), panel(treated=2))
    for picture in qe.plots_of(result).values():
        picture.draw()


def test_paths_show_treated_synthetic_and_mean(classic):
    picture = qe.plot(classic, "paths")
    shown = picture.layers[1]._data
    assert set(shown["which"]) == {"treated", "synthetic control", "mean of the donors"}
    treated = panel().query("place == 'place 0'")["rate"].to_numpy()
    np.testing.assert_allclose(shown[shown["which"] == "treated"]["shown"], treated)
    gap = classic.estimates.dropna(subset=["at"]).sort_values("at")["estimate"].to_numpy()
    synthetic = shown[shown["which"] == "synthetic control"]["shown"]
    np.testing.assert_allclose(treated - synthetic, gap, atol=1e-9)


def test_placebo_gaps_leave_out_poor_fits_and_say_so(classic):
    far = panel()
    far.loc[far["place"] == "place 7", "rate"] *= np.linspace(1, 9, 20)
    picture = qe.plot(qe.estimate(design(), far), "placebo gaps")
    assert "not drawn" in picture.labels.caption
    units = picture.data["unit"].nunique()
    whole = qe.plot(classic, "placebo gaps")
    assert units < 22 and whole.data["unit"].nunique() <= 22
    assert set(whole.data["which"]) == {"placebos", "treated"}


def test_ranks_are_in_order_and_mark_the_treated(classic):
    shown = qe.plot(classic, "ranks").data
    assert shown["ratio"].is_monotonic_increasing
    above = int((shown["ratio"] >= shown.loc[shown["which"] == "treated", "ratio"].iloc[0]).sum())
    assert above == classic.facts["rank among all units"]


def test_weights_are_those_of_the_result(classic):
    shown = qe.plot(classic, "weights").data
    kept = classic.weights[classic.weights["weight"] > 1e-4]
    assert sorted(shown["weight"]) == pytest.approx(sorted(kept["weight"]))


def test_a_perfect_fit_and_one_donor_can_be_drawn():
    frame = panel()
    mean = frame[frame["place"].isin(["place 1", "place 2"])].groupby("year")["rate"].mean()
    frame["rate"] = frame["rate"].where(frame["treated"] == 0, frame["year"].map(mean))
    alone = panel()[lambda each: each["place"].isin(["place 0", "place 1"])]
    for data in (frame, alone):
        for picture in qe.plots_of(qe.estimate(design(), data)).values():
            picture.draw()


def test_pictures_of_checks(ledger):
    drawn = [check.name for check in ledger if check.picture is not None]
    assert {
        "weights of the donors",
        "balance of what is shared",
        "backdating",
        "leave one donor out",
        "other ways of weighting donors",
    } <= set(drawn)
    for name in drawn:
        evidence(ledger[name]).draw()


def test_months_and_predictors_can_be_drawn():
    months = pd.period_range("2020-01", periods=20, freq="M").astype(str)
    frame = panel().assign(month=lambda each: months[each["year"] - 2000])
    stated = design(
        time="month",
        start="2021-02",
        predictors={"old": "", "rate": "2020-06; 2021-01"},
        v="inverse variance",
    )
    result = qe.estimate(stated, frame)
    for picture in qe.plots_of(result).values():
        picture.draw()
    balance = next(check for check in qe.design_checks(stated, frame) if check.picture == "shared")
    assert {"old", "rate, 2020-06", "rate, 2021-01"} == set(evidence(balance).data["what"])
