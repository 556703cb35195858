"""An int8 bundle for OpenVINO, kept only if held-out pictures get the answers that float32 gives them."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import GateError
from ..silenced import nncf, openvino
from .bundle import Bundle, Input, Manifest, describe, open_bundle, unfinished, write_bundle
from .exporting import Progress, golden_of, manifest_of, prepared
from .golden import BATCHES, Golden
from .graphs import ir_bytes, to_onnx
from .quantising import Run, compiled, float_precisions, median_seconds, quantise, quantise_with_fallback
from .tracing import trace
from .verdict import Answers, Gate, Verdict
from .verifying import verify

SLACK = 2.0  # how much further from float32 than here an int8 answer may be on another processor


@dataclass(frozen=True)
class Pictures:
    """Normalised pictures: ``calibration``, one each (1, C, H, W), and ``held_out()``, batches (B, C, H, W) with their labels (B,)
    or None, drawn anew at each call."""

    calibration: list[np.ndarray]
    held_out: Callable[[], Iterable[tuple[np.ndarray, np.ndarray | None]]]


def export_int8(
    model: Any, folder: str | Path, pictures: Pictures, given: Input | None = None, gate: Gate | None = None,
    progress: Progress = lambda line: None,
) -> tuple[Bundle, Verdict]:  # fmt: skip
    """Write ``model`` as an int8 bundle for OpenVINO into the new ``folder``; where int8 hurts, layers stay in float.

    Raises :class:`GateError`, and leaves nothing behind, when answers to held-out pictures change by more than ``gate`` allows. Whether
    int8 is worth it in time is for the caller to read from the verdict.
    """
    folder, given = Path(folder), given or Input()
    nncf()  # what is missing is said before a minute of work
    with unfinished(folder) as draft:
        network = prepared(model)
        manifest = manifest_of(network, "openvino", given)
        progress(
            f"exporting to {folder}: tracing one graph for every size, which is then proved at seven: a minute for a small network, many for a large one"
        )
        reference = _as_openvino(to_onnx(trace(network, given), manifest)["model.onnx"])
        golden = golden_of(network)
        quantised, verdict = quantise_until(reference, manifest, pictures, gate or Gate(), progress)
        tolerance = SLACK * _largest_difference(compiled(quantised), manifest, golden)
        described = manifest.model_copy(update={"precision": "int8", "tolerance": tolerance, "int8": verdict.to_dict()})
        written = write_bundle(draft, described, ir_bytes(quantised, described), golden)
        checks = [check.to_dict() for check in verify(written, progress=progress)]
        describe(draft, written.manifest.model_copy(update={"checks": checks}))
    return open_bundle(folder), verdict


def quantise_until(
    reference: Any, manifest: Manifest, pictures: Pictures, gate: Gate, progress: Progress
) -> tuple[Any, Verdict]:
    """int8 everywhere; where that changes too many answers, again with the most harmful layers in float."""
    calibration = [manifest.input.from_normalised(image, manifest.preprocessing) for image in pictures.calibration]
    judge = Judge(reference, manifest, pictures, gate)
    progress(f"quantising, calibrated on {len(calibration)} pictures")
    quantised = quantise(reference, calibration)
    progress("answering held-out pictures in float32 and in int8")
    verdict = judge(quantised)
    if verdict.faults:
        progress("; ".join(verdict.faults))
        progress("looking for the layers that do the harm, and returning them to float")
        quantised, in_float = quantise_with_fallback(reference, calibration, 1 - (1 - gate.agreement) / 2)
        progress("answering held-out pictures once more in int8")
        verdict = judge(quantised, in_float)
    if verdict.faults:
        raise GateError("int8 changes too many answers, so nothing was written: " + "; ".join(verdict.faults) + f"\n{verdict}")
    return quantised, verdict


class Judge:
    """Compares int8 graphs with ``reference`` on the held-out pictures, which float32 answers once, and in speed with one picture.
    What is not int8 computes in the machine's best float."""

    def __init__(self, reference: Any, manifest: Manifest, pictures: Pictures, gate: Gate) -> None:
        self.manifest, self.pictures, self.gate = manifest, pictures, gate
        self.floats = {precision: compiled(reference, precision) for precision in float_precisions()}

    def __call__(self, quantised: Any, in_float: tuple[str, ...] = ()) -> Verdict:
        int8 = compiled(quantised, [*self.floats][-1])
        best, truth = self.float32
        answers = Answers(best, self.answered(int8)[0], truth)
        first = self.manifest.input.from_normalised(self.pictures.calibration[0], self.manifest.preprocessing)
        seconds = median_seconds({**self.floats, "int8": int8}, first)
        return Verdict(answers, self.manifest.classes, in_float, seconds, self.gate)

    @functools.cached_property
    def float32(self) -> tuple[np.ndarray, np.ndarray | None]:
        return self.answered(self.floats["float32"])

    def answered(self, run: Run) -> tuple[np.ndarray, np.ndarray | None]:
        """The best class of each held-out picture (n,) by ``run``, and the true one (n,) where all are known."""
        best, truth = [], []
        for images, labels in self.pictures.held_out():
            best.append(run(self.manifest.input.from_normalised(images, self.manifest.preprocessing)).argmax(axis=1))
            truth.append(labels)
        known = [labels for labels in truth if labels is not None]
        return np.concatenate(best), np.concatenate(known) if len(known) == len(truth) else None


def _as_openvino(graph: bytes) -> Any:
    return openvino().Core().read_model(io.BytesIO(graph))


def _largest_difference(run: Run, manifest: Manifest, golden: Golden) -> float:
    """Of a logit, over all golden pictures and batches."""
    worst = 0.0
    for size, drawn in golden.pictures.items():
        for batch in BATCHES:
            answer = run(manifest.input.arrange(drawn[:batch], manifest.preprocessing))
            worst = max(worst, float(np.abs(answer - golden.logits[size][:batch]).max()))
    return worst
