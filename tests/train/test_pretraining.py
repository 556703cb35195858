"""Pre-training as a run: what it reads, how it goes on, what it hands over, and what it says about itself."""

import itertools
import json
import multiprocessing
import os
import random
import signal
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import swinkit
from swinkit.config import Masking, SwinConfig
from swinkit.data.check import examine
from swinkit.data.layouts import open_data, open_unlabelled
from swinkit.data.randomness import MASK, keys
from swinkit.data.split import make_split
from swinkit.errors import DataError, Interrupted, UsageError
from swinkit.explain.reconstruction import find_painter
from swinkit.model.classifier import SwinClassifier
from swinkit.model.simmim import SimMIM
from swinkit.preprocessing import Preprocessing
from swinkit.tasks import described, open_saved
from swinkit.tasks.pretraining import PretrainingMeter, sample_masks
from swinkit.tasks.probing import Probe
from swinkit.train import fit, go_on, pretrain, resume
from swinkit.train.labelled import Labelled
from swinkit.train.loop import Trainer
from swinkit.train.prepare import checked
from swinkit.train.settings import PretrainSettings, TrainSettings
from swinkit.train.start import open_start
from swinkit.train.unlabelled import Unlabelled, as_handed_over, published
from swinkit.weights.files import read_model, save_model
from swinkit.weights.formats import DIALECTS
from swinkit.weights.resize import bicubic
from swinkit.weights.saved import at_size, in_geometry, scaled_window, weights_digest
from swinkit.weights.translation import export

from ..shaking import shake
from . import crash
from .pictures import OPTIONS, TINY, scatter, write_pictures
from .running import stop_at


def test_masks_follow_from_seed_epoch_and_index_alone():
    masking = Masking(cell=4)
    together = sample_masks((28, 28), masking, 3, 5, np.array([7, 1, 4]))
    assert torch.equal(together[1:2], sample_masks((28, 28), masking, 3, 5, np.array([1])))
    others = [sample_masks((28, 28), masking, seed, epoch, np.array([1])) for seed, epoch in ((3, 6), (4, 5))]
    assert all(not torch.equal(together[1:2], other) for other in others)
    assert keys(0, 0, np.arange(3), MASK).dtype == np.uint64


def test_the_labelled_set_is_found_from_any_folder(tmp_path, monkeypatch):
    write_pictures(tmp_path / "labelled")
    monkeypatch.chdir(tmp_path)
    run = pretrain(scatter(tmp_path / "photos"), out="run", probe="labelled", verdict=False, **{**OPTIONS, "epochs": 1})
    config = yaml.safe_load((tmp_path / "run/config.yaml").read_text())
    assert (config["data"], config["probe"]) == (str(tmp_path / "photos"), str(tmp_path / "labelled"))
    monkeypatch.chdir("/")
    resume(tmp_path / run.path)
    (tmp_path / "labelled").rename(tmp_path / "moved")
    with pytest.raises(DataError, match=r"say where: swinkit pretrain --resume .*run DATA --probe DATA"):
        resume(tmp_path / run.path)
    monkeypatch.chdir(tmp_path)
    resume(tmp_path / run.path, {"probe": "moved", "device": "cpu"})
    config = yaml.safe_load((tmp_path / "run/config.yaml").read_text())
    assert (config["probe"], config["device"]) == (str(tmp_path / "moved"), "cpu")


def test_another_labelled_set_is_refused_before_the_last_epoch_and_told_at_the_verdict(tmp_path, monkeypatch):
    first, second = write_pictures(tmp_path / "first"), write_pictures(tmp_path / "second", 60)
    photos, settings = scatter(tmp_path / "photos"), {**OPTIONS, "epochs": 3, "probe": str(first)}
    with monkeypatch.context() as patched:
        stop_at(patched, 4)
        with pytest.raises(Interrupted):
            pretrain(photos, out=tmp_path / "run", **settings)
    for _ in range(2):  # and nothing of it is written down
        with pytest.raises(UsageError, match="of probe are not those the run began with: 48 pictures then, 60 now"):
            resume(tmp_path / "run", {"probe": str(second)})
    monkeypatch.setattr("swinkit.train.verdict.default_epochs", lambda *_, **__: 1)
    assert go_on(tmp_path / "run").verdict
    with pytest.raises(UsageError, match=r"is not what the verdict began with.*finished and stays.*remove .*verdict for a new"):
        go_on(tmp_path / "run", {"probe": str(second)})


