"""Identifiers are counted, never shown; pseudonyms need a key."""

import hashlib
import hmac
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from qieval.data import find_identifiers, pseudonymise
from qieval.data.identifiers import is_nhs_number
from qieval.errors import DataError

KEY = b"a key of more than sixteen bytes"


def valid_by_hand(digits: str) -> bool:
    check = (
        11 - sum(int(digit) * weight for digit, weight in zip(digits[:9], range(10, 1, -1), strict=True)) % 11
    )
    return (0 if check == 11 else check) == int(digits[9])


def test_the_check_digit_agrees_with_the_definition():
    drawn = np.random.default_rng(1).integers(10**9, 10**10, 3000)
    by_hand = [valid_by_hand(str(number)) for number in drawn]
    assert is_nhs_number(drawn).tolist() == by_hand
    assert np.mean(by_hand) == pytest.approx(1 / 11, abs=0.02)


def test_numbers_beside_missing_values_and_of_other_lengths():
    assert is_nhs_number(pd.Series([9434765919.0, np.nan, 943476591.0])).tolist() == [True, False, False]
    assert is_nhs_number(pd.Series(["943-476-5919", " 9434765919 ", "94347659190", ""])).tolist() == [
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("see 9434765919, and 943 476 5919", {"NHS number": 2}),
        ("NHS9434765919", {"NHS number": 1}),
        ("0.9434765919", {}),
        ("digest a9434765919f", {}),
        ("943 4765919 is grouped oddly", {}),
        ("9434765918", {}),
        ("He lives at SW1A 1AA or M1 1AE, not b33 8th", {"postcode": 3}),
        ("SW1A1AA", {"postcode": 1}),
        ("id e12ab and 1c1 2ab and ZZ1 2AB", {}),
        ("2022-04-01 and P01 and 1,234", {}),
    ],
)
def test_texts(text, found):
    assert find_identifiers(text) == found


def test_columns_count_cells():
    column = pd.Series(["943 476 5919 and 9434765919", "LS2 9JT", "LS2 9JT", None])
    assert find_identifiers(column) == {"NHS number": 1, "postcode": 2}
    assert find_identifiers(column.astype("category")) == {"NHS number": 1, "postcode": 2}
    assert find_identifiers(pd.Series(pd.to_datetime(["2022-01-01"]))) == {}
    assert find_identifiers(pd.Series([True, False])) == {}


def test_pseudonyms_are_the_keyed_hash():
    made = pseudonymise(pd.Series(["9434765919", "x1"], index=[5, 7], name="nhs"), KEY)
    assert made[5] == hmac.new(KEY, b"9434765919", hashlib.sha256).hexdigest()[:32]
    assert made.index.tolist() == [5, 7] and made.name == "nhs"
    assert made[5] != pseudonymise(pd.Series(["9434765919"]), KEY + b"!")[0]
    assert hashlib.sha256(b"9434765919").hexdigest()[:32] != made[5]


def test_one_person_has_one_pseudonym_however_written():
    text = pseudonymise(pd.Series(["943 476 5919", "943-476-5919", " 9434765919"]), KEY)
    numbers = pseudonymise(pd.Series([9434765919, None]), KEY)
    integers = pseudonymise(pd.Series([9434765919]), KEY)
    mixed = pseudonymise(pd.Series([9434765919.0, "9434765919"], dtype=object), KEY)
    assert {*text, numbers[0], integers[0], *mixed} == {text[0]}
    assert numbers.isna().tolist() == [False, True]


def test_keys(tmp_path: Path, monkeypatch):
    names = pd.Series(["a"])
    wanted = pseudonymise(names, KEY)[0]
    file = tmp_path / "key"
    file.write_bytes(KEY + b"\n")
    file.chmod(0o600)
    assert pseudonymise(names, file)[0] == wanted
    monkeypatch.setenv("STUDY_KEY", KEY.decode())
    assert pseudonymise(names, "STUDY_KEY")[0] == wanted
    with pytest.raises(DataError, match="no environment variable") as raised:
        pseudonymise(names, "a secret typed into the notebook")
    assert "a secret" not in str(raised.value)
    with pytest.raises(DataError, match="it has 5 bytes"):
        pseudonymise(names, b"short")
    with pytest.raises(DataError, match="no file 'none'"):
        pseudonymise(names, tmp_path / "none")


@pytest.mark.skipif(os.name != "posix", reason="file modes are those of POSIX")
def test_a_key_that_others_can_read(tmp_path: Path):
    file = tmp_path / "key"
    file.write_bytes(KEY)
    file.chmod(0o644)
    with pytest.raises(DataError, match="chmod 600"):
        pseudonymise(pd.Series(["a"]), file)


def test_fractions_are_no_identifiers():
    with pytest.raises(DataError, match="fractions"):
        pseudonymise(pd.Series([1.5, 2.0]), KEY)
