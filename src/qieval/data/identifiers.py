"""Finding personal identifiers (counts only, never the values) and replacing them by keyed pseudonyms."""

import hmac
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from qieval.errors import DataError

NHS_WEIGHTS = np.arange(10, 1, -1)
SHORTEST_KEY = 16
PSEUDONYM_LENGTH = 32
"""Hexadecimal digits kept of the 64: 128 bits, so that two people share one by chance practically never."""

NHS_NUMBER = "NHS number"
POSTCODE = "postcode"

_TEN_DIGITS = re.compile(
    r"(?:(?<![0-9A-Za-z.])|(?<=NHS)|(?<=nhs))\d{3}([ -]?)\d{3}\1\d{4}(?![0-9A-Za-z]|\.\d)"
)
_AREAS = (
    "AB AL BA BB BD BF BH BL BN BR BS BT BX CA CB CF CH CM CO CR CT CV CW DA DD DE DG DH DL DN DT DY EC EH "
    "EN "
    "EX FK FY GL GU GY HA HD HG HP HR HS HU HX IG IM IP IV JE KA KT KW KY LA LD LE LL LN LS LU ME MK ML NE "
    "NG "
    "NN NP NR NW OL OX PA PE PH PL PO PR RG RH RM SA SE SG SK SL SM SN SO SP SR SS ST SW SY TA TD TF TN TQ "
    "TR "
    "TS TW UB WA WC WD WF WN WR WS WV YO ZE B E G L M N S W"
)
_OUTWARD = rf"(?:{'|'.join(_AREAS.split())})\d(?:\d|[A-HJKMNPR-Y])?"
_INWARD = r"\d[ABD-HJLNP-UW-Z]{2}"  # Royal Mail does not use C, I, K, M, O and V in the last two letters
# In small letters a space must be there, or pieces of hexadecimal numbers would count.
_POSTCODE = re.compile(rf"(?<![0-9A-Za-z])(?:{_OUTWARD} ?{_INWARD}|(?i:{_OUTWARD} {_INWARD}))(?![0-9A-Za-z])")

_ROUGHLY_NHS = r"\d{3}[ -]?\d{3}[ -]?\d{4}"
_ROUGHLY_POSTCODE = r"[A-Za-z]\d[0-9A-Za-z]? ?\d[A-Za-z]{2}"


def is_nhs_number(values: "pd.Series[Any] | np.ndarray | list[Any]") -> np.ndarray:
    """Which values have ten digits and pass the NHS number's check (modulus 11); a boolean array.

    Spaces and hyphens do not count. About one in eleven arbitrary ten-digit numbers passes. Source: NHS Data
    Dictionary, NHS NUMBER: the digits times 10 to 2, summed; 11 less the remainder by 11 is the last digit
    (11 counts as 0, 10 is never valid).

    >>> is_nhs_number(["943 476 5919", "9434765918", "about 9434765919", None]).tolist()
    [True, False, False, False]
    """
    text = _as_text(pd.Series(values)).str.replace(r"[ -]", "", regex=True)
    found = text.str.fullmatch(r"[0-9]{10}").fillna(False).to_numpy(dtype=bool)
    passed = np.zeros(len(found), dtype=bool)
    if found.any():
        joined = "".join(text.to_numpy()[found])
        digits = np.frombuffer(joined.encode("ascii"), dtype=np.uint8).reshape(-1, 10).astype(int) - ord("0")
        passed[found] = (11 - digits[:, :9] @ NHS_WEIGHTS % 11) % 11 == digits[:, 9]
    return passed


def find_identifiers(held: "str | pd.Series[Any]") -> dict[str, int]:
    """How many possible NHS numbers and UK postcodes a text or a column contains, by kind.

    Kinds that are not found are left out. In a column the count is of cells. The values are never returned.

    >>> find_identifiers("Patient 943 476 5919 of SW1A 1AA; total 1234567890")
    {'NHS number': 1, 'postcode': 1}
    >>> find_identifiers(pd.Series([9434765919, 5]))
    {'NHS number': 1}
    """
    if isinstance(held, str):
        counts = {NHS_NUMBER: _nhs_numbers_in(held), POSTCODE: sum(1 for _ in _POSTCODE.finditer(held))}
    elif pd.api.types.is_numeric_dtype(held.dtype):
        counts = {NHS_NUMBER: _nhs_numbers_among(held)}
    elif pd.api.types.is_datetime64_any_dtype(held.dtype):
        counts = {}
    else:
        counts = _in_cells(held)
    return {kind: count for kind, count in counts.items() if count}


