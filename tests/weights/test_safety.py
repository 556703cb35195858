"""Files made to harm whoever loads them are refused, nothing in them runs, and honest ones are read to the bit."""

from __future__ import annotations

import argparse
import collections
import json
import os
import random
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

import swinkit
from swinkit.errors import WeightsError
from swinkit.model.classifier import SwinClassifier
from swinkit.variants import configure
from swinkit.weights.files import read_model, save_model
from swinkit.weights.safety import check_archive, check_link, check_safetensors, shards
from swinkit.weights.unpickling import unpickle_apart

from . import hostile
from .hostile import HOSTILE, keep, put, rezip, saved, weights

SOAK = bool(os.environ.get("SWINKIT_SOAK"))
GIGABYTE = 1 << 30


def read(path: Path) -> object:
    """As loading does: by what the path is."""
    if path.is_dir():
        return read_model(path)
    if path.suffix == ".json":
        return [check_safetensors(shard) for shard in shards(path)]
    return check_safetensors(path) if path.suffix == ".safetensors" else unpickle_apart(path)


def refused(make: Callable[[Path, Path], Path], folder: Path) -> str:
    """What :func:`read` says against the file that ``make`` makes, after a look for its marker."""
    marker = folder / "marker"
    with pytest.raises(WeightsError) as fault:
        read(make(folder, marker))
    assert not marker.exists()
    return str(fault.value)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("make", HOSTILE, ids=lambda make: make.__name__)
def test_hostile_files_are_refused(make: Callable[[Path, Path], Path], tmp_path: Path) -> None:
    assert "Mend" in refused(make, tmp_path) or make is hostile.terabyte_by_stride


@pytest.mark.parametrize("name", ["it.safetensors", "it.pth", "model/model.safetensors"])
def test_a_pointer_of_git_lfs_is_told_as_one(name: str, tmp_path: Path) -> None:
    save_model(SwinClassifier(configure("swin_t", depths=(1, 1), num_heads=(1, 2), embed_dim=8)), tmp_path / "model")
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0f' * 32}\nsize 113429204\n"
    (tmp_path / name).write_text(pointer)
    with pytest.raises(WeightsError, match=r"is a Git LFS pointer.*Mend: git lfs pull .* hf-hub:org/name"):
        swinkit.load(tmp_path / name)


def test_payloads_do_run_where_nobody_guards(tmp_path: Path) -> None:
    path = hostile.reduce_in_zip(tmp_path, tmp_path / "marker")
    torch.load(path, weights_only=False)
    assert (tmp_path / "marker").exists()


@pytest.mark.parametrize("make", [hostile.reduce_in_zip, hostile.reduce_in_legacy], ids=["zip", "legacy"])
def test_fault_23_a_reduce_payload_is_named_and_not_called(make: Callable[[Path, Path], Path], tmp_path: Path) -> None:
    assert "system" in refused(make, tmp_path)


@pytest.mark.timeout(7200)  # for all 10,000
def test_fault_24_damaged_files_end_in_a_refusal_or_in_tensors(tmp_path: Path) -> None:
    draw = random.Random(24)
    originals = [saved({"model": weights(), "config": {"a": [1, 2]}}, legacy) for legacy in (False, True)]
    read, refusals = 0, 0
    for repeat in range(10_000 if SOAK else 30):
        content = bytearray(originals[repeat % 2])
        for _ in range(draw.choice((1, 1, 4, 30))):
            content[draw.randrange(len(content))] = draw.randrange(256)
        path = put(tmp_path, "fuzzed.pth", bytes(content[: draw.choice((len(content), draw.randrange(1, len(content))))]))
        try:
            state, _ = unpickle_apart(path)
        except WeightsError:
            refusals += 1
            continue
        for tensor in state.values():
            tensor.double().sum().item()  # every value can be read: none lies outside of the file
        read += 1
    assert read > 0
    assert refusals > 0


def test_fault_24_a_reader_that_dies_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swinkit.weights.unpickling.START", "import os; os.kill(os.getpid(), 11)")
    with pytest.raises(WeightsError, match="SIGSEGV"):
        unpickle_apart(put(tmp_path, "a.pth", saved(weights())))


def test_fault_25_sizes_are_read_from_the_directory(tmp_path: Path) -> None:
    assert "compressed" in refused(hostile.deflate_bomb, tmp_path)
    assert "declared" in refused(hostile.terabyte_in_zip, tmp_path)
    assert "declared" in refused(hostile.terabyte_in_legacy, tmp_path)


