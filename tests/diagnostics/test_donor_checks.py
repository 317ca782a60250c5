"""Checks of methods with donors: each raises its voice in a made situation and keeps quiet in another."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import qieval as qe

BEGIN, START, PLACES, PERIODS = 2000, 2030, 24, 40
EFFECT = -6.0


def factors(seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Three common movements (T, 3), and how much of each moves a place (n, 3); p00 is in between."""
    rng = np.random.default_rng(seed)
    moves = np.cumsum(rng.normal(0.1, 1, (PERIODS, 3)), axis=0)
    share = rng.dirichlet([0.7, 0.7, 0.7], PLACES)
    share[0] = [0.4, 0.35, 0.25]
    return moves, share


def panel(y: np.ndarray, **columns: np.ndarray) -> pd.DataFrame:
    """y (T, n): the first column is the treated place; further columns (n,) are fixed."""
    periods, places = y.shape
    place, time = np.divmod(np.arange(places * periods), periods)
    return pd.DataFrame(
        {
            "place": [f"p{each:02d}" for each in place],
            "year": BEGIN + time,
            "y": y.T.ravel(),
            "treated": (place == 0).astype(int),
            **{name: np.asarray(held)[place] for name, held in columns.items()},
        }
    )


def outcomes(seed: int = 3, noise: float = 0.3, effect: float = EFFECT) -> np.ndarray:
    moves, share = factors(seed)
    rng = np.random.default_rng(seed + 100)
    y = 60 + 3 * moves @ share.T + rng.normal(0, noise, (PERIODS, PLACES))
    y[START - BEGIN :, 0] += effect
    return y


@pytest.fixture(scope="module")
def calm() -> pd.DataFrame:
    return panel(outcomes())


def design(kind=qe.SyntheticControl, **fields):
    return kind(
        **{"outcome": "y", "unit": "place", "time": "year", "treated": "treated", "start": START, **fields}
    )


def before(frame, kind=qe.SyntheticControl, **fields):
    return qe.design_checks(design(kind, **fields), frame)


def after(frame, kind=qe.SyntheticControl, **fields):
    stated = design(kind, **fields)
    return qe.diagnose(qe.estimate(stated, frame), frame)


@pytest.fixture(scope="module")
def quiet(calm):
    return after(calm)


@pytest.fixture(scope="module")
def quiet_changes(calm):
    return after(calm, qe.SyntheticDifferenceInDifferences)


def changed(frame, place, late=0.0, early=0.0):
    """A place with an amount added from the start on, or before it."""
    here = frame["place"] == place
    added = np.where(frame["year"] >= START, late, early)
    return frame.assign(y=frame["y"] + here * added)


def test_nothing_is_wrong_with_calm_data(quiet, quiet_changes):
    assert [check.name for check in quiet.concerns] == []
    assert {check.name for check in quiet_changes.concerns} <= {"periods with weight"}


def test_design_checks_agree_with_the_ledger(quiet, calm):
    for check in before(calm):
        if check.name in {other.name for other in quiet}:
            assert check.verdict == quiet[check.name].verdict, check.name


def test_fit_before_the_start(quiet, calm):
    assert quiet["fit before the start"].verdict == "supports"
    high = changed(calm, "p00", late=300, early=300)
    for found in (before(high), after(high)):
        assert found["fit before the start"].verdict == "concern"
        assert "worse than moving the plain mean" in found["fit before the start"].text
    table = quiet["fit before the start"].table.set_index("prediction")["root_mean_squared_gap"]
    assert table["synthetic control"] == table.min()


def test_within_reach_of_the_donors(calm):
    name = "within reach of the donors"
    y = outcomes(noise=0.0)
    assert before(calm)[name].verdict == "supports"
    assert before(changed(calm, "p00", late=40, early=40))[name].verdict == "concern"
    inside = y.copy()
    inside[:, 0] = y[:, 1:6].mean(axis=1)
    reached = before(panel(inside))[name]
    assert reached.verdict == "information" and "reproduce all of them exactly" in reached.text
    moved = changed(calm, "p00", late=40, early=40)
    assert before(moved, method="demeaned")[name].verdict != "concern"


