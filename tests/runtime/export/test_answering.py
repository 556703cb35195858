"""A bundle in the place of a model: the predictor gives the same answers with either."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from swinkit import Predictor
from swinkit.cli.main import run
from swinkit.errors import UsageError
from swinkit.preprocessing import Preprocessing
from swinkit.runtime import engines
from swinkit.runtime.export.bundle import Bundle
from swinkit.runtime.export.golden import finer, normalise


@pytest.mark.parametrize(("model", "bundle", "channels"), [("plain", "onnx_bundle", 1), ("plain_v2", "openvino_bundle", 3)])
def test_a_bundle_predicts_as_its_model(model: str, bundle: str, channels: int, request: pytest.FixtureRequest) -> None:
    exported: Bundle = request.getfixturevalue(bundle)
    pictures = list(np.random.default_rng(0).integers(0, 256, (5, 40, 50, channels), dtype=np.uint8))
    original, graph = Predictor(request.getfixturevalue(model), precision="float32"), Predictor(exported.path)
    for wanted, got in zip(original(pictures), graph(pictures), strict=True):
        assert got.label == wanted.label
        assert np.abs(np.array(got.probabilities) - np.array(wanted.probabilities)).max() < 1e-4
    assert graph.precision == "float32"
    assert graph.fingerprint() == Predictor(exported.path).fingerprint() != original.fingerprint()


@pytest.mark.parametrize("carried", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))], ids=["copied", "pickled"])
def test_a_predictor_of_a_bundle_goes_elsewhere(onnx_bundle: Bundle, carried: Any) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (40, 50, 1), dtype=np.uint8)
    first = Predictor(onnx_bundle.path, image_size=32)
    second = carried(first)
    assert second.fingerprint() == first.fingerprint()
    assert second(picture) == first(picture)


def test_fine_pictures_that_a_bundle_rounds_to_8_bits_are_told_of_once(
    openvino_bundle: Bundle, onnx_bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    engines._said.clear()
    graph, coarse = Predictor(openvino_bundle.path), np.arange(256, dtype=np.uint8).reshape(16, 16)
    graph(coarse)
    Predictor(onnx_bundle.path)(coarse.astype(np.uint16))
    assert capsys.readouterr().err == ""
    for _ in range(2):
        graph(coarse.astype(np.uint16) * 16)
    told = capsys.readouterr().err
    assert told.count("rounded away. Mend: export the model again without --with-preprocessing") == 1
    assert str(openvino_bundle.path) in told


def test_only_what_8_bits_do_not_hold_is_finer() -> None:
    for scale in (1.0, 0.01):
        how = Preprocessing(size=(16, 16), channels=1, mean=(0.5,), std=(scale,))
        pictures = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
        assert not finer(normalise(pictures, how), how)
        assert finer(normalise(pictures / np.float32(16), how), how)


def test_a_bundle_gives_no_embeddings(onnx_bundle: Bundle, plain: Any) -> None:
    picture = np.zeros((28, 28, 1), np.uint8)
    with pytest.raises(UsageError, match="exported graph, which gives no embeddings"):
        Predictor(onnx_bundle.path)(picture, embeddings=True)


def test_a_bundle_is_judged_by_its_graph(onnx_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in onnx_bundle.manifest.classes:
        (tmp_path / "photos" / name).mkdir(parents=True)
        Image.new("L", (28, 28), 90).save(tmp_path / "photos" / name / "a.png")
    assert (
        run(["evaluate", str(onnx_bundle.path), str(tmp_path / "photos"), "--out", str(tmp_path / "judged"), "--json", "-q"])
        == 0
    )
    told = json.loads(capsys.readouterr().out)
    assert (told["pictures"], told["data"]["trained_on"]) == (len(onnx_bundle.manifest.classes), None)
    page = (tmp_path / "judged" / "report.html").read_text("utf-8")
    assert "an exported onnx graph in float32" in page
    assert onnx_bundle.manifest.files["model.onnx"].sha256 in page
