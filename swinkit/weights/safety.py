"""What a foreign weight file says of itself, checked before anything in it is unpickled or memory is taken for it.

A file that torch wrote is a zip whose entries are stored, not compressed, one after the other, or (before torch 1.6) a row of pickles with
the storages behind them. Whatever two readers could read in two ways is refused: a name twice, entries over each other, bytes outside.
"""

from __future__ import annotations

import json
import math
import re
import struct
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any, NoReturn

from ..errors import WeightsError

ZIP_MAGIC, LOCAL_HEADER, END_OF_DIRECTORY = b"PK\x03\x04", 30, 22
POINTER = b"version https://git-lfs"
MOST_ENTRIES = 100_000  # Swin V2-G has some 700 tensors; with an optimiser's state three times that
MOST_PICKLE = 64 << 20  # bytes of data.pkl, which holds names and shapes
MOST_HEADER = 16 << 20  # bytes of JSON before the tensors of a safetensors file
ENTRY = re.compile(r"(data\.pkl|byteorder|version|data/[\w.-]+|\.data/serialization_id|\.format_version|\.storage_alignment)")
SAFETENSORS_BITS = {
    "F64": 64, "F32": 32, "F16": 16, "BF16": 16, "I64": 64, "I32": 32, "I16": 16, "I8": 8, "U64": 64, "U32": 32, "U16": 16, "U8": 8,
    "BOOL": 8, "F8_E4M3": 8, "F8_E5M2": 8, "C64": 64,
}  # fmt: skip


def check_pointer(path: Path) -> None:
    """Raise :class:`WeightsError` for what Git LFS leaves of a large file in a clone, which would be taken for a damaged one."""
    with open(path, "rb") as file:
        found = file.read(len(POINTER)) == POINTER
    if found:
        raise WeightsError(
            f"{path} is a Git LFS pointer, not the file that it stands for. Mend: git lfs pull in its clone, or name the repository, hf-hub:org/name"
        )


def is_archive(path: Path) -> bool:
    """Whether torch will take the file for a zip: it looks at the first four bytes."""
    with open(path, "rb") as file:
        return file.read(4) == ZIP_MAGIC


def check_archive(path: Path) -> dict[str, tuple[int, int]]:
    """First byte and number of bytes of each entry of a zip that torch wrote, by name without the folder's.

    Nothing is unpacked: compression, overlaps and double names show in the directory and in the local headers. Raises
    :class:`WeightsError` for any zip that torch would not write.
    """
    try:
        with open(path, "rb") as file, zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            if len(entries) > MOST_ENTRIES:
                refuse_file(path, f"it has {len(entries):,} entries, more than {MOST_ENTRIES:,}")
            _check_names(path, [entry.filename for entry in entries])
            for entry in entries:
                _check_entry(path, entry)
            places = _check_places(path, file, entries, archive.start_dir)
    except (zipfile.BadZipFile, struct.error, ValueError, OverflowError, NotImplementedError) as fault:
        raise WeightsError(f"{path} is not a whole PyTorch file ({fault}). Mend: copy or download it again") from None
    return {entry.filename.partition("/")[2]: (places[entry.filename], entry.file_size) for entry in entries}


def check_safetensors(path: Path) -> None:
    """Raise :class:`WeightsError` unless the header describes every byte of the file once, each name once, every shape exactly."""
    total = path.stat().st_size
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if total < 8 or length > total - 8:
            refuse_file(path, f"its header is said to have {length:,} bytes, and the file has {total:,}")
        if length > MOST_HEADER:
            refuse_file(path, f"its header has {length:,} bytes, more than {MOST_HEADER:,}")
        header = _parse_header(path, file.read(length))
    spans = [_span(path, name, entry) for name, entry in header.items() if name != "__metadata__"]
    place = 0
    for start, end, name in sorted(spans):
        if start != place:
            refuse_file(
                path, f"tensor {name!r} begins at byte {start:,}, where {place:,} was expected: tensors overlap or leave a hole"
            )
        place = end
    if place != total - 8 - length:
        refuse_file(path, f"its tensors have {place:,} bytes by the header, and {total - 8 - length:,} are there")


def check_link(path: Path) -> None:
    """Raise :class:`WeightsError` for a link that leaves its folder, but for those that the hub's cache makes to its own ``blobs``."""
    real, folder = path.resolve(), path.parent.resolve()
    blobs = folder.parent.parent / "blobs"
    inside_cache = folder.parent.name == "snapshots" and real.parent == blobs
    if path.is_symlink() and real.parent != folder and not inside_cache:
        raise WeightsError(f"{path} is refused: it is a link out of its folder, to {real}. Mend: give that path")


