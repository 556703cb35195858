"""What the plan says of measures against memory: what they cost where they act, and where one does not."""

from __future__ import annotations

import pytest
import torch

from swinkit.kernels import attention as kernel
from swinkit.kernels.accelerate import accelerate
from swinkit.model.attention import WindowAttention
from swinkit.model.classifier import SwinClassifier
from swinkit.train import sparing as module
from swinkit.train.plan import Rehearsal
from swinkit.train.session import ready
from swinkit.train.settings import TrainSettings
from swinkit.train.sparing import attention_seconds, sparing
from swinkit.train.watch import Display
from swinkit.variants import find

from .pictures import TINY, write_pictures

STEP = Rehearsal(1.0, "32-true", 1)
IMAGES = torch.linspace(-1, 1, 2 * 28 * 28).sin().view(2, 1, 28, 28)


class Mean:
    """A task whose loss needs no labels."""

    def __init__(self):
        self.asked = 0

    def mix(self, batch):
        return batch

    def loss(self, model, part):
        self.asked += 1
        return model(part).square().mean()


def network(**measures):
    return SwinClassifier(find("swin_nano").config.model_copy(update={"in_channels": 1, "num_classes": 3, **measures}))


def test_without_a_measure_nothing_is_said_nor_computed():
    task = Mean()
    assert sparing(task, network(), IMAGES, STEP) == ()
    assert not task.asked


def test_checkpointing_costs_what_goes_forward_again(monkeypatch):
    monkeypatch.setattr(module, "pass_seconds", lambda *_, back: 9.0 if back else 0.25)
    told = sparing(Mean(), network(gradient_checkpointing=True), IMAGES, STEP)
    assert told == (
        "gradient_checkpointing computes all blocks again in the backward pass, about 25% of a step (0.25 of 1 s).",
    )


@pytest.mark.skipif(not kernel.KERNEL.available, reason=f"no native kernel here: {kernel.KERNEL.reason}")
def test_where_the_native_kernel_attends_chunks_are_said_to_have_no_effect_and_have_none(monkeypatch):
    model = accelerate(network(attention_chunk=2)).train()
    [told] = sparing(Mean(), model, IMAGES, STEP)
    assert told.startswith("attention_chunk=2 has no effect here")
    monkeypatch.setattr(WindowAttention, "mix", None)  # whoever takes windows in turn calls it
    Mean().loss(model, IMAGES).backward()


def test_elsewhere_chunks_cost_what_attention_takes_again():
    """A hook sees each attention of a pass, and is gone afterwards; the network is left as it was."""
    model, task = network(attention_chunk=2).eval(), Mean()
    [told] = sparing(task, model, IMAGES, STEP)
    assert told.startswith("attention_chunk=2 computes attention again in the backward pass, about ")
    assert task.asked == 2
    assert attention_seconds(task, model, IMAGES, STEP) > 0
    assert not any(one._forward_hooks or one._forward_pre_hooks for one in model.modules())
    assert not model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_plan_says_so_on_the_screen_and_in_json(tmp_path):
    measures = {"gradient_checkpointing": True, "attention_chunk": 4}
    data = write_pictures(tmp_path / "stripes")
    settings = TrainSettings(**{**TINY, "data": str(data), "swin": {**TINY["swin"], **measures}})
    plan = ready(settings, Display(quiet=True)).plan
    assert "gradient_checkpointing computes all blocks again" in str(plan)
    assert "attention_chunk=4 computes attention again" in str(plan)  # heads of 8 channels are none of the kernel's
    assert plan.to_dict()["sparing"] == plan.sparing
