import errno
import hashlib
import os
import stat
import subprocess
import sys
from contextlib import nullcontext

import pytest

from swinkit.errors import SwinkitError
from swinkit.weights import atomic
from swinkit.weights.atomic import END, TEMPORARY, replacing, sha256_of, sweep_stale, write_atomically, write_json


def test_content_arrives_and_the_digest_is_its_own(tmp_path):
    path = tmp_path / "a.bin"
    assert write_atomically(path, b"old") == hashlib.sha256(b"old").hexdigest()
    assert write_atomically(path, b"new") == sha256_of(path)
    assert path.read_bytes() == b"new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.bin"]


def test_json_is_utf8_and_readable(tmp_path):
    write_json(tmp_path / "a.json", {"class": "зонт"})
    assert "зонт" in (tmp_path / "a.json").read_text("utf-8")


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_refusal_of_the_system_leaves_the_old_file_and_no_temporary(tmp_path, monkeypatch, call):
    path = tmp_path / "a.bin"
    write_atomically(path, b"old")

    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(SwinkitError, match=r"No space left on device.*unchanged.*free space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.bin"]


def test_disk_that_returns_other_bytes_is_noticed_before_the_old_file_goes(tmp_path, monkeypatch):
    path = tmp_path / "a.bin"
    write_atomically(path, b"old")

    def exchanged(file):
        file.seek(-1, os.SEEK_END)
        file.write(b"?")
        file.flush()

    monkeypatch.setattr(atomic, "sync", exchanged)
    with pytest.raises(SwinkitError, match="other bytes than were written"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"


def test_file_is_synced_before_the_rename_and_the_folder_after_it(tmp_path, monkeypatch):
    calls = []
    for name in ("fsync", "replace"):
        honest = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *args, name=name, honest=honest: (calls.append(name), honest(*args)))
    write_atomically(tmp_path / "a.bin", b"new")
    assert calls == ["fsync", "replace"] if os.name == "nt" else ["fsync", "replace", "fsync"]


def test_a_block_or_a_check_that_fails_leaves_the_old_file_and_no_temporary(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def refuse(written):
        assert written.read_bytes() == b"new"
        raise KeyError

    def refused():
        yield b"new"
        raise OSError("full")

    with pytest.raises(KeyError), replacing(path, refuse) as file:
        file.write(b"new")
    with pytest.raises(OSError, match="full"), replacing(path) as file:
        file.writelines(refused())
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.bin"]


def test_where_a_drive_has_a_cache_that_is_emptied_too(tmp_path, monkeypatch):
    fcntl, calls = pytest.importorskip("fcntl"), []
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", lambda file, call: calls.append(call))
    with replacing(tmp_path / "a.bin") as file:
        file.write(b"new")
    assert calls == [51]


@pytest.mark.skipif(os.name == "nt", reason="folders are not synced there")
@pytest.mark.parametrize(("code", "kept"), [(errno.EINVAL, True), (errno.EIO, False)])
def test_a_folder_that_is_not_synced_is_no_fault_and_a_disk_that_fails_is_one(tmp_path, monkeypatch, code, kept):
    honest = os.fsync

    def of_files(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(code, os.strerror(code))
        honest(descriptor)

    monkeypatch.setattr(os, "fsync", of_files)
    with nullcontext() if kept else pytest.raises(SwinkitError, match="failed at keeping what was just written"):
        write_atomically(tmp_path / "a.bin", b"new")
    assert (tmp_path / "a.bin").read_bytes() == b"new"


def test_sweep_takes_what_killed_writers_left_and_nothing_else(tmp_path):
    left, running, draft = (tmp_path / f"{atomic.TEMPORARY}1234567{number}-a.bin" for number in range(3))
    left.write_bytes(b"par")
    running.write_bytes(b"par")
    draft.mkdir()
    (tmp_path / "a.bin").write_bytes(b"whole")
    for path in (left, draft, tmp_path / "a.bin"):
        os.utime(path, (0, 0))
    assert sweep_stale(tmp_path) == [left]
    assert {entry.name for entry in tmp_path.iterdir()} == {running.name, draft.name, "a.bin"}
    assert sweep_stale(tmp_path, age=0, name="b.bin") == []
    assert sweep_stale(tmp_path, age=0, name="a.bin") == [running]


def test_a_draft_takes_what_killed_ones_left_and_no_running_one(tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from swinkit.weights.atomic import drafting;"
        "draft = drafting(Path(sys.argv[1])); draft.__enter__(); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "a")], check=False, timeout=100).returncode == 9
    (left,) = tmp_path.iterdir()
    with atomic.drafting(tmp_path / "a") as running:
        assert not left.exists()
        with atomic.drafting(tmp_path / "b") as other:
            assert {running, other} == {*tmp_path.iterdir()}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("elsewhere", [True, False], ids=["another machine's", "no locks"])
def test_where_no_lock_tells_a_draft_is_left_once_it_is_old(tmp_path, monkeypatch, elsewhere):
    machine = atomic._machine()
    if elsewhere:
        machine = "0000"
    else:
        monkeypatch.setattr(atomic, "_locked", lambda folder: None)
    old, young, other = (tmp_path / f"{atomic.TEMPORARY}{machine}{name}" for name in ("0000-a", "0001-a", "0000-b"))
    for draft in (old, young, other):
        draft.mkdir()
    for draft in (old, other):
        os.utime(draft, (0, 0))
    with atomic.drafting(tmp_path / "a") as running:
        assert {*tmp_path.iterdir()} == {young, other, running}


def test_a_name_may_be_as_long_as_the_system_takes(tmp_path):
    path = tmp_path / ("é" * 120 + ".csv.gz")
    write_atomically(path, b"whole")
    (tmp_path / f"{TEMPORARY}12345678-{path.name[-END:]}").touch()
    assert [path.name for path in sweep_stale(tmp_path, age=0, name=path.name)] == [f"{TEMPORARY}12345678-{path.name[-END:]}"]
    assert path.read_bytes() == b"whole"


def test_missing_folder_is_said_and_not_made(tmp_path):
    with pytest.raises(SwinkitError, match="No such file"):
        write_atomically(tmp_path / "absent" / "a.bin", b"new")
