"""An int8 bundle for OpenVINO, kept only if held-out pictures get the answers that float32 gives them."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...timing import Parts, paced
from ..silenced import nncf, openvino
from .bundle import Bundle, Input, Manifest, Refused, unfinished
from .exporting import Progress, begin, finished, write_proven
from .gate import Gate
from .golden import BATCHES, Golden, spelled
from .graphs import ir_bytes, to_onnx
from .quantising import Run, compiled, float_precisions, median_seconds, quantise, quantise_with_fallback
from .verdict import Answers, Verdict, agreement, decisions
from .verifying import largest_difference

# times as long as PyTorch takes to answer a picture, measured of a Swin-T; judging, both graphs together answer as fast as PyTorch
CALIBRATING = 2.5
SLACK = 2.0  # how much further from float32 than here an int8 answer may be on another processor


@dataclass(frozen=True)
class Pictures:
    """Normalised pictures: ``calibration``, one each (1, C, H, W), and ``held_out()``, batches (B, C, H, W) with their labels (B,)
    or None, drawn anew at each call; ``count`` of them, where that is known before."""

    calibration: list[np.ndarray]
    held_out: Callable[[], Iterable[tuple[np.ndarray, np.ndarray | None]]]
    count: int | None = None

    @property
    def pixels(self) -> float:
        """How many PyTorch would answer in the time that calibrating and judging once take."""
        _, _, height, width = self.calibration[0].shape
        return height * width * (CALIBRATING * len(self.calibration) + (self.count or 0))


def export_int8(
    model: Any, folder: str | Path, pictures: Pictures, given: Input | None = None, gate: Gate | None = None,
    progress: Progress = lambda line: None,
) -> tuple[Bundle, Verdict]:  # fmt: skip
    """Write ``model`` as an int8 bundle for OpenVINO into the new ``folder``; where int8 hurts, layers stay in float.

    Raises :class:`Refused`, and leaves nothing behind, when answers to held-out pictures change by more than ``gate`` allows. Whether
    int8 is worth it in time is for the caller to read from the verdict.
    """
    folder, given, parts = Path(folder), given or Input(), Parts(progress)
    nncf()  # what is missing is said before a minute of work
    with unfinished(folder) as draft:
        program, golden, manifest = begin(model, folder, "openvino", given, parts, pictures.pixels)
        with parts.part("translating", "translating to openvino"):
            reference = _as_openvino(to_onnx(program, manifest)["model.onnx"])
        del program
        with parts.part("quantising", f"quantising, calibrated on {len(pictures.calibration)} pictures"):
            quantised, verdict = quantise_until(reference, manifest, pictures, gate or Gate(), progress)
            described = in_int8(manifest, verdict)
            # a size of its own bar each: at the one where int8 errs most it would hide a fault at another
            tolerances = tolerances_of(compiled(quantised), described, golden)
        described = described.model_copy(update={"tolerance": max(tolerances.values()), "tolerances": tolerances})
        write_proven(draft, described, ir_bytes(quantised, described), golden, parts)
    return finished(folder, parts), verdict


def in_int8(manifest: Manifest, verdict: Verdict) -> Manifest:
    """``manifest`` of the graph on which ``verdict`` is."""
    return manifest.model_copy(update={"precision": "int8", "int8": verdict.to_dict()})


def tolerances_of(run: Run, manifest: Manifest, golden: Golden) -> dict[str, float]:
    """How far from float32 ``run`` may be on another processor, for each golden size: :data:`SLACK` times as far as here.

    Raises :class:`Refused` where it is not finite.
    """
    # the largest batch has every picture; all batches are asked of the graph that was written
    off = {spelled(size): largest_difference(run, manifest, golden, size, BATCHES[-1:]) for size in golden.pictures}
    if not all(map(math.isfinite, off.values())):
        raise Refused("Quantised to int8, the graph has answers that are not finite, so that it is not written", manifest)
    return {size: max(SLACK * far, golden.tolerance) for size, far in off.items()}


def quantise_until(
    reference: Any, manifest: Manifest, pictures: Pictures, gate: Gate, progress: Progress
) -> tuple[Any, Verdict]:
    """int8 everywhere; where that changes too many answers, again with the most harmful layers in float."""
    calibration = [manifest.input.from_normalised(image, manifest.preprocessing) for image in pictures.calibration]
    judge = Judge(reference, manifest, pictures, gate, progress)
    quantised = quantise(reference, calibration)
    progress("answering held-out pictures in float32 and in int8")
    verdict = judge(quantised)
    if verdict.faults:
        progress("; ".join(verdict.faults))
        progress("looking for the layers that do the harm, and returning them to float")
        quantised, in_float = quantise_with_fallback(reference, calibration, judge.closely, progress)
        progress("answering held-out pictures once more in int8")
        verdict = judge(quantised, in_float)
    if verdict.faults:
        told = "int8 changes too many answers, so nothing was written: " + "; ".join(verdict.faults) + f"\n{verdict}"
        raise Refused(told, in_int8(manifest, verdict))
    return quantised, verdict


class Judge:
    """Compares int8 graphs with ``reference`` on the held-out pictures, which float32 answers once, and in speed with one picture.
    What is not int8 computes in the machine's best float."""

    def __init__(self, reference: Any, manifest: Manifest, pictures: Pictures, gate: Gate, progress: Progress) -> None:
        self.manifest, self.pictures, self.gate, self.progress = manifest, pictures, gate, progress
        self.floats = {precision: compiled(reference, precision) for precision in float_precisions()}
        self.known: Answers | None = None

    def __call__(self, quantised: Any, in_float: tuple[str, ...] = ()) -> Verdict:
        int8 = compiled(quantised, [*self.floats][-1])
        self.known = self.answers(int8)
        first = self.manifest.input.from_normalised(self.pictures.calibration[0], self.manifest.preprocessing)
        seconds = median_seconds({**self.floats, "int8": int8}, first)
        return Verdict(self.known, self.manifest.classes, in_float, seconds, self.gate)

    def closely(self, expected: np.ndarray, logits: np.ndarray) -> bool:
        """Whether ``logits`` (n, K) decide as the ``expected`` ones so often that other pictures will reach the gate too."""
        several = self.manifest.multi_label
        return agreement(decisions(expected, several), decisions(logits, several)) >= 1 - (1 - self.gate.agreement) / 2

    def answers(self, int8: Run) -> Answers:
        """What is decided for each held-out picture, each of which is read once for both graphs; float32 is asked the first time."""
        runs = [int8] if self.known else [int8, self.floats["float32"]]
        decided: list[list[np.ndarray]] = [[] for _ in runs]
        truth = []
        for images, labels in paced(
            self.pictures.held_out(), self.pictures.count or 0, lambda batch: len(batch[0]), self.progress
        ):
            given = self.manifest.input.from_normalised(images, self.manifest.preprocessing)
            for run, answers in zip(runs, decided, strict=True):
                answers.append(decisions(run(given), self.manifest.multi_label))
            truth.append(labels)
        known = [labels for labels in truth if labels is not None]
        quantised, *float32 = map(np.concatenate, decided)
        expected = self.known.float32 if self.known else float32[0]
        return Answers(expected, quantised, np.concatenate(known) if len(known) == len(truth) else None)


def _as_openvino(graph: bytes) -> Any:
    return openvino().Core().read_model(io.BytesIO(graph))
