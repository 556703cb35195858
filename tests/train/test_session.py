"""Whole runs on tiny pictures: what they leave behind, and what stops them."""

import csv
import itertools
import json
import logging
import math
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import swinkit
from swinkit.cli.main import run as command
from swinkit.errors import DataError, Interrupted, UsageError
from swinkit.tasks.classification import ClassificationMeter, ClassificationTask
from swinkit.train import fit, resume
from swinkit.train.checkpoint import CheckpointStore
from swinkit.train.loop import NonFinite, Trainer
from swinkit.train.session import make_fabric, ready
from swinkit.train.settings import RunSettings, TrainSettings
from swinkit.train.watch import RunWatcher
from swinkit.weights.saved import weights_digest

from ..data.pictures import class_folders
from .pictures import TINY, write_pictures
from .running import Heard, logged, skip_rehearsal, stop_at


@pytest.fixture
def data(tmp_path):
    return write_pictures(tmp_path / "rows", test=12)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    write_pictures(folder / "rows", count=96, test=24)
    return fit(folder / "rows", out=folder / "run", **{**TINY, "epochs": 7, "lr": 0.02, "augment": {}, "mixup": 0, "cutmix": 0})


def test_a_run_goes_on_although_the_model_that_it_began_with_is_gone(finished, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(finished.path / "model", "start")
    with monkeypatch.context() as patched:
        stop_at(patched, 2)
        with pytest.raises(Interrupted):
            fit(data, "start", "tuned", **{**TINY, "swin": None, "image_size": None, "epochs": 1})
    assert yaml.safe_load(Path("tuned/config.yaml").read_text())["model"] == str(tmp_path / "start")
    shutil.rmtree("start")
    assert resume("tuned").step == 5


def test_it_learns_and_leaves_a_whole_run_folder(finished):
    assert finished.test["top1"] > 0.9
    names = {path.name for path in finished.path.iterdir()}
    assert names >= {"config.yaml", "env.json", "data.json", "metrics.csv", "log.txt", "checkpoints", "model"}
    rows = list(csv.DictReader((finished.path / "metrics.csv").open()))
    assert [int(row["epoch"]) for row in rows] == list(range(1, 8))
    model = swinkit.load(finished.path)
    assert weights_digest(model.state_dict()) == finished.sha256
    assert model.classes == tuple(json.loads((finished.path / "data.json").read_text())["classes"])


def test_its_config_reproduces_it(finished, tmp_path):
    config = yaml.safe_load((finished.path / "config.yaml").read_text())
    assert fit(**config, out=tmp_path / "again").sha256 == finished.sha256


@pytest.mark.parametrize("step", [2, 5, 10])
def test_fault_11_a_run_stopped_mid_epoch_ends_with_the_same_weights(step, data, tmp_path, monkeypatch):
    settings = {**TINY, "mixup": 0.2, "cutmix": 1.0, "drop_path": 0.2, "augment": {"shift": 1, "erasing": 0.5}}
    whole = fit(data, out=tmp_path / "whole", **settings)
    with monkeypatch.context() as patched:
        stop_at(patched, step)
        with pytest.raises(Interrupted, match=f"step {step} of 15.*--resume"):
            fit(data, out=tmp_path / "parts", **settings)
    torch.manual_seed(999)  # whatever happened in between
    parts = resume(tmp_path / "parts")
    assert parts.sha256 == whole.sha256
    assert parts.validation == whole.validation
    rows = [logged(folder) for folder in (whole.path, parts.path)]
    assert rows[0] == rows[1]
    assert len(rows[0]) == 3


def test_the_time_of_a_stopped_epoch_counts_and_a_checkpoint_that_knows_nothing_of_the_epoch_is_gone_on_from(
    data, tmp_path, monkeypatch
):
    with monkeypatch.context() as patched:
        stop_at(patched, 7)
        with pytest.raises(Interrupted):
            fit(data, out=tmp_path / "run", **TINY)
    shutil.copytree(tmp_path / "run", tmp_path / "older")
    for run, change in (
        ("run", lambda state: state["epoch"].update(seconds=1000.0)),
        ("older", lambda state: state.pop("epoch")),
    ):
        store = CheckpointStore(tmp_path / run / "checkpoints")
        checkpoint = store.newest_valid()
        change(checkpoint.state)
        store.save(checkpoint.state, checkpoint.step)
    assert resume(tmp_path / "run").sha256 == resume(tmp_path / "older").sha256
    seconds = [float(list(csv.DictReader((tmp_path / run / "metrics.csv").open()))[1]["seconds"]) for run in ("run", "older")]
    assert seconds[0] >= 1000 > seconds[1]
    assert logged(tmp_path / "run")[2] == logged(tmp_path / "older")[2]


def test_fault_06_a_loss_that_is_not_finite_changes_no_weight_and_names_the_files(data, tmp_path, monkeypatch):
    loss, calls = ClassificationTask.loss, []

    def poisoned(self, model, batch):
        calls.append(batch.indices.tolist())
        return loss(self, model, batch) * (float("nan") if len(calls) == 9 else 1.0)

    kept = {}
    change = Trainer.change

    def observed(self, batch, loss):
        kept["before"] = weights_digest(self.model.module.state_dict())
        try:
            return change(self, batch, loss)
        finally:
            kept["after"], kept["trainer"] = weights_digest(self.model.module.state_dict()), self

    skip_rehearsal(monkeypatch)
    monkeypatch.setattr(ClassificationTask, "loss", poisoned)
    monkeypatch.setattr(Trainer, "change", observed)
    with pytest.raises(NonFinite) as fault:
        fit(data, out=tmp_path / "run", **TINY)
    assert kept["before"] == kept["after"]
    assert all(name in str(fault.value) for name in kept["trainer"].feed.names(calls[8]))
    saved = CheckpointStore(tmp_path / "run" / "checkpoints").newest_valid()
    assert saved.step == 8
    assert weights_digest(saved.state["model"]) == kept["before"]


def test_a_gradient_that_only_muon_would_turn_is_not_used_if_it_is_not_finite(data, tmp_path, monkeypatch):
    gradients, kept = Trainer.gradients, {}

    def overflowing(self, batch):
        loss = gradients(self, batch)
        muon = self.optimizers[1]
        muon.param_groups[0]["params"][0].grad[0, 0] = torch.inf
        kept["before"] = weights_digest(self.model.module.state_dict())
        return loss

    skip_rehearsal(monkeypatch)
    monkeypatch.setattr(Trainer, "gradients", overflowing)
    with pytest.raises(NonFinite):
        fit(data, out=tmp_path / "run", **TINY, optimizer="muon")
    saved = CheckpointStore(tmp_path / "run" / "checkpoints").newest_valid()
    assert weights_digest(saved.state["model"]) == kept["before"]


def interrupted_run(data, tmp_path, monkeypatch, **settings):
    with monkeypatch.context() as patched:
        stop_at(patched, 3)
        with pytest.raises(Interrupted):
            fit(data, out=tmp_path / "run", **{**TINY, **settings})
    return tmp_path / "run"


def test_fault_13_a_changed_configuration_is_refused_with_the_difference(data, tmp_path, monkeypatch):
    run = interrupted_run(data, tmp_path, monkeypatch)
    with pytest.raises(UsageError, match="epochs was 3, is now 9"):
        resume(run, {"epochs": 9})
    with pytest.raises(UsageError, match="lr was"):
        resume(run, {"lr": 0.5, "workers": 0})
    resume(run, {"workers": 0, "time_limit": 5.0})


def test_fault_13_a_configuration_edited_in_the_run_is_refused_with_the_difference(data, tmp_path, monkeypatch):
    run = interrupted_run(data, tmp_path, monkeypatch)
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(config.replace("epochs: 3", "epochs: 4").replace("batch_size: 8", "batch_size: 16"))
    with pytest.raises(
        UsageError, match=r"config\.yaml was changed since: batch_size was 8, is now 16; epochs was 3, is now 4\."
    ):
        resume(run)
    store = CheckpointStore(run / "checkpoints")
    checkpoint = store.newest_valid()
    del checkpoint.state["settings"]  # as an older version saved it
    store.save(checkpoint.state, checkpoint.step)
    assert resume(run).epochs == 4


def test_fault_13_changed_pictures_are_refused(data, tmp_path, monkeypatch):
    run = interrupted_run(data, tmp_path, monkeypatch)
    write_pictures(data, count=60, test=12)
    with pytest.raises(UsageError, match="60 pictures then, 72 now"):
        resume(run)


def test_pictures_that_moved_are_found_again_by_whoever_comes_after_the_run(data, tmp_path, monkeypatch):
    run = interrupted_run(data, tmp_path, monkeypatch)
    data.rename(tmp_path / "moved")
    with pytest.raises(DataError, match="rows does not exist"):
        resume(run)
    monkeypatch.chdir(tmp_path)
    resume(run, {"data": "moved"})
    assert yaml.safe_load((run / "config.yaml").read_text())["data"] == str(tmp_path / "moved")
    monkeypatch.chdir("/")
    assert command(["evaluate", str(run), "-q"]) == 0


def test_fault_13_a_changed_class_list_is_refused(data, tmp_path, monkeypatch):
    run = interrupted_run(data, tmp_path, monkeypatch)
    write_pictures(data, classes=4, test=12)
    with pytest.raises(UsageError, match=r"added \['3'\], gone \[\]"):
        resume(run)


def test_fault_14_other_versions_go_on_and_are_marked_as_not_bitwise(data, tmp_path, monkeypatch):
    run = interrupted_run(data, tmp_path, monkeypatch)
    environment = json.loads((run / "env.json").read_text())
    (run / "env.json").write_text(json.dumps({**environment, "torch": "1.0"}))
    resume(run)
    log = (run / "log.txt").read_text()
    assert "torch was 1.0" in log
    assert "may not end with the same bits" in log


def test_fine_tuning_keeps_the_backbone_and_renews_the_head(finished, tmp_path):
    data = write_pictures(tmp_path / "other", classes=4, seed=7)
    tuned = fit(data, finished.path, tmp_path / "tuned", epochs=1, batch_size=8, lr=1e-9, ema=0.0, threads=1, tensorboard=False)
    before, after = swinkit.load(finished.path), swinkit.load(tuned.path)
    assert after.config.num_classes == 4
    assert after.preprocessing == before.preprocessing
    name = "backbone.stages.1.blocks.0.mlp.fc1.weight"
    assert torch.allclose(before.state_dict()[name], after.state_dict()[name], atol=1e-6)


def test_early_stopping_and_the_best_weights(data, tmp_path):
    run = fit(data, out=tmp_path / "run", **{**TINY, "epochs": 30, "lr": 1e-12, "patience": 2, "keep": "best"})
    log = (tmp_path / "run" / "log.txt").read_text("utf-8")
    assert (log.count("(best)"), "top5" in log) == (1, False)  # an equal epoch is no better one
    assert run.epochs == 3  # the first evaluation sets the mark, two more do not better it
    told = "Stopped early at step 15 of 150: no better for 2 evaluations; best at step 5."
    assert (run.stopped, run.finished, told in log) == (told, True, True)
    assert resume(run.path).stopped == told


def test_a_time_limit_shortens_the_schedule_unless_epochs_are_given(data, tmp_path, monkeypatch):
    skip_rehearsal(monkeypatch, seconds=1.0)
    settings = {key: value for key, value in TINY.items() if key != "epochs"}
    run = fit(data, out=tmp_path / "run", time_limit=0.2, **settings)
    assert 1 <= run.epochs <= 2  # twelve seconds hold two epochs of five steps of a second


def test_a_time_limit_that_is_over_ends_with_a_model_and_the_run_can_go_on(data, tmp_path, monkeypatch):
    settings = {**TINY, "keep": "best"}
    whole = fit(data, out=tmp_path / "whole", **settings)
    with monkeypatch.context() as patched:
        asked = itertools.count(1)
        patched.setattr(RunWatcher, "out_of_time", property(lambda self: next(asked) >= 7))
        run = fit(data, out=tmp_path / "run", time_limit=1000.0, **settings)
    assert run.step == 7
    assert "step 7 of 15: the time limit" in run.stopped
    assert f"--resume {run.path}" in run.stopped
    assert not run.finished
    assert weights_digest(swinkit.load(run.path).state_dict()) == run.sha256
    rest = resume(run.path, {"time_limit": 1000.0})
    assert (rest.sha256, rest.stopped) == (whole.sha256, None)


def test_no_step_is_shown_twice_after_a_kill(data, tmp_path, monkeypatch):
    run = interrupted_run(data, tmp_path, monkeypatch, tensorboard=True, epochs=8)
    save = CheckpointStore.save
    monkeypatch.setattr(CheckpointStore, "save", lambda self, state, step: save(self, state, step) if step == 40 else None)
    with monkeypatch.context() as patched:
        stop_at(patched, 20)
        with pytest.raises(Interrupted):
            resume(run)  # logs up to step 23, saves nothing
    resume(run)
    events = EventAccumulator(str(run / "tensorboard")).Reload()
    for tag in ("train/loss", "val/top1"):
        steps = [event.step for event in events.Scalars(tag)]
        assert steps == sorted(set(steps)), tag


def test_validation_pictures_without_a_label_say_nothing_and_break_nothing(tmp_path):
    lines = ["file_name,labels,split"]
    for number in range(24):
        name = f"{number}.png"
        Image.fromarray(np.random.default_rng(number).integers(0, 255, (8, 8, 3), np.uint8)).save(tmp_path / name)
        lines.append(f"{name},{'' if number >= 18 else 'ab'[number % 2]},{'val' if number >= 18 else 'train'}")
    (tmp_path / "metadata.csv").write_text("\n".join(lines))
    run = fit(tmp_path, out=tmp_path / "run", workers=0, **{**TINY, "keep": "best", "patience": 1})
    assert set(run.validation) == {"loss"}
    assert run.epochs == 3
    assert "NaN" not in (run.path / "model" / "config.json").read_text()


def test_a_figure_that_is_no_number_is_never_the_best(data, tmp_path, monkeypatch):
    measured, spoilt = ClassificationMeter.compute, iter([{"top1": math.nan}])
    monkeypatch.setattr(ClassificationMeter, "compute", lambda self: {**measured(self), **next(spoilt, {})})
    run = fit(data, out=tmp_path / "run", **{**TINY, "keep": "best"})
    first, second, *_ = [line for line in (run.path / "log.txt").read_text().splitlines() if "  epoch " in line]
    assert "best" not in first
    assert "best" in second


def test_a_class_whose_only_picture_validates_is_named(tmp_path):
    data = class_folders(tmp_path / "photos", ("cat", "dog"), 6)
    class_folders(data, ("emu",), 1)
    heard = Heard()
    for share, named in ((0.6, True), (0.2, False)):
        heard.said.clear()
        ready(TrainSettings(data=str(data), **{**TINY, "val": share, "workers": 0}), heard)
        assert ("warning: no picture of 1 class is left to learn from: 'emu'" in heard.said) == named


def test_nothing_is_written_for_data_that_cannot_be_learned(tmp_path):
    with pytest.raises(DataError):
        fit(tmp_path / "absent", out=tmp_path / "run", **TINY)
    assert not (tmp_path / "run").exists()


def test_folds_validate_on_one_part_each(data, tmp_path):
    parts = [fit(data, out=tmp_path / str(fold), **{**TINY, "epochs": 1, "folds": 3, "fold": fold}).path for fold in (0, 2)]
    first, last = (set(json.loads((path / "data.json").read_text())["split"]["val"]) for path in parts)
    assert len(first) == len(last) == 16
    assert not first & last


def test_precision_is_told_by_the_plan_alone(caplog):
    with caplog.at_level(logging.INFO):
        make_fabric(RunSettings(task="classification", precision="bf16-mixed", device="cpu"))
    assert not caplog.records


@pytest.mark.parametrize("strategy", ["ddp", "nonsense"])
def test_a_strategy_for_several_devices_is_refused_before_a_folder_is_taken(strategy, data, tmp_path):
    with pytest.raises(UsageError, match=rf"strategy={strategy}.*leave strategy out"):
        fit(data, out=tmp_path / "run", **TINY, strategy=strategy)
    assert not (tmp_path / "run").exists()


def test_threads_of_a_run_are_its_own(data, tmp_path, monkeypatch):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        run = interrupted_run(data, tmp_path, monkeypatch, threads=1)
        assert torch.get_num_threads() == 2
        assert resume(run).finished
        assert torch.get_num_threads() == 2
        other = fit(data, out=tmp_path / "other", **{**TINY, "threads": None, "epochs": 1})
        assert yaml.safe_load((other.path / "config.yaml").read_text())["threads"] == 2
    finally:
        torch.set_num_threads(before)


def test_a_folder_that_is_no_run_is_not_said_to_be_one(data, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"ever overwritten\. Mend: choose another --out"):
        fit(data, out=tmp_path, **TINY)


def test_a_run_whose_files_were_edited_says_what_does_not_fit(finished, tmp_path):
    run = shutil.copytree(finished.path, tmp_path / "run")
    config, data = (run / "config.yaml").read_text(), (run / "data.json").read_text()
    (run / "config.yaml").write_text(config + "epoch: 3\n")
    with pytest.raises(UsageError, match=r"No such setting 'epoch'\. Did you mean 'epochs'"):
        resume(run)
    (run / "config.yaml").write_text(config)
    (run / "data.json").write_text(json.dumps({"split": json.loads(data)["split"]}))
    with pytest.raises(UsageError, match=r"no classes, pictures, fingerprint.*Mend"):
        resume(run)


@pytest.mark.skipif(sys.platform != "linux", reason="file names are text elsewhere")
def test_names_that_are_no_text_are_learned_from_and_judged(tmp_path, capsys):
    data = tmp_path / os.fsdecode(b"photos\xe9")
    for index in range(12):
        picture = data / os.fsdecode(b"class\xe9" if index % 2 else b"other") / os.fsdecode(b"\xe9%d.png" % index)
        picture.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(index).integers(0, 256, (8, 8, 3), np.uint8)).save(picture)
    run = fit(data, out=tmp_path / "run", **{**TINY, "epochs": 1, "val": 0.3}).path
    assert swinkit.load(run).classes == (os.fsdecode(b"class\xe9"), "other")
    assert resume(run).step == 1
    assert command(["evaluate", str(run), "-q"]) == 0
