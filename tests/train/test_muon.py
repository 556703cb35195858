"""Batched Muon against torch's, which turns matrix by matrix."""

import copy

import pytest
import torch

from swinkit.devices import computes_bfloat16
from swinkit.train import muon
from swinkit.train.muon import BatchedMuon, orthogonal

SHAPES = [(8, 24), (24, 8), (8, 24), (8, 8), (6, 5), (48, 96)]


@pytest.mark.parametrize("batch", [muon.ELEMENTS_AT_ONCE, 400, 1])
def test_it_steps_as_torch_does_whatever_is_turned_together(monkeypatch, batch):
    monkeypatch.setattr(muon, "ELEMENTS_AT_ONCE", batch)
    torch.manual_seed(0)
    ours = [torch.nn.Parameter(torch.randn(shape)) for shape in SHAPES]
    theirs, begun = copy.deepcopy(ours), [weight.detach().clone() for weight in ours]

    def groups(weights):
        fast = {"params": weights[::2], "lr": 0.02, "weight_decay": 0.1}
        return [fast, {"params": weights[1::2], "lr": 0.005, "weight_decay": 0.0}]

    optimizers = [
        BatchedMuon(groups(ours), 0.01, 0.05),
        torch.optim.Muon(groups(theirs), lr=0.01, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
    ]
    for _ in range(3):
        for one, other in zip(ours, theirs, strict=True):
            one.grad = torch.randn_like(one)
            other.grad = one.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for one, other, before in zip(ours, theirs, begun, strict=True):
        assert (one - other).norm() < 0.03 * (
            other - before
        ).norm()  # bfloat16 rounds to 0.4 %, in 15 products one after another
    states = [optimizer.state_dict() for optimizer in optimizers]
    assert states[0]["state"].keys() == states[1]["state"].keys()
    assert states[0]["state"][0].keys() == states[1]["state"][0].keys() == {"momentum_buffer"}


def test_weights_without_gradient_stay():
    weight = torch.nn.Parameter(torch.ones(2, 3))
    BatchedMuon([weight], 0.1, 0.1).step()
    assert torch.equal(weight, torch.ones(2, 3))


def test_singular_values_come_near_one_without_bfloat16_too(monkeypatch):
    matrices = torch.randn(4, 10, 30, generator=torch.Generator().manual_seed(1))
    for emulated in (False, computes_bfloat16(torch.device("cpu"))):
        monkeypatch.setattr(muon, "computes_bfloat16", lambda _, found=emulated: found)
        turned = orthogonal(matrices, (3.4445, -4.775, 2.0315), 5, 1e-7)
        assert turned.dtype == (torch.bfloat16 if emulated else torch.float32)
        values = torch.linalg.svdvals(turned.float())
        assert values.min() > 0.6
        assert values.max() < 1.3
        left, _, right = torch.linalg.svd(matrices, full_matrices=False)
        assert ((left @ right) * turned.float()).sum((1, 2)).min() > 0.7 * 10  # the same directions
