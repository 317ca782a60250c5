"""Files as analysts get them: nothing is guessed, dropped or altered in silence."""

import gzip
import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from qieval.data import describe, read
from qieval.errors import DataError

MESSY = """ Org Code ,Site,Period,Seen , Waiting,Cost,Rate,Ref,Rate,Serial Date,
RXX,St Mary’s,02/04/2022,"1,234",*,"£5",1.5,0012,1,44652,
RYY,Königsfeld,03/04/2022,"12,001",12,"£6",2,0450,2,44653,

RZZ,Éire House,04/04/2022,-,:,"£7",NA,9999,3,44654,
,,,,,,,,,,
RXX,St Mary’s,30/06/2022,17,<5,"£8",-3.25,0001,4,44655,
Total,,,"13,252",12,,,,,,
"""


@pytest.fixture(params=["utf-8", "utf-8-sig", "cp1252", "utf-16", "gzip"])
def messy(request, tmp_path):
    file = tmp_path / ("messy.csv.gz" if request.param == "gzip" else "messy.csv")
    if request.param == "gzip":
        file.write_bytes(gzip.compress(MESSY.encode("utf-8-sig")))
    else:
        file.write_bytes(MESSY.replace("\n", "\r\n").encode(request.param))
    return file


def note(extract, words: str) -> str:
    found = [line for line in extract.notes if words in line]
    assert len(found) == 1, extract.notes
    return found[0]


def saved(tmp_path: Path, text: str, name: str = "data.csv") -> Path:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    return file


def test_the_messy_file_of_an_analyst(messy):
    extract = read(messy)
    frame = extract.frame
    assert list(frame) == [
        "Org Code",
        "Site",
        "Period",
        "Seen",
        "Waiting",
        "Cost",
        "Rate",
        "Ref",
        "Rate_2",
        "Serial Date",
    ]
    assert frame["Site"].tolist()[:3] == ["St Mary’s", "Königsfeld", "Éire House"]
    assert frame["Period"].iloc[0] == pd.Timestamp(2022, 4, 2)
    np.testing.assert_array_equal(frame["Seen"], [1234, 12001, np.nan, 17, 13252])
    np.testing.assert_array_equal(frame["Waiting"], [np.nan, 12, np.nan, np.nan, 12])
    np.testing.assert_array_equal(frame["Rate"], [1.5, 2, np.nan, -3.25, np.nan])
    assert frame["Ref"].tolist()[:2] == ["0012", "0450"]
    assert extract.attrition[["reason", "rows"]].values.tolist() == [
        [f"lines in {messy.name}", 7],
        ["line is blank", 5],
    ]
    assert "day/month/year (because 1 date can" in note(extract, "Period: dates read")
    assert "Take the signs out" in note(extract, "Cost:")
    assert "1 cell with a word such as NA" in note(extract, "Rate:")
    assert "3 suppressed or unavailable cells ('*' 1, ':' 1, '<5' 1)" in note(extract, "Waiting:")
    assert "whether '-' means zero" in note(extract, "Seen: 1 suppressed")
    assert "3 values had thousands separators" in note(extract, "Seen: 3")
    assert "leading zeros" in note(extract, "Ref:")
    assert "1 row look like totals (Total)" in note(extract, "Org Code:")
    assert "later one is called Rate_2" in note(extract, "'Rate' occurs again")
    assert "Excel" in note(extract, "Serial Date:")
    assert "without name and content" in note(extract, "1 column without")
    assert extract.sha256 == hashlib.sha256(messy.read_bytes()).hexdigest()
    assert extract.source == messy.name


def test_the_encoding_is_on_record(tmp_path):
    for encoding, words in (("cp1252", "read as cp1252"), ("utf-16", "read as utf-16")):
        file = tmp_path / "data.csv"
        file.write_bytes("name,n\nKönig,1\n".encode(encoding))
        extract = read(file)
        assert extract.frame["name"].tolist() == ["König"]
        assert words in note(extract, "not UTF-8")
    assert read(saved(tmp_path, "name,n\nKönig,1\n")).notes == ()


def test_a_clean_file_needs_no_note(tmp_path):
    file = saved(tmp_path, "practice,month,n,rate,day\nA,2022-04,1,0.5,2022-04-01\nB,2022-05,2,,2022-05-01\n")
    extract = read(file, person="practice")
    assert extract.notes == ()
    assert [str(kind) for kind in extract.frame.dtypes] == [
        "str",
        "str",
        "int64",
        "float64",
        "datetime64[us]",
    ]
    assert extract.attrition["people"].tolist() == [2]


def test_dates_that_do_not_show_their_order(tmp_path):
    file = saved(tmp_path, "day,n\n02/04/2022,1\n05/06/2022,2\n")
    extract = read(file)
    assert extract.frame["day"].iloc[0] == pd.Timestamp(2022, 4, 2)
    assert "an assumption" in note(extract, "day:") and "day_first=False" in note(extract, "day:")
    american = read(file, day_first=False)
    assert american.frame["day"].iloc[0] == pd.Timestamp(2022, 2, 4)
    assert "as asked" in note(american, "day:")