def shards(index: Path) -> list[Path]:
    """Files that the index of a model in several safetensors files names; raises :class:`WeightsError` if one is not beside it."""
    try:
        names = json.loads(index.read_bytes(), object_pairs_hook=_once)["weight_map"].values()
        names = sorted({*names})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as fault:
        refuse_file(index, f"it is no index of shards: {fault}")
    for name in names:
        if not isinstance(name, str) or Path(name).name != name or "\\" in name or not name.endswith((".safetensors", ".bin")):
            refuse_file(index, f"it names {name!r}; expected the name of a file of weights beside it")
        check_link(index.parent / name)
        if not (index.parent / name).is_file():
            refuse_file(index, f"its part {name} is missing")
    return [index.parent / name for name in names]


def _check_names(path: Path, names: list[str]) -> None:
    roots = {name.partition("/")[0] for name in names}
    inner = [name.partition("/")[2] for name in names]
    if len({name.casefold() for name in names}) != len(names):
        refuse_file(path, "its directory holds a name twice, so that readers could disagree about what is in it")
    if "constants.pkl" in inner or any(name.startswith("code/") for name in inner):
        refuse_file(path, "it is a TorchScript program, not weights")
    strange = [name for name, rest in zip(names, inner, strict=True) if not ENTRY.fullmatch(rest)]
    if strange or len(roots) != 1:
        refuse_file(path, f"torch.save writes no such entries: {', '.join(map(repr, strange[:3] or sorted(roots)[:3]))}")
    if "data.pkl" not in inner:
        refuse_file(path, "it has no data.pkl")


def _check_entry(path: Path, entry: zipfile.ZipInfo) -> None:
    if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
        refuse_file(
            path,
            f"entry {entry.filename!r} is compressed ({entry.compress_size:,} to {entry.file_size:,} bytes), which torch never does",
        )
    if entry.flag_bits & 0x1:
        refuse_file(path, f"entry {entry.filename!r} is encrypted")
    if entry.filename.endswith("/data.pkl") and entry.file_size > MOST_PICKLE:
        refuse_file(path, f"its data.pkl has {entry.file_size:,} bytes, more than {MOST_PICKLE:,}")


def _check_places(path: Path, file: IO[bytes], entries: list[zipfile.ZipInfo], directory: int) -> dict[str, int]:
    place, places = 0, {}
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        if entry.header_offset < place or (place == 0 and entry.header_offset != 0):
            refuse_file(path, f"entry {entry.filename!r} overlaps another, or bytes stand before the first")
        file.seek(entry.header_offset)
        header = file.read(LOCAL_HEADER)
        name_bytes, extra_bytes = struct.unpack("<HH", header[26:30])
        method = struct.unpack("<H", header[8:10])[0]
        name = file.read(name_bytes)
        if header[:4] != ZIP_MAGIC or name != entry.filename.encode() or method != zipfile.ZIP_STORED:
            refuse_file(path, f"entry {entry.filename!r} is called otherwise in the directory than where it stands")
        places[entry.filename] = entry.header_offset + LOCAL_HEADER + name_bytes + extra_bytes
        place = places[entry.filename] + entry.file_size
    if place > directory:
        refuse_file(path, "its entries reach into its directory")
    file.seek(-END_OF_DIRECTORY, 2)
    if file.read(4) != b"PK\x05\x06":
        refuse_file(path, "bytes stand behind its end")
    return places


def _parse_header(path: Path, content: bytes) -> dict[str, Any]:
    try:
        header = json.loads(content, object_pairs_hook=_once)
    except (ValueError, RecursionError) as fault:
        refuse_file(path, f"its header is not JSON with each name once: {fault}")
    if not isinstance(header, dict):
        refuse_file(path, "its header is no JSON object")
    return header


def _span(path: Path, name: str, entry: Any) -> tuple[int, int, str]:
    try:
        (start, end), shape, bits = entry["data_offsets"], entry["shape"], SAFETENSORS_BITS[entry["dtype"]]
    except (KeyError, TypeError, ValueError):
        refuse_file(path, f"tensor {name!r} is described by {str(entry)[:80]}; expected dtype, shape and data_offsets")
    if not all(type(value) is int and 0 <= value < 2**63 for value in (start, end, *shape)):
        refuse_file(path, f"tensor {name!r} has impossible sizes: shape {shape}, bytes {start} to {end}")
    if math.prod(shape) * bits != (end - start) * 8:
        refuse_file(
            path, f"tensor {name!r} of shape {shape} and type {entry['dtype']} does not fill bytes {start:,} to {end:,}"
        )
    return start, end, name


def _once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    answer: dict[str, Any] = {}
    for name, value in pairs:
        if name in answer:
            raise ValueError(f"{name!r} stands twice")
        answer[name] = value
    return answer


def refuse_file(path: Path, reason: str) -> NoReturn:
    """Raise :class:`WeightsError` against the file at ``path``, with the remedy."""
    raise WeightsError(
        f"{path} is refused: {reason}. Mend: download it again from its origin, or save the weights as safetensors"
    )
