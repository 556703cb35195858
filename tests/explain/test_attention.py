"""Attention that is shown is the model's own: caught inside its forward pass, and computed by the oracle that knows no windows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.overrides import TorchFunctionMode

from swinkit.errors import UsageError
from swinkit.explain.attention import attention_of
from swinkit.explain.explanation import Explainer
from swinkit.explain.seeing import meetings
from swinkit.model.windows import WindowGrid, token_places
from tests import oracle
from tests.explain.models import VERSIONS, small


class Eavesdropper(TorchFunctionMode):
    """Keeps the softmax rows of every ``scaled_dot_product_attention`` that is called, (batch, heads, N, N)."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[torch.Tensor] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is torch.nn.functional.scaled_dot_product_attention:
            q, k, _ = args[:3]
            self.rows.append((q @ k.transpose(-2, -1) * kwargs.get("scale", 1.0) + kwargs["attn_mask"]).softmax(-1))
        return func(*args, **kwargs)


@pytest.mark.parametrize("block", [0, 1])
@pytest.mark.parametrize("version", VERSIONS)
def test_rows_are_those_of_the_models_forward(version: int, block: int) -> None:
    """Every position of a 56x56 map, regular and shifted windows."""
    model = small(version, image_size=112)
    images = torch.randn(1, 3, 112, 112, generator=torch.Generator().manual_seed(1))
    with torch.no_grad(), Eavesdropper() as heard:
        model(images)
    shown = attention_of(model, images, 0, block)
    own = heard.rows[block].reshape(shown.rows.shape[1], *shown.rows.shape[2:])
    assert shown.size == (56, 56)
    assert shown.shifted == bool(block)
    torch.testing.assert_close(shown.rows[0], own, rtol=0, atol=1e-6)


