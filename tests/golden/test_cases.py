"""Walks tests/golden/<method>/<case>/: design.json and its data must give the numbers of expected.json.

A new case needs no Python: design.json is `design.to_dict()`, data is "example:<name>" or a file beside it.
"""

import json
from pathlib import Path

import numpy as np
import pytest

import qieval as qe
from qieval.catalogue import method_named

CASES = sorted(path.parent for path in Path(__file__).parent.glob("*/*/design.json"))
COMPARED = ("estimate", "std_error", "conf_low", "conf_high", "p_value")


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: f"{folder.parent.name}/{folder.name}")
def test_case(folder):
    stated = json.loads((folder / "design.json").read_text(encoding="utf-8"))
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    source = expected["data"]
    data = (
        qe.example(source.removeprefix("example:"))
        if source.startswith("example:")
        else qe.read(folder / source)
    )
    result = qe.estimate(method_named(stated["design"]).design.from_dict(stated), data)
    at = result.estimates["at"].astype(object).where(result.estimates["at"].notna(), None)
    found = {position: row for position, (_, row) in zip(at, result.estimates.iterrows(), strict=True)}
    for wanted in expected["estimates"]:
        for name in COMPARED:
            np.testing.assert_allclose(
                found[wanted["at"]][name], wanted[name], rtol=expected["tolerance"], atol=1e-14, err_msg=name
            )
    assert (folder / expected["script"]).is_file()


def test_there_are_cases():
    assert CASES
