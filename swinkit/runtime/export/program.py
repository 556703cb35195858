"""Reading a torch.export archive without running anything in it.

``torch.export.load`` unpickles, evaluates expressions and looks functions up by any name that the file holds. So the file is
read here first, and handed on only when it is made of what a traced Swin consists of: raw tensors, operators of aten,
arithmetic on sizes.
"""

from __future__ import annotations

import io
import json
import pickletools
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...errors import WeightsError

MEMBERS = re.compile(
    r"(data/weights/(weight_\d+|model_weights_config\.json)|data/constants/(tensor_\d+|model_constants_config\.json)"
    r"|models/model\.json|data/sample_inputs/model\.pt|archive_format|archive_version|byteorder|\.data/(version|serialization_id))"
)
CONFIGS = ("data/weights/model_weights_config.json", "data/constants/model_constants_config.json")
OPERATORS = re.compile(r"torch\.ops\.aten\.\w+\.\w+|_operator\.(add|sub|mul|floordiv|mod|neg|getitem)|torch\.sym_(min|max)")
EXPRESSION = re.compile(
    r"(Add|Mul|FloorDiv|Mod|PythonMod|Max|Min|Symbol\('\w+'(, (positive|nonnegative|integer)=True)*\)|Integer\(-?\d+\)|[(),\s])*"
)
INERT = {
    "PROTO",
    "EMPTY_TUPLE",
    "EMPTY_DICT",
    "NONE",
    "TUPLE1",
    "TUPLE2",
    "MARK",
    "TUPLE",
    "BINPUT",
    "MEMOIZE",
    "FRAME",
    "STOP",
}


def load_program(content: bytes, path: Path) -> Any:
    """The ``torch.export.ExportedProgram`` in ``content``. Raises :class:`WeightsError` for one that is not plain; ``path`` names it."""
    try:
        refuse_active(content)
    except (ValueError, KeyError, TypeError, zipfile.BadZipFile) as fault:
        raise WeightsError(
            f"{path} is refused: {fault}. Expected a graph that swinkit exported. Mend: export it again"
        ) from None
    import torch

    return torch.export.load(io.BytesIO(content))


def refuse_active(content: bytes) -> None:
    """Raise ``ValueError`` for an archive in which anything but tensors, aten's operators and sizes is named."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name.partition("/")[2]: name for name in archive.namelist()}
        if len(members) != len(archive.namelist()):
            raise ValueError("a file lies in it twice")
        for name in members:
            if not MEMBERS.fullmatch(name):
                raise ValueError(f"it holds {name!r}, which no graph needs")
        for name in CONFIGS:
            for entry in json.loads(archive.read(members[name]))["config"].values():
                if entry["use_pickle"] is not False or not re.fullmatch(r"(weight|tensor)_\d+", entry["path_name"]):
                    raise ValueError("a tensor in it is a pickle, which can run a program")
        _refuse_pickle(archive.read(members["data/sample_inputs/model.pt"]))
        _refuse_names(json.loads(archive.read(members["models/model.json"])))


def _refuse_pickle(content: bytes) -> None:
    """The sample inputs are a pickle by design; swinkit writes none, and what remains builds empty tuples only."""
    if not content:
        return
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
        used = {opcode.name for opcode, _, _ in pickletools.genops(archive.read(name))}
    if used - INERT:
        raise ValueError(f"its sample inputs are a pickle that does more than nothing ({', '.join(sorted(used - INERT))})")


def _refuse_names(model: Any) -> None:
    if model.get("guards_code"):
        raise ValueError("it holds guards, which are program text")
    for key, value in _strings(model, ""):
        if key in ("target", "as_operator") and not OPERATORS.fullmatch(value):
            raise ValueError(f"it calls {value[:100]!r}, which is no operator of a Swin")
        if key == "expr_str" and not EXPRESSION.fullmatch(value):
            raise ValueError(f"it computes a size by {value[:100]!r}, which is no arithmetic")
        if key in ("as_custom_obj", "custom_obj", "class_fqn"):
            raise ValueError(f"it holds an object of class {value[:100]!r}")


def _strings(value: Any, key: str) -> Iterator[tuple[str, str]]:
    """Every string below ``value``, with the key under which it lies."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _strings(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner, key)
    elif isinstance(value, str):
        yield key, value