def test_fault_25_a_pickle_that_takes_memory_meets_its_cap(tmp_path: Path) -> None:
    evil = b"\x80\x02" + b"r\xff\xff\xff\x7f".join([b"]", b""]) + b"."  # one item, memoised in place two billion
    path = put(
        tmp_path,
        "a.pth",
        rezip(saved(weights()), lambda new, entry, old: keep(new, entry, evil if "pkl" in entry.filename else old)),
    )
    with pytest.raises(WeightsError):
        unpickle_apart(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("make", [hostile.duplicate_data_pkl, hostile.case_mangled_data_pkl], ids=["duplicate", "case"])
def test_fault_26_two_data_pkl_are_refused(make: Callable[[Path, Path], Path], tmp_path: Path) -> None:
    assert "twice" in refused(make, tmp_path)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (hostile.overlap, "overlap"),
        (hostile.hole, "hole"),
        (hostile.duplicate_name, "twice"),
        (hostile.shape_overflow, "does not fill"),
    ],
)
def test_fault_27_every_byte_of_safetensors_has_one_owner(
    make: Callable[[Path, Path], Path], reason: str, tmp_path: Path
) -> None:
    assert reason in refused(make, tmp_path)


# VmHWM, for getrusage would count what the process was before it became Python
MEASURE = """
import sys
from pathlib import Path
from swinkit.errors import WeightsError
from swinkit.weights import unpickling
from tests.weights.test_safety import read

NOTE = '''import os; end = os._exit
def told(code):
    with open({peaks!r}, 'a') as file:
        file.write(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')))
    end(code)
os._exit = told
'''
peaks, *paths = sys.stdin.read().splitlines()
unpickling.START = NOTE.replace('{peaks!r}', repr(peaks)) + unpickling.START
refused = 0
for path in paths:
    try:
        read(Path(path))
    except WeightsError:
        refused += 1
print(refused, next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peak memory is read in kilobytes, and capped, on Linux")
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_the_hostile_set_takes_less_than_a_gigabyte(tmp_path: Path) -> None:
    paths, peaks = [], tmp_path / "peaks"
    for make in HOSTILE:
        (tmp_path / make.__name__).mkdir()
        paths.append(str(make(tmp_path / make.__name__, tmp_path / "marker")))
    done = subprocess.run(
        [sys.executable, "-c", MEASURE], input="\n".join([str(peaks), *paths]), capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    count, own = map(int, done.stdout.split())
    readers = [int(line.split()[1]) for line in peaks.read_text("ascii").splitlines()]
    assert count == len(HOSTILE) >= 20
    assert len(readers) >= 5
    assert (own + max(readers)) * 1024 < GIGABYTE
    assert not (tmp_path / "marker").exists()


@pytest.fixture
def config_node(monkeypatch: pytest.MonkeyPatch) -> Any:
    """yacs's CfgNode as its pickles know it: a dict with attributes."""
    module = types.ModuleType("yacs.config")

    class CfgNode(dict):
        def __init__(self, content: dict[str, Any]) -> None:
            super().__init__(content)
            self.__dict__["__immutable__"] = True

        def __setstate__(self, state: Any) -> None:
            raise AssertionError("code of the file's class ran")

    CfgNode.__module__, CfgNode.__qualname__ = "yacs.config", "CfgNode"
    module.CfgNode = CfgNode  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "yacs", types.ModuleType("yacs"))
    monkeypatch.setitem(sys.modules, "yacs.config", module)
    return CfgNode


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_microsofts_checkpoints_load_with_their_configuration(config_node: Any, legacy: bool, tmp_path: Path) -> None:
    config = config_node({"MODEL": config_node({"NAME": "swin", "DEPTHS": [2, 2]})})
    checkpoint = {
        "model": weights(), "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}}, "config": config, "epoch": 300,
        "max_accuracy": numpy.float64(81.2), "args": argparse.Namespace(lr=1.0), "log": collections.defaultdict(list, {"a": [1]}),
    }  # fmt: skip
    state, beside = unpickle_apart(put(tmp_path, "swin.pth", saved(checkpoint, legacy)))
    assert beside["config"] == {"MODEL": {"NAME": "swin", "DEPTHS": [2, 2]}}
    assert beside["epoch"] == 300
    assert all(torch.equal(state[name], tensor) for name, tensor in weights().items())


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_every_type_and_view_comes_back_to_the_bit(legacy: bool, tmp_path: Path) -> None:
    base = torch.arange(24.0).reshape(4, 6)
    state = {
        "transposed": base.t(), "part": base[1:3, 2:], "shared": base, "parameter": torch.nn.Parameter(base.clone()),
        "empty": torch.empty(0, 3), "scalar": torch.tensor(7), "flags": torch.tensor([True, False]),
        **{str(dtype): torch.arange(5).to(dtype) for dtype in (torch.float16, torch.bfloat16, torch.float64, torch.int8, torch.uint8)},
    }  # fmt: skip
    read, beside = unpickle_apart(put(tmp_path, "a.pth", saved(state, legacy)))
    assert list(read) == list(state)
    assert beside == {}
    for name, tensor in state.items():
        assert read[name].dtype == tensor.dtype
        assert torch.equal(read[name], tensor.detach())


