"""Nested predictor weights on the data of Synth and tidysynth, beside what R and Python packages reach."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from qieval.numerics.predictor_weights import AllUnits, NestedFit, all_units, nested
from qieval.numerics.simplex import least_objective_in_exact_fit

SHARED = Path(__file__).resolve().parents[3] / "shared"
SAME_LOSS = 1e-6
WEIGHT = 1e-4
"""What the issue asks for; the reference file says 1e-3."""

pytestmark = pytest.mark.skipif(
    not (SHARED / "reference" / "scits.json").is_file(),
    reason="the shared reference numbers are not beside the repository",
)


@dataclass(frozen=True, eq=False)
class Study:
    """Predictors (k, n) by name, outcomes (t, n) by period and unit, rows of the fit, who is treated."""

    predictors: pd.DataFrame
    outcomes: pd.DataFrame
    fitted: np.ndarray
    treated: str

    def position(self) -> int:
        return list(self.outcomes.columns).index(self.treated)

    def fit(self, seed: int) -> NestedFit:
        x, y = self.predictors.to_numpy(), self.outcomes.to_numpy()[self.fitted]
        at = self.position()
        return nested(x[:, at], np.delete(x, at, axis=1), y[:, at], np.delete(y, at, axis=1), seed=seed)

    def units(self, treated: int | None) -> AllUnits:
        return all_units(
            self.predictors.to_numpy(), self.outcomes.to_numpy(), self.fitted, seed=1, treated=treated
        )

    def weights(self, fit: NestedFit) -> pd.Series:
        return pd.Series(fit.weights, index=self.outcomes.columns.drop(self.treated))

    def gaps(self, fit: NestedFit) -> pd.Series:
        weights = self.weights(fit)
        return self.outcomes[self.treated] - self.outcomes[weights.index] @ weights


@pytest.fixture(scope="module")
def reference():
    held = json.loads((SHARED / "reference" / "scits.json").read_text(encoding="utf-8"))
    return {case["id"]: case["values"] for case in held["cases"]}


def means(frame: pd.DataFrame, unit: str, column: str, years) -> pd.Series:
    return frame[frame["year"].isin(list(years))].groupby(unit)[column].mean()


def study(frame: pd.DataFrame, unit: str, outcome: str, made: dict, fit: range, treated: str) -> Study:
    outcomes = frame.pivot(index="year", columns=unit, values=outcome)
    predictors = pd.DataFrame(made).T[outcomes.columns]
    return Study(predictors, outcomes, np.flatnonzero(outcomes.index.isin(list(fit))), treated)


@pytest.fixture(scope="module")
def smoking() -> Study:
    frame = pd.read_csv(SHARED / "data" / "scits_prop99_smoking.csv")
    made = {
        name: means(frame, "state", name, range(1980, 1989)) for name in ("lnincome", "age15to24", "retprice")
    }
    made["beer"] = means(frame, "state", "beer", range(1984, 1989))
    made |= {f"cigsale_{year}": means(frame, "state", "cigsale", [year]) for year in (1975, 1980, 1988)}
    return study(frame, "state", "cigsale", made, range(1970, 1989), "California")


@pytest.fixture(scope="module")
def basque() -> Study:
    frame = pd.read_csv(SHARED / "data" / "scits_basque.csv").query("regionno != 1").copy()
    frame["school.high"] += frame["school.post.high"]
    schools = ["school.illit", "school.prim", "school.med", "school.high"]
    years = pd.DataFrame({name: means(frame, "regionname", name, range(1964, 1970)) for name in schools})
    made = {name: 100 * years[name] / years.sum(axis=1) for name in schools}
    made["invest"] = means(frame, "regionname", "invest", range(1964, 1970))
    made["gdpcap"] = means(frame, "regionname", "gdpcap", range(1960, 1970))
    sectors = [name for name in frame if name.startswith("sec.")]
    made |= {name: means(frame, "regionname", name, range(1961, 1970, 2)) for name in sectors}
    made["popdens"] = means(frame, "regionname", "popdens", [1969])
    return study(frame, "regionname", "gdpcap", made, range(1960, 1970), "Basque Country (Pais Vasco)")


@pytest.fixture(scope="module")
def states(smoking) -> AllUnits:
    """All 39 units; California is in no other's pool, as in the references."""
    return smoking.units(smoking.position())


@pytest.fixture(scope="module")
def regions(basque) -> AllUnits:
    return basque.units(list(basque.outcomes.columns).index(basque.treated))


def numbers(values) -> list[float]:
    """All numbers in a nested dictionary."""
    if isinstance(values, dict):
        return [number for held in values.values() for number in numbers(held)]
    return [values] if isinstance(values, float) else []


@pytest.mark.parametrize("name", ["smoking", "basque"])
def test_predictors_are_those_of_the_reference(name, request, reference):
    made = request.getfixturevalue(name)
    case = {"smoking": "prop99_nested_Synth", "basque": "basque_nested_Synth"}[name]
    np.testing.assert_allclose(
        made.predictors[made.treated], list(reference[case]["X1"].values()), rtol=1e-12
    )


@pytest.mark.parametrize("seed", range(20))
def test_every_seed_reaches_the_lowest_loss(seed, smoking, basque, reference):
    for made, case in ((smoking, "prop99_nested_MSCMT"), (basque, "basque_nested_MSCMT")):
        found = made.fit(seed)
        lowest = reference[case]["loss_v"]
        assert found.loss_v <= lowest * (1 + SAME_LOSS)
        assert found.complete and found.lower_bound >= lowest * (1 - SAME_LOSS)
        assert found.gap <= 1e-8 and found.identified and found.converged