def test_balance_of_what_is_shared(calm):
    name = "balance of what is shared"
    _, share = factors()
    near = panel(outcomes(), deprived=share[:, 0])
    far = panel(outcomes(), deprived=np.where(np.arange(PLACES) == 0, 9.0, share[:, 0]))
    stated = {"predictors": {"deprived": "", "y": "2010; 2029"}, "v": "inverse variance"}
    assert before(near, **stated)[name].verdict == "supports"
    assert before(far, **stated)[name].verdict != "supports"
    table = before(far, **stated)[name].table.set_index("what")
    row = table.loc["deprived"]
    assert row["treated"] == 9 and row["synthetic"] <= share[:, 0].max() + 1e-12
    assert row["difference_after"] > 0.5
    assert table["weight_of_predictor"].sum() == pytest.approx(1)


@pytest.mark.parametrize("kind", [qe.SyntheticControl, qe.SyntheticDifferenceInDifferences])
def test_length_of_the_time_before_the_start(kind, calm):
    name = "length of the time before the start"
    assert before(calm, kind)[name].verdict == "supports"
    short = before(calm[calm["year"] >= START - 5], kind)[name]
    assert short.verdict == "concern" and "short time" in short.text
    many = before(calm[calm["year"] >= START - 20], kind)[name]
    assert many.verdict != "supports" and "more donors than periods" in many.text
    assert {"periods_before", "rmse"} <= set(short.table.columns)
    rmse = before(calm, kind)[name].table.set_index("periods_before")["rmse"]
    assert rmse.iloc[0] > rmse.iloc[-1], "the error shrinks with the time before the start"


def test_donor_pool(calm):
    whole = before(calm)["donor pool"]
    assert whole.verdict == "information" and "No unit was kept out by judgement" in whole.text
    judged = before(calm, not_donors={"p05": "merged"})["donor pool"]
    assert judged.table["donors"].tolist()[:2] == [PLACES - 1, PLACES - 2]
    assert "No unit was kept out" not in judged.text
    assert before(calm, donors=("p01",))["donor pool"].verdict == "concern"


def test_weights_of_the_donors(quiet, calm):
    assert quiet["weights of the donors"].verdict == "information"
    y = outcomes()
    y[:, 7] = y[:, 0] + np.random.default_rng(1).normal(0, 0.05, PERIODS)
    alone = before(panel(y))["weights of the donors"]
    assert alone.verdict == "concern" and "comparison of two units" in alone.text
    assert alone.table.loc[0, "donor"] == "p07" and alone.table.loc[0, "weight"] > 0.9


def test_optimum_and_uniqueness_of_the_weights(quiet, calm):
    name = "optimum and uniqueness of the weights"
    assert quiet[name].verdict == "supports" and "duality gap" in quiet[name].text
    assert quiet[name].table.loc[0, "value"] <= 1e-8
    few = before(calm[calm["year"] >= START - 2])[name]
    assert few.verdict == "concern" and "too many donors for the periods" in few.text
    _, share = factors()
    frame = panel(outcomes(), deprived=share[:, 0])
    inside = before(frame, predictors={"deprived": ""})[name]
    assert inside.verdict == "concern" and "many weights share them exactly" in inside.text
    known = before(frame, predictors={"deprived": "", "y": "each"})[name]
    assert known.verdict in ("supports", "information") and "search" in known.text


