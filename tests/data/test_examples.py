"""Examples are what the list says; public files are taken from copies."""

import importlib.util
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from qieval.data import example, examples, prepare_rhc, simulate_cohort
from qieval.errors import DataError, DependencyError

SHARED = Path(__file__).resolve().parents[3] / "shared"
LISTED = examples().set_index("name")


@pytest.mark.parametrize("name", LISTED.index)
def test_the_list_tells_the_truth(name, request):
    fetched = bool(LISTED.loc[name, "fetched"])
    if name == "drinking_age":
        pytest.skip("this public file cannot be made from the data that lie beside the checkout")
    folder = request.getfixturevalue("public_folder") if fetched else None
    extract = example(name, directory=folder).check()
    assert extract.frame.shape == (LISTED.loc[name, "rows"], LISTED.loc[name, "columns"])
    assert LISTED.loc[name, ["what", "source", "licence", "suits"]].str.len().min() > 3
    assert extract.source == LISTED.loc[name, "source"]
    for column in extract.frame:
        assert extract.frame[column].dtype != object, column
        assert extract.frame[column].dtype.name != "category", column


def test_organ_donations_is_the_published_comparison():
    frame = example("organ_donations").frame
    assert frame["State"].nunique() == 27
    assert sorted(frame["Quarter_Num"].unique()) == [1, 2, 3, 4, 5, 6]
    mean = frame.groupby(["california", frame["Quarter_Num"] >= 4])["Rate"].mean()
    effect = mean[1, True] - mean[1, False] - mean[0, True] + mean[0, False]
    assert effect == pytest.approx(-0.02246, abs=5e-5)


def test_the_pilot_is_the_simulator():
    frame = example("pilot").frame
    assert frame["practice"].nunique() == 60
    assert frame.groupby("practice")["pilot"].max().sum() == 24
    assert example("pilot_staggered").frame["pilot_start"].dropna().nunique() == 3


def test_castle_laws_begin_with_the_first_year_of_post():
    frame = example("castle").frame
    since = frame.groupby("sid")["since"].first()
    assert since.notna().sum() == 21
    assert since[10] == 2006  # Florida passed it in October 2005
    assert (since.notna() == frame.groupby("sid")["ever"].first().astype(bool)).all()


def test_an_unknown_name():
    with pytest.raises(DataError, match="Did you mean 'pilot'"):
        example("pilots")


def test_without_the_package(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DependencyError, match="pip install causaldata"):
        example("nhefs")
    assert len(example("pilot").frame) == 2160


