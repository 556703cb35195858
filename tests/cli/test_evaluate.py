"""``swinkit evaluate``: which pictures it judges, what it writes and prints, and when it fails."""

import hashlib
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file, save_file

import swinkit
from swinkit.cli.evaluate import command
from swinkit.cli.judging import predictions
from swinkit.cli.main import run
from swinkit.cli.material import find_material
from swinkit.data.layouts import open_data
from swinkit.data.split import make_split
from swinkit.errors import DataError, UsageError
from swinkit.model.classifier import SwinClassifier
from swinkit.preprocessing import Preprocessing
from swinkit.tasks.figures import LOWER_IS_BETTER, figure_names
from swinkit.variants import configure
from swinkit.weights.files import save_model
from swinkit.weights.saved import Saved
from swinkit.weights.targets import TARGETS
from tests.report.hostile import PAYLOADS
from tests.shaking import shake
from tests.tasks.test_evaluation import single
from tests.weights.stand_in import Hub

CLASSES = ("dark", "light")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    for label in CLASSES:
        (folder / label).mkdir()
        for index in range(8):
            pixels = generator.integers(0, 100, (16, 16, 3)) + 150 * (label == "light")
            Image.fromarray(pixels.astype(np.uint8)).save(folder / label / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory, photos):
    """A run folder as training leaves it, around an untrained model."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("runs") / "shoes"
    sizes = {"embed_dim": 12, "depths": (1, 1), "num_heads": (1, 2), "window_size": 4}
    model = swinkit.create_model("swin_nano", num_classes=2, image_size=16, **sizes)
    save_model(model, folder / "model", classes=CLASSES, preprocessing=Preprocessing(size=(16, 16), resize="squash"))
    collection = open_data(photos)
    split = make_split(collection, val=0.25)
    data = {"fingerprint": collection.fingerprint(), "split": split.to_dict(), "findings": [
        {"kind": "duplicates", "severity": "warning", "message": "two are alike"}]}  # fmt: skip
    (folder / "data.json").write_text(json.dumps(data))
    (folder / "config.yaml").write_text(yaml.safe_dump({"data": str(photos), "seed": 3, "epochs": 5}))
    (folder / "metrics.csv").write_text("step,epoch,train_loss,val_loss,val_top1\n1,1,0.7,0.7,0.5\n2,2,0.6,0.6,0.75\n")
    return folder


def test_a_run_is_judged_on_what_it_kept_from_training(trained, photos):
    split = make_split(open_data(photos), val=0.25)
    for data in (None, str(photos)):
        material = find_material(str(trained), data, "auto", None, quiet=True)
        assert (material.part, tuple(material.indices)) == ("val", split.val)
    assert tuple(find_material(str(trained), None, "train", None, True).indices) == split.train
    assert find_material(str(trained / "model"), None, "auto", None, True).part == "val"
    assert len(find_material(str(trained), None, "all", None, True).indices) == 16
    with pytest.raises(DataError, match=r"'test'\. It has: train 12, val 4"):
        find_material(str(trained), None, "test", None, True)


def test_pictures_that_were_trained_on_are_warned_of(trained, tmp_path, capsys):
    out = tmp_path / "judged"
    assert run(["evaluate", str(trained), "--split", "all", "--out", str(out), "--json", "-q"]) == 0
    printed = capsys.readouterr()
    assert "warning: 12 of the 16 judged pictures were trained on" in printed.err
    assert json.loads(printed.out)["data"]["trained_on"] == 12
    assert "12 of the 16 judged pictures were trained on" in (out / "report.html").read_text()
    assert "too few pictures (16) to calibrate" in (out / "report.html").read_text()
    assert "split &#39;all&#39; of the set with sha256" in (out / "report.html").read_text()
    assert run(["evaluate", str(trained), "--json", "-q"]) == 0
    printed = capsys.readouterr()
    assert (printed.err, json.loads(printed.out)["data"]["trained_on"]) == ("", 0)


def test_a_temperature_fitted_to_the_judged_pictures_is_told(trained, photos, tmp_path, capsys):
    shutil.copytree(trained, tmp_path / "run")
    described = json.loads((trained / "model" / "config.json").read_text())
    (tmp_path / "run" / "model" / "config.json").write_text(json.dumps({**described, "temperature": 0.42}))
    told = "note: the temperature 0.42 that the model carries was fitted to these pictures, which flatters loss and ece"
    assert run(["evaluate", str(tmp_path / "run"), "--out", str(tmp_path / "out")]) == 0
    assert told in capsys.readouterr().err
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "was fitted to these pictures" in page
    assert "validation pictures of 2 classes that it was not trained on" in page
    # not where its run's validation pictures are not the judged ones, nor where no temperature is carried
    shutil.copytree(photos, tmp_path / "others" / "val")
    Image.new("RGB", (16, 16)).save(tmp_path / "others" / "val" / "dark" / "new.png")
    for arguments in (
        [tmp_path / "run", "--split", "train"],
        [tmp_path / "run", tmp_path / "others", "--split", "val"],
        [trained],
    ):
        assert run(["evaluate", *map(str, arguments)]) == 0
        assert "temperature 0.42" not in capsys.readouterr().err


def test_changed_pictures_do_not_keep_the_split(trained, photos):
    extra = photos / "dark" / "extra.png"
    Image.new("RGB", (16, 16)).save(extra)
    try:
        with pytest.raises(DataError, match="no longer holds"):
            find_material(str(trained), None, "auto", None, True)
        assert find_material(str(trained), str(photos), "auto", None, True).part == "all"
    finally:
        extra.unlink()


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        ("data.json", "{", "data.json cannot be read"),
        ("data.json", "[]", "data.json holds no names with values"),
        ("config.yaml", "a: [", "config.yaml cannot be read"),
        ("config.yaml", "", "config.yaml holds no names with values"),
        ("config.yaml", "seed: 0", "does not say where the pictures lie"),
    ],
)
def test_a_damaged_record_of_a_run_is_named(file, text, told, trained, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)
    (copy / file).write_text(text)
    assert run(["evaluate", str(copy)]) == 3
    assert told in capsys.readouterr().err


def test_a_model_without_its_run_says_what_it_learned_from(trained, tmp_path, capsys):
    shutil.copytree(trained / "model", tmp_path / "model")
    described = json.loads((tmp_path / "model" / "config.json").read_text())
    (tmp_path / "model" / "config.json").write_text(json.dumps({**described, "learned_from": {"set": "shoes", "pictures": 81}}))
    config = yaml.safe_load((trained / "config.yaml").read_text())
    assert run(["evaluate", str(tmp_path / "model"), config["data"], "--out", str(tmp_path / "out")]) == 0
    assert "learned from 81 pictures of a set called 'shoes'; whether they are among" in capsys.readouterr().err
    assert "whether they are among the judged ones is not known" in (tmp_path / "out" / "report.html").read_text("utf-8")


def test_a_broken_picture_of_new_data_is_left_out_and_remarked(trained, tmp_path, capsys):
    for label in CLASSES:
        (tmp_path / label).mkdir()
        Image.new("RGB", (16, 16)).save(tmp_path / label / "a.png")
    (tmp_path / "dark" / "broken.png").write_bytes(b"no picture")
    material = find_material(str(trained), str(tmp_path), "auto", None, True)
    assert len(material.indices) == 2
    assert any(remark.severity in ("warning", "error") for remark in material.remarks)
    assert run(["evaluate", str(trained), str(tmp_path), "--json", "-q"]) == 0
    printed = capsys.readouterr()
    assert "warning: 1 of 3 pictures cannot be used, left out: " in printed.err
    assert list(json.loads(printed.out)["data"]["unusable"]) == ["dark/broken.png"]


def test_of_pictures_that_are_not_judged_anyway_nothing_is_said(trained, tmp_path, capsys):
    for part in ("train", "val"):
        for label in CLASSES:
            (tmp_path / part / label).mkdir(parents=True)
            Image.new("RGB", (16, 16)).save(tmp_path / part / label / "a.png")
    (tmp_path / "train" / "dark" / "broken.png").write_bytes(b"no picture")
    for part, left in (("val", []), ("train", ["train/dark/broken.png"]), ("all", ["train/dark/broken.png"])):
        assert run(["evaluate", str(trained), str(tmp_path), "--split", part, "--json", "-q"]) == 0
        printed = capsys.readouterr()
        assert list(json.loads(printed.out)["data"]["unusable"]) == left
        assert ("cannot be used" in printed.err) == bool(left)


def test_a_class_without_a_judged_picture_is_told(trained, tmp_path, capsys):
    (tmp_path / "new" / "dark").mkdir(parents=True)
    Image.new("RGB", (16, 16)).save(tmp_path / "new" / "dark" / "a.png")
    assert run(["evaluate", str(trained), str(tmp_path / "new"), "--out", str(tmp_path / "judged"), "-q"]) == 0
    told = "no judged picture is of 1 of the 2 classes, of which the figures say nothing"
    assert f"warning: {told}: 'light'" in capsys.readouterr().err
    page = (tmp_path / "judged" / "report.html").read_text()
    assert "judged on 1 given picture of 1 of the 2 classes." in page
    assert told in page


def test_findings_of_training_and_of_judged_pictures_stand_apart(trained, tmp_path):
    new = tmp_path / "new"
    for shade, label in enumerate(CLASSES):
        (new / label).mkdir(parents=True)
        Image.new("RGB", (16, 16), (200 * shade,) * 3).save(new / label / "a.png")
        shutil.copy(new / label / "a.png", new / label / "b.png")
    assert run(["evaluate", str(trained), str(new), "--out", str(tmp_path / "judged"), "-q"]) == 0
    page = (tmp_path / "judged" / "report.html").read_text()
    places = [
        page.index(part) for part in ("What it was trained on", "two are alike", "What it was judged on", "of exact duplicates")
    ]
    assert places == sorted(places)
    assert "--folds" not in page
    assert "fewer than 5 training pictures" not in page
    assert "Training data" in page


def test_a_model_without_a_run_asks_for_data(trained, tmp_path):
    lonely = tmp_path / "lonely"
    (trained / "model").rename(lonely)
    try:
        with pytest.raises(UsageError, match="Give DATA"):
            find_material(str(lonely), None, "auto", None, True)
    finally:
        lonely.rename(trained / "model")


def test_out_holds_page_figures_and_predictions(trained, tmp_path, capsys):
    out = tmp_path / "judged"
    assert run(["evaluate", str(trained), "--out", str(out), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    stored = json.loads((out / "evaluation.json").read_text())
    assert printed == stored
    assert stored["pictures"] == 4
    assert stored["data"]["split"] == "val"
    rows = (out / "predictions.csv").read_text().splitlines()
    assert rows[0] == "path,truth,label,score,right"
    assert len(rows) == 5
    assert sum(row.endswith(",1") for row in rows) == round(4 * stored["figures"]["top1"]["value"])
    page = (out / "report.html").read_text()
    for part in ("two are alike", "Top-1 accuracy", "swinkit evaluate", 'id="training"', "shoes on"):
        assert part in page
    assert run(["evaluate", str(trained), "--out", str(out)]) == 2
    assert "not overwritten" in capsys.readouterr().err


def written(folder: Path, format: str) -> Path:
    """A small classifier of :data:`CLASSES` as ``format``; returns its weights."""
    config = configure("swin_nano", num_classes=2, image_size=16, embed_dim=12, depths=(1, 1), num_heads=(1, 2), window_size=4)
    target, state = TARGETS[format], dict(shake(SwinClassifier(config)).state_dict())
    saved = Saved(config, CLASSES, Preprocessing(size=(16, 16), resize="squash"), False, {}, state)
    if target.folder:
        folder.mkdir()
    return target.write(saved, target.state_of(saved), folder)[0]


@pytest.mark.parametrize("format", ["transformers", "timm", "microsoft"])
def test_weights_of_another_library_have_their_report(format, photos, tmp_path, capsys):
    weights = written(tmp_path / ("model" if TARGETS[format].folder else "model.pth"), format)
    model = weights.parent if TARGETS[format].folder else weights
    assert run(["evaluate", str(model), str(photos), "--out", str(tmp_path / "judged"), "--json", "-q"]) == 0
    assert json.loads(capsys.readouterr().out)["pictures"] == 16
    page = (tmp_path / "judged" / "report.html").read_text("utf-8")
    assert hashlib.sha256(weights.read_bytes()).hexdigest() in page
    assert "Swin V1, 1-1 blocks" in page


def test_a_model_on_the_hub_has_its_report(hub: Hub, photos, tmp_path):
    folder = written(tmp_path / "timm", "timm").parent
    hub.repositories["org/swin"] = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert run(["evaluate", "hf-hub:org/swin", str(photos), "--out", str(tmp_path / "judged"), "-q"]) == 0
    page = (tmp_path / "judged" / "report.html").read_text("utf-8")
    assert hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest() in page
    assert "evaluate hf-hub:org/swin" in page
    assert sum("/api/models/" in request for request in hub.requests) == 1


def test_shards_are_each_named(photos, tmp_path):
    folder = written(tmp_path / "model", "transformers").parent
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    place = {name: f"model-0000{1 + number % 2}-of-00002.safetensors" for number, name in enumerate(sorted(state))}
    for part in set(place.values()):
        save_file({name: state[name] for name in place if place[name] == part}, folder / part)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": place}))
    assert run(["evaluate", str(folder), str(photos), "--out", str(tmp_path / "judged"), "-q"]) == 0
    page = (tmp_path / "judged" / "report.html").read_text("utf-8")
    assert all(hashlib.sha256((folder / part).read_bytes()).hexdigest() in page for part in set(place.values()))


def test_what_comes_next_judges_the_same_pictures(trained, photos, capsys):
    words = [str(trained), str(photos), "--split", "train", "--format", "folders", "--image-size", "16x16"]
    assert run(["evaluate", *words]) == 0
    assert capsys.readouterr().err.splitlines()[-1] == f"Next: swinkit evaluate {' '.join(words)} --out evaluation"


def test_the_table_goes_to_stdout_and_the_rest_to_stderr(trained, capsys):
    assert run(["evaluate", str(trained)]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("top1 ")
    assert "light" in printed.out
    assert "Judging on 4 validation pictures" in printed.err


def test_a_missed_gate_ends_with_4_after_everything_is_written(trained, tmp_path, capsys):
    out = tmp_path / "judged"
    assert run(["evaluate", str(trained), "--out", str(out), "--require", "loss=0", "-q"]) == 4
    assert "required: at most 0" in capsys.readouterr().err
    assert (out / "report.html").exists()
    assert run(["evaluate", str(trained), "--require", "top1=0", "--require", "loss=100", "-q"]) == 0


@pytest.mark.parametrize("gate", ["top1", "top1=much", "=0.5", "top9=0.5", "top1=90", "top1=nan"])
def test_a_gate_that_cannot_be_meant_is_a_usage_error(trained, gate, capsys):
    assert run(["evaluate", str(trained), "--require", gate, "-q"]) == 2
    assert "top1" in capsys.readouterr().err


def test_fault_38_predictions_hold_no_formula():
    evaluation = single([0] * len(PAYLOADS), np.eye(len(PAYLOADS)), PAYLOADS)
    rows = predictions(evaluation).decode("utf-8").splitlines()
    assert any("'=cmd|" in row for row in rows)
    assert not any(cell.startswith(("=", "+", "@", '"=')) for row in rows for cell in row.split(","))


def test_the_help_names_every_figure_that_can_be_required() -> None:
    (told,) = [option.help for option in command.params if option.name == "gates"]
    assert set(re.findall(r"[a-z]+\w*", told)) >= {*figure_names(10, False), *figure_names(10, True)}
    assert set(LOWER_IS_BETTER) <= set(re.findall(r"\w+", told.partition("at most")[2]))