@pytest.mark.parametrize(("sparse", "step"), [(False, 3), (True, 1)])
def test_fault_11_a_pretraining_stopped_mid_epoch_ends_with_the_same_weights(sparse, step, tmp_path, monkeypatch):
    data = scatter(tmp_path / "photos")
    whole = pretrain(data, "swin_nano", tmp_path / "whole", sparse=sparse, **OPTIONS)
    with monkeypatch.context() as patched:
        stop_at(patched, step)
        with pytest.raises(Interrupted, match=f"step {step} of .*swinkit pretrain --resume"):
            pretrain(data, "swin_nano", tmp_path / "parts", sparse=sparse, **OPTIONS)
    torch.manual_seed(999)
    assert resume(tmp_path / "parts").sha256 == whole.run.sha256


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_fault_01_and_11_a_pretraining_killed_while_saving_ends_with_the_same_weights(tmp_path):
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["tests.train.crash"])
    data, chance = crash.make_pictures(tmp_path / "pictures"), random.Random(0)

    def ran(run, fatal, moment="before"):
        process = processes.Process(target=crash.pretrained, args=(data, run, fatal, moment))
        process.start()
        process.join(240)
        return process.exitcode

    assert ran(tmp_path / "whole", 0) == 0
    for moment in ("before", "within"):
        assert ran(tmp_path / "killed", chance.randint(5, 25), moment) == -signal.SIGKILL
    assert ran(tmp_path / "killed", 0) == 0
    assert read_model(tmp_path / "killed").sha256 == read_model(tmp_path / "whole").sha256


def test_nested_folders_are_read_and_broken_files_listed(tmp_path):
    data = scatter(tmp_path / "photos")
    (data / "roll0" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno picture")
    (data / "notes.txt").write_text("not a picture")
    run = pretrain(data, "swin_nano", tmp_path / "run", **{**OPTIONS, "epochs": 1})
    recorded = json.loads((run.path / "data.json").read_text())
    assert recorded["unusable"].keys() == {"roll0/broken.png"}
    assert recorded["pictures"] == 25
    assert recorded["classes"] == []
    assert any("notes.txt" in item["message"] for item in recorded["findings"])
    assert (run.path / "reconstruction.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("a/1.png", "pictures in folders whose names are left aside"),
        ("train/a/1.png", "pictures in folders whose names are left aside, but for train"),
        ("1.png", "pictures without class folders: no labels"),
    ],
)
def test_what_is_said_of_labels_is_true(place, told, tmp_path):
    for name in (place, place.replace("1", "2")):
        picture = tmp_path / name
        picture.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(len(name)).integers(0, 256, (16, 16, 3), np.uint8)).save(picture)
    said = []
    checked(PretrainSettings(data=str(tmp_path)), open_unlabelled(tmp_path), said.append, None)
    assert open_unlabelled(tmp_path).reason == told
    assert not [message for message in said if "label" in message]


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("sparse", [False, True])
def test_pictures_of_160x320_and_of_4_channels_are_learned_from(sparse, version, tmp_path):
    """Each axis has its own windows in the last stage, 3x5 where sparse."""
    data = scatter(tmp_path / "fields", 8, (160, 320), channels=4)
    swin = {**OPTIONS["swin"], "version": version, "patch_size": 4, "depths": [1] * 4, "num_heads": [1] * 4, "window_size": 5}
    settings = {**OPTIONS, "swin": swin, "image_size": (160, 320), "epochs": 1, "batch_size": 2, "cell": None, "val": 0.25}
    run = pretrain(data, "swin_nano", tmp_path / "run", sparse=sparse, **settings)
    saved = read_model(run.path)
    assert (saved.config.image_size, saved.config.in_channels) == ((160, 320), 4)
    assert saved.masking.cell == 16
    assert np.isfinite(run.run.validation["loss"])
    assert swinkit.load(run.path)(torch.rand(1, 4, 160, 320)).shape == (1, 64)
    assert swinkit.load(run.path, image_size=(96, 96))(torch.rand(1, 4, 96, 96)).shape == (1, 64)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("version", [1, 2])
