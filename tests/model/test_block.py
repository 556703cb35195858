"""Similarities, stochastic depth, the extra norm."""

import math

import pytest
import torch

from swinkit.config import SwinConfig
from swinkit.model.attention import ScaledCosine, attend
from swinkit.model.block import Block, DropPath


@pytest.mark.parametrize("bias_of", [(3, 5, 5), (4, 3, 5, 5)], ids=["each head", "each window and head"])
def test_attend_is_softmax_of_the_biased_products(bias_of):
    q, k, v = torch.randn(3, 2, 4, 3, 5, 6, dtype=torch.float64)
    bias = torch.randn(bias_of, dtype=torch.float64)
    expected = (0.4 * q @ k.transpose(-1, -2) + bias).softmax(-1) @ v
    torch.testing.assert_close(attend(q, k, v, bias, 0.4), expected)


def test_cosine_scale_is_clamped_at_100():
    similarity = ScaledCosine(2)
    with torch.no_grad():
        similarity.logit_scale.copy_(torch.tensor([math.log(200), math.log(20)])[:, None, None])
    q, k, scale = similarity(*torch.randn(2, 1, 1, 2, 4, 8))
    assert scale == 1
    torch.testing.assert_close(q.norm(dim=-1)[0, 0], torch.tensor([[100.0] * 4, [20.0] * 4]))
    torch.testing.assert_close(k.norm(dim=-1), torch.ones(1, 1, 2, 4))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_zero_key_stays_zero_and_has_a_finite_gradient(dtype):
    keys = torch.zeros(1, 1, 1, 3, 4, dtype=dtype, requires_grad=True)
    _, k, _ = ScaledCosine(1)(torch.ones_like(keys), keys)
    assert k.dtype == dtype
    assert not k.any()
    k.sum().backward()
    assert keys.grad.isfinite().all()


def test_drop_path_keeps_the_expectation_and_drops_whole_samples():
    torch.manual_seed(0)
    x = torch.ones(20_000, 2, 2, 1)
    out = DropPath(0.3).train()(x)
    assert abs(out.mean().item() - 1) < 0.02
    assert out.unique().tolist() == pytest.approx([0, 1 / 0.7])
    assert torch.equal(out.amin((1, 2, 3)), out.amax((1, 2, 3)))


def test_drop_path_is_the_identity_in_evaluation():
    x = torch.randn(4, 3)
    assert DropPath(0.9).eval()(x) is x


def test_drop_path_rates_rise_over_the_whole_depth():
    config = SwinConfig(drop_path_rate=0.3, depths=(2, 3), num_heads=(3, 6))
    rates = config.drop_path_rates(0) + config.drop_path_rates(1)
    assert rates == pytest.approx([0, 0.075, 0.15, 0.225, 0.3])


def test_the_extra_norm_follows_every_sixth_block_of_a_stage():
    config = SwinConfig(version=2, embed_dim=8, depths=(2, 12), num_heads=(1, 2), extra_norm_every=6)
    normed = [index for index in range(12) if isinstance(Block(config, 1, index).norm3, torch.nn.LayerNorm)]
    assert normed == [5, 11]
