"""Kernels stand aside for hooks, adapters, transforms and formulas of somebody's own, all of which they would pass over."""

import copy

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from swinkit import create_model
from swinkit.kernels import mlp
from swinkit.kernels.accelerate import accelerate
from swinkit.model.windows import WindowGrid
from tests.shaking import shake

needs_kernels = pytest.mark.skipif(not mlp.KERNEL.available, reason=f"no native kernel here: {mlp.KERNEL.reason}")


def test_kernels_stand_aside_where_operators_are_watched_or_replaced():
    """A counter of FLOPs sees no kernel, and tensors without numbers have no memory that one could read."""
    plain, images = create_model("swin_nano"), torch.randn(2, 3, 28, 28)
    fast = accelerate(copy.deepcopy(plain))
    totals = []
    for model in (plain, fast):
        with FlopCounterMode(display=False) as counter:
            model(images)
        totals.append(counter.get_total_flops())
    assert totals[0] == totals[1] > 0
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        assert fast(mode.from_tensor(images)).shape == plain(images).shape


def test_another_default_device_does_not_matter():
    model, images = accelerate(create_model("swin_nano")), torch.randn(2, 3, 28, 28)
    expected = model(images)
    with torch.device("meta"):
        assert torch.equal(model(images), expected)


@needs_kernels
@pytest.mark.parametrize("variant", ["swin_nano", "swinv2_nano"])
def test_kernels_stand_aside_for_derivatives_forwards(variant):
    """They have none in that direction."""
    plain, images, towards = create_model(variant).eval(), torch.randn(2, 3, 28, 28), torch.randn(2, 3, 28, 28)
    slopes = []
    for model in (plain, accelerate(copy.deepcopy(plain))):
        with forward_ad.dual_level(), sdpa_kernel(SDPBackend.MATH):
            slopes.append(forward_ad.unpack_dual(model(forward_ad.make_dual(images, towards))).tangent)
    torch.testing.assert_close(*slopes, rtol=1e-4, atol=1e-5)


@needs_kernels
@pytest.mark.parametrize("name", ["attention.qkv", "attention.similarity", "mlp.fc1", "mlp.act", "mlp.fc2", "norm1", "norm2"])
@pytest.mark.parametrize("variant", ["swin_nano", "swinv2_nano"])
def test_hooks_at_what_a_kernel_computes_are_heard(variant, name):
    block = accelerate(create_model(variant)).backbone.stages[1].blocks[0]
    x, heard = torch.randn(1, 7, 7, 64), []
    expected = block(x, WindowGrid.regular(x, (7, 7)))
    block.get_submodule(name).register_forward_hook(lambda *_: heard.append(name))
    torch.testing.assert_close(block(x, WindowGrid.regular(x, (7, 7))), expected, rtol=1e-4, atol=1e-5)
    assert heard == [name]


def halved(layer):
    """``layer`` with another ``forward`` of its own, as libraries that patch instances give it."""
    forward = layer.forward
    layer.forward = lambda x: forward(x) / 2


@needs_kernels
@pytest.mark.parametrize("name", ["attention.qkv", "attention.proj", "mlp.fc1", "mlp.fc2", "norm1"])
@pytest.mark.parametrize("variant", ["swin_nano", "swinv2_nano"])
def test_a_forward_that_was_replaced_is_the_one_that_computes(variant, name):
    plain, x = shake(create_model(variant)).backbone.stages[1].blocks[0], torch.randn(1, 7, 7, 64)
    fast = accelerate(copy.deepcopy(plain))
    for block in (plain, fast):
        halved(block.get_submodule(name))
    answers = [block(x, WindowGrid.regular(x, (7, 7))) for block in (plain, fast)]
    torch.testing.assert_close(*answers, rtol=1e-4, atol=1e-5)


@needs_kernels
def test_another_activation_is_not_taken_for_the_published_one():
    mlp, x = shake(create_model("swin_nano")).backbone.stages[1].blocks[0].mlp, 3 * torch.randn(1, 7, 7, 64)
    published = mlp(x)
    mlp.act = nn.GELU(approximate="tanh")
    expected = mlp(x)
    assert (expected - published).abs().max() > 1e-4
    torch.testing.assert_close(accelerate(mlp)(x), expected, rtol=0, atol=1e-5)


