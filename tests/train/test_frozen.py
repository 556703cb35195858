"""A run's config.yaml under another model or size: what it has frozen of its network does not win over what is asked for now."""

import json

import pytest
import yaml

from swinkit.cli.main import run
from swinkit.config import SwinConfig
from swinkit.errors import UsageError
from swinkit.train.frozen import beside, check_agreement
from swinkit.train.prepare import prepare
from swinkit.train.settings import PretrainSettings, TrainSettings
from swinkit.train.start import altered
from swinkit.variants import find

from .pictures import TINY, scatter, write_pictures

SWIN = find("swin_nano").config.model_copy(update={"image_size": (28, 28)}).model_dump(mode="json")
LOOK = {"size": [28, 28], "resize": "squash", "channels": 1, "mean": [0.5], "std": [0.2]}
FILE = {
    "task": "classification",
    "model": "swin_nano",
    "image_size": [28, 28],
    "swin": SWIN,
    "preprocessing": LOOK,
    "epochs": 3,
}


def test_another_model_brings_its_own_network():
    assert beside(FILE, {"model": "swin_t"}) == {"task": "classification", "model": "swin_nano", "epochs": 3}
    assert beside(FILE, {"model": "swin_nano", "image_size": 28}) == FILE


def test_another_name_of_the_same_model_leaves_all_as_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    for before, now in (("swin_t", "swin_tiny_patch4_window7_224"), (str(tmp_path / "a"), "a")):
        assert beside({**FILE, "model": before}, {"model": now}) == {**FILE, "model": before}


def test_settings_of_an_architecture_that_somebody_wrote_are_for_any_model():
    file = {"model": "swin_t", "swin": {"gradient_checkpointing": True}, "image_size": 384}
    assert beside(file, {"model": "swin_b"}) == file


def test_another_size_changes_nothing_but_the_size():
    left = beside(FILE, {"image_size": (32, 32)})
    assert left["swin"] == {name: value for name, value in SWIN.items() if name != "image_size"}
    assert left["preprocessing"] == {name: value for name, value in LOOK.items() if name != "size"}


def test_the_window_of_a_pretraining_follows_its_size():
    assert not {"window_size", "image_size"} & beside({**FILE, "task": "pretraining"}, {"image_size": 192})["swin"].keys()


@pytest.mark.parametrize("kind", [TrainSettings, PretrainSettings])
def test_two_sizes_are_refused_before_pictures_are_looked_at(kind, tmp_path):
    with pytest.raises(UsageError, match=r"image_size is 32, and swin.image_size is 28\. Mend"):
        prepare(kind(data=str(tmp_path / "nowhere"), image_size=32, swin={"image_size": [28, 28]}))


def test_a_name_whose_network_the_settings_change_is_told():
    told = "The settings swin.… change swinv2_t: version 1 instead of 2, embed_dim 32 instead of 96, depths (2, 4, 2) instead of (2, 2, 6, 2), "
    assert altered("swinv2_t", SwinConfig.model_validate(SWIN))[0].startswith(told)
    assert altered("swin_nano", SwinConfig.model_validate({**SWIN, "patch_size": 4, "window_size": 8})) == ()


def test_what_agrees_is_taken():
    check_agreement(TrainSettings(image_size=(28, 28), model="swin_nano", swin=SWIN))
    check_agreement(TrainSettings(image_size=28, swin={"image_size": [28, 28]}))


def planned(capsys, *words):
    assert run([*words, "--dry-run", "--json"]) == 0
    printed = capsys.readouterr()
    return json.loads(printed.out), printed.err


def test_flags_win_over_what_a_run_froze(tmp_path, capsys):
    data, out = write_pictures(tmp_path / "rows"), tmp_path / "run"
    options = [f"--set={name}={value}" for name, value in {**TINY, "epochs": 1}.items()]
    assert run(["train", str(data), "--out", str(out), "-q", *options]) == 0
    capsys.readouterr()
    again = ["train", "--config", str(out / "config.yaml")]
    same, told = planned(capsys, *again)
    assert (same["model"], same["image_size"]) == ("swin_nano", [8, 8])
    assert "swin.… change swin_nano: embed_dim 8 instead of 32" in told  # no label says so
    larger, _ = planned(capsys, *again, "--image-size", "16")
    assert (larger["parameters"], larger["image_size"]) == (same["parameters"], [16, 16])
    other, told = planned(capsys, *again, "--set", "model=swinv2_nano")
    assert (other["model"], other["image_size"]) == ("swinv2_nano", [28, 28])
    assert other["parameters"] > 10 * same["parameters"]
    assert "change swinv2_nano" not in told


def test_flags_win_over_what_a_pretraining_froze(tmp_path, capsys):
    folder = scatter(tmp_path / "pictures", count=12, size=(32, 32))
    file = {"data": str(folder), "model": "swin_nano", "batch_size": 4, "epochs": 1, "cell": 4, "task": "pretraining"}
    frozen = {**file, "image_size": [32, 32], "swin": {**SWIN, "image_size": [32, 32]}, "preprocessing": None}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(frozen))
    again = ["pretrain", "--config", str(tmp_path / "config.yaml")]
    assert planned(capsys, *again, "--image-size", "16")[0]["image_size"] == [16, 16]
    assert planned(capsys, *again, "--model", "swinv2_nano")[0]["model"] == "swinv2_nano"


def test_a_pretraining_completes_what_is_given_of_its_augmentation_too(tmp_path):
    folder = scatter(tmp_path / "pictures", count=12)
    chosen, shifted = (
        prepare(PretrainSettings(data=str(folder), batch_size=4, cell=2, augment=augment)).settings.augment
        for augment in (None, {"erasing": 0.5})
    )
    assert chosen.shift > 0
    assert shifted == chosen.model_copy(update={"erasing": 0.5})
