"""A stage in one native call against the same parts called one by one; pictures cut into patches against torch's reshape."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swinkit.config import SwinConfig
from swinkit.kernels import dense, stage
from swinkit.model.classifier import SwinClassifier
from swinkit.runtime.engines.native import parts
from swinkit.runtime.engines.native_stage import WholeStage
from swinkit.runtime.folding import Folded, cut_by_reshape
from tests.shaking import shake

DTYPES = [dtype for dtype in (torch.float32, torch.bfloat16) if dense.supports_linear(torch.empty(64, 64), dtype)]
offered = pytest.mark.skipif(not DTYPES, reason="no kernel for linear layers here, so stages are not whole")
SMALL = {"patch_size": 2, "embed_dim": 32, "depths": (2, 3, 1), "num_heads": (1, 2, 4), "window_size": 4, "num_classes": 10}


@pytest.mark.skipif(not stage.KERNEL.available, reason=f"no native kernel here: {stage.KERNEL.reason}")
@given(
    batch=st.integers(1, 3), channels=st.integers(1, 4), height=st.integers(1, 40), width=st.integers(1, 40), side=st.integers(1, 8),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
)  # fmt: skip
def test_patches_are_those_of_a_reshape(batch, channels, height, width, side, dtype):
    images = torch.randn(batch, channels, height, width, generator=torch.Generator().manual_seed(0))
    assert torch.equal(stage.cut_into_patches(images, side, dtype), cut_by_reshape(images, side, dtype))


@offered
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("fields", [{"version": 1}, {"version": 2}, {"version": 2, "extra_norm_every": 2}], ids=str)
@pytest.mark.parametrize(
    ("batch", "size"), [(1, (32, 32)), (3, (28, 44)), (2, (19, 37))]
)  # windows that fit, pad, and odd maps
def test_a_whole_stage_answers_as_its_parts_do(dtype, fields, batch, size):
    torch.manual_seed(0)
    model = shake(SwinClassifier(SwinConfig(image_size=32, in_channels=3, **SMALL, **fields)))
    folded = Folded(model, parts(str(dtype).removeprefix("torch."), 256, embed_dim=32)).eval()
    assert all(isinstance(one, WholeStage) for one in folded.stages)
    x, at = folded.embed(torch.randn(batch, 3, *size))
    for whole in folded.stages:
        expected, counts = whole.stage(x.clone(), at)
        x, at = whole(x, at)
        assert at == counts
        assert torch.equal(x, expected)


@offered
def test_it_remembers_no_more_sizes_than_it_should(monkeypatch):
    monkeypatch.setattr("swinkit.runtime.engines.remembering.MOST_SIZES", 2)
    model = shake(SwinClassifier(SwinConfig(image_size=32, in_channels=3, version=1, **SMALL)))
    folded = Folded(model, parts("float32", 256, embed_dim=32)).eval()
    answers = {side: folded(torch.ones(1, 3, side, side))[0] for side in (16, 32, 48)}
    assert all(len(whole.settled) <= 2 for whole in folded.stages)
    assert all(torch.equal(folded(torch.ones(1, 3, side, side))[0], answers[side]) for side in answers)


@offered
def test_a_layer_that_the_kernel_does_not_suit_leaves_the_stage_in_parts():
    """A hidden layer of 33 channels, and nothing else."""
    model = SwinClassifier(SwinConfig(image_size=32, in_channels=3, version=1, mlp_ratio=33 / 32, **SMALL))
    folded = Folded(model, parts("float32", 256, embed_dim=32))
    assert not any(isinstance(one, WholeStage) for one in folded.stages)


@offered
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("version", [1, 2])
def test_whoever_took_over_whose_work_an_answer_is_the_same_to_the_bit(dtype, version):
    """More threads than cores: some come late, and others have done what was theirs."""
    torch.manual_seed(0)
    model = shake(SwinClassifier(SwinConfig(image_size=32, in_channels=3, version=version, **SMALL)))
    folded = Folded(model, parts(str(dtype).removeprefix("torch."), 256, embed_dim=32)).eval()
    images, threads = torch.randn(3, 3, 32, 48), torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        with torch.inference_mode():
            expected = folded(images)
            for count in (2, 3, 7) * 10:
                torch.set_num_threads(count)
                assert all(map(torch.equal, folded(images), expected))
    finally:
        torch.set_num_threads(threads)
