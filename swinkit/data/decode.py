"""One picture from a file, bytes or a Pillow image to an array: the same documented result for every format and mode.

    8-bit gray, palette, RGB        as stored, palette looked up
    alpha (RGBA, LA, palette)       laid over white
    CMYK                            through its ICC profile to sRGB, without one by Pillow's formula
    ICC profile                     converted to sRGB; a damaged profile is ignored
    EXIF orientation                applied, so that up is up
    16-bit gray                     float32, divided by 65535 (Pillow's own conversion saturates)
    32-bit gray                     as 16-bit, unless no value is above 255
    16-bit RGB                      its upper 8 bits
    float                           float32 as stored, which must lie in 0..1
    animated                        the first frame
    .npy                            (H, W) or (H, W, C), 16-bit integers divided by 65535
    multi-page .tif                 one page per channel, where ``channels`` is neither 1 nor 3

No picture is decoded whose header declares more than ``MAX_PIXELS``, and only the formats of ``FORMATS`` are tried, so a
PostScript file named .jpg never reaches an interpreter.
"""

from __future__ import annotations

import io
import struct
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from ..errors import DataError
from .files import ACCEPTED, FORMATS, open_regular

MAX_PIXELS = 89_478_485  # where Pillow begins to warn: 256 MB of RGB

NUMPY = b"\x93NUMPY"
BITS = 258  # TIFF's tag BitsPerSample; Pillow's mode is "I" for some pictures of 16 bits too

# How files begin that are named like pictures and are none.
MASQUERADES = (
    (b"%!PS", "PostScript"), (b"\xc5\xd0\xd3\xc6", "PostScript"), (b"%PDF", "PDF"), (b"<!doctype html", "a web page (HTML)"),
    (b"<html", "a web page (HTML)"), (b"<svg", "SVG"), (b"<?xml", "XML"), (b"PK\x03\x04", "a ZIP archive"), (b"\x1f\x8b", "gzip"),
)  # fmt: skip


class Undecodable(DataError):
    """A picture that cannot be used; ``reason`` is a phrase without the file's name."""

    def __init__(self, reason: str, source: object = None) -> None:
        super().__init__(f"{source}: {reason}" if source is not None else reason)
        self.reason = reason
        self.source = source

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.reason, self.source)


def decode(source: Path | str | bytes | Image.Image | np.ndarray, channels: int = 3, least: int | None = None) -> np.ndarray:
    """``source`` as (H, W, ``channels``): uint8, or float32 in 0..1 for 16-bit and float sources. An array is a decoded .npy.

    ``channels`` 3 is RGB, 1 is luma (ITU-R 601); any other number must be what the file holds. With ``least``, a JPEG may come
    in a half, a quarter or an eighth of its size, no side shorter than so many pixels, which decodes several times as fast.
    Raises :class:`Undecodable`, and MemoryError where there is too little: of that no file can be blamed.
    """
    name = source if isinstance(source, str | Path) else None
    try:
        if isinstance(source, Image.Image):
            return _from_image(source, channels, least)
        if isinstance(source, np.ndarray):
            return _to_channels(_values(source), channels)
        stream = io.BytesIO(source) if isinstance(source, bytes) else open_regular(Path(source))
        with stream:
            return _from_stream(stream, channels, least)
    except Undecodable as error:
        raise Undecodable(error.reason, name) from None
    except MemoryError:
        raise
    except Exception as error:  # parsers of damaged files raise almost anything; every one of them means "cannot be used"
        raise Undecodable(_reason(error), name) from error


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read: {error.strerror}"
    text = str(error).split("\n")[0] or type(error).__name__
    return f"truncated: {text}" if "truncated" in text.lower() else f"damaged: {text}"


def _from_stream(stream: BinaryIO, channels: int, least: int | None) -> np.ndarray:
    start = stream.read(512)
    stream.seek(0)
    if not start:
        raise Undecodable("zero bytes")
    if start.startswith(NUMPY):
        return _to_channels(_read_npy(stream), channels)
    try:
        with _open(stream) as image:
            return _from_image(image, channels, least)
    except UnidentifiedImageError:
        raise Undecodable(_masquerade(start)) from None


