from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from swinkit.cli.data import command
from swinkit.cli.main import run
from swinkit.data.layouts import open_data
from swinkit.data.split import make_split
from swinkit.train.settings import TrainSettings
from swinkit.train.start import starting_point

from ..data.pictures import class_folders
from .test_main import swinkit


def test_report_of_a_folder(tmp_path):
    class_folders(tmp_path, ("[red]cat", "dog\n"))
    (tmp_path / "[red]cat/bad.png").write_bytes(b"")
    answer = CliRunner().invoke(command, [str(tmp_path), "-q"])
    assert answer.exit_code == 0
    for words in (
        "13 pictures",
        "2 classes",
        "class folders directly inside",
        "[red]cat",
        "dog\\n",
        "[red]cat/bad.png: zero bytes",
        "Split:",
        "advised",
    ):
        assert words in answer.stdout
    assert not answer.stderr


def test_duplicates_that_matter_are_listed_by_group(tmp_path):
    class_folders(tmp_path, ("cat", "dog"))
    for index in range(2):
        shutil.copy(tmp_path / f"cat/{index}.png", tmp_path / f"dog/copy-{index}.png")
    shown = CliRunner().invoke(command, [str(tmp_path), "-q"]).stdout
    assert "2 groups of exact duplicates with different labels ('cat/0.png' and 'dog/copy-0.png' for one)" in shown
    assert "  cat/1.png = dog/copy-1.png" in shown
    found = json.loads(CliRunner().invoke(command, [str(tmp_path), "-q", "--json"]).stdout)["findings"]
    (torn,) = (finding for finding in found if finding["kind"] == "duplicates-across-labels")
    assert torn["groups"] == [["cat/0.png", "dog/copy-0.png"], ["cat/1.png", "dog/copy-1.png"]]


def test_pictures_without_labels_are_counted_and_proposed_for_pretraining(tmp_path, capsys):
    for index in range(4):
        np.save(tmp_path / f"{index}.npy", np.random.default_rng(index).integers(0, 256, (16, 16, 4), dtype=np.uint8))
    assert run(["data", str(tmp_path)]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("4 pictures, no classes, 4 channels. Recognised: ")
    assert shown.err.splitlines()[-1] == f"Next: swinkit pretrain {tmp_path}"


def test_where_nothing_would_train_nothing_is_proposed(tmp_path, capsys):
    class_folders(tmp_path, each=1)
    assert run(["data", str(tmp_path)]) == 0
    shown = capsys.readouterr()
    assert "no validation pictures" in shown.out
    assert "Next:" not in shown.err


def test_two_pictures_of_each_class_are_proposed_to_train_in_folds(tmp_path, capsys):
    class_folders(tmp_path, each=2)
    assert run(["data", str(tmp_path)]) == 0
    shown = capsys.readouterr()
    assert "training needs more pictures or groups of each class, --folds 4, or --set val=0.5" in shown.out
    assert shown.err.splitlines()[-1] == f"Next: swinkit train {tmp_path} --folds 4"


def test_json(tmp_path, capsys):
    class_folders(tmp_path)
    (tmp_path / "cat/bad.png").write_bytes(b"")
    assert run(["data", str(tmp_path), "--json", "-q"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["classes"] == {"cat": 7, "dog": 6}
    assert found["unusable"] == [{"file": "cat/bad.png", "reason": "zero bytes"}]
    assert found["split"]["train"] + found["split"]["val"] == 12
    assert found["size_doctor"]["choices"][0]["variant"] == "swin_nano"


@pytest.mark.parametrize("sides", [(8, 8), (20, 30), (28, 28), (45, 61), (90, 70)])
def test_the_advice_is_the_network_that_training_takes(sides, tmp_path, capsys):
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for number in range(10):  # of sizes that differ, so that the median decides
            pixels = np.random.default_rng([ord(label[0]), number]).integers(0, 256, (sides[0] + number, sides[1]), np.uint8)
            Image.fromarray(pixels).save(tmp_path / label / f"{number}.png")
    assert run(["data", str(tmp_path), "--json", "-q"]) == 0
    best = json.loads(capsys.readouterr().out)["size_doctor"]["choices"][0]
    collection = open_data(tmp_path)
    start = starting_point(TrainSettings(), collection, make_split(collection, (), 0).train, None)
    config = start.config
    assert (best["variant"], tuple(best["size"])) == (start.name, config.image_size)
    assert (best["patch"], best["window"]) == (config.patch_size, config.window_size[0])


def test_macs_of_small_pictures_are_told_in_millions(tmp_path):
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for number in range(5):
            pixels = np.random.default_rng([ord(label[0]), number]).integers(0, 256, (8, 8), np.uint8)
            Image.fromarray(pixels).save(tmp_path / label / f"{number}.png")
    shown = CliRunner().invoke(command, [str(tmp_path), "-q"]).stdout
    assert re.search(r"^8x8 .* [1-9]\d*\.\d M ", shown, re.MULTILINE)
    assert "0.00 G" not in shown
    assert "4.49 G" in shown


def test_bad_data_leaves_with_3(tmp_path, capsys):
    assert run(["data", str(class_folders(tmp_path, ("cat",))), "-q"]) == 3
    assert "one class only" in capsys.readouterr().out
    assert run(["data", str(tmp_path / "nowhere")]) == 3
    assert "does not exist" in capsys.readouterr().err


def test_a_picture_that_is_too_large_is_told_once_and_one_class_is_one(tmp_path):
    (tmp_path / "cat").mkdir()
    for number in range(2):
        Image.new("1", (10_000, 9_000), number).save(tmp_path / "cat" / f"{number}.png")
    answer = swinkit("data", str(tmp_path))
    assert "2 pictures, 1 class." in answer.stdout
    assert "cut it into tiles" in answer.stdout
    assert "DecompressionBomb" not in answer.stderr


def test_json_is_utf8_whatever_the_terminal_takes(tmp_path):
    class_folders(tmp_path, ("cat", "b😀"))
    done = swinkit("data", str(tmp_path), "--json", "-q", PYTHONIOENCODING="cp1252", PYTHONUTF8="1")
    assert "b😀" in json.loads(done.stdout)["classes"]
