import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from qieval.covariate_balance.table import balance, score_table
from qieval.plots.distribution import distribution
from qieval.plots.love import love
from qieval.plots.mirror import equipoise, mirror


@pytest.fixture(scope="module")
def study():
    rng = np.random.default_rng(0)
    n = 300
    ill = rng.random(n) < 0.4
    frame = pd.DataFrame(
        {"ill": ill, "age": rng.normal(60, 10, n) + 4 * ill, "ward": rng.choice(["a", "b"], n)}
    )
    return frame, np.where(ill, 1.0, rng.random(n))


def drawn(plot):
    figure = plot.draw()
    texts = [text.get_text() for text in figure.findobj(plt.Text) if text.get_text()]
    plt.close(figure)
    return texts


def test_love_orders_by_the_first_sample_and_shows_all(study):
    frame, weights = study
    table = balance(frame, "ill", ["ward", "age"], weights).table
    plot = love(table)
    assert list(plot.data["label"].cat.categories)[-1] == "age"
    assert (plot.data["size"] >= 0).all() and len(plot.data) == len(table)
    said = " ".join(drawn(plot))
    assert "before" in said and "after" in said and "unmeasured" in said


def test_love_counts_what_cannot_be_drawn_and_keeps_long_names_apart(study):
    long = "a very long name of a characteristic that does not end: level "
    table = pd.DataFrame(
        {
            "characteristic": [long + "one", long + "two", "gone", "flat"],
            "sample": "before",
            "standardised_difference": [0.1, -0.3, np.inf, np.nan],
        }
    )
    plot = love(table)
    labels = list(plot.data["label"].cat.categories)
    assert len(set(labels)) == 2 and all(len(label) <= 44 for label in labels)
    assert "2 characteristics" in " ".join(drawn(plot))


def test_love_with_subgroups_has_panels(study):
    frame, weights = study
    table = balance(frame, "ill", ["age"], weights, subgroups="ward").table
    assert {"everybody", "ward: a", "ward: b"} <= set(drawn(love(table)))


def test_love_grows_with_its_rows():
    names = [f"characteristic {j}" for j in range(80)]
    table = pd.DataFrame({"characteristic": names, "sample": "before", "standardised_difference": 0.1})
    figure = love(table).draw()
    assert figure.get_size_inches()[1] > 80 * 0.2
    plt.close(figure)


def test_mirror_draws_shares_of_each_arm(study):
    frame, weights = study
    score = np.random.default_rng(1).random(len(frame))
    plot = mirror(score_table(score, frame["ill"], weights))
    for _, part in plot.data.groupby(["stage", "group"], observed=True):
        assert abs(part["share"].sum()) == pytest.approx(1)
    assert (plot.data.loc[plot.data["group"] == "comparison", "share"] <= 0).all()
    assert {"before", "after", "treated", "comparison"} <= set(drawn(plot))
    assert "after" not in drawn(mirror(score_table(score, frame["ill"])))


def test_equipoise_density_has_area_one(study):
    frame, _ = study
    plot = equipoise(score_table(np.random.default_rng(1).random(len(frame)), frame["ill"], bins=20))
    area = plot.data.groupby("group", observed=True)["density"].sum() * 0.05
    assert area.tolist() == pytest.approx([1, 1])
    assert "equipoise" in " ".join(drawn(plot))


@pytest.mark.parametrize("kind", ["ecdf", "qq"])
def test_distribution(study, kind):
    frame, weights = study
    table = balance(frame, "ill", ["age"]).distribution("age", weights)
    said = drawn(distribution(table, "age", kind))
    assert {"before", "after"} <= set(said) and any("age" in text for text in said)
