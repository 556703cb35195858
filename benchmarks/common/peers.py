"""Subjects of the benchmarks, built inside measuring processes: one Swin with one set of weights in several libraries and runtimes."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from swinkit.config import SwinConfig
from swinkit.model.classifier import SwinClassifier
from swinkit.study.process import Subject
from swinkit.study.subjects import Inputs, run_plainly, subject_of
from swinkit.variants import configure
from tests.peers.building import logits_of, peer_of
from tests.shaking import shake

SIZE = (224, 224)


def network(model: str, **fields: Any) -> SwinClassifier:
    """Variant ``model`` with random weights of which none is trivial, the same in every process."""
    return shake(SwinClassifier(configure(model, **fields)))  # type: ignore[return-value]


class Logits(nn.Module):
    """A peer's network that answers with a tensor, whatever its library wraps it in."""

    def __init__(self, peer: nn.Module) -> None:
        super().__init__()
        self.peer = peer

    def forward(self, images: Tensor) -> Tensor:
        return logits_of(self.peer, images)


def peer(library: str, config: SwinConfig, state: dict[str, Tensor]) -> nn.Module:
    return Logits(peer_of(library, config, state)).eval()


def ours(model: str, batch: int, size: tuple[int, int], precision: str, engine: str = "auto") -> Subject:
    """swinkit's engine."""
    from swinkit.runtime import engines

    net = network(model, image_size=size[0])
    run = engines.build(net, precision=precision, shape=(batch, 3, *size), engine=engine)
    return subject_of(run, Inputs((batch, 3, *size)), engine=run.name, precision=run.precision)


def reference(model: str, batch: int, size: tuple[int, int]) -> Subject:
    """The network in float64, which decides what is an error."""
    net = network(model, image_size=size[0]).double()
    return subject_of(torch.inference_mode()(lambda images: net(images.double()).double()), Inputs((batch, 3, *size)))


def theirs(library: str, way: str, model: str, batch: int, size: tuple[int, int], precision: str) -> Subject:
    """The same network in ``library`` by ``way``, a key of :data:`WAYS`."""
    net = network(model, image_size=size[0])
    built = peer(library, net.config, net.state_dict())
    run = WAYS[way](built, (batch, 3, *size), precision)
    return subject_of(run, Inputs((batch, 3, *size)), library=library, way=way, precision=precision)


def eager(net: nn.Module, shape: tuple[int, ...], precision: str) -> Callable[[Tensor], Tensor]:
    """As it is; bfloat16 by autocast."""
    return run_plainly(net, precision)


def halved(net: nn.Module, shape: tuple[int, ...], precision: str) -> Callable[[Tensor], Tensor]:
    """Weights and activations in bfloat16, without autocast."""
    net = net.bfloat16()
    return torch.inference_mode()(lambda images: net(images.bfloat16()).float())


def compiled(net: nn.Module, shape: tuple[int, ...], precision: str) -> Callable[[Tensor], Tensor]:
    """torch.compile with frozen, packed weights; bfloat16 without autocast."""
    import torch._inductor.config as inductor

    inductor.freezing = True
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    program = torch.compile(net.to(dtype))

    @torch.no_grad()  # freezing wants gradients off, and does not know inference mode
    def run(images: Tensor) -> Tensor:
        return program(images.to(dtype)).float()

    return run


def onnxruntime(net: nn.Module, shape: tuple[int, ...], precision: str) -> Callable[[Tensor], Tensor]:
    """The exported graph of one shape in ONNX Runtime."""
    import onnxruntime as ort

    file = io.BytesIO()
    torch.onnx.export(net, (torch.zeros(shape),), dynamo=True, verbose=False).save(file)
    session = ort.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: torch.from_numpy(session.run(None, {name: images.numpy()})[0])


def openvino(net: nn.Module, shape: tuple[int, ...], precision: str) -> Callable[[Tensor], Tensor]:
    """The traced graph of one shape in OpenVINO, with its hint for the precision."""
    from swinkit.runtime.silenced import openvino as silent

    ov = silent()
    with torch.no_grad():
        graph = ov.convert_model(net, example_input=torch.zeros(shape), input=[shape])
    hints = {"INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision], "PERFORMANCE_HINT": "LATENCY"}
    request = ov.Core().compile_model(graph, "CPU", hints).create_infer_request()

    def run(images: Tensor) -> Tensor:
        request.infer([ov.Tensor(images.contiguous().numpy(), shared_memory=True)])
        return torch.from_numpy(request.get_output_tensor(0).data.copy())

    return run


WAYS: dict[str, Any] = {
    "eager": eager, "bfloat16 weights": halved, "compiled": compiled, "ONNX Runtime": onnxruntime, "OpenVINO": openvino,
}  # fmt: skip


def deit(way: str, side: int) -> Subject:
    """timm's DeiT-S with fused attention at ``side``, random weights, float32; ``way`` is a key of :data:`WAYS`."""
    import timm

    torch.manual_seed(0)
    net = timm.create_model("deit_small_patch16_224", img_size=side).eval()
    run = WAYS[way](net, (1, 3, side, side), "float32")
    return subject_of(run, Inputs((1, 3, side, side)), library="timm", way=way, precision="float32")
