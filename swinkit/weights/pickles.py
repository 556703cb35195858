"""The pickle in a PyTorch file, read without torch and without anything it names: what the tensors are, and where their bytes lie.

A table gives each name that a checkpoint may hold a stand-in that only keeps its arguments. Any other name ends the reading.
It happens in a process of its own with capped memory and time; see :mod:`~swinkit.weights.unpickling`.
"""

from __future__ import annotations

import json
import math
import os
import pickle
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

from ..errors import WeightsError
from .safety import check_archive, is_archive, refuse_file

AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict", "ema")
# where training scripts put the weights of a checkpoint; their average over the steps where there is no other
STATES = ("model", "state_dict", "model_state_dict", "module", "net", *AVERAGED)
TAKEN, OTHERS = "swinkit: taken", "swinkit: others"  # what is beside weights of which there are several sets
MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # how files begin that torch wrote before 1.6
HEADROOM = 384 << 20  # bytes of memory for names and shapes; those of the largest Swin with its optimiser take a fifth of it
SECONDS = 60
MOST_VALUES = 20_000  # beside the tensors

STORAGES = {
    "DoubleStorage": ("float64", 8), "FloatStorage": ("float32", 4), "HalfStorage": ("float16", 2), "BFloat16Storage": ("bfloat16", 2),
    "LongStorage": ("int64", 8), "IntStorage": ("int32", 4), "ShortStorage": ("int16", 2), "CharStorage": ("int8", 1),
    "ByteStorage": ("uint8", 1), "BoolStorage": ("bool", 1),
}  # fmt: skip
# what rebuilds tensors that have no numbers a Swin is computed with, and what they are
UNFIT = {
    "torch._utils._rebuild_tensor_v3": "of a type such as float8 or uint16",
    "torch._utils._rebuild_qtensor": "that are quantised",
}
OLD_MODULES = {"__builtin__": "builtins", "copy_reg": "copyreg"}  # as Python 2, and pickles of its protocols, call them


class Inert:
    """Stands for whatever is of no interest: takes arguments, state and items, and keeps none."""

    def __new__(cls, *_: Any) -> Inert:
        return super().__new__(cls)

    def __setstate__(self, _: Any) -> None: ...

    def __setitem__(self, _: Any, __: Any) -> None: ...

    def append(self, _: Any) -> None: ...

    def extend(self, _: Any) -> None: ...


