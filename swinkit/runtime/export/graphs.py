"""From a traced program to the bytes of a graph file: ONNX, OpenVINO's IR, torch.export's archive."""

from __future__ import annotations

import ast
import io
import json
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram

from ...errors import SwinkitError
from ...extras import required
from ..silenced import openvino
from .bundle import Manifest, Target

OPSET = 18
NOTES = ("stack_trace", "nn_module_stack", "source_fn_stack", "from_node", "torch_fn")  # they name files of this machine
NOWHERE = "empty_nn_module_stack_from_metadata_hook"
SCOPES = "pkg.torch.onnx.name_scopes"  # where the exporter notes the modules that a node comes from
LARGEST = 2**31 - 2**20  # a protobuf file ends at 2 GiB


def write_graph(program: ExportedProgram, manifest: Manifest) -> dict[str, bytes]:
    """The files of the graph, in the form that ``manifest.target`` names."""
    return WRITERS[manifest.target](program, manifest)


def to_onnx(program: ExportedProgram, manifest: Manifest) -> dict[str, bytes]:
    """One self-contained ONNX file; axes are named, classes and preprocessing are in its metadata."""
    for package in ("onnx", "onnxscript"):
        required(package, "export")
    with _quietly():
        translated = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            input_names=[manifest.input.name],
            output_names=[manifest.output],
            custom_translation_table={torch.ops.aten.roll.default: _roll},
            verbose=False,
        )
    assert translated is not None
    proto = translated.model_proto
    _name_nodes(proto)
    _strip(proto)
    _name_axes(proto, manifest)
    for key, value in facts(manifest).items():
        proto.metadata_props.add(key=key, value=value)
    if proto.ByteSize() > LARGEST:
        raise SwinkitError("The model is larger than 2 GiB, which one ONNX file cannot hold. Mend: export --to torch")
    return {"model.onnx": proto.SerializeToString(deterministic=True)}


def to_openvino(program: ExportedProgram, manifest: Manifest) -> dict[str, bytes]:
    """OpenVINO's IR, float32, converted from the ONNX graph."""
    with tempfile.TemporaryDirectory(prefix="swinkit-") as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(to_onnx(program, manifest)[path.name])
        return ir_bytes(openvino().convert_model(path), manifest)


def ir_bytes(model: Any, manifest: Manifest) -> dict[str, bytes]:
    """An OpenVINO model as the bytes of its two files, with classes and preprocessing among its runtime information."""
    for key, value in facts(manifest).items():
        model.set_rt_info(value, ["swinkit", key])
    with tempfile.TemporaryDirectory(prefix="swinkit-") as folder:
        path = Path(folder) / "model.xml"
        openvino().save_model(model, path, compress_to_fp16=False)
        del model  # it may hold the files open
        return {file.name: file.read_bytes() for file in (path, path.with_suffix(".bin"))}


def to_torch(program: ExportedProgram, manifest: Manifest) -> dict[str, bytes]:
    """The archive that ``torch.export.load`` reads."""
    program._example_inputs = None  # as large as the sample, and a pickle
    for node in program.graph.nodes:
        for note in NOTES:
            node.meta.pop(note, None)
    content = io.BytesIO()
    with _quietly():
        torch.export.save(program, content)
    return {"model.pt2": content.getvalue()}


WRITERS = {"onnx": to_onnx, "openvino": to_openvino, "torch": to_torch}
assert set(WRITERS) == set(Target.__args__)  # type: ignore[attr-defined]


def facts(manifest: Manifest) -> dict[str, str]:
    """What those want who hold the graph file alone."""
    return {
        "swinkit": manifest.swinkit,
        "classes": _text(manifest.classes),
        "multi_label": json.dumps(manifest.multi_label),
        "temperature": json.dumps(manifest.temperature),
        "preprocessing": manifest.preprocessing.model_dump_json(),
        "input": manifest.input.model_dump_json(),
    }


def _text(value: Any) -> str:
    """``value`` as JSON that any reader takes; bytes of names that are no text stand as escapes, as in ``bundle.json``."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace").decode()


def _roll(self: Any, shifts: Sequence[Any], dims: Sequence[int] = ()) -> Any:
    """torch.roll as gathers, whose shifts may be computed in the graph; PyTorch's own translation wants constants."""
    from onnxscript import opset18

    op: Any = opset18
    zero, one = op.Constant(value_int=0), op.Constant(value_int=1)
    for shift, axis in zip(shifts, dims, strict=True):
        side = op.Squeeze(op.Shape(self, start=axis, end=axis + 1))
        by = op.Constant(value_int=shift) if isinstance(shift, int) else shift
        self = op.Gather(self, op.Mod(op.Add(op.Range(zero, side, one), op.Sub(side, by)), side), axis=axis)
    return self


def _name_nodes(proto: Any) -> None:
    """Name each node for the layer that it belongs to, such as ``backbone.stages.0.blocks.1.mlp.fc1/MatMul_7``."""
    for number, node in enumerate(proto.graph.node):
        scopes: list[str] = next((ast.literal_eval(item.value) for item in node.metadata_props if item.key == SCOPES), [])
        layer = scopes[-2] if len(scopes) > 1 and NOWHERE not in scopes else ""
        node.name = f"{layer}/{node.op_type}_{number}".removeprefix("/")


def _strip(proto: Any) -> None:
    """Remove what only those who debug the exporter read: it names files of this machine and takes room."""
    del proto.graph.value_info[:]
    del proto.graph.metadata_props[:]
    del proto.metadata_props[:]
    proto.graph.doc_string = proto.doc_string = ""
    for item in (*proto.graph.node, *proto.graph.input, *proto.graph.output, *proto.graph.initializer):
        del item.metadata_props[:]
        item.doc_string = ""
    for function in proto.functions:
        del function.metadata_props[:]
        for node in function.node:
            del node.metadata_props[:]


def _name_axes(proto: Any, manifest: Manifest) -> None:
    axes = {"N": "batch", "H": "height", "W": "width"}
    (image,), (logits,) = proto.graph.input, proto.graph.output
    for letter, side in zip(manifest.input.layout, image.type.tensor_type.shape.dim, strict=True):
        if letter in axes:
            side.dim_param = axes[letter]
    logits.type.tensor_type.shape.dim[0].dim_param = "batch"


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the advice that exporters print for those who develop them."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
