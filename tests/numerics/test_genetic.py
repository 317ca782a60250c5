from dataclasses import replace

import numpy as np
import pytest

from qieval.numerics.balance_loss import Evaluator, better, ranking
from qieval.numerics.genetic import Task, search
from qieval.numerics.paired_balance import balance_after
from qieval.numerics.tied_matches import Matches, tied_matches


def task(n=150, seed=8, **options):
    rng = np.random.default_rng(seed)
    x = np.column_stack(
        [np.round(rng.standard_normal((n, 2)), 1), rng.integers(0, 4, n), rng.random(n) < 0.5]
    )
    focal = rng.random(n) < 1 / (1 + np.exp(1.2 - x @ [0.5, -0.4, 0.2, 0.3]))
    if options.pop("stratified", False):
        options["strata"] = rng.integers(0, 2, n)
    return Task(x=x, focal=focal, balance=np.column_stack([x, x[:, 0] * x[:, 1]]), **options)


def rule_of(given, weights):
    return replace(given.rule, weight=weights)


def weighted_ks(values, pairs, focal):
    """Largest distance of the weighted distribution functions, value by value."""
    own = np.isin(np.arange(values.size), pairs.focal)
    used = np.bincount(pairs.pool, pairs.weight, values.size)
    return max(
        abs(own[values <= v].sum() / own.sum() - used[values <= v].sum() / used.sum())
        for v in np.unique(values)
    )


