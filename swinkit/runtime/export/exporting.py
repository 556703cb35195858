"""A model as a bundle that other programs run: traced, translated, written, read back, and named once it answered as PyTorch."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.export import ExportedProgram

from ...errors import SwinkitError, UsageError
from ...model.attention import WindowAttention
from ...tasks import decoder_of, load
from ...tasks.classification import temperature
from ...timing import readable
from ...weights.files import config_of
from .bundle import Bundle, Input, Manifest, Target, describe, open_bundle, unfinished, write_bundle
from .golden import BATCHES, Golden, make_golden
from .graphs import write_graph
from .sessions import runtimes_for
from .tracing import trace
from .verifying import verify

Progress = Callable[[str], Any]

TRANSLATING = 3  # times as long as tracing takes, measured of a Swin-T


def export(
    model: Any, folder: str | Path, target: Target = "onnx", given: Input | None = None, progress: Progress = lambda line: None
) -> Bundle:
    """Write ``model``, what :func:`swinkit.load` takes or returns, as a bundle for ``target`` into the new ``folder``.

    ``given`` says what the graph takes: normalised pictures by default, or uint8 with preprocessing inside. Raises
    :class:`GateError`, and leaves nothing behind, when the graph does not answer as PyTorch at every golden size.
    """
    folder, given = Path(folder), given or Input()
    runtimes_for(target)  # what is missing is said before a minute of work
    with unfinished(folder) as draft:
        program, golden, manifest = begin(model, folder, target, given, progress)
        progress(f"translating to {target}")
        graph = write_graph(program, manifest)
        del program
        write_proven(draft, manifest, graph, golden, progress)
    return open_bundle(folder)


def begin(
    model: Any, folder: Path, target: Target, given: Input, progress: Progress, more: float = 0
) -> tuple[ExportedProgram, Golden, Manifest]:
    """What every export starts from: the traced network, its golden answers, and what is said of it.

    How long the rest will take is told; ``more`` is how many pixels PyTorch would answer in the time that goes into other work than the proof.
    """
    network = prepared(model)
    progress(
        f"exporting to {folder}: one graph for every size, which is proved at seven; answering the golden pictures with PyTorch"
    )
    begun = time.monotonic()
    golden = golden_of(network, progress)
    answered = time.monotonic()
    progress("tracing the graph")
    program = trace(network, given)
    pace = (answered - begun) / golden.pixels
    asked = golden.pixels * sum(BATCHES) / max(BATCHES) * len(runtimes_for(target)) + more
    left = pace * asked + TRANSLATING * (time.monotonic() - answered)
    progress(f"about {readable(left / 60)} to go, as these two took")
    return program, golden, manifest_of(network, target, given, golden)


def write_proven(draft: Path, manifest: Manifest, graph: Mapping[str, bytes], golden: Golden, progress: Progress) -> None:
    """Write a bundle into ``draft`` and have it answer; raises :class:`GateError` when it does not as it should."""
    written = write_bundle(draft, manifest, graph, golden)
    checks = verify(written, progress=progress)
    describe(draft, written.manifest.model_copy(update={"checks": [check.to_dict() for check in checks]}))


def prepared(model: Any) -> Any:
    """The network as it is exported: in evaluation, float32, on the CPU, with all windows attending at once.

    Raises :class:`UsageError` for a module that does not know what its outputs and its pictures are.
    """
    network = load(model) if isinstance(model, str | Path) else copy.deepcopy(model)
    if config_of(network).num_classes:
        decoder_of(network)
    if getattr(network, "preprocessing", None) is None:
        raise UsageError("This network knows no preprocessing. Mend: give one from a run, a saved folder or swinkit.load")
    for module in network.modules():
        if isinstance(
            module, WindowAttention
        ):  # the number of turns depends on the picture's size; a graph would keep the traced one's
            module.chunk = 0
    return network.float().cpu().eval()


def manifest_of(network: Any, target: Target, given: Input, golden: Golden) -> Manifest:
    return Manifest(
        target=target,
        task=getattr(network, "task", "classification"),
        swin=network.config,
        classes=network.classes,
        multi_label=bool(network.multi_label),
        temperature=temperature(network),
        preprocessing=network.preprocessing,
        input=given,
        output="logits" if network.config.num_classes else "features",
        tolerance=golden.tolerance,
        learned_from=getattr(network, "metadata", {}).get("learned_from"),
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