class Storage(NamedTuple):
    key: str
    dtype: str
    item_bytes: int
    length: int


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A tensor: a storage seen from ``offset`` with ``shape`` and ``stride``, all in items.

    Frozen and with slots, since a pickle may set any attribute of what it made, methods included.
    """

    storage: Any
    offset: Any
    shape: Any
    stride: Any

    def objections(self) -> Iterator[str]:
        """Why this is no tensor within its storage."""
        numbers = (
            (self.offset, *self.shape, *self.stride)
            if isinstance(self.shape, tuple) and isinstance(self.stride, tuple)
            else (-1,)
        )
        if not isinstance(self.storage, Storage) or not all(type(number) is int and 0 <= number < 2**63 for number in numbers):
            yield "is no plain tensor"
        elif len(self.shape) != len(self.stride):
            yield f"has shape {self.shape} and strides {self.stride}"
        elif math.prod(self.shape) > self.storage.length or self.reach > self.storage.length:
            yield f"has shape {self.shape}, larger than the {self.storage.length:,} items that are stored of it"

    @property
    def reach(self) -> int:
        """Items of the storage up to the last one seen."""
        if 0 in self.shape:
            return 0
        return int(self.offset + 1 + sum((side - 1) * step for side, step in zip(self.shape, self.stride, strict=True)))


def _view(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> View:
    """The class itself is kept from pickles, which could set its attributes too."""
    return View(storage, offset, shape, stride)


def _first(view: Any = None, *_: Any) -> Any:
    return view


STAND_INS: dict[str, Any] = {
    "collections.OrderedDict": OrderedDict,
    "collections.defaultdict": lambda *_: OrderedDict(),
    "torch.Size": lambda sides=(): tuple(sides),
    "torch._utils._rebuild_tensor": _view,
    "torch._utils._rebuild_tensor_v2": _view,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    **{f"torch.{name}": name for name in STORAGES},
    **{f"torch.{dtype}": dtype for dtype, _ in STORAGES.values()},
    **dict.fromkeys(  # configurations, which are dicts
        ("yacs.config.CfgNode", "fvcore.common.config.CfgNode", "mmengine.config.config.ConfigDict", "mmcv.utils.config.ConfigDict",
         "addict.addict.Dict"), OrderedDict,
    ),
    **dict.fromkeys(
        ("argparse.Namespace", "mmengine.logging.history_buffer.HistoryBuffer", "numpy.ndarray", "numpy.dtype",
         "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar", "numpy.core.multiarray._reconstruct",
         "numpy._core.multiarray._reconstruct", "pathlib.PosixPath", "pathlib.WindowsPath", "pathlib._local.PosixPath",
         "datetime.datetime", "_codecs.encode", "torch.device", "builtins.set", "builtins.dict", "builtins.list",
         "builtins.int", "builtins.float", "collections.Counter"), Inert,
    ),
}  # fmt: skip


class Reader(pickle.Unpickler):
    """An unpickler that knows the names of ``STAND_INS`` and no others; ``storages`` are those that the pickle declares."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        super().__init__(file, encoding="latin1")  # Python 2 wrote the oldest ones
        self.path, self.storages = path, dict[str, Storage]()

    def find_class(self, module: str, name: str) -> Any:
        full = f"{OLD_MODULES.get(module, module)}.{name}"
        if full in UNFIT:
            raise WeightsError(
                f"{self.path} holds tensors {UNFIT[full]}; expected float64, float32, float16 or bfloat16. Mend: save them as one of "
                "these, torch.save({name: tensor.float() for name, tensor in model.state_dict().items()}, ...)"
            )
        if full not in STAND_INS:
            raise WeightsError(
                f"{self.path} cannot be read without running code in it, which swinkit does not do (it names {full[:100]}). Mend: where "
                "you trust it, save its weights alone, torch.save(model.state_dict(), ...), or as safetensors"
            )
        return STAND_INS[full]

    def persistent_load(self, pid: Any) -> Any:
        kind, storage, key, _, count = pid[:5]
        if kind != "storage" or storage not in STORAGES or type(count) is not int or count < 0 or any(pid[5:]):
            raise pickle.UnpicklingError(f"a storage of another kind: {str(pid)[:80]}")
        made = Storage(str(key), *STORAGES[storage], count)
        if self.storages.setdefault(made.key, made) != made:
            raise pickle.UnpicklingError(f"storage {key} is declared in two ways")
        return made


def describe(path: Path) -> dict[str, Any]:
    """What is in a PyTorch file: ``tensors`` (name, dtype, first byte in the file, count, offset, shape, stride), and ``beside``, plain
    values beside the state dict. Raises :class:`WeightsError`."""
    try:
        content, places = _read_archive(path) if is_archive(path) else _read_legacy(path)
    except (WeightsError, MemoryError):
        raise
    except Exception as fault:  # a damaged pickle may raise anything
        raise WeightsError(
            f"{path} is not a whole PyTorch file ({str(fault)[:200]}). Mend: copy or download it again"
        ) from None
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path} holds a {type(content).__name__}, expected a dict of tensors or a checkpoint with one")
    sets = [name for name in STATES if _tensors(content.get(name))]  # what is called so may be a configuration
    nested = sets[0] if sets else None
    state = _tensors(content if nested is None else content[nested])
    if not state:
        raise WeightsError(f"{path} holds no tensors by name; it has {', '.join(map(str, list(content)[:8])) or 'nothing'}")
    lines = [f"{name} {reason}" for name, view in state.items() for reason in view.objections()]
    if lines:
        refuse_file(path, "; ".join(lines[:8]))
    beside = {} if nested is None else {name: value for name, value in content.items() if name not in (*sets, TAKEN, OTHERS)}
    beside |= {TAKEN: nested, OTHERS: sets[1:]} if sets[1:] else {}
    tensors = [
        (name, view.storage.dtype, places[view.storage.key], view.storage.length, view.offset, view.shape, view.stride)
        for name, view in state.items()
    ]
    return {"tensors": tensors, "beside": _plain(beside, 8, [MOST_VALUES])}


