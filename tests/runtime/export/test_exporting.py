"""One graph answers as the model does at every size and batch; a graph that does not leaves nothing behind."""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from PIL import Image
from torch import nn
from torch.nn.utils import prune

import swinkit
from swinkit.cli.main import run
from swinkit.data.transforms import evaluation
from swinkit.errors import GateError, SwinkitError, UsageError
from swinkit.kernels.accelerate import accelerated
from swinkit.model import windows
from swinkit.runtime import engines
from swinkit.runtime.export import exporting, golden
from swinkit.runtime.export.bundle import Bundle, Input, open_bundle, write_bundle
from swinkit.runtime.export.exporting import export
from swinkit.runtime.export.sessions import onnxruntime_session, openvino_session
from swinkit.runtime.export.tracing import trace
from swinkit.timing import Parts
from swinkit.weights.hub import locate

from .conftest import small_model

ROOT = Path(__file__).parents[3]
# beyond the golden ones: a pixel, less than a patch, one window exactly, a strip, the size at which the shift sets in
SIZES = ((1, 1), (1, 3), (14, 14), (15, 15), (28, 28), (29, 57), (3, 200), (84, 42))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("batch", [1, 4])
def test_onnx_answers_as_the_model_at_any_size(plain: Any, onnx_bundle: Bundle, size: tuple[int, int], batch: int) -> None:
    images = torch.randn(batch, 1, *size)
    with torch.no_grad():
        expected = plain(images).numpy()
    for session in (onnxruntime_session, openvino_session):
        assert np.abs(session(onnx_bundle)(images.numpy()) - expected).max() < 1e-4


@pytest.mark.parametrize("size", SIZES)
def test_preprocessing_inside_is_that_of_the_predictor(plain_v2: Any, openvino_bundle: Bundle, size: tuple[int, int]) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (2, *size, 3), dtype=np.uint8)
    transform = evaluation(plain_v2.preprocessing.model_copy(update={"resize": "none"}))
    with torch.no_grad():
        expected = plain_v2(transform.batch(pictures)).numpy()
    assert np.abs(openvino_session(openvino_bundle)(pictures) - expected).max() < 1e-4


@pytest.mark.parametrize("copy_of", [accelerated, engines.build, exporting.prepared], ids=lambda one: one.__name__)
def test_a_pruned_and_a_weight_normed_layer_are_copied(copy_of: Callable[[Any], Any]) -> None:
    """Their weights are computed from others, which Python's deepcopy refuses."""
    model, images = small_model("swin_nano"), torch.randn(2, 1, 28, 28)
    mlp = model.backbone.stages[0].blocks[0].mlp
    prune.l1_unstructured(mlp.fc1, "weight", 0.5)
    nn.utils.weight_norm(mlp.fc2)
    with torch.no_grad():
        torch.testing.assert_close(copy_of(model)(images), model(images), rtol=1e-4, atol=1e-5)


def test_every_runtime_was_asked_at_every_size(onnx_bundle: Bundle) -> None:
    checks = onnx_bundle.manifest.checks
    assert {check["runtime"] for check in checks} == {"onnxruntime", "openvino"}
    assert len({tuple(check["size"]) for check in checks}) == 7
    assert all(check["batches"] == [1, 2, 3] and check["error"] < 1e-4 for check in checks)


def test_version_2_as_onnx_answers_at_the_seven_promised_sizes(tmp_path: Path) -> None:
    """The sizes of models for 224 pixels, here of one small enough to be asked at all of them."""
    model = small_model("swinv2_nano", channels=3, image_size=224, patch_size=4)
    bundle = export(model, tmp_path / "bundle")
    assert set(bundle.golden.pictures) == set(golden.SIZES)
    assert {(check["runtime"], *check["size"]) for check in bundle.manifest.checks} == {
        (runtime, *size) for runtime in ("onnxruntime", "openvino") for size in golden.SIZES
    }
    run = onnxruntime_session(open_bundle(tmp_path / "bundle"))
    for size in golden.SIZES:
        images = torch.randn(2, 3, *size)
        with torch.no_grad():
            expected = model(images).numpy()
        assert np.abs(run(images.numpy()) - expected).max() < 1e-4 * np.abs(expected).max()


def test_the_graph_says_what_it_is(onnx_bundle: Bundle) -> None:
    graph = onnx.load_from_string(onnx_bundle.files["model.onnx"])
    onnx.checker.check_model(graph)
    facts = {item.key: item.value for item in graph.metadata_props}
    assert json.loads(facts["classes"]) == list("abcde")
    assert json.loads(facts["preprocessing"])["mean"] == [0.3]
    sides = [side.dim_param or side.dim_value for side in graph.graph.input[0].type.tensor_type.shape.dim]
    assert sides == ["batch", 1, "height", "width"]
    assert os.fsencode(ROOT) not in onnx_bundle.files["model.onnx"]