OPTIONS = [
    {},
    {"ratio": 2},
    {"ties": "first"},
    {"replace": False},
    {"replace": False, "ratio": 2, "caliper": np.full(4, 2.0)},
    {"caliper": np.array([0.5, np.inf, np.inf, np.inf])},
    {"stratified": True},
    {"n": 900},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_loss_is_that_of_the_pairs(options):
    given = task(**options)
    evaluator, weights = Evaluator(given), np.random.default_rng(1).lognormal(0, 2, (5, 4))
    losses, summary = evaluator.losses(weights), evaluator.summaries(weights)
    for c, w in enumerate(weights):
        pairs, alone = evaluator.matches(w), tied_matches(given.x, given.focal, rule_of(given, w))
        assert pairs.pool.tolist() == alone.pool.tolist() and pairs.weight == pytest.approx(alone.weight)
        assert -losses[c] == pytest.approx(balance_after(given.balance, pairs).sorted_p(), abs=1e-12)
        sd = given.balance[given.focal].std(axis=0, ddof=1)
        difference = (
            pairs.weight @ (given.balance[pairs.focal] - given.balance[pairs.pool]) / pairs.weight.sum()
        )
        assert summary.smd[c] == pytest.approx(difference / sd, abs=1e-12)
        assert (summary.people[c], summary.rows[c]) == (np.unique(pairs.focal).size, pairs.pool.size)


def test_other_losses():
    given, weights = task(), np.array([[1.0, 2.0, 3.0, 4.0]])
    pairs = tied_matches(given.x, given.focal, rule_of(given, weights[0]))
    smd = np.abs(Evaluator(given).summaries(weights).smd[0])
    ks = max(weighted_ks(column, pairs, given.focal) for column in given.balance.T)
    expected = {
        "max smd": smd.max(),
        "mean smd": smd.mean(),
        "max ks": ks,
        "mixture": (smd.max() + smd.mean() + ks) / 3,
    }
    for loss, value in expected.items():
        assert Evaluator(replace(given, loss=loss)).losses(weights) == pytest.approx(np.array([[value]]))
    own = replace(given, loss=lambda found: float(found.smd[0] ** 2 + found.people))
    difference = Evaluator(given).summaries(weights).smd[0, 0]
    assert Evaluator(own).losses(weights)[0, 0] == pytest.approx(difference**2 + given.focal.sum())
    ks_of_one = Evaluator(replace(given, loss=lambda found: found.ks[0])).losses(weights)[0, 0]
    assert ks_of_one == pytest.approx(weighted_ks(given.balance[:, 0], pairs, given.focal))


def test_nobody_matched_is_the_worst():
    given = task()
    given = replace(given, strata=given.focal.astype(int))
    assert np.isinf(Evaluator(given).losses(np.ones((1, 4)))).all()


def test_how_the_pool_is_cut_changes_nothing():
    given = task(n=4000)
    evaluator, weights = Evaluator(given), np.random.default_rng(2).lognormal(0, 2, (4, 4))
    before = evaluator.losses(weights)
    evaluator.guide(np.array([1e-3, 500.0, 1.0, 2.0]))
    assert evaluator.losses(weights).tolist() == before.tolist()


@pytest.mark.parametrize("loss", ["p-values", "max smd"])
def test_search_improves_and_returns_what_it_says(loss):
    given = task(loss=loss)
    found = search(given, evaluations=1500, seed=3)
    alone = tied_matches(given.x, given.focal, rule_of(given, found.weights))
    assert found.matches.pool.tolist() == alone.pool.tolist()
    pairs = Matches(found.matches.focal, found.matches.pool, found.matches.weight)
    first = Evaluator(given).losses(np.ones((1, 4)))[0]
    if loss == "p-values":
        assert found.loss == pytest.approx(balance_after(given.balance, pairs).sorted_p(), abs=1e-12)
        assert found.loss[0] > -first[0] and (np.diff(found.trace[:, 1]) >= 0).all()
    else:
        sd = given.balance[given.focal].std(axis=0, ddof=1)
        difference = (
            pairs.weight @ (given.balance[pairs.focal] - given.balance[pairs.pool]) / pairs.weight.sum()
        )
        assert found.loss == pytest.approx([np.abs(difference / sd).max()], abs=1e-12)
        assert found.loss[0] < first[0] and (np.diff(found.trace[:, 1]) <= 0).all()
    assert found.evaluations <= 1500 + 40 and found.stopped == "evaluations"
    assert sum(r.evaluations for r in found.restarts) == found.evaluations - 2
    sign = -1 if loss == "p-values" else 1
    assert not any(better(sign * r.loss, sign * found.loss) for r in found.restarts)
    again = Evaluator(given).losses(np.array([r.weights for r in found.restarts]))
    assert again == pytest.approx(sign * np.array([r.loss for r in found.restarts]), abs=1e-12)


def test_same_seed_same_answer_on_one_and_two_threads():
    one, two = (search(task(n=300), evaluations=600, seed=5, threads=t) for t in (1, 2))
    assert one.weights.tolist() == two.weights.tolist() and one.loss.tolist() == two.loss.tolist()
    assert [r.loss.tolist() for r in one.restarts] == [r.loss.tolist() for r in two.restarts]
    assert search(task(n=300), evaluations=600, seed=6).weights.tolist() != one.weights.tolist()


def test_restarts_share_the_evaluations():
    found = search(task(), evaluations=1200, restarts=3, seed=1)
    assert len(found.restarts) == 3 and all(360 <= r.evaluations <= 440 for r in found.restarts)


def test_own_start_is_tried_first():
    given = task()
    good = search(given, evaluations=2000, seed=1)
    found = search(replace(given, start=good.weights), evaluations=40, seed=2)
    assert not better(-good.loss, -found.loss)


def test_interruption_keeps_the_best():
    calls = []

    def loss(found):
        calls.append(1)
        if len(calls) > 200:
            raise KeyboardInterrupt
        return float(np.abs(found.smd).max())

    found = search(task(loss=loss), evaluations=10_000, seed=1)
    assert found.stopped == "interrupted" and np.isfinite(found.loss).all() and len(calls) < 230


def test_units_change_nothing():
    given = task()
    scaled = replace(given, x=given.x * [1e-4, 1e5, 3.0, 1.0], balance=given.balance * 1e3)
    one, other = (search(t, evaluations=400, seed=1) for t in (given, scaled))
    assert other.weights == pytest.approx(one.weights) and other.loss == pytest.approx(one.loss, abs=1e-9)


def test_one_covariate():
    given = replace(task(), balance=None, x=task().x[:, :1])
    found = search(given, evaluations=80, seed=1)
    assert found.weights.tolist() == [1.0] and found.matches.pool.size


def test_ranking_ignores_rounding():
    assert ranking(np.array([[0.3 + 1e-15, 2.0], [0.3, 1.0]])).tolist() == [1, 0]
    assert not better(np.array([0.5]), np.array([0.5 + 1e-14]))


def test_rules_of_a_task():
    assert Task(x=np.ones((2, 1)), focal=np.array([True, False]), replace=False).rule.ties == "first"
    assert task(ratio=2).rule.ratio == 2 and task(ratio=2).rule.ties == "all"
