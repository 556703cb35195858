"""What an accelerated model cannot differentiate it refuses, and everything that takes a first derivative still gets it."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.autograd import functional
from torch.utils.checkpoint import checkpoint

from swinkit import create_model
from swinkit.kernels import norm
from swinkit.kernels.accelerate import accelerate
from tests.shaking import shake

pytestmark = pytest.mark.skipif(not norm.KERNEL.available, reason=f"no native kernel here: {norm.KERNEL.reason}")
VARIANTS = ("swin_nano", "swinv2_nano")


def pair(variant: str) -> tuple[torch.nn.Module, torch.nn.Module, torch.Tensor]:
    plain = shake(create_model(variant)).eval()
    return plain, accelerate(copy.deepcopy(plain)), torch.randn(1, 3, 28, 28)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("answer", ["pooled", "features", "logits"])
def test_a_second_derivative_is_refused(variant, answer):
    """Also where the gradient that comes is a constant, of which torch asks nothing."""
    _, fast, images = pair(variant)
    fast.head.requires_grad_(False)
    images.requires_grad_()
    found = {"pooled": fast.pooled, "features": lambda x: fast.features(x)[-1], "logits": fast}[answer](images)
    with pytest.raises(RuntimeError, match=r"no second derivative.*Mend: .*swinkit\.load"):
        torch.autograd.grad(found.sum(), images, create_graph=True)


@pytest.mark.parametrize("ask", [functional.hessian, functional.hvp, functional.vhp])
def test_no_hessian_is_zero(ask):
    _, fast, images = pair("swin_nano")
    more = () if ask is functional.hessian else (torch.ones_like(images),)
    with pytest.raises(RuntimeError, match="no second derivative"):
        ask(lambda x: fast(x)[0, 0], images, *more)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_batch_of_gradients_is_refused_in_a_sentence(variant):
    _, fast, images = pair(variant)
    with pytest.raises(RuntimeError, match=r"one gradient at a time.*Mend: "):
        functional.jacobian(lambda x: fast(x)[0, :3], images, vectorize=True)
    images.requires_grad_()
    with pytest.raises(RuntimeError, match="one gradient at a time"):
        torch.autograd.grad(fast.pooled(images)[0, :3], images, torch.eye(3), is_grads_batched=True)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("reentrant", [False, True])
def test_first_derivatives_pass_checkpoints_and_saved_tensors(variant, reentrant):
    slopes = []
    plain, fast, images = pair(variant)
    for model in (plain, fast):
        x = images.clone().requires_grad_()
        with torch.autograd.graph.save_on_cpu():
            checkpoint(model, x, use_reentrant=reentrant).square().sum().backward()
        slopes.append(x.grad)
        slopes.append(functional.jacobian(lambda z, model=model: model(z)[0, :2], images))
    torch.testing.assert_close(slopes[:2], slopes[2:], rtol=1e-4, atol=1e-4)
