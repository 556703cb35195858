"""Where a run may lie: where it can be written, and where nobody takes it for pictures."""

import os
from pathlib import Path

import pytest

from swinkit.errors import DataError, UsageError
from swinkit.train import go_on
from swinkit.train.crossval import begin_folds
from swinkit.train.place import check_begun, check_place, first_free
from swinkit.train.settings import PretrainSettings, TrainSettings

from ..data.pictures import class_folders
from .pictures import write_pictures


@pytest.fixture
def photos(tmp_path):
    return class_folders(tmp_path / "photos", each=1)


@pytest.mark.parametrize("below", ["run", "cat/run", "runs/classify/photos"])
def test_a_run_among_its_class_folders_would_be_a_class_of_its_own(below, photos):
    with pytest.raises(UsageError, match=r"lies among the pictures of .*photos.*--out"):
        check_place(TrainSettings(data=str(photos)), photos / below)
    check_place(TrainSettings(data=str(photos)), photos.parent / "photos-run")


def test_the_folder_that_is_taken_by_default_is_looked_at_too(photos, monkeypatch):
    monkeypatch.chdir(photos)
    for settings in (TrainSettings(data="."), PretrainSettings(data=".")):
        with pytest.raises(UsageError, match="lies among the pictures"):
            check_place(settings, None)
    with pytest.raises(UsageError, match="lies among the pictures"):
        begin_folds(TrainSettings(data=".", folds=2))
    assert sorted(path.name for path in photos.iterdir()) == ["cat", "dog"]


def test_beside_training_and_test_folders_only_who_reads_all_pictures_would_read_a_run(tmp_path):
    for part in ("train", "test"):
        class_folders(tmp_path / part, each=1)
    check_place(TrainSettings(data=str(tmp_path)), tmp_path / "run")
    for settings, out in ((TrainSettings(data=str(tmp_path)), "test/run"), (PretrainSettings(data=str(tmp_path)), "run")):
        with pytest.raises(UsageError, match="lies among the pictures"):
            check_place(settings, tmp_path / out)


def test_a_run_may_lie_beside_a_manifest_and_arrays_which_name_what_is_read(tmp_path):
    write_pictures(tmp_path / "idx")
    check_place(TrainSettings(data=str(tmp_path / "idx")), tmp_path / "idx" / "run")
    (tmp_path / "metadata.csv").write_text("file_name,label\na.png,cat\n")
    check_place(PretrainSettings(data=str(tmp_path)), tmp_path / "run")


def test_the_verdicts_trainings_are_no_class_of_the_labelled_set(photos, tmp_path):
    write_pictures(tmp_path / "idx")
    with pytest.raises(UsageError, match=r"lies among the pictures of .*photos"):
        check_place(PretrainSettings(data=str(tmp_path / "idx"), probe=str(photos)), photos / "run")
    with pytest.raises(DataError, match="nowhere does not exist"):
        check_place(PretrainSettings(data=str(tmp_path / "idx"), probe="nowhere"), tmp_path / "run")


def test_a_folder_that_cannot_be_written_to_is_said_before_the_work(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"file is no folder that can be written to.*--out"):
        check_place(TrainSettings(data="digits"), tmp_path / "file" / "run")
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)  # chmod would not stop the superuser
    monkeypatch.chdir(tmp_path)
    for out in (tmp_path / "new" / "run", None):
        with pytest.raises(UsageError, match="is no folder that can be written to"):
            check_place(TrainSettings(data="digits"), out)


@pytest.mark.skipif(os.name == "nt", reason="making links is for administrators")
def test_a_link_that_leads_nowhere_is_said_and_not_tried_for_ever(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").symlink_to("absent")
    for out in (Path("runs/run"), Path("runs"), None):
        with pytest.raises(UsageError, match=r"runs leads to absent, which is not there. Mend: "):
            check_place(TrainSettings(data="digits"), out)
    with pytest.raises(UsageError, match="runs leads to absent"):
        first_free(Path("runs"), "demo")


def test_a_run_is_gone_on_with_by_the_verb_that_began_it(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("task: pretraining\n")
    check_begun(tmp_path, "pretraining")
    with pytest.raises(UsageError, match=r"begun by swinkit pretrain. Mend: swinkit pretrain --resume "):
        check_begun(tmp_path, "classification")
    config.write_text("task: classification\n")
    with pytest.raises(UsageError, match=rf"Mend: swinkit train --resume {tmp_path}, in Python swinkit\.train\.resume$"):
        go_on(tmp_path)
    for damaged in ("task: [", "- task"):
        config.write_text(damaged)
        check_begun(tmp_path, "classification")
