"""A block by one call each way, beside the finer kernels it consists of, and beside torch."""

from __future__ import annotations

import copy
import ctypes

import pytest
import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

from swinkit import create_model
from swinkit.kernels import block as whole
from swinkit.kernels import dense
from swinkit.kernels.accelerate import accelerate
from swinkit.kernels.build import CODE, COUNT, POINTER
from swinkit.model.block import LayerNorm
from swinkit.model.windows import WindowGrid
from tests.shaking import shake

# dense.lanes: with neither AVX2 nor AVX-512 linear layers are torch's, and a block goes layer by layer
pytestmark = pytest.mark.skipif(
    not (whole.KERNEL.available and dense.lanes(torch.float32)), reason=f"no block in one call here: {whole.KERNEL.reason}"
)


def some_block(version, **fields):
    """One of two heads that has learned something, and a map that its windows do not divide."""
    torch.manual_seed(version)
    name = "swin_nano" if version == 1 else "swinv2_nano"
    return shake(create_model(name, **fields).backbone.stages[1].blocks[1]).train(), torch.randn(3, 9, 8, 64)


@pytest.fixture
def calls(monkeypatch):
    """The passes that are one native call, by name, as they are made."""
    made, run = [], whole.run
    monkeypatch.setattr(whole, "run", lambda name, *given: made.append(name) or run(name, *given))
    return made


def gradients(block, x, shifted=False, half=False, again=False):
    """The answer, and gradients of ``x`` and of all that learns; with ``again`` the pass forward is made anew on the way back."""
    torch.manual_seed(0)  # of what is dropped
    grid = WindowGrid.regular(x, (7, 7))
    x, grid = x.detach().requires_grad_(), grid.shifted(x, True) if shifted else grid
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        y = checkpoint(block, x, grid, use_reentrant=False) if again else block(x, grid)
    learning = [parameter for parameter in block.parameters() if parameter.requires_grad]
    return [y.detach(), *torch.autograd.grad((y * torch.linspace(-1, 1, 64)).sum(), (x, *learning))]


def finer(block):
    """The same block by a kernel for each of its layers."""
    block = copy.deepcopy(block)
    block.fast_path = None
    return block


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("fields", [{}, {"drop_path_rate": 0.5}, {"qkv_bias": False}])
@pytest.mark.parametrize("shifted", [False, True])
def test_it_computes_what_its_kernels_do_one_by_one(version, fields, shifted, calls):
    block, x = some_block(version, **fields)
    plain = gradients(block, x, shifted)
    accelerate(block)
    found = gradients(block, x, shifted)
    assert all(map(torch.equal, found, gradients(finer(block), x, shifted)))
    assert calls == ["block_forward", "block_backward"]
    for ours, torchs in zip(found, plain, strict=True):
        torch.testing.assert_close(ours, torchs, rtol=0, atol=1e-5 * float(torchs.abs().max()))


def test_made_anew_on_the_way_back_it_drops_the_same():
    block, x = some_block(1, drop_path_rate=0.5)
    accelerate(block)
    assert all(map(torch.equal, gradients(block, x), gradients(block, x, again=True)))


@pytest.mark.parametrize("version", [1, 2])
def test_for_what_is_frozen_nothing_is_computed(version, monkeypatch):
    block, x = some_block(version)
    for frozen in (block.mlp.fc2, block.norm1):
        frozen.requires_grad_(False)
    block.attention.proj.bias.requires_grad_(False)
    plain = gradients(block, x)
    rooms, room_for = [], whole.room_for
    monkeypatch.setattr(whole, "room_for", lambda *given: rooms.append(room_for(*given)) or rooms[-1])
    found = gradients(accelerate(block), x)
    assert [name for name, room in rooms[0]._asdict().items() if room is None] == ["fc2", "fc2_bias"]
    for ours, torchs in zip(found, plain, strict=True):
        torch.testing.assert_close(ours, torchs, rtol=0, atol=1e-5 * float(torchs.abs().max()))


def numbers(address, shape, half):
    """Memory as a tensor: what a kernel is given."""
    count = 1
    for side in shape:
        count *= side
    buffer = (ctypes.c_char * (count * (2 if half else 4))).from_address(address)
    return torch.frombuffer(buffer, dtype=torch.bfloat16 if half else torch.float32).view(shape)