def test_the_encoder_is_handed_over_and_windows_grow_with_the_pictures(version, sparse, tmp_path):
    data = write_pictures(tmp_path / "stripes", test=12)
    swin = {**OPTIONS["swin"], "window_size": 6, "version": version}
    run = pretrain(
        data, "swin_nano", tmp_path / "run", sparse=sparse, **{**OPTIONS, "swin": swin, "image_size": 24, "epochs": 1}
    )
    small = {key: value for key, value in TINY.items() if key not in ("swin", "image_size")}
    tuned = fit(data, run.path, tmp_path / "tuned", image_size=28, lr=1e-9, ema=0.0, **{**small, "epochs": 1})
    model = swinkit.load(tuned.path)
    assert (model.config.window_size, model.config.image_size, model.config.num_classes) == ((7, 7), (28, 28), 3)
    before = read_model(run.path).state["backbone.stages.1.blocks.0.mlp.fc1.weight"]
    assert torch.allclose(model.state_dict()["backbone.stages.1.blocks.0.mlp.fc1.weight"], before, atol=1e-6)
    assert model.classes == ("0", "1", "2")


def test_the_first_step_finds_a_head_that_suits_the_encoder_also_after_being_killed_before_it(tmp_path, monkeypatch):
    data = write_pictures(tmp_path / "stripes")
    encoder = pretrain(data, "swin_nano", tmp_path / "run", **OPTIONS).path
    still = {**{key: value for key, value in TINY.items() if key not in ("swin", "image_size")}, "lr": 1e-12, "epochs": 1}
    fitted = fit(data, encoder, tmp_path / "fitted", **still)
    drawn = fit(data, encoder, tmp_path / "drawn", fit_head=False, **still)
    assert fitted.validation["loss"] < 0.7 * drawn.validation["loss"]
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "run", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            fit(data, encoder, tmp_path / "killed", **still)
    assert resume(tmp_path / "killed").sha256 == fitted.sha256


@pytest.mark.parametrize(
    ("version", "dialect", "prefix"), [(1, "microsoft", "encoder."), (2, "microsoft", "encoder."), (2, "simmim", None)]
)
def test_simmim_checkpoints_of_microsoft_load_and_go_on(version, dialect, prefix, tmp_path):
    fields = {
        **OPTIONS["swin"],
        "depths": (2, 2),
        "version": version,
        "image_size": 24,
        "window_size": 3,
        "in_channels": 1,
        "num_classes": 0,
    }
    network = shake(SimMIM(SwinConfig.model_validate(fields), Masking(cell=4)))
    state = export(network.state_dict(), network.config, DIALECTS[dialect], prefix)
    torch.save({"model": state}, tmp_path / "simmim.pth")
    data = write_pictures(tmp_path / "stripes")
    given = TrainSettings(data=str(data), model=str(tmp_path / "simmim.pth"))
    collection = open_data(str(data))
    assert Labelled().start(given, collection, make_split(collection, {}, 0), open_start(given)).learned_from == "pictures"
    options = {**OPTIONS, "swin": None, "image_size": None, "cell": 4, "lr": 1e-12, "ema": 0.0, "epochs": 1, "weight_decay": 0}
    normalise = 47 if version == 2 else 0  # as published
    run = pretrain(data, tmp_path / "simmim.pth", tmp_path / "run", **options, normalise=normalise)
    found = read_model(run.path).state
    assert all(torch.allclose(found[name], tensor, atol=1e-5) for name, tensor in network.state_dict().items())
    assert find_painter(tmp_path / "simmim.pth").network.masking.normalise == normalise
    other = started(data, tmp_path / "simmim.pth", cell=4, normalise=7)
    assert not any(name.startswith("reconstruction.") for name in other.state)
    assert f"learned targets of normalise={normalise}: the encoder alone goes on" in other.notes[-1]


def started(data, model, **settings):
    """What a pre-training from ``model`` would start from."""
    recipe, chosen = Unlabelled(), PretrainSettings(data=str(data), model=str(model), **settings)
    collection = recipe.open(chosen)
    split = recipe.part(chosen, collection, examine(collection), lambda _: None)
    return recipe.start(chosen, collection, split, open_start(chosen))


