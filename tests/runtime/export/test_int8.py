"""int8 is kept only if it answers as float does; a planted harmful layer is found and returns to float, or nothing is kept."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from swinkit.cli.calibrating import find_pictures
from swinkit.errors import GateError, UsageError
from swinkit.runtime.export import int8, quantising
from swinkit.runtime.export.bundle import Bundle, Refused
from swinkit.runtime.export.gate import Gate
from swinkit.runtime.export.golden import Golden
from swinkit.runtime.export.int8 import Pictures, export_int8, quantise_until
from swinkit.runtime.export.quantising import compiled, quantise
from swinkit.runtime.export.verdict import Answers, Verdict, agreement, decisions
from swinkit.runtime.export.verifying import verify
from swinkit.runtime.silenced import openvino

FORGIVING = Gate(agreement=0.9, accuracy_drop=0.1, class_drop=0.3)


@pytest.fixture(scope="module")
def pictures(plain: Any) -> Pictures:
    """Coarse patches of which the model is surest: random weights have no opinion on most, and int8 would settle those anew."""
    pool = torch.from_numpy(np.random.default_rng(0).normal(size=(1500, 1, 7, 7)).astype(np.float32))
    pool = pool.repeat_interleave(4, 2).repeat_interleave(4, 3)
    with torch.no_grad():
        logits = plain(pool)
    first, second = logits.topk(2).values.T
    chosen = (first - second).argsort(descending=True)[:160]
    images, labels = pool[chosen].numpy(), logits[chosen].argmax(1).numpy()
    held_out = [(images[at : at + 16], labels[at : at + 16]) for at in range(0, 128, 16)]
    return Pictures([image[None] for image in images[128:]], lambda: held_out)


def read(content: bytes) -> Any:
    return openvino().Core().read_model(io.BytesIO(content))


def test_a_good_int8_model_is_written_and_verified(
    plain: Any, ready_made: Callable[..., None], pictures: Pictures, tmp_path: Path
) -> None:
    ready_made()
    lines: list[str] = []
    reads: list[int] = []
    counted = Pictures(pictures.calibration, lambda: reads.append(1) or pictures.held_out(), 10**9)  # type: ignore[func-returns-value]
    bundle, verdict = export_int8(plain, tmp_path / "bundle", counted, gate=FORGIVING, progress=lines.append)
    assert any(re.fullmatch(r"about \d[\d.]* h to go, as these two took", line) for line in lines)
    assert reads == [1]
    assert verdict.faults == []
    assert set(verdict.seconds) >= {"float32", "int8"}
    assert bundle.manifest.precision == "int8"
    assert bundle.manifest.int8 is not None
    assert bundle.manifest.int8["agreement"] >= 0.9
    assert max(check.error or np.inf for check in verify(bundle)) <= bundle.manifest.tolerance
    assert b'element_type="i8"' in bundle.files["model.xml"]
    refuses_what_is_planted_at_one_size(bundle)


def refuses_what_is_planted_at_one_size(bundle: Bundle) -> None:
    """Where int8 is nearest to float32, an error that it has at the size where it is furthest is a fault; a bundle of an earlier
    version knows no bar but that one."""
    allowed = {size: bundle.manifest.tolerance_at(size) for size in bundle.golden.pictures}
    nearest = min(allowed, key=lambda size: allowed[size])
    assert allowed[nearest] < 0.7 * bundle.manifest.tolerance == 0.7 * max(allowed.values())
    logits = dict(bundle.golden.logits)
    logits[nearest] = logits[nearest].copy()
    logits[nearest][0, 0] += 0.99 * bundle.manifest.tolerance - checked(bundle, nearest)
    wrong = replace(bundle, golden=Golden(bundle.golden.pictures, logits))
    with pytest.raises(GateError, match=f"{nearest[0]} x {nearest[1]}.*at most {allowed[nearest]:.2g}"):
        verify(wrong)
    verify(replace(wrong, manifest=bundle.manifest.model_copy(update={"tolerances": {}})))


def checked(bundle: Bundle, size: tuple[int, int]) -> float:
    return next(check["error"] for check in bundle.manifest.checks if tuple(check["size"]) == size)


def test_a_planted_harmful_layer_is_found_and_returns_to_float(
    onnx_bundle: Bundle, planted: bytes, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantising, "SUSPECTS", 1)
    reference = read(planted)
    image = pictures.calibration[0]
    assert np.abs(compiled(reference)(image) - compiled(read(onnx_bundle.files["model.onnx"]))(image)).max() < 1e-2
    _, verdict = quantise_until(reference, onnx_bundle.manifest, pictures, FORGIVING, lambda line: None)
    assert verdict.faults == []
    assert len(verdict.in_float) == 1
    assert "stages.1.blocks.1.mlp.fc1" in verdict.in_float[0]


def test_harm_that_cannot_be_undone_is_refused_and_leaves_nothing(
    plain: Any,
    planted: bytes,
    ready_made: Callable[..., None],
    pictures: Pictures,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ready_made(planted)
    monkeypatch.setattr(int8, "quantise_with_fallback", lambda reference, images, *_: (quantise(reference, images), ()))
    with pytest.raises(Refused, match="nothing was written: agreement with float32 is") as refused:
        export_int8(plain, tmp_path / "bundle", pictures, gate=FORGIVING)
    assert refused.value.manifest.int8 is not None
    assert refused.value.manifest.int8["faults"]
    assert list(tmp_path.iterdir()) == []


def test_the_same_layers_are_not_quantised_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[tuple[str, ...]] = []
    monkeypatch.setattr(quantising, "rank_layers", lambda *_: ["a", "b", "c"])
    monkeypatch.setattr(quantising, "compiled", lambda model: lambda image: image)
    monkeypatch.setattr(quantising, "quantise", lambda model, pictures, in_float: tried.append(tuple(in_float)))
    _, in_float = quantising.quantise_with_fallback(None, [np.zeros((1, 2))], lambda *_: False, lambda _: None)
    assert tried == [("a",), ("a", "b"), ("a", "b", "c")]
    assert in_float == ("a", "b", "c")


def verdict_of(right: list[int], float32: list[int], quantised: list[int], **seconds: float) -> Verdict:
    answers = Answers(np.array(float32), np.array(quantised), np.array(right))
    return Verdict(answers, ("a", "b"), (), {"float32": 2.0, "int8": 1.0, **seconds}, Gate())


def test_a_verdict_names_what_falls_short() -> None:
    same = [0] * 50 + [1] * 50
    assert verdict_of(same, same, same).faults == []
    worse = [0] * 50 + [0] * 5 + [1] * 45
    agreement, accuracy, of_class = verdict_of(same, same, worse).faults
    assert "95.00%" in agreement
    assert "from 100.00% to 95.00%" in accuracy
    assert "'b' loses 10.00% of its 50" in of_class


def test_one_picture_of_a_small_class_is_no_fall() -> None:
    truth = [0] * 500 + [1] * 4
    assert verdict_of(truth, truth, [0] * 500 + [0, 1, 1, 1]).faults == []


def test_int8_is_worth_it_only_beside_the_faster_float() -> None:
    assert verdict_of([0], [0], [0]).worth_it
    assert not verdict_of([0], [0], [0], bfloat16=1.02).worth_it
    assert "not worth it" in str(verdict_of([0], [0], [0], bfloat16=0.5))


def test_with_several_labels_all_of_a_picture_must_stay() -> None:
    """The best class alone says nothing there: it may stay while another label is lost."""
    before, after = np.array([[3.0, 1.0], [2.0, -1.0]]), np.array([[3.0, -0.1], [2.0, -1.0]])
    assert agreement(decisions(before, False), decisions(after, False)) == 1
    assert agreement(decisions(before, True), decisions(after, True)) == 0.5
    answers = Answers(decisions(before, True), decisions(after, True), None)
    assert answers.agreement == 0.5
    assert answers.accuracy() is None


@pytest.mark.parametrize(
    ("bar", "value"),
    [
        ("agreement", 99),
        ("agreement", math.nan),
        ("accuracy_drop", -0.1),
        ("class_drop", 5),
        ("speedup", -1),
        ("speedup", math.inf),
    ],
)
def test_a_bar_that_nothing_can_be_held_to_is_refused(bar: str, value: float) -> None:
    """Of not a number every comparison is false, so that such a bar would let everything pass."""
    with pytest.raises(UsageError, match=f"'{bar}'"):
        Gate(**{bar: value})


@pytest.mark.parametrize(("count", "warned"), [(20, True), (200, False)])
def test_few_pictures_to_judge_on_are_told(count: int, warned: bool, plain: Any, tmp_path: Path, capsys: Any) -> None:
    for name in "abcde":
        (tmp_path / name).mkdir()
        for number in range(count // 5):
            pixels = np.random.default_rng([ord(name), number]).integers(0, 256, (28, 28), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    find_pictures("model", plain, str(tmp_path), None, quiet=True)
    assert ("too few to tell" in capsys.readouterr().err) == warned
