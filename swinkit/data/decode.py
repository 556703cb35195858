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
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageCms, ImageOps, ImageSequence, UnidentifiedImageError

from .arrays import NUMPY, Undecodable, check_size, read_npy, to_channels, unit, values_of
from .files import ACCEPTED, FORMATS, open_regular

BITS = 258  # TIFF's tag BitsPerSample; Pillow's mode is "I" for some pictures of 16 bits too
SAMPLES, EXTRA = (
    277,
    338,
)  # TIFF's tags SamplesPerPixel and ExtraSamples, which has a 0 for each band that is neither colour nor alpha

# How files begin that are named like pictures and are none.
MASQUERADES = (
    (b"%!PS", "PostScript"), (b"\xc5\xd0\xd3\xc6", "PostScript"), (b"%PDF", "PDF"), (b"<!doctype html", "a web page (HTML)"),
    (b"<html", "a web page (HTML)"), (b"<svg", "SVG"), (b"<?xml", "XML"), (b"PK\x03\x04", "a ZIP archive"), (b"\x1f\x8b", "gzip"),
)  # fmt: skip


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
            return to_channels(values_of(source), channels)
        if not isinstance(source, bytes | str | PathLike):
            raise Undecodable(f"expected a picture, a file's name or bytes, got {type(source).__name__}")
        stream = io.BytesIO(source) if isinstance(source, bytes) else open_regular(Path(source))
        with stream:
            return _from_stream(stream, channels, least)
    except Undecodable as error:
        raise Undecodable(error.reason, name) from None
    except MemoryError:
        raise
    except Exception as error:  # parsers of damaged files raise almost anything; every one of them means "cannot be used"
        raise Undecodable(_reason(error), name) from error


def unread(path: Path) -> str:
    """What the TIFF ``path``, read as RGB or gray, holds beside that, in words: bands that are no alpha, or more pages of one size, which smaller
    copies are not; "" of any other file. Only headers are read."""
    try:
        with open_regular(path) as stream:
            if stream.peek(2)[:2] not in (b"II", b"MM"):
                return ""
            image: Any = _open(stream)
            if image.format != "TIFF":
                return ""
            bands, size = image.tag_v2.get(SAMPLES, 1), image.size
            beside = image.tag_v2.get(EXTRA, ()).count(0)
            pages = sum(page.size == size for page in ImageSequence.Iterator(image))
    except Exception:  # what cannot be told of a picture that can be read is no fault of it
        return ""
    if beside:
        return f"{bands} bands, of which the first {bands - beside} are read"
    return f"{pages} pages, of which the first is read" if pages > 1 else ""


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
        return to_channels(read_npy(stream), channels)
    try:
        with _open(stream) as image:
            return _from_image(image, channels, least)
    except UnidentifiedImageError:
        raise Undecodable(_masquerade(start)) from None


def _open(stream: BinaryIO) -> Image.Image:
    """Header of the picture in ``stream``, no pixel of it, as ``Image.open`` reads it but for its warning of large pictures: what
    silences a warning does so for the whole process, and :func:`check_size` refuses them with a reason."""
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


def _from_image(image: Image.Image, channels: int, least: int | None) -> np.ndarray:
    check_size(image.height, image.width)
    if least is not None:
        image.draft(None, (least, least))  # both sides, as EXIF may turn it; nothing but a JPEG heeds it
    if channels not in (1, 3):
        return to_channels(_bands(image, channels), channels)
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        values = np.asarray(image)
        wide = image.format is None or getattr(image, "tag_v2", {}).get(BITS) == (32,)
        if image.mode == "I" and wide and 0 < values.max() <= 255:
            raise Undecodable("0..255 in 32 bits; nothing says what is white. Mend: save as 8 bits, or image.convert('L')")
        return to_channels(_turned(unit(values)[..., None], image), channels)
    upright = ImageOps.exif_transpose(image) if _orientation(image) != 1 else image
    image = _srgb(_looked_up(upright))
    if image.mode == "La":
        # the only mode into which Pillow converts it
        image = image.convert("LA")
    if image.mode in ("RGBA", "LA", "RGBa"):
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
        check_size(image.height, image.width)
        values = np.asarray(image)
        stack.append(values if values.dtype == np.uint8 else unit(values))
    return _turned(np.stack(stack, axis=-1), image)
