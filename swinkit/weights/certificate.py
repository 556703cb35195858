"""Are two networks the same? Both are run on the same pictures, and the largest difference of each stage decides."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from ..config import SwinConfig
from ..errors import SwinkitError
from ..extras import is_installed
from ..interpreter import python
from ..model.classifier import SwinClassifier
from .files import read_model
from .foreign import is_foreign, open_foreign
from .saved import Saved, weights_digest
from .streams import write_safetensors
from .targets import Target
from .verify import ShapesOnly

TOLERANCE = 1e-5  # of the largest value there, or of one where all are smaller: what float32 sums in another order differ by
SECONDS = 1800
START = "from swinkit.weights.witness import main; main()"
Answers = dict[str, Tensor]


@dataclass(frozen=True)
class Difference:
    """Of one stage or of the logits: the largest absolute difference, and the largest value it is measured against."""

    where: str
    difference: float
    largest: float

    @property
    def relative(self) -> float:
        return self.difference / max(1.0, self.largest)


@dataclass(frozen=True)
class Parity:
    """What a comparison found. ``compared_in`` names the library and its version; ``identical`` says whether the written files,
    read back, hold the same bits under our names."""

    compared_in: str
    identical: bool
    differences: tuple[Difference, ...]

    @property
    def same(self) -> bool:
        return self.identical and all(one.relative <= TOLERANCE for one in self.differences)

    def to_dict(self) -> dict[str, Any]:
        lines = [{**asdict(one), "relative": one.relative} for one in self.differences]
        return {
            "verdict": "same network" if self.same else "another network", "compared_in": self.compared_in,
            "weights_identical": self.identical, "tolerance": TOLERANCE, "differences": lines,
        }  # fmt: skip


def network(saved: Saved) -> SwinClassifier:
    """The network of ``saved`` on its own tensors: none is copied, none is drawn at random first.

    What ``saved`` lacks, such as a last norm, stays without values.
    """
    with ShapesOnly():
        module = SwinClassifier(saved.config)
    names = module.state_dict().keys()
    state = {name: tensor.float() for name, tensor in saved.state.items() if name in names}
    module.load_state_dict(state, strict=False, assign=True)
    return module.eval()


def answers(module: SwinClassifier, saved: Saved, pictures: Tensor) -> Answers:
    """The map of each stage (B, H, W, C), and what follows it in ``saved``: logits or embedding, and normed outputs."""
    maps = module.backbone.run_stages(module.backbone.embed(pictures))
    found = {f"stage {number}": x for number, x in enumerate(maps, 1)}
    state, last = saved.state, len(maps) - 1
    if "norm.weight" in state:
        found[last_name(saved.config)] = module.head(module.norm(maps[-1]).mean(dim=(1, 2)))
    for stage, x in enumerate(maps if not saved.config.num_classes else ()):  # a backbone gives out its maps, normed
        name = "norm" if stage == last else f"output_norms.{stage}"
        if f"{name}.weight" in state:
            found[f"output {stage + 1}"] = _normed(x, state[f"{name}.weight"], state[f"{name}.bias"])
    return found


def last_name(config: SwinConfig) -> str:
    """What comes out of a classifier, in a certificate's words."""
    return "logits" if config.num_classes else "embedding"


class Reference(NamedTuple):
    """What the network that was read answered, and the SHA-256 and configuration of its weights, which need not be held any longer."""

    answers: Answers
    digest: str
    config: SwinConfig


def reference(saved: Saved, pictures: Tensor) -> Reference:
    """:func:`answers` of ``saved``, one picture after the other."""
    module = network(saved)
    with torch.inference_mode():
        each = [answers(module, saved, picture[None]) for picture in pictures]
    joined = {name: torch.cat([one[name] for one in each]) for name in each[0]}
    return Reference(joined, weights_digest(saved.state), saved.config)


def compare(expected: Reference, target: Target, written: Path, pictures: Tensor, scratch: Path) -> Parity:
    """Run what was written at ``written`` (a folder, or a file) and compare; ``scratch`` is a folder for what goes to and fro.

    Raises :class:`SwinkitError` when the target's library does not take the files, with its words.
    """
    config = expected.config
    write_safetensors(scratch / "pictures", {"pictures": pictures})
    job = {
        "path": str(written), "pictures": str(scratch / "pictures"), "answers": str(scratch / "answers"), "last": last_name(config),
        "grids": [config.grid(stage) for stage in range(config.num_stages)],
    }  # fmt: skip
    library = target.library if target.library and is_installed(target.library) else None
    said = _ask({**job, "library": library}, scratch)
    if "absent" in said:
        library, said = None, _ask({**job, "library": None}, scratch)
    if "failed" in said:
        raise SwinkitError(f"{library or 'swinkit'} does not take what was written for it: {said['failed']}. Nothing is kept")
    found = load_file(scratch / "answers")
    where = f"{library} {said['version']}" if library else "swinkit, which read the files back"
    return Parity(where, weights_digest(read_back(written).state) == expected.digest, differences(expected.answers, found))


def differences(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> tuple[Difference, ...]:
    """One entry per stage, and for each other answer that both networks give.

    A stage that is not there, or holds a value that is not a number, counts as infinitely far.
    """
    lines = []
    for name, value in expected.items():
        if name not in found and not name.startswith("stage"):
            continue  # a backbone gives out no logits, a classifier no normed maps
        apart = float("inf")
        if name in found and found[name].shape == value.shape:
            apart = float((value - found[name]).abs().nan_to_num(nan=float("inf")).max())
        lines.append(Difference(name, apart, float(value.abs().max())))
    return tuple(lines)


def read_back(path: Path) -> Saved:
    """What was written, opened as any path is."""
    return open_foreign(path) if is_foreign(path) else read_model(path)


def _normed(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.layer_norm(x, weight.shape, weight.float(), bias.float())


def _ask(job: Mapping[str, Any], scratch: Path) -> dict[str, str]:
    (scratch / "job.json").write_text(json.dumps(job), encoding="utf-8")
    (scratch / "answers").unlink(missing_ok=True)
    try:
        done = subprocess.run(
            python(START, str(scratch / "job.json")),
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=SECONDS,
        )  # fmt: skip
        return dict(json.loads(done.stdout.splitlines()[-1]))
    except subprocess.TimeoutExpired:
        return {"failed": f"no answer within {SECONDS} s"}
    except (ValueError, IndexError):
        return {"failed": f"its process ended with code {done.returncode}: {done.stderr.strip()[-500:] or 'no word'}"}