@pytest.mark.parametrize("block", [0, 1])
@pytest.mark.parametrize("version", VERSIONS)
def test_stitched_rows_are_those_of_the_oracle(version: int, block: int) -> None:
    """Every position of a 56x56 map: each token's partners and their shares, in float64, without roll or mask or window."""
    model = small(version, image_size=112).double()
    images = torch.randn(1, 3, 112, 112, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad(), meetings(model) as met:
        model(images)
    shown = attention_of(model, images, 0, block)
    expected = oracle_rows(model, met[0, block].x[0].numpy(), block)
    worst = outside = 0.0
    for row, column in np.ndindex(56, 56):
        stitched = shown.of_token(row, column)[0].numpy()
        partners, shares = expected[row, column]
        true = np.zeros_like(stitched)
        true[:, partners[:, 0], partners[:, 1]] = shares.T
        worst = max(worst, np.abs(stitched - true).max())
        outside = max(outside, stitched[:, ~shown.partners(row, column).numpy()].max())
        assert {tuple(p) for p in partners} == {tuple(p) for p in shown.partners(row, column).nonzero().tolist()}
    assert worst < 1e-7  # log-spaced coordinates are float32 in the model
    assert outside < 1e-12


def oracle_rows(model, x: np.ndarray, block: int) -> dict[tuple[int, int], tuple[np.ndarray, np.ndarray]]:
    """(row, column) -> partners (M, 2) and their shares (M, h), from the weights and the map ``x`` (H, W, C)."""
    config, window = model.config, model.config.stage_window(0)
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    w = oracle.inside(weights, f"backbone.stages.0.blocks.{block}.attention.")
    heads = config.num_heads[0]
    q, k, _ = (part.reshape(*x.shape[:2], heads, -1) for part in oracle.projections(w, x))
    if config.version == 1:
        q = q / np.sqrt(x.shape[2] // heads)
    else:
        scale = np.exp(np.minimum(w["similarity.logit_scale"], np.log(100))).reshape(heads, 1)
        q, k = oracle.unit(q) * scale, oracle.unit(k)
    bias = oracle.position_bias(config, oracle.inside(w, "bias."), 0, window)
    near = [oracle.neighbours(x.shape[axis], window[axis], block % 2 == 1, False) for axis in (0, 1)]
    answer = {}
    for row, column in np.ndindex(x.shape[:2]):
        partners = [(r, c) for r in near[0][row] for c in near[1][column]]
        logits = np.array([(q[row, column] * k[p]).sum(-1) + bias[row - p[0], column - p[1]] for p in partners])
        share = np.exp(logits - logits.max(0))
        answer[row, column] = np.array(partners), share / share.sum(0)
    return answer


@given(
    st.integers(1, 20), st.integers(1, 20), st.tuples(st.integers(1, 5), st.integers(1, 5)), st.booleans(), st.booleans()
)  # fmt: skip
@settings(max_examples=60)
def test_every_token_has_one_seat(height: int, width: int, window: tuple[int, int], shift: bool, always: bool) -> None:
    x = torch.zeros(1, height, width, 1)
    grid = WindowGrid.regular(x, window)
    places = token_places(grid.shifted(x, always) if shift else grid, (height, width))
    assert sorted(places[places >= 0].tolist()) == list(range(height * width))
    assert places.numel() == grid.counts[0] * grid.counts[1] * window[0] * window[1]


@pytest.mark.parametrize("version", VERSIONS)
def test_at_a_size_that_needs_padding_rows_sum_to_one_less_the_padding(version: int) -> None:
    model = small(version)
    shown = attention_of(model, torch.randn(2, 3, 61, 50), 0, 1)
    assert shown.size == (31, 25)
    held = torch.stack([shown.of_token(r, c).sum((-2, -1)) for r in range(31) for c in range(25)])
    assert float(held.max()) <= 1 + 1e-5
    assert float(1 - held.mean()) == pytest.approx(shown.padding_share(), abs=1e-5)
    assert shown.padding_share() > 0


def test_even_attention_has_full_entropy_and_a_known_reach() -> None:
    model = small(1)
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    shown = attention_of(model, torch.randn(1, 3, 56, 56), 0, 0)
    assert shown.entropy().tolist() == pytest.approx([np.log2(49)] * 2, abs=1e-4)
    seats = np.stack(np.meshgrid(range(7), range(7)), -1).reshape(-1, 2)
    expected = np.linalg.norm(seats[:, None] - seats[None], axis=-1).mean()
    assert shown.reach().tolist() == pytest.approx([expected] * 2, abs=1e-4)


def test_hooks_are_gone_afterwards() -> None:
    model = small(1)
    attention_of(model, torch.randn(1, 3, 56, 56))
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in model.modules())


@pytest.mark.parametrize(
    ("stage", "block", "told"), [(2, 0, "no stage 2"), (0, 2, "no block in stage 0 2"), (-3, 0, "no stage")]
)
def test_a_place_that_is_not_there(stage: int, block: int, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        attention_of(small(1), torch.randn(1, 3, 56, 56), stage, block)


def test_a_token_that_is_not_there() -> None:
    with pytest.raises(UsageError, match="row 28"):
        attention_of(small(1), torch.randn(1, 3, 56, 56), 0, 0).of_token(28, 0)


def test_a_model_without_a_swin() -> None:
    with pytest.raises(UsageError, match="Swin backbone"):
        attention_of(torch.nn.Linear(2, 2), torch.randn(1, 2))


def test_attention_to_padding_is_told_of_the_patch_and_of_all() -> None:
    """30 tokens a side in windows of 7: the last windows are filled up, the first are not."""
    explainer = Explainer(small(1, image_size=60), np.zeros((600, 600, 3), np.uint8), checked=False)
    inside, corner = (explainer.of_attention(at, at, stage=0, block=0).facts for at in (100, 550))
    shown = attention_of(explainer.model, explainer.image, 0, 0)
    window, seat = shown.seat(*corner.token)
    expected = float(shown.rows[0, window, :, seat][:, shown.places[window] < 0].sum(-1).mean())
    assert inside.padding_share_of_patch == pytest.approx(0, abs=1e-6)
    assert corner.padding_share_of_patch == pytest.approx(expected, abs=1e-5)
    assert corner.padding_share_of_all_patches == pytest.approx(shown.padding_share())
    assert expected > shown.padding_share() > 0