def test_entries_that_lie_anywhere_are_read(tmp_path: Path) -> None:
    state, _ = unpickle_apart(put(tmp_path, "a.pth", rezip(saved(weights()), keep)))
    assert all(torch.equal(state[name], tensor) for name, tensor in weights().items())


def test_bytes_before_or_behind_an_archive_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="behind its end"):
        check_archive(put(tmp_path, "a.pth", saved(weights()) + b"more"))
    with pytest.raises(WeightsError):
        check_archive(put(tmp_path, "b.pth", saved(weights())[:4] + saved(weights())))


def test_what_stands_beside_the_weights_cannot_unfold_without_end(tmp_path: Path) -> None:
    nested: list[Any] = []
    for _ in range(7):
        nested = [nested] * 1000
    _, beside = unpickle_apart(put(tmp_path, "a.pth", saved({"model": weights(), "laughs": nested})))
    assert len(json.dumps(beside)) < 1 << 20


BEYOND, UNSEEN = 2**70, {"objections": collections.OrderedDict}


@pytest.mark.parametrize(
    "content",
    [
        [hostile.Crafted(0, (0, BEYOND), (1, 1))],
        [hostile.Crafted(0, (1, 4), (BEYOND, 1))],
        [hostile.Crafted(BEYOND, (0,), (1,))],
        [hostile.Crafted(0, (10**6,), (1,), UNSEEN)],
        [hostile.Crafted(0, (10**6,), (1,), UNSEEN, of_class=True), hostile.Crafted(0, (10**6,), (1,))],
    ],
    ids=["shape", "stride", "offset", "tensor-that-checks-nothing", "class-that-checks-nothing"],
)
def test_no_tensor_reaches_beyond_its_storage_nor_loses_its_checks(tmp_path: Path, content: list[Any]) -> None:
    path = put(tmp_path, "a.pth", saved({str(number): one for number, one in enumerate(content)}))
    with pytest.raises(WeightsError, match="Mend: download it again"):
        unpickle_apart(path)


@pytest.mark.parametrize(
    "change",
    [{"dtype": "load"}, {"dtype": "float64"}, {"start": 0}, {"count": 5}, {"shape": [5]}, {"stride": [BEYOND]}, {"offset": -1}],
)
def test_an_answer_of_the_reader_that_a_file_forged_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    path = put(tmp_path, "a.pth", saved({"w": torch.arange(4.0)}))
    start, _ = check_archive(path)["data/0"]
    row = {"name": "w", "dtype": "float32", "start": start, "count": 4, "offset": 0, "shape": [4], "stride": [1]}
    monkeypatch.setattr("swinkit.weights.unpickling._ask", lambda _: {"tensors": [[*row.values()]], "beside": {}})
    assert torch.equal(unpickle_apart(path)[0]["w"], torch.arange(4.0))
    row.update(change)
    with pytest.raises(WeightsError, match="Mend: download it again"):
        unpickle_apart(path)


def test_links_of_the_hubs_cache_are_followed_and_others_are_not(tmp_path: Path) -> None:
    root = tmp_path / "models--a--b"
    for folder in (root / "blobs", root / "snapshots" / "c0ffee"):
        folder.mkdir(parents=True)
    (root / "blobs" / "1234").write_bytes(b"x")
    (tmp_path / "outside").write_bytes(b"x")
    link = root / "snapshots" / "c0ffee" / "model.safetensors"
    link.symlink_to(Path("../../blobs/1234"))
    check_link(link)
    link.unlink()
    link.symlink_to(tmp_path / "outside")
    with pytest.raises(WeightsError, match="link"):
        check_link(link)


def test_what_is_called_model_may_be_a_configuration(tmp_path: Path) -> None:
    state, beside = unpickle_apart(put(tmp_path, "a.pth", saved({"model": {"name": "swin"}, "state_dict": weights()})))
    assert state.keys() == weights().keys()
    assert beside == {"model": {"name": "swin"}}


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.uint16])
def test_a_type_that_no_swin_has_is_told_as_such(tmp_path: Path, dtype: torch.dtype) -> None:
    torch.save({"norm.weight": torch.zeros(4).to(dtype)}, tmp_path / "small.pth")
    with pytest.raises(WeightsError, match=r"of a type such as float8 or uint16; expected float64.*Mend: save them as one"):
        read(tmp_path / "small.pth")
