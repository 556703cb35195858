"""evaluate --expect published, on a stand-in for ImageNet's validation set: a thousand synset folders of tiny pictures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image

import swinkit
from swinkit import variants
from swinkit.cli.main import run
from swinkit.cli.published import Expectation, by_synset, expectation
from swinkit.data.folders import open_folders
from swinkit.errors import DataError, GateError, UsageError
from swinkit.variants import configure

TINY = {"embed_dim": 8, "depths": (1, 1), "num_heads": (1, 2), "image_size": 16, "window_size": 4, "patch_size": 2}


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("imagenet")
    for index in range(1000):
        folder = root / "val" / f"n{1000000 + 17 * index:08d}"
        folder.mkdir(parents=True)
        Image.fromarray(numpy.full((16, 16, 3), index % 256, numpy.uint8)).save(folder / "a.png")
    return root


def test_a_figure_that_is_met_and_one_that_is_missed(imagenet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = configure("swin_t", **TINY)
    row = replace(variants.find("swin_t"), name="swin_tiny_patch4_window7_224", config=config, top1_1k=0.1, top1_22k=None)
    monkeypatch.setitem(variants.VARIANTS, row.name, row)
    monkeypatch.setitem(variants.ALIASES, "swin_t", row)
    model = swinkit.create_model("swin_t")
    with torch.no_grad():
        model.head.bias[1] += 100  # it always says the second synset: one in a thousand is right
    swinkit.save(model, tmp_path / "model")
    arguments = ["evaluate", str(tmp_path / "model"), str(imagenet), "--expect", "published", "-q"]
    assert run(arguments) == 0
    monkeypatch.setitem(variants.VARIANTS, row.name, replace(row, top1_1k=81.2))
    monkeypatch.setitem(variants.ALIASES, "swin_t", replace(row, top1_1k=81.2))
    assert run([*arguments, "--out", str(tmp_path / "judged")]) == 4
    stored = json.loads((tmp_path / "judged" / "evaluation.json").read_text("utf-8"))
    assert (stored["published"]["top1"], stored["figures"]["top1"]["value"]) == (81.2, 0.001)
    page = (tmp_path / "judged" / "report.html").read_text("utf-8")
    assert "--split all --expect published" in page
    compared = page[page.index("as published") :]
    assert "81.2" in compared[:600]
    assert "trained on ImageNet-1K alone" in compared[:600]


def test_the_whole_set_is_held_to_a_margin_and_a_part_to_its_interval() -> None:
    published = Expectation(81.2, "somebody")
    assert "-0.15 points" in published.require(0.8105, 0.807, 0.814, 50_000)
    with pytest.raises(GateError, match=r"within 0\.2 points"):
        published.require(0.8090, 0.805, 0.813, 50_000)
    assert published.require(0.79, 0.76, 0.82, 1_000)
    with pytest.raises(GateError, match="interval"):
        published.require(0.7, 0.67, 0.73, 1_000)


@pytest.mark.parametrize(
    ("name", "wanted", "variant", "top1"),
    [
        ("swinv2_tiny_patch4_window8_256.pth", "published", "swinv2_t", 81.8),
        ("swin_base_patch4_window7_224_22kto1k.pth", "published", "swin_b", 85.2),
        ("model", "published-1k", "swin_b", 83.5),
    ],
)
def test_which_figure(name: str, wanted: str, variant: str, top1: float) -> None:
    assert expectation(name, wanted, configure(variant)).top1 == top1


def test_what_is_not_known_is_not_guessed(imagenet: Path) -> None:
    with pytest.raises(UsageError, match="does not say which"):
        expectation("model", "published", configure("swin_b"))
    with pytest.raises(UsageError, match="none of the published"):
        expectation("model", "published", configure("swin_t", embed_dim=48))
    with pytest.raises(UsageError, match="No figure"):
        expectation("model", "published", configure("swinv2_g"))
    val = open_folders(imagenet / "val")
    assert by_synset(val, tuple(map(str, range(1000)))).samples[17].labels == (17,)
    with pytest.raises(DataError, match="expected the 1,000"):
        by_synset(replace(val, classes=val.classes[:10]), tuple(map(str, range(1000))))
