"""Files made to harm whoever loads them: twenty ways, each by a function that writes one into a folder and returns what to load."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from swinkit.config import SwinConfig
from swinkit.model.classifier import SwinClassifier
from swinkit.weights.files import save_model

TERABYTE = 1 << 40
TINY = SwinConfig(embed_dim=8, depths=(1, 1), num_heads=(1, 2), num_classes=3, image_size=(32, 32), window_size=(4, 4))


class Payload:
    """Touches ``marker`` when it is unpickled by anything that obeys."""

    def __init__(self, marker: Path, call: Any = os.system) -> None:
        self.marker, self.call = marker, call

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        shell = f"touch '{self.marker}'"
        code = f"open({str(self.marker)!r}, 'w')"
        return self.call, (shell if self.call is os.system else code,)


class Crafted:
    """Pickles as the tensor, over a storage of four floats, that these arguments rebuild, with ``state`` set on it or, ``of_class``, on
    what rebuilds it."""

    def __init__(self, offset: int, shape: tuple[int, ...], stride: tuple[int, ...], state: Any = None, of_class: bool = False):
        self.place, self.state, self.of_class = (offset, shape, stride), state, of_class

    def __reduce__(self) -> tuple[Any, ...]:
        if self.of_class:
            rebuild = torch._utils._rebuild_tensor_v2
            return torch._utils._rebuild_parameter, (rebuild, False, OrderedDict()), (None, self.state)
        given = (torch.arange(4.0)._typed_storage(), *self.place, False, OrderedDict())
        return torch._utils._rebuild_tensor_v2, given, self.state


def weights() -> dict[str, torch.Tensor]:
    return {"layer.weight": torch.arange(64.0).reshape(8, 8), "layer.bias": torch.ones(8)}


def rezip(source: bytes, change: Callable[[zipfile.ZipFile, zipfile.ZipInfo, bytes], None]) -> bytes:
    """A zip anew, each entry written by ``change``."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(source)) as old, zipfile.ZipFile(buffer, "w") as new:
        for entry in old.infolist():
            change(new, entry, old.read(entry))
    return buffer.getvalue()


def saved(content: Any, legacy: bool = False) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def keep(new: zipfile.ZipFile, entry: zipfile.ZipInfo, content: bytes) -> None:
    new.writestr(entry.filename, content)


