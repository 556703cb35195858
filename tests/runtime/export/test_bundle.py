"""What a bundle holds is checked before anything in it runs, and nothing outside of it is opened."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from swinkit.errors import GateError, UsageError, WeightsError
from swinkit.preprocessing import Preprocessing
from swinkit.runtime.export.answering import load_any
from swinkit.runtime.export.bundle import Bundle, digest, open_bundle, unfinished
from swinkit.runtime.export.golden import SIZES, Golden, make_golden, sizes_for
from swinkit.runtime.export.protobuf import refuse_outside_data
from swinkit.runtime.export.verifying import verify


def replace_file(folder: Path, name: str, content: bytes) -> None:
    """Exchange a file of a bundle and say so in its manifest, as somebody hostile would."""
    (folder / name).write_bytes(content)
    manifest = json.loads((folder / "bundle.json").read_text())
    manifest["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    seal(folder, manifest)


def seal(folder: Path, manifest: dict) -> None:
    """Write a manifest with the digest that fits it."""
    (folder / "bundle.json").write_text(json.dumps({**manifest, "digest": digest(manifest)}))


def outside(tensor: TensorProto, location: str) -> None:
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    tensor.ClearField("raw_data")


def in_initializer(graph: onnx.ModelProto, location: str) -> None:
    outside(graph.graph.initializer[0], location)


def in_constant(graph: onnx.ModelProto, location: str) -> None:
    constant = helper.make_tensor("hidden", TensorProto.FLOAT, [1], b"\0" * 4, raw=True)
    outside(constant, location)
    graph.graph.node.add(op_type="Constant", output=["hidden"]).attribute.append(helper.make_attribute("value", constant))


def in_branch(graph: onnx.ModelProto, location: str) -> None:
    inner = helper.make_graph([], "branch", [], [], [helper.make_tensor("hidden", TensorProto.FLOAT, [1], b"\0" * 4, raw=True)])
    outside(inner.initializer[0], location)
    graph.graph.node.add(op_type="If", output=["y"]).attribute.append(helper.make_attribute("then_branch", inner))


def in_function(graph: onnx.ModelProto, location: str) -> None:
    constant = helper.make_tensor("hidden", TensorProto.FLOAT, [1], b"\0" * 4, raw=True)
    outside(constant, location)
    node = graph.functions.add(name="f", domain="d").node.add(op_type="Constant", output=["hidden"])
    node.attribute.append(helper.make_attribute("value", constant))


@pytest.mark.parametrize("hide", [in_initializer, in_constant, in_branch, in_function])
@pytest.mark.parametrize("location", ["../../etc/passwd", "weights.bin", "/etc/passwd"])
def test_fault_31_weights_in_another_file_are_refused(
    copied: Path, onnx_bundle: Bundle, hide: Callable[[onnx.ModelProto, str], None], location: str
) -> None:
    graph = onnx.load_from_string(onnx_bundle.files["model.onnx"])
    hide(graph, location)
    replace_file(copied, "model.onnx", graph.SerializeToString())
    with pytest.raises(WeightsError, match="keeps weights in another file") as refused:
        open_bundle(copied)
    assert location in str(refused.value)


@pytest.mark.parametrize("name", ["model.onnx", "golden.safetensors"])
def test_fault_31_a_link_is_refused(copied: Path, tmp_path: Path, name: str) -> None:
    (copied / name).rename(tmp_path / "elsewhere")
    (copied / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(WeightsError, match="not a plain file, but a link"):
        open_bundle(copied)


def test_fault_31_a_description_behind_a_link_is_refused(copied: Path, tmp_path: Path) -> None:
    (copied / "bundle.json").rename(tmp_path / "elsewhere")
    (copied / "bundle.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(WeightsError, match=r"plain file bundle\.json"):
        open_bundle(copied)


def test_fault_31_a_file_that_the_manifest_names_elsewhere_is_refused(copied: Path) -> None:
    manifest = json.loads((copied / "bundle.json").read_text())
    manifest["files"]["../../etc/passwd"] = manifest["files"].pop("model.onnx")
    seal(copied, manifest)
    with pytest.raises(WeightsError, match="passwd"):
        open_bundle(copied)


@pytest.mark.parametrize("content", [b"\x00", b"\xff" * 20, b":\x05abc", b"<html>not a model</html>"])
def test_what_is_no_onnx_model_is_refused(content: bytes) -> None:
    with pytest.raises(WeightsError, match="is not an ONNX model"):
        refuse_outside_data(content, Path("model.onnx"))


def test_a_graph_nested_without_end_is_refused() -> None:
    inner = b""
    for _ in range(100):  # attribute 5 of node 1 of graph 6 of …
        for field in (6, 5, 1):
            inner = bytes([field << 3 | 2]) + _length(inner) + inner
    with pytest.raises(WeightsError, match="nested deeper"):
        refuse_outside_data(b"\x3a" + _length(inner) + inner, Path("model.onnx"))


def _length(content: bytes) -> bytes:
    answer, left = b"", len(content)
    while left > 127:
        answer, left = answer + bytes([left & 127 | 128]), left >> 7
    return answer + bytes([left])


@pytest.mark.parametrize("name", ["model.onnx", "golden.safetensors"])
@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: content[:-1] + b"\x01", lambda _: b""])
def test_a_damaged_file_is_found_by_size_or_hash(copied: Path, name: str, damage: Callable[[bytes], bytes]) -> None:
    (copied / name).write_bytes(damage((copied / name).read_bytes()))
    with pytest.raises(WeightsError, match=name):
        open_bundle(copied)


@pytest.mark.parametrize(
    ("content", "said"), [("{", "cannot be read"), ("[]", "not of format"), ('{"format": 1}', "target"), ('{"format": 9}', "9")]
)
def test_a_manifest_that_says_nothing_is_refused(copied: Path, content: str, said: str) -> None:
    (copied / "bundle.json").write_text(content)
    with pytest.raises(WeightsError, match=said):
        open_bundle(copied)


@pytest.mark.parametrize(
    "change",
    [
        lambda told: told["classes"].reverse(),
        lambda told: told["swin"].update(num_classes=9),
        lambda told: told["preprocessing"].update(resize="squash"),
        lambda told: told.update(temperature=30.0),
        lambda told: told.update(multi_label=True),
        lambda told: told.update(tolerance=1e9),
        lambda told: told.update(more=1),
    ],
)
def test_a_manifest_that_was_edited_is_refused(copied: Path, change: Callable[[dict], object]) -> None:
    told = json.loads((copied / "bundle.json").read_text())
    change(told)
    (copied / "bundle.json").write_text(json.dumps(told))
    with pytest.raises(WeightsError, match="was changed since swinkit wrote it"):
        open_bundle(copied)


def test_a_manifest_as_pretty_as_one_likes_or_of_a_version_without_digests_is_read(copied: Path) -> None:
    told = json.loads((copied / "bundle.json").read_text())
    (copied / "bundle.json").write_text(json.dumps(dict(reversed(told.items()))))
    assert open_bundle(copied)
    del told["digest"]
    (copied / "bundle.json").write_text(json.dumps(told))
    assert open_bundle(copied)


def test_a_bundle_without_its_manifest_is_still_taken_for_one(copied: Path) -> None:
    (copied / "bundle.json").unlink()
    with pytest.raises(WeightsError, match="no exported bundle"):
        load_any(copied)


def test_golden_answers_come_back_as_they_were() -> None:
    preprocessing = Preprocessing(size=(28, 28), channels=1, mean=(0.5,), std=(0.5,))
    golden = make_golden(lambda images: images.mean(axis=(2, 3)), (28, 28), preprocessing)
    back = Golden.from_bytes(golden.to_bytes())
    assert list(back.pictures) == sorted(golden.pictures, key=list(back.pictures).index)
    for size, drawn in golden.pictures.items():
        assert drawn.shape == (3, *size, 1)
        assert np.array_equal(back.pictures[size], drawn)
        assert np.array_equal(back.logits[size], golden.logits[size])
        assert len({picture.tobytes() for picture in drawn}) == 3


@pytest.mark.parametrize("name", ["tolerance", "temperature"])
@pytest.mark.parametrize("value", ["NaN", "Infinity", "-1"])
def test_a_manifest_with_an_impossible_figure_is_refused(copied: Path, name: str, value: str) -> None:
    described = json.loads((copied / "bundle.json").read_text())
    described[name] = "here"
    described.pop("digest")
    (copied / "bundle.json").write_text(json.dumps(described).replace('"here"', value))
    with pytest.raises(WeightsError, match=name):
        open_bundle(copied)


def test_golden_pictures_too_few_for_every_batch_are_refused(onnx_bundle: Bundle) -> None:
    golden = onnx_bundle.golden
    fewer = Golden(golden.pictures, {size: answers[:1] for size, answers in golden.logits.items()})
    with pytest.raises(ValueError, match="expected 3"):
        Golden.from_bytes(fewer.to_bytes())


def test_a_golden_answer_that_is_no_number_agrees_with_nothing(onnx_bundle: Bundle) -> None:
    answers = {size: np.full_like(answers, np.nan) for size, answers in onnx_bundle.golden.logits.items()}
    unknown = replace(onnx_bundle, golden=Golden(onnx_bundle.golden.pictures, answers))
    with pytest.raises(GateError, match="inf"):
        verify(unknown, "onnxruntime")


def test_two_exports_to_one_name_end_with_one_whole_bundle(tmp_path: Path) -> None:
    def write(content: str, meanwhile: Callable[[], None] = lambda: None) -> None:
        with unfinished(tmp_path / "name") as draft:
            (draft / "graph").write_text(content)
            meanwhile()

    with pytest.raises(UsageError, match="appeared meanwhile"):
        write("late", lambda: write("early"))
    assert [path.read_text() for path in tmp_path.rglob("*") if path.is_file()] == ["early"]


def test_sizes_are_the_promised_ones_or_follow_a_small_model() -> None:
    assert sizes_for((224, 224)) == SIZES
    assert sizes_for((256, 256)) == SIZES
    assert sizes_for((384, 384)) == (*SIZES, (384, 384))
    assert sizes_for((28, 28)) == ((8, 8), (14, 20), (28, 28), (32, 32), (38, 25), (60, 80), (5, 125))
