"""Linear layers by the native kernel against float64."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from swinkit import create_model
from swinkit.kernels import attention, dense
from swinkit.kernels.accelerate import accelerate
from swinkit.model.attention import Linear
from swinkit.model.block import Block

BOTH = [torch.float32, torch.bfloat16]
DTYPES = [dtype for dtype in BOTH if dense.supports_linear(torch.empty(64, 64), dtype)]
LANES = int(dense.KERNEL.dense_lanes(0)) if DTYPES else 16  # of float32 at least; what a width is a multiple of
offered = pytest.mark.skipif(
    not DTYPES, reason="the kernel is for processors with AVX2 or AVX-512, and for those with a compiler"
)


@pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() not in {"AVX2", "AVX512"} or not attention.KERNEL.available,
    reason="no processor, or no compiler, that it is meant for",
)
def test_it_is_there_where_it_is_meant_to_be():
    """A kernel that does not compile would otherwise only look like another processor, and skip what follows."""
    assert dense.KERNEL.available, dense.KERNEL.reason
    assert torch.float32 in DTYPES


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@offered
@given(
    rows=st.integers(1, 70), inner=st.integers(1, 70).map(lambda half: 2 * half), columns=st.integers(1, 20).map(lambda count: LANES * count),
    dtype=st.sampled_from(DTYPES or [torch.float32]), offset=st.booleans(), after=st.sampled_from(["nothing", "gelu", "sum"]),
)  # fmt: skip
def test_any_shape_is_what_float64_says(rows, inner, columns, dtype, offset, after):
    x, weight, bias, residual = (
        tensor.to(dtype)
        for tensor in (
            drawn(2, rows, inner),
            drawn(columns, inner, seed=1),
            drawn(columns, seed=2),
            drawn(2, rows, columns, seed=3),
        )
    )
    exact = F.linear(x.double(), weight.double(), bias.double() if offset else None)
    exact = F.gelu(exact) if after == "gelu" else exact + residual.double() if after == "sum" else exact
    assert dense.supports_linear(weight, dtype)
    answer = dense.dense(
        x,
        dense.pack(weight, dtype),
        bias.float() if offset else None,
        columns,
        after == "gelu",
        residual if after == "sum" else None,
    )
    tolerance = 1e-6 * inner if dtype == torch.float32 else 2**-8
    assert answer.dtype == dtype
    assert ((answer.double() - exact).abs() <= tolerance * (1 + exact.abs())).all()


@offered
@given(
    inner=st.integers(1, 70).map(lambda half: 2 * half), columns=st.integers(1, 20).map(lambda count: LANES * count),
    dtype=st.sampled_from(DTYPES or [torch.float32]), transposed=st.booleans(),
)  # fmt: skip
def test_weights_are_packed_as_torch_would_rearrange_them(inner, columns, dtype, transposed):
    weight = drawn(columns, inner)
    together = 2 if dtype == torch.bfloat16 else 1
    lanes = int(dense.KERNEL.dense_lanes(dense.DTYPES[dtype]))
    threes, left = divmod(columns // lanes, 3)
    vectors = [3] * (threes - 1) + [2, 2] if threes and left == 1 else [3] * threes + [left]  # none alone
    panels = weight.to(dtype).split([lanes * count for count in vectors])
    expected = torch.cat([panel.unflatten(1, (-1, together)).transpose(0, 1).flatten() for panel in panels])
    assert torch.equal(dense.pack(weight.t() if transposed else weight, dtype, transposed), expected)


@offered
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("columns", "rows"), [(96, 300), (1152, 300), (64, 5000), (256, 5000)])
def test_an_answer_depends_neither_on_its_batch_nor_on_the_number_of_threads(columns, rows, dtype):
    x, weight = drawn(rows, 96).to(dtype), drawn(columns, 96, seed=1)
    packed, threads = dense.pack(weight, dtype), torch.get_num_threads()
    try:
        answers = []
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            answers.append(dense.dense(x, packed, None, columns, True))
    finally:
        torch.set_num_threads(threads)
    alone = torch.cat([dense.dense(row, packed, None, columns, True) for row in x[-300:].split(1)])
    assert all(torch.equal(answer[-300:], alone) for answer in answers)


@offered
@pytest.mark.parametrize("dtype", DTYPES)
def test_gelu_is_exact_where_it_vanishes_and_where_it_does_not_and_passes_nan_on(dtype):
    values = torch.cat([torch.linspace(-9, 9, 40001), torch.tensor([0.0, 1e-6, -1e-6, 1e4, -1e4, 5.6, -5.6])]).to(dtype)
    one = torch.eye(16)
    answer = dense.dense(F.pad(values[:, None], (0, 15)), dense.pack(one, dtype), None, 16, True)[:, 0]
    exact = F.gelu(values.double())
    assert ((answer.double() - exact).abs() <= (1.2e-7 if dtype == torch.float32 else 2**-8) * exact.abs().clamp(min=1)).all()
    near = values.abs() < 1e-3  # where an absolute bound would say nothing
    assert ((answer.double() - exact)[near].abs() <= (1e-4 if dtype == torch.float32 else 2**-7) * exact[near].abs()).all()
    assert dense.dense(torch.full((3, 16), torch.nan, dtype=dtype), dense.pack(one, dtype), None, 16, True).isnan().all()


def test_what_does_not_fill_vectors_or_pairs_is_left_to_others():
    assert not dense.supports_linear(torch.empty(100, 64), torch.float32)
    assert not dense.supports_linear(torch.empty(96, 63), torch.float32)
    assert not dense.supports_linear(torch.empty(96, 64), torch.float16)


@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize(
    ("inner", "columns"), [(64, 192), (50, 96), (96, 100), (50, 100)]
)  # the kernel there and back, there only, back only, neither
def test_gradients_are_those_of_a_linear_layer(inner, columns, dtype):
    x = drawn(3, 7, inner).to(dtype).requires_grad_()
    weight, bias = drawn(columns, inner, seed=1).requires_grad_(), drawn(columns, seed=2).requires_grad_()
    towards = drawn(3, 7, columns, seed=3).to(dtype)
    found = torch.autograd.grad(dense.NativeLinear.apply(x, weight, bias), (x, weight, bias), towards)
    rounded = (x.detach().double(), weight.detach().to(dtype).double(), bias.detach().double())
    exact = [tensor.requires_grad_() for tensor in rounded]
    wanted = torch.autograd.grad(F.linear(*exact), exact, towards.double())
    assert [gradient.dtype for gradient in found] == [dtype, torch.float32, torch.float32]
    for gradient, want in zip(found, wanted, strict=True):
        assert (gradient.double() - want).abs().max() <= (1e-5 if dtype == torch.float32 else 2**-7) * want.abs().max()


@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize(
    ("rows", "outputs", "inputs"),
    [
        (0, 16, 16),
        (1, 16, 16),
        (7, 32, 48),
        (999, 80, 112),
        (401, 272, 272),
        (401, 8, 24),
        (401, 264, 280),
        (50, 20, 16),
        (50, 16, 21),
    ],
)  # none, one row, an odd number, several blocks of rows, an answer that threads part, widths of half a vector, widths that are not the kernel's
def test_gradients_of_weights_and_bias_are_sums_over_rows(rows, outputs, inputs, dtype):
    gradient, x = drawn(rows, outputs).to(dtype), drawn(rows, inputs, seed=1).to(dtype)
    weight, bias = dense.weight_gradient(gradient, x)
    assert weight.dtype == bias.dtype == torch.float32
    own = dense.supports_linear(torch.empty(16, 16), dtype) and outputs % LANES == inputs % LANES == 0
    rounded = 2**-8 if dtype == torch.bfloat16 and not own else 1e-6
    for found, want in ((weight, gradient.double().t() @ x.double()), (bias, gradient.double().sum(0))):
        torch.testing.assert_close(found.double(), want, rtol=0, atol=rounded * rows**0.5 * 8)


@offered
@given(
    rows=st.integers(1, 900), outputs=st.integers(1, 18), inputs=st.integers(1, 18), threads=st.integers(1, 3),
    dtype=st.sampled_from(DTYPES or [torch.float32]),
)  # fmt: skip
def test_gradients_of_weights_for_any_shape_and_number_of_threads(rows, outputs, inputs, threads, dtype):
    gradient, x = drawn(rows, LANES * outputs).to(dtype), drawn(rows, LANES * inputs, seed=1).to(dtype)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        weight, bias = dense.weight_gradient(gradient, x)
        assert torch.equal(weight, dense.weight_gradient(gradient, x)[0])
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(weight.double(), gradient.double().t() @ x.double(), rtol=0, atol=1e-5 * rows**0.5)
    torch.testing.assert_close(bias.double(), gradient.double().sum(0), rtol=0, atol=1e-5 * rows**0.5)


@offered
def test_the_layers_of_an_accelerated_model_are_the_kernels(monkeypatch):
    model, x = accelerate(create_model("swin_nano")), torch.randn(2, 3, 28, 28)
    calls = []
    apply = dense.NativeLinear.apply
    monkeypatch.setattr(dense.NativeLinear, "apply", lambda *given: calls.append(given[1].shape) or apply(*given))
    for block in model.modules():
        if isinstance(block, Block):
            block.fast_path = None  # which takes several layers at once
    model(x).sum().backward()
    layers = [module for module in model.modules() if isinstance(module, Linear)]
    assert len(layers) == sum(model.config.depths) + len(model.config.depths) - 1  # last projections, and reductions of merging
    assert all(layer.weight.shape in calls and layer.weight.grad is not None for layer in layers)
    with torch.no_grad():
        x = torch.randn(2, 5, layers[0].in_features)
        torch.testing.assert_close(dense.native_linear(layers[0], x), layers[0](x), rtol=1e-5, atol=1e-6)
