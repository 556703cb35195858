"""The native window attention against the model's own form, which the oracle has judged: answers, gradients, and when it stands aside."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from swinkit.config import SwinConfig
from swinkit.kernels import attention, dispatch
from swinkit.kernels.accelerate import accelerate
from swinkit.kernels.attention import meeting
from swinkit.model.attention import WindowAttention
from swinkit.model.classifier import SwinClassifier
from swinkit.model.windows import WindowGrid, counts_of, shift_size
from tests.shaking import shake

pytestmark = pytest.mark.skipif(not attention.KERNEL.available, reason=f"no native kernel here: {attention.KERNEL.reason}")

SIZES = [(64, 64), (224, 224), (37, 300), (112, 160), (201, 90)]


def small(version: int, geometry: str = "classification", **more) -> SwinConfig:
    given = {"embed_dim": 32, "depths": (2, 2, 2), "num_heads": (1, 2, 4), "num_classes": 5}
    return SwinConfig(version=version, geometry=geometry, **{**given, **more})


def pair(config: SwinConfig) -> tuple[SwinClassifier, SwinClassifier]:
    torch.manual_seed(0)
    plain = shake(SwinClassifier(config)).eval()
    return plain, accelerate(copy.deepcopy(plain))


def gradients(model: torch.nn.Module, images: torch.Tensor, towards: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    (model(images) * towards).sum().backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("geometry", ["classification", "dense"])
@pytest.mark.parametrize("size", SIZES)
def test_answers_are_the_models(version, geometry, size):
    plain, fast = pair(small(version, geometry))
    images = torch.randn(2, 3, *size)
    expected = plain(images)
    assert (fast(images) - expected).abs().max() < 2e-6 * expected.abs().max()


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("heads", [(1, 2, 4), (2, 4, 8)])
@pytest.mark.parametrize("size", [(64, 64), (37, 150)])
def test_gradients_are_as_near_to_float64_as_the_models_own(version, heads, size):
    """Judged by float64, since a gradient that nearly cancels is rounding in either form."""
    plain, fast = pair(small(version, num_heads=heads))
    images, towards = torch.randn(2, 3, *size), torch.randn(2, 5)
    truth = gradients(copy.deepcopy(plain).double(), images.double(), towards.double())
    ours, theirs = gradients(fast, images, towards), gradients(plain, images, towards)
    for name, exact in truth.items():
        error, usual = ((found[name] - exact).abs().max() for found in (ours, theirs))
        assert error <= 4 * usual + 1e-5 * exact.abs().max(), name


@pytest.mark.parametrize("version", [1, 2])
def test_without_projection_bias(version):
    plain, fast = pair(small(version, qkv_bias=False))
    images = torch.randn(1, 3, 50, 62)
    torch.testing.assert_close(fast(images), plain(images), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("version", [1, 2])
def test_bfloat16_is_as_near_to_float32_as_the_models_own(version):
    """On the average over networks: of a single one either may be half as far again, by the chance of rounding."""
    ours, theirs = [], []
    for seed in range(12):
        plain, fast = pair(small(version))
        for model in (plain, fast):
            chance = torch.Generator().manual_seed(seed)
            for parameter in model.parameters():
                size = float(parameter.detach().abs().mean())
                parameter.data += 0.5 * size * torch.randn(parameter.shape, generator=chance)
        images = torch.randn(2, 3, 60, 70, generator=torch.Generator().manual_seed(seed))
        truth = plain(images)
        with torch.autocast("cpu", torch.bfloat16):
            for model, errors in ((fast, ours), (plain, theirs)):
                errors.append(float((model(images).float() - truth).detach().abs().mean()))
    assert 0 < sum(ours) <= 1.1 * sum(theirs)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("part", ["queries", "keys", "values"])
def test_what_is_not_finite_is_not_hidden(part, value):
    plain, fast = pair(small(1))
    images = torch.randn(1, 3, 64, 64)
    for model in (plain, fast):
        row = {"queries": 0, "keys": 32, "values": 64}[part]
        model.backbone.stages[0].blocks[0].attention.qkv.bias.data[row] = value
    assert not plain(images).isfinite().any()
    assert not fast(images).isfinite().any()


def test_the_same_bits_every_time():
    _, fast = pair(small(2))
    images, towards = torch.randn(3, 3, 70, 64), torch.randn(3, 5)
    first, second = (gradients(fast, images, towards) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


@given(
    size=st.tuples(st.integers(1, 20), st.integers(1, 20)), window=st.tuples(st.integers(1, 8), st.integers(1, 8)),
    always=st.booleans(), shifted=st.booleans(),
)  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_the_table_holds_every_token_once_and_parts_what_the_mask_parts(size, window, always, shifted):
    counts = counts_of(size, window)
    shift = shift_size(window, counts, always) if shifted else (0, 0)
    table = meeting(size, window, counts, shift)
    rows = table.rows.flatten()
    assert torch.equal(rows[rows >= 0].sort().values, torch.arange(size[0] * size[1], dtype=torch.int32))
    if shifted:
        x = torch.zeros(1, *size, 1)
        mask = WindowGrid.regular(x, window).shifted(x, always).mask
        apart = table.region[:, :, None] != table.region[:, None, :]
        assert torch.equal(apart, mask != 0)
        assert torch.equal(table.mixed.bool(), apart.any(dim=2).any(dim=1))


def test_stands_aside_for_other_heads_compilers_and_transforms():
    assert attention.supports_attention(32, 49, torch.float32)
    assert not attention.supports_attention(24, 49, torch.float32)
    assert not attention.supports_attention(32, 4900, torch.float32)
    assert not attention.supports_attention(32, 49, torch.float64)
    x = torch.zeros(2, 4)
    assert dispatch.eager_on_cpu(x)
    assert not dispatch.eager_on_cpu(x.to("meta"))
    seen = []
    torch.func.vmap(lambda row: seen.append(dispatch.eager_on_cpu(row)) or row)(x)
    assert seen == [False]
    plain, fast = pair(small(1, num_heads=(4, 8, 16)))
    images = torch.randn(1, 3, 40, 40)
    torch.testing.assert_close(fast(images), plain(images), rtol=1e-5, atol=1e-5)


class Sharper(WindowAttention):
    def operands(self, windows, mask):
        q, k, v, bias, scale = super().operands(windows, mask)
        return 3 * q, k, v, bias, scale


def another_class(attention):
    attention.__class__ = Sharper


def another_method(attention):
    attention.within = lambda windows, mask: 2 * WindowAttention.within(attention, windows, mask)


def another_projection(attention):
    attention.project = lambda windows: WindowAttention.project(attention, windows.flip(3))


@pytest.mark.parametrize("learning", [True, False])
@pytest.mark.parametrize("change", [another_class, another_method, another_projection])
def test_an_attention_of_somebodys_own_is_asked_itself(change, learning):
    plain, fast = pair(small(1))
    images = torch.randn(1, 3, 64, 64)
    with torch.set_grad_enabled(learning):
        before = plain(images)
        for model in (plain, fast):
            change(model.backbone.stages[1].blocks[0].attention)
        after = plain(images)
        assert (after - before).abs().max() > 1e-3
        torch.testing.assert_close(fast(images), after, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_float64_and_float16_go_the_plain_way(dtype):
    plain, fast = (model.to(dtype) for model in pair(small(1)))
    images = torch.randn(1, 3, 40, 40, dtype=dtype)
    assert torch.equal(fast(images), plain(images))


def test_an_accelerated_model_compiles_to_one_graph_without_the_kernel():
    _, fast = pair(small(1, depths=(2,), num_heads=(1,)))
    images = torch.randn(2, 3, 40, 44)
    compiled = torch.compile(fast, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(images), fast(images), rtol=1e-5, atol=1e-5)


def test_threads_are_torchs():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert attention.KERNEL.team() == 2
        torch.set_num_threads(1)
        assert attention.KERNEL.team() == 1
    finally:
        torch.set_num_threads(before)
