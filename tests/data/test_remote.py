"""Public files: fetched once, verified, kept; and what is said when that fails. Nothing is fetched here."""

import http.server
import logging
import sys
import threading
import types
from functools import partial

import numpy as np
import pandas as pd
import pytest

from qieval.data import example, remote
from qieval.data.example_catalogue import EXAMPLES
from qieval.data.remote import RemoteFile, fetched, fingerprint
from qieval.errors import DataError, DependencyError

CONTENT = b"month,events\r\n2020-01,3\r\n"
FILE = RemoteFile("small.csv", "someone/data", "0" * 40, "raw/small.csv", fingerprint(CONTENT))
REMOTE = {name: held.remote for name, held in EXAMPLES.items() if held.remote is not None}


@pytest.fixture
def pooch(monkeypatch, tmp_path):
    """A stand-in that writes what it is told to, and remembers what it was asked for."""

    class Pooch(types.ModuleType):
        def __init__(self, name):
            super().__init__(name)
            self.gives, self.asked = CONTENT, []

        def retrieve(self, url, known_hash, fname, path):
            self.asked.append(url)
            if isinstance(self.gives, Exception):
                raise self.gives
            path.mkdir(parents=True, exist_ok=True)
            (path / fname).write_bytes(self.gives)

        def os_cache(self, name):
            return tmp_path / "cache" / name

        def get_logger(self):
            return logging.getLogger("a stand-in")

    made = Pooch("pooch")
    monkeypatch.setitem(sys.modules, "pooch", made)
    monkeypatch.delenv("QIEVAL_DATA", raising=False)
    return made


def test_fetched_once_from_the_commit_and_kept(pooch, tmp_path):
    path = fetched(FILE)
    assert path == tmp_path / "cache" / "qieval" / "small.csv" and path.read_bytes() == CONTENT
    assert fetched(FILE) == path
    assert pooch.asked == [f"https://raw.githubusercontent.com/someone/data/{'0' * 40}/raw/small.csv"]


def test_the_folder_of_the_caller_goes_before_that_of_the_environment(pooch, tmp_path, monkeypatch):
    monkeypatch.setenv("QIEVAL_DATA", str(tmp_path / "environment"))
    assert fetched(FILE).parent == tmp_path / "environment"
    assert fetched(FILE, tmp_path / "mine").parent == tmp_path / "mine"


