"""Cross-validation: every picture validates once, and an interrupted one goes on where it was."""

from __future__ import annotations

import json
from collections import Counter

import pytest

import swinkit
from swinkit.errors import Interrupted, UsageError, WeightsError
from swinkit.train import crossval
from swinkit.train.crossval import cross_validate, go_on
from swinkit.train.settings import TrainSettings

from .pictures import write_pictures

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
    result = cross_validate(settings(), tmp_path / "folds")
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
    with pytest.raises(Interrupted, match="--resume"):
        cross_validate(settings(), tmp_path / "folds")
    result = go_on(tmp_path / "folds")
    assert calls == ["fold-1", "fold-2", "fold-2", "fold-3"]
    assert len(result.folds) == 3


def test_the_number_of_folds_is_needed(tmp_path):
    with pytest.raises(UsageError, match="folds=5"):
        cross_validate(settings(folds=None), tmp_path / "folds")


def test_it_goes_on_from_another_folder(tmp_path, monkeypatch):
    write_pictures(tmp_path / "pictures")

    def stop(chosen, path, display):
        raise Interrupted("stopped")

    with monkeypatch.context() as patch:
        patch.setattr(crossval, "begin", stop)
        patch.chdir(tmp_path / "pictures")
        with pytest.raises(Interrupted, match=r"runs/classify/pictures-folds"):
            cross_validate(settings(data="."), None)
    monkeypatch.chdir("/")
    result = go_on(tmp_path / "pictures/runs/classify/pictures-folds")
    assert len(result.folds) == 3
