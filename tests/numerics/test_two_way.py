import numpy as np
import pytest

from qieval.numerics.two_way import BLOCK, cross_products, row_blocks, table, two_way


def test_singletons_are_peeled_off_until_none_is_left():
    # Unit 3 has one row; without it period 9 has one row; without that unit 2 has one row.
    unit = np.array([0, 0, 1, 1, 2, 2, 3])
    time = np.array([0, 1, 0, 1, 1, 9, 9])
    rows = two_way(unit, time)
    assert rows.used.tolist() == [True] * 4 + [False] * 3
    assert (rows.n_units, rows.n_times, rows.n_singletons, rows.n_zero_weights) == (2, 2, 3, 0)
    assert (rows.n_units_before, rows.n_times_before) == (4, 3)
    assert rows.balanced


def test_rows_of_zero_weight_are_left_out_before_singletons():
    rows = two_way(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), np.array([1.0, 2.0, 0.0, 1.0]))
    assert rows.used.tolist() == [False, False, False, False]
    assert (rows.n_zero_weights, rows.n_singletons) == (1, 3)


def test_inputs_stay_as_they_are(random_panel):
    data = random_panel(0)
    copies = {name: column.copy() for name, column in data.items()}
    rows = two_way(data["unit"], data["time"], data["weights"])
    column = rows.take(data["y"])
    rows.residualise(column[None, :])
    for name, column in copies.items():
        np.testing.assert_array_equal(data[name], column)


@pytest.mark.parametrize("weighted", [False, True])
def test_residualised_columns_are_orthogonal_to_every_effect(random_panel, weighted):
    data = random_panel(1)
    rows = two_way(data["unit"], data["time"], data["weights"] if weighted else None)
    column = rows.take(data["y"]) * 1e3 + 1e6
    rows.residualise(column[None, :])
    assert np.abs(rows.unit_sums(column)).max() < 1e-6
    assert np.abs(rows.time_sums(column)).max() < 1e-6


def test_balanced_shortcut_equals_the_general_path(random_panel):
    data = random_panel(2, missing=0.0)
    order = np.lexsort((data["time"], data["unit"]))
    sorted_rows = two_way(data["unit"][order], data["time"][order])
    shuffled = two_way(data["unit"], data["time"])
    assert sorted_rows.balanced and not shuffled.balanced
    one, other = data["y"][order], data["y"].copy()
    sorted_rows.residualise(one[None, :])
    shuffled.residualise(other[None, :])
    np.testing.assert_allclose(one, other[order], rtol=0, atol=1e-12)
    np.testing.assert_allclose(sorted_rows.cells.toarray(), 1.0)


def test_disconnected_panel_gets_a_reference_period_in_each_part():
    unit = np.array([0, 0, 1, 1, 2, 2, 3, 3])
    time = np.array([0, 1, 0, 1, 2, 3, 2, 3])
    rows = two_way(unit, time)
    column = np.array([1.0, 2, 4, 7, 1, 5, 3, 3])
    rows.residualise(column[None, :])
    assert rows.time_solver.n_components == 2
    np.testing.assert_allclose(column, [0.5, -0.5, -0.5, 0.5, -1, 1, 1, -1])


def test_cross_products_agree_in_every_storage():
    rng = np.random.default_rng(0)
    for density in (0.005, 0.5):
        n = 3000
        pick = rng.random((n, 40)) < density
        tables = []
        for part in (pick[:, :15], pick[:, 15:]):
            where = np.nonzero(part)
            tables.append(table(where, part.shape, rng.standard_normal(where[0].size)))
        scale = rng.uniform(0.5, 2, n)
        whole = np.hstack([part.toarray() for part in tables])
        expected = whole.T @ (whole[:, 15:] * scale[:, None])
        np.testing.assert_allclose(cross_products(tables, tables[1:], scale), expected, atol=1e-10)


def test_blocks_cover_every_row_once():
    blocks = list(row_blocks(1000, BLOCK // 300))
    assert np.concatenate([np.arange(1000)[block] for block in blocks]).tolist() == list(range(1000))
    assert len(blocks) == 4
