"""Cross-validation: every picture validates once, and an interrupted one goes on where it was."""

from __future__ import annotations

import json
from collections import Counter

import pytest

import swinkit
from swinkit.cli.main import run
from swinkit.errors import DataError, Interrupted, UsageError, WeightsError
from swinkit.train import crossval, fit
from swinkit.train.crossval import begin_folds, cross_validate, resume_folds
from swinkit.train.place import read_record
from swinkit.train.session import resume
from swinkit.train.settings import TrainSettings
from swinkit.train.watch import RunWatcher
from swinkit.weights import CONFIG, FOLDS

from ..data.pictures import class_folders
from .pictures import TINY, write_pictures
from .running import Heard

SMALL = {"embed_dim": 8, "depths": (1, 1), "num_heads": (1, 2), "patch_size": 4, "image_size": 8}


def settings(**changes) -> TrainSettings:
    given = {
        "data": "digits",
        "model": "swin_nano",
        "swin": SMALL,
        "epochs": 1,
        "folds": 3,
        "tensorboard": False,
        "image_size": 8,
    }
    return TrainSettings.model_validate({**given, **changes})


def validated(folder) -> Counter:
    return Counter(index for path in folder.glob("fold-*/data.json") for index in json.loads(path.read_text())["split"]["val"])


def test_every_picture_validates_once(tmp_path):
    result = cross_validate(out=tmp_path / "folds", **settings().model_dump(exclude_unset=True))
    with pytest.raises(UsageError, match=r"is a cross-validation, not one run.*swinkit\.train\.resume_folds$"):
        resume(result.path)
    with pytest.raises(WeightsError, match=r"Below it are models: .*fold-1"):
        swinkit.load(result.path)
    counts = validated(result.path)
    assert len(counts) > 1700
    assert set(counts.values()) == {1}
    mean, error = result.figures()["top1"]
    tops = [fold["validation"]["top1"] for fold in result.folds]
    assert mean == pytest.approx(sum(tops) / 3)
    assert 0 < error < max(tops)


def test_an_interrupted_one_keeps_its_folds_and_goes_on(tmp_path, monkeypatch):
    begin, calls = crossval.begin, []

    def stop_at_second(chosen, path, display):
        calls.append(path.name)
        if len(calls) == 2:
            raise Interrupted("stopped")
        return begin(chosen, path, display)

    monkeypatch.setattr(crossval, "begin", stop_at_second)
    with pytest.raises(Interrupted):
        begin_folds(settings(), tmp_path / "folds")
    result = resume_folds(tmp_path / "folds")
    assert calls == ["fold-1", "fold-2", "fold-2", "fold-3"]
    assert len(result.folds) == 3


@pytest.mark.parametrize(("given", "said"), [({"folds": None}, "folds=5"), ({"fold": 1}, "fold=1 is one. Mend: leave it out")])
def test_the_number_of_folds_is_needed_and_no_one_of_them(given, said, tmp_path):
    with pytest.raises(UsageError, match=said):
        begin_folds(settings(**given), tmp_path / "folds")


def test_one_fold_by_itself_says_which_it_is_and_warns_where_none_was_named(tmp_path):
    data, given = write_pictures(tmp_path / "rows"), {**TINY, "epochs": 1, "folds": 3}
    with pytest.warns(UserWarning, match=r"this trains the first alone; swinkit\.train\.cross_validate trains all"):
        run = fit(data, out=tmp_path / "run", **given)
    assert "  Plan: fold 1 of 3, swin_nano" in (run.path / "log.txt").read_text()


def test_what_cannot_be_parted_is_refused_before_a_folder_is_taken(tmp_path):
    data = class_folders(tmp_path / "pictures", each=2)
    with pytest.raises(UsageError, match="folds=5: expected 2 to 4, the"):
        begin_folds(settings(data=str(data), folds=5), tmp_path / "folds")
    assert not (tmp_path / "folds").exists()


def test_it_goes_on_from_another_folder(tmp_path, monkeypatch):
    write_pictures(tmp_path / "pictures")

    def stop(chosen, path, display):
        raise Interrupted("stopped")

    with monkeypatch.context() as patch:
        patch.setattr(crossval, "begin", stop)
        patch.chdir(tmp_path / "pictures")
        with pytest.raises(Interrupted):
            begin_folds(settings(data="."), None)
    monkeypatch.chdir("/")
    result = resume_folds(tmp_path / "pictures/runs/classify/pictures-folds")
    assert len(result.folds) == 3


def test_folds_that_a_time_limit_ended_are_not_done_and_all_messages_name_the_folder(tmp_path, monkeypatch):
    data, folder = write_pictures(tmp_path / "rows"), tmp_path / "folds"
    heard = Heard()
    given = settings(data=str(data), batch_size=8, threads=1, precision="32-true", time_limit=1000.0)
    with monkeypatch.context() as patch:
        patch.setattr(RunWatcher, "out_of_time", property(lambda self: self.epoch.steps >= 2))
        stopped = begin_folds(given, folder, heard)
    assert [fold["step"] for fold in stopped.folds] == [2, 2, 2]
    assert stopped.unfinished == 3
    again = [line.split("Go on with: ")[1] for line in heard.said if "Go on with: " in line]
    assert again == [f"swinkit train --resume {folder}"] * 4
    assert stopped.folds[0]["stopped"].endswith(again[0])
    finished = resume_folds(folder)
    assert [fold["step"] for fold in finished.folds] == [4, 4, 4]
    assert (finished.unfinished, finished.folds[0]["stopped"]) == (0, None)
    assert json.loads((folder / "folds.json").read_text())["done"] == json.loads(json.dumps(finished.folds))
    heard = Heard()
    assert resume_folds(folder, display=heard) == finished
    assert heard.said == []


def test_what_may_change_on_the_way_reaches_every_fold_and_what_may_not_is_refused(tmp_path, monkeypatch):
    data, folder = write_pictures(tmp_path / "rows"), tmp_path / "folds"
    given, begin = settings(data=str(data), batch_size=8, threads=1, precision="32-true"), crossval.begin
    with monkeypatch.context() as patch:
        patch.setattr(crossval, "begin", lambda *each: None if each[1].name == "fold-2" else begin(*each))
        with pytest.raises(AttributeError):  # as if killed
            begin_folds(given, folder)
    assert run(["train", "--resume", str(folder), "--epochs", "9"]) == 2
    data.rename(tmp_path / "moved")
    with pytest.raises(DataError, match=r"rows does not exist") as lost:
        resume(folder / "fold-1")
    assert f"--resume {folder} DATA" in str(lost.value)
    assert run(["train", str(tmp_path / "moved"), "--resume", str(folder), "--set", "workers=0", "-q"]) == 0
    for place in (folder / "fold-2", folder / "fold-3"):
        written = read_record(place, CONFIG)
        assert (written["data"], written["workers"]) == (str(tmp_path / "moved"), 0)
    assert read_record(folder, FOLDS)["settings"]["data"] == str(tmp_path / "moved")


def test_a_damaged_record_is_named(tmp_path):
    (tmp_path / "folds.json").write_text("{")
    with pytest.raises(DataError, match=r"folds\.json cannot be read .*Mend: restore it$"):
        resume_folds(tmp_path)
