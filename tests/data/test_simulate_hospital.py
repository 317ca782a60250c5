"""The simulated hospital: a fair mix of donors finds the truth; the plain mean and spoilt donors mislead."""

import numpy as np
import pandas as pd
import pytest

import qieval as qe
from qieval.data import simulate_hospital
from qieval.data.simulate_hospital import MIX
from qieval.errors import DesignError


def rates(made):
    return made.frame.pivot_table(index="month", columns="hospital", values="readmissions_per_1000")


def test_the_same_seed_gives_the_same_hospitals_and_another_seed_does_not():
    first, again, other = (simulate_hospital(seed=seed) for seed in (3, 3, 4))
    pd.testing.assert_frame_equal(first.frame, again.frame)
    assert first.truth == again.truth
    assert not first.frame.equals(other.frame)


def test_the_frame_is_what_the_text_says():
    made = simulate_hospital(12, (20, 10), seed=2)
    frame, truth = made.frame, made.truth
    assert len(frame) == 13 * 30
    assert frame.groupby("hospital").size().eq(30).all()
    assert set(frame.loc[frame["programme"] == 1, "hospital"]) == {truth["treated"]}
    assert set(frame.loc[frame["similar_programme"] == 1, "hospital"]) == {truth["similar"]}
    assert len({truth["treated"], truth["similar"], truth["shocked"]}) == 3
    assert sorted(frame["month"].unique())[20] == truth["start"]
    exact = 1000 * frame["readmissions"] / frame["discharges"]
    assert np.allclose(frame["readmissions_per_1000"], exact)
    assert frame["share_over_75"].between(5, 70).all()
    assert frame.groupby("hospital")["beds"].nunique().eq(1).all()
    assert "13 hospitals x 30 months" in repr(made)
    assert "H0" not in repr(made)


def test_the_effect_and_the_shock_are_where_they_should_be():
    large = {"discharges": 1_000_000, "seed": 6}
    plain = rates(simulate_hospital(rate_ratio=1, shock=0, **large))
    made = simulate_hospital(rate_ratio=0.9, shock=25, **large)
    truth, moved = made.truth, rates(made) - plain
    start, late = truth["start"], truth["shock"]["month"]
    assert moved[truth["treated"]].loc[start:].mean() == pytest.approx(truth["att"], abs=0.2)
    assert truth["att"] == pytest.approx(-0.1 * plain[truth["treated"]].loc[start:].mean(), abs=0.2)
    assert moved[truth["shocked"]].loc[late:].mean() == pytest.approx(25, abs=0.3)
    others = moved.drop(columns=[truth["treated"], truth["shocked"], truth["similar"]])
    assert others.abs().to_numpy().mean() < 0.6
    assert moved.loc[:"2016-12"].abs().to_numpy().mean() < 0.6
    discharged = made.frame[(made.frame["programme"] == 1) & (made.frame["month"] >= start)]["discharges"]
    assert truth["avoided"] == pytest.approx(-truth["att"] * discharged.sum() / 1000, rel=0.05)


def test_the_mix_of_the_first_donors_finds_the_truth_and_the_plain_mean_does_not():
    errors, plain = [], []
    for seed in range(20):
        made = simulate_hospital(shock=0, seed=seed)
        table, truth = rates(made), made.truth
        fair = qe.SyntheticControl(
            outcome="readmissions_per_1000",
            unit="hospital",
            time="month",
            treated="programme",
            start=truth["start"],
            not_donors={truth["similar"]: "a programme of its own"},
        )
        pool = qe.tuning(fair, made.frame).try_()
        weights = pool.weights.set_index("donor")["weight"]
        gap = table[truth["treated"]] - table[weights.index] @ weights
        late = table.index >= truth["start"]
        errors.append(gap[late].mean() - truth["att"])
        centred = table[truth["treated"]] - table.drop(columns=truth["treated"]).mean(axis=1)
        plain.append(centred[late].mean() - centred[~late].mean() - truth["att"])
    spread = np.std(errors, ddof=1) / np.sqrt(len(errors))
    assert abs(np.mean(errors)) < 3 * spread + 0.5
    assert np.mean(plain) > 4
    assert sum(MIX) == pytest.approx(1)


def test_the_spoilt_donor_in_the_mix_biases_the_answer():
    """The donor whose counts rise lifts the synthetic control, so that the programme looks better."""
    with_shock, without = [], []
    for seed in range(6):
        for shock, kept in ((20.0, with_shock), (0.0, without)):
            made = simulate_hospital(shock=shock, seed=seed)
            table, truth = rates(made), made.truth
            before = table.loc[: truth["start"]].iloc[:-1]
            donors = before.drop(columns=truth["treated"])
            fit = qe.tuning(
                qe.SyntheticControl(
                    outcome="readmissions_per_1000",
                    unit="hospital",
                    time="month",
                    treated="programme",
                    start=truth["start"],
                ),
                made.frame,
            ).try_()
            weights = fit.weights.set_index("donor")["weight"].reindex(donors.columns)
            after = table.loc[truth["start"] :]
            kept.append(float((after[truth["treated"]] - after[donors.columns] @ weights).mean()))
    assert np.mean(with_shock) < np.mean(without) - 1


def test_numbers_that_make_no_study_are_refused_all_at_once():
    with pytest.raises(DesignError) as found:
        simulate_hospital(donors=2, rate_ratio=0)
    assert [item.split(":")[0] for item in found.value.problems] == ["donors", "rate_ratio"]
    with pytest.raises(DesignError, match="after: 2 lies outside 4 to 600"):
        simulate_hospital(periods=(18, 2))
