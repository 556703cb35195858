from __future__ import annotations

import pytest
import torch

from swinkit.devices import onednn_packs
from swinkit.errors import UsageError
from swinkit.study import floor
from swinkit.study.macs import count_macs
from swinkit.tasks import create_model
from swinkit.variants import configure

BATCH = 2


# sizes of which every map divides by two down to the last, which then has no padding
@pytest.mark.parametrize(("name", "side"), [("swin_nano", 56), ("swinv2_nano", 56), ("swin_t", 224), ("swinv2_b_384_ft", 384)])
def test_the_products_are_those_of_the_network(name, side):
    config = configure(name)
    by_part: dict[str, int] = {}
    for gemm in floor.gemms(config, BATCH, (side, side)):
        by_part[gemm.part] = by_part.get(gemm.part, 0) + gemm.macs
    macs = count_macs(config, (side, side), padding=False)
    assert by_part == {part: BATCH * getattr(macs, part) for part in ("merging", "qkv", "projection", "mlp", "head")}


def test_every_linear_layer_has_its_product_in_order(monkeypatch):
    model, linear = create_model("swin_nano").eval(), torch.nn.functional.linear
    seen = []

    def noted(x, weight, bias=None):
        seen.append((x.numel() // x.shape[-1], *weight.shape[::-1], bias is not None))
        return linear(x, weight, bias)

    monkeypatch.setattr(torch.nn.functional, "linear", noted)
    with torch.no_grad():
        model(torch.zeros(BATCH, 3, 56, 56))
    listed = floor.gemms(model.config, BATCH, (56, 56))
    assert [shape[1:] for shape in seen] == [(gemm.inner, gemm.columns, gemm.bias) for gemm in listed]
    assert [shape[0] for shape in seen[:16]] == [gemm.rows for gemm in listed[:16]]  # the last stage's windows are padded


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_product_is_a_linear_layer_with_exact_gelu_or_is_refused(dtype):
    gemm = floor.Gemm("mlp", 50, 24, 40, gelu=True)
    if not onednn_packs(dtype):
        with pytest.raises(UsageError, match=f"weights of {str(dtype).removeprefix('torch.')}.*--no-floor"):
            floor.Floor([gemm], dtype)
        return
    products = floor.Floor([gemm], dtype)
    (inputs, packed, bias, *_), *_ = products._calls
    expected = torch.nn.functional.gelu(inputs.float() @ packed.to_dense().float().view(40, 24).T + bias.float())
    assert (products().float() - expected).abs().max() < (1e-5 if dtype == torch.float32 else 2e-2)


def test_without_onednn_it_says_so(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    with pytest.raises(UsageError, match="--no-floor"):
        floor.Floor([floor.Gemm("mlp", 1, 1, 1)], torch.float32)