def test_dates_that_show_their_order(tmp_path):
    american = read(saved(tmp_path, "day,n\n02/14/2022,1\n05/06/2022,2\n"))
    assert american.frame["day"].tolist() == [pd.Timestamp(2022, 2, 14), pd.Timestamp(2022, 5, 6)]
    assert "month/day/year (because 1 date can" in note(american, "day:")
    with pytest.raises(DataError, match=r"day: day_first=True asks for day/month, but 1 date cannot"):
        read(tmp_path / "data.csv", day_first=True)
    with pytest.raises(DataError, match=r"day: the order of day and month differs"):
        read(saved(tmp_path, "day,n\n02/14/2022,1\n25/06/2022,2\n"))


@pytest.mark.parametrize(
    ("written", "read_as"),
    [
        ("30-09-2022", "2022-09-30"),
        ("30.09.2022 14:05", "2022-09-30 14:05"),
        ("30 Sep 2022", "2022-09-30"),
        ("30-September-2022", "2022-09-30"),
        ("2022-09-30T14:05:10", "2022-09-30 14:05:10"),
        ("2022-09-30 00:00:00Z", "2022-09-30"),
    ],
)
def test_ways_to_write_a_date(tmp_path, written, read_as):
    assert read(saved(tmp_path, f"day,n\n{written},1\n")).frame["day"].iloc[0] == pd.Timestamp(read_as)


def test_dates_that_do_not_exist(tmp_path):
    extract = read(saved(tmp_path, "day,n\n31/06/2022,1\n30/06/2022,2\n"))
    assert extract.frame["day"].isna().tolist() == [True, False]
    assert "1 date that cannot be" in note(extract, "became missing")


def test_dates_with_two_digits_for_the_year_stay_text(tmp_path):
    extract = read(saved(tmp_path, "day,n\n01/04/22,1\n01-Apr-22,2\n"))
    assert extract.frame["day"].tolist() == ["01/04/22", "01-Apr-22"]
    assert "two digits" in note(extract, "day:")


def test_a_column_that_is_almost_numeric_says_where_it_fails(tmp_path):
    cells = "\n".join(["n,m", *(f"{number},1" for number in range(19)), "unknown,1"])
    extract = read(saved(tmp_path, cells))
    assert "95% of its values are numbers, but 1 are not (the first in data row 20)" in note(extract, "n:")
    assert "unknown" not in " ".join(extract.notes)


def test_text_is_left_alone_when_asked(tmp_path):
    file = saved(tmp_path, "code,n\n1,1\n2,2\n")
    assert read(file, text=["code"]).frame["code"].tolist() == ["1", "2"]
    nation = read(saved(tmp_path, "land,n\nNA,1\nDE,2\n"), text=["land"])
    assert nation.frame["land"].tolist() == ["NA", "DE"] and nation.notes == ()
    file = saved(tmp_path, "code,n\n1,1\n2,2\n")
    with pytest.raises(DataError, match=r"text: there is no column 'cod'. Did you mean 'code'"):
        read(file, text=["cod"])


def test_a_dash_in_a_text_column_is_text(tmp_path):
    extract = read(saved(tmp_path, "ward,n\n-,1\nOak,2\n*,3\n"))
    assert extract.frame["ward"].tolist() == ["-", "Oak", "*"]
    assert extract.notes == ()


def test_long_numbers_keep_their_digits(tmp_path):
    extract = read(saved(tmp_path, "id,n\n12345678901234567890,1\n"))
    assert extract.frame["id"].tolist() == ["12345678901234567890"]


def test_separators_and_titles(tmp_path):
    semicolons = read(saved(tmp_path, "a;b;c\n1;2;3\n"))
    assert semicolons.frame.values.tolist() == [[1, 2, 3]]
    assert "separated by ';'" in note(semicolons, "separated")
    titled = saved(
        tmp_path, "Monthly attendances\nSource: somewhere,,,\n\norg,month,n,m\nA,2022-04,1,2\nB,2022-04,3,4\n"
    )
    with pytest.raises(DataError, match=r"title above the header. Leave the title out with skip=3"):
        read(titled)
    assert read(titled, skip=3).frame["n"].tolist() == [1, 3]


def test_footnotes_and_national_rows_are_noted_not_dropped(tmp_path):
    extract = read(saved(tmp_path, "org,n,m\nA,1,2\nEngland,3,4\nNotes: provisional,,\n* suppressed,,\n"))
    assert len(extract.frame) == 4
    assert "last 2 rows fill only the first column" in note(extract, "footnotes")
    assert "1 row look like totals (england)" in note(extract, "org:").replace("England", "england")
    every_row = read(saved(tmp_path, "country,n\nEngland,1\nEngland,2\n"))
    assert every_row.notes == ()


def test_possible_identifiers_are_counted_not_shown(tmp_path):
    extract = read(saved(tmp_path, "nhs,home,n\n943 476 5919,LS2 9JT,1\n9434765919,LS2 9JT,2\n"))
    assert "2 possible NHS numbers" in note(extract, "nhs:")
    assert "2 possible postcodes" in note(extract, "home:")
    assert "9434765919" not in repr(extract) and "LS2" not in repr(extract)


