"""When memory runs out: batches are computed in parts, weights never half changed, and what cannot be done is said."""

import pytest
import torch
import yaml

from swinkit.errors import SwinkitError
from swinkit.tasks.classification import ClassificationMeter, ClassificationTask
from swinkit.train import fit
from swinkit.train.ema import WeightAverage

from .pictures import TINY, write_pictures
from .running import skip_rehearsal


@pytest.fixture
def data(tmp_path):
    return write_pictures(tmp_path / "rows", test=12)


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory: 1 bytes")]
)
def test_fault_07_out_of_memory_halves_the_parts_and_keeps_the_batch(error, data, tmp_path, monkeypatch):
    loss, largest = ClassificationTask.loss, []

    def greedy(self, model, batch):
        if len(batch) > 3:
            raise error
        largest.append(len(batch))
        return loss(self, model, batch)

    judged = ClassificationMeter.update

    def greedy_judge(self, model, batch):
        if len(batch) > 3:
            raise error
        judged(self, model, batch)

    settings = {**TINY, "mixup": 0, "cutmix": 0, "drop_path": 0.0}
    whole = fit(data, out=tmp_path / "whole", **settings)
    skip_rehearsal(monkeypatch)
    monkeypatch.setattr(ClassificationTask, "loss", greedy)
    monkeypatch.setattr(ClassificationMeter, "update", greedy_judge)
    parts = fit(data, out=tmp_path / "parts", **settings)
    assert max(largest) == 2
    assert "still 8 per step" in (parts.path / "log.txt").read_text()
    assert parts.step == whole.step
    assert parts.validation["loss"] == pytest.approx(whole.validation["loss"], abs=1e-3)  # the same batches, summed in parts


def test_out_of_memory_while_the_weights_change_ends_the_run_and_takes_no_step_twice(data, tmp_path, monkeypatch):
    skip_rehearsal(monkeypatch)
    steps, update = [], WeightAverage.update

    def greedy(self, model):
        steps.append(1)
        if len(steps) == 3:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: 1 bytes")
        update(self, model)

    monkeypatch.setattr(WeightAverage, "update", greedy)
    with pytest.raises(SwinkitError, match="Out of memory at step 2 while the weights changed"):
        fit(data, out=tmp_path / "run", **TINY)
    assert len(steps) == 3


def test_the_rehearsal_finds_parts_that_fit(data, tmp_path, monkeypatch):
    loss = ClassificationTask.loss

    def greedy(self, model, batch):
        if len(batch) > 4:
            raise torch.OutOfMemoryError("out of memory")
        return loss(self, model, batch)

    monkeypatch.setattr(ClassificationTask, "loss", greedy)
    run = fit(data, out=tmp_path / "run", **{**TINY, "epochs": 1})
    assert yaml.safe_load((run.path / "config.yaml").read_text())["accumulate"] == 2
    assert "Out of memory" not in (run.path / "log.txt").read_text()


def test_a_single_picture_that_does_not_fit_is_explained(data, tmp_path, monkeypatch):
    def never(self, model, batch):
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(ClassificationTask, "loss", never)
    with pytest.raises(SwinkitError, match="gradient_checkpointing"):
        fit(data, out=tmp_path / "run", **TINY)
