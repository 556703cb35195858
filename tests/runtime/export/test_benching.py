"""``swinkit bench`` of what was exported: by itself or in turn with its model, in its own precision, on the pictures' own input."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import swinkit
from swinkit.cli.main import run
from swinkit.cli.pages.tables import engine_of
from swinkit.runtime.export.bundle import Bundle
from swinkit.runtime.export.sessions import RUNTIMES, runtimes_for
from swinkit.study import bench, plans, subjects
from swinkit.study.turns import Measured


@pytest.fixture(scope="module")
def model(plain: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The one that ``onnx_bundle`` was exported from."""
    return str(swinkit.save(plain, tmp_path_factory.mktemp("saved") / "small"))


def measured(capsys: pytest.CaptureFixture[str], *words: str | Path) -> dict[str, Any]:
    quick = ["--image-size", "28", "--batch-size", "2", "--precision", "float32", "--rounds", "1", "--json", "-q"]
    assert run(["bench", *map(str, words), *quick]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_bundle_takes_turns_with_its_model(model, onnx_bundle, capsys):
    rows = measured(capsys, model, "--bundle", onnx_bundle.path, "--engine", "eager", "--threads", "1")["rows"]
    assert [row["asked"] for row in rows] == ["eager", *(f"{name} of {onnx_bundle.path}" for name in runtimes_for("onnx"))]
    assert [row["engine"] for row in rows[1:]] == runtimes_for("onnx")
    assert all(row["precision"] == "float32" and row["share_of_floor"]["value"] > 0 for row in rows)
    assert all(row["build_seconds"] > 0 and row["first_seconds"] > 0 for row in rows)


def test_a_bundle_is_measured_by_itself(openvino_bundle, plain_v2, capsys):
    result = measured(capsys, openvino_bundle.path, "--no-floor")
    assert result["weights"] == "trained"
    assert result["parameters"]["total"] == sum(parameter.numel() for parameter in plain_v2.parameters())
    (row,) = result["rows"]
    assert (row["bundle"], row["engine"]) == (str(openvino_bundle.path), "openvino")
    assert row["latency_seconds"]["value"] > 0
    assert "floor_seconds" not in row


@pytest.mark.parametrize("which", ["plain", "plain_v2"])
def test_the_input_that_lies_ready_is_the_pictures_own(which, request):
    """What a graph is given is arranged before it is timed: floats as they are, or uint8 with channels last."""
    network: Any = request.getfixturevalue(which)
    bundle: Bundle = request.getfixturevalue("onnx_bundle" if which == "plain" else "openvino_bundle")
    manifest, noise = bundle.manifest, subjects.Inputs((2, network.config.in_channels, 28, 28))
    arranged = manifest.input.from_normalised(noise.noise.numpy(), manifest.preprocessing)
    assert arranged.dtype == manifest.input.dtype
    session = RUNTIMES[runtimes_for(manifest.target)[0]].session(bundle, 1)
    pictures = noise(3)
    if manifest.input.dtype == "uint8":  # of which noise has to be rounded too
        preprocessing = manifest.preprocessing
        mean, std = (torch.tensor(each).view(-1, 1, 1) for each in (preprocessing.mean, preprocessing.std))
        pixels = torch.from_numpy(arranged[noise.place(3)]).permute(0, 3, 1, 2)
        pictures = (pixels / 255 - mean) / std
    with torch.no_grad():
        expected = network(pictures).numpy()
    np.testing.assert_allclose(session(arranged[noise.place(3)]), expected, atol=1e-3 * np.abs(expected).max())


def test_what_has_its_own_precision_stands_once_and_beside_no_floor_of_another(model, onnx_bundle, monkeypatch):
    quantised = replace(onnx_bundle, manifest=onnx_bundle.manifest.model_copy(update={"precision": "int8"}))
    monkeypatch.setattr(plans, "open_bundle", lambda path: quantised)
    path = str(onnx_bundle.path)
    plan = plans.plan_inference(model, ["plain"], [path], ["float32", "bfloat16"], True, None)
    cases = bench.cases_of(plan, (), [(28, 28)])
    assert [(case.precision, case.batch) for case in cases] == [
        ("float32", 1), ("float32", 8), ("bfloat16", 1), ("bfloat16", 8),
    ]  # fmt: skip
    assert [len(plan.beside(case, cases)) for case in cases] == [1 + len(runtimes_for("onnx"))] * 2 + [1] * 2
    way = plan.ways[-1]
    found = Measured(way.name, about={"engine": "openvino", "precision": "int8", "bundle": path}, turns=[[2.0], [2.0]])
    row = bench._row(cases[0], way, found, Measured(plans.FLOOR, turns=[[1.0]]), 1)
    assert (row["precision"], row["fault"], row["latency_seconds"]["value"]) == ("int8", None, 2.0)
    assert "floor_seconds" not in row
    assert engine_of(row) == way.name
    alone = plans.plan_inference(path, [], [], [], True, None)
    assert (alone.precisions, alone.floor, alone.exported) == (("int8",), False, True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["BUNDLE", "--engine", "native"], "native does not run onnx graphs. Expected one of: onnxruntime, openvino"),
        (["BUNDLE", "--precision", "bfloat16"], "computes in float32, as it was exported, not in bfloat16"),
        (["BUNDLE", "--train"], "is an exported graph, which learns no more"),
        (["swin_nano", "--train", "--bundle", "BUNDLE"], "is an exported graph, which learns no more"),
        (["swin_t", "--bundle", "BUNDLE"], "is not of the network swin_t, whose work differs"),
    ],
)
def test_what_a_graph_does_not_do_is_refused(words, message, onnx_bundle, capsys):
    assert run(["bench", *(str(onnx_bundle.path) if word == "BUNDLE" else word for word in words)]) == 2
    assert message in capsys.readouterr().err


def test_models_are_compared_and_no_bundles(onnx_bundle, capsys):
    assert run(["compare", str(onnx_bundle.path), "--dry-run"]) == 2
    assert f"swinkit bench MODEL --bundle {onnx_bundle.path}" in capsys.readouterr().err