def test_columns(tmp_path):
    file = saved(tmp_path, "a,b,c\n1,2,3\n")
    assert list(read(file, ["c", "a"]).frame) == ["c", "a"]
    with pytest.raises(DataError, match=r"columns: 'data.csv' has no column 'd'") as raised:
        read(file, ["d", "a"])
    assert "It has a, b, c" in str(raised.value)


@pytest.mark.parametrize("suffix", [".parquet", ".feather"])
def test_arrow_files(tmp_path, suffix):
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None]})
    file = tmp_path / f"data{suffix}"
    getattr(frame, f"to_{suffix[1:]}")(file)
    assert read(file).frame.equals(frame)
    assert list(read(file, ["b"]).frame) == ["b"]
    file.write_bytes(b"these are no tables")
    with pytest.raises(DataError, match=f"cannot be read as {suffix[1:]}"):
        read(file)


def test_files_that_cannot_be_read(tmp_path):
    saved(tmp_path, "a,b\n1,2\n", "admissions.csv")
    saved(tmp_path, "", "empty.csv")
    saved(tmp_path, "\n \n", "blank.csv")
    saved(tmp_path, "a,b\n", "header.csv")
    saved(tmp_path, 'a,b\n1,2\n1,"2",3\n', "ragged.csv")
    saved(tmp_path, "x", "sheet.xlsx")
    saved(tmp_path, "<!DOCTYPE html>\n<p>Sign in</p>\n", "page.csv")
    (tmp_path / "workbook.csv").write_bytes(b"PK\x03\x04\x00\x00binary")
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(b"a,b\n1,2\n" * 1000)[:20])
    (tmp_path / "odd.csv").write_bytes(b"a,b\n\x81\x8d,2\n")
    expected = {
        "admission.csv": "Did you mean 'admissions.csv'",
        "nowhere/admissions.csv": "no folder 'nowhere'",
        "empty.csv": "0 bytes",
        "blank.csv": "is empty",
        "header.csv": "column names but no rows",
        "ragged.csv": "Expected 2 fields in line 3, saw 3",
        "sheet.xlsx": "save the sheet as 'CSV UTF-8'",
        "workbook.csv": "is not text",
        "cut.csv.gz": "not a whole gzip file",
        "page.csv": "begins like a web page",
        "odd.csv": "neither in UTF-8 nor in cp1252",
        ".": "is a folder",
    }
    for name, words in expected.items():
        with pytest.raises(DataError, match=words):
            read(tmp_path / name)


def test_describe_says_what_the_forms_need(tmp_path):
    frame = pd.DataFrame(
        {
            "practice": ["Elm", "Oak", None, "Oak"],
            "pilot": [0, 1, 1, 0],
            "flag": [True, False, True, True],
            "year": [2020, 2021, 2022, 2022],
            "rate": [0.5, np.nan, np.inf, 2.0],
            "month": ["2022-04", "2022-05", "2021-12", "2022-04"],
            "day": pd.to_datetime(["2022-04-01", None, "2022-06-30", "2022-05-01"]),
            "period": pd.period_range("2022Q1", periods=4, freq="Q"),
            "nhs": ["9434765919", "x", "y", "z"],
            "nothing": [None] * 4,
        }
    )
    got = describe(frame).set_index("column")
    assert got["kind"].to_dict() == {
        "practice": "any",
        "pilot": "binary",
        "flag": "binary",
        "year": "numeric",
        "rate": "numeric",
        "month": "time",
        "day": "time",
        "period": "time",
        "nhs": "any",
        "nothing": "any",
    }
    assert got.loc["year", "fits"] == ("numeric", "time", "any")
    assert got.loc["pilot", "fits"] == ("binary", "numeric", "time", "any")
    assert got["missing"].tolist() == [1, 0, 0, 0, 1, 0, 1, 0, 0, 4]
    assert got["missing_share"].tolist()[0] == 0.25
    assert got["distinct"].tolist() == [2, 2, 2, 3, 3, 3, 3, 4, 4, 0]
    assert got.loc["month", ["low", "high"]].tolist() == ["2021-12", "2022-05"]
    assert got.loc["day", ["low", "high"]].tolist() == ["2022-04-01", "2022-06-30"]
    assert got.loc["period", "high"] == "2022Q4"
    assert got.loc["year", ["low", "high"]].tolist() == ["2020", "2022"]
    assert got.loc["practice", ["low", "high"]].isna().all()
    assert got.loc["nhs", "suspicious"] == "1 possible NHS number"
    assert not got.astype(str).apply(lambda column: column.str.contains("Elm|Oak|9434765919")).any().any()


def test_decimals_in_full_precision_stay_numbers(tmp_path):
    path = tmp_path / "rates.csv"
    path.write_text("unit,rate,account\na,5.882352941176471,12345678901234567\nb,20.58823529411765,1\n")
    found = read(path)
    assert found.frame["rate"].tolist() == [5.882352941176471, 20.58823529411765]
    assert found.frame["account"].tolist() == ["12345678901234567", "1"]
    assert any("account: read as text" in note for note in found.notes)
