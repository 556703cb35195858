"""A process of its own in which another library builds the network from the files that swinkit wrote, and runs it.

The package depends on no peer: none is imported while swinkit works. A certificate, however, is worth more when the library
that will use the files has read them itself. So this program is started for it alone, asks for the library by its name, writes
down what its network answers, and ends: nothing of the library stays in the user's process, neither its memory nor the settings
that importing it changes. Without the library, swinkit reads its own files back here, by the way a stranger's file takes.

The job names library, files, pictures (safetensors, (N, C, H, W)), and where the answers go: the map of each stage (N, H, W, C)
and the logits. An answer is one line of JSON on stdout: the library's version, or ``absent``, or ``failed`` with the reason.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", DO_NOT_TRACK="1", TRANSFORMERS_VERBOSITY="error")

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

Stages = list[nn.Module]
Answer = Callable[[Tensor], dict[str, Tensor]]


def timm(library: Any, job: dict[str, Any]) -> tuple[Answer, Stages]:
    model = library.create_model(f"local-dir:{job['path']}", pretrained=True).eval()
    return lambda pictures: {job["last"]: model(pictures)}, [layer.blocks[-1] for layer in model.layers]


def transformers(library: Any, job: dict[str, Any]) -> tuple[Answer, Stages]:
    kind = json.loads((Path(job["path"]) / "config.json").read_bytes())["architectures"][0]
    model, report = getattr(library, kind).from_pretrained(job["path"], output_loading_info=True, dtype=torch.float32)
    # the only tensors that its file need not have: a backbone's norm that nothing computes
    missing = [name for name in report["missing_keys"] if not name.endswith(("swin.layernorm.weight", "swin.layernorm.bias"))]
    if missing or report["unexpected_keys"]:
        raise ValueError(f"it misses {missing} and does not expect {list(report['unexpected_keys'])}")
    model = model.eval()
    inner = getattr(model, "swin", getattr(model, "swinv2", model))

    def answer(pictures: Tensor) -> dict[str, Tensor]:
        if kind.endswith("ForMaskedImageModeling"):  # which paints, and pools nothing
            return {job["last"]: inner(pictures).last_hidden_state.mean(dim=1)}
        said = model(pictures)
        if "feature_maps" in said:
            return {
                f"output {name[-1]}": x.permute(0, 2, 3, 1)
                for name, x in zip(model.out_features, said.feature_maps, strict=True)
            }
        return {job["last"]: said.logits if "logits" in said else said.pooler_output}

    return answer, [layer.blocks[-1] for layer in inner.encoder.layers]


def torchvision(library: Any, job: dict[str, Any]) -> tuple[Answer, Stages]:
    module = importlib.import_module("torchvision.models.swin_transformer")
    arguments = dict(json.loads(Path(job["path"]).with_suffix(".json").read_bytes())["builder"])
    kind, merging = getattr(module, arguments.pop("block")), getattr(module, arguments.pop("downsample_layer"))
    windows = {int(width): window for width, window in arguments.pop("stage_windows", {}).items()}

    def block(dim: int, heads: int, window_size: list[int], **rest: Any) -> nn.Module:
        return kind(dim, heads, window_size=windows.get(dim, window_size), **rest)

    embedding = not arguments["num_classes"]
    model = module.SwinTransformer(
        **{**arguments, "num_classes": arguments["num_classes"] or 1}, block=block, downsample_layer=merging, stochastic_depth_prob=0.0
    )  # fmt: skip
    if embedding:
        model.head = nn.Identity()
    model.load_state_dict(torch.load(job["path"], weights_only=True), strict=True)
    model = model.float().eval()
    return lambda pictures: {job["last"]: model(pictures)}, [stage[-1] for stage in list(model.features)[1::2]]


LIBRARIES = {"timm": timm, "transformers": transformers, "torchvision": torchvision}


def own(job: dict[str, Any]) -> Callable[[Tensor], dict[str, Tensor]]:
    """swinkit on the files that it wrote, opened as any path is."""
    from .certificate import answers, network, read_back

    saved = read_back(Path(job["path"]))
    module = network(saved)
    return lambda pictures: answers(module, saved, pictures)


@contextmanager
def maps(stages: Stages, grids: list[list[int]]) -> Iterator[dict[str, Tensor]]:
    """Fills a table with what each of ``stages`` answers while it is open, as (B, H, W, C)."""
    found: dict[str, Tensor] = {}

    def keep(name: str, grid: list[int]) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            x = output[0] if isinstance(output, tuple) else output
            found[name] = x.reshape(x.shape[0], *grid, x.shape[-1])

        return hook

    pairs = enumerate(zip(stages, grids, strict=True), 1)
    hooks = [stage.register_forward_hook(keep(f"stage {number}", grid)) for number, (stage, grid) in pairs]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def run(job: dict[str, Any]) -> dict[str, str]:
    """The job's network on the job's pictures, one after the other; returns what the answer's line says."""
    version = ""
    stages: Stages = []
    if job["library"] is None:
        answer = own(job)
    else:
        try:
            library = importlib.import_module(job["library"])
        except ImportError as fault:
            return {"absent": str(fault)}
        version = str(library.__version__)
        answer, stages = LIBRARIES[job["library"]](library, job)
    table: dict[str, list[Tensor]] = {}
    with torch.inference_mode(), maps(stages, job["grids"][: len(stages)]) as found:
        for picture in load_file(job["pictures"])["pictures"]:
            said = answer(picture[None])
            for name, value in {**found, **said}.items():
                table.setdefault(name, []).append(value.float().clone())
    save_file({name: torch.cat(values).contiguous() for name, values in table.items()}, job["answers"])
    return {"version": version}


def main() -> None:
    try:
        line = run(json.loads(Path(sys.argv[1]).read_bytes()))
    except Exception as fault:  # whatever the library says against the files is the answer
        line = {"failed": f"{type(fault).__name__}: {fault}"}
    print(json.dumps(line))
