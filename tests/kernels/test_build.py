"""Every kernel compiles where there is a compiler, and leaves the thread that calls it as it was."""

import copy
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from swinkit import create_model
from swinkit.kernels import build, mlp
from swinkit.kernels.accelerate import accelerate
from swinkit.kernels.identity import FLAGS, compiler_command
from swinkit.machine import compiler
from swinkit.model.windows import WindowGrid
from tests.shaking import shake

X86 = platform.machine() in ("x86_64", "AMD64")
SOURCES = sorted(path.stem for path in Path(build.__file__).parent.glob("*.cpp"))
compiles = pytest.mark.skipif(
    compiler() is None or sys.platform == "win32" or os.environ.get("SWINKIT_KERNELS") == "0",
    reason="no compiler, or kernels are switched off",
)


@compiles
@pytest.mark.parametrize("name", SOURCES)
def test_every_kernel_compiles(name):
    """One that does not would otherwise only look like a machine that has no use for it, and its tests would be skipped."""
    found, reason = build.library(name)
    assert found is not None, reason


def test_a_compilers_path_may_have_a_space_and_the_environments_may_have_options(monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    assert compiler_command("/opt/my tools/g++")[:2] == ["/opt/my tools/g++", *FLAGS[:1]]
    monkeypatch.setenv("CXX", "'/opt/my tools/g++' -m64")
    assert compiler_command("/opt/my tools/g++")[:3] == ["/opt/my tools/g++", "-m64", *FLAGS[:1]]


@compiles
@pytest.mark.skipif(not X86, reason="elsewhere kernels leave such numbers as they are")
def test_numbers_too_small_for_a_full_mantissa_are_zero_within_a_kernel_and_not_behind_it():
    threads, tiny = torch.get_num_threads(), torch.full((4096,), 1e-40)
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            assert mlp.gelu(tiny).eq(0).all()
            assert (tiny * 0.5).gt(0).all()  # by torch, in the same threads
    finally:
        torch.set_num_threads(threads)


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


@compiles
@pytest.mark.parametrize("variant", ["swin_nano", "swinv2_nano"])
def test_kernels_stand_aside_for_derivatives_forwards(variant):
    """They have none in that direction."""
    plain, images, towards = create_model(variant).eval(), torch.randn(2, 3, 28, 28), torch.randn(2, 3, 28, 28)
    slopes = []
    for model in (plain, accelerate(copy.deepcopy(plain))):
        with forward_ad.dual_level(), sdpa_kernel(SDPBackend.MATH):
            slopes.append(forward_ad.unpack_dual(model(forward_ad.make_dual(images, towards))).tangent)
    torch.testing.assert_close(*slopes, rtol=1e-4, atol=1e-5)


@compiles
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


@compiles
@pytest.mark.parametrize("name", ["attention.qkv", "attention.proj", "mlp.fc1", "mlp.fc2", "norm1"])
@pytest.mark.parametrize("variant", ["swin_nano", "swinv2_nano"])
def test_a_forward_that_was_replaced_is_the_one_that_computes(variant, name):
    plain, x = shake(create_model(variant)).backbone.stages[1].blocks[0], torch.randn(1, 7, 7, 64)
    fast = accelerate(copy.deepcopy(plain))
    for block in (plain, fast):
        halved(block.get_submodule(name))
    answers = [block(x, WindowGrid.regular(x, (7, 7))) for block in (plain, fast)]
    torch.testing.assert_close(*answers, rtol=1e-4, atol=1e-5)


@compiles
def test_another_activation_is_not_taken_for_the_published_one():
    mlp, x = shake(create_model("swin_nano")).backbone.stages[1].blocks[0].mlp, 3 * torch.randn(1, 7, 7, 64)
    published = mlp(x)
    mlp.act = nn.GELU(approximate="tanh")
    expected = mlp(x)
    assert (expected - published).abs().max() > 1e-4
    torch.testing.assert_close(accelerate(mlp)(x), expected, rtol=0, atol=1e-5)


@compiles
@pytest.mark.parametrize("name", ["attention", "attention.proj", "mlp", "norm1"])
@pytest.mark.parametrize("width", [16, 48, 4096])
def test_a_wrong_width_is_torchs_error_and_no_memory_that_is_not_ours(name, width):
    block, x = accelerate(create_model("swin_nano")).backbone.stages[0].blocks[0], torch.randn(1, 7, 7, width)
    rest = [WindowGrid.regular(x, (7, 7))] if name == "attention" else []
    with pytest.raises(RuntimeError):
        block.get_submodule(name)(x, *rest)


@compiles
def test_layers_of_an_mlp_that_do_not_fit_each_other_are_torchs_error():
    module = accelerate(create_model("swin_nano")).backbone.stages[0].blocks[0].mlp
    module.fc2 = nn.Linear(64, 32)
    with pytest.raises(RuntimeError):
        module(torch.randn(1, 7, 7, 32))


@compiles
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


@compiles
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


@compiles
@pytest.mark.parametrize("variant", ["swin_nano", "swinv2_nano"])
def test_a_hook_may_answer_one_row_for_all(variant):
    """As when a layer's answer is replaced by its mean over the batch, to see what it is worth."""
    plain = shake(create_model(variant)).backbone.stages[1].blocks[0]
    fast, x, answers = accelerate(copy.deepcopy(plain)), torch.randn(3, 7, 7, 64), []
    for block in (plain, fast):
        block.attention.register_forward_hook(lambda module, given, answer: answer.mean(0, keepdim=True))
        answers.append(block(x, WindowGrid.regular(x, (7, 7))))
    torch.testing.assert_close(*answers, rtol=1e-4, atol=1e-5)


@compiles
def test_autocast_leaves_float64_as_it_is():
    plain = create_model("swin_nano").double().eval()
    fast, images = accelerate(copy.deepcopy(plain)), torch.randn(2, 3, 28, 28, dtype=torch.float64)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(fast(images), plain(images))


LESSER = """
import copy, sys
import torch
from swinkit import create_model
from swinkit.kernels import attention, norm
from swinkit.kernels.accelerate import accelerate

assert attention.KERNEL.available, attention.KERNEL.reason
torch.manual_seed(0)
for variant in ("swin_nano", "swinv2_nano"):
    plain = create_model(variant)
    fast, images = accelerate(copy.deepcopy(plain)), torch.randn(2, 3, 28, 28)
    for model in (plain, fast):
        model(images).square().sum().backward()
    assert (plain(images) - fast(images)).abs().max() < 1e-5 * plain(images).abs().max()
    for ours, theirs in zip(fast.parameters(), plain.parameters()):
        assert (ours.grad - theirs.grad).abs().max() <= 1e-3 * theirs.grad.abs().max() + 1e-7
"""


@compiles
@pytest.mark.skipif(not X86, reason="these instruction sets are x86's")
@pytest.mark.parametrize("without", ["-mno-avx512f", "-mno-avx2", "-D__builtin_shufflevector=not_in_gcc_11"])
def test_kernels_are_right_for_lesser_processors_and_older_compilers_than_these(without):
    """Other tests meet only the code for the machine that they run on."""
    environment = {**os.environ, "CXX": f"{compiler()} {without}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", LESSER], env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-2000:]
