"""Compiled kernels as files: a damaged, foreign or slow one costs a kernel at most, and says so."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import time
from pathlib import Path

import pytest

from swinkit.kernels import build, cache, identity, mlp

pytestmark = pytest.mark.skipif(not mlp.KERNEL.available, reason=f"no native kernel here: {mlp.KERNEL.reason}")


BUILT = Path(mlp.KERNEL.reason.rpartition(" ")[2])  # a library, for tests that need no other


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for once in (build.library, build._announce):
        once.cache_clear()
    yield tmp_path
    for once in (build.library, build._announce):
        once.cache_clear()


def test_switched_off(fresh, monkeypatch):
    monkeypatch.setenv("SWINKIT_KERNELS", "0")
    assert build.library("layer_norm") == (None, "switched off by SWINKIT_KERNELS=0")


def test_no_compiler_is_no_fault(fresh, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    found, reason = build.library("layer_norm")
    assert found is None
    assert "no C++ compiler" in reason


def test_no_home_folder_is_no_fault(fresh, monkeypatch):
    def nowhere():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(build.Path, "home", nowhere)
    found, reason = build.library("layer_norm")
    assert found is None
    assert "home directory" in reason


def test_a_compiler_that_fails_is_no_fault_and_leaves_nothing(fresh, monkeypatch):
    monkeypatch.setenv("CXX", "false")
    found, reason = build.library("layer_norm")
    assert found is None
    assert "could not build it: no message" in reason
    assert list((fresh / "swinkit" / "kernels").iterdir()) == []


def test_an_error_in_the_sources_is_told_and_not_met_again(fresh, monkeypatch):
    compiler = script(
        fresh, f"echo once >> {fresh}/calls; printf 'In file included from x:\\ny.hpp:7:3: error: no such thing\\n' >&2; exit 1"
    )
    monkeypatch.setenv("CXX", compiler)
    first = build.library("layer_norm")
    build.library.cache_clear()
    again = build.library("layer_norm")
    assert first == (None, f"{compiler} could not build it: y.hpp:7:3: error: no such thing")
    assert again[1].startswith(f"{first[1]} (tried before; to try again, remove ")
    assert (fresh / "calls").read_text().split() == ["once"]
    assert identity.states()["layer_norm"] == "y.hpp:7:3: error: no such thing"


@pytest.mark.parametrize(
    "said", ["g++: fatal error: Killed signal terminated program cc1plus", "x.hpp:9:10: fatal error: omp.h: No such file"]
)
def test_what_may_have_been_mended_since_is_tried_again(fresh, monkeypatch, said):
    monkeypatch.setenv("CXX", script(fresh, f"echo once >> {fresh}/calls; echo '{said}' >&2; exit 1"))
    for _ in range(2):
        assert said in build.library("layer_norm")[1]
        build.library.cache_clear()
    assert len((fresh / "calls").read_text().split()) == 2


def test_compiled_once_and_kept(fresh):
    found, reason = build.library("layer_norm")
    assert found is not None, reason
    (kept,) = (fresh / "swinkit" / "kernels").iterdir()
    stamp = kept.stat().st_mtime_ns
    build.library.cache_clear()
    assert build.library("layer_norm")[0] is not None
    assert kept.stat().st_mtime_ns == stamp


@pytest.mark.parametrize("given", [" ", 'g++ "', "no-such-compiler -O1"])
def test_what_names_no_compiler_is_no_fault(fresh, monkeypatch, given):
    monkeypatch.setenv("CXX", given)
    found, reason = build.library("layer_norm")
    assert found is None
    assert reason == f"CXX={given!r} names no C++ compiler"


def script(folder: Path, text: str) -> str:
    """The path of a compiler that does what ``text`` says."""
    path = folder / "compiler"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def gone(number: int) -> bool:
    """Whether the process of that number has ended, within some seconds."""
    for _ in range(50):
        try:
            if Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
            os.kill(number, 0)
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.1)
    return False


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks /proc")
def test_a_compiler_that_takes_too_long_ends_with_its_children_and_is_not_tried_again(fresh, monkeypatch, capfd):
    monkeypatch.setenv("CXX", script(fresh, f"sleep 100 & echo $! >> {fresh}/children; wait"))
    monkeypatch.setattr(build, "PATIENCE", 0.3)
    monkeypatch.setattr(build, "COMPILE_TIMEOUT", 1)
    found, reason = build.library("layer_norm")
    assert found is None
    assert "takes longer than 1 s" in reason
    (child,) = (fresh / "children").read_text().split()
    assert gone(int(child))
    assert capfd.readouterr().err.count("swinkit: compiling its kernels") == 1
    (note,) = (fresh / "swinkit" / "kernels").iterdir()
    build.library.cache_clear()
    assert f"to try again, remove {note}" in build.library("layer_norm")[1]
    assert len((fresh / "children").read_text().split()) == 1
    note.unlink()
    build.library.cache_clear()
    build.library("layer_norm")
    assert len((fresh / "children").read_text().split()) == 2


def test_a_library_that_cannot_be_loaded_is_not_made_again_and_again(fresh, monkeypatch):
    monkeypatch.setenv("CXX", script(fresh, f"echo once >> {fresh}/calls"))
    for _ in range(2):
        found, reason = build.library("layer_norm")
        assert found is None
        assert "cannot be loaded" in reason
        build.library.cache_clear()
    assert (fresh / "calls").read_text().split() == ["once"]


@pytest.fixture
def kept(fresh):
    """A file of the cache, and a function that opens it; ``made`` grows by one whenever it is built."""
    made = []

    def opened():
        return cache.opened("gelu-key", ("gelu_forward",), lambda path: made.append(shutil.copy(BUILT, path)))

    return opened()[1], opened, made


def test_what_is_whole_is_not_built_again(kept):
    path, opened, made = kept
    assert opened()[1] == path
    assert len(made) == 1
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def folder(path: Path, content: bytes) -> None:
    path.mkdir()
    (path / "file").write_bytes(content)


SPOILT = {
    "cut": lambda path, content: path.write_bytes(content[:5000]),
    "empty": lambda path, content: path.write_bytes(b""),
    "changed": lambda path, content: path.write_bytes(content.replace(b"gelu_forward", b"gelu_backwar")),
    "a folder": folder,
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT.keys())
def test_what_is_damaged_is_built_once_more(kept, spoil):
    path, opened, made = kept
    content = path.read_bytes()
    path.unlink()  # the library that is loaded stays as it is
    spoil(path, content)
    assert hasattr(opened()[0], "gelu_forward")
    assert len(made) == 2
    opened()
    assert len(made) == 2


def test_a_library_without_the_functions_is_none(kept):
    _, _, made = kept
    with pytest.raises(OSError, match="has no another"):
        cache.opened("gelu-key", ("another",), lambda draft: made.append(shutil.copy(BUILT, draft)))


posix = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no owners here")


@posix
def test_the_cache_is_the_users_alone_whatever_the_umask(fresh):
    before = os.umask(0o002)
    try:
        _, path = cache.opened("gelu-key", (), lambda draft: shutil.copy(BUILT, draft))
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not stat.S_IMODE(path.stat().st_mode) & 0o077


@posix
@pytest.mark.parametrize("which", ["file", "folder"])
def test_what_others_may_write_is_not_loaded(kept, which):
    path, opened, made = kept
    where = path if which == "file" else path.parent
    where.chmod(0o777)
    with pytest.raises(OSError, match=f"{where} is not trusted.*Mend: chmod go-w"):
        opened()
    where.chmod(0o755)
    assert opened()[1] == path
    assert len(made) == 1


@posix
def test_what_another_user_made_is_not_loaded(kept, monkeypatch):
    path, opened, _ = kept
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    if path.stat().st_uid == 0:
        os.chown(path, 12345, -1)
    with pytest.raises(OSError, match="is not trusted"):
        opened()