def torchs_products():
    """The kernels of linear layers by torch, for a processor that does not multiply bfloat16: an order of calls is right with any."""

    def pack(half, weights, columns, inner, transposed, packed, threads):
        given = numbers(weights, (inner, columns) if transposed else (columns, inner), False)
        numbers(packed, (columns, inner), half).copy_(given.t() if transposed else given)

    def forward(half, x, weights, bias, residual, gelu, rows, inner, columns, out, before, threads):
        y = numbers(x, (rows, inner), half).float() @ numbers(weights, (columns, inner), half).float().t()
        y = y + numbers(bias, (columns,), False) if bias else y
        if before:
            numbers(before, (rows, columns), half).copy_(y)
        y = F.gelu(y) if gelu else y
        numbers(out, (rows, columns), half).copy_(y + numbers(residual, (rows, columns), half) if residual else y)

    def backward(half, gradient, weights, entered, rows, inner, columns, out, activated, threads):
        into = numbers(gradient, (rows, inner), half).float() @ numbers(weights, (columns, inner), half).float().t()
        with torch.enable_grad():
            x = numbers(entered, (rows, columns), half).float().requires_grad_()
            y = F.gelu(x)
            numbers(out, (rows, columns), half).copy_(torch.autograd.grad(y, x, into)[0])
        numbers(activated, (rows, columns), half).copy_(y.detach())

    def weights(half, gradient, x, rows, outputs, inputs, out, sums, threads):
        gradient = numbers(gradient, (rows, outputs), half).float()
        numbers(out, (outputs, inputs), False).copy_(gradient.t() @ numbers(x, (rows, inputs), half).float())
        numbers(sums, (outputs,), False).copy_(gradient.sum(0))

    declared = [
        (pack, (CODE, POINTER, COUNT, COUNT, CODE, POINTER, CODE)),
        (forward, (CODE, *[POINTER] * 4, CODE, COUNT, COUNT, COUNT, POINTER, POINTER, CODE)),
        (backward, (CODE, *[POINTER] * 3, COUNT, COUNT, COUNT, POINTER, POINTER, CODE)),
        (weights, (CODE, POINTER, POINTER, COUNT, COUNT, COUNT, POINTER, POINTER, CODE)),
    ]
    return [ctypes.CFUNCTYPE(None, *arguments)(function) for function, arguments in declared]


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("drop_path_rate", [0.0, 0.5])
def test_in_bfloat16_it_is_as_exact_as_torch(version, drop_path_rate, monkeypatch, calls):
    block, x = some_block(version, drop_path_rate=drop_path_rate)
    exact, torchs = gradients(copy.deepcopy(block).double(), x.double()), gradients(block, x, half=True)
    accelerate(block)
    if not dense.lanes(torch.bfloat16):
        held, given = torchs_products(), whole.kernels()
        table = whole.Kernels.from_buffer_copy(given)
        for (name, _), function in zip(whole.Kernels._fields_[:4], held, strict=True):
            setattr(table, name, ctypes.cast(function, POINTER))
        monkeypatch.setattr(whole, "kernels", lambda: table)
        monkeypatch.setattr(dense, "lanes", lambda dtype: 16)
    found = gradients(block, x, half=True)
    assert calls == ["block_forward", "block_backward"]
    for ours, theirs, want in zip(found, torchs, exact, strict=True):
        allowed = 2 * float((theirs - want).abs().max()) + 1e-3 * float(want.abs().max())
        torch.testing.assert_close(ours.double(), want, rtol=0, atol=allowed)


@pytest.mark.parametrize("where", ["attention", "attention.proj", "mlp.act", "norm2", "drop_path"])
def test_who_listens_inside_is_heard(where, calls):
    block, x = some_block(1)
    accelerate(block)
    heard = []
    block.get_submodule(where).register_forward_hook(lambda module, given, answer: heard.append(answer))
    gradients(block, x)
    assert heard
    assert calls == []


def another_norm(block):
    block.norm2 = LayerNorm(64, bias=False)


def another_order(block):
    block.mlp.fc1.weight.data = block.mlp.fc1.weight.data.t().contiguous().t()


def another_type(block):
    block.attention.q_bias.data = block.attention.q_bias.data.double()


def no_kernel_of_attention(block):
    block.attention.fast_path = None


def no_bias(block):
    block.attention.proj.bias = None


@pytest.mark.parametrize("change", [another_norm, another_order, another_type, no_kernel_of_attention, no_bias])
def test_what_it_does_not_compute_goes_another_way(change):
    block, x = some_block(2)
    accelerate(block)
    assert whole.supports_block(block, x, 49, torch.float32)
    change(block)
    assert not whole.supports_block(block, x, 49, torch.float32)


def another_branch(block):
    block.branch = lambda norm, layer, drop, x, *rest: 0.5 * x + drop(layer(norm(x), *rest))


def another_residual(block):
    block.residual = lambda norm, layer, x, *rest: 0.5 * x + layer(norm(x), *rest)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("change", [another_branch, another_residual])
def test_a_formula_of_somebodys_own_is_what_is_computed(version, change, calls):
    block, x = some_block(version)
    change(block)
    plain = gradients(block, x)
    for ours, torchs in zip(gradients(accelerate(block), x), plain, strict=True):
        torch.testing.assert_close(ours, torchs, rtol=0, atol=1e-5 * float(torchs.abs().max()))
    assert calls == []


def test_tokens_of_another_width_are_refused_and_none_are_none(calls):
    block, x = some_block(2)
    accelerate(block)
    grid = WindowGrid.regular(x, (7, 7))
    with pytest.raises(RuntimeError):
        block(x[..., :32], grid)
    nothing = block(x[:0].requires_grad_(), grid)
    assert nothing.shape == (0, 9, 8, 64)
    assert calls == []


def test_who_keeps_no_gradient_keeps_no_memory(monkeypatch):
    block, x = some_block(1)
    accelerate(block)
    monkeypatch.delattr(whole.NativeBlock, "forward")
    with torch.no_grad():
        assert block(x, WindowGrid.regular(x, (7, 7))).shape == x.shape
