"""The native layer norm and GELU against torch's."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from swinkit.kernels import mlp, norm
from swinkit.model.block import Mlp

pytestmark = pytest.mark.skipif(norm.kernel()[0] is None, reason=f"no native kernel here: {norm.kernel()[1]}")


@pytest.mark.parametrize("width", [16, 96, 3072])
@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("summed", [False, True])
def test_layer_norm(width, affine, summed):
    x = 3 + torch.randn(5, 7, width)
    weight, bias = (torch.randn(width), torch.randn(width)) if affine else (None, None)
    residual = torch.randn_like(x) if summed else None
    expected = F.layer_norm(x.double(), (width,), *(t if t is None else t.double() for t in (weight, bias)))
    expected = expected + residual if summed else expected
    torch.testing.assert_close(norm.layer_norm(x, weight, bias, residual).double(), expected, rtol=1e-5, atol=1e-5)


def test_in_bfloat16_it_rounds_once():
    x = torch.randn(50, 96).bfloat16()
    exact = F.layer_norm(x.double(), (96,))
    assert (norm.layer_norm(x).double() - exact).abs().max() <= 2**-8 * exact.abs().max()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gelu_and_its_gradient(dtype):
    x = torch.linspace(-8, 8, 1600).to(dtype)
    exact = x.double().requires_grad_()
    value = F.gelu(exact)
    value.sum().backward()
    again, gradient = mlp.gelu_backward(x, torch.ones_like(x))
    precision = {torch.float32: 1e-6, torch.bfloat16: 2**-7}[dtype]
    for found, expected in ((mlp.gelu(x), value), (again, value), (gradient, exact.grad)):
        torch.testing.assert_close(found.double(), expected.detach(), rtol=precision, atol=2e-6)


def test_a_model_that_only_answers_keeps_its_own_mlp():
    module = Mlp(32, 128)
    assert mlp.native_mlp(module, torch.randn(4, 32)) is not None
    with torch.no_grad():
        assert mlp.native_mlp(module, torch.randn(4, 32)) is None