def test_torch_export_answers_as_the_model(plain: Any, tmp_path: Path) -> None:
    bundle = export(plain, tmp_path / "bundle", "torch")
    assert max(check["error"] for check in bundle.manifest.checks) < 1e-4
    program = torch.export.load(str(bundle.path / "model.pt2")).module()
    with torch.no_grad():
        for size in SIZES:
            images = torch.randn(1, 1, *size)
            assert torch.allclose(program(images), plain(images), atol=1e-4)


def test_the_recipe_for_torch_export_on_the_page_of_the_model(capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "docs" / "model.md").read_text(encoding="utf-8").partition("## torch.export")[2]
    code = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0]
    # one stage is the same graph, sooner
    names: dict[str, Any] = {}
    exec(code.replace("num_classes=10", "num_classes=10, depths=(2,), num_heads=(1,), embed_dim=8"), names)
    assert float(capsys.readouterr().out.strip("tensor()\n")) < 1e-5
    program, model = names["program"].module(), names["model"]
    with torch.no_grad():
        for batch, (height, width) in enumerate(SIZES, 1):
            images = torch.randn(batch, 3, height, width)
            assert torch.allclose(program(images), model(images), atol=1e-5)


@pytest.mark.parametrize("variant", ["swin_nano", "swinv2_nano"])
def test_measures_against_memory_stay_outside_of_the_graph(variant: str) -> None:
    model = small_model(variant, attention_chunk=2, gradient_checkpointing=True)
    program = trace(exporting.prepared(model), Input()).module(check_guards=False)
    with torch.no_grad():
        for size in SIZES:
            images = torch.randn(2, 1, *size)
            assert torch.allclose(program(images), model(images), atol=1e-4)