def begun(data, model, **settings):
    """The network with which it would begin."""
    return started(data, model, **settings).network(0, 0.0).eval()


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("sparse", [False, True])
def test_a_run_goes_on_with_the_very_network_that_it_was(sparse, version, tmp_path):
    """Sparse, tables that were trained in small windows must not pass through larger ones and back."""
    data, masking = scatter(tmp_path / "photos"), Masking(cell=2 if sparse else 4, sparse=sparse)
    config = SwinConfig.model_validate(
        {**OPTIONS["swin"], "version": version, "image_size": 28, "window_size": 7, "num_classes": 0}
    )
    network = shake(SimMIM(config, masking))
    look = Preprocessing(size=(28, 28), resize="squash", mean=(0.5,) * 3, std=(0.5,) * 3)
    save_model(network, tmp_path / "run", preprocessing=look, task="pretraining")
    images, mask = torch.rand(2, 3, 28, 28), sample_masks((28, 28), masking, 0, 0, np.arange(2))
    again = begun(data, tmp_path / "run", sparse=sparse, cell=masking.cell)
    assert torch.equal(again(images, mask), network(images, mask))


@pytest.mark.parametrize("version", [1, 2])
def test_what_a_sparse_run_learned_of_an_offset_holds_for_twice_that_offset(version, tmp_path):
    """Tokens of a compacted map lie two patches apart, to whoever fine-tunes the encoder and to a faithful run that goes on with it."""
    data, config = (
        scatter(tmp_path / "photos"),
        {**OPTIONS["swin"], "version": version, "image_size": 28, "window_size": 7, "num_classes": 0},
    )
    network = shake(SimMIM(SwinConfig.model_validate(config), Masking(cell=2, sparse=True)))
    look = Preprocessing(size=(28, 28), resize="squash", mean=(0.5,) * 3, std=(0.5,) * 3)
    save_model(network, tmp_path / "run", preprocessing=look, task="pretraining")
    for model in (swinkit.load(tmp_path / "run"), begun(data, tmp_path / "run", cell=4)):
        for stage, before in enumerate(network.backbone.stages):
            learned, kept = (map_.blocks[0].attention.bias() for map_ in (before, model.backbone.stages[stage]))
            then, now = (round(bias.shape[1] ** 0.5) for bias in (learned, kept))
            wanted = learned.view(-1, then, then, then, then)[:, 0, 0, : -(-now // 2), : -(-now // 2)]
            torch.testing.assert_close(kept.view(-1, now, now, now, now)[:, 0, 0, ::2, ::2], wanted, atol=1e-5, rtol=1e-5)
    saved = open_saved(tmp_path / "run")
    for again in (at_size(saved, (28, 28)), in_geometry(saved, "classification")):  # it is spread once
        assert all(torch.equal(again.state[name], tensor) for name, tensor in saved.state.items())


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("sparse", [False, True])
def test_features_are_measured_of_what_is_handed_over(sparse, version, tmp_path):
    config = {**OPTIONS["swin"], "version": version, "image_size": 28, "window_size": 7, "num_classes": 0}
    network = shake(SimMIM(SwinConfig.model_validate(config), Masking(cell=2 if sparse else 4, sparse=sparse))).eval()
    look = Preprocessing(size=(28, 28), resize="squash", mean=(0.5,) * 3, std=(0.5,) * 3)
    save_model(network, tmp_path / "run", preprocessing=look, task="pretraining")
    images = torch.rand(2, 3, 28, 28)
    torch.testing.assert_close(as_handed_over(network, look).pooled(images), swinkit.load(tmp_path / "run")(images))


def test_version_2_that_hides_otherwise_is_asked_at_the_offsets_at_which_it_was_trained(tmp_path):
    data = scatter(tmp_path / "photos")
    config = SwinConfig.model_validate({**OPTIONS["swin"], "version": 2, "image_size": 28, "window_size": 7, "num_classes": 0})
    network = shake(SimMIM(config, Masking(cell=4)))
    look = Preprocessing(size=(28, 28), resize="squash", mean=(0.5,) * 3, std=(0.5,) * 3)
    save_model(network, tmp_path / "run", preprocessing=look, task="pretraining")
    sparse = begun(data, tmp_path / "run", sparse=True, cell=2)
    before, now = (model.backbone.stages[1].blocks[0].attention.bias() for model in (network, sparse))
    assert now.shape == (2, 16, 16)
    assert torch.allclose(now.view(2, 4, 4, 4, 4), before.view(2, 7, 7, 7, 7)[:, :4, :4, :4, :4], atol=1e-6)


def test_weights_of_another_masking_lend_their_encoder(tmp_path):
    data = scatter(tmp_path / "photos")
    first = pretrain(data, "swin_nano", tmp_path / "first", **{**OPTIONS, "epochs": 1})
    second = pretrain(data, first.path, tmp_path / "second", sparse=True,
                      **{**OPTIONS, "swin": None, "image_size": None, "epochs": 1, "lr": 1e-12, "ema": 0.0})  # fmt: skip
    assert started(data, first.path, sparse=True).notes[-1].endswith("the encoder alone goes on.")
    name = "backbone.stages.0.blocks.0.mlp.fc1.weight"
    assert torch.allclose(read_model(first.path).state[name], read_model(second.path).state[name], atol=1e-6)
    assert weights_digest(read_model(second.path).state) == second.run.sha256


def test_tables_of_a_classifier_are_resized_by_the_convention_of_its_origin(tmp_path):
    data = scatter(tmp_path / "photos")
    config = SwinConfig.model_validate({**OPTIONS["swin"], "image_size": 28, "window_size": 7, "num_classes": 2})
    network = shake(SwinClassifier(config))
    look = Preprocessing(size=(28, 28), resize="squash", mean=(0.5,) * 3, std=(0.5,) * 3)
    swinkit.save(described(network, ("a", "b"), look), tmp_path / "model")
    sparse = begun(data, tmp_path / "model", sparse=True, cell=2)
    before, now = (model.backbone.stages[1].blocks[0].attention.bias.table for model in (network, sparse))
    assert torch.equal(now, bicubic(before, (7, 7), (4, 4)))


@pytest.mark.parametrize(("size", "window"), [(384, 12), (224, 7), (200, 6), (192, 6), (96, 3), (64, 4), (32, 4)])
def test_a_window_shrinks_with_the_pictures_but_not_to_nothing(size, window):
    assert scaled_window(SwinConfig(image_size=192, window_size=6), (size, size)) == (window, window)
    chosen = published(PretrainSettings(image_size=size), "swin_t")
    assert chosen.swin == {"window_size": min(window, 7)}


def test_the_variant_that_a_gpu_is_given_is_pretrained_as_published(tmp_path, monkeypatch):
    monkeypatch.setattr("swinkit.train.start.find_device", torch.device)
    start = started(scatter(tmp_path / "photos", 8, (100, 120)), "auto", device="cuda")
    assert (start.name, start.config.image_size, start.config.window_size) == ("swin_t", (192, 192), (6, 6))


def test_who_knows_no_classes_is_told_of_pictures(tmp_path):
    with pytest.raises(DataError, match=r"no validation pictures; .*Mend: more pictures that differ, a larger"):
        pretrain(scatter(tmp_path / "photos", 2), "swin_nano", tmp_path / "run", **OPTIONS)


def test_what_early_stopping_ends_is_drawn_at_its_end_and_weighed(tmp_path, monkeypatch):
    monkeypatch.setattr(PretrainingMeter, "compute", lambda self: {"loss": 1.0})
    monkeypatch.setattr("swinkit.train.pretraining.weigh", lambda *_: "weighed")
    settings = {**OPTIONS, "epochs": 9, "patience": 1, "probe_every": 9}
    run = pretrain(scatter(tmp_path / "photos"), "swin_nano", tmp_path / "run", **settings)
    assert (run.run.epochs, run.verdict) == (2, "weighed")
    assert run.run.stopped.startswith("Stopped early at step ")
    assert (run.path / "reconstruction.png").is_file()


def test_a_time_limit_leaves_out_looks_but_not_the_last(tmp_path, monkeypatch):
    clock = itertools.count()  # a second passes whenever it is looked at, and a look takes a hundred

    def measure(self, *_, **__):
        for _ in range(100):
            next(clock)
        return {"knn": 0.5, "linear": 0.5}

    monkeypatch.setattr("swinkit.train.watch.time", SimpleNamespace(monotonic=lambda: float(next(clock))))
    monkeypatch.setattr(Probe, "measure", measure)
    settings = {**OPTIONS, "epochs": 6, "probe_every": 1, "time_limit": 1e6, "verdict": False}
    run = pretrain(
        scatter(tmp_path / "photos"), "swin_nano", tmp_path / "run", probe=str(write_pictures(tmp_path / "few")), **settings
    )
    rows = (run.path / "payoff.csv").read_text().splitlines()[1:]
    assert [row.split(",")[1] for row in rows] == ["1", "6"]
    assert (run.path / "reconstruction.png").is_file()
