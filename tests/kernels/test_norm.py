"""The native layer norm against torch's."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from swinkit.kernels import norm

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
