"""A model as a bundle that other programs run: traced, translated, written, read back, and named once it answered as PyTorch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.export import ExportedProgram

from ...errors import SwinkitError, UsageError
from ...kernels.accelerate import apart
from ...model.attention import WindowAttention
from ...tasks import decoder_of, load
from ...timing import Parts, duration
from ...weights.attached import attached
from ...weights.files import config_of
from ...weights.hub import Located
from .bundle import Bundle, Input, Manifest, Target, describe, open_bundle, unfinished, write_bundle
from .golden import BATCHES, Golden, make_golden
from .graphs import write_graph
from .sessions import runtimes_for
from .tracing import trace
from .verifying import checked, verify

Progress = Callable[[str], Any]

# times as long as tracing takes, of a network that is not the first of its process, so that torch's imports do not count
TRANSLATING = 4


def export(
    model: Any, folder: str | Path, target: Target = "onnx", given: Input | None = None, progress: Progress = lambda line: None
) -> Bundle:
    """Write ``model``, what :func:`swinkit.load` takes or returns, as a bundle for ``target`` into the new ``folder``.

    ``given`` says what the graph takes: normalised pictures by default, or uint8 with preprocessing inside. Raises
    :class:`Refused`, and leaves nothing behind, when the graph does not answer as PyTorch at every golden size.
    """
    folder, given, parts = Path(folder), given or Input(), Parts(progress)
    runtimes_for(target)  # what is missing is said before a minute of work
    with unfinished(folder) as draft:
        program, golden, manifest = begin(model, folder, target, given, parts)
        with parts.part("translating", f"translating to {target}"):
            graph = write_graph(program, manifest)
        del program
        write_proven(draft, manifest, graph, golden, parts)
    return finished(folder, parts)


def begin(
    model: Any, folder: Path, target: Target, given: Input, parts: Parts, more: float = 0
) -> tuple[ExportedProgram, Golden, Manifest]:
    """What every export starts from: the traced network, its golden answers, and what is said of it.

    How long the rest will take is told; ``more`` is how many pixels PyTorch would answer in the time that goes into other work than the proof.
    """
    network = prepared(model)
    manifest = manifest_of(network, target, given)
    announced = (
        f"exporting to {folder}: one graph for every size, which is proved at seven; answering the golden pictures with PyTorch"
    )
    with parts.part("answering", announced):
        golden = golden_of(network, parts.tell)
    with parts.part("tracing", "tracing the graph"):
        program = trace(network, given)
    pace = parts.seconds["answering"] / golden.pixels
    asked = golden.pixels * sum(BATCHES) / max(BATCHES) * len(runtimes_for(target)) + more
    left = pace * asked + TRANSLATING * parts.seconds["tracing"]
    parts.tell(f"about {duration(left)} to go, as these two took")
    return program, golden, manifest.model_copy(update={"tolerance": golden.tolerance})


def write_proven(draft: Path, manifest: Manifest, graph: Mapping[str, bytes], golden: Golden, parts: Parts) -> None:
    """Write a bundle into ``draft`` and have it answer; raises :class:`Refused` when it does not as it should."""
    with parts.part("proving", "writing the graph, and reading it back"):
        written = write_bundle(draft, manifest, graph, golden)
        checks = verify(written, progress=parts.tell)
        describe(draft, checked(written.manifest, checks))


def finished(folder: Path, parts: Parts) -> Bundle:
    """The bundle in its place, with how long each part of its export took, which is told."""
    parts.tell(f"exported in {parts}")
    return replace(open_bundle(folder), seconds=parts.seconds)


def prepared(model: Any) -> Any:
    """The network as it is exported: in evaluation, float32, on the CPU, with all windows attending at once.

    Raises :class:`UsageError` for a module that does not know what its outputs and its pictures are.
    """
    network = load(model) if isinstance(model, str | Path | Located) else apart(model)
    if config_of(network).num_classes:
        decoder_of(network)
    if attached(network).preprocessing is None:
        raise UsageError("This network knows no preprocessing. Mend: give one from a run, a saved folder or swinkit.load")
    for module in network.modules():
        # the number of turns depends on the picture's size; a graph would keep the traced one's
        if isinstance(module, WindowAttention):
            module.chunk = 0
    return network.float().cpu().eval()


def manifest_of(network: Any, target: Target, given: Input) -> Manifest:
    """What is said of ``network`` before it has answered."""
    left = attached(network)
    return Manifest(
        target=target,
        # of another task pydantic says so
        task=left.task,  # type: ignore[arg-type]
        swin=network.config,
        classes=left.classes or (),
        multi_label=left.multi_label,
        temperature=left.temperature,
        preprocessing=network.preprocessing,
        input=given,
        output="logits" if network.config.num_classes else "features",
        learned_from=left.metadata.get("learned_from"),
    )


def golden_of(network: Any, progress: Progress = lambda line: None) -> Golden:
    """Golden answers of the plain model; raises :class:`SwinkitError` where they are not finite."""

    @torch.inference_mode()
    def answer(images: np.ndarray) -> np.ndarray:
        return network(torch.from_numpy(images)).numpy()

    golden = make_golden(answer, network.config.image_size, network.preprocessing, progress)
    if not math.isfinite(golden.tolerance):
        raise SwinkitError("The model's answer to a golden picture is not finite, so that no graph can be compared with it")
    return golden