def test_distance_of_the_donors_used():
    """Two places far off on either side make a mean like the treated one; the others are near but move
    differently."""
    name = "distance of the donors used"
    rng = np.random.default_rng(4)
    years = np.arange(PERIODS)
    wave = np.sin(years / 2)
    y = 50 + rng.normal(0, 0.05, (PERIODS, 10))
    y[:, 1] += 30 + wave
    y[:, 2] += -30 + wave
    y[:, 3:] += rng.normal(0, 1.0, (PERIODS, 7)) - 2 * wave[:, None]
    y[:, 0] += wave
    apart = before(panel(y))[name]
    assert apart.verdict == "concern" and "opposite sides" in apart.text
    near = y.copy()
    near[:, 1:3] -= 2 * wave[:, None]
    near[:, 3] = near[:, 0] + rng.normal(0, 0.05, PERIODS)
    assert before(panel(near))[name].verdict == "supports"


def test_placebos_in_space(quiet, calm):
    name = "placebos in space"
    assert quiet[name].verdict == "information" and f"ranks 1 of {PLACES}" in quiet[name].text
    assert quiet[name].table["units"].is_monotonic_decreasing
    few = after(calm[calm["place"] < "p09"])[name]
    assert few.verdict == "concern" and "no p-value can be below 0.111" in few.text


def test_unequal_chances(quiet, calm):
    name = "unequal chances of the intervention"
    sure = quiet[name]
    assert sure.verdict == "information" and "test rejects no effect" in sure.text
    unsure = after(panel(outcomes(effect=0.0)))[name]
    assert "does not reject" in unsure.text


def test_conformal_test_over_time(quiet):
    check = quiet["conformal test over time"]
    assert check.verdict == "information"
    row = check.table.iloc[0]
    assert row["p_value"] == pytest.approx(1 / PERIODS) and row["conf_low"] < EFFECT < row["conf_high"]
    none = after(panel(outcomes(effect=0.0)))["conformal test over time"].table.iloc[0]
    assert none["p_value"] > 0.05 and none["conf_low"] < 0 < none["conf_high"]


def test_backdating(quiet, calm):
    assert quiet["backdating"].verdict == "supports"
    assert "Nothing of that size appeared" in quiet["backdating"].text
    early = (calm["place"] == "p00") & calm["year"].between(START - 6, START - 1)
    reacted = after(calm.assign(y=calm["y"] - 6 * early))["backdating"]
    assert reacted.verdict == "concern"
    assert "A gap of that size" in reacted.text or "Already then" in reacted.text
    short = after(calm[calm["year"] >= START - 4])["backdating"]
    assert short.verdict == "information" and "no earlier date" in short.text


def test_leave_one_donor_out(quiet):
    assert quiet["leave one donor out"].verdict == "supports"
    y = outcomes(effect=0.0)
    y[:, 7] = y[:, 0] + np.random.default_rng(1).normal(0, 0.05, PERIODS)
    y[START - BEGIN :, 7] += 8
    one = after(panel(y))["leave one donor out"]
    assert one.verdict == "concern" and "leaving out one donor" in one.text
    labels = one.table["label"].tolist()
    assert labels[0] == "all donors" and "without p07" in labels


def test_donors_that_broke_away(quiet, calm):
    name = "donors that broke away"
    assert quiet[name].verdict == "supports"
    heaviest = quiet["weights of the donors"].table.loc[0, "donor"]
    shocked = after(changed(calm, heaviest, late=15.0))[name]
    assert shocked.verdict == "concern" and heaviest in shocked.text
    assert after(calm[calm["place"].isin(["p00", "p01"])])[name].verdict == "information"


def test_other_ways_of_weighting(quiet, calm):
    name = "other ways of weighting donors"
    assert quiet[name].verdict == "supports"
    labels = quiet[name].table["label"].tolist()
    assert labels == ["as designed", "demeaned", "penalised", "ridge-augmented"]
    wild = after(changed(calm, "p00", late=40, early=40))[name]
    assert wild.verdict == "concern" and "depends on the choice" in wild.text


