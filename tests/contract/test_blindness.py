"""design_checks never reads an outcome after the start: poison there changes nothing."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import qieval as qe
from qieval.catalogue import CATALOGUE

_spec = importlib.util.spec_from_file_location("contract_cases", Path(__file__).with_name("cases.py"))
cases = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(cases)

POISONS = [1e300, -1e300, np.nan, np.inf, "poison", None, b"bytes"]


class Untouchable:
    """An outcome that fails as soon as anything is computed, compared, printed or converted from it."""

    def _fail(self, *_, **__):
        raise AssertionError("an outcome after the start was read")

    __float__ = __int__ = __bool__ = __str__ = __repr__ = __lt__ = __gt__ = __eq__ = __hash__ = __add__ = (
        __sub__
    ) = __index__ = _fail


def shown(checks: qe.Checks) -> list:
    return [(c.name, c.verdict, str(c.text), None if c.table is None else c.table.to_json()) for c in checks]


@pytest.fixture(params=[method.design.__name__ for method in CATALOGUE])
def case(request):
    return cases.CASES[request.param]()


@pytest.mark.parametrize("poison", POISONS, ids=repr)
def test_poisoned_outcomes_change_nothing(case, poison):
    after = case.closed
    clean = qe.design_checks(case.design, case.data)
    spoiled = cases.poisoned(case.data, after, case.outcome, poison)
    assert shown(qe.design_checks(case.design, spoiled)) == shown(clean)


def test_outcomes_after_the_start_are_not_even_touched(case):
    after = case.closed
    held = case.data[case.outcome].astype(object).to_numpy(copy=True)
    held[after] = [Untouchable() for _ in range(after.sum())]
    spoiled = case.data.drop(columns=case.outcome)
    spoiled[case.outcome] = pd.Series(held, index=spoiled.index, dtype=object)
    assert shown(qe.design_checks(case.design, spoiled)) == shown(qe.design_checks(case.design, case.data))


def test_the_poison_would_be_noticed_by_an_estimate(case):
    after = case.closed
    spoiled = cases.poisoned(case.data, after, case.outcome, "poison")
    with pytest.raises(qe.DataError, match=f"outcome: '{case.outcome}'"):
        qe.estimate(case.design, spoiled)


def test_outcomes_before_the_start_do_matter(case):
    if case.closed.all():
        pytest.skip("no outcome of this design may be looked at before the estimate")
    before = ~case.closed
    treated = case.data["treated"] == 1 if "treated" in case.data else True
    odd = np.arange(len(case.data)) % 2
    moved = case.data.assign(**{case.outcome: case.data[case.outcome] + 5.0 * (before & treated) * odd})
    assert shown(qe.design_checks(case.design, moved)) != shown(qe.design_checks(case.design, case.data))
