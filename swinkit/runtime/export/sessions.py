"""Running the graph of a bundle, in each runtime that can: from an array of pictures to an array of logits. Torch only for torch's."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple

import numpy as np

from ...errors import MissingExtra, UsageError
from ...extras import is_installed
from ...machine import version
from ..kinds import OPENVINO_HINTS
from ..silenced import openvino
from .bundle import Bundle, Target

Run = Callable[[np.ndarray], np.ndarray]


def onnxruntime_session(bundle: Bundle, threads: int = 0) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    (graph,) = bundle.files.values()
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, {bundle.manifest.input.name: images})[0]


def openvino_session(bundle: Bundle, threads: int = 0) -> Run:
    """Exact float32: by itself OpenVINO computes in bfloat16 where the processor has it."""
    ov = openvino()
    graph, *weights = bundle.files.values()
    core = ov.Core()
    model = core.read_model(graph, weights[0]) if weights else core.read_model(io.BytesIO(graph))
    options = {"INFERENCE_PRECISION_HINT": OPENVINO_HINTS["float32"], "INFERENCE_NUM_THREADS": threads}
    compiled = core.compile_model(model, "CPU", options)
    alone = threading.Lock()

    def run(images: np.ndarray) -> np.ndarray:
        with alone:  # the one request of a compiled graph is one thread's until its answers are copied
            return compiled(images)[0].copy()

    return run


def torch_session(bundle: Bundle, threads: int = 0) -> Run:
    """``threads`` are those of the process, which torch has one setting for."""
    import torch

    from .program import load_program

    (content,) = bundle.files.values()
    program = load_program(content, bundle.path).module(check_guards=False)

    def run(images: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return program(torch.from_numpy(images)).numpy()

    return run


class Runtime(NamedTuple):
    """A package that runs graphs of ``targets``; ``session(bundle, threads=0)`` makes one ready, by so many threads or by its own choice."""

    targets: tuple[Target, ...]
    session: Callable[..., Run]


RUNTIMES = {
    "onnxruntime": Runtime(("onnx",), onnxruntime_session),
    "openvino": Runtime(("onnx", "openvino"), openvino_session),
    "torch": Runtime(("torch",), torch_session),
}


def runtimes_for(target: Target, wanted: str | None = None) -> list[str]:
    """Installed runtimes for ``target``, or the ``wanted`` one. Raises :class:`UsageError`, :class:`MissingExtra`."""
    suitable = [name for name, runtime in RUNTIMES.items() if target in runtime.targets]
    if wanted is not None and wanted not in suitable:
        raise UsageError(f"{wanted} does not run {target} graphs. Expected one of: {', '.join(suitable)}")
    asked = [wanted] if wanted else suitable
    found = [name for name in asked if is_installed(name)]
    if not found:
        raise MissingExtra(asked[0], "export")
    return found


def version_of(runtime: str) -> str:
    """Its version, whatever the distribution that brings it is called (``onnxruntime-gpu``)."""
    return version(runtime) or str(import_module(runtime).__version__)


def first_line(fault: Exception) -> str:
    """What a runtime said of a graph, without the pages that may follow."""
    return f"{type(fault).__name__}: {(str(fault).splitlines() or [''])[0][:200]}"
