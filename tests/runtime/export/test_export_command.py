"""``swinkit export`` from the command line: what is kept, what is not worth it, what is refused, each with its code and its JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

import swinkit
from swinkit.cli.export import BARS
from swinkit.cli.main import run
from swinkit.data.transforms import evaluation
from swinkit.runtime.export import int8
from swinkit.runtime.export.bundle import open_bundle
from swinkit.runtime.export.gate import Gate
from swinkit.runtime.export.quantising import quantise

FORGIVING = ["--min-agreement", "0.9", "--max-accuracy-drop", "0.1", "--max-class-drop", "0.5"]
BROKEN = onnx.ModelProto(ir_version=10).SerializeToString()


@pytest.fixture(scope="module")
def place(plain: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the ``model``, and ``photos`` in the classes that it gives them: those of which it is surest, since random weights
    have no opinion on most, and int8 would settle those anew."""
    folder = tmp_path_factory.mktemp("command")
    swinkit.save(plain, folder / "model")
    drawn = np.random.default_rng(0).integers(0, 256, (1500, 7, 7, 1), dtype=np.uint8).repeat(4, 1).repeat(4, 2)
    with torch.no_grad():
        logits = plain(evaluation(plain.preprocessing.model_copy(update={"resize": "none"})).batch(drawn))
    first, second = logits.topk(2).values.T
    for number in (first - second).argsort(descending=True)[:160].tolist():
        own = folder / "photos" / plain.classes[int(logits[number].argmax())]
        own.mkdir(parents=True, exist_ok=True)
        Image.fromarray(drawn[number, :, :, 0]).save(own / f"{number}.png")
    return folder


@pytest.fixture
def export(place: Path, tmp_path: Path) -> Callable[..., int]:
    return lambda *options: run(["export", str(place / "model"), "--out", str(tmp_path / "bundle"), *options])


@pytest.fixture
def export_int8(place: Path, export: Callable[..., int]) -> Callable[..., int]:
    return lambda *options: export("--int8", "--calibrate", str(place / "photos"), *FORGIVING, *options)


def test_an_export_tells_its_proof_and_where_its_time_went(
    export: Callable[..., int], ready_made: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ready_made()
    assert export("--json") == 0
    printed = capsys.readouterr()
    told = json.loads(printed.out)
    assert told["bundle"] == str(tmp_path / "bundle")
    assert told["checks"] == open_bundle(tmp_path / "bundle").manifest.checks
    assert "int8" not in told
    assert list(told["seconds"]) == ["answering", "tracing", "translating", "proving"]
    assert told["seconds"]["proving"] > 0
    assert "exported in " in printed.err


def test_a_refused_graph_is_told_as_json_too(
    export: Callable[..., int], ready_made: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ready_made(BROKEN)
    assert export("--json") == 4
    printed = capsys.readouterr()
    told = json.loads(printed.out)
    assert (told["bundle"], told["target"]) == (None, "onnx")
    assert [check["error"] for check in told["checks"]] == [None] * 14
    assert told["refused"] in printed.err
    assert list(tmp_path.iterdir()) == []


def test_without_json_a_refusal_leaves_stdout_alone(
    export: Callable[..., int], ready_made: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    ready_made(BROKEN)
    assert export() == 4
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "14 of 14" in printed.err


def test_int8_that_answers_and_is_fast_enough_ends_with_code_0(
    export_int8: Callable[..., int], ready_made: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ready_made()
    assert export_int8("--min-speedup", "0", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["bundle"], told["target"], told["precision"]) == (str(tmp_path / "bundle"), "openvino", "int8")
    assert told["int8"]["gate"] == {"agreement": 0.9, "accuracy_drop": 0.1, "class_drop": 0.5, "speedup": 0}
    assert (told["int8"]["faults"], told["int8"]["worth_it"]) == ([], True)
    assert told["int8"]["pictures"] == 160 - 32  # a fifth calibrated it
    assert told["int8"] == open_bundle(tmp_path / "bundle").manifest.int8
    assert list(told["seconds"]) == ["answering", "tracing", "translating", "quantising", "proving"]


def test_int8_that_is_not_worth_it_is_kept_and_ends_with_code_4(
    export_int8: Callable[..., int], ready_made: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ready_made()
    assert export_int8("--min-speedup", "1000", "--json") == 4
    printed = capsys.readouterr()
    told = json.loads(printed.out)
    assert (told["bundle"], told["int8"]["worth_it"]) == (str(tmp_path / "bundle"), False)
    assert "wanted 1000" in printed.err
    assert open_bundle(tmp_path / "bundle").manifest.precision == "int8"


def test_int8_that_changes_answers_is_refused_with_its_verdict(
    export_int8: Callable[..., int], ready_made: Callable[..., None], planted: bytes, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    ready_made(planted)
    monkeypatch.setattr(int8, "quantise_with_fallback", lambda reference, images, *_: (quantise(reference, images), ()))
    assert export_int8("--json") == 4
    printed = capsys.readouterr()
    told = json.loads(printed.out)
    assert (told["bundle"], told["precision"], told["checks"]) == (None, "int8", [])
    assert told["int8"]["agreement"] < 0.9
    assert all(fault in printed.err for fault in told["int8"]["faults"])
    assert told["refused"].startswith("int8 changes too many answers")
    assert list(tmp_path.iterdir()) == []


def test_help_tells_the_bars(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export", "--help"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    for option, (bar, what) in BARS.items():
        assert f"{option} X {what} [default: {getattr(Gate, bar)}]" in told
    assert {bar for bar, _ in BARS.values()} == set(vars(Gate()))