@pytest.mark.parametrize(
    ("name", "case"), [("smoking", "prop99_nested_MSCMT"), ("basque", "basque_nested_MSCMT")]
)
def test_weights_and_gaps_of_mscmt(name, case, request, reference):
    made = request.getfixturevalue(name)
    found, expected = made.fit(1), reference[case]
    wanted = pd.Series(expected["w"]).reindex(made.outcomes.columns.drop(made.treated), fill_value=0.0)
    np.testing.assert_allclose(made.weights(found), wanted, atol=WEIGHT)
    np.testing.assert_allclose(made.gaps(found), list(expected["gaps"].values()), atol=2e-3)
    np.testing.assert_allclose(np.sqrt(found.loss_v), expected["rmspe"], rtol=SAME_LOSS)


def test_balance_of_mscmt(smoking, reference):
    weights = smoking.weights(smoking.fit(1))
    table = pd.DataFrame(reference["prop99_nested_MSCMT"]["balance"]).T
    donors = smoking.predictors[weights.index]
    np.testing.assert_allclose(smoking.predictors["California"], table["treated"], rtol=1e-12)
    np.testing.assert_allclose(donors @ weights, table["synthetic"], rtol=1e-5)
    np.testing.assert_allclose(donors.mean(axis=1), table["donor_mean"], rtol=1e-12)


def test_v_of_mscmt_lies_within_the_range_of_equal_v(smoking, reference):
    found = smoking.fit(1)
    theirs = np.array(list(reference["prop99_nested_MSCMT"]["v"]["min.loss.w"].values()))
    assert (found.v_low <= theirs * 1.001).all()
    assert (theirs <= found.v_high * 1.001).all()
    assert (found.v_high > 1.2 * found.v_low).sum() >= 4


def test_historic_synth_is_above(smoking, basque, reference):
    assert smoking.fit(1).loss_v < reference["prop99_nested_Synth"]["loss_v"]
    historic = reference["basque_nested_Synth"]
    assert basque.fit(1).loss_v < min(historic["Synth_BFGS"]["loss_v"], historic["Synth_default_loss_v"])


def test_no_peer_is_below(smoking, basque, reference):
    """Lower numbers in the list are other problems: outcomes only, all lags as predictors, or corner v."""
    peers = dict(reference["prop99_peer_losses"])
    corner, outcomes, regional = (
        peers.pop(key) for key in ("mlsynth_malo_corner", "outcome_only_lower_bound", "basque")
    )
    others = peers.pop("diff_diff_3_13_0")
    found, region = smoking.fit(1), basque.fit(1)
    same = [loss for name, loss in others.items() if name.startswith("prop99 nested")]
    assert found.loss_v <= min(numbers(peers) + same) * (1 + SAME_LOSS)
    same = [loss for name, loss in others.items() if name.startswith("basque nested")]
    assert region.loss_v <= min(numbers(regional) + same) * (1 + SAME_LOSS)
    np.testing.assert_allclose(found.outcome_bound, outcomes, rtol=1e-9)
    assert outcomes < corner < found.lower_bound


def test_corner_v_is_another_problem(smoking, reference):
    """One predictor matched exactly and the rest left to the outcome: below what any positive v reaches."""
    x, y = smoking.predictors.to_numpy(), smoking.outcomes.to_numpy()[smoking.fitted]
    at, losses = smoking.position(), []
    for row in x:
        pool = np.delete(row, at)[None]
        found = least_objective_in_exact_fit(row[[at]], pool, y[:, at], np.delete(y, at, axis=1))
        losses.append(found.objective / len(y))
    peers = reference["prop99_peer_losses"]
    np.testing.assert_allclose(min(losses), 2.744089, atol=1e-6)
    assert peers["outcome_only_lower_bound"] < min(losses) < peers["mlsynth_malo_corner"]
    assert peers["mlsynth_malo_corner"] < smoking.fit(1).lower_bound


def test_placebo_states(states, smoking, reference):
    """At or below MSCMT for every state that predictors identify; ratios where the losses agree."""
    expected = reference["prop99_nested_MSCMT"]
    names = list(smoking.outcomes.columns)
    hull = expected["placebo_units_inside_predictor_hull"]
    assert {name for name, known in zip(names, states.identified, strict=True) if not known} == set(hull)
    assert states.complete.all() and (states.gap <= 1e-8).all()
    ratios = states.mspe(slice(19, 31)) / states.loss_v
    agreed = 0
    for i, name in enumerate(names):
        theirs = expected["placebo_loss_v"][name]
        if name in hull:
            least = hull[name]["min_loss_v_given_exact_predictor_match"]
            np.testing.assert_allclose(states.loss_v[i], least, rtol=1e-6)
            continue
        assert states.loss_v[i] <= theirs * (1 + SAME_LOSS), name
        if states.loss_v[i] > theirs * (1 - SAME_LOSS):
            agreed += 1
            np.testing.assert_allclose(ratios[i], expected["mspe_ratio"][name], rtol=2e-3, err_msg=name)
    assert agreed >= 29
    position = smoking.position()
    assert np.sum(ratios >= ratios[position]) == 1
    np.testing.assert_allclose(1 / len(names), expected["p_value_two_sided_ratio"])


def test_placebo_regions(regions, basque, reference):
    """As in MSCMT the treated region is in nobody's pool; no region has a higher loss than MSCMT's."""
    expected = reference["basque_nested_MSCMT"]["placebo_loss_v"]
    assert regions.complete.all() and regions.identified.all() and (regions.gap <= 1e-8).all()
    stated = np.array([expected[name] for name in basque.outcomes.columns])
    assert (regions.loss_v <= stated * (1 + SAME_LOSS)).all()
    assert (regions.loss_v < stated * (1 - 0.01)).sum() >= 5
