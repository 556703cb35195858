"""A bundle in the place of a model: the predictor gives the same answers with either."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from swinkit import Predictor
from swinkit.errors import UsageError
from swinkit.runtime.export.bundle import Bundle


@pytest.mark.parametrize(("model", "bundle", "channels"), [("plain", "onnx_bundle", 1), ("plain_v2", "openvino_bundle", 3)])
def test_a_bundle_predicts_as_its_model(model: str, bundle: str, channels: int, request: pytest.FixtureRequest) -> None:
    exported: Bundle = request.getfixturevalue(bundle)
    pictures = list(np.random.default_rng(0).integers(0, 256, (5, 40, 50, channels), dtype=np.uint8))
    original, graph = Predictor(request.getfixturevalue(model)), Predictor(exported.path)
    for wanted, got in zip(original(pictures), graph(pictures), strict=True):
        assert got.label == wanted.label
        assert np.abs(np.array(got.probabilities) - np.array(wanted.probabilities)).max() < 1e-4
    assert graph.fingerprint() == Predictor(exported.path).fingerprint() != original.fingerprint()


def test_a_bundle_gives_no_embeddings(onnx_bundle: Bundle, plain: Any) -> None:
    picture = np.zeros((28, 28, 1), np.uint8)
    with pytest.raises(UsageError, match="exported graph, which gives no embeddings"):
        Predictor(onnx_bundle.path)(picture, embeddings=True)
