"""Folders of pictures for the tests: good ones that all differ, and files broken in every way that is met."""

import io
import os
import socket
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 16


def picture(number: int, side: int = SIDE) -> Image.Image:
    """A picture that no other number gives."""
    coarse = np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)


def encoded(number: int, kind: str, side: int = SIDE) -> bytes:
    stream = io.BytesIO()
    picture(number, side).save(stream, kind)
    return stream.getvalue()


def bomb(width: int = 20_000, height: int = 20_000) -> bytes:
    """A PNG of a few bytes whose header declares ``width`` x ``height`` pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def array(values: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


def archive() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("photo.jpg", encoded(0, "JPEG"))
    return stream.getvalue()


def bind(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # a socket's whole path may have 107 bytes only
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(here)


def loop(path: Path) -> None:
    path.symlink_to(path.name)


CONTENTS: dict[str, bytes] = {
    "zero.jpg": b"",
    "short.jpg": encoded(1, "JPEG", 64)[:-400],
    "short.png": encoded(2, "PNG", 64)[:-200],
    "header.gif": b"GIF89a",
    "page.jpg": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
    "text.png": b"this is no picture\n" * 50,
    "postscript.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(%pipe%touch pwned) (w) file\n",
    "document.png": b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n",
    "archive.jpg": archive(),
    "bomb.png": bomb(),
    "noise.jpg": b"\xff\xd8\xff\xe0" + np.random.default_rng(0).bytes(2000),
    "nan.npy": array(np.full((4, 4, 3), np.nan, np.float32)),
    "channels.npy": array(np.zeros((4, 4, 7), np.uint8)),
    "pickle.npy": array(np.array([[{}]], dtype=object)),
}

# everything that is no regular file, or cannot be opened; the parameter is the path to make
MAKERS: dict[str, Callable[[Path], None]] = {
    "pipe.jpg": os.mkfifo if hasattr(os, "mkfifo") else None,
    "endless.jpg": lambda path: path.symlink_to("/dev/zero"),
    "circle.jpg": loop,
    "nothing.jpg": lambda path: path.symlink_to("does-not-exist.jpg"),
    "upwards": lambda path: path.symlink_to(path.parent),
    "socket.jpg": bind,
}  # type: ignore[dict-item]


def break_file(path: Path, number: int) -> Path:
    """Make a broken file of kind ``number`` (all kinds in turn), whose name begins with ``path``."""
    kinds = [*CONTENTS, *MAKERS]
    kind = kinds[number % len(kinds)]
    path = path.with_name(f"{path.name}-{kind}")
    if kind in CONTENTS:
        path.write_bytes(CONTENTS[kind])
    else:
        MAKERS[kind](path)
    return path


def fill(folder: Path, good: int, broken: int) -> tuple[dict[str, int], list[str]]:
    """``good`` pictures (name: number) and ``broken`` files (names) in ``folder``, mixed in the order of their names."""
    formats = ("png", "bmp", "jpg", "webp")
    pictures = {}
    for number in range(good):
        suffix = formats[number % len(formats)]
        name = f"{number * 7919 % 100_000:05}.{suffix}"
        (folder / name).write_bytes(encoded(number, {"jpg": "JPEG"}.get(suffix, suffix)))
        pictures[name] = number
    return pictures, [break_file(folder / f"{number * 1013 % 100_000:05}", number).name for number in range(broken)]
