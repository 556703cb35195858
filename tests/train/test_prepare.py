"""What is decided before the first step, where no other file here has it."""

from pathlib import Path

import numpy as np
import pytest

from swinkit.data.check import Findings
from swinkit.data.collection import Collection, Sample
from swinkit.data.layouts import open_data
from swinkit.data.split import make_split
from swinkit.errors import DataError
from swinkit.train import fit
from swinkit.train.prepare import check_validation, checked, places
from swinkit.train.settings import PretrainSettings, TrainSettings

from ..data.pictures import class_folders
from .pictures import TINY
from .running import Heard


@pytest.mark.parametrize(
    ("group", "mend"),
    [
        (lambda index: f"{index}", "three groups of each class or more, --folds 4"),
        (lambda index: f"{index % 2}", "three groups of each class or more"),
        (lambda index: None, "more pictures of each class, --folds 4"),
    ],
    ids=["two groups a class", "one group a class", "no groups"],
)
def test_who_has_no_validation_pictures_is_told_of_groups_where_there_are_any(group, mend):
    rows = [Sample(f"{index}", (index % 2,), None, group(index)) for index in range(4)]
    collection = Collection(Path("x"), "manifest", "", ("a", "b"), tuple(rows))
    with pytest.raises(DataError, match=f"no validation pictures; .*Mend: {mend}, a larger share"):
        check_validation(TrainSettings(data="x"), collection, make_split(collection), Findings({}, (), np.zeros((4, 2), int)))


def test_a_folder_called_like_a_bundled_set_is_found_again_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    here = str(tmp_path / "digits")
    assert places(TrainSettings(data="digits")) == {"data": "digits"}
    assert places(TrainSettings(data="digits", format="folders")) == {"data": here}
    assert places(PretrainSettings(data=Path("digits"), probe=Path("digits"))) == {"data": here, "probe": here}
    assert places(PretrainSettings(data="digits", format="pictures", probe="digits")) == {"data": here, "probe": "digits"}


def test_what_makes_no_sense_is_told_sentence_by_sentence(tmp_path):
    (tmp_path / "m.csv").write_text("file_name,label\ngone.png,a\nlost.png,b\n")
    with pytest.raises(DataError, match=r"relative to the manifest's folder, .*; 2 of 2 classes without a usable picture"):
        checked(TrainSettings(data="m.csv"), open_data(tmp_path / "m.csv"), lambda _: None, None)


def test_what_is_said_before_the_plan_is_logged_and_warns_python_where_it_calls(tmp_path, recwarn):
    data = class_folders(tmp_path / "photos", each=12)
    (data / "cat" / "0.png").write_bytes(b"no picture")
    given = {**TINY, "epochs": 1, "workers": 0, "val": 0.3}
    run, heard = fit(data, out=tmp_path / "run", **given), Heard()
    told = [warning for warning in recwarn if warning.filename == __file__]
    assert [warning for warning in told if "cannot be used" in str(warning.message)]
    recwarn.clear()
    fit(data, out=tmp_path / "shown", display=heard, **given)
    assert not [warning for warning in recwarn if "cannot be used" in str(warning.message)]
    for log in ((path / "log.txt").read_text() for path in (run.path, tmp_path / "shown")):
        before = log.partition("  Plan: ")[0]
        assert [line.partition("  ")[2] for line in before.splitlines()[:-1]] == heard.said[: before.count("\n")]
        assert all(f"warning: {warning.message}" in before for warning in told)


def test_a_path_is_never_taken_for_a_variant_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert TrainSettings(model="swin_t").model == "swin_t"
    assert TrainSettings(model=Path("swin_t")).model == str(tmp_path / "swin_t")