def test_a_file_that_lies_there_needs_neither_network_nor_pooch(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    (tmp_path / "small.csv").write_bytes(CONTENT.replace(b"\r\n", b"\n"))
    assert fetched(FILE, tmp_path).read_bytes() == b"month,events\n2020-01,3\n"
    with pytest.raises(DependencyError, match=r"pip install pooch.*QIEVAL_DATA"):
        fetched(FILE, tmp_path / "elsewhere")


@pytest.mark.parametrize("problem", [ConnectionError("no route"), ValueError("404")])
def test_offline_it_says_what_from_where_and_what_to_do(pooch, tmp_path, problem):
    pooch.gives = problem
    with pytest.raises(DependencyError) as raised:
        fetched(FILE, tmp_path)
    said = str(raised.value)
    assert said.startswith(
        "small.csv: it could not be fetched from https://raw.githubusercontent.com/someone"
    )
    assert str(tmp_path) in said and "QIEVAL_DATA" in said and FILE.sha256 in said


class Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A folder on this machine that answers as the public host does."""
    folder = tmp_path / "public"
    folder.mkdir()
    held = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=folder))
    threading.Thread(target=held.serve_forever, daemon=True).start()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(remote, "HOST", f"http://127.0.0.1:{held.server_port}")
    yield folder
    held.shutdown()
    held.server_close()


def test_with_the_real_pooch(server, tmp_path, caplog):
    with pytest.raises(DependencyError, match="HTTPError"):
        fetched(FILE, tmp_path)
    assert not (tmp_path / "small.csv").exists()
    (server / FILE.repository / FILE.commit / "raw").mkdir(parents=True)
    (server / FILE.repository / FILE.commit / FILE.path).write_bytes(CONTENT)
    assert fetched(FILE, tmp_path).read_bytes() == CONTENT
    server.joinpath(FILE.repository, FILE.commit, FILE.path).unlink()
    assert fetched(FILE, tmp_path).read_bytes() == CONTENT
    assert "known_hash" not in caplog.text


def test_with_the_real_pooch_and_nobody_there(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(remote, "HOST", "http://127.0.0.1:9")
    with pytest.raises(DependencyError, match=r"could not be fetched .*ConnectionError"):
        fetched(FILE, tmp_path)


def test_other_content_is_refused(pooch, tmp_path):
    pooch.gives = b"<html>sign in</html>"
    with pytest.raises(DataError, match=r"not the one that was published.*It was not kept"):
        fetched(FILE, tmp_path)
    assert not (tmp_path / "small.csv").exists()
    (tmp_path / "small.csv").write_bytes(b"month,events\n2020-01,4\n")
    with pytest.raises(DataError, match=r"small.csv is not the one .*Move it away"):
        fetched(FILE, tmp_path)
    assert (tmp_path / "small.csv").exists()


def test_the_level_of_poochs_messages_is_put_back(pooch, tmp_path):
    logger = pooch.get_logger()
    logger.setLevel(logging.INFO)
    fetched(FILE, tmp_path)
    assert logger.level == logging.INFO


@pytest.mark.parametrize("name", REMOTE)
def test_addresses_are_pinned(name):
    held = REMOTE[name]
    assert len(held.commit) == 40 and set(held.commit + held.sha256) <= set("0123456789abcdef")
    assert len(held.sha256) == 64
    assert len({other.name for other in REMOTE.values()}) == len(REMOTE)


def test_an_example_names_its_address_and_content(public_folder):
    extract = example("sicily", directory=public_folder)
    assert extract.notes[-1] == f"Fetched from {REMOTE['sicily'].address}."
    assert extract.sha256 == REMOTE["sicily"].sha256


def test_sicily_is_the_published_series(public_folder):
    frame = example("sicily", directory=public_folder).frame
    assert frame["month"].iloc[[0, 36, -1]].tolist() == ["2002-01", "2005-01", "2006-11"]
    assert frame.loc[frame["smoking_ban"] == 1, "month"].min() == "2005-01"
    assert frame["coronary_events"].iloc[[0, 48, -1]].tolist() == [728, 1021, 912]
    rate = 1e5 * frame["coronary_events"] / frame["standardised_population"]
    assert rate.iloc[0] == pytest.approx(191.64, abs=0.005)


def test_seat_belts_are_rs_data(public_folder):
    frame = example("seat_belts", directory=public_folder).frame
    assert frame["month"].iloc[[0, -1]].tolist() == ["1969-01", "1984-12"]
    assert frame.loc[frame["law"] == 1, "month"].min() == "1983-02"
    assert frame["drivers_killed"].mean() == pytest.approx(122.802083, abs=1e-6)
    assert frame["month"].is_unique and frame["distance"].iloc[0] == 9059


def test_attendances_keep_every_row(public_folder):
    extract = example("ae_attendances", directory=public_folder)
    frame = extract.frame
    assert not frame.isna().any().any() and "NAX" in set(frame["organisation"])
    assert sorted(frame["department"].unique()) == ["major", "other", "single specialty"]
    assert frame["month"].nunique() == 36 and frame["organisation"].nunique() == 274
    assert not frame.duplicated(["organisation", "department", "month"]).any()
    copy = pd.read_csv(public_folder / "ae_attendances.csv")
    assert frame["over_4_hours"].sum() == copy["breaches"].sum()


def test_tobacco_control_has_the_columns_of_the_worked_study(public_folder):
    frame = example("tobacco_control", directory=public_folder).frame
    assert frame["state"].nunique() == 39 and frame["california"].sum() == 31
    sold = frame[(frame["california"] == 1) & (frame["year"] == 2000)]["cigsale"]
    np.testing.assert_allclose(sold, 41.6)
    assert frame["year"].dtype == "int64"