def put(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def reduce_in_zip(folder: Path, marker: Path) -> Path:
    return put(folder, "a.pth", saved({**weights(), "payload": Payload(marker)}))


def reduce_in_legacy(folder: Path, marker: Path) -> Path:
    return put(folder, "a.pth", saved({**weights(), "payload": Payload(marker)}, legacy=True))


def reduce_of_exec(folder: Path, marker: Path) -> Path:
    return put(folder, "a.pth", saved({**weights(), "payload": Payload(marker, exec)}))


def bare_pickle(folder: Path, marker: Path) -> Path:
    return put(folder, "a.pkl", pickle.dumps(Payload(marker, eval)))


def payload_before_the_magic_number(folder: Path, marker: Path) -> Path:
    return put(folder, "a.pth", pickle.dumps(Payload(marker), protocol=2) + saved(weights(), legacy=True))


def deflate_bomb(folder: Path, marker: Path) -> Path:
    def deflate(new: zipfile.ZipFile, entry: zipfile.ZipInfo, content: bytes) -> None:
        new.writestr(entry.filename, content, compress_type=zipfile.ZIP_DEFLATED)

    return put(folder, "a.pth", rezip(saved({"w": torch.zeros(50_000_000, dtype=torch.uint8)}), deflate))


def terabyte_in_zip(folder: Path, marker: Path) -> Path:
    def enlarge(new: zipfile.ZipFile, entry: zipfile.ZipInfo, content: bytes) -> None:
        old, big = b"\x4b\x40", b"\x8a\x06" + struct.pack("<Q", TERABYTE)[:6]  # BININT1 64, LONG1 of six bytes
        new.writestr(entry.filename, content.replace(old, big) if entry.filename.endswith("data.pkl") else content)

    return put(folder, "a.pth", rezip(saved(weights()), enlarge))


def terabyte_in_legacy(folder: Path, marker: Path) -> Path:
    content = saved({"w": torch.arange(64.0)}, legacy=True)
    return put(folder, "a.pth", content.replace(b"\x4b\x40", b"\x8a\x06" + struct.pack("<Q", TERABYTE)[:6]))


def terabyte_in_directory(folder: Path, marker: Path) -> Path:
    content = bytearray(saved(weights()))
    place = content.rindex(b"PK\x01\x02")
    content[place + 20 : place + 28] = struct.pack("<II", 0xFFFFFFF0, 0xFFFFFFF0)
    return put(folder, "a.pth", bytes(content))


def terabyte_by_stride(folder: Path, marker: Path) -> Path:
    return put(folder, "a.pth", saved({"w": torch.ones(1).expand(TERABYTE)}))


def duplicate_data_pkl(folder: Path, marker: Path) -> Path:
    evil = pickle.dumps(Payload(marker), protocol=2)

    def twice(new: zipfile.ZipFile, entry: zipfile.ZipInfo, content: bytes) -> None:
        new.writestr(entry.filename, content)
        if entry.filename.endswith("data.pkl"):
            new.writestr(entry.filename, evil)

    return put(folder, "a.pth", rezip(saved(weights()), twice))


def case_mangled_data_pkl(folder: Path, marker: Path) -> Path:
    evil = pickle.dumps(Payload(marker), protocol=2)

    def mangled(new: zipfile.ZipFile, entry: zipfile.ZipInfo, content: bytes) -> None:
        if entry.filename.endswith("data.pkl"):
            new.writestr(entry.filename.replace("data.pkl", "DATA.pkl"), evil)
        new.writestr(entry.filename, content)

    return put(folder, "a.pth", rezip(saved(weights()), mangled))


def overlapping_entries(folder: Path, marker: Path) -> Path:
    content = bytearray(saved(weights()))
    first = content.index(b"PK\x01\x02")
    second = content.index(b"PK\x01\x02", first + 4)
    content[second + 42 : second + 46] = content[first + 42 : first + 46]
    return put(folder, "a.pth", bytes(content))


def truncated(folder: Path, marker: Path) -> Path:
    content = saved(weights())
    return put(folder, "a.pth", content[: len(content) // 2])


def safetensors(header: Any, data: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(start: int, end: int, shape: list[int], dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def overlap(folder: Path, marker: Path) -> Path:
    header = {"a": entry(0, 8, [2]), "b": entry(4, 12, [2])}
    return put(folder, "a.safetensors", safetensors(header, bytes(12)))


def hole(folder: Path, marker: Path) -> Path:
    header = {"a": entry(0, 4, [1]), "b": entry(8, 12, [1])}
    return put(folder, "a.safetensors", safetensors(header, bytes(12)))


def shape_overflow(folder: Path, marker: Path) -> Path:
    return put(folder, "a.safetensors", safetensors({"a": entry(0, 4, [2**62, 4, 2**62])}, bytes(4)))


def duplicate_name(folder: Path, marker: Path) -> Path:
    one = json.dumps(entry(0, 4, [1]))
    return put(folder, "a.safetensors", safetensors(f'{{"a": {one}, "a": {one}}}'.encode(), bytes(4)))


def endless_header(folder: Path, marker: Path) -> Path:
    return put(folder, "a.safetensors", (TERABYTE).to_bytes(8, "little") + b"{}")


def truncated_safetensors(folder: Path, marker: Path) -> Path:
    return put(folder, "a.safetensors", safetensors({"a": entry(0, 400, [100])}, bytes(200)))


def symlinked_shard(folder: Path, marker: Path) -> Path:
    outside = folder.parent / f"{folder.name}-outside.safetensors"
    outside.write_bytes(safetensors({"a": entry(0, 4, [1])}, bytes(4)))
    (folder / "model-00001-of-00001.safetensors").symlink_to(outside)
    index = {"metadata": {}, "weight_map": {"a": "model-00001-of-00001.safetensors"}}
    return put(folder, "model.safetensors.index.json", json.dumps(index).encode())


def shard_by_traversal(folder: Path, marker: Path) -> Path:
    (folder.parent / f"{folder.name}.safetensors").write_bytes(safetensors({"a": entry(0, 4, [1])}, bytes(4)))
    index = {"metadata": {}, "weight_map": {"a": f"../{folder.name}.safetensors"}}
    return put(folder, "model.safetensors.index.json", json.dumps(index).encode())


def flipped_bit_in_an_own_file(folder: Path, marker: Path) -> Path:
    save_model(SwinClassifier(TINY), folder / "own")
    path = folder / "own" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(bytes(content))
    return folder / "own"


HOSTILE: tuple[Callable[[Path, Path], Path], ...] = (
    reduce_in_zip, reduce_in_legacy, reduce_of_exec, bare_pickle, payload_before_the_magic_number, deflate_bomb, terabyte_in_zip,
    terabyte_in_legacy, terabyte_in_directory, terabyte_by_stride, duplicate_data_pkl, case_mangled_data_pkl, overlapping_entries,
    truncated, overlap, hole, shape_overflow, duplicate_name, endless_header, truncated_safetensors, symlinked_shard,
    shard_by_traversal, flipped_bit_in_an_own_file,
)  # fmt: skip
