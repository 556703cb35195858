"""Post-training quantisation to int8 by NNCF, and layers that return to float where int8 changes answers (OpenVINO models)."""

from __future__ import annotations

import contextlib
import logging
import re
import statistics
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from ...timing import in_turn, paced
from ..kinds import OPENVINO_HINTS
from ..silenced import nncf, openvino

RANKED = 32  # pictures by which layers are ranked
SUSPECTS = 3  # blocks in which each layer is tried
LAYERS = ("MatMul", "Convolution")
BLOCK = re.compile(r"(.*?blocks\.\d+|[^/]*)")  # of a layer's name, such as backbone.stages.0.blocks.1.mlp.fc1/MatMul_95
MOST_IN_FLOAT = 12  # layers that may return to float; beyond that int8 brings little
ROUNDS = 31  # of timing; the precisions take turns, so that they share whatever else the machine does

Run = Callable[[np.ndarray], np.ndarray]


def compiled(model: Any, precision: str = "float32") -> Run:
    """``model`` as a function of an input array; ``precision`` is that of what is not int8: "float32" or "bfloat16"."""
    ready = openvino().Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": OPENVINO_HINTS[precision]})
    return lambda images: ready(images)[0]


def float_precisions() -> list[str]:
    """Those in which this processor computes: float32, and bfloat16 where it is in hardware."""
    capable = openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return ["float32", *(["bfloat16"] if "BF16" in capable else [])]


def quantise(model: Any, pictures: Sequence[np.ndarray], in_float: Collection[str] = ()) -> Any:
    """``model`` in int8, calibrated on ``pictures``, inputs of one each (1, …); layers named ``in_float`` are left as they are.

    Without smoothing: on Swin it cost accuracy where NNCF's authors measured it.
    """
    library = nncf()
    parameters = library.quantization.advanced_parameters
    smoothing = parameters.AdvancedSmoothQuantParameters(convolution=-1, matmul=-1)
    with _quietly(library):
        return library.quantize(
            model.clone(),
            library.Dataset(list(pictures)),
            subset_size=len(pictures),
            model_type=library.ModelType.TRANSFORMER,
            preset=library.QuantizationPreset.MIXED,
            ignored_scope=library.IgnoredScope(names=sorted(in_float)) if in_float else None,
            advanced_parameters=parameters.AdvancedQuantizationParameters(smooth_quant_alphas=smoothing),
        )


def quantise_with_fallback(
    model: Any, pictures: Sequence[np.ndarray], agrees: Callable[[np.ndarray, np.ndarray], bool], progress: Callable[[str], Any]
) -> tuple[Any, tuple[str, ...]]:
    """As :func:`quantise`, with the most harmful layers in float, more each time until ``agrees(float32, int8)``, asked of the logits (n, K)
    for ``pictures``.

    Gives the model and the names of those layers, at most :data:`MOST_IN_FLOAT`, with which it may still disagree.
    """
    expected = run_on(compiled(model), pictures)
    ranked = rank_layers(model, pictures[:RANKED], expected[:RANKED], progress)
    for count in dict.fromkeys(min(count, len(ranked)) for count in (1, 2, 4, 8, MOST_IN_FLOAT)):
        quantised = quantise(model, pictures, ranked[:count])
        answers = run_on(compiled(quantised), pictures)
        if agrees(expected, answers):
            break
    return quantised, tuple(ranked[:count])


def rank_layers(model: Any, pictures: Sequence[np.ndarray], expected: np.ndarray, progress: Callable[[str], Any]) -> list[str]:
    """Layers by the harm that each does when it alone is int8, the worst first: the squared error of the logits.

    Blocks are tried first, and then the layers of the :data:`SUSPECTS` worst ones, so that a deep model takes minutes. Harm is
    measured alone because two harmful layers would hide each other.
    """
    layers = [op.get_friendly_name() for op in model.get_ordered_ops() if op.get_type_name() in LAYERS]

    def harm(quantised: Collection[str]) -> float:
        answers = run_on(compiled(quantise(model, pictures, set(layers) - set(quantised))), pictures)
        return float(np.square(answers - expected).mean())

    def ranked(groups: Sequence[list[str]]) -> list[list[str]]:
        harms = {group[0]: harm(group) for group in paced(groups, len(groups), lambda _: 1, progress)}
        return sorted(groups, key=lambda group: harms[group[0]], reverse=True)

    blocks: dict[str, list[str]] = {}
    for layer in layers:
        blocks.setdefault(BLOCK.match(layer)[0], []).append(layer)  # type: ignore[index]  # it matches anything
    progress(f"trying {len(blocks)} blocks in int8, one at a time")
    suspects = [[layer] for block in ranked(list(blocks.values()))[:SUSPECTS] for layer in block]
    progress(f"trying the {len(suspects)} layers of the worst of them")
    return [layer for (layer,) in ranked(suspects)]


def run_on(run: Run, batches: Iterable[np.ndarray]) -> np.ndarray:
    """Logits (n, K) of all ``batches``."""
    return np.concatenate([run(batch) for batch in batches])


def median_seconds(runs: dict[str, Run], image: np.ndarray) -> dict[str, float]:
    """Of each of ``runs`` on ``image``."""
    taken = in_turn({name: partial(run, image) for name, run in runs.items()}, ROUNDS, unmeasured=3)
    return {name: statistics.median(values) for name, values in taken.items()}


@contextlib.contextmanager
def _quietly(library: Any) -> Iterator[None]:
    """NNCF draws its progress on stdout, which is for results, and names every node that it leaves out."""
    library.set_log_level(logging.ERROR)
    with contextlib.redirect_stdout(sys.stderr):
        yield