def _tensors(content: Any) -> dict[str, View]:
    pairs = content.items() if isinstance(content, Mapping) else ()
    return {name: value for name, value in pairs if isinstance(name, str) and isinstance(value, View)}


def serve() -> None:
    """The process: describes the file ``argv[1]`` in one line of JSON on stdout."""
    path = Path(sys.argv[1])
    cap(HEADROOM)
    try:
        reply = json.dumps(describe(path))
    except WeightsError as fault:
        reply = json.dumps({"refused": str(fault)})
    except MemoryError:
        reply = json.dumps({"refused": f"{path} is refused: its names and shapes take more than {HEADROOM >> 20} MB of memory"})
    sys.stdout.write(reply)
    sys.stdout.flush()
    os._exit(0)  # nothing that the file left behind is destroyed in order


def cap(more: int) -> None:
    """Let this process take ``more`` bytes of address space than it has now, and ``SECONDS`` of the processor. Linux only."""
    if not sys.platform.startswith("linux"):
        return
    import resource

    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _read_archive(path: Path) -> tuple[Any, dict[str, int]]:
    entries = check_archive(path)
    with zipfile.ZipFile(path) as archive:
        root = archive.namelist()[0].partition("/")[0]
        if "byteorder" in entries and archive.read(f"{root}/byteorder") != b"little":
            refuse_file(path, "it was written by a big-endian machine")
        with archive.open(f"{root}/data.pkl") as file:
            reader = Reader(path, file)
            content = reader.load()
    places = {}
    for key, storage in reader.storages.items():
        start, size = entries.get(f"data/{key}", (0, -1))
        if size != storage.length * storage.item_bytes:
            found = "none" if size < 0 else f"{size:,}"
            refuse_file(
                path, f"storage {key} is declared with {storage.length * storage.item_bytes:,} bytes, and {found} are there"
            )
        places[key] = start
    return content, places


def _read_legacy(path: Path) -> tuple[Any, dict[str, int]]:
    size = path.stat().st_size
    with open(path, "rb") as file:
        magic, protocol, _ = (Reader(path, file).load() for _ in range(3))
        if (magic, protocol) != (MAGIC, PROTOCOL):
            refuse_file(path, "it does not begin as torch.save begins a file")
        reader = Reader(path, file)
        content, keys, places = reader.load(), Reader(path, file).load(), {}
        declared = sum(storage.length * storage.item_bytes for storage in reader.storages.values())
        if declared > size:
            refuse_file(path, f"its storages are declared with {declared:,} bytes, and the file has {size:,}")
        for key in keys:
            storage = reader.storages[str(key)]
            count = int.from_bytes(file.read(8), "little")
            places[storage.key] = file.tell()
            if count != storage.length or file.seek(count * storage.item_bytes, 1) > size:
                refuse_file(path, f"storage {storage.key} is declared with {storage.length:,} items, and not as many are there")
    return content, places


def _plain(value: Any, depth: int, left: list[int]) -> Any:
    """``value`` as JSON can hold it; tensors, stand-ins, and what is too deep or too much become null."""
    left[0] -= 1  # a few nested lists that share their items would otherwise unfold without end
    if left[0] < 0:
        return None
    if isinstance(value, str | bool) or (isinstance(value, int) and abs(value) < 2**63):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if depth and isinstance(value, Mapping):
        return {str(name): _plain(item, depth - 1, left) for name, item in value.items() if isinstance(name, str | int)}
    if depth and isinstance(value, list | tuple):
        return [_plain(item, depth - 1, left) for item in value]
    return None
