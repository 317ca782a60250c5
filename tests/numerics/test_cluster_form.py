import numpy as np
import pytest

from qieval.numerics.absorb import partial_out, two_way, within
from qieval.numerics.cluster_form import cluster_form


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("by", ["unit", "cluster", "crossing", "time"])
@pytest.mark.parametrize("grouped", [False, True])
def test_form_equals_products_of_residualised_cluster_columns(random_panel, weighted, by, grouped):
    data = random_panel(1, units=12)
    w = data["weights"] if weighted else None
    unit = data["unit"] % 2 if grouped else data["unit"]
    base = within(two_way(unit, data["time"], w), data["y"], data["x"])
    pieces = (data[by][:, None] == np.arange(data[by].max() + 1)).astype(float)
    a, b = data["after"], data["y"]
    left, right = pieces * a[:, None], partial_out(base, pieces * b[:, None])
    expected = (left * (np.ones(a.size) if w is None else w)[:, None]).T @ right
    form = cluster_form(base, data[by], pieces.shape[1], a, b)
    np.testing.assert_allclose(form.dense(), expected, atol=1e-9)
    v = np.random.default_rng(0).standard_normal((5, pieces.shape[1]))
    np.testing.assert_allclose(form.times(v), v @ expected.T, atol=1e-9)
