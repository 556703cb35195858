"""The state of a run on disk: two checkpoints, each whole and hashed, whatever moment the process is killed.

A checkpoint is one safetensors file, tensors beside a JSON skeleton of everything else, and a manifest that names it with its
SHA-256. The data's name holds its hash, so writing a step again never touches the data that the present manifest names; the
rename of the manifest is the commit.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open
from safetensors.torch import load
from torch import Tensor

from ..errors import WeightsError
from ..weights.atomic import sweep_stale, write_atomically, write_json
from ..weights.files import serialise

MOST_CHECKPOINTS = 2
TENSOR, TUPLE, PAIRS = "$tensor", "$tuple", "$pairs"


class Checkpoint(NamedTuple):
    """``notes`` says, one sentence each, which newer checkpoints were passed over and why."""

    state: Any
    step: int
    notes: list[str]


class CheckpointStore:
    """The folder ``checkpoints/`` of a run that this process has locked."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def save(self, state: Any, step: int) -> str:
        """Write ``state`` (nested dicts, lists and tuples of tensors and plain values) as the checkpoint of ``step``.

        Once it is on disk, all but it and the newest earlier one are removed. Returns the SHA-256 of the data; equal states
        give equal ones. Raises :class:`SwinkitError` when the disk refuses; the earlier checkpoints are then as they were.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._sweep(keep=self.manifests())
        content = encode({"step": step, "state": state})
        sha256 = hashlib.sha256(content).hexdigest()
        name = f"step_{step:010d}"
        data = f"{name}.{sha256[:16]}.safetensors"
        write_atomically(self.folder / data, content)
        write_json(self.folder / f"{name}.json", {"file": data, "bytes": len(content), "sha256": sha256})
        # a later step than the one just written belongs to a future that was found damaged and is being lived again
        self._sweep(keep=[path for path in self.manifests() if path.stem <= name][:MOST_CHECKPOINTS])
        return sha256

    def newest_valid(self) -> Checkpoint | None:
        """The newest checkpoint whose bytes are what was written; None when none was ever completed.

        Raises :class:`WeightsError` when there are checkpoints and every one is damaged, saying how each is.
        """
        notes: list[str] = []
        for manifest in self.manifests():
            try:
                step, state = self._read(manifest)
            except WeightsError as fault:
                notes.append(str(fault))
                continue
            return Checkpoint(state, step, notes)
        if notes:
            raise WeightsError(f"No checkpoint in {self.folder} can be used. " + " ".join(notes) + " Mend: start a new run")
        return None

    def manifests(self) -> list[Path]:
        """Manifests of the completed checkpoints, newest first."""
        return sorted(self.folder.glob("step_*.json"), reverse=True)

    def _read(self, manifest: Path) -> tuple[int, Any]:
        try:
            entry = json.loads(manifest.read_bytes())
            data = self.folder / Path(entry["file"]).name
            content = data.read_bytes()
            found, expected = hashlib.sha256(content).hexdigest(), entry["sha256"]
        except (OSError, ValueError, KeyError, TypeError) as fault:
            raise WeightsError(f"Checkpoint {manifest.name} cannot be read: {fault}.") from None
        if found != expected:
            raise WeightsError(f"Checkpoint {data.name} is damaged: expected SHA-256 {expected}, got {found}.")
        whole = decode(content, data)
        return whole["step"], whole["state"]

    def _sweep(self, keep: list[Path]) -> None:
        """Remove what no checkpoint of ``keep`` needs: manifests before data, so that none ever names a missing file."""
        sweep_stale(self.folder, age=0)
        for manifest in set(self.manifests()) - set(keep):
            manifest.unlink()
        named = " ".join(path.read_text(errors="replace") for path in keep)
        for data in self.folder.glob("step_*.safetensors"):
            if data.name not in named:
                data.unlink()


def encode(value: Any) -> bytes:
    """``value`` as safetensors bytes, its structure in the header; equal values give equal bytes.

    Raises :class:`TypeError` for what is neither a container, a tensor nor a plain JSON value.
    """
    tensors: dict[str, Tensor] = {}
    skeleton = json.dumps(_take_apart(value, tensors))
    return serialise(tensors, {"skeleton": skeleton})


def decode(content: bytes, path: Path) -> Any:
    """What :func:`encode` was given, tensors on the CPU; ``path`` is where ``content`` lies.

    Raises :class:`WeightsError` when it is something else.
    """
    try:
        with safe_open(path, framework="pt") as file:
            skeleton = json.loads(file.metadata()["skeleton"])
        return _put_together(skeleton, load(content))
    except (SafetensorError, ValueError, KeyError, TypeError) as fault:
        raise WeightsError(f"{path} is no checkpoint of swinkit: {fault}.") from None


def _take_apart(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        name = f"{len(tensors):06d}"
        tensors[name] = value
        return {TENSOR: name}
    if isinstance(value, dict):
        parts = [(key, _take_apart(entry, tensors)) for key, entry in value.items()]
        plain = all(isinstance(key, str) and not key.startswith("$") for key, _ in parts)
        return dict(parts) if plain else {PAIRS: [list(part) for part in parts]}
    if isinstance(value, tuple):
        return {TUPLE: [_take_apart(entry, tensors) for entry in value]}
    if isinstance(value, list):
        return [_take_apart(entry, tensors) for entry in value]
    return value


def _put_together(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_put_together(entry, tensors) for entry in value]
    if not isinstance(value, dict):
        return value
    if TENSOR in value:
        return tensors[value[TENSOR]]
    if TUPLE in value:
        return tuple(_put_together(entry, tensors) for entry in value[TUPLE])
    if PAIRS in value:
        return {key: _put_together(entry, tensors) for key, entry in value[PAIRS]}
    return {key: _put_together(entry, tensors) for key, entry in value.items()}
