from dataclasses import replace

import numpy as np
import pytest

from qieval.numerics.imputation import ImputationRows, averages, by_cell, impute, overall
from qieval.numerics.two_stage import by_event_time, two_stage

TIMES = np.array([1, 2, 3, 5, 6])


def random_rows(seed, k=0, weighted=False, n_units=30):
    rng = np.random.default_rng(seed)
    unit, time = (one.ravel() for one in np.indices((n_units, TIMES.size)))
    held = rng.permutation(np.flatnonzero(rng.random(unit.size) > 0.15))
    unit, time = unit[held], time[held]
    first = rng.choice([2.0, 3.0, 6.0, 9.0, np.inf], n_units)[unit]
    y = rng.standard_normal(n_units)[unit] + time + rng.standard_normal(unit.size) + (TIMES[time] >= first)
    x = rng.standard_normal((unit.size, k)) if k else None
    return ImputationRows(unit, time, TIMES, first, y, x, rng.uniform(1, 3, unit.size) if weighted else None)


def joint_moments(rows, second, clusters):
    """Both stages as one system of moments: bread and meat of the stacked parameters, dense."""
    first = [np.eye(rows.n_units)[rows.unit], np.eye(len(rows.times))[rows.time]]
    x1 = np.column_stack(first if rows.x is None else [*first, rows.x])
    untreated = rows.when < rows.first
    w = np.ones(len(x1)) if rows.weights is None else rows.weights
    x10 = x1 * untreated[:, None]
    bread1 = np.linalg.pinv(x10.T @ (x10 * w[:, None]), rcond=1e-11, hermitian=True)
    residual = rows.y - x1 @ (bread1 @ (x10.T @ (w * rows.y)))
    bread2 = np.linalg.inv(second.T @ (second * w[:, None]))
    beta = bread2 @ (second.T @ (w * residual))
    moments1 = x10 * (w * residual)[:, None]
    moments2 = second * (w * (residual - second @ beta))[:, None]
    linked = second.T @ (x1 * w[:, None])
    influence = (moments2 - moments1 @ bread1 @ linked.T) @ bread2
    total = np.zeros((clusters.max() + 1, second.shape[1]))
    np.add.at(total, clusters, influence)
    return beta, total


@pytest.mark.parametrize("clustering", ["units", "nested", "crossing"])
@pytest.mark.parametrize("case", [{"seed": 1}, {"seed": 2, "weighted": True}, {"seed": 3, "k": 2}])
def test_against_stacked_moments(case, clustering):
    rows = random_rows(**case)
    made = impute(rows)
    kept = made.missing == 0
    rows = replace(
        rows,
        **{
            name: getattr(rows, name)[kept]
            for name in ("unit", "time", "first", "y", "x", "weights")
            if getattr(rows, name) is not None
        },
    )
    clusters = {
        "units": rows.unit,
        "nested": rows.unit // 4,
        "crossing": np.random.default_rng(0).integers(0, 8, rows.unit.size),
    }[clustering]
    made = impute(rows)
    for groups in (overall(rows), by_event_time(rows)):
        second = np.column_stack([groups.code == j for j in range(groups.n_groups)]).astype(float)
        beta, scores = joint_moments(rows, second, clusters)
        found = two_stage(made, groups, clusters)
        np.testing.assert_allclose(found.estimate, beta, atol=1e-11)
        np.testing.assert_allclose(found.scores, scores, atol=1e-11)
        assert not any(found.reason) and (found.n_rows == second.sum(axis=0)).all()


def test_event_times_reach_before_the_start():
    rows = random_rows(1)
    groups = by_event_time(rows)
    for j, since in enumerate(groups.label):
        np.testing.assert_array_equal(groups.code == j, rows.when - rows.first == since)
    assert groups.label[0] == -8 and (groups.code[np.isinf(rows.first)] == -1).all()


def test_the_same_estimates_and_errors_as_imputation_where_a_group_is_one_cell():
    rows = random_rows(3, k=1)
    made = impute(rows)
    one, two = averages(made, by_cell(rows)), two_stage(made, by_cell(rows))
    np.testing.assert_array_equal(one.estimate, two.estimate)
    np.testing.assert_allclose(one.scores, two.scores, atol=1e-13)


def test_rows_that_cannot_be_imputed_are_left_out_and_counted():
    rows = random_rows(1)
    rows = replace(rows, first=np.where(rows.unit < 4, 1.0, rows.first))
    found = two_stage(impute(rows), overall(rows))
    known = np.unique(rows.unit[rows.when < rows.first])
    assert found.left_out[0, 1] == np.count_nonzero(~np.isin(rows.unit, known)) > 0
    treated = np.count_nonzero(rows.when >= rows.first)
    assert found.n_rows[0] == treated - found.left_out[0].sum()
