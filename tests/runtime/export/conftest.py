"""Two small models, each exported once: version 1 to ONNX, version 2 with preprocessing inside to OpenVINO."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from onnx import numpy_helper

import swinkit
from swinkit.preprocessing import Preprocessing
from swinkit.runtime.export.bundle import Bundle, Input
from swinkit.runtime.export.exporting import export
from swinkit.tasks import described

SMALL = {"num_classes": 5, "embed_dim": 16, "depths": (1, 2), "num_heads": (2, 4)}


def small_model(variant: str, channels: int = 1, **overrides: Any) -> Any:
    """Weights large enough that every block counts: fresh ones would hide a wrong shift behind the mean over tokens."""
    torch.manual_seed(0)
    model = swinkit.create_model(variant, in_channels=channels, **{**SMALL, **overrides})
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.2)
            elif name.endswith("weight"):
                parameter.fill_(1)
        patches = torch.randn(64, channels, 7, 7).repeat_interleave(4, 2).repeat_interleave(4, 3)
        model.head.bias -= model.eval()(patches).mean(0)  # every class is somebody's best
    mean, std = (0.3, 0.5, 0.4)[:channels], (0.2, 0.3, 0.25)[:channels]
    described(model, tuple("abcde"), Preprocessing(size=model.config.image_size, channels=channels, mean=mean, std=std))
    return model.eval()


@pytest.fixture(scope="package")
def plain() -> Any:
    return small_model("swin_nano")


@pytest.fixture(scope="package")
def plain_v2() -> Any:
    return small_model("swinv2_nano", channels=3)


@pytest.fixture(scope="package")
def onnx_bundle(plain: Any, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return export(plain, tmp_path_factory.mktemp("onnx") / "small")


@pytest.fixture(scope="package")
def openvino_bundle(plain_v2: Any, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return export(plain_v2, tmp_path_factory.mktemp("ir") / "small", "openvino", Input(dtype="uint8", layout="NHWC"))


@pytest.fixture(scope="package")
def planted(onnx_bundle: Bundle) -> bytes:
    """The same network, in which one channel between a norm and a linear layer is 3000 times as large, and its weights as small."""
    graph = onnx.load_from_string(onnx_bundle.files["model.onnx"])
    tensors = {tensor.name: tensor for tensor in graph.graph.initializer}
    linear = next(node for node in graph.graph.node if "blocks.1.mlp.fc1/MatMul" in node.name)
    norm = next(node for node in graph.graph.node if "blocks.1.norm2/LayerNorm" in node.name)
    for node, place, factor in ((norm, 1, 3000.0), (norm, 2, 3000.0), (linear, 1, 1 / 3000)):
        values = numpy_helper.to_array(tensors[node.input[place]]).copy()
        values[0] *= factor
        node.input[place] = f"planted/{node.input[place]}"  # other nodes may share the old one
        graph.graph.initializer.append(numpy_helper.from_array(values, node.input[place]))
    return graph.SerializeToString()


@pytest.fixture
def copied(onnx_bundle: Bundle, tmp_path: Path) -> Path:
    """The ONNX bundle in a folder that a test may damage."""
    return Path(shutil.copytree(onnx_bundle.path, tmp_path / "copied"))


@pytest.fixture
def ready_made(onnx_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """Let an export translate to given bytes at once, by default those that were translated before."""
    from swinkit.runtime.export import exporting, int8

    def install(graph: bytes = onnx_bundle.files["model.onnx"]) -> None:
        monkeypatch.setattr(exporting, "trace", lambda *_: None)
        monkeypatch.setattr(exporting, "write_graph", lambda *_: {"model.onnx": graph})
        monkeypatch.setattr(int8, "to_onnx", lambda *_: {"model.onnx": graph})

    return install