def pseudonymise(values: "pd.Series[Any]", key: bytes | str | Path) -> "pd.Series[Any]":
    """Replace identifiers by pseudonyms: HMAC-SHA256 with a secret key, 32 hexadecimal digits.

    The same person gets the same pseudonym wherever the same key is used, so tables can still be joined.
    Without a key this would not protect anybody: there are only a thousand million NHS numbers, and hashing
    them all to look for a match takes minutes. Keep the key apart from the data, and destroy it when no more
    data are to be joined. Pseudonymised data are still personal data.

    values: text or whole numbers; spaces around, and spaces or hyphens inside ten digits, do not count, so
    "943 476 5919" and 9434765919 agree. Missing values stay missing. key: at least 16 bytes; or the name of
    an environment variable (text), or a file (Path) that only its owner can read. A key itself is not taken
    as text, so that it is not typed into a notebook. Raises DataError for an unusable key, and for numbers
    with fractions.

    >>> made = pseudonymise(pd.Series(["943 476 5919", None, "9434765919"]), b"sixteen bytes or more")
    >>> made[0] == made[2], made.isna().tolist(), len(made[0])
    (True, [False, True, False], 32)
    """
    secret = _secret(key)
    text = _as_text(values).str.strip()
    text = text.str.replace(r"^(\d{3})[ -]?(\d{3})[ -]?(\d{4})$", r"\1\2\3", regex=True)
    codes, distinct = pd.factorize(text)
    made = [hmac.digest(secret, str(item).encode(), "sha256").hex()[:PSEUDONYM_LENGTH] for item in distinct]
    replaced = np.array([*made, None], dtype=object)[codes]
    return pd.Series(replaced, index=values.index, name=values.name, dtype="str")


def _secret(key: bytes | str | Path) -> bytes:
    if isinstance(key, Path):
        secret = _key_file(key)
    elif isinstance(key, str):
        if key not in os.environ:
            raise DataError(
                "key: there is no environment variable of this name. Give the name of a variable that holds "
                "the key, a "
                "Path of a key file, or bytes; never the key as text in a notebook."
            )
        secret = os.environ[key].encode()
    else:
        secret = key
    if len(secret) < SHORTEST_KEY:
        raise DataError(
            f"key: it has {len(secret)} bytes, so it could be guessed; at least {SHORTEST_KEY} are needed. "
            "Make one with "
            "python -c 'import secrets; print(secrets.token_hex(32))'."
        )
    return secret


def _key_file(path: Path) -> bytes:
    if not path.is_file():
        raise DataError(f"key: there is no file '{path.name}'.")
    if os.name == "posix" and path.stat().st_mode & 0o077:
        raise DataError(f"key: others than its owner can read '{path.name}'. Protect it with 'chmod 600'.")
    return path.read_bytes().strip()


def _as_text(values: "pd.Series[Any]") -> "pd.Series[Any]":
    """Values as text without a trailing '.0', which whole numbers get beside missing values."""
    if not pd.api.types.is_numeric_dtype(values.dtype) or pd.api.types.is_bool_dtype(values.dtype):
        return values.astype("object").map(_plain, na_action="ignore").astype("str")
    numbers = pd.to_numeric(values).to_numpy(dtype=float, na_value=np.nan)
    if pd.api.types.is_integer_dtype(values.dtype):
        return values.astype("Int64").astype("str")
    known = numbers[np.isfinite(numbers)]
    if (known != np.floor(known)).any() or np.isinf(numbers).any():
        raise DataError(
            "values: they are numbers with fractions, so they are no identifiers. Give whole numbers or text."
        )
    return pd.Series(numbers, index=values.index).astype("Int64").astype("str")


def _plain(value: object) -> str:
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if whole else str(value)  # type: ignore[call-overload]


def _nhs_numbers_in(text: str) -> int:
    found = [match.group() for match in _TEN_DIGITS.finditer(text)]
    return int(is_nhs_number(found).sum()) if found else 0


def _nhs_numbers_among(numbers: "pd.Series[Any]") -> int:
    held = numbers.dropna().to_numpy(dtype=float)
    held = held[(held >= 1e9) & (held < 1e10) & (held == np.floor(held))]
    return int(is_nhs_number(held.astype(np.int64)).sum()) if len(held) else 0


def _in_cells(column: "pd.Series[Any]") -> dict[str, int]:
    """Counts of cells. Each different text is looked at once, and closely only if a rough pattern fits."""
    codes, distinct = pd.factorize(column.astype("object"))
    texts = pd.Series(distinct, dtype="object").astype("str")
    times = np.bincount(codes[codes >= 0], minlength=len(texts))
    near = {NHS_NUMBER: texts.str.contains(_ROUGHLY_NHS), POSTCODE: texts.str.contains(_ROUGHLY_POSTCODE)}
    numbers = [bool(_nhs_numbers_in(text)) for text in texts[near[NHS_NUMBER]]]
    postcodes = [_POSTCODE.search(text) is not None for text in texts[near[POSTCODE]]]
    return {
        NHS_NUMBER: int(times[near[NHS_NUMBER]][numbers].sum()),
        POSTCODE: int(times[near[POSTCODE]][postcodes].sum()),
    }
