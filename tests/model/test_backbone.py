"""The hierarchy: merging order, any size, features, meta device, checkpointing, functional use."""

import random

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend
from torch._dynamo.utils import counters
from torch.nn.attention import SDPBackend, sdpa_kernel

from swinkit.config import SwinConfig
from swinkit.errors import UsageError
from swinkit.kernels.accelerate import accelerate
from swinkit.model.backbone import PatchMerging, SwinBackbone, initialise
from swinkit.model.classifier import SwinClassifier
from swinkit.model.tracing import compiled

from ..shaking import shake

STREAM = [(64, 64), (112, 112), (160, 160), (224, 224), (256, 256), (480, 640), (37, 1000), (800, 1333)]


def tiny(version: int = 1, **fields) -> SwinConfig:
    fields = {
        "embed_dim": 8,
        "depths": (2, 2),
        "num_heads": (1, 2),
        "image_size": 32,
        "patch_size": 2,
        "num_classes": 3,
        **fields,
    }
    return SwinConfig(version=version, window_size=fields.pop("window_size", 4), **fields)


def four_stages(version: int, **fields) -> SwinConfig:
    return SwinConfig(version=version, embed_dim=8, depths=(2, 2, 2, 2), num_heads=(1, 2, 4, 8), num_classes=3, **fields)


def test_merging_takes_columns_outside_rows():
    merge = PatchMerging(1, version=2)
    merge.norm = torch.nn.Identity()
    merge.reduction = torch.nn.Identity()
    square = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).view(1, 2, 2, 1)
    assert merge(square).flatten().tolist() == [1, 3, 2, 4]


@pytest.mark.parametrize("version", [1, 2])
def test_features_are_ceilings_with_doubling_widths(version):
    maps = SwinBackbone(four_stages(version)).eval().features(torch.randn(1, 3, 37, 101))
    assert [tuple(x.shape) for x in maps] == [(1, 8, 10, 26), (1, 16, 5, 13), (1, 32, 3, 7), (1, 64, 2, 4)]


def test_embed_and_run_stages_are_the_two_halves():
    backbone = shake(SwinBackbone(tiny()))
    images = torch.randn(1, 3, 30, 34)
    halves = backbone.run_stages(backbone.embed(images))
    for half, whole in zip(halves, backbone(images), strict=True):
        assert torch.equal(half.permute(0, 3, 1, 2), whole)


@pytest.mark.parametrize("channels", [1, 4])
def test_channels(channels):
    model = SwinClassifier(tiny(in_channels=channels))
    assert model(torch.randn(2, channels, 20, 20)).shape == (2, 3)
    with pytest.raises(ValueError, match=f"expected pictures of shape .batch, {channels}, height, width"):
        model(torch.randn(2, 3, 20, 20))
    with pytest.raises(ValueError, match=r"Mend: images\[None\]"):
        model(torch.randn(channels, 20, 20))
    with pytest.raises(ValueError, match=r"Mend: images\.permute\(0, 3, 1, 2\)"):
        model(torch.randn(2, 20, 20, channels))


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("geometry", ["classification", "dense"])
@torch.no_grad()
def test_no_answer_depends_on_the_order_of_a_mixed_stream(version, geometry):
    model = shake(SwinClassifier(four_stages(version, geometry=geometry)))
    images = {size: torch.randn(1, 3, *size) for size in STREAM}
    answers = []
    for seed in (1, 2):
        order = random.Random(seed).sample(STREAM, len(STREAM))
        answers.append({size: model(images[size]) for size in order})
    for size in STREAM:
        assert torch.equal(answers[0][size], answers[1][size]), size


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_finite_at_every_size_forwards_and_backwards(version, dtype):
    model = shake(SwinClassifier(four_stages(version))).to(dtype)
    for size in STREAM:
        with torch.no_grad():
            logits = model(torch.randn(1, 3, *size, dtype=dtype))
        assert logits.isfinite().all(), size
    model(torch.randn(1, 3, 37, 100, dtype=dtype)).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("geometry", ["classification", "dense"])
@pytest.mark.parametrize("side", [15, 16, 18])
def test_opposite_edges_of_a_padded_map_do_not_meet_in_the_first_shifted_block(version, geometry, side):
    config = SwinConfig(version=version, geometry=geometry, embed_dim=8, depths=(2,), num_heads=(2,), num_classes=3)
    stage = shake(SwinBackbone(config)).stages[0]
    x = torch.randn(1, side, side, 8, requires_grad=True)
    for axis in (1, 2):
        (gradient,) = torch.autograd.grad(stage(x).select(axis, side - 1).sum(), x)
        assert gradient.select(axis, 0).abs().max() < 1e-12
        assert gradient.select(axis, side - 2).abs().max() > 1e-3


@pytest.mark.parametrize("version", [1, 2])
def test_checkpointing_changes_no_gradient(version):
    gradients = []
    for checkpointing in (False, True):
        model = shake(SwinClassifier(tiny(version, gradient_checkpointing=checkpointing, drop_path_rate=0.2))).train()
        torch.manual_seed(0)
        model(torch.linspace(-1, 1, 2 * 3 * 30 * 30).view(2, 3, 30, 30)).sum().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for plain, recomputed in zip(*gradients, strict=True):
        assert torch.equal(plain, recomputed)


