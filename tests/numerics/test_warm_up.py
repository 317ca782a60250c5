"""The compiled loops: each of them is run once when the environment is made."""

from qieval.numerics import warm_up


def test_every_loop_runs_on_a_few_rows():
    warm_up.warm_up()
