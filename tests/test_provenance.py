"""Fingerprints, records and locked protocols."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import qieval as qe
from qieval.provenance import fingerprint, versions

DESIGN = qe.DifferenceInDifferences(
    outcome="y",
    unit="unit",
    time="time",
    treated="treated",
    start="2022-04",
    arguments={"no spillover": "far apart"},
)


def test_protocol_survives_its_file(tmp_path):
    protocol = qe.lock(DESIGN)
    path = protocol.save(tmp_path / "protocol.json")
    assert qe.Protocol.load(path) == protocol
    assert protocol.changes(DESIGN) == ()
    assert "numpy" in json.loads(path.read_text(encoding="utf-8"))["versions"]


def test_protocol_is_never_overwritten(tmp_path):
    path = qe.lock(DESIGN).save(tmp_path / "protocol.json")
    with pytest.raises(qe.DataError, match="is not overwritten"):
        qe.lock(DESIGN).save(path)


def test_a_protocol_changed_by_hand_is_refused(tmp_path):
    path = qe.lock(DESIGN).save(tmp_path / "protocol.json")
    path.write_text(path.read_text(encoding="utf-8").replace("2022-04", "2022-05", 1), encoding="utf-8")
    with pytest.raises(qe.DesignError, match="changed after it was locked"):
        qe.Protocol.load(path)


@pytest.mark.parametrize("content", ["", "[]", '{"design": {}}', "no json"])
def test_other_files_are_no_protocols(tmp_path, content):
    path = tmp_path / "other.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(qe.DesignError, match="not a protocol"):
        qe.Protocol.load(path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(qe.DataError, match=r"no file 'gone\.json'"):
        qe.Protocol.load(tmp_path / "gone.json")


@pytest.mark.parametrize(
    "change",
    [{"level": 0.9}, {"seed": 1}, {"covariates": ("a",)}, {"events": {"2022-05": "x"}}, {"question": "Why?"}],
    ids=lambda change: next(iter(change)),
)
def test_the_hash_covers_every_field(change):
    changed = replace(DESIGN, **change)
    assert qe.lock(changed).sha256 != qe.lock(DESIGN).sha256
    assert [field for field, _, _ in qe.lock(DESIGN).changes(changed)] == list(change)


def test_fingerprint_notices_any_changed_value_and_only_used_columns():
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": list("xyz"), "c": [0, 0, 0]})
    base = fingerprint(frame, ["a", "b"])
    assert fingerprint(frame.assign(c=9), ["a", "b"]) == base
    assert fingerprint(frame.assign(a=[1.0, 2.0, np.nextafter(3.0, 4.0)]), ["a", "b"]) != base
    assert fingerprint(frame.assign(b=list("xyw")), ["a", "b"]) != base
    assert fingerprint(frame.head(2), ["a", "b"]) != base


def test_versions_name_what_numbers_depend_on():
    assert {"python", "numpy", "scipy", "pandas", "qieval"} <= set(versions())


def test_record_of_an_extract_carries_source_and_attrition():
    extract = qe.example("pilot")
    design = qe.DifferenceInDifferences(
        outcome="admissions_per_1000", unit="practice", time="month", treated="pilot", start="2022-04"
    )
    record = qe.estimate(design, extract).record
    assert record.source == extract.source
    assert record.rows == len(extract.frame)
    assert record.attrition is not None
    assert record.seed == design.seed
