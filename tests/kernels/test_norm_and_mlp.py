"""The native layer norm and GELU against torch's."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

from swinkit import create_model
from swinkit.kernels import dense, mlp, norm, residual
from swinkit.kernels.accelerate import accelerate
from swinkit.kernels.stage import cut_into_patches
from swinkit.model.block import Block, LayerNorm, Mlp
from swinkit.model.windows import WindowGrid
from tests.shaking import shake

pytestmark = pytest.mark.skipif(not norm.KERNEL.available, reason=f"no native kernel here: {norm.KERNEL.reason}")


@pytest.mark.parametrize("width", [16, 96, 3072])
@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("summed", [False, True])
def test_layer_norm(width, affine, summed):
    x = 3 + torch.randn(5, 7, width)
    weight, bias = (torch.randn(width), torch.randn(width)) if affine else (None, None)
    other = torch.randn_like(x) if summed else None
    expected = F.layer_norm(x.double(), (width,), *(t if t is None else t.double() for t in (weight, bias)))
    expected = expected + other if summed else expected
    torch.testing.assert_close(norm.layer_norm(x, weight, bias, other).double(), expected, rtol=1e-5, atol=1e-5)


def test_in_bfloat16_it_rounds_once():
    x = torch.randn(50, 96).bfloat16()
    exact = F.layer_norm(x.double(), (96,))
    assert (norm.layer_norm(x).double() - exact).abs().max() <= 2**-8 * exact.abs().max()


@pytest.mark.parametrize("tokens", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("width", [32, 384])
def test_a_norm_that_learns_and_its_gradients(tokens, width):
    module = LayerNorm(width)
    torch.nn.init.normal_(module.weight)
    x = (1 + torch.randn(3, 50, width)).to(tokens).requires_grad_()
    exact, out_gradient = x.detach().double().requires_grad_(), torch.randn(3, 50, width)
    expected = F.layer_norm(exact, (width,), module.weight.double(), module.bias.double())
    wanted = torch.autograd.grad(expected, (exact, module.weight, module.bias), out_gradient.double())
    with torch.autocast("cpu", torch.bfloat16):
        found = norm.native_norm(module, x)
    assert found.dtype == torch.float32  # as under autocast without the kernel
    gradients = torch.autograd.grad(found, (x, module.weight, module.bias), out_gradient)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)
    for gradient, want in zip(gradients, wanted, strict=True):
        coarse = 2**-8 if gradient.dtype == torch.bfloat16 else 2e-5
        torch.testing.assert_close(gradient.double(), want.double(), rtol=coarse, atol=coarse * float(want.abs().max()))


def test_before_a_layer_a_norm_rounds_as_autocast_does():
    module, x = LayerNorm(96), torch.randn(2, 49, 96)
    layer = torch.nn.Linear(96, 8)
    with torch.autocast("cpu", torch.bfloat16):
        found = norm.native_norm_for_layer(module, x)
        assert found.dtype == torch.bfloat16
        torch.testing.assert_close(layer(found), layer(module(x)), rtol=2**-7, atol=2**-7)


@pytest.mark.parametrize("version", [1, 2])
def test_every_norm_of_a_model_that_learns_is_native(version, monkeypatch):
    found = []

    def counted(x, weight, bias, residual, eps, dtype, statistics):
        found.append(dtype)
        return layer_norm(x, weight, bias, residual, eps, dtype, statistics)

    layer_norm = norm.layer_norm
    for module in (norm, residual):
        monkeypatch.setattr(module, "layer_norm", counted)
    model = accelerate(create_model("swin_nano" if version == 1 else "swinv2_nano"))
    for block in model.modules():
        if isinstance(block, Block):
            block.fast_path = None  # which calls them from native code
    with torch.autocast("cpu", torch.bfloat16):
        model(torch.randn(1, model.config.in_channels, 28, 28))
    assert len(found) == sum(isinstance(module, torch.nn.LayerNorm) for module in model.modules())
    assert found.count(torch.bfloat16) == (len(found) - 2 if version == 1 else 0)  # all but patch embedding's and the last


@pytest.mark.parametrize(
    "types", [(torch.float32, torch.bfloat16), (torch.bfloat16, torch.float32), (torch.float32, torch.float32)]
)
def test_sums_of_two_types(types):
    x, y = (torch.randn(5, 7, 32).to(dtype) for dtype in types)
    assert torch.equal(residual.add(x, y), (x.float() + y.float()).to(x.dtype))


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("half", [False, True])
def test_branches_and_their_gradients(version, half):
    """Exact but for rounding: in bfloat16 no further from double precision than twice as far as torch."""
    torch.manual_seed(0)
    block = shake(create_model("swin_nano" if version == 1 else "swinv2_nano").backbone.stages[1].blocks[0])
    x, towards = torch.randn(2, 7, 7, 64), torch.randn(2, 7, 7, 64)

    def gradients(block, x):
        x = x.detach().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=half and x.dtype == torch.float32):
            y = block(x, WindowGrid.regular(x, (7, 7)))
        return [y.detach(), *torch.autograd.grad((y * towards).sum(), (x, *block.parameters()))]

    exact, torchs = gradients(copy.deepcopy(block).double(), x.double()), gradients(block, x)
    accelerate(block).fast_path = None  # which takes both branches at once
    assert block.branch_fast_path is residual.native_residual
    for found, plain, want in zip(gradients(block, x), torchs, exact, strict=True):
        allowed = 2 * float((plain - want).abs().max()) + 1e-5 * float(want.abs().max())
        torch.testing.assert_close(found.double(), want, rtol=0, atol=allowed)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gelu_and_its_gradient(dtype):
    x = torch.linspace(-8, 8, 1600).to(dtype).view(50, 32)
    exact = x.double().requires_grad_()
    value = F.gelu(exact)
    value.sum().backward()
    gradient, again = mlp.gelu_backward(x, torch.ones_like(x))
    precision = {torch.float32: 1e-6, torch.bfloat16: 2**-7}[dtype]
    for found, expected in ((mlp.gelu(x), value), (again, value), (gradient, exact.grad)):
        torch.testing.assert_close(found.double(), expected.detach(), rtol=precision, atol=2e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("width", [32, 50, 51])  # of an odd width linear layers are torch's, and GELU goes apart
def test_an_mlp_that_learns_and_its_gradients(width, dtype):
    torch.manual_seed(0)
    module, x, towards = Mlp(width, 112), torch.randn(3, 70, width), torch.randn(3, 70, width)

    def gradients(module, x, half):
        x = x.detach().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            y = module(x)
        return [y.detach(), *torch.autograd.grad((y * towards).sum(), (x, *module.parameters()))]

    half = dtype == torch.bfloat16
    exact, torchs = gradients(copy.deepcopy(module).double(), x.double(), False), gradients(module, x, half)
    module.fast_path = mlp.native_mlp
    for found, plain, want in zip(gradients(module, x, half), torchs, exact, strict=True):
        allowed = 2 * float((plain - want).abs().max()) + 1e-5 * float(want.abs().max())
        torch.testing.assert_close(found.double(), want, rtol=0, atol=allowed)


@pytest.mark.parametrize("layer", ["fc1", "fc2"])
def test_an_mlp_without_biases_is_torchs(layer):
    module, x = Mlp(32, 64), torch.randn(2, 5, 32)
    getattr(module, layer).register_parameter("bias", None)
    expected = module(x)
    module.fast_path = mlp.native_mlp
    assert torch.equal(module(x), expected)


@pytest.mark.parametrize("frozen", [("x",), ("fc1",), ("fc2",), ("fc1", "fc2"), ("x", "fc1")], ids=str)
def test_what_is_frozen_costs_no_gradient(frozen, monkeypatch):
    module, x = Mlp(32, 64), torch.randn(2, 5, 32)
    for name in ("fc1", "fc2"):
        getattr(module, name).requires_grad_(name not in frozen)
    plain = copy.deepcopy(module)
    module.fast_path = mlp.native_mlp
    products = []
    for name in ("weight_gradient", "linear_backward"):
        right = getattr(dense, name)
        for where in (dense, mlp):
            monkeypatch.setattr(where, name, lambda *given, right=right: products.append(right) or right(*given), raising=False)
    found, wanted = (_gradients(one, x.clone().requires_grad_("x" not in frozen)) for one in (module, plain))
    assert len(found) == len(wanted) == 5 - len(frozen) - len({"fc1", "fc2"} & set(frozen))
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    assert len(products) <= 3 - len(frozen)


def _gradients(module, x):
    learning = [tensor for tensor in (x, *module.parameters()) if tensor.requires_grad]
    return torch.autograd.grad(module(x).square().sum(), learning)


def test_a_model_that_only_answers_uses_it_too():
    module, x = Mlp(32, 128), torch.randn(4, 32)
    with torch.no_grad():
        torch.testing.assert_close(mlp.native_mlp(module, x), module(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("bits", [0x7FC00000, 0x7F800001, 0x7FFFFFFF, 0xFFFFFFFF, 0xFFC00001])
def test_no_rounding_makes_a_number_of_what_is_none(bits):
    x = torch.frombuffer(bytearray(bits.to_bytes(4, "little") * 16), dtype=torch.float32)
    assert cut_into_patches(x.view(1, 1, 4, 4), 2, torch.bfloat16).isnan().all()  # as it came
    assert norm.layer_norm(x.view(1, 16), dtype=torch.bfloat16).isnan().all()  # and computed with


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("value", [float("inf"), -float("inf"), float("nan")])
def test_gelu_hides_nothing_that_is_not_finite(dtype, value):
    x = torch.zeros(32, dtype=dtype)
    x[::2] = value
    assert torch.equal(mlp.gelu(x).isfinite(), F.gelu(x).isfinite())
