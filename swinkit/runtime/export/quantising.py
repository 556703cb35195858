"""Post-training quantisation to int8 by NNCF, and layers that return to float where int8 changes answers (OpenVINO models)."""

from __future__ import annotations

import contextlib
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from ..silenced import nncf, openvino

RANKED = 64  # pictures by which layers are ranked
MOST_IN_FLOAT = 12  # layers that may return to float; beyond that int8 brings little
ROUNDS = 31  # of timing; the precisions take turns, so that they share whatever else the machine does

# what may stand between a quantiser and the layer that it is for: the order of values, and an int8 weight's scale
LAYOUT = {"Reshape", "Transpose", "Gather", "Pad", "Slice", "Split", "VariadicSplit", "Squeeze", "Unsqueeze"} | {
    "Convert",
    "Multiply",
    "Subtract",
}

Run = Callable[[np.ndarray], np.ndarray]


def compiled(model: Any, precision: str = "float32") -> Run:
    """``model`` as a function of an input array; ``precision`` is that of what is not int8: "float32" or "bfloat16"."""
    hint = {"float32": "f32", "bfloat16": "bf16"}[precision]
    ready = openvino().Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": hint})
    return lambda images: ready(images)[0]


def float_precisions() -> list[str]:
    """Those in which this processor computes: float32, and bfloat16 where it is in hardware."""
    capable = openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return ["float32", *(["bfloat16"] if "BF16" in capable else [])]


def quantise(model: Any, pictures: Sequence[np.ndarray]) -> Any:
    """``model`` in int8: linear layers and attention, calibrated on ``pictures``, inputs of one each (1, …)."""
    library = nncf()
    with _to_stderr():
        return library.quantize(model.clone(), library.Dataset(list(pictures)), subset_size=len(pictures), **_settings(library))


def quantise_with_fallback(model: Any, pictures: Sequence[np.ndarray], least_agreement: float) -> Any:
    """As :func:`quantise`; then layers return to float, the most harmful first, until int8 and float agree on ``pictures``.

    Layers are ranked by how much nearer the logits come when each alone returns. At most :data:`MOST_IN_FLOAT` return, so the
    result may still disagree.
    """
    library, data = nncf(), list(pictures)
    best = [int(run_on(compiled(model), [image])[0].argmax()) for image in data]
    parameters, settings = library.quantization.advanced_parameters, _settings(library)

    def agreement(ready: Any, images: Iterable[np.ndarray]) -> tuple[float, list[list[np.ndarray]]]:
        logits = [np.asarray(ready(image)[0]) for image in images]
        same = [answer[0].argmax() == wanted for answer, wanted in zip(logits, best, strict=True)]
        return float(np.mean(same)), [[answer] for answer in logits]

    with _to_stderr():
        return library.quantize_with_accuracy_control(
            model.clone(), library.Dataset(data), library.Dataset(data), agreement, max_drop=1 - least_agreement,
            drop_type=library.DropType.ABSOLUTE, subset_size=len(data),
            advanced_accuracy_restorer_parameters=parameters.AdvancedAccuracyRestorerParameters(
                max_num_iterations=MOST_IN_FLOAT, ranking_subset_size=RANKED, num_ranking_workers=1
            ),
            advanced_quantization_parameters=settings.pop("advanced_parameters"), **settings,
        )  # fmt: skip


def layers_in_float(model: Any, quantised: Any) -> tuple[str, ...]:
    """Linear layers of ``model``, in order, whose input or weight is not quantised in ``quantised``."""
    names = {op.get_friendly_name() for op in quantised.get_ordered_ops() if _is_linear(op) and _is_int8(op)}
    return tuple(
        op.get_friendly_name() for op in model.get_ordered_ops() if _is_linear(op) and op.get_friendly_name() not in names
    )


def run_on(run: Run, batches: Iterable[np.ndarray]) -> np.ndarray:
    """Logits (n, K) of all ``batches``."""
    return np.concatenate([run(batch) for batch in batches])


def time_in_turn(runs: dict[str, Run], image: np.ndarray, rounds: int = ROUNDS) -> dict[str, float]:
    """Median seconds of each of ``runs`` on ``image``."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 3):
        for name, run in runs.items():
            begun = time.perf_counter()
            run(image)
            if number >= 3:  # the first ones allocate
                taken[name].append(time.perf_counter() - begun)
    return {name: statistics.median(values) for name, values in taken.items()}


def _settings(library: Any) -> dict[str, Any]:
    """Without smoothing: on Swin it cost accuracy where NNCF's authors measured it."""
    parameters = library.quantization.advanced_parameters
    smoothing = parameters.AdvancedSmoothQuantParameters(convolution=-1, matmul=-1)
    return {
        "model_type": library.ModelType.TRANSFORMER,
        "preset": library.QuantizationPreset.MIXED,
        "advanced_parameters": parameters.AdvancedQuantizationParameters(smooth_quant_alphas=smoothing),
    }


def _is_linear(op: Any) -> bool:
    return op.get_type_name() == "MatMul"


def _is_int8(op: Any) -> bool:
    """Whether an operand is the output of a quantiser, perhaps behind layout changes."""
    return all(_behind_quantiser(op.input_value(index).get_node(), depth=12) for index in (0, 1))


def _behind_quantiser(op: Any, depth: int) -> bool:
    kind = op.get_type_name()
    if kind == "FakeQuantize":
        return True
    if kind == "Constant":
        return op.get_element_type().get_type_name() in ("i8", "u8")
    return depth > 0 and kind in LAYOUT and _behind_quantiser(op.input_value(0).get_node(), depth - 1)


@contextlib.contextmanager
def _to_stderr() -> Iterator[None]:
    """NNCF draws its progress on stdout, which is for results."""
    with contextlib.redirect_stdout(sys.stderr):
        yield