def test_without_each_predictor(quiet):
    name = "without each predictor"
    assert quiet[name].verdict == "information"
    _, share = factors()
    frame = panel(outcomes(), deprived=share[:, 0], old=share[:, 1])
    stated = {"predictors": {"deprived": "", "old": "", "y": "2010; 2029"}, "v": "inverse variance"}
    found = after(frame, **stated)[name]
    assert found.verdict == "supports"
    assert [label for label in found.table["label"] if "old" in label] == ["without old"]
    rng = np.random.default_rng(5)
    poor = np.arange(PLACES) % 2 == 0
    y = 50 + rng.normal(0, 1, (PERIODS, PLACES))
    y[START - BEGIN :] += 20 * poor
    y[START - BEGIN :, 0] += 2
    hung = {"predictors": {"deprived": "", "y": "2010; 2020"}, "v": "inverse variance"}
    driven = after(panel(y, deprived=poor.astype(float)), **hung)[name]
    assert driven.verdict == "concern" and "depends on the choice" in driven.text


def test_parallel_before_the_start(quiet_changes, calm):
    name = "parallel before the start"
    assert quiet_changes[name].verdict == "supports"
    rising = calm.assign(y=calm["y"] + 1.5 * (calm["year"] - BEGIN) * calm["treated"])
    found = before(rising, qe.SyntheticDifferenceInDifferences)[name]
    assert found.verdict == "concern" and "more than chance would explain" in found.text


def test_noise_of_treated_and_donors(quiet_changes, calm):
    name = "noise of treated and donors"
    assert quiet_changes[name].verdict == "supports"
    noise = np.random.default_rng(8).normal(0, 15, len(calm))
    found = before(calm.assign(y=calm["y"] + noise * calm["treated"]), qe.SyntheticDifferenceInDifferences)
    assert found[name].verdict == "concern" and "too narrow" in found[name].text
    few = before(calm[calm["year"] >= START - 2], qe.SyntheticDifferenceInDifferences)[name]
    assert few.verdict == "information"


def test_special_cases_side_by_side(quiet_changes, calm):
    name = "special cases side by side"
    assert quiet_changes[name].verdict == "information"
    assert len(quiet_changes[name].table) == 3
    away = after(changed(calm, "p00", late=40, early=40), qe.SyntheticDifferenceInDifferences)[name]
    assert away.verdict == "concern" and "differ in direction" in away.text


def test_periods_with_weight():
    name = "periods with weight"
    rng = np.random.default_rng(6)
    level = rng.normal(0, 3, PLACES)
    wave = 4 * np.sin(np.arange(PERIODS) / 3)
    steady = 50 + level + rng.normal(0, 1, (PERIODS, PLACES)) + wave[:, None]
    assert after(panel(steady), qe.SyntheticDifferenceInDifferences)[name].verdict == "information"
    walk = 50 + np.cumsum(rng.normal(0, 3, (PERIODS, PLACES)), axis=0)
    found = after(panel(walk), qe.SyntheticDifferenceInDifferences)[name]
    assert found.verdict == "concern" and "about one period" in found.text


def test_checks_with_several_treated_units(calm):
    """The checks of one series say so instead of failing, and ranks come for each unit."""
    frame = calm.assign(treated=calm["place"].isin(["p00", "p01"]).astype(int))
    found = after(frame, several="unit by unit", draws=99)
    assert "there are several" in found["conformal test over time"].text
    assert "Ranks of each treated unit" in found["placebos in space"].text
    assert len(found["placebos in space"].table) == 2


def test_every_check_has_a_verdict_its_assumption_and_words(quiet, quiet_changes):
    for ledger in (quiet, quiet_changes):
        assumptions = set(ledger.ledger["assumption"])
        for check in ledger:
            assert check.verdict in ("supports", "information", "concern")
            assert check.assumption in assumptions or check.assumption == "enough data", check.name
            assert check.text.endswith(".") and "  " not in check.text
    assert replace(quiet).ledger.equals(quiet.ledger)