@needs_kernels
@pytest.mark.parametrize("name", ["attention", "attention.proj", "mlp", "norm1"])
@pytest.mark.parametrize("width", [16, 48, 4096])
def test_a_wrong_width_is_torchs_error_and_no_memory_that_is_not_ours(name, width):
    block, x = accelerate(create_model("swin_nano")).backbone.stages[0].blocks[0], torch.randn(1, 7, 7, width)
    rest = [WindowGrid.regular(x, (7, 7))] if name == "attention" else []
    with pytest.raises(RuntimeError):
        block.get_submodule(name)(x, *rest)


@needs_kernels
def test_layers_of_an_mlp_that_do_not_fit_each_other_are_torchs_error():
    module = accelerate(create_model("swin_nano")).backbone.stages[0].blocks[0].mlp
    module.fc2 = nn.Linear(64, 32)
    with pytest.raises(RuntimeError):
        module(torch.randn(1, 7, 7, 32))


@needs_kernels
def test_a_hook_at_all_modules_is_heard():
    model, heard = accelerate(create_model("swin_nano")), []
    handle = nn.modules.module.register_module_forward_hook(lambda module, *_: heard.append(type(module)))
    try:
        model(torch.randn(1, 3, 28, 28))
    finally:
        handle.remove()
    assert heard.count(nn.GELU) == sum(model.config.depths)


class Adapted(nn.Module):
    """A layer with a learned addition, as adapters put in the place of one; like theirs, it has the layer's weights as its own."""

    def __init__(self, layer):
        super().__init__()
        self.layer, self.added = layer, nn.Linear(layer.in_features, layer.out_features)
        self.weight, self.bias, self.out_features = layer.weight, layer.bias, layer.out_features

    def forward(self, x):
        return self.layer(x) + self.added(x)


@needs_kernels
@pytest.mark.parametrize("name", ["attention.qkv", "attention.proj", "mlp.fc1", "mlp.fc2"])
@pytest.mark.parametrize("variant", ["swin_nano", "swinv2_nano"])
def test_an_adapter_in_the_place_of_a_layer_is_part_of_the_answer(variant, name):
    plain, x = shake(create_model(variant)).backbone.stages[1].blocks[0], torch.randn(1, 7, 7, 64)
    without = plain(x, WindowGrid.regular(x, (7, 7)))
    parent, _, leaf = name.rpartition(".")
    setattr(plain.get_submodule(parent), leaf, Adapted(plain.get_submodule(name)))
    fast = accelerate(copy.deepcopy(plain))
    answers = [block(x, WindowGrid.regular(x, (7, 7))) for block in (plain, fast)]
    torch.testing.assert_close(*answers, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(answers[0], without, rtol=1e-2, atol=1e-2)
    answers[1].sum().backward()
    assert fast.get_submodule(name).added.weight.grad.abs().sum() > 0


@needs_kernels
@pytest.mark.parametrize("variant", ["swin_nano", "swinv2_nano"])
def test_a_hook_may_answer_one_row_for_all(variant):
    """As when a layer's answer is replaced by its mean over the batch, to see what it is worth."""
    plain = shake(create_model(variant)).backbone.stages[1].blocks[0]
    fast, x, answers = accelerate(copy.deepcopy(plain)), torch.randn(3, 7, 7, 64), []
    for block in (plain, fast):
        block.attention.register_forward_hook(lambda module, given, answer: answer.mean(0, keepdim=True))
        answers.append(block(x, WindowGrid.regular(x, (7, 7))))
    torch.testing.assert_close(*answers, rtol=1e-4, atol=1e-5)


@needs_kernels
def test_autocast_leaves_float64_as_it_is():
    plain = create_model("swin_nano").double().eval()
    fast, images = accelerate(copy.deepcopy(plain)), torch.randn(2, 3, 28, 28, dtype=torch.float64)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(fast(images), plain(images))