def test_reading_an_example_does_not_load_statsmodels():
    code = (
        "import sys; from qieval.data.examples import example; example('organ_donations'); "
        "sys.exit('statsmodels' in sys.modules or 'causaldata' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def shared(name: str) -> Path:
    path = SHARED / name
    if not path.is_file():
        pytest.skip(f"the reference file {name} is not on this machine")
    return path


def test_nhefs_complete_are_those_weighed_twice_in_the_same_order():
    everybody, complete = example("nhefs").frame, example("nhefs_complete").frame
    weighed = everybody[everybody["wt82_71"].notna()]
    assert weighed["seqn"].tolist() == complete["seqn"].tolist()
    used = ["qsmk", "sex", "race", "age", "education", "smokeintensity", "smokeyrs", "exercise", "active"]
    assert not complete[[*used, "wt71", "wt82_71"]].isna().any().any()
    mean = complete.groupby("qsmk")["wt82_71"].mean()
    assert mean[1] - mean[0] == pytest.approx(2.5406, abs=5e-5)  # Hernan and Robins, section 12.2


def test_nhefs_complete_are_the_people_of_the_reference_numbers():
    held = json.loads(shared("reference/matching.json").read_text())["nhefs"]["weights"]["ipw_glm_ATE"]
    table = held["balance"]["table"]
    frame = example("nhefs_complete").frame
    mean = frame.groupby("qsmk")[["sex", "race", "age", "smokeintensity", "smokeyrs", "wt71"]].mean()
    for arm in (0, 1):
        for name in mean.columns:
            reference = table[f"M.{arm}.Un"][table["rows"].index(name)]
            assert mean.loc[arm, name] == pytest.approx(reference, rel=1e-12)


def test_nsw_is_the_experiment():
    frame = example("nsw").frame
    mean = frame.groupby("treat")["re78"].agg(["size", "mean"])
    assert mean["size"].tolist() == [260, 185]
    assert mean["mean"][1] - mean["mean"][0] == pytest.approx(1794.34, abs=0.01)  # Dehejia and Wahba (1999)
    assert {str(kind) for kind in frame.drop(columns="data_id").dtypes} == {"int64", "float64"}


def test_nsw_agrees_with_the_copy_of_another_package():
    other = pd.read_csv(shared("data/matching_lalonde_dw.csv"))
    names = {"marr": "married", "nodegree": "nodegr"}
    ours = example("nsw").frame.rename(columns=names)[other.columns]
    order = ["treat", "re78", "age", "educ", "re75", "re74"]
    ours, other = (held.sort_values(order, ignore_index=True) for held in (ours, other))
    np.testing.assert_allclose(ours, other, rtol=1e-4, atol=0.06)


def test_nsw_beside_the_survey():
    frame = example("nsw_cps").frame
    assert frame["treat"].tolist() == [1] * 185 + [0] * 15992
    treated = example("nsw").frame.query("treat == 1").reset_index(drop=True)
    pd.testing.assert_frame_equal(frame.iloc[:185], treated)
    assert (frame["u74"] == (frame["re74"] == 0)).all() and frame["u75"].sum() == (frame["re75"] == 0).sum()
    assert example("nsw_cps").sha256 is None and len(example("nsw").sha256) == 64


def test_the_community_service_is_the_simulator():
    study = simulate_cohort(4000, seed=20)
    pd.testing.assert_frame_equal(example("community_service").frame, study.frame)
    assert study.frame["service"].mean() == pytest.approx(0.2, abs=0.02)


PUBLIC = """,cat1,cat2,ca,sadmdte,dschdte,dthdte,lstctdte,death,cardiohx,chfhx,dementhx,psychhx,chrpulhx,\
renalhx,liverhx,gibledhx,malighx,immunhx,transhx,amihx,age,sex,edu,surv2md1,das2d3pc,t3d30,dth30,aps1,scoma1,\
meanbp1,wblc1,hrt1,resp1,temp1,pafi1,alb1,hema1,bili1,crea1,sod1,pot1,paco21,ph1,swang1,wtkilo1,dnr1,ninsclas,\
resp,card,neuro,gastr,renal,meta,hema,seps,trauma,ortho,adld3p,urin1,race,income,ptid
2,MOSF w/Sepsis,NA,No,11799,11844,11844,11844,Yes,1,1,0,0,0,0,0,0,0,1,1,0,78.17896,Female,12,0.754999638,\
14.75195,30,No,50,0,63,28.8984375,137,38,38.89844,218.3125,2.5996094,32.5,0.69995117,0.59997559,137,3.299805,34,\
7.329102,RHC,45.69998,No,Private & Medicare,No,No,No,No,No,No,No,Yes,No,No,NA,1437,white,Under $11k,7
5,MOSF w/Sepsis,NA,No,12035,12037,12037,12036,Yes,0,0,0,0,0,0,0,0,0,0,0,0,67.90997,Male,9.945259,0.436999798,\
21.05078,2,Yes,72,41,65,29.6992188,125,27,34.796875,478,3.5,24,1.00976562,3.59960938,126,5.799805,17,7.229492,RHC,\
78.39996,Yes,Medicare,No,Yes,No,No,No,No,No,No,No,No,NA,64,white,Under $11k,11
8,ARF,Coma,No,11453,11487,11491,11490,Yes,0,0,0,0,0,0,0,0,0,0,1,0,43.63898,Male,12,0.631958008,29.14453,30,\
No,25,100,128,38.09375,102,34,39.19531,240,2.699707,33.59375,0.89990234,0.69995117,136,4.099609,26,7.55957,\
No RHC,81.29999,No,Private,Yes,No,Yes,No,No,No,No,Yes,No,No,NA,NA,white,$25-$50k,14
17,ARF,NA,No,11751,11767,12680,12292,Yes,0,0,1,0,0,0,0,0,0,0,0,0,88.422,Male,13.611382,0.507999897,15.99609,30,\
No,63,26,58,14.5996094,115,26,39.19531,172,2.699707,25.796875,0.39996338,1.5,150,4.699219,28,7.449219,RHC,0,No,\
Private & Medicare,Yes,No,No,No,No,No,No,No,No,No,NA,1990,white,Under $11k,29
"""
"""Four rows of the public right heart catheterisation file as it is."""


def test_rhc_from_the_public_file():
    frame = prepare_rhc(pd.read_csv(io.StringIO(PUBLIC)))
    assert frame["rhc"].tolist() == [1, 1, 0, 1] and frame["death30"].tolist() == [0, 1, 0, 0]
    assert frame["death_recorded"].tolist() == [1, 1, 1, 1]
    assert frame["death180"].tolist() == [1, 1, 1, 0]  # the last died after 929 days
    assert frame["los"].tolist() == [45, 2, 34, 16] and frame["dnr"].tolist() == [0, 1, 0, 0]
    assert frame["cat1"].tolist()[2:] == ["ARF", "ARF"] and frame["cat2"].tolist()[1:3] == ["None", "Coma"]
    assert frame["income"].tolist() == ["Under 11k", "Under 11k", "25-50k", "Under 11k"]
    assert frame["insurance"].iloc[0] == "Private and Medicare" and frame["race"].iloc[0] == "White"


def test_rhc_from_a_cleaned_copy_is_the_same_data():
    cleaned = prepare_rhc(pd.read_csv(shared("data/matching_rhc.csv.gz")))
    assert cleaned.shape == (5735, 59) and cleaned["rhc"].sum() == 2184
    risk = cleaned.groupby("rhc")["death30"].mean()
    assert risk.tolist() == pytest.approx([0.3063925654745142, 0.38003663003663], rel=1e-12)
    public = prepare_rhc(pd.read_csv(io.StringIO(PUBLIC))).drop(columns="death180")
    same = cleaned.set_index("id").loc[public["id"]].reset_index()[public.columns]
    for name in public.columns:
        if pd.api.types.is_numeric_dtype(public[name].dtype):
            np.testing.assert_allclose(public[name], same[name], rtol=2e-3, err_msg=name)
        else:
            assert public[name].tolist() == same[name].tolist(), name
    assert not cleaned.drop(columns=["los", "adld3p", "urin1"]).isna().any().any()


def test_what_is_not_rhc():
    with pytest.raises(DataError, match=r"these are not .* \(hbiostat\.org/data\)"):
        prepare_rhc(pd.DataFrame({"age": [1.0]}))
    with pytest.raises(DataError, match="has a column dth30"):
        prepare_rhc(pd.read_csv(io.StringIO(PUBLIC)).drop(columns="dth30"))
    with pytest.raises(DataError, match="resp: Perhaps is neither yes nor no"):
        prepare_rhc(pd.read_csv(io.StringIO(PUBLIC)).replace({"resp": {"Yes": "Perhaps"}}))
    with pytest.raises(DataError, match="prepare_rhc"):
        example("rhc")
