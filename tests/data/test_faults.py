"""Faults of the table in docs/faults.md that meet files and folders."""

from __future__ import annotations

import io
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from swinkit.data.arrays import Undecodable
from swinkit.data.check import examine
from swinkit.data.collection import Collection, shown
from swinkit.data.decode import decode
from swinkit.data.layouts import open_data
from swinkit.data.split import make_split
from swinkit.errors import DataError

from .pictures import class_folders, colourful, encoded

posix = pytest.mark.skipif(os.name != "posix", reason="needs links and FIFOs")


def reasons(root: Path) -> dict[str, str]:
    collection = open_data(root)
    return {collection.samples[index].source: reason for index, reason in examine(collection).unusable.items()}


def test_fault_03_broken_pictures_are_listed_and_left_out(tmp_path):
    class_folders(tmp_path)
    good = encoded(colourful(), "JPEG")
    broken = {"zero.jpg": b"", "page.jpg": b"\n<!DOCTYPE html><p>404", "half.jpg": good[: len(good) // 2], "text.png": b"hello"}
    for name, content in broken.items():
        (tmp_path / "cat" / name).write_bytes(content)
    found = reasons(tmp_path)
    assert set(found) == {f"cat/{name}" for name in broken}
    assert found["cat/zero.jpg"] == "zero bytes"
    assert "HTML" in found["cat/page.jpg"]
    assert found["cat/half.jpg"].startswith("truncated")
    assert "no known picture format" in found["cat/text.png"]
    collection = open_data(tmp_path)
    split = make_split(collection, examine(collection).unusable)
    kept = {collection.samples[index].source for index in split.train + split.val}
    assert len(kept) == 12
    assert not kept & set(found)


def test_fault_10_one_class_folder(tmp_path):
    class_folders(tmp_path, ("cat",))
    assert "one-class" in {item.kind for item in examine(open_data(tmp_path)).errors}


def test_fault_10_empty_class(tmp_path):
    class_folders(tmp_path)
    (tmp_path / "emu").mkdir()
    (error,) = examine(open_data(tmp_path)).errors
    assert error.kind == "empty-class"
    assert "'emu'" in error.message


def test_fault_10_class_whose_pictures_are_all_broken(tmp_path):
    class_folders(tmp_path)
    (tmp_path / "emu").mkdir()
    (tmp_path / "emu/a.png").write_bytes(b"")
    assert [error.kind for error in examine(open_data(tmp_path)).errors] == ["empty-class"]


def test_fault_10_class_only_in_validation(tmp_path):
    class_folders(tmp_path / "train")
    class_folders(tmp_path / "val", ("cat", "dog", "emu"), 2)
    (error,) = examine(open_data(tmp_path)).errors
    assert error.kind == "class-not-in-training"
    assert "'emu'" in error.message


@pytest.mark.parametrize(
    "content",
    [
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
        b"\xc5\xd0\xd3\xc6" + bytes(40),
        b"%PDF-1.7\n",
        b"<svg xmlns=''/>",
    ],
)
def test_fault_19_postscript_and_pdf_named_jpg_are_refused(tmp_path, content):
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(Undecodable, match="whatever its name says"):
        decode(tmp_path / "a.jpg")


@posix
def test_fault_20_what_is_no_regular_file_is_skipped_with_its_reason(tmp_path):
    class_folders(tmp_path)
    cat = tmp_path / "cat"
    os.mkfifo(cat / "fifo.png")
    (cat / "zero.png").symlink_to("/dev/zero")
    (cat / "ring.png").symlink_to("ring.png")
    (cat / "gone.png").symlink_to("nowhere.png")
    (cat / "loop").symlink_to("..")
    started = time.monotonic()
    found = reasons(tmp_path)
    assert time.monotonic() - started < 30
    assert set(found) == {f"cat/{name}.png" for name in ("fifo", "zero", "ring", "gone")}
    assert "FIFO" in found["cat/fifo.png"]
    assert "character device" in found["cat/zero.png"]
    assert ("cat/loop", "links back to a folder that was already read") in open_data(tmp_path).skipped


@posix
def test_fault_20_unreadable_file(tmp_path, monkeypatch):
    class_folders(tmp_path)
    really_open = os.open

    def refuse(path, *rest, **options):
        if str(path).endswith("cat/3.png"):  # chmod would not stop the superuser
            raise PermissionError(13, "Permission denied", str(path))
        return really_open(path, *rest, **options)

    monkeypatch.setattr(os, "open", refuse)
    assert reasons(tmp_path) == {"cat/3.png": "cannot be read: Permission denied"}


def test_a_sound_picture_for_which_memory_does_not_suffice_is_not_left_out(tmp_path, monkeypatch):
    def short(*_):
        raise MemoryError

    monkeypatch.setattr("swinkit.data.decode._from_image", short)
    with pytest.raises(DataError, match=r"cat/0\.png: there is not enough memory to decode it. Mend"):
        examine(open_data(class_folders(tmp_path)))


def test_arrays_that_declare_what_is_not_there_and_damaged_headers_are_left_out(tmp_path):
    class_folders(tmp_path)
    array = io.BytesIO()
    np.save(array, np.zeros((12, 16, 3), np.uint8))
    sound = array.getvalue()
    broken = sound.replace(b"(12, 16, 3)", b"(12, 16, 3 ")
    assert broken != sound
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (9000, 9000, 1024)})
    for name, content in (("0broken", broken), ("0huge", header.getvalue()), ("0short", sound[:-1])):
        (tmp_path / "cat" / f"{name}.npy").write_bytes(content)
    found = reasons(tmp_path)  # the broken one comes first, and does not say how many channels there are
    assert found["cat/0broken.npy"].startswith("damaged: ")
    assert found["cat/0huge.npy"] == f"truncated: holds 0 bytes, its header declares {9000 * 9000 * 1024 * 8:,}"
    assert found["cat/0short.npy"].startswith("truncated: ")
    assert len(found) == 3


@posix
def test_a_file_that_vanishes_while_it_is_looked_at_is_left_out(tmp_path, monkeypatch):
    class_folders(tmp_path)
    read = Collection.read

    def gone(self, index, *rest):
        picture = read(self, index, *rest)
        if self.samples[index].source == "cat/3.png":
            self.path(index).unlink()
        return picture

    monkeypatch.setattr(Collection, "read", gone)
    assert set(reasons(tmp_path)) == {"cat/3.png"}


ODD = ["line\nbreak.png", "🦢.png", "-rf.png", " space .png", "quote'\".png", "<img onerror=x>.png", "é.png"]


@posix
def test_fault_21_odd_names_round_trip(tmp_path):
    class_folders(tmp_path)
    names = [*ODD, os.fsdecode(b"bad\xff\xfe.png")] if sys.platform == "linux" else ODD
    for name in names:
        colourful(hash(name) % 1000).save(tmp_path / "cat" / name, "PNG")
    collection = open_data(tmp_path)
    sources = [sample.source for sample in collection.samples]
    assert {f"cat/{name}" for name in names} <= set(sources)
    assert examine(collection).unusable == {}
    assert json.loads(json.dumps(sources)) == sources
    for index, source in enumerate(sources):
        assert collection.path(index).exists()
        assert shown(source).isprintable()
        shown(source).encode("utf-8")
    assert len(collection.fingerprint()) == 64