def _open(stream: BinaryIO) -> Image.Image:
    """Header of the picture in ``stream``, no pixel of it, as ``Image.open`` reads it but for its warning of large pictures: what
    silences a warning does so for the whole process, and :func:`_check_size` refuses them with a reason."""
    Image.init()
    start = stream.read(16)
    for factory, accepts in (Image.OPEN[name] for name in FORMATS if name in Image.OPEN):
        stream.seek(0)
        # a text says what this Pillow lacks for it; the errors are a plugin's ways to say that it is none of its own
        if accepts is None or accepts(start) is True:
            with suppress(SyntaxError, IndexError, TypeError, struct.error):
                return factory(stream, "")
    raise UnidentifiedImageError


def _masquerade(start: bytes) -> str:
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for mark, kind in MASQUERADES:
        if text.startswith(mark.lower()):
            return f"is {kind}, whatever its name says; expected {ACCEPTED}"
    return f"no known picture format; expected {ACCEPTED}"


def _check_size(height: int, width: int) -> None:
    if height * width > MAX_PIXELS:
        raise Undecodable(
            f"declares {width:,} x {height:,} pixels, more than the {MAX_PIXELS:,} allowed; scale it down or cut it into tiles"
        )
    if not height * width:
        raise Undecodable(f"has no pixels ({width} x {height})")


def _from_image(image: Image.Image, channels: int, least: int | None) -> np.ndarray:
    _check_size(image.height, image.width)
    if least is not None:
        image.draft(None, (least, least))  # both sides, as EXIF may turn it; nothing but a JPEG heeds it
    if channels not in (1, 3):
        return _to_channels(_bands(image, channels), channels)
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        values = np.asarray(image)
        if image.mode == "I" and getattr(image, "tag_v2", {}).get(BITS) == (32,) and 0 < values.max() <= 255:
            raise Undecodable("0..255 in 32 bits; nothing says what is white. Mend: save as 8 bits")
        return _to_channels(_turned(_unit(values)[..., None], image), channels)
    upright = ImageOps.exif_transpose(image) if _orientation(image) != 1 else image
    image = _srgb(_looked_up(upright))
    if image.mode in ("RGBA", "LA", "RGBa", "La"):
        colour = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", colour.size, "white"), colour)
    return np.atleast_3d(np.asarray(image.convert("L" if channels == 1 else "RGB")))


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:  # unreadable EXIF says nothing about the picture
        return 1


def _turned(values: np.ndarray, image: Image.Image) -> np.ndarray:
    """``values`` (H, W, C) turned as the EXIF orientation of ``image`` says; Pillow cannot transpose every 16-bit mode."""
    orientation = _orientation(image)
    if orientation in (5, 6, 7, 8):
        values = values.transpose(1, 0, 2)
    rows = slice(None, None, -1 if orientation in (3, 4, 7, 8) else 1)
    columns = slice(None, None, -1 if orientation in (2, 3, 6, 7) else 1)
    return np.ascontiguousarray(values[rows, columns])


def _looked_up(image: Image.Image) -> Image.Image:
    """``image`` with its palette looked up and its transparent colour as alpha, neither of which colour profiles know."""
    if "transparency" in image.info or image.mode == "PA":
        return image.convert("RGBA")
    return image.convert("RGB") if image.mode == "P" else image