def test_a_graph_with_the_shift_frozen_is_refused(plain: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault of published exports: whether a stage shifts is settled by the traced picture's size."""
    shift_size = windows.shift_size

    def frozen(*arguments: Any) -> Any:
        with mock.patch.object(windows, "shift_size", lambda window, counts, always: shift_size(window, counts, True)):
            return trace(*arguments)

    monkeypatch.setattr(exporting, "trace", frozen)
    with pytest.raises(GateError, match=r"does not answer as the model does: in . of 7 checks") as refused:
        export(plain, tmp_path / "bundle", "torch")
    assert "28 x 28" in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_fault_30_a_file_that_differs_when_read_back_leaves_nothing(
    plain: Any, onnx_bundle: Bundle, ready_made: Callable[..., None], tmp_path: Path
) -> None:
    graph = onnx.load_from_string(onnx_bundle.files["model.onnx"])
    weight = max(graph.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    values = np.frombuffer(weight.raw_data, np.float32).copy()
    values[0] += 1
    weight.raw_data = values.tobytes()
    ready_made(graph.SerializeToString())
    with pytest.raises(GateError, match="onnxruntime"):
        export(plain, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_a_graph_that_does_not_run_is_refused(plain: Any, ready_made: Callable[..., None], tmp_path: Path) -> None:
    ready_made(onnx.ModelProto(ir_version=10).SerializeToString())
    with pytest.raises(GateError, match=r"14 of 14"):
        export(plain, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_the_bar_grows_with_the_logits(
    plain: Any, onnx_bundle: Bundle, ready_made: Callable[..., None], tmp_path: Path
) -> None:
    """float32 rounds in proportion: 1e-4 flat would refuse a sound graph of large logits, and take any graph of small ones for sound."""
    model = copy.deepcopy(plain)
    with torch.no_grad():
        model.head.weight.mul_(1e4)
        model.head.bias.mul_(1e4)
    graph = onnx.load_from_string(onnx_bundle.files["model.onnx"])
    (last,) = (node for node in graph.graph.node if "logits" in node.output)
    last.output[0] = "unscaled"
    graph.graph.initializer.append(numpy_helper.from_array(np.float32(1e4), "scale"))
    graph.graph.node.add(op_type="Mul", input=["unscaled", "scale"], output=["logits"])
    ready_made(graph.SerializeToString())
    bundle = export(model, tmp_path / "bundle")
    assert max(check["error"] for check in bundle.manifest.checks) > 1e-4
    largest = max(float(np.abs(logits).max()) for logits in bundle.golden.logits.values())
    assert bundle.manifest.tolerance == pytest.approx(1e-4 * largest)
    assert all(check["error"] < bundle.manifest.tolerance for check in bundle.manifest.checks)


def test_what_learned_without_labels_gives_its_features(
    onnx_bundle: Bundle, ready_made: Callable[..., None], tmp_path: Path, capsys: Any
) -> None:
    ready_made()
    out, name = tmp_path / "encoder", "swin_nano.simmim_fashion_mnist"
    _, golden, manifest = exporting.begin(name, out, "onnx", Input(), Parts())
    assert (manifest.output, manifest.task, manifest.classes) == ("features", "pretraining", ())
    out.mkdir()
    write_bundle(out, manifest, onnx_bundle.files, golden)
    Image.new("L", (28, 28), 90).save(tmp_path / "a.png")
    assert run(["predict", str(out), str(tmp_path / "a.png")]) == 2
    assert "pre-trained without labels gives no answers" in capsys.readouterr().err
    assert (
        run(["export", "swin_nano.simmim_fashion_mnist", "--int8", "--calibrate", "digits", "--out", str(tmp_path / "int8")])
        == 2
    )
    assert not (tmp_path / "int8").exists()


def test_a_network_that_does_not_know_what_it_says_is_refused(tmp_path: Path) -> None:
    for classes, said in ((5, "knows no classes"), (0, "knows no preprocessing")):
        with pytest.raises(UsageError, match=said):
            export(swinkit.create_model("swin_nano", num_classes=classes), tmp_path / "bundle")
    model = swinkit.create_model("swin_nano", num_classes=2)
    model.classes = ("cat", "dog")
    with pytest.raises(UsageError, match="knows no preprocessing"):
        export(model, tmp_path / "bundle")


@pytest.mark.parametrize(("num_classes", "known"), [(5, {"classes": tuple("abcde")}), (0, {})])
def test_a_network_is_exported_that_knows_no_more_than_a_predictor_asks_for(
    num_classes: int, known: dict[str, Any], onnx_bundle: Bundle, ready_made: Callable[..., None]
) -> None:
    ready_made()
    model = small_model("swin_nano")
    made = swinkit.create_model(
        "swin_nano", **model.config.model_dump(exclude={"version", "patch_size", "num_classes"}), num_classes=num_classes
    )
    for name, value in {"preprocessing": model.preprocessing, **known}.items():
        setattr(made, name, value)
    _, golden, manifest = exporting.begin(made, Path("bundle"), "onnx", Input(), Parts())
    assert (manifest.classes, manifest.multi_label) == (known.get("classes", ()), False)
    assert manifest.tolerance == golden.tolerance


def test_what_was_located_is_exported() -> None:
    assert exporting.prepared(locate("swin_nano.fashion_mnist")).classes


def test_a_network_without_finite_answers_is_told(plain: Any, ready_made: Callable[..., None], tmp_path: Path) -> None:
    ready_made()
    model = copy.deepcopy(plain)
    with torch.no_grad():
        model.head.weight.fill_(float("inf"))
    with pytest.raises(SwinkitError, match="is not finite"):
        export(model, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, signal, sys
from pathlib import Path
import swinkit
from swinkit.runtime.export import bundle, exporting
graph = {"model.onnx": Path(sys.argv[1], "model.onnx").read_bytes()}
exporting.trace, exporting.write_graph = lambda *_: None, lambda *_: graph
calls = 0
def dying(*arguments, **named):
    global calls
    calls += 1
    if calls == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    return kept(*arguments, **named)
kept = getattr(bundle, sys.argv[4])
for module in (bundle, exporting):
    setattr(module, sys.argv[4], dying)
exporting.export("swin_nano.fashion_mnist", sys.argv[2])
"""


@pytest.mark.skipif(os.name == "nt", reason="kills by signal")
@pytest.mark.parametrize(("call", "function"), [(1, "write_atomically"), (2, "write_atomically"), (1, "open_bundle")])
def test_fault_29_killed_midway_leaves_no_file_under_the_final_name(
    onnx_bundle: Bundle, tmp_path: Path, call: int, function: str
) -> None:
    out = tmp_path / "bundle"
    command = [sys.executable, "-c", KILLED, str(onnx_bundle.path), str(out), str(call), function]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=120)
    assert done.returncode == -9
    assert not out.exists()
    assert len(list(tmp_path.iterdir())) == 1  # the unfinished folder, under its own name


def test_what_a_killed_export_left_is_swept(plain: Any, ready_made: Callable[..., None], tmp_path: Path) -> None:
    ready_made()
    old, running = (tmp_path / f".swinkit-tmp-{token}-bundle" for token in ("0123abcd", "4567abcd"))
    for folder in (old, running):
        folder.mkdir()
    os.utime(old, (0, 0))
    export(plain, tmp_path / "bundle")
    assert sorted(path.name for path in tmp_path.iterdir()) == [running.name, "bundle"]


def test_nothing_is_overwritten_and_the_model_is_left_as_it_was(
    plain: Any, ready_made: Callable[..., None], tmp_path: Path
) -> None:
    ready_made()
    plain.train()
    export(plain, tmp_path / "bundle")
    assert plain.training
    plain.eval()
    before = open_bundle(tmp_path / "bundle").manifest
    with pytest.raises(UsageError, match="is not overwritten"):
        export(plain, tmp_path / "bundle")
    assert open_bundle(tmp_path / "bundle").manifest == before