@pytest.mark.parametrize("version", [1, 2])
def test_built_on_the_meta_device_and_filled(version):
    config = tiny(version, ape=True)
    with torch.device("meta"):
        model = SwinClassifier(config)
    model = model.to_empty(device="cpu")
    with torch.no_grad():
        for tensor in [*model.parameters(), *(b for b in model.buffers() if b.is_floating_point())]:
            tensor.fill_(float("nan"))
    model.apply(initialise)
    for (name, buffer), expected in zip(model.named_buffers(), SwinClassifier(config).buffers(), strict=True):
        assert torch.equal(buffer, expected), name
    assert model.eval()(torch.randn(1, 3, 30, 30)).isfinite().all()


@pytest.mark.parametrize("version", [1, 2])
def test_gradients_per_sample_under_torch_func(version):
    model = shake(SwinClassifier(tiny(version)))
    parameters, images = dict(model.named_parameters()), torch.randn(2, 3, 18, 20)

    def loss(values, image):
        return torch.func.functional_call(model, values, (image[None],)).square().sum()

    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(parameters, images)
    total = torch.func.grad(lambda p: torch.func.functional_call(model, p, (images,)).square().sum())(parameters)
    for name, gradient in total.items():
        torch.testing.assert_close(each[name].sum(0), gradient, rtol=1e-3, atol=1e-3 * gradient.abs().max().item())


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("geometry", ["classification", "dense"])
def test_one_graph_for_all_sizes(version, geometry):
    model, graphs = shake(SwinClassifier(four_stages(version, geometry=geometry))).eval(), CompileCounterWithBackend("eager")
    torch._dynamo.reset()
    one = compiled(model, backend=graphs)
    with torch.no_grad():
        for size in random.Random(version).sample(STREAM, len(STREAM)):
            images = torch.randn(2, 3, *size)
            torch.testing.assert_close(one(images), model(images))
    assert graphs.frame_count == 1


@pytest.mark.timeout(1800)
@pytest.mark.slow  # minutes: inductor settles the strides of every loop symbolically
@pytest.mark.parametrize("version", [1, 2])
def test_inductor_makes_one_graph_for_all_sizes(version):
    stage = SwinConfig(version=version, embed_dim=8, depths=(2,), num_heads=(1,), num_classes=3)
    model = shake(SwinClassifier(stage)).eval()
    torch._dynamo.reset()
    counters.clear()
    one = compiled(model)
    with torch.no_grad():
        for size in random.Random(version).sample(STREAM, len(STREAM)):
            images = torch.randn(2, 3, *size)
            torch.testing.assert_close(one(images), model(images), rtol=1e-4, atol=1e-4)
    assert counters["stats"]["unique_graphs"] == 1


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_windows_in_turn_attend_as_all_at_once(version, chunk):
    plain = shake(SwinClassifier(tiny(version)))
    sequential = SwinClassifier(tiny(version, attention_chunk=chunk))
    sequential.load_state_dict(plain.state_dict())
    images = torch.randn(2, 3, 42, 50)
    for model in (plain, sequential):
        model(images).square().sum().backward()
    torch.testing.assert_close(sequential(images), plain(images))
    for one, other in zip(sequential.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("frozen", [False, True])
def test_derivatives_of_every_kind_by_the_plain_attention(version, frozen):
    model = shake(SwinClassifier(tiny(version))).double().requires_grad_(not frozen)
    images = torch.randn(1, 3, 18, 20, dtype=torch.float64)
    with sdpa_kernel(SDPBackend.MATH):
        jacobian = torch.func.jacrev(model)(images)
        _, along = torch.func.jvp(model, (images,), (images,))
        torch.testing.assert_close((jacobian * images).sum((2, 3, 4, 5)), along)
        (gradient,) = torch.autograd.grad(model(images.requires_grad_()).sum(), images, create_graph=True)
        assert torch.autograd.grad(gradient.square().sum(), images)[0].abs().max() > 0


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("accelerated", [False, True])
@pytest.mark.filterwarnings("ignore")  # torch's, of every constant
def test_what_torch_jit_records_serves_the_size_that_it_met_and_no_other(version, accelerated):
    model = shake(SwinClassifier(tiny(version, embed_dim=32))).eval()
    if accelerated:
        accelerate(model)
    images = torch.randn(3, 3, 32, 64)
    with torch.jit.optimized_execution(False):
        recorded = torch.jit.trace(model, images[:2], check_trace=False)
        torch.testing.assert_close(recorded(images), model(images), rtol=1e-5, atol=1e-5)
        for other in ((33, 64), (64, 32), (16, 64)):
            with pytest.raises(RuntimeError):
                recorded(torch.randn(1, 3, *other))


def test_windows_whose_tables_do_not_fit_are_refused_before_they_are_made(monkeypatch):
    config = SwinConfig(window_size=200, image_size=800, depths=(2,), num_heads=(3,))
    monkeypatch.setattr("swinkit.model.position_bias.available_memory", lambda: 20 * 10**9)
    with pytest.raises(UsageError, match=r"Windows of 200 x 200 patches: .* 25\.6 GB of memory, and 20\.0 are left"):
        SwinBackbone(config)
    with torch.device("meta"):
        assert SwinBackbone(config).stages[0].blocks[0].attention.bias.index.is_meta