def _srgb(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    if not profile or image.mode not in ("RGB", "RGBA", "L", "CMYK"):
        return image
    try:
        converted = ImageCms.applyTransform(image, _to_srgb(profile, image.mode))
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image
    return image if converted is None else converted


@lru_cache(maxsize=16)
def _to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform:
    target = "RGBA" if mode == "RGBA" else "RGB"
    own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return ImageCms.buildTransform(own, ImageCms.createProfile("sRGB"), mode, target)


def _bands(image: Image.Image, channels: int) -> np.ndarray:
    """All bands of ``image``, or its pages as channels: (H, W, C)."""
    if len(image.getbands()) == channels and image.mode != "P":
        return _turned(np.asarray(image), image)
    pages = getattr(image, "n_frames", 1)
    if pages != channels or image.format != "TIFF":
        raise Undecodable(f"holds {len(image.getbands())} channels (mode {image.mode}, {pages} pages); expected {channels}")
    stack = []
    for page in range(pages):
        image.seek(page)
        _check_size(image.height, image.width)
        values = np.asarray(image)
        stack.append(values if values.dtype == np.uint8 else _unit(values))
    return _turned(np.stack(stack, axis=-1), image)


def stored_channels(path: Path) -> int | None:
    """How many channels pictures like the one in ``path`` are read with: 3, but for a .npy those that its header says.

    One channel counts as gray and is read as 3 too. None where the file cannot be read.
    """
    try:
        with open_regular(path) as stream:
            if stream.peek(6)[:6] != NUMPY:
                return 3 if stream.peek(1) else None
            shape, dtype = _npy_header(stream)
            _check_array(shape, dtype)
    except (OSError, ValueError, Undecodable):
        return None
    return shape[2] if len(shape) == 3 and shape[2] != 1 else 3


def _npy_header(stream: BinaryIO) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(stream)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = header(stream)
    return shape, dtype


def _read_npy(stream: BinaryIO) -> np.ndarray:
    _check_array(*_npy_header(stream))
    stream.seek(0)
    return _values(np.load(stream, allow_pickle=False))


def _values(array: np.ndarray) -> np.ndarray:
    """(H, W) or (H, W, C) as (H, W, C), uint8 or float32 in 0..1."""
    _check_array(array.shape, array.dtype)
    values = array if array.ndim == 3 else array[..., None]
    return values if values.dtype == np.uint8 else _unit(values)


def _check_array(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if len(shape) not in (2, 3) or not (dtype.kind in "bf" or dtype.name in ("uint8", "uint16")):
        # wider integers have no agreed white: 255 and 65535 are both common
        raise Undecodable(
            f"array of shape {shape} and type {dtype}; expected (H, W) or (H, W, C) of uint8, uint16, bool or float"
        )
    _check_size(shape[0], shape[1])
    if len(shape) == 3 and not 1 <= shape[2] <= 1024:
        hint = channels_first(shape) or "the last axis is the channels, 1 to 1024 of them"
        raise Undecodable(f"array of shape {shape}; {hint}")


def _unit(values: np.ndarray) -> np.ndarray:
    """``values`` as float32 in 0..1: 16-bit integers by their range, floats as they are; whatever has no agreed white is refused."""
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if values.dtype.kind == "b":
        return values.astype(np.float32)
    if values.dtype.kind in "ui":
        if low < 0 or high > 65535:
            raise Undecodable(
                f"integers from {low:g} to {high:g}; expected 8 or 16 bits. Rescale to 0..65535, or to floats in 0..1"
            )
        return (values / np.float32(65535)).astype(np.float32)
    if not np.isfinite(values).all():
        raise Undecodable("holds values that are not finite (NaN or infinity)")
    if low < -1e-6 or high > 1 + 1e-6:
        raise Undecodable(f"float values from {low:g} to {high:g}; expected 0..1, so rescale the files")
    return np.clip(values, 0, 1).astype(np.float32)


def _to_channels(values: np.ndarray, channels: int) -> np.ndarray:
    if values.shape[2] == channels:
        return values
    if values.shape[2] == 1 and channels == 3:
        return np.repeat(values, 3, axis=2)
    if values.shape[2] == 3 and channels == 1:
        return luma(values)
    hint = channels_first(values.shape)
    raise Undecodable(f"has {values.shape[2]} channels; expected {channels}" + (f"; its shape {hint}" if hint else ""))


def channels_first(shape: tuple[int, ...]) -> str:
    """What to say of an array whose ``shape`` has few channels in front, "" of any other."""
    front = len(shape) == 3 and 1 <= shape[0] <= 16 < shape[2] and shape[0] < shape[1]
    return "looks like (channels, height, width); expected (H, W, C). Mend: array.transpose(1, 2, 0)" if front else ""


def luma(values: np.ndarray) -> np.ndarray:
    """RGB (..., 3) to gray (..., 1) of the same type, ITU-R 601 as Pillow's "L"."""
    if values.dtype == np.uint8:
        weighted = values.astype(np.uint32) @ np.array([19595, 38470, 7471], np.uint32)
        return ((weighted + 0x8000) >> 16).astype(np.uint8)[..., None]
    return (values @ np.array([0.299, 0.587, 0.114], np.float32))[..., None]
